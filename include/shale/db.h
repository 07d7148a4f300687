/* A SlateDB-compatible database: open, write, read, scan, close. SPDX-License-Identifier: Apache-2.0
 *
 * Threads: every function may be called from any thread at once, except that shale_db_close must be the last call on its handle, and an
 * iterator, batch or pinned value belongs to one thread at a time. A call on a fenced or failed handle returns a code, never crashes.
 * `err` may be NULL everywhere. A database is one folder of objects; its URL is s3://bucket/path, file:///abs/dir, a path or memory:.
 *
 * After fork() only the parent may go on with a handle: its threads are not in the child, where a call would wait for ever. Open in the child instead. */
#ifndef SHALE_DB_H
#define SHALE_DB_H

#include <shale/error.h>
#include <shale/options.h>
#include <shale/types.h>

SHALE_BEGIN_DECLS

typedef struct shale_db shale_db;
typedef struct shale_batch shale_batch;
typedef struct shale_iter shale_iter;
typedef struct shale_recency shale_recency;

/* Opens as the writer; makes the database if there is none; the writer before is fenced (its calls return FENCED, nothing that it
 * acknowledged as durable is lost). options NULL: the safe defaults. Starts threads. INVALID where a new one would
 * lie among the objects of an s3db database or s4db store. On failure *out is untouched. */
SHALE_API SHALE_MUST shale_code shale_db_open(shale_db **out, const char *url, const shale_options *options,
                                              shale_error *err);

typedef enum shale_reader_mode {
    SHALE_READER_DEFAULT = 0,    /* that checkpoint if one is named, else the newest state */
    SHALE_READER_LATEST = 1,     /* the newest state: writes nothing, and is not protected from collectors */
    SHALE_READER_CHECKPOINT = 2, /* one checkpoint, which is as it is for ever: writes nothing, never polls */
    SHALE_READER_MANAGED = 3     /* follows, and keeps a checkpoint of its own in the manifest, so that no collector takes what it reads: needs the right to
                                  * write. Made at open, replaced as the database changes, renewed before checkpoint_lifetime is over (default 10
                                  * minutes; INVALID below 1 s or twice manifest_poll_interval), made again if it vanished, removed at close */
} shale_reader_mode;

typedef struct shale_reader_options {
    size_t struct_size;
    const char *checkpoint; /* UUID or name of a checkpoint (INVALID if several have the name); NULL: the newest state */
    bool follow;            /* look for newer data every manifest_poll_interval; default false: as it was at open, until shale_db_refresh */
    bool skip_wal_replay;   /* leave out rows that are only in WAL objects yet; default: as the setting says (false) */
    shale_reader_mode mode; /* default SHALE_READER_DEFAULT */
} shale_reader_options;
SHALE_API void shale_reader_options_init(shale_reader_options *o, size_t struct_size);
/* Opens for reading: fences nobody, and writes nothing to the store (but for the checkpoint of a managed reader). Writing calls return INVALID. NOT_FOUND: no database there. */
SHALE_API SHALE_MUST shale_code shale_db_open_reader(shale_db **out, const char *url, const shale_options *options,
                                                     const shale_reader_options *reader, shale_error *err);

/* What a closing writer still does. */
typedef enum shale_close_kind {
    SHALE_CLOSE_MEMTABLE = 0, /* rows in memory go to L0: what shale_db_close does */
    SHALE_CLOSE_WAL = 1,      /* all becomes durable in the WAL, which the next open replays; with the WAL off as MEMTABLE */
    SHALE_CLOSE_NOTHING = 2   /* what is not durable is dropped */
} shale_close_kind;
/* Flushes (a writer), stops the threads and frees the handle, whatever it returns. NULL is fine. Iterators, snapshots, transactions and pinned values must have been closed and
 * released. After a call or a background thread has met fencing or a failure (shale_db_status_get tells) it flushes nothing and returns OK; what is met
 * only now is returned: FENCED, UNAVAILABLE, .. */
SHALE_API shale_code shale_db_close_with(shale_db *db, shale_close_kind what, shale_error *err);
SHALE_API shale_code shale_db_close(shale_db *db, shale_error *err); /* not SHALE_MUST: after a failure nobody asks */

