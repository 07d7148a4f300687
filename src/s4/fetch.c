/* Records from the local folder or by range requests: neighbours in one, several at once, each checked. */
#include "s4/db.h"

#include "base/assert.h"
#include "base/codec/text.h"
#include "base/num.h"

#include <inttypes.h>

#define RUN_BYTES                                                                                  \
    ((uint64_t)4 << 20) /* a range is not made longer than this, unless one record is */
#define GAP_BYTES                                                                                  \
    ((uint64_t)64 << 10) /* bytes that nobody wants are fetched rather than asked around */
#define PROBE_BYTES                                                                                \
    ((uint64_t)64 << 20) /* the size of an object is asked before so much memory is taken */

/* A range of one file that holds wants[first .. first + count). */
struct run {
    uint64_t file;
    uint64_t offset;
    uint64_t len;
    size_t at; /* in the data */
    size_t first;
    size_t count;
    bool local;
};

struct fetch {
    struct shl_s4 *db;
    struct shl_s4_want *wants;
    size_t count;
    bool local_only;
    uint8_t *data;
    SHL_ARRAY(struct run) runs;
};

static shale_code check_place(const struct shl_s4 *db, struct shl_s4_loc loc, shale_error *err)
{
    uint64_t end;
    if (loc.offset >= SHL_S4_HEADER_BYTES && loc.length >= SHL_S4_OVERHEAD_BYTES &&
        shl_add_u64(loc.offset, loc.length, &end) && end <= INT64_MAX)
        return SHALE_OK;
    shl_fail(err, SHALE_CORRUPTION, "the index has a record of %" PRIu32 " bytes there",
             loc.length);
    shl_s4_err_place(db, loc.file, loc.offset, err);
    return SHALE_CORRUPTION;
}

static bool joins(const struct run *r, struct shl_s4_loc loc)
{
    uint64_t end = r->offset + r->len;
    SHL_ASSERT(loc.file != r->file || loc.offset >= r->offset);
    if (loc.file != r->file || (loc.offset > end && loc.offset - end > GAP_BYTES))
        return false;
    return shl_max_u64(end, loc.offset + loc.length) - r->offset <= RUN_BYTES;
}

static shale_code plan(struct fetch *f, uint64_t *out_bytes, shale_error *err)
{
    *out_bytes = 0;
    for (size_t i = 0; i < f->count; i++) {
        struct shl_s4_loc loc = f->wants[i].loc;
        shale_code rc = check_place(f->db, loc, err);
        if (rc != SHALE_OK)
            return rc;
        struct run *last = f->runs.count > 0 ? &f->runs.items[f->runs.count - 1] : NULL;
        if (last == NULL || !joins(last, loc)) {
            struct run fresh = {.file = loc.file, .offset = loc.offset, .first = i};
            if (!shl_array_push(&f->runs, fresh))
                return shl_nomem(err);
            last = &f->runs.items[f->runs.count - 1];
        }
        last->len = shl_max_u64(last->len, loc.offset + loc.length - last->offset);
        last->count++;
    }
    for (size_t i = 0; i < f->runs.count; i++) {
        f->runs.items[i].at = (size_t)*out_bytes;
        *out_bytes += f->runs.items[i].len;
    }
    return SHALE_OK;
}

/* A wild length in an index must not take the memory of the machine. */
static shale_code probe(struct fetch *f, const struct run *r, shale_error *err)
{
    char key[SHL_S4_KEY_BYTES];
    struct shl_object object;
    uint64_t here;
    shale_code rc;
    if (r->len < PROBE_BYTES ||
        (shl_s4_local_size(&f->db->local, r->file, &here) && here >= r->offset + r->len))
        return SHALE_OK;
    SHL_TRY(shl_s4_file_key(f->db, r->file, key, err));
    SHL_TRY(shl_store_head(f->db->store, key, &object, err));
    if (object.size < r->offset + r->len)
        SHL_TRY(shl_fail(err, SHALE_INVALID_RANGE,
                         "%s has %" PRIu64 " bytes, the index has a record in [%" PRIu64
                         ", %" PRIu64 ")",
                         key, object.size, r->offset, r->offset + r->len));
out:
    return rc;
}

static shale_code get_remote(struct shl_s4 *db, uint64_t file, uint64_t offset, uint8_t *dst,
                             size_t len, shale_error *err)
{
    char key[SHL_S4_KEY_BYTES];
    const struct shl_get_range range = {.offset = offset, .len = len, .dst = dst};
    shale_code rc = shl_s4_file_key(db, file, key, err);
    if (rc == SHALE_OK)
        rc = shl_store_get_ranges(db->store, key, &range, 1, err);
    if (rc == SHALE_NOT_FOUND)
        shl_fail(err, rc, "%s is missing, and the index names it", key);
    return rc;
}

static shale_code read_run(void *ctx, size_t i, shale_error *err)
{
    struct fetch *f = ctx;
    struct run *r = &f->runs.items[i];
    char name[SHL_S4_NAME_BYTES];
    size_t len = (size_t)r->len;
    size_t got;
    shale_code rc =
        shl_s4_local_read(&f->db->local, r->file, r->offset, f->data + r->at, len, &got, err);
    r->local = rc == SHALE_OK && got == len;
    if (r->local || rc == SHALE_NOMEM || (rc != SHALE_OK && f->local_only))
        return rc;
    if (!f->local_only) /* a mirror may be older than the bucket */
        return get_remote(f->db, r->file, r->offset, f->data + r->at, len, err);
    shl_s4_name(r->file, name);
    return shl_fail(err, SHALE_NOT_FOUND, "the local %s is missing, or ends before offset %" PRIu64,
                    name, r->offset + r->len);
}

