/* The summary of a database: what `shale stat` shows. */
#include "base/env/env.h"
#include "base/num.h"
#include "lsm/inspect/inspect.h"
#include "store/price.h"

/* Sums over the SSTs of a database. */
struct sums {
    uint64_t sst_count;
    uint64_t sst_bytes;
    uint64_t cut_count;    /* SSTs of which only a part is visible; all of them is counted */
    uint64_t stats_read;   /* SSTs whose stats were read */
    uint64_t stats_bytes;  /* and their bytes */
    uint64_t stats_failed; /* SSTs whose stats could not be read */
    uint64_t puts, deletes, merges;
    uint64_t raw_bytes;        /* keys and values before compression */
    uint64_t oldest_ms;        /* of the SSTs' ids */
    struct shl_list compacted; /* owned: the objects there are */
};

static void key_u64(struct shl_json_writer *w, const char *key, uint64_t value)
{
    shl_json_key(w, key);
    shl_json_u64(w, value);
}

static uint64_t view_bytes(const struct shl_sst_view *v)
{
    const struct shl_sst_info *info = &v->sst->info;
    uint64_t index_end = info->index_offset + info->index_len;
    return shl_max_u64(index_end, info->stats_len > 0 ? info->stats_offset + info->stats_len : 0);
}

/* A stats block that cannot be read is no reason to show nothing: the database is judged by `check`, not here. */
static void add_stats(const struct shl_inspect *in, const struct shl_inspected *x,
                      const struct shl_sst_view *v, struct sums *s)
{
    const struct shl_sst_info *info = &v->sst->info;
    struct shl_blob_codec codec = {.compression = info->compression,
                                   .transformer = in->transformer};
    struct shl_sst_stats stats = {0};
    struct shl_buf hold = {0};
    struct shl_buf scratch = {0};
    struct shl_slice raw;
    shale_error ignored;
    struct shl_get_range range = {.offset = info->stats_offset, .len = (size_t)info->stats_len};
    uint8_t *bytes = NULL;
    char *key = NULL;
    shale_code rc = SHALE_NOMEM;
    if (info->stats_len == 0 || info->stats_len > (1u << 26) ||
        s->stats_read >= SHL_INSPECT_STATS_MAX)
        return;
    key = shl_inspect_sst_key(x, v->sst->id, &ignored);
    bytes = env_alloc((size_t)info->stats_len);
    if (key == NULL || bytes == NULL)
        goto out;
    range.dst = bytes;
    SHL_TRY(shl_store_get_ranges(in->store, key, &range, 1, &ignored));
    SHL_TRY(shl_blob_decode(&codec, shl_slice_of(bytes, range.len), SHL_BLOB_RAW_MAX, &scratch,
                            &hold, &raw, &ignored));
    SHL_TRY(shl_sst_stats_decode(raw, &stats, &ignored));
    s->stats_read++;
    s->stats_bytes += view_bytes(v);
    s->puts += stats.puts;
    s->deletes += stats.deletes;
    s->merges += stats.merges;
    s->raw_bytes += stats.raw_key_bytes + stats.raw_value_bytes;
out:
    s->stats_failed += rc != SHALE_OK;
    env_free(key);
    env_free(bytes);
    shl_buf_free(&hold);
    shl_buf_free(&scratch);
    shl_sst_stats_deinit(&stats);
}

static uint64_t add_views(const struct shl_inspect *in, const struct shl_inspected *x,
                          const struct shl_sst_view *views, size_t count, struct sums *s)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t ms = shl_ulid_time_ms(views[i].sst->id);
        bytes += view_bytes(&views[i]);
        s->sst_count++;
        s->cut_count += views[i].visible != NULL;
        s->oldest_ms = s->oldest_ms == 0 ? ms : shl_min_u64(s->oldest_ms, ms);
        add_stats(in, x, &views[i], s);
    }
    s->sst_bytes += bytes;
    return bytes;
}

/* Largest number of L0 SSTs over one key; few enough for the square. */
static uint64_t overlap(const struct shl_sst_view *views, size_t count)
{
    uint64_t most = 0;
    for (size_t i = 0; i < count; i++) {
        struct shl_key_range start;
        uint64_t over = 0;
        shl_sst_view_range(&views[i], &start);
        for (size_t k = 0; k < count; k++) {
            struct shl_key_range other;
            shl_sst_view_range(&views[k], &other);
            over += shl_key_range_contains(&other, start.start);
        }
        most = shl_max_u64(most, over);
    }
    return most;
}

