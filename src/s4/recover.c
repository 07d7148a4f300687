/* Writes that were flushed to the local folder and did not reach the bucket before their writer died; and our own note of such. */
#include "s4/db.h"

#include "base/assert.h"
#include "base/num.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* ---- our note */

static shale_code collect(struct shl_s4 *db, bool tries, struct shl_s4_unsynced *u,
                          shale_error *err)
{
    u->generation = db->generation + 1;
    u->tried = tries || db->tried;
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

/* True if it is gone. */
static bool remove_named(struct shl_s4 *db, uint32_t writer, const char *ending)
{
    char name[SHL_S4_NAME_BYTES];
    shl_s4_unsynced_name(writer, ending, name);
    char *path = shl_s4_local_path(&db->local, name);
    int e = path != NULL ? env_unlink(path) : ENOMEM;
    env_free(path);
    return e == 0 || e == ENOENT;
}

/* Ours has what theirs had, or all of it is committed. On the disk, too: what came back after a power failure would be written over what is newer. */
static shale_code drop_adopted(struct shl_s4 *db, shale_error *err)
{
    size_t left = 0;
    if (db->adopted_count == 0)
        return SHALE_OK;
    for (size_t i = 0; i < db->adopted_count; i++) {
        if (!remove_named(db, db->adopted[i].writer, SHL_S4_UNSYNCED_ENDING)) {
            db->adopted[left++] = db->adopted[i];
            continue;
        }
        (void)remove_named(db, db->adopted[i].writer, SHL_S4_BASES_ENDING);
        (void)remove_named(db, db->adopted[i].writer, SHL_S4_LOCK_ENDING);
        (void)env_close(db->adopted[i].lock_fd);
    }
    db->adopted_count = left;
    return shl_s4_local_sync_folder(&db->local, err);
}

/* Beside the note that says that a commit is on its way. */
static shale_code put_bases(struct shl_s4 *db, shale_error *err)
{
    struct shl_buf blob = {0};
    struct shl_s4_index both;
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref, witnesses;
    char name[SHL_S4_NAME_BYTES];
    shale_code rc;
    shl_s4_index_init(&both);
    shl_s4_unsynced_name(db->note_id, SHL_S4_BASES_ENDING, name);
    SHL_TRY(shl_s4_add_witnesses(db, &both, err));
    witnesses = both.count;
    while (shl_s4_index_next(&db->bases, &c, &key, &loc, &ref))
        SHL_TRY(shl_s4_index_put(&both, key, loc, err));
    SHL_TRY(shl_s4_index_encode(&both, 2, witnesses, &blob, err));
    SHL_TRY(shl_s4_local_put(&db->local, name, shl_buf_view(&blob), true, err));
out:
    shl_s4_index_free(&both);
    shl_buf_free(&blob);
    return rc;
}

shale_code shl_s4_note(struct shl_s4 *db, bool tries, shale_error *err)
{
    struct shl_s4_unsynced u = {0};
    struct shl_buf text = {0};
    char name[SHL_S4_NAME_BYTES];
    shale_code rc;
    SHL_TRY(collect(db, tries, &u, err));
    if (u.ranges.count == 0)
        goto out;
    SHL_TRY(take_lock(db, err));
    SHL_TRY(shl_s4_unsynced_encode(&u, &text, err));
    shl_s4_unsynced_name(db->note_id, SHL_S4_UNSYNCED_ENDING, name);
    db->noted = true; /* also if the last step fails */
    if (u.tried)
        SHL_TRY(put_bases(db, err));
    SHL_TRY(shl_s4_local_put(&db->local, name, shl_buf_view(&text), true, err));
    db->generation++;
    ENV_POINT("s4 noted");
    SHL_TRY(drop_adopted(db, err));
out:
    shl_s4_unsynced_free(&u);
    shl_buf_free(&text);
    return rc;
}

void shl_s4_unnote(struct shl_s4 *db)
{
    shale_error ignored;
    if (db->noted) {
        db->noted = !remove_named(db, db->note_id, SHL_S4_UNSYNCED_ENDING);
        if (!db->noted)
            (void)remove_named(db, db->note_id, SHL_S4_BASES_ENDING);
        shl_ignore(shl_s4_local_sync_folder(&db->local, &ignored));
    }
    shl_ignore(drop_adopted(db, &ignored));
}

void shl_s4_let_go(struct shl_s4 *db)
{
    for (size_t i = 0; i < db->adopted_count; i++)
        (void)env_close(db->adopted[i].lock_fd);
    if (db->lock_fd >= 0) {
        if (!db->noted)
            (void)remove_named(db, db->note_id, SHL_S4_LOCK_ENDING);
        (void)env_close(db->lock_fd);
    }
    env_free(db->adopted);
}

/* ---- what others left */

struct left {
    uint32_t writer;
    int lock_fd; /* -1: a reader's look */
    struct shl_s4_unsynced note;
    bool has_bases;            /* a commit was on its way */
    struct shl_s4_index bases; /* owned: where its keys were before, behind the witnesses */
    uint32_t witnesses;
};

static void left_free(struct left *one)
{
    shl_s4_unsynced_free(&one->note);
    shl_s4_index_free(&one->bases);
    if (one->lock_fd >= 0)
        (void)env_close(one->lock_fd);
}

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

/* Without them all that was noted is taken over, as if no commit had been on its way. */
static shale_code read_bases(struct shl_s4 *db, struct left *one, shale_error *err)
{
    struct shl_s4_index_head head;
    struct shl_buf blob = {0};
    char name[SHL_S4_NAME_BYTES];
    shl_s4_unsynced_name(one->writer, SHL_S4_BASES_ENDING, name);
    shale_code rc = shl_s4_local_get(&db->local, name, &blob, err);
    if (rc == SHALE_OK)
        rc = shl_s4_index_load(&one->bases, shl_buf_view(&blob), &head, err);
    one->has_bases = rc == SHALE_OK;
    one->witnesses = rc == SHALE_OK ? head.next_file_num : 0;
    shl_buf_free(&blob);
    if (rc != SHALE_NOT_FOUND && rc != SHALE_CORRUPTION)
        return rc;
    shl_log_write(db->log, SHL_LOG_WARN, "no word of where keys were before file=%s why=\"%s\"",
                  name, err->text);
    return SHALE_OK;
}

/* Adds a note that nobody who lives holds. A reader takes every one: it changes nothing. */
static shale_code look_at_note(struct shl_s4 *db, uint32_t writer, struct lefts *out,
                               shale_error *err)
{
    struct left one = {.writer = writer, .lock_fd = -1};
    shl_s4_index_init(&one.bases);
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
            (void)remove_named(db, writer, SHL_S4_LOCK_ENDING);
        rc = SHALE_OK;
        goto out;
    }
    SHL_TRY(rc);
    if (one.note.tried)
        SHL_TRY(read_bases(db, &one, err));
    if (!shl_array_push(&out->list, one))
        SHL_TRY(shl_nomem(err));
    one = (struct left){.lock_fd = -1}; /* moved to the list */
out:
    left_free(&one);
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

/* The records of a note's ranges. */
struct replay {
    struct shl_s4 *db;
    bool counts;                      /* only looks for the last committed one */
    bool any;                         /* there is one */
    const struct shl_s4_index *bases; /* NULL: no commit was on its way */
    bool failed;                      /* it did not get through: a key is where it was */
    bool drops;                       /* what others wrote since stands over ours */
    struct shl_s4_loc last;           /* all writes up to there are in the index, or were */
};

/* A commit that was on its way, and of which no place is there any more: what others wrote since came after it. */
static bool is_superseded(const struct replay *p, struct shl_slice key)
{
    struct shl_s4_loc ignored;
    return p->drops &&
           !shl_s4_index_get(&p->db->journal, key, &ignored) && /* else the map has it from us */
           shl_s4_is_superseded(p->bases, &p->db->map->index, key);
}

static shale_code replay_record(struct replay *p, const struct shl_s4_record *r,
                                struct shl_s4_loc loc, shale_error *err)
{
    struct shl_s4 *db = p->db;
    struct shl_s4_loc now;
    bool deletes = (r->flags & SHL_S4_TOMBSTONE) != 0;
    if (p->counts) {
        if (p->bases != NULL && !shl_s4_index_get(&db->journal, r->key, &now) &&
            shl_s4_is_where_it_was(p->bases, &db->map->index, r->key))
            p->failed = true;
        /* It is in the index at this very place: the commit got through, though nobody was told. */
        if (deletes || !shl_s4_index_get(&db->map->index, r->key, &now) || now.file != loc.file ||
            now.offset != loc.offset)
            return SHALE_OK;
        p->last = loc;
        p->any = true;
        return SHALE_OK;
    }
    if (p->any && !shl_s4_is_later(loc, p->last))
        return SHALE_OK;
    if (is_superseded(p, r->key))
        return SHALE_OK;
    struct shl_s4_loc place = loc;
    place.length = deletes ? 0 : loc.length;
    shale_code rc = shl_s4_remember_base(db, r->key, err);
    if (rc == SHALE_OK)
        rc = shl_s4_index_put(&db->journal, r->key, place, err);
    if (rc == SHALE_OK && !deletes)
        return shl_s4_index_put(&db->map->index, r->key, loc, err);
    if (rc == SHALE_OK)
        (void)shl_s4_index_remove(&db->map->index, r->key);
    return rc;
}

static shale_code replay_bytes(struct replay *p, const struct shl_s4_range *r,
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
        shale_code rc = replay_record(p, &record, loc, err);
        if (rc != SHALE_OK)
            return rc;
        at += (size_t)length;
    }
    return SHALE_OK;
}

