/* Goal: whatever the collector deletes, nobody needs: not the newest manifest, no live checkpoint, no reader on one; no manifest at or below the boundary
 * is ever the newest; a writer that slept over a collection is fenced and loses nothing that it acknowledged.
 * Method: collectors of their own process and inside of the writer, with clocks that are far off and no patience (min_age of a moment), beside writers,
 * compactions and checkpoint readers that crash, sleep and lose answers; after each step the bucket is held against its own newest manifest. How to
 * choose seeds: driver.h. */
#include "base/assert.h"
#include "driver.h"
#include "lsm/keep/checkpoint.h"
#include "lsm/keep/gc.h"
#include "store/memory.h"
#include "store/wrap_retry.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECKPOINTS_MAX 40

struct kept {
    char id[SHL_UUID_TEXT];
    uint64_t hash; /* of its rows */
    bool live;     /* nobody deletes it */
};

struct scene {
    struct shl_store *bucket;
    struct world_history *history;
    struct world_history *zombie;
    struct world_faults faults[3]; /* writer, collectors, readers */
    struct shl_lsm_settings settings;
    struct kept kept[CHECKPOINTS_MAX];
    unsigned kept_count;
    uint64_t deleted; /* by collectors of their own process */
    bool clean, stop;
    bool opened, newer_open, fenced;
    uint64_t newer_open_seq;
};

static void die_of(const char *what, const shale_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(err->code), err->text);
    env_die(what);
}

static void must(shale_code rc, const shale_error *err, const char *what)
{
    if (rc != SHALE_OK)
        die_of(what, err);
}

/* ---------------------------------------------------------------- the store of a process */

struct view {
    struct shl_store *world, *store;
};

static void view_open(struct view *v, struct scene *s, unsigned faults)
{
    shale_error err = {0};
    struct shl_retry_options retry = {.max_retries = SHL_RETRY_FOREVER,
                                      .delay_first_ns = 5 * ENV_NS_PER_MS};
    *v = (struct view){0};
    must(world_store_new(s->bucket, &s->faults[faults], &v->world, &err), &err, "store");
    must(shl_store_retry_new(&v->store, v->world, &retry, &err), &err, "store");
}

static void view_close(struct view *v)
{
    shl_store_unref(v->store);
    shl_store_unref(v->world);
}

/* ---------------------------------------------------------------- rows of a handle */

static void mix(uint64_t *h, struct shl_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        *h = (*h ^ s.data[i]) * UINT64_C(0x100000001b3);
    *h = (*h ^ s.len) * UINT64_C(0x100000001b3);
}

static uint64_t rows_hash(struct shl_lsm *db)
{
    static const struct shl_lsm_range all;
    struct shl_lsm_iter *it = NULL;
    struct shl_row row;
    shale_error err = {0};
    shale_code rc;
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    must(shl_lsm_scan_open(db, &all, &(struct shl_lsm_scan){0}, &it, &err), &err, "scan");
    while ((rc = shl_lsm_iter_next(it, &row, &err)) == SHALE_OK) {
        mix(&h, row.key);
        mix(&h, row.value);
    }
    if (rc != SHALE_DONE)
        die_of("scan", &err);
    shl_lsm_iter_close(it);
    return h;
}

/* ---------------------------------------------------------------- the bucket against its newest manifest */

static bool is_there(struct scene *s, char *take_key)
{
    struct shl_object o;
    shale_error err = {0};
    shale_code rc = shl_store_head(s->bucket, take_key, &o, &err);
    if (rc == SHALE_NOT_FOUND)
        sim_trace("missing: %s", take_key);
    env_free(take_key);
    return rc == SHALE_OK;
}

static bool tree_is_there(struct scene *s, const struct shl_db_paths *p, const struct shl_tree *t)
{
    for (size_t i = 0; i < t->l0.count; i++)
        if (!is_there(s, shl_name_sst(p, t->l0.items[i].sst->id)))
            return false;
    for (size_t r = 0; r < t->runs.count; r++)
        for (size_t i = 0; i < t->runs.items[r].ssts.count; i++)
            if (!is_there(s, shl_name_sst(p, t->runs.items[r].ssts.items[i].sst->id)))
                return false;
    return true;
}

