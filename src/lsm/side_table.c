#include "lsm/side_table.h"

#include "base/assert.h"
#include "base/num.h"
#include "lsm/format/block_entry.h"

#define HEAD_BYTES  4
#define START_BYTES (SHL_BLOCK_PREFIX_MAX + HEAD_BYTES)

/* The first bytes of the key that the walk has come to; the rest of it does not matter here. */
struct key_start {
    uint8_t bytes[START_BYTES];
    size_t len; /* of the whole key */
};

static uint32_t *heads_of(struct shl_block *b)
{
    return (uint32_t *)(void *)(b + 1);
}

static uint16_t *offsets_of(struct shl_block *b, size_t count)
{
    return (uint16_t *)(void *)(heads_of(b) + count);
}

/* False if the entry shares more than there is. */
static bool key_start_apply(struct key_start *k, const struct shl_block_entry *e)
{
    if (e->shared > k->len)
        return false;
    k->len = (size_t)e->shared + e->suffix.len;
    if (e->shared < START_BYTES && e->suffix.len > 0)
        memcpy(k->bytes + e->shared, e->suffix.data,
               shl_min_size(e->suffix.len, START_BYTES - e->shared));
    return true;
}

static struct shl_slice key_start_view(const struct key_start *k)
{
    return shl_slice_of(k->bytes, shl_min_size(k->len, START_BYTES));
}

/* Up to HEAD_BYTES bytes behind `skip`, zeros after the end. */
static uint32_t head_of(struct shl_slice key, size_t skip)
{
    uint8_t bytes[HEAD_BYTES] = {0};
    if (key.len >= skip + HEAD_BYTES)
        return shl_load_u32be(key.data + skip);
    if (key.len > skip)
        memcpy(bytes, key.data + skip, key.len - skip);
    return shl_load_u32be(bytes);
}

/* First walk: checks all entries, counts them, finds the prefix that all keys share. */
static bool measure(const struct shl_block_tail *t, size_t count_max, size_t *count,
                    struct key_start *first, size_t *prefix_len)
{
    shale_error err; /* what is wrong is said by the search of the stored form */
    struct key_start key = {.len = 0};
    *count = 0;
    for (uint32_t at = 0; at < t->entries_end;) {
        struct shl_block_entry e;
        if (at > UINT16_MAX || *count == count_max ||
            shl_block_entry_read(t, at, t->entries_end, &e, &err) != SHALE_OK ||
            !key_start_apply(&key, &e))
            return false;
        if (*count == 0) {
            *first = key;
            *prefix_len = shl_min_size(key.len, START_BYTES);
        }
        if (e.shared < *prefix_len) {
            size_t same = shl_common_prefix(key_start_view(first), key_start_view(&key));
            *prefix_len = shl_min_size(*prefix_len, same);
        }
        (*count)++;
        at = e.next;
    }
    return *prefix_len <= SHL_BLOCK_PREFIX_MAX;
}

/* Every restart must be where an entry begins that shares nothing, or the search of the stored form would see another block. */
static bool restarts_fit(const struct shl_block_tail *t, const uint16_t *offsets, size_t count)
{
    size_t i = 0;
    for (uint32_t r = 0; r < t->count; r++) {
        while (i < count && offsets[i] < shl_block_tail_offset(t, r))
            i++;
        if (i == count || offsets[i] != shl_block_tail_offset(t, r) || t->raw[offsets[i]] != 0)
            return false;
    }
    return true;
}

