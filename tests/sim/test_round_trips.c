/* Goal: what an operation costs where every request takes long: how many requests, and how many of them one after the other. The figures are those
 * of docs/reference/round-trips.md, which this test reads: a figure there that is not what was measured fails, and so does an operation
 * that one of both does not have.
 * Method: one database on the simulated clock; each request takes 25 ms, so that the time that passed divided by 25 ms is the number of round trips. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/env/sim.h"
#include "lsm/db.h"
#include "lsm/wal_fetch.h"
#include "store/memory.h"
#include "store/wrap_count.h"
#include "store/wrap_latency.h"

#define MS      ENV_NS_PER_MS
#define TRIP_NS (25 * MS)
#define SLACK_NS                                                                                   \
    (1 * MS) /* each step of a task takes a little virtual time: 50 ns with the seed below */
#define ROWS     10000 /* several blocks in each table */
#define DOCUMENT "/docs/reference/round-trips.md"

/* cmocka's asserts cannot be used in a simulated task. */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            env_die("round trips");                                                                \
        }                                                                                          \
    } while (0)

static shale_error err;

static void must(shale_code rc, const char *what)
{
    if (rc == SHALE_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(rc), err.text);
    env_die("round trips");
}

/* ---------------------------------------------------------------- figures */

struct figure {
    const char *operation;
    uint64_t first, second; /* requests and round trips, or requests a minute and 0 */
    bool documented;
};
static struct figure figures[64];
static size_t figure_count;

static void note(const char *operation, uint64_t first, uint64_t second)
{
    CHECK(figure_count < sizeof figures / sizeof figures[0]);
    figures[figure_count++] =
        (struct figure){.operation = operation, .first = first, .second = second};
    if (getenv("ROUND_TRIPS_PRINT") != NULL)
        fprintf(stderr, "| %s | %u | %u |\n", operation, (unsigned)first, (unsigned)second);
}

/* ---------------------------------------------------------------- the world */

struct world {
    struct shl_store *bucket;  /* what lasts */
    struct shl_store *counted; /* ... as it is seen from far away */
    struct shl_latency_options latency;
    struct shl_lsm_settings settings;
    struct shl_lsm *db;
    uint64_t from_ns, from_requests;
};

static uint64_t requests_of(const struct world *w)
{
    struct shl_store_counts c;
    uint64_t n = 0;
    shl_store_counts_read(w->counted, &c);
    for (size_t i = 0; i < SHL_KINDS; i++)
        n += c.kinds[i].requests;
    return n;
}

static uint64_t bytes_of(const struct world *w)
{
    struct shl_store_counts c;
    shl_store_counts_read(w->counted, &c);
    return c.bytes_down;
}

/* Every kind of request takes as long. */
static void see_from_afar(struct world *w)
{
    struct shl_store *slow;
    for (size_t i = 0; i < SHL_KINDS; i++)
        w->latency.kinds[i] =
            (struct shl_latency){.min_ns = TRIP_NS, .p50_ns = TRIP_NS, .p99_ns = TRIP_NS};
    must(shl_store_latency_new(&slow, w->bucket, &w->latency, &err), "latency");
    must(shl_store_count_new(&w->counted, slow, &err), "count");
    shl_store_unref(slow);
    CHECK((w->counted->caps & SHL_STORE_NEAR) == 0);
}

static void begin(struct world *w)
{
    must(shl_store_memory_new(&w->bucket, &err), "bucket");
    w->bucket->caps &= ~(unsigned)SHL_STORE_PUT_IS_FREE; /* no more than another bucket */
    see_from_afar(w);
    shl_lsm_settings_default(&w->settings);
    w->settings.compactor_enabled = false;
    w->settings.manifest_poll_interval_ns = 3600 * ENV_NS_PER_SEC; /* a matter of its own */
}

static void end(struct world *w)
{
    shl_store_unref(w->counted);
    shl_store_unref(w->bucket);
}

static void start(struct world *w)
{
    sim_progress();
    w->from_ns = env_now_mono_ns();
    w->from_requests = requests_of(w);
}

