/* store rm: single objects, or all below a URL. Everything is looked at before anything goes. */
#include "base/env/env.h"
#include "base/units.h"
#include "cli/object.h"
#include "cli/os.h"
#include "cli/price.h"

#include <inttypes.h>
#include <stdio.h>

struct removal {
    struct cli *c;
    shale_store_counts requests;
    uint64_t count; /* objects that would go, or went */
    uint64_t bytes;
    struct shl_buf names; /* owned: keys, each with its NUL */
    bool no_memory;
};

static void add_requests(struct removal *r, shale_store *store)
{
    shale_store_counts n = {.struct_size = sizeof n};
    if (store == NULL)
        return;
    shale_store_counts_get(store, &n);
    cli_add_requests(&r->requests, &n);
}

static bool is_dry(const struct cli *c)
{
    return cli_has(&c->args, OPT_DRY_RUN);
}

static bool can_ask(void)
{
    return os_is_terminal(CLI_STDIN) && os_is_terminal(CLI_STDERR);
}

/* Before the store is asked, so that exit code 2 keeps its promise. */
static int check_consent(struct cli *c)
{
    if (cli_has(&c->args, OPT_YES) || is_dry(c) || can_ask())
        return CLI_YES;
    char again[690];
    cli_command_again(c, " --yes", again, sizeof again);
    return cli_usage(c, again, "deleting is for good: say --yes");
}

static bool note_one(void *ctx, const shale_object *object)
{
    bool *found = ctx;
    (void)object;
    *found = true;
    return false;
}

static int refuse_folder(struct cli *c, const char *url)
{
    c->err.code = SHALE_INVALID;
    if (cli_has(&c->args, OPT_JSON)) {
        (void)snprintf(c->err.text, sizeof c->err.text,
                       "no object but a folder: store rm -r deletes all below %.300s", url);
        (void)cli_fail(c, url);
    } else {
        cli_note(c,
                 "shale store rm: %s is no object but a folder\n  try: shale store rm -r %s        "
                 "  (all below it)",
                 url, url);
    }
    return CLI_NO;
}

/* Is it an object? */
static int look_at(struct removal *r, const char *url)
{
    struct cli *c = r->c;
    struct object_at at = {0};
    shale_object object = {0};
    bool below = false;
    int code = object_open(c, url, &at);
    if (code == CLI_YES) {
        shale_code rc = shale_store_head(at.store, object_key(&at), &object, &c->err);
        if (rc == SHALE_NOT_FOUND &&
            shale_store_list(at.store, object_key(&at), note_one, &below, &c->err) == SHALE_OK)
            code = below ? refuse_folder(c, url) : object_answer(c, rc, url, true);
        else if (rc != SHALE_OK)
            code = cli_fail(c, url);
    }
    add_requests(r, at.store);
    object_close(&at);
    if (code == CLI_YES && is_dry(c))
        cli_note(c, "would delete %s", url);
    r->count += code == CLI_YES;
    r->bytes += object.size;
    return code;
}

static int ask(struct cli *c)
{
    char reply[16];
    if (cli_has(&c->args, OPT_YES) || is_dry(c))
        return CLI_YES;
    for (size_t i = 0; i < c->args.positional_count; i++)
        cli_note(c, "delete %s", c->args.positional[i]);
    (void)os_write(CLI_STDERR, "for good? [y/N] ", 16);
    return os_read_line(reply, sizeof reply) && (reply[0] == 'y' || reply[0] == 'Y') ? CLI_YES
                                                                                     : CLI_NO;
}

static int delete_object(struct removal *r, const char *url)
{
    struct cli *c = r->c;
    struct object_at at = {0};
    int code = object_open(c, url, &at);
    if (code == CLI_YES && shale_store_delete(at.store, object_key(&at), &c->err) != SHALE_OK)
        code = cli_fail(c, url);
    if (code == CLI_YES)
        cli_note(c, "deleted %s", url);
    add_requests(r, at.store);
    object_close(&at);
    return code;
}

static int remove_objects(struct removal *r)
{
    const struct cli_args *a = &r->c->args;
    int code = CLI_YES;
    for (size_t i = 0; i < a->positional_count; i++) {
        int found = look_at(r, a->positional[i]);
        code = code == CLI_YES ? found : code;
    }
    if (code == CLI_YES)
        code = ask(r->c);
    for (size_t i = 0; i < a->positional_count && code == CLI_YES && !is_dry(r->c); i++)
        code = delete_object(r, a->positional[i]);
    return code;
}

