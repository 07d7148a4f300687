/* Goal: the cache keeps within its limit whatever happens at once, fetches a block once however many ask for it, keeps what is used
 * over what is not, and never frees what a reader still sees.
 * Method: one SST in a store that counts and delays; first step by step, then real tasks (and ThreadSanitizer). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/num.h"
#include "lsm/sst/block_cache.h"
#include "support/sst.h"

#define SEED  UINT64_C(0xb10c)
#define TASKS 8

struct fixture {
    struct test_rows rows;
    struct shl_buf file;
    struct shl_sst_desc *desc;
    struct test_store store;
    struct shl_epoch *epoch;
    struct shl_cache *cache;
    struct shl_sst_context cx;
    struct shl_sst *sst;
    size_t blocks;
    uint64_t limit;
};

static void fixture_init(struct fixture *fx, uint64_t limit, size_t rows,
                         enum shl_compression compression)
{
    shale_error err;
    uint64_t rand = SEED;
    struct test_sst_kind sst = {.block_bytes = 4096, .version = 2, .compression = compression};
    struct test_rows_kind kind = {rows, 16, "0123456789abcdef", "key", 100, 1};
    *fx = (struct fixture){.limit = limit};
    test_rows_make(&fx->rows, &kind, &rand);
    test_sst_make(&sst, &fx->rows, &fx->file, &fx->desc);
    test_store_init(&fx->store, shl_buf_view(&fx->file));
    test_must(shl_epoch_new(&fx->epoch, &err), &err);
    test_must(shl_cache_new(limit, fx->epoch, &fx->cache, &err), &err);
    fx->cx = (struct shl_sst_context){.epoch = fx->epoch, .cache = fx->cache};
    test_must(shl_sst_open(&fx->cx, &fx->store.base, TEST_SST_KEY, fx->desc, &fx->sst, &err), &err);
    test_must(shl_sst_load_meta(fx->sst, &err), &err);
    fx->blocks = shl_sst_block_count(fx->sst);
    atomic_store(&fx->store.gets, 0u);
}

static void fixture_deinit(struct fixture *fx)
{
    shl_sst_unref(fx->sst);
    struct shl_cache_counts counts;
    shl_cache_count(fx->cache, &counts);
    assert_int_equal(counts.bytes, 0); /* the handle took its blocks with it */
    shl_cache_free(fx->cache);
    shl_epoch_free(fx->epoch);
    test_store_deinit(&fx->store);
    shl_sst_desc_unref(fx->desc);
    shl_buf_free(&fx->file);
    test_rows_free(&fx->rows);
}

static uint64_t held(const struct fixture *fx)
{
    struct shl_cache_counts counts;
    shl_cache_count(fx->cache, &counts);
    return counts.bytes;
}

static void load(struct fixture *fx, uint32_t i, bool keep)
{
    shale_error err;
    struct shl_block *b = NULL;
    test_must(shl_sst_load_block(fx->sst, i, keep, &b, &err), &err);
    shl_block_unref(b);
}

/* Loads it and tells whether that took a request. */
static bool was_missing(struct fixture *fx, uint32_t i)
{
    uint64_t before = atomic_load(&fx->store.gets);
    load(fx, i, true);
    return atomic_load(&fx->store.gets) != before;
}

/* ---------------------------------------------------------------- step by step */

static void test_kept_blocks_are_not_fetched_again(void **state)
{
    (void)state;
    struct fixture fx;
    fixture_init(&fx, 64 << 20, 3000, SHL_COMPRESSION_NONE);
    assert_true(fx.blocks > 50);
    load(&fx, 0, false);
    assert_int_equal(held(&fx), 0);
    for (uint32_t i = 0; i < fx.blocks; i++)
        assert_true(was_missing(&fx, i));
    for (uint32_t i = 0; i < fx.blocks; i++)
        assert_false(was_missing(&fx, i));
    struct shl_cache_counts counts;
    shl_cache_count(fx.cache, &counts);
    assert_int_equal(counts.misses, fx.blocks + 1);
    assert_int_equal(counts.evicted, 0);
    assert_in_range(counts.bytes, (fx.blocks - 1) * SHL_BLOCK_SLOT_BYTES,
                    fx.blocks * SHL_BLOCK_SLOT_BYTES);
    fixture_deinit(&fx);
}

