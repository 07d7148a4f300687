/* The block transformer that options name or bring: xor, AES-256-GCM with a key from a file or the environment, or functions of the user. */
#ifndef SHL_API_TRANSFORM_H
#define SHL_API_TRANSFORM_H

#include "api/options.h"
#include "base/codec/aead.h"

/* Lives as long as whoever uses its transformer; must not be moved. {0} may be dropped. */
struct shl_api_transform {
    struct shl_transformer transformer; /* ctx points here */
    bool is_there;
    uint8_t key[SHL_AEAD_KEY_BYTES];
    shale_transform_fn encode, decode;
    void *ctx;
};

/* Reads the key, if one is needed. INVALID names the file or variable, never what is in it. */
SHL_MUST shale_code shl_api_transform_init(struct shl_api_transform *out, const shale_options *o,
                                           shale_error *err);
/* Wipes the key. */
void shl_api_transform_drop(struct shl_api_transform *t);

/* Whether a text may be a transformer: its form, not whether the key is there. */
SHL_MUST bool shl_api_transform_form(const char *text);
#define SHL_TRANSFORMER_FORMS "xor:HH (two hex digits), aes-256-gcm:file:PATH, aes-256-gcm:env:NAME or none"

#endif
