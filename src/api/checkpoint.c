/* shale_checkpoint_*, shale_admin_checkpoint*: those of an open writer, and those that need none. */
#include "api/api.h"
#include "api/db.h"
#include "api/near.h"
#include "api/target.h"
#include "base/codec/json.h"
#include "base/env/env.h"
#include "base/str.h"
#include "lsm/keep/checkpoint.h"
#include "lsm/inspect/inspect.h"
#include "lsm/wal.h"

#include <shale/checkpoint.h>

struct shale_checkpoint {
    struct shl_lsm_checkpoint *lsm; /* owned */
    char id[SHALE_UUID_TEXT];
};

/* ---- of an open writer */

static shale_code take_options(const shale_checkpoint_options *theirs,
                               shale_checkpoint_options *ours, shale_error *err)
{
    shale_checkpoint_options_init(ours, sizeof *ours);
    shale_code rc =
        shl_api_take_struct(ours, sizeof *ours, theirs, "shale_checkpoint_options", err);
    if (rc == SHALE_OK && (unsigned)ours->scope > SHALE_CHECKPOINT_DURABLE)
        rc = shl_fail(err, SHALE_INVALID, "scope is %u, known 0..1", (unsigned)ours->scope);
    return rc;
}

shale_code shale_db_begin_checkpoint(shale_checkpoint **out, shale_db *db,
                                     const shale_checkpoint_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    shale_checkpoint_options o;
    struct shl_lsm_checkpoint_how how;
    shale_code rc;
    if (out == NULL || db == NULL)
        return shl_fail(err, SHALE_INVALID, "checkpoint: the %s is NULL",
                        db == NULL ? "database handle" : "place for the result");
    rc = take_options(options, &o, err);
    if (rc != SHALE_OK)
        return rc;
    shale_checkpoint *c = env_calloc(1, sizeof *c);
    if (c == NULL)
        return shl_nomem(err);
    how = (struct shl_lsm_checkpoint_how){.durable_only = o.scope == SHALE_CHECKPOINT_DURABLE,
                                          .lifetime_ms = o.lifetime_ms,
                                          .source = o.source,
                                          .name = o.name};
    rc = shl_lsm_checkpoint_begin(db->lsm, &how, &c->lsm, err);
    if (rc != SHALE_OK) {
        env_free(c);
        return rc;
    }
    shl_uuid_format(shl_lsm_checkpoint_id(c->lsm), c->id);
    *out = c;
    return SHALE_OK;
}

const char *shale_checkpoint_id(const shale_checkpoint *checkpoint)
{
    return checkpoint != NULL ? checkpoint->id : "";
}

shale_code shale_checkpoint_wait(shale_checkpoint_result *out, shale_checkpoint *checkpoint,
                                 shale_error *err)
{
    SHL_API_ERR(err);
    uint64_t manifest_id;
    if (checkpoint == NULL)
        return shl_fail(err, SHALE_INVALID, "checkpoint: it is NULL");
    shale_code rc = shl_lsm_checkpoint_wait(checkpoint->lsm, &manifest_id, err);
    if (rc == SHALE_OK && out != NULL) {
        out->manifest_id = manifest_id;
        out->wal_objects_left_out = 0;
        memcpy(out->id, checkpoint->id, sizeof out->id);
    }
    return rc;
}

void shale_checkpoint_free(shale_checkpoint *checkpoint)
{
    if (checkpoint == NULL)
        return;
    shl_lsm_checkpoint_free(checkpoint->lsm);
    env_free(checkpoint);
}

