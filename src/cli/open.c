/* From the command line to an open database: settings in their order, short options as settings, takeover notes. */
#include "base/codec/text.h"
#include "base/env/env.h"
#include "base/num.h"
#include "cli/cmd.h"
#include "cli/os.h"
#include "cli/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* Notes of the library (old words) reach a terminal once each; its log only with -v. */
static void on_log(void *ctx, int level, const char *text)
{
    struct cli *c = ctx;
    static const char *const levels[] = {"error", "note", "info", "debug"};
    bool note = level == 1 && c->options != NULL && !c->noted[1];
    if (!note && !cli_has(&c->args, OPT_VERBOSE))
        return;
    cli_note(c, "%s: %s", levels[level < 0 ? 0 : level > 3 ? 3 : level], text);
}

/* SlateDB looks for its files in the working directory; a file that is not there is no mistake. */
static bool load_if_there(struct cli *c, const char *path)
{
    struct env_stat st;
    if (env_stat(path, &st) != 0)
        return true;
    if (shale_options_load_file(c->options, path, &c->err) == SHALE_OK)
        return true;
    (void)cli_fail(c, path);
    return false;
}

static bool load_files(struct cli *c)
{
    static const char *const here[] = {"SlateDb.json", "SlateDb.toml", "SlateDb.yaml",
                                       "SlateDb.yml"};
    char path[1024];
    const char *home = env_getenv("HOME");
    const char *config = env_getenv("XDG_CONFIG_HOME");
    if (!load_if_there(c, "/etc/shale/config.toml"))
        return false;
    if (config != NULL && config[0] == '/')
        (void)snprintf(path, sizeof path, "%s/shale/config.toml", config);
    else
        (void)snprintf(path, sizeof path, "%s/.config/shale/config.toml", home != NULL ? home : "");
    if (!load_if_there(c, path))
        return false;
    for (size_t i = 0; i < SHL_COUNT_OF(here); i++)
        if (!load_if_there(c, here[i]))
            return false;
    for (size_t i = 0; i < c->args.given_count; i++) {
        const struct cli_given *g = &c->args.given[i];
        if (g->id == OPT_SETTINGS &&
            shale_options_load_file(c->options, g->value, &c->err) != SHALE_OK) {
            c->err.code =
                SHALE_INVALID; /* a missing file is a mistake on the command line as well */
            (void)cli_fail(c, g->value);
            return false;
        }
    }
    return true;
}

static bool set_pair(struct cli *c, const struct cli_given *g)
{
    const char *equals = strchr(g->value, '=');
    const char *option = cli_option_at(g->id)->name;
    char name[160];
    if (equals == NULL || equals == g->value || (size_t)(equals - g->value) >= sizeof name) {
        (void)cli_usage(c, NULL, "--%s %s: write it as %s", option, g->value,
                        cli_option_at(g->id)->metavar);
        return false;
    }
    memcpy(name, g->value, (size_t)(equals - g->value));
    name[equals - g->value] = '\0';
    shale_code rc = g->id == OPT_SET
                        ? shale_options_set(c->options, name, equals + 1, &c->err)
                        : shale_options_set_store(c->options, name, equals + 1, &c->err);
    if (rc != SHALE_OK)
        (void)cli_fail(c, NULL);
    return rc == SHALE_OK;
}

/* The command's own flags and --set, in the order given: the later wins. */
static bool apply_flags(struct cli *c)
{
    static const struct {
        enum cli_option_id id;
        const char *setting;
    } flags[] = {{OPT_ROOT, "root"},
                 {OPT_WAL_URL, "wal_url"},
                 {OPT_MERGE, "merge_operator"},
                 {OPT_SEGMENTS, "segment_extractor"},
                 {OPT_BLOOM_PREFIX, "bloom_prefix"},
                 {OPT_TRANSFORMER, "transformer"}};
    for (size_t i = 0; i < c->args.given_count; i++) {
        const struct cli_given *g = &c->args.given[i];
        if ((g->id == OPT_SET || g->id == OPT_STORE_OPTION) && !set_pair(c, g))
            return false;
        for (size_t k = 0; k < SHL_COUNT_OF(flags); k++)
            if (flags[k].id == g->id &&
                shale_options_set(c->options, flags[k].setting, g->value, &c->err) != SHALE_OK) {
                (void)cli_fail(c, NULL);
                return false;
            }
    }
    return true;
}

bool cli_options(struct cli *c)
{
    c->options = shale_options_new();
    if (c->options == NULL) {
        (void)cli_trouble(c, "out of memory");
        return false;
    }
    shale_options_set_log(c->options, on_log, cli_has(&c->args, OPT_VERBOSE) ? 3 : 1, c);
    if (!load_files(c))
        return false;
    if (shale_options_load_env(c->options, &c->err) != SHALE_OK) {
        (void)cli_fail(c, NULL);
        return false;
    }
    if (!apply_flags(c))
        return false;
    c->noted[1] = true; /* what comes now is the engine's log, no longer a note on a setting */
    return true;
}

