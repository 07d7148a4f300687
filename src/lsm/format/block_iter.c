/* Walks the entries of one raw block in both directions, rebuilding each key in place.
 *
 * v2 keys depend on the entry before, so going back needs the offsets of the entries of the interval (`back`). They are collected
 * once per interval; a step back then restores only the bytes of the key that the entry left had overwritten. */
#include "lsm/format/block.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/env/env.h"
#include "lsm/format/block_entry.h"

static struct shl_block_tail tail_of(const struct shl_block_iter *it)
{
    return (struct shl_block_tail){.raw = it->raw.data,
                                   .array = it->raw.data + it->entries_end,
                                   .entries_end = it->entries_end,
                                   .count = it->restart_count,
                                   .version = it->version};
}

static shale_code check_offsets(const struct shl_block_tail *t, shale_error *err)
{
    uint32_t last = 0;
    for (uint32_t i = 1; i < t->count; i++) {
        uint32_t offset = shl_block_tail_offset(t, i);
        if (offset <= last || offset >= t->entries_end)
            return shl_fail(err, SHALE_CORRUPTION,
                            "block: offset %" PRIu32 " is %" PRIu32 ", want %" PRIu32 "..%" PRIu32,
                            i, offset, last + 1, t->entries_end - 1);
        last = offset;
    }
    return SHALE_OK;
}

shale_code shl_block_iter_init(struct shl_block_iter *it, struct shl_slice raw, unsigned version,
                               shale_error *err)
{
    it->valid = false;
    it->back.count = 0;
    struct shl_block_tail t;
    struct shl_block_entry first = {.suffix = {0}};
    shale_code rc = shl_block_tail_read(raw, version, &t, err);
    if (rc == SHALE_OK)
        rc = check_offsets(&t, err);
    if (rc == SHALE_OK && version == 1)
        rc = shl_block_entry_at(&t, 0, &first, err);
    if (rc != SHALE_OK)
        return rc;
    it->version = (uint8_t)version;
    it->raw = raw;
    it->entries_end = t.entries_end;
    it->restart_count = t.count;
    it->first_key = first.suffix;
    return SHALE_OK;
}

void shl_block_iter_deinit(struct shl_block_iter *it)
{
    shl_buf_free(&it->key);
    shl_array_free(&it->back);
    *it = (struct shl_block_iter){.valid = false};
}

static void set_row(struct shl_block_iter *it, uint32_t at, const struct shl_block_entry *e)
{
    it->row = (struct shl_row){.key = shl_buf_view(&it->key),
                               .value = e->value,
                               .seq = e->seq,
                               .expire_ts = e->expire_ts,
                               .create_ts = e->create_ts,
                               .flags = e->flags};
    it->entry_start = at;
    it->entry_next = e->next;
    it->shared = e->shared;
    it->valid = true;
}

/* Makes the key prefix[0 .. shared) + suffix and the entry the current one. `key` already begins with the prefix where
 * prefix.data is NULL. */
static shale_code enter(struct shl_block_iter *it, uint32_t at, const struct shl_block_entry *e,
                        struct shl_slice prefix, shale_error *err)
{
    it->valid = false;
    size_t have = prefix.data == NULL ? it->key.len : prefix.len;
    if (e->shared > have)
        return shl_fail(err, SHALE_CORRUPTION,
                        "block: entry at %" PRIu32 " shares %" PRIu32 " bytes of %zu", at,
                        e->shared, have);
    if (prefix.data == NULL) {
        it->key.len = e->shared;
    } else {
        it->key.len = 0;
        shale_code rc = shl_buf_append(&it->key, prefix.data, e->shared, err);
        if (rc != SHALE_OK)
            return rc;
    }
    shale_code rc = shl_buf_append(&it->key, e->suffix.data, e->suffix.len, err);
    if (rc == SHALE_OK)
        set_row(it, at, e);
    return rc;
}

/* To restart point (v1: entry) `index`. */
static shale_code enter_at(struct shl_block_iter *it, uint32_t index, shale_error *err)
{
    struct shl_block_tail t = tail_of(it);
    struct shl_block_entry e;
    it->valid = false;
    it->back.count = 0;
    shale_code rc = shl_block_entry_at(&t, index, &e, err);
    if (rc != SHALE_OK)
        return rc;
    it->restart_index = index;
    return enter(it, shl_block_tail_offset(&t, index), &e, it->first_key, err);
}

shale_code shl_block_iter_first(struct shl_block_iter *it, shale_error *err)
{
    return enter_at(it, 0, err);
}

shale_code shl_block_iter_next(struct shl_block_iter *it, shale_error *err)
{
    SHL_ASSERT(it->valid);
    struct shl_block_tail t = tail_of(it);
    uint32_t at = it->entry_next;
    uint32_t end = shl_block_tail_end(&t, it->restart_index);
    if (at == end) {
        if (it->restart_index + 1 < it->restart_count)
            return enter_at(it, it->restart_index + 1, err);
        it->valid = false;
        return SHALE_OK;
    }
    struct shl_block_entry e;
    it->valid = false;
    it->back.count = 0;
    shale_code rc = shl_block_entry_read(&t, at, end, &e, err);
    return rc != SHALE_OK ? rc : enter(it, at, &e, shl_slice_of(NULL, 0), err);
}

