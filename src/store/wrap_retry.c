#include "store/wrap_retry.h"

#include "base/array.h"
#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include "store/wrap.h"
#include <inttypes.h>
#include <stdio.h>

struct retry_store {
    struct shl_wrap wrap;
    struct shl_retry_options options; /* [const] */
    _Atomic uint64_t retries;
};

static struct retry_store *retry_of(struct shl_store *s)
{
    return (struct retry_store *)s;
}

/* ---- when and how often */

uint32_t shl_retry_allowance(shale_code code)
{
    if (code == SHALE_UNAVAILABLE || code == SHALE_TIMEOUT)
        return SHL_RETRY_FOREVER;
    /* Rights may take a moment to arrive and room may be made, but a mistyped key or a full disk must not hang. */
    if (code == SHALE_PERMISSION_DENIED || code == SHALE_UNAUTHENTICATED || code == SHALE_NO_SPACE)
        return 2;
    return 0;
}

/* One call and its tries. */
struct attempt {
    struct retry_store *r;
    uint32_t failures;        /* tries that failed and were followed by another one */
    uint32_t short_of_memory; /* more of those, by NOMEM */
    uint64_t delay_ns;
    uint64_t first_failed_ns; /* 0: not yet */
    uint64_t told_ns;         /* when the log was told last */
    uint64_t asked_ns;        /* waited because the store asked for it */
    uint64_t too_long_ns;     /* a pause that it asked for and did not get; 0: none */
};

static struct attempt attempt_of(struct shl_store *s)
{
    struct retry_store *r = retry_of(s);
    return (struct attempt){.r = r, .delay_ns = r->options.delay_first_ns};
}

static bool is_cancelled(const struct retry_store *r)
{
    return r->options.cancelled != NULL && r->options.cancelled(r->options.cancel_ctx);
}

#define CANCEL_LOOK_NS (50 * ENV_NS_PER_MS)

/* Sleeps in slices, so that closing does not wait for a long delay. */
static void sleep_unless_cancelled(const struct retry_store *r, uint64_t ns)
{
    uint64_t slice = r->options.cancelled == NULL ? ns : CANCEL_LOOK_NS;
    while (ns > 0 && !is_cancelled(r)) {
        uint64_t now = shl_min_u64(ns, slice);
        env_sleep_ns(now);
        ns -= now;
    }
}

#define TELL_EVERY_NS (5 * ENV_NS_PER_SEC)

/* Whoever waits for this call should hear why it takes so long. */
static void tell(struct attempt *a, const shale_error *err)
{
    uint64_t now = env_now_mono_ns();
    if (a->first_failed_ns == 0)
        a->first_failed_ns = a->told_ns = now;
    if (now - a->told_ns < TELL_EVERY_NS)
        return;
    a->told_ns = now;
    shl_log_write(a->r->options.log, SHL_LOG_WARN,
                  "still trying: %s (%" PRIu32 " tries in %" PRIu64 " s)", err->text,
                  a->failures + 1, (now - a->first_failed_ns) / ENV_NS_PER_SEC);
}

/* True after a pause if the call is to be made again. `err` is what the last try said, if it failed. */
static bool again(struct attempt *a, shale_code rc, const shale_error *err)
{
    struct retry_store *r = a->r;
    uint32_t allowed = shl_retry_allowance(rc);
    if (r->options.max_retries < allowed)
        allowed = r->options.max_retries;
    if ((allowed != SHL_RETRY_FOREVER && a->failures >= allowed) || is_cancelled(r))
        return false;
    tell(a, err);
    /* With fixed delays, writers that lost one race together would meet again at the next. */
    uint64_t wait_ns = a->delay_ns / 2 + env_rand_below(a->delay_ns + 1);
    uint64_t asked_ns = shl_store_quiet_left(&r->wrap.base);
    if (asked_ns > wait_ns) {
        if (allowed != SHL_RETRY_FOREVER && asked_ns + a->asked_ns > r->options.asked_max_ns) {
            a->too_long_ns = asked_ns;
            return false;
        }
        wait_ns = asked_ns;
        a->asked_ns += asked_ns;
    }
    sleep_unless_cancelled(r, wait_ns);
    if (is_cancelled(r))
        return false;
    a->delay_ns = shl_min_u64(a->delay_ns * 2, r->options.delay_max_ns);
    if (a->failures < UINT32_MAX)
        a->failures++;
    env_fetch_add(&r->retries, 1);
    return true;
}

