#include "lsm/sst/side_table.h"

#include "base/assert.h"
#include "base/num.h"
#include "lsm/format/block_entry.h"

#define HEAD_BYTES 4

static uint32_t *heads_of(struct shl_block *b)
{
    return (uint32_t *)(void *)(b + 1);
}

static uint16_t *offsets_of(struct shl_block *b, size_t count)
{
    return (uint16_t *)(void *)(heads_of(b) + count);
}

/* ---------------------------------------------------------------- build */

/* What a walk needs of an entry. Its own struct, so that the compiler reads nothing else. */
struct step {
    size_t shared;
    struct shl_slice suffix; /* at least 9 bytes of the block follow it */
    uint32_t next;
};

/* False: damaged, which the search of the stored form will say. */
static bool read_step_slowly(const struct shl_block_tail *t, uint32_t at, struct step *out)
{
    struct shl_block_entry e;
    shale_error err;
    if (shl_block_entry_read_any(t, at, t->entries_end, &e, &err) != SHALE_OK)
        return false;
    *out = (struct step){.shared = e.shared, .suffix = e.suffix, .next = e.next};
    return true;
}

static inline bool read_step(const struct shl_block_tail *t, uint32_t at, struct step *out)
{
    struct shl_block_entry e;
    if (!shl_block_entry_read_usual(t->raw, at, t->entries_end, &e))
        return read_step_slowly(t, at, out);
    *out = (struct step){.shared = e.shared, .suffix = e.suffix, .next = e.next};
    return true;
}

/* The bytes that the first and the last key have in common, which is what all have, if they are sorted; fill looks whether they do. No key is
 * rebuilt: one that shares more with the one before than that had in common with the first has the same in common. */
static bool find_prefix(const struct shl_block_tail *t, struct shl_slice *prefix)
{
    struct step s;
    if (!read_step(t, 0, &s) || s.shared != 0)
        return false;
    struct shl_slice first = s.suffix;
    size_t same = 0;
    size_t len = 0;
    for (uint32_t at = shl_block_tail_offset(t, t->count - 1); at < t->entries_end; at = s.next) {
        if (!read_step(t, at, &s) || s.shared > len)
            return false;
        len = s.shared + s.suffix.len;
        if (s.shared <= same)
            same = s.shared + shl_common_prefix(s.suffix, shl_slice_of(first.data + s.shared,
                                                                       first.len - s.shared));
    }
    *prefix = shl_slice_of(first.data, same);
    return same <= SHL_BLOCK_PREFIX_MAX;
}

/* The first `len` bytes of a head; all of it from HEAD_BYTES on. */
static uint32_t head_mask(size_t len)
{
    return len >= HEAD_BYTES ? UINT32_MAX : ~(UINT32_MAX >> (8 * len));
}

/* Up to HEAD_BYTES bytes, zeros after the end. There is more behind the end to be read. */
static uint32_t head_at(const uint8_t *p, size_t len)
{
    return shl_load_u32be(p) & head_mask(len);
}

/* Head of the entry's key from that of the key before. False: the key has not the prefix. */
static bool next_head(const struct shl_block *b, const struct step *s, uint32_t *head)
{
    if (s->shared >= (size_t)b->prefix_len + HEAD_BYTES)
        return true;
    if (s->shared >= b->prefix_len) {
        size_t kept = s->shared - b->prefix_len;
        *head = (*head & head_mask(kept)) | head_at(s->suffix.data, s->suffix.len) >> (8 * kept);
        return true;
    }
    size_t rest = b->prefix_len - s->shared;
    if (s->suffix.len < rest || memcmp(s->suffix.data, b->prefix + s->shared, rest) != 0)
        return false;
    *head = head_at(s->suffix.data + rest, s->suffix.len - rest);
    return true;
}

/* Checks all entries, and notes heads and offsets. The latter as for count_max entries: how many there are is known at the end. */
static bool fill(struct shl_block *b, const struct shl_block_tail *t, size_t count_max,
                 size_t *count)
{
    uint32_t *heads = heads_of(b);
    uint16_t *offsets = offsets_of(b, count_max);
    struct step s;
    uint32_t head = 0;
    size_t len = 0;
    size_t n = 0;
    for (uint32_t at = 0; at < t->entries_end; at = s.next) {
        uint32_t before = head;
        if (at > UINT16_MAX || n == count_max || !read_step(t, at, &s) || s.shared > len ||
            !next_head(b, &s, &head) || head < before)
            return false;
        len = s.shared + s.suffix.len;
        heads[n] = head;
        offsets[n++] = (uint16_t)at;
    }
    *count = n;
    return n > 0;
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
    struct shl_slice prefix;
    size_t count = 0;
    size_t room = b->raw_offset - sizeof *b;
    size_t count_max = shl_min_size(room / (sizeof(uint32_t) + sizeof(uint16_t)), UINT16_MAX);
    if (shl_block_tail_read(shl_block_raw(b), 2, &t, &err) != SHALE_OK || !find_prefix(&t, &prefix))
        return false;
    b->prefix_len = (uint8_t)prefix.len;
    if (prefix.len > 0)
        memcpy(b->prefix, prefix.data, prefix.len);
    if (!fill(b, &t, count_max, &count))
        return false;
    uint16_t *offsets = offsets_of(b, count);
    memmove(offsets, offsets_of(b, count_max), count * sizeof *offsets);
    b->entry_count = (uint16_t)count;
    return restarts_fit(&t, offsets, count);
}

/* ---------------------------------------------------------------- search */

/* HEAD_BYTES bytes behind `skip`, zeros after the end. */
static uint32_t head_of(struct shl_slice key, size_t skip)
{
    uint8_t bytes[HEAD_BYTES] = {0};
    if (key.len >= skip + HEAD_BYTES)
        return shl_load_u32be(key.data + skip);
    for (size_t i = 0; skip + i < key.len; i++)
        bytes[i] = key.data[skip + i];
    return shl_load_u32be(bytes);
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

/* Its key, value and seq lie on two or three lines, of which the first says where. */
static void prefetch_entry(const struct shl_block *b, uint16_t offset)
{
    const char *entry = (const char *)b + b->raw_offset + offset;
    __builtin_prefetch(entry);
    __builtin_prefetch(entry + 64);
    __builtin_prefetch(entry + 128);
}

void shl_side_table_prefetch(const struct shl_block *b, struct shl_slice key)
{
    const uint32_t *heads = (const uint32_t *)(const void *)(b + 1);
    const uint16_t *offsets = (const uint16_t *)(const void *)(heads + b->entry_count);
    if (compare_prefix(b, key) != 0)
        return;
    size_t i = lower_bound(heads, b->entry_count, head_of(key, b->prefix_len));
    if (i < b->entry_count)
        prefetch_entry(b, offsets[i]);
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
    if (i < count)
        prefetch_entry(b, offsets[i]);
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
