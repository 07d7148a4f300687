/* Goal: what would be lost, mixed up or broken without a word in databases that are unlike the usual: odd keys, restored and copied buckets, foreign files, schemas that look at other rows,
 * functions that reach for what is ours. Method: each case by hand on one memory store, and a table of statements whose outcome is that of SQLite alone, on the writer and on a fresh reader. */
#include "support_sql.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec/json.h"
#include "base/str.h"
#include "sql/internal.h"
#include "store/wrap_hook.h"

/* ---- schemas of one text */

static shale_code run_text(void *ctx, sqlite3 *db, shale_error *e)
{
    return sqlite3_exec(db, ctx, NULL, NULL, NULL) == SQLITE_OK
               ? SHALE_OK
               : shl_fail(e, SHALE_INVALID, "%s", sqlite3_errmsg(db));
}

struct schema {
    struct shl_sql_migration step;
    struct shl_sql_options o;
};

/* The database `prefix`, made of the text. */
static struct shl_sql *open_text(struct world *w, struct schema *m, const char *prefix, char *text,
                                 bool merge)
{
    struct shl_sql *s = NULL;
    m->step = (struct shl_sql_migration){.version = 1, .name = "text", .up = run_text, .ctx = text};
    m->o = options_on(w);
    m->o.prefix = prefix;
    m->o.migrations = &m->step;
    m->o.migration_count = 1;
    m->o.merge = merge;
    OK(shl_sql_open(&s, &m->o, &sql_err));
    return s;
}

/* Rows of a query on a handle that has just been opened. */
static void expect_fresh(const struct shl_sql_options *o, const char *sql, const char *want)
{
    struct shl_sql_options mine = *o;
    struct shl_sql *s = NULL;
    mine.local_path = NULL;
    OK(shl_sql_open(&s, &mine, &sql_err));
    expect(s, sql, want);
    shl_sql_close(s);
}

/* ---- keys */

/* INTEGER PRIMARY KEY DESC is not the rowid, and may be NULL; a row with such a key is not recorded. */
static void test_keys_that_only_look_like_the_rowid(void **state)
{
    struct fixture *f = *state;
    struct schema m;
    char text[] = "CREATE TABLE d(id INTEGER PRIMARY KEY DESC, v); CREATE TABLE i(id INT PRIMARY "
                  "KEY, v); CREATE TABLE p(id INTEGER, v, PRIMARY KEY(id DESC)); CREATE TABLE "
                  "\"q\"\"t\"(\"a b\" INTEGER, c, PRIMARY KEY(\"a b\", c))";
    struct shl_sql *s = open_text(&f->w, &m, "keys/", text, false);
    static const char *const refused[] = {
        "INSERT INTO d VALUES(NULL, 'x')",
        "INSERT INTO i VALUES(NULL, 'x')",
        "INSERT INTO \"q\"\"t\" VALUES(1, NULL)",
        "INSERT INTO d VALUES(1, 'x'), (NULL, 'y')",
        "INSERT INTO p VALUES(8, 'x'); INSERT INTO d(v) SELECT v FROM p",
    };
    for (size_t i = 0; i < SHL_COUNT_OF(refused); i++)
        FAILS(update(s, refused[i], NULL), SHALE_NOT_SUPPORTED, "NULL in its primary key");
    OK(update(s, "INSERT INTO p VALUES(NULL, 'x'); INSERT INTO d VALUES(7, 'x')", NULL));
    expect_fresh(&m.o, "SELECT * FROM p; SELECT * FROM d", "1|x 7|x ");
    FAILS(update(s, "UPDATE d SET id = NULL", NULL), SHALE_NOT_SUPPORTED,
          "NULL in its primary key");
    shl_sql_close(s);
}

/* ---- a database that was made anew, restored, or copied */

static struct shl_buf manifest_of(struct world *w)
{
    struct shl_buf body = {0};
    OK(shl_store_get(w->bucket, "db/manifest.json", NULL, &body, NULL, &sql_err));
    return body;
}

static void put_manifest(struct world *w, struct shl_buf *take_body)
{
    struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    struct shl_slice s = shl_buf_view(take_body);
    OK(shl_store_put(w->bucket, "db/manifest.json", &s, 1, &how, NULL, &sql_err));
    shl_buf_free(take_body);
}

