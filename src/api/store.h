/* The handle of raw objects. */
#ifndef SHL_API_STORE_H
#define SHL_API_STORE_H

#include "api/stack.h"

#include <shale/store.h>

struct shale_store {
    struct shl_api_stack stack; /* owned [const] */
};

#endif
