/* The algorithms are fetched and the contexts made once per task: starting again on a used context costs a fraction of what
 * a new one does, which looks its algorithm up by name under a lock. HMAC is two digests; libcrypto's own would need a context
 * and a parameter list for each key. */
#include "base/codec/digest.h"

#include "base/assert.h"
#include "base/codec/crc_table.h"
#include "base/codec/endian.h"
#include "base/env/env.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#define SHA256_BLOCK_BYTES 64

/* ---- contexts */

struct digest {
    EVP_MD *algorithm;
    EVP_MD_CTX *context;
};

struct digest_contexts { /* one task's; each part made when first used */
    struct digest sha256;
    struct digest md5;
};

static void digest_deinit(struct digest *d)
{
    EVP_MD_CTX_free(d->context);
    EVP_MD_free(d->algorithm);
}

static void contexts_free(void *value)
{
    struct digest_contexts *c = value;
    digest_deinit(&c->sha256);
    digest_deinit(&c->md5);
    env_free(c);
}

/* NULL if out of memory. */
static struct digest_contexts *contexts_of_task(void)
{
    struct digest_contexts *c = env_tls_get(ENV_TLS_DIGEST);
    if (c == NULL) {
        c = env_calloc(1, sizeof *c);
        if (c != NULL)
            env_tls_set(ENV_TLS_DIGEST, c, contexts_free);
    }
    return c;
}

static bool ready(struct digest *d, const char *name)
{
    if (d->algorithm == NULL)
        d->algorithm = EVP_MD_fetch(NULL, name, NULL);
    if (d->context == NULL)
        d->context = EVP_MD_CTX_new();
    return d->algorithm != NULL && d->context != NULL;
}

/* libcrypto keeps its errors in a queue of the thread, which is not ours to fill. */
static shale_code digest_failed(const char *name, shale_error *err)
{
    unsigned long last = ERR_peek_last_error();
    char why[128];
    ERR_error_string_n(last, why, sizeof why);
    ERR_clear_error();
    if (last == 0 || ERR_GET_REASON(last) == ERR_R_MALLOC_FAILURE)
        return shl_nomem(err);
    /* A libcrypto that is held to FIPS rules has no MD5. */
    return shl_fail(err, SHALE_NOT_SUPPORTED, "%s: libcrypto refuses: %s", name, why);
}

static shale_code digest_parts(struct digest *d, const char *name, const struct shl_slice *parts,
                               size_t count, uint8_t *out, shale_error *err)
{
    bool ok = ready(d, name) && EVP_DigestInit_ex2(d->context, d->algorithm, NULL) == 1;
    for (size_t i = 0; ok && i < count; i++) {
        if (parts[i].len > 0)
            ok = EVP_DigestUpdate(d->context, parts[i].data, parts[i].len) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(d->context, out, NULL) == 1;
    return ok ? SHALE_OK : digest_failed(name, err);
}

/* ---- digests */

shale_code shl_sha256(const struct shl_slice *parts, size_t count, uint8_t out[SHL_SHA256_BYTES],
                      shale_error *err)
{
    struct digest_contexts *c = contexts_of_task();
    return c == NULL ? shl_nomem(err) : digest_parts(&c->sha256, "SHA256", parts, count, out, err);
}

void shl_sha256_to_hex(const uint8_t digest[SHL_SHA256_BYTES], char out[SHL_SHA256_HEX])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SHL_SHA256_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[2 * SHL_SHA256_BYTES] = '\0';
}

shale_code shl_sha256_hex(const struct shl_slice *parts, size_t count, char out[SHL_SHA256_HEX],
                          shale_error *err)
{
    uint8_t digest[SHL_SHA256_BYTES];
    shale_code rc = shl_sha256(parts, count, digest, err);
    if (rc == SHALE_OK)
        shl_sha256_to_hex(digest, out);
    return rc;
}

shale_code shl_md5(const struct shl_slice *parts, size_t count, uint8_t out[SHL_MD5_BYTES],
                   shale_error *err)
{
    struct digest_contexts *c = contexts_of_task();
    return c == NULL ? shl_nomem(err) : digest_parts(&c->md5, "MD5", parts, count, out, err);
}

/* RFC 2104: H((K ^ opad) H((K ^ ipad) message)), K being the key with zeros up to a block, or its digest if it is longer. */
shale_code shl_hmac_sha256(struct shl_slice key, struct shl_slice message,
                           uint8_t out[SHL_SHA256_BYTES], shale_error *err)
{
    uint8_t pad[SHA256_BLOCK_BYTES] = {0};
    uint8_t inner[SHL_SHA256_BYTES];
    struct shl_slice parts[2] = {shl_slice_of(pad, sizeof pad), message};
    shale_code rc = SHALE_OK;
    if (key.len > sizeof pad)
        SHL_TRY(shl_sha256(&key, 1, pad, err));
    else if (key.len > 0)
        memcpy(pad, key.data, key.len);

    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36;
    SHL_TRY(shl_sha256(parts, 2, inner, err));
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    parts[1] = shl_slice_of(inner, sizeof inner);
    SHL_TRY(shl_sha256(parts, 2, out, err));
out:
    shl_wipe(pad, sizeof pad); /* the key can be had from it */
    return rc;
}

