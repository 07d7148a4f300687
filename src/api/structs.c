/* What crosses the border: sized structs, of shorter and longer callers, and texts. */
#include "api/api.h"
#include "base/assert.h"
#include "base/str.h"

#include <shale/shale.h>

shale_code shl_api_take_struct(void *ours, size_t ours_size, const void *theirs, const char *what,
                               shale_error *err)
{
    size_t size;
    if (theirs == NULL)
        return SHALE_OK;
    memcpy(&size, theirs, sizeof size);
    if (size < sizeof size)
        return shl_fail(err, SHALE_INVALID, "%s: struct_size is %zu; call its init function", what,
                        size);
    const uint8_t *bytes = theirs;
    for (size_t i = ours_size; i < size; i++)
        if (bytes[i] != 0)
            return shl_fail(err, SHALE_INVALID,
                            "%s: a field at byte %zu is set that this library (%s) does not know",
                            what, i, shale_version());
    memcpy(ours, theirs, size < ours_size ? size : ours_size);
    memcpy(ours, &ours_size, sizeof ours_size);
    return SHALE_OK;
}

void shl_api_give_struct(void *theirs, const void *ours, size_t ours_size)
{
    size_t size;
    memcpy(&size, theirs, sizeof size);
    if (size <= sizeof size)
        return;
    size_t common = size < ours_size ? size : ours_size;
    memcpy((uint8_t *)theirs + sizeof size, (const uint8_t *)ours + sizeof size,
           common - sizeof size);
    if (size > common)
        memset((uint8_t *)theirs + common, 0, size - common);
}

void shl_api_init_struct(void *theirs, size_t size, const void *defaults, size_t ours_size)
{
    if (theirs == NULL ||
        size <
            sizeof size) /* not even room to say how long it is: the call that takes it will refuse it */
        return;
    memset(theirs, 0, size);
    memcpy(theirs, defaults, size < ours_size ? size : ours_size);
    memcpy(theirs, &size, sizeof size);
}

void shale_reader_options_init(shale_reader_options *o, size_t struct_size)
{
    const shale_reader_options defaults = {.struct_size = sizeof defaults};
    shl_api_init_struct(o, struct_size, &defaults, sizeof defaults);
}

void shale_write_options_init(shale_write_options *o, size_t struct_size)
{
    const shale_write_options defaults = {.struct_size = sizeof defaults, .await_durable = true};
    shl_api_init_struct(o, struct_size, &defaults, sizeof defaults);
}

void shale_read_options_init(shale_read_options *o, size_t struct_size)
{
    const shale_read_options defaults = {.struct_size = sizeof defaults, .cache_blocks = true};
    shl_api_init_struct(o, struct_size, &defaults, sizeof defaults);
}

void shale_scan_options_init(shale_scan_options *o, size_t struct_size)
{
    const shale_scan_options defaults = {.struct_size = sizeof defaults};
    shl_api_init_struct(o, struct_size, &defaults, sizeof defaults);
}

void shale_compactor_options_init(shale_compactor_options *o, size_t struct_size)
{
    const shale_compactor_options defaults = {.struct_size = sizeof defaults};
    shl_api_init_struct(o, struct_size, &defaults, sizeof defaults);
}

void shale_compact_options_init(shale_compact_options *o, size_t struct_size)
{
    const shale_compact_options defaults = {.struct_size = sizeof defaults};
    shl_api_init_struct(o, struct_size, &defaults, sizeof defaults);
}

void shale_compaction_spec_init(shale_compaction_spec *o, size_t struct_size)
{
    const shale_compaction_spec defaults = {.struct_size = sizeof defaults};
    shl_api_init_struct(o, struct_size, &defaults, sizeof defaults);
}

void shale_compaction_filter_init(shale_compaction_filter *o, size_t struct_size)
{
    const shale_compaction_filter defaults = {.struct_size = sizeof defaults};
    shl_api_init_struct(o, struct_size, &defaults, sizeof defaults);
}

void shale_filter_policy_init(shale_filter_policy *o, size_t struct_size)
{
    const shale_filter_policy defaults = {.struct_size = sizeof defaults};
    shl_api_init_struct(o, struct_size, &defaults, sizeof defaults);
}

void shale_txn_options_init(shale_txn_options *o, size_t struct_size)
{
    const shale_txn_options defaults = {.struct_size = sizeof defaults};
    shl_api_init_struct(o, struct_size, &defaults, sizeof defaults);
}

void shale_checkpoint_options_init(shale_checkpoint_options *o, size_t struct_size)
{
    const shale_checkpoint_options defaults = {.struct_size = sizeof defaults};
    shl_api_init_struct(o, struct_size, &defaults, sizeof defaults);
}

void shale_gc_options_init(shale_gc_options *o, size_t struct_size)
{
    const shale_gc_options defaults = {.struct_size = sizeof defaults};
    shl_api_init_struct(o, struct_size, &defaults, sizeof defaults);
}

void shale_s4_options_init(shale_s4_options *o, size_t struct_size)
{
    const shale_s4_options defaults = {.struct_size = sizeof defaults,
                                       .max_file_bytes = UINT64_C(64) << 20,
                                       .format = 2,
                                       .requests_max = 8};
    shl_api_init_struct(o, struct_size, &defaults, sizeof defaults);
}

void shale_s4_scan_options_init(shale_s4_scan_options *o, size_t struct_size)
{
    const shale_s4_scan_options defaults = {.struct_size = sizeof defaults};
    shl_api_init_struct(o, struct_size, &defaults, sizeof defaults);
}

shale_code shl_api_text_out(struct shl_json_writer *w, struct shl_buf *text, char **out,
                            shale_error *err)
{
    shale_code rc = shl_json_finish(w);
    if (rc == SHALE_OK)
        rc = shl_str_terminate(text, err);
    if (rc != SHALE_OK)
        return rc;
    *out = (char *)text->data;
    *text = (struct shl_buf){0};
    return SHALE_OK;
}
