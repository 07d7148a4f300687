/* Goal: a compaction that takes blocks over as they are stored leaves the same rows, counts and filters as one that merges every row.
 * Method: the same writes, compacted once with a compaction filter that keeps all (which forbids copies) and once without one; rows with all their versions,
 * the sums of the stats blocks, and lookups of keys that are there and are not are compared; for each way of storing blocks. */
#include "base/num.h"
#include "lsm/compactor/filter.h"
#include "lsm/inspect/inspect.h"
#include "lsm/recency.h"
#include "lsm/txn.h"
#include "support/own_filter.h"
#include "unit/support_db.h"

static shale_code keep_begin(void *ctx, const struct shl_filter_job *job, void **instance,
                             shale_error *err)
{
    (void)ctx;
    (void)job;
    (void)err;
    *instance = NULL;
    return SHALE_OK;
}

static shale_code keep_row(void *ctx, void *instance, struct shl_row *row, bool *keep,
                           shale_error *err)
{
    (void)ctx;
    (void)instance;
    (void)row;
    (void)keep;
    (void)err;
    return SHALE_OK;
}

static shale_code keep_end(void *ctx, void *instance, bool complete, shale_error *err)
{
    (void)ctx;
    (void)instance;
    (void)complete;
    (void)err;
    return SHALE_OK;
}

static const struct shl_compaction_filter keeps_all = {
    .begin = keep_begin, .row = keep_row, .end = keep_end};

/* ---------------------------------------------------------------- a database */

struct way {
    const char *name;
    enum shl_compression compression;
    bool transforms, aligned, own_filter;
    bool early;         /* a first compaction while all versions are wanted */
    const char *prefix; /* of the Bloom filter */
    uint64_t max_sst_bytes;
    uint32_t parts;
};

static const struct way ways[] = {
    {.name = "plain"},
    {.name = "zstd", .compression = SHL_COMPRESSION_ZSTD},
    {.name = "transformed", .transforms = true},
    {.name = "lz4, transformed", .compression = SHL_COMPRESSION_LZ4, .transforms = true},
    {.name = "aligned", .aligned = true},
    {.name = "prefix filter", .prefix = "3"},
    {.name = "an own filter", .own_filter = true},
    {.name = "small SSTs", .max_sst_bytes = 6000},
    {.name = "versions in several SSTs", .max_sst_bytes = 1, .early = true},
    {.name = "parts", .max_sst_bytes = 9000, .parts = 4},
};

static void bench_of(struct bench *b, const struct way *w)
{
    bench_init(b);
    use_operator(b, "concat");
    b->settings.compression = w->compression;
    b->settings.sst_block_alignment = w->aligned;
    b->settings.worker_max_subcompactions = w->parts > 0 ? w->parts : 1;
    b->settings.subcompaction_min_bytes = 1;
    b->settings.include_size_threshold = 1000; /* all runs into one */
    b->settings.l0_max_ssts = b->settings.l0_max_ssts_per_key = 64;
    if (w->max_sst_bytes > 0)
        b->settings.max_sst_size_bytes = w->max_sst_bytes;
    if (w->prefix != NULL)
        assert_true(shl_extractor_parse(w->prefix, &b->settings.filter.extractor));
    if (w->transforms) {
        b->transformer = shl_transformer_xor(0x5a);
        b->has_transformer = true;
    }
}

static void open_with(struct bench *b, const struct way *w, bool copies, bool compacts)
{
    struct shl_lsm_open o = bench_options(b);
    b->settings.compactor_enabled = compacts;
    o.filter = copies ? NULL : &keeps_all;
    if (w->own_filter)
        o.user_filters = test_own_filter;
    OK(shl_lsm_open_writer(&o, &b->db, &db_err));
}

static const char *key_of(unsigned k)
{
    static char key[16];
    (void)snprintf(key, sizeof key, "%c%05u", 'a' + (int)(k / 500), k);
    return key;
}

static void write_row(struct bench *b, unsigned k, unsigned t)
{
    static char value[3000];
    size_t len = k % 97 == 0 || k % 31 == 0 ? 2500 : 20 + k % 60;
    memset(value, 'a' + (int)((k + t) % 26), len);
    value[len] = '\0';
    put(b, key_of(k), value);
}

