/* The collector: its decisions, and what it does to a bucket.
 *
 * Goal: each kind of object goes when and only when nobody needs it; numbered ones not before the boundary stands above them; stores, dry runs and
 * damage are handled as documented. Method: the decisions as a table; then a database in memory, with a min_age of nothing. */
#include "lsm/keep/checkpoint.h"
#include "lsm/keep/gc.h"
#include "lsm/keep/gc_plan.h"
#include "lsm/keep/remove.h"
#include "store/wrap_hook.h"
#include "unit/support_db.h"

#define ALL ((1U << SHL_GC_TASKS) - 1)

/* ---------------------------------------------------------------- decisions */

static struct shl_sst_desc *sst_at(uint64_t ms, uint64_t number)
{
    struct shl_sst_desc *d;
    struct shl_sst_info info = {.has_first_entry = true, .first_entry = shl_slice_str("k")};
    OK(shl_sst_desc_new(shl_ulid_make(ms, 0, number), 2, true, &info, &d, &db_err));
    return d;
}

static void push_l0(struct shl_tree *t, uint64_t ms, uint64_t number)
{
    struct shl_sst_desc *d = sst_at(ms, number);
    OK(shl_tree_push_l0(t, d, &db_err));
    shl_sst_desc_unref(d);
}

static void push_job(struct shl_compactions *c, uint64_t ms)
{
    assert_true(shl_array_push(&c->jobs, ((struct shl_compaction){.id = shl_ulid_make(ms, 0, 0)})));
}

/* Manifest 10: WAL boundary 20, SSTs at 5000 and 6000; a checkpoint on manifest 7 with WAL objects 5 to 8 and an SST at 1000. Jobs at 4000. */
struct decisions {
    struct shl_manifest *newest, *older;
    struct shl_compactions *jobs;
    struct shl_gc_pin pin;
    struct shl_gc_view view;
};

static void decisions_init(struct decisions *d)
{
    *d = (struct decisions){.newest = NULL};
    OK(shl_manifest_new(&d->newest, &db_err));
    OK(shl_manifest_new(&d->older, &db_err));
    OK(shl_compactions_new(&d->jobs, &db_err));
    d->newest->replay_after_wal_id = 20;
    d->newest->wal_id_last_seen = 22;
    d->older->replay_after_wal_id = 4;
    d->older->wal_id_last_seen = 8;
    push_l0(&d->newest->root, 5000, 1);
    push_l0(&d->newest->root, 6000, 2);
    push_l0(&d->older->root, 1000, 3);
    push_job(d->jobs, 4000);
    assert_true(shl_array_push(&d->newest->checkpoints,
                               ((struct shl_checkpoint){.manifest_id = 7, .create_s = 1})));
    OK(shl_gc_pin_init(&d->pin, 7, d->older, &db_err));
}

static void decisions_view(struct decisions *d, bool with_jobs)
{
    const struct shl_gc_pin *pins[] = {&d->pin};
    shl_gc_view_deinit(&d->view);
    OK(shl_gc_view_init(&d->view, 10000, 10, d->newest, pins, 1, with_jobs ? d->jobs : NULL,
                        with_jobs ? 9 : 0, &db_err));
}

static void decisions_end(struct decisions *d)
{
    shl_gc_view_deinit(&d->view);
    shl_gc_pin_deinit(&d->pin);
    shl_manifest_free(d->newest);
    shl_manifest_free(d->older);
    shl_compactions_free(d->jobs);
}

