/* Goal: filters of the application's own: made for each SSTable, stored under their name, asked before it is searched; who does not know the name passes
 * them over, and a policy that fails costs speed only. Method: databases in memory; a policy that notes the first bytes of keys, and others that fail on
 * purpose. That an answer counts is seen by one that is wrong: what it denies is not found. */
#include <shale/shale.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants some of the above */
#include <cmocka.h>

static shale_error err;

static void ok(shale_code rc)
{
    if (rc != SHALE_OK)
        fail_msg("%s: %s", shale_code_name(rc), err.text);
}

/* ---------------------------------------------------------------- a policy: which first bytes keys have */

enum fails { FAIL_NEVER, FAIL_BEGIN, FAIL_ADD, FAIL_END, FAIL_SILENT, FAIL_TWICE };

struct policy {
    enum fails fails;
    bool denies;               /* everything */
    _Atomic unsigned open;     /* builders */
    _Atomic unsigned made;     /* filters */
    _Atomic unsigned asked[2]; /* by kind */
    _Atomic unsigned denied;
    _Atomic unsigned strange; /* things that must not be */
    char context;             /* that every query must have; 0: none */
};

struct builder {
    unsigned char bits[32];
    unsigned rows;
};

static shale_code begin(void *ctx, void **builder)
{
    struct policy *p = ctx;
    if (p->fails == FAIL_BEGIN)
        return SHALE_NOMEM;
    *builder = calloc(1, sizeof(struct builder));
    p->open++;
    return *builder == NULL ? SHALE_NOMEM : SHALE_OK;
}

static shale_code add(void *ctx, void *builder, const shale_raw_row *row)
{
    const struct policy *p = ctx;
    struct builder *b = builder;
    unsigned char first = *(const unsigned char *)row->key.data;
    if (p->fails == FAIL_ADD && b->rows == 1)
        return SHALE_INVALID;
    b->bits[first / 8] |= (unsigned char)(1u << first % 8);
    b->rows++;
    return SHALE_OK;
}

static shale_code end(void *ctx, void *builder, void (*emit)(void *emit_ctx, shale_slice filter),
                      void *emit_ctx)
{
    struct policy *p = ctx;
    struct builder *b = builder;
    shale_code rc = p->fails == FAIL_END ? SHALE_INTERNAL : SHALE_OK;
    p->open--;
    if (emit != NULL && p->fails != FAIL_SILENT) {
        emit(emit_ctx, shale_bytes(b->bits, sizeof b->bits));
        if (p->fails == FAIL_TWICE)
            emit(emit_ctx, shale_bytes(b->bits, sizeof b->bits));
        p->made++;
    }
    free(b);
    return rc;
}

static bool may_match(void *ctx, shale_slice filter, const shale_filter_query *query)
{
    struct policy *p = ctx;
    const unsigned char *bits = filter.data;
    const unsigned char *context = query->context.data;
    p->strange += filter.len != 32 || query->key.len == 0 || query->struct_size < sizeof *query;
    p->strange += p->context != 0 && (query->context.len != 1 || context[0] != p->context);
    p->asked[query->kind]++;
    unsigned char first = *(const unsigned char *)query->key.data;
    bool passes = !p->denies && (bits[first / 8] >> first % 8 & 1) != 0;
    p->denied += !passes;
    return passes;
}

static shale_options *with(const char *name, struct policy *p)
{
    shale_filter_policy how;
    shale_options *o = shale_options_new();
    assert_non_null(o);
    ok(shale_options_set(o, "compactor_options", "none", &err));
    ok(shale_options_set(o, "min_filter_keys", "3", &err));
    if (name == NULL)
        return o;
    shale_filter_policy_init(&how, sizeof how);
    how.ctx = p;
    how.begin = begin;
    how.add = add;
    how.end = end;
    how.may_match = may_match;
    ok(shale_options_add_filter_policy(o, name, &how, &err));
    return o;
}

static shale_db *reopen(shale_db *db, const char *url, const char *name, struct policy *p)
{
    shale_options *o = with(name, p);
    ok(shale_db_close(db, &err));
    ok(shale_db_open(&db, url, o, &err));
    shale_options_free(o);
    return db;
}

/* ---------------------------------------------------------------- a database: SSTables with keys of a few first bytes each */

static void table(shale_db *db, const char *letters, int rows)
{
    for (const char *c = letters; *c != '\0'; c++)
        for (int i = 0; i < rows; i++) {
            char key[16];
            (void)snprintf(key, sizeof key, "%c%03d", *c, i);
            ok(shale_db_put(db, shale_str(key), shale_str(key), NULL, &err));
        }
    ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
}

static bool finds(shale_db *db, const char *key, const shale_read_options *how)
{
    shale_pinned found = {0};
    shale_code rc = shale_db_get(&found, db, shale_str(key), how, &err);
    if (rc == SHALE_NOT_FOUND)
        return false;
    ok(rc);
    shale_pinned_release(&found);
    return true;
}

