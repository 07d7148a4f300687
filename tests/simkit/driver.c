#include "driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS_FILE SHALE_SOURCE_DIR "/tests/sim/seeds.txt"

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? strtoull(text, NULL, 0) : otherwise;
}

/* Lines "scenario seed why"; others begin with '#'. Returns how many there were. */
static unsigned run_kept_seeds(const struct driver_scenario *sc, driver_run run)
{
    char line[400], name[64];
    unsigned long long seed;
    unsigned n = 0;
    FILE *f = fopen(SEEDS_FILE, "r");
    if (f == NULL) {
        fprintf(stderr, "cannot open " SEEDS_FILE "\n");
        exit(1);
    }
    while (fgets(line, sizeof line, f) != NULL)
        if (line[0] != '#' && sscanf(line, "%63s %llx", name, &seed) == 2 &&
            strcmp(name, sc->name) == 0) {
            (void)run(sc, seed, SIM_UCONTEXT);
            n++;
        }
    (void)fclose(f);
    return n;
}

/* Replay must be exact: twice, and on the other backend. */
static bool replays_exactly(const struct driver_scenario *sc, uint64_t seed, driver_run run)
{
    uint64_t a = run(sc, seed, SIM_UCONTEXT), b = run(sc, seed, SIM_UCONTEXT),
             c = run(sc, seed, SIM_BATON);
    if (a != b || a != c)
        fprintf(stderr,
                "seed 0x%" PRIx64 " %s: hashes differ: %" PRIx64 " %" PRIx64 ", baton %" PRIx64
                "\n",
                seed, sc->name, a, b, c);
    return a == b && a == c;
}

int driver_main(const struct driver_scenario *scenarios, size_t count, driver_run run)
{
    const char *only = getenv("SIM_SCENARIO"), *backend_name = getenv("SIM_BACKEND");
    enum sim_backend backend =
        backend_name != NULL && strcmp(backend_name, "baton") == 0 ? SIM_BATON : SIM_UCONTEXT;
    bool one = getenv("SIM_SEED") != NULL;
    uint64_t first = one ? number("SIM_SEED", 1) : number("SIM_FIRST", 1);
    uint64_t seeds = one ? 1 : number("SIM_COUNT", 150), meta = one ? 0 : number("SIM_META", 10);
    for (size_t i = 0; i < count; i++) {
        const struct driver_scenario *sc = &scenarios[i];
        uint64_t all = 0;
        unsigned kept = 0;
        if (only != NULL && *only != '\0' && strcmp(only, sc->name) != 0)
            continue;
        printf("scenario %s: seeds 0x%" PRIx64 " to 0x%" PRIx64 "\n", sc->name, first,
               first + seeds - 1);
        fflush(stdout);
        if (!one)
            kept = run_kept_seeds(sc, run);
        for (uint64_t seed = first; seed < first + seeds; seed++)
            all = all * 31 + run(sc, seed, backend);
        for (uint64_t seed = first; seed < first + meta; seed++)
            if (!replays_exactly(sc, seed, run))
                return 1;
        printf("scenario %s: %" PRIu64 " seeds and %u kept ones passed, hash of all %016" PRIx64
               "; %" PRIu64 " of them again on both backends\n",
               sc->name, seeds, kept, all, meta);
    }
    return 0;
}
