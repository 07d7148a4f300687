/* Time travel: sequence numbers and times, and the checkpoint of a moment. */
#include "api/api.h"
#include "api/target.h"
#include "base/codec/timefmt.h"
#include "base/env/env.h"
#include "lsm/keep/checkpoint.h"
#include "lsm/db.h"
#include "lsm/seq_time.h"

#include <inttypes.h>
#include <shale/checkpoint.h>
#include <stdlib.h>
#include <string.h>

/* ---- seq <-> time */

struct lookup {
    bool by_time;
    bool round_up;
    uint64_t seq;
    int64_t unix_s;
};

static shale_code look_up(struct shl_api_target *t, void *arg, shale_error *err)
{
    struct lookup *l = arg;
    struct shl_seq_tracker points = {.points = {0}};
    const struct shl_manifest *m;
    bool found;
    shale_code rc;
    SHL_TRY(shl_manifests_load(&t->manifests, err));
    m = t->manifests.newest;
    if (m->has_sequence_tracker)
        SHL_TRY(shl_seq_tracker_decode(shl_buf_view(&m->sequence_tracker), &points, err));
    found = l->by_time ? shl_time_to_seq(&points, l->unix_s, l->round_up, &l->seq)
                       : shl_seq_to_time(&points, l->seq, l->round_up, &l->unix_s);
    if (!found)
        rc = shl_fail(err, SHALE_NOT_FOUND,
                      "nothing is on record there: %zu points from seq %" PRIu64 " to %" PRIu64,
                      points.points.count, points.points.count > 0 ? points.points.items[0].seq : 0,
                      points.points.count > 0 ? points.points.items[points.points.count - 1].seq
                                              : 0);
out:
    shl_seq_tracker_deinit(&points);
    return rc;
}

shale_code shale_admin_seq_to_time(int64_t *out_unix_s, const char *url,
                                   const shale_options *options, uint64_t seq, bool round_up,
                                   shale_error *err)
{
    SHL_API_ERR(err);
    struct lookup l = {.seq = seq, .round_up = round_up};
    struct shl_api_target t;
    if (out_unix_s == NULL)
        return shl_fail(err, SHALE_INVALID, "seq to time: the place for the result is NULL");
    shale_code rc = shl_api_with_target(&t, url, options, look_up, &l, err);
    if (rc == SHALE_OK)
        *out_unix_s = l.unix_s;
    return rc;
}

shale_code shale_admin_time_to_seq(uint64_t *out_seq, const char *url, const shale_options *options,
                                   int64_t unix_s, bool round_up, shale_error *err)
{
    SHL_API_ERR(err);
    struct lookup l = {.by_time = true, .unix_s = unix_s, .round_up = round_up};
    struct shl_api_target t;
    if (out_seq == NULL)
        return shl_fail(err, SHALE_INVALID, "time to seq: the place for the result is NULL");
    shale_code rc = shl_api_with_target(&t, url, options, look_up, &l, err);
    if (rc == SHALE_OK)
        *out_seq = l.seq;
    return rc;
}

/* ---- the checkpoint of a moment */

struct moment {
    uint64_t seq; /* 0: by time */
    int64_t unix_s;
    shale_checkpoint_found found;
};

/* A state was kept when the first checkpoint on its manifest was made: others may have been made of that one later. */
struct state {
    struct shl_ulid id;
    uint64_t manifest_id;
    int64_t made_unix_s;
    int64_t ended_unix_s; /* another state was restored over it; 0: not so */
};

static int by_manifest(const void *a, const void *b)
{
    const struct state *x = a, *y = b;
    if (x->manifest_id != y->manifest_id)
        return x->manifest_id < y->manifest_id ? -1 : 1;
    return x->made_unix_s < y->made_unix_s ? -1 : x->made_unix_s > y->made_unix_s;
}

/* A restore keeps what it replaces under this name. */
static int64_t end_of(const struct shl_checkpoint *c)
{
    bool replaced = c->name != NULL && strcmp(c->name, SHL_RESTORE_UNDO_NAME) == 0;
    return replaced ? c->create_s : 0;
}

/* One state for each manifest, ascending. */
static shale_code list_states(const struct shl_manifest *m, struct state **out, size_t *count,
                              shale_error *err)
{
    struct state *s = env_calloc(m->checkpoints.count + 1, sizeof *s);
    size_t kept = 0;
    if (s == NULL)
        return shl_nomem(err);
    for (size_t i = 0; i < m->checkpoints.count; i++)
        s[i] = (struct state){.id = m->checkpoints.items[i].id,
                              .manifest_id = m->checkpoints.items[i].manifest_id,
                              .made_unix_s = m->checkpoints.items[i].create_s,
                              .ended_unix_s = end_of(&m->checkpoints.items[i])};
    qsort(s, m->checkpoints.count, sizeof *s, by_manifest);
    for (size_t i = 0; i < m->checkpoints.count; i++) {
        if (kept == 0 || s[kept - 1].manifest_id != s[i].manifest_id)
            s[kept++] = s[i];
        else if (s[kept - 1].ended_unix_s == 0)
            s[kept - 1].ended_unix_s = s[i].ended_unix_s;
    }
    *out = s;
    *count = kept;
    return SHALE_OK;
}

