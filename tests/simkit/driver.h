/* Runs scenarios over seeds: those of tests/sim/seeds.txt always, then a range.
 *
 * SIM_SEED=N runs one seed; SIM_FIRST=N and SIM_COUNT=N a range; SIM_SCENARIO=name only that; SIM_BACKEND=baton the other scheduler; SIM_META=N so many
 * seeds again on both backends: the hashes must be equal. */
#ifndef SHALE_TESTS_DRIVER_H
#define SHALE_TESTS_DRIVER_H

#include "base/env/sim.h"

struct driver_scenario {
    const char *name;
    void (*main_fn)(void *arg);
};

/* One run of a scenario from a clean start; returns the hash. */
typedef uint64_t (*driver_run)(const struct driver_scenario *sc, uint64_t seed,
                               enum sim_backend backend);

/* The exit status for main(). */
int driver_main(const struct driver_scenario *scenarios, size_t count, driver_run run);

#endif
