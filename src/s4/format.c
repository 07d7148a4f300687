#include "s4/format.h"

#include "base/assert.h"
#include "base/codec/compress.h"
#include "base/codec/crc32.h"
#include "base/codec/endian.h"
#include "base/codec/text.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>

static const uint8_t magic[4] = {'S', '4', 'D', 'B'};

/* ---- names */

#define SEQ_DIGITS_MIN 6

void shl_s4_name(uint64_t file, char out[SHL_S4_NAME_BYTES])
{
    uint32_t writer = shl_s4_writer_of(file);
    if (writer == 0)
        (void)snprintf(out, SHL_S4_NAME_BYTES, "data_%06" PRIu32 ".s4db", shl_s4_seq_of(file));
    else
        (void)snprintf(out, SHL_S4_NAME_BYTES, "data_%08" PRIx32 "_%06" PRIu32 ".s4db", writer,
                       shl_s4_seq_of(file));
}

/* Eight lower-case hex digits and '_'. */
static bool parse_writer(const char **at, uint32_t *out)
{
    uint32_t writer = 0;
    for (unsigned i = 0; i < 8; i++) {
        char c = (*at)[i];
        if (c >= '0' && c <= '9')
            writer = writer << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            writer = writer << 4 | (uint32_t)(c - 'a' + 10);
        else
            return false;
    }
    if ((*at)[8] != '_')
        return false;
    *at += 9;
    *out = writer;
    return true;
}

bool shl_s4_name_parse(const char *name, uint64_t *out_file)
{
    uint32_t writer = 0;
    uint64_t seq;
    if (strncmp(name, "data_", 5) != 0)
        return false;
    const char *at = name + 5;
    bool has_writer = parse_writer(&at, &writer);
    size_t digits = strspn(at, "0123456789");
    if (digits < SEQ_DIGITS_MIN || strcmp(at + digits, ".s4db") != 0 ||
        !shl_parse_u64(shl_slice_of(at, digits), &seq) || seq > UINT32_MAX)
        return false;
    /* A second spelling of the same id (more zeros, writer 00000000) would be a second file of it. */
    if ((has_writer && writer == 0) || (digits > SEQ_DIGITS_MIN && at[0] == '0'))
        return false;
    *out_file = shl_s4_file_id(writer, (uint32_t)seq);
    return true;
}

/* ---- data files */

void shl_s4_header(uint8_t version, uint32_t seq, uint8_t out[SHL_S4_HEADER_BYTES])
{
    memcpy(out, magic, sizeof magic);
    out[4] = version;
    shl_store_u32be(out + 5, seq);
}

shale_code shl_s4_header_check(struct shl_slice front, shale_error *err)
{
    if (front.len < SHL_S4_HEADER_BYTES)
        return shl_fail(err, SHALE_CORRUPTION, "header: %zu bytes, want %d", front.len,
                        SHL_S4_HEADER_BYTES);
    if (memcmp(front.data, magic, sizeof magic) != 0)
        return shl_fail(err, SHALE_CORRUPTION,
                        "header: begins with %02x%02x%02x%02x, want 53344442 (\"S4DB\")",
                        front.data[0], front.data[1], front.data[2], front.data[3]);
    if (front.data[4] != 1 && front.data[4] != 2)
        return shl_fail(err, SHALE_CORRUPTION, "header: version %u, known 1..2", front.data[4]);
    return SHALE_OK;
}

/* Closes the record that begins at `start`: key and value are there, flags and lengths are filled in, the CRC is appended. */
static shale_code close_record(struct shl_buf *out, size_t start, uint8_t flags, size_t key_len,
                               shale_error *err)
{
    uint8_t crc[4];
    size_t value_len = out->len - start - SHL_S4_FRONT_BYTES - key_len;
    out->data[start] = flags;
    shl_store_u32be(out->data + start + 1, (uint32_t)key_len);
    shl_store_u32be(out->data + start + 5, (uint32_t)value_len);
    shl_store_u32be(crc, shl_crc32(out->data + start, out->len - start));
    return shl_buf_append(out, crc, sizeof crc, err);
}

