/* The four codecs in SlateDB's framings. The libraries allocate their own contexts; ours only keeps them, one set per task.
 *
 * Lengths in a header are claims. Up to `step` bytes (1 MiB and 16 times the input) are taken on trust; beyond that the
 * output grows by at most `step` after the bytes before it have really been produced. */
#include "base/codec/compress.h"

#include "base/assert.h"
#include "base/codec/endian.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"

#include <inttypes.h>
#include <limits.h>
#include <lz4.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define ZLIB_LEVEL       6
#define ZSTD_LEVEL       3
#define LZ4_PREFIX_BYTES 4
#define TRUST_BYTES      ((size_t)1 << 20)
#define TRUST_FACTOR     16
#define LZ4_RATIO_MAX    255 /* one length byte stands for 255 bytes */
#define SNAPPY_RATIO_MAX 22  /* three bytes copy 64 */
#define ZSTD_KEEP_BYTES_MAX                                                                        \
    ((size_t)4 << 20) /* a decoder that grew larger (big windows) is not kept */

/* ---- contexts */

struct codec_contexts { /* one task's; each part made when first used */
    z_stream deflater;
    z_stream inflater;
    ZSTD_CCtx *zstd_encoder;
    ZSTD_DCtx *zstd_decoder;
    void *lz4_state;
    bool has_deflater;
    bool has_inflater;
};

static void contexts_free(void *value)
{
    struct codec_contexts *c = value;
    if (c->has_deflater)
        deflateEnd(&c->deflater);
    if (c->has_inflater)
        inflateEnd(&c->inflater);
    ZSTD_freeCCtx(c->zstd_encoder);
    ZSTD_freeDCtx(c->zstd_decoder);
    env_free(c->lz4_state);
    env_free(c);
}

/* NULL if out of memory. */
static struct codec_contexts *contexts_of_task(void)
{
    struct codec_contexts *c = env_tls_get(ENV_TLS_CODEC);
    if (c == NULL) {
        c = env_calloc(1, sizeof *c);
        if (c != NULL)
            env_tls_set(ENV_TLS_CODEC, c, contexts_free);
    }
    return c;
}

static z_stream *ready_deflater(void)
{
    struct codec_contexts *c = contexts_of_task();
    if (c == NULL)
        return NULL;
    if (!c->has_deflater)
        c->has_deflater = deflateInit(&c->deflater, ZLIB_LEVEL) == Z_OK;
    else if (deflateReset(&c->deflater) != Z_OK)
        return NULL;
    return c->has_deflater ? &c->deflater : NULL;
}

static z_stream *ready_inflater(void)
{
    struct codec_contexts *c = contexts_of_task();
    if (c == NULL)
        return NULL;
    if (!c->has_inflater)
        c->has_inflater = inflateInit(&c->inflater) == Z_OK;
    else if (inflateReset(&c->inflater) != Z_OK)
        return NULL;
    return c->has_inflater ? &c->inflater : NULL;
}

static ZSTD_CCtx *ready_zstd_encoder(void)
{
    struct codec_contexts *c = contexts_of_task();
    if (c != NULL && c->zstd_encoder == NULL)
        c->zstd_encoder = ZSTD_createCCtx();
    return c == NULL ? NULL : c->zstd_encoder;
}

static ZSTD_DCtx *ready_zstd_decoder(void)
{
    struct codec_contexts *c = contexts_of_task();
    if (c != NULL && c->zstd_decoder == NULL)
        c->zstd_decoder = ZSTD_createDCtx();
    return c == NULL ? NULL : c->zstd_decoder;
}

static void drop_zstd_decoder(void)
{
    struct codec_contexts *c = contexts_of_task();
    if (c == NULL)
        return;
    ZSTD_freeDCtx(c->zstd_decoder);
    c->zstd_decoder = NULL;
}

static void *ready_lz4_state(void)
{
    struct codec_contexts *c = contexts_of_task();
    if (c != NULL && c->lz4_state == NULL)
        c->lz4_state = env_alloc((size_t)LZ4_sizeofState());
    return c == NULL ? NULL : c->lz4_state;
}

/* ---- compressing: the bytes behind out->len, which moves only at the end */

