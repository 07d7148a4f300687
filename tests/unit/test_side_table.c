/* Goal: the side table is an optimisation only: it answers every lookup as the search of the stored form does, or is not built.
 * Method: random blocks with keys of few letters (ties, 0x00 and 0xff, prefixes of each other, many versions), each asked for its own
 * keys, neighbours of them and others, at random sequence numbers; then blocks with every byte changed in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/codec/endian.h"
#include "base/num.h"
#include "lsm/format/block.h"
#include "lsm/sst/side_table.h"
#include "support/sst.h"

#define SEED UINT64_C(0x51de7ab1e)

/* A block of the first rows that fit. */
static struct shl_block *make_block(const struct test_rows *rows, size_t capacity)
{
    shale_error err;
    struct shl_block_builder b;
    struct shl_buf raw = {0};
    test_must(shl_block_builder_init(&b, capacity, &err), &err);
    for (size_t i = 0; i < rows->count && shl_block_builder_fits(&b, &rows->items[i]); i++)
        test_must(shl_block_builder_add(&b, &rows->items[i], &err), &err);
    test_must(shl_block_builder_finish(&b, &raw, &err), &err);
    struct shl_block *block = shl_block_new(NULL, raw.len, 2);
    assert_non_null(block);
    memcpy(shl_block_bytes(block), raw.data, raw.len);
    shl_buf_free(&raw);
    shl_block_builder_deinit(&b);
    return block;
}

static void compare(struct shl_block *b, struct shl_slice key, uint64_t max_seq, const char *name)
{
    shale_error err;
    struct shl_row want;
    struct shl_row got;
    bool found;
    bool past;
    test_must(shl_block_get(shl_block_raw(b), 2, key, max_seq, &want, &found, &past, &err), &err);
    enum shl_side_answer a = shl_side_table_get(b, key, max_seq, &got);
    enum shl_side_answer expected = found ? SHL_SIDE_FOUND : past ? SHL_SIDE_PAST : SHL_SIDE_AFTER;
    if (a != expected)
        fail_msg("%s: answer %d, want %d", name, (int)a, (int)expected);
    if (found && (!test_row_equal(&got, &want) || got.value.data != want.value.data))
        fail_msg("%s: another row", name);
}

static struct shl_slice near_key(const struct test_rows *rows, uint8_t *room, uint64_t *rand)
{
    struct shl_slice from = rows->items[test_rand_below(rand, rows->count)].key;
    size_t len = from.len;
    memcpy(room, from.data, len);
    switch (test_rand_below(rand, 6)) {
    case 0:
        room[len++] = (uint8_t)(test_rand_below(rand, 2) * 255);
        break;
    case 1:
        len = test_rand_below(rand, len + 1);
        break;
    case 2:
        room[test_rand_below(rand, len)] ^= (uint8_t)(1u << test_rand_below(rand, 8));
        break;
    case 3: /* zeros behind the end look like the padding of heads */
        memset(room + len, 0, 3);
        len += test_rand_below(rand, 4);
        break;
    default:
        break;
    }
    return shl_slice_of(room, len);
}

static const struct {
    const char *name;
    size_t capacity;
    bool built; /* must be; else may be */
    struct test_rows_kind rows;
} kinds[] = {
    {"one row", 4096, true, {1, 8, NULL, NULL, 10, 1}},
    {"ties in the head", 4096, true, {60, 12, NULL, NULL, 120, 2}},
    {"zeros", 4096, true, {60, 9, "\x01", NULL, 120, 2}},
    {"a prefix", 4096, true, {60, 9, NULL, "user:account:", 120, 2}},
    {"a prefix of 48",
     4096,
     true,
     {50, 9, NULL, "012345678901234567890123456789012345678901234567", 120, 1}},
    {"a prefix of 49",
     4096,
     false,
     {50, 9, NULL, "0123456789012345678901234567890123456789012345678", 120, 1}},
    {"one key", 4096, true, {60, 1, "a", NULL, 120, 100}},
    {"few keys", 4096, true, {60, 2, "ab", NULL, 120, 30}},
    {"usual", 4096, true, {60, 16, "0123456789abcdef", "k", 100, 1}},
    {"too many", 4096, false, {500, 6, NULL, NULL, 0, 1}},
    {"16 KiB", 16384, true, {300, 9, NULL, NULL, 200, 2}},
    {"64 KiB", 65536, true, {900, 9, NULL, NULL, 300, 2}},
    {"small", 1024, true, {30, 9, NULL, NULL, 200, 2}},
};

static void test_answers_as_the_stored_form(void **state)
{
    (void)state;
    uint64_t rand = SEED;
    printf("seed 0x%llx\n", (unsigned long long)SEED);
    for (size_t k = 0; k < SHL_COUNT_OF(kinds); k++) {
        for (int round = 0; round < 60; round++) {
            struct test_rows rows;
            test_rows_make(&rows, &kinds[k].rows, &rand);
            struct shl_block *b = make_block(&rows, kinds[k].capacity);
            uint8_t room[256];
            bool built = shl_side_table_build(b);
            if (kinds[k].built && !built)
                fail_msg("%s: not built", kinds[k].name);
            for (int i = 0; built && i < 300; i++)
                compare(b, near_key(&rows, room, &rand), test_rand_below(&rand, rows.count + 2),
                        kinds[k].name);
            shl_block_unref(b);
            test_rows_free(&rows);
        }
    }
}

/* A table of a block that the stored form calls damaged would hide the damage (restarts too must be where entries begin). Blocks that are
 * not sorted have no right answer; the table must only stay inside of the block then (the sanitizers look). */
static void test_a_changed_block_is_refused_or_answers_inside(void **state)
{
    (void)state;
    uint64_t rand = SEED + 1;
    size_t refused = 0;
    for (size_t k = 0; k < SHL_COUNT_OF(kinds); k++) {
        struct test_rows rows;
        test_rows_make(&rows, &kinds[k].rows, &rand);
        struct shl_block *whole = make_block(&rows, kinds[k].capacity);
        struct shl_slice raw = shl_block_raw(whole);
        size_t restarts = raw.len - 2 - 2 * (size_t)shl_load_u16be(raw.data + raw.len - 2);
        for (size_t at = 0; at < raw.len; at += 1 + raw.len / 3000) {
            uint8_t room[256];
            struct shl_row row;
            struct shl_block *b = shl_block_new(NULL, raw.len, 2);
            assert_non_null(b);
            memcpy(shl_block_bytes(b), raw.data, raw.len);
            shl_block_bytes(b)[at] ^= (uint8_t)(1 + test_rand_below(&rand, 255));
            if (shl_side_table_build(b)) {
                if (at >= restarts)
                    fail_msg("%s: restart byte %zu changed, table built", kinds[k].name, at);
                for (int i = 0; i < 8; i++)
                    (void)shl_side_table_get(b, near_key(&rows, room, &rand), UINT64_MAX, &row);
            } else {
                refused++;
            }
            shl_block_unref(b);
        }
        shl_block_unref(whole);
        test_rows_free(&rows);
    }
    assert_true(refused > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_as_the_stored_form),
        cmocka_unit_test(test_a_changed_block_is_refused_or_answers_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
