/* Goal: what an application decides itself: a scheduler chooses the compactions of a writer, a compactor and a compaction on demand, sees the trees as they
 * are, and does no harm whatever it proposes; a filter keeps, drops and changes rows, and fails no more than its job. Method: databases in memory; the functions note what they are shown, and propose from a table. */
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

/* The lines that were logged as warnings. */
struct lines {
    char text[16384];
};

static void on_log(void *ctx, int level, const char *text)
{
    struct lines *l = ctx;
    size_t n = strlen(l->text);
    if (level <= 1 && n + strlen(text) + 2 < sizeof l->text)
        (void)snprintf(l->text + n, sizeof l->text - n, "%s\n", text);
}

static shale_options *with(const char *const settings[][2], struct lines *log)
{
    shale_options *o = shale_options_new();
    assert_non_null(o);
    for (size_t i = 0; settings != NULL && settings[i][0] != NULL; i++)
        ok(shale_options_set(o, settings[i][0], settings[i][1], &err));
    if (log != NULL) {
        log->text[0] = '\0';
        shale_options_set_log(o, on_log, 1, log);
    }
    return o;
}

static const char *const passive[][2] = {{"compactor_options", "none"}, {NULL, NULL}};

static void table(shale_db *db, const char *key, const char *value)
{
    ok(shale_db_put(db, shale_str(key), shale_str(value), NULL, &err));
    ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
}

static void expect_get(shale_db *db, const char *key, const char *want)
{
    shale_pinned found = {0};
    shale_code rc = shale_db_get(&found, db, shale_str(key), NULL, &err);
    if (want == NULL) {
        assert_int_equal(rc, SHALE_NOT_FOUND);
        return;
    }
    ok(rc);
    assert_int_equal(found.value.len, strlen(want));
    assert_memory_equal(found.value.data, want, found.value.len);
    shale_pinned_release(&found);
}

static void expect_shape(shale_db *db, uint64_t l0, uint64_t runs)
{
    shale_db_status s = {.struct_size = sizeof s};
    shale_db_status_get(db, &s);
    assert_int_equal(s.l0_count, l0);
    assert_int_equal(s.run_count, runs);
    assert_int_equal(s.closed, SHALE_OK);
}

/* ---------------------------------------------------------------- a scheduler */

/* What the functions note, in whatever thread: there no assertion may fail. */
struct notes {
    _Atomic unsigned asked;
    _Atomic(const char *) wrong;
};

static void want(struct notes *n, bool is_so, const char *what)
{
    if (!is_so)
        n->wrong = what;
}

static void expect_notes(const struct notes *n, unsigned asked)
{
    if (n->wrong != NULL)
        fail_msg("%s", n->wrong);
    assert_true(n->asked >= asked);
}

/* Merges all of a tree's L0 into a new run as soon as there are two SSTables. */
static shale_code eager(void *ctx, const shale_compaction_view *view,
                        void (*emit)(void *emit_ctx, const shale_compaction_spec *spec),
                        void *emit_ctx)
{
    struct notes *n = ctx;
    uint32_t next = view->next_run;
    n->asked++;
    want(n, view->struct_size >= sizeof *view && view->slots > 0, "the view");
    want(n, view->tree_count > 0 && view->trees[0].segment.len == 0, "the root tree");
    if (view->job_count > 0)
        return SHALE_OK;
    for (size_t i = 0; i < view->tree_count; i++) {
        const shale_compaction_tree *t = &view->trees[i];
        const char *ids[16];
        shale_compaction_spec spec;
        if (t->l0_count < 2 || t->l0_count > 16)
            continue;
        for (size_t k = 0; k < t->l0_count; k++) {
            ids[k] = t->l0[k].id;
            want(n, strlen(ids[k]) == 26, "an id");
            want(n, t->l0[k].bytes > 20 && t->l0[k].bytes < 4096, "the size of an SSTable");
        }
        for (size_t k = 0; k < t->run_count; k++) {
            want(n, t->runs[k].id < view->next_run, "a free id");
            want(n, t->runs[k].sst_count == 1, "the SSTables of a run");
            want(n, t->runs[k].bytes > 20 && t->runs[k].bytes < 4096, "the size of a run");
        }
        shale_compaction_spec_init(&spec, sizeof spec);
        spec.segment = t->segment;
        spec.l0 = ids;
        spec.l0_count = t->l0_count;
        spec.destination = next++;
        emit(emit_ctx, &spec);
    }
    return SHALE_OK;
}