static bool manifest_is_whole(struct scene *s, struct shl_manifests *m,
                              const struct shl_manifest *one)
{
    for (uint64_t id = one->replay_after_wal_id + 1; id <= one->wal_id_last_seen; id++)
        if (!is_there(s, shl_name_wal(&m->paths, id)))
            return false;
    return tree_is_there(s, &m->paths, &one->root);
}

static bool checkpoints_are_whole(struct scene *s, struct shl_manifests *m)
{
    int64_t now_ms = env_now_wall_ms();
    for (size_t i = 0; i < m->newest->checkpoints.count; i++) {
        const struct shl_checkpoint *c = &m->newest->checkpoints.items[i];
        struct shl_manifest *one;
        shale_error err = {0};
        if (shl_checkpoint_has_expired(c, now_ms + 3600 * 1000)) /* clocks are off */
            continue;
        if (shl_manifests_read(m, c->manifest_id, &one, &err) != SHALE_OK)
            return false;
        bool whole = manifest_is_whole(s, m, one);
        shl_manifest_free(one);
        if (!whole)
            return false;
    }
    return true;
}

/* As long as the newest manifest stays the newest, what it needs is there. */
static void check_bucket(struct scene *s)
{
    struct shl_manifests m;
    shale_error err = {0};
    uint64_t seen = 0;
    must(shl_manifests_init(&m, s->bucket, "db", false, &err), &err, "check");
    for (;;) {
        shale_code rc = shl_manifests_load(&m, &err);
        if (rc == SHALE_NOT_FOUND)
            break;
        must(rc, &err, "newest manifest");
        if (m.versions.boundary >= m.versions.id)
            env_die("the newest manifest is at or below the boundary");
        if (m.versions.id == seen)
            env_die("the collector took what is needed");
        seen = m.versions.id;
        if (manifest_is_whole(s, &m, m.newest) && checkpoints_are_whole(s, &m))
            break;
    }
    shl_manifests_deinit(&m);
}

/* ---------------------------------------------------------------- processes */

static void keep_one(struct scene *s, struct shl_lsm *db)
{
    shale_error err = {0};
    struct shl_lsm_checkpoint *c;
    uint64_t manifest_id;
    bool durable_only = sim_chance(0.3);
    if (s->kept_count == CHECKPOINTS_MAX)
        return;
    if (durable_only && s->settings.wal_enabled)
        must(shl_lsm_flush(db, false, &err), &err, "flush");
    else
        durable_only = false;
    uint64_t hash = rows_hash(db);
    must(shl_lsm_checkpoint_begin(
             db, &(struct shl_lsm_checkpoint_how){.durable_only = durable_only}, &c, &err),
         &err, "checkpoint");
    if (sim_chance(0.5)) /* what comes behind does not show in it */
        must(world_random_write(s->history, db, false, &err), &err, "write");
    must(shl_lsm_checkpoint_wait(c, &manifest_id, &err), &err, "checkpoint");
    /* The library writes into a copy: what processes share is the scene's, which ThreadSanitizer does not look at. */
    struct kept k = {.hash = hash, .live = true};
    shl_uuid_format(shl_lsm_checkpoint_id(c), k.id);
    shl_lsm_checkpoint_free(c);
    s->kept[s->kept_count++] = k;
}

static void client_step(struct scene *s, struct shl_lsm *db)
{
    shale_error err = {0};
    double p = (double)sim_rand_below(1000) / 1000.0;
    if (p < 0.70)
        must(world_random_write(s->history, db, sim_chance(s->settings.wal_enabled ? 0.4 : 0.1),
                                &err),
             &err, "write");
    else if (p < 0.82)
        must(shl_lsm_flush(db, true, &err), &err, "flush");
    else if (p < 0.88)
        keep_one(s, db);
    else if (p < 0.92)
        world_check_reads(db);
    else
        env_sleep_ns(sim_rand_below(700 * ENV_NS_PER_MS));
}

static void writer_process(void *arg)
{
    struct scene *s = arg;
    struct view v;
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    bool was_clean = s->clean;
    s->clean = false;
    view_open(&v, s, 0);
    struct shl_lsm_open o = {.store = v.store, .path = "db", .settings = &s->settings};
    must(shl_lsm_open_writer(&o, &db, &err), &err, "open");
    world_check(s->history, db, was_clean);
    uint64_t steps = 1 + sim_rand_below(60);
    while (steps-- > 0 && s->history->count < WORLD_OPS_MAX - 3)
        client_step(s, db);
    must(shl_lsm_close(db, &err), &err, "close");
    view_close(&v);
    s->clean = true;
}

