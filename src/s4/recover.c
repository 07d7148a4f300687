/* Writes that were flushed to the local folder and did not reach the bucket before their writer died; and our own note of such. */
#include "s4/db.h"

#include "base/assert.h"
#include "base/num.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- our note */

static shale_code collect(struct shl_s4 *db, struct shl_s4_unsynced *u, shale_error *err)
{
    u->generation = db->generation + 1;
    u->sent = db->sent;
    for (size_t i = 0; i < db->files.count; i++) {
        const struct shl_s4_file *f = &db->files.items[i];
        struct shl_s4_range r = {.file = f->id, .from = f->from, .to = f->flushed};
        if (r.from < r.to && !shl_array_push(&u->ranges, r))
            return shl_nomem(err);
    }
    return SHALE_OK;
}

/* Who does not hold the lock is taken for dead, so it comes before the note. */
static shale_code take_lock(struct shl_s4 *db, shale_error *err)
{
    char name[SHL_S4_NAME_BYTES];
    if (db->lock_fd >= 0)
        return SHALE_OK;
    shl_s4_unsynced_name(db->note_id, SHL_S4_LOCK_ENDING, name);
    shale_code rc = shl_s4_local_lock(&db->local, name, &db->lock_fd, err);
    if (rc == SHALE_OK && db->lock_fd < 0)
        rc = shl_fail(err, SHALE_CONFLICT, "%s/%s is held by another process", db->local.dir, name);
    return rc;
}

static void remove_named(struct shl_s4 *db, uint32_t writer, const char *ending)
{
    char name[SHL_S4_NAME_BYTES];
    shl_s4_unsynced_name(writer, ending, name);
    char *path = shl_s4_local_path(&db->local, name);
    if (path != NULL)
        (void)env_unlink(path);
    env_free(path);
}

/* Ours has what theirs had, or all of it is committed. */
static void drop_adopted(struct shl_s4 *db)
{
    for (size_t i = 0; i < db->adopted_count; i++) {
        remove_named(db, db->adopted[i].writer, SHL_S4_UNSYNCED_ENDING);
        remove_named(db, db->adopted[i].writer, SHL_S4_LOCK_ENDING);
        (void)env_close(db->adopted[i].lock_fd);
    }
    db->adopted_count = 0;
}

shale_code shl_s4_note(struct shl_s4 *db, shale_error *err)
{
    struct shl_s4_unsynced u = {0};
    struct shl_buf text = {0};
    char name[SHL_S4_NAME_BYTES];
    shale_code rc;
    SHL_TRY(collect(db, &u, err));
    if (u.ranges.count == 0)
        goto out;
    SHL_TRY(take_lock(db, err));
    SHL_TRY(shl_s4_unsynced_encode(&u, &text, err));
    shl_s4_unsynced_name(db->note_id, SHL_S4_UNSYNCED_ENDING, name);
    SHL_TRY(shl_s4_local_put(&db->local, name, shl_buf_view(&text), true, err));
    db->generation++;
    db->noted = true;
    ENV_POINT("s4 noted");
    drop_adopted(db);
out:
    shl_s4_unsynced_free(&u);
    shl_buf_free(&text);
    return rc;
}

void shl_s4_unnote(struct shl_s4 *db)
{
    shale_error ignored;
    bool any = db->noted || db->adopted_count > 0;
    if (db->noted)
        remove_named(db, db->note_id, SHL_S4_UNSYNCED_ENDING);
    db->noted = false;
    drop_adopted(db);
    if (any) /* a note that comes back after a power failure is recognised by its index */
        shl_ignore(shl_s4_local_sync_folder(&db->local, &ignored));
}

void shl_s4_let_go(struct shl_s4 *db)
{
    for (size_t i = 0; i < db->adopted_count; i++)
        (void)env_close(db->adopted[i].lock_fd);
    if (db->lock_fd >= 0) {
        if (!db->noted)
            remove_named(db, db->note_id, SHL_S4_LOCK_ENDING);
        (void)env_close(db->lock_fd);
    }
    env_free(db->adopted);
}

/* ---- what others left */

struct left {
    uint32_t writer;
    int lock_fd; /* -1: a reader's look */
    struct shl_s4_unsynced note;
};
struct lefts {
    SHL_ARRAY(struct left) list;
};

static int by_generation(const void *a, const void *b)
{
    const struct left *p = a;
    const struct left *q = b;
    if (p->note.generation != q->note.generation)
        return p->note.generation < q->note.generation ? -1 : 1;
    return p->writer < q->writer ? -1 : p->writer > q->writer;
}

