/* Goal: manifests and changesets of s3db are read as s3db reads them, written byte for byte as it writes them, and whatever is broken is told with its place. Method: worked
 * texts of s3db 2 and 3, every broken rule once, the fixtures there and back, every truncation and bit flip of a changeset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/codec/json.h"
#include "base/env/env.h"
#include "base/num.h"
#include "sql/format/changeset.h"
#include "sql/format/manifest.h"
#include "sql/gc_plan.h"

static shale_error err;

static void expect_round_trip(const char *text, const char *want)
{
    struct shl_sql_manifest m = {0};
    struct shl_buf out = {0};
    assert_int_equal(shl_sql_manifest_decode(shl_slice_str(text), &m, &err), SHALE_OK);
    assert_int_equal(shl_sql_manifest_encode(&m, &out, &err), SHALE_OK);
    assert_int_equal(out.len, strlen(want));
    assert_memory_equal(out.data, want, out.len);
    shl_sql_manifest_free(&m);
    shl_buf_free(&out);
}

#define TWO                                                                                        \
    "{\"format_version\":1,\"seq\":2,\"schema_version\":1,\"snapshot\":{\"key\":\"db/snapshots/"   \
    "s.sqlite\",\"seq\":0,\"size\":8192},"                                                         \
    "\"log\":[{\"key\":\"db/changesets/s/a.bin\",\"seq\":1,\"size\":76},{\"key\":\"db/changesets/" \
    "s/b.bin\",\"seq\":2}]}"
#define NONE                                                                                       \
    "{\"format_version\":1,\"seq\":0,\"schema_version\":0,\"snapshot\":{\"key\":\"k\",\"seq\":0}," \
    "\"log\":null}"

static void test_manifests_come_back_as_s3db_writes_them(void **state)
{
    (void)state;
    expect_round_trip(TWO, TWO);
    expect_round_trip(NONE, NONE);
    expect_round_trip(" { \"seq\" : 0, \"LOG\":[], \"Snapshot\":{\"KEY\":\"k\",\"x\":[1]}, "
                      "\"more\":{} } and what follows",
                      NONE);
    expect_round_trip("{\"seq\":9,\"seq\":0,\"snapshot\":{\"key\":\"k\"}}", NONE);
    expect_round_trip(
        "{\"format_version\":null,\"seq\":0,\"snapshot\":{\"key\":\"k\"},\"log\":null}", NONE);
    expect_round_trip("{\"snapshot\":{\"key\":\"<a>&\\u2028\"}}",
                      "{\"format_version\":1,\"seq\":0,\"schema_version\":0,\"snapshot\":{\"key\":"
                      "\"\\u003ca\\u003e\\u0026\\u2028\",\"seq\":0},\"log\":null}");
}

static void test_broken_manifests_say_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *why;
    } cases[] = {
        {"", "JSON"},
        {"[]", "no JSON object"},
        {"{\"seq\":0}", "snapshot.key is empty"},
        {"{\"snapshot\":{\"key\":\"k\",\"seq\":-1},\"seq\":-1}", "snapshot.seq"},
        {"{\"format_version\":2,\"snapshot\":{\"key\":\"k\"}}", "newer"},
        {"{\"schema_version\":-1,\"snapshot\":{\"key\":\"k\"}}", "schema_version"},
        {"{\"seq\":1,\"snapshot\":{\"key\":\"k\"}}", "seq is 1"},
        {"{\"seq\":1,\"snapshot\":{\"key\":\"k\"},\"log\":[{\"seq\":1}]}", "log[0].key"},
        {"{\"seq\":2,\"snapshot\":{\"key\":\"k\"},\"log\":[{\"key\":\"a\",\"seq\":2}]}",
         "log[0].seq is 2"},
        {"{\"seq\":1.5,\"snapshot\":{\"key\":\"k\"}}", "seq is no whole number"},
        {"{\"seq\":\"1\",\"snapshot\":{\"key\":\"k\"}}", "seq is no whole number"},
        {"{\"snapshot\":{\"key\":7}}", "snapshot.key"},
        {"{\"snapshot\":[]}", "snapshot is no object"},
        {"{\"snapshot\":{\"key\":\"k\"},\"log\":{}}", "log is no array"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_sql_manifest m = {0};
        shale_code rc = shl_sql_manifest_decode(shl_slice_str(cases[i].text), &m, &err);
        if ((rc != SHALE_CORRUPTION && rc != SHALE_NOT_SUPPORTED) ||
            strstr(err.text, cases[i].why) == NULL) {
            print_error("%s: %s\n", cases[i].text, err.text);
            fail();
        }
    }
}

static void test_epochs_are_cut_at_the_last_dot(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"db/snapshots/snap-abc.sqlite", "snap-abc"},
                                           {"snap", "snap"},
                                           {"a.b/.hidden", ".hidden"},
                                           {"a/b.c.d", "b.c"}};
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++)
        assert_true(shl_slice_eq(shl_sql_epoch(cases[i][0]), shl_slice_str(cases[i][1])));
}

/* ---------------------------------------------------------------- changesets */

