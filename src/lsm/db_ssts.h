/* What a caller asks of the SSTs and the manifest that a handle uses. Any task; writers and readers. */
#ifndef SHL_LSM_DB_SSTS_H
#define SHL_LSM_DB_SSTS_H

#include "base/codec/json.h"
#include "lsm/db.h"

struct shl_lsm_warm {
    bool filters;
    bool data; /* the blocks of `range`; the index comes in any case */
    struct shl_lsm_range range;
};
/* Fetches them into the caches, as far as there is room. name: a ULID. NOT_FOUND: no tree of the newest version has it. */
SHL_MUST shale_code shl_lsm_warm_sst(struct shl_lsm *db, const char *name,
                                     const struct shl_lsm_warm *what, shale_error *err);
/* Index, filter and blocks leave the caches; what somebody uses just now stays in memory until then. */
SHL_MUST shale_code shl_lsm_evict_sst(struct shl_lsm *db, const char *name, shale_error *err);

/* Bytes of the blocks, as stored, that can hold keys of the range, in all SSTs; memtables do not count. Fetches indexes that are not in memory. */
SHL_MUST shale_code shl_lsm_range_bytes(struct shl_lsm *db, const struct shl_lsm_range *range,
                                        uint64_t *out_bytes, shale_error *err);

/* The newest version's manifest as an object, in SlateDB's shape. */
void shl_lsm_manifest_json(struct shl_lsm *db, struct shl_json_writer *w);
/* Visits the segments of the newest version, by prefix; stops when visit returns false. */
void shl_lsm_segments(struct shl_lsm *db,
                      bool (*visit)(void *ctx, struct shl_slice prefix, uint64_t l0_count,
                                    uint64_t run_count),
                      void *ctx);

#endif
