/* Goal: the sequence tracker's bits. Method: the examples of slatedb-format 5; differences at every border of the code, both
 * versions, both ways; the 60-second rule and thinning out; damage of every kind. */
#include "lsm/format/manifest.h"

#include "support_format.h"

#include "base/env/env.h"
#include "base/num.h"

static shale_error err;

#define OK(call) assert_int_equal((call), SHALE_OK)

static void expect_round_trip(const struct shl_seq_point *points, size_t count, const char *hex,
                              unsigned version)
{
    struct shl_seq_tracker t = {.points = {0}};
    struct shl_seq_tracker got;
    struct shl_buf out = {0};
    for (size_t i = 0; i < count; i++)
        assert_true(shl_array_push(&t.points, points[i]));
    OK(shl_seq_tracker_encode(&t, &out, &err));
    if (hex != NULL)
        format_expect_hex("tracker", &out, hex);
    assert_int_equal(out.data[0], version);
    OK(shl_seq_tracker_decode(shl_buf_view(&out), &got, &err));
    assert_int_equal(got.points.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_true(got.points.items[i].seq == points[i].seq);
        assert_true(got.points.items[i].unix_s == points[i].unix_s);
    }
    shl_seq_tracker_deinit(&t);
    shl_seq_tracker_deinit(&got);
    shl_buf_free(&out);
}

static void test_examples(void **state)
{
    (void)state;
    static const struct shl_seq_point one[] = {{1, 1795193682}};
    static const struct shl_seq_point five[] = {
        {1, 1795194817}, {2, 1795194878}, {152, 1795194941}, {192, 1795195006}, {3192, 1795195074}};
    expect_round_trip(NULL, 0, "01 00000000 00000000 00000000", 1);
    expect_round_trip(one, 1, "01 01000000 | 00000001 0000000000000001 | 00000001 000000006b007b52",
                      1);
    expect_round_trip(five, SHL_COUNT_OF(five),
                      "01 05000000 | 00000005 0000000000000001 80e4aec97800005c80 | 00000005 "
                      "000000006b007fc1 9ec0a05030",
                      1);
}

static void test_every_width_at_its_border(void **state)
{
    (void)state;
    static const int64_t dods[] = {0,     1,     62,    63,   64,        65,   254,  255,  256,
                                   2046,  2047,  2048,  -1,   -63,       -64,  -65,  -255, -256,
                                   -2047, -2048, -2049, 4096, INT32_MAX, -100, 70000};
    struct shl_seq_point points[SHL_COUNT_OF(dods) + 1] = {{.seq = 5, .unix_s = -1000000}};
    uint64_t delta = 0;
    for (size_t i = 0; i < SHL_COUNT_OF(dods); i++) {
        delta = (int64_t)delta + dods[i] < 0 ? 0 : delta + (uint64_t)dods[i];
        points[i + 1].seq = points[i].seq + delta;
        points[i + 1].unix_s = points[i].unix_s + (int64_t)delta;
    }
    expect_round_trip(points, SHL_COUNT_OF(points), NULL, 1);
}

static void test_version_2_only_where_32_bits_do_not_do(void **state)
{
    (void)state;
    static const struct shl_seq_point largest[] = {{1, 0}, {1 + (uint64_t)INT32_MAX, 60}};
    static const struct shl_seq_point beyond[] = {
        {1, 0}, {2 + (uint64_t)INT32_MAX, 60}, {UINT64_MAX, 120}};
    static const struct shl_seq_point times[] = {{1, INT64_MIN}, {2, INT64_MAX}};
    expect_round_trip(largest, SHL_COUNT_OF(largest), NULL, 1);
    expect_round_trip(beyond, SHL_COUNT_OF(beyond), NULL, 2);
    expect_round_trip(times, SHL_COUNT_OF(times), NULL, 1); /* the difference wraps to -1 */
}

