/* The bytes of s4db's store: names of objects, headers and records of data files, the index. Pure: bytes in, values out.
 *
 * All integers are big-endian and unsigned. A data file is a header and records back to back:
 *
 *   53 34 44 42  version (1)  sequence (4)                        "S4DB"; version 1 or 2
 *   flags (1)  key length K (4)  value length V (4)  key (K)  value (V)  CRC-32 of all that (4)
 *
 * The index is version (1)  next file number (4)  count (4), then the entries, then (version 2) the CRC-32 of everything before:
 *
 *   version 2: key length (2)  key  file id (8)      offset (8)  length (4)
 *   version 1: key length (2)  key  file number (4)  offset (8)  length (4)
 *
 * A file id is writer << 32 | sequence; writer 0 are the files of generation 1. Offset and length cover the whole record. Source: s4db 0.8.0 and
 * 0.10.0, and bytes that both wrote (tests/fixtures/s4db). */
#ifndef SHL_S4_FORMAT_H
#define SHL_S4_FORMAT_H

#include "base/bytes.h"

#define SHL_S4_HEADER_BYTES   9
#define SHL_S4_OVERHEAD_BYTES 13 /* of a record beside key and value */
#define SHL_S4_FRONT_BYTES    9  /* of a record before the key */
#define SHL_S4_KEY_MAX        65535
#define SHL_S4_INDEX_NAME     "index.idx"
#define SHL_S4_NAME_BYTES     40 /* the longest name of a data file, with its NUL */

#define SHL_S4_TOMBSTONE 0x01u
#define SHL_S4_RAW       0x02u /* the value is not compressed */
#define SHL_S4_BYTES     0x04u /* the value is bytes, not text */

static inline uint64_t shl_s4_file_id(uint32_t writer, uint32_t seq)
{
    return (uint64_t)writer << 32 | seq;
}
static inline uint32_t shl_s4_writer_of(uint64_t id)
{
    return (uint32_t)(id >> 32);
}
static inline uint32_t shl_s4_seq_of(uint64_t id)
{
    return (uint32_t)id;
}

/* Where a record lies. */
struct shl_s4_loc {
    uint64_t file; /* id */
    uint64_t offset;
    uint32_t length; /* the whole record */
};

/* data_<writer, 8 hex digits>_<sequence, at least 6 digits>.s4db; of writer 0 data_<sequence>.s4db. */
void shl_s4_name(uint64_t file, char out[SHL_S4_NAME_BYTES]);
/* False if `name` (without folders) is not what shl_s4_name makes of some id: those names are nobody's data files. */
SHL_MUST bool shl_s4_name_parse(const char *name, uint64_t *out_file);

/* version: 1 or 2. */
void shl_s4_header(uint8_t version, uint32_t seq, uint8_t out[SHL_S4_HEADER_BYTES]);
/* CORRUPTION: no magic, or a version that is neither 1 nor 2. */
SHL_MUST shale_code shl_s4_header_check(struct shl_slice front, shale_error *err);

/* A record, taken apart. Slices are borrowed from the record. */
struct shl_s4_record {
    uint8_t flags;
    struct shl_slice key;
    struct shl_slice stored; /* the value as it lies there */
};

/* Appends a record to `out`. version 1: always compressed, and flags are 00 or 01 only; version 2: compressed only if that is shorter.
 * REQUIRES: key at most SHL_S4_KEY_MAX bytes. Errors: NOMEM, INVALID (the value is too long, or bytes in version 1). */
SHL_MUST shale_code shl_s4_put_encode(uint8_t version, struct shl_slice key, struct shl_slice value,
                                      bool is_bytes, struct shl_buf *out, shale_error *err);
SHL_MUST shale_code shl_s4_tombstone_encode(struct shl_slice key, struct shl_buf *out,
                                            shale_error *err);

/* Checks length, CRC and flags of a whole record, in this order. CORRUPTION says what is wrong with both numbers. */
SHL_MUST shale_code shl_s4_record_decode(struct shl_slice whole, struct shl_s4_record *out,
                                         shale_error *err);
/* Appends the value. Errors: CORRUPTION (Snappy), NOMEM. */
SHL_MUST shale_code shl_s4_value_decode(const struct shl_s4_record *r, struct shl_buf *out,
                                        shale_error *err);

/* What a reader of records back to back finds at the front of `rest` (the bytes up to the end of the file, or fewer). */
enum shl_s4_step {
    SHL_S4_STEP_RECORD, /* a whole good one, of *out_length bytes */
    SHL_S4_STEP_MORE,   /* it goes on behind `rest`: at least *out_length bytes are needed */
    SHL_S4_STEP_BAD     /* damaged: err says how */
};
enum shl_s4_step shl_s4_step(struct shl_slice rest, struct shl_s4_record *out, uint64_t *out_length,
                             shale_error *err);

/* ---- the index */

struct shl_s4_index_head {
    uint8_t version;
    uint32_t next_file_num;
    uint32_t count;
};
/* Told of each entry, in order. Any code but OK ends the reading and is returned. */
typedef shale_code (*shl_s4_entry_fn)(void *ctx, struct shl_slice key, struct shl_s4_loc loc,
                                      shale_error *err);
/* Checks the whole blob, then tells `head`, then the entries. head_fn, entry_fn may be NULL. Errors: CORRUPTION with the offset. */
SHL_MUST shale_code shl_s4_index_decode(struct shl_slice blob,
                                        shale_code (*head_fn)(void *ctx,
                                                              const struct shl_s4_index_head *head,
                                                              shale_error *err),
                                        shl_s4_entry_fn entry_fn, void *ctx, shale_error *err);

/* Writing one: begin, as many entries as the head says, end. Version 1 takes files of writer 0 only. Errors: NOMEM. */
SHL_MUST shale_code shl_s4_index_begin(struct shl_buf *out, const struct shl_s4_index_head *head,
                                       shale_error *err);
SHL_MUST shale_code shl_s4_index_entry(struct shl_buf *out, uint8_t version, struct shl_slice key,
                                       struct shl_s4_loc loc, shale_error *err);
SHL_MUST shale_code shl_s4_index_end(struct shl_buf *out, uint8_t version, shale_error *err);

#endif
