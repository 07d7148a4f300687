/* The memtable: entries in the arena, counters, iterators; the index over them is memtable_tree.c. */
#include "lsm/memtable/memtable.h"

#include "base/assert.h"
#include "base/num.h"
#include "lsm/memtable/memtable_tree.h"

#include <stdalign.h>
#include <string.h>

#define LINE_BYTES  64
#define ENTRY_ALIGN 16 /* leaves the low 4 bits of an address for the flags */
#define FLAGS_MASK  ((uintptr_t)(ENTRY_ALIGN - 1))
#define ITER_AHEAD  16 /* entries whose loading is started ahead of the current one */
#define ITER_LINES  3  /* lines of each: head, key and a 100-byte value */

static_assert((SHL_ROW_TOMBSTONE | SHL_ROW_HAS_EXPIRE | SHL_ROW_HAS_CREATE | SHL_ROW_MERGE) <
                  ENTRY_ALIGN,
              "all flags fit below an entry's address");

struct shl_memtable {
    alignas(LINE_BYTES) struct shl_mem_tree tree; /* what readers load: rarely written */
    /* What the writer writes at every row. */
    alignas(LINE_BYTES) _Atomic size_t encoded_bytes; /* [atomic] relaxed: a counter */
    _Atomic size_t rows;                              /* [atomic] relaxed */
    _Atomic size_t arena_bytes;                       /* [atomic] relaxed */
    struct shl_mem_arena arena;                       /* [writer] */
    alignas(LINE_BYTES) struct shl_mem_gate gate;
    _Atomic uint32_t refs; /* [atomic] */
};

shale_code shl_memtable_new(struct shl_mem_pool *pool, struct shl_memtable **out, shale_error *err)
{
    struct shl_memtable *t = env_alloc_aligned(LINE_BYTES, sizeof *t);
    if (t == NULL)
        return shl_nomem(err);
    shl_mem_arena_init(&t->arena, pool);
    shale_code rc = shl_mem_arena_reserve(&t->arena, shl_mem_tree_empty_bytes(), err);
    if (rc != SHALE_OK) {
        shl_mem_arena_free(&t->arena);
        env_free_aligned(t);
        return rc;
    }
    atomic_init(&t->gate.stalled, 0);
    env_mutex_init(&t->gate.mu);
    shl_mem_tree_init(&t->tree, &t->gate, &t->arena);
    atomic_init(&t->encoded_bytes, 0);
    atomic_init(&t->rows, 0);
    atomic_init(&t->arena_bytes, t->arena.used_bytes);
    atomic_init(&t->refs, 1);
    *out = t;
    return SHALE_OK;
}

struct shl_memtable *shl_memtable_ref(struct shl_memtable *t)
{
    uint32_t before = env_fetch_add(&t->refs, 1u);
    SHL_ASSERT(before > 0 && before < UINT32_MAX);
    return t;
}

void shl_memtable_unref(struct shl_memtable *t)
{
    if (t == NULL)
        return;
    uint32_t before = env_fetch_sub_acq_rel(&t->refs, 1u);
    SHL_ASSERT(before > 0);
    if (before > 1)
        return;
    env_mutex_deinit(&t->gate.mu);
    shl_mem_arena_free(&t->arena);
    env_free_aligned(t);
}

/* ---------------------------------------------------------------- entries */

static const uint8_t *entry_bytes(const struct shl_mem_entry *e)
{
    return (const uint8_t *)(e + 1);
}

void shl_mem_entry_row(const struct shl_mem_entry *e, struct shl_row *out)
{
    uint8_t flags = (uint8_t)(env_load_relaxed(&e->older_flags) & FLAGS_MASK);
    const uint8_t *p = entry_bytes(e);
    out->expire_ts = 0;
    if ((flags & SHL_ROW_HAS_EXPIRE) != 0) {
        memcpy(&out->expire_ts, p, sizeof out->expire_ts);
        p += sizeof out->expire_ts;
    }
    out->key = shl_slice_of(p, e->key_len);
    out->value = shl_slice_of(p + e->key_len, e->value_len);
    out->seq = e->seq;
    out->create_ts = e->create_ts;
    out->flags = flags;
}