#define NOMEM_TRIES_MAX 100
#define NOMEM_PAUSE_NS  (10 * ENV_NS_PER_MS)

/* Of puts: true after a pause if NOMEM is waited out. What is put was often acknowledged before, and nobody else has it. Bounded, so it looks at neither
 * max_retries nor cancelled. */
static bool waits_for_memory(struct attempt *a, shale_code rc)
{
    if (rc != SHALE_NOMEM || a->short_of_memory >= NOMEM_TRIES_MAX)
        return false;
    a->short_of_memory++;
    env_sleep_ns(NOMEM_PAUSE_NS);
    env_fetch_add(&a->r->retries, 1);
    return true;
}

/* Says how often it was tried, if that is news, and why not again. Behind what went wrong, which is what people look for. */
static shale_code conclude(const struct attempt *a, shale_code rc, shale_error *err)
{
    if (rc != SHALE_OK && a->too_long_ns > 0) {
        size_t n = strlen(err->text);
        (void)snprintf(err->text + n, sizeof err->text - n,
                       "; not tried again: the store asked to be left alone for %" PRIu64 " s more",
                       (a->too_long_ns + ENV_NS_PER_SEC - 1) / ENV_NS_PER_SEC);
    }
    if (shl_retry_allowance(rc) > 0 && a->failures > 0 && a->first_failed_ns > 0) {
        uint64_t seconds = (env_now_mono_ns() - a->first_failed_ns) / ENV_NS_PER_SEC;
        size_t n = strlen(err->text);
        if (seconds == 0)
            (void)snprintf(err->text + n, sizeof err->text - n, " (%" PRIu32 " tries)",
                           a->failures + 1);
        else
            (void)snprintf(err->text + n, sizeof err->text - n,
                           " (%" PRIu32 " tries in %" PRIu64 " s)", a->failures + 1, seconds);
    }
    return rc;
}

/* Makes the call until it is answered, and returns the answer. */
#define RETRY(s, call)                                                                             \
    do {                                                                                           \
        struct attempt attempt_ = attempt_of(s);                                                   \
        shale_code rc_;                                                                            \
        do                                                                                         \
            rc_ = (call);                                                                          \
        while (again(&attempt_, rc_, err));                                                        \
        return conclude(&attempt_, rc_, err);                                                      \
    } while (0)

/* ---- calls that may simply be repeated */

static shale_code retry_get(struct shl_store *s, const char *key, const struct shl_get *how,
                            struct shl_buf *body, struct shl_object *out, shale_error *err)
{
    RETRY(s, shl_store_get(shl_wrap_inner(s), key, how, body, out, err));
}

static shale_code retry_get_ranges(struct shl_store *s, const char *key,
                                   const struct shl_get_range *ranges, size_t count,
                                   shale_error *err)
{
    RETRY(s, shl_wrap_get_ranges(s, key, ranges, count, err));
}

static shale_code retry_head(struct shl_store *s, const char *key, struct shl_object *out,
                             shale_error *err)
{
    RETRY(s, shl_store_head(shl_wrap_inner(s), key, out, err));
}

static shale_code retry_list(struct shl_store *s, const struct shl_list_options *how,
                             struct shl_list *out, shale_error *err)
{
    RETRY(s, shl_store_list(shl_wrap_inner(s), how, out, err));
}

static shale_code retry_delete_many(struct shl_store *s, const char *const *keys, size_t count,
                                    shale_error *err)
{
    RETRY(s, shl_store_delete_many(shl_wrap_inner(s), keys, count, err));
}

static shale_code retry_copy(struct shl_store *s, const char *from, const char *to,
                             bool create_only, shale_error *err)
{
    RETRY(s, shl_store_copy(shl_wrap_inner(s), from, to, create_only, err));
}

/* ---- put */

