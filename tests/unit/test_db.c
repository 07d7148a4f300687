/* Goal: what a database promises at its face (lsm/db.h): what reads return in every place a row can be (memtable, WAL, L0, run), both ways, at any
 * bounds; durability levels; batches; who is refused and with which code. Method: one test per promise, on the bench of support_db. */
#include "unit/support_db.h"

/* ---------------------------------------------------------------- open, close */

static void test_a_database_is_created_once_and_found_again(void **state)
{
    struct bench b;
    struct shl_lsm *reader;
    (void)state;
    bench_init(&b);
    FAILS(try_reader(&b, &(struct shl_lsm_reader){0}, &reader), SHALE_NOT_FOUND);
    assert_int_equal(objects_below(b.store, ""), 0);
    bench_open(&b);
    assert_int_equal(objects_below(b.store, "dir/db/manifest"), 2);
    assert_int_equal(objects_below(b.store, "dir/db/wal"), 1);
    assert_int_equal(status_of(b.db).writer_epoch, 1);
    put(&b, "a", "1");
    bench_reopen(&b);
    expect_all(b.db, "a=1");
    assert_int_equal(status_of(b.db).writer_epoch, 2);
    assert_int_equal(status_of(b.db).committed_seq, 1);
    put(&b, "b", "2");
    assert_int_equal(status_of(b.db).committed_seq, 2);
    bench_end(&b);
}

static void test_after_a_crash_the_durable_rows_are_there_and_no_others(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "1");
    put(&b, "b", "1");
    OK(shl_lsm_flush(b.db, false, &db_err));
    put(&b, "a", "2");
    bench_crash(&b);
    expect_all(b.db, "a=1 b=1");
    assert_int_equal(status_of(b.db).committed_seq, 2);
    assert_int_equal(status_of(b.db).durable_seq, 2);
    bench_end(&b);
}

static void test_settings_are_checked(void **state)
{
    static const struct {
        const char *name;
        size_t offset;
        uint64_t value;
        bool is_u32;
    } bad[] = {
#define U32(field, v) {#field, offsetof(struct shl_lsm_settings, field), v, true}
#define U64(field, v)                                                                              \
    {                                                                                              \
#field, offsetof(struct shl_lsm_settings, field), v, false                                 \
    }
        U32(sst_block_size_bytes, 0),
        U32(sst_block_size_bytes, 512),
        U32(sst_block_size_bytes, 3000),
        U32(sst_block_size_bytes, 131072),
        U32(l0_flush_parallelism, 0),
        U32(l0_flush_parallelism, 65),
        U64(max_wal_flushes_before_l0_flush, 4095),
        U64(l0_sst_size_bytes, 0),
        U64(max_unflushed_bytes, 64 * 1024 * 1024),
        U32(l0_max_ssts, 0),
        U32(l0_max_ssts_per_key, 0),
        U32(min_compaction_sources, 1),
        U32(max_compaction_sources, 1),
        U64(default_ttl_ms, (uint64_t)-5),
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct bench b;
        bench_init(&b);
        char *at = (char *)&b.settings + bad[i].offset;
        if (bad[i].is_u32)
            *(uint32_t *)(void *)at = (uint32_t)bad[i].value;
        else
            *(uint64_t *)(void *)at = bad[i].value;
        CHECK(try_open(&b, &b.db) == SHALE_INVALID, "%s = %llu", bad[i].name,
              (unsigned long long)bad[i].value);
        assert_int_equal(objects_below(b.store, ""), 0);
        bench_end(&b);
    }
}

