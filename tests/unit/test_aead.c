/* Goal: AES-256-GCM is the standard's, refuses what was changed, and leaves the buffer alone when it fails.
 * Method: test vectors of the GCM specification (cases 14 and 16 without the additional data), every bit of a short message flipped. */
#include "base/codec/aead.h"
#include "base/codec/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct shl_buf hex(const char *text)
{
    struct shl_buf b = {0};
    shale_error err;
    assert_int_equal(shl_hex_decode(shl_slice_str(text), &b, &err), SHALE_OK);
    return b;
}

static void check(const char *key, const char *nonce, const char *plain, const char *sealed)
{
    struct shl_buf k = hex(key), n = hex(nonce), p = hex(plain), s = hex(sealed), out = {0},
                   back = {0};
    shale_error err;
    assert_int_equal(shl_aead_seal(k.data, n.data, shl_buf_view(&p), &out, &err), SHALE_OK);
    assert_int_equal(out.len, n.len + s.len);
    assert_memory_equal(out.data, n.data, n.len);
    assert_memory_equal(out.data + n.len, s.data, s.len);
    assert_int_equal(shl_aead_open(k.data, shl_buf_view(&out), &back, &err), SHALE_OK);
    assert_true(shl_slice_eq(shl_buf_view(&back), shl_buf_view(&p)));
    for (size_t bit = 0; bit < out.len * 8; bit++) {
        out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        back.len = 0;
        assert_int_equal(shl_aead_open(k.data, shl_buf_view(&out), &back, &err), SHALE_CORRUPTION);
        assert_int_equal(back.len, 0);
        out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    k.data[31] ^= 1;
    assert_int_equal(shl_aead_open(k.data, shl_buf_view(&out), &back, &err), SHALE_CORRUPTION);
    assert_non_null(strstr(err.text, "another key"));
    shl_buf_free(&k);
    shl_buf_free(&n);
    shl_buf_free(&p);
    shl_buf_free(&s);
    shl_buf_free(&out);
    shl_buf_free(&back);
}

static void test_vectors(void **state)
{
    (void)state;
    check("0000000000000000000000000000000000000000000000000000000000000000",
          "000000000000000000000000", "00000000000000000000000000000000",
          "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
    check("0000000000000000000000000000000000000000000000000000000000000000",
          "000000000000000000000000", "", "530f8afbc74536b9a963b4f1c4cb738b");
    check("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
          "cafebabefacedbaddecaf888",
          "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e24"
          "49a6b525b16aedf5aa0de657ba637b391aafd255",
          "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b10"
          "56828838c5f61e6393ba7a0abcc9f662898015adb094dac5d93471bdec1a502270e3cc6c");
}

static void test_what_is_too_short_was_never_sealed(void **state)
{
    uint8_t key[SHL_AEAD_KEY_BYTES] = {0}, bytes[27] = {0};
    struct shl_buf out = {0};
    shale_error err;
    (void)state;
    assert_int_equal(shl_aead_open(key, shl_slice_of(bytes, sizeof bytes), &out, &err),
                     SHALE_CORRUPTION);
    assert_int_equal(shl_aead_open(key, shl_slice_of(NULL, 0), &out, &err), SHALE_CORRUPTION);
    shl_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_what_is_too_short_was_never_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
