/* Goal: snapshots that never change, and transactions that see what they must and fail exactly when they must (slatedb-behaviour 9).
 * Method: one test per promise on the bench of support_db; then random transactions side by side against a model that foretells each read and the
 * outcome of each commit (seed printed; SEED=N repeats it). */
#include "base/num.h"
#include "lsm/txn.h"
#include "unit/support_db.h"

static struct shl_txn *begin(struct bench *b, bool serializable)
{
    struct shl_txn *t;
    OK(shl_txn_begin(b->db, serializable, &t, &db_err));
    return t;
}

static shale_code try_txn_write(struct shl_txn *t, uint8_t kind, const char *key, const char *value)
{
    return shl_txn_write(t, kind, shl_slice_str(key), shl_slice_str(value), default_ttl, &db_err);
}

static void txn_put(struct shl_txn *t, const char *key, const char *value)
{
    OK(try_txn_write(t, 0, key, value));
}

static const char *txn_got(struct shl_txn *t, const char *key)
{
    static char text[256];
    struct shl_lsm_pinned p = {0};
    shale_code rc = shl_txn_get(t, shl_slice_str(key), &(struct shl_lsm_read){0}, &p, &db_err);
    if (rc == SHALE_NOT_FOUND)
        return "-";
    OK(rc);
    snprintf(text, sizeof text, "%.*s", (int)p.value.len,
             p.value.len > 0 ? (const char *)p.value.data : "");
    shl_lsm_pinned_release(&p);
    return text;
}

static const char *txn_rows(struct shl_txn *t, const struct shl_lsm_range *range, bool reverse)
{
    struct shl_lsm_iter *it;
    OK(shl_txn_scan(t, range, &(struct shl_lsm_scan){.reverse = reverse}, &it, &db_err));
    const char *text = rows_of(it);
    shl_lsm_iter_close(it);
    return text;
}

/* Commits and closes. */
static shale_code commit(struct shl_txn *t)
{
    shale_code rc = shl_txn_commit(t, false, 0, NULL, &db_err);
    shl_txn_close(t);
    return rc;
}

/* ---------------------------------------------------------------- snapshots */

static const char *snap_got(struct shl_snapshot *s, const char *key)
{
    static char text[256];
    struct shl_lsm_read how = {.view = shl_snapshot_view(s)};
    size_t len;
    shale_code rc = shl_lsm_get_into(shl_snapshot_db(s), shl_slice_str(key), &how, text,
                                     sizeof text - 1, &len, &db_err);
    if (rc == SHALE_NOT_FOUND)
        return "-";
    OK(rc);
    text[len] = '\0';
    return text;
}

static void expect_snapshot(struct shl_snapshot *s, const char *all, const char *back)
{
    struct shl_lsm_scan how = {.view = shl_snapshot_view(s)};
    assert_string_equal(scanned(shl_snapshot_db(s), &all_keys, &how), all);
    how.reverse = true;
    assert_string_equal(scanned(shl_snapshot_db(s), &all_keys, &how), back);
}