/* What a near store gives back in a microsecond takes fresh memory only when it is wanted again and again. */
static void test_near_stores_keep_a_block_at_its_third_miss(void **state)
{
    (void)state;
    struct fixture fx;
    fixture_init(&fx, 64 << 20, 3000, SHL_COMPRESSION_NONE);
    fx.store.base.caps |= SHL_STORE_NEAR;
    for (int times = 0; times < 5; times++)
        load(&fx, 1, false); /* what is not to be kept does not count */
    for (int times = 0; times < 3; times++) {
        assert_int_equal(held(&fx), 0);
        assert_true(was_missing(&fx, 0));
        if (times < 2)
            assert_true(was_missing(&fx, 1));
    }
    assert_false(was_missing(&fx, 0));
    assert_true(was_missing(&fx, 1)); /* its third */
    assert_false(was_missing(&fx, 1));
    fixture_deinit(&fx);
}

#define PIECES 3000

/* Of all classes and none, in slabs: nobody's bytes are another one's, and all comes back. */
static void test_pool_pieces_do_not_overlap(void **state)
{
    (void)state;
    shale_error err;
    struct shl_block_pool *pool;
    struct shl_block_pool *home;
    uint64_t rand = SEED;
    uint64_t bytes = 0;
    static uint8_t *pieces[PIECES];
    static size_t sizes[PIECES];
    test_must(shl_block_pool_new(true, 64 << 20, &pool, &err), &err);
    for (size_t step = 0; step < 4 * PIECES; step++) {
        rand = rand * UINT64_C(6364136223846793005) + 1442695040888963407u;
        size_t i = (rand >> 33) % PIECES;
        if (pieces[i] == NULL) {
            sizes[i] = 2900 + (rand >> 20) % 1900;
            pieces[i] = shl_block_pool_alloc(pool, sizes[i], &home);
            assert_non_null(pieces[i]);
            assert_ptr_equal(home, pool);
            assert_int_equal((uintptr_t)pieces[i] % 64, 0);
            memset(pieces[i], (int)(i % 251), sizes[i]);
            bytes += shl_block_pool_round(sizes[i]);
            assert_in_range(shl_block_pool_round(sizes[i]), sizes[i], sizes[i] + 191);
        } else {
            for (size_t k = 0; k < sizes[i]; k += 61)
                assert_int_equal(pieces[i][k], i % 251);
            shl_block_pool_free(pool, pieces[i], sizes[i]);
            bytes -= shl_block_pool_round(sizes[i]);
            pieces[i] = NULL;
        }
        assert_int_equal(shl_block_pool_bytes(pool), bytes);
    }
    for (size_t i = 0; i < PIECES; i++)
        if (pieces[i] != NULL)
            shl_block_pool_free(pool, pieces[i], sizes[i]);
    assert_int_equal(shl_block_pool_bytes(pool), 0);
    shl_block_pool_close(pool);
}

static void test_limit_holds_at_every_step(void **state)
{
    (void)state;
    static const uint64_t limits[] = {0, 1000, 4608, 5000, 50000, 200000, 17 << 20};
    static const enum shl_compression codecs[] = {SHL_COMPRESSION_NONE, SHL_COMPRESSION_LZ4};
    for (size_t k = 0; k < SHL_COUNT_OF(limits) * SHL_COUNT_OF(codecs); k++) {
        struct fixture fx;
        uint64_t rand = SEED;
        fixture_init(&fx, limits[k / 2], 3000, codecs[k % 2]);
        for (int i = 0; i < 600; i++) {
            load(&fx, (uint32_t)test_rand_below(&rand, fx.blocks), true);
            assert_in_range(held(&fx), 0, fx.limit);
        }
        if (fx.limit >= 50000) /* and it is used */
            assert_in_range(held(&fx), shl_min_u64(fx.limit, fx.blocks * 4096) / 10 * 8, fx.limit);
        fixture_deinit(&fx);
    }
}

static void test_pinned_blocks_outlive_eviction_handle_and_cache(void **state)
{
    (void)state;
    static const uint64_t limits[] = {6 * 4608, 32 << 20};
    for (size_t k = 0; k < SHL_COUNT_OF(limits); k++) {
        struct fixture fx;
        shale_error err;
        struct shl_block *pins[20];
        struct shl_buf copies[20] = {0};
        fixture_init(&fx, limits[k], 3000, SHL_COMPRESSION_NONE);
        for (uint32_t i = 0; i < 20; i++) {
            test_must(shl_sst_load_block(fx.sst, i, true, &pins[i], &err), &err);
            test_must(shl_buf_set(&copies[i], shl_block_raw(pins[i]), &err), &err);
        }
        for (uint32_t i = 0; i < fx.blocks; i++)
            load(&fx, i, true);
        shl_epoch_collect(fx.epoch);
        for (size_t i = 0; i < 20; i++)
            assert_true(shl_slice_eq(shl_block_raw(pins[i]), shl_buf_view(&copies[i])));
        fixture_deinit(&fx);
        for (size_t i = 0; i < 20; i++) {
            assert_true(shl_slice_eq(shl_block_raw(pins[i]), shl_buf_view(&copies[i])));
            shl_block_unref(pins[i]);
            shl_buf_free(&copies[i]);
        }
    }
}

