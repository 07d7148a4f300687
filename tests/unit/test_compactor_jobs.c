/* Goal: the compactions file as a state machine: who may change what, what is refused, how equal jobs are told apart, how files of several parties come
 * together; and requests, from text to jobs.
 * Method: small files and manifests made by hand; tables of transitions and of jobs that do not fit, each with the reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/env/env.h"
#include "base/num.h"
#include "lsm/compactor/commit.h"
#include "lsm/compactor/increment.h"
#include "lsm/compactor/request.h"
#include "lsm/compactor/split.h"

static shale_error err;

#define OK(call) assert_int_equal((call), SHALE_OK)

static struct shl_ulid id(uint64_t n)
{
    return shl_ulid_make(1000 + n, 0, n);
}

static struct shl_sst_desc *sst(uint64_t n, const char *first, const char *last)
{
    struct shl_sst_desc *d = NULL;
    struct shl_sst_info info = {.first_entry = shl_slice_str(first),
                                .last_entry = shl_slice_str(last),
                                .has_first_entry = true,
                                .has_last_entry = true,
                                .index_offset = 100};
    OK(shl_sst_desc_new(id(n), 2, true, &info, &d, &err));
    return d;
}

/* l0 and runs are ids, 0 ends; run r holds SST 100 + r with keys "a" to "z". */
static void fill(struct shl_tree *t, const uint64_t *l0, const uint32_t *runs)
{
    for (; *l0 != 0; l0++) {
        struct shl_sst_view v = {.id = id(*l0), .sst = sst(*l0, "a", "z")};
        assert_true(shl_array_push(&t->l0, v));
    }
    for (; *runs != 0; runs++) {
        struct shl_run r = {.id = *runs};
        struct shl_sst_view v = {.id = id(100 + *runs), .sst = sst(100 + *runs, "a", "z")};
        assert_true(shl_array_push(&r.ssts, v));
        assert_true(shl_array_push(&t->runs, r));
    }
}

/* L0 3 2 1, runs 9 7 5 in the root tree; segment "s" with L0 6 and run 8. */
static struct shl_manifest *manifest(void)
{
    struct shl_manifest *m = NULL;
    struct shl_segment *s;
    OK(shl_manifest_new(&m, &err));
    fill(&m->root, (uint64_t[]){3, 2, 1, 0}, (uint32_t[]){9, 7, 5, 0});
    OK(shl_manifest_add_segment(m, shl_slice_str("s"), &s, &err));
    fill(&s->tree, (uint64_t[]){6, 0}, (uint32_t[]){8, 0});
    return m;
}

struct spec {
    uint64_t l0[5];
    uint32_t runs[5];
    uint32_t destination;
    const char *segment;
    bool drain;
};

static struct shl_compaction job(uint64_t n, enum shl_compaction_status status, struct spec s)
{
    struct shl_compaction j = {.id = id(n),
                               .kind = s.drain ? SHL_COMPACTION_DRAIN : SHL_COMPACTION_TIERED,
                               .destination = s.destination,
                               .status = status};
    for (size_t i = 0; i < 5 && s.l0[i] != 0; i++)
        assert_true(shl_array_push(&j.l0_view_ids, id(s.l0[i])));
    for (size_t i = 0; i < 5 && s.runs[i] != 0; i++)
        assert_true(shl_array_push(&j.runs, s.runs[i]));
    if (s.segment != NULL)
        OK(shl_buf_set(&j.segment, shl_slice_str(s.segment), &err));
    return j;
}

static struct shl_compactions *file(void)
{
    struct shl_compactions *c = NULL;
    OK(shl_compactions_new(&c, &err));
    return c;
}

static struct shl_compaction *add(struct shl_compactions *c, struct shl_compaction j)
{
    struct shl_ulid name = j.id;
    OK(shl_jobs_insert(c, &j, &err));
    return shl_jobs_find(c, name);
}

/* ---------------------------------------------------------------- validation */