static shale_code read_note(struct shl_s4 *db, uint32_t writer, struct shl_s4_unsynced *out,
                            shale_error *err)
{
    char name[SHL_S4_NAME_BYTES];
    struct shl_buf text = {0};
    shl_s4_unsynced_name(writer, SHL_S4_UNSYNCED_ENDING, name);
    shale_code rc = shl_s4_local_get(&db->local, name, &text, err);
    if (rc == SHALE_OK) {
        rc = shl_s4_unsynced_decode(shl_buf_view(&text), out, err);
        if (rc != SHALE_OK)
            shl_err_prefix(err, "%s/%s", db->local.dir, name);
    }
    shl_buf_free(&text);
    return rc;
}

/* Adds a note that nobody who lives holds. A reader takes every one: it changes nothing. */
static shale_code look_at_note(struct shl_s4 *db, uint32_t writer, struct lefts *out,
                               shale_error *err)
{
    struct left one = {.writer = writer, .lock_fd = -1};
    char lock[SHL_S4_NAME_BYTES];
    shale_code rc;
    if (!db->settings.read_only) {
        shl_s4_unsynced_name(writer, SHL_S4_LOCK_ENDING, lock);
        SHL_TRY(shl_s4_local_lock(&db->local, lock, &one.lock_fd, err));
        if (one.lock_fd < 0)
            goto out; /* its writer lives */
    }
    rc = read_note(db, writer, &one.note, err);
    if (rc == SHALE_NOT_FOUND) { /* committed since the folder was listed */
        if (one.lock_fd >= 0)
            remove_named(db, writer, SHL_S4_LOCK_ENDING);
        rc = SHALE_OK;
        goto out;
    }
    SHL_TRY(rc);
    if (!shl_array_push(&out->list, one)) {
        shl_s4_unsynced_free(&one.note);
        SHL_TRY(shl_nomem(err));
    }
    one.lock_fd = -1; /* moved to the list */
out:
    if (one.lock_fd >= 0)
        (void)env_close(one.lock_fd);
    return rc;
}

static shale_code find_notes(struct shl_s4 *db, struct lefts *out, shale_error *err)
{
    struct env_dirent *entries = NULL;
    size_t count = 0;
    shale_code rc = SHALE_OK;
    int e = env_listdir(db->local.dir, &entries, &count);
    if (e != 0)
        return shl_s4_local_fail(err, e, "list", db->local.dir);
    for (size_t i = 0; i < count && rc == SHALE_OK; i++) {
        uint32_t writer;
        if (entries[i].is_file && shl_s4_unsynced_name_parse(entries[i].name, &writer))
            rc = look_at_note(db, writer, out, err);
    }
    env_listdir_free(entries, count);
    if (out->list.count > 1)
        qsort(out->list.items, out->list.count, sizeof *out->list.items, by_generation);
    return rc;
}

/* True if the index names a record of these ranges: then the commit that was on its way got through, and others came after it. */
static bool index_knows(const struct shl_s4 *db, const struct shl_s4_unsynced *u)
{
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref;
    while (shl_s4_index_next(&db->map->index, &c, &key, &loc, &ref))
        for (size_t i = 0; i < u->ranges.count; i++) {
            const struct shl_s4_range *r = &u->ranges.items[i];
            if (loc.file == r->file && loc.offset >= r->from && loc.offset < r->to)
                return true;
        }
    return false;
}

static bool is_committed(const struct shl_s4 *db, const struct shl_s4_unsynced *u)
{
    if (!u->sent.is_there)
        return false;
    return (u->sent.bytes == db->index_bytes && u->sent.crc == db->index_crc) || index_knows(db, u);
}

static shale_code replay_record(struct shl_s4 *db, const struct shl_s4_record *r,
                                struct shl_s4_loc loc, shale_error *err)
{
    static const struct shl_s4_loc gone = {.file = SHL_S4_GONE};
    bool deletes = (r->flags & SHL_S4_TOMBSTONE) != 0;
    shale_code rc = shl_s4_index_put(&db->journal, r->key, deletes ? gone : loc, err);
    if (rc != SHALE_OK)
        return rc;
    if (!deletes)
        return shl_s4_index_put(&db->map->index, r->key, loc, err);
    (void)shl_s4_index_remove(&db->map->index, r->key);
    return SHALE_OK;
}

static shale_code replay_bytes(struct shl_s4 *db, const struct shl_s4_range *r,
                               struct shl_slice bytes, shale_error *err)
{
    for (size_t at = 0; at < bytes.len;) {
        struct shl_s4_record record;
        uint64_t length = 0;
        enum shl_s4_step step =
            shl_s4_step(shl_slice_of(bytes.data + at, bytes.len - at), &record, &length, err);
        if (step == SHL_S4_STEP_MORE)
            shl_fail(err, SHALE_CORRUPTION, "a record of %" PRIu64 " bytes runs over the end",
                     length);
        if (step != SHL_S4_STEP_RECORD) {
            shl_err_prefix(err, "at offset %" PRIu64, r->from + at);
            return SHALE_CORRUPTION;
        }
        struct shl_s4_loc loc = {
            .file = r->file, .offset = r->from + at, .length = (uint32_t)length};
        shale_code rc = replay_record(db, &record, loc, err);
        if (rc != SHALE_OK)
            return rc;
        at += (size_t)length;
    }
    return SHALE_OK;
}

