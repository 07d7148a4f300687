/* One call of each kind, as the scripted tests make them, and what S3 would answer. */
#ifndef TESTS_STORE_SUPPORT_S3_OPS_H
#define TESTS_STORE_SUPPORT_S3_OPS_H

#include "store/support_s3.h"

#define ETAG    "etag: \"e1\"\r\n"
#define PUT_ID  "01J79B0000000000000000C0Q2"
#define OTHER   "01J79B0000000000000000XXXX"
#define ODD_KEY "db/a b+\xc3\xa9~#1"
#define ODD_URL "/bucket/db/a%20b%2B%C3%A9~%231"
#define XML     "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define NS      " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

#define COMPLETED                                                                                  \
    XML "<CompleteMultipartUploadResult" NS                                                        \
        "><Location>x</Location><ETag>&quot;all-2&quot;</ETag>"                                    \
        "</CompleteMultipartUploadResult>"

#define COPIED_PART XML "<CopyPartResult" NS "><ETag>&quot;p&quot;</ETag></CopyPartResult>"

#define STARTED                                                                                    \
    XML "<InitiateMultipartUploadResult" NS "><Bucket>bucket</Bucket><Key>k</Key>"                 \
        "<UploadId>u/1+=</UploadId></InitiateMultipartUploadResult>"

/* On the bucket of the scene; what a successful one returns is checked. The code of the call, whose words are in test_err. */
shale_code s3_put_plain(struct shl_store *s);
shale_code s3_put_create(struct shl_store *s);
shale_code s3_put_if_match(struct shl_store *s);
shale_code s3_get_how(struct shl_store *s, enum shl_get_kind kind, uint64_t offset, uint64_t len, const char *if_none_match);
shale_code s3_get_all(struct shl_store *s);
shale_code s3_get_from(struct shl_store *s);
shale_code s3_get_changed(struct shl_store *s);
shale_code s3_get_range(struct shl_store *s);
shale_code s3_head(struct shl_store *s);
shale_code s3_delete_one(struct shl_store *s);
shale_code s3_delete_two(struct shl_store *s);
shale_code s3_list_how(struct shl_store *s, const struct shl_list_options *how);
shale_code s3_list_all(struct shl_store *s);
shale_code s3_copy_plain(struct shl_store *s);
shale_code s3_upload_two_parts(struct shl_store *s);
shale_code s3_copy_create(struct shl_store *s);

/* S3's error document. It stays valid for the next 15 calls. */
struct http_answer s3_error_of(const char *status, const char *code);

#endif
