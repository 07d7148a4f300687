/* clone, restore, delete: whole databases. */
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/object.h"
#include "cli/os.h"
#include "cli/price.h"
#include "cli/session.h"

#include <inttypes.h>
#include <stdio.h>

#define SOURCES_MAX  64
#define SEGMENTS_MAX 256

static bool is_dry(const struct cli *c)
{
    return cli_has(&c->args, OPT_DRY_RUN);
}

/* Before the store is asked, so that exit code 2 keeps its promise. */
static int check_consent(struct cli *c, const char *what)
{
    char again[690];
    if (cli_has(&c->args, OPT_YES) || is_dry(c) ||
        (os_is_terminal(CLI_STDIN) && os_is_terminal(CLI_STDERR)))
        return CLI_YES;
    cli_command_again(c, " --yes", again, sizeof again);
    return cli_usage(c, again, "%s: say --yes", what);
}

/* ---- clone */

struct clone_words {
    shale_clone_source sources[SOURCES_MAX];
    size_t count;
    char *texts[SOURCES_MAX];           /* owned: of --and, cut apart in place */
    shale_slice segments[SEGMENTS_MAX]; /* of all sources, those of one side by side */
    size_t segment_count;
};

/* Another segment of the source that was added last. False after a message. */
static bool add_segment(struct cli *c, struct clone_words *w, shale_clone_source *s,
                        const char *prefix)
{
    if (w->segment_count == SEGMENTS_MAX) {
        (void)cli_usage(c, NULL, "clone: at most %d segments", SEGMENTS_MAX);
        return false;
    }
    if (s->segment_count == 0)
        s->segments = &w->segments[w->segment_count];
    w->segments[w->segment_count++] = shale_str(prefix);
    s->segment_count++;
    return true;
}

/* ",from=A" and the like behind the URL. False after a message. */
static bool take_more(struct cli *c, struct clone_words *w, shale_clone_source *s, char *more)
{
    for (char *next; more != NULL; more = next) {
        next = strchr(more, ',');
        if (next != NULL)
            *next++ = '\0';
        char *value = strchr(more, '=');
        if (value != NULL)
            *value++ = '\0';
        if (value != NULL && strcmp(more, "checkpoint") == 0) {
            s->checkpoint = value;
        } else if (value != NULL && strcmp(more, "from") == 0) {
            s->range.from = shale_str(value);
            s->range.from_kind = SHALE_INCLUDED;
        } else if (value != NULL && strcmp(more, "to") == 0) {
            s->range.to = shale_str(value);
            s->range.to_kind = SHALE_EXCLUDED;
        } else if (value != NULL && strcmp(more, "only") == 0) {
            if (!add_segment(c, w, s, value))
                return false;
        } else {
            (void)cli_usage(c, NULL,
                            "--and: \"%.60s\" is none of checkpoint=C, from=A, to=B, only=P", more);
            return false;
        }
    }
    return true;
}

static bool add_source(struct cli *c, struct clone_words *w, const char *text)
{
    char *copy = w->count < SOURCES_MAX ? env_strdup(text) : NULL;
    if (w->count == SOURCES_MAX) {
        (void)cli_usage(c, NULL, "--and: at most %d sources", SOURCES_MAX);
        return false;
    }
    if (copy == NULL) {
        (void)cli_trouble(c, "out of memory");
        return false;
    }
    w->texts[w->count] = copy;
    shale_clone_source *s = &w->sources[w->count++];
    *s = (shale_clone_source){.url = copy, .range = shale_range_all()};
    char *more = strchr(copy, ',');
    if (more != NULL)
        *more++ = '\0';
    return take_more(c, w, s, more);
}

