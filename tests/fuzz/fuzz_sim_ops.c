/* Bytes as a sequence of operations on a database with tiny limits, in the deterministic env; the rows must equal a model's after every read and after
 * reopening. One byte chooses the operation, the next ones its key and length. */
#include "base/assert.h"
#include "base/env/sim.h"
#include "lsm/db.h"
#include "store/memory.h"

#include <stdio.h>

#define KEYS 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct model_row {
    bool live;
    uint32_t number;
    size_t len;
};

struct run {
    const uint8_t *data;
    size_t size, at;
    struct shl_store *store;
    struct shl_lsm_settings settings;
    struct shl_lsm *db;
    struct model_row rows[KEYS];
    uint32_t next;
};

static uint8_t take(struct run *r)
{
    return r->at < r->size ? r->data[r->at++] : 0;
}

static void must(shale_code rc)
{
    SHL_ASSERT(rc == SHALE_OK);
}

static struct shl_slice key_of(unsigned k, char buf[16])
{
    int n = snprintf(buf, 16, "%s%u", k % 3 == 0 ? "a" : k % 3 == 1 ? "ab" : "\xff", k);
    return shl_slice_of(buf, (size_t)n);
}

static struct shl_slice value_of(const struct model_row *row, char buf[700])
{
    int n = snprintf(buf, 700, "%u:", row->number);
    memset(buf + n, 'x', 690 - (size_t)n);
    return shl_slice_of(buf, (size_t)n + row->len);
}

static void open_db(struct run *r)
{
    shale_error err;
    struct shl_lsm_open o = {.store = r->store, .path = "db", .settings = &r->settings};
    must(shl_lsm_open_writer(&o, &r->db, &err));
}

static void write_batch(struct run *r, unsigned rows)
{
    struct shl_batch b;
    shale_error err;
    shl_batch_init(&b);
    for (unsigned i = 0; i < rows; i++) {
        char key[16], value[700];
        uint8_t what = take(r);
        unsigned k = what % KEYS;
        struct model_row *row = &r->rows[k];
        if (what >= 200) {
            row->live = false;
            shl_batch_add(&b, SHL_ROW_TOMBSTONE, key_of(k, key), shl_slice_of(NULL, 0),
                          (struct shl_ttl){0});
        } else {
            *row =
                (struct model_row){.live = true, .number = r->next++, .len = (size_t)take(r) * 2};
            shl_batch_add(&b, 0, key_of(k, key), value_of(row, value), (struct shl_ttl){0});
        }
    }
    must(shl_lsm_write(r->db, &b, &(struct shl_lsm_write){.await_durable = take(r) % 8 == 0}, NULL,
                       &err));
    shl_batch_deinit(&b);
}

static void check_gets(struct run *r)
{
    for (unsigned k = 0; k < KEYS; k++) {
        char key[16], want[700], got[700];
        size_t len;
        shale_error err;
        shale_code rc = shl_lsm_get_into(r->db, key_of(k, key), &(struct shl_lsm_read){0}, got,
                                         sizeof got, &len, &err);
        SHL_ASSERT(rc == (r->rows[k].live ? SHALE_OK : SHALE_NOT_FOUND));
        if (rc == SHALE_OK)
            SHL_ASSERT(shl_slice_eq(shl_slice_of(got, len), value_of(&r->rows[k], want)));
    }
}

static void check_scan(struct run *r, bool reverse)
{
    struct shl_lsm_iter *it;
    struct shl_row row;
    shale_error err;
    unsigned live = 0, seen = 0;
    shale_code rc;
    for (unsigned k = 0; k < KEYS; k++)
        live += r->rows[k].live;
    must(shl_lsm_scan_open(r->db, &(struct shl_lsm_range){0},
                           &(struct shl_lsm_scan){.reverse = reverse}, &it, &err));
    while ((rc = shl_lsm_iter_next(it, &row, &err)) == SHALE_OK) {
        bool found = false;
        for (unsigned k = 0; k < KEYS && !found; k++) {
            char key[16], want[700];
            if (r->rows[k].live && shl_slice_eq(row.key, key_of(k, key)))
                found = shl_slice_eq(row.value, value_of(&r->rows[k], want));
        }
        SHL_ASSERT(found);
        seen++;
    }
    SHL_ASSERT(rc == SHALE_DONE && seen == live);
    shl_lsm_iter_close(it);
}

static void step(struct run *r)
{
    shale_error err;
    uint8_t op = take(r);
    sim_progress();
    switch (op % 10) {
    case 0:
        check_gets(r);
        break;
    case 1:
        check_scan(r, op >= 128);
        break;
    case 2:
        must(shl_lsm_flush(r->db, op >= 128, &err));
        break;
    case 3:
        if (op >= 200)
            must(shl_lsm_settle(r->db, &err));
        break;
    case 4:
        if (op >= 200) {
            must(shl_lsm_close(r->db, &err));
            open_db(r);
        }
        break;
    default:
        write_batch(r, 1 + (op >= 220 ? 3 : 0));
        break;
    }
}

static void run_ops(void *arg)
{
    struct run *r = arg;
    shale_error err;
    uint8_t shape = take(r), codec = take(r);
    shl_lsm_settings_default(&r->settings);
    r->settings.l0_sst_size_bytes = 600 + (uint64_t)shape * 16;
    r->settings.max_unflushed_bytes = r->settings.l0_sst_size_bytes * 3;
    r->settings.sst_block_size_bytes = 1024;
    r->settings.compression = (enum shl_compression)(codec % 5);
    r->settings.min_filter_keys = codec & 64 ? 1 : 1000;
    r->settings.wal_enabled = (codec & 128) == 0;
    r->settings.min_compaction_sources = 2 + shape % 3;
    r->settings.block_cache_bytes = codec & 32 ? 0 : 65536;
    r->settings.max_sst_size_bytes = 2000;
    open_db(r);
    while (r->at < r->size)
        step(r);
    check_gets(r);
    must(shl_lsm_close(r->db, &err));
    open_db(r);
    check_gets(r);
    check_scan(r, false);
    must(shl_lsm_close(r->db, &err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run r;
    shale_error err;
    struct sim_options o = {.seed = 1, .policy = SIM_RUN_UNTIL_BLOCK, .scenario = "fuzz ops"};
    if (size < 4 || size > 600)
        return 0;
    r = (struct run){.data = data, .size = size};
    must(shl_store_memory_new(&r.store, &err));
    (void)sim_run(&o, run_ops, &r);
    shl_store_unref(r.store);
    return 0;
}
