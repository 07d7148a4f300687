/* Goal: every object that published SlateDB versions wrote is read by our decoders, and what we write in their place is the same
 * bytes. Method: walk tests/fixtures/slatedb/<case>/store; decode each manifest, compactions file and SST, encode the model again
 * and compare; rebuild index keys, stats, filters and data blocks of SSTs from their rows alone. Each comparison is counted,
 * and the counts must not fall: a loop that silently skips files would be seen. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>
#include <jansson.h>
#include <zlib.h>

#include "base/codec/endian.h"
#include "base/env/env.h"
#include "lsm/format/block.h"
#include "lsm/format/compactions.h"
#include "lsm/format/manifest.h"
#include "lsm/format/names.h"
#include "lsm/format/sst.h"

#define FIXTURES SHALE_SOURCE_DIR "/tests/fixtures/slatedb"

static struct {
    unsigned manifests, manifests_equal, trackers_equal;
    unsigned compactions, compactions_equal;
    unsigned ssts, fences, infos_equal, indexes_equal, index_keys_equal, stats_equal;
    unsigned blocks, blocks_equal, filters, filters_equal;
    unsigned long rows;
} seen;

/* What a case says about its files. */
struct golden_case {
    const char *name;
    size_t block_size;
    struct shl_filter_policy policy;
    struct shl_transformer transformer;
    bool transformed;
    char latest_manifest[1024];
};

static shale_error err;

#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            print_error("%s:%d: %s; last error: %s\n", __FILE__, __LINE__, #cond, err.text);       \
            print_error(__VA_ARGS__);                                                              \
            print_error("\n");                                                                     \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

static struct shl_buf read_file(const char *path)
{
    struct shl_buf b = {0};
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL, "%s", path);
    uint8_t chunk[8192];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        CHECK(shl_buf_append(&b, chunk, n, &err) == SHALE_OK, "%s", path);
    (void)fclose(f);
    return b;
}

static bool equal(struct shl_slice a, struct shl_slice b)
{
    return shl_slice_eq(a, b);
}

/* ---------------------------------------------------------------- manifests and compactions */

static void check_tracker(const struct shl_manifest *m, const char *path)
{
    if (!m->has_sequence_tracker)
        return;
    struct shl_seq_tracker t;
    struct shl_buf again = {0};
    CHECK(shl_seq_tracker_decode(shl_buf_view(&m->sequence_tracker), &t, &err) == SHALE_OK, "%s",
          path);
    CHECK(shl_seq_tracker_encode(&t, &again, &err) == SHALE_OK, "%s", path);
    CHECK(equal(shl_buf_view(&again), shl_buf_view(&m->sequence_tracker)), "%s", path);
    seen.trackers_equal++;
    shl_seq_tracker_deinit(&t);
    shl_buf_free(&again);
}

static void check_manifest(struct golden_case *c, const char *path)
{
    struct shl_buf file = read_file(path);
    struct shl_buf again = {0};
    struct shl_buf cloned = {0};
    struct shl_manifest *m = NULL;
    struct shl_manifest *copy = NULL;
    CHECK(shl_manifest_decode(shl_buf_view(&file), &m, &err) == SHALE_OK, "%s", path);
    seen.manifests++;
    CHECK(shl_manifest_encode(m, &again, &err) == SHALE_OK, "%s", path);
    if (m->stored_version == 2) {
        CHECK(equal(shl_buf_view(&again), shl_buf_view(&file)), "%s", path);
        seen.manifests_equal++;
    }
    CHECK(shl_manifest_clone(m, &copy, &err) == SHALE_OK, "%s", path);
    CHECK(shl_manifest_encode(copy, &cloned, &err) == SHALE_OK, "%s", path);
    CHECK(equal(shl_buf_view(&again), shl_buf_view(&cloned)), "%s", path);
    shl_manifest_free(copy);
    CHECK(shl_manifest_decode(shl_buf_view(&again), &copy, &err) == SHALE_OK, "%s", path);
    shl_manifest_free(copy);
    check_tracker(m, path);
    if (strcmp(path, c->latest_manifest) > 0)
        (void)snprintf(c->latest_manifest, sizeof c->latest_manifest, "%s", path);
    shl_manifest_free(m);
    shl_buf_free(&file);
    shl_buf_free(&again);
    shl_buf_free(&cloned);
}

