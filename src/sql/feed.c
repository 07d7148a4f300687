/* The log as a feed of changes, and points in time within it. */
#include "sql/internal.h"

#include "base/codec/timefmt.h"
#include "base/num.h"
#include <inttypes.h>
#include <stdlib.h>

/* ---- when a changeset was stored */

static int by_key(const void *key, const void *item)
{
    return strcmp(key, ((const struct shl_list_item *)item)->key);
}

/* 0: not known. */
static int64_t stored_ms(const struct shl_list *l, const char *key)
{
    const struct shl_list_item *o =
        l->count == 0 ? NULL : bsearch(key, l->items, l->count, sizeof *l->items, by_key);
    return o == NULL ? 0 : o->modified_ns / (int64_t)ENV_NS_PER_MS;
}

shale_code shl_sql_seq_at(struct shl_sql_remote *r, const struct shl_sql_manifest *m,
                          int64_t unix_ms, int64_t *out, shale_error *err)
{
    struct shl_list l = {0};
    int64_t seq = m->snapshot.seq;
    char when[SHL_TIME_TEXT];
    shale_code rc = shl_sql_list(r, "changesets", &l, err);
    for (size_t i = 0; rc == SHALE_OK && i < m->log.count; i++) {
        int64_t ms = stored_ms(&l, m->log.items[i].key);
        if (ms != 0 && ms > unix_ms)
            break;
        seq = m->log.items[i].seq;
    }
    shl_list_free(&l);
    if (rc == SHALE_OK && seq == m->snapshot.seq) {
        struct shl_object o;
        rc = shl_store_head(r->store, m->snapshot.key, &o, err);
        if (rc == SHALE_OK && o.modified_ns / (int64_t)ENV_NS_PER_MS > unix_ms)
            rc = shl_fail(err, SHALE_NOT_FOUND,
                          "nothing is on record at %s: the snapshot in force, with seq %" PRId64
                          ", is younger%s",
                          shl_time_rfc3339(unix_ms, when), m->snapshot.seq,
                          m->snapshot.seq == 0 ? ", and so is the database" : "");
    }
    if (rc == SHALE_OK)
        *out = seq;
    return rc;
}

shale_code shl_sql_seq_asked(struct shl_sql_remote *r, const struct shl_sql_options *o,
                             const struct shl_sql_manifest *m, int64_t *out, shale_error *err)
{
    if (o->at_unix_ms != SHL_SQL_NONE)
        return shl_sql_seq_at(r, m, o->at_unix_ms, out, err);
    int64_t seq = o->at_seq == SHL_SQL_NONE ? m->seq : o->at_seq;
    if (seq < m->snapshot.seq || seq > m->seq)
        return shl_fail(err, SHALE_NOT_FOUND,
                        "seq %" PRId64 " cannot be had: the snapshot is at %" PRId64
                        ", the newest commit is %" PRId64,
                        seq, m->snapshot.seq, m->seq);
    *out = seq;
    return SHALE_OK;
}

/* ---- the feed */

#define FEED_AT_ONCE ((size_t)64)

struct feed {
    struct shl_sql *s;
    bool bodies;
    bool (*visit)(void *ctx, const struct shl_sql_entry *entry);
    void *ctx;
    const struct shl_list *times; /* NULL: not asked for */
    int64_t seq;                  /* the last one that was given */
};

static shale_code give(struct feed *f, const struct shl_sql_manifest *m, size_t first, size_t count,
                       bool *out_more, shale_error *err)
{
    struct shl_buf bodies[FEED_AT_ONCE] = {{0}};
    shale_code rc = SHALE_OK;
    if (f->bodies)
        rc = shl_sql_fetch_log(&f->s->remote, m, first, count, bodies, err);
    for (size_t i = 0; rc == SHALE_OK && *out_more && i < count; i++) {
        const struct shl_sql_object *e = &m->log.items[first + i];
        struct shl_sql_entry entry = {.seq = e->seq,
                                      .size = e->size,
                                      .key = e->key,
                                      .modified_ms =
                                          f->times == NULL ? 0 : stored_ms(f->times, e->key),
                                      .body = shl_buf_view(&bodies[i])};
        *out_more = f->visit(f->ctx, &entry);
        f->seq = e->seq;
    }
    for (size_t i = 0; i < count; i++)
        shl_buf_free(&bodies[i]);
    return rc;
}

static shale_code folded(int64_t after, int64_t snapshot, shale_error *err)
{
    return shl_fail(err, SHALE_NOT_FOUND,
                    "the changes behind seq %" PRId64
                    " are folded into the snapshot, which is at %" PRId64,
                    after, snapshot);
}

/* A changeset that is missing was collected, if the snapshot is a newer one by now. */
static shale_code look_again(struct feed *f, shale_code rc, shale_error *err)
{
    shale_error other = {0};
    bool newer = false;
    if (rc != SHALE_CORRUPTION)
        return rc;
    shl_sql_turn_begin(f->s, SHL_SQL_ALONE);
    bool read = shl_sql_head_load(&f->s->remote, &f->s->head, &newer, &other) == SHALE_OK;
    int64_t snapshot = f->s->head.manifest.snapshot.seq;
    shl_sql_turn_end(f->s);
    return read && snapshot > f->seq ? folded(f->seq, snapshot, err) : rc;
}

shale_code shl_sql_log(struct shl_sql *s, int64_t after, bool bodies, bool times,
                       bool (*visit)(void *ctx, const struct shl_sql_entry *entry), void *ctx,
                       shale_error *err)
{
    struct shl_list stored = {0};
    struct shl_sql_manifest m = {0};
    struct feed f = {.s = s, .bodies = bodies, .visit = visit, .ctx = ctx, .seq = after};
    size_t first;
    bool more = true;
    shale_code rc;
    shl_sql_turn_begin(
        s, SHL_SQL_ALONE); /* only to look: visit may take its time, and use the handle */
    rc = shl_sql_head_load(&s->remote, &s->head, NULL, err);
    if (rc == SHALE_OK)
        rc = shl_sql_manifest_copy(&s->head.manifest, &m, err);
    shl_sql_turn_end(s);
    SHL_TRY(rc);
    if (after < m.snapshot.seq)
        SHL_TRY(folded(after, m.snapshot.seq, err));
    first = (size_t)shl_min_u64((uint64_t)(after - m.snapshot.seq), m.log.count);
    if (times && first < m.log.count)
        SHL_TRY(shl_sql_list(&s->remote, "changesets", &stored, err));
    f.times = times ? &stored : NULL;
    for (size_t i = first; i < m.log.count && more;) {
        size_t n = shl_min_size(FEED_AT_ONCE, m.log.count - i);
        SHL_TRY(look_again(&f, give(&f, &m, i, n, &more, err), err));
        i += n;
    }
out:
    shl_list_free(&stored);
    shl_sql_manifest_free(&m);
    return rc;
}
