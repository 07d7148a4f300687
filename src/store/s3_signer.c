/* Who signs requests and where they go: one immutable thing, counted, so that a request takes it as it is and no lock is held while it is signed.
 * A change (another region, other credentials, another day) makes a new one. */
#include "store/s3_internal.h"

#include "base/assert.h"

void shl_s3_identity_unref(struct s3_identity *id)
{
    if (id != NULL && env_fetch_sub_acq_rel(&id->refs, 1) == 1) {
        shl_aws_creds_deinit(&id->creds);
        env_free(id);
    }
}

shale_code shl_s3_signer_new(struct s3_signer **out, const struct s3_place *place,
                             struct s3_identity *identity, shale_error *err)
{
    struct s3_signer *g = env_calloc(1, sizeof *g);
    if (g == NULL)
        return shl_nomem(err);
    atomic_init(&g->refs, 1);
    g->place = *place;
    g->identity = identity;
    if (identity != NULL)
        env_fetch_add(&identity->refs, 1);
    *out = g;
    return SHALE_OK;
}

void shl_s3_signer_unref(struct s3_signer *g)
{
    if (g == NULL || env_fetch_sub_acq_rel(&g->refs, 1) != 1)
        return;
    shl_s3_identity_unref(g->identity);
    shl_wipe(&g->key, sizeof g->key);
    env_free(g);
}

struct s3_signer *shl_s3_signer(struct s3_store *s)
{
    env_mutex_lock(&s->mu);
    struct s3_signer *g = s->signer;
    env_fetch_add(&g->refs, 1);
    env_mutex_unlock(&s->mu);
    return g;
}

/* Puts `to` in the place of `from` if that is still the present one. */
static bool exchange(struct s3_store *s, const struct s3_signer *from, struct s3_signer *to)
{
    struct s3_signer *out = NULL;
    env_mutex_lock(&s->mu);
    if (s->signer == from) {
        out = s->signer;
        env_fetch_add(&to->refs, 1);
        s->signer = to;
    }
    env_mutex_unlock(&s->mu);
    shl_s3_signer_unref(out);
    return out != NULL;
}

/* One step of a change, in which another's may come first. */
static shale_code change_once(struct s3_store *s, const struct s3_signer *from,
                              const struct s3_place *place, struct s3_identity *identity,
                              bool *out_done, shale_error *err)
{
    struct s3_signer *to;
    shale_code rc = shl_s3_signer_new(&to, place, identity, err);
    if (rc != SHALE_OK)
        return rc;
    *out_done = exchange(s, from, to);
    shl_s3_signer_unref(to);
    return SHALE_OK;
}

shale_code shl_s3_signer_move(struct s3_store *s, const struct s3_place *place, shale_error *err)
{
    bool done = false;
    shale_code rc = SHALE_OK;
    while (rc == SHALE_OK && !done) {
        struct s3_signer *from = shl_s3_signer(s);
        rc = change_once(s, from, place, from->identity, &done, err);
        shl_s3_signer_unref(from);
    }
    return rc;
}

shale_code shl_s3_signer_identify(struct s3_store *s, const struct s3_identity *used,
                                  struct s3_identity *identity, shale_error *err)
{
    bool done = false;
    shale_code rc = SHALE_OK;
    while (rc == SHALE_OK && !done) {
        struct s3_signer *from = shl_s3_signer(s);
        if (from->identity != used)
            done = true;
        else
            rc = change_once(s, from, &from->place, identity, &done, err);
        shl_s3_signer_unref(from);
    }
    return rc;
}

struct shl_sigv4_scope shl_s3_signer_scope(const struct s3_signer *g, const char *amz_date)
{
    SHL_ASSERT(g->identity != NULL);
    return (struct shl_sigv4_scope){.access_key = g->identity->creds.access_key,
                                    .secret_key = g->identity->creds.secret_key,
                                    .region = g->place.region,
                                    .service = "s3",
                                    .amz_date = amz_date};
}

shale_code shl_s3_signer_of(struct s3_store *s, const char *amz_date, struct s3_signer **out,
                            shale_error *err)
{
    struct s3_signer *g = shl_s3_signer(s), *fresh = NULL;
    bool has_key = g->key.valid && memcmp(g->key.day, amz_date, sizeof g->key.day - 1) == 0;
    if (g->identity == NULL || has_key) {
        *out = g;
        return SHALE_OK;
    }
    const struct shl_sigv4_scope scope = shl_s3_signer_scope(g, amz_date);
    shale_code rc = shl_s3_signer_new(&fresh, &g->place, g->identity, err);
    if (rc == SHALE_OK)
        rc = shl_sigv4_derive(&fresh->key, &scope, err);
    if (rc == SHALE_OK) {
        (void)exchange(s, g, fresh); /* another request may have been first: this one is as good */
        *out = fresh;
    } else {
        shl_s3_signer_unref(fresh);
    }
    shl_s3_signer_unref(g);
    return rc;
}
