/* The tree: search, the reader's descent, the writer's inserts and splits. performance.md 1. */
#include "lsm/memtable/memtable_tree.h"

#include "base/assert.h"
#include "base/codec/endian.h"
#include "base/num.h"
#include "lsm/key_word.h"

#define NODE_KEYS       SHL_MEMTABLE_LEAF
#define NODE_HALF       (NODE_KEYS / 2)
#define NODE_LINE_BYTES 64
#define PREFIX_MAX      24
#define PREFIX_WORDS    (PREFIX_MAX / 8)
#define HEAD_BYTES      8
#define PREFIX_GAIN_MIN                                                                            \
    4 /* a split recomputes heads only if they shift by so much: it costs a miss per key */
#define TREE_HEIGHT_MAX   16 /* every node off the right edge is half full at least: 32^16 keys */
#define GATE_SLEEP_NS     UINT64_C(100000)
#define META_COUNT_MASK   0xffu
#define META_PREFIX_SHIFT 8

static_assert(NODE_KEYS <= META_COUNT_MASK, "a count fits its byte");

struct shl_mem_node {
    _Atomic uint64_t version;              /* odd while the node changes */
    _Atomic uint32_t meta;                 /* count | prefix length << 8 */
    uint32_t level;                        /* [const] 0 = leaf */
    _Atomic uint64_t prefix[PREFIX_WORDS]; /* big-endian, zero behind the prefix length */
    uint64_t unused[3];                    /* heads begin a cache line */
    _Atomic uint64_t head[NODE_KEYS];
    _Atomic(const struct shl_mem_entry *) slot[NODE_KEYS];
};
static_assert(offsetof(struct shl_mem_node, head) == NODE_LINE_BYTES, "heads begin a cache line");

struct mem_inner {
    struct shl_mem_node node;
    _Atomic(struct shl_mem_node *) child[NODE_KEYS + 1];
    uint64_t unused[7];
};
static_assert(sizeof(struct shl_mem_node) % NODE_LINE_BYTES == 0, "whole lines");
static_assert(sizeof(struct mem_inner) % NODE_LINE_BYTES == 0, "whole lines");

/* ---------------------------------------------------------------- keys */

struct shl_slice shl_mem_entry_key(const struct shl_mem_entry *e)
{
    const uint8_t *p = (const uint8_t *)(e + 1);
    if ((env_load_relaxed(&e->older_flags) & SHL_ROW_HAS_EXPIRE) != 0)
        p += sizeof(int64_t);
    return shl_slice_of(p, e->key_len);
}

/* A key being searched, with its first bytes as numbers. */
struct probe {
    struct shl_slice key;
    uint64_t words[PREFIX_WORDS];
};

static struct probe probe_of(struct shl_slice key)
{
    struct probe p = {.key = key};
    for (size_t i = 0; i < PREFIX_WORDS; i++)
        p.words[i] = shl_key_word(key, 8 * i);
    return p;
}

/* ---------------------------------------------------------------- search in a node */

struct position {
    unsigned index; /* first slot with a key >= the probe's */
    bool equal;
};

/* Key against prefix: 0 if the key has it. Else the key is before (< 0) or behind (> 0) all keys with the prefix. */
static int prefix_compare(const struct shl_mem_node *node, size_t prefix_len, const struct probe *p)
{
    size_t left = prefix_len;
    for (size_t i = 0; left > 0; i++) {
        size_t n = shl_min_size(left, 8);
        uint64_t a = p->words[i] & shl_key_word_mask(n);
        uint64_t b = env_load_acquire(&node->prefix[i]);
        if (a != b)
            return a < b ? -1 : 1;
        left -= n;
    }
    return p->key.len < prefix_len ? -1 : 0;
}

/* First of n heads that is >= head; without branches, for the outcome cannot be predicted. */
static unsigned head_lower_bound(const _Atomic uint64_t *heads, unsigned n, uint64_t head)
{
    unsigned base = 0;
    while (n > 1) {
        unsigned half = n / 2;
        base += half & (0u - (unsigned)(env_load_acquire(&heads[base + half - 1]) < head));
        n -= half;
    }
    if (n == 1)
        base += env_load_acquire(&heads[base]) < head;
    return base;
}

