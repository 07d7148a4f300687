/* Goal: what a database promises of merges, times to live, segments, readers and other ways to keep it.
 * Method: one test per promise, on the bench of support_db, and a random one against a sorted array of keys (seed printed; SEED=N repeats it). */
#include "unit/support_db.h"

/* ---------------------------------------------------------------- merges */

static void expect_everywhere(struct bench *b, const char *all, const char *back)
{
    expect_all(b->db, all);
    expect_back(b->db, back);
}

static void test_merges_give_the_same_wherever_the_operands_lie(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b);
    use_operator(&b, "concat");
    bench_open(&b);
    put(&b, "v", "0");
    merge(&b, "v", "1");
    merge(&b, "o", "1");
    put(&b, "t", "x");
    del(&b, "t");
    merge(&b, "t", "1");
    expect_everywhere(&b, "o=1 t=1 v=01", "v=01 t=1 o=1");
    OK(shl_lsm_flush(b.db, false, &db_err));
    bench_crash(&b); /* from the WAL */
    expect_everywhere(&b, "o=1 t=1 v=01", "v=01 t=1 o=1");
    OK(shl_lsm_flush(b.db, true, &db_err));
    merge(&b, "v", "2");
    merge(&b, "o", "2");
    merge(&b, "t", "2");
    expect_everywhere(&b, "o=12 t=12 v=012", "v=012 t=12 o=12");
    OK(shl_lsm_flush(b.db, true, &db_err));
    compact(&b);
    assert_int_equal(status_of(b.db).l0_count, 0);
    assert_int_equal(status_of(b.db).run_count, 1);
    merge(&b, "v", "3");
    merge(&b, "o", "3");
    merge(&b, "t", "3");
    OK(shl_lsm_flush(b.db, true, &db_err));
    merge(&b, "v", "4");
    merge(&b, "o", "4");
    merge(&b, "t", "4");
    expect_everywhere(&b, "o=1234 t=1234 v=01234", "v=01234 t=1234 o=1234");
    expect_get(b.db, "o", "1234");
    expect_get(b.db, "t", "1234");
    expect_get(b.db, "v", "01234");
    /* At a limit below the newest operands. */
    assert_string_equal(got(b.db, "v", true), "0123");
    assert_string_equal(scanned(b.db, &all_keys, &(struct shl_lsm_scan){.remote_only = true}),
                        "o=123 t=123 v=0123");
    assert_string_equal(
        scanned(b.db, &all_keys, &(struct shl_lsm_scan){.remote_only = true, .reverse = true}),
        "v=0123 t=123 o=123");
    bench_end(&b);
}

static void test_sum_u64_counts(void **state)
{
    struct bench b;
    uint8_t seven[8] = {7}, out[8];
    size_t len = 0;
    (void)state;
    bench_init(&b);
    use_operator(&b, "sum-u64");
    bench_open(&b);
    for (unsigned i = 0; i < 30; i++) {
        OK(shl_lsm_write_one(b.db, SHL_ROW_MERGE, shl_slice_str("n"), shl_slice_of(seven, 8),
                             default_ttl, &no_wait, NULL, &db_err));
        if (i % 7 == 6)
            OK(shl_lsm_flush(b.db, true, &db_err));
        if (i == 20)
            compact(&b);
        OK(shl_lsm_get_into(b.db, shl_slice_str("n"), &(struct shl_lsm_read){0}, out, sizeof out,
                            &len, &db_err));
        assert_int_equal(len, 8);
        assert_int_equal(shl_load_u64le(out), 7 * (i + 1));
    }
    bench_end(&b);
}

static void test_merge_rows_need_an_operator(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    FAILS(write_kind(&b, SHL_ROW_MERGE, "a", "1", default_ttl), SHALE_INVALID);
    bench_close(&b);
    use_operator(&b, "concat");
    bench_open(&b);
    put(&b, "a", "x");
    merge(&b, "b", "1");
    put(&b, "c", "x");
    b.has_merge = false;
    bench_reopen(&b);
    expect_get(b.db, "a", "x");
    expect_get(b.db, "b", "!INVALID");
    assert_string_equal(scanned(b.db, &all_keys, &(struct shl_lsm_scan){0}), "a=x!INVALID");
    put(&b, "d", "x");
    compact(&b); /* keeps what it cannot fold */
    b.has_merge = true;
    bench_reopen(&b);
    merge(&b, "b", "2");
    expect_all(b.db, "a=x b=12 c=x d=x");
    bench_end(&b);
}

static shale_code refuse(void *ctx, struct shl_slice key, const struct shl_slice *existing,
                         struct shl_slice operand, struct shl_buf *out, shale_error *e)
{
    (void)ctx;
    (void)key;
    (void)existing;
    (void)operand;
    (void)out;
    return shl_fail(e, SHALE_INVALID, "refused");
}

static void test_an_operator_that_fails_fails_the_read_and_nothing_else(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b);
    b.merge = (struct shl_merge_operator){.merge = refuse};
    b.has_merge = true;
    bench_open(&b);
    merge(&b, "a", "1");
    merge(&b, "a", "2");
    put(&b, "b", "x");
    expect_get(b.db, "a", "!INVALID");
    assert_string_equal(scanned(b.db, &all_keys, &(struct shl_lsm_scan){0}), "!INVALID");
    expect_get(b.db, "b", "x");
    OK(shl_lsm_flush(b.db, false, &db_err));
    use_operator(&b, "concat");
    bench_crash(&b);
    expect_all(b.db, "a=12 b=x");
    bench_end(&b);
}

/* ---------------------------------------------------------------- time to live */