static void test_a_snapshot_never_changes(void **state)
{
    struct bench b;
    struct shl_snapshot *s, *later;
    uint64_t id;
    (void)state;
    bench_init(&b);
    use_operator(&b, "concat");
    b.settings.compactor_enabled = true;
    bench_open(&b);
    put(&b, "a", "1");
    put(&b, "b", "1");
    merge(&b, "m", "1");
    merge(&b, "m", "2");
    OK(shl_snapshot_open(b.db, &s, &db_err));
    put(&b, "a", "2");
    del(&b, "b");
    put(&b, "c", "2");
    merge(&b, "m", "3");
    const char *all = "a=1 b=1 m=12", *back = "m=12 b=1 a=1";
    expect_snapshot(s, all, back);
    OK(shl_lsm_flush(b.db, true, &db_err));
    expect_snapshot(s, all, back);
    OK(shl_snapshot_open(b.db, &later, &db_err));
    for (int i = 0; i < 4; i++) { /* compacted, too */
        put(&b, "a", "3");
        put(&b, "b", "3");
        merge(&b, "m", "4");
        OK(shl_lsm_flush(b.db, true, &db_err));
    }
    OK(shl_lsm_settle(b.db, &db_err));
    assert_true(status_of(b.db).run_count > 0);
    expect_snapshot(s, all, back);
    expect_snapshot(later, "a=2 c=2 m=123", "m=123 c=2 a=2");
    assert_string_equal(snap_got(s, "b"), "1");
    assert_string_equal(snap_got(s, "c"), "-");
    assert_string_equal(snap_got(s, "m"), "12");
    expect_all(b.db, "a=3 b=3 c=2 m=1234444");
    struct shl_manifest *m = newest_manifest(&b, &id);
    assert_int_equal(m->recent_snapshot_min_seq, shl_snapshot_view(s)->seq);
    shl_manifest_free(m);
    shl_snapshot_close(s);
    shl_snapshot_close(later);
    put(&b, "z", "1");
    OK(shl_lsm_flush(b.db, true, &db_err));
    m = newest_manifest(&b, &id);
    assert_int_equal(m->recent_snapshot_min_seq, m->last_l0_seq);
    shl_manifest_free(m);
    bench_end(&b);
}

static void test_a_snapshot_sees_only_what_is_durable_if_asked(void **state)
{
    struct bench b;
    struct shl_snapshot *s;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "a", "1");
    OK(shl_lsm_flush(b.db, false, &db_err));
    put(&b, "a", "2");
    OK(shl_snapshot_open(b.db, &s, &db_err));
    put(&b, "a", "3");
    struct shl_lsm_scan how = {.view = shl_snapshot_view(s), .remote_only = true};
    assert_string_equal(scanned(b.db, &all_keys, &how), "a=1");
    OK(shl_lsm_flush(b.db, false, &db_err));
    assert_string_equal(scanned(b.db, &all_keys, &how), "a=2");
    shl_snapshot_close(s);
    bench_end(&b);
}

static void test_a_reader_has_snapshots_too(void **state)
{
    struct bench b;
    struct shl_lsm *reader;
    struct shl_snapshot *s;
    struct shl_lsm_reader how = {.mode = SHL_READER_LATEST};
    (void)state;
    bench_init(&b);
    bench_open(&b);
    fill_levels(&b);
    OK(shl_lsm_flush(b.db, false, &db_err));
    OK(try_reader(&b, &how, &reader));
    OK(shl_snapshot_open(reader, &s, &db_err));
    put(&b, "a", "new");
    put(&b, "z", "new");
    OK(shl_lsm_flush(b.db, true, &db_err));
    compact(&b);
    OK(shl_lsm_refresh(reader, &db_err));
    expect_get(reader, "a", "new");
    assert_string_equal(snap_got(s, "a"), "wal");
    expect_snapshot(s, "a=wal b=l0 c=mem e=run f=l0 g=", "g= f=l0 e=run c=mem b=l0 a=wal");
    struct shl_txn *t;
    FAILS(shl_txn_begin(reader, false, &t, &db_err), SHALE_INVALID);
    shl_snapshot_close(s);
    OK(shl_lsm_close(reader, &db_err));
    bench_end(&b);
}

/* ---------------------------------------------------------------- what a transaction sees */

