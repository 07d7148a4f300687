/* Goal: the merge of any sources is the sorted union of their rows, in both directions and from any seek; ties go to the source
 * given first; an error passes through, and everything is closed whatever happens.
 * Method: sources over arrays, random by printed seeds, against qsort; a source that fails at its nth call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "lsm/source.h"

static uint64_t rng_below(uint64_t *s, uint64_t n)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return (*s * UINT64_C(0x2545f4914f6cdd1d) >> 11) % n;
}

/* ---- a source over an array */

#define KEY_MAX     48
#define SOURCES_MAX 24
#define ROWS_MAX    200

struct item {
    char key[KEY_MAX];
    size_t key_len;
    uint64_t seq;
    size_t source; /* goes into the value */
};

struct array_source {
    struct shl_source base;
    const struct item *items; /* in this source's direction */
    size_t count;
    size_t at;
    unsigned calls_left; /* the call after them fails; UINT_MAX: none does */
    unsigned *open;
};

static struct shl_row row_of(const struct item *i)
{
    return (struct shl_row){.key = shl_slice_of(i->key, i->key_len),
                            .value = shl_slice_of(&i->source, sizeof i->source),
                            .seq = i->seq};
}

static shale_code show(struct array_source *a, shale_error *err)
{
    if (a->calls_left == 0) {
        a->base.valid = false;
        return shl_fail(err, SHALE_UNAVAILABLE, "nth call");
    }
    if (a->calls_left != UINT32_MAX)
        a->calls_left--;
    a->base.valid = a->at < a->count;
    if (a->base.valid)
        a->base.row = row_of(&a->items[a->at]);
    return SHALE_OK;
}

static shale_code array_seek(struct shl_source *s, const struct shl_slice *target, shale_error *err)
{
    struct array_source *a = (struct array_source *)s;
    for (a->at = 0; target != NULL && a->at < a->count; a->at++) {
        int c = shl_slice_cmp(row_of(&a->items[a->at]).key, *target);
        if (s->reverse ? c <= 0 : c >= 0)
            break;
    }
    return show(a, err);
}

static shale_code array_next(struct shl_source *s, shale_error *err)
{
    struct array_source *a = (struct array_source *)s;
    assert_true(s->valid);
    a->at++;
    return show(a, err);
}

static void array_close(struct shl_source *s)
{
    struct array_source *a = (struct array_source *)s;
    (*a->open)--;
    free(a);
}

static const struct shl_source_ops array_ops = {
    .seek = array_seek, .next = array_next, .close = array_close};

static struct array_source *array_source_new(const struct item *items, size_t count, bool reverse,
                                             unsigned *open)
{
    struct array_source *a = calloc(1, sizeof *a);
    assert_non_null(a);
    a->base.ops = &array_ops;
    a->base.reverse = reverse;
    a->items = items;
    a->count = count;
    a->calls_left = UINT32_MAX;
    a->open = open;
    (*open)++;
    return a;
}

/* ---- data */

static int item_cmp(const void *pa, const void *pb)
{
    const struct item *a = pa;
    const struct item *b = pb;
    struct shl_row ra = row_of(a);
    struct shl_row rb = row_of(b);
    int c = shl_row_cmp(&ra, &rb);
    if (c != 0)
        return c;
    return a->source < b->source ? -1 : a->source > b->source ? 1 : 0;
}

static int item_cmp_reverse(const void *pa, const void *pb)
{
    const struct item *a = pa;
    const struct item *b = pb;
    struct shl_row ra = row_of(a);
    struct shl_row rb = row_of(b);
    int c = shl_row_cmp(&rb, &ra);
    if (c != 0)
        return c;
    return a->source < b->source ? -1 : a->source > b->source ? 1 : 0;
}

enum key_kind { KEYS_BINARY, KEYS_NUMBERED, KEYS_TWO_PREFIXES, KEYS_LONG, KEY_KINDS };
static const char *const key_kind_names[KEY_KINDS] = {"binary", "numbered", "two prefixes", "long"};

static void make_key(enum key_kind kind, uint64_t *seed, struct item *out)
{
    unsigned n = (unsigned)rng_below(seed, 300);
    int len = 0;
    switch (kind) {
    case KEYS_BINARY: /* zero bytes, prefixes of one another, the empty key */
        len = (int)rng_below(seed, 5);
        for (int i = 0; i < len; i++)
            out->key[i] = (char)rng_below(seed, 2);
        break;
    case KEYS_NUMBERED:
        len = snprintf(out->key, KEY_MAX, "key%013u", n);
        break;
    case KEYS_TWO_PREFIXES:
        len = snprintf(out->key, KEY_MAX, "%s/%u", n % 2 == 0 ? "alpha/centauri" : "beta", n);
        break;
    case KEYS_LONG:
        len = snprintf(out->key, KEY_MAX, "%040d%u", 0, n);
        break;
    case KEY_KINDS:
    default:
        fail();
    }
    out->key_len = (size_t)len;
}

struct fixture {
    struct item items[SOURCES_MAX][ROWS_MAX];
    size_t counts[SOURCES_MAX];
    struct item all[SOURCES_MAX * ROWS_MAX];
    size_t all_count;
    size_t source_count;
    bool reverse;
    unsigned open;
};

