/* Goal: lookups and scans of one SST give exactly its rows, for every block size, block version, codec and way of caching, and damage is
 * reported, never returned.
 * Method: random rows with many versions, made into files by the format's encoders; every answer is compared with a linear search
 * over the rows. Then each bit of small files is flipped, manifests lie, and the store fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/num.h"
#include "lsm/fanout.h"
#include "support/sst.h"

#define SEED UINT64_C(0x5e5771)

/* One file, its store, and a handle on it. */
struct fixture {
    struct test_rows rows;
    struct shl_buf file;
    struct shl_sst_desc *desc;
    struct test_store store;
    struct shl_epoch *epoch;
    struct shl_cache *cache;
    struct shl_sst_context cx;
    struct shl_sst *sst;
    struct shl_fanout *fanout;
    struct shl_read_budget budget;
};

/* cache_bytes UINT64_MAX: without cache. */
static void fixture_open(struct fixture *fx, uint64_t cache_bytes)
{
    shale_error err;
    test_must(shl_epoch_new(&fx->epoch, &err), &err);
    test_must(shl_fanout_new(&fx->fanout, &err), &err);
    fx->cache = NULL;
    if (cache_bytes != UINT64_MAX)
        test_must(shl_cache_new(cache_bytes, fx->epoch, &fx->cache, &err), &err);
    fx->cx.epoch = fx->epoch;
    fx->cx.cache = fx->cache;
    test_must(shl_sst_open(&fx->cx, &fx->store.base, TEST_SST_KEY, fx->desc, &fx->sst, &err), &err);
}

static void fixture_close(struct fixture *fx)
{
    shl_fanout_free(fx->fanout);
    assert_int_equal(fx->budget.used_bytes, 0);
    shl_sst_unref(fx->sst);
    shl_cache_free(fx->cache);
    shl_epoch_free(fx->epoch);
}

static void fixture_init(struct fixture *fx, const struct test_sst_kind *kind,
                         const struct test_rows_kind *rows, uint64_t cache_bytes, uint64_t *rand)
{
    *fx = (struct fixture){.cx = {.transformer = kind->transformer,
                                  .policies = kind->policy,
                                  .policy_count = kind->policy == NULL ? 0 : 1}};
    test_rows_make(&fx->rows, rows, rand);
    test_sst_make(kind, &fx->rows, &fx->file, &fx->desc);
    test_store_init(&fx->store, shl_buf_view(&fx->file));
    fixture_open(fx, cache_bytes);
}

static void fixture_deinit(struct fixture *fx)
{
    fixture_close(fx);
    test_store_deinit(&fx->store);
    shl_sst_desc_unref(fx->desc);
    shl_buf_free(&fx->file);
    test_rows_free(&fx->rows);
}

/* ---------------------------------------------------------------- the kinds of files */

static const struct shl_slice no_context = {.data = NULL};
static const struct shl_filter_policy whole_key = {.bits_per_key = 10, .whole_key = true};
static const struct shl_filter_policy prefix_only = {
    .bits_per_key = 10, .extractor = {.kind = SHL_EXTRACT_FIXED, .fixed_len = 3, .name = "fixed3"}};
static struct shl_transformer xor_transformer;

