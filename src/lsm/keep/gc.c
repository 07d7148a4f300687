#include "lsm/keep/gc.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include "lsm/db.h"
#include "lsm/keep/checkpoint.h"
#include "lsm/keep/gc_plan.h"
#include "lsm/keep/unfinished.h"
#include <inttypes.h>
#include <stdio.h>

#define BATCH_KEYS 1000 /* what S3 deletes at once */

struct shl_gc {
    struct shl_store *store, *wal_store; /* counted */
    struct shl_gc_settings settings;
    struct shl_log *log;
    bool (*stopped)(void *ctx);
    void *stopped_ctx;
    struct shl_gc_filter filter;
    struct shl_manifests manifests;
    struct shl_sequenced compactions;
    struct shl_compactions *jobs;        /* owned: the newest compactions file; NULL: none */
    SHL_ARRAY(struct shl_gc_pin *) pins; /* owned: of the checkpoints of the last pass */
};

const char *shl_gc_task_name(enum shl_gc_task task)
{
    static const char *const names[SHL_GC_TASKS] = {"manifest",  "wal",         "wal-fence",
                                                    "compacted", "compactions", "detach"};
    SHL_ASSERT(task < SHL_GC_TASKS);
    return names[task];
}

static void pin_free(struct shl_gc_pin *p)
{
    if (p != NULL)
        shl_gc_pin_deinit(p);
    env_free(p);
}

void shl_gc_free(struct shl_gc *gc)
{
    if (gc == NULL)
        return;
    for (size_t i = 0; i < gc->pins.count; i++)
        pin_free(gc->pins.items[i]);
    shl_array_free(&gc->pins);
    shl_compactions_free(gc->jobs);
    shl_manifests_deinit(&gc->manifests);
    shl_store_unref(gc->store);
    shl_store_unref(gc->wal_store);
    env_free(gc);
}

shale_code shl_gc_new(const struct shl_gc_open *o, struct shl_gc **out, shale_error *err)
{
    struct shl_gc *gc = env_calloc(1, sizeof *gc);
    if (gc == NULL)
        return shl_nomem(err);
    gc->store = shl_store_ref(o->store);
    gc->wal_store = shl_store_ref(o->wal_store != NULL ? o->wal_store : o->store);
    gc->settings = *o->settings;
    gc->log = o->log;
    gc->stopped = o->stopped;
    gc->stopped_ctx = o->stopped_ctx;
    gc->filter = o->filter;
    shale_code rc = shl_manifests_init(&gc->manifests, gc->store, o->path, false, err);
    if (rc != SHALE_OK) {
        shl_gc_free(gc);
        return rc;
    }
    shl_sequenced_init(&gc->compactions, gc->store, &gc->manifests.paths, "compactions", NULL);
    *out = gc;
    return SHALE_OK;
}

static bool is_stopped(const struct shl_gc *gc)
{
    return gc->stopped != NULL && gc->stopped(gc->stopped_ctx);
}

/* ---------------------------------------------------------------- the view */

static shale_code load_compactions(struct shl_gc *gc, shale_error *err)
{
    struct shl_buf body = {0};
    struct shl_compactions *jobs;
    uint64_t before = gc->compactions.id;
    bool changed;
    shale_code rc = shl_sequenced_load(&gc->compactions, &body, &changed, err);
    if (rc == SHALE_NOT_FOUND && before == 0) {
        rc = SHALE_OK; /* nobody compacted yet */
    } else if (rc == SHALE_OK && changed) {
        rc = shl_compactions_decode(shl_buf_view(&body), &jobs, err);
        if (rc == SHALE_OK) {
            shl_compactions_free(gc->jobs);
            gc->jobs = jobs;
        } else if (rc != SHALE_NOMEM) {
            shl_err_prefix(err, "%s/compactions/%020" PRIu64 ".compactions", gc->manifests.paths.r1,
                           gc->compactions.id);
        }
    }
    if (rc != SHALE_OK)
        gc->compactions.id = gc->jobs != NULL ? before : 0;
    shl_buf_free(&body);
    return rc;
}

struct expiry {
    int64_t now_ms;
    size_t gone;
};

static shale_code edit_expire(struct shl_manifest *next, uint64_t next_id, void *arg,
                              shale_error *err)
{
    (void)next_id;
    (void)err;
    struct expiry *e = arg;
    size_t gone = shl_checkpoint_expire(next, e->now_ms);
    e->gone = gone;
    return gone > 0 ? SHALE_OK : SHALE_DONE;
}

