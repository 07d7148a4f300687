#include <shale/version.h>

const char *shale_version(void)
{
    return SHALE_VERSION_STRING;
}
