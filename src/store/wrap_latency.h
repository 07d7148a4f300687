/* Makes a fast store as slow as a bucket, and no longer SHL_STORE_NEAR: for benches and simulations. The waits come from a seed. */
#ifndef SHL_STORE_WRAP_LATENCY_H
#define SHL_STORE_WRAP_LATENCY_H

#include "store/backend.h"

/* How long one kind of request waits before it is made. Half of them wait between min and p50, 49 % between p50 and p99, the
 * rest up to four times p99; evenly within each. All equal: a fixed wait. min <= p50 <= p99. */
struct shl_latency {
    uint64_t min_ns;
    uint64_t p50_ns;
    uint64_t p99_ns;
};

struct shl_latency_options {
    uint64_t seed;
    struct shl_latency kinds[SHL_KINDS];
    uint64_t up_bytes_per_sec;   /* of one request; 0: no limit */
    uint64_t down_bytes_per_sec; /* likewise */
};

/* Takes a reference to `inner`. Errors: NOMEM. */
SHL_MUST shale_code shl_store_latency_new(struct shl_store **out, struct shl_store *inner,
                                          const struct shl_latency_options *options,
                                          shale_error *err);

/* The wait for the random number r. Pure. */
uint64_t shl_latency_pick(const struct shl_latency *latency, uint64_t r);

#endif
