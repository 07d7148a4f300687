/* Notes in a SQLite database in a bucket, by many instances of the function at once. SPDX-License-Identifier: Apache-2.0
 *
 * {"do":"add","text":"milk"}  ->  {"id":1,"tries":1,...}
 * {"do":"list"}               ->  {"notes":[{"id":1,"text":"milk"}],...}
 * Each answer also has what this event cost: "gets" and "puts", and "events", how many this handle has served. */
#include "app.h"

#include <shale/sql.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct app {
    shale_sql *sql;
    json_int_t events;
};

/* What a statement's end means: its own error, or that of the call. */
static shale_code sqlite_failed(sqlite3 *db, shale_error *err)
{
    err->code = SHALE_INVALID;
    (void)snprintf(err->text, sizeof err->text, "SQLite: %s", sqlite3_errmsg(db));
    return err->code;
}

static shale_code create_notes(void *ctx, sqlite3 *db, shale_error *err)
{
    (void)ctx;
    /* Ids are drawn by SQLite from what this transaction sees: that two instances never draw the same is what serializable means. */
    const char *sql = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)";
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? SHALE_OK : sqlite_failed(db, err);
}

struct event {
    const char *text;
    json_t *answer;
};

/* May run again when another instance was faster: it only sets what it would set anyway. */
static shale_code add(void *ctx, sqlite3 *db, shale_error *err)
{
    struct event *e = ctx;
    sqlite3_stmt *s = NULL;
    bool ok = sqlite3_prepare_v2(db, "INSERT INTO notes (text) VALUES (?)", -1, &s, NULL) == SQLITE_OK &&
              sqlite3_bind_text(s, 1, e->text, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_step(s) == SQLITE_DONE;
    sqlite3_finalize(s);
    if (!ok)
        return sqlite_failed(db, err);
    json_object_set_new(e->answer, "id", json_integer(sqlite3_last_insert_rowid(db)));
    return SHALE_OK;
}

static shale_code list(void *ctx, sqlite3 *db, shale_error *err)
{
    struct event *e = ctx;
    json_t *notes = json_array();
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT id, text FROM notes ORDER BY id", -1, &s, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        json_array_append_new(notes, json_pack("{s:I, s:s}", "id", (json_int_t)sqlite3_column_int64(s, 0),
                                               "text", (const char *)sqlite3_column_text(s, 1)));
        rc = SQLITE_OK;
    }
    sqlite3_finalize(s);
    json_object_set_new(e->answer, "notes", notes);
    return rc == SQLITE_DONE ? SHALE_OK : sqlite_failed(db, err);
}

struct app *app_open(char error[APP_ERROR_MAX])
{
    static const shale_sql_migration migrations[] = {{.version = 1, .name = "notes", .up = create_notes}};
    const char *url = getenv("SHALE_DB");
    const char *local = getenv("SHALE_LOCAL_PATH");
    struct app *app = calloc(1, sizeof *app);
    shale_error err = {0};
    shale_sql_options how;
    shale_sql_options_init(&how, sizeof how);
    how.max_retries = 100; /* many instances write at once, and an event should not fail for that */
    how.local_path = local != NULL ? local : "/tmp/notes.sqlite"; /* a new process on the same machine begins with it */
    how.auto_compact = 100;
    how.migrations = migrations;
    how.migration_count = sizeof migrations / sizeof *migrations;
    if (app == NULL || url == NULL) {
        (void)snprintf(error, APP_ERROR_MAX, "%s", app == NULL ? "out of memory" : "SHALE_DB is not set: it is the URL of the database, s3://bucket/prefix");
    } else if (shale_sql_open(&app->sql, url, NULL, &how, &err) != SHALE_OK) {
        (void)snprintf(error, APP_ERROR_MAX, "%s: %s", shale_code_name(err.code), err.text);
    } else {
        return app;
    }
    free(app);
    return NULL;
}

json_t *app_handle(struct app *app, json_t *event, char error[APP_ERROR_MAX])
{
    const char *what = json_string_value(json_object_get(event, "do"));
    struct event e = {.text = json_string_value(json_object_get(event, "text")), .answer = json_object()};
    shale_store_counts before = {.struct_size = sizeof before}, after = {.struct_size = sizeof after};
    shale_sql_commit commit = {.struct_size = sizeof commit};
    shale_error err = {0};
    shale_code rc;
    shale_sql_store_counts(app->sql, &before);
    if (what != NULL && strcmp(what, "add") == 0 && e.text != NULL) {
        rc = shale_sql_update(app->sql, add, &e, &commit, &err); /* durable, and everybody's, on return */
        json_object_set_new(e.answer, "tries", json_integer(commit.tries));
    } else if (what != NULL && strcmp(what, "list") == 0) {
        rc = shale_sql_view(app->sql, list, &e, &err);
    } else {
        rc = err.code = SHALE_INVALID;
        (void)snprintf(err.text, sizeof err.text, "want {\"do\":\"add\",\"text\":..} or {\"do\":\"list\"}");
    }
    shale_sql_store_counts(app->sql, &after);
    json_object_set_new(e.answer, "gets", json_integer((json_int_t)(after.get - before.get)));
    json_object_set_new(e.answer, "puts", json_integer((json_int_t)(after.put - before.put)));
    json_object_set_new(e.answer, "events", json_integer(++app->events));
    if (rc == SHALE_OK)
        return e.answer;
    (void)snprintf(error, APP_ERROR_MAX, "%s: %s", shale_code_name(rc), err.text);
    json_decref(e.answer);
    return NULL;
}

void app_close(struct app *app)
{
    shale_sql_close(app->sql);
    free(app);
}