/* The key of slot i against the probe's, which has an equal head: what lies before `same` need not be compared. */
static int slot_compare(const struct shl_mem_node *node, unsigned i, struct shl_slice key,
                        size_t same)
{
    struct shl_slice k = shl_mem_entry_key(env_load_acquire(&node->slot[i]));
    size_t common = shl_min_size(k.len, key.len);
    size_t from = shl_min_size(common, same);
    int c = from == common ? 0 : memcmp(k.data + from, key.data + from, common - from);
    if (c != 0)
        return c;
    return k.len < key.len ? -1 : k.len > key.len ? 1 : 0;
}

/* Among the slots from `first` on whose head ties with the probe's. */
static struct position search_ties(const struct shl_mem_node *node, const struct probe *p,
                                   unsigned first, unsigned count, size_t prefix_len, uint64_t head)
{
    size_t same = prefix_len + HEAD_BYTES;
    int c = slot_compare(node, first, p->key, same);
    if (c >= 0) /* nearly always: the only tie */
        return (struct position){.index = first, .equal = c == 0};
    unsigned lo = first + 1;
    unsigned hi = count;
    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        c = env_load_acquire(&node->head[mid]) != head ? 1 : slot_compare(node, mid, p->key, same);
        if (c == 0)
            return (struct position){.index = mid, .equal = true};
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return (struct position){.index = lo, .equal = false};
}

/* A reader may see words of different moments: the answer is then wrong, but within the node, and its version check fails. */
static struct position node_search(const struct shl_mem_node *node, const struct probe *p)
{
    uint32_t meta = env_load_acquire(&node->meta);
    unsigned count = meta & META_COUNT_MASK;
    size_t prefix_len = meta >> META_PREFIX_SHIFT;
    int c = prefix_compare(node, prefix_len, p);
    if (c != 0)
        return (struct position){.index = c < 0 ? 0 : count, .equal = false};
    uint64_t head = shl_key_word(p->key, prefix_len);
    unsigned i = head_lower_bound(node->head, count, head);
    if (i == count || env_load_acquire(&node->head[i]) != head)
        return (struct position){.index = i, .equal = false};
    return search_ties(node, p, i, count, prefix_len, head);
}

static unsigned node_count(const struct shl_mem_node *node)
{
    return env_load_acquire(&node->meta) & META_COUNT_MASK;
}

/* The first bytes of a node, all lines at once instead of one after the other. */
static inline void node_prefetch(const struct shl_mem_node *node, size_t bytes)
{
    const char *p = (const char *)node;
    for (size_t i = 0; i < bytes; i += NODE_LINE_BYTES)
        __builtin_prefetch(p + i);
}
#define NODE_SEARCH_BYTES offsetof(struct shl_mem_node, slot) /* the header and the heads */

static const struct mem_inner *inner_of(const struct shl_mem_node *node)
{
    SHL_ASSERT_SLOW(node->level > 0);
    return (const struct mem_inner *)(const void *)node;
}

static unsigned route_child(const struct shl_mem_node *node, enum shl_mem_route route,
                            const struct probe *p)
{
    if (route == SHL_MEM_FIRST)
        return 0;
    if (route == SHL_MEM_LAST)
        return node_count(node);
    struct position at = node_search(node, p);
    return at.index + (route == SHL_MEM_AT && at.equal ? 1 : 0);
}

/* ---------------------------------------------------------------- readers */

struct visit {
    const struct shl_mem_node *leaf;
    uint64_t version;                 /* of the leaf, even */
    const struct shl_mem_entry *low;  /* the leaf's keys are >= this one's; NULL: no border */
    const struct shl_mem_entry *high; /* and < this one's; NULL: no border */
};

static inline bool read_begin(const struct shl_mem_node *node, uint64_t *out_version)
{
    *out_version = env_load_acquire(&node->version);
    return (*out_version & 1) == 0;
}

