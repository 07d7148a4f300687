#include "api/stack.h"

#include "api/api.h"
#include "api/user_store.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "store/open.h"
#include "store/price.h"
#include "store/s3.h"
#include "store/path.h"
#include "store/wrap_prefix.h"
#include "store/wrap_count.h"
#include "store/wrap_latency.h"
#include "store/wrap_retry.h"

#include <stdio.h>

/* An option of this room, not of a backend: waits before requests, for benches. */
#define LATENCY_KEY    "latency_ms"
#define LATENCY_MAX_MS 60000

shale_code shl_api_store_option_check(const char *key, const char *value, shale_error *err)
{
    const struct shl_store_option option = {.key = key, .value = value};
    uint64_t ms;
    if (!shl_str_ieq(key, LATENCY_KEY))
        return shl_store_options_check(&option, 1, err);
    if (!shl_parse_u64(shl_slice_str(value), &ms) || ms > LATENCY_MAX_MS)
        return shl_fail(err, SHALE_INVALID,
                        "store option " LATENCY_KEY
                        ": \"%.40s\"; it is a number of milliseconds up to %d",
                        value, LATENCY_MAX_MS);
    return SHALE_OK;
}

/* The backends' options apart from ours. */
struct split_options {
    struct shl_store_option *items; /* owned; texts borrowed from the options */
    size_t count;
    uint64_t latency_ms;
};

static shale_code split_options(const shale_options *o, struct split_options *out, shale_error *err)
{
    *out =
        (struct split_options){.items = env_calloc(o->store_options.count + 1, sizeof *out->items)};
    if (out->items == NULL)
        return shl_nomem(err);
    for (size_t i = 0; i < o->store_options.count; i++) {
        const struct shl_api_pair *pair = &o->store_options.items[i];
        if (!shl_str_ieq(pair->key, LATENCY_KEY))
            out->items[out->count++] = (struct shl_store_option){
                .key = pair->key, .value = pair->value, .origin = pair->origin};
        else if (!shl_parse_u64(shl_slice_str(pair->value), &out->latency_ms))
            out->latency_ms = 0; /* checked when it was set */
    }
    return SHALE_OK;
}

static shale_code add_latency(struct shl_store **io_store, uint64_t ms, shale_error *err)
{
    static const enum shl_store_kind slow[] = {SHL_KIND_PUT,         SHL_KIND_GET,
                                               SHL_KIND_HEAD,        SHL_KIND_UPLOAD_START,
                                               SHL_KIND_UPLOAD_PART, SHL_KIND_UPLOAD_COMPLETE};
    struct shl_latency_options options = {.seed = 1};
    struct shl_store *fresh;
    uint64_t ns = ms * ENV_NS_PER_MS;
    if (ms == 0)
        return SHALE_OK;
    for (size_t i = 0; i < SHL_COUNT_OF(slow); i++)
        options.kinds[slow[i]] = (struct shl_latency){.min_ns = ns, .p50_ns = ns, .p99_ns = ns};
    shale_code rc = shl_store_latency_new(&fresh, *io_store, &options, err);
    if (rc != SHALE_OK)
        return rc;
    shl_store_unref(*io_store); /* the wrapper holds its own */
    *io_store = fresh;
    return SHALE_OK;
}

/* A store's option as the public face shows it. */
struct option_visit {
    bool (*visit)(void *ctx, const shale_option_info *info);
    void *ctx;
    bool stopped;
};

static bool on_option(void *ctx, const struct shl_store_option_info *info)
{
    struct option_visit *v = ctx;
    const shale_option_info mine = {.name = info->name,
                                    .type = info->type,
                                    .default_value = info->default_text,
                                    .help = info->help,
                                    .value = info->value,
                                    .origin = info->origin != NULL ? info->origin : "default",
                                    .beaten_value = info->beaten,
                                    .beaten_origin = info->beaten_from};
    v->stopped = !v->visit(v->ctx, &mine);
    return !v->stopped;
}

shale_code shale_options_each_store(const shale_options *o, const char *url,
                                    bool (*visit)(void *ctx, const shale_option_info *info),
                                    void *ctx, shale_error *err)
{
    SHL_API_ERR(err);
    struct option_visit v = {.visit = visit, .ctx = ctx};
    struct split_options options = {0};
    struct shl_store_config config = {0};
    shale_code rc;
    if (o == NULL || visit == NULL)
        return shl_fail(err, SHALE_INVALID, "shale_options_each_store: the %s is NULL",
                        o == NULL ? "options object" : "callback");
    SHL_TRY(split_options(o, &options, err));
    config.options = options.items;
    config.option_count = options.count;
    SHL_TRY(shl_store_options_each(url, &config, on_option, &v, err));
out:
    env_free(options.items);
    return rc;
}

