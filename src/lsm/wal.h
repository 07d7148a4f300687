/* WAL objects: list, read back, encode. slatedb-format 7. */
#ifndef SHL_LSM_WAL_H
#define SHL_LSM_WAL_H

#include "base/array.h"
#include "lsm/format/names.h"
#include "lsm/format/sst.h"
#include "store/store.h"

typedef SHL_ARRAY(uint64_t) shl_wal_ids;

/* Ids of WAL objects above `after`, ascending. One LIST. */
SHL_MUST shale_code shl_wal_list(struct shl_store *store, const struct shl_db_paths *paths,
                                 uint64_t after, shl_wal_ids *out, shale_error *err);

/* One WAL object, decoded: its rows in order of seq. */
struct shl_wal_file {
    struct shl_row *rows; /* owned; slices point into the buffers below */
    size_t count;
    size_t cap;
    struct shl_buf body; /* owned: the object */
    struct shl_buf raw;  /* owned: decompressed blocks */
    struct shl_buf keys; /* owned */
};
/* An empty object and an SST without rows are fences: count 0. NOT_FOUND passes through; damage is CORRUPTION naming the object. */
SHL_MUST shale_code shl_wal_file_read(struct shl_store *store, const struct shl_db_paths *paths,
                                      uint64_t id, const struct shl_transformer *transformer,
                                      struct shl_wal_file *out, shale_error *err);
void shl_wal_file_deinit(struct shl_wal_file *f);

#endif
