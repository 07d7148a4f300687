/* shale_db_*: check, convert, call down. The handle holds the engine and what it stands on. */
#include "api/db.h"

#include "api/api.h"
#include "api/kind.h"
#include "api/near.h"
#include "base/assert.h"
#include "base/env/env.h"
#include "lsm/trace.h"
#include "store/doctor.h"

#include <inttypes.h>

static shale_slice slice_out(struct shl_slice s)
{
    return shale_bytes(s.data, s.len);
}

/* ---- a merge operator of the user behind the engine's interface */

struct emitted {
    struct shl_buf *out;
    shale_error *err;
    unsigned calls;
    shale_code rc;
};

static void on_emit(void *ctx, shale_slice result)
{
    struct emitted *e = ctx;
    e->calls++;
    if (e->rc == SHALE_OK)
        e->rc = shl_buf_append(e->out, result.data, result.len, e->err);
}

static shale_code user_merge(void *ctx, struct shl_slice key, const struct shl_slice *existing,
                             struct shl_slice operand, struct shl_buf *out, shale_error *err)
{
    const struct shale_db *db = ctx;
    shale_slice before = {0};
    struct emitted e = {.out = out, .err = err};
    if (existing != NULL)
        before = slice_out(*existing);
    shale_code rc = db->merge(db->merge_ctx, slice_out(key), existing != NULL ? &before : NULL,
                              slice_out(operand), on_emit, &e);
    if (rc != SHALE_OK)
        return shl_fail(err, SHALE_INVALID, "the merge operator failed: %s", shale_code_name(rc));
    if (e.rc != SHALE_OK)
        return e.rc;
    if (e.calls != 1)
        return shl_fail(err, SHALE_INVALID, "the merge operator gave %u results, want 1", e.calls);
    return SHALE_OK;
}

/* ---- traces */

static void on_span(void *ctx, const char *trace_id, const struct shl_span *s)
{
    const struct shale_db *db = ctx;
    char sst[SHL_ULID_TEXT];
    if (s->has_sst)
        shl_ulid_format(s->sst, sst);
    const shale_span span = {.trace_id = trace_id,
                             .name = s->name,
                             .sst = s->has_sst ? sst : NULL,
                             .begin_ns = s->begin_ns,
                             .end_ns = s->end_ns,
                             .is_no = s->is_no};
    db->trace(db->trace_ctx, &span);
}

/* ---- open, close */

void shl_api_take_components(struct shale_db *db, const shale_options *o,
                             struct shl_api_resolved *r)
{
    memcpy(db->extractors, o->extractors, sizeof db->extractors);
    if (db->extractors[SHALE_PREFIX_SEGMENTS].prefix != NULL)
        r->lsm.segment_extractor = shl_api_user_extractor(&db->extractors[SHALE_PREFIX_SEGMENTS]);
    if (db->extractors[SHALE_PREFIX_FILTERS].prefix != NULL)
        r->lsm.filter.extractor = shl_api_user_extractor(&db->extractors[SHALE_PREFIX_FILTERS]);
    shl_api_compaction_filter_init(&db->compaction_filter, o);
    shl_api_filter_policies_init(&db->filter_policies, o);
    shl_api_scheduler_init(&db->scheduler, o, shl_api_hooks_log(db->stack.hooks));
    if (o->merge != NULL) {
        db->merge = o->merge;
        db->merge_ctx = o->merge_ctx;
        db->merge_operator = (struct shl_merge_operator){.merge = user_merge, .ctx = db};
    } else {
        db->merge_operator = r->builtin;
    }
}

static void db_free(struct shale_db *db)
{
    if (db == NULL)
        return;
    shl_api_stack_close(&db->stack);
    shl_api_transform_drop(&db->transform);
    env_free(db);
}

/* A new database: no other kind may be in its place, and on a network store the promise that it stands on is tried first. Not when one is opened that is there. */
static shale_code check_store(void *ctx, shale_error *err)
{
    const struct shale_db *db = ctx;
    char host[300];
    struct shl_store *wal = db->stack.wal_store != NULL ? db->stack.wal_store : db->stack.store;
    shale_code rc = shl_api_check_place(&db->stack, SHL_API_LSM, err);
    if (rc == SHALE_OK && (db->stack.store->caps & SHL_STORE_PUT_IS_FREE) == 0)
        rc = shl_store_check_create(db->stack.store, db->stack.path,
                                    shl_api_stack_host(&db->stack, host, sizeof host), err);
    if (rc == SHALE_OK && wal != db->stack.store && (wal->caps & SHL_STORE_PUT_IS_FREE) == 0)
        rc = shl_store_check_create(wal, db->stack.path, wal->name, err);
    return rc;
}

