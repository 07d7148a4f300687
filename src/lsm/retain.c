#include "lsm/retain.h"

#include "base/assert.h"
#include "base/env/env.h"

void shl_retain_init(struct shl_retain *r, const struct shl_retain_rules *rules,
                     shl_retain_sink sink, void *ctx)
{
    *r = (struct shl_retain){.rules = *rules, .sink = sink, .ctx = ctx};
}

void shl_retain_deinit(struct shl_retain *r)
{
    shl_buf_free(&r->key);
    shl_buf_free(&r->bytes);
    shl_array_free(&r->rows);
    shl_array_free(&r->held);
}

static bool is_merge(const struct shl_row *row)
{
    return (row->flags & SHL_ROW_MERGE) != 0;
}

static shale_code emit(struct shl_retain *r, const struct shl_row *row, shale_error *err)
{
    for (size_t i = 0; i < r->held.count; i++) {
        struct shl_row tombstone = r->held.items[i];
        tombstone.key = shl_buf_view(&r->key);
        shale_code rc = r->sink(r->ctx, &tombstone, err);
        if (rc != SHALE_OK)
            return rc;
    }
    r->held.count = 0;
    return r->sink(r->ctx, row, err);
}

/* Expire and retain one row that no fold concerns any more. */
static shale_code settle(struct shl_retain *r, const struct shl_row *in, shale_error *err)
{
    struct shl_row row = *in;
    if (r->stop)
        return SHALE_OK;
    if ((row.flags & SHL_ROW_HAS_EXPIRE) != 0 && row.expire_ts <= r->rules.now_tick) {
        if (is_merge(&row)) {
            r->purged_operands++;
            return SHALE_OK;
        }
        r->purged_values++;
        row.flags = (uint8_t)((row.flags & SHL_ROW_HAS_CREATE) | SHL_ROW_TOMBSTONE);
        row.value = shl_slice_of(NULL, 0);
        row.expire_ts = 0;
    }
    if (!is_merge(&row) && row.seq <= r->rules.min_seq)
        r->stop = true;
    if (!r->rules.drop_tombstones || (row.flags & SHL_ROW_TOMBSTONE) == 0)
        return emit(r, &row, err);
    if (r->stop) { /* the oldest kept version is a tombstone, and so are those held before it */
        r->held.count = 0;
        return SHALE_OK;
    }
    return shl_array_push(&r->held, row) ? SHALE_OK : shl_nomem(err);
}

static shale_code gather(struct shl_retain *r, const struct shl_row *row, shale_error *err)
{
    struct shl_kept_row kept = {.row = *row, .value_at = r->bytes.len};
    if (!shl_array_reserve(&r->rows, 1))
        return shl_nomem(err);
    shale_code rc = shl_buf_append(&r->bytes, row->value.data, row->value.len, err);
    if (rc != SHALE_OK)
        return rc;
    shl_array_add(&r->rows, kept);
    return SHALE_OK;
}

static struct shl_slice kept_value(const struct shl_retain *r, size_t i)
{
    const struct shl_kept_row *k = &r->rows.items[i];
    /* No value has a byte yet: there is no buffer to point into. */
    if (r->bytes.data == NULL)
        return shl_slice_of(NULL, 0);
    return shl_slice_of(r->bytes.data + k->value_at, k->row.value.len);
}

static bool same_expiry(const struct shl_row *a, const struct shl_row *b)
{
    bool has_a = (a->flags & SHL_ROW_HAS_EXPIRE) != 0, has_b = (b->flags & SHL_ROW_HAS_EXPIRE) != 0;
    return has_a == has_b && (!has_a || a->expire_ts == b->expire_ts);
}

