#include "api/transform.h"

#include "base/codec/digest.h"
#include "base/codec/text.h"
#include "base/env/env.h"
#include "base/str.h"

#include <string.h>

#define FROM_FILE          "aes-256-gcm:file:"
#define FROM_ENV           "aes-256-gcm:env:"
#define KEY_FILE_BYTES_MAX 4096

/* ---------------------------------------------------------------- forms */

static bool xor_byte(const char *text, uint8_t *out)
{
    struct shl_buf byte = {0};
    shale_error ignored;
    if (strncmp(text, "xor:", 4) != 0 || strlen(text) != 6)
        return false;
    bool fine = shl_hex_decode(shl_slice_str(text + 4), &byte, &ignored) == SHALE_OK;
    if (fine)
        *out = byte.data[0];
    shl_buf_free(&byte);
    return fine;
}

/* What stands behind the beginning, if the text has it. */
static const char *behind(const char *text, const char *beginning)
{
    size_t len = strlen(beginning);
    return strncmp(text, beginning, len) == 0 && text[len] != '\0' ? text + len : NULL;
}

bool shl_api_transform_form(const char *text)
{
    uint8_t byte;
    return xor_byte(text, &byte) || behind(text, FROM_FILE) != NULL ||
           behind(text, FROM_ENV) != NULL;
}

/* ---------------------------------------------------------------- keys */

/* 32 bytes as they are, or 64 hex digits, or 44 characters of base64, with blanks and line ends around them. */
static bool decode_key(struct shl_slice text, uint8_t out[SHL_AEAD_KEY_BYTES])
{
    struct shl_buf bytes = {0};
    shale_error ignored;
    if (text.len == SHL_AEAD_KEY_BYTES) {
        memcpy(out, text.data, SHL_AEAD_KEY_BYTES);
        return true;
    }
    text = shl_slice_trim(text);
    shale_code rc = text.len == SHL_AEAD_KEY_BYTES * 2 ? shl_hex_decode(text, &bytes, &ignored)
                                                       : shl_base64_decode(text, &bytes, &ignored);
    bool fine = rc == SHALE_OK && bytes.len == SHL_AEAD_KEY_BYTES;
    if (fine)
        memcpy(out, bytes.data, SHL_AEAD_KEY_BYTES);
    if (bytes.data != NULL)
        shl_wipe(bytes.data, bytes.cap);
    shl_buf_free(&bytes);
    return fine;
}

static shale_code bad_key(const char *what, const char *name, size_t len, shale_error *err)
{
    return shl_fail(err, SHALE_INVALID,
                    "transformer: the key in %s %s has %zu bytes and is none: 32 raw bytes, 64 hex "
                    "digits or 44 characters of base64 are wanted",
                    what, name, len);
}

static shale_code key_of_file(const char *path, uint8_t out[SHL_AEAD_KEY_BYTES], shale_error *err)
{
    uint8_t text[KEY_FILE_BYTES_MAX];
    size_t len = 0;
    int fd;
    int failed = env_open(&fd, path, ENV_OPEN_READ);
    if (failed == 0) {
        failed = env_pread(fd, text, sizeof text, 0, &len);
        (void)env_close(fd);
    }
    if (failed != 0)
        return shl_fail(err, SHALE_INVALID, "transformer: the key file %s cannot be read: %s", path,
                        strerror(failed));
    bool fine = decode_key(shl_slice_of(text, len), out);
    shl_wipe(text, sizeof text);
    return fine ? SHALE_OK : bad_key("file", path, len, err);
}

static shale_code key_of_variable(const char *name, uint8_t out[SHL_AEAD_KEY_BYTES],
                                  shale_error *err)
{
    const char *text = env_getenv(name);
    if (text == NULL)
        return shl_fail(err, SHALE_INVALID,
                        "transformer: the environment variable %s, which holds the key, is not set",
                        name);
    return decode_key(shl_slice_str(text), out) ? SHALE_OK
                                                : bad_key("variable", name, strlen(text), err);
}

