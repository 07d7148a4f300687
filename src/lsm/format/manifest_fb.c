#include "lsm/format/manifest_fb.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/env/env.h"

enum { BOUND_KEY, BOUND_TYPE };
enum { RANGE_START, RANGE_END };
enum { SST_ID, SST_INFO, SST_VISIBLE_RANGE, SST_FORMAT_VERSION };

static const struct shl_fb_field bound_fields[] = {
    [BOUND_KEY] = {.name = "key", .type = SHL_FB_BYTES},
    [BOUND_TYPE] = {.name = "bound_type", .type = SHL_FB_U8},
};
static const struct shl_fb_schema bound_schema = SHL_FB_SCHEMA("BytesBound", bound_fields);
static const struct shl_fb_field range_fields[] = {
    [RANGE_START] = {.name = "start_bound",
                     .type = SHL_FB_TABLE,
                     .required = true,
                     .table = &bound_schema},
    [RANGE_END] = {.name = "end_bound",
                   .type = SHL_FB_TABLE,
                   .required = true,
                   .table = &bound_schema},
};
const struct shl_fb_schema shl_fb_range_schema = SHL_FB_SCHEMA("BytesRange", range_fields);

static const struct shl_fb_field sst_fields[] = {
    [SST_ID] = {.name = "id", .type = SHL_FB_TABLE, .required = true, .table = &shl_fb_ulid_schema},
    [SST_INFO] = {.name = "info",
                  .type = SHL_FB_TABLE,
                  .required = true,
                  .table = &shl_fb_sst_info_schema},
    [SST_VISIBLE_RANGE] = {.name = "visible_range",
                           .type = SHL_FB_TABLE,
                           .table = &shl_fb_range_schema},
    [SST_FORMAT_VERSION] = {.name = "format_version", .type = SHL_FB_U16},
};
const struct shl_fb_schema shl_fb_sst_schema = SHL_FB_SCHEMA("CompactedSsTable", sst_fields);

/* ---------------------------------------------------------------- fields */

struct shl_fb_table shl_fb_required(struct shl_fb_table t, unsigned slot)
{
    struct shl_fb_table child = {.buf = NULL};
    bool present = shl_fb_child(t, slot, &child);
    SHL_ASSERT(present);
    return child;
}

shale_code shl_fb_text(struct shl_fb_table t, unsigned slot, char **out, shale_error *err)
{
    struct shl_slice s = shl_fb_bytes(t, slot);
    *out = NULL;
    if (s.data == NULL)
        return SHALE_OK;
    if (memchr(s.data, 0, s.len) != NULL)
        return shl_fail(err, SHALE_CORRUPTION, "text of %zu bytes holds a NUL", s.len);
    *out = shl_slice_dup_cstr(s);
    return *out == NULL ? shl_nomem(err) : SHALE_OK;
}

shale_code shl_fb_copy_bytes(struct shl_fb_table t, unsigned slot, struct shl_buf *out,
                             shale_error *err)
{
    return shl_buf_set(out, shl_fb_bytes(t, slot), err);
}

/* ---------------------------------------------------------------- ranges */

static shale_code bound_from_fb(struct shl_fb_table t, struct shl_bound *out, shale_error *err)
{
    uint8_t type = shl_fb_u8(t, BOUND_TYPE);
    bool has_key = shl_fb_has(t, BOUND_KEY);
    if (type < SHL_BOUND_UNBOUNDED || type > SHL_BOUND_EXCLUDED)
        return shl_fail(err, SHALE_CORRUPTION, "range: bound type %u, known 1..3", (unsigned)type);
    if (has_key != (type != SHL_BOUND_UNBOUNDED))
        return shl_fail(err, SHALE_CORRUPTION, "range: bound of type %u %s a key", (unsigned)type,
                        has_key ? "with" : "without");
    out->type = (enum shl_bound_type)type;
    return shl_fb_copy_bytes(t, BOUND_KEY, &out->key, err);
}

