/* Goal: what merges come to does not depend on where flushes, compactions, batches and snapshots cut the operands into groups.
 * Method: for every built-in operator random puts, deletes and merges, alone and in batches, on a few keys, with flushes, compactions, reopenings, crashes and
 * snapshots at random between them; reads and scans both ways must give what folding one by one gives (seed printed; SEED=N repeats it). */
#include "base/num.h"
#include "lsm/txn.h"
#include "unit/support_db.h"

static const char *const operators[] = {"concat",  "sum-u64", "sum-i64",   "max-u64",  "min-u64",
                                        "max-i64", "min-i64", "max-bytes", "min-bytes"};

#define KEYS      4
#define STEPS     220
#define VALUE_MAX 1024
#define SNAPSHOTS 2

struct cell {
    bool live;
    size_t len;
    uint8_t value[VALUE_MAX];
};

struct run {
    uint64_t random;
    const char *name;
    struct bench b;
    struct cell now[KEYS];
    struct shl_snapshot *snapshots[SNAPSHOTS];
    struct cell seen[SNAPSHOTS][KEYS];
};

static unsigned chance(struct run *r, unsigned below)
{
    r->random = r->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(r->random >> 33) % below;
}

static int64_t number(const uint8_t *value, size_t len)
{
    uint8_t bytes[8] = {0};
    memcpy(bytes, value, len);
    return (int64_t)shl_load_u64le(bytes);
}

static void set_number(struct cell *c, uint64_t n)
{
    c->len = 8;
    shl_store_u64le(c->value, n);
}

/* The operators once more, as plainly as they can be said. */
static void fold_into(const char *name, struct cell *c, const uint8_t *value, size_t len)
{
    bool max = strncmp(name, "max", 3) == 0;
    if (strcmp(name, "concat") == 0) {
        assert_true(c->len + len < VALUE_MAX);
        memcpy(c->value + c->len, value, len);
        c->len += len;
    } else if (strstr(name, "bytes") != NULL) {
        int cmp = memcmp(c->value, value, c->len < len ? c->len : len);
        cmp = cmp != 0 ? cmp : c->len < len ? -1 : c->len > len ? 1 : 0;
        if (max ? cmp < 0 : cmp > 0) {
            memcpy(c->value, value, len);
            c->len = len;
        }
    } else {
        int64_t a = number(c->value, c->len), b = number(value, len);
        bool less = strstr(name, "i64") != NULL ? a < b : (uint64_t)a < (uint64_t)b;
        if (strncmp(name, "sum", 3) == 0)
            set_number(c, (uint64_t)a + (uint64_t)b);
        else
            set_number(c, (uint64_t)(less == max ? b : a));
    }
}

static void apply(const char *name, struct cell *c, uint8_t kind, const uint8_t *value, size_t len)
{
    if (kind == SHL_ROW_TOMBSTONE) {
        *c = (struct cell){0};
    } else if (kind == 0) {
        c->live = true;
        c->len = len;
        memcpy(c->value, value, len);
    } else if (!c->live) {
        c->live = true;
        c->len = 0;
        if (strstr(name, "64") != NULL)
            set_number(c, (uint64_t)number(value, len));
        else {
            c->len = len;
            memcpy(c->value, value, len);
        }
    } else {
        fold_into(name, c, value, len);
    }
}

static size_t random_value(struct run *r, uint8_t out[16])
{
    size_t len = strstr(r->name, "i64") != NULL   ? 8
                 : strstr(r->name, "u64") != NULL ? chance(r, 9)
                                                  : chance(r, 4);
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)chance(r, 256);
    return len;
}

static void write_some(struct run *r)
{
    static const uint8_t kinds[] = {
        0, SHL_ROW_TOMBSTONE, SHL_ROW_MERGE, SHL_ROW_MERGE, SHL_ROW_MERGE, SHL_ROW_MERGE};
    struct shl_batch batch;
    shl_batch_init(&batch);
    for (unsigned n = chance(r, 3) == 0 ? 1 + chance(r, 8) : 1; n > 0; n--) {
        unsigned k = chance(r, KEYS);
        char key[8];
        uint8_t value[16];
        size_t len = random_value(r, value);
        uint8_t kind = kinds[chance(r, 6)];
        snprintf(key, sizeof key, "k%u", k);
        shl_batch_add(&batch, kind, shl_slice_str(key), shl_slice_of(value, len), default_ttl);
        apply(r->name, &r->now[k], kind, value, len);
    }
    OK(shl_lsm_write(r->b.db, &batch, &no_wait, NULL, &db_err));
    shl_batch_deinit(&batch);
}

static bool is_value(struct shl_slice found, const struct cell *c)
{
    return shl_slice_eq(found, shl_slice_of(c->value, c->len));
}

static void check_scan(struct run *r, const struct cell *want, const struct shl_view *view,
                       bool reverse)
{
    struct shl_lsm_iter *it;
    struct shl_row row;
    const struct shl_lsm_scan how = {.reverse = reverse, .view = view};
    OK(shl_lsm_scan_open(r->b.db, &all_keys, &how, &it, &db_err));
    for (unsigned i = 0; i < KEYS; i++) {
        const struct cell *c = &want[reverse ? KEYS - 1 - i : i];
        if (!c->live)
            continue;
        OK(shl_lsm_iter_next(it, &row, &db_err));
        CHECK(is_value(row.value, c), "%s: key %.*s", r->name, (int)row.key.len,
              (const char *)row.key.data);
    }
    FAILS(shl_lsm_iter_next(it, &row, &db_err), SHALE_DONE);
    shl_lsm_iter_close(it);
}

