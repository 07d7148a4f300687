/* Writes an SST: blocks as rows come, the rest at the end (slatedb-format 2.1).
 *
 * The bytes wait in pieces of about 64 KiB; with a store, each full part of them is uploaded while later blocks are built, and its
 * pieces are used again. Every step is done whole or not at all, so that add and finish can be called again after a failure. */
#include "lsm/sst/sst_write.h"

#include "base/assert.h"
#include "base/codec/crc32.h"
#include "base/codec/endian.h"
#include "base/env/env.h"
#include "base/num.h"
#include "lsm/format/block.h"

#define PIECE_BYTES         SHL_PIECE_BYTES
#define PIECE_RECYCLE_BYTES (2 * PIECE_BYTES) /* larger ones held a large row: not kept */
#define HASHES_PER_PIECE    (PIECE_BYTES / sizeof(uint64_t))
#define SST_VERSION         2
#define WAL_KEY_BYTES       8

/* A filter of the application that is being made. */
struct user_build {
    void *builder;
    bool begun;          /* the builder is there */
    bool made;           /* data is the filter */
    struct shl_buf data; /* owned */
};

/* What finish does, in file order; a failed step is tried again. */
enum seal_step { SEAL_BLOCK, SEAL_FILTER, SEAL_INDEX, SEAL_STATS, SEAL_INFO, SEALED };

struct shl_sst_writer {
    struct shl_sst_write_options options;   /* [const] */
    struct shl_blob_codec codec;            /* [const] */
    const struct shl_filter_policy *policy; /* [const] borrowed; NULL: no filter */
    size_t unit;             /* [const] aligned: what blocks are multiples of; else 0 */
    struct shl_store *store; /* [const] borrowed; NULL: everything is kept */
    char *key;               /* [const] owned; NULL without a store */

    struct shl_block_builder block; /* owned */
    struct shl_buf raw;             /* owned: a blob before it is encoded; a block may wait here */
    struct shl_buf scratch;         /* owned */

    SHL_ARRAY(struct shl_buf) pieces;  /* owned: bytes not handed on yet, in order */
    SHL_ARRAY(struct shl_buf) spares;  /* owned: empty pieces */
    SHL_ARRAY(struct shl_slice) views; /* owned: pieces as a store or the filter takes them */
    size_t block_at;                   /* where the open block begins in the last piece */
    size_t head_bytes;                 /* of the first piece, handed on already */
    uint64_t kept_bytes;               /* in pieces, without head_bytes */
    uint64_t total_bytes;              /* of the object so far */
    uint64_t block_bytes;              /* of its blocks */
    uint64_t rows;

    struct shl_sst_index
        index; /* owned; keys stand in index_keys one after the other, slices are set at the end */
    struct shl_buf index_keys;        /* owned */
    struct shl_sst_stats stats;       /* owned */
    SHL_ARRAY(struct shl_buf) hashes; /* owned: for the filter, HASHES_PER_PIECE in each */
    size_t hash_count;
    struct shl_buf last_prefix; /* owned: whose hash was added last */
    bool has_last_prefix;
    struct user_build *users;   /* owned: one for each of options.user_filters; NULL: none */
    struct shl_buf first_entry; /* owned: first key, or the WAL's first seq */
    struct shl_buf cut_key;     /* owned: last key of the block cut last */
    struct shl_block_iter walk; /* owned: of blocks that are copied */
    struct shl_buf walk_key;    /* owned: of the row before in the walk */
    struct shl_buf kept_prefix; /* owned: last_prefix before the walk */

    enum seal_step step;
    struct shl_sst_info info;  /* offsets as they become known */
    struct shl_upload *upload; /* open multipart upload, or NULL */
    uint32_t part_count;       /* parts uploaded */
    bool published;
};

static bool is_wal(const struct shl_sst_writer *w)
{
    return w->options.type == SHL_SST_WAL;
}

/* ---------------------------------------------------------------- new, free */

static shale_code choose_policy(struct shl_sst_writer *w, shale_error *err)
{
    for (size_t i = 0; i < w->options.policy_count; i++) {
        const struct shl_filter_policy *p = &w->options.policies[i];
        if (p->bits_per_key == 0)
            continue;
        if (w->policy != NULL)
            return shl_fail(err, SHALE_INVALID, "sst: more than one filter policy writes a filter");
        w->policy = p;
    }
    if (is_wal(w))
        w->policy = NULL;
    return SHALE_OK;
}