/* SSTs one behind the other, with a few deletions, operands, double versions and expiries in them. */
static void write_sequence(struct bench *b, bool settles)
{
    struct shl_snapshot
        *pin; /* the flushes keep all versions, and the compaction behind them one */
    write_row(b, 0, 0);
    OK(shl_snapshot_open(b->db, &pin, &db_err));
    for (unsigned t = 0; t < 4; t++) {
        for (unsigned k = t * 500; k < (t + 1) * 500; k++) {
            write_row(b, k, t);
            for (unsigned i = 0; k % 31 == 0 && i < k % 7;
                 i++) /* versions that lie in several blocks */
                write_row(b, k, t + i);
            if (k % 211 == 0)
                del(b, key_of(k));
            if (k % 223 == 0)
                merge(b, key_of(k), "+");
            if (k % 227 == 0)
                OK(write_kind(b, 0, key_of(k), "short lived",
                              (struct shl_ttl){.kind = SHL_TTL_AT_MS, .ms = 1}));
        }
        OK(shl_lsm_flush(b->db, true, &db_err));
    }
    if (settles)
        OK(shl_lsm_settle(b->db, &db_err));
    shl_snapshot_close(pin);
}

/* Changes of a narrow range. */
static void write_narrow(struct bench *b)
{
    for (unsigned t = 0; t < 2; t++) {
        for (unsigned k = 700 + t; k < 820; k += 2)
            write_row(b, k, 7 + t);
        OK(shl_lsm_flush(b->db, true, &db_err));
    }
}

struct result {
    struct shl_buf rows;        /* owned: all versions */
    unsigned long long sums[5]; /* of the stats blocks */
    uint64_t copied, filter_bytes, ssts;
};

static void dump_rows(struct bench *b, struct shl_buf *out)
{
    struct shl_recency *r;
    struct shl_row row;
    size_t layer;
    shale_code rc;
    char head[64];
    OK(shl_recency_open(b->db, shl_slice_of(NULL, 0), &(struct shl_lsm_scan){0}, &r, &db_err));
    while ((rc = shl_recency_next(r, &row, &layer, &db_err)) == SHALE_OK) {
        int n = snprintf(head, sizeof head, "\n%zu %llu %u ", layer, (unsigned long long)row.seq,
                         row.flags);
        OK(shl_buf_append(out, head, (size_t)n, &db_err));
        OK(shl_buf_append(out, row.key.data, row.key.len, &db_err));
        if (row.value.len > 0)
            OK(shl_buf_append(out, row.value.data, row.value.len, &db_err));
    }
    CHECK(rc == SHALE_DONE, "scan");
    shl_recency_close(r);
}

/* What the stats block of an SST says; and its filter's size. */
static void add_sst(struct bench *b, const struct shl_sst_desc *sst, struct result *r)
{
    static const char *const names[] = {
        "\"puts\":", "\"deletes\":", "\"merges\":", "\"raw_key_bytes\":", "\"raw_value_bytes\":"};
    const struct shl_inspect in = {.store = b->store,
                                   .path = "dir/db",
                                   .transformer = b->has_transformer ? &b->transformer : NULL};
    char id[SHL_ULID_TEXT];
    struct shl_buf text = {0};
    struct shl_json_writer w;
    shl_ulid_format(sst->id, id);
    shl_json_begin(&w, &text, &db_err);
    OK(shl_inspect_sst(&in, id, false, &w, &db_err));
    OK(shl_json_finish(&w));
    OK(shl_buf_append(&text, "", 1, &db_err));
    const char *stats = strstr((char *)text.data, "\"stats\":");
    assert_non_null(stats);
    for (size_t i = 0; i < SHL_COUNT_OF(names); i++) {
        const char *at = strstr(stats, names[i]);
        assert_non_null(at);
        r->sums[i] += strtoull(at + strlen(names[i]), NULL, 10);
    }
    r->filter_bytes += sst->info.filter_len;
    r->ssts++;
    shl_buf_free(&text);
}

