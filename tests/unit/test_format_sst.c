/* Goal: the parts of an SST around its rows. Method: the worked file of slatedb-format 2.12 taken apart and put together again;
 * fences and WAL examples of section 7; one damage per check; every truncation and flipped bit. */
#include "lsm/format/sst.h"

#include "support_format.h"

#include "base/codec/crc32.h"
#include "base/codec/endian.h"
#include "base/num.h"

static shale_error err;

#define OK(call) assert_int_equal((call), SHALE_OK)

static const char index_hex[] = "0c000000 0000 0600 0800 0400 06000000 04000000 01000000 0c000000"
                                "0800 0800 0000 0400 08000000 04000000 00000000";

/* 2.12 "Info FlatBuffer": first entry apple, last entry date. */
static struct shl_sst_info example_info(void)
{
    return (struct shl_sst_info){.first_entry = shl_slice_str("apple"),
                                 .last_entry = shl_slice_str("date"),
                                 .has_first_entry = true,
                                 .has_last_entry = true,
                                 .index_offset = 0xba,
                                 .index_len = 0x34,
                                 .filter_offset = 0x9e,
                                 .filter_len = 0x1c,
                                 .stats_offset = 0xee,
                                 .stats_len = 0x6c,
                                 .filter_format = SHL_FILTER_COMPOSITE};
}

static void test_worked_info_has_the_stored_crc(void **state)
{
    (void)state;
    struct shl_sst_info info = example_info();
    struct shl_buf out = {0};
    OK(shl_sst_tail_encode(&info, 0x15a, 2, &out, &err));
    assert_int_equal(out.len, 120 + 4 + 10);
    format_expect_bytes("crc of the info", shl_slice_of(out.data + 120, 4),
                        shl_slice_of("\x73\x18\xa8\xeb", 4));
    format_expect_bytes("footer", shl_slice_of(out.data + 124, 10),
                        shl_slice_of("\0\0\0\0\0\0\1\x5a\0\2", 10));
    assert_int_equal(shl_load_u32le(out.data), 32);
    static const uint8_t slots[] = {26, 0, 68, 0, 8, 0,  16, 0,  24, 0,  32, 0, 40,
                                    0,  0, 0,  0, 0, 12, 0,  48, 0,  56, 0,  7, 0};
    assert_memory_equal(out.data + 6, slots, sizeof slots);
    shl_buf_free(&out);
}

static void expect_info(const struct shl_sst_info *a, const struct shl_sst_info *b)
{
    assert_int_equal(a->has_first_entry, b->has_first_entry);
    assert_int_equal(a->has_last_entry, b->has_last_entry);
    assert_true(shl_slice_eq(a->first_entry, b->first_entry));
    assert_true(shl_slice_eq(a->last_entry, b->last_entry));
    assert_true(a->index_offset == b->index_offset && a->index_len == b->index_len);
    assert_true(a->filter_offset == b->filter_offset && a->filter_len == b->filter_len);
    assert_true(a->stats_offset == b->stats_offset && a->stats_len == b->stats_len);
    assert_int_equal(a->compression, b->compression);
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->filter_format, b->filter_format);
}

static void test_info_reads_back_and_keeps_empty_apart_from_absent(void **state)
{
    (void)state;
    struct shl_sst_info infos[4] = {
        example_info(), example_info(), example_info(), {.index_len = 0}};
    infos[1].first_entry = shl_slice_str("");
    infos[1].compression = SHL_COMPRESSION_ZSTD;
    infos[2].has_last_entry = false;
    infos[2].last_entry = shl_slice_of(NULL, 0);
    infos[2].type = SHL_SST_WAL;
    for (size_t i = 0; i < SHL_COUNT_OF(infos); i++) {
        struct shl_buf out = {0};
        struct shl_sst_info got;
        OK(shl_sst_info_encode(&infos[i], &out, &err));
        OK(shl_sst_info_decode(shl_buf_view(&out), &got, &err));
        expect_info(&got, &infos[i]);
        shl_buf_free(&out);
    }
}

