/* A raw filter block, asked with several policies and hashes. First byte: legacy or composite. A filter that was built from keys
 * never denies one of them. */
#include "base/assert.h"
#include "base/codec/endian.h"
#include "lsm/format/sst.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(struct shl_slice raw, enum shl_filter_format format,
                const struct shl_filter_policy *policy)
{
    shale_error err;
    struct shl_bloom bloom;
    shale_code rc = shl_filter_decode(raw, format, policy, &bloom, &err);
    SHL_ASSERT(rc == SHALE_OK || rc == SHALE_CORRUPTION);
    if (rc != SHALE_OK)
        return;
    for (uint64_t i = 0; i < 64; i++) {
        uint64_t hash = i * UINT64_C(0x9e3779b97f4a7c15);
        bool maybe = shl_bloom_may_contain(&bloom, hash);
        if (!bloom.present)
            SHL_ASSERT(maybe);
        const uint8_t *line = shl_bloom_first_line(&bloom, hash);
        if (line != NULL)
            SHL_ASSERT(line >= raw.data && line < raw.data + raw.len);
    }
}

/* The bytes as hashes and a number of bits per key. */
static void build(struct shl_slice bytes)
{
    shale_error err;
    uint64_t hashes[64];
    size_t count = 0;
    struct shl_bloom bloom;
    struct shl_buf out = {0};
    struct shl_filter_policy policy = {.bits_per_key = bytes.len == 0 ? 2 : 2 + bytes.data[0] % 90,
                                       .whole_key = true};
    for (size_t at = 1; at + 8 <= bytes.len && count < 64; at += 8)
        hashes[count++] = shl_load_u64be(bytes.data + at);
    const struct shl_slice all = shl_slice_of(hashes, count * sizeof *hashes);
    shale_code rc = shl_filter_encode(&policy, &all, 1, &out, &err);
    SHL_ASSERT(rc == SHALE_OK);
    rc = shl_filter_decode(shl_buf_view(&out), SHL_FILTER_COMPOSITE, &policy, &bloom, &err);
    SHL_ASSERT(rc == SHALE_OK);
    for (size_t i = 0; i < count; i++)
        SHL_ASSERT(shl_bloom_may_contain(&bloom, hashes[i]));
    shl_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct shl_slice raw = shl_slice_of(data + 1, size - 1);
    struct shl_filter_policy policies[] = {{.bits_per_key = 10, .whole_key = true},
                                           {.bits_per_key = 10},
                                           {.bits_per_key = 10, .whole_key = true}};
    bool known = shl_extractor_parse("slash", &policies[2].extractor);
    SHL_ASSERT(known);
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
        ask(raw, data[0] & 1 ? SHL_FILTER_COMPOSITE : SHL_FILTER_LEGACY, &policies[i]);
    build(raw);
    return 0;
}
