/* Goal: the doctor passes good stores, and each promise that a store breaks makes the finding of that name FAIL. Method: memory and a folder as
 * they are; then memory behind a wrapper that breaks one promise at a time. */
#include "store/doctor.h"
#include "store/file.h"
#include "store/memory.h"
#include "store/support_conformance.h"
#include "store/wrap.h"
#include "store/wrap_fault.h"
#include "base/env/env.h"
#include "base/num.h"
#include <stdio.h>

/* ---- a store that breaks a promise */

enum promise {
    KEEPS_ALL,
    IGNORES_CREATE,
    IGNORES_IF_MATCH,
    LISTS_LATE,
    KEEPS_DELETED,
    PAST_THE_END,
    DENIES_WRITES,
    NO_MARKS,
    RACES
};

struct breaker {
    struct shl_wrap wrap;
    enum promise broken;
};

static struct breaker *breaker_of(struct shl_store *s)
{
    return (struct breaker *)s;
}

static shale_code on_put(struct shl_store *s, const char *key, const struct shl_slice *parts,
                         size_t count, const struct shl_put *how, struct shl_object *out,
                         shale_error *err)
{
    struct shl_put mine = *how;
    enum promise broken = breaker_of(s)->broken;
    struct shl_object there;
    if (broken == DENIES_WRITES)
        return shl_fail(err, SHALE_PERMISSION_DENIED, "access denied: s3:PutObject on \"%s\"", key);
    if ((broken == IGNORES_CREATE && how->mode == SHL_PUT_CREATE) ||
        (broken == IGNORES_IF_MATCH && how->mode == SHL_PUT_IF_MATCH))
        mine = (struct shl_put){.mode = SHL_PUT_OVERWRITE};
    /* Looks first and writes then: right as long as nobody else does the same. */
    if (broken == RACES && how->mode == SHL_PUT_CREATE) {
        if (shl_store_head(shl_wrap_inner(s), key, &there, err) == SHALE_OK)
            return shl_fail(err, SHALE_ALREADY_EXISTS, "\"%s\" exists", key);
        env_sleep_ns(20 * ENV_NS_PER_MS);
        mine = (struct shl_put){.mode = SHL_PUT_OVERWRITE};
    }
    if (broken == NO_MARKS)
        mine.put_id = NULL;
    return shl_store_put(shl_wrap_inner(s), key, parts, count, &mine, out, err);
}

static shale_code on_get(struct shl_store *s, const char *key, const struct shl_get *how,
                         struct shl_buf *body, struct shl_object *out, shale_error *err)
{
    return shl_store_get(shl_wrap_inner(s), key, how, body, out, err);
}

static shale_code on_ranges(struct shl_store *s, const char *key,
                            const struct shl_get_range *ranges, size_t count, shale_error *err)
{
    shale_code rc = shl_store_get_ranges(shl_wrap_inner(s), key, ranges, count, err);
    return rc == SHALE_INVALID_RANGE && breaker_of(s)->broken == PAST_THE_END ? SHALE_OK : rc;
}

static shale_code on_head(struct shl_store *s, const char *key, struct shl_object *out,
                          shale_error *err)
{
    return shl_store_head(shl_wrap_inner(s), key, out, err);
}

static shale_code on_list(struct shl_store *s, const struct shl_list_options *how,
                          struct shl_list *out, shale_error *err)
{
    if (breaker_of(s)->broken == LISTS_LATE)
        return SHALE_OK;
    return shl_store_list(shl_wrap_inner(s), how, out, err);
}

static shale_code on_delete(struct shl_store *s, const char *const *keys, size_t count,
                            shale_error *err)
{
    if (breaker_of(s)->broken == KEEPS_DELETED)
        return SHALE_OK;
    return shl_store_delete_many(shl_wrap_inner(s), keys, count, err);
}

static shale_code on_copy(struct shl_store *s, const char *from, const char *to, bool create_only,
                          shale_error *err)
{
    return shl_store_copy(shl_wrap_inner(s), from, to, create_only, err);
}

static shale_code on_start(struct shl_store *s, const char *key, struct shl_upload **out,
                           shale_error *err)
{
    return shl_wrap_upload_start(s, key, sizeof(struct shl_wrap_upload), out, err);
}

static void on_destroy(struct shl_store *s)
{
    shl_wrap_deinit(&breaker_of(s)->wrap);
    env_free(s);
}

static const struct shl_store_ops breaker_ops = {.put = on_put,
                                                 .get = on_get,
                                                 .get_ranges = on_ranges,
                                                 .head = on_head,
                                                 .list = on_list,
                                                 .delete_many = on_delete,
                                                 .copy = on_copy,
                                                 .upload_start = on_start,
                                                 .upload_part = shl_wrap_upload_part,
                                                 .upload_complete = shl_wrap_upload_complete,
                                                 .upload_abort = shl_wrap_upload_abort,
                                                 .destroy = on_destroy};

