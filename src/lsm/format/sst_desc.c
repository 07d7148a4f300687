/* An SST as manifests name it, in one allocation with the keys of its info. */
#include "lsm/format/sst.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"

/* Copies `from` to *p, moves *p on, and says where it went. */
static struct shl_slice place(uint8_t **p, struct shl_slice from)
{
    struct shl_slice to = shl_slice_of(*p, from.len);
    if (from.len > 0)
        memcpy(*p, from.data, from.len);
    *p += from.len;
    return to;
}

shale_code shl_sst_desc_new(struct shl_ulid id, unsigned format_version, bool has_format_version,
                            const struct shl_sst_info *info, struct shl_sst_desc **out,
                            shale_error *err)
{
    size_t bytes = sizeof(struct shl_sst_desc);
    if (!shl_add_size(bytes, info->first_entry.len, &bytes) ||
        !shl_add_size(bytes, info->last_entry.len, &bytes))
        return shl_nomem(err);
    struct shl_sst_desc *d = env_alloc(bytes);
    if (d == NULL)
        return shl_nomem(err);
    *d = (struct shl_sst_desc){.format_version = format_version,
                               .has_format_version = has_format_version,
                               .id = id,
                               .info = *info};
    atomic_init(&d->refs, 1);
    uint8_t *p = (uint8_t *)(d + 1);
    d->info.first_entry =
        info->has_first_entry ? place(&p, info->first_entry) : shl_slice_of(NULL, 0);
    d->info.last_entry = info->has_last_entry ? place(&p, info->last_entry) : shl_slice_of(NULL, 0);
    *out = d;
    return SHALE_OK;
}

struct shl_sst_desc *shl_sst_desc_ref(struct shl_sst_desc *d)
{
    uint32_t before = env_fetch_add(&d->refs, 1);
    SHL_ASSERT(before > 0);
    SHL_ASSERT(before < UINT32_MAX);
    return d;
}

void shl_sst_desc_unref(struct shl_sst_desc *d)
{
    if (d == NULL)
        return;
    uint32_t before = env_fetch_sub_acq_rel(&d->refs, 1);
    SHL_ASSERT(before > 0);
    if (before == 1)
        env_free(d);
}
