/* What wrappers share: the inner store, and uploads that pass through. */
#ifndef SHL_STORE_WRAP_H
#define SHL_STORE_WRAP_H

#include "store/backend.h"

/* First member of every wrapper. */
struct shl_wrap {
    struct shl_store base;
    struct shl_store *inner; /* [const] owned reference */
};

static inline struct shl_store *shl_wrap_inner(struct shl_store *s)
{
    return ((struct shl_wrap *)s)->inner;
}

/* Fills the head: the inner store's name (messages name the bucket, not what lies before it) and caps, and a reference to
 * it. Errors: NOMEM. */
SHL_MUST shale_code shl_wrap_init(struct shl_wrap *w, struct shl_store *inner,
                                  const struct shl_store_ops *ops, shale_error *err);
void shl_wrap_deinit(struct shl_wrap *w);

/* Passes a request on that the front has checked for the wrapper: at three layers those checks were a third of a cached file's read. */
static inline shale_code shl_wrap_get_ranges(struct shl_store *s, const char *key,
                                             const struct shl_get_range *ranges, size_t count,
                                             shale_error *err)
{
    struct shl_store *inner = shl_wrap_inner(s);
    return inner->ops->get_ranges(inner, key, ranges, count, err);
}

shale_code shl_wrap_sweep(struct shl_store *s, const struct shl_sweep *how, shale_error *err);

/* First member of a wrapper's upload. A wrapper must have its own, because an upload belongs to the store that made it. */
struct shl_wrap_upload {
    struct shl_upload base;
    struct shl_upload *inner; /* owned; NULL once it has ended */
};

/* Starts an upload of the inner store in a zeroed struct of `bytes` bytes that begins with a shl_wrap_upload. */
SHL_MUST shale_code shl_wrap_upload_start(struct shl_store *s, const char *key, size_t bytes,
                                          struct shl_upload **out, shale_error *err);
/* The plain ways through. complete frees the struct on success; abort in any case. */
shale_code shl_wrap_upload_part(struct shl_store *s, struct shl_upload *u, uint32_t index,
                                const struct shl_slice *parts, size_t count, shale_error *err);
shale_code shl_wrap_upload_complete(struct shl_store *s, struct shl_upload *u,
                                    struct shl_object *out, shale_error *err);
void shl_wrap_upload_abort(struct shl_store *s, struct shl_upload *take_u);

#endif
