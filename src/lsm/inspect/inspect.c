#include "lsm/inspect/inspect.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include "lsm/manifest_store.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- loading */

shale_code shl_inspect_load(const struct shl_inspect *in, uint64_t id, struct shl_inspected *out,
                            shale_error *err)
{
    struct shl_inspected x = {0};
    struct shl_sequenced versions;
    struct shl_buf body = {0};
    char *key = NULL;
    bool changed = false;
    shale_code rc;
    SHL_TRY(shl_db_paths_init(&x.paths, in->path, err));
    shl_sequenced_init(&versions, in->store, &x.paths, "manifest", NULL);
    if (id == 0) {
        rc = shl_sequenced_load(&versions, &body, &changed, err);
        if (rc == SHALE_NOT_FOUND)
            SHL_TRY(shl_fail(err, SHALE_NOT_FOUND, "no database here: %s has no %s%smanifest/",
                             in->store->name, x.paths.r1, x.paths.r1[0] != '\0' ? "/" : ""));
        SHL_TRY(rc);
        id = versions.id;
    } else {
        rc = shl_sequenced_read(&versions, id, &body, err);
        if (rc == SHALE_NOT_FOUND)
            SHL_TRY(shl_fail(err, SHALE_NOT_FOUND, "no manifest %" PRIu64 " in %s", id,
                             in->store->name));
        SHL_TRY(rc);
    }
    x.id = id;
    x.bytes = body.len;
    rc = shl_manifest_decode(shl_buf_view(&body), &x.manifest, err);
    if (rc != SHALE_OK && rc != SHALE_NOMEM) {
        key = shl_sequenced_key(&versions, id);
        shl_err_prefix(err, "%s", key != NULL ? key : "manifest");
    }
    SHL_TRY(rc);
    *out = x;
    x = (struct shl_inspected){0}; /* moved to the caller */
out:
    env_free(key);
    shl_buf_free(&body);
    shl_inspected_deinit(&x);
    return rc;
}

void shl_inspected_deinit(struct shl_inspected *x)
{
    shl_manifest_free(x->manifest);
    shl_db_paths_deinit(&x->paths);
    *x = (struct shl_inspected){0};
}

char *shl_inspect_sst_key(const struct shl_inspected *x, struct shl_ulid id, shale_error *err)
{
    const struct shl_manifest *m = x->manifest;
    for (size_t i = 0; i < m->external_dbs.count; i++) {
        const struct shl_external_db *parent = &m->external_dbs.items[i];
        for (size_t k = 0; k < parent->sst_ids.count; k++) {
            struct shl_db_paths paths = {0};
            if (!shl_ulid_eq(parent->sst_ids.items[k], id))
                continue;
            if (shl_db_paths_init_escaped(&paths, parent->path, err) != SHALE_OK)
                return NULL;
            char *key = shl_name_sst(&paths, id);
            shl_db_paths_deinit(&paths);
            return key;
        }
    }
    return shl_name_sst(&x->paths, id);
}

/* ---- small shapes */

void shl_inspect_ulid(struct shl_json_writer *w, struct shl_ulid id)
{
    char text[SHL_ULID_TEXT];
    shl_ulid_format(id, text);
    shl_json_str(w, text);
}

static void uuid(struct shl_json_writer *w, struct shl_ulid id)
{
    char text[SHL_UUID_TEXT];
    shl_uuid_format(id, text);
    shl_json_str(w, text);
}

