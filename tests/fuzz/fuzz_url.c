/* URLs and object keys: a store and a path that is a valid key, or an error that says what is wrong. */
#include "base/assert.h"
#include "base/env/env.h"
#include "store/open.h"
#include "store/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shl_store *store = NULL;
    struct shl_store_config config = {0};
    char *path = NULL;
    shale_error err = {0};
    char *url = shl_slice_dup_cstr(shl_slice_of(data, size));
    if (url == NULL)
        return 0;
    shale_code rc = shl_store_open_url(url, &config, &store, &path, &err);
    if (rc == SHALE_OK) {
        SHL_ASSERT(path != NULL && store != NULL);
        env_free(path);
        shl_store_unref(store);
    } else {
        SHL_ASSERT(err.text[0] != '\0');
    }
    env_free(url);
    return 0;
}
