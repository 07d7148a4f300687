/* What became of a commit whose answer was lost. It got through if the newest index has one of its places: then it is not made again over what came later. If none is there, either it did
 * not get through, or others have written all of its keys since, or a compaction has moved them; which of these is told by where the keys were before. Where it cannot be told, ours stands:
 * what was flushed is not lost. */
#include "s4/db.h"

#include "base/num.h"

/* A compaction moves all keys, and writes none. So keys that were not written are remembered as well, the oldest ones: if all of them are where they were, none has been made, but for
 * one that had begun before they were written; few could be that young. */
#define WITNESSES_MIN 8
#define WITNESSES_MAX 64

/* ---- where keys of the journal are in the index that the bucket had when they were written */

shale_code shl_s4_remember_base(struct shl_s4 *db, struct shl_slice key, shale_error *err)
{
    struct shl_s4_loc loc;
    if (shl_s4_index_get(&db->journal, key, &loc) ||
        !shl_s4_index_get(&db->map->index, key, &loc)) /* only who has the turn changes it */
        return SHALE_OK;
    return shl_s4_index_put(&db->bases, key, loc, err);
}

void shl_s4_forget_bases(struct shl_s4 *db)
{
    shl_s4_index_free(&db->bases);
    shl_s4_index_init(&db->bases);
    db->tried = false;
}

/* By another index than before. */
static shale_code bases_anew(struct shl_s4 *db, const struct shl_s4_index *newest, shale_error *err)
{
    struct shl_s4_index fresh;
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref;
    shale_code rc = SHALE_OK;
    shl_s4_index_init(&fresh);
    while (rc == SHALE_OK && shl_s4_index_next(&db->journal, &c, &key, &loc, &ref))
        if (shl_s4_index_get(newest, key, &loc))
            rc = shl_s4_index_put(&fresh, key, loc, err);
    if (rc != SHALE_OK) {
        shl_s4_index_free(&fresh);
        return rc;
    }
    shl_s4_forget_bases(db);
    db->bases = fresh;
    return SHALE_OK;
}

/* ---- others wrote the key since */

static bool is_same_place(struct shl_s4_loc a, struct shl_s4_loc b)
{
    return a.file == b.file && a.offset == b.offset;
}

bool shl_s4_is_where_it_was(const struct shl_s4_index *bases, const struct shl_s4_index *newest,
                            struct shl_slice key)
{
    struct shl_s4_loc base, now;
    return shl_s4_index_get(bases, key, &base) && shl_s4_index_get(newest, key, &now) &&
           is_same_place(base, now);
}

bool shl_s4_is_superseded(const struct shl_s4_index *bases, const struct shl_s4_index *newest,
                          struct shl_slice key)
{
    struct shl_s4_loc base, now;
    bool has_base = shl_s4_index_get(bases, key, &base);
    bool has_now = shl_s4_index_get(newest, key, &now);
    return has_base && has_now ? !is_same_place(base, now) : has_base || has_now;
}

shale_code shl_s4_add_witnesses(struct shl_s4 *db, struct shl_s4_index *to, shale_error *err)
{
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc, ignored;
    uint32_t ref;
    shale_code rc = SHALE_OK;
    while (rc == SHALE_OK && to->count < WITNESSES_MAX &&
           shl_s4_index_next(&db->map->index, &c, &key, &loc, &ref))
        if (!shl_s4_index_get(&db->journal, key, &ignored))
            rc = shl_s4_index_put(to, key, loc, err);
    return rc;
}

bool shl_s4_nothing_moved(const struct shl_s4_index *witnesses, uint32_t count,
                          const struct shl_s4_index *newest)
{
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref;
    for (uint32_t i = 0; i < count; i++)
        if (!shl_s4_index_next(witnesses, &c, &key, &loc, &ref) ||
            !shl_s4_is_where_it_was(witnesses, newest, key))
            return false;
    return count >= WITNESSES_MIN;
}

/* ---- the journal */

bool shl_s4_is_later(struct shl_s4_loc a, struct shl_s4_loc b)
{
    return a.file > b.file || (a.file == b.file && a.offset > b.offset);
}

/* Whether the place in the index is one that we gave the key. Writers of generation 1 have no names. */
static bool is_ours(const struct shl_s4 *db, struct shl_s4_loc now, struct shl_s4_loc in_journal)
{
    return is_same_place(now, in_journal) ||
           (db->writer != 0 && shl_s4_writer_of(now.file) == db->writer);
}

/* The last place of ours that a key of the journal has come to in the index: that commit was ours, though its answer was lost, and all writes up to there are in it. The journal may
 * have a later place of that key. */
