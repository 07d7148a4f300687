/* Goal: SSTs are SlateDB's byte for byte, whether put at once or in parts, and whatever store call fails on the way.
 * Method: the worked examples of slatedb-format 2.12 and 7.1; the files of the golden databases read and written again (the file
 * tells whether there was a filter); random rows through a store that records parts and fails its nth call. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec/crc32.h"
#include "base/codec/endian.h"
#include "base/env/env.h"
#include "base/num.h"
#include "lsm/format/block.h"
#include "lsm/sst/sst_write.h"
#include "store/backend.h"

static uint64_t rng_below(uint64_t *s, uint64_t n)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return (*s * UINT64_C(0x2545f4914f6cdd1d) >> 11) % n;
}

#define OK(call) assert_int_equal((call), SHALE_OK)

static const struct shl_filter_policy bloom10 = {.bits_per_key = 10, .whole_key = true};

/* ---- helpers */

static void append_bytes(struct shl_buf *out, const void *data, size_t len)
{
    shale_error err;
    OK(shl_buf_append(out, data, len, &err));
}

/* The kept object as one buffer. */
static void writer_object(const struct shl_sst_writer *w, struct shl_buf *out)
{
    const struct shl_slice *pieces;
    size_t count;
    out->len = 0;
    shl_sst_writer_bytes(w, &pieces, &count);
    for (size_t i = 0; i < count; i++)
        append_bytes(out, pieces[i].data, pieces[i].len);
}

static void append_hex(struct shl_buf *out, const char *hex)
{
    while (*hex != '\0') {
        unsigned byte;
        if (*hex == ' ') {
            hex++;
            continue;
        }
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        uint8_t b = (uint8_t)byte;
        append_bytes(out, &b, 1);
        hex += 2;
    }
}

/* ---- the worked examples */

#define TS0 INT64_C(0x1a1f9e1b88d)
#define TS1 INT64_C(0x1a1f9e1b88e)

static void add_example_rows(struct shl_sst_writer *w)
{
    const struct shl_row rows[] = {
        {.key = shl_slice_str("apple"),
         .value = shl_slice_str("red"),
         .seq = 1,
         .create_ts = TS0,
         .flags = SHL_ROW_HAS_CREATE},
        {.key = shl_slice_str("apricot"),
         .value = shl_slice_str("orange"),
         .seq = 2,
         .create_ts = TS0,
         .flags = SHL_ROW_HAS_CREATE},
        {.key = shl_slice_str("banana"),
         .seq = 3,
         .create_ts = TS1,
         .flags = SHL_ROW_HAS_CREATE | SHL_ROW_TOMBSTONE},
        {.key = shl_slice_str("cherry"),
         .value = shl_slice_str("+1"),
         .seq = 4,
         .create_ts = TS1,
         .flags = SHL_ROW_HAS_CREATE | SHL_ROW_MERGE},
        {.key = shl_slice_str("date"),
         .value = shl_slice_str("brown"),
         .seq = 5,
         .create_ts = TS1,
         .expire_ts = INT64_C(4102444800000),
         .flags = SHL_ROW_HAS_CREATE | SHL_ROW_HAS_EXPIRE},
    };
    shale_error err;
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++)
        OK(shl_sst_writer_add(w, &rows[i], &err));
    assert_int_equal(shl_sst_writer_rows(w), SHL_COUNT_OF(rows));
}

static const char example_block[] =
    "000503 6170706c65 726564 0000000000000001 04 000001a1f9e1b88d"
    "020506 7269636f74 6f72616e6765 0000000000000002 04 000001a1f9e1b88d"
    "000600 62616e616e61 0000000000000003 05 000001a1f9e1b88e"
    "000602 636865727279 2b31 0000000000000004 0c 000001a1f9e1b88e"
    "000405 64617465 62726f776e 0000000000000005 06 000003bb2cc3d800 000001a1f9e1b88e"
    "0000 0001 80fcee0a";

static void check_crc_at(const struct shl_buf *object, size_t from, size_t crc_at, uint32_t crc)
{
    assert_int_equal(shl_load_u32be(object->data + crc_at), crc);
    assert_int_equal(shl_crc32(object->data + from, crc_at - from), crc);
}