static shale_code open_record(struct shl_buf *out, struct shl_slice key, shale_error *err)
{
    static const uint8_t front[SHL_S4_FRONT_BYTES];
    SHL_ASSERT(key.len <= SHL_S4_KEY_MAX);
    shale_code rc = shl_buf_append(out, front, sizeof front, err);
    return rc == SHALE_OK ? shl_buf_append(out, key.data, key.len, err) : rc;
}

shale_code shl_s4_put_encode(uint8_t version, struct shl_slice key, struct shl_slice value,
                             bool is_bytes, struct shl_buf *out, shale_error *err)
{
    size_t start = out->len;
    size_t value_at = start + SHL_S4_FRONT_BYTES + key.len;
    uint8_t flags = is_bytes ? SHL_S4_BYTES : 0;
    shale_code rc;
    if (version == 1 && is_bytes)
        return shl_fail(err, SHALE_INVALID, "generation 1 has text values only");
    if (value.len > UINT32_MAX - SHL_S4_OVERHEAD_BYTES - SHL_S4_KEY_MAX)
        return shl_fail(err, SHALE_INVALID, "the value has %zu bytes: a record is below 4 GiB",
                        value.len);
    SHL_TRY(open_record(out, key, err));
    SHL_TRY(shl_compress(SHL_CODEC_SNAPPY, value, out, err));
    if (version != 1 && out->len - value_at >= value.len) {
        flags |= SHL_S4_RAW;
        out->len = value_at;
        SHL_TRY(shl_buf_append(out, value.data, value.len, err));
    }
    SHL_TRY(close_record(out, start, flags, key.len, err));
out:
    if (rc != SHALE_OK)
        out->len = start;
    return rc;
}

shale_code shl_s4_tombstone_encode(struct shl_slice key, struct shl_buf *out, shale_error *err)
{
    size_t start = out->len;
    shale_code rc = open_record(out, key, err);
    if (rc == SHALE_OK)
        rc = close_record(out, start, SHL_S4_TOMBSTONE, key.len, err);
    if (rc != SHALE_OK)
        out->len = start;
    return rc;
}

/* REQUIRES: the whole record is there. */
static shale_code decode_whole(struct shl_slice whole, struct shl_s4_record *out, shale_error *err)
{
    uint32_t key_len = shl_load_u32be(whole.data + 1);
    uint32_t want = shl_load_u32be(whole.data + whole.len - 4);
    uint32_t crc = shl_crc32(whole.data, whole.len - 4);
    uint8_t flags = whole.data[0];
    if (crc != want)
        return shl_fail(err, SHALE_CORRUPTION, "crc 0x%08" PRIx32 ", want 0x%08" PRIx32, crc, want);
    if ((flags & ~(SHL_S4_TOMBSTONE | SHL_S4_RAW | SHL_S4_BYTES)) != 0)
        return shl_fail(err, SHALE_CORRUPTION, "flags 0x%02x, known 0x00..0x07", flags);
    *out =
        (struct shl_s4_record){.flags = flags,
                               .key = shl_slice_of(whole.data + SHL_S4_FRONT_BYTES, key_len),
                               .stored = shl_slice_of(whole.data + SHL_S4_FRONT_BYTES + key_len,
                                                      whole.len - SHL_S4_OVERHEAD_BYTES - key_len)};
    return SHALE_OK;
}

static uint64_t record_length(const uint8_t *front)
{
    return (uint64_t)SHL_S4_OVERHEAD_BYTES + shl_load_u32be(front + 1) + shl_load_u32be(front + 5);
}

shale_code shl_s4_record_decode(struct shl_slice whole, struct shl_s4_record *out, shale_error *err)
{
    if (whole.len < SHL_S4_OVERHEAD_BYTES)
        return shl_fail(err, SHALE_CORRUPTION, "%zu bytes, a record has at least %d", whole.len,
                        SHL_S4_OVERHEAD_BYTES);
    uint64_t length = record_length(whole.data);
    if (length != whole.len)
        return shl_fail(err, SHALE_CORRUPTION,
                        "its lengths say %" PRIu64 " bytes, the index says %zu", length, whole.len);
    return decode_whole(whole, out, err);
}

