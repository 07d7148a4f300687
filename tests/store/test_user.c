/* Goal: a store of callbacks keeps the contract of store.h, and takes what is wrong with the callbacks as errors.
 * Method: the conformance suite over callbacks that stand on the store in memory; callbacks that answer nonsense. */
#include "api/user_store.h"
#include "base/num.h"
#include "store/memory.h"
#include "store/support_conformance.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- callbacks over the store in memory */

struct under {
    struct shl_store *memory;
    size_t piece_bytes; /* a get hands its bytes over in pieces of so many */
};

static void tell(shale_error *err, const char *text)
{
    (void)snprintf(err->text, sizeof err->text, "%s", text);
}

static void describe(const struct shl_object *o, shale_object *out)
{
    out->size = o->size;
    out->modified_ms = o->modified_ns / 1000000;
    memcpy(out->etag, o->etag, sizeof out->etag);
}

static shale_code put(void *ctx, const char *key, const shale_slice *parts, size_t count,
                      shale_put_mode mode, const char *if_match, shale_object *out,
                      shale_error *err)
{
    const struct under *u = ctx;
    struct shl_slice *mine = calloc(count + 1, sizeof *mine);
    struct shl_put how = {.mode = (enum shl_put_mode)mode, .if_match = if_match};
    struct shl_object o;
    for (size_t i = 0; i < count; i++)
        mine[i] = shl_slice_of(parts[i].data, parts[i].len);
    shale_code rc = shl_store_put(u->memory, key, mine, count, &how, &o, err);
    if (rc == SHALE_OK)
        describe(&o, out);
    free(mine);
    return rc;
}

static shale_code get(void *ctx, const char *key, uint64_t offset, uint64_t len,
                      void (*emit)(void *emit_ctx, const void *data, size_t len), void *emit_ctx,
                      shale_object *out, shale_error *err)
{
    const struct under *u = ctx;
    struct shl_buf body = {0};
    struct shl_object o;
    shale_code rc = shl_store_get(u->memory, key, NULL, &body, &o, err);
    if (rc == SHALE_OK) {
        describe(&o, out);
        uint64_t end = offset < body.len ? offset + shl_min_u64(len, body.len - offset) : 0;
        for (uint64_t at = offset; at < end; at += u->piece_bytes)
            emit(emit_ctx, body.data + at, shl_min_size(u->piece_bytes, (size_t)(end - at)));
    }
    shl_buf_free(&body);
    return rc;
}

static shale_code head(void *ctx, const char *key, shale_object *out, shale_error *err)
{
    const struct under *u = ctx;
    struct shl_object o;
    shale_code rc = shl_store_head(u->memory, key, &o, err);
    if (rc == SHALE_OK)
        describe(&o, out);
    return rc;
}

/* All there is, whatever was asked for. */
static shale_code list(void *ctx, const char *prefix, const char *start_after,
                       bool (*visit)(void *visit_ctx, const shale_object *object), void *visit_ctx,
                       shale_error *err)
{
    const struct under *u = ctx;
    struct shl_list all = {0};
    (void)prefix;
    (void)start_after;
    shale_code rc = shl_store_list(u->memory, &(struct shl_list_options){0}, &all, err);
    for (size_t i = 0; i < all.count; i++) {
        const shale_object o = {.key = all.items[i].key,
                                .size = all.items[i].size,
                                .modified_ms = all.items[i].modified_ns / 1000000};
        if (!visit(visit_ctx, &o))
            break;
    }
    shl_list_free(&all);
    return rc;
}

static shale_code drop(void *ctx, const char *key, shale_error *err)
{
    const struct under *u = ctx;
    shale_object o;
    shale_code rc = head(ctx, key, &o, err);
    return rc != SHALE_OK ? rc : shl_store_delete(u->memory, key, err);
}

static struct under under = {.piece_bytes = 3};
static const shale_store_callbacks callbacks = {.struct_size = sizeof callbacks,
                                                .ctx = &under,
                                                .put = put,
                                                .get = get,
                                                .head = head,
                                                .list = list,
                                                .remove = drop};