static void test_compacted_example_is_byte_equal(void **state)
{
    (void)state;
    const struct shl_sst_write_options o = {
        .block_bytes = 4096, .policies = &bloom10, .policy_count = 1};
    struct shl_sst_writer *w = NULL;
    struct shl_sst_info info;
    struct shl_buf object = {0};
    struct shl_buf want = {0};
    uint64_t bytes;
    shale_error err;
    OK(shl_sst_writer_new(&o, NULL, NULL, &w, &err));
    add_example_rows(w);
    assert_int_equal(shl_sst_writer_block_bytes(w), 0);
    OK(shl_sst_writer_finish(w, &info, &bytes, &err));
    assert_int_equal(shl_sst_writer_block_bytes(w), 0x9e);
    writer_object(w, &object);
    assert_int_equal(bytes, 480);
    assert_int_equal(object.len, 480);

    append_hex(&want, example_block);
    append_hex(&want, "0001 0003 5f6266 0000000000000009 0006 3c0e233a6121eb 98947f13");
    append_hex(&want, "0c000000 0000 0600 0800 0400 06000000 04000000 01000000 0c000000"
                      "0800 0800 0000 0400 08000000 04000000 00000000 7091379d");
    assert_int_equal(want.len, 0xee);
    assert_memory_equal(object.data, want.data, want.len);
    check_crc_at(&object, 0xee, 0x156, UINT32_C(0x68601a1b));
    check_crc_at(&object, 0x15a, 0x1d2, UINT32_C(0x7318a8eb));
    want.len = 0;
    append_hex(&want, "000000000000015a 0002");
    assert_memory_equal(object.data + 0x1d6, want.data, want.len);

    assert_true(shl_slice_eq(info.first_entry, shl_slice_str("apple")));
    assert_true(shl_slice_eq(info.last_entry, shl_slice_str("date")));
    assert_int_equal(info.stats_len, 0x6c);
    shl_sst_writer_free(w);
    shl_buf_free(&object);
    shl_buf_free(&want);
}

static void test_wal_example_is_byte_equal(void **state)
{
    (void)state;
    const struct shl_sst_write_options o = {
        .block_bytes = 65535, .policies = &bloom10, .policy_count = 1, .type = SHL_SST_WAL};
    struct shl_sst_writer *w = NULL;
    struct shl_sst_info info;
    struct shl_buf object = {0};
    struct shl_buf want = {0};
    uint64_t bytes;
    shale_error err;
    OK(shl_sst_writer_new(&o, NULL, NULL, &w, &err));
    add_example_rows(w);
    OK(shl_sst_writer_finish(w, &info, &bytes, &err));
    writer_object(w, &object);
    assert_int_equal(bytes, 320);
    assert_int_equal(object.len, 320);

    append_hex(&want, example_block);
    append_hex(&want, "0c000000 0000 0600 0800 0400 06000000 04000000 01000000 0c000000"
                      "0800 0800 0000 0400 08000000 04000000 08000000 0000000000000001 "
                      "e28086d4");
    assert_int_equal(want.len, 0xda);
    assert_memory_equal(object.data, want.data, want.len);
    check_crc_at(&object, 0xda, 0x132, UINT32_C(0x697a59f5));
    want.len = 0;
    append_hex(&want, "00000000000000da 0002");
    assert_memory_equal(object.data + 0x136, want.data, want.len);
    assert_false(info.has_last_entry);
    shl_sst_writer_free(w);
    shl_buf_free(&object);
    shl_buf_free(&want);
}