/* True if the object holds exactly these bytes. */
static shale_code has_bytes(struct shl_store *s, const char *key, const struct shl_slice *parts,
                            size_t count, bool *out, shale_error *err)
{
    struct shl_get whole = {.kind = SHL_GET_ALL};
    struct shl_buf body = {0};
    struct shl_object object;
    shale_code rc;
    *out = false;
    SHL_TRY(retry_head(s, key, &object, err));
    if (object.size != shl_parts_bytes(parts, count))
        goto out;
    SHL_TRY(retry_get(s, key, &whole, &body, &object, err));
    *out = shl_parts_equal(shl_buf_view(&body), parts, count);
out:
    shl_buf_free(&body);
    return rc;
}

/* A conditional put was refused: was it by our own earlier try? *out_ours, and *out if so. */
static shale_code is_ours(struct shl_store *s, const char *key, const struct shl_slice *parts,
                          size_t count, const struct shl_put *how, bool *out_ours,
                          struct shl_object *out, shale_error *err)
{
    struct shl_object there;
    shale_code rc;
    *out_ours = false;
    if (how->put_id == NULL) {
        SHL_TRY(has_bytes(s, key, parts, count, out_ours, err));
        if (!*out_ours)
            goto out;
    }
    SHL_TRY(retry_head(s, key, &there, err));
    if (how->put_id != NULL)
        *out_ours = strcmp(there.put_id, how->put_id) == 0;
    if (*out_ours)
        *out = there;
out:
    /* Gone by now: somebody removed it, so the refusal was no lie. */
    return rc == SHALE_NOT_FOUND ? SHALE_OK : rc;
}

static bool may_be_ours(const struct shl_store *s, const struct shl_put *how,
                        const struct attempt *a, size_t bytes)
{
    if (how->put_id != NULL)
        return true; /* also at the first try: the store may have tries of its own inside */
    return how->mode == SHL_PUT_CREATE && (a->failures > 0 || a->short_of_memory > 0) &&
           bytes > 0 && (s->caps & SHL_STORE_SURE) == 0;
}

static shale_code settle(struct shl_store *s, const char *key, const struct shl_slice *parts,
                         size_t count, const struct shl_put *how, struct attempt *a,
                         struct shl_object *out, shale_error *err)
{
    shale_error refusal = *err;
    bool ours;
    shale_code rc;
    do
        rc = is_ours(s, key, parts, count, how, &ours, out, err);
    while (waits_for_memory(a, rc));
    if (rc != SHALE_OK) {
        shl_err_prefix(
            err, "outcome unknown: an answer to put \"%s\" was lost and reading it back failed",
            key);
        return rc;
    }
    if (ours)
        return SHALE_OK;
    *err = refusal;
    return refusal.code;
}

static bool is_outcome_unknown(const shale_error *err)
{
    return strncmp(err->text, SHL_OUTCOME_UNKNOWN, sizeof SHL_OUTCOME_UNKNOWN - 1) == 0;
}

#define LOOK_AFTER 1 /* failed tries before */

/* A server may refuse a large body after its headers and close the connection; then the refusal is often lost with what was still being
 * sent, again and again. So a conditional put whose second answer is lost looks for itself. True if that settled it: *io and *out, or *err. */
static bool look(struct shl_store *s, const char *key, const struct shl_put *how,
                 const struct attempt *a, shale_code *io, struct shl_object *out, shale_error *err)
{
    struct shl_object there;
    shale_error ignored;
    if (*io == SHALE_OK || !is_outcome_unknown(err) || how->put_id == NULL ||
        how->mode == SHL_PUT_OVERWRITE || a->failures < LOOK_AFTER)
        return false;
    if (shl_store_head(shl_wrap_inner(s), key, &there, &ignored) != SHALE_OK)
        return false;
    if (strcmp(there.put_id, how->put_id) == 0) {
        *out = there;
        *io = SHALE_OK;
        return true;
    }
    if (how->mode == SHL_PUT_IF_MATCH && strcmp(there.etag, how->if_match) == 0)
        return false;
    *io = how->mode == SHL_PUT_CREATE
              ? shl_fail(err, SHALE_ALREADY_EXISTS, "\"%s\" exists in %s", key, s->name)
              : shl_fail(err, SHALE_PRECONDITION, "\"%s\" in %s has changed", key, s->name);
    shl_err_prefix(err, SHL_OUTCOME_UNKNOWN "the answer to an earlier try was lost");
    return true;
}