static shale_code replay_range(struct shl_s4 *db, const struct shl_s4_range *r, shale_error *err)
{
    struct shl_buf bytes = {0};
    char name[SHL_S4_NAME_BYTES];
    uint64_t size = 0;
    shale_code rc;
    shl_s4_name(r->file, name);
    if (!shl_s4_local_size(&db->local, r->file, &size) || size < r->to)
        SHL_TRY(shl_fail(err, SHALE_CORRUPTION,
                         "it has %" PRIu64 " bytes, and %" PRIu64 " were written", size, r->to));
    SHL_TRY(shl_buf_reserve(&bytes, (size_t)(r->to - r->from) + 1, err));
    bytes.len =
        shl_s4_local_read(&db->local, r->file, r->from, bytes.data, (size_t)(r->to - r->from));
    if (bytes.len != r->to - r->from)
        SHL_TRY(shl_fail(err, SHALE_UNAVAILABLE, "it cannot be read to offset %" PRIu64, r->to));
    SHL_TRY(replay_bytes(db, r, shl_buf_view(&bytes), err));
out:
    if (rc == SHALE_CORRUPTION || rc == SHALE_UNAVAILABLE)
        shl_err_prefix(err, "writes that were not uploaded: %s/%s", db->local.dir, name);
    shl_buf_free(&bytes);
    return rc;
}

/* A file of a dead writer is ours now, but nothing is added to it. */
static shale_code adopt_file(struct shl_s4 *db, const struct shl_s4_range *r, shale_error *err)
{
    struct shl_s4_file *f = shl_s4_file_find(db, r->file);
    if (f != NULL) {
        f->size = f->flushed = shl_max_u64(f->size, r->to);
        f->from = shl_min_u64(f->from, r->from);
        return SHALE_OK;
    }
    struct shl_s4_file fresh = {.id = r->file,
                                .size = r->to,
                                .flushed = r->to,
                                .from = r->from,
                                .dirty = true,
                                .unsure = true};
    return shl_array_push(&db->files, fresh) ? SHALE_OK : shl_nomem(err);
}

static shale_code adopt(struct shl_s4 *db, const struct left *one, shale_error *err)
{
    for (size_t i = 0; i < one->note.ranges.count; i++) {
        shale_code rc = replay_range(db, &one->note.ranges.items[i], err);
        if (rc == SHALE_OK)
            rc = adopt_file(db, &one->note.ranges.items[i], err);
        if (rc != SHALE_OK)
            return rc;
    }
    db->generation = shl_max_u64(db->generation, one->note.generation);
    shl_log_write(db->log, SHL_LOG_INFO,
                  "took over writes that were not uploaded writer=%08" PRIx32 " files=%zu",
                  one->writer, one->note.ranges.count);
    return SHALE_OK;
}

static shale_code take_over(struct shl_s4 *db, struct lefts *found, shale_error *err)
{
    db->adopted = env_calloc(found->list.count + 1, sizeof *db->adopted);
    if (db->adopted == NULL)
        return shl_nomem(err);
    for (size_t i = 0; i < found->list.count; i++) {
        struct left *one = &found->list.items[i];
        bool committed = is_committed(db, &one->note);
        if (!committed) {
            shale_code rc = adopt(db, one, err);
            if (rc != SHALE_OK)
                return rc;
        }
        if (one->lock_fd < 0)
            continue;
        db->adopted[db->adopted_count++] =
            (struct shl_s4_adopted){.writer = one->writer, .lock_fd = one->lock_fd};
        one->lock_fd = -1; /* moved to the handle */
    }
    return SHALE_OK;
}

shale_code shl_s4_recover(struct shl_s4 *db, shale_error *err)
{
    struct lefts found = {0};
    shale_code rc = SHALE_OK;
    if (db->local.temporary || !shl_s4_local_is_there(&db->local))
        return SHALE_OK;
    SHL_TRY(find_notes(db, &found, err));
    if (found.list.count > 0)
        SHL_TRY(take_over(db, &found, err));
    if (db->journal.count == 0) /* what is there is committed */
        drop_adopted(db);
out:
    for (size_t i = 0; i < found.list.count; i++) {
        shl_s4_unsynced_free(&found.list.items[i].note);
        if (found.list.items[i].lock_fd >= 0)
            (void)env_close(found.list.items[i].lock_fd);
    }
    shl_array_free(&found.list);
    return rc;
}