static void test_a_scheduler_decides_for_a_writer(void **state)
{
    struct notes notes = {0};
    shale_db *db = NULL;
    (void)state;
    shale_options *o = with(NULL, NULL);
    shale_options_set_scheduler(o, eager, &notes);
    ok(shale_db_open(&db, "memory:", o, &err));
    shale_options_free(o);
    for (unsigned i = 0; i < 4; i++) {
        table(db, "a", i % 2 == 0 ? "1" : "2");
        table(db, "b", "3");
        ok(shale_db_settle(db, &err));
        expect_shape(db, 0, i + 1);
    }
    expect_notes(&notes, 4);
    expect_get(db, "a", "2");
    expect_get(db, "b", "3");
    ok(shale_db_close(db, &err));
}

static void test_a_scheduler_sees_each_segment(void **state)
{
    static const char *const slash[][2] = {{"segment_extractor", "slash"}, {NULL, NULL}};
    struct notes notes = {0};
    shale_db *db = NULL;
    (void)state;
    shale_options *o = with(slash, NULL);
    shale_options_set_scheduler(o, eager, &notes);
    ok(shale_db_open(&db, "memory:", o, &err));
    shale_options_free(o);
    table(db, "x/1", "1");
    table(db, "y/1", "2");
    ok(shale_db_settle(db, &err));
    expect_shape(db, 2, 0); /* one in each tree */
    table(db, "y/2", "3");
    ok(shale_db_settle(db, &err));
    expect_shape(db, 1, 1);
    table(db, "x/2", "4");
    ok(shale_db_settle(db, &err));
    expect_shape(db, 0, 2);
    expect_get(db, "x/1", "1");
    expect_get(db, "y/2", "3");
    ok(shale_db_close(db, &err));
}

static void test_a_scheduler_decides_without_a_writer(void **state)
{
    static const char url[] = "memory://?name=scheduled";
    struct notes notes = {0};
    shale_db *db = NULL;
    shale_compactor *c = NULL;
    shale_compactor_options how;
    shale_compact_options now;
    (void)state;
    shale_options *quiet = with(passive, NULL), *o = with(passive, NULL);
    shale_options_set_scheduler(o, eager, &notes);
    ok(shale_db_open(&db, url, quiet, &err));
    table(db, "a", "1");
    table(db, "a", "2");
    shale_compactor_options_init(&how, sizeof how);
    how.once = true;
    ok(shale_compactor_open(&c, url, o, &how, &err));
    ok(shale_compactor_run(c, &err));
    shale_compactor_close(c);
    ok(shale_db_refresh(db, &err));
    expect_shape(db, 0, 1);
    table(db, "a", "3");
    table(db, "a", "4");
    shale_compact_options_init(&now, sizeof now);
    now.take_over_ms = 1;
    ok(shale_compact(NULL, url, o, NULL, &now, &err));
    ok(shale_db_refresh(db, &err));
    expect_shape(db, 0, 2);
    expect_get(db, "a", "4");
    expect_notes(&notes, 2);
    ok(shale_db_close(db, &err));
    shale_options_free(quiet);
    shale_options_free(o);
}

/* ---------------------------------------------------------------- bad proposals */

