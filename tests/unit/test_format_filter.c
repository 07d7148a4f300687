/* Goal: filters find every key that went in, as SlateDB's do, and never say "no" where they cannot know. Method: the examples and
 * test vectors of slatedb-format 2.6; a plain % model of the probes against the reciprocal; damaged blocks. */
#include "lsm/format/sst.h"

#include "support_format.h"

#include "base/codec/endian.h"
#include "base/num.h"

static shale_error err;

#define OK(call) assert_int_equal((call), SHALE_OK)

static const struct shl_filter_policy plain = {.bits_per_key = 10, .whole_key = true};
static const char *const example_keys[] = {"apple", "apricot", "banana", "cherry", "date"};
static const char example_hex[] = "0001 0003 \"_bf\" 0000000000000009 0006 3c0e233a6121eb";

/* In two pieces where there is more than one hash. */
static shale_code encode(const struct shl_filter_policy *policy, const uint64_t *hashes,
                         size_t count, struct shl_buf *out)
{
    size_t half = count / 2;
    const struct shl_slice pieces[] = {
        shl_slice_of(hashes, half * sizeof *hashes),
        shl_slice_of(hashes == NULL ? NULL : hashes + half, (count - half) * sizeof *hashes)};
    return shl_filter_encode(policy, pieces, SHL_COUNT_OF(pieces), out, &err);
}

static void test_example_is_rebuilt(void **state)
{
    (void)state;
    uint64_t hashes[SHL_COUNT_OF(example_keys)];
    struct shl_buf out = {0};
    for (size_t i = 0; i < SHL_COUNT_OF(hashes); i++)
        hashes[i] = shl_filter_hash(shl_slice_str(example_keys[i]));
    assert_true(hashes[0] == UINT64_C(0xe4305d08716d0e44));
    assert_true(hashes[2] == UINT64_C(0x7dac5b89b00bb584));
    OK(encode(&plain, hashes, SHL_COUNT_OF(hashes), &out));
    format_expect_hex("2.6", &out, example_hex);
    shl_buf_free(&out);
}

static void test_example_answers(void **state)
{
    (void)state;
    struct shl_buf raw = format_hex(example_hex);
    struct shl_bloom bloom;
    unsigned maybe = 0;
    OK(shl_filter_decode(shl_buf_view(&raw), SHL_FILTER_COMPOSITE, &plain, &bloom, &err));
    assert_true(bloom.present);
    assert_int_equal(bloom.nbits, 56);
    assert_int_equal(bloom.probes, 6);
    for (size_t i = 0; i < SHL_COUNT_OF(example_keys); i++) {
        uint64_t hash = shl_filter_hash(shl_slice_str(example_keys[i]));
        assert_true(shl_bloom_may_contain(&bloom, hash));
        assert_in_range((uintptr_t)shl_bloom_first_line(&bloom, hash), (uintptr_t)bloom.bits,
                        (uintptr_t)(bloom.bits + 6));
    }
    for (uint64_t i = 0; i < 1000; i++)
        maybe += shl_bloom_may_contain(&bloom, shl_filter_hash(shl_slice_of(&i, sizeof i)));
    assert_in_range(maybe, 1, 200);
    shl_buf_free(&raw);
}

/* The documented probes 928559 107781 287004 466229 645457 824689 3926: exactly these bits are needed. */
static void test_documented_probes(void **state)
{
    (void)state;
    static const uint32_t probes[] = {928559, 107781, 287004, 466229, 645457, 824689, 3926};
    const uint64_t hash = UINT64_C(0xDF77EF56DEADBEEF);
    struct shl_buf raw = {0};
    struct shl_bloom bloom;
    OK(shl_buf_reserve(&raw, 125002, &err));
    memset(raw.data, 0, 125002);
    raw.len = 125002;
    shl_store_u16be(raw.data, 7);
    for (size_t i = 0; i < SHL_COUNT_OF(probes); i++) {
        OK(shl_filter_decode(shl_buf_view(&raw), SHL_FILTER_LEGACY, &plain, &bloom, &err));
        assert_false(shl_bloom_may_contain(&bloom, hash));
        raw.data[2 + probes[i] / 8] |= (uint8_t)(1u << (probes[i] % 8));
    }
    assert_true(shl_bloom_may_contain(&bloom, hash));
    shl_buf_free(&raw);
}

