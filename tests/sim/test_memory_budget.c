/* Goal: what a database keeps in memory depends on its settings, not on how many rows it has: the block cache and the index cache hold their limits
 * while keys are read at random and all is scanned, and the answers stay right; and a compactor needs for a database of many tables what it needs for a few.
 * Method: a database in the simulated file system, whose memory is not counted; live bytes of the env's allocator after every read, and their peak. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/env/sim.h"
#include "lsm/compactor/process.h"
#include "lsm/db.h"
#include "store/file.h"

#define KIB         UINT64_C(1024)
#define BLOCK_CACHE (64 * KIB)
#define META_CACHE  (12 * KIB)
#define PER_SST     (2 * KIB)  /* the handle, and what the manifest says of it */
#define PER_SOURCE  (10 * KIB) /* of a scan, which has all L0 SSTs open: the index, a window */
#define CONSTANT    (96 * KIB) /* a memtable's first chunks, buffers of a scan, descriptors */
#define VALUE       100
#define TABLE_BYTES (64 * KIB)  /* that a compaction writes */
#define PER_MERGE   (600 * KIB) /* windows and indexes of eight sources; an output */
#define PER_INPUT   KIB         /* what the manifest says of it, and its handle */

static shale_error err;

static void must(shale_code rc, const char *what)
{
    if (rc != SHALE_OK)
        fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(rc), err.text);
    SHL_ASSERT(rc == SHALE_OK);
}

static struct shl_slice key_of(uint64_t n, char buf[24])
{
    snprintf(buf, 24, "key%012llu", (unsigned long long)n);
    return shl_slice_str(buf);
}

static void value_of(uint64_t n, char value[VALUE])
{
    memset(value, 'a' + (int)(n % 26), VALUE);
    memcpy(value, &n, sizeof n);
}

static void fill(const struct shl_lsm_open *o, uint64_t rows)
{
    struct shl_lsm *db;
    char key[24];
    char value[VALUE];
    must(shl_lsm_open_writer(o, &db, &err), "open");
    for (uint64_t i = 0; i < rows; i++) {
        uint64_t n = i * 7919 % rows;
        struct shl_lsm_write how = {.await_durable = false};
        value_of(n, value);
        must(shl_lsm_write_one(db, 0, key_of(n, key), shl_slice_of((uint8_t *)value, VALUE),
                               (struct shl_ttl){0}, &how, NULL, &err),
             "put");
        sim_progress();
        if (i % 400 == 399)
            must(shl_lsm_flush(db, true, &err), "flush");
    }
    must(shl_lsm_flush(db, true, &err), "flush");
    must(shl_lsm_close(db, &err), "close");
}

struct seen {
    uint64_t ssts;
    /* most that was live after a step, beyond what was before the open */
    uint64_t get_bytes;
    uint64_t scan_bytes;
};

static void note(uint64_t *most, uint64_t before)
{
    uint64_t live = sim_alloc_live_bytes(0) - before;
    *most = live > *most ? live : *most;
    sim_progress();
}

static struct seen read_all(const struct shl_lsm_open *o, uint64_t rows)
{
    uint64_t before = sim_alloc_live_bytes(0);
    struct seen seen = {0};
    struct shl_lsm *db;
    struct shl_lsm_iter *it;
    struct shl_lsm_range range = {0};
    struct shl_lsm_scan how = {0};
    struct shl_row row;
    char key[24];
    char value[VALUE];
    uint64_t n = 0;
    must(shl_lsm_open_reader(o, &(struct shl_lsm_reader){0}, &db, &err), "open");
    for (uint64_t i = 0; i < 1500; i++) {
        struct shl_lsm_pinned p = {0};
        n = sim_rand_below(rows);
        value_of(n, value);
        must(shl_lsm_get(db, key_of(n, key), &(struct shl_lsm_read){0}, &p, &err), "get");
        SHL_ASSERT(p.value.len == VALUE && memcmp(p.value.data, value, VALUE) == 0);
        note(&seen.get_bytes, before);
        shl_lsm_pinned_release(&p);
    }
    must(shl_lsm_scan_open(db, &range, &how, &it, &err), "scan");
    for (n = 0; shl_lsm_iter_next(it, &row, &err) == SHALE_OK; n++) {
        value_of(n, value);
        SHL_ASSERT(row.value.len == VALUE && memcmp(row.value.data, value, VALUE) == 0);
        note(&seen.scan_bytes, before);
    }
    SHL_ASSERT(n == rows);
    shl_lsm_iter_close(it);
    struct shl_lsm_status status;
    shl_lsm_status(db, &status);
    seen.ssts = status.l0_count;
    must(shl_lsm_close(db, &err), "close");
    SHL_ASSERT(sim_alloc_live_bytes(0) == before);
    return seen;
}

static struct seen seen;