static bool first_source(struct cli *c, struct clone_words *w)
{
    const struct cli_args *a = &c->args;
    shale_clone_source *s = &w->sources[w->count++];
    *s = (shale_clone_source){.url = a->positional[0],
                              .checkpoint = a->value[OPT_CHECKPOINT],
                              .range = shale_range_all()};
    if (cli_has(a, OPT_PREFIX))
        s->range = shale_range_prefix(shale_str(a->value[OPT_PREFIX]));
    if (cli_has(a, OPT_FROM)) {
        s->range.from = shale_str(a->value[OPT_FROM]);
        s->range.from_kind = SHALE_INCLUDED;
    }
    if (cli_has(a, OPT_TO)) {
        s->range.to = shale_str(a->value[OPT_TO]);
        s->range.to_kind = SHALE_EXCLUDED;
    }
    for (size_t i = 0; i < a->given_count; i++)
        if (a->given[i].id == OPT_ONLY && !add_segment(c, w, s, a->given[i].value))
            return false;
    return true;
}

/* A clone of nothing would stand on a checkpoint that never expires. */
static bool has_keys(struct cli *c, const shale_clone_source *s)
{
    const shale_range *r = &s->range;
    if (r->from_kind == SHALE_UNBOUNDED || r->to_kind == SHALE_UNBOUNDED ||
        shl_slice_cmp(shl_slice_of(r->from.data, r->from.len),
                      shl_slice_of(r->to.data, r->to.len)) < 0)
        return true;
    (void)cli_usage(c, "shale clone --help",
                    "%s: from \"%.60s\" is not below to \"%.60s\": no key lies between", s->url,
                    (const char *)r->from.data, (const char *)r->to.data);
    return false;
}

static bool take_words(struct cli *c, struct clone_words *w)
{
    if (cli_has(&c->args, OPT_PREFIX) &&
        (cli_has(&c->args, OPT_FROM) || cli_has(&c->args, OPT_TO))) {
        (void)cli_usage(c, NULL, "--prefix stands for --from and --to: give one or the others");
        return false;
    }
    if (!first_source(c, w))
        return false;
    for (size_t i = 0; i < c->args.given_count; i++)
        if (c->args.given[i].id == OPT_AND && !add_source(c, w, c->args.given[i].value))
            return false;
    for (size_t i = 0; i < w->count; i++)
        if (!has_keys(c, &w->sources[i]))
            return false;
    return true;
}

static int tell_clone(struct cli *c, const shale_clone_result *r)
{
    const char *url = c->args.positional[1];
    if (cli_has(&c->args, OPT_JSON)) {
        out_char(c->out, '{');
        out_json_member(c->out, "clone", shl_slice_str(url));
        out_printf(c->out, ",\"was_there\":%s,\"ssts\":%" PRIu64 ",\"wal_objects\":%" PRIu64,
                   r->was_there ? "true" : "false", r->ssts, r->wal_objects);
        if (r->wal_objects_left_out > 0)
            out_printf(c->out, ",\"wal_objects_left_out\":%" PRIu64, r->wal_objects_left_out);
        out_text(c->out, "}\n");
    } else if (r->was_there) {
        cli_note(c, "%s is a clone of it already, and stays as it is", url);
    } else {
        cli_note(c, "made %s: borrows %" PRIu64 " SSTable%s, copied %" PRIu64 " WAL object%s", url,
                 r->ssts, r->ssts == 1 ? "" : "s", r->wal_objects, r->wal_objects == 1 ? "" : "s");
        if (r->wal_objects_left_out > 0)
            cli_tell(c,
                     "note: %" PRIu64 " WAL object%s that the source's writer made since its last "
                     "manifest %s not in it: a checkpoint by the writer has all",
                     r->wal_objects_left_out, r->wal_objects_left_out == 1 ? "" : "s",
                     r->wal_objects_left_out == 1 ? "is" : "are");
    }
    return CLI_YES;
}

/* Whether the text tells of the database at `url`, by its name in the store. */
static bool is_about(const struct cli *c, const char *url, const char *before, const char *behind)
{
    char said[500] = "";
    struct shl_buf name = {0};
    if (object_name(url, cli_has(&c->args, OPT_ROOT), &name) && name.len > 0)
        (void)snprintf(said, sizeof said, "%s%.*s%s", before, (int)name.len,
                       (const char *)name.data, behind);
    shl_buf_free(&name);
    return said[0] != '\0' && strstr(c->err.text, said) != NULL;
}

