/* Goal: whatever allocation fails in lsm/format, the caller gets NOMEM, nothing leaks, and outputs stay as they were. Method: each
 * operation on golden files under "the n-th allocation fails", once and from the n-th on, until it no longer meets the fault. */
#include "base/env/sim.h"

#include "base/array.h"
#include "base/env/env.h"
#include "base/num.h"
#include "lsm/format/block.h"
#include "lsm/format/compactions.h"
#include "lsm/format/manifest.h"
#include "lsm/format/names.h"
#include "lsm/format/sst.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define GOLDEN SHALE_SOURCE_DIR "/tests/fixtures/slatedb/"

#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #cond);                                      \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* A golden file, in libc memory: it is no part of what is counted. */
static struct shl_slice load(const char *name)
{
    static uint8_t files[8][65536];
    static const char *names[8];
    static size_t lens[8];
    size_t i = 0;
    while (i < 8 && names[i] != NULL && names[i] != name)
        i++;
    CHECK(i < 8, "too many files");
    if (names[i] == NULL) {
        FILE *f = fopen(name, "rb");
        CHECK(f != NULL, "%s", name);
        lens[i] = fread(files[i], 1, sizeof files[i], f);
        (void)fclose(f);
        names[i] = name;
    }
    return shl_slice_of(files[i], lens[i]);
}

/* ---- operations: each frees all it took, and answers OK or NOMEM */

static shale_code manifest_round(const char *name, shale_error *err)
{
    shale_code rc;
    struct shl_manifest *m = NULL, *copy = NULL;
    struct shl_segment *s = NULL;
    struct shl_buf out = {0};
    size_t before = 0;
    SHL_TRY(shl_buf_append(&out, "x", 1, err));
    SHL_TRY(shl_manifest_decode(load(name), &m, err));
    SHL_TRY(shl_manifest_clone(m, &copy, err));
    before = copy->segments.count;
    rc = shl_manifest_add_segment(copy, shl_slice_str("\xff\xfe"), &s, err);
    CHECK(copy->segments.count == before + (rc == SHALE_OK), "half a segment");
    if (rc == SHALE_OK && copy->root.l0.count > 0) {
        before = copy->root.l0.count;
        rc = shl_tree_push_l0(&copy->root, copy->root.l0.items[0].sst, err);
        CHECK(copy->root.l0.count == before + (rc == SHALE_OK), "half a view");
    }
    SHL_TRY(rc);
    rc = shl_manifest_encode(m, &out, err);
    CHECK(rc == SHALE_OK || out.len == 1, "a failed encode left bytes");
out:
    shl_manifest_free(m);
    shl_manifest_free(copy);
    shl_buf_free(&out);
    return rc;
}

static shale_code op_manifest_clone(shale_error *err)
{
    return manifest_round(
        GOLDEN "16_clone_projected/store/both/manifest/00000000000000000002.manifest", err);
}

static shale_code op_manifest_segments(shale_error *err)
{
    return manifest_round(GOLDEN "21_segments/store/db/manifest/00000000000000000010.manifest",
                          err);
}

static shale_code op_manifest_checkpoints(shale_error *err)
{
    return manifest_round(GOLDEN "14_checkpoints/store/db/manifest/00000000000000000013.manifest",
                          err);
}

static shale_code op_manifest_v1(shale_error *err)
{
    return manifest_round(GOLDEN "31_old_0.9.2/store/db/manifest/00000000000000000006.manifest",
                          err);
}

static shale_code op_manifest_new(shale_error *err)
{
    struct shl_manifest *m = NULL;
    shale_code rc = shl_manifest_new(&m, err);
    shl_manifest_free(m);
    return rc;
}

static shale_code op_compactions(shale_error *err)
{
    shale_code rc;
    struct shl_compactions *c = NULL, *copy = NULL;
    struct shl_buf out = {0};
    SHL_TRY(shl_buf_append(&out, "x", 1, err));
    SHL_TRY(shl_compactions_decode(
        load(GOLDEN
             "43_compaction_interrupted/store/db/compactions/00000000000000000011.compactions"),
        &c, err));
    CHECK(c->jobs.count > 0, "no jobs");
    SHL_TRY(shl_compactions_clone(c, &copy, err));
    rc = shl_compactions_encode(copy, &out, err);
    CHECK(rc == SHALE_OK || out.len == 1, "a failed encode left bytes");
out:
    shl_compactions_free(c);
    shl_compactions_free(copy);
    shl_buf_free(&out);
    return rc;
}

