/* cc examples/sql.c $(pkg-config --cflags --libs shale sqlite3) -o sql */
#include <shale/sql.h>
#include <sqlite3.h>
#include <stdio.h>
#define TRY(call)                                                                                  \
    do {                                                                                           \
        if ((rc = (call)) != SHALE_OK)                                                             \
            goto out;                                                                              \
    } while (0)

/* The functions below get a connection for as long as they run, and may run more than once: they keep nothing of a run that failed. */
static shale_code run(sqlite3 *db, const char *sql, shale_error *err)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return SHALE_OK;
    snprintf(err->text, sizeof err->text, "%s", sqlite3_errmsg(db));
    return err->code = SHALE_INVALID;
}

static shale_code make_items(void *ctx, sqlite3 *db, shale_error *err)
{
    (void)ctx;
    return run(db, "CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT, qty INT)", err);
}

static shale_code add_two(void *ctx, sqlite3 *db, shale_error *err)
{
    (void)ctx;
    return run(db, "INSERT INTO items(name, qty) VALUES('nut', 5), ('bolt', 7)", err);
}

static shale_code print_items(void *ctx, sqlite3 *db, shale_error *err)
{
    sqlite3_stmt *q = NULL;
    (void)ctx;
    if (sqlite3_prepare_v2(db, "SELECT name, qty FROM items ORDER BY id", -1, &q, NULL) !=
        SQLITE_OK)
        return run(db, "SELECT name, qty FROM items", err); /* says why */
    while (sqlite3_step(q) == SQLITE_ROW)
        printf("%s %d\n", (const char *)sqlite3_column_text(q, 0), sqlite3_column_int(q, 1));
    sqlite3_finalize(q);
    return SHALE_OK;
}

int main(int argc, char **argv)
{
    const char *url =
        argc > 1 ? argv[1] : "memory:///shop"; /* or file:///tmp/shop, s3://bucket/shop */
    const shale_sql_migration first = {.version = 1, .name = "items", .up = make_items};
    shale_sql_commit commit = {.struct_size = sizeof commit};
    shale_error err = {SHALE_OK, ""};
    shale_sql_options how;
    shale_sql *sql = NULL;
    shale_code rc;

    shale_sql_options_init(&how, sizeof how);
    how.migrations = &first; /* the schema is changed by migrations only */
    how.migration_count = 1;
    TRY(shale_sql_open(&sql, url, NULL, &how, &err)); /* makes the database if there is none */
    TRY(shale_sql_update(sql, add_two, NULL, &commit,
                         &err)); /* all or nothing, durable on return */
    printf("commit %lld\n", (long long)commit.seq);
    TRY(shale_sql_view(sql, print_items, NULL, &err)); /* the newest state */
out:
    shale_sql_close(sql); /* accepts NULL */
    if (rc != SHALE_OK)
        fprintf(stderr, "%s: %s\n", shale_code_name(rc), err.text);
    return rc == SHALE_OK ? 0 : 1;
}
