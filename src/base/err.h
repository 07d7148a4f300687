/* The error value: fill, prefix, copy. Below src/api `err` is never NULL. */
#ifndef SHL_BASE_ERR_H
#define SHL_BASE_ERR_H

#include <shale/error.h>

#define SHL_MUST           __attribute__((warn_unused_result))
#define SHL_PRINTF(f, a)   __attribute__((format(printf, f, a)))

/* The only macro that jumps: needs a local `shale_code rc` and a label `out`. */
#define SHL_TRY(call)                                                                              \
    do {                                                                                           \
        if ((rc = (call)) != SHALE_OK)                                                             \
            goto out;                                                                              \
    } while (0)

/* Writes code and formatted text into `err` and returns `code`. `code` is never SHALE_OK. */
shale_code shl_fail(shale_error *err, shale_code code, const char *format, ...) SHL_PRINTF(3, 4);

/* Puts "<formatted>: " before the text that is there. Keeps the code. */
void shl_err_prefix(shale_error *err, const char *format, ...) SHL_PRINTF(2, 3);

/* For the rare call whose failure changes nothing: says so where it is made. */
static inline void shl_ignore(shale_code rc)
{
    (void)rc;
}

/* SHALE_NOMEM with the text "out of memory". */
shale_code shl_nomem(shale_error *err);

#endif