static void test_bad_trackers_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *name, *hex, *text;
    } cases[] = {
        {"empty", "", "0 bytes"},
        {"version 0", "00 00000000 00000000 00000000", "version 0"},
        {"version 3", "03 00000000 00000000 00000000", "version 3"},
        {"no series", "01 00000000", "series of 0"},
        {"one series", "01 00000000 00000000", "series of"},
        {"other count", "01 01000000 00000002 0000000000000001 00000001 000000006b007b52",
         "series of 2, want 1"},
        {"cut first value", "01 01000000 00000001 00000000000000", "ends at 0 of 1"},
        {"cut dod", "01 02000000 00000002 0000000000000001", "ends at 1 of 2"},
        {"huge count", "01 ffffffff ffffffff 0000000000000001", "4294967295 points"},
        {"bytes left over", "01 00000000 00000000 00000000 00", "ends at byte 13 of 14"},
        {"seq backwards", "01 02000000 00000002 0000000000000005 bf80 00000002 0000000000000000 00",
         "point 1 is before"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_buf bytes = format_hex(cases[i].hex);
        struct shl_seq_tracker t;
        shale_code rc = shl_seq_tracker_decode(shl_buf_view(&bytes), &t, &err);
        if (rc != SHALE_CORRUPTION || strstr(err.text, cases[i].text) == NULL)
            fail_msg("%s: code %d, text %s", cases[i].name, (int)rc, err.text);
        shl_buf_free(&bytes);
    }
}

static void test_sixty_second_rule(void **state)
{
    (void)state;
    struct shl_seq_tracker t = {.points = {0}};
    OK(shl_seq_tracker_add(&t, 10, 1000, &err));
    OK(shl_seq_tracker_add(&t, 11, 1059, &err)); /* too soon */
    assert_int_equal(t.points.count, 1);
    OK(shl_seq_tracker_add(&t, 12, 1060, &err));
    assert_int_equal(t.points.count, 2);
    OK(shl_seq_tracker_add(&t, 13, 500, &err)); /* the clock went back */
    OK(shl_seq_tracker_add(&t, 5, 2000, &err)); /* an older commit */
    assert_int_equal(t.points.count, 2);
    OK(shl_seq_tracker_add(&t, 12, INT64_MAX, &err));
    assert_int_equal(t.points.count, 3);
    shl_seq_tracker_deinit(&t);
}

static void test_thinned_out_past_the_limit(void **state)
{
    (void)state;
    struct shl_seq_tracker t = {.points = {0}};
    for (uint64_t i = 0; i < SHL_SEQ_TRACKER_MAX; i++)
        OK(shl_seq_tracker_add(&t, i, (int64_t)(60 * i), &err));
    assert_int_equal(t.points.count, SHL_SEQ_TRACKER_MAX);
    OK(shl_seq_tracker_add(&t, SHL_SEQ_TRACKER_MAX, INT64_C(60) * SHL_SEQ_TRACKER_MAX, &err));
    assert_int_equal(t.points.count, SHL_SEQ_TRACKER_MAX / 2 + 1);
    assert_int_equal(t.points.items[1].seq, 2);
    assert_int_equal(t.points.items[t.points.count - 1].seq, SHL_SEQ_TRACKER_MAX);
    shl_seq_tracker_deinit(&t);
}

static bool use(struct shl_slice bytes, void *ctx)
{
    struct shl_seq_tracker t;
    struct shl_buf out = {0};
    (void)ctx;
    if (shl_seq_tracker_decode(bytes, &t, &err) != SHALE_OK)
        return false;
    OK(shl_seq_tracker_encode(&t, &out, &err));
    shl_seq_tracker_deinit(&t);
    shl_buf_free(&out);
    return true;
}

static void test_damaged_trackers_are_refused_or_whole(void **state)
{
    (void)state;
    struct shl_buf bytes = format_hex("01 05000000 00000005 0000000000000001 80e4aec97800005c80 "
                                      "00000005 000000006b007fc1 9ec0a05030");
    assert_true(use(shl_buf_view(&bytes), NULL));
    assert_int_equal(format_truncate_all(shl_buf_view(&bytes), use, NULL), 0);
    (void)format_flip_all(shl_buf_view(&bytes), use, NULL);
    shl_buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_every_width_at_its_border),
        cmocka_unit_test(test_version_2_only_where_32_bits_do_not_do),
        cmocka_unit_test(test_bad_trackers_are_refused_with_a_reason),
        cmocka_unit_test(test_sixty_second_rule),
        cmocka_unit_test(test_thinned_out_past_the_limit),
        cmocka_unit_test(test_damaged_trackers_are_refused_or_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
