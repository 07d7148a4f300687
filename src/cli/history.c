#include "cli/history.h"

#include "base/env/env.h"
#include "base/num.h"
#include "cli/os.h"

#include <stdio.h>

#define FILE_BYTES_MAX ((size_t)1 << 20)

bool history_path(char *dst, size_t cap)
{
    const char *state = env_getenv("XDG_STATE_HOME");
    const char *home = env_getenv("HOME");
    int n = 0;
    if (state != NULL && state[0] == '/')
        n = snprintf(dst, cap, "%s/shale/history", state);
    else if (home != NULL && home[0] == '/')
        n = snprintf(dst, cap, "%s/.local/state/shale/history", home);
    return n > 0 && (size_t)n < cap;
}

/* The folders above the file. One that cannot be made shows when the file is opened. */
static void make_folders(const char *path)
{
    char folder[1024];
    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        int n = snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        if (n > 0 && (size_t)n < sizeof folder)
            (void)env_mkdir(folder);
    }
}

static void read_file(const char *path, struct shl_buf *out)
{
    shale_error err;
    int fd;
    if (os_open_read(&fd, path) != 0)
        return;
    for (size_t n = 1; n > 0 && out->len < FILE_BYTES_MAX;) {
        if (shl_buf_reserve(out, 65536, &err) != SHALE_OK ||
            os_read(fd, out->data + out->len, 65536, &n) != 0)
            break;
        out->len += n;
    }
    os_close(fd);
}

/* Where the last HISTORY_LINES lines begin. */
static size_t first_kept(const struct shl_buf *text)
{
    size_t lines = 0;
    for (size_t i = text->len; i > 0; i--)
        if (text->data[i - 1] == '\n' && ++lines > HISTORY_LINES)
            return i;
    return 0;
}

/* Another shell that adds a line at this moment may lose it: it is only history. */
static void rewrite(const char *path, const uint8_t *data, size_t len)
{
    char fresh[1100];
    int fd;
    (void)snprintf(fresh, sizeof fresh, "%s.new", path);
    (void)env_unlink(fresh);
    if (os_open_private(&fd, fresh, false) != 0)
        return;
    bool whole = os_write(fd, data, len) == 0;
    os_close(fd);
    if (!whole || env_rename(fresh, path) != 0)
        (void)env_unlink(fresh);
}

void history_load(const char *path, void (*each)(void *ctx, const char *line), void *ctx)
{
    struct shl_buf text = {0};
    read_file(path, &text);
    size_t from = first_kept(&text);
    if (from > 0)
        rewrite(path, text.data + from, text.len - from);
    for (size_t at = from; at < text.len;) {
        uint8_t *end = memchr(text.data + at, '\n', text.len - at);
        if (end == NULL)
            break; /* half a line is none */
        *end = '\0';
        each(ctx, (const char *)text.data + at);
        at = (size_t)(end - text.data) + 1;
    }
    shl_buf_free(&text);
}

static bool contains(const char *line, const char *word)
{
    size_t len = strlen(word);
    for (; *line != '\0'; line++) {
        size_t i = 0;
        while (i < len && (line[i] | 0x20) == word[i])
            i++;
        if (i == len)
            return true;
    }
    return false;
}

bool history_may_keep(const char *line)
{
    static const char *const secrets[] = {"secret",      "password",   "passphrase", "token",
                                          "account_key", "access_key", "sas_",       "credential"};
    if (line[0] == '\0' || line[0] == ' ' || line[0] == '\t')
        return false;
    if (!contains(line, "set") && !contains(line, "--store-option"))
        return true;
    for (size_t i = 0; i < SHL_COUNT_OF(secrets); i++)
        if (contains(line, secrets[i]))
            return false;
    return true;
}

void history_add(const char *path, const char *line)
{
    char text[8192];
    int fd;
    int n = snprintf(text, sizeof text, "%s\n", line);
    if (n < 0 || (size_t)n >= sizeof text)
        return;
    make_folders(path);
    if (os_open_private(&fd, path, false) != 0)
        return;
    (void)os_write(fd, text, (size_t)n);
    os_close(fd);
}
