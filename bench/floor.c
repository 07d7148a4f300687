/* What the machine itself takes for the bytes of a value: copies in memory, writes to a file, reads from the page cache. No database is below it.
 *
 *   cc -O2 -std=c17 bench/floor.c -o floor && ./floor FOLDER [BYTES]
 *
 * A line of JSON for each way: CPU (user and system) for a piece of BYTES bytes (1024), out of 256 MiB in all; the smallest of five rounds. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define ALL    ((size_t)256 << 20)
#define WINDOW ((size_t)1 << 20) /* what one call moves, and what stays in the near cache */
#define ROUNDS 5

static uint8_t *source; /* of ALL bytes */
static uint8_t *window;
static char path[4096];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static uint8_t *fresh_pages(void)
{
    void *p = mmap(NULL, ALL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        fail("mmap");
    return p;
}

static int open_file(int flags)
{
    int fd = open(path, flags | O_RDWR, 0600);
    if (fd < 0)
        fail(path);
    return fd;
}

static void write_all(int fd)
{
    for (size_t at = 0; at < ALL; at += WINDOW)
        if (pwrite(fd, source + at, WINDOW, (off_t)at) != (ssize_t)WINDOW)
            fail("write");
}

/* ---- the ways; each moves ALL bytes */

/* From far memory into a buffer that stays near. */
static void copy_near(size_t piece)
{
    for (size_t at = 0; at + piece <= ALL; at += piece)
        memcpy(window + at % (WINDOW - piece), source + at, piece);
}

/* Into memory that nobody touched before: what a buffer costs that is not used again. */
static void copy_fresh(size_t piece)
{
    uint8_t *to = fresh_pages();
    for (size_t at = 0; at + piece <= ALL; at += piece)
        memcpy(to + at, source + at, piece);
    munmap(to, ALL);
}

static void write_new(size_t piece)
{
    (void)piece;
    (void)unlink(path);
    int fd = open_file(O_CREAT | O_EXCL);
    write_all(fd);
    close(fd);
}

/* Pages that the page cache has already. */
static void write_again(size_t piece)
{
    (void)piece;
    int fd = open_file(0);
    write_all(fd);
    close(fd);
}

static void read_windows(size_t piece)
{
    (void)piece;
    int fd = open_file(0);
    for (size_t at = 0; at < ALL; at += WINDOW)
        if (pread(fd, window, WINDOW, (off_t)at) != (ssize_t)WINDOW)
            fail("read");
    close(fd);
}

static void read_pieces(size_t piece)
{
    int fd = open_file(0);
    for (size_t at = 0; at + piece <= ALL; at += piece)
        if (pread(fd, window, piece, (off_t)at) != (ssize_t)piece)
            fail("read");
    close(fd);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*move)(size_t piece);
    } ways[] = {
        {"memcpy into a buffer in cache", copy_near},
        {"memcpy into fresh pages", copy_fresh},
        {"write to a new file", write_new},
        {"write over a file", write_again},
        {"read by the MiB", read_windows},
        {"read piece by piece", read_pieces},
    };
    const size_t piece = argc > 2 ? strtoull(argv[2], NULL, 10) : 1024;
    if (argc < 2 || piece == 0 || piece >= WINDOW) {
        fprintf(stderr, "usage: floor FOLDER [BYTES]      (BYTES below 1 MiB)\n");
        return 2;
    }
    (void)snprintf(path, sizeof path, "%s/floor.tmp", argv[1]);
    source = fresh_pages();
    memset(source, 'v', ALL);
    window = malloc(WINDOW);
    if (window == NULL)
        fail("malloc");
    memset(window, 0, WINDOW);
    const uint64_t pieces = ALL / piece;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        double best = 1e9;
        for (int round = 0; round < ROUNDS; round++) {
            double before = cpu_seconds();
            ways[i].move(piece);
            double took = cpu_seconds() - before;
            best = took < best ? took : best;
        }
        printf("{\"w\":\"%s\",\"ops\":%" PRIu64 ",\"vlen\":%zu,\"cpu_s\":%.6f,\"ns\":%.0f}\n",
               ways[i].name, pieces, piece, best, best / (double)pieces * 1e9);
    }
    (void)unlink(path);
    return 0;
}