#define BUCKET_TRIES       6
#define BUCKET_DELAY_FIRST (100 * ENV_NS_PER_MS)
#define BUCKET_LOOK_NS     (50 * ENV_NS_PER_MS)

/* A server that has just been started answers 503 for a moment. Making a bucket is no call of a store, so the retry wrapper does not see it. */
static shale_code make_bucket_retried(const char *url, const struct shl_store_config *config,
                                      uint32_t max_retries, struct shl_api_hooks *hooks,
                                      shale_error *err)
{
    uint64_t delay_ns = BUCKET_DELAY_FIRST;
    for (unsigned tries = 1;; tries++) {
        shale_code rc = shl_store_make_bucket(url, config, err);
        bool may_pass = rc == SHALE_UNAVAILABLE || rc == SHALE_TIMEOUT;
        /* The try before may have made it, though its answer was lost. */
        if (rc == SHALE_ALREADY_EXISTS && tries > 1 &&
            strstr(err->text, "BucketAlreadyOwnedByYou") != NULL)
            return SHALE_OK;
        if (!may_pass || tries == BUCKET_TRIES || tries > max_retries)
            return rc;
        for (uint64_t left = delay_ns; left > 0; left -= shl_min_u64(left, BUCKET_LOOK_NS)) {
            if (shl_api_hooks_cancelled(hooks))
                return rc;
            env_sleep_ns(shl_min_u64(left, BUCKET_LOOK_NS));
        }
        delay_ns *= 2;
    }
}

shale_code shl_api_make_bucket(const char *url, const shale_options *o, shale_error *err)
{
    struct split_options options = {0};
    struct shl_api_hooks hooks;
    struct shl_store_config config = {0};
    shale_code rc;
    shl_api_hooks_init(&hooks, o);
    SHL_TRY(split_options(o, &options, err));
    config.options = options.items;
    config.option_count = options.count;
    config.log = shl_api_hooks_log(&hooks);
    config.cancelled = shl_api_hooks_cancelled;
    config.cancel_ctx = &hooks;
    SHL_TRY(
        make_bucket_retried(url, &config, o->settings.lsm.object_store_max_retries, &hooks, err));
out:
    env_free(options.items);
    return rc;
}

/* A bucket that does not answer is asked for ever, unless object_store_max_retries says otherwise; a folder that still fails after
 * some seconds is broken, and whoever waits must hear of it. */
#define FOLDER_RETRIES_MAX 8
/* Who looks at raw objects wants to hear of a broken line. */
#define RAW_RETRIES_MAX 10

/* Takes the reference of a backend; *out_store is the top of the layers over it, *out_count the counting one. retry NULL: none. */
static shale_code wrap(struct shl_store *take_backend, uint64_t latency_ms,
                       const struct shl_retry_options *retry, struct shl_store **out_store,
                       struct shl_store **out_count, shale_error *err)
{
    struct shl_store *count = NULL;
    struct shl_store *top = NULL;
    shale_code rc;
    SHL_TRY(add_latency(&take_backend, latency_ms, err));
    SHL_TRY(shl_store_count_new(&count, take_backend, err));
    if (retry != NULL) {
        struct shl_retry_options bounded = *retry;
        if ((count->caps & SHL_STORE_PUT_IS_FREE) != 0 && bounded.max_retries == SHL_RETRY_FOREVER)
            bounded.max_retries = FOLDER_RETRIES_MAX;
        SHL_TRY(shl_store_retry_new(&top, count, &bounded, err));
    } else
        top = shl_store_ref(count);
    *out_store = top;
    *out_count = count;
    count = NULL; /* moved to the caller */
out:
    shl_store_unref(count);
    shl_store_unref(take_backend);
    return rc;
}

static shale_code make_hooks(struct shl_api_stack *s, const shale_options *o, shale_error *err)
{
    s->hooks = env_calloc(1, sizeof *s->hooks);
    if (s->hooks == NULL)
        return shl_nomem(err);
    shl_api_hooks_init(s->hooks, o);
    return SHALE_OK;
}