static void sum_up(struct bench *b, struct result *r)
{
    uint64_t id;
    struct shl_manifest *m = newest_manifest(b, &id);
    assert_int_equal(m->root.l0.count, 0);
    assert_int_equal(m->root.runs.count, 1);
    for (size_t i = 0; i < m->root.runs.count; i++)
        for (size_t k = 0; k < m->root.runs.items[i].ssts.count; k++)
            add_sst(b, m->root.runs.items[i].ssts.items[k].sst, r);
    shl_manifest_free(m);
}

static bool is_there(struct bench *b, const char *key)
{
    static char value[4096];
    size_t len;
    shale_code rc = shl_lsm_get_into(b->db, shl_slice_str(key), &(struct shl_lsm_read){0}, value,
                                     sizeof value, &len, &db_err);
    CHECK(rc == SHALE_OK || rc == SHALE_NOT_FOUND, "%s", key);
    return rc == SHALE_OK;
}

static void look_up(struct bench *b)
{
    char missing[16];
    for (unsigned k = 0; k < 2000; k++) {
        bool deleted = k % 211 == 0 && k % 223 != 0 && (k < 700 || k >= 820);
        if (k % 227 == 0)
            continue;
        CHECK(is_there(b, key_of(k)) != deleted, "%s", key_of(k));
        (void)snprintf(missing, sizeof missing, "%s!", key_of(k));
        assert_false(is_there(b, missing));
    }
}

static void count_copied(struct bench *b, struct result *r)
{
    struct shl_lsm_metrics m;
    shl_lsm_metrics(b->db, &m);
    r->copied += m.compactor.copied_blocks;
}

static void settle(struct bench *b, const struct way *w, bool copies, struct result *r)
{
    count_copied(b, r);
    bench_close(b);
    open_with(b, w, copies, true);
    OK(shl_lsm_settle(b->db, &db_err));
    count_copied(b, r);
    bench_close(b);
    open_with(b, w, copies, false);
}

static void run_way(const struct way *w, bool copies, struct result *r)
{
    struct bench b;
    bench_of(&b, w);
    open_with(&b, w, copies, w->early);
    write_sequence(&b, w->early);
    if (w->early) /* a second run to be merged with the first */
        write_narrow(&b);
    settle(&b, w, copies, r);
    write_narrow(&b);
    settle(&b, w, copies, r);
    dump_rows(&b, &r->rows);
    sum_up(&b, r);
    look_up(&b);
    bench_end(&b);
}

static void test_copies_leave_what_merging_leaves(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHL_COUNT_OF(ways); i++) {
        struct result merged = {.ssts = 0}, copied = {.ssts = 0};
        run_way(&ways[i], false, &merged);
        run_way(&ways[i], true, &copied);
        CHECK(merged.copied == 0, "%s: copied in spite of the filter", ways[i].name);
        CHECK(copied.copied > 50, "%s: %llu blocks copied", ways[i].name,
              (unsigned long long)copied.copied);
        CHECK(shl_slice_eq(shl_buf_view(&merged.rows), shl_buf_view(&copied.rows)), "%s: rows",
              ways[i].name);
        CHECK(memcmp(merged.sums, copied.sums, sizeof merged.sums) == 0, "%s: stats", ways[i].name);
        if (ways[i].max_sst_bytes == 0)
            CHECK(merged.filter_bytes == copied.filter_bytes, "%s: filters", ways[i].name);
        else
            assert_true(copied.ssts > 4);
        shl_buf_free(&merged.rows);
        shl_buf_free(&copied.rows);
    }
}

/* Blocks of another codec, or of another size, are merged row by row. */
static void test_blocks_stored_in_another_way_are_not_copied(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct result r = {.ssts = 0};
        struct bench b;
        bench_of(&b, &ways[0]);
        open_with(&b, &ways[0], true, false);
        write_sequence(&b, false);
        if (i == 0)
            b.settings.compression = SHL_COMPRESSION_SNAPPY;
        else
            b.settings.sst_block_size_bytes = 16 * 1024;
        settle(&b, &ways[0], true, &r);
        assert_int_equal(r.copied, 0);
        look_up(&b);
        bench_end(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies_leave_what_merging_leaves),
        cmocka_unit_test(test_blocks_stored_in_another_way_are_not_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
