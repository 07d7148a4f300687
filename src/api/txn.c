/* shale_snapshot_* and shale_txn_*: check, convert, call down. */
#include "api/api.h"
#include "api/db.h"
#include "base/assert.h"

#include <shale/txn.h>

/* The public handles are the engine's, unseen. */
static struct shl_snapshot *snapshot_in(const shale_snapshot *s)
{
    struct shl_snapshot *out;
    memcpy(&out, &s, sizeof out);
    return out;
}

static struct shl_txn *txn_in(const shale_txn *t)
{
    struct shl_txn *out;
    memcpy(&out, &t, sizeof out);
    return out;
}

static shale_code is_null(const char *what, shale_error *err)
{
    return shl_fail(err, SHALE_INVALID, "the %s is NULL", what);
}

static shale_code no_result(shale_error *err)
{
    return is_null("place for the result", err);
}

/* ---- snapshots */

shale_code shale_db_snapshot(shale_snapshot **out, shale_db *db, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_snapshot *s = NULL;
    if (db == NULL || out == NULL)
        return db == NULL ? is_null("database handle", err) : no_result(err);
    shale_code rc = shl_snapshot_open(db->lsm, &s, err);
    if (rc == SHALE_OK)
        *out = (shale_snapshot *)(void *)s;
    return rc;
}

void shale_snapshot_close(shale_snapshot *snapshot)
{
    shl_snapshot_close(snapshot_in(snapshot));
}

uint64_t shale_snapshot_seq(const shale_snapshot *snapshot)
{
    return snapshot == NULL ? 0 : shl_snapshot_view(snapshot_in(snapshot))->seq;
}

/* What every read of a snapshot begins with. */
static shale_code snapshot_how(const shale_snapshot *snapshot, const shale_read_options *options,
                               struct shl_lsm_read *how, shale_error *err)
{
    if (snapshot == NULL)
        return is_null("snapshot", err);
    shale_code rc = shl_api_read_how(options, how, err);
    how->view = shl_snapshot_view(snapshot_in(snapshot));
    return rc;
}

