/* Views of SSTs cut down to a range of keys: for clones, and for compactions that commit in steps. */
#ifndef SHL_LSM_VIEW_CUT_H
#define SHL_LSM_VIEW_CUT_H

#include "lsm/format/manifest.h"

/* < 0: a ends before b. */
int shl_key_range_cmp_end(const struct shl_key_range *a, const struct shl_key_range *b);
/* What both have; borrows from both. */
struct shl_key_range shl_key_range_common(const struct shl_key_range *a,
                                          const struct shl_key_range *b);
/* A new id with the time of `id`, as views get that were changed. */
struct shl_ulid shl_view_same_time(struct shl_ulid id);
/* Narrows the view to the range; it then has a new id of the same time. *keep false: nothing of it is in the range, and it is as it was. */
SHL_MUST shale_code shl_view_cut(struct shl_sst_view *v, const struct shl_key_range *range,
                                 bool *keep, shale_error *err);

#endif
