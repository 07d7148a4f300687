/* SSTs and WAL objects from the inside. */
#include "base/env/env.h"
#include "lsm/format/block.h"
#include "lsm/inspect/inspect.h"
#include "lsm/wal.h"

#include <inttypes.h>

static void key_u64(struct shl_json_writer *w, const char *key, uint64_t value)
{
    shl_json_key(w, key);
    shl_json_u64(w, value);
}

/* What a manifest knows of an SST. */
static void sst_line(struct shl_json_writer *w, const struct shl_sst_view *v, const char *level,
                     uint64_t run, struct shl_slice segment)
{
    const struct shl_sst_info *info = &v->sst->info;
    shl_json_object(w);
    shl_json_key(w, "sst");
    shl_inspect_ulid(w, v->sst->id);
    shl_json_key(w, "level");
    shl_json_str(w, level);
    if (level[0] == 'r')
        key_u64(w, "run", run);
    if (segment.len > 0)
        shl_json_bytes(w, "segment", segment);
    shl_json_bytes(w, "first_key", info->first_entry);
    if (info->has_last_entry)
        shl_json_bytes(w, "last_key", info->last_entry);
    key_u64(w, "bytes",
            info->stats_len > 0 ? info->stats_offset + info->stats_len
                                : info->index_offset + info->index_len);
    key_u64(w, "format_version", v->sst->format_version);
    shl_json_key(w, "compression");
    shl_inspect_codec(w, info->compression);
    shl_json_key(w, "cut");
    shl_json_bool(w, v->visible != NULL);
    shl_json_object_end(w);
}

static void tree_lines(struct shl_json_writer *w, const struct shl_tree *t,
                       struct shl_slice segment)
{
    for (size_t i = 0; i < t->l0.count; i++)
        sst_line(w, &t->l0.items[i], "l0", 0, segment);
    for (size_t i = 0; i < t->runs.count; i++)
        for (size_t k = 0; k < t->runs.items[i].ssts.count; k++)
            sst_line(w, &t->runs.items[i].ssts.items[k], "run", t->runs.items[i].id, segment);
}

shale_code shl_inspect_ssts(const struct shl_inspect *in, struct shl_json_writer *w,
                            shale_error *err)
{
    struct shl_inspected x = {0};
    shale_code rc = shl_inspect_load(in, 0, &x, err);
    if (rc != SHALE_OK)
        return rc;
    shl_json_array(w);
    tree_lines(w, &x.manifest->root, shl_slice_of(NULL, 0));
    for (size_t i = 0; i < x.manifest->segments.count; i++)
        tree_lines(w, &x.manifest->segments.items[i].tree,
                   shl_buf_view(&x.manifest->segments.items[i].prefix));
    shl_json_array_end(w);
    shl_inspected_deinit(&x);
    return SHALE_OK;
}

/* ---- one SST */

struct open_sst {
    struct shl_buf body;    /* owned: the whole object */
    struct shl_buf scratch; /* owned */
    struct shl_buf index_raw;
    struct shl_buf block_raw;
    unsigned version;
    struct shl_sst_info info;
    struct shl_sst_index index;
    struct shl_blob_codec codec;
};

static void open_sst_deinit(struct open_sst *s)
{
    shl_sst_index_deinit(&s->index);
    shl_buf_free(&s->body);
    shl_buf_free(&s->scratch);
    shl_buf_free(&s->index_raw);
    shl_buf_free(&s->block_raw);
}

/* A part of the object; parts come from its own bytes and are not to be trusted. */
static shale_code part(const struct open_sst *s, const char *what, uint64_t offset, uint64_t len,
                       struct shl_slice *out, shale_error *err)
{
    if (offset > s->body.len || len > s->body.len - offset)
        return shl_fail(err, SHALE_CORRUPTION,
                        "%s: bytes %" PRIu64 "+%" PRIu64 " outside of an object of %zu bytes", what,
                        offset, len, s->body.len);
    *out = shl_slice_of(s->body.data + offset, (size_t)len);
    return SHALE_OK;
}

static shale_code open_parts(struct open_sst *s, const struct shl_transformer *transformer,
                             shale_error *err)
{
    struct shl_slice all = shl_buf_view(&s->body);
    struct shl_slice blob;
    struct shl_slice raw;
    uint64_t info_offset = 0;
    shale_code rc;
    SHL_TRY(shl_sst_footer_decode(all, all.len, &info_offset, &s->version, err));
    SHL_TRY(part(s, "info", info_offset, all.len - SHL_SST_FOOTER_BYTES - info_offset, &blob, err));
    SHL_TRY(shl_sst_info_blob_decode(blob, &s->info, err));
    s->codec =
        (struct shl_blob_codec){.compression = s->info.compression, .transformer = transformer};
    SHL_TRY(part(s, "index", s->info.index_offset, s->info.index_len, &blob, err));
    SHL_TRY(
        shl_blob_decode(&s->codec, blob, SHL_BLOB_RAW_MAX, &s->scratch, &s->index_raw, &raw, err));
    rc = shl_sst_index_decode(raw, shl_sst_data_end(&s->info), s->info.type == SHL_SST_COMPACTED,
                              &s->index, err);
    shl_blob_explain(&s->codec, rc, err);
out:
    return rc;
}

