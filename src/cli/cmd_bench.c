/* bench: the eleven workloads that every peer runs, measured in the same way (per-operation clock reads included).
 *
 * Data: key of record i = i in 16 decimal digits; value = value_size bytes of a pool of 1 MiB, from 131*i mod (1 MiB - value_size). */
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/os.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define POOL_BYTES  ((size_t)1 << 20)
#define KEY_BYTES   16
#define CLIENTS_MAX 64
#define SHORT_ROWS  10
#define MANY        8
#define SETTLES     "+settle"

struct bench {
    struct cli *c;
    const char *url;
    uint64_t n;
    size_t value_size;
    uint64_t clients;
    uint64_t reads; /* 0: by workload */
    uint64_t scans;
    uint64_t durable_ops;
    uint8_t *pool;   /* owned */
    uint32_t *nanos; /* owned: one per operation */
    size_t nanos_cap;
    size_t nanos_count;
};

struct figures {
    uint64_t ops;
    uint64_t threads;
    double seconds;
    double cpu_seconds;
    bool timed; /* each operation */
    double p50_us;
    double p99_us;
    uint64_t rss_bytes;
    shale_store_counts counts; /* while the clock ran */
};

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* A bijection on [0, n): a multiplicative hash of the next power of two, walked until it falls inside. */
static uint64_t permuted(uint64_t i, uint64_t n)
{
    unsigned bits = 0;
    while (UINT64_C(1) << bits < n)
        bits++;
    uint64_t mask = (UINT64_C(1) << bits) - 1;
    unsigned shift = bits / 2 > 0 ? bits / 2 : 1;
    uint64_t x = i;
    do {
        x = (x * UINT64_C(0x9E3779B1) ^ UINT64_C(0x5BD1E995)) & mask;
        x ^= x >> shift;
        x = (x * UINT64_C(0x85EBCA6B)) & mask;
    } while (x >= n);
    return x;
}

static void key_of(uint8_t key[KEY_BYTES], uint64_t i)
{
    for (size_t at = KEY_BYTES; at-- > 0; i /= 10)
        key[at] = (uint8_t)('0' + i % 10);
}

static shale_slice value_of(const struct bench *b, uint64_t i)
{
    return shale_bytes(b->pool + i * 131 % (POOL_BYTES - b->value_size), b->value_size);
}

static void fill_pool(uint8_t *pool)
{
    uint64_t state = 42;
    for (size_t at = 0; at < POOL_BYTES; at += 8) {
        uint64_t z = splitmix(&state);
        for (size_t k = 0; k < 8; k++)
            pool[at + k] = (uint8_t)(z >> (8 * k));
    }
}

static uint32_t since(uint64_t start_ns)
{
    return (uint32_t)shl_min_u64(env_now_mono_ns() - start_ns, UINT32_MAX);
}

/* ---- workloads: each runs with the clock on, fills nanos and *ops */

static shale_code run_puts(struct bench *b, shale_db *db, const char *w, uint64_t *ops,
                           shale_error *err)
{
    bool durable = strcmp(w, "filldurable") == 0;
    bool in_order = durable || strcmp(w, "fillseq") == 0;
    uint64_t shift = strcmp(w, "overwrite") == 0;
    uint64_t count = durable ? b->durable_ops : b->n;
    shale_write_options how;
    shale_write_options_init(&how, sizeof how);
    how.await_durable = durable;
    for (uint64_t i = 0; i < count && os_stop_code() == 0; i++) {
        uint8_t key[KEY_BYTES];
        uint64_t x = in_order ? i : permuted(i, b->n);
        uint64_t start = env_now_mono_ns();
        key_of(key, x);
        shale_code rc =
            shale_db_put(db, shale_bytes(key, KEY_BYTES), value_of(b, x + shift), &how, err);
        if (rc != SHALE_OK)
            return rc;
        b->nanos[b->nanos_count++] = since(start);
    }
    *ops = count;
    /* The clock stops when the last put is durable. */
    return durable ? SHALE_OK : shale_db_flush(db, SHALE_FLUSH_WAL, err);
}