static void test_a_transaction_sees_its_own_writes_on_top(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b);
    use_operator(&b, "concat");
    bench_open(&b);
    put(&b, "a", "0");
    put(&b, "b", "0");
    put(&b, "d", "0");
    merge(&b, "m", "0");
    OK(shl_lsm_flush(b.db, true, &db_err));
    struct shl_txn *t = begin(&b, false);
    txn_put(t, "a", "1");
    OK(try_txn_write(t, SHL_ROW_TOMBSTONE, "b", ""));
    txn_put(t, "c", "1");
    OK(try_txn_write(t, SHL_ROW_MERGE, "d", "1"));
    OK(try_txn_write(t, SHL_ROW_MERGE, "m", "1"));
    OK(try_txn_write(t, SHL_ROW_MERGE, "m", "2"));
    OK(try_txn_write(t, SHL_ROW_MERGE, "n", "1"));
    /* Committed since, between its own rows and those below. */
    put(&b, "c", "other");
    put(&b, "d", "other");
    put(&b, "e", "other");
    merge(&b, "m", "other");
    assert_string_equal(txn_got(t, "a"), "1");
    assert_string_equal(txn_got(t, "b"), "-");
    assert_string_equal(txn_got(t, "d"), "01");
    assert_string_equal(txn_got(t, "e"), "-");
    assert_string_equal(txn_got(t, "m"), "012");
    assert_string_equal(txn_got(t, "n"), "1");
    assert_string_equal(txn_rows(t, &all_keys, false), "a=1 c=1 d=01 m=012 n=1");
    assert_string_equal(txn_rows(t, &all_keys, true), "n=1 m=012 d=01 c=1 a=1");
    struct shl_lsm_range some = range_of("b", SHL_LSM_INCLUDED, "m", SHL_LSM_EXCLUDED);
    assert_string_equal(txn_rows(t, &some, false), "c=1 d=01");
    assert_string_equal(txn_rows(t, &some, true), "d=01 c=1");
    OK(shl_lsm_flush(b.db, true, &db_err));
    assert_string_equal(txn_rows(t, &all_keys, true), "n=1 m=012 d=01 c=1 a=1");
    expect_get(b.db, "a", "0"); /* nobody else sees it */
    FAILS(commit(t), SHALE_CONFLICT);
    expect_all(b.db, "a=0 b=0 c=other d=other e=other m=0other");
    bench_end(&b);
}

static void test_scans_of_a_transaction_stand_still_and_can_seek(void **state)
{
    struct bench b;
    struct shl_lsm_iter *it;
    struct shl_row row;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "p/1", "0");
    put(&b, "p/3", "0");
    put(&b, "q", "0");
    struct shl_txn *t = begin(&b, false);
    txn_put(t, "p/2", "1");
    const struct shl_lsm_range prefix = {.from = shl_slice_str("p/"), .is_prefix = true};
    OK(shl_txn_scan(t, &prefix, &(struct shl_lsm_scan){0}, &it, &db_err));
    txn_put(t, "p/1", "late");
    txn_put(t, "p/4", "late");
    OK(shl_lsm_iter_seek(it, shl_slice_str("p/2"), &db_err));
    OK(shl_lsm_iter_next(it, &row, &db_err));
    assert_true(row.seq == UINT64_MAX);
    assert_false((row.flags & SHL_ROW_HAS_CREATE) != 0);
    shl_txn_close(t); /* the iterator goes on */
    assert_string_equal(rows_of(it), "p/3=0");
    shl_lsm_iter_close(it);
    bench_end(&b);
}

static void test_a_commit_is_one_batch(void **state)
{
    struct bench b;
    struct shl_lsm_written written;
    struct shl_lsm_pinned p = {0};
    (void)state;
    bench_init(&b);
    use_operator(&b, "concat");
    bench_open(&b);
    put(&b, "a", "0");
    struct shl_txn *t = begin(&b, true);
    txn_put(t, "a", "1");
    txn_put(t, "a", "2");
    OK(try_txn_write(t, SHL_ROW_MERGE, "a", "3"));
    OK(shl_txn_write(t, 0, shl_slice_str("ttl"), shl_slice_str("x"),
                     (struct shl_ttl){.kind = SHL_TTL_AT_MS, .ms = INT64_MAX}, &db_err));
    OK(shl_txn_get(t, shl_slice_str("ttl"), &(struct shl_lsm_read){0}, &p, &db_err));
    assert_true(p.has_expire_ts && p.expire_ts == INT64_MAX && p.seq == UINT64_MAX);
    shl_lsm_pinned_release(&p);
    OK(shl_txn_commit(t, false, 0, &written, &db_err));
    assert_int_equal(written.seq, 2);
    FAILS(try_txn_write(t, 0, "a", "4"), SHALE_INVALID);
    assert_non_null(strstr(db_err.text, "committed"));
    FAILS(shl_txn_commit(t, false, 0, &written, &db_err), SHALE_INVALID);
    shl_txn_close(t);
    expect_all(b.db, "a=23 ttl=x");
    OK(shl_lsm_get(b.db, shl_slice_str("ttl"), &(struct shl_lsm_read){0}, &p, &db_err));
    assert_int_equal(p.seq, 2);
    shl_lsm_pinned_release(&p);
    t = begin(&b, false);
    FAILS(try_txn_write(t, 0, "", "1"), SHALE_INVALID);
    txn_put(t, "b", "1");
    shl_txn_rollback(t);
    FAILS(try_txn_write(t, 0, "a", "4"), SHALE_INVALID);
    shl_txn_close(t);
    expect_all(b.db, "a=23 ttl=x");
    t = begin(&b, false); /* nothing to write */
    written.seq = 77;
    OK(shl_txn_commit(t, true, 0, &written, &db_err));
    assert_int_equal(written.seq, 0);
    shl_txn_close(t);
    bench_end(&b);
}

