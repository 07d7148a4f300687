/* Compaction: living records into new files, an index of them, and only then the old files go. And the collector of what is left. */
#include "s4/db.h"

#include "base/assert.h"
#include "base/num.h"

#include <inttypes.h>
#include <stdlib.h>

#define BATCH_KEYS  8192
#define BATCH_BYTES ((uint64_t)16 << 20)

/* A record that was copied: where it was, and is. In the order of old places. */
struct move {
    uint64_t file;
    uint64_t offset;
    struct shl_s4_loc to;
};

struct compaction {
    struct shl_s4 *db;
    struct shl_s4_map *before; /* owned reference: what is rewritten */
    struct shl_s4_places places;
    struct shl_s4_ids old_files; /* named by it */
    SHL_ARRAY(struct move) moves;
    struct shl_s4_map *after; /* owned: to be committed */
    size_t own_files;         /* of the handle before it began */
    struct shl_s4_compacted *told;
};

/* ---- copying */

static shale_code copy_batch(struct compaction *c, size_t from, size_t to,
                             struct shl_s4_want *wants, struct shl_s4_batch *out, shale_error *err)
{
    struct shl_buf data = {0};
    size_t count = to - from;
    shale_code rc;
    for (size_t i = 0; i < count; i++) {
        wants[i] = (struct shl_s4_want){0};
        shl_s4_index_at(&c->before->index, c->places.list.items[from + i].ref, &wants[i].key,
                        &wants[i].loc);
    }
    rc = shl_s4_fetch(c->db, wants, count, false, &data, err);
    if (rc == SHALE_NOT_FOUND || rc == SHALE_INVALID_RANGE)
        rc = err->code = SHALE_CORRUPTION;
    SHL_TRY(rc);
    for (size_t i = 0; i < count; i++) {
        SHL_TRY(shl_s4_batch_add(c->db, out, wants[i].whole, err));
        struct move m = {.file = wants[i].loc.file,
                         .offset = wants[i].loc.offset,
                         .to = out->places.items[out->places.count - 1]};
        shl_array_add(&c->moves, m);
        c->told->bytes_written += wants[i].whole.len;
    }
    c->told->bytes_read += data.len;
    out->places.count = 0; /* the moves have them */
out:
    shl_buf_free(&data);
    return rc;
}

/* How many records from `from` on make a batch. */
static size_t batch_end(const struct compaction *c, size_t from)
{
    uint64_t bytes = 0;
    size_t to = from;
    while (to < c->places.list.count && to - from < BATCH_KEYS && bytes < BATCH_BYTES) {
        struct shl_slice key;
        struct shl_s4_loc loc;
        shl_s4_index_at(&c->before->index, c->places.list.items[to++].ref, &key, &loc);
        bytes += loc.length;
    }
    return to;
}

static shale_code copy_records(struct compaction *c, struct shl_s4_batch *out, shale_error *err)
{
    size_t count = c->places.list.count;
    shale_code rc = SHALE_OK;
    struct shl_s4_want *wants = env_calloc(BATCH_KEYS, sizeof *wants);
    if (wants == NULL || !shl_array_reserve(&c->moves, count))
        SHL_TRY(shl_nomem(err));
    for (size_t from = 0, to = 0; from < count; from = to) {
        to = batch_end(c, from);
        SHL_TRY(copy_batch(c, from, to, wants, out, err));
    }
    SHL_TRY(shl_s4_batch_write(c->db, out, err));
out:
    env_free(wants);
    return rc;
}

/* ---- the new index */

static int by_place(const void *a, const void *b)
{
    const struct move *p = a;
    const struct move *q = b;
    if (p->file != q->file)
        return p->file < q->file ? -1 : 1;
    return p->offset < q->offset ? -1 : p->offset > q->offset;
}

/* The newest index with the places that moved: what others wrote meanwhile keeps its own. */
static shale_code build_index(struct compaction *c, shale_error *err)
{
    struct shl_s4_cursor cursor = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref;
    const struct shl_s4_index *newest = &c->db->map->index;
    shale_code rc = SHALE_OK;
    shl_s4_map_unref(c->db, c->after);
    c->after = shl_s4_map_new();
    if (c->after == NULL)
        return shl_nomem(err);
    SHL_TRY(shl_s4_index_reserve(&c->after->index, newest->count, UINT64_MAX, err));
    while (shl_s4_index_next(newest, &cursor, &key, &loc, &ref)) {
        const struct move want = {.file = loc.file, .offset = loc.offset};
        const struct move *m = c->moves.count == 0 ? NULL
                                                   : bsearch(&want, c->moves.items, c->moves.count,
                                                             sizeof *c->moves.items, by_place);
        SHL_TRY(shl_s4_index_put(&c->after->index, key, m != NULL ? m->to : loc, err));
    }
out:
    return rc;
}