static void test_a_reader_inside_the_epoch_keeps_an_evicted_block(void **state)
{
    (void)state;
    struct fixture fx;
    shale_error err;
    fixture_init(&fx, 4 * 4608, 3000, SHL_COMPRESSION_NONE);
    load(&fx, 0, true);
    struct shl_slice key = fx.rows.items[0].key;
    struct shl_probe_state p = {.key = key, .max_seq = UINT64_MAX};
    uint32_t token = shl_epoch_enter(fx.epoch);
    assert_int_equal(shl_sst_probe(fx.sst, &p, &err), SHL_PROBE_FOUND);
    for (uint32_t i = 1; i < fx.blocks; i++)
        load(&fx, i, true);
    shl_epoch_collect(fx.epoch);
    assert_true(test_row_equal(&p.row, &fx.rows.items[0])); /* the sanitizer would see it freed */
    shl_epoch_leave(fx.epoch, token);
    fixture_deinit(&fx);
}

/* Blocks that were hit survive a pass of blocks that were not. */
static void test_used_blocks_survive_a_scan(void **state)
{
    (void)state;
    struct fixture fx;
    shale_error err;
    const uint32_t hot = 20;
    fixture_init(&fx, 100 * 4608, 30000, SHL_COMPRESSION_NONE);
    assert_true(fx.blocks > 400);
    for (uint32_t i = 0; i < hot; i++)
        load(&fx, i, true);
    for (size_t i = 0; i < 500; i++) { /* lookups in more than the first 5 blocks */
        struct shl_probe_state p = {.key = fx.rows.items[i].key, .max_seq = UINT64_MAX};
        uint32_t token = shl_epoch_enter(fx.epoch);
        assert_int_equal(shl_sst_probe(fx.sst, &p, &err), SHL_PROBE_FOUND);
        shl_epoch_leave(fx.epoch, token);
    }
    for (uint32_t i = hot; i < 400; i++)
        load(&fx, i, true);
    size_t lost = 0;
    for (uint32_t i = 0; i < 5; i++)
        lost += was_missing(&fx, i);
    assert_int_equal(lost, 0);
    struct shl_cache_counts counts;
    shl_cache_count(fx.cache, &counts);
    assert_true(counts.evicted > 250);
    assert_int_equal(counts.hits, 500);
    fixture_deinit(&fx);
}

/* A block that comes back soon after it left probation is kept over newer ones. */
static void test_quick_returners_enter_the_main_ring(void **state)
{
    (void)state;
    struct fixture fx;
    const uint32_t returning = 40;
    fixture_init(&fx, 160 * 4608, 30000, SHL_COMPRESSION_NONE);
    for (uint32_t i = 0; i < 320; i++) /* the first ones are evicted */
        load(&fx, i, true);
    for (uint32_t i = 0; i < returning; i++)
        assert_true(was_missing(&fx, i));
    for (uint32_t i = 320; i < 480; i++) /* as many new ones as the cache holds */
        load(&fx, i, true);
    size_t lost = 0;
    for (uint32_t i = 0; i < returning; i++)
        lost += was_missing(&fx, i);
    assert_in_range(lost, 0, returning / 4);
    fixture_deinit(&fx);
}

