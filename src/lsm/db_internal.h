/* The inside of a database handle, shared by the files of the engine. See README.md for the lock order:
 * manifest turn, then mu; nothing else is held while mu is taken, and no store call happens under mu. */
#ifndef SHL_LSM_DB_INTERNAL_H
#define SHL_LSM_DB_INTERNAL_H

#include "base/array.h"
#include "base/log.h"
#include "lsm/compactor/filter.h"
#include "lsm/compactor/scheduler.h"
#include "lsm/conflict_log.h"
#include "lsm/db.h"
#include "lsm/fanout.h"
#include "lsm/levels.h"
#include "lsm/manifest_store.h"
#include "lsm/memtable/memtable_arena.h"
#include "lsm/piece_pool.h"
#include "lsm/segment_set.h"
#include "lsm/trace.h"
#include "lsm/wal_fetch.h"

/* Rows in commit order that no WAL object holds yet, as pointers into memtables. */
#define SHL_LOG_CHUNK 510
struct shl_log_chunk {
    struct shl_log_chunk *next;
    size_t count;
    const struct shl_mem_entry *entries[SHL_LOG_CHUNK];
};
struct shl_commit_log {
    struct shl_log_chunk *head; /* owned chain */
    struct shl_log_chunk *tail; /* the chunk that is being filled */
    struct shl_log_chunk *last; /* end of the chain: empty chunks that were reserved follow tail */
    size_t free_entries;        /* in tail and the reserved chunks */
    size_t rows;
    size_t encoded_bytes;
};

/* A caller that waits for a seq to become durable; on its own stack. */
struct shl_waiter {
    struct shl_waiter *next;
    uint64_t seq;
    bool done;
    struct env_cond cond;
};

/* A seq that stays readable, for a snapshot or transaction. */
struct shl_pin {
    struct shl_pin *older, *newer;
    uint64_t seq;
};
struct shl_pin_list { /* ascending, for each new one takes what is committed */
    struct shl_pin *oldest, *newest;
};

enum shl_frozen_state { SHL_FROZEN_WAITING, SHL_FROZEN_UPLOADING, SHL_FROZEN_UPLOADED };

/* One new L0 SST of a frozen memtable. */
struct shl_new_l0 {
    struct shl_buf prefix;     /* owned: the segment; empty for the root tree */
    struct shl_sst_desc *desc; /* counted */
};

/* A frozen memtable on its way to L0. */
struct shl_frozen {
    struct shl_frozen *next;    /* newer one */
    struct shl_memtable *table; /* counted */
    uint64_t last_seq;
    int64_t last_tick;
    uint64_t replay_after_wal_id;
    size_t encoded_bytes;
    struct shl_seq_tracker tracker;       /* owned */
    enum shl_frozen_state state;          /* [mu] */
    SHL_ARRAY(struct shl_new_l0) outputs; /* written by its uploader; read after UPLOADED */
    struct shl_ulid id;                   /* of the first SST, made at dispatch */
    bool stalled;                         /* [mu] it waited for room in L0, and was counted */
    uint64_t l0_bytes, operands;          /* of its upload, for the counts */
};

struct shl_compactor;

/* A version that a managed reader has moved on from, and the checkpoint that covers it. */
struct shl_held_version {
    struct shl_version *version; /* counted */
    struct shl_ulid checkpoint;
};

struct shl_lsm {
    /* [const] after open */
    bool writer;
    struct shl_lsm_settings settings;
    struct shl_merge_operator merge;
    bool has_merge;
    struct shl_transformer transformer;
    bool has_transformer;
    struct shl_scheduler scheduler;
    struct shl_compaction_filter filter;
    bool has_filter;
    struct shl_log *log; /* borrowed; may be NULL */
    struct shl_tracer tracer;
    struct shl_store *store;       /* counted */
    struct shl_store *wal_store;   /* counted */
    char *path;                    /* owned: as it was given */
    struct shl_db_paths paths;     /* owned */
    struct shl_epoch *epoch;       /* owned */
    struct shl_cache *cache;       /* owned */
    struct shl_meta_cache *metas;  /* owned */
    struct shl_mem_pool *arenas;   /* owned; NULL: readers */
    struct shl_piece_pool *pieces; /* owned; NULL: readers */
    bool near;                     /* the store answers in microseconds */
    struct shl_sst_context context;
    struct shl_level_source level_source;
    uint64_t writer_epoch;
    bool put_is_free;
    struct shl_fanout *tasks;      /* owned; NULL if both stores are near */
    struct shl_fanout *fanout;     /* for requests to store: tasks, or NULL if it is near */
    struct shl_fanout *wal_fanout; /* for requests to wal_store, likewise */
    bool follow;                   /* reader: has a poller */