/* With callbacks the URL is a path in their store. */
static shale_code open_main(const char *url, const shale_options *o,
                            const struct shl_store_config *config, struct shl_store **out_store,
                            char **out_path, shale_error *err)
{
    const shale_store_callbacks *theirs = &o->user_stores[SHALE_STORE_MAIN];
    char *path;
    if (theirs->put == NULL)
        return shl_store_open_url(url, config, out_store, out_path, err);
    shale_code rc = shl_path_parse(url, &path, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_api_user_store_new(theirs, out_store, err);
    if (rc == SHALE_OK)
        *out_path = path;
    else
        env_free(path);
    return rc;
}

/* The same as raw objects: the path is the root. */
static shale_code open_raw(const char *url, const shale_options *o,
                           const struct shl_store_config *config, struct shl_store **out,
                           shale_error *err)
{
    struct shl_store *whole = NULL;
    char *path = NULL;
    shale_code rc;
    if (o->user_stores[SHALE_STORE_MAIN].put == NULL)
        return shl_store_open_raw(url, config, out, err);
    SHL_TRY(open_main(url, o, config, &whole, &path, err));
    if (path[0] != '\0')
        SHL_TRY(shl_store_prefix_new(out, whole, path, err));
    else
        *out = shl_store_ref(whole);
out:
    shl_store_unref(whole);
    env_free(path);
    return rc;
}

/* NULL: the WAL lies in the main store. */
static shale_code open_wal(const shale_options *o, const struct shl_store_config *config,
                           struct shl_store **out, shale_error *err)
{
    const shale_store_callbacks *theirs = &o->user_stores[SHALE_STORE_WAL];
    *out = NULL;
    if (theirs->put != NULL)
        return shl_api_user_store_new(theirs, out, err);
    return o->settings.wal_url != NULL ? shl_store_open_raw(o->settings.wal_url, config, out, err)
                                       : SHALE_OK;
}

static shale_code open_stack(struct shl_api_stack *out, const char *url, const shale_options *o,
                             bool reader, bool shared_folder, uint32_t max_retries,
                             shale_error *err)
{
    struct shl_api_stack s = {.is_shared = shared_folder};
    struct split_options options = {0};
    struct shl_store_config config = {
        .create_root = !reader, .root = o->settings.root, .shared_folder = shared_folder};
    struct shl_retry_options retry = {.max_retries = max_retries,
                                      .cancelled = shl_api_hooks_cancelled};
    struct shl_store *backend = NULL;
    shale_code rc;
    SHL_TRY(split_options(o, &options, err));
    config.options = options.items;
    config.option_count = options.count;
    SHL_TRY(make_hooks(&s, o, err));
    config.log = retry.log = shl_api_hooks_log(s.hooks);
    config.cancelled = retry.cancelled;
    config.cancel_ctx = retry.cancel_ctx = s.hooks;
    SHL_TRY(open_main(url, o, &config, &backend, &s.path, err));
    s.backend = shl_store_ref(backend);
    SHL_TRY(wrap(backend, options.latency_ms, &retry, &s.store, &s.count, err));
    config.root = NULL;
    if (!shared_folder)
        SHL_TRY(open_wal(o, &config, &backend, err));
    if (!shared_folder && backend != NULL)
        SHL_TRY(wrap(backend, options.latency_ms, &retry, &s.wal_store, &s.wal_count, err));
    *out = s;
    s = (struct shl_api_stack){0}; /* moved to the caller */
out:
    env_free(options.items);
    shl_api_stack_close(&s);
    return rc;
}

shale_code shl_api_stack_open(struct shl_api_stack *out, const char *url, const shale_options *o,
                              bool reader, shale_error *err)
{
    return open_stack(out, url, o, reader, false, o->settings.lsm.object_store_max_retries, err);
}

shale_code shl_api_stack_open_role(struct shl_api_stack *out, const char *url,
                                   const shale_options *o, uint32_t retries, shale_error *err)
{
    if (retries == SHL_RETRY_FOREVER)
        retries = o->settings.lsm.object_store_max_retries;
    return open_stack(out, url, o, true, false, retries, err);
}

shale_code shl_api_stack_open_shared(struct shl_api_stack *out, const char *url,
                                     const shale_options *o, bool reader, shale_error *err)
{
    return open_stack(out, url, o, reader, true, o->settings.lsm.object_store_max_retries, err);
}

shale_code shl_api_stack_open_raw(struct shl_api_stack *out, const char *url,
                                  const shale_options *o, shale_error *err)
{
    struct shl_api_stack s = {0};
    struct split_options options = {0};
    struct shl_store_config config = {.create_root = true};
    uint32_t wanted = o->settings.lsm.object_store_max_retries;
    struct shl_retry_options retry = {.max_retries =
                                          wanted < RAW_RETRIES_MAX ? wanted : RAW_RETRIES_MAX,
                                      .cancelled = shl_api_hooks_cancelled};
    struct shl_store *backend = NULL;
    bool is_near;
    shale_code rc;
    SHL_TRY(split_options(o, &options, err));
    config.options = options.items;
    config.option_count = options.count;
    SHL_TRY(make_hooks(&s, o, err));
    config.log = retry.log = shl_api_hooks_log(s.hooks);
    config.cancelled = retry.cancelled;
    config.cancel_ctx = retry.cancel_ctx = s.hooks;
    SHL_TRY(open_raw(url, o, &config, &backend, err));
    s.backend = shl_store_ref(backend);
    is_near = (backend->caps & SHL_STORE_PUT_IS_FREE) != 0;
    SHL_TRY(wrap(backend, options.latency_ms, is_near ? NULL : &retry, &s.store, &s.count, err));
    *out = s;
    s = (struct shl_api_stack){0}; /* moved to the caller */
out:
    env_free(options.items);
    shl_api_stack_close(&s);
    return rc;
}

void shl_api_stack_close(struct shl_api_stack *s)
{
    shl_store_unref(s->store);
    shl_store_unref(s->count);
    shl_store_unref(s->wal_store);
    shl_store_unref(s->wal_count);
    shl_store_unref(s->backend);
    env_free(s->path);
    env_free(s->hooks); /* last: the stores above may have logged up to here */
    *s = (struct shl_api_stack){0};
}

const char *shl_api_stack_host(const struct shl_api_stack *s, char *out, size_t cap)
{
#ifndef SHL_SIM
    struct shl_store *bottom = shl_store_prefix_inner(s->backend);
    if (shl_store_is_s3(bottom)) {
        shl_store_s3_host(bottom, out, cap);
        return out;
    }
#endif
    (void)snprintf(out, cap, "%s", s->store->name);
    return out;
}

static void add_counts(struct shl_store *count, shale_store_counts *sum)
{
    struct shl_store_counts n;
    if (count == NULL)
        return;
    shl_store_counts_read(count, &n);
    sum->put += n.kinds[SHL_KIND_PUT].requests + n.kinds[SHL_KIND_UPLOAD_START].requests +
                n.kinds[SHL_KIND_UPLOAD_PART].requests + n.kinds[SHL_KIND_UPLOAD_COMPLETE].requests;
    sum->get += n.kinds[SHL_KIND_GET].requests;
    sum->head += n.kinds[SHL_KIND_HEAD].requests;
    sum->list += n.kinds[SHL_KIND_LIST].requests;
    sum->del += n.kinds[SHL_KIND_DELETE].requests;
    sum->copy += n.kinds[SHL_KIND_COPY].requests;
    for (unsigned i = 0; i < SHL_KINDS; i++)
        sum->errors += n.kinds[i].errors;
    sum->bytes_up += n.bytes_up;
    sum->bytes_down += n.bytes_down;
    sum->cost_usd += shl_price_requests(shl_price_s3(), &n);
}

size_t shl_api_stack_read(const struct shl_api_stack *s, struct shl_store_counts out[2])
{
    shl_store_counts_read(s->count, &out[0]);
    if (s->wal_count != NULL)
        shl_store_counts_read(s->wal_count, &out[1]);
    return s->wal_count != NULL ? 2 : 1;
}

void shl_api_stack_counts(const struct shl_api_stack *s, shale_store_counts *out)
{
    *out = (shale_store_counts){.struct_size = sizeof *out};
    add_counts(s->count, out);
    add_counts(s->wal_count, out);
}

void shl_api_stack_give_counts(const struct shl_api_stack *s, shale_store_counts *out)
{
    shale_store_counts ours = {.struct_size = sizeof ours};
    if (out == NULL)
        return;
    if (s != NULL)
        shl_api_stack_counts(s, &ours);
    shl_api_give_struct(out, &ours, sizeof ours);
}