static const struct {
    const char *name;
    struct test_sst_kind sst;
    struct test_rows_kind rows;
} kinds[] = {
    {"1K", {.block_bytes = 1024, .version = 2}, {1500, 12, NULL, NULL, 60, 4}},
    {"2K filter",
     {.block_bytes = 2048, .version = 2, .policy = &whole_key},
     {1500, 12, NULL, NULL, 60, 4}},
    {"4K", {.block_bytes = 4096, .version = 2}, {3000, 16, "abcdefghij", "user:", 100, 1}},
    {"4K long prefix",
     {.block_bytes = 4096, .version = 2},
     {2000, 9, NULL, "a prefix that is longer than what the header of a block has room for: ", 30,
      2}},
    {"4K prefix filter",
     {.block_bytes = 4096, .version = 2, .policy = &prefix_only},
     {3000, 6, NULL, NULL, 40, 3}},
    {"8K lz4",
     {.block_bytes = 8192, .version = 2, .compression = SHL_COMPRESSION_LZ4},
     {3000, 9, NULL, NULL, 90, 3}},
    {"16K snappy",
     {.block_bytes = 16384, .version = 2, .compression = SHL_COMPRESSION_SNAPPY},
     {3000, 9, NULL, NULL, 90, 3}},
    {"32K zlib",
     {.block_bytes = 32768, .version = 2, .compression = SHL_COMPRESSION_ZLIB},
     {3000, 9, NULL, NULL, 90, 3}},
    {"64K zstd",
     {.block_bytes = 65536, .version = 2, .compression = SHL_COMPRESSION_ZSTD},
     {3000, 9, NULL, NULL, 90, 3}},
    {"64K", {.block_bytes = 65536, .version = 2}, {3000, 9, NULL, NULL, 90, 3}},
    {"4K zstd xor filter",
     {.block_bytes = 4096,
      .version = 2,
      .compression = SHL_COMPRESSION_ZSTD,
      .transformer = &xor_transformer,
      .policy = &whole_key},
     {2000, 9, NULL, NULL, 90, 3}},
    {"4K xor",
     {.block_bytes = 4096, .version = 2, .transformer = &xor_transformer},
     {2000, 9, NULL, NULL, 90, 3}},
    {"aligned",
     {.block_bytes = 1024, .version = 2, .aligned = true},
     {1500, 12, NULL, NULL, 60, 4}},
    {"oversized rows",
     {.block_bytes = 1024, .version = 2, .aligned = true},
     {200, 4, NULL, NULL, 9000, 4}},
    {"versions span blocks",
     {.block_bytes = 1024, .version = 2, .policy = &whole_key},
     {2000, 2, "ab", NULL, 60, 300}},
    {"whole first keys",
     {.block_bytes = 1024, .version = 2, .whole_keys = true, .old = true},
     {1500, 12, NULL, NULL, 60, 4}},
    {"v1",
     {.block_bytes = 4096, .version = 1, .old = true, .whole_keys = true},
     {2000, 12, NULL, NULL, 60, 4}},
    {"v1 spanning",
     {.block_bytes = 1024, .version = 1, .old = true},
     {1500, 2, "ab", NULL, 60, 300}},
    {"one row", {.block_bytes = 4096, .version = 2}, {1, 12, NULL, NULL, 60, 1}},
    {"tiny rows", {.block_bytes = 4096, .version = 2}, {3000, 7, NULL, NULL, 0, 1}},
    {"many blocks",
     {.block_bytes = 1024, .version = 2},
     {30000, 20, "abcdefghijklmnopqrst", NULL, 150, 1}},
};

static const uint64_t cache_sizes[] = {UINT64_MAX, 0, 20000, 32 << 20};

/* A key of the file, one that is near to it, or any. */
static struct shl_slice random_key(const struct test_rows *rows, uint8_t *room, uint64_t *rand)
{
    struct shl_slice from = rows->items[test_rand_below(rand, rows->count)].key;
    size_t len = from.len;
    memcpy(room, from.data, len);
    switch (test_rand_below(rand, 5)) {
    case 0:
        room[len++] = (uint8_t)(test_rand_below(rand, 2) * 255);
        break;
    case 1:
        len = 1 + test_rand_below(rand, len);
        break;
    case 2:
        room[test_rand_below(rand, len)] ^= (uint8_t)(1u << test_rand_below(rand, 8));
        break;
    default:
        break;
    }
    return shl_slice_of(room, len);
}

/* ---------------------------------------------------------------- lookups */

static void check_lookup(struct fixture *fx, struct shl_slice key, uint64_t max_seq, bool keep,
                         const char *name)
{
    shale_error err;
    struct shl_buf value = {0};
    struct shl_row row;
    const struct shl_row *want = test_rows_find(&fx->rows, key, max_seq);
    bool found = test_sst_get(fx->epoch, fx->sst, key, max_seq, keep, &row, &value, NULL, &err);
    if (found != (want != NULL))
        fail_msg("%s: found %d, want %d", name, found, want != NULL);
    if (found && !test_row_equal(&row, want))
        fail_msg("%s: seq %llu, want %llu", name, (unsigned long long)row.seq,
                 (unsigned long long)want->seq);
    shl_buf_free(&value);
}

