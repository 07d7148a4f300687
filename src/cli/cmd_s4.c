/* s4 put, get, del, keys, dump and what tends a string store. */
#include "base/codec/text.h"
#include "base/env/env.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/cmd_s4.h"
#include "cli/os.h"
#include "cli/price.h"

#include <inttypes.h>
#include <stdio.h>

#define KEY_SHOWN 80 /* bytes of a key that a message shows */

/* ---- opening */

static void s4_settings(const struct cli *c, enum s4_open how, shale_s4_options *o)
{
    const struct cli_args *a = &c->args;
    shale_s4_options_init(o, sizeof *o);
    o->local_dir = a->value[OPT_LOCAL_DIR];
    o->object_prefix = a->value[OPT_OBJECT_PREFIX];
    o->max_file_bytes = cli_number(a, OPT_MAX_FILE_SIZE, o->max_file_bytes);
    if (cli_has(a, OPT_GENERATION))
        o->format = a->value[OPT_GENERATION][0] == '1' ? 1 : 2;
    o->read_only = how == S4_READ;
    o->must_exist = how == S4_READ || how == S4_WRITE_OLD;
    o->index_unread = how == S4_REBUILD;
}

int s4_open(struct cli *c, enum s4_open how, shale_s4 **out)
{
    const char *url = c->args.positional[0];
    shale_s4_options o;
    if (cli_has(&c->args, OPT_NO_UPLOAD) && !cli_has(&c->args, OPT_LOCAL_DIR))
        return cli_usage(c, NULL,
                         "--no-upload needs --local-dir: a temporary folder would be "
                         "removed with what is in it");
    if (!cli_options(c))
        return CLI_USAGE;
    s4_settings(c, how, &o);
    return shale_s4_open(out, url, c->options, &o, &c->err) == SHALE_OK ? CLI_YES : s4_fail(c);
}

int s4_fail(struct cli *c)
{
    return cli_fail(c, c->args.positional[0]);
}

void s4_close(struct cli *c, shale_s4 *db)
{
    shale_store_counts n = {.struct_size = sizeof n};
    if (db == NULL)
        return;
    shale_s4_store_counts(db, &n);
    cli_add_requests(&c->asked, &n);
    shale_s4_close(db);
}

int s4_keep(struct cli *c, shale_s4 *db)
{
    shale_code rc = cli_has(&c->args, OPT_NO_UPLOAD) ? shale_s4_flush(db, &c->err)
                                                     : shale_s4_upload(db, false, &c->err);
    return rc == SHALE_OK ? CLI_YES : s4_fail(c);
}

void s4_tell_keys(struct cli *c, uint64_t keys)
{
    if (!cli_has(&c->args, OPT_JSON))
        return;
    out_printf(c->out, "{\"keys\":%" PRIu64 ",", keys);
    cli_json_requests(c->out, &c->asked);
    out_text(c->out, "}\n");
}

static struct shl_slice slice_of(shale_slice s)
{
    return shl_slice_of(s.data, s.len);
}

/* Told before anything is opened. */
static bool key_is_good(const struct cli *c, const char *key)
{
    if (strlen(key) <= 65535 && shl_utf8_valid(shl_slice_str(key)))
        return true;
    (void)cli_usage(c, NULL, "the key is %s",
                    strlen(key) > 65535 ? "longer than 65535 bytes" : "not UTF-8");
    return false;
}

static bool need_folder(const struct cli *c)
{
    if (cli_has(&c->args, OPT_LOCAL_DIR))
        return true;
    (void)cli_usage(c, NULL, "--local-dir is missing: which folder?");
    return false;
}

/* A mistyped one would be made, and a store with it. */
static bool need_old_folder(const struct cli *c)
{
    const char *dir = c->args.value[OPT_LOCAL_DIR];
    struct env_stat st;
    if (!need_folder(c))
        return false;
    if (env_stat(dir, &st) == 0 && st.is_dir)
        return true;
    (void)cli_usage(c, NULL, "--local-dir %s: no such folder", dir);
    return false;
}

/* ---- put, get, del */

