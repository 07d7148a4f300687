/* The workloads of bench/README.md on LevelDB or RocksDB, through the C interface that both have.
 *
 *   cc -O2 -DWITH_LEVELDB bench/peers/local.c -lleveldb -lpthread -o bench-leveldb
 *   cc -O2 -DWITH_ROCKSDB bench/peers/local.c -lrocksdb -lpthread -o bench-rocksdb
 *
 * usage: bench-leveldb FOLDER WORKLOAD[,WORKLOAD..] RECORDS VALUE_BYTES [NAME=NUMBER ..]
 *
 * Names: reads scans durops threads cachemb (block cache, MiB). A line of JSON for each workload; each opens the database anew. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#ifdef WITH_LEVELDB
#include <leveldb/c.h>
#define KV(name) leveldb_##name
#define LIBRARY  "leveldb"
#else
#include <rocksdb/c.h>
#define KV(name) rocksdb_##name
#define LIBRARY  "rocksdb"
#endif
#ifndef VERSION
#define VERSION "unknown"
#endif

#define KEY_BYTES   16
#define POOL_BYTES  ((uint64_t)1 << 20)
#define MANY        8
#define SHORT_ROWS  10
#define CLIENTS_MAX 64

struct numbers {
    uint64_t reads; /* 0: by workload */
    uint64_t scans;
    uint64_t durops;
    uint64_t threads;
    uint64_t cachemb;
};

struct bench {
    KV(t) * db;
    KV(readoptions_t) * how_read;
    uint64_t records;
    uint64_t value_bytes;
    struct numbers numbers;
    char *pool;
    uint32_t *nanos; /* one per operation */
    uint64_t nanos_count;
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "bench-" LIBRARY ": %s: %s\n", what, why);
    exit(1);
}

static void check(const char *what, const char *error)
{
    if (error != NULL)
        fail(what, error);
}

/* ---- the records */

