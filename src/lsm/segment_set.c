#include "lsm/segment_set.h"

#include "base/env/env.h"

void shl_segment_set_deinit(struct shl_segment_set *s)
{
    for (size_t i = 0; i < s->prefixes.count; i++)
        shl_buf_free(&s->prefixes.items[i]);
    shl_array_free(&s->prefixes);
}

/* The first that is not below the prefix. */
static size_t find(const struct shl_segment_set *s, struct shl_slice prefix)
{
    size_t low = 0, high = s->prefixes.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (shl_slice_cmp(shl_buf_view(&s->prefixes.items[middle]), prefix) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct shl_segment_set *s, size_t i, struct shl_slice prefix)
{
    return i < s->prefixes.count && shl_slice_eq(shl_buf_view(&s->prefixes.items[i]), prefix);
}

shale_code shl_segment_set_add(struct shl_segment_set *s, struct shl_slice prefix, bool *is_new,
                               shale_error *err)
{
    struct shl_buf copy = {0};
    size_t at = find(s, prefix);
    *is_new = !is_at(s, at, prefix);
    if (!*is_new)
        return SHALE_OK;
    /* As none of them begins with another one, one that the prefix begins with stands right before it, and one that begins with it right behind. */
    bool clash = at < s->prefixes.count &&
                 shl_slice_has_prefix(shl_buf_view(&s->prefixes.items[at]), prefix);
    clash =
        clash || (at > 0 && shl_slice_has_prefix(prefix, shl_buf_view(&s->prefixes.items[at - 1])));
    if (clash)
        return shl_fail(err, SHALE_INVALID,
                        "the segment extractor gives a prefix of %zu bytes, and a segment is there "
                        "that begins with it, or it with that: segments must not lie in each other",
                        prefix.len);
    if (!shl_array_reserve(&s->prefixes, 1))
        return shl_nomem(err);
    shale_code rc = shl_buf_set(&copy, prefix, err);
    if (rc != SHALE_OK)
        return rc;
    memmove(&s->prefixes.items[at + 1], &s->prefixes.items[at],
            (s->prefixes.count - at) * sizeof s->prefixes.items[0]);
    s->prefixes.items[at] = copy;
    s->prefixes.count++;
    return SHALE_OK;
}

void shl_segment_set_remove(struct shl_segment_set *s, struct shl_slice prefix)
{
    size_t at = find(s, prefix);
    if (!is_at(s, at, prefix))
        return;
    shl_buf_free(&s->prefixes.items[at]);
    s->prefixes.count--;
    memmove(&s->prefixes.items[at], &s->prefixes.items[at + 1],
            (s->prefixes.count - at) * sizeof s->prefixes.items[0]);
}
