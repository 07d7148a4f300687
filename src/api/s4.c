/* shale_s4_*: the string store. */
#include "s4/s4.h"

#include "api/api.h"
#include "api/kind.h"
#include "api/stack.h"
#include "base/env/env.h"
#include "base/num.h"
#include "store/file.h"
#include "store/sweep.h"

#include <shale/s4.h>

struct shale_s4 {
    struct shl_api_stack stack;
    struct shl_s4 *s4; /* owned */
};

struct shale_s4_iter {
    struct shl_s4_iter *it; /* owned */
};

/* In the folder of the objects themselves a flush would put its index in the place of everybody's. */
static shale_code check_folder(const struct shl_api_stack *stack, const char *local_dir,
                               shale_error *err)
{
    const char *root = shl_store_file_root(stack->backend);
    char *a = NULL;
    char *b = NULL;
    if (local_dir == NULL || root == NULL)
        return SHALE_OK;
    bool same =
        env_realpath(root, &a) == 0 && env_realpath(local_dir, &b) == 0 && strcmp(a, b) == 0;
    env_free(a);
    env_free(b);
    return same ? shl_fail(err, SHALE_INVALID,
                           "local_dir %s is the folder of the store itself: name another one",
                           local_dir)
                : SHALE_OK;
}

/* A store that is made is no other kind's place. */
static shale_code check_new(const shale_s4 *db, const shale_s4_options *how, shale_error *err)
{
    struct shl_s4_stat now;
    if (how->read_only || how->must_exist || how->index_unread)
        return SHALE_OK;
    shale_code rc = shl_s4_stat(db->s4, false, &now, err);
    return rc == SHALE_OK && now.index_version == 0
               ? shl_api_check_place(&db->stack, SHL_API_S4, err)
               : rc;
}

static shale_code open_s4(shale_s4 *db, const char *url, const shale_options *options,
                          const shale_s4_options *how, shale_error *err)
{
    struct shl_s4_settings s;
    shale_code rc = shl_api_stack_open_raw(&db->stack, url, options, err);
    if (rc != SHALE_OK)
        return rc;
    rc = check_folder(&db->stack, how->local_dir, err);
    if (rc != SHALE_OK)
        return rc;
    shl_s4_settings_init(&s);
    s.local_dir = how->local_dir;
    s.name_prefix = how->object_prefix;
    s.max_file_bytes = how->max_file_bytes;
    s.format = how->format;
    s.requests_max = how->requests_max;
    s.read_only = how->read_only;
    s.must_exist = how->must_exist;
    s.index_unread = how->index_unread;
    s.unfenced = how->unfenced;
    const struct shl_s4_open o = {.store = db->stack.store,
                                  .path = "",
                                  .settings = &s,
                                  .log = shl_api_hooks_log(db->stack.hooks)};
    rc = shl_s4_open(&o, &db->s4, err);
    if (rc == SHALE_NOT_FOUND && strncmp(err->text, "no string store here", 20) == 0)
        (void)shl_api_tell_kind(&db->stack, SHL_API_S4, err);
    return rc == SHALE_OK ? check_new(db, how, err) : rc;
}

shale_code shale_s4_open(shale_s4 **out, const char *url, const shale_options *options,
                         const shale_s4_options *how, shale_error *err)
{
    SHL_API_ERR(err);
    shale_s4_options o;
    shale_options *defaults = NULL;
    shale_s4 *db = NULL;
    shale_error mine = {0}; /* on the way to a success some answer may have been "no such object" */
    shale_code rc;
    if (out == NULL || url == NULL)
        return shl_fail(err, SHALE_INVALID, "shale_s4_open: the %s is NULL",
                        out == NULL ? "place for the handle" : "URL");
    shale_s4_options_init(&o, sizeof o);
    SHL_TRY(shl_api_take_struct(&o, sizeof o, how, "shale_s4_options", &mine));
    if (o.local_dir != NULL && o.local_dir[0] == '\0')
        SHL_TRY(shl_fail(&mine, SHALE_INVALID, "shale_s4_open: local_dir is empty"));
    if (options == NULL)
        defaults = shale_options_new();
    db = env_calloc(1, sizeof *db);
    if (db == NULL || (options == NULL && defaults == NULL))
        SHL_TRY(shl_nomem(&mine));
    SHL_TRY(open_s4(db, url, options != NULL ? options : defaults, &o, &mine));
    *out = db;
    db = NULL; /* moved to the caller */
out:
    if (rc != SHALE_OK)
        *err = mine;
    shale_s4_close(db);
    shale_options_free(defaults);
    return rc;
}