static void test_lookups_equal_linear_search(void **state)
{
    (void)state;
    uint64_t rand = SEED;
    printf("seed 0x%llx\n", (unsigned long long)SEED);
    for (size_t k = 0; k < SHL_COUNT_OF(kinds); k++) {
        for (size_t c = 0; c < SHL_COUNT_OF(cache_sizes); c++) {
            struct fixture fx;
            uint8_t room[256];
            fixture_init(&fx, &kinds[k].sst, &kinds[k].rows, cache_sizes[c], &rand);
            size_t rounds = fx.rows.count > 10000 ? 300 : 1200;
            for (size_t i = 0; i < rounds; i++)
                check_lookup(&fx, random_key(&fx.rows, room, &rand),
                             1 + test_rand_below(&rand, fx.rows.count + 10),
                             test_rand_below(&rand, 4) != 0, kinds[k].name);
            fixture_deinit(&fx);
        }
    }
}

/* A merge reads all versions: after FOUND with max_seq = seq - 1. */
static void test_older_versions_follow_in_order(void **state)
{
    (void)state;
    uint64_t rand = SEED + 1;
    struct fixture fx;
    shale_error err;
    struct shl_buf value = {0};
    struct test_rows_kind rows = {1500, 2, "ab", NULL, 60, 300};
    fixture_init(&fx, &kinds[0].sst, &rows, 1 << 20, &rand);
    for (size_t i = 0; i < fx.rows.count;) {
        struct shl_slice key = fx.rows.items[i].key;
        struct shl_row row;
        uint64_t max_seq = UINT64_MAX;
        while (test_sst_get(fx.epoch, fx.sst, key, max_seq, true, &row, &value, NULL, &err)) {
            assert_true(i < fx.rows.count && test_row_equal(&row, &fx.rows.items[i]));
            max_seq = row.seq - 1;
            i++;
        }
        assert_true(i == fx.rows.count || !shl_slice_eq(fx.rows.items[i].key, key));
    }
    shl_buf_free(&value);
    fixture_deinit(&fx);
}

static void test_filter_refuses_most_missing_keys_without_a_block(void **state)
{
    (void)state;
    uint64_t rand = SEED + 2;
    struct fixture fx;
    struct test_rows_kind rows = {2000, 16, "abcdefghij", "k", 100, 1};
    fixture_init(&fx, &kinds[1].sst, &rows, 1 << 20, &rand);
    shale_error err;
    test_must(shl_sst_load_meta(fx.sst, &err), &err);
    assert_int_equal(fx.store.gets, 1); /* filter and index lie side by side */
    size_t passed = 0;
    for (int i = 0; i < 1000; i++) {
        char key[32];
        int n = snprintf(key, sizeof key, "missing%d", i);
        struct shl_slice s = shl_slice_of(key, (size_t)n);
        shl_sst_prefetch_filter(fx.sst, shl_filter_hash(s));
        passed += shl_sst_may_contain(fx.sst, s, shl_filter_hash(s));
        assert_true(shl_sst_may_contain_prefix(fx.sst, s, no_context)); /* no prefix filter here */
    }
    assert_in_range(passed, 0, 40);
    fixture_deinit(&fx);
}

static void test_prefix_filter_answers_prefix_scans(void **state)
{
    (void)state;
    uint64_t rand = SEED + 3;
    struct fixture fx;
    struct test_sst_kind kind = {.block_bytes = 4096, .version = 2, .policy = &prefix_only};
    struct test_rows_kind rows = {2000, 6, "ab", NULL, 20, 1};
    fixture_init(&fx, &kind, &rows, 1 << 20, &rand);
    shale_error err;
    test_must(shl_sst_load_meta(fx.sst, &err), &err);
    for (size_t i = 0; i < fx.rows.count; i++)
        assert_true(shl_sst_may_contain_prefix(fx.sst, fx.rows.items[i].key, no_context));
    assert_true(shl_sst_may_contain_prefix(fx.sst, shl_slice_str("zz"),
                                           no_context)); /* too short for the extractor */
    size_t passed = 0;
    for (int i = 0; i < 1000; i++) {
        char key[32];
        int n = snprintf(key, sizeof key, "%03dx", i);
        passed += shl_sst_may_contain_prefix(fx.sst, shl_slice_of(key, (size_t)n), no_context);
        assert_int_equal(
            shl_sst_may_contain(fx.sst, shl_slice_of(key, (size_t)n), 0),
            shl_sst_may_contain_prefix(fx.sst, shl_slice_of(key, (size_t)n), no_context));
    }
    assert_in_range(passed, 0, 100);
    fixture_deinit(&fx);
}