static uint64_t trips(const struct world *w)
{
    uint64_t ns = env_now_mono_ns() - w->from_ns;
    if (ns % TRIP_NS > SLACK_NS)
        fprintf(stderr, "%u us\n", (unsigned)(ns / 1000));
    CHECK(ns % TRIP_NS <= SLACK_NS);
    return ns / TRIP_NS;
}

static void stop(const struct world *w, const char *operation)
{
    uint64_t n = trips(w); /* before anything else */
    note(operation, requests_of(w) - w->from_requests, n);
}

static struct shl_lsm_open open_of(const struct world *w, bool near)
{
    return (struct shl_lsm_open){
        .store = near ? w->bucket : w->counted, .path = "db", .settings = &w->settings};
}

static void open_writer(struct world *w, bool near)
{
    struct shl_lsm_open o = open_of(w, near);
    must(shl_lsm_open_writer(&o, &w->db, &err), "open a writer");
}

static void open_reader(struct world *w, bool follow)
{
    struct shl_lsm_open o = open_of(w, false);
    struct shl_lsm_reader how = {.follow = follow};
    must(shl_lsm_open_reader(&o, &how, &w->db, &err), "open a reader");
}

static void close_db(struct world *w)
{
    must(shl_lsm_close(w->db, &err), "close");
    w->db = NULL;
}

static struct shl_slice key_of(uint64_t n, char buf[24])
{
    snprintf(buf, 24, "key%012llu", (unsigned long long)n);
    return shl_slice_str(buf);
}

static void put(struct world *w, uint64_t n, bool durable)
{
    char key[24];
    char value[100];
    struct shl_lsm_write how = {.await_durable = durable};
    memset(value, 'a' + (int)(n % 26), sizeof value);
    must(shl_lsm_write_one(w->db, 0, key_of(n, key), shl_slice_of((uint8_t *)value, sizeof value),
                           (struct shl_ttl){0}, &how, NULL, &err),
         "put");
}

static void get(struct world *w, uint64_t n)
{
    char key[24];
    struct shl_lsm_pinned p = {0};
    must(shl_lsm_get(w->db, key_of(n, key), &(struct shl_lsm_read){0}, &p, &err), "get");
    CHECK(p.value.len == 100 && p.value.data[0] == 'a' + n % 26);
    shl_lsm_pinned_release(&p);
}

#define MANY 8

struct many {
    uint64_t n[MANY];
    unsigned found;
};

static struct shl_slice many_key(void *ctx, size_t i)
{
    static char keys[MANY][24]; /* the call keeps slices of all */
    const struct many *m = ctx;
    return key_of(m->n[i], keys[i]);
}

static void many_found(void *ctx, size_t i, const struct shl_lsm_pinned *take_value)
{
    struct many *m = ctx;
    struct shl_lsm_pinned p = *take_value;
    CHECK(p.value.len == 100 && p.value.data[0] == 'a' + m->n[i] % 26);
    m->found++;
    shl_lsm_pinned_release(&p);
}

/* MANY keys at once, `step` apart. */
static void get_many(struct world *w, uint64_t n, uint64_t step)
{
    struct many m = {.found = 0};
    struct shl_lsm_keys keys = {.ctx = &m, .count = MANY, .key = many_key, .found = many_found};
    for (uint64_t i = 0; i < MANY; i++)
        m.n[i] = n + i * step;
    must(shl_lsm_get_many(w->db, &keys, &(struct shl_lsm_read){0}, &err), "get many");
    CHECK(m.found == MANY);
}

/* So many rows from key n on. */
static void scan(struct world *w, uint64_t n, uint64_t rows)
{
    char key[24];
    struct shl_lsm_iter *it;
    struct shl_row row;
    struct shl_lsm_range range = {.from = key_of(n, key), .from_kind = SHL_LSM_INCLUDED};
    struct shl_lsm_scan how = {.rows_max = rows, .cache_blocks = false};
    must(shl_lsm_scan_open(w->db, &range, &how, &it, &err), "scan");
    for (uint64_t i = 0; i < rows; i++)
        must(shl_lsm_iter_next(it, &row, &err), "next");
    CHECK(shl_lsm_iter_next(it, &row, &err) == SHALE_DONE);
    shl_lsm_iter_close(it);
}

