/* libcurl, loaded when a bucket is first asked for something: it brings 27 more libraries, some 4 MB and 3 ms, which a folder does not need.
 * Built with SHALE_CURL_LINKED it is part of the program. */
#ifndef SHL_STORE_HTTP_CURL_LIB_H
#define SHL_STORE_HTTP_CURL_LIB_H

#include "base/err.h"
#include <curl/curl.h>

/* What is called of it. Once loaded it stays for the life of the process; any thread. */
struct shl_curl {
    __typeof__(curl_global_init) *global_init;
    __typeof__(curl_global_cleanup) *global_cleanup;
    __typeof__(curl_version) *version;
    __typeof__(curl_easy_init) *easy_init;
    __typeof__(curl_easy_cleanup) *easy_cleanup;
    __typeof__(curl_easy_setopt) *easy_setopt;
    __typeof__(curl_easy_getinfo) *easy_getinfo;
    __typeof__(curl_easy_strerror) *easy_strerror;
    __typeof__(curl_multi_init) *multi_init;
    __typeof__(curl_multi_cleanup) *multi_cleanup;
    __typeof__(curl_multi_setopt) *multi_setopt;
    __typeof__(curl_multi_add_handle) *multi_add_handle;
    __typeof__(curl_multi_remove_handle) *multi_remove_handle;
    __typeof__(curl_multi_info_read) *multi_info_read;
    __typeof__(curl_multi_socket_action) *multi_socket_action;
    __typeof__(curl_multi_timeout) *multi_timeout;
    __typeof__(curl_url) *url;
    __typeof__(curl_url_set) *url_set;
    __typeof__(curl_url_get) *url_get;
    __typeof__(curl_free) *free;
    __typeof__(curl_url_cleanup) *url_cleanup;
};

/* Errors: NOT_SUPPORTED, with what the loader says, if the library is not there or older than 7.85. */
SHL_MUST shale_code shl_curl_load(struct shl_curl *out, shale_error *err);

/* The certificates to trust where the user names none: of SSL_CERT_FILE or of this system, for a libcurl inside of a program cannot know. NULL: libcurl's
 * own. */
const char *shl_curl_ca_file(void);

#endif
