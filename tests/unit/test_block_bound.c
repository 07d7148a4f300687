/* Goal: what cached blocks take is bounded, though their sizes change and some of every size stay in use: memory moves to the size that needs it, a
 * block that readers hold stays whole, and a full pool costs hits, not answers.
 * Method: blocks of all sizes of slots and others, put into a cache as a load does it, with a pattern in them; step by step, then by real tasks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/num.h"
#include "lsm/sst/block_cache.h"
#include "support/sst.h"

#define SEED  UINT64_C(0xb0c4d)
#define LIMIT ((uint64_t)32 << 20)
#define BOUND (LIMIT + LIMIT / 8)
#define SIZES 10 /* of blocks: too small for slots, of every size of slot, too large */

/* Of a block with size number k: what a whole side table leaves of 3,060 bytes and of slots. */
static size_t len_of(size_t k)
{
    static const size_t lens[SIZES] = {2500, 2780, 2960, 3130, 3300, 3480, 3650, 3830, 4000, 7000};
    return lens[k];
}

struct fixture {
    struct shl_epoch *epoch;
    struct shl_cache *cache;
    struct shl_block *_Atomic *slots;
    size_t count;
};

static void fixture_init(struct fixture *fx, size_t count)
{
    shale_error err;
    *fx = (struct fixture){.count = count};
    test_must(shl_epoch_new(&fx->epoch, &err), &err);
    test_must(shl_cache_new(LIMIT, fx->epoch, &fx->cache, &err), &err);
    fx->slots = env_calloc(count, sizeof *fx->slots);
    assert_non_null(fx->slots);
}

