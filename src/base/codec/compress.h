/* One face over the four codecs of SlateDB, in its framings (slatedb-format 2.2). Contexts are kept per task (ENV_TLS_CODEC). */
#ifndef SHL_CODEC_COMPRESS_H
#define SHL_CODEC_COMPRESS_H

#include "base/bytes.h"

enum shl_codec { /* SlateDB's numbers */
    SHL_CODEC_NONE = 0,
    SHL_CODEC_SNAPPY = 1, /* raw block format */
    SHL_CODEC_ZLIB = 2,   /* RFC 1950, level 6 */
    SHL_CODEC_LZ4 = 3,    /* u32 LE length, then one LZ4 block */
    SHL_CODEC_ZSTD = 4    /* frame with content size, level 3; any frames are read */
};

/* Appends the compressed bytes to out. NONE copies. */
SHL_MUST shale_code shl_compress(enum shl_codec codec, struct shl_slice raw, struct shl_buf *out, shale_error *err);
/* Appends the raw bytes to out; CORRUPTION if `in` is damaged or would give more than raw_max bytes. Memory taken never exceeds
 * what is really produced plus 1 MiB and 16 times `in`, whatever lengths the header claims. */
SHL_MUST shale_code shl_decompress(enum shl_codec codec, struct shl_slice in, size_t raw_max, struct shl_buf *out,
                                   shale_error *err);
/* "none", "snappy", "zlib", "lz4", "zstd"; NULL for other numbers. */
const char *shl_codec_name(enum shl_codec codec);
/* In any letter case; false if unknown. */
SHL_MUST bool shl_codec_parse(const char *name, enum shl_codec *out);

#endif
