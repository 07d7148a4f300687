/* Answers of S3: a page in order with its token, results of deletes, a range within its object; or an error that says why. The first byte chooses. */
#include "base/assert.h"
#include "base/env/env.h"
#include "store/s3_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_page(shale_code rc, struct s3_page *p, const shale_error *err)
{
    SHL_ASSERT(rc == SHALE_OK || rc == SHALE_UNAVAILABLE || rc == SHALE_NOT_SUPPORTED);
    SHL_ASSERT(rc == SHALE_OK ||
               (p->items.items == NULL && p->token == NULL && err->text[0] != '\0'));
    SHL_ASSERT(p->token == NULL || p->token[0] != '\0');
    for (size_t i = 0; i < p->items.count; i++) {
        SHL_ASSERT(p->items.items[i].key != NULL);
        SHL_ASSERT(i == 0 || strcmp(p->items.items[i - 1].key, p->items.items[i].key) <= 0);
    }
    shl_s3_page_clear(p);
}

static void check_range(const char *text)
{
    struct s3_range r = {0};
    if (shl_s3_parse_range(text, &r))
        SHL_ASSERT(r.size == 0 ? r.first == 0 && r.end == 0 : r.first < r.end && r.end <= r.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct s3_page page = {0};
    shale_error err = {0};
    if (size == 0)
        return 0;
    struct shl_slice rest = shl_slice_of(data + 1, size - 1);
    if (data[0] == 'p') {
        check_page(shl_s3_page_read(rest, &page, &err), &page, &err);
    } else if (data[0] == 'b') {
        check_page(shl_s3_page_read_buckets(rest, &page, &err), &page, &err);
    } else if (data[0] == 'd') {
        shale_code rc = shl_s3_deleted_read(rest, "bucket", &err);
        SHL_ASSERT(rc == SHALE_OK || rc == SHALE_UNAVAILABLE || rc == SHALE_PERMISSION_DENIED);
    } else {
        char *text = shl_slice_dup_cstr(rest);
        if (text != NULL)
            check_range(text);
        env_free(text);
    }
    return 0;
}