/* ---------------------------------------------------------------- opening and closing */

/* A database whose newest rows are in `objects` WAL objects only: its writer went without closing. */
static void leave_wal(struct world *w, unsigned objects)
{
    struct shl_store *all = w->bucket, *copy;
    struct shl_list list = {0};
    open_writer(w, true);
    for (unsigned i = 0; i < objects; i++)
        put(w, i, true);
    must(shl_store_memory_new(&copy, &err), "bucket");
    must(shl_store_list(all, &(struct shl_list_options){0}, &list, &err), "list");
    for (size_t i = 0; i < list.count; i++) {
        struct shl_buf body = {0};
        must(shl_store_get(all, list.items[i].key, NULL, &body, NULL, &err), "get");
        struct shl_slice part = shl_buf_view(&body);
        must(shl_store_put(copy, list.items[i].key, &part, 1, &(struct shl_put){0}, NULL, &err),
             "put");
        shl_buf_free(&body);
    }
    shl_list_free(&list);
    close_db(w);
    copy->caps = all->caps;
    end(w);
    w->bucket = copy;
    see_from_afar(w);
}

static void measure_opening(void *arg)
{
    struct world *w = arg;
    begin(w);
    start(w);
    open_writer(w, false);
    stop(w, "open a writer: new database");
    start(w);
    close_db(w);
    stop(w, "close a writer: nothing written");
    start(w);
    open_writer(w, false);
    stop(w, "open a writer: nothing in the WAL");
    put(w, 1, false);
    start(w);
    close_db(w);
    stop(w, "close a writer: rows that are not durable yet");
    open_writer(w, false);
    put(w, 1, true);
    start(w);
    close_db(w);
    stop(w, "close a writer: rows in the WAL only");
    start(w);
    open_reader(w, false);
    stop(w, "open a reader: nothing in the WAL");
    start(w);
    must(shl_lsm_refresh(w->db, &err), "refresh");
    stop(w, "refresh a reader: nothing new");
    start(w);
    close_db(w);
    stop(w, "close a reader");
    start(w);
    open_writer(w, false);
    stop(w, "open a writer: an SSTable, nothing in the WAL");
    close_db(w);
    end(w);
}

static void measure_opening_with_wal(void *arg)
{
    static const struct {
        unsigned objects;
        const char *writer, *reader;
    } steps[] = {
        {1, "open a writer: 1 WAL object", "open a reader: 1 WAL object"},
        {16, "open a writer: 16 WAL objects", "open a reader: 16 WAL objects"},
        {160, "open a writer: 160 WAL objects", "open a reader: 160 WAL objects"},
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct world *w = arg;
        *w = (struct world){0};
        begin(w);
        leave_wal(w, steps[i].objects);
        start(w);
        open_reader(w, false);
        stop(w, steps[i].reader);
        for (unsigned k = 0; k < steps[i].objects; k++)
            get(w, k);
        close_db(w);
        start(w);
        open_writer(w, false);
        stop(w, steps[i].writer);
        for (unsigned k = 0; k < steps[i].objects; k++)
            get(w, k);
        close_db(w);
        end(w);
    }
}

/* How many round trips six objects take that are said to be so large. */
static uint64_t fetch_six(struct world *w, struct shl_fanout *f, uint64_t bytes, uint64_t from)
{
    struct shl_db_paths paths;
    struct shl_wal_item items[6];
    struct shl_wal_fetch *fetch;
    struct shl_wal_file file;
    uint64_t id, want = from;
    shale_code rc;
    must(shl_db_paths_init(&paths, "db", &err), "paths");
    for (unsigned i = 0; i < 6; i++)
        items[i] = (struct shl_wal_item){.id = from + i, .bytes = bytes};
    start(w);
    must(shl_wal_fetch_new(w->counted, &paths, NULL, f, items, 6, &fetch, &err), "fetch");
    while ((rc = shl_wal_fetch_next(fetch, &id, &file, &err)) == SHALE_OK) {
        CHECK(id == want++);
        CHECK(file.count == 1);
        shl_wal_file_deinit(&file);
    }
    if (rc == SHALE_DONE)
        CHECK(want == from + 6);
    else
        CHECK(rc == SHALE_NOT_FOUND && id == want && want == 18);
    shl_wal_fetch_free(fetch);
    shl_db_paths_deinit(&paths);
    return trips(w);
}

