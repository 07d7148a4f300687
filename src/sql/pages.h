/* A snapshot that is loaded page by page, when SQLite asks: ranges of the object are fetched into the local file, which also takes the writes. Reads that
 * go on where the last one ended fetch more and more at once. One task. */
#ifndef SHL_SQL_PAGES_H
#define SHL_SQL_PAGES_H

#include "sql/remote.h"
#include "sql/vfs.h"

#define SHL_SQL_CHUNK_BYTES ((uint64_t)64 << 10) /* what is fetched at least */

struct shl_sql_lazy;

/* Makes the file at `path` with the size of the object, and its first chunk. Errors: as a download's. */
SHL_MUST shale_code shl_sql_lazy_new(struct shl_sql_lazy **out, struct shl_sql_remote *r,
                                     const struct shl_sql_object *object, const char *path,
                                     shale_error *err);
void shl_sql_lazy_free(struct shl_sql_lazy *z); /* NULL is fine */
/* The hook for the connection. */
struct shl_sql_pages *shl_sql_lazy_pages(struct shl_sql_lazy *z);
/* Fetches all that is missing. */
SHL_MUST shale_code shl_sql_lazy_fill_all(struct shl_sql_lazy *z, shale_error *err);
/* Why the last fill failed; code OK if none did. */
const shale_error *shl_sql_lazy_failure(const struct shl_sql_lazy *z);
/* Bytes fetched so far. */
uint64_t shl_sql_lazy_fetched(const struct shl_sql_lazy *z);

#endif
