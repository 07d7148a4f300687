/* Goal: compactors beside and inside of an open writer, with real threads: jobs of an embedded coordinator without worker are merged by another process; a
 * writer whose compactor is replaced goes on writing; drains, trivial moves, levels and requests do to the tree what they say; a database that stock SlateDB
 * left with two equal jobs is repaired.
 * Method: a database in a memory store, compactors run to the end or until the tree is as it should be; the rows are read after each. */
#include "base/num.h"
#include "lsm/compactor/file.h"
#include "lsm/compactor/once.h"
#include "store/wrap_latency.h"
#include "unit/support_db.h"

struct side {
    struct bench *b;
    struct shl_compactor_process *p;
    struct env_task *task;
    shale_code rc;
    shale_error err;
};

static void quick(struct bench *b)
{
    bench_init(b);
    b->settings.compactor_poll_interval_ns = 5 * ENV_NS_PER_MS;
    b->settings.commit_compacted_interval_ns = 5 * ENV_NS_PER_MS;
    b->settings.worker_poll_interval_ns = 5 * ENV_NS_PER_MS;
    b->settings.worker_heartbeat_interval_ns = 20 * ENV_NS_PER_MS;
    b->settings.worker_heartbeat_timeout_ns = 2 * ENV_NS_PER_SEC;
    b->settings.subcompaction_min_bytes = 1;
    b->settings.l0_max_ssts = b->settings.l0_max_ssts_per_key = 64;
}

static struct shl_process_open process_of(struct bench *b, bool coordinates, bool works)
{
    return (struct shl_process_open){.store = b->store,
                                     .path = "dir/db",
                                     .settings = &b->settings,
                                     .merge = b->has_merge ? &b->merge : NULL,
                                     .coordinates = coordinates,
                                     .works = works};
}

static void run_side(void *arg)
{
    struct side *s = arg;
    s->rc = shl_process_run(s->p, &(struct shl_process_run){.once = false}, &s->err);
}

static void side_start(struct side *s, struct bench *b, bool coordinates, bool works)
{
    struct shl_process_open o = process_of(b, coordinates, works);
    *s = (struct side){.b = b};
    OK(shl_process_new(&o, &s->p, &db_err));
    OK(env_task_spawn(&s->task, "side", run_side, s));
}

static void side_stop(struct side *s, shale_code want)
{
    shl_process_stop(s->p);
    env_task_join(s->task);
    if (s->rc != want)
        fail_msg("%s: %s", shale_code_name(s->rc), s->err.text);
    shl_process_free(s->p);
}

static void run_once(struct bench *b)
{
    struct shl_compactor_process *p;
    struct shl_process_open o = process_of(b, true, true);
    OK(shl_process_new(&o, &p, &db_err));
    OK(shl_process_run(p, &(struct shl_process_run){.once = true}, &db_err));
    shl_process_free(p);
}

/* One L0 SSTable that writes keys first .. first + 9. */
static void table(struct bench *b, unsigned first, const char *value)
{
    char key[16];
    for (unsigned i = 0; i < 10; i++) {
        snprintf(key, sizeof key, "k%04u", first + i);
        put(b, key, value);
    }
    OK(shl_lsm_flush(b->db, true, &db_err));
}

/* An open database of two sorted runs, keys 0 to 79. */
static void open_with_two_runs(struct bench *b)
{
    quick(b);
    b->settings.min_compaction_sources = 4;
    bench_open(b);
    for (unsigned t = 0; t < 8; t++) {
        table(b, t * 10, "v");
        if (t % 4 == 3)
            run_once(b);
    }
}

static void expect_rows(struct bench *b, unsigned first, unsigned count, const char *value)
{
    char key[16];
    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof key, "k%04u", first + i);
        expect_get(b->db, key, value);
    }
}

static void shape(struct bench *b, size_t *l0, size_t *runs)
{
    uint64_t version;
    struct shl_manifest *m = newest_manifest(b, &version);
    *l0 = m->root.l0.count;
    *runs = m->root.runs.count;
    shl_manifest_free(m);
}

/* Waits until L0 is shorter than `l0` and there are runs; others do the work. */
static void wait_for_shape(struct bench *b, size_t below)
{
    size_t l0, runs;
    for (unsigned tries = 0; tries < 20000; tries++) {
        shape(b, &l0, &runs);
        if (l0 < below && runs > 0)
            return;
        env_sleep_ns(ENV_NS_PER_MS);
    }
    fail_msg("L0 %zu, runs %zu", l0, runs);
}

