/* sql shell: statements and dot commands, typed or from a script. */
#include "base/array.h"
#include "base/env/env.h"
#include "base/str.h"
#include "cli/history.h"
#include "cli/line.h"
#include "cli/os.h"
#include "cli/sql_run.h"
#include "cli/words.h"

#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>

struct sql_shell {
    struct cli *c;
    struct sql_run run;
    struct shl_buf pending; /* owned: lines of a statement that is not whole yet */
    struct line *line;      /* owned; NULL: nobody types */
    bool timer;
    bool leave;
    int leave_code; /* of .quit */
    unsigned depth; /* of .read */
    int failed;     /* the first failure that --keep-going went past */
};

static int lines_of(struct sql_shell *s, int fd, const char *name);

/* ---- dot commands */

struct dot {
    const char *name;
    const char *args;
    const char *what;
    size_t args_min, args_max;
    int (*run)(struct sql_shell *s, const char *const *words, size_t count);
};

static const struct dot *dot_at(size_t i);

static int dot_help(struct sql_shell *s, const char *const *words, size_t count)
{
    (void)words;
    (void)count;
    for (size_t i = 0; dot_at(i) != NULL; i++) {
        char left[80];
        (void)snprintf(left, sizeof left, ".%s %s", dot_at(i)->name, dot_at(i)->args);
        out_printf(s->c->out, "%-32s  %s\n", left, dot_at(i)->what);
    }
    return CLI_YES;
}

/* Columns are no shape for one text a row: a list then. */
static int list_query(struct sql_shell *s, const char *sql, const char *like)
{
    enum sql_mode mode = s->run.mode;
    if (mode == SQL_COLUMN)
        s->run.mode = SQL_LIST;
    int code = sql_run_query(&s->run, sql, like);
    s->run.mode = mode;
    return code;
}

static int dot_tables(struct sql_shell *s, const char *const *words, size_t count)
{
    return list_query(s,
                      "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT "
                      "LIKE 'sqlite@_%' ESCAPE '@' AND name LIKE coalesce(?1, '%') ORDER BY name",
                      count > 1 ? words[1] : NULL);
}

static int dot_schema(struct sql_shell *s, const char *const *words, size_t count)
{
    return list_query(s,
                      "SELECT sql || ';' AS sql FROM sqlite_schema WHERE sql IS NOT NULL AND "
                      "tbl_name LIKE coalesce(?1, '%') ORDER BY rowid",
                      count > 1 ? words[1] : NULL);
}

static int dot_mode(struct sql_shell *s, const char *const *words, size_t count)
{
    (void)count;
    if (!sql_mode_named(words[1], &s->run.mode))
        return cli_usage(s->c, NULL, ".mode %.40s: list, column, csv, tsv or json", words[1]);
    return CLI_YES;
}

static int take_switch(struct sql_shell *s, const char *const *words, bool *out)
{
    if (strcmp(words[1], "on") != 0 && strcmp(words[1], "off") != 0)
        return cli_usage(s->c, NULL, "%s %.40s: on or off", words[0], words[1]);
    *out = strcmp(words[1], "on") == 0;
    return CLI_YES;
}

static int dot_headers(struct sql_shell *s, const char *const *words, size_t count)
{
    (void)count;
    return take_switch(s, words, &s->run.headers);
}

static int dot_timer(struct sql_shell *s, const char *const *words, size_t count)
{
    (void)count;
    return take_switch(s, words, &s->timer);
}

static int dot_status(struct sql_shell *s, const char *const *words, size_t count)
{
    shale_sql_status st = {.struct_size = sizeof st};
    (void)words;
    (void)count;
    if (shale_sql_status_get(s->run.sql, true, &st, &s->c->err) != SHALE_OK)
        return cli_fail(s->c, s->c->args.positional[0]);
    out_printf(s->c->out, "seq %" PRId64 ", schema %" PRId64 ", %" PRIu64 " entries in the log\n",
               st.seq, st.schema_version, st.log_entries);
    return CLI_YES;
}

static int dot_compact(struct sql_shell *s, const char *const *words, size_t count)
{
    (void)words;
    (void)count;
    return shale_sql_compact(s->run.sql, &s->c->err) == SHALE_OK
               ? CLI_YES
               : cli_fail(s->c, s->c->args.positional[0]);
}

#define READ_DEPTH_MAX 16

