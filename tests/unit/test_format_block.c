/* Goal: blocks are built as SlateDB builds them, and read back whatever they hold. Method: the worked examples of slatedb-format;
 * random rows built and then walked both ways, sought and searched, always against a linear search over the rows; every
 * truncation and every flipped bit of the examples. */
#include "lsm/format/block.h"

#include "support_format.h"

#include "base/codec/endian.h"
#include "base/num.h"

static shale_error err;

#define OK(call) assert_int_equal((call), SHALE_OK)

/* ---------------------------------------------------------------- examples */

static const struct shl_row example_rows[] = {
    {{(const uint8_t *)"apple", 5}, {(const uint8_t *)"red", 3}, 1, 0, 0x1a1f9e1b88d, 4},
    {{(const uint8_t *)"apricot", 7}, {(const uint8_t *)"orange", 6}, 2, 0, 0x1a1f9e1b88d, 4},
    {{(const uint8_t *)"banana", 6}, {NULL, 0}, 3, 0, 0x1a1f9e1b88e, 5},
    {{(const uint8_t *)"cherry", 6}, {(const uint8_t *)"+1", 2}, 4, 0, 0x1a1f9e1b88e, 12},
    {{(const uint8_t *)"date", 4},
     {(const uint8_t *)"brown", 5},
     5,
     4102444800000,
     0x1a1f9e1b88e,
     6},
};

static const char example_v2[] =
    "000503 \"apple\" \"red\" 0000000000000001 04 000001a1f9e1b88d"
    "020506 \"ricot\" \"orange\" 0000000000000002 04 000001a1f9e1b88d"
    "000600 \"banana\" 0000000000000003 05 000001a1f9e1b88e"
    "000602 \"cherry\" \"+1\" 0000000000000004 0c 000001a1f9e1b88e"
    "000405 \"date\" \"brown\" 0000000000000005 06 000003bb2cc3d800 000001a1f9e1b88e"
    "0000 0001";

static const char example_v1[] =
    "0000 0005 \"apple\"  0000000000000001 04 000001a1f9eaa891 00000003 \"red\""
    "0002 0005 \"ricot\"  0000000000000002 04 000001a1f9eaa8f9 00000006 \"orange\""
    "0000 0006 \"banana\" 0000000000000003 05 000001a1f9eaa95e"
    "0000 0021 0045 0003";

static void expect_row(const struct shl_row *got, const struct shl_row *want)
{
    assert_true(shl_slice_eq(got->key, want->key));
    assert_true(shl_slice_eq(got->value, want->value));
    assert_true(got->seq == want->seq);
    assert_int_equal(got->flags, want->flags);
    assert_true(got->expire_ts == want->expire_ts);
    assert_true(got->create_ts == want->create_ts);
}

static void build(const struct shl_row *rows, size_t count, struct shl_buf *out)
{
    struct shl_block_builder b;
    OK(shl_block_builder_init(&b, 65536, &err));
    for (size_t i = 0; i < count; i++)
        OK(shl_block_builder_add(&b, &rows[i], &err));
    size_t bytes = shl_block_builder_bytes(&b);
    OK(shl_block_builder_finish(&b, out, &err));
    assert_int_equal(out->len, bytes);
    assert_true(shl_block_builder_empty(&b));
    shl_block_builder_deinit(&b);
}

static void test_worked_example_is_built_and_read(void **state)
{
    (void)state;
    struct shl_buf raw = {0};
    struct shl_block_iter it = {0};
    build(example_rows, SHL_COUNT_OF(example_rows), &raw);
    format_expect_hex("2.12", &raw, example_v2);
    OK(shl_block_iter_init(&it, shl_buf_view(&raw), 2, &err));
    OK(shl_block_iter_first(&it, &err));
    for (size_t i = 0; i < SHL_COUNT_OF(example_rows); i++) {
        assert_true(it.valid);
        expect_row(&it.row, &example_rows[i]);
        OK(shl_block_iter_next(&it, &err));
    }
    assert_false(it.valid);
    shl_block_iter_deinit(&it);
    shl_buf_free(&raw);
}

