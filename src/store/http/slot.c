/* One exchange with a server through a libcurl easy handle: what is sent, what is received, what went wrong. The I/O thread alone calls this. */
#include "store/http/slot.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

#define ERROR_BODY_MAX   65536
#define RECEIVE_BYTES    65536L
#define SEND_BYTES       65536L
#define HEAD_MAX         (256 * 1024)
#define RESERVE_MAX      (INT64_C(1) << 30) /* larger bodies grow as they come */
#define BYTES_PER_SECOND (1024 * 1024)      /* slower than this, a large body is given up */

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
        return SHALE_INVALID;
    default:
        return SHALE_UNAVAILABLE;
    }
}

/* "Connection refused", where libcurl would tell its own story around it. */
static const char *connect_reason(const struct shl_slot *s, const char *why, char *out, size_t cap)
{
    long e = 0;
    if (s->curl->easy_getinfo(s->easy, CURLINFO_OS_ERRNO, &e) != CURLE_OK || e == 0 ||
        strerror_r((int)e, out, cap) != 0)
        return why;
    return out;
}

/* The proxy that requests of the URL go through if it is not excepted, and who named it; NULL: none. As libcurl chooses it. */
static const char *proxy_of(const struct shl_http_options *o, const char *url, const char **who)
{
    static const char *const plain[] = {"http_proxy", "all_proxy", "ALL_PROXY", NULL};
    static const char *const safe[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                       NULL};
    const char *const *names = strncmp(url, "https:", 6) == 0 ? safe : plain;
    *who = "proxy_url";
    if (o->proxy != NULL)
        return o->proxy[0] != '\0' ? o->proxy : NULL;
    for (; *names != NULL; names++) {
        const char *value = env_getenv(*names);
        *who = *names;
        if (value != NULL && value[0] != '\0')
            return value;
    }
    return NULL;
}

static bool is_direct(const struct shl_http_options *o)
{
    const char *who;
    return proxy_of(o, "http:", &who) == NULL && proxy_of(o, "https:", &who) == NULL;
}

/* The URL behind its scheme, up to the last '@': a password may hold what a URL's parts are told apart by. */
static struct shl_slice proxy_userinfo(const char *proxy)
{
    const char *scheme = strstr(proxy, "://");
    const char *last = strrchr(proxy, '@');
    const char *from = scheme != NULL && (last == NULL || scheme < last) ? scheme + 3 : proxy;
    return shl_slice_of(from, last != NULL && last > from ? (size_t)(last - from) : 0);
}

/* "host:port" of the proxy's URL, without what may stand before it. */
static struct shl_slice proxy_host(const char *proxy)
{
    const char *last = strrchr(proxy, '@');
    const char *scheme = strstr(proxy, "://");
    const char *from = last != NULL ? last + 1 : scheme != NULL ? scheme + 3 : proxy;
    return shl_slice_of(from, strcspn(from, "/?#"));
}

/* Some part of what stands before the proxy's host is in the text, or might be under another spelling. */
static bool tells_userinfo(const char *text, const char *proxy)
{
    static const char splits[] = ":/?#@ \t";
    struct shl_slice info = proxy_userinfo(proxy);
    size_t have = strlen(text);
    if (info.len > 0 && memchr(info.data, '%', info.len) != NULL)
        return true;
    for (size_t i = 0, n; i < info.len; i += n + 1) {
        for (n = 0; i + n < info.len && strchr(splits, info.data[i + n]) == NULL;)
            n++;
        for (size_t at = 0; n > 0 && at + n <= have; at++)
            if (strncasecmp(text + at, (const char *)info.data + i, n) == 0)
                return true;
    }
    return false;
}

/* libcurl could not make anything of the proxy's URL. It quotes all of it. */
static bool is_odd_proxy(const struct shl_slot *s)
{
    return strncmp(s->reason, "Unsupported proxy", strlen("Unsupported proxy")) == 0;
}

/* What libcurl says of the failure, unless that would tell a secret. */
static const char *reason_of(const struct shl_slot *s, CURLcode e)
{
    const char *who;
    const char *proxy = s->direct ? NULL : proxy_of(s->options, s->t->call->url, &who);
    if (is_odd_proxy(s))
        return "its URL is none that is understood";
    if (e == CURLE_COULDNT_RESOLVE_PROXY)
        return "there is no such host";
    if (s->reason[0] == '\0' || (proxy != NULL && tells_userinfo(s->reason, proxy)))
        return s->curl->easy_strerror(e);
    return s->reason;
}

