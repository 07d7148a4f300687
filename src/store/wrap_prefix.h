/* A store below a prefix of another one: names gain "prefix/" on the way in and lose it in lists. Messages show the full names. */
#ifndef SHL_STORE_WRAP_PREFIX_H
#define SHL_STORE_WRAP_PREFIX_H

#include "store/store.h"

/* Takes a reference to `inner`; `prefix` is copied. Errors: INVALID (no key), NOMEM. */
SHL_MUST shale_code shl_store_prefix_new(struct shl_store **out, struct shl_store *inner,
                                         const char *prefix, shale_error *err);

/* What a prefix store is over; `s` itself if it is none. Borrowed. */
struct shl_store *shl_store_prefix_inner(struct shl_store *s);

#endif
