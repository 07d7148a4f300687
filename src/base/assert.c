#include "base/assert.h"

#include "base/env/env.h"
#include <stdio.h>

_Noreturn void shl_assert_failed(const char *expr, const char *file, int line)
{
    char text[512];
    snprintf(text, sizeof text, "assertion failed: %s (%s:%d)", expr, file, line);
    env_die(text);
}
