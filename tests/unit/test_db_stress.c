/* Goal: a whole database under real threads: no race (ThreadSanitizer), no lost or invented row, no torn batch.
 * Method: several writers put unique increasing versions into keys of their own and pairs of keys in batches, while readers get, scan both ways and
 * check what must hold at any moment; small memtables, so that freezes, flushes and compactions happen all the time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env/env.h"
#include "lsm/db.h"
#include "store/memory.h"

#define WRITERS 3
#define READERS 3
#define KEYS    200
#define ROUNDS  60

struct world {
    struct shl_lsm *db;
    _Atomic unsigned failures;
    _Atomic uint32_t acked[WRITERS][KEYS]; /* version whose durable write returned */
    _Atomic unsigned running;
};

struct actor {
    struct world *world;
    unsigned number;
};

static void complain(struct world *w, const char *what, const shale_error *err)
{
    fprintf(stderr, "%s: %s\n", what, err->text);
    atomic_fetch_add(&w->failures, 1);
}

static struct shl_slice make_key(char *buf, size_t cap, char kind, unsigned writer, unsigned key)
{
    int n = snprintf(buf, cap, "%c/%u/%05u", kind, writer, key);
    return shl_slice_of(buf, (size_t)n);
}

static struct shl_slice make_value(char *buf, size_t cap, unsigned version)
{
    int n = snprintf(buf, cap, "%010u-%0100u", version, version);
    return shl_slice_of(buf, (size_t)n);
}

static unsigned version_of(struct shl_slice value)
{
    return value.len < 10 ? 0 : (unsigned)strtoul((const char *)value.data, NULL, 10);
}

/* Every key gets version after version; every 16th write is a batch over a pair of keys that must always be equal. */
static void writer(void *arg)
{
    struct actor *a = arg;
    struct world *w = a->world;
    shale_error err = {0};
    for (unsigned version = 1; version <= ROUNDS; version++)
        for (unsigned key = 0; key < KEYS; key++) {
            char k[64], k2[64], v[160];
            bool durable = (key + version) % 50 == 0;
            struct shl_lsm_write how = {.await_durable = durable};
            struct shl_slice ks = make_key(k, sizeof k, 'k', a->number, key),
                             vs = make_value(v, sizeof v, version);
            shale_code rc;
            if (key % 16 == 0) {
                struct shl_batch b;
                shl_batch_init(&b);
                shl_batch_add(&b, 0, make_key(k, sizeof k, 'a', a->number, key), vs,
                              (struct shl_ttl){0});
                shl_batch_add(&b, 0, make_key(k2, sizeof k2, 'b', a->number, key), vs,
                              (struct shl_ttl){0});
                rc = shl_lsm_write(w->db, &b, &how, NULL, &err);
                shl_batch_deinit(&b);
            } else {
                rc = shl_lsm_write_one(w->db, 0, ks, vs, (struct shl_ttl){0}, &how, NULL, &err);
                if (rc == SHALE_OK)
                    atomic_store(&w->acked[a->number][key], version);
            }
            if (rc != SHALE_OK)
                complain(w, "write", &err);
        }
    atomic_fetch_sub(&w->running, 1);
}

static void check_get(struct world *w, unsigned writer_number, unsigned key)
{
    char k[64];
    shale_error err = {0};
    struct shl_lsm_pinned p = {0};
    uint32_t before = atomic_load(&w->acked[writer_number][key]);
    struct shl_lsm_read how = {0};
    shale_code rc =
        shl_lsm_get(w->db, make_key(k, sizeof k, 'k', writer_number, key), &how, &p, &err);
    if (rc == SHALE_OK) {
        if (version_of(p.value) < before || p.value.len != 111)
            complain(w, "get went back in time", &err);
        shl_lsm_pinned_release(&p);
    } else if (rc != SHALE_NOT_FOUND || before > 0) {
        complain(w, "get", &err);
    }
}