/* v2: to the last entry of interval `index` that begins before `stop`, noting the offsets on the way. An entry must end
 * exactly at `stop`. */
static shale_code enter_before(struct shl_block_iter *it, uint32_t index, uint32_t stop,
                               shale_error *err)
{
    struct shl_block_tail t = tail_of(it);
    shale_code rc = enter_at(it, index, err);
    for (;;) {
        if (rc == SHALE_OK && !shl_array_push(&it->back, it->entry_start))
            rc = shl_nomem(err);
        if (rc != SHALE_OK || it->entry_next == stop)
            break;
        uint32_t at = it->entry_next;
        struct shl_block_entry e;
        rc = shl_block_entry_read(&t, at, stop, &e, err);
        if (rc == SHALE_OK)
            rc = enter(it, at, &e, shl_slice_of(NULL, 0), err);
    }
    if (rc != SHALE_OK) {
        it->valid = false;
        it->back.count = 0;
        return rc;
    }
    it->back_index = it->back.count - 1;
    return SHALE_OK;
}

shale_code shl_block_iter_last(struct shl_block_iter *it, shale_error *err)
{
    uint32_t last = it->restart_count - 1;
    return it->version == 1 ? enter_at(it, last, err)
                            : enter_before(it, last, it->entries_end, err);
}

/* v2: one entry back inside the interval, whose offsets are known. The key of the entry before agrees with the current one in
 * the first `shared` bytes; the rest comes from its own suffix and, where that begins later, from those before it. */
static shale_code step_back(struct shl_block_iter *it, shale_error *err)
{
    struct shl_block_tail t = tail_of(it);
    struct shl_block_entry target;
    size_t index = it->back_index - 1;
    size_t keep = it->shared;
    uint32_t at = it->back.items[index];
    it->valid = false;
    shale_code rc = shl_block_entry_read(&t, at, it->entry_start, &target, err);
    if (rc != SHALE_OK)
        return rc;
    size_t len =
        target.shared + target.suffix.len; /* seen before, when the offsets were collected */
    if (len > it->key.len && (rc = shl_buf_reserve(&it->key, len - it->key.len, err)) != SHALE_OK)
        return rc;
    struct shl_block_entry e = target;
    size_t missing_end = len;
    for (size_t i = index; missing_end > keep; i--) {
        if (e.shared < missing_end) {
            size_t from = e.shared > keep ? e.shared : keep;
            memcpy(it->key.data + from, e.suffix.data + (from - e.shared), missing_end - from);
            missing_end = from;
        }
        if (missing_end <= keep)
            break;
        SHL_ASSERT(i > 0);
        rc = shl_block_entry_read(&t, it->back.items[i - 1], it->back.items[i], &e, err);
        if (rc != SHALE_OK)
            return rc;
    }
    it->key.len = len;
    it->back_index = index;
    set_row(it, at, &target);
    return SHALE_OK;
}

shale_code shl_block_iter_prev(struct shl_block_iter *it, shale_error *err)
{
    SHL_ASSERT(it->valid);
    struct shl_block_tail t = tail_of(it);
    uint32_t index = it->restart_index;
    uint32_t start = shl_block_tail_offset(&t, index);
    if (it->entry_start == start) {
        it->valid = false;
        if (index == 0)
            return SHALE_OK;
        return it->version == 1 ? enter_at(it, index - 1, err)
                                : enter_before(it, index - 1, start, err);
    }
    if (it->back.count == 0)
        return enter_before(it, index, it->entry_start, err);
    return step_back(it, err);
}

shale_code shl_block_iter_seek(struct shl_block_iter *it, struct shl_slice target, shale_error *err)
{
    struct shl_block_tail t = tail_of(it);
    uint32_t index = 0;
    it->valid = false;
    /* Strictly below: newer versions of an equal key may stand before the restart point. */
    shale_code rc = shl_block_last_below(&t, it->first_key, target, false, &index, err);
    if (rc == SHALE_OK)
        rc = enter_at(it, index, err);
    while (rc == SHALE_OK && it->valid && shl_slice_cmp(it->row.key, target) < 0)
        rc = shl_block_iter_next(it, err);
    return rc;
}

shale_code shl_block_iter_seek_back(struct shl_block_iter *it, struct shl_slice target,
                                    shale_error *err)
{
    struct shl_block_tail t = tail_of(it);
    uint32_t index = 0;
    it->valid = false;
    shale_code rc = shl_block_last_below(&t, it->first_key, target, true, &index, err);
    if (rc == SHALE_OK)
        rc = enter_at(it, index, err);
    while (rc == SHALE_OK && it->valid && shl_slice_cmp(it->row.key, target) <= 0)
        rc = shl_block_iter_next(it, err);
    if (rc != SHALE_OK)
        return rc;
    return it->valid ? shl_block_iter_prev(it, err) : shl_block_iter_last(it, err);
}