/* Which of the URLs failed; NULL: not told. */
static const char *failed_one(const struct cli *c, const struct clone_words *w)
{
    if (is_about(c, c->args.positional[1], "\"", "\" is a "))
        return c->args.positional[1];
    for (size_t i = 0; i < w->count; i++)
        if (is_about(c, w->sources[i].url, "\"", "\" has ") ||
            is_about(c, w->sources[i].url, " has no ", "/manifest/"))
            return w->sources[i].url;
    return NULL;
}

int cmd_clone(struct cli *c)
{
    struct clone_words w = {.count = 0};
    shale_clone_result result;
    int code = CLI_USAGE;
    if (take_words(c, &w) && cli_options(c)) {
        shale_code rc =
            shale_clone(&result, c->args.positional[1], w.sources, w.count, c->options, &c->err);
        code = rc == SHALE_OK ? tell_clone(c, &result) : cli_fail(c, failed_one(c, &w));
    }
    for (size_t i = 0; i < SOURCES_MAX; i++)
        env_free(w.texts[i]);
    c->about = NULL; /* it may have been one of them */
    return code;
}

/* What ends every writer must not pull the shell's own handle away from under it. True after a message. */
static bool is_written_here(struct cli *c)
{
    if (c->session == NULL || !c->session->writer)
        return false;
    (void)cli_usage(c, ".write off", "%s fences every writer, and this shell is one",
                    c->args.command->name);
    return true;
}

/* ---- restore */

#define WEEK_MS (UINT64_C(7) * 24 * 3600 * 1000)

/* Whether there is such a checkpoint, before anything is written. */
static int look_at_checkpoint(struct cli *c, const char *checkpoint)
{
    shale_reader_options how;
    shale_db *db = NULL;
    shale_reader_options_init(&how, sizeof how);
    how.checkpoint = checkpoint;
    how.skip_wal_replay = true;
    if (shale_db_open_reader(&db, c->args.positional[0], c->options, &how, &c->err) != SHALE_OK)
        return cli_fail(c, c->args.positional[0]);
    (void)cli_close_counted(c, db);
    return CLI_YES;
}

/* As in the table: what opening a writer takes, and what comes on top. */
static void tell_restore_price(struct cli *c)
{
    shale_store_counts n = {.struct_size = sizeof n, .put = 4, .list = 6, .get = 13};
    cli_note_price(c, &n, 0);
}

static int ask_restore(struct cli *c, const char *checkpoint)
{
    char reply[16];
    if (cli_has(&c->args, OPT_YES) && !is_dry(c))
        return CLI_YES;
    cli_note(c,
             "%s %s to checkpoint %s: its writer and compactor are fenced, rows since then are "
             "only in checkpoint before-restore",
             is_dry(c) ? "would take" : "take", c->args.positional[0], checkpoint);
    if (is_dry(c)) {
        tell_restore_price(c);
        return CLI_YES;
    }
    (void)os_write(CLI_STDERR, "go on? [y/N] ", 13);
    return os_read_line(reply, sizeof reply) && (reply[0] == 'y' || reply[0] == 'Y') ? CLI_YES
                                                                                     : CLI_NO;
}

static int tell_restore(struct cli *c, const shale_restore_result *r)
{
    char way[100];
    char again[700];
    (void)snprintf(way, sizeof way, "shale restore {db} --checkpoint %s", r->undo_checkpoint);
    cli_way(c, way, again, sizeof again);
    if (cli_has(&c->args, OPT_JSON))
        out_printf(c->out,
                   "{\"manifest_id\":%" PRIu64 ",\"checkpoint_manifest_id\":%" PRIu64
                   ",\"wal_rows\":%" PRIu64 ",\"undo_checkpoint\":\"%s\"}\n",
                   r->manifest_id, r->checkpoint_manifest_id, r->wal_rows, r->undo_checkpoint);
    else
        cli_note(c,
                 "restored: manifest %" PRIu64 " has the state of manifest %" PRIu64
                 "\n  back again: %s",
                 r->manifest_id, r->checkpoint_manifest_id, again);
    return CLI_YES;
}