/* dry: only in our copy, which is right as far as it goes. */
static shale_code expire_checkpoints(struct shl_gc *gc, bool dry, uint64_t *expired,
                                     shale_error *err)
{
    struct shl_manifest *m = gc->manifests.newest;
    int64_t now_ms = shl_clock_ms(&gc->settings.clock);
    bool any = false;
    for (size_t i = 0; i < m->checkpoints.count; i++)
        any = any || shl_checkpoint_has_expired(&m->checkpoints.items[i], now_ms);
    if (!any || !m->initialized)
        return SHALE_OK;
    if (dry) {
        *expired = shl_checkpoint_expire(m, now_ms);
        return SHALE_OK;
    }
    struct expiry e = {.now_ms = now_ms};
    shale_code rc = shl_manifests_update(&gc->manifests, edit_expire, &e, err);
    *expired = e.gone;
    return rc;
}

static bool is_pin_of(const struct shl_gc_pin *p, const struct shl_checkpoint *c)
{
    return p->manifest_id == c->manifest_id && shl_ulid_eq(p->checkpoint, c->id);
}

static bool is_pinned(const struct shl_gc *gc, const struct shl_checkpoint *c)
{
    for (size_t i = 0; i < gc->pins.count; i++)
        if (is_pin_of(gc->pins.items[i], c))
            return true;
    return false;
}

static shale_code load_pin(struct shl_gc *gc, const struct shl_checkpoint *c,
                           struct shl_gc_pin **out, shale_error *err)
{
    struct shl_manifest *m = NULL;
    shale_code rc = shl_manifests_read(&gc->manifests, c->manifest_id, &m, err);
    if (rc == SHALE_NOT_FOUND) {
        char id[SHL_UUID_TEXT];
        shl_uuid_format(c->id, id);
        return shl_fail(err, SHALE_CORRUPTION,
                        "checkpoint %s points at manifest %" PRIu64
                        ", which is missing: what it needs is not known",
                        id, c->manifest_id);
    }
    if (rc != SHALE_OK)
        return rc;
    *out = env_calloc(1, sizeof **out);
    rc = *out != NULL ? shl_gc_pin_init(*out, c->manifest_id, m, err) : shl_nomem(err);
    if (rc != SHALE_OK)
        env_free(*out);
    else
        (*out)->checkpoint = c->id;
    shl_manifest_free(m);
    return rc;
}

static void drop_old_pins(struct shl_gc *gc)
{
    const struct shl_manifest *m = gc->manifests.newest;
    size_t kept = 0;
    for (size_t i = 0; i < gc->pins.count; i++) {
        bool used = false;
        for (size_t k = 0; k < m->checkpoints.count && !used; k++)
            used = is_pin_of(gc->pins.items[i], &m->checkpoints.items[k]);
        if (used)
            gc->pins.items[kept++] = gc->pins.items[i];
        else
            pin_free(gc->pins.items[i]);
    }
    gc->pins.count = kept;
}

/* What was known stays known, for manifests do not change. */
static shale_code add_pins(struct shl_gc *gc, shale_error *err)
{
    const struct shl_manifest *m = gc->manifests.newest;
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < m->checkpoints.count && rc == SHALE_OK; i++) {
        struct shl_gc_pin *p = NULL;
        if (is_pinned(gc, &m->checkpoints.items[i]))
            continue;
        if (is_stopped(gc))
            return shl_fail(err, SHALE_CLOSED, "stopped");
        rc = load_pin(gc, &m->checkpoints.items[i], &p, err);
        if (rc == SHALE_OK && !shl_array_push(&gc->pins, p)) {
            pin_free(p);
            rc = shl_nomem(err);
        }
    }
    return rc;
}

/* gc->pins: what the checkpoints of the newest manifest need, and no more. A manifest that is missing may have been let go of by another collector
 * since we looked: then its checkpoint is in the newest one no longer. */
static shale_code load_pins(struct shl_gc *gc, shale_error *err)
{
    for (;;) {
        uint64_t looked_at = gc->manifests.versions.id;
        drop_old_pins(gc);
        shale_code rc = add_pins(gc, err);
        if (rc != SHALE_CORRUPTION)
            return rc;
        shale_error why = *err;
        rc = shl_manifests_load(&gc->manifests, err);
        if (rc != SHALE_OK)
            return rc;
        if (gc->manifests.versions.id == looked_at) {
            *err = why;
            return SHALE_CORRUPTION;
        }
    }
}