static shale_code replay_range(struct replay *p, const struct shl_s4_range *r, shale_error *err)
{
    struct shl_s4_local *l = &p->db->local;
    struct shl_buf bytes = {0};
    char name[SHL_S4_NAME_BYTES];
    uint64_t size = 0;
    size_t want = (size_t)(r->to - r->from);
    shale_code rc;
    shl_s4_name(r->file, name);
    if (!shl_s4_local_size(l, r->file, &size) || size < r->to)
        SHL_TRY(shl_fail(err, SHALE_CORRUPTION,
                         "it has %" PRIu64 " bytes, and %" PRIu64 " were written", size, r->to));
    SHL_TRY(shl_buf_reserve(&bytes, want + 1, err));
    SHL_TRY(shl_s4_local_read(l, r->file, r->from, bytes.data, want, &bytes.len, err));
    if (bytes.len != want)
        SHL_TRY(shl_fail(err, SHALE_UNAVAILABLE, "it cannot be read to offset %" PRIu64, r->to));
    SHL_TRY(replay_bytes(p, r, shl_buf_view(&bytes), err));
out:
    if (rc == SHALE_CORRUPTION || rc == SHALE_UNAVAILABLE)
        shl_err_prefix(err, "writes that were not uploaded: %s/%s", l->dir, name);
    shl_buf_free(&bytes);
    return rc;
}

