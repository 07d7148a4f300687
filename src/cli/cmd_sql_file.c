/* sql init, pull, push and migrate: databases and files. */
#include "base/array.h"
#include "base/env/env.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/os.h"
#include "cli/sql_run.h"

#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_BYTES 4096

/* ---- init */

int cmd_sql_init(struct cli *c)
{
    const char *url = c->args.positional[0];
    const char *file = c->args.positional_count > 1 ? c->args.positional[1] : NULL;
    if (!cli_options(c))
        return CLI_USAGE;
    shale_code rc = shale_sql_create(url, c->options, file, &c->err);
    if (rc == SHALE_ALREADY_EXISTS) {
        (void)cli_fail(c, url);
        return CLI_NO;
    }
    if (rc != SHALE_OK)
        return cli_fail(c, url);
    if (cli_has(&c->args, OPT_JSON)) {
        out_char(c->out, '{');
        out_json_member(c->out, "made", shl_slice_str(url));
        out_text(c->out, "}\n");
    } else if (file != NULL)
        cli_note(c, "initialized %s from %s", url, file);
    else
        cli_note(c, "initialized %s (empty)", url);
    return CLI_YES;
}

/* ---- what stands beside a file that was pulled */

static int write_beside(const char *file, const char *suffix, const char *text)
{
    char name[NAME_BYTES];
    int fd;
    int n = snprintf(name, sizeof name, "%s%s", file, suffix);
    int e = n > 0 && (size_t)n < sizeof name ? os_open_write(&fd, name) : ENAMETOOLONG;
    if (e != 0)
        return e;
    e = os_write(fd, text, strlen(text));
    os_close(fd);
    return e;
}

/* False: it is not there. */
static bool read_beside(const char *file, const char *suffix, char *out, size_t cap)
{
    char name[NAME_BYTES];
    int fd;
    size_t got = 0;
    int n = snprintf(name, sizeof name, "%s%s", file, suffix);
    if (n < 0 || (size_t)n >= sizeof name || os_open_read(&fd, name) != 0)
        return false;
    int e = os_read(fd, out, cap - 1, &got);
    os_close(fd);
    while (got > 0 && (out[got - 1] == '\n' || out[got - 1] == ' '))
        got--;
    out[got] = '\0';
    return e == 0;
}

static void tell_pulled(struct cli *c, const char *file, const shale_sql_pulled *p)
{
    char size[SHL_UNITS_TEXT];
    if (cli_has(&c->args, OPT_JSON)) {
        out_char(c->out, '{');
        out_json_member(c->out, "file", shl_slice_str(file));
        out_printf(c->out,
                   ",\"seq\":%" PRId64 ",\"schema_version\":%" PRId64 ",\"snapshot_bytes\":%" PRId64
                   ",\"log_entries\":%" PRIu64 ",",
                   p->seq, p->schema_version, p->snapshot_bytes, p->log_entries);
        out_json_member(c->out, "snapshot_key", shl_slice_str(p->snapshot_key));
        out_text(c->out, "}\n");
        return;
    }
    if (!os_is_terminal(CLI_STDERR))
        return;
    cli_note(c,
             "pulled %s to %s: seq %" PRId64 ", schema %" PRId64 ", snapshot %s, %" PRIu64
             " log entries",
             c->args.positional[0], file, p->seq, p->schema_version,
             p->snapshot_bytes <= 0 ? "unknown"
                                    : shl_format_size((uint64_t)p->snapshot_bytes, size),
             p->log_entries);
}

int cmd_sql_pull(struct cli *c)
{
    const char *url = c->args.positional[0];
    const char *file = c->args.value[OPT_OUTPUT];
    shale_sql_options how;
    shale_sql_pulled p = {.struct_size = sizeof p};
    char seq[32];
    if (file == NULL || file[0] == '\0')
        return cli_usage(c, "shale sql pull DB -o FILE", "where to? -o FILE is missing");
    if (strcmp(file, "-") == 0)
        return cli_usage(c, "shale sql pull DB -o FILE",
                         "-o -: a database has no stream: it is pulled into a file, with FILE.seq "
                         "and FILE.snapshot beside it");
    if (!sql_take_options(c, &how) || !cli_options(c))
        return CLI_USAGE;
    if (shale_sql_pull(url, c->options, &how, file, &p, &c->err) != SHALE_OK) {
        int code = cli_fail(c, url);
        return code;
    }
    (void)snprintf(seq, sizeof seq, "%" PRId64, p.seq);
    int e = write_beside(file, ".seq", seq);
    if (e == 0)
        e = write_beside(file, ".snapshot", p.snapshot_key);
    if (e != 0)
        return cli_trouble(c, "%s is written, but %s.seq cannot be: %s", file, file, strerror(e));
    tell_pulled(c, file, &p);
    return CLI_YES;
}

/* ---- push */

