/* The segments that a writer knows of, where an extractor of the user makes them: none may begin with another one. Guarded by mu. */
#ifndef SHL_LSM_SEGMENT_SET_H
#define SHL_LSM_SEGMENT_SET_H

#include "base/array.h"
#include "base/bytes.h"

/* {0} is empty. */
struct shl_segment_set {
    SHL_ARRAY(struct shl_buf) prefixes; /* ascending; bytes owned */
};

void shl_segment_set_deinit(struct shl_segment_set *s);
/* *is_new: it was not there before. INVALID: one that is there begins with it, or it with one. */
SHL_MUST shale_code shl_segment_set_add(struct shl_segment_set *s, struct shl_slice prefix,
                                        bool *is_new, shale_error *err);
/* Takes back what was added. */
void shl_segment_set_remove(struct shl_segment_set *s, struct shl_slice prefix);

#endif
