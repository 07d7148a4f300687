/* Readers that keep a checkpoint of their own.
 *
 * Goal: what such a reader shows is covered at any time, it follows, leaves nothing behind, and writes no more than it has to. Method: a writer, a
 * collector without patience and a reader without caches over one bucket; refreshes by hand. */
#include "lsm/keep/checkpoint.h"
#include "lsm/keep/gc.h"
#include "unit/support_db.h"

struct managed {
    struct bench b; /* the writer */
    struct bench r; /* the reader's settings; shares the store */
    struct shl_lsm *reader;
};

static shale_code open_managed(struct managed *m, struct shl_lsm **out)
{
    return try_reader(&m->r, &(struct shl_lsm_reader){.mode = SHL_READER_MANAGED}, out);
}

static void managed_init(struct managed *m)
{
    bench_init(&m->b);
    m->b.settings.gc.enabled = false;
    m->r = m->b;
    m->r.settings.manifest_poll_interval_ns = 250 * ENV_NS_PER_SEC; /* never by itself */
    m->r.settings.block_cache_bytes = m->r.settings.meta_cache_bytes = 0;
    bench_open(&m->b);
    put(&m->b, "a", "1");
    OK(shl_lsm_flush(m->b.db, true, &db_err));
    OK(open_managed(m, &m->reader));
}

static void managed_end(struct managed *m)
{
    OK(shl_lsm_close(m->reader, &db_err));
    bench_end(&m->b);
}

/* How many checkpoints there are, and the id of the last. */
static size_t checkpoints(struct managed *m, struct shl_ulid *last, uint64_t *manifest_id)
{
    struct shl_manifest *newest = newest_manifest(&m->b, manifest_id);
    size_t count = newest->checkpoints.count;
    if (count > 0)
        *last = newest->checkpoints.items[count - 1].id;
    shl_manifest_free(newest);
    return count;
}

static void collect(struct managed *m)
{
    struct shl_gc *gc;
    struct shl_gc_report report;
    struct shl_gc_settings s;
    shl_gc_settings_default(&s);
    for (unsigned i = 0; i < SHL_GC_TASKS; i++)
        s.tasks[i].min_age_ns = 0;
    OK(shl_gc_new(&(struct shl_gc_open){.store = m->b.store, .path = "dir/db", .settings = &s}, &gc,
                  &db_err));
    OK(shl_gc_run(gc, (1U << SHL_GC_TASKS) - 1, &report, &db_err));
    shl_gc_free(gc);
}

static void test_it_comes_and_goes_with_the_reader(void **state)
{
    (void)state;
    struct managed m;
    struct shl_ulid id;
    uint64_t manifest_id;
    managed_init(&m);
    assert_int_equal(checkpoints(&m, &id, &manifest_id), 1);
    OK(shl_lsm_close(m.reader, &db_err));
    assert_int_equal(checkpoints(&m, &id, &manifest_id), 0);
    OK(open_managed(&m, &m.reader));
    expect_all(m.reader, "a=1");
    managed_end(&m);
}

static void test_it_moves_on_with_the_database(void **state)
{
    (void)state;
    struct managed m;
    struct shl_ulid first = {0}, second = {0}, third = {0};
    uint64_t before, after;
    managed_init(&m);
    checkpoints(&m, &first, &before);
    put(&m.b, "b", "2");
    OK(shl_lsm_flush(m.b.db, false, &db_err));
    OK(shl_lsm_refresh(m.reader, &db_err)); /* new rows in the WAL only: no manifest */
    expect_all(m.reader, "a=1 b=2");
    checkpoints(&m, &second, &after);
    assert_true(shl_ulid_eq(first, second) && before == after);
    OK(shl_lsm_flush(m.b.db, true, &db_err));
    OK(shl_lsm_refresh(m.reader, &db_err));
    checkpoints(&m, &second, &after);
    assert_false(shl_ulid_eq(first, second));
    OK(shl_lsm_refresh(m.reader, &db_err)); /* nobody reads the version before any more */
    assert_int_equal(checkpoints(&m, &third, &after), 1);
    assert_true(shl_ulid_eq(second, third));
    before = after;
    OK(shl_lsm_refresh(m.reader, &db_err));
    checkpoints(&m, &third, &after);
    assert_int_equal(before, after);
    expect_all(m.reader, "a=1 b=2");
    managed_end(&m);
}