static void test_what_is_garbage(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum shl_gc_task task;
        uint64_t id; /* of SSTs: milliseconds, the number below */
        uint64_t bytes;
        int64_t modified_ms;
        uint64_t min_age_ms;
        bool goes;
    } cases[] = {
        {"old manifest", SHL_GC_MANIFEST, 9, 1, 1000, 5000, true},
        {"the newest manifest", SHL_GC_MANIFEST, 10, 1, 1000, 5000, false},
        {"a newer one than we saw", SHL_GC_MANIFEST, 11, 1, 1000, 5000, false},
        {"young manifest", SHL_GC_MANIFEST, 9, 1, 5001, 5000, false},
        {"manifest of that very age", SHL_GC_MANIFEST, 9, 1, 5000, 5000, true},
        {"manifest from the future", SHL_GC_MANIFEST, 9, 1, 10001, 0, false},
        {"manifest without a time", SHL_GC_MANIFEST, 9, 1, 0, 0, false},
        {"manifest of a checkpoint", SHL_GC_MANIFEST, 7, 1, 1000, 0, false},
        {"old compactions file", SHL_GC_COMPACTIONS, 8, 1, 1000, 5000, true},
        {"the newest compactions file", SHL_GC_COMPACTIONS, 9, 1, 1000, 5000, false},
        {"flushed WAL object", SHL_GC_WAL, 19, 1, 1000, 5000, true},
        {"the object of the boundary", SHL_GC_WAL, 20, 1, 1000, 5000, false},
        {"WAL object above it", SHL_GC_WAL, 21, 1, 1000, 5000, false},
        {"below a checkpoint's WAL", SHL_GC_WAL, 4, 1, 1000, 5000, true},
        {"first of a checkpoint's WAL", SHL_GC_WAL, 5, 1, 1000, 5000, false},
        {"last of a checkpoint's WAL", SHL_GC_WAL, 8, 1, 1000, 5000, false},
        {"above a checkpoint's WAL", SHL_GC_WAL, 9, 1, 1000, 5000, true},
        {"a fence is no WAL object", SHL_GC_WAL, 19, 0, 1000, 5000, false},
        {"old fence", SHL_GC_WAL_FENCE, 19, 0, 1000, 5000, true},
        {"a WAL object is no fence", SHL_GC_WAL_FENCE, 19, 1, 1000, 5000, false},
        {"fence of the boundary", SHL_GC_WAL_FENCE, 20, 0, 1000, 5000, false},
        {"old SST", SHL_GC_COMPACTED, 3999, 1, 0, 0, true},
        {"SST as old as the oldest job", SHL_GC_COMPACTED, 4000, 1, 0, 0, false},
        {"SST younger than the age", SHL_GC_COMPACTED, 3000, 1, 0, 7001, false},
    };
    struct decisions d;
    decisions_init(&d);
    decisions_view(&d, true);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shl_gc_object o = {.id = cases[i].id,
                                  .ulid = shl_ulid_make(cases[i].id, 0, 99),
                                  .bytes = cases[i].bytes,
                                  .modified_ms = cases[i].modified_ms};
        CHECK(shl_gc_is_garbage(&d.view, cases[i].task, &o, cases[i].min_age_ms) == cases[i].goes,
              "%s", cases[i].name);
    }
    decisions_end(&d);
}

static bool sst_goes(const struct decisions *d, uint64_t ms, uint64_t number)
{
    struct shl_gc_object o = {.ulid = shl_ulid_make(ms, 0, number)};
    return shl_gc_is_garbage(&d->view, SHL_GC_COMPACTED, &o, 0);
}

static void test_ssts_in_use_and_the_cutoff(void **state)
{
    (void)state;
    struct decisions d;
    decisions_init(&d);
    d.jobs->jobs.items[0].id = shl_ulid_make(9000, 0, 0);
    decisions_view(&d, true);
    assert_int_equal(shl_gc_cutoff_ms(&d.view, 0), 6000); /* the newest L0 */
    assert_false(sst_goes(&d, 6000, 7));                  /* an upload that may be published yet */
    assert_true(sst_goes(&d, 5999, 7));
    assert_false(sst_goes(&d, 5000, 1)); /* of the newest manifest */
    assert_false(sst_goes(&d, 1000, 3)); /* of the checkpoint */
    assert_true(sst_goes(&d, 1000, 4));
    push_job(d.jobs, 500); /* the oldest counts, wherever it stands */
    decisions_view(&d, true);
    assert_int_equal(shl_gc_cutoff_ms(&d.view, 0), 500);
    decisions_view(&d, false); /* nobody ever compacted */
    assert_int_equal(shl_gc_cutoff_ms(&d.view, 0), 0);
    assert_false(sst_goes(&d, 1, 4));
    /* Where L0 is empty, its watermark tells what was published. */
    shl_tree_deinit(&d.newest->root);
    d.jobs->jobs.count = 0;
    push_job(d.jobs, 9000);
    decisions_view(&d, true);
    assert_int_equal(shl_gc_cutoff_ms(&d.view, 0), 0);
    d.newest->root.has_watermark = true;
    d.newest->root.watermark = shl_ulid_make(7000, 0, 0);
    decisions_view(&d, true);
    assert_int_equal(shl_gc_cutoff_ms(&d.view, 0), 7000);
    assert_int_equal(shl_gc_cutoff_ms(&d.view, 4000), 6000);
    assert_int_equal(shl_gc_cutoff_ms(&d.view, UINT64_MAX), 0);
    decisions_end(&d);
}

