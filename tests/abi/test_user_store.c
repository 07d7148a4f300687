/* Goal: a database lives in a store of callbacks, whole or only with its WAL, with all that belongs to it: writer, reader, collector, tail, inspection, raw objects.
 * Method: a list of objects under a lock, written with the public headers alone. */
#include <shale/shale.h>

#include <pthread.h>
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

/* ---- the store */

#define OBJECTS_MAX 200

struct object {
    char key[120];
    char *data;
    size_t len;
    unsigned version;
};

struct bag {
    pthread_mutex_t mu;
    struct object objects[OBJECTS_MAX]; /* ascending by key */
    size_t count;
    unsigned versions;
    bool refuses;        /* puts */
    bool nameless;       /* what is listed */
    int64_t modified_ms; /* of all */
};

static size_t place_of(const struct bag *b, const char *key)
{
    size_t i = 0;
    while (i < b->count && strcmp(b->objects[i].key, key) < 0)
        i++;
    return i;
}

static struct object *find(struct bag *b, const char *key)
{
    size_t i = place_of(b, key);
    return i < b->count && strcmp(b->objects[i].key, key) == 0 ? &b->objects[i] : NULL;
}

static void describe(const struct bag *b, const struct object *o, shale_object *out)
{
    out->size = o->len;
    out->modified_ms = b->modified_ms;
    (void)snprintf(out->etag, sizeof out->etag, "\"%u\"", o->version);
}

static bool may_put(const struct bag *b, const struct object *o, shale_put_mode mode,
                    const char *if_match, shale_code *why)
{
    shale_object there = {.size = 0};
    if (o != NULL)
        describe(b, o, &there);
    *why = mode == SHALE_PUT_CREATE ? SHALE_ALREADY_EXISTS : SHALE_PRECONDITION;
    if (mode == SHALE_PUT_CREATE)
        return o == NULL;
    return mode == SHALE_PUT_OVERWRITE || (o != NULL && strcmp(there.etag, if_match) == 0);
}

static struct object *insert(struct bag *b, const char *key)
{
    size_t at = place_of(b, key);
    if (b->count == OBJECTS_MAX || strlen(key) >= sizeof b->objects[0].key)
        return NULL;
    memmove(&b->objects[at + 1], &b->objects[at], (b->count - at) * sizeof b->objects[0]);
    b->count++;
    b->objects[at] = (struct object){.data = NULL};
    (void)snprintf(b->objects[at].key, sizeof b->objects[at].key, "%s", key);
    return &b->objects[at];
}

static shale_code bag_put(void *ctx, const char *key, const shale_slice *parts, size_t count,
                          shale_put_mode mode, const char *if_match, shale_object *out,
                          shale_error *why)
{
    struct bag *b = ctx;
    size_t len = 0;
    shale_code rc;
    (void)pthread_mutex_lock(&b->mu);
    struct object *o = find(b, key);
    if (b->refuses) {
        rc = SHALE_PERMISSION_DENIED;
        (void)snprintf(why->text, sizeof why->text, "the bag is tied up");
    } else if (may_put(b, o, mode, if_match, &rc)) {
        if (o == NULL)
            o = insert(b, key);
        for (size_t i = 0; i < count; i++)
            len += parts[i].len;
        char *data = malloc(len + 1);
        rc = o == NULL || data == NULL ? SHALE_NO_SPACE : SHALE_OK;
        if (rc == SHALE_OK) {
            free(o->data);
            *o = (struct object){.data = data, .version = ++b->versions};
            (void)snprintf(o->key, sizeof o->key, "%s", key);
            for (size_t i = 0; i < count; o->len += parts[i++].len)
                if (parts[i].len > 0)
                    memcpy(data + o->len, parts[i].data, parts[i].len);
            describe(b, o, out);
        }
    }
    (void)pthread_mutex_unlock(&b->mu);
    return rc;
}

static shale_code bag_get(void *ctx, const char *key, uint64_t offset, uint64_t len,
                          void (*emit)(void *emit_ctx, const void *data, size_t len),
                          void *emit_ctx, shale_object *out, shale_error *why)
{
    struct bag *b = ctx;
    (void)why;
    (void)pthread_mutex_lock(&b->mu);
    const struct object *o = find(b, key);
    if (o != NULL)
        describe(b, o, out);
    if (o != NULL && offset < o->len)
        emit(emit_ctx, o->data + offset,
             len < o->len - offset ? (size_t)len : o->len - (size_t)offset);
    (void)pthread_mutex_unlock(&b->mu);
    return o != NULL ? SHALE_OK : SHALE_NOT_FOUND;
}

