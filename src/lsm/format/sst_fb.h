/* FlatBuffer parts that SST files, manifests and compactions files have in common. Internal to this room. slatedb-format 3.2, 3.3. */
#ifndef SHL_LSM_SST_FB_H
#define SHL_LSM_SST_FB_H

#include "base/codec/flatbuf_read.h"
#include "base/codec/flatbuf_write.h"
#include "base/num.h"
#include "lsm/format/sst.h"

#define SHL_FB_SCHEMA(table_name, fields_)                                                         \
    {                                                                                              \
        .name = (table_name), .fields = (fields_), .field_count = SHL_COUNT_OF(fields_)            \
    }

extern const struct shl_fb_schema shl_fb_ulid_schema; /* Ulid and Uuid */
extern const struct shl_fb_schema shl_fb_sst_info_schema;

struct shl_ulid shl_ulid_from_fb(struct shl_fb_table t);
shl_fb_ref shl_ulid_to_fb(struct shl_fbw *w, struct shl_ulid u);

/* Slices of *out point into the buffer. SHALE_CORRUPTION for unknown enum values and areas past 2^64. */
SHL_MUST shale_code shl_sst_info_from_fb(struct shl_fb_table t, struct shl_sst_info *out,
                                         shale_error *err);
shl_fb_ref shl_sst_info_to_fb(struct shl_fbw *w, const struct shl_sst_info *info);

#endif
