/* Goal: what the engine promises of one database, without chance: what commits, what conflicts, what is refused and why, what each call asks of the bucket, and that a copy is always
 * the replay of snapshot and log. Method: handles on one memory store behind wrappers that fail, count and lose answers; after each step a fresh reader compares. */
#include "support_sql.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/codec/json.h"
#include "store/shared_folder.h"
#include "store/wrap_latency.h"

/* ---- plain use */

static void test_updates_are_seen_by_others(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_commit c;
    OK(update(f->a, "UPDATE k SET a = 11 WHERE id = 1; INSERT INTO t VALUES('x', x'00ff')", &c));
    assert_true(c.changed);
    assert_int_equal(c.seq, 1);
    assert_int_equal(c.tries, 1);
    expect(f->b, "SELECT a FROM k WHERE id = 1; SELECT k, hex(v) FROM t", "11 x|00FF ");
    OK(update(f->b, "UPDATE k SET a = a", &c));
    assert_false(c.changed);
    assert_int_equal(c.seq, 1);
    expect(f->a, "INSERT INTO k VALUES(9, 9, 9); SELECT count(*) FROM k",
           "3 "); /* a view forgets */
    expect(f->a, "SELECT count(*) FROM k", "2 ");
    FAILS(update(f->a, "INSERT INTO k VALUES(5, 5, 5); SELECT nothing", NULL), SHALE_INVALID,
          "nothing");
    expect_same(&f->w, f->a);
    FAILS(update(f->a, "INSERT INTO t VALUES(\"x\", 1)", NULL), SHALE_INVALID,
          "no such column"); /* as s3db: no double-quoted strings */
}

/* ---- what cannot be sent to others */

static void test_what_cannot_be_sent_is_refused_before_anything_is_stored(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *sql, *why;
    } cases[] = {
        {"INSERT INTO none VALUES(1)", "no PRIMARY KEY"},
        {"INSERT INTO k VALUES(3, 3, 3); DELETE FROM none", "no PRIMARY KEY"},
        {"CREATE TABLE more(x)", "migration"},
        {"DROP TABLE k", "migration"},
        {"ALTER TABLE k ADD COLUMN c", "migration"},
        {"CREATE INDEX i ON k(a)", "migration"},
        {"ANALYZE", "migration"},
        {"ATTACH ':memory:' AS x", "attached"},
        {"BEGIN", "runs in a transaction already"},
        {"COMMIT", "runs in a transaction already"},
        {"END; BEGIN", "runs in a transaction already"},
        {"ROLLBACK", "runs in a transaction already"},
        {"PRAGMA user_version = 7", "PRAGMA user_version"},
        {"PRAGMA journal_mode = WAL", "PRAGMA journal_mode"},
        {"INSERT INTO t VALUES(NULL, 1)", "NULL in its primary key"},
        {"UPDATE s SET u = CASE u WHEN 'a' THEN 'b' ELSE 'a' END", ""},
        {"INSERT INTO tr VALUES(1)", "trigger \"on_tr\" writes"},
        {"UPDATE own SET id = 2", "trigger \"on_own\" writes"},
        {"DELETE FROM sqlite_sequence", ""},
        {"UPDATE s SET u = 'c' WHERE id = 1; UPDATE s SET u = 'a' WHERE id = 2; UPDATE s SET u = "
         "'b' WHERE id = 1",
         "cannot be replayed"},
    };
    struct shl_store_counts before, after;
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        shl_store_counts_read(f->w.count, &before);
        shale_code rc = update(f->a, cases[i].sql, NULL);
        shl_store_counts_read(f->w.count, &after);
        if (rc == SHALE_OK || strstr(sql_err.text, cases[i].why) == NULL)
            fail_msg("%s: %s %s", cases[i].sql, shale_code_name(rc), sql_err.text);
        assert_int_equal(before.kinds[SHL_KIND_PUT].calls, after.kinds[SHL_KIND_PUT].calls);
    }
    expect_same(&f->w, f->a);
    OK(update(
        f->a,
        "CREATE TEMP TABLE x(y); INSERT INTO x VALUES(5); INSERT INTO k SELECT y, y, y FROM x",
        NULL));
    OK(update(f->a, "INSERT INTO chk VALUES(1, 1)", NULL)); /* a trigger that only looks */
    OK(update(f->a, "INSERT INTO v VALUES(8)", NULL));      /* one on a view */
    expect(f->b, "SELECT id FROM k; SELECT id FROM chk", "1 2 5 1 8 ");
    expect(f->b, "PRAGMA table_info(none)", "0|x||0|-|0 ");
}

static void test_triggers_may_be_allowed_but_not_to_break_a_database(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    o.allow_triggers = true;
    OK(shl_sql_open(&s, &o, &sql_err));
    FAILS(update(s, "INSERT INTO tr VALUES(1)", NULL), SHALE_NOT_SUPPORTED, "cannot be replayed");
    expect_same(&f->w, s);
    OK(update(s, "UPDATE own SET id = 2", NULL)); /* fires again, with the same result */
    expect_same(&f->w, s);
    expect(s, "SELECT * FROM own", "2|7 ");
    shl_sql_close(s);
}

