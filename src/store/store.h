/* The object-store interface: the seam between engines and buckets. Every backend and every wrapper is a struct shl_store.
 *
 * Keys are paths as object-stores.md section 2 has them: UTF-8, segments joined by '/', no leading or trailing '/'; the root is "".
 * All calls block and may come from any task at once. A get after a finished put sees it (read-your-writes, linearizable per key), and
 * so does a list.
 * Codes on which callers act: NOT_FOUND, ALREADY_EXISTS (create), PRECONDITION (if-match), NOT_MODIFIED, INVALID_RANGE,
 * NOT_SUPPORTED, PERMISSION_DENIED, UNAUTHENTICATED, TIMEOUT and UNAVAILABLE (may be tried again), NOMEM. Expected outcomes
 * (NOT_FOUND, ALREADY_EXISTS, PRECONDITION, NOT_MODIFIED) still carry a one-line text that names the key. */
#ifndef SHL_STORE_H
#define SHL_STORE_H

#include "base/bytes.h"
#include "base/codec/ulid.h"
#include <stdatomic.h>

#define SHL_ETAG_BYTES 96 /* longest ETag kept, with its quotes and NUL; longer ones are an error */

enum shl_put_mode {
    SHL_PUT_OVERWRITE,
    SHL_PUT_CREATE,  /* fails with ALREADY_EXISTS if the key exists */
    SHL_PUT_IF_MATCH /* fails with PRECONDITION unless the object's ETag equals if_match; a missing object too */
};

struct shl_put {
    enum shl_put_mode mode;
    const char *if_match; /* SHL_PUT_IF_MATCH: the ETag; else NULL */
    const char *put_id;   /* 26-character ULID stored as metadata "slatedbputid", or NULL; stores without attributes ignore it */
};

struct shl_object {
    uint64_t size;           /* bytes of the whole object */
    int64_t modified_ns;     /* since the Unix epoch; 0 if unknown */
    char etag[SHL_ETAG_BYTES]; /* with quotes; "" if the store gives none */
    char put_id[SHL_ULID_TEXT]; /* "" if none */
};

enum shl_get_kind {
    SHL_GET_ALL,
    SHL_GET_FROM,   /* bytes from `offset` to the end; offset >= size is INVALID_RANGE */
    SHL_GET_SUFFIX  /* the last `len` bytes, or all if the object is shorter */
};

struct shl_get {
    enum shl_get_kind kind;
    uint64_t offset;
    uint64_t len;
    const char *if_none_match; /* NOT_MODIFIED if the ETag equals it; or NULL */
    uint64_t max;              /* of SHL_GET_ALL, 0: none: no memory is taken for more: CORRUPTION if the object is longer, UNAVAILABLE if only an answer is */
};

/* One half-open range [offset, offset + len) received into the caller's memory. len > 0. */
struct shl_get_range {
    uint64_t offset;
    size_t len;
    uint8_t *dst;
};

struct shl_list_item {
    char *key;           /* owned by the list; a common prefix ends with '/' */
    uint64_t size;
    int64_t modified_ns;
};

struct shl_list {
    struct shl_list_item *items; /* owned; ascending by key bytes */
    size_t count;
    size_t cap;
    bool truncated;              /* max was reached and there may be more */
};

struct shl_list_options {
    const char *prefix;      /* whole segments: "a" lists "a/b" but neither "a" nor "ab"; "" or NULL = all */
    const char *start_after; /* exclusive; full key; NULL = from the start */
    size_t max;              /* 0 = all; else at most so many items */
    bool shallow;            /* one level: objects directly below prefix, and common prefixes */
};

struct shl_store;
struct shl_upload; /* a multipart upload: begins with struct { store } of the backend's own */

enum shl_store_cap {
    SHL_STORE_PUT_IS_FREE = 1, /* memory and folder: no price per request */
    SHL_STORE_ATTRIBUTES = 2,  /* put_id is kept and given back by head */
    SHL_STORE_IF_MATCH = 4,
    SHL_STORE_SURE = 16,       /* memory and folder: what was answered with a failure was not done */
    SHL_STORE_NEAR = 8,        /* memory and folder: it answers in microseconds, so that several requests at once gain nothing */
    SHL_STORE_PARTS_STAY = 32  /* folder: a part of an upload is written where it stays, so that small ones cost nothing */
};

