#include "s4/db.h"

#include "base/assert.h"
#include "base/codec/text.h"
#include "base/num.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define REQUESTS_DEFAULT 8
#define FILE_BYTES_MIN   64

void shl_s4_settings_init(struct shl_s4_settings *s)
{
    *s = (struct shl_s4_settings){.max_file_bytes = SHL_S4_FILE_MAX_DEFAULT,
                                  .format = 2,
                                  .seal_ms = SHL_S4_SEAL_MS_DEFAULT,
                                  .requests_max = REQUESTS_DEFAULT};
}

/* ---- the turn */

void shl_s4_take_turn(struct shl_s4 *db)
{
    env_mutex_lock(&db->mu);
    while (db->busy)
        env_cond_wait(&db->turn, &db->mu);
    db->busy = true;
    env_mutex_unlock(&db->mu);
}

void shl_s4_end_turn(struct shl_s4 *db)
{
    env_mutex_lock(&db->mu);
    SHL_ASSERT(db->busy);
    db->busy = false;
    env_cond_signal(&db->turn);
    env_mutex_unlock(&db->mu);
}

shale_code shl_s4_begin_write(struct shl_s4 *db, shale_error *err)
{
    if (db->settings.read_only)
        return shl_fail(err, SHALE_INVALID, "the store was opened for reading only");
    shl_s4_take_turn(db);
    return SHALE_OK;
}

bool shl_s4_is_unsynced(const struct shl_s4 *db)
{
    bool dirty = db->journal.count > 0 || db->unsaved;
    for (size_t i = 0; i < db->files.count; i++)
        dirty = dirty || db->files.items[i].dirty;
    return dirty;
}

shale_code shl_s4_check_synced(struct shl_s4 *db, const char *what, shale_error *err)
{
    if (!shl_s4_is_unsynced(db))
        return SHALE_OK;
    return shl_fail(err, SHALE_INVALID,
                    "%s: %" PRIu32 " written or deleted keys are not uploaded yet", what,
                    db->journal.count);
}

/* ---- names of objects */

shale_code shl_s4_key(const struct shl_s4 *db, const char *name, char out[SHL_S4_KEY_BYTES],
                      shale_error *err)
{
    const char *slash = db->path[0] != '\0' ? "/" : "";
    int n = snprintf(out, SHL_S4_KEY_BYTES, "%s%s%s%s", db->path, slash, db->name_prefix, name);
    if (n < 0 || n >= SHL_S4_KEY_BYTES)
        return shl_fail(err, SHALE_INVALID, "the path of the store has %zu bytes, at most %d",
                        strlen(db->path) + strlen(db->name_prefix),
                        SHL_S4_KEY_BYTES - SHL_S4_NAME_BYTES);
    return SHALE_OK;
}

shale_code shl_s4_file_key(const struct shl_s4 *db, uint64_t file, char out[SHL_S4_KEY_BYTES],
                           shale_error *err)
{
    char name[SHL_S4_NAME_BYTES];
    shl_s4_name(file, name);
    return shl_s4_key(db, name, out, err);
}

void shl_s4_err_place(const struct shl_s4 *db, uint64_t file, uint64_t offset, shale_error *err)
{
    char key[SHL_S4_KEY_BYTES];
    shale_error ignored;
    if (shl_s4_file_key(db, file, key, &ignored) == SHALE_OK)
        shl_err_prefix(err, "%s at offset %" PRIu64, key, offset);
}

static int by_remote_id(const void *a, const void *b)
{
    const struct shl_s4_remote *p = a;
    const struct shl_s4_remote *q = b;
    return p->id < q->id ? -1 : p->id > q->id;
}

/* The file that a listed key names, which must lie in the folder itself. */
static bool is_data_file(const struct shl_s4 *db, const char *key, uint64_t *id)
{
    size_t path = strlen(db->path);
    size_t front = strlen(db->name_prefix);
    const char *name = key + (path > 0 ? path + 1 : 0);
    return strchr(name, '/') == NULL && strncmp(name, db->name_prefix, front) == 0 &&
           shl_s4_name_parse(name + front, id);
}

