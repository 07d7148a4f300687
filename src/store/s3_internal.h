/* The inside of the S3 backend, shared by its files (s3*.c). */
#ifndef SHL_STORE_S3_INTERNAL_H
#define SHL_STORE_S3_INTERNAL_H

#include "base/env/env.h"
#include "store/backend.h"
#include "store/http/http.h"
#include "store/s3_config.h"
#include "store/sigv4.h"

/* Whose credentials; immutable and counted, replaced as a whole when expired ones were renewed. */
struct s3_identity {
    _Atomic uint32_t refs;
    struct shl_aws_creds creds; /* owned */
};

/* Where requests go. */
struct s3_place {
    char origin[320]; /* "https://host:port" */
    char host[300];   /* as signed: with the port unless it is the scheme's own */
    char base[320];   /* "/bucket", or "" where the host has it; percent-encoded */
    char region[64];
};

/* Who signs and where it goes (s3_signer.c); immutable once the store has it. */
struct s3_signer {
    _Atomic uint32_t refs;
    struct s3_place place;
    struct s3_identity *identity; /* counted; NULL: anonymous */
    struct shl_sigv4_key
        key; /* of identity, region and one day; not valid before the first request */
};

struct s3_store {
    struct shl_store base;
    struct shl_http *http;       /* counted [const] */
    struct shl_s3_config config; /* [const] but for its creds, which moved to identity */
    char *bucket;                /* owned [const]; "": the service itself (to list buckets) */
    const struct shl_log *log;   /* borrowed; may be NULL [const] */
    bool tls;                    /* [const] */
    char *sse_key_md5;           /* owned, base64; NULL without sse-c [const] */
    struct env_mutex mu;         /* a leaf: held to look and to exchange */
    struct s3_signer *
        signer; /* [mu] counted; another once the bucket is in another region, credentials were renewed, or a day has passed */
    _Atomic bool region_told; /* that it is another one */
    _Atomic int64_t
        clock_offset_ms; /* what the server's clock is ahead of ours, once it complained */
};

static inline struct s3_store *s3_of(struct shl_store *s)
{
    return (struct s3_store *)s;
}

/* ---- s3_signer.c */

void shl_s3_identity_unref(struct s3_identity *id); /* NULL is fine */
/* Takes a reference to the identity, which may be NULL. The key comes with shl_s3_signer_of. */
SHL_MUST shale_code shl_s3_signer_new(struct s3_signer **out, const struct s3_place *place,
                                      struct s3_identity *identity, shale_error *err);
void shl_s3_signer_unref(struct s3_signer *g); /* NULL is fine */
/* The present one, counted. */
struct s3_signer *shl_s3_signer(struct s3_store *s);
/* The same with the key of that day, which it keeps for the others. */
SHL_MUST shale_code shl_s3_signer_of(struct s3_store *s, const char *amz_date,
                                     struct s3_signer **out, shale_error *err);
/* All borrowed. It has an identity. */
struct shl_sigv4_scope shl_s3_signer_scope(const struct s3_signer *g, const char *amz_date);
/* Requests go there from now on. */
SHL_MUST shale_code shl_s3_signer_move(struct s3_store *s, const struct s3_place *place,
                                       shale_error *err);
/* Puts an identity (takes a reference) in the place of `used`, unless somebody else did that meanwhile. */
SHL_MUST shale_code shl_s3_signer_identify(struct s3_store *s, const struct s3_identity *used,
                                           struct s3_identity *identity, shale_error *err);

/* ---- s3_request.c */

enum s3_wanted {
    S3_ETAG,
    S3_LENGTH,
    S3_RANGE,
    S3_MODIFIED,
    S3_PUT_ID,
    S3_RETRY_AFTER,
    S3_REQUEST_ID,
    S3_BUCKET_REGION,
    S3_DATE,
    S3_WANTED
};

#define S3_QUERY_MAX   8
#define S3_HEADERS_MAX 24

