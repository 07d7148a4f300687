/* Goal: readers of a memtable find every committed version and meet every key once, however they interleave with the writer, also when
 * the table is swapped and retired under them; and running out of memory anywhere leaves everything as it was.
 * Method: the deterministic env, one run per printed seed (its order of tasks changes at any atomic access); expectations
 * are arithmetic, for row n goes to key n % keys. Then every allocation fails in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/codec/endian.h"
#include "base/env/sim.h"
#include "base/num.h"
#include "lsm/epoch.h"
#include "lsm/memtable/memtable.h"
#include "lsm/source.h"
#include "lsm/sst/sst_write.h"

#define READERS         3
#define READER_PAUSE_NS (5 * ENV_NS_PER_MS)
#define KEY_BYTES       12
#define STRIDE          UINT64_C(2654435761) /* odd: a permutation mod 2^32 */

/* A table that can be retired. */
struct holder {
    struct shl_retired retired; /* first */
    struct shl_memtable *table;
    _Atomic uint64_t committed; /* rows 0 .. committed-1 are visible; row n has seq n + 1 */
};

struct scenario {
    const char *name;
    uint64_t rows;
    uint64_t keys;       /* fewer than rows: overwrites */
    bool ascending;      /* keys come in order */
    uint64_t swap_every; /* rows in a table before it is swapped for an empty one; 0: never */
};

struct world {
    const struct scenario *scenario;
    struct shl_epoch *epoch;
    _Atomic(struct holder *) current;
    _Atomic uint32_t done;
    bool pauses; /* readers sleep at times: else a starved writer would never be done */
    _Atomic uint64_t checks;
};

static struct shl_slice make_key(const struct world *w, uint64_t n, uint8_t out[KEY_BYTES])
{
    uint64_t k = n % w->scenario->keys;
    memcpy(out, "key/", 4);
    shl_store_u64be(out + 4, w->scenario->ascending ? k : k * STRIDE % (UINT64_C(1) << 32));
    return shl_slice_of(out, KEY_BYTES);
}

/* ---- the writer */

static struct holder *holder_new(void)
{
    shale_error err;
    struct holder *h = env_calloc(1, sizeof *h);
    SHL_ASSERT(h != NULL);
    SHL_ASSERT(shl_memtable_new(NULL, &h->table, &err) == SHALE_OK);
    return h;
}

static void holder_free(struct shl_retired *r)
{
    struct holder *h = (struct holder *)r;
    shl_memtable_unref(h->table);
    env_free(h);
}

static void add_row(struct holder *h, const struct world *w, uint64_t n)
{
    uint8_t key[KEY_BYTES];
    shale_error err;
    struct shl_row row = {.key = make_key(w, n, key), .value = shl_slice_str("v"), .seq = n + 1};
    SHL_ASSERT(shl_memtable_reserve(h->table, 1, KEY_BYTES + 1, &err) == SHALE_OK);
    (void)shl_memtable_add(h->table, &row);
    env_store_release(&h->committed, n + 1);
}

static void writer_main(void *arg)
{
    struct world *w = arg;
    struct holder *h = env_load_seq(&w->current);
    uint64_t in_table = 0;
    for (uint64_t n = 0; n < w->scenario->rows; n++, in_table++) {
        if (w->scenario->swap_every != 0 && in_table == w->scenario->swap_every) {
            struct holder *fresh = holder_new();
            env_store_seq(&w->current, fresh);
            shl_epoch_retire(w->epoch, &h->retired, holder_free);
            h = fresh;
            n = in_table = 0; /* the new table begins at row 0 again */
            if (sim_chance(0.3))
                break;
        }
        add_row(h, w, n);
    }
    env_store_release(&w->done, 1);
}

/* ---- readers */

/* Newest row of key number k below `end`, as its seq; 0: none. */
static uint64_t newest_seq(const struct world *w, uint64_t k, uint64_t end)
{
    if (end <= k)
        return 0;
    return (end - 1 - k) / w->scenario->keys * w->scenario->keys + k + 1;
}

