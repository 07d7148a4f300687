#include "cli/sql_run.h"

#include "base/codec/timefmt.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/os.h"
#include "cli/price.h"
#include "cli/sql_print.h"

#include <inttypes.h>
#include <stdio.h>

#define FLUSH_BYTES    ((size_t)64 << 10)
#define PROGRESS_STEPS 10000 /* of SQLite's machine, between looks for Ctrl-C */

/* ---- opening */

/* "7" or "seq:7" is a commit, else a time. False after a message. */
static bool take_moment(struct cli *c, const char *text, shale_sql_options *o)
{
    const char *number = strncmp(text, "seq:", 4) == 0 ? text + 4 : text;
    shale_error ignored;
    uint64_t ago_ns;
    int64_t ns;
    if (shl_parse_i64(shl_slice_str(number), &o->at_seq) && o->at_seq >= 0)
        return true;
    o->at_seq = SHALE_SQL_NONE;
    if (shl_time_parse_rfc3339(shl_slice_str(text), &ns)) {
        o->at_unix_ms = ns / (int64_t)ENV_NS_PER_MS;
        return true;
    }
    if (text[0] == '-' &&
        shl_parse_duration(shl_slice_str(text + 1), false, &ago_ns, &ignored) == SHALE_OK) {
        o->at_unix_ms = env_now_wall_ms() - (int64_t)(ago_ns / ENV_NS_PER_MS);
        return true;
    }
    (void)cli_usage(
        c, NULL, "--at %.60s: that is no moment: write a seq, 2026-11-20T10:00:00Z, or -2h", text);
    return false;
}

bool sql_take_options(struct cli *c, shale_sql_options *o)
{
    shale_sql_options_init(o, sizeof *o);
    o->must_exist = true;
    o->schema_unchecked = true;
    o->local_path = c->args.value[OPT_LOCAL_PATH];
    o->merge = cli_has(&c->args, OPT_BY_COLUMN);
    o->allow_triggers = cli_has(&c->args, OPT_ALLOW_TRIGGERS);
    o->ignore_triggers = cli_has(&c->args, OPT_IGNORE_TRIGGERS);
    o->lazy = o->local_path == NULL;
    /* 50: a person would only try again */
    o->max_retries = (uint32_t)shl_min_u64(cli_number(&c->args, OPT_MAX_RETRIES, 50), UINT32_MAX);
    o->compress_snapshots = cli_has(&c->args, OPT_COMPRESS);
    o->auto_compact = cli_number(&c->args, OPT_AUTO_COMPACT, 0);
    if (cli_has(&c->args, OPT_GRACE))
        o->gc_grace_ms = c->args.number[OPT_GRACE] / ENV_NS_PER_MS;
    return !cli_has(&c->args, OPT_AT) || take_moment(c, c->args.value[OPT_AT], o);
}

int sql_open(struct cli *c, shale_sql **out)
{
    shale_sql_options o;
    const char *url = c->args.positional[0];
    if (!sql_take_options(c, &o) || !cli_options(c))
        return CLI_USAGE;
    if (shale_sql_open(out, url, c->options, &o, &c->err) != SHALE_OK)
        return cli_fail(c, url);
    return CLI_YES;
}

void sql_close(struct cli *c, shale_sql *sql)
{
    shale_store_counts n = {.struct_size = sizeof n};
    if (sql == NULL)
        return;
    shale_sql_store_counts(sql, &n);
    cli_add_requests(&c->asked, &n);
    shale_sql_close(sql);
}

static const struct {
    const char *name;
    enum sql_mode mode;
} modes[] = {{"list", SQL_LIST}, {"column", SQL_COLUMN}, {"csv", SQL_CSV},  {"tsv", SQL_TABS},
             {"tabs", SQL_TABS}, {"json", SQL_JSON},     {"text", SQL_LIST}};

bool sql_mode_named(const char *name, enum sql_mode *out)
{
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(modes[i].name, name) == 0) {
            *out = modes[i].mode;
            return true;
        }
    return false;
}

enum sql_mode sql_mode_of(const struct cli *c)
{
    enum sql_mode mode = cli_to_terminal(c) ? SQL_COLUMN : SQL_LIST;
    if (cli_has(&c->args, OPT_JSON))
        return SQL_JSON;
    if (c->args.value[OPT_ROWS_AS] != NULL)
        sql_mode_named(c->args.value[OPT_ROWS_AS], &mode); /* the parser knows the words */
    return mode;
}

/* ---- statements */

