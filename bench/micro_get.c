/* How long point lookups and scans of SSTs take, without an engine around: 1 M rows of 16 + 100 bytes in 4 SSTs, read from memory
 * through the block cache. Not part of the build; by hand:
 *
 *   cc -O2 -std=c17 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -Iinclude -Isrc bench/micro_get.c <build>/libshale.a -lz -lzstd -llz4 \
 *      -lsnappy -lxxhash -ljansson -lyaml -lpthread -o micro_get && ./micro_get
 *
 * It prints nanoseconds per operation, the smallest of some rounds. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lsm/format/block.h"
#include "lsm/sst/sst_read.h"

#define ROWS      1000000
#define SSTS      4
#define KEY_BYTES 16
#define ROUNDS    5
#define LOOKUPS   400000
#define CACHE     ((uint64_t)512 << 20)

/* A store of one object that is already in memory. */
struct memory {
    struct shl_store base;
    struct shl_buf file;
};

static shale_code memory_get_ranges(struct shl_store *base, const char *key,
                                    const struct shl_get_range *ranges, size_t count,
                                    shale_error *err)
{
    const struct memory *m = (const struct memory *)base;
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].offset > m->file.len || ranges[i].len > m->file.len - ranges[i].offset)
            return shl_fail(err, SHALE_INVALID_RANGE, "range of %s", key);
        memcpy(ranges[i].dst, m->file.data + ranges[i].offset, ranges[i].len);
    }
    return SHALE_OK;
}
static const struct shl_store_ops memory_ops = {.get_ranges = memory_get_ranges};

static const struct shl_filter_policy policy = {.bits_per_key = 10, .whole_key = true};
static struct memory stores[SSTS];
static struct shl_sst *ssts[SSTS];
static struct shl_epoch *epoch;

static void check(shale_code rc, const shale_error *err)
{
    if (rc != SHALE_OK) {
        fprintf(stderr, "%s: %s\n", shale_code_name(rc), err->text);
        exit(1);
    }
}

/* Row i is in SST i % SSTS. */
static struct shl_slice make_key(char room[KEY_BYTES + 1], uint64_t i)
{
    snprintf(room, KEY_BYTES + 1, "user%012" PRIu64, i);
    return shl_slice_of(room, KEY_BYTES);
}

static void add_block(struct shl_block_builder *b, struct shl_sst_index *index,
                      struct shl_buf *file, char *keys, const char *last)
{
    shale_error err;
    struct shl_blob_codec codec = {.compression = SHL_COMPRESSION_NONE};
    struct shl_buf raw = {0};
    struct shl_buf scratch = {0};
    struct shl_sst_index_entry e = {.offset = file->len, .first_key = shl_slice_of(keys, 0)};
    if (last != NULL)
        e.first_key.len =
            shl_sst_separator_len(shl_slice_of(last, KEY_BYTES), shl_slice_of(keys, KEY_BYTES));
    check(shl_block_builder_finish(b, &raw, &err), &err);
    check(shl_blob_encode(&codec, shl_buf_view(&raw), &scratch, file, &err), &err);
    if (!shl_array_push(&index->blocks, e))
        abort();
    shl_buf_free(&raw);
    shl_buf_free(&scratch);
}

