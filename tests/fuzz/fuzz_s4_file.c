/* A data file, read record by record, and a note of unsynced writes: errors or values, never a crash; what was read is written again to the same meaning. */
#include "base/assert.h"
#include "base/env/env.h"
#include "s4/format.h"
#include "s4/unsynced.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(const struct shl_s4_record *r)
{
    struct shl_buf value = {0};
    struct shl_buf again = {0};
    struct shl_s4_record back;
    shale_error err;
    shale_code rc = shl_s4_value_decode(r, &value, &err);
    SHL_ASSERT(rc == SHALE_OK || rc == SHALE_CORRUPTION || rc == SHALE_NOMEM);
    if (rc == SHALE_OK) {
        bool is_bytes = (r->flags & SHL_S4_BYTES) != 0;
        SHL_ASSERT(shl_s4_put_encode(2, r->key, shl_buf_view(&value), is_bytes, &again, &err) ==
                   SHALE_OK);
        SHL_ASSERT(shl_s4_record_decode(shl_buf_view(&again), &back, &err) == SHALE_OK);
        SHL_ASSERT(shl_slice_eq(back.key, r->key));
    }
    shl_buf_free(&value);
    shl_buf_free(&again);
}

static void check_file(struct shl_slice rest)
{
    shale_error err;
    if (shl_s4_header_check(rest, &err) != SHALE_OK)
        return;
    for (size_t at = SHL_S4_HEADER_BYTES; at < rest.len;) {
        struct shl_s4_record r;
        uint64_t length = 0;
        enum shl_s4_step step =
            shl_s4_step(shl_slice_of(rest.data + at, rest.len - at), &r, &length, &err);
        if (step != SHL_S4_STEP_RECORD)
            return;
        SHL_ASSERT(length >= SHL_S4_OVERHEAD_BYTES && length <= rest.len - at);
        check_value(&r);
        at += (size_t)length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shl_s4_unsynced note;
    struct shl_s4_record r;
    shale_error err;
    struct shl_slice all = shl_slice_of(data, size);
    check_file(all);
    shale_code rc = shl_s4_record_decode(all, &r, &err);
    SHL_ASSERT(rc == SHALE_OK || rc == SHALE_CORRUPTION);
    if (rc == SHALE_OK)
        check_value(&r);
    rc = shl_s4_unsynced_decode(all, &note, &err);
    SHL_ASSERT(rc == SHALE_OK || rc == SHALE_CORRUPTION);
    if (rc == SHALE_OK) {
        struct shl_buf text = {0};
        SHL_ASSERT(shl_s4_unsynced_encode(&note, &text, &err) == SHALE_OK);
        SHL_ASSERT(text.len <= size);
        shl_buf_free(&text);
        shl_s4_unsynced_free(&note);
    }
    return 0;
}
