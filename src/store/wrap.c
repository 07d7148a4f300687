#include "store/wrap.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "store/sweep.h"

shale_code shl_wrap_init(struct shl_wrap *w, struct shl_store *inner,
                         const struct shl_store_ops *ops, shale_error *err)
{
    shale_code rc = shl_store_init(&w->base, ops, inner->caps, inner->name, err);
    if (rc == SHALE_OK) {
        w->inner = shl_store_ref(inner);
        w->base.quiet_until_ns = inner->quiet_until_ns; /* lives as long as the reference */
    }
    return rc;
}

void shl_wrap_deinit(struct shl_wrap *w)
{
    shl_store_unref(w->inner);
    w->inner = NULL;
    shl_store_deinit(&w->base);
}

shale_code shl_wrap_sweep(struct shl_store *s, const struct shl_sweep *how, shale_error *err)
{
    return shl_store_sweep(shl_wrap_inner(s), how, err);
}

shale_code shl_wrap_upload_start(struct shl_store *s, const char *key, size_t bytes,
                                 struct shl_upload **out, shale_error *err)
{
    SHL_ASSERT(bytes >= sizeof(struct shl_wrap_upload));
    struct shl_wrap_upload *u = env_calloc(1, bytes);
    if (u == NULL)
        return shl_nomem(err);
    u->base.store = s;
    shale_code rc = shl_store_upload_start(shl_wrap_inner(s), key, &u->inner, err);
    if (rc == SHALE_OK)
        *out = &u->base;
    else
        env_free(u);
    return rc;
}

shale_code shl_wrap_upload_part(struct shl_store *s, struct shl_upload *u, uint32_t index,
                                const struct shl_slice *parts, size_t count, shale_error *err)
{
    struct shl_wrap_upload *w = (struct shl_wrap_upload *)u;
    return shl_store_upload_part(shl_wrap_inner(s), w->inner, index, parts, count, err);
}

shale_code shl_wrap_upload_complete(struct shl_store *s, struct shl_upload *u,
                                    struct shl_object *out, shale_error *err)
{
    struct shl_wrap_upload *w = (struct shl_wrap_upload *)u;
    shale_code rc = shl_store_upload_complete(shl_wrap_inner(s), w->inner, out, err);
    if (rc == SHALE_OK)
        env_free(w);
    return rc;
}

void shl_wrap_upload_abort(struct shl_store *s, struct shl_upload *take_u)
{
    struct shl_wrap_upload *w = (struct shl_wrap_upload *)take_u;
    shl_store_upload_abort(shl_wrap_inner(s), w->inner);
    env_free(w);
}