static void build(unsigned n, const struct shl_sst_context *cx)
{
    shale_error err;
    struct shl_block_builder b;
    struct shl_sst_index index = {0};
    struct shl_blob_codec codec = {.compression = SHL_COMPRESSION_NONE};
    struct shl_buf *file = &stores[n].file;
    struct shl_buf raw = {0};
    struct shl_buf scratch = {0};
    uint64_t *hashes = calloc(ROWS / SSTS, sizeof *hashes);
    char *keys = calloc(ROWS / SSTS, KEY_BYTES + 1);
    uint8_t value[100];
    size_t rows = 0;
    size_t first = 0;
    memset(value, 'v', sizeof value);
    check(shl_block_builder_init(&b, 4096, &err), &err);
    for (uint64_t i = n; i < ROWS; i += SSTS, rows++) {
        char *key = keys + rows * (KEY_BYTES + 1);
        struct shl_row row = {.key = make_key(key, i),
                              .value = shl_slice_of(value, sizeof value),
                              .seq = i + 1,
                              .create_ts = 1,
                              .flags = SHL_ROW_HAS_CREATE};
        if (!shl_block_builder_fits(&b, &row)) {
            add_block(&b, &index, file, keys + first * (KEY_BYTES + 1),
                      first == 0 ? NULL : keys + (first - 1) * (KEY_BYTES + 1));
            first = rows;
        }
        hashes[rows] = shl_filter_hash(row.key);
        check(shl_block_builder_add(&b, &row, &err), &err);
    }
    add_block(&b, &index, file, keys + first * (KEY_BYTES + 1),
              keys + (first - 1) * (KEY_BYTES + 1));
    struct shl_sst_info info = {.has_first_entry = true,
                                .has_last_entry = true,
                                .first_entry = shl_slice_of(keys, KEY_BYTES),
                                .last_entry =
                                    shl_slice_of(keys + (rows - 1) * (KEY_BYTES + 1), KEY_BYTES),
                                .filter_offset = file->len,
                                .filter_format = SHL_FILTER_COMPOSITE};
    check(shl_filter_encode(&policy, hashes, rows, &raw, &err), &err);
    check(shl_blob_encode(&codec, shl_buf_view(&raw), &scratch, file, &err), &err);
    info.filter_len = file->len - info.filter_offset;
    info.index_offset = file->len;
    raw.len = 0;
    check(shl_sst_index_encode(&index, &raw, &err), &err);
    check(shl_blob_encode(&codec, shl_buf_view(&raw), &scratch, file, &err), &err);
    info.index_len = file->len - info.index_offset;
    struct shl_sst_desc *desc;
    check(shl_sst_desc_new((struct shl_ulid){.hi = n, .lo = n * 77}, 2, true, &info, &desc, &err),
          &err);
    check(shl_store_init(&stores[n].base, &memory_ops, 0, "memory", &err), &err);
    check(shl_sst_open(cx, &stores[n].base, "db/compacted/x.sst", desc, &ssts[n], &err), &err);
    check(shl_sst_load_meta(ssts[n], &err), &err);
    shl_sst_desc_unref(desc);
    free(hashes);
    free(keys);
    shl_sst_index_deinit(&index);
    shl_block_builder_deinit(&b);
    shl_buf_free(&raw);
    shl_buf_free(&scratch);
}

/* As an engine does it, SST after SST. */
static bool look_up(struct shl_slice key, uint64_t *sum)
{
    shale_error err;
    uint64_t hash = shl_filter_hash(key);
    bool found = false;
    uint32_t token = shl_epoch_enter(epoch);
    for (unsigned n = 0; n < SSTS; n++)
        shl_sst_prefetch_filter(ssts[n], hash);
    for (unsigned n = 0; n < SSTS && !found; n++) {
        struct shl_probe_state p = {.key = key, .hash = hash, .max_seq = UINT64_MAX};
        enum shl_probe a;
        while ((a = shl_sst_probe(ssts[n], &p, &err)) == SHL_PROBE_NEED_BLOCK) {
            struct shl_block *b;
            shl_epoch_leave(epoch, token);
            check(shl_sst_load_block(ssts[n], p.block_index, true, &b, &err), &err);
            shl_block_unref(p.loaded);
            p.loaded = b;
            p.loaded_index = p.block_index;
            token = shl_epoch_enter(epoch);
        }
        found = a == SHL_PROBE_FOUND;
        if (found)
            *sum += p.row.value.data[0];
        shl_block_unref(p.loaded);
    }
    shl_epoch_leave(epoch, token);
    return found;
}

