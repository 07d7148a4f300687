/* Times: whatever is read is one of 1970 or later, and reads back from each form that we write. */
#include "base/assert.h"
#include "base/codec/timefmt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NS_PER_MS  INT64_C(1000000)
#define NS_PER_SEC INT64_C(1000000000)

static void there_and_back(int64_t unix_ns)
{
    char text[SHL_TIME_TEXT];
    int64_t ms = unix_ns / NS_PER_MS;
    int64_t back;
    bool ok = shl_time_parse_rfc3339(shl_slice_str(shl_time_rfc3339(ms, text)), &back);
    SHL_ASSERT(ok && back == ms * NS_PER_MS);
    ok = shl_time_parse_http(shl_slice_str(shl_time_http(ms, text)), &back);
    SHL_ASSERT(ok && back == unix_ns / NS_PER_SEC * NS_PER_SEC);
    SHL_ASSERT(strlen(shl_time_amz(ms, text)) == 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t ns = -1;
    bool ok = shl_time_parse_rfc3339(shl_slice_of(data, size), &ns);
    SHL_ASSERT(ok == (ns >= 0));
    if (ok)
        there_and_back(ns);
    ns = -1;
    ok = shl_time_parse_http(shl_slice_of(data, size), &ns);
    SHL_ASSERT(ok == (ns >= 0));
    if (ok)
        there_and_back(ns);
    if (size >= sizeof ns) { /* any number can be written */
        char text[SHL_TIME_TEXT];
        memcpy(&ns, data, sizeof ns);
        SHL_ASSERT(strlen(shl_time_rfc3339(ns, text)) >= 20);
        SHL_ASSERT(strlen(shl_time_http(ns, text)) == 29);
    }
    return 0;
}
