/* Checkpoints: states of a database that no collector touches. SPDX-License-Identifier: Apache-2.0
 *
 * A checkpoint is found by its id (a UUID) or by its name, which need not be the only one. Readers open one through shale_reader_options. Any thread. */
#ifndef SHALE_CHECKPOINT_H
#define SHALE_CHECKPOINT_H

#include <shale/db.h>

SHALE_BEGIN_DECLS

typedef enum shale_checkpoint_scope {
    SHALE_CHECKPOINT_ALL = 0,    /* all that was written before the call, which flushes it */
    SHALE_CHECKPOINT_DURABLE = 1 /* what is durable at the call; nothing is flushed */
} shale_checkpoint_scope;

typedef struct shale_checkpoint_options {
    size_t struct_size;
    shale_checkpoint_scope scope; /* default all; of no meaning to shale_admin_checkpoint_create */
    uint64_t lifetime_ms;         /* from now; default 0: it never expires */
    const char *source;           /* id or name of another checkpoint, whose state it takes; default NULL: the state now */
    const char *name;             /* default NULL: none */
} shale_checkpoint_options;
SHALE_API void shale_checkpoint_options_init(shale_checkpoint_options *o, size_t struct_size);

typedef struct shale_checkpoint_result {
    char id[SHALE_UUID_TEXT];
    uint64_t manifest_id; /* where it points */
    uint64_t wal_objects_left_out; /* shale_admin_checkpoint_create: WAL objects with rows, of an open writer, that it does not cover; else 0 */
} shale_checkpoint_result;

/* ---- by the open writer */

/* Returns when the checkpoint is there. It shows the database as it was at the call: writes that go on meanwhile are not in it. options NULL: the
 * defaults. Errors: INVALID (a reader's handle), NOT_FOUND (the source), FENCED, CLOSED, those of the store; INTERNAL: the store did not
 * answer, so that it may be there or not. */
SHALE_API SHALE_MUST shale_code shale_db_checkpoint(shale_checkpoint_result *out, shale_db *db,
                                                    const shale_checkpoint_options *options, shale_error *err);

/* The same without waiting: what it will hold is settled at return, and its id is known; it is made in the background. Whether it was is
 * told by wait, which may be called before and after the database is closed. Free it in any case; what was begun goes on. */
typedef struct shale_checkpoint shale_checkpoint;
SHALE_API SHALE_MUST shale_code shale_db_begin_checkpoint(shale_checkpoint **out, shale_db *db,
                                                          const shale_checkpoint_options *options, shale_error *err);
SHALE_API const char *shale_checkpoint_id(const shale_checkpoint *checkpoint); /* borrowed from it */
SHALE_API SHALE_MUST shale_code shale_checkpoint_wait(shale_checkpoint_result *out, shale_checkpoint *checkpoint,
                                                      shale_error *err);
SHALE_API void shale_checkpoint_free(shale_checkpoint *checkpoint); /* NULL is fine */

/* ---- without a writer: one compare-and-set on the newest manifest each, which fences nobody */

/* Covers what the newest manifest has. What an open writer has made durable since its last manifest is in WAL objects that it does not cover:
 * the writer's own calls above do; how many there are is told. Cost: 2 LISTs, 3 GETs and a PUT. */
SHALE_API SHALE_MUST shale_code shale_admin_checkpoint_create(shale_checkpoint_result *out, const char *url,
                                                              const shale_options *options,
                                                              const shale_checkpoint_options *how, shale_error *err);
/* It expires lifetime_ms from now; 0: never. NOT_FOUND: no such checkpoint; INVALID: several of that name. out may be NULL. */
SHALE_API SHALE_MUST shale_code shale_admin_checkpoint_refresh(shale_checkpoint_result *out, const char *url,
                                                               const shale_options *options, const char *id_or_name,
                                                               uint64_t lifetime_ms, shale_error *err);
SHALE_API SHALE_MUST shale_code shale_admin_checkpoint_delete(shale_checkpoint_result *out, const char *url,
                                                              const shale_options *options, const char *id_or_name,
                                                              shale_error *err);
/* A JSON array of {id, manifest_id, expire_time, create_time, name}, as SlateDB prints it. name NULL: all; "": those without one.
 * Owned: shale_text_free. */
SHALE_API SHALE_MUST shale_code shale_admin_checkpoints(char **out_json, const char *url, const shale_options *options,
                                                        const char *name, shale_error *err);

/* ---- time travel */

/* When a sequence number was written, by the points that the newest manifest keeps: one a minute, and fewer of what is long past. Without a point for exactly that
 * one the next lower answers, or the next higher (round_up). NOT_FOUND: there is none. */
SHALE_API SHALE_MUST shale_code shale_admin_seq_to_time(int64_t *out_unix_s, const char *url, const shale_options *options,
                                                        uint64_t seq, bool round_up, shale_error *err);
SHALE_API SHALE_MUST shale_code shale_admin_time_to_seq(uint64_t *out_seq, const char *url, const shale_options *options,
                                                        int64_t unix_s, bool round_up, shale_error *err);

/* The newest checkpoint whose state is not younger than a time, or has no row of a seq above the one given (seq > 0: by it, else by unix_s). NOT_FOUND tells what is
 * covered. By time: cost of a list; by seq: checkpoints are opened, as many as halving their number takes. */
typedef struct shale_checkpoint_found {
    char id[SHALE_UUID_TEXT];
    uint64_t manifest_id;
    int64_t made_unix_s; /* when that state was kept */
    uint64_t seq;        /* newest visible one; 0: not looked at */
} shale_checkpoint_found;
SHALE_API SHALE_MUST shale_code shale_admin_checkpoint_as_of(shale_checkpoint_found *out, const char *url,
                                                             const shale_options *options, uint64_t seq, int64_t unix_s,
                                                             shale_error *err);

SHALE_END_DECLS

#endif
