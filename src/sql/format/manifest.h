/* manifest.json of a sql database: which snapshot, which changesets on top of it, in order. Pure but for memory.
 *
 *   {"format_version":1,"seq":7,"schema_version":1,"snapshot":{"key":"db/snapshots/snap-x.sqlite","seq":0,"size":8192},
 *    "log":[{"key":"db/changesets/snap-x/cs-y.bin","seq":1,"size":76}, ...]}
 *
 * UTF-8, no white space, no line end, members in this order; an empty log is written as null, a size of 0 (unknown) is left out. Keys are
 * those of the whole bucket. A reader passes over members that it does not know, takes names in any letter case, of two members the later
 * one, null for absent, and nothing behind the first value. Source: s3db at commit 55f93c7, manifest.go. */
#ifndef SHL_SQL_FORMAT_MANIFEST_H
#define SHL_SQL_FORMAT_MANIFEST_H

#include "base/array.h"
#include "base/bytes.h"

#define SHL_SQL_FORMAT_VERSION 1

/* An object that the manifest names. */
struct shl_sql_object {
    char *key;    /* owned */
    int64_t seq;  /* of a snapshot: the highest that is in it */
    int64_t size; /* bytes; 0: unknown */
};

/* {0} is empty and may be freed. */
struct shl_sql_manifest {
    int64_t seq;            /* one more with every commit */
    int64_t schema_version; /* the highest migration applied; 0: none */
    struct shl_sql_object snapshot;
    SHL_ARRAY(struct shl_sql_object) log; /* entry i has seq snapshot.seq + 1 + i */
};

void shl_sql_manifest_free(struct shl_sql_manifest *m);

/* Reads and checks. Errors: CORRUPTION (no JSON, a wrong type, a broken rule), NOT_SUPPORTED (a newer format), NOMEM. */
SHL_MUST shale_code shl_sql_manifest_decode(struct shl_slice text, struct shl_sql_manifest *out,
                                            shale_error *err);
/* Appends the text. Strings that are not UTF-8 get U+FFFD. Errors: NOMEM. */
SHL_MUST shale_code shl_sql_manifest_encode(const struct shl_sql_manifest *m, struct shl_buf *out,
                                            shale_error *err);
/* The rules that hold for every manifest: seq without gaps, from the snapshot's on. CORRUPTION names the first that does not. */
SHL_MUST shale_code shl_sql_manifest_check(const struct shl_sql_manifest *m, shale_error *err);

/* A copy that shares nothing. */
SHL_MUST shale_code shl_sql_manifest_copy(const struct shl_sql_manifest *m,
                                          struct shl_sql_manifest *out, shale_error *err);
/* Appends a changeset: seq + 1. `key` is copied. */
SHL_MUST shale_code shl_sql_manifest_append(struct shl_sql_manifest *m, const char *key,
                                            int64_t size, shale_error *err);
/* Puts a snapshot of the manifest's seq in the place of snapshot and log. `key` is copied. */
SHL_MUST shale_code shl_sql_manifest_rebase(struct shl_sql_manifest *m, const char *key,
                                            int64_t size, shale_error *err);
/* The key of the log's entry with this seq, borrowed; NULL: the snapshot's seq, or one that is not in the log. */
const char *shl_sql_manifest_key_at(const struct shl_sql_manifest *m, int64_t seq);
/* True if an entry of the log has this key. */
bool shl_sql_manifest_has(const struct shl_sql_manifest *m, const char *key);
uint64_t shl_sql_manifest_log_bytes(const struct shl_sql_manifest *m);

/* The epoch of a snapshot key: its last segment, cut at the last '.' unless that is its first byte. Borrowed from the key. */
struct shl_slice shl_sql_epoch(const char *snapshot_key);

#endif
