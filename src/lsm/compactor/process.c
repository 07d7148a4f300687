#include "lsm/compactor/process.h"

#include "base/num.h"
#include "lsm/manifest_store.h"

#include <inttypes.h>

#define META_BYTES  ((uint64_t)32 << 20) /* indexes of what is being read */
#define PIECE_BYTES ((size_t)12 << 20)
#define LOOK_NS     (100 * ENV_NS_PER_MS) /* a signal handler can set a flag, but wake nobody */

struct shl_compactor_process {
    struct shl_lsm_settings settings; /* [const] */
    struct shl_merge_operator merge;
    struct shl_transformer transformer;
    struct shl_compaction_filter filter;
    struct shl_log *log;
    struct shl_store *store;   /* counted */
    struct shl_db_paths paths; /* owned */
    struct shl_epoch *epoch;
    struct shl_meta_cache *metas;
    struct shl_piece_pool *pieces;
    struct shl_fanout *fanout; /* NULL: the store is near */
    struct shl_sst_context context;
    struct shl_level_source level_source;
    struct shl_compactor *compactor;
    /* of the stepping task */
    struct shl_sequenced manifests;
    struct shl_levels *levels; /* counted: of version manifests.id; NULL: none was read */

    _Atomic bool stop;
    struct env_mutex mu;
    struct env_cond cond;
    bool woken;                /* [mu] a job ended */
    struct shl_ulid last_ulid; /* [mu] */
};

/* ---------------------------------------------------------------- the manifest */

static shale_code no_database(const struct shl_compactor_process *p, shale_error *err)
{
    return shl_fail(err, SHALE_NOT_FOUND, "no database here: %s has no %s%smanifest/",
                    p->store->name, p->paths.r1, p->paths.r1[0] != '\0' ? "/" : "");
}

static shale_code adopt(struct shl_compactor_process *p, struct shl_manifest *take_m,
                        shale_error *err)
{
    struct shl_levels *fresh;
    shale_code rc =
        shl_levels_new(&p->level_source, take_m, p->manifests.id, p->levels, &fresh, err);
    if (rc != SHALE_OK)
        return rc;
    shl_levels_unref(p->levels);
    p->levels = fresh;
    (void)shl_epoch_collect(p->epoch);
    return SHALE_OK;
}

static shale_code refresh(void *ctx, shale_error *err)
{
    struct shl_compactor_process *p = ctx;
    struct shl_buf body = {0};
    struct shl_manifest *m = NULL;
    bool changed;
    if (p->levels == NULL)
        p->manifests.id = 0;
    shale_code rc = shl_sequenced_load(&p->manifests, &body, &changed, err);
    if (rc == SHALE_NOT_FOUND)
        rc = no_database(p, err);
    if (rc == SHALE_OK && changed) {
        rc = shl_manifest_decode(shl_buf_view(&body), &m, err);
        if (rc != SHALE_OK)
            shl_err_prefix(err, "%s/manifest/%020" PRIu64 ".manifest", p->paths.r1,
                           p->manifests.id);
        else if (!m->initialized) {
            shl_manifest_free(m);
            rc = shl_fail(err, SHALE_CORRUPTION,
                          "\"%s\" is a clone that was never finished (manifest %" PRIu64 ")",
                          p->paths.r1, p->manifests.id);
        } else
            rc = adopt(p, m, err);
    }
    if (rc != SHALE_OK) { /* the id must not run ahead of what we hold */
        shl_levels_unref(p->levels);
        p->levels = NULL;
    }
    shl_buf_free(&body);
    return rc;
}

static shale_code levels(void *ctx, struct shl_levels **out, shale_error *err)
{
    struct shl_compactor_process *p = ctx;
    shale_code rc = p->levels == NULL ? refresh(p, err) : SHALE_OK;
    if (rc == SHALE_OK)
        *out = shl_levels_ref(p->levels);
    return rc;
}

static shale_code try_update(struct shl_compactor_process *p, shl_manifest_change change, void *arg,
                             shale_error *err)
{
    struct shl_manifest *next = NULL;
    struct shl_buf body = {0};
    shale_code rc;
    if (p->levels == NULL)
        SHL_TRY(refresh(p, err));
    SHL_TRY(shl_manifest_clone(p->levels->manifest, &next, err));
    SHL_TRY(change(next, p->manifests.id + 1, arg, err));
    SHL_TRY(shl_manifest_encode(next, &body, err));
    rc = shl_sequenced_write(&p->manifests, shl_buf_view(&body), err);
    if (rc == SHALE_OK) {
        struct shl_manifest *written = next;
        shale_error ignored;
        next = NULL;
        if (adopt(p, written, &ignored) !=
            SHALE_OK) { /* it is written: read it when there is memory */
            shl_levels_unref(p->levels);
            p->levels = NULL;
        }
    }
out:
    shl_manifest_free(next);
    shl_buf_free(&body);
    return rc;
}

