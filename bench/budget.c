/* What the hot paths cost in instructions: fixed loops for tools/check-budgets, which runs them under callgrind. Each loop is a function of its own,
 * budget_NAME; its operations, allocations and requests are printed as a line of JSON. Nothing here is measured in time. */
#include "shale/shale.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS       40000
#define LOOKUPS    4000
#define COLD       600
#define SCANS      500
#define SHORT_ROWS 10
#define KEY_BYTES  16
#define VALUE      100
#define MANY       8
#define URL        "memory://?name=budget"

#define LOOP __attribute__((noinline, noclone)) static uint64_t

/* ---- allocations: the linker sends calls of the env here */

static _Atomic uint64_t allocations;

void *__real_env_alloc(size_t size);
void *__real_env_calloc(size_t count, size_t size);
void *__real_env_realloc(void *p, size_t size);
void *__real_env_alloc_aligned(size_t align, size_t size);
void *__wrap_env_alloc(size_t size);
void *__wrap_env_calloc(size_t count, size_t size);
void *__wrap_env_realloc(void *p, size_t size);
void *__wrap_env_alloc_aligned(size_t align, size_t size);

void *__wrap_env_alloc(size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_env_alloc(size);
}

void *__wrap_env_calloc(size_t count, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_env_calloc(count, size);
}

void *__wrap_env_realloc(void *p, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_env_realloc(p, size);
}

void *__wrap_env_alloc_aligned(size_t align, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_env_alloc_aligned(align, size);
}

/* ---- locks and copies: counted in a program of their own, for counting costs instructions */

static _Thread_local uint64_t locks; /* of the thread of the loops: tasks lock as they please */
static _Atomic uint64_t copied;      /* bytes, in copies of at least COPY_MIN: rows and blocks */

#ifdef COUNT_COPIES
#define COPY_MIN 64

struct env_mutex;
void __real_env_mutex_lock(struct env_mutex *mu);
void *__real_memcpy(void *dst, const void *src, size_t n);
void *__real_memmove(void *dst, const void *src, size_t n);
void __wrap_env_mutex_lock(struct env_mutex *mu);
void *__wrap_memcpy(void *dst, const void *src, size_t n);
void *__wrap_memmove(void *dst, const void *src, size_t n);

void __wrap_env_mutex_lock(struct env_mutex *mu)
{
    locks++;
    __real_env_mutex_lock(mu);
}

static void note_copy(size_t n)
{
    if (n >= COPY_MIN)
        atomic_fetch_add(&copied, n);
}

void *__wrap_memcpy(void *dst, const void *src, size_t n)
{
    note_copy(n);
    return __real_memcpy(dst, src, n);
}

void *__wrap_memmove(void *dst, const void *src, size_t n)
{
    note_copy(n);
    return __real_memmove(dst, src, n);
}
#endif

/* ---- a database */

static shale_db *db;
static shale_error err;
static uint8_t value[VALUE];

static void must(shale_code rc, const char *what)
{
    if (rc == SHALE_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(rc), err.text);
    exit(1);
}

/* Nothing happens by itself but what is asked for. */
static void open_db(const char *compactor)
{
    static const char *const fixed[][2] = {
        {"flush_interval", "none"}, {"wal_flush", "interval"}, {"manifest_poll_interval", "1h"},
        {"min_filter_keys", "1"},   {"l0_max_ssts", "16"},     {"l0_max_ssts_per_key", "16"}};
    shale_options *o = shale_options_new();
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        must(shale_options_set(o, fixed[i][0], fixed[i][1], &err), fixed[i][0]);
    must(shale_options_set(o, "compactor_options", compactor, &err), "compactor_options");
    must(shale_db_open(&db, URL, o, &err), "open");
    shale_options_free(o);
}

static void reopen(const char *compactor)
{
    must(shale_db_close(db, &err), "close");
    open_db(compactor);
}

/* A bijection on [0, ROWS) without an order: 9973 is prime to it. */
static uint64_t mixed(uint64_t i)
{
    return i * 9973 % ROWS;
}