static unsigned count(shale_db *db, const char *prefix, const shale_scan_options *how)
{
    shale_iter *it = NULL;
    shale_row row;
    shale_code rc;
    unsigned n = 0;
    ok(shale_db_scan(&it, db, shale_range_prefix(shale_str(prefix)), how, &err));
    while ((rc = shale_iter_next(&row, it, &err)) == SHALE_OK)
        n++;
    assert_int_equal(rc, SHALE_DONE);
    shale_iter_close(it);
    return n;
}

static void expect_all(shale_db *db)
{
    assert_int_equal(count(db, "", NULL), 30);
    assert_true(finds(db, "a003", NULL));
    assert_true(finds(db, "b004", NULL));
    assert_true(finds(db, "c009", NULL));
}

/* ---------------------------------------------------------------- tests */

static void test_a_filter_is_made_and_asked(void **state)
{
    static const char url[] = "memory://?name=made-and-asked";
    struct policy p = {.fails = FAIL_NEVER};
    shale_db *db = NULL;
    (void)state;
    shale_options *o = with("first-byte", &p);
    ok(shale_db_open(&db, url, o, &err));
    shale_options_free(o);
    table(db, "ac", 10);
    table(db, "b", 10);
    assert_int_equal(p.made, 2);
    expect_all(db);
    assert_int_equal(p.denied, 0); /* the Bloom filter, and the ranges, have said no before */
    assert_true(p.asked[SHALE_FILTER_POINT] >= 3);
    p.denied = 0;
    assert_int_equal(count(db, "b", NULL), 10); /* lies inside the range of the first table */
    assert_int_equal(p.denied, 1);
    assert_int_equal(p.asked[SHALE_FILTER_PREFIX], 2);
    p.denies = true;
    assert_false(finds(db, "a003", NULL));
    assert_int_equal(count(db, "b", NULL), 0);
    assert_int_equal(count(db, "", NULL), 30); /* no prefix: nobody is asked */
    p.denies = false;
    shale_pinned out[2] = {0};
    shale_code codes[2];
    const shale_slice keys[] = {SHALE_STR("a001"), SHALE_STR("b002")};
    ok(shale_db_get_many(out, codes, db, keys, 2, NULL, &err));
    assert_int_equal(codes[0], SHALE_OK);
    assert_int_equal(codes[1], SHALE_OK);
    shale_pinned_release(&out[0]);
    shale_pinned_release(&out[1]);
    p.denies = true;
    ok(shale_db_get_many(out, codes, db, keys, 2, NULL, &err));
    assert_int_equal(codes[0], SHALE_NOT_FOUND);
    assert_int_equal(codes[1], SHALE_NOT_FOUND);
    ok(shale_db_close(db, &err));
    assert_int_equal(p.open, 0);
    assert_int_equal(p.strange, 0);
}

static void test_who_does_not_know_the_name_passes_it_over(void **state)
{
    static const char url[] = "memory://?name=unknown-names";
    struct policy p = {.fails = FAIL_NEVER}, other = {.denies = true};
    shale_db *db = NULL;
    (void)state;
    shale_options *o = with("first-byte", &p);
    ok(shale_db_open(&db, url, o, &err));
    shale_options_free(o);
    table(db, "ac", 10);
    table(db, "b", 10);
    db = reopen(db, url, NULL, NULL);
    expect_all(db);
    db = reopen(db, url, "something else", &other);
    expect_all(db);
    assert_int_equal(other.asked[SHALE_FILTER_POINT], 0);
    p.denies = true;
    db = reopen(db, url, "first-byte", &p);
    assert_false(finds(db, "a003", NULL));
    ok(shale_db_close(db, &err));
}

static void test_compactions_make_it_anew(void **state)
{
    static const char url[] = "memory://?name=made-anew";
    struct policy p = {.fails = FAIL_NEVER};
    shale_compact_options now;
    shale_db *db = NULL;
    (void)state;
    shale_options *o = with("first-byte", &p), *without = with(NULL, NULL);
    ok(shale_db_open(&db, url, without, &err));
    table(db, "ac", 10);
    table(db, "b", 10);
    shale_compact_options_init(&now, sizeof now);
    now.take_over_ms = 1;
    ok(shale_options_set(o, "compactor_options.scheduler_options.min_compaction_sources", "2",
                         &err));
    ok(shale_compact(NULL, url, o, NULL, &now, &err));
    assert_int_equal(p.made, 1);
    db = reopen(db, url, "first-byte", &p);
    expect_all(db);
    p.denies = true;
    assert_false(finds(db, "a003", NULL));
    ok(shale_db_close(db, &err));
    shale_options_free(o);
    shale_options_free(without);
    assert_int_equal(p.open, 0);
}