    struct shl_levels *
        looked_at; /* [open] counted: of the first look at SSTs; the first version takes their handles over */

    /* read by gets without a lock */
    struct shl_version *_Atomic version; /* epoch-protected; replaced under mu */
    _Atomic uint64_t committed_seq;      /* newest visible seq; written under mu */
    _Atomic uint64_t durable_seq;        /* written under mu */
    _Atomic int64_t last_tick;           /* newest create_ts; written under mu */
    _Atomic int closed;                  /* shale_code; not SHALE_OK: every call fails with it */
    _Atomic bool asked;                  /* some call came since the poller looked */

    struct env_mutex mu;
    struct env_cond wal_cond;   /* for the WAL task: work, a waiter, a request, stop */
    struct env_cond flush_cond; /* for uploaders: a frozen table, room in L0, durability, stop */
    struct env_cond
        progress_cond; /* for everybody else: something was flushed, published, compacted, or failed */
    struct env_cond compact_cond; /* for the compactor: L0 grew, a job ended, stop */
    struct env_cond poll_cond;    /* for the poller: stop, or poll now */
    struct env_cond gc_cond;      /* for the collector: stop */
    shale_error failure;          /* [mu] why closed is set */
    bool stopping;                /* [mu] close was called */

    /* writing [mu] */
    uint64_t last_seq;
    struct shl_seq_tracker tracker; /* of the active memtable */
    struct shl_memtable *spare;     /* ready for the next freeze; owned; may be NULL */
    uint64_t active_first_wal_id;   /* last_wal_id when the active memtable was made */
    struct shl_commit_log commit_log;
    size_t unflushed_wal_bytes; /* encoded bytes in the log and in the WAL object in flight */

    struct shl_lsm_counts counts;       /* [mu] */
    struct shl_lsm_gc_counts gc_counts; /* [mu] */
    struct shl_gc_filter gc_filter;     /* [const] */
    bool (*cancelled)(void *ctx);       /* [const] or NULL */
    void *cancel_ctx;                   /* [const] */
    uint64_t stall_told_ns; /* [mu] when it was last said that writers wait for a compactor */
    uint64_t l0_shrank_ns;  /* [mu] when L0 was last found shorter than before; 0: never */
    struct shl_segment_set segments; /* [mu] with an extractor of the user */
    _Atomic uint64_t scans;          /* [atomic] relaxed */

    /* snapshots and transactions that are open [mu] */
    struct shl_pin_list snapshots;
    struct shl_pin_list txns;
    struct shl_conflict_log conflicts; /* what was written since the oldest of txns */

    /* WAL [mu] */
    uint64_t last_wal_id;     /* last WAL object written (or the fence) */
    uint64_t wal_request_seq; /* flush at least up to here, now */
    bool wal_in_flight;
    struct shl_waiter *waiters; /* ascending by seq */
    uint64_t wal_next_tick_ns;
    uint64_t wal_tokens;        /* saved ticks */
    uint64_t wal_token_time_ns; /* when tokens were counted last */
    uint64_t durable_wal_seq;   /* newest seq in WAL objects */

    /* frozen memtables, oldest first [mu] */
    struct shl_frozen *frozen_head;
    struct shl_frozen *frozen_tail;
    size_t frozen_count;
    size_t frozen_bytes;       /* encoded */
    size_t l0_in_flight;       /* SSTs being uploaded or waiting to be published */
    struct shl_ulid last_ulid; /* newest SST id that we made */
    bool publishing;
    struct shl_lsm_checkpoint *checkpoints; /* that are to be written; counted */