static struct shl_compactions *compactions(struct bench *b)
{
    struct shl_db_paths paths;
    struct shl_compactions_file file;
    bool changed;
    OK(shl_db_paths_init(&paths, "dir/db", &db_err));
    shl_compactions_file_init(&file, b->store, &paths, NULL);
    OK(shl_compactions_file_load(&file, &changed, &db_err));
    struct shl_compactions *now = file.now;
    file.now = NULL;
    shl_compactions_file_deinit(&file);
    shl_db_paths_deinit(&paths);
    return now;
}

/* That both objects have. */
static uint64_t epoch_now(struct bench *b)
{
    uint64_t version;
    struct shl_manifest *m = newest_manifest(b, &version);
    struct shl_compactions *c = compactions(b);
    uint64_t epoch = c != NULL ? shl_min_u64(c->compactor_epoch, m->compactor_epoch) : 0;
    shl_compactions_free(c);
    shl_manifest_free(m);
    return epoch;
}

/* Until another coordinator than that of the epoch has the database. */
static void wait_for_epoch(struct bench *b, uint64_t before)
{
    for (unsigned tries = 0; tries < 20000; tries++) {
        if (epoch_now(b) > before)
            return;
        env_sleep_ns(ENV_NS_PER_MS);
    }
    fail_msg("no coordinator came");
}

static void wait_for_runs(struct bench *b, size_t count)
{
    size_t l0, runs;
    for (unsigned tries = 0; tries < 20000; tries++) {
        shape(b, &l0, &runs);
        if (runs == count)
            return;
        env_sleep_ns(ENV_NS_PER_MS);
    }
    fail_msg("runs %zu, want %zu", runs, count);
}

/* The next version of the compactions file, changed as nobody of us would. */
struct edit {
    struct shl_db_paths paths;
    struct shl_compactions_file file;
    struct shl_compactions *next;
};

static void edit_begin(struct bench *b, struct edit *e)
{
    bool changed;
    e->next = NULL;
    OK(shl_db_paths_init(&e->paths, "dir/db", &db_err));
    shl_compactions_file_init(&e->file, b->store, &e->paths, NULL);
    OK(shl_compactions_file_load(&e->file, &changed, &db_err));
    OK(shl_compactions_clone(e->file.now, &e->next, &db_err));
}

static void edit_end(struct edit *e)
{
    OK(shl_compactions_file_write(&e->file, &e->next, &db_err));
    shl_compactions_file_deinit(&e->file);
    shl_db_paths_deinit(&e->paths);
}

static void inject(struct bench *b, const struct shl_compaction *jobs, size_t count)
{
    struct edit e;
    edit_begin(b, &e);
    for (size_t i = 0; i < count; i++) {
        struct shl_compaction copy;
        OK(shl_compaction_copy(&jobs[i], &copy, &db_err));
        OK(shl_jobs_insert(e.next, &copy, &db_err));
    }
    edit_end(&e);
}

/* ---------------------------------------------------------------- beside a writer */

static void test_an_embedded_coordinator_and_workers_elsewhere(void **state)
{
    struct bench b;
    struct side workers[2];
    (void)state;
    quick(&b);
    b.settings.compactor_enabled = true;
    b.settings.worker_enabled = false;
    bench_open(&b);
    side_start(&workers[0], &b, false, true);
    side_start(&workers[1], &b, false, true);
    for (unsigned round = 0; round < 6; round++)
        for (unsigned i = 0; i < 4; i++)
            table(&b, i * 10, round == 5 ? "new" : "old");
    wait_for_shape(&b, 2);
    side_stop(&workers[0], SHALE_OK);
    side_stop(&workers[1], SHALE_OK);
    expect_rows(&b, 0, 40, "new");
    assert_true(status_of(b.db).compactions_done > 0);
    bench_reopen(&b);
    expect_rows(&b, 0, 40, "new");
    bench_end(&b);
}

static void test_a_writer_outlives_the_loss_of_its_compactor(void **state)
{
    struct bench b;
    struct side other;
    (void)state;
    quick(&b);
    b.settings.compactor_enabled = true;
    bench_open(&b);
    for (unsigned i = 0; i < 4; i++)
        table(&b, i * 10, "one");
    OK(shl_lsm_settle(b.db, &db_err)); /* it has the epoch now */
    side_start(&other, &b, true, true);
    for (unsigned round = 0; round < 4; round++)
        for (unsigned i = 0; i < 4; i++)
            table(&b, i * 10, "two");
    wait_for_shape(&b, 2);
    OK(shl_lsm_settle(b.db, &db_err)); /* stands back: nothing to wait for */
    assert_int_equal(status_of(b.db).closed, SHALE_OK);
    expect_rows(&b, 0, 40, "two");
    side_stop(&other, SHALE_OK);
    bench_reopen(&b); /* a new writer takes it back with its first job */
    for (unsigned i = 0; i < 4; i++)
        table(&b, i * 10, "three");
    OK(shl_lsm_settle(b.db, &db_err));
    expect_rows(&b, 0, 40, "three");
    bench_end(&b);
}

