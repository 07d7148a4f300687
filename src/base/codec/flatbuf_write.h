/* Builds a FlatBuffer from its end downwards, children before parents, with equal vtables shared. The bytes depend on the order
 * of the calls alone, so that SlateDB's can be reproduced (slatedb-format 3.1 "Builder"). One thread at a time.
 *
 * Running out of memory, or past 2 GiB, is remembered: later calls do nothing, and shl_fbw_finish reports it. */
#ifndef SHL_CODEC_FLATBUF_WRITE_H
#define SHL_CODEC_FLATBUF_WRITE_H

#include "base/array.h"
#include "base/bytes.h"

#define SHL_FBW_SLOTS_MAX 32

/* Where something was written, counted in bytes from the end; 0: nothing. */
typedef uint32_t shl_fb_ref;

struct shl_fbw {
    uint8_t *data; /* owned: cap bytes, the last `used` of them written */
    size_t cap;
    size_t used;
    size_t align_max;                  /* largest alignment asked for */
    SHL_ARRAY(uint32_t) vtables;       /* places of the vtables written so far */
    SHL_ARRAY(shl_fb_ref) kept;        /* references that wait for their vector */
    size_t table_start;                /* `used` when the open table began */
    uint32_t slots[SHL_FBW_SLOTS_MAX]; /* places of the open table's fields; 0: absent */
    unsigned slot_count;               /* highest slot set + 1 */
    bool table_open;
    shale_code failed; /* SHALE_OK, or what finish will report */
};

/* {0} is an empty writer. */
void shl_fbw_deinit(struct shl_fbw *w);

/* Vectors and strings; not while a table is open. */
shl_fb_ref shl_fbw_bytes(struct shl_fbw *w, struct shl_slice bytes);
shl_fb_ref shl_fbw_string(struct shl_fbw *w, const char *text);
shl_fb_ref shl_fbw_u32s(struct shl_fbw *w, const uint32_t *items, size_t count);

/* Vectors of tables, which may nest: mark = shl_fbw_mark(w); keep each table; then make the vector of all kept since the mark. */
size_t shl_fbw_mark(const struct shl_fbw *w);
void shl_fbw_keep(struct shl_fbw *w, shl_fb_ref ref);
shl_fb_ref shl_fbw_kept(struct shl_fbw *w, size_t mark);

/* One table at a time. SlateDB's order of fields: 8-byte ones, then references and u32, then u16, then u8, each group in
 * descending slot order. u8..u64 and ref leave out zero (the default); `_always` writes it. */
void shl_fbw_begin(struct shl_fbw *w);
void shl_fbw_u64(struct shl_fbw *w, unsigned slot, uint64_t value);
void shl_fbw_u32(struct shl_fbw *w, unsigned slot, uint32_t value);
void shl_fbw_u16(struct shl_fbw *w, unsigned slot, uint16_t value);
void shl_fbw_u16_always(struct shl_fbw *w, unsigned slot, uint16_t value);
void shl_fbw_u8(struct shl_fbw *w, unsigned slot, uint8_t value);
void shl_fbw_ref(struct shl_fbw *w, unsigned slot, shl_fb_ref target);
shl_fb_ref shl_fbw_end(struct shl_fbw *w);

/* Appends the finished buffer to `out` and empties the writer, which may be used again. SHALE_NOMEM, or SHALE_INVALID past
 * 2 GiB; `out` is then as it was. */
SHL_MUST shale_code shl_fbw_finish(struct shl_fbw *w, shl_fb_ref root, struct shl_buf *out,
                                   shale_error *err);

#endif
