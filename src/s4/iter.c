/* Walking all keys with their values, and many keys at once: batches in the order of places, so that ranges are long. */
#include "s4/db.h"

#include "base/assert.h"
#include "base/num.h"

#include <stdlib.h>

#define BATCH_KEYS  8192
#define BATCH_BYTES ((uint64_t)8 << 20)

/* Keys of a batch, with memory of their own. */
struct batch {
    SHL_ARRAY(struct shl_s4_want) wants; /* owned; sorted by place */
    struct shl_buf keys;                 /* owned: what the wants borrow */
    struct shl_buf data;                 /* owned: their records */
    struct shl_buf hold;                 /* owned: a value that was compressed */
    uint64_t bytes;
    struct shl_s4_map *from; /* owned reference: where the places came from */
};

static void batch_clear(struct batch *b)
{
    b->wants.count = 0;
    b->keys.len = 0;
    b->bytes = 0;
}

static void batch_free(struct shl_s4 *db, struct batch *b)
{
    shl_s4_map_unref(db, b->from);
    shl_array_free(&b->wants);
    shl_buf_free(&b->keys);
    shl_buf_free(&b->data);
    shl_buf_free(&b->hold);
}

static int by_place(const void *a, const void *b)
{
    const struct shl_s4_loc *p = &((const struct shl_s4_want *)a)->loc;
    const struct shl_s4_loc *q = &((const struct shl_s4_want *)b)->loc;
    if (p->file != q->file)
        return p->file < q->file ? -1 : 1;
    return p->offset < q->offset ? -1 : p->offset > q->offset;
}

static void from_newest(struct shl_s4 *db, struct batch *b)
{
    struct shl_s4_map *old = b->from;
    b->from = shl_s4_map_ref(db);
    shl_s4_map_unref(db, old);
}

/* Looks the keys up in a newer index: those that are gone from it are dropped. */
static void look_up_again(struct shl_s4 *db, struct batch *b)
{
    size_t kept = 0;
    from_newest(db, b);
    env_mutex_lock(&db->mu);
    for (size_t i = 0; i < b->wants.count; i++) {
        struct shl_s4_want w = b->wants.items[i];
        if (shl_s4_index_get(&b->from->index, w.key, &w.loc))
            b->wants.items[kept++] = w;
    }
    env_mutex_unlock(&db->mu);
    b->wants.count = kept;
    if (kept > 1)
        qsort(b->wants.items, kept, sizeof *b->wants.items, by_place);
}

/* Fetches the batch; a file that was compacted away meanwhile is no failure. */
static shale_code batch_fetch(struct shl_s4 *db, struct batch *b, bool local, shale_error *err)
{
    for (;;) {
        shale_code rc = shl_s4_fetch(db, b->wants.items, b->wants.count, local, &b->data, err);
        if (rc == SHALE_OK || !shl_s4_look_again(db, b->from, &rc, err))
            return rc;
        look_up_again(db, b);
    }
}

static shale_code value_of(struct shl_s4 *db, const struct shl_s4_want *w, struct shl_buf *hold,
                           struct shl_slice *out, shale_error *err)
{
    shale_code rc = shl_s4_value(&w->record, hold, out, err);
    if (rc == SHALE_CORRUPTION)
        shl_s4_err_place(db, w->loc.file, w->loc.offset, err);
    return rc;
}

/* ---- many keys at once */

