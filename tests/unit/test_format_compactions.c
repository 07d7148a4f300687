/* Goal: compactions files keep everything through a round trip. Method: the 26-byte file of slatedb-format 6; a model with both
 * kinds of job in several states; a version 1 file; broken rules; damage of every kind. */
#include "lsm/format/compactions.h"

#include "support_format.h"

#include "base/env/env.h"
#include "base/num.h"

static shale_error err;

#define OK(call) assert_int_equal((call), SHALE_OK)

static void test_empty_file_is_26_bytes(void **state)
{
    (void)state;
    struct shl_compactions *c = NULL;
    struct shl_compactions *got = NULL;
    struct shl_buf out = {0};
    OK(shl_compactions_new(&c, &err));
    OK(shl_compactions_encode(c, &out, &err));
    format_expect_hex("empty", &out, "0002 0c000000 08000800 00000400 08000000 04000000 00000000");
    OK(shl_compactions_decode(shl_buf_view(&out), &got, &err));
    assert_int_equal(got->jobs.count, 0);
    assert_int_equal(got->compactor_epoch, 0);
    assert_int_equal(got->stored_version, 2);
    shl_compactions_free(c);
    shl_compactions_free(got);
    shl_compactions_free(NULL);
    shl_buf_free(&out);
}

static struct shl_sst_desc *new_sst(uint64_t id)
{
    struct shl_sst_info info = {
        .first_entry = shl_slice_str("a"), .has_first_entry = true, .index_len = id};
    struct shl_sst_desc *d = NULL;
    OK(shl_sst_desc_new((struct shl_ulid){3, id}, 2, true, &info, &d, &err));
    return d;
}

static struct shl_compactions *full(void)
{
    struct shl_compactions *c = NULL;
    OK(shl_compactions_new(&c, &err));
    c->compactor_epoch = 17;
    struct shl_compaction tiered = {.id = {1, 1},
                                    .kind = SHL_COMPACTION_TIERED,
                                    .destination = 4,
                                    .status = SHL_COMPACTION_RUNNING,
                                    .worker_id = env_strdup("worker-1"),
                                    .worker_heartbeat_ms = 1234,
                                    .has_context = true,
                                    .retention_min_seq = 99};
    assert_true(shl_array_push(&tiered.l0_view_ids, ((struct shl_ulid){2, 1})));
    assert_true(shl_array_push(&tiered.l0_view_ids, ((struct shl_ulid){2, 0})));
    assert_true(shl_array_push(&tiered.runs, 6));
    assert_true(shl_array_push(&tiered.runs, 4));
    struct shl_subcompaction sub = {
        .completed = true,
        .range = {.start = {.type = SHL_BOUND_UNBOUNDED}, .end = {.type = SHL_BOUND_EXCLUDED}}};
    OK(shl_buf_set(&sub.range.end.key, shl_slice_str("m"), &err));
    assert_true(shl_array_push(&sub.outputs, new_sst(1)));
    assert_true(shl_array_push(&tiered.subcompactions, sub));
    sub = (struct shl_subcompaction){
        .range = {.start = {.type = SHL_BOUND_INCLUDED}, .end = {.type = SHL_BOUND_UNBOUNDED}}};
    OK(shl_buf_set(&sub.range.start.key, shl_slice_str("m"), &err));
    assert_true(shl_array_push(&tiered.subcompactions, sub));
    assert_true(shl_array_push(&c->jobs, tiered));

    struct shl_compaction drain = {
        .id = {1, 2}, .kind = SHL_COMPACTION_DRAIN, .status = SHL_COMPACTION_COMPLETED};
    OK(shl_buf_set(&drain.segment, shl_slice_str("seg"), &err));
    assert_true(shl_array_push(&drain.runs, 0));
    assert_true(shl_array_push(&c->jobs, drain));

    struct shl_compaction done = {
        .id = {1, 3}, .kind = SHL_COMPACTION_TIERED, .status = SHL_COMPACTION_COMPACTED};
    assert_true(shl_array_push(&done.outputs, new_sst(2)));
    assert_true(shl_array_push(&done.outputs, new_sst(3)));
    assert_true(shl_array_push(&c->jobs, done));
    return c;
}