static uint64_t rand_state = 1;
static uint64_t next_rand(void)
{
    rand_state = rand_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return rand_state >> 20;
}

/* Keys of rows in [0, rows), or missing ones. */
static double time_lookups(uint64_t rows, bool missing)
{
    double best = 1e9;
    uint64_t sum = 0;
    char(*keys)[KEY_BYTES + 1] = calloc(LOOKUPS, sizeof *keys);
    for (int r = 0; r < ROUNDS; r++) {
        for (size_t i = 0; i < LOOKUPS; i++) {
            make_key(keys[i], next_rand() % rows);
            if (missing)
                keys[i][KEY_BYTES - 7] = 'x';
        }
        uint64_t start = env_process_cpu_ns();
        for (size_t i = 0; i < LOOKUPS; i++)
            if (look_up(shl_slice_of(keys[i], KEY_BYTES), &sum) == missing)
                exit(2);
        double ns = (double)(env_process_cpu_ns() - start) / LOOKUPS;
        best = ns < best ? ns : best;
    }
    free(keys);
    return sum == 1 ? 0 : best;
}

static double time_scan(bool reverse, bool use_cache)
{
    shale_error err;
    double best = 1e9;
    struct shl_sst_scan how = {.range = {.end_unbounded = true},
                               .reverse = reverse,
                               .use_cache = use_cache,
                               .window_first_bytes = 4096,
                               .window_max_bytes = 512 << 10};
    for (int r = 0; r < ROUNDS; r++) {
        size_t rows = 0;
        uint64_t start = env_process_cpu_ns();
        for (unsigned n = 0; n < SSTS; n++) {
            struct shl_source *s;
            check(shl_sst_source_new(ssts[n], &how, &s, &err), &err);
            check(shl_source_seek(s, NULL, &err), &err);
            for (; s->valid; rows++)
                check(shl_source_next(s, &err), &err);
            shl_source_close(s);
        }
        double ns = (double)(env_process_cpu_ns() - start) / ROWS;
        best = ns < best ? ns : best;
        if (rows != ROWS)
            exit(3);
    }
    return best;
}

int main(void)
{
    shale_error err;
    struct shl_cache *cache;
    check(shl_epoch_new(&epoch, &err), &err);
    check(shl_cache_new(CACHE, epoch, &cache, &err), &err);
    struct shl_sst_context cx = {
        .epoch = epoch, .cache = cache, .policies = &policy, .policy_count = 1};
    for (unsigned n = 0; n < SSTS; n++)
        build(n, &cx);
    printf("scan forward, not cached  %7.1f ns/row\n", time_scan(false, false));
    printf("scan backward, not cached %7.1f ns/row\n", time_scan(true, false));
    uint64_t sum = 0;
    char key[KEY_BYTES + 1];
    for (int pass = 0; pass < 3; pass++) /* fill the cache, build the side tables */
        for (uint64_t i = 0; i < ROWS; i++)
            look_up(make_key(key, i), &sum);
    printf("get, 1 M rows             %7.1f ns\n", time_lookups(ROWS, false));
    printf("get, 10,000 rows          %7.1f ns\n", time_lookups(10000, false));
    printf("get, one block            %7.1f ns\n", time_lookups(30, false));
    printf("get, missing              %7.1f ns\n", time_lookups(ROWS, true));
    printf("scan forward, cached      %7.1f ns/row\n", time_scan(false, true));
    struct shl_cache_counts counts;
    shl_cache_count(cache, &counts);
    printf("cache: %" PRIu64 " bytes, %" PRIu64 " hits, %" PRIu64 " misses\n", counts.bytes,
           counts.hits, counts.misses);
    for (unsigned n = 0; n < SSTS; n++) {
        shl_sst_unref(ssts[n]);
        shl_store_deinit(&stores[n].base);
        shl_buf_free(&stores[n].file);
    }
    shl_cache_free(cache);
    shl_epoch_free(epoch);
    return 0;
}
