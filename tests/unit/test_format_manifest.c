/* Goal: manifests keep everything through a round trip and refuse what would mislead a reader. Method: the worked example of
 * slatedb-format 4; a model with every feature, encoded, decoded, cloned; one broken rule per case; damage of every kind. */
#include "lsm/format/manifest.h"

#include "support_format.h"

#include "base/env/env.h"
#include "base/num.h"

static shale_error err;

#define OK(call) assert_int_equal((call), SHALE_OK)

static const char example_hex[] =
    "0002 30000000 000000000000 2600 3000"
    "0000 0000 0700 2000 0000 0000 0000 0000 0800 0c00 1000 2800 1400 0000 0000 1800 1c00"
    "26000000 000000 01 4c000000 44000000 3c000000 30000000 18000000 2c000000"
    "0100000000000000 0000000000000080 0d000000 01 00000000 00000000 00000000 000000"
    "00000000 00000000 00000000 00000000 00000000";

static void test_worked_example_both_ways(void **state)
{
    (void)state;
    struct shl_manifest *m = NULL;
    struct shl_manifest *got = NULL;
    struct shl_buf out = {0};
    OK(shl_manifest_new(&m, &err));
    m->writer_epoch = 1;
    OK(shl_manifest_encode(m, &out, &err));
    format_expect_hex("manifest 2 of a new database", &out, example_hex);
    OK(shl_manifest_decode(shl_buf_view(&out), &got, &err));
    assert_int_equal(got->stored_version, 2);
    assert_int_equal(got->writer_epoch, 1);
    assert_true(got->initialized);
    assert_true(got->last_l0_clock_tick == INT64_MIN);
    assert_true(got->has_sequence_tracker);
    assert_false(got->has_external_dbs);
    shl_manifest_free(got);
    shl_manifest_free(m);
    shl_manifest_free(NULL);
    shl_buf_free(&out);
}

/* ---------------------------------------------------------------- models */

static struct shl_sst_desc *new_sst(uint64_t id, const char *first, const char *last)
{
    struct shl_sst_info info = {.first_entry = shl_slice_str(first),
                                .has_first_entry = true,
                                .has_last_entry = last != NULL,
                                .index_offset = id,
                                .index_len = 50,
                                .filter_format = SHL_FILTER_COMPOSITE};
    struct shl_sst_desc *d = NULL;
    if (last != NULL)
        info.last_entry = shl_slice_str(last);
    OK(shl_sst_desc_new((struct shl_ulid){7, id}, 2, true, &info, &d, &err));
    return d;
}

static void push_l0(struct shl_tree *t, uint64_t id, const char *first, const char *last)
{
    struct shl_sst_desc *d = new_sst(id, first, last);
    OK(shl_tree_push_l0(t, d, &err));
    shl_sst_desc_unref(d);
}

static void push_run(struct shl_tree *t, uint32_t run_id, uint64_t sst_id, const char *first,
                     const char *last)
{
    struct shl_sst_desc *d = new_sst(sst_id, first, last);
    struct shl_run run = {.id = run_id};
    assert_true(shl_array_push(&run.ssts, ((struct shl_sst_view){.id = d->id, .sst = d})));
    assert_true(shl_array_push(&t->runs, run));
}

static void set_bound(struct shl_bound *b, enum shl_bound_type type, const char *key)
{
    b->type = type;
    OK(shl_buf_set(&b->key, key == NULL ? shl_slice_of(NULL, 0) : shl_slice_str(key), &err));
}

static void set_visible(struct shl_sst_view *v, enum shl_bound_type start, const char *start_key,
                        enum shl_bound_type end, const char *end_key)
{
    v->visible = env_calloc(1, sizeof *v->visible);
    assert_non_null(v->visible);
    set_bound(&v->visible->start, start, start_key);
    set_bound(&v->visible->end, end, end_key);
}

