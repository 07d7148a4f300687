/* Blobs: T(C(raw)) | crc32 BE (slatedb-format 2.1). Written compress, transform, crc; read in the opposite order. */
#include "lsm/format/sst.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/codec/compress.h"
#include "base/codec/crc32.h"
#include "base/codec/endian.h"

_Static_assert((int)SHL_COMPRESSION_NONE == (int)SHL_CODEC_NONE, "one numbering");
_Static_assert((int)SHL_COMPRESSION_ZSTD == (int)SHL_CODEC_ZSTD, "one numbering");

static shale_code append_crc(struct shl_buf *out, size_t start, shale_error *err)
{
    uint8_t crc[SHL_CRC_BYTES];
    shl_store_u32be(crc, shl_crc32(out->data + start, out->len - start));
    return shl_buf_append(out, crc, sizeof crc, err);
}

shale_code shl_blob_encode(const struct shl_blob_codec *codec, struct shl_slice raw,
                           struct shl_buf *scratch, struct shl_buf *out, shale_error *err)
{
    SHL_ASSERT(raw.len > 0);
    shale_code rc;
    size_t start = out->len;
    const struct shl_transformer *t = codec->transformer;
    if (t == NULL) {
        SHL_TRY(shl_compress((enum shl_codec)codec->compression, raw, out, err));
    } else if (codec->compression == SHL_COMPRESSION_NONE) {
        SHL_TRY(t->encode(t->ctx, raw, out, err));
    } else {
        scratch->len = 0;
        SHL_TRY(shl_compress((enum shl_codec)codec->compression, raw, scratch, err));
        SHL_TRY(t->encode(t->ctx, shl_buf_view(scratch), out, err));
    }
    SHL_TRY(append_crc(out, start, err));
out:
    if (rc != SHALE_OK)
        out->len = start;
    return rc;
}

static shale_code check_crc(struct shl_slice blob, struct shl_slice *body, shale_error *err)
{
    if (blob.len <= SHL_CRC_BYTES)
        return shl_fail(err, SHALE_CORRUPTION, "blob of %zu bytes", blob.len);
    size_t len = blob.len - SHL_CRC_BYTES;
    uint32_t stored = shl_load_u32be(blob.data + len);
    uint32_t computed = shl_crc32(blob.data, len);
    if (stored != computed)
        return shl_fail(err, SHALE_CORRUPTION,
                        "blob of %zu bytes: crc 0x%08" PRIx32 ", want 0x%08" PRIx32, blob.len,
                        computed, stored);
    *body = shl_slice_of(blob.data, len);
    return SHALE_OK;
}

/* The untransformed body goes to the scratch buffer if it must be decompressed from there, else straight to `out`. */
static shale_code untransform(const struct shl_blob_codec *codec, struct shl_buf *scratch,
                              struct shl_buf *out, struct shl_slice *body, shale_error *err)
{
    const struct shl_transformer *t = codec->transformer;
    struct shl_buf *to = codec->compression == SHL_COMPRESSION_NONE ? out : scratch;
    if (to == scratch)
        scratch->len = 0;
    size_t start = to->len;
    shale_code rc = t->decode(t->ctx, *body, to, err);
    if (rc == SHALE_OK)
        *body = shl_slice_of(to->data + start, to->len - start);
    return rc;
}

void shl_blob_explain(const struct shl_blob_codec *codec, shale_code rc, shale_error *err)
{
    if (rc == SHALE_CORRUPTION && codec->transformer == NULL)
        shl_err_prefix(err, "its crc is right, so it may be encrypted: no transformer is set");
}

shale_code shl_blob_decode(const struct shl_blob_codec *codec, struct shl_slice blob,
                           size_t raw_max, struct shl_buf *scratch, struct shl_buf *out,
                           struct shl_slice *out_raw, shale_error *err)
{
    shale_code rc;
    size_t start = out->len;
    struct shl_slice body = {0};
    SHL_TRY(check_crc(blob, &body, err));
    if (codec->transformer != NULL)
        SHL_TRY(untransform(codec, scratch, out, &body, err));
    if (codec->compression != SHL_COMPRESSION_NONE) {
        rc = shl_decompress((enum shl_codec)codec->compression, body, raw_max, out, err);
        if (rc != SHALE_OK) {
            shl_blob_explain(codec, rc, err);
            goto out;
        }
        body = shl_slice_of(out->data + start, out->len - start);
    }
    if (body.len > raw_max) {
        rc = shl_fail(err, SHALE_CORRUPTION, "blob: %zu raw bytes, at most %zu", body.len, raw_max);
        goto out;
    }
    *out_raw = body;
out:
    if (rc != SHALE_OK)
        out->len = start;
    return rc;
}

static shale_code xor_bytes(void *ctx, struct shl_slice in, struct shl_buf *out, shale_error *err)
{
    uint8_t byte = (uint8_t)(uintptr_t)ctx;
    shale_code rc = shl_buf_reserve(out, in.len, err);
    if (rc != SHALE_OK)
        return rc;
    uint8_t *p = out->data + out->len;
    for (size_t i = 0; i < in.len; i++)
        p[i] = in.data[i] ^ byte;
    out->len += in.len;
    return SHALE_OK;
}

struct shl_transformer shl_transformer_xor(uint8_t byte)
{
    return (struct shl_transformer){
        .encode = xor_bytes, .decode = xor_bytes, .ctx = (void *)(uintptr_t)byte};
}