static void collector_process(void *arg)
{
    struct scene *s = arg;
    struct view v;
    struct shl_gc *gc;
    shale_error err = {0};
    struct shl_gc_settings settings;
    shl_gc_settings_default(&settings);
    for (unsigned i = 0; i < SHL_GC_TASKS; i++)
        settings.tasks[i].min_age_ns = sim_rand_below(1500) * ENV_NS_PER_MS;
    view_open(&v, s, 1);
    struct shl_gc_open o = {.store = v.store, .path = "db", .settings = &settings};
    must(shl_gc_new(&o, &gc, &err), &err, "collector");
    while (!s->stop) {
        struct shl_gc_report report;
        unsigned mask = sim_chance(0.5) ? (1U << SHL_GC_TASKS) - 1
                                        : (unsigned)sim_rand_below(1U << SHL_GC_TASKS);
        shale_code rc = shl_gc_run(gc, mask, &report, &err);
        if (rc != SHALE_OK && rc != SHALE_NOT_FOUND)
            die_of("gc", &err);
        for (unsigned i = 0; rc == SHALE_OK && i < SHL_GC_TASKS; i++)
            if (!report.tasks[i].dry_run)
                s->deleted += report.tasks[i].count;
        env_sleep_ns(1 + sim_rand_below(800 * ENV_NS_PER_MS));
    }
    shl_gc_free(gc);
    view_close(&v);
}

/* A checkpoint shows the same rows for ever. */
static void check_kept(struct scene *s, struct shl_store *store, unsigned i)
{
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    struct shl_lsm_open o = {.store = store, .path = "db", .settings = &s->settings};
    struct shl_lsm_reader how = {.mode = SHL_READER_CHECKPOINT, .checkpoint = s->kept[i].id};
    shale_code rc = shl_lsm_open_reader(&o, &how, &db, &err);
    if (rc == SHALE_NOT_FOUND && !s->kept[i].live)
        return;
    must(rc, &err, "open at a checkpoint");
    if (rows_hash(db) != s->kept[i].hash)
        env_die("a checkpoint shows other rows");
    must(shl_lsm_close(db, &err), &err, "close at a checkpoint");
}

static void reader_process(void *arg)
{
    struct scene *s = arg;
    struct view v;
    view_open(&v, s, 2);
    while (!s->stop) {
        if (s->kept_count > 0)
            check_kept(s, v.store, (unsigned)sim_rand_below(s->kept_count));
        env_sleep_ns(1 + sim_rand_below(900 * ENV_NS_PER_MS));
    }
    view_close(&v);
}

/* It follows, and nothing that it reads is ever taken away, though its clock and those of the collectors are minutes apart. */
static void managed_process(void *arg)
{
    struct scene *s = arg;
    struct view v;
    uint64_t last = 0;
    view_open(&v, s, 2);
    while (!s->stop) {
        struct shl_lsm *db = NULL;
        shale_error err = {0};
        struct shl_lsm_settings settings = s->settings;
        settings.manifest_poll_interval_ns = (100 + sim_rand_below(900)) * ENV_NS_PER_MS;
        settings.checkpoint_lifetime_ns = 3600 * ENV_NS_PER_SEC; /* longer than clocks differ */
        struct shl_lsm_open o = {.store = v.store, .path = "db", .settings = &settings};
        shale_code rc = shl_lsm_open_reader(
            &o, &(struct shl_lsm_reader){.mode = SHL_READER_MANAGED}, &db, &err);
        if (rc != SHALE_OK && rc != SHALE_NOT_FOUND)
            die_of("open a managed reader", &err);
        for (unsigned i = 0; rc == SHALE_OK && i < 4 && !s->stop; i++) {
            struct shl_lsm_status status;
            (void)rows_hash(db);
            shl_lsm_status(db, &status);
            if (status.committed_seq < last)
                env_die("a managed reader went back in time");
            last = status.committed_seq;
            env_sleep_ns(sim_rand_below(1500 * ENV_NS_PER_MS));
            if (sim_chance(0.5))
                must(shl_lsm_refresh(db, &err), &err, "refresh of a managed reader");
        }
        must(shl_lsm_close(db, &err), &err, "close of a managed reader");
        env_sleep_ns(1 + sim_rand_below(600 * ENV_NS_PER_MS));
    }
    view_close(&v);
}

