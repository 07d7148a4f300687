/* What backends and wrappers share: the head of an upload, kinds of requests, and one place that decides what a list holds.
 *
 * The shl_store_* front functions check arguments before they call a backend, so a backend may rely on: keys are valid and
 * not the root; part indexes are below SHL_UPLOAD_PARTS_MAX; `how` and `out` are not NULL, list options have a prefix that is not NULL, and the list is empty; ranges
 * are not empty and do not overflow. After a failure the front puts body and list back as they were. */
#ifndef SHL_STORE_BACKEND_H
#define SHL_STORE_BACKEND_H

#include "store/store.h"

#define SHL_UPLOAD_PARTS_MAX 10000 /* what S3 takes */

/* First member of every backend's upload. */
struct shl_upload {
    struct shl_store *store; /* borrowed: who made it */
};

/* Requests by kind, as they are counted, delayed and failed. */
enum shl_store_kind {
    SHL_KIND_PUT,
    SHL_KIND_GET, /* get and get_ranges */
    SHL_KIND_HEAD,
    SHL_KIND_LIST,
    SHL_KIND_DELETE,
    SHL_KIND_COPY,
    SHL_KIND_UPLOAD_START,
    SHL_KIND_UPLOAD_PART,
    SHL_KIND_UPLOAD_COMPLETE,
    SHL_KINDS
};
#define SHL_KIND_BIT(kind) (1u << (unsigned)(kind))
const char *shl_store_kind_name(enum shl_store_kind kind); /* "put", "upload_part" ... */

/* Sum of the lengths; parts are in memory, so it fits. */
size_t shl_parts_bytes(const struct shl_slice *parts, size_t count);
/* Copies them one behind the other. */
void shl_parts_copy(uint8_t *dst, const struct shl_slice *parts, size_t count);
/* Whether these bytes are the parts, one behind the other. */
bool shl_parts_equal(struct shl_slice bytes, const struct shl_slice *parts, size_t count);

/* How many of the ranges from the first on follow each other without a gap; count > 0. */
size_t shl_ranges_touching(const struct shl_get_range *ranges, size_t count);

/* INVALID_RANGE with both numbers. */
shale_code shl_fail_range(shale_error *err, const char *key, uint64_t offset, uint64_t len,
                          uint64_t size);

/* CORRUPTION with both numbers. */
shale_code shl_fail_size(shale_error *err, const char *key, uint64_t size, uint64_t max);

/* The part [*out_offset, + *out_len) of an object of `size` bytes that `how` asks for. Errors: INVALID_RANGE, CORRUPTION: more than how->max. */
SHL_MUST shale_code shl_get_window(const struct shl_get *how, const char *key, uint64_t size,
                                   uint64_t *out_offset, uint64_t *out_len, shale_error *err);

/* Takes keys in ascending order and keeps what the options ask for. */
struct shl_lister {
    const struct shl_list_options *how; /* borrowed */
    struct shl_list *out;               /* borrowed */
    size_t prefix_len;
    bool full; /* max was reached: stop */
};
void shl_lister_init(struct shl_lister *l, const struct shl_list_options *how,
                     struct shl_list *out);
/* An object; it is folded into a common prefix if the list is shallow. Keys outside of the prefix or not after start_after are
 * dropped. Errors: NOMEM. */
SHL_MUST shale_code shl_lister_object(struct shl_lister *l, const char *key, uint64_t size,
                                      int64_t modified_ns, shale_error *err);
/* A common prefix; `key` ends with '/'. */
SHL_MUST shale_code shl_lister_prefix(struct shl_lister *l, const char *key, shale_error *err);
/* False if shl_lister_object would drop or fold this key whatever its size: spares the caller a look at the object. */
bool shl_lister_wants(const struct shl_lister *l, const char *key);

/* How the text of a write begins that may or may not have happened. */
#define SHL_OUTCOME_UNKNOWN "outcome unknown: "

#endif