static void fresh_put_id(char out[SHL_ULID_TEXT])
{
    uint64_t ms = (uint64_t)shl_max_i64(env_now_wall_ms(), 0);
    shl_ulid_format(shl_ulid_make(ms, env_rand64(), env_rand64()), out);
}

static shale_code retry_put(struct shl_store *s, const char *key, const struct shl_slice *parts,
                            size_t count, const struct shl_put *how, struct shl_object *out,
                            shale_error *err)
{
    struct attempt a = attempt_of(s);
    struct shl_put mine = *how;
    char put_id[SHL_ULID_TEXT];
    bool has_attributes = (s->caps & SHL_STORE_ATTRIBUTES) != 0;
    if (!has_attributes) {
        mine.put_id = NULL;
    } else if (mine.put_id == NULL && mine.mode != SHL_PUT_OVERWRITE) {
        fresh_put_id(put_id);
        mine.put_id = put_id;
    }
    bool unknown = false; /* an answer was lost: the object may be there */
    shale_code rc;
    do {
        rc = shl_store_put(shl_wrap_inner(s), key, parts, count, &mine, out, err);
        if (look(s, key, &mine, &a, &rc, out, err))
            return rc;
        unknown = unknown || (rc != SHALE_OK && is_outcome_unknown(err));
    } while (waits_for_memory(&a, rc) || again(&a, rc, err));
    bool refused = rc == SHALE_ALREADY_EXISTS || rc == SHALE_PRECONDITION;
    if (rc != SHALE_OK && !refused && unknown && !is_outcome_unknown(err))
        shl_err_prefix(err, SHL_OUTCOME_UNKNOWN "the answer to an earlier try was lost");
    if (!refused)
        return conclude(&a, rc, err);
    if (may_be_ours(s, &mine, &a, shl_parts_bytes(parts, count)))
        rc = settle(s, key, parts, count, &mine, &a, out, err);
    if (rc != SHALE_OK && unknown &&
        !is_outcome_unknown(err)) /* ours may have been there, and others after it */
        shl_err_prefix(err, SHL_OUTCOME_UNKNOWN "the answer to an earlier try was lost");
    return rc;
}

/* ---- multipart */

struct retry_upload {
    struct shl_wrap_upload wrap;
    char *key; /* [const] owned */
    struct env_mutex mu;
    SHL_ARRAY(uint64_t) sizes; /* [mu] of the parts, by index */
};

static void upload_deinit(struct retry_upload *u)
{
    shl_array_free(&u->sizes);
    env_mutex_deinit(&u->mu);
    env_free(u->key);
}

static shale_code start_once(struct shl_store *s, const char *key, struct shl_upload **out,
                             shale_error *err)
{
    return shl_wrap_upload_start(s, key, sizeof(struct retry_upload), out, err);
}

static shale_code start_again(struct shl_store *s, const char *key, struct shl_upload **out,
                              shale_error *err)
{
    RETRY(s, start_once(s, key, out, err));
}

static shale_code retry_upload_start(struct shl_store *s, const char *key, struct shl_upload **out,
                                     shale_error *err)
{
    char *copy = env_strdup(key);
    if (copy == NULL)
        return shl_nomem(err);
    struct shl_upload *base;
    shale_code rc = start_again(s, key, &base, err);
    if (rc != SHALE_OK) {
        env_free(copy);
        return rc;
    }
    struct retry_upload *u = (struct retry_upload *)base;
    u->key = copy;
    env_mutex_init(&u->mu);
    *out = base;
    return SHALE_OK;
}

static shale_code note_size(struct retry_upload *u, uint32_t index, uint64_t bytes,
                            shale_error *err)
{
    env_mutex_lock(&u->mu);
    bool room = index < u->sizes.count || shl_array_reserve(&u->sizes, index - u->sizes.count + 1);
    while (room && u->sizes.count <= index)
        shl_array_add(&u->sizes, 0);
    if (room)
        u->sizes.items[index] = bytes;
    env_mutex_unlock(&u->mu);
    return room ? SHALE_OK : shl_nomem(err);
}