static shale_code snappy_encode(struct shl_slice raw, struct shl_buf *out, shale_error *err)
{
    if (raw.len > UINT32_MAX)
        return shl_fail(err, SHALE_INVALID, "snappy: %zu bytes, at most %" PRIu32, raw.len,
                        UINT32_MAX);
    size_t room = snappy_max_compressed_length(raw.len);
    shale_code rc = shl_buf_reserve(out, room, err);
    if (rc != SHALE_OK)
        return rc;
    snappy_status status =
        snappy_compress((const char *)raw.data, raw.len, (char *)out->data + out->len, &room);
    if (status != SNAPPY_OK)
        return shl_fail(err, SHALE_INTERNAL, "snappy: status %d", (int)status);
    out->len += room;
    return SHALE_OK;
}

static shale_code zlib_encode(struct shl_slice raw, struct shl_buf *out, shale_error *err)
{
    z_stream *z = ready_deflater();
    if (z == NULL)
        return shl_nomem(err);
    if (raw.len > UINT_MAX / 2)
        return shl_fail(err, SHALE_INVALID, "zlib: %zu bytes, at most %u", raw.len, UINT_MAX / 2);
    size_t room = deflateBound(z, raw.len);
    shale_code rc = shl_buf_reserve(out, room, err);
    if (rc != SHALE_OK)
        return rc;
    z->next_in = (z_const Bytef *)(uintptr_t)
                     raw.data; /* zlib reads it only, but its header does not say so */
    z->avail_in = (uInt)raw.len;
    z->next_out = out->data + out->len;
    z->avail_out = (uInt)room;
    int status = deflate(z, Z_FINISH);
    if (status != Z_STREAM_END)
        return shl_fail(err, SHALE_INTERNAL, "zlib: status %d", status);
    out->len += room - z->avail_out;
    return SHALE_OK;
}

static shale_code lz4_encode(struct shl_slice raw, struct shl_buf *out, shale_error *err)
{
    void *state = ready_lz4_state();
    if (state == NULL)
        return shl_nomem(err);
    if (raw.len > LZ4_MAX_INPUT_SIZE)
        return shl_fail(err, SHALE_INVALID, "lz4: %zu bytes, at most %d", raw.len,
                        LZ4_MAX_INPUT_SIZE);
    int room = LZ4_compressBound((int)raw.len);
    shale_code rc = shl_buf_reserve(out, LZ4_PREFIX_BYTES + (size_t)room, err);
    if (rc != SHALE_OK)
        return rc;
    uint8_t *at = out->data + out->len;
    shl_store_u32le(at, (uint32_t)raw.len);
    int n = LZ4_compress_fast_extState(state, (const char *)raw.data, (char *)at + LZ4_PREFIX_BYTES,
                                       (int)raw.len, room, 1);
    if (n <= 0)
        return shl_fail(err, SHALE_INTERNAL, "lz4: status %d", n);
    out->len += LZ4_PREFIX_BYTES + (size_t)n;
    return SHALE_OK;
}

static shale_code zstd_failure(size_t status, shale_code otherwise, shale_error *err)
{
    if (ZSTD_getErrorCode(status) == ZSTD_error_memory_allocation)
        return shl_nomem(err);
    return shl_fail(err, otherwise, "zstd: %s", ZSTD_getErrorName(status));
}

static shale_code zstd_encode(struct shl_slice raw, struct shl_buf *out, shale_error *err)
{
    ZSTD_CCtx *encoder = ready_zstd_encoder();
    if (encoder == NULL)
        return shl_nomem(err);
    size_t room = ZSTD_compressBound(raw.len);
    if (ZSTD_isError(room))
        return zstd_failure(room, SHALE_INVALID, err);
    shale_code rc = shl_buf_reserve(out, room, err);
    if (rc != SHALE_OK)
        return rc;
    size_t n =
        ZSTD_compressCCtx(encoder, out->data + out->len, room, raw.data, raw.len, ZSTD_LEVEL);
    if (ZSTD_isError(n))
        return zstd_failure(n, SHALE_INTERNAL, err);
    out->len += n;
    return SHALE_OK;
}