/* ---- writing */
typedef enum shale_ttl_kind { SHALE_TTL_DEFAULT = 0, SHALE_TTL_NEVER = 1, SHALE_TTL_AFTER_MS = 2, SHALE_TTL_AT_MS = 3 } shale_ttl_kind;

typedef struct shale_write_result {
    uint64_t seq;
    int64_t create_ts; /* Unix ms */
} shale_write_result;

typedef struct shale_write_options {
    size_t struct_size;
    bool await_durable;         /* default true: return when the rows are in the store */
    shale_ttl_kind ttl_kind;    /* for put and merge */
    int64_t ttl_ms;             /* after: from now (below 0: it is over already); at: Unix ms */
    uint64_t seq;               /* 0: the next; else this one, which must be greater than all before */
    shale_write_result *result; /* filled on success; may be NULL */
} shale_write_options;
SHALE_API void shale_write_options_init(shale_write_options *o, size_t struct_size);

/* key 1 .. 2^32-1 bytes, value 0 .. 2^32-1 bytes; both are copied. options NULL: durable on return. Errors: INVALID, FENCED, CLOSED,
 * UNAVAILABLE, NOMEM. After FENCED or UNAVAILABLE the row may or may not be durable. */
SHALE_API SHALE_MUST shale_code shale_db_put(shale_db *db, shale_slice key, shale_slice value,
                                             const shale_write_options *options, shale_error *err);
SHALE_API SHALE_MUST shale_code shale_db_delete(shale_db *db, shale_slice key, const shale_write_options *options,
                                                shale_error *err);
/* Needs a merge operator. */
SHALE_API SHALE_MUST shale_code shale_db_merge(shale_db *db, shale_slice key, shale_slice operand,
                                               const shale_write_options *options, shale_error *err);

/* A batch: all or nothing, one sequence number. Adding copies and cannot fail half way: what could not be added is reported by
 * shale_db_write. The last put or delete of a key wins, merges after it stack. NULL: out of memory; a NULL batch takes no calls. */
SHALE_API shale_batch *shale_batch_new(void);
SHALE_API void shale_batch_free(shale_batch *batch); /* NULL is fine */
SHALE_API void shale_batch_clear(shale_batch *batch);
SHALE_API void shale_batch_put(shale_batch *batch, shale_slice key, shale_slice value);
SHALE_API void shale_batch_put_ttl(shale_batch *batch, shale_slice key, shale_slice value, shale_ttl_kind kind,
                                   int64_t ttl_ms);
SHALE_API void shale_batch_delete(shale_batch *batch, shale_slice key);
SHALE_API void shale_batch_merge(shale_batch *batch, shale_slice key, shale_slice operand);
SHALE_API void shale_batch_merge_ttl(shale_batch *batch, shale_slice key, shale_slice operand, shale_ttl_kind kind,
                                     int64_t ttl_ms);
SHALE_API size_t shale_batch_count(const shale_batch *batch); /* operations added */
/* Writes the batch, which stays as it is. An empty batch is INVALID. */
SHALE_API SHALE_MUST shale_code shale_db_write(shale_db *db, const shale_batch *batch, const shale_write_options *options,
                                               shale_error *err);

/* Waits until everything up to `seq`, which was committed already, is durable (INVALID: it was not). Errors as of a put; does not hurry the flush timer with wal_flush = interval. */
SHALE_API SHALE_MUST shale_code shale_db_await_durable(shale_db *db, uint64_t seq, shale_error *err);

/* What was written before is durable in the WAL, or in L0 as well, on return. Errors as of a put. */
typedef enum shale_flush_type { SHALE_FLUSH_WAL = 0, SHALE_FLUSH_MEMTABLE = 1 } shale_flush_type;
SHALE_API SHALE_MUST shale_code shale_db_flush(shale_db *db, shale_flush_type type, shale_error *err);
/* Flushes the memtable, then waits until no compaction is due or running. */
SHALE_API SHALE_MUST shale_code shale_db_settle(shale_db *db, shale_error *err);

/* ---- reading: errors of every call are INVALID, CLOSED, UNAVAILABLE, CORRUPTION (names the object), NOMEM, TIMEOUT, and what is said of it */
typedef enum shale_durability {
    SHALE_MEMORY = 0, /* all that is committed ("uncommitted" in old words) */
    SHALE_REMOTE = 1  /* only what is durable in the store ("committed" in old words) */
} shale_durability;

