/* The map from keys to places of records, in little memory: some 30 bytes a key beside the key itself.
 *
 * Entries lie one behind the other in chunks, in the order in which their keys came; a table of 8-byte slots finds them. A removed entry stays
 * until there are more dead than living ones. One task at a time; reading by several at once is fine while nobody writes. */
#ifndef SHL_S4_INDEX_H
#define SHL_S4_INDEX_H

#include "base/array.h"
#include "s4/format.h"

struct shl_s4_slot {
    uint32_t hash;
    uint32_t ref; /* of the entry; 0: free */
};

struct shl_s4_index {
    struct shl_s4_slot *slots; /* owned */
    uint32_t slot_count;
    uint32_t count;              /* living keys */
    uint32_t dead;               /* entries of removed keys */
    uint64_t key_bytes;          /* of living keys */
    uint64_t seed;               /* of the hash */
    size_t chunk;                /* where entries are added; those behind it are empty */
    SHL_ARRAY(uint8_t *) chunks; /* owned, of one size */
    SHL_ARRAY(uint32_t) used;    /* bytes of each chunk */
    SHL_ARRAY(uint64_t) files;   /* ids by number */
    SHL_ARRAY(uint32_t) by_id;   /* numbers, ascending by id */
};

void shl_s4_index_init(struct shl_s4_index *x);
void shl_s4_index_free(struct shl_s4_index *x); /* {0} is fine; it is {0} again */

/* Makes room for so many more keys, so that nothing grows while they come. The claim is not trusted beyond `bytes`, the length of the blob that makes it. */
SHL_MUST shale_code shl_s4_index_reserve(struct shl_s4_index *x, uint64_t more, uint64_t bytes,
                                         shale_error *err);
/* Makes room for so many keys, of so many bytes together, in so many files that are new: putting them does not fail then. */
SHL_MUST shale_code shl_s4_index_room(struct shl_s4_index *x, uint64_t keys, uint64_t key_bytes,
                                      uint32_t files, shale_error *err);
/* A known key keeps its place in the order. Errors: NOMEM (nothing changed). */
SHL_MUST shale_code shl_s4_index_put(struct shl_s4_index *x, struct shl_slice key,
                                     struct shl_s4_loc loc, shale_error *err);
SHL_MUST bool shl_s4_index_get(const struct shl_s4_index *x, struct shl_slice key,
                               struct shl_s4_loc *out);
/* True if it was there. Never fails. */
bool shl_s4_index_remove(struct shl_s4_index *x, struct shl_slice key);

/* Walks living entries in their order. Start with {0}; nothing may change meanwhile. */
struct shl_s4_cursor {
    uint32_t chunk;
    uint32_t at;
};
SHL_MUST bool shl_s4_index_next(const struct shl_s4_index *x, struct shl_s4_cursor *c,
                                struct shl_slice *out_key, struct shl_s4_loc *out,
                                uint32_t *out_ref);
/* The entry of a reference that shl_s4_index_next gave; valid until something changes. */
void shl_s4_index_at(const struct shl_s4_index *x, uint32_t ref, struct shl_slice *out_key,
                     struct shl_s4_loc *out);

/* The files that living entries are in, ascending, once each: appended to `out` by shl_array_push of ids. Errors: NOMEM. */
struct shl_s4_ids {
    SHL_ARRAY(uint64_t) ids; /* owned */
};
SHL_MUST shale_code shl_s4_index_files(const struct shl_s4_index *x, struct shl_s4_ids *out,
                                       shale_error *err);
size_t shl_s4_ids_find(const struct shl_s4_ids *ids, uint64_t id); /* its place; SIZE_MAX: it is not among them */
bool shl_s4_ids_have(const struct shl_s4_ids *ids, uint64_t id);
void shl_s4_ids_free(struct shl_s4_ids *ids);

/* All living entries in the order of their places: file, then offset. Errors: NOMEM. */
struct shl_s4_place {
    uint64_t offset;
    uint32_t file; /* rank of the file by id */
    uint32_t ref;
};
struct shl_s4_places {
    SHL_ARRAY(struct shl_s4_place) list; /* owned */
};
SHL_MUST shale_code shl_s4_index_places(const struct shl_s4_index *x, struct shl_s4_places *out,
                                        shale_error *err);
void shl_s4_places_free(struct shl_s4_places *p);

/* The whole index as an object of that version, and back (appending to what is there). */
SHL_MUST shale_code shl_s4_index_encode(const struct shl_s4_index *x, uint8_t version,
                                        uint32_t next_file_num, struct shl_buf *out,
                                        shale_error *err);
SHL_MUST shale_code shl_s4_index_load(struct shl_s4_index *x, struct shl_slice blob,
                                      struct shl_s4_index_head *out_head, shale_error *err);

/* What it takes, as asked from the allocator. */
uint64_t shl_s4_index_memory(const struct shl_s4_index *x);

#endif