shale_code shl_s4_list(struct shl_s4 *db, struct shl_s4_remote_list *out, shale_error *err)
{
    const struct shl_list_options how = {.prefix = db->path, .shallow = true};
    struct shl_list list = {0};
    shale_code rc = shl_store_list(db->store, &how, &list, err);
    for (size_t i = 0; rc == SHALE_OK && i < list.count; i++) {
        struct shl_s4_remote r = {.size = list.items[i].size,
                                  .modified_ns = list.items[i].modified_ns};
        if (is_data_file(db, list.items[i].key, &r.id) && !shl_array_push(&out->files, r))
            rc = shl_nomem(err);
    }
    shl_list_free(&list);
    if (out->files.count > 1)
        qsort(out->files.items, out->files.count, sizeof *out->files.items, by_remote_id);
    return rc;
}

const struct shl_s4_remote *shl_s4_remote_find(const struct shl_s4_remote_list *l, uint64_t id)
{
    const struct shl_s4_remote key = {.id = id};
    return l->files.count == 0 ? NULL
                               : bsearch(&key, l->files.items, l->files.count,
                                         sizeof *l->files.items, by_remote_id);
}

/* ---- maps */

struct shl_s4_map *shl_s4_map_new(void)
{
    struct shl_s4_map *map = env_alloc(sizeof *map);
    if (map == NULL)
        return NULL;
    shl_s4_index_init(&map->index);
    map->refs = 1;
    return map;
}

struct shl_s4_map *shl_s4_map_ref(struct shl_s4 *db)
{
    env_mutex_lock(&db->mu);
    struct shl_s4_map *map = db->map;
    map->refs++;
    env_mutex_unlock(&db->mu);
    return map;
}

void shl_s4_map_unref(struct shl_s4 *db, struct shl_s4_map *map)
{
    if (map == NULL)
        return;
    env_mutex_lock(&db->mu);
    bool last = --map->refs == 0;
    env_mutex_unlock(&db->mu);
    if (!last)
        return;
    shl_s4_index_free(&map->index);
    env_free(map);
}

void shl_s4_map_set(struct shl_s4 *db, struct shl_s4_map *take_map, bool is_change)
{
    env_mutex_lock(&db->mu);
    struct shl_s4_map *old = db->map;
    db->map = take_map;
    db->changes += is_change;
    env_mutex_unlock(&db->mu);
    shl_s4_map_unref(db, old);
}

/* ---- open and close */

static shale_code check_settings(const struct shl_s4_settings *s, shale_error *err)
{
    if (s->format != 1 && s->format != 2)
        return shl_fail(err, SHALE_INVALID, "format: %u, known 1..2", s->format);
    if (s->max_file_bytes < FILE_BYTES_MIN)
        return shl_fail(err, SHALE_INVALID, "max file size: %" PRIu64 " bytes, at least %d",
                        s->max_file_bytes, FILE_BYTES_MIN);
    if (s->name_prefix != NULL && strchr(s->name_prefix, '/') != NULL)
        return shl_fail(err, SHALE_INVALID,
                        "object prefix: \"%.60s\" has a '/'; folders belong into the URL",
                        s->name_prefix);
    return SHALE_OK;
}