static size_t skip_blanks(const char *text)
{
    size_t at = 0;
    for (;;) {
        at += strspn(text + at, " \t\r\n;");
        if (strncmp(text + at, "--", 2) == 0)
            at += strcspn(text + at, "\n");
        else if (strncmp(text + at, "/*", 2) == 0) {
            const char *end = strstr(text + at + 2, "*/");
            at = end == NULL ? strlen(text) : (size_t)(end - text) + 2;
        } else
            return at;
    }
}

/* The next ';' that is in no string, name or comment; NULL: there is none, or one of those has no end. */
static char *next_semicolon(char *at)
{
    for (; *at != '\0'; at++) {
        char *end = at;
        if (*at == ';')
            return at;
        if (strchr("'\"`[", *at) != NULL)
            end = strchr(at + 1, *at == '[' ? ']' : *at);
        else if (strncmp(at, "--", 2) == 0)
            end = strchr(at, '\n');
        else if (strncmp(at, "/*", 2) == 0 && (end = strstr(at + 2, "*/")) != NULL)
            end++;
        if (end == NULL)
            return NULL;
        at = end;
    }
    return NULL;
}

/* The length of the first whole statement with its ';', 0 if there is none. The text is changed and put back. */
static size_t first_statement(char *text)
{
    for (char *at = next_semicolon(text); at != NULL; at = next_semicolon(at + 1)) {
        char kept = at[1];
        at[1] = '\0';
        bool whole = sqlite3_complete(text) != 0;
        at[1] = kept;
        if (whole)
            return (size_t)(at - text) + 1;
    }
    return 0;
}

size_t sql_complete(const char *text)
{
    size_t done = 0;
    char *copy = env_strdup(text);
    if (copy == NULL)
        return 0;
    for (size_t n; (n = first_statement(copy + done)) > 0;)
        done += n;
    env_free(copy);
    return done;
}

/* The next word of a statement from *at on, a name without its quotes, into `out`. False if there is none. */
static bool next_word(const char **at, char *out, size_t cap)
{
    const char *from = *at + skip_blanks(*at);
    char quote = *from == '[' ? ']' : *from;
    bool quoted = *from != '\0' && strchr("\"'`[", *from) != NULL;
    size_t len =
        quoted ? strcspn(from + 1, (const char[]){quote, '\0'}) : strcspn(from, " \t\r\n;\"'`[/-");
    from += quoted;
    (void)snprintf(out, cap, "%.*s", (int)shl_min_size(len, cap - 1), from);
    *at = from + len + (quoted && from[len] != '\0');
    return len > 0;
}

/* What a statement does to transactions. */
enum step { STEP_NONE, STEP_BEGIN, STEP_COMMIT, STEP_ROLLBACK, STEP_SAVE, STEP_BACK, STEP_RELEASE };

#define NAME_BYTES 128

static bool is_word(const char *a, const char *b)
{
    return sqlite3_stricmp(a, b) == 0;
}

/* `name` gets that of the savepoint. */
static enum step step_of(const char *sql, char name[NAME_BYTES])
{
    char word[NAME_BYTES];
    const char *at = sql;
    if (!next_word(&at, word, sizeof word))
        return STEP_NONE;
    if (is_word(word, "BEGIN"))
        return STEP_BEGIN;
    if (is_word(word, "COMMIT") || is_word(word, "END"))
        return STEP_COMMIT;
    if (is_word(word, "SAVEPOINT"))
        return next_word(&at, name, NAME_BYTES) ? STEP_SAVE : STEP_NONE;
    bool releases = is_word(word, "RELEASE");
    if (!releases && !is_word(word, "ROLLBACK"))
        return STEP_NONE;
    bool has = next_word(&at, name, NAME_BYTES);
    if (!releases && has && is_word(name, "TRANSACTION"))
        has = next_word(&at, name, NAME_BYTES);
    if (!releases && (!has || !is_word(name, "TO")))
        return STEP_ROLLBACK;
    has = releases ? has : next_word(&at, name, NAME_BYTES);
    if (has && is_word(name, "SAVEPOINT"))
        has = next_word(&at, name, NAME_BYTES);
    return !has ? STEP_NONE : releases ? STEP_RELEASE : STEP_BACK;
}

/* ---- running */

struct unit {
    struct sql_run *run;
    const char *sql;
    const char *parameter; /* NULL: none */
    bool is_view;
    bool writes;     /* found in a view: it has to be an update */
    bool is_sql;     /* the failure is what SQLite says of the statement */
    bool is_stopped; /* by Ctrl-C or --timeout, in the middle of a statement */
    struct sql_rows rows;
};

static int look_for_stop(void *ignored)
{
    (void)ignored;
    return os_stop_code() != 0 || os_timed_out();
}