static uint64_t hash_of(size_t i)
{
    return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static struct shl_cache_counts counts_of(const struct fixture *fx)
{
    struct shl_cache_counts counts;
    shl_cache_count(fx->cache, &counts);
    return counts;
}

static void fixture_deinit(struct fixture *fx)
{
    for (size_t i = 0; i < fx->count; i++)
        shl_cache_drop(fx->cache, &fx->slots[i], hash_of(i));
    assert_int_equal(counts_of(fx).bytes, 0);
    shl_cache_free(fx->cache);
    shl_epoch_free(fx->epoch);
    env_free(fx->slots);
}

static struct shl_block *new_block(struct fixture *fx, size_t i, size_t len)
{
    struct shl_block *b = shl_block_new(fx->cache, len, 2);
    assert_non_null(b);
    memset(shl_block_bytes(b), (int)(i % 251), len);
    return b;
}

static bool is_whole(struct shl_block *b, size_t i)
{
    for (size_t at = 0; at < b->raw_len; at += 97)
        if (shl_block_bytes(b)[at] != i % 251)
            return false;
    return shl_block_bytes(b)[b->raw_len - 1] == i % 251;
}

/* As a load of the block does it. */
static void keep(struct fixture *fx, size_t i, size_t len)
{
    size_t charge = shl_block_charge(len);
    if (!shl_cache_begin(fx->cache, &fx->slots[i]))
        return;
    bool reserved = shl_cache_reserve(fx->cache, hash_of(i), charge);
    struct shl_block *b = new_block(fx, i, len);
    if (reserved && shl_cache_can_keep(fx->cache, b, hash_of(i))) {
        shl_cache_publish(fx->cache, &fx->slots[i], b, hash_of(i));
        return;
    }
    if (reserved)
        shl_cache_unreserve(fx->cache, charge);
    shl_cache_abandon(fx->cache, &fx->slots[i], hash_of(i));
    shl_block_unref(b);
}

/* As a get does it. False: not in the cache. */
static bool look(struct fixture *fx, size_t i, bool *damaged)
{
    uint32_t token = shl_epoch_enter(fx->epoch);
    struct shl_block *b = env_load_seq(&fx->slots[i]);
    bool found = b != NULL && b != shl_cache_loading(fx->cache);
    if (found) {
        env_store_relaxed(&b->recent, 1);
        *damaged |= !is_whole(b, i);
    }
    shl_epoch_leave(fx->epoch, token);
    return found;
}

/* ---------------------------------------------------------------- step by step */

#define PER_SIZE 20000
#define HOT_STEP 200 /* blocks from one that stays in use to the next: some in every slab */

static void read_hot(struct fixture *fx, size_t from, size_t to, size_t len, size_t *hits)
{
    bool damaged = false;
    for (size_t i = from; i < to; i += HOT_STEP) {
        if (look(fx, i, &damaged))
            ++*hits;
        else
            keep(fx, i, len);
    }
    assert_false(damaged);
}

/* One size after the other, twice the cache of each, while a few of all before are read again and again. */
static void test_sizes_that_change_stay_in_bound(void **state)
{
    (void)state;
    struct fixture fx;
    size_t hits = 0;
    fixture_init(&fx, (size_t)PER_SIZE * SIZES);
    for (size_t k = 0; k < SIZES; k++) {
        for (size_t n = 0; n < PER_SIZE; n++) {
            keep(&fx, k * PER_SIZE + n, len_of(k));
            for (size_t j = 0; n % 1000 == 0 && j < k; j++)
                read_hot(&fx, j * PER_SIZE, (j + 1) * PER_SIZE, len_of(j), &hits);
            struct shl_cache_counts counts = counts_of(&fx);
            assert_in_range(counts.bytes, 0, LIMIT);
            assert_in_range(counts.memory_bytes, 0,
                            BOUND + SHL_BLOCK_SLOT_SIZES * SHL_BLOCK_SLAB_BYTES);
        }
        assert_in_range(counts_of(&fx).bytes, LIMIT / 10 * 9, LIMIT); /* and it is used */
    }
    /* What is hot may lose its slab, not its place: it comes back. */
    assert_true(hits > (size_t)SIZES * (SIZES - 1) / 2 * 20 * (PER_SIZE / HOT_STEP) / 10 * 9);
    fixture_deinit(&fx);
}

/* One size, as in most databases: nothing is ever drained, and the cache gets all that was reserved. */
static void test_one_size_fills_the_cache(void **state)
{
    (void)state;
    struct fixture fx;
    size_t whole = LIMIT / SHL_BLOCK_SLOT_BYTES;
    fixture_init(&fx, 3 * whole);
    for (size_t i = 0; i < 3 * whole; i++) {
        keep(&fx, i, len_of(8));
        assert_int_equal(counts_of(&fx).bytes, shl_min_size(i + 1, whole) * SHL_BLOCK_SLOT_BYTES);
        assert_non_null(env_load_seq(&fx.slots[i]));
    }
    assert_int_equal(counts_of(&fx).evicted, 2 * whole);
    assert_in_range(counts_of(&fx).memory_bytes, 0, BOUND);
    fixture_deinit(&fx);
}

/* Readers hold the pool's memory: blocks are read and not kept, and kept again when it came back. */
static void test_a_full_pool_keeps_nothing_more(void **state)
{
    (void)state;
    struct fixture fx;
    static struct shl_block *pins[20000];
    size_t n = 0;
    bool damaged = false;
    fixture_init(&fx, 4);
    for (bool full = false; !full; n++) {
        assert_true(n < SHL_COUNT_OF(pins));
        pins[n] = new_block(&fx, n, len_of(8));
        full = pins[n]->pool == NULL;
    }
    assert_in_range(n * SHL_BLOCK_SLOT_BYTES, LIMIT, BOUND + SHL_BLOCK_SLAB_BYTES);
    keep(&fx, 0, len_of(8));
    assert_false(look(&fx, 0, &damaged));
    assert_int_equal(counts_of(&fx).bytes, 0);
    keep(&fx, 1, len_of(2)); /* another size has its first slab always */
    assert_true(look(&fx, 1, &damaged));
    for (size_t i = 0; i < n; i++) {
        assert_true(is_whole(pins[i], i));
        shl_block_unref(pins[i]);
    }
    keep(&fx, 0, len_of(8));
    assert_true(look(&fx, 0, &damaged));
    assert_false(damaged);
    fixture_deinit(&fx);
}

/* A load of an SST's block into a full pool, and a scan that offers what it read. */
static void test_reads_of_an_sst_go_on_without_memory(void **state)
{
    (void)state;
    struct fixture fx;
    shale_error err;
    struct test_rows rows;
    struct shl_buf file = {0};
    struct shl_sst_desc *desc;
    struct test_store store;
    struct shl_sst *sst;
    uint64_t rand = SEED;
    static struct shl_block *pins[20000];
    size_t n = 0;
    struct test_rows_kind kind = {400, 16, "0123456789abcdef", "key", 100, 1};
    struct test_sst_kind how = {.block_bytes = 4096, .version = 2};
    fixture_init(&fx, 1);
    test_rows_make(&rows, &kind, &rand);
    test_sst_make(&how, &rows, &file, &desc);
    test_store_init(&store, shl_buf_view(&file));
    struct shl_sst_context cx = {.epoch = fx.epoch, .cache = fx.cache};
    test_must(shl_sst_open(&cx, &store.base, TEST_SST_KEY, desc, &sst, &err), &err);
    for (size_t len = 3700; len <= 4200; len += 100) /* whatever slots its blocks would lie in */
        for (bool full = false; !full; n++) {
            pins[n] = new_block(&fx, n, len);
            full = pins[n]->pool == NULL;
        }
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 4; i++) {
            struct shl_block *b = NULL;
            test_must(shl_sst_load_block(sst, i, true, &b, &err), &err);
            assert_true(b->raw_len > 3000);
            shl_block_unref(b);
        }
        struct shl_sst_scan scan = {.range = {.end_unbounded = true},
                                    .use_cache = true,
                                    .fill_cache = true,
                                    .window_max_bytes = 65536};
        struct shl_source *s = NULL;
        size_t seen = 0;
        test_must(shl_sst_source_new(sst, &scan, &s, &err), &err);
        test_must(shl_source_seek(s, NULL, &err), &err);
        for (; s->valid; seen++)
            test_must(shl_source_next(s, &err), &err);
        shl_source_close(s);
        assert_int_equal(seen, rows.count);
        if (round == 0) /* the last block is a small one and may be kept */
            assert_in_range(counts_of(&fx).bytes, 0, SHL_BLOCK_SLOT_BYTES);
        else
            assert_true(counts_of(&fx).bytes > 4 * 4096);
        for (; n > 0; n--)
            shl_block_unref(pins[n - 1]);
    }
    shl_sst_unref(sst);
    fixture_deinit(&fx);
    test_store_deinit(&store);
    shl_sst_desc_unref(desc);
    shl_buf_free(&file);
    test_rows_free(&rows);
}