static shale_code stats_member(struct open_sst *s, struct shl_json_writer *w, shale_error *err)
{
    struct shl_sst_stats stats = {0};
    struct shl_buf hold = {0};
    struct shl_slice blob;
    struct shl_slice raw;
    shale_code rc = SHALE_OK;
    if (s->info.stats_len == 0)
        return SHALE_OK;
    SHL_TRY(part(s, "stats", s->info.stats_offset, s->info.stats_len, &blob, err));
    SHL_TRY(shl_blob_decode(&s->codec, blob, SHL_BLOB_RAW_MAX, &s->scratch, &hold, &raw, err));
    SHL_TRY(shl_sst_stats_decode(raw, &stats, err));
    shl_json_key(w, "stats");
    shl_json_object(w);
    key_u64(w, "puts", stats.puts);
    key_u64(w, "deletes", stats.deletes);
    key_u64(w, "merges", stats.merges);
    key_u64(w, "raw_key_bytes", stats.raw_key_bytes);
    key_u64(w, "raw_value_bytes", stats.raw_value_bytes);
    shl_json_object_end(w);
out:
    shl_buf_free(&hold);
    shl_sst_stats_deinit(&stats);
    return rc;
}

/* Rows of a decoded block, counted or printed. */
static shale_code block_rows(struct open_sst *s, struct shl_slice raw, struct shl_json_writer *w,
                             uint64_t *count, shale_error *err)
{
    struct shl_block_iter it = {0};
    shale_code rc;
    *count = 0;
    SHL_TRY(shl_block_iter_init(&it, raw, s->version, err));
    SHL_TRY(shl_block_iter_first(&it, err));
    while (it.valid) {
        (*count)++;
        if (w != NULL)
            shl_inspect_row(w, &it.row);
        SHL_TRY(shl_block_iter_next(&it, err));
    }
out:
    shl_block_iter_deinit(&it);
    return rc;
}

static shale_code block_member(struct open_sst *s, size_t i, bool rows, struct shl_json_writer *w,
                               shale_error *err)
{
    const struct shl_sst_index_entry *entry = &s->index.blocks.items[i];
    uint64_t len = shl_sst_block_len(&s->index, i, shl_sst_data_end(&s->info));
    struct shl_slice blob;
    struct shl_slice raw;
    uint64_t count = 0;
    shale_code rc;
    s->block_raw.len = 0;
    SHL_TRY(part(s, "block", entry->offset, len, &blob, err));
    SHL_TRY(
        shl_blob_decode(&s->codec, blob, SHL_BLOB_RAW_MAX, &s->scratch, &s->block_raw, &raw, err));
    shl_json_object(w);
    key_u64(w, "offset", entry->offset);
    key_u64(w, "bytes", len);
    key_u64(w, "raw_bytes", raw.len);
    shl_json_bytes(w, "first_key", entry->first_key);
    if (rows) {
        shl_json_key(w, "rows");
        shl_json_array(w);
    }
    SHL_TRY(block_rows(s, raw, rows ? w : NULL, &count, err));
    if (rows)
        shl_json_array_end(w);
    key_u64(w, "row_count", count);
    shl_json_object_end(w);
out:
    if (rc != SHALE_OK && rc != SHALE_NOMEM)
        shl_err_prefix(err, "block %zu at offset %" PRIu64, i, entry->offset);
    return rc;
}

static shale_code sst_members(struct open_sst *s, bool rows, struct shl_json_writer *w,
                              shale_error *err)
{
    key_u64(w, "bytes", s->body.len);
    key_u64(w, "format_version", s->version);
    shl_json_key(w, "compression");
    shl_inspect_codec(w, s->info.compression);
    if (s->info.has_first_entry)
        shl_json_bytes(w, "first_key", s->info.first_entry);
    if (s->info.has_last_entry)
        shl_json_bytes(w, "last_key", s->info.last_entry);
    key_u64(w, "index_offset", s->info.index_offset);
    key_u64(w, "index_bytes", s->info.index_len);
    key_u64(w, "filter_offset", s->info.filter_offset);
    key_u64(w, "filter_bytes", s->info.filter_len);
    shl_json_key(w, "filter_format");
    shl_json_str(w, s->info.filter_format == SHL_FILTER_COMPOSITE ? "Composite" : "Legacy");
    key_u64(w, "stats_offset", s->info.stats_offset);
    key_u64(w, "stats_bytes", s->info.stats_len);
    shale_code rc = stats_member(s, w, err);
    shl_json_key(w, "blocks");
    shl_json_array(w);
    for (size_t i = 0; i < s->index.blocks.count && rc == SHALE_OK && w->rc == SHALE_OK; i++)
        rc = block_member(s, i, rows, w, err);
    if (rc == SHALE_OK)
        shl_json_array_end(w);
    return rc;
}