static shale_code sql_error(struct unit *u, sqlite3 *db, shale_error *err)
{
    u->is_sql = true;
    if (sqlite3_errcode(db) == SQLITE_NOMEM)
        return shl_nomem(err);
    u->is_stopped = (sqlite3_errcode(db) & 0xff) == SQLITE_INTERRUPT; /* by look_for_stop */
    if (u->is_stopped)
        return shl_fail(err, SHALE_TIMEOUT, "%s", sqlite3_errmsg(db));
    return shl_fail(err,
                    (sqlite3_errcode(db) & 0xff) == SQLITE_FULL ? SHALE_NO_SPACE : SHALE_INVALID,
                    "%s", sqlite3_errmsg(db));
}

static void flush(struct unit *u)
{
    out_bytes(u->run->c->out, u->rows.text.data, u->rows.text.len);
    u->rows.text.len = 0;
}

static shale_code step_all(struct unit *u, sqlite3 *db, sqlite3_stmt *q, shale_error *err)
{
    bool has_rows = sqlite3_column_count(q) > 0;
    shale_code rc = has_rows ? sql_rows_begin(&u->rows, q, err) : SHALE_OK;
    int step = SQLITE_ROW;
    while (rc == SHALE_OK && (step = sqlite3_step(q)) == SQLITE_ROW) {
        rc = sql_rows_add(&u->rows, q, err);
        if (u->is_view && u->rows.text.len > FLUSH_BYTES) /* a view runs once */
            flush(u);
        if (u->run->c->out->failed != 0)
            return rc; /* nobody reads on */
    }
    if (rc == SHALE_OK && step != SQLITE_DONE)
        rc = sql_error(u, db, err);
    return rc == SHALE_OK && has_rows ? sql_rows_end(&u->rows, err) : rc;
}

/* All statements of the unit. */
static shale_code run_unit(void *ctx, sqlite3 *db, shale_error *err)
{
    struct unit *u = ctx;
    const char *at = u->sql;
    shale_code rc = SHALE_OK;
    sql_rows_clear(&u->rows);
    u->is_sql = u->is_stopped = false;
    sqlite3_progress_handler(db, PROGRESS_STEPS, look_for_stop, NULL);
    while (rc == SHALE_OK && at[skip_blanks(at)] != '\0') {
        sqlite3_stmt *q = NULL;
        if (sqlite3_prepare_v2(db, at, -1, &q, &at) != SQLITE_OK)
            rc = sql_error(u, db, err);
        else if (q != NULL && u->parameter != NULL &&
                 sqlite3_bind_text(q, 1, u->parameter, -1, SQLITE_STATIC) != SQLITE_OK)
            rc = sql_error(u, db, err);
        else if (q != NULL && u->is_view && sqlite3_stmt_readonly(q) == 0)
            u->writes = true;
        else if (q != NULL)
            rc = step_all(u, db, q, err);
        (void)sqlite3_finalize(q);
        if (u->writes)
            break;
    }
    sqlite3_progress_handler(db, 0, NULL, NULL);
    return rc;
}

static void tell_commit(struct sql_run *r, const shale_sql_commit *commit, bool has_rows)
{
    if (commit->changed)
        r->seq = commit->seq;
    if (r->mode == SQL_JSON && !has_rows)
        out_printf(r->c->out, "{\"seq\":%" PRId64 ",\"changed\":%s,\"tries\":%" PRIu32 "}\n",
                   commit->seq, commit->changed ? "true" : "false", commit->tries);
}

static int run_both(struct sql_run *r, struct unit *u, bool is_block)
{
    shale_sql_commit commit = {.struct_size = sizeof commit};
    shale_code rc = SHALE_OK;
    u->rows.mode = r->mode;
    u->rows.headers = r->headers;
    u->rows.terminal = cli_to_terminal(r->c);
    u->is_view = !is_block;
    if (!is_block)
        rc = shale_sql_view(r->sql, run_unit, u, &r->c->err);
    if (rc == SHALE_OK && (is_block || u->writes)) {
        u->is_view = false;
        u->writes = false;
        rc = shale_sql_update(r->sql, run_unit, u, &commit, &r->c->err);
        if (rc == SHALE_OK)
            tell_commit(r, &commit, u->rows.text.len > 0);
    }
    if (rc == SHALE_OK)
        flush(u);
    r->c->rows += u->rows.rows;
    if (rc == SHALE_OK)
        return CLI_YES;
    (void)out_finish(r->c->out);
    if (u->is_stopped && !os_timed_out()) {
        cli_tell(r->c, u->is_view ? "stopped" : "stopped: nothing of it was committed");
        return os_stop_code();
    }
    int code = cli_fail(r->c, r->c->args.positional[0]);
    return code == CLI_USAGE ? CLI_FAILED : code;
}