/* The memory that waits is bounded, whatever the number of objects. */
static void measure_wal_fetch(void *arg)
{
    struct world *w = arg;
    struct shl_fanout *f;
    begin(w);
    leave_wal(w, 16); /* objects 2 to 17 */
    must(shl_fanout_new(&f, &err), "fan-out");
    CHECK(fetch_six(w, f, 4096, 2) == 1);
    CHECK(fetch_six(w, f, SHL_WAL_FETCH_BYTES / 2, 2) == 3);
    CHECK(fetch_six(w, f, SHL_WAL_FETCH_BYTES / 2 + 1, 2) == 6);
    CHECK(fetch_six(w, f, UINT64_MAX, 2) == 6);
    CHECK(fetch_six(w, f, 4096, 15) == 1); /* one is not there: its id, and those before it */
    CHECK(fetch_six(w, NULL, 4096, 2) == 6);
    shl_fanout_free(f);
    end(w);
}

/* ---------------------------------------------------------------- reading */

/* Three runs and four L0s without filters. Each holds another seventh of the keys, so that whoever looks for a key of the oldest run, or wants ten rows,
 * has to ask all of them. */
#define LEVELS 7

static void make_levels(struct world *w)
{
    w->settings.l0_max_ssts = w->settings.l0_max_ssts_per_key = 32;
    w->settings.min_filter_keys = UINT32_MAX;
    w->settings.min_compaction_sources = w->settings.max_compaction_sources = 4;
    w->settings.include_size_threshold = 1.0;
    for (unsigned level = 0; level < LEVELS; level++) {
        w->settings.compactor_enabled = level < 3;
        open_writer(w, true);
        for (unsigned l0 = 0; l0 < (level < 3 ? 4 : 1); l0++) {
            for (uint64_t i = level; i < ROWS; i += LEVELS)
                put(w, i, false);
            must(shl_lsm_flush(w->db, true, &err), "flush");
        }
        if (level < 3)
            must(shl_lsm_settle(w->db, &err), "settle");
        close_db(w);
        sim_progress();
    }
    w->settings.compactor_enabled = false;
}

static void measure_reading(void *arg)
{
    struct world *w = arg;
    struct shl_lsm_status status;
    begin(w);
    make_levels(w);
    open_reader(w, false);
    shl_lsm_status(w->db, &status);
    CHECK(status.l0_count == 4 && status.run_count == 3);
    start(w);
    get(w, 100 * LEVELS);
    stop(w, "get: SSTs never seen (4 L0, 3 runs)");
    start(w);
    get(w, 1000 * LEVELS);
    stop(w, "get: index and filter cached");
    start(w);
    get(w, 1000 * LEVELS);
    stop(w, "get: block cached");
    start(w);
    get_many(w, 200 * LEVELS, 40 * LEVELS);
    stop(w, "get of 8 keys at once: index and filter cached");
    start(w);
    get_many(w, 200 * LEVELS, 40 * LEVELS);
    stop(w, "get of 8 keys at once: blocks cached");
    for (uint64_t i = 0; i < ROWS; i += 7) { /* whatever its place in a block */
        start(w);
        get(w, i);
        CHECK(trips(w) <= 1);
    }
    close_db(w);
    open_reader(w, false);
    start(w);
    scan(w, ROWS / 2, 10);
    stop(w, "scan of 10 rows: SSTs never seen (4 L0, 3 runs)");
    start(w);
    scan(w, ROWS / 4, 10);
    stop(w, "scan of 10 rows: index cached");
    for (uint64_t i = 0; i < ROWS - 10; i += 77) {
        start(w);
        scan(w, i, 10);
        CHECK(trips(w) <= 1);
    }
    close_db(w);
    end(w);
}

/* ---------------------------------------------------------------- writing */