static struct shl_manifest *full_manifest(void)
{
    struct shl_manifest *m = NULL;
    struct shl_segment *s = NULL;
    OK(shl_manifest_new(&m, &err));
    m->writer_epoch = 3;
    m->compactor_epoch = 4;
    m->replay_after_wal_id = 5;
    m->wal_id_last_seen = 6;
    m->last_l0_seq = 7;
    m->last_l0_clock_tick = -8;
    m->recent_snapshot_min_seq = 9;
    m->manifest_id_field = 10;
    m->root.has_watermark = true;
    m->root.watermark = (struct shl_ulid){1, 2};
    push_l0(&m->root, 30, "a", "m");
    push_l0(&m->root, 20, "b", "z");
    set_visible(&m->root.l0.items[0], SHL_BOUND_INCLUDED, "c", SHL_BOUND_EXCLUDED, "d");
    set_visible(&m->root.l0.items[1], SHL_BOUND_UNBOUNDED, NULL, SHL_BOUND_INCLUDED, "b");
    m->root.l0.items[0].id = (struct shl_ulid){8, 8};
    push_run(&m->root, 9, 10, "a", NULL);
    push_run(&m->root, 0, 11, "", "");
    OK(shl_manifest_add_segment(m, shl_slice_str("s2"), &s, &err));
    push_l0(&s->tree, 40, "s2a", "s2b");
    OK(shl_manifest_add_segment(m, shl_slice_str("s1"), &s, &err));
    s->tree.has_watermark = true; /* a drain marker */
    m->segment_extractor_name = env_strdup("fixed2");
    assert_true(shl_array_push(
        &m->checkpoints,
        ((struct shl_checkpoint){
            .id = {1, 1}, .manifest_id = 3, .create_s = 5, .name = env_strdup("named")})));
    assert_true(shl_array_push(&m->checkpoints, ((struct shl_checkpoint){.id = {1, 2},
                                                                         .manifest_id = 4,
                                                                         .expire_s = 6,
                                                                         .metadata_type = 1,
                                                                         .writer_epoch = 77})));
    struct shl_external_db e = {
        .path = env_strdup("parent/db"), .has_final_checkpoint = true, .final_checkpoint = {5, 5}};
    assert_true(shl_array_push(&e.sst_ids, ((struct shl_ulid){7, 30})));
    assert_true(shl_array_push(&e.sst_ids, ((struct shl_ulid){7, 99})));
    assert_true(shl_array_push(&m->external_dbs, e));
    return m;
}

static void test_everything_survives_a_round_trip(void **state)
{
    (void)state;
    struct shl_manifest *m = full_manifest();
    struct shl_manifest *got = NULL;
    struct shl_manifest *copy = NULL;
    struct shl_buf first = {0};
    struct shl_buf again = {0};
    OK(shl_manifest_encode(m, &first, &err));
    OK(shl_manifest_decode(shl_buf_view(&first), &got, &err));
    OK(shl_manifest_clone(got, &copy, &err));
    OK(shl_manifest_encode(copy, &again, &err));
    format_expect_bytes("again", shl_buf_view(&again), shl_buf_view(&first));
    assert_true(copy->last_l0_clock_tick == -8);
    assert_int_equal(copy->recent_snapshot_min_seq, 9);
    assert_int_equal(copy->manifest_id_field, 10);
    assert_int_equal(copy->root.l0.count, 2);
    assert_int_equal(copy->root.l0.items[0].sst->id.lo, 20);
    assert_int_equal(copy->root.l0.items[0].id.lo, 8);
    assert_true(
        shl_slice_eq(shl_buf_view(&copy->root.l0.items[0].visible->end.key), shl_slice_str("d")));
    assert_int_equal(copy->root.runs.items[1].id, 0);
    assert_false(copy->root.runs.items[0].ssts.items[0].sst->info.has_last_entry);
    assert_true(copy->root.runs.items[1].ssts.items[0].sst->info.has_last_entry);
    assert_int_equal(copy->segments.count, 2);
    assert_true(shl_slice_eq(shl_buf_view(&copy->segments.items[0].prefix), shl_slice_str("s1")));
    assert_true(copy->segments.items[0].tree.has_watermark);
    assert_string_equal(copy->segment_extractor_name, "fixed2");
    assert_string_equal(copy->checkpoints.items[0].name, "named");
    assert_null(copy->checkpoints.items[1].name);
    assert_int_equal(copy->checkpoints.items[1].writer_epoch, 77);
    assert_string_equal(copy->external_dbs.items[0].path, "parent/db");
    shl_manifest_free(m);
    shl_manifest_free(got);
    shl_manifest_free(copy);
    shl_buf_free(&first);
    shl_buf_free(&again);
}

/* ---------------------------------------------------------------- broken rules */