static const uint8_t delete_row[] = {
    0x54, 4, 1, 0, 0,   0,   'i', 't', 'e', 'm', 's', 0, 9, 0, 1, 0, 0, 0, 0, 0, 0,
    0,    2, 3, 6, 'g', 'a', 'd', 'g', 'e', 't', 1,   0, 0, 0, 0, 0, 0, 0, 1, 5};

static void test_a_changeset_is_walked(void **state)
{
    (void)state;
    struct shl_cs_reader r = shl_cs_reader_of(shl_slice_of(delete_row, sizeof delete_row));
    struct shl_cs_change c;
    struct shl_buf key = {0};
    assert_int_equal(shl_cs_next(&r, &c, &err), SHALE_OK);
    assert_int_equal(c.op, SHL_CS_DELETE);
    assert_int_equal(c.columns, 4);
    assert_true(shl_slice_eq(c.table, shl_slice_str("items")));
    assert_int_equal(shl_cs_key_text(&c, &key, &err), SHALE_OK);
    assert_true(shl_slice_eq(shl_buf_view(&key), shl_slice_str("2")));
    struct shl_slice row = c.old_row;
    assert_int_equal(shl_cs_value_next(&row).integer, 2);
    assert_true(shl_slice_eq(shl_cs_value_next(&row).bytes, shl_slice_str("gadget")));
    assert_int_equal(shl_cs_value_next(&row).integer, 1);
    assert_int_equal(shl_cs_value_next(&row).type, SHL_CS_NULL);
    assert_int_equal(row.len, 0);
    assert_int_equal(shl_cs_next(&r, &c, &err), SHALE_DONE);
    shl_buf_free(&key);
}

/* Each prefix is refused (or empty), and no flipped bit is read beyond the end: the sanitizers see to that. */
static void test_cut_and_flipped_changesets(void **state)
{
    (void)state;
    uint8_t *copy = env_alloc(sizeof delete_row);
    assert_non_null(copy);
    for (size_t n = 1; n < sizeof delete_row; n++) {
        uint8_t *cut = env_alloc(n);
        memcpy(cut, delete_row, n);
        shale_code rc = shl_cs_check(shl_slice_of(cut, n), NULL, &err);
        if (n > 12 ? rc != SHALE_CORRUPTION : rc == SHALE_OK && n != 12)
            fail_msg("cut at %zu: %s", n, shale_code_name(rc));
        if (rc != SHALE_OK)
            assert_non_null(strstr(err.text, "offset"));
        env_free(cut);
    }
    for (size_t bit = 0; bit < 8 * sizeof delete_row; bit++) {
        memcpy(copy, delete_row, sizeof delete_row);
        copy[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        shale_code rc = shl_cs_check(shl_slice_of(copy, sizeof delete_row), NULL, &err);
        assert_true(rc == SHALE_OK || rc == SHALE_CORRUPTION);
    }
    env_free(copy);
}

/* ---------------------------------------------------------------- what the collector takes */

static void test_the_collector_keeps_what_may_be_needed(void **state)
{
    (void)state;
    struct shl_sql_manifest m = {0};
    char current[] = "db/snapshots/snap-new.sqlite", old[] = "db/snapshots/snap-old.sqlite";
    char orphan[] = "db/changesets/snap-new/cs-1.bin", dead[] = "db/changesets/snap-old/cs-2.bin";
    char odd[] = "db/changesets/stray";
    assert_int_equal(shl_sql_manifest_rebase(&m, current, 1, &err), SHALE_OK);
    struct shl_list_item snapshots[] = {{.key = current, .modified_ns = 1000},
                                        {.key = old, .modified_ns = 100}};
    struct shl_list list = {.items = snapshots, .count = 2};
    struct shl_list_item a = {.key = orphan}, b = {.key = dead}, c = {.key = odd};
    struct shl_sql_gc_input in = {.manifest = &m, .prefix = "db/", .now_ns = 1500, .grace_ns = 600};
    assert_int_equal(shl_sql_gc_age(&in, &list), 500);
    assert_false(shl_sql_gc_takes_changeset(&in, 500, &b)); /* the snapshot in force is too young */
    assert_true(shl_sql_gc_takes_changeset(&in, 600, &b));
    assert_false(shl_sql_gc_takes_changeset(&in, -1, &b)); /* nobody knows how long */
    assert_false(
        shl_sql_gc_takes_changeset(&in, 600, &a)); /* may be on its way into the manifest */
    assert_false(shl_sql_gc_takes_changeset(&in, 600, &c));
    assert_true(shl_sql_gc_takes_snapshot(&in, &snapshots[1]));
    assert_false(shl_sql_gc_takes_snapshot(&in, &snapshots[0]));
    in.grace_ns = 1401;
    assert_false(shl_sql_gc_takes_snapshot(&in, &snapshots[1]));
    in.grace_ns = 0;
    assert_true(shl_sql_gc_takes_changeset(&in, -1, &b));
    shl_sql_manifest_free(&m);
}

int main(void)
{
    shl_json_setup(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifests_come_back_as_s3db_writes_them),
        cmocka_unit_test(test_broken_manifests_say_what_is_wrong),
        cmocka_unit_test(test_epochs_are_cut_at_the_last_dot),
        cmocka_unit_test(test_a_changeset_is_walked),
        cmocka_unit_test(test_cut_and_flipped_changesets),
        cmocka_unit_test(test_the_collector_keeps_what_may_be_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
