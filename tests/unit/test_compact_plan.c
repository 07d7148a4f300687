/* Goal: the planner picks what size-tiered compaction must pick, and never sources that are not neighbours in age.
 * Method: tables of trees by sizes; then random trees (seed printed), each plan checked against the rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env/env.h"
#include "lsm/compact_plan.h"

#define MAX_RUNS 16

static struct shl_sst_view make_view(uint64_t bytes)
{
    static uint64_t next = 1;
    shale_error err;
    struct shl_sst_info info = {.index_offset = bytes};
    struct shl_sst_view v = {.id = {.hi = next, .lo = next}};
    assert_int_equal(
        shl_sst_desc_new((struct shl_ulid){.hi = next, .lo = next}, 2, true, &info, &v.sst, &err),
        SHALE_OK);
    next++;
    return v;
}

static void fill(struct shl_tree *t, size_t l0, uint64_t l0_bytes, const uint64_t *runs,
                 size_t run_count)
{
    for (size_t i = 0; i < l0; i++) {
        struct shl_sst_view v = make_view(l0_bytes);
        assert_true(shl_array_push(&t->l0, v));
    }
    for (size_t i = 0; i < run_count; i++) {
        struct shl_run r = {.id = (uint32_t)(run_count - 1 - i)};
        struct shl_sst_view v = make_view(runs[i]);
        assert_true(shl_array_push(&r.ssts, v));
        assert_true(shl_array_push(&t->runs, r));
    }
}

static const struct {
    const char *name;
    size_t l0;
    uint64_t l0_bytes;
    uint64_t runs[MAX_RUNS]; /* newest first; 0 ends */
    bool due;
    size_t want_l0, want_run_first, want_runs;
    uint32_t want_destination;
    bool want_drop;
} cases[] = {
    {"nothing", 0, 10, {0}, false, 0, 0, 0, 0, false},
    {"three L0s wait", 3, 10, {0}, false, 0, 0, 0, 0, false},
    {"four L0s become run 0", 4, 10, {0}, true, 4, 0, 0, 0, true},
    {"at most eight, the oldest", 10, 10, {0}, true, 8, 0, 0, 0, true},
    {"the next run is newer than all", 4, 10, {100, 100}, true, 4, 0, 0, 2, false},
    {"four equal runs become the lowest", 0, 10, {10, 10, 10, 10}, true, 0, 0, 4, 0, true},
    {"a big run below stays", 0, 10, {10, 10, 10, 10, 1000}, true, 0, 0, 4, 1, false},
    {"a group further down", 0, 10, {1, 100, 100, 100, 100}, true, 0, 1, 4, 0, true},
    {"nine runs: the newest waits",
     0,
     10,
     {10, 10, 10, 10, 10, 10, 10, 10, 10},
     true,
     0,
     1,
     8,
     0,
     true},
    {"a full group goes before more L0s",
     4,
     10,
     {10, 10, 10, 10, 10, 10, 10, 10},
     true,
     0,
     0,
     8,
     0,
     true},
};

static void test_plan_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shl_manifest *m = NULL;
        struct shl_lsm_settings s;
        struct shl_compact_plan p = {0};
        shale_error err;
        size_t runs = 0;
        while (runs < MAX_RUNS && cases[i].runs[runs] != 0)
            runs++;
        shl_lsm_settings_default(&s);
        assert_int_equal(shl_manifest_new(&m, &err), SHALE_OK);
        fill(&m->root, cases[i].l0, cases[i].l0_bytes, cases[i].runs, runs);
        bool due = shl_compact_plan_next(m, &s, &p);
        if (due != cases[i].due ||
            (due && (p.l0_count != cases[i].want_l0 || p.run_count != cases[i].want_runs ||
                     (p.run_count > 0 && p.run_first != cases[i].want_run_first) ||
                     p.destination != cases[i].want_destination ||
                     p.drop_tombstones != cases[i].want_drop)))
            fail_msg("%s: due %d, l0 %zu, runs %zu from %zu, to %u, drop %d", cases[i].name, due,
                     p.l0_count, p.run_count, p.run_first, p.destination, p.drop_tombstones);
        shl_manifest_free(m);
    }
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static void test_plan_sources_are_neighbours(void **state)
{
    uint64_t seed = 20261120, r = seed;
    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (unsigned round = 0; round < 3000; round++) {
        struct shl_manifest *m = NULL;
        struct shl_lsm_settings s;
        struct shl_compact_plan p;
        shale_error err;
        uint64_t sizes[MAX_RUNS];
        size_t runs = next_random(&r) % MAX_RUNS;
        for (size_t i = 0; i < runs; i++)
            sizes[i] = 1 + next_random(&r) % (next_random(&r) % 2 ? 20 : 2000);
        shl_lsm_settings_default(&s);
        s.min_compaction_sources = 2 + (uint32_t)(next_random(&r) % 4);
        s.max_compaction_sources = s.min_compaction_sources + (uint32_t)(next_random(&r) % 5);
        assert_int_equal(shl_manifest_new(&m, &err), SHALE_OK);
        fill(&m->root, next_random(&r) % 12, 1 + next_random(&r) % 50, sizes, runs);
        if (shl_compact_plan_next(m, &s, &p)) {
            const struct shl_tree *t = &m->root;
            size_t n = p.l0_count + p.run_count;
            assert_true(n >= s.min_compaction_sources && n <= s.max_compaction_sources);
            assert_true(p.l0_count == 0 ||
                        p.run_count ==
                            0); /* never L0s together with runs that are not next to them */
            if (p.l0_count > 0) {
                assert_int_equal(p.l0_first + p.l0_count, t->l0.count);
                for (size_t i = 0; i < t->runs.count; i++)
                    assert_true(p.destination > t->runs.items[i].id);
                assert_int_equal(p.drop_tombstones, t->runs.count == 0);
            } else {
                assert_true(p.run_first + p.run_count <= t->runs.count);
                assert_int_equal(p.destination, t->runs.items[p.run_first + p.run_count - 1].id);
                assert_int_equal(p.drop_tombstones, p.run_first + p.run_count == t->runs.count);
            }
        } else {
            /* Nothing due: L0 must not be what writers wait for. */
            assert_true(m->root.l0.count < s.min_compaction_sources);
        }
        shl_manifest_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_cases),
        cmocka_unit_test(test_plan_sources_are_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