    /* the manifest: one task at a time has the turn */
    bool manifest_busy; /* [mu] */
    struct env_cond manifest_cond;
    struct shl_sequenced manifests; /* [turn] */
    struct shl_manifest
        *manifest; /* [turn] owned: newest known state; readers copy levels->manifest instead */
    /* what shl_lsm_status_wait waits for [mu] */
    struct env_cond status_cond;
    uint64_t changes; /* of durable_seq, levels and closed, from 1 on */
    size_t status_waiters;
    uint64_t activity; /* [mu] counts writes and manifest changes, for the poller's pace */

    /* The WAL as it was listed beside a look at the manifest, until somebody uses it. [open], then [refresh_mu] */
    struct {
        bool is_there;
        bool more;           /* it did not fit into one page */
        uint64_t after;      /* ids above this */
        shl_wal_items items; /* owned */
    } wal_listed;

    /* compaction */
    bool compacting;   /* [mu] it looks, or a job runs */
    bool compact_due;  /* [mu] look now */
    bool compact_idle; /* [mu] the last look found nothing to do since compact_due was set */
    uint64_t compactions_done;       /* [mu] */
    struct shl_compactor *compactor; /* owned; NULL: none; only its task steps it */

    /* reader */
    struct env_mutex refresh_mu; /* one refresh at a time */
    uint64_t replayed_wal_id;    /* written with refresh_mu and mu held */
    char *checkpoint;            /* [const] owned; NULL: follow the newest */
    bool managed;                /* [const] it has a checkpoint of its own: */
    struct shl_ulid own_id;      /* [refresh_mu] */
    SHL_ARRAY(struct shl_held_version)
    held; /* [refresh_mu] of versions that were replaced and may still be read */

    struct env_task *wal_task, *compact_task, *poll_task, *gc_task, *warm_task;
    struct env_task **flush_tasks; /* owned */
    size_t flush_task_count;
};

/* ---- db_open.c: a handle without tasks, versions and requests, for who does one thing as a writer */
SHL_MUST shale_code shl_lsm_handle_new(const struct shl_lsm_open *o, bool writer,
                                       struct shl_lsm **out, shale_error *err);
void shl_lsm_handle_free(struct shl_lsm *db); /* no task runs */

/* ---- db_flush.c */
/* The rows of a table through the retention rules into one SST, or one per segment: f->outputs. */
SHL_MUST shale_code shl_lsm_build_l0(struct shl_lsm *db, struct shl_frozen *f, uint64_t barrier,
                                     shale_error *err);
/* Puts them at the front of the trees. */
SHL_MUST shale_code shl_lsm_add_outputs(struct shl_manifest *m, const struct shl_frozen *f,
                                        shale_error *err);

/* ---- db_state.c */
/* SHALE_OK, or the reason why the handle cannot be used any more. */
shale_code shl_lsm_check(struct shl_lsm *db, shale_error *err);
/* Keeps the first failure, wakes everybody. code is not SHALE_OK. */
void shl_lsm_fail(struct shl_lsm *db, const shale_error *why);
void shl_lsm_fail_locked(struct shl_lsm *db, const shale_error *why);
/* Replaces the version: active, frozen list and `levels` (NULL: keep). Under mu. */
SHL_MUST shale_code shl_lsm_install_locked(struct shl_lsm *db, struct shl_memtable *active,
                                           struct shl_levels *levels, size_t drop_oldest_frozen,
                                           struct shl_memtable *push_frozen, shale_error *err);
/* A counted reference to the newest version. */
struct shl_version *shl_lsm_version(struct shl_lsm *db);
/* Something of the status has changed. Under mu. */
void shl_lsm_changed_locked(struct shl_lsm *db);
/* Moves durable_seq up and wakes waiters. Under mu. */
void shl_lsm_durable_locked(struct shl_lsm *db, uint64_t seq);
/* A ULID not below any that this handle made or saw. Under mu. */
struct shl_ulid shl_lsm_next_ulid_locked(struct shl_lsm *db);

/* ---- db_manifest.c: updates of the manifest */
/* Waits for the turn. */
void shl_manifest_turn_begin(struct shl_lsm *db);
void shl_manifest_turn_end(struct shl_lsm *db);
/* Loads newer versions and merges our side into them; FENCED if another writer took over. With the turn. */
SHL_MUST shale_code shl_lsm_refresh_manifest(struct shl_lsm *db, bool *changed, shale_error *err);
/* edit changes a copy of the newest manifest (it may run several times; SHALE_DONE: there is nothing to change); then it is written, and becomes db->manifest. With the turn. */
typedef shale_code (*shl_manifest_edit)(struct shl_lsm *db, struct shl_manifest *m, void *arg,
                                        shale_error *err);
