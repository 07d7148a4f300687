/* Objects named by a URL, for the store commands. One task. */
#ifndef SHL_CLI_OBJECT_H
#define SHL_CLI_OBJECT_H

#include "cli/cmd.h"

/* An object's URL apart: the folder above it, opened, and its name there. {0} may be closed. */
struct object_at {
    shale_store *store; /* owned */
    struct shl_buf key; /* owned: NUL-terminated text, percent signs decoded as the folder's are */
};
const char *object_key(const struct object_at *at);
/* c->options must be made. 0, or an exit code after a message; close it in both cases. */
SHL_MUST int object_open(struct cli *c, const char *url, struct object_at *out);
void object_close(struct object_at *at);

/* NOT_FOUND is an answer (CLI_NO), all else a failure; both are told as the caller of `rc` left c->err. loud: also where nobody reads along. */
int object_answer(struct cli *c, shale_code rc, const char *url, bool loud);

/* True for "s3://", which stands above the buckets; for "s3://bucket" and "s3://bucket/". */
bool object_is_service(const char *url);
bool object_is_bucket(const char *url);
/* The folder that a bare path or a file URL names, as text: false for other URLs, or if there is no memory. */
SHL_MUST bool object_folder(const char *url, struct shl_buf *out);
/* What SlateDB takes as the name of a database: the path in its bucket, of a folder its last segment (whole: all of the path). False: no memory, or no name. */
SHL_MUST bool object_name(const char *url, bool whole, struct shl_buf *out);

#endif
