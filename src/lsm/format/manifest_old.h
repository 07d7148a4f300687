/* Manifests that are too old to be read. Pure. */
#ifndef SHL_LSM_MANIFEST_OLD_H
#define SHL_LSM_MANIFEST_OLD_H

#include "base/bytes.h"

/* "0.2" or "0.3 or 0.4", static, if a manifest that does not read as today's is one of these releases of SlateDB; else NULL. */
const char *shl_manifest_old_release(struct shl_slice file);

#endif