/* The vtable. Contracts are those of the shl_store_* functions below, which check arguments and call these. */
struct shl_sweep;
struct shl_store_ops {
    shale_code (*put)(struct shl_store *s, const char *key, const struct shl_slice *parts, size_t count,
                      const struct shl_put *how, struct shl_object *out, shale_error *err);
    shale_code (*get)(struct shl_store *s, const char *key, const struct shl_get *how, struct shl_buf *body,
                      struct shl_object *out, shale_error *err);
    shale_code (*get_ranges)(struct shl_store *s, const char *key, const struct shl_get_range *ranges,
                             size_t count, shale_error *err);
    shale_code (*head)(struct shl_store *s, const char *key, struct shl_object *out, shale_error *err);
    shale_code (*list)(struct shl_store *s, const struct shl_list_options *how, struct shl_list *out,
                       shale_error *err);
    shale_code (*delete_many)(struct shl_store *s, const char *const *keys, size_t count, shale_error *err);
    shale_code (*copy)(struct shl_store *s, const char *from, const char *to, bool create_only, shale_error *err);
    shale_code (*upload_start)(struct shl_store *s, const char *key, struct shl_upload **out, shale_error *err);
    shale_code (*upload_part)(struct shl_store *s, struct shl_upload *u, uint32_t index,
                              const struct shl_slice *parts, size_t count, shale_error *err);
    shale_code (*upload_complete)(struct shl_store *s, struct shl_upload *u, struct shl_object *out,
                                  shale_error *err);
    void (*upload_abort)(struct shl_store *s, struct shl_upload *take_u);
    /* See sweep.h; NULL: it has no unfinished writes that one could see. Wrappers have none. */
    shale_code (*sweep)(struct shl_store *s, const struct shl_sweep *how, shale_error *err);
    void (*destroy)(struct shl_store *s); /* the last reference went away */
};

/* First member of every backend and wrapper. */
struct shl_store {
    const struct shl_store_ops *ops;
    _Atomic uint32_t refs;
    unsigned caps; /* enum shl_store_cap bits [const] */
    char *name;    /* owned; what messages call this store, e.g. "file:///srv" [const] */
    _Atomic uint64_t *quiet_until_ns; /* monotonic; the backend's own, which wrappers share [const pointer] */
    _Atomic uint64_t quiet_own_ns;
};

struct shl_store *shl_store_ref(struct shl_store *s); /* returns s */
void shl_store_unref(struct shl_store *s);            /* NULL is fine */

/* Writes the concatenation of `parts` (borrowed until return). Readers see the old object or the whole new one. `out`, if
 * not NULL, gets size and ETag. After UNAVAILABLE or TIMEOUT the write may or may not have happened. */
SHL_MUST shale_code shl_store_put(struct shl_store *s, const char *key, const struct shl_slice *parts,
                                  size_t count, const struct shl_put *how, struct shl_object *out,
                                  shale_error *err);

/* Appends the asked bytes to `body`; on failure body is as it was. `out` may be NULL. how NULL = all. */
SHL_MUST shale_code shl_store_get(struct shl_store *s, const char *key, const struct shl_get *how,
                                  struct shl_buf *body, struct shl_object *out, shale_error *err);

/* Reads every range whole, or fails: INVALID_RANGE if one reaches past the end of the object. After a failure the destinations
 * hold undefined bytes. Neighbouring ranges may be fetched as one request. */
SHL_MUST shale_code shl_store_get_ranges(struct shl_store *s, const char *key,
                                         const struct shl_get_range *ranges, size_t count, shale_error *err);

SHL_MUST shale_code shl_store_head(struct shl_store *s, const char *key, struct shl_object *out, shale_error *err);

/* Appends to `out` (which may be {0}); on failure out is as it was. */
SHL_MUST shale_code shl_store_list(struct shl_store *s, const struct shl_list_options *how, struct shl_list *out,
                                   shale_error *err);
void shl_list_free(struct shl_list *l);

/* A missing key counts as deleted. On failure some may be deleted. */
SHL_MUST shale_code shl_store_delete_many(struct shl_store *s, const char *const *keys, size_t count,
                                          shale_error *err);
SHL_MUST shale_code shl_store_delete(struct shl_store *s, const char *key, shale_error *err);

/* Server-side copy. create_only: ALREADY_EXISTS if `to` is there. */
SHL_MUST shale_code shl_store_copy(struct shl_store *s, const char *from, const char *to, bool create_only,
                                   shale_error *err);

/* Multipart: parts 0, 1, 2 ... in any order, several at a time; a part given again replaces the earlier one. complete publishes
 * the object (overwriting) and on success ends the upload; after a failure it may be called again, or abort. abort drops
 * everything and ends the upload; it never fails. No part: an empty object. */
SHL_MUST shale_code shl_store_upload_start(struct shl_store *s, const char *key, struct shl_upload **out,
                                           shale_error *err);
SHL_MUST shale_code shl_store_upload_part(struct shl_store *s, struct shl_upload *u, uint32_t index,
                                          const struct shl_slice *parts, size_t count, shale_error *err);
SHL_MUST shale_code shl_store_upload_complete(struct shl_store *s, struct shl_upload *u,
                                              struct shl_object *out, shale_error *err);
void shl_store_upload_abort(struct shl_store *s, struct shl_upload *take_u);

/* For backends: fills the common part; takes ownership of nothing. `name` is copied. */
SHL_MUST shale_code shl_store_init(struct shl_store *s, const struct shl_store_ops *ops, unsigned caps,
                                   const char *name, shale_error *err);
void shl_store_deinit(struct shl_store *s); /* for destroy: frees the common part */

/* For backends: the service asked not to be tried again for so long (Retry-After). Whoever retries waits at least until then. Returns how long
 * it was to be before. */
uint64_t shl_store_ask_quiet(struct shl_store *s, uint64_t ns);
/* How long from now on a retry should still wait; 0: not at all. */
uint64_t shl_store_quiet_left(const struct shl_store *s);

#endif