/* Tables whose schema drops rows without an error: a conflict clause, and a trigger that writes nothing. */
static shale_code make_silent(void *ctx, sqlite3 *db, shale_error *e)
{
    (void)ctx;
    static const char sql[] =
        "CREATE TABLE i(id INTEGER PRIMARY KEY, u TEXT UNIQUE ON CONFLICT IGNORE); INSERT INTO i "
        "VALUES(7, 'b'), (1, 'x'); CREATE TABLE r(id INTEGER PRIMARY KEY, u TEXT UNIQUE ON "
        "CONFLICT REPLACE); INSERT INTO r VALUES(7, 'b'), (1, 'x');"
        "CREATE TABLE z(id INTEGER PRIMARY KEY); CREATE TABLE b(id INTEGER PRIMARY KEY, v);"
        "CREATE TRIGGER t1 BEFORE INSERT ON b WHEN (SELECT count(*) FROM z) = 0 BEGIN SELECT "
        "RAISE(IGNORE); END;"
        "CREATE TABLE nc(k TEXT PRIMARY KEY COLLATE NOCASE, v); INSERT INTO nc VALUES('a', 1);"
        "CREATE TABLE rt(n, k TEXT COLLATE RTRIM, PRIMARY KEY(n, k)) WITHOUT ROWID; INSERT INTO "
        "rt VALUES(1, 'a');";
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? SHALE_OK
               : shl_fail(e, SHALE_INVALID, "%s", sqlite3_errmsg(db));
}

static const struct shl_sql_migration silent[] = {
    {.version = 1, .name = "silent", .up = make_silent}};

static void open_silent(struct world *w, bool merge, struct shl_sql **out)
{
    struct shl_sql_options o = options_on(w);
    o.prefix = "silent/";
    o.migrations = silent;
    o.merge = merge;
    OK(shl_sql_open(out, &o, &sql_err));
}

static void test_rows_that_a_schema_drops_on_replay_are_not_lost(void **state)
{
    struct fixture *f = *state;
    struct shl_sql *s = NULL;
    struct shl_store_counts before, after;
    open_silent(&f->w, false, &s);
    shl_store_counts_read(f->w.count, &before);
    FAILS(update(s, "UPDATE i SET id = 8 WHERE id = 7", NULL), SHALE_NOT_SUPPORTED,
          "ON CONFLICT clause");
    assert_non_null(strstr(sql_err.text, "table \"i\""));
    FAILS(update(s, "INSERT INTO z VALUES(1); INSERT INTO b VALUES(6, 5); DELETE FROM z", NULL),
          SHALE_NOT_SUPPORTED, "RAISE(IGNORE)");
    assert_non_null(strstr(sql_err.text, "table \"b\""));
    shl_store_counts_read(f->w.count, &after);
    assert_int_equal(before.kinds[SHL_KIND_PUT].calls, after.kinds[SHL_KIND_PUT].calls);
    /* What replays is taken. */
    OK(update(s, "INSERT INTO i VALUES(2, 'x'); INSERT INTO r VALUES(2, 'x')", NULL));
    OK(update(s, "INSERT INTO z VALUES(1)", NULL));
    OK(update(s, "INSERT INTO b VALUES(6, 5)", NULL));
    (void)update(s, "UPDATE r SET id = 8 WHERE id = 7", NULL);
    struct script here = {.sql = "SELECT * FROM i; SELECT * FROM r; SELECT * FROM b"};
    struct script there = here;
    struct shl_sql *fresh = NULL;
    open_silent(&f->w, false, &fresh);
    OK(shl_sql_view(s, run_script, &here, &sql_err));
    OK(shl_sql_view(fresh, run_script, &there, &sql_err));
    assert_string_equal(here.got, there.got);
    assert_non_null(strstr(here.got, "b "));
    shl_sql_close(fresh);
    shl_sql_close(s);
}

static void test_a_collation_of_a_key_is_named(void **state)
{
    struct fixture *f = *state;
    struct shl_sql *s = NULL;
    open_silent(&f->w, false, &s);
    FAILS(update(s, "UPDATE nc SET k = 'A'", NULL), SHALE_NOT_SUPPORTED,
          "column \"k\" in the key of table \"nc\" has collation NOCASE");
    FAILS(update(s, "UPDATE rt SET k = 'a '", NULL), SHALE_NOT_SUPPORTED,
          "column \"k\" in the key of table \"rt\" has collation RTRIM");
    OK(update(s, "UPDATE nc SET v = 2; UPDATE rt SET n = 2", NULL));
    OK(update(s, "DELETE FROM nc", NULL));
    OK(update(s, "INSERT INTO nc VALUES('A', 1)", NULL));
    expect(s, "SELECT * FROM nc; SELECT * FROM rt", "A|1 2|a ");
    shl_sql_close(s);
}

static shale_code take_same_value(void *ctx)
{
    return update(ctx, "INSERT INTO i VALUES(20, 'same')", NULL);
}