static void test_small_tables_have_none(void **state)
{
    struct policy p = {.fails = FAIL_NEVER};
    shale_db *db = NULL;
    (void)state;
    shale_options *o = with("first-byte", &p);
    ok(shale_db_open(&db, "memory:", o, &err));
    shale_options_free(o);
    table(db, "ab", 1);
    p.denies = true;
    assert_true(finds(db, "a000", NULL));
    assert_int_equal(p.made + p.open + p.asked[SHALE_FILTER_POINT], 0);
    ok(shale_db_close(db, &err));
}

static void test_a_policy_that_fails_costs_speed_only(void **state)
{
    static const enum fails all[] = {FAIL_BEGIN, FAIL_ADD, FAIL_END, FAIL_SILENT, FAIL_TWICE};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct policy p = {.fails = all[i], .denies = true}, good = {.fails = FAIL_NEVER};
        shale_filter_policy how = {.struct_size = sizeof how,
                                   .ctx = &good,
                                   .begin = begin,
                                   .add = add,
                                   .end = end,
                                   .may_match = may_match};
        shale_db *db = NULL;
        shale_options *o = with("bad", &p);
        ok(shale_options_add_filter_policy(o, "good", &how, &err));
        ok(shale_options_set(o, "bloom_bits_per_key", i % 2 == 0 ? "0" : "10", &err));
        ok(shale_db_open(&db, "memory:", o, &err));
        shale_options_free(o);
        table(db, "ac", 10);
        table(db, "b", 10);
        expect_all(db);
        assert_int_equal(p.asked[SHALE_FILTER_POINT], 0);
        assert_int_equal(good.made, 2); /* the other one is there all the same */
        assert_true(good.asked[SHALE_FILTER_POINT] >= 3);
        ok(shale_db_close(db, &err));
        assert_int_equal(p.open + good.open, 0);
        assert_int_equal(p.strange + good.strange, 0);
    }
}

static void test_queries_carry_the_context_of_the_read(void **state)
{
    struct policy p = {.context = 'x'};
    shale_read_options how;
    shale_scan_options scan;
    shale_db *db = NULL;
    (void)state;
    shale_options *o = with("first-byte", &p);
    ok(shale_db_open(&db, "memory:", o, &err));
    shale_options_free(o);
    table(db, "ac", 10);
    shale_read_options_init(&how, sizeof how);
    shale_scan_options_init(&scan, sizeof scan);
    how.filter_context = scan.filter_context = SHALE_STR("x");
    assert_true(finds(db, "a001", &how));
    assert_int_equal(count(db, "c", &scan), 10);
    assert_true(p.asked[SHALE_FILTER_POINT] > 0 && p.asked[SHALE_FILTER_PREFIX] > 0);
    assert_int_equal(p.strange, 0);
    assert_true(finds(db, "a001", NULL));
    assert_int_equal(p.strange, 1);
    ok(shale_db_close(db, &err));
}

static void refused(shale_options *o, const char *name, const shale_filter_policy *how,
                    const char *want)
{
    assert_int_equal(shale_options_add_filter_policy(o, name, how, &err), SHALE_INVALID);
    if (strstr(err.text, want) == NULL)
        fail_msg("\"%s\" is not in: %s", want, err.text);
}

static void test_what_is_refused(void **state)
{
    static char long_name[129];
    struct policy p = {.fails = FAIL_NEVER};
    shale_filter_policy good, bad;
    (void)state;
    shale_options *o = with("first-byte", &p);
    shale_filter_policy_init(&good, sizeof good);
    good.add = add;
    good.end = end;
    good.may_match = may_match;
    memset(long_name, 'n', sizeof long_name - 1);
    refused(o, NULL, &good, "a name of 0 bytes; it must have 1 to 127");
    refused(o, "", &good, "a name of 0 bytes");
    refused(o, long_name, &good, "a name of 128 bytes");
    refused(o, "\xff", &good, "must be UTF-8");
    refused(o, "_bf:p=mine", &good, "names that begin with _bf are Bloom filters");
    refused(o, "first-byte", &good, "it is there already");
    refused(o, "x", NULL, "filter policy x: add is NULL");
    bad = good;
    bad.end = NULL;
    refused(o, "x", &bad, "end is NULL");
    bad = good;
    bad.may_match = NULL;
    refused(o, "x", &bad, "may_match is NULL");
    bad = good;
    bad.struct_size = 0;
    refused(o, "x", &bad, "struct_size is 0");
    for (int i = 1; i < SHALE_FILTER_POLICIES_MAX; i++) {
        char name[] = {(char)('a' + i), '\0'};
        ok(shale_options_add_filter_policy(o, name, &good, &err));
    }
    refused(o, "x", &good, "there are 8 already");
    shale_options_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_filter_is_made_and_asked),
        cmocka_unit_test(test_who_does_not_know_the_name_passes_it_over),
        cmocka_unit_test(test_compactions_make_it_anew),
        cmocka_unit_test(test_small_tables_have_none),
        cmocka_unit_test(test_a_policy_that_fails_costs_speed_only),
        cmocka_unit_test(test_queries_carry_the_context_of_the_read),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