static void break_unknown_start(struct shl_manifest *m)
{
    m->root.l0.items[0].visible->start.type = SHL_BOUND_EXCLUDED;
}
static void break_bound_type(struct shl_manifest *m)
{
    m->root.l0.items[0].visible->end.type = (enum shl_bound_type)4;
}
static void break_range(struct shl_manifest *m)
{
    set_bound(&m->root.l0.items[0].visible->end, SHL_BOUND_EXCLUDED, "c");
}
static void break_range_outside(struct shl_manifest *m)
{
    set_bound(&m->root.l0.items[0].visible->start, SHL_BOUND_INCLUDED, "zz");
    set_bound(&m->root.l0.items[0].visible->end, SHL_BOUND_UNBOUNDED, NULL);
}
static void break_view_ids(struct shl_manifest *m)
{
    m->root.l0.items[0].id = m->segments.items[1].tree.l0.items[0].id;
}
static void break_antichain(struct shl_manifest *m)
{
    OK(shl_buf_set(&m->segments.items[0].prefix, shl_slice_str("s"), &err));
}
static void break_format_version(struct shl_manifest *m)
{
    m->root.l0.items[0].sst->format_version = 3;
}
static void break_compression(struct shl_manifest *m)
{
    m->root.l0.items[0].sst->info.compression = (enum shl_compression)9;
}

static void test_broken_rules_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*damage)(struct shl_manifest *m);
        const char *text;
    } cases[] = {
        {"range starts excluded", break_unknown_start, "excluded bound"},
        {"bound type", break_bound_type, "bound type 4"},
        {"empty range", break_range, "shows no key"},
        {"range outside the SST", break_range_outside, "shows no key"},
        {"equal view ids", break_view_ids, "same id"},
        {"segment in a segment", break_antichain, "overlap"},
        {"format version", break_format_version, "format version 3"},
        {"compression", break_compression, "compression 9"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_manifest *m = full_manifest();
        struct shl_manifest *got = NULL;
        struct shl_buf out = {0};
        cases[i].damage(m);
        OK(shl_manifest_encode(m, &out, &err));
        shale_code rc = shl_manifest_decode(shl_buf_view(&out), &got, &err);
        if (rc != SHALE_CORRUPTION || strstr(err.text, cases[i].text) == NULL)
            fail_msg("%s: code %d, text %s", cases[i].name, (int)rc, err.text);
        shl_manifest_free(m);
        shl_buf_free(&out);
    }
}

static void test_versions_and_short_files(void **state)
{
    (void)state;
    static const char *const files[] = {"",
                                        "00",
                                        "0002",
                                        "0000",
                                        "0003 08000000 0400 0400 04000000",
                                        "0002 08000000 0400 0400 04000000",
                                        "0001 08000000 0400 0400 04000000"};
    for (size_t i = 0; i < SHL_COUNT_OF(files); i++) {
        struct shl_buf file = format_hex(files[i]);
        struct shl_manifest *m = NULL;
        assert_int_equal(shl_manifest_decode(shl_buf_view(&file), &m, &err), SHALE_CORRUPTION);
        assert_null(m);
        shl_buf_free(&file);
    }
}

/* ---------------------------------------------------------------- ranges */

static void test_effective_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *first, *last;       /* of the SST; last NULL: unknown */
        enum shl_bound_type start, end; /* 0: no visible range */
        const char *start_key, *end_key;
        const char *inside, *outside; /* blank-separated keys */
    } cases[] = {
        {"b", "d", 0, 0, NULL, NULL, "b c d", "a d\x01 e"},
        {"b", NULL, 0, 0, NULL, NULL, "b zzz", "a"},
        {"b", "d", SHL_BOUND_UNBOUNDED, SHL_BOUND_EXCLUDED, NULL, "d", "b c", "a d"},
        {"b", "d", SHL_BOUND_INCLUDED, SHL_BOUND_UNBOUNDED, "c", NULL, "c d", "b bz e"},
        {"b", "d", SHL_BOUND_INCLUDED, SHL_BOUND_INCLUDED, "a", "x", "b d", "a e"},
        {"b", NULL, SHL_BOUND_INCLUDED, SHL_BOUND_INCLUDED, "c", "c", "c", "b c\x01 d"},
        {"b", "d", SHL_BOUND_UNBOUNDED, SHL_BOUND_INCLUDED, NULL, "d", "b d", "e"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_sst_view v = {.sst = new_sst(1, cases[i].first, cases[i].last)};
        struct shl_sst_view copy;
        struct shl_key_range r;
        if (cases[i].start != 0)
            set_visible(&v, cases[i].start, cases[i].start_key, cases[i].end, cases[i].end_key);
        OK(shl_sst_view_copy(&v, &copy, &err));
        shl_sst_view_range(&copy, &r);
        assert_false(shl_key_range_empty(&r));
        for (unsigned inside = 0; inside <= 1; inside++) {
            const char *p = inside ? cases[i].inside : cases[i].outside;
            while (*p != '\0') {
                size_t n = strcspn(p, " ");
                assert_int_equal(shl_key_range_contains(&r, shl_slice_of(p, n)), inside);
                p += n + (p[n] == ' ');
            }
        }
        shl_sst_view_deinit(&copy);
        shl_sst_view_deinit(&v);
    }
}

