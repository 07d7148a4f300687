/* Changes as they become durable: the WAL objects of a database in order, read beside its writer. Reads only. One task at a time.
 * slatedb-behaviour 17. */
#ifndef SHL_LSM_TAIL_H
#define SHL_LSM_TAIL_H

#include "lsm/wal.h"

struct shl_tail_open {
    struct shl_store *store;                   /* counted from here on */
    struct shl_store *wal_store;               /* likewise; NULL: the same */
    const char *path;                          /* the database in the bucket, unescaped; copied */
    const struct shl_transformer *transformer; /* borrowed; NULL: none */
};
struct shl_tail;

/* NOT_FOUND if there is no database. */
SHL_MUST shale_code shl_tail_new(const struct shl_tail_open *o, struct shl_tail **out,
                                 shale_error *err);
void shl_tail_free(struct shl_tail *t); /* NULL is fine */
/* The next object that is read is `id`; 0: the first one that may hold rows that are in no SST. A LIST for 0, else nothing. */
SHL_MUST shale_code shl_tail_seek(struct shl_tail *t, uint64_t id, shale_error *err);
/* The next object, owned by the caller; a fence has no rows. DONE: it is not there yet. CORRUPTION with "WAL truncated": it was collected before it was
 * read. */
SHL_MUST shale_code shl_tail_next(struct shl_tail *t, uint64_t *id, struct shl_wal_file *out,
                                  shale_error *err);
/* One object; NOT_FOUND if it is not there. */
SHL_MUST shale_code shl_tail_read(struct shl_tail *t, uint64_t id, struct shl_wal_file *out,
                                  shale_error *err);
/* The objects from id `from` on. */
SHL_MUST shale_code shl_tail_list(struct shl_tail *t, uint64_t from, shl_wal_items *out,
                                  shale_error *err);

#endif