static shale_code bag_head(void *ctx, const char *key, shale_object *out, shale_error *why)
{
    struct bag *b = ctx;
    (void)why;
    (void)pthread_mutex_lock(&b->mu);
    const struct object *o = find(b, key);
    if (o != NULL)
        describe(b, o, out);
    (void)pthread_mutex_unlock(&b->mu);
    return o != NULL ? SHALE_OK : SHALE_NOT_FOUND;
}

static shale_code bag_list(void *ctx, const char *prefix, const char *start_after,
                           bool (*visit)(void *visit_ctx, const shale_object *object),
                           void *visit_ctx, shale_error *why)
{
    struct bag *b = ctx;
    bool more = true;
    (void)prefix; /* what lies elsewhere is passed over */
    (void)why;
    (void)pthread_mutex_lock(&b->mu);
    for (size_t i = 0; i < b->count && more; i++) {
        shale_object o = {.key = b->objects[i].key};
        describe(b, &b->objects[i], &o);
        if (start_after != NULL && strcmp(o.key, start_after) <= 0)
            continue;
        if (b->nameless)
            o.key = NULL;
        more = visit(visit_ctx, &o);
    }
    (void)pthread_mutex_unlock(&b->mu);
    return SHALE_OK;
}

static shale_code bag_remove(void *ctx, const char *key, shale_error *why)
{
    struct bag *b = ctx;
    (void)why;
    (void)pthread_mutex_lock(&b->mu);
    struct object *o = find(b, key);
    if (o != NULL) {
        free(o->data);
        b->count--;
        memmove(o, o + 1, (size_t)(b->objects + b->count - o) * sizeof *o);
    }
    (void)pthread_mutex_unlock(&b->mu);
    return SHALE_OK;
}

static void bag_init(struct bag *b, shale_store_callbacks *out)
{
    *b = (struct bag){.modified_ms = 1};
    assert_int_equal(pthread_mutex_init(&b->mu, NULL), 0);
    shale_store_callbacks_init(out, sizeof *out);
    out->ctx = b;
    out->put = bag_put;
    out->get = bag_get;
    out->head = bag_head;
    out->list = bag_list;
    out->remove = bag_remove;
}

static void bag_deinit(struct bag *b)
{
    for (size_t i = 0; i < b->count; i++)
        free(b->objects[i].data);
    (void)pthread_mutex_destroy(&b->mu);
}

static size_t with(const struct bag *b, const char *word)
{
    size_t n = 0;
    for (size_t i = 0; i < b->count; i++)
        n += strstr(b->objects[i].key, word) != NULL;
    return n;
}

/* ---- the database */

static void expect_row(shale_db *db, const char *key, const char *value)
{
    shale_pinned found = {.seq = 0};
    ok(shale_db_get(&found, db, SHALE_STR(key), NULL, &err));
    assert_int_equal(found.value.len, strlen(value));
    assert_memory_equal(found.value.data, value, found.value.len);
    shale_pinned_release(&found);
}

static void use_all_of_it(const char *url, const shale_options *o)
{
    shale_db *db = NULL, *second = NULL;
    shale_wal *wal = NULL;
    shale_wal_batch batch;
    shale_gc *gc = NULL;
    shale_gc_report report;
    char *text;
    ok(shale_db_open(&db, url, o, &err));
    ok(shale_db_put(db, SHALE_STR("a"), SHALE_STR("1"), NULL, &err));
    ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
    ok(shale_db_put(db, SHALE_STR("b"), SHALE_STR("2"), NULL, &err));
    ok(shale_db_open_reader(&second, url, o, NULL, &err));
    expect_row(second, "a", "1");
    expect_row(second, "b", "2");
    ok(shale_db_close(second, &err));
    ok(shale_db_open(&second, url, o, &err)); /* fences, and replays the WAL */
    assert_int_equal(shale_db_put(db, SHALE_STR("c"), SHALE_STR("3"), NULL, &err), SHALE_FENCED);
    expect_row(second, "b", "2");
    ok(shale_db_close(db, &err));
    ok(shale_wal_open(&wal, url, o, &err));
    ok(shale_wal_read(&batch, wal, 2, &err));
    assert_int_equal(batch.count, 1);
    shale_wal_close(wal);
    ok(shale_admin_stat(&text, url, o, &err));
    shale_text_free(text);
    ok(shale_gc_open(&gc, url, o, NULL, &err));
    ok(shale_gc_run(&report, gc, &err));
    assert_int_equal(report.results[SHALE_GC_MANIFEST].code, SHALE_OK);
    shale_gc_close(gc);
    ok(shale_db_close(second, &err));
}

