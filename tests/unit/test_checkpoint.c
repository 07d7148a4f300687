/* Checkpoints: those of an open writer and those that need none.
 *
 * Goal: a checkpoint shows one moment whatever is written, flushed and published around it; ids, names, sources, expiry and their errors are as
 * documented. Method: a database in memory; readers pinned to the checkpoints. */
#include "lsm/keep/checkpoint.h"
#include "unit/support_db.h"

static struct shl_lsm *reader_at(struct bench *b, const char *checkpoint)
{
    struct shl_lsm *r;
    OK(try_reader(
        b, &(struct shl_lsm_reader){.mode = SHL_READER_CHECKPOINT, .checkpoint = checkpoint}, &r));
    return r;
}

static void expect_at(struct bench *b, const char *checkpoint, const char *rows)
{
    struct shl_lsm *r = reader_at(b, checkpoint);
    expect_all(r, rows);
    OK(shl_lsm_close(r, &db_err));
}

static struct shl_lsm_checkpoint *begin(struct bench *b, const char *name, bool durable_only)
{
    struct shl_lsm_checkpoint *c;
    OK(shl_lsm_checkpoint_begin(
        b->db, &(struct shl_lsm_checkpoint_how){.name = name, .durable_only = durable_only}, &c,
        &db_err));
    return c;
}

static uint64_t wait_for(struct shl_lsm_checkpoint *c)
{
    uint64_t manifest_id;
    OK(shl_lsm_checkpoint_wait(c, &manifest_id, &db_err));
    shl_lsm_checkpoint_free(c);
    return manifest_id;
}

static void test_all_holds_what_was_written_before_the_call(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "1");
    struct shl_lsm_checkpoint *c = begin(&b, "one", false);
    put(&b, "a", "2");
    put(&b, "b", "2");
    wait_for(c);
    OK(shl_lsm_flush(b.db, true, &db_err));
    expect_at(&b, "one", "a=1");
    bench_close(&b);
    expect_at(&b, "one", "a=1");
    bench_end(&b);
}

/* Rows above the bound that are in the WAL, or in a table that could be published first, do not get in. */
static void test_later_rows_do_not_get_in(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    bench_open(&b);
    for (int round = 0; round < 20; round++) {
        char name[16], want[32], value[16];
        snprintf(name, sizeof name, "c%d", round);
        snprintf(value, sizeof value, "%d", round);
        snprintf(want, sizeof want, "a=%d", round);
        put(&b, "a", value);
        struct shl_lsm_checkpoint *c = begin(&b, name, false);
        put(&b, "a", "later");
        OK(shl_lsm_flush(b.db, round % 2 == 0, &db_err));
        put(&b, "a", "latest");
        OK(shl_lsm_flush(b.db, false, &db_err));
        wait_for(c);
        expect_at(&b, name, want);
        if (round % 3 == 2) /* else L0 would be full */
            compact(&b);
    }
    for (int round = 0; round < 20; round++) {
        char name[16], want[32];
        snprintf(name, sizeof name, "c%d", round);
        snprintf(want, sizeof want, "a=%d", round);
        expect_at(&b, name, want);
    }
    bench_end(&b);
}

static void test_durable_holds_what_is_durable_and_flushes_nothing(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "1");
    OK(shl_lsm_flush(b.db, false, &db_err));
    put(&b, "b", "2");
    wait_for(begin(&b, "durable", true));
    expect_at(&b, "durable", "a=1");
    assert_int_equal(status_of(b.db).l0_count, 0);
    wait_for(begin(&b, "all", false));
    expect_at(&b, "all", "a=1 b=2");
    bench_end(&b);
}

static void test_the_wal_may_be_off(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    b.settings.wal_enabled = false;
    bench_open(&b);
    put(&b, "a", "1");
    wait_for(begin(&b, "durable", true));
    expect_at(&b, "durable", "");
    wait_for(begin(&b, "all", false));
    expect_at(&b, "all", "a=1");
    bench_end(&b);
}

/* The handle of a checkpoint outlives that of the database. */
static void test_begun_is_done_at_close(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "1");
    struct shl_lsm_checkpoint *c = begin(&b, NULL, false);
    char id[SHL_UUID_TEXT];
    shl_uuid_format(shl_lsm_checkpoint_id(c), id);
    bench_close(&b);
    assert_true(wait_for(c) > 1);
    expect_at(&b, id, "a=1");
    bench_end(&b);
}

static void test_a_fenced_writer_makes_none(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    bench_open(&b);
    struct shl_lsm *old = b.db, *fresh;
    OK(try_open(&b, &fresh));
    struct shl_lsm_checkpoint *c;
    uint64_t manifest_id;
    OK(shl_lsm_checkpoint_begin(old, &(struct shl_lsm_checkpoint_how){.durable_only = true}, &c,
                                &db_err));
    FAILS(shl_lsm_checkpoint_wait(c, &manifest_id, &db_err), SHALE_FENCED);
    shl_lsm_checkpoint_free(c);
    FAILS(shl_lsm_checkpoint_begin(old, &(struct shl_lsm_checkpoint_how){0}, &c, &db_err),
          SHALE_FENCED);
    OK(shl_lsm_close(old, &db_err));
    b.db = fresh;
    bench_end(&b);
}

