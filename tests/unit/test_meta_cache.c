/* Goal: indexes and filters keep within their limit, the cold ones leave first, what somebody uses stays readable, and what left comes back with one
 * request.
 * Method: several handles of one file in a store that counts; first step by step, then real tasks (and ThreadSanitizer). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "lsm/sst/meta_cache.h"
#include "support/sst.h"

#define SEED    UINT64_C(0x3e7a)
#define HANDLES 6
#define TASKS   4

static const struct shl_filter_policy whole_key = {.bits_per_key = 10, .whole_key = true};

struct fixture {
    struct test_rows rows;
    struct shl_buf file;
    struct shl_sst_desc *desc;
    struct test_store store;
    struct shl_epoch *epoch;
    struct shl_cache *cache;
    struct shl_meta_cache *metas;
    struct shl_sst_context cx;
    struct shl_sst *ssts[HANDLES];
    uint64_t meta_bytes; /* of each */
    uint64_t limit;
};

static void open_all(struct fixture *fx, uint64_t limit)
{
    shale_error err;
    fx->limit = limit;
    test_must(shl_meta_cache_new(limit, &fx->metas, &err), &err);
    fx->cx = (struct shl_sst_context){.epoch = fx->epoch,
                                      .cache = fx->cache,
                                      .metas = fx->metas,
                                      .policies = &whole_key,
                                      .policy_count = 1};
    for (size_t i = 0; i < HANDLES; i++)
        test_must(
            shl_sst_open(&fx->cx, &fx->store.base, TEST_SST_KEY, fx->desc, &fx->ssts[i], &err),
            &err);
}

static void close_all(struct fixture *fx)
{
    for (size_t i = 0; i < HANDLES; i++)
        shl_sst_unref(fx->ssts[i]);
    assert_int_equal(shl_meta_cache_bytes(fx->metas), 0);
    shl_meta_cache_free(fx->metas);
}

/* Room for `kept` of the handles' metas. */
static void fixture_of(struct fixture *fx, uint64_t kept, const struct test_rows_kind *kind,
                       const struct shl_filter_policy *policy)
{
    shale_error err;
    uint64_t rand = SEED;
    struct test_sst_kind sst = {.block_bytes = 1024, .version = 2, .policy = policy};
    *fx = (struct fixture){0};
    test_rows_make(&fx->rows, kind, &rand);
    test_sst_make(&sst, &fx->rows, &fx->file, &fx->desc);
    test_store_init(&fx->store, shl_buf_view(&fx->file));
    test_must(shl_epoch_new(&fx->epoch, &err), &err);
    test_must(shl_cache_new(64 * 1024, fx->epoch, &fx->cache, &err), &err);
    open_all(fx, UINT64_MAX);
    test_must(shl_sst_load_meta(fx->ssts[0], &err), &err);
    fx->meta_bytes = shl_meta_cache_bytes(fx->metas);
    assert_true(fx->meta_bytes > 1000);
    close_all(fx);
    open_all(fx, kept * fx->meta_bytes + fx->meta_bytes / 2);
    atomic_store(&fx->store.gets, 0u);
}

static void fixture_init(struct fixture *fx, uint64_t kept)
{
    static const struct test_rows_kind kind = {1000, 12, "0123456789abcdef", "key", 40, 2};
    fixture_of(fx, kept, &kind, &whole_key);
}

/* Tables whose index has more than a megabyte, for each separator begins with 700 bytes that all keys have. */
static void fixture_of_large(struct fixture *fx, const struct shl_filter_policy *policy)
{
    char prefix[701];
    memset(prefix, 'k', sizeof prefix - 1);
    prefix[sizeof prefix - 1] = '\0';
    const struct test_rows_kind kind = {12000, 12, "0123456789abcdef", prefix, 40, 1};
    fixture_of(fx, HANDLES, &kind, policy);
    assert_true(fx->desc->info.index_len > (1u << 20));
}

static void fixture_deinit(struct fixture *fx)
{
    struct shl_cache_counts counts;
    close_all(fx);
    shl_cache_count(fx->cache, &counts);
    assert_int_equal(counts.bytes, 0);
    shl_cache_free(fx->cache);
    shl_epoch_free(fx->epoch);
    test_store_deinit(&fx->store);
    shl_sst_desc_unref(fx->desc);
    shl_buf_free(&fx->file);
    test_rows_free(&fx->rows);
}

/* Looks one row up, without error, and tells the requests it took. */
static uint64_t look_up(struct fixture *fx, size_t handle, size_t row)
{
    const struct shl_row *want = &fx->rows.items[row];
    struct shl_row got;
    struct shl_buf value = {0};
    uint64_t before = atomic_load(&fx->store.gets);
    assert_true(test_sst_get(fx->epoch, fx->ssts[handle], want->key, want->seq, true, &got, &value,
                             NULL, NULL));
    assert_true(test_row_equal(&got, want));
    shl_buf_free(&value);
    return atomic_load(&fx->store.gets) - before;
}