/* Each of these keeps a writer from opening, and is of no meaning to who reads. */
static void test_readers_take_what_only_writers_look_at(void **state)
{
    struct bench b;
    struct shl_lsm *reader;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "1");
    bench_close(&b);
    b.settings.compactor_enabled = true;
    b.settings.min_compaction_sources = 4;
    b.settings.l0_max_ssts = b.settings.l0_max_ssts_per_key = 2;
    FAILS(try_open(&b, &b.db), SHALE_INVALID);
    assert_non_null(strstr(db_err.text, "writers would wait for ever"));
    b.settings.l0_flush_parallelism = 0;
    b.settings.max_unflushed_bytes = b.settings.l0_sst_size_bytes;
    b.settings.sst_block_alignment = true;
    b.settings.compression = SHL_COMPRESSION_LZ4;
    b.settings.gc.tasks[SHL_GC_WAL].interval_ns = 0;
    b.settings.include_size_threshold = 0;
    OK(try_reader(&b, &(struct shl_lsm_reader){.follow = true}, &reader));
    expect_all(reader, "a=1");
    OK(shl_lsm_close(reader, &db_err));
    b.settings.manifest_poll_interval_ns = 0; /* this they do look at */
    FAILS(try_reader(&b, &(struct shl_lsm_reader){0}, &reader), SHALE_INVALID);
    bench_end(&b);
}

static void test_a_fenced_handle_says_so_in_every_call_and_closes(void **state)
{
    struct bench b;
    struct shl_lsm *newer;
    struct shl_batch batch;
    struct shl_lsm_iter *it;
    struct shl_lsm_write durable = {.await_durable = true};
    char value[8];
    size_t len;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "1");
    OK(shl_lsm_flush(b.db, false, &db_err));
    OK(try_open(&b, &newer));
    put(&b, "a", "2"); /* into memory, where it is lost */
    FAILS(shl_lsm_flush(b.db, false, &db_err), SHALE_FENCED);
    FAILS(write_kind(&b, 0, "a", "3", default_ttl), SHALE_FENCED);
    FAILS(shl_lsm_write_one(b.db, 0, shl_slice_str("a"), shl_slice_str("3"), default_ttl, &durable,
                            NULL, &db_err),
          SHALE_FENCED);
    shl_batch_init(&batch);
    shl_batch_add(&batch, 0, shl_slice_str("a"), shl_slice_str("3"), default_ttl);
    FAILS(shl_lsm_write(b.db, &batch, &no_wait, NULL, &db_err), SHALE_FENCED);
    shl_batch_deinit(&batch);
    FAILS(shl_lsm_get_into(b.db, shl_slice_str("a"), &(struct shl_lsm_read){0}, value, sizeof value,
                           &len, &db_err),
          SHALE_FENCED);
    FAILS(shl_lsm_scan_open(b.db, &all_keys, &(struct shl_lsm_scan){0}, &it, &db_err),
          SHALE_FENCED);
    FAILS(shl_lsm_await_durable(b.db, 1, &db_err), SHALE_FENCED);
    FAILS(shl_lsm_flush(b.db, true, &db_err), SHALE_FENCED);
    FAILS(shl_lsm_settle(b.db, &db_err), SHALE_FENCED);
    FAILS(shl_lsm_refresh(b.db, &db_err), SHALE_FENCED);
    assert_int_equal(status_of(b.db).closed, SHALE_FENCED);
    bench_close(&b);
    expect_all(newer, "a=1");
    OK(shl_lsm_close(newer, &db_err));
    bench_end(&b);
}

static void test_the_manifest_tells_an_idle_writer_that_it_is_fenced(void **state)
{
    struct bench b;
    struct shl_lsm *newer;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    OK(try_open(&b, &newer));
    FAILS(shl_lsm_refresh(b.db, &db_err), SHALE_FENCED);
    put(&b, "a", "1");
    FAILS(shl_lsm_flush(b.db, true, &db_err), SHALE_FENCED);
    bench_close(&b);
    OK(shl_lsm_close(newer, &db_err));
    bench_end(&b);
}

/* ---------------------------------------------------------------- reading */

