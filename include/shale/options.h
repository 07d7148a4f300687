/* Options of a database: by name, typed, from a file, from the environment. SPDX-License-Identifier: Apache-2.0
 *
 * Names and defaults are SlateDB's (nested ones with dots: compactor_options.worker.max_sst_size), plus ours; docs/reference
 * and `shale help settings` list them. Values are text as in a settings file: sizes "64MiB", durations "100ms", "none" for a setting that may be
 * null. One thread at a time; an options object may be freed as soon as the call that took it has returned. */
#ifndef SHALE_OPTIONS_H
#define SHALE_OPTIONS_H

#include <shale/error.h>
#include <shale/types.h>

SHALE_BEGIN_DECLS

typedef struct shale_options shale_options;

/* All defaults. NULL if out of memory. */
SHALE_API shale_options *shale_options_new(void);
SHALE_API void shale_options_free(shale_options *options); /* NULL is fine */

/* Sets one option by name. INVALID: unknown name (with the nearest known one) or a value out of its range. Old words
 * (flush_ms, max_unflushed_memtable, poll_interval) are accepted. Besides SlateDB's settings:
 *   root                 folder or URL that is the bucket, if it is not the parent folder of the database
 *   wal_url              URL of another store for wal/
 *   merge_operator       concat (append) | sum-u64 | max-u64 | min-u64 (8 bytes little-endian, shorter ones zero-extended; a sum wraps) | sum-i64 |
 *                        max-i64 | min-i64 (exactly 8 bytes, two's complement) | max-bytes | min-bytes (by unsigned bytes, a prefix is less) | none
 *   segment_extractor    N (first bytes) | slash (up to the first '/') | none
 *   bloom_bits_per_key, bloom_prefix, bloom_whole_key, sst_block_size, block_cache_bytes, meta_cache_bytes, wal_flush = adaptive | interval
 *   transformer          aes-256-gcm:file:PATH | aes-256-gcm:env:NAME (a key of 32 bytes: raw, hex or base64; a random nonce for every block, whose
 *                        tag is checked at every read) | xor:HH | none
 *   strict_ttl, transaction_log_bytes */
SHALE_API SHALE_MUST shale_code shale_options_set(shale_options *options, const char *name, const char *value,
                                                  shale_error *err);
SHALE_API SHALE_MUST shale_code shale_options_set_bool(shale_options *options, const char *name, bool value,
                                                       shale_error *err);
SHALE_API SHALE_MUST shale_code shale_options_set_u64(shale_options *options, const char *name, uint64_t value,
                                                      shale_error *err);
SHALE_API SHALE_MUST shale_code shale_options_set_duration_ms(shale_options *options, const char *name, uint64_t value_ms,
                                                              shale_error *err);

/* An option of the object store, e.g. "local_fsync" = "off" (a folder then acknowledges before data is on disk), "aws_region" = "eu-west-1",
 * "aws_endpoint" = "http://127.0.0.1:9000" with "aws_allow_http" = "true". What is not set comes from the environment (AWS_REGION ...) and profile files. */
SHALE_API SHALE_MUST shale_code shale_options_set_store(shale_options *options, const char *key, const char *value,
                                                        shale_error *err);

/* What later calls of shale_options_set and shale_options_set_store are said to come from when options are listed, e.g. "--set"; NULL:
 * "set". Copied; cut at 100 bytes. */
SHALE_API void shale_options_set_origin(shale_options *options, const char *origin);

/* The groups [profile.NAME] of the files that are read from now on hold too, over what stands outside of groups. "" or NULL: none.
 * INVALID: a name with a dot or a line end in it. */
SHALE_API SHALE_MUST shale_code shale_options_use_profile(shale_options *options, const char *name, shale_error *err);
/* True if a file that was read has such a group. */
SHALE_API bool shale_options_profile_found(const shale_options *options);

/* Reads a .json, .toml, .yaml or .yml file; each setting in it replaces what was set before. A group [storage] holds store options. */
SHALE_API SHALE_MUST shale_code shale_options_load_file(shale_options *options, const char *path, shale_error *err);

