#include "bucket.h"

#include "base/env/sim.h"
#include "lsm/format/manifest.h"
#include "lsm/format/names.h"
#include "lsm/wal.h"

#include <inttypes.h>
#include <stdio.h>

struct check {
    struct shl_store *bucket;
    struct shl_db_paths paths;
    uint64_t id;        /* of the manifest that is looked at */
    uint64_t watermark; /* of the one before */
};

static void die(const struct check *c, const char *what, uint64_t a, uint64_t b)
{
    fprintf(stderr, "bucket: manifest %" PRIu64 ": %s (%" PRIu64 ", %" PRIu64 ")\n", c->id, what, a,
            b);
    sim_trace("bucket: manifest %" PRIu64 ": %s (%" PRIu64 ", %" PRIu64 ")", c->id, what, a, b);
    env_die(what);
}

static void must(const struct check *c, shale_code rc, const shale_error *err)
{
    if (rc != SHALE_OK) {
        fprintf(stderr, "bucket: %s\n", err->text);
        die(c, "unreadable", 0, 0);
    }
}

/* ---------------------------------------------------------------- one manifest */

static void check_exists(const struct check *c, struct shl_ulid id)
{
    shale_error err = {0};
    struct shl_object o;
    char *key = shl_name_sst(&c->paths, id);
    shale_code rc = shl_store_head(c->bucket, key, &o, &err);
    if (rc != SHALE_OK)
        fprintf(stderr, "bucket: %s\n", key);
    env_free(key);
    if (rc != SHALE_OK)
        die(c, "an SST that the manifest names is not there", 0, 0);
}

static bool knows(const struct shl_tree *t, struct shl_ulid sst)
{
    for (size_t i = 0; t != NULL && i < t->l0.count; i++)
        if (shl_ulid_eq(t->l0.items[i].sst->id, sst))
            return true;
    return false;
}

/* The time that no new L0 may be older than: the newest L0 of any tree, or what it was when it was compacted. */
static uint64_t watermark(const struct shl_manifest *m)
{
    uint64_t mark = 0;
    for (size_t s = 0; s <= m->segments.count; s++) {
        const struct shl_tree *t = s == 0 ? &m->root : &m->segments.items[s - 1].tree;
        uint64_t time = 0;
        if (t->l0.count > 0)
            time = shl_ulid_time_ms(t->l0.items[0].sst->id);
        else if (t->has_watermark)
            time = shl_ulid_time_ms(t->watermark);
        mark = time > mark ? time : mark;
    }
    return mark;
}

/* Newest first; what is new is not older than the watermark. */
static void check_l0(const struct check *c, const struct shl_tree *t, const struct shl_tree *before)
{
    for (size_t i = 0; i < t->l0.count; i++) {
        uint64_t time = shl_ulid_time_ms(t->l0.items[i].sst->id);
        check_exists(c, t->l0.items[i].sst->id);
        if (i + 1 < t->l0.count && time < shl_ulid_time_ms(t->l0.items[i + 1].sst->id))
            die(c, "L0 is not newest first", i, t->l0.count);
        if (!knows(before, t->l0.items[i].sst->id) && time < c->watermark)
            die(c, "a new L0 is older than the watermark", time, c->watermark);
    }
}

static void check_run(const struct check *c, const struct shl_run *run)
{
    /* A job that is committed in part leaves its sources listed, with nothing in them in the end. */
    for (size_t i = 0; i < run->ssts.count; i++) {
        struct shl_key_range a, b;
        check_exists(c, run->ssts.items[i].sst->id);
        shl_sst_view_range(&run->ssts.items[i], &a);
        if (shl_slice_cmp(a.start, a.end) > 0)
            die(c, "an SST ends before it begins", run->id, i);
        if (i + 1 == run->ssts.count)
            continue;
        shl_sst_view_range(&run->ssts.items[i + 1], &b);
        if (shl_slice_cmp(a.end, b.start) > 0)
            die(c, "SSTs of a run are not in order", run->id, i);
    }
}

/* Run ids, of one tree and of all: descending, and none twice. */
static void check_tree(const struct check *c, const struct shl_tree *t,
                       const struct shl_tree *before, uint32_t *seen, size_t *seen_count)
{
    check_l0(c, t, before);
    for (size_t i = 0; i < t->runs.count; i++) {
        check_run(c, &t->runs.items[i]);
        if (i > 0 && t->runs.items[i].id >= t->runs.items[i - 1].id)
            die(c, "run ids do not descend", t->runs.items[i].id, i);
        for (size_t k = 0; k < *seen_count; k++)
            if (seen[k] == t->runs.items[i].id)
                die(c, "two runs have one id", seen[k], 0);
        if (*seen_count < 256)
            seen[(*seen_count)++] = t->runs.items[i].id;
    }
}