static void test_every_level_shows_its_newest_row(void **state)
{
    struct bench b;
    struct shl_lsm_pinned p;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    fill_levels(&b);
    assert_int_equal(status_of(b.db).run_count, 1);
    assert_int_equal(status_of(b.db).l0_count, 2);
    expect_all(b.db, "a=wal b=l0 c=mem e=run f=l0 g=");
    expect_back(b.db, "g= f=l0 e=run c=mem b=l0 a=wal");
    static const char *const want[][2] = {{"a", "wal"}, {"b", "l0"}, {"c", "mem"}, {"d", "-"},
                                          {"e", "run"}, {"f", "l0"}, {"g", ""},    {"h", "-"},
                                          {"aa", "-"},  {"A", "-"}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        expect_get(b.db, want[i][0], want[i][1]);
    for (size_t i = 0; i < 7; i++) { /* pinned values outlive what happens next */
        shale_code rc =
            shl_lsm_get(b.db, shl_slice_str(want[i][0]), &(struct shl_lsm_read){0}, &p, &db_err);
        if (strcmp(want[i][1], "-") == 0) {
            assert_int_equal(rc, SHALE_NOT_FOUND);
            continue;
        }
        OK(rc);
        put(&b, want[i][0], "later");
        OK(shl_lsm_flush(b.db, true, &db_err));
        assert_true(shl_slice_eq(p.value, shl_slice_str(want[i][1])));
        shl_lsm_pinned_release(&p);
        shl_lsm_pinned_release(&p);
    }
    FAILS(shl_lsm_get(b.db, shl_slice_str(""), &(struct shl_lsm_read){0}, &p, &db_err),
          SHALE_INVALID);
    bench_end(&b);
}

static void test_get_into_gives_the_true_length(void **state)
{
    struct bench b;
    char two[2] = {'x', 'x'};
    size_t len = 0;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "12345");
    OK(shl_lsm_get_into(b.db, shl_slice_str("a"), &(struct shl_lsm_read){0}, two, 1, &len,
                        &db_err));
    assert_int_equal(len, 5);
    assert_memory_equal(two, "1x", 2);
    OK(shl_lsm_get_into(b.db, shl_slice_str("a"), &(struct shl_lsm_read){0}, NULL, 0, &len,
                        &db_err));
    assert_int_equal(len, 5);
    bench_end(&b);
}

static void test_bounds_of_scans(void **state)
{
    enum { U = SHL_LSM_UNBOUNDED, I = SHL_LSM_INCLUDED, E = SHL_LSM_EXCLUDED };
    static const struct {
        const char *from;
        int from_kind;
        const char *to;
        int to_kind;
        const char *want, *back;
    } cases[] = {
        {"", U, "", U, "a=1 b=2 ba=3 c=4", "c=4 ba=3 b=2 a=1"},
        {"b", I, "", U, "b=2 ba=3 c=4", "c=4 ba=3 b=2"},
        {"b", E, "", U, "ba=3 c=4", "c=4 ba=3"},
        {"", U, "b", I, "a=1 b=2", "b=2 a=1"},
        {"", U, "b", E, "a=1", "a=1"},
        {"b", I, "c", E, "b=2 ba=3", "ba=3 b=2"},
        {"b", I, "c", I, "b=2 ba=3 c=4", "c=4 ba=3 b=2"},
        {"b", E, "c", E, "ba=3", "ba=3"},
        {"b", I, "b", I, "b=2", "b=2"},
        {"b", I, "b", E, "", ""},
        {"b", E, "b", I, "", ""},
        {"b", E, "b", E, "", ""},
        {"c", I, "a", I, "", ""},
        {"bb", I, "bz", I, "", ""},
        {"d", I, "", U, "", ""},
        {"", U, "A", I, "", ""},
        {"a0", I, "bz", I, "b=2 ba=3", "ba=3 b=2"},
        {"", I, "", U, "a=1 b=2 ba=3 c=4", "c=4 ba=3 b=2 a=1"},
        {"", U, "", I, "", ""},
    };
    struct bench b;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "1");
    put(&b, "c", "4");
    put(&b, "bb", "gone");
    for (unsigned level = 0; level < 2; level++) {
        put(&b, "b", "2");
        put(&b, "ba", "3");
        del(&b, "bb");
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct shl_lsm_range r = range_of(cases[i].from, (enum shl_lsm_bound)cases[i].from_kind,
                                              cases[i].to, (enum shl_lsm_bound)cases[i].to_kind);
            const char *text = scanned(b.db, &r, &(struct shl_lsm_scan){0});
            CHECK(strcmp(text, cases[i].want) == 0, "case %zu: %s, want %s", i, text,
                  cases[i].want);
            text = scanned(b.db, &r, &(struct shl_lsm_scan){.reverse = true});
            CHECK(strcmp(text, cases[i].back) == 0, "case %zu back: %s, want %s", i, text,
                  cases[i].back);
        }
        OK(shl_lsm_flush(b.db, true, &db_err));
    }
    bench_end(&b);
}

