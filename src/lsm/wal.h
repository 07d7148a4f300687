/* WAL objects: list, read back, encode. slatedb-format 7. */
#ifndef SHL_LSM_WAL_H
#define SHL_LSM_WAL_H

#include "base/array.h"
#include "lsm/format/manifest.h"
#include "lsm/format/names.h"
#include "lsm/format/sst.h"
#include "store/store.h"

struct shl_wal_item {
    uint64_t id;
    uint64_t bytes; /* of the object */
};
typedef SHL_ARRAY(struct shl_wal_item) shl_wal_items;

/* WAL objects above `after`, ascending by id. One LIST. */
SHL_MUST shale_code shl_wal_list(struct shl_store *store, const struct shl_db_paths *paths,
                                 uint64_t after, shl_wal_items *out, shale_error *err);
/* The same, but not more than one page of the LIST; *more: there may be others behind. */
SHL_MUST shale_code shl_wal_list_page(struct shl_store *store, const struct shl_db_paths *paths,
                                      uint64_t after, shl_wal_items *out, bool *more,
                                      shale_error *err);
/* INVALID if an object has rows: of a database that is gone, and `target` ("the new database") would get them. */
SHL_MUST shale_code shl_wal_has_no_rows(const shl_wal_items *items,
                                        const struct shl_db_paths *paths,
                                        const struct shl_store *store, const char *target,
                                        shale_error *err);
/* CORRUPTION that says what shl_manifest_lacks_wal (lsm/format/manifest.h) found. */
shale_code shl_wal_lacks(const struct shl_db_paths *paths, const struct shl_manifest *m,
                         uint64_t end, bool none, shale_error *err);

/* One WAL object, decoded: its rows in order of seq. */
struct shl_wal_file {
    struct shl_row *rows; /* owned; slices point into the buffers below */
    size_t count;
    size_t cap;
    struct shl_buf body; /* owned: the object */
    struct shl_buf raw;  /* owned: decompressed blocks */
    struct shl_buf keys; /* owned */
};
/* Bytes of one whose size no list told. */
#define SHL_WAL_FILE_MAX (UINT64_C(4) << 30)

/* An empty object and an SST without rows are fences: count 0. NOT_FOUND passes through; damage, and more than bytes_max, is CORRUPTION naming
 * the object. */
SHL_MUST shale_code shl_wal_file_read(struct shl_store *store, const struct shl_db_paths *paths,
                                      uint64_t id, uint64_t bytes_max,
                                      const struct shl_transformer *transformer,
                                      struct shl_wal_file *out, shale_error *err);
void shl_wal_file_deinit(struct shl_wal_file *f);

#endif
