/* The local folder: data files by id, the state of writes that are not uploaded, and locks that tell the files of living writers from those of dead
 * ones. Any task at once may read; the rest belongs to one writer at a time. */
#ifndef SHL_S4_LOCAL_H
#define SHL_S4_LOCAL_H

#include "base/array.h"
#include "base/env/env.h"
#include "s4/format.h"

#define SHL_S4_FDS 32

struct shl_s4_fd {
    uint64_t file;
    int fd;
    unsigned users;
    bool stale; /* the file was replaced or removed: closed by the last user */
    bool open;
};

struct shl_s4_local {
    char *dir;                        /* owned; NULL: none yet [set once, under mu] */
    bool owned;                       /* a temporary folder of ours, removed at close */
    bool temporary;                   /* [const] none was given: one is made when it is needed */
    struct env_mutex mu;              /* a leaf */
    struct shl_s4_fd fds[SHL_S4_FDS]; /* [mu] */
    unsigned next;                    /* [mu] who goes first */
};

/* dir NULL: a temporary folder below $TMPDIR (/tmp), once one is needed. Errors: NOMEM; deinit is due then, too. */
SHL_MUST shale_code shl_s4_local_init(struct shl_s4_local *l, const char *dir, shale_error *err);
/* Removes a temporary folder with all that is in it. */
void shl_s4_local_deinit(struct shl_s4_local *l);
/* Makes the folder, with those above it, unless it is there. */
SHL_MUST shale_code shl_s4_local_make(struct shl_s4_local *l, shale_error *err);
bool shl_s4_local_is_there(struct shl_s4_local *l);

/* "DIR/NAME", owned; NULL: no memory. REQUIRES: the folder was made, or given. */
char *shl_s4_local_path(const struct shl_s4_local *l, const char *name);
char *shl_s4_local_file(const struct shl_s4_local *l, uint64_t file);
/* An errno as error: "WHAT PATH: why". */
shale_code shl_s4_local_fail(shale_error *err, int e, const char *what, const char *path);

/* Reads up to len bytes; *got is less at the end of the file, 0 where it is missing. Errors: what the system said, NOMEM. */
SHL_MUST shale_code shl_s4_local_read(struct shl_s4_local *l, uint64_t file, uint64_t offset,
                                      uint8_t *dst, size_t len, size_t *got, shale_error *err);
/* Bytes of the file; false if it is not there. */
SHL_MUST bool shl_s4_local_size(struct shl_s4_local *l, uint64_t file, uint64_t *out);
/* Writes a new file with the whole content beside the final name, then renames. */
SHL_MUST shale_code shl_s4_local_put(struct shl_s4_local *l, const char *name,
                                     struct shl_slice body, bool sync, shale_error *err);
void shl_s4_local_forget(struct shl_s4_local *l, uint64_t file); /* it is about to be replaced */
void shl_s4_local_remove(struct shl_s4_local *l, uint64_t file);
/* Data files that are there, ascending by id. */
struct shl_s4_local_list {
    SHL_ARRAY(uint64_t) ids; /* owned */
};
SHL_MUST shale_code shl_s4_local_list(struct shl_s4_local *l, struct shl_s4_local_list *out,
                                      shale_error *err);
/* File and folder to the disk. */
SHL_MUST shale_code shl_s4_local_sync(struct shl_s4_local *l, uint64_t file, shale_error *err);
SHL_MUST shale_code shl_s4_local_sync_folder(struct shl_s4_local *l, shale_error *err);

/* The whole of a file by name, appended. NOT_FOUND: it is not there. */
SHL_MUST shale_code shl_s4_local_get(struct shl_s4_local *l, const char *name, struct shl_buf *out,
                                     shale_error *err);

/* Takes the lock file NAME, which is made. *out_fd is closed to let go; -1: somebody else holds it. */
SHL_MUST shale_code shl_s4_local_lock(struct shl_s4_local *l, const char *name, int *out_fd,
                                      shale_error *err);

#endif