static void expect_expiry(struct bench *b, const char *key, int64_t want) /* 0: none */
{
    struct shl_lsm_pinned p;
    OK(shl_lsm_get(b->db, shl_slice_str(key), &(struct shl_lsm_read){0}, &p, &db_err));
    CHECK(p.has_expire_ts == (want != 0), "%s", key);
    CHECK(want == 0 || (want < 0 ? p.expire_ts == p.create_ts - want : p.expire_ts == want),
          "%s: %lld, want %lld", key, (long long)p.expire_ts, (long long)want);
    shl_lsm_pinned_release(&p);
}

static void test_how_times_to_live_are_stored(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "no default", "1");
    b.settings.default_ttl_ms = 5000;
    bench_reopen(&b);
    put(&b, "default", "1");
    OK(write_kind(&b, 0, "never", "1", (struct shl_ttl){.kind = SHL_TTL_NEVER}));
    OK(write_kind(&b, 0, "after", "1", (struct shl_ttl){SHL_TTL_AFTER_MS, 3600000}));
    OK(write_kind(&b, 0, "at", "1", (struct shl_ttl){SHL_TTL_AT_MS, INT64_C(4000000000000)}));
    OK(write_kind(&b, 0, "overflow", "1", (struct shl_ttl){SHL_TTL_AFTER_MS, INT64_MAX}));
    for (unsigned level = 0; level < 2; level++) { /* minus: relative to create_ts */
        expect_expiry(&b, "no default", 0);
        expect_expiry(&b, "default", -5000);
        expect_expiry(&b, "never", 0);
        expect_expiry(&b, "after", -3600000);
        expect_expiry(&b, "at", INT64_C(4000000000000));
        expect_expiry(&b, "overflow", 0);
        OK(shl_lsm_flush(b.db, true, &db_err));
    }
    bench_end(&b);
}

static void test_expired_rows_are_read_until_a_flush_or_compaction_meets_them(void **state)
{
    struct bench b;
    struct shl_ttl past = {SHL_TTL_AT_MS, 1}, soon = {SHL_TTL_AFTER_MS, 20};
    struct shl_lsm_status s;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "older");
    OK(shl_lsm_flush(b.db, true, &db_err));
    OK(write_kind(&b, 0, "a", "expired", past));
    OK(write_kind(&b, 0, "b", "soon", soon));
    put(&b, "c", "stays");
    expect_all(b.db, "a=expired b=soon c=stays");
    OK(shl_lsm_flush(b.db, false, &db_err));
    bench_crash(&b);
    expect_get(b.db, "a", "expired"); /* from the WAL too */
    OK(shl_lsm_flush(b.db, true, &db_err));
    expect_get(b.db, "a", "-"); /* and the older one is not uncovered */
    shl_lsm_status(b.db, &s);
    assert_int_equal(s.l0_count, 2);
    env_sleep_ns(30 * ENV_NS_PER_MS);
    put(&b, "d", "later"); /* moves the clock of the data */
    compact(&b);
    expect_all(b.db, "c=stays d=later");
    expect_back(b.db, "d=later c=stays");
    bench_end(&b);
}

/* Reads that are not strict show what has an end, however long ago. */
static void test_the_earliest_end_is_an_end_like_others(void **state)
{
    struct bench b;
    struct shl_ttl earliest = {SHL_TTL_AT_MS, INT64_MIN};
    (void)state;
    bench_init(&b);
    bench_open(&b);
    for (unsigned strict = 0; strict < 2; strict++) {
        OK(write_kind(&b, 0, "a", "over", earliest));
        expect_get(b.db, "a", strict ? "-" : "over");
        expect_all(b.db, strict ? "" : "a=over");
        expect_back(b.db, strict ? "" : "a=over");
        b.settings.strict_ttl = true;
        bench_crash(&b);
    }
    OK(write_kind(&b, 0, "a", "over", earliest));
    OK(shl_lsm_flush(b.db, true, &db_err));
    expect_get(b.db, "a", "-");
    bench_end(&b);
}

static void test_a_deleted_key_leaves_the_last_run(void **state)
{
    struct bench b;
    uint64_t id;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "1");
    OK(shl_lsm_flush(b.db, true, &db_err));
    del(&b, "a");
    compact(&b);
    struct shl_manifest *m = newest_manifest(&b, &id);
    assert_int_equal(m->root.l0.count, 0);
    assert_int_equal(m->root.runs.count, 0); /* nothing outlived */
    shl_manifest_free(m);
    expect_all(b.db, "");
    put(&b, "a", "2");
    bench_reopen(&b);
    expect_all(b.db, "a=2");
    bench_end(&b);
}

/* ---------------------------------------------------------------- segments */

static void use_extractor(struct bench *b, const char *text)
{
    assert_true(shl_extractor_parse(text, &b->settings.segment_extractor));
}