static void measure_writing(void *arg)
{
    struct world *w = arg;
    begin(w);
    open_writer(w, false);
    start(w);
    put(w, 1, true);
    stop(w, "put, durable");
    start(w);
    put(w, 2, false);
    stop(w, "put, not awaited");
    start(w);
    must(shl_lsm_flush(w->db, false, &err), "flush");
    stop(w, "flush of the WAL");
    put(w, 3, false);
    start(w);
    must(shl_lsm_flush(w->db, true, &err), "flush");
    stop(w, "flush of the memtable");
    start(w);
    must(shl_lsm_flush(w->db, true, &err), "flush");
    stop(w, "flush: nothing to do");
    start(w);
    must(shl_lsm_refresh(w->db, &err), "refresh");
    stop(w, "refresh a writer: nothing new");
    close_db(w);
    end(w);
}

static void measure_compaction(void *arg)
{
    struct world *w = arg;
    begin(w);
    w->settings.compactor_enabled = true;
    w->settings.min_compaction_sources = 4;
    w->settings.max_compaction_sources = 4;
    open_writer(w, false);
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 4; i++) {
            put(w, i, false);
            if (i == 3)
                break;
            must(shl_lsm_flush(w->db, true, &err), "flush");
        }
        must(shl_lsm_flush(w->db, true, &err), "flush");
        start(w);
        must(shl_lsm_settle(w->db, &err), "settle");
        stop(w, round == 0 ? "first compaction of a handle, 4 L0" : "compaction, 4 L0");
    }
    close_db(w);
    end(w);
}

/* ---------------------------------------------------------------- full scans */

#define BIG_ROWS        40000
#define BIG_VALUE_BYTES 1000
#define BYTES_PER_SEC   (UINT64_C(20) << 20) /* of one request */

static void make_big(struct world *w)
{
    static uint8_t value[BIG_VALUE_BYTES];
    char key[24];
    w->settings.max_sst_size_bytes = 8 << 20; /* a run of several */
    w->settings.compactor_enabled = true;
    w->settings.min_compaction_sources = 2;
    open_writer(w, true);
    for (uint64_t i = 0; i < BIG_ROWS; i++) {
        must(shl_lsm_write_one(w->db, 0, key_of(i, key), shl_slice_of(value, sizeof value),
                               (struct shl_ttl){0}, &(struct shl_lsm_write){0}, NULL, &err),
             "put");
        if (i % 1000 == 0)
            sim_progress();
        if (i == BIG_ROWS / 2)
            must(shl_lsm_flush(w->db, true, &err), "flush");
    }
    must(shl_lsm_settle(w->db, &err), "settle");
    close_db(w);
    w->settings.compactor_enabled = false;
}

static void read_rows(struct world *w, uint64_t rows, bool reverse, unsigned fetches)
{
    struct shl_lsm_iter *it;
    struct shl_row row;
    struct shl_lsm_scan how = {.reverse = reverse, .fetches_max = fetches};
    uint64_t n = 0;
    must(shl_lsm_scan_open(w->db, &(struct shl_lsm_range){0}, &how, &it, &err), "scan");
    for (; n < rows && shl_lsm_iter_next(it, &row, &err) == SHALE_OK; n++)
        if (n % 100 == 0)
            sim_progress();
    CHECK(n == rows);
    shl_lsm_iter_close(it);
}

