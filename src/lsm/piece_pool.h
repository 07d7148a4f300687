/* Buffers of about 64 KiB that one SST or WAL object was made in, for the next one: fresh pages cost as much as filling them. Any task. */
#ifndef SHL_LSM_PIECE_POOL_H
#define SHL_LSM_PIECE_POOL_H

#include "base/bytes.h"

#define SHL_PIECE_BYTES ((size_t)64 << 10)

struct shl_piece_pool;

/* Keeps up to `keep_bytes`. */
SHL_MUST shale_code shl_piece_pool_new(size_t keep_bytes, struct shl_piece_pool **out, shale_error *err);
void shl_piece_pool_free(struct shl_piece_pool *p); /* NULL is fine */
/* An empty buffer, with memory if there is some. pool NULL: {0}. */
struct shl_buf shl_piece_pool_take(struct shl_piece_pool *p);
/* Keeps the buffer's memory, or frees it. pool NULL: frees it. */
void shl_piece_pool_give(struct shl_piece_pool *p, struct shl_buf *take_b);
/* Frees what is kept, if nothing was taken since the call before. */
void shl_piece_pool_trim(struct shl_piece_pool *p);

#endif