static const struct {
    const char *name;
    struct spec spec;
    const char *submitted; /* part of the reason; NULL: it fits */
    const char *commit;
} fits[] = {
    {"all L0", {.l0 = {3, 2, 1}, .destination = 10}, NULL, NULL},
    {"the oldest L0s", {.l0 = {2, 1}, .destination = 10}, NULL, NULL},
    {"not the oldest", {.l0 = {3, 2}, .destination = 10}, "older than its sources", "older than"},
    {"a gap in L0", {.l0 = {3, 1}, .destination = 10}, "no neighbours", "no neighbours"},
    {"L0 oldest first", {.l0 = {1, 2}, .destination = 10}, "no neighbours", "no neighbours"},
    {"an L0 twice", {.l0 = {1, 1}, .destination = 10}, "no neighbours", "no neighbours"},
    {"unknown L0", {.l0 = {4}, .destination = 10}, "not there", "not there"},
    {"no sources", {.destination = 10}, "no sources", "no sources"},
    {"a run as destination", {.l0 = {2, 1}, .destination = 9}, "not above", "not above"},
    {"below the runs of its tree", {.l0 = {1}, .destination = 6}, "not above", "not above"},
    {"below a run of another tree",
     {.l0 = {6}, .destination = 9, .segment = "s"},
     "not above",
     "run of another tree"},
    {"above its own tree only", {.l0 = {6}, .destination = 10, .segment = "s"}, NULL, NULL},
    {"the last number there is",
     {.l0 = {2, 1}, .destination = UINT32_MAX},
     "leaves no number",
     NULL},
    {"all runs", {.runs = {9, 7, 5}, .destination = 5}, NULL, NULL},
    {"the newest runs", {.runs = {9, 7}, .destination = 7}, NULL, NULL},
    {"one run", {.runs = {7}, .destination = 7}, NULL, NULL},
    {"a gap in the runs", {.runs = {9, 5}, .destination = 5}, "no neighbours", "no neighbours"},
    {"not its oldest run", {.runs = {9, 7}, .destination = 9}, "oldest source run", "oldest"},
    {"another run", {.runs = {9, 7}, .destination = 5}, "oldest source run", "oldest"},
    {"unknown run", {.runs = {4}, .destination = 4}, "not there", "not there"},
    {"L0 and runs", {.l0 = {3, 2, 1}, .runs = {9, 7}, .destination = 7}, NULL, NULL},
    {"L0 and runs below others",
     {.l0 = {3, 2, 1}, .runs = {7, 5}, .destination = 5},
     "between its L0",
     "between its L0"},
    {"unknown segment", {.l0 = {1}, .destination = 10, .segment = "t"}, "segment", "segment"},
    {"drain of the root", {.l0 = {1}, .drain = true}, "root tree", "root tree"},
    {"drain", {.l0 = {6}, .runs = {8}, .segment = "s", .drain = true}, NULL, NULL},
};

static void expect_reason(const char *name, const char *got, const char *want)
{
    bool same = want == NULL ? got == NULL : got != NULL && strstr(got, want) != NULL;
    if (!same)
        fail_msg("%s: %s, want %s", name, got != NULL ? got : "it fits",
                 want != NULL ? want : "that it fits");
}

static void test_jobs_that_do_not_fit_the_manifest_are_refused(void **state)
{
    struct shl_manifest *m = manifest();
    (void)state;
    for (size_t i = 0; i < SHL_COUNT_OF(fits); i++) {
        struct shl_compaction j = job(50, SHL_COMPACTION_SUBMITTED, fits[i].spec);
        expect_reason(fits[i].name, shl_job_check(m, &j, SHL_STAGE_SUBMITTED), fits[i].submitted);
        expect_reason(fits[i].name, shl_job_check(m, &j, SHL_STAGE_COMMIT), fits[i].commit);
        shl_compaction_deinit(&j);
    }
    shl_manifest_free(m);
}

/* Two equal submissions, and what stock SlateDB makes of them: two scheduled jobs with one destination. The later one goes, whatever became of the first. */
static void test_the_later_of_two_jobs_that_meet_is_told_apart(void **state)
{
    static const enum shl_compaction_status active[] = {
        SHL_COMPACTION_SUBMITTED, SHL_COMPACTION_SCHEDULED, SHL_COMPACTION_RUNNING,
        SHL_COMPACTION_COMPACTED};
    const struct spec full = {.runs = {9, 7, 5}, .destination = 5};
    (void)state;
    for (size_t i = 0; i < SHL_COUNT_OF(active); i++)
        for (size_t k = 0; k < 2; k++) { /* the second is submitted or scheduled */
            struct shl_compactions *c = file();
            (void)add(c, job(1, active[i], full));
            (void)add(c, job(2, active[k], full));
            assert_null(shl_job_check_rivals(c, shl_jobs_find(c, id(1))));
            assert_non_null(shl_job_check_rivals(c, shl_jobs_find(c, id(2))));
            shl_compactions_free(c);
        }
    /* One that somebody is at work on stands before an earlier one that only waits. */
    struct shl_compactions *c = file();
    (void)add(c, job(1, SHL_COMPACTION_SCHEDULED, full));
    OK(shl_job_claim(add(c, job(2, SHL_COMPACTION_SCHEDULED, full)), "w", 5, &err));
    assert_non_null(shl_job_check_rivals(c, shl_jobs_find(c, id(1))));
    assert_null(shl_job_check_rivals(c, shl_jobs_find(c, id(2))));
    shl_compactions_free(c);
    /* A finished one is nobody's rival. */
    c = file();
    (void)add(c, job(1, SHL_COMPACTION_FAILED, full));
    (void)add(c, job(2, SHL_COMPACTION_COMPLETED, full));
    (void)add(c, job(3, SHL_COMPACTION_SUBMITTED, full));
    assert_null(shl_job_check_rivals(c, shl_jobs_find(c, id(3))));
    shl_compactions_free(c);
}

