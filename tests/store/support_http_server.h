/* An HTTP/1.1 server in this process, for tests of clients: it answers by a script or a function, can misbehave in every way that a network can,
 * and keeps each request as it came. Loopback only; a task per connection. */
#ifndef TESTS_STORE_SUPPORT_HTTP_SERVER_H
#define TESTS_STORE_SUPPORT_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One request as it came. Owned by the server until it is freed. */
struct http_request {
    char *method, *target; /* owned */
    char *head;            /* owned: the header lines, each "name: value\r\n", as sent */
    char *body;            /* owned, NUL behind it */
    size_t body_len;
    unsigned connection; /* 0, 1, 2 ... in the order of their opening */
};

enum {
    HTTP_NO_LENGTH = 1,  /* no Content-Length: the body ends with the connection */
    HTTP_CHUNKED = 2,    /* the body in chunks of up to 1000 bytes */
    HTTP_CONTINUE = 4,   /* "100 Continue" goes before the answer */
    HTTP_CLOSE = 8,      /* the connection is closed after the answer, without notice */
    HTTP_CUT = 16,       /* the body ends after `cut` bytes, and the connection too */
    HTTP_STALL = 32,     /* after `cut` bytes of the body nothing more comes, until the server ends */
    HTTP_LOST = 64,      /* the request is read, then the connection ends without an answer */
    HTTP_SILENT = 128,   /* the request is read, then nothing comes, until the server ends */
    HTTP_UNREAD = 256,   /* the body of the request is not read, and nothing comes */
    HTTP_RAW = 512,      /* `body` is the whole answer, status line and all; closed after it */
    HTTP_SLOW = 1024,    /* the body goes in ten pieces with `slow_ms` before each */
    HTTP_ENDLESS = 2048, /* `body` is repeated until the client goes away */
    HTTP_TUNNEL = 8192,  /* to a CONNECT: what it names is connected to (loopback), and all bytes are passed on */
    HTTP_EARLY = 16384,  /* the answer goes before the body of the request is read, which it never is */
    HTTP_REPEAT = 4096   /* in a script: also for all requests after this one */
};

struct http_answer {
    const char *status;  /* "200 OK"; NULL: "200 OK" */
    const char *headers; /* "etag: \"x\"\r\n..."; NULL: none */
    const char *body;    /* NULL: none */
    size_t len;          /* 0: strlen(body) */
    size_t cut;
    unsigned slow_ms;
    unsigned flags;
    char *owned; /* freed (free) after the answer; for functions that make a body or headers */
};

struct http_server;

/* Fills *a for request number n (from 0). From any task, one at a time. */
typedef void (*http_answerer)(void *ctx, const struct http_request *q, size_t n, struct http_answer *a);

/* With cert and key (PEM files) it speaks TLS. Fails the test if it cannot listen. */
struct http_server *http_server_new(http_answerer answer, void *ctx, const char *cert, const char *key);
/* Answers request i by script[i]; a request beyond it gets "599 unexpected". The script is borrowed. */
struct http_server *http_server_script(const struct http_answer *script, size_t count);
unsigned http_server_port(const struct http_server *s);
/* Ends all connections and tasks. */
void http_server_free(struct http_server *s);

size_t http_server_count(struct http_server *s);       /* requests so far */
unsigned http_server_connections(struct http_server *s); /* opened so far */
/* Bytes that nobody asked for, on an open plain connection. */
void http_server_push(struct http_server *s, unsigned connection, const char *text);
/* Request n; fails the test if there are not so many. Borrowed until the server is freed. */
const struct http_request *http_server_request(struct http_server *s, size_t n);
/* Value of a header, without blanks around it, in `out`; false if there is none. Fails the test if there are two. */
bool http_header(const struct http_request *q, const char *name, char *out, size_t cap);

/* A fresh key and a certificate for names ("DNS:localhost,IP:127.0.0.1") that it signed itself, as PEM files. */
void http_make_certificate(const char *names, const char *cert_path, const char *key_path);

#endif