/* As the format says it, with %. */
static bool model_may_contain(const uint8_t *bits, uint64_t nbits, uint32_t probes, uint64_t hash)
{
    uint64_t h = (hash & UINT32_MAX) % nbits;
    uint64_t d = (hash >> 32) % nbits;
    for (uint64_t i = 0; i < probes; i++) {
        d = (d + i) % nbits;
        if (!((bits[h / 8] >> (h % 8)) & 1))
            return false;
        h = (h + d) % nbits;
    }
    return true;
}

static void test_reciprocal_agrees_with_division(void **state)
{
    (void)state;
    uint64_t rand = format_seed();
    for (unsigned round = 0; round < 300; round++) {
        uint32_t bits_per_key = 2 + (uint32_t)format_rand_below(&rand, 80);
        size_t count = 1 + format_rand_below(&rand, 400);
        struct shl_filter_policy policy = {.bits_per_key = bits_per_key, .whole_key = true};
        uint64_t hashes[400];
        struct shl_buf out = {0};
        struct shl_bloom bloom;
        for (size_t i = 0; i < count; i++)
            hashes[i] = format_rand(&rand);
        hashes[0] = UINT64_MAX;
        OK(encode(&policy, hashes, count, &out));
        OK(shl_filter_decode(shl_buf_view(&out), SHL_FILTER_COMPOSITE, &policy, &bloom, &err));
        assert_true(bloom.present);
        assert_int_equal(bloom.nbits, (count * bits_per_key + 7) / 8 * 8);
        for (size_t i = 0; i < count; i++)
            assert_true(model_may_contain(bloom.bits, bloom.nbits, bloom.probes, hashes[i]));
        for (unsigned i = 0; i < 300; i++) {
            uint64_t hash = format_rand(&rand);
            assert_int_equal(shl_bloom_may_contain(&bloom, hash),
                             model_may_contain(bloom.bits, bloom.nbits, bloom.probes, hash));
        }
        shl_buf_free(&out);
    }
}

static void test_probe_counts(void **state)
{
    (void)state;
    static const struct {
        uint32_t bits, probes;
    } cases[] = {{1, 0}, {2, 1}, {5, 3}, {8, 5}, {10, 6}, {16, 11}, {20, 13}};
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_filter_policy policy = {.bits_per_key = cases[i].bits, .whole_key = true};
        uint64_t hash = 1;
        struct shl_buf out = {0};
        OK(encode(&policy, &hash, 1, &out));
        assert_int_equal(shl_load_u16be(out.data + 15), cases[i].probes);
        shl_buf_free(&out);
    }
}

