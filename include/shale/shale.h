/* Shale: a database in your bucket. Includes all public headers. SPDX-License-Identifier: Apache-2.0 */
#ifndef SHALE_H
#define SHALE_H

#include <shale/admin.h>
#include <shale/checkpoint.h>
#include <shale/compactor.h>
#include <shale/db.h>
#include <shale/error.h>
#include <shale/gc.h>
#include <shale/hooks.h>
#include <shale/manage.h>
#include <shale/metrics.h>
#include <shale/options.h>
#include <shale/s4.h>
#include <shale/sql.h>
#include <shale/sst.h>
#include <shale/store.h>
#include <shale/txn.h>
#include <shale/types.h>
#include <shale/version.h>
#include <shale/wal.h>

#endif
