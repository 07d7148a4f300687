/* The layout of a SQLite changeset, read only: for checks before SQLite gets it, for messages, and for the change feed. Pure.
 *
 *   table   'T'  varint columns  one byte per column: its 1-based place in the primary key, 0 if it is not in it  name  NUL
 *   change  operation (0x12 insert, 0x17 update, 0x09 delete)  indirect (1: by a trigger or foreign key)  records
 *           insert: the new row; delete: the old one; update: the old one, then the new one
 *   record  per column: 00 undefined | 01 + 8 bytes big-endian integer | 02 + 8 bytes big-endian IEEE double |
 *           03 + varint length + UTF-8 text | 04 + varint length + blob | 05 NULL
 *
 * Tables follow each other, each with its changes. The old record of an update holds the key and the changed columns, its new record the
 * changed columns. Varints are SQLite's: big-endian, 7 bits a byte, a ninth byte whole. Source: sqlite3session.c, "CHANGESET FORMAT". */
#ifndef SHL_SQL_FORMAT_CHANGESET_H
#define SHL_SQL_FORMAT_CHANGESET_H

#include "base/bytes.h"

#define SHL_CS_COLUMNS_MAX 32767 /* what SQLite can be built for */

enum shl_cs_op { SHL_CS_INSERT = 0x12, SHL_CS_UPDATE = 0x17, SHL_CS_DELETE = 0x09 };
enum shl_cs_type {
    SHL_CS_UNDEFINED = 0,
    SHL_CS_INTEGER = 1,
    SHL_CS_REAL = 2,
    SHL_CS_TEXT = 3,
    SHL_CS_BLOB = 4,
    SHL_CS_NULL = 5
};

struct shl_cs_value {
    enum shl_cs_type type;
    int64_t integer;
    double real;
    struct shl_slice bytes; /* of text and blobs */
};

/* One change. All slices are borrowed from the changeset. */
struct shl_cs_change {
    struct shl_slice table; /* name without its NUL */
    uint32_t columns;
    const uint8_t *key_places; /* [columns] */
    enum shl_cs_op op;
    bool indirect;
    struct shl_slice
        old_row; /* records, to be walked by shl_cs_value_next; empty where the operation has none */
    struct shl_slice new_row;
    size_t offset; /* of the change in the changeset */
};

struct shl_cs_reader {
    struct shl_slice all;
    size_t at;
    struct shl_cs_change table; /* the section that is being read */
};

struct shl_cs_reader shl_cs_reader_of(struct shl_slice changeset);
/* The next change; SHALE_DONE behind the last. CORRUPTION names the offset. */
SHL_MUST shale_code shl_cs_next(struct shl_cs_reader *r, struct shl_cs_change *out,
                                shale_error *err);
/* Reads one value off the front of a record of a change. *record is not empty. */
struct shl_cs_value shl_cs_value_next(struct shl_slice *record);

/* Walks over all of it. *out_changes (may be NULL) counts them. Errors: CORRUPTION. */
SHL_MUST shale_code shl_cs_check(struct shl_slice changeset, uint64_t *out_changes,
                                 shale_error *err);

/* Appends the key of a change, in its columns' order: 7 or (7, 'a'). Long texts are cut. Errors: NOMEM. */
SHL_MUST shale_code shl_cs_key_text(const struct shl_cs_change *c, struct shl_buf *out,
                                    shale_error *err);
const char *shl_cs_op_name(enum shl_cs_op op); /* "insert", "update", "delete" */

#endif