static shale_code begin_users(struct shl_sst_writer *w, shale_error *err)
{
    const struct shl_user_filters *all = &w->options.user_filters;
    if (is_wal(w) || all->count == 0)
        return SHALE_OK;
    w->users = env_calloc(all->count, sizeof *w->users);
    if (w->users == NULL)
        return shl_nomem(err);
    for (size_t i = 0; i < all->count; i++)
        w->users[i].begun = all->items[i].begin(all->items[i].ctx, &w->users[i].builder);
    return SHALE_OK;
}

static void end_user(struct shl_sst_writer *w, size_t i, bool wanted)
{
    const struct shl_user_filter *f = &w->options.user_filters.items[i];
    struct user_build *u = &w->users[i];
    if (!u->begun)
        return;
    u->begun = false;
    u->made = f->end(f->ctx, u->builder, wanted ? &u->data : NULL) && wanted;
}

static void free_users(struct shl_sst_writer *w)
{
    if (w->users == NULL)
        return;
    for (size_t i = 0; i < w->options.user_filters.count; i++) {
        end_user(w, i, false);
        shl_buf_free(&w->users[i].data);
    }
    env_free(w->users);
}

/* A block with its crc, and what the transformer adds, is to fit into one unit. */
static void align_blocks(struct shl_sst_writer *w)
{
    SHL_ASSERT(!is_wal(w) && w->options.compression == SHL_COMPRESSION_NONE);
    const struct shl_transformer *t = w->codec.transformer;
    size_t taken = SHL_CRC_BYTES + (t != NULL ? t->overhead : 0);
    w->unit = w->options.block_bytes;
    w->options.block_bytes = w->unit > taken ? w->unit - taken : 1;
}

shale_code shl_sst_writer_new(const struct shl_sst_write_options *o, struct shl_store *store,
                              const char *key, struct shl_sst_writer **out, shale_error *err)
{
    SHL_ASSERT((store == NULL) == (key == NULL));
    shale_code rc;
    struct shl_sst_writer *w = env_calloc(1, sizeof *w);
    if (w == NULL)
        return shl_nomem(err);
    w->options = *o;
    w->store = store;
    w->codec =
        (struct shl_blob_codec){.compression = o->compression, .transformer = o->transformer};
    w->info = (struct shl_sst_info){
        .compression = o->compression, .type = o->type, .filter_format = SHL_FILTER_COMPOSITE};
    SHL_TRY(choose_policy(w, err));
    SHL_TRY(begin_users(w, err));
    if (o->aligned)
        align_blocks(w);
    SHL_TRY(shl_block_builder_init(&w->block, w->options.block_bytes, err));
    if (key != NULL && (w->key = env_strdup(key)) == NULL) {
        rc = shl_nomem(err);
        goto out;
    }
    *out = w;
    w = NULL; /* moved to the caller */
out:
    shl_sst_writer_free(w);
    return rc;
}

void shl_sst_writer_free(struct shl_sst_writer *w)
{
    if (w == NULL)
        return;
    if (w->upload != NULL)
        shl_store_upload_abort(w->store, w->upload);
    for (size_t i = 0; i < w->pieces.count; i++)
        shl_piece_pool_give(w->options.pool, &w->pieces.items[i]);
    for (size_t i = 0; i < w->spares.count; i++)
        shl_piece_pool_give(w->options.pool, &w->spares.items[i]);
    for (size_t i = 0; i < w->hashes.count; i++)
        shl_piece_pool_give(w->options.pool, &w->hashes.items[i]);
    shl_array_free(&w->pieces);
    shl_array_free(&w->spares);
    shl_array_free(&w->views);
    shl_array_free(&w->hashes);
    free_users(w);
    shl_sst_index_deinit(&w->index);
    shl_sst_stats_deinit(&w->stats);
    shl_block_builder_deinit(&w->block);
    shl_buf_free(&w->raw);
    shl_buf_free(&w->scratch);
    shl_buf_free(&w->index_keys);
    shl_buf_free(&w->last_prefix);
    shl_buf_free(&w->first_entry);
    shl_buf_free(&w->cut_key);
    shl_block_iter_deinit(&w->walk);
    shl_buf_free(&w->walk_key);
    shl_buf_free(&w->kept_prefix);
    env_free(w->key);
    env_free(w);
}

uint64_t shl_sst_writer_block_bytes(const struct shl_sst_writer *w)
{
    return w->block_bytes;
}

uint64_t shl_sst_writer_rows(const struct shl_sst_writer *w)
{
    return w->rows;
}

/* ---------------------------------------------------------------- pieces */

