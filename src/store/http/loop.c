/* libcurl's multi interface with socket callbacks: work per wake-up is that of the sockets that are ready, however many requests are under way. */
#include "store/http/loop.h"

#include "base/array.h"
#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADERS_MAX      40
#define ERROR_BODY_MAX   65536
#define EVENTS_MAX       64
#define SWEEP_NS         (200 * ENV_NS_PER_MS)
#define RECEIVE_BYTES    65536L
#define SEND_BYTES       65536L
#define NO_TIMER         UINT64_MAX
#define RESERVE_MAX      (INT64_C(1) << 30) /* larger bodies grow as they come */
#define BYTES_PER_SECOND (1024 * 1024)      /* slower than this, a large body is given up */

/* An easy handle and the transfer that it carries. Reused: the connection pool is the multi handle's. */
struct slot {
    struct slot *next; /* of the free or the active list */
    struct slot *prev; /* active */
    struct shl_http *h;
    CURL *easy;
    struct shl_transfer *t;
    struct curl_slist headers[HEADERS_MAX]; /* point to the caller's lines */
    size_t part, part_offset;               /* of the body that is sent */
    size_t piece, piece_offset;             /* of the pieces that are filled */
    uint64_t text_before;                   /* length of call->text at the start */
    uint64_t sent, expected;
    bool ever_sent; /* bytes of the body left, though perhaps on a connection that was replaced */
    uint64_t progress_ns; /* when bytes moved last */
    uint64_t deadline_ns;
    bool answering; /* a status line came */
    bool
        head_over; /* and the empty line behind the headers: what looks like one afterwards is none (trailers) */
    char reason[CURL_ERROR_SIZE];
};

/* What epoll knows of a descriptor. libcurl takes a socket off its list after each request and puts it back with the next; epoll is
 * told only when something is to change, and when the socket is closed. */
struct watched {
    uint32_t registered; /* events; 0: epoll does not know it */
    bool wanted;         /* libcurl has it on its list */
    bool
        is_socket; /* opened by on_open, so on_close will hear of its end; that of others (a name being looked up) is not told */
};

struct shl_http {
    _Atomic uint32_t refs;
    struct shl_http_options options; /* [const] texts owned */
    struct env_mutex mu;
    struct shl_transfer *queue_head, *queue_tail; /* [mu] */
    bool stopping;                                /* [mu] */
    bool asleep;                       /* [mu] the thread waits, or is about to: it must be woken */
    struct env_task *task;             /* [mu] NULL: not started */
    SHL_ARRAY(struct watched) watched; /* [thread] by descriptor */
    int epoll_fd, wake_fd;             /* [const] */
    CURLM *multi;                      /* [thread] */
    uint64_t now_ns;                   /* [thread] of this round: progress is noted with it */
    uint64_t timer_ns;                 /* [thread] when libcurl wants to be called */
    uint64_t sweep_ns;                 /* [thread] */
    struct slot *active, *free_slots;  /* [thread] */
};

const struct shl_http_options *shl_loop_options(const struct shl_http *h)
{
    return &h->options;
}

/* ---- errors */

/* "host:port" of a URL that was checked. */
static struct shl_slice host_of(const char *url)
{
    const char *at = strstr(url, "://") + 3;
    return shl_slice_of(at, strcspn(at, "/?"));
}

static shale_code fail_at(struct shl_http_call *c, shale_code code, const char *what,
                          const char *why)
{
    struct shl_slice host = host_of(c->url);
    c->code = shl_fail(&c->err, code, "store does not answer: %s %.*s%s%s", what,
                       (int)shl_min_size(host.len, 120), (const char *)host.data,
                       why[0] != '\0' ? ": " : "", why);
    return c->code;
}

static shale_code code_of(CURLcode e)
{
    switch ((int)e) {
    case CURLE_OPERATION_TIMEDOUT:
        return SHALE_TIMEOUT;
    case CURLE_OUT_OF_MEMORY:
        return SHALE_NOMEM;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        return SHALE_UNAUTHENTICATED; /* not the server that we want: trying for ever does not help */
    case CURLE_URL_MALFORMAT:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return SHALE_INVALID;
    default:
        return SHALE_UNAVAILABLE;
    }
}

/* "Connection refused", where libcurl would tell its own story around it. */
static const char *connect_reason(const struct slot *s, const char *why, char *out, size_t cap)
{
    long e = 0;
    if (curl_easy_getinfo(s->easy, CURLINFO_OS_ERRNO, &e) != CURLE_OK || e == 0 ||
        strerror_r((int)e, out, cap) != 0)
        return why;
    return out;
}

