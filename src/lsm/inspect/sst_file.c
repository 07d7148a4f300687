#include "lsm/inspect/sst_file.h"

#include "base/array.h"
#include "base/env/env.h"
#include "base/num.h"
#include "lsm/format/block.h"

#include <inttypes.h>

#define TAIL_BYTES ((uint64_t)64 * 1024) /* info and index of most SSTs */

/* The end of the object, as far as it was fetched. */
struct tail {
    struct shl_buf bytes; /* owned */
    uint64_t from;        /* offset of its first byte */
};

static shale_code outside(const struct shl_sst_file *f, const char *what, uint64_t offset,
                          uint64_t len, shale_error *err)
{
    return shl_fail(err, SHALE_CORRUPTION,
                    "%s: bytes %" PRIu64 "+%" PRIu64 " outside of an object of %" PRIu64 " bytes",
                    what, offset, len, f->object.size);
}

/* Bytes of the object, from the tail where it has them, else fetched into `room`. */
static shale_code part(const struct shl_sst_file *f, const struct tail *t, const char *what,
                       uint64_t offset, uint64_t len, struct shl_buf *room, struct shl_slice *out,
                       shale_error *err)
{
    if (offset > f->object.size || len > f->object.size - offset || len > SIZE_MAX / 2)
        return outside(f, what, offset, len, err);
    if (t != NULL && offset >= t->from) {
        *out = shl_slice_of(t->bytes.data + (offset - t->from), (size_t)len);
        return SHALE_OK;
    }
    room->len = 0;
    *out = shl_slice_of(NULL, 0);
    shale_code rc = shl_buf_reserve(room, (size_t)len, err);
    if (rc != SHALE_OK || len == 0)
        return rc;
    const struct shl_get_range range = {.offset = offset, .len = (size_t)len, .dst = room->data};
    rc = shl_store_get_ranges(f->store, f->key, &range, 1, err);
    room->len = (size_t)len;
    *out = shl_buf_view(room);
    return rc;
}

/* Where it is: below the database, or below the parent of a clone. */
static shale_code find(const struct shl_inspect *in, struct shl_sst_file *f, shale_error *err)
{
    struct shl_inspected x = {0};
    struct shl_db_paths paths = {0};
    shale_code rc;
    SHL_TRY(shl_db_paths_init(&paths, in->path, err));
    f->key = shl_name_sst(&paths, f->id);
    if (f->key == NULL)
        SHL_TRY(shl_nomem(err));
    rc = shl_store_head(f->store, f->key, &f->object, err);
    if (rc != SHALE_NOT_FOUND)
        goto out;
    SHL_TRY(shl_inspect_load(in, 0, &x, err));
    env_free(f->key);
    f->key = shl_inspect_sst_key(&x, f->id, err);
    if (f->key == NULL)
        SHL_TRY(shl_nomem(err));
    rc = shl_store_head(f->store, f->key, &f->object, err);
out:
    shl_inspected_deinit(&x);
    shl_db_paths_deinit(&paths);
    return rc;
}

static shale_code read_tail(struct shl_sst_file *f, struct tail *t, shale_error *err)
{
    uint64_t len = shl_min_u64(f->object.size, TAIL_BYTES);
    struct shl_slice unused;
    t->from = f->object.size - len;
    return part(f, NULL, "tail", t->from, len, &t->bytes, &unused, err);
}

/* Info and index point into memory of the file's own. */
static shale_code read_info(struct shl_sst_file *f, const struct tail *t, shale_error *err)
{
    struct shl_buf room = {0};
    struct shl_slice blob;
    uint64_t offset = 0;
    shale_code rc;
    SHL_TRY(
        shl_sst_footer_decode(shl_buf_view(&t->bytes), f->object.size, &offset, &f->version, err));
    SHL_TRY(part(f, t, "info", offset, f->object.size - SHL_SST_FOOTER_BYTES - offset, &room, &blob,
                 err));
    SHL_TRY(shl_buf_set(&f->info_bytes, blob, err));
    SHL_TRY(shl_sst_info_blob_decode(shl_buf_view(&f->info_bytes), &f->info, err));
out:
    shl_buf_free(&room);
    return rc;
}

static shale_code read_index(struct shl_sst_file *f, const struct tail *t,
                             const struct shl_transformer *transformer, shale_error *err)
{
    struct shl_buf room = {0}, decoded = {0};
    struct shl_slice blob, raw;
    shale_code rc;
    f->codec =
        (struct shl_blob_codec){.compression = f->info.compression, .transformer = transformer};
    SHL_TRY(part(f, t, "index", f->info.index_offset, f->info.index_len, &room, &blob, err));
    SHL_TRY(shl_blob_decode(&f->codec, blob, SHL_BLOB_RAW_MAX, &f->scratch, &decoded, &raw, err));
    SHL_TRY(shl_buf_set(&f->index_bytes, raw, err));
    rc = shl_sst_index_decode(shl_buf_view(&f->index_bytes), shl_sst_data_end(&f->info),
                              f->info.type == SHL_SST_COMPACTED, &f->index, err);
    shl_blob_explain(&f->codec, rc, err);
out:
    shl_buf_free(&decoded);
    shl_buf_free(&room);
    return rc;
}