/* With the options made. */
static int open_writer(struct cli *c, shale_db **out)
{
    const char *url = c->args.positional[0];
    if (shale_db_open(out, url, c->options, &c->err) != SHALE_OK)
        return cli_fail(c, url);
    if (os_is_terminal(CLI_STDERR)) {
        shale_db_status status = {.struct_size = sizeof status};
        shale_db_status_get(*out, &status);
        if (status.writer_epoch > 1)
            cli_note(c, "note: took over as writer, epoch %" PRIu64 " -> %" PRIu64,
                     status.writer_epoch - 1, status.writer_epoch);
    }
    return CLI_YES;
}

int cli_open_writer(struct cli *c, shale_db **out)
{
    if (c->session != NULL)
        return session_writer(c, out);
    return cli_options(c) ? open_writer(c, out) : CLI_USAGE;
}

int cli_open_existing_writer(struct cli *c, shale_db **out)
{
    const char *url = c->args.positional[0];
    shale_db *reader = NULL;
    if (c->session != NULL)
        return session_writer(c, out);
    if (!cli_options(c))
        return CLI_USAGE;
    if (shale_db_open_reader(&reader, url, c->options, NULL, &c->err) != SHALE_OK)
        return cli_fail(c, url);
    (void)shale_db_close(reader, NULL);
    return open_writer(c, out);
}

int cli_open_reader(struct cli *c, shale_db **out)
{
    const char *url = c->args.positional[0];
    if (c->session != NULL && !session_line_differs(c))
        return session_reader(c, out);
    if (!cli_options(c))
        return CLI_USAGE;
    shale_reader_options reader;
    shale_reader_options_init(&reader, sizeof reader);
    reader.checkpoint = c->args.value[OPT_CHECKPOINT];
    if (shale_db_open_reader(out, url, c->options, &reader, &c->err) != SHALE_OK)
        return cli_fail(c, url);
    return CLI_YES;
}

static bool is_sessions(const struct cli *c, const shale_db *db)
{
    return c->session != NULL && c->session->db == db;
}

int cli_close_reader(struct cli *c, shale_db *db, int code)
{
    if (!is_sessions(c, db))
        (void)shale_db_close(db, NULL); /* a reader has nothing to lose at close */
    return code;
}

bool cli_in_batch(const struct cli *c)
{
    return c->session != NULL && c->session->batch != NULL;
}

bool cli_to_terminal(const struct cli *c)
{
    return os_is_terminal(c->out->fd);
}

int cli_close_writer(struct cli *c, shale_db *db, int code)
{
    if (db == NULL)
        return code;
    if (is_sessions(c, db)) {
        session_check(c);
        return code;
    }
    if (shale_db_close(db, &c->err) == SHALE_OK)
        return code;
    int failed = cli_fail(c, c->args.positional[0]);
    return code == CLI_YES ? failed : code;
}

bool cli_bytes(struct cli *c, const char *text, const char *what, struct shl_buf *hold,
               shale_slice *out)
{
    if (!cli_has(&c->args, OPT_HEX)) {
        *out = shale_str(text);
        return true;
    }
    if (shl_hex_decode(shl_slice_str(text), hold, &c->err) != SHALE_OK) {
        (void)cli_usage(c, NULL, "%s: \"%.60s\": %s", what, text, c->err.text);
        return false;
    }
    *out = shale_bytes(hold->data, hold->len);
    return true;
}

bool cli_read_file(struct cli *c, const char *path, struct shl_buf *out)
{
    int fd = CLI_STDIN;
    bool is_stdin = strcmp(path, "-") == 0;
    if (is_stdin && c->session != NULL) {
        (void)cli_usage(c, NULL, "stdin is the shell's own: name a file");
        return false;
    }
    int failed = is_stdin ? 0 : os_open_read(&fd, path);
    for (size_t n = 1; failed == 0 && n > 0;) {
        if (shl_buf_reserve(out, 65536, &c->err) != SHALE_OK) {
            failed = ENOMEM;
            break;
        }
        failed = os_read(fd, out->data + out->len, out->cap - out->len, &n);
        if (failed == 0)
            out->len += n;
    }
    if (!is_stdin && fd != CLI_STDIN)
        os_close(fd);
    if (failed != 0)
        (void)cli_trouble(c, "%s cannot be read: %s", is_stdin ? "stdin" : path, strerror(failed));
    return failed == 0;
}

shale_durability cli_durability(struct cli *c)
{
    const char *level = c->args.value[OPT_DURABILITY];
    if (level == NULL || strcmp(level, "memory") == 0)
        return SHALE_MEMORY;
    if (strcmp(level, "remote") == 0)
        return SHALE_REMOTE;
    bool remote = strcmp(level, "committed") == 0;
    if (!c->noted[0])
        cli_note(c, "note: --durability %s is an old word for %s", level,
                 remote ? "remote" : "memory");
    c->noted[0] = true;
    return remote ? SHALE_REMOTE : SHALE_MEMORY;
}
