/* Goal: sums over all tasks are exact, quantiles near, and the texts are what scrapers read. Method: four tasks that add at once; known
 * distributions; exact texts. */
#include "base/metrics.h"

#include "base/codec/json.h"
#include "base/codec/metrics_text.h"
#include "base/num.h"
#include "base/str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define TASKS 4
#define ADDS  20000

struct work {
    struct shl_metrics *m;
    struct shl_counter *c;
    struct shl_gauge *g;
    struct shl_histogram *h;
};

static void add_many(void *arg)
{
    struct work *w = arg;
    for (uint64_t i = 0; i < ADDS; i++) {
        shl_counter_add(w->c, 2);
        shl_gauge_add(w->g, i % 2 == 0 ? 3 : -1);
        shl_histogram_record(w->h, i);
        if (i % 1000 == 0)
            (void)shl_metrics_counter(w->m, "shared", "x", NULL, 0);
    }
}

static void test_no_record_is_lost_among_tasks(void **state)
{
    (void)state;
    struct work w = {.m = shl_metrics_new()};
    w.c = shl_metrics_counter(w.m, "c", "a counter", NULL, 0);
    w.g = shl_metrics_gauge(w.m, "g", "a gauge", NULL, 0);
    w.h = shl_metrics_histogram(w.m, "h", "a histogram", 1, NULL, 0);
    struct env_task *tasks[TASKS];
    for (size_t i = 0; i < TASKS; i++)
        assert_int_equal(env_task_spawn(&tasks[i], "add", add_many, &w), SHALE_OK);
    for (size_t i = 0; i < TASKS; i++)
        env_task_join(tasks[i]);
    assert_int_equal(shl_counter_value(w.c), 2 * TASKS * ADDS);
    assert_int_equal(shl_gauge_value(w.g), TASKS * ADDS);
    struct shl_histogram_summary s;
    shl_histogram_read(w.h, &s);
    assert_int_equal(s.count, TASKS * ADDS);
    assert_int_equal(s.sum, (uint64_t)TASKS * ADDS * (ADDS - 1) / 2);
    assert_int_equal(s.max, ADDS - 1);
    shl_metrics_free(w.m);
}

static void test_quantiles_are_within_a_bucket(void **state)
{
    (void)state;
    static const uint64_t factors[] = {1, 1000, UINT64_C(1) << 40};
    for (size_t f = 0; f < SHL_COUNT_OF(factors); f++) {
        struct shl_metrics *m = shl_metrics_new();
        struct shl_histogram *h = shl_metrics_histogram(m, "h", "", 1, NULL, 0);
        for (uint64_t i = 1; i <= 10000; i++)
            shl_histogram_record(h, i * factors[f]);
        struct shl_histogram_summary s;
        shl_histogram_read(h, &s);
        const uint64_t got[] = {s.p50, s.p99, s.p999}, want[] = {5000, 9900, 9990};
        for (size_t q = 0; q < 3; q++) {
            double off = (double)got[q] / ((double)want[q] * (double)factors[f]);
            if (off < 0.96 || off > 1.04)
                fail_msg("factor %zu quantile %zu: %f", f, q, off);
        }
        shl_metrics_free(m);
    }
}

static void test_histogram_borders(void **state)
{
    (void)state;
    struct shl_metrics *m = shl_metrics_new();
    struct shl_histogram *h = shl_metrics_histogram(m, "h", "", 1, NULL, 0);
    struct shl_histogram_summary s;
    shl_histogram_read(h, &s);
    assert_true(s.count == 0 && s.p50 == 0 && s.max == 0);
    shl_histogram_record(h, 7);
    shl_histogram_read(h, &s);
    assert_true(s.p50 == 7 && s.p99 == 7 && s.p999 == 7 && s.max == 7);
    shl_histogram_record(h, UINT64_MAX);
    shl_histogram_record(h, 0);
    shl_histogram_read(h, &s);
    assert_int_equal(s.count, 3);
    assert_true(s.p50 == 7 && s.max == UINT64_MAX && s.p999 > UINT64_MAX / 16 * 15);
    shl_histogram_record(NULL, 1);
    shl_counter_add(NULL, 1);
    shl_gauge_set(NULL, 1);
    shl_metrics_free(m);
    shl_metrics_free(NULL);
}