/* ---------------------------------------------------------------- scans */

/* The rows that a source must give: in order of the direction, inside range, from target on. */
static bool row_wanted(const struct shl_row *row, const struct shl_sst_scan *how,
                       const struct shl_slice *target)
{
    if (!shl_key_range_contains(&how->range, row->key))
        return false;
    if (target == NULL)
        return true;
    int c = shl_slice_cmp(row->key, *target);
    return how->reverse ? c <= 0 : c >= 0;
}

static void check_scan(struct fixture *fx, struct shl_source *s, const struct shl_sst_scan *how,
                       const struct shl_slice *target, size_t rows_max, const char *name)
{
    shale_error err;
    size_t n = fx->rows.count;
    test_must(shl_source_seek(s, target, &err), &err);
    for (size_t k = 0, seen = 0; k < n; k++) {
        const struct shl_row *row = &fx->rows.items[how->reverse ? n - 1 - k : k];
        if (!row_wanted(row, how, target))
            continue;
        if (!s->valid || !test_row_equal(&s->row, row))
            fail_msg("%s%s: row %zu: %s", name, how->reverse ? " reverse" : "", k,
                     s->valid ? "differs" : "missing");
        if (++seen == rows_max)
            return;
        test_must(shl_source_next(s, &err), &err);
    }
    assert_false(s->valid);
}

static void random_range(struct shl_key_range *r, const struct test_rows *rows,
                         uint8_t room[2][256], uint64_t *rand)
{
    *r = (struct shl_key_range){.end_unbounded = true};
    if (test_rand_below(rand, 3) != 0)
        r->start = random_key(rows, room[0], rand);
    if (test_rand_below(rand, 3) == 0)
        return;
    r->end = random_key(rows, room[1], rand);
    r->end_unbounded = false;
    r->end_inclusive = test_rand_below(rand, 2) != 0;
}

/* With bounds: all rows between them, and whatever else the source likes to give. */
static void check_bounded_scan(struct fixture *fx, struct shl_source *s,
                               const struct shl_sst_scan *how, const char *name)
{
    shale_error err;
    size_t n = fx->rows.count;
    test_must(shl_source_seek(s, NULL, &err), &err);
    for (size_t k = 0; k < n; k++) {
        const struct shl_row *row = &fx->rows.items[how->reverse ? n - 1 - k : k];
        if (!row_wanted(row, how, NULL))
            continue;
        bool outside = (how->lower != NULL && shl_slice_cmp(row->key, *how->lower) < 0) ||
                       (how->upper != NULL && shl_slice_cmp(row->key, *how->upper) > 0);
        bool given = s->valid && test_row_equal(&s->row, row);
        if (!given && !outside)
            fail_msg("%s%s: row %zu is missing", name, how->reverse ? " reverse" : "", k);
        if (given)
            test_must(shl_source_next(s, &err), &err);
    }
    assert_false(s->valid);
}

static void scan_in_bounds(struct fixture *fx, struct shl_sst_scan how, const char *name,
                           uint64_t *rand)
{
    shale_error err;
    uint8_t room[2][256];
    struct shl_source *s = NULL;
    struct shl_slice lower = random_key(&fx->rows, room[0], rand);
    struct shl_slice upper = random_key(&fx->rows, room[1], rand);
    how.lower = test_rand_below(rand, 4) != 0 ? &lower : NULL;
    how.upper = test_rand_below(rand, 4) != 0 ? &upper : NULL;
    test_must(shl_sst_source_new(fx->sst, &how, &s, &err), &err);
    check_bounded_scan(fx, s, &how, name);
    shl_source_close(s);
}