/* Looks how far a commit of the dead writer got through, then takes over what came after it. */
static shale_code adopt(struct shl_s4 *db, const struct left *one, shale_error *err)
{
    const struct shl_s4_index *newest = &db->map->index;
    struct replay p = {.db = db, .bases = one->has_bases ? &one->bases : NULL};
    for (unsigned pass = 0; pass < 2; pass++) {
        p.counts = pass == 0;
        p.drops = pass == 1 && p.bases != NULL && !p.any && !p.failed &&
                  shl_s4_nothing_moved(p.bases, one->witnesses, newest);
        for (size_t i = 0; i < one->note.ranges.count; i++) {
            shale_code rc = replay_range(&p, &one->note.ranges.items[i], err);
            if (rc != SHALE_OK)
                return rc;
        }
    }
    db->generation = shl_max_u64(db->generation, one->note.generation);
    db->homeless = true;
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
        shale_code rc = adopt(db, one, err);
        if (rc != SHALE_OK)
            return rc;
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
    if (db->journal.count == 0) { /* what is there is committed */
        db->homeless = false;
        SHL_TRY(drop_adopted(db, err));
    }
out:
    for (size_t i = 0; i < found.list.count; i++) {
        left_free(&found.list.items[i]);
    }
    shl_array_free(&found.list);
    return rc;
}

