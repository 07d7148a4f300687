/* The compactions file: jobs of the compactor and its workers. Pure. slatedb-format 3.5, 6. */
#ifndef SHL_LSM_COMPACTIONS_H
#define SHL_LSM_COMPACTIONS_H

#include "lsm/format/manifest.h"

enum shl_compaction_status { /* stored numbers */
    SHL_COMPACTION_SUBMITTED = 0,
    SHL_COMPACTION_RUNNING = 1,
    SHL_COMPACTION_COMPLETED = 2,
    SHL_COMPACTION_FAILED = 3,
    SHL_COMPACTION_COMPACTED = 4,
    SHL_COMPACTION_SCHEDULED = 5
};
enum shl_compaction_kind { SHL_COMPACTION_TIERED = 1, SHL_COMPACTION_DRAIN = 2 }; /* stored spec_type */

typedef SHL_ARRAY(struct shl_sst_desc *) shl_sst_descs; /* counted references */

struct shl_subcompaction {
    struct shl_bytes_range range;
    shl_sst_descs outputs;
    bool has_outputs;
    bool completed;
};

struct shl_compaction {
    struct shl_ulid id;
    enum shl_compaction_kind kind;
    struct shl_buf segment;      /* owned; empty = root tree */
    SHL_ARRAY(struct shl_ulid) l0_view_ids;
    bool has_l0_view_ids;
    SHL_ARRAY(uint32_t) runs;
    bool has_runs;
    uint32_t destination;        /* tiered */
    enum shl_compaction_status status;
    shl_sst_descs outputs;       /* in key order */
    char *worker_id;             /* owned; NULL: not claimed */
    uint64_t worker_heartbeat_ms;
    bool has_context;
    uint64_t retention_min_seq;  /* of the context */
    bool has_subcompactions;
    SHL_ARRAY(struct shl_subcompaction) subcompactions;
};

struct shl_compactions {
    unsigned stored_version; /* 1 or 2 */
    uint64_t compactor_epoch;
    SHL_ARRAY(struct shl_compaction) jobs; /* ascending by id */
};

SHL_MUST shale_code shl_compactions_new(struct shl_compactions **out, shale_error *err);
SHL_MUST shale_code shl_compactions_decode(struct shl_slice file, struct shl_compactions **out, shale_error *err);
/* Appends file bytes, version 2, byte-equal to SlateDB's. */
SHL_MUST shale_code shl_compactions_encode(const struct shl_compactions *c, struct shl_buf *out, shale_error *err);
SHL_MUST shale_code shl_compactions_clone(const struct shl_compactions *c, struct shl_compactions **out, shale_error *err);
void shl_compactions_free(struct shl_compactions *c);
SHL_MUST shale_code shl_compaction_copy(const struct shl_compaction *from, struct shl_compaction *out, shale_error *err);
void shl_subcompaction_deinit(struct shl_subcompaction *s);
void shl_compaction_deinit(struct shl_compaction *j);

#endif