static void test_segments_are_trees_of_their_own(void **state)
{
    struct bench b;
    uint64_t id;
    (void)state;
    bench_init(&b);
    use_extractor(&b, "slash");
    bench_open(&b);
    FAILS(write_kind(&b, 0, "none", "1", default_ttl), SHALE_INVALID);
    put(&b, "b/1", "1");
    put(&b, "a/2", "2");
    put(&b, "c/3", "3");
    put(&b, "a/1/x", "1");
    struct shl_batch batch;
    shl_batch_init(&batch);
    batch_add(&batch, 0, "a/0", "lost");
    batch_add(&batch, 0, "none", "lost");
    FAILS(shl_lsm_write(b.db, &batch, &no_wait, NULL, &db_err), SHALE_INVALID); /* all or nothing */
    shl_batch_deinit(&batch);
    OK(shl_lsm_flush(b.db, true, &db_err));
    struct shl_manifest *m = newest_manifest(&b, &id);
    assert_string_equal(m->segment_extractor_name, "upto-slash");
    assert_int_equal(m->root.l0.count, 0);
    assert_int_equal(m->segments.count, 3); /* one SST per segment, in one manifest */
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(m->segments.items[i].tree.l0.count, 1);
    shl_manifest_free(m);
    assert_int_equal(objects_below(b.store, "dir/db/compacted"), 3);
    put(&b, "b/0", "0");
    put(&b, "b/1", "1b");
    del(&b, "c/3");
    expect_all(b.db, "a/1/x=1 a/2=2 b/0=0 b/1=1b");
    expect_back(b.db, "b/1=1b b/0=0 a/2=2 a/1/x=1");
    OK(shl_lsm_flush(b.db, true, &db_err));
    expect_all(b.db, "a/1/x=1 a/2=2 b/0=0 b/1=1b");
    expect_back(b.db, "b/1=1b b/0=0 a/2=2 a/1/x=1");
    compact(&b);
    m = newest_manifest(&b, &id);
    CHECK(m->segments.count == 2, "an empty segment goes: %zu are left", m->segments.count);
    assert_true(shl_slice_eq(shl_buf_view(&m->segments.items[1].prefix), shl_slice_str("b/")));
    assert_int_equal(m->segments.items[1].tree.l0.count, 0);
    assert_int_equal(m->segments.items[1].tree.runs.count, 1);
    shl_manifest_free(m);
    expect_all(b.db, "a/1/x=1 a/2=2 b/0=0 b/1=1b");
    expect_back(b.db, "b/1=1b b/0=0 a/2=2 a/1/x=1");
    struct shl_lsm_range r = range_of("a/2", SHL_LSM_INCLUDED, "b/1", SHL_LSM_EXCLUDED);
    assert_string_equal(scanned(b.db, &r, &(struct shl_lsm_scan){0}), "a/2=2 b/0=0");
    assert_string_equal(scanned(b.db, &r, &(struct shl_lsm_scan){.reverse = true}), "b/0=0 a/2=2");
    r = range_of("aa", SHL_LSM_INCLUDED, "az", SHL_LSM_EXCLUDED);
    assert_string_equal(scanned(b.db, &r, &(struct shl_lsm_scan){0}), "");
    assert_string_equal(scanned(b.db, &r, &(struct shl_lsm_scan){.reverse = true}), "");
    expect_get(b.db, "a/2", "2");
    expect_get(b.db, "c/3", "-");
    expect_get(b.db, "none", "-");
    bench_end(&b);
}

static void test_aligned_blocks(void **state)
{
    struct bench b;
    char key[16], value[2000];
    (void)state;
    bench_init(&b);
    b.settings.sst_block_alignment = true;
    b.settings.compression = SHL_COMPRESSION_LZ4;
    FAILS(try_open(&b, &b.db), SHALE_INVALID);
    assert_non_null(strstr(db_err.text, "sst_block_alignment: not together with"));
    b.db = NULL;
    b.settings.compression = SHL_COMPRESSION_NONE;
    memset(value, 'v', sizeof value);
    for (int transformed = 0; transformed < 2; transformed++) {
        b.has_transformer = transformed;
        b.transformer = shl_transformer_xor(0x11);
        bench_open(&b);
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < 300; i++) { /* some rows are larger than a block */
                snprintf(key, sizeof key, "k%05d", i);
                value[i % 50 == 0 ? 1500 : 40] = '\0';
                put(&b, key, value);
                value[i % 50 == 0 ? 1500 : 40] = 'v';
            }
            OK(shl_lsm_flush(b.db, true, &db_err));
        }
        compact(&b);
        assert_int_equal(status_of(b.db).run_count, 1);
        for (int i = 0; i < 300; i++) {
            struct shl_lsm_pinned p = {0};
            snprintf(key, sizeof key, "k%05d", i);
            OK(shl_lsm_get(b.db, shl_slice_str(key), &(struct shl_lsm_read){0}, &p, &db_err));
            assert_int_equal(p.value.len, i % 50 == 0 ? 1500 : 40);
            shl_lsm_pinned_release(&p);
        }
        bench_close(&b);
        shl_store_unref(b.store);
        OK(shl_store_memory_new(&b.store, &db_err));
    }
    bench_end(&b);
}

static void test_an_expected_epoch_is_taken_or_nothing(void **state)
{
    struct bench b;
    struct shl_lsm *other;
    (void)state;
    bench_init(&b);
    b.settings.has_expected_epoch = true; /* 0: nobody was here */
    bench_open(&b);
    assert_int_equal(status_of(b.db).writer_epoch, 1);
    put(&b, "a", "1");
    size_t before = objects_below(b.store, "");
    FAILS(try_open(&b, &other), SHALE_FENCED);
    assert_non_null(strstr(db_err.text, "is at writer epoch 1, not 0 as expected"));
    assert_int_equal(objects_below(b.store, ""), before);
    OK(shl_lsm_flush(b.db, true, &db_err)); /* nobody was fenced */
    b.settings.expected_epoch = 1;
    bench_reopen(&b);
    assert_int_equal(status_of(b.db).writer_epoch, 2);
    b.settings.has_expected_epoch = false;
    bench_reopen(&b);
    assert_int_equal(status_of(b.db).writer_epoch, 3);
    bench_end(&b);
}

