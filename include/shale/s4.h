/* A store of strings in a bucket, with the files of the Python package s4db. SPDX-License-Identifier: Apache-2.0
 *
 * Keys are UTF-8 text of up to 65535 bytes (the empty one too), values UTF-8 text or bytes below 4 GiB. All keys are in memory while a store is open; values
 * are read when they are asked for. The URL names the folder of the objects ("s3://bucket/prefix", a path): index.idx and data_*.s4db. Writes go to a local
 * folder and reach the bucket by shale_s4_upload; several writers may have one store open, and the last to commit a key wins.
 *
 * Read: s4db 0.10.0 (generation 2) and 0.8.0 (generation 1). Written: generation 2, or 1 if asked for.
 *
 * Threads: every function may be called from any thread at once; close must be the last call, and an iterator belongs to one thread at a time. `err` may be NULL.
 * Codes beside those of the store: INVALID (an argument, or writes that are not uploaded yet), CONFLICT (another writer), CORRUPTION (with object and offset),
 * NOT_FOUND. */
#ifndef SHALE_S4_H
#define SHALE_S4_H

#include <shale/metrics.h>

SHALE_BEGIN_DECLS

typedef struct shale_s4 shale_s4;

typedef struct shale_s4_options {
    size_t struct_size;
    const char *local_dir;     /* default NULL: a temporary folder, made when it is needed and removed by close */
    const char *object_prefix; /* what stands before the names of objects, e.g. "team-"; without '/'; default NULL: nothing */
    uint64_t max_file_bytes;   /* at which a data file is full; default 64 MiB, at least 64 */
    uint32_t format;           /* generation that is written: 1 or 2; default 2 */
    uint32_t requests_max;     /* at once; default 8 */
    bool read_only;            /* default false */
    bool must_exist;           /* default false: where there is no index, the store is empty. True: NOT_FOUND */
    bool index_unread;         /* default false. True: a damaged index does no harm; for shale_s4_rebuild */
    bool unfenced;             /* default false. True: puts without conditions, for buckets that know none; one writer only */
} shale_s4_options;
SHALE_API void shale_s4_options_init(shale_s4_options *o, size_t struct_size);

/* One GET. Writes that a process flushed to local_dir and did not upload before it died are part of the handle. options: store options are used; how NULL: the defaults.
 * All texts are copied. A local_dir may serve several handles and processes: each writes files of its own.
 * On failure *out is untouched. */
SHALE_API SHALE_MUST shale_code shale_s4_open(shale_s4 **out, const char *url, const shale_options *options,
                                              const shale_s4_options *how, shale_error *err);
/* Uploads nothing: what was neither uploaded nor flushed to a local_dir is lost. NULL is fine. */
SHALE_API void shale_s4_close(shale_s4 *db);

/* ---- writing, locally */

typedef struct shale_s4_item {
    shale_slice key;
    shale_slice value;
    bool is_bytes; /* false: text, which must be UTF-8 */
} shale_s4_item;

/* All items or none; the last of equal keys wins. Everything is copied. */
SHALE_API SHALE_MUST shale_code shale_s4_put(shale_s4 *db, const shale_s4_item *items, size_t count, shale_error *err);
/* Keys that are not there are passed over; *deleted (may be NULL) counts the others. */
SHALE_API SHALE_MUST shale_code shale_s4_delete(shale_s4 *db, const shale_slice *keys, size_t count, size_t *deleted,
                                                shale_error *err);

/* ---- reading; each record is checked: CRC, flags, key */

/* {0} may be released. */
typedef struct shale_s4_value {
    shale_slice value;
    bool is_bytes;
    void *owner; /* ours */
} shale_s4_value;
SHALE_API void shale_s4_value_release(shale_s4_value *value);

/* NOT_FOUND: no such key. What this handle has put is seen at once, flushed or not. Reads the local file if there is one, else one range of the object. *out must be {0} or
 * released. */
SHALE_API SHALE_MUST shale_code shale_s4_get(shale_s4_value *out, shale_s4 *db, shale_slice key, shale_error *err);
/* Tells keys[i] that are there, in any order, in the thread of the call; `value` is valid until visit returns. Ranges that lie together are one request, several are on their way at once. */
SHALE_API SHALE_MUST shale_code shale_s4_get_many(shale_s4 *db, const shale_slice *keys, size_t count,
                                                  void (*visit)(void *ctx, size_t i, shale_slice value, bool is_bytes),
                                                  void *ctx, shale_error *err);
/* By the index in memory: no request, and it cannot fail. */
SHALE_API bool shale_s4_has(shale_s4 *db, shale_slice key);

typedef struct shale_s4_iter shale_s4_iter;
typedef struct shale_s4_scan_options {
    size_t struct_size;
    bool keys_only; /* default false */
    bool local;     /* default false. True: data files that are missing in the local folder are downloaded first, and all values come from there */
} shale_s4_scan_options;
SHALE_API void shale_s4_scan_options_init(shale_s4_scan_options *o, size_t struct_size);
/* All keys, in no order that means anything. A write by this handle meanwhile ends it with INVALID; commits of others do not disturb it. */
SHALE_API SHALE_MUST shale_code shale_s4_scan(shale_s4_iter **out, shale_s4 *db, const shale_s4_scan_options *options,
                                              shale_error *err);