/* Every load before this one was an acquire, so the relaxed load cannot have happened earlier. */
static inline bool read_holds(const struct shl_mem_node *node, uint64_t version)
{
    return env_load_relaxed(&node->version) == version;
}

/* One try; false if the writer was in the way. Borders cost a look at the separators' slots, which a lookup does without. */
static inline bool try_descend(const struct shl_mem_tree *t, enum shl_mem_route route,
                               const struct probe *p, bool want_borders, struct visit *out)
{
    const struct shl_mem_node *node = env_load_acquire(&t->root);
    uint64_t version;
    if (!read_begin(node, &version))
        return false;
    /* A root that was split looks like a sound node that lacks its right half. */
    if (env_load_acquire(&t->root) != node)
        return false;
    out->low = out->high = NULL;
    while (node->level > 0) {
        unsigned i = route_child(node, route, p);
        if (want_borders && i > 0)
            out->low = env_load_acquire(&node->slot[i - 1]);
        if (want_borders && i < node_count(node))
            out->high = env_load_acquire(&node->slot[i]);
        const struct shl_mem_node *child = env_load_acquire(&inner_of(node)->child[i]);
        node_prefetch(child, want_borders ? sizeof *child : NODE_SEARCH_BYTES);
        uint64_t child_version;
        if (!read_begin(child, &child_version) || !read_holds(node, version))
            return false;
        node = child;
        version = child_version;
    }
    out->leaf = node;
    out->version = version;
    return true;
}

/* A reader's tries. */
struct attempts {
    unsigned count;
    bool holds_gate;
};

/* After a failed try. A reader that failed often takes the gate: the writer then finishes the insert it is in, and waits. Sleeping,
 * not spinning, lets that writer run whatever the scheduler prefers. */
static void attempts_failed(const struct shl_mem_tree *t, struct attempts *a)
{
    bool enough = env_backoff(&a->count);
    if (a->holds_gate) {
        env_sleep_ns(GATE_SLEEP_NS);
    } else if (enough) {
        (void)env_fetch_add(&t->gate->stalled, 1u);
        env_mutex_lock(&t->gate->mu);
        a->holds_gate = true;
    }
}

static void attempts_done(const struct shl_mem_tree *t, const struct attempts *a)
{
    if (!a->holds_gate)
        return;
    env_mutex_unlock(&t->gate->mu);
    (void)env_fetch_sub_acq_rel(&t->gate->stalled, 1u);
}

/* No row that the reader's limit covers: such a row was in the tree before the limit was raised to it. */
static bool is_empty(const struct shl_mem_tree *t)
{
    const struct shl_mem_node *root = env_load_acquire(&t->root);
    return root->level == 0 && node_count(root) == 0;
}

const struct shl_mem_entry *shl_mem_tree_find(const struct shl_mem_tree *t, struct shl_slice key)
{
    if (is_empty(t)) /* whoever mostly reads has an empty memtable: a tenth of a get */
        return NULL;
    struct probe p = probe_of(key);
    struct attempts tries = {0};
    for (;;) {
        struct visit v;
        if (try_descend(t, SHL_MEM_AT, &p, false, &v)) {
            struct position at = node_search(v.leaf, &p);
            const struct shl_mem_entry *e =
                at.equal ? env_load_acquire(&v.leaf->slot[at.index]) : NULL;
            if (read_holds(v.leaf, v.version)) {
                attempts_done(t, &tries);
                return e;
            }
        }
        attempts_failed(t, &tries);
    }
}

void shl_mem_tree_prefetch(const struct shl_mem_tree *t)
{
    node_prefetch(env_load_relaxed(&t->root), NODE_SEARCH_BYTES);
}