static void make_path(char path[40])
{
    snprintf(path, 40, "/tmp/shale-sql-more-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
}

static void remove_path(const char *path)
{
    static const char *const suffixes[] = {"", ".shale", ".lock", "-journal", "-wal", "-shm"};
    char name[80];
    for (size_t i = 0; i < SHL_COUNT_OF(suffixes); i++) {
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
}

/* The same snapshot with another log on top: a bucket that was copied and went its own way, or was restored to an earlier state. */
static void test_another_history_is_not_mixed_in(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *kept = NULL;
    char path[40];
    make_path(path);
    o.local_path = path;
    struct shl_buf before = manifest_of(&f->w);
    OK(shl_sql_open(&kept, &o, &sql_err));
    OK(update(kept, "UPDATE k SET a = 1 WHERE id = 1", NULL));
    OK(update(kept, "UPDATE k SET a = 2 WHERE id = 1", NULL));
    shl_sql_close(kept);
    expect(f->a, "SELECT a FROM k", "2 20 ");
    put_manifest(&f->w, &before);
    for (int i = 0; i < 3; i++)
        OK(update(f->b, "UPDATE k SET a = a + 1 WHERE id = 2", NULL));
    expect(f->a, "SELECT a FROM k", "10 23 "); /* a handle that lives */
    expect_same(&f->w, f->a);
    OK(shl_sql_open(&kept, &o, &sql_err)); /* and a copy that was kept */
    expect(kept, "SELECT a FROM k", "10 23 ");
    shl_sql_close(kept);
    remove_path(path);
}

/* ---- what lies at the local path */

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_a_foreign_file_is_not_replaced(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    struct stat st;
    char path[40], lock[80];
    make_path(path);
    write_text(path, "my thesis");
    o.local_path = path;
    for (int i = 0; i < 2; i++) /* the first try does not make it ours */
        FAILS(shl_sql_open(&s, &o, &sql_err), SHALE_INVALID, "is there already");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 9);
    snprintf(lock, sizeof lock, "%s.lock", path);
    assert_int_not_equal(access(lock, F_OK), 0);
    remove_path(path);
    assert_int_equal(mkdir(path, 0700), 0);
    FAILS(shl_sql_open(&s, &o, &sql_err), SHALE_INVALID, "is there already");
    rmdir(path);
}

static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 20];
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    assert_true(in != NULL && out != NULL);
    size_t n = fread(bytes, 1, sizeof bytes, in);
    assert_true(n > 0 && n < sizeof bytes && fwrite(bytes, 1, n, out) == n);
    fclose(in);
    fclose(out);
}

