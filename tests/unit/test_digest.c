/* Goal: the digests that stores check. Method: the shared vectors, RFC 4231 for HMAC, a bitwise CRC as oracle at every length and
 * alignment around the eight-byte steps, cuts at every place. */
#include "base/codec/digest.h"

#include "base/codec/endian.h"
#include "base/codec/json.h"
#include "base/codec/text.h"
#include "base/env/env.h"
#include "base/num.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define VECTORS SHALE_SOURCE_DIR "/tests/fixtures/signing/checksums.json"

static json_t *load(void)
{
    shl_json_setup(1);
    int fd;
    struct env_stat st;
    struct shl_buf text = {0};
    shale_error err;
    json_t *root = NULL;
    assert_int_equal(env_open(&fd, VECTORS, ENV_OPEN_READ), 0);
    assert_int_equal(env_fstat(fd, &st), 0);
    assert_int_equal(shl_buf_reserve(&text, st.size, &err), SHALE_OK);
    assert_int_equal(env_pread(fd, text.data, st.size, 0, &text.len), 0);
    (void)env_close(fd);
    assert_int_equal(shl_json_parse(shl_buf_view(&text), &root, &err), SHALE_OK);
    shl_buf_free(&text);
    return root;
}

static void check_base64(const json_t *row, const char *name, const void *digest, size_t len)
{
    struct shl_buf text = {0};
    shale_error err;
    struct shl_slice want;
    assert_true(shl_json_get_str(row, name, &want));
    assert_int_equal(shl_base64_encode(shl_slice_of(digest, len), &text, &err), SHALE_OK);
    if (!shl_slice_eq(shl_buf_view(&text), want))
        fail_msg("%s: got %.*s, want %.*s", name, (int)text.len, (const char *)text.data,
                 (int)want.len, (const char *)want.data);
    shl_buf_free(&text);
}

static void test_vectors(void **state)
{
    (void)state;
    json_t *root = load();
    const json_t *rows = json_object_get(root, "rows");
    assert_int_equal(json_array_size(rows), 4);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        struct shl_buf bytes = {0};
        struct shl_slice hex;
        uint8_t digest[SHL_SHA256_BYTES];
        shale_error err;
        assert_true(shl_json_get_str(row, "input_hex", &hex));
        assert_int_equal(shl_hex_decode(hex, &bytes, &err), SHALE_OK);
        struct shl_slice whole = shl_buf_view(&bytes);
        assert_int_equal(shl_md5(&whole, 1, digest, &err), SHALE_OK);
        check_base64(row, "md5_b64", digest, SHL_MD5_BYTES);
        assert_int_equal(shl_sha256(&whole, 1, digest, &err), SHALE_OK);
        check_base64(row, "sha256_b64", digest, SHL_SHA256_BYTES);
        shl_store_u64be(digest, shl_crc64nvme(&whole, 1));
        check_base64(row, "crc64nvme_b64", digest, 8);
        shl_buf_free(&bytes);
    }
    json_decref(root);
}

