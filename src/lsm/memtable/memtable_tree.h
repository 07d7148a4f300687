/* The memtable's index: a B+-tree whose leaves hold one slot per user key. Internal to the memtable.
 *
 *   node   version | count, prefix length | prefix common to the node's keys (<= 24 bytes) | head[64] | slot[64]
 *   inner  the same, its slots being separators, and child[65]: child[i] has the keys in [slot[i-1], slot[i])
 *
 * head[i] is the 8 key bytes behind the node's prefix, big-endian, zero-padded: a search compares numbers and looks at an
 * entry only on a tie. Nodes are never freed or merged while the tree lives, so a stale pointer still leads to a node.
 *
 * One writer. Readers follow each node's sequence lock: the version is odd while the node changes, a reader notes it, works, and starts
 * over if it has changed. The writer stores every word of a node with release, readers load with acquire: no fences. */
#ifndef SHL_LSM_MEMTABLE_TREE_H
#define SHL_LSM_MEMTABLE_TREE_H

#include "lsm/memtable/memtable.h"
#include "lsm/memtable/memtable_arena.h"

struct shl_mem_node;

/* The way out for a reader that the writer keeps disturbing. */
struct shl_mem_gate {
    _Atomic uint32_t stalled; /* [atomic] readers that want the lock; a hint, so relaxed */
    struct env_mutex
        mu; /* held by a stalled reader; by the writer for one insert while somebody is stalled */
};

struct shl_mem_tree {
    _Atomic(struct shl_mem_node *) root; /* [atomic] release / acquire */
    struct shl_mem_gate *gate;           /* [const] borrowed */
    unsigned height;                     /* [writer] levels of inner nodes */
    size_t leaf_count;                   /* [writer] */
    size_t inner_count;                  /* [writer] */
};

/* Arena bytes for an empty tree. */
size_t shl_mem_tree_empty_bytes(void);
/* Takes them. */
void shl_mem_tree_init(struct shl_mem_tree *t, struct shl_mem_gate *gate,
                       struct shl_mem_arena *arena);
/* Arena bytes that adding `rows` more keys can take at most; false if that overflows. */
SHL_MUST bool shl_mem_tree_room(const struct shl_mem_tree *t, size_t rows, size_t *out_bytes);
/* Links the entry, in front of the one that has its key now. Its `older` address is still 0. Room is reserved. Writer only. */
void shl_mem_tree_put(struct shl_mem_tree *t, struct shl_mem_entry *e, struct shl_mem_arena *arena);

/* Newest entry of the key, or NULL. */
const struct shl_mem_entry *shl_mem_tree_find(const struct shl_mem_tree *t, struct shl_slice key);
void shl_mem_tree_prefetch(const struct shl_mem_tree *t);

/* Which leaf to load. */
enum shl_mem_route {
    SHL_MEM_FIRST,
    SHL_MEM_LAST,
    SHL_MEM_AT,   /* the one whose range holds the key */
    SHL_MEM_BELOW /* the one that holds the greatest key below the key */
};
/* Copies a leaf's slots and borders into `it`; it->index is the first slot with a key >= `key` (FIRST: 0, LAST: the count). True if
 * that slot's key is equal. */
bool shl_mem_tree_load(const struct shl_mem_tree *t, enum shl_mem_route route, struct shl_slice key,
                       struct shl_memtable_iter *it);

struct shl_slice shl_mem_entry_key(const struct shl_mem_entry *e);

#endif