typedef struct shale_read_options {
    size_t struct_size;
    shale_durability durability; /* default memory */
    bool cache_blocks;           /* default true */
    shale_slice filter_context;  /* handed to filter policies of the application (shale/hooks.h); default empty */
    const char *trace_id;        /* tell shale_options_set_trace's function of the steps, under this name; default NULL: do not */
} shale_read_options;
SHALE_API void shale_read_options_init(shale_read_options *o, size_t struct_size);

/* A value that needs no copy. {0} may be released. Do not copy the struct; release before the database is closed. */
typedef struct shale_pinned {
    shale_slice value;
    uint64_t seq;
    int64_t create_ts; /* Unix ms */
    int64_t expire_ts; /* Unix ms, if has_expire_ts */
    bool has_expire_ts;
    unsigned owner_kind; /* ours */
    void *owner;         /* ours */
} shale_pinned;
SHALE_API void shale_pinned_release(shale_pinned *pinned);

/* NOT_FOUND (its text stays empty) if there is no such key. *out must be {0} or released. */
SHALE_API SHALE_MUST shale_code shale_db_get(shale_pinned *out, shale_db *db, shale_slice key,
                                             const shale_read_options *options, shale_error *err);
/* Looks up `count` keys at once, all in one view of the database; keys may come in any order and more than once. out[i] is the value of
 * keys[i] where codes[i] is SHALE_OK; else codes[i] is SHALE_NOT_FOUND. Every out[i] must be {0} or released. Any other code is
 * returned, and then nothing is pinned. Cheaper than as many gets: cached lookups wait for memory side by side, eight at a time, and on a
 * bucket what is not cached is fetched side by side. */
SHALE_API SHALE_MUST shale_code shale_db_get_many(shale_pinned *out, shale_code *codes, shale_db *db, const shale_slice *keys,
                                                  size_t count, const shale_read_options *options, shale_error *err);
/* Copies at most `cap` bytes to dst (NULL if cap is 0); *value_len is the whole length. NOT_FOUND leaves both alone. */
SHALE_API SHALE_MUST shale_code shale_db_get_into(shale_db *db, shale_slice key, void *dst, size_t cap, size_t *value_len,
                                                  const shale_read_options *options, shale_error *err);

typedef struct shale_scan_options {
    size_t struct_size;
    bool reverse;                /* highest key first */
    shale_durability durability;
    bool cache_blocks;           /* default false: a scan does not push out what gets use */
    uint64_t rows_max;           /* 0: all */
    uint64_t read_ahead_bytes;   /* 0: adaptive */
    shale_slice filter_context;  /* as in shale_read_options, for scans of a prefix; copied */
    const char *trace_id;        /* as in shale_read_options; copied */
    unsigned max_fetch_tasks;    /* fetches ahead of the reader, of each SSTable at once; 0: as many as are of use, at most 8 */
} shale_scan_options;
SHALE_API void shale_scan_options_init(shale_scan_options *o, size_t struct_size);

/* One consistent view for the length of the scan: later writes, flushes and compactions do not show. */
SHALE_API SHALE_MUST shale_code shale_db_scan(shale_iter **out, shale_db *db, shale_range range,
                                              const shale_scan_options *options, shale_error *err);
/* SHALE_DONE after the last row. *row is valid until the next call with this iterator. After any other failure every later
 * call returns that failure. */
SHALE_API SHALE_MUST shale_code shale_iter_next(shale_row *row, shale_iter *it, shale_error *err);
/* Skips to the first row at or after `key` in the direction of the scan. INVALID outside of the range or behind the last row. */
SHALE_API SHALE_MUST shale_code shale_iter_seek(shale_iter *it, shale_slice key, shale_error *err);
SHALE_API void shale_iter_close(shale_iter *it); /* NULL is fine */

/* What was written last, first: all versions of keys that begin with `prefix`, layer by layer: memtables, then L0, newest first, then the sorted runs. A
 * key comes once for each version that is still there, also as a deletion or merge operand; keys ascend within a layer only. One view, as of a scan. options:
 * reverse and rows_max must be as they are by default. INVALID: the prefix lies in more than one segment. */
