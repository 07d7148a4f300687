/* Goal: the builder writes the bytes of upstream's, and the verifier accepts exactly what is safe to read. Method: hand-checked
 * buffers of slatedb-format; a small schema with every kind of field; one damage per rule with the expected reason; every
 * truncation and bit flip of a buffer, after which all accessors are used on what was accepted. */
#include "base/codec/flatbuf_read.h"
#include "base/codec/flatbuf_write.h"

#include "support_format.h"

#include "base/num.h"

static shale_error err;

#define OK(call) assert_int_equal((call), SHALE_OK)

/* ---------------------------------------------------------------- a schema with every kind of field */

enum { LEAF_NUMBER };
enum {
    ROOT_U8,
    ROOT_U16,
    ROOT_U32,
    ROOT_U64,
    ROOT_BYTES,
    ROOT_STRING,
    ROOT_U32S,
    ROOT_LEAF,
    ROOT_LEAVES,
    ROOT_TYPE,
    ROOT_UNION
};

static const struct shl_fb_field leaf_fields[] = {
    [LEAF_NUMBER] = {.name = "number", .type = SHL_FB_U64}};
static const struct shl_fb_schema leaf_schema = {
    .name = "Leaf", .fields = leaf_fields, .field_count = 1};
static const struct shl_fb_schema *const members[] = {&leaf_schema};
static const struct shl_fb_field root_fields[] = {
    [ROOT_U8] = {.name = "u8", .type = SHL_FB_U8},
    [ROOT_U16] = {.name = "u16", .type = SHL_FB_U16},
    [ROOT_U32] = {.name = "u32", .type = SHL_FB_U32},
    [ROOT_U64] = {.name = "u64", .type = SHL_FB_U64},
    [ROOT_BYTES] = {.name = "bytes", .type = SHL_FB_BYTES},
    [ROOT_STRING] = {.name = "string", .type = SHL_FB_STRING},
    [ROOT_U32S] = {.name = "u32s", .type = SHL_FB_U32S},
    [ROOT_LEAF] = {.name = "leaf", .type = SHL_FB_TABLE, .required = true, .table = &leaf_schema},
    [ROOT_LEAVES] = {.name = "leaves", .type = SHL_FB_TABLES, .table = &leaf_schema},
    [ROOT_TYPE] = {.name = "type", .type = SHL_FB_U8},
    [ROOT_UNION] = {.name = "union", .type = SHL_FB_UNION, .members = members, .member_count = 1},
};
static const struct shl_fb_schema root_schema = {
    .name = "Root", .fields = root_fields, .field_count = SHL_COUNT_OF(root_fields)};

static shl_fb_ref leaf(struct shl_fbw *w, uint64_t number)
{
    shl_fbw_begin(w);
    shl_fbw_u64(w, LEAF_NUMBER, number);
    return shl_fbw_end(w);
}

static void build_all(struct shl_buf *out)
{
    struct shl_fbw w = {.data = NULL};
    const uint32_t numbers[] = {7, 8, 9};
    shl_fb_ref bytes = shl_fbw_bytes(&w, shl_slice_of("\0\xff\1", 3));
    shl_fb_ref string = shl_fbw_string(&w, "h\xc3\xa9llo");
    shl_fb_ref u32s = shl_fbw_u32s(&w, numbers, 3);
    shl_fb_ref one = leaf(&w, 11);
    size_t mark = shl_fbw_mark(&w);
    for (uint64_t i = 0; i < 3; i++)
        shl_fbw_keep(&w, leaf(&w, i));
    shl_fb_ref leaves = shl_fbw_kept(&w, mark);
    shl_fb_ref in_union = leaf(&w, 12);
    shl_fbw_begin(&w);
    shl_fbw_u64(&w, ROOT_U64, UINT64_MAX - 1);
    shl_fbw_ref(&w, ROOT_UNION, in_union);
    shl_fbw_ref(&w, ROOT_LEAVES, leaves);
    shl_fbw_ref(&w, ROOT_LEAF, one);
    shl_fbw_ref(&w, ROOT_U32S, u32s);
    shl_fbw_ref(&w, ROOT_STRING, string);
    shl_fbw_ref(&w, ROOT_BYTES, bytes);
    shl_fbw_u32(&w, ROOT_U32, 70000);
    shl_fbw_u16(&w, ROOT_U16, 300);
    shl_fbw_u8(&w, ROOT_TYPE, 1);
    shl_fbw_u8(&w, ROOT_U8, 5);
    shl_fb_ref root = shl_fbw_end(&w);
    OK(shl_fbw_finish(&w, root, out, &err));
    shl_fbw_deinit(&w);
}