static shale_code tell_values(struct shl_s4 *db, struct batch *b, shl_s4_value_fn fn, void *ctx,
                              shale_error *err)
{
    for (size_t i = 0; i < b->wants.count; i++) {
        const struct shl_s4_want *w = &b->wants.items[i];
        struct shl_slice value;
        shale_code rc = value_of(db, w, &b->hold, &value, err);
        if (rc == SHALE_OK)
            rc = fn(ctx, w->tag, value, (w->record.flags & SHL_S4_BYTES) != 0, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

/* Takes keys from *at on until the batch is full. */
static shale_code take_keys(struct shl_s4 *db, const struct shl_slice *keys, size_t count,
                            size_t *at, struct batch *b, shale_error *err)
{
    size_t room = shl_min_size(count - *at, BATCH_KEYS);
    batch_clear(b);
    if (!shl_array_reserve(&b->wants, room))
        return shl_nomem(err);
    from_newest(db, b);
    env_mutex_lock(&db->mu);
    for (; *at < count && b->wants.count < room && b->bytes < BATCH_BYTES; ++*at) {
        struct shl_s4_want w = {.key = keys[*at], .tag = *at};
        if (!shl_s4_index_get(&b->from->index, w.key, &w.loc))
            continue;
        shl_array_add(&b->wants, w);
        b->bytes += w.loc.length;
    }
    env_mutex_unlock(&db->mu);
    if (b->wants.count > 1)
        qsort(b->wants.items, b->wants.count, sizeof *b->wants.items, by_place);
    return SHALE_OK;
}

shale_code shl_s4_get_many(struct shl_s4 *db, const struct shl_slice *keys, size_t count,
                           shl_s4_value_fn fn, void *ctx, shale_error *err)
{
    struct batch b = {0};
    shale_code rc = SHALE_OK;
    for (size_t at = 0; at < count && rc == SHALE_OK;) {
        rc = take_keys(db, keys, count, &at, &b, err);
        if (rc == SHALE_OK)
            rc = batch_fetch(db, &b, false, err);
        if (rc == SHALE_OK)
            rc = tell_values(db, &b, fn, ctx, err);
    }
    batch_free(db, &b);
    return rc;
}

/* ---- iterators */

struct shl_s4_iter {
    struct shl_s4 *db;           /* borrowed */
    struct shl_s4_map *map;      /* owned reference */
    struct shl_s4_places places; /* owned; where values are wanted */
    struct shl_s4_cursor cursor; /* where keys alone are */
    struct shl_s4_iter_options how;
    uint64_t changes;
    size_t next;        /* place behind the batch */
    size_t at;          /* in the batch */
    struct batch batch; /* owned */
    shale_code failed;  /* what ended it */
    shale_error why;
};

static shale_code check_unchanged(const struct shl_s4_iter *it, shale_error *err)
{
    if (it->db->changes == it->changes)
        return SHALE_OK;
    return shl_fail(err, SHALE_INVALID, "the store was written to during the iteration");
}

/* How far the index reaches into each of its files. Owned; NULL without memory. */
static uint64_t *ends_of(const struct shl_s4_index *x, const struct shl_s4_ids *named)
{
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref;
    uint64_t *ends = env_calloc(named->ids.count + 1, sizeof *ends);
    while (ends != NULL && shl_s4_index_next(x, &c, &key, &loc, &ref)) {
        size_t i = shl_s4_ids_find(named, loc.file);
        SHL_ASSERT(i != SIZE_MAX); /* they are of this index */
        ends[i] = shl_max_u64(ends[i], loc.offset + loc.length);
    }
    return ends;
}

/* Downloads what is not there, or not all of it: a file may have grown since it was fetched. [no turn] */
static shale_code fetch_missing(struct shl_s4 *db, const struct shl_s4_map *map, shale_error *err)
{
    struct shl_s4_ids named = {0};
    SHL_ARRAY(uint64_t) missing = {0};
    uint64_t *ends = NULL;
    uint64_t bytes, size;
    shale_code rc;
    shl_s4_take_turn(db);
    rc = shl_s4_index_files(&map->index, &named, err);
    if (rc == SHALE_OK && (ends = ends_of(&map->index, &named)) == NULL)
        rc = shl_nomem(err);
    for (size_t i = 0; rc == SHALE_OK && i < named.ids.count; i++)
        if ((!shl_s4_local_size(&db->local, named.ids.items[i], &size) || size < ends[i]) &&
            shl_s4_file_find(db, named.ids.items[i]) == NULL &&
            !shl_array_push(&missing, named.ids.items[i]))
            rc = shl_nomem(err);
    if (rc == SHALE_OK)
        rc = shl_s4_fetch_files(db, missing.items, missing.count, &bytes, err);
    shl_s4_end_turn(db);
    env_free(ends);
    shl_s4_ids_free(&named);
    shl_array_free(&missing);
    return rc;
}

/* The same by the newest index, if files of this one were compacted away. */
static shale_code fetch_local(struct shl_s4_iter *it, shale_error *err)
{
    for (;;) {
        shale_code rc = fetch_missing(it->db, it->map, err);
        if (rc == SHALE_OK || !shl_s4_look_again(it->db, it->map, &rc, err))
            return rc;
        shl_s4_map_unref(it->db, it->map);
        it->map = shl_s4_map_ref(it->db);
    }
}

shale_code shl_s4_iter_open(struct shl_s4 *db, const struct shl_s4_iter_options *how,
                            struct shl_s4_iter **out, shale_error *err)
{
    shale_code rc = SHALE_OK;
    struct shl_s4_iter *it = env_calloc(1, sizeof *it);
    if (it == NULL)
        return shl_nomem(err);
    it->db = db;
    it->how = *how;
    it->map = shl_s4_map_ref(db);
    if (how->local && !how->keys_only)
        SHL_TRY(fetch_local(it, err));
    shl_s4_take_turn(db); /* nobody writes while the places are sorted */
    it->changes = db->changes;
    rc = how->keys_only ? SHALE_OK : shl_s4_index_places(&it->map->index, &it->places, err);
    shl_s4_end_turn(db);
    SHL_TRY(rc);
    *out = it;
    it = NULL; /* moved to the caller */
out:
    shl_s4_iter_close(it);
    return rc;
}

/* REQUIRES: mu. Copies a key into the batch; slices are set when all are there, for the memory may move. */
static shale_code add_want(struct batch *b, struct shl_slice key, struct shl_s4_loc loc,
                           shale_error *err)
{
    struct shl_s4_want w = {.loc = loc, .key = {.data = NULL, .len = key.len}, .tag = b->keys.len};
    shale_code rc = shl_buf_append(&b->keys, key.data, key.len, err);
    if (rc != SHALE_OK)
        return rc;
    if (!shl_array_push(&b->wants, w))
        return shl_nomem(err);
    b->bytes += loc.length;
    return SHALE_OK;
}

static shale_code fill_locked(struct shl_s4_iter *it, shale_error *err)
{
    struct batch *b = &it->batch;
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref;
    shale_code rc = check_unchanged(it, err);
    while (rc == SHALE_OK && b->wants.count < BATCH_KEYS && b->bytes < BATCH_BYTES) {
        if (it->how.keys_only) {
            if (!shl_s4_index_next(&it->map->index, &it->cursor, &key, &loc, &ref))
                break;
        } else {
            if (it->next == it->places.list.count)
                break;
            shl_s4_index_at(&it->map->index, it->places.list.items[it->next++].ref, &key, &loc);
        }
        rc = add_want(b, key, loc, err);
    }
    return rc;
}

/* The batch before may have gone on to a newer index; the places are those of the first. */
static void from_map(struct shl_s4_iter *it)
{
    shl_s4_map_unref(it->db, it->batch.from);
    env_mutex_lock(&it->db->mu);
    it->batch.from = it->map;
    it->map->refs++;
    env_mutex_unlock(&it->db->mu);
}

static shale_code fill(struct shl_s4_iter *it, shale_error *err)
{
    struct batch *b = &it->batch;
    batch_clear(b);
    it->at = 0;
    from_map(it);
    env_mutex_lock(&it->db->mu);
    shale_code rc = fill_locked(it, err);
    env_mutex_unlock(&it->db->mu);
    for (size_t i = 0; i < b->wants.count; i++) {
        struct shl_s4_want *w = &b->wants.items[i];
        w->key = shl_slice_of(w->key.len > 0 ? b->keys.data + w->tag : NULL, w->key.len);
    }
    if (rc == SHALE_OK && !it->how.keys_only)
        rc = batch_fetch(it->db, b, it->how.local, err);
    return rc;
}

static shale_code next(struct shl_s4_iter *it, struct shl_s4_item *out, shale_error *err)
{
    struct batch *b = &it->batch;
    shale_code rc = SHALE_OK;
    while (it->at == b->wants.count) {
        rc = fill(it, err);
        if (rc != SHALE_OK)
            return rc;
        bool more = !it->how.keys_only && it->next < it->places.list.count;
        if (b->wants.count == 0 && !more)
            return SHALE_DONE;
    }
    const struct shl_s4_want *w = &b->wants.items[it->at];
    *out = (struct shl_s4_item){.key = w->key, .is_bytes = (w->record.flags & SHL_S4_BYTES) != 0};
    if (!it->how.keys_only)
        rc = value_of(it->db, w, &b->hold, &out->value, err);
    it->at++;
    return rc;
}

shale_code shl_s4_iter_next(struct shl_s4_iter *it, struct shl_s4_item *out, shale_error *err)
{
    if (it->failed == SHALE_OK) {
        it->failed = next(it, out, &it->why);
        if (it->failed == SHALE_OK)
            return SHALE_OK;
    }
    if (it->failed != SHALE_DONE)
        *err = it->why;
    return it->failed;
}

void shl_s4_iter_close(struct shl_s4_iter *it)
{
    if (it == NULL)
        return;
    shl_s4_map_unref(it->db, it->map);
    shl_s4_places_free(&it->places);
    batch_free(it->db, &it->batch);
    env_free(it);
}
