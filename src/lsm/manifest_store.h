/* Numbered objects written by create-only puts: the protocol of manifests and compactions files (slatedb-behaviour 1.1).
 * Knows ids, the garbage collector's boundary and bytes; not what the bytes mean. One task at a time per struct. */
#ifndef SHL_LSM_MANIFEST_STORE_H
#define SHL_LSM_MANIFEST_STORE_H

#include "lsm/fanout.h"
#include "lsm/format/names.h"
#include "store/store.h"

struct shl_sequenced {
    struct shl_store *store;          /* borrowed */
    const struct shl_db_paths *paths; /* borrowed */
    const char *what; /* "manifest" or "compactions": folder, extension, boundary name */
    struct shl_fanout *fanout; /* borrowed; NULL: one request at a time */
    uint64_t id;      /* newest id that this struct has seen; 0: none yet */
    char boundary_etag[SHL_ETAG_BYTES];
    uint64_t boundary; /* last value read */
    /* What the last LIST found, until a load uses it. */
    bool has_listed;
    uint64_t listed_id; /* 0: the folder is empty */
    uint64_t listed_bytes;
    int64_t listed_modified_ns;
};

void shl_sequenced_init(struct shl_sequenced *q, struct shl_store *store,
                        const struct shl_db_paths *paths, const char *what,
                        struct shl_fanout *fanout);

/* The first request of the first load, for who has others to make beside it: the load goes on from what the LIST found. */
SHL_MUST shale_code shl_sequenced_list(struct shl_sequenced *q, shale_error *err);
/* Reads the newest version into body (which is emptied before). First time by LIST, later by probing id+1, +2, ... *changed false: still q->id, and
 * body is empty. NOT_FOUND: there is none. */
SHL_MUST shale_code shl_sequenced_load(struct shl_sequenced *q, struct shl_buf *body, bool *changed,
                                       shale_error *err);
/* Whether there is a version above q->id. One LIST, which needs no look at the boundary: the collector never takes the newest version, so
 * if there is one above ours, the newest is in the list. */
SHL_MUST shale_code shl_sequenced_is_newest(struct shl_sequenced *q, bool *newest,
                                            shale_error *err);
/* Reads one version, without the boundary check (checkpoints may lie below it). */
SHL_MUST shale_code shl_sequenced_read(struct shl_sequenced *q, uint64_t id, struct shl_buf *body,
                                       shale_error *err);
/* Writes version q->id + 1. PRECONDITION: somebody else wrote it, or it is at or below the boundary: load and try again. */
SHL_MUST shale_code shl_sequenced_write(struct shl_sequenced *q, struct shl_slice body,
                                        shale_error *err);
/* The two halves of a write. After put version q->id + 1 is there, but whether it counts is only known after confirm, which reads the boundary:
 * OK moves q->id on; PRECONDITION as above. Nothing else may be done with q in between, but q->id may be read. */
SHL_MUST shale_code shl_sequenced_put(struct shl_sequenced *q, struct shl_slice body,
                                      shale_error *err);
SHL_MUST shale_code shl_sequenced_confirm(struct shl_sequenced *q, shale_error *err);
/* For the collector: moves the boundary up to `to`, which is below the newest version; never down. NOT_SUPPORTED: the store cannot overwrite
 * conditionally. A GET and a PUT, more if others move it too. */
SHL_MUST shale_code shl_sequenced_move_boundary(struct shl_sequenced *q, uint64_t to, shale_error *err);
/* The full key of version id, owned; NULL if out of memory. */
char *shl_sequenced_key(const struct shl_sequenced *q, uint64_t id);

#endif