/* What the database must be at. False after a message. */
static bool expected(struct cli *c, const char *file, int64_t *out_seq, const char **out_snapshot,
                     char *hold, size_t cap)
{
    char text[40];
    *out_seq = SHALE_SQL_NONE;
    *out_snapshot = NULL;
    if (cli_has(&c->args, OPT_SQL_FORCE))
        return true;
    if (cli_has(&c->args, OPT_SEQ)) {
        *out_seq = (int64_t)c->args.number[OPT_SEQ];
        return true;
    }
    if (!read_beside(file, ".seq", text, sizeof text) ||
        !shl_parse_i64(shl_slice_str(text), out_seq)) {
        (void)cli_usage(
            c, "shale sql pull DB -o FILE",
            "what must the database be at? %s.seq, which a pull writes, cannot be read: "
            "give --seq N, or --force",
            file);
        return false;
    }
    if (read_beside(file, ".snapshot", hold, cap) && hold[0] != '\0')
        *out_snapshot = hold;
    return true;
}

int cmd_sql_push(struct cli *c)
{
    const char *url = c->args.positional[0];
    const char *file = c->args.positional[1];
    char hold[1100];
    const char *snapshot;
    int64_t seq;
    shale_sql_pulled p = {.struct_size = sizeof p};
    if (!expected(c, file, &seq, &snapshot, hold, sizeof hold) || !cli_options(c))
        return CLI_USAGE;
    shale_code rc = shale_sql_push(url, c->options, file, seq, snapshot, &p, &c->err);
    if (rc != SHALE_OK) {
        int code = cli_fail(c, url);
        return rc == SHALE_PRECONDITION && code == CLI_FAILED ? CLI_NO : code;
    }
    /* The next push of this file may follow at once. */
    int e = write_beside(file, ".snapshot", p.snapshot_key);
    if (e == 0) {
        char text[32];
        (void)snprintf(text, sizeof text, "%" PRId64, p.seq);
        e = write_beside(file, ".seq", text);
    }
    if (e != 0)
        cli_note(c, "note: %s.seq cannot be written: %s", file, strerror(e));
    if (cli_has(&c->args, OPT_JSON))
        out_printf(c->out, "{\"seq\":%" PRId64 ",\"snapshot_bytes\":%" PRId64 "}\n", p.seq,
                   p.snapshot_bytes);
    else
        cli_note(c, "pushed %s to %s; seq %" PRId64 " (unchanged; a push replaces the snapshot)",
                 file, url, p.seq);
    return CLI_YES;
}

/* ---- migrate */

struct step {
    char *name; /* owned */
    char *path; /* owned */
    int64_t version;
    struct shl_buf sql; /* owned */
    struct shl_buf before,
        bare; /* owned: names of tables without PRIMARY KEY before it ran and after, a NUL behind each */
};

struct steps {
    SHL_ARRAY(struct step) items;
    SHL_ARRAY(shale_sql_migration) migrations;
};

static void free_steps(struct steps *s)
{
    for (size_t i = 0; i < s->items.count; i++) {
        env_free(s->items.items[i].name);
        env_free(s->items.items[i].path);
        shl_buf_free(&s->items.items[i].sql);
        shl_buf_free(&s->items.items[i].before);
        shl_buf_free(&s->items.items[i].bare);
    }
    shl_array_free(&s->items);
    shl_array_free(&s->migrations);
}

static int by_version(const void *va, const void *vb)
{
    const struct step *a = va;
    const struct step *b = vb;
    return a->version < b->version ? -1 : a->version > b->version ? 1 : strcmp(a->name, b->name);
}

/* The tables whose rows cannot be sent to others. */
static shale_code bare_tables(sqlite3 *db, struct shl_buf *out, shale_error *err)
{
    static const char query[] =
        "SELECT name FROM sqlite_schema AS s WHERE type = 'table' AND name NOT LIKE 'sqlite@_%' "
        "ESCAPE '@' AND sql NOT LIKE 'CREATE VIRTUAL%' AND NOT EXISTS "
        "(SELECT 1 FROM pragma_table_info(s.name) WHERE pk > 0)";
    sqlite3_stmt *q = NULL;
    shale_code rc = SHALE_OK;
    out->len = 0;
    if (sqlite3_prepare_v2(db, query, -1, &q, NULL) == SQLITE_OK)
        while (rc == SHALE_OK && sqlite3_step(q) == SQLITE_ROW)
            rc = shl_buf_append(out, sqlite3_column_text(q, 0),
                                (size_t)sqlite3_column_bytes(q, 0) + 1, err);
    (void)sqlite3_finalize(q);
    return rc;
}

static bool has_name(const struct shl_buf *names, const char *name)
{
    for (size_t at = 0; at < names->len; at += strlen((const char *)names->data + at) + 1)
        if (strcmp((const char *)names->data + at, name) == 0)
            return true;
    return false;
}

static void note_bare(struct cli *c, const struct step *s)
{
    for (size_t at = 0; at < s->bare.len; at += strlen((const char *)s->bare.data + at) + 1) {
        const char *name = (const char *)s->bare.data + at;
        if (!has_name(&s->before, name))
            cli_note(c,
                     "note: %s: table \"%.200s\" has no PRIMARY KEY: its rows cannot be sent to "
                     "others, so writes to it are refused",
                     s->name, name);
    }
}

static void note_all_bare(struct cli *c, const struct steps *s)
{
    for (size_t i = 0; i < s->items.count; i++)
        note_bare(c, &s->items.items[i]);
}

