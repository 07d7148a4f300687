/* Reading SSTs: handles with their index and filter, the block cache, point probes, and a source over one SST.
 * Design and measurements: performance.md 2, 3, 5.
 *
 * A handle (struct shl_sst) is opened without I/O from what the manifest says; index and filter, its meta, are fetched together at the first
 * lookup (one request), the index alone by a scan, and kept while the meta cache has room. Each data block has a slot in the meta: an atomic pointer to the cached block or
 * NULL. Readers look inside an epoch, without lock or count. A miss is fetched outside of the epoch, once even if several tasks miss it. */
#ifndef SHL_LSM_SST_READ_H
#define SHL_LSM_SST_READ_H

#include "lsm/epoch.h"
#include "lsm/format/manifest.h"
#include "lsm/source.h"
#include "store/store.h"

/* ---- block cache: bounded by bytes, CLOCK with a probationary FIFO, 16 shards */
struct shl_cache;
struct shl_cache_counts {
    uint64_t hits,
        misses; /* misses = loads; hits are sampled or summed without touching shared lines on the hot path */
    uint64_t bytes; /* held now, side tables included */
    uint64_t memory_bytes; /* slabs and blocks outside of them, also those that only readers hold yet */
    uint64_t evicted;
};
/* limit 0: nothing is kept. The epoch is borrowed and outlives the cache. */
SHL_MUST shale_code shl_cache_new(uint64_t limit_bytes, struct shl_epoch *epoch,
                                  struct shl_cache **out, shale_error *err);
/* After all handles that use it; pinned blocks may outlive it. NULL is fine. */
void shl_cache_free(struct shl_cache *c);
void shl_cache_count(const struct shl_cache *c, struct shl_cache_counts *out);

/* ---- indexes and filters, bounded by bytes (meta_cache.h) */
struct shl_meta_cache;
/* limit 0: nothing is kept longer than somebody uses it. */
SHL_MUST shale_code shl_meta_cache_new(uint64_t limit_bytes, struct shl_meta_cache **out,
                                       shale_error *err);
/* After all handles that use it. NULL is fine. */
void shl_meta_cache_free(struct shl_meta_cache *c);
uint64_t shl_meta_cache_bytes(struct shl_meta_cache *c); /* kept now */
/* What came into the caches, for metrics. Lookups of gets that find all in memory are counted by their epoch. */
enum shl_meta_count {
    SHL_META_HELD,          /* index that a scan found in memory */
    SHL_META_INDEX_LOADED,  /* index that a scan or a warm-up fetched */
    SHL_META_LOADED,        /* index that a get fetched, with its filter */
    SHL_META_FILTER_LOADED, /* filter, with the index or later */
    SHL_META_FAILED,        /* one of these, or a block, that could not be fetched */
    SHL_META_COUNTS
};
void shl_meta_cache_note(struct shl_meta_cache *c, enum shl_meta_count what); /* NULL is fine */
uint64_t shl_meta_cache_noted(const struct shl_meta_cache *c, enum shl_meta_count what);

/* ---- what all SSTs of one database share [const] */
struct shl_sst_context {
    struct shl_epoch *epoch;      /* borrowed */
    struct shl_cache *cache;      /* borrowed; NULL: nothing is cached */
    struct shl_meta_cache *metas; /* borrowed; NULL: an index stays as long as its handle */
    const struct shl_transformer *transformer; /* borrowed; NULL: none */
    const struct shl_filter_policy *policies;  /* borrowed; which filters can be used */
    size_t policy_count;
    struct shl_user_filters user_filters;
};

/* ---- a cached block; the raw bytes stay valid while a reference is held or an epoch entered before it was seen is open */
struct shl_block;
struct shl_slice shl_block_raw(const struct shl_block *b);
struct shl_block *
shl_block_ref(struct shl_block *b);        /* only while holding a reference or inside the epoch */
void shl_block_unref(struct shl_block *b); /* NULL is fine */

/* ---- handles */
struct shl_sst;
/* `key` is copied; `desc` gets a reference; store and context are borrowed and outlive the handle. No I/O. */
SHL_MUST shale_code shl_sst_open(const struct shl_sst_context *cx, struct shl_store *store,
                                 const char *key, struct shl_sst_desc *desc, struct shl_sst **out,
                                 shale_error *err);
struct shl_sst *shl_sst_ref(struct shl_sst *t);
/* The last one drops its blocks from the cache and frees it through the epoch. NULL is fine. */
void shl_sst_unref(struct shl_sst *t);
const struct shl_sst_desc *shl_sst_describe(const struct shl_sst *t);
const char *shl_sst_key(const struct shl_sst *t);

