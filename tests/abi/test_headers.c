/* The public headers and the ABI they promise.
 *
 * Goal: each header stands alone as strict C17 and C++17, the quick start compiles as it is printed, sized structs work for shorter and
 * longer callers. Method: the compilers are run on one-line sources; structs are given by hand. */
#include <shale/shale.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

static const char *const headers[] = {
    "shale.h",  "admin.h", "checkpoint.h", "compactor.h", "db.h",      "error.h",
    "export.h", "gc.h",    "hooks.h",      "manage.h",    "metrics.h", "options.h",
    "s4.h",     "store.h", "txn.h",        "types.h",     "version.h", "wal.h"};

static const struct {
    const char *name;
    const char *command; /* compiler and language */
    const char *suffix;
} languages[] = {
    {"C17", "cc -std=c17 -Wstrict-prototypes", "c"},
    {"C++17", "c++ -std=c++17", "cc"},
};

static bool have(const char *compiler)
{
    char command[128];
    (void)snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", compiler);
    return system(command) == 0;
}

static void test_each_header_stands_alone(void **state)
{
    (void)state;
    for (size_t l = 0; l < 2; l++) {
        if (l == 1 && !have("c++"))
            continue;
        for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
            char command[1024];
            /* Twice: the guards. One declaration: strict C forbids an empty unit. */
            (void)snprintf(command, sizeof command,
                           "printf '#include <shale/%s>\\n#include <shale/%s>\\nextern int "
                           "one_declaration;\\n' | "
                           "%s -Wall -Wextra -Wpedantic -Wconversion -Werror -I%s/include "
                           "-fsyntax-only -x %s -",
                           headers[i], headers[i], languages[l].command, SHALE_SOURCE_DIR,
                           l == 0 ? "c" : "c++");
            if (system(command) != 0)
                fail_msg("%s does not stand alone as %s", headers[i], languages[l].name);
        }
    }
}

static void test_the_examples_compile_strictly(void **state)
{
    static const char *const examples[] = {"quickstart", "s4", "sql"};
    char command[2000];
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        (void)snprintf(command, sizeof command,
                       "cc -std=c17 -Wall -Wextra -Wpedantic -Wconversion -Werror -O2 -c -o "
                       "/dev/null -I%s/include %s/examples/%s.c",
                       SHALE_SOURCE_DIR, SHALE_SOURCE_DIR, examples[i]);
        if (system(command) != 0)
            fail_msg("examples/%s.c", examples[i]);
    }
}

static void test_sizes_that_are_part_of_the_abi(void **state)
{
    (void)state;
    assert_int_equal(sizeof(shale_error), 512);
    assert_int_equal(SHALE_TIMEOUT, 18);
    assert_int_equal(offsetof(shale_write_options, struct_size), 0);
    assert_int_equal(offsetof(shale_scan_options, struct_size), 0);
    assert_string_equal(shale_version(), SHALE_VERSION_STRING);
    assert_string_equal(shale_code_name(SHALE_FENCED), "FENCED");
}

static void test_codes_have_names(void **state)
{
    (void)state;
    for (int code = SHALE_OK; code <= SHALE_TIMEOUT; code++)
        assert_string_not_equal(shale_code_name((shale_code)code), "UNKNOWN");
    assert_string_equal(shale_code_name((shale_code)99), "UNKNOWN");
}

/* A caller built against a longer struct: what we do not know must be zero. */
struct longer_write_options {
    shale_write_options ours;
    uint64_t later;
};

static void test_longer_structs_are_taken_if_the_rest_is_zero(void **state)
{
    (void)state;
    shale_db *db = NULL;
    shale_error err;
    assert_int_equal(shale_db_open(&db, "memory:", NULL, &err), SHALE_OK);
    struct longer_write_options how;
    shale_write_options_init(&how.ours, sizeof how);
    assert_int_equal(how.ours.struct_size, sizeof how);
    assert_true(how.ours.await_durable);
    assert_int_equal(how.later, 0);
    assert_int_equal(shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), &how.ours, &err), SHALE_OK);
    how.later = 1;
    assert_int_equal(shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), &how.ours, &err),
                     SHALE_INVALID);
    assert_non_null(strstr(err.text, "shale_write_options"));
    assert_int_equal(shale_db_close(db, &err), SHALE_OK);
}

static void test_shorter_structs_get_our_defaults(void **state)
{
    (void)state;
    shale_db *db = NULL;
    shale_error err;
    assert_int_equal(shale_db_open(&db, "memory:", NULL, &err), SHALE_OK);
    shale_write_options how;
    memset(&how, 0xee, sizeof how);
    shale_write_options_init(
        &how, offsetof(shale_write_options,
                       ttl_kind)); /* as of a first version with await_durable only */
    assert_true(how.await_durable);
    assert_int_equal(shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), &how, &err), SHALE_OK);
    shale_write_options none = {0};
    assert_int_equal(shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), &none, &err), SHALE_INVALID);
    shale_db_status status;
    memset(&status, 0xee, sizeof status);
    status.struct_size = offsetof(shale_db_status, manifest_id);
    shale_db_status_get(db, &status);
    assert_true(status.writer);
    assert_int_equal(status.manifest_id, UINT64_C(0xeeeeeeeeeeeeeeee)); /* not ours to touch */
    assert_int_equal(shale_db_close(db, &err), SHALE_OK);
}

static void test_null_handles_answer(void **state)
{
    (void)state;
    shale_error err;
    shale_pinned pinned = {0};
    shale_db *db = NULL;
    assert_int_equal(shale_db_put(NULL, SHALE_STR("k"), SHALE_STR("v"), NULL, NULL), SHALE_INVALID);
    assert_int_equal(shale_db_get(&pinned, NULL, SHALE_STR("k"), NULL, &err), SHALE_INVALID);
    assert_int_equal(shale_options_set(NULL, "flush_interval", "1s", &err), SHALE_NOMEM);
    assert_int_equal(shale_db_open(&db, NULL, NULL, &err), SHALE_INVALID);
    assert_int_equal(shale_db_close(NULL, NULL), SHALE_OK);
    shale_batch_put(NULL, SHALE_STR("k"), SHALE_STR("v"));
    shale_batch_free(NULL);
    shale_iter_close(NULL);
    shale_options_free(NULL);
    shale_store_close(NULL);
    shale_text_free(NULL);
    shale_pinned_release(&pinned);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_header_stands_alone),
        cmocka_unit_test(test_the_examples_compile_strictly),
        cmocka_unit_test(test_sizes_that_are_part_of_the_abi),
        cmocka_unit_test(test_codes_have_names),
        cmocka_unit_test(test_longer_structs_are_taken_if_the_rest_is_zero),
        cmocka_unit_test(test_shorter_structs_get_our_defaults),
        cmocka_unit_test(test_null_handles_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
