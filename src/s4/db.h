/* The handle, and what its files share. Not for other rooms. */
#ifndef SHL_S4_DB_H
#define SHL_S4_DB_H

#include "s4/index.h"
#include "s4/local.h"
#include "s4/s4.h"
#include "s4/unsynced.h"

#define SHL_S4_GONE            UINT64_MAX /* in the journal: the file of a deleted key */
#define SHL_S4_UNSYNCED_ENDING ".unsynced"
#define SHL_S4_LOCK_ENDING     ".lock"
#define SHL_S4_BASES_ENDING    ".bases"

/* A data file that this handle made, or a rebuild found. */
struct shl_s4_file {
    uint64_t id;
    uint64_t size;             /* good bytes in the local folder */
    uint64_t from;             /* records from here on are in no committed index */
    uint64_t flushed;          /* safe on the disk up to here */
    char etag[SHL_ETAG_BYTES]; /* of our last upload; "": none */
    bool dirty;                /* the bucket has less than `size` */
    bool unsure; /* what the bucket has is not known: an answer was lost, or a dead writer knew */
    uint64_t sent_ns;   /* when the bucket got it last */
    bool retired;       /* sealed with records that no index has: those move into another file */
    bool unconditional; /* of a rebuild: put without a condition */
};

/* An index that readers may hold while the handle goes on to another one. */
struct shl_s4_map {
    struct shl_s4_index index;
    uint32_t refs; /* [mu] */
};

struct shl_s4 {
    struct shl_store *store;         /* owned reference [const] */
    char *path;                      /* owned [const] */
    char *name_prefix;               /* owned [const] */
    const struct shl_log *log;       /* [const] */
    struct shl_s4_settings settings; /* [const]; its texts are not ours */

    /* Who changes something has the turn: there is one at a time, and it reads without mu what only it changes. */
    struct env_mutex mu;
    struct env_cond turn; /* [mu] with busy */
    bool busy;            /* [mu] */

    struct shl_s4_map *map; /* owned reference [mu to change and for others, turn to read] */
    uint64_t changes;       /* [mu] writes so far: iterators look at it */
    struct shl_s4_local local;

    /* [turn] */
    struct shl_s4_index journal; /* key to place or GONE, since the last commit */
    struct shl_s4_index
        bases;  /* where its keys are in the bucket's index that we know; those that are there */
    bool tried; /* an answer to its commit was lost: it may be in the bucket's index */
    char index_etag[SHL_ETAG_BYTES]; /* "": there was no index */
    uint64_t index_bytes;
    unsigned index_version;
    uint32_t next_file_num;
    bool unsaved; /* the map is a rebuilt one that was not committed */
    uint32_t writer;
    uint32_t seq;
    bool seq_known; /* generation 1: the bucket was asked for its highest number */
    SHL_ARRAY(struct shl_s4_file) files; /* owned; in the order of writes */
    uint64_t active;                     /* id of the file that is written; GONE: none */
    int active_fd;                       /* -1: not open */
    uint32_t note_id;                    /* [const] of .lock and .unsynced in the local folder */
    int lock_fd;                         /* on our .lock; -1: not taken */
    bool noted;                          /* our .unsynced is there */
    uint64_t generation;
    struct shl_s4_adopted {
        uint32_t writer; /* note id */
        int lock_fd;
    } * adopted; /* owned: dead writers whose notes go with the next commit or flush */
    size_t adopted_count;
    bool homeless; /* the journal has records in files of dead writers, or in retired ones */
};

/* ---- the turn (s4.c) */
void shl_s4_take_turn(struct shl_s4 *db);
void shl_s4_end_turn(struct shl_s4 *db);
/* For what there is room for. */
void shl_s4_must_put(struct shl_s4_index *x, struct shl_slice key, struct shl_s4_loc loc);
/* Room in index and journal for a batch, so that taking it over cannot fail. */
SHL_MUST shale_code shl_s4_make_room(struct shl_s4 *db, uint64_t keys, uint64_t key_bytes,
                                     uint32_t files, shale_error *err);
/* Takes the turn of a handle that may write; INVALID if it may not. */
SHL_MUST shale_code shl_s4_begin_write(struct shl_s4 *db, shale_error *err);
/* INVALID if there are writes that no index has. [turn] */
SHL_MUST shale_code shl_s4_check_synced(struct shl_s4 *db, const char *what, shale_error *err);
bool shl_s4_is_unsynced(const struct shl_s4 *db);

