/* Rows of one SST in either direction, cut to a key range. performance.md 5.
 *
 * Neighbouring blocks come with one request, the window (sst_window.h); a block that is neither compressed
 * nor transformed is read where it lies in the window. Version 2 blocks are walked forward by code of their own, without a call
 * per entry; the iterator does the rest: version 1, backward, and finding where to start. */
#include "lsm/sst/sst_window.h"

#include "base/assert.h"
#include "base/codec/varint.h"
#include "lsm/format/block.h"
#include "lsm/format/block_entry.h"

#include <inttypes.h>

#define ENTRY_META_BYTES 9 /* seq and flags */
#define COPY_BYTES       16
#define FLAGS_KNOWN      (SHL_ROW_TOMBSTONE | SHL_ROW_HAS_EXPIRE | SHL_ROW_HAS_CREATE | SHL_ROW_MERGE)
#define NO_BLOCK         SIZE_MAX

struct sst_source {
    struct shl_source base;
    struct shl_sst *sst;       /* owned reference */
    struct shl_sst_meta *meta; /* owned reference; NULL before the first seek */
    struct shl_sst_scan how;
    bool begins_at_lower; /* first_block is where *how.lower is looked for */
    struct shl_windows
        windows; /* owned; first_block and last_block: all that can hold rows of the range */

    /* the block the current row is in */
    size_t block;             /* NO_BLOCK: none */
    struct shl_block *pinned; /* owned reference, if it comes from the cache */
    struct shl_slice raw;     /* of pinned, window or decoded */
    bool cut;                 /* rows past the far end of the range may follow in this block */

    struct shl_buf scratch, decoded; /* owned */
    struct shl_buf upto;             /* owned: what no key of the block is above */

    /* version 2, forward */
    const uint8_t *at, *end;  /* next entry, end of the entries */
    struct shl_buf key;       /* owned: of the current row */
    struct shl_block_iter it; /* owned; all others */
};

static shale_code name_block(const struct sst_source *s, shale_code rc, shale_error *err)
{
    const struct shl_sst_meta *m = s->meta;
    shl_err_prefix(err, "sst %s: block %zu at %" PRIu64, s->sst->key, s->block,
                   m->offsets[s->block]);
    return rc;
}

/* ---------------------------------------------------------------- blocks */

static shale_code decode_block(struct sst_source *s, struct shl_slice stored, shale_error *err)
{
    s->decoded.len = 0;
    return shl_blob_decode(&s->sst->codec, stored, SHL_BLOB_RAW_MAX, &s->scratch, &s->decoded,
                           &s->raw, err);
}

/* Block i out of the window, which is fetched if need be. Damaged bytes are fetched once more. */
static shale_code read_block(struct sst_source *s, size_t i, shale_error *err)
{
    const struct shl_sst_meta *m = s->meta;
    uint8_t *stored;
    shale_code rc = shl_windows_get(&s->windows, i, &stored, err);
    if (rc != SHALE_OK)
        return rc;
    rc = decode_block(s, shl_slice_of(stored, m->lens[i]), err);
    if (rc == SHALE_CORRUPTION) {
        rc = shl_sst_fetch(s->sst, m->offsets[i], m->lens[i], stored, err);
        if (rc != SHALE_OK) {
            shl_windows_spoil(&s->windows);
            return rc;
        }
        rc = decode_block(s, shl_slice_of(stored, m->lens[i]), err);
    }
    if (rc != SHALE_OK)
        return name_block(s, rc, err);
    if (s->how.fill_cache)
        shl_sst_offer_block(s->sst, s->meta, i, s->raw);
    return SHALE_OK;
}

/* Whether rows behind the range's end (in the scan's direction) can be in block i. Blocks before the last one of the range end at or
 * below a separator that is inside. */
static bool needs_cut(const struct sst_source *s, size_t i)
{
    const struct shl_key_range *r = &s->how.range;
    if (s->base.reverse)
        return i == s->windows.first_block && r->start.len > 0;
    const struct shl_sst_info *info = &s->sst->desc->info;
    return i == s->windows.last_block && !r->end_unbounded &&
           !(info->has_last_entry && shl_key_range_contains(r, info->last_entry));
}

static void leave_block(struct sst_source *s)
{
    shl_block_unref(s->pinned);
    s->pinned = NULL;
    s->block = NO_BLOCK;
    s->it.valid = false;
    s->at = s->end = NULL;
}

