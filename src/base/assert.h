/* Assertions that stay on in release builds: a crash is cheaper than a wrong byte in a bucket.
 * Never on bytes that came from a bucket, a socket or a user: those get an error. */
#ifndef SHL_BASE_ASSERT_H
#define SHL_BASE_ASSERT_H

_Noreturn void shl_assert_failed(const char *expr, const char *file, int line);

#define SHL_ASSERT(expr)                                                                           \
    (__builtin_expect(!!(expr), 1) ? (void)0 : shl_assert_failed(#expr, __FILE__, __LINE__))

/* A branch that cannot be reached unless this library has a mistake. */
#define SHL_NEVER() shl_assert_failed("never reached", __FILE__, __LINE__)

/* Costly checks: simulation and debug builds only. */
#if defined(SHL_SIM) || defined(SHL_DEBUG)
#define SHL_ASSERT_SLOW(expr) SHL_ASSERT(expr)
#else
#define SHL_ASSERT_SLOW(expr) ((void)sizeof(expr))
#endif

#endif