static void test_v1_example_is_read(void **state)
{
    (void)state;
    struct shl_buf raw = format_hex(example_v1);
    struct shl_block_iter it = {0};
    OK(shl_block_iter_init(&it, shl_buf_view(&raw), 1, &err));
    OK(shl_block_iter_last(&it, &err));
    assert_true(shl_slice_eq(it.row.key, shl_slice_str("banana")));
    assert_int_equal(it.row.flags, SHL_ROW_TOMBSTONE | SHL_ROW_HAS_CREATE);
    OK(shl_block_iter_prev(&it, &err));
    assert_true(shl_slice_eq(it.row.key, shl_slice_str("apricot")));
    assert_true(shl_slice_eq(it.row.value, shl_slice_str("orange")));
    assert_true(it.row.create_ts == 0x1a1f9eaa8f9);
    OK(shl_block_iter_prev(&it, &err));
    assert_true(shl_slice_eq(it.row.key, shl_slice_str("apple")));
    OK(shl_block_iter_prev(&it, &err));
    assert_false(it.valid);
    shl_block_iter_deinit(&it);
    shl_buf_free(&raw);
}

static void test_v1_tombstone_loses_its_expiry(void **state)
{
    (void)state;
    struct shl_buf raw = format_hex(
        "0000 0001 \"k\" 0000000000000007 07 000003bb2cc3d800 000001a1f9eaa95e 0000 0001");
    struct shl_block_iter it = {0};
    OK(shl_block_iter_init(&it, shl_buf_view(&raw), 1, &err));
    OK(shl_block_iter_first(&it, &err));
    assert_int_equal(it.row.flags, SHL_ROW_TOMBSTONE | SHL_ROW_HAS_CREATE);
    assert_true(it.row.expire_ts == 0);
    assert_true(it.row.create_ts == 0x1a1f9eaa95e);
    shl_block_iter_deinit(&it);
    shl_buf_free(&raw);
}

static void test_row_size_counts_every_field(void **state)
{
    (void)state;
    size_t entries = 0;
    struct shl_buf raw = format_hex(example_v2);
    for (size_t i = 0; i < SHL_COUNT_OF(example_rows); i++)
        entries += shl_row_encoded_bytes(&example_rows[i]);
    assert_int_equal(entries - 2, raw.len - 4); /* apricot shares two bytes */
    shl_buf_free(&raw);
}

/* ---------------------------------------------------------------- bad blocks */

static void test_bad_blocks_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned version;
        const char *hex;
        const char *text;
    } cases[] = {
        {"empty", 2, "", "0 bytes"},
        {"count alone", 2, "0001", "1 offsets in 2 bytes"},
        {"no restarts", 2, "000100 \"k\" 0000000000000001 00 0000", "0 offsets"},
        {"too many restarts", 2, "000100 \"k\" 0000000000000001 00 0000 ffff", "65535 offsets"},
        {"first offset not 0", 2, "000100 \"k\" 0000000000000001 00 0001 0001", "first offset 1"},
        {"shared at restart", 2, "010100 \"k\" 0000000000000001 00 0000 0001", "shares 1 bytes"},
        {"value past the end", 2, "000105 \"k\" 0000000000000001 00 0000 0001", "reaches past 13"},
        {"key past the end", 2, "00ff01 00 \"k\" 0000000000000001 00 0000 0001", "reaches past 14"},
        {"varint of six bytes", 2, "8080808080 01 0000000000000001 00 0000 0001", "reaches past"},
        {"unknown flag", 2, "000100 \"k\" 0000000000000001 10 0000 0001", "flags 0x10"},
        {"tombstone operand", 2, "000100 \"k\" 0000000000000001 09 0000 0001", "flags 0x09"},
        {"tombstone with value", 2, "000101 \"kv\" 0000000000000001 01 0000 0001",
         "value of 1 bytes"},
        {"garbage after the last entry", 2, "000100 \"k\" 0000000000000001 00 00 0000 0001",
         "reaches past"},
        {"shares more than there is", 2,
         "000100 \"k\" 0000000000000001 00 020100 \"l\" 0000000000000001 00 0000 0001",
         "shares 2 bytes of 1"},
        {"restart inside an entry", 2,
         "000100 \"k\" 0000000000000001 00 000100 \"l\" 0000000000000001 00 0000 000c 0002",
         "reaches past 12"},
        {"restarts not ascending", 2,
         "000100 \"k\" 0000000000000001 00 000100 \"l\" 0000000000000001 00 0000 0000 0002",
         "offset 1 is 0"},
        {"restart past the entries", 2, "000100 \"k\" 0000000000000001 00 0000 000d 0002",
         "offset 1 is 13"},
        {"v1 first entry shares", 1, "0001 0000 0000000000000001 00 00000000 0000 0001",
         "shares 1 bytes"},
        {"v1 gap between entries", 1,
         "0000 0001 \"k\" 0000000000000001 01 00 0000 0001 \"l\" 0000000000000002 01 0000 000f "
         "0002",
         "want 15"},
        {"v1 value past the end", 1, "0000 0001 \"k\" 0000000000000001 00 00000001 0000 0001",
         "reaches past"},
        {"v1 shares too much", 1,
         "0000 0001 \"k\" 0000000000000001 01 0002 0001 \"l\" 0000000000000002 01 0000 000e 0002",
         "2 bytes of 1"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_buf raw = format_hex(cases[i].hex);
        struct shl_block_iter it = {0};
        shale_code rc = shl_block_iter_init(&it, shl_buf_view(&raw), cases[i].version, &err);
        if (rc == SHALE_OK)
            rc = shl_block_iter_first(&it, &err);
        while (rc == SHALE_OK && it.valid)
            rc = shl_block_iter_next(&it, &err);
        if (rc != SHALE_CORRUPTION || strstr(err.text, cases[i].text) == NULL)
            fail_msg("%s: code %d, text %s", cases[i].name, (int)rc, err.text);
        assert_false(it.valid);
        shl_block_iter_deinit(&it);
        shl_buf_free(&raw);
    }
}

