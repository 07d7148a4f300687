/* Clones, restoring and deleting.
 *
 * Goal: a clone shows exactly its ranges and goes its own way, a restored database is the checkpoint's and loses nothing, deleting gives up what was held; and each can be
 * cut off at every request and called again. Method: databases in one memory store; the fault wrapper fails the nth call, before or after its effect. */
#include "lsm/keep/checkpoint.h"
#include "lsm/keep/clone.h"
#include "lsm/keep/gc.h"
#include "lsm/keep/manifest_edit.h"
#include "lsm/keep/remove.h"
#include "store/wrap_fault.h"
#include "store/wrap_hook.h"
#include "unit/support_db.h"

/* A bench whose database may have another path. */
static struct shl_lsm *open_at(struct bench *b, const char *path)
{
    struct shl_lsm *db;
    struct shl_lsm_open o = bench_options(b);
    o.path = path;
    OK(shl_lsm_open_writer(&o, &db, &db_err));
    return db;
}

static void expect_at(struct bench *b, const char *path, const char *checkpoint, const char *rows)
{
    struct shl_lsm *r;
    struct shl_lsm_open o = bench_options(b);
    struct shl_lsm_reader how = {.mode =
                                     checkpoint != NULL ? SHL_READER_CHECKPOINT : SHL_READER_LATEST,
                                 .checkpoint = checkpoint};
    o.path = path;
    OK(shl_lsm_open_reader(&o, &how, &r, &db_err));
    expect_all(r, rows);
    OK(shl_lsm_close(r, &db_err));
}

/* Two levels: a run with a to d, an L0 that changes b, and e in the WAL unless it is flushed. */
static void make_source(struct bench *b, bool flushed)
{
    bench_init(b);
    b->settings.gc.enabled = false;
    bench_open(b);
    put(b, "a", "1");
    put(b, "b", "1");
    OK(shl_lsm_flush(b->db, true, &db_err));
    put(b, "c", "1");
    put(b, "d", "1");
    OK(shl_lsm_flush(b->db, true, &db_err));
    compact(b);
    put(b, "b", "2");
    OK(shl_lsm_flush(b->db, true, &db_err));
    put(b, "e", "1");
    OK(shl_lsm_flush(b->db, flushed, &db_err));
    if (!flushed) { /* a manifest that knows of the WAL object */
        struct shl_lsm_checkpoint *c;
        uint64_t manifest_id;
        OK(shl_lsm_checkpoint_begin(
            b->db, &(struct shl_lsm_checkpoint_how){.durable_only = true, .name = "wal"}, &c,
            &db_err));
        OK(shl_lsm_checkpoint_wait(c, &manifest_id, &db_err));
        shl_lsm_checkpoint_free(c);
    }
}

static struct shl_bytes_range range_between(const char *from, const char *to)
{
    struct shl_bytes_range r = {
        .start = {.type = from != NULL ? SHL_BOUND_INCLUDED : SHL_BOUND_UNBOUNDED},
        .end = {.type = to != NULL ? SHL_BOUND_EXCLUDED : SHL_BOUND_UNBOUNDED}};
    if (from != NULL)
        OK(shl_buf_set(&r.start.key, shl_slice_str(from), &db_err));
    if (to != NULL)
        OK(shl_buf_set(&r.end.key, shl_slice_str(to), &db_err));
    return r;
}

static shale_code try_clone(struct shl_store *store, const char *path,
                            const struct shl_clone_source *sources, size_t count,
                            struct shl_cloned *done)
{
    struct shl_clone c = {.store = store, .path = path, .sources = sources, .source_count = count};
    return shl_clone_run(&c, done, &db_err);
}

static size_t checkpoints_of(struct bench *b, const char *path, bool endless)
{
    struct shl_manifests m;
    size_t n = 0;
    OK(shl_manifests_init(&m, b->store, path, false, &db_err));
    OK(shl_manifests_load(&m, &db_err));
    for (size_t i = 0; i < m.newest->checkpoints.count; i++)
        n += !endless || (m.newest->checkpoints.items[i].expire_s == 0 &&
                          m.newest->checkpoints.items[i].name == NULL);
    shl_manifests_deinit(&m);
    return n;
}

static void collect(struct bench *b, const char *path)
{
    struct shl_gc *gc;
    struct shl_gc_report report;
    struct shl_gc_settings s;
    shl_gc_settings_default(&s);
    for (unsigned i = 0; i < SHL_GC_TASKS; i++)
        s.tasks[i].min_age_ns = 0;
    OK(shl_gc_new(&(struct shl_gc_open){.store = b->store, .path = path, .settings = &s}, &gc,
                  &db_err));
    OK(shl_gc_run(gc, (1U << SHL_GC_TASKS) - 1, &report, &db_err));
    shl_gc_free(gc);
}

