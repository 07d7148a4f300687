/* The contract of stores on a real S3 server: SHALE_TEST_URL=s3://bucket/prefix names where, the AWS_ variables whose it is. Without it every case is
 * skipped. Method: each check runs below a fresh prefix, which is emptied afterwards; once on the bare backend, once under the retry wrapper. */
#include "store/support_conformance.h"

#include "base/env/env.h"
#include "base/num.h"
#include "store/open.h"
#include "store/wrap_prefix.h"
#include "store/wrap_retry.h"
#include <stdio.h>
#include <stdlib.h>

#define S3_PART_MIN (5u << 20)

static struct shl_store *opened; /* the bucket or prefix of SHALE_TEST_URL */
static unsigned made;
static char run_id[32];

static struct shl_store *below(struct shl_store *take_s)
{
    char prefix[64];
    struct shl_store *out;
    snprintf(prefix, sizeof prefix, "conformance-%s-%u", run_id, made++);
    expect_code(SHALE_OK, shl_store_prefix_new(&out, take_s, prefix, &test_err));
    shl_store_unref(take_s);
    return out;
}

static struct shl_store *make_bare(const struct store_maker *maker, const char *dir)
{
    (void)maker;
    (void)dir;
    return below(shl_store_ref(opened));
}

static struct shl_store *make_retried(const struct store_maker *maker, const char *dir)
{
    static const struct shl_retry_options options = {.max_retries = 20};
    struct shl_store *out;
    (void)maker;
    (void)dir;
    expect_code(SHALE_OK, shl_store_retry_new(&out, opened, &options, &test_err));
    return below(out);
}

/* ---- what only a bucket over the network has */

static void test_put_id_comes_back_with_head(void **state)
{
    (void)state;
    struct shl_store *s = make_bare(NULL, NULL);
    struct shl_put how = {.mode = SHL_PUT_CREATE, .put_id = "01J79B0000000000000000C0Q2"};
    struct shl_slice body = shl_slice_str("x");
    struct shl_object o;
    expect_code(SHALE_OK, shl_store_put(s, "k", &body, 1, &how, &o, &test_err));
    expect_code(SHALE_OK, shl_store_head(s, "k", &o, &test_err));
    assert_string_equal(o.put_id, how.put_id);
    shl_store_unref(s);
}

/* Pages of 1,000 keys: three of them, and deletes in batches of 1,000. */
static void test_many_keys_take_several_pages(void **state)
{
    (void)state;
    enum { KEYS = 2100, TASKS = 16 };
    struct shl_store *s = make_retried(NULL, NULL);
    struct shl_list l = {0};
    struct shl_list_options how = {.prefix = "many"};
    const char **keys = calloc(KEYS, sizeof *keys);
    assert_non_null(keys);
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        snprintf(key, sizeof key, "many/%04d", i);
        put_text(s, key, "");
    }
    expect_code(SHALE_OK, shl_store_list(s, &how, &l, &test_err));
    assert_int_equal(l.count, KEYS);
    for (size_t i = 0; i < l.count; i++) {
        keys[i] = l.items[i].key;
        if (i > 0)
            assert_true(strcmp(keys[i - 1], keys[i]) < 0);
    }
    expect_code(SHALE_OK, shl_store_delete_many(s, keys, KEYS, &test_err));
    expect_keys(s, NULL, "");
    shl_list_free(&l);
    free(keys);
    shl_store_unref(s);
}

struct getter {
    struct shl_store *s;
    shale_code rc;
};
enum { GETTERS = 32, GETS = 40, RANGES = 8, BIG = 1 << 20 };