/* ---- into files of our own */

/* Whether records in that file may stay there. */
static bool is_home(struct shl_s4 *db, uint64_t file)
{
    const struct shl_s4_file *f = shl_s4_file_find(db, file);
    return f != NULL && !f->retired;
}

static void retire_sealed(struct shl_s4 *db)
{
    for (size_t i = 0; i < db->files.count; i++) {
        struct shl_s4_file *f = &db->files.items[i];
        if (f->from == f->size || !shl_s4_is_sealed(db, f))
            continue;
        f->retired = db->homeless = true;
        if (f->id == db->active)
            shl_s4_close_active(db);
    }
}

/* Nothing in them is wanted any more. */
static void settle_retired(struct shl_s4 *db)
{
    for (size_t i = 0; i < db->files.count; i++) {
        struct shl_s4_file *f = &db->files.items[i];
        if (!f->retired)
            continue;
        f->retired = f->dirty = f->unsure = false;
        f->from = f->size;
    }
}

/* The record of a journal's entry, anew or from the file where it is; empty if it may stay there. */
static shale_code old_record(struct shl_s4 *db, struct shl_slice key, struct shl_s4_loc loc,
                             struct shl_buf *out, shale_error *err)
{
    struct shl_s4_record record;
    out->len = 0;
    if (is_home(db, loc.file))
        return SHALE_OK;
    if (loc.length == 0)
        return shl_s4_tombstone_encode(key, out, err);
    shale_code rc = shl_buf_reserve(out, loc.length, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_s4_local_read(&db->local, loc.file, loc.offset, out->data, loc.length, &out->len, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_s4_record_decode(shl_buf_view(out), &record, err);
    if (rc != SHALE_OK) {
        shl_s4_err_place(db, loc.file, loc.offset, err);
        shl_err_prefix(err, "local copy");
    }
    return rc;
}

static shale_code copy_homeless(struct shl_s4 *db, struct shl_s4_batch *b, shale_error *err)
{
    struct shl_s4_cursor c = {0};
    struct shl_buf record = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref;
    shale_code rc = SHALE_OK;
    while (shl_s4_index_next(&db->journal, &c, &key, &loc, &ref)) {
        SHL_TRY(old_record(db, key, loc, &record, err));
        if (record.len > 0)
            SHL_TRY(shl_s4_batch_add(db, b, shl_buf_view(&record), err));
    }
    SHL_TRY(shl_s4_batch_write(db, b, err));
    SHL_TRY(shl_s4_make_room(db, 1, 0, b->new_files + 1, err));
out:
    shl_buf_free(&record);
    return rc;
}

/* Gives the entries their new places, in the order in which they were copied. */
static void move_homeless(struct shl_s4 *db, const struct shl_s4_batch *b)
{
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref;
    size_t copied = 0;
    while (shl_s4_index_next(&db->journal, &c, &key, &loc, &ref)) {
        bool gone = loc.length == 0;
        /* What this batch made is ours already, and none of it is in the journal yet. */
        if (is_home(db, loc.file))
            continue;
        struct shl_s4_loc now = b->places.items[copied++];
        now.length = gone ? 0 : now.length;
        shl_s4_must_put(&db->journal, key, now);
        if (gone)
            continue;
        env_mutex_lock(&db->mu);
        shl_s4_must_put(&db->map->index, key, now);
        env_mutex_unlock(&db->mu);
    }
    SHL_ASSERT(copied == b->places.count);
}

shale_code shl_s4_rehome(struct shl_s4 *db, shale_error *err)
{
    struct shl_s4_batch b;
    retire_sealed(db);
    if (!db->homeless)
        return SHALE_OK;
    shl_s4_batch_begin(db, &b);
    shale_code rc = copy_homeless(db, &b, err);
    if (rc == SHALE_OK) {
        move_homeless(db, &b);
        settle_retired(db);
        db->homeless = false;
    }
    shl_s4_batch_end(db, &b, rc != SHALE_OK);
    /* On the disk before the notes of the dead go. */
    return rc == SHALE_OK && !db->local.temporary ? shl_s4_sync_files(db, err) : rc;
}
