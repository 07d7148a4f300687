#include "lsm/key_set.h"

#include "base/env/env.h"
#include <string.h>
#include <xxhash.h>

#define SLOTS_FIRST 64
#define KEYS_MAX    ((size_t)1 << 31)

void shl_key_set_deinit(struct shl_key_set *s)
{
    shl_buf_free(&s->bytes);
    shl_array_free(&s->keys);
    env_free(s->slots);
    *s = (struct shl_key_set){0};
}

/* The slot that holds the key, or the free one where it belongs. */
static size_t find(const struct shl_key_set *s, struct shl_slice key, uint64_t hash)
{
    size_t i = (size_t)hash & (s->slot_count - 1);
    while (s->slots[i] != 0) {
        const struct shl_key_at *k = &s->keys.items[s->slots[i] - 1];
        if (k->hash == hash && shl_slice_eq(shl_slice_of(s->bytes.data + k->offset, k->len), key))
            break;
        i = (i + 1) & (s->slot_count - 1);
    }
    return i;
}

static shale_code grow(struct shl_key_set *s, shale_error *err)
{
    size_t count = s->slot_count == 0 ? SLOTS_FIRST : 2 * s->slot_count;
    uint32_t *slots = env_calloc(count, sizeof *slots);
    if (slots == NULL)
        return shl_nomem(err);
    for (size_t k = 0; k < s->keys.count; k++) {
        size_t i = (size_t)s->keys.items[k].hash & (count - 1);
        while (slots[i] != 0)
            i = (i + 1) & (count - 1);
        slots[i] = (uint32_t)k + 1;
    }
    env_free(s->slots);
    s->slots = slots;
    s->slot_count = count;
    return SHALE_OK;
}

shale_code shl_key_set_add(struct shl_key_set *s, struct shl_slice key, shale_error *err)
{
    uint64_t hash = XXH3_64bits(key.data, key.len);
    shale_code rc = SHALE_OK;
    if (s->keys.count >= KEYS_MAX)
        return shl_nomem(err);
    if (2 * (s->keys.count + 1) > s->slot_count)
        rc = grow(s, err);
    if (rc != SHALE_OK)
        return rc;
    size_t i = find(s, key, hash);
    if (s->slots[i] != 0)
        return SHALE_OK;
    struct shl_key_at at = {.offset = s->bytes.len, .len = key.len, .hash = hash};
    if (!shl_array_reserve(&s->keys, 1))
        return shl_nomem(err);
    rc = shl_buf_append(&s->bytes, key.data, key.len, err);
    if (rc != SHALE_OK)
        return rc;
    shl_array_add(&s->keys, at);
    s->slots[i] = (uint32_t)s->keys.count;
    return SHALE_OK;
}

bool shl_key_set_has(const struct shl_key_set *s, struct shl_slice key)
{
    return s->keys.count > 0 && s->slots[find(s, key, XXH3_64bits(key.data, key.len))] != 0;
}
