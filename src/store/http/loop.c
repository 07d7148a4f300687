/* libcurl's multi interface with socket callbacks: work per wake-up is that of the sockets that are ready, however many requests are under way. */
#include "store/http/loop.h"

#include "base/array.h"
#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "store/http/slot.h"
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 64
#define SWEEP_NS   (200 * ENV_NS_PER_MS)
#define NO_TIMER   UINT64_MAX

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
    struct shl_curl curl;              /* [const] */
    CURLM *multi;                      /* [thread] */
    uint64_t now_ns;                   /* [thread] of this round: progress is noted with it */
    uint64_t timer_ns;                 /* [thread] when libcurl wants to be called */
    uint64_t sweep_ns;                 /* [thread] */
    struct shl_slot *active, *free_slots; /* [thread] */
    struct shl_heard heard;               /* [thread] */
};

void shl_http_library(char *out, size_t cap)
{
    struct shl_curl curl;
    shale_error err = {0};
    (void)snprintf(out, cap, "%s",
                   shl_curl_load(&curl, &err) == SHALE_OK ? curl.version() : err.text);
}

const struct shl_http_options *shl_loop_options(const struct shl_http *h)
{
    return &h->options;
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

/* Its sockets are the loop's to know of. */
static bool own_sockets(struct shl_http *h, CURL *easy)
{
    return h->curl.easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
           h->curl.easy_setopt(easy, CURLOPT_OPENSOCKETDATA, (void *)h) == CURLE_OK &&
           h->curl.easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close) == CURLE_OK &&
           h->curl.easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, (void *)h) == CURLE_OK;
}

static struct shl_slot *take_slot(struct shl_http *h)
{
    struct shl_slot *s = h->free_slots;
    if (s != NULL) {
        h->free_slots = s->next;
        return s;
    }
    s = shl_slot_new(&h->curl, &h->options, &h->now_ns, &h->heard);
    if (s != NULL && own_sockets(h, s->easy))
        return s;
    shl_slot_free(s);
    return NULL;
}

/* ---- the list of what is under way */

static void activate(struct shl_http *h, struct shl_slot *s)
{
    s->prev = NULL;
    s->next = h->active;
    if (h->active != NULL)
        h->active->prev = s;
    h->active = s;
}

static void deactivate(struct shl_http *h, struct shl_slot *s)
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
    struct shl_slot *s = take_slot(h);
    if (s == NULL) {
        t->call->code = shl_nomem(&t->call->err);
        finish_transfer(h, t);
        return;
    }
    activate(h, s);
    if (shl_slot_begin(s, t) && h->curl.multi_add_handle(h->multi, s->easy) == CURLM_OK)
        return;
    deactivate(h, s);
    t->call->code = shl_nomem(&t->call->err); /* a URL that libcurl refuses was checked before */
    finish_transfer(h, t);
}

static void end_transfer(struct shl_http *h, struct shl_slot *s)
{
    struct shl_transfer *t = s->t;
    shl_slot_note_sent(s);
    (void)h->curl.multi_remove_handle(h->multi, s->easy);
    deactivate(h, s);
    s->t = NULL;
    finish_transfer(h, t);
}

static void collect(struct shl_http *h)
{
    CURLMsg *m;
    int left;
    while ((m = h->curl.multi_info_read(h->multi, &left)) != NULL) {
        struct shl_slot *s = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode e = m->data.result;
        (void)h->curl.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &s);
        shl_slot_end(s, e);
        end_transfer(h, s);
    }
}

/* ---- time limits */