shale_code shl_s4_value_decode(const struct shl_s4_record *r, struct shl_buf *out, shale_error *err)
{
    if ((r->flags & SHL_S4_TOMBSTONE) != 0)
        return shl_fail(err, SHALE_CORRUPTION, "a deletion, where the index has a value");
    if ((r->flags & SHL_S4_RAW) != 0)
        return shl_buf_append(out, r->stored.data, r->stored.len, err);
    return shl_decompress(SHL_CODEC_SNAPPY, r->stored, UINT32_MAX, out, err);
}

enum shl_s4_step shl_s4_step(struct shl_slice rest, struct shl_s4_record *out, uint64_t *out_length,
                             shale_error *err)
{
    *out_length = SHL_S4_FRONT_BYTES;
    if (rest.len < SHL_S4_FRONT_BYTES)
        return SHL_S4_STEP_MORE;
    uint32_t key_len = shl_load_u32be(rest.data + 1);
    *out_length = record_length(rest.data);
    if (key_len > SHL_S4_KEY_MAX) {
        shl_fail(err, SHALE_CORRUPTION, "a key of %" PRIu32 " bytes, at most %d", key_len,
                 SHL_S4_KEY_MAX);
        return SHL_S4_STEP_BAD;
    }
    if (rest.len < *out_length)
        return SHL_S4_STEP_MORE;
    if (decode_whole(shl_slice_of(rest.data, (size_t)*out_length), out, err) != SHALE_OK)
        return SHL_S4_STEP_BAD;
    if (!shl_utf8_valid(out->key)) {
        shl_fail(err, SHALE_CORRUPTION, "its key is not UTF-8");
        return SHL_S4_STEP_BAD;
    }
    return SHL_S4_STEP_RECORD;
}

/* ---- the index */

#define INDEX_HEAD_BYTES 9
#define INDEX_CRC_BYTES  4

/* Of an entry behind its key. */
static size_t tail_bytes(uint8_t version)
{
    return version == 1 ? 16 : 20;
}

static struct shl_s4_loc load_loc(uint8_t version, const uint8_t *p)
{
    struct shl_s4_loc loc;
    loc.file = version == 1 ? shl_load_u32be(p) : shl_load_u64be(p);
    p += version == 1 ? 4 : 8;
    loc.offset = shl_load_u64be(p);
    loc.length = shl_load_u32be(p + 8);
    return loc;
}

static shale_code decode_head(struct shl_slice blob, struct shl_s4_index_head *head, size_t *end,
                              shale_error *err)
{
    if (blob.len < INDEX_HEAD_BYTES)
        return shl_fail(err, SHALE_CORRUPTION, "index: %zu bytes, want at least %d", blob.len,
                        INDEX_HEAD_BYTES);
    head->version = blob.data[0];
    head->next_file_num = shl_load_u32be(blob.data + 1);
    head->count = shl_load_u32be(blob.data + 5);
    *end = blob.len;
    if (head->version == 1)
        return SHALE_OK;
    if (head->version != 2)
        return shl_fail(err, SHALE_CORRUPTION, "index at offset 0: version %u, known 1..2",
                        head->version);
    if (blob.len < INDEX_HEAD_BYTES + INDEX_CRC_BYTES)
        return shl_fail(err, SHALE_CORRUPTION, "index: %zu bytes, version 2 has at least %d",
                        blob.len, INDEX_HEAD_BYTES + INDEX_CRC_BYTES);
    *end = blob.len - INDEX_CRC_BYTES;
    uint32_t crc = shl_crc32(blob.data, *end);
    uint32_t want = shl_load_u32be(blob.data + *end);
    if (crc != want)
        return shl_fail(err, SHALE_CORRUPTION,
                        "index at offset %zu: crc 0x%08" PRIx32 ", want 0x%08" PRIx32, *end, crc,
                        want);
    return SHALE_OK;
}

