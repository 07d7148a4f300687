/* Goal: the store in memory keeps the contract of store.h, and named ones are shared. Method: the conformance suite, and the
 * facts of object-stores 3. */
#include "store/memory.h"
#include "store/support_conformance.h"
#include "base/num.h"

static struct shl_store *make_memory(const struct store_maker *maker, const char *dir)
{
    struct shl_store *s = NULL;
    (void)maker;
    (void)dir;
    expect_code(SHALE_OK, shl_store_memory_new(&s, &test_err));
    return s;
}

static void test_etags_count_up_and_put_ids_are_kept(void **state)
{
    (void)state;
    static const char id[] = "01J79C0000000000000000000Q";
    struct shl_store *s = make_memory(NULL, NULL);
    struct shl_slice body = shl_slice_str("x");
    struct shl_put how = {.mode = SHL_PUT_CREATE, .put_id = id};
    struct shl_object o;
    expect_code(SHALE_OK, shl_store_put(s, "a", &body, 1, &how, &o, &test_err));
    assert_string_equal(o.etag, "\"0\"");
    expect_code(SHALE_ALREADY_EXISTS, shl_store_put(s, "a", &body, 1, &how, &o, &test_err));
    expect_code(SHALE_OK, shl_store_head(s, "a", &o, &test_err));
    assert_string_equal(o.put_id, id);
    put_text(s, "a", "y");
    expect_code(SHALE_OK, shl_store_head(s, "a", &o, &test_err));
    assert_string_equal(o.etag, "\"1\""); /* a put that failed used up none */
    assert_string_equal(o.put_id, "");
    how.put_id = "short";
    expect_code(SHALE_INVALID, shl_store_put(s, "b", &body, 1, &how, &o, &test_err));
    shl_store_unref(s);
}

static void test_named_stores_are_shared_and_outlive_their_handles(void **state)
{
    (void)state;
    struct shl_store *a;
    struct shl_store *b;
    struct shl_store *c;
    expect_code(SHALE_OK, shl_store_memory_named(&a, "x", &test_err));
    expect_code(SHALE_OK, shl_store_memory_named(&b, "x", &test_err));
    expect_code(SHALE_OK, shl_store_memory_named(&c, "y", &test_err));
    assert_ptr_equal(a, b);
    put_text(a, "k", "v");
    expect_keys(c, NULL, "");
    shl_store_unref(a);
    shl_store_unref(b);
    expect_code(SHALE_OK, shl_store_memory_named(&a, "x", &test_err));
    expect_text(a, "k", "v");
    shl_store_memory_forget("x");
    expect_text(a, "k", "v"); /* this handle still has it */
    expect_code(SHALE_OK, shl_store_memory_named(&b, "x", &test_err));
    expect_keys(b, NULL, "");
    shl_store_memory_forget("x");
    shl_store_memory_forget("y");
    shl_store_memory_forget("never was");
    shl_store_unref(a);
    shl_store_unref(b);
    shl_store_unref(c);
}

int main(void)
{
    static const struct store_maker makers[] = {{.name = "memory", .make = make_memory}};
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_etags_count_up_and_put_ids_are_kept),
        cmocka_unit_test(test_named_stores_are_shared_and_outlive_their_handles),
    };
    return conformance_main("memory", makers, SHL_COUNT_OF(makers), tests, SHL_COUNT_OF(tests));
}
