/* Looking inside a database without opening it: each call answers with one JSON document. SPDX-License-Identifier: Apache-2.0
 *
 * Nothing is written. Shapes: docs/reference/json-output.md. Results are owned: shale_text_free. Any thread. */
#ifndef SHALE_ADMIN_H
#define SHALE_ADMIN_H

#include <shale/metrics.h>

SHALE_BEGIN_DECLS

/* The manifest `id` (0: the newest), in SlateDB's JSON shape. */
SHALE_API SHALE_MUST shale_code shale_admin_manifest(char **out_json, const char *url, const shale_options *options,
                                                     uint64_t id, shale_error *err);
/* An array of the manifests that are stored with from <= id < to (to 0: no end), each in that shape. */
SHALE_API SHALE_MUST shale_code shale_admin_manifest_range(char **out_json, const char *url, const shale_options *options,
                                                           uint64_t from, uint64_t to, shale_error *err);
/* Ids, sizes and times of the stored manifests. */
SHALE_API SHALE_MUST shale_code shale_admin_manifests(char **out_json, const char *url, const shale_options *options,
                                                      shale_error *err);
/* One SST: info, stats, blocks (offset, bytes, first key, row count). `sst` is a ULID, or NULL: a list of all SSTs of the newest manifest.
 * rows: also every row. */
SHALE_API SHALE_MUST shale_code shale_admin_sst(char **out_json, const char *url, const shale_options *options,
                                                const char *sst, bool rows, shale_error *err);
/* WAL objects above the replay boundary (id 0), or one WAL object with its rows. */
SHALE_API SHALE_MUST shale_code shale_admin_wal(char **out_json, const char *url, const shale_options *options,
                                                uint64_t id, shale_error *err);
/* Shape, sizes, checkpoints and cost: what `shale stat` prints. */
SHALE_API SHALE_MUST shale_code shale_admin_stat(char **out_json, const char *url, const shale_options *options,
                                                 shale_error *err);
/* The manifest that an open handle uses, in the shape of shale_admin_manifest. No request. */
SHALE_API SHALE_MUST shale_code shale_db_manifest(char **out_json, shale_db *db, shale_error *err);
/* Why a get costs what it costs: the memtables and SSTables that a get of `key` asks in turn, what filter and index said, which blocks had to
 * be fetched, which place answered, and what that took in requests and bytes (of the whole handle meanwhile). Does the reads of that get. Errors:
 * those of shale_db_get but NOT_FOUND. */
SHALE_API SHALE_MUST shale_code shale_db_explain(char **out_json, shale_db *db, shale_slice key, shale_error *err);

SHALE_END_DECLS

#endif
