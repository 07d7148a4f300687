/* shale_sst_*: an SSTable as a file, over a stack of its own. */
#include "api/api.h"
#include "api/db.h"
#include "api/near.h"
#include "base/env/env.h"
#include "lsm/inspect/sst_file.h"

#include <shale/sst.h>

struct shale_sst {
    struct shl_api_stack stack;
    struct shl_api_transform transform;
    struct shl_sst_file file;
    SHL_ARRAY(shale_raw_row) rows;
};

shale_code shale_sst_open(shale_sst **out, const char *url, const shale_options *options,
                          const char *ulid, shale_error *err)
{
    SHL_API_ERR(err);
    shale_error mine = {0}; /* on the way to a success some answer may have been "no such object" */
    shale_options *defaults = NULL;
    struct shl_inspect in;
    shale_sst *s = NULL;
    shale_code rc;
    if (out == NULL || url == NULL || ulid == NULL)
        return shl_fail(err, SHALE_INVALID, "open: the %s is NULL",
                        out == NULL   ? "place for the handle"
                        : url == NULL ? "URL"
                                      : "name of the sst");
    if (options == NULL && (options = defaults = shale_options_new()) == NULL)
        return shl_nomem(err);
    s = env_calloc(1, sizeof *s);
    if (s == NULL)
        SHL_TRY(shl_nomem(&mine));
    SHL_TRY(shl_api_transform_init(&s->transform, options, &mine));
    SHL_TRY(shl_api_stack_open(&s->stack, url, options, true, &mine));
    in = (struct shl_inspect){.store = s->stack.store,
                              .path = s->stack.path,
                              .transformer =
                                  s->transform.is_there ? &s->transform.transformer : NULL};
    SHL_TRY(shl_sst_file_open(&in, ulid, &s->file, &mine));
    *out = s;
    s = NULL; /* moved to the caller */
out:
    if (rc != SHALE_OK && s != NULL && s->stack.store != NULL)
        shl_api_suggest(&s->stack, &mine);
    if (rc != SHALE_OK)
        *err = mine;
    shale_sst_close(s);
    shale_options_free(defaults);
    return rc;
}

void shale_sst_close(shale_sst *s)
{
    if (s == NULL)
        return;
    shl_array_free(&s->rows);
    shl_sst_file_deinit(&s->file);
    shl_api_stack_close(&s->stack);
    shl_api_transform_drop(&s->transform);
    env_free(s);
}

static shale_slice slice_out(struct shl_slice s)
{
    return shale_bytes(s.data, s.len);
}

static const char *codec_name(enum shl_compression codec)
{
    static const char *const names[] = {[SHL_COMPRESSION_NONE] = "none",
                                        [SHL_COMPRESSION_SNAPPY] = "snappy",
                                        [SHL_COMPRESSION_ZLIB] = "zlib",
                                        [SHL_COMPRESSION_LZ4] = "lz4",
                                        [SHL_COMPRESSION_ZSTD] = "zstd"};
    return names[codec];
}

void shale_sst_info_get(const shale_sst *s, shale_sst_info *out)
{
    if (s == NULL || out == NULL || out->struct_size < sizeof out->struct_size)
        return;
    const struct shl_sst_file *f = &s->file;
    const struct shl_sst_info *i = &f->info;
    const shale_sst_info ours = {.struct_size = sizeof ours,
                                 .key = f->key,
                                 .bytes = f->object.size,
                                 .modified_ms = f->object.modified_ns / 1000000,
                                 .etag = f->object.etag,
                                 .format_version = f->version,
                                 .compression = codec_name(i->compression),
                                 .first_key = slice_out(i->first_entry),
                                 .last_key = slice_out(i->last_entry),
                                 .index_offset = i->index_offset,
                                 .index_bytes = i->index_len,
                                 .filter_offset = i->filter_offset,
                                 .filter_bytes = i->filter_len,
                                 .stats_offset = i->stats_offset,
                                 .stats_bytes = i->stats_len,
                                 .puts = f->stats.puts,
                                 .deletes = f->stats.deletes,
                                 .merges = f->stats.merges,
                                 .key_bytes = f->stats.raw_key_bytes,
                                 .value_bytes = f->stats.raw_value_bytes,
                                 .block_count = f->index.blocks.count};
    shl_api_give_struct(out, &ours, sizeof ours);
}

static shale_code check_index(const shale_sst *s, size_t index, const void *out, shale_error *err)
{
    if (s == NULL || out == NULL)
        return shl_fail(err, SHALE_INVALID, "the handle, or the place for the result, is NULL");
    if (index >= s->file.index.blocks.count)
        return shl_fail(err, SHALE_INVALID, "block %zu: the sst has %zu", index,
                        s->file.index.blocks.count);
    return SHALE_OK;
}

shale_code shale_sst_block_get(shale_sst_block *out, const shale_sst *s, size_t index,
                               shale_error *err)
{
    SHL_API_ERR(err);
    shale_code rc = check_index(s, index, out, err);
    if (rc != SHALE_OK)
        return rc;
    const struct shl_sst_index_entry *e = &s->file.index.blocks.items[index];
    *out = (shale_sst_block){.offset = e->offset,
                             .bytes = shl_sst_file_block_len(&s->file, index),
                             .first_key = slice_out(e->first_key)};
    return SHALE_OK;
}

shale_code shale_sst_read_block(const shale_raw_row **out_rows, size_t *out_count, shale_sst *s,
                                size_t index, shale_error *err)
{
    SHL_API_ERR(err);
    shale_code rc = check_index(s, index, out_count != NULL ? out_rows : NULL, err);
    if (rc == SHALE_OK)
        rc = shl_sst_file_read(&s->file, index, err);
    if (rc != SHALE_OK)
        return rc;
    s->rows.count = 0;
    if (!shl_array_reserve(&s->rows, s->file.rows.count))
        return shl_nomem(err);
    for (size_t i = 0; i < s->file.rows.count; i++)
        shl_array_add(&s->rows, shl_api_raw_row(&s->file.rows.items[i]));
    *out_rows = s->rows.items;
    *out_count = s->rows.count;
    return SHALE_OK;
}