/* An empty folder, and small blocks; nobody compacts. */
static void begin(struct shl_store **store, struct shl_lsm_settings *settings)
{
    struct shl_file_options how = {0};
    sim_fs_reset();
    must(shl_store_file_new(store, "/tmp", &how, &err), "store");
    shl_lsm_settings_default(settings);
    settings->compactor_enabled = false;
    settings->l0_max_ssts = settings->l0_max_ssts_per_key = 1000;
    settings->sst_block_size_bytes = 1024;
    settings->min_filter_keys = 1;
}

static void with_rows(void *arg)
{
    const uint64_t *rows = arg;
    struct shl_store *store;
    struct shl_lsm_settings settings;
    begin(&store, &settings);
    settings.block_cache_bytes = BLOCK_CACHE;
    settings.meta_cache_bytes = META_CACHE;
    settings.scan_window_bytes = 4096;
    struct shl_lsm_open o = {.store = store, .path = "db", .settings = &settings};
    fill(&o, *rows);
    seen = read_all(&o, *rows);
    shl_store_unref(store);
}

static void run(uint64_t rows)
{
    struct sim_options o = {.seed = 1, .scenario = "memory budget"};
    sim_run(&o, with_rows, &rows);
}

static void test_memory_does_not_follow_the_rows(void **state)
{
    (void)state;
    for (uint64_t rows = 800; rows <= 16000; rows *= 4) {
        run(rows);
        uint64_t most = BLOCK_CACHE + META_CACHE + CONSTANT + seen.ssts * PER_SST;
        print_message("%llu rows in %llu SSTs: %llu bytes after gets, %llu in a scan\n",
                      (unsigned long long)rows, (unsigned long long)seen.ssts,
                      (unsigned long long)seen.get_bytes, (unsigned long long)seen.scan_bytes);
        assert_in_range(seen.get_bytes, BLOCK_CACHE / 2, most);
        assert_in_range(seen.scan_bytes, 1, most + seen.ssts * PER_SOURCE);
    }
    assert_true(seen.ssts > 20);
}

/* ---------------------------------------------------------------- compaction */

struct compacted {
    uint64_t rows;
    uint64_t peak;     /* most that was live, beyond what was before */
    uint64_t l0_count; /* before */
    uint64_t runs;     /* after */
};

static void compact_rows(void *arg)
{
    struct compacted *c = arg;
    struct shl_store *store;
    struct shl_lsm_settings settings;
    struct shl_compactor_process *p;
    struct shl_lsm *db;
    struct shl_lsm_status status;
    begin(&store, &settings);
    settings.max_sst_size_bytes = TABLE_BYTES;
    settings.subcompaction_min_bytes = TABLE_BYTES;
    settings.worker_bytes_to_fetch = 16 * KIB;
    settings.worker_max_concurrent = settings.compactor_max_concurrent = 1;
    struct shl_lsm_open o = {.store = store, .path = "db", .settings = &settings};
    fill(&o, c->rows);
    must(shl_lsm_open_reader(&o, &(struct shl_lsm_reader){0}, &db, &err), "open");
    shl_lsm_status(db, &status);
    c->l0_count = status.l0_count;
    must(shl_lsm_close(db, &err), "close");
    struct shl_process_open po = {
        .store = store, .path = "db", .settings = &settings, .coordinates = true, .works = true};
    uint64_t before = sim_alloc_live_bytes(0);
    (void)sim_alloc_peak_bytes(0);
    must(shl_process_new(&po, &p, &err), "compactor");
    must(shl_process_run(p, &(struct shl_process_run){.once = true}, &err), "compact");
    shl_process_free(p);
    c->peak = sim_alloc_peak_bytes(0) - before;
    must(shl_lsm_open_reader(&o, &(struct shl_lsm_reader){0}, &db, &err), "open");
    shl_lsm_status(db, &status);
    c->runs = status.run_count;
    must(shl_lsm_close(db, &err), "close");
    shl_store_unref(store);
}

static struct compacted run_compaction(uint64_t rows, uint32_t cpus)
{
    struct compacted c = {.rows = rows};
    struct sim_options o = {.seed = 2, .scenario = "memory of a compaction", .cpus = cpus};
    sim_run(&o, compact_rows, &c);
    print_message("%llu rows, %u CPUs, %llu runs left: %llu bytes at most\n",
                  (unsigned long long)rows, cpus, (unsigned long long)c.runs,
                  (unsigned long long)c.peak);
    return c;
}

static void test_compaction_does_not_follow_the_rows(void **state)
{
    (void)state;
    struct compacted c = {0};
    for (uint64_t rows = 4000; rows <= 64000; rows *= 4) {
        c = run_compaction(rows, 1);
        assert_in_range(c.peak, 1, PER_MERGE + c.l0_count * PER_INPUT);
    }
    /* As many merge beside each other as there are CPUs. */
    assert_true(run_compaction(64000, 4).peak > 2 * c.peak);
    assert_true(run_compaction(64000, 2).peak < 2 * c.peak);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_does_not_follow_the_rows),
        cmocka_unit_test(test_compaction_does_not_follow_the_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