/* ---------------------------------------------------------------- clones */

static void test_a_clone_goes_its_own_way(void **state)
{
    (void)state;
    struct bench b;
    struct shl_cloned done;
    struct shl_clone_source s = {.path = "dir/db", .checkpoint = "wal"};
    make_source(&b, false);
    OK(try_clone(b.store, "dir/copy", &s, 1, &done));
    assert_false(done.was_there);
    assert_true(done.wal_objects > 0);
    expect_at(&b, "dir/copy", NULL, "a=1 b=2 c=1 d=1 e=1");
    size_t before = objects_below(b.store, "dir/db/compacted");
    assert_int_equal(objects_below(b.store, "dir/copy/compacted"), 0);
    struct shl_lsm *copy = open_at(&b, "dir/copy");
    struct bench c = b;
    c.db = copy;
    put(&c, "a", "mine");
    put(&b, "b", "theirs");
    OK(shl_lsm_close(copy, &db_err));
    bench_reopen(&b);
    expect_at(&b, "dir/copy", NULL, "a=mine b=2 c=1 d=1 e=1");
    expect_all(b.db, "a=1 b=theirs c=1 d=1 e=1");
    assert_true(objects_below(b.store, "dir/db/compacted") >= before);
    OK(try_clone(b.store, "dir/copy", &s, 1, &done)); /* once more: it is that clone */
    assert_true(done.was_there);
    assert_int_equal(checkpoints_of(&b, "dir/db", true), 1);
    bench_end(&b);
}

/* The source may rewrite and collect as it likes; a clone of the clone stands on both. */
static void test_what_is_borrowed_stays_and_is_let_go_of(void **state)
{
    (void)state;
    struct bench b;
    struct shl_cloned done;
    make_source(&b, true);
    OK(try_clone(b.store, "copy", &(struct shl_clone_source){.path = "dir/db"}, 1, &done));
    OK(try_clone(b.store, "grand", &(struct shl_clone_source){.path = "copy"}, 1, &done));
    for (int i = 0; i < 3; i++) {
        put(&b, "a", "9");
        OK(shl_lsm_flush(b.db, true, &db_err));
        compact(&b);
        collect(&b, "dir/db");
    }
    expect_at(&b, "copy", NULL, "a=1 b=2 c=1 d=1 e=1");
    expect_at(&b, "grand", NULL, "a=1 b=2 c=1 d=1 e=1");
    /* Compacted in full, the clones need nothing any more. */
    struct bench c = b;
    c.db = NULL;
    c.settings.compactor_enabled = true;
    c.settings.compactor_checkpoint_lifetime_ns = 0;
    static const char *const paths[] = {"grand", "copy"};
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 6; k++) {
            c.db = open_at(&c, paths[i]);
            put(&c, "z", "1");
            OK(shl_lsm_settle(c.db, &db_err));
            OK(shl_lsm_close(c.db, &db_err));
        }
        env_sleep_ns(1100 * ENV_NS_PER_MS); /* the compactor's checkpoint of a second is over */
        collect(&b, paths[i]);
    }
    struct shl_manifests m;
    OK(shl_manifests_init(&m, b.store, "grand", false, &db_err));
    OK(shl_manifests_load(&m, &db_err));
    bool free_of_all = m.newest->external_dbs.count == 0;
    shl_manifests_deinit(&m);
    if (free_of_all) /* the plan may leave a borrowed run at rest */
        assert_true(checkpoints_of(&b, "dir/db", true) <= 1);
    expect_at(&b, "grand", NULL, "a=1 b=2 c=1 d=1 e=1 z=1");
    bench_end(&b);
}

