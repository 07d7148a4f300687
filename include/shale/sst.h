/* One SSTable read as a file: what stands at its end, and its blocks one by one. SPDX-License-Identifier: Apache-2.0
 *
 * For tools that look at what a database is made of; no database is opened, and nothing is written. A handle belongs to one thread at a time. */
#ifndef SHALE_SST_H
#define SHALE_SST_H

#include <shale/options.h>

SHALE_BEGIN_DECLS

typedef struct shale_sst shale_sst;

/* What is known of it. Borrowed from the handle. */
typedef struct shale_sst_info {
    size_t struct_size;
    const char *key;           /* of the object in the bucket */
    uint64_t bytes;            /* of the object */
    int64_t modified_ms;       /* Unix ms; 0 if unknown */
    const char *etag;          /* "" if the store gives none */
    unsigned format_version;   /* of the blocks: 1 or 2 */
    const char *compression;   /* "none", "snappy", "zlib", "lz4", "zstd" */
    shale_slice first_key;
    shale_slice last_key;      /* data NULL: not known */
    uint64_t index_offset, index_bytes;
    uint64_t filter_offset, filter_bytes; /* 0 bytes: no filter */
    uint64_t stats_offset, stats_bytes;   /* 0 bytes: no stats, and what follows is 0 */
    uint64_t puts, deletes, merges;       /* rows */
    uint64_t key_bytes, value_bytes;      /* of all rows, before compression */
    size_t block_count;
} shale_sst_info;

typedef struct shale_sst_block {
    uint64_t offset, bytes; /* in the object, with its checksum */
    shale_slice first_key;  /* no key of it is lower; may be shorter than a key. Borrowed from the handle */
} shale_sst_block;

/* ulid: its name below compacted/, in the database or, for a clone, in one that it borrows from. options: the store and transformer are used. A HEAD and one or two GETs. Errors:
 * INVALID (no ULID), NOT_FOUND, CORRUPTION, those of the store. */
SHALE_API SHALE_MUST shale_code shale_sst_open(shale_sst **out, const char *url, const shale_options *options,
                                               const char *ulid, shale_error *err);
SHALE_API void shale_sst_close(shale_sst *sst); /* NULL is fine */
/* Fills the struct; set struct_size = sizeof before. */
SHALE_API void shale_sst_info_get(const shale_sst *sst, shale_sst_info *out);
/* INVALID: there is no block `index`. */
SHALE_API SHALE_MUST shale_code shale_sst_block_get(shale_sst_block *out, const shale_sst *sst, size_t index,
                                                    shale_error *err);
/* All versions of all rows of a block: keys ascending, the newest version first. Valid until the next call with the handle. One GET. */
SHALE_API SHALE_MUST shale_code shale_sst_read_block(const shale_raw_row **out_rows, size_t *out_count, shale_sst *sst,
                                                     size_t index, shale_error *err);

SHALE_END_DECLS

#endif