/* ---- all below a URL */

/* Folders that nobody means: the root, one's home, "." and "..". */
static bool is_too_much(const char *url)
{
    struct shl_buf folder = {0};
    const char *home = env_getenv("HOME");
    bool much = false;
    if (object_folder(url, &folder)) {
        char *path = (char *)folder.data;
        size_t n = strlen(path);
        while (n > 0 && path[n - 1] == '/')
            path[--n] = '\0';
        const char *slash = strrchr(path, '/');
        const char *last = slash != NULL ? slash + 1 : path;
        much = n == 0 || strcmp(last, ".") == 0 || strcmp(last, "..") == 0 ||
               (home != NULL && strcmp(path, home) == 0);
    }
    shl_buf_free(&folder);
    return much || object_is_service(url);
}

static bool keep_name(void *ctx, const shale_object *object)
{
    struct removal *r = ctx;
    r->no_memory =
        shl_buf_append(&r->names, object->key, strlen(object->key) + 1, NULL) != SHALE_OK;
    r->count++;
    r->bytes += object->size;
    return !r->no_memory;
}

/* True if `path` is reached through a link inside of the folder `top`: what lies there belongs to somebody else. */
static bool is_linked(const char *top, const char *path)
{
    char *real_top = NULL;
    char *real = NULL;
    bool linked = false;
    if (env_realpath(top, &real_top) == 0 && env_realpath(path, &real) == 0) {
        size_t n = strcmp(real_top, "/") == 0 ? 0 : strlen(real_top);
        linked = strncmp(real, real_top, n) != 0 || strcmp(real + n, path + strlen(top)) != 0;
    }
    env_free(real_top);
    env_free(real);
    return linked;
}

/* Links inside of a folder are not followed to their end and emptied there. 0, or an exit code after a message. */
static int refuse_links(const struct removal *r, const char *url)
{
    struct shl_buf folder = {0};
    char path[4200];
    char seen[4200] = "";
    int code = CLI_YES;
    if (object_folder(url, &folder)) {
        char *top = (char *)folder.data;
        for (size_t n = strlen(top); n > 1 && top[n - 1] == '/'; n--)
            top[n - 1] = '\0';
        for (size_t at = 0; at < r->names.len && code == CLI_YES;) {
            const char *key = (const char *)r->names.data + at;
            at += strlen(key) + 1;
            (void)snprintf(path, sizeof path, "%s/%s", top, key);
            *strrchr(path, '/') = '\0';
            if (strcmp(path, seen) != 0 && is_linked(top, path))
                code = cli_trouble(r->c,
                                   "%s: a link leads there: -r does not follow it; nothing "
                                   "was deleted",
                                   path);
            (void)snprintf(seen, sizeof seen, "%s", path);
        }
    }
    shl_buf_free(&folder);
    return code;
}

/* Folders of this machine that the deletes left empty, up to the one that was named. */
static void drop_folders(const struct removal *r, const char *url)
{
    struct shl_buf folder = {0};
    if (object_folder(url, &folder)) {
        for (size_t at = 0; at < r->names.len;) {
            const char *key = (const char *)r->names.data + at;
            size_t len = strlen(key);
            char path[4200];
            at += len + 1;
            int n = snprintf(path, sizeof path, "%s/%s", (const char *)folder.data, key);
            char *slash = n > 0 && (size_t)n < sizeof path ? strrchr(path, '/') : NULL;
            size_t top = strlen((const char *)folder.data);
            for (; slash != NULL && (size_t)(slash - path) >= top; slash = strrchr(path, '/')) {
                *slash = '\0';
                if (env_rmdir(path) != 0)
                    break;
            }
        }
    }
    shl_buf_free(&folder);
}