static void test_parts_and_unions(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *want;
    } cases[] = {
        {NULL, NULL, "a=1 b=2 c=1 d=1 e=1"},
        {"b", "d", "b=2 c=1"},
        {"bb", NULL, "c=1 d=1 e=1"},
        {NULL, "b", "a=1"},
        {"x", NULL, ""},
        {"a", "a0", "a=1"},
    };
    struct bench b;
    struct shl_cloned done;
    make_source(&b, true);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[16];
        struct shl_bytes_range r = range_between(cases[i].from, cases[i].to);
        struct shl_clone_source s = {.path = "dir/db", .range = &r};
        snprintf(path, sizeof path, "part%zu", i);
        OK(try_clone(b.store, path, &s, 1, &done));
        expect_at(&b, path, NULL, cases[i].want);
        OK(shl_lsm_close(open_at(&b, path), &db_err)); /* it can be written */
        expect_at(&b, path, NULL, cases[i].want);
        shl_bytes_range_deinit(&r);
    }
    struct shl_bytes_range low = range_between(NULL, "b"), high = range_between("d", NULL),
                           all = range_between("c", NULL);
    struct shl_clone_source two[] = {{.path = "dir/db", .range = &high},
                                     {.path = "part0", .range = &low}};
    OK(try_clone(b.store, "both", two, 2, &done));
    expect_at(&b, "both", NULL, "a=1 d=1 e=1");
    struct bench c = b;
    c.db = open_at(&b, "both");
    put(&c, "b", "new");
    OK(shl_lsm_close(c.db, &db_err));
    expect_at(&b, "both", NULL, "a=1 b=new d=1 e=1");
    two[1].range = &all;
    FAILS(try_clone(b.store, "over", two, 2, &done), SHALE_INVALID);
    assert_non_null(strstr(db_err.text, "overlap"));
    assert_int_equal(objects_below(b.store, "over"), 0);
    shl_bytes_range_deinit(&low);
    shl_bytes_range_deinit(&high);
    shl_bytes_range_deinit(&all);
    bench_end(&b);
}

static shale_code want_segment(const void *ctx, struct shl_slice prefix, bool *wanted,
                               struct shl_bytes_range *only, shale_error *error)
{
    (void)ctx;
    *wanted = !shl_slice_eq(prefix, shl_slice_str("a/"));
    if (!shl_slice_eq(prefix, shl_slice_str("c/")))
        return SHALE_OK;
    only->end.type = SHL_BOUND_EXCLUDED;
    return shl_buf_set(&only->end.key, shl_slice_str("c/2"), error);
}

static void test_segments_are_chosen(void **state)
{
    (void)state;
    struct bench b;
    struct shl_cloned done;
    const struct shl_slice two[] = {shl_slice_str("c/"), shl_slice_str("a/")};
    const struct shl_slice other[] = {shl_slice_str("d/")};
    bench_init(&b);
    assert_true(shl_extractor_parse("slash", &b.settings.segment_extractor));
    bench_open(&b);
    for (unsigned round = 1; round <= 2; round++)
        for (const char *seg = "abc"; *seg != '\0'; seg++) {
            char key[] = {*seg, '/', (char)('0' + round), '\0'};
            put(&b, key, key);
            OK(shl_lsm_flush(b.db, true, &db_err));
        }
    struct shl_clone_source s = {.path = "dir/db", .segments = two, .segment_count = 2};
    OK(try_clone(b.store, "named", &s, 1, &done));
    expect_at(&b, "named", NULL, "a/1=a/1 a/2=a/2 c/1=c/1 c/2=c/2");
    assert_int_equal(done.ssts, 4);
    s = (struct shl_clone_source){.path = "dir/db", .segment = want_segment};
    OK(try_clone(b.store, "asked", &s, 1, &done));
    expect_at(&b, "asked", NULL, "b/1=b/1 b/2=b/2 c/1=c/1");
    s = (struct shl_clone_source){
        .path = "dir/db", .segments = two, .segment_count = 2, .segment = want_segment};
    OK(try_clone(b.store, "both", &s, 1, &done));
    expect_at(&b, "both", NULL, "c/1=c/1");
    s = (struct shl_clone_source){.path = "dir/db", .segments = other, .segment_count = 1};
    FAILS(try_clone(b.store, "none", &s, 1, &done), SHALE_NOT_FOUND);
    assert_non_null(strstr(db_err.text, "has no segment with prefix \"d/\""));
    put(&b, "b/3", "in the WAL");
    OK(shl_lsm_flush(b.db, false, &db_err));
    s = (struct shl_clone_source){.path = "dir/db", .segments = two, .segment_count = 2};
    FAILS(try_clone(b.store, "none", &s, 1, &done), SHALE_INVALID);
    assert_int_equal(objects_below(b.store, "none"), 0);
    bench_end(&b);
    make_source(&b, true);
    FAILS(try_clone(b.store, "none", &s, 1, &done), SHALE_INVALID);
    assert_non_null(strstr(db_err.text, "no segments to choose from"));
    bench_end(&b);
}