static shale_slice key_of(uint8_t key[KEY_BYTES], uint64_t i)
{
    for (size_t at = KEY_BYTES; at-- > 0; i /= 10)
        key[at] = (uint8_t)('0' + i % 10);
    return shale_bytes(key, KEY_BYTES);
}

/* ---- the loops */

/* Rows from .. to of the mixed order. */
LOOP budget_put(uint64_t from, uint64_t to)
{
    uint8_t key[KEY_BYTES];
    shale_write_options how;
    shale_write_options_init(&how, sizeof how);
    how.await_durable = false;
    for (uint64_t i = from; i < to; i++)
        must(shale_db_put(db, key_of(key, mixed(i)), shale_bytes(value, VALUE), &how, &err), "put");
    return to - from;
}

static uint64_t get_all(uint64_t count, uint64_t rows, uint8_t flip)
{
    uint8_t key[KEY_BYTES];
    uint8_t dst[VALUE];
    size_t len;
    for (uint64_t i = 0; i < count; i++) {
        (void)key_of(key, mixed(i * 7 % rows));
        key[KEY_BYTES - 1] ^= flip;
        shale_code rc =
            shale_db_get_into(db, shale_bytes(key, KEY_BYTES), dst, VALUE, &len, NULL, &err);
        if (rc != (flip != 0 ? SHALE_NOT_FOUND : SHALE_OK))
            must(rc == SHALE_OK ? SHALE_CORRUPTION : rc, "get");
    }
    return count;
}

LOOP budget_get_memtable(uint64_t rows)
{
    return get_all(LOOKUPS, rows, 0);
}

LOOP budget_get_four_l0(uint64_t rows)
{
    return get_all(LOOKUPS, rows, 0);
}

LOOP budget_get_missing_four_l0(uint64_t rows)
{
    return get_all(LOOKUPS, rows, 0x40);
}

LOOP budget_get_cached(uint64_t rows)
{
    return get_all(LOOKUPS, rows, 0);
}

LOOP budget_get_missing(uint64_t rows)
{
    return get_all(LOOKUPS, rows, 0x40);
}

/* Each a block of its own, nearly. */
LOOP budget_get_cold(uint64_t rows)
{
    return get_all(COLD, rows, 0);
}

LOOP budget_get_many(void)
{
    uint8_t bytes[MANY][KEY_BYTES];
    shale_slice keys[MANY];
    shale_pinned out[MANY] = {{{0}, 0, 0, 0, false, 0, NULL}};
    shale_code codes[MANY];
    for (uint64_t i = 0; i < LOOKUPS; i += MANY) {
        for (uint64_t k = 0; k < MANY; k++)
            keys[k] = key_of(bytes[k], mixed((i + k) * 7 % ROWS));
        must(shale_db_get_many(out, codes, db, keys, MANY, NULL, &err), "get many");
        for (uint64_t k = 0; k < MANY; k++) {
            must(codes[k], "one of many");
            shale_pinned_release(&out[k]);
        }
    }
    return LOOKUPS;
}

static uint64_t scan_rows(shale_range range, bool fill, bool reverse)
{
    shale_iter *it = NULL;
    shale_row row;
    shale_scan_options how;
    shale_code rc;
    uint64_t rows = 0;
    shale_scan_options_init(&how, sizeof how);
    how.cache_blocks = fill;
    how.reverse = reverse;
    must(shale_db_scan(&it, db, range, &how, &err), "scan");
    while ((rc = shale_iter_next(&row, it, &err)) == SHALE_OK)
        rows++;
    must(rc == SHALE_DONE ? SHALE_OK : rc, "next");
    shale_iter_close(it);
    return rows;
}

LOOP budget_scan(void)
{
    return scan_rows(shale_range_all(), false, false);
}

LOOP budget_scan_reverse(void)
{
    return scan_rows(shale_range_all(), false, true);
}

LOOP budget_scan_four_l0(void)
{
    return scan_rows(shale_range_all(), false, false);
}