void shl_inspect_hex(struct shl_json_writer *w, const char *key, struct shl_slice bytes)
{
    static const char digits[] = "0123456789abcdef";
    char *text = env_alloc(bytes.len * 2 + 1);
    shl_json_key(w, key);
    if (text == NULL) {
        if (w->rc == SHALE_OK)
            w->rc = shl_nomem(w->err);
        return;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        text[2 * i] = digits[bytes.data[i] >> 4];
        text[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    shl_json_slice(w, shl_slice_of(text, bytes.len * 2));
    env_free(text);
}

/* SlateDB's tool prints byte strings as arrays of numbers. */
void shl_inspect_byte_array(struct shl_json_writer *w, struct shl_slice bytes)
{
    shl_json_array(w);
    for (size_t i = 0; i < bytes.len; i++)
        shl_json_u64(w, bytes.data[i]);
    shl_json_array_end(w);
}

static void key_byte_array(struct shl_json_writer *w, const char *key, bool present,
                           struct shl_slice bytes)
{
    shl_json_key(w, key);
    if (present)
        shl_inspect_byte_array(w, bytes);
    else
        shl_json_null(w);
}

static void key_u64(struct shl_json_writer *w, const char *key, uint64_t value)
{
    shl_json_key(w, key);
    shl_json_u64(w, value);
}

void shl_inspect_codec(struct shl_json_writer *w, enum shl_compression codec)
{
    static const char *const names[] = {NULL, "Snappy", "Zlib", "Lz4", "Zstd"};
    SHL_ASSERT((size_t)codec < SHL_COUNT_OF(names));
    shl_json_str(w, names[codec]);
}

void shl_inspect_row(struct shl_json_writer *w, const struct shl_row *row)
{
    bool tombstone = (row->flags & SHL_ROW_TOMBSTONE) != 0;
    shl_json_object(w);
    shl_json_key(w, "kind");
    shl_json_str(w, tombstone                           ? "tombstone"
                    : (row->flags & SHL_ROW_MERGE) != 0 ? "merge"
                                                        : "value");
    shl_inspect_hex(w, "k", row->key);
    key_u64(w, "seq", row->seq);
    if (!tombstone)
        shl_inspect_hex(w, "v", row->value);
    if ((row->flags & SHL_ROW_HAS_CREATE) != 0) {
        shl_json_key(w, "create_ts");
        shl_json_i64(w, row->create_ts);
    }
    if ((row->flags & SHL_ROW_HAS_EXPIRE) != 0) {
        shl_json_key(w, "expire_ts");
        shl_json_i64(w, row->expire_ts);
    }
    shl_json_object_end(w);
}

/* RFC 3339, UTC. The calendar is that of days since 0000-03-01, whose leap day ends the year. */
static void timestamp(struct shl_json_writer *w, uint64_t unix_s)
{
    char text[72];
    uint64_t days = unix_s / 86400 + 719468;
    uint64_t era = days / 146097;
    uint64_t day_of_era = days % 146097;
    uint64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t shifted = (5 * day_of_year + 2) / 153; /* 0 = March */
    uint64_t day = day_of_year - (153 * shifted + 2) / 5 + 1;
    uint64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    uint64_t year = era * 400 + year_of_era + (month <= 2);
    uint64_t second = unix_s % 86400;
    (void)snprintf(text, sizeof text,
                   "%04" PRIu64 "-%02" PRIu64 "-%02" PRIu64 "T%02" PRIu64 ":%02" PRIu64
                   ":%02" PRIu64 "Z",
                   year, month, day, second / 3600, second / 60 % 60, second % 60);
    shl_json_str(w, text);
}

void shl_inspect_checkpoint(struct shl_json_writer *w, const struct shl_checkpoint *c)
{
    shl_json_object(w);
    shl_json_key(w, "id");
    uuid(w, c->id);
    key_u64(w, "manifest_id", c->manifest_id);
    shl_json_key(w, "expire_time");
    if (c->expire_s != 0)
        timestamp(w, c->expire_s);
    else
        shl_json_null(w);
    shl_json_key(w, "create_time");
    timestamp(w, c->create_s);
    shl_json_key(w, "name");
    shl_json_str(w, c->name);
    shl_json_object_end(w);
}

void shl_inspect_checkpoints(struct shl_json_writer *w, const struct shl_manifest *m)
{
    shl_json_key(w, "checkpoints");
    shl_json_array(w);
    for (size_t i = 0; i < m->checkpoints.count; i++)
        shl_inspect_checkpoint(w, &m->checkpoints.items[i]);
    shl_json_array_end(w);
}

/* ---- the manifest as SlateDB prints it */

void shl_inspect_bound(struct shl_json_writer *w, enum shl_bound_type type, struct shl_slice key)
{
    if (type == SHL_BOUND_UNBOUNDED) {
        shl_json_str(w, "Unbounded");
        return;
    }
    shl_json_object(w);
    shl_json_key(w, type == SHL_BOUND_INCLUDED ? "Included" : "Excluded");
    shl_inspect_byte_array(w, key);
    shl_json_object_end(w);
}

void shl_inspect_sst_id(struct shl_json_writer *w, struct shl_ulid id)
{
    shl_json_object(w);
    shl_json_key(w, "Compacted");
    shl_inspect_ulid(w, id);
    shl_json_object_end(w);
}

void shl_inspect_sst_info(struct shl_json_writer *w, const struct shl_sst_info *info)
{
    shl_json_object(w);
    key_byte_array(w, "first_entry", info->has_first_entry, info->first_entry);
    key_byte_array(w, "last_entry", info->has_last_entry, info->last_entry);
    key_u64(w, "index_offset", info->index_offset);
    key_u64(w, "index_len", info->index_len);
    key_u64(w, "filter_offset", info->filter_offset);
    key_u64(w, "filter_len", info->filter_len);
    shl_json_key(w, "compression_codec");
    shl_inspect_codec(w, info->compression);
    shl_json_key(w, "sst_type");
    shl_json_str(w, info->type == SHL_SST_WAL ? "Wal" : "Compacted");
    key_u64(w, "stats_offset", info->stats_offset);
    key_u64(w, "stats_len", info->stats_len);
    shl_json_key(w, "filter_format");
    shl_json_str(w, info->filter_format == SHL_FILTER_COMPOSITE ? "Composite" : "Legacy");
    shl_json_object_end(w);
}

static void view_range(struct shl_json_writer *w, const struct shl_sst_view *v)
{
    struct shl_key_range r;
    shl_json_key(w, "visible_range");
    if (v->visible != NULL) {
        shl_json_object(w);
        shl_json_key(w, "start");
        shl_inspect_bound(w, v->visible->start.type, shl_buf_view(&v->visible->start.key));
        shl_json_key(w, "end");
        shl_inspect_bound(w, v->visible->end.type, shl_buf_view(&v->visible->end.key));
        shl_json_object_end(w);
    } else {
        shl_json_null(w);
    }
    shl_sst_view_range(v, &r);
    shl_json_key(w, "effective_range");
    shl_json_object(w);
    shl_json_key(w, "start");
    shl_inspect_bound(w, SHL_BOUND_INCLUDED, r.start);
    shl_json_key(w, "end");
    shl_inspect_bound(w,
                      r.end_unbounded   ? SHL_BOUND_UNBOUNDED
                      : r.end_inclusive ? SHL_BOUND_INCLUDED
                                        : SHL_BOUND_EXCLUDED,
                      r.end);
    shl_json_object_end(w);
}

static void views(struct shl_json_writer *w, const char *key, const struct shl_sst_view *items,
                  size_t count)
{
    shl_json_key(w, key);
    shl_json_array(w);
    for (size_t i = 0; i < count; i++) {
        const struct shl_sst_view *v = &items[i];
        shl_json_object(w);
        shl_json_key(w, "id");
        shl_inspect_ulid(w, v->id);
        shl_json_key(w, "sst");
        shl_json_object(w);
        shl_json_key(w, "id");
        shl_inspect_sst_id(w, v->sst->id);
        key_u64(w, "format_version", v->sst->format_version);
        shl_json_key(w, "info");
        shl_inspect_sst_info(w, &v->sst->info);
        shl_json_object_end(w);
        view_range(w, v);
        shl_json_object_end(w);
    }
    shl_json_array_end(w);
}

/* Members. */
static void tree(struct shl_json_writer *w, const struct shl_tree *t)
{
    shl_json_key(w, "last_compacted_l0_sst_view_id");
    if (t->has_watermark)
        shl_inspect_ulid(w, t->watermark);
    else
        shl_json_null(w);
    /* A field of SlateDB's memory that no manifest of version 2 stores. */
    shl_json_key(w, "last_compacted_l0_sst_id");
    shl_json_null(w);
    views(w, "l0", t->l0.items, t->l0.count);
    shl_json_key(w, "compacted");
    shl_json_array(w);
    for (size_t i = 0; i < t->runs.count; i++) {
        shl_json_object(w);
        key_u64(w, "id", t->runs.items[i].id);
        views(w, "sst_views", t->runs.items[i].ssts.items, t->runs.items[i].ssts.count);
        shl_json_object_end(w);
    }
    shl_json_array_end(w);
}

static void external_dbs(struct shl_json_writer *w, const struct shl_manifest *m)
{
    shl_json_key(w, "external_dbs");
    shl_json_array(w);
    for (size_t i = 0; i < m->external_dbs.count; i++) {
        const struct shl_external_db *e = &m->external_dbs.items[i];
        shl_json_object(w);
        shl_json_key(w, "path");
        shl_json_str(w, e->path);
        shl_json_key(w, "source_checkpoint_id");
        uuid(w, e->source_checkpoint);
        shl_json_key(w, "final_checkpoint_id");
        if (e->has_final_checkpoint)
            uuid(w, e->final_checkpoint);
        else
            shl_json_null(w);
        shl_json_key(w, "sst_ids");
        shl_json_array(w);
        for (size_t k = 0; k < e->sst_ids.count; k++)
            shl_inspect_sst_id(w, e->sst_ids.items[k]);
        shl_json_array_end(w);
        shl_json_object_end(w);
    }
    shl_json_array_end(w);
}

static void segments(struct shl_json_writer *w, const struct shl_manifest *m)
{
    shl_json_key(w, "segments");
    shl_json_array(w);
    for (size_t i = 0; i < m->segments.count; i++) {
        shl_json_object(w);
        shl_json_key(w, "prefix");
        shl_inspect_byte_array(w, shl_buf_view(&m->segments.items[i].prefix));
        shl_json_key(w, "tree");
        shl_json_object(w);
        tree(w, &m->segments.items[i].tree);
        shl_json_object_end(w);
        shl_json_object_end(w);
    }
    shl_json_array_end(w);
    shl_json_key(w, "segment_extractor_name");
    shl_json_str(w, m->segment_extractor_name);
}

void shl_inspect_manifest_value(struct shl_json_writer *w, const struct shl_manifest *m,
                                uint64_t id)
{
    shl_json_object(w);
    key_u64(w, "id", id);
    external_dbs(w, m);
    shl_json_key(w, "initialized");
    shl_json_bool(w, m->initialized);
    tree(w, &m->root);
    segments(w, m);
    key_u64(w, "next_wal_sst_id", m->wal_id_last_seen + 1);
    key_u64(w, "replay_after_wal_id", m->replay_after_wal_id);
    shl_json_key(w, "last_l0_clock_tick");
    shl_json_i64(w, m->last_l0_clock_tick);
    key_u64(w, "last_l0_seq", m->last_l0_seq);
    key_u64(w, "recent_snapshot_min_seq", m->recent_snapshot_min_seq);
    key_byte_array(w, "sequence_tracker", m->has_sequence_tracker,
                   shl_buf_view(&m->sequence_tracker));
    shl_inspect_checkpoints(w, m);
    shl_json_key(w, "wal_object_store_uri");
    shl_json_str(w, m->wal_object_store_uri);
    key_u64(w, "writer_epoch", m->writer_epoch);
    key_u64(w, "compactor_epoch", m->compactor_epoch);
    shl_json_object_end(w);
}

shale_code shl_inspect_manifest(const struct shl_inspect *in, uint64_t id,
                                struct shl_json_writer *w, shale_error *err)
{
    struct shl_inspected x = {0};
    shale_code rc = shl_inspect_load(in, id, &x, err);
    if (rc != SHALE_OK)
        return rc;
    shl_inspect_manifest_value(w, x.manifest, x.id);
    shl_inspected_deinit(&x);
    return SHALE_OK;
}

shale_code shl_inspect_manifests(const struct shl_inspect *in, struct shl_json_writer *w,
                                 shale_error *err)
{
    struct shl_db_paths paths = {0};
    struct shl_list list = {0};
    char *folder = NULL;
    shale_code rc;
    SHL_TRY(shl_db_paths_init(&paths, in->path, err));
    folder = shl_name_dir(&paths, "manifest");
    if (folder == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_store_list(in->store, &(struct shl_list_options){.prefix = folder}, &list, err));
    shl_json_array(w);
    for (size_t i = 0; i < list.count; i++) {
        uint64_t id;
        if (!shl_name_parse_id(list.items[i].key, "manifest", &id))
            continue;
        shl_json_object(w);
        key_u64(w, "id", id);
        key_u64(w, "size_bytes", list.items[i].size);
        shl_json_key(w, "modified_unix_ms");
        shl_json_i64(w, list.items[i].modified_ns / 1000000);
        shl_json_object_end(w);
    }
    shl_json_array_end(w);
out:
    env_free(folder);
    shl_list_free(&list);
    shl_db_paths_deinit(&paths);
    return rc;
}
