/* Looking inside a database without opening it: manifests, SSTs, WAL objects and a summary as JSON. Reads only.
 * Shapes of manifests are those of SlateDB's own tool (slatedb-surface 4). Any task. */
#ifndef SHL_LSM_INSPECT_H
#define SHL_LSM_INSPECT_H

#include "base/codec/json.h"
#include "lsm/format/compactions.h"
#include "lsm/format/names.h"
#include "store/store.h"

struct shl_inspect {
    struct shl_store *store;                   /* borrowed */
    struct shl_store *wal_store;               /* borrowed; NULL: the same */
    const char *path;                          /* borrowed: the database in the bucket, unescaped */
    const struct shl_transformer *transformer; /* borrowed; NULL: none */
};

/* Each writes one value or, where said, the members of an object that the caller has begun. Errors: NOT_FOUND (no database, manifest, SST or
 * WAL object of that name), CORRUPTION naming the object, those of the store. The writer's own failures are kept in it. */

/* One object: manifest `id`, 0 = the newest. Cost: a LIST (newest only) and a GET. */
SHL_MUST shale_code shl_inspect_manifest(const struct shl_inspect *in, uint64_t id,
                                         struct shl_json_writer *w, shale_error *err);
/* An array of {id, size_bytes, modified_unix_ms}. One LIST. */
SHL_MUST shale_code shl_inspect_manifests(const struct shl_inspect *in, struct shl_json_writer *w,
                                          shale_error *err);
/* An array of the manifests, or compactions files, with from <= id < to (0: no end), each as above and below. A LIST per 1,000 and a GET each. */
typedef SHL_ARRAY(uint64_t) shl_version_ids;
SHL_MUST shale_code shl_inspect_versions(const struct shl_inspect *in, bool compactions,
                                         uint64_t from, uint64_t to, struct shl_json_writer *w,
                                         shale_error *err);
/* An array with a line for each SST of the newest manifest. A LIST and a GET. */
SHL_MUST shale_code shl_inspect_ssts(const struct shl_inspect *in, struct shl_json_writer *w,
                                     shale_error *err);
/* One object: parts, stats and blocks of an SST, with rows if asked. INVALID: not a ULID. A LIST, a GET of the manifest, a GET of all of it. */
SHL_MUST shale_code shl_inspect_sst(const struct shl_inspect *in, const char *ulid, bool rows,
                                    struct shl_json_writer *w, shale_error *err);
/* One object: WAL objects above the replay boundary. Two LISTs and a GET. */
SHL_MUST shale_code shl_inspect_wal(const struct shl_inspect *in, struct shl_json_writer *w,
                                    shale_error *err);
/* One object: a WAL object with its rows. One GET. */
SHL_MUST shale_code shl_inspect_wal_rows(const struct shl_inspect *in, uint64_t id,
                                         struct shl_json_writer *w, shale_error *err);
/* One object: the compactions file `id`, 0 = the newest, in SlateDB's shape. NOT_FOUND: there is none. A LIST and 2 GETs (newest), or a GET. */
SHL_MUST shale_code shl_inspect_compactions(const struct shl_inspect *in, uint64_t id,
                                            struct shl_json_writer *w, shale_error *err);
/* One object: a job of the newest file. INVALID: not a ULID. NOT_FOUND: it is not in it. */
SHL_MUST shale_code shl_inspect_compaction(const struct shl_inspect *in, const char *ulid,
                                           struct shl_json_writer *w, shale_error *err);
/* Members: shape, sizes, rows, checkpoints, open compactions, storage cost. Four LISTs, GETs of the manifest and the compactions, one per SST (at most SHL_INSPECT_STATS_MAX). */
#define SHL_INSPECT_STATS_MAX 512
SHL_MUST shale_code shl_inspect_stat(const struct shl_inspect *in, struct shl_json_writer *w,
                                     shale_error *err);

/* ---- shared by the files of this part */

/* A manifest that was read, and its names. {0} may be deinit'ed. */
struct shl_inspected {
    struct shl_db_paths paths;
    struct shl_manifest *manifest; /* owned */
    uint64_t id;
    uint64_t bytes; /* of the object */
};
SHL_MUST shale_code shl_inspect_load(const struct shl_inspect *in, uint64_t id,
                                     struct shl_inspected *out, shale_error *err);
void shl_inspected_deinit(struct shl_inspected *x);
/* Full key of an SST of this manifest (an SST of a clone's parent lies below the parent's path). Owned; NULL if out of memory. */
char *shl_inspect_sst_key(const struct shl_inspected *x, struct shl_ulid id, shale_error *err);

/* An array of the jobs that are not finished, in short; null if the file cannot be read. A LIST and 2 GETs, or a LIST if nothing was compacted. */
SHL_MUST shale_code shl_inspect_open_jobs(const struct shl_inspect *in, struct shl_json_writer *w,
                                          shale_error *err);
/* A manifest as an object. */
void shl_inspect_manifest_value(struct shl_json_writer *w, const struct shl_manifest *m,
                                uint64_t id);
/* A job that is only planned as an object, with the bytes of its sources. */
void shl_inspect_planned(struct shl_json_writer *w, const struct shl_compaction *job,
                         uint64_t source_bytes);
/* A job as an object. */
void shl_inspect_job(struct shl_json_writer *w, const struct shl_compaction *job);
void shl_inspect_ulid(struct shl_json_writer *w, struct shl_ulid id);
void shl_inspect_hex(struct shl_json_writer *w, const char *key, struct shl_slice bytes);
/* "value", "tombstone", "merge", with key and value in hex, seq and times. */
void shl_inspect_row(struct shl_json_writer *w, const struct shl_row *row);
/* One object; and the member "checkpoints". */
void shl_inspect_checkpoint(struct shl_json_writer *w, const struct shl_checkpoint *c);
void shl_inspect_checkpoints(struct shl_json_writer *w, const struct shl_manifest *m);
/* SlateDB's tool prints byte strings as arrays of numbers, and bounds and SSTs like this. */
void shl_inspect_byte_array(struct shl_json_writer *w, struct shl_slice bytes);
void shl_inspect_bound(struct shl_json_writer *w, enum shl_bound_type type, struct shl_slice key);
void shl_inspect_sst_id(struct shl_json_writer *w, struct shl_ulid id);
void shl_inspect_sst_info(struct shl_json_writer *w, const struct shl_sst_info *info);
/* "none" as null, else "Snappy", "Zlib", "Lz4", "Zstd". */
void shl_inspect_codec(struct shl_json_writer *w, enum shl_compression codec);

#endif
