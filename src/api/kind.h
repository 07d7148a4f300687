/* Databases of several formats, and one that stands where another is looked for. */
#ifndef SHL_API_KIND_H
#define SHL_API_KIND_H

#include "api/stack.h"

enum shl_api_kind { SHL_API_NONE, SHL_API_LSM, SHL_API_SQL, SHL_API_S4 };

/* Before a new database of kind `own` is made: INVALID if one of another kind has its objects there, or the place is in a folder that belongs to one. Costs a LIST, and one more for a path
 * with a part that is called like such a folder ("manifest", "wal", ..). */
SHL_MUST shale_code shl_api_check_place(const struct shl_api_stack *s, enum shl_api_kind own,
                                        shale_error *err);
/* Adds what is there instead of `own` to an error of NOT_FOUND; true if something is. Costs a LIST. */
bool shl_api_tell_kind(const struct shl_api_stack *s, enum shl_api_kind own, shale_error *err);

#endif