static shale_code commit(struct compaction *c, shale_error *err)
{
    char key[SHL_S4_KEY_BYTES];
    for (unsigned lost = 0;;) {
        shale_code rc = build_index(c, err);
        if (rc == SHALE_OK)
            rc = shl_s4_put_index(c->db, &c->after->index, err);
        if (rc != SHALE_PRECONDITION)
            return rc;
        rc = shl_s4_key(c->db, SHL_S4_INDEX_NAME, key, err);
        if (rc == SHALE_OK && (++lost == SHL_S4_RACES_MAX || c->db->settings.format == 1))
            rc = shl_fail(err, SHALE_CONFLICT, "%s: other writers committed %u times meanwhile",
                          key, lost);
        if (rc == SHALE_OK) {
            shl_s4_pause(lost);
            rc = shl_s4_reload(c->db, err);
        }
        if (rc != SHALE_OK)
            return rc;
    }
}

/* ---- deleting */

/* Of so many bytes. A local copy with more is of a writer that lives, and holds what it has not uploaded yet. */
static shale_code delete_file(struct shl_s4 *db, uint64_t id, uint64_t size, shale_error *err)
{
    char key[SHL_S4_KEY_BYTES];
    uint64_t here;
    shale_code rc = shl_s4_file_key(db, id, key, err);
    if (rc == SHALE_OK)
        rc = shl_store_delete(db->store, key, err);
    /* A note that could not be removed may still name it. */
    if (rc == SHALE_OK && !db->noted && db->adopted_count == 0 &&
        shl_s4_local_size(&db->local, id, &here) && here <= size)
        shl_s4_local_remove(&db->local, id);
    return rc;
}

/* The new files when nothing was committed: they are nobody's. Those that were sent are left to the collector unless the newest index is seen not to name them: a try whose
 * answer was lost may have been taken before others won. */
static void drop_new_files(struct compaction *c)
{
    struct shl_s4 *db = c->db;
    struct shl_s4_ids named = {0};
    shale_error ignored;
    bool sent = false;
    shl_s4_close_active(db);
    for (size_t i = c->own_files; i < db->files.count; i++)
        sent = sent || db->files.items[i].etag[0] != '\0';
    bool known = sent && shl_s4_reload(db, &ignored) == SHALE_OK &&
                 shl_s4_index_files(&db->map->index, &named, &ignored) == SHALE_OK;
    while (db->files.count > c->own_files) {
        const struct shl_s4_file *f = &db->files.items[--db->files.count];
        if (f->etag[0] == '\0')
            shl_s4_local_remove(&db->local, f->id);
        else if (known && !shl_s4_ids_have(&named, f->id))
            shl_ignore(delete_file(db, f->id, f->size, &ignored));
    }
    shl_s4_ids_free(&named);
}

static bool is_old(const struct shl_s4_remote *r, uint64_t grace_ns)
{
    int64_t now_ns = env_now_wall_ms() * (int64_t)ENV_NS_PER_MS;
    if (grace_ns == 0)
        return true;
    return r->modified_ns != 0 && now_ns > r->modified_ns &&
           (uint64_t)(now_ns - r->modified_ns) >= grace_ns;
}

static void forget_file(struct shl_s4 *db, uint64_t id)
{
    struct shl_s4_file *f = shl_s4_file_find(db, id);
    if (f == NULL)
        return;
    size_t at = (size_t)(f - db->files.items);
    memmove(f, f + 1, (db->files.count - at - 1) * sizeof *f);
    db->files.count--;
}

/* Whether the compaction made a file useless: its own writer's, or one that the index before named and that nobody adds to any more. Others that no index names may be on their
 * way: they are the collector's. */
static bool is_replaced(struct compaction *c, const struct shl_s4_remote *r, uint64_t grace_ns)
{
    if (shl_s4_file_find(c->db, r->id) != NULL)
        return true;
    if (!shl_s4_ids_have(&c->old_files, r->id))
        return false;
    bool old = is_old(r, grace_ns); /* a young one may have readers with an older index, too */
    c->told->files_left += !old;
    return old;
}

static shale_code delete_old_files(struct compaction *c, uint64_t grace_ns, shale_error *err)
{
    struct shl_s4 *db = c->db;
    struct shl_s4_remote_list remote = {0};
    struct shl_s4_ids named = {0};
    shale_code rc;
    SHL_TRY(shl_s4_index_files(&c->after->index, &named, err));
    SHL_TRY(shl_s4_list(db, &remote, err));
    for (size_t i = 0; i < remote.files.count; i++) {
        const struct shl_s4_remote *r = &remote.files.items[i];
        if (shl_s4_ids_have(&named, r->id) || !is_replaced(c, r, grace_ns))
            continue;
        SHL_TRY(delete_file(db, r->id, r->size, err));
        forget_file(db, r->id);
        c->told->files_deleted++;
        c->told->bytes_deleted += r->size;
        ENV_POINT("s4 file deleted");
    }
out:
    shl_array_free(&remote.files);
    shl_s4_ids_free(&named);
    return rc;
}

