/* A store of strings on objects, as the Python package s4db has it: data files that only grow, an index of all keys in memory, one object that is
 * the index, whose PUT commits. Files and rules are those of s4db 0.10.0 (generation 2) and 0.8.0 (generation 1), both read, either written.
 *
 * Any task may call anything at any time; those that change something wait for each other, reads wait for nobody. Writes are in the local folder
 * only until shl_s4_upload. Codes: CONFLICT (another writer), INVALID (an argument, writes that are not uploaded), CORRUPTION (with object and
 * offset), those of the store. */
#ifndef SHL_S4_S4_H
#define SHL_S4_S4_H

#include "base/log.h"
#include "store/store.h"

#define SHL_S4_FILE_MAX_DEFAULT (UINT64_C(64) << 20)
#define SHL_S4_SEAL_MS_DEFAULT  UINT64_C(600000)

struct shl_s4;

struct shl_s4_settings {
    const char *local_dir;   /* NULL: a temporary folder, once one is needed */
    const char *name_prefix; /* what stands before the names of objects in their folder; NULL: "" */
    uint64_t max_file_bytes; /* at which a data file is full */
    unsigned format;         /* generation that is written: 1 or 2 */
    unsigned requests_max;   /* at once; at least 1 */
    uint64_t
        seal_ms; /* a data file that was sent so long ago is not added to: compactions and collectors whose grace time is longer by an upload do no harm */
    bool unfenced; /* puts have no conditions: the last one wins */
    bool read_only;
    bool must_exist;   /* NOT_FOUND if there is no index */
    bool index_unread; /* an index that is damaged or missing does no harm: for shl_s4_rebuild */
};
void shl_s4_settings_init(struct shl_s4_settings *s);

struct shl_s4_open {
    struct shl_store *store; /* a reference is taken */
    const char *path;        /* folder of the objects in it; "" is the root */
    const struct shl_s4_settings *settings;
    const struct shl_log *log; /* borrowed until close; may be NULL */
};

/* Reads the index. What a writer that died left in the local folder after its last flush() comes back: its writes are part of the handle and go up with
 * the next upload. */
SHL_MUST shale_code shl_s4_open(const struct shl_s4_open *how, struct shl_s4 **out,
                                shale_error *err);
/* Never uploads. Iterators must be closed before. NULL is fine. */
void shl_s4_close(struct shl_s4 *db);

/* ---- writes, in the local folder only */

struct shl_s4_item {
    struct shl_slice key;   /* UTF-8, at most 65535 bytes, may be empty */
    struct shl_slice value; /* UTF-8 unless is_bytes; below 4 GiB */
    bool is_bytes;
};
/* All of them or none. The last of equal keys wins. */
SHL_MUST shale_code shl_s4_put(struct shl_s4 *db, const struct shl_s4_item *items, size_t count,
                               shale_error *err);
/* Keys that are not there are passed over. out_deleted may be NULL. */
SHL_MUST shale_code shl_s4_delete(struct shl_s4 *db, const struct shl_slice *keys, size_t count,
                                  size_t *out_deleted, shale_error *err);

/* ---- reads */

/* Appends the value. NOT_FOUND has no text. CRC, flags and key of the record are checked. */
SHL_MUST shale_code shl_s4_get(struct shl_s4 *db, struct shl_slice key, struct shl_buf *value,
                               bool *out_is_bytes, shale_error *err);
bool shl_s4_has(struct shl_s4 *db, struct shl_slice key);
/* Tells value and kind of keys[i] that are there, in any order, in the caller's task; slices are valid until the function returns. */
typedef shale_code (*shl_s4_value_fn)(void *ctx, size_t i, struct shl_slice value, bool is_bytes,
                                      shale_error *err);
SHL_MUST shale_code shl_s4_get_many(struct shl_s4 *db, const struct shl_slice *keys, size_t count,
                                    shl_s4_value_fn fn, void *ctx, shale_error *err);

