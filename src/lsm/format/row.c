#include "lsm/format/row.h"

#include "base/codec/varint.h"

#define ROW_FIXED_BYTES     9 /* seq, flags */
#define ROW_TIMESTAMP_BYTES 8

size_t shl_row_encoded_bytes(const struct shl_row *row)
{
    size_t n =
        1 + shl_varint32_len((uint32_t)row->key.len) + shl_varint32_len((uint32_t)row->value.len);
    n += row->key.len + row->value.len + ROW_FIXED_BYTES;
    if (row->flags & SHL_ROW_HAS_EXPIRE)
        n += ROW_TIMESTAMP_BYTES;
    if (row->flags & SHL_ROW_HAS_CREATE)
        n += ROW_TIMESTAMP_BYTES;
    return n;
}