int cmd_s4_put(struct cli *c)
{
    struct shl_buf hold = {0};
    shale_s4 *db = NULL;
    shale_s4_item item = {.key = shale_str(c->args.positional[1])};
    int code = CLI_USAGE;
    if (!key_is_good(c, c->args.positional[1]) ||
        !cli_value(c, "shale s4 put --help", &hold, &item.value))
        goto out;
    item.is_bytes = cli_has(&c->args, OPT_BYTES) || !shl_utf8_valid(slice_of(item.value));
    code = s4_open(c, S4_WRITE, &db);
    if (code == CLI_YES && shale_s4_put(db, &item, 1, &c->err) != SHALE_OK)
        code = s4_fail(c);
    if (code == CLI_YES)
        code = s4_keep(c, db);
    if (code == CLI_YES && os_is_terminal(CLI_STDERR))
        cli_note(c, "put 1 key (%zu bytes)%s", item.key.len + item.value.len,
                 cli_has(&c->args, OPT_NO_UPLOAD) ? ", not uploaded" : "");
out:
    c->rows = code == CLI_YES;
    s4_close(c, db);
    if (code == CLI_YES)
        s4_tell_keys(c, 1);
    shl_buf_free(&hold);
    return code;
}

/* With --json the answer "no" is told, too. */
static int key_not_found(struct cli *c)
{
    const char *key = c->args.positional[1];
    if (cli_has(&c->args, OPT_JSON)) {
        c->err.code = SHALE_NOT_FOUND;
        (void)snprintf(c->err.text, sizeof c->err.text, "no such key: %.300s", key);
        (void)s4_fail(c);
    } else if (os_is_terminal(CLI_STDERR) && cli_to_terminal(c)) {
        cli_note(c, "shale s4 get: key not found: \"%.*s\"", KEY_SHOWN, key);
        cli_try(c, CLI_LISTS_S4_KEYS);
    }
    return CLI_NO;
}

static void print_item(struct out *o, shale_slice key, shale_slice value, bool is_bytes)
{
    out_char(o, '{');
    out_json_member(o, "key", slice_of(key));
    if (is_bytes) {
        out_text(o, ",\"value_base64\":\"");
        out_base64(o, slice_of(value));
        out_text(o, "\"}\n");
    } else {
        out_char(o, ',');
        out_json_member(o, "value", slice_of(value));
        out_text(o, "}\n");
    }
}

int cmd_s4_get(struct cli *c)
{
    const char *key = c->args.positional[1];
    shale_s4 *db = NULL;
    shale_s4_value found = {.owner = NULL};
    if (!key_is_good(c, key))
        return CLI_USAGE;
    int code = s4_open(c, S4_READ, &db);
    if (code != CLI_YES)
        return code;
    shale_code rc = shale_s4_get(&found, db, shale_str(key), &c->err);
    if (rc == SHALE_NOT_FOUND) {
        code = key_not_found(c);
    } else if (rc != SHALE_OK) {
        code = s4_fail(c);
    } else if (cli_has(&c->args, OPT_JSON)) {
        print_item(c->out, shale_str(key), found.value, found.is_bytes);
    } else {
        out_bytes(c->out, found.value.data, found.value.len);
        if (cli_to_terminal(c))
            out_char(c->out, '\n');
    }
    shale_s4_value_release(&found);
    s4_close(c, db);
    return code;
}

int cmd_s4_del(struct cli *c)
{
    size_t count = c->args.positional_count - 1;
    size_t deleted = 0;
    shale_s4 *db = NULL;
    int code = CLI_USAGE;
    shale_slice *keys = env_calloc(count, sizeof *keys);
    if (keys == NULL) {
        code = cli_trouble(c, "out of memory");
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        if (!key_is_good(c, c->args.positional[i + 1]))
            goto out;
        keys[i] = shale_str(c->args.positional[i + 1]);
    }
    code = s4_open(c, S4_WRITE_OLD, &db);
    if (code == CLI_YES && shale_s4_delete(db, keys, count, &deleted, &c->err) != SHALE_OK)
        code = s4_fail(c);
    if (code == CLI_YES && deleted > 0)
        code = s4_keep(c, db);
    if (code == CLI_YES && os_is_terminal(CLI_STDERR))
        cli_note(c, "deleted %zu of %zu key%s", deleted, count, count == 1 ? "" : "s");
out:
    s4_close(c, db);
    if (code == CLI_YES)
        s4_tell_keys(c, deleted);
    env_free(keys);
    return code;
}

/* ---- keys, dump */

