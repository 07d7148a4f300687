/* What a string store costs through the library: puts, gets from the folder and from the bucket, opening, memory per key. Run by bench/run-s4, beside bench/peers/s4db_ops.py.
 *
 * usage: s4_ops write URL DIR KEYS VALUE_BYTES [NAME]   puts in batches of 1000, uploads
 *        s4_ops read URL DIR KEYS VALUE_BYTES NAME     open; NAME: local, remote or scan
 * Prints a line of JSON: seconds of wall and CPU, operations, resident memory before and after the open. */
#define _GNU_SOURCE
#include <shale/shale.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BATCH 1000
#define POOL  (1u << 20)

static char pool[POOL];

static double wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static long resident_kib(void)
{
    char text[4096];
    FILE *f = fopen("/proc/self/status", "r");
    long kib = 0;
    while (f != NULL && fgets(text, sizeof text, f) != NULL)
        if (sscanf(text, "VmRSS: %ld", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kib;
}

static void must(shale_code rc, const shale_error *err)
{
    if (rc == SHALE_OK)
        return;
    fprintf(stderr, "s4_ops: %s: %s\n", shale_code_name(rc), err->text);
    exit(1);
}

static void fill_pool(void)
{
    unsigned long long state = 42;
    for (unsigned i = 0; i < POOL; i++) {
        unsigned long long z = state += 0x9e3779b97f4a7c15ull;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
        pool[i] = (char)('a' + (z >> 40) % 26); /* text that hardly compresses */
    }
}

static shale_slice value_of(unsigned long i, size_t bytes)
{
    return shale_bytes(pool + 131 * i % (POOL - bytes), bytes);
}

static shale_s4 *open_store(const char *url, const char *dir)
{
    shale_s4_options o;
    shale_s4 *db = NULL;
    shale_error err;
    shale_s4_options_init(&o, sizeof o);
    o.local_dir = dir[0] != '-' ? dir : NULL;
    must(shale_s4_open(&db, url, NULL, &o, &err), &err);
    return db;
}

static void print(const char *what, unsigned long ops, double w, double c)
{
    printf("{\"w\":\"%s\",\"ops\":%lu,\"wall_s\":%.6f,\"cpu_s\":%.6f}\n", what, ops, w, c);
}

static void write_keys(const char *url, const char *dir, unsigned long keys, size_t bytes)
{
    static char text[BATCH][24];
    shale_s4_item items[BATCH];
    shale_error err;
    shale_s4 *db = open_store(url, dir);
    double w = wall(), c = cpu();
    for (unsigned long i = 0; i < keys;) {
        size_t n = 0;
        for (; n < BATCH && i < keys; n++, i++) {
            int len = snprintf(text[n], sizeof text[n], "%016lu", i);
            items[n] = (shale_s4_item){.key = shale_bytes(text[n], (size_t)len),
                                       .value = value_of(i, bytes)};
        }
        must(shale_s4_put(db, items, n, &err), &err);
    }
    print("put", keys, wall() - w, cpu() - c);
    w = wall(), c = cpu();
    must(shale_s4_upload(db, false, &err), &err);
    print("upload", keys, wall() - w, cpu() - c);
    shale_s4_close(db);
}

static void get_keys(shale_s4 *db, const char *what, unsigned long keys, unsigned long gets,
                     size_t bytes)
{
    double w = wall(), c = cpu();
    for (unsigned long i = 0; i < gets; i++) {
        shale_s4_value v = {.owner = NULL};
        shale_error err;
        char key[24];
        unsigned long k = i * 2654435761ul % keys;
        int len = snprintf(key, sizeof key, "%016lu", k);
        must(shale_s4_get(&v, db, shale_bytes(key, (size_t)len), &err), &err);
        shale_slice want = value_of(k, bytes);
        if (v.value.len != want.len || memcmp(v.value.data, want.data, want.len) != 0)
            exit(2);
        shale_s4_value_release(&v);
    }
    print(what, gets, wall() - w, cpu() - c);
}

static void scan(shale_s4 *db, unsigned long keys)
{
    shale_s4_iter *it;
    shale_s4_item item;
    shale_error err;
    unsigned long seen = 0;
    double w = wall(), c = cpu();
    must(shale_s4_scan(&it, db, NULL, &err), &err);
    while (shale_s4_next(&item, it, &err) == SHALE_OK)
        seen++;
    shale_s4_iter_close(it);
    if (seen != keys)
        exit(2);
    print("scan", keys, wall() - w, cpu() - c);
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return 2;
    unsigned long keys = strtoul(argv[4], NULL, 10);
    size_t bytes = strtoul(argv[5], NULL, 10);
    const char *what = argc > 6 ? argv[6] : "";
    fill_pool();
    if (strcmp(argv[1], "write") == 0) {
        write_keys(argv[2], argv[3], keys, bytes);
        return 0;
    }
    long before = resident_kib();
    double w = wall(), c = cpu();
    shale_s4 *db = open_store(argv[2], argv[3]);
    w = wall() - w, c = cpu() - c;
    printf("{\"w\":\"open\",\"ops\":%lu,\"wall_s\":%.6f,\"cpu_s\":%.6f,\"rss_kib\":%ld}\n", keys, w,
           c, resident_kib() - before);
    if (strcmp(what, "local") == 0) {
        shale_error err;
        must(shale_s4_download(db, false, NULL, NULL, &err), &err);
        get_keys(db, "get local", keys, 200000, bytes);
    } else if (strcmp(what, "remote") == 0)
        get_keys(db, "get remote", keys, 2000, bytes);
    else if (strcmp(what, "scan") == 0)
        scan(db, keys);
    shale_s4_close(db);
    return 0;
}