static shale_code init(struct shl_s4 *db, const struct shl_s4_open *how, shale_error *err)
{
    const struct shl_s4_settings *s = how->settings;
    *db = (struct shl_s4){.store = shl_store_ref(how->store),
                          .path = env_strdup(how->path),
                          .name_prefix = env_strdup(s->name_prefix != NULL ? s->name_prefix : ""),
                          .log = how->log,
                          .settings = *s,
                          .map = shl_s4_map_new(),
                          .next_file_num = 1,
                          .active = SHL_S4_GONE,
                          .active_fd = -1,
                          .lock_fd = -1,
                          .note_id = (uint32_t)env_rand64()};
    db->settings.local_dir = db->settings.name_prefix = NULL;
    if (db->settings.requests_max == 0)
        db->settings.requests_max = 1;
    env_mutex_init(&db->mu);
    env_cond_init(&db->turn);
    shl_s4_index_init(&db->journal);
    shl_s4_index_init(&db->bases);
    if (s->format == 2)
        db->writer = (uint32_t)env_rand_below(UINT32_MAX) + 1;
    shale_code rc = shl_s4_local_init(&db->local, s->local_dir, err);
    if (rc == SHALE_OK && (db->path == NULL || db->name_prefix == NULL || db->map == NULL))
        rc = shl_nomem(err);
    return rc;
}

static shale_code check_format(const struct shl_s4 *db, shale_error *err)
{
    if (db->settings.format == 2 || db->index_version < 2 || db->settings.read_only)
        return SHALE_OK;
    return shl_fail(err, SHALE_INVALID,
                    "format 1: the index of this store is of generation 2, which no program for "
                    "generation 1 reads; write it with format 2");
}

shale_code shl_s4_open(const struct shl_s4_open *how, struct shl_s4 **out, shale_error *err)
{
    shale_code rc = check_settings(how->settings, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_s4 *db = env_alloc(sizeof *db);
    if (db == NULL)
        return shl_nomem(err);
    SHL_TRY(init(db, how, err));
    SHL_TRY(shl_s4_read_index(db, err));
    SHL_TRY(check_format(db, err));
    if (!db->settings.index_unread)
        SHL_TRY(shl_s4_recover(db, err));
    *out = db;
    db = NULL; /* moved to the caller */
out:
    shl_s4_close(db);
    return rc;
}

void shl_s4_close(struct shl_s4 *db)
{
    if (db == NULL)
        return;
    shl_s4_close_active(db);
    shl_s4_let_go(db);
    shl_s4_map_unref(db, db->map);
    shl_s4_index_free(&db->journal);
    shl_s4_index_free(&db->bases);
    shl_array_free(&db->files);
    shl_s4_local_deinit(&db->local);
    env_cond_deinit(&db->turn);
    env_mutex_deinit(&db->mu);
    shl_store_unref(db->store);
    env_free(db->path);
    env_free(db->name_prefix);
    env_free(db);
}

/* ---- writes */

static shale_code check_key(struct shl_slice key, size_t i, shale_error *err)
{
    if (key.len > SHL_S4_KEY_MAX)
        return shl_fail(err, SHALE_INVALID, "key %zu has %zu bytes, at most %d", i, key.len,
                        SHL_S4_KEY_MAX);
    if (!shl_utf8_valid(key))
        return shl_fail(err, SHALE_INVALID, "key %zu is not UTF-8", i);
    return SHALE_OK;
}

static shale_code check_item(const struct shl_s4 *db, const struct shl_s4_item *item, size_t i,
                             shale_error *err)
{
    shale_code rc = check_key(item->key, i, err);
    if (rc != SHALE_OK)
        return rc;
    if (!item->is_bytes && !shl_utf8_valid(item->value))
        return shl_fail(err, SHALE_INVALID, "the value of key %zu is not UTF-8: it is bytes", i);
    if (item->is_bytes && db->settings.format == 1)
        return shl_fail(err, SHALE_INVALID,
                        "the value of key %zu is bytes: generation 1 has text only", i);
    return SHALE_OK;
}

shale_code shl_s4_make_room(struct shl_s4 *db, uint64_t keys, uint64_t key_bytes, uint32_t files,
                            shale_error *err)
{
    shale_code rc = shl_s4_index_room(&db->journal, keys, key_bytes, files, err);
    if (rc != SHALE_OK)
        return rc;
    env_mutex_lock(&db->mu);
    rc = shl_s4_index_room(&db->map->index, keys, key_bytes, files, err);
    env_mutex_unlock(&db->mu);
    return rc;
}

void shl_s4_must_put(struct shl_s4_index *x, struct shl_slice key, struct shl_s4_loc loc)
{
    shale_error err;
    shale_code rc = shl_s4_index_put(x, key, loc, &err); /* there is room */
    SHL_ASSERT(rc == SHALE_OK);
}

static void take_puts(struct shl_s4 *db, const struct shl_s4_item *items, size_t count,
                      const struct shl_s4_batch *b)
{
    for (size_t i = 0; i < count; i++)
        shl_s4_must_put(&db->journal, items[i].key, b->places.items[i]);
    env_mutex_lock(&db->mu);
    for (size_t i = 0; i < count; i++)
        shl_s4_must_put(&db->map->index, items[i].key, b->places.items[i]);
    db->changes++;
    env_mutex_unlock(&db->mu);
}

static shale_code put_records(struct shl_s4 *db, struct shl_s4_batch *b,
                              const struct shl_s4_item *items, size_t count, shale_error *err)
{
    struct shl_buf record = {0};
    uint64_t key_bytes = 0;
    uint8_t version = (uint8_t)db->settings.format;
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < count; i++) {
        record.len = 0;
        key_bytes += items[i].key.len;
        SHL_TRY(shl_s4_put_encode(version, items[i].key, items[i].value, items[i].is_bytes, &record,
                                  err));
        SHL_TRY(shl_s4_batch_add(db, b, shl_buf_view(&record), err));
        SHL_TRY(shl_s4_remember_base(db, items[i].key, err));
    }
    SHL_TRY(shl_s4_batch_write(db, b, err));
    SHL_TRY(shl_s4_make_room(db, count, key_bytes, b->new_files + 1, err));
    ENV_POINT("s4 put written");
out:
    shl_buf_free(&record);
    return rc;
}