bool shl_side_table_build(struct shl_block *b)
{
    SHL_ASSERT(b->version == 2);
    shale_error err;
    struct shl_block_tail t;
    struct key_start key = {.len = 0};
    size_t count = 0;
    size_t prefix_len = 0;
    size_t room = b->raw_offset - sizeof *b;
    size_t count_max = shl_min_size(room / (sizeof(uint32_t) + sizeof(uint16_t)), UINT16_MAX);
    if (shl_block_tail_read(shl_block_raw(b), 2, &t, &err) != SHALE_OK ||
        !measure(&t, count_max, &count, &key, &prefix_len) || count == 0)
        return false;
    memcpy(b->prefix, key.bytes, prefix_len);

    uint32_t *heads = heads_of(b);
    uint16_t *offsets = offsets_of(b, count);
    uint32_t at = 0;
    key.len = 0;
    for (size_t i = 0; i < count; i++) {
        struct shl_block_entry e;
        if (shl_block_entry_read(&t, at, t.entries_end, &e, &err) != SHALE_OK ||
            !key_start_apply(&key, &e))
            return false;
        heads[i] = head_of(key_start_view(&key), prefix_len);
        offsets[i] = (uint16_t)at;
        if (i > 0 && heads[i] < heads[i - 1])
            return false; /* not sorted */
        at = e.next;
    }
    b->prefix_len = (uint8_t)prefix_len;
    b->entry_count = (uint16_t)count;
    return restarts_fit(&t, offsets, count);
}

/* The number of heads below `head`. */
static size_t lower_bound(const uint32_t *heads, size_t count, uint32_t head)
{
    const uint32_t *base = heads;
    while (count > 1) {
        size_t half = count / 2;
        base += base[half - 1] < head ? half : 0;
        count -= half;
    }
    return (size_t)(base - heads) + (count == 1 && *base < head);
}

/* Where `key` lies against keys that all begin with the block's prefix: <0 before all, >0 behind all, 0 it has the prefix. */
static int compare_prefix(const struct shl_block *b, struct shl_slice key)
{
    size_t n = shl_min_size(key.len, b->prefix_len);
    int c = n == 0 ? 0 : memcmp(key.data, b->prefix, n);
    return c != 0 ? c : key.len < b->prefix_len ? -1 : 0;
}

static void row_of(const struct shl_block_entry *e, struct shl_slice key, struct shl_row *row)
{
    *row = (struct shl_row){.key = key,
                            .value = e->value,
                            .seq = e->seq,
                            .expire_ts = e->expire_ts,
                            .create_ts = e->create_ts,
                            .flags = e->flags};
}

enum shl_side_answer shl_side_table_get(const struct shl_block *b, struct shl_slice key,
                                        uint64_t max_seq, struct shl_row *row)
{
    int side = compare_prefix(b, key);
    if (side != 0)
        return side < 0 ? SHL_SIDE_PAST : SHL_SIDE_AFTER;
    size_t count = b->entry_count;
    const uint32_t *heads = (const uint32_t *)(const void *)(b + 1);
    const uint16_t *offsets = (const uint16_t *)(const void *)(heads + count);
    uint32_t head = head_of(key, b->prefix_len);
    size_t i = lower_bound(heads, count, head);

    /* The build has read every entry, so the tail (another cache line) need not be: entries end before the raw block does. */
    struct shl_slice raw = shl_block_raw(b);
    struct shl_block_tail t = {
        .raw = raw.data, .entries_end = b->raw_len, .count = 1, .version = 2};
    /* Bytes of `key` that the key before entry i begins with; that key is smaller. The first entry with this head shares no more than
     * prefix and head with the one before, or both had this head. Nor more than key.len: else its head would be `key` and zeros,
     * and the one before, which is not greater, would have the same. So what it shares are bytes of `key` too. */
    size_t matched = b->prefix_len + (size_t)HEAD_BYTES;
    for (; i < count && heads[i] == head; i++) {
        struct shl_block_entry e;
        shale_error err;
        if (shl_block_entry_read(&t, offsets[i], t.entries_end, &e, &err) != SHALE_OK)
            SHL_NEVER();
        if (e.shared > matched)
            continue; /* differs from `key` where the key before did */
        SHL_ASSERT(e.shared <= key.len);
        struct shl_slice rest = shl_slice_of(key.data + e.shared, key.len - e.shared);
        size_t same = shl_common_prefix(e.suffix, rest);
        matched = e.shared + same;
        if (same == e.suffix.len && same == rest.len) {
            if (e.seq <= max_seq) {
                row_of(&e, key, row);
                return SHL_SIDE_FOUND;
            }
        } else if (same == rest.len ||
                   (same < e.suffix.len && e.suffix.data[same] > rest.data[same])) {
            return SHL_SIDE_PAST;
        }
    }
    return i < count ? SHL_SIDE_PAST : SHL_SIDE_AFTER;
}