static bool last_committed(const struct shl_s4 *db, const struct shl_s4_index *newest,
                           struct shl_s4_loc *out)
{
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc, now;
    uint32_t ref;
    bool any = false;
    while (shl_s4_index_next(&db->journal, &c, &key, &loc, &ref)) {
        if (!shl_s4_index_get(newest, key, &now) || !is_ours(db, now, loc) ||
            shl_s4_is_where_it_was(&db->bases, newest, key))
            continue;
        if (!any || shl_s4_is_later(now, *out))
            *out = now;
        any = true;
    }
    return any;
}

static void take_journal(struct shl_s4 *db, struct shl_s4_index *take_rest)
{
    shl_s4_index_free(&db->journal);
    db->journal = *take_rest;
    *take_rest = (struct shl_s4_index){0};
}

/* Takes what is committed out of the journal, so that it is not written again over what others wrote since. */
static shale_code forget_committed(struct shl_s4 *db, struct shl_s4_loc last, shale_error *err)
{
    struct shl_s4_index rest;
    struct shl_s4_loc loc;
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    uint32_t ref;
    shale_code rc = SHALE_OK;
    shl_s4_index_init(&rest);
    while (rc == SHALE_OK && shl_s4_index_next(&db->journal, &c, &key, &loc, &ref))
        if (shl_s4_writer_of(loc.file) != shl_s4_writer_of(last.file) || shl_s4_is_later(loc, last))
            rc = shl_s4_index_put(&rest, key, loc, err);
    if (rc != SHALE_OK) {
        shl_s4_index_free(&rest);
        return rc;
    }
    take_journal(db, &rest);
    for (size_t i = 0; i < db->files.count; i++) {
        struct shl_s4_file *f = &db->files.items[i];
        if (f->id < last.file)
            f->from = f->size;
        else if (f->id == last.file)
            f->from = shl_max_u64(f->from, last.offset + last.length);
    }
    return SHALE_OK;
}

/* What is left of the journal moves into a file of its own: a note of the old ones would bring back what is not wanted. */
static void retire_all(struct shl_s4 *db)
{
    for (size_t i = 0; i < db->files.count; i++)
        if (db->files.items[i].from < db->files.items[i].size)
            db->files.items[i].retired = db->homeless = true;
    shl_s4_close_active(db);
}

static bool any_where_it_was(const struct shl_s4 *db, const struct shl_s4_index *newest)
{
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref;
    while (shl_s4_index_next(&db->journal, &c, &key, &loc, &ref))
        if (shl_s4_is_where_it_was(&db->bases, newest, key))
            return true;
    return false;
}

static shale_code nothing_moved(struct shl_s4 *db, const struct shl_s4_index *newest, bool *out,
                                shale_error *err)
{
    struct shl_s4_index witnesses;
    shl_s4_index_init(&witnesses);
    shale_code rc = shl_s4_add_witnesses(db, &witnesses, err);
    *out = rc == SHALE_OK && shl_s4_nothing_moved(&witnesses, witnesses.count, newest);
    shl_s4_index_free(&witnesses);
    return rc;
}

static shale_code forget_superseded(struct shl_s4 *db, const struct shl_s4_index *newest,
                                    shale_error *err)
{
    struct shl_s4_index rest;
    struct shl_s4_loc loc;
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    uint32_t ref;
    bool sure = false;
    shale_code rc = nothing_moved(db, newest, &sure, err);
    if (rc != SHALE_OK || !sure)
        return rc;
    shl_s4_index_init(&rest);
    while (rc == SHALE_OK && shl_s4_index_next(&db->journal, &c, &key, &loc, &ref))
        if (!shl_s4_is_superseded(&db->bases, newest, key))
            rc = shl_s4_index_put(&rest, key, loc, err);
    if (rc != SHALE_OK) {
        shl_s4_index_free(&rest);
        return rc;
    }
    bool fewer = rest.count < db->journal.count;
    take_journal(db, &rest);
    if (fewer)
        retire_all(db);
    return SHALE_OK;
}

shale_code shl_s4_settle_lost(struct shl_s4 *db, const struct shl_s4_index *newest,
                              shale_error *err)
{
    struct shl_s4_loc last;
    shale_code rc = SHALE_OK;
    if (last_committed(db, newest, &last))
        rc = forget_committed(db, last, err);
    else if (db->tried && !any_where_it_was(db, newest))
        rc = forget_superseded(db, newest, err);
    return rc == SHALE_OK ? bases_anew(db, newest, err) : rc;
}