/* Fetches and checks index and filter if they are not there yet; blocking; not inside an epoch. On a checksum or decode error it
 * reads once more before it fails with CORRUPTION naming the object. A missing object is CORRUPTION too ("is missing"). */
SHL_MUST shale_code shl_sst_load_meta(struct shl_sst *t, shale_error *err);
bool shl_sst_has_meta(const struct shl_sst *t); /* with the filter; it may leave at once */
size_t shl_sst_block_count(struct shl_sst *t);  /* 0 while the meta is not there */

/* The same, and gives a reference: there may be no room to keep it. Not to be released after the handle, nor inside an epoch. With the last reference
 * the blocks leave the cache. */
struct shl_sst_meta;
SHL_MUST shale_code shl_sst_hold_meta(struct shl_sst *t, struct shl_sst_meta **out,
                                      shale_error *err);
void shl_sst_release_meta(struct shl_sst_meta *m); /* NULL is fine */

/* The same for who reads rows in order: without the filter, unless it is there or has prefixes. A lookup fetches that later. */
SHL_MUST shale_code shl_sst_hold_index(struct shl_sst *t, struct shl_sst_meta **out,
                                       shale_error *err);

/* The same for who reads the SST once, as compactions do: never fetches a filter, and shl_sst_pass_index, instead of release, lets a large index that no
 * lookup with a filter has used leave the meta cache at once. Small ones stay for the next part of the job. */
SHL_MUST shale_code shl_sst_hold_index_once(struct shl_sst *t, struct shl_sst_meta **out,
                                            shale_error *err);
void shl_sst_pass_index(struct shl_sst *t, struct shl_sst_meta *m); /* m NULL is fine */

/* Whether the index is stored under a right crc. If it is, and yet cannot be read, it was not written with this codec and transformer. One request. */
SHL_MUST shale_code shl_sst_index_crc_is_right(struct shl_sst *t, bool *out, shale_error *err);

/* True the first time that it is asked of this handle; by one task. */
bool shl_sst_is_new(struct shl_sst *t);
/* Index, filter and blocks leave the caches; what somebody holds stays with him. Not inside an epoch. */
void shl_sst_evict(struct shl_sst *t);
/* Bytes of the blocks that can hold keys from *lower to *upper (NULL: no bound), as stored. */
uint64_t shl_sst_bytes_between(const struct shl_sst_meta *m, const struct shl_slice *lower,
                               const struct shl_slice *upper);

/* Point lookup, inside an epoch; no I/O. */
enum shl_probe {
    SHL_PROBE_FOUND, /* row is set: slices point into the block (or are the caller's key), block is where it lies */
    SHL_PROBE_MISSING,   /* no version with seq <= max_seq in this SST */
    SHL_PROBE_NEED_META, /* call shl_sst_hold_meta(&meta) outside of the epoch, then probe again */
    SHL_PROBE_NEED_BLOCK, /* call shl_sst_load_block_of(meta, block_index) outside of the epoch, then probe again */
    SHL_PROBE_CORRUPT /* err is set */
};
/* After NEED_BLOCK: struct shl_block *b; shl_sst_load_block_of(t, p.meta, p.block_index, keep, &b, err); shl_block_unref(p.loaded);
 * p.loaded = b; p.loaded_index = p.block_index; with p.meta held before, if it is not yet. */
struct shl_probe_state {
    struct shl_slice key;
    uint64_t hash;            /* shl_filter_hash(key) */
    struct shl_slice context; /* for filters of the application */
    uint64_t max_seq;
    uint32_t block_index;    /* out: with NEED_BLOCK */
    struct shl_row row;      /* out: with FOUND */
    struct shl_block *block; /* out: with FOUND; borrowed */
    uint8_t filter;          /* out, and kept: what the filters said; 0: nobody asked them */
    bool has_start;          /* in: the filters were asked, and the index: */
    uint32_t start_index;    /* what shl_sst_ahead_block gave */
    /* What NEED_BLOCK made the caller load for exactly this SST and key; used instead of the slot, and nothing before it is searched
     * again. NULL at first; owned by the caller, who replaces it at the next NEED_BLOCK and drops it with the lookup. It must be
     * handed in: the cache may not keep the block. */
    struct shl_block *loaded;
    uint32_t loaded_index;
    /* What was held for this SST, and for the same reason; used instead of the handle's. NULL at first; owned by the caller. */
    struct shl_sst_meta *meta;
};
#define SHL_FILTER_SAID_NO  1
#define SHL_FILTER_SAID_YES 2
enum shl_probe shl_sst_probe(struct shl_sst *t, struct shl_probe_state *p, shale_error *err);
/* After NEED_BLOCK, with p->meta held: whether the key, if it is there at all, is most likely in the block after that one. */
bool shl_sst_probe_goes_on(const struct shl_probe_state *p);
/* Continues after FOUND with older versions (seq < row.seq) of the same key: set max_seq = row.seq - 1 and probe again. */