static uint8_t big_byte(size_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

static void get_pieces(void *arg)
{
    struct getter *g = arg;
    uint8_t data[RANGES][1000];
    shale_error err;
    g->rc = SHALE_OK;
    for (size_t n = 0; n < GETS && g->rc == SHALE_OK; n++) {
        struct shl_get_range ranges[RANGES];
        for (size_t i = 0; i < RANGES; i++)
            ranges[i] = (struct shl_get_range){.offset = (n * 7919 + i * 131071) % (BIG - 1000),
                                               .len = sizeof data[i],
                                               .dst = data[i]};
        g->rc = shl_store_get_ranges(g->s, "big", ranges, RANGES, &err);
        for (size_t i = 0; i < RANGES && g->rc == SHALE_OK; i++)
            for (size_t k = 0; k < sizeof data[i]; k++)
                if (data[i][k] != big_byte(ranges[i].offset + k))
                    g->rc = SHALE_CORRUPTION;
    }
}

/* 256 ranges under way at once, from 32 threads. */
static void test_256_requests_are_under_way_at_once(void **state)
{
    (void)state;
    struct shl_store *s = make_retried(NULL, NULL);
    struct getter getters[GETTERS];
    uint8_t *bytes = malloc(BIG);
    assert_non_null(bytes);
    for (size_t i = 0; i < BIG; i++)
        bytes[i] = big_byte(i);
    struct shl_slice body = shl_slice_of(bytes, BIG);
    struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    expect_code(SHALE_OK, shl_store_put(s, "big", &body, 1, &how, NULL, &test_err));
    for (size_t i = 0; i < GETTERS; i++)
        getters[i] = (struct getter){.s = s};
    run_tasks(get_pieces, getters, sizeof *getters, GETTERS);
    for (size_t i = 0; i < GETTERS; i++)
        assert_int_equal(getters[i].rc, SHALE_OK);
    free(bytes);
    shl_store_unref(s);
}

/* ---- the run */

static void empty_everything(void)
{
    struct shl_list l = {0};
    struct shl_list_options how = {0};
    if (shl_store_list(opened, &how, &l, &test_err) != SHALE_OK) {
        print_error("cleaning: %s\n", test_err.text);
        return;
    }
    const char **keys = calloc(l.count + 1, sizeof *keys);
    size_t n = 0;
    for (size_t i = 0; keys != NULL && i < l.count; i++)
        if (strncmp(l.items[i].key, "conformance-", 12) == 0 &&
            strstr(l.items[i].key, run_id) != NULL)
            keys[n++] = l.items[i].key;
    if (n > 0 && shl_store_delete_many(opened, keys, n, &test_err) != SHALE_OK)
        print_error("cleaning: %s\n", test_err.text);
    free(keys);
    shl_list_free(&l);
}

static void test_skipped(void **state)
{
    (void)state;
    print_message("SHALE_TEST_URL is not set: no S3 server to try\n");
    skip();
}

int main(void)
{
    static const struct store_maker makers[] = {
        {.name = "s3", .make = make_bare, .part_unit = S3_PART_MIN, .etag_is_digest = true},
        {.name = "s3 with retries",
         .make = make_retried,
         .part_unit = S3_PART_MIN,
         .etag_is_digest = true}};
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_id_comes_back_with_head),
        cmocka_unit_test(test_many_keys_take_several_pages),
        cmocka_unit_test(test_256_requests_are_under_way_at_once),
    };
    static const struct CMUnitTest none[] = {cmocka_unit_test(test_skipped)};
    const char *url = getenv("SHALE_TEST_URL");
    const struct shl_store_config config = {0};
    if (url == NULL || url[0] == '\0')
        return cmocka_run_group_tests_name("s3", none, NULL, NULL);
    snprintf(run_id, sizeof run_id, "%llx", (unsigned long long)env_rand64());
    if (shl_store_open_raw(url, &config, &opened, &test_err) != SHALE_OK) {
        print_error("%s: %s\n", url, test_err.text);
        return 1;
    }
    int failed = conformance_main("s3", makers, SHL_COUNT_OF(makers), tests, SHL_COUNT_OF(tests));
    empty_everything();
    shl_store_unref(opened);
    return failed;
}