LOOP budget_short_scan(void)
{
    uint8_t from[KEY_BYTES];
    uint8_t to[KEY_BYTES];
    for (uint64_t i = 0; i < SCANS; i++) {
        uint64_t x = mixed(i) % (ROWS - SHORT_ROWS);
        if (scan_rows(shale_range_between(key_of(from, x), key_of(to, x + SHORT_ROWS)), false,
                      false) != SHORT_ROWS)
            must(SHALE_CORRUPTION, "short scan");
    }
    return SCANS;
}

/* ---- the report */

static uint64_t allocations_before, locks_before, copied_before;
static shale_store_counts requests_before;

static void begin(void)
{
    requests_before = (shale_store_counts){.struct_size = sizeof requests_before};
    shale_db_store_counts(db, &requests_before);
    allocations_before = atomic_load(&allocations);
    locks_before = locks;
    copied_before = atomic_load(&copied);
}

static void end(const char *name, uint64_t ops)
{
    uint64_t allocated = atomic_load(&allocations) - allocations_before;
    uint64_t locked = locks - locks_before, moved = atomic_load(&copied) - copied_before;
    shale_store_counts c = {.struct_size = sizeof c};
    shale_db_store_counts(db, &c);
    printf("{\"name\":\"%s\",\"ops\":%" PRIu64 ",\"allocations\":%" PRIu64 ",\"puts\":%" PRIu64
           ",\"gets\":%" PRIu64 ",\"locks\":%" PRIu64 ",\"copied_bytes\":%" PRIu64
           ",\"stored_bytes\":%" PRIu64 "}\n",
           name, ops, allocated, c.put - requests_before.put, c.get - requests_before.get, locked,
           moved, c.bytes_up - requests_before.bytes_up);
}

#define MEASURE(name, call)                                                                        \
    do {                                                                                           \
        begin();                                                                                   \
        uint64_t ops_ = (call);                                                                    \
        end(name, ops_);                                                                           \
    } while (0)

static void flush(shale_flush_type type)
{
    must(shale_db_flush(db, type, &err), "flush");
}

static void fill(void)
{
    const uint64_t quarter = ROWS / 4;
    open_db("none");
    MEASURE("put", budget_put(0, quarter));
    MEASURE("get_memtable", budget_get_memtable(quarter));
    flush(SHALE_FLUSH_MEMTABLE);
    begin();
    (void)budget_put(quarter, 2 * quarter);
    flush(SHALE_FLUSH_WAL);
    end("put_and_wal", quarter);
    flush(SHALE_FLUSH_MEMTABLE);
    for (uint64_t i = 2; i < 4; i++) {
        (void)budget_put(i * quarter, (i + 1) * quarter);
        flush(SHALE_FLUSH_MEMTABLE);
    }
}

int main(void)
{
    memset(value, 'v', sizeof value);
    fill();
    (void)scan_rows(shale_range_all(), true, false);
    (void)get_all(64, ROWS, 0); /* the filters of the four */
    MEASURE("get_four_l0", budget_get_four_l0(ROWS));
    MEASURE("get_missing_four_l0", budget_get_missing_four_l0(ROWS));
    MEASURE("scan_four_l0", budget_scan_four_l0());
    reopen("default");
    begin();
    must(shale_db_settle(db, &err), "settle");
    end("compaction", ROWS);
    reopen("none");
    (void)get_all(1, ROWS, 0); /* index and filter */
    MEASURE("get_cold", budget_get_cold(ROWS));
    (void)scan_rows(shale_range_all(), true, false);
    MEASURE("get_cached", budget_get_cached(ROWS));
    MEASURE("get_missing", budget_get_missing(ROWS));
    MEASURE("get_many", budget_get_many());
    MEASURE("scan", budget_scan());
    MEASURE("scan_reverse", budget_scan_reverse());
    MEASURE("short_scan", budget_short_scan());
    must(shale_db_close(db, &err), "close");
    return 0;
}
