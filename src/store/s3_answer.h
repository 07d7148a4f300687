/* What S3 says in answers, read without a network: pages of lists, results of deletes, Content-Range. Pure but for memory. */
#ifndef SHL_STORE_S3_ANSWER_H
#define SHL_STORE_S3_ANSWER_H

#include "base/array.h"
#include "store/store.h"

/* "bytes 0-9/100": [first, end) of size bytes. False for anything else; an empty object may have any range, and has 0 to 0 then. */
struct s3_range {
    uint64_t first, end, size;
};
SHL_MUST bool shl_s3_parse_range(const char *text, struct s3_range *out);

/* One page of a list. {0} may be cleared. */
struct s3_page {
    SHL_ARRAY(struct shl_list_item) items; /* ascending; keys owned; common prefixes end with '/' */
    char *token;                           /* owned: of the next page, or NULL */
    bool truncated;                        /* there are more, it says */
    bool is_list;                          /* it was a list at all */
    struct shl_list_item now;              /* being read; key owned */
};
void shl_s3_page_clear(struct s3_page *p);

/* Of ListObjectsV2. *out must be clear. Errors: UNAVAILABLE (cut, garbled, another document: ask again), NOT_SUPPORTED (there are more keys, but no
 * token for them), NOMEM. */
SHL_MUST shale_code shl_s3_page_read(struct shl_slice document, struct s3_page *out, shale_error *err);
/* Of ListBuckets: each as "name/". */
SHL_MUST shale_code shl_s3_page_read_buckets(struct shl_slice document, struct s3_page *out, shale_error *err);

/* A list on its way from page to page. {0} is a start. */
#define S3_PAGES_MAX      100000
#define S3_LIST_BYTES_MAX (UINT64_C(4) << 30) /* of its keys, and of what is kept with each: more memory is not taken for one list */
struct s3_walk {
    char *last;    /* owned: last key so far; NULL: none */
    unsigned idle; /* pages on end that brought nothing new */
    unsigned pages;
    uint64_t keys, bytes;
};
/* Takes note of the next page, which must go on behind the one before it, or the list would not be in order and might have no end; a common prefix may
 * stand on both. Errors, with "name" for the list's: UNAVAILABLE (it does not move on), NOT_SUPPORTED (it moves on, and has no end), NOMEM. */
SHL_MUST shale_code shl_s3_walk_on(struct s3_walk *w, const struct s3_page *p, const char *name, shale_error *err);
void shl_s3_walk_end(struct s3_walk *w);

/* The first failure in an answer to DeleteObjects, with "bucket" for its text. Errors: that one (PERMISSION_DENIED, UNAVAILABLE); UNAVAILABLE for a
 * document that is no such answer; NOMEM. */
SHL_MUST shale_code shl_s3_deleted_read(struct shl_slice document, const char *bucket, shale_error *err);

#endif
