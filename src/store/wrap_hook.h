/* A wrapper that lets every call through and is told before and after: the common part of limit, count, latency and fault. */
#ifndef SHL_STORE_WRAP_HOOK_H
#define SHL_STORE_WRAP_HOOK_H

#include "store/wrap.h"

/* One call on its way. */
struct shl_call {
    enum shl_store_kind kind;
    const char *
        key; /* borrowed; the first one of a delete, the prefix of a list; NULL for parts of uploads */
    uint64_t
        requests; /* what S3 would count: pages of 1000 for lists and deletes, runs of touching ranges */
    uint64_t bytes_up;
    uint64_t bytes_down;  /* known afterwards */
    uint64_t started_ns;  /* env_now_mono_ns, after begin */
    struct shl_buf *body; /* get: received bytes from body_from on; else NULL */
    size_t body_from;
    const struct shl_get_range *ranges; /* get_ranges; else NULL */
    size_t range_count;
};

struct shl_hooks {
    /* Before the call. A failure is the answer; the call is not made and `end` is not told. */
    shale_code (*begin)(struct shl_store *s, struct shl_call *call, shale_error *err);
    /* After the call; `code` is its answer. What it returns is the answer: a success may be turned into a failure, never the
     * other way round. */
    shale_code (*end)(struct shl_store *s, struct shl_call *call, shale_code code,
                      shale_error *err);
    /* Frees what the wrapper added; the rest is freed afterwards. */
    void (*deinit)(struct shl_store *s);
};

/* First member of such a wrapper. */
struct shl_hooked {
    struct shl_wrap wrap;
    const struct shl_hooks *hooks; /* [const] */
};

/* A zeroed struct of `bytes` bytes that begins with a shl_hooked, wrapped around `inner` (a reference is taken). Errors: NOMEM. */
SHL_MUST shale_code shl_hooked_new(size_t bytes, struct shl_store *inner,
                                   const struct shl_hooks *hooks, struct shl_hooked **out,
                                   shale_error *err);

#endif
