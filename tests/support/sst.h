/* For tests of reading SSTs: random rows, SST files made of them with the format's encoders, and a store of one object that counts,
 * damages, delays and forgets. */
#ifndef SUPPORT_SST_H
#define SUPPORT_SST_H

#include "lsm/sst/sst_read.h"

/* Fails the test if the call failed. */
void test_must(shale_code rc, const shale_error *err);

/* ---- chance, the same on every run of a seed */
uint64_t test_rand(uint64_t *state);
uint64_t test_rand_below(uint64_t *state, uint64_t bound);

/* ---- rows in SST order; the bytes live in `bytes` */
struct test_rows {
    struct shl_row *items;
    size_t count;
    uint8_t *bytes;
};
struct test_rows_kind {
    size_t count;         /* rows, about */
    size_t key_len_max;   /* 1 .. */
    const char *alphabet; /* of the keys; NULL: 0x00, 'a', 0xff */
    const char *prefix;   /* before each key; NULL: none */
    size_t value_len_max;
    size_t versions_max; /* per key */
};
void test_rows_make(struct test_rows *rows, const struct test_rows_kind *kind, uint64_t *rand);
void test_rows_free(struct test_rows *rows);
/* The newest row of key with seq <= max_seq by linear search, or NULL. */
const struct shl_row *test_rows_find(const struct test_rows *rows, struct shl_slice key,
                                     uint64_t max_seq);
bool test_row_equal(const struct shl_row *a, const struct shl_row *b);

/* ---- SST files */
struct test_sst_kind {
    size_t block_bytes;
    unsigned version; /* 1 or 2 */
    enum shl_compression compression;
    const struct shl_transformer *transformer;
    const struct shl_filter_policy *policy; /* NULL: no filter */
    bool aligned;                           /* blocks padded to block_bytes */
    bool whole_keys;                        /* first keys instead of separators, of block 0 too */
    bool old;                               /* no last_entry */
};
/* Fills `file` and gives the descriptor that a manifest would have. */
void test_sst_make(const struct test_sst_kind *kind, const struct test_rows *rows,
                   struct shl_buf *file, struct shl_sst_desc **out);

/* ---- a store of one object */
#define TEST_SST_KEY "db/compacted/01M7WY3E4EBN6K5PQZCS87KSFV.sst"
struct test_store {
    struct shl_store base;
    struct shl_slice object; /* borrowed; data NULL: missing */
    _Atomic uint64_t gets;
    _Atomic uint64_t ranges_bytes;
    _Atomic uint64_t damaged_gets; /* so many gets give a flipped bit, then none */
    _Atomic uint64_t failing_gets; /* so many gets fail with UNAVAILABLE */
    uint64_t delay_ns;             /* per get */
};
void test_store_init(struct test_store *s, struct shl_slice object);
void test_store_deinit(struct test_store *s);

/* ---- a whole lookup as an engine does it. True if found; the row's slices are copied to `value`. Fails the test on errors unless *rc
 * is wanted: then CORRUPTION is given back. */
bool test_sst_get(struct shl_epoch *epoch, struct shl_sst *t, struct shl_slice key,
                  uint64_t max_seq, bool keep, struct shl_row *row, struct shl_buf *value,
                  shale_code *rc, shale_error *err);

#endif
