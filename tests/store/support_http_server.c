#include "store/support_http_server.h"

#include "base/env/env.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define CONNECTIONS_MAX 2000
#define HEAD_MAX        65536

/* Tasks of the server cannot fail a cmocka test: they end the program. */
#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: http server: %s\n", __FILE__, __LINE__, #cond);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct connection {
    struct http_server *s;
    struct env_task *task;
    int fd;
    unsigned number;
    SSL *tls;   /* NULL: plain */
    char *head; /* owned: bytes read, perhaps of more than the head */
    size_t have;
};

struct http_server {
    http_answerer answer;
    void *ctx;
    const struct http_answer *script;
    size_t script_count;
    SSL_CTX *tls;
    int fd, stop[2];
    unsigned port;
    struct env_task *task;
    struct env_mutex mu;
    struct http_request *requests[4096]; /* [mu] */
    size_t count;                        /* [mu] */
    struct connection *connections;      /* [mu] */
    unsigned connection_count;           /* [mu] */
};

/* ---- bytes */

/* False if the server ends. */
static bool wait_for(const struct connection *c, short events, int timeout_ms)
{
    struct pollfd p[2] = {{.fd = c->fd, .events = events}, {.fd = c->s->stop[0], .events = POLLIN}};
    (void)poll(p, 2, timeout_ms);
    return p[1].revents == 0;
}

/* 0: the end. */
static size_t get_bytes(struct connection *c, char *dst, size_t len)
{
    while ((c->tls != NULL && SSL_pending(c->tls) > 0) || wait_for(c, POLLIN, -1)) {
        ssize_t n = c->tls != NULL ? SSL_read(c->tls, dst, (int)len) : recv(c->fd, dst, len, 0);
        if (n > 0)
            return (size_t)n;
        return 0;
    }
    return 0;
}

static bool put_bytes(struct connection *c, const char *src, size_t len)
{
    while (len > 0) {
        if (!wait_for(c, POLLOUT, -1))
            return false;
        size_t some = len < 65536 ? len : 65536;
        ssize_t n = c->tls != NULL ? SSL_write(c->tls, src, (int)some)
                                   : send(c->fd, src, some, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0)
            return false;
        src += n;
        len -= (size_t)n;
    }
    return true;
}

static bool put_text(struct connection *c, const char *text)
{
    return put_bytes(c, text, strlen(text));
}

/* ---- a request */

static char *text_of(const char *from, size_t len)
{
    char *t = malloc(len + 1);
    MUST(t != NULL);
    memcpy(t, from, len);
    t[len] = '\0';
    return t;
}

/* The value of a header in lines "name: value\r\n", or NULL. */
static const char *find_header(const char *head, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = head; *line != '\0'; line = strstr(line, "\r\n") + 2)
        if (strncasecmp(line, name, n) == 0 && line[n] == ':')
            return line + n + 1 + strspn(line + n + 1, " ");
    return NULL;
}

/* Reads up to the empty line; *out_end is behind it. */
static bool read_head(struct connection *c, size_t *out_end)
{
    for (;;) {
        c->head[c->have] = '\0';
        const char *end = strstr(c->head, "\r\n\r\n");
        if (end != NULL) {
            *out_end = (size_t)(end - c->head) + 4;
            return true;
        }
        MUST(c->have < HEAD_MAX);
        size_t n = get_bytes(c, c->head + c->have, HEAD_MAX - c->have);
        if (n == 0)
            return false;
        c->have += n;
    }
}

static bool read_body(struct connection *c, struct http_request *q, size_t end, size_t len)
{
    q->body = malloc(len + 1);
    MUST(q->body != NULL);
    size_t first = c->have - end < len ? c->have - end : len;
    memcpy(q->body, c->head + end, first);
    memmove(c->head, c->head + end + first, c->have - end - first);
    c->have -= end + first;
    for (size_t got = first; got < len;) {
        size_t n = get_bytes(c, q->body + got, len - got);
        if (n == 0)
            return false;
        got += n;
    }
    q->body[len] = '\0';
    q->body_len = len;
    return true;
}

static void free_request(struct http_request *q)
{
    free(q->method);
    free(q->target);
    free(q->head);
    free(q->body);
    free(q);
}

