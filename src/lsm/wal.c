#include "lsm/wal.h"

#include "base/codec/endian.h"
#include "base/env/env.h"
#include "base/num.h"
#include "lsm/format/block.h"
#include <inttypes.h>
#include <stdlib.h>

#define LIST_PAGE 1000 /* what S3 gives in one answer */

static shale_code list_some(struct shl_store *store, const struct shl_db_paths *paths,
                            uint64_t after, size_t max, shl_wal_items *out, bool *more,
                            shale_error *err)
{
    shale_code rc;
    struct shl_list list = {0};
    char *dir = shl_name_dir(paths, "wal");
    char *start = after > 0 ? shl_name_wal(paths, after) : NULL;
    if (dir == NULL || (after > 0 && start == NULL)) {
        rc = shl_nomem(err);
        goto out;
    }
    SHL_TRY(shl_store_list(
        store, &(struct shl_list_options){.prefix = dir, .start_after = start, .max = max}, &list,
        err));
    if (!shl_array_reserve(out, list.count)) {
        rc = shl_nomem(err);
        goto out;
    }
    for (size_t i = 0; i < list.count; i++) {
        uint64_t id;
        if (shl_name_parse_id(list.items[i].key, "sst", &id) && id > after)
            shl_array_add(out, ((struct shl_wal_item){.id = id, .bytes = list.items[i].size}));
    }
    *more = list.truncated;
out:
    shl_list_free(&list);
    env_free(start);
    env_free(dir);
    return rc;
}

shale_code shl_wal_list(struct shl_store *store, const struct shl_db_paths *paths, uint64_t after,
                        shl_wal_items *out, shale_error *err)
{
    bool more;
    return list_some(store, paths, after, 0, out, &more, err);
}

shale_code shl_wal_list_page(struct shl_store *store, const struct shl_db_paths *paths,
                             uint64_t after, shl_wal_items *out, bool *more, shale_error *err)
{
    return list_some(store, paths, after, LIST_PAGE, out, more, err);
}

shale_code shl_wal_has_no_rows(const shl_wal_items *items, const struct shl_db_paths *paths,
                               const struct shl_store *store, const char *target, shale_error *err)
{
    for (size_t i = 0; i < items->count; i++)
        if (items->items[i].bytes > 0)
            return shl_fail(err, SHALE_INVALID,
                            "\"%s\" has no manifest, but its WAL has rows (%s/wal/%020" PRIu64
                            ".sst in %s): they would come into %s; delete them first",
                            paths->r1, paths->r2, items->items[i].id, store->name, target);
    return SHALE_OK;
}

shale_code shl_wal_lacks(const struct shl_db_paths *paths, const struct shl_manifest *m,
                         uint64_t end, bool none, shale_error *err)
{
    return shl_fail(err, SHALE_CORRUPTION,
                    "%s/wal/%020" PRIu64 ".sst: is missing, and the manifest knows of it (%" PRIu64
                    " to %" PRIu64 "); is the WAL in another store (wal_url)?",
                    paths->r2, none && end >= shl_max_u64(m->wal_id_last_seen, 1) ? end : end + 1,
                    shl_max_u64(m->replay_after_wal_id, 1), m->wal_id_last_seen);
}

void shl_wal_file_deinit(struct shl_wal_file *f)
{
    env_free(f->rows);
    shl_buf_free(&f->body);
    shl_buf_free(&f->raw);
    shl_buf_free(&f->keys);
    *f = (struct shl_wal_file){0};
}

/* Collects the rows of one raw block. Buffers may move while they grow, so keys (and values of decoded blocks) are kept as offsets in `data`
 * until the end. */
struct collect {
    struct shl_wal_file *f;
    SHL_ARRAY(size_t) key_at;
    SHL_ARRAY(size_t) value_at; /* offset in raw, or SIZE_MAX: points into the body already */
};

static shale_code collect_block(struct collect *c, struct shl_slice raw, unsigned version,
                                bool decoded, shale_error *err)
{
    shale_code rc;
    struct shl_block_iter it = {0};
    SHL_TRY(shl_block_iter_init(&it, raw, version, err));
    SHL_TRY(shl_block_iter_first(&it, err));
    while (it.valid) {
        if (!shl_array_grow((void *)&c->f->rows, &c->f->cap, sizeof *c->f->rows, c->f->count + 1) ||
            !shl_array_push(&c->key_at, c->f->keys.len) ||
            !shl_array_push(&c->value_at, decoded && it.row.value.len > 0
                                              ? (size_t)(it.row.value.data - c->f->raw.data)
                                              : SIZE_MAX)) {
            rc = shl_nomem(err);
            goto out;
        }
        SHL_TRY(shl_buf_append(&c->f->keys, it.row.key.data, it.row.key.len, err));
        c->f->rows[c->f->count++] = it.row;
        SHL_TRY(shl_block_iter_next(&it, err));
    }
out:
    shl_block_iter_deinit(&it);
    return rc;
}

