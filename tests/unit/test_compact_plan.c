/* Goal: the schedulers pick what they must pick, and never sources that are not neighbours in age or that another job has.
 * Method: tables of trees by sizes; then random trees and jobs (seed printed), each proposal checked against the coordinator's own rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env/env.h"
#include "lsm/compactor/scheduler.h"

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
    uint32_t consolidation;
    bool leveled;
} cases[] = {
    {"nothing", 0, 10, {0}, false, 0, 0, 0, 0, false, 0, false},
    {"three L0s wait", 3, 10, {0}, false, 0, 0, 0, 0, false, 0, false},
    {"four L0s become run 0", 4, 10, {0}, true, 4, 0, 0, 0, true, 0, false},
    {"at most eight, the oldest", 10, 10, {0}, true, 8, 0, 0, 0, true, 0, false},
    {"the next run is newer than all", 4, 10, {100, 100}, true, 4, 0, 0, 2, false, 0, false},
    {"four equal runs become the lowest",
     0,
     10,
     {10, 10, 10, 10},
     true,
     0,
     0,
     4,
     0,
     true,
     0,
     false},
    {"a big run below stays", 0, 10, {10, 10, 10, 10, 1000}, true, 0, 0, 4, 1, false, 0, false},
    {"a group further down", 0, 10, {1, 100, 100, 100, 100}, true, 0, 1, 4, 0, true, 0, false},
    {"nine runs: the newest waits",
     0,
     10,
     {10, 10, 10, 10, 10, 10, 10, 10, 10},
     true,
     0,
     1,
     8,
     0,
     true,
     0,
     false},
    {"a full group goes before more L0s",
     4,
     10,
     {10, 10, 10, 10, 10, 10, 10, 10},
     true,
     0,
     0,
     8,
     0,
     true,
     0,
     false},
    {"consolidation: too many unlike runs",
     0,
     10,
     {1, 10, 100, 1000},
     true,
     0,
     0,
     3,
     1,
     false,
     2,
     false},
    {"consolidation: not too many", 0, 10, {1, 10, 100}, false, 0, 0, 0, 0, false, 3, false},
    {"consolidation: 1 is off", 0, 10, {1, 10, 100}, false, 0, 0, 0, 0, false, 1, false},
    {"leveled: L0 alone becomes run 0", 4, 10, {0}, true, 4, 0, 0, 0, true, 0, true},
    {"leveled: L0 goes into a run that is not large",
     4,
     10,
     {100},
     true,
     4,
     0,
     1,
     0,
     true,
     0,
     true},
    {"leveled: L0 stays above a large run", 4, 10, {1000}, true, 4, 0, 0, 1, false, 0, true},
    {"leveled: as far down as it must", 4, 10, {100, 500, 5000}, true, 4, 0, 2, 1, false, 0, true},
    {"leveled: a run too large for the next",
     0,
     10,
     {50, 100, 1000},
     true,
     0,
     0,
     2,
     1,
     false,
     0,
     true},
    {"leveled: nothing to do", 3, 10, {50, 500, 5000}, false, 0, 0, 0, 0, false, 0, true},
};

static shl_proposals proposed(const struct shl_scheduler *sched, const struct shl_manifest *m,
                              const struct shl_compactions *c, size_t slots)
{
    shl_proposals all = {0};
    struct shl_compactions nothing = {.stored_version = 2};
    shale_error err;
    assert_int_equal(sched->propose(sched->ctx, m, c != NULL ? c : &nothing, slots, &all, &err),
                     SHALE_OK);
    assert_true(all.count <= slots);
    return all;
}

static void test_plan_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shl_manifest *m = NULL;
        struct shl_lsm_settings s;
        shale_error err;
        size_t runs = 0;
        while (runs < MAX_RUNS && cases[i].runs[runs] != 0)
            runs++;
        shl_lsm_settings_default(&s);
        s.sorted_run_consolidation_threshold = cases[i].consolidation;
        s.scheduler = cases[i].leveled ? SHL_SCHEDULER_LEVELED : SHL_SCHEDULER_SIZE_TIERED;
        struct shl_scheduler sched = shl_scheduler_of(&s);
        assert_int_equal(shl_manifest_new(&m, &err), SHALE_OK);
        fill(&m->root, cases[i].l0, cases[i].l0_bytes, cases[i].runs, runs);
        shl_proposals p = proposed(&sched, m, NULL, 1);
        const struct shl_compaction *j = p.items;
        if ((p.count > 0) != cases[i].due ||
            (p.count > 0 &&
             (j->l0_view_ids.count != cases[i].want_l0 || j->runs.count != cases[i].want_runs ||
              (j->runs.count > 0 &&
               j->runs.items[0] != m->root.runs.items[cases[i].want_run_first].id) ||
              j->destination != cases[i].want_destination ||
              shl_job_reaches_bottom(&m->root, j) != cases[i].want_drop)))
            fail_msg("%s: %zu jobs, l0 %zu, runs %zu, to %u", cases[i].name, p.count,
                     p.count > 0 ? j->l0_view_ids.count : 0, p.count > 0 ? j->runs.count : 0,
                     p.count > 0 ? j->destination : 0);
        shl_proposals_free(&p);
        shl_manifest_free(m);
    }
}

/* What is below a full group waits, and several trees get a job each before one gets two. */
static void test_plan_trees_take_turns(void **state)
{
    struct shl_manifest *m = NULL;
    struct shl_lsm_settings s;
    shale_error err;
    const uint64_t runs[] = {10, 10, 10, 10};
    (void)state;
    shl_lsm_settings_default(&s);
    struct shl_scheduler sched = shl_scheduler_of(&s);
    assert_int_equal(shl_manifest_new(&m, &err), SHALE_OK);
    const char *names[] = {"a/", "b/", "c/"};
    for (size_t i = 0; i < 3; i++) {
        struct shl_segment *g;
        assert_int_equal(shl_manifest_add_segment(m, shl_slice_str(names[i]), &g, &err), SHALE_OK);
        fill(&g->tree, 4 + i, 10, runs, i == 1 ? 4 : 0);
    }
    shl_proposals p = proposed(&sched, m, NULL, 10);
    /* most L0s first; b/ has runs to merge as well, which is its second turn */
    assert_int_equal(p.count, 4);
    const char *want[] = {"c/", "b/", "a/", "b/"};
    for (size_t i = 0; i < p.count; i++)
        assert_true(shl_slice_eq(shl_buf_view(&p.items[i].segment), shl_slice_str(want[i])));
    /* run ids are unique over all trees */
    assert_int_equal(p.items[0].destination, 4);
    assert_int_equal(p.items[1].destination, 5);
    assert_int_equal(p.items[2].destination, 6);
    assert_int_equal(p.items[3].destination, 0);
    shl_proposals_free(&p);
    p = proposed(&sched, m, NULL, 2);
    assert_int_equal(p.count, 2);
    shl_proposals_free(&p);
    shl_manifest_free(m);
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
        struct shl_compactions *c = NULL;
        shale_error err;
        uint64_t sizes[MAX_RUNS];
        size_t runs = next_random(&r) % MAX_RUNS;
        size_t before = 0;
        for (size_t i = 0; i < runs; i++)
            sizes[i] = 1 + next_random(&r) % (next_random(&r) % 2 ? 20 : 2000);
        shl_lsm_settings_default(&s);
        s.min_compaction_sources = 2 + (uint32_t)(next_random(&r) % 4);
        s.max_compaction_sources = s.min_compaction_sources + (uint32_t)(next_random(&r) % 5);
        s.sorted_run_consolidation_threshold = next_random(&r) % 6;
        s.scheduler = next_random(&r) % 2 ? SHL_SCHEDULER_LEVELED : SHL_SCHEDULER_SIZE_TIERED;
        struct shl_scheduler sched = shl_scheduler_of(&s);
        assert_int_equal(shl_manifest_new(&m, &err), SHALE_OK);
        assert_int_equal(shl_compactions_new(&c, &err), SHALE_OK);
        fill(&m->root, next_random(&r) % 12, 1 + next_random(&r) % 50, sizes, runs);
        /* Round after round the jobs before are at work still. */
        do {
            shl_proposals p = proposed(&sched, m, c, 1 + next_random(&r) % 3);
            before = c->jobs.count;
            for (size_t i = 0; i < p.count; i++) {
                struct shl_compaction *j = &p.items[i];
                const char *why = shl_job_check(m, j, SHL_STAGE_SUBMITTED);
                if (why != NULL)
                    fail_msg("round %u: %s", round, why);
                assert_true(j->l0_view_ids.count + j->runs.count >= 2);
                j->id = (struct shl_ulid){.hi = 1, .lo = c->jobs.count};
                assert_null(shl_jobs_rival(c, j, true));
                assert_int_equal(shl_jobs_insert(c, j, &err), SHALE_OK);
            }
            shl_proposals_free(&p);
        } while (c->jobs.count > before);
        /* Nothing due: L0 must not be what writers wait for. */
        if (before == 0)
            assert_true(m->root.l0.count < s.min_compaction_sources);
        shl_compactions_free(c);
        shl_manifest_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_cases),
        cmocka_unit_test(test_plan_trees_take_turns),
        cmocka_unit_test(test_plan_sources_are_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