SHL_MUST shale_code shl_lsm_update_manifest(struct shl_lsm *db, shl_manifest_edit edit, void *arg,
                                            shale_error *err);
/* The parts of an update, for open, which has other things to do beside the second half: put; shl_sequenced_confirm; then adopt, or after PRECONDITION
 * from either of both, lost (which loads what is there, or fails with TIMEOUT), and again. *out is the caller's. With the turn. */
SHL_MUST shale_code shl_lsm_put_manifest(struct shl_lsm *db, shl_manifest_edit edit, void *arg,
                                         struct shl_manifest **out, shale_error *err);
void shl_lsm_adopt_manifest(struct shl_lsm *db, struct shl_manifest *take_next);
SHL_MUST shale_code shl_lsm_lost_manifest(struct shl_lsm *db, uint64_t deadline_ns,
                                          shale_error *err);
uint64_t shl_lsm_manifest_deadline(const struct shl_lsm *db);
/* Levels of db->manifest; shares handles with the current version. With the turn. */
SHL_MUST shale_code shl_lsm_build_levels(struct shl_lsm *db, struct shl_levels **out,
                                         shale_error *err);

/* Shows readers db->manifest, if they do not have it yet: an update that failed may have learned of what others wrote, or of its own
 * write whose answer was lost. With the turn. */
SHL_MUST shale_code shl_lsm_show_manifest(struct shl_lsm *db, shale_error *err);

/* ---- txn.c */
/* The lesser of `otherwise` and the seqs that snapshots and transactions hold. Under mu. */
uint64_t shl_lsm_min_seq_locked(const struct shl_lsm *db, uint64_t otherwise);
/* What is committed as `seq`; only while transactions are open. txn NULL: a plain write. Under mu. */
void shl_txn_note_commit_locked(struct shl_lsm *db, const struct shl_txn *txn, uint64_t seq,
                                const struct shl_row *rows, size_t count);
/* The part of a commit's conflict test that was not done before. Under mu. */
SHL_MUST shale_code shl_txn_test_locked(struct shl_txn *t, shale_error *err);
/* The newest seq that a read may see. The version must have been taken before. */
static inline uint64_t shl_lsm_limit(const struct shl_lsm *db, bool remote_only,
                                     const struct shl_view *view)
{
    uint64_t seq =
        remote_only ? env_load_acquire(&db->durable_seq) : env_load_acquire(&db->committed_seq);
    return view != NULL && view->seq < seq ? view->seq : seq;
}
#define SHL_NOT_STRICT INT64_MIN /* nothing has expired then, whatever its end: INT64_MIN is one too */
/* The time by which strict reads tell what has expired: the clock's, but never before that of the newest row. */
static inline int64_t shl_lsm_read_time(const struct shl_lsm *db)
{
    if (!db->settings.strict_ttl)
        return SHL_NOT_STRICT;
    int64_t now = shl_clock_ms(&db->settings.clock), tick = env_load_relaxed(&db->last_tick);
    return now > tick ? now : tick;
}
static inline bool shl_row_expired(const struct shl_row *row, int64_t now)
{
    return (row->flags & SHL_ROW_HAS_EXPIRE) != 0 && now != SHL_NOT_STRICT && row->expire_ts <= now;
}

/* ---- db_scan.c */
/* The smallest key above all that begin with the prefix; not bounded if there is none (only 0xff bytes). */
SHL_MUST shale_code shl_lsm_prefix_end(struct shl_slice prefix, struct shl_buf *out,
                                       bool *is_bounded, shale_error *err);

/* ---- db_write.c */
/* A row's kind, and its sizes and segment, before it is written. */
SHL_MUST shale_code shl_lsm_check_kind(const struct shl_lsm *db, uint8_t kind, shale_error *err);
SHL_MUST shale_code shl_lsm_check_row(const struct shl_lsm *db, struct shl_slice key,
                                      struct shl_slice value, shale_error *err);
