/* SQLite's mutexes and memory through the env, for a process in which SQLite is ours alone: the simulation. A library may not do that to its host, whose
 * own connections use the same SQLite; there only the files of our connections go through the env (vfs.h). */
#ifndef SHL_SQL_SQLITE_ENV_H
#define SHL_SQL_SQLITE_ENV_H

#include "base/err.h"

/* Before anything else of SQLite, by one task. Errors: INTERNAL (SQLite was used already). */
SHL_MUST shale_code shl_sql_use_env(shale_error *err);

#endif