static void fill(struct fixture *f, enum key_kind kind, size_t sources, bool reverse,
                 uint64_t *seed)
{
    int (*cmp)(const void *, const void *) = reverse ? item_cmp_reverse : item_cmp;
    memset(f, 0, sizeof *f);
    f->source_count = sources;
    f->reverse = reverse;
    for (size_t s = 0; s < sources; s++) {
        f->counts[s] = rng_below(seed, 4) == 0 ? 0 : rng_below(seed, ROWS_MAX);
        for (size_t i = 0; i < f->counts[s]; i++) {
            struct item *item = &f->items[s][i];
            make_key(kind, seed, item);
            item->seq = rng_below(seed, 4); /* often the same in two sources */
            item->source = s;
            f->all[f->all_count++] = *item;
        }
        qsort(f->items[s], f->counts[s], sizeof f->items[s][0], cmp);
    }
    qsort(f->all, f->all_count, sizeof f->all[0], cmp);
}

static struct shl_source *merge_new(struct fixture *f, size_t failing, unsigned calls)
{
    struct shl_source *list[SOURCES_MAX];
    struct shl_source *out = NULL;
    shale_error err;
    for (size_t s = 0; s < f->source_count; s++) {
        struct array_source *a = array_source_new(f->items[s], f->counts[s], f->reverse, &f->open);
        if (s == failing)
            a->calls_left = calls;
        list[s] = &a->base;
    }
    assert_int_equal(shl_merge_source_new(list, f->source_count, f->reverse, NULL, &out, &err),
                     SHALE_OK);
    return out;
}

/* Up to `limit` rows from item `at` on are what the merge gives. */
static void check_rows(const struct fixture *f, struct shl_source *m, size_t at, size_t limit)
{
    shale_error err;
    for (size_t n = 0; n < limit; n++, at++) {
        assert_int_equal(m->valid, at < f->all_count);
        if (!m->valid)
            return;
        struct shl_row want = row_of(&f->all[at]);
        assert_true(shl_slice_eq(m->row.key, want.key));
        assert_int_equal(m->row.seq, want.seq);
        assert_true(shl_slice_eq(m->row.value, want.value));
        assert_int_equal(shl_source_next(m, &err), SHALE_OK);
    }
}

static void run_random(struct fixture *f, enum key_kind kind, size_t sources, bool reverse,
                       uint64_t seed)
{
    shale_error err;
    fill(f, kind, sources, reverse, &seed);
    struct shl_source *m = merge_new(f, SIZE_MAX, 0);
    assert_int_equal(shl_source_seek(m, NULL, &err), SHALE_OK);
    check_rows(f, m, 0, SIZE_MAX);
    for (unsigned i = 0; i < 10; i++) {
        struct item target;
        make_key(kind, &seed, &target);
        struct shl_slice key = shl_slice_of(target.key, target.key_len);
        size_t at = 0;
        while (at < f->all_count) {
            int c = shl_slice_cmp(row_of(&f->all[at]).key, key);
            if (reverse ? c <= 0 : c >= 0)
                break;
            at++;
        }
        assert_int_equal(shl_source_seek(m, &key, &err), SHALE_OK);
        check_rows(f, m, at, 50);
    }
    shl_source_close(m);
    assert_int_equal(f->open, 0);
}

static void test_merge_is_the_sorted_union(void **state)
{
    (void)state;
    static const size_t sources[] = {0, 1, 2, 3, 5, 9, SOURCES_MAX};
    static struct fixture f;
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
    for (int kind = 0; kind < KEY_KINDS; kind++) {
        for (size_t i = 0; i < SHL_COUNT_OF(sources); i++) {
            for (int round = 0; round < 8; round++) {
                seed += 0x12345;
                if (round == 0)
                    print_message("keys %s, %zu sources, seed %llu ...\n", key_kind_names[kind],
                                  sources[i], (unsigned long long)seed);
                run_random(&f, (enum key_kind)kind, sources[i], round % 2 == 1, seed);
            }
        }
    }
}

/* Whichever call of whichever source fails, the merge fails with it and can be sought again. */
static void test_errors_pass_and_everything_is_closed(void **state)
{
    (void)state;
    static struct fixture f;
    uint64_t seed = 4711;
    shale_error err;
    fill(&f, KEYS_NUMBERED, 4, false, &seed);
    while (f.counts[1] == 0)
        fill(&f, KEYS_NUMBERED, 4, false, &seed);
    for (unsigned calls = 0;; calls++) {
        struct shl_source *m = merge_new(&f, 1, calls);
        size_t rows = 0;
        shale_code rc = shl_source_seek(m, NULL, &err);
        for (; rc == SHALE_OK && m->valid; rows++)
            rc = shl_source_next(m, &err);
        assert_false(m->valid);
        shl_source_close(m);
        assert_int_equal(f.open, 0);
        if (rc == SHALE_OK) {
            assert_int_equal(rows, f.all_count);
            assert_int_equal(calls, f.counts[1] + 1);
            break;
        }
        assert_int_equal(rc, SHALE_UNAVAILABLE);
        assert_string_equal(err.text, "nth call");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_is_the_sorted_union),
        cmocka_unit_test(test_errors_pass_and_everything_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