void shale_s4_close(shale_s4 *db)
{
    if (db == NULL)
        return;
    shl_s4_close(db->s4);
    shl_api_stack_close(&db->stack);
    env_free(db);
}

static shale_code bad(const char *what, shale_error *err)
{
    return shl_fail(err, SHALE_INVALID, "%s is NULL", what);
}

/* Gives an error to the caller only if there is one. */
static shale_code done(shale_code rc, const shale_error *mine, shale_error *err)
{
    if (rc != SHALE_OK && err != NULL)
        *err = *mine;
    return rc;
}

static struct shl_slice slice_in(shale_slice s)
{
    return shl_slice_of(s.data, s.len);
}

static shale_slice slice_out(struct shl_slice s)
{
    return shale_bytes(s.data, s.len);
}

/* ---- writing */

shale_code shale_s4_put(shale_s4 *db, const shale_s4_item *items, size_t count, shale_error *err)
{
    shale_error mine = {0};
    shale_code rc;
    if (db == NULL || (items == NULL && count > 0))
        return done(bad(db == NULL ? "the store" : "the list of items", &mine), &mine, err);
    struct shl_s4_item *ours = env_calloc(count + 1, sizeof *ours);
    if (ours == NULL)
        return done(shl_nomem(&mine), &mine, err);
    for (size_t i = 0; i < count; i++)
        ours[i] = (struct shl_s4_item){.key = slice_in(items[i].key),
                                       .value = slice_in(items[i].value),
                                       .is_bytes = items[i].is_bytes};
    rc = shl_s4_put(db->s4, ours, count, &mine);
    env_free(ours);
    return done(rc, &mine, err);
}

static struct shl_slice *slices_in(const shale_slice *keys, size_t count)
{
    struct shl_slice *ours = env_calloc(count + 1, sizeof *ours);
    for (size_t i = 0; ours != NULL && i < count; i++)
        ours[i] = slice_in(keys[i]);
    return ours;
}

shale_code shale_s4_delete(shale_s4 *db, const shale_slice *keys, size_t count, size_t *deleted,
                           shale_error *err)
{
    shale_error mine = {0};
    shale_code rc;
    if (db == NULL || (keys == NULL && count > 0))
        return done(bad(db == NULL ? "the store" : "the list of keys", &mine), &mine, err);
    struct shl_slice *ours = slices_in(keys, count);
    if (ours == NULL)
        return done(shl_nomem(&mine), &mine, err);
    rc = shl_s4_delete(db->s4, ours, count, deleted, &mine);
    env_free(ours);
    return done(rc, &mine, err);
}

/* ---- reading */

void shale_s4_value_release(shale_s4_value *value)
{
    if (value == NULL)
        return;
    env_free(value->owner);
    *value = (shale_s4_value){.owner = NULL};
}

shale_code shale_s4_get(shale_s4_value *out, shale_s4 *db, shale_slice key, shale_error *err)
{
    shale_error mine = {0};
    struct shl_buf value = {0};
    bool is_bytes = false;
    if (db == NULL || out == NULL)
        return done(bad(db == NULL ? "the store" : "the place for the value", &mine), &mine, err);
    shale_code rc = shl_s4_get(db->s4, slice_in(key), &value, &is_bytes, &mine);
    if (rc == SHALE_OK)
        *out = (shale_s4_value){
            .value = slice_out(shl_buf_view(&value)), .is_bytes = is_bytes, .owner = value.data};
    else
        shl_buf_free(&value);
    return done(rc, &mine, err);
}

struct many {
    void (*visit)(void *ctx, size_t i, shale_slice value, bool is_bytes);
    void *ctx;
};

static shale_code on_value(void *ctx, size_t i, struct shl_slice value, bool is_bytes,
                           shale_error *err)
{
    const struct many *m = ctx;
    (void)err;
    m->visit(m->ctx, i, slice_out(value), is_bytes);
    return SHALE_OK;
}