static shale_code run_step(void *ctx, sqlite3 *db, shale_error *err)
{
    struct step *s = ctx;
    char *text = NULL;
    shale_code rc = bare_tables(db, &s->before, err);
    if (rc == SHALE_OK && sqlite3_exec(db, s->sql.len == 0 ? "" : (const char *)s->sql.data, NULL,
                                       NULL, &text) != SQLITE_OK)
        rc = shl_fail(err, SHALE_INVALID, "%s: %s", s->name, text == NULL ? "out of memory" : text);
    sqlite3_free(text);
    return rc != SHALE_OK ? rc : bare_tables(db, &s->bare, err);
}

/* "012_orders.sql": 12; 0: it is no migration. */
static int64_t version_of(const char *name)
{
    size_t digits = strspn(name, "0123456789");
    size_t len = strlen(name);
    uint64_t n;
    if (digits == 0 || digits > 18 || len < 5 || strcmp(name + len - 4, ".sql") != 0 ||
        !shl_parse_u64(shl_slice_of(name, digits), &n))
        return 0;
    return (int64_t)n;
}

/* False after a message. */
static bool add_step(struct cli *c, struct steps *s, const char *dir, const char *name)
{
    char path[NAME_BYTES];
    struct step step = {.version = version_of(name)};
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    size_t len = strlen(name);
    if (step.version == 0 && len > 4 && strcmp(name + len - 4, ".sql") == 0)
        cli_note(c, "note: %s/%s is passed over: its name has no number in front, as 001_name.sql",
                 dir, name);
    if (step.version == 0 || n < 0 || (size_t)n >= sizeof path)
        return true;
    step.name = env_strdup(name);
    step.path = env_strdup(path);
    if (step.name == NULL || step.path == NULL || !shl_array_push(&s->items, step)) {
        env_free(step.name);
        env_free(step.path);
        (void)cli_trouble(c, "out of memory");
        return false;
    }
    struct shl_buf *sql = &s->items.items[s->items.count - 1].sql;
    if (!cli_read_file(c, path, sql))
        return false;
    return shl_str_terminate(sql, &c->err) == SHALE_OK;
}

/* The files of the folder in the order of their numbers. 0, or an exit code after a message. */
static int read_steps(struct cli *c, const char *dir, struct steps *s)
{
    struct env_dirent *entries = NULL;
    size_t count = 0;
    bool fine = true;
    int e = env_listdir(dir, &entries, &count);
    if (e != 0)
        return cli_usage(c, NULL, "%s: no folder that can be read: %s", dir, strerror(e));
    for (size_t i = 0; i < count && fine; i++)
        if (entries[i].is_file)
            fine = add_step(c, s, dir, entries[i].name);
    env_listdir_free(entries, count);
    if (!fine)
        return CLI_FAILED;
    if (s->items.count == 0)
        return cli_usage(c, NULL, "%s: no file like 001_name.sql in it", dir);
    qsort(s->items.items, s->items.count, sizeof *s->items.items, by_version);
    for (size_t i = 1; i < s->items.count; i++)
        if (s->items.items[i].version == s->items.items[i - 1].version)
            return cli_usage(c, NULL, "%s and %s have the same number", s->items.items[i - 1].path,
                             s->items.items[i].path);
    return CLI_YES;
}

static int run_migrations(struct cli *c, struct steps *s)
{
    const char *url = c->args.positional[0];
    shale_sql_options o;
    shale_sql_status status = {.struct_size = sizeof status};
    shale_sql *sql = NULL;
    for (size_t i = 0; i < s->items.count; i++) {
        struct step *step = &s->items.items[i];
        shale_sql_migration m = {
            .version = step->version, .name = step->name, .up = run_step, .ctx = step};
        if (!shl_array_push(&s->migrations, m))
            return cli_trouble(c, "out of memory");
    }
    if (!sql_take_options(c, &o) || !cli_options(c))
        return CLI_USAGE;
    o.must_exist = false;
    o.schema_unchecked = false;
    o.lazy = false;
    o.migrations = s->migrations.items;
    o.migration_count = s->migrations.count;
    if (shale_sql_open(&sql, url, c->options, &o, &c->err) != SHALE_OK ||
        shale_sql_status_get(sql, false, &status, &c->err) != SHALE_OK) {
        int code = cli_fail(c, url);
        shale_sql_close(sql);
        return code == CLI_USAGE ? CLI_FAILED : code;
    }
    note_all_bare(c, s);
    if (cli_has(&c->args, OPT_JSON))
        out_printf(c->out, "{\"schema_version\":%" PRId64 ",\"seq\":%" PRId64 "}\n",
                   status.schema_version, status.seq);
    else
        cli_note(c, "%s is at schema version %" PRId64, url, status.schema_version);
    sql_close(c, sql);
    return CLI_YES;
}

int cmd_sql_migrate(struct cli *c)
{
    struct steps s = {0};
    int code = read_steps(c, c->args.positional[1], &s);
    if (code == CLI_YES)
        code = run_migrations(c, &s);
    free_steps(&s);
    return code;
}