/* ---- names */
/* Key of an object by file name, in a buffer that need not be freed. Errors: INVALID (too long). */
#define SHL_S4_KEY_BYTES 1200
SHL_MUST shale_code shl_s4_key(const struct shl_s4 *db, const char *name,
                               char out[SHL_S4_KEY_BYTES], shale_error *err);
SHL_MUST shale_code shl_s4_file_key(const struct shl_s4 *db, uint64_t file,
                                    char out[SHL_S4_KEY_BYTES], shale_error *err);
/* Puts "KEY at offset N: " before the text. */
void shl_s4_err_place(const struct shl_s4 *db, uint64_t file, uint64_t offset, shale_error *err);

/* Data files in the bucket, ascending by id. */
struct shl_s4_remote {
    uint64_t id;
    uint64_t size;
    int64_t modified_ns;
};
struct shl_s4_remote_list {
    SHL_ARRAY(struct shl_s4_remote) files; /* owned */
};
SHL_MUST shale_code shl_s4_list(struct shl_s4 *db, struct shl_s4_remote_list *out,
                                shale_error *err);
const struct shl_s4_remote *shl_s4_remote_find(const struct shl_s4_remote_list *l, uint64_t id);

/* ---- maps */
struct shl_s4_map *shl_s4_map_new(void); /* NULL: no memory */
struct shl_s4_map *shl_s4_map_ref(struct shl_s4 *db);
void shl_s4_map_unref(struct shl_s4 *db, struct shl_s4_map *map);
/* The handle's map from now on; takes ownership. [turn] */
void shl_s4_map_set(struct shl_s4 *db, struct shl_s4_map *take_map, bool is_change);

/* ---- files (log.c) [turn] */
struct shl_s4_file *shl_s4_file_find(struct shl_s4 *db, uint64_t id);
/* One batch: append records, then settle, which hands over their places, or drop. */
struct shl_s4_batch {
    struct shl_buf data; /* owned: not written yet */
    uint64_t data_file;  /* where it goes */
    uint64_t data_offset;
    SHL_ARRAY(struct shl_s4_loc) places; /* owned: of the records, in order */
    uint32_t new_files;
    uint64_t undo_file, undo_size; /* the file that was active before */
    bool undo_dirty;
};
void shl_s4_batch_begin(struct shl_s4 *db, struct shl_s4_batch *b);
/* A whole record. */
SHL_MUST shale_code shl_s4_batch_add(struct shl_s4 *db, struct shl_s4_batch *b,
                                     struct shl_slice record, shale_error *err);
SHL_MUST shale_code shl_s4_batch_write(struct shl_s4 *db, struct shl_s4_batch *b, shale_error *err);
/* failed: what was appended is forgotten. */
void shl_s4_batch_end(struct shl_s4 *db, struct shl_s4_batch *b, bool failed);
void shl_s4_close_active(struct shl_s4 *db); /* nothing is appended to it any more */

/* ---- fetching records (fetch.c); any task */
struct shl_s4_want {
    struct shl_s4_loc loc;
    struct shl_slice key;        /* that must be in the record; borrowed */
    size_t tag;                  /* the caller's */
    struct shl_s4_record record; /* filled: slices into the data */
    struct shl_slice whole;      /* its bytes */
};
/* Fetches and checks all of them; they are sorted by place. What lies together in one file is one range, several are on their way at once. `data` holds
 * the bytes and must live as long as the records are looked at. local: from the local folder only. */
SHL_MUST shale_code shl_s4_fetch(struct shl_s4 *db, struct shl_s4_want *wants, size_t count,
                                 bool local, struct shl_buf *data, shale_error *err);
/* A read by the index `seen` found no object, or one that is too short: true if there is a newer index to try. Else *io_code and err say why there is none: CORRUPTION, or what the
 * store said. Other codes stay as they are. */
SHL_MUST bool shl_s4_look_again(struct shl_s4 *db, const struct shl_s4_map *seen,
                                shale_code *io_code, shale_error *err);
/* The value of a good record; text that is no UTF-8 is CORRUPTION. Compressed ones go to `hold`, which is emptied before. */
SHL_MUST shale_code shl_s4_value(const struct shl_s4_record *r, struct shl_buf *hold,
                                 struct shl_slice *out, shale_error *err);