/* One request: the front part is filled by the caller, the rest is shl_s3_run's. {0} is a start; shl_s3_request_deinit ends it. */
struct s3_request {
    enum shl_http_method method;
    const char *action; /* the right that it needs, for messages: "s3:GetObject" */
    const char *key;    /* NULL: the bucket */
    struct shl_pair query[S3_QUERY_MAX];
    size_t query_count;
    struct shl_pair headers[S3_HEADERS_MAX]; /* names in lower case; all are signed */
    size_t header_count;
    const struct shl_slice *body;
    size_t body_count;
    bool check_body; /* a 200 may hold an <Error> */
    const struct shl_http_piece *pieces;
    size_t piece_count;
    struct shl_buf *text; /* where the body goes; NULL: into `answer` */
    uint64_t text_max;    /* of a successful body in it; 0: no limit */

    /* the answer */
    shale_code code;
    int status;
    uint64_t received;
    struct shl_buf answer; /* owned: XML, errors */

    char *scratch; /* owned: URL and header lines of the present try; wiped before it is freed */
    size_t scratch_len;
    unsigned corrections;

    struct shl_http_wanted wanted[S3_WANTED];
    char error_code[64]; /* the service's: "NoSuchKey"; "" if there was none */
    shale_error err;
};

/* The same as {0} but for what a request that was answered has set: many are made at once, and most of each is texts. */
void shl_s3_request_init(struct s3_request *r);
void shl_s3_request_deinit(struct s3_request *r);
void shl_s3_query(struct s3_request *r, const char *name, const char *value);
void shl_s3_header(struct s3_request *r, const char *name, const char *value);

/* Sends them at once, waits, corrects what can be corrected by itself (region, clock, renewed credentials) and judges: each has its code. */
void shl_s3_run(struct s3_store *s, struct s3_request *requests, size_t count);
/* The same for one; returns its code and copies its error. */
SHL_MUST shale_code shl_s3_run_one(struct s3_store *s, struct s3_request *r, shale_error *err);

/* Takes the secrets that requests are made with out of what a server said, in place. */
void shl_s3_mask(struct s3_store *s, char *text);
/* What headers say of an object; size from Content-Range or Content-Length. UNAVAILABLE if there is no size. */
SHL_MUST shale_code shl_s3_describe(const struct s3_request *r, struct shl_object *out,
                                    shale_error *err);
/* Headers of a new object: content type, storage class, encryption, put id. */
void shl_s3_object_headers(const struct s3_store *s, struct s3_request *r, const char *put_id);
/* Headers that go with each read or part of an object encrypted with one's own key. */
void shl_s3_customer_key(const struct s3_store *s, struct s3_request *r);
/* The checksum header of a body, if one is configured; `text` holds it until the request is done. */
#define S3_CHECKSUM_TEXT 48
SHL_MUST shale_code shl_s3_checksum(const struct s3_store *s, struct s3_request *r,
                                    char text[S3_CHECKSUM_TEXT], shale_error *err);

/* ---- s3_place.c */
/* Letters, digits and '-': what may become a part of a host's name, or be shown to be typed. */
bool shl_s3_is_region(const char *region);
SHL_MUST shale_code shl_s3_place_init(struct s3_place *out, const struct shl_s3_config *c,
                                      const char *bucket, const char *region, shale_error *err);

/* ---- shl_s3_list.c */
shale_code shl_s3_list(struct shl_store *s, const struct shl_list_options *how,
                       struct shl_list *out, shale_error *err);
shale_code shl_s3_delete_many(struct shl_store *s, const char *const *keys, size_t count,
                              shale_error *err);

/* ---- s3_upload.c */
shale_code shl_s3_copy(struct shl_store *s, const char *from, const char *to, bool create_only,
                       shale_error *err);
shale_code shl_s3_upload_start(struct shl_store *s, const char *key, struct shl_upload **out,
                               shale_error *err);
shale_code shl_s3_upload_part(struct shl_store *s, struct shl_upload *u, uint32_t index,
                              const struct shl_slice *parts, size_t count, shale_error *err);
shale_code shl_s3_upload_complete(struct shl_store *s, struct shl_upload *u, struct shl_object *out,
                                  shale_error *err);
void shl_s3_upload_abort(struct shl_store *s, struct shl_upload *take_u);

#endif
