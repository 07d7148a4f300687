#include "lsm/keep/manifest_edit.h"

#include "base/assert.h"
#include "base/env/env.h"
#include <inttypes.h>

#define UPDATE_TIMEOUT_NS (300 * ENV_NS_PER_SEC)

shale_code shl_manifests_init(struct shl_manifests *m, struct shl_store *store, const char *path,
                              bool escaped, shale_error *err)
{
    *m = (struct shl_manifests){.store = store};
    shale_code rc = escaped ? shl_db_paths_init_escaped(&m->paths, path, err)
                            : shl_db_paths_init(&m->paths, path, err);
    shl_sequenced_init(&m->versions, store, &m->paths, "manifest", NULL);
    return rc;
}

void shl_manifests_deinit(struct shl_manifests *m)
{
    shl_manifest_free(m->newest);
    shl_db_paths_deinit(&m->paths);
    *m = (struct shl_manifests){.store = NULL};
}

static shale_code decode(const struct shl_manifests *m, uint64_t id, const struct shl_buf *body,
                         struct shl_manifest **out, shale_error *err)
{
    shale_code rc = shl_manifest_decode(shl_buf_view(body), out, err);
    if (rc != SHALE_OK && rc != SHALE_NOMEM)
        shl_err_prefix(err, "%s/manifest/%020" PRIu64 ".manifest", m->paths.r1, id);
    return rc;
}

shale_code shl_manifests_load(struct shl_manifests *m, shale_error *err)
{
    struct shl_buf body = {0};
    struct shl_manifest *newest;
    uint64_t before = m->versions.id;
    bool changed;
    shale_code rc = shl_sequenced_load(&m->versions, &body, &changed, err);
    if (rc == SHALE_NOT_FOUND)
        rc = shl_fail(err, rc, "no database here: %s has no %s%smanifest/", m->store->name,
                      m->paths.r1, m->paths.r1[0] != '\0' ? "/" : "");
    if (rc == SHALE_OK && changed) {
        rc = decode(m, m->versions.id, &body, &newest, err);
        if (rc == SHALE_OK) {
            shl_manifest_free(m->newest);
            m->newest = newest;
        }
    }
    /* The id says which state `newest` is, else the next write would undo what was not read. */
    if (rc != SHALE_OK)
        m->versions.id = m->newest != NULL ? before : 0;
    shl_buf_free(&body);
    return rc;
}

void shl_manifests_doubt(struct shl_manifests *m)
{
    m->versions.id = 0;
    shl_manifest_free(m->newest);
    m->newest = NULL;
}

shale_code shl_manifests_read(struct shl_manifests *m, uint64_t id, struct shl_manifest **out,
                              shale_error *err)
{
    struct shl_buf body = {0};
    shale_code rc = shl_sequenced_read(&m->versions, id, &body, err);
    if (rc == SHALE_OK)
        rc = decode(m, id, &body, out, err);
    shl_buf_free(&body);
    return rc;
}

/* One try. PRECONDITION: somebody else wrote first. DONE: there is nothing to write. */
static shale_code try_update(struct shl_manifests *m, shl_manifests_edit edit, void *arg,
                             shale_error *err)
{
    struct shl_manifest *next = NULL;
    struct shl_buf body = {0};
    shale_code rc;
    SHL_TRY(shl_manifest_clone(m->newest, &next, err));
    SHL_TRY(edit(next, m->versions.id + 1, arg, err));
    SHL_TRY(shl_manifest_encode(next, &body, err));
    SHL_TRY(shl_sequenced_write(&m->versions, shl_buf_view(&body), err));
    shl_manifest_free(m->newest);
    m->newest = next;
    next = NULL;
out:
    shl_manifest_free(next);
    shl_buf_free(&body);
    return rc;
}

shale_code shl_manifests_update(struct shl_manifests *m, shl_manifests_edit edit, void *arg,
                                shale_error *err)
{
    uint64_t timeout = m->update_timeout_ns != 0 ? m->update_timeout_ns : UPDATE_TIMEOUT_NS;
    uint64_t deadline = env_now_mono_ns() + timeout;
    SHL_ASSERT(m->newest != NULL);
    for (;;) {
        shale_code rc = try_update(m, edit, arg, err);
        if (rc == SHALE_DONE)
            return SHALE_OK;
        if (rc != SHALE_PRECONDITION)
            return rc;
        if (env_now_mono_ns() >= deadline)
            return shl_fail(err, SHALE_TIMEOUT,
                            "manifest of \"%s\": other processes kept winning the write",
                            m->paths.r1);
        rc = shl_manifests_load(m, err);
        if (rc != SHALE_OK)
            return rc;
    }
}

shale_code shl_manifests_create(struct shl_manifests *m, const struct shl_manifest *first,
                                shale_error *err)
{
    struct shl_manifest *copy = NULL;
    struct shl_buf body = {0};
    shale_code rc;
    SHL_ASSERT(m->versions.id == 0);
    SHL_TRY(shl_manifest_clone(first, &copy, err));
    SHL_TRY(shl_manifest_encode(first, &body, err));
    SHL_TRY(shl_sequenced_write(&m->versions, shl_buf_view(&body), err));
    shl_manifest_free(m->newest);
    m->newest = copy;
    copy = NULL;
out:
    shl_manifest_free(copy);
    shl_buf_free(&body);
    return rc;
}
