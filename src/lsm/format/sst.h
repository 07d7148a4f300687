/* The parts of an SST file around its blocks: blobs, index, filter, stats, info, footer. Pure. slatedb-format 2.
 *
 *   data blocks | filter | index | stats | info FlatBuffer, crc32 | u64 BE info offset | u16 BE version
 * A blob (block, filter, index, stats) is T(C(raw)) | crc32 BE: C compression, T transformer. */
#ifndef SHL_LSM_SST_H
#define SHL_LSM_SST_H

#include "base/array.h"
#include "base/codec/ulid.h"
#include "lsm/format/row.h"
#include <stdatomic.h>

#define SHL_SST_FOOTER_BYTES 10
#define SHL_CRC_BYTES        4

enum shl_compression { /* stored number */
    SHL_COMPRESSION_NONE = 0,
    SHL_COMPRESSION_SNAPPY = 1,
    SHL_COMPRESSION_ZLIB = 2,
    SHL_COMPRESSION_LZ4 = 3,
    SHL_COMPRESSION_ZSTD = 4
};

/* A user transformer of stored bytes (e.g. encryption); the length may change by `overhead` bytes at most. */
struct shl_transformer {
    shale_code (*encode)(void *ctx, struct shl_slice in, struct shl_buf *out, shale_error *err); /* appends */
    shale_code (*decode)(void *ctx, struct shl_slice in, struct shl_buf *out, shale_error *err); /* appends */
    size_t overhead;
    void *ctx;
};
/* XOR with one byte, as in the golden case 49. ctx is the byte as (uintptr_t). */
struct shl_transformer shl_transformer_xor(uint8_t byte);

/* How blobs of one file are coded. transformer may be NULL. */
struct shl_blob_codec {
    enum shl_compression compression;
    const struct shl_transformer *transformer;
};

/* Appends T(C(raw)) | crc to out. scratch is reused between calls. */
SHL_MUST shale_code shl_blob_encode(const struct shl_blob_codec *codec, struct shl_slice raw,
                                    struct shl_buf *scratch, struct shl_buf *out, shale_error *err);
/* For bytes with a right crc that make no sense: the text gets why that may be. */
void shl_blob_explain(const struct shl_blob_codec *codec, shale_code rc, shale_error *err);
/* Checks the crc and decodes. Without compression and transformer *out_raw points into `blob` and `out` is untouched; else the raw
 * bytes are appended to `out` and *out_raw points there. raw is never larger than raw_max bytes (else CORRUPTION). */
SHL_MUST shale_code shl_blob_decode(const struct shl_blob_codec *codec, struct shl_slice blob, size_t raw_max,
                                    struct shl_buf *scratch, struct shl_buf *out, struct shl_slice *out_raw,
                                    shale_error *err);
#define SHL_BLOB_RAW_MAX (UINT32_MAX - 1) /* largest raw blob that is accepted */

enum shl_sst_type { SHL_SST_COMPACTED = 0, SHL_SST_WAL = 1 };
enum shl_filter_format { SHL_FILTER_LEGACY = 0, SHL_FILTER_COMPOSITE = 1 };

/* SsTableInfo (slatedb-format 3.3). Slices point into the memory of whoever holds the struct. */
struct shl_sst_info {
    struct shl_slice first_entry; /* first key; WAL: 8-byte BE seq; data NULL if absent */
    struct shl_slice last_entry;  /* data NULL if absent: upper bound unknown */
    bool has_first_entry;
    bool has_last_entry;
    uint64_t index_offset, index_len;
    uint64_t filter_offset, filter_len; /* filter_len 0: no filter */
    uint64_t stats_offset, stats_len;
    enum shl_compression compression;
    enum shl_sst_type type;
    enum shl_filter_format filter_format;
};

/* Decodes an SsTableInfo FlatBuffer; slices point into `bytes`. Checks enum values, and that offsets and lengths do not overflow. */
SHL_MUST shale_code shl_sst_info_decode(struct shl_slice bytes, struct shl_sst_info *out, shale_error *err);
/* Appends the FlatBuffer, byte-equal to SlateDB's. */
SHL_MUST shale_code shl_sst_info_encode(const struct shl_sst_info *info, struct shl_buf *out, shale_error *err);

/* The last bytes of a file: `tail` ends at the end of the object of object_bytes bytes. On SHALE_OK version is 1 or 2 and
 * *info_offset .. object_bytes - 10 is the info blob (FlatBuffer | crc32). */
SHL_MUST shale_code shl_sst_footer_decode(struct shl_slice tail, uint64_t object_bytes, uint64_t *info_offset,
                                          unsigned *version, shale_error *err);
