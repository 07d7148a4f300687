/* A set of keys, copied; open addressing over one buffer. One task at a time. */
#ifndef SHL_LSM_KEY_SET_H
#define SHL_LSM_KEY_SET_H

#include "base/array.h"
#include "base/bytes.h"

struct shl_key_at {
    size_t offset; /* into bytes */
    size_t len;
    uint64_t hash;
};

/* {0} is empty. */
struct shl_key_set {
    struct shl_buf bytes; /* owned */
    SHL_ARRAY(struct shl_key_at) keys;
    uint32_t *slots; /* owned: index into keys + 1; 0: free */
    size_t slot_count; /* a power of two, or 0 */
};

void shl_key_set_deinit(struct shl_key_set *s);
/* A key that is there already is no error. NOMEM leaves the set as it was; at most 2^31 keys. */
SHL_MUST shale_code shl_key_set_add(struct shl_key_set *s, struct shl_slice key, shale_error *err);
bool shl_key_set_has(const struct shl_key_set *s, struct shl_slice key);

#endif