shale_code shl_s4_put(struct shl_s4 *db, const struct shl_s4_item *items, size_t count,
                      shale_error *err)
{
    struct shl_s4_batch b;
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < count && rc == SHALE_OK; i++)
        rc = check_item(db, &items[i], i, err);
    if (rc == SHALE_OK)
        rc = shl_s4_begin_write(db, err);
    if (rc != SHALE_OK)
        return rc;
    if (count > 0) {
        shl_s4_batch_begin(db, &b);
        rc = put_records(db, &b, items, count, err);
        if (rc == SHALE_OK)
            take_puts(db, items, count, &b);
        shl_s4_batch_end(db, &b, rc != SHALE_OK);
    }
    shl_s4_end_turn(db);
    return rc;
}

static void take_deletes(struct shl_s4 *db, const struct shl_slice *keys, const size_t *which,
                         size_t count, const struct shl_s4_batch *b)
{
    for (size_t i = 0; i < count; i++) {
        struct shl_s4_loc tombstone = b->places.items[i];
        tombstone.length = 0;
        shl_s4_must_put(&db->journal, keys[which[i]], tombstone);
    }
    env_mutex_lock(&db->mu);
    for (size_t i = 0; i < count; i++)
        (void)shl_s4_index_remove(&db->map->index, keys[which[i]]);
    db->changes++;
    env_mutex_unlock(&db->mu);
}

static shale_code delete_records(struct shl_s4 *db, struct shl_s4_batch *b,
                                 const struct shl_slice *keys, const size_t *which, size_t count,
                                 shale_error *err)
{
    struct shl_buf record = {0};
    uint64_t key_bytes = 0;
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < count; i++) {
        record.len = 0;
        key_bytes += keys[which[i]].len;
        SHL_TRY(shl_s4_tombstone_encode(keys[which[i]], &record, err));
        SHL_TRY(shl_s4_batch_add(db, b, shl_buf_view(&record), err));
        SHL_TRY(shl_s4_remember_base(db, keys[which[i]], err));
    }
    SHL_TRY(shl_s4_batch_write(db, b, err));
    SHL_TRY(shl_s4_make_room(db, count, key_bytes, b->new_files + 1, err));
