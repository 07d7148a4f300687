/* The index block: where each data block is, and a key that separates it from the one before (slatedb-format 2.5, 3.3). */
#include "lsm/format/sst.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/env/env.h"
#include "lsm/format/sst_fb.h"

enum { META_OFFSET, META_FIRST_KEY, META_ENCODED_LEN };
enum { INDEX_BLOCK_META };

static const struct shl_fb_field meta_fields[] = {
    [META_OFFSET] = {.name = "offset", .type = SHL_FB_U64},
    [META_FIRST_KEY] = {.name = "first_key", .type = SHL_FB_BYTES, .required = true},
    [META_ENCODED_LEN] = {.name = "encoded_len", .type = SHL_FB_U32},
};
static const struct shl_fb_schema meta_schema = SHL_FB_SCHEMA("BlockMeta", meta_fields);
static const struct shl_fb_field index_fields[] = {
    [INDEX_BLOCK_META] = {.name = "block_meta",
                          .type = SHL_FB_TABLES,
                          .required = true,
                          .table = &meta_schema},
};
static const struct shl_fb_schema index_schema = SHL_FB_SCHEMA("SsTableIndex", index_fields);

static struct shl_sst_index_entry read_entry(struct shl_fb_vector metas, uint32_t i)
{
    struct shl_fb_table meta = shl_fb_vector_table(metas, i);
    return (struct shl_sst_index_entry){.offset = shl_fb_u64(meta, META_OFFSET),
                                        .encoded_len = shl_fb_u32(meta, META_ENCODED_LEN),
                                        .first_key = shl_fb_bytes(meta, META_FIRST_KEY)};
}

static struct shl_fb_vector vector_of(const struct shl_sst_index_view *v)
{
    return (struct shl_fb_vector){.buf = v->raw, .at = v->at, .count = v->count};
}

/* Block i, which ends where the next one begins (or at data_end). */
static shale_code check_block(const struct shl_sst_index_entry *b, uint64_t end, uint32_t i,
                              shale_error *err)
{
    if (b->offset >= end)
        return shl_fail(err, SHALE_CORRUPTION,
                        "sst index: block %" PRIu32 " at %" PRIu64 ", next at %" PRIu64, i,
                        b->offset, end);
    uint64_t len = b->encoded_len != 0 ? b->encoded_len : end - b->offset;
    if (len <= SHL_CRC_BYTES || len > end - b->offset)
        return shl_fail(err, SHALE_CORRUPTION,
                        "sst index: block %" PRIu32 " of %" PRIu64 " bytes in room for %" PRIu64, i,
                        len, end - b->offset);
    return SHALE_OK;
}

shale_code shl_sst_index_open(struct shl_slice raw, uint64_t data_end, bool check_keys,
                              struct shl_sst_index_view *out, shale_error *err)
{
    shale_code rc;
    struct shl_fb_table root;
    struct shl_fb_vector metas;
    struct shl_sst_index_entry b = {.offset = 0};
    uint64_t key_bytes = 0;
    SHL_TRY(shl_fb_verify(raw, &index_schema, &root, err));
    metas = shl_fb_vector(root, INDEX_BLOCK_META);
    if (metas.count > 0)
        b = read_entry(metas, 0);
    for (uint32_t i = 0; i < metas.count; i++) {
        struct shl_sst_index_entry next = {.offset = data_end};
        if (i + 1 < metas.count)
            next = read_entry(metas, i + 1);
        SHL_TRY(check_block(&b, next.offset, i, err));
        if (check_keys && i + 1 < metas.count && shl_slice_cmp(b.first_key, next.first_key) > 0)
            SHL_TRY(shl_fail(err, SHALE_CORRUPTION,
                             "sst index: key of block %" PRIu32 " is below that of block %" PRIu32,
                             i + 1, i));
        key_bytes += next.first_key.len;
        b = next;
    }
    *out = (struct shl_sst_index_view){.raw = raw.data,
                                       .at = metas.at,
                                       .count = metas.count,
                                       .data_end = data_end,
                                       .key_bytes = key_bytes};
out:
    return rc;
}

struct shl_sst_index_entry shl_sst_index_at(const struct shl_sst_index_view *v, uint32_t i)
{
    SHL_ASSERT(i < v->count);
    return read_entry(vector_of(v), i);
}

shale_code shl_sst_index_decode(struct shl_slice raw, uint64_t data_end, bool check_keys,
                                struct shl_sst_index *out, shale_error *err)
{
    struct shl_sst_index index = {.blocks = {0}};
    struct shl_sst_index_view v;
    shale_code rc = shl_sst_index_open(raw, data_end, check_keys, &v, err);
    if (rc != SHALE_OK)
        return rc;
    if (v.count > 0 && !shl_array_reserve(&index.blocks, v.count))
        return shl_nomem(err);
    for (uint32_t i = 0; i < v.count; i++)
        shl_array_add(&index.blocks, shl_sst_index_at(&v, i));
    *out = index;
    return SHALE_OK;
}

void shl_sst_index_deinit(struct shl_sst_index *index)
{
    shl_array_free(&index->blocks);
}

shale_code shl_sst_index_encode(const struct shl_sst_index *index, struct shl_buf *out,
                                shale_error *err)
{
    struct shl_fbw w = {.data = NULL};
    for (size_t i = 0; i < index->blocks.count; i++) {
        const struct shl_sst_index_entry *b = &index->blocks.items[i];
        shl_fb_ref key = shl_fbw_bytes(&w, b->first_key);
        shl_fbw_begin(&w);
        shl_fbw_u64(&w, META_OFFSET, b->offset);
        shl_fbw_u32(&w, META_ENCODED_LEN, b->encoded_len);
        shl_fbw_ref(&w, META_FIRST_KEY, key);
        shl_fbw_keep(&w, shl_fbw_end(&w));
    }
    shl_fb_ref metas = shl_fbw_kept(&w, 0);
    shl_fbw_begin(&w);
    shl_fbw_ref(&w, INDEX_BLOCK_META, metas);
    shl_fb_ref root = shl_fbw_end(&w);
    shale_code rc = shl_fbw_finish(&w, root, out, err);
    shl_fbw_deinit(&w);
    return rc;
}

uint64_t shl_sst_data_end(const struct shl_sst_info *info)
{
    return info->filter_len > 0 ? info->filter_offset : info->index_offset;
}

uint64_t shl_sst_block_len(const struct shl_sst_index *index, size_t i, uint64_t data_end)
{
    SHL_ASSERT(i < index->blocks.count);
    const struct shl_sst_index_entry *b = &index->blocks.items[i];
    if (b->encoded_len != 0)
        return b->encoded_len;
    return (i + 1 < index->blocks.count ? b[1].offset : data_end) - b->offset;
}

size_t shl_sst_separator_len(struct shl_slice prev_last, struct shl_slice first)
{
    /* One byte past the common prefix is enough to be above prev_last; equal keys (versions of one key) need all of it. */
    return shl_min_size(shl_common_prefix(prev_last, first) + 1, first.len);
}