/* ---------------------------------------------------------------- a bucket */

struct collected {
    struct bench b;
    struct shl_gc_settings settings;
    struct shl_gc *gc;
    struct shl_gc_report report;
};

static void collected_init(struct collected *c)
{
    *c = (struct collected){.gc = NULL};
    bench_init(&c->b);
    c->b.settings.gc.enabled = false;
    shl_gc_settings_default(&c->settings);
    for (unsigned i = 0; i < SHL_GC_TASKS; i++)
        c->settings.tasks[i].min_age_ns = 0;
}

static void new_collector(struct collected *c)
{
    struct shl_gc_open o = {.store = c->b.store,
                            .wal_store = c->b.wal_store,
                            .path = "dir/db",
                            .settings = &c->settings};
    shl_gc_free(c->gc);
    OK(shl_gc_new(&o, &c->gc, &db_err));
}

static void collect(struct collected *c)
{
    if (c->gc == NULL)
        new_collector(c);
    OK(shl_gc_run(c->gc, ALL, &c->report, &db_err));
}

static void collected_end(struct collected *c)
{
    shl_gc_free(c->gc);
    bench_end(&c->b);
}

static bool is_there(struct bench *b, const char *key)
{
    struct shl_object o;
    return shl_store_head(b->store, key, &o, &db_err) == SHALE_OK;
}

static void put_object(struct bench *b, const char *key, const char *text)
{
    struct shl_slice body = shl_slice_str(text);
    OK(shl_store_put(b->store, key, &body, 1, &(struct shl_put){.mode = SHL_PUT_OVERWRITE}, NULL,
                     &db_err));
}

static char *boundary_of(struct bench *b, const char *what)
{
    static char text[64];
    char key[64];
    struct shl_buf body = {0};
    snprintf(key, sizeof key, "dir/db/gc/%s.boundary", what);
    OK(shl_store_get(b->store, key, NULL, &body, NULL, &db_err));
    snprintf(text, sizeof text, "%.*s", (int)body.len, (const char *)body.data);
    shl_buf_free(&body);
    return text;
}

static void test_old_manifests_go_and_the_boundary_is_there_before(void **state)
{
    (void)state;
    struct collected c;
    struct shl_manifests stale;
    uint64_t manifest_id, newest;
    collected_init(&c);
    bench_open(&c.b);
    put(&c.b, "a", "1");
    OK(shl_lsm_flush(c.b.db, true, &db_err));
    OK(shl_manifests_init(&stale, c.b.store, "dir/db", false, &db_err));
    OK(shl_manifests_load(&stale, &db_err)); /* somebody who sleeps from here on */
    for (int i = 0; i < 5; i++) {
        char name[8], key[64];
        snprintf(name, sizeof name, "c%d", i);
        struct shl_manifests m;
        struct shl_checkpoint_want w = {
            .id = shl_checkpoint_new_id(), .now_ms = env_now_wall_ms(), .name = name};
        OK(shl_manifests_init(&m, c.b.store, "dir/db", false, &db_err));
        OK(shl_checkpoint_create(&m, &w, &manifest_id, &db_err));
        if (i != 2)
            OK(shl_checkpoint_delete(&m, name, &w.id, &db_err));
        shl_manifests_deinit(&m);
        snprintf(key, sizeof key, "dir/db/manifest/%020u.manifest", (unsigned)manifest_id);
        assert_true(is_there(&c.b, key));
    }
    collect(&c);
    struct shl_manifest *m = newest_manifest(&c.b, &newest);
    assert_int_equal(m->checkpoints.count, 1);
    assert_int_equal(objects_below(c.b.store, "dir/db/manifest"), 2);
    assert_int_equal(c.report.tasks[SHL_GC_MANIFEST].count, newest - 2);
    char key[64];
    snprintf(key, sizeof key, "dir/db/manifest/%020u.manifest",
             (unsigned)m->checkpoints.items[0].manifest_id);
    assert_true(is_there(&c.b, key));
    char want[16];
    snprintf(want, sizeof want, "%u", (unsigned)newest - 1);
    assert_string_equal(boundary_of(&c.b, "manifest"), want);
    shl_manifest_free(m);
    /* Its next id is free again, and does not count. */
    struct shl_buf body = {0};
    OK(shl_manifest_encode(stale.newest, &body, &db_err));
    FAILS(shl_sequenced_write(&stale.versions, shl_buf_view(&body), &db_err), SHALE_PRECONDITION);
    shl_buf_free(&body);
    OK(shl_manifests_load(&stale, &db_err));
    assert_int_equal(stale.versions.id, newest);
    shl_manifests_deinit(&stale);
    put(&c.b, "b", "2"); /* the writer goes on */
    bench_reopen(&c.b);
    expect_all(c.b.db, "a=1 b=2");
    collected_end(&c);
}