/* Everything that can be done with a block; true if nothing complained. */
static bool use_block(struct shl_slice raw, void *ctx)
{
    unsigned version = *(const unsigned *)ctx;
    static const char *const keys[] = {"", "apple", "apricot", "b", "date", "zz"};
    struct shl_block_iter it = {0};
    bool found = false;
    bool past = false;
    struct shl_row row;
    shale_code rc = shl_block_iter_init(&it, raw, version, &err);
    bool ok = rc == SHALE_OK;
    if (ok) {
        rc = shl_block_iter_first(&it, &err);
        while (rc == SHALE_OK && it.valid)
            rc = shl_block_iter_next(&it, &err);
        ok = rc == SHALE_OK;
        rc = shl_block_iter_last(&it, &err);
        while (rc == SHALE_OK && it.valid)
            rc = shl_block_iter_prev(&it, &err);
        assert_int_equal(ok, rc == SHALE_OK); /* both ways see the same entries */
    }
    for (size_t i = 0; i < SHL_COUNT_OF(keys); i++) {
        struct shl_slice key = shl_slice_str(keys[i]);
        if (ok) {
            OK(shl_block_iter_seek(&it, key, &err));
            OK(shl_block_iter_seek_back(&it, key, &err));
            OK(shl_block_get(raw, version, key, UINT64_MAX, &row, &found, &past, &err));
        } else if (shl_block_get(raw, version, key, 3, &row, &found, &past, &err) != SHALE_OK) {
            assert_int_equal(err.code, SHALE_CORRUPTION);
        }
    }
    shl_block_iter_deinit(&it);
    return ok;
}

static void test_damaged_blocks_never_mislead_the_reader(void **state)
{
    (void)state;
    static const char *const examples[] = {[1] = example_v1, [2] = example_v2};
    for (unsigned version = 1; version <= 2; version++) {
        struct shl_buf raw = format_hex(examples[version]);
        assert_true(use_block(shl_buf_view(&raw), &version));
        assert_int_equal(format_truncate_all(shl_buf_view(&raw), use_block, &version), 0);
        (void)format_flip_all(shl_buf_view(&raw), use_block,
                              &version); /* values and keys may change freely */
        shl_buf_free(&raw);
    }
}

/* ---------------------------------------------------------------- random rows */

struct rows {
    struct shl_row *items;
    size_t count;
    uint8_t *bytes;
};

static int compare_rows(const void *a, const void *b)
{
    return shl_row_cmp(a, b);
}

