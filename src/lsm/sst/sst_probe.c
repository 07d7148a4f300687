/* Point lookups in one SST: filter, index, slot, block. No I/O, no lock, no count: the caller is inside an epoch. */
#include "lsm/sst/sst_internal.h"

#include "base/assert.h"
#include "lsm/format/block.h"
#include "lsm/sst/side_table.h"

#include <inttypes.h>

/* ---------------------------------------------------------------- filters */

static bool user_filters_pass(const struct shl_sst *t, const struct shl_sst_meta *m,
                              const struct shl_filter_query *q)
{
    for (size_t i = 0; i < t->cx.user_filters.count; i++) {
        const struct shl_user_filter *f = &t->cx.user_filters.items[i];
        if (m->user_filters[i].data != NULL && !f->may_match(f->ctx, m->user_filters[i], q))
            return false;
    }
    return true;
}

/* The meta with its filters; NULL: not there. */
static struct shl_sst_meta *whole_meta(const struct shl_sst *t)
{
    struct shl_sst_meta *m = env_load_seq(&t->meta);
    return m == NULL || env_load_acquire(&m->bare) != 0 ? NULL : m;
}

static bool filters_pass(const struct shl_sst *t, const struct shl_sst_meta *m,
                         struct shl_slice key, uint64_t hash, struct shl_slice context)
{
    for (size_t i = 0; i < t->cx.policy_count; i++) {
        const struct shl_filter_policy *p = &t->cx.policies[i];
        const struct shl_bloom *b = &m->blooms[i];
        size_t prefix_len;
        if (!b->present)
            continue;
        if (p->whole_key) {
            if (!shl_bloom_may_contain(b, hash))
                return false;
        } else if (shl_extractor_prefix(&p->extractor, key, &prefix_len) &&
                   !shl_bloom_may_contain(b, shl_filter_hash(shl_slice_of(key.data, prefix_len)))) {
            return false;
        }
    }
    const struct shl_filter_query q = {.key = key, .context = context};
    return user_filters_pass(t, m, &q);
}

bool shl_sst_may_contain(struct shl_sst *t, struct shl_slice key, uint64_t hash)
{
    uint32_t token = shl_epoch_enter(t->cx.epoch);
    const struct shl_sst_meta *m = whole_meta(t);
    bool pass = m == NULL || filters_pass(t, m, key, hash, shl_slice_of(NULL, 0));
    shl_epoch_leave(t->cx.epoch, token);
    return pass;
}

/* *asked: some filter knows prefixes like this one. */
static bool blooms_pass_prefix(const struct shl_sst *t, const struct shl_sst_meta *m,
                               struct shl_slice prefix, bool *asked)
{
    for (size_t i = 0; i < t->cx.policy_count; i++) {
        const struct shl_bloom *b = &m->blooms[i];
        size_t len;
        if (!b->present || !shl_extractor_prefix_of_all(&t->cx.policies[i].extractor, prefix, &len))
            continue;
        *asked = true;
        if (!shl_bloom_may_contain(b, shl_filter_hash(shl_slice_of(prefix.data, len))))
            return false;
    }
    return true;
}

static bool filters_pass_prefix(const struct shl_sst *t, const struct shl_sst_meta *m,
                                struct shl_slice prefix, struct shl_slice context, bool *asked)
{
    if (!blooms_pass_prefix(t, m, prefix, asked))
        return false;
    for (size_t i = 0; i < t->cx.user_filters.count; i++)
        *asked = *asked || m->user_filters[i].data != NULL;
    const struct shl_filter_query q = {.key = prefix, .is_prefix = true, .context = context};
    return user_filters_pass(t, m, &q);
}

bool shl_sst_may_contain_prefix(struct shl_sst *t, struct shl_slice prefix,
                                struct shl_slice context)
{
    bool asked = false;
    uint32_t token = shl_epoch_enter(t->cx.epoch);
    const struct shl_sst_meta *m = whole_meta(t);
    bool pass = m == NULL || filters_pass_prefix(t, m, prefix, context, &asked);
    if (asked)
        shl_epoch_count(t->cx.epoch, token,
                        pass ? SHL_COUNT_PREFIX_POSITIVE : SHL_COUNT_PREFIX_NEGATIVE, 1);
    shl_epoch_leave(t->cx.epoch, token);
    return pass;
}

void shl_sst_prefetch_filter(const struct shl_sst *t, uint64_t hash)
{
    const struct shl_sst_meta *m = whole_meta(t);
    if (m == NULL || t->cx.policy_count == 0 || !t->cx.policies[0].whole_key)
        return;
    const uint8_t *line = shl_bloom_first_line(&m->blooms[0], hash);
    if (line != NULL)
        __builtin_prefetch(line);
}

/* The first filter's first bit, at which half of the absent keys end. */
static bool first_bit_passes(const struct shl_sst *t, const struct shl_sst_meta *m, uint64_t hash)
{
    return t->cx.policy_count == 0 || !t->cx.policies[0].whole_key ||
           shl_bloom_first_bit(&m->blooms[0], hash);
}

/* ---------------------------------------------------------------- one block */

/* Newest version with seq <= max_seq in this block. past: no later block can hold the key. */
static shale_code search_block(struct shl_block *b, struct shl_probe_state *p, bool *found,
                               bool *past, shale_error *err)
{
    if (!b->has_side_table)
        return shl_block_get(shl_block_raw(b), b->version, p->key, p->max_seq, &p->row, found, past,
                             err);
    enum shl_side_answer a = shl_side_table_get(b, p->key, p->max_seq, &p->row);
    *found = a == SHL_SIDE_FOUND;
    *past = a == SHL_SIDE_PAST;
    return SHALE_OK;
}

