/* The input as JSON text, as a settings file, and as a string to be written: what we write must parse again to valid UTF-8. */
#include "base/assert.h"
#include "base/codec/json.h"
#include "base/codec/settings_file.h"
#include "base/codec/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static shale_code count(void *ctx, const struct shl_setting *s, shale_error *err)
{
    (void)err;
    SHL_ASSERT(s->name.len > 0);
    SHL_ASSERT(shl_utf8_valid(s->name));
    ++*(size_t *)ctx;
    return SHALE_OK;
}

static void write_and_read(struct shl_slice bytes)
{
    struct shl_buf text = {0};
    shale_error err;
    struct shl_json_writer w;
    shl_json_begin(&w, &text, &err);
    shl_json_array(&w);
    shl_json_slice(&w, bytes);
    shl_json_object(&w);
    shl_json_bytes(&w, "key", bytes);
    shl_json_object_end(&w);
    shl_json_array_end(&w);
    shale_code rc = shl_json_finish(&w);
    SHL_ASSERT(rc == SHALE_OK);
    SHL_ASSERT(shl_utf8_valid(shl_buf_view(&text)));
    json_t *root = NULL;
    rc = shl_json_parse(shl_buf_view(&text), &root, &err);
    /* The parser refuses \u0000, which the writer writes. */
    SHL_ASSERT(rc == SHALE_OK || (bytes.len > 0 && memchr(bytes.data, 0, bytes.len) != NULL));
    json_decref(root);
    shl_buf_free(&text);
}

/* What parses reads the same with unsigned numbers allowed. */
static void parse_unsigned(struct shl_slice text, const json_t *same)
{
    json_t *root = NULL;
    shale_error err;
    shale_code rc = shl_json_parse_unsigned(text, &root, &err);
    SHL_ASSERT(rc == SHALE_OK || rc == SHALE_INVALID);
    SHL_ASSERT(same == NULL || (rc == SHALE_OK && json_equal(root, same)));
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shl_slice text = shl_slice_of(data, size);
    json_t *root = NULL;
    shale_error err;
    shale_code rc = shl_json_parse(text, &root, &err);
    SHL_ASSERT(rc == SHALE_OK || rc == SHALE_INVALID);
    parse_unsigned(text, root);
    json_decref(root);
    size_t settings = 0;
    rc = shl_settings_read(SHL_SETTINGS_JSON, text, count, &settings, &err);
    SHL_ASSERT(rc == SHALE_OK || rc == SHALE_INVALID);
    write_and_read(text);
    return 0;
}
