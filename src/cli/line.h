/* A line from a person: editing, history and Tab by libedit. The only file that knows libedit; without it, or on a terminal that cannot be moved about on,
 * lines are read as they come. One at a time. */
#ifndef SHL_CLI_LINE_H
#define SHL_CLI_LINE_H

#include "base/bytes.h"

/* What could stand in the place of the word before the cursor. */
struct line_offers {
    size_t from;          /* where the word begins, in bytes of the line */
    struct shl_buf words; /* owned by the editor: as they are typed, each with its NUL */
};
typedef void (*line_complete_fn)(void *ctx, const char *before_cursor, struct line_offers *out);

struct line;
/* NULL if out of memory. complete may be NULL. */
struct line *line_open(line_complete_fn complete, void *ctx);
void line_close(struct line *l); /* NULL is fine */
/* Lines of before, oldest first. */
void line_remember(void *l, const char *line);

enum line_end {
    LINE_READ,
    LINE_STOPPED, /* Ctrl-C, or another signal: os_stop_code() says which */
    LINE_OVER     /* Ctrl-D, or the end of input */
};
/* *out: the line without its end, with a NUL that is not counted. */
enum line_end line_read(struct line *l, const char *prompt, struct shl_buf *out);

#endif
