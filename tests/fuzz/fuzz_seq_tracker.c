/* A stored sequence tracker: the points are in order, memory is bounded, and they read the same after they are written again. */
#include "base/assert.h"
#include "lsm/format/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    shale_error err;
    struct shl_seq_tracker t, again;
    struct shl_buf out = {0};
    if (shl_seq_tracker_decode(shl_slice_of(data, size), &t, &err) != SHALE_OK) {
        SHL_ASSERT(err.code == SHALE_CORRUPTION);
        return 0;
    }
    SHL_ASSERT(t.points.cap * sizeof *t.points.items <= 16 * size + ((size_t)1 << 20));
    shale_code rc = shl_seq_tracker_encode(&t, &out, &err);
    SHL_ASSERT(rc == SHALE_OK);
    rc = shl_seq_tracker_decode(shl_buf_view(&out), &again, &err);
    SHL_ASSERT(rc == SHALE_OK);
    SHL_ASSERT(t.points.count == again.points.count);
    for (size_t i = 0; i < t.points.count; i++) {
        SHL_ASSERT(t.points.items[i].seq == again.points.items[i].seq);
        SHL_ASSERT(t.points.items[i].unix_s == again.points.items[i].unix_s);
    }
    shl_seq_tracker_deinit(&t);
    shl_seq_tracker_deinit(&again);
    shl_buf_free(&out);
    return 0;
}
