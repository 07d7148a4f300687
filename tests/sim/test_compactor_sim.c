/* Goal: a coordinator, workers and a writer in processes of their own, killed, paused and started again at any moment, lose no row, bring none back, and
 * leave a compactions file that went only ways that it may go: a job has one owner at a time, who lost it never writes it again, what was finished is not
 * done again, and no two active jobs share a source or destination (behaviour 22: 12 to 16, 18 to 20, 31).
 * Method: as test_lsm_sim.c; every version of the compactions file stays in the bucket, and the chain of them is checked at the end. How to choose seeds:
 * driver.h. */
#include "bucket.h"
#include "driver.h"
#include "lsm/compactor/file.h"
#include "lsm/compactor/process.h"
#include "lsm/compactor/request.h"
#include "lsm/format/names.h"
#include "lsm/manifest_store.h"
#include "store/memory.h"
#include "store/wrap_retry.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROLES                                                                                      \
    4 /* a coordinator (sometimes with a worker), two workers, a second coordinator at times */

struct scene;
struct role {
    struct scene *scene;
    sim_group group; /* 0: none */
    bool coordinates, works;
};

struct scene {
    struct shl_store *bucket;
    struct world_history *history;
    struct world_faults faults;
    struct shl_lsm_settings settings;
    struct role roles[ROLES];
    bool
        alone; /* one process is coordinator and worker: a job stays with the worker that began it */
    bool embedded; /* the writer has a coordinator inside; the workers are others */
    bool clean, opened, stop, drained;
    bool wal_always_on;
    uint64_t compactions, resumed;
};

static void die_of(const char *what, const shale_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(err->code), err->text);
    env_die(what);
}

static void enter(struct scene *s, struct shl_store **world, struct shl_store **store)
{
    shale_error err = {0};
    struct shl_retry_options retry = {.max_retries = SHL_RETRY_FOREVER,
                                      .delay_first_ns = 5 * ENV_NS_PER_MS};
    if (world_store_new(s->bucket, &s->faults, world, &err) != SHALE_OK ||
        shl_store_retry_new(store, *world, &retry, &err) != SHALE_OK)
        die_of("store", &err);
}

/* ---------------------------------------------------------------- processes */

static void writer_process(void *arg)
{
    struct scene *s = arg;
    struct shl_store *world, *store;
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    bool was_clean = s->clean;
    s->clean = false;
    enter(s, &world, &store);
    struct shl_lsm_open o = {.store = store, .path = "db", .settings = &s->settings};
    if (shl_lsm_open_writer(&o, &db, &err) != SHALE_OK)
        die_of("open", &err);
    s->opened = true;
    world_check(s->history, db, was_clean);
    uint64_t steps = s->stop ? 3 : 20 + sim_rand_below(80);
    while (steps-- > 0 && s->history->count < WORLD_OPS_MAX - 2) {
        shale_code rc = SHALE_OK;
        uint64_t p = sim_rand_below(100);
        if (p < 60)
            rc = world_random_write(s->history, db, sim_chance(0.2), &err);
        else if (p < 80)
            rc = shl_lsm_flush(db, true, &err);
        else if (p < 85)
            world_check_reads(db);
        else
            env_sleep_ns(sim_rand_below(100 * ENV_NS_PER_MS));
        if (rc != SHALE_OK)
            die_of("client", &err);
    }
    if (shl_lsm_close(db, &err) != SHALE_OK)
        die_of("close", &err);
    shl_store_unref(store);
    shl_store_unref(world);
    s->clean = true;
}

static bool stop_with_scene(void *ctx, const struct shl_compactor_report *now)
{
    const struct role *r = ctx;
    (void)now;
    return r->scene->stop;
}