/* "host" and "port" of "host:port" and of "[::1]:port"; the port may be missing. */
static void split_host(struct shl_slice host, struct shl_slice *name, struct shl_slice *port)
{
    const char *text = (const char *)host.data;
    const char *end = text + host.len;
    const char *close = host.len > 0 && text[0] == '[' ? memchr(text, ']', host.len) : NULL;
    const char *from = close != NULL ? close : text;
    const char *colon = memchr(from, ':', (size_t)(end - from));
    const char *stop = close != NULL ? close : colon != NULL ? colon : end;
    text += close != NULL;
    *name = shl_slice_of(text, (size_t)(stop - text));
    *port =
        colon != NULL ? shl_slice_of(colon + 1, (size_t)(end - colon - 1)) : shl_slice_of("", 0);
}

static bool skip(const char **at, struct shl_slice text)
{
    if (strncmp(*at, (const char *)text.data, text.len) != 0)
        return false;
    *at += text.len;
    return true;
}

/* libcurl names what it could not connect to: "Failed to connect to 10.0.0.1 port 3128 after ..". */
static bool names_host(const char *reason, struct shl_slice host)
{
    static const char to[] = " connect to ";
    struct shl_slice name, port;
    const char *at = strstr(reason, to);
    split_host(host, &name, &port);
    if (at == NULL)
        return false;
    at += strlen(to);
    return skip(&at, name) && skip(&at, shl_slice_str(" port ")) &&
           (port.len == 0 || (skip(&at, port) && *at == ' '));
}

static void fail_at_proxy(struct shl_http_call *c, shale_code code, const char *proxy,
                          const char *who, const char *what, const char *why)
{
    struct shl_slice host = proxy_host(proxy);
    c->code = shl_fail(&c->err, code, "store does not answer: cannot %s proxy %.*s (%s): %s", what,
                       (int)shl_min_size(host.len, 120), (const char *)host.data, who, why);
}

static shale_code code_of_proxy(long status)
{
    bool passes = status == 408 || status == 425 || status == 429;
    return status == 407                              ? SHALE_UNAUTHENTICATED
           : status >= 400 && status < 500 && !passes ? SHALE_PERMISSION_DENIED
                                                      : SHALE_UNAVAILABLE;
}

/* A status that the proxy itself gave, instead of passing the request on. */
static void refused_by_proxy(struct shl_http_call *c, long status, const char *proxy,
                             const char *who)
{
    char why[80];
    if (status == 407)
        (void)snprintf(why, sizeof why, "it %s (status 407)",
                       proxy_userinfo(proxy).len > 0 ? "refuses the user and password given"
                                                     : "wants a user and password");
    else
        (void)snprintf(why, sizeof why, "it answered %ld", status);
    fail_at_proxy(c, code_of_proxy(status), proxy, who, "get through", why);
}

/* The proxy is at fault, and not the server behind it. */
static bool blame_proxy(const struct shl_slot *s, CURLcode e, const char *why)
{
    struct shl_http_call *c = s->t->call;
    const char *who;
    const char *proxy = s->direct ? NULL : proxy_of(s->options, c->url, &who);
    long status = 0;
    char reason[96];
    if (proxy == NULL)
        return false;
    bool connects = e == CURLE_COULDNT_CONNECT && names_host(s->reason, proxy_host(proxy));
    (void)s->curl->easy_getinfo(s->easy, CURLINFO_HTTP_CONNECTCODE, &status);
    if (status >= 300) {
        refused_by_proxy(c, status, proxy, who);
        return true;
    }
    if (!connects && e != CURLE_COULDNT_RESOLVE_PROXY && strstr(s->reason, "CONNECT") == NULL &&
        strstr(s->reason, "proxy") == NULL)
        return false;
    if (connects)
        why = connect_reason(s, why, reason, sizeof reason);
    fail_at_proxy(c, is_odd_proxy(s) ? SHALE_INVALID : code_of(e), proxy, who,
                  connects ? "connect to" : "get through", why);
    return true;
}