static shale_code update(void *ctx, shl_manifest_change change, void *arg, shale_error *err)
{
    struct shl_compactor_process *p = ctx;
    uint64_t deadline = env_now_mono_ns() + p->settings.compactor_manifest_timeout_ns;
    for (;;) {
        shale_code rc = try_update(p, change, arg, err);
        if (rc != SHALE_PRECONDITION)
            return rc;
        if (env_now_mono_ns() >= deadline)
            return shl_fail(err, SHALE_TIMEOUT,
                            "manifest of \"%s\": other processes kept winning the write",
                            p->paths.r1);
        rc = refresh(p, err);
        if (rc != SHALE_OK)
            return rc;
    }
}

/* ---------------------------------------------------------------- what jobs ask for */

static struct shl_ulid next_ulid(void *ctx, struct shl_ulid floor)
{
    struct shl_compactor_process *p = ctx;
    uint64_t now = shl_clock_unix_ms(&p->settings.clock);
    env_mutex_lock(&p->mu);
    now = shl_max_u64(now, shl_ulid_time_ms(p->last_ulid));
    now = shl_max_u64(now, shl_ulid_time_ms(floor));
    p->last_ulid = shl_ulid_make(now, env_rand64(), env_rand64());
    struct shl_ulid id = p->last_ulid;
    env_mutex_unlock(&p->mu);
    return id;
}

static bool must_stop(void *ctx)
{
    struct shl_compactor_process *p = ctx;
    return env_load_relaxed(&p->stop);
}

static void wake(void *ctx)
{
    struct shl_compactor_process *p = ctx;
    env_mutex_lock(&p->mu);
    p->woken = true;
    env_cond_signal(&p->cond);
    env_mutex_unlock(&p->mu);
}

/* ---------------------------------------------------------------- new, free */

static shale_code open_parts(struct shl_compactor_process *p, const struct shl_process_open *o,
                             shale_error *err)
{
    shale_code rc;
    struct shl_compactor_options c;
    SHL_TRY(shl_lsm_settings_check(o->settings, SHL_LSM_COMPACTS, err));
    if ((p->store->caps & SHL_STORE_NEAR) == 0)
        SHL_TRY(shl_fanout_new(&p->fanout, err));
    SHL_TRY(shl_db_paths_init(&p->paths, o->path, err));
    SHL_TRY(shl_epoch_new(&p->epoch, err));
    SHL_TRY(shl_meta_cache_new(META_BYTES, &p->metas, err));
    SHL_TRY(shl_piece_pool_new(PIECE_BYTES, &p->pieces, err));
    p->context =
        (struct shl_sst_context){.epoch = p->epoch,
                                 .metas = p->metas,
                                 .transformer = o->transformer != NULL ? &p->transformer : NULL,
                                 .policies = &p->settings.filter,
                                 .policy_count = 1,
                                 .user_filters = o->user_filters};
    p->level_source =
        (struct shl_level_source){.context = &p->context, .store = p->store, .paths = &p->paths};
    shl_sequenced_init(&p->manifests, p->store, &p->paths, "manifest", p->fanout);
    c = (struct shl_compactor_options){
        .settings = &p->settings,
        .store = p->store,
        .paths = &p->paths,
        .context = &p->context,
        .merge = o->merge != NULL ? &p->merge : NULL,
        .transformer = p->context.transformer,
        .filter = o->filter != NULL ? &p->filter : NULL,
        .pieces = p->pieces,
        .fanout = p->fanout,
        .log = p->log,
        .scheduler = o->scheduler != NULL ? *o->scheduler : shl_scheduler_of(&p->settings),
        .db = {.ctx = p,
               .refresh = refresh,
               .levels = levels,
               .update = update,
               .next_ulid = next_ulid,
               .must_stop = must_stop,
               .wake = wake},
        .coordinates = o->coordinates,
        .works = o->works};
    SHL_TRY(shl_compactor_new(&c, &p->compactor, err));
out:
    return rc;
}