static void test_merging_drops_no_rows_either(void **state)
{
    struct fixture *f = *state;
    struct shl_sql *s = NULL, *other = NULL;
    open_silent(&f->w, true, &s);
    open_silent(&f->w, true, &other);
    struct script mine = {
        .sql = "INSERT INTO i VALUES(10, 'same')", .before = take_same_value, .ctx = other};
    OK(shl_sql_update(s, run_script, &mine, NULL, &sql_err));
    assert_int_equal(mine.runs, 2);
    expect(s, "SELECT id FROM i WHERE u = 'same'", "20 ");
    expect(other, "SELECT id FROM i WHERE u = 'same'", "20 ");
    shl_sql_close(other);
    shl_sql_close(s);
}

static shale_code make_plain(void *ctx, sqlite3 *db, shale_error *e)
{
    (void)ctx;
    return sqlite3_exec(db,
                        "CREATE TABLE k(id INTEGER PRIMARY KEY); INSERT INTO k VALUES(1),(2),(3)",
                        NULL, NULL, NULL) == SQLITE_OK
               ? SHALE_OK
               : shl_fail(e, SHALE_INVALID, "%s", sqlite3_errmsg(db));
}

static const struct shl_sql_migration plain[] = {{.version = 1, .name = "plain", .up = make_plain}};

static shale_code leave_running(void *ctx, sqlite3 *db, shale_error *e)
{
    sqlite3_stmt **q = ctx;
    (void)e;
    if (sqlite3_prepare_v2(db, "SELECT id FROM k", -1, q, NULL) == SQLITE_OK)
        (void)sqlite3_step(*q);
    return SHALE_OK;
}

static void test_a_statement_that_is_left_running_is_told(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    sqlite3_stmt *q = NULL;
    o.prefix = "plain/"; /* without virtual tables */
    o.migrations = plain;
    OK(shl_sql_open(&s, &o, &sql_err));
    FAILS(shl_sql_update(s, leave_running, &q, NULL, &sql_err), SHALE_INVALID,
          "left a statement running");
    sqlite3_finalize(q);
    OK(update(s, "DELETE FROM k WHERE id = 2", NULL));
    shl_sql_close(s);
}

/* ---- races */

/* A runs `mine` while B commits `theirs`; how often A ran. */
static unsigned race(struct fixture *f, bool merge, const char *mine, const char *theirs)
{
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    struct race r = {f->b, theirs};
    struct script script = {.sql = mine, .before = other_commits, .ctx = &r};
    o.merge = merge;
    OK(shl_sql_open(&s, &o, &sql_err));
    OK(shl_sql_update(s, run_script, &script, NULL, &sql_err));
    expect_same(&f->w, s);
    shl_sql_close(s);
    return script.runs;
}

static void test_strict_runs_again_whatever_others_committed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(race(f, false, "UPDATE k SET a = (SELECT sum(b) FROM k) WHERE id = 1",
                          "UPDATE k SET b = 7 WHERE id = 2"),
                     2);
    expect(f->a, "SELECT a FROM k WHERE id = 1", "107 ");
}

static void test_merging_is_s3dbs(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        race(f, true, "INSERT INTO t VALUES('mine', 1)", "INSERT INTO t VALUES('theirs', 1)"), 1);
    assert_int_equal(
        race(f, true, "UPDATE k SET a = 1 WHERE id = 1", "UPDATE k SET b = 1 WHERE id = 1"), 1);
    assert_int_equal(
        race(f, true, "UPDATE k SET a = a + 1 WHERE id = 1", "UPDATE k SET a = a + 1 WHERE id = 1"),
        2);
    assert_int_equal(race(f, true, "INSERT INTO k(a) VALUES(5)", "INSERT INTO k(a) VALUES(6)"), 2);
    assert_int_equal(race(f, true, "DELETE FROM k WHERE id = 2", "UPDATE k SET a = 9 WHERE id = 2"),
                     2);
    expect(f->a, "SELECT count(*) FROM t; SELECT a, b FROM k WHERE id = 1", "2 3|1 ");
}

static shale_code other_compacts(void *ctx)
{
    return shl_sql_compact(ctx, &sql_err);
}

static void test_a_compaction_meanwhile_makes_it_run_again(void **state)
{
    struct fixture *f = *state;
    OK(update(f->a, "UPDATE k SET a = 0", NULL));
    struct script script = {.sql = "UPDATE k SET a = a + 1", .before = other_compacts, .ctx = f->b};
    OK(shl_sql_update(f->a, run_script, &script, NULL, &sql_err));
    assert_int_equal(script.runs, 2);
    expect(f->b, "SELECT a FROM k", "1 1 ");
    expect_same(&f->w, f->a);
}

/* ---- lost answers */