shale_code shl_inspect_sst(const struct shl_inspect *in, const char *ulid, bool rows,
                           struct shl_json_writer *w, shale_error *err)
{
    struct shl_inspected x = {0};
    struct open_sst s = {0};
    struct shl_ulid id;
    char *key = NULL;
    shale_code rc;
    if (!shl_ulid_parse(shl_slice_str(ulid), &id))
        return shl_fail(
            err, SHALE_INVALID,
            "\"%.60s\" is no ULID: 26 letters and digits, as in the names below compacted/", ulid);
    SHL_TRY(shl_inspect_load(in, 0, &x, err));
    key = shl_inspect_sst_key(&x, id, err);
    if (key == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_store_get(in->store, key, NULL, &s.body, NULL, err));
    rc = open_parts(&s, in->transformer, err);
    if (rc == SHALE_OK) {
        shl_json_object(w);
        shl_json_key(w, "sst");
        shl_inspect_ulid(w, id);
        shl_json_key(w, "object");
        shl_json_str(w, key);
        rc = sst_members(&s, rows, w, err);
        if (rc == SHALE_OK)
            shl_json_object_end(w);
    }
    if (rc != SHALE_OK && rc != SHALE_NOMEM)
        shl_err_prefix(err, "%s", key);
out:
    env_free(key);
    open_sst_deinit(&s);
    shl_inspected_deinit(&x);
    return rc;
}

/* ---- the WAL */

shale_code shl_inspect_wal(const struct shl_inspect *in, struct shl_json_writer *w,
                           shale_error *err)
{
    struct shl_store *store = in->wal_store != NULL ? in->wal_store : in->store;
    struct shl_inspected x = {0};
    struct shl_list list = {0};
    char *folder = NULL;
    shale_code rc;
    SHL_TRY(shl_inspect_load(in, 0, &x, err));
    folder = shl_name_dir(&x.paths, "wal");
    if (folder == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_store_list(store, &(struct shl_list_options){.prefix = folder}, &list, err));
    shl_json_object(w);
    key_u64(w, "replay_after_wal_id", x.manifest->replay_after_wal_id);
    key_u64(w, "next_wal_sst_id", x.manifest->wal_id_last_seen + 1);
    shl_json_key(w, "objects");
    shl_json_array(w);
    for (size_t i = 0; i < list.count; i++) {
        uint64_t id;
        if (!shl_name_parse_id(list.items[i].key, "sst", &id) ||
            id <= x.manifest->replay_after_wal_id)
            continue;
        shl_json_object(w);
        key_u64(w, "id", id);
        key_u64(w, "bytes", list.items[i].size);
        shl_json_key(w, "modified_unix_ms");
        shl_json_i64(w, list.items[i].modified_ns / 1000000);
        shl_json_key(w, "fence");
        shl_json_bool(w, list.items[i].size == 0);
        shl_json_object_end(w);
    }
    shl_json_array_end(w);
    shl_json_object_end(w);
out:
    env_free(folder);
    shl_list_free(&list);
    shl_inspected_deinit(&x);
    return rc;
}

shale_code shl_inspect_wal_rows(const struct shl_inspect *in, uint64_t id,
                                struct shl_json_writer *w, shale_error *err)
{
    struct shl_store *store = in->wal_store != NULL ? in->wal_store : in->store;
    struct shl_db_paths paths = {0};
    struct shl_wal_file file = {0};
    shale_code rc;
    SHL_TRY(shl_db_paths_init(&paths, in->path, err));
    SHL_TRY(shl_wal_file_read(store, &paths, id, SHL_WAL_FILE_MAX, in->transformer, &file, err));
    shl_json_object(w);
    key_u64(w, "id", id);
    key_u64(w, "bytes", file.body.len);
    key_u64(w, "row_count", file.count);
    shl_json_key(w, "rows");
    shl_json_array(w);
    for (size_t i = 0; i < file.count && w->rc == SHALE_OK; i++)
        shl_inspect_row(w, &file.rows[i]);
    shl_json_array_end(w);
    shl_json_object_end(w);
out:
    shl_wal_file_deinit(&file);
    shl_db_paths_deinit(&paths);
    return rc;
}
