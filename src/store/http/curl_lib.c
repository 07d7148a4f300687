#include "store/http/curl_lib.h"

#include "base/env/env.h"
#include "base/num.h"
#include <assert.h>
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

/* CURLOPT_PROTOCOLS_STR came with 7.85. */
static_assert(LIBCURL_VERSION_NUM >= 0x075500, "build with the headers of libcurl 7.85 or newer");

#ifdef SHALE_CURL_LINKED /* a program in one file */

shale_code shl_curl_load(struct shl_curl *out, shale_error *err)
{
    (void)err;
    *out = (struct shl_curl){.global_init = curl_global_init,
                             .global_cleanup = curl_global_cleanup,
                             .version = curl_version,
                             .easy_init = curl_easy_init,
                             .easy_cleanup = curl_easy_cleanup,
                             .easy_setopt = curl_easy_setopt,
                             .easy_getinfo = curl_easy_getinfo,
                             .easy_strerror = curl_easy_strerror,
                             .multi_init = curl_multi_init,
                             .multi_cleanup = curl_multi_cleanup,
                             .multi_setopt = curl_multi_setopt,
                             .multi_add_handle = curl_multi_add_handle,
                             .multi_remove_handle = curl_multi_remove_handle,
                             .multi_info_read = curl_multi_info_read,
                             .multi_socket_action = curl_multi_socket_action,
                             .multi_timeout = curl_multi_timeout,
                             .url = curl_url,
                             .url_set = curl_url_set,
                             .url_get = curl_url_get,
                             .free = curl_free,
                             .url_cleanup = curl_url_cleanup};
    return SHALE_OK;
}

const char *shl_curl_ca_file(void)
{
    static const char *const places[] = {
        "/etc/ssl/certs/ca-certificates.crt", /* Debian, Ubuntu, Arch, Gentoo */
        "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora, RHEL, Amazon Linux */
        "/etc/ssl/ca-bundle.pem",             /* SUSE */
        "/etc/ssl/cert.pem"};                 /* Alpine */
    struct env_stat st;
    const char *named = env_getenv("SSL_CERT_FILE");
    if (named != NULL && named[0] != '\0')
        return named;
    for (size_t i = 0; i < SHL_COUNT_OF(places); i++)
        if (env_stat(places[i], &st) == 0)
            return places[i];
    return NULL;
}

#else

#define CURL_NAME "libcurl.so.4"

#define SYMBOL(name)                                                                               \
    {                                                                                              \
        "curl_" #name, offsetof(struct shl_curl, name)                                             \
    }

shale_code shl_curl_load(struct shl_curl *out, shale_error *err)
{
    static const struct {
        const char *name;
        size_t at;
    } symbols[] = {SYMBOL(global_init),
                   SYMBOL(global_cleanup),
                   SYMBOL(version),
                   SYMBOL(easy_init),
                   SYMBOL(easy_cleanup),
                   SYMBOL(easy_setopt),
                   SYMBOL(easy_getinfo),
                   SYMBOL(easy_strerror),
                   SYMBOL(multi_init),
                   SYMBOL(multi_cleanup),
                   SYMBOL(multi_setopt),
                   SYMBOL(multi_add_handle),
                   SYMBOL(multi_remove_handle),
                   SYMBOL(multi_info_read),
                   SYMBOL(multi_socket_action),
                   SYMBOL(multi_timeout),
                   SYMBOL(url),
                   SYMBOL(url_set),
                   SYMBOL(url_get),
                   SYMBOL(free),
                   SYMBOL(url_cleanup)};
    void *library = dlopen(CURL_NAME, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return shl_fail(err, SHALE_NOT_SUPPORTED, "buckets need libcurl: %s", dlerror());
    for (size_t i = 0; i < SHL_COUNT_OF(symbols); i++) {
        void *symbol = dlsym(library, symbols[i].name);
        if (symbol == NULL)
            return shl_fail(err, SHALE_NOT_SUPPORTED, CURL_NAME " has no %s", symbols[i].name);
        memcpy((char *)out + symbols[i].at, &symbol, sizeof symbol);
    }
    return SHALE_OK; /* never closed: the libraries below it leave work for the end of the process */
}

const char *shl_curl_ca_file(void)
{
    return NULL;
}

#endif
