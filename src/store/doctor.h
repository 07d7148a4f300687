/* Tries what a database needs of a store, and says what it measured. Pure store calls: any backend, any stack of wrappers.
 *
 * Everything is written below one fresh prefix, "shale-doctor-<ULID>/", and removed at the end, also after a stop. Findings come one by one, so
 * that a slow store shows life. */
#ifndef SHL_STORE_DOCTOR_H
#define SHL_STORE_DOCTOR_H

#include "store/store.h"

enum shl_health { SHL_HEALTH_OK, SHL_HEALTH_WARN, SHL_HEALTH_FAIL };

struct shl_finding {
    enum shl_health health;
    const char *what;   /* static: "create-only put" */
    char measured[320]; /* what was seen; of a failure the error's text */
    char fix[200];      /* "" if nothing is to be done */
    uint64_t ns;        /* how long it took; 0: no time was measured */
};

struct shl_doctor {
    struct shl_store *store; /* borrowed */
    unsigned racers;         /* tasks that write at once; 0: 32 */
    const char *folder;      /* of a store that is one: what a prefix leaves there is removed too; else NULL */
    size_t part_bytes;       /* of the first part of an upload; 0: 5 MiB, the least that S3 takes */
    /* One task. False: stop, tidy up, return. */
    bool (*visit)(void *ctx, const struct shl_finding *f);
    void *ctx;
};

/* The powers of the store: rights (write, read, list, delete), ranges, create-only and if-match with races, metadata, multipart and its abort,
 * copy, deletes, the clock. What fails is a finding, not an error. Errors: NOMEM, UNAVAILABLE (no tasks). */
SHL_MUST shale_code shl_store_doctor(const struct shl_doctor *d, shale_error *err);

/* A folder as such: owner and mode, file system, free space, unfinished writes, who holds a lock. Reads only. */
void shl_doctor_folder(const char *path, bool (*visit)(void *ctx, const struct shl_finding *f), void *ctx);

/* For the first opening of a database: creates a probe object below `path` twice and removes it. NOT_SUPPORTED if the second create got
 * through: "this store cannot hold a database". `who` is how the message names the store. Costs 2 PUTs and 1 DELETE. Other errors: those of
 * the puts. */
SHL_MUST shale_code shl_store_check_create(struct shl_store *s, const char *path, const char *who, shale_error *err);

#endif