enum bad {
    BAD_NULL,
    BAD_STRUCT,
    BAD_LONG_STRUCT,
    BAD_NO_SOURCES,
    BAD_NULL_SOURCES,
    BAD_NULL_ID,
    BAD_TEXT,
    BAD_STRANGER,
    BAD_ORDER,
    BAD_NEWEST_ONLY,
    BAD_RUN,
    BAD_DESTINATION,
    BAD_SEGMENT,
    BAD_NULL_SEGMENT,
    BAD_DRAIN,
    BAD_CODE
};

static const struct {
    enum bad what;
    const char *want; /* in the log */
} bads[] = {
    {BAD_NULL, "compaction proposed in vain: it is NULL"},
    {BAD_STRUCT, "shale_compaction_spec: struct_size is 0; call its init function"},
    {BAD_LONG_STRUCT, "shale_compaction_spec: a field at byte"},
    {BAD_NO_SOURCES, "it has no sources"},
    {BAD_NULL_SOURCES, "its sources are NULL"},
    {BAD_NULL_ID, "the id of its L0 source 0 is NULL"},
    {BAD_TEXT, "\"nonsense\" is no id of an L0 SSTable"},
    {BAD_STRANGER, "an L0 source is not there"},
    {BAD_ORDER, "its L0 sources are no neighbours"},
    {BAD_NEWEST_ONLY, "an L0 SSTable older than its sources would stay"},
    {BAD_RUN, "a source run is not there"},
    {BAD_DESTINATION, "its destination is not its oldest source run"},
    {BAD_SEGMENT, "its segment is not there"},
    {BAD_NULL_SEGMENT, "its segment is NULL"},
    {BAD_DRAIN, "the root tree cannot be drained"},
    {BAD_CODE, "the compaction scheduler failed: TIMEOUT"},
};

struct longer {
    shale_compaction_spec spec;
    uint64_t unknown;
};

static void spoil(enum bad what, shale_compaction_spec *spec, const char **ids,
                  const uint32_t *runs)
{
    const char *first = ids[0];
    switch (what) {
    case BAD_STRUCT:
        spec->struct_size = 0;
        break;
    case BAD_LONG_STRUCT:
        spec->struct_size = sizeof(struct longer);
        break;
    case BAD_NO_SOURCES:
        spec->l0_count = 0;
        break;
    case BAD_NULL_SOURCES:
        spec->l0 = NULL;
        break;
    case BAD_NULL_ID:
        ids[0] = NULL;
        break;
    case BAD_TEXT:
        ids[0] = "nonsense";
        break;
    case BAD_STRANGER:
        ids[0] = "01JZZZZZZZZZZZZZZZZZZZZZZZ";
        break;
    case BAD_ORDER:
        ids[0] = ids[1];
        ids[1] = first;
        break;
    case BAD_NEWEST_ONLY:
        spec->l0_count = 1;
        break;
    case BAD_RUN:
        spec->runs = runs;
        spec->run_count = 1;
        spec->l0_count = 0;
        break;
    case BAD_DESTINATION:
        spec->runs = runs + 1;
        spec->run_count = 1;
        break;
    case BAD_SEGMENT:
        spec->segment = SHALE_STR("nobody/");
        break;
    case BAD_NULL_SEGMENT:
        spec->segment = shale_bytes(NULL, 3);
        break;
    case BAD_DRAIN:
        spec->drain = true;
        break;
    case BAD_NULL:
    case BAD_CODE:
        break;
    }
}

static shale_code hostile(void *ctx, const shale_compaction_view *view,
                          void (*emit)(void *emit_ctx, const shale_compaction_spec *spec),
                          void *emit_ctx)
{
    enum bad what = *(const enum bad *)ctx;
    const shale_compaction_tree *t = &view->trees[0];
    const char *ids[2];
    struct longer one = {.unknown = 1};
    if (t->l0_count != 2 || t->run_count != 1)
        return SHALE_OK;
    const uint32_t runs[2] = {77, t->runs[0].id};
    ids[0] = t->l0[0].id;
    ids[1] = t->l0[1].id;
    shale_compaction_spec_init(&one.spec, sizeof one.spec);
    one.spec.l0 = ids;
    one.spec.l0_count = 2;
    one.spec.destination = view->next_run;
    spoil(what, &one.spec, ids, runs);
    emit(emit_ctx, what == BAD_NULL ? NULL : &one.spec);
    return what == BAD_CODE ? SHALE_TIMEOUT : SHALE_OK;
}