static shale_code read_stats(struct shl_sst_file *f, const struct tail *t, shale_error *err)
{
    struct shl_buf room = {0}, decoded = {0};
    struct shl_slice blob, raw;
    shale_code rc = SHALE_OK;
    if (f->info.stats_len == 0)
        return SHALE_OK;
    SHL_TRY(part(f, t, "stats", f->info.stats_offset, f->info.stats_len, &room, &blob, err));
    SHL_TRY(shl_blob_decode(&f->codec, blob, SHL_BLOB_RAW_MAX, &f->scratch, &decoded, &raw, err));
    SHL_TRY(shl_sst_stats_decode(raw, &f->stats, err));
    f->has_stats = true;
out:
    shl_buf_free(&decoded);
    shl_buf_free(&room);
    return rc;
}

shale_code shl_sst_file_open(const struct shl_inspect *in, const char *ulid,
                             struct shl_sst_file *out, shale_error *err)
{
    struct shl_sst_file f = {.store = in->store};
    struct tail t = {.from = 0};
    shale_code rc;
    if (!shl_ulid_parse(shl_slice_str(ulid), &f.id))
        return shl_fail(
            err, SHALE_INVALID,
            "\"%.60s\" is no ULID: 26 letters and digits, as in the names below compacted/", ulid);
    SHL_TRY(find(in, &f, err));
    rc = read_tail(&f, &t, err);
    if (rc == SHALE_OK)
        rc = read_info(&f, &t, err);
    if (rc == SHALE_OK)
        rc = read_index(&f, &t, in->transformer, err);
    if (rc == SHALE_OK)
        rc = read_stats(&f, &t, err);
    if (rc == SHALE_CORRUPTION || rc == SHALE_INVALID_RANGE)
        shl_err_prefix(err, "%s", f.key);
    if (rc == SHALE_OK) {
        *out = f;
        f = (struct shl_sst_file){0}; /* moved */
    }
out:
    shl_buf_free(&t.bytes);
    shl_sst_file_deinit(&f);
    return rc;
}

void shl_sst_file_deinit(struct shl_sst_file *f)
{
    shl_sst_index_deinit(&f->index);
    shl_sst_stats_deinit(&f->stats);
    shl_buf_free(&f->info_bytes);
    shl_buf_free(&f->index_bytes);
    shl_buf_free(&f->scratch);
    shl_buf_free(&f->block);
    shl_buf_free(&f->keys);
    shl_array_free(&f->rows);
    env_free(f->key);
    *f = (struct shl_sst_file){0};
}

uint64_t shl_sst_file_block_len(const struct shl_sst_file *f, size_t i)
{
    return shl_sst_block_len(&f->index, i, shl_sst_data_end(&f->info));
}

/* The iterator has only the current key: all are copied into one buffer, and pointed at when it has stopped growing. */
static shale_code collect(struct shl_sst_file *f, shale_error *err)
{
    struct shl_block_iter it = {0};
    size_t at = 0;
    shale_code rc;
    f->rows.count = 0;
    f->keys.len = 0;
    SHL_TRY(shl_block_iter_init(&it, shl_buf_view(&f->block), f->version, err));
    SHL_TRY(shl_block_iter_first(&it, err));
    while (it.valid) {
        SHL_TRY(shl_buf_append(&f->keys, it.row.key.data, it.row.key.len, err));
        if (!shl_array_push(&f->rows, it.row))
            SHL_TRY(shl_nomem(err));
        SHL_TRY(shl_block_iter_next(&it, err));
    }
    for (size_t i = 0; i < f->rows.count; at += f->rows.items[i++].key.len)
        f->rows.items[i].key.data = f->keys.data + at;
out:
    shl_block_iter_deinit(&it);
    return rc;
}

shale_code shl_sst_file_read(struct shl_sst_file *f, size_t i, shale_error *err)
{
    struct shl_buf room = {0}, decoded = {0};
    struct shl_slice blob, raw;
    uint64_t offset = f->index.blocks.items[i].offset;
    shale_code rc;
    SHL_TRY(part(f, NULL, "block", offset, shl_sst_file_block_len(f, i), &room, &blob, err));
    rc = shl_blob_decode(&f->codec, blob, SHL_BLOB_RAW_MAX, &f->scratch, &decoded, &raw, err);
    if (rc == SHALE_OK)
        rc = shl_buf_set(&f->block, raw, err);
    if (rc == SHALE_OK)
        rc = collect(f, err);
    if (rc == SHALE_CORRUPTION)
        shl_err_prefix(err, "%s: block %zu at offset %" PRIu64, f->key, i, offset);
out:
    shl_buf_free(&decoded);
    shl_buf_free(&room);
    return rc;
}