/* Clients take their reads from one number in pieces, so that none ends long before the others. */
#define READS_AT_ONCE 64

struct reader {
    const struct bench *b;
    shale_db *db;
    uint64_t seed;
    _Atomic uint64_t *taken; /* [atomic] of `count`, by all readers */
    uint64_t count;
    bool missing;
    shale_code rc;
    shale_error err;
};

/* The number of the next read behind i; `count` or more: there is none. */
static uint64_t next_read(struct reader *r, uint64_t i)
{
    return (i + 1) % READS_AT_ONCE != 0 ? i + 1 : env_fetch_add(r->taken, READS_AT_ONCE);
}

static void read_task(void *arg)
{
    struct reader *r = arg;
    uint64_t state = r->seed;
    uint8_t *dst = env_alloc(r->b->value_size + 1);
    r->rc = dst != NULL ? SHALE_OK : SHALE_NOMEM;
    r->err = (shale_error){.code = r->rc};
    for (uint64_t i = env_fetch_add(r->taken, READS_AT_ONCE); i < r->count && r->rc == SHALE_OK;
         i = next_read(r, i)) {
        uint8_t key[KEY_BYTES];
        size_t len = 0;
        uint64_t x = splitmix(&state) % r->b->n;
        uint64_t start = env_now_mono_ns();
        key_of(key, x);
        key[KEY_BYTES - 1] ^= r->missing ? 0x40 : 0;
        shale_code rc = shale_db_get_into(r->db, shale_bytes(key, KEY_BYTES), dst,
                                          r->b->value_size + 1, &len, NULL, &r->err);
        r->b->nanos[i] = since(start);
        if (r->missing && rc == SHALE_NOT_FOUND)
            continue;
        if (rc == SHALE_OK && !r->missing && len == r->b->value_size)
            continue;
        if (rc == SHALE_OK || rc == SHALE_NOT_FOUND) {
            rc = SHALE_CORRUPTION;
            r->err.code = rc;
            (void)snprintf(
                r->err.text, sizeof r->err.text,
                "wrong answer for key %.16s: fill with the same --num and --value-size first",
                (const char *)key);
        }
        r->rc = rc;
    }
    env_free(dst);
}

/* Of all clients together. */
static uint64_t reads_of(const struct bench *b, const char *w)
{
    return b->reads != 0                   ? b->reads
           : strcmp(w, "readcold") == 0    ? 20000
           : strcmp(w, "readmissing") == 0 ? 100000
                                           : 200000;
}

static shale_code run_reads(struct bench *b, shale_db *db, const char *w, uint64_t *ops,
                            shale_error *err)
{
    struct env_task *tasks[CLIENTS_MAX];
    struct reader *readers = env_calloc(b->clients, sizeof *readers);
    uint64_t count = reads_of(b, w);
    _Atomic uint64_t taken;
    uint64_t started = 0;
    shale_code rc = SHALE_OK;
    if (readers == NULL) {
        *err = (shale_error){.code = SHALE_NOMEM};
        return SHALE_NOMEM;
    }
    atomic_init(&taken, 0);
    for (uint64_t i = 0; i < b->clients; i++)
        readers[i] = (struct reader){.b = b,
                                     .db = db,
                                     .seed = 7 + i,
                                     .taken = &taken,
                                     .count = count,
                                     .missing = strcmp(w, "readmissing") == 0};
    if (b->clients == 1)
        read_task(&readers[0]);
    else
        while (started < b->clients && (rc = env_task_spawn(&tasks[started], "bench", read_task,
                                                            &readers[started])) == SHALE_OK)
            started++;
    for (uint64_t i = 0; i < started; i++)
        env_task_join(tasks[i]);
    for (uint64_t i = 0; i < b->clients && rc == SHALE_OK; i++) {
        rc = readers[i].rc;
        *err = readers[i].err;
    }
    env_free(readers);
    b->nanos_count = (size_t)count;
    *ops = count;
    return rc;
}

