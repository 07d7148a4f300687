/* The engine's face: open a SlateDB-compatible database as writer or reader, read, write, close. What src/api calls.
 * Any task, any call, except that close must be the last and alone. */
#ifndef SHL_LSM_DB_H
#define SHL_LSM_DB_H

#include "base/codec/ulid.h"
#include "lsm/batch.h"
#include "lsm/compactor/counts.h"
#include "lsm/settings.h"
#include "store/store.h"

struct shl_compaction_filter;
struct shl_tracer;
struct shl_log;
struct shl_lsm;
struct shl_scheduler;

struct shl_lsm_open {
    struct shl_store
        *store; /* the bucket (with retry wrapper above); the engine takes references */
    struct shl_store *wal_store;               /* for wal/; NULL: the same */
    const char *path;                          /* the database path inside, unescaped; copied */
    const struct shl_lsm_settings *settings;   /* copied */
    const struct shl_merge_operator *merge;    /* NULL: none; copied */
    const struct shl_transformer *transformer; /* NULL: none; copied */
    const struct shl_scheduler
        *scheduler; /* of compactions; NULL: the one that the settings name; copied */
    const struct shl_compaction_filter *filter; /* NULL: none; copied */
    struct shl_gc_filter gc_filter;             /* of the collector inside */
    struct shl_user_filters user_filters;       /* of SSTables; borrowed until close */
    struct shl_log *log;                        /* borrowed until close; NULL: silent */
    /* Asked now and then by who waits for L0: true gives up. NULL: never. */
    bool (*cancelled)(void *ctx);
    void *cancel_ctx;
    const struct shl_tracer *tracer; /* of reads that name a trace; NULL: none; copied */
    /* A writer found no database and is about to make one; a failure is open's. NULL: nobody asks. */
    shale_code (*before_create)(void *ctx, shale_error *err);
    void *before_create_ctx;
};

enum shl_reader_mode { SHL_READER_LATEST, SHL_READER_CHECKPOINT, SHL_READER_MANAGED };
struct shl_lsm_reader {
    enum shl_reader_mode mode;
    const char *checkpoint; /* UUID or name; with CHECKPOINT */
    bool skip_wal_replay;   /* also without the setting */
    bool
        follow; /* LATEST: poll for newer manifests and WAL objects in the background; MANAGED always does */
};

/* Creates the database if there is none. Fences the writer before. Errors: slatedb-behaviour 20. */
SHL_MUST shale_code shl_lsm_open_writer(const struct shl_lsm_open *o, struct shl_lsm **out,
                                        shale_error *err);
/* Fences nobody, and writes nothing, except that MANAGED keeps a checkpoint of its own in the manifest, which protects what it reads from collectors: made
 * at open, replaced when it moves on, renewed before it expires (settings.checkpoint_lifetime_ns: INVALID below 1 s or twice the poll interval), made again if it
 * vanished, removed at close. NOT_FOUND if there is no database. */
SHL_MUST shale_code shl_lsm_open_reader(const struct shl_lsm_open *o,
                                        const struct shl_lsm_reader *how, struct shl_lsm **out,
                                        shale_error *err);
/* Writer: flushes WAL and memtables, writes the final manifest. Always frees; the code says whether all was made durable. After a
 * failure or fencing nothing is flushed and SHALE_OK is returned. NULL is fine. */
SHL_MUST shale_code shl_lsm_close(struct shl_lsm *db, shale_error *err);
/* The same for a writer that leaves rows in the WAL (memtables without one go to L0), or drops what is not durable. slatedb-behaviour 2.2. */
enum shl_lsm_close { SHL_CLOSE_MEMTABLE, SHL_CLOSE_WAL, SHL_CLOSE_NOTHING };
SHL_MUST shale_code shl_lsm_close_with(struct shl_lsm *db, enum shl_lsm_close what,
                                       shale_error *err);

struct shl_txn;
struct shl_lsm_write {
    bool await_durable;
    uint64_t seq; /* 0: the next */
    struct shl_txn
        *txn; /* txn.c's: a commit, which its conflict test may refuse; NULL: a plain write */
};
struct shl_lsm_written {
    uint64_t seq;
    int64_t create_ts;
};
/* All rows of the batch or none. An empty batch is INVALID. */
SHL_MUST shale_code shl_lsm_write(struct shl_lsm *db, const struct shl_batch *b,
                                  const struct shl_lsm_write *how, struct shl_lsm_written *out,
                                  shale_error *err);
/* The same for one row without building a batch. kind as in shl_batch_op. */
SHL_MUST shale_code shl_lsm_write_one(struct shl_lsm *db, uint8_t kind, struct shl_slice key,
                                      struct shl_slice value, struct shl_ttl ttl,
                                      const struct shl_lsm_write *how, struct shl_lsm_written *out,
                                      shale_error *err);