/* ---------------------------------------------------------------- changes */

static void test_segments_stay_in_order(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"m", "a", "z", "b", "y"};
    struct shl_manifest *m = NULL;
    struct shl_segment *s = NULL;
    OK(shl_manifest_new(&m, &err));
    for (size_t i = 0; i < SHL_COUNT_OF(prefixes); i++) {
        assert_null(shl_manifest_segment(m, shl_slice_str(prefixes[i])));
        OK(shl_manifest_add_segment(m, shl_slice_str(prefixes[i]), &s, &err));
        assert_ptr_equal(shl_manifest_segment(m, shl_slice_str(prefixes[i])), s);
    }
    shl_manifest_remove_segment(m, 2);
    assert_null(shl_manifest_segment(m, shl_slice_str("m")));
    static const char *const want[] = {"a", "b", "y", "z"};
    assert_int_equal(m->segments.count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_true(
            shl_slice_eq(shl_buf_view(&m->segments.items[i].prefix), shl_slice_str(want[i])));
    shl_manifest_free(m);
}

static void test_prune_keeps_external_ssts_that_a_view_names(void **state)
{
    (void)state;
    struct shl_manifest *m = full_manifest();
    struct shl_external_db *e = &m->external_dbs.items[0];
    assert_true(shl_array_push(&e->sst_ids, ((struct shl_ulid){7, 11}))); /* in a run */
    assert_true(shl_array_push(&e->sst_ids, ((struct shl_ulid){7, 40}))); /* in a segment */
    shl_manifest_prune_external(m);
    assert_int_equal(e->sst_ids.count, 3);
    assert_int_equal(e->sst_ids.items[0].lo, 30);
    assert_int_equal(e->sst_ids.items[1].lo, 11);
    assert_int_equal(e->sst_ids.items[2].lo, 40);
    shl_manifest_free(m);
}

/* ---------------------------------------------------------------- damage */

static bool use(struct shl_slice file, void *ctx)
{
    struct shl_manifest *m = NULL;
    struct shl_manifest *again = NULL;
    struct shl_buf one = {0};
    struct shl_buf two = {0};
    (void)ctx;
    if (shl_manifest_decode(file, &m, &err) != SHALE_OK) {
        assert_int_equal(err.code, SHALE_CORRUPTION);
        return false;
    }
    OK(shl_manifest_encode(m, &one, &err));
    OK(shl_manifest_decode(shl_buf_view(&one), &again, &err));
    OK(shl_manifest_encode(again, &two, &err));
    assert_true(shl_slice_eq(shl_buf_view(&one), shl_buf_view(&two)));
    shl_manifest_free(m);
    shl_manifest_free(again);
    shl_buf_free(&one);
    shl_buf_free(&two);
    return true;
}

static void test_damaged_manifests_are_refused_or_whole(void **state)
{
    (void)state;
    struct shl_manifest *m = full_manifest();
    struct shl_buf file = {0};
    OK(shl_manifest_encode(m, &file, &err));
    assert_true(use(shl_buf_view(&file), NULL));
    assert_int_equal(format_truncate_all(shl_buf_view(&file), use, NULL), 0);
    (void)format_flip_all(shl_buf_view(&file), use, NULL);
    shl_manifest_free(m);
    shl_buf_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example_both_ways),
        cmocka_unit_test(test_everything_survives_a_round_trip),
        cmocka_unit_test(test_broken_rules_are_refused),
        cmocka_unit_test(test_versions_and_short_files),
        cmocka_unit_test(test_effective_ranges),
        cmocka_unit_test(test_segments_stay_in_order),
        cmocka_unit_test(test_prune_keeps_external_ssts_that_a_view_names),
        cmocka_unit_test(test_damaged_manifests_are_refused_or_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