/* Checks crc of `FlatBuffer | crc32` and decodes. */
SHL_MUST shale_code shl_sst_info_blob_decode(struct shl_slice blob, struct shl_sst_info *out, shale_error *err);
/* Appends FlatBuffer | crc32 | footer; `out` holds the whole file up to the info (so out->len + base is the info offset), base = bytes
 * of the file that were already handed on. */
SHL_MUST shale_code shl_sst_tail_encode(const struct shl_sst_info *info, uint64_t base, unsigned version,
                                        struct shl_buf *out, shale_error *err);

/* ---- index */
struct shl_sst_index_entry {
    uint64_t offset;              /* of the block in the file */
    uint32_t encoded_len;         /* 0: up to the next offset */
    struct shl_slice first_key;   /* separator; WAL: BE seq */
};
struct shl_sst_index {
    SHL_ARRAY(struct shl_sst_index_entry) blocks;
};
/* The index as stored, checked; one entry at a time. Pointers into `raw`. */
struct shl_sst_index_view {
    const uint8_t *raw;
    size_t at;       /* of the vector of entries */
    uint32_t count;  /* blocks */
    uint64_t data_end;
    uint64_t key_bytes; /* of all first keys but that of block 0 */
};
/* Checks as decode does, which makes an array of it. */
SHL_MUST shale_code shl_sst_index_open(struct shl_slice raw, uint64_t data_end, bool check_keys,
                                       struct shl_sst_index_view *out, shale_error *err);
/* Entry i < count, as stored. */
struct shl_sst_index_entry shl_sst_index_at(const struct shl_sst_index_view *v, uint32_t i);

/* Slices point into `raw`. Checks: offsets strictly ascending, every block within [0, data_end) and at least
 * SHL_CRC_BYTES + 1 long, keys ascending (memcmp) where check_keys. */
SHL_MUST shale_code shl_sst_index_decode(struct shl_slice raw, uint64_t data_end, bool check_keys,
                                         struct shl_sst_index *out, shale_error *err);
void shl_sst_index_deinit(struct shl_sst_index *index);
SHL_MUST shale_code shl_sst_index_encode(const struct shl_sst_index *index, struct shl_buf *out, shale_error *err);
/* Where the data blocks end: filter_offset if there is a filter, else index_offset. */
uint64_t shl_sst_data_end(const struct shl_sst_info *info);
/* Length with crc of block i (padding of aligned files not counted where encoded_len says so). */
uint64_t shl_sst_block_len(const struct shl_sst_index *index, size_t i, uint64_t data_end);
/* Appends the separator for a block that begins with `first` after `prev_last` (slatedb-format 2.5); its length is <= first.len. */
size_t shl_sst_separator_len(struct shl_slice prev_last, struct shl_slice first);

/* ---- stats */
struct shl_block_stats {
    uint16_t puts, deletes, merges;
};
struct shl_sst_stats {
    uint64_t puts, deletes, merges;
    uint64_t raw_key_bytes, raw_value_bytes;
    SHL_ARRAY(struct shl_block_stats) blocks;
};
SHL_MUST shale_code shl_sst_stats_decode(struct shl_slice raw, struct shl_sst_stats *out, shale_error *err);
void shl_sst_stats_deinit(struct shl_sst_stats *stats);
SHL_MUST shale_code shl_sst_stats_encode(const struct shl_sst_stats *stats, struct shl_buf *out, shale_error *err);

/* ---- filter */
/* The prefix of a key by an extractor ("3": first bytes; "slash": up to and including the first '/'). */
enum shl_extractor_kind { SHL_EXTRACT_NONE, SHL_EXTRACT_FIXED, SHL_EXTRACT_SLASH, SHL_EXTRACT_USER };
struct shl_extractor {
    enum shl_extractor_kind kind;
    size_t fixed_len;
    char name[32]; /* stored name: "fixed3", "upto-slash" */
    /* USER; pure and quick, for lookups ask it inside an epoch. is_beginning: `key` is what keys begin with. */
    bool (*prefix)(void *ctx, struct shl_slice key, bool is_beginning, size_t *out_len);
    void *ctx;
};
/* From "N" or "slash"; false if it is neither. */
SHL_MUST bool shl_extractor_parse(const char *text, struct shl_extractor *out);
/* Length of the prefix of `key`, or false if it has none. */
bool shl_extractor_prefix(const struct shl_extractor *x, struct shl_slice key, size_t *out_len);
/* The prefix that all keys have which begin with `beginning`, or false if they may differ. */
bool shl_extractor_prefix_of_all(const struct shl_extractor *x, struct shl_slice beginning, size_t *out_len);

