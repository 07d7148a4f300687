#include "cli/input.h"

#include "base/env/env.h"
#include "base/num.h"
#include "cli/os.h"

#include <errno.h>
#include <string.h>

#define READ_BYTES ((size_t)1 << 20)

int cli_input_open(struct cli *c, const char *help, const char *path, struct cli_input *out)
{
    bool is_stdin = strcmp(path, "-") == 0;
    struct env_stat st = {0};
    *out = (struct cli_input){.name = is_stdin ? "stdin" : path, .fd = CLI_STDIN};
    if (is_stdin) {
        if (os_is_terminal(CLI_STDIN))
            cli_note(c, "reading rows from the terminal; Ctrl-D ends");
        return CLI_YES;
    }
    int failed = os_open_read(&out->fd, path);
    if (failed != 0)
        return cli_usage(c, help, "%s cannot be read: %s", path, strerror(failed));
    if (env_stat(path, &st) == 0 && st.is_dir) {
        os_close(out->fd);
        return cli_usage(c, help, "%s is a folder, not a file of rows", path);
    }
    out->size = st.is_file ? st.size : 0;
    return CLI_YES;
}

void cli_input_close(struct cli_input *in)
{
    if (in->fd != CLI_STDIN)
        os_close(in->fd);
}

struct reading {
    struct cli_input *in;
    struct shl_buf buf;
    int (*take)(void *ctx, struct shl_slice line);
    void *ctx;
};

static int take_line(struct reading *r, struct shl_slice line)
{
    r->in->line++;
    while (line.len > 0 && (line.data[line.len - 1] == '\r' || line.data[line.len - 1] == ' '))
        line.len--;
    return line.len == 0 ? CLI_YES : r->take(r->ctx, line);
}

/* Takes every whole line and moves the rest to the front. */
static int take_lines(struct reading *r, size_t searched)
{
    struct shl_buf *buf = &r->buf;
    size_t at = 0;
    int code = CLI_YES;
    while (code == CLI_YES) {
        size_t from = shl_max_size(at, searched);
        const uint8_t *end =
            from < buf->len ? memchr(buf->data + from, '\n', buf->len - from) : NULL;
        if (end == NULL)
            break;
        code = take_line(r, shl_slice_of(buf->data + at, (size_t)(end - buf->data) - at));
        at = (size_t)(end - buf->data) + 1;
    }
    memmove(buf->data, buf->data + at, buf->len - at);
    buf->len -= at;
    return code;
}

int cli_input_lines(struct cli_input *in, struct cli *c,
                    int (*take)(void *ctx, struct shl_slice line), void *ctx)
{
    struct reading r = {.in = in, .take = take, .ctx = ctx};
    int code = CLI_YES;
    for (size_t n = 1; code == CLI_YES && n > 0;) {
        if (shl_buf_reserve(&r.buf, READ_BYTES, &c->err) != SHALE_OK) {
            code = CLI_FAILED;
            break;
        }
        int failed = os_read(in->fd, r.buf.data + r.buf.len, READ_BYTES, &n);
        if (failed == EINTR)
            break;
        if (failed != 0) {
            code = cli_trouble(c, "%s cannot be read: %s", in->name, strerror(failed));
            break;
        }
        size_t searched = r.buf.len;
        r.buf.len += n;
        in->bytes += n;
        code = n > 0           ? take_lines(&r, searched)
               : r.buf.len > 0 ? take_line(&r, shl_buf_view(&r.buf))
                               : CLI_YES;
    }
    shl_buf_free(&r.buf);
    return code;
}