/* Takes SLATEDB_<NAME>, then SHALE_<NAME> (names in upper case; of settings, and of store options as in SHALE_AWS_REGION) from the
 * environment. A variable whose value does not fit is INVALID;
 * unknown ones are ignored. */
SHALE_API SHALE_MUST shale_code shale_options_load_env(shale_options *options, shale_error *err);

/* The same with names that begin with `prefix`. INVALID: an empty prefix. */
SHALE_API SHALE_MUST shale_code shale_options_load_env_prefix(shale_options *options, const char *prefix,
                                                              shale_error *err);
/* SlateDB's load(): those of SlateDb.json, .toml, .yaml and .yml that are in the working directory, each over the one before, then the environment as
 * shale_options_load_env. */
SHALE_API SHALE_MUST shale_code shale_options_load(shale_options *options, shale_error *err);

/* All settings as one JSON object in SlateDB's shape, which both read: sizes as numbers of bytes, durations as text, null for none. Not among them: store options (they may be
 * secrets), functions. *out_json is owned: shale_text_free (shale/metrics.h). */
SHALE_API SHALE_MUST shale_code shale_options_to_json(char **out_json, const shale_options *options, shale_error *err);
/* Reads such a text; each setting in it replaces what was set before. */
SHALE_API SHALE_MUST shale_code shale_options_load_json(shale_options *options, const char *json, shale_error *err);

/* A merge operator: appends the merge of `existing` (NULL: none) and `operand` by calling emit(emit_ctx, result) once. Must be
 * associative. May be called from any thread, and must not call the database. */
typedef shale_code (*shale_merge_fn)(void *ctx, shale_slice key, const shale_slice *existing, shale_slice operand,
                                     void (*emit)(void *emit_ctx, shale_slice result), void *emit_ctx);
SHALE_API void shale_options_set_merge_operator(shale_options *options, shale_merge_fn merge, void *ctx);

/* A block transformer, e.g. encryption: hands what the stored bytes `in` become to emit(emit_ctx, result), once. Every block, index and filter of SSTables and
 * WAL objects goes through encode before it is written, and through decode behind it is read; both sides of a bucket need the same one. decode answers
 * CORRUPTION for bytes that cannot be its own. Any thread; must not call the database. NULL: none. It stands before the setting "transformer". */
typedef shale_code (*shale_transform_fn)(void *ctx, shale_slice in, void (*emit)(void *emit_ctx, shale_slice result),
                                         void *emit_ctx);
SHALE_API void shale_options_set_transformer(shale_options *options, shale_transform_fn encode, shale_transform_fn decode,
                                             void *ctx);

/* A prefix extractor: the first *len bytes of `key` are its prefix; false: it has none. is_beginning: `key` is only what some keys begin with (a prefix
 * scan asks); answer false unless all of them have the same prefix; a prefix that it gave for some key is its own. Must always say the same, be quick, and not call the library; any thread. */
typedef bool (*shale_prefix_fn)(void *ctx, shale_slice key, bool is_beginning, size_t *len);
typedef enum shale_prefix_use {
    SHALE_PREFIX_SEGMENTS = 0, /* one tree for each prefix (as segment_extractor): for life, and under this name */
    SHALE_PREFIX_FILTERS = 1   /* prefixes go into the filters (as bloom_prefix), so that prefix scans pass SSTables by */
} shale_prefix_use;
/* name: 1 to 31 bytes, stored with what is written; SlateDB needs an extractor of the same name. INVALID: the name. */
SHALE_API SHALE_MUST shale_code shale_options_set_prefix_extractor(shale_options *options, shale_prefix_use use,
                                                                   const char *name, shale_prefix_fn prefix, void *ctx,
                                                                   shale_error *err);

/* A writer takes over only from epoch `epoch` (shale_db_status.writer_epoch of who wrote last; 0: nobody yet): if the database is at another one,
 * shale_db_open fails with FENCED, and whoever writes is left alone. Readers do not care. */
