#include "store/http/curl_lib.h"

#include "base/num.h"
#include <assert.h>
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#define CURL_NAME "libcurl.so.4"

/* CURLOPT_PROTOCOLS_STR came with 7.85. */
static_assert(LIBCURL_VERSION_NUM >= 0x075500, "build with the headers of libcurl 7.85 or newer");

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