static void test_jobs_meet_by_source_and_destination(void **state)
{
    static const struct {
        struct spec a, b;
        bool meet;
    } pairs[] = {
        {{.l0 = {2, 1}, .destination = 10}, {.l0 = {3, 2}, .destination = 11}, true},
        {{.l0 = {2, 1}, .destination = 10}, {.l0 = {3}, .destination = 10}, true},
        {{.l0 = {2, 1}, .destination = 10}, {.l0 = {3}, .destination = 11}, false},
        {{.runs = {9, 7}, .destination = 7}, {.runs = {7, 5}, .destination = 5}, true},
        {{.runs = {9}, .destination = 9}, {.runs = {7, 5}, .destination = 5}, false},
        {{.l0 = {1}, .destination = 9}, {.runs = {9, 7}, .destination = 7}, true},
        {{.l0 = {6}, .segment = "s", .drain = true}, {.l0 = {1}, .destination = 0}, false},
        {{.l0 = {6}, .segment = "s", .drain = true}, {.l0 = {6}, .destination = 10}, true},
    };
    (void)state;
    for (size_t i = 0; i < SHL_COUNT_OF(pairs); i++) {
        struct shl_compaction a = job(1, SHL_COMPACTION_RUNNING, pairs[i].a);
        struct shl_compaction b = job(2, SHL_COMPACTION_RUNNING, pairs[i].b);
        if (shl_job_meets(&a, &b) != pairs[i].meet || shl_job_meets(&b, &a) != pairs[i].meet)
            fail_msg("pair %zu: want %d", i, pairs[i].meet);
        shl_compaction_deinit(&a);
        shl_compaction_deinit(&b);
    }
}

static void test_one_l0_job_of_a_tree_is_at_work(void **state)
{
    struct shl_compactions *c = file();
    (void)state;
    (void)add(c, job(1, SHL_COMPACTION_RUNNING, (struct spec){.l0 = {1}, .destination = 10}));
    const struct shl_compaction *second =
        add(c, job(2, SHL_COMPACTION_SUBMITTED, (struct spec){.l0 = {3, 2}, .destination = 11}));
    assert_non_null(strstr(shl_job_check_rivals(c, second), "of its tree"));
    const struct shl_compaction *other =
        add(c, job(3, SHL_COMPACTION_SUBMITTED,
                   (struct spec){.l0 = {6}, .destination = 12, .segment = "s"}));
    assert_null(shl_job_check_rivals(c, other));
    shl_compactions_free(c);
}

/* ---------------------------------------------------------------- the life of a job */

static void test_a_job_is_claimed_released_reclaimed_and_finished(void **state)
{
    const struct spec s = {.runs = {9, 7}, .destination = 7};
    struct shl_compactions *c = file();
    shl_sst_descs outputs = {0};
    (void)state;
    struct shl_compaction *j = add(c, job(1, SHL_COMPACTION_SCHEDULED, s));
    assert_true(shl_job_is_free(j));
    OK(shl_job_claim(j, "w1", 1000, &err));
    assert_true(shl_job_is_held_by(j, "w1") && !shl_job_is_held_by(j, "w2"));
    assert_false(shl_job_is_free(j));
    assert_int_equal(shl_jobs_reclaim(c, 1000 + 30000, 30000), 0); /* not older than the limit */
    assert_int_equal(shl_jobs_reclaim(c, 500, 30000), 0);          /* a clock behind the worker's */
    j->has_context = true;
    j->retention_min_seq = 7;
    assert_int_equal(shl_jobs_reclaim(c, 1001 + 30000, 30000), 1);
    assert_true(shl_job_is_free(j) && j->has_context);
    j->status = SHL_COMPACTION_RUNNING; /* without a worker: nobody's */
    assert_int_equal(shl_jobs_reclaim(c, 0, 30000), 1);
    OK(shl_job_claim(j, "w2", 5, &err));
    shl_job_release(j);
    assert_true(shl_job_is_free(j) && j->has_context);
    OK(shl_job_claim(j, "w3", 6, &err));
    assert_true(shl_array_push(&outputs, sst(1, "a", "b")));
    OK(shl_job_finish(j, &outputs, &err));
    assert_int_equal(j->status, SHL_COMPACTION_COMPACTED);
    assert_false(j->has_context);
    assert_string_equal(j->worker_id, "w3");
    assert_int_equal(j->outputs.count, 1);
    shl_sst_desc_unref(outputs.items[0]);
    shl_array_free(&outputs);
    shl_compactions_free(c);
}

static void test_a_restart_looks_at_scheduled_jobs_again(void **state)
{
    (void)state;
    for (int heirs = 0; heirs < 2; heirs++) {
        struct shl_compactions *c = file();
        const struct spec s = {.runs = {9, 7}, .destination = 7};
        (void)add(c, job(1, SHL_COMPACTION_SCHEDULED, s));
        OK(shl_job_claim(add(c, job(2, SHL_COMPACTION_SCHEDULED, s)), "w", 5, &err));
        OK(shl_job_claim_own(add(c, job(3, SHL_COMPACTION_SCHEDULED, s)), (struct shl_ulid){7, 8},
                             5, &err));
        char other[SHL_ULID_TEXT];
        memcpy(other, shl_jobs_find(c, id(3))->worker_id, sizeof other);
        assert_true(shl_job_is_own(shl_jobs_find(c, id(3))));
        assert_false(shl_job_is_own(shl_jobs_find(c, id(2))));
        OK(shl_job_claim_own(shl_jobs_find(c, id(3)), (struct shl_ulid){7, 9}, 5, &err));
        assert_false(shl_job_is_held_by(shl_jobs_find(c, id(3)), other)); /* another process */
        (void)add(c, job(4, SHL_COMPACTION_COMPACTED, s));
        shl_jobs_restart(c, heirs == 1);
        assert_int_equal(c->jobs.items[0].status, SHL_COMPACTION_SUBMITTED);
        assert_int_equal(c->jobs.items[1].status, SHL_COMPACTION_RUNNING);
        assert_int_equal(c->jobs.items[2].status,
                         heirs == 1 ? SHL_COMPACTION_SUBMITTED : SHL_COMPACTION_RUNNING);
        assert_int_equal(c->jobs.items[3].status, SHL_COMPACTION_COMPACTED);
        shl_compactions_free(c);
    }
}