static void test_policy_names(void **state)
{
    (void)state;
    static const struct {
        const char *extractor;
        bool whole_key;
        const char *name;
    } cases[] = {
        {NULL, true, "_bf"},
        {NULL, false, "_bf:wh=0"},
        {"3", true, "_bf:p=fixed3"},
        {"slash", true, "_bf:p=upto-slash"},
        {"3", false, "_bf:p=fixed3:wh=0"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_filter_policy p = {.bits_per_key = 10, .whole_key = cases[i].whole_key};
        char name[96];
        if (cases[i].extractor != NULL)
            assert_true(shl_extractor_parse(cases[i].extractor, &p.extractor));
        shl_filter_policy_name(&p, name);
        assert_string_equal(name, cases[i].name);
    }
}

static void test_extractors(void **state)
{
    (void)state;
    static const struct {
        const char *extractor, *key;
        int len; /* -1: none */
    } cases[] = {
        {"3", "abcd", 3},    {"3", "abc", 3},       {"3", "ab", -1},
        {"0", "", 0},        {"slash", "a/b/c", 2}, {"slash", "/", 1},
        {"slash", "ab", -1}, {"slash", "", -1},     {"12", "abcdefghijklm", 12},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_extractor x;
        size_t len = 99;
        assert_true(shl_extractor_parse(cases[i].extractor, &x));
        assert_int_equal(shl_extractor_prefix(&x, shl_slice_str(cases[i].key), &len),
                         cases[i].len >= 0);
        if (cases[i].len >= 0)
            assert_int_equal(len, cases[i].len);
    }
    struct shl_extractor x = {.kind = SHL_EXTRACT_NONE};
    size_t len = 0;
    assert_false(shl_extractor_prefix(&x, shl_slice_str("k"), &len));
    static const char *const bad[] = {"",   "x",     "3x",      "-1",         "+3",
                                      " 3", "SLASH", "slashes", "12345678901"};
    for (size_t i = 0; i < SHL_COUNT_OF(bad); i++)
        assert_false(shl_extractor_parse(bad[i], &x));
}

static void test_other_names_and_strange_probes_mean_maybe(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *hex;
        enum shl_filter_format format;
        const char *extractor;
        bool present;
    } cases[] = {
        {"no filters", "0000", SHL_FILTER_COMPOSITE, NULL, false},
        {"other name", "0001 0003 \"xyz\" 0000000000000003 0006 ff", SHL_FILTER_COMPOSITE, NULL,
         false},
        {"longer name", "0001 0008 \"_bf:wh=0\" 0000000000000003 0006 ff", SHL_FILTER_COMPOSITE,
         NULL, false},
        {"other extractor", "0001 000c \"_bf:p=fixed4\" 0000000000000003 0006 ff",
         SHL_FILTER_COMPOSITE, "3", false},
        {"own extractor", "0001 000c \"_bf:p=fixed3\" 0000000000000003 0006 ff",
         SHL_FILTER_COMPOSITE, "3", true},
        {"second of two",
         "0002 0001 \"x\" 0000000000000001 00 0003 \"_bf\" 0000000000000003 0006 ff",
         SHL_FILTER_COMPOSITE, NULL, true},
        {"0 probes", "0001 0003 \"_bf\" 0000000000000003 0000 ff", SHL_FILTER_COMPOSITE, NULL,
         false},
        {"64 probes", "0001 0003 \"_bf\" 0000000000000003 0040 ff", SHL_FILTER_COMPOSITE, NULL,
         true},
        {"65 probes", "0001 0003 \"_bf\" 0000000000000003 0041 ff", SHL_FILTER_COMPOSITE, NULL,
         false},
        {"legacy", "0006 ff", SHL_FILTER_LEGACY, NULL, true},
        {"legacy never had prefixes", "0006 ff", SHL_FILTER_LEGACY, "3", false},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_filter_policy p = plain;
        struct shl_bloom bloom;
        struct shl_buf raw = format_hex(cases[i].hex);
        if (cases[i].extractor != NULL)
            assert_true(shl_extractor_parse(cases[i].extractor, &p.extractor));
        OK(shl_filter_decode(shl_buf_view(&raw), cases[i].format, &p, &bloom, &err));
        if (bloom.present != cases[i].present)
            fail_msg("%s", cases[i].name);
        assert_true(shl_bloom_may_contain(&bloom, 12345)); /* absent, or all bits set */
        shl_buf_free(&raw);
    }
}

static void test_filter_without_bits_says_no(void **state)
{
    (void)state;
    struct shl_buf out = {0};
    struct shl_bloom bloom;
    OK(encode(&plain, NULL, 0, &out));
    format_expect_hex("no keys", &out, "0001 0003 \"_bf\" 0000000000000002 0006");
    OK(shl_filter_decode(shl_buf_view(&out), SHL_FILTER_COMPOSITE, &plain, &bloom, &err));
    assert_true(bloom.present);
    assert_false(shl_bloom_may_contain(&bloom, 1));
    assert_null(shl_bloom_first_line(&bloom, 1));
    shl_buf_free(&out);
    struct shl_filter_policy none = {.bits_per_key = 0, .whole_key = true};
    OK(encode(&none, NULL, 0, &out));
    assert_int_equal(out.len, 0);
}