static void test_what_cannot_be_cloned(void **state)
{
    (void)state;
    struct bench b;
    struct shl_cloned done;
    struct shl_bytes_range r = range_between("a", "c");
    make_source(&b, false);
    struct shl_clone_source s[] = {{.path = "dir/db"}, {.path = "dir/db"}};
    FAILS(try_clone(b.store, "x", s, 0, &done), SHALE_INVALID);
    FAILS(try_clone(b.store, "x", s, 2, &done), SHALE_INVALID);
    FAILS(try_clone(b.store, "dir/db", s, 1, &done), SHALE_INVALID);
    s[0].range = &r;
    FAILS(try_clone(b.store, "x", s, 1, &done), SHALE_INVALID);
    assert_non_null(strstr(db_err.text, "only in the WAL"));
    s[0] = (struct shl_clone_source){.path = "none"};
    FAILS(try_clone(b.store, "x", s, 1, &done), SHALE_NOT_FOUND);
    s[0] = (struct shl_clone_source){.path = "dir/db", .checkpoint = "none"};
    FAILS(try_clone(b.store, "x", s, 1, &done), SHALE_NOT_FOUND);
    assert_int_equal(objects_below(b.store, "x"), 0);
    s[0] = (struct shl_clone_source){.path = "dir/db"};
    OK(shl_lsm_close(open_at(&b, "other"), &db_err));
    FAILS(try_clone(b.store, "other", s, 1, &done), SHALE_ALREADY_EXISTS);
    OK(try_clone(b.store, "x", s, 1, &done));
    s[0].checkpoint = "wal";
    FAILS(try_clone(b.store, "x", s, 1, &done), SHALE_ALREADY_EXISTS);
    shl_bytes_range_deinit(&r);
    bench_end(&b);
}

/* ---------------------------------------------------------------- the WAL in another store */

static struct shl_lsm_open options_at(struct bench *b, const char *path,
                                      struct shl_store *wal_store)
{
    struct shl_lsm_open o = bench_options(b);
    o.path = path;
    o.wal_store = wal_store;
    return o;
}

static shale_code try_reader_at(struct bench *b, const char *path, struct shl_store *wal_store)
{
    struct shl_lsm *db;
    struct shl_lsm_open o = options_at(b, path, wal_store);
    shale_code rc =
        shl_lsm_open_reader(&o, &(struct shl_lsm_reader){.mode = SHL_READER_LATEST}, &db, &db_err);
    if (rc == SHALE_OK)
        OK(shl_lsm_close(db, &db_err));
    return rc;
}

static void expect_wal_in(struct bench *b, const char *path, struct shl_store *right,
                          struct shl_store *wrong)
{
    struct shl_lsm *db;
    struct shl_lsm_open o = options_at(b, path, wrong);
    FAILS(try_reader_at(b, path, wrong), SHALE_CORRUPTION);
    assert_non_null(strstr(db_err.text, "(wal_url)?"));
    FAILS(shl_lsm_open_writer(&o, &db, &db_err), SHALE_CORRUPTION);
    assert_non_null(strstr(db_err.text, "(wal_url)?"));
    assert_int_equal(objects_below(wrong != NULL ? wrong : b->store, "copy/wal"), 0);
    OK(try_reader_at(b, path, right));
}

static void restore_to_here(struct bench *b, const char *path, struct shl_store *wal_store)
{
    struct shl_manifests m;
    struct shl_lsm_restored done;
    uint64_t id;
    struct shl_lsm_open o = options_at(b, path, wal_store);
    OK(shl_manifests_init(&m, b->store, path, false, &db_err));
    OK(shl_manifests_load(&m, &db_err));
    OK(shl_checkpoint_create(
        &m, &(struct shl_checkpoint_want){.id = shl_checkpoint_new_id(), .name = "here"}, &id,
        &db_err));
    shl_manifests_deinit(&m);
    OK(shl_lsm_restore(&o, "here", 0, &done, &db_err));
}

/* From the opening on, whatever became of its rows and SSTs: an open writer leaves what one that crashes does. */
static void check_each_state(struct bench *b, const char *path, struct shl_store *right,
                             struct shl_store *wrong)
{
    struct bench c = *b;
    c.settings.compactor_enabled = true;
    struct shl_lsm_open o = options_at(&c, path, right);
    OK(shl_lsm_open_writer(&o, &c.db, &db_err));
    expect_wal_in(b, path, right, wrong);
    put(&c, "e", "2");
    OK(shl_lsm_flush(c.db, false, &db_err));
    expect_wal_in(b, path, right, wrong);
    for (int i = 0; i < 4; i++) {
        OK(shl_lsm_flush(c.db, true, &db_err));
        expect_wal_in(b, path, right, wrong);
        put(&c, "f", "2");
        OK(shl_lsm_flush(c.db, false, &db_err));
    }
    OK(shl_lsm_flush(c.db, true, &db_err));
    OK(shl_lsm_settle(c.db, &db_err));
    expect_wal_in(b, path, right, wrong);
    OK(shl_lsm_close(c.db, &db_err));
    restore_to_here(b, path, right);
    expect_wal_in(b, path, right, wrong);
    collect(b, path);
    expect_wal_in(b, path, right, wrong);
}