static void test_active_jobs_and_the_newest_finished_one_stay(void **state)
{
    static const enum shl_compaction_status all[] = {
        SHL_COMPACTION_COMPLETED, SHL_COMPACTION_SUBMITTED, SHL_COMPACTION_FAILED,
        SHL_COMPACTION_RUNNING,   SHL_COMPACTION_COMPLETED, SHL_COMPACTION_COMPACTED};
    struct shl_compactions *c = file();
    (void)state;
    for (uint64_t i = 0; i < SHL_COUNT_OF(all); i++)
        (void)add(c, job(i + 1, all[i], (struct spec){.runs = {9}, .destination = 9}));
    shl_jobs_trim(c);
    assert_int_equal(c->jobs.count, 4);
    static const uint64_t left[] = {2, 4, 5, 6};
    for (size_t i = 0; i < 4; i++)
        assert_true(shl_ulid_eq(c->jobs.items[i].id, id(left[i])));
    assert_false(shl_jobs_admits(c, id(6)));
    assert_false(shl_jobs_admits(c, id(3)));
    assert_true(shl_jobs_admits(c, id(7)));
    shl_compactions_free(c);
}

/* ---------------------------------------------------------------- merging */

/* From what the coordinator knew to what it finds: taken or put back. */
static const struct {
    enum shl_compaction_status from, to;
    bool taken;
} moves[] = {
    {SHL_COMPACTION_SUBMITTED, SHL_COMPACTION_COMPACTED, true},
    {SHL_COMPACTION_SUBMITTED, SHL_COMPACTION_SCHEDULED, false},
    {SHL_COMPACTION_SUBMITTED, SHL_COMPACTION_RUNNING, false},
    {SHL_COMPACTION_SUBMITTED, SHL_COMPACTION_FAILED, false},
    {SHL_COMPACTION_SCHEDULED, SHL_COMPACTION_RUNNING, true},
    {SHL_COMPACTION_SCHEDULED, SHL_COMPACTION_COMPACTED, true},
    {SHL_COMPACTION_SCHEDULED, SHL_COMPACTION_COMPLETED, false},
    {SHL_COMPACTION_RUNNING, SHL_COMPACTION_SCHEDULED, true},
    {SHL_COMPACTION_RUNNING, SHL_COMPACTION_COMPACTED, true},
    {SHL_COMPACTION_RUNNING, SHL_COMPACTION_SUBMITTED, false},
    {SHL_COMPACTION_RUNNING, SHL_COMPACTION_FAILED, false},
    {SHL_COMPACTION_COMPACTED, SHL_COMPACTION_COMPACTED, true},
    {SHL_COMPACTION_COMPACTED, SHL_COMPACTION_RUNNING, false},
    {SHL_COMPACTION_COMPACTED, SHL_COMPACTION_COMPLETED, false},
    {SHL_COMPACTION_COMPLETED, SHL_COMPACTION_RUNNING, false},
    {SHL_COMPACTION_FAILED, SHL_COMPACTION_COMPACTED, false},
};

static void test_others_may_move_jobs_only_where_they_may(void **state)
{
    const struct spec s = {.runs = {9, 7}, .destination = 7};
    (void)state;
    for (size_t i = 0; i < SHL_COUNT_OF(moves); i++) {
        struct shl_compactions *known = file(), *stored = file();
        size_t refused;
        (void)add(known, job(1, moves[i].from, s));
        (void)add(stored, job(1, moves[i].to, s));
        OK(shl_jobs_merge(known, stored, &refused, &err));
        enum shl_compaction_status want = moves[i].taken ? moves[i].to : moves[i].from;
        if (stored->jobs.items[0].status != want || (refused == 0) != moves[i].taken)
            fail_msg("%s to %s: became %s", shl_job_status_name(moves[i].from),
                     shl_job_status_name(moves[i].to),
                     shl_job_status_name(stored->jobs.items[0].status));
        shl_compactions_free(known);
        shl_compactions_free(stored);
    }
}