/* The proxy that requests of the URL go through if it is not excepted, and who named it; NULL: none. As libcurl chooses it. */
static const char *proxy_of(const struct shl_http *h, const char *url, const char **who)
{
    static const char *const plain[] = {"http_proxy", "all_proxy", "ALL_PROXY", NULL};
    static const char *const safe[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                       NULL};
    const char *const *names = strncmp(url, "https:", 6) == 0 ? safe : plain;
    *who = "proxy_url";
    if (h->options.proxy != NULL)
        return h->options.proxy[0] != '\0' ? h->options.proxy : NULL;
    for (; *names != NULL; names++) {
        const char *value = env_getenv(*names);
        *who = *names;
        if (value != NULL)
            return value[0] != '\0' ? value : NULL;
    }
    return NULL;
}

/* "host:port" of the proxy's URL, without what may stand before it. */
static struct shl_slice proxy_host(const char *proxy)
{
    const char *scheme = strstr(proxy, "://");
    const char *from = scheme != NULL ? scheme + 3 : proxy;
    size_t len = strcspn(from, "/");
    for (size_t i = len; i-- > 0;)
        if (from[i] == '@')
            return shl_slice_of(from + i + 1, len - i - 1);
    return shl_slice_of(from, len);
}

/* libcurl names what it could not connect to: "Failed to connect to 10.0.0.1 port 3128 after ..". */
static bool names_host(const char *reason, struct shl_slice host)
{
    static const char to[] = " connect to ";
    static const char port[] = " port ";
    const char *at = strstr(reason, to);
    const char *colon = memchr(host.data, ':', host.len);
    size_t n = colon != NULL ? (size_t)(colon - (const char *)host.data) : host.len;
    size_t left = host.len - n;
    if (at == NULL || strncmp(at + strlen(to), (const char *)host.data, n) != 0)
        return false;
    at += strlen(to) + n;
    return strncmp(at, port, strlen(port)) == 0 &&
           (left == 0 || (strncmp(at + strlen(port), colon + 1, left - 1) == 0 &&
                          at[strlen(port) + left - 1] == ' '));
}

/* The proxy is at fault, and not the server behind it. */
static bool blame_proxy(const struct slot *s, CURLcode e, const char *why)
{
    struct shl_http_call *c = s->t->call;
    const char *who;
    const char *proxy = proxy_of(s->h, c->url, &who);
    char reason[96];
    if (proxy == NULL)
        return false;
    struct shl_slice host = proxy_host(proxy);
    bool connects = e == CURLE_COULDNT_CONNECT && names_host(s->reason, host);
    if (!connects && e != CURLE_COULDNT_RESOLVE_PROXY && strstr(s->reason, "CONNECT") == NULL &&
        strstr(s->reason, "proxy") == NULL)
        return false;
    if (connects)
        why = connect_reason(s, why, reason, sizeof reason);
    c->code = shl_fail(&c->err, code_of(e), "store does not answer: cannot %s proxy %.*s (%s): %s",
                       connects ? "connect to" : "get through", (int)shl_min_size(host.len, 120),
                       (const char *)host.data, who, why);
    return true;
}

static void fail_curl(const struct slot *s, CURLcode e)
{
    struct shl_http_call *c = s->t->call;
    const char *why = s->reason[0] != '\0' ? s->reason : curl_easy_strerror(e);
    shale_code code = code_of(e);
    char reason[96];
    if (c->code != SHALE_OK)
        return; /* one of our callbacks said why */
    if (code == SHALE_NOMEM)
        c->code = shl_nomem(&c->err);
    else if (blame_proxy(s, e, why))
        return;
    else if (e == CURLE_OPERATION_TIMEDOUT)
        (void)fail_at(c, code, "connecting timed out,", "");
    else if (e == CURLE_COULDNT_RESOLVE_HOST)
        (void)fail_at(c, code, "there is no host", "");
    else if (e == CURLE_COULDNT_CONNECT)
        (void)fail_at(c, code, "cannot connect to", connect_reason(s, why, reason, sizeof reason));
    else if (e == CURLE_PARTIAL_FILE)
        (void)fail_at(c, code, "the answer was cut by", why);
    else if (e == CURLE_SSL_CONNECT_ERROR && strstr(why, "wrong version number") != NULL)
        (void)fail_at(c, code, "https was asked, and plain http is spoken by", "");
    else
        (void)fail_at(c, code, "lost", why);
}

/* ---- sending */