static void test_an_extractor_is_for_life(void **state)
{
    struct bench b;
    struct shl_lsm *db;
    uint64_t id;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    bench_close(&b);
    use_extractor(&b, "3");
    FAILS(try_open(&b, &db), SHALE_INVALID); /* a database without one cannot get one */
    FAILS(try_reader(&b, &(struct shl_lsm_reader){0}, &db), SHALE_INVALID);
    bench_end(&b);

    bench_init(&b);
    use_extractor(&b, "3");
    bench_open(&b);
    FAILS(write_kind(&b, 0, "ab", "1", default_ttl), SHALE_INVALID);
    put(&b, "abc", "1");
    put(&b, "abcd", "2");
    put(&b, "abd", "3");
    bench_close(&b);
    struct shl_extractor fixed3 = b.settings.segment_extractor;
    use_extractor(&b, "slash");
    FAILS(try_open(&b, &db), SHALE_INVALID);
    FAILS(try_reader(&b, &(struct shl_lsm_reader){0}, &db), SHALE_INVALID);
    b.settings.segment_extractor = (struct shl_extractor){0};
    FAILS(try_open(&b, &db), SHALE_INVALID);
    OK(try_reader(&b, &(struct shl_lsm_reader){0}, &db)); /* finds segments by what is stored */
    expect_all(db, "abc=1 abcd=2 abd=3");
    OK(shl_lsm_close(db, &db_err));

    /* A stored prefix that the extractor of this name does not give. */
    b.settings.segment_extractor = fixed3;
    struct shl_manifest *m = newest_manifest(&b, &id);
    struct shl_segment *s;
    OK(shl_manifest_add_segment(m, shl_slice_str("long"), &s, &db_err));
    OK(shl_tree_copy(&m->segments.items[0].tree, &s->tree, &db_err));
    s->tree.l0.items[0].id.lo ^= 1;
    write_manifest(&b, m, id + 1);
    shl_manifest_free(m);
    FAILS(try_open(&b, &db), SHALE_INVALID);
    assert_non_null(strstr(db_err.text, "prefix"));
    bench_end(&b);
}

/* ---------------------------------------------------------------- readers */

static void test_a_reader_writes_nothing_and_refuses_to(void **state)
{
    struct bench b;
    struct shl_lsm *reader, *writer;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "1");
    OK(shl_lsm_flush(b.db, false, &db_err));
    size_t before = objects_below(b.store, "");
    OK(try_reader(&b, &(struct shl_lsm_reader){0}, &reader));
    expect_all(reader, "a=1");
    writer = b.db;
    b.db = reader;
    FAILS(write_kind(&b, 0, "b", "1", default_ttl), SHALE_INVALID);
    b.db = writer;
    FAILS(shl_lsm_flush(reader, false, &db_err), SHALE_INVALID);
    FAILS(shl_lsm_flush(reader, true, &db_err), SHALE_INVALID);
    FAILS(shl_lsm_settle(reader, &db_err), SHALE_INVALID);
    expect_get(reader, "a", "1"); /* none of that was fatal */

    put(&b, "a", "2");
    OK(shl_lsm_flush(b.db, false, &db_err));
    expect_all(reader, "a=1");
    OK(shl_lsm_refresh(reader, &db_err)); /* a WAL object */
    expect_all(reader, "a=2");
    put(&b, "b", "3");
    OK(shl_lsm_flush(b.db, true, &db_err));
    OK(shl_lsm_refresh(reader, &db_err)); /* a manifest */
    expect_all(reader, "a=2 b=3");
    assert_int_equal(status_of(reader).l0_count, 1);
    OK(shl_lsm_refresh(reader, &db_err));
    expect_all(reader, "a=2 b=3");
    assert_int_equal(status_of(reader).committed_seq, 3);
    OK(shl_lsm_close(reader, &db_err));
    assert_true(objects_below(b.store, "") > before);
    put(&b, "c", "4"); /* the writer was not disturbed */
    OK(shl_lsm_flush(b.db, true, &db_err));
    bench_end(&b);
}

static void test_a_following_reader_catches_up_by_itself(void **state)
{
    struct bench b;
    struct shl_lsm *reader;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    b.settings.manifest_poll_interval_ns = ENV_NS_PER_MS;
    OK(try_reader(&b, &(struct shl_lsm_reader){.follow = true}, &reader));
    put(&b, "a", "1");
    OK(shl_lsm_flush(b.db, false, &db_err));
    while (strcmp(got(reader, "a", false), "1") != 0) /* a test that hangs here has failed */
        env_sleep_ns(ENV_NS_PER_MS);
    put(&b, "a", "2");
    OK(shl_lsm_flush(b.db, true, &db_err));
    while (strcmp(got(reader, "a", false), "2") != 0 || status_of(reader).l0_count == 0)
        env_sleep_ns(ENV_NS_PER_MS);
    OK(shl_lsm_close(reader, &db_err));
    bench_end(&b);
}