static void test_strange_jobs_are_dropped_and_lost_ones_come_back(void **state)
{
    const struct spec s = {.runs = {9, 7}, .destination = 7};
    struct shl_compactions *known = file(), *stored = file();
    size_t refused;
    (void)state;
    (void)add(known, job(1, SHL_COMPACTION_RUNNING, s));
    (void)add(known, job(2, SHL_COMPACTION_FAILED, s)); /* finished: may go */
    (void)add(stored, job(3, SHL_COMPACTION_SUBMITTED, s));
    (void)add(stored, job(4, SHL_COMPACTION_RUNNING, s));
    (void)add(stored, job(5, SHL_COMPACTION_SCHEDULED, s));
    (void)add(stored, job(6, SHL_COMPACTION_COMPACTED, s));
    OK(shl_jobs_merge(known, stored, &refused, &err));
    assert_int_equal(refused, 3);
    assert_int_equal(stored->jobs.count, 3);
    static const uint64_t left[] = {1, 3, 6};
    for (size_t i = 0; i < 3; i++)
        assert_true(shl_ulid_eq(stored->jobs.items[i].id, id(left[i])));
    shl_compactions_free(known);
    shl_compactions_free(stored);
}

static void add_part(struct shl_compaction *j, const char *from, const char *to, bool completed)
{
    struct shl_subcompaction p = {.completed = completed};
    p.range.start.type = from != NULL ? SHL_BOUND_INCLUDED : SHL_BOUND_UNBOUNDED;
    p.range.end.type = to != NULL ? SHL_BOUND_EXCLUDED : SHL_BOUND_UNBOUNDED;
    if (from != NULL)
        OK(shl_buf_set(&p.range.start.key, shl_slice_str(from), &err));
    if (to != NULL)
        OK(shl_buf_set(&p.range.end.key, shl_slice_str(to), &err));
    assert_true(shl_array_push(&j->subcompactions, p));
    j->has_context = true;
}

static void test_a_context_only_grows(void **state)
{
    const struct spec s = {.runs = {9, 7}, .destination = 7};
    struct shl_compaction a = job(1, SHL_COMPACTION_RUNNING, s), b;
    (void)state;
    add_part(&a, NULL, "m", false);
    add_part(&a, "m", NULL, true);
    assert_true(shl_array_push(&a.subcompactions.items[0].outputs, sst(1, "a", "b")));
    OK(shl_compaction_copy(&a, &b, &err));
    assert_true(shl_job_context_grows(&a, &b));
    assert_true(shl_array_push(&b.subcompactions.items[0].outputs, sst(2, "c", "d")));
    b.subcompactions.items[0].completed = true;
    assert_true(shl_job_context_grows(&a, &b));
    assert_false(shl_job_context_grows(&b, &a)); /* an output less, a part open again */
    b.retention_min_seq = 1;
    assert_false(shl_job_context_grows(&a, &b));
    b.retention_min_seq = 0;
    OK(shl_buf_set(&b.subcompactions.items[0].range.end.key, shl_slice_str("n"), &err));
    assert_false(shl_job_context_grows(&a, &b)); /* another cut */
    shl_job_drop_context(&b);
    assert_false(shl_job_context_grows(&a, &b));
    assert_true(shl_job_context_grows(&b, &a));
    OK(shl_job_copy_context(&a, &b, &err));
    assert_true(shl_job_context_grows(&a, &b) && shl_job_context_grows(&b, &a));
    shl_compaction_deinit(&a);
    shl_compaction_deinit(&b);
}

/* ---------------------------------------------------------------- commits */

static void test_a_commit_takes_the_sources_and_inserts_the_run(void **state)
{
    struct shl_manifest *m = manifest();
    (void)state;
    struct shl_compaction j =
        job(50, SHL_COMPACTION_COMPACTED, (struct spec){.runs = {9, 7}, .destination = 7});
    assert_true(shl_array_push(&j.outputs, sst(60, "a", "m")));
    assert_true(shl_array_push(&j.outputs, sst(61, "n", "z")));
    assert_false(shl_job_is_committed(m, &j));
    OK(shl_commit_job(m, &j, false, &err));
    assert_int_equal(m->root.runs.count, 2);
    assert_int_equal(m->root.runs.items[0].id, 7);
    assert_int_equal(m->root.runs.items[0].ssts.count, 2);
    assert_true(shl_ulid_eq(m->root.runs.items[0].ssts.items[1].id, id(61)));
    assert_int_equal(m->root.l0.count, 3);
    assert_false(m->root.has_watermark);
    assert_true(shl_job_is_committed(m, &j)); /* found again after a crash */
    shl_compaction_deinit(&j);
    j = job(51, SHL_COMPACTION_COMPACTED, (struct spec){.l0 = {2, 1}, .destination = 10});
    assert_true(shl_array_push(&j.outputs, sst(62, "a", "z")));
    OK(shl_commit_job(m, &j, false, &err));
    assert_int_equal(m->root.runs.items[0].id, 10);
    assert_int_equal(m->root.l0.count, 1);
    assert_true(m->root.has_watermark && shl_ulid_eq(m->root.watermark, id(2)));
    assert_int_equal(shl_commit_job(m, &j, false, &err), SHALE_CONFLICT);
    assert_true(shl_job_is_committed(m, &j));
    shl_compaction_deinit(&j);
    /* Nothing outlived it: no run. */
    j = job(52, SHL_COMPACTION_COMPACTED, (struct spec){.runs = {10, 7, 5}, .destination = 5});
    OK(shl_commit_job(m, &j, false, &err));
    assert_int_equal(m->root.runs.count, 0);
    shl_compaction_deinit(&j);
    /* A drain leaves its segment, for the writer to take away. */
    j = job(53, SHL_COMPACTION_SUBMITTED,
            (struct spec){.l0 = {6}, .runs = {8}, .segment = "s", .drain = true});
    OK(shl_commit_job(m, &j, false, &err));
    assert_int_equal(m->segments.count, 1);
    assert_int_equal(m->segments.items[0].tree.l0.count + m->segments.items[0].tree.runs.count, 0);
    assert_true(shl_ulid_eq(m->segments.items[0].tree.watermark, id(6)));
    shl_compaction_deinit(&j);
    shl_manifest_free(m);
}

