/* Goal: strict reads see exactly what has not expired by the clock, wherever rows lie; others see expired rows until a rewrite meets them; an expired
 * value never uncovers an older one. Method: random puts, merges and deletes with times to live on a virtual clock, with flushes, compactions and reopenings
 * between; every read is compared with a model that keeps all versions. How to choose seeds: driver.h. */
#include "base/assert.h"
#include "driver.h"
#include "lsm/db.h"
#include "store/memory.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS     4
#define VERSIONS 400
#define STEPS    160

struct version {
    uint8_t kind;
    char digit;
    int64_t expire; /* INT64_MAX: never */
};

struct scene {
    struct shl_store *bucket;
    struct shl_lsm_settings settings;
    struct shl_merge_operator merge;
    struct world_faults faults;
    struct shl_lsm *db;
    struct version versions[KEYS][VERSIONS];
    unsigned counts[KEYS];
    bool ended;
};

static void must(shale_code rc, const shale_error *err, const char *what)
{
    if (rc == SHALE_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(rc), err->text);
    env_die(what);
}

static void open_db(struct scene *s, struct shl_store *store)
{
    shale_error err = {0};
    struct shl_lsm_open o = {
        .store = store, .path = "db", .settings = &s->settings, .merge = &s->merge};
    must(shl_lsm_open_writer(&o, &s->db, &err), &err, "open");
}

/* Oldest to newest: what is left of a key at `now`. */
static bool expected(const struct scene *s, unsigned k, int64_t now, char out[VERSIONS + 1])
{
    bool live = false;
    size_t n = 0;
    for (unsigned i = 0; i < s->counts[k]; i++) {
        const struct version *v = &s->versions[k][i];
        bool gone = v->expire <= now;
        if (v->kind == SHL_ROW_MERGE && gone)
            continue;
        if (v->kind != SHL_ROW_MERGE)
            n = 0;
        live = v->kind == SHL_ROW_MERGE || (v->kind == 0 && !gone);
        if (live)
            out[n++] = v->digit;
    }
    out[n] = '\0';
    return live;
}

static void write_one(struct scene *s)
{
    static const uint8_t kinds[] = {0, 0, SHL_ROW_TOMBSTONE, SHL_ROW_MERGE, SHL_ROW_MERGE};
    unsigned k = (unsigned)sim_rand_below(KEYS);
    struct version *v = &s->versions[k][s->counts[k]++];
    SHL_ASSERT(s->counts[k] < VERSIONS);
    *v = (struct version){.kind = kinds[sim_rand_below(5)],
                          .digit = (char)('0' + sim_rand_below(10)),
                          .expire = INT64_MAX};
    struct shl_ttl ttl = {.kind = SHL_TTL_NEVER};
    struct shl_lsm_written written;
    shale_error err = {0};
    char key[4] = {'k', (char)('0' + k), '\0'};
    if (v->kind != SHL_ROW_TOMBSTONE && sim_chance(0.7))
        ttl = (struct shl_ttl){.kind = SHL_TTL_AFTER_MS, .ms = 1 + (int64_t)sim_rand_below(300)};
    must(shl_lsm_write_one(s->db, v->kind, shl_slice_str(key), shl_slice_of(&v->digit, 1), ttl,
                           &(struct shl_lsm_write){0}, &written, &err),
         &err, "write");
    if (ttl.kind == SHL_TTL_AFTER_MS)
        v->expire = written.create_ts + ttl.ms;
}

/* Time may pass within a call: then there is no telling. */
static void check_get(struct scene *s, unsigned k)
{
    char want[VERSIONS + 1], found[VERSIONS + 1], key[4] = {'k', (char)('0' + k), '\0'};
    size_t len = 0;
    shale_error err = {0};
    int64_t now = env_now_wall_ms();
    shale_code rc = shl_lsm_get_into(s->db, shl_slice_str(key), &(struct shl_lsm_read){0}, found,
                                     sizeof found, &len, &err);
    if (rc != SHALE_NOT_FOUND)
        must(rc, &err, "get");
    if (env_now_wall_ms() != now)
        return;
    bool live = expected(s, k, now, want);
    SHL_ASSERT((rc == SHALE_OK) == live);
    SHL_ASSERT(!live || (len == strlen(want) && memcmp(found, want, len) == 0));
}

static void check_scan(struct scene *s, bool reverse)
{
    shale_error err = {0};
    struct shl_lsm_iter *it;
    struct shl_row row;
    char want[VERSIONS + 1];
    int64_t now = env_now_wall_ms();
    must(shl_lsm_scan_open(s->db, &(struct shl_lsm_range){0},
                           &(struct shl_lsm_scan){.reverse = reverse}, &it, &err),
         &err, "scan");
    bool sure = env_now_wall_ms() == now;
    for (unsigned i = 0; sure && i < KEYS; i++) {
        unsigned k = reverse ? KEYS - 1 - i : i;
        if (!expected(s, k, now, want))
            continue;
        must(shl_lsm_iter_next(it, &row, &err), &err, "next");
        SHL_ASSERT(row.key.data[1] == (uint8_t)('0' + k));
        SHL_ASSERT(row.value.len == strlen(want) &&
                   memcmp(row.value.data, want, row.value.len) == 0);
    }
    SHL_ASSERT(!sure || shl_lsm_iter_next(it, &row, &err) == SHALE_DONE);
    shl_lsm_iter_close(it);
}