static bool first_key(void *ctx, const shale_object *object)
{
    (void)ctx;
    assert_int_equal(strncmp(object->key, "manifest/", 9), 0); /* below the folder */
    return false;
}

static void test_a_database_in_a_store_of_the_application(void **state)
{
    (void)state;
    for (int near = 0; near < 2; near++) {
        static struct bag bag;
        shale_store_callbacks callbacks;
        shale_options *o = shale_options_new();
        shale_store *raw = NULL;
        shale_db *db = NULL;
        bag_init(&bag, &callbacks);
        callbacks.is_near = near == 1;
        ok(shale_options_set_store_callbacks(o, SHALE_STORE_MAIN, &callbacks, &err));
        assert_int_equal(shale_db_open_reader(&db, "eu/orders", o, NULL, &err), SHALE_NOT_FOUND);
        assert_non_null(strstr(err.text, "the store of the application has no eu/orders/manifest"));
        use_all_of_it("eu/orders", o);
        assert_int_equal(with(&bag, "eu/orders/"), bag.count);
        assert_true(with(&bag, "eu/orders/wal/") >= 2);
        ok(shale_store_open(&raw, "eu/orders", o, &err));
        ok(shale_store_list(raw, "manifest", first_key, NULL, &err));
        shale_store_close(raw);
        bag.refuses = true;
        assert_int_equal(shale_db_open(&db, "eu/orders", o, &err), SHALE_PERMISSION_DENIED);
        assert_non_null(strstr(err.text, "the bag is tied up"));
        shale_options_free(o);
        bag_deinit(&bag);
    }
}

static void test_only_the_wal_lies_elsewhere(void **state)
{
    (void)state;
    static struct bag bag;
    shale_store_callbacks callbacks;
    shale_options *o = shale_options_new();
    shale_db *db = NULL;
    bag_init(&bag, &callbacks);
    ok(shale_options_set_store_callbacks(o, SHALE_STORE_WAL, &callbacks, &err));
    use_all_of_it("memory:///d?name=user-wal", o);
    assert_int_equal(with(&bag, "d/wal/"), bag.count);
    assert_true(bag.count >= 3); /* two fences and a row */
    ok(shale_db_open(&db, "memory:///d?name=user-wal", o, &err));
    ok(shale_db_put(db, SHALE_STR("c"), SHALE_STR("3"), NULL, &err));
    ok(shale_db_close_with(db, SHALE_CLOSE_WAL, &err));
    /* Without it the WAL is missing, and nobody writes over that. */
    assert_int_not_equal(shale_db_open(&db, "memory:///d?name=user-wal", NULL, &err), SHALE_OK);
    ok(shale_db_open(&db, "memory:///d?name=user-wal", o, &err));
    expect_row(db, "c", "3");
    ok(shale_db_close(db, &err));
    shale_options_free(o);
    bag_deinit(&bag);
}

static void lacks_its_wal(shale_code rc)
{
    assert_int_equal(rc, SHALE_CORRUPTION);
    assert_non_null(strstr(err.text, "is the WAL in another store"));
}