static void test_the_older_of_two_coordinators_ends(void **state)
{
    struct bench b;
    struct side older;
    (void)state;
    quick(&b);
    bench_open(&b);
    table(&b, 0, "v");
    side_start(&older, &b, true, true);
    struct shl_compactions *c = NULL;
    for (unsigned i = 0; i < 20000 && (c == NULL || c->compactor_epoch == 0); i++) {
        shl_compactions_free(c);
        c = compactions(&b);
        env_sleep_ns(ENV_NS_PER_MS);
    }
    shl_compactions_free(c);
    run_once(&b);
    env_task_join(older.task);
    assert_int_equal(older.rc, SHALE_FENCED);
    assert_non_null(strstr(older.err.text, "another compactor took over"));
    shl_process_free(older.p);
    bench_end(&b);
}

/* ---------------------------------------------------------------- what jobs do */

static void test_two_equal_jobs_are_repaired(void **state)
{
    static const enum shl_compaction_status found[] = {SHL_COMPACTION_SUBMITTED,
                                                       SHL_COMPACTION_SCHEDULED};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct bench b;
        size_t l0, runs;
        quick(&b);
        bench_open(&b);
        for (unsigned t = 0; t < 4; t++)
            table(&b, t * 10, "v");
        run_once(&b);
        struct shl_compactions *c = compactions(&b);
        struct shl_ulid newest = c->jobs.items[c->jobs.count - 1].id;
        struct shl_compaction jobs[2];
        uint32_t run = 0;
        for (size_t k = 0; k < 2; k++) {
            jobs[k] =
                (struct shl_compaction){.id = shl_ulid_make(shl_ulid_time_ms(newest) + 1 + k, 1, 1),
                                        .kind = SHL_COMPACTION_TIERED,
                                        .destination = run,
                                        .status = found[i]};
            assert_true(shl_array_push(&jobs[k].runs, run));
        }
        shl_compactions_free(c);
        inject(&b, jobs, 2);
        run_once(&b);
        c = compactions(&b);
        /* The newest finished one stays: the second, which was refused, or, finished later, the first. */
        for (size_t k = 0; k < c->jobs.count; k++)
            if (shl_ulid_eq(c->jobs.items[k].id, jobs[1].id))
                assert_int_equal(c->jobs.items[k].status, SHL_COMPACTION_FAILED);
        assert_int_equal(shl_jobs_active(c), 0);
        shl_compactions_free(c);
        shape(&b, &l0, &runs);
        assert_int_equal(l0, 0);
        assert_int_equal(runs, 1);
        OK(shl_lsm_refresh(b.db, &db_err));
        expect_rows(&b, 0, 40, "v");
        for (size_t k = 0; k < 2; k++)
            shl_compaction_deinit(&jobs[k]);
        bench_end(&b);
    }
}

static void test_tables_that_do_not_overlap_are_moved(void **state)
{
    struct bench b;
    size_t l0, runs;
    (void)state;
    quick(&b);
    b.settings.enable_trivial_move = true;
    bench_open(&b);
    for (unsigned t = 0; t < 4; t++)
        table(&b, (3 - t) * 10, "v");
    size_t before = objects_below(b.store, "dir/db/compacted");
    run_once(&b);
    assert_int_equal(objects_below(b.store, "dir/db/compacted"), before);
    shape(&b, &l0, &runs);
    assert_int_equal(l0, 0);
    assert_int_equal(runs, 1);
    OK(shl_lsm_refresh(b.db, &db_err));
    expect_rows(&b, 0, 40, "v");
    bench_reopen(&b);
    expect_rows(&b, 0, 40, "v");
    bench_end(&b);
}