static void test_a_lost_answer_commits_once(void **state)
{
    struct fixture *f = *state;
    struct shl_fault_rule rule = {.kinds = SHL_KIND_BIT(SHL_KIND_PUT),
                                  .key_part = "manifest.json",
                                  .effect = SHL_FAULT_AFTER};
    struct shl_sql_commit c;
    OK(update(f->a, "UPDATE k SET a = 0", NULL));
    (void)shl_store_fault_add(f->w.fault, &rule);
    OK(update(f->a, "UPDATE k SET a = a + 1", &c));
    assert_int_equal(c.seq, 2);
    shl_store_fault_clear(f->w.fault);
    rule.effect = SHL_FAULT_BEFORE;
    (void)shl_store_fault_add(f->w.fault, &rule);
    OK(update(f->a, "UPDATE k SET a = a + 1", &c));
    assert_int_equal(c.tries, 1);
    expect(f->b, "SELECT a FROM k", "2 2 ");
    expect_same(&f->w, f->a);
}

static void test_what_cannot_be_told_is_said(void **state)
{
    struct fixture *f = *state;
    struct shl_fault_rule put = {.kinds = SHL_KIND_BIT(SHL_KIND_PUT),
                                 .key_part = "manifest.json",
                                 .effect = SHL_FAULT_AFTER,
                                 .sticky = true};
    struct shl_fault_rule get = {.kinds = SHL_KIND_BIT(SHL_KIND_GET),
                                 .key_part = "manifest.json",
                                 .effect = SHL_FAULT_BEFORE,
                                 .sticky = true};
    OK(update(f->a, "UPDATE k SET a = 0", NULL));
    (void)shl_store_fault_add(f->w.fault, &put);
    (void)shl_store_fault_add(f->w.fault, &get);
    FAILS(update(f->a, "UPDATE k SET a = a + 1", NULL), SHALE_UNAVAILABLE, "outcome unknown");
    shl_store_fault_clear(f->w.fault);
    expect(f->a, "SELECT a FROM k", "1 1 "); /* it was taken, and is there once */
    expect_same(&f->w, f->a);
}

static void test_a_failed_upload_leaves_all_as_it_was(void **state)
{
    struct fixture *f = *state;
    struct shl_fault_rule rule = {.kinds = SHL_KIND_BIT(SHL_KIND_PUT),
                                  .key_part = "changesets",
                                  .effect = SHL_FAULT_BEFORE,
                                  .sticky = true};
    (void)shl_store_fault_add(f->w.fault, &rule);
    FAILS(update(f->a, "UPDATE k SET a = 0", NULL), SHALE_UNAVAILABLE, "");
    shl_store_fault_clear(f->w.fault);
    expect(f->a, "SELECT a FROM k", "10 20 ");
    expect_same(&f->w, f->a);
}

/* ---- what a call asks for */

static uint64_t asked(struct world *w, struct shl_store_counts *since, enum shl_store_kind kind)
{
    struct shl_store_counts now;
    shl_store_counts_read(w->count, &now);
    return now.kinds[kind].calls - since->kinds[kind].calls;
}

static void test_requests_are_few(void **state)
{
    struct fixture *f = *state;
    struct shl_store_counts n;
    OK(update(f->a, "UPDATE k SET a = 0", NULL));
    shl_store_counts_read(f->w.count, &n);
    OK(update(f->a, "UPDATE k SET a = 1", NULL));
    assert_int_equal(asked(&f->w, &n, SHL_KIND_PUT), 2);
    assert_true(asked(&f->w, &n, SHL_KIND_GET) <= 2);
    assert_int_equal(asked(&f->w, &n, SHL_KIND_LIST) + asked(&f->w, &n, SHL_KIND_HEAD) +
                         asked(&f->w, &n, SHL_KIND_DELETE),
                     0);
    shl_store_counts_read(f->w.count, &n);
    expect(f->a, "SELECT a FROM k", "1 1 ");
    assert_int_equal(asked(&f->w, &n, SHL_KIND_GET), 1);
    struct shl_store_counts now;
    shl_store_counts_read(f->w.count, &now);
    assert_int_equal(now.kinds[SHL_KIND_GET].refused - n.kinds[SHL_KIND_GET].refused,
                     1); /* not modified */
    assert_int_equal(asked(&f->w, &n, SHL_KIND_PUT), 0);
}

/* ---- many at once on one handle */

#define WRITERS 8
#define EACH    6

static void write_some(void *arg)
{
    struct shl_sql *s = arg;
    shale_error mine = {0};
    for (int i = 0; i < EACH; i++) {
        struct script script = {.sql = "UPDATE k SET a = a + 1 WHERE id = 1"};
        if (shl_sql_update(s, run_script, &script, NULL, &mine) != SHALE_OK)
            fail_msg("%s", mine.text);
    }
}