static void tree_object(const struct shl_inspect *in, const struct shl_inspected *x,
                        const struct shl_tree *t, struct shl_slice segment, struct sums *s,
                        struct shl_json_writer *w)
{
    shl_json_object(w);
    shl_json_bytes(w, "segment", segment);
    key_u64(w, "l0_count", t->l0.count);
    key_u64(w, "l0_bytes", add_views(in, x, t->l0.items, t->l0.count, s));
    key_u64(w, "l0_overlap", overlap(t->l0.items, t->l0.count));
    shl_json_key(w, "runs");
    shl_json_array(w);
    for (size_t i = 0; i < t->runs.count; i++) {
        shl_json_object(w);
        key_u64(w, "id", t->runs.items[i].id);
        key_u64(w, "sst_count", t->runs.items[i].ssts.count);
        key_u64(w, "bytes",
                add_views(in, x, t->runs.items[i].ssts.items, t->runs.items[i].ssts.count, s));
        shl_json_object_end(w);
    }
    shl_json_array_end(w);
    shl_json_object_end(w);
}

static void wal_members(const struct shl_inspected *x, const struct shl_list *list,
                        struct shl_json_writer *w, int64_t *newest_ns)
{
    uint64_t count = 0;
    uint64_t bytes = 0;
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t end = x->manifest->replay_after_wal_id;
    bool none = true;
    for (size_t i = 0; i < list->count; i++) {
        uint64_t id;
        if (!shl_name_parse_id(list->items[i].key, "sst", &id))
            continue;
        *newest_ns = shl_max_i64(*newest_ns, list->items[i].modified_ns);
        none = none && id < x->manifest->replay_after_wal_id;
        end += id == end + 1;
        if (id <= x->manifest->replay_after_wal_id)
            continue;
        first = count == 0 ? id : first;
        last = id;
        count++;
        bytes += list->items[i].size;
    }
    key_u64(w, "wal_first_id", first);
    key_u64(w, "wal_last_id", last);
    key_u64(w, "wal_count", count);
    key_u64(w, "wal_bytes", bytes);
    shl_json_key(w, "wal_is_missing");
    shl_json_bool(w, shl_manifest_lacks_wal(x->manifest, end, none));
}

static bool in_views(const struct shl_sst_view *views, size_t count, struct shl_ulid id)
{
    for (size_t i = 0; i < count; i++)
        if (shl_ulid_eq(views[i].sst->id, id))
            return true;
    return false;
}

static bool in_tree(const struct shl_tree *t, struct shl_ulid id)
{
    bool found = in_views(t->l0.items, t->l0.count, id);
    for (size_t i = 0; i < t->runs.count && !found; i++)
        found = in_views(t->runs.items[i].ssts.items, t->runs.items[i].ssts.count, id);
    return found;
}

/* Objects below compacted/ that the newest manifest does not name: checkpoints may still need them. */
static void other_objects(const struct shl_inspected *x, const struct sums *s,
                          struct shl_json_writer *w, uint64_t *all_bytes)
{
    uint64_t count = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < s->compacted.count; i++) {
        struct shl_ulid id;
        *all_bytes += s->compacted.items[i].size;
        if (!shl_name_parse_ulid(s->compacted.items[i].key, &id))
            continue;
        bool used = in_tree(&x->manifest->root, id);
        for (size_t k = 0; k < x->manifest->segments.count && !used; k++)
            used = in_tree(&x->manifest->segments.items[k].tree, id);
        count += !used;
        bytes += used ? 0 : s->compacted.items[i].size;
    }
    key_u64(w, "unreferenced_count", count);
    key_u64(w, "unreferenced_bytes", bytes);
}

static uint64_t count_l0(const struct shl_manifest *m)
{
    uint64_t n = m->root.l0.count;
    for (size_t i = 0; i < m->segments.count; i++)
        n += m->segments.items[i].tree.l0.count;
    return n;
}

static uint64_t count_runs(const struct shl_manifest *m)
{
    uint64_t n = m->root.runs.count;
    for (size_t i = 0; i < m->segments.count; i++)
        n += m->segments.items[i].tree.runs.count;
    return n;
}