static void test_a_database_is_whole_behind_it(void **state)
{
    (void)state;
    struct collected c;
    collected_init(&c);
    bench_open(&c.b);
    for (int i = 0; i < 6; i++) {
        put(&c.b, "a", "1");
        put(&c.b, i % 2 == 0 ? "b" : "c", "2");
        OK(shl_lsm_flush(c.b.db, true, &db_err));
        if (i == 3) {
            compact(&c.b);
        }
    }
    env_sleep_ns(5 * ENV_NS_PER_MS); /* SSTs of the same millisecond as the cut-off stay */
    put(&c.b, "d", "3");
    compact(&c.b);
    size_t before = objects_below(c.b.store, "dir/db/compacted");
    for (int i = 0; i < 2; i++)
        collect(&c);
    assert_true(objects_below(c.b.store, "dir/db/compacted") <= before);
    assert_int_equal(objects_below(c.b.store, "dir/db/compactions"), 1);
    assert_int_equal(c.report.tasks[SHL_GC_MANIFEST].count, 0); /* the second pass has nothing */
    assert_true(c.report.tasks[SHL_GC_WAL_FENCE].dry_run);
    assert_true(c.report.tasks[SHL_GC_WAL_FENCE].count > 0);
    expect_all(c.b.db, "a=1 b=2 c=2 d=3");
    bench_reopen(&c.b);
    expect_all(c.b.db, "a=1 b=2 c=2 d=3");
    collected_end(&c);
}

/* A collector that has seen the database before it was deleted knows nothing of the one that was made in its place. */
static void test_a_database_that_was_made_anew_is_another(void **state)
{
    (void)state;
    struct collected c;
    struct shl_removed gone;
    collected_init(&c);
    bench_open(&c.b);
    for (int i = 0; i < 12; i++) {
        put(&c.b, "old", "1");
        OK(shl_lsm_flush(c.b.db, true, &db_err));
        if (i % 4 == 3)
            compact(&c.b);
    }
    OK(shl_lsm_close(c.b.db, &db_err));
    collect(&c);
    OK(shl_remove_run(&(struct shl_remove){.store = c.b.store, .path = "dir/db"}, &gone, &db_err));
    bench_open(&c.b);
    put(&c.b, "new", "2");
    OK(shl_lsm_flush(c.b.db, false, &db_err));
    collect(&c);
    bench_reopen(&c.b);
    expect_all(c.b.db, "new=2");
    collected_end(&c);
}