static void test_everything_survives_a_round_trip(void **state)
{
    (void)state;
    struct shl_compactions *c = full();
    struct shl_compactions *got = NULL;
    struct shl_compactions *copy = NULL;
    struct shl_buf first = {0};
    struct shl_buf again = {0};
    OK(shl_compactions_encode(c, &first, &err));
    OK(shl_compactions_decode(shl_buf_view(&first), &got, &err));
    OK(shl_compactions_clone(got, &copy, &err));
    OK(shl_compactions_encode(copy, &again, &err));
    format_expect_bytes("again", shl_buf_view(&again), shl_buf_view(&first));
    assert_int_equal(copy->compactor_epoch, 17);
    assert_int_equal(copy->jobs.count, 3);
    const struct shl_compaction *j = &copy->jobs.items[0];
    assert_int_equal(j->l0_view_ids.items[0].lo, 1);
    assert_int_equal(j->runs.items[1], 4);
    assert_int_equal(j->destination, 4);
    assert_string_equal(j->worker_id, "worker-1");
    assert_int_equal(j->worker_heartbeat_ms, 1234);
    assert_int_equal(j->retention_min_seq, 99);
    assert_true(j->subcompactions.items[0].completed);
    assert_int_equal(j->subcompactions.items[0].outputs.items[0]->id.lo, 1);
    assert_false(j->subcompactions.items[1].has_outputs);
    assert_int_equal(j->subcompactions.items[1].range.start.type, SHL_BOUND_INCLUDED);
    assert_int_equal(copy->jobs.items[1].kind, SHL_COMPACTION_DRAIN);
    assert_true(shl_slice_eq(shl_buf_view(&copy->jobs.items[1].segment), shl_slice_str("seg")));
    assert_null(copy->jobs.items[1].worker_id);
    assert_int_equal(copy->jobs.items[2].outputs.count, 2);
    assert_false(copy->jobs.items[2].has_context);
    shl_compactions_free(c);
    shl_compactions_free(got);
    shl_compactions_free(copy);
    shl_buf_free(&first);
    shl_buf_free(&again);
}

static void test_version_1_takes_the_lowest_run_as_destination(void **state)
{
    (void)state;
    struct shl_compactions *c = full();
    struct shl_compactions *got = NULL;
    struct shl_buf out = {0};
    c->jobs.items[0].destination = 77;
    OK(shl_compactions_encode(c, &out, &err));
    out.data[1] = 1;
    OK(shl_compactions_decode(shl_buf_view(&out), &got, &err));
    assert_int_equal(got->stored_version, 1);
    assert_int_equal(got->jobs.items[0].destination, 4);
    assert_int_equal(got->jobs.items[2].destination, 0);
    shl_compactions_free(c);
    shl_compactions_free(got);
    shl_buf_free(&out);
}

static void break_status(struct shl_compactions *c)
{
    c->jobs.items[1].status = (enum shl_compaction_status)6;
}
static void break_kind(struct shl_compactions *c)
{
    c->jobs.items[1].kind = (enum shl_compaction_kind)3;
}
static void break_drain_of_root(struct shl_compactions *c)
{
    c->jobs.items[1].segment.len = 0;
}
static void break_bound(struct shl_compactions *c)
{
    c->jobs.items[0].subcompactions.items[0].range.start.type = (enum shl_bound_type)0;
}

static void test_broken_rules_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*damage)(struct shl_compactions *c);
        const char *text;
    } cases[] = {
        {"status", break_status, "status 6"},
        {"kind", break_kind, "union type 3"},
        {"drain of the root", break_drain_of_root, "root tree"},
        {"bound", break_bound, "bound type 0"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_compactions *c = full();
        struct shl_compactions *got = NULL;
        struct shl_buf out = {0};
        cases[i].damage(c);
        OK(shl_compactions_encode(c, &out, &err));
        shale_code rc = shl_compactions_decode(shl_buf_view(&out), &got, &err);
        if (rc != SHALE_CORRUPTION || strstr(err.text, cases[i].text) == NULL)
            fail_msg("%s: code %d, text %s", cases[i].name, (int)rc, err.text);
        shl_compactions_free(c);
        shl_buf_free(&out);
    }
}

static bool use(struct shl_slice file, void *ctx)
{
    struct shl_compactions *c = NULL;
    struct shl_compactions *again = NULL;
    struct shl_buf one = {0};
    struct shl_buf two = {0};
    (void)ctx;
    if (shl_compactions_decode(file, &c, &err) != SHALE_OK) {
        assert_int_equal(err.code, SHALE_CORRUPTION);
        return false;
    }
    OK(shl_compactions_encode(c, &one, &err));
    OK(shl_compactions_decode(shl_buf_view(&one), &again, &err));
    OK(shl_compactions_encode(again, &two, &err));
    assert_true(shl_slice_eq(shl_buf_view(&one), shl_buf_view(&two)));
    shl_compactions_free(c);
    shl_compactions_free(again);
    shl_buf_free(&one);
    shl_buf_free(&two);
    return true;
}

static void test_damaged_files_are_refused_or_whole(void **state)
{
    (void)state;
    struct shl_compactions *c = full();
    struct shl_buf file = {0};
    OK(shl_compactions_encode(c, &file, &err));
    assert_true(use(shl_buf_view(&file), NULL));
    (void)format_truncate_all(shl_buf_view(&file), use, NULL);
    (void)format_flip_all(shl_buf_view(&file), use, NULL);
    shl_compactions_free(c);
    shl_buf_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_file_is_26_bytes),
        cmocka_unit_test(test_everything_survives_a_round_trip),
        cmocka_unit_test(test_version_1_takes_the_lowest_run_as_destination),
        cmocka_unit_test(test_broken_rules_are_refused),
        cmocka_unit_test(test_damaged_files_are_refused_or_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
