/* Tables of reflected CRCs of any width: eight constants, those of the indexes 1, 2, 4 ... 128, make 256 entries, for an entry is
 * linear in its index (the xor of the entries of the index's bits). */
#ifndef SHL_CODEC_CRC_TABLE_H
#define SHL_CODEC_CRC_TABLE_H

#define SHL_CRC_ENTRY(i, b0, b1, b2, b3, b4, b5, b6, b7)                                           \
    (((i)&1u ? (b0) : 0u) ^ ((i)&2u ? (b1) : 0u) ^ ((i)&4u ? (b2) : 0u) ^ ((i)&8u ? (b3) : 0u) ^   \
     ((i)&16u ? (b4) : 0u) ^ ((i)&32u ? (b5) : 0u) ^ ((i)&64u ? (b6) : 0u) ^                       \
     ((i)&128u ? (b7) : 0u))
#define SHL_CRC_4(i, ...)                                                                          \
    SHL_CRC_ENTRY((i), __VA_ARGS__), SHL_CRC_ENTRY((i) + 1u, __VA_ARGS__),                         \
        SHL_CRC_ENTRY((i) + 2u, __VA_ARGS__), SHL_CRC_ENTRY((i) + 3u, __VA_ARGS__)
#define SHL_CRC_16(i, ...)                                                                         \
    SHL_CRC_4((i), __VA_ARGS__), SHL_CRC_4((i) + 4u, __VA_ARGS__),                                 \
        SHL_CRC_4((i) + 8u, __VA_ARGS__), SHL_CRC_4((i) + 12u, __VA_ARGS__)
#define SHL_CRC_64(i, ...)                                                                         \
    SHL_CRC_16((i), __VA_ARGS__), SHL_CRC_16((i) + 16u, __VA_ARGS__),                              \
        SHL_CRC_16((i) + 32u, __VA_ARGS__), SHL_CRC_16((i) + 48u, __VA_ARGS__)
#define SHL_CRC_TABLE(...)                                                                         \
    {                                                                                              \
        SHL_CRC_64(0u, __VA_ARGS__), SHL_CRC_64(64u, __VA_ARGS__), SHL_CRC_64(128u, __VA_ARGS__),  \
            SHL_CRC_64(192u, __VA_ARGS__)                                                          \
    }

#endif