/* Makes block i the current one: raw bytes at hand, walk or iterator before its first entry. */
static shale_code enter_block(struct sst_source *s, size_t i, shale_error *err)
{
    shale_code rc = SHALE_OK;
    leave_block(s);
    s->block = i;
    s->cut = needs_cut(s, i);
    if (s->how.use_cache)
        s->pinned = shl_sst_cached_block(s->sst, s->meta, i);
    if (s->pinned != NULL)
        s->raw = shl_block_raw(s->pinned);
    else
        rc = read_block(s, i, err);
    if (rc != SHALE_OK) {
        s->block = NO_BLOCK;
        return rc;
    }
    shl_windows_entered(&s->windows, i);
    s->base.near_end = s->windows.reaches_end && s->windows.ahead > 0;
    return SHALE_OK;
}

/* ---------------------------------------------------------------- version 2, forward */

static bool walks(const struct sst_source *s)
{
    return s->sst->version == 2 && !s->base.reverse;
}

static shale_code walk_start(struct sst_source *s, shale_error *err)
{
    struct shl_block_tail t;
    shale_code rc = shl_block_tail_read(s->raw, 2, &t, err);
    if (rc != SHALE_OK)
        return name_block(s, rc, err);
    s->at = s->raw.data;
    s->end = s->raw.data + t.entries_end;
    s->key.len = 0;
    return SHALE_OK;
}

/* Says what is wrong with the entry at s->at. */
static shale_code walk_failed(const struct sst_source *s, shale_error *err)
{
    struct shl_block_tail t;
    struct shl_block_entry e;
    shale_code rc = shl_block_tail_read(s->raw, 2, &t, err);
    uint32_t at = (uint32_t)(s->at - s->raw.data);
    if (rc == SHALE_OK)
        rc = shl_block_entry_read(&t, at, t.entries_end, &e, err);
    if (rc == SHALE_OK)
        rc = shl_fail(err, SHALE_CORRUPTION,
                      "block: entry at %" PRIu32 " shares %" PRIu32 " bytes of %zu", at, e.shared,
                      s->key.len);
    return name_block(s, rc, err);
}

/* The three lengths; NULL if they are no good. */
static inline const uint8_t *walk_lens(const uint8_t *p, const uint8_t *end, uint32_t *shared,
                                       uint32_t *unshared, uint32_t *value_len)
{
    if (end - p >= 3 && ((p[0] | p[1] | p[2]) & 0x80) == 0) {
        *shared = p[0];
        *unshared = p[1];
        *value_len = p[2];
        return p + 3;
    }
    p = shl_varint32_get(p, end, shared);
    p = p == NULL ? NULL : shl_varint32_get(p, end, unshared);
    return p == NULL ? NULL : shl_varint32_get(p, end, value_len);
}

/* Flags and timestamps at p, behind the seq; NULL if they are no good. */
static inline const uint8_t *walk_times(const uint8_t *p, const uint8_t *end, uint32_t value_len,
                                        struct shl_row *row)
{
    uint8_t flags = *p++;
    const uint8_t both = SHL_ROW_TOMBSTONE | SHL_ROW_MERGE;
    if ((flags & ~(unsigned)FLAGS_KNOWN) != 0 || (flags & both) == both ||
        ((flags & SHL_ROW_TOMBSTONE) && value_len > 0))
        return NULL;
    row->flags = flags;
    row->expire_ts = 0;
    row->create_ts = 0;
    if (flags & SHL_ROW_HAS_EXPIRE) {
        if (end - p < 8)
            return NULL;
        row->expire_ts = (int64_t)shl_load_u64be(p);
        p += 8;
    }
    if (flags & SHL_ROW_HAS_CREATE) {
        if (end - p < 8)
            return NULL;
        row->create_ts = (int64_t)shl_load_u64be(p);
        p += 8;
    }
    return p;
}