out:
    shl_buf_free(&record);
    return rc;
}

/* [turn] */
static shale_code delete_known(struct shl_s4 *db, const struct shl_slice *keys, size_t count,
                               size_t *which, size_t *out_deleted, shale_error *err)
{
    struct shl_s4_batch b;
    struct shl_s4_loc loc;
    size_t known = 0;
    for (size_t i = 0; i < count; i++)
        if (shl_s4_index_get(&db->map->index, keys[i], &loc))
            which[known++] = i;
    *out_deleted = known;
    if (known == 0)
        return SHALE_OK;
    shl_s4_batch_begin(db, &b);
    shale_code rc = delete_records(db, &b, keys, which, known, err);
    if (rc == SHALE_OK)
        take_deletes(db, keys, which, known, &b);
    shl_s4_batch_end(db, &b, rc != SHALE_OK);
    return rc;
}

shale_code shl_s4_delete(struct shl_s4 *db, const struct shl_slice *keys, size_t count,
                         size_t *out_deleted, shale_error *err)
{
    size_t deleted = 0;
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < count && rc == SHALE_OK; i++)
        rc = check_key(keys[i], i, err);
    if (rc == SHALE_OK)
        rc = shl_s4_begin_write(db, err);
    if (rc != SHALE_OK)
        return rc;
    size_t *which = env_calloc(count + 1, sizeof *which);
    rc = which == NULL ? shl_nomem(err) : delete_known(db, keys, count, which, &deleted, err);
    shl_s4_end_turn(db);
    env_free(which);
    if (rc == SHALE_OK && out_deleted != NULL)
        *out_deleted = deleted;
    return rc;
}

/* ---- reads of single keys */

bool shl_s4_has(struct shl_s4 *db, struct shl_slice key)
{
    struct shl_s4_loc loc;
    env_mutex_lock(&db->mu);
    bool found = shl_s4_index_get(&db->map->index, key, &loc);
    env_mutex_unlock(&db->mu);
    return found;
}

static shale_code get_once(struct shl_s4 *db, const struct shl_s4_map *map, struct shl_slice key,
                           struct shl_buf *value, bool *out_is_bytes, shale_error *err)
{
    struct shl_s4_want want = {.key = key};
    struct shl_buf data = {0};
    struct shl_buf hold = {0};
    struct shl_slice bytes;
    env_mutex_lock(&db->mu);
    bool found = shl_s4_index_get(&map->index, key, &want.loc);
    env_mutex_unlock(&db->mu);
    if (!found) {
        err->code = SHALE_DONE; /* told apart from an object that is missing */
        err->text[0] = '\0';
        return SHALE_DONE;
    }
    shale_code rc = shl_s4_fetch(db, &want, 1, false, &data, err);
    if (rc == SHALE_OK)
        rc = shl_s4_value(&want.record, &hold, &bytes, err);
    if (rc == SHALE_CORRUPTION && want.record.key.data != NULL)
        shl_s4_err_place(db, want.loc.file, want.loc.offset, err);
    if (rc == SHALE_OK)
        rc = shl_buf_append(value, bytes.data, bytes.len, err);
    if (rc == SHALE_OK)
        *out_is_bytes = (want.record.flags & SHL_S4_BYTES) != 0;
    shl_buf_free(&data);
    shl_buf_free(&hold);
    return rc;
}

shale_code shl_s4_get(struct shl_s4 *db, struct shl_slice key, struct shl_buf *value,
                      bool *out_is_bytes, shale_error *err)
{
    for (;;) {
        struct shl_s4_map *map = shl_s4_map_ref(db);
        shale_code rc = get_once(db, map, key, value, out_is_bytes, err);
        bool again = rc != SHALE_OK && shl_s4_look_again(db, map, &rc, err);
        shl_s4_map_unref(db, map);
        if (again)
            continue;
        if (rc == SHALE_DONE)
            rc = err->code = SHALE_NOT_FOUND;
        return rc;
    }
}