static size_t on_read(char *dst, size_t size, size_t count, void *arg)
{
    struct slot *s = arg;
    const struct shl_http_call *c = s->t->call;
    size_t room = size * count, done = 0;
    while (done < room && s->part < c->body_count) {
        struct shl_slice part = c->body[s->part];
        size_t n = shl_min_size(room - done, part.len - s->part_offset);
        if (n > 0)
            memcpy(dst + done, part.data + s->part_offset, n);
        done += n;
        s->part_offset += n;
        if (s->part_offset == part.len) {
            s->part++;
            s->part_offset = 0;
        }
    }
    s->sent += done;
    s->ever_sent = s->ever_sent || done > 0;
    s->progress_ns = s->h->now_ns;
    return done;
}

/* A kept connection that turned out dead is replaced, and the body sent from its start. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct slot *s = arg;
    if (origin != SEEK_SET || offset != 0)
        return CURL_SEEKFUNC_CANTSEEK;
    s->part = s->part_offset = 0;
    s->sent = 0;
    return CURL_SEEKFUNC_OK;
}

/* ---- receiving */

static bool is_success(int status)
{
    return status >= 200 && status < 300;
}

static bool into_pieces(struct slot *s, const uint8_t *data, size_t len)
{
    struct shl_http_call *c = s->t->call;
    while (len > 0 && s->piece < c->piece_count) {
        const struct shl_http_piece *p = &c->pieces[s->piece];
        size_t n = shl_min_size(len, p->len - s->piece_offset);
        if (p->dst != NULL && n > 0)
            memcpy(p->dst + s->piece_offset, data, n);
        data += n;
        len -= n;
        c->received += n;
        s->piece_offset += n;
        if (s->piece_offset == p->len) {
            s->piece++;
            s->piece_offset = 0;
        }
    }
    if (len > 0)
        c->code = shl_fail(&c->err, SHALE_UNAVAILABLE,
                           "the answer has more than the %" PRIu64 " bytes that were asked for",
                           c->received);
    return len == 0;
}

/* Makes room for the whole body before its first byte, as far as a server's word is believed. */
static bool reserve_text(const struct slot *s, struct shl_http_call *c, size_t len)
{
    curl_off_t total = -1;
    size_t want = len;
    if (c->received == 0 && is_success(c->status) &&
        curl_easy_getinfo(s->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &total) == CURLE_OK &&
        total > 0)
        want = shl_max_size(len, (size_t)(total < RESERVE_MAX ? total : RESERVE_MAX));
    if (shl_buf_reserve(c->text, want, &c->err) == SHALE_OK)
        return true;
    c->code = SHALE_NOMEM;
    return false;
}

static bool has_length(const struct slot *s)
{
    curl_off_t total = -1;
    return curl_easy_getinfo(s->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &total) == CURLE_OK &&
           total >= 0;
}

static bool into_text(const struct slot *s, const uint8_t *data, size_t len)
{
    struct shl_http_call *c = s->t->call;
    if (c->text == NULL)
        return true;
    if (!is_success(c->status)) {
        size_t have = c->text->len - (size_t)s->text_before;
        len = shl_min_size(len, ERROR_BODY_MAX - shl_min_size(have, ERROR_BODY_MAX));
    } else if (c->needs_length && c->received == 0 && !has_length(s)) {
        c->code = shl_fail(&c->err, SHALE_UNAVAILABLE, "the answer has no Content-Length");
        return false;
    } else if (c->text_max > 0 && len > c->text_max - c->received) {
        c->code = shl_fail(&c->err, SHALE_UNAVAILABLE,
                           "an answer of more than %" PRIu64 " bytes is refused", c->text_max);
        return false;
    }
    if (len > 0 && !reserve_text(s, c, len))
        return false;
    if (len > 0)
        memcpy(c->text->data + c->text->len, data, len);
    c->text->len += len;
    c->received += len;
    return true;
}

static size_t on_write(char *data, size_t size, size_t count, void *arg)
{
    struct slot *s = arg;
    const struct shl_http_call *c = s->t->call;
    const uint8_t *bytes = (const uint8_t *)data;
    size_t len = size * count;
    s->progress_ns = s->h->now_ns;
    bool fine = is_success(c->status) && c->piece_count > 0 ? into_pieces(s, bytes, len)
                                                            : into_text(s, bytes, len);
    return fine ? len : 0;
}

/* False if two of them contradict each other about where the body ends. */
static bool keep_header(struct shl_http_call *c, struct shl_slice name, struct shl_slice value)
{
    for (size_t i = 0; i < c->wanted_count; i++) {
        struct shl_http_wanted *w = &c->wanted[i];
        if (!shl_slice_ieq(name, w->name))
            continue;
        if (w->value[0] != '\0' && !shl_slice_eq(value, shl_slice_str(w->value)) &&
            strcmp(w->name, "content-length") == 0) {
            c->code = shl_fail(&c->err, SHALE_UNAVAILABLE, "the answer has two lengths");
            return false;
        }
        size_t n = shl_min_size(value.len, sizeof w->value - 1);
        memcpy(w->value, value.data, n);
        w->value[n] = '\0';
    }
    return true;
}