/* The entry at s->at becomes the row. Only the suffix of the key is copied. */
static shale_code walk_entry(struct sst_source *s, shale_error *err)
{
    uint32_t shared, unshared, value_len;
    struct shl_row *row = &s->base.row;
    const uint8_t *end = s->end;
    const uint8_t *p = walk_lens(s->at, end, &shared, &unshared, &value_len);
    if (p == NULL || shared > s->key.len ||
        (uint64_t)unshared + value_len + ENTRY_META_BYTES > (uint64_t)(end - p))
        return walk_failed(s, err);

    size_t key_len = (size_t)shared + unshared;
    if (key_len + COPY_BYTES > s->key.cap) {
        shale_code rc = shl_buf_reserve(&s->key, key_len + COPY_BYTES, err);
        if (rc != SHALE_OK)
            return rc;
    }
    if (unshared <= COPY_BYTES && end - p >= COPY_BYTES)
        memcpy(s->key.data + shared, p, COPY_BYTES); /* of known length: no call */
    else
        memcpy(s->key.data + shared, p, unshared);
    s->key.len = key_len;
    p += unshared;
    row->key = shl_slice_of(s->key.data, key_len);
    row->value = shl_slice_of(p, value_len);
    p += value_len;
    row->seq = shl_load_u64be(p);
    p = walk_times(p + sizeof(uint64_t), end, value_len, row);
    if (p == NULL)
        return walk_failed(s, err);
    s->at = p;
    return SHALE_OK;
}

/* ---------------------------------------------------------------- the range */

/* Past the end of the range in the direction of the scan. */
static bool row_is_past(const struct sst_source *s, struct shl_slice key)
{
    const struct shl_key_range *r = &s->how.range;
    if (s->base.reverse)
        return shl_slice_cmp(key, r->start) < 0;
    if (r->end_unbounded)
        return false;
    int c = shl_slice_cmp(key, r->end);
    return r->end_inclusive ? c > 0 : c >= 0;
}

static shale_code accept_row(struct sst_source *s)
{
    s->base.valid = !(s->cut && row_is_past(s, s->base.row.key));
    return SHALE_OK;
}

/* ---------------------------------------------------------------- moving on */

/* To the block after the current one in the scan's direction; *more false at the end of the range. */
static shale_code enter_next_block(struct sst_source *s, bool *more, shale_error *err)
{
    *more = s->block != (s->base.reverse ? s->windows.first_block : s->windows.last_block);
    if (!*more)
        return SHALE_OK;
    return enter_block(s, s->base.reverse ? s->block - 1 : s->block + 1, err);
}

static shale_code walk_next(struct sst_source *s, shale_error *err)
{
    shale_code rc;
    while (s->at == s->end) {
        bool more;
        rc = enter_next_block(s, &more, err);
        if (rc != SHALE_OK || !more)
            return rc;
        rc = walk_start(s, err);
        if (rc != SHALE_OK)
            return rc;
    }
    s->base.begins_block = s->at == s->raw.data;
    rc = walk_entry(s, err);
    return rc != SHALE_OK ? rc : accept_row(s);
}

/* To the first entry of the current block in the scan's direction. */
static shale_code iter_first(struct sst_source *s, shale_error *err)
{
    shale_code rc = shl_block_iter_init(&s->it, s->raw, s->sst->version, err);
    if (rc == SHALE_OK)
        rc = s->base.reverse ? shl_block_iter_last(&s->it, err) : shl_block_iter_first(&s->it, err);
    return rc == SHALE_OK ? rc : name_block(s, rc, err);
}

/* The iterator was moved in the current block; if it ran out, on to the next blocks. */
static shale_code iter_settle(struct sst_source *s, shale_error *err)
{
    while (!s->it.valid) {
        bool more;
        shale_code rc = enter_next_block(s, &more, err);
        if (rc != SHALE_OK || !more)
            return rc;
        rc = iter_first(s, err);
        if (rc != SHALE_OK)
            return rc;
    }
    s->base.row = s->it.row;
    return accept_row(s);
}

static shale_code iter_next(struct sst_source *s, shale_error *err)
{
    shale_code rc =
        s->base.reverse ? shl_block_iter_prev(&s->it, err) : shl_block_iter_next(&s->it, err);
    return rc == SHALE_OK ? iter_settle(s, err) : name_block(s, rc, err);
}

static shale_code source_next(struct shl_source *base, shale_error *err)
{
    struct sst_source *s = (struct sst_source *)base;
    SHL_ASSERT(base->valid);
    base->valid = false;
    return walks(s) ? walk_next(s, err) : iter_next(s, err);
}

