/* Typed growable arrays: struct { T *items; size_t count, cap; } declared with SHL_ARRAY(T). */
#ifndef SHL_BASE_ARRAY_H
#define SHL_BASE_ARRAY_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHL_ARRAY(T)                                                                               \
    struct {                                                                                       \
        T *items; /* owned */                                                                      \
        size_t count;                                                                              \
        size_t cap;                                                                                \
    }

/* Grows the array whose item pointer stands at `items_ptr` (of *cap elements of elem_bytes each) to hold at least `need`.
 * False if out of memory; nothing changes then. The pointer is read and written by memcpy, so any T ** may be given. */
SHL_MUST bool shl_array_grow(void *items_ptr, size_t *cap, size_t elem_bytes, size_t need);

/* Makes room for n more; true on success. */
#define shl_array_reserve(a, n)                                                                    \
    shl_array_grow((void *)&(a)->items, &(a)->cap, sizeof *(a)->items, (a)->count + (n))

/* Appends `value`; room must have been reserved. */
#define shl_array_add(a, value) ((void)((a)->items[(a)->count++] = (value)))

/* Reserves and appends; true on success. */
#define shl_array_push(a, value) (shl_array_reserve((a), 1) ? (shl_array_add((a), (value)), true) : false)

/* Frees the items (not what they own) and makes the array empty. */
#define shl_array_free(a) (env_free((a)->items), (a)->items = NULL, (a)->count = (a)->cap = 0)

#endif
