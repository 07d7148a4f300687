/* Object names of a database, both directions. Pure. slatedb-format 1. */
#ifndef SHL_LSM_NAMES_H
#define SHL_LSM_NAMES_H

#include "base/bytes.h"
#include "base/codec/ulid.h"

#define SHL_NAME_BYTES 64 /* room for the longest name below the root, with NUL */

/* The two roots of a database path: r1 = escape(path) holds manifest/, compactions/, gc/; r2 = escape(r1) holds wal/ and
 * compacted/ (they differ only if r1 contains '%'). Both owned, without leading or trailing '/'; "" for the bucket itself. */
struct shl_db_paths {
    char *r1;
    char *r2;
};
SHL_MUST shale_code shl_db_paths_init(struct shl_db_paths *p, const char *path, shale_error *err);
/* For a path that is escaped already (external_dbs[].path): r1 = path, r2 = escape(path). */
SHL_MUST shale_code shl_db_paths_init_escaped(struct shl_db_paths *p, const char *r1, shale_error *err);
void shl_db_paths_deinit(struct shl_db_paths *p);

/* Full keys, owned (env_free); NULL if out of memory. */
char *shl_name_manifest(const struct shl_db_paths *p, uint64_t id);
char *shl_name_compactions(const struct shl_db_paths *p, uint64_t id);
char *shl_name_wal(const struct shl_db_paths *p, uint64_t id);
char *shl_name_sst(const struct shl_db_paths *p, struct shl_ulid id);
char *shl_name_boundary(const struct shl_db_paths *p, const char *what); /* "manifest" or "compactions" */
char *shl_name_dir(const struct shl_db_paths *p, const char *dir);      /* "manifest" "compactions" "wal" "compacted" "gc" */

/* The number in the last segment of a key, if its extension is `extension` ("manifest", "compactions", "sst"). */
SHL_MUST bool shl_name_parse_id(const char *key, const char *extension, uint64_t *out);
SHL_MUST bool shl_name_parse_ulid(const char *key, struct shl_ulid *out);

#endif
