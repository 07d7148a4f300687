/* The arrays made of an index and a filter, and the search in them. performance.md 2.3, 2.4. */
#include "lsm/sst_internal.h"

#include "base/assert.h"
#include "base/codec/endian.h"

#include <assert.h>

#define TOP_STRIDE (SHL_SST_GROUP * SHL_SST_TOP)

static_assert(sizeof(struct shl_sst_group) == 128, "two lines per group");

/* ---------------------------------------------------------------- search */

static uint64_t head_of(struct shl_slice s)
{
    uint8_t bytes[8] = {0};
    if (s.len >= sizeof bytes)
        return shl_load_u64be(s.data);
    if (s.len > 0)
        memcpy(bytes, s.data, s.len);
    return shl_load_u64be(bytes);
}

static uint64_t head_at(const struct shl_sst_meta *m, size_t i)
{
    return m->groups[i / SHL_SST_GROUP].head[i % SHL_SST_GROUP];
}

/* How many heads are below `head`. Branchless; the heads past the end are never below. */
static size_t heads_below(const struct shl_sst_meta *m, uint64_t head)
{
    const uint64_t *base = m->tops;
    size_t n = m->top_count;
    while (n > 1) {
        size_t half = n / 2;
        base += base[half] < head ? half : 0;
        n -= half;
    }
    size_t top = (size_t)(base - m->tops);
    size_t below = top * TOP_STRIDE;
    size_t group_count = (m->block_count + SHL_SST_GROUP - 1) / SHL_SST_GROUP;
    for (size_t g = top * SHL_SST_TOP; g < group_count && g < (top + 1) * SHL_SST_TOP; g++) {
        const uint64_t *heads = m->groups[g].head;
        for (size_t i = 0; i < SHL_SST_GROUP; i++)
            below += heads[i] < head;
    }
    return below;
}

static struct shl_slice separator_rest(const struct shl_sst_meta *m, size_t i)
{
    SHL_ASSERT(i > 0 && i < m->block_count);
    uint32_t start = m->separator_ends[i - 1];
    return shl_slice_of(m->separators + start, m->separator_ends[i] - start);
}

/* Where `key` lies against everything that begins with the prefix; 0: it does too. */
static int compare_prefix(const struct shl_sst_meta *m, struct shl_slice key)
{
    size_t n = shl_min_size(key.len, m->prefix.len);
    int c = n == 0 ? 0 : memcmp(key.data, m->prefix.data, n);
    return c != 0 ? c : key.len < m->prefix.len ? -1 : 0;
}

/* The number of blocks 1 .. that begin below `key` (or_equal: or at it). */
static size_t blocks_below(const struct shl_sst_meta *m, struct shl_slice key, bool or_equal)
{
    SHL_ASSERT(m->block_count > 0);
    if (m->block_count == 1)
        return 0;
    int side = compare_prefix(m, key);
    if (side != 0)
        return side < 0 ? 0 : m->block_count - 1;
    struct shl_slice rest = shl_slice_of(key.data + m->prefix.len, key.len - m->prefix.len);
    uint64_t head = head_of(rest);
    size_t low = shl_max_size(heads_below(m, head), 1); /* head[0] is 0 and stands for nothing */
    if (low == m->block_count || head_at(m, low) != head)
        return low - 1;
    /* Ties: compare whole separators. */
    size_t high = head == UINT64_MAX ? m->block_count : heads_below(m, head + 1);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = shl_slice_cmp(separator_rest(m, mid), rest);
        if (c < 0 || (c == 0 && or_equal))
            low = mid + 1;
        else
            high = mid;
    }
    return low - 1;
}

size_t shl_sst_meta_seek(const struct shl_sst_meta *m, struct shl_slice key)
{
    return blocks_below(m, key, false);
}

size_t shl_sst_meta_seek_last(const struct shl_sst_meta *m, struct shl_slice key)
{
    return blocks_below(m, key, true);
}

int shl_sst_meta_compare(const struct shl_sst_meta *m, size_t block_index, struct shl_slice key)
{
    int side = compare_prefix(m, key);
    if (side != 0)
        return -side;
    return shl_slice_cmp(separator_rest(m, block_index),
                         shl_slice_of(key.data + m->prefix.len, key.len - m->prefix.len));
}

/* ---------------------------------------------------------------- making it */

/* Sizes and places inside of the one piece. */
struct layout {
    size_t groups, tops, offsets, blooms, lens, ends, prefix, separators, filter;
    size_t total;
};

/* Reserves `bytes` at the next multiple of `align`. */
static bool place(struct layout *l, size_t align, size_t count, size_t size, size_t *out)
{
    size_t bytes;
    *out = shl_align_up(l->total, align);
    return shl_mul_size(count, size, &bytes) && shl_add_size(*out, bytes, &l->total);
}

static bool lay_out(struct layout *l, size_t blocks, size_t policies, size_t prefix_len,
                    size_t separator_bytes, size_t filter_bytes)
{
    size_t groups = (blocks + SHL_SST_GROUP - 1) / SHL_SST_GROUP;
    size_t tops = (blocks + TOP_STRIDE - 1) / TOP_STRIDE;
    *l = (struct layout){.total = sizeof(struct shl_sst_meta)};
    return place(l, alignof(struct shl_sst_group), groups, sizeof(struct shl_sst_group),
                 &l->groups) &&
           place(l, 64, tops, sizeof(uint64_t), &l->tops) &&
           place(l, 8, blocks, sizeof(uint64_t), &l->offsets) &&
           place(l, alignof(struct shl_bloom), policies, sizeof(struct shl_bloom), &l->blooms) &&
           place(l, 4, blocks, sizeof(uint32_t), &l->lens) &&
           place(l, 4, blocks, sizeof(uint32_t), &l->ends) &&
           place(l, 1, prefix_len, 1, &l->prefix) &&
           place(l, 1, separator_bytes, 1, &l->separators) &&
           place(l, 64, filter_bytes, 1, &l->filter);
}