shale_code shale_s4_get_many(shale_s4 *db, const shale_slice *keys, size_t count,
                             void (*visit)(void *ctx, size_t i, shale_slice value, bool is_bytes),
                             void *ctx, shale_error *err)
{
    shale_error mine = {0};
    struct many m = {.visit = visit, .ctx = ctx};
    shale_code rc;
    if (db == NULL || visit == NULL || (keys == NULL && count > 0))
        return done(bad(db == NULL      ? "the store"
                        : visit == NULL ? "the function for the values"
                                        : "the list of keys",
                        &mine),
                    &mine, err);
    struct shl_slice *ours = slices_in(keys, count);
    if (ours == NULL)
        return done(shl_nomem(&mine), &mine, err);
    rc = shl_s4_get_many(db->s4, ours, count, on_value, &m, &mine);
    env_free(ours);
    return done(rc, &mine, err);
}

bool shale_s4_has(shale_s4 *db, shale_slice key)
{
    return db != NULL && shl_s4_has(db->s4, slice_in(key));
}

shale_code shale_s4_scan(shale_s4_iter **out, shale_s4 *db, const shale_s4_scan_options *options,
                         shale_error *err)
{
    shale_error mine = {0};
    shale_s4_scan_options o;
    shale_code rc;
    shale_s4_iter *it = NULL;
    shale_s4_scan_options_init(&o, sizeof o);
    if (db == NULL || out == NULL)
        return done(bad(db == NULL ? "the store" : "the place for the iterator", &mine), &mine,
                    err);
    SHL_TRY(shl_api_take_struct(&o, sizeof o, options, "shale_s4_scan_options", &mine));
    it = env_calloc(1, sizeof *it);
    if (it == NULL)
        SHL_TRY(shl_nomem(&mine));
    SHL_TRY(shl_s4_iter_open(
        db->s4, &(struct shl_s4_iter_options){.keys_only = o.keys_only, .local = o.local}, &it->it,
        &mine));
    *out = it;
    it = NULL; /* moved to the caller */
out:
    env_free(it);
    return done(rc, &mine, err);
}

shale_code shale_s4_next(shale_s4_item *item, shale_s4_iter *it, shale_error *err)
{
    shale_error mine = {0};
    struct shl_s4_item ours;
    if (it == NULL || item == NULL)
        return done(bad(it == NULL ? "the iterator" : "the place for the item", &mine), &mine, err);
    shale_code rc = shl_s4_iter_next(it->it, &ours, &mine);
    if (rc == SHALE_OK)
        *item = (shale_s4_item){
            .key = slice_out(ours.key), .value = slice_out(ours.value), .is_bytes = ours.is_bytes};
    return done(rc, &mine, err);
}

void shale_s4_iter_close(shale_s4_iter *it)
{
    if (it == NULL)
        return;
    shl_s4_iter_close(it->it);
    env_free(it);
}

/* ---- the local folder and the bucket */

shale_code shale_s4_flush(shale_s4 *db, shale_error *err)
{
    shale_error mine = {0};
    return done(db == NULL ? bad("the store", &mine) : shl_s4_flush(db->s4, &mine), &mine, err);
}

shale_code shale_s4_upload(shale_s4 *db, bool no_rebase, shale_error *err)
{
    shale_error mine = {0};
    return done(db == NULL ? bad("the store", &mine) : shl_s4_upload(db->s4, !no_rebase, &mine),
                &mine, err);
}

shale_code shale_s4_download(shale_s4 *db, bool force, uint64_t *files, uint64_t *bytes,
                             shale_error *err)
{
    shale_error mine = {0};
    uint64_t n = 0;
    uint64_t size = 0;
    shale_code rc =
        db == NULL ? bad("the store", &mine) : shl_s4_download(db->s4, force, &n, &size, &mine);
    if (rc == SHALE_OK && files != NULL)
        *files = n;
    if (rc == SHALE_OK && bytes != NULL)
        *bytes = size;
    return done(rc, &mine, err);
}

shale_code shale_s4_refresh(shale_s4 *db, shale_error *err)
{
    shale_error mine = {0};
    return done(db == NULL ? bad("the store", &mine) : shl_s4_refresh(db->s4, &mine), &mine, err);
}

/* Milliseconds of a caller; what does not fit lasts for ever. */
static uint64_t ns_of(uint64_t ms)
{
    uint64_t ns;
    return __builtin_mul_overflow(ms, ENV_NS_PER_MS, &ns) ? UINT64_MAX : ns;
}

