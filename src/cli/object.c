#include "cli/object.h"

#include "base/env/env.h"
#include "base/str.h"
#include "cli/os.h"

#include <stdio.h>

/* Behind "s3://"; NULL for bare paths, which are taken as they are. */
static const char *behind_scheme(const char *url)
{
    const char *mark = strstr(url, "://");
    return mark != NULL && strcspn(url, "/") > (size_t)(mark - url) ? mark + 3 : NULL;
}

static bool is_file_url(const char *url)
{
    return shl_slice_ieq(shl_slice_of(url, strnlen(url, 7)), "file://");
}

/* "bucket/path" of "s3://bucket/path"; NULL for what lies on this machine. */
static const char *remote_path(const char *url)
{
    return is_file_url(url) || strncmp(url, "memory", 6) == 0 ? NULL : behind_scheme(url);
}

bool object_is_service(const char *url)
{
    const char *path = remote_path(url);
    return path != NULL && path[0] == '\0';
}

bool object_is_bucket(const char *url)
{
    const char *path = remote_path(url);
    if (path == NULL || path[0] == '\0')
        return false;
    const char *slash = strchr(path, '/');
    return slash == NULL || slash[1] == '\0';
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The rule of URLs: %XX is decoded once, a '%' without two hex digits stays. False: out of memory. */
static bool decode(const char *text, struct shl_buf *out)
{
    shale_error ignored; /* out of memory is all that it can say */
    for (const char *p = text; *p != '\0'; p++) {
        int high = *p == '%' ? hex_value(p[1]) : -1;
        int low = high >= 0 ? hex_value(p[2]) : -1;
        char byte = *p;
        if (low >= 0)
            byte = (char)(high << 4 | low);
        if (shl_buf_append(out, &byte, 1, &ignored) != SHALE_OK)
            return false;
        p += low >= 0 ? 2 : 0;
    }
    return shl_buf_append(out, "", 1, NULL) == SHALE_OK;
}

bool object_folder(const char *url, struct shl_buf *out)
{
    if (is_file_url(url))
        return decode(url + 7, out);
    if (behind_scheme(url) != NULL || strncmp(url, "memory:", 7) == 0)
        return false;
    return shl_buf_append(out, url, strlen(url) + 1, NULL) == SHALE_OK;
}

bool object_name(const char *url, bool whole, struct shl_buf *out)
{
    const char *path = remote_path(url);
    const char *slash = path != NULL ? strchr(path, '/') : NULL;
    struct shl_buf folder = {0};
    bool found = false;
    if (path != NULL)
        return slash != NULL && decode(slash + 1, out) && out->len-- > 0;
    if (object_folder(url, &folder)) {
        size_t end = strlen((const char *)folder.data);
        while (end > 0 && folder.data[end - 1] == '/')
            end--;
        size_t from = whole ? 0 : end;
        while (from > 0 && folder.data[from - 1] != '/')
            from--;
        found = shl_buf_append(out, folder.data + from, end - from, NULL) == SHALE_OK;
    }
    shl_buf_free(&folder);
    return found;
}

const char *object_key(const struct object_at *at)
{
    return (const char *)at->key.data;
}

/* The name behind the last slash; 0, or an exit code after a message. */
static int take_key(struct cli *c, const char *url, const char *name, struct shl_buf *key)
{
    bool is_url = behind_scheme(url) != NULL;
    if (is_url && strpbrk(name, "?#") != NULL)
        return cli_usage(c, "shale help urls", "%s: '?' and '#' in a URL must be %%3F and %%23",
                         url);
    bool done = is_url ? decode(name, key)
                       : shl_buf_append(key, name, strlen(name) + 1, &c->err) == SHALE_OK;
    if (!done)
        return cli_trouble(c, "out of memory");
    if (strlen((const char *)key->data) + 1 != key->len)
        return cli_usage(c, NULL, "%s: %%00 cannot be part of a name", url);
    return CLI_YES;
}

/* "name": a file of this folder. */
static int open_bare(struct cli *c, const char *name, struct object_at *out)
{
    int code = take_key(c, name, name, &out->key);
    if (code != CLI_YES)
        return code;
    return shale_store_open(&out->store, ".", c->options, &c->err) == SHALE_OK ? CLI_YES
                                                                               : cli_fail(c, name);
}

int object_open(struct cli *c, const char *url, struct object_at *out)
{
    char hint[300];
    const char *slash = strrchr(url, '/');
    bool bare = slash == NULL && strncmp(url, "memory:", 7) != 0; /* a file of this folder */
    bool bucket = object_is_bucket(url) || object_is_service(url);
    (void)snprintf(hint, sizeof hint, "shale store %s %.250s",
                   strcmp(c->args.command->name, "store rm") == 0 ? "rm -r" : "ls", url);
    if (bucket)
        return cli_usage(c, hint, "%s: a bucket is no object: its URL goes on, e.g. /db/wal/1.sst",
                         url);
    if (!bare && (slash == NULL || slash[1] == '\0'))
        return cli_usage(c, hint, "%s: an object's URL ends with its name, e.g. ./db/wal/1.sst",
                         url);
    if (bare)
        return open_bare(c, url, out);
    int code = take_key(c, url, slash + 1, &out->key);
    if (code != CLI_YES)
        return code;
    size_t len = (size_t)(slash - url);
    /* "file:///x" lies in "file:///", not in "file://". */
    len += is_file_url(url) && len == 7;
    char *folder = shl_slice_dup_cstr(len == 0 ? shl_slice_str("/") : shl_slice_of(url, len));
    if (folder == NULL)
        return cli_trouble(c, "out of memory");
    shale_code rc = shale_store_open(&out->store, folder, c->options, &c->err);
    env_free(folder);
    return rc == SHALE_OK ? CLI_YES : cli_fail(c, url);
}

void object_close(struct object_at *at)
{
    shale_store_close(at->store);
    shl_buf_free(&at->key);
    *at = (struct object_at){0};
}

int object_answer(struct cli *c, shale_code rc, const char *url, bool loud)
{
    if (rc != SHALE_NOT_FOUND)
        return cli_fail(c, url);
    if (cli_has(&c->args, OPT_JSON)) {
        c->err.code = SHALE_NOT_FOUND;
        (void)snprintf(c->err.text, sizeof c->err.text, "no such object: %.300s", url);
        (void)cli_fail(c, url);
    } else if (loud || os_is_terminal(CLI_STDERR)) {
        cli_note(c, "shale %s: no such object: %s", c->args.command->name, url);
    }
    return CLI_NO;
}