static void test_a_dry_run_changes_nothing(void **state)
{
    (void)state;
    struct collected c;
    uint64_t id_before, id_after;
    collected_init(&c);
    bench_open(&c.b);
    struct shl_lsm_checkpoint *k;
    OK(shl_lsm_checkpoint_begin(c.b.db, &(struct shl_lsm_checkpoint_how){.lifetime_ms = 1000}, &k,
                                &db_err));
    OK(shl_lsm_checkpoint_wait(k, &id_before, &db_err));
    shl_lsm_checkpoint_free(k);
    for (int i = 0; i < 4; i++)
        bench_reopen(&c.b);
    /* It expired long ago, without anybody having to wait for that. */
    struct shl_manifest *expired = newest_manifest(&c.b, &id_before);
    expired->checkpoints.items[0].expire_s = 1;
    write_manifest(&c.b, expired, id_before + 1);
    shl_manifest_free(expired);
    size_t before = objects_below(c.b.store, "dir/db");
    for (unsigned i = 0; i < SHL_GC_TASKS; i++)
        c.settings.tasks[i].dry_run = true;
    collect(&c);
    assert_true(c.report.tasks[SHL_GC_MANIFEST].count > 0);
    assert_int_equal(c.report.expired, 1);
    assert_int_equal(objects_below(c.b.store, "dir/db"), before);
    shl_manifest_free(newest_manifest(&c.b, &id_after));
    for (unsigned i = 0; i < SHL_GC_TASKS; i++)
        c.settings.tasks[i].dry_run = false;
    new_collector(&c);
    collect(&c);
    assert_int_equal(c.report.expired, 1);
    struct shl_manifest *m = newest_manifest(&c.b, &id_after);
    assert_int_equal(m->checkpoints.count, 0);
    shl_manifest_free(m);
    collected_end(&c);
}

static void test_only_objects_of_the_database_are_looked_at(void **state)
{
    (void)state;
    static const char *const others[] = {
        "dir/db/manifest/old/00000000000000000001.manifest",
        "dir/db/manifest/notes.txt",
        "dir/db/wal/00000000000000000001.sst.bak",
        "dir/db/compacted/db2/compacted/00000000010000000000000000.sst",
        "dir/dbx/manifest/00000000000000000001.manifest",
        "dir/db2/wal/00000000000000000001.sst",
    };
    struct collected c;
    collected_init(&c);
    bench_open(&c.b);
    put(&c.b, "a", "1");
    for (int i = 0; i < 4; i++)
        compact(&c.b);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        put_object(&c.b, others[i], "x");
    collect(&c);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        CHECK(is_there(&c.b, others[i]), "%s", others[i]);
    put_object(&c.b, "dir/db/manifest/old/00000000000000009999.manifest", "x");
    bench_reopen(&c.b); /* nor are they taken for versions of it */
    expect_all(c.b.db, "a=1");
    collected_end(&c);
}

static void test_a_checkpoint_without_its_manifest_stops_what_it_may_protect(void **state)
{
    (void)state;
    struct collected c;
    uint64_t manifest_id;
    char key[64];
    collected_init(&c);
    bench_open(&c.b);
    put(&c.b, "a", "1");
    struct shl_lsm_checkpoint *k;
    OK(shl_lsm_checkpoint_begin(c.b.db, &(struct shl_lsm_checkpoint_how){.name = "k"}, &k,
                                &db_err));
    OK(shl_lsm_checkpoint_wait(k, &manifest_id, &db_err));
    shl_lsm_checkpoint_free(k);
    bench_reopen(&c.b);
    snprintf(key, sizeof key, "dir/db/manifest/%020u.manifest", (unsigned)manifest_id);
    OK(shl_store_delete(c.b.store, key, &db_err));
    size_t before = objects_below(c.b.store, "dir/db");
    new_collector(&c);
    FAILS(shl_gc_run(c.gc, ALL, &c.report, &db_err), SHALE_CORRUPTION);
    assert_non_null(strstr(db_err.text, "which is missing"));
    assert_int_equal(objects_below(c.b.store, "dir/db"), before);
    collected_end(&c);
}

static bool stops_at_once(void *ctx)
{
    ++*(unsigned *)ctx;
    return true;
}

/* A thousand checkpoints are a thousand requests. */
static void test_it_stops_before_it_knows_all_checkpoints(void **state)
{
    (void)state;
    struct collected c;
    unsigned asked = 0;
    collected_init(&c);
    bench_open(&c.b);
    for (unsigned i = 0; i < 3; i++) {
        put(&c.b, "a", "1");
        compact(&c.b);
        struct shl_lsm_checkpoint *k;
        uint64_t manifest_id;
        OK(shl_lsm_checkpoint_begin(c.b.db, &(struct shl_lsm_checkpoint_how){.name = NULL}, &k,
                                    &db_err));
        OK(shl_lsm_checkpoint_wait(k, &manifest_id, &db_err));
        shl_lsm_checkpoint_free(k);
    }
    size_t before = objects_below(c.b.store, "dir/db");
    struct shl_gc_open o = {.store = c.b.store,
                            .wal_store = c.b.wal_store,
                            .path = "dir/db",
                            .settings = &c.settings,
                            .stopped = stops_at_once,
                            .stopped_ctx = &asked};
    OK(shl_gc_new(&o, &c.gc, &db_err));
    OK(shl_gc_run(c.gc, ALL, &c.report, &db_err));
    assert_true(c.report.stopped);
    assert_int_equal(asked, 2); /* before the first of them */
    assert_int_equal(objects_below(c.b.store, "dir/db"), before);
    collected_end(&c);
}

