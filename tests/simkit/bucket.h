/* What must hold in a bucket at any moment, whoever wrote it: behaviour 22, numbers 5 to 10, 12, 13. */
#ifndef SHALE_TESTS_BUCKET_H
#define SHALE_TESTS_BUCKET_H

#include "store/store.h"

#include <stdbool.h>

/* Reads every manifest and WAL object of the database at `path` and dies (env_die) with the first thing that is wrong. All manifests are expected to be
 * there still. wal_complete: no collector removed WAL objects; wal_always_on: every writer had its WAL on. */
void bucket_check(struct shl_store *bucket, const char *path, bool wal_complete,
                  bool wal_always_on);

#endif
