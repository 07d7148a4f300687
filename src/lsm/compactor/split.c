#include "lsm/compactor/split.h"

#include "base/env/env.h"
#include "base/num.h"

#include <stdlib.h>

void shl_anchors_free(struct shl_anchors *a)
{
    shl_buf_free(&a->keys);
    shl_array_free(&a->items);
    *a = (struct shl_anchors){.total_bytes = 0};
}

shale_code shl_anchors_add(struct shl_anchors *a, struct shl_slice key, uint64_t bytes,
                           shale_error *err)
{
    struct shl_anchor anchor = {.at = a->keys.len, .len = key.len, .bytes = bytes};
    if (!shl_array_reserve(&a->items, 1))
        return shl_nomem(err);
    shale_code rc = shl_buf_append(&a->keys, key.data, key.len, err);
    if (rc != SHALE_OK)
        return rc;
    shl_array_add(&a->items, anchor);
    a->total_bytes += bytes;
    return SHALE_OK;
}

struct sorted {
    struct shl_slice key;
    uint64_t bytes;
};

static int by_key(const void *a, const void *b)
{
    const struct sorted *x = a;
    const struct sorted *y = b;
    return shl_slice_cmp(x->key, y->key);
}

shale_code shl_split(struct shl_anchors *a, size_t parts_max, uint64_t part_min, shl_cuts *out,
                     shale_error *err)
{
    size_t n = a->items.count;
    if (parts_max <= 1 || n == 0)
        return SHALE_OK;
    struct sorted *list = env_calloc(n, sizeof *list);
    if (list == NULL || !shl_array_reserve(out, parts_max - 1)) {
        env_free(list);
        return shl_nomem(err);
    }
    for (size_t i = 0; i < n; i++)
        list[i] = (struct sorted){
            .key = shl_slice_of(a->keys.data + a->items.items[i].at, a->items.items[i].len),
            .bytes = a->items.items[i].bytes};
    qsort(list, n, sizeof *list, by_key);
    uint64_t target = shl_max_u64(shl_max_u64(a->total_bytes / parts_max, a->largest_bytes),
                                  shl_max_u64(part_min, 1));
    uint64_t sum = 0;
    struct shl_slice last = list[0].key; /* nothing lies before it */
    for (size_t i = 0; i < n && out->count < parts_max - 1; i++) {
        bool left_is_enough = a->total_bytes - sum >= shl_max_u64(part_min, 1);
        if (sum >= target * (out->count + 1) && left_is_enough &&
            shl_slice_cmp(list[i].key, last) > 0) {
            shl_array_add(out, list[i].key);
            last = list[i].key;
        }
        sum += list[i].bytes;
    }
    env_free(list);
    return SHALE_OK;
}