static void test_a_reader_of_a_checkpoint_stays_there(void **state)
{
    struct bench b;
    struct shl_lsm *reader;
    uint64_t id;
    char uuid[64];
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "l0");
    OK(shl_lsm_flush(b.db, true, &db_err));
    put(&b, "b", "wal");
    OK(shl_lsm_flush(b.db, false, &db_err));
    bench_close(&b);
    struct shl_manifest *m = newest_manifest(&b, &id);
    struct shl_checkpoint c = {.id = shl_uuid_make(1, 2),
                               .manifest_id = id + 1,
                               .create_s = 1,
                               .name = env_strdup("friday")};
    assert_true(shl_array_push(&m->checkpoints, c));
    write_manifest(&b, m, id + 1);
    shl_uuid_format(c.id, uuid);
    shl_manifest_free(m);

    use_operator(&b, "concat");
    bench_open(&b);
    put(&b, "a", "later");
    del(&b, "b");
    put(&b, "c", "later");
    OK(shl_lsm_flush(b.db, true, &db_err));
    compact(&b);
    expect_all(b.db, "a=later c=later");
    const char *const names[] = {"friday", uuid};
    for (size_t i = 0; i < 2; i++) {
        struct shl_lsm_reader how = {
            .mode = SHL_READER_CHECKPOINT, .checkpoint = names[i], .follow = true};
        OK(try_reader(&b, &how, &reader));
        expect_all(reader, "a=l0 b=wal");
        OK(shl_lsm_refresh(reader, &db_err));
        expect_all(reader, "a=l0 b=wal");
        OK(shl_lsm_close(reader, &db_err));
    }
    struct shl_lsm_reader how = {.mode = SHL_READER_CHECKPOINT, .checkpoint = "thursday"};
    FAILS(try_reader(&b, &how, &reader), SHALE_NOT_FOUND);
    m = newest_manifest(&b, &id);
    bool kept = false; /* a writer keeps what others wrote */
    for (size_t i = 0; i < m->checkpoints.count; i++)
        kept = kept || (m->checkpoints.items[i].name != NULL &&
                        strcmp(m->checkpoints.items[i].name, "friday") == 0);
    assert_true(kept);
    shl_manifest_free(m);
    bench_end(&b);
}

/* ---------------------------------------------------------------- other ways to keep it */

static void test_a_wal_in_another_store(void **state)
{
    struct bench b;
    struct shl_lsm *db, *reader;
    (void)state;
    bench_init(&b);
    OK(shl_store_memory_new(&b.wal_store, &db_err));
    bench_open(&b);
    put(&b, "a", "1");
    OK(shl_lsm_flush(b.db, false, &db_err));
    put(&b, "b", "2");
    OK(shl_lsm_flush(b.db, false, &db_err));
    assert_int_equal(objects_below(b.store, "dir/db/wal"), 0);
    assert_int_equal(objects_below(b.wal_store, ""), 3);
    bench_crash(&b);
    expect_all(b.db, "a=1 b=2");
    OK(try_reader(&b, &(struct shl_lsm_reader){0}, &reader));
    expect_all(reader, "a=1 b=2");
    OK(shl_lsm_close(reader, &db_err));
    OK(shl_lsm_flush(b.db, true, &db_err)); /* the manifest knows of WAL objects now */
    put(&b, "c", "3");
    OK(shl_lsm_flush(b.db, false, &db_err));
    struct shl_lsm *crashed = b.db;
    size_t before = objects_below(b.store, "");
    struct shl_store *wal_store = b.wal_store;
    b.wal_store = NULL;
    FAILS(try_open(&b, &db), SHALE_CORRUPTION); /* forgotten: it would lose "c" */
    assert_int_equal(objects_below(b.store, ""), before);
    b.wal_store = wal_store;
    OK(try_open(&b, &b.db));
    shl_ignore(shl_lsm_close(crashed, &db_err));
    expect_all(b.db, "a=1 b=2 c=3");
    bench_end(&b);
}

/* The manifest of a young one does not tell; what lies beside it does. */
static void test_a_wal_that_is_not_in_another_store(void **state)
{
    struct bench b;
    struct shl_lsm *db, *reader;
    struct shl_store *other;
    (void)state;
    bench_init(&b);
    OK(shl_store_memory_new(&other, &db_err));
    bench_open(&b);
    put(&b, "a", "1");
    OK(shl_lsm_flush(b.db, false, &db_err));
    b.wal_store = other;
    FAILS(try_open(&b, &db), SHALE_INVALID);
    FAILS(try_reader(&b, &(struct shl_lsm_reader){0}, &reader), SHALE_INVALID);
    assert_non_null(strstr(db_err.text, "has its WAL beside it"));
    OK(try_reader(&b, &(struct shl_lsm_reader){.skip_wal_replay = true}, &reader));
    OK(shl_lsm_close(reader, &db_err));
    b.wal_store = NULL;
    OK(try_reader(&b, &(struct shl_lsm_reader){0}, &reader));
    expect_all(reader, "a=1");
    OK(shl_lsm_close(reader, &db_err));
    shl_store_unref(other);
    bench_end(&b);
}

static void test_transformed_blobs_need_the_transformer(void **state)
{
    struct bench b;
    struct shl_lsm *db;
    (void)state;
    bench_init(&b);
    b.transformer = shl_transformer_xor(0x5a);
    b.has_transformer = true;
    b.settings.compression = SHL_COMPRESSION_LZ4;
    bench_open(&b);
    fill_levels(&b);
    expect_all(b.db, "a=wal b=l0 c=mem e=run f=l0 g=");
    bench_reopen(&b);
    expect_all(b.db, "a=wal b=l0 c=mem e=run f=l0 g=");
    bench_close(&b);
    b.has_transformer = false;
    shale_code rc = try_reader(&b, &(struct shl_lsm_reader){0}, &db);
    if (rc == SHALE_OK) {
        expect_get(db, "e", "!CORRUPTION");
        OK(shl_lsm_close(db, &db_err));
    } else {
        assert_int_equal(rc, SHALE_CORRUPTION);
    }
    bench_end(&b);
}

static void test_without_a_wal_only_flushed_rows_survive(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b);
    b.settings.wal_enabled = false;
    bench_open(&b);
    put(&b, "a", "1");
    OK(shl_lsm_flush(b.db, false, &db_err)); /* means the memtable here */
    put(&b, "b", "2");
    bench_crash(&b);
    expect_all(b.db, "a=1");
    put(&b, "c", "3");
    bench_reopen(&b); /* close flushes */
    expect_all(b.db, "a=1 c=3");
    b.settings.wal_enabled = true;
    bench_reopen(&b);
    put(&b, "d", "4");
    OK(shl_lsm_flush(b.db, false, &db_err));
    bench_crash(&b);
    expect_all(b.db, "a=1 c=3 d=4");
    b.settings.wal_enabled = false;
    bench_crash(&b);
    expect_all(b.db, "a=1 c=3 d=4"); /* what an earlier WAL holds is replayed all the same */
    bench_end(&b);
}