/* Keys over a tiny alphabet with 0x00 and 0xff, so that prefixes, equal keys and close neighbours are common. */
static struct rows random_rows(uint64_t *rand, size_t count, size_t key_max, size_t value_max)
{
    static const uint8_t alphabet[] = {0x00, 0x01, 'a', 0xff};
    struct rows r = {.items = calloc(count, sizeof *r.items), .count = count};
    r.bytes = malloc(count * (key_max + value_max) + 1);
    uint8_t *p = r.bytes;
    for (size_t i = 0; i < count; i++) {
        struct shl_row *row = &r.items[i];
        size_t key_len = 1 + format_rand_below(rand, key_max);
        row->key = shl_slice_of(p, key_len);
        for (size_t k = 0; k < key_len; k++)
            *p++ = format_rand_below(rand, 3) == 0
                       ? alphabet[format_rand_below(rand, sizeof alphabet)]
                       : 'k';
        row->flags = (uint8_t)(format_rand_below(rand, 4) * 2); /* timestamps */
        size_t kind = format_rand_below(rand, 4);
        row->flags |= kind == 0 ? SHL_ROW_TOMBSTONE : kind == 1 ? SHL_ROW_MERGE : 0;
        size_t value_len = kind == 0 ? 0 : format_rand_below(rand, value_max + 1);
        row->value = shl_slice_of(p, value_len);
        memset(p, (int)(i & 0xff), value_len);
        p += value_len;
        row->seq = i + 1;
        if (row->flags & SHL_ROW_HAS_EXPIRE)
            row->expire_ts = (int64_t)format_rand(rand);
        if (row->flags & SHL_ROW_HAS_CREATE)
            row->create_ts = (int64_t)format_rand(rand);
    }
    qsort(r.items, count, sizeof *r.items, compare_rows);
    return r;
}

static void rows_free(struct rows *r)
{
    free(r->items);
    free(r->bytes);
}

/* A version 1 block, which our library only reads. */
static void build_v1(const struct rows *r, struct shl_buf *out)
{
    struct shl_buf offsets = {0};
    uint8_t n[8];
    for (size_t i = 0; i < r->count; i++) {
        const struct shl_row *row = &r->items[i];
        size_t shared = i == 0 ? 0 : shl_common_prefix(r->items[0].key, row->key);
        shl_store_u16be(n, (uint16_t)out->len);
        OK(shl_buf_append(&offsets, n, 2, &err));
        shl_store_u16be(n, (uint16_t)shared);
        shl_store_u16be(n + 2, (uint16_t)(row->key.len - shared));
        OK(shl_buf_append(out, n, 4, &err));
        OK(shl_buf_append(out, row->key.data + shared, row->key.len - shared, &err));
        shl_store_u64be(n, row->seq);
        OK(shl_buf_append(out, n, 8, &err));
        OK(shl_buf_append(out, &row->flags, 1, &err));
        shl_store_u64be(n, (uint64_t)row->expire_ts);
        OK(shl_buf_append(out, n, row->flags & SHL_ROW_HAS_EXPIRE ? 8 : 0, &err));
        shl_store_u64be(n, (uint64_t)row->create_ts);
        OK(shl_buf_append(out, n, row->flags & SHL_ROW_HAS_CREATE ? 8 : 0, &err));
        if (row->flags & SHL_ROW_TOMBSTONE)
            continue;
        shl_store_u32be(n, (uint32_t)row->value.len);
        OK(shl_buf_append(out, n, 4, &err));
        OK(shl_buf_append(out, row->value.data, row->value.len, &err));
    }
    OK(shl_buf_append(out, offsets.data, offsets.len, &err));
    shl_store_u16be(n, (uint16_t)r->count);
    OK(shl_buf_append(out, n, 2, &err));
    shl_buf_free(&offsets);
}

/* What a v1 reader gives back for the row. */
static struct shl_row as_read(const struct shl_row *row, unsigned version)
{
    struct shl_row r = *row;
    if (version == 1 && (r.flags & SHL_ROW_TOMBSTONE)) {
        r.flags &= (uint8_t)~SHL_ROW_HAS_EXPIRE;
        r.expire_ts = 0;
    }
    return r;
}

static void expect_at(const struct shl_block_iter *it, const struct rows *r, size_t index,
                      unsigned version)
{
    assert_int_equal(it->valid, index < r->count);
    if (index >= r->count)
        return;
    struct shl_row want = as_read(&r->items[index], version);
    expect_row(&it->row, &want);
}

/* A walk of random steps to and fro; `index` = r->count means not valid. */
static void walk_randomly(struct shl_block_iter *it, const struct rows *r, unsigned version,
                          uint64_t *rand)
{
    size_t index = format_rand_below(rand, r->count);
    OK(shl_block_iter_first(it, &err));
    for (size_t i = 0; i < index; i++)
        OK(shl_block_iter_next(it, &err));
    bool forward = false;
    for (size_t step = 0; step < 3 * r->count && index < r->count; step++) {
        if (format_rand_below(rand, 8) == 0)
            forward = !forward;
        if (forward) {
            OK(shl_block_iter_next(it, &err));
            index++;
        } else {
            OK(shl_block_iter_prev(it, &err));
            index = index == 0 ? r->count : index - 1;
        }
        expect_at(it, r, index, version);
    }
}