/* An open scan of the version before is covered too, over compactions and collections. */
static void test_scans_are_covered_to_their_end(void **state)
{
    (void)state;
    struct managed m;
    struct shl_lsm_iter *it;
    uint64_t manifest_id;
    managed_init(&m);
    put(&m.b, "b", "2");
    put(&m.b, "c", "3");
    OK(shl_lsm_flush(m.b.db, true, &db_err));
    OK(shl_lsm_refresh(m.reader, &db_err));
    OK(shl_lsm_scan_open(m.reader, &all_keys, &(struct shl_lsm_scan){0}, &it, &db_err));
    for (int i = 0; i < 4; i++) {
        put(&m.b, "a", "9");
        OK(shl_lsm_flush(m.b.db, true, &db_err));
        m.b.settings.compactor_checkpoint_lifetime_ns =
            0; /* the compactor's own is not relied on */
        compact(&m.b);
        OK(shl_lsm_refresh(m.reader, &db_err));
        collect(&m);
    }
    assert_string_equal(rows_of(it), "a=1 b=2 c=3");
    shl_lsm_iter_close(it);
    expect_all(m.reader, "a=9 b=2 c=3");
    OK(shl_lsm_refresh(m.reader, &db_err));
    OK(shl_lsm_close(m.reader, &db_err));
    struct shl_manifest *newest = newest_manifest(&m.b, &manifest_id);
    for (size_t i = 0; i < newest->checkpoints.count; i++)
        assert_true(newest->checkpoints.items[i].expire_s != 0);
    shl_manifest_free(newest);
    OK(open_managed(&m, &m.reader));
    managed_end(&m);
}

static void test_it_is_made_again_if_it_vanished(void **state)
{
    (void)state;
    struct managed m;
    struct shl_ulid id = {0}, again = {0};
    uint64_t manifest_id;
    struct shl_manifests out;
    char text[SHL_UUID_TEXT];
    managed_init(&m);
    checkpoints(&m, &id, &manifest_id);
    shl_uuid_format(id, text);
    OK(shl_manifests_init(&out, m.b.store, "dir/db", false, &db_err));
    OK(shl_checkpoint_delete(&out, text, &id, &db_err));
    shl_manifests_deinit(&out);
    OK(shl_lsm_refresh(m.reader, &db_err));
    assert_int_equal(checkpoints(&m, &again, &manifest_id), 1);
    assert_false(shl_ulid_eq(id, again));
    collect(&m);
    expect_all(m.reader, "a=1");
    managed_end(&m);
}

static void test_it_is_renewed_before_it_expires(void **state)
{
    (void)state;
    struct managed m;
    uint64_t id, after;
    managed_init(&m);
    struct shl_manifest *newest = newest_manifest(&m.b, &id);
    uint32_t promised = newest->checkpoints.items[0].expire_s;
    newest->checkpoints.items[0].expire_s -= 400; /* more than half of its life is over */
    write_manifest(&m.b, newest, id + 1);
    shl_manifest_free(newest);
    OK(shl_lsm_refresh(m.reader, &db_err));
    newest = newest_manifest(&m.b, &after);
    assert_int_equal(newest->checkpoints.count, 1);
    assert_true(newest->checkpoints.items[0].expire_s >= promised);
    assert_int_equal(after, id + 2);
    shl_manifest_free(newest);
    OK(shl_lsm_refresh(m.reader, &db_err)); /* once is enough */
    shl_manifest_free(newest_manifest(&m.b, &id));
    assert_int_equal(id, after);
    managed_end(&m);
}