/* ---------------------------------------------------------------- AES-256-GCM */

static shale_code seal(void *ctx, struct shl_slice in, struct shl_buf *out, shale_error *err)
{
    const struct shl_api_transform *t = ctx;
    uint8_t nonce[SHL_AEAD_NONCE_BYTES];
    uint64_t chance[2] = {env_rand64(), env_rand64()};
    memcpy(nonce, chance, sizeof nonce);
    return shl_aead_seal(t->key, nonce, in, out, err);
}

static shale_code unseal(void *ctx, struct shl_slice in, struct shl_buf *out, shale_error *err)
{
    const struct shl_api_transform *t = ctx;
    return shl_aead_open(t->key, in, out, err);
}

/* ---------------------------------------------------------------- functions of the user */

struct emitted {
    struct shl_buf *out;
    shale_error *err;
    unsigned calls;
    shale_code rc;
};

static void on_emit(void *ctx, shale_slice result)
{
    struct emitted *e = ctx;
    e->calls++;
    if (e->rc == SHALE_OK)
        e->rc = shl_buf_append(e->out, result.data, result.len, e->err);
}

static shale_code call(const struct shl_api_transform *t, shale_transform_fn fn, const char *what,
                       struct shl_slice in, struct shl_buf *out, shale_error *err)
{
    struct emitted e = {.out = out, .err = err};
    shale_code rc = fn(t->ctx, shale_bytes(in.data, in.len), on_emit, &e);
    if (rc != SHALE_OK)
        return shl_fail(err, rc == SHALE_CORRUPTION ? rc : SHALE_INVALID,
                        "the block transformer failed to %s: %s", what, shale_code_name(rc));
    if (e.rc != SHALE_OK)
        return e.rc;
    if (e.calls != 1)
        return shl_fail(err, SHALE_INVALID, "the block transformer gave %u results, want 1",
                        e.calls);
    return SHALE_OK;
}

static shale_code user_encode(void *ctx, struct shl_slice in, struct shl_buf *out, shale_error *err)
{
    const struct shl_api_transform *t = ctx;
    return call(t, t->encode, "encode", in, out, err);
}

static shale_code user_decode(void *ctx, struct shl_slice in, struct shl_buf *out, shale_error *err)
{
    const struct shl_api_transform *t = ctx;
    return call(t, t->decode, "decode", in, out, err);
}

/* ---------------------------------------------------------------- which one */

shale_code shl_api_transform_init(struct shl_api_transform *out, const shale_options *o,
                                  shale_error *err)
{
    const char *text = o->settings.transformer;
    uint8_t byte;
    shale_code rc = SHALE_OK;
    *out = (struct shl_api_transform){
        .encode = o->encode, .decode = o->decode, .ctx = o->transform_ctx};
    out->is_there = o->encode != NULL || text != NULL;
    if (o->encode != NULL) {
        out->transformer =
            (struct shl_transformer){.encode = user_encode, .decode = user_decode, .ctx = out};
        return SHALE_OK;
    }
    if (text == NULL)
        return SHALE_OK;
    if (xor_byte(text, &byte)) {
        out->transformer = shl_transformer_xor(byte);
        return SHALE_OK;
    }
    if (behind(text, FROM_FILE) != NULL)
        rc = key_of_file(behind(text, FROM_FILE), out->key, err);
    else if (behind(text, FROM_ENV) != NULL)
        rc = key_of_variable(behind(text, FROM_ENV), out->key, err);
    else
        rc =
            shl_fail(err, SHALE_INVALID, "transformer: \"%s\"; it is " SHL_TRANSFORMER_FORMS, text);
    out->transformer =
        (struct shl_transformer){.encode = seal,
                                 .decode = unseal,
                                 .overhead = SHL_AEAD_NONCE_BYTES + SHL_AEAD_TAG_BYTES,
                                 .ctx = out};
    return rc;
}

void shl_api_transform_drop(struct shl_api_transform *t)
{
    shl_wipe(t->key, sizeof t->key);
    *t = (struct shl_api_transform){0};
}