struct shl_filter_policy { /* the built-in Bloom policy */
    uint32_t bits_per_key;   /* 0: no filter is written */
    bool whole_key;          /* false appends ":wh=0" to the name */
    struct shl_extractor extractor;
};
/* The stored policy name, e.g. "_bf:p=fixed3:wh=0". */
void shl_filter_policy_name(const struct shl_filter_policy *p, char out[96]);

/* A Bloom bit array that was found in a filter block; points into the block. */
struct shl_bloom {
    const uint8_t *bits;
    uint64_t nbits;     /* 0: answers no to everything */
    uint64_t reciprocal; /* for the reductions, set by decode */
    uint32_t probes;
    bool present;       /* false: no usable filter, answer maybe */
};
/* Finds the payload of `policy` in a raw filter block. A name that is not there gives present = false. */
SHL_MUST shale_code shl_filter_decode(struct shl_slice raw, enum shl_filter_format format,
                                      const struct shl_filter_policy *policy, struct shl_bloom *out, shale_error *err);
bool shl_bloom_may_contain(const struct shl_bloom *b, uint64_t hash);
/* may_contain in two halves: notes the bits and starts loading their lines, if the first one is set; else false. */
#define SHL_BLOOM_BITS_MAX 16
struct shl_bloom_bits {
    uint64_t at[SHL_BLOOM_BITS_MAX];
    uint32_t count; /* 0: ask shl_bloom_may_contain */
};
bool shl_bloom_begin(const struct shl_bloom *b, uint64_t hash, struct shl_bloom_bits *out);
bool shl_bloom_end(const struct shl_bloom *b, uint64_t hash, const struct shl_bloom_bits *bits);
/* Only the first bit of it. */
bool shl_bloom_first_bit(const struct shl_bloom *b, uint64_t hash);
/* First byte that a probe of `hash` will touch, for prefetching; NULL if none. */
const uint8_t *shl_bloom_first_line(const struct shl_bloom *b, uint64_t hash);
/* SipHash-1-3, zero key. */
uint64_t shl_filter_hash(struct shl_slice key);
/* The Bloom filter of the hashes in file order as shl_filter_append would; with 0 bits nothing. They come in pieces, each an array of uint64_t. */
SHL_MUST shale_code shl_filter_encode(const struct shl_filter_policy *policy, const struct shl_slice *pieces, size_t count,
                                      struct shl_buf *out, shale_error *err);

/* ---- filters of the application, each stored under its name behind the Bloom filter */
#define SHL_FILTER_NAME_MAX 127
struct shl_filter_query {
    struct shl_slice key; /* whole, or (is_prefix) what the keys of a scan begin with */
    bool is_prefix;
    struct shl_slice context; /* of the read, as the caller gave it */
};
/* From any task. A filter is only a help: where it cannot be made, the file has none of that name. */
struct shl_user_filter {
    const char *name; /* 1 .. SHL_FILTER_NAME_MAX bytes */
    bool (*begin)(void *ctx, void **builder); /* of one file; false: none */
    bool (*add)(void *ctx, void *builder, const struct shl_row *row); /* in file order; false: none */
    /* Once for each begin that succeeded. out NULL: given up; else appends the filter's bytes. False: none. */
    bool (*end)(void *ctx, void *builder, struct shl_buf *out);
    /* Pure and quick: asked inside an epoch. `filter` is what end gave, or whatever else is stored under the name. */
    bool (*may_match)(void *ctx, struct shl_slice filter, const struct shl_filter_query *query);
    void *ctx;
};
struct shl_user_filters {
    const struct shl_user_filter *items; /* borrowed */
    size_t count;
};
/* The data of the filter with this name in a raw filter block that has names; data NULL if there is none. All lengths are checked. */
SHL_MUST shale_code shl_filter_find(struct shl_slice raw, struct shl_slice name, struct shl_slice *out, shale_error *err);
/* Appends a named filter to the raw composite block `block`, which begins with it if it is empty. */
SHL_MUST shale_code shl_filter_append(struct shl_slice name, struct shl_slice data, struct shl_buf *block, shale_error *err);

/* ---- an SST as manifests and compactions name it: immutable, counted */
struct shl_sst_desc {
    _Atomic uint32_t refs;
    uint32_t format_version; /* 1 or 2: block format */
    bool has_format_version; /* false: the field was absent (read as 1) */
    struct shl_ulid id;
    struct shl_sst_info info; /* slices point behind this struct */
};
/* Copies what info points to. */
SHL_MUST shale_code shl_sst_desc_new(struct shl_ulid id, unsigned format_version, bool has_format_version,
                                     const struct shl_sst_info *info, struct shl_sst_desc **out, shale_error *err);
struct shl_sst_desc *shl_sst_desc_ref(struct shl_sst_desc *d);
void shl_sst_desc_unref(struct shl_sst_desc *d); /* NULL is fine */

#endif
