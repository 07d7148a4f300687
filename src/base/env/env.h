/* The one door to the operating system: tasks, locks, time, chance, memory, files.
 *
 * Two implementations, chosen when a source is compiled: the real one (posix_*.c) and, with SHL_SIM defined, the
 * deterministic one (sim_*.c: coroutines on one OS thread, virtual clock, seeded picks).
 * Nothing outside src/base/env calls pthread, time, rand, malloc or file functions (tools/check-layers holds that).
 *
 * Errors of the operating system are errno values (0 = done), because only the file store looks at them; memory
 * functions return NULL. */
#ifndef SHL_ENV_H
#define SHL_ENV_H

#include <shale/error.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifndef SHL_SIM
#include <pthread.h>
#endif

/* ---------------------------------------------------------------- memory */

/* At least 16-byte aligned; contents undefined. NULL if out of memory. size 0 gives a unique pointer. */
void *env_alloc(size_t size);
void *env_calloc(size_t count, size_t size); /* zeroed; NULL also if count*size overflows */
void *env_realloc(void *p, size_t size);     /* on NULL, p is untouched; p may be NULL */
void env_free(void *p);                      /* NULL is fine */
char *env_strdup(const char *s);

/* Memory aligned to `align` (a power of two, at most 2 MiB), freed with env_free_aligned only. From 2 MiB up, huge pages are
 * asked for. */
void *env_alloc_aligned(size_t align, size_t size);
void env_free_aligned(void *p);
/* The same for its `size` bytes, of which whole huge pages go back to the system at once: the C library may keep what it is given. */
void env_free_pages(void *p, size_t size);
/* For a program of its own, before all else: from now on what is freed of 1 MiB and more goes back to the system at once. glibc would keep pieces of up to
 * 32 MiB as soon as one of that size was freed, and tables that are written one after the other would leave holes. */
void env_return_large_blocks(void);

/* ---------------------------------------------------------------- tasks */

struct env_task; /* a thread, or a coroutine in the simulation */

/* Starts fn(arg). `name` is copied (at most 15 bytes are shown). *out must be given to env_task_join once.
 * SHALE_OK, or SHALE_NOMEM / SHALE_UNAVAILABLE if the system has no more. */
shale_code env_task_spawn(struct env_task **out, const char *name, void (*fn)(void *arg), void *arg);
void env_task_join(struct env_task *task);
void env_yield(void);

/* A small number, the same for the life of the calling task, and different among tasks that live at the same time as far
 * as possible: for spreading over slots. */
uint32_t env_task_index(void);

/* Spin politely: pause, then yield. *n counts the tries, starts at 0. True when the caller should stop
 * spinning and take the lock instead (n > 64). In the simulation it always yields. */
bool env_backoff(unsigned *n);

/* One pointer per task and slot. `dtor`, if not NULL, is called with the pointer when the task ends. */
enum env_tls_slot {
    ENV_TLS_CODEC,   /* base/codec/compress: reused codec contexts */
    ENV_TLS_JSON,    /* base/codec/json: an allocation of jansson failed in this task */
    ENV_TLS_DIGEST,  /* base/codec/digest: reused digest contexts */
    ENV_TLS_CIPHER,  /* base/codec/aead: a reused cipher context */
    ENV_TLS_WAITER,  /* store/http: what the task waits with for its answers */
    ENV_TLS_TRACE,   /* lsm/trace: the read that the task works for, if it is traced */
    ENV_TLS_SLOTS
};
void *env_tls_get(enum env_tls_slot slot);
void env_tls_set(enum env_tls_slot slot, void *value, void (*dtor)(void *value));

/* ---------------------------------------------------------------- locks */

#ifdef SHL_SIM
struct env_sim_wait {
    struct env_task *head;
    struct env_task *tail;
};
struct env_mutex {
    struct env_task *owner;
    struct env_sim_wait waiters;
    uint32_t alive; /* a magic number between init and deinit */
    uint32_t group; /* the memory owner at init: who suffers if a killed task held it */
};
struct env_cond {
    struct env_sim_wait waiters;
    uint32_t alive;
    uint32_t group;
};
#else
struct env_mutex {
    pthread_mutex_t m;
};
struct env_cond {
    pthread_cond_t c; /* monotonic clock */
};
#endif

