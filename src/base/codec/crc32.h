/* CRC-32/ISO-HDLC ("zlib crc32"). Carry-less multiplication where the CPU has it, slicing-by-8 else (and as the test oracle). */
#ifndef SHL_CODEC_CRC32_H
#define SHL_CODEC_CRC32_H

#include "base/bytes.h"

/* crc of `len` bytes. Pure; any thread. */
uint32_t shl_crc32(const void *data, size_t len);
/* Continues: `crc` is the crc of what came before (0 at the start). */
uint32_t shl_crc32_extend(uint32_t crc, const void *data, size_t len);
/* The portable way, always slicing-by-8. */
uint32_t shl_crc32_plain(uint32_t crc, const void *data, size_t len);

#endif
