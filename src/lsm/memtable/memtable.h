/* The memtable: a B+-tree of leaf arrays with one slot per user key, each a chain of versions (newest first), in an arena.
 * Design and measurements: performance.md 1. One writer at a time (the database's write lock); any number of readers, without
 * locks: a sequence lock per node. Entries never move and live as long as the table.
 *
 * A reader must keep the table alive: by the epoch of the version it came from, or by a reference. */
#ifndef SHL_LSM_MEMTABLE_H
#define SHL_LSM_MEMTABLE_H

#include "base/env/env.h"
#include "lsm/format/row.h"
#include <assert.h>

/* One version of a key in the arena. older_flags: address of the next older version, enum shl_row_flag bits in its low 4 bits.
 * The bytes behind the struct: expire_ts (8 bytes, only with HAS_EXPIRE), key, value. */
struct shl_mem_entry {
    _Atomic uintptr_t older_flags;
    uint64_t seq;
    int64_t create_ts;
    uint32_t key_len;
    uint32_t value_len;
};
static_assert(sizeof(struct shl_mem_entry) == 32, "memtable entries have a 32-byte head");

struct shl_memtable;

struct shl_mem_pool;
/* pool: where chunks of its arena come from and go to (memtable_arena.h); NULL: fresh ones. */
SHL_MUST shale_code shl_memtable_new(struct shl_mem_pool *pool, struct shl_memtable **out,
                                     shale_error *err);
struct shl_memtable *shl_memtable_ref(struct shl_memtable *t);
void shl_memtable_unref(struct shl_memtable *t); /* NULL is fine */

/* ---- the writer */
/* Makes sure that the rows given (by count and by the sum of their key and value bytes) can be added without any further
 * allocation. NOMEM leaves the table as it was. */
SHL_MUST shale_code shl_memtable_reserve(struct shl_memtable *t, size_t rows,
                                         size_t key_value_bytes, shale_error *err);
/* Copies the row into the arena and links it. Room must have been reserved. Its seq is not lower than that of the key's newest version;
 * with an equal seq (replayed twice) it is put in front. Returns the entry, which lives as long as the table. */
const struct shl_mem_entry *shl_memtable_add(struct shl_memtable *t, const struct shl_row *row);

/* Counters; exact for the writer, and a moment old for others. */
size_t shl_memtable_arena_bytes(
    const struct shl_memtable *t); /* memory in use, without what is only reserved */
size_t shl_memtable_encoded_bytes(const struct shl_memtable *t); /* sum of shl_row_encoded_bytes */
size_t shl_memtable_rows(const struct shl_memtable *t);          /* versions, not keys */

/* ---- readers */
/* The row of an entry; slices point into the arena. */
void shl_mem_entry_row(const struct shl_mem_entry *e, struct shl_row *out);
const struct shl_mem_entry *
shl_mem_entry_older(const struct shl_mem_entry *e); /* NULL at the end */
/* Newest version of `key` with seq <= max_seq; NULL if none. */
const struct shl_mem_entry *shl_memtable_get(const struct shl_memtable *t, struct shl_slice key,
                                             uint64_t max_seq);
/* Starts loading the root's lines into the cache: for staged lookups. */
void shl_memtable_prefetch(const struct shl_memtable *t);

/* Walks keys in order; each stop is the newest version of a key (follow shl_mem_entry_older). Copies a leaf's slots at a time, so a
 * concurrent writer neither blocks nor confuses it: keys present at its creation are met exactly once, later ones maybe. */
#define SHL_MEMTABLE_LEAF 64
struct shl_memtable_iter {
    const struct shl_memtable *table;  /* borrowed */
    const struct shl_mem_entry *entry; /* current; NULL past either end */
    const struct shl_mem_entry *leaf[SHL_MEMTABLE_LEAF];
    unsigned count;
    unsigned index;
    const struct shl_mem_entry *low;  /* the leaf's keys are >= its key; NULL: the first leaf */
    const struct shl_mem_entry *high; /* and < its key; NULL: the last leaf */
};
/* Then position it; next and prev only while there is an entry. */
void shl_memtable_iter_init(struct shl_memtable_iter *it, const struct shl_memtable *t);
void shl_memtable_iter_first(struct shl_memtable_iter *it);
void shl_memtable_iter_last(struct shl_memtable_iter *it);
void shl_memtable_iter_seek(struct shl_memtable_iter *it, struct shl_slice key); /* first key >= */
void shl_memtable_iter_seek_back(struct shl_memtable_iter *it,
                                 struct shl_slice key); /* last key <= */
void shl_memtable_iter_next(struct shl_memtable_iter *it);
void shl_memtable_iter_prev(struct shl_memtable_iter *it);

#endif