static shale_code check_out(const shale_s4 *db, const void *out, shale_error *err)
{
    size_t size = 0;
    if (db == NULL || out == NULL)
        return bad(db == NULL ? "the store" : "the place for the answer", err);
    memcpy(&size, out, sizeof size);
    return size >= sizeof size ? SHALE_OK
                               : shl_fail(err, SHALE_INVALID, "struct_size is %zu", size);
}

shale_code shale_s4_compact(shale_s4_compacted *out, shale_s4 *db, uint64_t grace_ms,
                            shale_error *err)
{
    shale_error mine = {0};
    struct shl_s4_compacted c;
    shale_code rc = check_out(db, out, &mine);
    if (rc != SHALE_OK)
        return done(rc, &mine, err);
    rc = shl_s4_compact(db->s4, ns_of(grace_ms), &c, &mine);
    const shale_s4_compacted ours = {.struct_size = sizeof ours,
                                     .keys = c.keys,
                                     .bytes_read = c.bytes_read,
                                     .bytes_written = c.bytes_written,
                                     .files_written = c.files_written,
                                     .files_deleted = c.files_deleted,
                                     .bytes_deleted = c.bytes_deleted,
                                     .files_left = c.files_left};
    shl_api_give_struct(out, &ours, sizeof ours);
    return done(rc, &mine, err);
}

shale_code shale_s4_rebuild(shale_s4_rebuilt *out, shale_s4 *db, bool local, shale_error *err)
{
    shale_error mine = {0};
    struct shl_s4_rebuilt r;
    shale_code rc = check_out(db, out, &mine);
    if (rc != SHALE_OK)
        return done(rc, &mine, err);
    rc = shl_s4_rebuild(db->s4, local, &r, &mine);
    const shale_s4_rebuilt ours = {.struct_size = sizeof ours,
                                   .files = r.files,
                                   .records = r.records,
                                   .damaged = r.damaged,
                                   .passed_bytes = r.passed_bytes};
    shl_api_give_struct(out, &ours, sizeof ours);
    return done(rc, &mine, err);
}

shale_code shale_s4_gc(shale_s4 *db, uint64_t grace_ms, bool dry_run,
                       void (*visit)(void *ctx, const char *name, uint64_t bytes), void *ctx,
                       shale_error *err)
{
    shale_error mine = {0};
    if (db == NULL)
        return done(bad("the store", &mine), &mine, err);
    shale_code rc = shl_s4_gc(db->s4, ns_of(grace_ms), dry_run, visit, ctx, &mine);
    struct shl_sweep unfinished = {.prefix = "",
                                   .age_ns = shl_max_u64(SHL_SWEEP_AGE_NS, ns_of(grace_ms)),
                                   .dry_run = dry_run,
                                   .visit = visit,
                                   .ctx = ctx};
    if (rc == SHALE_OK)
        rc = shl_store_sweep(db->stack.backend, &unfinished, &mine);
    return done(rc, &mine, err);
}

shale_code shale_s4_stat_get(shale_s4_stat *out, shale_s4 *db, bool no_list, shale_error *err)
{
    shale_error mine = {0};
    struct shl_s4_stat s;
    shale_code rc = check_out(db, out, &mine);
    if (rc == SHALE_OK)
        rc = shl_s4_stat(db->s4, !no_list, &s, &mine);
    if (rc != SHALE_OK)
        return done(rc, &mine, err);
    const shale_s4_stat ours = {.struct_size = sizeof ours,
                                .keys = s.keys,
                                .key_bytes = s.key_bytes,
                                .record_bytes = s.record_bytes,
                                .memory_bytes = s.memory_bytes,
                                .index_bytes = s.index_bytes,
                                .index_version = s.index_version,
                                .next_file_num = s.next_file_num,
                                .files = s.files,
                                .file_bytes = s.file_bytes,
                                .old_files = s.old_files,
                                .writers = s.writers,
                                .unreferenced = s.unreferenced,
                                .unreferenced_bytes = s.unreferenced_bytes,
                                .missing = s.missing,
                                .unsynced_keys = s.unsynced_keys,
                                .unsynced_files = s.unsynced_files};
    shl_api_give_struct(out, &ours, sizeof ours);
    return SHALE_OK;
}

void shale_s4_store_counts(shale_s4 *db, shale_store_counts *out)
{
    shl_api_stack_give_counts(db != NULL ? &db->stack : NULL, out);
}