/* ---------------------------------------------------------------- deleting */

struct victims {
    SHL_ARRAY(char *) keys; /* owned */
    SHL_ARRAY(uint64_t) sizes;
    uint64_t bytes;
    uint64_t highest_id;
    uint64_t seen; /* objects of the kind */
};

static void victims_deinit(struct victims *v)
{
    for (size_t i = 0; i < v->keys.count; i++)
        env_free(v->keys.items[i]);
    shl_array_free(&v->keys);
    shl_array_free(&v->sizes);
}

/* Where the objects of a task lie, and how they are named. */
struct place {
    const char *dir;
    const char *extension; /* NULL: ULIDs */
};
static const struct place places[SHL_GC_TASKS] = {
    [SHL_GC_MANIFEST] = {"manifest", "manifest"},
    [SHL_GC_WAL] = {"wal", "sst"},
    [SHL_GC_WAL_FENCE] = {"wal", "sst"},
    [SHL_GC_COMPACTED] = {"compacted", NULL},
    [SHL_GC_COMPACTIONS] = {"compactions", "compactions"},
};

static bool may_delete(const struct shl_gc *gc, const char *key, const struct shl_gc_object *o)
{
    return gc->filter.may_delete == NULL ||
           gc->filter.may_delete(gc->filter.ctx, key, o->bytes, o->modified_ms);
}

static shale_code find_victims(struct shl_gc *gc, const struct shl_gc_view *view,
                               enum shl_gc_task task, struct victims *out, shale_error *err)
{
    const struct place *p = &places[task];
    bool is_wal = task == SHL_GC_WAL || task == SHL_GC_WAL_FENCE;
    uint64_t min_age_ms = gc->settings.tasks[task].min_age_ns / ENV_NS_PER_MS;
    struct shl_list list = {0};
    shale_code rc;
    char *dir = shl_name_dir(&gc->manifests.paths, p->dir);
    if (dir == NULL)
        return shl_nomem(err);
    /* Shallow: a folder below is somebody else's, whatever its objects are called. */
    SHL_TRY(shl_store_list(is_wal ? gc->wal_store : gc->store,
                           &(struct shl_list_options){.prefix = dir, .shallow = true}, &list, err));
    for (size_t i = 0; i < list.count; i++) {
        struct shl_gc_object o = {.bytes = list.items[i].size,
                                  .modified_ms =
                                      list.items[i].modified_ns / (int64_t)ENV_NS_PER_MS};
        bool named = p->extension != NULL
                         ? shl_name_parse_id(list.items[i].key, p->extension, &o.id)
                         : shl_name_parse_ulid(list.items[i].key, &o.ulid);
        out->seen += named;
        if (!named || !shl_gc_is_garbage(view, task, &o, min_age_ms))
            continue;
        out->highest_id =
            shl_max_u64(out->highest_id, o.id); /* the boundary covers what the filter keeps, too */
        if (!may_delete(gc, list.items[i].key, &o))
            continue;
        if (!shl_array_reserve(&out->keys, 1) || !shl_array_push(&out->sizes, o.bytes))
            SHL_TRY(shl_nomem(err));
        shl_array_add(&out->keys, list.items[i].key);
        list.items[i].key = NULL; /* moved */
        out->bytes += o.bytes;
    }
out:
    shl_list_free(&list);
    env_free(dir);
    return rc;
}

static shale_code delete_victims(struct shl_gc *gc, enum shl_gc_task task, const struct victims *v,
                                 struct shl_gc_result *r, shale_error *err)
{
    struct shl_store *store =
        task == SHL_GC_WAL || task == SHL_GC_WAL_FENCE ? gc->wal_store : gc->store;
    for (size_t at = 0; at < v->keys.count; at += BATCH_KEYS) {
        size_t n = shl_min_size(v->keys.count - at, BATCH_KEYS);
        if (is_stopped(gc))
            return SHALE_OK;
        ENV_POINT("gc before delete");
        shale_code rc =
            shl_store_delete_many(store, (const char *const *)(v->keys.items + at), n, err);
        if (rc != SHALE_OK)
            return rc;
        for (size_t i = at; i < at + n; i++) {
            shl_log_write(gc->log, SHL_LOG_INFO, "gc deleted %s", v->keys.items[i]);
            r->bytes += v->sizes.items[i];
        }
        r->count += n;
    }
    return SHALE_OK;
}

