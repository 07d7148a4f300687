/* Version of the library. SPDX-License-Identifier: Apache-2.0 */
#ifndef SHALE_VERSION_H
#define SHALE_VERSION_H

#include <shale/export.h>

#define SHALE_VERSION_MAJOR  0
#define SHALE_VERSION_MINOR  1
#define SHALE_VERSION_PATCH  0
#define SHALE_VERSION_STRING "0.1.0"

SHALE_BEGIN_DECLS

/* The version of the library that is linked, e.g. "0.1.0". Static storage; any thread. */
SHALE_API const char *shale_version(void);

/* The libraries that this one was linked with, and their versions ("zstd", "1.5.4"); texts are borrowed until visit returns. */
SHALE_API void shale_libraries_each(void (*visit)(void *ctx, const char *name, const char *version), void *ctx);

SHALE_END_DECLS

#endif