/* One try to copy the leaf. */
static bool try_load(const struct shl_mem_tree *t, enum shl_mem_route route, const struct probe *p,
                     struct shl_memtable_iter *it, bool *out_equal)
{
    struct visit v;
    if (!try_descend(t, route, p, true, &v))
        return false;
    unsigned count = node_count(v.leaf);
    struct position at = {.index = route == SHL_MEM_FIRST ? 0 : count, .equal = false};
    if (route == SHL_MEM_AT || route == SHL_MEM_BELOW)
        at = node_search(v.leaf, p);
    for (unsigned i = 0; i < count; i++)
        it->leaf[i] = env_load_acquire(&v.leaf->slot[i]);
    it->count = count;
    it->index = at.index;
    it->low = v.low;
    it->high = v.high;
    *out_equal = at.equal;
    return read_holds(v.leaf, v.version);
}

bool shl_mem_tree_load(const struct shl_mem_tree *t, enum shl_mem_route route, struct shl_slice key,
                       struct shl_memtable_iter *it)
{
    struct probe p = probe_of(key);
    struct attempts tries = {0};
    bool equal = false;
    while (!try_load(t, route, &p, it, &equal))
        attempts_failed(t, &tries);
    attempts_done(t, &tries);
    SHL_ASSERT(it->index <= it->count);
    return equal;
}

/* ---------------------------------------------------------------- the writer: one node */

static void change_begin(struct shl_mem_node *node)
{
    uint64_t version = env_load_relaxed(&node->version);
    SHL_ASSERT((version & 1) == 0);
    /* Every later store to the node is a release, so none is seen before this one. */
    env_store_relaxed(&node->version, version + 1);
}

static void change_end(struct shl_mem_node *node)
{
    uint64_t version = env_load_relaxed(&node->version);
    SHL_ASSERT((version & 1) == 1);
    env_store_release(&node->version, version + 1);
}

static size_t node_prefix_len(const struct shl_mem_node *node)
{
    return env_load_relaxed(&node->meta) >> META_PREFIX_SHIFT;
}

static void node_set_meta(struct shl_mem_node *node, unsigned count, size_t prefix_len)
{
    SHL_ASSERT(count <= NODE_KEYS);
    SHL_ASSERT(prefix_len <= PREFIX_MAX);
    env_store_release(&node->meta, count | (uint32_t)prefix_len << META_PREFIX_SHIFT);
}

static void node_set_prefix(struct shl_mem_node *node, struct shl_slice prefix)
{
    for (size_t i = 0; i < PREFIX_WORDS; i++)
        env_store_release(&node->prefix[i], shl_key_word(prefix, 8 * i));
}

/* The node's prefix bytes followed by zeros. */
static void node_prefix_bytes(const struct shl_mem_node *node, uint8_t out[PREFIX_MAX + HEAD_BYTES])
{
    memset(out, 0, PREFIX_MAX + HEAD_BYTES);
    for (size_t i = 0; i < PREFIX_WORDS; i++)
        shl_store_u64be(out + 8 * i, env_load_relaxed(&node->prefix[i]));
}

/* Bytes that leave the prefix move into the heads: no key has to be looked at. */
static void node_shorten_prefix(struct shl_mem_node *node, size_t new_len)
{
    size_t old_len = node_prefix_len(node);
    unsigned count = node_count(node);
    SHL_ASSERT(new_len < old_len);
    uint8_t bytes[PREFIX_MAX + HEAD_BYTES];
    node_prefix_bytes(node, bytes);
    uint64_t moved = shl_load_u64be(bytes + new_len);
    size_t shift = old_len - new_len;
    for (unsigned i = 0; i < count; i++) {
        uint64_t kept = shift < 8 ? env_load_relaxed(&node->head[i]) >> (8 * shift) : 0;
        env_store_release(&node->head[i], moved | kept);
    }
    node_set_prefix(node, shl_slice_of(bytes, new_len));
    node_set_meta(node, count, new_len);
}

/* Makes the node's prefix one that `key` has too. */
static void node_admit(struct shl_mem_node *node, struct shl_slice key)
{
    if (node_count(node) == 0) {
        size_t len = shl_min_size(key.len, PREFIX_MAX);
        node_set_prefix(node, shl_slice_of(key.data, len));
        node_set_meta(node, 0, len);
        return;
    }
    uint8_t bytes[PREFIX_MAX + HEAD_BYTES];
    node_prefix_bytes(node, bytes);
    size_t old_len = node_prefix_len(node);
    size_t common = 0;
    while (common < old_len && common < key.len && bytes[common] == key.data[common])
        common++;
    if (common < old_len)
        node_shorten_prefix(node, common);
}