shale_code shl_compress(enum shl_codec codec, struct shl_slice raw, struct shl_buf *out,
                        shale_error *err)
{
    if (raw.data == NULL)
        raw.data = (const uint8_t *)"";
    switch (codec) {
    case SHL_CODEC_NONE:
        return shl_buf_append(out, raw.data, raw.len, err);
    case SHL_CODEC_SNAPPY:
        return snappy_encode(raw, out, err);
    case SHL_CODEC_ZLIB:
        return zlib_encode(raw, out, err);
    case SHL_CODEC_LZ4:
        return lz4_encode(raw, out, err);
    case SHL_CODEC_ZSTD:
        return zstd_encode(raw, out, err);
    }
    return shl_fail(err, SHALE_INVALID, "compression codec %d, known 0..4", (int)codec);
}

/* ---- decompressing */

/* What may be taken before more has been produced. */
static size_t trusted_step(struct shl_slice in)
{
    size_t step;
    if (!shl_mul_size(in.len, TRUST_FACTOR, &step) || !shl_add_size(step, TRUST_BYTES, &step))
        return SIZE_MAX;
    return step;
}

/* Room for exactly `total` bytes behind out->len: without the doubling of shl_buf_reserve, which would break the bound. */
static shale_code reserve_exact(struct shl_buf *out, size_t total, shale_error *err)
{
    size_t need;
    if (!shl_add_size(out->len, total, &need))
        return shl_nomem(err);
    if (need <= out->cap && out->data != NULL)
        return SHALE_OK;
    uint8_t *grown = env_realloc(out->data, shl_max_size(need, 1));
    if (grown == NULL)
        return shl_nomem(err);
    out->data = grown;
    out->cap = shl_max_size(need, 1);
    return SHALE_OK;
}

static shale_code too_large(const char *name, uint64_t claimed, size_t limit, shale_error *err)
{
    return shl_fail(err, SHALE_CORRUPTION, "%s: %" PRIu64 " bytes uncompressed, at most %zu", name,
                    claimed, limit);
}

static shale_code none_decode(struct shl_slice in, size_t raw_max, struct shl_buf *out,
                              shale_error *err)
{
    if (in.len > raw_max)
        return too_large("block", in.len, raw_max, err);
    return shl_buf_append(out, in.data, in.len, err);
}

static shale_code snappy_decode(struct shl_slice in, size_t raw_max, struct shl_buf *out,
                                shale_error *err)
{
    const char *bytes = (const char *)in.data;
    size_t raw_len;
    if (snappy_uncompressed_length(bytes, in.len, &raw_len) != SNAPPY_OK)
        return shl_fail(err, SHALE_CORRUPTION, "snappy: bad length in front of %zu bytes", in.len);
    if (raw_len > raw_max)
        return too_large("snappy", raw_len, raw_max, err);
    if (raw_len / SNAPPY_RATIO_MAX > in.len ||
        (raw_len > trusted_step(in) &&
         snappy_validate_compressed_buffer(bytes, in.len) != SNAPPY_OK))
        return shl_fail(err, SHALE_CORRUPTION, "snappy: %zu bytes cannot hold %zu", in.len,
                        raw_len);

    shale_code rc = reserve_exact(out, raw_len, err);
    if (rc != SHALE_OK)
        return rc;
    size_t room = raw_len;
    if (snappy_uncompress(bytes, in.len, (char *)out->data + out->len, &room) != SNAPPY_OK ||
        room != raw_len)
        return shl_fail(err, SHALE_CORRUPTION, "snappy: %zu damaged bytes, want %zu uncompressed",
                        in.len, raw_len);
    out->len += raw_len;
    return SHALE_OK;
}

static shale_code lz4_decode(struct shl_slice in, size_t raw_max, struct shl_buf *out,
                             shale_error *err)
{
    if (in.len < LZ4_PREFIX_BYTES)
        return shl_fail(err, SHALE_CORRUPTION, "lz4: %zu bytes, too short for its length prefix",
                        in.len);
    size_t raw_len = shl_load_u32le(in.data);
    const char *block = (const char *)in.data + LZ4_PREFIX_BYTES;
    size_t block_len = in.len - LZ4_PREFIX_BYTES;
    if (raw_len > raw_max)
        return too_large("lz4", raw_len, raw_max, err);
    if (raw_len / LZ4_RATIO_MAX > in.len || raw_len > LZ4_MAX_INPUT_SIZE || block_len > INT_MAX)
        return shl_fail(err, SHALE_CORRUPTION, "lz4: %zu bytes cannot hold %zu", in.len, raw_len);

    /* A beginning of a block can be decoded alone, so the room for a large claim is taken in steps, each when the bytes
     * before it were there. A decoded step is decoded again with the next: only claims beyond 16:1 pay that. */
    size_t step = trusted_step(in);
    size_t target = shl_min_size(raw_len, step);
    for (;;) {
        shale_code rc = reserve_exact(out, target, err);
        if (rc != SHALE_OK)
            return rc;
        char *dst = (char *)out->data + out->len;
        int n = target == raw_len ? LZ4_decompress_safe(block, dst, (int)block_len, (int)target)
                                  : LZ4_decompress_safe_partial(block, dst, (int)block_len,
                                                                (int)target, (int)target);
        if (n < 0 || (size_t)n != target)
            return shl_fail(err, SHALE_CORRUPTION, "lz4: %zu damaged bytes, want %zu uncompressed",
                            in.len, raw_len);
        if (target == raw_len)
            break;
        target = shl_min_size(raw_len, target + step);
    }
    out->len += raw_len;
    return SHALE_OK;
}

