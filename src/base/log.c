#include "base/log.h"

#include "base/assert.h"
#include "base/num.h"
#include "base/str.h"
#include <stdarg.h>
#include <stdio.h>

static const char *const level_names[] = {[SHL_LOG_ERROR] = "error",
                                          [SHL_LOG_WARN] = "warn",
                                          [SHL_LOG_INFO] = "info",
                                          [SHL_LOG_DEBUG] = "debug"};

void shl_log_write(const struct shl_log *log, enum shl_log_level level, const char *format, ...)
{
    if (!shl_log_on(log, level))
        return;
    char text[SHL_LOG_LINE_BYTES];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0)
        return;
    /* A key or a server's answer may carry line ends: one event stays one line. */
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    }
    log->sink(log->ctx, level, text);
}

const char *shl_log_level_name(enum shl_log_level level)
{
    SHL_ASSERT((size_t)level < SHL_COUNT_OF(level_names));
    return level_names[level];
}

bool shl_log_level_parse(const char *name, enum shl_log_level *out)
{
    for (size_t i = 0; i < SHL_COUNT_OF(level_names); i++) {
        if (shl_str_ieq(name, level_names[i])) {
            *out = (enum shl_log_level)i;
            return true;
        }
    }
    return false;
}