static void test_bad_proposals_are_refused_with_a_line(void **state)
{
    static const char url[] = "memory://?name=hostile";
    static struct lines log;
    struct notes notes = {0};
    shale_db *db = NULL;
    (void)state;
    shale_options *o = with(NULL, NULL);
    shale_options_set_scheduler(o, eager, &notes);
    ok(shale_db_open(&db, url, o, &err));
    shale_options_free(o);
    table(db, "a", "1");
    table(db, "a", "2");
    ok(shale_db_settle(db, &err));
    ok(shale_db_close(db, &err));
    o = with(passive, NULL);
    ok(shale_db_open(&db, url, o, &err));
    shale_options_free(o);
    table(db, "a", "3");
    table(db, "a", "4");
    ok(shale_db_close(db, &err));
    for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
        enum bad what = bads[i].what;
        shale_compactor *c = NULL;
        shale_compactor_options how;
        o = with(NULL, &log);
        shale_options_set_scheduler(o, hostile, &what);
        ok(shale_db_open(&db, url, o, &err));
        ok(shale_db_settle(db, &err));
        expect_shape(db, 2, 1);
        expect_get(db, "a", "4");
        ok(shale_db_close(db, &err));
        shale_compactor_options_init(&how, sizeof how);
        how.once = true;
        ok(shale_compactor_open(&c, url, o, &how, &err));
        ok(shale_compactor_run(c, &err));
        shale_compactor_close(c);
        if (strstr(log.text, bads[i].want) == NULL)
            fail_msg("want \"%s\", logged:\n%s", bads[i].want, log.text);
        shale_options_free(o);
    }
}

/* ---------------------------------------------------------------- a filter of rows */

/* What a filter does, and what it saw. One job at a time runs, in one part. */
struct sieve {
    struct notes notes;
    void (*decide)(const shale_raw_row *row, shale_filter_result *out);
    unsigned fail_begin, fail_row, fail_end; /* that call fails; 0: none */
    _Atomic unsigned begun, rows, completed, given_up;
    shale_compaction_job job; /* the last one */
    char first_key[64];       /* that the last instance saw */
    char last_key[64];
    uint64_t last_seq;
};

static shale_code on_begin(void *ctx, const shale_compaction_job *job, void **filter)
{
    struct sieve *s = ctx;
    want(&s->notes, s->begun == s->completed + s->given_up, "one instance at a time");
    want(&s->notes, job->struct_size >= sizeof *job, "the job");
    if (++s->notes.asked == s->fail_begin)
        return SHALE_TIMEOUT;
    s->begun++;
    s->job = *job;
    s->first_key[0] = s->last_key[0] = '\0';
    *filter = s;
    return SHALE_OK;
}

static void text_of(shale_slice from, char out[64])
{
    size_t n = from.len < 63 ? from.len : 63;
    memcpy(out, from.data, n);
    out[n] = '\0';
}

static shale_code on_row(void *ctx, void *filter, const shale_raw_row *row,
                         shale_filter_result *out)
{
    struct sieve *s = ctx;
    char key[64];
    text_of(row->key, key);
    want(&s->notes, filter == ctx, "the instance");
    want(&s->notes, out->decision == SHALE_FILTER_KEEP, "rows are kept by default");
    int order = strcmp(key, s->last_key);
    want(&s->notes, order > 0 || (order == 0 && row->seq < s->last_seq), "rows in order");
    strcpy(s->last_key, key);
    s->last_seq = row->seq;
    if (s->first_key[0] == '\0')
        strcpy(s->first_key, key);
    if (++s->rows == s->fail_row)
        return SHALE_TIMEOUT;
    s->decide(row, out);
    return SHALE_OK;
}