static shale_code retry_upload_part(struct shl_store *s, struct shl_upload *base, uint32_t index,
                                    const struct shl_slice *parts, size_t count, shale_error *err)
{
    struct retry_upload *u = (struct retry_upload *)base;
    shale_code rc = note_size(u, index, shl_parts_bytes(parts, count), err);
    if (rc != SHALE_OK)
        return rc;
    RETRY(s, shl_wrap_upload_part(s, base, index, parts, count, err));
}

static void retry_upload_abort(struct shl_store *s, struct shl_upload *take_u)
{
    upload_deinit((struct retry_upload *)take_u);
    shl_wrap_upload_abort(s, take_u);
}

/* The upload is gone after a try whose answer was lost. An object of just this size under the key is what it made: large objects
 * have names that nobody writes twice. */
static shale_code settle_complete(struct shl_store *s, struct retry_upload *u,
                                  struct shl_object *out, shale_error *err)
{
    shale_error refusal = *err;
    struct shl_object there;
    uint64_t total = 0;
    for (size_t i = 0; i < u->sizes.count; i++)
        total += u->sizes.items[i];
    shale_code rc = retry_head(s, u->key, &there, err);
    if (rc == SHALE_NOT_FOUND || (rc == SHALE_OK && there.size != total)) {
        *err = refusal;
        return refusal.code;
    }
    if (rc == SHALE_OK)
        *out = there;
    return rc;
}

static shale_code retry_upload_complete(struct shl_store *s, struct shl_upload *base,
                                        struct shl_object *out, shale_error *err)
{
    struct retry_upload *u = (struct retry_upload *)base;
    struct attempt a = attempt_of(s);
    shale_code rc;
    do
        rc = shl_store_upload_complete(shl_wrap_inner(s), u->wrap.inner, out, err);
    while (again(&a, rc, err));
    if (rc == SHALE_OK) {
        u->wrap.inner = NULL;
    } else if (rc == SHALE_NOT_FOUND && a.failures > 0) {
        rc = settle_complete(s, u, out, err);
    } else {
        rc = conclude(&a, rc, err);
    }
    if (rc == SHALE_OK)
        retry_upload_abort(s, base); /* frees the handle; the object stays */
    return rc;
}

/* ---- life */

static void retry_destroy(struct shl_store *s)
{
    shl_wrap_deinit(&retry_of(s)->wrap);
    env_free(s);
}

static const struct shl_store_ops retry_ops = {
    .put = retry_put,
    .get = retry_get,
    .get_ranges = retry_get_ranges,
    .head = retry_head,
    .list = retry_list,
    .delete_many = retry_delete_many,
    .sweep = shl_wrap_sweep,
    .copy = retry_copy,
    .upload_start = retry_upload_start,
    .upload_part = retry_upload_part,
    .upload_complete = retry_upload_complete,
    .upload_abort = retry_upload_abort,
    .destroy = retry_destroy,
};

shale_code shl_store_retry_new(struct shl_store **out, struct shl_store *inner,
                               const struct shl_retry_options *options, shale_error *err)
{
    struct retry_store *r = env_calloc(1, sizeof *r);
    if (r == NULL)
        return shl_nomem(err);
    shale_code rc = shl_wrap_init(&r->wrap, inner, &retry_ops, err);
    if (rc != SHALE_OK) {
        env_free(r);
        return rc;
    }
    r->options = *options;
    if (r->options.delay_first_ns == 0)
        r->options.delay_first_ns = 100 * ENV_NS_PER_MS;
    if (r->options.delay_max_ns == 0)
        r->options.delay_max_ns = ENV_NS_PER_SEC;
    if (r->options.asked_max_ns == 0)
        r->options.asked_max_ns = 180 * ENV_NS_PER_SEC;
    *out = &r->wrap.base;
    return SHALE_OK;
}

uint64_t shl_store_retries(struct shl_store *s)
{
    return env_load_relaxed(&retry_of(s)->retries);
}