/* All but the body; NULL when the client is gone. */
static struct http_request *read_request(struct connection *c, size_t *out_end)
{
    if (!read_head(c, out_end))
        return NULL;
    struct http_request *q = calloc(1, sizeof *q);
    MUST(q != NULL);
    const char *blank = strchr(c->head, ' ');
    MUST(blank != NULL);
    const char *blank2 = strchr(blank + 1, ' ');
    const char *line = strstr(c->head, "\r\n");
    MUST(blank2 != NULL && blank2 < line);
    q->method = text_of(c->head, (size_t)(blank - c->head));
    q->target = text_of(blank + 1, (size_t)(blank2 - blank - 1));
    q->head = text_of(line + 2, *out_end - (size_t)(line + 2 - c->head) - 2);
    q->connection = c->number;
    return q;
}

/* ---- an answer */

static void linger(struct connection *c)
{
    (void)wait_for(c, 0, -1);
}

static bool put_endless(struct connection *c, const struct http_answer *a, size_t len)
{
    while (put_bytes(c, a->body, len))
        continue;
    return false;
}

static bool put_chunked(struct connection *c, const char *body, size_t len)
{
    char size[32];
    for (size_t at = 0; at < len;) {
        size_t n = len - at < 1000 ? len - at : 1000;
        snprintf(size, sizeof size, "%zx\r\n", n);
        if (!put_text(c, size) || !put_bytes(c, body + at, n) || !put_text(c, "\r\n"))
            return false;
        at += n;
    }
    return put_text(c, "0\r\n\r\n");
}

static bool put_slowly(struct connection *c, const struct http_answer *a, size_t len)
{
    for (size_t i = 0; i < 10; i++) {
        env_sleep_ns(a->slow_ms * ENV_NS_PER_MS);
        if (!put_bytes(c, a->body + len * i / 10, len * (i + 1) / 10 - len * i / 10))
            return false;
    }
    return true;
}

static bool put_body(struct connection *c, const struct http_answer *a, size_t len)
{
    if ((a->flags & HTTP_ENDLESS) != 0)
        return put_endless(c, a, len);
    if ((a->flags & HTTP_CHUNKED) != 0)
        return put_chunked(c, a->body, len);
    if ((a->flags & HTTP_SLOW) != 0)
        return put_slowly(c, a, len);
    if ((a->flags & (HTTP_CUT | HTTP_STALL)) == 0)
        return put_bytes(c, a->body, len);
    if (!put_bytes(c, a->body, a->cut))
        return false;
    if ((a->flags & HTTP_STALL) != 0)
        linger(c);
    return false;
}

static bool pass_on(int from, int to)
{
    char bytes[4096];
    ssize_t n = recv(from, bytes, sizeof bytes, 0);
    return n > 0 && send(to, bytes, (size_t)n, MSG_NOSIGNAL) == n;
}

/* A proxy: bytes go both ways until one side ends. */
static void tunnel(struct connection *c, const struct http_request *q)
{
    const char *port = strrchr(q->target, ':');
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)(port != NULL ? atoi(port + 1) : 0))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    MUST(fd >= 0 && c->tls == NULL);
    bool fine = connect(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
                put_text(c, "HTTP/1.1 200 Connection established\r\netag: \"proxy\"\r\n\r\n");
    while (fine) {
        struct pollfd p[3] = {{.fd = c->fd, .events = POLLIN},
                              {.fd = fd, .events = POLLIN},
                              {.fd = c->s->stop[0], .events = POLLIN}};
        (void)poll(p, 3, -1);
        fine = p[2].revents == 0 && (p[0].revents == 0 || pass_on(c->fd, fd)) &&
               (p[1].revents == 0 || pass_on(fd, c->fd));
    }
    (void)close(fd);
}

/* True if the connection stays. */
static bool put_answer(struct connection *c, const struct http_request *q,
                       const struct http_answer *a)
{
    char head[4096];
    size_t len = a->len > 0 ? a->len : a->body != NULL ? strlen(a->body) : 0;
    if ((a->flags & HTTP_LOST) != 0)
        return false;
    if ((a->flags & (HTTP_SILENT | HTTP_UNREAD)) != 0) {
        linger(c);
        return false;
    }
    if ((a->flags & HTTP_TUNNEL) != 0) {
        tunnel(c, q);
        return false;
    }
    if ((a->flags & HTTP_RAW) != 0) {
        (void)put_body(c, a, len);
        return false;
    }
    if ((a->flags & HTTP_CONTINUE) != 0 && !put_text(c, "HTTP/1.1 100 Continue\r\n\r\n"))
        return false;
    int n =
        snprintf(head, sizeof head, "HTTP/1.1 %s\r\n%s", a->status != NULL ? a->status : "200 OK",
                 a->headers != NULL ? a->headers : "");
    MUST(n > 0 && (size_t)n < sizeof head - 64);
    if ((a->flags & HTTP_CHUNKED) != 0)
        strcat(head, "transfer-encoding: chunked\r\n");
    else if ((a->flags & (HTTP_NO_LENGTH | HTTP_ENDLESS)) == 0 &&
             (a->headers == NULL || find_header(a->headers, "content-length") == NULL))
        snprintf(head + n, sizeof head - (size_t)n, "content-length: %zu\r\n", len);
    strcat(head, "\r\n");
    if (!put_text(c, head))
        return false;
    if (strcmp(q->method, "HEAD") != 0 && a->body != NULL && !put_body(c, a, len))
        return false;
    if ((a->flags & HTTP_EARLY) != 0)
        linger(c);
    return (a->flags & (HTTP_CLOSE | HTTP_NO_LENGTH | HTTP_EARLY)) == 0;
}

