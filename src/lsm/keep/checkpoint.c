#include "lsm/keep/checkpoint.h"

#include "base/codec/text.h"
#include "base/env/env.h"
#include <inttypes.h>

struct shl_ulid shl_checkpoint_new_id(void)
{
    return shl_uuid_make(env_rand64(), env_rand64());
}

/* ---------------------------------------------------------------- the list */

struct shl_checkpoint *shl_checkpoint_at(const struct shl_manifest *m, struct shl_ulid id)
{
    for (size_t i = 0; i < m->checkpoints.count; i++)
        if (shl_ulid_eq(m->checkpoints.items[i].id, id))
            return &m->checkpoints.items[i];
    return NULL;
}

shale_code shl_checkpoint_check_name(const char *name, shale_error *err)
{
    if (name == NULL || shl_utf8_valid(shl_slice_str(name)))
        return SHALE_OK;
    return shl_fail(err, SHALE_INVALID, "the name of a checkpoint must be UTF-8");
}

static bool is_named(const struct shl_checkpoint *c, const char *name)
{
    return c->name != NULL && strcmp(c->name, name) == 0;
}

shale_code shl_checkpoint_find(const struct shl_manifest *m, const char *id_or_name,
                               const char *where, const struct shl_checkpoint **out,
                               shale_error *err)
{
    const struct shl_checkpoint *found = NULL;
    struct shl_ulid id;
    size_t named = 0;
    if (shl_uuid_parse(shl_slice_str(id_or_name), &id))
        found = shl_checkpoint_at(m, id);
    for (size_t i = 0; (found == NULL || named > 0) && i < m->checkpoints.count; i++)
        if (is_named(&m->checkpoints.items[i], id_or_name)) {
            found = &m->checkpoints.items[i];
            named++;
        }
    if (named > 1) /* which state is read, kept or given up must not be guessed */
        return shl_fail(err, SHALE_INVALID,
                        "checkpoint \"%s\": %zu of \"%s\" have that name: give the id", id_or_name,
                        named, where);
    if (found == NULL)
        return shl_fail(err, SHALE_NOT_FOUND,
                        "checkpoint \"%s\": \"%s\" has none of that id or name", id_or_name, where);
    *out = found;
    return SHALE_OK;
}

uint32_t shl_checkpoint_expiry(int64_t now_ms, uint64_t lifetime_ms)
{
    uint64_t end_ms;
    if (lifetime_ms == 0)
        return 0;
    if (__builtin_add_overflow((uint64_t)now_ms, lifetime_ms, &end_ms) ||
        end_ms / 1000 >= UINT32_MAX)
        return UINT32_MAX;
    return (uint32_t)((end_ms + 999) / 1000);
}

shale_code shl_checkpoint_add(struct shl_manifest *m, uint64_t next_id,
                              const struct shl_checkpoint_want *want, uint64_t *manifest_id,
                              shale_error *err)
{
    const struct shl_checkpoint *source = NULL;
    struct shl_checkpoint c = {.id = want->id,
                               .manifest_id = next_id,
                               .create_s = (uint32_t)(want->now_ms / 1000),
                               .expire_s = shl_checkpoint_expiry(want->now_ms, want->lifetime_ms)};
    shale_code name_rc = shl_checkpoint_check_name(want->name, err);
    if (name_rc != SHALE_OK)
        return name_rc;
    if (want->source != NULL) {
        shale_code rc = shl_checkpoint_find(m, want->source, want->where, &source, err);
        if (rc != SHALE_OK)
            return rc;
        c.manifest_id = source->manifest_id;
    }
    if (want->name != NULL && want->name[0] != '\0') {
        c.name = env_strdup(want->name);
        if (c.name == NULL)
            return shl_nomem(err);
    }
    if (!shl_array_push(&m->checkpoints, c)) {
        env_free(c.name);
        return shl_nomem(err);
    }
    *manifest_id = c.manifest_id;
    return SHALE_OK;
}

static void remove_index(struct shl_manifest *m, size_t i)
{
    struct shl_checkpoint *c = &m->checkpoints.items[i];
    env_free(c->name);
    memmove(c, c + 1, (m->checkpoints.count - i - 1) * sizeof *c);
    m->checkpoints.count--;
}

bool shl_checkpoint_remove(struct shl_manifest *m, struct shl_ulid id)
{
    struct shl_checkpoint *c = shl_checkpoint_at(m, id);
    if (c == NULL)
        return false;
    remove_index(m, (size_t)(c - m->checkpoints.items));
    return true;
}

bool shl_checkpoint_has_expired(const struct shl_checkpoint *c, int64_t now_ms)
{
    return c->expire_s != 0 && (int64_t)c->expire_s * 1000 <= now_ms;
}

