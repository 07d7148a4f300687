#include "support_sql.h"

shale_error sql_err;

/* ---- a bucket, and handles on it */

void world_begin(struct world *w)
{
    OK(shl_store_memory_new(&w->bucket, &sql_err));
    OK(shl_store_fault_new(&w->fault, w->bucket, 1, &sql_err));
    OK(shl_store_count_new(&w->count, w->fault, &sql_err));
}

void world_end(struct world *w)
{
    shl_store_unref(w->count);
    shl_store_unref(w->fault);
    shl_store_unref(w->bucket);
}

static shale_code make_tables(void *ctx, sqlite3 *db, shale_error *e)
{
    (void)ctx;
    static const char sql[] =
        "CREATE TABLE k(id INTEGER PRIMARY KEY, a INT, b INT); INSERT INTO k VALUES(1, 10, 100), "
        "(2, 20, 200);"
        "CREATE TABLE t(k TEXT PRIMARY KEY, v); CREATE TABLE none(x); CREATE TABLE s(id INTEGER "
        "PRIMARY KEY, u UNIQUE);"
        "INSERT INTO s VALUES(1, 'a'), (2, 'b'); CREATE TABLE tr(id INTEGER PRIMARY KEY); CREATE "
        "TABLE audit(id INTEGER PRIMARY KEY, what);"
        "CREATE TRIGGER on_tr AFTER INSERT ON tr BEGIN INSERT INTO audit(what) VALUES('x'); END;"
        "CREATE TABLE own(id INTEGER PRIMARY KEY, n INT DEFAULT 0); INSERT INTO own VALUES(1, 0);"
        "CREATE TRIGGER on_own AFTER UPDATE OF id ON own BEGIN UPDATE own SET n = 7 WHERE id = "
        "new.id; END;"
        "CREATE TABLE chk(id INTEGER PRIMARY KEY, n INT); CREATE TRIGGER on_chk BEFORE INSERT ON "
        "chk WHEN new.n < 0 BEGIN SELECT RAISE(ABORT, 'negative'); END;"
        "CREATE VIEW v AS SELECT id FROM chk; CREATE TRIGGER on_v INSTEAD OF INSERT ON v BEGIN "
        "INSERT INTO chk VALUES(new.id, 1); END;"
        "CREATE VIRTUAL TABLE docs USING fts5(body);";
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? SHALE_OK
               : shl_fail(e, SHALE_INVALID, "%s", sqlite3_errmsg(db));
}

const struct shl_sql_migration first_tables[1] = {
    {.version = 1, .name = "tables", .up = make_tables}};

struct shl_sql_options options_on(struct world *w)
{
    struct shl_sql_options o;
    shl_sql_options_init(&o);
    o.store = w->count;
    o.prefix = "db/";
    o.migrations = first_tables;
    o.migration_count = 1;
    return o;
}

struct shl_sql *open_on(struct world *w)
{
    struct shl_sql *s = NULL;
    struct shl_sql_options o = options_on(w);
    OK(shl_sql_open(&s, &o, &sql_err));
    return s;
}

/* ---- statements */

static int add_row(void *ctx, int n, char **values, char **names)
{
    struct script *s = ctx;
    (void)names;
    for (int i = 0; i < n; i++) {
        strncat(s->got, values[i] == NULL ? "-" : values[i], sizeof s->got - strlen(s->got) - 1);
        strncat(s->got, i + 1 < n ? "|" : " ", sizeof s->got - strlen(s->got) - 1);
    }
    return 0;
}

shale_code run_script(void *ctx, sqlite3 *db, shale_error *e)
{
    struct script *s = ctx;
    s->got[0] = '\0';
    if (sqlite3_exec(db, s->sql, add_row, s, NULL) != SQLITE_OK)
        return shl_fail(e, SHALE_INVALID, "%s", sqlite3_errmsg(db));
    if (s->runs++ == 0 && s->before != NULL)
        return s->before(s->ctx);
    return SHALE_OK;
}

shale_code update(struct shl_sql *s, const char *sql, struct shl_sql_commit *out)
{
    struct script script = {.sql = sql};
    return shl_sql_update(s, run_script, &script, out, &sql_err);
}

void expect(struct shl_sql *s, const char *sql, const char *want)
{
    struct script script = {.sql = sql};
    OK(shl_sql_view(s, run_script, &script, &sql_err));
    assert_string_equal(script.got, want);
}

static const char all_rows[] =
    "SELECT * FROM k ORDER BY id; SELECT * FROM t ORDER BY k; SELECT * FROM s ORDER BY id; SELECT "
    "* FROM own; SELECT * FROM chk; SELECT rowid, body FROM docs";

void expect_same(struct world *w, struct shl_sql *s)
{
    struct shl_sql *fresh = open_on(w);
    struct script a = {.sql = all_rows}, b = {.sql = all_rows};
    OK(shl_sql_view(s, run_script, &a, &sql_err));
    OK(shl_sql_view(fresh, run_script, &b, &sql_err));
    assert_string_equal(a.got, b.got);
    shl_sql_close(fresh);
}

int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    world_begin(&f->w);
    f->a = open_on(&f->w);
    f->b = open_on(&f->w);
    *state = f;
    return 0;
}

int end(void **state)
{
    struct fixture *f = *state;
    shl_sql_close(f->a);
    shl_sql_close(f->b);
    world_end(&f->w);
    free(f);
    return 0;
}

shale_code other_commits(void *ctx)
{
    struct race *r = ctx;
    struct script s = {.sql = r->sql};
    return shl_sql_update(r->other, run_script, &s, NULL, &sql_err);
}
