/* Windows: neighbouring blocks of an SST that a scan fetches with one request, and those that are fetched ahead.
 *
 * Without fan-out there is one window in one buffer, used again and again. With it, a queue of windows follows the current one; each
 * belongs to a job until the reader comes to it. One task at a time. */
#ifndef SHL_LSM_SST_WINDOW_H
#define SHL_LSM_SST_WINDOW_H

#include "lsm/fanout.h"
#include "lsm/sst/sst_internal.h"

struct shl_window; /* one that is fetched ahead */

struct shl_windows {
    struct shl_sst *sst;            /* borrowed; a job holds a reference of its own */
    struct shl_sst_meta *meta;      /* borrowed from sst; set before the first use */
    const struct shl_sst_scan *how; /* borrowed */
    size_t first_block, last_block; /* of the range */

    struct shl_buf bytes; /* owned: stored bytes of blocks [from, to) */
    size_t from, to;      /* equal: nothing */
    size_t next_bytes;    /* size of the next window */

    size_t seen;                    /* windows that were current since the last reset */
    unsigned ahead;                 /* windows to have in flight; 0: not yet */
    bool reaches_end;               /* the last block of the range is fetched or on its way */
    struct shl_window *head, *tail; /* owned: in the order of the scan */
    unsigned queued;
    struct shl_window *spare; /* owned: at rest, with their buffers */
};

/* Forgets all windows: the scan begins anew. */
void shl_windows_reset(struct shl_windows *w);
void shl_windows_deinit(struct shl_windows *w);
/* Stored bytes of block i, fetched if they are not there; valid until the next call. Errors: as shl_sst_fetch. */
SHL_MUST shale_code shl_windows_get(struct shl_windows *w, size_t i, uint8_t **stored,
                                    shale_error *err);
/* The bytes of the current window are not to be used again. */
void shl_windows_spoil(struct shl_windows *w);
/* The reader came to block i, in a window or in the cache: fetches ahead if it is time to. */
void shl_windows_entered(struct shl_windows *w, size_t i);

#endif