/* A journal of somebody else beside the copy would be played back into it. */
static void test_a_journal_beside_the_copy_is_not_played_back(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    struct shl_store_counts before, after;
    sqlite3 *db = NULL;
    char path[40], other[60], from[80], to[80];
    make_path(path);
    snprintf(other, sizeof other, "%s.other", path);
    o.local_path = path;
    OK(update(f->a, "UPDATE k SET a = 5", NULL));
    OK(shl_sql_open(&s, &o, &sql_err));
    shl_sql_close(s);
    /* A copy of it in WAL mode, with a commit that is only in the -wal file. */
    copy_file(path, other);
    assert_int_equal(sqlite3_open(other, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA journal_mode=WAL; UPDATE k SET a = 666", NULL, NULL, NULL),
        SQLITE_OK);
    snprintf(from, sizeof from, "%s-wal", other);
    snprintf(to, sizeof to, "%s-wal", path);
    assert_int_equal(link(from, to), 0);
    shl_store_counts_read(f->w.count, &before);
    OK(shl_sql_open(&s, &o, &sql_err));
    shl_store_counts_read(f->w.count, &after);
    expect(s, "SELECT a FROM k", "5 5 ");
    assert_int_equal(after.kinds[SHL_KIND_GET].calls - before.kinds[SHL_KIND_GET].calls, 3);
    shl_sql_close(s);
    sqlite3_close(db);
    remove_path(path);
    remove_path(other);
}

/* ---- merging */

/* Theirs goes on top of ours without a word; ours on top of theirs, which is what everybody would do from then on, does not. */
static void test_merging_keeps_the_order_of_the_log(void **state)
{
    struct fixture *f = *state;
    struct schema m, n;
    char text[] = "CREATE TABLE q(id INTEGER PRIMARY KEY, n INT); INSERT INTO q VALUES(1, 0), (2, "
                  "0); CREATE TRIGGER full BEFORE UPDATE ON q WHEN new.id = 1 AND new.n + (SELECT "
                  "sum(n) FROM q WHERE id <> 1) > 100 BEGIN SELECT RAISE(ABORT, 'full'); END";
    struct shl_sql *s = open_text(&f->w, &m, "limit/", text, true);
    struct race r = {open_text(&f->w, &n, "limit/", text, true),
                     "UPDATE q SET n = 60 WHERE id = 2"};
    struct script mine = {
        .sql = "UPDATE q SET n = 50 WHERE id = 1", .before = other_commits, .ctx = &r};
    FAILS(shl_sql_update(s, run_script, &mine, NULL, &sql_err), SHALE_INVALID, "full");
    expect_fresh(&m.o, "SELECT n FROM q", "0 60 ");
    expect(s, "SELECT n FROM q", "0 60 ");
    OK(update(s, "UPDATE q SET n = 40 WHERE id = 1", NULL));
    expect_fresh(&m.o, "SELECT n FROM q", "40 60 ");
    shl_sql_close(r.other);
    shl_sql_close(s);
}

/* ---- functions that reach for what is ours */

static void test_our_savepoint_is_not_the_functions(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {
        "UPDATE k SET a = 1; SAVEPOINT shale_member; UPDATE k SET b = 2",
        "UPDATE k SET a = 1; RELEASE shale_member",
        "UPDATE k SET a = 1; ROLLBACK TO SHALE_MEMBER; UPDATE k SET b = 2",
        "UPDATE k SET a = 1; SAVEPOINT Shale_x",
    };
    for (size_t i = 0; i < SHL_COUNT_OF(texts); i++)
        FAILS(update(f->a, texts[i], NULL), SHALE_NOT_SUPPORTED, "savepoint");
    expect(f->a, "SELECT a, b FROM k", "10|100 20|200 ");
    /* Savepoints of its own may stay open, and nest. */
    OK(update(f->a,
              "SAVEPOINT x; UPDATE k SET a = 1; SAVEPOINT x; UPDATE k SET b = 2; ROLLBACK TO x; "
              "RELEASE x; SAVEPOINT y; UPDATE k SET b = 3 WHERE id = 1",
              NULL));
    expect(f->b, "SELECT a, b FROM k", "1|3 1|200 ");
    expect_same(&f->w, f->a);
}

/* What a step of the schema sets, attaches or makes for itself is not there for functions. */
static void test_a_migrations_connection_ends_with_it(void **state)
{
    struct fixture *f = *state;
    struct schema m;
    char text[] = "CREATE TABLE k(id INTEGER PRIMARY KEY, p INT REFERENCES k(id) ON DELETE "
                  "CASCADE); INSERT INTO k VALUES(1, NULL), (2, 1); CREATE TEMP TABLE k AS SELECT "
                  "1 AS id; PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON; ATTACH "
                  "':memory:' AS x; PRAGMA case_sensitive_like = ON";
    struct shl_sql *s = open_text(&f->w, &m, "clean/", text, false);
    expect(s,
           "PRAGMA foreign_keys; PRAGMA recursive_triggers; SELECT count(*) FROM "
           "pragma_database_list; SELECT 'A' LIKE 'a'",
           "0 0 1 1 ");
    OK(update(s, "DELETE FROM k WHERE id = 1", NULL));
    expect(s, "SELECT * FROM k", "2|1 ");
    expect_fresh(&m.o, "SELECT * FROM k", "2|1 ");
    shl_sql_close(s);
}

/* ---- beside a collector */

/* Calls `run` once, before the first GET of a key with `part` in it. */
struct meddler {
    struct shl_hooked hooked;
    const char *part;
    void (*run)(void *ctx);
    void *ctx;
};

static shale_code meddle(struct shl_store *s, struct shl_call *call, shale_error *e)
{
    struct meddler *m = (struct meddler *)s;
    void (*run)(void *) = m->run;
    (void)e;
    if (run == NULL || call->kind != SHL_KIND_GET || strstr(call->key, m->part) == NULL)
        return SHALE_OK;
    m->run = NULL;
    run(m->ctx);
    return SHALE_OK;
}

static shale_code as_it_is(struct shl_store *s, struct shl_call *call, shale_code code,
                           shale_error *e)
{
    (void)s;
    (void)call;
    (void)e;
    return code;
}

static void nothing_added(struct shl_store *s)
{
    (void)s;
}

static const struct shl_hooks meddling = {
    .begin = meddle, .end = as_it_is, .deinit = nothing_added};

static void fold_and_collect(void *ctx)
{
    struct fixture *f = ctx;
    OK(shl_sql_compact(f->a, &sql_err));
    OK(shl_sql_gc(f->a, 0, false, NULL, &sql_err));
}

static void test_a_reader_whose_objects_are_collected_goes_on(void **state)
{
    struct fixture *f = *state;
    struct shl_hooked *hooked = NULL;
    OK(shl_hooked_new(sizeof(struct meddler), f->w.count, &meddling, &hooked, &sql_err));
    struct meddler *m = (struct meddler *)hooked;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    char path[40];
    o.store = &hooked->wrap.base;
    m->ctx = f;
    for (int i = 0; i < 4; i++) {
        OK(update(f->a, "UPDATE k SET a = a + 1 WHERE id = 1", NULL));
        m->part = i % 2 == 0 ? "changesets/" : "snapshots/";
        m->run = fold_and_collect;
        if (i < 2) {
            OK(shl_sql_open(&s, &o, &sql_err));
            expect(s, "SELECT a FROM k WHERE id = 1", i == 0 ? "11 " : "12 ");
            shl_sql_close(s);
            continue;
        }
        make_path(path);
        OK(shl_sql_pull(&o, path, NULL, &sql_err));
        remove_path(path);
    }
    assert_null(m->run);
    m->part = "changesets/"; /* and one that lives */
    OK(shl_sql_open(&s, &o, &sql_err));
    OK(update(f->a, "UPDATE k SET a = 0", NULL));
    m->run = fold_and_collect;
    expect(s, "SELECT a FROM k", "0 0 ");
    shl_sql_close(s);
    shl_store_unref(&hooked->wrap.base);
}

static void fold(void *ctx)
{
    struct fixture *f = ctx;
    OK(shl_sql_compact(f->a, &sql_err));
}

/* The answer to the swap was lost, and the log in which it could be looked for is gone: nobody can tell, and it is not made again. */
static void test_a_lost_answer_whose_log_was_folded_is_told(void **state)
{
    struct fixture *f = *state;
    struct shl_hooked *hooked = NULL;
    struct shl_fault_rule lost = {.kinds = SHL_KIND_BIT(SHL_KIND_PUT),
                                  .key_part = "manifest.json",
                                  .effect = SHL_FAULT_AFTER};
    OK(shl_hooked_new(sizeof(struct meddler), f->w.count, &meddling, &hooked, &sql_err));
    struct meddler *m = (struct meddler *)hooked;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    o.store = &hooked->wrap.base;
    OK(shl_sql_open(&s, &o, &sql_err));
    OK(update(s, "UPDATE k SET a = 0", NULL));
    (void)shl_store_fault_add(f->w.fault, &lost);
    m->part = "manifest.json";
    m->run = fold;
    m->ctx = f;
    FAILS(update(s, "UPDATE k SET a = a + 1", NULL), SHALE_UNAVAILABLE, "outcome unknown");
    assert_null(m->run);
    shl_store_fault_clear(f->w.fault);
    expect(s, "SELECT a FROM k", "1 1 ");
    expect_same(&f->w, s);
    shl_sql_close(s);
    shl_store_unref(&hooked->wrap.base);
}

struct overtaken {
    struct fixture *f;
    struct meddler *m;
};

/* Commits, and has the changeset collected as soon as somebody wants it. */
static shale_code commit_what_goes(void *ctx)
{
    struct overtaken *o = ctx;
    shale_code rc = update(o->f->b, "UPDATE k SET b = b + 1 WHERE id = 2", NULL);
    o->m->run = fold_and_collect;
    return rc;
}

static void test_a_writer_whose_objects_are_collected_goes_on(void **state)
{
    struct fixture *f = *state;
    for (int merge = 0; merge < 2; merge++) {
        struct shl_hooked *hooked = NULL;
        OK(shl_hooked_new(sizeof(struct meddler), f->w.count, &meddling, &hooked, &sql_err));
        struct meddler *m = (struct meddler *)hooked;
        struct overtaken over = {f, m};
        struct shl_sql_options o = options_on(&f->w);
        struct shl_sql *s = NULL;
        struct script mine = {
            .sql = "UPDATE k SET a = a + 1 WHERE id = 1", .before = commit_what_goes, .ctx = &over};
        m->part = "changesets/";
        m->ctx = f;
        o.store = &hooked->wrap.base;
        o.merge = merge != 0;
        OK(shl_sql_open(&s, &o, &sql_err));
        OK(shl_sql_update(s, run_script, &mine, NULL, &sql_err));
        assert_null(m->run);
        expect_same(&f->w, s);
        shl_sql_close(s);
        shl_store_unref(&hooked->wrap.base);
    }
    expect(f->a, "SELECT a, b FROM k", "12|100 20|202 ");
}

/* What is in the way of one object only does not keep the others from going. */
static void test_a_collector_leaves_what_it_may_not_delete(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_gc_result r;
    struct shl_fault_rule rule = {.kinds = SHL_KIND_BIT(SHL_KIND_DELETE),
                                  .effect = SHL_FAULT_BEFORE,
                                  .key_part = "changesets/",
                                  .code = SHALE_PERMISSION_DENIED,
                                  .sticky = true};
    for (int i = 0; i < 3; i++)
        OK(update(f->a, "UPDATE k SET a = a + 1", NULL));
    OK(shl_sql_compact(f->a, &sql_err));
    (void)shl_store_fault_add(f->w.fault, &rule);
    OK(shl_sql_gc(f->a, 0, false, &r, &sql_err));
    shl_store_fault_clear(f->w.fault);
    assert_int_equal(r.left, 3);
    assert_int_equal(r.why.code, SHALE_PERMISSION_DENIED);
    OK(shl_sql_gc(f->a, 0, true, &r, &sql_err));
    assert_int_equal(r.changesets, 3);
    assert_int_equal(r.snapshots, 0); /* those went */
}

/* ---- a batch that fails */

struct second {
    struct shl_sql *s;
    struct env_task *task;
    shale_code rc;
    shale_error why;
};

static shale_code fail_if_there(void *ctx, sqlite3 *db, shale_error *e)
{
    struct script q = {.sql = "SELECT count(*) FROM k WHERE id = 77"};
    (void)ctx;
    shale_code rc = run_script(&q, db, e);
    return rc != SHALE_OK || q.got[0] == '0' ? rc : shl_fail(e, SHALE_INVALID, "it is there");
}

static void run_second(void *arg)
{
    struct second *t = arg;
    t->rc = shl_sql_update(t->s, fail_if_there, NULL, NULL, &t->why);
}

/* Inside of the first one's function: goes on when the second waits for its turn. */
static shale_code start_second(void *ctx)
{
    struct second *t = ctx;
    unsigned waiting = 0;
    OK(env_task_spawn(&t->task, "second", run_second, t));
    while (waiting == 0) {
        env_sleep_ns(ENV_NS_PER_MS);
        env_mutex_lock(&t->s->mu);
        waiting = t->s->waiting;
        env_mutex_unlock(&t->s->mu);
    }
    return SHALE_OK;
}

/* A function that failed because of what another one of its batch had written must not tell of it, if that was not committed. */
static void test_what_was_not_committed_is_not_told(void **state)
{
    struct fixture *f = *state;
    struct second t = {.s = f->a};
    struct shl_fault_rule rule = {.kinds = SHL_KIND_BIT(SHL_KIND_PUT),
                                  .key_part = "manifest.json",
                                  .effect = SHL_FAULT_BEFORE,
                                  .code = SHALE_PERMISSION_DENIED,
                                  .sticky = true};
    struct script one = {
        .sql = "INSERT INTO k VALUES(77, 0, 0)", .before = start_second, .ctx = &t};
    OK(update(f->a, "UPDATE k SET a = 0", NULL));
    (void)shl_store_fault_add(f->w.fault, &rule);
    FAILS(shl_sql_update(f->a, run_script, &one, NULL, &sql_err), SHALE_PERMISSION_DENIED, "");
    env_task_join(t.task);
    shl_store_fault_clear(f->w.fault);
    assert_int_equal(t.rc, SHALE_PERMISSION_DENIED);
    expect_same(&f->w, f->a);
}

/* Writes in its first run only, in which somebody else commits as well. */
static shale_code write_once(void *ctx, sqlite3 *db, shale_error *e)
{
    struct script *one = ctx;
    return one->runs == 0 ? run_script(one, db, e) : SHALE_OK;
}

struct both {
    struct second second;
    struct race race;
};

static shale_code start_second_and_lose(void *ctx)
{
    struct both *b = ctx;
    shale_code rc = other_commits(&b->race);
    return rc == SHALE_OK ? start_second(&b->second) : rc;
}

/* The same where the batch is lost to others: all of it runs again. */
static void test_what_was_lost_is_not_told(void **state)
{
    struct fixture *f = *state;
    struct both b = {.second = {.s = f->a}, .race = {f->b, "UPDATE k SET b = 0"}};
    struct script one = {
        .sql = "INSERT INTO k VALUES(77, 0, 0)", .before = start_second_and_lose, .ctx = &b};
    OK(update(f->a, "UPDATE k SET a = 0", NULL));
    OK(shl_sql_update(f->a, write_once, &one, NULL, &sql_err));
    env_task_join(b.second.task);
    if (b.second.rc != SHALE_OK)
        fail_msg("%s", b.second.why.text);
    expect(f->b, "SELECT count(*) FROM k", "2 ");
    expect_same(&f->w, f->a);
}

/* A merge is for what others commit meanwhile, not for what they had committed before. */
static void test_merging_begins_with_the_newest_state(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    o.merge = true;
    OK(shl_sql_open(&s, &o, &sql_err));
    OK(update(s, "UPDATE k SET b = 1 WHERE id = 2", NULL));
    OK(update(f->b, "UPDATE k SET a = 50 WHERE id = 1", NULL));
    OK(update(s, "UPDATE k SET b = a WHERE id = 1", NULL));
    expect(f->a, "SELECT b FROM k WHERE id = 1", "50 ");
    shl_sql_close(s);
}

/* ---- others get ahead, again and again */

static shale_code lose_always(void *ctx, sqlite3 *db, shale_error *e)
{
    struct race *r = ctx;
    struct script mine = {.sql = "UPDATE k SET a = a + 1 WHERE id = 1"};
    struct script theirs = {.sql = r->sql};
    shale_code rc = run_script(&mine, db, e);
    return rc == SHALE_OK ? shl_sql_update(r->other, run_script, &theirs, NULL, e) : rc;
}

static void test_tries_have_an_end(void **state)
{
    struct fixture *f = *state;
    struct race r = {f->b, "UPDATE k SET b = b + 1"};
    for (int merge = 0; merge < 2; merge++) {
        struct shl_sql_options o = options_on(&f->w);
        struct shl_sql *s = NULL;
        struct shl_sql_commit c = {0};
        o.max_retries = merge ? 1 : 3;
        o.merge = merge != 0;
        OK(shl_sql_open(&s, &o, &sql_err));
        FAILS(shl_sql_update(s, lose_always, &r, &c, &sql_err), SHALE_CONFLICT,
              merge ? "1 times in a row" : "3 times in a row");
        expect_same(&f->w, s);
        shl_sql_close(s);
    }
    expect(f->a, "SELECT a, b FROM k", "10|104 20|204 ");
}

/* ---- what lies in the folder for temporary files */

static shale_code count_temporary(void *ctx)
{
    struct env_dirent *entries = NULL;
    size_t count = 0;
    assert_int_equal(env_listdir(ctx, &entries, &count), 0);
    assert_int_equal(count, 0);
    env_listdir_free(entries, count);
    return SHALE_OK;
}

/* Whoever is killed leaves nothing. */
static void test_temporary_files_have_no_names(void **state)
{
    struct fixture *f = *state;
    char dir[] = "/tmp/shale-sql-tmp-XXXXXX";
    const char *before = getenv("TMPDIR");
    char *kept = before == NULL ? NULL : strdup(before);
    assert_non_null(mkdtemp(dir));
    setenv("TMPDIR", dir, 1);
    struct shl_sql *s = open_on(&f->w);
    struct script big = {.sql = "CREATE TEMP TABLE x AS WITH "
                                "RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
                                "i < 5000) SELECT i, randomblob(1000) AS r FROM n; SELECT "
                                "count(*) FROM (SELECT r FROM x ORDER BY r)",
                         .before = count_temporary,
                         .ctx = dir};
    OK(shl_sql_view(s, run_script, &big, &sql_err));
    assert_string_equal(big.got, "5000 ");
    shl_sql_close(s);
    assert_int_equal(rmdir(dir), 0);
    if (kept == NULL)
        unsetenv("TMPDIR");
    else
        setenv("TMPDIR", kept, 1);
    free(kept);
}

/* ---- a handle that commits without asking first */

/* What changes nothing is no commit that could lose: the state that it has seen must be the newest one, also for a function that fails. */
static void test_what_is_read_without_asking_is_checked(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {
        "SELECT a FROM k WHERE id = 1",
        "SELECT a + abs(CASE a WHEN 2 THEN 0 ELSE -9223372036854775808 END) FROM k WHERE id = 1"};
    for (size_t i = 0; i < SHL_COUNT_OF(texts); i++) {
        struct script q = {.sql = texts[i]};
        struct shl_sql_commit c = {0};
        OK(update(f->a, "UPDATE k SET a = 1", NULL));
        OK(update(f->b, "UPDATE k SET a = 2", NULL));
        OK(shl_sql_update(f->a, run_script, &q, &c, &sql_err));
        assert_string_equal(q.got, "2 ");
        assert_int_equal(c.tries, 2);
        assert_int_equal(c.seq, 2 * (i + 1));
    }
}

/* A changeset that ends early, but between two changes: only its size tells. */
static void test_a_changeset_that_is_cut_between_changes_is_told(void **state)
{
    struct fixture *f = *state;
    struct shl_list l = {0};
    struct shl_buf body = {0};
    struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    OK(update(f->a, "INSERT INTO k VALUES(8, 1, 1), (9, 1, 1)", NULL));
    OK(shl_store_list(f->w.bucket, &(struct shl_list_options){.prefix = "db/changesets"}, &l,
                      &sql_err));
    assert_int_equal(l.count, 1);
    OK(shl_store_get(f->w.bucket, l.items[0].key, NULL, &body, NULL, &sql_err));
    size_t head = strlen("T3111k") + 1; /* type, columns, a byte a column, name with its NUL */
    struct shl_slice one = shl_slice_of(body.data, head + (body.len - head) / 2);
    OK(shl_store_put(f->w.bucket, l.items[0].key, &one, 1, &how, NULL, &sql_err));
    FAILS(shl_sql_open(&s, &o, &sql_err), SHALE_CORRUPTION, "the manifest says");
    assert_non_null(strstr(sql_err.text, l.items[0].key));
    shl_buf_free(&body);
    shl_list_free(&l);
}

/* ---- points in time ask once */

struct times {
    int64_t ms[4];
    size_t count;
};

static bool take_time(void *ctx, const struct shl_sql_entry *e)
{
    struct times *t = ctx;
    t->ms[t->count++] = e->modified_ms;
    return t->count < SHL_COUNT_OF(t->ms);
}

/* At the very time of a commit that commit is there, and so are those of the same millisecond. */
static void test_the_time_of_a_commit_has_it(void **state)
{
    struct fixture *f = *state;
    struct times t = {0};
    for (int i = 0; i < 4; i++)
        OK(update(f->a, "UPDATE k SET b = b + 1 WHERE id = 1", NULL));
    OK(shl_sql_log(f->b, 0, false, true, take_time, &t, &sql_err));
    for (size_t i = 0; i < SHL_COUNT_OF(t.ms); i++) {
        struct shl_sql_options o = options_on(&f->w);
        struct shl_sql *s = NULL;
        size_t last = i;
        char want[24];
        while (last + 1 < SHL_COUNT_OF(t.ms) && t.ms[last + 1] == t.ms[i])
            last++;
        snprintf(want, sizeof want, "%zu ", 100 + last + 1);
        o.at_unix_ms = t.ms[i];
        OK(shl_sql_open(&s, &o, &sql_err));
        expect(s, "SELECT b FROM k WHERE id = 1", want);
        shl_sql_close(s);
    }
}

static void test_a_point_in_time_asks_once(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    struct shl_store_counts before, after;
    OK(update(f->a, "UPDATE k SET a = 1", NULL));
    o.at_unix_ms = env_now_wall_ms() + 1000000;
    OK(shl_sql_open(&s, &o, &sql_err));
    shl_store_counts_read(f->w.count, &before);
    OK(update(f->a, "UPDATE k SET a = 2", NULL));
    expect(s, "SELECT a FROM k", "1 1 ");
    expect(s, "SELECT b FROM k", "100 200 ");
    shl_store_counts_read(f->w.count, &after);
    assert_int_equal(before.kinds[SHL_KIND_LIST].calls, after.kinds[SHL_KIND_LIST].calls);
    shl_sql_close(s);
}

/* ---- what SQLite itself cannot apply */

static void test_a_row_that_is_too_wide_is_told(void **state)
{
    struct fixture *f = *state;
    struct schema m;
    static char text[16384];
    size_t n = (size_t)snprintf(text, sizeof text, "CREATE TABLE w(id INTEGER PRIMARY KEY");
    for (int i = 0; i < 1200; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, ",c%d", i);
    snprintf(text + n, sizeof text - n, "); CREATE TABLE t(id INTEGER PRIMARY KEY)");
    struct shl_sql *s = open_text(&f->w, &m, "wide/", text, false);
    FAILS(update(s, "INSERT INTO w(c7, c1199) VALUES(1, 2)", NULL), SHALE_NOT_SUPPORTED,
          "limit of SQLite");
    OK(update(s, "INSERT INTO t VALUES(1)", NULL));
    expect_fresh(&m.o, "SELECT count(*) FROM w; SELECT id FROM t", "0 1 ");
    shl_sql_close(s);
}

/* ---- SQLite alone is right */

static char odd_schema[] =
    "CREATE TABLE r(id INTEGER PRIMARY KEY, v); CREATE TABLE a(id INTEGER PRIMARY KEY "
    "AUTOINCREMENT, v);"
    "CREATE TABLE u(k TEXT PRIMARY KEY, x UNIQUE, y INT DEFAULT 7 CHECK (y > 0));"
    "CREATE TABLE w(a, b, c, PRIMARY KEY(b, a)) WITHOUT ROWID; CREATE TABLE st(id INT PRIMARY KEY "
    "NOT NULL, f REAL, b BLOB, n ANY) STRICT;"
    "CREATE TABLE parent(id INTEGER PRIMARY KEY, x); CREATE TABLE child(id INTEGER PRIMARY KEY, p "
    "INT "
    "REFERENCES parent(id) ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED);"
    "CREATE TABLE nc(k INTEGER PRIMARY KEY, t TEXT COLLATE NOCASE UNIQUE, d DATETIME DEFAULT "
    "'never');"
    "CREATE INDEX part ON r(v) WHERE v > 10; CREATE UNIQUE INDEX expr ON u(lower(k) || 'x');"
    "CREATE VIEW both AS SELECT id, v FROM r UNION ALL SELECT id, v FROM a;"
    "CREATE TABLE \"odd \"\"name\"\"\"(\"a b\" TEXT, \"c;d\" INT, PRIMARY KEY(\"a b\")); CREATE "
    "TABLE wide(id INTEGER PRIMARY KEY, c1, c2, c3, c4, c5, c6, c7, c8, c9);";

static const char *const odd_updates[] = {
    "INSERT INTO r(v) VALUES(1), (2), (3)",
    "UPDATE r SET id = id + 1", /* keys that move over each other */
    "UPDATE r SET id = 10 - id",
    "UPDATE r SET id = CASE id WHEN 6 THEN 7 WHEN 7 THEN 600 ELSE id END; UPDATE r SET id = 6 "
    "WHERE id = 600",
    "DELETE FROM r WHERE id = (SELECT max(id) FROM r); INSERT INTO r(v) VALUES('again')",
    "REPLACE INTO r VALUES(6, 'replaced'), (99, 'new')",
    "INSERT INTO a(v) VALUES(1); DELETE FROM a; INSERT INTO a(v) VALUES(2)",
    "INSERT INTO a VALUES(1000, 'jump'); INSERT INTO a(v) VALUES('next')",
    "INSERT INTO u VALUES('k1', 'a', 1), ('k2', 'b', 2), ('k3', 'c', 3)",
    "INSERT INTO u VALUES('k1', 'z', 5) ON CONFLICT(k) DO UPDATE SET x = excluded.x, y = y + "
    "excluded.y",
    "INSERT INTO u VALUES('k9', 'b', 5) ON CONFLICT(x) DO UPDATE SET y = 50",
    "INSERT OR REPLACE INTO u VALUES('k4', 'c', 4)", /* takes k3 away by its UNIQUE column */
    "INSERT OR IGNORE INTO u VALUES('k1', 'q', 1), ('k5', 'e', 5)",
    "UPDATE OR REPLACE u SET x = 'z' WHERE k = 'k5'",
    "INSERT OR FAIL INTO u VALUES('k6', 'f', 6), ('k6', 'g', 7)",
    "INSERT OR ROLLBACK INTO u VALUES('k7', 'h', 8), ('k7', 'i', 9)",
    "INSERT INTO u VALUES('k8', 'j', -1)",
    "UPDATE u SET k = upper(k)",
    "INSERT INTO w VALUES(1, 2, 3), (2, 1, 3), (x'00', '', 0)",
    "UPDATE w SET a = b, b = a WHERE a < b",
    "UPDATE w SET c = NULL; DELETE FROM w WHERE a = 2",
    "INSERT INTO st VALUES(1, -0.0, x'0001ff00', 1), (2, 1e308 * 10, zeroblob(3), 'any'), (3, "
    "-1e308 * 10, NULL, 2.5), (4, 0.1, x'', NULL)",
    "UPDATE st SET f = 0.0 WHERE id = 1; UPDATE st SET f = -0.0, n = -0.0 WHERE id = 4",
    "UPDATE st SET n = 9223372036854775807 WHERE id = 1; UPDATE st SET n = -9223372036854775808 "
    "WHERE id = 2",
    "UPDATE st SET f = (SELECT 1e308 * 10 - 1e308 * 10) WHERE id = 3", /* NaN is NULL */
    "INSERT INTO parent(id) VALUES(1), (2); INSERT INTO child VALUES(1, 1), (2, 2), (3, 99)",
    "DELETE FROM parent WHERE id = 1; UPDATE parent SET id = 5 WHERE id = 2",
    "INSERT INTO nc(t) VALUES('Abc'), (CAST(x'ff00fe41' AS TEXT)), (CAST(x'c3' AS TEXT)), "
    "(char(0, 65))",
    "UPDATE nc SET t = 'aBC' WHERE t = 'ABC'",
    "UPDATE nc SET t = t || CAST(x'80' AS TEXT)",
    "INSERT INTO both VALUES(1, 2)",
    "INSERT INTO \"odd \"\"name\"\"\" VALUES('x', 1), ('', 2)",
    "UPDATE \"odd \"\"name\"\"\" SET \"c;d\" = \"c;d\" + 1, \"a b\" = \"a b\" || ';' ",
    "INSERT INTO wide(c9) SELECT id FROM both; UPDATE wide SET c3 = c9, c9 = NULL",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) INSERT INTO r "
    "SELECT i * 1000, zeroblob(i) FROM n; UPDATE r SET v = length(v) WHERE id > 1000",
    "INSERT INTO r VALUES(-5, zeroblob(3000000))",
    "UPDATE r SET v = NULL WHERE id = -5",
    "DELETE FROM r",
    "INSERT INTO r(v) VALUES('first after all'); DELETE FROM a; INSERT INTO a(v) VALUES(0)",
    "CREATE TEMP TABLE r(id INTEGER PRIMARY KEY, v); INSERT INTO r VALUES(3, 3); INSERT INTO "
    "main.r SELECT id + 70, v FROM temp.r",
    "SAVEPOINT s; INSERT INTO r VALUES(500, 1); ROLLBACK TO s; INSERT INTO r VALUES(501, 1); "
    "RELEASE s",
};