static void check_compactions(const char *path)
{
    struct shl_buf file = read_file(path);
    struct shl_buf again = {0};
    struct shl_buf cloned = {0};
    struct shl_compactions *m = NULL;
    struct shl_compactions *copy = NULL;
    CHECK(shl_compactions_decode(shl_buf_view(&file), &m, &err) == SHALE_OK, "%s", path);
    seen.compactions++;
    CHECK(shl_compactions_encode(m, &again, &err) == SHALE_OK, "%s", path);
    if (m->stored_version == 2) {
        CHECK(equal(shl_buf_view(&again), shl_buf_view(&file)), "%s", path);
        seen.compactions_equal++;
    }
    CHECK(shl_compactions_clone(m, &copy, &err) == SHALE_OK, "%s", path);
    CHECK(shl_compactions_encode(copy, &cloned, &err) == SHALE_OK, "%s", path);
    CHECK(equal(shl_buf_view(&again), shl_buf_view(&cloned)), "%s", path);
    shl_compactions_free(m);
    shl_compactions_free(copy);
    shl_buf_free(&file);
    shl_buf_free(&again);
    shl_buf_free(&cloned);
}

/* ---------------------------------------------------------------- SSTs */

struct golden_row {
    struct shl_row row;
    struct shl_buf key; /* what row.key points to */
    size_t block;
};

struct sst {
    const char *path;
    const struct golden_case *c;
    bool is_wal;
    struct shl_buf file;
    struct shl_sst_info info;
    unsigned version;
    struct shl_blob_codec codec;
    struct shl_buf index_raw;
    struct shl_sst_index index;
    struct shl_buf *raw_blocks;
    SHL_ARRAY(struct golden_row) rows;
};

static struct shl_slice area(const struct sst *s, uint64_t offset, uint64_t len)
{
    CHECK(offset <= s->file.len && len <= s->file.len - offset, "%s", s->path);
    return shl_slice_of(s->file.data + offset, (size_t)len);
}

static struct shl_buf decode_blob(const struct sst *s, uint64_t offset, uint64_t len)
{
    struct shl_buf scratch = {0};
    struct shl_buf out = {0};
    struct shl_slice raw;
    CHECK(shl_blob_decode(&s->codec, area(s, offset, len), SHL_BLOB_RAW_MAX, &scratch, &out, &raw,
                          &err) == SHALE_OK,
          "%s at %llu", s->path, (unsigned long long)offset);
    if (raw.data != out.data)
        CHECK(shl_buf_set(&out, raw, &err) == SHALE_OK, "%s", s->path);
    shl_buf_free(&scratch);
    return out;
}

static void open_sst(struct sst *s)
{
    uint64_t info_offset = 0;
    struct shl_slice file = shl_buf_view(&s->file);
    struct shl_buf tail = {0};
    CHECK(shl_sst_footer_decode(file, file.len, &info_offset, &s->version, &err) == SHALE_OK, "%s",
          s->path);
    struct shl_slice blob = area(s, info_offset, file.len - SHL_SST_FOOTER_BYTES - info_offset);
    CHECK(shl_sst_info_blob_decode(blob, &s->info, &err) == SHALE_OK, "%s", s->path);
    CHECK(shl_sst_tail_encode(&s->info, info_offset, s->version, &tail, &err) == SHALE_OK, "%s",
          s->path);
    CHECK(equal(shl_buf_view(&tail), area(s, info_offset, file.len - info_offset)), "%s", s->path);
    seen.infos_equal++;
    shl_buf_free(&tail);
    s->codec =
        (struct shl_blob_codec){.compression = s->info.compression,
                                .transformer = s->c->transformed ? &s->c->transformer : NULL};
}

static void check_index(struct sst *s)
{
    struct shl_buf again = {0};
    s->index_raw = decode_blob(s, s->info.index_offset, s->info.index_len);
    CHECK(shl_sst_index_decode(shl_buf_view(&s->index_raw), shl_sst_data_end(&s->info), true,
                               &s->index, &err) == SHALE_OK,
          "%s", s->path);
    CHECK(shl_sst_index_encode(&s->index, &again, &err) == SHALE_OK, "%s", s->path);
    CHECK(equal(shl_buf_view(&again), shl_buf_view(&s->index_raw)), "%s", s->path);
    seen.indexes_equal++;
    shl_buf_free(&again);
}