/* reader NULL: as writer. */
static shale_code open_db(shale_db **out, const char *url, const shale_options *o,
                          const struct shl_lsm_reader *reader, shale_error *err)
{
    shale_code rc;
    struct shl_api_resolved resolved;
    struct shl_lsm_open how;
    struct shl_tracer tracer;
    struct shale_db *db = env_calloc(1, sizeof *db);
    if (db == NULL)
        return shl_nomem(err);
    SHL_TRY(shl_api_resolve(o, reader != NULL, &resolved, err));
    SHL_TRY(shl_api_transform_init(&db->transform, o, err));
    SHL_TRY(shl_api_stack_open(&db->stack, url, o, reader != NULL, err));
    shl_api_take_components(db, o, &resolved);
    db->trace = o->trace;
    db->trace_ctx = o->trace_ctx;
    tracer = (struct shl_tracer){.span = o->trace != NULL ? on_span : NULL, .ctx = db};
    how = (struct shl_lsm_open){
        .tracer = &tracer,
        .store = db->stack.store,
        .wal_store = db->stack.wal_store,
        .path = db->stack.path,
        .settings = &resolved.lsm,
        .merge = db->merge_operator.merge != NULL ? &db->merge_operator : NULL,
        .transformer = db->transform.is_there ? &db->transform.transformer : NULL,
        .scheduler = db->scheduler.is_there ? &db->scheduler.policy : NULL,
        .filter = db->compaction_filter.is_there ? &db->compaction_filter.filter : NULL,
        .user_filters = db->filter_policies.filters,
        .gc_filter = {.may_delete = o->gc_filter, .ctx = o->gc_filter_ctx},
        .log = shl_api_hooks_log(db->stack.hooks),
        .cancelled = shl_api_hooks_cancelled,
        .cancel_ctx = db->stack.hooks,
        .before_create = check_store,
        .before_create_ctx = db};
    if (reader != NULL)
        SHL_TRY(shl_lsm_open_reader(&how, reader, &db->lsm, err));
    else
        SHL_TRY(shl_lsm_open_writer(&how, &db->lsm, err));
    *out = db;
    db = NULL; /* moved to the caller */
out:
    if (db != NULL && reader != NULL)
        shl_api_suggest(&db->stack, err);
    db_free(db);
    return rc;
}

/* options NULL: the defaults, made for this call. */
static shale_code open_with(shale_db **out, const char *url, const shale_options *options,
                            const struct shl_lsm_reader *reader, shale_error *err)
{
    if (out == NULL || url == NULL)
        return shl_fail(err, SHALE_INVALID, "open: the %s is NULL",
                        out == NULL ? "place for the handle" : "URL");
    if (options != NULL)
        return open_db(out, url, options, reader, err);
    shale_options *defaults = shale_options_new();
    if (defaults == NULL)
        return shl_nomem(err);
    shale_code rc = open_db(out, url, defaults, reader, err);
    shale_options_free(defaults);
    return rc;
}

/* The user's error is written on failure only: on the way to a success some answer may have been "no such object". */
static shale_code give(shale_code rc, const shale_error *mine, shale_error *err)
{
    if (rc != SHALE_OK && err != NULL)
        *err = *mine;
    return rc;
}

shale_code shale_db_open(shale_db **out, const char *url, const shale_options *options,
                         shale_error *err)
{
    shale_error mine = {0};
    return give(open_with(out, url, options, NULL, &mine), &mine, err);
}

static shale_code reader_mode(const shale_reader_options *how, enum shl_reader_mode *out,
                              shale_error *err)
{
    static const enum shl_reader_mode modes[] = {SHL_READER_LATEST, SHL_READER_LATEST,
                                                 SHL_READER_CHECKPOINT, SHL_READER_MANAGED};
    bool named = how->checkpoint != NULL;
    if ((unsigned)how->mode > SHALE_READER_MANAGED)
        return shl_fail(err, SHALE_INVALID, "reader mode is %u, known 0..3", (unsigned)how->mode);
    if (how->mode != SHALE_READER_DEFAULT && named != (how->mode == SHALE_READER_CHECKPOINT))
        return shl_fail(err, SHALE_INVALID,
                        named ? "reader: a checkpoint is named, but the mode is another one"
                              : "reader: the mode is a checkpoint's, but none is named");
    *out = named ? SHL_READER_CHECKPOINT : modes[how->mode];
    return SHALE_OK;
}