/* ---------------------------------------------------------------- unfinished writes */

struct sweeping {
    struct shl_gc *gc;
    struct shl_gc_result *result;
};

static void note_swept(void *ctx, const char *path, uint64_t bytes)
{
    const struct sweeping *s = ctx;
    shl_log_write(s->gc->log, SHL_LOG_INFO, "gc %s %s",
                  s->result->dry_run ? "would delete" : "deleted", path);
    s->result->count++;
    s->result->bytes += bytes;
}

/* What killed processes left of writes that never ended. Of the two tasks of wal/ one does it. */
static shale_code sweep(struct shl_gc *gc, enum shl_gc_task task, struct shl_gc_result *r,
                        shale_error *err)
{
    struct sweeping s = {.gc = gc, .result = r};
    if (task == SHL_GC_WAL_FENCE || is_stopped(gc))
        return SHALE_OK;
    return shl_unfinished_sweep(
        task == SHL_GC_WAL ? gc->wal_store : gc->store, &gc->manifests.paths, places[task].dir,
        &(struct shl_sweep){.age_ns =
                                shl_max_u64(SHL_SWEEP_AGE_NS, gc->settings.tasks[task].min_age_ns),
                            .dry_run = r->dry_run,
                            .visit = note_swept,
                            .ctx = &s},
        err);
}

/* ---------------------------------------------------------------- tasks */

/* A writer that slept must not find the id of a deleted object free: from here on what it writes there does not count. */
static shale_code move_boundary(struct shl_gc *gc, enum shl_gc_task task, uint64_t to,
                                shale_error *err)
{
    if (!gc->settings.boundary_files || (task != SHL_GC_MANIFEST && task != SHL_GC_COMPACTIONS))
        return SHALE_OK;
    return shl_sequenced_move_boundary(
        task == SHL_GC_MANIFEST ? &gc->manifests.versions : &gc->compactions, to, err);
}

static shale_code delete_objects(struct shl_gc *gc, const struct shl_gc_view *view,
                                 enum shl_gc_task task, struct shl_gc_result *r, shale_error *err)
{
    struct victims v = {.bytes = 0};
    shale_code rc;
    SHL_TRY(find_victims(gc, view, task, &v, err));
    r->left = v.seen;
    if (v.keys.count == 0)
        goto out;
    if (r->dry_run) {
        for (size_t i = 0; i < v.keys.count; i++)
            shl_log_write(gc->log, SHL_LOG_INFO, "gc would delete %s", v.keys.items[i]);
        r->count = v.keys.count;
        r->bytes = v.bytes;
        goto out;
    }
    SHL_TRY(move_boundary(gc, task, v.highest_id, err));
    ENV_POINT("gc after boundary");
    rc = delete_victims(gc, task, &v, r, err);
    r->left -= r->count;
out:
    victims_deinit(&v);
    return rc;
}

static shale_code run_objects(struct shl_gc *gc, const struct shl_gc_view *view,
                              enum shl_gc_task task, struct shl_gc_result *r, shale_error *err)
{
    shale_code rc = delete_objects(gc, view, task, r, err);
    return rc == SHALE_OK ? sweep(gc, task, r, err) : rc;
}

static shale_code edit_detach(struct shl_manifest *next, uint64_t next_id, void *arg,
                              shale_error *err)
{
    const struct shl_ulid *final_checkpoint = arg;
    (void)next_id;
    (void)err;
    for (size_t i = 0; i < next->external_dbs.count; i++)
        if (shl_ulid_eq(next->external_dbs.items[i].final_checkpoint, *final_checkpoint)) {
            shl_manifest_remove_external(next, i);
            return SHALE_OK;
        }
    return SHALE_DONE;
}

/* The parent lets go first: an entry without its checkpoint would be a clone without SSTs, a checkpoint without its entry only costs bytes. */
static shale_code detach_one(struct shl_gc *gc, const struct shl_external_db *e, shale_error *err)
{
    struct shl_manifests parent = {0};
    struct shl_ulid id = e->final_checkpoint; /* the entry goes away */
    char text[SHL_UUID_TEXT];
    shale_code rc;
    shl_uuid_format(id, text);
    SHL_TRY(shl_manifests_init(&parent, gc->store, e->path, true, err));
    rc = shl_checkpoint_delete(&parent, text, &id, err);
    if (rc == SHALE_NOT_FOUND) /* gone already, or the whole parent is */
        rc = SHALE_OK;
    if (rc == SHALE_OK)
        rc = shl_manifests_update(&gc->manifests, edit_detach, &id, err);
out:
    shl_manifests_deinit(&parent);
    return rc;
}