/* libcurl also says that it has no memory where a line is longer than the buffer that it has for one, and that is the server's doing. */
static bool is_long_line(const struct shl_slot *s, CURLcode e)
{
    curl_off_t connected = 0, ready = 0; /* of a kept connection only the second is told */
    if (e != CURLE_OUT_OF_MEMORY || s->head_over)
        return false;
    (void)s->curl->easy_getinfo(s->easy, CURLINFO_CONNECT_TIME_T, &connected);
    (void)s->curl->easy_getinfo(s->easy, CURLINFO_PRETRANSFER_TIME_T, &ready);
    return connected > 0 || ready > 0;
}

static void fail_long_line(const struct shl_slot *s)
{
    static const char why[] = "an answer with too long a header line";
    curl_off_t through = 0;
    const char *who;
    const char *proxy = s->direct ? NULL : proxy_of(s->options, s->t->call->url, &who);
    (void)s->curl->easy_getinfo(s->easy, CURLINFO_PRETRANSFER_TIME_T, &through);
    if (proxy != NULL && through == 0)
        fail_at_proxy(s->t->call, SHALE_UNAVAILABLE, proxy, who, "get through", why);
    else
        (void)fail_at(s->t->call, SHALE_UNAVAILABLE, "lost", why);
}

static void fail_curl(const struct shl_slot *s, CURLcode e)
{
    struct shl_http_call *c = s->t->call;
    const char *why = reason_of(s, e);
    shale_code code = code_of(e);
    char reason[96];
    if (c->code != SHALE_OK)
        return; /* one of our callbacks said why */
    if (is_long_line(s, e))
        fail_long_line(s);
    else if (code == SHALE_NOMEM)
        c->code = shl_nomem(&c->err);
    else if (blame_proxy(s, e, why))
        return;
    else if (e == CURLE_OPERATION_TIMEDOUT)
        (void)fail_at(c, code, "connecting timed out,", "");
    else if (e == CURLE_COULDNT_RESOLVE_HOST)
        (void)fail_at(c, code, "there is no host", "");
    else if (e == CURLE_COULDNT_CONNECT)
        (void)fail_at(c, code, "cannot connect to", connect_reason(s, why, reason, sizeof reason));
    else if (e == CURLE_PEER_FAILED_VERIFICATION)
        (void)fail_at(c, code, "there is no trust in the certificate of", why);
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
    struct shl_slot *s = arg;
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
    s->progress_ns = *s->now_ns;
    return done;
}

/* A kept connection that turned out dead is replaced, and the body sent from its start. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct shl_slot *s = arg;
    if (origin != SEEK_SET || offset != 0)
        return CURL_SEEKFUNC_CANTSEEK;
    s->t->call->replayed = s->t->call->replayed || s->ever_sent;
    s->part = s->part_offset = 0;
    s->sent = 0;
    return CURL_SEEKFUNC_OK;
}

/* ---- receiving */

static bool is_success(int status)
{
    return status >= 200 && status < 300;
}

static bool into_pieces(struct shl_slot *s, const uint8_t *data, size_t len)
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
static bool reserve_text(const struct shl_slot *s, struct shl_http_call *c, size_t len)
{
    curl_off_t total = -1;
    size_t want = len;
    if (c->received == 0 && is_success(c->status) &&
        s->curl->easy_getinfo(s->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &total) == CURLE_OK &&
        total > 0)
        want = shl_max_size(len, (size_t)(total < RESERVE_MAX ? total : RESERVE_MAX));
    if (shl_buf_reserve(c->text, want, &c->err) == SHALE_OK)
        return true;
    c->code = SHALE_NOMEM;
    return false;
}

static bool has_length(const struct shl_slot *s)
{
    curl_off_t total = -1;
    return s->curl->easy_getinfo(s->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &total) == CURLE_OK &&
           total >= 0;
}

/* What the answer says of its length is above what is taken. */
static bool is_too_long(const struct shl_slot *s)
{
    const struct shl_http_call *c = s->t->call;
    curl_off_t total = -1;
    return c->text_max > 0 && c->received == 0 &&
           s->curl->easy_getinfo(s->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &total) == CURLE_OK &&
           total > 0 && (uint64_t)total > c->text_max;
}

static bool into_text(const struct shl_slot *s, const uint8_t *data, size_t len)
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
    } else if (is_too_long(s) || (c->text_max > 0 && len > c->text_max - c->received)) {
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
    struct shl_slot *s = arg;
    const struct shl_http_call *c = s->t->call;
    const uint8_t *bytes = (const uint8_t *)data;
    size_t len = size * count;
    s->progress_ns = *s->now_ns;
    bool fine = is_success(c->status) && c->piece_count > 0 ? into_pieces(s, bytes, len)
                                                            : into_text(s, bytes, len);
    return fine ? len : 0;
}