static void scan_randomly(struct fixture *fx, const char *name, uint64_t *rand)
{
    shale_error err;
    uint8_t room[2][256];
    uint8_t target_room[256];
    struct shl_sst_scan how = {.reverse = test_rand_below(rand, 2) != 0,
                               .use_cache = test_rand_below(rand, 2) != 0,
                               .fill_cache = test_rand_below(rand, 2) != 0,
                               .window_first_bytes = test_rand_below(rand, 3) * 3000,
                               .window_max_bytes = test_rand_below(rand, 3) * 40000};
    struct shl_source *s = NULL;
    if (test_rand_below(rand, 2) != 0) {
        how.fanout = fx->fanout;
        how.budget = &fx->budget;
        how.ahead_first = (unsigned)test_rand_below(rand, 3);
        fx->budget.max_bytes = test_rand_below(rand, 2) != 0 ? UINT64_MAX : 9000;
    }
    random_range(&how.range, &fx->rows, room, rand);
    test_must(shl_sst_source_new(fx->sst, &how, &s, &err), &err);
    check_scan(fx, s, &how, NULL, fx->rows.count, name);
    for (int i = 0; i < 4; i++) {
        struct shl_slice target = random_key(&fx->rows, target_room, rand);
        check_scan(fx, s, &how, &target, test_rand_below(rand, 60) + 1, name);
    }
    shl_source_close(s);
    scan_in_bounds(fx, how, name, rand);
}

static void test_scans_give_all_rows_of_the_range(void **state)
{
    (void)state;
    uint64_t rand = SEED + 4;
    for (size_t k = 0; k < SHL_COUNT_OF(kinds); k++) {
        for (size_t c = 0; c < SHL_COUNT_OF(cache_sizes); c++) {
            struct fixture fx;
            fixture_init(&fx, &kinds[k].sst, &kinds[k].rows, cache_sizes[c], &rand);
            int rounds = fx.rows.count > 10000 ? 4 : 20;
            for (int i = 0; i < rounds; i++)
                scan_randomly(&fx, kinds[k].name, &rand);
            fixture_deinit(&fx);
        }
    }
}

static void test_windows_double_up_to_their_maximum(void **state)
{
    (void)state;
    uint64_t rand = SEED + 5;
    struct fixture fx;
    shale_error err;
    struct test_rows_kind rows = {4000, 16, "abcdefghij", NULL, 100, 1};
    fixture_init(&fx, &kinds[0].sst, &rows, 0, &rand);
    test_must(shl_sst_load_meta(fx.sst, &err), &err);
    struct shl_sst_scan how = {
        .range = {.end_unbounded = true}, .window_first_bytes = 1, .window_max_bytes = 16384};
    struct shl_source *s = NULL;
    for (int reverse = 0; reverse < 2; reverse++) {
        how.reverse = reverse;
        atomic_store(&fx.store.gets, 0u);
        atomic_store(&fx.store.ranges_bytes, 0u);
        test_must(shl_sst_source_new(fx.sst, &how, &s, &err), &err);
        check_scan(&fx, s, &how, NULL, fx.rows.count, "windows");
        shl_source_close(s);
        size_t data = fx.desc->info.index_offset;
        assert_int_equal(fx.store.ranges_bytes, data); /* every byte once */
        assert_in_range(fx.store.gets, data / 16384, 14 + data / 14000);
    }
    fixture_deinit(&fx);
}

static void test_read_ahead_reads_every_byte_once(void **state)
{
    (void)state;
    uint64_t rand = SEED + 15;
    struct fixture fx;
    shale_error err;
    struct test_rows_kind rows = {4000, 16, "abcdefghij", NULL, 100, 1};
    fixture_init(&fx, &kinds[0].sst, &rows, 0, &rand);
    test_must(shl_sst_load_meta(fx.sst, &err), &err);
    struct shl_sst_scan how = {.range = {.end_unbounded = true},
                               .window_first_bytes = 4096,
                               .window_max_bytes = 16384,
                               .fanout = fx.fanout,
                               .budget = &fx.budget};
    struct shl_source *s = NULL;
    fx.budget.max_bytes = UINT64_MAX;
    fx.store.delay_ns = 100000;
    for (int reverse = 0; reverse < 2; reverse++) {
        how.reverse = reverse;
        atomic_store(&fx.store.ranges_bytes, 0u);
        test_must(shl_sst_source_new(fx.sst, &how, &s, &err), &err);
        check_scan(&fx, s, &how, NULL, fx.rows.count, "ahead");
        size_t window;
        unsigned ahead;
        shl_sst_source_pace(s, &window, &ahead);
        assert_int_equal(window, 16384);
        assert_in_range(ahead, 1, SHL_SST_AHEAD_MAX);
        shl_source_close(s);
        assert_int_equal(fx.store.ranges_bytes, fx.desc->info.index_offset);
        /* Who stops in the first half of the first window asked for nothing else. */
        atomic_store(&fx.store.gets, 0u);
        test_must(shl_sst_source_new(fx.sst, &how, &s, &err), &err);
        check_scan(&fx, s, &how, NULL, 5, "ahead");
        shl_source_close(s);
        assert_int_equal(fx.store.gets, 1);
    }
    fixture_deinit(&fx);
}