static shale_code ask(struct bench *b, const char *json, bool *by_us)
{
    struct shl_request r;
    struct shl_once_result result;
    struct shl_process_open o = process_of(b, true, true);
    shale_code rc = shl_request_parse(shl_slice_str(json), &r, &db_err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_once once = {.request = &r, .take_over_ns = 100 * ENV_NS_PER_MS};
    rc = shl_compact_once(&o, &once, &result, &db_err);
    *by_us = result.by_us;
    shl_proposals_free(&result.jobs);
    shl_request_deinit(&r);
    return rc;
}

static void test_a_segment_is_drained_and_the_writer_takes_it_away(void **state)
{
    struct bench b;
    char json[300], view[SHL_ULID_TEXT];
    uint64_t version;
    bool by_us;
    (void)state;
    quick(&b);
    assert_true(shl_extractor_parse("slash", &b.settings.segment_extractor));
    bench_open(&b);
    put(&b, "a/1", "x");
    put(&b, "b/1", "y");
    OK(shl_lsm_flush(b.db, true, &db_err));
    struct shl_manifest *m = newest_manifest(&b, &version);
    assert_int_equal(m->segments.count, 2);
    shl_ulid_format(m->segments.items[0].tree.l0.items[0].id, view);
    shl_manifest_free(m);
    snprintf(
        json, sizeof json,
        "{\"Spec\":{\"DrainSegment\":{\"segment\":[97,47],\"sources\":[{\"SstView\":\"%s\"}]}}}",
        view);
    OK(ask(&b, json, &by_us));
    assert_true(by_us); /* nobody else was there */
    OK(shl_lsm_refresh(b.db, &db_err));
    expect_all(b.db, "b/1=y");
    put(&b, "b/2", "z");
    OK(shl_lsm_flush(b.db, true, &db_err));
    m = newest_manifest(&b, &version);
    assert_int_equal(m->segments.count, 1);
    shl_manifest_free(m);
    bench_end(&b);
}

static bool nobody_is_waited_for(void *ctx, enum shl_once_phase phase,
                                 const struct shl_compactor_report *now)
{
    (void)ctx;
    (void)now;
    assert_int_equal(phase, SHL_ONCE_WE_WORK);
    return false;
}

/* Its last job is marked; for the next one that is a file as any other. */
static void test_a_coordinator_that_has_ended_is_not_waited_for(void **state)
{
    struct bench b;
    uint64_t version;
    (void)state;
    quick(&b);
    b.settings.min_compaction_sources = 4;
    bench_open(&b);
    for (unsigned t = 0; t < 4; t++)
        table(&b, t * 10, "v");
    for (uint64_t epoch = 1; epoch < 4; epoch++) {
        struct shl_request full = {.kind = SHL_REQUEST_FULL};
        struct shl_once_result result;
        struct shl_process_open o = process_of(&b, true, true);
        struct shl_once once = {.request = epoch > 1 ? &full : NULL,
                                .take_over_ns = 5 * ENV_NS_PER_SEC,
                                .tick = nobody_is_waited_for};
        OK(shl_compact_once(&o, &once, &result, &db_err));
        assert_true(result.by_us);
        assert_int_equal(result.compactions, 1);
        shl_proposals_free(&result.jobs);
        struct shl_compactions *c = compactions(&b);
        struct shl_manifest *m = newest_manifest(&b, &version);
        assert_int_equal(m->compactor_epoch, epoch);
        assert_int_equal(c->compactor_epoch, epoch);
        assert_true(shl_jobs_ended_with(c, epoch));
        assert_false(shl_jobs_ended_with(c, epoch + 1));
        shl_manifest_free(m);
        shl_compactions_free(c);
    }
    expect_rows(&b, 0, 40, "v");
    bench_end(&b);
}

static void test_a_request_goes_to_the_coordinator_that_is_there(void **state)
{
    struct bench b;
    struct side there;
    size_t l0, runs;
    bool by_us = true;
    (void)state;
    open_with_two_runs(&b);
    uint64_t before = epoch_now(&b);
    side_start(&there, &b, true, true);
    wait_for_epoch(&b, before);
    struct shl_request full = {.kind = SHL_REQUEST_FULL};
    struct shl_once_result result;
    struct shl_process_open o = process_of(&b, true, true);
    struct shl_once once = {.request = &full, .take_over_ns = 600 * ENV_NS_PER_SEC};
    OK(shl_compact_once(&o, &once, &result, &db_err));
    by_us = result.by_us;
    shl_proposals_free(&result.jobs);
    assert_false(by_us);
    side_stop(&there, SHALE_OK);
    shape(&b, &l0, &runs);
    assert_int_equal(runs, 1);
    OK(shl_lsm_refresh(b.db, &db_err));
    expect_rows(&b, 0, 80, "v");
    bench_end(&b);
}

/* A coordinator without workers: the job is merged by who wants it, and the coordinator stays what it is. */
/* The next version of both objects: another coordinator's epoch, who is silent, or no job any more, and no table. */
static void write_both(struct bench *b, bool takes_over, bool without_jobs, bool without_tables)
{
    struct edit e;
    uint64_t version;
    struct shl_manifest *m = newest_manifest(b, &version);
    edit_begin(b, &e);
    e.next->compactor_epoch += takes_over;
    m->compactor_epoch += takes_over;
    while (without_jobs && e.next->jobs.count > 0)
        shl_compaction_deinit(&e.next->jobs.items[--e.next->jobs.count]);
    if (without_tables) {
        shl_tree_deinit(&m->root);
        m->root = (struct shl_tree){0};
    }
    edit_end(&e);
    write_manifest(b, m, version + 1);
    shl_manifest_free(m);
}

struct forgetting {
    struct bench *b;
    bool tables_too;
    bool done;
};

/* As after a restore, and a coordinator that kept no record of what failed. */
static bool forget(void *ctx, enum shl_once_phase phase, const struct shl_compactor_report *now)
{
    struct forgetting *f = ctx;
    (void)now;
    (void)phase;
    if (!f->done)
        write_both(f->b, false, true, f->tables_too);
    f->done = true;
    return false;
}

static void test_a_job_that_is_no_longer_on_record_is_not_called_done(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct bench b;
        struct shl_once_result result;
        struct forgetting f = {.b = &b, .tables_too = way > 0};
        struct shl_request full = {.kind = SHL_REQUEST_FULL};
        open_with_two_runs(&b);
        bench_close(&b);
        write_both(&b, true, false, false);
        struct shl_process_open o = process_of(&b, true, true);
        struct shl_once once = {
            .request = &full, .take_over_ns = 600 * ENV_NS_PER_SEC, .tick = forget, .ctx = &f};
        FAILS(shl_compact_once(&o, &once, &result, &db_err), SHALE_CONFLICT);
        assert_non_null(strstr(
            db_err.text, "its outcome is unknown")); /* even if runs of those numbers are there */
        shl_proposals_free(&result.jobs);
        bench_open(&b);
        bench_end(&b);
    }
}