/* Every value of every table, as text. */
static void add_tables(sqlite3 *db, struct shl_buf *out)
{
    sqlite3_stmt *names = NULL;
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT name FROM main.sqlite_schema WHERE type = 'table' "
                                        "AND name <> 'sqlite_sequence' ORDER BY 1",
                                        -1, &names, NULL),
                     SQLITE_OK);
    while (sqlite3_step(names) == SQLITE_ROW) {
        sqlite3_stmt *q = NULL;
        char *sql = sqlite3_mprintf("SELECT * FROM main.\"%w\" ORDER BY 1, 2",
                                    (const char *)sqlite3_column_text(names, 0));
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
        OK(shl_str_printf(out, &sql_err, "%s\n", sql));
        while (sqlite3_step(q) == SQLITE_ROW) {
            for (int i = 0; i < sqlite3_column_count(q); i++) {
                int type = sqlite3_column_type(q, i);
                double real = sqlite3_column_double(q, i);
                OK(shl_str_printf(out, &sql_err, "|%d:", type));
                if (type == SQLITE_FLOAT)
                    OK(shl_buf_append(out, &real, sizeof real, &sql_err));
                else if (type != SQLITE_NULL) {
                    const void *bytes = sqlite3_column_blob(q, i);
                    OK(shl_buf_append(out, bytes, (size_t)sqlite3_column_bytes(q, i), &sql_err));
                }
            }
            OK(shl_str_append(out, "\n", &sql_err));
        }
        sqlite3_finalize(q);
        sqlite3_free(sql);
    }
    sqlite3_finalize(names);
}