static int dot_read(struct sql_shell *s, const char *const *words, size_t count)
{
    int fd;
    (void)count;
    if (s->depth == READ_DEPTH_MAX)
        return cli_usage(s->c, NULL, ".read %.200s: %d deep", words[1], READ_DEPTH_MAX);
    int e = os_open_read(&fd, words[1]);
    if (e != 0)
        return cli_trouble(s->c, "%s cannot be read: %s", words[1], strerror(e));
    s->depth++;
    int code = lines_of(s, fd, words[1]);
    s->depth--;
    os_close(fd);
    return code;
}

/* ---- .import: the rows of a CSV file into a table, as one commit */

struct import {
    const char *file, *table;
    uint64_t skip;        /* rows at the beginning: a heading */
    const char *at, *end; /* of the file */
    uint64_t rows;
};

/* The next field into `out`; *last: it ends its row. */
static shale_code take_field(struct import *m, struct shl_buf *out, bool *last, shale_error *err)
{
    shale_code rc = SHALE_OK;
    bool quoted = m->at < m->end && *m->at == '"';
    out->len = 0;
    m->at += quoted;
    while (m->at < m->end) {
        char ch = *m->at;
        if (quoted && ch == '"') {
            m->at++;
            if (m->at == m->end || *m->at != '"') {
                quoted = false;
                continue;
            }
        } else if (!quoted && (ch == ',' || ch == '\n' ||
                               (ch == '\r' && m->at + 1 < m->end && m->at[1] == '\n')))
            break;
        if ((rc = shl_buf_append(out, m->at++, 1, err)) != SHALE_OK)
            return rc;
    }
    *last = m->at == m->end || *m->at != ',';
    while (*last && m->at < m->end && (*m->at == '\r' || *m->at == '\n'))
        if (*m->at++ == '\n')
            break;
    m->at += !*last;
    return rc;
}

static shale_code prepare_import(struct import *m, sqlite3 *db, int columns, sqlite3_stmt **out,
                                 shale_error *err)
{
    struct shl_buf sql = {0};
    char *head = sqlite3_mprintf("INSERT INTO main.\"%w\" VALUES (", m->table);
    shale_code rc = head == NULL ? shl_nomem(err) : shl_str_append(&sql, head, err);
    for (int i = 0; i < columns && rc == SHALE_OK; i++)
        rc = shl_str_append(&sql, i == 0 ? "?" : ",?", err);
    if (rc == SHALE_OK)
        rc = shl_str_append(&sql, ")", err);
    if (rc == SHALE_OK &&
        sqlite3_prepare_v2(db, (const char *)sql.data, (int)sql.len, out, NULL) != SQLITE_OK)
        rc = shl_fail(err, SHALE_INVALID, "%s", sqlite3_errmsg(db));
    sqlite3_free(head);
    shl_buf_free(&sql);
    return rc;
}

static shale_code count_columns(const struct import *m, sqlite3 *db, int *out, shale_error *err)
{
    sqlite3_stmt *q = NULL;
    char *sql = sqlite3_mprintf("SELECT * FROM main.\"%w\"", m->table);
    int rc = sql == NULL ? SQLITE_NOMEM : sqlite3_prepare_v2(db, sql, -1, &q, NULL);
    *out = rc == SQLITE_OK ? sqlite3_column_count(q) : 0;
    (void)sqlite3_finalize(q);
    sqlite3_free(sql);
    return rc == SQLITE_OK
               ? SHALE_OK
               : shl_fail(err, SHALE_INVALID, "%s: tables are made by shale sql migrate",
                          sqlite3_errmsg(db));
}

static shale_code import_row(struct import *m, sqlite3 *db, sqlite3_stmt *q, int columns,
                             struct shl_buf *field, shale_error *err)
{
    bool last = false;
    shale_code rc = SHALE_OK;
    for (int i = 1; rc == SHALE_OK && !last; i++) {
        rc = take_field(m, field, &last, err);
        if (rc == SHALE_OK && (i > columns || (last && i < columns)))
            return shl_fail(err, SHALE_INVALID, "row %" PRIu64 ": %s than the %d columns of \"%s\"",
                            m->rows + 1, i > columns ? "more fields" : "fewer fields", columns,
                            m->table);
        if (rc == SHALE_OK &&
            sqlite3_bind_text(q, i, field->len == 0 ? "" : (const char *)field->data,
                              (int)field->len, SQLITE_TRANSIENT) != SQLITE_OK)
            rc = shl_nomem(err);
    }
    if (rc == SHALE_OK && sqlite3_step(q) != SQLITE_DONE)
        rc = shl_fail(err, SHALE_INVALID, "row %" PRIu64 ": %s", m->rows + 1, sqlite3_errmsg(db));
    (void)sqlite3_reset(q);
    m->rows++;
    return rc;
}