/* ---------------------------------------------------------------- conflicts */

/* What the transaction does, what another writer does meanwhile, and what becomes of the commit under snapshot isolation, and serializable. */
static const struct {
    const char *what;
    const char *
        mine; /* "w k", "r k", "s from to", "p prefix", "m k" (mark read), "u k" (write, unmarked); ';' between */
    const char *theirs; /* "w k", "d k", "o k" (merge operand); the same */
    bool si_fails, ssi_fails;
} conflicts[] = {
    {"other keys", "w a;r b", "w c", false, false},
    {"write and write", "w a", "w a", true, true},
    {"write and delete", "w a", "d a", true, true},
    {"write and merge", "w a", "o a", true, true},
    {"a read key", "w a;r b", "w b", false, true},
    {"a read key that was not there", "w a;r nowhere", "w nowhere", false, true},
    {"a read key, deleted", "w a;r b", "d b", false, true},
    {"nothing written", "r b", "w b", false, true},
    {"nothing written, nothing read that changed", "r b", "w c", false, false},
    {"a phantom", "w a;s k l", "w k5", false, true},
    {"in front of the range", "w a;s k l", "w j", false, false},
    {"at the end of the range", "w a;s k l", "w l", false, false},
    {"a prefix", "w a;p k/", "w k/1", false, true},
    {"beside a prefix", "w a;p k/", "w k0", false, false},
    {"a marked key", "w a;m b", "w b", true, true},
    {"a marked key, nothing written", "m b", "w b", true, true},
    {"an unmarked write", "u a", "w a", false, false},
    {"an unmarked write that was read", "r a;u a", "w a", false, true},
    {"several commits of others", "w a;r b", "w c;w d;w b", false, true},
};

static void do_step(struct bench *b, struct shl_txn *t, const char *step, const char *value)
{
    char what = step[0], rest[32];
    snprintf(rest, sizeof rest, "%s", step + 2);
    struct shl_slice key = shl_slice_str(rest);
    if (t == NULL) {
        if (what == 'w')
            put(b, rest, value);
        else if (what == 'd')
            del(b, rest);
        else
            merge(b, rest, value);
        return;
    }
    if (what == 'w' || what == 'u')
        txn_put(t, rest, value);
    if (what == 'u')
        OK(shl_txn_unmark_write(t, key, &db_err));
    if (what == 'r')
        (void)txn_got(t, rest);
    if (what == 'm')
        OK(shl_txn_mark_read(t, key, &db_err));
    if (what == 'p') {
        const struct shl_lsm_range range = {.from = key, .is_prefix = true};
        (void)txn_rows(t, &range, false);
    }
    if (what == 's') { /* asked for, and never read */
        struct shl_lsm_iter *it;
        char *space = strchr(rest, ' ');
        *space = '\0';
        struct shl_lsm_range range = range_of(rest, SHL_LSM_INCLUDED, space + 1, SHL_LSM_EXCLUDED);
        OK(shl_txn_scan(t, &range, &(struct shl_lsm_scan){0}, &it, &db_err));
        shl_lsm_iter_close(it);
    }
}