static shale_code dump_tables(void *ctx, sqlite3 *db, shale_error *e)
{
    struct shl_buf *out = ctx;
    (void)e;
    out->len = 0;
    add_tables(db, out);
    return SHALE_OK;
}

static void expect_bytes(const char *sql, const char *where, const struct shl_buf *got,
                         const struct shl_buf *want)
{
    if (!shl_slice_eq(shl_buf_view(got), shl_buf_view(want)))
        fail_msg("%s: %s: %.*s\nwant %.*s", sql, where, (int)shl_min_size(got->len, 3000),
                 (const char *)got->data, (int)shl_min_size(want->len, 3000),
                 (const char *)want->data);
}

/* What the function did, or nothing at all: on the plain database, the writer and others, who compact in between. */
static void test_what_sqlite_does_is_what_all_have(void **state)
{
    struct fixture *f = *state;
    struct schema m, n;
    struct shl_sql *s = open_text(&f->w, &m, "odd/", odd_schema, false);
    struct shl_sql *other = open_text(&f->w, &n, "odd/", odd_schema, false);
    struct shl_buf want = {0}, got = {0};
    sqlite3 *plain = NULL;
    unsigned done = 0;
    assert_int_equal(sqlite3_open(":memory:", &plain), SQLITE_OK);
    assert_int_equal(sqlite3_exec(plain, odd_schema, NULL, NULL, NULL), SQLITE_OK);
    for (size_t i = 0; i < SHL_COUNT_OF(odd_updates); i++) {
        const char *sql = odd_updates[i];
        assert_int_equal(sqlite3_exec(plain, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
        bool fine = sqlite3_exec(plain, sql, NULL, NULL, NULL) == SQLITE_OK;
        shale_code rc = update(s, sql, NULL);
        if ((rc == SHALE_OK) != fine && rc != SHALE_NOT_SUPPORTED)
            fail_msg("%s: %s %s", sql, shale_code_name(rc), sql_err.text);
        if (sqlite3_get_autocommit(plain) == 0)
            assert_int_equal(
                sqlite3_exec(plain, rc == SHALE_OK ? "COMMIT" : "ROLLBACK", NULL, NULL, NULL),
                SQLITE_OK);
        assert_int_equal(sqlite3_exec(plain, "DROP TABLE IF EXISTS temp.r", NULL, NULL, NULL),
                         SQLITE_OK);
        done += rc == SHALE_OK;
        want.len = 0;
        add_tables(plain, &want);
        OK(shl_sql_view(s, dump_tables, &got, &sql_err));
        expect_bytes(sql, "writer", &got, &want);
        OK(shl_sql_view(other, dump_tables, &got, &sql_err));
        expect_bytes(sql, "reader", &got, &want);
        if (i % 7 == 6)
            OK(shl_sql_compact(i % 2 == 0 ? s : other, &sql_err));
    }
    assert_true(done >= SHL_COUNT_OF(odd_updates) - 8);
    shl_buf_free(&want);
    shl_buf_free(&got);
    sqlite3_close(plain);
    shl_sql_close(other);
    shl_sql_close(s);
}

int main(void)
{
    shl_json_setup(1);
    const struct CMUnitTest tests[] = {
        T(test_keys_that_only_look_like_the_rowid),
        T(test_another_history_is_not_mixed_in),
        T(test_a_foreign_file_is_not_replaced),
        T(test_a_journal_beside_the_copy_is_not_played_back),
        T(test_merging_keeps_the_order_of_the_log),
        T(test_our_savepoint_is_not_the_functions),
        T(test_a_migrations_connection_ends_with_it),
        T(test_a_reader_whose_objects_are_collected_goes_on),
        T(test_a_writer_whose_objects_are_collected_goes_on),
        T(test_a_lost_answer_whose_log_was_folded_is_told),
        T(test_a_collector_leaves_what_it_may_not_delete),
        T(test_what_was_not_committed_is_not_told),
        T(test_what_was_lost_is_not_told),
        T(test_merging_begins_with_the_newest_state),
        T(test_tries_have_an_end),
        T(test_what_is_read_without_asking_is_checked),
        T(test_a_changeset_that_is_cut_between_changes_is_told),
        T(test_temporary_files_have_no_names),
        T(test_the_time_of_a_commit_has_it),
        T(test_a_point_in_time_asks_once),
        T(test_a_row_that_is_too_wide_is_told),
        T(test_what_sqlite_does_is_what_all_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
