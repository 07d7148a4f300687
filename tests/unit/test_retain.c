/* Goal: flush and compaction keep exactly the row versions that the rules ask for: fold, then expire, then retain, then drop trailing tombstones
 * (slatedb-behaviour 8, slatedb-format 8). Method: tables of one rule each; then random rows through a model that applies the four rules one after
 * the other to whole arrays (seed printed; SEED=N repeats it). What SlateDB itself kept is compared in tests/compat/test_golden_retain.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env/env.h"
#include "base/num.h"
#include "lsm/retain.h"

#define ROWS_MAX 64
#define TEXT_MAX 256

struct version {
    char key[8];
    char value[TEXT_MAX];
    char kind; /* p, d or m */
    uint64_t seq;
    int64_t create;
    int64_t expire; /* 0: none */
};

struct list {
    struct version rows[ROWS_MAX];
    size_t count;
};

static struct shl_row row_of(const struct version *v)
{
    struct shl_row row = {.key = shl_slice_str(v->key),
                          .value = shl_slice_str(v->value),
                          .seq = v->seq,
                          .create_ts = v->create,
                          .flags = SHL_ROW_HAS_CREATE};
    if (v->kind == 'd')
        row.flags |= SHL_ROW_TOMBSTONE;
    if (v->kind == 'm')
        row.flags |= SHL_ROW_MERGE;
    if (v->expire != 0) {
        row.flags |= SHL_ROW_HAS_EXPIRE;
        row.expire_ts = v->expire;
    }
    return row;
}

static shale_code collect(void *ctx, const struct shl_row *row, shale_error *err)
{
    struct list *out = ctx;
    (void)err;
    assert_true(out->count < ROWS_MAX);
    assert_true(row->key.len < 8 && row->value.len < TEXT_MAX);
    assert_true((row->flags & SHL_ROW_HAS_CREATE) != 0);
    struct version *v = &out->rows[out->count++];
    *v = (struct version){.kind = (row->flags & SHL_ROW_TOMBSTONE) != 0 ? 'd'
                                  : (row->flags & SHL_ROW_MERGE) != 0   ? 'm'
                                                                        : 'p',
                          .seq = row->seq,
                          .create = row->create_ts,
                          .expire = (row->flags & SHL_ROW_HAS_EXPIRE) != 0 ? row->expire_ts : 0};
    memcpy(v->key, row->key.data, row->key.len);
    if (row->value.len > 0)
        memcpy(v->value, row->value.data, row->value.len);
    return SHALE_OK;
}

static void retain(const struct list *in, const struct shl_retain_rules *rules, struct list *out)
{
    struct shl_retain r;
    shale_error err = {0};
    out->count = 0;
    shl_retain_init(&r, rules, collect, out);
    for (size_t i = 0; i < in->count; i++) {
        struct shl_row row = row_of(&in->rows[i]);
        assert_int_equal(shl_retain_push(&r, &row, &err), SHALE_OK);
    }
    assert_int_equal(shl_retain_finish(&r, &err), SHALE_OK);
    shl_retain_deinit(&r);
}

static void print(const char *what, const struct list *l)
{
    print_error("%s:\n", what);
    for (size_t i = 0; i < l->count; i++)
        print_error("  %s %c \"%s\" seq %llu create %lld expire %lld\n", l->rows[i].key,
                    l->rows[i].kind, l->rows[i].value, (unsigned long long)l->rows[i].seq,
                    (long long)l->rows[i].create, (long long)l->rows[i].expire);
}

static bool same_version(const struct version *a, const struct version *b)
{
    return strcmp(a->key, b->key) == 0 && strcmp(a->value, b->value) == 0 && a->kind == b->kind &&
           a->seq == b->seq && a->create == b->create && a->expire == b->expire;
}

static bool same(const struct list *a, const struct list *b)
{
    for (size_t i = 0; a->count == b->count && i < a->count; i++)
        if (!same_version(&a->rows[i], &b->rows[i]))
            return false;
    return a->count == b->count;
}

/* ---------------------------------------------------------------- tables */

/* create is always seq + 100, so that the largest one among folded rows shows. */
#define P(k, s, v)                                                                                 \
    {                                                                                              \
        k, v, 'p', s, 100 + (s), 0                                                                 \
    }
#define D(k, s)                                                                                    \
    {                                                                                              \
        k, "", 'd', s, 100 + (s), 0                                                                \
    }