static void measure_full_scan(void *arg)
{
    struct world *w = arg;
    struct shl_lsm_status status;
    w->latency.down_bytes_per_sec = BYTES_PER_SEC;
    begin(w);
    make_big(w);
    for (unsigned reverse = 0; reverse < 2; reverse++) {
        open_reader(w, false);
        shl_lsm_status(w->db, &status);
        CHECK(status.run_count == 1 && status.l0_count == 0);
        uint64_t bytes = bytes_of(w);
        start(w);
        read_rows(w, BIG_ROWS, reverse != 0, 0);
        uint64_t ns = env_now_mono_ns() - w->from_ns;
        bytes = bytes_of(w) - bytes;
        CHECK(bytes < UINT64_C(43) << 20);
        /* One after the other: 40 MiB at 20 MiB/s, and 25 ms for each MiB, 3 s. Eight at once: an eighth, and the time to get going. */
        uint64_t one_ns = bytes * ENV_NS_PER_SEC / BYTES_PER_SEC;
        if (getenv("ROUND_TRIPS_PRINT") != NULL)
            fprintf(stderr, "full scan: %u ms, %u requests, %u bytes, one by one %u ms\n",
                    (unsigned)(ns / MS), (unsigned)(requests_of(w) - w->from_requests),
                    (unsigned)bytes, (unsigned)(one_ns / MS));
        CHECK(ns < one_ns / 8 * 2 + 500 * MS);
        close_db(w);
    }
    /* Who wants few fetches at once waits longer: with one ahead, half as long as one after the other at best. */
    open_reader(w, false);
    start(w);
    read_rows(w, BIG_ROWS, false, 1);
    CHECK(env_now_mono_ns() - w->from_ns >
          (UINT64_C(40) << 20) * ENV_NS_PER_SEC / BYTES_PER_SEC / 2);
    close_db(w);
    /* Who reads a little does not pay for much. */
    open_reader(w, false);
    uint64_t bytes = bytes_of(w);
    start(w);
    read_rows(w, 20, false, 0);
    uint64_t little = bytes_of(w) - bytes;
    if (getenv("ROUND_TRIPS_PRINT") != NULL)
        fprintf(stderr, "20 rows: %u requests, %u bytes\n",
                (unsigned)(requests_of(w) - w->from_requests), (unsigned)little);
    CHECK(requests_of(w) - w->from_requests == 2);
    CHECK(little < (256 << 10)); /* index, filter, one window */
    close_db(w);
    end(w);
}

/* ---------------------------------------------------------------- idle */

static void rest(uint64_t seconds)
{
    for (uint64_t i = 0; i < seconds; i++) {
        env_sleep_ns(ENV_NS_PER_SEC);
        sim_progress();
    }
}

static void measure_idle(void *arg)
{
    struct world *w = arg;
    begin(w);
    shl_lsm_settings_default(&w->settings); /* compactor, poller: as they are */
    open_writer(w, false);
    for (uint64_t i = 0; i < 100; i++)
        put(w, i, i % 10 == 0);
    must(shl_lsm_flush(w->db, true, &err), "flush");
    rest(600);
    start(w);
    rest(600);
    note("idle writer", (requests_of(w) - w->from_requests) / 10, 0);
    CHECK(requests_of(w) - w->from_requests <= 600 / 5);
    start(w);
    for (unsigned i = 0; i < 60; i++) { /* who is asked looks at its setting's pace */
        get(w, i);
        rest(1);
    }
    note("writer that is read from", requests_of(w) - w->from_requests, 0);
    close_db(w);
    w->settings.manifest_poll_interval_ns =
        10 * ENV_NS_PER_SEC; /* what a reader has if nothing is said */
    open_reader(w, true);
    rest(600);
    start(w);
    rest(600);
    note("idle reader that follows", (requests_of(w) - w->from_requests) / 10, 0);
    CHECK(requests_of(w) - w->from_requests <= 600 / 5);
    close_db(w);
    end(w);
}

/* ---------------------------------------------------------------- the document */

/* Cuts "| a | b | c |" into cells; their number. */
static unsigned cells_of(char *line, char *cells[4])
{
    unsigned n = 0;
    for (char *cell = strtok(line + 1, "|"); cell != NULL && n < 4; cell = strtok(NULL, "|")) {
        while (*cell == ' ')
            cell++;
        char *end_of = cell + strlen(cell);
        while (end_of > cell && (end_of[-1] == ' ' || end_of[-1] == '\n'))
            *--end_of = '\0';
        if (*cell != '\0')
            cells[n++] = cell;
    }
    return n;
}

static struct figure *find_figure(const char *operation)
{
    for (size_t i = 0; i < figure_count; i++)
        if (strcmp(figures[i].operation, operation) == 0)
            return &figures[i];
    return NULL;
}

