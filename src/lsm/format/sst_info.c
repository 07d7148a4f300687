/* SsTableInfo, the info blob and the footer (slatedb-format 2.1, 2.8, 3.3). */
#include "lsm/format/sst.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/codec/crc32.h"
#include "base/codec/endian.h"
#include "lsm/format/sst_fb.h"

enum { ULID_HIGH, ULID_LOW };

static const struct shl_fb_field ulid_fields[] = {
    [ULID_HIGH] = {.name = "high", .type = SHL_FB_U64},
    [ULID_LOW] = {.name = "low", .type = SHL_FB_U64},
};
const struct shl_fb_schema shl_fb_ulid_schema = SHL_FB_SCHEMA("Ulid", ulid_fields);

enum {
    INFO_FIRST_ENTRY,
    INFO_INDEX_OFFSET,
    INFO_INDEX_LEN,
    INFO_FILTER_OFFSET,
    INFO_FILTER_LEN,
    INFO_COMPRESSION,
    INFO_TYPE,
    INFO_LAST_ENTRY,
    INFO_STATS_OFFSET,
    INFO_STATS_LEN,
    INFO_FILTER_FORMAT
};

static const struct shl_fb_field info_fields[] = {
    [INFO_FIRST_ENTRY] = {.name = "first_entry", .type = SHL_FB_BYTES},
    [INFO_INDEX_OFFSET] = {.name = "index_offset", .type = SHL_FB_U64},
    [INFO_INDEX_LEN] = {.name = "index_len", .type = SHL_FB_U64},
    [INFO_FILTER_OFFSET] = {.name = "filter_offset", .type = SHL_FB_U64},
    [INFO_FILTER_LEN] = {.name = "filter_len", .type = SHL_FB_U64},
    [INFO_COMPRESSION] = {.name = "compression_format", .type = SHL_FB_U8},
    [INFO_TYPE] = {.name = "sst_type", .type = SHL_FB_U8},
    [INFO_LAST_ENTRY] = {.name = "last_entry", .type = SHL_FB_BYTES},
    [INFO_STATS_OFFSET] = {.name = "stats_offset", .type = SHL_FB_U64},
    [INFO_STATS_LEN] = {.name = "stats_len", .type = SHL_FB_U64},
    [INFO_FILTER_FORMAT] = {.name = "filter_format", .type = SHL_FB_U8},
};
const struct shl_fb_schema shl_fb_sst_info_schema = SHL_FB_SCHEMA("SsTableInfo", info_fields);

struct shl_ulid shl_ulid_from_fb(struct shl_fb_table t)
{
    return (struct shl_ulid){.hi = shl_fb_u64(t, ULID_HIGH), .lo = shl_fb_u64(t, ULID_LOW)};
}

shl_fb_ref shl_ulid_to_fb(struct shl_fbw *w, struct shl_ulid u)
{
    shl_fbw_begin(w);
    shl_fbw_u64(w, ULID_LOW, u.lo);
    shl_fbw_u64(w, ULID_HIGH, u.hi);
    return shl_fbw_end(w);
}

static shale_code check_area(const char *what, uint64_t offset, uint64_t len, shale_error *err)
{
    uint64_t end = 0;
    if (!shl_add_u64(offset, len, &end))
        return shl_fail(err, SHALE_CORRUPTION,
                        "sst info: %s at %" PRIu64 " with impossible length %" PRIu64, what, offset,
                        len);
    return SHALE_OK;
}

static shale_code check_enum(const char *what, uint8_t value, unsigned max, shale_error *err)
{
    if (value > max)
        return shl_fail(err, SHALE_CORRUPTION, "sst info: %s %u, known 0..%u", what,
                        (unsigned)value, max);
    return SHALE_OK;
}

shale_code shl_sst_info_from_fb(struct shl_fb_table t, struct shl_sst_info *out, shale_error *err)
{
    shale_code rc;
    uint8_t compression = shl_fb_u8(t, INFO_COMPRESSION);
    uint8_t type = shl_fb_u8(t, INFO_TYPE);
    uint8_t filter_format = shl_fb_u8(t, INFO_FILTER_FORMAT);
    struct shl_sst_info info = {
        .first_entry = shl_fb_bytes(t, INFO_FIRST_ENTRY),
        .last_entry = shl_fb_bytes(t, INFO_LAST_ENTRY),
        .index_offset = shl_fb_u64(t, INFO_INDEX_OFFSET),
        .index_len = shl_fb_u64(t, INFO_INDEX_LEN),
        .filter_offset = shl_fb_u64(t, INFO_FILTER_OFFSET),
        .filter_len = shl_fb_u64(t, INFO_FILTER_LEN),
        .stats_offset = shl_fb_u64(t, INFO_STATS_OFFSET),
        .stats_len = shl_fb_u64(t, INFO_STATS_LEN),
    };
    SHL_TRY(check_enum("compression", compression, SHL_COMPRESSION_ZSTD, err));
    SHL_TRY(check_enum("type", type, SHL_SST_WAL, err));
    SHL_TRY(check_enum("filter format", filter_format, SHL_FILTER_COMPOSITE, err));
    SHL_TRY(check_area("index", info.index_offset, info.index_len, err));
    SHL_TRY(check_area("filter", info.filter_offset, info.filter_len, err));
    SHL_TRY(check_area("stats", info.stats_offset, info.stats_len, err));
    info.has_first_entry = info.first_entry.data != NULL;
    info.has_last_entry = info.last_entry.data != NULL;
    info.compression = (enum shl_compression)compression;
    info.type = (enum shl_sst_type)type;
    info.filter_format = (enum shl_filter_format)filter_format;
    *out = info;
out:
    return rc;
}

