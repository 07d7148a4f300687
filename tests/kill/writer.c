/* Writes to a database until it is killed, and says what it was promised.
 *
 * usage: writer URL LOG_FILE SEED
 * Each of THREADS threads owns keys "t<thread>/<number>" and puts single rows or batches, durably. Lines of the log, each one write(2),
 * so that a kill leaves whole lines:   s <thread> <id> <count> [d]   before a batch "id" of that many rows (d: their deletion),
 *                                      a <thread> <id>              after the call said OK
 * Row n of batch id has the key t<thread>/<id>/<n> and a value that begins with "<id>:<count>:" and is padded by the seed. */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <shale/shale.h>

enum { THREADS = 4, ROWS_MAX = 20, VALUE_MAX = 3000, LINE_MAX_BYTES = 128 };

struct worker {
    shale_db *db;
    int log;
    unsigned index;
    uint64_t rand;
    uint64_t first_id; /* no id is used twice, over all runs on one database */
};

static uint64_t next_rand(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static void say(int log, const char *line)
{
    size_t len = strlen(line);
    if (write(log, line, len) != (ssize_t)len)
        exit(3);
}

static void fill(shale_batch *batch, struct worker *w, uint64_t id, unsigned count, bool delete)
{
    char key[64], value[VALUE_MAX];
    for (unsigned n = 0; n < count; n++) {
        snprintf(key, sizeof key, "t%u/%012" PRIu64 "/%02u", w->index, id, n);
        if (delete) {
            shale_batch_delete(batch, SHALE_STR(key));
            continue;
        }
        int head = snprintf(value, sizeof value, "%" PRIu64 ":%u:", id, count);
        size_t len = (size_t)head + next_rand(&w->rand) % (sizeof value - (size_t)head);
        memset(value + head, 'a' + (int)(id % 26), len - (size_t)head);
        shale_batch_put(batch, SHALE_STR(key), shale_bytes(value, len));
    }
}

/* The parent wants to know why. */
static void give_up(const char *what, const shale_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(err->code), err->text);
    exit(2);
}

static void one_write(struct worker *w, shale_batch *batch, uint64_t id, unsigned count,
                      bool delete)
{
    char line[LINE_MAX_BYTES];
    shale_error err = {0};
    shale_batch_clear(batch);
    fill(batch, w, id, count, delete);
    snprintf(line, sizeof line, "s %u %" PRIu64 " %u%s\n", w->index, id, count, delete ? " d" : "");
    say(w->log, line);
    if (shale_db_write(w->db, batch, NULL, &err) != SHALE_OK)
        give_up("write", &err);
    snprintf(line, sizeof line, "a %u %" PRIu64 "%s\n", w->index, id, delete ? " d" : "");
    say(w->log, line);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    shale_batch *batch = shale_batch_new();
    shale_error err = {0};
    if (batch == NULL)
        exit(3);
    for (uint64_t id = w->first_id;; id++) {
        unsigned count =
            next_rand(&w->rand) % 2 == 0 ? 1 : 1 + (unsigned)(next_rand(&w->rand) % ROWS_MAX);
        one_write(w, batch, id, count, false);
        if (next_rand(&w->rand) % 8 == 0)
            one_write(w, batch, id, count, true);
        if (next_rand(&w->rand) % 64 == 0 &&
            shale_db_flush(w->db, SHALE_FLUSH_MEMTABLE, &err) != SHALE_OK)
            give_up("flush", &err);
    }
    return NULL;
}

/* Small memtables and L0s, so that flushes and compactions are under way when the kill comes. */
static shale_db *open_db(const char *url)
{
    shale_error err = {0};
    shale_db *db = NULL;
    shale_options *options = shale_options_new();
    if (options == NULL)
        return NULL;
    shale_code rc = shale_options_set(options, "l0_sst_size_bytes", "65536", &err);
    if (rc == SHALE_OK)
        rc = shale_options_set(options, "flush_interval", "5ms", &err);
    if (rc == SHALE_OK)
        rc = shale_options_set(options, "compactor_options.poll_interval", "20ms", &err);
    if (rc == SHALE_OK)
        rc = shale_db_open(&db, url, options, &err);
    shale_options_free(options);
    if (rc != SHALE_OK)
        fprintf(stderr, "open: %s: %s\n", shale_code_name(rc), err.text);
    return db;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 1;
    int log = open(argv[2], O_WRONLY | O_CREAT | O_APPEND, 0644);
    shale_db *db = log >= 0 ? open_db(argv[1]) : NULL;
    if (db == NULL)
        return 2;
    say(log, "open\n");
    uint64_t seed = strtoull(argv[3], NULL, 0);
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){
            .db = db, .log = log, .index = i, .rand = seed * 31 + i, .first_id = seed * 1000000};
        if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0)
            return 3;
    }
    pthread_join(threads[0], NULL); /* never: the parent kills */
    return 0;
}