static void check_walks(struct shl_block_iter *it, const struct rows *r, unsigned version)
{
    OK(shl_block_iter_first(it, &err));
    for (size_t i = 0; i < r->count; i++) {
        expect_at(it, r, i, version);
        OK(shl_block_iter_next(it, &err));
    }
    assert_false(it->valid);
    OK(shl_block_iter_last(it, &err));
    for (size_t i = r->count; i-- > 0;) {
        expect_at(it, r, i, version);
        OK(shl_block_iter_prev(it, &err));
    }
    assert_false(it->valid);
}

static void check_key(struct shl_block_iter *it, const struct rows *r, struct shl_slice key,
                      uint64_t max_seq)
{
    size_t first_not_below = 0;
    size_t past_equal = 0;
    const struct shl_row *newest = NULL;
    for (size_t i = 0; i < r->count; i++) {
        int c = shl_slice_cmp(r->items[i].key, key);
        first_not_below += c < 0;
        past_equal += c <= 0;
        if (c == 0 && newest == NULL && r->items[i].seq <= max_seq)
            newest = &r->items[i];
    }
    OK(shl_block_iter_seek(it, key, &err));
    expect_at(it, r, first_not_below, it->version);
    OK(shl_block_iter_seek_back(it, key, &err));
    expect_at(it, r, past_equal == 0 ? r->count : past_equal - 1, it->version);

    struct shl_row row;
    bool found = false;
    bool past = true;
    OK(shl_block_get(it->raw, it->version, key, max_seq, &row, &found, &past, &err));
    assert_int_equal(found, newest != NULL);
    if (found) {
        struct shl_row want = as_read(newest, it->version);
        expect_row(&row, &want);
    } else {
        assert_int_equal(past, past_equal < r->count);
    }
}

static void check_searches(struct shl_block_iter *it, const struct rows *r, uint64_t *rand)
{
    uint8_t key[64];
    for (size_t i = 0; i < r->count; i++) {
        struct shl_slice k = r->items[i].key;
        check_key(it, r, k, UINT64_MAX);
        check_key(it, r, k, r->items[i].seq);
        check_key(it, r, k, r->items[i].seq - 1);
        memcpy(key, k.data, k.len);
        key[k.len] = 0; /* just above */
        check_key(it, r, shl_slice_of(key, k.len + 1), UINT64_MAX);
        check_key(it, r, shl_slice_of(key, format_rand_below(rand, k.len + 1)),
                  UINT64_MAX); /* a prefix */
        key[format_rand_below(rand, k.len)]++;
        check_key(it, r, shl_slice_of(key, k.len), UINT64_MAX);
    }
}

static void test_random_blocks_are_walked_and_searched_like_the_rows(void **state)
{
    (void)state;
    uint64_t rand = format_seed();
    struct shl_block_iter it = {0}; /* used again for every block */
    for (unsigned round = 0; round < 150; round++) {
        size_t key_max = 1 + format_rand_below(&rand, 24);
        struct rows r = random_rows(&rand, 1 + format_rand_below(&rand, 90), key_max, 40);
        for (unsigned version = 1; version <= 2; version++) {
            struct shl_buf raw = {0};
            if (version == 1)
                build_v1(&r, &raw);
            else
                build(r.items, r.count, &raw);
            OK(shl_block_iter_init(&it, shl_buf_view(&raw), version, &err));
            check_walks(&it, &r, version);
            walk_randomly(&it, &r, version, &rand);
            check_searches(&it, &r, &rand);
            it.valid = false;
            shl_buf_free(&raw);
        }
        rows_free(&r);
    }
    shl_block_iter_deinit(&it);
}