shale_code shale_db_open_reader(shale_db **out, const char *url, const shale_options *options,
                                const shale_reader_options *reader, shale_error *err)
{
    shale_error mine = {0};
    shale_reader_options how;
    shale_reader_options_init(&how, sizeof how);
    shale_code rc = shl_api_take_struct(&how, sizeof how, reader, "shale_reader_options", &mine);
    if (rc != SHALE_OK)
        return give(rc, &mine, err);
    struct shl_lsm_reader mode = {
        .checkpoint = how.checkpoint, .follow = how.follow, .skip_wal_replay = how.skip_wal_replay};
    rc = reader_mode(&how, &mode.mode, &mine);
    if (rc != SHALE_OK)
        return give(rc, &mine, err);
    return give(open_with(out, url, options, &mode, &mine), &mine, err);
}

static shale_code close_db(shale_db *db, enum shl_lsm_close what, shale_store_counts *out,
                           shale_error *err)
{
    shale_error mine = {0};
    shale_code rc = SHALE_OK;
    if (db != NULL) {
        rc = shl_lsm_close_with(db->lsm, what, &mine);
        db->lsm = NULL;
    }
    shale_db_store_counts(db, out);
    db_free(db);
    return give(rc, &mine, err);
}

shale_code shale_db_close_counted(shale_db *db, shale_store_counts *out, shale_error *err)
{
    return close_db(db, SHL_CLOSE_MEMTABLE, out, err);
}

shale_code shale_db_close(shale_db *db, shale_error *err)
{
    return close_db(db, SHL_CLOSE_MEMTABLE, NULL, err);
}

shale_code shale_db_close_with(shale_db *db, shale_close_kind what, shale_error *err)
{
    enum shl_lsm_close how = what == SHALE_CLOSE_NOTHING ? SHL_CLOSE_NOTHING
                             : what == SHALE_CLOSE_WAL
                                 ? SHL_CLOSE_WAL
                                 : SHL_CLOSE_MEMTABLE; /* the handle goes in any case */
    return close_db(db, how, NULL, err);
}

static shale_code no_place(shale_error *err)
{
    return shl_fail(err, SHALE_INVALID, "the place for the result is NULL");
}

static shale_code no_handle(shale_error *err)
{
    return shl_fail(err, SHALE_INVALID, "the database handle is NULL");
}

/* ---- writing */

shale_code shl_api_write_how(const shale_write_options *theirs, shale_write_options *how,
                             struct shl_ttl *ttl, shale_error *err)
{
    if (theirs != NULL && theirs->struct_size == sizeof *how) {
        *how = *theirs; /* of this version: the usual case */
    } else {
        shale_write_options_init(how, sizeof *how);
        shale_code rc = shl_api_take_struct(how, sizeof *how, theirs, "shale_write_options", err);
        if (rc != SHALE_OK)
            return rc;
    }
    if ((unsigned)how->ttl_kind > SHALE_TTL_AT_MS)
        return shl_fail(err, SHALE_INVALID, "ttl_kind is %u, known 0..3", (unsigned)how->ttl_kind);
    *ttl = (struct shl_ttl){.kind = (enum shl_ttl_kind)how->ttl_kind, .ms = how->ttl_ms};
    return SHALE_OK;
}

void shl_api_give_result(const shale_write_options *how, const struct shl_lsm_written *written)
{
    if (how->result != NULL)
        *how->result = (shale_write_result){.seq = written->seq, .create_ts = written->create_ts};
}

static shale_code write_one(shale_db *db, uint8_t kind, shale_slice key, shale_slice value,
                            const shale_write_options *options, shale_error *err)
{
    shale_write_options how;
    struct shl_ttl ttl;
    struct shl_lsm_written written;
    if (db == NULL)
        return no_handle(err);
    shale_code rc = shl_api_write_how(options, &how, &ttl, err);
    if (rc != SHALE_OK)
        return rc;
    const struct shl_lsm_write lsm_how = {.await_durable = how.await_durable, .seq = how.seq};
    rc = shl_lsm_write_one(db->lsm, kind, shl_api_slice_in(key), shl_api_slice_in(value), ttl,
                           &lsm_how, &written, err);
    if (rc == SHALE_OK)
        shl_api_give_result(&how, &written);
    return rc;
}