static shale_code on_end(void *ctx, void *filter, bool complete)
{
    struct sieve *s = ctx;
    want(&s->notes, filter == ctx, "the instance at the end");
    if (!complete) {
        s->given_up++;
        return SHALE_TIMEOUT; /* of no meaning */
    }
    return ++s->completed == s->fail_end ? SHALE_TIMEOUT : SHALE_OK;
}

static void set_filter(shale_options *o, struct sieve *s)
{
    shale_compaction_filter f;
    shale_compaction_filter_init(&f, sizeof f);
    f.ctx = s;
    f.begin = on_begin;
    f.row = on_row;
    f.end = on_end;
    ok(shale_options_set_compaction_filter(o, &f, &err));
}

/* By the first byte of the key. */
static void by_key(const shale_raw_row *row, shale_filter_result *out)
{
    switch (((const char *)row->key.data)[0]) {
    case 'd':
        out->decision = SHALE_FILTER_DROP;
        break;
    case 'm':
        out->decision = SHALE_FILTER_MODIFY;
        out->kind = SHALE_ROW_MERGE;
        out->value = SHALE_STR("operand");
        break;
    case 'p':
        out->decision = SHALE_FILTER_MODIFY;
        out->value = SHALE_STR("changed");
        break;
    case 't':
        out->decision = SHALE_FILTER_MODIFY;
        out->kind = SHALE_ROW_DELETE;
        break;
    default:
        break;
    }
}

static const char *const concat[][2] = {
    {"merge_operator", "concat"}, {"compactor_options.poll_interval", "5ms"}, {NULL, NULL}};

static void test_a_filter_keeps_drops_and_changes(void **state)
{
    struct sieve s = {.decide = by_key};
    shale_db *db = NULL;
    shale_write_options timed;
    (void)state;
    shale_options *o = with(concat, NULL);
    set_filter(o, &s);
    ok(shale_db_open(&db, "memory:", o, &err));
    shale_options_free(o);
    shale_write_options_init(&timed, sizeof timed);
    timed.ttl_kind = SHALE_TTL_AFTER_MS;
    timed.ttl_ms = 1000000;
    ok(shale_db_put(db, SHALE_STR("put"), SHALE_STR("1"), &timed, &err));
    ok(shale_db_put(db, SHALE_STR("tombstone"), SHALE_STR("1"), &timed, &err));
    table(db, "drop", "1");
    table(db, "keep", "1");
    table(db, "merge", "1");
    assert_int_equal(s.rows, 0); /* flushes do not ask */
    expect_get(db, "drop", "1");
    ok(shale_db_merge(db, SHALE_STR("push"), SHALE_STR("1"), NULL, &err));
    ok(shale_db_settle(db, &err));
    expect_shape(db, 0, 1);
    expect_notes(&s.notes, 1);
    assert_int_equal(s.rows, 6);
    assert_int_equal(s.completed, 1);
    assert_int_equal(s.given_up, 0);
    assert_true(s.job.is_last_run);
    assert_int_equal(s.job.destination, 0);
    assert_int_equal(s.job.segment.len, 0);
    assert_true(s.job.clock_tick > 1700000000000 && s.job.retention_min_seq > 0);
    expect_get(db, "drop", NULL);
    expect_get(db, "keep", "1");
    expect_get(db, "tombstone", NULL);
    expect_get(db, "push", "changed");
    ok(shale_db_merge(db, SHALE_STR("merge"), SHALE_STR("+1"), NULL, &err));
    expect_get(db, "merge", "operand+1");
    ok(shale_db_merge(db, SHALE_STR("put"), SHALE_STR(""), NULL, &err));
    expect_get(db, "put", "changed");
    ok(shale_db_close(db, &err));
}

static void drop_all(const shale_raw_row *row, shale_filter_result *out)
{
    (void)row;
    out->decision = SHALE_FILTER_DROP;
}