static void test_a_trivial_move_keeps_the_views(void **state)
{
    struct shl_manifest *m = NULL;
    (void)state;
    OK(shl_manifest_new(&m, &err));
    static const char *const spans[][2] = {{"m", "p"}, {"a", "b"}, {"c", "d"}};
    for (uint64_t i = 0; i < 3; i++) {
        struct shl_sst_view v = {.id = id(3 - i), .sst = sst(3 - i, spans[i][0], spans[i][1])};
        assert_true(shl_array_push(&m->root.l0, v));
    }
    struct shl_compaction j =
        job(50, SHL_COMPACTION_SUBMITTED, (struct spec){.l0 = {3, 2, 1}, .destination = 0});
    assert_true(shl_job_is_trivial(&m->root, &j));
    OK(shl_commit_job(m, &j, true, &err));
    assert_int_equal(m->root.runs.items[0].ssts.count, 3);
    static const uint64_t by_key[] = {2, 1, 3};
    for (size_t i = 0; i < 3; i++)
        assert_true(shl_ulid_eq(m->root.runs.items[0].ssts.items[i].id, id(by_key[i])));
    shl_compaction_deinit(&j);
    shl_manifest_free(m);
    m = manifest(); /* all of them overlap */
    j = job(50, SHL_COMPACTION_SUBMITTED, (struct spec){.l0 = {2, 1}, .destination = 10});
    assert_false(shl_job_is_trivial(&m->root, &j));
    shl_compaction_deinit(&j);
    shl_manifest_free(m);
}

static void add_run(struct shl_manifest *m, uint32_t run_id, const char *const (*spans)[2],
                    size_t count, uint64_t first_id)
{
    struct shl_run run = {.id = run_id};
    for (size_t i = 0; i < count; i++) {
        struct shl_sst_view v = {.id = id(first_id + i),
                                 .sst = sst(first_id + i, spans[i][0], spans[i][1])};
        assert_true(shl_array_push(&run.ssts, v));
    }
    assert_true(shl_array_push(&m->root.runs, run));
}

/* Ranges of a run's views: "a-c d-m) [m-z". */
static const char *spans_of(const struct shl_run *run)
{
    static char text[200];
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < run->ssts.count; i++) {
        struct shl_key_range r;
        shl_sst_view_range(&run->ssts.items[i], &r);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s-%.*s%s", i > 0 ? " " : "",
                              (int)r.start.len, (const char *)r.start.data, (int)r.end.len,
                              (const char *)r.end.data, r.end_inclusive ? "" : ")");
    }
    return text;
}

static void add_output(struct shl_compaction *j, size_t part, uint64_t sst_id, const char *first,
                       const char *last)
{
    assert_true(shl_array_push(&j->subcompactions.items[part].outputs, sst(sst_id, first, last)));
}

