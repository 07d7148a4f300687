/* Goal: the four codecs read SlateDB's bytes, undo themselves, refuse every cut, and do not let a header take memory.
 * Method: the blobs of slatedb-format 2.2, seeded round trips (seed printed), truncation at every length, bombs. */
#include "base/codec/compress.h"

#include "base/env/env.h"
#include "base/num.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include <cmocka.h>

static size_t unhex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (; hex[2 * n] != '\0'; n++) {
        char two[3] = {hex[2 * n], hex[2 * n + 1], '\0'};
        out[n] = (uint8_t)strtoul(two, NULL, 16);
    }
    return n;
}

static const struct {
    const char *name;
    enum shl_codec codec;
    const char *create_ts_tail; /* two bytes in which the five files' rows differ */
    const char *hex;
} blobs[] = {
    {"none", SHL_CODEC_NONE, "b48b",
     "000a086166746572666c75736877616c206f6e6c790000000000000c0d04000001a1f9e1b48b00000001"},
    {"snappy", SHL_CODEC_SNAPPY, "b48b",
     "2a54000a086166746572666c75736877616c206f6e6c79000501380c0d04000001a1f9e1b48b00000001"},
    {"zlib", SHL_CODEC_ZLIB, "b6a1",
     "789c63e0e2484c2b492d4acb292dce284fcc51c8cfcba96400031e5e160606c6853f1f6e5b08e431020000670b5"
     "e"},
    {"lz4", SHL_CODEC_LZ4, "b79b",
     "2a000000f107000a086166746572666c75736877616c206f6e6c79000100f0000c0d04000001a1f9e1b79b0000000"
     "1"},
    {"zstd", SHL_CODEC_ZSTD, "b884",
     "28b52ffd202a510100000a086166746572666c75736877616c206f6e6c790000000000000c0d04000001a1f9e1b88"
     "400000001"},
};

static void test_blobs_of_slatedb_decode(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHL_COUNT_OF(blobs); i++) {
        uint8_t in[128], want[64], ts[2];
        size_t in_len = unhex(blobs[i].hex, in);
        assert_int_equal(unhex(blobs[0].hex, want), 42);
        struct shl_buf out = {0};
        shale_error err;
        if (shl_decompress(blobs[i].codec, shl_slice_of(in, in_len), 42, &out, &err) != SHALE_OK)
            fail_msg("%s: %s", blobs[i].name, err.text);
        unhex(blobs[i].create_ts_tail, ts);
        memcpy(want + 36, ts, 2);
        assert_int_equal(out.len, 42);
        assert_memory_equal(out.data, want, 42);
        shl_buf_free(&out);
    }
}

static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

/* Runs and noise, as blocks have. */
static void fill(uint8_t *p, size_t len, uint64_t *x)
{
    for (size_t i = 0; i < len;) {
        size_t run = next(x) % 40 + 1;
        bool noise = next(x) % 2 == 0;
        uint8_t c = (uint8_t)next(x);
        for (; run > 0 && i < len; run--)
            p[i++] = noise ? (uint8_t)next(x) : c;
    }
}

static void test_round_trips(void **state)
{
    (void)state;
    uint64_t seed = env_rand64() | 1;
    printf("seed %" PRIu64 "\n", seed);
    uint64_t x = seed;
    static uint8_t raw[200000];
    for (int codec = 0; codec <= 4; codec++) {
        for (int i = 0; i < 60; i++) {
            size_t len = i < 5 ? (size_t)i : next(&x) % (i % 10 == 0 ? sizeof raw : 8192);
            fill(raw, len, &x);
            struct shl_buf packed = {0}, back = {0};
            shale_error err;
            assert_int_equal(shl_buf_append(&back, "head", 4, &err), SHALE_OK);
            assert_int_equal(shl_buf_append(&packed, "head", 4, &err), SHALE_OK);
            assert_int_equal(
                shl_compress((enum shl_codec)codec, shl_slice_of(raw, len), &packed, &err),
                SHALE_OK);
            struct shl_slice in = shl_slice_of(packed.data + 4, packed.len - 4);
            if (shl_decompress((enum shl_codec)codec, in, len, &back, &err) != SHALE_OK)
                fail_msg("codec %d length %zu: %s", codec, len, err.text);
            assert_int_equal(back.len, len + 4);
            assert_memory_equal(back.data, "head", 4);
            assert_memory_equal(back.data + 4, raw, len);
            if (len > 0) {
                assert_int_equal(shl_decompress((enum shl_codec)codec, in, len - 1, &back, &err),
                                 SHALE_CORRUPTION);
                assert_int_equal(back.len, len + 4);
            }
            shl_buf_free(&packed);
            shl_buf_free(&back);
        }
    }
}