/* Nothing was flushed yet, so no manifest of a flush tells: who comes without that store must neither read what is there as all of it nor write over it. */
static void test_a_young_database_knows_where_its_wal_is(void **state)
{
    (void)state;
    static struct bag bag;
    static const char url[] = "memory:///d?name=young-wal", own[] = "memory:///f?name=young-own";
    const shale_clone_source source = {.url = url};
    shale_store_callbacks callbacks;
    shale_options *o = shale_options_new();
    shale_db *db = NULL;
    char *text;
    bag_init(&bag, &callbacks);
    ok(shale_options_set_store_callbacks(o, SHALE_STORE_WAL, &callbacks, &err));
    for (int times = 0; times < 2; times++) {
        shale_db *writer =
            NULL; /* as one that was killed: it writes no last manifest before the others look */
        ok(shale_db_open(&writer, url, o, &err));
        ok(shale_db_put(writer, SHALE_STR(times == 0 ? "a" : "b"), SHALE_STR("1"), NULL, &err));
        lacks_its_wal(shale_db_open(&db, url, NULL, &err));
        lacks_its_wal(shale_db_open_reader(&db, url, NULL, NULL, &err));
        assert_int_not_equal(
            shale_clone(NULL, "memory:///e?name=young-wal", &source, 1, NULL, &err), SHALE_OK);
        ok(shale_admin_stat(&text, url, NULL, &err));
        assert_non_null(strstr(text, "\"wal_is_missing\":true"));
        shale_text_free(text);
        ok(shale_admin_stat(&text, url, o, &err));
        assert_non_null(strstr(text, "\"wal_is_missing\":false"));
        shale_text_free(text);
        ok(shale_db_close_with(writer, SHALE_CLOSE_NOTHING, &err));
    }
    ok(shale_db_open_reader(&db, url, o, NULL, &err));
    expect_row(db, "a", "1");
    expect_row(db, "b", "1");
    ok(shale_db_close(db, &err));

    /* Deleted without that store, its rows must not come back. */
    ok(shale_delete(NULL, url, NULL, false, NULL, NULL, &err));
    assert_int_equal(shale_db_open(&db, url, o, &err), SHALE_INVALID);
    assert_non_null(strstr(err.text, "its WAL has rows"));
    shale_db *writer = NULL;
    ok(shale_db_open(&writer, own, NULL, &err));
    ok(shale_db_put(writer, SHALE_STR("c"), SHALE_STR("1"), NULL, &err));
    assert_int_equal(shale_db_open(&db, own, o, &err), SHALE_INVALID);
    assert_non_null(strstr(err.text, "has its WAL beside it"));
    expect_row(writer, "c", "1");
    ok(shale_db_close(writer, &err));
    shale_options_free(o);
    bag_deinit(&bag);
}

static void test_what_is_missing_is_told(void **state)
{
    (void)state;
    shale_store_callbacks c;
    shale_options *o = shale_options_new();
    shale_db *db = NULL;
    static struct bag bag;
    bag_init(&bag, &c);
    assert_int_equal(shale_options_set_store_callbacks(o, (shale_store_use)2, &c, &err),
                     SHALE_INVALID);
    c.list = NULL;
    assert_int_equal(shale_options_set_store_callbacks(o, SHALE_STORE_MAIN, &c, &err),
                     SHALE_INVALID);
    assert_non_null(strstr(err.text, "put, get, head, list and remove"));
    c.list = bag_list;
    ok(shale_options_set_store_callbacks(o, SHALE_STORE_MAIN, &c, &err));
    assert_int_equal(shale_db_open(&db, "a//b", o, &err), SHALE_INVALID);
    ok(shale_options_set_store_callbacks(o, SHALE_STORE_MAIN, NULL, &err));
    ok(shale_db_open(&db, "memory:", o, &err));
    ok(shale_db_close(db, &err));
    assert_int_equal(bag.count, 0);
    shale_options_free(o);
    bag_deinit(&bag);
}

static void test_what_makes_no_sense_is_told(void **state)
{
    (void)state;
    static struct bag bag;
    static const int64_t moments[] = {INT64_MAX, INT64_MIN, INT64_C(1790000000000000000)};
    shale_store_callbacks c;
    shale_options *o = shale_options_new();
    shale_db *db = NULL;
    bag_init(&bag, &c);
    ok(shale_options_set_store_callbacks(o, SHALE_STORE_MAIN, &c, &err));
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
        char url[8] = {(char)('a' + (char)i)};
        bag.modified_ms = moments[i];
        use_all_of_it(url, o);
    }
    bag.nameless = true;
    assert_int_equal(shale_db_open(&db, "a", o, &err), SHALE_INVALID);
    assert_non_null(strstr(err.text, "an object whose key is NULL"));
    shale_options_free(o);
    bag_deinit(&bag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_database_in_a_store_of_the_application),
        cmocka_unit_test(test_only_the_wal_lies_elsewhere),
        cmocka_unit_test(test_a_young_database_knows_where_its_wal_is),
        cmocka_unit_test(test_what_is_missing_is_told),
        cmocka_unit_test(test_what_makes_no_sense_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