static void test_every_field_reads_back(void **state)
{
    (void)state;
    struct shl_buf b = {0};
    struct shl_fb_table root;
    struct shl_fb_table child = {.buf = NULL};
    build_all(&b);
    OK(shl_fb_verify(shl_buf_view(&b), &root_schema, &root, &err));
    assert_int_equal(shl_fb_u8(root, ROOT_U8), 5);
    assert_int_equal(shl_fb_u16(root, ROOT_U16), 300);
    assert_int_equal(shl_fb_u32(root, ROOT_U32), 70000);
    assert_true(shl_fb_u64(root, ROOT_U64) == UINT64_MAX - 1);
    assert_true(shl_slice_eq(shl_fb_bytes(root, ROOT_BYTES), shl_slice_of("\0\xff\1", 3)));
    assert_true(shl_slice_eq(shl_fb_bytes(root, ROOT_STRING), shl_slice_str("h\xc3\xa9llo")));
    struct shl_fb_vector numbers = shl_fb_vector(root, ROOT_U32S);
    assert_int_equal(numbers.count, 3);
    assert_int_equal(shl_fb_vector_u32(numbers, 2), 9);
    assert_true(shl_fb_child(root, ROOT_LEAF, &child));
    assert_int_equal(shl_fb_u64(child, LEAF_NUMBER), 11);
    struct shl_fb_vector leaves = shl_fb_vector(root, ROOT_LEAVES);
    assert_int_equal(leaves.count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(shl_fb_u64(shl_fb_vector_table(leaves, i), LEAF_NUMBER), i);
    assert_true(shl_fb_child(root, ROOT_UNION, &child));
    assert_int_equal(shl_fb_u64(child, LEAF_NUMBER), 12);
    /* Slots that the writer did not know are absent. */
    assert_false(shl_fb_has(root, 11));
    assert_int_equal(shl_fb_u32(root, 100), 0);
    assert_null(shl_fb_bytes(root, 30).data);
    shl_buf_free(&b);
}

/* ---------------------------------------------------------------- bytes */

static void test_builder_writes_upstreams_bytes(void **state)
{
    (void)state;
    struct shl_fbw w = {.data = NULL};
    struct shl_buf b = {0};
    /* The empty compactions file of slatedb-format 6, without its version: one empty vector in slot 1. */
    shl_fb_ref none = shl_fbw_kept(&w, shl_fbw_mark(&w));
    shl_fbw_begin(&w);
    shl_fbw_u64(&w, 0, 0);
    shl_fbw_ref(&w, 1, none);
    OK(shl_fbw_finish(&w, shl_fbw_end(&w), &b, &err));
    format_expect_hex("empty compactions", &b,
                      "0c000000 08000800 00000400 08000000 04000000 00000000");

    /* An empty table, as the stats of an SST without rows (7.2), by the same writer again; appended. */
    b.len = 1;
    shl_fbw_begin(&w);
    OK(shl_fbw_finish(&w, shl_fbw_end(&w), &b, &err));
    format_expect_hex("empty stats", &b, "0c 08000000 0400 0400 04000000");
    shl_fbw_deinit(&w);
    shl_buf_free(&b);
}

static void test_equal_vtables_are_shared_even_after_the_table(void **state)
{
    (void)state;
    struct shl_fbw w = {.data = NULL};
    struct shl_buf b = {0};
    struct shl_fb_table root;
    size_t mark = shl_fbw_mark(&w);
    for (uint64_t i = 1; i <= 100; i++)
        shl_fbw_keep(&w, leaf(&w, i));
    shl_fb_ref leaves = shl_fbw_kept(&w, mark);
    shl_fb_ref one = leaf(&w, 1);
    shl_fbw_begin(&w);
    shl_fbw_ref(&w, ROOT_LEAVES, leaves);
    shl_fbw_ref(&w, ROOT_LEAF, one);
    OK(shl_fbw_finish(&w, shl_fbw_end(&w), &b, &err));
    OK(shl_fb_verify(shl_buf_view(&b), &root_schema, &root, &err));
    struct shl_fb_vector v = shl_fb_vector(root, ROOT_LEAVES);
    unsigned own = 0;
    for (uint32_t i = 0; i < 100; i++) {
        struct shl_fb_table t = shl_fb_vector_table(v, i);
        int32_t soffset = (int32_t)shl_load_u32le(t.buf + t.at);
        assert_int_equal(shl_fb_u64(t, LEAF_NUMBER), i + 1);
        own += soffset > 0;
    }
    /* Tables of equal fields differ by the padding before them, which counts as theirs. */
    assert_in_range(own, 1, 4);
    assert_true(b.len < 100 * 20 + 200); /* with vtables of their own: 26 each */
    shl_fbw_deinit(&w);
    shl_buf_free(&b);
}

static void test_builder_grows_past_any_size_it_started_with(void **state)
{
    (void)state;
    struct shl_fbw w = {.data = NULL};
    struct shl_buf b = {0};
    struct shl_fb_table root;
    uint8_t *big = calloc(1, 3000000);
    big[2999999] = 9;
    shl_fb_ref bytes = shl_fbw_bytes(&w, shl_slice_of(big, 3000000));
    shl_fb_ref one = leaf(&w, 1);
    shl_fbw_begin(&w);
    shl_fbw_ref(&w, ROOT_LEAF, one);
    shl_fbw_ref(&w, ROOT_BYTES, bytes);
    OK(shl_fbw_finish(&w, shl_fbw_end(&w), &b, &err));
    OK(shl_fb_verify(shl_buf_view(&b), &root_schema, &root, &err));
    assert_true(shl_slice_eq(shl_fb_bytes(root, ROOT_BYTES), shl_slice_of(big, 3000000)));
    free(big);
    shl_fbw_deinit(&w);
    shl_buf_free(&b);
}

/* ---------------------------------------------------------------- verifier */

static void test_each_rule_is_checked(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *hex;
        const char *text;
    } cases[] = {
        {"empty", "", "impossible length"},
        {"three bytes", "000000", "impossible length"},
        {"root is itself", "00000000 00000000", "bad reference"},
        {"root misaligned", "06000000 0400 0400 04000000", "bad reference"},
        {"root past the end", "08000000 04000400", "bad reference"},
        {"vtable before the buffer", "08000000 0400 0400 0a000000", "vtable out of place"},
        {"vtable past the end", "08000000 0400 0400 fcffffff", "vtable out of place"},
        {"vtable odd", "08000000 0400 0400 03000000", "vtable out of place"},
        {"vtable too short", "08000000 0200 0400 04000000", "bad vtable length"},
        {"vtable length odd", "08000000 0500 0400 04000000", "bad vtable length"},
        {"vtable longer than the buffer", "08000000 4000 0400 04000000", "bad vtable length"},
        {"required leaf missing", "08000000 0400 0400 04000000", "Root.leaf: required"},
        {"u16 misaligned", "0c000000 0800 0800 0000 0500 08000000 00000000",
         "Root.u16: field misaligned"},
        {"u16 past the end", "0c000000 0800 0800 0000 0800 08000000 00000000",
         "Root.u16: field misaligned or past"},
        {"u64 at 4", "10000000 0c00 0c00 0000 0000 0000 0400 0c000000 00000000 00000000",
         "Root.u64: field misaligned"},
        {"bytes count past the end",
         "14000000 0e00 0800 0000 0000 0000 0000 0400 0000 10000000 04000000 01000000",
         "Root.bytes: vector past"},
        {"bytes count near 2^32",
         "14000000 0e00 0800 0000 0000 0000 0000 0400 0000 10000000 04000000 ffffffff",
         "Root.bytes: vector past"},
        {"reference past the end",
         "14000000 0e00 0800 0000 0000 0000 0000 0400 0000 10000000 08000000 00000000",
         "Root.bytes: bad reference"},
        {"string without room for NUL",
         "14000000 1000 0800 0000 0000 0000 0000 0000 0400 10000000 04000000 04000000 61626364",
         "Root.string: string without NUL"},
        {"string with other byte",
         "14000000 1000 0800 0000 0000 0000 0000 0000 0400 10000000 04000000 03000000 61626364",
         "Root.string: string without NUL"},
        {"string not UTF-8",
         "14000000 1000 0800 0000 0000 0000 0000 0000 0400 10000000 04000000 03000000 6180ff00",
         "Root.string: string is not UTF-8"},
        {"string good, leaf missing",
         "14000000 1000 0800 0000 0000 0000 0000 0000 0400 10000000 04000000 03000000 61c3a900",
         "Root.leaf: required"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_buf b = format_hex(cases[i].hex);
        struct shl_fb_table root;
        shale_code rc = shl_fb_verify(shl_buf_view(&b), &root_schema, &root, &err);
        if (rc != SHALE_CORRUPTION || strstr(err.text, cases[i].text) == NULL)
            fail_msg("%s: code %d, text %s", cases[i].name, (int)rc, err.text);
        shl_buf_free(&b);
    }
}

/* Of small tables in a vector one vtable is read for all: also the first must be looked at, wherever it says it is. */
static void test_a_vtable_out_of_place_is_found_in_every_table_of_a_vector(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        struct shl_buf b = {0};
        struct shl_fb_table root;
        build_all(&b);
        OK(shl_fb_verify(shl_buf_view(&b), &root_schema, &root, &err));
        size_t at = shl_fb_vector_table(shl_fb_vector(root, ROOT_LEAVES), i).at;
        const int64_t places[] = {-1, -2, -65536, (int64_t)b.len, (int64_t)b.len + 1};
        for (size_t k = 0; k < SHL_COUNT_OF(places); k++) {
            shl_store_u32le(b.data + at, (uint32_t)((int64_t)at - places[k]));
            if (shl_fb_verify(shl_buf_view(&b), &root_schema, &root, &err) != SHALE_CORRUPTION ||
                strstr(err.text, "vtable out of place") == NULL)
                fail_msg("leaf %u, place %zu: %s", (unsigned)i, k, err.text);
        }
        shl_buf_free(&b);
    }
}

