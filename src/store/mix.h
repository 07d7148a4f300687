/* The n-th number of a seed's sequence (splitmix64): no state, so concurrent callers need no lock. */
#ifndef SHL_STORE_MIX_H
#define SHL_STORE_MIX_H

#include <stdint.h>

static inline uint64_t shl_mix(uint64_t seed, uint64_t n)
{
    uint64_t z = seed + (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#endif
