/* What an S3 store is opened with: one table of names, filled from profile files, the environment, options and the URL (object-stores 7.1, 9, 13). */
#ifndef SHL_STORE_S3_CONFIG_H
#define SHL_STORE_S3_CONFIG_H

#include "store/creds_aws.h"
#include "store/open.h"

enum shl_s3_checksum { SHL_S3_CHECKSUM_NONE, SHL_S3_CHECKSUM_SHA256, SHL_S3_CHECKSUM_CRC64NVME };
enum shl_s3_conditional { SHL_S3_ETAG, SHL_S3_UNCONDITIONAL };
enum shl_s3_payload { SHL_S3_PAYLOAD_AUTO, SHL_S3_PAYLOAD_SIGNED, SHL_S3_PAYLOAD_UNSIGNED };

/* Values by the table in s3_config.c; texts owned, NULL where nothing was said. */
struct shl_s3_values {
    char *access_key_id, *secret_access_key, *session_token, *profile;
    char *region, *endpoint;
    bool virtual_hosted, skip_signature, disable_bulk_delete, request_payer;
    unsigned payload;     /* enum shl_s3_payload */
    unsigned checksum;    /* enum shl_s3_checksum */
    unsigned conditional; /* enum shl_s3_conditional */
    char *sse, *sse_kms_key_id, *sse_customer_key;
    bool sse_bucket_key;
    char *content_type, *storage_class;
    bool allow_http, allow_invalid_certificates;
    uint64_t connect_timeout_ns, first_byte_timeout_ns, read_timeout_ns, timeout_ns, idle_timeout_ns;
    uint32_t idle_max, connections_max;
    char *proxy, *no_proxy, *user_agent, *ca_file, *client_cert, *client_key;
};

#define SHL_S3_OPTIONS_MAX 40

/* Where a value came from, and what it took the place of. */
struct shl_s3_origin {
    char *from;      /* owned: "AWS_REGION", "--store-option aws_region", "profile \"dev\" in ...", "URL"; NULL: the default */
    char *beaten;    /* owned text of the value before it (masked if secret), or NULL */
    char *beaten_from; /* owned */
};

struct shl_s3_config {
    struct shl_s3_values v;
    struct shl_s3_origin origins[SHL_S3_OPTIONS_MAX]; /* by index in the table */
    struct shl_aws_creds creds;                       /* access_key NULL: anonymous */
    bool creds_given;                                 /* as options: there is nowhere to look for newer ones */
};

/* Gathers everything for a bucket; region NULL unless the URL says it. Files are read, nothing is sent. need_creds false: missing credentials are no mistake
 * (creds stay empty). Errors: INVALID (a value, naming where it came from; half a key pair; a profile that is not there), UNAUTHENTICATED (no
 * credentials anywhere), NOMEM. */
SHL_MUST shale_code shl_s3_config_load(struct shl_s3_config *out, const struct shl_store_option *options, size_t count,
                                       const char *url_region, const char *url_endpoint, bool need_creds, shale_error *err);
void shl_s3_config_deinit(struct shl_s3_config *c); /* wipes secrets */

/* Checks one name and value; *out_known false: no S3 option of that name. INVALID for the value. */
/* Looks through the environment and profile files again. *out_changed: it found other credentials than the present ones, in *out (owned). */
SHL_MUST shale_code shl_s3_creds_again(const struct shl_s3_config *c, const struct shl_aws_creds *present,
                                       struct shl_aws_creds *out, bool *out_changed, shale_error *err);

SHL_MUST shale_code shl_s3_option_check(const char *key, const char *value, bool *out_known, shale_error *err);
size_t shl_s3_option_count(void);
const char *shl_s3_option_name(size_t i); /* "aws_region"; canonical */

/* For listing: text of value i ("set (40 characters)" if secret) appended to out. */
SHL_MUST shale_code shl_s3_option_text(const struct shl_s3_config *c, size_t i, struct shl_buf *out, shale_error *err);
/* One line of help. */
const char *shl_s3_option_help(size_t i);
const char *shl_s3_option_default(size_t i); /* as text, or NULL */
const char *shl_s3_option_type(size_t i);
/* Who named the region: "AWS_REGION", "default". */
const char *shl_s3_region_origin(const struct shl_s3_config *c);
/* Who named the endpoint; there must be one. */
const char *shl_s3_endpoint_origin(const struct shl_s3_config *c);
/* An endpoint as messages show it: without what stands before an '@' or behind a '?' or '#', which may be secrets. Returns out. */
#define SHL_S3_ENDPOINT_SHOWN 130
const char *shl_s3_endpoint_shown(const char *endpoint, char out[SHL_S3_ENDPOINT_SHOWN]);

#endif