/* ---------------------------------------------------------------- whole blocks */

static bool source_block(struct shl_source *base, struct shl_stored_block *out)
{
    struct sst_source *s = (struct sst_source *)base;
    const struct shl_sst_meta *m = s->meta;
    const struct shl_sst_info *info = &s->sst->desc->info;
    shale_error ignored;
    uint8_t *stored;
    if (s->pinned != NULL || s->cut)
        return false;
    bool last = s->block + 1 == m->block_count;
    if ((last && !info->has_last_entry) ||
        shl_windows_get(&s->windows, s->block, &stored, &ignored) != SHALE_OK)
        return false;
    if (last ? shl_buf_set(&s->upto, info->last_entry, &ignored) != SHALE_OK
             : shl_sst_meta_separator(m, s->block + 1, &s->upto, &ignored) != SHALE_OK)
        return false;
    *out = (struct shl_stored_block){.stored = shl_slice_of(stored, m->lens[s->block]),
                                     .raw = s->raw,
                                     .codec = &s->sst->codec,
                                     .version = s->sst->version,
                                     .upto = shl_buf_view(&s->upto),
                                     .ends_file = last};
    return true;
}

static shale_code source_pass_block(struct shl_source *base, shale_error *err)
{
    struct sst_source *s = (struct sst_source *)base;
    SHL_ASSERT(base->valid && walks(s));
    base->valid = false;
    s->at = s->end;
    return walk_next(s, err);
}

/* ---------------------------------------------------------------- seeking */

/* Loads the meta and finds the blocks of the range. */
static shale_code prepare(struct sst_source *s, shale_error *err)
{
    if (s->meta != NULL)
        return SHALE_OK;
    shale_code rc = s->how.passes_by ? shl_sst_hold_index_once(s->sst, &s->meta, err)
                                     : shl_sst_hold_index(s->sst, &s->meta, err);
    if (rc != SHALE_OK)
        return rc;
    const struct shl_sst_meta *m = s->meta;
    const struct shl_key_range *r = &s->how.range;
    s->windows.meta = s->meta;
    if (m->block_count == 0)
        return SHALE_OK;
    /* The narrower ones: a search costs more than to compare them. */
    const struct shl_slice *upper = s->how.upper;
    s->begins_at_lower = s->how.lower != NULL && shl_slice_cmp(*s->how.lower, r->start) >= 0;
    struct shl_slice from = s->begins_at_lower ? *s->how.lower : r->start;
    s->windows.first_block = from.len == 0 ? 0 : shl_sst_meta_seek(m, from);
    s->windows.last_block = m->block_count - 1;
    if (upper != NULL && (r->end_unbounded || shl_slice_cmp(*upper, r->end) < 0))
        s->windows.last_block = shl_sst_meta_seek_last(m, *upper);
    else if (!r->end_unbounded)
        s->windows.last_block =
            r->end_inclusive ? shl_sst_meta_seek_last(m, r->end) : shl_sst_meta_seek(m, r->end);
    return SHALE_OK;
}

/* The iterator's row becomes the first of the walk. */
static shale_code walk_from_iter(struct sst_source *s, shale_error *err)
{
    shale_code rc = walk_start(s, err);
    if (rc != SHALE_OK)
        return rc;
    if (!s->it.valid) {
        s->at = s->end;
        return walk_next(s, err);
    }
    rc = shl_buf_set(&s->key, s->it.row.key, err);
    if (rc != SHALE_OK)
        return rc;
    s->at = s->raw.data + s->it.entry_next;
    s->base.begins_block = s->it.entry_start == 0;
    s->base.row = s->it.row;
    s->base.row.key = shl_buf_view(&s->key);
    return accept_row(s);
}

/* target NULL: from the first row of the file. */
static shale_code seek_forward(struct sst_source *s, const struct shl_slice *target,
                               shale_error *err)
{
    bool to_lower = target != NULL && s->begins_at_lower && target->data == s->how.lower->data &&
                    target->len == s->how.lower->len;
    size_t i =
        target == NULL || to_lower ? s->windows.first_block : shl_sst_meta_seek(s->meta, *target);
    if (i > s->windows.last_block)
        return SHALE_OK;
    shale_code rc = enter_block(s, i, err);
    if (rc != SHALE_OK)
        return rc;
    if (target == NULL && walks(s)) {
        rc = walk_start(s, err);
        return rc != SHALE_OK ? rc : walk_next(s, err);
    }
    rc = shl_block_iter_init(&s->it, s->raw, s->sst->version, err);
    if (rc == SHALE_OK)
        rc = target == NULL ? shl_block_iter_first(&s->it, err)
                            : shl_block_iter_seek(&s->it, *target, err);
    if (rc != SHALE_OK)
        return name_block(s, rc, err);
    return walks(s) ? walk_from_iter(s, err) : iter_settle(s, err);
}