/* Whether the filters let the key pass; true without filter or meta. And the same for a prefix scan. */
bool shl_sst_may_contain(struct shl_sst *t, struct shl_slice key, uint64_t hash);
bool shl_sst_may_contain_prefix(struct shl_sst *t, struct shl_slice prefix,
                                struct shl_slice context);
/* Starts loading the first filter line for this hash into the CPU cache. Inside an epoch. */
void shl_sst_prefetch_filter(const struct shl_sst *t, uint64_t hash);

/* A lookup of one key among several, in stages, so that the cache misses of all are waited for at once: each stage asks for the lines that the next
 * one reads. Inside an epoch; no I/O. */
struct shl_sst_ahead {
    struct shl_slice key;       /* in */
    uint64_t hash;              /* in */
    struct shl_slice context;   /* in: as in shl_probe_state */
    struct shl_bloom_bits bits; /* of the stages */
    uint64_t index_head;
    size_t index_top;
    int index_side;
    uint32_t block_index;
    struct shl_sst_meta *
        meta; /* out: of the SST that stage 1 was asked for last, good inside this epoch; NULL: it is not there */
};
/* 1: the filter's first bit, whose line was prefetched. False: the key is not in it. True without the meta, too. */
bool shl_sst_ahead_filter(const struct shl_sst *t, struct shl_sst_ahead *a);
/* 2, with the meta there: the rest of the filters, then the index. False: as before. */
bool shl_sst_ahead_index(const struct shl_sst *t, struct shl_sst_ahead *a);
/* 3: sets block_index. False: that block is not in the cache. */
bool shl_sst_ahead_block(struct shl_sst *t, struct shl_sst_ahead *a);
/* 4: the entry. */
void shl_sst_ahead_entry(struct shl_sst *t, const struct shl_sst_ahead *a);

/* Fetches, checks and decodes one block; gives a reference in *out. keep: put it into the cache. One fetch even if several tasks ask. Reads
 * once more on a checksum error. Not inside an epoch. */
SHL_MUST shale_code shl_sst_load_block_of(struct shl_sst *t, struct shl_sst_meta *m,
                                          uint32_t block_index, bool keep, struct shl_block **out,
                                          shale_error *err);
/* The same for who holds no meta: fetches that too, if need be. */
SHL_MUST shale_code shl_sst_load_block(struct shl_sst *t, uint32_t block_index, bool keep,
                                       struct shl_block **out, shale_error *err);

/* ---- a source over one SST, cut to a key range */
struct shl_fanout;

/* Memory that the read-ahead of all sources of one scan may take; any task. */
struct shl_read_budget {
    _Atomic uint64_t used_bytes;
    uint64_t max_bytes; /* [const] */
};

struct shl_sst_scan {
    struct shl_key_range
        range; /* effective range of the view; borrowed until the source is closed */
    /* Rows outside of these are not wanted, but may be given; borrowed likewise; NULL: no bound. */
    const struct shl_slice *lower, *upper;
    bool reverse;
    bool use_cache;  /* look into the slots first */
    bool fill_cache; /* keep what is fetched */
    bool passes_by;  /* as shl_sst_pass_index */
    size_t
        window_first_bytes; /* size of the first fetch of neighbouring blocks (at least one block) */
    size_t window_max_bytes; /* it doubles up to here; 256 KiB to 1 MiB is good for a folder */
    /* Where requests take long: the next windows are fetched while rows of this one are read, from the middle of the first window on. When
     * the reader had to wait, twice as many at once, up to SHL_SST_AHEAD_MAX. */
    struct shl_fanout *fanout;      /* borrowed; NULL: no read-ahead */
    struct shl_read_budget *budget; /* borrowed; with fanout */
    unsigned ahead_max;             /* windows to fetch ahead at once; 0: SHL_SST_AHEAD_MAX, which is also the most */
    unsigned ahead_first;           /* windows to fetch ahead from the first row on; 0: see above */
};
#define SHL_SST_AHEAD_MAX 8

/* How fast a source of shl_sst_source_new reads by now, for one that goes on where it ends. */
void shl_sst_source_pace(const struct shl_source *s, size_t *window_bytes, unsigned *ahead);
/* Holds a reference to the handle. The meta is loaded at the first seek. Windows are received into one reused buffer and blocks decoded
 * in place where they are neither compressed nor transformed. */
SHL_MUST shale_code shl_sst_source_new(struct shl_sst *t, const struct shl_sst_scan *how,
                                       struct shl_source **out, shale_error *err);

#endif
