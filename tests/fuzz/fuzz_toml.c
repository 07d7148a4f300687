/* First byte odd: YAML, even: TOML. The reader may refuse or give settings, each name once. */
#include "base/assert.h"
#include "base/codec/settings_file.h"
#include "base/codec/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static shale_code look(void *ctx, const struct shl_setting *s, shale_error *err)
{
    (void)err;
    SHL_ASSERT(s->name.len > 0);
    SHL_ASSERT(s->name.len <= SHL_SETTING_NAME_BYTES_MAX + 24); /* an index may follow */
    SHL_ASSERT(s->line >= 1);
    SHL_ASSERT(s->kind != SHL_SETTING_BOOL || s->value.len >= 4);
    SHL_ASSERT(shl_utf8_valid(s->value));
    ++*(size_t *)ctx;
    return SHALE_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum shl_settings_format format = data[0] % 2 != 0 ? SHL_SETTINGS_YAML : SHL_SETTINGS_TOML;
    size_t settings = 0;
    shale_error err;
    shale_code rc =
        shl_settings_read(format, shl_slice_of(data + 1, size - 1), look, &settings, &err);
    SHL_ASSERT(rc == SHALE_OK || rc == SHALE_INVALID);
    SHL_ASSERT(settings <= SHL_SETTINGS_MAX);
    return 0;
}
