/* Log lines: "what happened key=value key=value", handed to a sink. No globals: whoever logs was given a struct shl_log. */
#ifndef SHL_BASE_LOG_H
#define SHL_BASE_LOG_H

#include "base/bytes.h"

enum shl_log_level { SHL_LOG_ERROR = 0, SHL_LOG_WARN = 1, SHL_LOG_INFO = 2, SHL_LOG_DEBUG = 3 };

/* A value; the sink must be callable from any thread. NULL pointer or sink: silent. */
struct shl_log {
    /* `text` is one line without its end, borrowed until the sink returns. Never called with a lock held. */
    void (*sink)(void *ctx, enum shl_log_level level, const char *text); /* [const] */
    void *ctx;                                                          /* [const] */
    enum shl_log_level level_max;                                       /* [const] lines above it are not formatted */
};

#define SHL_LOG_LINE_BYTES 1024 /* longer lines are cut */

static inline bool shl_log_on(const struct shl_log *log, enum shl_log_level level)
{
    return log != NULL && log->sink != NULL && level <= log->level_max;
}

/* Formats and hands over one line; control characters in it become blanks. Costs nothing where the level is off. */
void shl_log_write(const struct shl_log *log, enum shl_log_level level, const char *format, ...) SHL_PRINTF(3, 4);

/* "error", "warn", "info", "debug". */
const char *shl_log_level_name(enum shl_log_level level);
/* In any letter case; false if unknown. */
SHL_MUST bool shl_log_level_parse(const char *name, enum shl_log_level *out);

#endif