static shale_code check_record(struct shl_s4_want *w, shale_error *err)
{
    shale_code rc = shl_s4_record_decode(w->whole, &w->record, err);
    if (rc != SHALE_OK)
        return rc;
    if (!shl_slice_eq(w->record.key, w->key))
        return shl_fail(err, SHALE_CORRUPTION,
                        "the record has another key (%zu bytes) than the index (%zu bytes)",
                        w->record.key.len, w->key.len);
    if ((w->record.flags & SHL_S4_TOMBSTONE) != 0)
        return shl_fail(err, SHALE_CORRUPTION, "a deletion, where the index has a value");
    return SHALE_OK;
}

/* A damaged local copy, of which *err tells: the bucket's may be good. Where the bucket cannot be asked for now, that is the error. */
static shale_code heal(struct fetch *f, struct shl_s4_want *w, uint8_t *dst, shale_error *err)
{
    shale_error other;
    if (f->local_only)
        return err->code;
    shale_code rc = get_remote(f->db, w->loc.file, w->loc.offset, dst, w->loc.length, &other);
    if (rc == SHALE_NOT_FOUND || rc == SHALE_INVALID_RANGE ||
        (rc == SHALE_OK && check_record(w, &other) != SHALE_OK))
        return err->code;
    if (rc != SHALE_OK) {
        *err = other;
        return rc;
    }
    shl_log_write(f->db->log, SHL_LOG_WARN,
                  "a local copy is damaged; read from the bucket instead file=%016" PRIx64
                  " offset=%" PRIu64,
                  w->loc.file, w->loc.offset);
    return SHALE_OK;
}

static shale_code check_run(struct fetch *f, const struct run *r, shale_error *err)
{
    for (size_t i = r->first; i < r->first + r->count; i++) {
        struct shl_s4_want *w = &f->wants[i];
        uint8_t *at = f->data + r->at + (size_t)(w->loc.offset - r->offset);
        w->whole = shl_slice_of(at, w->loc.length);
        shale_code rc = check_record(w, err);
        if (rc != SHALE_OK && r->local)
            rc = heal(f, w, at, err);
        if (rc == SHALE_OK)
            continue;
        w->record = (struct shl_s4_record){0};
        if (rc != SHALE_CORRUPTION)
            return rc;
        shl_s4_err_place(f->db, w->loc.file, w->loc.offset, err);
        if (r->local)
            shl_err_prefix(err, "local copy");
        return rc;
    }
    return SHALE_OK;
}

shale_code shl_s4_fetch(struct shl_s4 *db, struct shl_s4_want *wants, size_t count, bool local,
                        struct shl_buf *data, shale_error *err)
{
    struct fetch f = {.db = db, .wants = wants, .count = count, .local_only = local};
    uint64_t bytes;
    shale_code rc;
    SHL_TRY(plan(&f, &bytes, err));
    for (size_t i = 0; i < f.runs.count; i++)
        SHL_TRY(probe(&f, &f.runs.items[i], err));
    data->len = 0;
    SHL_TRY(shl_buf_reserve(data, (size_t)bytes + 1, err));
    f.data = data->data;
    SHL_TRY(shl_s4_each(db, f.runs.count, db->settings.requests_max, read_run, &f, err));
    data->len = (size_t)bytes;
    for (size_t i = 0; i < f.runs.count; i++)
        SHL_TRY(check_run(&f, &f.runs.items[i], err));
out:
    shl_array_free(&f.runs);
    return rc;
}

bool shl_s4_look_again(struct shl_s4 *db, const struct shl_s4_map *seen, shale_code *io_code,
                       shale_error *err)
{
    shale_error failed = {0};
    shale_code rc = SHALE_OK;
    if (*io_code != SHALE_NOT_FOUND && *io_code != SHALE_INVALID_RANGE)
        return false;
    shl_s4_take_turn(db);
    if (db->map == seen)
        rc = shl_s4_reload(db, &failed);
    bool newer = db->map != seen;
    shl_s4_end_turn(db);
    if (rc != SHALE_OK)
        *err = failed;
    else if (!newer) /* the newest index names what is not there */
        err->code = rc = SHALE_CORRUPTION;
    *io_code = rc;
    return newer && rc == SHALE_OK;
}

shale_code shl_s4_value(const struct shl_s4_record *r, struct shl_buf *hold, struct shl_slice *out,
                        shale_error *err)
{
    hold->len = 0;
    if ((r->flags & SHL_S4_RAW) != 0) {
        *out = r->stored;
    } else {
        shale_code rc = shl_s4_value_decode(r, hold, err);
        if (rc != SHALE_OK)
            return rc;
        *out = shl_buf_view(hold);
    }
    if ((r->flags & SHL_S4_BYTES) == 0 && !shl_utf8_valid(*out))
        return shl_fail(err, SHALE_CORRUPTION, "the value is text, but not UTF-8");
    return SHALE_OK;
}