static shale_code skip_row(struct import *m, struct shl_buf *field, shale_error *err)
{
    bool last = false;
    shale_code rc = SHALE_OK;
    while (rc == SHALE_OK && !last)
        rc = take_field(m, field, &last, err);
    return rc;
}

static shale_code import_all(void *ctx, sqlite3 *db, shale_error *err)
{
    struct import m = *(struct import *)ctx; /* it may run again */
    struct shl_buf field = {0};
    sqlite3_stmt *q = NULL;
    int columns = 0;
    shale_code rc;
    SHL_TRY(count_columns(&m, db, &columns, err));
    SHL_TRY(prepare_import(&m, db, columns, &q, err));
    for (uint64_t n = 0; n < m.skip && m.at < m.end; n++)
        SHL_TRY(skip_row(&m, &field, err));
    while (m.at < m.end)
        SHL_TRY(import_row(&m, db, q, columns, &field, err));
    ((struct import *)ctx)->rows = m.rows;
out:
    (void)sqlite3_finalize(q);
    shl_buf_free(&field);
    return rc;
}

/* FILE TABLE, and --skip N before or behind them. */
static bool take_import_words(struct import *m, const char *const *words, size_t count)
{
    const char *names[2] = {NULL, NULL};
    size_t n = 0;
    for (size_t i = 1; i < count; i++) {
        if (strcmp(words[i], "--skip") == 0) {
            if (++i == count || !shl_parse_u64(shl_slice_str(words[i]), &m->skip))
                return false;
        } else if (n < 2)
            names[n++] = words[i];
        else
            return false;
    }
    m->file = names[0];
    m->table = names[1];
    return n == 2;
}

static int dot_import(struct sql_shell *s, const char *const *words, size_t count)
{
    struct shl_buf text = {0};
    struct import m = {.skip = 0};
    if (!take_import_words(&m, words, count))
        return cli_usage(s->c, NULL, ".import [--skip N] FILE TABLE");
    if (!cli_read_file(s->c, m.file, &text)) {
        shl_buf_free(&text);
        return CLI_FAILED;
    }
    m.at = text.len == 0 ? "" : (const char *)text.data;
    m.end = m.at + text.len;
    shale_code rc = shale_sql_update(s->run.sql, import_all, &m, NULL, &s->c->err);
    shl_buf_free(&text);
    if (rc != SHALE_OK) {
        shl_err_prefix(&s->c->err, "%s", m.file);
        (void)cli_fail(s->c, s->c->args.positional[0]);
        return CLI_FAILED;
    }
    cli_note(s->c, "imported %" PRIu64 " rows into %s", m.rows, m.table);
    return CLI_YES;
}

static int dot_quit(struct sql_shell *s, const char *const *words, size_t count)
{
    uint64_t code = 0;
    if (count > 1 && (!shl_parse_u64(shl_slice_str(words[1]), &code) || code > 255))
        return cli_usage(s->c, NULL, "%s %.40s: an exit code is 0 to 255", words[0], words[1]);
    s->leave_code = (int)code;
    s->leave = true;
    return CLI_YES;
}

static const struct dot dots[] = {
    {"help", "", "this list", 0, 0, dot_help},
    {"tables", "[PATTERN]", "tables and views", 0, 1, dot_tables},
    {"schema", "[TABLE]", "how they were made", 0, 1, dot_schema},
    {"mode", "list|column|csv|tsv|json", "how rows are printed", 1, 1, dot_mode},
    {"headers", "on|off", "names of the columns in lists", 1, 1, dot_headers},
    {"timer", "on|off", "how long each statement took", 1, 1, dot_timer},
    {"import", "[--skip N] FILE TABLE", "the rows of a CSV file, as one commit", 2, 4, dot_import},
    {"read", "FILE", "run a script", 1, 1, dot_read},
    {"status", "", "seq, schema and log", 0, 0, dot_status},
    {"compact", "", "fold the log into a new snapshot", 0, 0, dot_compact},
    {"quit", "[CODE]", "leave, with that exit code", 0, 1, dot_quit},
    {"exit", "[CODE]", "the same", 0, 1, dot_quit},
};

static const struct dot *dot_at(size_t i)
{
    return i < sizeof dots / sizeof dots[0] ? &dots[i] : NULL;
}