static void make_clone_with_wal_in(struct bench *b, const char *path, struct shl_store *wal_store)
{
    struct shl_cloned done;
    struct shl_clone_source s = {.path = "dir/db"};
    struct shl_clone c = {
        .store = b->store, .wal_store = wal_store, .path = path, .sources = &s, .source_count = 1};
    bench_init(b);
    b->settings.gc.enabled = false;
    b->wal_store = wal_store;
    bench_open(b);
    put(b, "a", "1");
    OK(shl_lsm_flush(b->db, true, &db_err));
    put(b, "e", "1");
    OK(shl_lsm_flush(b->db, false, &db_err));
    OK(shl_lsm_flush(b->db, true, &db_err));
    bench_close(b);
    c.store = b->store;
    OK(shl_clone_run(&c, &done, &db_err));
    assert_int_equal(done.wal_objects, 0); /* all its rows are in L0: the boundary is the end */
}

static void test_the_wal_of_a_clone_is_not_mistaken(void **state)
{
    (void)state;
    for (int beside = 0; beside < 2; beside++) {
        struct bench b;
        struct shl_store *other;
        OK(shl_store_memory_new(&other, &db_err));
        struct shl_store *right = beside ? NULL : other, *wrong = beside ? other : NULL;
        make_clone_with_wal_in(&b, "copy", right);
        expect_wal_in(&b, "copy", right, wrong);
        check_each_state(&b, "copy", right, wrong);
        b.wal_store = NULL;
        bench_end(&b);
        shl_store_unref(other);
    }
}

static shale_code edit_like_slatedb(struct shl_manifest *m, uint64_t id, void *arg,
                                    shale_error *err)
{
    (void)id;
    (void)arg;
    (void)err;
    m->replay_after_wal_id = --m->wal_id_last_seen;
    return SHALE_OK;
}

/* A clone without WAL objects, whose manifest names the boundary of the source. */
static void unlearn_the_fence(struct bench *b, const char *path, struct shl_store *wal_store)
{
    struct shl_manifests m;
    struct shl_store *s = wal_store != NULL ? wal_store : b->store;
    OK(shl_manifests_init(&m, b->store, path, false, &db_err));
    OK(shl_manifests_load(&m, &db_err));
    assert_int_equal(m.newest->wal_id_last_seen, m.newest->replay_after_wal_id + 1);
    char *key = shl_name_wal(&m.paths, m.newest->wal_id_last_seen);
    OK(shl_store_delete(s, key, &db_err));
    env_free(key);
    OK(shl_manifests_update(&m, edit_like_slatedb, NULL, &db_err));
    shl_manifests_deinit(&m);
}

static void test_a_clone_without_a_wal_is_opened_and_told_of(void **state)
{
    (void)state;
    for (int beside = 0; beside < 2; beside++) {
        struct bench b;
        struct shl_store *other;
        OK(shl_store_memory_new(&other, &db_err));
        struct shl_store *right = beside ? NULL : other, *wrong = beside ? other : NULL;
        make_clone_with_wal_in(&b, "copy", right);
        unlearn_the_fence(&b, "copy", right);
        OK(try_reader_at(&b, "copy", right));
        OK(try_reader_at(&b, "copy", wrong)); /* there is nothing to be missed yet */
        check_each_state(&b, "copy", right, wrong);
        b.wal_store = NULL;
        bench_end(&b);
        shl_store_unref(other);
    }
}

/* A writer that tells nothing, as SlateDB's: its WAL is found beside the clone. */
static void test_the_wal_beside_a_silent_clone_is_seen(void **state)
{
    (void)state;
    struct bench b;
    struct shl_store *other;
    OK(shl_store_memory_new(&other, &db_err));
    make_clone_with_wal_in(&b, "copy", NULL);
    unlearn_the_fence(&b, "copy", NULL);
    struct shl_manifests m;
    OK(shl_manifests_init(&m, b.store, "copy", false, &db_err));
    OK(shl_manifests_load(&m, &db_err));
    char *key = shl_name_wal(&m.paths, m.newest->replay_after_wal_id + 1);
    OK(shl_store_put(b.store, key, NULL, 0, &(struct shl_put){.mode = SHL_PUT_CREATE}, NULL,
                     &db_err));
    env_free(key);
    shl_manifests_deinit(&m);
    FAILS(try_reader_at(&b, "copy", other), SHALE_INVALID);
    assert_non_null(strstr(db_err.text, "has its WAL beside it"));
    OK(try_reader_at(&b, "copy", NULL));
    bench_end(&b);
    shl_store_unref(other);
}

