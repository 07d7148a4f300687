/* Goal: reading SSTs survives every failing allocation: NOMEM is said, nothing leaks, no block is left marked as being fetched, the limit
 * of the cache is not eaten up, and the same handle works when memory is there again.
 * Method: one scenario (open, lookups, scans both ways, with and without cache filling) is run with its n-th allocation failing, for
 * every n, once and from then on, until the run outlives the fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/env/sim.h"
#include "base/num.h"
#include "lsm/fanout.h"
#include "support/sst.h"

#define SEED UINT64_C(0xfa017)

static struct shl_filter_policy whole_key = {.bits_per_key = 10, .whole_key = true};
static struct shl_transformer xor_transformer;

static const struct {
    const char *name;
    struct test_sst_kind sst;
    uint64_t limit;
    uint64_t meta_limit;
} kinds[] = {
    {"plain", {.block_bytes = 1024, .version = 2, .policy = &whole_key}, 1 << 20, 1 << 20},
    {"small cache", {.block_bytes = 1024, .version = 2, .policy = &whole_key}, 6000, 1 << 20},
    {"nothing kept", {.block_bytes = 1024, .version = 2, .policy = &whole_key}, 6000, 0},
    {"slabs", {.block_bytes = 4096, .version = 2}, 16 << 20, 1 << 20},
    {"zstd xor",
     {.block_bytes = 2048,
      .version = 2,
      .compression = SHL_COMPRESSION_ZSTD,
      .transformer = &xor_transformer},
     1 << 20,
     1 << 20},
    {"v1", {.block_bytes = 1024, .version = 1}, 1 << 20, 1 << 20},
};

struct fixture {
    const char *name;
    uint64_t limit;
    uint64_t meta_limit;
    struct test_rows rows;
    struct shl_buf file;
    struct shl_sst_desc *desc;
    struct test_store store;
    struct shl_buf value; /* with room: copying a value takes no memory */
    struct shl_sst_context cx;
    struct shl_cache *cache;
    struct shl_meta_cache *metas;
    struct shl_sst *sst;
    struct shl_fanout *fanout;
    struct shl_read_budget budget;
};

static void fixture_init(struct fixture *fx, size_t k)
{
    uint64_t rand = SEED;
    shale_error err;
    struct test_rows_kind rows = {150, 8, NULL, "key", 80, 3};
    *fx = (struct fixture){
        .name = kinds[k].name, .limit = kinds[k].limit, .meta_limit = kinds[k].meta_limit};
    test_rows_make(&fx->rows, &rows, &rand);
    test_sst_make(&kinds[k].sst, &fx->rows, &fx->file, &fx->desc);
    test_store_init(&fx->store, shl_buf_view(&fx->file));
    assert_int_equal(shl_buf_reserve(&fx->value, 4096, &err), SHALE_OK);
    fx->cx.transformer = kinds[k].sst.transformer;
    fx->cx.policies = kinds[k].sst.policy;
    fx->cx.policy_count = kinds[k].sst.policy == NULL ? 0 : 1;
}

static void fixture_deinit(struct fixture *fx)
{
    shl_buf_free(&fx->value);
    test_store_deinit(&fx->store);
    shl_sst_desc_unref(fx->desc);
    shl_buf_free(&fx->file);
    test_rows_free(&fx->rows);
}

static shale_code open_all(struct fixture *fx, shale_error *err)
{
    shale_code rc = shl_epoch_new(&fx->cx.epoch, err);
    if (rc == SHALE_OK)
        rc = shl_cache_new(fx->limit, fx->cx.epoch, &fx->cache, err);
    fx->cx.cache = fx->cache;
    if (rc == SHALE_OK)
        rc = shl_meta_cache_new(fx->meta_limit, &fx->metas, err);
    fx->cx.metas = fx->metas;
    if (rc == SHALE_OK)
        rc = shl_fanout_new(&fx->fanout, err);
    if (rc == SHALE_OK)
        rc = shl_sst_open(&fx->cx, &fx->store.base, TEST_SST_KEY, fx->desc, &fx->sst, err);
    return rc;
}

static void close_all(struct fixture *fx)
{
    shl_fanout_free(fx->fanout);
    fx->fanout = NULL;
    shl_sst_unref(fx->sst);
    shl_meta_cache_free(fx->metas);
    shl_cache_free(fx->cache);
    shl_epoch_free(fx->cx.epoch);
    fx->sst = NULL;
    fx->cache = NULL;
    fx->metas = NULL;
    fx->cx.epoch = NULL;
}