static void test_info_refuses_what_it_does_not_know(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned compression, type, filter_format;
        uint64_t index_len;
        const char *text;
    } cases[] = {
        {"compression", 5, 0, 1, 1, "compression 5"},
        {"type", 0, 2, 1, 1, "type 2"},
        {"filter format", 0, 0, 2, 1, "filter format 2"},
        {"index past 2^64", 0, 0, 1, UINT64_MAX, "index at 186"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_sst_info info = example_info();
        struct shl_sst_info got;
        struct shl_buf out = {0};
        info.compression = (enum shl_compression)cases[i].compression;
        info.type = (enum shl_sst_type)cases[i].type;
        info.filter_format = (enum shl_filter_format)cases[i].filter_format;
        info.index_len = cases[i].index_len;
        OK(shl_sst_info_encode(&info, &out, &err));
        shale_code rc = shl_sst_info_decode(shl_buf_view(&out), &got, &err);
        if (rc != SHALE_CORRUPTION || strstr(err.text, cases[i].text) == NULL)
            fail_msg("%s: code %d, text %s", cases[i].name, (int)rc, err.text);
        shl_buf_free(&out);
    }
}

/* ---------------------------------------------------------------- footer */

static void test_footer_borders(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *hex;
        uint64_t object_bytes;
        shale_code rc;
        const char *text;
    } cases[] = {
        {"v1", "0000000000000007 0001", 22, SHALE_OK, ""},
        {"v2", "0000000000000007 0002", 22, SHALE_OK, ""},
        {"v3", "0000000000000007 0003", 22, SHALE_CORRUPTION, "version 3"},
        {"v0", "0000000000000007 0000", 22, SHALE_CORRUPTION, "version 0"},
        {"info of the crc alone", "0000000000000008 0002", 22, SHALE_CORRUPTION,
         "its 22 bytes do not end in a footer (info at 8)"},
        {"info at the footer", "000000000000000c 0002", 22, SHALE_CORRUPTION, "info at 12"},
        {"info past the footer", "000000000000000d 0002", 22, SHALE_CORRUPTION, "info at 13"},
        {"info far away", "ffffffffffffffff 0002", 22, SHALE_CORRUPTION,
         "info at 18446744073709551615"},
        {"nine bytes", "00000000000007 0002", 9, SHALE_CORRUPTION,
         "cut short, or no SSTable: all of it has 9 bytes"},
        {"a footer alone", "0000000000000000 0002", 10, SHALE_CORRUPTION, "its 10 bytes"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_buf tail = format_hex(cases[i].hex);
        uint64_t offset = 99;
        unsigned version = 99;
        shale_code rc = shl_sst_footer_decode(shl_buf_view(&tail), cases[i].object_bytes, &offset,
                                              &version, &err);
        if (rc != cases[i].rc || (rc != SHALE_OK && strstr(err.text, cases[i].text) == NULL))
            fail_msg("%s: code %d, text %s", cases[i].name, (int)rc, err.text);
        assert_int_equal(offset, rc == SHALE_OK ? 7 : 99);
        shl_buf_free(&tail);
    }
}

/* slatedb-format 7.2: the fence of 0.12, 114 bytes. */
static void test_fence_of_0_12_is_read(void **state)
{
    (void)state;
    struct shl_buf index =
        format_hex("0c000000 0000 0600 0800 0400 06000000 04000000 00000000 177e6f0a");
    struct shl_buf stats = format_hex("08000000 0400 0400 04000000 ed606b2a");
    struct shl_blob_codec codec = {.compression = SHL_COMPRESSION_NONE};
    struct shl_buf scratch = {0};
    struct shl_buf out = {0};
    struct shl_slice raw;
    struct shl_sst_index decoded;
    struct shl_sst_stats counts;
    OK(shl_blob_decode(&codec, shl_buf_view(&index), 1000, &scratch, &out, &raw, &err));
    OK(shl_sst_index_decode(raw, 0, true, &decoded, &err));
    assert_int_equal(decoded.blocks.count, 0);
    OK(shl_sst_index_encode(&decoded, &out, &err));
    format_expect_bytes("index", shl_buf_view(&out), raw);
    out.len = 0;
    OK(shl_blob_decode(&codec, shl_buf_view(&stats), 1000, &scratch, &out, &raw, &err));
    OK(shl_sst_stats_decode(raw, &counts, &err));
    assert_int_equal(counts.blocks.count, 0);
    OK(shl_sst_stats_encode(&counts, &out, &err));
    format_expect_bytes("stats", shl_buf_view(&out), raw);
    shl_sst_index_deinit(&decoded);
    shl_sst_stats_deinit(&counts);
    shl_buf_free(&out);
    shl_buf_free(&index);
    shl_buf_free(&stats);
}

