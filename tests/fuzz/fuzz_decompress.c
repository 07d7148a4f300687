/* First byte: codec; the rest is decoded, with the bound on memory checked. What was decoded is packed and decoded again. */
#include "base/assert.h"
#include "base/codec/compress.h"

#define RAW_MAX ((size_t)4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum shl_codec codec = (enum shl_codec)(data[0] % 5);
    struct shl_slice in = shl_slice_of(data + 1, size - 1);
    struct shl_buf raw = {0}, packed = {0}, again = {0};
    shale_error err;
    shale_code rc = shl_decompress(codec, in, RAW_MAX, &raw, &err);
    SHL_ASSERT(rc == SHALE_OK || rc == SHALE_CORRUPTION);
    SHL_ASSERT(rc == SHALE_OK || raw.len == 0);
    SHL_ASSERT(raw.len <= RAW_MAX);
    SHL_ASSERT(raw.cap <= RAW_MAX + 1 + ((size_t)1 << 20) + 16 * in.len);
    if (rc == SHALE_OK) {
        rc = shl_compress(codec, shl_buf_view(&raw), &packed, &err);
        SHL_ASSERT(rc == SHALE_OK);
        rc = shl_decompress(codec, shl_buf_view(&packed), raw.len, &again, &err);
        SHL_ASSERT(rc == SHALE_OK);
        SHL_ASSERT(shl_slice_eq(shl_buf_view(&raw), shl_buf_view(&again)));
    }
    shl_buf_free(&raw);
    shl_buf_free(&packed);
    shl_buf_free(&again);
    return 0;
}