static void role_process(void *arg)
{
    struct role *r = arg;
    struct scene *s = r->scene;
    struct shl_store *world, *store;
    struct shl_compactor_process *p = NULL;
    shale_error err = {0};
    struct shl_process_run run = {.tick = stop_with_scene, .ctx = r};
    enter(s, &world, &store);
    struct shl_process_open o = {.store = store,
                                 .path = "db",
                                 .settings = &s->settings,
                                 .coordinates = r->coordinates,
                                 .works = r->works};
    if (shl_process_new(&o, &p, &err) != SHALE_OK)
        die_of("new compactor", &err);
    shale_code rc = shl_process_run(p, &run, &err);
    if (rc != SHALE_OK && rc != SHALE_FENCED)
        die_of(r->coordinates ? "coordinator" : "worker", &err);
    shl_process_free(p);
    shl_store_unref(store);
    shl_store_unref(world);
}

/* Everything that is due, to the end. */
static void drain_process(void *arg)
{
    struct scene *s = arg;
    struct shl_store *world, *store;
    struct shl_compactor_process *p = NULL;
    shale_error err = {0};
    struct shl_process_run run = {.once = true};
    enter(s, &world, &store);
    struct shl_process_open o = {
        .store = store, .path = "db", .settings = &s->settings, .coordinates = true, .works = true};
    if (shl_process_new(&o, &p, &err) != SHALE_OK || shl_process_run(p, &run, &err) != SHALE_OK)
        die_of("drain", &err);
    shl_process_free(p);
    shl_store_unref(store);
    shl_store_unref(world);
    s->drained = true;
}

/* ---------------------------------------------------------------- what happens to them */

static int64_t skew(void)
{
    return (int64_t)sim_rand_below(100) - 50;
}

static void start_role(struct role *r)
{
    r->group = sim_group_new(r->coordinates ? "coordinator" : "worker", skew());
    if (sim_chance(0.3))
        sim_point_kill_arm(r->group, sim_rand_below(12));
    sim_group_spawn(r->group, "main", role_process, r);
}

static void submit_again(struct shl_store *store, const struct shl_compaction *job)
{
    struct shl_db_paths paths;
    struct shl_compactions_file file;
    struct shl_compactions *next = NULL;
    struct shl_compaction copy;
    shale_error err = {0};
    bool changed;
    if (shl_db_paths_init(&paths, "db", &err) != SHALE_OK)
        die_of("paths", &err);
    shl_compactions_file_init(&file, store, &paths, NULL);
    if (shl_compactions_file_load(&file, &changed, &err) != SHALE_OK ||
        shl_compactions_clone(file.now, &next, &err) != SHALE_OK ||
        shl_compaction_copy(job, &copy, &err) != SHALE_OK)
        die_of("submit again", &err);
    copy.id = shl_ulid_make(shl_ulid_time_ms(next->jobs.items[next->jobs.count - 1].id),
                            env_rand64(), env_rand64());
    if (shl_jobs_insert(next, &copy, &err) != SHALE_OK)
        die_of("submit again", &err);
    shl_ignore(shl_compactions_file_write(&file, &next, &err)); /* somebody may have been faster */
    shl_compactions_file_deinit(&file);
    shl_db_paths_deinit(&paths);
}

/* An administrator's request; at times twice the same, past our own check, as SlateDB's submissions go. */
static void submit_process(void *arg)
{
    struct scene *s = arg;
    struct shl_store *world, *store;
    struct shl_request full = {.kind = SHL_REQUEST_FULL};
    shl_proposals jobs = {0};
    shale_error err = {0};
    enter(s, &world, &store);
    shale_code rc = shl_request_submit(store, "db", &(struct shl_clock){0}, &full, &jobs, &err);
    if (rc != SHALE_OK && rc != SHALE_CONFLICT)
        die_of("submit", &err);
    if (rc == SHALE_OK && jobs.count > 0 && sim_chance(0.5))
        submit_again(store, &jobs.items[0]);
    shl_proposals_free(&jobs);
    shl_store_unref(store);
    shl_store_unref(world);
}