static bool is_wanted(const struct cli *c, shale_slice key)
{
    const char *prefix = c->args.value[OPT_PREFIX];
    return prefix == NULL || shl_slice_has_prefix(slice_of(key), shl_slice_str(prefix));
}

static void print_key(struct cli *c, shale_slice key)
{
    if (cli_has(&c->args, OPT_JSON)) {
        out_char(c->out, '{');
        out_json_member(c->out, "key", slice_of(key));
        out_text(c->out, "}\n");
        return;
    }
    out_escaped(c->out, slice_of(key), 0);
    out_char(c->out, '\n');
}

static int end_of_scan(struct cli *c, shale_code rc, uint64_t rows)
{
    if (rc == SHALE_OK && cli_out_of_time(c))
        rc = SHALE_TIMEOUT;
    if (rc == SHALE_OK)
        return os_stop_code();
    if (rc == SHALE_DONE)
        return CLI_YES;
    int code = s4_fail(c);
    cli_note(c, "  %" PRIu64 " key%s before it %s printed.", rows, rows == 1 ? "" : "s",
             rows == 1 ? "was" : "were");
    return code;
}

static int scan(struct cli *c, bool keys_only)
{
    shale_s4 *db = NULL;
    shale_s4_iter *it = NULL;
    shale_s4_item item;
    shale_s4_scan_options how;
    struct cli_progress progress;
    uint64_t rows = 0;
    uint64_t bytes = 0;
    shale_code rc;
    int code = s4_open(c, S4_READ, &db);
    if (code != CLI_YES)
        return code;
    shale_s4_scan_options_init(&how, sizeof how);
    how.keys_only = keys_only;
    how.local = cli_has(&c->args, OPT_LOCAL);
    if (shale_s4_scan(&it, db, &how, &c->err) != SHALE_OK) {
        code = s4_fail(c);
        s4_close(c, db);
        return code;
    }
    cli_progress_start(&progress, c, keys_only ? "keys" : "dump", 0);
    while ((rc = shale_s4_next(&item, it, &c->err)) == SHALE_OK && c->out->failed == 0 &&
           os_stop_code() == 0 && !os_timed_out()) {
        if (!is_wanted(c, item.key))
            continue;
        if (keys_only)
            print_key(c, item.key);
        else
            print_item(c->out, item.key, item.value, item.is_bytes);
        bytes += item.key.len + item.value.len;
        if (++rows % 1024 == 0 && !cli_to_terminal(c))
            cli_progress_tick(&progress, rows, bytes);
    }
    cli_progress_end(&progress);
    c->rows = rows;
    code = end_of_scan(c, rc, rows);
    shale_s4_iter_close(it);
    s4_close(c, db);
    return code;
}

int cmd_s4_keys(struct cli *c)
{
    return scan(c, true);
}

int cmd_s4_dump(struct cli *c)
{
    return scan(c, false);
}

/* ---- the local folder and the bucket */

int cmd_s4_download(struct cli *c)
{
    uint64_t files = 0;
    uint64_t bytes = 0;
    char size[SHL_UNITS_TEXT];
    shale_s4 *db = NULL;
    bool force = cli_has(&c->args, OPT_S4_FORCE);
    if (!need_folder(c))
        return CLI_USAGE;
    int code = s4_open(c, force ? S4_WRITE_OLD : S4_READ, &db);
    if (code != CLI_YES)
        return code;
    if (shale_s4_download(db, force, &files, &bytes, &c->err) != SHALE_OK)
        code = s4_fail(c);
    s4_close(c, db);
    if (code != CLI_YES)
        return code;
    if (cli_has(&c->args, OPT_JSON)) {
        out_printf(c->out, "{\"files\":%" PRIu64 ",\"bytes\":%" PRIu64 ",", files, bytes);
        cli_json_requests(c->out, &c->asked);
        out_text(c->out, "}\n");
    } else if (os_is_terminal(CLI_STDERR)) {
        cli_note(c, "downloaded %" PRIu64 " data file%s (%s)", files, files == 1 ? "" : "s",
                 shl_format_size(bytes, size));
    }
    return code;
}