/* ---------------------------------------------------------------- index and stats */

static void test_worked_index_both_ways(void **state)
{
    (void)state;
    struct shl_buf raw = format_hex(index_hex);
    struct shl_buf out = {0};
    struct shl_sst_index index;
    assert_int_equal(shl_crc32(raw.data, raw.len), 0x7091379d);
    OK(shl_sst_index_decode(shl_buf_view(&raw), 0x9e, true, &index, &err));
    assert_int_equal(index.blocks.count, 1);
    assert_int_equal(index.blocks.items[0].first_key.len, 0);
    assert_int_equal(shl_sst_block_len(&index, 0, 0x9e), 0x9e);
    OK(shl_sst_index_encode(&index, &out, &err));
    format_expect_hex("index", &out, index_hex);
    shl_sst_index_deinit(&index);
    shl_buf_free(&out);
    shl_buf_free(&raw);
}

static void test_wal_index_example(void **state)
{
    (void)state;
    struct shl_sst_index_entry block = {.first_key = shl_slice_of("\0\0\0\0\0\0\0\1", 8)};
    struct shl_sst_index index = {.blocks = {.items = &block, .count = 1}};
    struct shl_buf out = {0};
    OK(shl_sst_index_encode(&index, &out, &err));
    format_expect_hex(
        "7.1", &out,
        "0c000000 0000 0600 0800 0400 06000000 04000000 01000000 0c000000 0800 0800 0000 0400"
        "08000000 04000000 08000000 0000000000000001");
    assert_int_equal(shl_crc32(out.data, out.len), 0xe28086d4);
    shl_buf_free(&out);
}

static void test_index_checks_places_and_order(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t offsets[2];
        uint32_t encoded_len[2];
        const char *keys[2];
        uint64_t data_end;
        const char *text; /* NULL: accepted */
    } cases[] = {
        {"plain", {0, 100}, {0, 0}, {"", "b"}, 200, NULL},
        {"equal keys", {0, 100}, {0, 0}, {"b", "b"}, 200, NULL},
        {"padded", {0, 4096}, {4095, 50}, {"", "b"}, 8192, NULL},
        {"smallest block", {0, 5}, {0, 0}, {"", "b"}, 10, NULL},
        {"block of a crc alone", {0, 4}, {0, 0}, {"", "b"}, 10, "block 0 of 4 bytes"},
        {"last block too short", {0, 5}, {0, 0}, {"", "b"}, 9, "block 1 of 4 bytes"},
        {"same place", {5, 5}, {0, 0}, {"", "b"}, 10, "block 0 at 5, next at 5"},
        {"backwards", {50, 5}, {0, 0}, {"", "b"}, 100, "block 0 at 50, next at 5"},
        {"at the end", {0, 100}, {0, 0}, {"", "b"}, 100, "block 1 at 100, next at 100"},
        {"past the end", {0, 101}, {0, 0}, {"", "b"}, 100, "block 1 at 101"},
        {"encoded_len into the next",
         {0, 100},
         {101, 0},
         {"", "b"},
         200,
         "block 0 of 101 bytes in room for 100"},
        {"encoded_len past the end",
         {0, 100},
         {0, 101},
         {"", "b"},
         200,
         "block 1 of 101 bytes in room for 100"},
        {"keys backwards", {0, 100}, {0, 0}, {"b", "a"}, 200, "key of block 1 is below"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_sst_index_entry blocks[2];
        for (size_t k = 0; k < 2; k++)
            blocks[k] = (struct shl_sst_index_entry){.offset = cases[i].offsets[k],
                                                     .encoded_len = cases[i].encoded_len[k],
                                                     .first_key = shl_slice_str(cases[i].keys[k])};
        struct shl_sst_index index = {.blocks = {.items = blocks, .count = 2}};
        struct shl_sst_index got = {.blocks = {0}};
        struct shl_buf out = {0};
        OK(shl_sst_index_encode(&index, &out, &err));
        shale_code rc =
            shl_sst_index_decode(shl_buf_view(&out), cases[i].data_end, true, &got, &err);
        if (cases[i].text == NULL
                ? rc != SHALE_OK
                : rc != SHALE_CORRUPTION || strstr(err.text, cases[i].text) == NULL)
            fail_msg("%s: code %d, text %s", cases[i].name, (int)rc, err.text);
        for (size_t k = 0; k < got.blocks.count; k++) {
            uint64_t end = k == 0 ? cases[i].offsets[1] : cases[i].data_end;
            uint64_t want =
                cases[i].encoded_len[k] != 0 ? cases[i].encoded_len[k] : end - cases[i].offsets[k];
            assert_int_equal(shl_sst_block_len(&got, k, cases[i].data_end), want);
        }
        shl_sst_index_deinit(&got);
        shl_buf_free(&out);
    }
}