/* Another coordinator takes the epoch, gets a job for all of L0, and is never heard of again. */
static void come_and_go(struct bench *b)
{
    struct edit e;
    uint64_t version;
    struct shl_manifest *m = newest_manifest(b, &version);
    struct shl_compaction job = {.id = shl_ulid_make((uint64_t)env_now_wall_ms() + 1, 1, 1),
                                 .kind = SHL_COMPACTION_TIERED,
                                 .status = SHL_COMPACTION_SUBMITTED,
                                 .destination = 100};
    edit_begin(b, &e);
    m->compactor_epoch = ++e.next->compactor_epoch;
    for (size_t i = 0; i < m->root.l0.count; i++)
        assert_true(shl_array_push(&job.l0_view_ids, m->root.l0.items[i].id));
    OK(shl_jobs_insert(e.next, &job, &db_err));
    edit_end(&e);
    write_manifest(b, m, version + 1);
    shl_manifest_free(m);
}

static void test_a_writer_goes_on_with_what_another_compactor_left(void **state)
{
    struct bench b;
    (void)state;
    quick(&b);
    b.settings.compactor_enabled = true;
    b.settings.worker_heartbeat_timeout_ns = 200 * ENV_NS_PER_MS;
    bench_open(&b);
    for (unsigned i = 0; i < 4; i++)
        table(&b, i * 10, "one");
    OK(shl_lsm_settle(b.db, &db_err)); /* it has the epoch now */
    table(&b, 0, "two");
    table(&b, 10, "two");
    come_and_go(&b);
    for (unsigned i = 2; i < 4; i++) /* too few for a job of their own */
        table(&b, i * 10, "two");
    wait_for_shape(&b, 3);
    assert_int_equal(status_of(b.db).closed, SHALE_OK);
    expect_rows(&b, 0, 40, "two");
    bench_end(&b);
}

struct trimming {
    struct bench *b;
    enum shl_compaction_status end;
    bool done;
};

