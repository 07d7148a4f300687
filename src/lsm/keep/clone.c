#include "lsm/keep/clone.h"

#include "base/env/env.h"
#include "base/num.h"
#include "lsm/keep/checkpoint.h"
#include "lsm/keep/remove.h"
#include "lsm/wal.h"
#include <inttypes.h>

#define SOURCE_LIFETIME_MS (300 * 1000) /* until the final checkpoint is there */

/* A source at work. */
struct part {
    struct shl_manifests manifests;
    struct shl_ulid checkpoint;
    struct shl_manifest *manifest; /* owned: that of the checkpoint, cut down */
    bool cut;
};

struct work {
    const struct shl_clone *how;
    struct shl_store *wal_store; /* borrowed */
    struct shl_manifests target;
    struct part *parts; /* owned */
    uint64_t left_out;  /* WAL objects that the clone does not have */
};

static void work_deinit(struct work *w)
{
    for (size_t i = 0; w->parts != NULL && i < w->how->source_count; i++) {
        shl_manifest_free(w->parts[i].manifest);
        shl_manifests_deinit(&w->parts[i].manifests);
    }
    env_free(w->parts);
    shl_manifests_deinit(&w->target);
}

static shale_code work_init(struct work *w, const struct shl_clone *c, shale_error *err)
{
    *w = (struct work){.how = c, .wal_store = c->wal_store != NULL ? c->wal_store : c->store};
    if (c->source_count == 0)
        return shl_fail(err, SHALE_INVALID, "clone: no source is given");
    w->parts = env_calloc(c->source_count, sizeof *w->parts);
    if (w->parts == NULL)
        return shl_nomem(err);
    shale_code rc = shl_manifests_init(&w->target, c->store, c->path, false, err);
    for (size_t i = 0; i < c->source_count && rc == SHALE_OK; i++)
        rc = shl_manifests_init(&w->parts[i].manifests, c->store, c->sources[i].path, false, err);
    return rc;
}

static const char *root_of(const struct work *w, size_t i)
{
    return w->parts[i].manifests.paths.r1;
}

static shale_code check_names(const struct work *w, shale_error *err)
{
    for (size_t i = 0; i < w->how->source_count; i++) {
        if (strcmp(root_of(w, i), w->target.paths.r1) == 0)
            return shl_fail(err, SHALE_INVALID, "clone: \"%s\" is both source and target",
                            root_of(w, i));
        for (size_t k = 0; k < i; k++)
            if (strcmp(root_of(w, i), root_of(w, k)) == 0)
                return shl_fail(err, SHALE_INVALID, "clone: source \"%s\" is given twice",
                                root_of(w, i));
    }
    return SHALE_OK;
}

/* ---------------------------------------------------------------- a target that is there */

static const struct shl_external_db *entry_of(const struct shl_manifest *m, const char *r1)
{
    for (size_t i = 0; i < m->external_dbs.count; i++)
        if (strcmp(m->external_dbs.items[i].path, r1) == 0)
            return &m->external_dbs.items[i];
    return NULL;
}

/* It is the clone that is asked for, finished or not. */
static shale_code check_target(struct work *w, shale_error *err)
{
    for (size_t i = 0; i < w->how->source_count; i++) {
        const struct shl_external_db *e = entry_of(w->target.newest, root_of(w, i));
        const char *asked = w->how->sources[i].checkpoint;
        const struct shl_checkpoint *c;
        if (e == NULL)
            return shl_fail(err, SHALE_ALREADY_EXISTS,
                            "\"%s\" is a database already, and no clone of \"%s\"",
                            w->target.paths.r1, root_of(w, i));
        shale_code rc = shl_manifests_load(&w->parts[i].manifests, err);
        if (rc == SHALE_OK && asked != NULL)
            rc = shl_checkpoint_find(w->parts[i].manifests.newest, asked, root_of(w, i), &c, err);
        if (rc != SHALE_OK)
            return rc;
        if (asked != NULL && !shl_ulid_eq(c->id, e->source_checkpoint))
            return shl_fail(err, SHALE_ALREADY_EXISTS,
                            "\"%s\" is a clone of \"%s\" at another checkpoint", w->target.paths.r1,
                            root_of(w, i));
        if (w->target.newest->initialized &&
            shl_checkpoint_at(w->parts[i].manifests.newest, e->final_checkpoint) == NULL)
            return shl_fail(err, SHALE_CORRUPTION,
                            "\"%s\" has lost the checkpoint that its clone \"%s\" holds there",
                            root_of(w, i), w->target.paths.r1);
    }
    return SHALE_OK;
}