static void test_unions_need_both_halves_and_a_known_type(void **state)
{
    (void)state;
    for (unsigned type = 0; type <= 2; type++) {
        for (unsigned with_value = 0; with_value <= 1; with_value++) {
            struct shl_fbw w = {.data = NULL};
            struct shl_buf b = {0};
            struct shl_fb_table root;
            shl_fb_ref one = leaf(&w, 1);
            shl_fbw_begin(&w);
            shl_fbw_ref(&w, ROOT_UNION, with_value ? one : 0);
            shl_fbw_ref(&w, ROOT_LEAF, one);
            shl_fbw_u8(&w, ROOT_TYPE, (uint8_t)type);
            OK(shl_fbw_finish(&w, shl_fbw_end(&w), &b, &err));
            shale_code rc = shl_fb_verify(shl_buf_view(&b), &root_schema, &root, &err);
            bool good = (type == 0 && !with_value) || (type == 1 && with_value);
            assert_int_equal(rc, good ? SHALE_OK : SHALE_CORRUPTION);
            shl_fbw_deinit(&w);
            shl_buf_free(&b);
        }
    }
}

static void test_utf8_borders(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"", true},
        {"\x7f", true},
        {"\x80", false},
        {"\xc1\xbf", false}, /* overlong */
        {"\xc2\x80", true},
        {"\xdf\xbf", true},
        {"\xc3", false},
        {"\xe0\x9f\xbf", false},
        {"\xe0\xa0\x80", true},
        {"\xed\x9f\xbf", true},
        {"\xed\xa0\x80", false}, /* surrogate */
        {"\xef\xbf\xbf", true},
        {"\xef\xbf", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf0\x90\x80\x80", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\xf4\x90\x80\x80", false}, /* above U+10FFFF */
        {"\xf5\x80\x80\x80", false},
        {"a\xc3\xa9\x80", false},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_fbw w = {.data = NULL};
        struct shl_buf b = {0};
        struct shl_fb_table root;
        shl_fb_ref string = shl_fbw_string(&w, cases[i].text);
        shl_fb_ref one = leaf(&w, 1);
        shl_fbw_begin(&w);
        shl_fbw_ref(&w, ROOT_LEAF, one);
        shl_fbw_ref(&w, ROOT_STRING, string);
        OK(shl_fbw_finish(&w, shl_fbw_end(&w), &b, &err));
        if ((shl_fb_verify(shl_buf_view(&b), &root_schema, &root, &err) == SHALE_OK) !=
            cases[i].valid)
            fail_msg("case %zu", i);
        shl_fbw_deinit(&w);
        shl_buf_free(&b);
    }
}

