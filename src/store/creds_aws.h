/* AWS credentials (object-stores 9): given ones, the environment, profile files. Files are read through env. */
#ifndef SHL_STORE_CREDS_AWS_H
#define SHL_STORE_CREDS_AWS_H

#include "base/bytes.h"

/* Owned strings; {0} may be deinit'ed. */
struct shl_aws_creds {
    char *access_key;   /* NULL: anonymous, requests are not signed */
    char *secret_key;
    char *token;        /* session token, or NULL */
    int64_t expires_unix_ms; /* INT64_MAX: not known to expire */
    char *origin;       /* for people: "environment AWS_ACCESS_KEY_ID", "profile \"dev\" in ~/.aws/credentials", "store options" */
};
void shl_aws_creds_deinit(struct shl_aws_creds *c); /* wipes the secrets before it frees them */

/* What a profile says besides keys; NULL where it says nothing. Owned. */
struct shl_aws_profile {
    struct shl_aws_creds creds; /* access_key NULL if the profile has none */
    char *region;
    char *endpoint_url;
    char *unsupported; /* the first key that names a way to keys which we do not go: sso_*, role_arn, credential_process ... */
};
void shl_aws_profile_deinit(struct shl_aws_profile *p);

/* Parses the text of a credentials file (is_config false: sections [name]) or config file ([default], [profile name]) and adds
 * what the section of `name` says to *io: values that are there already stay (the credentials file is read first and wins), and
 * keys and token stay together. Pure. *out_found: the section is there. Errors: INVALID (line N: no '=', no ']', a control
 * character), NOMEM; *io is as it was. */
SHL_MUST shale_code shl_aws_profile_parse(struct shl_slice text, bool is_config, const char *name,
                                          struct shl_aws_profile *io, bool *out_found, shale_error *err);

/* Reads AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE (defaults below HOME/.aws). name NULL or "": AWS_PROFILE, else "default". A
 * profile that was asked for by name (argument or AWS_PROFILE) and is in neither file is INVALID and names both files and the nearest
 * profile; "default" may be missing. Files may be missing too; one that the system refuses is PERMISSION_DENIED or UNAVAILABLE if
 * the profile or the file was asked for. A profile whose keys come from SSO, a role or credential_process (nothing is run) loads:
 * its region holds, and only shl_aws_creds_find, when nothing came before it, answers INVALID. */
SHL_MUST shale_code shl_aws_profile_load(const char *name, struct shl_aws_profile *out, shale_error *err);

/* The chain: `given` (options; may be NULL, its keys too; expiry 0 is not known), then AWS_ACCESS_KEY_ID / AWS_SECRET_ACCESS_KEY /
 * AWS_SESSION_TOKEN, then `profile` (may be NULL). Only one of key and secret in one source is INVALID and names the missing one.
 * A profile that has no keys but a way to them that we do not go is INVALID ("sso profile not supported"). Nothing anywhere:
 * UNAUTHENTICATED, with the sources that were tried. Empty texts count as none. */
SHL_MUST shale_code shl_aws_creds_find(const struct shl_aws_creds *given, const struct shl_aws_profile *profile,
                                       struct shl_aws_creds *out, shale_error *err);

#endif
