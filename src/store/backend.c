#include "store/backend.h"

#include "base/array.h"
#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include "store/path.h"
#include <inttypes.h>

const char *shl_store_kind_name(enum shl_store_kind kind)
{
    static const char *const names[SHL_KINDS] = {
        [SHL_KIND_PUT] = "put",
        [SHL_KIND_GET] = "get",
        [SHL_KIND_HEAD] = "head",
        [SHL_KIND_LIST] = "list",
        [SHL_KIND_DELETE] = "delete",
        [SHL_KIND_COPY] = "copy",
        [SHL_KIND_UPLOAD_START] = "upload_start",
        [SHL_KIND_UPLOAD_PART] = "upload_part",
        [SHL_KIND_UPLOAD_COMPLETE] = "upload_complete",
    };
    SHL_ASSERT(kind < SHL_KINDS);
    return names[kind];
}

size_t shl_parts_bytes(const struct shl_slice *parts, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        bool fits = shl_add_size(sum, parts[i].len, &sum);
        SHL_ASSERT(fits);
    }
    return sum;
}

void shl_parts_copy(uint8_t *dst, const struct shl_slice *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len == 0)
            continue; /* dst may be NULL if all are empty */
        memcpy(dst, parts[i].data, parts[i].len);
        dst += parts[i].len;
    }
}

bool shl_parts_equal(struct shl_slice bytes, const struct shl_slice *parts, size_t count)
{
    size_t at = 0;
    if (bytes.len != shl_parts_bytes(parts, count))
        return false;
    for (size_t i = 0; i < count; at += parts[i++].len)
        if (!shl_slice_eq(shl_slice_of(bytes.data + at, parts[i].len), parts[i]))
            return false;
    return true;
}

size_t shl_ranges_touching(const struct shl_get_range *ranges, size_t count)
{
    SHL_ASSERT(count > 0);
    size_t n = 1;
    while (n < count && ranges[n - 1].offset + ranges[n - 1].len == ranges[n].offset)
        n++;
    return n;
}

shale_code shl_fail_range(shale_error *err, const char *key, uint64_t offset, uint64_t len,
                          uint64_t size)
{
    return shl_fail(err, SHALE_INVALID_RANGE,
                    "range of %" PRIu64 " bytes at %" PRIu64
                    " outside of \"%s\", which has %" PRIu64 " bytes",
                    len, offset, key, size);
}

shale_code shl_fail_size(shale_error *err, const char *key, uint64_t size, uint64_t max)
{
    return shl_fail(err, SHALE_CORRUPTION,
                    "\"%s\" has %" PRIu64 " bytes, and no more than %" PRIu64 " are expected", key,
                    size, max);
}

shale_code shl_get_window(const struct shl_get *how, const char *key, uint64_t size,
                          uint64_t *out_offset, uint64_t *out_len, shale_error *err)
{
    uint64_t offset = 0;
    if (how->kind == SHL_GET_FROM) {
        offset = how->offset;
        if (offset >= size)
            return shl_fail(err, SHALE_INVALID_RANGE,
                            "range from %" PRIu64 " outside of \"%s\", which has %" PRIu64 " bytes",
                            offset, key, size);
    } else if (how->max > 0 && size > how->max && how->kind == SHL_GET_ALL) {
        return shl_fail_size(err, key, size, how->max);
    } else if (how->kind == SHL_GET_SUFFIX) {
        offset = size - shl_min_u64(size, how->len);
    }
    *out_offset = offset;
    *out_len = size - offset;
    return SHALE_OK;
}

/* ---- lists */

void shl_lister_init(struct shl_lister *l, const struct shl_list_options *how, struct shl_list *out)
{
    SHL_ASSERT(how->prefix != NULL);
    *l = (struct shl_lister){.how = how, .out = out, .prefix_len = strlen(how->prefix)};
}

static bool is_after_start(const struct shl_lister *l, const char *key)
{
    return l->how->start_after == NULL || strcmp(key, l->how->start_after) > 0;
}

/* What follows "prefix/" in the key, or NULL if it does not begin so. */
static const char *below_prefix(const struct shl_lister *l, const char *key)
{
    if (l->prefix_len == 0)
        return key;
    if (strncmp(key, l->how->prefix, l->prefix_len) != 0 || key[l->prefix_len] != '/')
        return NULL;
    return key + l->prefix_len + 1;
}

bool shl_lister_wants(const struct shl_lister *l, const char *key)
{
    const char *rest = below_prefix(l, key);
    if (rest == NULL || !is_after_start(l, key))
        return false;
    return !l->how->shallow || strchr(rest, '/') == NULL;
}

static shale_code add_item(struct shl_lister *l, struct shl_slice key, uint64_t size,
                           int64_t modified_ns, shale_error *err)
{
    struct shl_list *out = l->out;
    if (l->how->max > 0 && out->count == l->how->max) {
        out->truncated = true;
        l->full = true;
        return SHALE_OK;
    }
    if (!shl_array_reserve(out, 1))
        return shl_nomem(err);
    char *copy = shl_slice_dup_cstr(key);
    if (copy == NULL)
        return shl_nomem(err);
    struct shl_list_item item = {.key = copy, .size = size, .modified_ns = modified_ns};
    shl_array_add(out, item);
    return SHALE_OK;
}

/* `prefix` ends with '/' and need not be NUL-terminated. */
static shale_code add_prefix(struct shl_lister *l, struct shl_slice prefix, shale_error *err)
{
    const struct shl_list *out = l->out;
    if (out->count > 0 && shl_slice_eq(shl_slice_str(out->items[out->count - 1].key), prefix))
        return SHALE_OK; /* keys come in order, so those of one folder are neighbours */
    /* The prefix itself must be after the start, as an object must: a page that ended with it is not followed by it. */
    const char *start = l->how->start_after;
    if (start != NULL && shl_slice_cmp(prefix, shl_slice_str(start)) <= 0)
        return SHALE_OK;
    return add_item(l, prefix, 0, 0, err);
}

shale_code shl_lister_object(struct shl_lister *l, const char *key, uint64_t size,
                             int64_t modified_ns, shale_error *err)
{
    const char *rest = below_prefix(l, key);
    if (rest == NULL || !is_after_start(l, key))
        return SHALE_OK;
    const char *slash = l->how->shallow ? strchr(rest, '/') : NULL;
    if (slash != NULL)
        return add_prefix(l, shl_slice_of(key, (size_t)(slash - key) + 1), err);
    return add_item(l, shl_slice_str(key), size, modified_ns, err);
}

shale_code shl_lister_prefix(struct shl_lister *l, const char *key, shale_error *err)
{
    return add_prefix(l, shl_slice_str(key), err);
}
