/* One SST read as a file: its end, then blocks one by one. For tools; databases read through lsm/sst. One task at a time. */
#ifndef SHL_LSM_SST_FILE_H
#define SHL_LSM_SST_FILE_H

#include "lsm/inspect/inspect.h"

struct shl_sst_file {
    struct shl_store *store; /* borrowed */
    char *key;               /* owned */
    struct shl_ulid id;
    struct shl_object object;
    unsigned version; /* of the block format */
    struct shl_sst_info info;
    struct shl_sst_index index;
    struct shl_sst_stats stats;
    bool has_stats;
    struct shl_blob_codec codec;
    struct shl_buf info_bytes, index_bytes, scratch; /* owned: what info and index point into */
    struct shl_buf block, keys;                      /* owned: of the rows that were read last */
    SHL_ARRAY(struct shl_row) rows;
};

/* Footer, info, index and stats. A HEAD and one or two GETs; for an SST of a clone's parent a LIST and a GET more. INVALID: not a ULID. NOT_FOUND. CORRUPTION names the object. */
SHL_MUST shale_code shl_sst_file_open(const struct shl_inspect *in, const char *ulid,
                                      struct shl_sst_file *out, shale_error *err);
void shl_sst_file_deinit(struct shl_sst_file *f); /* {0} is fine */
uint64_t shl_sst_file_block_len(const struct shl_sst_file *f, size_t i);
/* The rows of block i < index.blocks.count in f->rows, valid until the next call. One GET. */
SHL_MUST shale_code shl_sst_file_read(struct shl_sst_file *f, size_t i, shale_error *err);

#endif
