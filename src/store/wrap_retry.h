/* Tries again what failed for a reason that may pass, and finds out what became of writes whose answer was lost (object-stores 14,
 * 15; slatedb-behaviour 1.2, 19).
 *
 * Tried again: UNAVAILABLE, TIMEOUT; PERMISSION_DENIED and UNAUTHENTICATED until the third try. All other codes are answers. A call whose
 * retries are counted ends at once, saying so, when the store asks for a longer pause than is left of asked_max_ns; one that is tried for ever waits.
 * NOMEM of a put (not of reads, whose caller is told) is waited out for a second, in steps of 10 ms, as if its answer had been lost.
 *
 * A conditional put (create, if-match) is marked with a fresh put id where the store keeps attributes. If the store then says
 * ALREADY_EXISTS or PRECONDITION, the object is asked for its id: ours means that an earlier try won. Stores without attributes: if an
 * earlier try of a create may have worked, the object is read and its bytes are compared; equal bytes count as ours. Two writers that
 * create the same key with the same bytes cannot be told apart so; therefore an empty body is never taken for ours there.
 * A conditional put with an id whose second answer is lost is looked for in the same way before it is sent again.
 * An if-match put whose answer was lost and whose object was overwritten before it was looked at answers PRECONDITION, although
 * it had happened (SlateDB likewise): use if-match for values that only grow, not for counting.
 * A copy that must create has no mark: after a lost answer ALREADY_EXISTS stands. */
#ifndef SHL_STORE_WRAP_RETRY_H
#define SHL_STORE_WRAP_RETRY_H

#include "base/log.h"
#include "store/store.h"

#define SHL_RETRY_FOREVER UINT32_MAX

struct shl_retry_options {
    uint32_t max_retries;    /* after the first try; SHL_RETRY_FOREVER */
    uint64_t delay_first_ns; /* 0: 100 ms; doubles with each retry, +-50 % */
    uint64_t delay_max_ns;   /* 0: 1 s */
    uint64_t asked_max_ns;   /* 0: 180 s; how long a call waits in all because the store asked for it (shl_store_ask_quiet), if its retries are counted */
    /* Asked between tries, from any task: true means that no retry is made any more. May be NULL. */
    bool (*cancelled)(void *ctx);
    void *cancel_ctx;
    const struct shl_log *log; /* borrowed for the life of the store: "still trying: ..." at WARN every few seconds; may be NULL */
};

/* Takes a reference to `inner`. Errors: NOMEM. */
SHL_MUST shale_code shl_store_retry_new(struct shl_store **out, struct shl_store *inner,
                                        const struct shl_retry_options *options, shale_error *err);

/* Retries made so far. `s` is a store made by shl_store_retry_new. */
uint64_t shl_store_retries(struct shl_store *s);

/* How many retries a code deserves: 0, 2, or SHL_RETRY_FOREVER. Pure. */
uint32_t shl_retry_allowance(shale_code code);

#endif
