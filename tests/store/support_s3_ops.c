#include "store/support_s3_ops.h"

#include <stdio.h>

struct http_answer s3_error_of(const char *status, const char *code)
{
    static char bodies[16][200];
    static unsigned next;
    char *body = bodies[next++ % 16];
    snprintf(body, 200,
             XML "<Error><Code>%s</Code><Message>m</Message><RequestId>R1</RequestId></Error>",
             code);
    return (struct http_answer){.status = status, .body = body};
}

shale_code s3_put_plain(struct shl_store *s)
{
    return put_mode(s, ODD_KEY, "hello", SHL_PUT_OVERWRITE, NULL, NULL);
}

shale_code s3_put_create(struct shl_store *s)
{
    struct shl_put how = {.mode = SHL_PUT_CREATE, .put_id = PUT_ID};
    struct shl_slice body = shl_slice_str("x");
    struct shl_object o;
    shale_code rc = shl_store_put(s, "k", &body, 1, &how, &o, &test_err);
    if (rc == SHALE_OK) {
        assert_string_equal(o.put_id, PUT_ID);
        assert_string_equal(o.etag, "\"e1\"");
        assert_int_equal(o.size, 1);
    }
    return rc;
}

shale_code s3_put_if_match(struct shl_store *s)
{
    return put_mode(s, "k", "x", SHL_PUT_IF_MATCH, "\"old\"", NULL);
}

shale_code s3_get_how(struct shl_store *s, enum shl_get_kind kind, uint64_t offset, uint64_t len,
                      const char *if_none_match)
{
    struct shl_get how = {
        .kind = kind, .offset = offset, .len = len, .if_none_match = if_none_match};
    struct shl_buf body = {0};
    shale_code rc = shl_store_get(s, ODD_KEY, &how, &body, NULL, &test_err);
    shl_buf_free(&body);
    return rc;
}

shale_code s3_get_all(struct shl_store *s)
{
    return s3_get_how(s, SHL_GET_ALL, 0, 0, NULL);
}

shale_code s3_get_from(struct shl_store *s)
{
    return s3_get_how(s, SHL_GET_FROM, 3, 0, NULL);
}

shale_code s3_get_changed(struct shl_store *s)
{
    return s3_get_how(s, SHL_GET_ALL, 0, 0, "\"e0\"");
}

shale_code s3_get_range(struct shl_store *s)
{
    uint8_t a[2], b[3];
    struct shl_get_range r[] = {{.offset = 0, .len = 2, .dst = a},
                                {.offset = 2, .len = 3, .dst = b}};
    shale_code rc = shl_store_get_ranges(s, "k", r, 2, &test_err);
    if (rc == SHALE_OK) {
        assert_memory_equal(a, "he", 2);
        assert_memory_equal(b, "llo", 3);
    }
    return rc;
}

shale_code s3_head(struct shl_store *s)
{
    struct shl_object o;
    shale_code rc = shl_store_head(s, ODD_KEY, &o, &test_err);
    if (rc == SHALE_OK) {
        assert_int_equal(o.size, 12345);
        assert_string_equal(o.put_id, PUT_ID);
        assert_true(o.modified_ns == INT64_C(1445412480) * 1000000000);
    }
    return rc;
}

shale_code s3_delete_one(struct shl_store *s)
{
    return shl_store_delete(s, ODD_KEY, &test_err);
}

shale_code s3_delete_two(struct shl_store *s)
{
    static const char *const keys[] = {"a<&>\"b", "c/d"};
    return shl_store_delete_many(s, keys, 2, &test_err);
}

shale_code s3_list_how(struct shl_store *s, const struct shl_list_options *how)
{
    struct shl_list l = {0};
    shale_code rc = shl_store_list(s, how, &l, &test_err);
    shl_list_free(&l);
    return rc;
}

shale_code s3_list_all(struct shl_store *s)
{
    struct shl_list_options how = {0};
    return s3_list_how(s, &how);
}

shale_code s3_copy_plain(struct shl_store *s)
{
    return shl_store_copy(s, ODD_KEY, "to", false, &test_err);
}

shale_code s3_upload_two_parts(struct shl_store *s)
{
    struct shl_upload *u;
    struct shl_object o;
    struct shl_slice one = shl_slice_str("part one"), two = shl_slice_str("two");
    expect_code(SHALE_OK, shl_store_upload_start(s, ODD_KEY, &u, &test_err));
    expect_code(SHALE_OK, shl_store_upload_part(s, u, 1, &two, 1, &test_err));
    expect_code(SHALE_OK, shl_store_upload_part(s, u, 0, &one, 1, &test_err));
    shale_code rc = shl_store_upload_complete(s, u, &o, &test_err);
    if (rc != SHALE_OK) {
        shale_error kept = test_err;
        shl_store_upload_abort(s, u);
        test_err = kept;
        return rc;
    }
    assert_int_equal(o.size, 11);
    return rc;
}

shale_code s3_copy_create(struct shl_store *s)
{
    return shl_store_copy(s, ODD_KEY, "to", true, &test_err);
}