/* Bytes that the first keys of all blocks but 0 have in common. They are in order. */
static struct shl_slice common_prefix(const struct shl_sst_index *index)
{
    if (index->blocks.count < 2)
        return shl_slice_of(NULL, 0);
    struct shl_slice first = index->blocks.items[1].first_key;
    struct shl_slice last = index->blocks.items[index->blocks.count - 1].first_key;
    return shl_slice_of(first.data, shl_common_prefix(first, last));
}

static void fill_heads(struct shl_sst_meta *m, const struct shl_sst_index *index)
{
    size_t end = 0;
    for (size_t i = 0; i < shl_align_up(m->block_count, SHL_SST_GROUP); i++) {
        struct shl_sst_group *g = &m->groups[i / SHL_SST_GROUP];
        uint64_t head = i < m->block_count ? 0 : UINT64_MAX;
        if (i > 0 && i < m->block_count) {
            struct shl_slice k = index->blocks.items[i].first_key;
            size_t rest = k.len - m->prefix.len;
            head = head_of(shl_slice_of(k.data + m->prefix.len, rest));
            if (rest > 0)
                memcpy(m->separators + end, k.data + m->prefix.len, rest);
            end += rest;
        }
        g->head[i % SHL_SST_GROUP] = head;
        atomic_init(&g->slot[i % SHL_SST_GROUP], NULL);
        if (i < m->block_count)
            m->separator_ends[i] = (uint32_t)end;
        if (i % TOP_STRIDE == 0)
            m->tops[i / TOP_STRIDE] = head;
    }
}

static shale_code fill_places(struct shl_sst_meta *m, const struct shl_sst_index *index,
                              uint64_t data_end, shale_error *err)
{
    for (size_t i = 0; i < m->block_count; i++) {
        uint64_t len = shl_sst_block_len(index, i, data_end);
        if (len > UINT32_MAX / 2)
            return shl_fail(err, SHALE_CORRUPTION, "index: block %zu has %llu bytes", i,
                            (unsigned long long)len);
        m->offsets[i] = index->blocks.items[i].offset;
        m->lens[i] = (uint32_t)len;
    }
    return SHALE_OK;
}

static shale_code fill_filters(struct shl_sst_meta *m, const struct shl_sst_context *cx,
                               enum shl_filter_format format, struct shl_slice raw_filter,
                               shale_error *err)
{
    for (size_t i = 0; i < cx->policy_count; i++) {
        m->blooms[i] = (struct shl_bloom){0};
        if (raw_filter.len == 0)
            continue;
        shale_code rc = shl_filter_decode(raw_filter, format, &cx->policies[i], &m->blooms[i], err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

shale_code shl_sst_meta_new(const struct shl_sst_index *index, uint64_t data_end,
                            const struct shl_sst_context *cx, enum shl_filter_format format,
                            struct shl_slice raw_filter, struct shl_sst_meta **out,
                            shale_error *err)
{
    shale_code rc = SHALE_OK;
    struct shl_sst_meta *m = NULL;
    struct layout l = {0};
    struct shl_slice prefix = common_prefix(index);
    size_t separator_bytes = 0;
    uint8_t *base;
    for (size_t i = 1; i < index->blocks.count; i++)
        separator_bytes += index->blocks.items[i].first_key.len - prefix.len;
    if (separator_bytes > UINT32_MAX || !lay_out(&l, index->blocks.count, cx->policy_count,
                                                 prefix.len, separator_bytes, raw_filter.len))
        SHL_TRY(shl_fail(err, SHALE_CORRUPTION, "index: %zu bytes of separators", separator_bytes));
    m = env_alloc_aligned(64, shl_align_up(l.total, 64));
    if (m == NULL)
        SHL_TRY(shl_nomem(err));
    base = (uint8_t *)m;
    *m = (struct shl_sst_meta){.block_count = index->blocks.count,
                               .prefix = shl_slice_of(base + l.prefix, prefix.len),
                               .groups = (void *)(base + l.groups),
                               .tops = (void *)(base + l.tops),
                               .top_count = (index->blocks.count + TOP_STRIDE - 1) / TOP_STRIDE,
                               .offsets = (void *)(base + l.offsets),
                               .lens = (void *)(base + l.lens),
                               .separator_ends = (void *)(base + l.ends),
                               .separators = base + l.separators,
                               .blooms = (void *)(base + l.blooms)};
    if (prefix.len > 0)
        memcpy(base + l.prefix, prefix.data, prefix.len);
    if (raw_filter.len > 0)
        memcpy(base + l.filter, raw_filter.data, raw_filter.len);
    fill_heads(m, index);
    SHL_TRY(fill_places(m, index, data_end, err));
    SHL_TRY(fill_filters(m, cx, format, shl_slice_of(base + l.filter, raw_filter.len), err));
    *out = m;
    m = NULL;
out:
    shl_sst_meta_free(m);
    return rc;
}

void shl_sst_meta_free(struct shl_sst_meta *m)
{
    env_free_aligned(m);
}