static void test_no_database(void **state)
{
    (void)state;
    struct collected c;
    collected_init(&c);
    new_collector(&c);
    FAILS(shl_gc_run(c.gc, ALL, &c.report, &db_err), SHALE_NOT_FOUND);
    collected_end(&c);
}

/* A store that cannot overwrite conditionally: the boundary can be made, but not moved. */
static void test_a_store_without_if_match(void **state)
{
    (void)state;
    struct collected c;
    collected_init(&c);
    c.b.store->caps &= ~(unsigned)SHL_STORE_IF_MATCH;
    bench_open(&c.b);
    put(&c.b, "a", "1");
    bench_reopen(&c.b);
    collect(&c);
    assert_int_equal(c.report.tasks[SHL_GC_MANIFEST].code, SHALE_OK);
    assert_true(c.report.tasks[SHL_GC_MANIFEST].count > 0);
    bench_reopen(&c.b);
    collect(&c);
    assert_int_equal(c.report.tasks[SHL_GC_MANIFEST].code, SHALE_NOT_SUPPORTED);
    assert_int_equal(c.report.tasks[SHL_GC_MANIFEST].count, 0);
    assert_true(objects_below(c.b.store, "dir/db/manifest") > 1);
    c.settings.boundary_files = false;
    new_collector(&c);
    collect(&c);
    assert_int_equal(objects_below(c.b.store, "dir/db/manifest"), 1);
    collected_end(&c);
}

static void test_more_than_a_thousand_manifests(void **state)
{
    (void)state;
    struct collected c;
    struct shl_manifests m;
    struct shl_ulid id;
    uint64_t manifest_id;
    collected_init(&c);
    bench_open(&c.b);
    put(&c.b, "a", "1");
    OK(shl_lsm_flush(c.b.db, true, &db_err));
    OK(shl_manifests_init(&m, c.b.store, "dir/db", false, &db_err));
    struct shl_checkpoint_want w = {
        .id = shl_checkpoint_new_id(), .now_ms = env_now_wall_ms(), .name = "k"};
    OK(shl_checkpoint_create(&m, &w, &manifest_id, &db_err));
    for (int i = 0; i < 1250; i++)
        OK(shl_checkpoint_refresh(&m, "k", 60000, &id, &db_err));
    shl_manifests_deinit(&m);
    assert_true(objects_below(c.b.store, "dir/db/manifest") > 1250);
    collect(&c);
    assert_int_equal(objects_below(c.b.store, "dir/db/manifest"), 2);
    assert_true(c.report.tasks[SHL_GC_MANIFEST].count > 1200);
    put(&c.b, "b", "2");
    bench_reopen(&c.b);
    expect_all(c.b.db, "a=1 b=2");
    collected_end(&c);
}

/* ---------------------------------------------------------------- two collectors */

/* Before the first look at a manifest somebody lets go of the checkpoint at it, and another collector takes it. */
struct rival {
    struct shl_hooked hooked;
    struct bench *b;
    char key[64];
    bool struck;
};

static shale_code strike(struct shl_store *s, struct shl_call *call, shale_error *err)
{
    struct rival *r = (struct rival *)(void *)s;
    struct shl_manifests m;
    struct shl_ulid id;
    (void)err;
    if (r->struck || call->key == NULL || strcmp(call->key, r->key) != 0)
        return SHALE_OK;
    r->struck = true;
    OK(shl_manifests_init(&m, r->b->store, "dir/db", false, &db_err));
    OK(shl_checkpoint_delete(&m, "k", &id, &db_err));
    shl_manifests_deinit(&m);
    OK(shl_store_delete(r->b->store, r->key, &db_err));
    return SHALE_OK;
}