shale_code shale_snapshot_get(shale_pinned *out, shale_snapshot *snapshot, shale_slice key,
                              const shale_read_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_lsm_read how;
    struct shl_lsm_pinned found = {0};
    shale_code rc = out == NULL ? no_result(err) : snapshot_how(snapshot, options, &how, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_lsm_get(shl_snapshot_db(snapshot_in(snapshot)), shl_api_slice_in(key), &how, &found,
                     err);
    if (rc != SHALE_OK)
        return shl_api_not_found(rc, err);
    *out = shl_api_pinned_out(&found);
    return SHALE_OK;
}

shale_code shale_snapshot_get_many(shale_pinned *out, shale_code *codes, shale_snapshot *snapshot,
                                   const shale_slice *keys, size_t count,
                                   const shale_read_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_lsm_read how;
    shale_code rc = snapshot_how(snapshot, options, &how, err);
    if (rc != SHALE_OK)
        return rc;
    return shl_api_get_many(shl_snapshot_db(snapshot_in(snapshot)), NULL, out, codes, keys, count,
                            &how, err);
}

shale_code shale_snapshot_get_into(shale_snapshot *snapshot, shale_slice key, void *dst, size_t cap,
                                   size_t *value_len, const shale_read_options *options,
                                   shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_lsm_read how;
    shale_code rc = value_len == NULL || (dst == NULL && cap > 0)
                        ? no_result(err)
                        : snapshot_how(snapshot, options, &how, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_lsm_get_into(shl_snapshot_db(snapshot_in(snapshot)), shl_api_slice_in(key), &how, dst,
                          cap, value_len, err);
    return shl_api_not_found(rc, err);
}

shale_code shale_snapshot_scan(shale_iter **out, shale_snapshot *snapshot, shale_range range,
                               const shale_scan_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_lsm_scan how;
    struct shl_lsm_range lsm_range;
    struct shl_lsm_iter *it = NULL;
    if (snapshot == NULL || out == NULL)
        return snapshot == NULL ? is_null("snapshot", err) : no_result(err);
    shale_code rc = shl_api_scan_how(&range, options, &lsm_range, &how, err);
    if (rc != SHALE_OK)
        return rc;
    how.view = shl_snapshot_view(snapshot_in(snapshot));
    rc = shl_lsm_scan_open(shl_snapshot_db(snapshot_in(snapshot)), &lsm_range, &how, &it, err);
    if (rc == SHALE_OK)
        *out = (shale_iter *)(void *)it;
    return rc;
}

/* ---- transactions: begin and end */

shale_code shale_db_begin(shale_txn **out, shale_db *db, const shale_txn_options *options,
                          shale_error *err)
{
    SHL_API_ERR(err);
    shale_txn_options how;
    struct shl_txn *t = NULL;
    if (db == NULL || out == NULL)
        return db == NULL ? is_null("database handle", err) : no_result(err);
    shale_txn_options_init(&how, sizeof how);
    shale_code rc = shl_api_take_struct(&how, sizeof how, options, "shale_txn_options", err);
    if (rc != SHALE_OK)
        return rc;
    if ((unsigned)how.isolation > SHALE_ISOLATION_SERIALIZABLE)
        return shl_fail(err, SHALE_INVALID, "isolation is %u, known 0 and 1",
                        (unsigned)how.isolation);
    rc = shl_txn_begin(db->lsm, how.isolation == SHALE_ISOLATION_SERIALIZABLE, &t, err);
    if (rc == SHALE_OK)
        *out = (shale_txn *)(void *)t;
    return rc;
}

void shale_txn_close(shale_txn *txn)
{
    shl_txn_close(txn_in(txn));
}

void shale_txn_rollback(shale_txn *txn)
{
    if (txn != NULL)
        shl_txn_rollback(txn_in(txn));
}

uint64_t shale_txn_seq(const shale_txn *txn)
{
    return txn == NULL ? 0 : shl_txn_started_seq(txn_in(txn));
}

void shale_txn_id(const shale_txn *txn, char out[SHALE_UUID_TEXT])
{
    if (out == NULL)
        return;
    out[0] = '\0';
    if (txn != NULL)
        shl_uuid_format(shl_txn_id(txn_in(txn)), out);
}

shale_code shale_txn_commit(shale_txn *txn, const shale_write_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    shale_write_options how;
    struct shl_ttl unused;
    struct shl_lsm_written written = {0};
    if (txn == NULL)
        return is_null("transaction", err);
    shale_code rc = shl_api_write_how(options, &how, &unused, err);
    if (rc != SHALE_OK) {
        shl_txn_rollback(txn_in(txn));
        return rc;
    }
    rc = shl_txn_commit(txn_in(txn), how.await_durable, how.seq, &written, err);
    if (rc == SHALE_OK)
        shl_api_give_result(&how, &written);
    return rc;
}

/* ---- transactions: writing */

static shale_code txn_write(shale_txn *txn, uint8_t kind, shale_slice key, shale_slice value,
                            shale_ttl_kind ttl_kind, int64_t ttl_ms, shale_error *err)
{
    SHL_API_ERR(err);
    if (txn == NULL)
        return is_null("transaction", err);
    if ((unsigned)ttl_kind > SHALE_TTL_AT_MS)
        return shl_fail(err, SHALE_INVALID, "ttl_kind is %u, known 0..3", (unsigned)ttl_kind);
    const struct shl_ttl ttl = {.kind = (enum shl_ttl_kind)ttl_kind, .ms = ttl_ms};
    return shl_txn_write(txn_in(txn), kind, shl_api_slice_in(key), shl_api_slice_in(value), ttl,
                         err);
}

shale_code shale_txn_put(shale_txn *txn, shale_slice key, shale_slice value, shale_error *err)
{
    return txn_write(txn, 0, key, value, SHALE_TTL_DEFAULT, 0, err);
}

shale_code shale_txn_put_ttl(shale_txn *txn, shale_slice key, shale_slice value,
                             shale_ttl_kind kind, int64_t ttl_ms, shale_error *err)
{
    return txn_write(txn, 0, key, value, kind, ttl_ms, err);
}

shale_code shale_txn_delete(shale_txn *txn, shale_slice key, shale_error *err)
{
    return txn_write(txn, SHL_ROW_TOMBSTONE, key, shale_bytes(NULL, 0), SHALE_TTL_DEFAULT, 0, err);
}

shale_code shale_txn_merge(shale_txn *txn, shale_slice key, shale_slice operand, shale_error *err)
{
    return txn_write(txn, SHL_ROW_MERGE, key, operand, SHALE_TTL_DEFAULT, 0, err);
}

shale_code shale_txn_merge_ttl(shale_txn *txn, shale_slice key, shale_slice operand,
                               shale_ttl_kind kind, int64_t ttl_ms, shale_error *err)
{
    return txn_write(txn, SHL_ROW_MERGE, key, operand, kind, ttl_ms, err);
}

shale_code shale_txn_mark_read(shale_txn *txn, shale_slice key, shale_error *err)
{
    SHL_API_ERR(err);
    return txn == NULL ? is_null("transaction", err)
                       : shl_txn_mark_read(txn_in(txn), shl_api_slice_in(key), err);
}

shale_code shale_txn_unmark_write(shale_txn *txn, shale_slice key, shale_error *err)
{
    SHL_API_ERR(err);
    return txn == NULL ? is_null("transaction", err)
                       : shl_txn_unmark_write(txn_in(txn), shl_api_slice_in(key), err);
}

/* ---- transactions: reading */

shale_code shale_txn_get(shale_pinned *out, shale_txn *txn, shale_slice key,
                         const shale_read_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_lsm_read how;
    struct shl_lsm_pinned found = {0};
    if (txn == NULL || out == NULL)
        return txn == NULL ? is_null("transaction", err) : no_result(err);
    shale_code rc = shl_api_read_how(options, &how, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_txn_get(txn_in(txn), shl_api_slice_in(key), &how, &found, err);
    if (rc != SHALE_OK)
        return shl_api_not_found(rc, err);
    *out = shl_api_pinned_out(&found);
    return SHALE_OK;
}

shale_code shale_txn_get_many(shale_pinned *out, shale_code *codes, shale_txn *txn,
                              const shale_slice *keys, size_t count,
                              const shale_read_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_lsm_read how;
    if (txn == NULL)
        return is_null("transaction", err);
    shale_code rc = shl_api_read_how(options, &how, err);
    return rc != SHALE_OK ? rc
                          : shl_api_get_many(NULL, txn_in(txn), out, codes, keys, count, &how, err);
}

shale_code shale_txn_scan(shale_iter **out, shale_txn *txn, shale_range range,
                          const shale_scan_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_lsm_scan how;
    struct shl_lsm_range lsm_range;
    struct shl_lsm_iter *it = NULL;
    if (txn == NULL || out == NULL)
        return txn == NULL ? is_null("transaction", err) : no_result(err);
    shale_code rc = shl_api_scan_how(&range, options, &lsm_range, &how, err);
    if (rc == SHALE_OK)
        rc = shl_txn_scan(txn_in(txn), &lsm_range, &how, &it, err);
    if (rc == SHALE_OK)
        *out = (shale_iter *)(void *)it;
    return rc;
}