static struct shl_store *make_user(const struct store_maker *maker, const char *dir)
{
    struct shl_store *s = NULL;
    (void)maker;
    (void)dir;
    shl_store_unref(under.memory);
    expect_code(SHALE_OK, shl_store_memory_new(&under.memory, &test_err));
    expect_code(SHALE_OK, shl_api_user_store_new(&callbacks, &s, &test_err));
    return s;
}

/* ---- callbacks that are wrong */

static shale_code answer; /* what all of them say */
static const char *text;
static size_t surplus; /* bytes that a get gives beyond what was asked for; SIZE_MAX: none at all */

static shale_code bad_put(void *ctx, const char *key, const shale_slice *parts, size_t count,
                          shale_put_mode mode, const char *if_match, shale_object *out,
                          shale_error *err)
{
    (void)ctx, (void)key, (void)parts, (void)count, (void)mode, (void)if_match, (void)out;
    if (text != NULL)
        tell(err, text);
    return answer;
}

static shale_code bad_get(void *ctx, const char *key, uint64_t offset, uint64_t len,
                          void (*emit)(void *emit_ctx, const void *data, size_t len),
                          void *emit_ctx, shale_object *out, shale_error *err)
{
    static const char zeros[64];
    (void)ctx, (void)key, (void)offset, (void)err;
    out->size = 100;
    if (surplus != SIZE_MAX)
        emit(emit_ctx, zeros, (size_t)len + surplus);
    return SHALE_OK;
}

static shale_code bad_list(void *ctx, const char *prefix, const char *start_after,
                           bool (*visit)(void *visit_ctx, const shale_object *object),
                           void *visit_ctx, shale_error *err)
{
    (void)ctx, (void)prefix, (void)start_after, (void)err;
    if (visit(visit_ctx, &(shale_object){.key = "b"}))
        (void)visit(visit_ctx, &(shale_object){.key = "a"});
    return SHALE_OK;
}

static void test_mistakes_of_callbacks_are_errors(void **state)
{
    (void)state;
    const shale_store_callbacks bad = {.struct_size = sizeof bad,
                                       .put = bad_put,
                                       .get = bad_get,
                                       .head = head,
                                       .list = bad_list,
                                       .remove = drop};
    struct shl_store *s = NULL;
    struct shl_list found = {0};
    uint8_t bytes[8];
    const struct shl_get_range range = {.offset = 2, .len = sizeof bytes, .dst = bytes};
    expect_code(SHALE_OK, shl_api_user_store_new(&bad, &s, &test_err));
    answer = SHALE_UNAVAILABLE;
    expect_code(SHALE_UNAVAILABLE, put_mode(s, "k", "v", SHL_PUT_OVERWRITE, NULL, NULL));
    assert_non_null(strstr(test_err.text, "put \"k\": UNAVAILABLE"));
    text = "the queue is full";
    expect_code(SHALE_UNAVAILABLE, put_mode(s, "k", "v", SHL_PUT_OVERWRITE, NULL, NULL));
    assert_string_equal(test_err.text, "the queue is full");
    answer = (shale_code)77;
    expect_code(SHALE_INVALID, put_mode(s, "k", "v", SHL_PUT_OVERWRITE, NULL, NULL));
    assert_non_null(strstr(test_err.text, "answered 77, which is no failure"));
    surplus = 1;
    expect_code(SHALE_INVALID, shl_store_get_ranges(s, "k", &range, 1, &test_err));
    assert_non_null(strstr(test_err.text, "more than"));
    surplus = SIZE_MAX;
    expect_code(SHALE_INVALID, shl_store_get_ranges(s, "k", &range, 1, &test_err));
    assert_non_null(strstr(test_err.text, "gave 0 bytes of the 8 from 2 on of an object of 100"));
    expect_code(SHALE_INVALID, shl_store_list(s, &(struct shl_list_options){0}, &found, &test_err));
    assert_non_null(strstr(test_err.text, "\"a\" behind \"b\", out of order"));
    assert_int_equal(found.count, 0);
    shl_store_unref(s);
}

int main(void)
{
    const struct store_maker makers[] = {{.name = "user", .make = make_user}};
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mistakes_of_callbacks_are_errors)};
    int failed = conformance_main("user", makers, 1, tests, SHL_COUNT_OF(tests));
    shl_store_unref(under.memory);
    return failed;
}