static shale_code run_detach(struct shl_gc *gc, const struct shl_gc_view *view,
                             struct shl_gc_result *r, shale_error *err)
{
    shale_code rc = SHALE_OK;
    /* From the end, and again from the end after each: an update may have brought another list. */
    for (size_t i = gc->manifests.newest->external_dbs.count; i-- > 0 && rc == SHALE_OK;) {
        if (i >= gc->manifests.newest->external_dbs.count)
            continue;
        const struct shl_external_db *e = &gc->manifests.newest->external_dbs.items[i];
        if (!e->has_final_checkpoint || !shl_gc_parent_is_free(view, e))
            continue;
        if (!r->dry_run)
            rc = detach_one(gc, e, err);
        r->count += rc == SHALE_OK;
    }
    return rc;
}

/* ---------------------------------------------------------------- a pass */

static bool needs_pins(unsigned mask)
{
    return (mask & (SHL_GC_BIT(SHL_GC_WAL) | SHL_GC_BIT(SHL_GC_WAL_FENCE) |
                    SHL_GC_BIT(SHL_GC_COMPACTED) | SHL_GC_BIT(SHL_GC_DETACH))) != 0;
}

static bool is_dry(const struct shl_gc *gc, unsigned mask)
{
    bool dry = true;
    for (unsigned i = 0; i < SHL_GC_TASKS; i++)
        dry = dry && ((mask & SHL_GC_BIT(i)) == 0 || gc->settings.tasks[i].dry_run);
    return dry;
}

/* The compactions file before the manifest: what a job wrote is in the file until the manifest has it. */
static shale_code load_view(struct shl_gc *gc, unsigned mask, struct shl_gc_report *out,
                            struct shl_gc_view *view, shale_error *err)
{
    shale_code rc = SHALE_OK;
    /* The database may have been deleted and made anew since the pass before, and its numbers begin again: nothing old is believed. */
    shl_manifests_doubt(&gc->manifests);
    gc->compactions.id = 0;
    shl_compactions_free(gc->jobs);
    gc->jobs = NULL;
    if ((mask & (SHL_GC_BIT(SHL_GC_COMPACTED) | SHL_GC_BIT(SHL_GC_COMPACTIONS))) != 0)
        rc = load_compactions(gc, err);
    ENV_POINT("gc between loads");
    if (rc == SHALE_OK)
        rc = shl_manifests_load(&gc->manifests, err);
    if (rc == SHALE_OK)
        rc = expire_checkpoints(gc, is_dry(gc, mask), &out->expired, err);
    if (rc != SHALE_OK)
        return rc;
    if (needs_pins(mask))
        rc = load_pins(gc, err);
    if (rc != SHALE_OK)
        return rc;
    return shl_gc_view_init(view, shl_clock_ms(&gc->settings.clock), gc->manifests.versions.id,
                            gc->manifests.newest, (const struct shl_gc_pin *const *)gc->pins.items,
                            gc->pins.count, gc->jobs, gc->compactions.id, err);
}

static void run_task(struct shl_gc *gc, const struct shl_gc_view *view, enum shl_gc_task task,
                     struct shl_gc_result *r)
{
    shale_error err = {0};
    r->ran = true;
    r->dry_run = gc->settings.tasks[task].dry_run;
    r->code = task == SHL_GC_DETACH ? run_detach(gc, view, r, &err)
                                    : run_objects(gc, view, task, r, &err);
    if (r->code != SHALE_OK)
        (void)snprintf(r->why, sizeof r->why, "%.*s", (int)sizeof r->why - 1, err.text);
    if (r->count > 0)
        shl_log_write(gc->log, SHL_LOG_INFO, "gc of %s: %s=%" PRIu64 " bytes=%" PRIu64,
                      shl_gc_task_name(task), r->dry_run ? "would_delete" : "deleted", r->count,
                      r->bytes);
}