static void put_bytes(struct bench *b, const char *key, size_t len, const char *value)
{
    OK(shl_lsm_write_one(b->db, 0, shl_slice_of(key, len), shl_slice_str(value), default_ttl,
                         &no_wait, NULL, &db_err));
}

static void test_prefixes_and_odd_keys(void **state)
{
    static const struct {
        const char *prefix;
        size_t len;
        const char *want;
    } cases[] = {
        {"", 0, "0 00 01 a aff affff b ff ff00 ffff"},
        {"a", 1, "a aff affff"},
        {"a\xff", 2, "aff affff"},
        {"a\xff\xff", 3, "affff"},
        {"\xff", 1, "ff ff00 ffff"},
        {"\xff\xff", 2, "ffff"},
        {"\xff\xff\xff", 3, ""},
        {"\0", 1, "0 00 01"},
        {"\0\0", 2, "00"},
        {"b", 1, "b"},
        {"c", 1, ""},
    };
    struct bench b;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    for (unsigned level = 0; level < 3; level++) {
        put_bytes(&b, "\0", 1, "0");
        put_bytes(&b, "\0\0", 2, "00");
        put_bytes(&b, "\0\1", 2, "01");
        put_bytes(&b, "a", 1, "a");
        put_bytes(&b, "a\xff", 2, "aff");
        put_bytes(&b, "a\xff\xff", 3, "affff");
        put_bytes(&b, "b", 1, "b");
        put_bytes(&b, "\xff", 1, "ff");
        put_bytes(&b, "\xff\0", 2, "ff00");
        put_bytes(&b, "\xff\xff", 2, "ffff");
        if (level == 1)
            OK(shl_lsm_flush(b.db, true, &db_err));
        if (level == 2)
            compact(&b);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            for (unsigned reverse = 0; reverse < 2; reverse++) {
                struct shl_lsm_range r = {.is_prefix = true,
                                          .from = shl_slice_of(cases[i].prefix, cases[i].len)};
                struct shl_lsm_scan how = {.reverse = reverse != 0};
                struct shl_lsm_iter *it;
                struct shl_row row;
                char text[200] = "", next[220];
                OK(shl_lsm_scan_open(b.db, &r, &how, &it, &db_err));
                while (shl_lsm_iter_next(it, &row, &db_err) == SHALE_OK) {
                    const char *space = text[0] != '\0' ? " " : "";
                    int len = (int)row.value.len;
                    const char *v = (const char *)row.value.data;
                    if (how.reverse)
                        snprintf(next, sizeof next, "%.*s%s%s", len, v, space, text);
                    else
                        snprintf(next, sizeof next, "%s%s%.*s", text, space, len, v);
                    memcpy(text, next, sizeof text);
                }
                shl_lsm_iter_close(it);
                CHECK(strcmp(text, cases[i].want) == 0, "level %u case %zu: \"%s\", want \"%s\"",
                      level, i, text, cases[i].want);
            }
    }
    bench_end(&b);
}