static shale_code op_tracker(shale_error *err)
{
    shale_code rc = SHALE_OK;
    struct shl_seq_tracker t = {.points = {0}}, again = {.points = {0}};
    struct shl_buf out = {0};
    for (uint64_t i = 0; rc == SHALE_OK && i < 200; i++)
        rc = shl_seq_tracker_add(&t, i * i, (int64_t)(70 * i), err);
    if (rc == SHALE_OK)
        rc = shl_seq_tracker_encode(&t, &out, err);
    CHECK(rc == SHALE_OK || out.len == 0, "a failed encode left bytes");
    if (rc == SHALE_OK)
        rc = shl_seq_tracker_decode(shl_buf_view(&out), &again, err);
    shl_seq_tracker_deinit(&t);
    shl_seq_tracker_deinit(&again);
    shl_buf_free(&out);
    return rc;
}

static shale_code op_names(shale_error *err)
{
    struct shl_db_paths p = {.r1 = NULL};
    shale_code rc = shl_db_paths_init(&p, "a/t~x", err);
    if (rc != SHALE_OK)
        return rc;
    char *names[] = {shl_name_manifest(&p, 1),
                     shl_name_compactions(&p, 1),
                     shl_name_wal(&p, 1),
                     shl_name_sst(&p, (struct shl_ulid){1, 2}),
                     shl_name_boundary(&p, "manifest"),
                     shl_name_dir(&p, "wal")};
    for (size_t i = 0; i < SHL_COUNT_OF(names); i++) {
        if (names[i] == NULL && rc == SHALE_OK)
            rc = shl_nomem(err);
        env_free(names[i]);
    }
    shl_db_paths_deinit(&p);
    return rc;
}

/* Builds a block of 50 rows whose keys grow, then walks it to and fro. */
static shale_code op_block(shale_error *err)
{
    shale_code rc;
    static const uint8_t bytes[600];
    struct shl_block_builder b = {.capacity = 0};
    struct shl_block_iter it = {.valid = false};
    struct shl_buf raw = {0};
    SHL_TRY(shl_block_builder_init(&b, 1000, err));
    for (size_t i = 0; i < 50; i++) {
        struct shl_row row = {
            .key = shl_slice_of(bytes, 1 + 10 * i), .value = shl_slice_of(bytes, 100), .seq = 1};
        size_t before = shl_block_builder_bytes(&b);
        rc = shl_block_builder_add(&b, &row, err);
        CHECK(rc == SHALE_OK || shl_block_builder_bytes(&b) == before, "half a row");
        SHL_TRY(rc);
    }
    rc = shl_block_builder_finish(&b, &raw, err);
    CHECK(rc == SHALE_OK || (raw.len == 0 && b.entry_count == 50), "half a block");
    SHL_TRY(rc);
    SHL_TRY(shl_block_iter_init(&it, shl_buf_view(&raw), 2, err));
    SHL_TRY(shl_block_iter_first(&it, err));
    for (size_t i = 1; i < 50; i++)
        SHL_TRY(shl_block_iter_next(&it, err));
    CHECK(it.row.key.len == 491, "wrong row");
    for (size_t i = 1; i < 50; i++)
        SHL_TRY(shl_block_iter_prev(&it, err));
    CHECK(it.row.key.len == 1, "wrong row");
    SHL_TRY(shl_block_iter_seek(&it, shl_slice_of(bytes, 100), err));
    SHL_TRY(shl_block_iter_seek_back(&it, shl_slice_of(bytes, 100), err));
out:
    shl_block_builder_deinit(&b);
    shl_block_iter_deinit(&it);
    shl_buf_free(&raw);
    return rc;
}