/* The newest seq that a reader of the state sees. */
static shale_code seq_of(struct shl_api_target *t, const struct state *s, uint64_t *seq,
                         shale_error *err)
{
    struct shl_api_resolved resolved;
    struct shl_lsm *db = NULL;
    struct shl_lsm_status status;
    char id[SHL_UUID_TEXT];
    shl_uuid_format(s->id, id);
    const struct shl_transformer *transformer;
    shale_code rc = shl_api_resolve(t->options, true, &resolved, err);
    if (rc == SHALE_OK)
        rc = shl_api_target_transformer(t, &transformer, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_lsm_open how = {.store = t->stack.store,
                               .wal_store = t->stack.wal_store,
                               .path = t->stack.path,
                               .settings = &resolved.lsm,
                               .transformer = transformer,
                               .log = shl_api_hooks_log(t->stack.hooks)};
    rc = shl_lsm_open_reader(
        &how, &(struct shl_lsm_reader){.mode = SHL_READER_CHECKPOINT, .checkpoint = id}, &db, err);
    if (rc != SHALE_OK)
        return rc;
    shl_lsm_status(db, &status);
    *seq = status.committed_seq;
    return shl_lsm_close(db, err);
}

static shale_code none_found(const struct moment *m, const struct state *oldest, uint64_t seq,
                             shale_error *err)
{
    char when[SHL_TIME_TEXT];
    if (oldest == NULL)
        return shl_fail(err, SHALE_NOT_FOUND, "no checkpoint covers that moment: there are none");
    shl_time_rfc3339(oldest->made_unix_s * 1000, when);
    if (m->seq != 0)
        return shl_fail(err, SHALE_NOT_FOUND,
                        "no checkpoint covers seq %" PRIu64 ": the oldest is of seq %" PRIu64
                        " (%s)",
                        m->seq, seq, when);
    return shl_fail(err, SHALE_NOT_FOUND, "no checkpoint covers that moment: the oldest is of %s",
                    when);
}

/* The newest state that fits was replaced before the moment, and what replaced it was not kept since. */
static shale_code was_replaced(const struct state *s, shale_error *err)
{
    char when[SHL_TIME_TEXT];
    shl_time_rfc3339(s->ended_unix_s * 1000, when);
    return shl_fail(err, SHALE_NOT_FOUND,
                    "no checkpoint covers that moment: another state was restored at %s, and none "
                    "was made since",
                    when);
}

/* By time: the newest state of those that were kept by then. Not all are kept in their order: an old one may have been kept again late. */
static shale_code pick_by_time(struct moment *m, const struct state *s, size_t count,
                               shale_error *err)
{
    const struct state *found = NULL;
    const struct state *oldest = NULL;
    for (size_t i = 0; i < count; i++) {
        if (s[i].made_unix_s <= m->unix_s)
            found = &s[i];
        if (oldest == NULL || s[i].made_unix_s < oldest->made_unix_s)
            oldest = &s[i];
    }
    if (found == NULL)
        return none_found(m, oldest, 0, err);
    if (found->ended_unix_s != 0 && m->unix_s > found->ended_unix_s)
        return was_replaced(found, err);
    m->found = (shale_checkpoint_found){.manifest_id = found->manifest_id,
                                        .made_unix_s = found->made_unix_s};
    shl_uuid_format(found->id, m->found.id);
    return SHALE_OK;
}

/* States only grow with their manifests, so halving finds the last that fits. Sequence numbers go on above those of a state that was replaced. */
static shale_code pick_by_seq(struct shl_api_target *t, struct moment *m, const struct state *s,
                              size_t count, shale_error *err)
{
    size_t low = 0, high = count;
    uint64_t seq = 0, found_seq = 0;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        shale_code rc = seq_of(t, &s[mid], &seq, err);
        if (rc != SHALE_OK)
            return rc;
        if (seq <= m->seq) {
            low = mid + 1;
            found_seq = seq;
        } else {
            high = mid;
        }
    }
    if (low == 0)
        return none_found(m, count > 0 ? &s[0] : NULL, seq, err);
    if (s[low - 1].ended_unix_s != 0 && m->seq > found_seq)
        return was_replaced(&s[low - 1], err);
    m->found = (shale_checkpoint_found){.manifest_id = s[low - 1].manifest_id,
                                        .made_unix_s = s[low - 1].made_unix_s,
                                        .seq = found_seq};
    shl_uuid_format(s[low - 1].id, m->found.id);
    return SHALE_OK;
}

static shale_code find_moment(struct shl_api_target *t, void *arg, shale_error *err)
{
    struct moment *m = arg;
    struct state *s = NULL;
    size_t count = 0;
    shale_code rc = shl_manifests_load(&t->manifests, err);
    if (rc == SHALE_OK)
        rc = list_states(t->manifests.newest, &s, &count, err);
    if (rc == SHALE_OK)
        rc = m->seq != 0 ? pick_by_seq(t, m, s, count, err) : pick_by_time(m, s, count, err);
    env_free(s);
    return rc;
}

shale_code shale_admin_checkpoint_as_of(shale_checkpoint_found *out, const char *url,
                                        const shale_options *options, uint64_t seq, int64_t unix_s,
                                        shale_error *err)
{
    SHL_API_ERR(err);
    struct moment m = {.seq = seq, .unix_s = unix_s};
    struct shl_api_target t;
    if (out == NULL)
        return shl_fail(err, SHALE_INVALID, "as of: the place for the result is NULL");
    shale_code rc = shl_api_with_target(&t, url, options, find_moment, &m, err);
    if (rc == SHALE_OK)
        *out = m.found;
    return rc;
}