/* ---------------------------------------------------------------- the pool's slabs */

#define PIECES 12000

static size_t fill_pool(struct shl_block_pool *pool, size_t size, void **pieces, size_t n)
{
    for (;; n++) {
        struct shl_block_pool *home;
        assert_true(n < PIECES);
        pieces[n] = shl_block_pool_alloc(pool, size, &home);
        assert_non_null(pieces[n]);
        if (home != NULL)
            continue;
        shl_block_pool_free(home, pieces[n], size);
        return n;
    }
}

static size_t drain(struct shl_block_pool *pool, size_t size, struct shl_block_drain *d)
{
    size_t n = 0;
    if (!shl_block_pool_drain_begin(pool, size, d))
        return SIZE_MAX;
    while (shl_block_pool_drain_next(d) != NULL)
        n++;
    return n;
}

static void test_a_drained_slab_moves_or_goes_on(void **state)
{
    (void)state;
    shale_error err;
    struct shl_block_pool *pool;
    struct shl_block_drain d;
    static void *pieces[PIECES];
    const size_t large = SHL_BLOCK_SLOT_BYTES, small = 3200;
    test_must(shl_block_pool_new(true, 8 << 20, &pool, &err), &err);
    size_t smalls = fill_pool(pool, small, pieces, 0);
    size_t all = fill_pool(pool, large, pieces, smalls);
    assert_int_equal(shl_block_pool_held(pool), 6 * SHL_BLOCK_SLAB_BYTES);
    assert_false(shl_block_pool_drain_begin(pool, large, &d)); /* no slab has room */

    /* Half of a small slab comes back; what was noted of the rest is given. */
    for (size_t i = 0; i < 300; i++)
        assert_true(shl_block_pool_note(pool, pieces[i], small));
    for (size_t i = 0; i < 100; i++)
        shl_block_pool_free(pool, pieces[i], small);
    assert_false(shl_block_pool_drain_begin(pool, small, &d)); /* room of its own */
    assert_int_equal(drain(pool, large, &d), 200);
    assert_int_equal(drain(pool, large, &(struct shl_block_drain){0}), SIZE_MAX);
    assert_false(shl_block_pool_note(pool, pieces[300], small));
    shl_block_pool_drain_end(pool, &d);
    assert_int_equal(fill_pool(pool, large, pieces, all), all); /* it has pieces yet */

    /* Its own size gets it again; then all of it comes back, and the other size gets the memory. */
    assert_int_equal(fill_pool(pool, small, pieces, all), all + 100);
    for (size_t i = 0; i < 100; i++)
        pieces[i] = pieces[all + i];
    shl_block_pool_free(pool, pieces[0], small);
    assert_int_equal(drain(pool, large, &d), 201);
    size_t first = 0;
    for (; first < smalls; first++)
        if (((uintptr_t)pieces[first] ^ (uintptr_t)d.slab) < SHL_BLOCK_SLAB_BYTES && first != 0) {
            shl_block_pool_free(pool, pieces[first], small);
            pieces[first] = NULL;
        }
    uint64_t held = shl_block_pool_held(pool);
    shl_block_pool_drain_end(pool, &d);
    assert_int_equal(shl_block_pool_held(pool), held - SHL_BLOCK_SLAB_BYTES);
    size_t more = fill_pool(pool, large, pieces, all);
    assert_in_range(more - all, 400, 500);
    assert_int_equal(shl_block_pool_held(pool), held);

    for (size_t i = 1; i < smalls; i++)
        if (pieces[i] != NULL)
            shl_block_pool_free(pool, pieces[i], small);
    for (size_t i = smalls; i < more; i++)
        shl_block_pool_free(pool, pieces[i], large);
    assert_int_equal(shl_block_pool_bytes(pool), 0);
    shl_block_pool_close(pool);
}