/* The segment of a key is one of ours from now on. Under mu, or before anybody else has the handle. *is_new: it was none. */
SHL_MUST shale_code shl_lsm_add_segment(struct shl_lsm *db, struct shl_slice key, bool *is_new,
                                        shale_error *err);
SHL_MUST shale_code shl_commit_log_reserve(struct shl_commit_log *log, size_t rows,
                                           shale_error *err);
void shl_commit_log_add(struct shl_commit_log *log, const struct shl_mem_entry *e);
struct shl_log_chunk *shl_commit_log_take(struct shl_commit_log *log, size_t *rows,
                                          size_t *encoded_bytes);
void shl_log_chunks_free(struct shl_log_chunk *c);
/* At this many bytes of its arena a memtable is frozen. */
size_t shl_lsm_arena_limit(const struct shl_lsm_settings *s);
/* Whether frozen memtables are on their way to L0, or would be if an uploader had time. Under mu. */
bool shl_lsm_l0_moves_locked(const struct shl_lsm *db);
/* Encoded bytes in the commit log that make a WAL object due at once. */
uint64_t shl_lsm_wal_limit(const struct shl_lsm *db);
/* Freezes the active memtable if it has rows. Under mu. Out of memory: tried again at the next write. */
SHL_MUST shale_code shl_lsm_freeze_locked(struct shl_lsm *db, shale_error *err);
void shl_frozen_free(struct shl_frozen *f);

/* ---- db_checkpoint.c */
/* Tables with rows above it are not published, and the manifest's last WAL id does not pass the other one. */
uint64_t shl_checkpoint_seq_bound_locked(const struct shl_lsm *db);
uint64_t shl_checkpoint_wal_bound_locked(const struct shl_lsm *db);
/* One that can be written now, or NULL. */
struct shl_lsm_checkpoint *shl_checkpoint_due_locked(const struct shl_lsm *db);
void shl_checkpoint_write_locked(struct shl_lsm *db, struct shl_lsm_checkpoint *c);
/* The handle failed or closes: those that nobody writes will not be. */
void shl_checkpoints_fail_locked(struct shl_lsm *db, const shale_error *why);

/* ---- db_ssts.c: fetches SSTs that are new into the caches; only where settings ask for it */
bool shl_lsm_warms(const struct shl_lsm *db);
void shl_warm_begin(struct shl_lsm *db); /* what is there now is not new; before the task starts */
void shl_warm_task(void *db);

/* ---- db_gc.c */
void shl_gc_task_main(void *db);
/* After FENCED, with no task running: the SSTs of tables that were not published go, unless a manifest names them. */
void shl_lsm_drop_orphans(struct shl_lsm *db);

/* ---- db_wal.c, db_flush.c, db_compact.c, db_reader.c: background tasks */
void shl_wal_task(void *db);
void shl_flush_task(void *db);
void shl_compact_task(void *db);
/* Who opens, writes a little and closes leaves a small SST in L0 each time, and nobody lives long enough to merge them. So who finds L0 full of small ones when it closes waits
 * for its own compactor, until there is room, nothing gets on, or the time of a poll is over. Under mu, which it gives up. */
void shl_lsm_compact_before_closing_locked(struct shl_lsm *db);
SHL_MUST shale_code shl_lsm_compactor_new(struct shl_lsm *db, shale_error *err);
void shl_poll_task(void *db);
/* Replay of WAL objects into a memtable that nobody else writes to. */
struct shl_replay {
    struct shl_memtable *table; /* borrowed */
    uint64_t last_l0_seq;       /* rows at or below it are in L0 already */
    uint64_t last_seq;          /* in, out: newest seq replayed; 0: none yet */
    int64_t last_tick;          /* in, out: newest create_ts */
};
/* ---- db_takeover.c, db_open.c: the writer's way in */
/* Loads or makes the database, takes the epoch, fences. *objects gives the WAL objects below the fence, in order; the caller frees it. */
SHL_MUST shale_code shl_lsm_take_over(struct shl_lsm *db, const struct shl_lsm_open *o,
                                      uint64_t *fence, struct shl_wal_fetch **objects,
                                      shale_error *err);
SHL_MUST shale_code shl_lsm_check_manifest(const struct shl_lsm *db, const struct shl_manifest *m,
                                           shale_error *err);

