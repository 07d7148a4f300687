#include "lsm/compactor/request.h"

#include "base/codec/json.h"
#include "base/env/env.h"
#include "base/num.h"
#include "lsm/compactor/file.h"

#include <inttypes.h>

#define SEGMENT_SHOWN 60 /* bytes of its prefix in a message */

#define SEGMENT_BYTES_MAX 65535

void shl_request_deinit(struct shl_request *r)
{
    shl_buf_free(&r->segment);
    shl_compaction_deinit(&r->spec);
    *r = (struct shl_request){.kind = SHL_REQUEST_FULL};
}

/* ---------------------------------------------------------------- text to request */

static shale_code bad(shale_error *err, const char *what)
{
    return shl_fail(err, SHALE_INVALID,
                    "compaction request: %s; it is \"Full\", {\"FullSegment\":{\"segment\":[..]}} "
                    "or {\"Spec\":{\"Tiered\":{\"segment\":[..],\"sources\":[{\"SstView\":\"..\"},"
                    "{\"SortedRun\":3}],\"destination\":3}}}",
                    what);
}

/* An array of byte values. */
static shale_code read_segment(const json_t *object, struct shl_buf *out, shale_error *err)
{
    const json_t *bytes = json_object_get(object, "segment");
    size_t i;
    const json_t *item;
    if (!json_is_array(bytes) || json_array_size(bytes) > SEGMENT_BYTES_MAX)
        return bad(err, "\"segment\" is no array of bytes");
    json_array_foreach(bytes, i, item)
    {
        json_int_t v = json_is_integer(item) ? json_integer_value(item) : -1;
        uint8_t byte = (uint8_t)v;
        if (v < 0 || v > 255)
            return bad(err, "\"segment\" holds something that is no byte (0 to 255)");
        shale_code rc = shl_buf_append(out, &byte, 1, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

static shale_code read_source(const json_t *source, struct shl_compaction *job, shale_error *err)
{
    struct shl_slice text;
    struct shl_ulid id;
    uint64_t run;
    if (shl_json_get_str(source, "SstView", &text)) {
        if (!shl_ulid_parse(text, &id))
            return bad(err, "an \"SstView\" is no ULID");
        if (job->runs.count > 0)
            return bad(err, "L0 SSTables stand before sorted runs, newest first");
        job->has_l0_view_ids = true;
        return shl_array_push(&job->l0_view_ids, id) ? SHALE_OK : shl_nomem(err);
    }
    if (shl_json_get_u64(source, "SortedRun", &run) && run <= UINT32_MAX) {
        job->has_runs = true;
        return shl_array_push(&job->runs, (uint32_t)run) ? SHALE_OK : shl_nomem(err);
    }
    return bad(err, "a source is neither {\"SstView\":\"ULID\"} nor {\"SortedRun\":number}");
}

static shale_code read_spec(const json_t *object, struct shl_compaction *job, shale_error *err)
{
    const json_t *tiered = json_object_get(object, "Tiered");
    const json_t *drain = json_object_get(object, "DrainSegment");
    const json_t *body = tiered != NULL ? tiered : drain;
    uint64_t destination = 0;
    size_t i;
    const json_t *source;
    if (!json_is_object(body))
        return bad(err, "\"Spec\" holds neither \"Tiered\" nor \"DrainSegment\"");
    const json_t *sources = json_object_get(body, "sources");
    job->kind = tiered != NULL ? SHL_COMPACTION_TIERED : SHL_COMPACTION_DRAIN;
    job->status = SHL_COMPACTION_SUBMITTED;
    shale_code rc = read_segment(body, &job->segment, err);
    if (rc != SHALE_OK)
        return rc;
    if (!json_is_array(sources))
        return bad(err, "\"sources\" is no array");
    json_array_foreach(sources, i, source)
    {
        rc = read_source(source, job, err);
        if (rc != SHALE_OK)
            return rc;
    }
    if (tiered != NULL &&
        (!shl_json_get_u64(body, "destination", &destination) || destination > UINT32_MAX))
        return bad(err, "\"destination\" is no number of a sorted run");
    job->destination = (uint32_t)destination;
    return SHALE_OK;
}

shale_code shl_request_parse(struct shl_slice json, struct shl_request *out, shale_error *err)
{
    json_t *value = NULL;
    struct shl_request r = {.kind = SHL_REQUEST_FULL};
    shale_code rc = shl_json_parse(json, &value, err);
    if (rc != SHALE_OK) {
        shl_err_prefix(err, "compaction request");
        return rc;
    }
    const json_t *segment = json_object_get(value, "FullSegment");
    const json_t *spec = json_object_get(value, "Spec");
    if (json_is_string(value) && strcmp(json_string_value(value), "Full") == 0) {
        r.kind = SHL_REQUEST_FULL;
    } else if (json_is_object(segment)) {
        r.kind = SHL_REQUEST_FULL_SEGMENT;
        rc = read_segment(segment, &r.segment, err);
    } else if (json_is_object(spec)) {
        r.kind = SHL_REQUEST_SPEC;
        rc = read_spec(spec, &r.spec, err);
    } else {
        rc = bad(err, "it is none that is known");
    }
    json_decref(value);
    if (rc == SHALE_OK)
        *out = r;
    else
        shl_request_deinit(&r);
    return rc;
}

/* ---------------------------------------------------------------- request to jobs */

static shale_code full_job(const struct shl_tree *t, struct shl_slice segment, shl_proposals *out,
                           shale_error *err)
{
    struct shl_compaction job;
    struct shl_pick all = {.run_count = t->runs.count,
                           .destination = t->runs.items[t->runs.count - 1].id};
    shale_code rc = shl_pick_job(t, segment, &all, &job, err);
    if (rc != SHALE_OK)
        return rc;
    if (shl_array_push(out, job))
        return SHALE_OK;
    shl_compaction_deinit(&job);
    return shl_nomem(err);
}

static shale_code plan_full(const struct shl_manifest *m, shl_proposals *out, shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (size_t i = 0; rc == SHALE_OK && i <= m->segments.count; i++) {
        const struct shl_segment *s = i == 0 ? NULL : &m->segments.items[i - 1];
        const struct shl_tree *t = s == NULL ? &m->root : &s->tree;
        struct shl_slice none = {0};
        if (t->runs.count > 0)
            rc = full_job(t, s == NULL ? none : shl_buf_view(&s->prefix), out, err);
    }
    return rc;
}

static shale_code plan_segment(const struct shl_request *r, const struct shl_manifest *m,
                               shl_proposals *out, shale_error *err)
{
    struct shl_compaction named = {.worker_id = NULL};
    shale_code rc = shl_buf_set(&named.segment, shl_buf_view(&r->segment), err);
    if (rc != SHALE_OK)
        return rc;
    const struct shl_tree *t = shl_job_tree(m, &named);
    if (t == NULL)
        rc = shl_fail(err, SHALE_INVALID, "compaction request: there is no segment \"%.*s\"",
                      (int)shl_min_size(r->segment.len, SEGMENT_SHOWN),
                      r->segment.len > 0 ? (const char *)r->segment.data : "");
    else if (t->runs.count == 0)
        rc = shl_fail(err, SHALE_INVALID,
                      "compaction request: the segment has no sorted run, only %zu L0 SSTables",
                      t->l0.count);
    else
        rc = full_job(t, shl_buf_view(&r->segment), out, err);
    shl_compaction_deinit(&named);
    return rc;
}

static shale_code plan_spec(const struct shl_request *r, const struct shl_manifest *m,
                            shl_proposals *out, shale_error *err)
{
    struct shl_compaction job;
    const char *why = shl_job_check(m, &r->spec, SHL_STAGE_SUBMITTED);
    if (why != NULL)
        return shl_fail(err, SHALE_INVALID, "compaction request: it cannot be run: %s", why);
    shale_code rc = shl_compaction_copy(&r->spec, &job, err);
    if (rc != SHALE_OK)
        return rc;
    if (shl_array_push(out, job))
        return SHALE_OK;
    shl_compaction_deinit(&job);
    return shl_nomem(err);
}

shale_code shl_request_plan(const struct shl_request *r, const struct shl_manifest *m,
                            shl_proposals *out, shale_error *err)
{
    switch (r->kind) {
    case SHL_REQUEST_FULL:
        return plan_full(m, out, err);
    case SHL_REQUEST_FULL_SEGMENT:
        return plan_segment(r, m, out, err);
    case SHL_REQUEST_SPEC:
        return plan_spec(r, m, out, err);
    }
    return SHALE_OK;
}

/* ---------------------------------------------------------------- jobs to the file */

shale_code shl_request_conflict(const struct shl_compaction *other, shale_error *err)
{
    char rival[SHL_ULID_TEXT];
    shl_ulid_format(other->id, rival);
    return shl_fail(err, SHALE_CONFLICT,
                    "compaction request: job %s (%s) has a source or the destination of it", rival,
                    shl_job_status_name(other->status));
}

static shale_code add_jobs(struct shl_compactions *next, const shl_proposals *jobs,
                           const struct shl_clock *clock, shale_error *err)
{
    uint64_t newest =
        next->jobs.count > 0 ? shl_ulid_time_ms(next->jobs.items[next->jobs.count - 1].id) : 0;
    for (size_t i = 0; i < jobs->count; i++) {
        struct shl_compaction *job = &jobs->items[i];
        struct shl_compaction copy;
        job->status = SHL_COMPACTION_SUBMITTED;
        job->id = shl_ulid_make(shl_max_u64(newest, shl_clock_unix_ms(clock)), env_rand64(),
                                env_rand64());
        const struct shl_compaction *other = shl_jobs_rival(next, job, true);
        if (other != NULL)
            return shl_request_conflict(other, err);
        shale_code rc = shl_compaction_copy(job, &copy, err);
        if (rc != SHALE_OK)
            return rc;
        rc = shl_jobs_insert(next, &copy, err);
        if (rc != SHALE_OK) {
            shl_compaction_deinit(&copy);
            return rc;
        }
    }
    return SHALE_OK;
}

shale_code shl_request_manifest(struct shl_store *store, const struct shl_db_paths *paths,
                                struct shl_manifest **out, shale_error *err)
{
    struct shl_sequenced manifests;
    struct shl_buf body = {0};
    bool changed;
    shl_sequenced_init(&manifests, store, paths, "manifest", NULL);
    shale_code rc = shl_sequenced_load(&manifests, &body, &changed, err);
    if (rc == SHALE_NOT_FOUND)
        rc = shl_fail(err, SHALE_NOT_FOUND, "no database here: %s has no %s%smanifest/",
                      store->name, paths->r1, paths->r1[0] != '\0' ? "/" : "");
    if (rc == SHALE_OK) {
        rc = shl_manifest_decode(shl_buf_view(&body), out, err);
        if (rc != SHALE_OK)
            shl_err_prefix(err, "%s/manifest/%020" PRIu64 ".manifest", paths->r1, manifests.id);
    }
    shl_buf_free(&body);
    return rc;
}

/* What to submit: a request, or (NULL) what the scheduler finds. */
struct wish {
    const struct shl_request *request;
    const struct shl_scheduler *scheduler;
    size_t slots;
    const struct shl_clock *clock;
};

static shale_code plan_wish(const struct wish *w, const struct shl_manifest *m,
                            const struct shl_compactions *now, shl_proposals *out, shale_error *err)
{
    struct shl_compactions nothing = {.stored_version = 2};
    if (w->request != NULL)
        return shl_request_plan(w->request, m, out, err);
    return w->scheduler->propose(w->scheduler->ctx, m, now != NULL ? now : &nothing, w->slots, out,
                                 err);
}

/* One try; PRECONDITION: somebody else wrote the file. */
static shale_code try_submit(struct shl_compactions_file *file, const struct shl_db_paths *paths,
                             const struct wish *w, shl_proposals *out, shale_error *err)
{
    struct shl_compactions *next = NULL;
    struct shl_manifest *m = NULL;
    bool changed;
    shale_code rc;
    /* The file before the manifest, as everywhere. */
    SHL_TRY(shl_compactions_file_load(file, &changed, err));
    SHL_TRY(shl_request_manifest(file->versions.store, paths, &m, err));
    SHL_TRY(plan_wish(w, m, file->now, out, err));
    if (out->count == 0)
        goto out;
    if (file->now != NULL)
        SHL_TRY(shl_compactions_clone(file->now, &next, err));
    else
        SHL_TRY(shl_compactions_new(&next, err));
    SHL_TRY(add_jobs(next, out, w->clock, err));
    SHL_TRY(shl_compactions_file_write(file, &next, err));
out:
    shl_compactions_free(next);
    shl_manifest_free(m);
    return rc;
}

static shale_code submit(struct shl_store *store, const char *path, const struct wish *w,
                         shl_proposals *out, shale_error *err)
{
    struct shl_db_paths paths = {0};
    struct shl_compactions_file file;
    shale_code rc = shl_db_paths_init(&paths, path, err);
    if (rc != SHALE_OK)
        return rc;
    shl_compactions_file_init(&file, store, &paths, NULL);
    do {
        shl_proposals_free(out);
        rc = try_submit(&file, &paths, w, out, err);
    } while (rc == SHALE_PRECONDITION);
    if (rc != SHALE_OK)
        shl_proposals_free(out);
    shl_compactions_file_deinit(&file);
    shl_db_paths_deinit(&paths);
    return rc;
}

shale_code shl_request_submit(struct shl_store *store, const char *path,
                              const struct shl_clock *clock, const struct shl_request *r,
                              shl_proposals *out, shale_error *err)
{
    return submit(store, path, &(struct wish){.request = r, .clock = clock}, out, err);
}

shale_code shl_request_submit_due(struct shl_store *store, const char *path,
                                  const struct shl_clock *clock,
                                  const struct shl_scheduler *scheduler, size_t slots,
                                  shl_proposals *out, shale_error *err)
{
    return submit(store, path,
                  &(struct wish){.scheduler = scheduler, .slots = slots, .clock = clock}, out, err);
}