static void test_limits_and_seeks(void **state)
{
    struct bench b;
    struct shl_lsm_iter *it;
    struct shl_row row;
    struct shl_lsm_range bd = range_of("b", SHL_LSM_INCLUDED, "e", SHL_LSM_EXCLUDED);
    (void)state;
    bench_init(&b);
    bench_open(&b);
    for (char k = 'a'; k <= 'f'; k++)
        put(&b, (char[]){k, '\0'}, "1");
    OK(shl_lsm_flush(b.db, true, &db_err));
    del(&b, "c");
    assert_string_equal(scanned(b.db, &all_keys, &(struct shl_lsm_scan){.rows_max = 2}), "a=1 b=1");
    assert_string_equal(
        scanned(b.db, &all_keys, &(struct shl_lsm_scan){.rows_max = 4, .reverse = true}),
        "f=1 e=1 d=1 b=1");

    OK(shl_lsm_scan_open(b.db, &bd, &(struct shl_lsm_scan){0}, &it, &db_err));
    FAILS(shl_lsm_iter_seek(it, shl_slice_str("a"), &db_err), SHALE_INVALID);
    FAILS(shl_lsm_iter_seek(it, shl_slice_str("e"), &db_err), SHALE_INVALID);
    OK(shl_lsm_iter_seek(it, shl_slice_str("bb"), &db_err)); /* misuse does not spoil the scan */
    OK(shl_lsm_iter_next(it, &row, &db_err));
    assert_true(shl_slice_eq(row.key, shl_slice_str("d")));
    FAILS(shl_lsm_iter_seek(it, shl_slice_str("d"), &db_err), SHALE_INVALID);
    FAILS(shl_lsm_iter_seek(it, shl_slice_str("c"), &db_err), SHALE_INVALID);
    OK(shl_lsm_iter_seek(it, shl_slice_str("dd"), &db_err));
    assert_string_equal(rows_of(it), "");
    shl_lsm_iter_close(it);

    OK(shl_lsm_scan_open(b.db, &bd, &(struct shl_lsm_scan){.reverse = true}, &it, &db_err));
    OK(shl_lsm_iter_seek(it, shl_slice_str("cc"), &db_err));
    assert_string_equal(rows_of(it), "b=1");
    shl_lsm_iter_close(it);

    /* What was skipped behind the last row that was returned may still be sought: "c", a tombstone. */
    for (unsigned reverse = 0; reverse < 2; reverse++) {
        struct shl_lsm_range r = reverse != 0
                                     ? range_of("bb", SHL_LSM_INCLUDED, "d", SHL_LSM_INCLUDED)
                                     : range_of("b", SHL_LSM_INCLUDED, "cc", SHL_LSM_INCLUDED);
        OK(shl_lsm_scan_open(b.db, &r, &(struct shl_lsm_scan){.reverse = reverse != 0}, &it,
                             &db_err));
        OK(shl_lsm_iter_next(it, &row, &db_err));
        FAILS(shl_lsm_iter_next(it, &row, &db_err), SHALE_DONE);
        FAILS(shl_lsm_iter_next(it, &row, &db_err), SHALE_DONE);
        OK(shl_lsm_iter_seek(it, shl_slice_str(reverse != 0 ? "cc" : "bb"), &db_err));
        assert_string_equal(rows_of(it), "");
        FAILS(shl_lsm_iter_seek(it, shl_slice_str(reverse != 0 ? "d" : "b"), &db_err),
              SHALE_INVALID);
        shl_lsm_iter_close(it);
    }
    bench_end(&b);
}