const struct shl_mem_entry *shl_mem_entry_older(const struct shl_mem_entry *e)
{
    return (const struct shl_mem_entry *)(env_load_relaxed(&e->older_flags) & ~FLAGS_MASK);
}

static size_t entry_size(const struct shl_row *row)
{
    size_t expire = (row->flags & SHL_ROW_HAS_EXPIRE) != 0 ? sizeof row->expire_ts : 0;
    return sizeof(struct shl_mem_entry) + expire + row->key.len + row->value.len;
}

static void copy_slice(uint8_t *dst, struct shl_slice s)
{
    if (s.len > 0)
        memcpy(dst, s.data, s.len);
}

static struct shl_mem_entry *entry_new(struct shl_mem_arena *arena, const struct shl_row *row)
{
    SHL_ASSERT(row->key.len <= UINT32_MAX);
    SHL_ASSERT(row->value.len <= UINT32_MAX);
    SHL_ASSERT(row->flags < ENTRY_ALIGN);
    struct shl_mem_entry *e = shl_mem_arena_take(arena, entry_size(row), ENTRY_ALIGN);
    atomic_init(&e->older_flags, row->flags);
    e->seq = row->seq;
    e->create_ts = row->create_ts;
    e->key_len = (uint32_t)row->key.len;
    e->value_len = (uint32_t)row->value.len;
    uint8_t *p = (uint8_t *)(e + 1);
    if ((row->flags & SHL_ROW_HAS_EXPIRE) != 0) {
        memcpy(p, &row->expire_ts, sizeof row->expire_ts);
        p += sizeof row->expire_ts;
    }
    copy_slice(p, row->key);
    copy_slice(p + row->key.len, row->value);
    return e;
}

/* ---------------------------------------------------------------- the writer */

shale_code shl_memtable_reserve(struct shl_memtable *t, size_t rows, size_t key_value_bytes,
                                shale_error *err)
{
    const size_t row_overhead =
        sizeof(struct shl_mem_entry) + sizeof(int64_t) + ENTRY_ALIGN; /* head, expire, padding */
    size_t heads;
    size_t bytes;
    size_t nodes;
    if (!shl_mul_size(rows, row_overhead, &heads) ||
        !shl_add_size(heads, key_value_bytes, &bytes) ||
        !shl_mem_tree_room(&t->tree, rows, &nodes) || !shl_add_size(bytes, nodes, &bytes))
        return shl_nomem(err);
    return shl_mem_arena_reserve(&t->arena, bytes, err);
}

/* Only the writer changes counters, so a load and a store make a sum. */
static void counter_add(_Atomic size_t *counter, size_t n)
{
    env_store_relaxed(counter, env_load_relaxed(counter) + n);
}

const struct shl_mem_entry *shl_memtable_add(struct shl_memtable *t, const struct shl_row *row)
{
    struct shl_mem_entry *e = entry_new(&t->arena, row);
    shl_mem_tree_put(&t->tree, e, &t->arena);
    counter_add(&t->encoded_bytes, shl_row_encoded_bytes(row));
    counter_add(&t->rows, 1);
    env_store_relaxed(&t->arena_bytes, t->arena.used_bytes);
    return e;
}

size_t shl_memtable_arena_bytes(const struct shl_memtable *t)
{
    return env_load_relaxed(&t->arena_bytes);
}

size_t shl_memtable_encoded_bytes(const struct shl_memtable *t)
{
    return env_load_relaxed(&t->encoded_bytes);
}

size_t shl_memtable_rows(const struct shl_memtable *t)
{
    return env_load_relaxed(&t->rows);
}

/* ---------------------------------------------------------------- readers */

