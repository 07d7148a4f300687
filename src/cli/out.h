/* Output of the program: a buffered stdout, escapes, units. One task. Memory is taken once; what cannot be written is kept as a
 * failure and reported by out_finish. A closed pipe ends the process silently. */
#ifndef SHL_CLI_OUT_H
#define SHL_CLI_OUT_H

#include "base/bytes.h"

#include <stdbool.h>

#define OUT_BYTES 65536

struct out {
    int fd;
    int failed; /* errno of the first failed write */
    bool bold;  /* headings may be bold */
    size_t len;
    char buffer[OUT_BYTES];
};

struct out *out_new(int fd);  /* NULL if out of memory */
void out_free(struct out *o); /* without writing what is left */
/* Writes what is buffered; 0 or the errno of the first failed write. */
int out_finish(struct out *o);

void out_bytes(struct out *o, const void *data, size_t len);
void out_text(struct out *o, const char *text);
void out_printf(struct out *o, const char *format, ...) SHL_PRINTF(2, 3);
static inline void out_char(struct out *o, char c)
{
    out_bytes(o, &c, 1);
}
/* A decimal number, without the cost of printf: dumps print three a row. */
void out_u64(struct out *o, uint64_t n);
void out_i64(struct out *o, int64_t n);

void out_hex(struct out *o, struct shl_slice s);
void out_base64(struct out *o, struct shl_slice s);
/* A JSON string with its quotes; `s` must be UTF-8. */
void out_json_string(struct out *o, struct shl_slice s);
/* "name":"..." or, where the bytes are not UTF-8, "name_base64":"...". */
void out_json_member(struct out *o, const char *name, struct shl_slice s);
/* One line: \t \n \r \\ and \xNN for what cannot be printed. width > 0: at most so many columns, cut with "...". */
void out_escaped(struct out *o, struct shl_slice s, size_t width);
/* A line for people, which may hold what somebody else wrote (keys, names, a server's words): what a terminal would act on and what is not
 * UTF-8 as \xNN; tabs and line ends stay. `dst` is cut to fit. Returns dst. */
const char *out_shown(char *dst, size_t cap, const char *text);
/* A line (without its end) of at most `columns`: what is longer goes on below, `indent` columns in. 0: it is not cut. */
void out_folded(struct out *o, const char *line, size_t columns, size_t indent);
/* A field after RFC 4180. */
void out_csv(struct out *o, struct shl_slice s);

#define OUT_UNIT_BYTES 32
/* "61,532"; returns `text`. Sizes: base/units.h. */
const char *out_count(char text[OUT_UNIT_BYTES], uint64_t n);
/* "~$0.0000004": an estimate, with as many digits as show something; returns `text`. */
const char *out_money(char text[OUT_UNIT_BYTES], double usd);

#endif
