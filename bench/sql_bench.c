/* Commits, opens and views of a sql database on a store, as JSON. usage: sql_bench URL ROOT commits N WRITERS [shared|own] | open N | view N
 *
 * shared: the writers are threads of one handle; own: each has a handle, as processes would. Beside the real s3db: bench/run-sql. */
#include <pthread.h>
#include <shale/shale.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *url;
static shale_options *options;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(shale_code rc, const shale_error *err)
{
    if (rc == SHALE_OK)
        return;
    fprintf(stderr, "%s: %s\n", shale_code_name(rc), err->text);
    exit(1);
}

static shale_sql *open_sql(void)
{
    shale_sql *sql = NULL;
    shale_sql_options how;
    shale_error err;
    shale_sql_options_init(&how, sizeof how);
    how.must_exist = how.schema_unchecked = true;
    how.max_retries = 50;
    must(shale_sql_open(&sql, url, options, &how, &err), &err);
    return sql;
}

struct writer {
    pthread_t thread;
    shale_sql *sql;
    int number, count, at;
};

static shale_code insert(void *ctx, sqlite3 *db, shale_error *err)
{
    const struct writer *w = ctx;
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(
        db, "INSERT INTO bench(id, body) VALUES(?, 'a body of some forty bytes, as rows may have')",
        -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(q, 1, (sqlite3_int64)w->number * 1000000 + w->at);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    sqlite3_finalize(q);
    if (rc == SQLITE_DONE)
        return SHALE_OK;
    err->code = SHALE_INVALID;
    snprintf(err->text, sizeof err->text, "%s", sqlite3_errmsg(db));
    return SHALE_INVALID;
}

static void *write_all(void *arg)
{
    struct writer *w = arg;
    shale_error err;
    for (; w->at < w->count; w->at++) {
        shale_code rc;
        do
            rc = shale_sql_update(w->sql, insert, w, NULL, &err);
        while (rc == SHALE_CONFLICT);
        must(rc, &err);
    }
    return NULL;
}

static void add(shale_store_counts *sum, shale_sql *sql)
{
    shale_store_counts n = {.struct_size = sizeof n};
    shale_sql_store_counts(sql, &n);
    sum->put += n.put;
    sum->get += n.get;
    sum->bytes_up += n.bytes_up;
    sum->bytes_down += n.bytes_down;
}

static void commits(int count, int writers, int shared)
{
    static struct writer w[64];
    shale_store_counts sum = {.struct_size = sizeof sum}, opening = {.struct_size = sizeof opening};
    for (int i = 0; i < writers; i++) {
        w[i] = (struct writer){
            .number = i, .count = count / writers, .sql = i > 0 && shared ? w[0].sql : open_sql()};
        if (i == 0 || !shared)
            add(&opening, w[i].sql);
    }
    double begun = now_s();
    for (int i = 0; i < writers; i++)
        pthread_create(&w[i].thread, NULL, write_all, &w[i]);
    for (int i = 0; i < writers; i++)
        pthread_join(w[i].thread, NULL);
    double took = now_s() - begun, n = count / writers * writers;
    for (int i = 0; i < writers; i++) {
        if (i > 0 && shared)
            continue;
        add(&sum, w[i].sql);
        shale_sql_close(w[i].sql);
    }
    printf("{\"commits_per_s\":%.1f,\"puts_per_commit\":%.2f,\"gets_per_commit\":%.2f,\"bytes_up_"
           "per_commit\":%.0f}\n",
           n / took, (double)(sum.put - opening.put) / n, (double)(sum.get - opening.get) / n,
           (double)(sum.bytes_up - opening.bytes_up) / n);
}

static shale_code look(void *ctx, sqlite3 *db, shale_error *err)
{
    (void)ctx;
    (void)err;
    return sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL) == SQLITE_OK
               ? SHALE_OK
               : SHALE_INTERNAL;
}

static void opens(int count)
{
    double begun = now_s();
    for (int i = 0; i < count; i++)
        shale_sql_close(open_sql());
    printf("{\"open_ms\":%.3f}\n", (now_s() - begun) * 1e3 / count);
}

static void views(int count)
{
    shale_error err;
    shale_sql *sql = open_sql();
    double begun = now_s();
    for (int i = 0; i < count; i++)
        must(shale_sql_view(sql, look, NULL, &err), &err);
    printf("{\"view_us\":%.1f}\n", (now_s() - begun) * 1e6 / count);
    shale_sql_close(sql);
}

int main(int argc, char **argv)
{
    shale_error err;
    if (argc < 5)
        return 2;
    url = argv[1];
    options = shale_options_new();
    must(shale_options_set(options, "root", argv[2], &err), &err);
    int n = atoi(argv[4]);
    if (strcmp(argv[3], "commits") == 0)
        commits(n, argc > 5 ? atoi(argv[5]) : 1, argc > 6 && strcmp(argv[6], "shared") == 0);
    else if (strcmp(argv[3], "open") == 0)
        opens(n);
    else
        views(n);
    shale_options_free(options);
    return 0;
}
