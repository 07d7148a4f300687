/* The figures of a compactor, which the engine's face hands on. */
#ifndef SHL_LSM_COMPACTOR_COUNTS_H
#define SHL_LSM_COMPACTOR_COUNTS_H

#include "base/codec/ulid.h"

/* What a compactor has done since new, and does now. Times are Unix time, 0: never. slatedb-surface 5. */
struct shl_compactor_counts {
    char worker_id[SHL_ULID_TEXT];
    uint64_t epoch; /* 0: not the coordinator */
    uint64_t last_commit_s;
    uint64_t claimed;           /* jobs, by its worker */
    uint64_t released_bytes;    /* of inputs that went before their jobs ended */
    uint64_t reclaimed;         /* jobs that its coordinator took from silent workers */
    uint64_t last_heartbeat_ms; /* of its worker */
    uint64_t purged_values, purged_operands, operands;
    uint64_t ssts, bytes;  /* written */
    uint64_t copied_blocks; /* of them, as they were stored */
    uint64_t running;      /* jobs of its worker, and of those: */
    uint64_t input_bytes;  /* an estimate */
    uint64_t bytes_per_s;  /* read, since each began */
};

#endif