/* The first lines of a block, which a lookup reads at once: header, heads. */
static void prefetch_block(const struct shl_block *b)
{
    const char *line = (const char *)b;
    for (int i = 0; i < 4; i++)
        __builtin_prefetch(line + i * 64);
}

/* From the slot, or what the caller loaded; NULL: neither. */
static struct shl_block *find_block(struct shl_sst *t, struct shl_sst_meta *m,
                                    const struct shl_probe_state *p, size_t i)
{
    if (p->loaded != NULL && p->loaded_index == i)
        return p->loaded;
    struct shl_block *b = env_load_seq(shl_sst_meta_slot(m, i));
    if (b == NULL || b == t->loading)
        return NULL;
    prefetch_block(b);
    if (env_load_relaxed(&b->recent) == 0)
        env_store_relaxed(&b->recent, 1);
    shl_cache_hit(t->cx.cache);
    return b;
}

enum shl_probe shl_sst_probe(struct shl_sst *t, struct shl_probe_state *p, shale_error *err)
{
    struct shl_sst_meta *m = p->meta != NULL ? p->meta : whole_meta(t);
    size_t i;
    if (m == NULL)
        return SHL_PROBE_NEED_META;
    shl_sst_meta_note_use(m);
    if (p->loaded !=
        NULL) { /* filter and index were asked, and the blocks before it searched, before it was loaded */
        i = p->loaded_index;
    } else if (p->has_start) {
        i = p->start_index;
    } else {
        struct shl_sst_seek seek;
        if (m->block_count == 0)
            return SHL_PROBE_MISSING;
        p->filter = SHL_FILTER_SAID_NO;
        if (!first_bit_passes(t, m, p->hash))
            return SHL_PROBE_MISSING;
        /* Most that comes here is there: the index's lines are fetched beside those of the filter. */
        shl_sst_meta_seek_begin(m, p->key, &seek);
        if (!filters_pass(t, m, p->key, p->hash, p->context))
            return SHL_PROBE_MISSING;
        p->filter = m->filter.len > 0 ? SHL_FILTER_SAID_YES : 0;
        i = shl_sst_meta_seek_end(m, &seek);
    }
    for (;; i++) {
        struct shl_block *b = find_block(t, m, p, i);
        if (b == NULL) {
            p->block_index = (uint32_t)i;
            return SHL_PROBE_NEED_BLOCK;
        }
        bool found = false;
        bool past = false;
        if (search_block(b, p, &found, &past, err) != SHALE_OK) {
            shl_err_prefix(err, "sst %s: block %zu at %" PRIu64, t->key, i, m->offsets[i]);
            return SHL_PROBE_CORRUPT;
        }
        if (found) {
            p->block = b;
            return SHL_PROBE_FOUND;
        }
        /* The versions of a key may go on in the next block, and a search begins one block before an equal separator. */
        if (past || i + 1 == m->block_count || shl_sst_meta_compare(m, i + 1, p->key) > 0)
            return SHL_PROBE_MISSING;
    }
}

bool shl_sst_probe_goes_on(const struct shl_probe_state *p)
{
    const struct shl_sst_meta *m = p->meta;
    size_t next = (size_t)p->block_index + 1;
    return next < m->block_count && shl_sst_meta_compare(m, next, p->key) == 0;
}

/* ---------------------------------------------------------------- several keys */

/* The usual case: one filter, of whole keys. */
static bool has_one_filter(const struct shl_sst *t)
{
    return t->cx.policy_count == 1 && t->cx.policies[0].whole_key && t->cx.user_filters.count == 0;
}

bool shl_sst_ahead_filter(const struct shl_sst *t, struct shl_sst_ahead *a)
{
    struct shl_sst_meta *m = a->meta = whole_meta(t);
    if (m == NULL)
        return true;
    shl_sst_meta_note_use(m);
    if (m->block_count == 0)
        return false;
    return !has_one_filter(t) || shl_bloom_begin(&m->blooms[0], a->hash, &a->bits);
}

bool shl_sst_ahead_index(const struct shl_sst *t, struct shl_sst_ahead *a)
{
    const struct shl_sst_meta *m = a->meta;
    struct shl_sst_seek s;
    if (has_one_filter(t) ? !shl_bloom_end(&m->blooms[0], a->hash, &a->bits)
                          : !filters_pass(t, m, a->key, a->hash, a->context))
        return false;
    shl_sst_meta_seek_begin(m, a->key, &s);
    a->index_head = s.head;
    a->index_top = s.top;
    a->index_side = s.side;
    return true;
}

/* The block in the slot, or NULL. */
static struct shl_block *peek(const struct shl_sst *t, struct shl_sst_meta *m, size_t i)
{
    struct shl_block *b = env_load_seq(shl_sst_meta_slot(m, i));
    return b == t->loading ? NULL : b;
}

bool shl_sst_ahead_block(struct shl_sst *t, struct shl_sst_ahead *a)
{
    struct shl_sst_meta *m = a->meta;
    struct shl_sst_seek s = {
        .key = a->key, .head = a->index_head, .top = a->index_top, .side = a->index_side};
    a->block_index = (uint32_t)shl_sst_meta_seek_end(m, &s);
    struct shl_block *b = peek(t, m, a->block_index);
    if (b != NULL)
        prefetch_block(b);
    return b != NULL;
}

void shl_sst_ahead_entry(struct shl_sst *t, const struct shl_sst_ahead *a)
{
    const struct shl_block *b = peek(t, a->meta, a->block_index);
    if (b != NULL && b->has_side_table)
        shl_side_table_prefetch(b, a->key);
}