static void do_steps(struct bench *b, struct shl_txn *t, const char *steps, const char *value)
{
    char text[100], *save = NULL;
    snprintf(text, sizeof text, "%s", steps);
    for (char *s = strtok_r(text, ";", &save); s != NULL; s = strtok_r(NULL, ";", &save))
        do_step(b, t, s, value);
}

static void test_conflicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHL_COUNT_OF(conflicts); i++)
        for (int serializable = 0; serializable < 2; serializable++)
            for (int in_txn = 0; in_txn < 2; in_txn++) {
                struct bench b;
                bench_init(&b);
                use_operator(&b, "concat");
                bench_open(&b);
                put(&b, "a", "0");
                put(&b, "b", "0");
                struct shl_txn *t = begin(&b, serializable);
                do_steps(&b, t, conflicts[i].mine, "mine");
                struct shl_txn *other = in_txn ? begin(&b, false) : NULL;
                if (other != NULL && strchr(conflicts[i].theirs, 'o') == NULL &&
                    strchr(conflicts[i].theirs, 'd') == NULL) {
                    do_steps(&b, other, conflicts[i].theirs, "theirs");
                    OK(shl_txn_commit(other, false, 0, NULL, &db_err));
                } else {
                    do_steps(&b, NULL, conflicts[i].theirs, "theirs");
                }
                shl_txn_close(other);
                bool fails = serializable ? conflicts[i].ssi_fails : conflicts[i].si_fails;
                uint64_t before = status_of(b.db).committed_seq;
                shale_code rc = commit(t);
                CHECK(rc == (fails ? SHALE_CONFLICT : SHALE_OK), "%s, %s: %s", conflicts[i].what,
                      serializable ? "serializable" : "snapshot", shale_code_name(rc));
                if (fails) { /* it left nothing */
                    assert_int_equal(status_of(b.db).committed_seq, before);
                    assert_string_not_equal(got(b.db, "a", false), "mine");
                }
                bench_end(&b);
            }
}

static void test_a_conflict_names_the_key(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    put(&b, "k\x01y", "0");
    struct shl_txn *t = begin(&b, false);
    txn_put(t, "k\x01y", "1");
    put(&b, "other", "1");
    put(&b, "k\x01y", "2");
    FAILS(commit(t), SHALE_CONFLICT);
    assert_non_null(strstr(db_err.text, "the key \"k\\x01y\", which the transaction wrote"));
    assert_non_null(strstr(db_err.text, "by seq 3"));
    assert_non_null(strstr(db_err.text, "began at seq 1"));
    bench_end(&b);
}

static void test_write_skew(void **state)
{
    (void)state;
    for (int serializable = 0; serializable < 2; serializable++) {
        struct bench b;
        bench_init(&b);
        bench_open(&b);
        put(&b, "x", "1");
        put(&b, "y", "1");
        struct shl_txn *one = begin(&b, serializable), *two = begin(&b, serializable);
        (void)txn_rows(one, &all_keys, false);
        (void)txn_got(two, "x");
        (void)txn_got(two, "y");
        txn_put(one, "x", "0");
        txn_put(two, "y", "0");
        OK(commit(one));
        CHECK(commit(two) == (serializable ? SHALE_CONFLICT : SHALE_OK), "write skew");
        bench_end(&b);
    }
}

/* ---------------------------------------------------------------- the log of what others wrote */