shale_code shale_db_put(shale_db *db, shale_slice key, shale_slice value,
                        const shale_write_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    return write_one(db, 0, key, value, options, err);
}

shale_code shale_db_delete(shale_db *db, shale_slice key, const shale_write_options *options,
                           shale_error *err)
{
    SHL_API_ERR(err);
    return write_one(db, SHL_ROW_TOMBSTONE, key, shale_bytes(NULL, 0), options, err);
}

shale_code shale_db_merge(shale_db *db, shale_slice key, shale_slice operand,
                          const shale_write_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    return write_one(db, SHL_ROW_MERGE, key, operand, options, err);
}

shale_code shale_db_write(shale_db *db, const shale_batch *batch,
                          const shale_write_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    shale_write_options how;
    struct shl_ttl ttl;
    struct shl_lsm_written written;
    if (db == NULL)
        return no_handle(err);
    if (batch == NULL)
        return shl_nomem(
            err); /* shale_batch_new could not make it; the calls that add said nothing */
    shale_code rc = shl_api_write_how(options, &how, &ttl, err);
    if (rc != SHALE_OK)
        return rc;
    const struct shl_lsm_write lsm_how = {.await_durable = how.await_durable, .seq = how.seq};
    rc = shl_lsm_write(db->lsm, &batch->batch, &lsm_how, &written, err);
    if (rc == SHALE_OK)
        shl_api_give_result(&how, &written);
    return rc;
}

shale_code shale_db_await_durable(shale_db *db, uint64_t seq, shale_error *err)
{
    SHL_API_ERR(err);
    return db == NULL ? no_handle(err) : shl_lsm_await_durable(db->lsm, seq, err);
}

shale_code shale_db_flush(shale_db *db, shale_flush_type type, shale_error *err)
{
    SHL_API_ERR(err);
    shale_error mine = {0};
    if (type != SHALE_FLUSH_WAL && type != SHALE_FLUSH_MEMTABLE)
        return shl_fail(err, SHALE_INVALID, "flush type is %u, known 0 and 1", (unsigned)type);
    if (db == NULL)
        return no_handle(err);
    return give(shl_lsm_flush(db->lsm, type == SHALE_FLUSH_MEMTABLE, &mine), &mine, err);
}

shale_code shale_db_settle(shale_db *db, shale_error *err)
{
    SHL_API_ERR(err);
    shale_error mine = {0};
    return db == NULL ? no_handle(err) : give(shl_lsm_settle(db->lsm, &mine), &mine, err);
}

/* ---- batches */

shale_batch *shale_batch_new(void)
{
    shale_batch *b = env_calloc(1, sizeof *b);
    if (b != NULL)
        shl_batch_init(&b->batch);
    return b;
}

void shale_batch_free(shale_batch *b)
{
    if (b == NULL)
        return;
    shl_batch_deinit(&b->batch);
    env_free(b);
}

void shale_batch_clear(shale_batch *b)
{
    if (b != NULL)
        shl_batch_clear(&b->batch);
}

static void batch_add(shale_batch *b, uint8_t kind, shale_slice key, shale_slice value,
                      struct shl_ttl ttl)
{
    if (b != NULL)
        shl_batch_add(&b->batch, kind, shl_api_slice_in(key), shl_api_slice_in(value), ttl);
}

void shale_batch_put(shale_batch *b, shale_slice key, shale_slice value)
{
    batch_add(b, 0, key, value, (struct shl_ttl){.kind = SHL_TTL_DEFAULT});
}

void shale_batch_put_ttl(shale_batch *b, shale_slice key, shale_slice value, shale_ttl_kind kind,
                         int64_t ttl_ms)
{
    if (b != NULL && (unsigned)kind > SHALE_TTL_AT_MS)
        shl_batch_refuse(&b->batch, "a kind of time to live other than 0 to 3");
    else
        batch_add(b, 0, key, value,
                  (struct shl_ttl){.kind = (enum shl_ttl_kind)kind, .ms = ttl_ms});
}