static void disturb(struct scene *s)
{
    if (sim_chance(0.15)) {
        sim_group g = sim_group_new("submitter", 0);
        sim_group_spawn(g, "main", submit_process, s);
        sim_group_wait(g);
        return;
    }
    struct role *r = &s->roles[sim_rand_below(ROLES)];
    bool alive = r->group != 0 && sim_group_alive(r->group);
    if (!alive) {
        if (r->coordinates && s->embedded)
            return;
        start_role(r);
    } else if (sim_chance(0.4)) {
        sim_group_kill(r->group);
    } else if (sim_chance(0.5)) {
        /* Long enough for its jobs to be given to somebody else. */
        sim_group_pause(r->group);
        env_sleep_ns(sim_rand_below(1500 * ENV_NS_PER_MS));
        sim_group_resume(r->group);
    }
}

static void run_writer(struct scene *s)
{
    sim_group g = sim_group_new("writer", skew());
    s->opened = false;
    if (sim_chance(0.3))
        sim_point_kill_arm(g, sim_rand_below(60));
    sim_group_spawn(g, "main", writer_process, s);
    while (sim_group_alive(g)) {
        env_sleep_ns(1 + sim_rand_below(400 * ENV_NS_PER_MS));
        if (s->opened)
            disturb(s);
        if (sim_chance(0.02))
            sim_group_kill(g);
        sim_progress();
    }
}

/* ---------------------------------------------------------------- the chain of compactions files */

static bool same_worker(const struct shl_compaction *a, const struct shl_compaction *b)
{
    return a->worker_id != NULL && b->worker_id != NULL && strcmp(a->worker_id, b->worker_id) == 0;
}

static bool may_follow(const struct shl_compaction *a, const struct shl_compaction *b)
{
    switch (a->status) {
    case SHL_COMPACTION_SUBMITTED:
        return b->status != SHL_COMPACTION_COMPACTED;
    case SHL_COMPACTION_SCHEDULED:
        return b->status != SHL_COMPACTION_COMPACTED && b->status != SHL_COMPACTION_COMPLETED;
    case SHL_COMPACTION_RUNNING:
        if (b->status == SHL_COMPACTION_RUNNING)
            return same_worker(a, b) ||
                   shl_job_is_own(b); /* taken back and given out in one write */
        if (b->status == SHL_COMPACTION_COMPACTED)
            return same_worker(a, b);
        return b->status == SHL_COMPACTION_SCHEDULED || b->status == SHL_COMPACTION_SUBMITTED ||
               b->status == SHL_COMPACTION_FAILED;
    case SHL_COMPACTION_COMPACTED:
        return b->status == SHL_COMPACTION_COMPACTED || b->status == SHL_COMPACTION_COMPLETED ||
               b->status == SHL_COMPACTION_FAILED;
    case SHL_COMPACTION_COMPLETED:
    case SHL_COMPACTION_FAILED:
        return b->status == a->status;
    }
    return false;
}

static void die_at(uint64_t id, const struct shl_compaction *j, const char *what)
{
    char name[SHL_ULID_TEXT];
    shl_ulid_format(j->id, name);
    fprintf(stderr, "compactions %" PRIu64 ", job %s (%s): %s\n", id, name,
            shl_job_status_name(j->status), what);
    env_die(what);
}

/* What was published as finished is part of the result. */
static void check_kept(uint64_t id, const struct shl_compaction *a, const struct shl_compaction *b)
{
    for (size_t i = 0; i < a->subcompactions.count; i++)
        for (size_t k = 0; k < a->subcompactions.items[i].outputs.count; k++) {
            bool found = false;
            for (size_t o = 0; o < b->outputs.count; o++)
                found = found || shl_ulid_eq(b->outputs.items[o]->id,
                                             a->subcompactions.items[i].outputs.items[k]->id);
            if (!found)
                die_at(id, b, "finished output was made again");
        }
}

/* A job may be finished and trimmed in one write: the newest finished one stays. */
static bool newer_finished(const struct shl_compactions *c, struct shl_ulid id)
{
    for (size_t i = 0; i < c->jobs.count; i++)
        if (!shl_job_is_active(&c->jobs.items[i]) && shl_ulid_cmp(c->jobs.items[i].id, id) > 0)
            return true;
    return false;
}