static shale_code op_sst_parts(shale_error *err)
{
    shale_code rc;
    struct shl_sst_index_entry entry = {.first_key = shl_slice_str("key")};
    struct shl_block_stats block = {.puts = 1};
    const struct shl_sst_index index = {.blocks = {.items = &entry, .count = 1}};
    const struct shl_sst_stats stats = {.puts = 1, .blocks = {.items = &block, .count = 1}};
    const struct shl_sst_info info = {.first_entry = shl_slice_str("key"), .has_first_entry = true};
    const struct shl_filter_policy policy = {.bits_per_key = 10, .whole_key = true};
    struct shl_transformer x = shl_transformer_xor(0x5a);
    const struct shl_blob_codec codec = {.compression = SHL_COMPRESSION_LZ4, .transformer = &x};
    const uint64_t hash = 1;
    const struct shl_slice hashes = shl_slice_of(&hash, sizeof hash);
    struct shl_sst_index index_again = {.blocks = {0}};
    struct shl_sst_stats stats_again = {.puts = 0};
    struct shl_sst_desc *desc = NULL;
    struct shl_buf raw = {0}, out = {0}, scratch = {0}, back = {0};
    struct shl_slice decoded;
    SHL_TRY(shl_sst_index_encode(&index, &raw, err));
    SHL_TRY(shl_sst_index_decode(shl_buf_view(&raw), 100, true, &index_again, err));
    rc = shl_blob_encode(&codec, shl_buf_view(&raw), &scratch, &out, err);
    CHECK(rc == SHALE_OK || out.len == 0, "half a blob");
    SHL_TRY(rc);
    rc = shl_blob_decode(&codec, shl_buf_view(&out), 1000, &scratch, &back, &decoded, err);
    CHECK(rc == SHALE_OK || back.len == 0, "half a blob");
    SHL_TRY(rc);
    raw.len = 0;
    SHL_TRY(shl_sst_stats_encode(&stats, &raw, err));
    SHL_TRY(shl_sst_stats_decode(shl_buf_view(&raw), &stats_again, err));
    SHL_TRY(shl_filter_encode(&policy, &hashes, 1, &raw, err));
    SHL_TRY(shl_sst_desc_new((struct shl_ulid){1, 1}, 2, true, &info, &desc, err));
    shl_buf_free(&out);
    rc = shl_sst_tail_encode(&desc->info, 0, 2, &out, err);
    CHECK(rc == SHALE_OK || out.len == 0, "half a tail");
out:
    shl_sst_index_deinit(&index_again);
    shl_sst_stats_deinit(&stats_again);
    shl_sst_desc_unref(desc);
    shl_buf_free(&raw);
    shl_buf_free(&out);
    shl_buf_free(&scratch);
    shl_buf_free(&back);
    return rc;
}

static const struct {
    const char *name;
    shale_code (*run)(shale_error *err);
} operations[] = {{"manifest of a clone", op_manifest_clone},
                  {"manifest with segments", op_manifest_segments},
                  {"manifest with checkpoints", op_manifest_checkpoints},
                  {"manifest version 1", op_manifest_v1},
                  {"new manifest", op_manifest_new},
                  {"compactions", op_compactions},
                  {"sequence tracker", op_tracker},
                  {"names", op_names},
                  {"block", op_block},
                  {"sst parts", op_sst_parts}};

/* ---- the loop: a task of its own for each run, so that codec contexts are given back too */

struct run {
    size_t operation;
    uint64_t nth;
    bool sticky;
    bool is_done; /* the operation met no fault */
};

static void run_once(void *arg)
{
    struct run *r = arg;
    shale_error err = {0};
    sim_alloc_fault_arm(sim_group_self(), r->nth, r->sticky);
    shale_code rc = operations[r->operation].run(&err);
    r->is_done = sim_alloc_fault_disarm(sim_group_self()) <= r->nth;
    CHECK(rc == (r->is_done ? SHALE_OK : SHALE_NOMEM), "%s nth=%" PRIu64 " sticky=%d: %s %s",
          operations[r->operation].name, r->nth, r->sticky, shale_code_name(rc), err.text);
}

static void cut_everywhere(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < SHL_COUNT_OF(operations); i++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            struct run r = {.operation = i, .sticky = sticky != 0};
            for (;; r.nth++) {
                uint64_t live = sim_alloc_live(sim_group_self());
                struct env_task *task = NULL;
                CHECK(env_task_spawn(&task, "cut", run_once, &r) == SHALE_OK, "spawn");
                env_task_join(task);
                CHECK(sim_alloc_live(sim_group_self()) == live, "%s nth=%" PRIu64 " leaks",
                      operations[i].name, r.nth);
                if (r.is_done)
                    break;
            }
            CHECK(r.nth > 0, "%s never allocated", operations[i].name);
            printf("%s: %" PRIu64 " allocations cut%s\n", operations[i].name, r.nth,
                   sticky ? ", for good" : "");
        }
    }
}

int main(void)
{
    const struct sim_options options = {.seed = 1,
                                        .policy = SIM_RUN_UNTIL_BLOCK,
                                        .scenario = "format_nomem",
                                        .progress_ns_max = UINT64_MAX};
    (void)sim_run(&options, cut_everywhere, NULL);
    return 0;
}