/* A coordinator that ends the job and then makes room for others, all between two looks. */
static bool end_and_trim(void *ctx, enum shl_once_phase phase,
                         const struct shl_compactor_report *now)
{
    struct trimming *t = ctx;
    struct edit e;
    (void)now;
    (void)phase;
    if (t->done)
        return false;
    t->done = true;
    edit_begin(t->b, &e);
    assert_int_equal(shl_jobs_active(e.next), 1);
    for (size_t i = 0; i < e.next->jobs.count; i++)
        if (shl_job_is_active(&e.next->jobs.items[i]))
            e.next->jobs.items[i].status = t->end;
    edit_end(&e);
    write_both(t->b, false, true, false);
    return false;
}

static void test_a_job_that_was_trimmed_is_found_in_older_versions(void **state)
{
    (void)state;
    for (int failed = 0; failed < 2; failed++) {
        struct bench b;
        struct shl_once_result result;
        struct trimming t = {.b = &b,
                             .end = failed ? SHL_COMPACTION_FAILED : SHL_COMPACTION_COMPLETED};
        struct shl_request full = {.kind = SHL_REQUEST_FULL};
        open_with_two_runs(&b);
        bench_close(&b);
        write_both(&b, true, false, false);
        struct shl_process_open o = process_of(&b, true, true);
        struct shl_once once = {.request = &full,
                                .take_over_ns = 600 * ENV_NS_PER_SEC,
                                .tick = end_and_trim,
                                .ctx = &t};
        shale_code rc = shl_compact_once(&o, &once, &result, &db_err);
        assert_int_equal(rc, failed ? SHALE_CONFLICT : SHALE_OK);
        if (failed)
            assert_non_null(strstr(db_err.text, "failed: the database changed under it"));
        shl_proposals_free(&result.jobs);
        bench_open(&b);
        bench_end(&b);
    }
}

/* Without a request: the coordinator that is there sees no need by its own settings, and is asked. */
static void test_a_coordinator_does_what_others_find(void **state)
{
    struct bench b;
    struct side s;
    struct shl_lsm_settings eager;
    struct shl_once_result result;
    size_t l0, runs;
    (void)state;
    quick(&b);
    b.settings.min_compaction_sources = b.settings.max_compaction_sources = 8;
    bench_open(&b);
    for (unsigned t = 0; t < 3; t++)
        table(&b, t * 5, "v");
    uint64_t before = epoch_now(&b);
    side_start(&s, &b, true, true);
    wait_for_epoch(&b, before);
    eager = b.settings;
    eager.min_compaction_sources = 2;
    struct shl_process_open o = process_of(&b, true, true);
    o.settings = &eager;
    const struct shl_once once = {.take_over_ns = 300 * ENV_NS_PER_SEC};
    OK(shl_compact_once(&o, &once, &result, &db_err));
    assert_false(result.by_us);
    shape(&b, &l0, &runs);
    assert_int_equal(l0, 0);
    assert_int_equal(runs, 1);
    shl_proposals_free(&result.jobs);
    side_stop(&s, SHALE_OK);
    bench_end(&b);
}

static void test_a_job_that_lacks_a_worker_gets_one(void **state)
{
    struct bench b;
    struct side there;
    size_t l0, runs;
    (void)state;
    open_with_two_runs(&b);
    uint64_t before = epoch_now(&b);
    side_start(&there, &b, true, false);
    wait_for_epoch(&b, before);
    struct shl_request full = {.kind = SHL_REQUEST_FULL};
    struct shl_once_result result;
    struct shl_process_open o = process_of(&b, true, true);
    struct shl_once once = {.request = &full, .take_over_ns = 2 * ENV_NS_PER_SEC};
    OK(shl_compact_once(&o, &once, &result, &db_err));
    assert_true(result.by_us);
    assert_int_equal(result.compactions, 1);
    shl_proposals_free(&result.jobs);
    side_stop(&there, SHALE_OK); /* nobody took its place */
    shape(&b, &l0, &runs);
    assert_int_equal(runs, 1);
    bench_end(&b);
}

/* Each run at least the ratio of the one above it, whatever is written. */
static void test_levels_stay_levels(void **state)
{
    struct bench b;
    uint64_t version;
    (void)state;
    quick(&b);
    b.settings.scheduler = SHL_SCHEDULER_LEVELED;
    b.settings.include_size_threshold = 3;
    b.settings.worker_max_subcompactions = 1;
    bench_open(&b);
    for (unsigned t = 0; t < 40; t++) {
        table(&b, t * 10, "v");
        if (t % 3 == 2)
            run_once(&b);
    }
    run_once(&b);
    struct shl_manifest *m = newest_manifest(&b, &version);
    assert_true(m->root.runs.count > 0 && m->root.runs.count < 5);
    for (size_t i = 1; i < m->root.runs.count; i++)
        assert_true(shl_run_bytes(&m->root.runs.items[i]) >=
                    3 * shl_run_bytes(&m->root.runs.items[i - 1]));
    shl_manifest_free(m);
    OK(shl_lsm_refresh(b.db, &db_err));
    expect_rows(&b, 0, 400, "v");
    bench_end(&b);
}