shale_code shale_db_checkpoint(shale_checkpoint_result *out, shale_db *db,
                               const shale_checkpoint_options *options, shale_error *err)
{
    shale_checkpoint *c;
    shale_code rc = shale_db_begin_checkpoint(&c, db, options, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shale_checkpoint_wait(out, c, err);
    shale_checkpoint_free(c);
    return rc;
}

/* ---- without a writer */

static void give(shale_checkpoint_result *out, struct shl_ulid id, uint64_t manifest_id)
{
    if (out == NULL)
        return;
    shl_uuid_format(id, out->id);
    out->manifest_id = manifest_id;
    out->wal_objects_left_out = 0;
}

/* What a new checkpoint shall be, and what it does not cover. */
struct creation {
    struct shl_checkpoint_want want;
    uint64_t left_out;
};

/* WAL objects with rows behind what the newest manifest knows. */
static shale_code count_left_out(struct shl_api_target *t, uint64_t *out, shale_error *err)
{
    struct shl_store *store = t->stack.wal_store != NULL ? t->stack.wal_store : t->stack.store;
    shl_wal_items items = {0};
    shale_code rc = shl_wal_list(store, &t->manifests.paths, t->manifests.newest->wal_id_last_seen,
                                 &items, err);
    for (size_t i = 0; rc == SHALE_OK && i < items.count; i++)
        *out += items.items[i].bytes > 0;
    shl_array_free(&items);
    return rc;
}

static shale_code create(struct shl_api_target *t, void *arg, shale_error *err)
{
    struct creation *c = arg;
    shale_error ignored; /* the checkpoint is there, whether it can be counted or not */
    shale_code rc = shl_checkpoint_create(&t->manifests, &c->want, &t->number, err);
    if (rc == SHALE_OK && c->want.source == NULL)
        shl_ignore(count_left_out(t, &c->left_out, &ignored));
    return rc;
}

shale_code shale_admin_checkpoint_create(shale_checkpoint_result *out, const char *url,
                                         const shale_options *options,
                                         const shale_checkpoint_options *how, shale_error *err)
{
    SHL_API_ERR(err);
    shale_checkpoint_options o;
    struct shl_api_target t;
    shale_code rc = take_options(how, &o, err);
    if (rc != SHALE_OK)
        return rc;
    struct creation c = {.want = {.id = shl_checkpoint_new_id(),
                                  .now_ms = shl_api_now_ms(options),
                                  .lifetime_ms = o.lifetime_ms,
                                  .source = o.source,
                                  .name = o.name}};
    rc = shl_api_with_target(&t, url, options, create, &c, err);
    if (rc == SHALE_OK)
        give(out, c.want.id, t.number);
    if (rc == SHALE_OK && out != NULL)
        out->wal_objects_left_out = c.left_out;
    return rc;
}

struct change {
    const char *id_or_name;
    uint64_t lifetime_ms;
    bool deletes;
    struct shl_ulid id;
};

static shale_code change(struct shl_api_target *t, void *arg, shale_error *err)
{
    struct change *c = arg;
    shale_code rc = c->deletes ? shl_checkpoint_delete(&t->manifests, c->id_or_name, &c->id, err)
                               : shl_checkpoint_refresh(&t->manifests, c->id_or_name,
                                                        c->lifetime_ms, &c->id, err);
    if (rc == SHALE_OK) {
        const struct shl_checkpoint *there = shl_checkpoint_at(t->manifests.newest, c->id);
        t->number = there != NULL ? there->manifest_id : 0;
    }
    return rc;
}

static shale_code change_one(shale_checkpoint_result *out, const char *url,
                             const shale_options *options, struct change *c, shale_error *err)
{
    struct shl_api_target t;
    if (c->id_or_name == NULL)
        return shl_fail(err, SHALE_INVALID, "checkpoint: its id or name is NULL");
    shale_code rc = shl_api_with_target(&t, url, options, change, c, err);
    if (rc == SHALE_OK)
        give(out, c->id, t.number);
    return rc;
}

shale_code shale_admin_checkpoint_refresh(shale_checkpoint_result *out, const char *url,
                                          const shale_options *options, const char *id_or_name,
                                          uint64_t lifetime_ms, shale_error *err)
{
    SHL_API_ERR(err);
    struct change c = {.id_or_name = id_or_name, .lifetime_ms = lifetime_ms};
    return change_one(out, url, options, &c, err);
}

shale_code shale_admin_checkpoint_delete(shale_checkpoint_result *out, const char *url,
                                         const shale_options *options, const char *id_or_name,
                                         shale_error *err)
{
    SHL_API_ERR(err);
    struct change c = {.id_or_name = id_or_name, .deletes = true};
    return change_one(out, url, options, &c, err);
}

struct listing {
    const char *name; /* NULL: all */
    struct shl_json_writer w;
};

static bool is_wanted(const struct shl_checkpoint *c, const char *name)
{
    return name == NULL || strcmp(c->name != NULL ? c->name : "", name) == 0;
}

static shale_code list(struct shl_api_target *t, void *arg, shale_error *err)
{
    struct listing *l = arg;
    shale_code rc = shl_manifests_load(&t->manifests, err);
    if (rc != SHALE_OK)
        return rc;
    const struct shl_manifest *m = t->manifests.newest;
    shl_json_array(&l->w);
    for (size_t i = 0; i < m->checkpoints.count; i++)
        if (is_wanted(&m->checkpoints.items[i], l->name))
            shl_inspect_checkpoint(&l->w, &m->checkpoints.items[i]);
    shl_json_array_end(&l->w);
    return SHALE_OK;
}

shale_code shale_admin_checkpoints(char **out_json, const char *url, const shale_options *options,
                                   const char *name, shale_error *err)
{
    SHL_API_ERR(err);
    struct listing l = {.name = name};
    struct shl_buf text = {0};
    struct shl_api_target t;
    shale_code rc;
    if (out_json == NULL)
        return shl_fail(err, SHALE_INVALID, "checkpoints: the place for the text is NULL");
    shl_json_begin(&l.w, &text, err);
    SHL_TRY(shl_api_with_target(&t, url, options, list, &l, err));
    rc = shl_api_text_out(&l.w, &text, out_json, err);
out:
    shl_buf_free(&text);
    return rc;
}