void env_mutex_init(struct env_mutex *m);
void env_mutex_deinit(struct env_mutex *m);
void env_mutex_lock(struct env_mutex *m);
bool env_mutex_trylock(struct env_mutex *m);
void env_mutex_unlock(struct env_mutex *m);

void env_cond_init(struct env_cond *c);
void env_cond_deinit(struct env_cond *c);
void env_cond_wait(struct env_cond *c, struct env_mutex *m); /* may wake without a signal */
/* False when the deadline (env_now_mono_ns clock) passed. UINT64_MAX never passes. */
bool env_cond_wait_until(struct env_cond *c, struct env_mutex *m, uint64_t deadline_mono_ns);
void env_cond_signal(struct env_cond *c);
void env_cond_broadcast(struct env_cond *c);

/* ---------------------------------------------------------------- atomics
 * Use these instead of bare atomic_*: in the simulation each is a point where another task may run. Declare the objects
 * _Atomic. No fences (ThreadSanitizer does not model them). */
#ifdef SHL_SIM
void env_sim_atomic_point(void);
#define ENV_ATOMIC_POINT() env_sim_atomic_point()
#else
#define ENV_ATOMIC_POINT() ((void)0)
#endif

#define env_load_relaxed(p)    (ENV_ATOMIC_POINT(), atomic_load_explicit((p), memory_order_relaxed))
#define env_load_acquire(p)    (ENV_ATOMIC_POINT(), atomic_load_explicit((p), memory_order_acquire))
#define env_load_seq(p)        (ENV_ATOMIC_POINT(), atomic_load_explicit((p), memory_order_seq_cst))
#define env_store_relaxed(p, v) (ENV_ATOMIC_POINT(), atomic_store_explicit((p), (v), memory_order_relaxed))
#define env_store_release(p, v) (ENV_ATOMIC_POINT(), atomic_store_explicit((p), (v), memory_order_release))
#define env_store_seq(p, v)    (ENV_ATOMIC_POINT(), atomic_store_explicit((p), (v), memory_order_seq_cst))
#define env_exchange(p, v)     (ENV_ATOMIC_POINT(), atomic_exchange_explicit((p), (v), memory_order_seq_cst))
#define env_fetch_add(p, v)    (ENV_ATOMIC_POINT(), atomic_fetch_add_explicit((p), (v), memory_order_relaxed))
#define env_fetch_sub_acq_rel(p, v)                                                                \
    (ENV_ATOMIC_POINT(), atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel))
#define env_fetch_or(p, v)     (ENV_ATOMIC_POINT(), atomic_fetch_or_explicit((p), (v), memory_order_seq_cst))
#define env_cas(p, expected, desired)                                                              \
    (ENV_ATOMIC_POINT(), atomic_compare_exchange_strong_explicit((p), (expected), (desired),       \
                                                                 memory_order_seq_cst,             \
                                                                 memory_order_seq_cst))

/* ---------------------------------------------------------------- time and chance */

uint64_t env_now_mono_ns(void); /* never goes back */
int64_t env_now_wall_ms(void);  /* since the Unix epoch */
void env_sleep_ns(uint64_t ns);
void env_sleep_until(uint64_t deadline_mono_ns);
#define ENV_NS_PER_MS  UINT64_C(1000000)
#define ENV_NS_PER_SEC UINT64_C(1000000000)

uint64_t env_rand64(void);
uint64_t env_rand_below(uint64_t bound); /* uniform in [0, bound); bound > 0 */
void env_rand_bytes(void *dst, size_t len);

/* CPU time (user + system) of the process in nanoseconds, and its peak resident memory in bytes. 0 in the simulation. */
uint64_t env_process_cpu_ns(void);
uint64_t env_process_peak_rss(void);
/* Processors that the process may use, at least 1: it may be bound to some (taskset), or its container granted a share of them. */
uint32_t env_cpu_count(void);
/* Of what a control group's cpu.max says, "QUOTA PERIOD" or "max PERIOD": as many processors, rounded up; 0: it grants all, or says nothing. */
uint32_t env_cpu_quota(const char *text);

/* ---------------------------------------------------------------- files (for store/file.c and settings files) */