/* Somebody gives checkpoints up: what they held may go, nothing else. */
static void give_up_some(struct scene *s)
{
    struct shl_manifests m;
    struct shl_ulid id;
    shale_error err = {0};
    for (unsigned i = 0; i < s->kept_count; i++) {
        if (!s->kept[i].live || !sim_chance(0.2))
            continue;
        s->kept[i].live = false;
        must(shl_manifests_init(&m, s->bucket, "db", false, &err), &err, "manifests");
        must(shl_checkpoint_delete(&m, s->kept[i].id, &id, &err), &err, "delete a checkpoint");
        shl_manifests_deinit(&m);
    }
}

/* ---------------------------------------------------------------- scenario: all at once, with crashes */

static void random_faults(struct world_faults *f)
{
    *f = (struct world_faults){.latency_max_ns =
                                   sim_chance(0.8) ? (1 + sim_rand_below(60)) * ENV_NS_PER_MS : 0};
    if (sim_chance(0.5)) {
        f->before = (double)sim_rand_below(60) / 1000.0;
        f->after = (double)sim_rand_below(60) / 1000.0;
    }
}

static int64_t any_skew_ms(void)
{
    return (int64_t)sim_rand_below(600000) - 300000;
}

static void own_collector(struct shl_lsm_settings *s)
{
    s->gc.enabled = sim_chance(0.5);
    for (unsigned i = 0; i < SHL_GC_TASKS; i++) {
        s->gc.tasks[i].interval_ns = (1 + sim_rand_below(2000)) * ENV_NS_PER_MS;
        s->gc.tasks[i].min_age_ns = sim_rand_below(1000) * ENV_NS_PER_MS;
    }
}

static sim_group start_one(struct scene *s, const char *name, void (*fn)(void *))
{
    sim_group g = sim_group_new(name, any_skew_ms());
    sim_group_spawn(g, name, fn, s);
    return g;
}

/* Ends or stops a process at a moment of the seed's choice, or lets it finish. */
static void let_live(struct scene *s, sim_group g)
{
    switch (sim_rand_below(4)) {
    case 0:
        sim_group_wait(g);
        break;
    case 1:
        env_sleep_ns(sim_rand_below(3000 * ENV_NS_PER_MS));
        if (sim_group_alive(g))
            sim_group_kill(g);
        break;
    case 2:
        env_sleep_ns(sim_rand_below(2000 * ENV_NS_PER_MS));
        sim_group_pause(g);
        env_sleep_ns(sim_rand_below(4000 * ENV_NS_PER_MS)); /* the collectors go on */
        check_bucket(s);
        sim_group_resume(g);
        sim_group_wait(g);
        break;
    default:
        sim_point_kill_arm(g, sim_rand_below(80));
        sim_group_wait(g);
        (void)sim_point_kill_disarm(g);
        break;
    }
}

static void all_main(void *arg)
{
    struct scene *s = arg;
    sim_group collectors[2] = {0}, reader, managed;
    unsigned count = 1 + (unsigned)sim_rand_below(2);
    for (unsigned i = 0; i < 3; i++)
        random_faults(&s->faults[i]);
    world_random_settings(&s->settings);
    s->clean = true;
    for (unsigned i = 0; i < count; i++)
        collectors[i] = start_one(s, "gc", collector_process);
    reader = start_one(s, "reader", reader_process);
    managed = start_one(s, "managed", managed_process);
    unsigned rounds = 2 + (unsigned)sim_rand_below(6);
    for (unsigned i = 0; i < rounds; i++) {
        own_collector(&s->settings);
        let_live(s, start_one(s, "writer", writer_process));
        check_bucket(s);
        give_up_some(s);
        if (sim_chance(0.4)) { /* a collector dies at its work, and another one takes it up */
            unsigned which = (unsigned)sim_rand_below(count);
            sim_group_kill(collectors[which]);
            check_bucket(s);
            collectors[which] = start_one(s, "gc", collector_process);
        }
    }
    s->faults[0].before = s->faults[0].after = 0;
    sim_group last = start_one(s, "last", writer_process);
    sim_group_wait(last);
    if (!s->clean)
        env_die("the last process did not close");
    s->stop = true;
    for (unsigned i = 0; i < count; i++)
        sim_group_wait(collectors[i]);
    sim_group_wait(reader);
    sim_group_wait(managed);
    check_bucket(s);
    for (unsigned i = 0; i < s->kept_count; i++)
        check_kept(s, s->bucket, i);
    if (sim_alloc_live(last) > 0 || sim_alloc_live(reader) > 0 || sim_alloc_live(managed) > 0)
        env_die("memory of an ended process is still there");
}