/* Other writers may set restarts as they like; one for a whole block makes going back hardest. */
static void test_single_restart_block_is_walked_back(void **state)
{
    (void)state;
    uint64_t rand = format_seed();
    struct rows r = random_rows(&rand, 200, 30, 3);
    struct shl_buf raw = {0};
    struct shl_block_iter it = {0};
    for (size_t i = 0; i < r.count; i++) {
        const struct shl_row *row = &r.items[i];
        size_t shared = i == 0 ? 0 : shl_common_prefix(row[-1].key, row->key);
        uint8_t head[3] = {(uint8_t)shared, (uint8_t)(row->key.len - shared),
                           (uint8_t)row->value.len};
        uint8_t tail[25];
        size_t n = 9;
        OK(shl_buf_append(&raw, head, sizeof head, &err));
        OK(shl_buf_append(&raw, row->key.data + shared, row->key.len - shared, &err));
        OK(shl_buf_append(&raw, row->value.data, row->value.len, &err));
        shl_store_u64be(tail, row->seq);
        tail[8] = row->flags;
        if (row->flags & SHL_ROW_HAS_EXPIRE) {
            shl_store_u64be(tail + n, (uint64_t)row->expire_ts);
            n += 8;
        }
        if (row->flags & SHL_ROW_HAS_CREATE) {
            shl_store_u64be(tail + n, (uint64_t)row->create_ts);
            n += 8;
        }
        OK(shl_buf_append(&raw, tail, n, &err));
    }
    OK(shl_buf_append(&raw, "\0\0\0\1", 4, &err));
    OK(shl_block_iter_init(&it, shl_buf_view(&raw), 2, &err));
    check_walks(&it, &r, 2);
    walk_randomly(&it, &r, 2, &rand);
    check_searches(&it, &r, &rand);
    shl_block_iter_deinit(&it);
    shl_buf_free(&raw);
    rows_free(&r);
}

/* ---------------------------------------------------------------- cutting */

static void test_builder_cuts_exactly_at_capacity(void **state)
{
    (void)state;
    uint8_t value[100] = {0};
    struct shl_row row = {.key = shl_slice_str("key"), .value = shl_slice_of(value, 50), .seq = 1};
    struct shl_block_builder b;
    bool added = false;
    /* 3 + 3 + 50 + 9 bytes, its restart and the count: exactly 69; a second version of the key: 3 + 0 + 50 + 9. */
    OK(shl_block_builder_init(&b, 69 + 62, &err));
    OK(shl_block_builder_try_add(&b, &row, &added, &err));
    assert_true(added);
    assert_int_equal(shl_block_builder_bytes(&b), 69);
    assert_true(shl_block_builder_fits(&b, &row));
    row.value.len = 51;
    assert_false(shl_block_builder_fits(&b, &row));
    OK(shl_block_builder_try_add(&b, &row, &added, &err));
    assert_false(added);
    assert_int_equal(shl_block_builder_bytes(&b), 69);
    row.value.len = 50;
    OK(shl_block_builder_try_add(&b, &row, &added, &err));
    assert_true(added);
    assert_int_equal(shl_block_builder_bytes(&b), 131);
    shl_block_builder_deinit(&b);
}

static void test_empty_block_takes_any_row_and_a_restart_costs_two_bytes(void **state)
{
    (void)state;
    uint8_t *value = calloc(1, 100000);
    struct shl_row big = {
        .key = shl_slice_str("big"), .value = shl_slice_of(value, 100000), .seq = 1};
    struct shl_row small = {.key = shl_slice_str("k"), .seq = 1};
    struct shl_block_builder b;
    struct shl_buf raw = {0};
    OK(shl_block_builder_init(&b, 1024, &err));
    assert_true(shl_block_builder_fits(&b, &big));
    OK(shl_block_builder_add(&b, &big, &err));
    assert_false(shl_block_builder_fits(&b, &small));
    OK(shl_block_builder_finish(&b, &raw, &err));
    assert_true(raw.len > 100000);
    shl_block_builder_deinit(&b);

    /* One entry of 13 bytes, 15 of 12 that share the key; the 17th is whole again and brings a restart. */
    size_t full = 13 + 15 * 12 + 2 + 2;
    for (size_t room = 13 + 1; room <= 13 + 2; room++) {
        OK(shl_block_builder_init(&b, full + room, &err));
        for (unsigned i = 0; i < 16; i++)
            OK(shl_block_builder_add(&b, &small, &err));
        assert_int_equal(shl_block_builder_bytes(&b), full);
        assert_int_equal(shl_block_builder_fits(&b, &small), room == 13 + 2);
        shl_block_builder_deinit(&b);
    }
    shl_buf_free(&raw);
    free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example_is_built_and_read),
        cmocka_unit_test(test_v1_example_is_read),
        cmocka_unit_test(test_v1_tombstone_loses_its_expiry),
        cmocka_unit_test(test_row_size_counts_every_field),
        cmocka_unit_test(test_bad_blocks_are_refused_with_a_reason),
        cmocka_unit_test(test_damaged_blocks_never_mislead_the_reader),
        cmocka_unit_test(test_random_blocks_are_walked_and_searched_like_the_rows),
        cmocka_unit_test(test_single_restart_block_is_walked_back),
        cmocka_unit_test(test_builder_cuts_exactly_at_capacity),
        cmocka_unit_test(test_empty_block_takes_any_row_and_a_restart_costs_two_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