static void test_scans_fill_only_if_asked(void **state)
{
    (void)state;
    struct fixture fx;
    shale_error err;
    fixture_init(&fx, 32 << 20, 3000, SHL_COMPRESSION_NONE);
    for (int fill = 0; fill < 2; fill++) {
        struct shl_sst_scan how = {.range = {.end_unbounded = true},
                                   .use_cache = true,
                                   .fill_cache = fill,
                                   .window_first_bytes = 65536,
                                   .window_max_bytes = 65536};
        for (int round = 0; round < 2; round++) {
            struct shl_source *s = NULL;
            uint64_t before = atomic_load(&fx.store.gets);
            size_t rows = 0;
            test_must(shl_sst_source_new(fx.sst, &how, &s, &err), &err);
            test_must(shl_source_seek(s, NULL, &err), &err);
            for (; s->valid; rows++)
                test_must(shl_source_next(s, &err), &err);
            assert_int_equal(rows, fx.rows.count);
            shl_source_close(s);
            bool cached = fill && round == 1;
            assert_int_equal(atomic_load(&fx.store.gets) == before, cached);
        }
        assert_int_equal(held(&fx) > 0, fill);
    }
    fixture_deinit(&fx);
}

/* ---------------------------------------------------------------- many tasks */

struct runner {
    struct fixture *fx;
    struct env_task *task;
    uint64_t rand;
    int rounds;
    _Atomic uint32_t *failures;
    _Atomic bool *go;
};

static void run_all(struct fixture *fx, void (*fn)(void *), int rounds)
{
    struct runner runners[TASKS];
    _Atomic uint32_t failures = 0;
    _Atomic bool go = false;
    for (size_t i = 0; i < TASKS; i++) {
        runners[i] = (struct runner){
            .fx = fx, .rand = SEED + i, .rounds = rounds, .failures = &failures, .go = &go};
        assert_int_equal(env_task_spawn(&runners[i].task, "reader", fn, &runners[i]), SHALE_OK);
    }
    atomic_store(&go, true);
    for (size_t i = 0; i < TASKS; i++)
        env_task_join(runners[i].task);
    assert_int_equal(failures, 0);
}

static void ask_for_all_blocks(void *arg)
{
    struct runner *r = arg;
    shale_error err;
    while (!atomic_load(r->go))
        env_yield();
    for (uint32_t i = 0; i < r->fx->blocks; i++) {
        struct shl_block *b = NULL;
        if (shl_sst_load_block(r->fx->sst, i, true, &b, &err) != SHALE_OK)
            atomic_fetch_add(r->failures, 1u);
        shl_block_unref(b);
    }
}

static void test_concurrent_misses_fetch_once(void **state)
{
    (void)state;
    struct fixture fx;
    fixture_init(&fx, 64 << 20, 1500, SHL_COMPRESSION_NONE);
    fx.store.delay_ns = 200000; /* long enough for all to meet */
    run_all(&fx, ask_for_all_blocks, 1);
    assert_int_equal(fx.store.gets, fx.blocks);
    fixture_deinit(&fx);
}

static void ask_for_meta(void *arg)
{
    struct runner *r = arg;
    shale_error err;
    while (!atomic_load(r->go))
        env_yield();
    if (shl_sst_load_meta(r->fx->sst, &err) != SHALE_OK ||
        shl_sst_block_count(r->fx->sst) != r->fx->blocks)
        atomic_fetch_add(r->failures, 1u);
}

static void test_concurrent_meta_loads_fetch_once(void **state)
{
    (void)state;
    struct fixture fx;
    shale_error err;
    fixture_init(&fx, 64 << 20, 1500, SHL_COMPRESSION_NONE);
    shl_sst_unref(fx.sst);
    test_must(shl_sst_open(&fx.cx, &fx.store.base, TEST_SST_KEY, fx.desc, &fx.sst, &err), &err);
    assert_false(shl_sst_has_meta(fx.sst));
    fx.store.delay_ns = 2000000;
    run_all(&fx, ask_for_meta, 1);
    assert_int_equal(fx.store.gets, 1);
    fixture_deinit(&fx);
}

static void ask_and_count_failures(void *arg)
{
    struct runner *r = arg;
    shale_error err;
    struct shl_block *b = NULL;
    while (!atomic_load(r->go))
        env_yield();
    if (shl_sst_load_block(r->fx->sst, 0, true, &b, &err) != SHALE_OK &&
        err.code == SHALE_UNAVAILABLE)
        atomic_fetch_add(r->failures, 1u);
    shl_block_unref(b);
}