void shale_batch_merge_ttl(shale_batch *b, shale_slice key, shale_slice operand,
                           shale_ttl_kind kind, int64_t ttl_ms)
{
    if (b != NULL && (unsigned)kind > SHALE_TTL_AT_MS)
        shl_batch_refuse(&b->batch, "a kind of time to live other than 0 to 3");
    else
        batch_add(b, SHL_ROW_MERGE, key, operand,
                  (struct shl_ttl){.kind = (enum shl_ttl_kind)kind, .ms = ttl_ms});
}

void shale_batch_delete(shale_batch *b, shale_slice key)
{
    batch_add(b, SHL_ROW_TOMBSTONE, key, shale_bytes(NULL, 0),
              (struct shl_ttl){.kind = SHL_TTL_DEFAULT});
}

void shale_batch_merge(shale_batch *b, shale_slice key, shale_slice operand)
{
    batch_add(b, SHL_ROW_MERGE, key, operand, (struct shl_ttl){.kind = SHL_TTL_DEFAULT});
}

size_t shale_batch_count(const shale_batch *b)
{
    return b == NULL ? 0 : b->batch.ops.count;
}

/* ---- reading */

shale_code shl_api_read_how(const shale_read_options *theirs, struct shl_lsm_read *out,
                            shale_error *err)
{
    shale_read_options how;
    if (theirs == NULL) {
        *out = (struct shl_lsm_read){0};
        return SHALE_OK;
    }
    shale_read_options_init(&how, sizeof how);
    shale_code rc = shl_api_take_struct(&how, sizeof how, theirs, "shale_read_options", err);
    *out = (struct shl_lsm_read){.remote_only = how.durability == SHALE_REMOTE,
                                 .no_cache_fill = !how.cache_blocks,
                                 .filter_context = shl_api_slice_in(how.filter_context),
                                 .trace_id = how.trace_id};
    return rc;
}

/* The hot path's: NULL after a failure. The defaults cost nothing. */
static inline const struct shl_lsm_read *read_how(const shale_read_options *theirs,
                                                  struct shl_lsm_read *space, shale_error *err)
{
    static const struct shl_lsm_read defaults;
    if (theirs == NULL)
        return &defaults;
    return shl_api_read_how(theirs, space, err) == SHALE_OK ? space : NULL;
}

/* A miss has a code and no text, and nothing of an earlier failure is left in the user's error. */
shale_code shl_api_not_found(shale_code rc, shale_error *err)
{
    if (rc == SHALE_NOT_FOUND) {
        err->code = rc;
        err->text[0] = '\0';
    }
    return rc;
}

shale_pinned shl_api_pinned_out(const struct shl_lsm_pinned *found)
{
    return (shale_pinned){.value = slice_out(found->value),
                          .seq = found->seq,
                          .create_ts = found->create_ts,
                          .expire_ts = found->expire_ts,
                          .has_expire_ts = found->has_expire_ts,
                          .owner_kind = found->kind,
                          .owner = found->owner};
}

shale_code shale_db_get(shale_pinned *out, shale_db *db, shale_slice key,
                        const shale_read_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_lsm_read space;
    struct shl_lsm_pinned found = {0};
    if (db == NULL || out == NULL)
        return db == NULL ? no_handle(err) : no_place(err);
    const struct shl_lsm_read *how = read_how(options, &space, err);
    if (how == NULL)
        return err->code;
    shale_code rc = shl_lsm_get(db->lsm, shl_api_slice_in(key), how, &found, err);
    if (rc != SHALE_OK)
        return shl_api_not_found(rc, err);
    *out = shl_api_pinned_out(&found);
    return SHALE_OK;
}

void shale_pinned_release(shale_pinned *pinned)
{
    if (pinned == NULL)
        return;
    struct shl_lsm_pinned held = {.value = shl_api_slice_in(pinned->value),
                                  .kind = pinned->owner_kind,
                                  .owner = pinned->owner};
    shl_lsm_pinned_release(&held);
    *pinned = (shale_pinned){0};
}

struct many {
    shale_pinned *out;
    shale_code *codes;
    const shale_slice *keys;
};

static struct shl_slice many_key(void *ctx, size_t i)
{
    const struct many *m = ctx;
    return shl_api_slice_in(m->keys[i]);
}

static void many_found(void *ctx, size_t i, const struct shl_lsm_pinned *take_value)
{
    const struct many *m = ctx;
    m->out[i] = shl_api_pinned_out(take_value);
    m->codes[i] = SHALE_OK;
}