/* upload and flush: how many keys waited. */
static int settle(struct cli *c, bool upload)
{
    shale_s4_stat before = {.struct_size = sizeof before};
    shale_s4 *db = NULL;
    if (!need_old_folder(c))
        return CLI_USAGE;
    int code = s4_open(c, S4_WRITE, &db);
    if (code != CLI_YES)
        return code;
    shale_code rc = shale_s4_stat_get(&before, db, true, &c->err);
    if (rc == SHALE_OK)
        rc = upload ? shale_s4_upload(db, false, &c->err) : shale_s4_flush(db, &c->err);
    if (rc != SHALE_OK)
        code = s4_fail(c);
    s4_close(c, db);
    if (code == CLI_YES && os_is_terminal(CLI_STDERR))
        cli_note(c, "%" PRIu64 " key%s %s", before.unsynced_keys,
                 before.unsynced_keys == 1 ? "" : "s",
                 upload ? "uploaded" : "wait for shale s4 upload");
    if (code == CLI_YES)
        s4_tell_keys(c, before.unsynced_keys);
    return code;
}

int cmd_s4_upload(struct cli *c)
{
    return settle(c, true);
}

int cmd_s4_flush(struct cli *c)
{
    return settle(c, false);
}

static uint64_t grace_ms(const struct cli *c)
{
    return cli_has(&c->args, OPT_S4_MIN_AGE)
               ? cli_number(&c->args, OPT_S4_MIN_AGE, 0) / ENV_NS_PER_MS
               : SHALE_S4_GRACE_MS;
}

static void tell_compacted(struct cli *c, const shale_s4_compacted *r)
{
    char before[SHL_UNITS_TEXT];
    char after[SHL_UNITS_TEXT];
    char keys[OUT_UNIT_BYTES];
    if (cli_has(&c->args, OPT_JSON)) {
        out_printf(c->out,
                   "{\"keys\":%" PRIu64 ",\"bytes_written\":%" PRIu64 ",\"files_written\":%" PRIu64
                   ",\"files_deleted\":%" PRIu64 ",\"bytes_deleted\":%" PRIu64
                   ",\"files_left\":%" PRIu64 ",",
                   r->keys, r->bytes_written, r->files_written, r->files_deleted, r->bytes_deleted,
                   r->files_left);
        cli_json_requests(c->out, &c->asked);
        out_text(c->out, "}\n");
        return;
    }
    cli_note(c, "compacted %s key%s into %" PRIu64 " data file%s (%s); deleted %" PRIu64 " (%s)",
             out_count(keys, r->keys), r->keys == 1 ? "" : "s", r->files_written,
             r->files_written == 1 ? "" : "s", shl_format_size(r->bytes_written, after),
             r->files_deleted, shl_format_size(r->bytes_deleted, before));
    if (r->files_left > 0)
        cli_note(c,
                 "note: %" PRIu64 " replaced file%s younger than --min-age stay%s for shale s4 gc",
                 r->files_left, r->files_left == 1 ? "" : "s", r->files_left == 1 ? "s" : "");
}

int cmd_s4_compact(struct cli *c)
{
    shale_s4_compacted r = {.struct_size = sizeof r};
    shale_s4 *db = NULL;
    int code = s4_open(c, S4_WRITE_OLD, &db);
    if (code != CLI_YES)
        return code;
    /* What a dead writer left in the folder goes first. */
    shale_code rc = shale_s4_upload(db, false, &c->err);
    if (rc == SHALE_OK)
        rc = shale_s4_compact(&r, db, grace_ms(c), &c->err);
    if (rc != SHALE_OK)
        code = s4_fail(c);
    s4_close(c, db);
    if (code == CLI_YES)
        tell_compacted(c, &r);
    return code;
}

static void tell_rebuilt(struct cli *c, const shale_s4_rebuilt *r, uint64_t keys)
{
    char count[OUT_UNIT_BYTES];
    if (cli_has(&c->args, OPT_JSON)) {
        out_printf(c->out,
                   "{\"keys\":%" PRIu64 ",\"files\":%" PRIu64 ",\"records\":%" PRIu64
                   ",\"damaged\":%" PRIu64 ",\"passed_bytes\":%" PRIu64 ",",
                   keys, r->files, r->records, r->damaged, r->passed_bytes);
        cli_json_requests(c->out, &c->asked);
        out_text(c->out, "}\n");
        return;
    }
    cli_note(c, "%san index of %s key%s from %" PRIu64 " data file%s",
             cli_has(&c->args, OPT_DRY_RUN) ? "would make " : "", out_count(count, keys),
             keys == 1 ? "" : "s", r->files, r->files == 1 ? "" : "s");
    if (r->damaged > 0)
        cli_note(c,
                 "note: %" PRIu64 " of them could not be read to the end: %" PRIu64
                 " bytes were passed over",
                 r->damaged, r->passed_bytes);
}