shale_code shl_gc_run(struct shl_gc *gc, unsigned mask, struct shl_gc_report *out, shale_error *err)
{
    struct shl_gc_view view = {.pins = NULL};
    shale_code rc;
    *out = (struct shl_gc_report){.expired = 0};
    for (unsigned i = 0; i < SHL_GC_TASKS; i++)
        if (!gc->settings.tasks[i].on)
            mask &= ~SHL_GC_BIT(i);
    rc = load_view(gc, mask, out, &view, err);
    out->stopped = rc == SHALE_CLOSED && is_stopped(gc);
    if (rc != SHALE_OK)
        return out->stopped ? SHALE_OK : rc;
    for (unsigned i = 0; i < SHL_GC_TASKS; i++) {
        struct shl_gc_result *r = &out->tasks[i];
        if ((mask & SHL_GC_BIT(i)) == 0 || is_stopped(gc))
            continue;
        run_task(gc, &view, (enum shl_gc_task)i, r);
        if (rc == SHALE_OK && r->code != SHALE_OK && r->code != SHALE_NOT_SUPPORTED)
            rc = shl_fail(err, r->code, "%s", r->why);
    }
    out->stopped = is_stopped(gc);
    shl_gc_view_deinit(&view);
    return rc;
}

/* ---------------------------------------------------------------- when */

/* A task that took long is not made up for: its next time is an interval from when it began. */

static uint64_t plus(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return shl_add_u64(a, b, &sum) ? sum : UINT64_MAX;
}

void shl_gc_count(struct shl_lsm_gc_counts *n, const struct shl_gc_report *report)
{
    const struct shl_gc_result *manifests = &report->tasks[SHL_GC_MANIFEST];
    const struct shl_gc_result *compactions = &report->tasks[SHL_GC_COMPACTIONS];
    n->passes++;
    for (unsigned i = 0; i < SHL_GC_TASKS; i++)
        n->deleted[i] += report->tasks[i].dry_run ? 0 : report->tasks[i].count;
    if (manifests->ran)
        n->manifest_versions = manifests->left;
    if (compactions->ran)
        n->compactions_versions = compactions->left;
}

void shl_gc_clock_init(struct shl_gc_clock *c, const struct shl_gc_settings *s, bool at_once)
{
    uint64_t now = env_now_mono_ns();
    c->next_ns = now;
    for (unsigned i = 0; i < SHL_GC_TASKS; i++)
        c->due_ns[i] = at_once ? now : plus(now, s->tasks[i].interval_ns);
}

unsigned shl_gc_clock_take(struct shl_gc_clock *c, const struct shl_gc_settings *s)
{
    uint64_t now = env_now_mono_ns();
    unsigned mask = 0;
    c->next_ns = UINT64_MAX;
    for (unsigned i = 0; i < SHL_GC_TASKS; i++) {
        if (!s->tasks[i].on)
            continue;
        if (now >= c->due_ns[i]) {
            mask |= SHL_GC_BIT(i);
            c->due_ns[i] = plus(now, s->tasks[i].interval_ns);
        }
        c->next_ns = shl_min_u64(c->next_ns, c->due_ns[i]);
    }
    return mask;
}

/* ---------------------------------------------------------------- what a fenced writer leaves */

shale_code shl_gc_drop_orphans(struct shl_gc *gc, uint64_t epoch, const struct shl_ulid *ids,
                               size_t count, size_t *dropped, shale_error *err)
{
    struct shl_gc_view view = {.pins = NULL};
    struct victims v = {.bytes = 0};
    struct shl_gc_result r = {.ran = true};
    shale_code rc;
    *dropped = 0;
    SHL_TRY(shl_manifests_load(&gc->manifests, err));
    /* A manifest of ours cannot come into being any more once there is one with a higher epoch: its id is taken. */
    if (gc->manifests.newest->writer_epoch <= epoch)
        goto out;
    SHL_TRY(load_pins(gc, err));
    SHL_TRY(shl_gc_view_init(&view, shl_clock_ms(&gc->settings.clock), gc->manifests.versions.id,
                             gc->manifests.newest, (const struct shl_gc_pin *const *)gc->pins.items,
                             gc->pins.count, NULL, 0, err));
    for (size_t i = 0; i < count; i++) {
        if (shl_gc_names(&view, ids[i]))
            continue;
        char *key = shl_name_sst(&gc->manifests.paths, ids[i]);
        if (key == NULL || !shl_array_push(&v.sizes, (uint64_t)0) ||
            !shl_array_push(&v.keys, key)) {
            env_free(key);
            SHL_TRY(shl_nomem(err));
        }
    }
    SHL_TRY(delete_victims(gc, SHL_GC_COMPACTED, &v, &r, err));
    *dropped = r.count;
out:
    victims_deinit(&v);
    shl_gc_view_deinit(&view);
    return rc;
}