/* After a split left fewer keys: a longer common prefix, if the heads gain enough by it. */
static void node_lengthen_prefix(struct shl_mem_node *node)
{
    unsigned count = node_count(node);
    if (count == 0)
        return;
    struct shl_slice first = shl_mem_entry_key(env_load_relaxed(&node->slot[0]));
    struct shl_slice last = shl_mem_entry_key(env_load_relaxed(&node->slot[count - 1]));
    size_t len = shl_min_size(shl_common_prefix(first, last), PREFIX_MAX);
    if (len < node_prefix_len(node) + PREFIX_GAIN_MIN)
        return;
    for (unsigned i = 0; i < count; i++)
        __builtin_prefetch(env_load_relaxed(&node->slot[i]) + 1);
    for (unsigned i = 0; i < count; i++) {
        struct shl_slice key = shl_mem_entry_key(env_load_relaxed(&node->slot[i]));
        env_store_release(&node->head[i], shl_key_word(key, len));
    }
    node_set_prefix(node, shl_slice_of(first.data, len));
    node_set_meta(node, count, len);
}

static struct mem_inner *inner_of_mut(struct shl_mem_node *node)
{
    SHL_ASSERT(node->level > 0);
    return (struct mem_inner *)(void *)node;
}

/* Inserts at slot `index`; in inner nodes `right` becomes the child behind the separator. The node is not full. */
static void node_insert(struct shl_mem_node *node, unsigned index, const struct shl_mem_entry *e,
                        struct shl_mem_node *right)
{
    struct shl_slice key = shl_mem_entry_key(e);
    unsigned count = node_count(node);
    SHL_ASSERT(count < NODE_KEYS);
    SHL_ASSERT(index <= count);
    if (index == 0 || index == count) /* keys in between have the prefix anyway */
        node_admit(node, key);
    for (unsigned i = count; i > index; i--) {
        env_store_release(&node->head[i], env_load_relaxed(&node->head[i - 1]));
        env_store_release(&node->slot[i], env_load_relaxed(&node->slot[i - 1]));
    }
    env_store_release(&node->head[index], shl_key_word(key, node_prefix_len(node)));
    env_store_release(&node->slot[index], e);
    if (right != NULL) {
        struct mem_inner *inner = inner_of_mut(node);
        for (unsigned i = count + 1; i > index + 1; i--)
            env_store_release(&inner->child[i], env_load_relaxed(&inner->child[i - 1]));
        env_store_release(&inner->child[index + 1], right);
    }
    node_set_meta(node, count + 1, node_prefix_len(node));
}

/* ---------------------------------------------------------------- the writer: splits */

static struct shl_mem_node *node_new(struct shl_mem_tree *t, struct shl_mem_arena *arena,
                                     uint32_t level)
{
    size_t size = level == 0 ? sizeof(struct shl_mem_node) : sizeof(struct mem_inner);
    struct shl_mem_node *node = shl_mem_arena_take(arena, size, NODE_LINE_BYTES);
    atomic_init(&node->version, 0);
    atomic_init(&node->meta, 0);
    node->level = level;
    for (size_t i = 0; i < PREFIX_WORDS; i++)
        atomic_init(&node->prefix[i], 0);
    if (level == 0)
        t->leaf_count++;
    else
        t->inner_count++;
    return node;
}

/* Moves slots [from, count) to the empty node `to`, which takes over the prefix. */
static void node_move_slots(struct shl_mem_node *node, unsigned from, struct shl_mem_node *to)
{
    unsigned count = node_count(node);
    for (unsigned i = from; i < count; i++) {
        env_store_release(&to->head[i - from], env_load_relaxed(&node->head[i]));
        env_store_release(&to->slot[i - from], env_load_relaxed(&node->slot[i]));
    }
    for (size_t i = 0; i < PREFIX_WORDS; i++)
        env_store_release(&to->prefix[i], env_load_relaxed(&node->prefix[i]));
    node_set_meta(to, count - from, node_prefix_len(node));
    node_set_meta(node, from, node_prefix_len(node));
}