/* Output that grows as a streaming decoder fills it; one byte over the limit, to tell "full" from "too much". */
struct growing {
    struct shl_buf *out;
    size_t used;
    size_t room; /* bytes behind out->len that may be written */
    size_t step;
    size_t limit;
};

static struct growing growing_of(struct shl_slice in, size_t raw_max, struct shl_buf *out)
{
    return (struct growing){
        .out = out, .step = trusted_step(in), .limit = raw_max == SIZE_MAX ? raw_max : raw_max + 1};
}

/* After it, used < room, or an error. */
static shale_code growing_more(struct growing *g, const char *name, shale_error *err)
{
    if (g->used < g->room)
        return SHALE_OK;
    if (g->used == g->limit)
        return too_large(name, g->used, g->limit - 1, err);
    /* Most blocks are small: begin with what blocks need, not with the whole megabyte of trust. */
    size_t more = g->used == 0 ? shl_min_size(g->step, 16384) : shl_min_size(g->step, g->used);
    size_t room = g->limit - g->used > more ? g->used + more : g->limit;
    shale_code rc = reserve_exact(g->out, room, err);
    if (rc == SHALE_OK)
        g->room = room;
    return rc;
}

static shale_code zlib_decode(struct shl_slice in, size_t raw_max, struct shl_buf *out,
                              shale_error *err)
{
    z_stream *z = ready_inflater();
    if (z == NULL)
        return shl_nomem(err);
    if (in.len > UINT_MAX)
        return shl_fail(err, SHALE_CORRUPTION, "zlib: %zu bytes, at most %u", in.len, UINT_MAX);
    z->next_in = (z_const Bytef *)(uintptr_t)in.data;
    z->avail_in = (uInt)in.len;
    struct growing g = growing_of(in, raw_max, out);
    int status = Z_OK;
    while (status == Z_OK) {
        shale_code rc = growing_more(&g, "zlib", err);
        if (rc != SHALE_OK)
            return rc;
        uInt room = (uInt)shl_min_size(g.room - g.used, UINT_MAX);
        z->next_out = out->data + out->len + g.used;
        z->avail_out = room;
        status = inflate(z, Z_NO_FLUSH);
        g.used += room - z->avail_out;
    }
    if (status == Z_MEM_ERROR)
        return shl_nomem(err);
    if (status != Z_STREAM_END)
        return shl_fail(err, SHALE_CORRUPTION, "zlib: damaged after %lu of %zu bytes: %s",
                        z->total_in, in.len,
                        z->msg != NULL          ? z->msg
                        : status == Z_NEED_DICT ? "wants a dictionary"
                                                : "cut short");
    if (z->avail_in != 0)
        return shl_fail(err, SHALE_CORRUPTION, "zlib: %u bytes after the end of the stream",
                        z->avail_in);
    if (g.used > raw_max)
        return too_large("zlib", g.used, raw_max, err);
    out->len += g.used;
    return SHALE_OK;
}

