/* Goal: names, records and indexes are those of s4db 0.10.0 and 0.8.0, byte for byte where one text is right, and whatever else is damaged says so.
 * Method: worked bytes; every cut and every flipped bit of a record and of both indexes. */
#include "s4/format.h"

#include "support_format.h"

#include "base/codec/crc32.h"
#include "base/codec/endian.h"
#include "base/env/env.h"
#include "base/num.h"
#include "s4/unsynced.h"

static shale_error err;

#define OK(call) assert_int_equal((call), SHALE_OK)

static struct shl_slice text(const char *s)
{
    return shl_slice_str(s);
}

static void test_names_in_both_directions(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t file;
    } good[] = {{"data_000001.s4db", 1},
                {"data_999999.s4db", 999999},
                {"data_1000000.s4db", 1000000},
                {"data_4294967295.s4db", UINT32_MAX},
                {"data_cd1b3522_000001.s4db", UINT64_C(0xcd1b352200000001)},
                {"data_0000000a_1234567.s4db", UINT64_C(0xa0012d687)}};
    static const char *const bad[] = {"",
                                      "index.idx",
                                      "data_00001.s4db",
                                      "data_0000001.s4db",
                                      "data_4294967296.s4db",
                                      "data_00000000_000001.s4db",
                                      "data_CD1B3522_000001.s4db",
                                      "data_cd1b352_000001.s4db",
                                      "data_cd1b3522_000001.s4db.tmp",
                                      "data_000001_s4db",
                                      "xdata_000001.s4db",
                                      "data_-00001.s4db"};
    for (size_t i = 0; i < SHL_COUNT_OF(good); i++) {
        char name[SHL_S4_NAME_BYTES];
        uint64_t file = 0;
        shl_s4_name(good[i].file, name);
        assert_string_equal(name, good[i].name);
        assert_true(shl_s4_name_parse(name, &file));
        assert_true(file == good[i].file);
    }
    for (size_t i = 0; i < SHL_COUNT_OF(bad); i++) {
        uint64_t file;
        if (shl_s4_name_parse(bad[i], &file))
            fail_msg("\"%s\" was taken", bad[i]);
    }
}

/* The example of s4db 0.10.0: "hello" -> "world". */
static const uint8_t hello[] = {2,   0,   0,   0,   5,   0,   0,   0,    5,    'h',  'e', 'l',
                                'l', 'o', 'w', 'o', 'r', 'l', 'd', 0xf6, 0x0d, 0x95, 0x8c};

static void test_a_record_has_the_bytes_of_s4db(void **state)
{
    (void)state;
    struct shl_buf out = {0};
    struct shl_s4_record r;
    struct shl_buf value = {0};
    OK(shl_s4_put_encode(2, text("hello"), text("world"), false, &out, &err));
    assert_int_equal(out.len, sizeof hello);
    assert_memory_equal(out.data, hello, sizeof hello);
    OK(shl_s4_record_decode(shl_buf_view(&out), &r, &err));
    assert_true(shl_slice_eq(r.key, text("hello")));
    OK(shl_s4_value_decode(&r, &value, &err));
    assert_true(shl_slice_eq(shl_buf_view(&value), text("world")));
    shl_buf_free(&out);
    shl_buf_free(&value);
}

static uint8_t flags_of(uint8_t version, struct shl_slice value, bool is_bytes, size_t *stored)
{
    struct shl_buf out = {0};
    struct shl_buf back = {0};
    struct shl_s4_record r;
    OK(shl_s4_put_encode(version, text(""), value, is_bytes, &out, &err));
    OK(shl_s4_record_decode(shl_buf_view(&out), &r, &err));
    OK(shl_s4_value_decode(&r, &back, &err));
    assert_true(shl_slice_eq(shl_buf_view(&back), value));
    *stored = r.stored.len;
    shl_buf_free(&out);
    shl_buf_free(&back);
    return r.flags;
}

static void test_values_are_compressed_only_where_that_is_shorter(void **state)
{
    (void)state;
    char xs[500];
    size_t stored;
    memset(xs, 'x', sizeof xs);
    assert_int_equal(flags_of(2, shl_slice_of(xs, sizeof xs), false, &stored), 0);
    assert_true(stored < 60);
    assert_int_equal(flags_of(2, text(""), false, &stored), SHL_S4_RAW);
    assert_int_equal(stored, 0);
    assert_int_equal(flags_of(2, text("ab"), true, &stored), SHL_S4_RAW | SHL_S4_BYTES);
    assert_int_equal(flags_of(1, text("ab"), false, &stored), 0); /* longer, and yet compressed */
    assert_int_equal(stored, 4);
    assert_int_equal(flags_of(1, text(""), false, &stored), 0);
    assert_int_equal(stored, 1);
    struct shl_buf out = {0};
    assert_int_equal(shl_s4_put_encode(1, text("k"), text("v"), true, &out, &err), SHALE_INVALID);
    assert_int_equal(out.len, 0);
    shl_buf_free(&out);
}

