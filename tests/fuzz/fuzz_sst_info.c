/* Info, stats and footer; the first byte says which. What is accepted reads the same after it is written again. */
#include "base/assert.h"
#include "lsm/format/sst.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_info(struct shl_slice in)
{
    shale_error err;
    struct shl_sst_info info, again;
    struct shl_buf one = {0}, two = {0};
    if (shl_sst_info_decode(in, &info, &err) != SHALE_OK) {
        SHL_ASSERT(err.code == SHALE_CORRUPTION);
        return;
    }
    shale_code rc = shl_sst_info_encode(&info, &one, &err);
    SHL_ASSERT(rc == SHALE_OK);
    rc = shl_sst_info_decode(shl_buf_view(&one), &again, &err);
    SHL_ASSERT(rc == SHALE_OK);
    SHL_ASSERT(shl_slice_eq(info.first_entry, again.first_entry));
    SHL_ASSERT(shl_slice_eq(info.last_entry, again.last_entry));
    SHL_ASSERT(info.has_first_entry == again.has_first_entry &&
               info.has_last_entry == again.has_last_entry);
    rc = shl_sst_info_encode(&again, &two, &err);
    SHL_ASSERT(rc == SHALE_OK);
    SHL_ASSERT(shl_slice_eq(shl_buf_view(&one), shl_buf_view(&two)));
    shl_buf_free(&one);
    shl_buf_free(&two);
}

static void fuzz_stats(struct shl_slice in)
{
    shale_error err;
    struct shl_sst_stats stats, again;
    struct shl_buf one = {0}, two = {0};
    if (shl_sst_stats_decode(in, &stats, &err) != SHALE_OK) {
        SHL_ASSERT(err.code == SHALE_CORRUPTION);
        return;
    }
    SHL_ASSERT(stats.blocks.cap * sizeof *stats.blocks.items <= 16 * in.len + ((size_t)1 << 20));
    shale_code rc = shl_sst_stats_encode(&stats, &one, &err);
    SHL_ASSERT(rc == SHALE_OK);
    rc = shl_sst_stats_decode(shl_buf_view(&one), &again, &err);
    SHL_ASSERT(rc == SHALE_OK);
    rc = shl_sst_stats_encode(&again, &two, &err);
    SHL_ASSERT(rc == SHALE_OK);
    SHL_ASSERT(shl_slice_eq(shl_buf_view(&one), shl_buf_view(&two)));
    shl_sst_stats_deinit(&stats);
    shl_sst_stats_deinit(&again);
    shl_buf_free(&one);
    shl_buf_free(&two);
}

/* The whole input as a file. */
static void fuzz_footer(struct shl_slice in)
{
    shale_error err;
    uint64_t offset = 0;
    unsigned version = 0;
    struct shl_sst_info info;
    if (shl_sst_footer_decode(in, in.len, &offset, &version, &err) != SHALE_OK) {
        SHL_ASSERT(err.code == SHALE_CORRUPTION);
        return;
    }
    SHL_ASSERT(version == 1 || version == 2);
    SHL_ASSERT(offset + SHL_CRC_BYTES + SHL_SST_FOOTER_BYTES < in.len);
    struct shl_slice blob =
        shl_slice_of(in.data + offset, (size_t)(in.len - SHL_SST_FOOTER_BYTES - offset));
    shale_code rc = shl_sst_info_blob_decode(blob, &info, &err);
    SHL_ASSERT(rc == SHALE_OK || rc == SHALE_CORRUPTION);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct shl_slice in = shl_slice_of(data + 1, size - 1);
    switch (data[0] % 3) {
    case 0:
        fuzz_info(in);
        break;
    case 1:
        fuzz_stats(in);
        break;
    default:
        fuzz_footer(in);
        break;
    }
    return 0;
}