static void check_get(struct world *w, const struct holder *h)
{
    uint8_t text[KEY_BYTES];
    uint64_t committed = env_load_acquire(&h->committed);
    uint64_t max_seq = committed == 0 ? 0 : committed - sim_rand_below(committed) / 2;
    uint64_t k = sim_rand_below(w->scenario->keys);
    const struct shl_mem_entry *e = shl_memtable_get(h->table, make_key(w, k, text), max_seq);
    SHL_ASSERT((e == NULL ? 0 : e->seq) == newest_seq(w, k, max_seq));
    (void)env_fetch_add(&w->checks, 1);
}

/* All keys that were committed when the scan began, once each and in order. */
static void check_scan(struct world *w, const struct holder *h, bool backward)
{
    uint64_t known = shl_min_u64(env_load_acquire(&h->committed), w->scenario->keys);
    struct shl_memtable_iter it;
    uint8_t last[KEY_BYTES];
    uint64_t met = 0;
    bool first = true;
    shl_memtable_iter_init(&it, h->table);
    if (backward)
        shl_memtable_iter_last(&it);
    else
        shl_memtable_iter_first(&it);
    while (it.entry != NULL) {
        struct shl_row row;
        shl_mem_entry_row(it.entry, &row);
        int c = first ? 0 : memcmp(row.key.data, last, KEY_BYTES);
        SHL_ASSERT(first || (backward ? c < 0 : c > 0));
        memcpy(last, row.key.data, KEY_BYTES);
        first = false;
        met += (row.seq - 1) % w->scenario->keys < known;
        if (backward)
            shl_memtable_iter_prev(&it);
        else
            shl_memtable_iter_next(&it);
    }
    SHL_ASSERT(met == known);
    (void)env_fetch_add(&w->checks, 1);
}

static void reader_main(void *arg)
{
    struct world *w = arg;
    do {
        uint32_t token = shl_epoch_enter(w->epoch);
        struct holder *h = env_load_seq(&w->current);
        if (sim_chance(0.9))
            check_get(w, h);
        else
            check_scan(w, h, sim_chance(0.5));
        shl_epoch_leave(w->epoch, token);
        sim_progress();
        if (w->pauses && sim_chance(0.1))
            env_sleep_ns(READER_PAUSE_NS);
        else
            env_yield();
    } while (env_load_acquire(&w->done) == 0);
}

static void run_main(void *arg)
{
    struct world *w = arg;
    struct env_task *tasks[READERS + 1];
    shale_error err;
    SHL_ASSERT(shl_epoch_new(&w->epoch, &err) == SHALE_OK);
    env_store_seq(&w->current, holder_new());
    SHL_ASSERT(env_task_spawn(&tasks[READERS], "writer", writer_main, w) == SHALE_OK);
    for (unsigned i = 0; i < READERS; i++)
        SHL_ASSERT(env_task_spawn(&tasks[i], "reader", reader_main, w) == SHALE_OK);
    for (unsigned i = 0; i <= READERS; i++)
        env_task_join(tasks[i]);
    holder_free(&env_load_seq(&w->current)->retired);
    SHL_ASSERT(shl_epoch_collect(w->epoch) == 0);
    shl_epoch_free(w->epoch);
}

static void run_seeds(const struct scenario *s, uint64_t seeds)
{
    static const enum sim_policy policies[] = {SIM_UNIFORM, SIM_RUN_UNTIL_BLOCK, SIM_PCT,
                                               SIM_STARVE_ONE};
    uint64_t checks = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        enum sim_policy policy = policies[seed % SHL_COUNT_OF(policies)];
        struct world w = {.scenario = s, .pauses = policy == SIM_STARVE_ONE};
        struct sim_options options = {.seed = seed, .policy = policy, .scenario = s->name};
        (void)sim_run(&options, run_main, &w);
        assert_true(w.checks >= READERS);
        checks += w.checks;
    }
    print_message("%s, seeds 1..%llu: %llu checks\n", s->name, (unsigned long long)seeds,
                  (unsigned long long)checks);
}

