/* An index object: an error, or a map that comes back the same from its own bytes. */
#include "base/assert.h"
#include "base/env/env.h"
#include "s4/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct shl_s4_index *a, const struct shl_s4_index *b)
{
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc, other;
    uint32_t ref;
    SHL_ASSERT(a->count == b->count);
    while (shl_s4_index_next(a, &c, &key, &loc, &ref)) {
        SHL_ASSERT(shl_s4_index_get(b, key, &other));
        SHL_ASSERT(loc.file == other.file && loc.offset == other.offset &&
                   loc.length == other.length);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shl_s4_index x, back;
    struct shl_s4_index_head head, again;
    struct shl_buf blob = {0};
    shale_error err;
    shl_s4_index_init(&x);
    shl_s4_index_init(&back);
    shale_code rc = shl_s4_index_load(&x, shl_slice_of(data, size), &head, &err);
    SHL_ASSERT(rc == SHALE_OK || rc == SHALE_CORRUPTION);
    if (rc == SHALE_OK) {
        SHL_ASSERT(x.count <= head.count);
        SHL_ASSERT(shl_s4_index_encode(&x, head.version, head.next_file_num, &blob, &err) ==
                   SHALE_OK);
        SHL_ASSERT(shl_s4_index_load(&back, shl_buf_view(&blob), &again, &err) == SHALE_OK);
        SHL_ASSERT(again.next_file_num == head.next_file_num);
        check_same(&x, &back);
    }
    shl_buf_free(&blob);
    shl_s4_index_free(&x);
    shl_s4_index_free(&back);
    return 0;
}