shale_code shl_api_get_many(struct shl_lsm *db, struct shl_txn *txn, shale_pinned *out,
                            shale_code *codes, const shale_slice *keys, size_t count,
                            const struct shl_lsm_read *how, shale_error *err)
{
    struct many many = {.out = out, .codes = codes, .keys = keys};
    const struct shl_lsm_keys wanted = {
        .ctx = &many, .count = count, .key = many_key, .found = many_found};
    if (count > 0 && (out == NULL || codes == NULL || keys == NULL))
        return no_place(err);
    for (size_t i = 0; i < count; i++)
        codes[i] = SHALE_NOT_FOUND;
    shale_code rc = txn != NULL ? shl_txn_get_many(txn, &wanted, how, err)
                                : shl_lsm_get_many(db, &wanted, how, err);
    for (size_t i = 0; i < count && rc != SHALE_OK; i++)
        if (codes[i] == SHALE_OK)
            shale_pinned_release(&out[i]);
    return rc;
}

shale_code shale_db_get_many(shale_pinned *out, shale_code *codes, shale_db *db,
                             const shale_slice *keys, size_t count,
                             const shale_read_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_lsm_read space;
    if (db == NULL)
        return no_handle(err);
    const struct shl_lsm_read *how = read_how(options, &space, err);
    return how == NULL ? err->code
                       : shl_api_get_many(db->lsm, NULL, out, codes, keys, count, how, err);
}

shale_code shale_db_get_into(shale_db *db, shale_slice key, void *dst, size_t cap,
                             size_t *value_len, const shale_read_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_lsm_read space;
    if (db == NULL || value_len == NULL || (dst == NULL && cap > 0))
        return db == NULL ? no_handle(err) : no_place(err);
    const struct shl_lsm_read *how = read_how(options, &space, err);
    return how == NULL ? err->code
                       : shl_api_not_found(shl_lsm_get_into(db->lsm, shl_api_slice_in(key), how,
                                                            dst, cap, value_len, err),
                                           err);
}

/* ---- scanning */

shale_code shl_api_range_in(const shale_range *r, struct shl_lsm_range *out, shale_error *err)
{
    if ((unsigned)r->from_kind > SHALE_EXCLUDED || (unsigned)r->to_kind > SHALE_EXCLUDED)
        return shl_fail(err, SHALE_INVALID, "range: bound kinds %u and %u, known 0..2",
                        (unsigned)r->from_kind, (unsigned)r->to_kind);
    if (r->prefix.data != NULL) {
        *out = (struct shl_lsm_range){.from = shl_api_slice_in(r->prefix), .is_prefix = true};
        return SHALE_OK;
    }
    *out = (struct shl_lsm_range){.from = shl_api_slice_in(r->from),
                                  .to = shl_api_slice_in(r->to),
                                  .from_kind = (enum shl_lsm_bound)r->from_kind,
                                  .to_kind = (enum shl_lsm_bound)r->to_kind};
    return SHALE_OK;
}

shale_code shl_api_scan_how(const shale_range *range, const shale_scan_options *theirs,
                            struct shl_lsm_range *out_range, struct shl_lsm_scan *out,
                            shale_error *err)
{
    shale_scan_options how;
    shale_scan_options_init(&how, sizeof how);
    shale_code rc = shl_api_take_struct(&how, sizeof how, theirs, "shale_scan_options", err);
    if (rc == SHALE_OK)
        rc = shl_api_range_in(range, out_range, err);
    if (rc == SHALE_OK)
        *out = (struct shl_lsm_scan){.reverse = how.reverse,
                                     .remote_only = how.durability == SHALE_REMOTE,
                                     .cache_blocks = how.cache_blocks,
                                     .rows_max = how.rows_max,
                                     .read_ahead_bytes = how.read_ahead_bytes,
                                     .fetches_max = how.max_fetch_tasks,
                                     .trace_id = how.trace_id,
                                     .filter_context = shl_api_slice_in(how.filter_context)};
    return rc;
}

static struct shl_lsm_iter *iter_in(shale_iter *it)
{
    return (struct shl_lsm_iter *)(void *)it;
}

