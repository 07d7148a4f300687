/* A store that the application supplies (shale/store.h), as a backend below the usual layers. */
#ifndef SHL_API_USER_STORE_H
#define SHL_API_USER_STORE_H

#include "store/store.h"

#include <shale/store.h>

/* The callbacks are copied. Errors: NOMEM. */
SHL_MUST shale_code shl_api_user_store_new(const shale_store_callbacks *theirs,
                                           struct shl_store **out, shale_error *err);

#endif