/* An empty one with room for `need` bytes. */
static shale_code take_piece(struct shl_sst_writer *w, size_t need, struct shl_buf *out,
                             shale_error *err)
{
    *out = w->spares.count > 0 ? w->spares.items[--w->spares.count]
                               : shl_piece_pool_take(w->options.pool);
    shale_code rc = shl_buf_reserve(out, shl_max_size(need, PIECE_BYTES), err);
    if (rc != SHALE_OK)
        shl_buf_free(out);
    return rc;
}

/* The last piece, with room for `need` more bytes. */
static shale_code piece_with_room(struct shl_sst_writer *w, size_t need, struct shl_buf **out,
                                  shale_error *err)
{
    struct shl_buf *last = w->pieces.count > 0 ? &w->pieces.items[w->pieces.count - 1] : NULL;
    if (last == NULL || need > last->cap - last->len) {
        if (!shl_array_reserve(&w->pieces, 1))
            return shl_nomem(err);
        struct shl_buf fresh;
        shale_code rc = take_piece(w, need, &fresh, err);
        if (rc != SHALE_OK)
            return rc;
        shl_array_add(&w->pieces, fresh);
        last = &w->pieces.items[w->pieces.count - 1];
    }
    *out = last;
    return SHALE_OK;
}

static void piece_grew(struct shl_sst_writer *w, size_t bytes)
{
    w->kept_bytes += bytes;
    w->total_bytes += bytes;
}

/* Zeros behind a block of an aligned file, up to a whole unit; the index then tells its length. Room for a unit was reserved. */
static void pad_block(struct shl_sst_writer *w, struct shl_buf *piece)
{
    struct shl_sst_index_entry *entry = &w->index.blocks.items[w->index.blocks.count - 1];
    uint64_t len = w->total_bytes - entry->offset;
    size_t odd = w->unit > 0 ? (size_t)(len % w->unit) : 0;
    if (odd == 0)
        return;
    SHL_ASSERT(piece->cap - piece->len >= w->unit - odd);
    memset(piece->data + piece->len, 0, w->unit - odd);
    piece->len += w->unit - odd;
    piece_grew(w, w->unit - odd);
    entry->encoded_len = (uint32_t)len;
}

/* Appends w->raw as a blob and empties it. */
static shale_code append_raw(struct shl_sst_writer *w, bool is_block, shale_error *err)
{
    struct shl_buf *piece;
    shale_code rc = piece_with_room(w, w->raw.len + SHL_CRC_BYTES, &piece, err);
    if (rc != SHALE_OK)
        return rc;
    size_t before = piece->len;
    rc = shl_blob_encode(&w->codec, shl_buf_view(&w->raw), &w->scratch, piece, err);
    if (rc == SHALE_OK && is_block)
        rc = shl_buf_reserve(piece, w->unit, err);
    if (rc != SHALE_OK) {
        piece->len = before;
        return rc;
    }
    piece_grew(w, piece->len - before);
    if (is_block)
        pad_block(w, piece);
    w->raw.len = 0;
    return SHALE_OK;
}

/* The first bytes that are kept, `bytes` of them, as w->views. */
static shale_code make_views(struct shl_sst_writer *w, uint64_t bytes, shale_error *err)
{
    SHL_ASSERT(bytes <= w->kept_bytes);
    w->views.count = 0;
    if (!shl_array_reserve(&w->views, w->pieces.count))
        return shl_nomem(err);
    size_t skip = w->head_bytes;
    for (size_t i = 0; bytes > 0; i++) {
        const struct shl_buf *p = &w->pieces.items[i];
        size_t n = (size_t)shl_min_u64(bytes, p->len - skip);
        shl_array_add(&w->views, shl_slice_of(p->data + skip, n));
        bytes -= n;
        skip = 0;
    }
    return SHALE_OK;
}

/* Forgets the first `bytes` that are kept. Pieces that are done with become spare, if there is room to note them. */
static void drop_kept(struct shl_sst_writer *w, uint64_t bytes)
{
    size_t done = 0;
    w->kept_bytes -= bytes;
    bytes += w->head_bytes;
    while (done < w->pieces.count && bytes >= w->pieces.items[done].len) {
        struct shl_buf *p = &w->pieces.items[done++];
        bytes -= p->len;
        p->len = 0;
        if (p->cap > PIECE_RECYCLE_BYTES || !shl_array_push(&w->spares, *p))
            shl_buf_free(p);
    }
    SHL_ASSERT(bytes == 0 || done < w->pieces.count);
    w->head_bytes = (size_t)bytes;
    w->pieces.count -= done;
    memmove(w->pieces.items, w->pieces.items + done, w->pieces.count * sizeof *w->pieces.items);
}

/* ---------------------------------------------------------------- uploads */