/* A mistyped URL must not get an empty index. */
static shale_code check_rebuilt(struct cli *c, const shale_s4_rebuilt *r)
{
    if (r->files > 0)
        return SHALE_OK;
    c->err.code = SHALE_NOT_FOUND;
    (void)snprintf(c->err.text, sizeof c->err.text,
                   "no data files here: there is nothing to make an index of");
    return SHALE_NOT_FOUND;
}

/* An index that can be read is worth more than one that is made. 0, or an exit code after a message. */
static int check_index_is_lost(struct cli *c)
{
    shale_s4 *db = NULL;
    shale_s4_options o;
    char again[690];
    if (cli_has(&c->args, OPT_YES) || cli_has(&c->args, OPT_DRY_RUN))
        return CLI_YES;
    if (!cli_options(c))
        return CLI_USAGE;
    s4_settings(c, S4_READ, &o);
    o.local_dir = NULL;
    if (shale_s4_open(&db, c->args.positional[0], c->options, &o, &c->err) != SHALE_OK)
        return CLI_YES;
    s4_close(c, db);
    cli_command_again(c, " --yes", again, sizeof again);
    return cli_usage(c, again,
                     "the index can be read, and knows better than the data files which value of "
                     "a key is the newest: say --yes to replace it all the same, -n to see");
}

static shale_code rebuild(struct cli *c, shale_s4 *db, shale_s4_rebuilt *r, shale_s4_stat *now)
{
    bool dry = cli_has(&c->args, OPT_DRY_RUN);
    shale_code rc = shale_s4_rebuild(r, db, cli_has(&c->args, OPT_LOCAL), &c->err);
    if (rc == SHALE_OK)
        rc = check_rebuilt(c, r);
    if (rc == SHALE_OK && !dry)
        rc = shale_s4_upload(db, false, &c->err);
    return rc == SHALE_OK ? shale_s4_stat_get(now, db, !dry, &c->err) : rc;
}

int cmd_s4_rebuild(struct cli *c)
{
    shale_s4_rebuilt r = {.struct_size = sizeof r};
    shale_s4_stat now = {.struct_size = sizeof now};
    shale_s4 *db = NULL;
    if (cli_has(&c->args, OPT_LOCAL) && !need_old_folder(c))
        return CLI_USAGE;
    int code = check_index_is_lost(c);
    if (code == CLI_YES)
        code = s4_open(c, S4_REBUILD, &db);
    if (code != CLI_YES)
        return code;
    if (rebuild(c, db, &r, &now) != SHALE_OK)
        code = s4_fail(c);
    s4_close(c, db);
    if (code == CLI_YES)
        tell_rebuilt(c, &r, now.keys);
    return code;
}

struct collected {
    struct cli *c;
    bool dry;
    uint64_t files;
    uint64_t bytes;
};

static void on_deleted(void *ctx, const char *name, uint64_t bytes)
{
    struct collected *g = ctx;
    g->files++;
    g->bytes += bytes;
    if (cli_has(&g->c->args, OPT_VERBOSE))
        cli_note(g->c, "%s %s (%" PRIu64 " bytes)", g->dry ? "would delete" : "deleted", name,
                 bytes);
}

int cmd_s4_gc(struct cli *c)
{
    struct collected g = {.c = c, .dry = cli_has(&c->args, OPT_DRY_RUN)};
    char size[SHL_UNITS_TEXT];
    shale_s4 *db = NULL;
    int code = s4_open(c, g.dry ? S4_READ : S4_WRITE_OLD, &db);
    if (code != CLI_YES)
        return code;
    shale_code rc =
        g.dry ? SHALE_OK : shale_s4_upload(db, false, &c->err); /* as for a compaction */
    if (rc == SHALE_OK)
        rc = shale_s4_gc(db, grace_ms(c), g.dry, on_deleted, &g, &c->err);
    if (rc != SHALE_OK)
        code = s4_fail(c);
    s4_close(c, db);
    if (code == CLI_YES && cli_has(&c->args, OPT_JSON)) {
        out_printf(c->out, "{\"%s\":%" PRIu64 ",\"size_bytes\":%" PRIu64 ",",
                   g.dry ? "would_delete" : "deleted", g.files, g.bytes);
        cli_json_requests(c->out, &c->asked);
        out_text(c->out, "}\n");
    } else if (code == CLI_YES) {
        cli_note(c, "%s %" PRIu64 " data file%s (%s)", g.dry ? "would delete" : "deleted", g.files,
                 g.files == 1 ? "" : "s", shl_format_size(g.bytes, size));
    }
    return code;
}