/* Versions, deletions and merges through jobs in parts give what one job in one piece gives. */
static void test_parts_give_what_the_whole_gives(void **state)
{
    static char whole[60000];
    (void)state;
    for (uint32_t parts = 1; parts <= 4; parts += 3) {
        struct bench b;
        quick(&b);
        use_operator(&b, "concat");
        b.settings.worker_max_subcompactions = parts;
        b.settings.max_sst_size_bytes = 1500;
        bench_open(&b);
        for (unsigned t = 0; t < 6; t++) {
            for (unsigned k = 0; k < 200; k++) {
                char key[16], value[16];
                snprintf(key, sizeof key, "k%04u", k);
                snprintf(value, sizeof value, "%u.", t);
                if ((k + t) % 5 == 0)
                    del(&b, key);
                else if ((k * 7 + t) % 3 == 0)
                    put(&b, key, value);
                else
                    merge(&b, key, value);
            }
            OK(shl_lsm_flush(b.db, true, &db_err));
        }
        run_once(&b);
        OK(shl_lsm_refresh(b.db, &db_err));
        const char *rows = scanned(b.db, &all_keys, &(struct shl_lsm_scan){0});
        if (parts == 1)
            snprintf(whole, sizeof whole, "%s", rows);
        else
            assert_string_equal(rows, whole);
        bench_end(&b);
    }
}

/* ---------------------------------------------------------------- commits in part */

/* A compaction filter that keeps all, and stands still at a row until it is told to go on or to give up. */
struct gate {
    unsigned at;
    _Atomic unsigned rows;
    _Atomic bool opened, abandoned;
};

static shale_code gate_begin(void *ctx, const struct shl_filter_job *job, void **instance,
                             shale_error *error)
{
    (void)ctx;
    (void)job;
    (void)error;
    *instance = NULL;
    return SHALE_OK;
}

static shale_code gate_row(void *ctx, void *instance, struct shl_row *row, bool *keep,
                           shale_error *error)
{
    struct gate *g = ctx;
    (void)instance;
    (void)row;
    (void)keep;
    unsigned n = atomic_fetch_add(&g->rows, 1);
    while (n >= g->at && !atomic_load(&g->opened)) {
        if (atomic_load(&g->abandoned))
            return shl_fail(error, SHALE_CLOSED, "given up");
        env_sleep_ns(ENV_NS_PER_MS);
    }
    return SHALE_OK;
}

static shale_code gate_end(void *ctx, void *instance, bool complete, shale_error *error)
{
    (void)ctx;
    (void)instance;
    (void)complete;
    (void)error;
    return SHALE_OK;
}

static void write_run(struct bench *b, const char *value)
{
    char key[16];
    for (unsigned t = 0; t < 2; t++) {
        for (unsigned i = t; i < 400; i += 2) {
            snprintf(key, sizeof key, "k%04u", i);
            put(b, key, value);
        }
        OK(shl_lsm_flush(b->db, true, &db_err));
    }
    run_once(b);
    OK(shl_lsm_refresh(b->db, &db_err));
}

/* SSTables of the newest sorted run. */
static size_t newest_run_ssts(struct bench *b)
{
    uint64_t version;
    struct shl_manifest *m = newest_manifest(b, &version);
    size_t n = m->root.runs.items[0].ssts.count;
    shl_manifest_free(m);
    return n;
}