/* Keeps the raw blocks and copies the rows' keys; values point into the raw blocks. */
static void read_rows(struct sst *s)
{
    struct shl_block_iter it = {0};
    s->raw_blocks = calloc(s->index.blocks.count + 1, sizeof *s->raw_blocks);
    for (size_t b = 0; b < s->index.blocks.count; b++) {
        uint64_t len = shl_sst_block_len(&s->index, b, shl_sst_data_end(&s->info));
        s->raw_blocks[b] = decode_blob(s, s->index.blocks.items[b].offset, len);
        seen.blocks++;
        CHECK(shl_block_iter_init(&it, shl_buf_view(&s->raw_blocks[b]), s->version, &err) ==
                  SHALE_OK,
              "%s", s->path);
        CHECK(shl_block_iter_first(&it, &err) == SHALE_OK, "%s", s->path);
        while (it.valid) {
            struct golden_row r = {.row = it.row, .block = b};
            CHECK(shl_buf_set(&r.key, it.row.key, &err) == SHALE_OK, "%s", s->path);
            r.row.key = shl_buf_view(&r.key);
            assert_true(shl_array_push(&s->rows, r));
            seen.rows++;
            CHECK(shl_block_iter_next(&it, &err) == SHALE_OK, "%s block %zu", s->path, b);
        }
    }
    shl_block_iter_deinit(&it);
}

/* Cuts all rows of the file into blocks again. */
static bool rebuild_blocks(const struct sst *s, size_t capacity)
{
    struct shl_block_builder b;
    struct shl_buf raw = {0};
    size_t done = 0;
    bool same = true;
    CHECK(shl_block_builder_init(&b, capacity, &err) == SHALE_OK, "%s", s->path);
    for (size_t i = 0; i <= s->rows.count && same; i++) {
        bool last = i == s->rows.count;
        bool added = false;
        if (!last)
            CHECK(shl_block_builder_try_add(&b, &s->rows.items[i].row, &added, &err) == SHALE_OK,
                  "%s", s->path);
        if (added || shl_block_builder_empty(&b))
            continue;
        raw.len = 0;
        size_t bytes = shl_block_builder_bytes(&b);
        CHECK(shl_block_builder_finish(&b, &raw, &err) == SHALE_OK, "%s", s->path);
        CHECK(raw.len == bytes, "%s: %zu, foretold %zu", s->path, raw.len, bytes);
        same = done < s->index.blocks.count &&
               equal(shl_buf_view(&raw), shl_buf_view(&s->raw_blocks[done]));
        done++;
        if (!last) {
            CHECK(shl_block_builder_fits(&b, &s->rows.items[i].row), "%s", s->path);
            CHECK(shl_block_builder_add(&b, &s->rows.items[i].row, &err) == SHALE_OK, "%s",
                  s->path);
        }
    }
    shl_block_builder_deinit(&b);
    shl_buf_free(&raw);
    return same && done == s->index.blocks.count;
}

static bool is_aligned(const struct sst *s)
{
    for (size_t i = 0; i < s->index.blocks.count; i++)
        if (s->index.blocks.items[i].encoded_len != 0)
            return true;
    return false;
}

static void check_blocks(const struct sst *s)
{
    if (s->version != 2)
        return; /* read only */
    bool old_wal = strncmp(s->c->name, "3", 1) == 0;
    size_t capacity = s->is_wal       ? (old_wal ? 4096 : 65535)
                      : is_aligned(s) ? s->c->block_size - 4
                                      : s->c->block_size;
    CHECK(rebuild_blocks(s, capacity), "%s: capacity %zu", s->path, capacity);
    seen.blocks_equal += (unsigned)s->index.blocks.count;
}

