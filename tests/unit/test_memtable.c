/* Goal: the memtable finds every version at every sequence number and walks keys in order both ways, whatever the keys look
 * like, with the room that was reserved and no more; and readers beside the writer lose nothing.
 * Method: random rows by printed seeds against a sorted array; then real tasks: one writer, three readers of known keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "lsm/memtable/memtable.h"

/* ---- chance */

static uint64_t rng_next(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t rng_below(uint64_t *s, uint64_t n)
{
    return (rng_next(s) >> 11) % n;
}

/* ---- the model: rows sorted by key, then seq descending, then newest first */

#define KEY_MAX   80
#define VALUE_MAX 40

struct model_row {
    uint8_t key[KEY_MAX];
    uint8_t value[VALUE_MAX];
    struct shl_row row; /* points into the arrays, once sorted in */
};

struct model {
    struct model_row *rows;
    size_t count;
};

static struct shl_slice model_key(const struct model_row *m)
{
    return shl_slice_of(m->key, m->row.key.len);
}

/* First row that is not before (key, seq). */
static size_t model_find(const struct model *m, struct shl_slice key, uint64_t seq)
{
    size_t lo = 0;
    size_t hi = m->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = shl_slice_cmp(model_key(&m->rows[mid]), key);
        if (c < 0 || (c == 0 && m->rows[mid].row.seq > seq))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void model_add(struct model *m, const struct model_row *r)
{
    size_t at = model_find(m, model_key(r), r->row.seq);
    memmove(&m->rows[at + 1], &m->rows[at], (m->count - at) * sizeof *r);
    m->rows[at] = *r;
    m->count++;
}

/* ---- keys of several kinds */

enum key_kind {
    KEYS_RANDOM16,
    KEYS_TINY_ALPHABET, /* 0 and 1 bytes, length 0..6: prefixes of one another, zero padding */
    KEYS_NUMBERED,      /* user:000000001234 */
    KEYS_LONG_PREFIX,   /* 60 equal bytes: beyond what nodes keep */
    KEYS_MIXED_LENGTH,  /* few prefixes of various lengths */
    KEY_KINDS
};

static const char *const key_kind_names[KEY_KINDS] = {"random16", "tiny alphabet", "numbered",
                                                      "long prefix", "mixed length"};

static size_t make_key(enum key_kind kind, uint64_t *seed, uint8_t out[KEY_MAX])
{
    uint64_t n = rng_below(seed, 3000);
    char text[KEY_MAX + 1];
    size_t len = 0;
    switch (kind) {
    case KEYS_RANDOM16:
        for (; len < 16; len++)
            out[len] = (uint8_t)rng_next(seed);
        return len;
    case KEYS_TINY_ALPHABET:
        for (size_t want = rng_below(seed, 12); len < want; len++)
            out[len] = (uint8_t)rng_below(seed, 2);
        return len;
    case KEYS_NUMBERED:
        len = (size_t)snprintf(text, sizeof text, "user:%012u", (unsigned)n);
        break;
    case KEYS_LONG_PREFIX:
        len = (size_t)snprintf(text, sizeof text, "%060d%u", 7, (unsigned)n);
        break;
    case KEYS_MIXED_LENGTH:
        len = (size_t)snprintf(text, sizeof text, "%.*s%x", (int)rng_below(seed, 5) * 7,
                               "tenant/42/table/customers/row", (unsigned)n);
        break;
    case KEY_KINDS:
    default:
        fail();
    }
    memcpy(out, text, len);
    return len;
}

/* ---- checks */

static void check_row(const struct shl_mem_entry *e, const struct model_row *m)
{
    struct shl_row got;
    assert_non_null(e);
    shl_mem_entry_row(e, &got);
    assert_true(shl_slice_eq(got.key, model_key(m)));
    assert_true(shl_slice_eq(got.value, shl_slice_of(m->value, m->row.value.len)));
    assert_int_equal(got.seq, m->row.seq);
    assert_int_equal(got.flags, m->row.flags);
    assert_int_equal(got.create_ts, m->row.create_ts);
    if ((got.flags & SHL_ROW_HAS_EXPIRE) != 0)
        assert_int_equal(got.expire_ts, m->row.expire_ts);
}

/* The chain from e on is what the model has from row i on; returns the index behind the key. */
static size_t check_chain(const struct model *m, size_t i, const struct shl_mem_entry *e)
{
    size_t first = i;
    for (; e != NULL; e = shl_mem_entry_older(e), i++) {
        assert_true(i < m->count);
        check_row(e, &m->rows[i]);
        assert_true(shl_slice_eq(model_key(&m->rows[i]), model_key(&m->rows[first])));
    }
    if (i < m->count)
        assert_false(shl_slice_eq(model_key(&m->rows[i]), model_key(&m->rows[first])));
    return i;
}

static void check_walks(const struct shl_memtable *t, const struct model *m)
{
    struct shl_memtable_iter it;
    shl_memtable_iter_init(&it, t);
    size_t i = 0;
    for (shl_memtable_iter_first(&it); it.entry != NULL; shl_memtable_iter_next(&it))
        i = check_chain(m, i, it.entry);
    assert_int_equal(i, m->count);

    size_t end = m->count;
    for (shl_memtable_iter_last(&it); it.entry != NULL; shl_memtable_iter_prev(&it)) {
        assert_true(end > 0);
        size_t first = model_find(m, model_key(&m->rows[end - 1]), UINT64_MAX);
        assert_int_equal(check_chain(m, first, it.entry), end);
        end = first;
    }
    assert_int_equal(end, 0);
}

/* Seeks to key and goes a few steps back and forth. */
static void check_seeks(const struct shl_memtable *t, const struct model *m, struct shl_slice key,
                        uint64_t *seed)
{
    struct shl_memtable_iter it;
    shl_memtable_iter_init(&it, t);
    size_t at = model_find(m, key, UINT64_MAX);
    bool hit = at < m->count && shl_slice_eq(model_key(&m->rows[at]), key);
    shl_memtable_iter_seek(&it, key);
    if (at == m->count)
        assert_null(it.entry);
    else
        (void)check_chain(m, at, it.entry);

    if (!hit && at == 0) {
        shl_memtable_iter_seek_back(&it, key);
        assert_null(it.entry);
        return;
    }
    if (!hit)
        at = model_find(m, model_key(&m->rows[at - 1]), UINT64_MAX);
    shl_memtable_iter_seek_back(&it, key);
    (void)check_chain(m, at, it.entry);

    for (unsigned steps = 0; steps < 8; steps++) {
        if (rng_below(seed, 2) == 0) {
            size_t next = check_chain(m, at, it.entry);
            shl_memtable_iter_next(&it);
            if (next == m->count) {
                assert_null(it.entry);
                return;
            }
            at = next;
        } else {
            shl_memtable_iter_prev(&it);
            if (at == 0) {
                assert_null(it.entry);
                return;
            }
            at = model_find(m, model_key(&m->rows[at - 1]), UINT64_MAX);
        }
        (void)check_chain(m, at, it.entry);
    }
}

static void check_get(const struct shl_memtable *t, const struct model *m, struct shl_slice key,
                      uint64_t max_seq)
{
    size_t at = model_find(m, key, max_seq);
    const struct shl_mem_entry *e = shl_memtable_get(t, key, max_seq);
    if (at < m->count && shl_slice_eq(model_key(&m->rows[at]), key))
        check_row(e, &m->rows[at]);
    else
        assert_null(e);
}

/* ---- model tests */

static struct shl_memtable *memtable_new(void)
{
    struct shl_memtable *t = NULL;
    shale_error err;
    assert_int_equal(shl_memtable_new(NULL, &t, &err), SHALE_OK);
    return t;
}

static void random_row(enum key_kind kind, uint64_t seq, uint64_t *seed, struct model_row *out)
{
    memset(out, 0, sizeof *out);
    size_t key_len = make_key(kind, seed, out->key);
    size_t value_len = rng_below(seed, VALUE_MAX + 1);
    for (size_t i = 0; i < value_len; i++)
        out->value[i] = (uint8_t)rng_next(seed);
    uint8_t flags = 0;
    if (rng_below(seed, 4) == 0) {
        flags = SHL_ROW_TOMBSTONE;
        value_len = 0;
    } else if (rng_below(seed, 4) == 0) {
        flags = SHL_ROW_MERGE;
    }
    if (rng_below(seed, 3) == 0) {
        flags |= SHL_ROW_HAS_EXPIRE;
        out->row.expire_ts = (int64_t)rng_next(seed);
    }
    if (rng_below(seed, 2) == 0) {
        flags |= SHL_ROW_HAS_CREATE;
        out->row.create_ts = (int64_t)rng_next(seed);
    }
    out->row.seq = seq;
    out->row.flags = flags;
    out->row.key = shl_slice_of(out->key, key_len);
    out->row.value = shl_slice_of(out->value, value_len);
}

static void run_model(enum key_kind kind, size_t rows, uint64_t seed)
{
    print_message("keys %s, %zu rows, seed %llu\n", key_kind_names[kind], rows,
                  (unsigned long long)seed);
    struct shl_memtable *t = memtable_new();
    struct model m = {.rows = malloc(rows * sizeof *m.rows)};
    struct model_row *batch = malloc(rows * sizeof *batch);
    size_t encoded = 0;
    uint64_t seq = 0;
    shale_error err;
    assert_non_null(m.rows);
    assert_non_null(batch);
    while (m.count < rows) {
        size_t n =
            shl_min_size(1 + rng_below(&seed, rng_below(&seed, 8) == 0 ? 400 : 3), rows - m.count);
        size_t bytes = 0;
        for (size_t i = 0; i < n; i++) {
            seq += rng_below(&seed, 2); /* equal ones too: then the later is in front */
            random_row(kind, seq, &seed, &batch[i]);
            bytes += batch[i].row.key.len + batch[i].row.value.len;
        }
        assert_int_equal(shl_memtable_reserve(t, n, bytes, &err), SHALE_OK);
        for (size_t i = 0; i < n; i++) {
            check_row(shl_memtable_add(t, &batch[i].row), &batch[i]);
            encoded += shl_row_encoded_bytes(&batch[i].row);
            model_add(&m, &batch[i]);
        }
        check_get(t, &m, batch[0].row.key, rng_below(&seed, seq + 2));
    }
    assert_int_equal(shl_memtable_rows(t), rows);
    assert_int_equal(shl_memtable_encoded_bytes(t), encoded);
    assert_true(shl_memtable_arena_bytes(t) > rows * sizeof(struct shl_mem_entry));
    check_walks(t, &m);
    for (size_t i = 0; i < 2000; i++) {
        uint8_t key[KEY_MAX];
        struct shl_slice k = shl_slice_of(key, make_key(kind, &seed, key));
        check_get(t, &m, k, rng_below(&seed, seq + 2));
        check_seeks(t, &m, k, &seed);
    }
    free(batch);
    free(m.rows);
    shl_memtable_unref(t);
}

static void test_random_rows_equal_a_sorted_array(void **state)
{
    (void)state;
    static const size_t rows[] = {1, 64, 65, 700, 5000};
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
    for (int kind = 0; kind < KEY_KINDS; kind++) {
        for (size_t i = 0; i < SHL_COUNT_OF(rows); i++)
            run_model((enum key_kind)kind, rows[i], seed += 0x1234567);
    }
}

static void test_empty_table_has_nothing(void **state)
{
    (void)state;
    struct shl_memtable *t = memtable_new();
    struct model m = {0};
    uint64_t seed = 1;
    check_walks(t, &m);
    check_seeks(t, &m, shl_slice_str("a"), &seed);
    check_get(t, &m, shl_slice_str(""), UINT64_MAX);
    assert_int_equal(shl_memtable_rows(t), 0);
    shl_memtable_prefetch(t);
    shl_memtable_unref(t);
    shl_memtable_unref(NULL);
}

static void put_number(struct shl_memtable *t, uint64_t n, uint64_t seq, size_t value_len)
{
    static const uint8_t value[200] = {1};
    char key[32];
    int len = snprintf(key, sizeof key, "key%013llu", (unsigned long long)n);
    struct shl_row row = {
        .key = shl_slice_of(key, (size_t)len), .value = shl_slice_of(value, value_len), .seq = seq};
    (void)shl_memtable_add(t, &row);
}

/* Loads in order fill leaves: the tree then takes little more than the slots. */
static void test_ascending_loads_fill_leaves(void **state)
{
    (void)state;
    enum { ROWS = 100000 };
    struct shl_memtable *t = memtable_new();
    shale_error err;
    for (uint64_t i = 0; i < ROWS; i++) {
        assert_int_equal(shl_memtable_reserve(t, 1, 16, &err), SHALE_OK);
        put_number(t, i, i + 1, 0);
    }
    assert_true(shl_memtable_arena_bytes(t) < (size_t)ROWS * (48 + 20));
    struct shl_memtable_iter it;
    shl_memtable_iter_init(&it, t);
    uint64_t n = 0;
    for (shl_memtable_iter_first(&it); it.entry != NULL; shl_memtable_iter_next(&it))
        assert_int_equal(it.entry->seq, ++n);
    assert_int_equal(n, ROWS);
    shl_memtable_unref(t);
}

/* One reserve for many rows must cover the worst: every leaf is full and each row falls into another one. */
static void test_reserve_covers_splits_of_full_leaves(void **state)
{
    (void)state;
    enum { LEAVES = 3000, ROWS = LEAVES * 64 };
    struct shl_memtable *t = memtable_new();
    shale_error err;
    assert_int_equal(shl_memtable_reserve(t, ROWS, (size_t)ROWS * 16, &err), SHALE_OK);
    for (uint64_t i = 0; i < ROWS; i++)
        put_number(t, i * 4, i + 1, 0);
    assert_int_equal(shl_memtable_reserve(t, LEAVES, (size_t)LEAVES * 16, &err), SHALE_OK);
    for (uint64_t i = 0; i < LEAVES; i++)
        put_number(t, i * 64 * 4 + 2, ROWS + i + 1, 0);
    for (uint64_t i = 0; i < LEAVES; i++) { /* and row by row, with nothing to spare */
        assert_int_equal(shl_memtable_reserve(t, 1, 16 + 200, &err), SHALE_OK);
        put_number(t, i * 64 * 4 + 3, ROWS + LEAVES + i + 1, 200);
    }
    struct shl_memtable_iter it;
    shl_memtable_iter_init(&it, t);
    size_t n = 0;
    for (shl_memtable_iter_last(&it); it.entry != NULL; shl_memtable_iter_prev(&it))
        n++;
    assert_int_equal(n, ROWS + 2 * LEAVES);
    shl_memtable_unref(t);
}

static void test_descending_loads_are_found(void **state)
{
    (void)state;
    enum { ROWS = 20000 };
    struct shl_memtable *t = memtable_new();
    shale_error err;
    for (uint64_t i = ROWS; i > 0; i--) {
        assert_int_equal(shl_memtable_reserve(t, 1, 16, &err), SHALE_OK);
        put_number(t, i, i, 0);
    }
    struct shl_memtable_iter it;
    shl_memtable_iter_init(&it, t);
    uint64_t n = 0;
    for (shl_memtable_iter_first(&it); it.entry != NULL; shl_memtable_iter_next(&it))
        assert_int_equal(it.entry->seq, ++n);
    assert_int_equal(n, ROWS);
    shl_memtable_unref(t);
}

/* Rows larger than a chunk between small ones; addresses leave four bits free. */
static void test_large_rows_do_not_waste_chunks(void **state)
{
    (void)state;
    const size_t large = (size_t)5 << 20;
    uint8_t *value = calloc(large + 200, 1);
    struct shl_memtable *t = memtable_new();
    shale_error err;
    size_t bytes = 0;
    assert_non_null(value);
    for (uint64_t i = 0; i < 200; i++) {
        size_t len = i % 20 == 7 ? large + i : 1000 + i;
        char key[8];
        int key_len = snprintf(key, sizeof key, "%03d", (int)(i * 37 % 200));
        struct shl_row row = {.key = shl_slice_of(key, (size_t)key_len),
                              .value = shl_slice_of(value, len),
                              .seq = i + 1};
        bytes += len;
        assert_int_equal(shl_memtable_reserve(t, 1, len + (size_t)key_len, &err), SHALE_OK);
        const struct shl_mem_entry *e = shl_memtable_add(t, &row);
        assert_int_equal((uintptr_t)e % 16, 0);
        assert_int_equal(e->value_len, len);
    }
    assert_true(shl_memtable_arena_bytes(t) < bytes + ((size_t)4 << 20));
    assert_int_equal(shl_memtable_reserve(t, SIZE_MAX / 8, 0, &err), SHALE_NOMEM);
    assert_int_equal(shl_memtable_reserve(t, 1, SIZE_MAX - 8, &err), SHALE_NOMEM);
    assert_int_equal(shl_memtable_rows(t), 200);
    free(value);
    shl_memtable_unref(t);
}

/* ---- real tasks */

#define READERS     3
#define CONC_ROWS   60000
#define CONC_STRIDE UINT64_C(2654435761) /* odd: n * stride mod 2^32 is a permutation */

struct shared {
    struct shl_memtable *table;
    _Atomic uint64_t published; /* rows 0 .. published-1 are in */
    _Atomic uint64_t lookups;
    _Atomic uint64_t lost;
    _Atomic uint64_t scans;
    bool appending;
};

static uint64_t conc_key(const struct shared *s, uint64_t n)
{
    return s->appending ? n : n * CONC_STRIDE % (UINT64_C(1) << 32);
}

static size_t conc_key_text(const struct shared *s, uint64_t n, char out[32])
{
    return (size_t)snprintf(out, 32, "key%013llu", (unsigned long long)conc_key(s, n));
}

/* Every key that was there at the beginning is met once, in order, forward or backward. */
static uint64_t scan_losses(const struct shared *s, bool backward)
{
    uint64_t before = env_load_acquire(&s->published);
    struct shl_memtable_iter it;
    struct shl_row row;
    uint8_t last[32];
    uint64_t known = 0;
    uint64_t wrong = 0;
    bool first = true;
    shl_memtable_iter_init(&it, s->table);
    if (backward)
        shl_memtable_iter_last(&it);
    else
        shl_memtable_iter_first(&it);
    while (it.entry != NULL) {
        shl_mem_entry_row(it.entry, &row);
        int c = first ? 1 : memcmp(row.key.data, last, 16);
        wrong += (backward && !first) ? c >= 0 : c <= 0;
        memcpy(last, row.key.data, 16);
        first = false;
        known += it.entry->seq <= before; /* row n has seq n + 1 */
        if (backward)
            shl_memtable_iter_prev(&it);
        else
            shl_memtable_iter_next(&it);
    }
    return wrong + (known != before);
}

static void reader_main(void *arg)
{
    struct shared *s = arg;
    uint64_t seed = 77 + env_task_index();
    uint64_t lookups = 0;
    uint64_t lost = 0;
    uint64_t scans = 0;
    uint64_t published;
    do {
        published = env_load_acquire(&s->published);
        if (published == 0)
            continue;
        for (unsigned i = 0; i < 2000; i++) {
            uint64_t n = rng_below(&seed, 4) == 0 ? published - 1 : rng_below(&seed, published);
            char key[32];
            size_t len = conc_key_text(s, n, key);
            const struct shl_mem_entry *e =
                shl_memtable_get(s->table, shl_slice_of(key, len), UINT64_MAX);
            lost += e == NULL || e->seq != n + 1;
            lookups++;
            published = env_load_acquire(&s->published);
        }
        lost += scan_losses(s, scans++ % 2 == 1);
    } while (published < CONC_ROWS);
    atomic_fetch_add(&s->lookups, lookups);
    atomic_fetch_add(&s->lost, lost);
    atomic_fetch_add(&s->scans, scans);
}

static void run_concurrent(bool appending)
{
    struct shared s = {.table = memtable_new(), .appending = appending};
    struct env_task *tasks[READERS];
    shale_error err;
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(env_task_spawn(&tasks[i], "reader", reader_main, &s), SHALE_OK);
    for (uint64_t n = 0; n < CONC_ROWS; n++) {
        assert_int_equal(shl_memtable_reserve(s.table, 1, 16, &err), SHALE_OK);
        put_number(s.table, conc_key(&s, n), n + 1, 0);
        env_store_release(&s.published, n + 1);
    }
    for (unsigned i = 0; i < READERS; i++)
        env_task_join(tasks[i]);
    print_message("%llu lookups, %llu scans beside the writer\n", (unsigned long long)s.lookups,
                  (unsigned long long)s.scans);
    assert_int_equal(s.lost, 0);
    assert_true(s.lookups > 0);
    shl_memtable_unref(s.table);
}

static void test_readers_beside_a_random_writer_lose_nothing(void **state)
{
    (void)state;
    run_concurrent(false);
}

static void test_readers_beside_an_appending_writer_lose_nothing(void **state)
{
    (void)state;
    run_concurrent(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_rows_equal_a_sorted_array),
        cmocka_unit_test(test_empty_table_has_nothing),
        cmocka_unit_test(test_ascending_loads_fill_leaves),
        cmocka_unit_test(test_reserve_covers_splits_of_full_leaves),
        cmocka_unit_test(test_descending_loads_are_found),
        cmocka_unit_test(test_large_rows_do_not_waste_chunks),
        cmocka_unit_test(test_readers_beside_a_random_writer_lose_nothing),
        cmocka_unit_test(test_readers_beside_an_appending_writer_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