/* "HTTP/1.1 206 Partial Content": headers of an interim answer before it are forgotten. */
static void on_status(struct slot *s, struct shl_slice line)
{
    struct shl_http_call *c = s->t->call;
    const uint8_t *blank = memchr(line.data, ' ', line.len);
    const uint8_t *end = line.data + line.len;
    c->status = 0;
    s->head_over = false;
    if (blank != NULL) /* three digits, whatever comes behind them */
        for (const uint8_t *p = blank + 1; p < end && c->status < 100 && *p >= '0' && *p <= '9';
             p++)
            c->status = c->status * 10 + (*p - '0');
    for (size_t i = 0; i < c->wanted_count; i++)
        c->wanted[i].value[0] = '\0';
    s->answering = true;
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct slot *s = arg;
    struct shl_slice line = shl_slice_of(data, size * count);
    const uint8_t *colon;
    s->progress_ns = s->h->now_ns;
    bool is_first = !s->answering || (s->head_over && s->t->call->status < 200);
    if (is_first && line.len > 5 && memcmp(line.data, "HTTP/", 5) == 0)
        on_status(s, line);
    else if (line.len == 0 || line.data[0] == '\r' || line.data[0] == '\n')
        s->head_over = true;
    else if (s->head_over)
        return size * count;
    else if ((colon = memchr(line.data, ':', line.len)) != NULL) {
        size_t name = (size_t)(colon - line.data);
        if (!keep_header(s->t->call, shl_slice_of(line.data, name),
                         shl_slice_trim(shl_slice_of(colon + 1, line.len - name - 1))))
            return 0;
    }
    return size * count;
}

/* ---- sockets that libcurl wants to hear of */

static struct watched *watched_of(struct shl_http *h, curl_socket_t fd)
{
    static const struct watched none;
    size_t need = (size_t)fd + 1;
    if (fd < 0 ||
        (need > h->watched.count && !shl_array_reserve(&h->watched, need - h->watched.count)))
        return NULL;
    while (h->watched.count < need)
        shl_array_add(&h->watched, none);
    return &h->watched.items[fd];
}

static void unwatch(struct shl_http *h, curl_socket_t fd)
{
    struct watched *w = watched_of(h, fd);
    if (w == NULL)
        return;
    if (w->registered != 0)
        (void)epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    w->registered = 0;
    w->wanted = false;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct shl_http *h = arg;
    struct watched *w = watched_of(h, fd);
    struct epoll_event e = {.data.fd = fd};
    (void)easy;
    (void)known;
    if (w == NULL)
        return -1; /* no memory: libcurl gives the request up */
    w->wanted = what != CURL_POLL_REMOVE;
    if (!w->wanted) {
        if (!w->is_socket)
            unwatch(h, fd);
        return 0;
    }
    e.events = ((what & CURL_POLL_IN) != 0 ? (uint32_t)EPOLLIN : 0) |
               ((what & CURL_POLL_OUT) != 0 ? (uint32_t)EPOLLOUT : 0);
    if (w->registered == e.events)
        return 0;
    if (epoll_ctl(h->epoll_fd, w->registered == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &e) != 0)
        return -1;
    w->registered = e.events;
    return 0;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    struct watched *w = fd < 0 ? NULL : watched_of(arg, fd);
    if (w == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return CURL_SOCKET_BAD;
    }
    *w = (struct watched){.is_socket = true};
    return fd;
}

/* The number may be another socket's at once, so epoll forgets it first. */
static int on_close(void *arg, curl_socket_t fd)
{
    unwatch(arg, fd);
    return close(fd);
}

/* ---- slots */

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (ok)                                                                                    \
            ok = curl_easy_setopt(s->easy, (option), (value)) == CURLE_OK;                         \
    } while (0)