/* A stray object with the last of all ids: counting on would begin at 0 again. */
static void test_the_last_manifest_id_is_an_error_and_not_id_0(void **state)
{
    struct bench b;
    struct shl_list l = {0};
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "1");
    bench_close(&b);
    OK(shl_store_list(b.store, &(struct shl_list_options){.prefix = "dir/db/manifest"}, &l,
                      &db_err));
    OK(shl_store_copy(b.store, l.items[l.count - 1].key,
                      "dir/db/manifest/18446744073709551615.manifest", true, &db_err));
    shl_list_free(&l);
    assert_int_equal(try_open(&b, &b.db), SHALE_CORRUPTION);
    assert_non_null(strstr(db_err.text, "18446744073709551615"));
    struct shl_object o;
    assert_int_equal(
        shl_store_head(b.store, "dir/db/manifest/00000000000000000000.manifest", &o, &db_err),
        SHALE_NOT_FOUND);
    bench_end(&b);
}

/* L0 is full, and what the WAL has is more than may wait in memory: only a compaction gets on with it, during the replay. */
static void test_a_full_l0_does_not_keep_a_database_from_opening(void **state)
{
    struct bench b;
    char key[16];
    (void)state;
    bench_init(&b);
    b.settings.l0_max_ssts = b.settings.l0_max_ssts_per_key = 3;
    bench_open(&b);
    for (unsigned i = 0; i < 3; i++) {
        put(&b, "a", "1");
        OK(shl_lsm_flush(b.db, true, &db_err));
    }
    for (unsigned i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "k%03u", i);
        put(&b, key, "value");
        if (i % 10 == 9)
            OK(shl_lsm_flush(b.db, false, &db_err));
    }
    assert_int_equal(status_of(b.db).l0_count, 3);
    b.settings.l0_sst_size_bytes = 200;
    b.settings.max_unflushed_bytes = 400;
    b.settings.compactor_enabled = true;
    bench_crash(&b);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "k%03u", i);
        expect_get(b.db, key, "value");
    }
    assert_true(status_of(b.db).compactions_done > 0);
    bench_end(&b);
}

/* ... and closing does not wait for room. */
static void test_a_full_l0_does_not_keep_a_database_from_closing(void **state)
{
    struct bench b;
    char key[16];
    (void)state;
    bench_init(&b);
    b.settings.l0_max_ssts = b.settings.l0_max_ssts_per_key = 3;
    b.settings.l0_sst_size_bytes = 200;
    bench_open(&b);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "k%03u", i);
        put(&b, key, "value");
        if (i % 10 == 9)
            OK(shl_lsm_flush(b.db, false, &db_err));
    }
    assert_true(status_of(b.db).l0_count <= 3);
    bench_reopen(&b);
    assert_true(status_of(b.db).l0_count > 3);
    expect_get(b.db, "k199", "value");
    compact(&b);
    assert_true(status_of(b.db).l0_count < 3);
    expect_get(b.db, "k000", "value");
    bench_end(&b);
}

/* ---------------------------------------------------------------- random operations */

#define MODEL_KEYS  24
#define VALUE_BYTES 400

static const char *const model_keys[MODEL_KEYS] = {
    "a",     "a/",    "a/a",       "a/b",    "ab",           "b",
    "b\x01", "b\xff", "b\xff\xff", "c/long", "c/longe",      "c/longer/x",
    "c/m",   "d",     "e",         "f/1",    "f/10",         "f/2",
    "\x01",  "\x7f",  "\xc3\xa4",  "\xfe",   "\xff\x01\x01", "\xff"};

struct model {
    char key[MODEL_KEYS][16]; /* sorted */
    char value[MODEL_KEYS][VALUE_BYTES];
    bool live[MODEL_KEYS];
};

static uint64_t rng_state;

static uint64_t below(uint64_t n)
{
    rng_state = rng_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (rng_state >> 33) % n;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b); /* of unsigned bytes */
}

static void model_init(struct model *m)
{
    memset(m, 0, sizeof *m);
    for (unsigned i = 0; i < MODEL_KEYS; i++)
        snprintf(m->key[i], sizeof m->key[i], "%s", model_keys[i]);
    qsort(m->key, MODEL_KEYS, sizeof m->key[0], by_text);
}

static void random_op(struct bench *b, struct model *m, unsigned number)
{
    unsigned k = (unsigned)below(MODEL_KEYS);
    char value[32];
    snprintf(value, sizeof value, "<%u>", number);
    uint64_t what = below(10);
    if (what < 4 || (what >= 6 && strlen(m->value[k]) > VALUE_BYTES - 64)) {
        put(b, m->key[k], value);
        snprintf(m->value[k], VALUE_BYTES, "%s", value);
        m->live[k] = true;
    } else if (what < 6) {
        del(b, m->key[k]);
        m->value[k][0] = '\0';
        m->live[k] = false;
    } else {
        merge(b, m->key[k], value);
        strcat(m->value[k], value);
        m->live[k] = true;
    }
}

