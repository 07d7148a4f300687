/* Error codes and the error value. SPDX-License-Identifier: Apache-2.0 */
#ifndef SHALE_ERROR_H
#define SHALE_ERROR_H

#include <shale/export.h>

SHALE_BEGIN_DECLS

/* What a call answers. Codes are for deciding, the text of shale_error is for people. The numbers are part of the
 * ABI and never change. SlateDB's kinds in brackets. */
typedef enum shale_code {
    SHALE_OK = 0,
    SHALE_DONE = 1,              /* an iterator has no further row */
    SHALE_NOT_FOUND = 2,         /* no such key, object or database */
    SHALE_ALREADY_EXISTS = 3,    /* create-only write found something */
    SHALE_PRECONDITION = 4,      /* if-match write found another version */
    SHALE_NOT_MODIFIED = 5,      /* conditional read: still the same */
    SHALE_INVALID = 6,           /* the caller's argument or setting is wrong [Invalid] */
    SHALE_CONFLICT = 7,          /* a transaction lost [Transaction] */
    SHALE_CLOSED = 8,            /* the handle was closed [Closed/Clean] */
    SHALE_FENCED = 9,            /* another writer took over [Closed/Fenced] */
    SHALE_UNAVAILABLE = 10,      /* the store did not answer or answered with a fault [Unavailable] */
    SHALE_CORRUPTION = 11,       /* stored bytes are damaged, missing or of a newer format [Data] */
    SHALE_INTERNAL = 12,         /* a mistake of this library [Internal] */
    SHALE_NOMEM = 13,            /* out of memory; nothing half done */
    SHALE_PERMISSION_DENIED = 14,
    SHALE_UNAUTHENTICATED = 15,
    SHALE_INVALID_RANGE = 16,    /* a byte range outside of an object */
    SHALE_NOT_SUPPORTED = 17,    /* this store or database cannot do it */
    SHALE_TIMEOUT = 18,
    SHALE_NO_SPACE = 19,         /* the disk under a folder is full; nothing was lost that was acknowledged */
    SHALE_NO_BUCKET = 20         /* the bucket or container does not exist */
} shale_code;

/* An error: code and one line of text, NUL-terminated, cut if it does not fit. 512 bytes, owned by the caller, nothing
 * to free; may be copied. Functions write it only when they fail, and accept NULL. */
typedef struct shale_error {
    shale_code code;
    char text[508];
} shale_error;

/* The name of a code, e.g. "FENCED"; "UNKNOWN" for other numbers. Static storage; any thread. */
SHALE_API const char *shale_code_name(shale_code code);

SHALE_END_DECLS

#endif
