/* An index made anew from the data files; and what a store is like. */
#include "s4/db.h"

#include "base/num.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- rebuilding */

struct rebuild {
    struct shl_s4 *db;
    struct shl_s4_map *map; /* owned: what is made */
    bool local;
    uint32_t highest; /* sequence of generation 1 */
    struct shl_s4_rebuilt *told;
    SHL_ARRAY(struct shl_s4_file) files; /* owned: of the local folder, to be uploaded */
};

static shale_code take_record(struct shl_s4_index *x, const struct shl_s4_record *r,
                              struct shl_s4_loc loc, shale_error *err)
{
    if ((r->flags & SHL_S4_TOMBSTONE) == 0)
        return shl_s4_index_put(x, r->key, loc, err);
    (void)shl_s4_index_remove(x, r->key);
    return SHALE_OK;
}

static void tell_end(struct rebuild *r, uint64_t id, size_t at, size_t len, const char *why)
{
    char name[SHL_S4_NAME_BYTES];
    shl_s4_name(id, name);
    r->told->damaged++;
    r->told->passed_bytes += len - at;
    shl_log_write(r->db->log, SHL_LOG_WARN,
                  "%s at offset %zu: %s; the %zu bytes from there on are "
                  "passed over",
                  name, at, why, len - at);
}

/* Replays one file up to its end, or to the first record that is not good. */
static shale_code replay(struct rebuild *r, uint64_t id, struct shl_slice bytes, uint64_t *good,
                         shale_error *err)
{
    size_t at = SHL_S4_HEADER_BYTES;
    shale_code rc = shl_s4_header_check(bytes, err);
    *good = 0;
    if (rc == SHALE_CORRUPTION) { /* a file of nothing or of something else */
        tell_end(r, id, 0, bytes.len, err->text);
        return SHALE_OK;
    }
    while (rc == SHALE_OK && at < bytes.len) {
        struct shl_s4_record record;
        uint64_t length = 0;
        enum shl_s4_step step =
            shl_s4_step(shl_slice_of(bytes.data + at, bytes.len - at), &record, &length, err);
        if (step != SHL_S4_STEP_RECORD) {
            tell_end(r, id, at, bytes.len,
                     step == SHL_S4_STEP_MORE ? "the last record is not whole" : err->text);
            break;
        }
        struct shl_s4_loc loc = {.file = id, .offset = at, .length = (uint32_t)length};
        rc = take_record(&r->map->index, &record, loc, err);
        at += (size_t)length;
        r->told->records++;
    }
    *good = at;
    return rc;
}

/* One file: the local copy if it is at least as long as the bucket's, else the bucket's. */
static shale_code take_file(struct rebuild *r, uint64_t id, const struct shl_s4_remote *remote,
                            shale_error *err)
{
    struct shl_s4 *db = r->db;
    struct shl_buf body = {0};
    char name[SHL_S4_NAME_BYTES];
    char key[SHL_S4_KEY_BYTES];
    uint64_t size = 0;
    uint64_t good = 0;
    bool here = shl_s4_local_size(&db->local, id, &size) &&
                (r->local || remote == NULL || size >= remote->size);
    shale_code rc;
    shl_s4_name(id, name);
    SHL_TRY(shl_s4_key(db, name, key, err));
    rc = here ? shl_s4_local_get(&db->local, name, &body, err)
              : shl_store_get(db->store, key, NULL, &body, NULL, err);
    SHL_TRY(rc);
    SHL_TRY(replay(r, id, shl_buf_view(&body), &good, err));
    r->told->files++;
    if (shl_s4_writer_of(id) == 0)
        r->highest = (uint32_t)shl_max_u64(r->highest, shl_s4_seq_of(id));
    if (here && good > SHL_S4_HEADER_BYTES && (remote == NULL || remote->size < good)) {
        struct shl_s4_file f = {
            .id = id, .size = good, .from = good, .dirty = true, .unconditional = true};
        if (!shl_array_push(&r->files, f))
            SHL_TRY(shl_nomem(err));
    }
out:
    shl_buf_free(&body);
    return rc;
}

/* A data file, and when the bucket got it. */
struct source {
    uint64_t id;
    const struct shl_s4_remote *remote; /* NULL: only here */
    int64_t when_ns;                    /* never falls from file to file of one writer */
};
struct sources {
    SHL_ARRAY(struct source) items; /* owned */
};