static void test_metadata_stays_and_everything_may_go(void **state)
{
    static const char url[] = "memory://?name=sifted";
    struct sieve s = {.decide = by_key};
    shale_db *db = NULL;
    shale_pinned before = {0}, after = {0};
    shale_write_options timed;
    (void)state;
    shale_options *o = with(concat, NULL);
    set_filter(o, &s);
    ok(shale_db_open(&db, url, o, &err));
    shale_options_free(o);
    shale_write_options_init(&timed, sizeof timed);
    timed.ttl_kind = SHALE_TTL_AFTER_MS;
    timed.ttl_ms = 1000000;
    ok(shale_db_put(db, SHALE_STR("put"), SHALE_STR("1"), &timed, &err));
    for (unsigned i = 0; i < 4; i++)
        table(db, "keep", "1");
    ok(shale_db_get(&before, db, SHALE_STR("put"), NULL, &err));
    ok(shale_db_settle(db, &err));
    ok(shale_db_get(&after, db, SHALE_STR("put"), NULL, &err));
    assert_memory_equal(after.value.data, "changed", 7);
    assert_int_equal(after.seq, before.seq);
    assert_int_equal(after.create_ts, before.create_ts);
    assert_true(after.has_expire_ts);
    assert_int_equal(after.expire_ts, before.expire_ts);
    shale_pinned_release(&before);
    shale_pinned_release(&after);
    s.decide = drop_all;
    ok(shale_db_close(db, &err));
    o = with(concat, NULL);
    set_filter(o, &s);
    ok(shale_compact(NULL, url, o, "\"Full\"", NULL, &err));
    ok(shale_db_open(&db, url, o, &err));
    shale_options_free(o);
    expect_get(db, "put", NULL);
    expect_get(db, "keep", NULL);
    ok(shale_db_close(db, &err));
    expect_notes(&s.notes, 2);
}

static void drop_new(const shale_raw_row *row, shale_filter_result *out)
{
    if (row->value.len == 3 && memcmp(row->value.data, "new", 3) == 0)
        out->decision = SHALE_FILTER_DROP;
}

static void test_what_is_dropped_uncovers_what_is_older(void **state)
{
    struct sieve s = {.decide = drop_new};
    struct notes notes = {0};
    shale_db *db = NULL;
    (void)state;
    shale_options *o = with(NULL, NULL);
    set_filter(o, &s);
    shale_options_set_scheduler(o, eager, &notes);
    ok(shale_db_open(&db, "memory:", o, &err));
    shale_options_free(o);
    table(db, "a", "old");
    table(db, "b", "old");
    ok(shale_db_settle(db, &err));
    table(db, "a", "new");
    expect_get(db, "a", "new"); /* while there is one table, which the scheduler leaves alone */
    table(db, "c", "other");
    ok(shale_db_settle(db, &err));
    expect_shape(db, 0, 2);
    assert_false(s.job.is_last_run);
    assert_int_equal(s.job.destination, 1);
    expect_get(db, "a", "old");
    expect_get(db, "c", "other");
    expect_notes(&s.notes, 2);
    ok(shale_db_close(db, &err));
}

static void test_a_filter_that_fails_fails_the_job_only(void **state)
{
    static const struct {
        struct sieve s;
        const char *want;
        unsigned given_up, completed;
    } cases[] = {
        {{.decide = by_key, .fail_begin = 1}, "failed at the beginning of a job: TIMEOUT", 0, 1},
        {{.decide = by_key, .fail_row = 2}, "failed at a row: TIMEOUT", 1, 1},
        {{.decide = by_key, .fail_end = 1}, "failed at the end of a job: TIMEOUT", 0, 2},
    };
    static struct lines log;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sieve s = cases[i].s;
        shale_db *db = NULL;
        shale_options *o = with(concat, &log);
        set_filter(o, &s);
        ok(shale_db_open(&db, "memory:", o, &err));
        shale_options_free(o);
        for (unsigned k = 0; k < 4; k++)
            table(db, k % 2 == 0 ? "drop" : "keep", "1");
        ok(shale_db_settle(db, &err)); /* until it was tried again */
        expect_shape(db, 0, 1);
        expect_get(db, "drop", NULL);
        expect_get(db, "keep", "1");
        expect_notes(&s.notes, 2);
        assert_int_equal(s.given_up, cases[i].given_up);
        assert_int_equal(s.completed, cases[i].completed);
        ok(shale_db_close(db, &err));
        if (strstr(log.text, cases[i].want) == NULL)
            fail_msg("want \"%s\", logged:\n%s", cases[i].want, log.text);
    }
}

