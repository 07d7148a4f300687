#include "sql/sqlite_env.h"

#include "base/env/env.h"
#include "sql/vfs.h"
#include <string.h>

/* ---- memory: the size stands in front of each piece, for SQLite asks for it */

#define HEAD_BYTES 16 /* keeps the alignment */

static void *mem_alloc(int size)
{
    char *p = env_alloc((size_t)size + HEAD_BYTES);
    if (p == NULL)
        return NULL;
    memcpy(p, &size, sizeof size);
    return p + HEAD_BYTES;
}

static void mem_free(void *p)
{
    if (p != NULL)
        env_free((char *)p - HEAD_BYTES);
}

static int mem_size(void *p)
{
    int size = 0;
    if (p != NULL)
        memcpy(&size, (char *)p - HEAD_BYTES, sizeof size);
    return size;
}

static void *mem_realloc(void *p, int size)
{
    char *fresh = env_realloc((char *)p - HEAD_BYTES, (size_t)size + HEAD_BYTES);
    if (fresh == NULL)
        return NULL;
    memcpy(fresh, &size, sizeof size);
    return fresh + HEAD_BYTES;
}

static int mem_roundup(int size)
{
    return (size + 7) & ~7;
}

static int mem_init(void *ignored)
{
    (void)ignored;
    return SQLITE_OK;
}

static void mem_shutdown(void *ignored)
{
    (void)ignored;
}

/* ---- mutexes */

#define STATIC_MUTEXES 16

struct sqlite3_mutex {
    struct env_mutex mu;
    uint32_t owner; /* task index + 1; only looked at by who holds it, or to find that out */
    uint32_t depth;
    bool is_recursive;
    bool is_static;
};

static struct sqlite3_mutex statics[STATIC_MUTEXES];

static int mutex_init(void)
{
    for (size_t i = 0; i < STATIC_MUTEXES; i++) {
        statics[i].is_static = true;
        env_mutex_init(&statics[i].mu);
    }
    return SQLITE_OK;
}

static int mutex_end(void)
{
    return SQLITE_OK;
}

static sqlite3_mutex *mutex_alloc(int kind)
{
    if (kind >= SQLITE_MUTEX_STATIC_MAIN && kind < SQLITE_MUTEX_STATIC_MAIN + STATIC_MUTEXES)
        return &statics[kind - SQLITE_MUTEX_STATIC_MAIN];
    struct sqlite3_mutex *m = env_calloc(1, sizeof *m);
    if (m != NULL) {
        m->is_recursive = kind == SQLITE_MUTEX_RECURSIVE;
        env_mutex_init(&m->mu);
    }
    return m;
}

static void mutex_free(sqlite3_mutex *m)
{
    if (m->is_static)
        return;
    env_mutex_deinit(&m->mu);
    env_free(m);
}

static void mutex_enter(sqlite3_mutex *m)
{
    uint32_t me = env_task_index() + 1;
    if (m->is_recursive && m->owner == me) {
        m->depth++;
        return;
    }
    env_mutex_lock(&m->mu);
    m->owner = me;
}

static int mutex_try(sqlite3_mutex *m)
{
    uint32_t me = env_task_index() + 1;
    if (m->is_recursive && m->owner == me) {
        m->depth++;
        return SQLITE_OK;
    }
    if (!env_mutex_trylock(&m->mu))
        return SQLITE_BUSY;
    m->owner = me;
    return SQLITE_OK;
}

static void mutex_leave(sqlite3_mutex *m)
{
    if (m->depth > 0) {
        m->depth--;
        return;
    }
    m->owner = 0;
    env_mutex_unlock(&m->mu);
}

static int mutex_held(sqlite3_mutex *m)
{
    return m->owner == env_task_index() + 1;
}

static int mutex_not_held(sqlite3_mutex *m)
{
    return !mutex_held(m);
}

shale_code shl_sql_use_env(shale_error *err)
{
    static const sqlite3_mem_methods memory = {.xMalloc = mem_alloc,
                                               .xFree = mem_free,
                                               .xRealloc = mem_realloc,
                                               .xSize = mem_size,
                                               .xRoundup = mem_roundup,
                                               .xInit = mem_init,
                                               .xShutdown = mem_shutdown};
    static const sqlite3_mutex_methods mutexes = {.xMutexInit = mutex_init,
                                                  .xMutexEnd = mutex_end,
                                                  .xMutexAlloc = mutex_alloc,
                                                  .xMutexFree = mutex_free,
                                                  .xMutexEnter = mutex_enter,
                                                  .xMutexTry = mutex_try,
                                                  .xMutexLeave = mutex_leave,
                                                  .xMutexHeld = mutex_held,
                                                  .xMutexNotheld = mutex_not_held};
    int rc = sqlite3_config(SQLITE_CONFIG_MALLOC, &memory);
    if (rc == SQLITE_OK)
        rc = sqlite3_config(SQLITE_CONFIG_MUTEX, &mutexes);
    if (rc == SQLITE_OK)
        rc = sqlite3_config(SQLITE_CONFIG_MEMSTATUS,
                            0); /* one counter of all processes would be shared */
    return rc == SQLITE_OK ? shl_sql_setup(err)
                           : shl_sql_fail(NULL, rc, SHALE_INTERNAL, "set SQLite up", err);
}