static void test_filter_needs_enough_rows_and_one_policy(void **state)
{
    (void)state;
    static const struct shl_filter_policy no_bits = {.bits_per_key = 0, .whole_key = true};
    const struct shl_filter_policy two[] = {bloom10, bloom10};
    static const struct {
        const char *name;
        uint32_t min_keys;
        const struct shl_filter_policy *policies;
        size_t count;
        uint64_t filter_len;
    } table[] = {
        {"always", 0, &bloom10, 1, 28},     {"just enough", 5, &bloom10, 1, 28},
        {"one too few", 6, &bloom10, 1, 0}, {"no bits", 0, &no_bits, 1, 0},
        {"no policy", 0, NULL, 0, 0},
    };
    struct shl_sst_writer *w = NULL;
    struct shl_sst_info info;
    uint64_t bytes;
    shale_error err;
    for (size_t i = 0; i < SHL_COUNT_OF(table); i++) {
        const struct shl_sst_write_options o = {.block_bytes = 4096,
                                                .policies = table[i].policies,
                                                .policy_count = table[i].count,
                                                .min_filter_keys = table[i].min_keys};
        print_message("%s\n", table[i].name);
        OK(shl_sst_writer_new(&o, NULL, NULL, &w, &err));
        add_example_rows(w);
        OK(shl_sst_writer_finish(w, &info, &bytes, &err));
        assert_int_equal(info.filter_len, table[i].filter_len);
        assert_int_equal(info.filter_offset, 0x9e);
        assert_int_equal(info.index_offset, 0x9e + table[i].filter_len);
        shl_sst_writer_free(w);
    }
    const struct shl_sst_write_options o = {
        .block_bytes = 4096, .policies = two, .policy_count = 2};
    assert_int_equal(shl_sst_writer_new(&o, NULL, NULL, &w, &err), SHALE_INVALID);
    shl_sst_writer_free(NULL);
}

/* ---- golden files, read and written again */

struct file {
    struct shl_buf bytes;
    struct shl_sst_info info;
    struct shl_sst_index index;
    struct shl_buf index_raw;
    struct shl_blob_codec codec;
};

static void file_read(const char *path, struct shl_buf *out)
{
    int fd = -1;
    struct env_stat st;
    shale_error err;
    assert_int_equal(env_open(&fd, path, ENV_OPEN_READ), 0);
    assert_int_equal(env_fstat(fd, &st), 0);
    OK(shl_buf_reserve(out, st.size + 1, &err));
    assert_int_equal(env_pread(fd, out->data, st.size, 0, &out->len), 0);
    assert_int_equal(env_close(fd), 0);
}

static void file_open(struct file *f, const struct shl_transformer *transformer)
{
    uint64_t info_at;
    unsigned version;
    struct shl_buf scratch = {0};
    struct shl_slice raw;
    shale_error err;
    struct shl_slice all = shl_buf_view(&f->bytes);
    OK(shl_sst_footer_decode(all, all.len, &info_at, &version, &err));
    assert_int_equal(version, 2);
    OK(shl_sst_info_blob_decode(
        shl_slice_of(all.data + info_at, all.len - SHL_SST_FOOTER_BYTES - info_at), &f->info,
        &err));
    f->codec =
        (struct shl_blob_codec){.compression = f->info.compression, .transformer = transformer};
    OK(shl_blob_decode(&f->codec, shl_slice_of(all.data + f->info.index_offset, f->info.index_len),
                       SHL_BLOB_RAW_MAX, &scratch, &f->index_raw, &raw, &err));
    OK(shl_sst_index_decode(raw, shl_sst_data_end(&f->info), true, &f->index, &err));
    shl_buf_free(&scratch);
}

static void file_close(struct file *f)
{
    shl_buf_free(&f->bytes);
    shl_buf_free(&f->index_raw);
    shl_sst_index_deinit(&f->index);
}

/* All rows of the file in order, into the writer. */
static void file_copy_rows(const struct file *f, struct shl_sst_writer *w)
{
    struct shl_buf scratch = {0};
    struct shl_buf decoded = {0};
    struct shl_block_iter it = {0};
    shale_error err;
    for (size_t i = 0; i < f->index.blocks.count; i++) {
        struct shl_slice raw;
        struct shl_slice blob =
            shl_slice_of(f->bytes.data + f->index.blocks.items[i].offset,
                         shl_sst_block_len(&f->index, i, shl_sst_data_end(&f->info)));
        decoded.len = 0;
        OK(shl_blob_decode(&f->codec, blob, SHL_BLOB_RAW_MAX, &scratch, &decoded, &raw, &err));
        OK(shl_block_iter_init(&it, raw, 2, &err));
        OK(shl_block_iter_first(&it, &err));
        while (it.valid) {
            OK(shl_sst_writer_add(w, &it.row, &err));
            OK(shl_block_iter_next(&it, &err));
        }
    }
    shl_block_iter_deinit(&it);
    shl_buf_free(&scratch);
    shl_buf_free(&decoded);
}