/* All rows; counts them and touches the lengths. */
static shale_code scan_all(shale_db *db, bool cache_blocks, uint64_t *rows, shale_error *err)
{
    shale_iter *it = NULL;
    shale_row row;
    shale_scan_options how;
    volatile size_t touched = 0;
    shale_scan_options_init(&how, sizeof how);
    how.cache_blocks = cache_blocks;
    shale_code rc = shale_db_scan(&it, db, shale_range_all(), &how, err);
    *rows = 0;
    while (rc == SHALE_OK && (rc = shale_iter_next(&row, it, err)) == SHALE_OK) {
        (*rows)++;
        touched = row.value.len;
    }
    (void)touched;
    shale_iter_close(it);
    return rc == SHALE_DONE ? SHALE_OK : rc;
}

static shale_code wrong_rows(shale_error *err, uint64_t got, uint64_t want)
{
    err->code = SHALE_CORRUPTION;
    (void)snprintf(err->text, sizeof err->text,
                   "%" PRIu64 " row%s, want %" PRIu64 ": fill with the same --num first", got,
                   got == 1 ? "" : "s", want);
    return err->code;
}

static shale_code run_scan(struct bench *b, shale_db *db, uint64_t *ops, shale_error *err)
{
    shale_code rc = scan_all(db, false, ops, err);
    return rc == SHALE_OK && *ops != b->n ? wrong_rows(err, *ops, b->n) : rc;
}

static shale_code run_short_scans(struct bench *b, shale_db *db, uint64_t *ops, shale_error *err)
{
    uint64_t state = 9;
    for (uint64_t i = 0; i < b->scans; i++) {
        uint8_t from[KEY_BYTES];
        uint8_t to[KEY_BYTES];
        shale_iter *it = NULL;
        shale_row row;
        uint64_t rows = 0;
        uint64_t x = splitmix(&state) % (b->n - SHORT_ROWS);
        uint64_t start = env_now_mono_ns();
        key_of(from, x);
        key_of(to, x + SHORT_ROWS);
        shale_code rc = shale_db_scan(
            &it, db, shale_range_between(shale_bytes(from, KEY_BYTES), shale_bytes(to, KEY_BYTES)),
            NULL, err);
        while (rc == SHALE_OK && (rc = shale_iter_next(&row, it, err)) == SHALE_OK)
            rows++;
        shale_iter_close(it);
        if (rc != SHALE_DONE)
            return rc;
        if (rows != SHORT_ROWS)
            return wrong_rows(err, rows, SHORT_ROWS);
        b->nanos[b->nanos_count++] = since(start);
    }
    *ops = b->scans;
    return SHALE_OK;
}

/* Eight keys a call; an operation is a key. */
static shale_code get_many(struct bench *b, shale_db *db, uint64_t *state, shale_error *err)
{
    uint8_t bytes[MANY][KEY_BYTES];
    shale_slice keys[MANY];
    shale_pinned values[MANY];
    shale_code codes[MANY];
    memset(values, 0, sizeof values);
    for (size_t i = 0; i < MANY; i++) {
        key_of(bytes[i], splitmix(state) % b->n);
        keys[i] = shale_bytes(bytes[i], KEY_BYTES);
    }
    shale_code rc = shale_db_get_many(values, codes, db, keys, MANY, NULL, err);
    uint64_t found = 0;
    for (size_t i = 0; i < MANY && rc == SHALE_OK; i++)
        found += codes[i] == SHALE_OK && values[i].value.len == b->value_size;
    for (size_t i = 0; i < MANY; i++)
        shale_pinned_release(&values[i]);
    return rc == SHALE_OK && found != MANY ? wrong_rows(err, found, MANY) : rc;
}