/* Two runs, two parts: what is finished goes into the destination, step by step, and the end of the job replaces all of it. */
static void test_finished_parts_are_committed_before_the_job_ends(void **state)
{
    struct shl_manifest *m = NULL;
    struct shl_increment done;
    (void)state;
    OK(shl_manifest_new(&m, &err));
    static const char *const newer[][2] = {{"b", "k"}, {"p", "t"}};
    static const char *const older[][2] = {{"a", "h"}, {"i", "z"}};
    add_run(m, 7, newer, 2, 10);
    add_run(m, 5, older, 2, 20);
    struct shl_compaction j =
        job(50, SHL_COMPACTION_RUNNING, (struct spec){.runs = {7, 5}, .destination = 5});
    assert_int_equal(shl_increment_news(m, &j), 0); /* no context */
    j.has_context = true;
    add_part(&j, NULL, "n", false);
    add_part(&j, "n", NULL, false);
    add_output(&j, 0, 60, "a", "d");
    assert_int_equal(shl_increment_news(m, &j), 0); /* versions of d may follow */
    add_output(&j, 0, 61, "d", "g");
    assert_int_equal(shl_increment_news(m, &j), 0); /* they do */
    add_output(&j, 0, 62, "h", "i");
    OK(shl_increment_commit(m, &j, &done, &err));
    assert_int_equal(done.outputs, 2);
    assert_int_equal(done.released_bytes, 0);
    assert_string_equal(spans_of(&m->root.runs.items[0]), "h-k p-t");
    assert_string_equal(spans_of(&m->root.runs.items[1]), "a-d d-g h-h i-z");
    assert_true(shl_ulid_eq(m->root.runs.items[0].ssts.items[1].id, id(11))); /* untouched */
    assert_false(shl_ulid_eq(m->root.runs.items[0].ssts.items[0].id, id(10)));
    assert_int_equal(shl_ulid_time_ms(m->root.runs.items[0].ssts.items[0].id),
                     shl_ulid_time_ms(id(10)));
    OK(shl_increment_commit(m, &j, &done, &err)); /* nothing new */
    assert_int_equal(done.outputs, 0);
    j.subcompactions.items[1].completed = true;
    add_output(&j, 1, 63, "p", "z");
    OK(shl_increment_commit(m, &j, &done, &err));
    assert_int_equal(done.outputs, 1);
    assert_int_equal(done.released_bytes,
                     j.subcompactions.items[1].outputs.items[0]->info.index_offset);
    assert_string_equal(spans_of(&m->root.runs.items[0]), "h-k");
    assert_string_equal(spans_of(&m->root.runs.items[1]), "a-d d-g h-h i-n) p-z");
    j.subcompactions.items[0].completed = true;
    add_output(&j, 0, 64, "j", "l");
    OK(shl_increment_commit(m, &j, &done, &err));
    assert_int_equal(done.outputs, 2);
    assert_string_equal(spans_of(&m->root.runs.items[0]), ""); /* listed, and empty */
    assert_string_equal(spans_of(&m->root.runs.items[1]), "a-d d-g h-i j-l p-z");
    assert_null(shl_job_check(m, &j, SHL_STAGE_COMMIT));
    assert_false(shl_job_is_committed(m, &j));
    for (uint64_t i = 0; i < 5; i++) {
        static const uint64_t order[] = {60, 61, 62, 64, 63};
        static const char *const spans[][2] = {
            {"a", "d"}, {"d", "g"}, {"h", "i"}, {"j", "l"}, {"p", "z"}};
        assert_true(shl_array_push(&j.outputs, sst(order[i], spans[i][0], spans[i][1])));
    }
    OK(shl_commit_job(m, &j, false, &err));
    assert_int_equal(m->root.runs.count, 1);
    assert_string_equal(spans_of(&m->root.runs.items[0]), "a-d d-g h-i j-l p-z");
    shl_compaction_deinit(&j);
    shl_manifest_free(m);
}

static void test_other_jobs_are_not_committed_in_part(void **state)
{
    struct shl_manifest *m = manifest();
    (void)state;
    struct shl_compaction j =
        job(50, SHL_COMPACTION_RUNNING, (struct spec){.l0 = {2, 1}, .destination = 10});
    j.has_context = true;
    add_part(&j, NULL, NULL, true);
    add_output(&j, 0, 60, "a", "d");
    assert_int_equal(shl_increment_news(m, &j), 0); /* takes L0 */
    shl_compaction_deinit(&j);
    j = job(51, SHL_COMPACTION_RUNNING, (struct spec){.runs = {9, 3}, .destination = 3});
    j.has_context = true;
    add_part(&j, NULL, NULL, true);
    add_output(&j, 0, 60, "a", "d");
    assert_int_equal(shl_increment_news(m, &j), 0); /* does not fit */
    shl_compaction_deinit(&j);
    shl_manifest_free(m);
}

static void test_expired_checkpoints_go_with_a_new_one(void **state)
{
    struct shl_manifest *m = manifest();
    (void)state;
    OK(shl_commit_checkpoint(m, 5, id(1), 1000500, 9400, &err)); /* rounded up */
    OK(shl_commit_checkpoint(m, 6, id(2), 1005000, 0, &err));    /* 0 would be for ever */
    assert_int_equal(m->checkpoints.count, 2);
    assert_int_equal(m->checkpoints.items[1].expire_s, 1006);
    OK(shl_commit_checkpoint(m, 7, id(3), 1010000, 10000, &err));
    assert_int_equal(m->checkpoints.count, 1);
    assert_int_equal(m->checkpoints.items[0].manifest_id, 7);
    shl_manifest_free(m);
}

/* ---------------------------------------------------------------- requests */