/* What is the same for every request of this loop. */
static bool prepare_slot(struct slot *s)
{
    const struct shl_http_options *o = &s->h->options;
    bool ok = true;
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PROTOCOLS_STR, o->allow_http ? "http,https" : "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); /* a proxy's are no part of the answer */
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_DNS_SHUFFLE_ADDRESSES, 1L);
    SET(CURLOPT_DNS_CACHE_TIMEOUT, 10L);
    SET(CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    SET(CURLOPT_UPLOAD_BUFFERSIZE, SEND_BYTES);
    SET(CURLOPT_MAXAGE_CONN, (long)(o->idle_timeout_ms / 1000));
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_timeout_ms);
    SET(CURLOPT_USERAGENT, o->user_agent);
    SET(CURLOPT_SSL_VERIFYPEER, o->verify_tls ? 1L : 0L);
    SET(CURLOPT_SSL_VERIFYHOST, o->verify_tls ? 2L : 0L);
    if (o->ca_file != NULL)
        SET(CURLOPT_CAINFO, o->ca_file);
    if (o->client_cert != NULL)
        SET(CURLOPT_SSLCERT, o->client_cert);
    if (o->client_key != NULL)
        SET(CURLOPT_SSLKEY, o->client_key);
    if (o->proxy != NULL)
        SET(CURLOPT_PROXY, o->proxy);
    if (o->no_proxy != NULL)
        SET(CURLOPT_NOPROXY, o->no_proxy);
    SET(CURLOPT_PRIVATE, (void *)s);
    SET(CURLOPT_ERRORBUFFER, s->reason);
    SET(CURLOPT_WRITEFUNCTION, on_write);
    SET(CURLOPT_WRITEDATA, (void *)s);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, (void *)s);
    SET(CURLOPT_READFUNCTION, on_read);
    SET(CURLOPT_READDATA, (void *)s);
    SET(CURLOPT_SEEKFUNCTION, on_seek);
    SET(CURLOPT_SEEKDATA, (void *)s);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
    SET(CURLOPT_OPENSOCKETDATA, (void *)s->h);
    SET(CURLOPT_CLOSESOCKETFUNCTION, on_close);
    SET(CURLOPT_CLOSESOCKETDATA, (void *)s->h);
    return ok;
}

static void free_slot(struct slot *s)
{
    curl_easy_cleanup(s->easy);
    env_free(s);
}

static struct slot *take_slot(struct shl_http *h)
{
    struct slot *s = h->free_slots;
    if (s != NULL) {
        h->free_slots = s->next;
        return s;
    }
    s = env_calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->h = h;
    s->easy = curl_easy_init();
    if (s->easy == NULL || !prepare_slot(s)) {
        if (s->easy != NULL)
            curl_easy_cleanup(s->easy);
        env_free(s);
        return NULL;
    }
    return s;
}

static void link_headers(struct slot *s, const struct shl_http_call *c)
{
    /* Empty values keep libcurl from sending headers of its own that a signature does not cover or a server may trip over. */
    static const char *const unwanted[] = {"Accept:", "Expect:"};
    size_t n = 0;
    SHL_ASSERT(c->header_count + SHL_COUNT_OF(unwanted) <= HEADERS_MAX);
    for (size_t i = 0; i < c->header_count + SHL_COUNT_OF(unwanted); i++) {
        const char *line = i < c->header_count ? c->headers[i] : unwanted[i - c->header_count];
        memcpy(&s->headers[n].data, &line, sizeof line); /* libcurl only reads it */
        s->headers[n].next = NULL;
        if (n > 0)
            s->headers[n - 1].next = &s->headers[n];
        n++;
    }
}

static bool set_method(struct slot *s, const struct shl_http_call *c, uint64_t body_bytes)
{
    bool ok = true;
    bool sends = c->method == SHL_HTTP_PUT || c->method == SHL_HTTP_POST;
    if (sends) {
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)body_bytes);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
        if (c->method == SHL_HTTP_HEAD)
            SET(CURLOPT_NOBODY, 1L);
    }
    const char *custom = c->method == SHL_HTTP_POST     ? "POST"
                         : c->method == SHL_HTTP_DELETE ? "DELETE"
                                                        : NULL;
    SET(CURLOPT_CUSTOMREQUEST, custom);
    return ok;
}

static uint64_t body_bytes_of(const struct shl_http_call *c)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < c->body_count; i++)
        sum += c->body[i].len;
    return sum;
}

static uint64_t piece_bytes_of(const struct shl_http_call *c)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < c->piece_count; i++)
        sum += c->pieces[i].len;
    return sum;
}

static bool begin(struct slot *s, struct shl_transfer *t)
{
    const struct shl_http_options *o = &s->h->options;
    const struct shl_http_call *c = t->call;
    uint64_t body = body_bytes_of(c);
    uint64_t now = s->h->now_ns;
    bool ok = true;
    s->t = t;
    s->part = s->part_offset = s->piece = s->piece_offset = 0;
    s->text_before = c->text != NULL ? c->text->len : 0;
    s->sent = 0;
    s->ever_sent = false;
    s->expected = body;
    s->progress_ns = now;
    s->deadline_ns = now + o->timeout_ms * ENV_NS_PER_MS +
                     (body + piece_bytes_of(c)) / BYTES_PER_SECOND * ENV_NS_PER_SEC;
    s->answering = s->head_over = false;
    s->reason[0] = '\0';
    link_headers(s, c);
    SET(CURLOPT_URL, c->url);
    SET(CURLOPT_HTTPHEADER, s->headers);
    ok = ok && set_method(s, c, body);
    ok = ok && curl_multi_add_handle(s->h->multi, s->easy) == CURLM_OK;
    return ok;
}