/* ---------------------------------------------------------------- the sources */

static shale_code pick_checkpoint(struct part *p, const struct shl_clone_source *s, int64_t now_ms,
                                  uint64_t *manifest_id, shale_error *err)
{
    const struct shl_checkpoint *found;
    if (s->checkpoint == NULL) {
        struct shl_checkpoint_want want = {
            .id = shl_checkpoint_new_id(), .now_ms = now_ms, .lifetime_ms = SOURCE_LIFETIME_MS};
        p->checkpoint = want.id;
        return shl_checkpoint_create(&p->manifests, &want, manifest_id, err);
    }
    shale_code rc =
        shl_checkpoint_find(p->manifests.newest, s->checkpoint, p->manifests.paths.r1, &found, err);
    if (rc == SHALE_OK) {
        p->checkpoint = found->id;
        *manifest_id = found->manifest_id;
    }
    return rc;
}

/* Whether a WAL object has rows that are not in L0 yet. Often the last one has none: a flush does not move the boundary all the way. */
static shale_code check_object(const struct work *w, const struct part *p,
                               const struct shl_wal_item *o, shale_error *err)
{
    struct shl_wal_file f = {0};
    shale_code rc = shl_wal_file_read(w->wal_store, &p->manifests.paths, o->id, o->bytes,
                                      w->how->transformer, &f, err);
    for (size_t i = 0; rc == SHALE_OK && i < f.count; i++)
        if (f.rows[i].seq > p->manifest->last_l0_seq)
            rc = shl_fail(err, SHALE_INVALID,
                          "\"%s\" has rows that are only in the WAL (object %" PRIu64
                          "): they cannot be cut or joined; flush its memtable first",
                          p->manifests.paths.r1, o->id);
    shl_wal_file_deinit(&f);
    return rc;
}

/* Rows that are in the WAL only cannot be cut or joined. */
static shale_code check_wal_is_empty(const struct work *w, const struct part *p, bool newest,
                                     shale_error *err)
{
    shl_wal_items items = {0};
    shale_code rc = shl_wal_list(w->wal_store, &p->manifests.paths,
                                 p->manifest->replay_after_wal_id, &items, err);
    for (size_t i = 0; i < items.count && rc == SHALE_OK; i++)
        if (items.items[i].bytes > 0 &&
            (newest || items.items[i].id <= p->manifest->wal_id_last_seen))
            rc = check_object(w, p, &items.items[i], err);
    shl_array_free(&items);
    return rc;
}

/* All WAL objects that are to be copied must be there, before anything is made. What an open writer has made durable since its last manifest is in no checkpoint that
 * others make. */
static shale_code look_at_wal(struct work *w, const struct part *p, const struct shl_manifest *m,
                              bool newest, shale_error *err)
{
    shl_wal_items items = {0};
    uint64_t end = m->replay_after_wal_id;
    shale_code rc =
        shl_wal_list(w->wal_store, &p->manifests.paths, end > 0 ? end - 1 : 0, &items, err);
    bool none = newest && items.count == 0; /* of a checkpoint the boundary's may be collected */
    for (size_t i = 0; i < items.count; i++) {
        end += items.items[i].id == end + 1;
        w->left_out +=
            newest && items.items[i].id > m->wal_id_last_seen && items.items[i].bytes > 0;
    }
    if (rc == SHALE_OK && shl_manifest_lacks_wal(m, end, none))
        rc = shl_wal_lacks(&p->manifests.paths, m, end, none, err);
    shl_array_free(&items);
    return rc;
}

