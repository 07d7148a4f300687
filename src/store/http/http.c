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

/* On the stack of a caller. */
struct batch {
    struct env_mutex mu;
    struct env_cond done;
    size_t open; /* [mu] calls without an answer */
};

static void on_done(struct shl_transfer *t)
{
    struct batch *b = t->owner;
    env_mutex_lock(&b->mu);
    if (--b->open == 0)
        env_cond_signal(&b->done);
    env_mutex_unlock(&b->mu); /* the batch may be gone from here on */
}

static void wait_all(struct batch *b)
{
    env_mutex_lock(&b->mu);
    while (b->open > 0)
        env_cond_wait(&b->done, &b->mu);
    env_mutex_unlock(&b->mu);
}

static void run_some(struct shl_http *h, struct shl_http_call *const *calls, size_t count)
{
    struct shl_transfer transfers[SHL_HTTP_BATCH];
    struct batch b = {.open = 0};
    size_t started = 0;
    SHL_ASSERT(count <= SHL_HTTP_BATCH);
    env_mutex_init(&b.mu);
    env_cond_init(&b.done);
    for (size_t i = 0; i < count; i++) {
        struct shl_http_call *c = calls[i];
        c->status = 0;
        c->sent = c->replayed = false;
        c->received = 0;
        c->duration_ns = 0;
        c->code = check_call(shl_loop_options(h), c, &c->err);
        if (c->code == SHALE_OK)
            transfers[started++] = (struct shl_transfer){.call = c, .owner = &b, .done = on_done};
    }
    b.open = started;
    if (started > 0) {
        shl_loop_submit(h, transfers, started);
        wait_all(&b);
    }
    env_cond_deinit(&b.done);
    env_mutex_deinit(&b.mu);
}

void shl_http_run(struct shl_http *h, struct shl_http_call *const *calls, size_t count)
{
    for (size_t at = 0; at < count; at += SHL_HTTP_BATCH)
        run_some(h, calls + at, shl_min_size(count - at, SHL_HTTP_BATCH));
}