static shale_code run_many(struct bench *b, shale_db *db, uint64_t *ops, shale_error *err)
{
    uint64_t state = 7;
    uint64_t calls = reads_of(b, "multiget") / MANY;
    for (uint64_t i = 0; i < calls; i++) {
        uint64_t start = env_now_mono_ns();
        shale_code rc = get_many(b, db, &state, err);
        if (rc != SHALE_OK)
            return rc;
        b->nanos[b->nanos_count++] = since(start) / MANY;
    }
    *ops = calls * MANY;
    return SHALE_OK;
}

static shale_code run_work(struct bench *b, shale_db *db, const char *w, uint64_t *ops,
                           shale_error *err)
{
    if (strncmp(w, "fill", 4) == 0 || strcmp(w, "overwrite") == 0)
        return run_puts(b, db, w, ops, err);
    if (strncmp(w, "read", 4) == 0)
        return run_reads(b, db, w, ops, err);
    if (strcmp(w, "multiget") == 0)
        return run_many(b, db, ops, err);
    if (strcmp(w, "scan") == 0)
        return run_scan(b, db, ops, err);
    if (strcmp(w, "shortscan") == 0)
        return run_short_scans(b, db, ops, err);
    *ops = 1;
    return shale_db_settle(db, err);
}

/* ---- measuring */

