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

/* Block i against the one after it (or data_end), and its key against the one before. */
static shale_code check_block(const struct shl_sst_index *index, size_t i, uint64_t data_end,
                              bool check_keys, shale_error *err)
{
    const struct shl_sst_index_entry *b = &index->blocks.items[i];
    uint64_t end = i + 1 < index->blocks.count ? b[1].offset : data_end;
    if (b->offset >= end)
        return shl_fail(err, SHALE_CORRUPTION,
                        "sst index: block %zu at %" PRIu64 ", next at %" PRIu64, i, b->offset, end);
    uint64_t len = b->encoded_len != 0 ? b->encoded_len : end - b->offset;
    if (len <= SHL_CRC_BYTES || len > end - b->offset)
        return shl_fail(err, SHALE_CORRUPTION,
                        "sst index: block %zu of %" PRIu64 " bytes in room for %" PRIu64, i, len,
                        end - b->offset);
    if (check_keys && i > 0 && shl_slice_cmp(b[-1].first_key, b->first_key) > 0)
        return shl_fail(err, SHALE_CORRUPTION,
                        "sst index: key of block %zu is below that of block %zu", i, i - 1);
    return SHALE_OK;
}

shale_code shl_sst_index_decode(struct shl_slice raw, uint64_t data_end, bool check_keys,
                                struct shl_sst_index *out, shale_error *err)
{
    shale_code rc;
    struct shl_sst_index index = {.blocks = {0}};
    struct shl_fb_vector metas;
    struct shl_fb_table root;
    SHL_TRY(shl_fb_verify(raw, &index_schema, &root, err));
    metas = shl_fb_vector(root, INDEX_BLOCK_META);
    if (metas.count > 0 && !shl_array_reserve(&index.blocks, metas.count)) {
        rc = shl_nomem(err);
        goto out;
    }
    for (uint32_t i = 0; i < metas.count; i++) {
        struct shl_fb_table meta = shl_fb_vector_table(metas, i);
        shl_array_add(&index.blocks, ((struct shl_sst_index_entry){
                                         .offset = shl_fb_u64(meta, META_OFFSET),
                                         .encoded_len = shl_fb_u32(meta, META_ENCODED_LEN),
                                         .first_key = shl_fb_bytes(meta, META_FIRST_KEY)}));
    }
    for (size_t i = 0; i < index.blocks.count; i++)
        SHL_TRY(check_block(&index, i, data_end, check_keys, err));
    *out = index;
    index = (struct shl_sst_index){.blocks = {0}};
out:
    shl_sst_index_deinit(&index);
    return rc;
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