static void check_step(struct scene *s, uint64_t id, const struct shl_compactions *before,
                       struct shl_compactions *c)
{
    if (before != NULL && c->compactor_epoch < before->compactor_epoch)
        env_die("the compactor epoch went back");
    for (size_t i = 0; before != NULL && i < before->jobs.count; i++) {
        const struct shl_compaction *a = &before->jobs.items[i];
        const struct shl_compaction *b = shl_jobs_find(c, a->id);
        if (b == NULL) {
            if (shl_job_is_active(a) && !newer_finished(c, a->id))
                die_at(id, a, "an active job is gone");
            s->compactions += a->status == SHL_COMPACTION_COMPACTED;
            continue;
        }
        if (s->alone && a->status == SHL_COMPACTION_RUNNING &&
            b->status == SHL_COMPACTION_RUNNING && !same_worker(a, b))
            die_at(id, b, "a coordinator took a job from itself");
        if (!may_follow(a, b))
            die_at(id, b, shl_job_status_name(a->status));
        if (shl_job_is_at_work(b) && !shl_job_context_grows(a, b))
            die_at(id, b, "its context shrank");
        if (b->status == SHL_COMPACTION_COMPACTED && a->status == SHL_COMPACTION_RUNNING)
            check_kept(id, a, b);
        s->compactions +=
            b->status == SHL_COMPACTION_COMPLETED && a->status != SHL_COMPACTION_COMPLETED;
        s->resumed += a->status == SHL_COMPACTION_SCHEDULED && a->has_context &&
                      b->status == SHL_COMPACTION_RUNNING;
    }
    for (size_t i = 0; i < c->jobs.count; i++) {
        const struct shl_compaction *j = &c->jobs.items[i];
        if (!shl_job_is_active(j) || j->status == SHL_COMPACTION_SUBMITTED)
            continue;
        const struct shl_compaction *rival = shl_jobs_rival(c, j, true);
        if (rival != NULL && rival->status != SHL_COMPACTION_SUBMITTED)
            die_at(id, j, "two active jobs share a source or destination");
    }
}

static void check_chain(struct scene *s)
{
    struct shl_db_paths paths;
    struct shl_sequenced q;
    struct shl_buf body = {0};
    struct shl_compactions *before = NULL;
    shale_error err = {0};
    if (shl_db_paths_init(&paths, "db", &err) != SHALE_OK)
        die_of("paths", &err);
    shl_sequenced_init(&q, s->bucket, &paths, "compactions", NULL);
    s->compactions = s->resumed = 0;
    for (uint64_t id = 1; shl_sequenced_read(&q, id, &body, &err) == SHALE_OK; id++) {
        struct shl_compactions *c = NULL;
        if (shl_compactions_decode(shl_buf_view(&body), &c, &err) != SHALE_OK)
            die_of("compactions file", &err);
        check_step(s, id, before, c);
        shl_compactions_free(before);
        before = c;
    }
    for (size_t i = 0; before != NULL && i < before->jobs.count; i++)
        if (s->drained && shl_job_is_active(&before->jobs.items[i]))
            die_at(0, &before->jobs.items[i], "a job is left after all was done");
    shl_compactions_free(before);
    shl_buf_free(&body);
    shl_db_paths_deinit(&paths);
}

/* ---------------------------------------------------------------- scenarios */