static void answer_of(struct http_server *s, struct http_request *q, struct http_answer *a)
{
    static const struct http_answer unexpected = {.status = "599 unexpected"};
    env_mutex_lock(&s->mu);
    size_t n = s->count++;
    MUST(n < sizeof s->requests / sizeof *s->requests);
    s->requests[n] = q;
    if (s->script == NULL)
        s->answer(s->ctx, q, n, a);
    else if (n < s->script_count)
        *a = s->script[n];
    else if (s->script_count > 0 && (s->script[s->script_count - 1].flags & HTTP_REPEAT) != 0)
        *a = s->script[s->script_count - 1];
    else
        *a = unexpected;
    env_mutex_unlock(&s->mu);
}

/* Whether the script wants the next request's body to stay where it is. */
static bool is_unread(struct http_server *s)
{
    env_mutex_lock(&s->mu);
    bool unread = s->script != NULL && s->count < s->script_count &&
                  (s->script[s->count].flags & (HTTP_UNREAD | HTTP_EARLY)) != 0;
    env_mutex_unlock(&s->mu);
    return unread;
}

static bool serve_one(struct connection *c)
{
    struct http_answer a = {0};
    size_t end;
    struct http_request *q = read_request(c, &end);
    if (q == NULL)
        return false;
    const char *length = find_header(q->head, "content-length");
    size_t len = length != NULL ? (size_t)strtoull(length, NULL, 10) : 0;
    if (!is_unread(c->s) && !read_body(c, q, end, len)) {
        free_request(q);
        return false;
    }
    answer_of(c->s, q, &a);
    bool stays = put_answer(c, q, &a);
    free(a.owned);
    return stays;
}

static void serve(void *arg)
{
    struct connection *c = arg;
    c->head = malloc(HEAD_MAX + 1);
    MUST(c->head != NULL);
    bool fine = true;
    if (c->s->tls != NULL) {
        c->tls = SSL_new(c->s->tls);
        MUST(c->tls != NULL && SSL_set_fd(c->tls, c->fd) == 1);
        fine = wait_for(c, POLLIN, -1) && SSL_accept(c->tls) == 1;
    }
    while (fine && serve_one(c))
        continue;
    SSL_free(c->tls);
    free(c->head);
    /* Without unread bytes in it a closed socket ends in order; a client that still sends gets a reset. */
    (void)shutdown(c->fd, SHUT_RDWR);
    (void)close(c->fd);
}

/* ---- life */

static void accept_all(void *arg)
{
    struct http_server *s = arg;
    for (;;) {
        struct pollfd p[2] = {{.fd = s->fd, .events = POLLIN},
                              {.fd = s->stop[0], .events = POLLIN}};
        (void)poll(p, 2, -1);
        if (p[1].revents != 0)
            return;
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0)
            continue;
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        env_mutex_lock(&s->mu);
        MUST(s->connection_count < CONNECTIONS_MAX);
        struct connection *c = &s->connections[s->connection_count];
        *c = (struct connection){.s = s, .fd = fd, .number = s->connection_count++};
        env_mutex_unlock(&s->mu);
        MUST(env_task_spawn(&c->task, "http-connection", serve, c) == SHALE_OK);
    }
}

static void listen_somewhere(struct http_server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    MUST(s->fd >= 0 && bind(s->fd, (struct sockaddr *)&a, sizeof a) == 0 &&
         listen(s->fd, 256) == 0);
    MUST(getsockname(s->fd, (struct sockaddr *)&a, &len) == 0);
    s->port = ntohs(a.sin_port);
}

