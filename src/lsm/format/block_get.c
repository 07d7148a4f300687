/* Point search in a block as stored, without rebuilding keys.
 *
 * While walking, `matched` = number of bytes of the wanted key that the entry before agrees with; that entry is not greater.
 * If the next entry shares more than that with it, it differs from the wanted key at the same byte: still smaller, skipped
 * unread. Else only its suffix is compared. At restart points `shared` is 0 though more bytes agree; comparing from 0 is right
 * there too. */
#include "lsm/format/block.h"

#include <inttypes.h>

#include "base/assert.h"
#include "lsm/format/block_entry.h"

struct search {
    struct shl_block_tail tail;
    struct shl_slice key;
    struct shl_slice prefix; /* v1: first key of the block; v2: empty */
};

static void take(struct shl_row *row, struct shl_slice key, const struct shl_block_entry *e)
{
    *row = (struct shl_row){.key = key,
                            .value = e->value,
                            .seq = e->seq,
                            .expire_ts = e->expire_ts,
                            .create_ts = e->create_ts,
                            .flags = e->flags};
}

static shale_code get_v2(const struct search *s, uint64_t max_seq, struct shl_row *row, bool *found,
                         bool *past, shale_error *err)
{
    uint32_t index = 0;
    shale_code rc = shl_block_last_below(&s->tail, s->prefix, s->key, false, &index, err);
    if (rc != SHALE_OK)
        return rc;
    uint32_t at = shl_block_tail_offset(&s->tail, index);
    uint32_t end = shl_block_tail_end(&s->tail, index);
    size_t matched = 0;
    size_t last_len = 0; /* of the key before; 0 at restart points, which share nothing */
    for (;;) {
        struct shl_block_entry e;
        if ((rc = shl_block_entry_read(&s->tail, at, end, &e, err)) != SHALE_OK)
            return rc;
        if (e.shared > last_len)
            return shl_fail(err, SHALE_CORRUPTION,
                            "block: entry at %" PRIu32 " shares %" PRIu32 " bytes of %zu", at,
                            e.shared, last_len);
        last_len = e.shared + e.suffix.len;
        if (e.shared <= matched) {
            int c = shl_block_compare_suffix(e.suffix, s->key, e.shared, &matched);
            *past = c > 0;
            if (c > 0)
                return SHALE_OK;
            if (c == 0 && e.seq <= max_seq) {
                take(row, s->key, &e);
                *found = true;
                return SHALE_OK;
            }
        }
        at = e.next;
        if (at < end)
            continue;
        if (++index == s->tail.count)
            return SHALE_OK;
        /* The restart array is read as it is walked, so its order is checked here: at == end, and the next must be above. */
        end = shl_block_tail_end(&s->tail, index);
        last_len = 0;
    }
}

static shale_code get_v1(const struct search *s, uint64_t max_seq, struct shl_row *row, bool *found,
                         bool *past, shale_error *err)
{
    uint32_t index = 0;
    shale_code rc = shl_block_last_below(&s->tail, s->prefix, s->key, false, &index, err);
    for (; rc == SHALE_OK && index < s->tail.count; index++) {
        int c = 0;
        struct shl_block_entry e;
        rc = shl_block_compare_at(&s->tail, s->prefix, index, s->key, &c, &e, err);
        if (rc != SHALE_OK)
            break;
        *past = c > 0;
        if (c > 0)
            break;
        if (c < 0)
            continue;
        if (e.seq <= max_seq) {
            take(row, s->key, &e);
            *found = true;
            break;
        }
    }
    return rc;
}

shale_code shl_block_get(struct shl_slice raw, unsigned version, struct shl_slice key,
                         uint64_t max_seq, struct shl_row *row, bool *found, bool *past,
                         shale_error *err)
{
    struct search s = {.key = key};
    *found = false;
    *past = false;
    shale_code rc = shl_block_tail_read(raw, version, &s.tail, err);
    if (rc != SHALE_OK)
        return rc;
    if (version == 2)
        return get_v2(&s, max_seq, row, found, past, err);
    struct shl_block_entry first;
    rc = shl_block_entry_at(&s.tail, 0, &first, err);
    if (rc != SHALE_OK)
        return rc;
    s.prefix = first.suffix;
    return get_v1(&s, max_seq, row, found, past, err);
}
