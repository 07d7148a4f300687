/* Goal: bytes as text and back, and nothing else accepted. Method: known vectors, every byte value, every cut of a text. */
#include "base/codec/text.h"

#include "base/num.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

typedef shale_code (*coder)(struct shl_slice, struct shl_buf *, shale_error *);

static shale_code percent_all(struct shl_slice in, struct shl_buf *out, shale_error *err)
{
    return shl_percent_encode(in, false, out, err);
}

static const struct {
    const char *name;
    coder encode, decode;
} codings[] = {{"hex", shl_hex_encode, shl_hex_decode},
               {"base64", shl_base64_encode, shl_base64_decode},
               {"percent", percent_all, shl_percent_decode},
               {"escape", shl_text_escape, shl_text_unescape}};

static void test_vectors(void **state)
{
    (void)state;
    static const struct {
        size_t coding;
        const char *raw, *text;
    } cases[] = {
        {0, "", ""},
        {0, "\x01\xab", "01ab"},
        {1, "", ""},
        {1, "f", "Zg=="},
        {1, "fo", "Zm8="},
        {1, "foo", "Zm9v"},
        {1, "foobar", "Zm9vYmFy"},
        {1, "\xff\xfe\xfd", "//79"},
        {2, "a/b c~", "a%2Fb%20c~"},
        {2, "\xc3\xa4%", "%C3%A4%25"},
        {3, "a\tb\n\\\r", "a\\tb\\n\\\\\\r"},
        {3, "\xc3\xa4", "\xc3\xa4"},
        {3, "\xff\x01", "\\xff\\x01"},
        {3, "\xc2\x9b", "\\xc2\\x9b"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_buf b = {0};
        shale_error err;
        assert_int_equal(codings[cases[i].coding].encode(shl_slice_str(cases[i].raw), &b, &err),
                         SHALE_OK);
        if (!shl_slice_eq(shl_buf_view(&b), shl_slice_str(cases[i].text)))
            fail_msg("case %zu: %.*s", i, (int)b.len, (const char *)b.data);
        shl_buf_free(&b);
    }
    struct shl_buf b = {0};
    shale_error err;
    assert_int_equal(shl_percent_encode(shl_slice_str("a/b"), true, &b, &err), SHALE_OK);
    assert_true(shl_slice_eq(shl_buf_view(&b), shl_slice_str("a/b")));
    shl_buf_free(&b);
}

static void test_all_bytes_come_back_at_every_length(void **state)
{
    (void)state;
    uint8_t bytes[256];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 83 + 5);
    for (size_t c = 0; c < SHL_COUNT_OF(codings); c++) {
        for (size_t len = 0; len <= sizeof bytes; len++) {
            struct shl_buf text = {0}, back = {0};
            shale_error err;
            assert_int_equal(codings[c].encode(shl_slice_of(bytes, len), &text, &err), SHALE_OK);
            assert_int_equal(codings[c].decode(shl_buf_view(&text), &back, &err), SHALE_OK);
            if (!shl_slice_eq(shl_buf_view(&back), shl_slice_of(bytes, len)))
                fail_msg("%s length %zu", codings[c].name, len);
            shl_buf_free(&text);
            shl_buf_free(&back);
        }
    }
}

static void test_bad_texts_are_refused_and_append_nothing(void **state)
{
    (void)state;
    static const struct {
        size_t coding;
        const char *text;
    } cases[] = {{0, "a"},        {0, "0g"},    {0, "abc"},  {1, "Z"},       {1, "Zg"},
                 {1, "Zg="},      {1, "Zh=="},  {1, "Zm9="}, {1, "Z==="},    {1, "===="},
                 {1, "Zg==Zg=="}, {1, "Zm9v!"}, {1, "Zm-_"}, {1, "AAAAAAA"}, {2, "%"},
                 {2, "%4"},       {2, "%zz"},   {2, "a%4"},  {3, "\\"},      {3, "\\x"},
                 {3, "\\x4"},     {3, "\\xzz"}, {3, "\\q"}};
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_buf b = {0};
        shale_error err;
        assert_int_equal(shl_buf_append(&b, "keep", 4, &err), SHALE_OK);
        if (codings[cases[i].coding].decode(shl_slice_str(cases[i].text), &b, &err) !=
                SHALE_INVALID ||
            b.len != 4)
            fail_msg("%s: %s", codings[cases[i].coding].name, cases[i].text);
        shl_buf_free(&b);
    }
}

static void test_utf8_borders(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {{"", true},
                 {"a", true},
                 {"\x7f", true},
                 {"\xc2\x80", true},
                 {"\xdf\xbf", true},
                 {"\xe0\xa0\x80", true},
                 {"\xef\xbf\xbf", true},
                 {"\xf0\x90\x80\x80", true},
                 {"\xf4\x8f\xbf\xbf", true},
                 {"\x80", false},
                 {"\xc0\x80", false},
                 {"\xc1\xbf", false},
                 {"\xe0\x9f\xbf", false},
                 {"\xed\xa0\x80", false},
                 {"\xf0\x8f\xbf\xbf", false},
                 {"\xf4\x90\x80\x80", false},
                 {"\xf5\x80\x80\x80", false},
                 {"\xc2", false},
                 {"\xe2\x82", false},
                 {"\xe2\x28\xa1", false},
                 {"\xff", false}};
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        if (shl_utf8_valid(shl_slice_str(cases[i].text)) != cases[i].ok)
            fail_msg("case %zu", i);
    }
}

static void test_what_misleads(void **state)
{
    (void)state;
    static const uint32_t does[] = {0,      0x1b,   0x1f,   0x7f,   0x80,   0x9b,   0x9f,  0x61c,
                                    0x200e, 0x200f, 0x2028, 0x202a, 0x202e, 0x2066, 0x2069};
    static const uint32_t does_not[] = {' ',    'a',    0x7e,   0xa0,   0x61b,  0x61d,  0x200d,
                                        0x2010, 0x2027, 0x202f, 0x2065, 0x206a, 0x1f600};
    for (size_t i = 0; i < SHL_COUNT_OF(does); i++)
        assert_true(shl_utf8_misleads(does[i]));
    for (size_t i = 0; i < SHL_COUNT_OF(does_not); i++)
        assert_false(shl_utf8_misleads(does_not[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_all_bytes_come_back_at_every_length),
        cmocka_unit_test(test_bad_texts_are_refused_and_append_nothing),
        cmocka_unit_test(test_utf8_borders),
        cmocka_unit_test(test_what_misleads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
