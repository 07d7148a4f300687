#include "lsm/sst/sst_window.h"

#include "base/assert.h"
#include "lsm/trace.h"

struct shl_window {
    struct shl_fan_job job;
    struct shl_window *next;
    struct shl_sst *sst; /* counted while the job is under way */
    uint64_t offset;
    size_t len;
    size_t from, to;      /* blocks [from, to) */
    struct shl_buf bytes; /* owned */
    shale_code rc;
    shale_error err;
};

/* ---------------------------------------------------------------- which blocks */

static bool is_cached(const struct shl_windows *w, size_t i)
{
    return w->how->use_cache && w->sst->cx.cache != NULL &&
           env_load_seq(shl_sst_meta_slot(w->meta, i)) != NULL;
}

/* Bytes in the file from block `from` to the end of block `last`; what lies between blocks (padding) is counted. */
static uint64_t span_bytes(const struct shl_sst_meta *m, size_t from, size_t last)
{
    return m->offsets[last] + m->lens[last] - m->offsets[from];
}

/* Which blocks to fetch with block i: onward in the direction of the scan, up to the window's size, the end of the range, a block that is
 * cached, or one that the first window of the queue has. */
static void choose(const struct shl_windows *w, size_t i, bool before_queue, size_t *from,
                   size_t *last)
{
    const struct shl_window *stop = before_queue ? w->head : NULL;
    *from = *last = i;
    if (w->how->reverse) {
        while (*from > w->first_block && span_bytes(w->meta, *from - 1, i) <= w->next_bytes &&
               !is_cached(w, *from - 1) && (stop == NULL || *from > stop->to))
            (*from)--;
    } else {
        while (*last < w->last_block && span_bytes(w->meta, i, *last + 1) <= w->next_bytes &&
               !is_cached(w, *last + 1) && (stop == NULL || *last + 1 < stop->from))
            (*last)++;
    }
}

static void grow(struct shl_windows *w)
{
    w->next_bytes =
        shl_max_size(shl_min_size(w->next_bytes * 2, w->how->window_max_bytes), w->next_bytes);
}

static void note_end(struct shl_windows *w, size_t from, size_t to)
{
    w->reaches_end =
        w->reaches_end || (w->how->reverse ? from <= w->first_block : to > w->last_block);
}

/* ---------------------------------------------------------------- memory */

/* The buffer's old bytes are not needed: no copy. */
static shale_code make_room(struct shl_buf *b, uint64_t bytes, shale_error *err)
{
    if (bytes <= b->cap)
        return SHALE_OK;
    shl_buf_free(b);
    return shl_buf_reserve(b, bytes, err);
}

static void free_window(struct shl_window *v)
{
    shl_sst_unref(v->sst);
    shl_buf_free(&v->bytes);
    env_free(v);
}

static void drop_window(struct shl_fan_job *job)
{
    free_window((struct shl_window *)job); /* the job is the first member */
}

static void pay_back(struct shl_windows *w, const struct shl_window *v)
{
    uint64_t before = env_fetch_sub_acq_rel(&w->how->budget->used_bytes, v->len);
    SHL_ASSERT(before >= v->len);
}

/* Takes the first one off the queue. */
static struct shl_window *pop(struct shl_windows *w)
{
    struct shl_window *v = w->head;
    w->head = v->next;
    if (w->head == NULL)
        w->tail = NULL;
    v->next = NULL;
    w->queued--;
    pay_back(w, v);
    return v;
}

static void give_up_queue(struct shl_windows *w)
{
    while (w->head != NULL) {
        struct shl_window *v = pop(w);
        shl_fanout_abandon(w->how->fanout, &v->job);
    }
}

/* One or two at rest are enough to go on without new memory at the usual pace. */
static void rest(struct shl_windows *w, struct shl_window *v)
{
    if (w->spare != NULL && w->spare->next != NULL) {
        free_window(v);
        return;
    }
    shl_sst_unref(v->sst);
    v->sst = NULL;
    v->next = w->spare;
    w->spare = v;
}

void shl_windows_spoil(struct shl_windows *w)
{
    w->from = w->to = 0;
}

void shl_windows_reset(struct shl_windows *w)
{
    give_up_queue(w);
    shl_windows_spoil(w);
    w->next_bytes = w->how->window_first_bytes;
    w->ahead = w->how->fanout != NULL ? w->how->ahead_first : 0;
    w->seen = 0;
    w->reaches_end = false;
}

void shl_windows_deinit(struct shl_windows *w)
{
    give_up_queue(w);
    while (w->spare != NULL) {
        struct shl_window *v = w->spare;
        w->spare = v->next;
        free_window(v);
    }
    shl_buf_free(&w->bytes);
}

/* ---------------------------------------------------------------- ahead */

static void run_window(struct shl_fan_job *job)
{
    struct shl_window *v = (struct shl_window *)job; /* the job is the first member */
    v->rc = shl_sst_check_size(v->sst, v->offset, v->len, &v->err);
    if (v->rc == SHALE_OK)
        v->rc = make_room(&v->bytes, v->len, &v->err);
    if (v->rc == SHALE_OK)
        v->rc = shl_sst_fetch(v->sst, v->offset, v->len, v->bytes.data, &v->err);
}

static struct shl_window *new_window(struct shl_windows *w)
{
    struct shl_window *v = w->spare;
    if (v == NULL)
        return env_calloc(1, sizeof *v);
    w->spare = v->next;
    struct shl_buf bytes = v->bytes;
    *v = (struct shl_window){.bytes = bytes};
    return v;
}