static void test_the_conflict_log_is_bounded(void **state)
{
    struct bench b;
    char key[32];
    (void)state;
    bench_init(&b);
    b.settings.transaction_log_bytes = 100 << 10;
    bench_open(&b);
    struct shl_txn *old = begin(&b, false);
    txn_put(old, "mine", "1");
    for (int i = 0; i < 10000; i++) {
        snprintf(key, sizeof key, "k%06d", i);
        put(&b, key, "");
    }
    struct shl_txn *young = begin(&b, false);
    txn_put(young, "mine too", "1");
    put(&b, "a", "1");
    OK(commit(young));
    FAILS(commit(old), SHALE_CONFLICT);
    assert_non_null(strstr(db_err.text, "too old"));
    assert_non_null(strstr(db_err.text, "transaction_log_bytes = 102400"));
    b.settings.transaction_log_bytes =
        0; /* nothing is remembered: any write of others is one too many */
    bench_reopen(&b);
    old = begin(&b, false);
    txn_put(old, "mine", "1");
    OK(commit(old));
    old = begin(&b, false);
    txn_put(old, "mine", "1");
    put(&b, "a", "1");
    FAILS(commit(old), SHALE_CONFLICT);
    bench_end(&b);
}

static void test_seqs_of_the_user_leave_room_for_own_writes(void **state)
{
    struct bench b;
    const struct shl_lsm_write far = {.seq = SHL_OWN_SEQ + 1};
    struct shl_txn *t;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    t = begin(&b, false);
    FAILS(shl_lsm_write_one(b.db, 0, shl_slice_str("a"), shl_slice_str("1"), default_ttl, &far,
                            NULL, &db_err),
          SHALE_INVALID);
    shl_txn_close(t);
    OK(shl_lsm_write_one(b.db, 0, shl_slice_str("a"), shl_slice_str("1"), default_ttl, &far, NULL,
                         &db_err));
    FAILS(shl_txn_begin(b.db, false, &t, &db_err), SHALE_INVALID);
    expect_all(b.db, "a=1");
    bench_end(&b);
}

/* ---------------------------------------------------------------- a model */

#define KEYS    12
#define TXNS    5
#define STEPS   700
#define LOG_MAX 4096

/* A value is the digits of who wrote it; operands add digits. "" with live: an empty value cannot be, each has a digit. */
struct cell {
    char value[256];
    bool live;
};

struct model_txn {
    struct shl_txn *txn; /* NULL: not open */
    struct shl_snapshot *snapshot;
    bool serializable;
    struct cell view[KEYS]; /* with own writes */
    bool wrote[KEYS], unmarked[KEYS], read[KEYS];
    size_t began; /* index into the log */
};

struct model {
    uint64_t random;
    struct bench b;
    struct cell now[KEYS];
    bool log[LOG_MAX][KEYS]; /* what each commit wrote and did not unmark */
    size_t log_count;
    struct model_txn txns[TXNS];
    unsigned conflicts, commits;
};

static uint32_t chance(struct model *m, uint32_t below)
{
    m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(m->random >> 33) % below;
}

static void model_key(unsigned k, char out[16])
{
    snprintf(out, 16, "k/%02u", k);
}

static void apply(struct cell *c, uint8_t kind, char digit)
{
    char add[2] = {digit, '\0'};
    if (kind != SHL_ROW_MERGE || !c->live)
        c->value[0] = '\0';
    c->live = kind != SHL_ROW_TOMBSTONE;
    if (c->live)
        strcat(c->value, add);
    assert_true(strlen(c->value) < sizeof c->value - 1);
}

static const char *model_rows(const struct cell *cells, bool reverse, unsigned from, unsigned to)
{
    static char text[2048];
    size_t n = 0;
    text[0] = '\0';
    for (unsigned i = from; i < to; i++) {
        unsigned k = reverse ? from + to - 1 - i : i;
        if (cells[k].live)
            n += (size_t)snprintf(text + n, sizeof text - n, "%sk/%02u=%s", n > 0 ? " " : "", k,
                                  cells[k].value);
    }
    return text;
}