static shale_code load_source(struct work *w, size_t i, shale_error *err)
{
    struct part *p = &w->parts[i];
    const struct shl_clone_source *s = &w->how->sources[i];
    bool picks = s->segment_count > 0 || s->segment != NULL;
    uint64_t manifest_id;
    shale_code rc;
    SHL_TRY(shl_manifests_load(&p->manifests, err));
    if (!p->manifests.newest->initialized)
        SHL_TRY(shl_fail(err, SHALE_CORRUPTION, "\"%s\" is a clone that was never finished",
                         p->manifests.paths.r1));
    p->cut = s->range != NULL || picks || w->how->source_count > 1;
    if (s->checkpoint == NULL)
        SHL_TRY(look_at_wal(w, p, p->manifests.newest, true, err));
    SHL_TRY(pick_checkpoint(p, s, shl_clock_ms(&w->how->clock), &manifest_id, err));
    SHL_TRY(shl_manifests_read(&p->manifests, manifest_id, &p->manifest, err));
    if (p->cut)
        SHL_TRY(check_wal_is_empty(w, p, s->checkpoint == NULL, err));
    if (s->checkpoint != NULL)
        SHL_TRY(look_at_wal(w, p, p->manifest, false, err));
    if (s->range != NULL)
        SHL_TRY(shl_clone_project(p->manifest, s->range, err));
    if (picks)
        SHL_TRY(shl_clone_pick_segments(p->manifest, s, p->manifests.paths.r1, err));
    if (p->cut) /* nothing is left to be replayed */
        p->manifest->replay_after_wal_id = p->manifest->wal_id_last_seen;
out:
    return rc;
}

/* What a deleted database left in another store would be replayed as the clone's own. *is_there: somebody has just made the target, and the rows are its. */
static shale_code check_no_rows_wait(struct work *w, bool *is_there, shale_error *err)
{
    shl_wal_items items = {0};
    shale_error ignored;
    if (w->wal_store == w->how->store)
        return SHALE_OK;
    shale_code rc = shl_wal_list(w->wal_store, &w->target.paths, 0, &items, err);
    if (rc == SHALE_OK)
        rc = shl_wal_has_no_rows(&items, &w->target.paths, w->wal_store, "the clone", err);
    shl_array_free(&items);
    *is_there = rc == SHALE_INVALID && shl_manifests_load(&w->target, &ignored) == SHALE_OK;
    return *is_there ? SHALE_OK : rc;
}

static shale_code create_target(struct work *w, shale_error *err)
{
    struct shl_clone_part *parts = env_calloc(w->how->source_count, sizeof *parts);
    struct shl_manifest *m = NULL;
    shale_code rc = parts == NULL ? shl_nomem(err) : SHALE_OK;
    for (size_t i = 0; i < w->how->source_count && rc == SHALE_OK; i++) {
        rc = load_source(w, i, err);
        parts[i] = (struct shl_clone_part){.r1 = root_of(w, i),
                                           .checkpoint = w->parts[i].checkpoint,
                                           .manifest = w->parts[i].manifest};
    }
    if (rc == SHALE_OK)
        rc = shl_clone_manifest(parts, w->how->source_count, &m, err);
    bool is_there = false;
    if (rc == SHALE_OK)
        rc = check_no_rows_wait(w, &is_there, err);
    ENV_POINT("clone before manifest 1");
    if (rc == SHALE_OK && !is_there)
        rc = shl_manifests_create(&w->target, m, err);
    if (rc == SHALE_PRECONDITION) /* somebody makes it too: theirs counts, if it is the same */
        rc = shl_manifests_load(&w->target, err);
    if (rc == SHALE_OK)
        rc = check_target(w, err);
    shl_manifest_free(m);
    env_free(parts);
    return rc;
}

/* ---------------------------------------------------------------- what is borrowed */