static shale_code pass_on(struct shl_store *s, struct shl_call *call, shale_code code,
                          shale_error *err)
{
    (void)s;
    (void)call;
    (void)err;
    return code;
}

static void nothing_added(struct shl_store *s)
{
    (void)s;
}

static void test_another_collector_was_quicker(void **state)
{
    static const struct shl_hooks hooks = {
        .begin = strike, .end = pass_on, .deinit = nothing_added};
    (void)state;
    struct collected c;
    struct shl_manifests m;
    struct shl_hooked *h;
    uint64_t manifest_id;
    collected_init(&c);
    bench_open(&c.b);
    put(&c.b, "a", "1");
    OK(shl_lsm_flush(c.b.db, true, &db_err));
    OK(shl_manifests_init(&m, c.b.store, "dir/db", false, &db_err));
    struct shl_checkpoint_want w = {
        .id = shl_checkpoint_new_id(), .now_ms = env_now_wall_ms(), .name = "k"};
    OK(shl_checkpoint_create(&m, &w, &manifest_id, &db_err));
    shl_manifests_deinit(&m);
    put(&c.b, "b", "2");
    OK(shl_lsm_flush(c.b.db, true, &db_err));
    OK(shl_hooked_new(sizeof(struct rival), c.b.store, &hooks, &h, &db_err));
    struct rival *r = (struct rival *)(void *)h;
    r->b = &c.b;
    snprintf(r->key, sizeof r->key, "dir/db/manifest/%020u.manifest", (unsigned)manifest_id);
    struct shl_gc_open o = {.store = &h->wrap.base, .path = "dir/db", .settings = &c.settings};
    OK(shl_gc_new(&o, &c.gc, &db_err));
    collect(&c);
    assert_true(r->struck);
    shl_store_unref(&h->wrap.base);
    bench_reopen(&c.b);
    expect_all(c.b.db, "a=1 b=2");
    collected_end(&c);
}

/* ---------------------------------------------------------------- a boundary that came damaged */

struct garbler {
    struct shl_hooked hooked;
    unsigned left; /* so many times */
};

static shale_code let_go_on(struct shl_store *s, struct shl_call *call, shale_error *err)
{
    (void)s;
    (void)call;
    (void)err;
    return SHALE_OK;
}

static shale_code garble(struct shl_store *s, struct shl_call *call, shale_code code,
                         shale_error *err)
{
    struct garbler *g = (struct garbler *)(void *)s;
    (void)err;
    if (code == SHALE_OK && call->body != NULL && g->left > 0 &&
        strcmp(call->key, "dir/db/gc/manifest.boundary") == 0) {
        g->left--;
        call->body->data[call->body_from] = '<';
    }
    return code;
}

static void test_a_boundary_that_came_damaged_is_read_once_more(void **state)
{
    static const struct shl_hooks hooks = {
        .begin = let_go_on, .end = garble, .deinit = nothing_added};
    (void)state;
    struct collected c;
    struct shl_hooked *h;
    collected_init(&c);
    bench_open(&c.b);
    put_object(&c.b, "dir/db/gc/manifest.boundary", "0");
    OK(shl_hooked_new(sizeof(struct garbler), c.b.store, &hooks, &h, &db_err));
    for (unsigned times = 1; times <= 100; times += 99) {
        struct shl_manifests m;
        ((struct garbler *)(void *)h)->left = times;
        OK(shl_manifests_init(&m, &h->wrap.base, "dir/db", false, &db_err));
        if (times == 1)
            OK(shl_manifests_load(&m, &db_err));
        else
            FAILS(shl_manifests_load(&m, &db_err), SHALE_CORRUPTION);
        shl_manifests_deinit(&m);
    }
    shl_store_unref(&h->wrap.base);
    collected_end(&c);
}

/* ---------------------------------------------------------------- a version that grows behind the LIST */

struct grower {
    struct shl_hooked hooked;
    struct shl_store *inner;
    unsigned left, size;
};

static void put_version(struct shl_store *s, unsigned size)
{
    static const uint8_t bytes[100];
    struct shl_slice body = {.data = bytes, .len = size};
    static const struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    OK(shl_store_put(s, "db/manifest/00000000000000000007.manifest", &body, 1, &how, NULL,
                     &db_err));
}