static shale_code look_up_all(struct fixture *fx, shale_error *err)
{
    for (size_t i = 0; i < fx->rows.count; i += 2) {
        struct shl_row row;
        shale_code rc;
        const struct shl_row *want = &fx->rows.items[i];
        bool found = test_sst_get(fx->cx.epoch, fx->sst, want->key, want->seq, i % 8 != 0, &row,
                                  &fx->value, &rc, err);
        if (rc != SHALE_OK)
            return rc;
        assert_true(found && test_row_equal(&row, want));
    }
    return SHALE_OK;
}

static shale_code scan_all(struct fixture *fx, bool reverse, bool fill, bool ahead,
                           shale_error *err)
{
    struct shl_sst_scan how = {.range = {.end_unbounded = true},
                               .reverse = reverse,
                               .use_cache = fill,
                               .fill_cache = fill,
                               .window_max_bytes = 4096,
                               .fanout = ahead ? fx->fanout : NULL,
                               .budget = &fx->budget,
                               .ahead_first = ahead ? 2 : 0};
    struct shl_source *s = NULL;
    size_t n = fx->rows.count;
    shale_code rc = shl_sst_source_new(fx->sst, &how, &s, err);
    if (rc == SHALE_OK)
        rc = shl_source_seek(s, NULL, err);
    for (size_t i = 0; i < n && rc == SHALE_OK; i++) {
        assert_true(s->valid && test_row_equal(&s->row, &fx->rows.items[reverse ? n - 1 - i : i]));
        rc = shl_source_next(s, err);
    }
    if (rc == SHALE_OK) {
        struct shl_slice middle = fx->rows.items[n / 2].key;
        rc = shl_source_seek(s, &middle, err);
    }
    shl_source_close(s);
    return rc;
}

static shale_code read_all(struct fixture *fx, shale_error *err)
{
    shale_code rc = look_up_all(fx, err);
    fx->budget.max_bytes = 8192;
    for (int i = 0; rc == SHALE_OK && i < 8; i++)
        rc = scan_all(fx, i % 2 != 0, i % 4 >= 2, i >= 4, err);
    return rc;
}

/* Everything as if nothing had been; the cache counts what it holds and no more. */
static void check_recovered(struct fixture *fx)
{
    shale_error err = {.text = ""};
    struct shl_cache_counts counts;
    if (fx->sst == NULL) {
        close_all(fx);
        assert_int_equal(open_all(fx, &err), SHALE_OK);
    }
    if (read_all(fx, &err) != SHALE_OK)
        fail_msg("%s: after the fault: %s", fx->name, err.text);
    shl_cache_count(fx->cache, &counts);
    assert_in_range(counts.bytes, 0, fx->limit);
    shl_sst_unref(fx->sst);
    fx->sst = NULL;
    shl_cache_count(fx->cache, &counts);
    assert_int_equal(counts.bytes, 0);
}

/* True if the fault fired. */
static bool run_with_fault(struct fixture *fx, uint64_t nth, bool sticky)
{
    shale_error err = {.text = ""};
    sim_group self = sim_group_self();
    uint64_t live = sim_alloc_live(self);
    sim_alloc_fault_arm(self, nth, sticky);
    shale_code rc = open_all(fx, &err);
    if (rc == SHALE_OK)
        rc = read_all(fx, &err);
    bool fired = sim_alloc_fault_disarm(self) > nth;
    if (rc != SHALE_OK && (rc != SHALE_NOMEM || !fired))
        fail_msg("%s: allocation %llu: %s: %s", fx->name, (unsigned long long)nth,
                 shale_code_name(rc), err.text);
    check_recovered(fx);
    close_all(fx);
    if (sim_alloc_live(self) != live)
        fail_msg("%s: allocation %llu: %llu pieces live, want %llu", fx->name,
                 (unsigned long long)nth, (unsigned long long)sim_alloc_live(self),
                 (unsigned long long)live);
    return fired;
}

static void fail_every_allocation(void *arg)
{
    (void)arg;
    shale_error err;
    for (size_t k = 0; k < SHL_COUNT_OF(kinds); k++) {
        struct fixture fx;
        fixture_init(&fx, k);
        assert_int_equal(open_all(&fx, &err),
                         SHALE_OK); /* once before: codecs keep contexts per task */
        assert_int_equal(read_all(&fx, &err), SHALE_OK);
        close_all(&fx);
        for (int sticky = 0; sticky < 2; sticky++) {
            uint64_t nth = 0;
            while (run_with_fault(&fx, nth, sticky))
                nth++;
            printf("%s: %llu allocations failed\n", fx.name, (unsigned long long)nth);
            assert_true(nth > 20);
        }
        fixture_deinit(&fx);
    }
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    struct sim_options o = {.seed = SEED,
                            .progress_ns_max = UINT64_MAX,
                            .steps_max = UINT64_MAX,
                            .scenario = "sst_read nomem"};
    xor_transformer = shl_transformer_xor(0x5a);
    sim_run(&o, fail_every_allocation, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