/* A schema that contains itself, so that depth has no other limit. */
extern const struct shl_fb_schema nest_schema;
static const struct shl_fb_field nest_fields[] = {
    {.name = "inner", .type = SHL_FB_TABLE, .table = &nest_schema}};
const struct shl_fb_schema nest_schema = {.name = "Nest", .fields = nest_fields, .field_count = 1};

static void test_depth_is_limited(void **state)
{
    (void)state;
    for (unsigned depth = SHL_FB_DEPTH_MAX - 1; depth <= SHL_FB_DEPTH_MAX + 1; depth++) {
        struct shl_fbw w = {.data = NULL};
        struct shl_buf b = {0};
        struct shl_fb_table root;
        shl_fb_ref ref = 0;
        for (unsigned i = 0; i < depth; i++) {
            shl_fbw_begin(&w);
            shl_fbw_ref(&w, 0, ref);
            ref = shl_fbw_end(&w);
        }
        OK(shl_fbw_finish(&w, ref, &b, &err));
        shale_code rc = shl_fb_verify(shl_buf_view(&b), &nest_schema, &root, &err);
        assert_int_equal(rc, depth <= SHL_FB_DEPTH_MAX ? SHALE_OK : SHALE_CORRUPTION);
        shl_fbw_deinit(&w);
        shl_buf_free(&b);
    }
}