/* False if two of them contradict each other about where the body ends. */
static bool keep_header(struct shl_http_call *c, struct shl_slice name, struct shl_slice value)
{
    for (size_t i = 0; i < c->wanted_count; i++) {
        struct shl_http_wanted *w = &c->wanted[i];
        if (name.len == 0 || (name.data[0] | 0x20) != w->name[0] || !shl_slice_ieq(name, w->name))
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

/* What tells this answer from others. */
static void note_header(struct shl_slot *s, struct shl_slice name, struct shl_slice value)
{
    static const char *const ids[] = {"x-amz-request-id", "x-request-id", "x-guploader-uploadid",
                                      "x-amzn-requestid", "cf-ray"};
    s->has_etag = s->has_etag || shl_slice_ieq(name, "etag");
    s->has_date = s->has_date || shl_slice_ieq(name, "date");
    for (size_t i = 0; i < SHL_COUNT_OF(ids); i++)
        if (value.len > 0 && (name.data[0] | 0x20) == ids[i][0] && shl_slice_ieq(name, ids[i]))
            s->head.id = XXH3_64bits_withSeed(value.data, value.len, s->head.id + i);
}

/* An answer that callers act upon, as they would not on a failure. */
static bool is_verdict(int status)
{
    return status < 400 || status == 404 || status == 409 || status == 412 || status == 416;
}

/* At the end of the headers: false if they are those of an answer that came before on this connection. What is said here is about another request. Failures are
 * taken, for gateways make them that have one id for all; but nothing more from that connection. */
static bool is_fresh(struct shl_slot *s)
{
    struct shl_http_call *c = s->t->call;
    long port = 0;
    if (!is_success(c->status) || !s->has_etag || !s->has_date)
        s->head.head = 0;
    if (c->status < 200 || (s->head.id == 0 && s->head.head == 0) ||
        s->curl->easy_getinfo(s->easy, CURLINFO_LOCAL_PORT, &port) != CURLE_OK || port <= 0)
        return true;
    s->head.is_read = c->method == SHL_HTTP_GET || c->method == SHL_HTTP_HEAD;
    uint64_t how = s->head.is_read ? 0 : c->content + 1 + (uint64_t)c->method;
    s->head.request = XXH3_64bits_withSeed(c->url, strlen(c->url), how);
    if (!shl_heard_before(s->heard, (unsigned)port, &s->head))
        return true;
    if (!is_verdict(c->status) &&
        s->curl->easy_setopt(s->easy, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK) {
        s->is_last = true;
        return true;
    }
    c->status = 0;
    for (size_t i = 0; i < c->wanted_count; i++)
        c->wanted[i].value[0] = '\0';
    (void)fail_at(c, SHALE_UNAVAILABLE, "an answer to an earlier request came once more from", "");
    return false;
}

/* "HTTP/1.1 206 Partial Content": headers of an interim answer before it are forgotten. */
static void on_status(struct shl_slot *s, struct shl_slice line)
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
    s->head = (struct shl_heard_answer){.head = XXH3_64bits(line.data, line.len)};
    s->has_etag = s->has_date = false;
    s->answering = true;
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct shl_slot *s = arg;
    struct shl_slice line = shl_slice_of(data, size * count);
    const uint8_t *colon;
    s->progress_ns = *s->now_ns;
    s->head_bytes += line.len;
    if (s->head_bytes > HEAD_MAX) { /* libcurl keeps them all */
        s->t->call->code =
            shl_fail(&s->t->call->err, SHALE_UNAVAILABLE,
                     "an answer with more than %d bytes of headers is refused", HEAD_MAX);
        return 0;
    }
    bool is_first = !s->answering || (s->head_over && s->t->call->status < 200);
    if (is_first && line.len > 5 && memcmp(line.data, "HTTP/", 5) == 0)
        on_status(s, line);
    else if (line.len == 0 || line.data[0] == '\r' || line.data[0] == '\n') {
        bool is_end = !s->head_over;
        s->head_over = true;
        if (is_end && !is_fresh(s))
            return 0;
    } else if (s->head_over)
        return size * count;
    else if ((colon = memchr(line.data, ':', line.len)) != NULL) {
        struct shl_slice name = shl_slice_of(line.data, (size_t)(colon - line.data));
        struct shl_slice value = shl_slice_trim(shl_slice_of(colon + 1, line.len - name.len - 1));
        s->head.head = XXH3_64bits_withSeed(line.data, line.len, s->head.head);
        note_header(s, name, value);
        if (!keep_header(s->t->call, name, value))
            return 0;
    }
    return size * count;
}

/* ---- being held */

#define CHANCE_NS ENV_NS_PER_SEC

/* Nobody waits for it any more, and it has had its chance: some requests clean up behind those that were given up. */
static bool is_given_up(const struct shl_slot *s, uint64_t now)
{
    const struct shl_http_options *o = s->options;
    return o->cancelled != NULL && now >= s->begun_ns + CHANCE_NS && o->cancelled(o->cancel_ctx);
}

/* libcurl reads what a proxy says to a CONNECT as long as something comes, and does not come back meanwhile: no other request goes on, and no sweep. */
static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct shl_slot *s = arg;
    curl_off_t through = 0;
    (void)a, (void)b, (void)c, (void)d;
    if (s->direct || s->answering)
        return 0;
    uint64_t now = env_now_mono_ns();
    bool is_late = now >= *s->now_ns + s->options->connect_timeout_ms * ENV_NS_PER_MS;
    if ((!is_late && !is_given_up(s, now)) ||
        s->curl->easy_getinfo(s->easy, CURLINFO_PRETRANSFER_TIME_T, &through) != CURLE_OK ||
        through > 0)
        return 0;
    const char *who;
    const char *proxy = proxy_of(s->options, s->t->call->url, &who);
    if (proxy == NULL)
        return 0;
    fail_at_proxy(s->t->call, SHALE_TIMEOUT, proxy, who, "get through",
                  is_late ? "its answer has no end" : "given up before its answer was whole");
    return 1;
}

/* ---- the handle */

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (ok)                                                                                    \
            ok = s->curl->easy_setopt(s->easy, (option), (value)) == CURLE_OK;                     \
    } while (0)