SHALE_API void shale_options_set_expected_epoch(shale_options *options, uint64_t epoch);

/* A step of a read that was asked for with a trace_id (shale_read_options, shale_scan_options), by SlateDB's names: "slatedb.read" is the whole, from the call to its end, of a scan to
 * shale_iter_close; inside of it ".memtable", ".read_filters", ".evaluate_filter", ".read_index", ".read_blocks" and ".merge". Only what has to be fetched is "read". What is fetched beside
 * each other for several SSTables is one step without an SSTable. */
typedef struct shale_span {
    const char *trace_id;
    const char *name;           /* "slatedb.read.read_blocks" */
    const char *sst;            /* its ULID; NULL: of none */
    uint64_t begin_ns, end_ns;  /* by a clock of this process that never goes back */
    bool is_no;                 /* of evaluate_filter: the SSTable is passed by */
} shale_span;
/* Gets the steps when such a read has ended, in the thread that ended it: in the order in which they did, the whole last. Of a scan the first 4096. All is borrowed. Must not call the library
 * with that handle. NULL: nobody is told, and a trace_id does nothing. */
typedef void (*shale_trace_fn)(void *ctx, const shale_span *span);
SHALE_API void shale_options_set_trace(shale_options *options, shale_trace_fn trace, void *ctx);

/* Tells the time in milliseconds since the Unix epoch, instead of the system's clock: when rows are written and expire, ids, ends of checkpoints, signs of life of compactors,
 * and how old garbage is. Of a handle opened with these options, or a call that takes them. How long something waits, and how often it looks, goes by the system's clock
 * all the same, and so do certificates and signatures. Any thread, often, under locks: must be quick and not call the library. NULL: the system's. */
typedef int64_t (*shale_clock_fn)(void *ctx);
SHALE_API void shale_options_set_clock(shale_options *options, shale_clock_fn now_ms, void *ctx);

/* Called with each log line (level 0 error .. 3 debug; `text` is borrowed). Any thread. NULL turns logging off (the default). */
typedef void (*shale_log_fn)(void *ctx, int level, const char *text);
SHALE_API void shale_options_set_log(shale_options *options, shale_log_fn log, int level_max, void *ctx);

/* Asked while a request that failed is about to be made again, for a bucket that does not answer is asked for ever unless
 * object_store_max_retries says otherwise, and while one finds no connection for more than a second: true gives up, and the call fails with what the store said last.
 * Also asked by a write that waits because L0 is full. Any thread, often; must not block.
 * NULL (the default): never. */
typedef bool (*shale_cancel_fn)(void *ctx);
SHALE_API void shale_options_set_cancel(shale_options *options, shale_cancel_fn cancelled, void *ctx);

/* What is known of one option, for listing. All borrowed until the callback returns. */
typedef struct shale_option_info {
    const char *name;
    const char *type;          /* "bool", "size", "duration", ... */
    const char *default_value; /* as text */
    const char *help;
    const char *value;         /* as text */
    const char *origin;        /* "default", "set", "FILE line N", or a variable's name */
    const char *beaten_value;  /* what held before it, if something said so; else NULL */
    const char *beaten_origin; /* of beaten_value; NULL with it */
} shale_option_info;
/* Calls visit for each option in the order of the documentation; stops when it returns false. */
SHALE_API void shale_options_each(const shale_options *options, bool (*visit)(void *ctx, const shale_option_info *info),
                                  void *ctx);
/* The same for the options of the store that `url` names (NULL: those of S3), gathered from options, the environment and profile files as
 * opening would. Secrets are "set (40 characters)". Nothing is sent. Errors: INVALID (a URL, a value, a profile), NOMEM. */
SHALE_API SHALE_MUST shale_code shale_options_each_store(const shale_options *options, const char *url,
                                                         bool (*visit)(void *ctx, const shale_option_info *info),
                                                         void *ctx, shale_error *err);

SHALE_END_DECLS

#endif