/* Whatever is on its way when a source is closed, or sought anew, comes to an end without it. */
static void test_read_ahead_that_nobody_waits_for_ends_by_itself(void **state)
{
    (void)state;
    uint64_t rand = SEED + 16;
    struct fixture fx;
    shale_error err;
    struct test_rows_kind rows = {4000, 16, "abcdefghij", NULL, 100, 1};
    fixture_init(&fx, &kinds[0].sst, &rows, 0, &rand);
    fx.store.delay_ns = 1000000;
    struct shl_sst_scan how = {.range = {.end_unbounded = true},
                               .window_first_bytes = 1024,
                               .window_max_bytes = 4096,
                               .fanout = fx.fanout,
                               .budget = &fx.budget,
                               .ahead_first = SHL_SST_AHEAD_MAX};
    fx.budget.max_bytes = UINT64_MAX;
    for (int i = 0; i < 20; i++) {
        struct shl_source *s = NULL;
        test_must(shl_sst_source_new(fx.sst, &how, &s, &err), &err);
        check_scan(&fx, s, &how, NULL, test_rand_below(&rand, 100) + 1, "given up");
        check_scan(&fx, s, &how, &fx.rows.items[fx.rows.count / 2].key, 1, "given up");
        shl_source_close(s);
        assert_int_equal(fx.budget.used_bytes, 0);
    }
    fixture_deinit(&fx);
}

/* ---------------------------------------------------------------- damage */

static bool reads_as_before(struct fixture *fx, const char *what, size_t bit)
{
    shale_error err;
    struct shl_buf value = {0};
    bool damaged = false;
    for (size_t i = 0; i < fx->rows.count && !damaged; i += 3) {
        struct shl_row row;
        shale_code rc;
        const struct shl_row *want = &fx->rows.items[i];
        bool found =
            test_sst_get(fx->epoch, fx->sst, want->key, want->seq, true, &row, &value, &rc, &err);
        damaged = rc != SHALE_OK;
        if (damaged) {
            assert_int_equal(rc, SHALE_CORRUPTION);
            assert_non_null(strstr(err.text, TEST_SST_KEY));
        } else if (!found || !test_row_equal(&row, want)) {
            fail_msg("%s: bit %zu: wrong answer", what, bit);
        }
    }
    shl_buf_free(&value);
    return !damaged;
}

static bool scans_as_before(struct fixture *fx, bool reverse, const char *what, size_t bit)
{
    shale_error err;
    struct shl_sst_scan how = {
        .range = {.end_unbounded = true}, .reverse = reverse, .window_max_bytes = 1 << 20};
    struct shl_source *s = NULL;
    test_must(shl_sst_source_new(fx->sst, &how, &s, &err), &err);
    shale_code rc = shl_source_seek(s, NULL, &err);
    size_t n = fx->rows.count;
    for (size_t i = 0; i < n && rc == SHALE_OK; i++) {
        if (!s->valid || !test_row_equal(&s->row, &fx->rows.items[reverse ? n - 1 - i : i]))
            fail_msg("%s: bit %zu: wrong row %zu", what, bit, i);
        rc = shl_source_next(s, &err);
    }
    if (rc != SHALE_OK) {
        assert_int_equal(rc, SHALE_CORRUPTION);
        assert_non_null(strstr(err.text, TEST_SST_KEY));
    } else {
        assert_false(s->valid);
    }
    shl_source_close(s);
    return rc == SHALE_OK;
}