static void test_sources_and_readers_handles(void **state)
{
    (void)state;
    struct bench b;
    struct shl_lsm_checkpoint *c;
    uint64_t manifest_id;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "1");
    uint64_t first = wait_for(begin(&b, "one", false));
    put(&b, "a", "2");
    OK(shl_lsm_checkpoint_begin(
        b.db, &(struct shl_lsm_checkpoint_how){.name = "two", .source = "one"}, &c, &db_err));
    assert_int_equal(wait_for(c), first);
    expect_at(&b, "two", "a=1");
    OK(shl_lsm_checkpoint_begin(b.db, &(struct shl_lsm_checkpoint_how){.source = "none"}, &c,
                                &db_err));
    FAILS(shl_lsm_checkpoint_wait(c, &manifest_id, &db_err), SHALE_NOT_FOUND);
    shl_lsm_checkpoint_free(c);
    put(&b, "b", "3"); /* the handle goes on */
    struct shl_lsm *r = reader_at(&b, "one");
    FAILS(shl_lsm_checkpoint_begin(r, &(struct shl_lsm_checkpoint_how){0}, &c, &db_err),
          SHALE_INVALID);
    OK(shl_lsm_close(r, &db_err));
    bench_end(&b);
}

/* ---------------------------------------------------------------- without a writer */

struct outside {
    struct bench b;
    struct shl_manifests m;
};

static void outside_init(struct outside *o)
{
    bench_init(&o->b);
    OK(shl_manifests_init(&o->m, o->b.store, "dir/db", false, &db_err));
}

static void outside_end(struct outside *o)
{
    shl_manifests_deinit(&o->m);
    bench_end(&o->b);
}

static struct shl_checkpoint_want want_of(const char *name)
{
    return (struct shl_checkpoint_want){
        .id = shl_checkpoint_new_id(), .now_ms = env_now_wall_ms(), .name = name};
}

static void test_detached_ones_beside_a_writer(void **state)
{
    (void)state;
    struct outside o;
    uint64_t manifest_id;
    struct shl_ulid id;
    outside_init(&o);
    struct shl_checkpoint_want want = want_of("one");
    FAILS(shl_checkpoint_create(&o.m, &want, &manifest_id, &db_err), SHALE_NOT_FOUND);
    bench_open(&o.b);
    put(&o.b, "a", "1");
    OK(shl_lsm_flush(o.b.db, true, &db_err));
    OK(shl_checkpoint_create(&o.m, &want, &manifest_id, &db_err));
    assert_int_equal(manifest_id, o.m.versions.id);
    put(&o.b, "a", "2");
    OK(shl_lsm_flush(o.b.db, true, &db_err)); /* the writer meets the new manifest, and keeps it */
    expect_at(&o.b, "one", "a=1");
    OK(shl_checkpoint_refresh(&o.m, "one", 1500, &id, &db_err));
    assert_true(shl_ulid_eq(id, want.id));
    uint32_t expires = shl_checkpoint_at(o.m.newest, id)->expire_s;
    assert_true((int64_t)expires * 1000 >= env_now_wall_ms() - 10000 + 1500);
    OK(shl_checkpoint_refresh(&o.m, "one", 0, &id, &db_err));
    assert_int_equal(shl_checkpoint_at(o.m.newest, id)->expire_s, 0);
    FAILS(shl_checkpoint_refresh(&o.m, "none", 0, &id, &db_err), SHALE_NOT_FOUND);
    OK(shl_checkpoint_delete(&o.m, "one", &id, &db_err));
    uint64_t after = o.m.versions.id;
    FAILS(shl_checkpoint_delete(&o.m, "one", &id, &db_err), SHALE_NOT_FOUND);
    assert_int_equal(o.m.versions.id, after); /* no manifest for nothing */
    put(&o.b, "b", "3");
    bench_reopen(&o.b);
    expect_all(o.b.db, "a=2 b=3");
    outside_end(&o);
}

static void test_two_of_one_name_are_told_apart_by_id(void **state)
{
    (void)state;
    struct outside o;
    uint64_t manifest_id;
    struct shl_ulid id;
    char text[SHL_UUID_TEXT];
    outside_init(&o);
    bench_open(&o.b);
    struct shl_checkpoint_want one = want_of("same"), two = want_of("same");
    OK(shl_checkpoint_create(&o.m, &one, &manifest_id, &db_err));
    OK(shl_checkpoint_create(&o.m, &two, &manifest_id, &db_err));
    const struct shl_checkpoint *found;
    FAILS(shl_checkpoint_find(o.m.newest, "same", "db", &found, &db_err), SHALE_INVALID);
    shl_uuid_format(one.id, text);
    OK(shl_checkpoint_find(o.m.newest, text, "db", &found, &db_err));
    assert_true(shl_ulid_eq(found->id, one.id));
    FAILS(shl_checkpoint_delete(&o.m, "same", &id, &db_err), SHALE_INVALID);
    shl_uuid_format(two.id, text);
    OK(shl_checkpoint_delete(&o.m, text, &id, &db_err));
    OK(shl_checkpoint_delete(&o.m, "same", &id, &db_err));
    assert_true(shl_ulid_eq(id, one.id));
    outside_end(&o);
}

