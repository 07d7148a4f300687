/* Goal: URLs name the right bucket, path, region and endpoint, and bad ones say how to write them. Method: tables. */
#include "base/num.h"
#include "store/s3_url.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define R2 "https://acc.r2.cloudflarestorage.com"

static void expect_text(const char *url, const char *what, const char *want, const char *got)
{
    if ((want == NULL) != (got == NULL) || (want != NULL && strcmp(want, got) != 0))
        fail_msg("%s: %s: want %s, got %s", url, what, want != NULL ? want : "none",
                 got != NULL ? got : "none");
}

static void test_urls_name_bucket_path_region_and_endpoint(void **state)
{
    (void)state;
    static const struct {
        const char *url, *bucket, *path, *region, *endpoint;
    } rows[] = {
        {"s3://b", "b", "", NULL, NULL},
        {"s3://b/", "b", "", NULL, NULL},
        {"s3://b/p/q", "b", "p/q", NULL, NULL},
        {"s3://b/p/q/", "b", "p/q", NULL, NULL},
        {"s3a://b/p", "b", "p", NULL, NULL},
        {"S3://b/p", "b", "p", NULL, NULL},
        {"s3://", "", "", NULL, NULL},
        {"s3://b.with.dots/p", "b.with.dots", "p", NULL, NULL},
        {"s3://b/a%20b%2Bc%25", "b", "a b+c%", NULL, NULL},
        {"s3://b/a%2520b", "b", "a%20b", NULL, NULL}, /* decoded once */
        {"s3://b/a+b~c", "b", "a+b~c", NULL, NULL},
        {"s3://b/50%", "b", "50%", NULL, NULL},
        {"s3://b/%zz", "b", "%zz", NULL, NULL},
        {"s3://b/%C3%A9", "b", "\xc3\xa9", NULL, NULL},
        {"s3://b/a%23b%3Fc", "b", "a#b?c", NULL, NULL},
        {"https://s3.eu-west-1.amazonaws.com/b/p", "b", "p", "eu-west-1", NULL},
        {"https://s3.eu-west-1.amazonaws.com/b", "b", "", "eu-west-1", NULL},
        {"https://s3.amazonaws.com/b/p/q", "b", "p/q", NULL, NULL},
        {"https://b.s3.eu-west-1.amazonaws.com/p", "b", "p", "eu-west-1", NULL},
        {"https://b.s3.eu-west-1.amazonaws.com", "b", "", "eu-west-1", NULL},
        {"https://b.s3.amazonaws.com/p/q", "b", "p/q", NULL, NULL},
        {"https://b.with.dots.s3.us-east-2.amazonaws.com/p", "b.with.dots", "p", "us-east-2", NULL},
        {"https://s3.s3.us-east-2.amazonaws.com/p", "s3", "p", "us-east-2", NULL},
        {"https://a.s3.b.s3.us-east-2.amazonaws.com/p", "a.s3.b", "p", "us-east-2", NULL},
        {"https://s3.dualstack.eu-west-1.amazonaws.com/b/p", "b", "p", "eu-west-1",
         "https://s3.dualstack.eu-west-1.amazonaws.com"},
        {"https://b.s3.dualstack.eu-west-1.amazonaws.com/p", "b", "p", "eu-west-1",
         "https://s3.dualstack.eu-west-1.amazonaws.com"},
        {R2 "/b/p", "b", "p", "auto", R2},
        {R2 "/b", "b", "", "auto", R2},
        {"https://acc.eu.r2.cloudflarestorage.com/b/p%20q", "b", "p q", "auto",
         "https://acc.eu.r2.cloudflarestorage.com"},
        {"HTTPS://b.s3.eu-west-1.amazonaws.com/p", "b", "p", "eu-west-1", NULL},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct shl_s3_url u = {0};
        shale_error err;
        if (shl_s3_url_parse(rows[i].url, &u, &err) != SHALE_OK)
            fail_msg("%s: %s", rows[i].url, err.text);
        expect_text(rows[i].url, "bucket", rows[i].bucket, u.bucket);
        expect_text(rows[i].url, "path", rows[i].path, u.path);
        expect_text(rows[i].url, "region", rows[i].region, u.region);
        expect_text(rows[i].url, "endpoint", rows[i].endpoint, u.endpoint);
        shl_s3_url_deinit(&u);
        shl_s3_url_deinit(&u); /* {0} by now */
    }
}

static void test_bad_urls_say_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *url, *text;
    } rows[] = {
        {"s3:///p", "the bucket is missing"},
        {"s3://b/p?x=1", "%3F"},
        {"s3://b/p#x", "%23"},
        {"s3://b?x", "%3F"},
        {"s3://b//p", "b"},
        {"s3://b/p//q", "p//q"},
        {"s3://b/p/../q", ".."},
        {"s3://b/%2E%2E/q", ".."},
        {"s3://b/./q", "."},
        {"s3://b/%00", "%00"},
        {"s3://b/a%0Ab", "control"},
        {"s3://b/%FF", "UTF-8"},
        {"https://ec2.eu-west-1.amazonaws.com/b", "none of S3"},
        {"https://b.s3-eu-west-1.amazonaws.com/p", "none of S3"},
        {"https://s3.eu-west-1.amazonaws.com//p", "the bucket is missing"},
        {"https://.s3.eu-west-1.amazonaws.com/p", "the bucket is missing"},
        {R2 "/b/p?x", "%3F"},
        {"https://b.s3.eu-west-1.amazonaws.com/p?versionId=1", "%3F"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct shl_s3_url u = {0};
        shale_error err;
        if (shl_s3_url_parse(rows[i].url, &u, &err) != SHALE_INVALID)
            fail_msg("%s: taken", rows[i].url);
        if (strstr(err.text, rows[i].text) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].url, err.text, rows[i].text);
        assert_null(u.bucket);
    }
}

static void test_only_hosts_of_s3_are_taken_for_it(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool want;
    } rows[] = {
        {"https://s3.eu-west-1.amazonaws.com/b", true},
        {"https://b.s3.amazonaws.com", true},
        {R2, true},
        {"https://amazonaws.com/b", false},
        {"https://.amazonaws.com/b", false},
        {"https://example.com/b", false},
        {"https://example.com/.amazonaws.com", false},
        {"https://example.com?.amazonaws.com", false},
        {"https://example.com#.amazonaws.com", false},
        {"https://s3.amazonaws.com.example.com/b", false},
        {"https://evil-amazonaws.com/b", false},
        {"http://s3.amazonaws.com/b", false},
        {"s3://b", false},
        {"https://", false},
        {"https", false},
        {"", false},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++)
        if (shl_s3_url_is_https(rows[i].url) != rows[i].want)
            fail_msg("%s", rows[i].url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls_name_bucket_path_region_and_endpoint),
        cmocka_unit_test(test_bad_urls_say_what_is_wrong),
        cmocka_unit_test(test_only_hosts_of_s3_are_taken_for_it),
    };
    return cmocka_run_group_tests_name("s3 url", tests, NULL, NULL);
}
