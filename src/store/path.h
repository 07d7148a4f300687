/* Keys as object-stores 2 has them: checking, joining, building from names, and percent signs. Pure but for memory. */
#ifndef SHL_STORE_PATH_H
#define SHL_STORE_PATH_H

#include "base/bytes.h"

/* Why `key` is no key (static text), or NULL if it is one. The root "" is one. */
const char *shl_path_fault(const char *key);

/* INVALID, naming the key, unless it is the key of an object (so not the root). */
SHL_MUST shale_code shl_path_check(const char *key, shale_error *err);

/* Strips one leading and one trailing '/', then checks; percent signs are plain characters. *out: owned. Errors: INVALID, NOMEM. */
SHL_MUST shale_code shl_path_parse(const char *text, char **out, shale_error *err);

/* Decodes percent signs once, then as shl_path_parse. */
SHL_MUST shale_code shl_path_from_url(const char *text, char **out, shale_error *err);

/* A key of user-given names: empty parts are dropped, and what may not stand in a segment is escaped as %XX. Always a valid
 * key or the root. NULL if out of memory. */
char *shl_path_from_parts(const struct shl_slice *parts, size_t count);

/* Decodes %XX once; a '%' without two hex digits stays. The result may hold any byte. Errors: INVALID (%00), NOMEM. */
SHL_MUST shale_code shl_url_decode(const char *text, char **out, shale_error *err);

/* A URL for a message: what stands before an '@' in its host part may be a password and is left out. Returns out, or url itself. */
#define SHL_URL_SHOWN 200
const char *shl_url_shown(const char *url, char out[SHL_URL_SHOWN]);

/* True if `key` is `prefix`, or below it by whole segments. Everything is under "". */
bool shl_path_is_under(const char *key, const char *prefix);

/* "a/b"; the other one if one is "". Owned; NULL if out of memory. */
char *shl_path_join(const char *a, const char *b);

/* A joined path that needs no allocation while it is short. {0} may be deinit'ed; must not be copied. */
struct shl_path_buf {
    char *text;      /* the path; points to `small` or to memory of its own */
    char small[232]; /* most names of a database fit */
};
SHL_MUST shale_code shl_path_buf_join(struct shl_path_buf *p, const char *a, const char *b,
                                      shale_error *err);
void shl_path_buf_deinit(struct shl_path_buf *p);

#endif