/* Few bytes that name the same table over and over must not become much memory. */
static void test_shared_tables_and_vectors_are_bounded(void **state)
{
    (void)state;
    struct shl_fbw w = {.data = NULL};
    struct shl_buf b = {0};
    struct shl_fb_table root;
    shl_fb_ref one = leaf(&w, 1);
    for (unsigned i = 0; i < 1000; i++)
        shl_fbw_keep(&w, one);
    shl_fb_ref leaves = shl_fbw_kept(&w, 0);
    shl_fbw_begin(&w);
    shl_fbw_ref(&w, ROOT_LEAVES, leaves);
    shl_fbw_ref(&w, ROOT_LEAF, one);
    OK(shl_fbw_finish(&w, shl_fbw_end(&w), &b, &err));
    assert_int_equal(shl_fb_verify(shl_buf_view(&b), &root_schema, &root, &err), SHALE_CORRUPTION);
    assert_non_null(strstr(err.text, "too many tables"));
    shl_fbw_deinit(&w);
    shl_buf_free(&b);
}

/* ---------------------------------------------------------------- damage */

static bool use(struct shl_slice bytes, void *ctx)
{
    struct shl_fb_table root;
    struct shl_fb_table child = {.buf = NULL};
    uint64_t *sum = ctx;
    if (shl_fb_verify(bytes, &root_schema, &root, &err) != SHALE_OK)
        return false;
    *sum += (uint64_t)shl_fb_u8(root, ROOT_U8) + shl_fb_u16(root, ROOT_U16) +
            shl_fb_u32(root, ROOT_U32);
    *sum += shl_fb_u64(root, ROOT_U64);
    for (unsigned slot = ROOT_BYTES; slot <= ROOT_STRING; slot++) {
        struct shl_slice s = shl_fb_bytes(root, slot);
        for (size_t i = 0; i < s.len; i++)
            *sum += s.data[i];
    }
    struct shl_fb_vector v = shl_fb_vector(root, ROOT_U32S);
    for (uint32_t i = 0; i < v.count; i++)
        *sum += shl_fb_vector_u32(v, i);
    v = shl_fb_vector(root, ROOT_LEAVES);
    for (uint32_t i = 0; i < v.count; i++)
        *sum += shl_fb_u64(shl_fb_vector_table(v, i), LEAF_NUMBER);
    if (shl_fb_child(root, ROOT_LEAF, &child))
        *sum += shl_fb_u64(child, LEAF_NUMBER);
    if (shl_fb_child(root, ROOT_UNION, &child))
        *sum += shl_fb_u64(child, LEAF_NUMBER);
    return true;
}

