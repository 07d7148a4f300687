/* SipHash-1-3 with a zero key (SlateDB's filter hash). For everything else hashed in memory use XXH3 of <xxhash.h>. */
#ifndef SHL_BASE_HASH_H
#define SHL_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t shl_siphash13(const void *data, size_t len);

#endif