size_t shl_checkpoint_expire(struct shl_manifest *m, int64_t now_ms)
{
    size_t before = m->checkpoints.count;
    for (size_t i = before; i-- > 0;)
        if (shl_checkpoint_has_expired(&m->checkpoints.items[i], now_ms))
            remove_index(m, i);
    return before - m->checkpoints.count;
}

/* ---------------------------------------------------------------- without a writer */

static shale_code check_initialized(const struct shl_manifests *m,
                                    const struct shl_manifest *newest, shale_error *err)
{
    if (newest->initialized)
        return SHALE_OK;
    return shl_fail(err, SHALE_CORRUPTION,
                    "\"%s\" is a clone that was never finished (manifest %" PRIu64 ")", m->paths.r1,
                    m->versions.id);
}

struct creation {
    const struct shl_manifests *m;
    const struct shl_checkpoint_want *want;
    uint64_t manifest_id;
};

static shale_code edit_create(struct shl_manifest *next, uint64_t next_id, void *arg,
                              shale_error *err)
{
    struct creation *c = arg;
    shale_code rc = check_initialized(c->m, next, err);
    if (rc != SHALE_OK)
        return rc;
    /* Our own write may have been lost sight of: then it is there. */
    const struct shl_checkpoint *mine = shl_checkpoint_at(next, c->want->id);
    if (mine != NULL) {
        c->manifest_id = mine->manifest_id;
        return SHALE_DONE;
    }
    return shl_checkpoint_add(next, next_id, c->want, &c->manifest_id, err);
}

shale_code shl_checkpoint_create(struct shl_manifests *m, const struct shl_checkpoint_want *want,
                                 uint64_t *manifest_id, shale_error *err)
{
    struct shl_checkpoint_want here = *want;
    here.where = m->paths.r1;
    struct creation c = {.m = m, .want = &here};
    shale_code rc = shl_manifests_load(m, err);
    if (rc == SHALE_OK)
        rc = shl_manifests_update(m, edit_create, &c, err);
    if (rc == SHALE_OK)
        *manifest_id = c.manifest_id;
    return rc;
}

struct change {
    const struct shl_manifests *m;
    const char *id_or_name;
    uint64_t lifetime_ms;
    struct shl_ulid id; /* once it was found: later rounds are about that one */
    bool found;
};

static shale_code find_again(struct change *c, struct shl_manifest *next,
                             struct shl_checkpoint **out, shale_error *err)
{
    const struct shl_checkpoint *there;
    if (c->found) {
        *out = shl_checkpoint_at(next, c->id);
        return SHALE_OK;
    }
    shale_code rc = shl_checkpoint_find(next, c->id_or_name, c->m->paths.r1, &there, err);
    if (rc != SHALE_OK)
        return rc;
    c->id = there->id;
    c->found = true;
    *out = shl_checkpoint_at(next, c->id);
    return SHALE_OK;
}

static shale_code edit_refresh(struct shl_manifest *next, uint64_t next_id, void *arg,
                               shale_error *err)
{
    struct change *c = arg;
    struct shl_checkpoint *there;
    (void)next_id;
    shale_code rc = find_again(c, next, &there, err);
    if (rc != SHALE_OK)
        return rc;
    if (there == NULL)
        return shl_fail(err, SHALE_NOT_FOUND, "checkpoint \"%s\": somebody deleted it meanwhile",
                        c->id_or_name);
    there->expire_s = shl_checkpoint_expiry(shl_clock_ms(&c->m->clock), c->lifetime_ms);
    return SHALE_OK;
}

static shale_code edit_delete(struct shl_manifest *next, uint64_t next_id, void *arg,
                              shale_error *err)
{
    struct change *c = arg;
    struct shl_checkpoint *there;
    (void)next_id;
    shale_code rc = find_again(c, next, &there, err);
    if (rc != SHALE_OK)
        return rc;
    return there != NULL && shl_checkpoint_remove(next, c->id) ? SHALE_OK : SHALE_DONE;
}

static shale_code apply_change(struct shl_manifests *m, shl_manifests_edit edit, struct change *c,
                               struct shl_ulid *out, shale_error *err)
{
    shale_code rc = shl_manifests_load(m, err);
    if (rc == SHALE_OK)
        rc = shl_manifests_update(m, edit, c, err);
    if (rc == SHALE_OK)
        *out = c->id;
    return rc;
}

shale_code shl_checkpoint_refresh(struct shl_manifests *m, const char *id_or_name,
                                  uint64_t lifetime_ms, struct shl_ulid *out, shale_error *err)
{
    struct change c = {.m = m, .id_or_name = id_or_name, .lifetime_ms = lifetime_ms};
    return apply_change(m, edit_refresh, &c, out, err);
}

shale_code shl_checkpoint_delete(struct shl_manifests *m, const char *id_or_name,
                                 struct shl_ulid *out, shale_error *err)
{
    struct change c = {.m = m, .id_or_name = id_or_name};
    return apply_change(m, edit_delete, &c, out, err);
}
