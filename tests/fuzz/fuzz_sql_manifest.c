/* Goal: whatever text a sql manifest has, it is read or refused, and what was read keeps its rules and comes back from its own writing. */
#include "base/codec/json.h"
#include "base/env/env.h"
#include "sql/format/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    shale_error err;
    struct shl_sql_manifest m = {0};
    struct shl_sql_manifest again = {0};
    struct shl_buf text = {0};
    struct shl_buf twice = {0};
    if (!ready)
        shl_json_setup(1);
    ready = true;
    if (shl_sql_manifest_decode(shl_slice_of(data, size), &m, &err) != SHALE_OK)
        return 0;
    if (shl_sql_manifest_check(&m, &err) != SHALE_OK ||
        shl_sql_manifest_encode(&m, &text, &err) != SHALE_OK ||
        shl_sql_manifest_decode(shl_buf_view(&text), &again, &err) != SHALE_OK ||
        shl_sql_manifest_encode(&again, &twice, &err) != SHALE_OK ||
        !shl_slice_eq(shl_buf_view(&text), shl_buf_view(&twice)))
        env_die("a manifest does not come back");
    shl_sql_manifest_free(&m);
    shl_sql_manifest_free(&again);
    shl_buf_free(&text);
    shl_buf_free(&twice);
    return 0;
}