static void check_scan(struct model *m, struct model_txn *t)
{
    struct shl_lsm_iter *it;
    unsigned from = chance(m, KEYS), to = from + chance(m, KEYS - from + 1);
    char first[16], last[16];
    bool reverse = chance(m, 2) == 0;
    model_key(from, first);
    model_key(to, last);
    struct shl_lsm_range range = range_of(first, SHL_LSM_INCLUDED, last, SHL_LSM_EXCLUDED);
    struct shl_lsm_scan how = {.reverse = reverse};
    if (t->txn != NULL) {
        OK(shl_txn_scan(t->txn, &range, &how, &it, &db_err));
        for (unsigned k = from; k < to; k++)
            t->read[k] = true;
    } else {
        how.view = shl_snapshot_view(t->snapshot);
        OK(shl_lsm_scan_open(m->b.db, &range, &how, &it, &db_err));
    }
    assert_string_equal(rows_of(it), model_rows(t->view, reverse, from, to));
    shl_lsm_iter_close(it);
}

static void check_get(struct model *m, struct model_txn *t)
{
    unsigned k = chance(m, KEYS);
    char key[16];
    model_key(k, key);
    const char *found = t->txn != NULL ? txn_got(t->txn, key) : snap_got(t->snapshot, key);
    assert_string_equal(found, t->view[k].live ? t->view[k].value : "-");
    if (t->txn != NULL)
        t->read[k] = true;
}

static bool foretold(const struct model *m, const struct model_txn *t)
{
    for (size_t i = t->began; i < m->log_count; i++)
        for (unsigned k = 0; k < KEYS; k++)
            if (m->log[i][k] &&
                ((t->wrote[k] && !t->unmarked[k]) || (t->serializable && t->read[k])))
                return true;
    return false;
}

static void end_txn(struct model *m, struct model_txn *t, bool commits)
{
    bool any = false;
    if (t->txn == NULL) {
        shl_snapshot_close(t->snapshot);
    } else if (!commits) {
        shl_txn_close(t->txn);
    } else {
        bool fails = foretold(m, t);
        CHECK(commit(t->txn) == (fails ? SHALE_CONFLICT : SHALE_OK), "as the model says");
        m->conflicts += fails;
        m->commits += !fails;
        for (unsigned k = 0; k < KEYS && !fails; k++)
            if (t->wrote[k]) {
                any = true;
                m->log[m->log_count][k] = !t->unmarked[k];
            }
    }
    m->log_count += any;
    t->txn = NULL;
    t->snapshot = NULL;
}

/* What was written by digits over a base that others may have changed: merges without a put of their own fold onto the newest state. */
struct own_write {
    uint8_t kind;
    char digit;
    unsigned key;
};
static struct own_write own_writes[TXNS][STEPS];
static size_t own_counts[TXNS];

static void begin_one(struct model *m, struct model_txn *t)
{
    size_t slot = (size_t)(t - m->txns);
    *t = (struct model_txn){.serializable = chance(m, 2) == 0, .began = m->log_count};
    memcpy(t->view, m->now, sizeof t->view);
    own_counts[slot] = 0;
    if (chance(m, 4) == 0)
        OK(shl_snapshot_open(m->b.db, &t->snapshot, &db_err));
    else
        t->txn = begin(&m->b, t->serializable);
}

static void write_one(struct model *m, struct model_txn *t)
{
    static const uint8_t kinds[] = {0, 0, SHL_ROW_TOMBSTONE, SHL_ROW_MERGE, SHL_ROW_MERGE};
    size_t slot = (size_t)(t - m->txns);
    struct own_write w = {
        .kind = kinds[chance(m, 5)], .digit = (char)('0' + chance(m, 10)), .key = chance(m, KEYS)};
    char key[16], value[2] = {w.digit, '\0'};
    model_key(w.key, key);
    OK(try_txn_write(t->txn, w.kind, key, value));
    apply(&t->view[w.key], w.kind, w.digit);
    t->wrote[w.key] = true;
    own_writes[slot][own_counts[slot]++] = w;
    if (chance(m, 12) == 0) {
        OK(shl_txn_unmark_write(t->txn, shl_slice_str(key), &db_err));
        t->unmarked[w.key] = true;
    }
}

