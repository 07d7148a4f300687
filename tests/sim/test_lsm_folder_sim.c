/* Goal: a database in a folder survives crashes and power cuts: with fsync on, what was acknowledged as durable is there after any loss of
 * unsynced data; with fsync off, after any crash of the process alone.
 * Method: the real folder store on the simulated file system; a process is killed at any moment, then the power may go too.
 *
 * SIM_SEED, SIM_FIRST, SIM_COUNT as in test_lsm_sim.c. */
#include "base/assert.h"
#include "store/file.h"
#include "store/wrap_retry.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scene {
    struct world_history history;
    struct shl_lsm_settings settings;
    bool fsync;
    bool clean;
};

static void die_of(const char *what, const shale_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(err->code), err->text);
    env_die(what);
}

static void process(void *arg)
{
    struct scene *s = arg;
    shale_error err = {0};
    struct shl_store *files = NULL, *store = NULL;
    struct shl_lsm *db = NULL;
    struct shl_file_options o = {
        .fsync = s->fsync, .create_root = true, .cache_descriptors = sim_chance(0.5)};
    struct shl_retry_options retry = {.max_retries = SHL_RETRY_FOREVER};
    bool was_clean = s->clean;
    s->clean = false;
    if (shl_store_file_new(&files, "/bucket", &o, &err) != SHALE_OK ||
        shl_store_retry_new(&store, files, &retry, &err) != SHALE_OK)
        die_of("store", &err);
    struct shl_lsm_open open = {.store = store, .path = "db", .settings = &s->settings};
    if (shl_lsm_open_writer(&open, &db, &err) != SHALE_OK)
        die_of("open", &err);
    world_check(&s->history, db, was_clean);
    uint64_t steps = 1 + sim_rand_below(40);
    while (steps-- > 0 && s->history.count < WORLD_OPS_MAX - 2) {
        shale_code rc = SHALE_OK;
        uint64_t what = sim_rand_below(20);
        if (what < 15)
            rc = world_random_write(&s->history, db, s->settings.wal_enabled && sim_chance(0.4),
                                    &err);
        else if (what < 17)
            rc = shl_lsm_flush(db, sim_chance(0.5), &err);
        else
            env_sleep_ns(sim_rand_below(200 * ENV_NS_PER_MS));
        if (rc != SHALE_OK)
            die_of("client", &err);
    }
    if (shl_lsm_close(db, &err) != SHALE_OK)
        die_of("close", &err);
    shl_store_unref(store);
    shl_store_unref(files);
    s->clean = true;
}

static void folder_main(void *arg)
{
    struct scene *s = arg;
    sim_fs_reset();
    world_random_settings(&s->settings);
    s->fsync = sim_chance(0.7);
    s->clean = true;
    unsigned rounds = 2 + (unsigned)sim_rand_below(5);
    for (unsigned i = 0; i < rounds; i++) {
        sim_group g = sim_group_new("writer", 0);
        sim_group_spawn(g, "main", process, s);
        if (sim_chance(0.3)) {
            sim_group_wait(g);
        } else {
            env_sleep_ns(sim_rand_below(800 * ENV_NS_PER_MS));
            if (sim_group_alive(g))
                sim_group_kill(g);
        }
        if (s->fsync && sim_chance(0.5)) {
            sim_fs_power_loss();
            s->clean =
                false; /* what was only in the final manifest may be older; nothing durable is */
        }
    }
    sim_group last = sim_group_new("last", 0);
    sim_group_spawn(last, "main", process, s);
    sim_group_wait(last);
    if (!s->clean)
        env_die("the last process did not close");
    sim_fs_reset();
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? strtoull(text, NULL, 0) : otherwise;
}

int main(void)
{
    static struct scene scene;
    uint64_t first = number("SIM_FIRST", 1), count = number("SIM_COUNT", 150), all = 0;
    if (getenv("SIM_SEED") != NULL) {
        first = number("SIM_SEED", 1);
        count = 1;
    }
    printf("scenario folder: seeds 0x%" PRIx64 " to 0x%" PRIx64 "\n", first, first + count - 1);
    fflush(stdout);
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct sim_options o = {.seed = seed, .policy = SIM_POLICY_BY_SEED, .scenario = "folder"};
        memset(&scene, 0, sizeof scene);
        uint64_t hash = sim_run(&o, folder_main, &scene);
        all = all * 31 + hash;
        if (seed % 50 == 1) { /* replay must be exact */
            memset(&scene, 0, sizeof scene);
            if (sim_run(&o, folder_main, &scene) != hash) {
                fprintf(stderr, "seed 0x%" PRIx64 ": another hash the second time\n", seed);
                return 1;
            }
        }
    }
    printf("scenario folder: %" PRIu64 " seeds passed, hash of all %016" PRIx64 "\n", count, all);
    return 0;
}