/* ---------------------------------------------------------------- scenario: a writer sleeps over a collection */

static void sleeper_process(void *arg)
{
    struct scene *s = arg;
    struct view v;
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    view_open(&v, s, 0);
    struct shl_lsm_open o = {.store = v.store, .path = "db", .settings = &s->settings};
    shale_code rc = shl_lsm_open_writer(&o, &db, &err);
    s->opened = rc == SHALE_OK;
    while (rc == SHALE_OK && !s->stop && s->history->count < WORLD_OPS_MAX / 2 &&
           s->zombie->count < WORLD_OPS_MAX - 2) {
        bool late = s->newer_open;
        rc = world_random_write(late ? s->zombie : s->history, db, sim_chance(0.6), &err);
        if (rc == SHALE_OK && late && s->zombie->ops[s->zombie->count - 1].durable &&
            s->zombie->ops[s->zombie->count - 1].seq > s->newer_open_seq)
            env_die("a fenced writer acknowledged a durable write");
        if (rc == SHALE_OK && sim_chance(0.15))
            rc = shl_lsm_flush(db, sim_chance(0.5), &err);
        if (sim_chance(0.3))
            env_sleep_ns(sim_rand_below(50 * ENV_NS_PER_MS));
    }
    if (rc != SHALE_OK && rc != SHALE_FENCED)
        die_of("the sleeper", &err);
    s->fenced = rc == SHALE_FENCED;
    rc = shl_lsm_close(db, &err);
    if (rc != SHALE_OK && rc != SHALE_FENCED)
        die_of("close of the sleeper", &err);
    s->fenced = s->fenced || rc == SHALE_FENCED;
    view_close(&v);
}

static void newer_process(void *arg)
{
    struct scene *s = arg;
    struct view v;
    struct shl_lsm *db = NULL;
    struct shl_lsm_status status;
    shale_error err = {0};
    view_open(&v, s, 2);
    struct shl_lsm_open o = {.store = v.store, .path = "db", .settings = &s->settings};
    must(shl_lsm_open_writer(&o, &db, &err), &err, "open of the newer");
    shl_lsm_status(db, &status);
    s->newer_open_seq = status.committed_seq;
    s->newer_open = true;
    world_check(s->history, db, false);
    uint64_t steps = 5 + sim_rand_below(60);
    while (steps-- > 0)
        client_step(s, db);
    must(shl_lsm_flush(db, true, &err), &err, "flush of the newer");
    must(shl_lsm_close(db, &err), &err, "close of the newer");
    view_close(&v);
    s->clean = true;
}

static void sleep_main(void *arg)
{
    struct scene *s = arg;
    random_faults(&s->faults[0]);
    random_faults(&s->faults[1]);
    random_faults(&s->faults[2]);
    world_random_settings(&s->settings);
    s->settings.wal_enabled = true;
    s->settings.gc.enabled = false;
    sim_group sleeper = start_one(s, "sleeper", sleeper_process);
    env_sleep_ns(sim_rand_below(2000 * ENV_NS_PER_MS));
    while (!s->opened) /* one that wakes while it opens takes over: another story, told above */
        env_sleep_ns(10 * ENV_NS_PER_MS);
    sim_group_pause(sleeper);
    unsigned newer = 1 + (unsigned)sim_rand_below(3);
    sim_group gc = start_one(s, "gc", collector_process);
    for (unsigned i = 0; i < newer; i++) {
        s->clean = false;
        sim_group g = start_one(s, "newer", newer_process);
        sim_group_wait(g);
        if (!s->clean)
            env_die("a newer writer did not close");
        env_sleep_ns(sim_rand_below(4000 * ENV_NS_PER_MS)); /* all WAL objects become old */
        check_bucket(s);
    }
    sim_group_resume(sleeper);
    env_sleep_ns(5000 * ENV_NS_PER_MS);
    s->stop = true;
    sim_group_wait(sleeper);
    sim_group_wait(gc);
    if (!s->fenced)
        env_die("the sleeper was not fenced");
    check_bucket(s);
    s->clean = true;
    s->faults[0] = (struct world_faults){0};
    sim_group last = start_one(s, "last", writer_process);
    sim_group_wait(last);
    if (!s->clean)
        env_die("the last process did not close");
}