/* Separators, or for the WAL the seq of each block's first row. */
static void check_index_keys(const struct sst *s)
{
    if (s->version != 2)
        return;
    struct shl_slice last = {0};
    for (size_t i = 0; i < s->rows.count; i++) {
        const struct golden_row *r = &s->rows.items[i];
        uint8_t seq[8];
        shl_store_u64be(seq, r->row.seq);
        if (i == 0 || r->block != r[-1].block) {
            struct shl_slice key = s->index.blocks.items[r->block].first_key;
            struct shl_slice want = r->row.key;
            want.len = i == 0 ? 0 : shl_sst_separator_len(last, r->row.key);
            if (s->info.type == SHL_SST_WAL)
                want = shl_slice_of(seq, sizeof seq);
            CHECK(equal(key, want), "%s block %zu", s->path, r->block);
            seen.index_keys_equal++;
        }
        last = r->row.key;
    }
}

static void check_stats(const struct sst *s)
{
    if (s->info.stats_len == 0)
        return;
    struct shl_sst_stats stats;
    struct shl_sst_stats counted = {0};
    struct shl_buf again = {0};
    struct shl_buf raw = decode_blob(s, s->info.stats_offset, s->info.stats_len);
    CHECK(shl_sst_stats_decode(shl_buf_view(&raw), &stats, &err) == SHALE_OK, "%s", s->path);
    for (size_t i = 0; i < s->rows.count; i++) {
        const struct golden_row *r = &s->rows.items[i];
        if (r->block == counted.blocks.count)
            assert_true(shl_array_push(&counted.blocks, ((struct shl_block_stats){0})));
        struct shl_block_stats *b = &counted.blocks.items[r->block];
        if (r->row.flags & SHL_ROW_TOMBSTONE) {
            counted.deletes++;
            b->deletes++;
        } else if (r->row.flags & SHL_ROW_MERGE) {
            counted.merges++;
            b->merges++;
        } else {
            counted.puts++;
            b->puts++;
        }
        counted.raw_key_bytes += r->row.key.len;
        counted.raw_value_bytes += r->row.value.len;
    }
    CHECK(stats.puts == counted.puts && stats.deletes == counted.deletes &&
              stats.merges == counted.merges,
          "%s", s->path);
    CHECK(shl_sst_stats_encode(&counted, &again, &err) == SHALE_OK, "%s", s->path);
    CHECK(equal(shl_buf_view(&again), shl_buf_view(&raw)), "%s", s->path);
    seen.stats_equal++;
    shl_sst_stats_deinit(&stats);
    shl_sst_stats_deinit(&counted);
    shl_buf_free(&again);
    shl_buf_free(&raw);
}

static void check_filter(const struct sst *s)
{
    if (s->info.filter_len == 0)
        return;
    SHL_ARRAY(uint64_t) hashes = {0};
    const struct shl_filter_policy *policy = &s->c->policy;
    struct shl_slice last_prefix = {0};
    struct shl_buf rebuilt = {0};
    struct shl_bloom bloom;
    struct shl_buf raw = decode_blob(s, s->info.filter_offset, s->info.filter_len);
    CHECK(shl_filter_decode(shl_buf_view(&raw), s->info.filter_format, policy, &bloom, &err) ==
              SHALE_OK,
          "%s", s->path);
    CHECK(bloom.present, "%s", s->path);
    seen.filters++;
    for (size_t i = 0; i < s->rows.count; i++) {
        struct shl_slice key = s->rows.items[i].row.key;
        struct shl_slice prefix = key;
        if (shl_extractor_prefix(&policy->extractor, key, &prefix.len) &&
            (last_prefix.data == NULL || !equal(prefix, last_prefix))) {
            assert_true(shl_array_push(&hashes, shl_filter_hash(prefix)));
            last_prefix = prefix;
        }
        assert_true(shl_array_push(&hashes, shl_filter_hash(key)));
        CHECK(shl_bloom_may_contain(&bloom, shl_filter_hash(key)), "%s row %zu", s->path, i);
    }
    const struct shl_slice all = shl_slice_of(hashes.items, hashes.count * sizeof *hashes.items);
    CHECK(shl_filter_encode(policy, &all, 1, &rebuilt, &err) == SHALE_OK, "%s", s->path);
    struct shl_slice want = shl_buf_view(&rebuilt);
    if (s->info.filter_format == SHL_FILTER_LEGACY) { /* the payload alone */
        want.data += 2 + 2 + 3 + 8;
        want.len -= 2 + 2 + 3 + 8;
    }
    CHECK(equal(shl_buf_view(&raw), want), "%s: %zu hashes, %zu bytes, rebuilt %zu", s->path,
          hashes.count, raw.len, want.len);
    seen.filters_equal++;
    shl_array_free(&hashes);
    shl_buf_free(&rebuilt);
    shl_buf_free(&raw);
}