#define M(k, s, v)                                                                                 \
    {                                                                                              \
        k, v, 'm', s, 100 + (s), 0                                                                 \
    }
#define PX(k, s, v, x)                                                                             \
    {                                                                                              \
        k, v, 'p', s, 100 + (s), x                                                                 \
    }
#define MX(k, s, v, x)                                                                             \
    {                                                                                              \
        k, v, 'm', s, 100 + (s), x                                                                 \
    }
#define NEVER INT64_MIN

static const struct {
    const char *name;
    uint64_t min_seq;
    int64_t tick;
    bool drop, no_operator;
    struct version in[8];
    struct version want[8];
} cases[] = {
    {"only the newest below the barrier",
     9,
     NEVER,
     false,
     false,
     {P("a", 9, "3"), P("a", 8, "2"), P("a", 1, "1")},
     {P("a", 9, "3")}},
    {"all above the barrier and one at or below it",
     5,
     NEVER,
     false,
     false,
     {P("a", 9, "4"), P("a", 6, "3"), P("a", 5, "2"), P("a", 4, "1")},
     {P("a", 9, "4"), P("a", 6, "3"), P("a", 5, "2")}},
    {"barrier 0 keeps all",
     0,
     NEVER,
     false,
     false,
     {P("a", 3, "3"), P("a", 2, "2"), P("a", 1, "1")},
     {P("a", 3, "3"), P("a", 2, "2"), P("a", 1, "1")}},
    {"keys do not concern each other",
     9,
     NEVER,
     false,
     false,
     {P("a", 2, "2"), P("a", 1, "1"), P("b", 4, "4"), P("b", 3, "3"), D("c", 5), P("c", 1, "x")},
     {P("a", 2, "2"), P("b", 4, "4"), D("c", 5)}},
    {"a tombstone hides and stays",
     9,
     NEVER,
     false,
     false,
     {D("a", 4), P("a", 2, "2")},
     {D("a", 4)}},
    {"in the last run a trailing tombstone goes",
     9,
     NEVER,
     true,
     false,
     {D("a", 4), P("a", 2, "2"), P("b", 3, "3")},
     {P("b", 3, "3")}},
    {"a tombstone above a kept version stays even there",
     3,
     NEVER,
     true,
     false,
     {D("a", 4), P("a", 2, "2")},
     {D("a", 4), P("a", 2, "2")}},
    {"all tombstones at the old end go",
     3,
     NEVER,
     true,
     false,
     {P("a", 9, "9"), D("a", 8), D("a", 7), D("a", 2), P("a", 1, "1")},
     {P("a", 9, "9")}},
    {"a tombstone above the barrier with nothing below it goes",
     3,
     NEVER,
     true,
     false,
     {D("a", 9), D("a", 8)},
     {{{0}, {0}, 0, 0, 0, 0}}},
    {"an expired value becomes a tombstone and uncovers nothing",
     9,
     50,
     false,
     false,
     {PX("a", 5, "5", 50), P("a", 4, "4")},
     {D("a", 5)}},
    {"... one tick earlier it is alive",
     9,
     49,
     false,
     false,
     {PX("a", 5, "5", 50), P("a", 4, "4")},
     {PX("a", 5, "5", 50)}},
    {"... and goes in the last run",
     9,
     50,
     true,
     false,
     {PX("a", 5, "5", 50), P("a", 4, "4")},
     {{{0}, {0}, 0, 0, 0, 0}}},
    {"... above the barrier the older one stays",
     4,
     50,
     true,
     false,
     {PX("a", 5, "5", 50), P("a", 4, "4")},
     {D("a", 5), P("a", 4, "4")}},
    {"operands fold onto a value",
     9,
     NEVER,
     false,
     false,
     {M("a", 5, "z"), M("a", 4, "y"), P("a", 3, "x"), P("a", 2, "w")},
     {P("a", 5, "xyz")}},
    {"operands fold onto a tombstone: a value",
     9,
     NEVER,
     false,
     false,
     {M("a", 5, "z"), M("a", 4, "y"), D("a", 3), P("a", 2, "w")},
     {P("a", 5, "yz")}},
    {"operands without a base stay an operand",
     9,
     NEVER,
     true,
     false,
     {M("a", 5, "z"), M("a", 4, "y")},
     {M("a", 5, "yz")}},
    {"operands above the barrier stay apart",
     4,
     NEVER,
     false,
     false,
     {M("a", 6, "d"), M("a", 5, "c"), M("a", 4, "b"), P("a", 3, "a"), P("a", 2, "x")},
     {M("a", 6, "d"), M("a", 5, "c"), P("a", 4, "ab")}},
    {"an operand above the barrier leaves the value below whole",
     4,
     NEVER,
     false,
     false,
     {M("a", 5, "b"), P("a", 3, "a"), P("a", 2, "x")},
     {M("a", 5, "b"), P("a", 3, "a")}},
    {"another expiry is not folded in",
     9,
     NEVER,
     false,
     false,
     {MX("a", 5, "c", 70), MX("a", 4, "b", 60), P("a", 3, "a")},
     {MX("a", 5, "c", 70), MX("a", 4, "b", 60), P("a", 3, "a")}},
    {"the same expiry is",
     9,
     NEVER,
     false,
     false,
     {MX("a", 5, "c", 70), MX("a", 4, "b", 70), PX("a", 3, "a", 70)},
     {PX("a", 5, "abc", 70)}},
    {"fold first, then expire: the folded value dies whole",
     9,
     70,
     false,
     false,
     {MX("a", 5, "c", 70), PX("a", 3, "a", 70), P("a", 2, "x")},
     {D("a", 5)}},
    {"an expired operand goes, what it stood on stays",
     9,
     70,
     false,
     false,
     {MX("a", 5, "c", 70), P("a", 3, "a"), P("a", 2, "x")},
     {P("a", 3, "a")}},
    {"an expired operand never ends the search",
     9,
     70,
     true,
     false,
     {MX("a", 5, "c", 70), M("a", 4, "b"), M("a", 3, "a")},
     {M("a", 4, "ab")}},
    {"an operand above a tombstone of another expiry keeps the tombstone",
     9,
     NEVER,
     false,
     false,
     {MX("a", 5, "c", 70), D("a", 3), P("a", 2, "x")},
     {MX("a", 5, "c", 70), D("a", 3)}},
    {"... which goes in the last run",
     9,
     NEVER,
     true,
     false,
     {MX("a", 5, "c", 70), D("a", 3), P("a", 2, "x")},
     {MX("a", 5, "c", 70)}},
    {"without an operator operands pass",
     9,
     NEVER,
     true,
     true,
     {M("a", 5, "b"), M("a", 4, "a"), P("a", 3, "x"), P("a", 2, "w")},
     {M("a", 5, "b"), M("a", 4, "a"), P("a", 3, "x")}},
};

