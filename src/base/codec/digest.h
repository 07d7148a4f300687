/* Digests over OpenSSL's libcrypto, and CRC-64/NVME. Pure; any thread. The bytes are given in parts, as bodies are kept.
 * Contexts are kept per task (ENV_TLS_DIGEST). Errors: NOMEM (libcrypto could not get a context), NOT_SUPPORTED (it refuses the
 * algorithm: MD5 under FIPS rules). */
#ifndef SHL_CODEC_DIGEST_H
#define SHL_CODEC_DIGEST_H

#include "base/bytes.h"

#define SHL_SHA256_BYTES 32
#define SHL_MD5_BYTES    16
#define SHL_SHA256_HEX   65 /* 64 lower-case digits and NUL */

SHL_MUST shale_code shl_sha256(const struct shl_slice *parts, size_t count, uint8_t out[SHL_SHA256_BYTES],
                               shale_error *err);
SHL_MUST shale_code shl_sha256_hex(const struct shl_slice *parts, size_t count, char out[SHL_SHA256_HEX],
                                   shale_error *err);
/* The digits of a digest. */
void shl_sha256_to_hex(const uint8_t digest[SHL_SHA256_BYTES], char out[SHL_SHA256_HEX]);
SHL_MUST shale_code shl_md5(const struct shl_slice *parts, size_t count, uint8_t out[SHL_MD5_BYTES], shale_error *err);

/* HMAC-SHA256 of one message; the key may have any length. */
SHL_MUST shale_code shl_hmac_sha256(struct shl_slice key, struct shl_slice message, uint8_t out[SHL_SHA256_BYTES],
                                    shale_error *err);

/* Overwrites a secret in a way that the compiler does not leave out. */
void shl_wipe(void *secret, size_t len);

/* CRC-64/NVME of the parts, one behind the other (object-stores 7.3). */
uint64_t shl_crc64nvme(const struct shl_slice *parts, size_t count);

#endif