static int run_dot(struct sql_shell *s, const char *text)
{
    struct words w;
    int code = CLI_USAGE;
    if (words_split(&w, text, false, &s->c->err) != SHALE_OK) {
        words_deinit(&w);
        return cli_usage(s->c, NULL, "%s", s->c->err.text);
    }
    const struct dot *d = NULL;
    for (size_t i = 0; d == NULL && dot_at(i) != NULL; i++)
        if (w.count > 0 && strcmp(w.items[0] + 1, dot_at(i)->name) == 0)
            d = dot_at(i);
    if (d == NULL)
        code = cli_usage(s->c, ".help", "unknown: %.40s", text);
    else if (w.count - 1 < d->args_min || w.count - 1 > d->args_max)
        code = cli_usage(s->c, NULL, ".%s %s", d->name, d->args);
    else
        code = d->run(s, w.items, w.count);
    words_deinit(&w);
    return code;
}

/* ---- lines */

static int run_pending(struct sql_shell *s)
{
    if (shl_str_terminate(&s->pending, &s->c->err) != SHALE_OK)
        return cli_fail(s->c, NULL);
    char *text = (char *)s->pending.data;
    size_t n = sql_complete(text);
    if (n == 0)
        return CLI_YES;
    char kept = text[n];
    uint64_t begun = env_now_mono_ns();
    text[n] = '\0';
    int code = sql_run_text(&s->run, text);
    text[n] = kept;
    s->pending.len -= n;
    memmove(text, text + n, s->pending.len);
    if (s->timer)
        cli_note(s->c, "%.3f ms", (double)(env_now_mono_ns() - begun) / 1e6);
    if (code != CLI_YES)
        s->pending.len = 0;
    return code;
}

static bool is_blank(const struct shl_buf *b)
{
    for (size_t i = 0; i < b->len; i++)
        if (strchr(" \t\r\n;", b->data[i]) == NULL)
            return false;
    return true;
}

static int run_line(struct sql_shell *s, const char *line)
{
    size_t blanks = strspn(line, " \t");
    if (is_blank(&s->pending)) {
        s->pending.len = 0;
        if (line[blanks] == '.')
            return run_dot(s, line + blanks);
    }
    if (shl_str_append(&s->pending, line, &s->c->err) != SHALE_OK ||
        shl_str_append(&s->pending, "\n", &s->c->err) != SHALE_OK)
        return cli_fail(s->c, NULL);
    return strchr(line, ';') != NULL ? run_pending(s)
                                     : CLI_YES; /* only there a statement can end */
}

/* What is left at the end of a script needs no ';'. */
static int run_rest(struct sql_shell *s)
{
    int code = CLI_YES;
    if (!is_blank(&s->pending) && shl_str_terminate(&s->pending, &s->c->err) == SHALE_OK)
        code = sql_run_text(&s->run, (const char *)s->pending.data);
    s->pending.len = 0;
    return code;
}

static int after_line(struct sql_shell *s, int code)
{
    if (code == CLI_YES || !cli_has(&s->c->args, OPT_KEEP_GOING) || os_stop_code() != 0)
        return code;
    s->failed = s->failed == 0 ? code : s->failed;
    return CLI_YES;
}

/* The next line of `text` from *at on, without its end; NULL: it is not whole yet. At the end of input what is left is a line. */
static char *cut_line(struct shl_buf *text, size_t *at, bool is_over)
{
    char *from = (char *)text->data + *at;
    size_t left = text->len - *at;
    char *end = left == 0 ? NULL : memchr(from, '\n', left);
    if (left == 0 || (end == NULL && !is_over))
        return NULL;
    size_t len = end == NULL ? left : (size_t)(end - from);
    *at += len + (end != NULL);
    from[len] = '\0'; /* room for it was kept */
    if (len > 0 && from[len - 1] == '\r')
        from[len - 1] = '\0';
    return from;
}

/* Reads on; *over at the end of input. 0, or an exit code after a message. */
static int read_more(struct sql_shell *s, int fd, const char *name, struct shl_buf *text,
                     size_t *at, bool *over)
{
    size_t n = 0;
    if (*at > 0)
        memmove(text->data, text->data + *at, text->len - *at);
    text->len -= *at;
    *at = 0;
    if (shl_buf_reserve(text, 65536 + 1, &s->c->err) != SHALE_OK)
        return cli_trouble(s->c, "out of memory");
    int e = os_read(fd, text->data + text->len, 65536, &n);
    if (e != 0)
        return os_stop_code() != 0 ? os_stop_code()
                                   : cli_trouble(s->c, "%s cannot be read: %s", name, strerror(e));
    text->len += n;
    *over = n == 0;
    return CLI_YES;
}

