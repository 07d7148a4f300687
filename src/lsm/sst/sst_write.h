/* Writing SSTs: rows in, object out, streamed. slatedb-format 2; performance.md 6. */
#ifndef SHL_LSM_SST_WRITE_H
#define SHL_LSM_SST_WRITE_H

#include "lsm/format/sst.h"
#include "lsm/piece_pool.h"
#include "lsm/source.h"
#include "store/store.h"

struct shl_sst_write_options {
    size_t block_bytes;            /* 1 KiB .. 64 KiB; WAL: 65535 */
    bool aligned;                  /* blocks fill whole units of block_bytes; not with compression. slatedb-format 2.9 */
    enum shl_compression compression;
    const struct shl_transformer *transformer;  /* borrowed; NULL: none */
    const struct shl_filter_policy *policies;   /* borrowed */
    size_t policy_count;
    struct shl_user_filters user_filters;       /* borrowed until free */
    uint32_t min_filter_keys;      /* fewer rows: no filter */
    enum shl_sst_type type;        /* WAL: index keys and first_entry are BE seqs, no filter, no stats, no last_entry */
    struct shl_piece_pool *pool;   /* borrowed until free; NULL: none */
    size_t part_bytes;             /* multipart from here on and with parts of this size; 0: one PUT whatever the size */
};

struct shl_sst_writer;
/* For a compacted SST: parts go to `store` under `key` (copied) while it is written; for one PUT at the end if it stays below part_bytes.
 * store NULL: everything is kept, take it with shl_sst_writer_bytes. The store is borrowed until free.
 * Errors: NOMEM; INVALID if more than one policy has bits. */
SHL_MUST shale_code shl_sst_writer_new(const struct shl_sst_write_options *o, struct shl_store *store, const char *key,
                                       struct shl_sst_writer **out, shale_error *err);
/* Rows in order (key ascending, seq descending; WAL: commit order). Copies what it needs. After a failure (NOMEM, or of the store
 * while a part goes up) the row is not in, and may be added again. */
SHL_MUST shale_code shl_sst_writer_add(struct shl_sst_writer *w, const struct shl_row *row, shale_error *err);
/* What a block that is copied has. */
struct shl_sst_copied {
    uint64_t rows; /* 0: it was not copied */
    uint64_t key_bytes, value_bytes;
};
/* Instead of adding the rows of a block of another SST one by one: appends it as it is stored, without encoding, compressing and summing it again; its
 * rows, the first of which is `first`, are walked for filter and stats. Not if it is stored in another way than this SST's blocks are, if blocks would become small, if a key of it has more
 * than one version, or if `keeps` denies one of its rows. Errors as of add; then, and if it was not copied, none of it is in. */
SHL_MUST shale_code shl_sst_writer_copy(struct shl_sst_writer *w, const struct shl_stored_block *block,
                                        const struct shl_row *first, bool (*keeps)(void *ctx, const struct shl_row *row),
                                        void *ctx, struct shl_sst_copied *out, shale_error *err);
/* Bytes of finished (encoded) blocks so far: compactions close an SST by it. */
uint64_t shl_sst_writer_block_bytes(const struct shl_sst_writer *w);
uint64_t shl_sst_writer_rows(const struct shl_sst_writer *w);
/* Writes the rest and publishes the object. *info: slices point into the writer. At least one row. After a failure of the store
 * it may be called again (same object). */
SHL_MUST shale_code shl_sst_writer_finish(struct shl_sst_writer *w, struct shl_sst_info *info, uint64_t *object_bytes,
                                          shale_error *err);
/* store NULL, after finish: the whole object as pieces, borrowed until free. */
void shl_sst_writer_bytes(const struct shl_sst_writer *w, const struct shl_slice **pieces, size_t *count);
/* Aborts an upload that is open. NULL is fine. */
void shl_sst_writer_free(struct shl_sst_writer *w);

#endif