static size_t count_loaded(const struct fixture *fx)
{
    size_t n = 0;
    for (size_t i = 0; i < HANDLES; i++)
        n += shl_sst_has_meta(fx->ssts[i]);
    assert_int_equal(shl_meta_cache_bytes(fx->metas), n * fx->meta_bytes);
    return n;
}

static void test_limit_holds_and_what_left_is_read_again(void **state)
{
    (void)state;
    struct fixture fx;
    fixture_init(&fx, 2);
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < HANDLES; i++) {
            assert_int_equal(look_up(&fx, i, i), 2); /* the meta, the block */
            assert_int_equal(look_up(&fx, i, i), 0);
            assert_int_equal(count_loaded(&fx), shl_min_size(2, round * HANDLES + i + 1));
        }
    }
    fixture_deinit(&fx);
}

static void test_what_is_used_outlives_what_is_not(void **state)
{
    (void)state;
    struct fixture fx;
    shale_error err;
    fixture_init(&fx, 3);
    (void)look_up(&fx, 0, 0);
    for (size_t i = 0; i < 40; i++) {
        test_must(shl_sst_load_meta(fx.ssts[1 + i % (HANDLES - 1)], &err), &err); /* once each */
        assert_int_equal(look_up(&fx, 0, 0), 0);
    }
    fixture_deinit(&fx);
}

static void test_nothing_kept_still_reads(void **state)
{
    (void)state;
    struct fixture fx;
    fixture_init(&fx, 0); /* half of one: none fits */
    for (size_t i = 0; i < fx.rows.count; i += 7) {
        uint64_t requests = look_up(&fx, i % HANDLES, i);
        assert_in_range(requests, 2, 3); /* the versions may go on in the next block */
        assert_int_equal(count_loaded(&fx), 0);
    }
    fixture_deinit(&fx);
}

static void test_blocks_leave_with_their_index(void **state)
{
    (void)state;
    struct fixture fx;
    shale_error err;
    struct shl_cache_counts counts;
    fixture_init(&fx, 1);
    (void)look_up(&fx, 0, 0);
    shl_cache_count(fx.cache, &counts);
    assert_true(counts.bytes > 0);
    test_must(shl_sst_load_meta(fx.ssts[1], &err), &err);
    assert_false(shl_sst_has_meta(fx.ssts[0]));
    shl_cache_count(fx.cache, &counts);
    assert_int_equal(counts.bytes, 0);
    fixture_deinit(&fx);
}

/* On the first row. */
static struct shl_source *begin_rows(struct fixture *fx, size_t handle, size_t window_bytes,
                                     bool passes_by)
{
    shale_error err;
    struct shl_sst_scan how = {
        .range = {.end_unbounded = true}, .window_max_bytes = window_bytes, .passes_by = passes_by};
    struct shl_source *s;
    test_must(shl_sst_source_new(fx->ssts[handle], &how, &s, &err), &err);
    test_must(shl_source_seek(s, NULL, &err), &err);
    return s;
}

static void expect_rows(struct fixture *fx, struct shl_source *s)
{
    shale_error err;
    size_t rows = 0;
    for (; s->valid; rows++) {
        assert_true(test_row_equal(&s->row, &fx->rows.items[rows]));
        test_must(shl_source_next(s, &err), &err);
    }
    assert_int_equal(rows, fx->rows.count);
}

/* Reads all rows in order, as a scan that keeps no blocks or as a compaction, and tells the requests it took. */
static uint64_t read_all(struct fixture *fx, size_t handle, bool passes_by)
{
    uint64_t before = atomic_load(&fx->store.gets);
    struct shl_source *s = begin_rows(fx, handle, 1 << 20, passes_by);
    expect_rows(fx, s);
    shl_source_close(s);
    return atomic_load(&fx->store.gets) - before;
}