static uint64_t draw(uint64_t *state)
{
    *state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t x = *state;
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

static char *make_pool(void)
{
    char *pool = malloc(POOL_BYTES);
    uint64_t state = 42;
    for (uint64_t at = 0; pool != NULL && at < POOL_BYTES; at += 8) {
        uint64_t word = draw(&state);
        for (unsigned byte = 0; byte < 8; byte++)
            pool[at + byte] = (char)(word >> (8 * byte) & 0xff);
    }
    return pool;
}

static const char *value_of(const struct bench *b, uint64_t i)
{
    return b->pool + i * 131 % (POOL_BYTES - b->value_bytes);
}

static void write_key(char key[KEY_BYTES], uint64_t i)
{
    for (int at = KEY_BYTES - 1; at >= 0; at--, i /= 10)
        key[at] = (char)('0' + i % 10);
}

/* A bijection on [0, count). */
static uint64_t shuffled(uint64_t i, uint64_t count)
{
    unsigned bits = 0;
    while ((UINT64_C(1) << bits) < count)
        bits++;
    const uint64_t mask = (UINT64_C(1) << bits) - 1;
    const unsigned shift = bits < 2 ? 1 : bits / 2;
    do {
        i = (i * UINT64_C(0x9E3779B1) ^ UINT64_C(0x5BD1E995)) & mask;
        i ^= i >> shift;
        i = i * UINT64_C(0x85EBCA6B) & mask;
    } while (i >= count);
    return i;
}

/* ---- clocks */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double peak_mib(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024.0;
}

/* What the kernel wrote for this process so far, in bytes. */
static uint64_t written_bytes(void)
{
    char line[128];
    uint64_t bytes = 0;
    FILE *f = fopen("/proc/self/io", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "write_bytes: %" SCNu64, &bytes) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return bytes;
}

static void note(struct bench *b, uint64_t start_ns)
{
    uint64_t took = now_ns() - start_ns;
    b->nanos[b->nanos_count++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
}

/* ---- workloads: each returns its operations */

static uint64_t run_puts(struct bench *b, const char *work)
{
    const bool durable = strcmp(work, "filldurable") == 0;
    const bool in_order = durable || strcmp(work, "fillseq") == 0;
    const uint64_t shift = strcmp(work, "overwrite") == 0;
    const uint64_t count = durable ? b->numbers.durops : b->records;
    KV(writeoptions_t) *how = KV(writeoptions_create)();
    KV(writeoptions_set_sync)(how, durable);
    for (uint64_t i = 0; i < count; i++) {
        char key[KEY_BYTES];
        char *error = NULL;
        uint64_t start = now_ns();
        uint64_t x = in_order ? i : shuffled(i, b->records);
        write_key(key, x);
        KV(put)(b->db, how, key, KEY_BYTES, value_of(b, x + shift), b->value_bytes, &error);
        check(work, error);
        note(b, start);
    }
    KV(writeoptions_destroy)(how);
    return count;
}

struct client {
    const struct bench *b;
    uint64_t seed;
    uint64_t count;
    bool missing;
    uint32_t *nanos;
};

static void *read_some(void *arg)
{
    struct client *c = arg;
    for (uint64_t i = 0; i < c->count; i++) {
        char key[KEY_BYTES];
        char *error = NULL;
        size_t len = 0;
        uint64_t start = now_ns();
        write_key(key, draw(&c->seed) % c->b->records);
        if (c->missing)
            key[KEY_BYTES - 1] ^= 0x40;
        char *value = KV(get)(c->b->db, c->b->how_read, key, KEY_BYTES, &len, &error);
        check("get", error);
        if (c->missing ? value != NULL : value == NULL || len != c->b->value_bytes)
            fail("get", "wrong answer");
        KV(free)(value);
        c->nanos[i] = (uint32_t)(now_ns() - start);
    }
    return NULL;
}

static uint64_t reads_of(const struct bench *b, const char *work)
{
    uint64_t all = b->numbers.reads != 0              ? b->numbers.reads
                   : strcmp(work, "readcold") == 0    ? 20000
                   : strcmp(work, "readmissing") == 0 ? 100000
                                                      : 200000;
    return all / b->numbers.threads;
}

static uint64_t run_reads(struct bench *b, const char *work)
{
    pthread_t threads[CLIENTS_MAX];
    struct client clients[CLIENTS_MAX];
    const uint64_t each = reads_of(b, work);
    for (uint64_t i = 0; i < b->numbers.threads; i++) {
        clients[i] = (struct client){.b = b,
                                     .seed = 7 + i,
                                     .count = each,
                                     .missing = strcmp(work, "readmissing") == 0,
                                     .nanos = b->nanos + i * each};
        if (b->numbers.threads == 1)
            read_some(&clients[i]);
        else if (pthread_create(&threads[i], NULL, read_some, &clients[i]) != 0)
            fail(work, "no thread");
    }
    for (uint64_t i = 0; b->numbers.threads > 1 && i < b->numbers.threads; i++)
        pthread_join(threads[i], NULL);
    b->nanos_count = each * b->numbers.threads;
    return b->nanos_count;
}

/* Eight keys a time; LevelDB has no call for several. An operation is a key. */
static void get_many(const struct bench *b, char keys[MANY][KEY_BYTES])
{
#ifdef WITH_LEVELDB
    for (int k = 0; k < MANY; k++) {
        char *error = NULL;
        size_t len = 0;
        char *value = leveldb_get(b->db, b->how_read, keys[k], KEY_BYTES, &len, &error);
        check("get", error);
        if (value == NULL || len != b->value_bytes)
            fail("get", "wrong answer");
        leveldb_free(value);
    }
#else
    const char *list[MANY];
    size_t key_lens[MANY];
    char *values[MANY];
    size_t lens[MANY];
    char *errors[MANY];
    for (int k = 0; k < MANY; k++) {
        list[k] = keys[k];
        key_lens[k] = KEY_BYTES;
    }
    rocksdb_multi_get(b->db, b->how_read, MANY, list, key_lens, values, lens, errors);
    for (int k = 0; k < MANY; k++) {
        check("multi_get", errors[k]);
        if (values[k] == NULL || lens[k] != b->value_bytes)
            fail("multi_get", "wrong answer");
        rocksdb_free(values[k]);
    }
#endif
}

static uint64_t run_many(struct bench *b)
{
    uint64_t state = 7;
    const uint64_t rounds = reads_of(b, "multiget") * b->numbers.threads / MANY;
    for (uint64_t i = 0; i < rounds; i++) {
        char keys[MANY][KEY_BYTES];
        uint64_t start = now_ns();
        for (int k = 0; k < MANY; k++)
            write_key(keys[k], draw(&state) % b->records);
        get_many(b, keys);
        note(b, start);
        b->nanos[b->nanos_count - 1] /= MANY;
    }
    return rounds * MANY;
}

static uint64_t run_scan(struct bench *b)
{
    volatile size_t touched = 0;
    uint64_t rows = 0;
    KV(iterator_t) *it = KV(create_iterator)(b->db, b->how_read);
    for (KV(iter_seek_to_first)(it); KV(iter_valid)(it); KV(iter_next)(it), rows++) {
        size_t len;
        (void)KV(iter_value)(it, &len);
        touched = len;
    }
    (void)touched;
    KV(iter_destroy)(it);
    if (rows != b->records)
        fail("scan", "not as many rows as records");
    return rows;
}

static uint64_t run_short_scans(struct bench *b)
{
    uint64_t state = 9;
    for (uint64_t i = 0; i < b->numbers.scans; i++) {
        char from[KEY_BYTES];
        char to[KEY_BYTES];
        int rows = 0;
        uint64_t start = now_ns();
        uint64_t x = draw(&state) % (b->records - SHORT_ROWS);
        write_key(from, x);
        write_key(to, x + SHORT_ROWS);
        KV(iterator_t) *it = KV(create_iterator)(b->db, b->how_read);
        for (KV(iter_seek)(it, from, KEY_BYTES); KV(iter_valid)(it); KV(iter_next)(it), rows++) {
            size_t len;
            const char *key = KV(iter_key)(it, &len);
            if (len == KEY_BYTES && memcmp(key, to, KEY_BYTES) >= 0)
                break;
            (void)KV(iter_value)(it, &len);
        }
        KV(iter_destroy)(it);
        if (rows != SHORT_ROWS)
            fail("shortscan", "not ten rows");
        note(b, start);
    }
    return b->numbers.scans;
}

static uint64_t settle(struct bench *b)
{
    KV(compact_range)(b->db, NULL, 0, NULL, 0);
    return 1;
}

static uint64_t run(struct bench *b, const char *work)
{
    if (strncmp(work, "fill", 4) == 0 || strcmp(work, "overwrite") == 0)
        return run_puts(b, work);
    if (strncmp(work, "read", 4) == 0)
        return run_reads(b, work);
    if (strcmp(work, "multiget") == 0)
        return run_many(b);
    if (strcmp(work, "scan") == 0)
        return run_scan(b);
    if (strcmp(work, "shortscan") == 0)
        return run_short_scans(b);
    if (strcmp(work, "settle") != 0)
        fail(work, "unknown workload");
    return settle(b);
}

/* ---- one measurement */

static KV(t) * open_db(const char *folder, const struct numbers *numbers)
{
    char *error = NULL;
    const size_t cache_bytes = (size_t)numbers->cachemb << 20;
    KV(options_t) *how = KV(options_create)();
    KV(options_set_create_if_missing)(how, 1);
    KV(options_set_write_buffer_size)(how, (size_t)64 << 20);
    KV(options_set_compression)(how, 0);
#ifdef WITH_LEVELDB
    leveldb_options_set_cache(how, leveldb_cache_create_lru(cache_bytes));
    leveldb_options_set_filter_policy(how, leveldb_filterpolicy_create_bloom(10));
#else
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, rocksdb_cache_create_lru(cache_bytes));
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_options_set_block_based_table_factory(how, table);
    rocksdb_options_increase_parallelism(how, 2);
#endif
    KV(t) *db = KV(open)(how, folder, &error);
    check(folder, error);
    return db;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile_us(const struct bench *b, double share)
{
    if (b->nanos_count == 0)
        return 0;
    return b->nanos[(uint64_t)((double)(b->nanos_count - 1) * share)] / 1e3;
}

static uint64_t operations_max(const struct bench *b, const char *work)
{
    if (strncmp(work, "read", 4) == 0 || strcmp(work, "multiget") == 0)
        return reads_of(b, work) * b->numbers.threads + 1;
    if (strcmp(work, "filldurable") == 0)
        return b->numbers.durops + 1;
    return strcmp(work, "shortscan") == 0 ? b->numbers.scans + 1 : b->records + 1;
}

/* WORK+settle: the clock runs on until everything is compacted. */
static void measure(struct bench *b, const char *folder, char *work)
{
    char *plus = strchr(work, '+');
    const bool settles = plus != NULL && strcmp(plus, "+settle") == 0;
    if (settles)
        *plus = '\0';
    const bool reads = strncmp(work, "read", 4) == 0;
    uint64_t room = operations_max(b, work);
    b->nanos = realloc(b->nanos, room * sizeof *b->nanos);
    if (b->nanos == NULL)
        fail(work, "out of memory");
    memset(b->nanos, 0,
           room * sizeof *b->nanos); /* faults of the measuring are not the database's */
    b->nanos_count = 0;
    b->db = open_db(folder, &b->numbers);
    b->how_read = KV(readoptions_create)();
    if (strcmp(work, "readhot") == 0 || strcmp(work, "multiget") == 0)
        (void)run_scan(b);
    uint64_t written = written_bytes();
    double cpu = cpu_seconds();
    uint64_t start = now_ns();
    uint64_t ops = run(b, work);
    if (settles)
        (void)settle(b);
    double seconds = (double)(now_ns() - start) / 1e9;
    cpu = cpu_seconds() - cpu;
    KV(readoptions_destroy)(b->how_read);
    KV(close)(b->db);
    qsort(b->nanos, b->nanos_count, sizeof *b->nanos, ascending);
    printf("{\"peer\":\"" LIBRARY "-" VERSION "\",\"w\":\"%s%s\",\"store\":\"file\",\"n\":%" PRIu64
           ",\"vlen\":%" PRIu64 ",\"threads\":%" PRIu64 ",\"ops\":%" PRIu64
           ",\"s\":%.6f,\"ops_s\":%.0f,\"cpu_s\":%.6f,\"cpu_per_mop\":%.4f,\"p50us\":%.3f,"
           "\"p99us\":%.3f,\"rss_mb\":%.1f,\"put_mb\":%.1f}\n",
           work, settles ? "+settle" : "", b->records, b->value_bytes,
           reads ? b->numbers.threads : 1, ops, seconds, (double)ops / seconds, cpu,
           cpu / (double)ops * 1e6, percentile_us(b, 0.5), percentile_us(b, 0.99), peak_mib(),
           (double)(written_bytes() - written) / 1e6);
    fflush(stdout);
}

static void set_number(struct numbers *numbers, const char *word)
{
    const struct {
        const char *name;
        uint64_t *to;
    } known[] = {{"reads=", &numbers->reads},
                 {"scans=", &numbers->scans},
                 {"durops=", &numbers->durops},
                 {"threads=", &numbers->threads},
                 {"cachemb=", &numbers->cachemb}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strncmp(word, known[i].name, strlen(known[i].name)) == 0)
            *known[i].to = strtoull(word + strlen(known[i].name), NULL, 10);
}

int main(int argc, char **argv)
{
    struct bench b = {.numbers = {.scans = 5000, .durops = 200, .threads = 1, .cachemb = 640}};
    if (argc < 5)
        fail("usage", "FOLDER WORKLOAD[,WORKLOAD..] RECORDS VALUE_BYTES [NAME=NUMBER ..]");
    b.records = strtoull(argv[3], NULL, 10);
    b.value_bytes = strtoull(argv[4], NULL, 10);
    for (int i = 5; i < argc; i++)
        set_number(&b.numbers, argv[i]);
    if (b.records <= SHORT_ROWS || b.value_bytes >= POOL_BYTES || b.numbers.threads == 0 ||
        b.numbers.threads > CLIENTS_MAX)
        fail("usage", "RECORDS above 10, VALUE_BYTES below 1 MiB, threads 1 to 64");
    b.pool = make_pool();
    if (b.pool == NULL)
        fail("pool", "out of memory");
    for (char *rest = argv[2], *work; (work = strsep(&rest, ",")) != NULL;)
        measure(&b, argv[1], work);
    free(b.nanos);
    free(b.pool);
    return 0;
}