static const struct {
    const char *text;
    const char *refused; /* part of the reason; NULL: fine */
    size_t jobs;
} requests[] = {
    {"\"Full\"", NULL, 2},
    {"{\"FullSegment\":{\"segment\":[]}}", NULL, 1},
    {"{\"FullSegment\":{\"segment\":[115]}}", NULL, 1},
    {"{\"FullSegment\":{\"segment\":[116]}}", "there is no segment \"t\"", 0},
    {"{\"FullSegment\":{\"segment\":[256]}}", "no byte", 0},
    {"{\"FullSegment\":{\"segment\":\"s\"}}", "no array of bytes", 0},
    {"{\"Spec\":{\"Tiered\":{\"segment\":[],\"sources\":[{\"SortedRun\":9},{\"SortedRun\":7}],"
     "\"destination\":7}}}",
     NULL, 1},
    {"{\"Spec\":{\"Tiered\":{\"segment\":[],\"sources\":[{\"SortedRun\":9},{\"SortedRun\":7}],"
     "\"destination\":9}}}",
     "oldest source run", 0},
    {"{\"Spec\":{\"Tiered\":{\"segment\":[],\"sources\":[{\"SstView\":\"x\"}],\"destination\":7}}}",
     "no ULID", 0},
    {"{\"Spec\":{\"Tiered\":{\"segment\":[],\"sources\":[{\"Run\":1}],\"destination\":7}}}",
     "neither", 0},
    {"{\"Spec\":{\"Tiered\":{\"segment\":[],\"sources\":[]}}}", "destination", 0},
    {"{\"Spec\":{\"DrainSegment\":{\"segment\":[115],\"sources\":[{\"SortedRun\":8}]}}}", NULL, 1},
    {"{\"Spec\":{\"DrainSegment\":{\"segment\":[],\"sources\":[{\"SortedRun\":9}]}}}", "root tree",
     0},
    {"\"Fully\"", "none that is known", 0},
    {"7", "none that is known", 0},
    {"{", "compaction request", 0},
};

static void test_requests_become_jobs_or_a_reason(void **state)
{
    struct shl_manifest *m = manifest();
    (void)state;
    for (size_t i = 0; i < SHL_COUNT_OF(requests); i++) {
        struct shl_request r = {.kind = SHL_REQUEST_FULL};
        shl_proposals jobs = {0};
        shale_code rc = shl_request_parse(shl_slice_str(requests[i].text), &r, &err);
        if (rc == SHALE_OK)
            rc = shl_request_plan(&r, m, &jobs, &err);
        if (requests[i].refused == NULL
                ? rc != SHALE_OK || jobs.count != requests[i].jobs
                : rc != SHALE_INVALID || strstr(err.text, requests[i].refused) == NULL)
            fail_msg("%s: %s, %zu jobs: %s", requests[i].text, shale_code_name(rc), jobs.count,
                     err.text);
        for (size_t k = 0; k < jobs.count; k++)
            assert_null(shl_job_check(m, &jobs.items[k], SHL_STAGE_SUBMITTED));
        shl_proposals_free(&jobs);
        shl_request_deinit(&r);
    }
    shl_manifest_free(m);
}

/* ---------------------------------------------------------------- cuts */

static void test_parts_are_even_and_not_too_small(void **state)
{
    static const struct {
        size_t keys;
        uint64_t each, largest, min;
        size_t parts_max, want;
    } cases[] = {
        {100, 10, 0, 1, 4, 4},   {100, 10, 500, 1, 4, 2}, {100, 10, 0, 600, 4, 1},
        {100, 10, 0, 400, 4, 2}, {100, 10, 0, 1, 1, 1},   {3, 10, 0, 1, 4, 3},
        {0, 10, 0, 1, 4, 1},     {100, 10, 0, 1, 0, 1},
    };
    (void)state;
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_anchors a = {.largest_bytes = cases[i].largest};
        shl_cuts cuts = {0};
        for (size_t k = cases[i].keys; k-- > 0;) { /* in any order */
            char key[24];
            snprintf(key, sizeof key, "%05zu", k);
            OK(shl_anchors_add(&a, shl_slice_str(key), cases[i].each, &err));
        }
        OK(shl_split(&a, cases[i].parts_max, cases[i].min, &cuts, &err));
        if (cuts.count + 1 != cases[i].want)
            fail_msg("case %zu: %zu parts", i, cuts.count + 1);
        for (size_t k = 1; k < cuts.count; k++)
            assert_true(shl_slice_cmp(cuts.items[k - 1], cuts.items[k]) < 0);
        shl_array_free(&cuts);
        shl_anchors_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs_that_do_not_fit_the_manifest_are_refused),
        cmocka_unit_test(test_the_later_of_two_jobs_that_meet_is_told_apart),
        cmocka_unit_test(test_jobs_meet_by_source_and_destination),
        cmocka_unit_test(test_one_l0_job_of_a_tree_is_at_work),
        cmocka_unit_test(test_a_job_is_claimed_released_reclaimed_and_finished),
        cmocka_unit_test(test_a_restart_looks_at_scheduled_jobs_again),
        cmocka_unit_test(test_active_jobs_and_the_newest_finished_one_stay),
        cmocka_unit_test(test_others_may_move_jobs_only_where_they_may),
        cmocka_unit_test(test_strange_jobs_are_dropped_and_lost_ones_come_back),
        cmocka_unit_test(test_a_context_only_grows),
        cmocka_unit_test(test_a_commit_takes_the_sources_and_inserts_the_run),
        cmocka_unit_test(test_a_trivial_move_keeps_the_views),
        cmocka_unit_test(test_finished_parts_are_committed_before_the_job_ends),
        cmocka_unit_test(test_other_jobs_are_not_committed_in_part),
        cmocka_unit_test(test_expired_checkpoints_go_with_a_new_one),
        cmocka_unit_test(test_requests_become_jobs_or_a_reason),
        cmocka_unit_test(test_parts_are_even_and_not_too_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