/* ---------------------------------------------------------------- cut off at every request */

struct cut {
    enum shl_fault_effect effect;
    bool sticky;
};
static const struct cut cuts[] = {{SHL_FAULT_BEFORE, false},
                                  {SHL_FAULT_AFTER, false},
                                  {SHL_FAULT_BEFORE, true},
                                  {SHL_FAULT_AFTER, true}};

static void test_a_clone_is_gone_on_with(void **state)
{
    (void)state;
    struct shl_clone_source s = {.path = "dir/db", .checkpoint = "wal"};
    for (size_t k = 0; k < sizeof cuts / sizeof cuts[0]; k++) {
        bool fired = true;
        for (uint64_t nth = 0; fired; nth++) {
            struct bench b;
            struct shl_store *faulty;
            struct shl_cloned done;
            make_source(&b, false);
            OK(shl_store_fault_new(&faulty, b.store, 1, &db_err));
            (void)shl_store_fault_add(faulty, &(struct shl_fault_rule){.nth = nth,
                                                                       .sticky = cuts[k].sticky,
                                                                       .effect = cuts[k].effect});
            shale_code rc = try_clone(faulty, "copy", &s, 1, &done);
            fired = shl_store_fault_fired(faulty, 0) > 0;
            CHECK(rc == SHALE_OK || fired, "failed unprovoked");
            shl_store_unref(faulty);
            OK(try_clone(b.store, "copy", &s, 1, &done));
            expect_at(&b, "copy", NULL, "a=1 b=2 c=1 d=1 e=1");
            assert_int_equal(checkpoints_of(&b, "dir/db", true), 1);
            collect(&b, "dir/db");
            expect_at(&b, "copy", NULL, "a=1 b=2 c=1 d=1 e=1");
            bench_end(&b);
        }
    }
}

static shale_code try_restore(struct bench *b, struct shl_store *store, const char *checkpoint,
                              struct shl_lsm_restored *done)
{
    struct shl_lsm_open o = bench_options(b);
    o.store = store;
    return shl_lsm_restore(&o, checkpoint, 0, done, &db_err);
}

static void test_restoring_is_all_or_nothing(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof cuts / sizeof cuts[0]; k++) {
        bool fired = true;
        for (uint64_t nth = 0; fired; nth++) {
            struct bench b;
            struct shl_store *faulty;
            struct shl_lsm_restored done;
            make_source(&b, false);
            put(&b, "a", "later");
            put(&b, "x", "later");
            OK(shl_lsm_flush(b.db, false, &db_err));
            OK(shl_store_fault_new(&faulty, b.store, 1, &db_err));
            (void)shl_store_fault_add(faulty, &(struct shl_fault_rule){.nth = nth,
                                                                       .sticky = cuts[k].sticky,
                                                                       .effect = cuts[k].effect});
            shale_code rc = try_restore(&b, faulty, "wal", &done);
            fired = shl_store_fault_fired(faulty, 0) > 0;
            CHECK(rc == SHALE_OK || fired, "failed unprovoked, nth=%u", (unsigned)nth);
            shl_store_unref(faulty);
            shl_ignore(shl_lsm_close(b.db, &db_err)); /* fenced or not */
            b.db = NULL;
            struct shl_lsm *r;
            OK(try_reader(&b, &(struct shl_lsm_reader){.mode = SHL_READER_LATEST}, &r));
            const char *rows = scanned(r, &all_keys, &(struct shl_lsm_scan){0});
            CHECK(strcmp(rows, "a=1 b=2 c=1 d=1 e=1") == 0 ||
                      (rc != SHALE_OK && strcmp(rows, "a=later b=2 c=1 d=1 e=1 x=later") == 0),
                  "%s", rows);
            OK(shl_lsm_close(r, &db_err));
            OK(try_restore(&b, b.store, "wal", &done));
            bench_open(&b);
            expect_all(b.db, "a=1 b=2 c=1 d=1 e=1");
            bench_end(&b);
        }
    }
}

/* ---------------------------------------------------------------- restore */