void shl_wipe(void *secret, size_t len)
{
    OPENSSL_cleanse(secret, len);
}

/* ---- CRC-64/NVME: reflected polynomial 0x9A6C9329AC4BC9B5, register starts and ends inverted. Slicing-by-8. */

/* crc64_slice[k][i]: the register after byte i and k zero bytes. */
static const uint64_t crc64_slice[8][256] = {
    SHL_CRC_TABLE(0x7f6ef0c830358979u, 0xfedde190606b12f2u, 0xc962e5739841b68fu,
                  0xa61cecb46814fe75u, 0x78e0ff3b88be6f81u, 0xf1c1fe77117cdf02u,
                  0xd75adabd7a6e2d6fu, 0x9a6c9329ac4bc9b5u),
    SHL_CRC_TABLE(0x8776a97d73bddf69u, 0x3a3474a9bfec2db9u, 0x7468e9537fd85b72u,
                  0xe8d1d2a6ffb0b6e4u, 0xe57a831ea7f6fea3u, 0xfe2c206e177a6e2du,
                  0xc881668f76634f31u, 0xa5dbeb4db4510d09u),
    SHL_CRC_TABLE(0xff6e4e1f4e4038beu, 0xca05ba6dc417e217u, 0xa0d25288d0b85745u,
                  0x757d8342f9e73de1u, 0xeafb0685f3ce7bc2u, 0xe12f2b58bf0b64efu,
                  0xf68770e226815ab5u, 0xd9d7c79715952601u),
    SHL_CRC_TABLE(0x8211147cbaf96306u, 0x30fb0eaa2d655567u, 0x61f61d545acaaaceu,
                  0xc3ec3aa8b595559cu, 0xb301530233bd3853u, 0x52db80573fede3cdu,
                  0xa5b700ae7fdbc79au, 0x7fb7270fa7201c5fu),
    SHL_CRC_TABLE(0x373d15f784905d1eu, 0x6e7a2bef0920ba3cu, 0xdcf457de12417478u,
                  0x8d3189ef7c157b9bu, 0x2eba358da0bd645du, 0x5d746b1b417ac8bau,
                  0xbae8d63682f59174u, 0x41088a3e5d7cb183u),
    SHL_CRC_TABLE(0xe9742a79ef04a5d4u, 0xe63172a0869ed8c3u, 0xf8bbc31255aa22edu,
                  0xc5aea077f3c3d6b1u, 0xbf8466bcbf103e09u, 0x4bd1eb2a26b7ef79u,
                  0x97a3d6544d6fdef2u, 0x1b9e8afbc2482e8fu),
    SHL_CRC_TABLE(0xfc5d27f6bf353971u, 0xcc6369be26fde189u, 0xac1ff52f156c5079u,
                  0x6ce6cc0d724f3399u, 0xd9cd981ae49e6732u, 0x8742166691ab5d0fu,
                  0x3a5d0a9e7bc12975u, 0x74ba153cf78252eau),
    SHL_CRC_TABLE(0x21e9761e252621acu, 0x43d2ec3c4a4c4358u, 0x87a5d878949886b0u,
                  0x3b9296a271a69e0bu, 0x77252d44e34d3c16u, 0xee4a5a89c69a782cu,
                  0xe84d9340d5a36333u, 0xe44200d2f3d1550du),
};

static uint64_t crc64_advance(uint64_t crc, const uint8_t *p, size_t len)
{
    for (; len >= 8; p += 8, len -= 8) {
        crc ^= shl_load_u64le(p);
        crc = crc64_slice[7][crc & 0xff] ^ crc64_slice[6][crc >> 8 & 0xff] ^
              crc64_slice[5][crc >> 16 & 0xff] ^ crc64_slice[4][crc >> 24 & 0xff] ^
              crc64_slice[3][crc >> 32 & 0xff] ^ crc64_slice[2][crc >> 40 & 0xff] ^
              crc64_slice[1][crc >> 48 & 0xff] ^ crc64_slice[0][crc >> 56];
    }
    for (; len > 0; p++, len--)
        crc = crc64_slice[0][(crc ^ *p) & 0xff] ^ crc >> 8;
    return crc;
}

uint64_t shl_crc64nvme(const struct shl_slice *parts, size_t count)
{
    uint64_t crc = ~UINT64_C(0);
    for (size_t i = 0; i < count; i++)
        crc = crc64_advance(crc, parts[i].data, parts[i].len);
    return ~crc;
}