static void test_the_document_says_what_was_measured(void **state)
{
    (void)state;
    char line[1000];
    unsigned wrong = 0;
    FILE *f = fopen(SHALE_SOURCE_DIR DOCUMENT, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        char *cells[4];
        unsigned n = line[0] == '|' ? cells_of(line, cells) : 0;
        if (n < 2 || cells[1][0] < '0' || cells[1][0] > '9')
            continue; /* text, or the head of a table */
        struct figure *found = find_figure(cells[0]);
        uint64_t first = strtoull(cells[1], NULL, 10);
        uint64_t second = n > 2 ? strtoull(cells[2], NULL, 10) : 0;
        if (found == NULL || found->documented || found->first != first ||
            found->second != second) {
            fprintf(stderr, "%s: \"%s\": it says %u, %u; measured %d, %d\n", DOCUMENT, cells[0],
                    (unsigned)first, (unsigned)second, found != NULL ? (int)found->first : -1,
                    found != NULL ? (int)found->second : -1);
            wrong++;
        }
        if (found != NULL)
            found->documented = true;
    }
    assert_int_equal(fclose(f), 0);
    for (size_t i = 0; i < figure_count; i++)
        if (!figures[i].documented) {
            fprintf(stderr, "%s: nothing of \"%s\" (%u, %u)\n", DOCUMENT, figures[i].operation,
                    (unsigned)figures[i].first, (unsigned)figures[i].second);
            wrong++;
        }
    assert_int_equal(wrong, 0);
}

/* ---------------------------------------------------------------- the bounds */

static void run(void (*measure)(void *), const char *name)
{
    struct world w = {0};
    struct sim_options o = {.seed = 6,
                            .policy = SIM_RUN_UNTIL_BLOCK,
                            .scenario = name,
                            .steps_max = UINT64_C(1) << 40,
                            .virtual_ns_max = UINT64_C(7200) * ENV_NS_PER_SEC,
                            .progress_ns_max = UINT64_MAX};
    (void)sim_run(&o, measure, &w);
    assert_int_equal(sim_alloc_live(0), 0);
}

static void expect_trips(const char *operation, uint64_t max)
{
    struct figure *f = find_figure(operation);
    if (f == NULL)
        fail_msg("%s was not measured", operation);
    else
        assert_in_range(f->second, 0, max);
}

static void test_opening(void **state)
{
    (void)state;
    run(measure_opening, "opening");
    run(measure_opening_with_wal, "opening with a WAL");
    expect_trips("open a writer: new database", 5);
    expect_trips("open a writer: nothing in the WAL", 5);
    expect_trips("open a writer: 16 WAL objects", 6);
    expect_trips("open a reader: nothing in the WAL", 2);
    expect_trips("open a reader: 16 WAL objects", 3);
}

static void test_wal_objects_in_flight_are_bounded_in_bytes(void **state)
{
    (void)state;
    run(measure_wal_fetch, "WAL fetch");
}

static void test_reading(void **state)
{
    (void)state;
    run(measure_reading, "reading");
    expect_trips("get: SSTs never seen (4 L0, 3 runs)", 2);
    expect_trips("get: index and filter cached", 1);
    expect_trips("get: block cached", 0);
    expect_trips("get of 8 keys at once: index and filter cached", 2);
    expect_trips("get of 8 keys at once: blocks cached", 0);
    expect_trips("scan of 10 rows: SSTs never seen (4 L0, 3 runs)", 2);
    expect_trips("scan of 10 rows: index cached", 1);
}

static void test_writing(void **state)
{
    (void)state;
    run(measure_writing, "writing");
    run(measure_compaction, "compaction");
    expect_trips("put, durable", 1);
}

static void test_a_full_scan_is_bound_by_bandwidth(void **state)
{
    (void)state;
    run(measure_full_scan, "full scan");
}

static void test_an_idle_database_asks_for_little(void **state)
{
    (void)state;
    run(measure_idle, "idle");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opening),
        cmocka_unit_test(test_wal_objects_in_flight_are_bounded_in_bytes),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_a_full_scan_is_bound_by_bandwidth),
        cmocka_unit_test(test_an_idle_database_asks_for_little),
        cmocka_unit_test(test_the_document_says_what_was_measured), /* the last one */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