static void roles_settings(struct scene *s)
{
    world_random_settings(&s->settings);
    s->wal_always_on = s->settings.wal_enabled;
    s->settings.compactor_enabled = s->embedded;
    s->settings.worker_enabled = false;
    s->settings.compactor_poll_interval_ns = (20 + sim_rand_below(100)) * ENV_NS_PER_MS;
    s->settings.commit_compacted_interval_ns = (10 + sim_rand_below(40)) * ENV_NS_PER_MS;
    s->settings.worker_poll_interval_ns = (20 + sim_rand_below(100)) * ENV_NS_PER_MS;
    s->settings.worker_heartbeat_interval_ns = (5 + sim_rand_below(60)) * ENV_NS_PER_MS;
    s->settings.worker_heartbeat_timeout_ns = (200 + sim_rand_below(400)) * ENV_NS_PER_MS;
    s->settings.sst_block_size_bytes = 1024;
    s->settings.max_sst_size_bytes =
        sim_chance(0.7) ? 1 : 2000; /* an SSTable a block: long jobs of many outputs */
    s->settings.worker_max_subcompactions = 1 + (uint32_t)sim_rand_below(4);
    s->settings.compactor_max_concurrent = 1 + (uint32_t)sim_rand_below(4);
    s->settings.worker_max_concurrent = 1 + (uint32_t)sim_rand_below(3);
    s->settings.subcompaction_min_bytes = 1;
    s->settings.min_compaction_sources = 2;
    s->settings.max_compaction_sources = 2 + (uint32_t)sim_rand_below(4);
    s->settings.enable_trivial_move = sim_chance(0.3);
    s->settings.incremental_compaction = sim_chance(0.5);
    s->settings.scheduler = sim_chance(0.3) ? SHL_SCHEDULER_LEVELED : SHL_SCHEDULER_SIZE_TIERED;
    s->settings.sorted_run_consolidation_threshold = sim_chance(0.3) ? 2 : 0;
}

static bool newest_exists(struct scene *s)
{
    shale_error err = {0};
    struct shl_object o;
    return shl_store_head(s->bucket, "db/manifest/00000000000000000001.manifest", &o, &err) ==
           SHALE_OK;
}

static void drain(struct scene *s)
{
    sim_group g = sim_group_new("drain", 0);
    s->drained = false;
    sim_group_spawn(g, "main", drain_process, s);
    sim_group_wait(g);
    if (!s->drained)
        env_die("the last compactor did not end");
}

static void roles_main(struct scene *s)
{
    s->faults = (struct world_faults){.latency_max_ns = (1 + sim_rand_below(30)) * ENV_NS_PER_MS};
    if (sim_chance(0.4)) {
        s->faults.before = (double)sim_rand_below(60) / 1000.0;
        s->faults.after = (double)sim_rand_below(60) / 1000.0;
    }
    roles_settings(s);
    for (unsigned i = 0; i < ROLES; i++)
        s->roles[i] = (struct role){
            .scene = s, .coordinates = i == 0 || i == 3, .works = i != 0 || sim_chance(0.3)};
    s->clean = true;
    unsigned rounds = 2 + (unsigned)sim_rand_below(3);
    for (unsigned i = 0; i < rounds; i++)
        run_writer(s);
    s->faults.before = s->faults.after = 0;
    s->stop = true;
    for (unsigned i = 0; i < ROLES; i++)
        if (s->roles[i].group != 0) {
            (void)sim_point_kill_disarm(s->roles[i].group);
            sim_group_wait(s->roles[i].group);
        }
    s->settings.compactor_enabled = false;
    /* One may have been killed before it made the database, or left L0 full, so that the last one needs a compactor beside it. */
    sim_group last = sim_group_new("last", 0);
    s->opened = false;
    sim_group_spawn(last, "main", writer_process, s);
    while (sim_group_alive(last)) {
        env_sleep_ns(200 * ENV_NS_PER_MS);
        if (newest_exists(s))
            drain(s);
        sim_progress();
    }
    drain(s);
    if (!s->clean)
        env_die("the last writer did not close");
    check_chain(s);
    bucket_check(s->bucket, "db", true, s->wal_always_on);
}

static void separate_main(void *arg)
{
    roles_main(arg);
}

static void embedded_main(void *arg)
{
    struct scene *s = arg;
    s->embedded = true;
    roles_main(s);
}

/* ---------------------------------------------------------------- scenario: a worker that sleeps */