static size_t used(const struct version *v)
{
    size_t n = 0;
    while (n < 8 && v[n].key[0] != '\0')
        n++;
    return n;
}

static void test_each_rule(void **state)
{
    struct shl_merge_operator concat;
    (void)state;
    assert_true(shl_merge_operator_builtin("concat", &concat));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static struct list in, want, got;
        in.count = used(cases[i].in);
        memcpy(in.rows, cases[i].in, sizeof cases[i].in);
        want.count = used(cases[i].want);
        memcpy(want.rows, cases[i].want, sizeof cases[i].want);
        struct shl_retain_rules rules = {.min_seq = cases[i].min_seq,
                                         .now_tick = cases[i].tick,
                                         .drop_tombstones = cases[i].drop,
                                         .merge = cases[i].no_operator ? NULL : &concat};
        retain(&in, &rules, &got);
        if (!same(&got, &want)) {
            print_error("case \"%s\"\n", cases[i].name);
            print("in", &in);
            print("want", &want);
            print("got", &got);
            fail();
        }
    }
}

/* The result has the largest create_ts of all that went in, not that of the newest. */
static void test_a_fold_has_the_largest_create_ts(void **state)
{
    struct shl_merge_operator concat;
    static struct list in, got;
    (void)state;
    assert_true(shl_merge_operator_builtin("concat", &concat));
    in = (struct list){
        .count = 3,
        .rows = {{"a", "c", 'm', 5, 10, 0}, {"a", "b", 'm', 4, 30, 0}, {"a", "a", 'p', 3, 20, 0}}};
    struct shl_retain_rules rules = {.min_seq = 9, .now_tick = NEVER, .merge = &concat};
    retain(&in, &rules, &got);
    assert_int_equal(got.count, 1);
    assert_int_equal(got.rows[0].create, 30);
    assert_int_equal(got.rows[0].seq, 5);
    assert_string_equal(got.rows[0].value, "abc");
}