static void sweep(struct shl_http *h)
{
    struct shl_slot *next;
    if (h->now_ns < h->sweep_ns)
        return;
    h->sweep_ns = h->now_ns + SWEEP_NS;
    for (struct shl_slot *s = h->active; s != NULL; s = next) {
        next = s->next;
        if (shl_slot_is_overdue(s))
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

/* A kept connection has only its end to tell. What else comes on it answers nothing, and would be taken for the answer to the next request: so it
 * is ended, and libcurl finds it dead when it takes it. */
static void on_idle_event(struct shl_http *h, struct watched *w, const struct epoll_event *e)
{
    struct epoll_event input = {.events = EPOLLIN, .data.fd = e->data.fd};
    uint32_t news = (uint32_t)EPOLLIN | (uint32_t)EPOLLERR | (uint32_t)EPOLLHUP;
    if ((e->events & news) == 0 && epoll_ctl(h->epoll_fd, EPOLL_CTL_MOD, e->data.fd, &input) == 0) {
        w->registered = input.events;
        return;
    }
    if (w->is_socket)
        (void)shutdown(e->data.fd, SHUT_RDWR);
    unwatch(h, e->data.fd);
}

static void on_event(struct shl_http *h, const struct epoll_event *e)
{
    int running;
    if (e->data.fd == h->wake_fd)
        return; /* edge-triggered: it need not be read */
    struct watched *w = watched_of(h, e->data.fd);
    if (w == NULL)
        return;
    if (!w->wanted) {
        on_idle_event(h, w, e);
        return;
    }
    int mask = ((e->events & (uint32_t)EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
               ((e->events & (uint32_t)EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
               ((e->events & (uint32_t)(EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
    (void)h->curl.multi_socket_action(h->multi, e->data.fd, mask, &running);
}

/* libcurl tells a time only when it differs from the last one that it told. If it was called a moment too early for it, it would say nothing, and
 * wait for a call that never comes: so it is asked. */
static void on_timer_due(struct shl_http *h)
{
    int running;
    long left_ms = -1;
    h->timer_ns = NO_TIMER;
    (void)h->curl.multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    if (h->timer_ns == NO_TIMER && h->curl.multi_timeout(h->multi, &left_ms) == CURLM_OK &&
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
        sweep(h);
    }
    SHL_ASSERT(fresh == NULL); /* nobody submits while the last reference goes */
}

/* Called under the lock. */
static shale_code ensure_started(struct shl_http *h, shale_error *err)
{
    shale_code rc =
        h->task != NULL ? SHALE_OK : env_task_spawn(&h->task, "shale-http", loop_task, h);
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
    bool asleep = false;
    SHL_ASSERT(count > 0);
    for (size_t i = 0; i < count; i++) {
        transfers[i].submitted_ns = now;
        transfers[i].next = i + 1 < count ? &transfers[i + 1] : NULL;
    }
    env_mutex_lock(&h->mu);
    shale_code rc = ensure_started(h, &err);
    if (rc == SHALE_OK) {
        asleep = h->asleep;
        h->asleep = false; /* one wake-up is enough */
        if (h->queue_head == NULL)
            h->queue_head = transfers;
        else
            h->queue_tail->next = transfers;
        h->queue_tail = &transfers[count - 1];
    }
    env_mutex_unlock(&h->mu);
    if (asleep)
        wake(h);
    for (size_t i = 0; rc != SHALE_OK && i < count; i++) {
        transfers[i].call->code = rc;
        transfers[i].call->err = err;
        transfers[i].done(&transfers[i]);
    }
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
        struct shl_slot *next = h->free_slots->next;
        shl_slot_free(h->free_slots);
        h->free_slots = next;
    }
    if (h->multi != NULL)
        (void)h->curl.multi_cleanup(h->multi); /* closes what is kept */
    shl_array_free(&h->watched);
    if (h->epoll_fd >= 0)
        (void)close(h->epoll_fd);
    if (h->wake_fd >= 0)
        (void)close(h->wake_fd);
    free_texts(&h->options);
    env_mutex_deinit(&h->mu);
    void (*cleanup)(void) = h->curl.global_cleanup;
    env_free(h);
    cleanup();
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
    h->multi = h->curl.multi_init();
    return h->multi != NULL &&
           h->curl.multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           h->curl.multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) == CURLM_OK &&
           h->curl.multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
           h->curl.multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) == CURLM_OK &&
           h->curl.multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) ==
               CURLM_OK &&
           h->curl.multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)h->options.idle_max) ==
               CURLM_OK &&
           h->curl.multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
                                (long)h->options.connections_max) == CURLM_OK;
}

shale_code shl_http_new(struct shl_http **out, const struct shl_http_options *o, shale_error *err)
{
    if (o->user_agent != NULL && strpbrk(o->user_agent, "\r\n") != NULL)
        return shl_fail(err, SHALE_INVALID, "user_agent has a line end in it");
    struct shl_curl curl;
    shale_code rc = shl_curl_load(&curl, err);
    if (rc != SHALE_OK)
        return rc;
    if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return shl_nomem(err);
    struct shl_http *h = env_calloc(1, sizeof *h);
    if (h == NULL) {
        curl.global_cleanup();
        return shl_nomem(err);
    }
    h->curl = curl;
    atomic_init(&h->refs, 1);
    env_mutex_init(&h->mu);
    h->epoll_fd = h->wake_fd = -1;
    h->timer_ns = NO_TIMER;
    h->options = *o;
    if (o->ca_file == NULL)
        h->options.ca_file = shl_curl_ca_file();
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