/* target NULL: from the last row of the file. exclusive: rows of the target itself are passed by. */
static shale_code seek_reverse(struct sst_source *s, const struct shl_slice *target, bool exclusive,
                               shale_error *err)
{
    size_t i = s->windows.last_block;
    if (target != NULL)
        i = exclusive ? shl_sst_meta_seek(s->meta, *target)
                      : shl_sst_meta_seek_last(s->meta, *target);
    if (i < s->windows.first_block)
        return SHALE_OK;
    shale_code rc = enter_block(s, i, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_block_iter_init(&s->it, s->raw, s->sst->version, err);
    if (rc == SHALE_OK)
        rc = target == NULL ? shl_block_iter_last(&s->it, err)
                            : shl_block_iter_seek_back(&s->it, *target, err);
    if (rc != SHALE_OK)
        return name_block(s, rc, err);
    rc = iter_settle(s, err);
    while (rc == SHALE_OK && exclusive && s->base.valid && shl_slice_eq(s->base.row.key, *target))
        rc = source_next(&s->base, err);
    return rc;
}

static shale_code source_seek(struct shl_source *base, const struct shl_slice *target,
                              shale_error *err)
{
    struct sst_source *s = (struct sst_source *)base;
    const struct shl_key_range *r = &s->how.range;
    base->valid = false;
    leave_block(s);
    shl_windows_reset(&s->windows);
    base->near_end = false;
    shale_code rc = prepare(s, err);
    if (rc != SHALE_OK || s->meta->block_count == 0)
        return rc;
    if (!base->reverse) {
        if (r->start.len > 0 && (target == NULL || shl_slice_cmp(*target, r->start) < 0))
            target = &r->start;
        return seek_forward(s, target, err);
    }
    bool from_end = !r->end_unbounded && (target == NULL || shl_slice_cmp(*target, r->end) >= 0);
    return seek_reverse(s, from_end ? &r->end : target, from_end && !r->end_inclusive, err);
}

static void source_close(struct shl_source *base)
{
    struct sst_source *s = (struct sst_source *)base;
    leave_block(s);
    shl_block_iter_deinit(&s->it);
    shl_windows_deinit(&s->windows);
    shl_buf_free(&s->scratch);
    shl_buf_free(&s->decoded);
    shl_buf_free(&s->upto);
    shl_buf_free(&s->key);
    if (s->how.passes_by)
        shl_sst_pass_index(s->sst, s->meta);
    else
        shl_sst_release_meta(s->meta);
    shl_sst_unref(s->sst);
    env_free(s);
}

static const struct shl_source_ops sst_source_ops = {.seek = source_seek,
                                                     .next = source_next,
                                                     .close = source_close,
                                                     .block = source_block,
                                                     .pass_block = source_pass_block};

void shl_sst_source_pace(const struct shl_source *base, size_t *window_bytes, unsigned *ahead)
{
    const struct sst_source *s = (const struct sst_source *)base;
    SHL_ASSERT(base->ops == &sst_source_ops);
    *window_bytes = s->windows.next_bytes;
    *ahead = s->windows.ahead;
}

shale_code shl_sst_source_new(struct shl_sst *t, const struct shl_sst_scan *how,
                              struct shl_source **out, shale_error *err)
{
    SHL_ASSERT(how->fanout == NULL || how->budget != NULL);
    struct sst_source *s = env_calloc(1, sizeof *s);
    if (s == NULL)
        return shl_nomem(err);
    s->base.ops = &sst_source_ops;
    s->base.reverse = how->reverse;
    s->sst = shl_sst_ref(t);
    s->how = *how;
    s->windows.sst = t;
    s->windows.how = &s->how;
    s->block = NO_BLOCK;
    *out = &s->base;
    return SHALE_OK;
}