static void resolve(struct collect *c)
{
    for (size_t i = 0; i < c->f->count; i++) {
        c->f->rows[i].key.data = c->f->keys.data + c->key_at.items[i];
        if (c->value_at.items[i] != SIZE_MAX)
            c->f->rows[i].value.data = c->f->raw.data + c->value_at.items[i];
    }
}

static int by_seq(const void *a, const void *b)
{
    const struct shl_row *x = a, *y = b;
    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return shl_slice_cmp(x->key, y->key);
}

/* SlateDB up to 0.9 wrote WAL rows in key order. */
static void sort_by_seq(struct shl_wal_file *f)
{
    bool sorted = true;
    for (size_t i = 1; i < f->count && sorted; i++)
        sorted = f->rows[i - 1].seq <= f->rows[i].seq;
    if (!sorted)
        qsort(f->rows, f->count, sizeof *f->rows, by_seq);
}

/* A slice of the object, or CORRUPTION if it lies outside. */
static shale_code cut(struct shl_slice body, uint64_t offset, uint64_t len, const char *what,
                      struct shl_slice *out, shale_error *err)
{
    if (offset > body.len || len > body.len - offset)
        return shl_fail(err, SHALE_CORRUPTION,
                        "%s at %" PRIu64 ", %" PRIu64 " bytes: outside of the object of %zu", what,
                        offset, len, body.len);
    *out = shl_slice_of(body.data + offset, (size_t)len);
    return SHALE_OK;
}

static shale_code decode(struct shl_wal_file *f, const struct shl_transformer *transformer,
                         shale_error *err)
{
    shale_code rc;
    struct shl_slice body = shl_buf_view(&f->body), part, raw_index;
    struct shl_sst_info info;
    struct shl_sst_index index = {0};
    struct shl_buf scratch = {0}, index_buf = {0};
    struct collect c = {.f = f};
    struct shl_blob_codec codec = {.transformer = transformer};
    uint64_t info_offset;
    unsigned version;

    SHL_TRY(shl_sst_footer_decode(body, body.len, &info_offset, &version, err));
    SHL_TRY(
        cut(body, info_offset, body.len - SHL_SST_FOOTER_BYTES - info_offset, "info", &part, err));
    SHL_TRY(shl_sst_info_blob_decode(part, &info, err));
    codec.compression = info.compression;
    SHL_TRY(cut(body, info.index_offset, info.index_len, "index", &part, err));
    SHL_TRY(shl_blob_decode(&codec, part, SHL_BLOB_RAW_MAX, &scratch, &index_buf, &raw_index, err));
    rc = shl_sst_index_decode(raw_index, shl_sst_data_end(&info), false, &index, err);
    shl_blob_explain(&codec, rc, err);
    if (rc != SHALE_OK)
        goto out;
    for (size_t i = 0; i < index.blocks.count; i++) {
        struct shl_slice raw;
        SHL_TRY(cut(body, index.blocks.items[i].offset,
                    shl_sst_block_len(&index, i, shl_sst_data_end(&info)), "block", &part, err));
        size_t before = f->raw.len;
        rc = shl_blob_decode(&codec, part, SHL_BLOB_RAW_MAX, &scratch, &f->raw, &raw, err);
        if (rc == SHALE_OK)
            rc = collect_block(&c, raw, version, f->raw.len != before, err);
        if (rc != SHALE_OK) {
            shl_err_prefix(err, "block %zu at offset %" PRIu64, i, index.blocks.items[i].offset);
            goto out;
        }
    }
    resolve(&c);
    sort_by_seq(f);
out:
    shl_array_free(&c.key_at);
    shl_array_free(&c.value_at);
    shl_sst_index_deinit(&index);
    shl_buf_free(&scratch);
    shl_buf_free(&index_buf);
    return rc;
}

shale_code shl_wal_file_read(struct shl_store *store, const struct shl_db_paths *paths, uint64_t id,
                             uint64_t bytes_max, const struct shl_transformer *transformer,
                             struct shl_wal_file *out, shale_error *err)
{
    const struct shl_get how = {.kind = SHL_GET_ALL, .max = bytes_max};
    struct shl_wal_file f = {0};
    char *key = shl_name_wal(paths, id);
    if (key == NULL)
        return shl_nomem(err);
    shale_code rc = SHALE_OK;
    for (int tries = 0; tries < 2;
         tries++) { /* a damaged read is repeated once: a cache below may have been stale */
        rc = shl_store_get(store, key, &how, &f.body, NULL, err);
        if (rc == SHALE_OK && f.body.len > 0) {
            rc = decode(&f, transformer, err);
            if (rc != SHALE_OK)
                shl_err_prefix(err, "%s", key);
        }
        if (rc != SHALE_CORRUPTION)
            break;
        shl_wal_file_deinit(&f);
    }
    if (rc == SHALE_OK)
        *out = f;
    else
        shl_wal_file_deinit(&f);
    env_free(key);
    return rc;
}