/* ---- sync (sync.c) [turn] */
SHL_MUST shale_code shl_s4_read_index(struct shl_s4 *db, shale_error *err); /* at open */
SHL_MUST shale_code shl_s4_reload(struct shl_s4 *db, shale_error *err);
SHL_MUST shale_code shl_s4_sync_files(struct shl_s4 *db, shale_error *err); /* to the disk */
SHL_MUST shale_code shl_s4_send_files(struct shl_s4 *db, shale_error *err);
bool shl_s4_is_sealed(const struct shl_s4 *db, const struct shl_s4_file *f);
/* One conditional PUT of this index. PRECONDITION: somebody else committed since. */
SHL_MUST shale_code shl_s4_put_index(struct shl_s4 *db, const struct shl_s4_index *x,
                                     shale_error *err);
SHL_MUST shale_code shl_s4_apply_journal(struct shl_s4 *db, struct shl_s4_index *to,
                                         shale_error *err);
/* True if the write may have happened although it failed. */
bool shl_s4_fate_is_unknown(shale_code rc);
/* Everything is in a committed index: the journal is empty. */
void shl_s4_committed(struct shl_s4 *db);
/* A pause that grows with the number of lost races. */
void shl_s4_pause(unsigned lost);
#define SHL_S4_RACES_MAX 40
/* Downloads files into the local folder, several at once. */
SHL_MUST shale_code shl_s4_fetch_files(struct shl_s4 *db, const uint64_t *files, size_t count,
                                       uint64_t *out_bytes, shale_error *err);
/* Runs work(ctx, i) for i < count, at most `at_once` at a time, one where the store is near. The first failure, and nothing new after it. */
SHL_MUST shale_code shl_s4_each(struct shl_s4 *db, size_t count, unsigned at_once,
                                shale_code (*work)(void *ctx, size_t i, shale_error *err),
                                void *ctx, shale_error *err);

/* ---- commits whose answer was lost (lost.c) [turn] */
/* Before a key comes into the journal, and its new place into the map. */
SHL_MUST shale_code shl_s4_remember_base(struct shl_s4 *db, struct shl_slice key, shale_error *err);
void shl_s4_forget_bases(struct shl_s4 *db); /* the journal is empty */
/* Takes out of the journal what the newest index has, or what stands over it there. */
SHL_MUST shale_code shl_s4_settle_lost(struct shl_s4 *db, const struct shl_s4_index *newest,
                                       shale_error *err);
/* Whether a is behind b in the order of one writer's writes. */
bool shl_s4_is_later(struct shl_s4_loc a, struct shl_s4_loc b);
/* True if nobody has written the key since: then a commit with it did not get through. */
bool shl_s4_is_where_it_was(const struct shl_s4_index *bases, const struct shl_s4_index *newest,
                            struct shl_slice key);
/* Whether the key is not where it was: written or deleted since, unless a compaction has moved it. */
bool shl_s4_is_superseded(const struct shl_s4_index *bases, const struct shl_s4_index *newest,
                          struct shl_slice key);
/* Keys that the journal does not have, with their places: by them a compaction shows. */
SHL_MUST shale_code shl_s4_add_witnesses(struct shl_s4 *db, struct shl_s4_index *to,
                                         shale_error *err);
/* True if there are enough of them, the first `count`, and all are where they were. */
bool shl_s4_nothing_moved(const struct shl_s4_index *witnesses, uint32_t count,
                          const struct shl_s4_index *newest);

/* ---- what dead writers left (recover.c) [turn] */
SHL_MUST shale_code shl_s4_recover(struct shl_s4 *db, shale_error *err);
/* Notes what is unsynced, or takes the note away. tries: a commit of it follows. */
SHL_MUST shale_code shl_s4_note(struct shl_s4 *db, bool tries, shale_error *err);
void shl_s4_unnote(struct shl_s4 *db);
/* Copies what lies in files of dead writers, and what is in no index of sealed ones, into a file of our own: neither is put again, for a compaction or a collector may be
 * about to delete it. */
SHL_MUST shale_code shl_s4_rehome(struct shl_s4 *db, shale_error *err);
void shl_s4_let_go(struct shl_s4 *db); /* at close */

#endif
