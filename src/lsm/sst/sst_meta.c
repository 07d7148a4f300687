/* The arrays made of an index and a filter, and the search in them. performance.md 2.3, 2.4. */
#include "lsm/sst/sst_internal.h"

#include "base/assert.h"
#include "base/codec/endian.h"

#include <assert.h>
#include <inttypes.h>

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

/* The top head below which `head` lies, branchless. */
static size_t find_top(const struct shl_sst_meta *m, uint64_t head)
{
    const uint64_t *base = m->tops;
    size_t n = m->top_count;
    while (n > 1) {
        size_t half = n / 2;
        base += base[half] < head ? half : 0;
        n -= half;
    }
    return (size_t)(base - m->tops);
}

/* How many heads are below `head`, which lies under this top. The heads past the end are never below. */
static size_t heads_below_from(const struct shl_sst_meta *m, size_t top, uint64_t head)
{
    size_t below = top * TOP_STRIDE;
    size_t group_count = (m->block_count + SHL_SST_GROUP - 1) / SHL_SST_GROUP;
    for (size_t g = top * SHL_SST_TOP; g < group_count && g < (top + 1) * SHL_SST_TOP; g++) {
        const uint64_t *heads = m->groups[g].head;
        for (size_t i = 0; i < SHL_SST_GROUP; i++)
            below += heads[i] < head;
    }
    return below;
}

