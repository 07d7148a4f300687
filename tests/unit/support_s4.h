/* A string store in memory with handles that come and go, local folders, and shorthands. */
#ifndef TESTS_UNIT_SUPPORT_S4_H
#define TESTS_UNIT_SUPPORT_S4_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env/env.h"
#include "base/num.h"
#include "s4/db.h"
#include "store/memory.h"
#include "store/wrap_fault.h"

extern shale_error s4_err;

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            print_error("%s:%d: %s; last error: %s\n", __FILE__, __LINE__, #cond, s4_err.text);    \
            fail();                                                                                \
        }                                                                                          \
    } while (0)
#define OK(expr)         CHECK((expr) == SHALE_OK)
#define FAILS(expr, why) CHECK((expr) == (why))
/* The error names it. */
#define SAYS(part) CHECK(strstr(s4_err.text, (part)) != NULL)

struct s4_bench {
    struct shl_store *memory;        /* owned */
    struct shl_store *store;         /* owned: faults over it */
    char dir[2][200];                /* local folders, made when used; removed at the end */
    struct shl_s4_settings settings; /* of the next handle */
};

int s4_bench_setup(void **state);
int s4_bench_teardown(void **state);
/* dir: number of a local folder, -1: a temporary one. */
struct shl_s4 *s4_open(struct s4_bench *b, int dir);
shale_code s4_try_open(struct s4_bench *b, int dir, struct shl_s4 **out);

void s4_put(struct shl_s4 *db, const char *key, const char *value);
void s4_del(struct shl_s4 *db, const char *key);
void s4_upload(struct shl_s4 *db);
/* value NULL: it is not there. */
void s4_has(struct shl_s4 *db, const char *key, const char *value);
/* What a fresh reader without a folder sees. */
void s4_bucket_has(struct s4_bench *b, const char *key, const char *value);
/* Data files in the bucket. */
size_t s4_files(struct s4_bench *b);
/* Name of the i-th of them, in the bucket. */
void s4_file_name(struct s4_bench *b, size_t i, char out[SHL_S4_NAME_BYTES]);

#endif