/* ---- stat */

static void stat_json(struct out *o, const shale_s4_stat *s)
{
    out_printf(o,
               "{\"keys\":%" PRIu64 ",\"key_bytes\":%" PRIu64 ",\"record_bytes\":%" PRIu64
               ",\"memory_bytes\":%" PRIu64 ",\"index_bytes\":%" PRIu64
               ",\"index_version\":%" PRIu64 ",\"next_file_num\":%" PRIu64 ",",
               s->keys, s->key_bytes, s->record_bytes, s->memory_bytes, s->index_bytes,
               s->index_version, s->next_file_num);
    out_printf(o,
               "\"files\":%" PRIu64 ",\"file_bytes\":%" PRIu64 ",\"old_files\":%" PRIu64
               ",\"writers\":%" PRIu64 ",\"unreferenced\":%" PRIu64
               ",\"unreferenced_bytes\":%" PRIu64 ",\"missing\":%" PRIu64
               ",\"unsynced_keys\":%" PRIu64 ",\"unsynced_files\":%" PRIu64 "}\n",
               s->files, s->file_bytes, s->old_files, s->writers, s->unreferenced,
               s->unreferenced_bytes, s->missing, s->unsynced_keys, s->unsynced_files);
}

static void stat_text(struct out *o, const shale_s4_stat *s)
{
    char n[OUT_UNIT_BYTES];
    char a[SHL_UNITS_TEXT];
    char b[SHL_UNITS_TEXT];
    out_printf(o, "keys        %s (%s of keys, %s of records)\n", out_count(n, s->keys),
               shl_format_size(s->key_bytes, a), shl_format_size(s->record_bytes, b));
    out_printf(o, "index       generation %" PRIu64 ", %s; %s in memory\n", s->index_version,
               shl_format_size(s->index_bytes, a), shl_format_size(s->memory_bytes, b));
    out_printf(o, "data files  %" PRIu64 " (%s) of %" PRIu64 " writer%s", s->files,
               shl_format_size(s->file_bytes, a), s->writers, s->writers == 1 ? "" : "s");
    if (s->old_files > 0)
        out_printf(o, ", %" PRIu64 " of generation 1", s->old_files);
    out_char(o, '\n');
    if (s->file_bytes > 0)
        out_printf(o, "garbage     %.0f %% of their bytes; %" PRIu64 " file%s not named (%s)\n",
                   s->record_bytes < s->file_bytes
                       ? 100.0 * (double)(s->file_bytes - s->record_bytes) / (double)s->file_bytes
                       : 0.0,
                   s->unreferenced, s->unreferenced == 1 ? "" : "s",
                   shl_format_size(s->unreferenced_bytes, b));
    if (s->missing > 0)
        out_printf(o, "missing     %" PRIu64 " data file%s that the index names\n", s->missing,
                   s->missing == 1 ? "" : "s");
    if (s->unsynced_keys > 0)
        out_printf(o, "local only  %" PRIu64 " key%s wait for shale s4 upload\n", s->unsynced_keys,
                   s->unsynced_keys == 1 ? "" : "s");
}

int cmd_s4_stat(struct cli *c)
{
    shale_s4_stat s = {.struct_size = sizeof s};
    shale_s4 *db = NULL;
    int code = s4_open(c, S4_READ, &db);
    if (code != CLI_YES)
        return code;
    if (shale_s4_stat_get(&s, db, false, &c->err) != SHALE_OK)
        code = s4_fail(c);
    else
        (cli_has(&c->args, OPT_JSON) ? stat_json : stat_text)(c->out, &s);
    s4_close(c, db);
    return code;
}