static void test_every_truncation_and_one_byte_more_is_an_error(void **state)
{
    (void)state;
    uint64_t x = 77;
    uint8_t raw[700];
    fill(raw, sizeof raw, &x);
    for (int codec = 1; codec <= 4; codec++) {
        struct shl_buf packed = {0}, out = {0};
        shale_error err;
        assert_int_equal(
            shl_compress((enum shl_codec)codec, shl_slice_of(raw, sizeof raw), &packed, &err),
            SHALE_OK);
        for (size_t len = 0; len < packed.len; len++) {
            uint8_t *cut =
                malloc(len + 1); /* its own allocation: the sanitizer sees a read past it */
            memcpy(cut, packed.data, len);
            shale_code rc =
                shl_decompress((enum shl_codec)codec, shl_slice_of(cut, len), 1 << 20, &out, &err);
            free(cut);
            if (rc != SHALE_CORRUPTION)
                fail_msg("codec %d cut to %zu of %zu: %d", codec, len, packed.len, (int)rc);
        }
        assert_int_equal(shl_buf_append(&packed, "x", 1, &err), SHALE_OK);
        assert_int_equal(
            shl_decompress((enum shl_codec)codec, shl_buf_view(&packed), 1 << 20, &out, &err),
            SHALE_CORRUPTION);
        assert_int_equal(out.len, 0);
        shl_buf_free(&packed);
        shl_buf_free(&out);
    }
}

static void test_unknown_codec_numbers(void **state)
{
    (void)state;
    struct shl_buf out = {0};
    shale_error err;
    assert_int_equal(shl_decompress((enum shl_codec)5, shl_slice_str("x"), 10, &out, &err),
                     SHALE_CORRUPTION);
    assert_int_equal(shl_compress((enum shl_codec)5, shl_slice_str("x"), &out, &err),
                     SHALE_INVALID);
    assert_int_equal(shl_decompress(SHL_CODEC_NONE, shl_slice_str("xy"), 1, &out, &err),
                     SHALE_CORRUPTION);
    enum shl_codec codec;
    assert_true(shl_codec_parse("ZSTD", &codec) && codec == SHL_CODEC_ZSTD);
    assert_false(shl_codec_parse("brotli", &codec));
    for (int i = 0; i <= 4; i++)
        assert_true(shl_codec_parse(shl_codec_name((enum shl_codec)i), &codec) &&
                    codec == (enum shl_codec)i);
    assert_null(shl_codec_name((enum shl_codec)5));
}

/* Small inputs that claim 2 GiB: refused, with not more than the bound taken. */
static void test_claims_do_not_take_memory(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum shl_codec codec;
        const char *hex;
    } cases[] = {
        {"lz4 claims 2 GiB", SHL_CODEC_LZ4, "ffffff7f1061"},
        {"lz4 claims 4 GiB", SHL_CODEC_LZ4, "ffffffff1061"},
        {"snappy claims 2 GiB", SHL_CODEC_SNAPPY, "ffffffff070061"},
        {"zstd claims 2 GiB", SHL_CODEC_ZSTD, "28b52ffda0ffffff7f090000"},
        {"zstd claims 2^60", SHL_CODEC_ZSTD, "28b52ffde00000000000000010090000"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        uint8_t in[32];
        size_t len = unhex(cases[i].hex, in);
        struct shl_buf out = {0};
        shale_error err;
        if (shl_decompress(cases[i].codec, shl_slice_of(in, len), SIZE_MAX, &out, &err) !=
            SHALE_CORRUPTION)
            fail_msg("%s", cases[i].name);
        if (out.cap > ((size_t)1 << 20) + 16 * len)
            fail_msg("%s: took %zu", cases[i].name, out.cap);
        shl_buf_free(&out);
    }
}

