#include "s4/index.h"

#include "base/assert.h"
#include "base/codec/endian.h"
#include "base/env/env.h"
#include "base/num.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

/* An entry: number of the file (4), length (4), offset (8), length of the key (2), key; padded to 4. A removed one has DEAD_FILE for its file. */
#define ENTRY_BYTES 18
#define ENTRY_ALIGN 4u
#define DEAD_FILE   UINT32_MAX
#define CHUNK_BITS  20u
#define CHUNK_BYTES (1u << CHUNK_BITS)
/* A small store begins with small ones. */
#define CHUNK_FIRST_BYTES (CHUNK_BYTES >> 3)
/* A reference is chunk and place in units of ENTRY_ALIGN, plus one so that 0 is none. */
#define REF_BITS   (CHUNK_BITS - 2)
#define CHUNKS_MAX (UINT32_MAX >> REF_BITS)
#define SLOTS_MIN  16u
#define DEAD_MIN   1024u

static_assert(ENTRY_BYTES + SHL_S4_KEY_MAX + ENTRY_ALIGN < CHUNK_FIRST_BYTES, "every key fits");

static uint32_t chunk_bytes(size_t chunk)
{
    return chunk < 3 ? CHUNK_FIRST_BYTES << chunk : CHUNK_BYTES;
}

struct entry {
    uint32_t file;
    uint32_t length;
    uint64_t offset;
    struct shl_slice key;
};

static uint8_t *bytes_at(const struct shl_s4_index *x, uint32_t ref)
{
    SHL_ASSERT(ref != 0);
    uint32_t chunk = (ref - 1) >> REF_BITS;
    SHL_ASSERT(chunk < x->chunks.count);
    return x->chunks.items[chunk] + ((ref - 1) & ((1u << REF_BITS) - 1)) * ENTRY_ALIGN;
}

static struct entry entry_at(const uint8_t *p)
{
    struct entry e;
    uint16_t key_len;
    memcpy(&e.file, p, 4);
    memcpy(&e.length, p + 4, 4);
    memcpy(&e.offset, p + 8, 8);
    memcpy(&key_len, p + 16, 2);
    e.key = shl_slice_of(p + ENTRY_BYTES, key_len);
    return e;
}

static void set_place(uint8_t *p, uint32_t file, struct shl_s4_loc loc)
{
    memcpy(p, &file, 4);
    memcpy(p + 4, &loc.length, 4);
    memcpy(p + 8, &loc.offset, 8);
}

static uint32_t entry_bytes(size_t key_len)
{
    return (uint32_t)shl_align_up(ENTRY_BYTES + key_len, ENTRY_ALIGN);
}

void shl_s4_index_init(struct shl_s4_index *x)
{
    *x = (struct shl_s4_index){.seed = env_rand64()};
}

void shl_s4_index_free(struct shl_s4_index *x)
{
    for (size_t i = 0; i < x->chunks.count; i++)
        env_free(x->chunks.items[i]);
    shl_array_free(&x->chunks);
    shl_array_free(&x->used);
    shl_array_free(&x->files);
    shl_array_free(&x->by_id);
    env_free(x->slots);
    *x = (struct shl_s4_index){0};
}

/* ---- files by number */