static void test_same_name_and_labels_is_the_same_metric(void **state)
{
    (void)state;
    struct shl_metrics *m = shl_metrics_new();
    const struct shl_label get = {"op", "get"}, put = {"op", "put"};
    struct shl_counter *c = shl_metrics_counter(m, "n", "help", &get, 1);
    assert_non_null(c);
    assert_ptr_equal(shl_metrics_counter(m, "n", "other help", &get, 1), c);
    assert_ptr_not_equal(shl_metrics_counter(m, "n", "help", &put, 1), c);
    assert_ptr_not_equal(shl_metrics_counter(m, "n", "help", NULL, 0), c);
    assert_null(shl_metrics_gauge(m, "n", "help", &get, 1));
    shl_metrics_free(m);
}

static struct shl_metrics *sample(void)
{
    struct shl_metrics *m = shl_metrics_new();
    const struct shl_label get = {"op", "get"}, odd = {"op", "a\"\\\nb"};
    shl_counter_add(shl_metrics_counter(m, "db.request_count", "Requests.", &get, 1), 5);
    shl_gauge_set(shl_metrics_gauge(m, "db.l0", "L0\\SSTs", NULL, 0), -3);
    shl_counter_add(shl_metrics_counter(m, "db.request_count", "Requests.", &odd, 1), 7);
    struct shl_histogram *h = shl_metrics_histogram(m, "db.wait_seconds", "Wait.", 0.5, &get, 1);
    for (uint64_t i = 0; i < 4; i++)
        shl_histogram_record(h, 2);
    return m;
}

static void test_prometheus_text(void **state)
{
    (void)state;
    struct shl_metrics *m = sample();
    struct shl_buf b = {0};
    shale_error err;
    assert_int_equal(shl_metrics_prometheus(m, &b, &err), SHALE_OK);
    assert_int_equal(shl_str_terminate(&b, &err), SHALE_OK);
    assert_string_equal((const char *)b.data, "# HELP db_request_count Requests.\n"
                                              "# TYPE db_request_count counter\n"
                                              "db_request_count{op=\"get\"} 5\n"
                                              "db_request_count{op=\"a\\\"\\\\\\nb\"} 7\n"
                                              "# HELP db_l0 L0\\\\SSTs\n"
                                              "# TYPE db_l0 gauge\n"
                                              "db_l0 -3\n"
                                              "# HELP db_wait_seconds Wait.\n"
                                              "# TYPE db_wait_seconds summary\n"
                                              "db_wait_seconds{op=\"get\",quantile=\"0.5\"} 1\n"
                                              "db_wait_seconds{op=\"get\",quantile=\"0.99\"} 1\n"
                                              "db_wait_seconds{op=\"get\",quantile=\"0.999\"} 1\n"
                                              "db_wait_seconds_sum{op=\"get\"} 4\n"
                                              "db_wait_seconds_count{op=\"get\"} 4\n"
                                              "# HELP db_wait_seconds_max Wait.\n"
                                              "# TYPE db_wait_seconds_max gauge\n"
                                              "db_wait_seconds_max{op=\"get\"} 1\n");
    shl_buf_free(&b);
    shl_metrics_free(m);
}

static void test_json_text(void **state)
{
    (void)state;
    struct shl_metrics *m = sample();
    struct shl_buf b = {0};
    shale_error err;
    assert_int_equal(shl_metrics_json(m, &b, &err), SHALE_OK);
    json_t *root;
    assert_int_equal(shl_json_parse(shl_buf_view(&b), &root, &err), SHALE_OK);
    const json_t *all = json_object_get(root, "metrics");
    assert_int_equal(json_array_size(all), 4);
    int64_t v;
    assert_true(shl_json_get_i64(json_array_get(all, 1), "value", &v) && v == -3);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(json_array_get(all, 2), "labels"), "op")),
        "a\"\\\nb");
    assert_true(shl_json_get_i64(json_array_get(all, 3), "count", &v) && v == 4);
    json_decref(root);
    shl_buf_free(&b);
    shl_metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_record_is_lost_among_tasks),
        cmocka_unit_test(test_quantiles_are_within_a_bucket),
        cmocka_unit_test(test_histogram_borders),
        cmocka_unit_test(test_same_name_and_labels_is_the_same_metric),
        cmocka_unit_test(test_prometheus_text),
        cmocka_unit_test(test_json_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