static int by_value(const void *a, const void *b)
{
    uint32_t x;
    uint32_t y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static uint64_t operations_max(const struct bench *b, const char *w)
{
    if (strncmp(w, "read", 4) == 0 || strcmp(w, "multiget") == 0)
        return reads_of(b, w);
    return strcmp(w, "filldurable") == 0 ? b->durable_ops
           : strcmp(w, "shortscan") == 0 ? b->scans
                                         : b->n;
}

static bool room_for_latencies(struct bench *b, const char *w)
{
    bool single = strcmp(w, "scan") == 0 || strcmp(w, "settle") == 0;
    size_t want = single ? 1 : (size_t)operations_max(b, w) + 1;
    b->nanos_count = 0;
    if (want <= b->nanos_cap)
        return true;
    uint32_t *fresh = env_realloc(b->nanos, want * sizeof *fresh);
    if (fresh == NULL)
        return false;
    b->nanos = fresh;
    b->nanos_cap = want;
    /* Touched before the clock starts: page faults of the measuring are not the database's. */
    memset(b->nanos, 0, want * sizeof *fresh);
    return true;
}

static void take_percentiles(struct bench *b, struct figures *f)
{
    f->timed = b->nanos_count > 0;
    if (!f->timed)
        return;
    qsort(b->nanos, b->nanos_count, sizeof *b->nanos, by_value);
    f->p50_us = b->nanos[(b->nanos_count - 1) / 2] / 1e3;
    f->p99_us = b->nanos[(size_t)((double)(b->nanos_count - 1) * 0.99)] / 1e3;
}

static void subtract(shale_store_counts *now, const shale_store_counts *before)
{
    now->put -= before->put;
    now->get -= before->get;
    now->bytes_up -= before->bytes_up;
    now->bytes_down -= before->bytes_down;
}

/* Opens, measures one workload, closes. With `settles` the clock runs on until nothing is left to do: what closing would do is counted too. */
static int measure(struct bench *b, const char *w, bool settles, struct figures *f)
{
    struct cli *c = b->c;
    shale_db *db = NULL;
    shale_store_counts before = {.struct_size = sizeof before};
    uint64_t warmed = 0;
    *f = (struct figures){.threads = strncmp(w, "read", 4) == 0 ? b->clients : 1,
                          .counts.struct_size = sizeof f->counts};
    if (!room_for_latencies(b, w))
        return cli_trouble(c, "out of memory");
    if (shale_db_open(&db, b->url, c->options, &c->err) != SHALE_OK)
        return cli_fail(c, b->url);
    shale_db_status status = {.struct_size = sizeof status};
    shale_db_status_get(db, &status);
    if (status.writer_epoch == 1)
        cli_note_name(c, b->url);
    bool warm = strcmp(w, "readhot") == 0 || strcmp(w, "multiget") == 0;
    if (warm && scan_all(db, true, &warmed, &c->err) != SHALE_OK)
        return cli_close_writer(c, db, cli_fail(c, b->url));
    shale_db_store_counts(db, &before);
    uint64_t cpu_ns = env_process_cpu_ns();
    uint64_t start_ns = env_now_mono_ns();
    shale_code rc = run_work(b, db, w, &f->ops, &c->err);
    if (rc == SHALE_OK && settles)
        rc = shale_db_settle(db, &c->err);
    f->seconds = (double)(env_now_mono_ns() - start_ns) / 1e9;
    f->cpu_seconds = (double)(env_process_cpu_ns() - cpu_ns) / 1e9;
    shale_db_store_counts(db, &f->counts);
    subtract(&f->counts, &before);
    int code = cli_close_writer(c, db, rc == SHALE_OK ? CLI_YES : cli_fail(c, b->url));
    f->rss_bytes = env_process_peak_rss();
    take_percentiles(b, f);
    return code != CLI_YES ? code : os_stop_code();
}

static void print_figures(struct bench *b, const char *w, bool settles, const struct figures *f)
{
    const char *more = settles ? SETTLES : "";
    struct out *o = b->c->out;
    double ops = (double)(f->ops > 0 ? f->ops : 1);
    double seconds = f->seconds > 0 ? f->seconds : 1e-9;
    char size[SHL_UNITS_TEXT];
    char up[SHL_UNITS_TEXT];
    char down[SHL_UNITS_TEXT];
    if (cli_has(&b->c->args, OPT_JSON)) {
        out_printf(o,
                   "{\"peer\":\"shale-%s\",\"w\":\"%s%s\",\"n\":%" PRIu64
                   ",\"vlen\":%zu,\"threads\":%" PRIu64 ",\"ops\":%" PRIu64
                   ",\"s\":%.6f,\"ops_s\":%.0f,\"cpu_s\":%.6f,\"cpu_per_mop\":%.4f,\"p50us\":%.3f,"
                   "\"p99us\":%.3f,\"rss_mb\":%.1f",
                   shale_version(), w, more, b->n, b->value_size, f->threads, f->ops, f->seconds,
                   ops / seconds, f->cpu_seconds, f->cpu_seconds / ops * 1e6, f->p50_us, f->p99_us,
                   (double)f->rss_bytes / 1048576.0);
        out_printf(o,
                   ",\"puts\":%" PRIu64 ",\"put_mb\":%.1f,\"gets\":%" PRIu64 ",\"get_mb\":%.1f}\n",
                   f->counts.put, (double)f->counts.bytes_up / 1e6, f->counts.get,
                   (double)f->counts.bytes_down / 1e6);
    } else {
        char rate[32] =
            "-"; /* what is one operation has no rate, what was not timed by itself no percentile */
        char half[32] = "-";
        char most[32] = "-";
        if (f->ops > 1)
            (void)snprintf(rate, sizeof rate, "%.0f", ops / seconds);
        if (f->timed)
            (void)snprintf(half, sizeof half, "%.2f", f->p50_us);
        if (f->timed)
            (void)snprintf(most, sizeof most, "%.2f", f->p99_us);
        out_printf(o,
                   "%s%-*s %9s ops/s  %8.3f s  cpu %7.3f us/op  p50 %8s us  p99 %9s us  rss "
                   "%s  %" PRIu64 " PUT %s  %" PRIu64 " GET %s\n",
                   w, (int)(strlen(w) < 12 ? 12 - strlen(w) : 0), more, rate, f->seconds,
                   f->cpu_seconds / ops * 1e6, half, most, shl_format_size(f->rss_bytes, size),
                   f->counts.put, shl_format_size(f->counts.bytes_up, up), f->counts.get,
                   shl_format_size(f->counts.bytes_down, down));
    }
    (void)out_finish(o); /* a line as soon as it is known */
}

static const char *const workloads[] = {"fillseq",   "fillrandom", "settle",      "readcold",
                                        "readhot",   "multiget",   "readmissing", "scan",
                                        "shortscan", "overwrite",  "filldurable"};

static const char *workload_at(const void *ctx, size_t i)
{
    (void)ctx;
    return workloads[i];
}

/* The name of `len` bytes as one of ours, or NULL after a message. */
static const char *known_workload(const struct cli *c, const char *name, size_t len)
{
    for (size_t i = 0; i < SHL_COUNT_OF(workloads); i++)
        if (strlen(workloads[i]) == len && memcmp(workloads[i], name, len) == 0)
            return workloads[i];
    const char *near =
        shl_str_suggest(shl_slice_of(name, len), SHL_COUNT_OF(workloads), workload_at, NULL);
    if (near != NULL)
        (void)cli_usage(c, "shale bench --help", "unknown workload \"%.*s\": did you mean %s?",
                        (int)len, name, near);
    else
        (void)cli_usage(c, "shale bench --help", "unknown workload \"%.*s\"", (int)len, name);
    return NULL;
}

static bool ends_in_settle(const char *name, size_t len)
{
    size_t tail = strlen(SETTLES);
    return len > tail && memcmp(name + len - tail, SETTLES, tail) == 0;
}

/* All names are checked before the first runs. */
static int run_list(struct bench *b, const char *list, bool dry)
{
    int code = CLI_YES;
    for (const char *at = list; code == CLI_YES;) {
        size_t len = strcspn(at, ",");
        bool settles = ends_in_settle(at, len);
        const char *w = known_workload(b->c, at, settles ? len - strlen(SETTLES) : len);
        struct figures f;
        if (w == NULL)
            return CLI_USAGE;
        if (!dry)
            code = measure(b, w, settles, &f);
        if (!dry && code == CLI_YES)
            print_figures(b, w, settles, &f);
        if (at[len] == '\0')
            break;
        at += len + 1;
    }
    return code;
}

/* ---- rows of somebody else */

static bool writes(const char *w, size_t len)
{
    return strncmp(w, "fill", 4) == 0 || (len == 9 && memcmp(w, "overwrite", 9) == 0);
}

static bool list_writes(const char *list)
{
    for (const char *at = list;; at++) {
        if (writes(at, strcspn(at, ",+")))
            return true;
        at += strcspn(at, ",");
        if (*at == '\0')
            return false;
    }
}

/* True for what a bench wrote: record i holds the pool's bytes of i, or of i + 1 once it was overwritten. */
static bool is_ours(const struct bench *b, const shale_row *row)
{
    const uint8_t *key = row->key.data;
    uint64_t i = 0;
    if (row->key.len != KEY_BYTES || row->value.len >= POOL_BYTES)
        return false;
    for (size_t k = 0; k < KEY_BYTES; k++) {
        if (key[k] < '0' || key[k] > '9')
            return false;
        i = i * 10 + (uint64_t)(key[k] - '0');
    }
    for (uint64_t shift = 0; shift < 2; shift++) {
        size_t at = (size_t)((i + shift) * 131 % (POOL_BYTES - row->value.len));
        if (row->value.len == 0 || memcmp(b->pool + at, row->value.data, row->value.len) == 0)
            return true;
    }
    return false;
}

/* The first or the last row, which stand for all: *ours stays if there is none. */
static shale_code look_at_end(const struct bench *b, shale_db *db, bool last, bool *ours,
                              shale_error *err)
{
    shale_iter *it = NULL;
    shale_row row;
    shale_scan_options how;
    shale_scan_options_init(&how, sizeof how);
    how.reverse = last;
    how.rows_max = 1;
    shale_code rc = shale_db_scan(&it, db, shale_range_all(), &how, err);
    if (rc == SHALE_OK && (rc = shale_iter_next(&row, it, err)) == SHALE_OK)
        *ours = *ours && is_ours(b, &row);
    shale_iter_close(it);
    return rc == SHALE_DONE ? SHALE_OK : rc;
}

/* Workloads that write may do so where nothing is, and where a bench wrote; elsewhere they need --yes. 0, or an exit code after a message. */
static int mind_rows(const struct bench *b, const char *list)
{
    struct cli *c = b->c;
    shale_db *db = NULL;
    bool ours = true;
    if (cli_has(&c->args, OPT_YES) || !list_writes(list))
        return CLI_YES;
    shale_code rc = shale_db_open_reader(&db, b->url, c->options, NULL, &c->err);
    if (rc == SHALE_NOT_FOUND)
        return CLI_YES;
    if (rc == SHALE_OK)
        rc = look_at_end(b, db, false, &ours, &c->err);
    if (rc == SHALE_OK)
        rc = look_at_end(b, db, true, &ours, &c->err);
    (void)shale_db_close(db, NULL);
    if (rc != SHALE_OK)
        return cli_fail(c, b->url);
    if (ours)
        return CLI_YES;
    return cli_usage(c, "shale bench /tmp/bench --workload fillrandom",
                     "%s: it holds rows that no bench wrote, and these workloads write among "
                     "them: name an empty place, or say --yes",
                     b->url);
}

static int check_numbers(const struct bench *b)
{
    if (b->n < SHORT_ROWS + 1 || b->n > UINT64_C(10000000000000000))
        return cli_usage(b->c, "shale bench --help",
                         "--num %" PRIu64 ": it must be 11 (shortscan reads ten rows at a time) to "
                         "10^16 (keys have 16 digits)",
                         b->n);
    if (b->value_size >= POOL_BYTES)
        return cli_usage(b->c, "shale bench --help", "--value-size %zu: it must be below 1MiB",
                         b->value_size);
    if (b->clients < 1 || b->clients > CLIENTS_MAX)
        return cli_usage(b->c, "shale bench --help", "--clients %" PRIu64 ": it must be 1 to %d",
                         b->clients, CLIENTS_MAX);
    return CLI_YES;
}

/* Every open of "memory:" is a new store; the workloads of one run need the same. */
static const char *bench_url(const char *url)
{
    bool plain =
        strcmp(url, "memory") == 0 || strcmp(url, "memory:") == 0 || strcmp(url, "memory://") == 0;
    return plain ? "memory://?name=shale-bench" : url;
}

int cmd_bench(struct cli *c)
{
    const struct cli_args *a = &c->args;
    struct bench b = {.c = c,
                      .url = bench_url(a->positional[0]),
                      .n = cli_number(a, OPT_NUM, 1000000),
                      .value_size = (size_t)cli_number(a, OPT_VALUE_SIZE, 100),
                      .clients = cli_number(a, OPT_CLIENTS, 1),
                      .reads = cli_number(a, OPT_READS, 0),
                      .scans = cli_number(a, OPT_SCANS, 5000),
                      .durable_ops = cli_number(a, OPT_DURABLE_OPS, 50)};
    const char *list = a->value[OPT_WORKLOAD];
    if (list == NULL)
        return cli_usage(c, "shale bench DB --workload fillrandom,readhot --num 200000",
                         "--workload is missing");
    int code = check_numbers(&b);
    if (code == CLI_YES)
        code = run_list(&b, list, true);
    if (code != CLI_YES || !cli_options(c))
        return CLI_USAGE;
    if (a->value[OPT_LATENCY_MS] != NULL &&
        shale_options_set_store(c->options, "latency_ms", a->value[OPT_LATENCY_MS], &c->err) !=
            SHALE_OK)
        return cli_fail(c, NULL);
    os_signals(OS_STOP_SAFELY);
    b.pool = env_alloc(POOL_BYTES);
    if (b.pool == NULL)
        return cli_trouble(c, "out of memory");
    fill_pool(b.pool);
    code = mind_rows(&b, list);
    if (code == CLI_YES)
        code = run_list(&b, list, false);
    env_free(b.pool);
    env_free(b.nanos);
    return code;
}
