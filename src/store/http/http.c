#include "store/http/http.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "store/http/loop.h"

void shl_http_options_init(struct shl_http_options *o)
{
    *o = (struct shl_http_options){.connect_timeout_ms = 5000,
                                   .first_byte_timeout_ms = 30000,
                                   .stall_timeout_ms = 20000,
                                   .timeout_ms = 30000,
                                   .connections_max = 512,
                                   .idle_max = 256,
                                   .idle_timeout_ms = 90000,
                                   .verify_tls = true,
                                   .user_agent = "shale"};
}

const char *shl_http_method_name(enum shl_http_method m)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "POST", "DELETE"};
    SHL_ASSERT(m < SHL_COUNT_OF(names));
    return names[m];
}

/* ---- checks that need no thread */

static bool has_line_end(const char *text)
{
    return strpbrk(text, "\r\n") != NULL;
}

static shale_code check_call(const struct shl_http_options *o, const struct shl_http_call *c,
                             shale_error *err)
{
    bool plain = strncmp(c->url, "http://", 7) == 0;
    if (!plain && strncmp(c->url, "https://", 8) != 0)
        return shl_fail(err, SHALE_INVALID, "\"%.100s\" is neither http:// nor https://", c->url);
    if (plain && !o->allow_http)
        return shl_fail(err, SHALE_INVALID,
                        "plain http is not allowed (\"%.100s\"): set aws_allow_http=true, or use "
                        "https",
                        c->url);
    if (has_line_end(c->url))
        return shl_fail(err, SHALE_INVALID, "a URL with a line end in it");
    for (size_t i = 0; i < c->header_count; i++)
        if (has_line_end(c->headers[i]))
            return shl_fail(err, SHALE_INVALID, "header %.*s has a line end in its value",
                            (int)shl_min_size(strcspn(c->headers[i], ":\r\n"), 80),
                            c->headers[i]); /* the value may be a secret */
    return SHALE_OK;
}

/* ---- waiting for several */

/* What a task waits with: kept from one run to the next. The I/O thread signals without the lock, as a task that wakes up would stumble over it; by
 * then the task may be gone, so it is counted. */
struct waiter {
    _Atomic uint32_t refs; /* the task's, and that of a run until its signal */
    struct env_mutex mu;
    struct env_cond done;
    size_t open; /* [mu] calls without an answer */
};

static void waiter_unref(void *arg)
{
    struct waiter *w = arg;
    if (env_fetch_sub_acq_rel(&w->refs, 1) != 1)
        return;
    env_cond_deinit(&w->done);
    env_mutex_deinit(&w->mu);
    env_free(w);
}

/* NULL: no memory. */
static struct waiter *waiter_of_task(void)
{
    struct waiter *w = env_tls_get(ENV_TLS_WAITER);
    if (w != NULL)
        return w;
    w = env_calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    atomic_init(&w->refs, 1);
    env_mutex_init(&w->mu);
    env_cond_init(&w->done);
    env_tls_set(ENV_TLS_WAITER, w, waiter_unref);
    return w;
}

static void on_done(struct shl_transfer *t)
{
    struct waiter *w = t->owner;
    env_mutex_lock(&w->mu);
    bool is_last = --w->open == 0;
    env_mutex_unlock(&w->mu); /* the transfer may be gone from here on */
    if (is_last) {
        env_cond_signal(&w->done); /* at worst it wakes the task's next run, which looks again */
        waiter_unref(w);
    }
}

static void wait_all(struct waiter *w)
{
    env_mutex_lock(&w->mu);
    while (w->open > 0)
        env_cond_wait(&w->done, &w->mu);
    env_mutex_unlock(&w->mu);
}

static void begin_call(struct shl_http *h, struct shl_http_call *c, bool has_waiter)
{
    c->status = 0;
    c->sent = c->replayed = false;
    c->received = 0;
    c->duration_ns = 0;
    c->code = has_waiter ? check_call(shl_loop_options(h), c, &c->err) : shl_nomem(&c->err);
}

static void run_some(struct shl_http *h, struct shl_http_call *const *calls, size_t count)
{
    struct shl_transfer transfers[SHL_HTTP_BATCH];
    struct waiter *w = waiter_of_task();
    size_t started = 0;
    SHL_ASSERT(count <= SHL_HTTP_BATCH);
    for (size_t i = 0; i < count; i++) {
        begin_call(h, calls[i], w != NULL);
        if (calls[i]->code == SHALE_OK)
            transfers[started++] =
                (struct shl_transfer){.call = calls[i], .owner = w, .done = on_done};
    }
    if (started == 0)
        return;
    env_fetch_add(&w->refs, 1);
    env_mutex_lock(&w->mu);
    SHL_ASSERT(w->open == 0);
    w->open = started;
    env_mutex_unlock(&w->mu);
    shl_loop_submit(h, transfers, started);
    wait_all(w);
}

void shl_http_run(struct shl_http *h, struct shl_http_call *const *calls, size_t count)
{
    for (size_t at = 0; at < count; at += SHL_HTTP_BATCH)
        run_some(h, calls + at, shl_min_size(count - at, SHL_HTTP_BATCH));
}