const struct shl_mem_entry *shl_memtable_get(const struct shl_memtable *t, struct shl_slice key,
                                             uint64_t max_seq)
{
    const struct shl_mem_entry *e = shl_mem_tree_find(&t->tree, key);
    while (e != NULL && e->seq > max_seq)
        e = shl_mem_entry_older(e);
    return e;
}

void shl_memtable_prefetch(const struct shl_memtable *t)
{
    shl_mem_tree_prefetch(&t->tree);
}

/* ---------------------------------------------------------------- iterators */

static void entry_prefetch(const struct shl_mem_entry *e)
{
    const char *p = (const char *)e;
    for (size_t i = 0; i < ITER_LINES; i++)
        __builtin_prefetch(p + i * LINE_BYTES);
}

void shl_memtable_iter_init(struct shl_memtable_iter *it, const struct shl_memtable *t)
{
    it->table = t;
    it->entry = NULL;
    it->count = 0;
    it->index = 0;
    it->low = NULL;
    it->high = NULL;
}

static struct shl_slice no_key(void)
{
    return shl_slice_of(NULL, 0);
}

/* To the slot at it->index, or into the leaf behind. That one begins at the border, which is a key, so it is not empty. */
static void settle_forward(struct shl_memtable_iter *it)
{
    if (it->index == it->count && it->high != NULL)
        (void)shl_mem_tree_load(&it->table->tree, SHL_MEM_AT, shl_mem_entry_key(it->high), it);
    it->entry = it->index < it->count ? it->leaf[it->index] : NULL;
    for (unsigned i = it->index + 1; i < it->count && i <= it->index + ITER_AHEAD; i++)
        entry_prefetch(it->leaf[i]);
}

/* To the slot before it->index, or the last one of the leaf before. */
static void settle_backward(struct shl_memtable_iter *it)
{
    if (it->index == 0 && it->low != NULL) {
        (void)shl_mem_tree_load(&it->table->tree, SHL_MEM_BELOW, shl_mem_entry_key(it->low), it);
        SHL_ASSERT(it->index > 0);
    }
    if (it->index == 0) {
        it->entry = NULL;
        return;
    }
    it->index--;
    it->entry = it->leaf[it->index];
    for (unsigned i = 1; i <= it->index && i <= ITER_AHEAD; i++)
        entry_prefetch(it->leaf[it->index - i]);
}

void shl_memtable_iter_first(struct shl_memtable_iter *it)
{
    (void)shl_mem_tree_load(&it->table->tree, SHL_MEM_FIRST, no_key(), it);
    settle_forward(it);
}

void shl_memtable_iter_last(struct shl_memtable_iter *it)
{
    (void)shl_mem_tree_load(&it->table->tree, SHL_MEM_LAST, no_key(), it);
    settle_backward(it);
}

void shl_memtable_iter_seek(struct shl_memtable_iter *it, struct shl_slice key)
{
    (void)shl_mem_tree_load(&it->table->tree, SHL_MEM_AT, key, it);
    settle_forward(it);
}

void shl_memtable_iter_seek_back(struct shl_memtable_iter *it, struct shl_slice key)
{
    if (shl_mem_tree_load(&it->table->tree, SHL_MEM_AT, key, it))
        it->index++;
    settle_backward(it);
}

void shl_memtable_iter_next(struct shl_memtable_iter *it)
{
    SHL_ASSERT(it->entry != NULL);
    it->index++;
    if (it->index == it->count) {
        settle_forward(it);
        return;
    }
    it->entry = it->leaf[it->index];
    if (it->index + ITER_AHEAD < it->count)
        entry_prefetch(it->leaf[it->index + ITER_AHEAD]);
}

void shl_memtable_iter_prev(struct shl_memtable_iter *it)
{
    SHL_ASSERT(it->entry != NULL);
    if (it->index == 0) {
        settle_backward(it);
        return;
    }
    it->index--;
    it->entry = it->leaf[it->index];
    if (it->index >= ITER_AHEAD)
        entry_prefetch(it->leaf[it->index - ITER_AHEAD]);
}
