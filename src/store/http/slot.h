/* A libcurl easy handle and the exchange that it carries. Only the I/O thread of loop.h touches one. */
#ifndef SHL_STORE_HTTP_SLOT_H
#define SHL_STORE_HTTP_SLOT_H

#include "store/http/curl_lib.h"
#include "store/http/heard.h"
#include "store/http/http.h"
#include "store/http/loop.h"

#define SHL_SLOT_HEADERS_MAX 40

/* Reused: the connection pool is the multi handle's. */
struct shl_slot {
    struct shl_slot *next; /* of the loop's free or active list */
    struct shl_slot *prev; /* active */
    const struct shl_curl *curl;
    const struct shl_http_options *options;
    const uint64_t *now_ns; /* the loop's time of this round */
    struct shl_heard *heard; /* the loop's: of all connections */
    CURL *easy;             /* its CURLOPT_PRIVATE is the slot */
    struct shl_transfer *t;
    bool direct;    /* no proxy is named: libcurl needs not look for one with each request */
    char *agent;    /* owned: the "User-Agent" line if direct; NULL: none */
    char *origin;   /* owned: "https://host:port" that `place` was made of; NULL: none yet */
    CURLU *place;   /* owned: of the requests that go to the same server, taken apart once */
    struct curl_slist headers[SHL_SLOT_HEADERS_MAX]; /* point to the caller's lines */
    size_t part, part_offset;                        /* of the body that is sent */
    size_t piece, piece_offset;                      /* of the pieces that are filled */
    uint64_t text_before;                            /* length of call->text at the start */
    uint64_t sent, expected;
    size_t head_bytes; /* of all header lines, interim answers' too */
    struct shl_heard_answer head; /* what the headers so far say of the answer */
    uint64_t progress_ns; /* when bytes moved last */
    uint64_t begun_ns;   /* when it was handed to libcurl */
    uint64_t running_ns; /* when it was last seen without a connection */
    uint64_t limit_ns;   /* of the exchange, behind that */
    bool ever_sent; /* bytes of the body left, though perhaps on a connection that was replaced */
    bool answering; /* a status line came */
    bool is_last;   /* its connection ends with it */
    bool has_etag, has_date; /* among the headers so far */
    bool
        head_over; /* and the empty line behind the headers: what looks like one later is none (trailers) */
    char reason[CURL_ERROR_SIZE];
};

/* NULL: no memory. What the pointers lead to must outlive the slot. */
struct shl_slot *shl_slot_new(const struct shl_curl *curl, const struct shl_http_options *options, const uint64_t *now_ns,
                              struct shl_heard *heard);

/* NULL does nothing. Carries nothing. */
void shl_slot_free(struct shl_slot *s);

/* Makes the handle ready to be added to a multi handle. False: no memory. */
bool shl_slot_begin(struct shl_slot *s, struct shl_transfer *t);

/* libcurl is through with it: what the call is told. */
void shl_slot_end(struct shl_slot *s, CURLcode e);

/* True if a time limit has passed; the call has its error. */
bool shl_slot_is_overdue(struct shl_slot *s);

/* Notes in the call whether anything left for the server, also on connections that died. Call it before the handle is used again. */
void shl_slot_note_sent(const struct shl_slot *s);

#endif
