/* The contract of store.h, executable: every check runs on a fresh store of every maker. */
#ifndef TESTS_STORE_SUPPORT_CONFORMANCE_H
#define TESTS_STORE_SUPPORT_CONFORMANCE_H

#include "store/store.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* Makes a fresh store. `dir` is an empty temporary folder of the test, removed afterwards. */
struct store_maker {
    const char *name;
    struct shl_store *(*make)(const struct store_maker *maker, const char *dir);
    bool fsync; /* for the folder's makers */
    /* Bytes that each letter of a part in the tests of uploads stands for; 0: one. S3 wants 5 MiB of all parts but the last, and then no part but the
     * last may be empty. */
    size_t part_unit;
    bool no_backslash;   /* keys with one are refused */
    bool etag_is_digest; /* the same bytes have the same ETag again, as S3's MD5 */
};

/* Runs all checks on all makers, then the other tests. Returns the number of failures. */
int conformance_main(const char *group, const struct store_maker *makers, size_t maker_count,
                     const struct CMUnitTest *tests, size_t test_count);

/* ---- small helpers, failing the test if the store does not answer as expected */

/* `expected` is the code; text of the error is printed on a mismatch. */
#define expect_code(expected, call)                                                                \
    expect_code_at((expected), (call), &test_err, #call, __FILE__, __LINE__)
void expect_code_at(shale_code expected, shale_code got, const shale_error *err, const char *what,
                    const char *file, int line);
extern shale_error test_err; /* what `call` above should fill */

void put_text(struct shl_store *s, const char *key, const char *text);
shale_code put_mode(struct shl_store *s, const char *key, const char *text, enum shl_put_mode mode,
                    const char *if_match, struct shl_object *out);
/* The body must be exactly this. */
void expect_body(struct shl_store *s, const char *key, const void *data, size_t len);
void expect_text(struct shl_store *s, const char *key, const char *text);
/* The keys, joined by blanks. `how` NULL: all. */
void expect_keys(struct shl_store *s, const struct shl_list_options *how, const char *keys);

char *temp_dir_new(void);           /* owned: temp_dir_free */
void temp_dir_free(char *take_dir); /* and all that is in it */

/* Runs fn(arg_i) in `count` tasks at once and waits; args is an array of elements of arg_bytes each. */
void run_tasks(void (*fn)(void *arg), void *args, size_t arg_bytes, size_t count);

#endif