/* One random scan, with a random seek somewhere in it, against the array. */
static void random_scan(struct bench *b, const struct model *m, unsigned round)
{
    char from[16], to[16], seek[16];
    struct shl_lsm_iter *it;
    struct shl_row row;
    struct shl_lsm_scan how = {.reverse = below(2) == 0,
                               .cache_blocks = below(2) == 0,
                               .rows_max = below(4) == 0 ? 1 + below(6) : 0};
    snprintf(from, sizeof from, "%s", m->key[below(MODEL_KEYS)]);
    snprintf(to, sizeof to, "%s", m->key[below(MODEL_KEYS)]);
    snprintf(seek, sizeof seek, "%s", m->key[below(MODEL_KEYS)]);
    if (below(3) == 0)
        strcat(from, "0"); /* between keys */
    if (below(3) == 0)
        strcat(to, "0");
    struct shl_lsm_range r =
        range_of(from, (enum shl_lsm_bound)below(3), to, (enum shl_lsm_bound)below(3));
    if (below(4) == 0) {
        from[1 + below(3)] = '\0';
        r = (struct shl_lsm_range){.is_prefix = true, .from = shl_slice_str(from)};
    }
    uint64_t seek_after = below(8), returned = 0;
    OK(shl_lsm_scan_open(b->db, &r, &how, &it, &db_err));
    const char *last = NULL, *start = NULL; /* start: of a seek that worked */
    for (unsigned n = 0; n <= MODEL_KEYS; n++) {
        if (n == seek_after) {
            shale_code rc = shl_lsm_iter_seek(it, shl_slice_str(seek), &db_err);
            if (rc == SHALE_OK)
                start = seek;
            else
                assert_int_equal(rc, SHALE_INVALID);
        }
        const char *want = NULL;
        unsigned at = 0;
        for (unsigned i = 0; i < MODEL_KEYS && want == NULL; i++) {
            unsigned k = how.reverse ? MODEL_KEYS - 1 - i : i;
            int sign = how.reverse ? -1 : 1;
            int f = strcmp(m->key[k], from), t = strcmp(m->key[k], to);
            bool in = r.is_prefix ? strncmp(m->key[k], from, strlen(from)) == 0
                                  : (r.from_kind == SHL_LSM_UNBOUNDED || f > 0 ||
                                     (f == 0 && r.from_kind == SHL_LSM_INCLUDED)) &&
                                        (r.to_kind == SHL_LSM_UNBOUNDED || t < 0 ||
                                         (t == 0 && r.to_kind == SHL_LSM_INCLUDED));
            if (in && m->live[k] && (last == NULL || sign * strcmp(m->key[k], last) > 0) &&
                (start == NULL || sign * strcmp(m->key[k], start) >= 0)) {
                want = m->key[k];
                at = k;
            }
        }
        if (how.rows_max > 0 && returned == how.rows_max)
            want = NULL;
        shale_code rc = shl_lsm_iter_next(it, &row, &db_err);
        CHECK(rc == (want != NULL ? SHALE_OK : SHALE_DONE), "round %u: %s, want \"%s\"", round,
              shale_code_name(rc), want != NULL ? want : "the end");
        if (want == NULL)
            break;
        CHECK(shl_slice_eq(row.key, shl_slice_str(want)) &&
                  shl_slice_eq(row.value, shl_slice_str(m->value[at])),
              "round %u: %.*s=%.*s, want %s=%s", round, (int)row.key.len,
              (const char *)row.key.data, (int)row.value.len, (const char *)row.value.data, want,
              m->value[at]);
        last = want;
        returned++;
    }
    shl_lsm_iter_close(it);
}

static void check_gets(struct bench *b, const struct model *m, unsigned round)
{
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        const char *text = got(b->db, m->key[k], false);
        CHECK(strcmp(text, m->live[k] ? m->value[k] : "-") == 0, "round %u: %s is %s, want %s",
              round, m->key[k], text, m->live[k] ? m->value[k] : "-");
    }
}

#define MANY_MAX (MODEL_KEYS + 20)

struct many {
    const struct model *m;
    unsigned keys[MANY_MAX];
    unsigned found[MANY_MAX]; /* how often */
    struct shl_lsm_pinned pins[MANY_MAX];
};

static struct shl_slice many_key(void *ctx, size_t i)
{
    const struct many *q = ctx;
    return shl_slice_str(q->m->key[q->keys[i]]);
}

static void many_found(void *ctx, size_t i, const struct shl_lsm_pinned *take_value)
{
    struct many *q = ctx;
    q->found[i]++;
    q->pins[i] = *take_value;
}

/* Random keys, some of them twice, at once: what single gets would say, which outlives a flush. */
static void check_many(struct bench *b, const struct model *m, unsigned round)
{
    static struct many q;
    q = (struct many){.m = m};
    struct shl_lsm_keys keys = {
        .ctx = &q, .count = below(MANY_MAX + 1), .key = many_key, .found = many_found};
    for (size_t i = 0; i < keys.count; i++)
        q.keys[i] = (unsigned)below(MODEL_KEYS);
    OK(shl_lsm_get_many(b->db, &keys, &(struct shl_lsm_read){.no_cache_fill = below(4) == 0},
                        &db_err));
    if (below(4) == 0)
        OK(shl_lsm_flush(b->db, true, &db_err));
    for (size_t i = 0; i < keys.count; i++) {
        unsigned k = q.keys[i];
        CHECK(q.found[i] == (m->live[k] ? 1 : 0), "round %u: %s", round, m->key[k]);
        CHECK(!m->live[k] || shl_slice_eq(q.pins[i].value, shl_slice_str(m->value[k])),
              "round %u: %s is not %s", round, m->key[k], m->value[k]);
        shl_lsm_pinned_release(&q.pins[i]);
    }
}

