/* Nanoseconds per row of the memtable: add, get, scan. Built by hand:
 *
 *   cc -std=c17 -O2 -D_DEFAULT_SOURCE -Iinclude -Isrc bench/micro_memtable.c src/lsm/memtable/*.c src/lsm/format/row.c \
 *      src/base/[a-z]*.c src/base/env/env*.c src/base/env/posix*.c -lpthread -o micro_memtable && ./micro_memtable [rows]
 */
#include <stdio.h>
#include <stdlib.h>

#include "lsm/memtable/memtable.h"

#define KEY_BYTES   16
#define VALUE_BYTES 100

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* 16 digits, as the benchmarks' keys are; random: the same numbers in another order. */
static void make_key(uint64_t i, uint64_t rows, bool random, char out[KEY_BYTES + 8])
{
    uint64_t n = random ? mix(i) % (rows * 10) : i;
    (void)snprintf(out, KEY_BYTES + 8, "%016llu", (unsigned long long)n);
}

static double per_row(uint64_t start_ns, uint64_t rows)
{
    return (double)(env_now_mono_ns() - start_ns) / (double)rows;
}

static void run(uint64_t rows, bool random)
{
    static const uint8_t value[VALUE_BYTES] = {1};
    char(*keys)[KEY_BYTES + 8] = malloc(rows * sizeof *keys);
    struct shl_memtable *t = NULL;
    shale_error err;
    if (keys == NULL || shl_memtable_new(NULL, &t, &err) != SHALE_OK)
        exit(1);
    for (uint64_t i = 0; i < rows; i++)
        make_key(i, rows, random, keys[i]);

    uint64_t start = env_now_mono_ns();
    for (uint64_t i = 0; i < rows; i++) {
        struct shl_row row = {.key = shl_slice_of(keys[i], KEY_BYTES),
                              .value = shl_slice_of(value, VALUE_BYTES),
                              .seq = i + 1};
        if (shl_memtable_reserve(t, 1, KEY_BYTES + VALUE_BYTES, &err) != SHALE_OK)
            exit(1);
        (void)shl_memtable_add(t, &row);
    }
    double add_ns = per_row(start, rows);

    uint64_t found = 0;
    start = env_now_mono_ns();
    for (uint64_t i = 0; i < rows; i++) {
        uint64_t j = mix(i + 12345) % rows;
        found += shl_memtable_get(t, shl_slice_of(keys[j], KEY_BYTES), UINT64_MAX) != NULL;
    }
    double get_ns = per_row(start, rows);

    struct shl_memtable_iter it;
    struct shl_row row;
    uint64_t seen = 0;
    uint64_t sum = 0;
    shl_memtable_iter_init(&it, t);
    start = env_now_mono_ns();
    for (shl_memtable_iter_first(&it); it.entry != NULL; shl_memtable_iter_next(&it)) {
        shl_mem_entry_row(it.entry, &row);
        sum += row.key.data[KEY_BYTES - 1];
        seen++;
    }
    double scan_ns = per_row(start, seen);

    (void)printf("%-10s %9llu rows  add %6.1f  get %6.1f  scan %5.1f ns/row  memory %5.1f B/row  "
                 "(%llu %llu %llu)\n",
                 random ? "random" : "sequential", (unsigned long long)rows, add_ns, get_ns,
                 scan_ns, (double)shl_memtable_arena_bytes(t) / (double)rows,
                 (unsigned long long)found, (unsigned long long)seen, (unsigned long long)sum);
    shl_memtable_unref(t);
    free(keys);
}

int main(int argc, char **argv)
{
    uint64_t rows = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    for (int i = 0; i < 3; i++) {
        run(rows, true);
        run(rows, false);
    }
    return 0;
}