/* What is far beyond 16:1 still decodes, in steps; a limit stops it early. */
static void test_high_ratios_decode_in_steps(void **state)
{
    (void)state;
    size_t len = (size_t)9 << 20;
    uint8_t *raw = calloc(1, len);
    for (int codec = 1; codec <= 4; codec++) {
        struct shl_buf packed = {0}, out = {0};
        shale_error err;
        assert_int_equal(shl_compress((enum shl_codec)codec, shl_slice_of(raw, len), &packed, &err),
                         SHALE_OK);
        if (shl_decompress((enum shl_codec)codec, shl_buf_view(&packed), len, &out, &err) !=
            SHALE_OK)
            fail_msg("codec %d: %s", codec, err.text);
        assert_int_equal(out.len, len);
        assert_memory_equal(out.data, raw, len);
        assert_true(out.cap <= len + ((size_t)1 << 20) + 16 * packed.len);
        shl_buf_free(&out);

        assert_int_equal(
            shl_decompress((enum shl_codec)codec, shl_buf_view(&packed), 100000, &out, &err),
            SHALE_CORRUPTION);
        assert_true(out.cap <= 100001 + ((size_t)1 << 20) + 16 * packed.len);
        shl_buf_free(&out);

        packed.data[packed.len / 2] ^= 0x55; /* damage in the middle, after much was produced */
        shale_code rc =
            shl_decompress((enum shl_codec)codec, shl_buf_view(&packed), len, &out, &err);
        assert_true(rc == SHALE_CORRUPTION ||
                    rc == SHALE_OK); /* lz4 and snappy have no checksum of their own */
        shl_buf_free(&out);
        shl_buf_free(&packed);
    }
    free(raw);
}

static void test_zstd_reads_frames_without_size_and_several(void **state)
{
    (void)state;
    uint64_t x = 99;
    static uint8_t raw[100000];
    fill(raw, sizeof raw, &x);
    static uint8_t packed[220000];
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
    size_t first = ZSTD_compress2(c, packed, sizeof packed, raw, 60000);
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 1);
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    size_t second = ZSTD_compress2(c, packed + first, sizeof packed - first, raw + 60000, 40000);
    ZSTD_freeCCtx(c);
    struct shl_buf out = {0};
    shale_error err;
    assert_int_equal(shl_decompress(SHL_CODEC_ZSTD, shl_slice_of(packed, first + second),
                                    sizeof raw, &out, &err),
                     SHALE_OK);
    assert_int_equal(out.len, sizeof raw);
    assert_memory_equal(out.data, raw, sizeof raw);
    out.len = 0;
    assert_int_equal(shl_decompress(SHL_CODEC_ZSTD, shl_slice_of(packed, first + second),
                                    sizeof raw - 1, &out, &err),
                     SHALE_CORRUPTION);
    packed[first + second - 1] ^= 1; /* the frame's checksum */
    assert_int_equal(shl_decompress(SHL_CODEC_ZSTD, shl_slice_of(packed, first + second),
                                    sizeof raw, &out, &err),
                     SHALE_CORRUPTION);
    shl_buf_free(&out);
}

static void test_contexts_work_again_after_damage(void **state)
{
    (void)state;
    uint64_t x = 5;
    uint8_t raw[3000];
    fill(raw, sizeof raw, &x);
    for (int codec = 1; codec <= 4; codec++) {
        struct shl_buf packed = {0}, out = {0};
        shale_error err;
        assert_int_equal(
            shl_compress((enum shl_codec)codec, shl_slice_of(raw, sizeof raw), &packed, &err),
            SHALE_OK);
        for (size_t i = 0; i < packed.len; i += 7) {
            packed.data[i] ^= 0x10;
            (void)!shl_decompress((enum shl_codec)codec, shl_buf_view(&packed), sizeof raw, &out,
                                  &err);
            packed.data[i] ^= 0x10;
            out.len = 0;
            assert_int_equal(shl_decompress((enum shl_codec)codec, shl_buf_view(&packed),
                                            sizeof raw, &out, &err),
                             SHALE_OK);
            assert_memory_equal(out.data, raw, sizeof raw);
            out.len = 0;
        }
        shl_buf_free(&packed);
        shl_buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blobs_of_slatedb_decode),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_every_truncation_and_one_byte_more_is_an_error),
        cmocka_unit_test(test_unknown_codec_numbers),
        cmocka_unit_test(test_claims_do_not_take_memory),
        cmocka_unit_test(test_high_ratios_decode_in_steps),
        cmocka_unit_test(test_zstd_reads_frames_without_size_and_several),
        cmocka_unit_test(test_contexts_work_again_after_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
