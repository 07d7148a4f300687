/* What the three settings-file readers (json, toml, yaml) say about a file: one event per setting, each name once. */
#ifndef SHL_CODEC_SETTING_SINK_H
#define SHL_CODEC_SETTING_SINK_H

#include "base/array.h"
#include "base/bytes.h"

enum shl_setting_kind {
    SHL_SETTING_STRING,
    SHL_SETTING_INTEGER,
    SHL_SETTING_FLOAT,
    SHL_SETTING_BOOL, /* text "true" or "false" */
    SHL_SETTING_NULL  /* text "none" */
};

/* All borrowed until the callback returns. */
struct shl_setting {
    struct shl_slice name; /* dotted: compactor_options.worker.max_sst_size; an array's items are name[0], name[1] */
    struct shl_slice value;
    enum shl_setting_kind kind;
    uint32_t line; /* 1-based; 0 where the reader does not know (JSON) */
};

/* Not SHALE_OK stops the reading; the reader puts "line N: " before the text and returns the code. */
typedef shale_code (*shl_setting_fn)(void *ctx, const struct shl_setting *setting, shale_error *err);

#define SHL_SETTINGS_MAX           4096 /* in one file */
#define SHL_SETTING_NAME_BYTES_MAX 512
#define SHL_SETTING_DEPTH_MAX      16

/* The readers' common part: dotted names being built, and which were there. */
struct shl_setting_sink {
    shl_setting_fn fn;
    void *ctx;
    struct shl_buf name; /* owned */
    SHL_ARRAY(struct shl_seen_name) seen;
};

struct shl_seen_name {
    char *name; /* owned */
    uint64_t hash;
    bool is_table;
    bool is_declared; /* a table that was declared, not only implied by a dotted name */
};

void shl_setting_sink_init(struct shl_setting_sink *s, shl_setting_fn fn, void *ctx);
void shl_setting_sink_deinit(struct shl_setting_sink *s);

/* Appends ".key" (or "key" to an empty name) or "[index]"; *out_mark is for _pop. INVALID: empty, or the name grows too long. */
SHL_MUST shale_code shl_setting_sink_push(struct shl_setting_sink *s, struct shl_slice key, size_t *out_mark,
                                          shale_error *err);
SHL_MUST shale_code shl_setting_sink_push_index(struct shl_setting_sink *s, size_t index, size_t *out_mark,
                                                shale_error *err);
void shl_setting_sink_pop(struct shl_setting_sink *s, size_t mark);

/* Hands the value of the present name on. INVALID if the name, or a part before one of its dots, has a value already, or it is a
 * table; the text names it and, if line is not 0, begins with "line N: ". So do the callback's errors. */
SHL_MUST shale_code shl_setting_sink_value(struct shl_setting_sink *s, struct shl_slice value,
                                           enum shl_setting_kind kind, uint32_t line, shale_error *err);
/* Declares the present name a table; INVALID if it has a value, or was declared before (to have stood before a dot is no matter). */
SHL_MUST shale_code shl_setting_sink_table(struct shl_setting_sink *s, uint32_t line, shale_error *err);

#endif