/* A name that is looked up in vain must not hold the thread until the system's own limit: libcurl would wait for it when the request is given up. */
static bool leave_lookups(struct shl_slot *s)
{
#if LIBCURL_VERSION_NUM >= 0x075700
    CURLcode e = s->curl->easy_setopt(s->easy, CURLOPT_QUICK_EXIT, 1L);
    return e == CURLE_OK || e == CURLE_UNKNOWN_OPTION; /* the library may be older */
#else
    (void)s;
    return true;
#endif
}

/* What is the same for every request. */
static bool prepare(struct shl_slot *s)
{
    const struct shl_http_options *o = s->options;
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
    if (!s->direct)
        SET(CURLOPT_USERAGENT, o->user_agent); /* a proxy is told, too */
    SET(CURLOPT_SSL_VERIFYPEER, o->verify_tls ? 1L : 0L);
    SET(CURLOPT_SSL_VERIFYHOST, o->verify_tls ? 2L : 0L);
    if (o->ca_file != NULL)
        SET(CURLOPT_CAINFO, o->ca_file);
    if (o->client_cert != NULL)
        SET(CURLOPT_SSLCERT, o->client_cert);
    if (o->client_key != NULL)
        SET(CURLOPT_SSLKEY, o->client_key);
    if (o->proxy != NULL || s->direct)
        SET(CURLOPT_PROXY, s->direct ? "" : o->proxy);
    if (o->no_proxy != NULL || s->direct)
        SET(CURLOPT_NOPROXY, s->direct ? "" : o->no_proxy);
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
    if (!s->direct) {
        SET(CURLOPT_XFERINFOFUNCTION, on_progress);
        SET(CURLOPT_XFERINFODATA, (void *)s);
        SET(CURLOPT_NOPROGRESS, 0L);
    }
    return ok;
}

void shl_slot_free(struct shl_slot *s)
{
    if (s == NULL)
        return;
    s->curl->easy_cleanup(s->easy); /* accepts NULL */
    s->curl->url_cleanup(s->place); /* the same */
    env_free(s->origin);
    env_free(s->agent);
    env_free(s);
}

/* As a line among the others: libcurl would print its own again for each request. */
static bool make_agent(struct shl_slot *s)
{
    const char *agent = s->options->user_agent;
    struct shl_buf line = {0};
    shale_error ignored;
    if (!s->direct || agent == NULL || agent[0] == '\0')
        return true;
    if (shl_str_printf(&line, &ignored, "User-Agent: %s", agent) != SHALE_OK ||
        shl_str_terminate(&line, &ignored) != SHALE_OK) {
        shl_buf_free(&line);
        return false;
    }
    s->agent = (char *)line.data;
    return true;
}

