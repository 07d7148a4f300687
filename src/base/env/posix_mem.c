/* Memory of the real build: the C library's, and huge pages for large aligned blocks. */
#include "base/env/env.h"

#include <stdlib.h>
#include <sys/mman.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "base/assert.h"
#include "base/num.h"

enum { HUGE_PAGE_BYTES = 2 << 20, LARGE_BYTES = 1 << 20 };

void *env_alloc(size_t size)
{
    return malloc(size == 0 ? 1 : size);
}

void *env_calloc(size_t count, size_t size)
{
    if (count == 0 || size == 0)
        count = size = 1;
    size_t total;
    if (!shl_mul_size(count, size,
                      &total)) /* calloc looks too, but sanitizers end the process for it */
        return NULL;
    return calloc(count, size);
}

void *env_realloc(void *p, size_t size)
{
    return realloc(p, size == 0 ? 1 : size);
}

void env_free(void *p)
{
    free(p);
}

void *env_alloc_aligned(size_t align, size_t size)
{
    SHL_ASSERT(align > 0 && (align & (align - 1)) == 0);
    SHL_ASSERT(align <= HUGE_PAGE_BYTES);
    if (align < sizeof(void *))
        align = sizeof(void *);
    if (size >= HUGE_PAGE_BYTES)
        align = HUGE_PAGE_BYTES;
    void *p = NULL;
    if (posix_memalign(&p, align, size == 0 ? 1 : size) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    /* A wish: a kernel without huge pages answers EINVAL and nothing is lost. Whole huge pages only, so that no
     * neighbour's memory is changed. */
    if (size >= HUGE_PAGE_BYTES)
        (void)madvise(p, size - size % HUGE_PAGE_BYTES, MADV_HUGEPAGE);
#endif
    return p;
}

void env_free_aligned(void *p)
{
    free(p);
}

void env_free_pages(void *p, size_t size)
{
#ifdef MADV_DONTNEED
    if (p != NULL && size >= HUGE_PAGE_BYTES)
        (void)madvise(p, size - size % HUGE_PAGE_BYTES, MADV_DONTNEED);
#endif
    free(p);
}

void env_return_large_blocks(void)
{
#ifdef __GLIBC__
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BYTES); /* as glibc would set it beside the other */
#endif
}
