/* HTTP requests over libcurl: one I/O thread with a pool of kept-alive connections, blocking calls from any thread.
 *
 * A door of its own to the system (like the terminal of cli): libcurl, epoll and an eventfd. Never part of the simulation. Knows nothing of
 * buckets: URLs, headers and bodies in, status, headers and body out. Retries nothing.
 *
 * Copies: a body that is sent goes from the caller's slices into libcurl's send buffer; one that is received from libcurl's receive buffer
 * straight to where the caller wants it. */
#ifndef SHL_STORE_HTTP_HTTP_H
#define SHL_STORE_HTTP_HTTP_H

#include "base/bytes.h"
#include "base/log.h"

struct shl_http; /* counted; any thread */

struct shl_http_options {
    uint64_t connect_timeout_ms;    /* name lookup, connection, TLS */
    uint64_t first_byte_timeout_ms; /* from the last byte sent to the first byte of the answer */
    uint64_t stall_timeout_ms;      /* between two pieces of a body, either way */
    uint64_t timeout_ms;            /* of the whole request; a second is added for each MiB that is sent or received into memory of known size */
    uint32_t connections_max;       /* more requests wait for one */
    uint32_t idle_max;              /* connections kept open */
    uint64_t idle_timeout_ms;
    bool allow_http;                /* plain http: too */
    bool verify_tls;
    const char *ca_file;            /* PEM; NULL: the system's */
    const char *client_cert;        /* PEM files, or NULL */
    const char *client_key;
    const char *proxy;              /* URL; NULL: what the environment says */
    const char *no_proxy;           /* hosts with commas, or NULL */
    const char *user_agent;
    bool (*cancelled)(void *ctx);   /* asked while a request has no connection for more than a second: true gives it up. Must not block. NULL: never */
    void *cancel_ctx;               /* borrowed */
};
/* 5 s, 30 s, 20 s, 30 s, 512 connections, 256 kept for 90 s, https only. */
void shl_http_options_init(struct shl_http_options *o);

/* "libcurl/7.88.1 OpenSSL/3.0.." of what requests go through, or why it cannot be loaded. Any thread. */
void shl_http_library(char *out, size_t cap);

/* "https://host:port" in the one form in which requests to it name their host, of `url` up to its path: letters small, a number for a host with dots in
 * full, no percent signs, no port that is the scheme's own. Errors: INVALID (no such URL; the text has neither its user nor its query), NOMEM,
 * NOT_SUPPORTED: no libcurl. */
SHL_MUST shale_code shl_http_origin(const char *url, struct shl_buf *out, shale_error *err);

/* Texts are copied. The thread starts with the first request. Errors: INVALID, NOMEM, UNAVAILABLE; NOT_SUPPORTED: no libcurl. */
SHL_MUST shale_code shl_http_new(struct shl_http **out, const struct shl_http_options *o, shale_error *err);
struct shl_http *shl_http_ref(struct shl_http *h);
void shl_http_unref(struct shl_http *h); /* NULL is fine; the last one, with no request under way, ends the thread */

enum shl_http_method { SHL_HTTP_GET, SHL_HTTP_HEAD, SHL_HTTP_PUT, SHL_HTTP_POST, SHL_HTTP_DELETE };
const char *shl_http_method_name(enum shl_http_method m);

/* A header of the answer that the caller wants to see. */
#define SHL_HTTP_VALUE_BYTES 128
struct shl_http_wanted {
    const char *name;                 /* lower case, borrowed */
    char value[SHL_HTTP_VALUE_BYTES]; /* "" if there was none; the last one of several; longer ones are cut */
};

/* Where a piece of a successful body (2xx) goes. dst NULL: it is dropped. */
struct shl_http_piece {
    uint8_t *dst;
    size_t len;
};

/* One request and its answer; everything is borrowed until shl_http_run returns. */
struct shl_http_call {
    enum shl_http_method method;
    const char *url;
    const char *const *headers; /* "name: value" lines; CR, LF are refused */
    size_t header_count;
    const struct shl_slice *body; /* PUT and POST */
    size_t body_count;
    uint64_t content; /* a hash of what is sent, 0: not known: with method and URL it tells requests apart, where an answer's headers come again */

    /* A body of 2xx goes into the pieces if there are any (more than they hold is a failure), else it is appended to `text`. A body of
     * any other status is appended to `text`, cut at 64 KiB. */
    const struct shl_http_piece *pieces;
    size_t piece_count;
    struct shl_buf *text;
    uint64_t text_max; /* of a 2xx body in `text`; 0: no limit */
    bool needs_length; /* a 2xx body in `text` without a Content-Length is refused at its first byte: it might have no end */
    struct shl_http_wanted *wanted;
    size_t wanted_count;

    /* ---- the answer */
    shale_code code;      /* SHALE_OK: there was one, whole, whatever its status; UNAVAILABLE, TIMEOUT, INVALID, NOMEM */
    int status;           /* 0: none came */
    bool sent;            /* some of the request may have reached the server, now or on a connection that was replaced */
    bool replayed;        /* libcurl sent it a second time on a new connection: what became of the first is not known */
    uint64_t received;    /* bytes of the body that were stored, also after a failure */
    uint64_t duration_ns; /* of the request, queueing included */
    shale_error err;      /* if code is not SHALE_OK; says host and reason, no query and no header */
};

/* Sends all of them at once and waits until each has its answer or has failed. */
void shl_http_run(struct shl_http *h, struct shl_http_call *const *calls, size_t count);

#endif
