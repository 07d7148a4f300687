/* An S3 store over a scripted server: what the tests of the S3 backend share. */
#ifndef TESTS_STORE_SUPPORT_S3_H
#define TESTS_STORE_SUPPORT_S3_H

#include "store/support_conformance.h"
#include "store/support_http_server.h"

#define S3_KEY_ID "AKIDEXAMPLE"
#define S3_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define S3_REGION "eu-west-1"

/* A server, and the bucket "bucket" on it. */
struct s3_scene {
    struct http_server *server;
    struct shl_store *bare;  /* the S3 backend itself */
    struct shl_store *store; /* the same under the retry wrapper: five retries, a millisecond apart */
};

/* Pairs of option name and value, ended by NULL; they come after (and win over) endpoint, region, keys and short time limits. A region or key "" is
 * left out. */
typedef const char *const *s3_options;

/* Forgets variables that could change what a store does, and points HOME to an empty folder, which it returns (temp_dir_free). First of all. */
char *s3_clean_environment(void);

struct s3_scene s3_scene_of(struct http_server *take_server, s3_options more);
struct s3_scene s3_scene_new(const struct http_answer *script, size_t count, s3_options more);
#define S3_SCENE(script) s3_scene_new((script), SHL_COUNT_OF(script), NULL)
void s3_scene_free(struct s3_scene *c);

/* Opens s3://bucket at an endpoint with these options; the code of opening. */
shale_code s3_open(const char *endpoint, s3_options more, struct shl_store **out);

/* The signature of a request recomputed; fails the test if it differs, if a header is not signed, or if the hash is not that of the body. */
void s3_check_signature(const struct http_request *q, const char *secret, const char *region);

/* The request must look so. */
void s3_expect_request(struct s3_scene *c, size_t n, const char *method, const char *target);
/* Value NULL: the header must not be there. */
void s3_expect_header(struct s3_scene *c, size_t n, const char *name, const char *value);
/* Number of requests so far. */
void s3_expect_count(struct s3_scene *c, size_t n);
/* What test_err says. */
void s3_expect_says(const char *part);

#endif