static void test_unordered_keys_are_accepted_where_nobody_searches(void **state)
{
    (void)state;
    struct shl_sst_index_entry blocks[2] = {{.first_key = shl_slice_str("b")},
                                            {.offset = 50, .first_key = shl_slice_str("a")}};
    struct shl_sst_index index = {.blocks = {.items = blocks, .count = 2}};
    struct shl_sst_index got;
    struct shl_buf out = {0};
    OK(shl_sst_index_encode(&index, &out, &err));
    OK(shl_sst_index_decode(shl_buf_view(&out), 100, false, &got, &err));
    shl_sst_index_deinit(&got);
    shl_buf_free(&out);
}

static void test_separators(void **state)
{
    (void)state;
    static const struct {
        const char *prev, *first, *want;
    } cases[] = {
        {"apple", "banana", "b"}, {"apple", "apricot", "apr"}, {"app", "apple", "appl"},
        {"app", "app", "app"},    {"a", "ab", "ab"},           {"abc", "abd", "abd"},
        {"", "k", "k"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++)
        assert_int_equal(
            shl_sst_separator_len(shl_slice_str(cases[i].prev), shl_slice_str(cases[i].first)),
            strlen(cases[i].want));
}

static void test_worked_stats_have_the_stored_crc(void **state)
{
    (void)state;
    struct shl_block_stats block = {.puts = 3, .deletes = 1, .merges = 1};
    struct shl_sst_stats stats = {.puts = 3,
                                  .deletes = 1,
                                  .merges = 1,
                                  .raw_key_bytes = 28,
                                  .raw_value_bytes = 16,
                                  .blocks = {.items = &block, .count = 1}};
    struct shl_sst_stats got;
    struct shl_buf out = {0};
    OK(shl_sst_stats_encode(&stats, &out, &err));
    assert_int_equal(out.len, 104);
    assert_int_equal(shl_crc32(out.data, out.len), 0x68601a1b);
    OK(shl_sst_stats_decode(shl_buf_view(&out), &got, &err));
    assert_int_equal(got.puts, 3);
    assert_int_equal(got.raw_value_bytes, 16);
    assert_int_equal(got.blocks.items[0].merges, 1);
    shl_sst_stats_deinit(&got);
    shl_buf_free(&out);
}

/* ---------------------------------------------------------------- blobs */

static void test_stored_blobs_of_all_codecs_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum shl_compression compression;
        const char *hex;
        uint8_t create_ts_end[2];
    } cases[] = {
        {"snappy",
         SHL_COMPRESSION_SNAPPY,
         "2a54000a086166746572666c75736877616c206f6e6c79000501380c0d04000001a1f9e1b48b00000001 | "
         "5d89f219",
         {0xb4, 0x8b}},
        {"zlib",
         SHL_COMPRESSION_ZLIB,
         "789c63e0e2484c2b492d4acb292dce284fcc51c8cfcba96400031e5e160606c6853f1f6e5b08e431020000670"
         "b5e | d8a53755",
         {0, 0}},
        {"lz4",
         SHL_COMPRESSION_LZ4,
         "2a000000f107000a086166746572666c75736877616c206f6e6c79000100f0000c0d04000001a1f9e1b79b000"
         "00001 | b123abde",
         {0xb7, 0x9b}},
        {"zstd",
         SHL_COMPRESSION_ZSTD,
         "28b52ffd202a510100000a086166746572666c75736877616c206f6e6c790000000000000c0d04000001a1f9e"
         "1b88400000001 |"
         "9b1ba028",
         {0xb8, 0x84}},
    };
    struct shl_buf want = format_hex(
        "000a08 \"afterflush\" \"wal only\" 0000000000000c0d 04 000001a1f9e1b48b 0000 0001");
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_blob_codec codec = {.compression = cases[i].compression};
        struct shl_buf blob = format_hex(cases[i].hex);
        struct shl_buf scratch = {0};
        struct shl_buf out = {0};
        struct shl_slice raw;
        OK(shl_blob_decode(&codec, shl_buf_view(&blob), 42, &scratch, &out, &raw, &err));
        assert_int_equal(raw.len, 42);
        assert_memory_equal(raw.data, want.data, 36); /* up to the last bytes of create_ts */
        assert_int_equal(
            shl_blob_decode(&codec, shl_buf_view(&blob), 41, &scratch, &out, &raw, &err),
            SHALE_CORRUPTION);
        if (cases[i].create_ts_end[0] != 0)
            assert_memory_equal(out.data + 36, cases[i].create_ts_end, 2);
        shl_buf_free(&blob);
        shl_buf_free(&out);
        shl_buf_free(&scratch);
    }
    shl_buf_free(&want);
}