static void test_updates_that_wait_are_committed_together(void **state)
{
    (void)state;
    struct world w;
    struct shl_store *slow = NULL;
    struct shl_latency_options latency = {.seed = 1};
    struct env_task *tasks[WRITERS];
    struct shl_store_counts n;
    world_begin(&w);
    for (int i = 0; i < SHL_KINDS; i++)
        latency.kinds[i] =
            (struct shl_latency){2 * ENV_NS_PER_MS, 2 * ENV_NS_PER_MS, 2 * ENV_NS_PER_MS};
    OK(shl_store_latency_new(&slow, w.count, &latency, &sql_err));
    struct shl_sql_options o = options_on(&w);
    struct shl_sql *s = NULL;
    o.store = slow;
    OK(shl_sql_open(&s, &o, &sql_err));
    OK(update(s, "UPDATE k SET a = 0 WHERE id = 1", NULL));
    shl_store_counts_read(w.count, &n);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(env_task_spawn(&tasks[i], "writer", write_some, s), SHALE_OK);
    for (int i = 0; i < WRITERS; i++)
        env_task_join(tasks[i]);
    expect(s, "SELECT a FROM k WHERE id = 1", "48 ");
    assert_true(asked(&w, &n, SHL_KIND_PUT) < 2 * WRITERS * EACH); /* fewer swaps than updates */
    expect_same(&w, s);
    shl_sql_close(s);
    shl_store_unref(slow);
    world_end(&w);
}

/* ---- migrations, compaction, garbage */

static shale_code add_column(void *ctx, sqlite3 *db, shale_error *e)
{
    ++*(int *)ctx;
    return sqlite3_exec(db, "ALTER TABLE k ADD COLUMN c INT DEFAULT 3", NULL, NULL, NULL) ==
                   SQLITE_OK
               ? SHALE_OK
               : shl_fail(e, SHALE_INVALID, "%s", sqlite3_errmsg(db));
}

static void test_a_migration_locks_the_old_schema_out(void **state)
{
    struct fixture *f = *state;
    int ran = 0;
    const struct shl_sql_migration two[] = {
        first_tables[0], {.version = 4, .name = "c", .up = add_column, .ctx = &ran}};
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    OK(update(f->a, "UPDATE k SET a = 5 WHERE id = 1", NULL));
    o.migrations = two;
    o.migration_count = 2;
    OK(shl_sql_open(&s, &o, &sql_err));
    assert_int_equal(ran, 1);
    expect(s, "SELECT * FROM k", "1|5|100|3 2|20|200|3 ");
    FAILS(shl_sql_view(f->a, run_script, &(struct script){.sql = "SELECT 1"}, &sql_err),
          SHALE_CONFLICT, "schema v4, client at v1");
    FAILS(update(f->b, "UPDATE k SET a = 6", NULL), SHALE_CONFLICT, "schema v4, client at v1");
    expect(s, "SELECT a FROM k", "5 20 ");
    struct shl_sql *late = NULL;
    struct shl_sql_options old = options_on(&f->w);
    FAILS(shl_sql_open(&late, &old, &sql_err), SHALE_CONFLICT, "newer migrations");
    o.migrations = (const struct shl_sql_migration[]){two[1], two[0]};
    FAILS(shl_sql_open(&late, &o, &sql_err), SHALE_INVALID, "strictly increasing");
    shl_sql_close(s);
}

static size_t objects(struct world *w)
{
    struct shl_list l = {0};
    OK(shl_store_list(w->bucket, &(struct shl_list_options){0}, &l, &sql_err));
    size_t n = l.count;
    shl_list_free(&l);
    return n;
}

static void test_compaction_and_collection_keep_two_objects(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_gc_result r;
    for (int i = 0; i < 5; i++)
        OK(update(f->a,
                  "UPDATE k SET a = a + 1 WHERE id = 1; INSERT INTO docs VALUES('a word or two')",
                  NULL));
    expect(f->b, "SELECT count(*) FROM docs WHERE docs MATCH 'word'", "5 ");
    OK(update(f->a, "DELETE FROM docs WHERE rowid < 3", NULL));
    expect(f->b, "SELECT count(*) FROM docs WHERE docs MATCH 'word'",
           "3 "); /* what the module remembers is not believed */
    OK(shl_sql_compact(f->a, &sql_err));
    OK(shl_sql_compact(f->a, &sql_err)); /* nothing to do */
    expect_same(&f->w, f->b);
    OK(shl_sql_gc(f->b, 300000, false, &r, &sql_err));
    assert_int_equal(r.changesets, 0);
    OK(shl_sql_gc(f->b, 0, true, &r, &sql_err));
    assert_int_equal(r.changesets, 6);
    OK(shl_sql_gc(f->b, 0, false, &r, &sql_err));
    assert_int_equal(objects(&f->w), 2);
    OK(update(f->b, "UPDATE k SET a = 1", NULL));
    expect_same(&f->w, f->a);
}

static void test_compacting_by_itself(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    struct shl_sql_status st;
    o.auto_compact = 3;
    OK(shl_sql_open(&s, &o, &sql_err));
    for (int i = 0; i < 7; i++)
        OK(update(s, "UPDATE k SET a = a + 1", NULL));
    OK(shl_sql_status(s, true, &st, &sql_err));
    assert_int_equal(st.seq, 7);
    assert_int_equal(st.log_entries, 1);
    shl_sql_close(s);
}

