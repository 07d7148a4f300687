#include "sql/remote.h"

#include "base/codec/ulid.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "store/backend.h"
#include "store/path.h"
#include <inttypes.h>
#include <stdio.h>

#define MANIFEST_NAME "manifest.json"

shale_code shl_sql_remote_init(struct shl_sql_remote *r, struct shl_store *store,
                               struct shl_store *once, const char *prefix,
                               const struct shl_log *log, shale_error *err)
{
    size_t len = strlen(prefix);
    shale_code rc;
    *r = (struct shl_sql_remote){.log = log};
    if (len < 2 || prefix[len - 1] != '/')
        return shl_fail(err, SHALE_INVALID, "prefix must end with /, got \"%s\"", prefix);
    r->prefix = env_strdup(prefix);
    r->manifest_key = r->prefix == NULL ? NULL : shl_sql_key(r, MANIFEST_NAME);
    if (r->manifest_key == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_path_check(r->manifest_key, err));
    r->store = shl_store_ref(store);
    r->once = shl_store_ref(once);
    return SHALE_OK;
out:
    shl_sql_remote_deinit(r);
    return rc;
}

void shl_sql_remote_deinit(struct shl_sql_remote *r)
{
    shl_store_unref(r->store);
    shl_store_unref(r->once);
    env_free(r->prefix);
    env_free(r->manifest_key);
    *r = (struct shl_sql_remote){0};
}

/* ---- keys */

char *shl_sql_key(const struct shl_sql_remote *r, const char *tail)
{
    size_t a = strlen(r->prefix);
    size_t b = strlen(tail);
    char *key = env_alloc(a + b + 1);
    if (key != NULL) {
        memcpy(key, r->prefix, a);
        memcpy(key + a, tail, b + 1);
    }
    return key;
}

static void fresh_uuid(char out[SHL_UUID_TEXT])
{
    shl_uuid_format(shl_uuid_make(env_rand64(), env_rand64()), out);
}

char *shl_sql_changeset_key(const struct shl_sql_remote *r, const struct shl_sql_manifest *m)
{
    char uuid[SHL_UUID_TEXT];
    struct shl_slice epoch = shl_sql_epoch(m->snapshot.key);
    struct shl_buf text = {0};
    shale_error ignored;
    fresh_uuid(uuid);
    if (shl_str_printf(&text, &ignored, "%schangesets/%.*s/cs-%s.bin", r->prefix, (int)epoch.len,
                       (const char *)epoch.data, uuid) != SHALE_OK ||
        shl_str_terminate(&text, &ignored) != SHALE_OK)
        shl_buf_free(&text);
    return (char *)text.data;
}

#define PACKED ".zst"

bool shl_sql_is_packed(const char *key)
{
    size_t len = strlen(key);
    return len >= sizeof PACKED && strcmp(key + len - (sizeof PACKED - 1), PACKED) == 0;
}

char *shl_sql_snapshot_key(const struct shl_sql_remote *r, const char *name, bool packed)
{
    char uuid[SHL_UUID_TEXT];
    char tail[160];
    fresh_uuid(uuid);
    (void)snprintf(tail, sizeof tail, "snapshots/%s%s.sqlite%s", name, uuid, packed ? PACKED : "");
    return shl_sql_key(r, tail);
}

/* ---- the manifest */

void shl_sql_head_free(struct shl_sql_head *h)
{
    shl_sql_manifest_free(&h->manifest);
    *h = (struct shl_sql_head){0};
}

shale_code shl_sql_head_load(struct shl_sql_remote *r, struct shl_sql_head *io_head,
                             bool *out_changed, shale_error *err)
{
    struct shl_get how = {.kind = SHL_GET_ALL,
                          .if_none_match = io_head->etag[0] != '\0' ? io_head->etag : NULL,
                          .max = (uint64_t)1 << 30};
    struct shl_buf body = {0};
    struct shl_object object = {0};
    struct shl_sql_head fresh = {0};
    shale_code rc = shl_store_get(r->store, r->manifest_key, &how, &body, &object, err);
    if (out_changed != NULL)
        *out_changed = rc == SHALE_OK;
    if (rc == SHALE_NOT_MODIFIED) {
        rc = SHALE_OK;
        goto out;
    }
    SHL_TRY(rc);
    rc = shl_sql_manifest_decode(shl_buf_view(&body), &fresh.manifest, err);
    if (rc != SHALE_OK && rc != SHALE_NOMEM)
        shl_err_prefix(err, "manifest %s", r->manifest_key);
    SHL_TRY(rc);
    memcpy(fresh.etag, object.etag, sizeof fresh.etag);
    fresh.modified_ns = object.modified_ns;
    shl_sql_head_free(io_head);
    *io_head = fresh;
out:
    shl_buf_free(&body);
    return rc;
}

shale_code shl_sql_head_create(struct shl_sql_remote *r, const struct shl_sql_manifest *first,
                               shale_error *err)
{
    struct shl_put how = {.mode = SHL_PUT_CREATE};
    struct shl_buf text = {0};
    struct shl_slice body;
    shale_code rc = shl_sql_manifest_check(first, err);
    if (rc == SHALE_OK)
        rc = shl_sql_manifest_encode(first, &text, err);
    body = shl_buf_view(&text);
    if (rc == SHALE_OK)
        rc = shl_store_put(r->store, r->manifest_key, &body, 1, &how, NULL, err);
    shl_buf_free(&text);
    return rc;
}

bool shl_sql_is_unknown(const shale_error *err)
{
    return strncmp(err->text, SHL_OUTCOME_UNKNOWN, sizeof SHL_OUTCOME_UNKNOWN - 1) == 0;
}

