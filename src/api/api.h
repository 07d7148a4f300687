/* Shared by the files of this room. */
#ifndef SHL_API_API_H
#define SHL_API_API_H

#include "api/options.h"
#include "base/codec/json.h"
#include "store/store.h"

#include <shale/store.h>

/* A user may pass NULL for err; below this room it never is. Declares the lent one. */
#define SHL_API_ERR(err)                                                                           \
    shale_error lent_error;                                                                        \
    if ((err) == NULL)                                                                             \
    (err) = &lent_error

/* Takes a sized struct of the user: copies what both know into `ours` (which holds our defaults and is ours_size bytes) from `theirs`.
 * A longer one is accepted only if what we do not know is zero: INVALID. theirs NULL: the defaults stay. */
SHL_MUST shale_code shl_api_take_struct(void *ours, size_t ours_size, const void *theirs,
                                        const char *what, shale_error *err);
/* Fills a caller's struct of any length with our defaults: the front is ours, what we do not know is zero. */
void shl_api_init_struct(void *theirs, size_t size, const void *defaults, size_t ours_size);
/* The other way: fills at most theirs' struct_size bytes. */
void shl_api_give_struct(void *theirs, const void *ours, size_t ours_size);
/* Ends the document that w writes to `text`: on success the caller of the library owns *out, and text is empty. */
SHL_MUST shale_code shl_api_text_out(struct shl_json_writer *w, struct shl_buf *text, char **out, shale_error *err);

#endif