static void test_damaged_buffers_are_safe_once_accepted(void **state)
{
    (void)state;
    struct shl_buf b = {0};
    uint64_t sum = 0;
    build_all(&b);
    assert_true(use(shl_buf_view(&b), &sum));
    (void)format_truncate_all(shl_buf_view(&b), use, &sum);
    (void)format_flip_all(shl_buf_view(&b), use, &sum);
    shl_buf_free(&b);
}

static void test_random_damage_is_safe_once_accepted(void **state)
{
    (void)state;
    uint64_t rand = format_seed();
    uint64_t sum = 0;
    size_t accepted = 0;
    struct shl_buf b = {0};
    build_all(&b);
    for (unsigned round = 0; round < 20000; round++) {
        struct shl_buf copy = {0};
        OK(shl_buf_set(&copy, shl_buf_view(&b), &err));
        for (size_t n = 1 + format_rand_below(&rand, 4); n > 0; n--)
            copy.data[format_rand_below(&rand, copy.len)] = (uint8_t)format_rand_below(&rand, 32);
        accepted += format_try_copy(shl_buf_view(&copy), use, &sum);
        shl_buf_free(&copy);
    }
    assert_true(accepted > 0);
    shl_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_reads_back),
        cmocka_unit_test(test_builder_writes_upstreams_bytes),
        cmocka_unit_test(test_equal_vtables_are_shared_even_after_the_table),
        cmocka_unit_test(test_builder_grows_past_any_size_it_started_with),
        cmocka_unit_test(test_each_rule_is_checked),
        cmocka_unit_test(test_a_vtable_out_of_place_is_found_in_every_table_of_a_vector),
        cmocka_unit_test(test_unions_need_both_halves_and_a_known_type),
        cmocka_unit_test(test_utf8_borders),
        cmocka_unit_test(test_depth_is_limited),
        cmocka_unit_test(test_shared_tables_and_vectors_are_bounded),
        cmocka_unit_test(test_damaged_buffers_are_safe_once_accepted),
        cmocka_unit_test(test_random_damage_is_safe_once_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