static void test_a_scan_keeps_its_view_over_writes_flush_and_compaction(void **state)
{
    for (unsigned reverse = 0; reverse < 2; reverse++) {
        struct bench b;
        struct shl_lsm_iter *it;
        struct shl_row row;
        struct shl_lsm_scan how = {.reverse = reverse != 0};
        char key[16];
        unsigned rows = 0;
        (void)state;
        bench_init(&b);
        b.settings.compactor_enabled = true;
        bench_open(&b);
        for (unsigned i = 0; i < 500; i++) {
            snprintf(key, sizeof key, "%04u", i);
            put(&b, key, "old");
            if (i % 200 == 199)
                OK(shl_lsm_flush(b.db, true, &db_err));
        }
        OK(shl_lsm_scan_open(b.db, &all_keys, &how, &it, &db_err));
        OK(shl_lsm_iter_next(it, &row, &db_err));
        rows++;
        for (unsigned round = 0; round < 4; round++) {
            for (unsigned i = 0; i < 600; i++) {
                snprintf(key, sizeof key, "%04u", i);
                if (i % 3 == 0)
                    del(&b, key);
                else
                    put(&b, key, "new");
            }
            if (round == 1)
                OK(shl_lsm_flush(b.db, true, &db_err));
            if (round > 1)
                OK(shl_lsm_settle(b.db, &db_err));
            for (unsigned i = 0; i < 100; i++, rows++) {
                OK(shl_lsm_iter_next(it, &row, &db_err));
                snprintf(key, sizeof key, "%04u", how.reverse ? 499 - rows : rows);
                CHECK(shl_slice_eq(row.key, shl_slice_str(key)), "row %u is %.*s", rows,
                      (int)row.key.len, (const char *)row.key.data);
                assert_true(shl_slice_eq(row.value, shl_slice_str("old")));
            }
        }
        assert_true(status_of(b.db).compactions_done > 0);
        while (shl_lsm_iter_next(it, &row, &db_err) == SHALE_OK) {
            assert_true(shl_slice_eq(row.value, shl_slice_str("old")));
            rows++;
        }
        assert_int_equal(rows, 500);
        shl_lsm_iter_close(it);
        bench_end(&b);
    }
}

/* ---------------------------------------------------------------- durability */

static void test_remote_reads_see_what_is_durable(void **state)
{
    struct bench b;
    (void)state;
    for (unsigned wal = 0; wal < 2; wal++) {
        struct shl_lsm_scan remote = {.remote_only = true};
        bench_init(&b);
        b.settings.wal_enabled = wal != 0;
        bench_open(&b);
        put(&b, "a", "1");
        expect_get(b.db, "a", "1");
        assert_string_equal(got(b.db, "a", true), "-");
        assert_string_equal(scanned(b.db, &all_keys, &remote), "");
        OK(shl_lsm_flush(b.db, false, &db_err));
        assert_string_equal(got(b.db, "a", true), "1");
        put(&b, "a", "2");
        del(&b, "b");
        put(&b, "b", "2");
        assert_string_equal(got(b.db, "a", true), "1");
        assert_string_equal(scanned(b.db, &all_keys, &remote), "a=1");
        expect_all(b.db, "a=2 b=2");
        assert_int_equal(status_of(b.db).durable_seq, 1);
        assert_int_equal(status_of(b.db).committed_seq, 4);
        OK(shl_lsm_flush(b.db, true, &db_err));
        assert_string_equal(scanned(b.db, &all_keys, &remote), "a=2 b=2");
        assert_int_equal(objects_below(b.store, "dir/db/wal"), wal ? 3 : 1);
        bench_end(&b);
    }
}

static void wait_for_seq_1(void *arg)
{
    shale_error own = {0};
    struct shl_lsm *db = arg;
    if (shl_lsm_await_durable(db, 1, &own) != SHALE_OK)
        abort();
}

static void test_a_waiter_is_woken_by_the_flush_that_makes_its_row_durable(void **state)
{
    struct bench b;
    struct env_task *task;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "1");
    OK(env_task_spawn(&task, "waiter", wait_for_seq_1, b.db));
    env_sleep_ns(5 * ENV_NS_PER_MS);
    assert_int_equal(status_of(b.db).durable_seq, 0); /* waiting alone does not flush here */
    OK(shl_lsm_flush(b.db, false, &db_err));
    env_task_join(task);
    OK(shl_lsm_await_durable(b.db, 1, &db_err));
    OK(shl_lsm_await_durable(b.db, 0, &db_err));
    FAILS(shl_lsm_await_durable(b.db, 2, &db_err), SHALE_INVALID);
    b.settings.wal_flush = SHL_WAL_FLUSH_ADAPTIVE;
    bench_reopen(&b);
    struct shl_lsm_write durable = {.await_durable = true};
    struct shl_lsm_written written;
    OK(shl_lsm_write_one(b.db, 0, shl_slice_str("b"), shl_slice_str("2"), default_ttl, &durable,
                         &written, &db_err)); /* adaptive: at once, no timer is needed */
    assert_int_equal(written.seq, 2);
    assert_int_equal(status_of(b.db).durable_seq, 2);
    bench_end(&b);
}