struct golden_case {
    const char *name;
    const char *db;
    size_t block_bytes;
    uint32_t bloom_bits;
    const char *extractor; /* NULL: none */
    bool transformed;
    bool same_bytes; /* false: compressed, where only what is in it must be the same */
};

static const struct golden_case golden_cases[] = {
    {"04_l0_only", "db", 4096, 10, NULL, false, true},
    {"05_l0_and_runs", "db", 4096, 10, NULL, false, true},
    {"06_deletes", "db", 4096, 10, NULL, false, true},
    {"07_compression_none", "db", 4096, 10, NULL, false, true},
    {"07_compression_snappy", "db", 4096, 10, NULL, false, false},
    {"07_compression_zlib", "db", 4096, 10, NULL, false, false},
    {"07_compression_lz4", "db", 4096, 10, NULL, false, false},
    {"07_compression_zstd", "db", 4096, 10, NULL, false, false},
    {"08_big_values", "db", 4096, 10, NULL, false, true},
    {"09_binary_keys", "db", 4096, 10, NULL, false, true},
    {"10_shared_prefix", "db", 4096, 10, NULL, false, true},
    {"11_ttl", "db", 4096, 10, NULL, false, true},
    {"12_merge", "db", 4096, 10, NULL, false, true},
    {"18_block1k_bloom16", "db", 1024, 16, NULL, false, true},
    {"18_block16k_bloom5", "db", 16384, 5, NULL, false, true},
    {"18_block64k_bloom0", "db", 65536, 0, NULL, false, true},
    {"19_prefix_bloom", "db", 4096, 10, "slash", false, true},
    {"41_aligned_1k", "db", 1024, 10, NULL, false, true},
    {"41_aligned_4k", "db", 4096, 10, NULL, false, true},
    {"41_aligned_16k", "db", 16384, 10, NULL, false, true},
    {"41_aligned_64k", "db", 65536, 10, NULL, false, true},
    {"49_transformer_xor_plain", "db", 4096, 10, NULL, true, true},
    {"51_wal_blocks", "db", 4096, 10, NULL, false, false},
    {"51_wal_blocks", "plain", 4096, 10, NULL, false, true},
};

/* Nothing else says so. */
static bool is_aligned(const struct file *f)
{
    for (size_t i = 0; i < f->index.blocks.count; i++)
        if (f->index.blocks.items[i].encoded_len != 0)
            return true;
    return false;
}

static void write_again(const struct file *f, const struct golden_case *c, struct shl_buf *out)
{
    struct shl_filter_policy policy = {.bits_per_key = c->bloom_bits, .whole_key = true};
    if (c->extractor != NULL)
        assert_true(shl_extractor_parse(c->extractor, &policy.extractor));
    const struct shl_sst_write_options o = {
        .block_bytes = f->info.type == SHL_SST_WAL ? 65535 : c->block_bytes,
        .aligned = is_aligned(f),
        .compression = f->info.compression,
        .transformer = f->codec.transformer,
        .policies = &policy,
        .policy_count = 1,
        .min_filter_keys = f->info.filter_len > 0 ? 0 : UINT32_MAX,
        .type = f->info.type};
    struct shl_sst_writer *w = NULL;
    struct shl_sst_info info;
    uint64_t bytes;
    shale_error err;
    OK(shl_sst_writer_new(&o, NULL, NULL, &w, &err));
    file_copy_rows(f, w);
    OK(shl_sst_writer_finish(w, &info, &bytes, &err));
    assert_int_equal(info.filter_len > 0, f->info.filter_len > 0);
    assert_true(shl_slice_eq(info.first_entry, f->info.first_entry));
    assert_true(shl_slice_eq(info.last_entry, f->info.last_entry));
    writer_object(w, out);
    assert_int_equal(out->len, bytes);
    shl_sst_writer_free(w);
}