static void test_an_interrupted_job_is_filtered_on(void **state)
{
    static const char *const small[][2] = {{"compactor_options.poll_interval", "5ms"},
                                           {"compactor_options.worker.max_sst_size", "1KiB"},
                                           {"sst_block_size", "1KiB"},
                                           {NULL, NULL}};
    struct sieve s = {.decide = by_key, .fail_row = 30};
    shale_db *db = NULL;
    char value[301], key[16];
    (void)state;
    memset(value, 'v', 300);
    value[300] = '\0';
    shale_options *o = with(small, NULL);
    set_filter(o, &s);
    ok(shale_db_open(&db, "memory:", o, &err));
    shale_options_free(o);
    for (unsigned t = 0; t < 4; t++) {
        for (unsigned i = t; i < 40; i += 4) { /* d00, k01, p02, d03 .. */
            (void)snprintf(key, sizeof key, "%c%02u", "dkp"[i / 14], i);
            ok(shale_db_put(db, shale_str(key), shale_str(value), NULL, &err));
        }
        ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
    }
    ok(shale_db_settle(db, &err));
    expect_shape(db, 0, 1);
    expect_notes(&s.notes, 2);
    assert_int_equal(s.given_up, 1);
    assert_int_equal(s.completed, 1);
    assert_true(strcmp(s.first_key, "k14") > 0); /* it did not begin again */
    assert_true(strcmp(s.first_key, "p29") <= 0);
    for (unsigned i = 0; i < 40; i++) {
        (void)snprintf(key, sizeof key, "%c%02u", "dkp"[i / 14], i);
        expect_get(db, key, i < 14 ? NULL : i < 28 ? value : "changed");
    }
    ok(shale_db_close(db, &err));
}

static void bad_decision(const shale_raw_row *row, shale_filter_result *out)
{
    (void)row;
    out->decision = (shale_filter_decision)3;
}

static void bad_kind(const shale_raw_row *row, shale_filter_result *out)
{
    (void)row;
    out->decision = SHALE_FILTER_MODIFY;
    out->kind = (shale_row_kind)3;
}

static void bad_value(const shale_raw_row *row, shale_filter_result *out)
{
    (void)row;
    out->decision = SHALE_FILTER_MODIFY;
    out->value = shale_bytes(NULL, 5);
}