static void check_manifest(const struct check *c, struct shl_manifest *m,
                           struct shl_manifest *before)
{
    uint32_t seen[256];
    size_t seen_count = 0;
    check_tree(c, &m->root, before != NULL ? &before->root : NULL, seen, &seen_count);
    for (size_t i = 0; i < m->segments.count; i++) {
        struct shl_segment *old =
            before != NULL
                ? shl_manifest_segment(before, shl_buf_view(&m->segments.items[i].prefix))
                : NULL;
        check_tree(c, &m->segments.items[i].tree, old != NULL ? &old->tree : NULL, seen,
                   &seen_count);
    }
    if (m->segments.count > 0 && m->root.l0.count + m->root.runs.count > 0)
        die(c, "segments, and a root tree that is not empty", m->segments.count, 0);
    if (m->replay_after_wal_id > m->wal_id_last_seen)
        die(c, "replay_after_wal_id is above the last WAL object", m->replay_after_wal_id,
            m->wal_id_last_seen);
    if (before == NULL)
        return;
#define NEVER_DECREASES(field)                                                                     \
    if (m->field < before->field)                                                                  \
    die(c, #field " went back", (uint64_t)before->field, (uint64_t)m->field)
    NEVER_DECREASES(writer_epoch);
    NEVER_DECREASES(compactor_epoch);
    NEVER_DECREASES(last_l0_seq);
    NEVER_DECREASES(replay_after_wal_id);
    NEVER_DECREASES(wal_id_last_seen);
    NEVER_DECREASES(last_l0_clock_tick);
    NEVER_DECREASES(recent_snapshot_min_seq);
#undef NEVER_DECREASES
    if (m->writer_epoch > before->writer_epoch + 1 ||
        m->compactor_epoch > before->compactor_epoch + 1)
        die(c, "an epoch was passed over", m->writer_epoch, m->compactor_epoch);
}

/* ---------------------------------------------------------------- WAL */

/* Ids without a gap from `first` on; seqs go up from object to object. Returns the newest seq. */
static uint64_t check_wal(const struct check *c, uint64_t first, uint64_t last_seen)
{
    shale_error err = {0};
    shl_wal_items ids = {0};
    uint64_t want = first, newest = 0;
    must(c, shl_wal_list(c->bucket, &c->paths, first - 1, &ids, &err), &err);
    for (size_t i = 0; i < ids.count; i++, want++) {
        struct shl_wal_file f;
        if (ids.items[i].id != want)
            die(c, "a gap in the WAL", want, ids.items[i].id);
        must(c, shl_wal_file_read(c->bucket, &c->paths, want, ids.items[i].bytes, NULL, &f, &err),
             &err);
        if (f.count > 0 && f.rows[0].seq <= newest)
            die(c, "seqs of WAL objects do not go up", want, f.rows[0].seq);
        if (f.count > 0)
            newest = f.rows[f.count - 1].seq;
        shl_wal_file_deinit(&f);
    }
    if (want <= last_seen)
        die(c, "a WAL object that the manifest knows of is not there", want, last_seen);
    shl_array_free(&ids);
    return newest;
}

void bucket_check(struct shl_store *bucket, const char *path, bool wal_complete, bool wal_always_on)
{
    struct check c = {.bucket = bucket};
    shale_error err = {0};
    struct shl_list list = {0};
    struct shl_manifest *before = NULL;
    must(&c, shl_db_paths_init(&c.paths, path, &err), &err);
    char *dir = shl_name_dir(&c.paths, "manifest");
    must(&c, shl_store_list(bucket, &(struct shl_list_options){.prefix = dir}, &list, &err), &err);
    for (size_t i = 0; i < list.count; i++) {
        struct shl_buf body = {0};
        struct shl_manifest *m;
        if (!shl_name_parse_id(list.items[i].key, "manifest", &c.id) || c.id != i + 1)
            die(&c, "a gap in the manifests", i + 1, c.id);
        must(&c, shl_store_get(bucket, list.items[i].key, NULL, &body, NULL, &err), &err);
        must(&c, shl_manifest_decode(shl_buf_view(&body), &m, &err), &err);
        c.watermark = before != NULL ? watermark(before) : 0;
        check_manifest(&c, m, before);
        shl_buf_free(&body);
        shl_manifest_free(before);
        before = m;
    }
    if (before != NULL) {
        uint64_t newest = check_wal(&c, wal_complete ? 1 : before->replay_after_wal_id + 1,
                                    before->wal_id_last_seen);
        if (wal_complete && wal_always_on && before->last_l0_seq > newest)
            die(&c, "L0 is ahead of the WAL", before->last_l0_seq, newest);
    }
    shl_manifest_free(before);
    shl_list_free(&list);
    env_free(dir);
    shl_db_paths_deinit(&c.paths);
}