static int by_time(const void *va, const void *vb)
{
    const struct source *a = va;
    const struct source *b = vb;
    if (a->when_ns != b->when_ns)
        return a->when_ns < b->when_ns ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static shale_code add_source(struct sources *s, uint64_t id, const struct shl_s4_remote *remote,
                             shale_error *err)
{
    const struct source *last = s->items.count == 0 ? NULL : &s->items.items[s->items.count - 1];
    struct source next = {
        .id = id, .remote = remote, .when_ns = remote != NULL ? remote->modified_ns : INT64_MAX};
    if (last != NULL && shl_s4_writer_of(last->id) == shl_s4_writer_of(id))
        next.when_ns = shl_max_i64(next.when_ns, last->when_ns);
    return shl_array_push(&s->items, next) ? SHALE_OK : shl_nomem(err);
}

/* The format has no order between writers, and s4db goes by their random names. The times of the objects come near the order of their commits; what is only here comes last. Both
 * lists ascend by id, and one writer's files stay in that order. */
static shale_code take_files(struct rebuild *r, const struct shl_s4_local_list *here,
                             const struct shl_s4_remote_list *remote, shale_error *err)
{
    struct sources s = {0};
    size_t i = 0;
    size_t j = 0;
    shale_code rc = SHALE_OK;
    while (rc == SHALE_OK && (i < here->ids.count || j < remote->files.count)) {
        uint64_t a = i < here->ids.count ? here->ids.items[i] : UINT64_MAX;
        uint64_t b = j < remote->files.count ? remote->files.items[j].id : UINT64_MAX;
        uint64_t id = shl_min_u64(a, b);
        rc = add_source(&s, id, b == id ? &remote->files.items[j] : NULL, err);
        i += a == id;
        j += b == id;
    }
    if (s.items.count > 1)
        qsort(s.items.items, s.items.count, sizeof *s.items.items, by_time);
    for (i = 0; rc == SHALE_OK && i < s.items.count; i++)
        rc = take_file(r, s.items.items[i].id, s.items.items[i].remote, err);
    shl_array_free(&s.items);
    return rc;
}

static shale_code rebuild(struct rebuild *r, shale_error *err)
{
    struct shl_s4 *db = r->db;
    struct shl_s4_local_list here = {0};
    struct shl_s4_remote_list remote = {0};
    shale_code rc = SHALE_OK;
    r->map = shl_s4_map_new();
    if (r->map == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_s4_local_list(&db->local, &here, err));
    SHL_TRY(shl_s4_list(db, &remote, err));
    if (r->local) { /* only those that are here; how much the bucket has of them matters still */
        size_t kept = 0;
        for (size_t i = 0; i < remote.files.count; i++) {
            uint64_t size;
            if (shl_s4_local_size(&db->local, remote.files.items[i].id, &size))
                remote.files.items[kept++] = remote.files.items[i];
        }
        remote.files.count = kept;
    }
    SHL_TRY(take_files(r, &here, &remote, err));
    if (!shl_array_reserve(&db->files, r->files.count))
        SHL_TRY(shl_nomem(err));
out:
    shl_array_free(&here.ids);
    shl_array_free(&remote.files);
    return rc;
}

static void take_over(struct rebuild *r)
{
    struct shl_s4 *db = r->db;
    shl_s4_close_active(db);
    for (size_t i = 0; i < r->files.count; i++) {
        struct shl_s4_file *known = shl_s4_file_find(db, r->files.items[i].id);
        if (known != NULL)
            *known = r->files.items[i];
        else
            shl_array_add(&db->files, r->files.items[i]);
    }
    shl_s4_index_free(&db->journal);
    shl_s4_index_init(&db->journal);
    shl_s4_forget_bases(db);
    db->next_file_num = r->highest + 1;
    db->unsaved = true;
    shl_s4_map_set(db, r->map, true);
    r->map = NULL; /* moved to the handle */
}

shale_code shl_s4_rebuild(struct shl_s4 *db, bool local, struct shl_s4_rebuilt *out,
                          shale_error *err)
{
    struct rebuild r = {.db = db, .local = local, .told = out};
    *out = (struct shl_s4_rebuilt){0};
    shale_code rc = shl_s4_begin_write(db, err);
    if (rc != SHALE_OK)
        return rc;
    rc = rebuild(&r, err);
    if (rc == SHALE_OK)
        take_over(&r);
    shl_s4_map_unref(db, r.map);
    shl_array_free(&r.files);
    shl_s4_end_turn(db);
    return rc;
}

/* ---- what a store is like */

static shale_code stat_bucket(struct shl_s4 *db, struct shl_s4_stat *out, shale_error *err)
{
    struct shl_s4_remote_list remote = {0};
    struct shl_s4_ids named = {0};
    uint32_t last_writer = 0;
    shale_code rc;
    SHL_TRY(shl_s4_index_files(&db->map->index, &named, err));
    SHL_TRY(shl_s4_list(db, &remote, err));
    for (size_t i = 0; i < remote.files.count; i++) {
        const struct shl_s4_remote *r = &remote.files.items[i];
        uint32_t writer = shl_s4_writer_of(r->id);
        out->files++;
        out->file_bytes += r->size;
        out->old_files += writer == 0;
        out->writers += i == 0 || writer != last_writer;
        last_writer = writer;
        if (!shl_s4_ids_have(&named, r->id)) {
            out->unreferenced++;
            out->unreferenced_bytes += r->size;
        }
    }
    for (size_t i = 0; i < named.ids.count; i++)
        out->missing += shl_s4_remote_find(&remote, named.ids.items[i]) == NULL;
out:
    shl_array_free(&remote.files);
    shl_s4_ids_free(&named);
    return rc;
}

shale_code shl_s4_stat(struct shl_s4 *db, bool list, struct shl_s4_stat *out, shale_error *err)
{
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref;
    shl_s4_take_turn(db);
    const struct shl_s4_index *x = &db->map->index;
    *out = (struct shl_s4_stat){.keys = x->count,
                                .key_bytes = x->key_bytes,
                                .memory_bytes = shl_s4_index_memory(x),
                                .index_bytes = db->index_bytes,
                                .index_version = db->index_version,
                                .next_file_num = db->next_file_num,
                                .unsynced_keys = db->journal.count};
    while (shl_s4_index_next(x, &c, &key, &loc, &ref))
        out->record_bytes += loc.length;
    for (size_t i = 0; i < db->files.count; i++)
        out->unsynced_files += db->files.items[i].dirty;
    shale_code rc = list ? stat_bucket(db, out, err) : SHALE_OK;
    shl_s4_end_turn(db);
    return rc;
}