/* Where `id` stands or would stand in by_id. */
static size_t file_place(const struct shl_s4_index *x, uint64_t id)
{
    size_t low = 0;
    size_t high = x->by_id.count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (x->files.items[x->by_id.items[mid]] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static shale_code file_number(struct shl_s4_index *x, uint64_t id, uint32_t *out, shale_error *err)
{
    size_t place = file_place(x, id);
    if (place < x->by_id.count && x->files.items[x->by_id.items[place]] == id) {
        *out = x->by_id.items[place];
        return SHALE_OK;
    }
    if (!shl_array_reserve(&x->files, 1) || !shl_array_reserve(&x->by_id, 1))
        return shl_nomem(err);
    SHL_ASSERT(x->files.count < DEAD_FILE);
    *out = (uint32_t)x->files.count;
    shl_array_add(&x->files, id);
    size_t behind = x->by_id.count - place;
    if (behind > 0)
        memmove(x->by_id.items + place + 1, x->by_id.items + place,
                behind * sizeof *x->by_id.items);
    x->by_id.items[place] = *out;
    x->by_id.count++;
    return SHALE_OK;
}

/* ---- slots: linear probing, homes by the high bits, removal by shifting back */

static uint32_t hash_of(const struct shl_s4_index *x, struct shl_slice key)
{
    return (uint32_t)(XXH3_64bits_withSeed(key.len > 0 ? (const void *)key.data : "", key.len,
                                           x->seed) >>
                      32);
}

static uint32_t home_of(uint32_t hash, uint32_t slot_count)
{
    return (uint32_t)((uint64_t)hash * slot_count >> 32);
}

static uint32_t next_slot(const struct shl_s4_index *x, uint32_t at)
{
    return at + 1 == x->slot_count ? 0 : at + 1;
}

/* The slot of the key, or the free one where it belongs. REQUIRES: a free slot. */
static uint32_t find_slot(const struct shl_s4_index *x, struct shl_slice key, uint32_t hash)
{
    uint32_t at = home_of(hash, x->slot_count);
    for (; x->slots[at].ref != 0; at = next_slot(x, at))
        if (x->slots[at].hash == hash &&
            shl_slice_eq(entry_at(bytes_at(x, x->slots[at].ref)).key, key))
            break;
    return at;
}

/* A quarter stays free. */
static uint64_t slots_for(uint64_t keys)
{
    return keys + keys / 3 + SLOTS_MIN;
}

static shale_code resize(struct shl_s4_index *x, uint64_t slot_count, shale_error *err)
{
    if (slot_count > UINT32_MAX)
        return shl_fail(err, SHALE_INVALID, "%" PRIu32 " keys: that is as many as an index holds",
                        x->count);
    struct shl_s4_slot *fresh = env_calloc((size_t)slot_count, sizeof *fresh);
    if (fresh == NULL)
        return shl_nomem(err);
    struct shl_s4_slot *old = x->slots;
    uint32_t old_count = x->slot_count;
    x->slots = fresh;
    x->slot_count = (uint32_t)slot_count;
    for (uint32_t i = 0; i < old_count; i++) {
        if (old[i].ref == 0)
            continue;
        uint32_t at = home_of(old[i].hash, x->slot_count);
        while (fresh[at].ref != 0)
            at = next_slot(x, at);
        fresh[at] = old[i];
    }
    env_free(old);
    return SHALE_OK;
}

/* Slots for more keys: half as many again at least, so that filling stays linear. */
static shale_code make_room(struct shl_s4_index *x, uint64_t keys, shale_error *err)
{
    uint64_t need = slots_for(x->count + keys);
    if (need <= x->slot_count)
        return SHALE_OK;
    return resize(x, shl_max_u64(need, (uint64_t)x->slot_count + x->slot_count / 2), err);
}

shale_code shl_s4_index_reserve(struct shl_s4_index *x, uint64_t more, uint64_t bytes,
                                shale_error *err)
{
    uint64_t possible = bytes / 18; /* the least that an entry takes */
    uint64_t need = slots_for(x->count + shl_min_u64(more, possible));
    return need > x->slot_count ? resize(x, need, err) : SHALE_OK;
}

/* ---- entries */

static shale_code new_chunk(struct shl_s4_index *x, shale_error *err)
{
    if (x->chunks.count == CHUNKS_MAX)
        return shl_fail(err, SHALE_INVALID, "the keys of an index take at most 16 GiB");
    if (!shl_array_reserve(&x->chunks, 1) || !shl_array_reserve(&x->used, 1))
        return shl_nomem(err);
    uint8_t *chunk = env_alloc(chunk_bytes(x->chunks.count));
    if (chunk == NULL)
        return shl_nomem(err);
    shl_array_add(&x->chunks, chunk);
    shl_array_add(&x->used, 0);
    return SHALE_OK;
}

static bool fits(const struct shl_s4_index *x, uint64_t bytes)
{
    return x->chunk < x->chunks.count && chunk_bytes(x->chunk) - x->used.items[x->chunk] >= bytes;
}

/* Room for an entry at the end. Nothing is taken yet. */
static shale_code entry_room(struct shl_s4_index *x, size_t key_len, shale_error *err)
{
    if (fits(x, entry_bytes(key_len)))
        return SHALE_OK;
    if (x->chunk + 1 >= x->chunks.count) {
        shale_code rc = new_chunk(x, err);
        if (rc != SHALE_OK)
            return rc;
    }
    x->chunk += x->used.items[x->chunk] > 0;
    return SHALE_OK;
}

shale_code shl_s4_index_room(struct shl_s4_index *x, uint64_t keys, uint64_t key_bytes,
                             uint32_t files, shale_error *err)
{
    uint64_t bytes = keys * (ENTRY_BYTES + ENTRY_ALIGN) + key_bytes;
    uint64_t room = fits(x, bytes) ? bytes : 0;
    shale_code rc = make_room(x, keys, err);
    /* Each chunk may end with a gap that is too small for the next entry. */
    for (size_t i = x->chunk + (x->chunks.count > 0); rc == SHALE_OK && room < bytes; i++) {
        while (rc == SHALE_OK && x->chunks.count <= i)
            rc = new_chunk(x, err);
        room += chunk_bytes(i) - entry_bytes(SHL_S4_KEY_MAX);
    }
    if (rc != SHALE_OK)
        return rc;
    if (!shl_array_reserve(&x->files, files) || !shl_array_reserve(&x->by_id, files))
        return shl_nomem(err);
    return SHALE_OK;
}

static uint32_t append_entry(struct shl_s4_index *x, struct shl_slice key, uint32_t file,
                             struct shl_s4_loc loc)
{
    size_t chunk = x->chunk;
    uint32_t at = x->used.items[chunk];
    uint8_t *p = x->chunks.items[chunk] + at;
    uint16_t key_len = (uint16_t)key.len;
    set_place(p, file, loc);
    memcpy(p + 16, &key_len, 2);
    if (key.len > 0)
        memcpy(p + ENTRY_BYTES, key.data, key.len);
    x->used.items[chunk] += entry_bytes(key.len);
    return ((uint32_t)chunk << REF_BITS | at / ENTRY_ALIGN) + 1;
}

shale_code shl_s4_index_put(struct shl_s4_index *x, struct shl_slice key, struct shl_s4_loc loc,
                            shale_error *err)
{
    uint32_t file = 0;
    uint32_t at;
    uint32_t hash = hash_of(x, key);
    shale_code rc;
    SHL_ASSERT(key.len <= SHL_S4_KEY_MAX);
    SHL_TRY(make_room(x, 1, err));
    SHL_TRY(file_number(x, loc.file, &file, err));
    at = find_slot(x, key, hash);
    if (x->slots[at].ref != 0) {
        set_place(bytes_at(x, x->slots[at].ref), file, loc);
        return SHALE_OK;
    }
    SHL_TRY(entry_room(x, key.len, err));
    x->slots[at] = (struct shl_s4_slot){.hash = hash, .ref = append_entry(x, key, file, loc)};
    x->count++;
    x->key_bytes += key.len;
out:
    return rc;
}

bool shl_s4_index_get(const struct shl_s4_index *x, struct shl_slice key, struct shl_s4_loc *out)
{
    if (x->count == 0)
        return false;
    uint32_t at = find_slot(x, key, hash_of(x, key));
    if (x->slots[at].ref == 0)
        return false;
    struct shl_slice same;
    shl_s4_index_at(x, x->slots[at].ref, &same, out);
    return true;
}

static void free_slot(struct shl_s4_index *x, uint32_t hole)
{
    uint32_t at = hole;
    for (;;) {
        at = next_slot(x, at);
        if (x->slots[at].ref == 0)
            break;
        uint32_t home = home_of(x->slots[at].hash, x->slot_count);
        /* It may move into the hole unless its home lies behind the hole, seen in the direction of probing. */
        bool stays = hole <= at ? home > hole && home <= at : home > hole || home <= at;
        if (stays)
            continue;
        x->slots[hole] = x->slots[at];
        hole = at;
    }
    x->slots[hole] = (struct shl_s4_slot){0};
}

/* Copies the living entries together. If there is no memory for it, the dead stay. */
static void drop_dead(struct shl_s4_index *x)
{
    struct shl_s4_index fresh = {.seed = x->seed};
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref;
    shale_error ignored;
    shale_code rc = shl_s4_index_reserve(&fresh, x->count, UINT64_MAX, &ignored);
    while (rc == SHALE_OK && shl_s4_index_next(x, &c, &key, &loc, &ref))
        rc = shl_s4_index_put(&fresh, key, loc, &ignored);
    if (rc != SHALE_OK) {
        shl_s4_index_free(&fresh);
        return;
    }
    shl_s4_index_free(x);
    *x = fresh;
}

bool shl_s4_index_remove(struct shl_s4_index *x, struct shl_slice key)
{
    static const uint32_t dead = DEAD_FILE;
    if (x->count == 0)
        return false;
    uint32_t at = find_slot(x, key, hash_of(x, key));
    if (x->slots[at].ref == 0)
        return false;
    memcpy(bytes_at(x, x->slots[at].ref), &dead, sizeof dead);
    free_slot(x, at);
    x->count--;
    x->dead++;
    x->key_bytes -= key.len;
    if (x->dead >= DEAD_MIN && x->dead > x->count)
        drop_dead(x);
    return true;
}

/* ---- walking */

bool shl_s4_index_next(const struct shl_s4_index *x, struct shl_s4_cursor *c,
                       struct shl_slice *out_key, struct shl_s4_loc *out, uint32_t *out_ref)
{
    while (c->chunk < x->chunks.count) {
        if (c->at >= x->used.items[c->chunk]) {
            c->chunk++;
            c->at = 0;
            continue;
        }
        uint32_t ref = (c->chunk << REF_BITS | c->at / ENTRY_ALIGN) + 1;
        struct entry e = entry_at(bytes_at(x, ref));
        c->at += entry_bytes(e.key.len);
        if (e.file == DEAD_FILE)
            continue;
        *out_ref = ref;
        shl_s4_index_at(x, ref, out_key, out);
        return true;
    }
    return false;
}

void shl_s4_index_at(const struct shl_s4_index *x, uint32_t ref, struct shl_slice *out_key,
                     struct shl_s4_loc *out)
{
    struct entry e = entry_at(bytes_at(x, ref));
    SHL_ASSERT(e.file < x->files.count);
    *out_key = e.key;
    *out =
        (struct shl_s4_loc){.file = x->files.items[e.file], .offset = e.offset, .length = e.length};
}

/* ---- by file and offset */

/* ranks[number] of a file by id. NULL: no memory. */
static uint32_t *file_ranks(const struct shl_s4_index *x)
{
    uint32_t *ranks = env_calloc(x->files.count + 1, sizeof *ranks);
    for (size_t i = 0; ranks != NULL && i < x->by_id.count; i++)
        ranks[x->by_id.items[i]] = (uint32_t)i;
    return ranks;
}

static int by_place(const void *a, const void *b)
{
    const struct shl_s4_place *p = a;
    const struct shl_s4_place *q = b;
    if (p->file != q->file)
        return p->file < q->file ? -1 : 1;
    return p->offset < q->offset ? -1 : p->offset > q->offset ? 1 : 0;
}

shale_code shl_s4_index_places(const struct shl_s4_index *x, struct shl_s4_places *out,
                               shale_error *err)
{
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref;
    bool sorted = true;
    uint32_t *ranks = file_ranks(x);
    if (ranks == NULL || !shl_array_reserve(&out->list, x->count)) {
        env_free(ranks);
        return shl_nomem(err);
    }
    while (shl_s4_index_next(x, &c, &key, &loc, &ref)) {
        struct entry e = entry_at(bytes_at(x, ref));
        struct shl_s4_place p = {.offset = loc.offset, .file = ranks[e.file], .ref = ref};
        size_t n = out->list.count;
        sorted = sorted && (n == 0 || by_place(&out->list.items[n - 1], &p) <= 0);
        shl_array_add(&out->list, p);
    }
    if (!sorted)
        qsort(out->list.items, out->list.count, sizeof *out->list.items, by_place);
    env_free(ranks);
    return SHALE_OK;
}

void shl_s4_places_free(struct shl_s4_places *p)
{
    shl_array_free(&p->list);
}

shale_code shl_s4_index_files(const struct shl_s4_index *x, struct shl_s4_ids *out,
                              shale_error *err)
{
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref;
    uint32_t *uses = env_calloc(x->files.count + 1, sizeof *uses);
    if (uses == NULL || !shl_array_reserve(&out->ids, x->files.count)) {
        env_free(uses);
        return shl_nomem(err);
    }
    while (shl_s4_index_next(x, &c, &key, &loc, &ref))
        uses[entry_at(bytes_at(x, ref)).file]++;
    for (size_t i = 0; i < x->by_id.count; i++)
        if (uses[x->by_id.items[i]] > 0)
            shl_array_add(&out->ids, x->files.items[x->by_id.items[i]]);
    env_free(uses);
    return SHALE_OK;
}

size_t shl_s4_ids_find(const struct shl_s4_ids *ids, uint64_t id)
{
    size_t low = 0;
    size_t high = ids->ids.count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (ids->ids.items[mid] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < ids->ids.count && ids->ids.items[low] == id ? low : SIZE_MAX;
}

bool shl_s4_ids_have(const struct shl_s4_ids *ids, uint64_t id)
{
    return shl_s4_ids_find(ids, id) != SIZE_MAX;
}

void shl_s4_ids_free(struct shl_s4_ids *ids)
{
    shl_array_free(&ids->ids);
}

/* ---- the object */

shale_code shl_s4_index_encode(const struct shl_s4_index *x, uint8_t version,
                               uint32_t next_file_num, struct shl_buf *out, shale_error *err)
{
    const struct shl_s4_index_head head = {
        .version = version, .next_file_num = next_file_num, .count = x->count};
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref;
    shale_code rc;
    SHL_TRY(shl_buf_reserve(out, (size_t)(x->key_bytes + (uint64_t)x->count * 22 + 16), err));
    SHL_TRY(shl_s4_index_begin(out, &head, err));
    while (shl_s4_index_next(x, &c, &key, &loc, &ref))
        SHL_TRY(shl_s4_index_entry(out, version, key, loc, err));
    SHL_TRY(shl_s4_index_end(out, version, err));
out:
    return rc;
}

struct loading {
    struct shl_s4_index *x;
    struct shl_s4_index_head *head;
    size_t bytes;
};

static shale_code on_head(void *ctx, const struct shl_s4_index_head *head, shale_error *err)
{
    struct loading *l = ctx;
    *l->head = *head;
    return shl_s4_index_reserve(l->x, head->count, l->bytes, err);
}

static shale_code on_entry(void *ctx, struct shl_slice key, struct shl_s4_loc loc, shale_error *err)
{
    struct loading *l = ctx;
    return shl_s4_index_put(l->x, key, loc, err);
}

shale_code shl_s4_index_load(struct shl_s4_index *x, struct shl_slice blob,
                             struct shl_s4_index_head *out_head, shale_error *err)
{
    struct loading l = {.x = x, .head = out_head, .bytes = blob.len};
    return shl_s4_index_decode(blob, on_head, on_entry, &l, err);
}

uint64_t shl_s4_index_memory(const struct shl_s4_index *x)
{
    uint64_t chunks = 0;
    for (size_t i = 0; i < x->chunks.count; i++)
        chunks += chunk_bytes(i);
    return (uint64_t)x->slot_count * sizeof *x->slots + chunks +
           x->files.cap * sizeof *x->files.items + x->by_id.cap * sizeof *x->by_id.items +
           x->chunks.cap * (sizeof *x->chunks.items + sizeof *x->used.items);
}