/* ---------------------------------------------------------------- many tasks */

#define TASKS  6
#define ROUNDS 20000
#define HELD   20 /* blocks that each task holds over its next steps */
#define WINDOW 6000

struct runner {
    struct fixture *fx;
    struct env_task *task;
    uint64_t rand;
    _Atomic uint32_t *failures;
    struct shl_block *held[HELD];
    size_t held_names[HELD];
};

/* Takes a reference of a cached block, and looks at the one that it had for long. */
static void hold(struct runner *r, size_t i, size_t round)
{
    struct fixture *fx = r->fx;
    uint32_t token = shl_epoch_enter(fx->epoch);
    struct shl_block *b = env_load_seq(&fx->slots[i]);
    b = b == NULL || b == shl_cache_loading(fx->cache) ? NULL : shl_block_ref(b);
    shl_epoch_leave(fx->epoch, token);
    struct shl_block **place = &r->held[round % HELD];
    if (*place != NULL && !is_whole(*place, r->held_names[round % HELD]))
        atomic_fetch_add(r->failures, 1u);
    shl_block_unref(*place);
    *place = b;
    r->held_names[round % HELD] = i;
}

/* A window that moves over the sizes, and a few blocks of all. */
static void run(void *arg)
{
    struct runner *r = arg;
    struct fixture *fx = r->fx;
    size_t range = fx->count - WINDOW;
    for (size_t round = 0; round < ROUNDS; round++) {
        bool damaged = false;
        size_t i = test_rand_below(&r->rand, 8) == 0
                       ? test_rand_below(&r->rand, fx->count / HOT_STEP) * HOT_STEP
                       : range * round / ROUNDS + test_rand_below(&r->rand, WINDOW);
        if (!look(fx, i, &damaged))
            keep(fx, i, len_of(1 + i * (SIZES - 2) / fx->count));
        if (round % 16 == 0)
            hold(r, i, round / 16);
        struct shl_cache_counts counts = counts_of(fx);
        if (damaged || counts.bytes > LIMIT ||
            counts.memory_bytes > BOUND + SHL_BLOCK_SLOT_SIZES * SHL_BLOCK_SLAB_BYTES)
            atomic_fetch_add(r->failures, 1u);
    }
    for (size_t i = 0; i < HELD; i++)
        shl_block_unref(r->held[i]);
}

static void test_tasks_that_move_on_stay_in_bound(void **state)
{
    (void)state;
    struct fixture fx;
    struct runner runners[TASKS];
    _Atomic uint32_t failures = 0;
    fixture_init(&fx, 80000);
    for (size_t i = 0; i < TASKS; i++) {
        runners[i] = (struct runner){.fx = &fx, .rand = SEED + i, .failures = &failures};
        assert_int_equal(env_task_spawn(&runners[i].task, "mover", run, &runners[i]), SHALE_OK);
    }
    for (size_t i = 0; i < TASKS; i++)
        env_task_join(runners[i].task);
    assert_int_equal(failures, 0);
    assert_true(counts_of(&fx).evicted > 20000);
    fixture_deinit(&fx);
}

int main(void)
{
    printf("seed 0x%llx\n", (unsigned long long)SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_that_change_stay_in_bound),
        cmocka_unit_test(test_one_size_fills_the_cache),
        cmocka_unit_test(test_a_full_pool_keeps_nothing_more),
        cmocka_unit_test(test_reads_of_an_sst_go_on_without_memory),
        cmocka_unit_test(test_a_drained_slab_moves_or_goes_on),
        cmocka_unit_test(test_tasks_that_move_on_stay_in_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