static void test_every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    static const size_t used[] = {1, 6, 12, 16, 10}; /* of the kinds */
    uint64_t rand = SEED + 6;
    for (size_t k = 0; k < SHL_COUNT_OF(used); k++) {
        struct fixture fx;
        struct test_sst_kind kind = kinds[used[k]].sst;
        kind.block_bytes = 1024;
        struct test_rows_kind rows = {30, 8, NULL, "p", 80, 2};
        fixture_init(&fx, &kind, &rows, 1 << 20, &rand);
        fixture_close(&fx);
        size_t end = fx.desc->info.index_offset + fx.desc->info.index_len;
        size_t unnoticed = 0;
        for (size_t bit = 0; bit < end * 8; bit += 1 + test_rand_below(&rand, 3)) {
            fx.file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            fixture_open(&fx, 1 << 20);
            bool clean = reads_as_before(&fx, kinds[used[k]].name, bit);
            clean = scans_as_before(&fx, bit % 2 != 0, kinds[used[k]].name, bit) && clean;
            unnoticed += clean;
            fixture_close(&fx);
            fx.file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        if (!kind.aligned) /* padding is read by nobody */
            assert_int_equal(unnoticed, 0);
        fixture_open(&fx, 1 << 20);
        assert_true(reads_as_before(&fx, kinds[used[k]].name, SIZE_MAX));
        fixture_deinit(&fx);
    }
}

static void test_damaged_bytes_are_read_once_more(void **state)
{
    (void)state;
    for (int scan = 0; scan < 2; scan++) {
        for (uint64_t damaged = 1; damaged <= 2; damaged++) {
            uint64_t rand = SEED + 7;
            struct fixture fx;
            shale_error err;
            fixture_init(&fx, &kinds[1].sst, &kinds[1].rows, 1 << 20, &rand);
            atomic_store(&fx.store.damaged_gets, damaged);
            shale_code rc = shl_sst_load_meta(fx.sst, &err);
            assert_int_equal(rc, damaged == 1 ? SHALE_OK : SHALE_CORRUPTION);
            assert_int_equal(fx.store.gets, 2);
            test_must(shl_sst_load_meta(fx.sst, &err), &err);
            atomic_store(&fx.store.gets, 0u);
            atomic_store(&fx.store.damaged_gets, damaged);
            bool clean =
                scan ? scans_as_before(&fx, false, "twice", 0) : reads_as_before(&fx, "twice", 0);
            assert_int_equal(clean, damaged == 1);
            if (damaged == 2)
                assert_int_equal(fx.store.gets, 2);
            assert_true(scans_as_before(&fx, true, "after", 0));
            assert_true(reads_as_before(&fx, "after", 0));
            fixture_deinit(&fx);
        }
    }
}

static void test_lies_of_the_manifest_are_corruption(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t index_offset, index_len, filter_offset, filter_len; /* added */
        enum shl_sst_type type;
        const char *text;
    } cases[] = {
        {"index too long", 0, 1 << 20, 0, 0, SHL_SST_COMPACTED, "ends before"},
        {"index of 2 GiB", 0, INT64_C(1) << 31, 0, 0, SHL_SST_COMPACTED, "index has"},
        {"index of 900 MiB", 0, INT64_C(900) << 20, 0, 0, SHL_SST_COMPACTED, "ends before"},
        {"index far away", INT64_C(1) << 40, 0, 0, 0, SHL_SST_COMPACTED, "ends before"},
        {"index overflows", -64, INT64_MAX, 0, 0, SHL_SST_COMPACTED, "index has"},
        {"index moved", -7, 0, 0, 0, SHL_SST_COMPACTED, "index at"},
        {"index short", 0, -3, 0, 0, SHL_SST_COMPACTED, "index at"},
        {"filter moved", 0, 0, -8, 8, SHL_SST_COMPACTED, "filter at"},
        {"filter huge", 0, 0, 0, INT64_C(1) << 50, SHL_SST_COMPACTED, "filter has"},
        {"wal", 0, 0, 0, 0, SHL_SST_WAL, "type 1"},
    };
    uint64_t rand = SEED + 8;
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct fixture fx;
        shale_error err;
        fixture_init(&fx, &kinds[1].sst, &kinds[1].rows, 1 << 20, &rand);
        fixture_close(&fx);
        struct shl_sst_info info = fx.desc->info;
        info.index_offset += (uint64_t)cases[i].index_offset;
        info.index_len += (uint64_t)cases[i].index_len;
        info.filter_offset += (uint64_t)cases[i].filter_offset;
        info.filter_len += (uint64_t)cases[i].filter_len;
        info.type = cases[i].type;
        struct shl_sst_desc *lie = NULL;
        test_must(shl_sst_desc_new(fx.desc->id, 2, true, &info, &lie, &err), &err);
        shl_sst_desc_unref(fx.desc);
        fx.desc = lie;
        fixture_open(&fx, 1 << 20);
        shale_code rc = shl_sst_load_meta(fx.sst, &err);
        if (rc != SHALE_CORRUPTION || strstr(err.text, cases[i].text) == NULL ||
            strstr(err.text, TEST_SST_KEY) == NULL)
            fail_msg("%s: %s: %s", cases[i].name, shale_code_name(rc),
                     rc == SHALE_OK ? "" : err.text);
        fixture_deinit(&fx);
    }
}