static void random_run(uint64_t seed)
{
    struct bench b;
    static struct model m;
    rng_state = seed;
    bench_init(&b);
    use_operator(&b, "concat");
    b.settings.compression = (enum shl_compression)below(5);
    b.settings.l0_sst_size_bytes = 500 + below(5000);
    b.settings.max_sst_size_bytes = below(2) == 0 ? 1500 : 1 << 20;
    b.settings.l0_max_ssts = b.settings.l0_max_ssts_per_key = 1000;
    b.settings.max_compaction_sources = 2 + (uint32_t)below(4);
    b.settings.wal_enabled = below(4) != 0;
    b.settings.filter.bits_per_key = below(3) == 0 ? 0 : 10;
    b.settings.block_cache_bytes = below(3) == 0 ? 0 : 1 << 16;
    b.settings.meta_cache_bytes = below(3) == 0 ? 0 : below(2) == 0 ? 3000 : 1 << 20;
    bench_open(&b);
    model_init(&m);
    for (unsigned round = 0; round < 120; round++) {
        for (uint64_t n = below(20); n > 0; n--)
            random_op(&b, &m, round * 100 + (unsigned)n);
        switch (below(8)) {
        case 0:
            OK(shl_lsm_flush(b.db, true, &db_err));
            break;
        case 1:
            bench_reopen(&b);
            break;
        case 2:
            OK(shl_lsm_flush(b.db, false, &db_err));
            bench_crash(&b);
            break;
        case 3:
            compact(&b);
            break;
        default:
            break;
        }
        check_gets(&b, &m, round);
        check_many(&b, &m, round);
        for (unsigned i = 0; i < 4; i++)
            random_scan(&b, &m, round);
    }
    bench_end(&b);
}

/* One key of a call is wrong: nothing is answered. */
static void test_keys_of_one_call_are_checked_together(void **state)
{
    struct bench b;
    static struct model m;
    static struct many q;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    snprintf(m.key[1], sizeof m.key[1], "a");
    put(&b, "a", "1");
    q = (struct many){.m = &m, .keys = {1, 0}}; /* key 0 is empty */
    struct shl_lsm_keys keys = {.ctx = &q, .count = 2, .key = many_key, .found = many_found};
    FAILS(shl_lsm_get_many(b.db, &keys, &(struct shl_lsm_read){0}, &db_err), SHALE_INVALID);
    assert_int_equal(q.found[0], 0);
    keys.count = 0;
    OK(shl_lsm_get_many(b.db, &keys, &(struct shl_lsm_read){0}, &db_err));
    bench_end(&b);
}

static void test_random_operations_agree_with_a_sorted_array(void **state)
{
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : env_rand64();
    (void)state;
    for (unsigned i = 0; i < (given != NULL ? 1 : 12); i++) {
        printf("seed 0x%llx\n", (unsigned long long)(seed + i));
        random_run(seed + i);
    }
}

/* Closed with its rows in the WAL only, or with what is not durable dropped. */
static void test_ways_of_closing(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        struct bench b;
        bench_init(&b);
        bench_open(&b);
        put(&b, "a", "durable");
        OK(shl_lsm_flush(b.db, false, &db_err));
        put(&b, "b", "in memory");
        OK(shl_lsm_close_with(b.db, (enum shl_lsm_close)way, &db_err));
        b.db = NULL;
        assert_int_equal(objects_below(b.store, "dir/db/compacted"), way == SHL_CLOSE_MEMTABLE);
        bench_open(&b);
        expect_get(b.db, "a", "durable");
        expect_get(b.db, "b", way == SHL_CLOSE_NOTHING ? "-" : "in memory");
        bench_end(&b);
    }
    struct bench b; /* no WAL: rows have only L0 to go to */
    bench_init(&b);
    b.settings.wal_enabled = false;
    bench_open(&b);
    put(&b, "a", "1");
    OK(shl_lsm_close_with(b.db, SHL_CLOSE_WAL, &db_err));
    b.db = NULL;
    bench_open(&b);
    expect_get(b.db, "a", "1");
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways_of_closing),
        cmocka_unit_test(test_keys_of_one_call_are_checked_together),
        cmocka_unit_test(test_merges_give_the_same_wherever_the_operands_lie),
        cmocka_unit_test(test_sum_u64_counts),
        cmocka_unit_test(test_merge_rows_need_an_operator),
        cmocka_unit_test(test_an_operator_that_fails_fails_the_read_and_nothing_else),
        cmocka_unit_test(test_how_times_to_live_are_stored),
        cmocka_unit_test(test_expired_rows_are_read_until_a_flush_or_compaction_meets_them),
        cmocka_unit_test(test_the_earliest_end_is_an_end_like_others),
        cmocka_unit_test(test_a_deleted_key_leaves_the_last_run),
        cmocka_unit_test(test_segments_are_trees_of_their_own),
        cmocka_unit_test(test_an_extractor_is_for_life),
        cmocka_unit_test(test_aligned_blocks),
        cmocka_unit_test(test_an_expected_epoch_is_taken_or_nothing),
        cmocka_unit_test(test_a_reader_writes_nothing_and_refuses_to),
        cmocka_unit_test(test_a_following_reader_catches_up_by_itself),
        cmocka_unit_test(test_a_reader_of_a_checkpoint_stays_there),
        cmocka_unit_test(test_a_wal_in_another_store),
        cmocka_unit_test(test_a_wal_that_is_not_in_another_store),
        cmocka_unit_test(test_transformed_blobs_need_the_transformer),
        cmocka_unit_test(test_without_a_wal_only_flushed_rows_survive),
        cmocka_unit_test(test_the_last_manifest_id_is_an_error_and_not_id_0),
        cmocka_unit_test(test_a_full_l0_does_not_keep_a_database_from_opening),
        cmocka_unit_test(test_a_full_l0_does_not_keep_a_database_from_closing),
        cmocka_unit_test(test_random_operations_agree_with_a_sorted_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