static void check_golden_file(const char *path, const struct golden_case *c)
{
    struct shl_transformer xor_5a = shl_transformer_xor(0x5a);
    const struct shl_transformer *transformer = c->transformed ? &xor_5a : NULL;
    struct file golden = {0};
    struct file ours = {0};
    file_read(path, &golden.bytes);
    if (golden.bytes.len > 0) { /* else a fence */
        file_open(&golden, transformer);
        write_again(&golden, c, &ours.bytes);
        if (c->same_bytes) {
            assert_int_equal(ours.bytes.len, golden.bytes.len);
            assert_memory_equal(ours.bytes.data, golden.bytes.data, golden.bytes.len);
        } else { /* compressors differ: the index tells that blocks are cut alike */
            file_open(&ours, transformer);
            assert_int_equal(ours.index.blocks.count, golden.index.blocks.count);
            for (size_t i = 0; i < ours.index.blocks.count; i++)
                assert_true(shl_slice_eq(ours.index.blocks.items[i].first_key,
                                         golden.index.blocks.items[i].first_key));
        }
    }
    file_close(&golden);
    file_close(&ours);
}

static unsigned check_golden_folder(const struct golden_case *c, const char *kind)
{
    char folder[512];
    struct env_dirent *entries = NULL;
    size_t count = 0;
    (void)snprintf(folder, sizeof folder, SHALE_SOURCE_DIR "/tests/fixtures/slatedb/%s/store/%s/%s",
                   c->name, c->db, kind);
    int code = env_listdir(folder, &entries, &count);
    assert_true(code == 0 || code == ENOENT); /* some have only the one kind */
    for (size_t i = 0; i < count; i++) {
        char path[1024];
        (void)snprintf(path, sizeof path, "%s/%s", folder, entries[i].name);
        check_golden_file(path, c);
    }
    env_listdir_free(entries, count);
    return (unsigned)count;
}

static void test_golden_files_are_written_again_as_they_are(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHL_COUNT_OF(golden_cases); i++) {
        unsigned files = check_golden_folder(&golden_cases[i], "wal");
        files += check_golden_folder(&golden_cases[i], "compacted");
        print_message("%s/%s: %u files\n", golden_cases[i].name, golden_cases[i].db, files);
        assert_true(files > 1);
    }
}

/* ---- a store that records parts and fails one call */

struct fake_store {
    struct shl_store base;
    struct shl_buf object; /* published */
    struct shl_buf parts[64];
    uint32_t part_count;
    unsigned puts, uploads, aborts;
    uint64_t calls;
    uint64_t fail_at; /* this call fails; UINT64_MAX: none */
    bool after;       /* its effect happens all the same */
    struct shl_upload upload;
};

static struct fake_store *fake_of(struct shl_store *s)
{
    return (struct fake_store *)s;
}

static bool fails(struct fake_store *f)
{
    return f->calls++ == f->fail_at;
}

static void set_parts(struct shl_buf *out, const struct shl_slice *parts, size_t count)
{
    out->len = 0;
    for (size_t i = 0; i < count; i++)
        append_bytes(out, parts[i].data, parts[i].len);
}

static shale_code fake_put(struct shl_store *s, const char *key, const struct shl_slice *parts,
                           size_t count, const struct shl_put *how, struct shl_object *out,
                           shale_error *err)
{
    struct fake_store *f = fake_of(s);
    (void)out;
    assert_string_equal(key, "db/compacted/x.sst");
    assert_int_equal(how->mode, SHL_PUT_OVERWRITE);
    bool failing = fails(f);
    if (!failing || f->after)
        set_parts(&f->object, parts, count);
    f->puts++;
    return failing ? shl_fail(err, SHALE_UNAVAILABLE, "fake") : SHALE_OK;
}

static shale_code fake_start(struct shl_store *s, const char *key, struct shl_upload **out,
                             shale_error *err)
{
    struct fake_store *f = fake_of(s);
    assert_string_equal(key, "db/compacted/x.sst");
    if (fails(f))
        return shl_fail(err, SHALE_UNAVAILABLE, "fake");
    f->upload.store = s;
    f->uploads++;
    *out = &f->upload;
    return SHALE_OK;
}

static shale_code fake_part(struct shl_store *s, struct shl_upload *u, uint32_t index,
                            const struct shl_slice *parts, size_t count, shale_error *err)
{
    struct fake_store *f = fake_of(s);
    assert_ptr_equal(u, &f->upload);
    assert_true(index < SHL_COUNT_OF(f->parts));
    bool failing = fails(f);
    if (!failing || f->after)
        set_parts(&f->parts[index], parts, count);
    if (!failing && index >= f->part_count)
        f->part_count = index + 1;
    return failing ? shl_fail(err, SHALE_UNAVAILABLE, "fake") : SHALE_OK;
}

