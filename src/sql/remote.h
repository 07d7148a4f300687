/* The bucket's side of a database: its manifest, and the objects that the manifest names. Any task. */
#ifndef SHL_SQL_REMOTE_H
#define SHL_SQL_REMOTE_H

#include "base/log.h"
#include "sql/format/manifest.h"
#include "store/store.h"

struct shl_sql_remote {
    struct shl_store *store; /* [const] owned reference: tries again */
    /* [const] owned reference: the same bucket, asked once. A manifest is swapped through it, for who tries again must know that an answer was
     * lost. */
    struct shl_store *once;
    char *prefix;              /* [const] owned: "db/" */
    char *manifest_key;        /* [const] owned */
    const struct shl_log *log; /* [const] borrowed; may be NULL */
};

/* References are taken; prefix is checked: INVALID if it does not end in '/'. */
SHL_MUST shale_code shl_sql_remote_init(struct shl_sql_remote *r, struct shl_store *store,
                                        struct shl_store *once, const char *prefix,
                                        const struct shl_log *log, shale_error *err);
void shl_sql_remote_deinit(struct shl_sql_remote *r); /* {0} is fine */

/* A manifest as it was read or written, and its ETag. {0}: none yet. */
struct shl_sql_head {
    struct shl_sql_manifest manifest;
    char etag[SHL_ETAG_BYTES]; /* "": none yet */
    int64_t modified_ns;
};
void shl_sql_head_free(struct shl_sql_head *h);

/* Brings *io_head up to date: one GET, conditional if there is a head. *out_changed (may be NULL): it is another one now. Errors: NOT_FOUND (no
 * database), those of the manifest with its key. */
SHL_MUST shale_code shl_sql_head_load(struct shl_sql_remote *r, struct shl_sql_head *io_head,
                                      bool *out_changed, shale_error *err);
/* The first manifest of a database. ALREADY_EXISTS: there is one. */
SHL_MUST shale_code shl_sql_head_create(struct shl_sql_remote *r,
                                        const struct shl_sql_manifest *first, shale_error *err);

enum shl_sql_swap {
    SHL_SQL_SWAPPED, /* ours is the manifest, or was before the one in *io_head */
    SHL_SQL_LOST     /* another one came first: it is in *io_head, and ours can never be */
};
/* Puts `next` in the place of *io_head. `proof` is a key in next that no other manifest names: after a lost answer it tells whether ours was
 * taken. What cannot be told (others folded the log meanwhile) is an error whose text begins with "outcome unknown". Another error means that ours
 * was not taken. Afterwards *io_head is what the bucket has, but for errors. */
SHL_MUST shale_code shl_sql_head_swap(struct shl_sql_remote *r, struct shl_sql_head *io_head,
                                      const struct shl_sql_manifest *next, const char *proof,
                                      enum shl_sql_swap *out, shale_error *err);
/* True for errors of a swap after which nobody knows whether it was taken. */
bool shl_sql_is_unknown(const shale_error *err);

/* Fresh keys; owned, NULL if out of memory. */
char *shl_sql_changeset_key(const struct shl_sql_remote *r, const struct shl_sql_manifest *m);
/* "snapshots/<name><uuid>.sqlite", with ".zst" behind it if it is packed. */
char *shl_sql_snapshot_key(const struct shl_sql_remote *r, const char *name, bool packed);
/* True for keys of snapshots that are stored compressed: one zstd frame of the SQLite file. Shale's own; s3db cannot read them. */
bool shl_sql_is_packed(const char *key);
char *shl_sql_key(const struct shl_sql_remote *r, const char *tail);
/* The objects whose keys begin with <prefix><folder>. */
SHL_MUST shale_code shl_sql_list(struct shl_sql_remote *r, const char *folder, struct shl_list *out, shale_error *err);

#define SHL_SQL_FETCH_MAX 16 /* requests at once */

/* The changesets of log[first .. first + count), each appended to bodies[i], many at a time where the store is far. Sizes are compared. Errors name
 * seq and key. */
SHL_MUST shale_code shl_sql_fetch_log(struct shl_sql_remote *r, const struct shl_sql_manifest *m,
                                      size_t first, size_t count, struct shl_buf *bodies,
                                      shale_error *err);
/* Writes bodies[i] under keys[i], many at a time where the store is far. */
SHL_MUST shale_code shl_sql_put_all(struct shl_sql_remote *r, char *const *keys,
                                    const struct shl_slice *bodies, size_t count, shale_error *err);

/* What went wrong with a file here: `doing` is a verb. NO_SPACE, NOMEM, else INVALID. */
shale_code shl_sql_file_fault(int e, const char *doing, const char *path, shale_error *err);

/* The file's bytes as an object, compressed if the key says so; *out_size gets the number of bytes that are stored. */
SHL_MUST shale_code shl_sql_upload(struct shl_sql_remote *r, int fd, const char *key,
                                   int64_t *out_size, shale_error *err);
/* A size that is taken from a manifest without asking: more than that is a place for nonsense, and one more request costs nothing beside it. */
#define SHL_SQL_TRUSTED_BYTES ((int64_t)1 << 30)
/* CORRUPTION if the object is shorter than its entry says, which is looked at if that is a lot: one GET of the last byte. */
SHL_MUST shale_code shl_sql_check_size(struct shl_sql_remote *r,
                                       const struct shl_sql_object *object, shale_error *err);
/* The object as a new file (which must not exist). size 0: not known. Ranges at once where the store is far. Errors: CORRUPTION if the size is
 * another one. */
SHL_MUST shale_code shl_sql_download(struct shl_sql_remote *r, const struct shl_sql_object *object,
                                     const char *path, shale_error *err);

#endif