static void test_every_cut_and_flip_of_a_record_is_damage(void **state)
{
    (void)state;
    uint8_t bytes[sizeof hello];
    struct shl_s4_record r;
    for (size_t n = 0; n < sizeof hello; n++)
        assert_int_equal(shl_s4_record_decode(shl_slice_of(hello, n), &r, &err), SHALE_CORRUPTION);
    for (size_t bit = 0; bit < 8 * sizeof hello; bit++) {
        memcpy(bytes, hello, sizeof hello);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(shl_s4_record_decode(shl_slice_of(bytes, sizeof bytes), &r, &err),
                         SHALE_CORRUPTION);
    }
}

/* With a CRC that is right the flags decide. */
static void test_unknown_flags_and_deletions_are_no_values(void **state)
{
    (void)state;
    uint8_t bytes[sizeof hello];
    struct shl_s4_record r;
    struct shl_buf value = {0};
    memcpy(bytes, hello, sizeof hello);
    bytes[0] = 8;
    shl_store_u32be(bytes + sizeof bytes - 4, shl_crc32(bytes, sizeof bytes - 4));
    assert_int_equal(shl_s4_record_decode(shl_slice_of(bytes, sizeof bytes), &r, &err),
                     SHALE_CORRUPTION);
    assert_non_null(strstr(err.text, "flags 0x08"));
    bytes[0] = SHL_S4_TOMBSTONE;
    shl_store_u32be(bytes + sizeof bytes - 4, shl_crc32(bytes, sizeof bytes - 4));
    OK(shl_s4_record_decode(shl_slice_of(bytes, sizeof bytes), &r, &err));
    assert_int_equal(shl_s4_value_decode(&r, &value, &err), SHALE_CORRUPTION);
    bytes[0] = 0; /* "world" is no Snappy */
    shl_store_u32be(bytes + sizeof bytes - 4, shl_crc32(bytes, sizeof bytes - 4));
    OK(shl_s4_record_decode(shl_slice_of(bytes, sizeof bytes), &r, &err));
    assert_int_equal(shl_s4_value_decode(&r, &value, &err), SHALE_CORRUPTION);
    shl_buf_free(&value);
}

static void test_steps_over_records(void **state)
{
    (void)state;
    struct shl_buf out = {0};
    struct shl_s4_record r;
    uint64_t length = 0;
    OK(shl_s4_put_encode(2, text("a"), text("1"), false, &out, &err));
    size_t first = out.len;
    OK(shl_s4_tombstone_encode(text("a"), &out, &err));
    assert_int_equal(shl_s4_step(shl_buf_view(&out), &r, &length, &err), SHL_S4_STEP_RECORD);
    assert_true(length == first && r.flags == SHL_S4_RAW);
    struct shl_slice rest = shl_slice_of(out.data + first, out.len - first);
    for (size_t n = 0; n < rest.len; n++) {
        assert_int_equal(shl_s4_step(shl_slice_of(rest.data, n), &r, &length, &err),
                         SHL_S4_STEP_MORE);
        assert_true(length > n && length <= rest.len);
    }
    assert_int_equal(shl_s4_step(rest, &r, &length, &err), SHL_S4_STEP_RECORD);
    assert_int_equal(r.flags, SHL_S4_TOMBSTONE);
    out.data[first + 2] = 1; /* a key of 65537 bytes */
    assert_int_equal(shl_s4_step(rest, &r, &length, &err), SHL_S4_STEP_BAD);
    shl_buf_free(&out);
}

/* ---- the index */

struct seen {
    uint32_t count;
    struct shl_s4_index_head head;
    struct shl_s4_loc last;
};

static shale_code on_head(void *ctx, const struct shl_s4_index_head *head, shale_error *e)
{
    (void)e;
    ((struct seen *)ctx)->head = *head;
    return SHALE_OK;
}

static shale_code on_entry(void *ctx, struct shl_slice key, struct shl_s4_loc loc, shale_error *e)
{
    struct seen *s = ctx;
    (void)e;
    assert_int_equal(key.len, 3 + s->count);
    s->count++;
    s->last = loc;
    return SHALE_OK;
}

static void make_index(uint8_t version, struct shl_buf *out)
{
    struct shl_s4_index_head head = {.version = version, .next_file_num = 7, .count = 2};
    struct shl_s4_loc loc = {.file = 5, .offset = UINT64_C(0x100000001), .length = 23};
    OK(shl_s4_index_begin(out, &head, &err));
    OK(shl_s4_index_entry(out, version, text("abc"), loc, &err));
    loc.file = version == 1 ? 6 : UINT64_C(0xcd1b352200000001);
    OK(shl_s4_index_entry(out, version, text("\xc3\xa9hi"), loc, &err));
    OK(shl_s4_index_end(out, version, &err));
}

