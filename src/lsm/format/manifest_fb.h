/* FlatBuffer parts that manifests and compactions files have in common. Internal to this room. slatedb-format 3.2, 3.3. */
#ifndef SHL_LSM_MANIFEST_FB_H
#define SHL_LSM_MANIFEST_FB_H

#include "lsm/format/manifest.h"
#include "lsm/format/sst_fb.h"

extern const struct shl_fb_schema shl_fb_range_schema; /* BytesRange */
extern const struct shl_fb_schema shl_fb_sst_schema;   /* CompactedSsTable */

/* A required child table: verified to be there. */
struct shl_fb_table shl_fb_required(struct shl_fb_table t, unsigned slot);
/* A string field as owned text; *out NULL if absent. SHALE_CORRUPTION if it holds a NUL, which C text cannot. */
SHL_MUST shale_code shl_fb_text(struct shl_fb_table t, unsigned slot, char **out, shale_error *err);
/* A byte vector field; empty if absent. */
SHL_MUST shale_code shl_fb_copy_bytes(struct shl_fb_table t, unsigned slot, struct shl_buf *out,
                                      shale_error *err);

/* *out is owned and whole only on SHALE_OK. */
SHL_MUST shale_code shl_bytes_range_from_fb(struct shl_fb_table t, struct shl_bytes_range *out,
                                            shale_error *err);
shl_fb_ref shl_bytes_range_to_fb(struct shl_fbw *w, const struct shl_bytes_range *r);

/* CompactedSsTable to a descriptor and, if `out_visible` is not NULL, its visible range (NULL if absent; owned). */
SHL_MUST shale_code shl_sst_desc_from_fb(struct shl_fb_table t, struct shl_sst_desc **out,
                                         struct shl_bytes_range **out_visible, shale_error *err);
/* A range field as an owned object; *out NULL if absent. */
SHL_MUST shale_code shl_fb_copy_range(struct shl_fb_table t, unsigned slot,
                                      struct shl_bytes_range **out, shale_error *err);
/* A descriptor's parts from the tables that hold them. `version_slot` is that of format_version. */
SHL_MUST shale_code shl_sst_desc_from_parts(struct shl_fb_table t, unsigned id_slot,
                                            unsigned info_slot, unsigned version_slot,
                                            struct shl_sst_desc **out, shale_error *err);
shl_fb_ref shl_sst_desc_to_fb(struct shl_fbw *w, const struct shl_sst_desc *d);

#endif