/* Joins, but refuses the operand "no", and has no memory for "big". */
static shale_code picky_merge(void *ctx, struct shl_slice key, const struct shl_slice *existing,
                              struct shl_slice operand, struct shl_buf *out, shale_error *err)
{
    (void)ctx;
    (void)key;
    if (shl_slice_eq(operand, shl_slice_str("no")))
        return shl_fail(err, SHALE_INVALID, "no");
    if (shl_slice_eq(operand, shl_slice_str("big")))
        return shl_nomem(err);
    shale_code rc =
        existing != NULL ? shl_buf_append(out, existing->data, existing->len, err) : SHALE_OK;
    return rc == SHALE_OK ? shl_buf_append(out, operand.data, operand.len, err) : rc;
}

static shale_code failing_sink(void *ctx, const struct shl_row *row, shale_error *err)
{
    (void)ctx;
    (void)row;
    return shl_fail(err, SHALE_UNAVAILABLE, "full");
}

/* One write that the operator cannot merge must not stop a flush: that key keeps its rows, the others are folded. */
static void test_what_the_operator_refuses_stays(void **state)
{
    static const struct version rows[] = {M("a", 9, "y"),   M("a", 8, "x"),  P("a", 7, "w"),
                                          M("b", 6, "z"),   M("b", 5, "no"), P("b", 3, "v"),
                                          P("b", 2, "old"), M("c", 1, "t")};
    static const char *const want[] = {"wxy", "z", "no", "v", "t"};
    struct shl_merge_operator picky = {.merge = picky_merge};
    struct shl_retain_rules rules = {.min_seq = 9, .now_tick = NEVER, .merge = &picky};
    shale_error err = {0};
    struct shl_retain r;
    static struct list out;
    (void)state;
    out.count = 0;
    shl_retain_init(&r, &rules, collect, &out);
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct shl_row row = row_of(&rows[i]);
        assert_int_equal(shl_retain_push(&r, &row, &err), SHALE_OK);
    }
    assert_int_equal(shl_retain_finish(&r, &err), SHALE_OK);
    assert_int_equal(r.refused, 1);
    shl_retain_deinit(&r);
    assert_int_equal(out.count, SHL_COUNT_OF(want));
    for (size_t i = 0; i < out.count; i++)
        assert_string_equal(out.rows[i].value, want[i]);
    assert_int_equal(out.rows[0].kind, 'p');
    assert_int_equal(out.rows[1].kind, 'm');
    assert_int_equal(out.rows[3].seq, 3);
}

static void test_a_lack_of_memory_and_failures_of_the_sink_come_through(void **state)
{
    static const struct version rows[] = {M("a", 5, "big"), P("a", 3, "x")};
    struct shl_merge_operator picky = {.merge = picky_merge};
    struct shl_retain_rules rules = {.min_seq = 9, .now_tick = NEVER, .merge = &picky};
    shale_error err = {0};
    struct shl_retain r;
    static struct list out;
    (void)state;
    out.count = 0;
    shl_retain_init(&r, &rules, collect, &out);
    for (size_t i = 0; i < 2; i++) {
        struct shl_row row = row_of(&rows[i]);
        assert_int_equal(shl_retain_push(&r, &row, &err), SHALE_OK);
    }
    assert_int_equal(shl_retain_finish(&r, &err), SHALE_NOMEM);
    shl_retain_deinit(&r);

    rules.merge = NULL;
    shl_retain_init(&r, &rules, failing_sink, NULL);
    struct shl_row row = row_of(&rows[1]);
    assert_int_equal(shl_retain_push(&r, &row, &err), SHALE_UNAVAILABLE);
    shl_retain_deinit(&r);
}

/* ---------------------------------------------------------------- the model */

static bool equal_expiry(const struct version *a, const struct version *b)
{
    return a->expire == b->expire;
}

/* One key's versions, newest first, folded: every step on a whole array. */
static void model_fold(struct list *l, uint64_t min_seq)
{
    static struct list out;
    out.count = 0;
    for (size_t i = 0; i < l->count;) {
        struct version v = l->rows[i];
        size_t end = i + 1;
        if (v.kind == 'm' && v.seq <= min_seq)
            while (end < l->count && equal_expiry(&l->rows[i], &l->rows[end])) {
                end++;
                if (l->rows[end - 1].kind != 'm')
                    break;
            }
        v.value[0] = '\0';
        for (size_t k = end; k-- > i;) { /* oldest first */
            strcat(v.value, l->rows[k].value);
            v.create = l->rows[k].create > v.create ? l->rows[k].create : v.create;
        }
        if (end > i + 1 && l->rows[end - 1].kind != 'm')
            v.kind = 'p';
        out.rows[out.count++] = v;
        i = end;
    }
    *l = out;
}