static void test_a_restored_database_goes_on_and_back(void **state)
{
    (void)state;
    struct bench b;
    struct shl_lsm_restored done, back;
    char undo[SHL_UUID_TEXT];
    make_source(&b, false);
    put(&b, "a", "later");
    put(&b, "x", "later");
    OK(shl_lsm_flush(b.db, false, &db_err)); /* durable, in the WAL only */
    uint64_t used = status_of(b.db).committed_seq;
    struct shl_lsm *old = b.db;
    b.db = NULL;
    OK(try_restore(&b, b.store, "wal", &done));
    assert_true(done.wal_rows > 0);
    FAILS(shl_lsm_flush(old, true, &db_err), SHALE_FENCED); /* the writer before lost its place */
    shl_ignore(shl_lsm_close(old, &db_err));
    expect_at(&b, "dir/db", NULL, "a=1 b=2 c=1 d=1 e=1");
    bench_open(&b);
    expect_all(b.db, "a=1 b=2 c=1 d=1 e=1");
    assert_true(status_of(b.db).committed_seq >= used); /* no seq is used twice */
    put(&b, "f", "new");
    compact(&b);
    collect(&b, "dir/db");
    expect_all(b.db, "a=1 b=2 c=1 d=1 e=1 f=new");
    shl_uuid_format(done.undo, undo);
    expect_at(&b, "dir/db", undo, "a=later b=2 c=1 d=1 e=1 x=later"); /* nothing was lost */
    bench_close(&b);
    OK(try_restore(&b, b.store, undo, &back));
    bench_open(&b);
    expect_all(b.db, "a=later b=2 c=1 d=1 e=1 x=later");
    for (int i = 0; i < 3; i++)
        compact(&b);
    collect(&b, "dir/db");
    expect_all(b.db, "a=later b=2 c=1 d=1 e=1 x=later");
    FAILS(try_restore(&b, b.store, "none", &back), SHALE_NOT_FOUND);
    struct shl_lsm_open o = bench_options(&b);
    o.path = "none";
    FAILS(shl_lsm_restore(&o, "wal", 0, &back, &db_err), SHALE_NOT_FOUND);
    assert_int_equal(objects_below(b.store, "none"), 0);
    shl_ignore(shl_lsm_close(b.db, &db_err));
    b.db = NULL;
    bench_end(&b);
}

/* ---------------------------------------------------------------- delete */

static void test_deleting(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof cuts / sizeof cuts[0]; k++) {
        bool fired = true;
        for (uint64_t nth = 0; fired; nth++) {
            struct bench b;
            struct shl_store *faulty;
            struct shl_cloned done;
            struct shl_removed gone;
            make_source(&b, false);
            OK(try_clone(b.store, "copy", &(struct shl_clone_source){.path = "dir/db"}, 1, &done));
            OK(shl_lsm_close(open_at(&b, "copy"), &db_err));
            OK(shl_lsm_close(open_at(&b, "copy/inside"), &db_err));
            OK(shl_lsm_close(open_at(&b, "copy/manifest/inside"), &db_err));
            size_t inside = objects_below(b.store, "copy/inside") +
                            objects_below(b.store, "copy/manifest/inside");
            size_t before = objects_below(b.store, "copy");
            struct shl_remove how = {.store = b.store, .path = "copy", .dry_run = true};
            OK(shl_remove_run(&how, &gone, &db_err));
            assert_int_equal(gone.objects, before - inside);
            assert_int_equal(gone.pins, 1);
            assert_int_equal(objects_below(b.store, "copy"), before);
            OK(shl_store_fault_new(&faulty, b.store, 1, &db_err));
            (void)shl_store_fault_add(faulty, &(struct shl_fault_rule){.nth = nth,
                                                                       .sticky = cuts[k].sticky,
                                                                       .effect = cuts[k].effect});
            how = (struct shl_remove){.store = faulty, .path = "copy"};
            shale_code rc = shl_remove_run(&how, &gone, &db_err);
            fired = shl_store_fault_fired(faulty, 0) > 0;
            CHECK(rc == SHALE_OK || fired, "failed unprovoked");
            shl_store_unref(faulty);
            how.store = b.store;
            rc = shl_remove_run(&how, &gone, &db_err);
            CHECK(rc == SHALE_OK || rc == SHALE_NOT_FOUND, "again");
            assert_int_equal(objects_below(b.store, "copy"), inside);
            assert_int_equal(checkpoints_of(&b, "dir/db", true), 0);
            FAILS(shl_remove_run(&how, &gone, &db_err), SHALE_NOT_FOUND);
            bench_reopen(&b);
            expect_all(b.db, "a=1 b=2 c=1 d=1 e=1");
            bench_end(&b);
        }
    }
}