int cmd_restore(struct cli *c)
{
    const char *checkpoint = c->args.value[OPT_CHECKPOINT];
    uint64_t undo_ms =
        cli_has(&c->args, OPT_UNDO) ? c->args.number[OPT_UNDO] / ENV_NS_PER_MS : WEEK_MS;
    shale_restore_result result;
    if (checkpoint == NULL)
        return cli_usage(c, "shale checkpoint list DB", "--checkpoint is missing: which state?");
    if (is_written_here(c))
        return CLI_USAGE;
    if (undo_ms < 1000)
        return cli_usage(c, NULL, "--undo %s: at least 1s", c->args.value[OPT_UNDO]);
    if (!cli_options(c))
        return CLI_USAGE;
    int code = check_consent(c, "restoring puts away what was written since");
    if (code == CLI_YES)
        code = look_at_checkpoint(c, checkpoint);
    if (code == CLI_YES)
        code = ask_restore(c, checkpoint);
    if (code == CLI_YES && is_dry(c) && cli_has(&c->args, OPT_JSON)) {
        out_char(c->out, '{');
        out_json_member(c->out, "would_restore", shl_slice_str(c->args.positional[0]));
        out_char(c->out, ',');
        out_json_member(c->out, "checkpoint", shl_slice_str(checkpoint));
        out_text(c->out, "}\n");
    }
    if (code != CLI_YES || is_dry(c))
        return code;
    if (shale_restore(&result, c->args.positional[0], c->options, checkpoint, undo_ms, &c->err) !=
        SHALE_OK)
        return cli_fail(c, c->args.positional[0]);
    return tell_restore(c, &result);
}

/* ---- delete */

struct naming {
    struct cli *c;
    bool on;
};

static void name_one(void *ctx, const char *key, uint64_t bytes)
{
    struct naming *n = ctx;
    if (n->on)
        cli_note(n->c, "  %s (%" PRIu64 " B)", key, bytes);
}

static void tell_delete(struct cli *c, const char *verb, const shale_delete_result *r)
{
    char count[OUT_UNIT_BYTES];
    char size[SHL_UNITS_TEXT];
    cli_note(c, "%s %s object%s (%s) of %s", verb, out_count(count, r->objects),
             r->objects == 1 ? "" : "s", shl_format_size(r->bytes, size), c->args.positional[0]);
    if (r->parents > 0)
        cli_note(c, "  and what this clone holds in %s other place%s", out_count(count, r->parents),
                 r->parents == 1 ? "" : "s");
}

int cli_ask_for_name(struct cli *c, const char *url)
{
    char reply[1200];
    char question[1300];
    int n = snprintf(question, sizeof question, "for good? type its name, %.1000s: ", url);
    (void)os_write(CLI_STDERR, question, n > 0 ? (size_t)n : 0);
    bool typed = os_read_line(reply, sizeof reply) && reply[0] != '\0';
    if (typed && strcmp(reply, url) == 0)
        return CLI_YES;
    if (typed)
        cli_note(c, "nothing was deleted: typed was \"%.300s\", and the name is \"%.300s\"", reply,
                 url);
    else
        cli_note(c, "nothing was deleted");
    return CLI_NO;
}

/* As in the table. */
static void tell_delete_price(struct cli *c, const shale_delete_result *r)
{
    shale_store_counts n = {.struct_size = sizeof n,
                            .put = 1 + r->parents,
                            .list = 12 + 2 * (r->objects / 1000),
                            .get = 6 + 2 * r->parents,
                            .del = (r->objects + 999) / 1000};
    cli_note_price(c, &n, r->bytes);
}

/* Nobody would find them again: with the manifest goes the last trace of them, and --wal-url finds no database any more. */
static void tell_wal_stays(struct cli *c, const shale_delete_result *r, bool is_gone)
{
    struct shl_buf name = {0};
    const char *path = "PATH";
    if (r->wal_elsewhere == 0)
        return;
    if (is_gone && object_name(c->args.positional[0], cli_has(&c->args, OPT_ROOT), &name) &&
        shl_buf_append(&name, "", 1, NULL) == SHALE_OK &&
        !cli_name_is_escaped(c, c->args.positional[0]))
        path = (const char *)name.data;
    cli_tell(c,
             "note: its WAL objects (up to %" PRIu64 ") are in another store, which was not "
             "named, and stay there: %s%.600s%s",
             r->wal_elsewhere, is_gone ? "shale store rm -r URL/" : "--wal-url URL",
             is_gone ? path : "",
             is_gone ? "/wal deletes them, URL being the --wal-url of its writers"
                     : " deletes them too");
    shl_buf_free(&name);
}