static void test_who_passes_by_leaves_no_large_index(void **state)
{
    (void)state;
    struct fixture fx;
    shale_error err;
    struct shl_sst_meta *held;
    fixture_of_large(&fx, &whole_key);
    (void)read_all(&fx, 0, false);
    assert_true(shl_meta_cache_bytes(fx.metas) > 0);
    (void)read_all(&fx, 0, true); /* of who scanned before, too: its file is to go */
    assert_int_equal(shl_meta_cache_bytes(fx.metas), 0);
    (void)read_all(&fx, 1, true);
    assert_int_equal(shl_meta_cache_bytes(fx.metas), 0);
    /* What lookups use stays, and what somebody holds stays good. */
    (void)look_up(&fx, 2, 0);
    (void)read_all(&fx, 2, true);
    assert_int_equal(look_up(&fx, 2, 0), 0);
    test_must(shl_sst_hold_index_once(fx.ssts[3], &held, &err), &err);
    (void)read_all(&fx, 3, true);
    assert_int_equal(shl_meta_cache_bytes(fx.metas), fx.meta_bytes);
    assert_int_equal(shl_sst_meta_seek(held, fx.rows.items[0].key), 0);
    shl_sst_pass_index(fx.ssts[3], held);
    fixture_deinit(&fx);
    /* Without a filter nobody can tell who used it. */
    fixture_of_large(&fx, NULL);
    (void)read_all(&fx, 0, true);
    assert_int_equal(shl_meta_cache_bytes(fx.metas), 0);
    fixture_deinit(&fx);
}

static void test_who_passes_by_leaves_a_small_index(void **state)
{
    (void)state;
    struct fixture fx;
    fixture_init(&fx, HANDLES);
    (void)read_all(&fx, 0, true);
    assert_true(shl_meta_cache_bytes(fx.metas) > 0);
    fixture_deinit(&fx);
}

/* A compaction passes by while lookups load the same index and filter. */
struct passing {
    struct fixture *fx;
    bool looks_up;
};

static void pass_or_look_up(void *arg)
{
    const struct passing *p = arg;
    for (size_t i = 0; i < 40; i++) {
        if (p->looks_up)
            (void)look_up(p->fx, 0, i * 97 % p->fx->rows.count);
        else
            (void)read_all(p->fx, 0, true);
    }
}

static void test_passing_by_beside_lookups(void **state)
{
    (void)state;
    struct fixture fx;
    struct env_task *tasks[TASKS];
    struct passing how[TASKS];
    fixture_of_large(&fx, &whole_key);
    for (size_t i = 0; i < TASKS; i++) {
        how[i] = (struct passing){.fx = &fx, .looks_up = i % 2 == 0};
        assert_int_equal(env_task_spawn(&tasks[i], "pass", pass_or_look_up, &how[i]), SHALE_OK);
    }
    for (size_t i = 0; i < TASKS; i++)
        env_task_join(tasks[i]);
    fixture_deinit(&fx);
}

static void test_held_stays_good_after_it_left(void **state)
{
    (void)state;
    struct fixture fx;
    shale_error err;
    struct shl_sst_meta *held;
    struct shl_source *s;
    fixture_init(&fx, 1);
    test_must(shl_sst_hold_meta(fx.ssts[0], &held, &err), &err);
    s = begin_rows(&fx, 0, 4096, false);
    test_must(shl_sst_load_meta(fx.ssts[1], &err), &err);
    assert_false(shl_sst_has_meta(fx.ssts[0]));
    expect_rows(&fx, s);
    struct shl_block *b = NULL;
    test_must(shl_sst_load_block_of(fx.ssts[0], held, 0, true, &b, &err), &err);
    shl_block_unref(b);
    shl_source_close(s);
    shl_sst_release_meta(held);
    fixture_deinit(&fx);
}

/* ---------------------------------------------------------------- filters that come later */

static void test_scan_leaves_the_filter_to_the_first_lookup(void **state)
{
    (void)state;
    struct fixture fx;
    fixture_init(&fx, 2);
    uint64_t cold = read_all(&fx, 0, false);
    uint64_t bare = shl_meta_cache_bytes(fx.metas);
    assert_true(bare > 0 && bare + 1000 < fx.meta_bytes); /* 10 bits each for 1000 rows */
    assert_false(shl_sst_has_meta(fx.ssts[0]));
    assert_int_equal(read_all(&fx, 0, false), cold - 1); /* the index is there */
    assert_int_equal(look_up(&fx, 0, 7), 2);             /* the filter, the block */
    assert_int_equal(count_loaded(&fx), 1);              /* as if they had come together */
    assert_int_equal(look_up(&fx, 0, 7), 0);
    assert_int_equal(read_all(&fx, 0, false), cold - 1);
    fixture_deinit(&fx);
}

static void test_filter_that_comes_late_pushes_others_out(void **state)
{
    (void)state;
    struct fixture fx;
    fixture_init(&fx, 1); /* and a half */
    uint64_t cold = read_all(&fx, 0, false);
    (void)read_all(&fx, 1, false);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(read_all(&fx, i, false), cold - 1); /* both indexes have room */
    assert_int_equal(look_up(&fx, 0, 0), 2);
    assert_int_equal(look_up(&fx, 1, 0), 2);
    assert_int_equal(count_loaded(&fx), 1);
    fixture_deinit(&fx);
    fixture_init(&fx, 1);
    close_all(&fx);
    open_all(&fx, fx.meta_bytes - 1); /* the index has room, with its filter it has not */
    cold = read_all(&fx, 0, false);
    assert_int_equal(read_all(&fx, 0, false), cold - 1);
    assert_int_equal(look_up(&fx, 0, 0), 2);
    assert_int_equal(count_loaded(&fx), 0);
    fixture_deinit(&fx);
}