SHL_MUST shale_code shl_lsm_await_durable(struct shl_lsm *db, uint64_t seq, shale_error *err);
/* memtable false: WAL flush (memtable when the WAL is off). */
SHL_MUST shale_code shl_lsm_flush(struct shl_lsm *db, bool memtable, shale_error *err);
/* Flushes the memtable and returns when no compaction is due or running. */
SHL_MUST shale_code shl_lsm_settle(struct shl_lsm *db, shale_error *err);

/* What a snapshot or transaction sees: the rows up to a seq, and its own writes on top, which count as newer than all. */
#define SHL_OWN_SEQ ((uint64_t)1 << 63) /* seqs of own writes, from here on, in their order */
struct shl_version;
struct shl_memtable;
struct shl_view {
    uint64_t seq;
    struct shl_version
        *version; /* of a reader handle; NULL: the newest one, which keeps what `seq` needs */
    struct shl_memtable *own; /* NULL: none */
    uint64_t own_seq;         /* the newest own write */
};

struct shl_lsm_read {
    bool remote_only;                /* durability level remote: only what is durable */
    bool no_cache_fill;              /* gets fill the block cache unless set */
    const struct shl_view *view;     /* borrowed for the call; NULL: all that is committed */
    struct shl_slice filter_context; /* for filters of the application; borrowed for the call */
    const char *trace_id;            /* it is traced under this name (trace.h); NULL: it is not */
};

/* A value that stays valid until released, and its row's metadata. {0} may be released. */
struct shl_lsm_pinned {
    struct shl_slice value;
    uint64_t seq;
    int64_t create_ts;
    int64_t expire_ts;
    bool has_expire_ts;
    unsigned kind; /* what `owner` is */
    void *owner;
};
/* NOT_FOUND (without text) if there is no live row. */
SHL_MUST shale_code shl_lsm_get(struct shl_lsm *db, struct shl_slice key,
                                const struct shl_lsm_read *how, struct shl_lsm_pinned *out,
                                shale_error *err);
void shl_lsm_pinned_release(struct shl_lsm_pinned *p);
/* Several keys in one view. `found` takes each value that is there; it is called in order, and may be called inside an epoch. */
struct shl_lsm_keys {
    void *ctx;
    size_t count;
    struct shl_slice (*key)(void *ctx, size_t i);
    void (*found)(void *ctx, size_t i, const struct shl_lsm_pinned *take_value);
};
/* After a failure some may have been found. */
SHL_MUST shale_code shl_lsm_get_many(struct shl_lsm *db, const struct shl_lsm_keys *keys,
                                     const struct shl_lsm_read *how, shale_error *err);
/* Copies into the caller's memory, without a reference: value_len is the true length, at most cap bytes are copied. */
SHL_MUST shale_code shl_lsm_get_into(struct shl_lsm *db, struct shl_slice key,
                                     const struct shl_lsm_read *how, void *dst, size_t cap,
                                     size_t *value_len, shale_error *err);

enum shl_lsm_bound { SHL_LSM_UNBOUNDED, SHL_LSM_INCLUDED, SHL_LSM_EXCLUDED };
struct shl_lsm_range {
    struct shl_slice from, to;
    enum shl_lsm_bound from_kind, to_kind;
    bool is_prefix; /* keys with prefix `from`; the rest unused */
};
struct shl_lsm_scan {
    bool reverse;
    bool remote_only;
    bool cache_blocks;               /* keep what is read */
    uint64_t rows_max;               /* 0: all */
    uint64_t read_ahead_bytes;       /* 0: the setting */
    unsigned fetches_max;            /* ahead, of each SST at once; 0: as many as are of use */
    const struct shl_view *view;     /* borrowed for the call; NULL: all that is committed */
    struct shl_slice filter_context; /* for filters of the application; copied */
    const char *trace_id;            /* as in shl_lsm_read; copied */
};
struct shl_lsm_iter;
SHL_MUST shale_code shl_lsm_scan_open(struct shl_lsm *db, const struct shl_lsm_range *range,
                                      const struct shl_lsm_scan *how, struct shl_lsm_iter **out,
                                      shale_error *err);
/* SHALE_DONE at the end. The row (value resolved: merges folded) is valid until the next call on the iterator. */
SHL_MUST shale_code shl_lsm_iter_next(struct shl_lsm_iter *it, struct shl_row *out,
                                      shale_error *err);
/* Continues at the first row at or after key in the direction of the scan; INVALID outside of the range or behind the last row. */
SHL_MUST shale_code shl_lsm_iter_seek(struct shl_lsm_iter *it, struct shl_slice key,
                                      shale_error *err);
void shl_lsm_iter_close(struct shl_lsm_iter *it);

/* Makes a checkpoint's state the newest one, as a writer that fences all others, compactors too. What was there is kept by a checkpoint. */
#define SHL_RESTORE_UNDO_NAME                                                                      \
    "before-restore" /* of the checkpoint that keeps what a restore replaces */