static int ask_delete(struct cli *c, const shale_delete_result *r)
{
    char list[700];
    const char *url = c->args.positional[0];
    if (cli_has(&c->args, OPT_YES) && !is_dry(c))
        return CLI_YES;
    tell_delete(c, is_dry(c) ? "would delete" : "delete", r);
    tell_wal_stays(c, r, false);
    cli_way(c, "shale checkpoint list {db}", list, sizeof list);
    if (r->endless_checkpoints > 0 && !cli_has(&c->args, OPT_FORCE))
        cli_note(c,
                 "note: %" PRIu64 " of its checkpoints never expire: a clone that stands on one "
                 "breaks (%s)",
                 r->endless_checkpoints, list);
    if (is_dry(c)) {
        tell_delete_price(c, r);
        return CLI_YES;
    }
    return cli_ask_for_name(c, url);
}

static int refuse_to_break(struct cli *c, const shale_delete_result *r)
{
    char list[1100];
    cli_way(c, "shale checkpoint list {db}", list, sizeof list);
    return cli_usage(c, list,
                     "%" PRIu64 " of its checkpoints never expire%s, and clones that stand on %s "
                     "would break: delete %s first, or say --force",
                     r->endless_checkpoints, r->endless_checkpoints == 1 ? "s" : "",
                     r->endless_checkpoints == 1 ? "it" : "them",
                     r->endless_checkpoints == 1 ? "it" : "them");
}

static int refuse_to_leave_wal(struct cli *c, const shale_delete_result *r)
{
    char again[690];
    cli_command_again(c, " --wal-url URL", again, sizeof again);
    return cli_usage(c, again,
                     "its WAL objects (up to %" PRIu64 ") are in another store, and would stay "
                     "there: name it, or say --force",
                     r->wal_elsewhere);
}

/* What --yes alone does not mean. */
static int check_force(struct cli *c, const shale_delete_result *r)
{
    if (is_dry(c) || !cli_has(&c->args, OPT_YES) || cli_has(&c->args, OPT_FORCE))
        return CLI_YES;
    return r->endless_checkpoints > 0 ? refuse_to_break(c, r)
           : r->wal_elsewhere > 0     ? refuse_to_leave_wal(c, r)
                                      : CLI_YES;
}

int cmd_delete(struct cli *c)
{
    const char *url = c->args.positional[0];
    shale_delete_result r;
    struct naming names = {.c = c, .on = cli_has(&c->args, OPT_VERBOSE)};
    if (is_written_here(c) || !cli_options(c))
        return CLI_USAGE;
    int code = check_consent(c, "deleting is for good");
    if (code != CLI_YES)
        return code;
    if (shale_delete(&r, url, c->options, true, name_one, &names, &c->err) != SHALE_OK)
        return cli_fail(c, url);
    code = ask_delete(c, &r);
    if (code == CLI_YES)
        code = check_force(c, &r);
    if (code != CLI_YES)
        return code;
    if (!is_dry(c)) {
        if (shale_delete(&r, url, c->options, false, NULL, NULL, &c->err) != SHALE_OK)
            return cli_fail(c, url);
        tell_delete(c, "deleted", &r);
        tell_wal_stays(c, &r, true);
    }
    if (cli_has(&c->args, OPT_JSON))
        out_printf(c->out,
                   "{\"%s\":%" PRIu64 ",\"size_bytes\":%" PRIu64 ",\"parents\":%" PRIu64 "%s}\n",
                   is_dry(c) ? "would_delete" : "deleted", r.objects, r.bytes, r.parents,
                   r.wal_elsewhere > 0 ? ",\"wal_elsewhere\":true" : "");
    return CLI_YES;
}