/* One walk over the entries: checks, and tells them if entry_fn is given. */
static shale_code walk_entries(struct shl_slice blob, size_t end,
                               const struct shl_s4_index_head *head, shl_s4_entry_fn entry_fn,
                               void *ctx, shale_error *err)
{
    size_t at = INDEX_HEAD_BYTES;
    size_t tail = tail_bytes(head->version);
    for (uint32_t i = 0; i < head->count; i++) {
        size_t key_len = end - at >= 2 ? shl_load_u16be(blob.data + at) : 0;
        if (end - at < 2 + tail || end - at - 2 - tail < key_len)
            return shl_fail(err, SHALE_CORRUPTION,
                            "index at offset %zu: entry %" PRIu32 " of %" PRIu32
                            " runs over the end (%zu bytes)",
                            at, i, head->count, end);
        struct shl_slice key = shl_slice_of(blob.data + at + 2, key_len);
        if (entry_fn == NULL && !shl_utf8_valid(key))
            return shl_fail(err, SHALE_CORRUPTION,
                            "index at offset %zu: the key of entry %" PRIu32 " is not UTF-8",
                            at + 2, i);
        at += 2 + key_len;
        if (entry_fn != NULL) {
            shale_code rc = entry_fn(ctx, key, load_loc(head->version, blob.data + at), err);
            if (rc != SHALE_OK)
                return rc;
        }
        at += tail;
    }
    if (at != end)
        return shl_fail(err, SHALE_CORRUPTION,
                        "index at offset %zu: %zu bytes behind the last of %" PRIu32 " entries", at,
                        end - at, head->count);
    return SHALE_OK;
}

shale_code shl_s4_index_decode(struct shl_slice blob,
                               shale_code (*head_fn)(void *ctx,
                                                     const struct shl_s4_index_head *head,
                                                     shale_error *err),
                               shl_s4_entry_fn entry_fn, void *ctx, shale_error *err)
{
    struct shl_s4_index_head head;
    size_t end = 0;
    shale_code rc = decode_head(blob, &head, &end, err);
    if (rc == SHALE_OK)
        rc = walk_entries(blob, end, &head, NULL, NULL, err);
    if (rc == SHALE_OK && head_fn != NULL)
        rc = head_fn(ctx, &head, err);
    if (rc == SHALE_OK && entry_fn != NULL)
        rc = walk_entries(blob, end, &head, entry_fn, ctx, err);
    return rc;
}

shale_code shl_s4_index_begin(struct shl_buf *out, const struct shl_s4_index_head *head,
                              shale_error *err)
{
    uint8_t bytes[INDEX_HEAD_BYTES];
    SHL_ASSERT(head->version == 1 || head->version == 2);
    SHL_ASSERT(out->len == 0);
    bytes[0] = head->version;
    shl_store_u32be(bytes + 1, head->next_file_num);
    shl_store_u32be(bytes + 5, head->count);
    return shl_buf_append(out, bytes, sizeof bytes, err);
}

shale_code shl_s4_index_entry(struct shl_buf *out, uint8_t version, struct shl_slice key,
                              struct shl_s4_loc loc, shale_error *err)
{
    SHL_ASSERT(key.len <= SHL_S4_KEY_MAX);
    shale_code rc = shl_buf_reserve(out, 2 + key.len + tail_bytes(version), err);
    if (rc != SHALE_OK)
        return rc;
    uint8_t *p = out->data + out->len;
    shl_store_u16be(p, (uint16_t)key.len);
    p += 2;
    if (key.len > 0)
        memcpy(p, key.data, key.len);
    p += key.len;
    if (version == 1) {
        SHL_ASSERT(shl_s4_writer_of(loc.file) == 0);
        shl_store_u32be(p, shl_s4_seq_of(loc.file));
        p += 4;
    } else {
        shl_store_u64be(p, loc.file);
        p += 8;
    }
    shl_store_u64be(p, loc.offset);
    shl_store_u32be(p + 8, loc.length);
    out->len += 2 + key.len + tail_bytes(version);
    return SHALE_OK;
}

shale_code shl_s4_index_end(struct shl_buf *out, uint8_t version, shale_error *err)
{
    uint8_t crc[INDEX_CRC_BYTES];
    if (version == 1)
        return SHALE_OK;
    shl_store_u32be(crc, shl_crc32(out->data, out->len));
    return shl_buf_append(out, crc, sizeof crc, err);
}
