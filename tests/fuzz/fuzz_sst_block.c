/* A raw block. First byte: version; second: length of the key that is sought, which follows. Walking forward and backward gives
 * the same rows, or both complain; seeking ends; rows of a sorted block are found by all ways of searching. */
#include "base/assert.h"
#include "base/env/env.h"
#include "lsm/format/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A mark of each row, order included. */
static uint64_t mix(uint64_t h, const struct shl_row *row)
{
    for (size_t i = 0; i < row->key.len; i++)
        h = h * 31 + row->key.data[i];
    for (size_t i = 0; i < row->value.len; i++)
        h = h * 31 + row->value.data[i];
    return (h * 31 + row->seq) * 31 + row->flags + (uint64_t)row->expire_ts +
           (uint64_t)row->create_ts;
}

struct seen {
    SHL_ARRAY(uint64_t) marks;
    bool sorted;
};

/* False after a corruption. */
static bool walk_forward(struct shl_block_iter *it, struct seen *seen)
{
    shale_error err;
    struct shl_buf last = {0};
    uint64_t last_seq = 0;
    seen->sorted = true;
    shale_code rc = shl_block_iter_first(it, &err);
    for (; rc == SHALE_OK && it->valid; rc = shl_block_iter_next(it, &err)) {
        if (seen->marks.count > 0) {
            int c = shl_slice_cmp(shl_buf_view(&last), it->row.key);
            if (c > 0 || (c == 0 && last_seq <= it->row.seq))
                seen->sorted = false;
        }
        bool ok = shl_array_push(&seen->marks, mix(0, &it->row));
        SHL_ASSERT(ok);
        last_seq = it->row.seq;
        shale_code set = shl_buf_set(&last, it->row.key, &err);
        SHL_ASSERT(set == SHALE_OK);
    }
    shl_buf_free(&last);
    return rc == SHALE_OK;
}

static bool walk_back(struct shl_block_iter *it, const struct seen *seen, bool forward_ok)
{
    shale_error err;
    size_t left = seen->marks.count;
    shale_code rc = shl_block_iter_last(it, &err);
    for (; rc == SHALE_OK && it->valid; rc = shl_block_iter_prev(it, &err)) {
        if (!forward_ok)
            continue;
        SHL_ASSERT(left > 0);
        left--;
        SHL_ASSERT(seen->marks.items[left] == mix(0, &it->row));
    }
    if (rc == SHALE_OK && forward_ok)
        SHL_ASSERT(left == 0);
    return rc == SHALE_OK;
}

static void search(struct shl_block_iter *it, struct shl_slice raw, unsigned version,
                   struct shl_slice key, bool sorted)
{
    shale_error err;
    struct shl_row row;
    bool found = false;
    bool past = false;
    bool there = false;
    if (shl_block_iter_seek(it, key, &err) == SHALE_OK && it->valid)
        there = shl_slice_eq(it->row.key, key);
    shale_code rc = shl_block_get(raw, version, key, UINT64_MAX, &row, &found, &past, &err);
    SHL_ASSERT(rc == SHALE_OK || rc == SHALE_CORRUPTION);
    if (sorted) {
        SHL_ASSERT(rc == SHALE_OK);
        SHL_ASSERT(found == there);
        if (found)
            SHL_ASSERT(row.seq == it->row.seq);
        rc = shl_block_iter_seek_back(it, key, &err);
        SHL_ASSERT(rc == SHALE_OK);
        if (it->valid)
            SHL_ASSERT(shl_slice_cmp(it->row.key, key) <= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    shale_error err;
    if (size < 2 || (size_t)data[1] > size - 2)
        return 0;
    unsigned version = 1 + data[0] % 2;
    struct shl_slice key = shl_slice_of(data + 2, data[1]);
    struct shl_slice raw = shl_slice_of(data + 2 + key.len, size - 2 - key.len);
    struct shl_block_iter it = {0};
    struct seen seen = {.sorted = false};
    if (shl_block_iter_init(&it, raw, version, &err) == SHALE_OK) {
        bool ok = walk_forward(&it, &seen);
        bool back_ok = walk_back(&it, &seen, ok);
        SHL_ASSERT(ok == back_ok);
        search(&it, raw, version, key, ok && seen.sorted);
    } else {
        struct shl_row row;
        bool found = false;
        bool past = false;
        shale_code rc = shl_block_get(raw, version, key, UINT64_MAX, &row, &found, &past, &err);
        SHL_ASSERT(rc == SHALE_OK || rc == SHALE_CORRUPTION);
    }
    shl_array_free(&seen.marks);
    shl_block_iter_deinit(&it);
    return 0;
}