static struct shl_store *memory_that(enum promise broken)
{
    struct shl_store *inner = NULL;
    struct breaker *b = env_calloc(1, sizeof *b);
    assert_non_null(b);
    expect_code(SHALE_OK, shl_store_memory_new(&inner, &test_err));
    expect_code(SHALE_OK, shl_wrap_init(&b->wrap, inner, &breaker_ops, &test_err));
    shl_store_unref(inner);
    b->broken = broken;
    return &b->wrap.base;
}

/* ---- visits */

struct seen {
    struct shl_finding all[24];
    size_t count;
    size_t stop_at; /* 0: never */
};

static bool on_finding(void *ctx, const struct shl_finding *f)
{
    struct seen *seen = ctx;
    assert_true(seen->count < SHL_COUNT_OF(seen->all));
    seen->all[seen->count++] = *f;
    return seen->stop_at == 0 || seen->count < seen->stop_at;
}

static const struct shl_finding *found(const struct seen *seen, const char *what)
{
    for (size_t i = 0; i < seen->count; i++)
        if (strcmp(seen->all[i].what, what) == 0)
            return &seen->all[i];
    return NULL;
}

static void visit(struct shl_store *s, struct seen *seen)
{
    const struct shl_doctor d = {
        .store = s, .part_bytes = 1000, .racers = 8, .visit = on_finding, .ctx = seen};
    expect_code(SHALE_OK, shl_store_doctor(&d, &test_err));
}

static void expect_empty(struct shl_store *s)
{
    struct shl_list list = {0};
    expect_code(SHALE_OK, shl_store_list(s, &(struct shl_list_options){0}, &list, &test_err));
    assert_int_equal(list.count, 0);
    shl_list_free(&list);
}

static void expect_well(struct shl_store *s)
{
    struct seen seen = {0};
    visit(s, &seen);
    for (size_t i = 0; i < seen.count; i++)
        if (seen.all[i].health != SHL_HEALTH_OK)
            fail_msg("%s: %s", seen.all[i].what, seen.all[i].measured);
    assert_non_null(found(&seen, "create-only put"));
    assert_non_null(found(&seen, "if-match put"));
    assert_non_null(found(&seen, "delete"));
    expect_empty(s);
}

static void test_good_stores_are_well_and_left_empty(void **state)
{
    (void)state;
    struct shl_store *s = NULL;
    char *dir = temp_dir_new();
    struct shl_file_options o = {.create_root = true};
    expect_code(SHALE_OK, shl_store_memory_new(&s, &test_err));
    expect_well(s);
    shl_store_unref(s);
    s = memory_that(KEEPS_ALL);
    expect_well(s);
    shl_store_unref(s);
    expect_code(SHALE_OK, shl_store_file_new(&s, dir, &o, &test_err));
    expect_well(s);
    shl_store_unref(s);
    temp_dir_free(dir);
}

static void test_each_broken_promise_fails_by_name(void **state)
{
    (void)state;
    static const struct {
        enum promise broken;
        const char *what;
        enum shl_health health;
    } rows[] = {{IGNORES_CREATE, "create-only put", SHL_HEALTH_FAIL},
                {IGNORES_IF_MATCH, "if-match put", SHL_HEALTH_FAIL},
                {RACES, "create-only put", SHL_HEALTH_FAIL},
                {LISTS_LATE, "list", SHL_HEALTH_FAIL},
                {KEEPS_DELETED, "delete", SHL_HEALTH_FAIL},
                {PAST_THE_END, "ranges", SHL_HEALTH_FAIL},
                {DENIES_WRITES, "write", SHL_HEALTH_FAIL},
                {NO_MARKS, "metadata", SHL_HEALTH_WARN}};
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct shl_store *s = memory_that(rows[i].broken);
        struct seen seen = {0};
        visit(s, &seen);
        const struct shl_finding *f = found(&seen, rows[i].what);
        if (f == NULL || f->health != rows[i].health)
            fail_msg("%s (promise %d): %s", rows[i].what, (int)rows[i].broken,
                     f != NULL ? f->measured : "no finding");
        for (size_t k = 0; k < seen.count; k++)
            if (&seen.all[k] != f && seen.all[k].health == SHL_HEALTH_FAIL)
                fail_msg("promise %d also fails %s: %s", (int)rows[i].broken, seen.all[k].what,
                         seen.all[k].measured);
        shl_store_unref(s);
    }
}