/* What a job has finished is in the tree before it ends; a job that is given up then is gone on with by another process, and one that ends replaces all. */
static void test_a_long_job_is_committed_in_part(void **state)
{
    static char value[100];
    (void)state;
    for (unsigned way = 0; way < 2; way++) {
        struct bench b;
        struct side s;
        size_t l0, runs, before;
        struct gate gate = {.at = 250};
        const struct shl_compaction_filter filter = {
            .begin = gate_begin, .row = gate_row, .end = gate_end, .ctx = &gate};
        quick(&b);
        b.settings.include_size_threshold = 1;
        b.settings.max_sst_size_bytes = 1;
        b.settings.worker_max_subcompactions = 1;
        bench_open(&b);
        memset(value, 'a', sizeof value - 1);
        write_run(&b, value);
        memset(value, 0, sizeof value);
        memset(value, 'b', 60); /* a smaller run: the two are not merged yet */
        write_run(&b, value);
        shape(&b, &l0, &runs);
        assert_int_equal(runs, 2);
        before = newest_run_ssts(&b);
        b.settings.include_size_threshold = 1000;
        b.settings.incremental_compaction = true;
        struct shl_process_open o = process_of(&b, true, true);
        o.filter = &filter;
        s = (struct side){.b = &b};
        OK(shl_process_new(&o, &s.p, &db_err));
        OK(env_task_spawn(&s.task, "side", run_side, &s));
        for (unsigned tries = 0; newest_run_ssts(&b) == before; tries++) {
            assert_true(tries < 20000);
            env_sleep_ns(ENV_NS_PER_MS);
        }
        shape(&b, &l0, &runs);
        assert_int_equal(runs, 2); /* the job runs on */
        OK(shl_lsm_refresh(b.db, &db_err));
        expect_rows(&b, 0, 400, value);
        if (way == 0) {
            atomic_store(&gate.opened, true);
            wait_for_runs(&b, 1);
            side_stop(&s, SHALE_OK);
        } else {
            shl_process_stop(s.p);
            atomic_store(&gate.abandoned, true);
            side_stop(&s, SHALE_OK);
            assert_true(newest_run_ssts(&b) < before);
            run_once(&b);
        }
        shape(&b, &l0, &runs);
        assert_int_equal(runs, 1);
        OK(shl_lsm_refresh(b.db, &db_err));
        expect_rows(&b, 0, 400, value);
        bench_reopen(&b);
        expect_rows(&b, 0, 400, value);
        bench_end(&b);
    }
}

/* Each of them lives for one row, on a store that leaves the compactor no time beside it. */
static void test_writers_that_live_shortly_do_not_fill_l0(void **state)
{
    struct bench b;
    char key[16];
    size_t l0, runs;
    struct shl_store *fast;
    struct shl_latency_options latency = {.seed = 1};
    (void)state;
    for (unsigned kind = 0; kind < SHL_KINDS; kind++)
        latency.kinds[kind] = (struct shl_latency){ENV_NS_PER_MS, ENV_NS_PER_MS, ENV_NS_PER_MS};
    bench_init(&b);
    fast = b.store;
    OK(shl_store_latency_new(&b.store, fast, &latency, &db_err));
    shl_store_unref(fast);
    b.settings.compactor_enabled = true;
    b.settings.min_compaction_sources = 4;
    b.settings.l0_max_ssts = 4;
    bench_open(&b);
    for (unsigned i = 0; i < 30; i++) {
        snprintf(key, sizeof key, "k%03u", i);
        put(&b, key, "value");
        bench_reopen(&b);
        shape(&b, &l0, &runs);
        assert_true(l0 <= b.settings.l0_max_ssts);
    }
    assert_true(l0 + runs < 10);
    for (unsigned i = 0; i < 30; i++) {
        snprintf(key, sizeof key, "k%03u", i);
        expect_get(b.db, key, "value");
    }
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_embedded_coordinator_and_workers_elsewhere),
        cmocka_unit_test(test_a_writer_outlives_the_loss_of_its_compactor),
        cmocka_unit_test(test_the_older_of_two_coordinators_ends),
        cmocka_unit_test(test_two_equal_jobs_are_repaired),
        cmocka_unit_test(test_tables_that_do_not_overlap_are_moved),
        cmocka_unit_test(test_a_segment_is_drained_and_the_writer_takes_it_away),
        cmocka_unit_test(test_a_coordinator_that_has_ended_is_not_waited_for),
        cmocka_unit_test(test_a_request_goes_to_the_coordinator_that_is_there),
        cmocka_unit_test(test_a_job_that_is_no_longer_on_record_is_not_called_done),
        cmocka_unit_test(test_a_job_that_was_trimmed_is_found_in_older_versions),
        cmocka_unit_test(test_a_writer_goes_on_with_what_another_compactor_left),
        cmocka_unit_test(test_a_coordinator_does_what_others_find),
        cmocka_unit_test(test_a_job_that_lacks_a_worker_gets_one),
        cmocka_unit_test(test_levels_stay_levels),
        cmocka_unit_test(test_parts_give_what_the_whole_gives),
        cmocka_unit_test(test_a_long_job_is_committed_in_part),
        cmocka_unit_test(test_writers_that_live_shortly_do_not_fill_l0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
