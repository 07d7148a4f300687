/* A compactions file: what is accepted is written and read again without a difference; so is a clone of it. */
#include "base/assert.h"
#include "lsm/format/compactions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    shale_error err;
    struct shl_compactions *c = NULL, *copy = NULL, *again = NULL;
    struct shl_buf one = {0}, two = {0};
    if (shl_compactions_decode(shl_slice_of(data, size), &c, &err) != SHALE_OK) {
        SHL_ASSERT(err.code == SHALE_CORRUPTION);
        return 0;
    }
    for (size_t i = 1; i < c->jobs.count; i++)
        SHL_ASSERT(shl_ulid_cmp(c->jobs.items[i - 1].id, c->jobs.items[i].id) < 0);
    shale_code rc = shl_compactions_encode(c, &one, &err);
    SHL_ASSERT(rc == SHALE_OK);
    rc = shl_compactions_clone(c, &copy, &err);
    SHL_ASSERT(rc == SHALE_OK);
    rc = shl_compactions_encode(copy, &two, &err);
    SHL_ASSERT(rc == SHALE_OK);
    SHL_ASSERT(shl_slice_eq(shl_buf_view(&one), shl_buf_view(&two)));
    rc = shl_compactions_decode(shl_buf_view(&one), &again, &err);
    SHL_ASSERT(rc == SHALE_OK);
    two.len = 0;
    rc = shl_compactions_encode(again, &two, &err);
    SHL_ASSERT(rc == SHALE_OK);
    SHL_ASSERT(shl_slice_eq(shl_buf_view(&one), shl_buf_view(&two)));
    shl_compactions_free(c);
    shl_compactions_free(copy);
    shl_compactions_free(again);
    shl_buf_free(&one);
    shl_buf_free(&two);
    return 0;
}