/* Without the right to write the others are still looked at, and nothing is claimed that was not tried. */
static void test_rights_are_told_apart(void **state)
{
    (void)state;
    struct shl_store *s = memory_that(DENIES_WRITES);
    struct seen seen = {0};
    visit(s, &seen);
    assert_int_equal(found(&seen, "list")->health, SHL_HEALTH_OK);
    for (size_t i = 0; i < 2; i++) {
        const struct shl_finding *f = found(&seen, i == 0 ? "read" : "delete");
        assert_int_equal(f->health, SHL_HEALTH_WARN);
        assert_non_null(strstr(f->measured, "not tried"));
    }
    assert_null(found(&seen, "create-only put"));
    assert_non_null(strstr(found(&seen, "write")->measured, "s3:PutObject"));
    shl_store_unref(s);
}

static void test_a_stop_tidies_up(void **state)
{
    (void)state;
    for (size_t at = 1; at < 12; at++) {
        struct shl_store *s = memory_that(KEEPS_ALL);
        struct seen seen = {.stop_at = at};
        visit(s, &seen);
        assert_int_equal(seen.count, at);
        expect_empty(s);
        shl_store_unref(s);
    }
}

/* Faults at every place: never a crash, never an error but that of a store without memory. */
static void test_faults_become_findings(void **state)
{
    (void)state;
    for (uint64_t nth = 0; nth < 60; nth++) {
        struct shl_store *inner = memory_that(KEEPS_ALL);
        struct shl_store *s = NULL;
        struct seen seen = {0};
        const struct shl_fault_rule rule = {.effect = SHL_FAULT_BEFORE, .nth = nth};
        expect_code(SHALE_OK, shl_store_fault_new(&s, inner, 7, &test_err));
        (void)shl_store_fault_add(s, &rule);
        visit(s, &seen);
        assert_true(seen.count > 3);
        shl_store_unref(s);
        shl_store_unref(inner);
    }
}

static void test_the_check_before_a_new_database(void **state)
{
    (void)state;
    struct shl_store *s = memory_that(KEEPS_ALL);
    expect_code(SHALE_OK, shl_store_check_create(s, "a/db", "s3.example", &test_err));
    expect_empty(s);
    expect_code(SHALE_OK, shl_store_check_create(s, "", "s3.example", &test_err));
    expect_empty(s);
    shl_store_unref(s);
    s = memory_that(IGNORES_CREATE);
    expect_code(SHALE_NOT_SUPPORTED, shl_store_check_create(s, "a/db", "s3.example", &test_err));
    assert_string_equal(
        test_err.text,
        "this store cannot hold a database: s3.example ignored \"If-None-Match: *\" (the second "
        "create also got 200)");
    expect_empty(s);
    shl_store_unref(s);
    s = memory_that(DENIES_WRITES);
    expect_code(SHALE_PERMISSION_DENIED,
                shl_store_check_create(s, "a/db", "s3.example", &test_err));
    shl_store_unref(s);
}

static void touch(const char *dir, const char *name)
{
    char path[600];
    int fd;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(env_open(&fd, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE), 0);
    (void)env_close(fd);
}

static void test_folders(void **state)
{
    (void)state;
    char *dir = temp_dir_new();
    struct seen seen = {0};
    int fd;
    shl_doctor_folder(dir, on_finding, &seen);
    assert_int_equal(found(&seen, "owner")->health, SHL_HEALTH_OK);
    assert_int_equal(found(&seen, "leftovers")->health, SHL_HEALTH_OK);
    touch(dir, "1.sst#3");
    touch(dir, "not#one");
    assert_int_equal(env_open(&fd, dir, ENV_OPEN_READ | ENV_OPEN_DIRECTORY), 0);
    assert_int_equal(env_flock(fd), 0);
    seen.count = 0;
    shl_doctor_folder(dir, on_finding, &seen);
    assert_non_null(strstr(found(&seen, "leftovers")->measured, "1 unfinished writes"));
    if (found(&seen, "locks") != NULL) /* the system shows its locks */
        assert_int_equal(found(&seen, "locks")->health, SHL_HEALTH_WARN);
    (void)env_close(fd);
    seen.count = 0;
    shl_doctor_folder("/nowhere/at/all", on_finding, &seen);
    assert_int_equal(seen.count, 1);
    temp_dir_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_stores_are_well_and_left_empty),
        cmocka_unit_test(test_each_broken_promise_fails_by_name),
        cmocka_unit_test(test_rights_are_told_apart),
        cmocka_unit_test(test_a_stop_tidies_up),
        cmocka_unit_test(test_faults_become_findings),
        cmocka_unit_test(test_the_check_before_a_new_database),
        cmocka_unit_test(test_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