static void test_readers_find_all_in_any_order_of_steps(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"random keys", 300, 300, false, 0},      {"ascending keys", 300, 300, true, 0},
        {"overwrites", 400, 90, false, 0},        {"one key", 100, 1, false, 0},
        {"tables swapped", 2000, 40, false, 100},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(scenarios); i++)
        run_seeds(&scenarios[i], 40);
}

static void test_readers_find_all_while_inner_nodes_split(void **state)
{
    (void)state;
    static const struct scenario deep = {"deep tree", 6000, 6000, false, 0};
    run_seeds(&deep, 3);
}

/* The same seed gives the same run: what is found can be repeated. */
static void test_runs_repeat_by_seed(void **state)
{
    (void)state;
    static const struct scenario s = {"repeat", 200, 100, false, 0};
    uint64_t hash[2];
    for (unsigned i = 0; i < 2; i++) {
        struct world w = {.scenario = &s};
        struct sim_options options = {.seed = 7, .policy = SIM_UNIFORM, .scenario = s.name};
        hash[i] = sim_run(&options, run_main, &w);
    }
    assert_true(hash[0] == hash[1]);
}

/* ---- memory runs out */

static shale_code use_memtable(shale_error *err)
{
    shale_code rc;
    struct shl_memtable *t = NULL;
    uint64_t rows = 0;
    SHL_TRY(shl_memtable_new(NULL, &t, err));
    for (uint64_t batch = 1; batch <= 2000; batch *= 3) {
        size_t before = shl_memtable_arena_bytes(t);
        rc = shl_memtable_reserve(t, batch, batch * (KEY_BYTES + 3000), err);
        SHL_ASSERT(shl_memtable_arena_bytes(t) - before < ((size_t)2 << 20));
        SHL_ASSERT(shl_memtable_rows(t) == rows);
        if (rc != SHALE_OK)
            goto out;
        for (uint64_t i = 0; i < batch; i++, rows++) {
            static const uint8_t value[3000] = {0};
            uint8_t key[KEY_BYTES] = {0};
            shl_store_u64be(key, rows * STRIDE);
            struct shl_row row = {.key = shl_slice_of(key, sizeof key),
                                  .value = shl_slice_of(value, sizeof value),
                                  .seq = rows + 1};
            (void)shl_memtable_add(t, &row);
        }
    }
out:
    shl_memtable_unref(t);
    return rc;
}

static shale_code use_epoch(shale_error *err)
{
    struct shl_epoch *e = NULL;
    shale_code rc = shl_epoch_new(&e, err);
    shl_epoch_free(e);
    return rc;
}

/* An empty source, to be closed. */
static shale_code seek_nothing(struct shl_source *s, const struct shl_slice *target,
                               shale_error *err)
{
    (void)target;
    (void)err;
    s->valid = false;
    return SHALE_OK;
}

static shale_code next_never(struct shl_source *s, shale_error *err)
{
    (void)s;
    (void)err;
    SHL_NEVER();
}

static void free_source(struct shl_source *s)
{
    env_free(s);
}

static shale_code use_merge(shale_error *err)
{
    static const struct shl_source_ops ops = {
        .seek = seek_nothing, .next = next_never, .close = free_source};
    struct shl_source *list[3] = {NULL};
    struct shl_source *merged = NULL;
    shale_code rc;
    for (size_t i = 0; i < SHL_COUNT_OF(list); i++) {
        list[i] = env_calloc(1, sizeof *list[i]);
        if (list[i] == NULL) {
            while (i-- > 0)
                shl_source_close(list[i]);
            return shl_nomem(err);
        }
        list[i]->ops = &ops;
    }
    rc = shl_merge_source_new(list, SHL_COUNT_OF(list), false, NULL, &merged, err);
    if (rc == SHALE_OK)
        rc = shl_source_seek(merged, NULL, err);
    shl_source_close(merged);
    return rc;
}