static bool use(struct shl_slice raw, void *ctx)
{
    struct shl_bloom bloom;
    unsigned *sum = ctx;
    if (shl_filter_decode(raw, SHL_FILTER_COMPOSITE, &plain, &bloom, &err) != SHALE_OK)
        return false;
    for (uint64_t i = 0; i < 20; i++)
        *sum += shl_bloom_may_contain(&bloom, i * UINT64_C(0x9e3779b97f4a7c15));
    return true;
}

static void test_damaged_filters_are_refused_or_safe(void **state)
{
    (void)state;
    unsigned sum = 0;
    struct shl_buf raw = format_hex(example_hex);
    assert_true(use(shl_buf_view(&raw), &sum));
    assert_int_equal(format_truncate_all(shl_buf_view(&raw), use, &sum), 0);
    (void)format_flip_all(shl_buf_view(&raw), use, &sum);
    shl_buf_free(&raw);
    raw = format_hex("0001 0003 \"_bf\" ffffffffffffffff 0006 ff");
    assert_false(use(shl_buf_view(&raw), &sum));
    assert_non_null(strstr(err.text, "data at 15"));
    shl_buf_free(&raw);
    raw = format_hex("0001 0003 \"_bf\" 0000000000000001 00");
    assert_false(use(shl_buf_view(&raw), &sum));
    assert_non_null(strstr(err.text, "payload of 1 bytes"));
    shl_buf_free(&raw);
}

/* The Bloom filter and two others in one block, as SlateDB stores several: each is found by its name, and by no other. */
static void test_several_filters_in_one_block(void **state)
{
    (void)state;
    const uint64_t hash = shl_filter_hash(shl_slice_str("apple"));
    struct shl_buf out = {0};
    struct shl_bloom bloom;
    struct shl_slice found;
    OK(shl_filter_append(shl_slice_str("a"), shl_slice_str("xyz"), &out, &err));
    format_expect_hex("one", &out, "0001 0001 \"a\" 0000000000000003 \"xyz\"");
    OK(encode(&plain, &hash, 1, &out));
    OK(shl_filter_append(shl_slice_str("bc"), shl_slice_of(NULL, 0), &out, &err));
    assert_int_equal(shl_load_u16be(out.data), 3);
    OK(shl_filter_decode(shl_buf_view(&out), SHL_FILTER_COMPOSITE, &plain, &bloom, &err));
    assert_true(bloom.present && shl_bloom_may_contain(&bloom, hash));
    OK(shl_filter_find(shl_buf_view(&out), shl_slice_str("a"), &found, &err));
    assert_true(shl_slice_eq(found, shl_slice_str("xyz")));
    OK(shl_filter_find(shl_buf_view(&out), shl_slice_str("bc"), &found, &err));
    assert_true(found.data != NULL && found.len == 0);
    OK(shl_filter_find(shl_buf_view(&out), shl_slice_str("b"), &found, &err));
    assert_null(found.data);
    for (size_t len = 0; len < out.len; len++)
        assert_int_equal(
            shl_filter_find(shl_slice_of(out.data, len), shl_slice_str("bc"), &found, &err),
            SHALE_CORRUPTION);
    shl_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_is_rebuilt),
        cmocka_unit_test(test_example_answers),
        cmocka_unit_test(test_documented_probes),
        cmocka_unit_test(test_reciprocal_agrees_with_division),
        cmocka_unit_test(test_probe_counts),
        cmocka_unit_test(test_policy_names),
        cmocka_unit_test(test_extractors),
        cmocka_unit_test(test_other_names_and_strange_probes_mean_maybe),
        cmocka_unit_test(test_filter_without_bits_says_no),
        cmocka_unit_test(test_damaged_filters_are_refused_or_safe),
        cmocka_unit_test(test_several_filters_in_one_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
