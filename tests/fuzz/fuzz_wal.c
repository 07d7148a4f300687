/* A whole WAL object: rows in ascending order of seq, or an error; never a crash or an oversized allocation. */
#include "base/assert.h"
#include "base/env/env.h"
#include "lsm/wal.h"
#include "store/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shl_store *store = NULL;
    struct shl_db_paths paths;
    struct shl_wal_file f;
    shale_error err;
    struct shl_slice body = shl_slice_of(data, size);
    if (shl_store_memory_new(&store, &err) != SHALE_OK)
        return 0;
    if (shl_db_paths_init(&paths, "db", &err) == SHALE_OK) {
        char *key = shl_name_wal(&paths, 1);
        SHL_ASSERT(shl_store_put(store, key, &body, 1, &(struct shl_put){0}, NULL, &err) ==
                   SHALE_OK);
        shale_code rc = shl_wal_file_read(store, &paths, 1, SHL_WAL_FILE_MAX, NULL, &f, &err);
        SHL_ASSERT(rc == SHALE_OK || rc == SHALE_CORRUPTION);
        if (rc == SHALE_OK) {
            size_t bytes = 0;
            for (size_t i = 0; i < f.count; i++) {
                SHL_ASSERT(i == 0 || f.rows[i - 1].seq <= f.rows[i].seq);
                for (size_t k = 0; k < f.rows[i].key.len; k++)
                    bytes += f.rows[i].key.data[k];
                for (size_t k = 0; k < f.rows[i].value.len; k++)
                    bytes += f.rows[i].value.data[k];
            }
            SHL_ASSERT(size > 0 || f.count == 0);
            SHL_ASSERT(bytes < SIZE_MAX);
            shl_wal_file_deinit(&f);
        } else {
            SHL_ASSERT(strstr(err.text, key) != NULL);
        }
        env_free(key);
        shl_db_paths_deinit(&paths);
    }
    shl_store_unref(store);
    return 0;
}
