/* The stats block (slatedb-format 2.7, 3.3). */
#include "lsm/format/sst.h"

#include "base/env/env.h"
#include "lsm/format/sst_fb.h"

enum { BLOCK_PUTS, BLOCK_DELETES, BLOCK_MERGES };
enum { STATS_PUTS, STATS_DELETES, STATS_MERGES, STATS_RAW_KEY, STATS_RAW_VALUE, STATS_BLOCKS };

static const struct shl_fb_field block_fields[] = {
    [BLOCK_PUTS] = {.name = "num_puts", .type = SHL_FB_U16},
    [BLOCK_DELETES] = {.name = "num_deletes", .type = SHL_FB_U16},
    [BLOCK_MERGES] = {.name = "num_merges", .type = SHL_FB_U16},
};
static const struct shl_fb_schema block_schema = SHL_FB_SCHEMA("BlockStats", block_fields);
static const struct shl_fb_field stats_fields[] = {
    [STATS_PUTS] = {.name = "num_puts", .type = SHL_FB_U64},
    [STATS_DELETES] = {.name = "num_deletes", .type = SHL_FB_U64},
    [STATS_MERGES] = {.name = "num_merges", .type = SHL_FB_U64},
    [STATS_RAW_KEY] = {.name = "raw_key_size", .type = SHL_FB_U64},
    [STATS_RAW_VALUE] = {.name = "raw_val_size", .type = SHL_FB_U64},
    [STATS_BLOCKS] = {.name = "block_stats", .type = SHL_FB_TABLES, .table = &block_schema},
};
static const struct shl_fb_schema stats_schema = SHL_FB_SCHEMA("SstStats", stats_fields);

shale_code shl_sst_stats_decode(struct shl_slice raw, struct shl_sst_stats *out, shale_error *err)
{
    struct shl_fb_table root;
    shale_code rc = shl_fb_verify(raw, &stats_schema, &root, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_sst_stats stats = {
        .puts = shl_fb_u64(root, STATS_PUTS),
        .deletes = shl_fb_u64(root, STATS_DELETES),
        .merges = shl_fb_u64(root, STATS_MERGES),
        .raw_key_bytes = shl_fb_u64(root, STATS_RAW_KEY),
        .raw_value_bytes = shl_fb_u64(root, STATS_RAW_VALUE),
    };
    struct shl_fb_vector blocks = shl_fb_vector(root, STATS_BLOCKS);
    if (blocks.count > 0 && !shl_array_reserve(&stats.blocks, blocks.count))
        return shl_nomem(err);
    for (uint32_t i = 0; i < blocks.count; i++) {
        struct shl_fb_table b = shl_fb_vector_table(blocks, i);
        shl_array_add(&stats.blocks,
                      ((struct shl_block_stats){.puts = shl_fb_u16(b, BLOCK_PUTS),
                                                .deletes = shl_fb_u16(b, BLOCK_DELETES),
                                                .merges = shl_fb_u16(b, BLOCK_MERGES)}));
    }
    *out = stats;
    return SHALE_OK;
}

void shl_sst_stats_deinit(struct shl_sst_stats *stats)
{
    shl_array_free(&stats->blocks);
}

static shl_fb_ref blocks_to_fb(struct shl_fbw *w, const struct shl_sst_stats *stats)
{
    if (stats->blocks.count == 0)
        return 0;
    for (size_t i = 0; i < stats->blocks.count; i++) {
        const struct shl_block_stats *b = &stats->blocks.items[i];
        shl_fbw_begin(w);
        shl_fbw_u16(w, BLOCK_MERGES, b->merges);
        shl_fbw_u16(w, BLOCK_DELETES, b->deletes);
        shl_fbw_u16(w, BLOCK_PUTS, b->puts);
        shl_fbw_keep(w, shl_fbw_end(w));
    }
    return shl_fbw_kept(w, 0);
}

shale_code shl_sst_stats_encode(const struct shl_sst_stats *stats, struct shl_buf *out,
                                shale_error *err)
{
    struct shl_fbw w = {.data = NULL};
    shl_fb_ref blocks = blocks_to_fb(&w, stats);
    shl_fbw_begin(&w);
    shl_fbw_u64(&w, STATS_RAW_VALUE, stats->raw_value_bytes);
    shl_fbw_u64(&w, STATS_RAW_KEY, stats->raw_key_bytes);
    shl_fbw_u64(&w, STATS_MERGES, stats->merges);
    shl_fbw_u64(&w, STATS_DELETES, stats->deletes);
    shl_fbw_u64(&w, STATS_PUTS, stats->puts);
    shl_fbw_ref(&w, STATS_BLOCKS, blocks);
    shl_fb_ref root = shl_fbw_end(&w);
    shale_code rc = shl_fbw_finish(&w, root, out, err);
    shl_fbw_deinit(&w);
    return rc;
}