/* False if it must not be: no memory, or no budget. */
static bool start_window(struct shl_windows *w, size_t from, size_t last)
{
    struct shl_read_budget *budget = w->how->budget;
    uint64_t len = span_bytes(w->meta, from, last);
    if (env_fetch_add(&budget->used_bytes, len) + len > budget->max_bytes) {
        (void)env_fetch_sub_acq_rel(&budget->used_bytes, len);
        return false;
    }
    struct shl_window *v = new_window(w);
    if (v == NULL) {
        (void)env_fetch_sub_acq_rel(&budget->used_bytes, len);
        return false;
    }
    v->job.run = run_window;
    v->job.drop = drop_window;
    v->sst = shl_sst_ref(w->sst);
    v->offset = w->meta->offsets[from];
    v->len = len;
    v->from = from;
    v->to = last + 1;
    if (w->tail != NULL)
        w->tail->next = v;
    else
        w->head = v;
    w->tail = v;
    w->queued++;
    shl_fanout_start(w->how->fanout, &v->job);
    return true;
}

/* The first block behind all windows that is not cached; false if the range has none. */
static bool next_block(const struct shl_windows *w, size_t current, size_t *out)
{
    size_t at = current;
    if (w->how->reverse) {
        if (w->to > w->from)
            at = shl_min_size(at, w->from);
        if (w->tail != NULL)
            at = w->tail->from;
        while (at > w->first_block && is_cached(w, at - 1))
            at--;
        *out = at - 1;
        return at > w->first_block;
    }
    if (w->to > w->from)
        at = shl_max_size(at, w->to - 1);
    if (w->tail != NULL)
        at = w->tail->to - 1;
    while (at < w->last_block && is_cached(w, at + 1))
        at++;
    *out = at + 1;
    return at < w->last_block;
}

/* Whether the scan has come so far that it is likely to go on. A short one ends in its first window, and pays for nothing else. */
static bool is_under_way(const struct shl_windows *w, size_t i)
{
    if (w->seen != 1)
        return w->seen > 1;
    size_t done = w->how->reverse ? w->to - 1 - i : i - w->from;
    return done > 0 && 2 * done >= w->to - w->from;
}

void shl_windows_entered(struct shl_windows *w, size_t i)
{
    if (w->how->fanout == NULL)
        return;
    if (w->ahead == 0 && i >= w->from && i < w->to && is_under_way(w, i))
        w->ahead = 1;
    while (w->queued < w->ahead) {
        size_t next, from, last;
        if (!next_block(w, i, &next)) {
            w->reaches_end = true;
            break;
        }
        choose(w, next, false, &from, &last);
        if (!start_window(w, from, last))
            break;
        note_end(w, from, last + 1);
        grow(w);
    }
}

/* ---------------------------------------------------------------- the reader */

/* Windows whose blocks the reader had from the cache after all. */
static void drop_passed(struct shl_windows *w, size_t i)
{
    while (w->head != NULL && (w->how->reverse ? w->head->from > i : w->head->to <= i)) {
        struct shl_window *v = pop(w);
        shl_fanout_abandon(w->how->fanout, &v->job);
    }
}

static unsigned ahead_max(const struct shl_windows *w)
{
    unsigned asked = w->how->ahead_max;
    return asked == 0 || asked > SHL_SST_AHEAD_MAX ? SHL_SST_AHEAD_MAX : asked;
}

/* The first window of the queue becomes the current one. */
static shale_code enter_ahead(struct shl_windows *w, shale_error *err)
{
    bool waits = !shl_fanout_is_done(w->how->fanout, &w->head->job);
    struct shl_window *v = pop(w);
    shl_fanout_wait(w->how->fanout, &v->job);
    if (waits)
        w->ahead = w->ahead * 2 > ahead_max(w) ? ahead_max(w) : w->ahead * 2;
    shale_code rc = v->rc;
    if (rc == SHALE_OK) {
        struct shl_buf swap = w->bytes;
        w->bytes = v->bytes;
        v->bytes = swap;
        w->from = v->from;
        w->to = v->to;
        w->seen++;
    } else {
        *err = v->err;
    }
    rest(w, v);
    return rc;
}

static shale_code fetch_here(struct shl_windows *w, size_t i, shale_error *err)
{
    size_t from, last;
    choose(w, i, true, &from, &last);
    uint64_t bytes = span_bytes(w->meta, from, last);
    shl_windows_spoil(w);
    shale_code rc = shl_sst_check_size(w->sst, w->meta->offsets[from], bytes, err);
    if (rc == SHALE_OK)
        rc = make_room(&w->bytes, bytes, err);
    if (rc == SHALE_OK)
        rc = shl_sst_fetch(w->sst, w->meta->offsets[from], bytes, w->bytes.data, err);
    if (rc != SHALE_OK)
        return rc;
    w->from = from;
    w->to = last + 1;
    w->seen++;
    note_end(w, w->from, w->to);
    grow(w);
    return SHALE_OK;
}

shale_code shl_windows_get(struct shl_windows *w, size_t i, uint8_t **stored, shale_error *err)
{
    const struct shl_sst_meta *m = w->meta;
    if (i < w->from || i >= w->to) {
        drop_passed(w, i);
        bool is_ahead = w->head != NULL && i >= w->head->from && i < w->head->to;
        uint64_t begin = shl_trace_start();
        shale_code rc = is_ahead ? enter_ahead(w, err) : fetch_here(w, i, err);
        shl_trace_note(SHL_SPAN_READ_BLOCKS, &w->sst->desc->id, false, begin);
        if (rc != SHALE_OK)
            return rc;
    }
    *stored = w->bytes.data + (m->offsets[i] - m->offsets[w->from]);
    return SHALE_OK;
}
