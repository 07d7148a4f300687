/* Objects in memory: for tests, for trying things out, and as the reference of what a store does (object-stores 3). */
#ifndef SHL_STORE_MEMORY_H
#define SHL_STORE_MEMORY_H

#include "store/store.h"

/* An empty store of its own. Errors: NOMEM. */
SHL_MUST shale_code shl_store_memory_new(struct shl_store **out, shale_error *err);

/* The store of that name in this process; made when first asked for, and kept for the life of the process, so that what was
 * written is there when it is opened again. Any thread. Errors: NOMEM. */
SHL_MUST shale_code shl_store_memory_named(struct shl_store **out, const char *name,
                                           shale_error *err);

/* Lets go of the process's own reference to a named store; the next shl_store_memory_named makes an empty one. */
void shl_store_memory_forget(const char *name);

#endif
