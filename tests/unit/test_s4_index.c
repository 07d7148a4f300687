/* Goal: the index in memory is a map, whatever happens to it, and small. Method: random puts and removals beside a plain model; walks, places and files
 * hold against it; figures of memory. */
#include "s4/index.h"

#include "support_format.h"

#include "base/env/env.h"
#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>

static shale_error err;

#define OK(call) assert_int_equal((call), SHALE_OK)
#define KEYS     700

struct model {
    bool there[KEYS];
    struct shl_s4_loc loc[KEYS];
};

static struct shl_slice key_of(unsigned n, char out[300])
{
    int len = snprintf(out, 300, "%u", n);
    /* Long ones too, and the empty one. */
    if (n % 50 == 7)
        memset(out + len, 'x', 200);
    return shl_slice_of(out, n == 0 ? 0 : (size_t)len + (n % 50 == 7 ? 200 : 0));
}

static void check(const struct shl_s4_index *x, const struct model *m)
{
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref, count = 0, walked = 0;
    char text[300];
    for (unsigned i = 0; i < KEYS; i++) {
        struct shl_s4_loc got;
        bool found = shl_s4_index_get(x, key_of(i, text), &got);
        assert_int_equal(found, m->there[i]);
        count += found;
        if (found)
            assert_true(got.file == m->loc[i].file && got.offset == m->loc[i].offset &&
                        got.length == m->loc[i].length);
    }
    while (shl_s4_index_next(x, &c, &key, &loc, &ref))
        walked++;
    assert_int_equal(count, x->count);
    assert_int_equal(walked, count);
}

static void test_it_is_a_map(void **state)
{
    (void)state;
    static struct model m;
    struct shl_s4_index x;
    uint64_t seed = 88172645463325252u;
    char text[300];
    memset(&m, 0, sizeof m);
    shl_s4_index_init(&x);
    for (unsigned step = 0; step < 60000; step++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        unsigned n = (unsigned)(seed % KEYS);
        if (seed >> 60 < 7) {
            assert_int_equal(shl_s4_index_remove(&x, key_of(n, text)), m.there[n]);
            m.there[n] = false;
        } else {
            m.loc[n] = (struct shl_s4_loc){
                .file = seed >> 40 & 31, .offset = seed >> 8, .length = (uint32_t)step};
            OK(shl_s4_index_put(&x, key_of(n, text), m.loc[n], &err));
            m.there[n] = true;
        }
        if (step % 5000 == 0)
            check(&x, &m);
    }
    check(&x, &m);
    shl_s4_index_free(&x);
}

static void test_places_and_files_are_in_order(void **state)
{
    (void)state;
    struct shl_s4_index x;
    struct shl_s4_places places = {0};
    struct shl_s4_ids ids = {0};
    char text[300];
    shl_s4_index_init(&x);
    for (unsigned i = 0; i < KEYS; i++) {
        struct shl_s4_loc loc = {
            .file = 900 - i % 3 * 400, .offset = (i * 7919u) % 10000, .length = 13};
        OK(shl_s4_index_put(&x, key_of(i, text), loc, &err));
    }
    for (unsigned i = 0; i < KEYS; i += 3) /* all of file 900 */
        assert_true(shl_s4_index_remove(&x, key_of(i, text)));
    OK(shl_s4_index_places(&x, &places, &err));
    assert_int_equal(places.list.count, x.count);
    struct shl_s4_loc last = {0};
    for (size_t i = 0; i < places.list.count; i++) {
        struct shl_slice key;
        struct shl_s4_loc loc;
        shl_s4_index_at(&x, places.list.items[i].ref, &key, &loc);
        assert_true(loc.file > last.file || (loc.file == last.file && loc.offset >= last.offset));
        last = loc;
    }
    OK(shl_s4_index_files(&x, &ids, &err));
    assert_int_equal(ids.ids.count, 2);
    assert_true(ids.ids.items[0] == 100 && ids.ids.items[1] == 500);
    assert_true(shl_s4_ids_have(&ids, 100) && !shl_s4_ids_have(&ids, 900));
    shl_s4_ids_free(&ids);
    shl_s4_places_free(&places);
    shl_s4_index_free(&x);
}