/* ---------------------------------------------------------------- batches */

static void test_batches_give_one_row_per_key_and_one_seq(void **state)
{
    struct bench b;
    struct shl_batch batch;
    struct shl_lsm_written written;
    struct shl_lsm_iter *it;
    struct shl_row row;
    (void)state;
    bench_init(&b);
    use_operator(&b, "concat");
    bench_open(&b);
    put(&b, "b", "base");
    put(&b, "h", "base");
    shl_batch_init(&batch);
    FAILS(shl_lsm_write(b.db, &batch, &no_wait, NULL, &db_err), SHALE_INVALID);
    batch_add(&batch, 0, "c", "1");
    batch_add(&batch, 0, "a", "1");
    batch_add(&batch, 0, "a", "2"); /* the last one wins */
    batch_add(&batch, 0, "d", "1");
    batch_add(&batch, SHL_ROW_TOMBSTONE, "d", "");
    batch_add(&batch, SHL_ROW_TOMBSTONE, "e", "");
    batch_add(&batch, 0, "e", "1");
    batch_add(&batch, SHL_ROW_MERGE, "b", "1"); /* operands fold ... */
    batch_add(&batch, SHL_ROW_MERGE, "b", "2");
    batch_add(&batch, 0, "f", "x"); /* ... onto a value of the batch ... */
    batch_add(&batch, SHL_ROW_MERGE, "f", "y");
    batch_add(&batch, SHL_ROW_MERGE, "f", "z");
    batch_add(&batch, SHL_ROW_MERGE, "g", "lost"); /* ... and go with what replaces them */
    batch_add(&batch, 0, "g", "1");
    batch_add(&batch, SHL_ROW_TOMBSTONE, "h", ""); /* on a tombstone: nothing was there */
    batch_add(&batch, SHL_ROW_MERGE, "h", "1");
    OK(shl_lsm_write(b.db, &batch, &no_wait, &written, &db_err));
    assert_int_equal(written.seq, 3);
    for (unsigned level = 0; level < 3; level++) {
        expect_all(b.db, "a=2 b=base12 c=1 e=1 f=xyz g=1 h=1");
        expect_back(b.db, "h=1 g=1 f=xyz e=1 c=1 b=base12 a=2");
        OK(shl_lsm_scan_open(b.db, &all_keys, &(struct shl_lsm_scan){0}, &it, &db_err));
        while (shl_lsm_iter_next(it, &row, &db_err) == SHALE_OK) {
            assert_int_equal(row.seq, 3);
            assert_true(row.create_ts == written.create_ts);
        }
        shl_lsm_iter_close(it);
        if (level == 0)
            OK(shl_lsm_flush(b.db, true, &db_err));
        else
            bench_reopen(&b);
    }
    shl_batch_clear(&batch);
    shl_batch_add(&batch, 0, shl_slice_str(""), shl_slice_str("1"), default_ttl);
    FAILS(shl_lsm_write(b.db, &batch, &no_wait, NULL, &db_err), SHALE_INVALID);
    shl_batch_deinit(&batch);
    assert_int_equal(status_of(b.db).committed_seq, 3);
    bench_end(&b);
}

