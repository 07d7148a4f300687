/* Handles on one bucket in memory, behind wrappers that fail, count and lose answers; scripts that they run; and a fresh reader to compare with. */
#ifndef TESTS_UNIT_SUPPORT_SQL_H
#define TESTS_UNIT_SUPPORT_SQL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env/env.h"
#include "base/num.h"
#include "sql/sql.h"
#include "store/memory.h"
#include "store/wrap_count.h"
#include "store/wrap_fault.h"

extern shale_error sql_err;

#define OK(expr)                                                                                   \
    do {                                                                                           \
        if ((expr) != SHALE_OK)                                                                    \
            fail_msg("%s: %s: %s", #expr, shale_code_name(sql_err.code), sql_err.text);            \
    } while (0)
#define FAILS(expr, code, why)                                                                     \
    do {                                                                                           \
        shale_code got_ = (expr);                                                                  \
        if (got_ != (code) || strstr(sql_err.text, (why)) == NULL)                                 \
            fail_msg("%s: got %s (%s)", #expr, shale_code_name(got_),                              \
                     got_ == SHALE_OK ? "" : sql_err.text);                                        \
    } while (0)

/* ---- a bucket, and handles on it */

struct world {
    struct shl_store *bucket, *fault, *count;
};
void world_begin(struct world *w);
void world_end(struct world *w);

/* Version 1: tables k(id, a, b), t(k TEXT, v), none(x) without a key, s(id, u UNIQUE), a trigger on tr that writes audit, one on own that writes itself. */
extern const struct shl_sql_migration first_tables[1];
struct shl_sql_options options_on(struct world *w);
struct shl_sql *open_on(struct world *w);

/* ---- statements */

struct script {
    const char *sql;
    char got[400]; /* of a query: values with '|' between columns and ' ' behind rows */
    unsigned runs;
    shale_code (*before)(void *ctx); /* called once, inside of the first run */
    void *ctx;
};
shale_code run_script(void *ctx, sqlite3 *db, shale_error *e);
shale_code update(struct shl_sql *s, const char *sql, struct shl_sql_commit *out);
void expect(struct shl_sql *s, const char *sql, const char *want);
/* The handle's copy equals a fresh replay. */
void expect_same(struct world *w, struct shl_sql *s);

/* Another handle's commit, as `before` of a script. */
struct race {
    struct shl_sql *other;
    const char *sql;
};
shale_code other_commits(void *ctx);

struct fixture {
    struct world w;
    struct shl_sql *a, *b;
};
int begin(void **state);
int end(void **state);
#define T(test) cmocka_unit_test_setup_teardown(test, begin, end)

#endif
