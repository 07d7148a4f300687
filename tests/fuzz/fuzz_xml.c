/* XML of stores: paths and texts, or CORRUPTION with a reason; what is escaped reads back as it was. */
#include "base/assert.h"
#include "base/codec/text.h"
#include "base/str.h"
#include "store/http/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard {
    size_t text_bytes;
    bool is_root_over; /* the last path had one name */
};

static shale_code look(void *ctx, const char *path, struct shl_slice text, shale_error *err)
{
    (void)err;
    struct heard *h = ctx;
    size_t depth = 1;
    for (const char *p = path; *p != '\0'; p++)
        depth += *p == '/';
    SHL_ASSERT(!h->is_root_over);
    SHL_ASSERT(depth <= 32);
    SHL_ASSERT(shl_utf8_valid(text));
    h->text_bytes += text.len;
    h->is_root_over = depth == 1;
    return SHALE_OK;
}

static shale_code keep(void *ctx, const char *path, struct shl_slice text, shale_error *err)
{
    (void)path;
    return shl_buf_set(ctx, text, err);
}

/* Characters that XML has no way to say (most control characters, U+FFFE) make the document bad; all others come back. */
static void there_and_back(struct shl_slice text)
{
    struct shl_buf document = {0}, back = {0};
    shale_error err = {0};
    shale_code rc;
    SHL_TRY(shl_str_append(&document, "<k>", &err));
    SHL_TRY(shl_xml_escape(text, &document, &err));
    SHL_TRY(shl_str_append(&document, "</k>", &err));
    rc = shl_xml_read(shl_buf_view(&document), keep, &back, &err);
    SHL_ASSERT(rc == SHALE_OK || rc == SHALE_CORRUPTION);
    if (rc == SHALE_OK)
        SHL_ASSERT(shl_slice_eq(shl_buf_view(&back), text));
out:
    shl_buf_free(&document);
    shl_buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct heard heard = {0};
    shale_error err = {0};
    shale_code rc = shl_xml_read(shl_slice_of(data, size), look, &heard, &err);
    SHL_ASSERT(rc == SHALE_OK || (rc == SHALE_CORRUPTION && err.text[0] != '\0'));
    SHL_ASSERT(heard.text_bytes <= 2 * size); /* Latin-1 and UTF-16 grow, entities do not */
    if (rc == SHALE_OK)
        SHL_ASSERT(heard.is_root_over);
    there_and_back(shl_slice_of(data, size));
    return 0;
}