shl_fb_ref shl_sst_info_to_fb(struct shl_fbw *w, const struct shl_sst_info *info)
{
    shl_fb_ref first = info->has_first_entry ? shl_fbw_bytes(w, info->first_entry) : 0;
    shl_fb_ref last = info->has_last_entry ? shl_fbw_bytes(w, info->last_entry) : 0;
    shl_fbw_begin(w);
    shl_fbw_u64(w, INFO_STATS_LEN, info->stats_len);
    shl_fbw_u64(w, INFO_STATS_OFFSET, info->stats_offset);
    shl_fbw_u64(w, INFO_FILTER_LEN, info->filter_len);
    shl_fbw_u64(w, INFO_FILTER_OFFSET, info->filter_offset);
    shl_fbw_u64(w, INFO_INDEX_LEN, info->index_len);
    shl_fbw_u64(w, INFO_INDEX_OFFSET, info->index_offset);
    shl_fbw_ref(w, INFO_LAST_ENTRY, last);
    shl_fbw_ref(w, INFO_FIRST_ENTRY, first);
    shl_fbw_u8(w, INFO_FILTER_FORMAT, (uint8_t)info->filter_format);
    shl_fbw_u8(w, INFO_TYPE, (uint8_t)info->type);
    shl_fbw_u8(w, INFO_COMPRESSION, (uint8_t)info->compression);
    return shl_fbw_end(w);
}

shale_code shl_sst_info_decode(struct shl_slice bytes, struct shl_sst_info *out, shale_error *err)
{
    struct shl_fb_table root;
    shale_code rc = shl_fb_verify(bytes, &shl_fb_sst_info_schema, &root, err);
    return rc != SHALE_OK ? rc : shl_sst_info_from_fb(root, out, err);
}

shale_code shl_sst_info_encode(const struct shl_sst_info *info, struct shl_buf *out,
                               shale_error *err)
{
    struct shl_fbw w = {.data = NULL};
    shl_fb_ref root = shl_sst_info_to_fb(&w, info);
    shale_code rc = shl_fbw_finish(&w, root, out, err);
    shl_fbw_deinit(&w);
    return rc;
}

shale_code shl_sst_footer_decode(struct shl_slice tail, uint64_t object_bytes,
                                 uint64_t *info_offset, unsigned *version, shale_error *err)
{
    SHL_ASSERT(tail.len <= object_bytes);
    if (tail.len < SHL_SST_FOOTER_BYTES)
        return shl_fail(err, SHALE_CORRUPTION,
                        "cut short, or no SSTable: all of it has %zu bytes, its footer alone %d",
                        tail.len, SHL_SST_FOOTER_BYTES);
    const uint8_t *p = tail.data + tail.len - SHL_SST_FOOTER_BYTES;
    uint64_t offset = shl_load_u64be(p);
    unsigned stored_version = shl_load_u16be(p + 8);
    if (stored_version != 1 && stored_version != 2)
        return shl_fail(err, SHALE_CORRUPTION,
                        "cut short, or no SSTable: its %" PRIu64
                        " bytes do not end in a footer (version %u, known 1..2)",
                        object_bytes, stored_version);
    uint64_t end = object_bytes - SHL_SST_FOOTER_BYTES;
    if (offset > end || end - offset <= SHL_CRC_BYTES)
        return shl_fail(err, SHALE_CORRUPTION,
                        "cut short, or no SSTable: its %" PRIu64
                        " bytes do not end in a footer (info at %" PRIu64 ")",
                        object_bytes, offset);
    *info_offset = offset;
    *version = stored_version;
    return SHALE_OK;
}

shale_code shl_sst_info_blob_decode(struct shl_slice blob, struct shl_sst_info *out,
                                    shale_error *err)
{
    if (blob.len <= SHL_CRC_BYTES)
        return shl_fail(err, SHALE_CORRUPTION, "sst info: only %zu bytes", blob.len);
    struct shl_slice body = shl_slice_of(blob.data, blob.len - SHL_CRC_BYTES);
    uint32_t stored = shl_load_u32be(blob.data + body.len);
    uint32_t computed = shl_crc32(body.data, body.len);
    if (computed != stored)
        return shl_fail(err, SHALE_CORRUPTION, "sst info: crc 0x%08" PRIx32 ", want 0x%08" PRIx32,
                        computed, stored);
    return shl_sst_info_decode(body, out, err);
}

shale_code shl_sst_tail_encode(const struct shl_sst_info *info, uint64_t base, unsigned version,
                               struct shl_buf *out, shale_error *err)
{
    SHL_ASSERT(version == 1 || version == 2);
    size_t start = out->len;
    uint8_t fixed[SHL_CRC_BYTES + SHL_SST_FOOTER_BYTES];
    shale_code rc = shl_sst_info_encode(info, out, err);
    if (rc != SHALE_OK)
        return rc;
    shl_store_u32be(fixed, shl_crc32(out->data + start, out->len - start));
    shl_store_u64be(fixed + SHL_CRC_BYTES, base + start);
    shl_store_u16be(fixed + SHL_CRC_BYTES + 8, (uint16_t)version);
    rc = shl_buf_append(out, fixed, sizeof fixed, err);
    if (rc != SHALE_OK)
        out->len = start;
    return rc;
}