shale_code shl_bytes_range_from_fb(struct shl_fb_table t, struct shl_bytes_range *out,
                                   shale_error *err)
{
    struct shl_bytes_range r = {.start = {.key = {0}}};
    shale_code rc = bound_from_fb(shl_fb_required(t, RANGE_START), &r.start, err);
    if (rc == SHALE_OK)
        rc = bound_from_fb(shl_fb_required(t, RANGE_END), &r.end, err);
    if (rc == SHALE_OK)
        *out = r;
    else
        shl_bytes_range_deinit(&r);
    return rc;
}

static shl_fb_ref bound_to_fb(struct shl_fbw *w, const struct shl_bound *b)
{
    shl_fb_ref key = b->type == SHL_BOUND_UNBOUNDED ? 0 : shl_fbw_bytes(w, shl_buf_view(&b->key));
    shl_fbw_begin(w);
    shl_fbw_ref(w, BOUND_KEY, key);
    shl_fbw_u8(w, BOUND_TYPE, (uint8_t)b->type);
    return shl_fbw_end(w);
}

shl_fb_ref shl_bytes_range_to_fb(struct shl_fbw *w, const struct shl_bytes_range *r)
{
    shl_fb_ref start = bound_to_fb(w, &r->start);
    shl_fb_ref end = bound_to_fb(w, &r->end);
    shl_fbw_begin(w);
    shl_fbw_ref(w, RANGE_END, end);
    shl_fbw_ref(w, RANGE_START, start);
    return shl_fbw_end(w);
}

shale_code shl_fb_copy_range(struct shl_fb_table t, unsigned slot, struct shl_bytes_range **out,
                             shale_error *err)
{
    struct shl_fb_table child;
    *out = NULL;
    if (!shl_fb_child(t, slot, &child))
        return SHALE_OK;
    struct shl_bytes_range *r = env_alloc(sizeof *r);
    if (r == NULL)
        return shl_nomem(err);
    shale_code rc = shl_bytes_range_from_fb(child, r, err);
    if (rc != SHALE_OK) {
        env_free(r);
        return rc;
    }
    *out = r;
    return SHALE_OK;
}

/* ---------------------------------------------------------------- descriptors */

shale_code shl_sst_desc_from_parts(struct shl_fb_table t, unsigned id_slot, unsigned info_slot,
                                   unsigned version_slot, struct shl_sst_desc **out,
                                   shale_error *err)
{
    struct shl_sst_info info;
    bool has_version = shl_fb_has(t, version_slot);
    unsigned version = has_version ? shl_fb_u16(t, version_slot) : 1;
    if (version != 1 && version != 2)
        return shl_fail(err, SHALE_CORRUPTION, "%ssst: format version %u, known 1..2",
                        version > 2 ? "newer format: " : "", version);
    shale_code rc = shl_sst_info_from_fb(shl_fb_required(t, info_slot), &info, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_ulid id = shl_ulid_from_fb(shl_fb_required(t, id_slot));
    return shl_sst_desc_new(id, version, has_version, &info, out, err);
}

shale_code shl_sst_desc_from_fb(struct shl_fb_table t, struct shl_sst_desc **out,
                                struct shl_bytes_range **out_visible, shale_error *err)
{
    shale_code rc = shl_sst_desc_from_parts(t, SST_ID, SST_INFO, SST_FORMAT_VERSION, out, err);
    if (rc != SHALE_OK || out_visible == NULL)
        return rc;
    rc = shl_fb_copy_range(t, SST_VISIBLE_RANGE, out_visible, err);
    if (rc != SHALE_OK) {
        shl_sst_desc_unref(*out);
        *out = NULL;
    }
    return rc;
}

shl_fb_ref shl_sst_desc_to_fb(struct shl_fbw *w, const struct shl_sst_desc *d)
{
    shl_fb_ref id = shl_ulid_to_fb(w, d->id);
    shl_fb_ref info = shl_sst_info_to_fb(w, &d->info);
    shl_fbw_begin(w);
    shl_fbw_ref(w, SST_INFO, info);
    shl_fbw_ref(w, SST_ID, id);
    if (d->has_format_version)
        shl_fbw_u16_always(w, SST_FORMAT_VERSION, (uint16_t)d->format_version);
    return shl_fbw_end(w);
}
