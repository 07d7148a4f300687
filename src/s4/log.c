/* Appending to data files: when one is full, the next is begun. */
#include "s4/db.h"

#include "base/assert.h"
#include "base/num.h"

#include <errno.h>
#include <inttypes.h>

#define WRITE_BYTES ((size_t)1 << 20)

struct shl_s4_file *shl_s4_file_find(struct shl_s4 *db, uint64_t id)
{
    for (size_t i = db->files.count; i-- > 0;)
        if (db->files.items[i].id == id)
            return &db->files.items[i];
    return NULL;
}

void shl_s4_close_active(struct shl_s4 *db)
{
    if (db->active_fd >= 0)
        (void)env_close(db->active_fd);
    db->active_fd = -1;
    db->active = SHL_S4_GONE;
}

void shl_s4_batch_begin(struct shl_s4 *db, struct shl_s4_batch *b)
{
    struct shl_s4_file *f = db->active != SHL_S4_GONE ? shl_s4_file_find(db, db->active) : NULL;
    *b = (struct shl_s4_batch){.undo_file = db->active};
    if (f == NULL)
        return;
    b->data_file = f->id;
    b->data_offset = f->size;
    b->undo_size = f->size;
    b->undo_dirty = f->dirty;
}

shale_code shl_s4_batch_write(struct shl_s4 *db, struct shl_s4_batch *b, shale_error *err)
{
    const struct env_iovec part = {.data = b->data.data, .len = b->data.len};
    char name[SHL_S4_NAME_BYTES];
    if (b->data.len == 0)
        return SHALE_OK;
    SHL_ASSERT(b->data_file == db->active && db->active_fd >= 0);
    int e = env_pwritev(db->active_fd, &part, 1, b->data_offset);
    if (e != 0) {
        shl_s4_name(b->data_file, name);
        char *path = shl_s4_local_path(&db->local, name);
        shale_code rc = shl_s4_local_fail(err, e, "write", path != NULL ? path : name);
        env_free(path);
        return rc;
    }
    b->data_offset += b->data.len;
    b->data.len = 0;
    return SHALE_OK;
}

/* Generation 1: numbers are shared by all, so the bucket and the folder are asked for the highest. */
static shale_code find_seq(struct shl_s4 *db, shale_error *err)
{
    struct shl_s4_remote_list remote = {0};
    struct shl_s4_local_list here = {0};
    uint32_t highest = db->next_file_num > 0 ? db->next_file_num - 1 : 0;
    shale_code rc;
    if (db->settings.format == 2 || db->seq_known)
        return SHALE_OK;
    SHL_TRY(shl_s4_list(db, &remote, err));
    SHL_TRY(shl_s4_local_list(&db->local, &here, err));
    for (size_t i = 0; i < remote.files.count; i++)
        if (shl_s4_writer_of(remote.files.items[i].id) == 0)
            highest = (uint32_t)shl_max_u64(highest, shl_s4_seq_of(remote.files.items[i].id));
    for (size_t i = 0; i < here.ids.count; i++)
        if (shl_s4_writer_of(here.ids.items[i]) == 0)
            highest = (uint32_t)shl_max_u64(highest, shl_s4_seq_of(here.ids.items[i]));
    db->seq = highest;
    db->seq_known = true;
out:
    shl_array_free(&remote.files);
    shl_array_free(&here.ids);
    return rc;
}

static shale_code create_file(struct shl_s4 *db, uint64_t id, int *out_fd, shale_error *err)
{
    char *path = shl_s4_local_file(&db->local, id);
    if (path == NULL)
        return shl_nomem(err);
    int e =
        env_open(out_fd, path, ENV_OPEN_READ | ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCL);
    shale_code rc = e == 0 ? SHALE_OK : shl_s4_local_fail(err, e, "make", path);
    env_free(path);
    return rc;
}

/* The next file; its header goes before the first record. */
static shale_code roll(struct shl_s4 *db, struct shl_s4_batch *b, shale_error *err)
{
    uint8_t header[SHL_S4_HEADER_BYTES];
    int fd = -1;
    shale_code rc;
    SHL_TRY(shl_s4_batch_write(db, b, err));
    SHL_TRY(shl_s4_local_make(&db->local, err));
    SHL_TRY(find_seq(db, err));
    if (db->seq == UINT32_MAX)
        SHL_TRY(shl_fail(err, SHALE_INVALID, "no number is left for another data file"));
    if (!shl_array_reserve(&db->files, 1))
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_buf_reserve(&b->data, sizeof header, err));
    SHL_TRY(create_file(db, shl_s4_file_id(db->writer, db->seq + 1), &fd, err));
    db->seq++;
    shl_s4_close_active(db);
    db->active = shl_s4_file_id(db->writer, db->seq);
    db->active_fd = fd;
    shl_array_add(&db->files,
                  ((struct shl_s4_file){.id = db->active, .from = sizeof header, .dirty = true}));
    b->data_file = db->active;
    b->data_offset = 0;
    b->new_files++;
    shl_s4_header((uint8_t)db->settings.format, db->seq, header);
    SHL_TRY(shl_buf_append(&b->data, header, sizeof header, err));
    db->files.items[db->files.count - 1].size = sizeof header;
out:
    return rc;
}

shale_code shl_s4_batch_add(struct shl_s4 *db, struct shl_s4_batch *b, struct shl_slice record,
                            shale_error *err)
{
    struct shl_s4_file *f = db->active != SHL_S4_GONE ? shl_s4_file_find(db, db->active) : NULL;
    shale_code rc = SHALE_OK;
    bool full =
        f == NULL || shl_s4_is_sealed(db, f) ||
        (f->size > SHL_S4_HEADER_BYTES && f->size + record.len > db->settings.max_file_bytes);
    if (full)
        SHL_TRY(roll(db, b, err));
    f = shl_s4_file_find(db, db->active);
    if (!shl_array_reserve(&b->places, 1))
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_buf_append(&b->data, record.data, record.len, err));
    shl_array_add(
        &b->places,
        ((struct shl_s4_loc){.file = f->id, .offset = f->size, .length = (uint32_t)record.len}));
    f->size += record.len;
    f->dirty = true;
    if (b->data.len >= WRITE_BYTES)
        SHL_TRY(shl_s4_batch_write(db, b, err));
out:
    return rc;
}

/* The file before the batch gets its old end back, those that the batch began go. */
static void undo(struct shl_s4 *db, struct shl_s4_batch *b)
{
    struct shl_s4_file *f = b->undo_file != SHL_S4_GONE ? shl_s4_file_find(db, b->undo_file) : NULL;
    if (f != NULL) {
        f->size = b->undo_size;
        f->dirty = b->undo_dirty;
    }
    if (b->new_files == 0)
        return;
    shl_s4_close_active(db);
    for (uint32_t i = 0; i < b->new_files; i++)
        shl_s4_local_remove(&db->local, db->files.items[--db->files.count].id);
}

void shl_s4_batch_end(struct shl_s4 *db, struct shl_s4_batch *b, bool failed)
{
    if (failed)
        undo(db, b);
    shl_buf_free(&b->data);
    shl_array_free(&b->places);
}
