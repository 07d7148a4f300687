/* When a sequence number was written, and which was the newest at a time: lookups in the manifest's tracker. Pure. slatedb-behaviour 11. */
#ifndef SHL_LSM_SEQ_TIME_H
#define SHL_LSM_SEQ_TIME_H

#include "lsm/format/manifest.h"

/* The point of exactly that seq, else the next one above (up) or below. False: there is none. */
SHL_MUST bool shl_seq_to_time(const struct shl_seq_tracker *t, uint64_t seq, bool up, int64_t *unix_s);
SHL_MUST bool shl_time_to_seq(const struct shl_seq_tracker *t, int64_t unix_s, bool up, uint64_t *seq);

#endif