shale_code shale_db_scan(shale_iter **out, shale_db *db, shale_range range,
                         const shale_scan_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_lsm_scan scan;
    struct shl_lsm_range lsm_range;
    struct shl_lsm_iter *it = NULL;
    if (db == NULL || out == NULL)
        return db == NULL ? no_handle(err) : no_place(err);
    shale_code rc = shl_api_scan_how(&range, options, &lsm_range, &scan, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_lsm_scan_open(db->lsm, &lsm_range, &scan, &it, err);
    if (rc == SHALE_OK)
        *out = (shale_iter *)(void *)it; /* the public handle is the engine's iterator, unseen */
    return rc;
}

shale_code shale_iter_next(shale_row *row, shale_iter *it, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_row found;
    if (it == NULL)
        return shl_fail(err, SHALE_INVALID, "the iterator is NULL");
    if (row == NULL)
        return shl_fail(err, SHALE_INVALID, "iter_next: the row is NULL");
    shale_code rc = shl_lsm_iter_next(iter_in(it), &found, err);
    if (rc != SHALE_OK)
        return rc;
    *row = (shale_row){.key = slice_out(found.key),
                       .value = slice_out(found.value),
                       .seq = found.seq,
                       .create_ts = found.create_ts,
                       .expire_ts = found.expire_ts,
                       .has_expire_ts = (found.flags & SHL_ROW_HAS_EXPIRE) != 0,
                       .has_create_ts = (found.flags & SHL_ROW_HAS_CREATE) != 0};
    return SHALE_OK;
}

shale_code shale_iter_seek(shale_iter *it, shale_slice key, shale_error *err)
{
    SHL_API_ERR(err);
    if (it == NULL)
        return shl_fail(err, SHALE_INVALID, "the iterator is NULL");
    return shl_lsm_iter_seek(iter_in(it), shl_api_slice_in(key), err);
}

void shale_iter_close(shale_iter *it)
{
    if (it != NULL)
        shl_lsm_iter_close(iter_in(it));
}

shale_raw_row shl_api_raw_row(const struct shl_row *row)
{
    return (shale_raw_row){.key = slice_out(row->key),
                           .value = slice_out(row->value),
                           .seq = row->seq,
                           .create_ts = row->create_ts,
                           .expire_ts = row->expire_ts,
                           .kind = (row->flags & SHL_ROW_TOMBSTONE) != 0 ? SHALE_ROW_DELETE
                                   : (row->flags & SHL_ROW_MERGE) != 0   ? SHALE_ROW_MERGE
                                                                         : SHALE_ROW_PUT,
                           .has_create_ts = (row->flags & SHL_ROW_HAS_CREATE) != 0,
                           .has_expire_ts = (row->flags & SHL_ROW_HAS_EXPIRE) != 0};
}

static struct shl_recency *recency_in(shale_recency *it)
{
    return (struct shl_recency *)(void *)it;
}

shale_code shale_db_scan_by_recency(shale_recency **out, shale_db *db, shale_slice prefix,
                                    const shale_scan_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_lsm_scan how;
    struct shl_lsm_range unused;
    struct shl_recency *it = NULL;
    const shale_range all = shale_range_all();
    if (db == NULL || out == NULL)
        return db == NULL ? no_handle(err) : no_place(err);
    shale_code rc = shl_api_scan_how(&all, options, &unused, &how, err);
    if (rc == SHALE_OK && (how.reverse || how.rows_max != 0))
        rc = shl_fail(err, SHALE_INVALID, "scan by recency: %s cannot be given",
                      how.reverse ? "reverse" : "rows_max");
    if (rc == SHALE_OK)
        rc = shl_recency_open(db->lsm, shl_api_slice_in(prefix), &how, &it, err);
    if (rc == SHALE_OK)
        *out = (shale_recency *)(void *)it;
    return rc;
}

shale_code shale_recency_next(shale_raw_row *row, size_t *layer, shale_recency *it,
                              shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_row found;
    size_t at;
    if (it == NULL || row == NULL)
        return it == NULL ? shl_fail(err, SHALE_INVALID, "the iterator is NULL") : no_place(err);
    shale_code rc = shl_recency_next(recency_in(it), &found, &at, err);
    if (rc != SHALE_OK)
        return rc;
    *row = shl_api_raw_row(&found);
    if (layer != NULL)
        *layer = at;
    return SHALE_OK;
}

void shale_recency_close(shale_recency *it)
{
    shl_recency_close(recency_in(it));
}

/* ---- state */

shale_code shale_db_refresh(shale_db *db, shale_error *err)
{
    SHL_API_ERR(err);
    shale_error mine = {0};
    return db == NULL ? no_handle(err) : give(shl_lsm_refresh(db->lsm, &mine), &mine, err);
}
