/* The cipher is fetched and the context made once per task, as in digest.c. */
#include "base/codec/aead.h"

#include "base/env/env.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>

struct cipher_context { /* one task's */
    EVP_CIPHER *algorithm;
    EVP_CIPHER_CTX *context;
};

static void context_free(void *value)
{
    struct cipher_context *c = value;
    EVP_CIPHER_CTX_free(c->context);
    EVP_CIPHER_free(c->algorithm);
    env_free(c);
}

/* NULL if out of memory, or libcrypto refuses. */
static EVP_CIPHER_CTX *context_of_task(void)
{
    struct cipher_context *c = env_tls_get(ENV_TLS_CIPHER);
    if (c == NULL) {
        c = env_calloc(1, sizeof *c);
        if (c == NULL)
            return NULL;
        env_tls_set(ENV_TLS_CIPHER, c, context_free);
    }
    if (c->algorithm == NULL)
        c->algorithm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    if (c->context == NULL)
        c->context = EVP_CIPHER_CTX_new();
    if (c->algorithm == NULL || c->context == NULL)
        return NULL;
    return EVP_CIPHER_CTX_reset(c->context) == 1 &&
                   EVP_CipherInit_ex2(c->context, c->algorithm, NULL, NULL, 1, NULL) == 1
               ? c->context
               : NULL;
}

/* libcrypto keeps its errors in a queue of the thread, which is not ours to fill. */
static shale_code refused(shale_error *err)
{
    unsigned long last = ERR_peek_last_error();
    char why[128];
    ERR_error_string_n(last, why, sizeof why);
    ERR_clear_error();
    if (last == 0 || ERR_GET_REASON(last) == ERR_R_MALLOC_FAILURE)
        return shl_nomem(err);
    return shl_fail(err, SHALE_NOT_SUPPORTED, "AES-256-GCM: libcrypto refuses: %s", why);
}

/* libcrypto counts in ints. */
static bool update(EVP_CIPHER_CTX *c, uint8_t *out, struct shl_slice in)
{
    for (size_t at = 0; at < in.len;) {
        int n = in.len - at > INT_MAX / 2 ? INT_MAX / 2 : (int)(in.len - at), done;
        if (EVP_CipherUpdate(c, out + at, &done, in.data + at, n) != 1 || done != n)
            return false;
        at += (size_t)n;
    }
    return true;
}

shale_code shl_aead_seal(const uint8_t key[SHL_AEAD_KEY_BYTES],
                         const uint8_t nonce[SHL_AEAD_NONCE_BYTES], struct shl_slice in,
                         struct shl_buf *out, shale_error *err)
{
    int done;
    size_t total = SHL_AEAD_NONCE_BYTES + in.len + SHL_AEAD_TAG_BYTES;
    shale_code rc = shl_buf_reserve(out, total, err);
    if (rc != SHALE_OK)
        return rc;
    uint8_t *at = out->data + out->len;
    EVP_CIPHER_CTX *c = context_of_task();
    memcpy(at, nonce, SHL_AEAD_NONCE_BYTES);
    if (c == NULL || EVP_CipherInit_ex2(c, NULL, key, nonce, 1, NULL) != 1 ||
        !update(c, at + SHL_AEAD_NONCE_BYTES, in) ||
        EVP_CipherFinal_ex(c, at + SHL_AEAD_NONCE_BYTES + in.len, &done) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, SHL_AEAD_TAG_BYTES,
                            at + SHL_AEAD_NONCE_BYTES + in.len) != 1)
        return refused(err);
    out->len += total;
    return SHALE_OK;
}

shale_code shl_aead_open(const uint8_t key[SHL_AEAD_KEY_BYTES], struct shl_slice in,
                         struct shl_buf *out, shale_error *err)
{
    int done;
    uint8_t tag[SHL_AEAD_TAG_BYTES];
    if (in.len < SHL_AEAD_NONCE_BYTES + SHL_AEAD_TAG_BYTES)
        return shl_fail(err, SHALE_CORRUPTION,
                        "AES-256-GCM: %zu bytes are too short: it was not encrypted", in.len);
    size_t len = in.len - SHL_AEAD_NONCE_BYTES - SHL_AEAD_TAG_BYTES;
    shale_code rc = shl_buf_reserve(out, len > 0 ? len : 1, err);
    if (rc != SHALE_OK)
        return rc;
    uint8_t *at = out->data + out->len;
    EVP_CIPHER_CTX *c = context_of_task();
    memcpy(tag, in.data + SHL_AEAD_NONCE_BYTES + len, sizeof tag);
    if (c == NULL || EVP_CipherInit_ex2(c, NULL, key, in.data, 0, NULL) != 1 ||
        !update(c, at, shl_slice_of(in.data + SHL_AEAD_NONCE_BYTES, len)) ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, SHL_AEAD_TAG_BYTES, tag) != 1)
        return refused(err);
    if (EVP_CipherFinal_ex(c, at + len, &done) != 1) {
        ERR_clear_error();
        return shl_fail(err, SHALE_CORRUPTION,
                        "AES-256-GCM: the tag does not fit: it was encrypted with another key, not "
                        "at all, or changed since");
    }
    out->len += len;
    return SHALE_OK;
}
