/* An index block: what is accepted has ascending blocks inside the file, does not take more memory than a small multiple of the
 * input, and reads the same after it is written again. First byte: whether keys are checked. */
#include "base/assert.h"
#include "lsm/format/sst.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DATA_END 100000

static void same(const struct shl_sst_index *a, const struct shl_sst_index *b)
{
    SHL_ASSERT(a->blocks.count == b->blocks.count);
    for (size_t i = 0; i < a->blocks.count; i++) {
        const struct shl_sst_index_entry *x = &a->blocks.items[i];
        const struct shl_sst_index_entry *y = &b->blocks.items[i];
        SHL_ASSERT(x->offset == y->offset);
        SHL_ASSERT(x->encoded_len == y->encoded_len);
        SHL_ASSERT(shl_slice_eq(x->first_key, y->first_key));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    bool check_keys = data[0] & 1;
    shale_error err;
    struct shl_sst_index index, again;
    struct shl_buf out = {0};
    if (shl_sst_index_decode(shl_slice_of(data + 1, size - 1), DATA_END, check_keys, &index,
                             &err) != SHALE_OK) {
        SHL_ASSERT(err.code == SHALE_CORRUPTION);
        return 0;
    }
    SHL_ASSERT(index.blocks.cap * sizeof *index.blocks.items <= 16 * size + ((size_t)1 << 20));
    uint64_t end = 0;
    for (size_t i = 0; i < index.blocks.count; i++) {
        SHL_ASSERT(index.blocks.items[i].offset >= end);
        end = index.blocks.items[i].offset + shl_sst_block_len(&index, i, DATA_END);
        SHL_ASSERT(end <= DATA_END);
    }
    shale_code rc = shl_sst_index_encode(&index, &out, &err);
    SHL_ASSERT(rc == SHALE_OK);
    rc = shl_sst_index_decode(shl_buf_view(&out), DATA_END, check_keys, &again, &err);
    SHL_ASSERT(rc == SHALE_OK);
    same(&index, &again);
    shl_sst_index_deinit(&index);
    shl_sst_index_deinit(&again);
    shl_buf_free(&out);
    return 0;
}
