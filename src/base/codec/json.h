/* JSON: parsing by jansson with our limits and error texts; writing by a streaming writer of our own. */
#ifndef SHL_CODEC_JSON_H
#define SHL_CODEC_JSON_H

#include "base/bytes.h"
#include <jansson.h>

#define SHL_JSON_DEPTH_MAX 64

/* Gives jansson our allocator and a seed for its hash tables (0 is taken as 1), process-wide. Call before anything else here, once, while no
 * other task uses jansson. A task's slot ENV_TLS_JSON is ours from then on. */
void shl_json_setup(uint64_t hash_seed);

/* Any JSON value (RFC 8259; \u0000 and duplicate keys are refused). *out is owned: json_decref. Errors: INVALID with line and column;
 * NOMEM. Deeper than SHL_JSON_DEPTH_MAX is INVALID. Integers are 64-bit signed. */
SHL_MUST shale_code shl_json_parse(struct shl_slice text, json_t **out, shale_error *err);

/* As other implementations read that are less strict: of two members of one name the later one counts, and nothing behind the first value
 * is looked at. */
SHL_MUST shale_code shl_json_parse_first(struct shl_slice text, json_t **out, shale_error *err);

/* The same of a text with unsigned numbers, as the writer below makes: integers from 2^63 to 2^64 - 1, which jansson does not have, become
 * strings of their digits, and shl_json_get_u64 reads those. */
SHL_MUST shale_code shl_json_parse_unsigned(struct shl_slice text, json_t **out, shale_error *err);

/* Members of an object; false if absent, null or of another type. Slices are borrowed from the object. */
SHL_MUST bool shl_json_get_str(const json_t *object, const char *key, struct shl_slice *out);
SHL_MUST bool shl_json_get_i64(const json_t *object, const char *key, int64_t *out);
SHL_MUST bool shl_json_get_u64(const json_t *object, const char *key, uint64_t *out); /* false if negative */
SHL_MUST bool shl_json_get_bool(const json_t *object, const char *key, bool *out);

/* Appends compact JSON to a buffer. Sticky: after a failure the calls do nothing and finish tells it. Calls out of order (a value
 * without key in an object, an end without begin) are asserted on. Strings that are not UTF-8 get U+FFFD for each bad byte. */
struct shl_json_writer {
    struct shl_buf *out;  /* borrowed */
    shale_error *err;     /* borrowed */
    shale_code rc;
    uint64_t in_object;   /* bit per depth: object or array */
    uint64_t has_items;   /* bit per depth */
    uint32_t depth;       /* at most SHL_JSON_DEPTH_MAX - 1 */
    bool after_key;
};

void shl_json_begin(struct shl_json_writer *w, struct shl_buf *out, shale_error *err);
/* The first failure, or SHALE_OK. All objects and arrays must have been ended; the buffer holds rubbish at its end after a failure. */
SHL_MUST shale_code shl_json_finish(struct shl_json_writer *w);

void shl_json_object(struct shl_json_writer *w);
void shl_json_object_end(struct shl_json_writer *w);
void shl_json_array(struct shl_json_writer *w);
void shl_json_array_end(struct shl_json_writer *w);
void shl_json_key(struct shl_json_writer *w, const char *key);
void shl_json_key_slice(struct shl_json_writer *w, struct shl_slice key);
void shl_json_str(struct shl_json_writer *w, const char *value); /* NULL: null */
void shl_json_slice(struct shl_json_writer *w, struct shl_slice value);
void shl_json_u64(struct shl_json_writer *w, uint64_t value);
void shl_json_i64(struct shl_json_writer *w, int64_t value);
void shl_json_f64(struct shl_json_writer *w, double value); /* not finite: null */
void shl_json_usd(struct shl_json_writer *w, double value); /* nine digits: a request costs less than a millionth */
void shl_json_bool(struct shl_json_writer *w, bool value);
void shl_json_null(struct shl_json_writer *w);
/* Text that is JSON already. */
void shl_json_raw(struct shl_json_writer *w, struct shl_slice json);
/* A member `key` with the bytes as string, or, where they are not UTF-8, `key`_base64. */
void shl_json_bytes(struct shl_json_writer *w, const char *key, struct shl_slice value);

#endif