/* ---- the whole */

static shale_code rewrite(struct compaction *c, shale_error *err)
{
    struct shl_s4 *db = c->db;
    struct shl_s4_batch out;
    shl_s4_close_active(db);
    shl_s4_batch_begin(db, &out);
    shale_code rc = copy_records(c, &out, err);
    c->told->files_written = rc == SHALE_OK ? out.new_files : 0;
    shl_s4_batch_end(db, &out, rc != SHALE_OK);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_s4_send_files(db, err);
    if (rc == SHALE_OK)
        rc = commit(c, err);
    /* Where the answer was lost the index may name them. */
    if (rc != SHALE_OK && !shl_s4_fate_is_unknown(rc))
        drop_new_files(c);
    return rc;
}

static shale_code compact(struct compaction *c, uint64_t grace_ns, shale_error *err)
{
    struct shl_s4 *db = c->db;
    shale_code rc;
    SHL_TRY(shl_s4_check_synced(db, "compact", err));
    SHL_TRY(shl_s4_reload(db, err));
    c->before = shl_s4_map_ref(db);
    c->own_files = db->files.count;
    SHL_TRY(shl_s4_index_places(&c->before->index, &c->places, err));
    SHL_TRY(shl_s4_index_files(&c->before->index, &c->old_files, err));
    SHL_TRY(rewrite(c, err));
    c->told->keys = c->moves.count;
    shl_s4_map_set(db, c->after, false);
    c->after = shl_s4_map_ref(db);
    shl_s4_close_active(db);
    shl_s4_committed(db);
    rc = delete_old_files(c, grace_ns, err);
    if (rc != SHALE_OK)
        shl_err_prefix(err, "the compaction is committed; deleting what it replaced");
out:
    shl_s4_map_unref(db, c->before);
    shl_s4_map_unref(db, c->after);
    shl_s4_places_free(&c->places);
    shl_s4_ids_free(&c->old_files);
    shl_array_free(&c->moves);
    return rc;
}

shale_code shl_s4_compact(struct shl_s4 *db, uint64_t grace_ns, struct shl_s4_compacted *out,
                          shale_error *err)
{
    struct compaction c = {.db = db, .told = out};
    *out = (struct shl_s4_compacted){0};
    shale_code rc = shl_s4_begin_write(db, err);
    if (rc != SHALE_OK)
        return rc;
    rc = compact(&c, grace_ns, err);
    shl_s4_end_turn(db);
    return rc;
}

/* ---- the collector */

static shale_code collect(struct shl_s4 *db, uint64_t grace_ns, bool dry_run,
                          void (*told)(void *ctx, const char *name, uint64_t bytes), void *ctx,
                          shale_error *err)
{
    struct shl_s4_remote_list remote = {0};
    struct shl_s4_ids named = {0};
    char name[SHL_S4_NAME_BYTES];
    shale_code rc;
    SHL_TRY(shl_s4_check_synced(db, "gc", err));
    SHL_TRY(shl_s4_list(db, &remote, err)); /* before the index: what is named later was listed */
    SHL_TRY(shl_s4_reload(db, err));
    if (db->index_etag[0] == '\0')
        SHL_TRY(shl_fail(err, SHALE_NOT_FOUND,
                         "there is no index: without it every data file looks like garbage"));
    SHL_TRY(shl_s4_index_files(&db->map->index, &named, err));
    for (size_t i = 0; i < remote.files.count; i++) {
        const struct shl_s4_remote *r = &remote.files.items[i];
        if (shl_s4_ids_have(&named, r->id) || shl_s4_file_find(db, r->id) != NULL ||
            !is_old(r, grace_ns))
            continue;
        if (!dry_run)
            SHL_TRY(delete_file(db, r->id, r->size, err));
        shl_s4_name(r->id, name);
        if (told != NULL)
            told(ctx, name, r->size);
    }
out:
    shl_array_free(&remote.files);
    shl_s4_ids_free(&named);
    return rc;
}

shale_code shl_s4_gc(struct shl_s4 *db, uint64_t grace_ns, bool dry_run,
                     void (*told)(void *ctx, const char *name, uint64_t bytes), void *ctx,
                     shale_error *err)
{
    shale_code rc = SHALE_OK;
    if (dry_run)
        shl_s4_take_turn(db);
    else
        rc = shl_s4_begin_write(db, err);
    if (rc != SHALE_OK)
        return rc;
    rc = collect(db, grace_ns, dry_run, told, ctx, err);
    shl_s4_end_turn(db);
    return rc;
}