static void check_sst(const struct golden_case *c, const char *path, bool is_wal)
{
    struct sst s = {.path = path, .c = c, .is_wal = is_wal, .file = read_file(path)};
    if (s.file.len == 0) {
        CHECK(is_wal, "%s", path);
        seen.fences++;
        return;
    }
    seen.ssts++;
    open_sst(&s);
    check_index(&s);
    read_rows(&s);
    check_blocks(&s);
    check_index_keys(&s);
    check_stats(&s);
    check_filter(&s);
    for (size_t i = 0; i < s.rows.count; i++)
        shl_buf_free(&s.rows.items[i].key);
    for (size_t i = 0; i < s.index.blocks.count; i++)
        shl_buf_free(&s.raw_blocks[i]);
    free(s.raw_blocks);
    shl_array_free(&s.rows);
    shl_sst_index_deinit(&s.index);
    shl_buf_free(&s.index_raw);
    shl_buf_free(&s.file);
}

/* ---------------------------------------------------------------- walk */

static bool has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s);
    size_t m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

static void check_file(struct golden_case *c, const char *path)
{
    if (has_suffix(path, ".manifest"))
        check_manifest(c, path);
    else if (has_suffix(path, ".compactions"))
        check_compactions(path);
    else if (has_suffix(path, ".sst"))
        check_sst(c, path, strstr(path, "/wal/") != NULL);
    else
        CHECK(has_suffix(path, ".boundary"), "what is %s?", path);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the fixture's folders */
static void walk(struct golden_case *c, const char *dir)
{
    DIR *d = opendir(dir);
    CHECK(d != NULL, "%s", dir);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char path[1024];
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        int n = snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        CHECK(n > 0 && (size_t)n < sizeof path, "%s", dir);
        CHECK(stat(path, &st) == 0, "%s", path);
        if (S_ISDIR(st.st_mode))
            walk(c, path);
        else
            check_file(c, path);
    }
    (void)closedir(d);
}

static json_t *load_json(const char *dir, const char *name)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    gzFile f = gzopen(path, "rb"); /* reads plain files too */
    if (f == NULL)
        return NULL;
    size_t cap = 1 << 20;
    char *text = malloc(cap);
    int n = gzread(f, text, (unsigned)cap - 1);
    (void)gzclose(f);
    CHECK(n > 0, "%s", path);
    json_t *j = json_loadb(text, (size_t)n, 0, NULL);
    CHECK(j != NULL, "%s", path);
    free(text);
    return j;
}

static void read_options(struct golden_case *c, const json_t *options)
{
    for (size_t i = 0; i < json_array_size(options); i++) {
        const char *option = json_string_value(json_array_get(options, i));
        const char *value = json_string_value(json_array_get(options, i + 1));
        if (strcmp(option, "--block-size") == 0)
            c->block_size = 1024 * strtoul(value, NULL, 10);
        else if (strcmp(option, "--bloom-bits") == 0)
            c->policy.bits_per_key = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(option, "--bloom-prefix") == 0)
            assert_true(shl_extractor_parse(value, &c->policy.extractor));
        else if (strcmp(option, "--transformer") == 0)
            c->transformed = true;
    }
}