struct shl_lsm_restored {
    uint64_t manifest_id;            /* the new manifest */
    uint64_t checkpoint_manifest_id; /* whose state it has */
    struct shl_ulid undo;            /* the checkpoint of the state before */
    uint64_t wal_rows; /* rows that were in WAL objects of the checkpoint, and are in an SST now */
};
/* undo_lifetime_ms 0: that checkpoint never expires. NOT_FOUND: no database or checkpoint (nothing was changed, but the epoch was taken); CONFLICT: a compactor started
 * meanwhile (nothing was changed). Cost: that of opening and closing a writer, the WAL objects of the checkpoint, and one SST. */
SHL_MUST shale_code shl_lsm_restore(const struct shl_lsm_open *o, const char *checkpoint,
                                    uint64_t undo_lifetime_ms, struct shl_lsm_restored *out,
                                    shale_error *err);

struct shl_lsm_status {
    bool writer;
    uint64_t manifest_id;
    uint64_t writer_epoch;
    uint64_t committed_seq;
    uint64_t durable_seq;
    uint64_t last_wal_id;
    uint64_t l0_count;
    uint64_t run_count;
    uint64_t memtable_bytes; /* active and frozen, arena */
    uint64_t compactions_done;
    shale_code closed; /* SHALE_OK while usable */
    uint64_t changes;  /* of durable_seq, manifest and closed; from 1 on */
    uint64_t segment_count;
    uint64_t cache_bytes; /* blocks held */
};
void shl_lsm_status(struct shl_lsm *db, struct shl_lsm_status *out);
/* Waits until `changes` is not the one given; gives the status in any case. DONE: the time is over. */
SHL_MUST shale_code shl_lsm_status_wait(struct shl_lsm *db, uint64_t changes, uint64_t timeout_ns,
                                        struct shl_lsm_status *out);

/* What a handle did since it was opened, and how large it is. Names: slatedb-surface 5. */
struct shl_lsm_counts {
    uint64_t write_ops, write_batches, backpressure; /* [mu], as all of this group */
    uint64_t l0_stalls_count, l0_stalls_per_key;     /* uploads that waited for room */
    uint64_t checkpoint_requests;
    uint64_t freezes, flush_requests, l0_uploads, l0_flush_bytes, memtable_bytes_written;
    uint64_t memtables_flushed, wal_flushes, wal_flush_requests, wal_flush_bytes;
    uint64_t operands_flush, manifest_refreshes, transactions, conflicts;
};
/* What the collector of a writer did. */
struct shl_lsm_gc_counts {
    uint64_t passes;
    uint64_t deleted[SHL_GC_TASKS];                   /* detach: parents that were let go */
    uint64_t manifest_versions, compactions_versions; /* that were there at the last look */
};
struct shl_lsm_metrics {
    struct shl_lsm_counts counts;
    uint64_t gets, scans, filter_positive, filter_negative, filter_false, operands_read;
    uint64_t prefix_positive, prefix_negative; /* filters, by scans of a prefix */
    uint64_t cache_hits, cache_misses;         /* of blocks */
    uint64_t filter_hits, filter_misses, index_hits, index_misses;
    uint64_t cache_errors;
    uint64_t wal_buffer_bytes, conflict_log_bytes;
    uint64_t sst_count, sst_view_count, segment_l0_max, external_db_count;
    uint64_t snapshots, open_transactions;
    bool has_compactor, has_collector; /* else what follows is zero */
    struct shl_compactor_counts compactor;
    struct shl_lsm_gc_counts gc;
};
void shl_lsm_metrics(struct shl_lsm *db, struct shl_lsm_metrics *out);
/* A checkpoint of an open writer: one view of the database at the moment of the call, which writes that follow do not show in. */
struct shl_lsm_checkpoint;
struct shl_lsm_checkpoint_how {
    bool durable_only;    /* what is durable now, without a flush; else all that was written */
    uint64_t lifetime_ms; /* 0: it never expires */
    const char
        *source;      /* UUID or name of the checkpoint whose state it takes; NULL: the state now */
    const char *name; /* NULL: none */
};
/* Returns as soon as it is known what it will hold; it is written in the background. Its id is known at once. The caller frees it. */
SHL_MUST shale_code shl_lsm_checkpoint_begin(struct shl_lsm *db,
                                             const struct shl_lsm_checkpoint_how *how,
                                             struct shl_lsm_checkpoint **out, shale_error *err);
struct shl_ulid shl_lsm_checkpoint_id(const struct shl_lsm_checkpoint *c);
/* Waits until it is there; also after the handle was closed. INTERNAL: the store did not answer, so it may be there or not. */
SHL_MUST shale_code shl_lsm_checkpoint_wait(struct shl_lsm_checkpoint *c, uint64_t *manifest_id,
                                            shale_error *err);
void shl_lsm_checkpoint_free(
    struct shl_lsm_checkpoint *c); /* what was begun goes on; NULL is fine */

/* Reader: looks for newer manifests and WAL objects now. */
SHL_MUST shale_code shl_lsm_refresh(struct shl_lsm *db, shale_error *err);

#endif