static void test_blobs_of_every_codec_and_transformer_read_back(void **state)
{
    (void)state;
    struct shl_transformer x = shl_transformer_xor(0x5a);
    uint8_t bytes[5000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * i / 7);
    for (unsigned c = 0; c <= SHL_COMPRESSION_ZSTD; c++) {
        for (unsigned transformed = 0; transformed <= 1; transformed++) {
            struct shl_blob_codec codec = {.compression = (enum shl_compression)c,
                                           .transformer = transformed ? &x : NULL};
            struct shl_buf scratch = {0};
            struct shl_buf blob = {0};
            struct shl_buf out = {0};
            struct shl_slice raw;
            OK(shl_buf_append(&blob, "before", 6, &err));
            OK(shl_buf_append(&out, "here", 4, &err));
            OK(shl_blob_encode(&codec, shl_slice_of(bytes, sizeof bytes), &scratch, &blob, &err));
            struct shl_slice stored = shl_slice_of(blob.data + 6, blob.len - 6);
            OK(shl_blob_decode(&codec, stored, sizeof bytes, &scratch, &out, &raw, &err));
            format_expect_bytes("raw", raw, shl_slice_of(bytes, sizeof bytes));
            assert_int_equal(raw.data == stored.data,
                             c == 0 && !transformed); /* no copy where none is needed */
            assert_memory_equal(out.data, "here", 4);
            blob.data[6 + 17] ^= 1;
            assert_int_equal(
                shl_blob_decode(&codec, stored, sizeof bytes, &scratch, &out, &raw, &err),
                SHALE_CORRUPTION);
            assert_non_null(strstr(err.text, "crc 0x"));
            shl_buf_free(&scratch);
            shl_buf_free(&blob);
            shl_buf_free(&out);
        }
    }
}

static void test_raw_blob_larger_than_asked_for_is_refused(void **state)
{
    (void)state;
    struct shl_blob_codec codec = {.compression = SHL_COMPRESSION_NONE};
    struct shl_buf scratch = {0};
    struct shl_buf blob = {0};
    struct shl_buf out = {0};
    struct shl_slice raw;
    OK(shl_blob_encode(&codec, shl_slice_str("12345"), &scratch, &blob, &err));
    OK(shl_blob_decode(&codec, shl_buf_view(&blob), 5, &scratch, &out, &raw, &err));
    assert_int_equal(shl_blob_decode(&codec, shl_buf_view(&blob), 4, &scratch, &out, &raw, &err),
                     SHALE_CORRUPTION);
    assert_int_equal(
        shl_blob_decode(&codec, shl_slice_of(blob.data, 4), 4, &scratch, &out, &raw, &err),
        SHALE_CORRUPTION);
    shl_buf_free(&blob);
}