static void test_filter_that_fails_is_fetched_again(void **state)
{
    (void)state;
    struct fixture fx;
    shale_error err;
    fixture_init(&fx, 2);
    (void)read_all(&fx, 0, false);
    atomic_store(&fx.store.failing_gets, 1u);
    assert_int_equal(shl_sst_load_meta(fx.ssts[0], &err), SHALE_UNAVAILABLE);
    assert_false(shl_sst_has_meta(fx.ssts[0]));
    atomic_store(&fx.store.damaged_gets, 1u);
    test_must(shl_sst_load_meta(fx.ssts[0], &err), &err); /* twice */
    assert_int_equal(atomic_load(&fx.store.damaged_gets), 0);
    (void)read_all(&fx, 1, false);
    atomic_store(&fx.store.damaged_gets, 2u);
    assert_int_equal(shl_sst_load_meta(fx.ssts[1], &err), SHALE_CORRUPTION);
    assert_non_null(strstr(err.text, TEST_SST_KEY ": filter at "));
    test_must(shl_sst_load_meta(fx.ssts[1], &err), &err);
    assert_int_equal(count_loaded(&fx), 2);
    fixture_deinit(&fx);
}

/* ---------------------------------------------------------------- tasks */

struct runner {
    struct fixture *fx;
    struct env_task *task;
    uint64_t rand;
    _Atomic uint32_t *failures;
};

static void look_up_randomly(void *arg)
{
    struct runner *r = arg;
    struct shl_buf value = {0};
    for (unsigned i = 0; i < 1500; i++) {
        r->rand = r->rand * UINT64_C(6364136223846793005) + 1442695040888963407u;
        if (r->rand >> 62 == 0) { /* as a scan does */
            struct shl_sst_meta *m = NULL;
            shale_error ignored;
            if (shl_sst_hold_index(r->fx->ssts[(r->rand >> 40) % HANDLES], &m, &ignored) !=
                SHALE_OK)
                atomic_fetch_add(r->failures, 1u);
            shl_sst_release_meta(m);
        }
        const struct shl_row *want = &r->fx->rows.items[(r->rand >> 20) % r->fx->rows.count];
        struct shl_row got;
        shale_code rc;
        shale_error err;
        bool found = test_sst_get(r->fx->epoch, r->fx->ssts[(r->rand >> 50) % HANDLES], want->key,
                                  want->seq, i % 3 != 0, &got, &value, &rc, &err);
        if (rc != SHALE_OK || !found || !test_row_equal(&got, want) ||
            shl_meta_cache_bytes(r->fx->metas) > r->fx->limit)
            atomic_fetch_add(r->failures, 1u);
    }
    shl_buf_free(&value);
}

static void test_readers_at_once(void **state)
{
    (void)state;
    struct fixture fx;
    struct runner runners[TASKS];
    _Atomic uint32_t failures = 0;
    fixture_init(&fx, 2);
    for (size_t i = 0; i < TASKS; i++) {
        runners[i] = (struct runner){.fx = &fx, .rand = SEED + i, .failures = &failures};
        assert_int_equal(env_task_spawn(&runners[i].task, "reader", look_up_randomly, &runners[i]),
                         SHALE_OK);
    }
    for (size_t i = 0; i < TASKS; i++)
        env_task_join(runners[i].task);
    assert_int_equal(failures, 0);
    fixture_deinit(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_holds_and_what_left_is_read_again),
        cmocka_unit_test(test_what_is_used_outlives_what_is_not),
        cmocka_unit_test(test_nothing_kept_still_reads),
        cmocka_unit_test(test_blocks_leave_with_their_index),
        cmocka_unit_test(test_who_passes_by_leaves_no_large_index),
        cmocka_unit_test(test_who_passes_by_leaves_a_small_index),
        cmocka_unit_test(test_passing_by_beside_lookups),
        cmocka_unit_test(test_held_stays_good_after_it_left),
        cmocka_unit_test(test_scan_leaves_the_filter_to_the_first_lookup),
        cmocka_unit_test(test_filter_that_comes_late_pushes_others_out),
        cmocka_unit_test(test_filter_that_fails_is_fetched_again),
        cmocka_unit_test(test_readers_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