shale_code shl_process_new(const struct shl_process_open *o, struct shl_compactor_process **out,
                           shale_error *err)
{
    struct shl_compactor_process *p = env_calloc(1, sizeof *p);
    if (p == NULL)
        return shl_nomem(err);
    env_mutex_init(&p->mu);
    env_cond_init(&p->cond);
    atomic_init(&p->stop, false);
    p->settings = *o->settings;
    if (o->merge != NULL)
        p->merge = *o->merge;
    if (o->transformer != NULL)
        p->transformer = *o->transformer;
    if (o->filter != NULL)
        p->filter = *o->filter;
    p->log = o->log;
    p->store = shl_store_ref(o->store);
    shale_code rc = open_parts(p, o, err);
    if (rc == SHALE_OK)
        *out = p;
    else
        shl_process_free(p);
    return rc;
}

void shl_process_free(struct shl_compactor_process *p)
{
    if (p == NULL)
        return;
    shl_compactor_free(p->compactor);
    shl_levels_unref(p->levels);
    shl_fanout_free(p->fanout);
    shl_piece_pool_free(p->pieces);
    if (p->epoch != NULL)
        (void)shl_epoch_collect(p->epoch);
    shl_meta_cache_free(p->metas);
    shl_epoch_free(p->epoch);
    shl_db_paths_deinit(&p->paths);
    shl_store_unref(p->store);
    env_cond_deinit(&p->cond);
    env_mutex_deinit(&p->mu);
    env_free(p);
}

void shl_process_count(struct shl_compactor_process *p, struct shl_compactor_counts *out)
{
    shl_compactor_count(p->compactor, out);
}

void shl_process_stop(struct shl_compactor_process *p)
{
    env_store_relaxed(&p->stop, true);
}

/* ---------------------------------------------------------------- the loop */

static bool may_pass(shale_code rc)
{
    return rc == SHALE_UNAVAILABLE || rc == SHALE_TIMEOUT || rc == SHALE_NOMEM ||
           rc == SHALE_CONFLICT || rc == SHALE_PRECONDITION;
}

/* Returns at the deadline, or earlier when a job ended or somebody says stop. */
static void wait_until(struct shl_compactor_process *p, const struct shl_process_run *how,
                       const struct shl_compactor_report *report, uint64_t deadline)
{
    for (;;) {
        if (how->tick != NULL && how->tick(how->ctx, report))
            shl_process_stop(p);
        env_mutex_lock(&p->mu);
        uint64_t now = env_now_mono_ns();
        bool over = p->woken || must_stop(p) || now >= deadline;
        if (!over)
            (void)env_cond_wait_until(&p->cond, &p->mu, shl_min_u64(deadline, now + LOOK_NS));
        over = over || p->woken;
        p->woken = false;
        env_mutex_unlock(&p->mu);
        if (over)
            return;
    }
}

static bool is_over(struct shl_compactor_process *p, const struct shl_process_run *how,
                    const struct shl_compactor_report *report, bool coordinates)
{
    if (must_stop(p))
        return true;
    return how->once && (coordinates ? report->quiet : report->idle);
}

shale_code shl_process_run(struct shl_compactor_process *p, const struct shl_process_run *how,
                           shale_error *err)
{
    shale_code rc = SHALE_OK;
    bool coordinates = shl_compactor_coordinates(p->compactor);
    bool look = true;
    struct shl_compactor_report report = {0};
    shale_error second;
    if (how->once)
        shl_compactor_ends(p->compactor);
    rc = refresh(p, err); /* is there a database at all? */
    while (rc == SHALE_OK) {
        uint64_t next;
        rc = shl_compactor_step(p->compactor, look, &report, err);
        look = false;
        next = report.did ? 0 : report.next_ns;
        if (rc == SHALE_OK && how->once && report.failed && !may_pass(report.failure.code)) {
            *err = report.failure;
            rc = err->code;
        }
        if (may_pass(rc) && !how->once) {
            shl_log_write(p->log, SHL_LOG_WARN, "compactor: %s", err->text);
            next = env_now_mono_ns() +
                   shl_min_u64(p->settings.compactor_poll_interval_ns, 5 * ENV_NS_PER_SEC);
            look = true;
            rc = SHALE_OK;
        } else if (rc != SHALE_OK || is_over(p, how, &report, coordinates)) {
            break;
        }
        wait_until(p, how, &report, next);
        if (must_stop(p))
            break;
    }
    if (how->tick != NULL)
        (void)how->tick(how->ctx, &report); /* what it came to */
    shale_code rc2 = shl_compactor_finish(p->compactor, rc == SHALE_OK ? err : &second);
    return rc == SHALE_OK && !may_pass(rc2) ? rc2 : rc;
}