enum env_open_flag {
    ENV_OPEN_READ = 1,
    ENV_OPEN_WRITE = 2,
    ENV_OPEN_CREATE = 4,    /* mode 0666 & umask */
    ENV_OPEN_EXCL = 8,
    ENV_OPEN_TRUNC = 16,
    ENV_OPEN_DIRECTORY = 32, /* for fsync and flock of a folder */
    ENV_OPEN_PRIVATE = 64,   /* a file that is made has mode 0600 */
    ENV_OPEN_NOFOLLOW = 128  /* not if the last part of the path is a link */
};

struct env_stat {
    uint64_t inode;
    uint64_t size;
    int64_t mtime_ns; /* since the Unix epoch */
    uint32_t mode;    /* permission bits */
    uint32_t uid;
    bool is_dir;
    bool is_file;
};

struct env_iovec {
    const void *data;
    size_t len;
};

struct env_dirent {
    char *name; /* owned by the list */
    bool is_dir;  /* links followed */
    bool is_file;
};

/* All return 0 or an errno value. */
int env_open(int *out_fd, const char *path, unsigned flags);
int env_close(int fd);
int env_pread(int fd, void *dst, size_t len, uint64_t offset, size_t *out_len); /* loops; short only at the end of file */
int env_pwritev(int fd, const struct env_iovec *parts, size_t count, uint64_t offset); /* loops until all is written */
int env_truncate(int fd, uint64_t size); /* cuts the file, or lengthens it with zeros */
int env_fsync(int fd);
int env_fstat(int fd, struct env_stat *out);
int env_stat(const char *path, struct env_stat *out); /* follows links */
int env_rename(const char *from, const char *to);
int env_link(const char *from, const char *to);
int env_unlink(const char *path);
int env_mkdir(const char *path); /* mode 0777 & umask */
int env_mkdir_private(const char *path); /* mode 0700 */
int env_rmdir(const char *path);
int env_flock(int fd); /* exclusive, blocking; released by env_funlock or env_close */
int env_flock_try(int fd); /* the same without waiting: EWOULDBLOCK if another descriptor holds it */
int env_funlock(int fd);
/* The same for names below a folder: `path` is relative to `root`, and nothing outside of root is ever reached, whatever links there are. What is
 * made is private: files 0600, folders 0700. Errors: those of the functions above; EXDEV, ELOOP: a link leads outside. */
int env_open_below(int *out_fd, const char *root, const char *path, unsigned flags);
int env_rename_below(const char *root, const char *from, const char *to); /* both in one folder */
int env_unlink_below(const char *root, const char *path);
int env_mkdir_below(const char *root, const char *path);
int env_rmdir_below(const char *root, const char *path);
/* Entries without "." and "..", sorted by bytes. Free with env_listdir_free. */
int env_listdir(const char *path, struct env_dirent **out, size_t *out_count);
void env_listdir_free(struct env_dirent *entries, size_t count);
int env_realpath(const char *path, char **out);  /* owned: env_free; the path must exist */
int env_getcwd(char **out);                      /* owned: env_free */
int env_disk_free(const char *path, uint64_t *out_bytes);
/* The kind of file system below the path: "ext4", "nfs"; its number in hex if the name is not known. */
int env_fs_kind(const char *path, char out[24]);
uint32_t env_uid(void); /* as whom files are opened */
const char *env_getenv(const char *name);        /* borrowed; NULL if not set */
char **env_environ(void);                        /* NULL-terminated NAME=value strings, borrowed */

/* ---------------------------------------------------------------- the end */

/* Ends the OS process for a mistake of this library: `what` on stderr, then abort(). In the simulation the replay line and
 * the trace are printed too, and the exit status is 99. */
void env_die(const char *what) __attribute__((noreturn));

/* ---------------------------------------------------------------- fault hooks */

/* A named place between two steps where the simulation may pause or kill the process, and chance p (0..1) of a rare branch.
 * Nothing in the real build. */
#ifdef SHL_SIM
void env_sim_point(const char *name);
bool env_sim_buggify(const char *file, int line, double p);
#define ENV_POINT(name)  env_sim_point(name)
#define ENV_BUGGIFY(p)   env_sim_buggify(__FILE__, __LINE__, (p))
#else
#define ENV_POINT(name)  ((void)0)
#define ENV_BUGGIFY(p)   (false)
#endif

#endif