static int run_one(struct sql_run *r, const char *sql, const char *parameter, bool is_block)
{
    struct unit u = {.run = r, .sql = sql, .parameter = parameter};
    int code = run_both(r, &u, is_block);
    sql_rows_deinit(&u.rows);
    return code;
}

int sql_run_query(struct sql_run *r, const char *sql, const char *parameter)
{
    return run_one(r, sql, parameter, false);
}

static int end_block(struct sql_run *r, bool commits)
{
    int code = CLI_YES;
    r->in_block = false;
    r->by_savepoint = false;
    r->savepoints.len = 0;
    if (commits && r->block.len > 0) {
        code = shl_str_terminate(&r->block, &r->c->err) != SHALE_OK
                   ? cli_fail(r->c, NULL)
                   : run_one(r, (const char *)r->block.data, NULL, true);
    }
    r->block.len = 0;
    return code;
}

/* Takes the savepoints behind the newest one of that name away, and that too if `whole`. */
static void pop_savepoints(struct sql_run *r, const char *name, bool whole)
{
    for (size_t at = r->savepoints.len; at >= NAME_BYTES; at -= NAME_BYTES)
        if (is_word((const char *)r->savepoints.data + at - NAME_BYTES, name)) {
            r->savepoints.len = whole ? at - NAME_BYTES : at;
            return;
        }
}

static bool is_vacuum(const char *sql)
{
    char word[NAME_BYTES];
    return next_word(&sql, word, sizeof word) && is_word(word, "VACUUM");
}

static int begin_block(struct sql_run *r)
{
    if (r->in_block)
        return cli_usage(r->c, NULL, "BEGIN: a block is open already: COMMIT or ROLLBACK ends it");
    r->in_block = true;
    return CLI_YES;
}

/* Blocks wait for their end, and then run as one commit. An outer savepoint is one as well, as in SQLite: its RELEASE commits. */
static int run_statement(struct sql_run *r, const char *sql)
{
    char name[NAME_BYTES] = "";
    enum step step = step_of(sql, name);
    if (step == STEP_BEGIN)
        return begin_block(r);
    if (r->in_block && (step == STEP_COMMIT || step == STEP_ROLLBACK))
        return end_block(r, step == STEP_COMMIT);
    if (step == STEP_COMMIT || step == STEP_ROLLBACK)
        return cli_usage(r->c, NULL, "%s: no BEGIN is open; a statement alone commits by itself",
                         step == STEP_COMMIT ? "COMMIT" : "ROLLBACK");
    if (is_vacuum(sql)) {
        char way[300];
        cli_way(r->c, "shale sql compact {db}", way, sizeof way);
        return cli_usage(r->c, way,
                         "VACUUM: a database in a bucket is made small by a compaction, which "
                         "writes a new snapshot");
    }
    if (step == STEP_SAVE && !r->in_block)
        r->in_block = r->by_savepoint = true;
    if (!r->in_block)
        return run_one(r, sql, NULL, false);
    if (step == STEP_SAVE &&
        shl_buf_append(&r->savepoints, name, sizeof name, &r->c->err) != SHALE_OK)
        return cli_fail(r->c, NULL);
    if (step == STEP_BACK || step == STEP_RELEASE)
        pop_savepoints(r, name, step == STEP_RELEASE);
    if (shl_str_append(&r->block, sql, &r->c->err) != SHALE_OK ||
        shl_str_append(&r->block, "\n;\n", &r->c->err) != SHALE_OK)
        return cli_fail(r->c, NULL);
    return r->by_savepoint && r->savepoints.len == 0 ? end_block(r, true) : CLI_YES;
}

int sql_run_text(struct sql_run *r, const char *text)
{
    char *copy = env_strdup(text);
    int code = CLI_YES;
    if (copy == NULL)
        return cli_trouble(r->c, "out of memory");
    for (char *at = copy; code == CLI_YES && at[skip_blanks(at)] != '\0';) {
        at += skip_blanks(at);
        size_t n = first_statement(at);
        n = n == 0 ? strlen(at) : n; /* the last one needs no ';' */
        char kept = at[n];
        at[n] = '\0';
        code = run_statement(r, at);
        at[n] = kept;
        at += n;
        if (code == CLI_YES && os_stop_code() != 0)
            code = os_stop_code();
        if (r->c->out->failed != 0)
            break; /* the end of the program tells */
    }
    env_free(copy);
    return code;
}

void sql_run_deinit(struct sql_run *r)
{
    sql_close(r->c, r->sql);
    shl_buf_free(&r->block);
    shl_buf_free(&r->savepoints);
    r->sql = NULL;
}