static uint64_t newest_compactions(struct scene *s, struct shl_compactions **out)
{
    struct shl_db_paths paths;
    struct shl_compactions_file file;
    shale_error err = {0};
    bool changed;
    if (shl_db_paths_init(&paths, "db", &err) != SHALE_OK)
        die_of("paths", &err);
    shl_compactions_file_init(&file, s->bucket, &paths, NULL);
    if (shl_compactions_file_load(&file, &changed, &err) != SHALE_OK)
        die_of("compactions", &err);
    uint64_t id = file.versions.id;
    *out = file.now;
    file.now = NULL;
    shl_compactions_file_deinit(&file);
    shl_db_paths_deinit(&paths);
    return id;
}

static bool is_held(struct scene *s, const char *worker)
{
    struct shl_compactions *c = NULL;
    bool held = false;
    (void)newest_compactions(s, &c);
    for (size_t k = 0; c != NULL && k < c->jobs.count; k++)
        held = held || shl_job_is_held_by(&c->jobs.items[k], worker);
    shl_compactions_free(c);
    return held;
}

/* Waits until a job runs that has published something and whose worker is not `other`, and gives its worker's id. */
static void wait_for_owner(struct scene *s, const char *other, char out[SHL_ULID_TEXT])
{
    for (unsigned i = 0; i < 20000; i++) {
        struct shl_compactions *c = NULL;
        (void)newest_compactions(s, &c);
        bool found = false;
        for (size_t k = 0; c != NULL && k < c->jobs.count; k++) {
            const struct shl_compaction *j = &c->jobs.items[k];
            if (j->status != SHL_COMPACTION_RUNNING || strcmp(j->worker_id, other) == 0)
                continue;
            memcpy(out, j->worker_id, SHL_ULID_TEXT);
            found = true;
        }
        shl_compactions_free(c);
        if (found)
            return;
        env_sleep_ns(ENV_NS_PER_MS);
        sim_progress();
    }
    env_die("no worker took the job");
}

static void fill_process(void *arg)
{
    struct scene *s = arg;
    struct shl_store *world, *store;
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    enter(s, &world, &store);
    struct shl_lsm_open o = {.store = store, .path = "db", .settings = &s->settings};
    if (shl_lsm_open_writer(&o, &db, &err) != SHALE_OK)
        die_of("open", &err);
    for (unsigned i = 0; i < 40; i++)
        if (world_random_write(s->history, db, false, &err) != SHALE_OK ||
            (i % 10 == 9 && shl_lsm_flush(db, true, &err) != SHALE_OK))
            die_of("fill", &err);
    if (shl_lsm_close(db, &err) != SHALE_OK)
        die_of("close", &err);
    shl_store_unref(store);
    shl_store_unref(world);
}

/* A coordinator that works itself sleeps for longer than workers may be silent: its job goes on, once. */
static void sleep_alone(struct scene *s)
{
    char a[SHL_ULID_TEXT] = "";
    s->alone = true;
    s->roles[0] = (struct role){.scene = s, .coordinates = true, .works = true};
    s->roles[0].group = sim_group_new("alone", 0);
    sim_group_spawn(s->roles[0].group, "main", role_process, &s->roles[0]);
    wait_for_owner(s, "", a);
    env_sleep_ns(sim_rand_below(200 * ENV_NS_PER_MS));
    sim_group_pause(s->roles[0].group);
    env_sleep_ns(2 * s->settings.worker_heartbeat_timeout_ns);
    sim_group_resume(s->roles[0].group);
    for (unsigned i = 0; i < 20; i++) {
        env_sleep_ns(ENV_NS_PER_SEC);
        sim_progress();
    }
}