static int lines_of(struct sql_shell *s, int fd, const char *name)
{
    struct shl_buf text = {0};
    char place[300];
    size_t at = 0;
    bool over = false;
    uint64_t number = 0;
    const char *before = s->c->source;
    int code = CLI_YES;
    while (code == CLI_YES && !s->leave) {
        char *line = text.len == 0 ? NULL : cut_line(&text, &at, over);
        if (line == NULL && over)
            break;
        if (line == NULL) {
            code = read_more(s, fd, name, &text, &at, &over);
            continue;
        }
        (void)snprintf(place, sizeof place, "%.200s:%" PRIu64, name, ++number);
        s->c->source = place;
        code = after_line(s, run_line(s, line));
        if (out_finish(s->c->out) != 0)
            break; /* the end of the program tells */
    }
    if (code == CLI_YES && s->depth == 0)
        code = after_line(s, run_rest(s));
    s->c->source = before;
    shl_buf_free(&text);
    return code;
}

/* ---- somebody types */

static void remember(void *line, const char *text)
{
    line_remember(line, text);
}

/* Beside the history of the other shell. */
static bool own_history(char *path, size_t cap)
{
    char other[1000];
    if (!history_path(other, sizeof other))
        return false;
    int n = snprintf(path, cap, "%s-sql", other);
    return n > 0 && (size_t)n < cap;
}

static void prompt(const struct sql_shell *s, char *dst, size_t cap)
{
    const char *url = s->c->args.positional[0];
    size_t len = strlen(url);
    while (len > 1 && url[len - 1] == '/')
        len--;
    size_t from = len;
    while (from > 0 && url[from - 1] != '/')
        from--;
    if (!is_blank(&s->pending))
        (void)snprintf(dst, cap, "   ...> ");
    else
        (void)snprintf(dst, cap, "%.*s%s> ", (int)(len - from > 40 ? 40 : len - from), url + from,
                       s->run.in_block ? "*" : "");
}

static int typed(struct sql_shell *s)
{
    char path[1100] = "";
    char shown[80];
    struct shl_buf line = {0};
    int stop = 0;
    bool has_path = own_history(path, sizeof path);
    if (has_path)
        history_load(path, remember, s->line);
    cli_note(s->c, "shale %s, %s. SQL ends with ;  .help explains, Ctrl-D leaves.", shale_version(),
             s->c->args.positional[0]);
    while (!s->leave && stop != 143) {
        os_stop_forget();
        prompt(s, shown, sizeof shown);
        os_life_still(true);
        enum line_end end = line_read(s->line, shown, &line);
        os_life_still(false);
        stop = os_stop_code();
        if (end == LINE_STOPPED) {
            s->pending.len = 0;
            continue;
        }
        if (end == LINE_OVER) {
            (void)os_write(CLI_STDERR, "\n", 1);
            break;
        }
        const char *text = (const char *)line.data;
        if (history_may_keep(text)) {
            line_remember(s->line, text);
            if (has_path)
                history_add(path, text);
        }
        (void)run_line(s, text);
        (void)out_finish(s->c->out);
    }
    shl_buf_free(&line);
    return stop == 143 ? stop : CLI_YES;
}

int cmd_sql_shell(struct cli *c)
{
    struct sql_shell s = {
        .c = c, .run = {.c = c, .mode = sql_mode_of(c), .headers = cli_has(&c->args, OPT_HEADERS)}};
    os_signals(OS_STOP_SAFELY);
    int code = sql_open(c, &s.run.sql);
    if (code == CLI_YES && os_is_terminal(CLI_STDIN)) {
        s.line = line_open(NULL, NULL);
        code = s.line != NULL ? typed(&s) : cli_trouble(c, "out of memory");
    } else if (code == CLI_YES)
        code = lines_of(&s, CLI_STDIN, "stdin");
    if (code == CLI_YES && s.run.in_block)
        code = cli_usage(c, NULL,
                         "the last BEGIN has no COMMIT, or the last SAVEPOINT no RELEASE: nothing "
                         "of it was committed");
    line_close(s.line);
    sql_run_deinit(&s.run);
    shl_buf_free(&s.pending);
    if (code == CLI_YES)
        code = s.failed;
    return code == CLI_YES ? s.leave_code : code;
}