static void test_indexes_of_both_versions(void **state)
{
    (void)state;
    static const uint8_t empty[13] = {2, 0, 0, 0, 1, 0, 0, 0, 0, 0xf5, 0x9f, 0x15, 0x98};
    struct shl_s4_index_head head = {.version = 2, .next_file_num = 1};
    struct shl_buf out = {0};
    OK(shl_s4_index_begin(&out, &head, &err));
    OK(shl_s4_index_end(&out, 2, &err));
    assert_int_equal(out.len, sizeof empty);
    assert_memory_equal(out.data, empty, sizeof empty);
    for (uint8_t version = 1; version <= 2; version++) {
        struct seen s = {0};
        out.len = 0;
        make_index(version, &out);
        assert_int_equal(out.len, version == 1 ? 9 + 2 * 18 + 7 : 9 + 2 * 22 + 7 + 4);
        OK(shl_s4_index_decode(shl_buf_view(&out), on_head, on_entry, &s, &err));
        assert_true(s.count == 2 && s.head.next_file_num == 7 && s.head.version == version);
        assert_true(s.last.file == (version == 1 ? 6 : UINT64_C(0xcd1b352200000001)));
        assert_true(s.last.offset == UINT64_C(0x100000001) && s.last.length == 23);
    }
    shl_buf_free(&out);
}

static void test_every_cut_and_flip_of_an_index_is_told(void **state)
{
    (void)state;
    for (uint8_t version = 1; version <= 2; version++) {
        struct shl_buf out = {0};
        make_index(version, &out);
        for (size_t n = 0; n < out.len; n++)
            assert_int_equal(shl_s4_index_decode(shl_slice_of(out.data, n), NULL, NULL, NULL, &err),
                             SHALE_CORRUPTION);
        for (size_t bit = 0; version == 2 && bit < 8 * out.len; bit++) {
            out.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            assert_int_equal(
                shl_s4_index_decode(shl_buf_view(&out), NULL, NULL, NULL, &err) == SHALE_OK, 0);
            out.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
        OK(shl_buf_append(&out, "x", 1, &err));
        assert_int_equal(shl_s4_index_decode(shl_buf_view(&out), NULL, NULL, NULL, &err),
                         SHALE_CORRUPTION);
        shl_buf_free(&out);
    }
}

static void test_headers(void **state)
{
    (void)state;
    uint8_t h[SHL_S4_HEADER_BYTES];
    static const uint8_t want[] = {'S', '4', 'D', 'B', 2, 0, 0, 0, 9};
    shl_s4_header(2, 9, h);
    assert_memory_equal(h, want, sizeof want);
    OK(shl_s4_header_check(shl_slice_of(h, sizeof h), &err));
    h[4] = 3;
    assert_int_equal(shl_s4_header_check(shl_slice_of(h, sizeof h), &err), SHALE_CORRUPTION);
    assert_int_equal(shl_s4_header_check(shl_slice_of(h, 8), &err), SHALE_CORRUPTION);
}

/* ---- notes of what is unsynced */

static void test_notes_come_back_and_damage_is_told(void **state)
{
    (void)state;
    struct shl_s4_unsynced u = {.generation = 3};
    struct shl_s4_unsynced back;
    struct shl_buf out = {0};
    struct shl_s4_range r = {.file = UINT64_C(0x0a1b2c3d00000001), .from = 9, .to = 4711};
    assert_true(shl_array_push(&u.ranges, r));
    for (int tried = 0; tried < 2; tried++) {
        out.len = 0;
        u.tried = tried != 0;
        OK(shl_s4_unsynced_encode(&u, &out, &err));
        OK(shl_s4_unsynced_decode(shl_buf_view(&out), &back, &err));
        assert_true(back.generation == 3 && back.ranges.count == 1 && back.tried == u.tried);
        assert_memory_equal(back.ranges.items, &r, sizeof r);
        shl_s4_unsynced_free(&back);
        for (size_t n = 0; n < out.len; n++)
            assert_int_equal(shl_s4_unsynced_decode(shl_slice_of(out.data, n), &back, &err),
                             SHALE_CORRUPTION);
        for (size_t bit = 0; bit < 8 * (out.len - 1); bit++) {
            out.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            assert_int_equal(shl_s4_unsynced_decode(shl_buf_view(&out), &back, &err),
                             SHALE_CORRUPTION);
            out.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
    }
    char name[SHL_S4_NAME_BYTES];
    uint32_t writer = 0;
    shl_s4_unsynced_name(0xabc, ".unsynced", name);
    assert_string_equal(name, "writer_00000abc.unsynced");
    assert_true(shl_s4_unsynced_name_parse(name, &writer));
    assert_int_equal(writer, 0xabc);
    assert_false(shl_s4_unsynced_name_parse("writer_00000abc.lock", &writer));
    assert_false(shl_s4_unsynced_name_parse("writer_00000ABC.unsynced", &writer));
    shl_s4_unsynced_free(&u);
    shl_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_in_both_directions),
        cmocka_unit_test(test_a_record_has_the_bytes_of_s4db),
        cmocka_unit_test(test_values_are_compressed_only_where_that_is_shorter),
        cmocka_unit_test(test_every_cut_and_flip_of_a_record_is_damage),
        cmocka_unit_test(test_unknown_flags_and_deletions_are_no_values),
        cmocka_unit_test(test_steps_over_records),
        cmocka_unit_test(test_indexes_of_both_versions),
        cmocka_unit_test(test_every_cut_and_flip_of_an_index_is_told),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_notes_come_back_and_damage_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