static shale_code fake_complete(struct shl_store *s, struct shl_upload *u, struct shl_object *out,
                                shale_error *err)
{
    struct fake_store *f = fake_of(s);
    (void)u;
    (void)out;
    if (fails(f))
        return shl_fail(err, SHALE_UNAVAILABLE, "fake");
    f->object.len = 0;
    for (uint32_t i = 0; i < f->part_count; i++)
        append_bytes(&f->object, f->parts[i].data, f->parts[i].len);
    return SHALE_OK;
}

static void fake_abort(struct shl_store *s, struct shl_upload *take_u)
{
    (void)take_u;
    fake_of(s)->aborts++;
}

static const struct shl_store_ops fake_ops = {.put = fake_put,
                                              .upload_start = fake_start,
                                              .upload_part = fake_part,
                                              .upload_complete = fake_complete,
                                              .upload_abort = fake_abort};

static void fake_init(struct fake_store *f, uint64_t fail_at, bool after)
{
    shale_error err;
    memset(f, 0, sizeof *f);
    f->fail_at = fail_at;
    f->after = after;
    OK(shl_store_init(&f->base, &fake_ops, 0, "fake", &err));
}

static void fake_deinit(struct fake_store *f)
{
    shl_buf_free(&f->object);
    for (size_t i = 0; i < SHL_COUNT_OF(f->parts); i++)
        shl_buf_free(&f->parts[i]);
    shl_store_deinit(&f->base);
}

/* ---- random rows */

#define RANDOM_ROWS 3000

/* Adds rows (the same for a seed), each until it is taken; returns how often a call failed. */
static unsigned write_random(struct shl_sst_writer *w, uint64_t seed, struct shl_sst_info *info,
                             uint64_t *bytes)
{
    static uint8_t value[300 << 10];
    unsigned failures = 0;
    shale_error err;
    for (unsigned i = 0; i < RANDOM_ROWS; i++) {
        char key[32];
        int len = snprintf(key, sizeof key, "user/%u/%08u", i / 100, i);
        size_t value_len = i % 700 == 5 ? sizeof value : rng_below(&seed, 200);
        for (size_t j = 0; j < value_len; j++)
            value[j] = (uint8_t)rng_below(&seed, 8);
        struct shl_row row = {.key = shl_slice_of(key, (size_t)len),
                              .value = shl_slice_of(value, value_len),
                              .seq = i + 1};
        while (shl_sst_writer_add(w, &row, &err) != SHALE_OK) {
            assert_int_equal(err.code, SHALE_UNAVAILABLE);
            failures++;
        }
    }
    while (shl_sst_writer_finish(w, info, bytes, &err) != SHALE_OK) {
        assert_int_equal(err.code, SHALE_UNAVAILABLE);
        failures++;
    }
    assert_int_equal(shl_sst_writer_rows(w), RANDOM_ROWS);
    return failures;
}

static struct shl_sst_write_options random_options(size_t part_bytes, enum shl_compression codec)
{
    return (struct shl_sst_write_options){.block_bytes = 4096,
                                          .compression = codec,
                                          .policies = &bloom10,
                                          .policy_count = 1,
                                          .part_bytes = part_bytes};
}