/* What a level hands to the one above: a separator and the node behind it. */
struct promotion {
    const struct shl_mem_entry *separator;
    struct shl_mem_node *right;
};

/* Splits a full leaf while inserting `e` at `index`. An append to the last leaf leaves the left one full. */
static struct promotion split_leaf(struct shl_mem_node *leaf, unsigned index,
                                   const struct shl_mem_entry *e, bool append,
                                   struct shl_mem_node *right)
{
    if (append) {
        node_insert(right, 0, e, NULL);
        return (struct promotion){.separator = e, .right = right};
    }
    node_move_slots(leaf, NODE_HALF, right);
    node_lengthen_prefix(leaf);
    node_lengthen_prefix(right);
    if (index <= NODE_HALF)
        node_insert(leaf, index, e, NULL);
    else
        node_insert(right, index - NODE_HALF, e, NULL);
    return (struct promotion){.separator = env_load_relaxed(&right->slot[0]), .right = right};
}

/* Splits a full inner node while inserting what came from below at `index`; the separator in the middle moves up. */
static struct promotion split_inner(struct shl_mem_node *node, unsigned index,
                                    struct promotion below, bool append, struct shl_mem_node *right)
{
    unsigned keep = append ? NODE_KEYS - 1 : NODE_HALF;
    struct mem_inner *left = inner_of_mut(node);
    struct mem_inner *moved = inner_of_mut(right);
    const struct shl_mem_entry *up = env_load_relaxed(&node->slot[keep]);
    for (unsigned i = keep + 1; i <= NODE_KEYS; i++)
        env_store_release(&moved->child[i - keep - 1], env_load_relaxed(&left->child[i]));
    node_move_slots(node, keep + 1, right);
    node_set_meta(node, keep, node_prefix_len(node));
    node_lengthen_prefix(node);
    node_lengthen_prefix(right);
    if (index <= keep)
        node_insert(node, index, below.separator, below.right);
    else
        node_insert(right, index - keep - 1, below.separator, below.right);
    return (struct promotion){.separator = up, .right = right};
}

/* The way from the root (level = height) to a leaf (level 0). */
struct path {
    struct shl_mem_node *node[TREE_HEIGHT_MAX + 1]; /* by level */
    unsigned index[TREE_HEIGHT_MAX + 1];            /* inner: child taken; leaf: slot */
    bool equal;                                     /* the leaf's slot has the key */
    bool right_edge;                                /* the key goes behind all others */
};

static void writer_descend(const struct shl_mem_tree *t, const struct probe *p, struct path *path)
{
    struct shl_mem_node *node = env_load_relaxed(&t->root);
    path->right_edge = true;
    for (unsigned level = t->height; level > 0; level--) {
        SHL_ASSERT(node->level == level);
        unsigned i = route_child(node, SHL_MEM_AT, p);
        path->node[level] = node;
        path->index[level] = i;
        path->right_edge = path->right_edge && i == node_count(node);
        node = env_load_relaxed(&inner_of_mut(node)->child[i]);
        node_prefetch(node, NODE_SEARCH_BYTES);
    }
    struct position at = node_search(node, p);
    path->node[0] = node;
    path->index[0] = at.index;
    path->equal = at.equal;
    path->right_edge = path->right_edge && at.index == node_count(node);
}

static void grow_root(struct shl_mem_tree *t, struct promotion up, struct shl_mem_arena *arena)
{
    SHL_ASSERT(t->height < TREE_HEIGHT_MAX);
    struct shl_mem_node *root = node_new(t, arena, t->height + 1);
    env_store_release(&inner_of_mut(root)->child[0], env_load_relaxed(&t->root));
    node_insert(root, 0, up.separator, up.right);
    t->height++;
    env_store_release(&t->root, root);
}

/* Adds a new key. All touched nodes stay odd until the last one is linked: else a reader could miss what has left the one node and
 * cannot be found through the other yet. */