static void manifest_members(const struct shl_inspected *x, struct shl_json_writer *w)
{
    const struct shl_manifest *m = x->manifest;
    shl_json_key(w, "format");
    shl_json_str(w, "SlateDB");
    key_u64(w, "manifest_id", x->id);
    key_u64(w, "manifest_version", m->stored_version);
    key_u64(w, "manifest_bytes", x->bytes);
    shl_json_key(w, "initialized");
    shl_json_bool(w, m->initialized);
    key_u64(w, "writer_epoch", m->writer_epoch);
    key_u64(w, "compactor_epoch", m->compactor_epoch);
    key_u64(w, "last_l0_seq", m->last_l0_seq);
    key_u64(w, "replay_after_wal_id", m->replay_after_wal_id);
    key_u64(w, "l0_count", count_l0(m));
    key_u64(w, "run_count", count_runs(m));
    key_u64(w, "segment_count", m->segments.count);
    shl_json_key(w, "segment_extractor");
    shl_json_str(w, m->segment_extractor_name);
    key_u64(w, "external_db_count", m->external_dbs.count);
}

/* The codec most SSTs have is that of the first; a mix is rare and not worth a table. */
static void size_members(const struct shl_manifest *m, const struct sums *s,
                         struct shl_json_writer *w)
{
    const struct shl_sst_view *first = m->root.l0.count > 0 ? &m->root.l0.items[0]
                                       : m->root.runs.count > 0
                                           ? &m->root.runs.items[0].ssts.items[0]
                                           : NULL;
    /* SSTs without stats, and those beyond the limit, count as the others do per byte. */
    double scale = s->stats_bytes > 0 ? (double)s->sst_bytes / (double)s->stats_bytes : 1.0;
    key_u64(w, "sst_count", s->sst_count);
    key_u64(w, "sst_bytes", s->sst_bytes);
    key_u64(w, "cut_sst_count", s->cut_count);
    key_u64(w, "stats_sst_count", s->stats_read);
    key_u64(w, "unread_stats_sst_count", s->stats_failed);
    key_u64(w, "rows_put", (uint64_t)((double)s->puts * scale));
    key_u64(w, "rows_deleted", (uint64_t)((double)s->deletes * scale));
    key_u64(w, "rows_merge", (uint64_t)((double)s->merges * scale));
    key_u64(w, "raw_bytes", (uint64_t)((double)s->raw_bytes * scale));
    key_u64(w, "oldest_sst_unix_ms", s->oldest_ms);
    shl_json_key(w, "compression");
    shl_inspect_codec(w, first != NULL ? first->sst->info.compression : SHL_COMPRESSION_NONE);
}

static shale_code list_folder(struct shl_store *store, const struct shl_db_paths *paths,
                              const char *name, struct shl_list *out, shale_error *err)
{
    char *folder = shl_name_dir(paths, name);
    if (folder == NULL)
        return shl_nomem(err);
    shale_code rc = shl_store_list(store, &(struct shl_list_options){.prefix = folder}, out, err);
    env_free(folder);
    return rc;
}

shale_code shl_inspect_stat(const struct shl_inspect *in, struct shl_json_writer *w,
                            shale_error *err)
{
    struct shl_inspected x = {0};
    struct sums s = {0};
    struct shl_list wal = {0};
    int64_t newest_ns = 0;
    uint64_t all_bytes = 0;
    shale_code rc;
    SHL_TRY(shl_inspect_load(in, 0, &x, err));
    SHL_TRY(
        list_folder(in->wal_store != NULL ? in->wal_store : in->store, &x.paths, "wal", &wal, err));
    SHL_TRY(list_folder(in->store, &x.paths, "compacted", &s.compacted, err));
    manifest_members(&x, w);
    wal_members(&x, &wal, w, &newest_ns);
    shl_json_key(w, "last_write_unix_ms");
    shl_json_i64(w, newest_ns / 1000000);
    shl_json_key(w, "trees");
    shl_json_array(w);
    tree_object(in, &x, &x.manifest->root, shl_slice_of("", 0), &s, w);
    for (size_t i = 0; i < x.manifest->segments.count; i++)
        tree_object(in, &x, &x.manifest->segments.items[i].tree,
                    shl_buf_view(&x.manifest->segments.items[i].prefix), &s, w);
    shl_json_array_end(w);
    size_members(x.manifest, &s, w);
    other_objects(&x, &s, w, &all_bytes);
    shl_inspect_checkpoints(w, x.manifest);
    shl_json_key(w, "compactions");
    SHL_TRY(shl_inspect_open_jobs(in, w, err));
    for (size_t i = 0; i < wal.count; i++)
        all_bytes += wal.items[i].size;
    key_u64(w, "stored_bytes", all_bytes);
    shl_json_key(w, "storage_usd_month");
    shl_json_usd(w, shl_price_storage(shl_price_s3(), all_bytes));
out:
    shl_list_free(&wal);
    shl_list_free(&s.compacted);
    shl_inspected_deinit(&x);
    return rc;
}