/* Frames of unknown or large size. */
static shale_code zstd_decode_stream(ZSTD_DCtx *decoder, struct shl_slice in, size_t raw_max,
                                     struct shl_buf *out, shale_error *err)
{
    size_t status = ZSTD_DCtx_reset(decoder, ZSTD_reset_session_only);
    SHL_ASSERT(!ZSTD_isError(status));
    struct growing g = growing_of(in, raw_max, out);
    ZSTD_inBuffer src = {.src = in.data, .size = in.len};
    bool flushed = false; /* all of the input is read and nothing more came out */
    while (!flushed) {
        shale_code rc = growing_more(&g, "zstd", err);
        if (rc != SHALE_OK)
            return rc;
        ZSTD_outBuffer dst = {.dst = out->data + out->len, .size = g.room, .pos = g.used};
        status = ZSTD_decompressStream(decoder, &dst, &src);
        if (ZSTD_isError(status))
            return zstd_failure(status, SHALE_CORRUPTION, err);
        g.used = dst.pos;
        flushed = src.pos == src.size && (status == 0 || dst.pos < dst.size);
    }
    if (status != 0)
        return shl_fail(err, SHALE_CORRUPTION, "zstd: cut short after %zu bytes", in.len);
    if (g.used > raw_max)
        return too_large("zstd", g.used, raw_max, err);
    out->len += g.used;
    return SHALE_OK;
}

/* True if the input is one frame that says a size which may be taken on trust. */
static bool zstd_is_plain(struct shl_slice in, size_t *out_raw_len)
{
    unsigned long long raw_len = ZSTD_getFrameContentSize(in.data, in.len);
    if (raw_len == ZSTD_CONTENTSIZE_ERROR || raw_len == ZSTD_CONTENTSIZE_UNKNOWN ||
        raw_len > trusted_step(in))
        return false;
    *out_raw_len = (size_t)raw_len;
    return ZSTD_findFrameCompressedSize(in.data, in.len) == in.len;
}

static shale_code zstd_decode(struct shl_slice in, size_t raw_max, struct shl_buf *out,
                              shale_error *err)
{
    if (in.len == 0)
        return shl_fail(err, SHALE_CORRUPTION, "zstd: no frame");
    ZSTD_DCtx *decoder = ready_zstd_decoder();
    if (decoder == NULL)
        return shl_nomem(err);
    size_t raw_len;
    if (!zstd_is_plain(in, &raw_len)) {
        shale_code rc = zstd_decode_stream(decoder, in, raw_max, out, err);
        if (ZSTD_sizeof_DCtx(decoder) > ZSTD_KEEP_BYTES_MAX)
            drop_zstd_decoder();
        return rc;
    }
    if (raw_len > raw_max)
        return too_large("zstd", raw_len, raw_max, err);
    shale_code rc = reserve_exact(out, raw_len, err);
    if (rc != SHALE_OK)
        return rc;
    size_t n = ZSTD_decompressDCtx(decoder, out->data + out->len, raw_len, in.data, in.len);
    if (ZSTD_isError(n))
        return zstd_failure(n, SHALE_CORRUPTION, err);
    out->len += n;
    return SHALE_OK;
}

shale_code shl_decompress(enum shl_codec codec, struct shl_slice in, size_t raw_max,
                          struct shl_buf *out, shale_error *err)
{
    if (in.data == NULL)
        in.data = (const uint8_t *)"";
    switch (codec) {
    case SHL_CODEC_NONE:
        return none_decode(in, raw_max, out, err);
    case SHL_CODEC_SNAPPY:
        return snappy_decode(in, raw_max, out, err);
    case SHL_CODEC_ZLIB:
        return zlib_decode(in, raw_max, out, err);
    case SHL_CODEC_LZ4:
        return lz4_decode(in, raw_max, out, err);
    case SHL_CODEC_ZSTD:
        return zstd_decode(in, raw_max, out, err);
    }
    return shl_fail(err, SHALE_CORRUPTION, "compression codec %d, known 0..4", (int)codec);
}

/* ---- names */

static const char *const codec_names[] = {
    [SHL_CODEC_NONE] = "none", [SHL_CODEC_SNAPPY] = "snappy", [SHL_CODEC_ZLIB] = "zlib",
    [SHL_CODEC_LZ4] = "lz4",   [SHL_CODEC_ZSTD] = "zstd",
};

const char *shl_codec_name(enum shl_codec codec)
{
    size_t number = (size_t)codec;
    return number < SHL_COUNT_OF(codec_names) ? codec_names[number] : NULL;
}

bool shl_codec_parse(const char *name, enum shl_codec *out)
{
    for (size_t i = 0; i < SHL_COUNT_OF(codec_names); i++) {
        if (shl_str_ieq(name, codec_names[i])) {
            *out = (enum shl_codec)i;
            return true;
        }
    }
    return false;
}