/* In each place that SSTs are borrowed from, a checkpoint without an end. */
static shale_code pin_one(struct work *w, const struct shl_external_db *e, shale_error *err)
{
    struct shl_manifests parent = {0};
    char source[SHL_UUID_TEXT];
    uint64_t manifest_id;
    shale_code rc;
    SHL_TRY(shl_manifests_init(&parent, w->how->store, e->path, true, err));
    SHL_TRY(shl_manifests_load(&parent, err));
    if (shl_checkpoint_at(parent.newest, e->final_checkpoint) != NULL)
        goto out;
    shl_uuid_format(e->source_checkpoint, source);
    ENV_POINT("clone before a pin");
    rc = shl_checkpoint_create(&parent,
                               &(struct shl_checkpoint_want){.id = e->final_checkpoint,
                                                             .now_ms = shl_clock_ms(&w->how->clock),
                                                             .source = source},
                               &manifest_id, err);
    if (rc == SHALE_NOT_FOUND)
        rc = shl_fail(err, SHALE_CORRUPTION,
                      "the unfinished clone \"%s\" needs checkpoint %s of \"%s\", which is gone: "
                      "delete the clone and begin again",
                      w->target.paths.r1, source, e->path);
out:
    shl_manifests_deinit(&parent);
    return rc;
}