static struct http_server *start(struct http_server *s, const char *cert, const char *key)
{
    (void)signal(SIGPIPE, SIG_IGN); /* a client that went away is no news */
    s->connections = calloc(CONNECTIONS_MAX, sizeof *s->connections);
    MUST(s->connections != NULL && pipe(s->stop) == 0);
    if (cert != NULL) {
        s->tls = SSL_CTX_new(TLS_server_method());
        MUST(s->tls != NULL);
        MUST(SSL_CTX_use_certificate_file(s->tls, cert, SSL_FILETYPE_PEM) == 1);
        MUST(SSL_CTX_use_PrivateKey_file(s->tls, key, SSL_FILETYPE_PEM) == 1);
    }
    env_mutex_init(&s->mu);
    listen_somewhere(s);
    MUST(env_task_spawn(&s->task, "http-server", accept_all, s) == SHALE_OK);
    return s;
}

struct http_server *http_server_new(http_answerer answer, void *ctx, const char *cert,
                                    const char *key)
{
    struct http_server *s = calloc(1, sizeof *s);
    MUST(s != NULL);
    s->answer = answer;
    s->ctx = ctx;
    return start(s, cert, key);
}

struct http_server *http_server_script(const struct http_answer *script, size_t count)
{
    struct http_server *s = calloc(1, sizeof *s);
    MUST(s != NULL);
    s->script = script;
    s->script_count = count;
    return start(s, NULL, NULL);
}

void http_server_free(struct http_server *s)
{
    if (s == NULL)
        return;
    MUST(write(s->stop[1], "x", 1) == 1);
    env_task_join(s->task);
    for (unsigned i = 0; i < s->connection_count; i++)
        env_task_join(s->connections[i].task);
    for (size_t i = 0; i < s->count; i++)
        free_request(s->requests[i]);
    (void)close(s->fd);
    (void)close(s->stop[0]);
    (void)close(s->stop[1]);
    SSL_CTX_free(s->tls);
    env_mutex_deinit(&s->mu);
    free(s->connections);
    free(s);
}

unsigned http_server_port(const struct http_server *s)
{
    return s->port;
}

size_t http_server_count(struct http_server *s)
{
    env_mutex_lock(&s->mu);
    size_t n = s->count;
    env_mutex_unlock(&s->mu);
    return n;
}

unsigned http_server_connections(struct http_server *s)
{
    env_mutex_lock(&s->mu);
    unsigned n = s->connection_count;
    env_mutex_unlock(&s->mu);
    return n;
}

void http_server_push(struct http_server *s, unsigned connection, const char *text)
{
    env_mutex_lock(&s->mu);
    MUST(connection < s->connection_count && s->tls == NULL);
    int fd = s->connections[connection].fd;
    env_mutex_unlock(&s->mu);
    MUST(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

const struct http_request *http_server_request(struct http_server *s, size_t n)
{
    env_mutex_lock(&s->mu);
    const struct http_request *q = n < s->count ? s->requests[n] : NULL;
    size_t count = s->count;
    env_mutex_unlock(&s->mu);
    if (q == NULL)
        fail_msg("request %zu of %zu", n, count);
    return q;
}

bool http_header(const struct http_request *q, const char *name, char *out, size_t cap)
{
    const char *value = find_header(q->head, name);
    out[0] = '\0';
    if (value == NULL)
        return false;
    const char *end = strstr(value, "\r\n");
    if (find_header(end + 2, name) != NULL)
        fail_msg("two headers %s", name);
    assert_true((size_t)(end - value) < cap);
    memcpy(out, value, (size_t)(end - value));
    out[end - value] = '\0';
    return true;
}

/* ---- certificates */

static void add_extension(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    MUST(e != NULL && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
}

void http_make_certificate(const char *names, const char *cert_path, const char *key_path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    MUST(key != NULL && x != NULL && X509_set_version(x, 2) == 1);
    MUST(ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), env_rand64() >> 1) == 1);
    MUST(X509_gmtime_adj(X509_getm_notBefore(x), -3600) != NULL);
    MUST(X509_gmtime_adj(X509_getm_notAfter(x), 86400) != NULL);
    X509_NAME *name = X509_get_subject_name(x);
    MUST(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost",
                                    -1, -1, 0) == 1);
    MUST(X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1);
    add_extension(x, NID_subject_alt_name, names);
    add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
    MUST(X509_sign(x, key, EVP_sha256()) > 0);
    FILE *f = fopen(cert_path, "w");
    MUST(f != NULL && PEM_write_X509(f, x) == 1 && fclose(f) == 0);
    f = fopen(key_path, "w");
    MUST(f != NULL && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1 &&
         fclose(f) == 0);
    X509_free(x);
    EVP_PKEY_free(key);
}
