/* Goal: what an application decides itself: a scheduler chooses the compactions of a writer, a compactor and a compaction on demand, sees the trees as they
 * are, and does no harm whatever it proposes. Method: databases in memory; the functions note what they are shown, and propose from a table. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_scheduler_decides_for_a_writer),
        cmocka_unit_test(test_a_scheduler_sees_each_segment),
        cmocka_unit_test(test_a_scheduler_decides_without_a_writer),
        cmocka_unit_test(test_bad_proposals_are_refused_with_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
