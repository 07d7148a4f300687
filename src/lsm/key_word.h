/* Keys as numbers: 8 bytes at a time, compared in one instruction. */
#ifndef SHL_LSM_KEY_WORD_H
#define SHL_LSM_KEY_WORD_H

#include "base/bytes.h"
#include "base/codec/endian.h"

/* Key bytes [from, from + 8) as a big-endian number, zero behind the end of the key. If two keys are equal before `from` and
 * their words differ, the words are in the keys' order. */
static inline uint64_t shl_key_word(struct shl_slice key, size_t from)
{
    if (from + 8 <= key.len)
        return shl_load_u64be(key.data + from);
    if (from >= key.len)
        return 0;
    size_t n = key.len - from;
    if (key.len >= 8) /* the last 8 bytes, without those before `from` */
        return shl_load_u64be(key.data + key.len - 8) << (8 * (8 - n));
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)key.data[from + i] << (56 - 8 * i);
    return word;
}

/* Mask of the first n bytes (0 < n <= 8) of a word. */
static inline uint64_t shl_key_word_mask(size_t n)
{
    return UINT64_MAX << (64 - 8 * n);
}

#endif