SHALE_API SHALE_MUST shale_code shale_db_scan_by_recency(shale_recency **out, shale_db *db, shale_slice prefix,
                                                         const shale_scan_options *options, shale_error *err);
/* SHALE_DONE after the last row. *layer (may be NULL) counts from 0, those without rows too. *row is valid until the next call. */
SHALE_API SHALE_MUST shale_code shale_recency_next(shale_raw_row *row, size_t *layer, shale_recency *it, shale_error *err);
SHALE_API void shale_recency_close(shale_recency *it); /* NULL is fine */

/* Reader handles: looks for newer data now. */
SHALE_API SHALE_MUST shale_code shale_db_refresh(shale_db *db, shale_error *err);

typedef enum shale_close_reason {
    SHALE_CLOSE_NONE = 0,   /* usable */
    SHALE_CLOSE_CLEAN = 1,  /* there is no handle */
    SHALE_CLOSE_FENCED = 2, /* another writer took over */
    SHALE_CLOSE_PANIC = 3   /* a background thread met a failure, which `closed` names */
} shale_close_reason;

typedef struct shale_db_status {
    size_t struct_size;
    bool writer;
    shale_code closed;       /* OK while usable; FENCED, UNAVAILABLE, ... after a failure */
    uint64_t manifest_id;
    uint64_t writer_epoch;
    uint64_t committed_seq;
    uint64_t durable_seq;
    uint64_t last_wal_id;
    uint64_t l0_count;
    uint64_t run_count;
    uint64_t memtable_bytes;
    uint64_t cache_bytes;
    uint64_t compactions_done;
    uint64_t changes;        /* grows whenever durable_seq, the manifest (with it the segments) or close_reason change; from 1 on */
    uint64_t segment_count;
    shale_close_reason close_reason;
} shale_db_status;
/* Fills the struct; set struct_size = sizeof before. */
SHALE_API void shale_db_status_get(shale_db *db, shale_db_status *out);
/* Waits up to timeout_ms until *io->changes is not what it was, and fills *io: hand in what an earlier call filled, or a struct of zeros but for struct_size, which is filled at
 * once. DONE: nothing has changed; *io is filled too. A reader learns of changes by following or shale_db_refresh. Like every call it must have returned before
 * shale_db_close, so a thread that only waits needs a timeout. INVALID: NULL, struct_size. */
SHALE_API SHALE_MUST shale_code shale_db_status_wait(shale_db_status *io, shale_db *db, uint64_t timeout_ms,
                                                     shale_error *err);
/* Calls visit for each segment of the manifest in use, by prefix, which is borrowed; stops when it returns false. */
SHALE_API void shale_db_segments_each(shale_db *db,
                                      bool (*visit)(void *ctx, shale_slice prefix, uint64_t l0_count, uint64_t run_count),
                                      void *ctx);

/* ---- SSTables in the caches; writers and readers */

typedef enum shale_cache_target {
    SHALE_CACHE_FILTERS = 1,
    SHALE_CACHE_INDEX = 2,
    SHALE_CACHE_STATS = 4, /* taken for SlateDB's sake: no read uses them, so they are not kept */
    SHALE_CACHE_DATA = 8   /* blocks that hold keys of the range */
} shale_cache_target;
/* Fetches parts of an SSTable into the caches, as far as there is room; the index comes in any case. sst: its ULID. targets: bits of shale_cache_target. data: of no
 * meaning without DATA. Errors: INVALID, NOT_FOUND (the manifest in use has no such SSTable), those of reads. */
SHALE_API SHALE_MUST shale_code shale_db_warm_sst(shale_db *db, const char *sst, unsigned targets, shale_range data,
                                                  shale_error *err);
/* All of it leaves the caches. Errors: INVALID, NOT_FOUND. */
SHALE_API SHALE_MUST shale_code shale_db_evict_cached_sst(shale_db *db, const char *sst, shale_error *err);
/* About how many bytes the SSTables have for the range: whole blocks as they are stored, every version of a row, no memtables. Fetches indexes that are not in
 * memory, one request each. */
SHALE_API SHALE_MUST shale_code shale_db_range_bytes(uint64_t *out_bytes, shale_db *db, shale_range range,
                                                     shale_error *err);

SHALE_END_DECLS

#endif