/* Adds are repeated once after NOMEM: the object must not suffer from it. */
static shale_code use_sst_writer(shale_error *err)
{
    const struct shl_filter_policy policy = {
        .bits_per_key = 10,
        .whole_key = true,
        .extractor = {.kind = SHL_EXTRACT_FIXED, .fixed_len = 5, .name = "fixed5"}};
    const struct shl_sst_write_options o = {.block_bytes = 256,
                                            .compression = SHL_COMPRESSION_LZ4,
                                            .policies = &policy,
                                            .policy_count = 1};
    struct shl_sst_writer *w = NULL;
    struct shl_sst_info info;
    uint64_t bytes;
    bool failed = false;
    shale_code rc;
    SHL_TRY(shl_sst_writer_new(&o, NULL, NULL, &w, err));
    for (uint64_t i = 0; i < 400; i++) {
        uint8_t key[KEY_BYTES] = {0};
        shl_store_u64be(key, i);
        struct shl_row row = {.key = shl_slice_of(key, sizeof key),
                              .value = shl_slice_str("some value"),
                              .seq = i + 1};
        rc = shl_sst_writer_add(w, &row, err);
        if (rc == SHALE_NOMEM) {
            failed = true;
            rc = shl_sst_writer_add(w, &row, err);
        }
        if (rc != SHALE_OK)
            goto out;
        SHL_ASSERT(shl_sst_writer_rows(w) == i + 1);
    }
    rc = shl_sst_writer_finish(w, &info, &bytes, err);
    if (rc == SHALE_NOMEM) {
        failed = true;
        rc = shl_sst_writer_finish(w, &info, &bytes, err);
    }
    if (rc == SHALE_OK) {
        static uint64_t bytes_undisturbed; /* of the first run */
        if (bytes_undisturbed == 0)
            bytes_undisturbed = bytes;
        SHL_ASSERT(bytes == bytes_undisturbed);
        if (failed)
            rc = shl_nomem(err); /* so that the loop goes on */
    }
out:
    shl_sst_writer_free(w);
    return rc;
}

static const struct user {
    const char *name;
    shale_code (*use)(shale_error *err);
    uint64_t allocations_min;
} users[] = {
    {"memtable", use_memtable, 5},
    {"epoch", use_epoch, 1},
    {"merge", use_merge, 6},
    {"sst writer", use_sst_writer, 15},
};

static void nomem_main(void *arg)
{
    const struct user *u = arg;
    shale_error err;
    sim_group g = sim_group_self();
    SHL_ASSERT(u->use(&err) == SHALE_OK); /* what is kept for later (codec contexts) is there now */
    uint64_t live = sim_alloc_live(g);
    for (uint64_t n = 0;; n++) {
        sim_alloc_fault_arm(g, n, false);
        shale_code rc = u->use(&err);
        uint64_t seen = sim_alloc_fault_disarm(g);
        SHL_ASSERT(sim_alloc_live(g) == live);
        sim_progress();
        if (seen <= n) {
            SHL_ASSERT(rc == SHALE_OK);
            SHL_ASSERT(seen >= u->allocations_min);
            break;
        }
        SHL_ASSERT(rc == SHALE_NOMEM);
    }
}

static void test_any_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHL_COUNT_OF(users); i++) {
        struct user u = users[i];
        struct sim_options options = {.seed = 1, .scenario = u.name};
        print_message("%s\n", u.name);
        (void)sim_run(&options, nomem_main, &u);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers_find_all_in_any_order_of_steps),
        cmocka_unit_test(test_readers_find_all_while_inner_nodes_split),
        cmocka_unit_test(test_runs_repeat_by_seed),
        cmocka_unit_test(test_any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
