/* A database in a memory store on the real env, flushed and compacted on demand only, and shorthands for what tests of it say. */
#ifndef TESTS_UNIT_SUPPORT_DB_H
#define TESTS_UNIT_SUPPORT_DB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/codec/endian.h"
#include "base/env/env.h"
#include "lsm/db.h"
#include "lsm/format/manifest.h"
#include "lsm/format/names.h"
#include "store/memory.h"

extern shale_error db_err; /* of the last call that failed */

#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            print_error("%s:%d: %s; last error: %s\n", __FILE__, __LINE__, #cond, db_err.text);       \
            print_error(__VA_ARGS__);                                                              \
            print_error("\n");                                                                     \
            fail();                                                                                \
        }                                                                                          \
    } while (0)
#define OK(expr)         CHECK((expr) == SHALE_OK, "must succeed")
#define FAILS(expr, why) CHECK((expr) == (why), "must fail with %s", shale_code_name(why))

struct bench {
    struct shl_store *store;
    struct shl_store *wal_store; /* NULL: the same */
    struct shl_lsm_settings settings;
    struct shl_merge_operator merge;
    struct shl_transformer transformer;
    bool has_merge, has_transformer;
    struct shl_lsm *db;
};

extern const struct shl_lsm_write no_wait;
extern const struct shl_ttl default_ttl;
extern const struct shl_lsm_range all_keys;

void bench_init(struct bench *b);
struct shl_lsm_open bench_options(struct bench *b);
shale_code try_open(struct bench *b, struct shl_lsm **out);
shale_code try_reader(struct bench *b, const struct shl_lsm_reader *how, struct shl_lsm **out);
void bench_open(struct bench *b);
void bench_close(struct bench *b);
void bench_reopen(struct bench *b);
void bench_crash(struct bench *b);
void bench_end(struct bench *b);
void compact(struct bench *b);
struct shl_lsm_status status_of(struct shl_lsm *db);
shale_code write_kind(struct bench *b, uint8_t kind, const char *key, const char *value, struct shl_ttl ttl);
void put(struct bench *b, const char *key, const char *value);
void del(struct bench *b, const char *key);
void merge(struct bench *b, const char *key, const char *value);
void use_operator(struct bench *b, const char *name);
size_t objects_below(struct shl_store *s, const char *prefix);
struct shl_manifest *newest_manifest(struct bench *b, uint64_t *id);
void write_manifest(struct bench *b, const struct shl_manifest *m, uint64_t id);
void fill_levels(struct bench *b);
struct shl_lsm_range range_of(const char *from, enum shl_lsm_bound from_kind, const char *to, enum shl_lsm_bound to_kind);
void batch_add(struct shl_batch *batch, uint8_t kind, const char *key, const char *value);
const char *got(struct shl_lsm *db, const char *key, bool remote);
const char *rows_of(struct shl_lsm_iter *it);
const char *scanned(struct shl_lsm *db, const struct shl_lsm_range *range, const struct shl_lsm_scan *how);

#define expect_get(db, key, want) assert_string_equal(got((db), (key), false), (want))
#define expect_all(db, want)                                                                       \
    assert_string_equal(scanned((db), &all_keys, &(struct shl_lsm_scan){0}), (want))
#define expect_back(db, want)                                                                      \
    assert_string_equal(scanned((db), &all_keys, &(struct shl_lsm_scan){.reverse = true}), (want))

#endif
