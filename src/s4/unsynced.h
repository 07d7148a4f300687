/* What a writer notes in its local folder at flush(): which records of which local files are in no committed index. Pure. Lines of text:
 *
 *   shale s4 unsynced 1
 *   generation 3
 *   tried
 *   file data_0a1b2c3d_000001.s4db 9 4711
 *   end 9abcdef0
 *
 * Records lie in [from, to) of each file; the order of files is the order of writes. `tried`, if it is there: a commit of them was on its way, and
 * writer_<id>.bases (an index of generation 2) has the places that their keys had before. `end` is the CRC-32 of the lines before, in hex. s4db has no such file and
 * passes it over. */
#ifndef SHL_S4_UNSYNCED_H
#define SHL_S4_UNSYNCED_H

#include "base/array.h"
#include "s4/format.h"

struct shl_s4_range {
    uint64_t file;
    uint64_t from;
    uint64_t to;
};

struct shl_s4_unsynced {
    uint64_t generation; /* a later state of the same writes has a higher one */
    bool tried;
    SHL_ARRAY(struct shl_s4_range) ranges; /* owned */
};

SHL_MUST shale_code shl_s4_unsynced_encode(const struct shl_s4_unsynced *u, struct shl_buf *out,
                                           shale_error *err);
/* *out is {0} or freed. Errors: CORRUPTION, NOMEM. */
SHL_MUST shale_code shl_s4_unsynced_decode(struct shl_slice text, struct shl_s4_unsynced *out,
                                           shale_error *err);
void shl_s4_unsynced_free(struct shl_s4_unsynced *u);

/* writer_<8 hex digits>.unsynced, .lock and .bases */
void shl_s4_unsynced_name(uint32_t writer, const char *ending, char out[SHL_S4_NAME_BYTES]);
SHL_MUST bool shl_s4_unsynced_name_parse(const char *name, uint32_t *out_writer);

#endif