static void test_compressed_snapshots(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    struct shl_sql_status st;
    o.compress = true;
    OK(shl_sql_open(&s, &o, &sql_err));
    OK(update(s, "UPDATE k SET a = 1", NULL));
    OK(shl_sql_compact(s, &sql_err));
    OK(update(s, "UPDATE k SET a = 2 WHERE id = 1", NULL));
    OK(shl_sql_status(s, true, &st, &sql_err));
    assert_non_null(strstr(st.snapshot_key, ".sqlite.zst"));
    assert_true(st.snapshot_bytes < 16384);
    expect_same(&f->w, s);
    expect(f->b, "SELECT a FROM k; PRAGMA integrity_check", "2 1 ok ");
    OK(shl_sql_compact(f->a, &sql_err)); /* and back to what s3db reads */
    OK(shl_sql_status(f->a, true, &st, &sql_err));
    assert_null(strstr(st.snapshot_key, ".zst"));
    expect_same(&f->w, s);
    shl_sql_close(s);
}

/* ---- points in time, the feed */

static bool count_entries(void *ctx, const struct shl_sql_entry *e)
{
    int64_t *last = ctx;
    assert_true(e->body.len > 0);
    *last = e->seq;
    return true;
}

static void test_as_of_a_commit(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    int64_t last = 0;
    for (int i = 1; i <= 3; i++)
        OK(update(f->a, "UPDATE k SET a = a + 1 WHERE id = 1", NULL));
    o.at_seq = 2;
    OK(shl_sql_open(&s, &o, &sql_err));
    expect(s, "SELECT a FROM k WHERE id = 1", "12 ");
    FAILS(update(s, "DELETE FROM k", NULL), SHALE_NOT_SUPPORTED, "reading only");
    shl_sql_close(s);
    o.at_seq = 9;
    FAILS(shl_sql_open(&s, &o, &sql_err), SHALE_NOT_FOUND, "seq 9");
    OK(shl_sql_log(f->b, 1, true, true, count_entries, &last, &sql_err));
    assert_int_equal(last, 3);
    OK(shl_sql_compact(f->a, &sql_err));
    FAILS(shl_sql_log(f->b, 1, true, false, count_entries, &last, &sql_err), SHALE_NOT_FOUND,
          "folded");
}

/* ---- pages on demand */

static void test_a_large_snapshot_is_read_by_pages(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    struct shl_store_counts before, after;
    OK(update(f->a,
              "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 3009) "
              "INSERT INTO t SELECT 'k' || i, randomblob(4000) FROM n",
              NULL));
    OK(shl_sql_compact(f->a, &sql_err));
    o.lazy = true;
    shl_store_counts_read(f->w.count, &before);
    OK(shl_sql_open(&s, &o, &sql_err));
    expect(s, "SELECT length(v) FROM t WHERE k = 'k77'", "4000 ");
    shl_store_counts_read(f->w.count, &after);
    assert_true(after.bytes_down - before.bytes_down < 4000000); /* of 12 MB and more */
    OK(update(s, "UPDATE t SET v = 'short' WHERE k = 'k78'; DELETE FROM t WHERE k = 'k79'", NULL));
    expect(s, "SELECT count(*), sum(length(v)) FROM t", "2999|11992005 ");
    expect_same(&f->w, s);
    OK(shl_sql_compact(s, &sql_err));
    expect(f->b, "SELECT count(*) FROM t; PRAGMA integrity_check", "2999 ok ");
    shl_sql_close(s);
}

/* ---- kept copies */

static void test_a_kept_copy_is_taken_up_again_unless_in_doubt(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL, *second = NULL;
    struct shl_store_counts n;
    char path[] = "/tmp/shale-sql-test-XXXXXX", name[80];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    o.local_path = path;
    OK(update(f->a, "UPDATE k SET a = 1", NULL));
    OK(shl_sql_open(&s, &o, &sql_err));
    FAILS(shl_sql_open(&second, &o, &sql_err), SHALE_CONFLICT, "in use");
    OK(update(s, "UPDATE k SET a = 2", NULL));
    shl_sql_close(s);
    OK(update(f->a, "UPDATE k SET a = 3", NULL));
    shl_store_counts_read(f->w.count, &n);
    OK(shl_sql_open(&s, &o, &sql_err));
    assert_int_equal(asked(&f->w, &n, SHL_KIND_GET), 2); /* the manifest, and what is new */
    expect(s, "SELECT a FROM k", "3 3 ");
    shl_sql_close(s);
    close(fd);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 5000), 1); /* somebody wrote to it */
    shl_store_counts_read(f->w.count, &n);
    OK(shl_sql_open(&s, &o, &sql_err));
    assert_true(asked(&f->w, &n, SHL_KIND_GET) > 2);
    expect_same(&f->w, s);
    shl_sql_close(s);
    close(fd);
    unlink(path);
    snprintf(name, sizeof name, "%s.shale", path);
    unlink(name);
    snprintf(name, sizeof name, "%s.lock", path);
    unlink(name);
}

/* ---- whole databases */

