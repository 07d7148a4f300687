/* Inside of reading SSTs: the handle, and what is kept of its index and filter. */
#ifndef SHL_LSM_SST_INTERNAL_H
#define SHL_LSM_SST_INTERNAL_H

#include "base/num.h"
#include "lsm/sst/block_cache.h"
#include "lsm/sst/sst_read.h"

#include <stdalign.h>

#define SHL_SST_GROUP 8 /* blocks per group of the index */
#define SHL_SST_TOP   2 /* groups per head of the top level */

/* Eight neighbouring blocks: one line of heads, one line of slots. */
struct shl_sst_group {
    alignas(64) uint64_t head
        [SHL_SST_GROUP]; /* [const] 8 bytes of the separator after the prefix; UINT64_MAX past the end */
    struct shl_block *_Atomic slot[SHL_SST_GROUP]; /* [atomic] see block_cache.h */
};

/* Index and filters as arrays, in one piece of memory: the FlatBuffer would cost three dependent loads per step of a search. The
 * first key of block 0 is not needed (everything below block 1 is looked for in block 0). */
struct shl_sst_meta {
    size_t block_count;
    _Atomic uint8_t recent; /* [atomic] relaxed: 1 = used since the hand of the meta cache passed */
    /* [atomic] release: 1 = the filters were not fetched, for only scans came by; blooms and filter must not be looked at. Turns 0 once. */
    _Atomic uint8_t bare;
    struct shl_slice prefix; /* common to the separators of all blocks but 0 */
    struct shl_sst_group *groups;
    uint64_t *tops; /* head of every 16th block */
    size_t top_count;
    uint64_t *offsets; /* of the blocks in the file */
    uint32_t *lens;    /* of the blocks as stored, with crc */
    uint32_t *
        separator_ends; /* block i: separators[ends[i - 1] .. ends[i]), without the prefix; [0] = 0 */
    uint8_t *separators;
    _Atomic uint8_t *misses;  /* [atomic] relaxed: of each block, until it is kept; near stores */
    struct shl_bloom *blooms; /* one per policy, pointing into filter */
    struct shl_slice
        *user_filters;     /* one for each of the application's, likewise; data NULL: not there */
    struct shl_buf filter; /* owned */
    /* owners; all above is [const] but for what `bare` guards */
    _Atomic uint32_t
        refs; /* [atomic] the one who has it published, and all who use it outside of an epoch */
    size_t memory_bytes; /* of all this; grows by the filter, under the meta cache's mu */
    uint64_t seed;       /* [const] of the SST's block hashes */
    struct shl_cache
        *cache; /* [const] borrowed; where the blocks of the slots are; NULL: nowhere */
    struct shl_epoch *epoch; /* [const] borrowed */
    _Atomic(struct shl_sst_meta *)
        *home; /* [const] the handle's pointer; alive while this is published */
    struct shl_sst_meta *newer, *older; /* [meta cache's mu] */
    struct shl_retired retired;
};

/* Copies what it needs of the index. Without filters, and not bare. */
SHL_MUST shale_code shl_sst_meta_new(const struct shl_sst_index_view *index,
                                     const struct shl_sst_context *cx, struct shl_sst_meta **out,
                                     shale_error *err);
/* raw lies in *filter, which becomes the meta's on success: a megabyte per million rows is not copied. By one task, before others know of the meta or
 * while it is bare, which it stays. */
SHL_MUST shale_code shl_sst_meta_set_filter(struct shl_sst_meta *m,
                                            const struct shl_sst_context *cx,
                                            enum shl_filter_format format, struct shl_slice raw,
                                            struct shl_buf *filter, shale_error *err);
void shl_sst_meta_free(struct shl_sst_meta *m); /* NULL is fine; nobody may know of it */

static inline void shl_sst_meta_note_use(struct shl_sst_meta *m)
{
    if (env_load_relaxed(&m->recent) == 0)
        env_store_relaxed(&m->recent, 1);
}