static void test_bad_answers_and_structs(void **state)
{
    static const char *const impatient[][2] = {
        {"compactor_options.poll_interval", "5ms"},
        {"compactor_options.worker_heartbeat_timeout", "100ms"},
        {"compactor_options.worker.heartbeat_interval", "10ms"},
        {"compactor_options", "none"},
        {NULL, NULL}};
    static const char url[] = "memory://?name=answers";
    static const struct {
        void (*decide)(const shale_raw_row *row, shale_filter_result *out);
        const char *want;
    } cases[] = {{bad_decision, "the compaction filter decided 3, known 0..2"},
                 {bad_kind, "the compaction filter made a row of kind 3, known 0..2"},
                 {bad_value, "the compaction filter made a value of 5 bytes at NULL"}};
    shale_db *db = NULL;
    shale_compaction_filter f;
    struct notes notes = {0};
    shale_compact_options now;
    (void)state;
    shale_options *o = with(impatient, NULL);
    shale_options_set_scheduler(o, eager, &notes);
    shale_compact_options_init(&now, sizeof now);
    now.take_over_ms = 1;
    ok(shale_db_open(&db, url, o, &err));
    table(db, "a", "1");
    table(db, "a", "2");
    ok(shale_db_close(db, &err));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sieve s = {.decide = cases[i].decide};
        set_filter(o, &s);
        assert_int_equal(shale_compact(NULL, url, o, NULL, &now, &err), SHALE_INTERNAL);
        assert_string_equal(err.text, cases[i].want);
        assert_int_equal(s.given_up, 1);
    }
    shale_compaction_filter_init(&f, sizeof f);
    assert_int_equal(shale_options_set_compaction_filter(o, &f, &err), SHALE_INVALID);
    assert_string_equal(err.text, "shale_compaction_filter: row is NULL");
    f.struct_size = 0;
    assert_int_equal(shale_options_set_compaction_filter(o, &f, &err), SHALE_INVALID);
    ok(shale_options_set_compaction_filter(o, NULL, &err));
    ok(shale_compact(NULL, url, o, NULL, &now, &err)); /* the job that is still open */
    ok(shale_db_open(&db, url, o, &err));
    expect_shape(db, 0, 1);
    expect_get(db, "a", "2");
    ok(shale_db_close(db, &err));
    shale_options_free(o);
}

/* A sum over a text cannot be made: who reads that key is told, and everything else goes on, through flushes, compactions and openings. */
static void test_a_merge_that_is_refused_concerns_its_key_only(void **state)
{
    static const char url[] = "memory://?name=poison";
    (void)state;
    shale_options *o = with(passive, NULL), *compacts = shale_options_new();
    ok(shale_options_set(o, "merge_operator", "sum-i64", &err));
    ok(shale_options_set(compacts, "merge_operator", "sum-i64", &err));
    ok(shale_options_set(compacts, "compactor_options.scheduler_options.min_compaction_sources",
                         "2", &err));
    for (int round = 0; round < 3; round++) {
        shale_db *db = NULL;
        shale_pinned found = {.seq = 0};
        ok(shale_db_open(&db, url, o, &err));
        ok(shale_db_put(db, SHALE_STR("k"), SHALE_STR("hello"), NULL, &err));
        ok(shale_db_merge(db, SHALE_STR("k"), shale_bytes("\1\0\0\0\0\0\0\0", 8), NULL, &err));
        ok(shale_db_merge(db, SHALE_STR("sum"), shale_bytes("\1\0\0\0\0\0\0\0", 8), NULL, &err));
        ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
        ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
        assert_int_equal(shale_db_get(&found, db, SHALE_STR("k"), NULL, &err), SHALE_INVALID);
        ok(shale_db_get(&found, db, SHALE_STR("sum"), NULL, &err));
        assert_int_equal(found.value.len, 8);
        assert_int_equal(((const char *)found.value.data)[0], round + 1);
        shale_pinned_release(&found);
        ok(shale_db_close(db, &err));
        ok(shale_compact(NULL, url, compacts, NULL, NULL, &err));
    }
    shale_options_free(compacts);
    shale_options_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_scheduler_decides_for_a_writer),
        cmocka_unit_test(test_a_scheduler_sees_each_segment),
        cmocka_unit_test(test_a_scheduler_decides_without_a_writer),
        cmocka_unit_test(test_bad_proposals_are_refused_with_a_line),
        cmocka_unit_test(test_a_filter_keeps_drops_and_changes),
        cmocka_unit_test(test_metadata_stays_and_everything_may_go),
        cmocka_unit_test(test_what_is_dropped_uncovers_what_is_older),
        cmocka_unit_test(test_a_filter_that_fails_fails_the_job_only),
        cmocka_unit_test(test_an_interrupted_job_is_filtered_on),
        cmocka_unit_test(test_bad_answers_and_structs),
        cmocka_unit_test(test_a_merge_that_is_refused_concerns_its_key_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
