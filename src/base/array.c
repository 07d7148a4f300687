#include "base/array.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include <string.h>

#define ARRAY_CAP_MIN 8
#define LARGE_BYTES                                                                                \
    ((size_t)1                                                                                     \
     << 20) /* from here on arrays grow by a quarter: half of one that was doubled may be never used */

bool shl_array_grow(void *items_ptr, size_t *cap, size_t elem_bytes, size_t need)
{
    SHL_ASSERT(elem_bytes > 0);
    if (need <= *cap)
        return true;
    size_t more = *cap < LARGE_BYTES / elem_bytes ? *cap : *cap / 4;
    size_t count = *cap <= SIZE_MAX - more ? *cap + more : SIZE_MAX;
    count = shl_max_size(shl_max_size(count, need), ARRAY_CAP_MIN);
    size_t size;
    if (!shl_mul_size(count, elem_bytes, &size))
        return false;
    void *items;
    memcpy(&items, items_ptr, sizeof items);
    items = env_realloc(items, size);
    if (items == NULL)
        return false;
    memcpy(items_ptr, &items, sizeof items);
    *cap = count;
    return true;
}