static void check_gets(struct run *r, const struct cell *want, const struct shl_view *view)
{
    const struct shl_lsm_read how = {.view = view};
    for (unsigned k = 0; k < KEYS; k++) {
        struct shl_lsm_pinned p = {0};
        char key[8];
        snprintf(key, sizeof key, "k%u", k);
        shale_code rc = shl_lsm_get(r->b.db, shl_slice_str(key), &how, &p, &db_err);
        CHECK(rc == (want[k].live ? SHALE_OK : SHALE_NOT_FOUND), "%s: %s", r->name, key);
        CHECK(rc != SHALE_OK || is_value(p.value, &want[k]), "%s: %s", r->name, key);
        shl_lsm_pinned_release(&p);
    }
}

static void check(struct run *r)
{
    check_gets(r, r->now, NULL);
    check_scan(r, r->now, NULL, chance(r, 2) == 0);
    for (unsigned i = 0; i < SNAPSHOTS; i++)
        if (r->snapshots[i] != NULL) {
            check_gets(r, r->seen[i], shl_snapshot_view(r->snapshots[i]));
            check_scan(r, r->seen[i], shl_snapshot_view(r->snapshots[i]), chance(r, 2) == 0);
        }
}

static void close_snapshots(struct run *r)
{
    for (unsigned i = 0; i < SNAPSHOTS; i++) {
        shl_snapshot_close(r->snapshots[i]);
        r->snapshots[i] = NULL;
    }
}

static void disturb(struct run *r)
{
    unsigned i = chance(r, SNAPSHOTS);
    switch (chance(r, 9)) {
    case 0:
        OK(shl_lsm_flush(r->b.db, false, &db_err));
        break;
    case 1:
    case 2:
    case 3:
        OK(shl_lsm_flush(r->b.db, true, &db_err));
        break;
    case 4:
        OK(shl_lsm_settle(r->b.db, &db_err));
        break;
    case 5:
        close_snapshots(r);
        bench_reopen(&r->b);
        break;
    case 6:
        close_snapshots(r);
        OK(shl_lsm_flush(r->b.db, false, &db_err));
        bench_crash(&r->b);
        break;
    default:
        shl_snapshot_close(r->snapshots[i]);
        OK(shl_snapshot_open(r->b.db, &r->snapshots[i], &db_err));
        memcpy(r->seen[i], r->now, sizeof r->now);
        break;
    }
}

static void run_one(const char *name, uint64_t seed)
{
    static struct run r;
    r = (struct run){.random = seed, .name = name};
    bench_init(&r.b);
    use_operator(&r.b, name);
    r.b.settings.compactor_enabled = true;
    bench_open(&r.b);
    for (unsigned i = 0; i < STEPS; i++) {
        write_some(&r);
        if (chance(&r, 4) == 0)
            disturb(&r);
        if (chance(&r, 6) == 0)
            check(&r);
    }
    check(&r);
    close_snapshots(&r);
    OK(shl_lsm_settle(r.b.db, &db_err));
    check(&r);
    bench_end(&r.b);
}

static void test_results_do_not_depend_on_groups(void **state)
{
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : env_rand64();
    (void)state;
    printf("seed 0x%llx\n", (unsigned long long)seed);
    for (size_t i = 0; i < SHL_COUNT_OF(operators); i++)
        for (unsigned n = 0; n < 4; n++)
            run_one(operators[i], seed + n);
}

static void expect_merge(const char *name, const char *existing, size_t existing_len,
                         const char *operand, size_t len, const char *want, size_t want_len)
{
    struct shl_merge_operator op;
    struct shl_buf out = {0};
    struct shl_slice before = shl_slice_of(existing, existing_len);
    assert_true(shl_merge_operator_builtin(name, &op));
    shale_code rc = op.merge(op.ctx, shl_slice_str("k"), existing != NULL ? &before : NULL,
                             shl_slice_of(operand, len), &out, &db_err);
    if (want == NULL) {
        assert_int_equal(rc, SHALE_INVALID);
    } else {
        OK(rc);
        CHECK(shl_slice_eq(shl_buf_view(&out), shl_slice_of(want, want_len)), "%s", name);
    }
    shl_buf_free(&out);
}

static void test_the_operators_one_by_one(void **state)
{
    struct shl_merge_operator op;
    (void)state;
    expect_merge("sum-u64", "\xff", 1, "\x01", 1, "\0\1\0\0\0\0\0\0", 8);
    expect_merge("sum-i64", "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "\3\0\0\0\0\0\0\0", 8,
                 "\2\0\0\0\0\0\0\0", 8);
    expect_merge("max-u64", "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "\3", 1,
                 "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    expect_merge("max-i64", "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "\3\0\0\0\0\0\0\0", 8,
                 "\3\0\0\0\0\0\0\0", 8);
    expect_merge("min-i64", "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "\3\0\0\0\0\0\0\0", 8,
                 "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    expect_merge("min-u64", NULL, 0, "\3", 1, "\3\0\0\0\0\0\0\0", 8);
    expect_merge("max-bytes", "ab", 2, "abc", 3, "abc", 3);
    expect_merge("max-bytes", "\xff", 1, "abc", 3, "\xff", 1);
    expect_merge("min-bytes", "ab", 2, "abc", 3, "ab", 2);
    expect_merge("min-bytes", "ab", 2, "", 0, "", 0);
    expect_merge("sum-i64", NULL, 0, "\3", 1, NULL, 0);
    assert_non_null(strstr(db_err.text, "sum-i64: a value of 1 bytes, exactly 8"));
    expect_merge("max-u64", "123456789", 9, "\3", 1, NULL, 0);
    assert_non_null(strstr(db_err.text, "max-u64: a value of 9 bytes, at most 8"));
    assert_false(shl_merge_operator_builtin("sum", &op));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_operators_one_by_one),
        cmocka_unit_test(test_results_do_not_depend_on_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