static void test_it_comes_back_from_its_object(void **state)
{
    (void)state;
    for (uint8_t version = 1; version <= 2; version++) {
        struct shl_s4_index x, back;
        struct shl_s4_index_head head;
        struct shl_buf blob = {0};
        char text[300];
        shl_s4_index_init(&x);
        shl_s4_index_init(&back);
        for (unsigned i = 0; i < KEYS; i++)
            OK(shl_s4_index_put(
                &x, key_of(i, text),
                (struct shl_s4_loc){
                    .file = version == 1 ? i : (uint64_t)i << 32 | 1, .offset = i, .length = 13},
                &err));
        OK(shl_s4_index_encode(&x, version, 9, &blob, &err));
        OK(shl_s4_index_load(&back, shl_buf_view(&blob), &head, &err));
        assert_true(head.version == version && head.next_file_num == 9 && back.count == KEYS);
        for (unsigned i = 0; i < KEYS; i++) {
            struct shl_s4_loc a, b;
            assert_true(shl_s4_index_get(&x, key_of(i, text), &a));
            assert_true(shl_s4_index_get(&back, key_of(i, text), &b));
            assert_true(a.file == b.file && a.offset == b.offset && a.length == b.length);
        }
        shl_buf_free(&blob);
        shl_s4_index_free(&x);
        shl_s4_index_free(&back);
    }
}

/* With room made before, putting takes no memory. */
static void test_room_is_enough(void **state)
{
    (void)state;
    struct shl_s4_index x;
    static char big[SHL_S4_KEY_MAX];
    memset(big, 'k', sizeof big);
    shl_s4_index_init(&x);
    for (unsigned round = 0; round < 5; round++) {
        OK(shl_s4_index_room(&x, 40, 40 * (uint64_t)sizeof big, 2, &err));
        uint64_t before = shl_s4_index_memory(&x);
        for (unsigned i = 0; i < 40; i++) {
            big[0] = (char)('a' + round);
            big[1] = (char)('0' + i);
            OK(shl_s4_index_put(&x, shl_slice_of(big, sizeof big),
                                (struct shl_s4_loc){.file = round * 2 + i % 2, .length = 13},
                                &err));
        }
        assert_true(shl_s4_index_memory(&x) == before);
    }
    assert_int_equal(x.count, 200);
    shl_s4_index_free(&x);
}

/* A hundred bytes of index per key would be a fifth of what s4db takes (bench/README.md). */
static void test_it_is_small(void **state)
{
    (void)state;
    struct shl_s4_index x;
    char text[300];
    shl_s4_index_init(&x);
    for (unsigned i = 0; i < 100000; i++) {
        int len = snprintf(text, sizeof text, "user/%08u", i);
        OK(shl_s4_index_put(&x, shl_slice_of(text, (size_t)len),
                            (struct shl_s4_loc){.file = i / 1000, .offset = i, .length = 50},
                            &err));
    }
    uint64_t per_key = shl_s4_index_memory(&x) / 100000;
    assert_true(per_key < 70);
    for (unsigned i = 0; i < 100000; i++) { /* and what is removed does not stay for ever */
        int len = snprintf(text, sizeof text, "user/%08u", i);
        assert_true(shl_s4_index_remove(&x, shl_slice_of(text, (size_t)len)));
    }
    assert_true(shl_s4_index_memory(&x) < 3u << 20);
    shl_s4_index_free(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_a_map),
        cmocka_unit_test(test_places_and_files_are_in_order),
        cmocka_unit_test(test_it_comes_back_from_its_object),
        cmocka_unit_test(test_room_is_enough),
        cmocka_unit_test(test_it_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