/* ---- db_replay.c */
/* The writer's: all the objects into memtables, cut at object borders. first and fence are for messages. */
SHL_MUST shale_code shl_lsm_replay(struct shl_lsm *db, struct shl_wal_fetch *objects,
                                   uint64_t first, uint64_t fence, shale_error *err);
/* Rows of WAL object `id`. */
SHL_MUST shale_code shl_lsm_replay_file(struct shl_lsm *db, struct shl_replay *r, uint64_t id,
                                        const struct shl_wal_file *f, shale_error *err);
/* A listing of the WAL beside other requests: begin, then end or drop. It ends in db->wal_listed. */
struct shl_wal_listing {
    struct shl_fan_job job;
    struct shl_lsm *db;
    shale_code rc;
    shale_error err;
};
void shl_wal_listing_begin(struct shl_wal_listing *l, struct shl_lsm *db, uint64_t after);
SHL_MUST shale_code shl_wal_listing_end(struct shl_wal_listing *l, shale_error *err);
void shl_wal_listing_drop(struct shl_wal_listing *l);
/* The first two requests of every open beside each other: the listings of the manifests and (if asked for) of the WAL. */
SHL_MUST shale_code shl_lsm_first_lists(struct shl_lsm *db, bool wal, shale_error *err);
/* Those above *end without a gap, up to id `most`, into row (emptied before); *end becomes the last one. *none: there is not even the object *end was; NULL: nobody asks,
 * and the list needs not go back to it. */
SHL_MUST shale_code shl_lsm_find_wal(struct shl_lsm *db, uint64_t most, shl_wal_items *row,
                                     uint64_t *end, bool *none, shale_error *err);
/* INVALID if the WAL, which has nothing behind the boundary in its own store, lies beside the database: the manifest of a young one, and of a clone that SlateDB made, does
 * not tell. One LIST, only for those. */
SHL_MUST shale_code shl_lsm_check_wal_is_not_here(struct shl_lsm *db, uint64_t end,
                                                  shale_error *err);
/* The objects above `after`: from db->wal_listed if that has them all, else listed now. */
SHL_MUST shale_code shl_lsm_list_wal(struct shl_lsm *db, uint64_t after, shl_wal_items *out,
                                     shale_error *err);
SHL_MUST shale_code shl_lsm_wal_fetch(struct shl_lsm *db, const struct shl_wal_item *items,
                                      size_t count, struct shl_wal_fetch **out, shale_error *err);
/* Reader: replaces db->manifest by that of a checkpoint (UUID or name). */
SHL_MUST shale_code shl_lsm_pin_checkpoint(struct shl_lsm *db, const char *checkpoint,
                                           shale_error *err);
/* Reader: builds and installs the version of db->manifest with the WAL above it. */
SHL_MUST shale_code shl_lsm_reader_install(struct shl_lsm *db, shale_error *err);
/* ---- db_managed.c: the checkpoint of a managed reader; all under refresh_mu or before anybody else has the handle */
/* With the newest manifest loaded: the first one. */
SHL_MUST shale_code shl_lsm_managed_open(struct shl_lsm *db, shale_error *err);
/* Whenever another manifest was loaded that may become the version before the next follow: covers it. */
SHL_MUST shale_code shl_lsm_managed_cover(struct shl_lsm *db, shale_error *err);
/* With a newer manifest loaded: makes the checkpoint cover it, if it is about other SSTs, or renews it. *moved: the version has to be replaced. */
SHL_MUST shale_code shl_lsm_managed_follow(struct shl_lsm *db, bool *moved, shale_error *err);
/* Removes it. What fails is only logged: it expires. */
void shl_lsm_managed_close(struct shl_lsm *db);
/* One wait for what a full L0 may hold up, at most a second; who waits looks again then. *since: 0 before the first one. UNAVAILABLE: whoever asked has given up. */
SHL_MUST shale_code shl_lsm_wait_for_l0_locked(struct shl_lsm *db, struct env_cond *cond,
                                               uint64_t *since, shale_error *err);
/* Waits until `seq` is durable or the handle failed. */
SHL_MUST shale_code shl_lsm_wait_durable_locked(struct shl_lsm *db, uint64_t seq, shale_error *err);

#endif