/* Worker A sleeps with a job until that is B's, and wakes: nothing is written any more by A, whatever it has done meanwhile. */
static void paused_main(void *arg)
{
    struct scene *s = arg;
    char a[SHL_ULID_TEXT] = "", b[SHL_ULID_TEXT] = "";
    struct shl_compactions *before = NULL, *after = NULL;
    uint64_t id;
    bool both;
    roles_settings(s);
    s->settings.l0_max_ssts = s->settings.l0_max_ssts_per_key = 32;
    s->settings.l0_sst_size_bytes = 1 << 20;
    s->settings.max_unflushed_bytes = 4 << 20;
    s->settings.compactor_max_concurrent = 1;
    s->settings.enable_trivial_move = false;
    s->settings.wal_enabled = s->wal_always_on = true;
    sim_group g = sim_group_new("fill", 0);
    sim_group_spawn(g, "main", fill_process, s);
    sim_group_wait(g);
    s->faults = (struct world_faults){.fixed_ns = 20 * ENV_NS_PER_MS}; /* a job takes its time */
    if (sim_chance(0.3)) {
        sleep_alone(s);
        goto end;
    }
    both = sim_chance(0.5); /* A and B are coordinators, too, and there is no third one */
    for (unsigned i = 0; i < 3; i++)
        s->roles[i] = (struct role){.scene = s, .coordinates = i == 0 || both, .works = i != 0};
    for (unsigned i = both; i < 2; i++) {
        s->roles[i].group = sim_group_new(i == 0 ? "coordinator" : "worker a", 0);
        sim_group_spawn(s->roles[i].group, "main", role_process, &s->roles[i]);
    }
    wait_for_owner(s, "", a);
    env_sleep_ns(sim_rand_below(200 * ENV_NS_PER_MS));
    sim_group_pause(s->roles[1].group);
    if (!is_held(s, a)) /* it was fast */
        goto end;
    s->roles[2].group = sim_group_new("worker b", 0);
    sim_group_spawn(s->roles[2].group, "main", role_process, &s->roles[2]);
    wait_for_owner(s, a, b);
    sim_group_pause(s->roles[2].group);
    if (!both)
        sim_group_kill(s->roles[0].group); /* else B would lose the job, too */
    id = newest_compactions(s, &before);
    sim_group_resume(s->roles[1].group);
    for (unsigned i = 0; i < 20; i++) {
        env_sleep_ns(ENV_NS_PER_SEC);
        sim_progress();
    }
    if (newest_compactions(s, &after) != id)
        env_die("a worker wrote a job that it had lost");
    shl_compactions_free(before);
    shl_compactions_free(after);
end:
    s->stop = true;
    for (unsigned i = 0; i < 3; i++)
        if (s->roles[i].group != 0 && sim_group_alive(s->roles[i].group)) {
            sim_group_resume(s->roles[i].group);
            sim_group_wait(s->roles[i].group);
        }
    drain(s);
    sim_group last = sim_group_new("last", 0);
    sim_group_spawn(last, "main", writer_process, s);
    sim_group_wait(last);
    if (!s->clean)
        env_die("the last writer did not close");
    check_chain(s);
    bucket_check(s->bucket, "db", true, true);
}

/* ---------------------------------------------------------------- driver */

static const struct driver_scenario scenarios[] = {
    {"separate", separate_main}, {"embedded", embedded_main}, {"paused", paused_main}};
static uint64_t all_compactions, all_resumed;

static uint64_t run_one(const struct driver_scenario *sc, uint64_t seed, enum sim_backend backend)
{
    static struct scene scene;
    static struct world_history history;
    shale_error err = {0};
    memset(&history, 0, sizeof history);
    scene = (struct scene){.history = &history};
    world_init();
    if (shl_store_memory_new(&scene.bucket, &err) != SHALE_OK)
        abort();
    struct sim_options o = {
        .seed = seed, .backend = backend, .policy = SIM_POLICY_BY_SEED, .scenario = sc->name};
    uint64_t hash = sim_run(&o, sc->main_fn, &scene);
    shl_store_unref(scene.bucket);
    all_compactions += scene.compactions;
    all_resumed += scene.resumed;
    if (sim_alloc_live(0) > 0) {
        fprintf(stderr, "seed 0x%" PRIx64 " %s: %" PRIu64 " allocations of the bucket left\n", seed,
                sc->name, sim_alloc_live(0));
        sim_alloc_live_print(0, 10);
        exit(1);
    }
    return hash;
}

int main(void)
{
    int code = driver_main(scenarios, sizeof scenarios / sizeof scenarios[0], run_one);
    printf("%" PRIu64 " compactions, %" PRIu64 " of them resumed from a context\n", all_compactions,
           all_resumed);
    return code;
}