static void insert_key(struct shl_mem_tree *t, const struct path *path,
                       const struct shl_mem_entry *e, struct shl_mem_arena *arena)
{
    unsigned full = 0; /* levels to split, from the leaf up */
    while (full <= t->height && node_count(path->node[full]) == NODE_KEYS)
        full++;
    unsigned touched = full <= t->height ? full + 1 : full;
    for (unsigned level = touched; level-- > 0;)
        change_begin(path->node[level]);

    struct promotion up = {.separator = e};
    for (unsigned level = 0; level < full; level++) {
        struct shl_mem_node *right = node_new(t, arena, level);
        up = level == 0
                 ? split_leaf(path->node[0], path->index[0], e, path->right_edge, right)
                 : split_inner(path->node[level], path->index[level], up, path->right_edge, right);
    }
    if (touched > full)
        node_insert(path->node[full], path->index[full], up.separator, up.right);
    else
        grow_root(t, up, arena);

    for (unsigned level = 0; level < touched; level++)
        change_end(path->node[level]);
}

void shl_mem_tree_put(struct shl_mem_tree *t, struct shl_mem_entry *e, struct shl_mem_arena *arena)
{
    bool gated = env_load_relaxed(&t->gate->stalled) != 0;
    if (gated)
        env_mutex_lock(&t->gate->mu);
    struct probe p = probe_of(shl_mem_entry_key(e));
    struct path path;
    writer_descend(t, &p, &path);
    if (path.equal) {
        /* Readers of the leaf find the one or the other; both are right, so its version stays. */
        _Atomic(const struct shl_mem_entry *) *slot = &path.node[0]->slot[path.index[0]];
        const struct shl_mem_entry *newest = env_load_relaxed(slot);
        SHL_ASSERT(newest->seq <= e->seq);
        env_store_relaxed(&e->older_flags, env_load_relaxed(&e->older_flags) | (uintptr_t)newest);
        env_store_release(slot, e);
    } else {
        insert_key(t, &path, e, arena);
    }
    if (gated)
        env_mutex_unlock(&t->gate->mu);
}

/* ---------------------------------------------------------------- room */

/* Bytes of a node in the arena with its padding. */
#define LEAF_ROOM  (sizeof(struct shl_mem_node) + NODE_LINE_BYTES)
#define INNER_ROOM (sizeof(struct mem_inner) + NODE_LINE_BYTES)

size_t shl_mem_tree_empty_bytes(void)
{
    return LEAF_ROOM;
}

void shl_mem_tree_init(struct shl_mem_tree *t, struct shl_mem_gate *gate,
                       struct shl_mem_arena *arena)
{
    *t = (struct shl_mem_tree){.gate = gate};
    atomic_init(&t->root, node_new(t, arena, 0));
}

bool shl_mem_tree_room(const struct shl_mem_tree *t, size_t rows, size_t *out_bytes)
{
    if (rows == 1) { /* what the rest gives, without divisions */
        *out_bytes = LEAF_ROOM + (shl_min_size(t->height, 2 * t->inner_count) + 1) * INNER_ROOM;
        return true;
    }
    /* A leaf that is there now can split at the first row it gets, and a half needs 32 more to split again. */
    size_t leaves = shl_min_size(rows, t->leaf_count + rows / (NODE_HALF - 1) + 1);
    /* The same for each level of inner nodes, whose halves have 31 separators at least; summed over the levels. */
    size_t roots = 1;
    for (size_t n = leaves; n >= NODE_HALF - 1; n /= NODE_HALF - 1)
        roots++;
    size_t splits = 2 * t->inner_count + leaves / (NODE_HALF / 2);
    splits += roots * roots; /* levels that are to come */
    size_t inners = splits + roots;
    size_t leaf_bytes;
    size_t inner_bytes;
    return shl_mul_size(leaves, LEAF_ROOM, &leaf_bytes) &&
           shl_mul_size(inners, INNER_ROOM, &inner_bytes) &&
           shl_add_size(leaf_bytes, inner_bytes, out_bytes);
}