static int delete_names(struct removal *r, shale_store *store, const char *url)
{
    struct cli *c = r->c;
    struct cli_progress progress;
    uint64_t gone = 0;
    int code = CLI_YES;
    cli_progress_start(&progress, c, "delete", 0);
    for (size_t at = 0; at < r->names.len && code == CLI_YES;) {
        const char *key = (const char *)r->names.data + at;
        at += strlen(key) + 1;
        if (os_timed_out() && cli_out_of_time(c))
            code = cli_fail(c, url);
        else if (shale_store_delete(store, key, &c->err) != SHALE_OK)
            code = cli_fail(c, url);
        else
            cli_progress_tick(&progress, ++gone, 0);
    }
    cli_progress_end(&progress);
    if (code != CLI_YES)
        cli_note(c, "  %" PRIu64 " of %" PRIu64 " object%s %s deleted.", gone, r->count,
                 r->count == 1 ? "" : "s", gone == 1 ? "was" : "were");
    return code;
}

static void tell(const struct removal *r, const char *verb, const char *url)
{
    char count[OUT_UNIT_BYTES];
    char size[SHL_UNITS_TEXT];
    cli_note(r->c, "%s %s object%s (%s) below %s", verb, out_count(count, r->count),
             r->count == 1 ? "" : "s", shl_format_size(r->bytes, size), url);
}

static int remove_names(struct removal *r, shale_store *store, const char *url)
{
    bool dry = is_dry(r->c);
    bool asks = !dry && !cli_has(&r->c->args, OPT_YES);
    if (r->count == 0 && cli_name_is_escaped(r->c, url))
        cli_note(r->c, "note: SlateDB writes this name otherwise: shale help urls");
    if (r->count == 0)
        return object_answer(r->c, SHALE_NOT_FOUND, url, true);
    tell(r, dry ? "would delete" : asks ? "delete" : "deleting", url);
    if (dry)
        return CLI_YES;
    int code = refuse_links(r, url);
    if (code == CLI_YES && asks)
        code = cli_ask_for_name(r->c, url);
    if (code == CLI_YES)
        code = delete_names(r, store, url);
    if (code != CLI_YES)
        return code;
    drop_folders(r, url);
    tell(r, "deleted", url);
    return CLI_YES;
}

static int remove_below(struct removal *r, const char *url)
{
    struct cli *c = r->c;
    shale_store *store = NULL;
    int code = CLI_YES;
    r->names.len = 0;
    if (shale_store_open(&store, url, c->options, &c->err) != SHALE_OK ||
        shale_store_list(store, NULL, keep_name, r, &c->err) != SHALE_OK)
        code = cli_fail(c, url);
    else if (r->no_memory)
        code = cli_trouble(c, "out of memory");
    else
        code = remove_names(r, store, url);
    add_requests(r, store);
    shale_store_close(store);
    return code;
}

static int remove_all(struct removal *r)
{
    const struct cli_args *a = &r->c->args;
    uint64_t count = 0;
    uint64_t bytes = 0;
    int code = CLI_YES;
    for (size_t i = 0; i < a->positional_count; i++)
        if (is_too_much(a->positional[i]))
            return cli_usage(r->c, "shale store ls URL",
                             "%s: name the database or folder itself: this is too much to delete",
                             a->positional[i]);
    for (size_t i = 0; i < a->positional_count && code == CLI_YES; i++) {
        r->count = 0;
        r->bytes = 0;
        code = remove_below(r, a->positional[i]);
        count += r->count;
        bytes += r->bytes;
    }
    r->count = count;
    r->bytes = bytes;
    return code;
}

/* The looks were made; the deletes come on top, one an object. */
static void tell_price(const struct removal *r)
{
    shale_store_counts n = r->requests;
    n.del += r->count;
    cli_note_price(r->c, &n, r->bytes);
}

int cmd_store_rm(struct cli *c)
{
    struct removal r = {.c = c};
    if (c->options == NULL && !cli_options(c))
        return CLI_USAGE;
    int code = check_consent(c);
    if (code != CLI_YES)
        return code;
    code = cli_has(&c->args, OPT_RECURSIVE) ? remove_all(&r) : remove_objects(&r);
    if (code == CLI_YES && is_dry(c))
        tell_price(&r);
    if (code == CLI_YES && cli_has(&c->args, OPT_JSON)) {
        out_printf(c->out, "{\"%s\":%" PRIu64 ",\"size_bytes\":%" PRIu64 ",",
                   is_dry(c) ? "would_delete" : "deleted", r.count, r.bytes);
        cli_json_requests(c->out, &r.requests);
        out_text(c->out, "}\n");
    }
    shl_buf_free(&r.names);
    return code;
}
