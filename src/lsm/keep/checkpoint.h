/* Checkpoints: entries of the newest manifest, each of which keeps one manifest, its SSTs and its WAL objects from being collected.
 * The list functions are pure; the others make requests and need no writer. slatedb-behaviour 6. */
#ifndef SHL_LSM_CHECKPOINT_H
#define SHL_LSM_CHECKPOINT_H

#include "lsm/keep/manifest_edit.h"

/* What a new checkpoint shall be. */
struct shl_checkpoint_want {
    struct shl_ulid id;   /* a fresh UUID: shl_checkpoint_new_id */
    int64_t now_ms;       /* Unix */
    uint64_t lifetime_ms; /* 0: it never expires */
    const char *
        source; /* borrowed: UUID or name of the checkpoint whose state it takes; NULL: the newest state */
    const char *name;  /* borrowed; NULL: none */
    const char *where; /* borrowed: what messages call the database */
};
struct shl_ulid shl_checkpoint_new_id(void);
/* INVALID: it could not be read back. NULL is fine. Pure. */
SHL_MUST shale_code shl_checkpoint_check_name(const char *name, shale_error *err);

/* ---- the list of one manifest. Pure */

/* By UUID or by name. NOT_FOUND; INVALID: several have the name. `where` is for the message. */
SHL_MUST shale_code shl_checkpoint_find(const struct shl_manifest *m, const char *id_or_name,
                                        const char *where, const struct shl_checkpoint **out,
                                        shale_error *err);
struct shl_checkpoint *shl_checkpoint_at(const struct shl_manifest *m,
                                         struct shl_ulid id); /* NULL: none */
/* Adds one to the manifest that will have the id `next_id`. *manifest_id: where it points. NOT_FOUND: no such source. */
SHL_MUST shale_code shl_checkpoint_add(struct shl_manifest *m, uint64_t next_id,
                                       const struct shl_checkpoint_want *want,
                                       uint64_t *manifest_id, shale_error *err);
/* False if there is none. */
bool shl_checkpoint_remove(struct shl_manifest *m, struct shl_ulid id);
/* Unix seconds of now + lifetime, rounded up; 0 (never) for a lifetime of 0. */
uint32_t shl_checkpoint_expiry(int64_t now_ms, uint64_t lifetime_ms);
/* Removes those that expired; how many. */
size_t shl_checkpoint_expire(struct shl_manifest *m, int64_t now_ms);
bool shl_checkpoint_has_expired(const struct shl_checkpoint *c, int64_t now_ms);

/* ---- by whom no writer is needed. The newest manifest is loaded by each. CORRUPTION: an unfinished clone */

/* Covers what the newest manifest has: not the WAL objects that its writer made since. */
SHL_MUST shale_code shl_checkpoint_create(struct shl_manifests *m,
                                          const struct shl_checkpoint_want *want,
                                          uint64_t *manifest_id, shale_error *err);
/* It expires lifetime_ms from now, 0: never. NOT_FOUND: no such checkpoint. *out: its id. */
SHL_MUST shale_code shl_checkpoint_refresh(struct shl_manifests *m, const char *id_or_name,
                                           uint64_t lifetime_ms, struct shl_ulid *out,
                                           shale_error *err);
SHL_MUST shale_code shl_checkpoint_delete(struct shl_manifests *m, const char *id_or_name,
                                          struct shl_ulid *out, shale_error *err);

#endif
