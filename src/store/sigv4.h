/* AWS Signature Version 4 (object-stores 8): pure functions over what a request holds. Any thread. Format: AWS "Signing AWS API
 * requests"; vectors in tests/fixtures/signing. What appends leaves `out` as it was when it fails: INVALID (more than 256 headers
 * or query pairs), NOMEM. */
#ifndef SHL_STORE_SIGV4_H
#define SHL_STORE_SIGV4_H

#include "base/codec/digest.h"

#define SHL_SIGV4_EMPTY    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHL_SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"

/* A name and its value, both borrowed; a header's name in lower case. */
struct shl_pair {
    const char *name;
    const char *value;
};

/* Everything that is signed. All borrowed. */
struct shl_sigv4_request {
    const char *method;
    const char *path;              /* as sent, percent-encoded once; "s3" and "s3express" sign it so, others encode it again */
    const struct shl_pair *query;  /* decoded names and values, in any order */
    size_t query_count;
    const struct shl_pair *headers; /* to be signed: host, x-amz-date, x-amz-content-sha256 ..., in any order */
    size_t header_count;
    const char *payload_hash;      /* hex SHA-256, SHL_SIGV4_EMPTY or SHL_SIGV4_UNSIGNED */
};

/* Whose signature, and where it holds. All borrowed. */
struct shl_sigv4_scope {
    const char *access_key;
    const char *secret_key;
    const char *region;
    const char *service; /* "s3", "dynamodb", "sts" */
    const char *amz_date; /* "20260115T083000Z" */
};

/* The four derived keys of one day cost four HMACs: kept between requests by who signs. {0} is empty. One thread at a time. */
struct shl_sigv4_key {
    bool valid;
    char day[9];
    char region[64];
    char service[32];
    uint8_t secret_sha256[SHL_SHA256_BYTES]; /* of the secret, so that a new secret is seen */
    uint8_t date_key[SHL_SHA256_BYTES];
    uint8_t region_key[SHL_SHA256_BYTES];
    uint8_t service_key[SHL_SHA256_BYTES];
    uint8_t signing_key[SHL_SHA256_BYTES];
};

/* Fills `key` for this scope, if it is not that of this scope already; holds secrets from then on. Errors: INVALID (region or
 * service too long, bad date), NOMEM; the key is as it was. */
SHL_MUST shale_code shl_sigv4_derive(struct shl_sigv4_key *key, const struct shl_sigv4_scope *scope, shale_error *err);

/* Appends the canonical query ("a=1&b=", strict percent-encoding, sorted): also what is to be sent. */
SHL_MUST shale_code shl_sigv4_query(const struct shl_pair *query, size_t count, struct shl_buf *out, shale_error *err);
/* Appends "name;name". */
SHL_MUST shale_code shl_sigv4_signed_headers(const struct shl_sigv4_request *r, struct shl_buf *out, shale_error *err);
SHL_MUST shale_code shl_sigv4_canonical_request(const struct shl_sigv4_request *r, const char *service,
                                                struct shl_buf *out, shale_error *err);
SHL_MUST shale_code shl_sigv4_string_to_sign(struct shl_slice canonical_request, const struct shl_sigv4_scope *scope,
                                             struct shl_buf *out, shale_error *err);

/* Appends the value of the Authorization header. `key` must have been derived for this scope. This is the hot path: a
 * few microseconds, no allocation but for `out` and one scratch buffer that the caller lends (emptied first). */
SHL_MUST shale_code shl_sigv4_authorization(const struct shl_sigv4_request *r, const struct shl_sigv4_scope *scope,
                                            const struct shl_sigv4_key *key, struct shl_buf *scratch, struct shl_buf *out,
                                            shale_error *err);

/* Appends the query of a presigned URL: r->query plus X-Amz-* and the signature; payload is UNSIGNED-PAYLOAD (payload_hash is
 * not looked at). token may be NULL. INVALID if expires_s is not 1 to 604800. */
SHL_MUST shale_code shl_sigv4_presign(const struct shl_sigv4_request *r, const struct shl_sigv4_scope *scope,
                                      const char *token, uint32_t expires_s, struct shl_buf *out, shale_error *err);

/* One chunk's signature of a body signed in chunks (hex), given that of the chunk before (the header's for the first). */
SHL_MUST shale_code shl_sigv4_chunk(const struct shl_sigv4_scope *scope, const struct shl_sigv4_key *key,
                                    const char *previous, struct shl_slice chunk, char out[SHL_SHA256_HEX],
                                    shale_error *err);

#endif