static bool holds(const struct shl_sql_manifest *m, const char *proof)
{
    return strcmp(m->snapshot.key, proof) == 0 || shl_sql_manifest_has(m, proof);
}

/* Refusals that are sure: nothing was written, and nothing is on its way. */
static bool is_refusal(shale_code rc)
{
    return rc == SHALE_INVALID || rc == SHALE_PERMISSION_DENIED || rc == SHALE_UNAUTHENTICATED ||
           rc == SHALE_NOT_SUPPORTED || rc == SHALE_NO_BUCKET || rc == SHALE_NO_SPACE;
}

static bool may_pass(shale_code rc)
{
    return rc == SHALE_UNAVAILABLE || rc == SHALE_TIMEOUT || rc == SHALE_NOMEM;
}

#define SWAP_TRIES    8
#define SWAP_DELAY_NS (50 * ENV_NS_PER_MS)

/* What a swap is about. */
struct swap {
    struct shl_sql_remote *r;
    struct shl_sql_head *head;
    const struct shl_sql_manifest *next;
    const char *proof;
    int64_t base_seq;  /* of the manifest that is replaced */
    bool is_ambiguous; /* some try may have been taken although its answer was lost */
};

/* After a try that was no clear success. True: the swap is decided, or `*out_rc` is an error. */
static bool settle(struct swap *s, enum shl_sql_swap *out, shale_code *out_rc, shale_error *err)
{
    shale_error why = *err;
    bool changed = false;
    *out_rc = shl_sql_head_load(s->r, s->head, &changed, err);
    if (*out_rc != SHALE_OK) {
        if (s->is_ambiguous && *out_rc != SHALE_NOT_FOUND)
            shl_err_prefix(err,
                           SHL_OUTCOME_UNKNOWN
                           "the answer to the manifest's put was lost (%.100s), "
                           "and it cannot be read back",
                           why.text);
        return true;
    }
    if (!changed)
        return false;
    const struct shl_sql_manifest *now = &s->head->manifest;
    bool folded = now->snapshot.seq > s->base_seq && !holds(now, s->proof);
    if (s->is_ambiguous && folded) {
        *out_rc = shl_fail(err, SHALE_UNAVAILABLE,
                           SHL_OUTCOME_UNKNOWN
                           "the answer to the manifest's put was lost, and the log was "
                           "compacted before it could be read back (%.100s)",
                           why.text);
        return true;
    }
    *out = holds(now, s->proof) ? SHL_SQL_SWAPPED : SHL_SQL_LOST;
    return true;
}

/* A clear success: ours is the head. */
static shale_code adopt(struct swap *s, const struct shl_object *object, shale_error *err)
{
    struct shl_sql_head fresh = {.modified_ns = object->modified_ns};
    shale_code rc = shl_sql_manifest_copy(s->next, &fresh.manifest, err);
    if (rc != SHALE_OK) { /* it is written: what is not known here is read again later */
        s->head->etag[0] = '\0';
        return SHALE_OK;
    }
    memcpy(fresh.etag, object->etag, sizeof fresh.etag);
    shl_sql_head_free(s->head);
    *s->head = fresh;
    return SHALE_OK;
}

shale_code shl_sql_head_swap(struct shl_sql_remote *r, struct shl_sql_head *io_head,
                             const struct shl_sql_manifest *next, const char *proof,
                             enum shl_sql_swap *out, shale_error *err)
{
    struct swap s = {
        .r = r, .head = io_head, .next = next, .proof = proof, .base_seq = io_head->manifest.seq};
    struct shl_buf text = {0};
    struct shl_object object = {0};
    uint64_t delay_ns = SWAP_DELAY_NS;
    shale_code rc = shl_sql_manifest_check(next, err);
    if (rc == SHALE_OK)
        rc = shl_sql_manifest_encode(next, &text, err);
    struct shl_slice body = shl_buf_view(&text);
    for (unsigned tries = 1; rc == SHALE_OK; tries++) {
        struct shl_put how = {.mode = SHL_PUT_IF_MATCH, .if_match = io_head->etag};
        shale_code put = shl_store_put(r->once, r->manifest_key, &body, 1, &how, &object, err);
        ENV_POINT("sql manifest swapped");
        *out = SHL_SQL_SWAPPED;
        if (put == SHALE_OK) {
            rc = adopt(&s, &object, err);
            break;
        }
        if (is_refusal(put) && !s.is_ambiguous) {
            rc = put;
            break;
        }
        s.is_ambiguous = s.is_ambiguous || put != SHALE_PRECONDITION;
        shale_error why = *err;
        if (settle(&s, out, &rc, err))
            break;
        /* The bucket still has what ours is to replace: nothing was taken so far. */
        if (!may_pass(put) || tries == SWAP_TRIES) {
            *err = why;
            rc = put == SHALE_PRECONDITION ? SHALE_UNAVAILABLE : put;
            err->code = rc;
            if (s.is_ambiguous && may_pass(put))
                shl_err_prefix(
                    err, SHL_OUTCOME_UNKNOWN "the manifest's put got no answer in %u tries", tries);
            break;
        }
        env_sleep_ns(delay_ns / 2 + env_rand_below(delay_ns));
        delay_ns = shl_min_u64(delay_ns * 2, ENV_NS_PER_SEC);
    }
    shl_buf_free(&text);
    return rc;
}

shale_code shl_sql_list(struct shl_sql_remote *r, const char *folder, struct shl_list *out,
                        shale_error *err)
{
    char *prefix = shl_sql_key(r, folder);
    if (prefix == NULL)
        return shl_nomem(err);
    struct shl_list_options how = {.prefix = prefix};
    shale_code rc = shl_store_list(r->store, &how, out, err);
    env_free(prefix);
    return rc;
}
