/* AES-256-GCM over OpenSSL's libcrypto. Pure; any task. Contexts are kept per task (ENV_TLS_CIPHER). */
#ifndef SHL_CODEC_AEAD_H
#define SHL_CODEC_AEAD_H

#include "base/bytes.h"

#define SHL_AEAD_KEY_BYTES   32
#define SHL_AEAD_NONCE_BYTES 12
#define SHL_AEAD_TAG_BYTES   16

/* Appends nonce | ciphertext | tag. A nonce must never be used twice with one key. NOMEM, NOT_SUPPORTED (libcrypto refuses): out is as it was. */
SHL_MUST shale_code shl_aead_seal(const uint8_t key[SHL_AEAD_KEY_BYTES],
                                  const uint8_t nonce[SHL_AEAD_NONCE_BYTES], struct shl_slice in,
                                  struct shl_buf *out, shale_error *err);
/* The way back: appends the plaintext. CORRUPTION: the tag does not fit (out is as it was). */
SHL_MUST shale_code shl_aead_open(const uint8_t key[SHL_AEAD_KEY_BYTES], struct shl_slice in,
                                  struct shl_buf *out, shale_error *err);

#endif
