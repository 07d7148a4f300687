/* Inside of the folder store: its parts see each other here. Nobody else includes this.
 *
 *   file.c         life, reading, deleting, errors of the system as ours
 *   file_write.c   staged files, publishing, durability of folders, put, copy
 *   shl_file_list.c    walking the tree in key order
 *   file_upload.c  multipart
 *   file_fds.c     open read descriptors */
#ifndef SHL_STORE_FILE_IMPL_H
#define SHL_STORE_FILE_IMPL_H

#include "base/array.h"
#include "base/env/env.h"
#include "store/backend.h"
#include "store/file.h"
#include "store/path.h"

/* ---- open read descriptors */

#define FILE_FDS_MAX 64

/* An open file. Immutable but for refs; closed when the last reference goes. */
struct file_fd {
    _Atomic uint32_t refs;
    int fd;
    struct env_stat st;
    uint64_t hash; /* of the key */
    uint64_t used; /* [fds->mu] tick of the last use */
    char key[];
};

struct file_fds {
    struct env_mutex mu;
    struct file_fd *slots[FILE_FDS_MAX]; /* [mu] owned references; the first `count` */
    size_t count;                        /* [mu] */
    uint64_t tick;                       /* [mu] */
    uint64_t drops; /* [mu] counts shl_file_fds_drop, to notice one between open and add */
};

void shl_file_fds_init(struct file_fds *c);
void shl_file_fds_deinit(struct file_fds *c);
/* Only objects that are never overwritten. */
bool shl_file_fds_wants(const char *key);
/* A reference, or NULL; then *out_drops is for shl_file_fds_add. */
struct file_fd *shl_file_fds_get(struct file_fds *c, const char *key, uint64_t *out_drops);
/* Takes the descriptor and returns a reference; NULL if out of memory: then the descriptor stays the caller's. It is not kept for
 * others if something was dropped since shl_file_fds_get. */
struct file_fd *shl_file_fds_add(struct file_fds *c, const char *key, int fd, const struct env_stat *st,
                             uint64_t drops);
void shl_file_fds_drop(struct file_fds *c, const char *key);
void shl_file_fd_unref(struct file_fd *f);

/* ---- the store */

#define FILE_DURABLE_DIRS 32

struct file_store {
    struct shl_store base;
    char *root;                      /* [const] owned; no '/' at the end; "" is the folder "/" */
    struct shl_file_options options; /* [const] */
    struct file_fds fds;
    struct env_mutex mu;
    /* [mu] folders known to be on disk with everything above them; owned; a ring. The engine writes to five or so. */
    char *durable_dirs[FILE_DURABLE_DIRS];
    size_t durable_next;     /* [mu] */
    _Atomic bool dir_failed; /* a folder could not be synced: see shl_file_check_sound */
};

static inline struct file_store *file_of(struct shl_store *s)
{
    return (struct file_store *)s;
}

/* An errno value as ours: "cannot <doing> <path>: <reason>". */
shale_code shl_file_fail(shale_error *err, int e, const char *doing, const char *path);
/* NOT_FOUND for a key. */
shale_code shl_file_fail_missing(const struct file_store *f, const char *key, shale_error *err);
/* True for errors that say that there is no such file. */
bool shl_file_is_missing(int e);

/* The file of a key. INVALID if the name is reserved. */
SHL_MUST shale_code shl_file_path(const struct file_store *f, const char *key, struct shl_path_buf *out,
                              shale_error *err);
/* `name` is the last segment. */
bool shl_file_is_reserved(const char *name);
void shl_file_describe(const struct env_stat *st, struct shl_object *out);

/* ---- writing */

/* A file beside the final one that does not bear its name yet. {.fd = -1} may be dropped. */
struct file_stage {
    int fd;           /* -1: closed */
    char *path;       /* owned; NULL: none */
    size_t final_len; /* path without the "#N" */
};

/* Opens "<path>#N" for reading and writing with the first N from 1 that is free, and makes missing folders. */
SHL_MUST shale_code shl_file_stage_open(struct file_store *f, const char *path, struct file_stage *out,
                                    shale_error *err);
SHL_MUST shale_code shl_file_stage_write(struct file_stage *st, const struct shl_slice *parts,
                                     size_t count, uint64_t offset, shale_error *err);
/* Stat, fsync if asked for, close. After a failure the stage can only be dropped: written pages may be lost although a second
 * fsync would report nothing. */
SHL_MUST shale_code shl_file_stage_finish(struct file_store *f, struct file_stage *st,
                                      struct env_stat *out, shale_error *err);
/* Closes and removes. */
void shl_file_stage_drop(struct file_stage *st);

/* Gives a finished stage its final name, drops a cached descriptor of the key, and makes the name durable if asked for. create_only:
 * ALREADY_EXISTS if the name is taken. CORRUPTION if the name is there but could not be made durable; after any other failure nothing
 * has changed. `path` is changed and put back. */
SHL_MUST shale_code shl_file_publish(struct file_store *f, const char *key, struct file_stage *st,
                                 char *path, bool create_only, shale_error *err);
/* Refuses to write once a folder could not be synced. */
SHL_MUST shale_code shl_file_check_sound(struct file_store *f, shale_error *err);

/* ---- operations that stand in other files */

shale_code shl_file_put(struct shl_store *s, const char *key, const struct shl_slice *parts,
                    size_t count, const struct shl_put *how, struct shl_object *out,
                    shale_error *err);
shale_code shl_file_copy(struct shl_store *s, const char *from, const char *to, bool create_only,
                     shale_error *err);
shale_code shl_file_list(struct shl_store *s, const struct shl_list_options *how, struct shl_list *out,
                     shale_error *err);
shale_code shl_file_upload_start(struct shl_store *s, const char *key, struct shl_upload **out,
                             shale_error *err);
shale_code shl_file_upload_part(struct shl_store *s, struct shl_upload *u, uint32_t index,
                            const struct shl_slice *parts, size_t count, shale_error *err);
shale_code shl_file_upload_complete(struct shl_store *s, struct shl_upload *u, struct shl_object *out,
                                shale_error *err);
void shl_file_upload_abort(struct shl_store *s, struct shl_upload *take_u);

#endif