static void test_object_is_the_same_in_parts_or_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t part_bytes;
        unsigned puts, uploads;
    } table[] = {
        {"one put", 0, 1, 0},
        {"one put, below a part", (size_t)64 << 20, 1, 0},
        {"parts of 100,000", 100000, 0, 1},
        {"parts of 1 MiB", 1 << 20, 0, 1},
    };
    const uint64_t seed = 12345;
    for (int codec = SHL_COMPRESSION_NONE; codec <= SHL_COMPRESSION_ZSTD; codec++) {
        struct shl_sst_write_options o = random_options(0, (enum shl_compression)codec);
        struct shl_sst_writer *w = NULL;
        struct shl_sst_info info;
        struct shl_buf whole = {0};
        uint64_t bytes;
        shale_error err;
        OK(shl_sst_writer_new(&o, NULL, NULL, &w, &err));
        assert_int_equal(write_random(w, seed, &info, &bytes), 0);
        writer_object(w, &whole);
        shl_sst_writer_free(w);
        for (size_t i = 0; i < SHL_COUNT_OF(table); i++) {
            static struct fake_store f;
            print_message("codec %d, %s\n", codec, table[i].name);
            fake_init(&f, UINT64_MAX, false);
            o.part_bytes = table[i].part_bytes;
            if (codec != SHL_COMPRESSION_NONE && o.part_bytes > 100000)
                o.part_bytes = 0;
            OK(shl_sst_writer_new(&o, &f.base, "db/compacted/x.sst", &w, &err));
            assert_int_equal(write_random(w, seed, &info, &bytes), 0);
            assert_int_equal(bytes, whole.len);
            assert_int_equal(f.object.len, whole.len);
            assert_memory_equal(f.object.data, whole.data, whole.len);
            if (codec == SHL_COMPRESSION_NONE) {
                assert_int_equal(f.puts, table[i].puts);
                assert_int_equal(f.uploads, table[i].uploads);
                for (uint32_t p = 0; p + 1 < f.part_count; p++)
                    assert_int_equal(f.parts[p].len, o.part_bytes);
            }
            shl_sst_writer_free(w);
            assert_int_equal(f.aborts, 0);
            fake_deinit(&f);
        }
        shl_buf_free(&whole);
    }
}

/* The store fails its nth call, before or after the effect: calling again ends with the same object. */
static void test_calls_may_be_repeated_after_any_store_failure(void **state)
{
    (void)state;
    static const size_t part_sizes[] = {0, 150000};
    static struct fake_store f;
    struct shl_buf whole = {0};
    shale_error err;
    for (size_t p = 0; p < SHL_COUNT_OF(part_sizes); p++) {
        for (int after = 0; after < 2; after++) {
            bool hit = true;
            for (uint64_t nth = 0; hit; nth++) {
                struct shl_sst_write_options o =
                    random_options(part_sizes[p], SHL_COMPRESSION_NONE);
                struct shl_sst_writer *w = NULL;
                struct shl_sst_info info;
                uint64_t bytes;
                fake_init(&f, nth, after == 1);
                OK(shl_sst_writer_new(&o, &f.base, "db/compacted/x.sst", &w, &err));
                unsigned failures = write_random(w, 99, &info, &bytes);
                hit = f.calls > nth;
                assert_int_equal(failures, hit ? 1 : 0);
                if (whole.len == 0)
                    append_bytes(&whole, f.object.data, f.object.len);
                assert_int_equal(f.object.len, whole.len);
                assert_memory_equal(f.object.data, whole.data, whole.len);
                shl_sst_writer_free(w);
                assert_int_equal(f.aborts, 0);
                fake_deinit(&f);
            }
        }
    }
    shl_buf_free(&whole);
}

static void test_free_aborts_an_open_upload(void **state)
{
    (void)state;
    static struct fake_store f;
    struct shl_sst_write_options o = random_options(1000, SHL_COMPRESSION_NONE);
    struct shl_sst_writer *w = NULL;
    shale_error err;
    fake_init(&f, UINT64_MAX, false);
    OK(shl_sst_writer_new(&o, &f.base, "db/compacted/x.sst", &w, &err));
    for (uint64_t i = 0; i < 500; i++) {
        uint8_t key[8];
        shl_store_u64be(key, i);
        struct shl_row row = {.key = shl_slice_of(key, 8), .seq = i + 1};
        OK(shl_sst_writer_add(w, &row, &err));
    }
    assert_int_equal(f.uploads, 1);
    shl_sst_writer_free(w);
    assert_int_equal(f.aborts, 1);
    fake_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compacted_example_is_byte_equal),
        cmocka_unit_test(test_wal_example_is_byte_equal),
        cmocka_unit_test(test_filter_needs_enough_rows_and_one_policy),
        cmocka_unit_test(test_golden_files_are_written_again_as_they_are),
        cmocka_unit_test(test_object_is_the_same_in_parts_or_at_once),
        cmocka_unit_test(test_calls_may_be_repeated_after_any_store_failure),
        cmocka_unit_test(test_free_aborts_an_open_upload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