static shale_code pin_all(struct work *w, shale_error *err)
{
    const struct shl_manifest *m = w->target.newest;
    for (size_t i = 0; i < m->external_dbs.count; i++) {
        shale_code rc = pin_one(w, &m->external_dbs.items[i], err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

static shale_code copy_object(struct work *w, const struct shl_db_paths *from, uint64_t id,
                              shale_error *err)
{
    char *source = shl_name_wal(from, id);
    char *target = shl_name_wal(&w->target.paths, id);
    ENV_POINT("clone before a copy");
    shale_code rc = source == NULL || target == NULL
                        ? shl_nomem(err)
                        : shl_store_copy(w->wal_store, source, target, true, err);
    if (rc == SHALE_ALREADY_EXISTS) /* of an earlier try: objects of the WAL do not change */
        rc = SHALE_OK;
    env_free(source);
    env_free(target);
    return rc;
}

/* An object without rows, so that the manifest knows of one: where it is not, the WAL is in another store. */
static shale_code put_fence(struct work *w, uint64_t id, shale_error *err)
{
    char *key = shl_name_wal(&w->target.paths, id);
    shale_code rc = key == NULL
                        ? shl_nomem(err)
                        : shl_store_put(w->wal_store, key, NULL, 0,
                                        &(struct shl_put){.mode = SHL_PUT_CREATE}, NULL, err);
    env_free(key);
    return rc == SHALE_ALREADY_EXISTS ? SHALE_OK : rc; /* of an earlier try */
}

/* The WAL of a whole source, object by object under the same ids; *last: up to which one. */
static shale_code copy_wal(struct work *w, uint64_t *copied, uint64_t *last, shale_error *err)
{
    const struct shl_manifest *m = w->target.newest;
    shale_code rc = SHALE_OK;
    *last = m->wal_id_last_seen;
    if (m->replay_after_wal_id >= *last) {
        *last = m->replay_after_wal_id + 1;
        return put_fence(w, *last, err);
    }
    for (uint64_t id = m->replay_after_wal_id + 1; id <= *last && rc == SHALE_OK; id++) {
        rc = copy_object(w, &w->parts[0].manifests.paths, id, err);
        *copied += rc == SHALE_OK;
    }
    return rc;
}

static shale_code edit_done(struct shl_manifest *next, uint64_t next_id, void *arg,
                            shale_error *err)
{
    const uint64_t *last = arg;
    (void)next_id;
    (void)err;
    if (next->initialized)
        return SHALE_DONE; /* somebody was faster */
    next->initialized = true;
    next->wal_id_last_seen = shl_max_u64(next->wal_id_last_seen, *last);
    return SHALE_OK;
}

/* ---------------------------------------------------------------- whether it stands */

static shale_code is_pinned(const struct work *w, const struct shl_external_db *e, bool *pinned,
                            shale_error *err)
{
    struct shl_manifests parent = {0};
    shale_code rc = shl_manifests_init(&parent, w->how->store, e->path, true, err);
    if (rc == SHALE_OK)
        rc = shl_manifests_load(&parent, err);
    *pinned = rc == SHALE_OK && shl_checkpoint_at(parent.newest, e->final_checkpoint) != NULL;
    shl_manifests_deinit(&parent);
    return rc == SHALE_NOT_FOUND ? SHALE_OK : rc;
}

/* Who deletes a database marks it first, gives up its pins, then takes the objects: one that began before the last manifest is seen by one of these.
 * *used: not whole, but others have written to it since. */
static shale_code is_whole(const struct work *w, bool *whole, bool *used, shale_error *err)
{
    struct shl_manifests now = {0};
    bool begun;
    shale_code rc = shl_manifests_init(&now, w->how->store, w->how->path, false, err);
    *whole = *used = false;
    if (rc == SHALE_OK)
        rc = shl_remove_is_begun(w->how->store, &now.paths, &begun, err);
    if (rc != SHALE_OK || begun)
        goto out;
    rc = shl_manifests_load(&now, err);
    *used = rc == SHALE_OK && now.versions.id != w->target.versions.id;
    *whole = rc == SHALE_OK && now.newest->initialized;
    for (size_t i = 0; rc == SHALE_OK && *whole && i < now.newest->external_dbs.count; i++)
        rc = is_pinned(w, &now.newest->external_dbs.items[i], whole, err);
out:
    shl_manifests_deinit(&now);
    return rc == SHALE_NOT_FOUND ? SHALE_OK : rc;
}

/* What was made since the deletion goes too: it would be a database without its pins, or pins without a database. */
static shale_code check_it_stands(struct work *w, shale_error *err)
{
    const struct shl_remove all = {
        .store = w->how->store, .wal_store = w->how->wal_store, .path = w->how->path};
    struct shl_removed gone;
    bool whole, used;
    shale_code rc = is_whole(w, &whole, &used, err);
    if (rc != SHALE_OK || whole)
        return rc;
    if (used)
        return shl_fail(err, SHALE_CONFLICT,
                        "\"%s\" lacks a checkpoint that it needs in a source, and others have "
                        "written to it since it was made: it stays as it is",
                        w->target.paths.r1);
    rc = shl_remove_pins(w->how->store, w->target.newest, err);
    if (rc == SHALE_OK)
        rc = shl_remove_run(&all, &gone, err);
    if (rc == SHALE_OK || rc == SHALE_NOT_FOUND)
        return shl_fail(err, SHALE_CONFLICT,
                        "\"%s\" is being deleted, or was while it was made: nothing is left of it",
                        w->target.paths.r1);
    shl_err_prefix(err, "\"%s\" was deleted while it was made, and what is left of it must go",
                   w->target.paths.r1);
    return rc;
}

static uint64_t count_ssts(const struct shl_manifest *m)
{
    uint64_t n = 0;
    for (size_t i = 0; i < m->external_dbs.count; i++)
        n += m->external_dbs.items[i].sst_ids.count;
    return n;
}

shale_code shl_clone_run(const struct shl_clone *c, struct shl_cloned *out, shale_error *err)
{
    struct work w;
    shale_code rc;
    *out = (struct shl_cloned){.was_there = false};
    SHL_TRY(work_init(&w, c, err));
    SHL_TRY(check_names(&w, err));
    rc = shl_manifests_load(&w.target, err);
    if (rc == SHALE_OK) {
        out->was_there = w.target.newest->initialized;
        SHL_TRY(check_target(&w, err));
    } else if (rc == SHALE_NOT_FOUND) {
        SHL_TRY(create_target(&w, err));
    }
    SHL_TRY(rc == SHALE_NOT_FOUND ? SHALE_OK : rc);
    if (!w.target.newest->initialized) {
        SHL_TRY(pin_all(&w, err));
        uint64_t last;
        SHL_TRY(copy_wal(&w, &out->wal_objects, &last, err));
        ENV_POINT("clone before manifest 2");
        SHL_TRY(shl_manifests_update(&w.target, edit_done, &last, err));
        ENV_POINT("clone after manifest 2");
        SHL_TRY(check_it_stands(&w, err));
    }
    out->ssts = count_ssts(w.target.newest);
    out->wal_left_out = w.left_out;
out:
    work_deinit(&w);
    return rc;
}