/* ---------------------------------------------------------------- damage */

static bool use_info(struct shl_slice bytes, void *ctx)
{
    struct shl_sst_info info;
    uint64_t *sum = ctx;
    if (shl_sst_info_decode(bytes, &info, &err) != SHALE_OK)
        return false;
    for (size_t i = 0; i < info.first_entry.len; i++)
        *sum += info.first_entry.data[i];
    for (size_t i = 0; i < info.last_entry.len; i++)
        *sum += info.last_entry.data[i];
    return true;
}

static bool use_index(struct shl_slice bytes, void *ctx)
{
    struct shl_sst_index index;
    uint64_t *sum = ctx;
    if (shl_sst_index_decode(bytes, 0x9e, true, &index, &err) != SHALE_OK)
        return false;
    for (size_t i = 0; i < index.blocks.count; i++)
        for (size_t k = 0; k < index.blocks.items[i].first_key.len; k++)
            *sum += index.blocks.items[i].first_key.data[k];
    shl_sst_index_deinit(&index);
    return true;
}

static void test_damaged_info_and_index_are_safe(void **state)
{
    (void)state;
    struct shl_sst_info info = example_info();
    struct shl_buf bytes = {0};
    struct shl_buf index = format_hex(index_hex);
    uint64_t sum = 0;
    OK(shl_sst_info_encode(&info, &bytes, &err));
    assert_true(use_info(shl_buf_view(&bytes), &sum));
    (void)format_truncate_all(shl_buf_view(&bytes), use_info, &sum);
    (void)format_flip_all(shl_buf_view(&bytes), use_info, &sum);
    assert_true(use_index(shl_buf_view(&index), &sum));
    assert_int_equal(format_truncate_all(shl_buf_view(&index), use_index, &sum), 0);
    (void)format_flip_all(shl_buf_view(&index), use_index, &sum);
    shl_buf_free(&bytes);
    shl_buf_free(&index);
}

static void test_descriptor_owns_its_keys(void **state)
{
    (void)state;
    char key[] = "apple";
    struct shl_sst_info info = example_info();
    struct shl_sst_desc *d = NULL;
    info.first_entry = shl_slice_str(key);
    info.last_entry = shl_slice_str("");
    OK(shl_sst_desc_new((struct shl_ulid){1, 2}, 2, true, &info, &d, &err));
    key[0] = 'x';
    assert_true(shl_slice_eq(d->info.first_entry, shl_slice_str("apple")));
    assert_true(d->info.has_last_entry);
    assert_int_equal(d->info.last_entry.len, 0);
    assert_ptr_equal(shl_sst_desc_ref(d), d);
    shl_sst_desc_unref(d);
    assert_int_equal(d->format_version, 2);
    shl_sst_desc_unref(d);
    shl_sst_desc_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_info_has_the_stored_crc),
        cmocka_unit_test(test_info_reads_back_and_keeps_empty_apart_from_absent),
        cmocka_unit_test(test_info_refuses_what_it_does_not_know),
        cmocka_unit_test(test_footer_borders),
        cmocka_unit_test(test_fence_of_0_12_is_read),
        cmocka_unit_test(test_worked_index_both_ways),
        cmocka_unit_test(test_wal_index_example),
        cmocka_unit_test(test_index_checks_places_and_order),
        cmocka_unit_test(test_unordered_keys_are_accepted_where_nobody_searches),
        cmocka_unit_test(test_separators),
        cmocka_unit_test(test_worked_stats_have_the_stored_crc),
        cmocka_unit_test(test_stored_blobs_of_all_codecs_are_read),
        cmocka_unit_test(test_blobs_of_every_codec_and_transformer_read_back),
        cmocka_unit_test(test_raw_blob_larger_than_asked_for_is_refused),
        cmocka_unit_test(test_damaged_info_and_index_are_safe),
        cmocka_unit_test(test_descriptor_owns_its_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