static void test_merges_of_one_key_with_different_ttls_are_refused_in_a_batch(void **state)
{
    static const struct {
        const char *name;
        uint8_t first;
        struct shl_ttl a, b;
        shale_code want;
    } cases[] = {
        {"default twice", SHL_ROW_MERGE, {SHL_TTL_DEFAULT, 0}, {SHL_TTL_DEFAULT, 7}, SHALE_OK},
        {"never twice", SHL_ROW_MERGE, {SHL_TTL_NEVER, 0}, {SHL_TTL_NEVER, 0}, SHALE_OK},
        {"same time", SHL_ROW_MERGE, {SHL_TTL_AFTER_MS, 5}, {SHL_TTL_AFTER_MS, 5}, SHALE_OK},
        {"other time", SHL_ROW_MERGE, {SHL_TTL_AFTER_MS, 5}, {SHL_TTL_AFTER_MS, 6}, SHALE_INVALID},
        {"never and a time", SHL_ROW_MERGE, {SHL_TTL_NEVER, 0}, {SHL_TTL_AT_MS, 6}, SHALE_INVALID},
        {"after a tombstone", SHL_ROW_TOMBSTONE, {SHL_TTL_NEVER, 0}, {SHL_TTL_AT_MS, 6}, SHALE_OK},
    };
    struct bench b;
    (void)state;
    bench_init(&b);
    use_operator(&b, "concat");
    bench_open(&b);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shl_batch batch;
        shl_batch_init(&batch);
        shl_batch_add(&batch, cases[i].first, shl_slice_str("k"), shl_slice_str("a"), cases[i].a);
        shl_batch_add(&batch, SHL_ROW_MERGE, shl_slice_str("k"), shl_slice_str("b"), cases[i].b);
        shale_code rc = shl_lsm_write(b.db, &batch, &no_wait, NULL, &db_err);
        CHECK(rc == cases[i].want, "%s: %s", cases[i].name, shale_code_name(rc));
        shl_batch_deinit(&batch);
    }
    bench_end(&b);
}

static void test_user_seqs_only_go_up(void **state)
{
    struct bench b;
    struct shl_lsm_written written;
    struct shl_lsm_write how = {.seq = 100};
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "1");
    OK(shl_lsm_write_one(b.db, 0, shl_slice_str("b"), shl_slice_str("2"), default_ttl, &how,
                         &written, &db_err));
    assert_int_equal(written.seq, 100);
    FAILS(shl_lsm_write_one(b.db, 0, shl_slice_str("c"), shl_slice_str("3"), default_ttl, &how,
                            &written, &db_err),
          SHALE_INVALID);
    expect_all(b.db, "a=1 b=2"); /* refused, not fatal */
    put(&b, "c", "3");
    assert_int_equal(status_of(b.db).committed_seq, 101);
    bench_reopen(&b);
    assert_int_equal(status_of(b.db).committed_seq, 101);
    expect_all(b.db, "a=1 b=2 c=3");
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_database_is_created_once_and_found_again),
        cmocka_unit_test(test_after_a_crash_the_durable_rows_are_there_and_no_others),
        cmocka_unit_test(test_settings_are_checked),
        cmocka_unit_test(test_readers_take_what_only_writers_look_at),
        cmocka_unit_test(test_a_fenced_handle_says_so_in_every_call_and_closes),
        cmocka_unit_test(test_the_manifest_tells_an_idle_writer_that_it_is_fenced),
        cmocka_unit_test(test_every_level_shows_its_newest_row),
        cmocka_unit_test(test_get_into_gives_the_true_length),
        cmocka_unit_test(test_bounds_of_scans),
        cmocka_unit_test(test_prefixes_and_odd_keys),
        cmocka_unit_test(test_limits_and_seeks),
        cmocka_unit_test(test_a_scan_keeps_its_view_over_writes_flush_and_compaction),
        cmocka_unit_test(test_remote_reads_see_what_is_durable),
        cmocka_unit_test(test_a_waiter_is_woken_by_the_flush_that_makes_its_row_durable),
        cmocka_unit_test(test_batches_give_one_row_per_key_and_one_seq),
        cmocka_unit_test(test_merges_of_one_key_with_different_ttls_are_refused_in_a_batch),
        cmocka_unit_test(test_user_seqs_only_go_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