struct shl_slot *shl_slot_new(const struct shl_curl *curl, const struct shl_http_options *options,
                              const uint64_t *now_ns, struct shl_heard *heard)
{
    struct shl_slot *s = env_calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->curl = curl;
    s->options = options;
    s->now_ns = now_ns;
    s->heard = heard;
    s->direct = is_direct(options);
    s->easy = s->curl->easy_init();
    if (s->easy != NULL && make_agent(s) && prepare(s) && leave_lookups(s))
        return s;
    shl_slot_free(s);
    return NULL;
}

/* ---- a request */

static bool sends_body(const struct shl_http_call *c)
{
    return c->method == SHL_HTTP_PUT || c->method == SHL_HTTP_POST;
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

static void link_line(struct shl_slot *s, size_t n, const char *line)
{
    SHL_ASSERT(n < SHL_SLOT_HEADERS_MAX);
    memcpy(&s->headers[n].data, &line, sizeof line); /* libcurl only reads it */
    s->headers[n].next = NULL;
    if (n > 0)
        s->headers[n - 1].next = &s->headers[n];
}

static void link_headers(struct shl_slot *s, const struct shl_http_call *c)
{
    size_t n = 0;
    if (s->agent != NULL)
        link_line(s, n++, s->agent);
    /* Empty values keep libcurl from sending headers of its own that a signature does not cover or a server may trip over. */
    link_line(s, n++, "Accept:");
    if (sends_body(c))
        link_line(s, n++, "Expect:");
    for (size_t i = 0; i < c->header_count; i++)
        link_line(s, n++, c->headers[i]);
}

/* ---- where it goes */

/* The path and the query may be sent as they stand; what libcurl would mend in them first is left to it. */
static bool is_plain_target(const char *target)
{
    if (target[0] != '/')
        return false;
    for (const char *p = target; *p != '\0'; p++)
        if (*p <= ' ' || *p > '~' || *p == '#')
            return false;
    return true;
}

static bool take_origin(struct shl_slot *s, struct shl_slice origin)
{
    bool ok = true;
    if (s->origin != NULL && shl_slice_eq(origin, shl_slice_str(s->origin)))
        return true;
    char *text = shl_slice_dup_cstr(origin);
    if (s->place == NULL)
        s->place = s->curl->url();
    if (text == NULL || s->place == NULL ||
        s->curl->url_set(s->place, CURLUPART_URL, text, 0) != CURLUE_OK) {
        env_free(text);
        return false;
    }
    env_free(s->origin);
    s->origin = text;
    SET(CURLOPT_URL, NULL); /* else it goes on naming the old one */
    return ok;
}

/* libcurl takes a URL apart and puts it together again with each request: so it has the server as a thing made once, and only the target is new. A
 * proxy wants the whole. */
static bool set_url(struct shl_slot *s, const char *url)
{
    struct shl_slice host = host_of(url);
    const char *target = (const char *)host.data + host.len;
    bool ok = true;
    if (s->direct && is_plain_target(target) &&
        take_origin(s, shl_slice_of(url, (size_t)(target - url)))) {
        SET(CURLOPT_CURLU, s->place);
        SET(CURLOPT_REQUEST_TARGET, target);
        return ok;
    }
    SET(CURLOPT_CURLU, NULL);
    SET(CURLOPT_REQUEST_TARGET, NULL);
    SET(CURLOPT_URL, url);
    return ok;
}

static bool set_method(struct shl_slot *s, const struct shl_http_call *c, uint64_t body_bytes)
{
    bool ok = true;
    if (sends_body(c)) {
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

bool shl_slot_begin(struct shl_slot *s, struct shl_transfer *t)
{
    const struct shl_http_options *o = s->options;
    const struct shl_http_call *c = t->call;
    uint64_t body = body_bytes_of(c);
    uint64_t now = *s->now_ns;
    bool ok = true;
    s->t = t;
    s->part = s->part_offset = s->piece = s->piece_offset = 0;
    s->text_before = c->text != NULL ? c->text->len : 0;
    s->sent = s->head_bytes = 0;
    s->ever_sent = false;
    s->expected = body;
    s->progress_ns = s->begun_ns = s->running_ns = now;
    s->limit_ns = o->timeout_ms * ENV_NS_PER_MS +
                  (body + piece_bytes_of(c)) / BYTES_PER_SECOND * ENV_NS_PER_SEC;
    s->answering = s->head_over = false;
    s->reason[0] = '\0';
    link_headers(s, c);
    ok = set_url(s, c->url);
    if (s->is_last)
        SET(CURLOPT_FORBID_REUSE, 0L);
    s->is_last = false;
    SET(CURLOPT_HTTPHEADER, s->headers);
    return ok && set_method(s, c, body);
}

/* ---- its end */

/* Without a tunnel the proxy's own answers look like the store's; this one only a proxy gives. */
static void blame_login(const struct shl_slot *s)
{
    const char *who;
    const char *proxy = s->direct ? NULL : proxy_of(s->options, s->t->call->url, &who);
    if (proxy != NULL)
        refused_by_proxy(s->t->call, s->t->call->status, proxy, who);
}

/* A success that came before all of the body had gone: what the server keeps of it is not known. libcurl stops sending where the answer ends the
 * connection. */
static bool is_early(const struct shl_slot *s)
{
    curl_off_t gone = 0;
    return s->expected > 0 && is_success(s->t->call->status) &&
           s->curl->easy_getinfo(s->easy, CURLINFO_SIZE_UPLOAD_T, &gone) == CURLE_OK &&
           (uint64_t)gone < s->expected;
}

void shl_slot_end(struct shl_slot *s, CURLcode e)
{
    if (e != CURLE_OK)
        fail_curl(s, e);
    else if (!s->head_over && s->t->call->code == SHALE_OK)
        /* libcurl takes a connection that ends within the headers for the end of an answer. */
        (void)fail_at(s->t->call, SHALE_UNAVAILABLE, "the answer was cut by", "in its headers");
    else if (s->t->call->status == 407 && s->t->call->code == SHALE_OK)
        blame_login(s);
    else if (s->t->call->code == SHALE_OK && is_early(s))
        s->t->call->code = shl_fail(&s->t->call->err, SHALE_UNAVAILABLE,
                                    "a success was told before all of the body was sent");
}

void shl_slot_note_sent(const struct shl_slot *s)
{
    long request_bytes = 0; /* of a CONNECT to a proxy too */
    curl_off_t through = 0; /* the way to the server stood, on this connection or an earlier one */
    (void)s->curl->easy_getinfo(s->easy, CURLINFO_REQUEST_SIZE, &request_bytes);
    (void)s->curl->easy_getinfo(s->easy, CURLINFO_PRETRANSFER_TIME_T, &through);
    s->t->call->sent = (request_bytes > 0 && through > 0) || s->ever_sent;
}

/* NULL, or what took too long. */
static const char *what_is_overdue(struct shl_slot *s, uint64_t now)
{
    const struct shl_http_options *o = s->options;
    uint64_t quiet = now > s->progress_ns ? now - s->progress_ns : 0;
    bool waiting = !s->answering && s->sent == s->expected;
    curl_off_t connected = 0;
    (void)s->curl->easy_getinfo(s->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
    if (!s->answering && connected == 0) {
        /* libcurl watches over connecting; waiting for a free connection has the limit of the whole. The other limits begin behind both. */
        s->progress_ns = s->running_ns = now;
        if (is_given_up(s, now))
            return "given up before there was a connection to";
        return now < s->begun_ns + s->limit_ns + o->connect_timeout_ms * ENV_NS_PER_MS
                   ? NULL
                   : "no connection to";
    }
    /* What arrives earns time as what is sent does. */
    if (now >=
        s->running_ns + s->limit_ns + s->t->call->received / BYTES_PER_SECOND * ENV_NS_PER_SEC)
        return "the request took too long,";
    if (waiting)
        return quiet >= o->first_byte_timeout_ms * ENV_NS_PER_MS ? "no answer from" : NULL;
    return quiet >= o->stall_timeout_ms * ENV_NS_PER_MS ? "no more bytes from or to" : NULL;
}

bool shl_slot_is_overdue(struct shl_slot *s)
{
    const char *what = what_is_overdue(s, *s->now_ns);
    if (what != NULL && s->t->call->code == SHALE_OK)
        (void)fail_at(s->t->call, SHALE_TIMEOUT, what, "");
    return what != NULL;
}