static inline struct shl_block *_Atomic *shl_sst_meta_slot(struct shl_sst_meta *m,
                                                           size_t block_index)
{
    return &m->groups[block_index / SHL_SST_GROUP].slot[block_index % SHL_SST_GROUP];
}
/* The block in which a search for `key` begins: the one before the first whose separator is >= key. At least one block. */
size_t shl_sst_meta_seek(const struct shl_sst_meta *m, struct shl_slice key);
/* The same in two halves, so that something else can be done while the lines that `begin` asks for are on their way. */
struct shl_sst_seek {
    struct shl_slice key; /* borrowed */
    uint64_t head;
    size_t top;
    int side; /* of the key against the prefix of all separators */
};
void shl_sst_meta_seek_begin(const struct shl_sst_meta *m, struct shl_slice key,
                             struct shl_sst_seek *out);
size_t shl_sst_meta_seek_end(const struct shl_sst_meta *m, const struct shl_sst_seek *s);
/* The last block that can hold `key`: the last whose separator is <= key, or 0. */
size_t shl_sst_meta_seek_last(const struct shl_sst_meta *m, struct shl_slice key);
/* Sets *out to the separator of block `block_index` >= 1. */
SHL_MUST shale_code shl_sst_meta_separator(const struct shl_sst_meta *m, size_t block_index,
                                           struct shl_buf *out, shale_error *err);
/* Separator of block `block_index` >= 1 against key: <0, 0, >0. */
int shl_sst_meta_compare(const struct shl_sst_meta *m, size_t block_index, struct shl_slice key);

struct shl_sst {
    _Atomic(struct shl_sst_meta *)
        meta;                    /* [atomic] NULL: not in memory; to be looked at inside an epoch */
    struct shl_sst_context cx;   /* [const] */
    struct shl_block *loading;   /* [const] mark of the cache; NULL without */
    struct shl_blob_codec codec; /* [const] */
    unsigned version;            /* [const] block format */
    uint64_t seed;               /* [const] of the block hashes */
    struct shl_store *store;     /* [const] borrowed */
    struct shl_sst_desc *desc;   /* [const] counted */
    char *key;                   /* [const] owned */
    _Atomic uint32_t refs;       /* [atomic] */
    struct shl_retired retired;
    struct env_mutex mu;    /* a leaf lock */
    struct env_cond loaded; /* meta_loading turned false */
    bool meta_loading;      /* [mu] somebody fetches the meta */
    bool was_seen;          /* [the one caller of shl_sst_is_new] */
};

/* Names the block among all of a cache: SST and number. */
static inline uint64_t shl_sst_block_hash(uint64_t seed, size_t block_index)
{
    uint64_t h = seed + (uint64_t)block_index * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    h ^= h >> 32;
    return h == 0 ? 1 : h; /* 0 marks an empty ghost */
}

/* The block in the slot with a new reference, or NULL if none is there. */
struct shl_block *shl_sst_cached_block(struct shl_sst *t, struct shl_sst_meta *m,
                                       size_t block_index);
/* Puts a copy of a raw block that a scan has read into its slot, if that is empty and the cache has room. */
void shl_sst_offer_block(struct shl_sst *t, struct shl_sst_meta *m, size_t block_index,
                         struct shl_slice raw);

/* To be asked before memory for `len` bytes is taken: a manifest has no checksum, so above 64 MiB the object's size is looked at
 * first. Texts name the object. */
SHL_MUST shale_code shl_sst_check_size(struct shl_sst *t, uint64_t offset, uint64_t len,
                                       shale_error *err);
/* One request for bytes of the object. What the manifest promised and the object has not is CORRUPTION. Texts name the object. */
SHL_MUST shale_code shl_sst_fetch(struct shl_sst *t, uint64_t offset, size_t len, uint8_t *dst,
                                  shale_error *err);

#endif