/* ---------------------------------------------------------------- scenario: a writer collects by itself */

static size_t manifests_of(struct scene *s)
{
    struct shl_list list = {0};
    shale_error err = {0};
    must(
        shl_store_list(s->bucket, &(struct shl_list_options){.prefix = "db/manifest"}, &list, &err),
        &err, "list");
    size_t n = list.count;
    shl_list_free(&list);
    return n;
}

static void own_process(void *arg)
{
    struct scene *s = arg;
    struct view v;
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    view_open(&v, s, 0);
    struct shl_lsm_open o = {.store = v.store, .path = "db", .settings = &s->settings};
    for (int i = 0; i < 4; i++) {
        must(shl_lsm_open_writer(&o, &db, &err), &err, "open");
        must(world_random_write(s->history, db, true, &err), &err, "write");
        if (i < 3)
            must(shl_lsm_close(db, &err), &err, "close");
    }
    size_t before = manifests_of(s);
    env_sleep_ns(29 * ENV_NS_PER_SEC);
    if (manifests_of(s) < before) /* opening, writing and closing shall cost no pass */
        env_die("it collected before its first interval was over");
    env_sleep_ns(3 * ENV_NS_PER_SEC);
    if (manifests_of(s) > 2)
        env_die("a writer does not collect");
    must(world_random_write(s->history, db, true, &err), &err, "write");
    must(shl_lsm_close(db, &err), &err, "close");
    view_close(&v);
    s->clean = true;
}

static void own_main(void *arg)
{
    struct scene *s = arg;
    random_faults(&s->faults[0]);
    shl_lsm_settings_default(&s->settings);
    s->settings.compactor_enabled = false;
    for (unsigned i = 0; i < SHL_GC_TASKS; i++) {
        s->settings.gc.tasks[i].interval_ns = 30 * ENV_NS_PER_SEC;
        s->settings.gc.tasks[i].min_age_ns = 5 * ENV_NS_PER_SEC;
    }
    sim_group g = sim_group_new("own", 0);
    sim_group_spawn(g, "own", own_process, s);
    sim_group_wait(g);
    if (!s->clean || sim_alloc_live(g) > 0)
        env_die("the writer did not come to its end");
    check_bucket(s);
    s->settings.compactor_enabled = true; /* it fills L0 */
    sim_group_wait(start_one(s, "last", writer_process));
}

/* ---------------------------------------------------------------- driver */

static const struct driver_scenario scenarios[] = {
    {"gc", all_main}, {"gc-sleeper", sleep_main}, {"gc-own", own_main}};
static uint64_t deleted_in_all;

static uint64_t run_one(const struct driver_scenario *sc, uint64_t seed, enum sim_backend backend)
{
    static struct scene scene;
    static struct world_history history, zombie;
    shale_error err = {0};
    memset(&history, 0, sizeof history);
    memset(&zombie, 0, sizeof zombie);
    scene = (struct scene){.history = &history, .zombie = &zombie};
    world_init();
    if (shl_store_memory_new(&scene.bucket, &err) != SHALE_OK)
        abort();
    struct sim_options o = {
        .seed = seed, .backend = backend, .policy = SIM_POLICY_BY_SEED, .scenario = sc->name};
    uint64_t hash = sim_run(&o, sc->main_fn, &scene);
    deleted_in_all += scene.deleted;
    shl_store_unref(scene.bucket);
    if (sim_alloc_live(0) > 0) {
        fprintf(stderr, "seed 0x%" PRIx64 " %s: allocations of the bucket left\n", seed, sc->name);
        sim_alloc_live_print(0, 10);
        exit(1);
    }
    return hash;
}

int main(void)
{
    int status = driver_main(scenarios, sizeof scenarios / sizeof scenarios[0], run_one);
    printf("collectors deleted %" PRIu64 " objects\n", deleted_in_all);
    if (status == 0 && getenv("SIM_SEED") == NULL && getenv("SIM_SCENARIO") == NULL &&
        getenv("SIM_FIRST") == NULL && deleted_in_all < 1000) {
        fprintf(stderr, "the collectors deleted too little to say anything\n");
        return 1;
    }
    return status;
}