/* One that goes in the same update must not move the new time to a neighbour. */
static void test_renewing_touches_no_other_checkpoint(void **state)
{
    (void)state;
    struct managed m;
    struct shl_lsm_iter *it = NULL;
    uint64_t id;
    managed_init(&m);
    OK(shl_lsm_scan_open(m.reader, &(struct shl_lsm_range){0}, &(struct shl_lsm_scan){0}, &it,
                         &db_err));
    put(&m.b, "b", "2");
    OK(shl_lsm_flush(m.b.db, true, &db_err));
    OK(shl_lsm_refresh(m.reader, &db_err)); /* the scan's checkpoint stays, and there is another */
    struct shl_manifest *newest = newest_manifest(&m.b, &id);
    assert_int_equal(newest->checkpoints.count, 2);
    newest->checkpoints.items[1].expire_s -= 400;
    struct shl_checkpoint for_ever = {.id = shl_uuid_make(1, 2), .manifest_id = id};
    assert_true(shl_array_push(&newest->checkpoints, for_ever));
    write_manifest(&m.b, newest, id + 1);
    uint32_t shortened = newest->checkpoints.items[1].expire_s;
    struct shl_ulid own = newest->checkpoints.items[1].id;
    shl_manifest_free(newest);
    shl_lsm_iter_close(it);
    OK(shl_lsm_refresh(m.reader, &db_err));
    newest = newest_manifest(&m.b, &id);
    assert_int_equal(newest->checkpoints.count, 2);
    assert_true(shl_ulid_eq(newest->checkpoints.items[0].id, own));
    assert_true(newest->checkpoints.items[0].expire_s > shortened);
    assert_true(shl_ulid_eq(newest->checkpoints.items[1].id, for_ever.id));
    assert_int_equal(newest->checkpoints.items[1].expire_s, 0);
    shl_manifest_free(newest);
    managed_end(&m);
}

static void test_lifetimes_that_are_too_short(void **state)
{
    (void)state;
    static const struct {
        uint64_t life_ms, poll_ms;
        shale_code want;
    } cases[] = {{999, 100, SHALE_INVALID},
                 {1000, 500, SHALE_OK},
                 {1999, 1000, SHALE_INVALID},
                 {2000, 1000, SHALE_OK}};
    struct managed m;
    managed_init(&m);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shl_lsm *r = NULL;
        m.r.settings.checkpoint_lifetime_ns = cases[i].life_ms * ENV_NS_PER_MS;
        m.r.settings.manifest_poll_interval_ns = cases[i].poll_ms * ENV_NS_PER_MS;
        CHECK(open_managed(&m, &r) == cases[i].want, "case %zu", i);
        OK(shl_lsm_close(r, &db_err));
    }
    managed_end(&m);
}

static void test_without_the_wal(void **state)
{
    (void)state;
    struct managed m;
    struct shl_lsm *r;
    managed_init(&m);
    put(&m.b, "b", "2");
    OK(shl_lsm_flush(m.b.db, false, &db_err));
    OK(try_reader(&m.b, &(struct shl_lsm_reader){.skip_wal_replay = true}, &r));
    expect_all(r, "a=1");
    OK(shl_lsm_close(r, &db_err));
    OK(try_reader(&m.b, &(struct shl_lsm_reader){.mode = SHL_READER_LATEST}, &r));
    expect_all(r, "a=1 b=2");
    OK(shl_lsm_close(r, &db_err));
    managed_end(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_comes_and_goes_with_the_reader),
        cmocka_unit_test(test_it_moves_on_with_the_database),
        cmocka_unit_test(test_scans_are_covered_to_their_end),
        cmocka_unit_test(test_it_is_made_again_if_it_vanished),
        cmocka_unit_test(test_it_is_renewed_before_it_expires),
        cmocka_unit_test(test_renewing_touches_no_other_checkpoint),
        cmocka_unit_test(test_lifetimes_that_are_too_short),
        cmocka_unit_test(test_without_the_wal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