/* The tracker of the latest manifest against the generator's own list. */
static unsigned check_tracker_json(const struct golden_case *c, const char *dir)
{
    json_t *j = load_json(dir, "tracker.json");
    if (j == NULL)
        j = load_json(dir, "tracker.json.gz");
    if (j == NULL)
        return 0;
    struct shl_buf file = read_file(c->latest_manifest);
    struct shl_manifest *m = NULL;
    struct shl_seq_tracker t;
    CHECK(shl_manifest_decode(shl_buf_view(&file), &m, &err) == SHALE_OK, "%s", dir);
    CHECK(shl_seq_tracker_decode(shl_buf_view(&m->sequence_tracker), &t, &err) == SHALE_OK, "%s",
          dir);
    json_t *entries = json_object_get(j, "entries");
    CHECK(m->sequence_tracker.data[0] == json_integer_value(json_object_get(j, "version")), "%s",
          dir);
    CHECK(json_array_size(entries) == t.points.count, "%s: %zu", dir, t.points.count);
    for (size_t i = 0; i < t.points.count; i++) {
        json_t *e = json_array_get(entries, i);
        CHECK((uint64_t)json_integer_value(json_array_get(e, 0)) == t.points.items[i].seq, "%s %zu",
              dir, i);
        CHECK(json_integer_value(json_array_get(e, 1)) == t.points.items[i].unix_s, "%s %zu", dir,
              i);
    }
    json_decref(j);
    shl_seq_tracker_deinit(&t);
    shl_manifest_free(m);
    shl_buf_free(&file);
    return 1;
}

static unsigned check_case(const char *name)
{
    char dir[512];
    char store[600];
    (void)snprintf(dir, sizeof dir, "%s/%s", FIXTURES, name);
    (void)snprintf(store, sizeof store, "%s/store", dir);
    json_t *j = load_json(dir, "case.json");
    CHECK(j != NULL, "%s", dir);
    struct golden_case c = {.name = name,
                            .block_size = 4096,
                            .policy = {.bits_per_key = 10, .whole_key = true},
                            .transformer = shl_transformer_xor(0x5a)};
    read_options(&c, json_object_get(j, "options"));
    json_decref(j);
    walk(&c, store);
    return check_tracker_json(&c, dir);
}

static void at_least(const char *what, unsigned long n, unsigned long min)
{
    print_message("%-34s %lu (at least %lu)\n", what, n, min);
    CHECK(n >= min, "%s: %lu, want %lu", what, n, min);
}

static void test_every_golden_object_is_read_and_written_the_same(void **state)
{
    (void)state;
    unsigned cases = 0;
    unsigned tracker_lists = 0;
    DIR *d = opendir(FIXTURES);
    CHECK(d != NULL, "%s", FIXTURES);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] < '0' || e->d_name[0] > '9')
            continue;
        tracker_lists += check_case(e->d_name);
        cases++;
    }
    (void)closedir(d);
    at_least("cases", cases, 59);
    at_least("manifests read", seen.manifests, 522);
    at_least("manifests equal", seen.manifests_equal, 496);
    at_least("sequence trackers equal", seen.trackers_equal, 518);
    at_least("tracker lists equal", tracker_lists, 3);
    at_least("compactions files read", seen.compactions, 353);
    at_least("compactions files equal", seen.compactions_equal, 347);
    at_least("empty WAL objects", seen.fences, 86);
    at_least("SSTs read", seen.ssts, 581);
    at_least("infos and footers equal", seen.infos_equal, 581);
    at_least("indexes equal", seen.indexes_equal, 581);
    at_least("index keys equal", seen.index_keys_equal, 1737);
    at_least("stats rebuilt equal", seen.stats_equal, 286);
    at_least("rows read", seen.rows, 182244);
    at_least("data blocks read", seen.blocks, 1843);
    at_least("data blocks rebuilt equal", seen.blocks_equal, 1737);
    at_least("filters read", seen.filters, 42);
    at_least("filters rebuilt equal", seen.filters_equal, 42);
}

/* SlateDB's first manifest of an empty database is what shl_manifest_new makes. */
static void test_new_manifest_is_slatedbs_first(void **state)
{
    (void)state;
    struct shl_buf file =
        read_file(FIXTURES "/01_empty/store/db/manifest/00000000000000000001.manifest");
    struct shl_manifest *m = NULL;
    struct shl_buf out = {0};
    assert_int_equal(shl_manifest_new(&m, &err), SHALE_OK);
    assert_int_equal(shl_manifest_encode(m, &out, &err), SHALE_OK);
    assert_int_equal(out.len, file.len);
    assert_memory_equal(out.data, file.data, file.len);
    shl_manifest_free(m);
    shl_buf_free(&out);
    shl_buf_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_golden_object_is_read_and_written_the_same),
        cmocka_unit_test(test_new_manifest_is_slatedbs_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