struct shl_s4_iter;
struct shl_s4_iter_options {
    bool keys_only;
    bool
        local; /* files that are missing in the local folder are downloaded first, then all is read from there */
};
/* All keys, in no order that means anything. A write meanwhile ends it with INVALID; another writer's commit does not. */
SHL_MUST shale_code shl_s4_iter_open(struct shl_s4 *db, const struct shl_s4_iter_options *how,
                                     struct shl_s4_iter **out, shale_error *err);
/* DONE behind the last. Valid until the next call. */
SHL_MUST shale_code shl_s4_iter_next(struct shl_s4_iter *it, struct shl_s4_item *out,
                                     shale_error *err);
void shl_s4_iter_close(struct shl_s4_iter *it); /* NULL is fine */

/* ---- the local folder and the bucket */

/* What was written so far survives the end of the process and of the machine: the next shl_s4_open with this local folder has it. Writes
 * index.idx there too, as s4db does. */
SHL_MUST shale_code shl_s4_flush(struct shl_s4 *db, shale_error *err);
/* Data files first, then the index. rebase: a commit of somebody else meanwhile is merged key by key; else it is CONFLICT. After a failure
 * everything is kept, and a later upload goes on. */
SHL_MUST shale_code shl_s4_upload(struct shl_s4 *db, bool rebase, shale_error *err);
/* All data files into the local folder, and the newest index. INVALID with unsynced writes, unless `force` drops them. */
SHL_MUST shale_code shl_s4_download(struct shl_s4 *db, bool force, uint64_t *out_files,
                                    uint64_t *out_bytes, shale_error *err);
/* Takes the newest index over, with unsynced writes on top. */
SHL_MUST shale_code shl_s4_refresh(struct shl_s4 *db, shale_error *err);

struct shl_s4_compacted {
    uint64_t keys;
    uint64_t bytes_read, bytes_written; /* of records */
    uint64_t files_written;
    uint64_t files_deleted, bytes_deleted;
    uint64_t files_left; /* unreferenced now, but young and another writer's: for gc */
};
/* Rewrites all living records into new files, commits an index of them, then deletes the files that only the index before needed: this handle's at once,
 * those of others once they are older than the grace time. Commits of others meanwhile are kept. INVALID with unsynced writes. */
SHL_MUST shale_code shl_s4_compact(struct shl_s4 *db, uint64_t grace_ns,
                                   struct shl_s4_compacted *out, shale_error *err);

struct shl_s4_rebuilt {
    uint64_t files;
    uint64_t records;
    uint64_t damaged;      /* files whose reading ended before their end, each told in the log */
    uint64_t passed_bytes; /* behind those places */
};
/* Replays data files into a new index, by writer and number. local: only those of the local folder; else those of the bucket too. The next upload
 * commits it. */
SHL_MUST shale_code shl_s4_rebuild(struct shl_s4 *db, bool local, struct shl_s4_rebuilt *out,
                                   shale_error *err);

/* Deletes data files older than the grace time that the newest index does not name. dry_run: only tells. INVALID with unsynced writes. */
SHL_MUST shale_code shl_s4_gc(struct shl_s4 *db, uint64_t grace_ns, bool dry_run,
                              void (*told)(void *ctx, const char *name, uint64_t bytes), void *ctx,
                              shale_error *err);

struct shl_s4_stat {
    uint64_t keys, key_bytes;
    uint64_t record_bytes;  /* of living records */
    uint64_t memory_bytes;  /* of the index */
    uint64_t index_bytes;   /* of the object */
    unsigned index_version; /* 0: there is none */
    uint32_t next_file_num;
    uint64_t files, file_bytes; /* in the bucket */
    uint64_t unreferenced, unreferenced_bytes;
    uint64_t missing;   /* named by the index, but not there */
    uint64_t old_files; /* of generation 1 */
    uint64_t writers;   /* that have files */
    uint64_t unsynced_keys, unsynced_files;
};
/* list: look at the bucket too (a LIST). */
SHL_MUST shale_code shl_s4_stat(struct shl_s4 *db, bool list, struct shl_s4_stat *out,
                                shale_error *err);

#endif