/* ---- the list of what is under way */

static void activate(struct shl_http *h, struct slot *s)
{
    s->prev = NULL;
    s->next = h->active;
    if (h->active != NULL)
        h->active->prev = s;
    h->active = s;
}

static void deactivate(struct shl_http *h, struct slot *s)
{
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        h->active = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    s->prev = NULL;
    s->next = h->free_slots;
    h->free_slots = s;
}

static void finish_transfer(struct shl_http *h, struct shl_transfer *t)
{
    t->call->duration_ns = h->now_ns > t->submitted_ns ? h->now_ns - t->submitted_ns : 0;
    t->done(t);
}

static void start_transfer(struct shl_http *h, struct shl_transfer *t)
{
    struct slot *s = take_slot(h);
    if (s == NULL) {
        t->call->code = shl_nomem(&t->call->err);
        finish_transfer(h, t);
        return;
    }
    activate(h, s);
    if (begin(s, t))
        return;
    deactivate(h, s);
    t->call->code = shl_nomem(&t->call->err); /* a URL that libcurl refuses was checked before */
    finish_transfer(h, t);
}

static void end_transfer(struct shl_http *h, struct slot *s)
{
    struct shl_transfer *t = s->t;
    long request_bytes =
        0; /* of all that libcurl sent for this call, also on connections that died */
    (void)curl_easy_getinfo(s->easy, CURLINFO_REQUEST_SIZE, &request_bytes);
    t->call->sent = request_bytes > 0 || s->ever_sent;
    (void)curl_multi_remove_handle(h->multi, s->easy);
    deactivate(h, s);
    s->t = NULL;
    finish_transfer(h, t);
}

static void collect(struct shl_http *h)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
        struct slot *s = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode e = m->data.result;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &s);
        if (e != CURLE_OK)
            fail_curl(s, e);
        else if (!s->head_over && s->t->call->code == SHALE_OK)
            /* libcurl takes a connection that ends within the headers for the end of an answer. */
            (void)fail_at(s->t->call, SHALE_UNAVAILABLE, "the answer was cut by", "in its headers");
        end_transfer(h, s);
    }
}

/* ---- time limits */

/* NULL, or what took too long. */
static const char *overdue(struct slot *s, uint64_t now)
{
    const struct shl_http_options *o = &s->h->options;
    uint64_t quiet = now > s->progress_ns ? now - s->progress_ns : 0;
    bool waiting = !s->answering && s->sent == s->expected;
    curl_off_t connected = 0;
    (void)curl_easy_getinfo(s->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
    if (!s->answering && connected == 0) {
        /* libcurl watches over connecting; waiting for a free connection has the limit of the whole. The other limits begin behind both. */
        s->progress_ns = now;
        return NULL;
    }
    /* What arrives earns time as what is sent does. */
    if (now >= s->deadline_ns + s->t->call->received / BYTES_PER_SECOND * ENV_NS_PER_SEC)
        return "the request took too long,";
    if (waiting)
        return quiet >= o->first_byte_timeout_ms * ENV_NS_PER_MS ? "no answer from" : NULL;
    return quiet >= o->stall_timeout_ms * ENV_NS_PER_MS ? "no more bytes from or to" : NULL;
}

static void sweep(struct shl_http *h, uint64_t now)
{
    struct slot *next;
    if (now < h->sweep_ns)
        return;
    h->sweep_ns = now + SWEEP_NS;
    for (struct slot *s = h->active; s != NULL; s = next) {
        const char *what = overdue(s, now);
        next = s->next;
        bool connecting =
            !s->answering && s->progress_ns == now; /* overdue leaves that to libcurl */
        if (what == NULL &&
            (!connecting || now < s->deadline_ns + h->options.connect_timeout_ms * ENV_NS_PER_MS))
            continue;
        if (s->t->call->code == SHALE_OK)
            (void)fail_at(s->t->call, SHALE_TIMEOUT, what != NULL ? what : "no connection to", "");
        end_transfer(h, s);
    }
}

/* ---- libcurl's wishes */

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct shl_http *h = arg;
    (void)multi;
    h->timer_ns = timeout_ms < 0 ? NO_TIMER : h->now_ns + (uint64_t)timeout_ms * ENV_NS_PER_MS;
    return 0;
}