static size_t heads_below(const struct shl_sst_meta *m, uint64_t head)
{
    return heads_below_from(m, find_top(m, head), head);
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

/* Heads and slots of the groups of a top. */
static void prefetch_groups(const struct shl_sst_meta *m, size_t top)
{
    size_t group_count = (m->block_count + SHL_SST_GROUP - 1) / SHL_SST_GROUP;
    for (size_t g = top * SHL_SST_TOP; g < group_count && g < (top + 1) * SHL_SST_TOP; g++) {
        const char *lines = (const char *)&m->groups[g];
        __builtin_prefetch(lines);
        __builtin_prefetch(lines + 64);
    }
}

void shl_sst_meta_seek_begin(const struct shl_sst_meta *m, struct shl_slice key,
                             struct shl_sst_seek *out)
{
    *out = (struct shl_sst_seek){.key = key};
    if (m->block_count == 1)
        return;
    out->side = compare_prefix(m, key);
    if (out->side != 0)
        return;
    out->head = head_of(shl_slice_of(key.data + m->prefix.len, key.len - m->prefix.len));
    out->top = find_top(m, out->head);
    prefetch_groups(m, out->top);
}

/* Ties: compare whole separators, from block `low` on. */
static size_t search_ties(const struct shl_sst_meta *m, const struct shl_sst_seek *s, size_t low,
                          bool or_equal)
{
    struct shl_slice rest = shl_slice_of(s->key.data + m->prefix.len, s->key.len - m->prefix.len);
    size_t high = s->head == UINT64_MAX ? m->block_count : heads_below(m, s->head + 1);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = shl_slice_cmp(separator_rest(m, mid), rest);
        if (c < 0 || (c == 0 && or_equal))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The number of blocks 1 .. that begin below the key (or_equal: or at it). */
static size_t blocks_below(const struct shl_sst_meta *m, const struct shl_sst_seek *s,
                           bool or_equal)
{
    SHL_ASSERT(m->block_count > 0);
    if (m->block_count == 1)
        return 0;
    if (s->side != 0)
        return s->side < 0 ? 0 : m->block_count - 1;
    /* head[0] is 0 and stands for nothing */
    size_t low = shl_max_size(heads_below_from(m, s->top, s->head), 1);
    if (low < m->block_count && head_at(m, low) == s->head)
        low = search_ties(m, s, low, or_equal);
    return low - 1;
}

size_t shl_sst_meta_seek_end(const struct shl_sst_meta *m, const struct shl_sst_seek *s)
{
    return blocks_below(m, s, false);
}

size_t shl_sst_meta_seek(const struct shl_sst_meta *m, struct shl_slice key)
{
    struct shl_sst_seek s;
    shl_sst_meta_seek_begin(m, key, &s);
    return blocks_below(m, &s, false);
}

size_t shl_sst_meta_seek_last(const struct shl_sst_meta *m, struct shl_slice key)
{
    struct shl_sst_seek s;
    shl_sst_meta_seek_begin(m, key, &s);
    return blocks_below(m, &s, true);
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

shale_code shl_sst_meta_separator(const struct shl_sst_meta *m, size_t block_index,
                                  struct shl_buf *out, shale_error *err)
{
    SHL_ASSERT(block_index >= 1 && block_index < m->block_count);
    uint32_t from = m->separator_ends[block_index - 1];
    shale_code rc = shl_buf_set(out, m->prefix, err);
    return rc != SHALE_OK ? rc
                          : shl_buf_append(out, m->separators + from,
                                           m->separator_ends[block_index] - from, err);
}

/* Sizes and places inside of the one piece. */
struct layout {
    size_t groups, tops, offsets, blooms, users, lens, ends, misses, prefix, separators;
    size_t total;
};

/* Reserves `bytes` at the next multiple of `align`. */
static bool place(struct layout *l, size_t align, size_t count, size_t size, size_t *out)
{
    size_t bytes;
    *out = shl_align_up(l->total, align);
    return shl_mul_size(count, size, &bytes) && shl_add_size(*out, bytes, &l->total);
}

static bool lay_out(struct layout *l, size_t blocks, const struct shl_sst_context *cx,
                    size_t prefix_len, size_t separator_bytes)
{
    size_t groups = (blocks + SHL_SST_GROUP - 1) / SHL_SST_GROUP;
    size_t tops = (blocks + TOP_STRIDE - 1) / TOP_STRIDE;
    *l = (struct layout){.total = sizeof(struct shl_sst_meta)};
    return place(l, alignof(struct shl_sst_group), groups, sizeof(struct shl_sst_group),
                 &l->groups) &&
           place(l, 64, tops, sizeof(uint64_t), &l->tops) &&
           place(l, 8, blocks, sizeof(uint64_t), &l->offsets) &&
           place(l, alignof(struct shl_bloom), cx->policy_count, sizeof(struct shl_bloom),
                 &l->blooms) &&
           place(l, alignof(struct shl_slice), cx->user_filters.count, sizeof(struct shl_slice),
                 &l->users) &&
           place(l, 4, blocks, sizeof(uint32_t), &l->lens) &&
           place(l, 4, blocks, sizeof(uint32_t), &l->ends) && place(l, 1, blocks, 1, &l->misses) &&
           place(l, 1, prefix_len, 1, &l->prefix) &&
           place(l, 1, separator_bytes, 1, &l->separators);
}

/* Bytes that the first keys of all blocks but 0 have in common. They are in order. */
static struct shl_slice common_prefix(const struct shl_sst_index_view *index)
{
    if (index->count < 2)
        return shl_slice_of(NULL, 0);
    struct shl_slice first = shl_sst_index_at(index, 1).first_key;
    struct shl_slice last = shl_sst_index_at(index, index->count - 1).first_key;
    return shl_slice_of(first.data, shl_common_prefix(first, last));
}

static void set_head(struct shl_sst_meta *m, size_t i, uint64_t head)
{
    struct shl_sst_group *g = &m->groups[i / SHL_SST_GROUP];
    g->head[i % SHL_SST_GROUP] = head;
    atomic_init(&g->slot[i % SHL_SST_GROUP], NULL);
    if (i % TOP_STRIDE == 0)
        m->tops[i / TOP_STRIDE] = head;
}

static shale_code fill_blocks(struct shl_sst_meta *m, const struct shl_sst_index_view *index,
                              shale_error *err)
{
    size_t end = 0;
    struct shl_sst_index_entry next = {.offset = 0};
    if (index->count > 0)
        next = shl_sst_index_at(index, 0);
    for (uint32_t i = 0; i < index->count; i++) {
        struct shl_sst_index_entry b = next;
        uint64_t head = 0;
        next = (struct shl_sst_index_entry){.offset = index->data_end};
        if (i + 1 < index->count)
            next = shl_sst_index_at(index, i + 1);
        uint64_t len = b.encoded_len != 0 ? b.encoded_len : next.offset - b.offset;
        if (len > UINT32_MAX / 2)
            return shl_fail(err, SHALE_CORRUPTION, "index: block %" PRIu32 " has %" PRIu64 " bytes",
                            i, len);
        if (i > 0) {
            struct shl_slice rest =
                shl_slice_of(b.first_key.data + m->prefix.len, b.first_key.len - m->prefix.len);
            head = head_of(rest);
            if (rest.len > 0)
                memcpy(m->separators + end, rest.data, rest.len);
            end += rest.len;
        }
        set_head(m, i, head);
        m->separator_ends[i] = (uint32_t)end;
        m->offsets[i] = b.offset;
        m->lens[i] = (uint32_t)len;
    }
    for (size_t i = m->block_count; i < shl_align_up(m->block_count, SHL_SST_GROUP); i++)
        set_head(m, i, UINT64_MAX);
    return SHALE_OK;
}

shale_code shl_sst_meta_new(const struct shl_sst_index_view *index,
                            const struct shl_sst_context *cx, struct shl_sst_meta **out,
                            shale_error *err)
{
    shale_code rc = SHALE_OK;
    struct shl_sst_meta *m = NULL;
    struct layout l = {0};
    struct shl_slice prefix = common_prefix(index);
    size_t separator_bytes = 0;
    uint8_t *base;
    if (index->count > 1) /* each begins with the prefix */
        separator_bytes = (size_t)index->key_bytes - (index->count - 1) * prefix.len;
    if (separator_bytes > UINT32_MAX || !lay_out(&l, index->count, cx, prefix.len, separator_bytes))
        SHL_TRY(shl_fail(err, SHALE_CORRUPTION, "index: %zu bytes of separators", separator_bytes));
    m = env_alloc_aligned(64, shl_align_up(l.total, 64));
    if (m == NULL)
        SHL_TRY(shl_nomem(err));
    base = (uint8_t *)m;
    *m = (struct shl_sst_meta){.block_count = index->count,
                               .prefix = shl_slice_of(base + l.prefix, prefix.len),
                               .groups = (void *)(base + l.groups),
                               .tops = (void *)(base + l.tops),
                               .top_count = ((size_t)index->count + TOP_STRIDE - 1) / TOP_STRIDE,
                               .offsets = (void *)(base + l.offsets),
                               .lens = (void *)(base + l.lens),
                               .separator_ends = (void *)(base + l.ends),
                               .separators = base + l.separators,
                               .misses = (void *)(base + l.misses),
                               .blooms = (void *)(base + l.blooms),
                               .user_filters = (void *)(base + l.users)};
    atomic_init(&m->recent, 0);
    atomic_init(&m->bare, 0);
    atomic_init(&m->refs, 1);
    if (prefix.len > 0)
        memcpy(base + l.prefix, prefix.data, prefix.len);
    for (size_t i = 0; i < m->block_count; i++)
        atomic_init(&m->misses[i], 0);
    for (size_t i = 0; i < cx->policy_count; i++)
        m->blooms[i] = (struct shl_bloom){0};
    for (size_t i = 0; i < cx->user_filters.count; i++)
        m->user_filters[i] = shl_slice_of(NULL, 0);
    SHL_TRY(fill_blocks(m, index, err));
    m->memory_bytes = shl_align_up(l.total, 64);
    *out = m;
    m = NULL;
out:
    shl_sst_meta_free(m);
    return rc;
}

shale_code shl_sst_meta_set_filter(struct shl_sst_meta *m, const struct shl_sst_context *cx,
                                   enum shl_filter_format format, struct shl_slice raw,
                                   struct shl_buf *filter, shale_error *err)
{
    for (size_t i = 0; i < cx->policy_count; i++) {
        shale_code rc = shl_filter_decode(raw, format, &cx->policies[i], &m->blooms[i], err);
        if (rc != SHALE_OK)
            return rc;
    }
    for (size_t i = 0; i < cx->user_filters.count && format == SHL_FILTER_COMPOSITE; i++) {
        struct shl_slice name = shl_slice_str(cx->user_filters.items[i].name);
        shale_code rc = shl_filter_find(raw, name, &m->user_filters[i], err);
        if (rc != SHALE_OK)
            return rc;
    }
    m->filter = *filter;
    *filter = (struct shl_buf){0};
    return SHALE_OK;
}

void shl_sst_meta_free(struct shl_sst_meta *m)
{
    if (m == NULL)
        return;
    shl_buf_free(&m->filter);
    env_free_aligned(m);
}