/* Somebody deletes a database before the nth request of another. */
struct deleter {
    struct shl_hooked hooked;
    struct bench *b;
    const char *path;
    uint64_t nth, seen;
};

static shale_code delete_before(struct shl_store *s, struct shl_call *call, shale_error *err)
{
    struct deleter *d = (struct deleter *)s; /* the wrapper is the first member */
    struct shl_remove how = {.store = d->b->store, .path = d->path};
    struct shl_removed gone;
    (void)call;
    if (d->seen++ != d->nth)
        return SHALE_OK;
    shale_code rc = shl_remove_run(&how, &gone, err);
    return rc == SHALE_NOT_FOUND ? SHALE_OK : rc; /* there is nothing yet */
}

static shale_code pass(struct shl_store *s, struct shl_call *call, shale_code code,
                       shale_error *err)
{
    (void)s;
    (void)call;
    (void)err;
    return code;
}

static void keep(struct shl_store *s)
{
    (void)s;
}

static const struct shl_hooks deleting = {.begin = delete_before, .end = pass, .deinit = keep};

static void test_a_clone_that_is_deleted_while_it_is_made(void **state)
{
    (void)state;
    struct shl_clone_source s = {.path = "dir/db", .checkpoint = "wal"};
    unsigned told = 0;
    bool fired = true;
    for (uint64_t nth = 0; fired; nth++) {
        struct bench b;
        struct shl_hooked *hooked;
        struct shl_cloned done;
        make_source(&b, false);
        OK(shl_hooked_new(sizeof(struct deleter), b.store, &deleting, &hooked, &db_err));
        struct deleter *d = (struct deleter *)hooked;
        d->b = &b;
        d->path = "copy";
        d->nth = nth;
        shale_code rc = try_clone(&hooked->wrap.base, "copy", &s, 1, &done);
        fired = d->seen > nth;
        told += rc == SHALE_CONFLICT;
        if (rc == SHALE_CONFLICT)
            assert_non_null(strstr(db_err.text, "or was while it was made"));
        shl_store_unref(&hooked->wrap.base);
        if (objects_below(b.store, "copy/manifest") == 0)
            assert_int_equal(checkpoints_of(&b, "dir/db", true), 0);
        else if (rc == SHALE_OK)
            expect_at(&b, "copy", NULL, "a=1 b=2 c=1 d=1 e=1");
        OK(try_clone(b.store, "copy", &s, 1, &done));
        assert_int_equal(checkpoints_of(&b, "dir/db", true), 1);
        collect(&b, "dir/db");
        expect_at(&b, "copy", NULL, "a=1 b=2 c=1 d=1 e=1");
        bench_end(&b);
    }
    assert_true(told > 0);
}

static void test_a_clone_where_a_deletion_was_cut_off(void **state)
{
    (void)state;
    struct bench b;
    struct shl_cloned done;
    struct shl_clone_source s = {.path = "dir/db"};
    make_source(&b, false);
    OK(shl_store_put(b.store, "copy/.deleting", NULL, 0, &(struct shl_put){.mode = SHL_PUT_CREATE},
                     NULL, &db_err));
    FAILS(try_clone(b.store, "copy", &s, 1, &done), SHALE_CONFLICT);
    assert_int_equal(objects_below(b.store, "copy"), 0);
    assert_int_equal(checkpoints_of(&b, "dir/db", true), 0);
    OK(try_clone(b.store, "copy", &s, 1, &done));
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_clone_goes_its_own_way),
        cmocka_unit_test(test_what_is_borrowed_stays_and_is_let_go_of),
        cmocka_unit_test(test_parts_and_unions),
        cmocka_unit_test(test_segments_are_chosen),
        cmocka_unit_test(test_what_cannot_be_cloned),
        cmocka_unit_test(test_the_wal_of_a_clone_is_not_mistaken),
        cmocka_unit_test(test_a_clone_without_a_wal_is_opened_and_told_of),
        cmocka_unit_test(test_the_wal_beside_a_silent_clone_is_seen),
        cmocka_unit_test(test_a_clone_is_gone_on_with),
        cmocka_unit_test(test_restoring_is_all_or_nothing),
        cmocka_unit_test(test_a_restored_database_goes_on_and_back),
        cmocka_unit_test(test_deleting),
        cmocka_unit_test(test_a_clone_that_is_deleted_while_it_is_made),
        cmocka_unit_test(test_a_clone_where_a_deletion_was_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
