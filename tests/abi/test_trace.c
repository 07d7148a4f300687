/* Goal: a read that names a trace tells of its steps, by SlateDB's names, and no other read does.
 * Method: databases in memory with cold and warm caches; the names of the spans, joined. */
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

struct heard {
    char names[400]; /* behind "slatedb.read", each with a blank; "!": the SSTable is passed by */
    unsigned count, ssts;
    uint64_t first_ns, last_ns; /* of the steps */
};

static void hear(void *ctx, const shale_span *s)
{
    struct heard *h = ctx;
    size_t at = strlen(h->names);
    assert_string_equal(s->trace_id, "t-1");
    assert_int_equal(strncmp(s->name, "slatedb.read", 12), 0);
    assert_true(s->begin_ns <= s->end_ns);
    if (s->sst != NULL)
        assert_int_equal(strlen(s->sst), 26);
    if (s->name[12] == '\0') { /* the whole comes last, and has all the others in it */
        assert_true(h->count == 0 || (s->begin_ns <= h->first_ns && h->last_ns <= s->end_ns));
        assert_null(s->sst);
    } else if (h->count++ == 0) {
        h->first_ns = s->begin_ns;
    }
    h->last_ns = s->end_ns > h->last_ns ? s->end_ns : h->last_ns;
    h->ssts += s->sst != NULL;
    (void)snprintf(h->names + at, sizeof h->names - at, "%s%s ", s->name + 12, s->is_no ? "!" : "");
}

static struct heard heard;

static void expect_steps(const char *names)
{
    assert_string_equal(heard.names, names);
    heard = (struct heard){.count = 0};
}

static shale_code get(shale_db *db, const char *key, const char *trace_id)
{
    shale_read_options how;
    shale_pinned found = {.seq = 0};
    shale_read_options_init(&how, sizeof how);
    how.trace_id = trace_id;
    shale_code rc = shale_db_get(&found, db, SHALE_STR(key), &how, &err);
    shale_pinned_release(&found);
    return rc;
}

static shale_options *options(void)
{
    shale_options *o = shale_options_new();
    shale_options_set_trace(o, hear, &heard);
    ok(shale_options_set(o, "min_filter_keys", "0", &err));
    ok(shale_options_set(o, "merge_operator", "concat", &err));
    return o;
}

static void test_the_steps_of_gets(void **state)
{
    (void)state;
    static const char url[] = "memory://?name=trace-gets";
    shale_options *o = options();
    shale_db *db = NULL;
    shale_read_options how;
    size_t len;
    char value[8];
    shale_pinned found[2] = {{.seq = 0}, {.seq = 0}};
    shale_code codes[2];
    const shale_slice keys[] = {SHALE_STR("a"), SHALE_STR("c")};
    ok(shale_db_open(&db, url, o, &err));
    ok(shale_db_put(db, SHALE_STR("a"), SHALE_STR("1"), NULL, &err));
    ok(shale_db_put(db, SHALE_STR("c"), SHALE_STR("1"), NULL, &err));
    ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
    ok(shale_db_merge(db, SHALE_STR("c"), SHALE_STR("2"), NULL, &err));
    ok(get(db, "c", "t-1"));
    assert_int_equal(heard.ssts, 4);
    expect_steps(".memtable .read_index .read_filters .read_blocks .evaluate_filter .merge  ");
    for (int i = 0; i < 3; i++)
        ok(get(db, "a", NULL)); /* the third puts it into the cache */
    expect_steps("");
    ok(get(db, "a", "t-1"));
    expect_steps(".memtable .evaluate_filter  ");
    assert_int_equal(get(db, "b", "t-1"), SHALE_NOT_FOUND);
    expect_steps(".memtable .evaluate_filter!  ");
    assert_int_equal(get(db, "", "t-1"), SHALE_INVALID);
    expect_steps(" ");

    shale_read_options_init(&how, sizeof how);
    how.trace_id = "t-1";
    ok(shale_db_get_into(db, SHALE_STR("a"), value, sizeof value, &len, &how, &err));
    expect_steps(".memtable .evaluate_filter  ");
    ok(shale_db_get_many(found, codes, db, keys, 2, &how, &err));
    expect_steps(".merge  ");
    shale_pinned_release(&found[0]);
    shale_pinned_release(&found[1]);
    ok(shale_db_close(db, &err));
    shale_options_free(o);
}

static void test_the_steps_of_scans(void **state)
{
    (void)state;
    static const char url[] = "memory://?name=trace-scans";
    shale_options *o = options();
    shale_db *db = NULL;
    shale_iter *it = NULL;
    shale_row row;
    shale_scan_options how;
    ok(shale_options_set(o, "bloom_prefix", "1", &err));
    ok(shale_db_open(&db, url, o, &err));
    ok(shale_db_put(db, SHALE_STR("a1"), SHALE_STR("1"), NULL, &err));
    ok(shale_db_put(db, SHALE_STR("c1"), SHALE_STR("1"), NULL, &err));
    ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
    shale_scan_options_init(&how, sizeof how);
    ok(shale_db_scan(&it, db, shale_range_all(), &how, &err));
    ok(shale_iter_next(&row, it, &err));
    shale_iter_close(it);
    expect_steps("");
    how.trace_id = "t-1";
    ok(shale_db_scan(&it, db, shale_range_all(), &how, &err));
    ok(shale_iter_next(&row, it, &err));
    ok(shale_iter_seek(it, SHALE_STR("b"), &err));
    ok(shale_iter_next(&row, it, &err));
    assert_int_equal(heard.count, 0); /* all of it at the end */
    shale_iter_close(it);
    expect_steps(".memtable .read_blocks .read_blocks  ");
    ok(shale_db_scan(&it, db, shale_range_prefix(SHALE_STR("b")), &how, &err));
    assert_int_equal(shale_iter_next(&row, it, &err), SHALE_DONE);
    shale_iter_close(it);
    expect_steps(".evaluate_filter! .memtable  ");
    ok(shale_db_close(db, &err));
    shale_options_free(o);
}

/* On a far store what is needed is fetched side by side. */
static void test_the_steps_of_far_gets(void **state)
{
    (void)state;
    static const char url[] = "memory://?name=trace-far";
    shale_options *o = options();
    shale_db *db = NULL;
    ok(shale_options_set_store(o, "latency_ms", "1", &err));
    ok(shale_options_set(o, "compactor_options", "none", &err));
    ok(shale_db_open(&db, url, o, &err));
    for (int i = 0; i < 2; i++) {
        ok(shale_db_merge(db, SHALE_STR("a"), SHALE_STR("1"), NULL, &err));
        ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
    }
    ok(get(db, "a", "t-1"));
    assert_non_null(strstr(heard.names, ".read_blocks "));
    assert_non_null(strstr(heard.names, ".merge  "));
    assert_true(heard.last_ns - heard.first_ns >= 1000000); /* a request */
    heard = (struct heard){.count = 0};
    ok(shale_db_close(db, &err));
    shale_options_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_steps_of_gets),
        cmocka_unit_test(test_the_steps_of_scans),
        cmocka_unit_test(test_the_steps_of_far_gets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
