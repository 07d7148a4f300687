/* CPU of small GETs from a bucket: objects of SIZE bytes, read REQUESTS times with IN_FLIGHT requests under way at once.
 * usage: store_get URL IN_FLIGHT REQUESTS [SIZE] [threads]     prints one JSON line
 *
 * Without `threads` one thread asks for IN_FLIGHT ranges at a time (as a scan or a multi-get does); with it IN_FLIGHT threads ask for one object
 * each. CPU time is this process's alone, user and system; the server's is its own. Built against libshale.a, for ranges are no public function. */
#include "store/open.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { IN_FLIGHT_MAX = 256 };

static struct shl_store *store;
static size_t size = 4096;
static long in_flight;
static long failed;

static double cpu_s(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6 +
           (double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec / 1e6;
}

static double wall_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(shale_code rc, const shale_error *err)
{
    if (rc != SHALE_OK) {
        fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
}

/* `count` ranges of the big object at once; with room between them, so that each is a request. */
static void get_many(long count, uint8_t *dst)
{
    struct shl_get_range ranges[IN_FLIGHT_MAX];
    shale_error err;
    for (long i = 0; i < count; i++)
        ranges[i] = (struct shl_get_range){
            .offset = (uint64_t)i * size * 2, .len = size, .dst = dst + (size_t)i * size};
    if (shl_store_get_ranges(store, "get/big", ranges, (size_t)count, &err) != SHALE_OK) {
        fprintf(stderr, "%s\n", err.text);
        __atomic_fetch_add(&failed, 1, __ATOMIC_RELAXED);
    }
}

struct client {
    pthread_t thread;
    long number, gets;
};

static void *client(void *arg)
{
    const struct client *c = arg;
    uint8_t *dst = malloc(size);
    shale_error err;
    for (long i = 0; i < c->gets; i++) {
        struct shl_get_range one = {
            .offset = (uint64_t)((c->number + i) % in_flight) * size * 2, .len = size, .dst = dst};
        if (shl_store_get_ranges(store, "get/big", &one, 1, &err) != SHALE_OK) {
            fprintf(stderr, "%s\n", err.text);
            __atomic_fetch_add(&failed, 1, __ATOMIC_RELAXED);
            break;
        }
    }
    free(dst);
    return NULL;
}

static void by_threads(long gets_each)
{
    struct client clients[IN_FLIGHT_MAX];
    for (long i = 0; i < in_flight; i++) {
        clients[i] = (struct client){.number = i, .gets = gets_each};
        if (pthread_create(&clients[i].thread, NULL, client, &clients[i]) != 0)
            exit(1);
    }
    for (long i = 0; i < in_flight; i++)
        (void)pthread_join(clients[i].thread, NULL);
}

static void by_batches(long rounds)
{
    uint8_t *dst = malloc(size * (size_t)in_flight);
    for (long i = 0; i < rounds; i++)
        get_many(in_flight, dst);
    free(dst);
}

int main(int argc, char **argv)
{
    const struct shl_store_config config = {0};
    shale_error err;
    if (argc < 4) {
        fprintf(stderr, "usage: store_get URL IN_FLIGHT REQUESTS [SIZE] [threads]\n");
        return 2;
    }
    in_flight = atol(argv[2]);
    long rounds = atol(argv[3]) / in_flight;
    if (argc > 4)
        size = (size_t)atol(argv[4]);
    bool threads = argc > 5 && strcmp(argv[5], "threads") == 0;
    if (in_flight < 1 || in_flight > IN_FLIGHT_MAX || size == 0)
        return 2;
    must(shl_store_open_raw(argv[1], &config, &store, &err), &err);
    size_t big = size * 2 * (size_t)in_flight;
    struct shl_slice body = {.data = calloc(1, big), .len = big};
    const struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    must(shl_store_put(store, "get/big", &body, 1, &how, NULL, &err), &err);
    void (*run)(long) = threads ? by_threads : by_batches;
    run(4); /* connections are made */
    double cpu = cpu_s(), wall = wall_s();
    run(rounds);
    double ops = (double)(rounds * in_flight);
    printf("{\"peer\":\"shale\",\"w\":\"get\",\"bytes\":%zu,\"in_flight\":%ld,\"how\":\"%s\","
           "\"ops\":%.0f,"
           "\"s\":%.3f,\"cpu_us_per_get\":%.1f}\n",
           size, in_flight, threads ? "threads" : "batch", ops, wall_s() - wall,
           (cpu_s() - cpu) * 1e6 / ops);
    shl_store_unref(store);
    return failed != 0;
}
