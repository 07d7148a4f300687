/* The I/O thread under http.h: takes transfers, drives libcurl's multi interface over epoll, says when each has ended. */
#ifndef SHL_STORE_HTTP_LOOP_H
#define SHL_STORE_HTTP_LOOP_H

#include "store/http/http.h"

#define SHL_HTTP_BATCH 64 /* transfers submitted at once */

/* One call on its way; the memory is the submitter's until `done` was called. */
struct shl_transfer {
    struct shl_transfer *next;
    struct shl_http_call *call;
    void *owner;
    void (*done)(struct shl_transfer *t); /* on the I/O thread, last of all; does not block */
    uint64_t submitted_ns;
};

const struct shl_http_options *shl_loop_options(const struct shl_http *h);

/* Hands them to the thread, which is started if need be. What cannot be started is done at once with its error. */
void shl_loop_submit(struct shl_http *h, struct shl_transfer *transfers, size_t count);

#endif