static void test_missing_and_cut_objects_are_corruption(void **state)
{
    (void)state;
    uint64_t rand = SEED + 9;
    struct fixture fx;
    shale_error err;
    struct shl_block *b = NULL;
    fixture_init(&fx, &kinds[0].sst, &kinds[0].rows, 1 << 20, &rand);
    struct shl_slice whole = fx.store.object;
    fx.store.object = shl_slice_of(NULL, 0);
    assert_int_equal(shl_sst_load_meta(fx.sst, &err), SHALE_CORRUPTION);
    assert_non_null(strstr(err.text, TEST_SST_KEY " is missing"));
    fx.store.object = whole;
    test_must(shl_sst_load_meta(fx.sst, &err), &err);
    fx.store.object = shl_slice_of(whole.data, 900); /* inside of block 0 */
    assert_int_equal(shl_sst_load_block(fx.sst, 0, true, &b, &err), SHALE_CORRUPTION);
    assert_non_null(strstr(err.text, TEST_SST_KEY));
    assert_int_equal(fx.store.gets, 3); /* no second try: the bytes were not damaged */
    fx.store.object = whole;
    fixture_deinit(&fx);
}

static void test_store_failures_keep_their_code_and_pass(void **state)
{
    (void)state;
    uint64_t rand = SEED + 10;
    struct fixture fx;
    shale_error err;
    struct shl_block *b = NULL;
    fixture_init(&fx, &kinds[0].sst, &kinds[0].rows, 1 << 20, &rand);
    atomic_store(&fx.store.failing_gets, 1u);
    assert_int_equal(shl_sst_load_meta(fx.sst, &err), SHALE_UNAVAILABLE);
    test_must(shl_sst_load_meta(fx.sst, &err), &err);
    atomic_store(&fx.store.failing_gets, 1u);
    assert_int_equal(shl_sst_load_block(fx.sst, 1, true, &b, &err), SHALE_UNAVAILABLE);
    assert_non_null(strstr(err.text, TEST_SST_KEY));
    struct shl_cache_counts counts;
    shl_cache_count(fx.cache, &counts);
    assert_int_equal(counts.bytes, 0);
    test_must(shl_sst_load_block(fx.sst, 1, true, &b, &err),
              &err); /* the slot is not left as loading */
    shl_block_unref(b);
    atomic_store(&fx.store.failing_gets, 1u);
    struct shl_sst_scan how = {.range = {.end_unbounded = true}};
    struct shl_source *s = NULL;
    test_must(shl_sst_source_new(fx.sst, &how, &s, &err), &err);
    assert_int_equal(shl_source_seek(s, NULL, &err), SHALE_UNAVAILABLE);
    assert_false(s->valid);
    check_scan(&fx, s, &how, NULL, fx.rows.count, "after a failure");
    shl_source_close(s);
    fixture_deinit(&fx);
}

static int setup(void **state)
{
    (void)state;
    xor_transformer = shl_transformer_xor(0x5a);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookups_equal_linear_search),
        cmocka_unit_test(test_older_versions_follow_in_order),
        cmocka_unit_test(test_filter_refuses_most_missing_keys_without_a_block),
        cmocka_unit_test(test_prefix_filter_answers_prefix_scans),
        cmocka_unit_test(test_scans_give_all_rows_of_the_range),
        cmocka_unit_test(test_windows_double_up_to_their_maximum),
        cmocka_unit_test(test_read_ahead_reads_every_byte_once),
        cmocka_unit_test(test_read_ahead_that_nobody_waits_for_ends_by_itself),
        cmocka_unit_test(test_every_flipped_bit_is_noticed),
        cmocka_unit_test(test_damaged_bytes_are_read_once_more),
        cmocka_unit_test(test_lies_of_the_manifest_are_corruption),
        cmocka_unit_test(test_missing_and_cut_objects_are_corruption),
        cmocka_unit_test(test_store_failures_keep_their_code_and_pass),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