static void test_sha256_as_hex(void **state)
{
    (void)state;
    char hex[SHL_SHA256_HEX];
    shale_error err;
    struct shl_slice abc = shl_slice_str("abc");
    assert_int_equal(shl_sha256_hex(&abc, 1, hex, &err), SHALE_OK);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(shl_sha256_hex(NULL, 0, hex, &err), SHALE_OK);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_hmac_of_rfc_4231(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t key_len; /* of key_byte, if there is no key */
        uint8_t key_byte;
        const char *key;
        const char *message; /* or 50 of 0xdd */
        const char *want;
    } cases[] = {
        {"case 1", 20, 0x0b, NULL, "Hi There",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"case 2", 0, 0, "Jefe", "what do ya want for nothing?",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"case 3", 20, 0xaa, NULL, NULL,
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {"case 6", 131, 0xaa, NULL, "Test Using Larger Than Block-Size Key - Hash Key First",
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {"no key, no message", 0, 0, "", "",
         "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        uint8_t key[131], dd[50], digest[SHL_SHA256_BYTES];
        char hex[SHL_SHA256_HEX];
        shale_error err;
        memset(key, cases[i].key_byte, sizeof key);
        memset(dd, 0xdd, sizeof dd);
        struct shl_slice k = cases[i].key != NULL ? shl_slice_str(cases[i].key)
                                                  : shl_slice_of(key, cases[i].key_len);
        struct shl_slice m = cases[i].message != NULL ? shl_slice_str(cases[i].message)
                                                      : shl_slice_of(dd, sizeof dd);
        assert_int_equal(shl_hmac_sha256(k, m, digest, &err), SHALE_OK);
        shl_sha256_to_hex(digest, hex);
        if (strcmp(hex, cases[i].want) != 0)
            fail_msg("%s: %s", cases[i].name, hex);
    }
}

/* ---- CRC-64 */

static uint8_t bytes[600];

static int fill(void **state)
{
    (void)state;
    uint32_t x = 12345;
    for (size_t i = 0; i < sizeof bytes; i++) {
        x = x * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(x >> 24);
    }
    return 0;
}

static uint64_t crc64_bit_by_bit(const uint8_t *p, size_t len)
{
    uint64_t crc = UINT64_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int b = 0; b < 8; b++)
            crc = crc >> 1 ^ (crc & 1 ? UINT64_C(0x9a6c9329ac4bc9b5) : 0);
    }
    return ~crc;
}

static void test_crc64_agrees_with_bits_at_every_length_and_alignment(void **state)
{
    (void)state;
    for (size_t len = 0; len < 80; len++) {
        for (size_t at = 0; at < 9; at++) {
            struct shl_slice s = shl_slice_of(bytes + at, len);
            if (shl_crc64nvme(&s, 1) != crc64_bit_by_bit(bytes + at, len))
                fail_msg("len %zu at %zu", len, at);
        }
    }
    struct shl_slice all = shl_slice_of(bytes, sizeof bytes);
    assert_true(shl_crc64nvme(&all, 1) == crc64_bit_by_bit(bytes, sizeof bytes));
    assert_true(shl_crc64nvme(NULL, 0) == 0);
}

static void test_parts_are_one_body(void **state)
{
    (void)state;
    struct shl_slice whole = shl_slice_of(bytes, 300);
    uint8_t sha[SHL_SHA256_BYTES], md5[SHL_MD5_BYTES], got[SHL_SHA256_BYTES];
    shale_error err;
    uint64_t crc = shl_crc64nvme(&whole, 1);
    assert_int_equal(shl_sha256(&whole, 1, sha, &err), SHALE_OK);
    assert_int_equal(shl_md5(&whole, 1, md5, &err), SHALE_OK);
    for (size_t cut = 0; cut <= 300; cut++) {
        struct shl_slice parts[3] = {shl_slice_of(bytes, cut), shl_slice_of(NULL, 0),
                                     shl_slice_of(bytes + cut, 300 - cut)};
        assert_true(shl_crc64nvme(parts, 3) == crc);
        assert_int_equal(shl_sha256(parts, 3, got, &err), SHALE_OK);
        assert_memory_equal(got, sha, sizeof sha);
        assert_int_equal(shl_md5(parts, 3, got, &err), SHALE_OK);
        assert_memory_equal(got, md5, sizeof md5);
    }
}

/* Contexts belong to a task: several at once do not disturb each other, and give theirs back. */
static void digest_often(void *arg)
{
    struct shl_slice whole = shl_slice_of(bytes, sizeof bytes);
    uint8_t want[SHL_SHA256_BYTES], got[SHL_SHA256_BYTES];
    shale_error err;
    bool *ok = arg;
    *ok = shl_sha256(&whole, 1, want, &err) == SHALE_OK;
    for (int i = 0; *ok && i < 500; i++)
        *ok = shl_sha256(&whole, 1, got, &err) == SHALE_OK && memcmp(got, want, sizeof got) == 0;
}

static void test_tasks_have_contexts_of_their_own(void **state)
{
    (void)state;
    struct env_task *tasks[4];
    bool ok[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(env_task_spawn(&tasks[i], "digest", digest_often, &ok[i]), SHALE_OK);
    for (size_t i = 0; i < 4; i++) {
        env_task_join(tasks[i]);
        assert_true(ok[i]);
    }
}

static void test_wipe(void **state)
{
    (void)state;
    char secret[] = "secret";
    shl_wipe(secret, sizeof secret);
    for (size_t i = 0; i < sizeof secret; i++)
        assert_int_equal(secret[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_sha256_as_hex),
        cmocka_unit_test(test_hmac_of_rfc_4231),
        cmocka_unit_test(test_crc64_agrees_with_bits_at_every_length_and_alignment),
        cmocka_unit_test(test_parts_are_one_body),
        cmocka_unit_test(test_tasks_have_contexts_of_their_own),
        cmocka_unit_test(test_wipe),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
