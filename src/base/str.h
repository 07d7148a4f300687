/* Text: formatted append to a buffer, strict numbers, comparing without case, "did you mean". */
#ifndef SHL_BASE_STR_H
#define SHL_BASE_STR_H

#include "base/bytes.h"

/* Appends formatted text; the buffer is not NUL-terminated by it. Errors: NOMEM (buffer as it was). */
SHL_MUST shale_code shl_str_printf(struct shl_buf *out, shale_error *err, const char *format, ...)
    SHL_PRINTF(3, 4);
/* Appends the string without its NUL. */
SHL_MUST shale_code shl_str_append(struct shl_buf *out, const char *text, shale_error *err);
/* Puts a NUL behind the bytes, not counted in len, so that data is a C string until the next change. */
SHL_MUST shale_code shl_str_terminate(struct shl_buf *out, shale_error *err);

/* Whole text, decimal digits only (i64: one leading '-' too); false if empty, anything else, or out of range. */
SHL_MUST bool shl_parse_u64(struct shl_slice text, uint64_t *out);
SHL_MUST bool shl_parse_i64(struct shl_slice text, int64_t *out);
/* Decimal number with optional sign, fraction and exponent; no inf, nan, hex or blanks. At most 63 bytes. */
SHL_MUST bool shl_parse_f64(struct shl_slice text, double *out);

/* The shortest text of 15 to 17 digits that reads back to the same finite number. Returns out. */
#define SHL_F64_TEXT 32
const char *shl_f64_text(double v, char out[SHL_F64_TEXT]);

/* Equal without regard to the case of ASCII letters. */
bool shl_str_ieq(const char *a, const char *b);
bool shl_slice_ieq(struct shl_slice a, const char *b);
/* Without blanks, tabs and line ends at both ends. */
struct shl_slice shl_slice_trim(struct shl_slice s);

/* Damerau-Levenshtein distance (insert, delete, change, swap of neighbours; ASCII case is ignored), or max + 1 as soon as it is
 * larger than `max`. Texts above SHL_DISTANCE_LEN_MAX bytes are max + 1 from everything. No allocation. */
#define SHL_DISTANCE_LEN_MAX 64
size_t shl_str_distance(struct shl_slice a, struct shl_slice b, size_t max);

/* How far from a word of so many bytes a name may be and still be meant: a third of it, at least 1. */
size_t shl_str_near_max(size_t len);
/* The nearest of `count` names to a word that is not among them, or NULL if none is near: at most a third of its letters
 * differ, or the word is a beginning or part (of 4 bytes or more) of one name only. `name_at(ctx, i)` gives the names. */
const char *shl_str_suggest(struct shl_slice word, size_t count,
                            const char *(*name_at)(const void *ctx, size_t i), const void *ctx);

#endif