static void check_strict(struct scene *s)
{
    for (unsigned k = 0; k < KEYS; k++)
        check_get(s, k);
    check_scan(s, false);
    check_scan(s, true);
}

static void process(void *arg)
{
    struct scene *s = arg;
    struct shl_store *store;
    shale_error err = {0};
    must(world_store_new(s->bucket, &s->faults, &store, &err), &err, "store");
    open_db(s, store);
    for (unsigned i = 0; i < STEPS; i++) {
        write_one(s);
        if (sim_chance(0.3))
            env_sleep_ns(sim_rand_below(120) * ENV_NS_PER_MS);
        if (sim_chance(0.15))
            must(shl_lsm_flush(s->db, true, &err), &err, "flush");
        if (sim_chance(0.05))
            must(shl_lsm_settle(s->db, &err), &err, "settle");
        if (sim_chance(0.03)) {
            must(shl_lsm_close(s->db, &err), &err, "close");
            open_db(s, store);
        }
        if (sim_chance(0.5))
            check_strict(s);
    }
    must(shl_lsm_close(s->db, &err), &err, "close");
    shl_store_unref(store);
    s->ended = true;
}

static void strict_main(void *arg)
{
    struct scene *s = arg;
    s->settings.strict_ttl = true;
    sim_group g = sim_group_new("writer", 0);
    sim_group_spawn(g, "main", process, s);
    sim_group_wait(g);
    SHL_ASSERT(s->ended);
}

/* ---------------------------------------------------------------- scenario: not strict */

static void expect(struct scene *s, const char *want)
{
    shale_error err = {0};
    char found[16] = "";
    size_t len = 0;
    shale_code rc = shl_lsm_get_into(s->db, shl_slice_str("k"), &(struct shl_lsm_read){0}, found,
                                     sizeof found - 1, &len, &err);
    if (rc != SHALE_NOT_FOUND)
        must(rc, &err, "get");
    found[rc == SHALE_OK ? len : 0] = '\0';
    SHL_ASSERT(strcmp(found, want) == 0);
}

static void put(struct scene *s, const char *key, const char *value, int64_t ttl_ms)
{
    shale_error err = {0};
    struct shl_ttl ttl = {.kind = ttl_ms > 0 ? SHL_TTL_AFTER_MS : SHL_TTL_NEVER, .ms = ttl_ms};
    must(shl_lsm_write_one(s->db, 0, shl_slice_str(key), shl_slice_str(value), ttl,
                           &(struct shl_lsm_write){0}, NULL, &err),
         &err, "put");
}

static void lax_process(void *arg)
{
    struct scene *s = arg;
    struct shl_store *store;
    shale_error err = {0};
    must(world_store_new(s->bucket, &s->faults, &store, &err), &err, "store");
    open_db(s, store);
    put(s, "k", "old", 0);
    put(s, "k", "new", 100);
    env_sleep_ns(200 * ENV_NS_PER_MS);
    expect(s, "new"); /* expired, and there until it is rewritten */
    must(shl_lsm_flush(s->db, true, &err), &err, "flush");
    expect(
        s,
        "new"); /* the newest row is no newer than itself: by the ticks of data no time has passed */
    put(s, "other", "1", 0);
    must(shl_lsm_flush(s->db, true, &err), &err, "flush");
    must(shl_lsm_settle(s->db, &err), &err, "settle");
    put(s, "k", "newest", 100);
    env_sleep_ns(200 * ENV_NS_PER_MS);
    put(s, "other", "2", 0);
    must(shl_lsm_flush(s->db, true, &err), &err, "flush");
    expect(s, ""); /* nothing older comes back */
    must(shl_lsm_settle(s->db, &err), &err, "settle");
    expect(s, "");
    must(shl_lsm_close(s->db, &err), &err, "close");
    shl_store_unref(store);
    s->ended = true;
}

static void lax_main(void *arg)
{
    struct scene *s = arg;
    sim_group g = sim_group_new("writer", 0);
    sim_group_spawn(g, "main", lax_process, s);
    sim_group_wait(g);
    SHL_ASSERT(s->ended);
}

static const struct driver_scenario scenarios[] = {{"strict", strict_main}, {"lax", lax_main}};

static uint64_t run_one(const struct driver_scenario *sc, uint64_t seed, enum sim_backend backend)
{
    static struct scene scene;
    shale_error err = {0};
    scene = (struct scene){0};
    world_init();
    must(shl_store_memory_new(&scene.bucket, &err), &err, "bucket");
    shl_lsm_settings_default(&scene.settings);
    scene.settings.min_compaction_sources = 2;
    SHL_ASSERT(shl_merge_operator_builtin("concat", &scene.merge));
    struct sim_options o = {
        .seed = seed, .backend = backend, .policy = SIM_POLICY_BY_SEED, .scenario = sc->name};
    uint64_t hash = sim_run(&o, sc->main_fn, &scene);
    shl_store_unref(scene.bucket);
    return hash;
}

int main(void)
{
    return driver_main(scenarios, sizeof scenarios / sizeof scenarios[0], run_one);
}
