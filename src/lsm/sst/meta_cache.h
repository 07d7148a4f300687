/* Which indexes and filters stay in memory: their bytes are counted, and the coldest leave.
 *
 * What is published (sst_internal.h: shl_sst.meta points to it) is in one queue, with one reference. Readers that look inside an
 * epoch need no count; who needs it for longer takes a reference. The hand of a CLOCK takes metas out; what somebody still uses is freed when that one
 * has done. Any task; one leaf lock, taken when a meta is loaded or its SST goes away, never by a lookup. */
#ifndef SHL_LSM_META_CACHE_H
#define SHL_LSM_META_CACHE_H

#include "lsm/sst/sst_internal.h"

/* Puts m into its handle's pointer, which is NULL, and keeps a reference; colder ones leave until it fits. Does nothing where it never would: who
 * holds it is then the only one. Not inside an epoch. */
void shl_meta_cache_publish(struct shl_meta_cache *c, struct shl_sst_meta *m);
/* The meta, which the caller holds, has taken on `bytes` more; colder ones leave for it, or it does. Not inside an epoch. */
void shl_meta_cache_grow(struct shl_meta_cache *c, struct shl_sst_meta *m, size_t bytes);
/* Takes the meta out of the handle's pointer, if one is there. */
void shl_meta_cache_drop(struct shl_meta_cache *c, _Atomic(struct shl_sst_meta *) *home);

#endif