/* In one scan the pairs a/x and b/x have equal versions, keys ascend, none twice. */
static void check_scan(struct world *w, bool reverse)
{
    static const char *const prefixes[] = {"a/", "b/"};
    unsigned seen[2][WRITERS][KEYS] = {{{0}}};
    shale_error err = {0};
    struct shl_lsm_iter *it = NULL;
    struct shl_lsm_range range = {.from = shl_slice_str(prefixes[0]),
                                  .from_kind = SHL_LSM_INCLUDED,
                                  .to = shl_slice_str("c"),
                                  .to_kind = SHL_LSM_EXCLUDED};
    struct shl_lsm_scan how = {.reverse = reverse};
    struct shl_row row;
    char last[64] = "";
    shale_code rc = shl_lsm_scan_open(w->db, &range, &how, &it, &err);
    if (rc != SHALE_OK) {
        complain(w, "scan", &err);
        return;
    }
    while ((rc = shl_lsm_iter_next(it, &row, &err)) == SHALE_OK) {
        char key[64];
        unsigned writer_number, number;
        snprintf(key, sizeof key, "%.*s", (int)row.key.len, (const char *)row.key.data);
        if (last[0] != '\0' && (reverse ? strcmp(key, last) >= 0 : strcmp(key, last) <= 0))
            complain(w, "scan out of order", &err);
        memcpy(last, key, sizeof last);
        if (sscanf(key + 1, "/%u/%u", &writer_number, &number) == 2 && writer_number < WRITERS &&
            number < KEYS)
            seen[key[0] == 'b'][writer_number][number] = version_of(row.value);
    }
    if (rc != SHALE_DONE)
        complain(w, "scan", &err);
    shl_lsm_iter_close(it);
    for (unsigned i = 0; i < WRITERS; i++)
        for (unsigned k = 0; k < KEYS; k++)
            if (seen[0][i][k] != seen[1][i][k])
                complain(w, "torn batch", &err);
}

static void reader(void *arg)
{
    struct actor *a = arg;
    struct world *w = a->world;
    for (unsigned n = 0; atomic_load(&w->running) > 0; n++) {
        check_get(w, n % WRITERS, (n * 7919 + a->number) % KEYS);
        if (n % 200 == a->number)
            check_scan(w, n % 400 < 200);
    }
}

static void run(bool wal)
{
    static struct world w;
    struct shl_store *store = NULL;
    struct shl_lsm_settings s;
    shale_error err = {0};
    struct actor actors[WRITERS + READERS];
    struct env_task *tasks[WRITERS + READERS];
    w = (struct world){.running = WRITERS};
    shl_lsm_settings_default(&s);
    s.l0_sst_size_bytes = 256 * 1024;
    s.max_unflushed_bytes = 1024 * 1024;
    s.sst_block_size_bytes = 1024;
    s.min_filter_keys = 10;
    s.block_cache_bytes = 1024 * 1024;
    s.meta_cache_bytes = 16 * 1024; /* a few SSTs' */
    s.wal_enabled = wal;
    s.flush_interval_ns = 5 * ENV_NS_PER_MS;
    s.manifest_poll_interval_ns = 20 * ENV_NS_PER_MS;
    assert_int_equal(shl_store_memory_new(&store, &err), SHALE_OK);
    struct shl_lsm_open o = {.store = store, .path = "db", .settings = &s};
    assert_int_equal(shl_lsm_open_writer(&o, &w.db, &err), SHALE_OK);
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        actors[i] = (struct actor){.world = &w, .number = i < WRITERS ? i : i - WRITERS};
        assert_int_equal(
            env_task_spawn(&tasks[i], "actor", i < WRITERS ? writer : reader, &actors[i]),
            SHALE_OK);
    }
    for (unsigned i = 0; i < WRITERS + READERS; i++)
        env_task_join(tasks[i]);
    check_scan(&w, false);
    assert_int_equal(shl_lsm_close(w.db, &err), SHALE_OK);
    assert_int_equal(shl_lsm_open_writer(&o, &w.db, &err), SHALE_OK);
    for (unsigned i = 0; i < WRITERS; i++)
        for (unsigned k = 0; k < KEYS; k++)
            check_get(&w, i, k);
    check_scan(&w, true);
    assert_int_equal(shl_lsm_close(w.db, &err), SHALE_OK);
    shl_store_unref(store);
    assert_int_equal(atomic_load(&w.failures), 0);
}

static void test_threads_with_wal(void **state)
{
    (void)state;
    run(true);
}

static void test_threads_without_wal(void **state)
{
    (void)state;
    run(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_with_wal),
        cmocka_unit_test(test_threads_without_wal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
