/* Option tables: name, type, limits, default and help of each field of a settings struct. One table drives setting by name
 * (command line, files, environment), printing back, help and documentation.
 *
 *   static const struct shl_opt opts[] = {
 *       {.name = "flush_interval", .type = SHL_OPT_DURATION, .nullable = true, .default_text = "100ms",
 *        .offset = offsetof(struct settings, flush_interval_ns), .help = "WAL flush timer; none = only on demand"}, ...
 *
 * Tables are constants; the functions are pure (any thread) but for the target struct, which is the caller's. */
#ifndef SHL_BASE_OPTABLE_H
#define SHL_BASE_OPTABLE_H

#include "base/bytes.h"

enum shl_opt_type {     /* type of the field; its "none" if nullable */
    SHL_OPT_BOOL,       /* bool; never nullable */
    SHL_OPT_U32,        /* uint32_t; UINT32_MAX */
    SHL_OPT_U64,        /* uint64_t; UINT64_MAX */
    SHL_OPT_I64,        /* int64_t, not below 0; INT64_MIN */
    SHL_OPT_F64,        /* double; never nullable */
    SHL_OPT_SIZE32,     /* uint32_t, bytes; UINT32_MAX */
    SHL_OPT_SIZE,       /* uint64_t, bytes; UINT64_MAX */
    SHL_OPT_DURATION,   /* uint64_t, nanoseconds; UINT64_MAX */
    SHL_OPT_ENUM,       /* an enum without negative words (unsigned int); nullable: "none" means words[0] */
    SHL_OPT_STRING,     /* char *, owned (env_free); NULL */
    SHL_OPT_TABLE       /* bool: false if a whole group (compactor_options) is null; "none" or "default" */
};

struct shl_opt_word {
    const char *name; /* NULL ends the list */
    unsigned value;
};

struct shl_opt {
    const char *name; /* dotted */
    enum shl_opt_type type;
    bool nullable;
    size_t offset;                     /* of the field in the struct */
    const char *default_text;          /* NULL: none */
    uint64_t min;                      /* numbers only, in base units (bytes, ns) */
    uint64_t max;                      /* inclusive; 0: no limit but the type's */
    const struct shl_opt_word *words;  /* ENUM only */
    const char *unit;                  /* of bare numbers, for help ("ms", "bits"); NULL */
    const char *help;                  /* one line */
    const char *since;                 /* version; NULL: always there */
};

struct shl_optable {
    const struct shl_opt *opts;
    size_t count;
};

/* How numbers without a unit are read. */
enum shl_opt_source {
    SHL_OPT_FROM_FILE, /* files, environment, API: a bare duration is seconds, as in SlateDB */
    SHL_OPT_FROM_USER  /* command line: a bare duration is refused */
};

/* True if an environment variable of this name (behind its prefix) means the option `known`: in upper case, with a dot, as SlateDB writes it, or with
 * the _ that a shell can export for each dot. */
bool shl_opt_is_variable(const char *known, struct shl_slice variable);
/* NULL if unknown. variable: by a name of the environment. */
const struct shl_opt *shl_optable_find(const struct shl_optable *t, struct shl_slice name, bool variable);
/* INVALID: `unknown setting "l0_sst_size": did you mean l0_sst_size_bytes (size, default 64MiB)?` */
shale_code shl_optable_unknown(const struct shl_optable *t, struct shl_slice name, shale_error *err);

/* Reads `value` into the field of *target. "none" and "null" (any case) set a nullable one to none. INVALID leaves it as it was, with
 * a text that begins with the name; NOMEM only for strings. */
SHL_MUST shale_code shl_opt_set(const struct shl_opt *opt, void *target, struct shl_slice value,
                                enum shl_opt_source source, shale_error *err);
/* find, then set. */
SHL_MUST shale_code shl_optable_set(const struct shl_optable *t, void *target, struct shl_slice name,
                                    struct shl_slice value, enum shl_opt_source source, shale_error *err);
/* Sets every field to its default. `target` must be zeroed or have been set up by this before. A default that does not parse
 * is asserted on. Errors: NOMEM (the other fields are set). */
SHL_MUST shale_code shl_optable_defaults(const struct shl_optable *t, void *target, shale_error *err);
/* Frees the strings and makes them none. */
void shl_optable_deinit(const struct shl_optable *t, void *target);
/* Copies the fields of the table; strings are duplicated. `to` as for defaults. NOMEM: `to` may hold some of them, still valid. */
SHL_MUST shale_code shl_optable_copy(const struct shl_optable *t, void *to, const void *from, shale_error *err);

/* Appends the value as text that shl_opt_set reads back to the same: "64MiB", "1s+500ms", "none". */
SHL_MUST shale_code shl_opt_format(const struct shl_opt *opt, const void *target, struct shl_buf *out, shale_error *err);
/* True if the field holds what the default text says. */
bool shl_opt_is_default(const struct shl_opt *opt, const void *target);
/* "bool", "u32", "u64", "i64", "number", "size", "duration", "word", "text", "table". */
const char *shl_opt_type_name(const struct shl_opt *opt);

#endif