static void test_pull_and_push(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql_pulled p, q;
    char path[] = "/tmp/shale-sql-pull-XXXXXX";
    int fd = mkstemp(path);
    sqlite3 *db = NULL;
    assert_true(fd >= 0);
    close(fd);
    OK(update(f->a, "UPDATE k SET a = 1", NULL));
    OK(shl_sql_pull(&o, path, &p, &sql_err));
    assert_int_equal(p.seq, 1);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE k SET a = 77", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    OK(shl_sql_push(&o, path, p.seq, p.snapshot_key, &q, &sql_err));
    expect(f->a, "SELECT a FROM k", "77 77 ");
    expect(f->b, "SELECT a FROM k", "77 77 ");
    FAILS(shl_sql_push(&o, path, p.seq, p.snapshot_key, &q, &sql_err), SHALE_PRECONDITION,
          "another snapshot");
    OK(update(f->a, "UPDATE k SET a = 1", NULL));
    FAILS(shl_sql_push(&o, path, p.seq, NULL, &q, &sql_err), SHALE_PRECONDITION, "seq 2");
    OK(shl_sql_push(&o, path, SHL_SQL_NONE, NULL, &q, &sql_err));
    FAILS(shl_sql_init(&o, path, &sql_err), SHALE_ALREADY_EXISTS, "already exists");
    o.prefix = "new/";
    FAILS(shl_sql_pull(&o, path, &p, &sql_err), SHALE_NOT_FOUND, "no database here");
    OK(shl_sql_init(&o, path, &sql_err));
    FILE *file = fopen(path, "w");
    fputs("no database, but long enough to be looked at as one: it is refused before anything is "
          "stored",
          file);
    fclose(file);
    FAILS(shl_sql_push(&o, path, SHL_SQL_NONE, NULL, &q, &sql_err), SHALE_CORRUPTION,
          "no sound SQLite database");
    unlink(path);
}

/* ---- s3db's own databases, and damage */

static struct shl_store *fixture_store(const char *name)
{
    char path[600];
    struct shl_store *s = NULL;
    struct shl_file_options o = {0};
    snprintf(path, sizeof path, SHALE_SOURCE_DIR "/tests/fixtures/s3db/%s/store", name);
    OK(shl_store_shared_folder_new(&s, path, &o, &sql_err));
    return s;
}

static void test_s3dbs_databases_open(void **state)
{
    (void)state;
    static const struct {
        const char *name, *prefix;
        int64_t seq;
    } cases[] = {{"basic", "db/", 7},
                 {"types", "deep/er/prefix/", 3},
                 {"rebase", "db/", 10},
                 {"log100", "db/", 100},
                 {"empty", "db/", 0}};
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_sql_options o;
        struct shl_sql *s = NULL;
        struct shl_sql_status st;
        shl_sql_options_init(&o);
        o.store = fixture_store(cases[i].name);
        o.prefix = cases[i].prefix;
        o.schema_unchecked = o.must_exist = true;
        OK(shl_sql_open(&s, &o, &sql_err));
        OK(shl_sql_status(s, false, &st, &sql_err));
        if (strcmp(cases[i].name, "rebase") != 0)
            assert_int_equal(st.seq, cases[i].seq);
        expect(s, "PRAGMA integrity_check", "ok ");
        shl_sql_close(s);
        shl_store_unref(o.store);
    }
}

static void test_a_database_that_a_trigger_broke(void **state)
{
    (void)state;
    struct shl_sql_options o;
    struct shl_sql *s = NULL;
    shl_sql_options_init(&o);
    o.store = fixture_store("broken-trigger");
    o.prefix = "db/";
    o.schema_unchecked = o.must_exist = true;
    FAILS(shl_sql_open(&s, &o, &sql_err), SHALE_CORRUPTION, "seq=1");
    assert_non_null(strstr(sql_err.text, "SQLITE_CHANGESET_CONFLICT"));
    o.ignore_triggers = true; /* what is in it can be had all the same */
    OK(shl_sql_open(&s, &o, &sql_err));
    expect(s, "PRAGMA integrity_check", "ok ");
    shl_sql_close(s);
    shl_store_unref(o.store);
}

/* Every object cut in half, and every object gone: an error that names it. */
static void test_damaged_objects_are_named(void **state)
{
    struct fixture *f = *state;
    struct shl_list l = {0};
    struct shl_sql_options o = options_on(&f->w);
    struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    OK(update(f->a, "UPDATE k SET a = 1", NULL));
    OK(shl_sql_compact(f->a, &sql_err));
    OK(update(f->a, "UPDATE k SET a = 2", NULL));
    OK(shl_sql_gc(f->a, 0, false, NULL, &sql_err));
    OK(shl_store_list(f->w.bucket, &(struct shl_list_options){0}, &l, &sql_err));
    assert_int_equal(l.count, 3);
    for (size_t i = 0; i < l.count; i++) {
        struct shl_buf body = {0};
        struct shl_sql *s = NULL;
        OK(shl_store_get(f->w.bucket, l.items[i].key, NULL, &body, NULL, &sql_err));
        struct shl_slice half = shl_slice_of(body.data, body.len / 2), whole = shl_buf_view(&body);
        OK(shl_store_put(f->w.bucket, l.items[i].key, &half, 1, &how, NULL, &sql_err));
        FAILS(shl_sql_open(&s, &o, &sql_err), SHALE_CORRUPTION, l.items[i].key);
        if (strstr(l.items[i].key, "manifest") == NULL) {
            OK(shl_store_delete(f->w.bucket, l.items[i].key, &sql_err));
            FAILS(shl_sql_open(&s, &o, &sql_err), SHALE_CORRUPTION, l.items[i].key);
        }
        OK(shl_store_put(f->w.bucket, l.items[i].key, &whole, 1, &how, NULL, &sql_err));
        shl_buf_free(&body);
    }
    expect_same(&f->w, f->a);
    shl_list_free(&l);
}

