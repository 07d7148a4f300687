/* Telling apart the manifests of SlateDB 0.2 to 0.4: FlatBuffers without the two bytes of version before them, and with their fields in other
 * slots than today's. No release reads another's. Layouts: schemas/manifest.fbs of the crates 0.2.0 and 0.4.0. */
#include "lsm/format/manifest_old.h"
#include "lsm/format/manifest_fb.h"

enum { OLD_SST_ID, OLD_SST_INFO };
enum { OLD_RUN_ID, OLD_RUN_SSTS };
enum { /* 0.2 */
       O2_MANIFEST_ID,
       O2_WRITER_EPOCH,
       O2_COMPACTOR_EPOCH,
       O2_WAL_ID_LAST_COMPACTED,
       O2_WAL_ID_LAST_SEEN,
       O2_L0_LAST_COMPACTED,
       O2_L0,
       O2_COMPACTED
};
enum { /* 0.3 and 0.4 */
       O4_MANIFEST_ID,
       O4_INITIALIZED,
       O4_WRITER_EPOCH,
       O4_COMPACTOR_EPOCH,
       O4_WAL_ID_LAST_COMPACTED,
       O4_WAL_ID_LAST_SEEN,
       O4_L0_LAST_COMPACTED,
       O4_L0,
       O4_COMPACTED,
       O4_LAST_CLOCK_TICK,
       O4_CHECKPOINTS
};

static const struct shl_fb_field run_fields[] = {
    [OLD_RUN_ID] = {.name = "id", .type = SHL_FB_U32},
    [OLD_RUN_SSTS] = {.name = "ssts",
                      .type = SHL_FB_TABLES,
                      .required = true,
                      .table = &shl_fb_sst_schema},
};
static const struct shl_fb_schema run_schema = SHL_FB_SCHEMA("SortedRun", run_fields);
static const struct shl_fb_field checkpoint_fields[] = {
    {.name = "id", .type = SHL_FB_TABLE, .required = true, .table = &shl_fb_ulid_schema},
};
static const struct shl_fb_schema checkpoint_schema =
    SHL_FB_SCHEMA("Checkpoint", checkpoint_fields);

#define WATERMARK                                                                                  \
    {                                                                                              \
        .name = "l0_last_compacted", .type = SHL_FB_TABLE, .table = &shl_fb_ulid_schema            \
    }
#define L0                                                                                         \
    {                                                                                              \
        .name = "l0", .type = SHL_FB_TABLES, .required = true, .table = &shl_fb_sst_schema         \
    }
#define COMPACTED                                                                                  \
    {                                                                                              \
        .name = "compacted", .type = SHL_FB_TABLES, .required = true, .table = &run_schema         \
    }

static const struct shl_fb_field fields_0_2[] = {
    [O2_MANIFEST_ID] = {.name = "manifest_id", .type = SHL_FB_U64},
    [O2_WRITER_EPOCH] = {.name = "writer_epoch", .type = SHL_FB_U64},
    [O2_COMPACTOR_EPOCH] = {.name = "compactor_epoch", .type = SHL_FB_U64},
    [O2_WAL_ID_LAST_COMPACTED] = {.name = "wal_id_last_compacted", .type = SHL_FB_U64},
    [O2_WAL_ID_LAST_SEEN] = {.name = "wal_id_last_seen", .type = SHL_FB_U64},
    [O2_L0_LAST_COMPACTED] = WATERMARK,
    [O2_L0] = L0,
    [O2_COMPACTED] = COMPACTED,
};
static const struct shl_fb_field fields_0_4[] = {
    [O4_MANIFEST_ID] = {.name = "manifest_id", .type = SHL_FB_U64},
    [O4_INITIALIZED] = {.name = "initialized", .type = SHL_FB_U8},
    [O4_WRITER_EPOCH] = {.name = "writer_epoch", .type = SHL_FB_U64},
    [O4_COMPACTOR_EPOCH] = {.name = "compactor_epoch", .type = SHL_FB_U64},
    [O4_WAL_ID_LAST_COMPACTED] = {.name = "wal_id_last_compacted", .type = SHL_FB_U64},
    [O4_WAL_ID_LAST_SEEN] = {.name = "wal_id_last_seen", .type = SHL_FB_U64},
    [O4_L0_LAST_COMPACTED] = WATERMARK,
    [O4_L0] = L0,
    [O4_COMPACTED] = COMPACTED,
    [O4_LAST_CLOCK_TICK] = {.name = "last_clock_tick", .type = SHL_FB_U64},
    [O4_CHECKPOINTS] = {.name = "checkpoints",
                        .type = SHL_FB_TABLES,
                        .required = true,
                        .table = &checkpoint_schema},
};
static const struct {
    const char *releases;
    struct shl_fb_schema schema;
} layouts[] = {
    {"0.3 or 0.4", SHL_FB_SCHEMA("ManifestV1", fields_0_4)},
    {"0.2", SHL_FB_SCHEMA("ManifestV1", fields_0_2)},
};

const char *shl_manifest_old_release(struct shl_slice file)
{
    struct shl_fb_table root;
    shale_error ignored;
    for (size_t i = 0; i < SHL_COUNT_OF(layouts); i++)
        if (shl_fb_verify(file, &layouts[i].schema, &root, &ignored) == SHALE_OK)
            return layouts[i].releases;
    return NULL;
}