static void plain_write(struct model *m)
{
    static const uint8_t kinds[] = {0, SHL_ROW_TOMBSTONE, SHL_ROW_MERGE};
    unsigned k = chance(m, KEYS);
    uint8_t kind = kinds[chance(m, 3)];
    char key[16], value[2] = {(char)('a' + chance(m, 26)), '\0'};
    model_key(k, key);
    OK(write_kind(&m->b, kind, key, value, default_ttl));
    apply(&m->now[k], kind, value[0]);
    m->log[m->log_count++][k] = true;
}

static void commit_one(struct model *m, struct model_txn *t)
{
    size_t slot = (size_t)(t - m->txns);
    bool wins = t->txn != NULL && !foretold(m, t);
    end_txn(m, t, true);
    for (size_t i = 0; wins && i < own_counts[slot]; i++)
        apply(&m->now[own_writes[slot][i].key], own_writes[slot][i].kind,
              own_writes[slot][i].digit);
}

static void maintain(struct model *m)
{
    switch (chance(m, 4)) {
    case 0:
        OK(shl_lsm_flush(m->b.db, false, &db_err));
        break;
    case 1:
    case 2:
        OK(shl_lsm_flush(m->b.db, true, &db_err));
        break;
    default:
        OK(shl_lsm_settle(m->b.db, &db_err));
        break;
    }
}

static void step(struct model *m)
{
    struct model_txn *t = &m->txns[chance(m, TXNS)];
    bool open = t->txn != NULL || t->snapshot != NULL;
    uint32_t p = chance(m, 100);
    if (p < 15)
        plain_write(m);
    else if (p < 19)
        maintain(m);
    else if (!open)
        begin_one(m, t);
    else if (p < 40)
        check_get(m, t);
    else if (p < 55)
        check_scan(m, t);
    else if (p < 85 && t->txn != NULL)
        write_one(m, t);
    else if (p < 97)
        commit_one(m, t);
    else
        end_txn(m, t, false);
    if (chance(m, 20) == 0)
        assert_string_equal(scanned(m->b.db, &all_keys, &(struct shl_lsm_scan){0}),
                            model_rows(m->now, false, 0, KEYS));
}

static void model_run(uint64_t seed)
{
    static struct model m;
    m = (struct model){.random = seed};
    bench_init(&m.b);
    use_operator(&m.b, "concat");
    m.b.settings.compactor_enabled = true;
    bench_open(&m.b);
    for (int i = 0; i < STEPS; i++)
        step(&m);
    for (size_t i = 0; i < TXNS; i++)
        if (m.txns[i].txn != NULL || m.txns[i].snapshot != NULL)
            end_txn(&m, &m.txns[i], false);
    bench_reopen(&m.b);
    assert_string_equal(scanned(m.b.db, &all_keys, &(struct shl_lsm_scan){0}),
                        model_rows(m.now, false, 0, KEYS));
    assert_true(m.commits > 0 && m.conflicts > 0);
    bench_end(&m.b);
}

static void test_random_transactions_do_what_the_model_says(void **state)
{
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : env_rand64();
    (void)state;
    for (unsigned i = 0; i < (given != NULL ? 1 : 40); i++) {
        printf("seed 0x%llx\n", (unsigned long long)(seed + i));
        model_run(seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_snapshot_never_changes),
        cmocka_unit_test(test_a_snapshot_sees_only_what_is_durable_if_asked),
        cmocka_unit_test(test_a_reader_has_snapshots_too),
        cmocka_unit_test(test_a_transaction_sees_its_own_writes_on_top),
        cmocka_unit_test(test_scans_of_a_transaction_stand_still_and_can_seek),
        cmocka_unit_test(test_a_commit_is_one_batch),
        cmocka_unit_test(test_conflicts),
        cmocka_unit_test(test_a_conflict_names_the_key),
        cmocka_unit_test(test_write_skew),
        cmocka_unit_test(test_the_conflict_log_is_bounded),
        cmocka_unit_test(test_seqs_of_the_user_leave_room_for_own_writes),
        cmocka_unit_test(test_random_transactions_do_what_the_model_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