/* The gathered rows [first, end) as one: operands, the last one perhaps a base. *value is owned by the caller's buffer. */
static shale_code fold(struct shl_retain *r, size_t first, size_t end, struct shl_buf *value,
                       struct shl_row *out, shale_error *err)
{
    struct shl_buf next = {0};
    const struct shl_row *oldest = &r->rows.items[end - 1].row;
    struct shl_slice existing = kept_value(r, end - 1), *have = NULL;
    size_t i = end - 1;
    shale_code rc = SHALE_OK;
    *out = r->rows.items[first].row;
    if (is_merge(oldest)) {
        have = &existing; /* operands only: the oldest one is what the others are merged into */
    } else {
        out->flags = (uint8_t)(out->flags & ~SHL_ROW_MERGE);
        have = (oldest->flags & SHL_ROW_TOMBSTONE) != 0 ? NULL : &existing;
    }
    out->create_ts = oldest->create_ts > out->create_ts ? oldest->create_ts : out->create_ts;
    while (i-- > first) {
        const struct shl_row *operand = &r->rows.items[i].row;
        next.len = 0;
        SHL_TRY(r->rules.merge->merge(r->rules.merge->ctx, shl_buf_view(&r->key), have,
                                      kept_value(r, i), &next, err));
        r->operands++;
        struct shl_buf swap = *value;
        *value = next;
        next = swap;
        existing = shl_buf_view(value);
        have = &existing;
        out->create_ts = operand->create_ts > out->create_ts ? operand->create_ts : out->create_ts;
    }
    out->value = shl_buf_view(value);
out:
    shl_buf_free(&next);
    return rc;
}

/* How many gathered rows the operand at `first` takes in, itself included. */
static size_t fold_end(const struct shl_retain *r, size_t first)
{
    const struct shl_row *row = &r->rows.items[first].row;
    size_t end = first + 1;
    if (!is_merge(row) || row->seq > r->rules.min_seq)
        return end;
    while (end < r->rows.count && same_expiry(row, &r->rows.items[end].row)) {
        end++;
        if (!is_merge(&r->rows.items[end - 1].row))
            break;
    }
    return end;
}

/* What the operator refuses stays as it is: only who reads that key is to meet it. */
static shale_code settle_gathered(struct shl_retain *r, shale_error *err)
{
    struct shl_buf value = {0};
    size_t refused = 0; /* rows before this one */
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < r->rows.count && !r->stop;) {
        size_t end = i < refused ? i + 1 : fold_end(r, i);
        struct shl_row row = r->rows.items[i].row;
        row.value = kept_value(r, i);
        if (end - i > 1)
            rc = fold(r, i, end, &value, &row, err);
        if (rc == SHALE_NOMEM)
            goto out;
        if (rc != SHALE_OK) {
            refused = end;
            end = i + 1;
            r->refused++;
            row = r->rows.items[i].row;
            row.value = kept_value(r, i);
        }
        row.key = shl_buf_view(&r->key);
        SHL_TRY(settle(r, &row, err));
        i = end;
    }
out:
    shl_buf_free(&value);
    return rc;
}

static shale_code end_key(struct shl_retain *r, shale_error *err)
{
    shale_code rc = r->gathering ? settle_gathered(r, err) : SHALE_OK;
    r->in_key = r->stop = r->gathering = false;
    r->rows.count = 0;
    r->bytes.len = 0;
    r->held.count = 0;
    return rc;
}

shale_code shl_retain_push(struct shl_retain *r, const struct shl_row *row, shale_error *err)
{
    shale_code rc;
    if (!r->in_key || !shl_slice_eq(row->key, shl_buf_view(&r->key))) {
        rc = end_key(r, err);
        if (rc == SHALE_OK)
            rc = shl_buf_set(&r->key, row->key, err);
        if (rc != SHALE_OK)
            return rc;
        r->in_key = true;
    }
    if (r->stop)
        return SHALE_OK;
    if (r->gathering) {
        /* What lies below a value or tombstone at or under the barrier is dropped whatever the folds make of it. */
        const struct shl_row *last = &r->rows.items[r->rows.count - 1].row;
        if (!is_merge(last) && last->seq <= r->rules.min_seq)
            return SHALE_OK;
        return gather(r, row, err);
    }
    if (is_merge(row) && r->rules.merge != NULL) {
        r->gathering = true;
        return gather(r, row, err);
    }
    return settle(r, row, err);
}

shale_code shl_retain_finish(struct shl_retain *r, shale_error *err)
{
    return end_key(r, err);
}
