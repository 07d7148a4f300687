/* Counts what goes through: calls, requests as S3 would bill them, failures, bytes, times. Below the retry wrapper every try is
 * counted, above it every call. */
#ifndef SHL_STORE_WRAP_COUNT_H
#define SHL_STORE_WRAP_COUNT_H

#include "store/backend.h"

/* How long calls took: up to 1 ms, 5 ms, 10 ms, .. 10 s, and longer; the borders are SlateDB's (slatedb-surface 5). */
#define SHL_DURATION_BORDERS 12
extern const uint64_t shl_duration_borders_us[SHL_DURATION_BORDERS];

struct shl_kind_counts {
    uint64_t calls;
    uint64_t
        requests; /* as billed: a list has one per 1000 keys, a read of ranges one per run of touching ones */
    uint64_t
        refused; /* NOT_FOUND, ALREADY_EXISTS, PRECONDITION, NOT_MODIFIED: answers, not faults */
    uint64_t errors; /* all other failures */
    uint64_t total_ns;
    uint64_t max_ns;
    uint64_t p50_ns; /* of a histogram with four steps per power of two: at most 25 % too high */
    uint64_t p99_ns;
    uint64_t p999_ns;
    uint64_t durations[SHL_DURATION_BORDERS + 1]; /* calls in each span, the last one has no end */
};

struct shl_store_counts {
    struct shl_kind_counts kinds[SHL_KINDS]; /* by enum shl_store_kind */
    uint64_t bytes_up;                       /* of requests that succeeded or not */
    uint64_t bytes_down;
};

/* Takes a reference to `inner`. Errors: NOMEM. */
SHL_MUST shale_code shl_store_count_new(struct shl_store **out, struct shl_store *inner,
                                        shale_error *err);

/* `s` is a store made by shl_store_count_new. Any thread; numbers of calls in flight may be there in part. */
void shl_store_counts_read(struct shl_store *s, struct shl_store_counts *out);

#endif