static void model_expire(struct list *l, int64_t tick)
{
    static struct list out;
    out.count = 0;
    for (size_t i = 0; i < l->count; i++) {
        struct version v = l->rows[i];
        bool dead = v.expire != 0 && v.expire <= tick;
        if (dead && v.kind == 'm')
            continue;
        if (dead) {
            v.kind = 'd';
            v.expire = 0;
            v.value[0] = '\0';
        }
        out.rows[out.count++] = v;
    }
    *l = out;
}

static void model_retain(struct list *l, uint64_t min_seq, bool drop)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->rows[i].kind != 'm' && l->rows[i].seq <= min_seq) {
            l->count = i + 1;
            break;
        }
    while (drop && l->count > 0 && l->rows[l->count - 1].kind == 'd')
        l->count--;
}

static void model(const struct list *in, const struct shl_retain_rules *rules, struct list *out)
{
    out->count = 0;
    for (size_t i = 0; i < in->count;) {
        static struct list one;
        size_t start = i;
        one.count = 0;
        while (i < in->count && strcmp(in->rows[i].key, in->rows[start].key) == 0)
            one.rows[one.count++] = in->rows[i++];
        if (rules->merge != NULL)
            model_fold(&one, rules->min_seq);
        model_expire(&one, rules->now_tick);
        model_retain(&one, rules->min_seq, rules->drop_tombstones);
        for (size_t k = 0; k < one.count; k++)
            out->rows[out->count++] = one.rows[k];
    }
}

static uint64_t rng_state;

static uint64_t below(uint64_t n)
{
    rng_state = rng_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (rng_state >> 33) % n;
}

static void random_rows(struct list *l)
{
    static const char kinds[] = "ppdmmm";
    l->count = 0;
    for (unsigned k = 0; k < 3; k++) {
        uint64_t n = below(10), seq = 4 * n + below(6);
        for (uint64_t i = 0; i < n; i++, seq -= 1 + below(4)) {
            struct version *v = &l->rows[l->count++];
            *v = (struct version){.kind = kinds[below(sizeof kinds - 1)],
                                  .seq = seq + 1,
                                  .create = (int64_t)below(100) + 1};
            snprintf(v->key, sizeof v->key, "k%u", k);
            if (v->kind != 'd') {
                if (below(8) != 0)
                    snprintf(v->value, sizeof v->value, "<%llu>", (unsigned long long)v->seq);
                v->expire = below(3) == 0 ? 10 * (1 + (int64_t)below(3)) : 0;
            }
        }
    }
}

static void test_random_rows_agree_with_the_model(void **state)
{
    struct shl_merge_operator concat;
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : env_rand64();
    (void)state;
    assert_true(shl_merge_operator_builtin("concat", &concat));
    printf("seed 0x%llx\n", (unsigned long long)seed);
    rng_state = seed;
    for (unsigned round = 0; round < 200000; round++) {
        static struct list in, want, got;
        struct shl_retain_rules rules = {.min_seq = below(45),
                                         .now_tick = 5 + 10 * (int64_t)below(4),
                                         .drop_tombstones = below(2) == 0,
                                         .merge = below(5) == 0 ? NULL : &concat};
        random_rows(&in);
        model(&in, &rules, &want);
        retain(&in, &rules, &got);
        if (!same(&got, &want)) {
            print_error("seed 0x%llx, round %u: min_seq %llu, tick %lld, drop %d, operator %d\n",
                        (unsigned long long)seed, round, (unsigned long long)rules.min_seq,
                        (long long)rules.now_tick, rules.drop_tombstones, rules.merge != NULL);
            print("in", &in);
            print("want", &want);
            print("got", &got);
            fail();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_rule),
        cmocka_unit_test(test_a_fold_has_the_largest_create_ts),
        cmocka_unit_test(test_what_the_operator_refuses_stays),
        cmocka_unit_test(test_a_lack_of_memory_and_failures_of_the_sink_come_through),
        cmocka_unit_test(test_random_rows_agree_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
