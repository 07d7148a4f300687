/* Settings files: the first byte chooses JSON, TOML or YAML. Names and values come out, or an error with a line; never a crash. */
#include "base/assert.h"
#include "base/codec/json.h"
#include "base/codec/settings_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static shale_code take(void *ctx, const struct shl_setting *s, shale_error *err)
{
    size_t *count = ctx;
    (void)err;
    SHL_ASSERT(s->name.len > 0);
    *count += s->name.len + s->value.len;
    return SHALE_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum shl_settings_format formats[] = {SHL_SETTINGS_JSON, SHL_SETTINGS_TOML,
                                                       SHL_SETTINGS_YAML};
    shale_error err;
    size_t count = 0;
    if (size == 0)
        return 0;
    shale_code rc = shl_settings_read(formats[data[0] % 3], shl_slice_of(data + 1, size - 1), take,
                                      &count, &err);
    SHL_ASSERT(rc == SHALE_OK || rc == SHALE_INVALID || rc == SHALE_NOMEM);
    return 0;
}
