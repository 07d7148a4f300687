/* Goal: whatever bytes a changeset has, the walk over it ends, reads nothing outside, and what it lets through SQLite's own reader takes too, with as many changes. */
#include "base/env/env.h"
#include "sql/format/changeset.h"

#include <sqlite3.h>

static uint64_t walk(struct shl_slice s)
{
    struct shl_cs_reader r = shl_cs_reader_of(s);
    struct shl_cs_change c;
    struct shl_buf key = {0};
    shale_error err;
    uint64_t n = 0;
    while (shl_cs_next(&r, &c, &err) == SHALE_OK) {
        struct shl_slice rows[] = {c.old_row, c.new_row};
        for (int k = 0; k < 2; k++)
            while (rows[k].len > 0)
                (void)shl_cs_value_next(&rows[k]);
        key.len = 0;
        shl_ignore(shl_cs_key_text(&c, &key, &err));
        n++;
    }
    shl_buf_free(&key);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    shale_error err;
    uint64_t changes = 0;
    uint64_t theirs = 0;
    sqlite3_changeset_iter *it = NULL;
    struct shl_slice s = shl_slice_of(data, size);
    uint64_t walked = walk(s);
    if (size > INT32_MAX || shl_cs_check(s, &changes, &err) != SHALE_OK || size == 0)
        return 0;
    if (walked != changes)
        env_die("two walks differ");
    uint8_t *copy = env_alloc(size); /* its interface has no const */
    memcpy(copy, data, size);
    if (sqlite3changeset_start(&it, (int)size, copy) == SQLITE_OK) {
        while (sqlite3changeset_next(it) == SQLITE_ROW)
            theirs++;
        if (sqlite3changeset_finalize(it) == SQLITE_OK && theirs != changes)
            env_die("SQLite counts other changes");
    }
    env_free(copy);
    return 0;
}