/* DONE behind the last one. *item is valid until the next call. */
SHALE_API SHALE_MUST shale_code shale_s4_next(shale_s4_item *item, shale_s4_iter *it, shale_error *err);
SHALE_API void shale_s4_iter_close(shale_s4_iter *it); /* NULL is fine; before the store is closed */

/* ---- the local folder and the bucket */

/* What was written survives the end of the process and of the machine, in local_dir: the next shale_s4_open with it has it, and its upload sends it. */
SHALE_API SHALE_MUST shale_code shale_s4_flush(shale_s4 *db, shale_error *err);
/* Data files first, then the index, whose PUT publishes all writes at once. A commit of somebody else meanwhile is merged key by key, or CONFLICT with no_rebase. After
 * a failure nothing is lost: a later upload goes on. */
SHALE_API SHALE_MUST shale_code shale_s4_upload(shale_s4 *db, bool no_rebase, shale_error *err);
/* All data files into the local folder, and the newest index. INVALID with writes that are not uploaded, unless `force` drops them. files, bytes may be NULL. */
SHALE_API SHALE_MUST shale_code shale_s4_download(shale_s4 *db, bool force, uint64_t *files, uint64_t *bytes,
                                                  shale_error *err);
/* The newest index, with what was not uploaded on top. One conditional GET. */
SHALE_API SHALE_MUST shale_code shale_s4_refresh(shale_s4 *db, shale_error *err);

#define SHALE_S4_GRACE_MS UINT64_C(86400000) /* a day, as in s4db */

typedef struct shale_s4_compacted {
    size_t struct_size;
    uint64_t keys;
    uint64_t bytes_read;
    uint64_t bytes_written;
    uint64_t files_written;
    uint64_t files_deleted;
    uint64_t bytes_deleted;
    uint64_t files_left; /* replaced too, but another writer's and younger than the grace time: shale_s4_gc takes them later */
} shale_s4_compacted;
/* Copies all living records into new files, commits an index that names them, and only then deletes the files that were replaced. Commits of others meanwhile are
 * kept. Set out->struct_size before. INVALID with writes that are not uploaded. */
SHALE_API SHALE_MUST shale_code shale_s4_compact(shale_s4_compacted *out, shale_s4 *db, uint64_t grace_ms,
                                                 shale_error *err);

typedef struct shale_s4_rebuilt {
    size_t struct_size;
    uint64_t files;
    uint64_t records;
    uint64_t damaged;      /* files that were not read to their end; a warning in the log names each with the place */
    uint64_t passed_bytes; /* behind those places */
} shale_s4_rebuilt;
/* An index made anew from the data files (local: those of the local folder only); the next upload commits it. Open with index_unread. Writes are replayed by writer
 * and file number, so that keys which several writers wrote may get an older value back. Set out->struct_size before. */
SHALE_API SHALE_MUST shale_code shale_s4_rebuild(shale_s4_rebuilt *out, shale_s4 *db, bool local, shale_error *err);

/* Deletes data files older than the grace time that the newest index does not name, and tells each (visit may be NULL). dry_run: only tells. */
SHALE_API SHALE_MUST shale_code shale_s4_gc(shale_s4 *db, uint64_t grace_ms, bool dry_run,
                                            void (*visit)(void *ctx, const char *name, uint64_t bytes), void *ctx,
                                            shale_error *err);

typedef struct shale_s4_stat {
    size_t struct_size;
    uint64_t keys;
    uint64_t key_bytes;
    uint64_t record_bytes;  /* of living records */
    uint64_t memory_bytes;  /* of the index in memory */
    uint64_t index_bytes;   /* of the object */
    uint64_t index_version; /* 1 or 2; 0: there is none */
    uint64_t next_file_num;
    uint64_t files;         /* in the bucket, as all that follows */
    uint64_t file_bytes;
    uint64_t old_files;     /* of generation 1 */
    uint64_t writers;       /* that have files */
    uint64_t unreferenced;  /* files that the index does not name */
    uint64_t unreferenced_bytes;
    uint64_t missing;       /* files that it names and that are not there */
    uint64_t unsynced_keys; /* written or deleted, not uploaded */
    uint64_t unsynced_files;
} shale_s4_stat;
/* no_list: what a LIST would tell stays 0. Set out->struct_size before. */
SHALE_API SHALE_MUST shale_code shale_s4_stat_get(shale_s4_stat *out, shale_s4 *db, bool no_list, shale_error *err);
/* Requests so far. Set struct_size before. */
SHALE_API void shale_s4_store_counts(shale_s4 *db, shale_store_counts *out);

SHALE_END_DECLS

#endif