static shale_code upload_part(struct shl_sst_writer *w, uint64_t bytes, shale_error *err)
{
    shale_code rc;
    if (w->upload == NULL)
        SHL_TRY(shl_store_upload_start(w->store, w->key, &w->upload, err));
    SHL_TRY(make_views(w, bytes, err));
    SHL_TRY(shl_store_upload_part(w->store, w->upload, w->part_count, w->views.items,
                                  w->views.count, err));
    w->part_count++;
    drop_kept(w, bytes);
out:
    return rc;
}

/* Parts of equal size (but for the last one): some stores want them so. */
static shale_code upload_full_parts(struct shl_sst_writer *w, shale_error *err)
{
    if (w->store == NULL || w->options.part_bytes == 0)
        return SHALE_OK;
    while (w->kept_bytes >= w->options.part_bytes) {
        shale_code rc = upload_part(w, w->options.part_bytes, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

/* ---------------------------------------------------------------- blocks */

static shale_code keep_cut_key(struct shl_sst_writer *w, shale_error *err)
{
    return shl_buf_set(&w->cut_key, shl_buf_view(&w->block.last_key), err);
}

/* The usual case: no compression, no transformer. Blocks are then built where they are kept: one copy of a row. */
static bool is_plain(const struct shl_sst_writer *w)
{
    return w->codec.compression == SHL_COMPRESSION_NONE && w->codec.transformer == NULL;
}

/* The block that stands in the last piece gets its end, and its crc. */
static shale_code cut_plain_block(struct shl_sst_writer *w, shale_error *err)
{
    shale_code rc;
    struct shl_buf *piece = &w->pieces.items[w->pieces.count - 1];
    uint8_t *end;
    size_t raw_bytes = shl_block_builder_bytes(&w->block);
    SHL_TRY(shl_buf_reserve(piece, w->block_at + raw_bytes + SHL_CRC_BYTES + w->unit - piece->len,
                            err));
    SHL_TRY(keep_cut_key(w, err));
    SHL_TRY(shl_block_builder_finish(&w->block, piece, err));
    end = piece->data + piece->len;
    shl_store_u32be(end, shl_crc32(end - raw_bytes, raw_bytes));
    piece->len += SHL_CRC_BYTES;
    piece_grew(w, raw_bytes + SHL_CRC_BYTES);
    pad_block(w, piece);
out:
    return rc;
}

/* Finds the next block its place, with room for all of it unless one row is more than a block. */
static shale_code place_block(struct shl_sst_writer *w, shale_error *err)
{
    struct shl_buf *piece;
    if (!is_plain(w))
        return SHALE_OK;
    shale_code rc =
        piece_with_room(w, w->options.block_bytes + SHL_CRC_BYTES + w->unit, &piece, err);
    if (rc != SHALE_OK)
        return rc;
    w->block_at = piece->len;
    shl_block_builder_into(&w->block, piece);
    return SHALE_OK;
}

/* Encodes the block that is in the builder, or still waits in w->raw after a failure. */
static shale_code cut_block(struct shl_sst_writer *w, shale_error *err)
{
    shale_code rc;
    if (is_plain(w)) {
        SHL_TRY(cut_plain_block(w, err));
    } else {
        if (w->raw.len == 0) {
            SHL_TRY(keep_cut_key(w, err));
            SHL_TRY(shl_block_builder_finish(&w->block, &w->raw, err));
        }
        SHL_TRY(append_raw(w, true, err));
    }
    w->block_bytes = w->total_bytes;
out:
    return rc;
}

/* What the index says of a block that begins with `row`; points into the row or wal_key. */
static struct shl_slice index_key(const struct shl_sst_writer *w, const struct shl_row *row,
                                  uint8_t wal_key[WAL_KEY_BYTES])
{
    if (is_wal(w)) {
        shl_store_u64be(wal_key, row->seq);
        return shl_slice_of(wal_key, WAL_KEY_BYTES);
    }
    if (w->index.blocks.count == 0)
        return shl_slice_of(row->key.data, 0);
    size_t len = shl_sst_separator_len(shl_buf_view(&w->cut_key), row->key);
    return shl_slice_of(row->key.data, len);
}

/* Begins a block with the row. */
static shale_code begin_block(struct shl_sst_writer *w, const struct shl_row *row, shale_error *err)
{
    shale_code rc;
    uint8_t wal_key[WAL_KEY_BYTES];
    struct shl_slice key = index_key(w, row, wal_key);
    if (!shl_array_reserve(&w->index.blocks, 1) || !shl_array_reserve(&w->stats.blocks, 1))
        return shl_nomem(err);
    if (w->rows == 0)
        SHL_TRY(shl_buf_set(&w->first_entry, is_wal(w) ? key : row->key, err));
    SHL_TRY(shl_buf_reserve(&w->index_keys, key.len, err));
    SHL_TRY(place_block(w, err));
    SHL_TRY(shl_block_builder_add(&w->block, row, err));
    SHL_TRY(shl_buf_append(&w->index_keys, key.data, key.len, err));
    shl_array_add(&w->index.blocks,
                  ((struct shl_sst_index_entry){.offset = w->total_bytes,
                                                .first_key = {.data = NULL, .len = key.len}}));
    shl_array_add(&w->stats.blocks, (struct shl_block_stats){0});
out:
    return rc;
}

/* ---------------------------------------------------------------- rows */

/* Pieces instead of one array: what doubles takes three times its memory while it is copied. */
static shale_code reserve_hash(struct shl_sst_writer *w, shale_error *err)
{
    if (!shl_array_reserve(&w->hashes, 1))
        return shl_nomem(err);
    struct shl_buf fresh;
    shale_code rc = take_piece(w, PIECE_BYTES, &fresh, err);
    if (rc == SHALE_OK)
        shl_array_add(&w->hashes, fresh);
    return rc;
}

static void add_hash(struct shl_sst_writer *w, uint64_t hash)
{
    uint64_t *piece = (void *)w->hashes.items[w->hash_count / HASHES_PER_PIECE].data;
    piece[w->hash_count++ % HASHES_PER_PIECE] = hash;
}

/* Prepares what note_hashes needs, for it cannot fail. */
static shale_code reserve_hashes(struct shl_sst_writer *w, const struct shl_row *row,
                                 shale_error *err)
{
    while (w->hash_count + 2 > w->hashes.count * HASHES_PER_PIECE) {
        shale_code rc = reserve_hash(w, err);
        if (rc != SHALE_OK)
            return rc;
    }
    if (w->policy->extractor.kind == SHL_EXTRACT_NONE || row->key.len <= w->last_prefix.cap)
        return SHALE_OK;
    return shl_buf_reserve(&w->last_prefix, row->key.len - w->last_prefix.len, err);
}

/* slatedb-format 2.6: the prefix if it is another one than before, then the whole key. */
static void note_hashes(struct shl_sst_writer *w, struct shl_slice key)
{
    size_t len;
    if (shl_extractor_prefix(&w->policy->extractor, key, &len)) {
        struct shl_slice prefix = shl_slice_of(key.data, len);
        if (!w->has_last_prefix || !shl_slice_eq(prefix, shl_buf_view(&w->last_prefix))) {
            add_hash(w, shl_filter_hash(prefix));
            if (len > 0)
                memcpy(w->last_prefix.data, prefix.data, len);
            w->last_prefix.len = len;
            w->has_last_prefix = true;
        }
    }
    if (w->policy->whole_key)
        add_hash(w, shl_filter_hash(key));
}

static void note_users(struct shl_sst_writer *w, const struct shl_row *row)
{
    for (size_t i = 0; i < w->options.user_filters.count; i++) {
        const struct shl_user_filter *f = &w->options.user_filters.items[i];
        if (w->users[i].begun && !f->add(f->ctx, w->users[i].builder, row))
            end_user(w, i, false);
    }
}

static void count_row(struct shl_block_stats *block, const struct shl_row *row)
{
    if ((row->flags & SHL_ROW_TOMBSTONE) != 0)
        block->deletes++;
    else if ((row->flags & SHL_ROW_MERGE) != 0)
        block->merges++;
    else
        block->puts++;
}

static void note_stats(struct shl_sst_writer *w, const struct shl_row *row)
{
    count_row(&w->stats.blocks.items[w->stats.blocks.count - 1], row);
    if ((row->flags & SHL_ROW_TOMBSTONE) != 0)
        w->stats.deletes++;
    else if ((row->flags & SHL_ROW_MERGE) != 0)
        w->stats.merges++;
    else
        w->stats.puts++;
    w->stats.raw_key_bytes += row->key.len;
    w->stats.raw_value_bytes += row->value.len;
}

shale_code shl_sst_writer_add(struct shl_sst_writer *w, const struct shl_row *row, shale_error *err)
{
    SHL_ASSERT(w->step == SEAL_BLOCK);
    shale_code rc;
    bool added = false;
    if (w->policy != NULL)
        SHL_TRY(reserve_hashes(w, row, err));
    if (w->raw.len > 0) {
        SHL_TRY(cut_block(w, err));
    } else if (!shl_block_builder_empty(&w->block)) {
        SHL_TRY(shl_block_builder_try_add(&w->block, row, &added, err));
        if (!added)
            SHL_TRY(cut_block(w, err));
    }
    if (!added) {
        SHL_TRY(upload_full_parts(w, err));
        SHL_TRY(begin_block(w, row, err));
    }
    if (w->policy != NULL)
        note_hashes(w, row->key);
    if (w->users != NULL)
        note_users(w, row);
    note_stats(w, row);
    w->rows++;
    rc = SHALE_OK;
out:
    return rc;
}

/* ---------------------------------------------------------------- blocks that are copied */

struct copy {
    const struct shl_stored_block *block;
    bool (*keeps)(void *ctx, const struct shl_row *row);
    void *ctx;
    struct shl_block_stats stats;
    struct shl_sst_copied sums;
};

/* Half a block at least, before it and in it: else a file of many short copies would have a long index. */
static bool may_copy(const struct shl_sst_writer *w, const struct shl_stored_block *b)
{
    size_t half = w->options.block_bytes / 2;
    return !is_wal(w) && b->version == SST_VERSION &&
           b->codec->compression == w->codec.compression &&
           b->codec->transformer == w->codec.transformer && b->raw.len >= half && w->raw.len == 0 &&
           (shl_block_builder_empty(&w->block) || shl_block_builder_bytes(&w->block) >= half);
}

/* The row under the walk: its hashes and counts, if it can stay as it is. */
static shale_code gather_row(struct shl_sst_writer *w, struct copy *c, bool *keeps,
                             shale_error *err)
{
    const struct shl_row *row = &w->walk.row;
    *keeps = c->keeps(c->ctx, row) &&
             (c->sums.rows == 0 || !shl_slice_eq(shl_buf_view(&w->walk_key), row->key));
    if (!*keeps)
        return SHALE_OK;
    shale_code rc = shl_buf_set(&w->walk_key, row->key, err);
    if (rc == SHALE_OK && w->policy != NULL)
        rc = reserve_hashes(w, row, err);
    if (rc != SHALE_OK)
        return rc;
    if (w->policy != NULL)
        note_hashes(w, row->key);
    count_row(&c->stats, row);
    c->sums.rows++;
    c->sums.key_bytes += row->key.len;
    c->sums.value_bytes += row->value.len;
    return SHALE_OK;
}

/* All rows. *keeps: they may stay as they are, and walk_key is the last one's. */
static shale_code gather_rows(struct shl_sst_writer *w, struct copy *c, bool *keeps,
                              shale_error *err)
{
    shale_code rc;
    SHL_TRY(shl_block_iter_init(&w->walk, c->block->raw, c->block->version, err));
    SHL_TRY(shl_block_iter_first(&w->walk, err));
    *keeps = true;
    while (*keeps && w->walk.valid) {
        SHL_TRY(gather_row(w, c, keeps, err));
        SHL_TRY(shl_block_iter_next(&w->walk, err));
    }
    /* A row alone may be larger than a block. */
    *keeps = *keeps && (c->sums.rows == 1 || c->block->raw.len <= w->options.block_bytes) &&
             (c->block->ends_file || !shl_slice_eq(shl_buf_view(&w->walk_key), c->block->upto));
out:
    return rc;
}

/* Appends the block and what the index says of it. Whole or not at all. */
static shale_code append_block(struct shl_sst_writer *w, const struct copy *c,
                               const struct shl_row *first, shale_error *err)
{
    shale_code rc;
    struct shl_buf *piece;
    struct shl_slice stored = c->block->stored, key;
    if (!shl_block_builder_empty(&w->block))
        SHL_TRY(cut_block(w, err));
    SHL_TRY(upload_full_parts(w, err));
    key = index_key(w, first, NULL);
    if (!shl_array_reserve(&w->index.blocks, 1) || !shl_array_reserve(&w->stats.blocks, 1))
        SHL_TRY(shl_nomem(err));
    if (w->rows == 0)
        SHL_TRY(shl_buf_set(&w->first_entry, first->key, err));
    SHL_TRY(shl_buf_reserve(&w->index_keys, key.len, err));
    SHL_TRY(shl_buf_reserve(&w->cut_key, w->walk_key.len, err));
    SHL_TRY(piece_with_room(w, stored.len + w->unit, &piece, err));
    /* There is room for all that follows. */
    SHL_TRY(shl_buf_append(&w->index_keys, key.data, key.len, err));
    SHL_TRY(shl_buf_set(&w->cut_key, shl_buf_view(&w->walk_key), err));
    shl_array_add(&w->index.blocks,
                  ((struct shl_sst_index_entry){.offset = w->total_bytes,
                                                .first_key = {.data = NULL, .len = key.len}}));
    shl_array_add(&w->stats.blocks, c->stats);
    memcpy(piece->data + piece->len, stored.data, stored.len);
    piece->len += stored.len;
    piece_grew(w, stored.len);
    pad_block(w, piece);
    w->block_bytes = w->total_bytes;
out:
    return rc;
}

static void note_copied(struct shl_sst_writer *w, const struct copy *c)
{
    w->rows += c->sums.rows;
    w->stats.puts += c->stats.puts;
    w->stats.deletes += c->stats.deletes;
    w->stats.merges += c->stats.merges;
    w->stats.raw_key_bytes += c->sums.key_bytes;
    w->stats.raw_value_bytes += c->sums.value_bytes;
}

/* The application's filters see the rows once they are in, for they cannot forget one. A walk that fails gives them up: they are only a help. */
static void show_users(struct shl_sst_writer *w)
{
    shale_error ignored;
    shale_code rc = shl_block_iter_first(&w->walk, &ignored);
    while (rc == SHALE_OK && w->walk.valid) {
        note_users(w, &w->walk.row);
        rc = shl_block_iter_next(&w->walk, &ignored);
    }
    for (size_t i = 0; rc != SHALE_OK && i < w->options.user_filters.count; i++)
        end_user(w, i, false);
}

/* What the walk noted is forgotten. */
static void forget_walk(struct shl_sst_writer *w, size_t hashes, bool had_prefix)
{
    w->hash_count = hashes;
    w->has_last_prefix = had_prefix;
    w->last_prefix.len = w->kept_prefix.len;
    if (w->kept_prefix.len > 0) /* there was room for it */
        memcpy(w->last_prefix.data, w->kept_prefix.data, w->kept_prefix.len);
}

shale_code shl_sst_writer_copy(struct shl_sst_writer *w, const struct shl_stored_block *block,
                               const struct shl_row *first,
                               bool (*keeps)(void *ctx, const struct shl_row *row), void *ctx,
                               struct shl_sst_copied *out, shale_error *err)
{
    SHL_ASSERT(w->step == SEAL_BLOCK);
    struct copy c = {.block = block, .keeps = keeps, .ctx = ctx};
    size_t hashes = w->hash_count;
    bool had_prefix = w->has_last_prefix, fits = false;
    *out = (struct shl_sst_copied){0};
    if (!may_copy(w, block))
        return SHALE_OK;
    shale_code rc = shl_buf_set(&w->kept_prefix, shl_buf_view(&w->last_prefix), err);
    if (rc != SHALE_OK)
        return rc;
    rc = gather_rows(w, &c, &fits, err);
    if (rc == SHALE_OK && fits)
        rc = append_block(w, &c, first, err);
    if (rc != SHALE_OK || !fits) {
        forget_walk(w, hashes, had_prefix);
        return rc;
    }
    note_copied(w, &c);
    if (w->users != NULL)
        show_users(w);
    *out = c.sums;
    return SHALE_OK;
}

/* ---------------------------------------------------------------- the rest of the file */

static shale_code seal_block(struct shl_sst_writer *w, shale_error *err)
{
    if (w->raw.len == 0 && shl_block_builder_empty(&w->block))
        return SHALE_OK; /* it was cut by an add that failed later */
    return cut_block(w, err);
}

static shale_code make_bloom(struct shl_sst_writer *w, shale_error *err)
{
    w->views.count = 0;
    if (!shl_array_reserve(&w->views, w->hashes.count))
        return shl_nomem(err);
    for (size_t at = 0; at < w->hash_count; at += HASHES_PER_PIECE) {
        size_t n = shl_min_size(HASHES_PER_PIECE, w->hash_count - at);
        shl_array_add(&w->views, shl_slice_of(w->hashes.items[at / HASHES_PER_PIECE].data,
                                              n * sizeof(uint64_t)));
    }
    return shl_filter_encode(w->policy, w->views.items, w->views.count, &w->raw, err);
}

/* The Bloom filter, then those of the application, in one block. */
static shale_code make_filters(struct shl_sst_writer *w, shale_error *err)
{
    shale_code rc = SHALE_OK;
    w->raw.len = 0;
    if (w->policy != NULL)
        SHL_TRY(make_bloom(w, err));
    for (size_t i = 0; w->users != NULL && i < w->options.user_filters.count; i++) {
        end_user(w, i, true);
        if (w->users[i].made)
            SHL_TRY(shl_filter_append(shl_slice_str(w->options.user_filters.items[i].name),
                                      shl_buf_view(&w->users[i].data), &w->raw, err));
    }
out:
    return rc;
}

static shale_code seal_filter(struct shl_sst_writer *w, shale_error *err)
{
    shale_code rc = SHALE_OK;
    w->info.filter_offset = w->total_bytes;
    w->info.filter_len = 0;
    if (is_wal(w) || w->rows < w->options.min_filter_keys)
        return rc;
    SHL_TRY(make_filters(w, err));
    if (w->raw.len == 0)
        goto out;
    SHL_TRY(append_raw(w, false, err));
    w->info.filter_len = w->total_bytes - w->info.filter_offset;
out:
    return rc;
}

static shale_code seal_index(struct shl_sst_writer *w, shale_error *err)
{
    shale_code rc;
    size_t at = 0;
    for (size_t i = 0; i < w->index.blocks.count; i++) {
        struct shl_slice *first_key = &w->index.blocks.items[i].first_key;
        if (first_key->len > 0)
            first_key->data = w->index_keys.data + at;
        at += first_key->len;
    }
    w->raw.len = 0;
    SHL_TRY(shl_sst_index_encode(&w->index, &w->raw, err));
    w->info.index_offset = w->total_bytes;
    SHL_TRY(append_raw(w, false, err));
    w->info.index_len = w->total_bytes - w->info.index_offset;
out:
    return rc;
}

static shale_code seal_stats(struct shl_sst_writer *w, shale_error *err)
{
    shale_code rc = SHALE_OK;
    if (is_wal(w))
        return rc;
    w->raw.len = 0;
    SHL_TRY(shl_sst_stats_encode(&w->stats, &w->raw, err));
    w->info.stats_offset = w->total_bytes;
    SHL_TRY(append_raw(w, false, err));
    w->info.stats_len = w->total_bytes - w->info.stats_offset;
out:
    return rc;
}

static shale_code seal_info(struct shl_sst_writer *w, shale_error *err)
{
    shale_code rc;
    struct shl_buf *piece;
    size_t before;
    w->info.first_entry = shl_buf_view(&w->first_entry);
    w->info.has_first_entry = true;
    w->info.has_last_entry = !is_wal(w);
    if (w->info.has_last_entry)
        w->info.last_entry = shl_buf_view(&w->cut_key);
    SHL_TRY(piece_with_room(w, 1, &piece, err));
    before = piece->len;
    SHL_TRY(shl_sst_tail_encode(&w->info, w->total_bytes - before, SST_VERSION, piece, err));
    piece_grew(w, piece->len - before);
out:
    return rc;
}

static shale_code seal(struct shl_sst_writer *w, shale_error *err)
{
    static shale_code (*const steps[])(struct shl_sst_writer *, shale_error *) = {
        [SEAL_BLOCK] = seal_block, [SEAL_FILTER] = seal_filter, [SEAL_INDEX] = seal_index,
        [SEAL_STATS] = seal_stats, [SEAL_INFO] = seal_info,
    };
    while (w->step != SEALED) {
        shale_code rc = steps[w->step](w, err);
        if (rc != SHALE_OK)
            return rc;
        w->step++;
    }
    return SHALE_OK;
}

/* Overwriting: the same bytes under a name that nobody else uses, so that a put of unknown outcome may be sent again. */
static shale_code publish(struct shl_sst_writer *w, shale_error *err)
{
    shale_code rc;
    SHL_TRY(upload_full_parts(w, err));
    if (w->upload == NULL) {
        SHL_TRY(make_views(w, w->kept_bytes, err));
        if (w->store == NULL)
            goto out;
        const struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
        SHL_TRY(shl_store_put(w->store, w->key, w->views.items, w->views.count, &how, NULL, err));
    } else {
        if (w->kept_bytes > 0)
            SHL_TRY(upload_part(w, w->kept_bytes, err));
        SHL_TRY(shl_store_upload_complete(w->store, w->upload, NULL, err));
        w->upload = NULL;
    }
out:
    return rc;
}

shale_code shl_sst_writer_finish(struct shl_sst_writer *w, struct shl_sst_info *info,
                                 uint64_t *object_bytes, shale_error *err)
{
    SHL_ASSERT(w->rows > 0);
    shale_code rc = seal(w, err);
    if (rc == SHALE_OK && !w->published)
        rc = publish(w, err);
    if (rc != SHALE_OK)
        return rc;
    w->published = true;
    *info = w->info;
    *object_bytes = w->total_bytes;
    return SHALE_OK;
}

void shl_sst_writer_bytes(const struct shl_sst_writer *w, const struct shl_slice **pieces,
                          size_t *count)
{
    SHL_ASSERT(w->store == NULL);
    SHL_ASSERT(w->published);
    *pieces = w->views.items;
    *count = w->views.count;
}