/* What could not be read back would lock everybody out. */
static void test_names_must_be_text(void **state)
{
    (void)state;
    struct outside o;
    uint64_t manifest_id;
    struct shl_lsm_checkpoint *c = NULL;
    outside_init(&o);
    bench_open(&o.b);
    struct shl_checkpoint_want bad = want_of("caf\xe9");
    FAILS(shl_checkpoint_create(&o.m, &bad, &manifest_id, &db_err), SHALE_INVALID);
    struct shl_lsm_checkpoint_how how = {.name = "\xff\xfe"};
    FAILS(shl_lsm_checkpoint_begin(o.b.db, &how, &c, &db_err), SHALE_INVALID);
    put(&o.b, "a", "1");
    bench_reopen(&o.b);
    expect_all(o.b.db, "a=1");
    outside_end(&o);
}

/* Of two that wait the later one must not take its rows into the earlier one. */
static void test_two_at_once_keep_their_bounds(void **state)
{
    (void)state;
    for (int round = 0; round < 40; round++) {
        struct bench b;
        struct shl_lsm_checkpoint *c[3];
        bench_init(&b);
        bench_open(&b);
        put(&b, "a", "1");
        c[0] = begin(&b, "c0", round % 2 != 0);
        put(&b, "b", "2");
        OK(shl_lsm_flush(b.db, false, &db_err));
        c[1] = begin(&b, "c1", round % 4 < 2);
        put(&b, "c", "3");
        OK(shl_lsm_flush(b.db, false, &db_err));
        c[2] = begin(&b, "c2", round % 8 < 4);
        put(&b, "d", "4");
        for (int i = 2; i >= 0; i--)
            wait_for(c[i]);
        if (round % 2 == 0)
            expect_at(&b, "c0", "a=1");
        expect_at(&b, "c1", "a=1 b=2");
        expect_at(&b, "c2", "a=1 b=2 c=3");
        bench_end(&b);
    }
}

static void test_expiry(void **state)
{
    (void)state;
    static const struct {
        int64_t now_ms;
        uint64_t lifetime_ms;
        uint32_t want;
    } cases[] = {{1000, 0, 0},
                 {1000, 1000, 2},
                 {1001, 1000, 3}, /* never before its time */
                 {5000, UINT64_MAX, UINT32_MAX}};
    struct shl_manifest *m;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(shl_checkpoint_expiry(cases[i].now_ms, cases[i].lifetime_ms),
                         cases[i].want);
    OK(shl_manifest_new(&m, &db_err));
    for (uint32_t s = 0; s < 4; s++) {
        uint64_t manifest_id;
        struct shl_checkpoint_want w = {.id = shl_checkpoint_new_id(),
                                        .now_ms = 1000,
                                        .lifetime_ms = s * 1000,
                                        .name = s == 3 ? "last" : NULL};
        OK(shl_checkpoint_add(m, 7, &w, &manifest_id, &db_err));
        assert_int_equal(manifest_id, 7);
    }
    assert_int_equal(shl_checkpoint_expire(m, 1999), 0);
    assert_int_equal(shl_checkpoint_expire(m, 3000), 2);
    assert_int_equal(m->checkpoints.count, 2);
    assert_string_equal(m->checkpoints.items[1].name, "last");
    assert_int_equal(shl_checkpoint_expire(m, INT64_MAX), 1);
    shl_manifest_free(m);
}

static void test_a_thousand(void **state)
{
    (void)state;
    struct outside o;
    uint64_t manifest_id;
    outside_init(&o);
    bench_open(&o.b);
    put(&o.b, "a", "1");
    OK(shl_lsm_flush(o.b.db, true, &db_err));
    for (int i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        struct shl_checkpoint_want w = want_of(name);
        OK(shl_checkpoint_create(&o.m, &w, &manifest_id, &db_err));
    }
    assert_int_equal(o.m.newest->checkpoints.count, 1000);
    expect_at(&o.b, "c999", "a=1");
    put(&o.b, "a", "2");
    bench_reopen(&o.b);
    expect_at(&o.b, "c0", "a=1");
    outside_end(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_holds_what_was_written_before_the_call),
        cmocka_unit_test(test_later_rows_do_not_get_in),
        cmocka_unit_test(test_durable_holds_what_is_durable_and_flushes_nothing),
        cmocka_unit_test(test_the_wal_may_be_off),
        cmocka_unit_test(test_begun_is_done_at_close),
        cmocka_unit_test(test_a_fenced_writer_makes_none),
        cmocka_unit_test(test_sources_and_readers_handles),
        cmocka_unit_test(test_detached_ones_beside_a_writer),
        cmocka_unit_test(test_two_of_one_name_are_told_apart_by_id),
        cmocka_unit_test(test_names_must_be_text),
        cmocka_unit_test(test_two_at_once_keep_their_bounds),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_a_thousand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