/* After a failure the waiters are woken, and one of them fetches. */
static void test_waiters_of_a_failed_fetch_try_themselves(void **state)
{
    (void)state;
    struct fixture fx;
    struct runner runners[TASKS];
    _Atomic uint32_t failures = 0;
    _Atomic bool go = false;
    fixture_init(&fx, 64 << 20, 400, SHL_COMPRESSION_NONE);
    fx.store.delay_ns = 5000000;
    atomic_store(&fx.store.failing_gets, 3u);
    for (size_t i = 0; i < TASKS; i++) {
        runners[i] = (struct runner){.fx = &fx, .failures = &failures, .go = &go};
        assert_int_equal(
            env_task_spawn(&runners[i].task, "waiter", ask_and_count_failures, &runners[i]),
            SHALE_OK);
    }
    atomic_store(&go, true);
    for (size_t i = 0; i < TASKS; i++)
        env_task_join(runners[i].task);
    assert_int_equal(failures, 3); /* each failure is told to the one who fetched */
    assert_int_equal(fx.store.gets, 4);
    fixture_deinit(&fx);
}

static void look_up_randomly(void *arg)
{
    struct runner *r = arg;
    struct fixture *fx = r->fx;
    shale_error err;
    struct shl_buf value = {0};
    for (int i = 0; i < r->rounds; i++) {
        const struct shl_row *want = &fx->rows.items[test_rand_below(&r->rand, fx->rows.count)];
        struct shl_row row;
        shale_code rc;
        bool keep = test_rand_below(&r->rand, 8) != 0;
        bool found =
            test_sst_get(fx->epoch, fx->sst, want->key, want->seq, keep, &row, &value, &rc, &err);
        if (rc != SHALE_OK || !found || !test_row_equal(&row, want) || held(fx) > fx->limit)
            atomic_fetch_add(r->failures, 1u);
    }
    shl_buf_free(&value);
}

static void test_lookups_beside_eviction_stay_right_and_in_limit(void **state)
{
    (void)state;
    static const uint64_t limits[] = {10 * 4608, 60 * 4608, 64 << 20};
    for (size_t k = 0; k < SHL_COUNT_OF(limits); k++) {
        struct fixture fx;
        fixture_init(&fx, limits[k], 6000, k == 1 ? SHL_COMPRESSION_LZ4 : SHL_COMPRESSION_NONE);
        run_all(&fx, look_up_randomly, 3000);
        fixture_deinit(&fx);
    }
}

static void scan_beside(void *arg)
{
    struct runner *r = arg;
    shale_error err;
    for (int i = 0; i < r->rounds; i++) {
        struct shl_sst_scan how = {.range = {.end_unbounded = true},
                                   .reverse = test_rand_below(&r->rand, 2) != 0,
                                   .use_cache = true,
                                   .fill_cache = test_rand_below(&r->rand, 2) != 0,
                                   .window_max_bytes = 20000};
        struct shl_source *s = NULL;
        size_t rows = 0;
        if (shl_sst_source_new(r->fx->sst, &how, &s, &err) != SHALE_OK ||
            shl_source_seek(s, NULL, &err) != SHALE_OK)
            atomic_fetch_add(r->failures, 1u);
        while (s->valid && ++rows < r->fx->rows.count)
            if (shl_source_next(s, &err) != SHALE_OK)
                break;
        if (rows != r->fx->rows.count || held(r->fx) > r->fx->limit)
            atomic_fetch_add(r->failures, 1u);
        shl_source_close(s);
    }
}

static void test_scans_beside_eviction_see_all_rows(void **state)
{
    (void)state;
    struct fixture fx;
    fixture_init(&fx, 30 * 4608, 4000, SHL_COMPRESSION_NONE);
    run_all(&fx, scan_beside, 8);
    fixture_deinit(&fx);
}

int main(void)
{
    printf("seed 0x%llx\n", (unsigned long long)SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_blocks_are_not_fetched_again),
        cmocka_unit_test(test_near_stores_keep_a_block_at_its_third_miss),
        cmocka_unit_test(test_pool_pieces_do_not_overlap),
        cmocka_unit_test(test_limit_holds_at_every_step),
        cmocka_unit_test(test_pinned_blocks_outlive_eviction_handle_and_cache),
        cmocka_unit_test(test_a_reader_inside_the_epoch_keeps_an_evicted_block),
        cmocka_unit_test(test_used_blocks_survive_a_scan),
        cmocka_unit_test(test_quick_returners_enter_the_main_ring),
        cmocka_unit_test(test_scans_fill_only_if_asked),
        cmocka_unit_test(test_concurrent_misses_fetch_once),
        cmocka_unit_test(test_concurrent_meta_loads_fetch_once),
        cmocka_unit_test(test_waiters_of_a_failed_fetch_try_themselves),
        cmocka_unit_test(test_lookups_beside_eviction_stay_right_and_in_limit),
        cmocka_unit_test(test_scans_beside_eviction_see_all_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