static shale_code grow(struct shl_store *s, struct shl_call *call, shale_error *err)
{
    struct grower *g = (struct grower *)(void *)s;
    (void)err;
    if (call->kind == SHL_KIND_GET && strstr(call->key, ".manifest") != NULL && g->left > 0) {
        g->left--;
        put_version(g->inner, ++g->size);
    }
    return SHALE_OK;
}

/* No more is read of a version than the LIST said that it has; one that was put anew is listed anew. */
static void test_a_version_that_is_larger_than_listed(void **state)
{
    static const struct shl_hooks hooks = {.begin = grow, .end = pass_on, .deinit = nothing_added};
    (void)state;
    struct bench b;
    struct shl_hooked *h;
    struct shl_db_paths paths = {0};
    bench_init(&b);
    OK(shl_db_paths_init(&paths, "db", &db_err));
    OK(shl_hooked_new(sizeof(struct grower), b.store, &hooks, &h, &db_err));
    struct grower *g = (struct grower *)(void *)h;
    g->inner = b.store;
    g->size = 10;
    put_version(b.store, g->size);
    for (unsigned times = 0; times <= 2; times++) {
        struct shl_sequenced q;
        struct shl_buf body = {0};
        bool changed;
        g->left = times;
        shl_sequenced_init(&q, &h->wrap.base, &paths, "manifest", NULL);
        if (times < 2) {
            OK(shl_sequenced_load(&q, &body, &changed, &db_err));
            assert_int_equal(body.len, g->size);
        } else {
            FAILS(shl_sequenced_load(&q, &body, &changed, &db_err), SHALE_CORRUPTION);
            assert_non_null(strstr(db_err.text, "has 13 bytes, and no more than 12 are expected"));
        }
        shl_buf_free(&body);
    }
    shl_store_unref(&h->wrap.base);
    shl_db_paths_deinit(&paths);
    bench_end(&b);
}

/* ---------------------------------------------------------------- a fenced writer */

/* What it uploaded and cannot publish goes with it; what a manifest names stays. */
static void test_a_fenced_writer_takes_its_uploads_along(void **state)
{
    (void)state;
    struct collected c;
    struct shl_lsm *old, *fresh;
    collected_init(&c);
    bench_open(&c.b);
    put(&c.b, "a", "1");
    OK(shl_lsm_flush(c.b.db, true, &db_err));
    old = c.b.db;
    put(&c.b, "b", "2");
    OK(shl_lsm_flush(c.b.db, false,
                     &db_err)); /* so that the table waits for nothing but the manifest */
    OK(try_open(&c.b, &fresh));
    FAILS(shl_lsm_flush(old, true, &db_err), SHALE_FENCED);
    assert_int_equal(objects_below(c.b.store, "dir/db/compacted"), 2);
    OK(shl_lsm_close(old, &db_err));
    assert_int_equal(objects_below(c.b.store, "dir/db/compacted"), 1);
    c.b.db = fresh;
    expect_all(c.b.db, "a=1 b=2");
    bench_reopen(&c.b);
    expect_all(c.b.db, "a=1 b=2");
    collected_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_garbage),
        cmocka_unit_test(test_ssts_in_use_and_the_cutoff),
        cmocka_unit_test(test_old_manifests_go_and_the_boundary_is_there_before),
        cmocka_unit_test(test_a_database_is_whole_behind_it),
        cmocka_unit_test(test_a_database_that_was_made_anew_is_another),
        cmocka_unit_test(test_a_dry_run_changes_nothing),
        cmocka_unit_test(test_only_objects_of_the_database_are_looked_at),
        cmocka_unit_test(test_a_checkpoint_without_its_manifest_stops_what_it_may_protect),
        cmocka_unit_test(test_it_stops_before_it_knows_all_checkpoints),
        cmocka_unit_test(test_no_database),
        cmocka_unit_test(test_a_store_without_if_match),
        cmocka_unit_test(test_more_than_a_thousand_manifests),
        cmocka_unit_test(test_another_collector_was_quicker),
        cmocka_unit_test(test_a_boundary_that_came_damaged_is_read_once_more),
        cmocka_unit_test(test_a_version_that_is_larger_than_listed),
        cmocka_unit_test(test_a_fenced_writer_takes_its_uploads_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