/* ---- the thread */

/* False if it is time to end. *out: what was submitted. The thread counts as asleep if that is nothing. */
static bool take_queue(struct shl_http *h, struct shl_transfer **out)
{
    env_mutex_lock(&h->mu);
    *out = h->queue_head;
    h->queue_head = h->queue_tail = NULL;
    h->asleep = *out == NULL;
    bool go_on = !h->stopping;
    env_mutex_unlock(&h->mu);
    return go_on;
}

static void start_all(struct shl_http *h, struct shl_transfer *t)
{
    while (t != NULL) {
        struct shl_transfer *next = t->next; /* read first: once done, it is gone */
        start_transfer(h, t);
        t = next;
    }
}

static int wait_ms(const struct shl_http *h)
{
    uint64_t at = h->timer_ns;
    if (h->active != NULL)
        at = shl_min_u64(at, h->sweep_ns);
    if (at == NO_TIMER)
        return -1;
    uint64_t now = env_now_mono_ns();
    return at <= now ? 0 : (int)((at - now + ENV_NS_PER_MS - 1) / ENV_NS_PER_MS);
}

static void on_event(struct shl_http *h, const struct epoll_event *e)
{
    int running;
    if (e->data.fd == h->wake_fd)
        return; /* edge-triggered: it need not be read */
    struct watched *w = watched_of(h, e->data.fd);
    if (w == NULL || !w->wanted) {
        /* A kept connection that the server closes: libcurl finds out when it takes it. */
        unwatch(h, e->data.fd);
        return;
    }
    int mask = ((e->events & (uint32_t)EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
               ((e->events & (uint32_t)EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
               ((e->events & (uint32_t)(EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
    (void)curl_multi_socket_action(h->multi, e->data.fd, mask, &running);
}

/* libcurl tells a time only when it differs from the last one that it told. If it was called a moment too early for it, it would say nothing, and
 * wait for a call that never comes: so it is asked. */
static void on_timer_due(struct shl_http *h)
{
    int running;
    long left_ms = -1;
    h->timer_ns = NO_TIMER;
    (void)curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    if (h->timer_ns == NO_TIMER && curl_multi_timeout(h->multi, &left_ms) == CURLM_OK &&
        left_ms >= 0)
        h->timer_ns = env_now_mono_ns() + (uint64_t)shl_max_i64(left_ms, 1) * ENV_NS_PER_MS;
}

static void loop_task(void *arg)
{
    struct shl_http *h = arg;
    struct epoll_event events[EVENTS_MAX];
    struct shl_transfer *fresh;
    while (take_queue(h, &fresh)) {
        h->now_ns = env_now_mono_ns();
        start_all(h, fresh);
        /* With new ones to start, libcurl's timer is due at once: only look what else there is. */
        int n = epoll_wait(h->epoll_fd, events, EVENTS_MAX, fresh != NULL ? 0 : wait_ms(h));
        h->now_ns = env_now_mono_ns();
        for (int i = 0; i < n; i++)
            on_event(h, &events[i]);
        if (h->now_ns >= h->timer_ns)
            on_timer_due(h);
        collect(h);
        sweep(h, h->now_ns);
    }
    SHL_ASSERT(fresh == NULL); /* nobody submits while the last reference goes */
}

static shale_code ensure_started(struct shl_http *h, shale_error *err)
{
    shale_code rc = SHALE_OK;
    env_mutex_lock(&h->mu);
    if (h->task == NULL)
        rc = env_task_spawn(&h->task, "shale-http", loop_task, h);
    env_mutex_unlock(&h->mu);
    if (rc == SHALE_NOMEM)
        return shl_nomem(err);
    return rc == SHALE_OK ? rc : shl_fail(err, rc, "no thread can be started for requests");
}

static void wake(struct shl_http *h)
{
    const uint64_t one = 1;
    ssize_t n = write(h->wake_fd, &one, sizeof one);
    (void)n; /* full: then it is awake */
}

void shl_loop_submit(struct shl_http *h, struct shl_transfer *transfers, size_t count)
{
    shale_error err;
    uint64_t now = env_now_mono_ns();
    shale_code rc = ensure_started(h, &err);
    SHL_ASSERT(count > 0);
    for (size_t i = 0; i < count; i++) {
        transfers[i].submitted_ns = now;
        transfers[i].next = i + 1 < count ? &transfers[i + 1] : NULL;
    }
    if (rc != SHALE_OK) {
        for (size_t i = 0; i < count; i++) {
            transfers[i].call->code = rc;
            transfers[i].call->err = err;
            transfers[i].done(&transfers[i]);
        }
        return;
    }
    env_mutex_lock(&h->mu);
    bool asleep = h->asleep;
    h->asleep = false; /* one wake-up is enough */
    if (h->queue_head == NULL)
        h->queue_head = transfers;
    else
        h->queue_tail->next = transfers;
    h->queue_tail = &transfers[count - 1];
    env_mutex_unlock(&h->mu);
    if (asleep)
        wake(h);
}

/* ---- life */

static void free_texts(struct shl_http_options *o)
{
    const char **texts[] = {&o->ca_file, &o->client_cert, &o->client_key,
                            &o->proxy,   &o->no_proxy,    &o->user_agent};
    for (size_t i = 0; i < SHL_COUNT_OF(texts); i++) {
        char *text;
        memcpy(&text, texts[i], sizeof text); /* ours: copied by copy_texts */
        env_free(text);
    }
}

static bool copy_texts(struct shl_http_options *o)
{
    const char **texts[] = {&o->ca_file, &o->client_cert, &o->client_key,
                            &o->proxy,   &o->no_proxy,    &o->user_agent};
    bool ok = true;
    for (size_t i = 0; i < SHL_COUNT_OF(texts); i++) {
        if (*texts[i] == NULL)
            continue;
        *texts[i] = ok ? env_strdup(*texts[i]) : NULL;
        ok = ok && *texts[i] != NULL;
    }
    return ok;
}

static void destroy(struct shl_http *h)
{
    if (h->task != NULL) {
        env_mutex_lock(&h->mu);
        h->stopping = true;
        env_mutex_unlock(&h->mu);
        wake(h);
        env_task_join(h->task);
    }
    SHL_ASSERT(h->active == NULL);
    while (h->free_slots != NULL) {
        struct slot *next = h->free_slots->next;
        free_slot(h->free_slots);
        h->free_slots = next;
    }
    if (h->multi != NULL)
        (void)curl_multi_cleanup(h->multi); /* closes what is kept */
    shl_array_free(&h->watched);
    if (h->epoll_fd >= 0)
        (void)close(h->epoll_fd);
    if (h->wake_fd >= 0)
        (void)close(h->wake_fd);
    free_texts(&h->options);
    env_mutex_deinit(&h->mu);
    env_free(h);
    curl_global_cleanup();
}

static bool open_fds(struct shl_http *h)
{
    struct epoll_event e = {.events = (uint32_t)EPOLLIN | (uint32_t)EPOLLET};
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    e.data.fd = h->wake_fd;
    return h->epoll_fd >= 0 && h->wake_fd >= 0 &&
           epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->wake_fd, &e) == 0;
}

static bool open_multi(struct shl_http *h)
{
    h->multi = curl_multi_init();
    return h->multi != NULL &&
           curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) == CURLM_OK &&
           curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
           curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) == CURLM_OK &&
           curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK &&
           curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)h->options.idle_max) ==
               CURLM_OK &&
           curl_multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
                             (long)h->options.connections_max) == CURLM_OK;
}

shale_code shl_http_new(struct shl_http **out, const struct shl_http_options *o, shale_error *err)
{
    if (o->user_agent != NULL && strpbrk(o->user_agent, "\r\n") != NULL)
        return shl_fail(err, SHALE_INVALID, "user_agent has a line end in it");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return shl_nomem(err);
    struct shl_http *h = env_calloc(1, sizeof *h);
    if (h == NULL) {
        curl_global_cleanup();
        return shl_nomem(err);
    }
    atomic_init(&h->refs, 1);
    env_mutex_init(&h->mu);
    h->epoll_fd = h->wake_fd = -1;
    h->timer_ns = NO_TIMER;
    h->options = *o;
    shale_code rc = SHALE_OK;
    if (!copy_texts(&h->options))
        rc = shl_nomem(err);
    else if (!open_fds(h))
        rc = shl_fail(err, SHALE_UNAVAILABLE, "requests need two file descriptors: %s",
                      strerror(errno));
    else if (!open_multi(h))
        rc = shl_nomem(err);
    if (rc != SHALE_OK) {
        destroy(h);
        return rc;
    }
    *out = h;
    return SHALE_OK;
}

struct shl_http *shl_http_ref(struct shl_http *h)
{
    env_fetch_add(&h->refs, 1);
    return h;
}

void shl_http_unref(struct shl_http *h)
{
    if (h != NULL && env_fetch_sub_acq_rel(&h->refs, 1) == 1)
        destroy(h);
}