/* Puts a manifest into the bucket whose text has `from` replaced by `to`. */
static void edit_manifest(struct world *w, const char *from, const char *to)
{
    struct shl_buf body = {0};
    struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    char text[4096];
    OK(shl_store_get(w->bucket, "db/manifest.json", NULL, &body, NULL, &sql_err));
    OK(shl_buf_append(&body, "", 1, &sql_err));
    const char *at = strstr((const char *)body.data, from);
    assert_non_null(at);
    size_t head = (size_t)(at - (const char *)body.data);
    size_t old = from[strlen(from) - 1] == ':'
                     ? strlen(from) + strspn(at + strlen(from), "0123456789")
                     : strlen(from);
    snprintf(text, sizeof text, "%.*s%s%s", (int)head, (const char *)body.data, to, at + old);
    struct shl_slice s = shl_slice_str(text);
    OK(shl_store_put(w->bucket, "db/manifest.json", &s, 1, &how, NULL, &sql_err));
    shl_buf_free(&body);
}

/* The numbers of a manifest are anybody's: one of 2^61 bytes is told at once, whatever way the snapshot is read. */
static void test_a_size_out_of_this_world_is_told_at_once(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    static const char *const sizes[] = {"\"size\":2305843009213693952",
                                        "\"size\":9223372036854775807", "\"size\":1073741825",
                                        "\"size\":1000000000"};
    for (size_t i = 0; i < 2 * SHL_COUNT_OF(sizes); i++) {
        struct shl_store_counts before, after;
        edit_manifest(&f->w, "\"size\":", sizes[i / 2]);
        o.lazy = i % 2 != 0;
        shl_store_counts_read(f->w.count, &before);
        shale_code rc = shl_sql_open(&s, &o, &sql_err);
        shl_store_counts_read(f->w.count, &after);
        assert_true(after.kinds[SHL_KIND_GET].calls - before.kinds[SHL_KIND_GET].calls <= 20);
        if (rc == SHALE_OK) { /* read by pages, a little too much is not seen */
            assert_true(o.lazy);
            shl_sql_close(s);
            continue;
        }
        assert_int_equal(rc, SHALE_CORRUPTION);
        assert_non_null(strstr(sql_err.text, "snapshots/"));
    }
}

static void test_the_last_seq_overflows_nothing(void **state)
{
    struct fixture *f = *state;
    struct shl_sql_options o = options_on(&f->w);
    struct shl_sql *s = NULL;
    edit_manifest(&f->w, "\"seq\":", "\"seq\":9223372036854775807");
    edit_manifest(&f->w, ".sqlite\",\"seq\":", ".sqlite\",\"seq\":9223372036854775807");
    OK(shl_sql_open(&s, &o, &sql_err));
    FAILS(update(s, "UPDATE k SET a = 1", NULL), SHALE_CORRUPTION, "at its end");
    expect(s, "SELECT a FROM k", "10 20 ");
    shl_sql_close(s);
}

int main(void)
{
    shl_json_setup(1);
    const struct CMUnitTest tests[] = {
        T(test_updates_are_seen_by_others),
        T(test_what_cannot_be_sent_is_refused_before_anything_is_stored),
        T(test_triggers_may_be_allowed_but_not_to_break_a_database),
        T(test_rows_that_a_schema_drops_on_replay_are_not_lost),
        T(test_merging_drops_no_rows_either),
        T(test_a_collation_of_a_key_is_named),
        T(test_a_statement_that_is_left_running_is_told),
        T(test_strict_runs_again_whatever_others_committed),
        T(test_merging_is_s3dbs),
        T(test_a_compaction_meanwhile_makes_it_run_again),
        T(test_a_lost_answer_commits_once),
        T(test_what_cannot_be_told_is_said),
        T(test_a_failed_upload_leaves_all_as_it_was),
        T(test_requests_are_few),
        cmocka_unit_test(test_updates_that_wait_are_committed_together),
        T(test_a_migration_locks_the_old_schema_out),
        T(test_compaction_and_collection_keep_two_objects),
        T(test_compacting_by_itself),
        T(test_compressed_snapshots),
        T(test_as_of_a_commit),
        T(test_a_large_snapshot_is_read_by_pages),
        T(test_a_kept_copy_is_taken_up_again_unless_in_doubt),
        T(test_pull_and_push),
        cmocka_unit_test(test_s3dbs_databases_open),
        cmocka_unit_test(test_a_database_that_a_trigger_broke),
        T(test_damaged_objects_are_named),
        T(test_a_size_out_of_this_world_is_told_at_once),
        T(test_the_last_seq_overflows_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
