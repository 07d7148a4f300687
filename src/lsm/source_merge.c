/* Several sources as one: a small array of the live ones, sorted by their current rows (performance.md 5).
 *
 * Most steps compare two numbers: each place in the array carries the 8 key bytes behind a prefix that all current keys have. The prefix
 * is checked when a key comes in, and chosen anew when one lacks it or when the numbers tie too often. */
#include "lsm/source.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "lsm/fanout.h"
#include "base/num.h"
#include "lsm/key_word.h"

#define PREFIX_MAX   24
#define PREFIX_WORDS (PREFIX_MAX / 8)
#define PREFIX_SLACK                                                                               \
    4                 /* less than what the keys have in common now, so that it holds for a while */
#define TIES_MAX   64 /* since the prefix was chosen */
#define LINEAR_MAX 8  /* places that are compared one by one before the search halves the rest */

struct place {
    uint64_t
        head; /* key bytes behind the prefix; complemented if reverse, so that smaller is earlier */
    struct shl_source *source; /* borrowed from `sources`; valid */
    size_t order;              /* its number in `sources` */
};

struct seek_job {
    struct shl_fan_job job;
    struct shl_source *source;      /* borrowed */
    const struct shl_slice *target; /* borrowed during the seek */
    shale_code rc;
    shale_error err;
};

struct merge_source {
    struct shl_source base;
    struct shl_source **sources; /* owned, and what it points to */
    size_t source_count;
    struct place *places; /* owned: the live sources, the next row first */
    size_t place_count;
    size_t prefix_len;
    uint64_t prefix[PREFIX_WORDS]; /* zero behind prefix_len */
    unsigned ties;
    struct shl_fanout *fanout; /* borrowed */
    struct seek_job *seeks;    /* owned: one for each source; NULL without fan-out */
};

static struct merge_source *merge_of(struct shl_source *s)
{
    return (struct merge_source *)s; /* base is the first member */
}

/* ---------------------------------------------------------------- order */

static bool comes_before_tied(struct merge_source *m, const struct place *a, const struct place *b)
{
    m->ties++;
    int c = shl_row_cmp(&a->source->row, &b->source->row);
    if (c == 0)
        return a->order < b->order;
    return (c < 0) != m->base.reverse;
}

static inline bool comes_before(struct merge_source *m, const struct place *a,
                                const struct place *b)
{
    if (a->head != b->head)
        return a->head < b->head;
    return comes_before_tied(m, a, b);
}

static uint64_t head_of(const struct merge_source *m, struct shl_slice key)
{
    uint64_t word = shl_key_word(key, m->prefix_len);
    return m->base.reverse ? ~word : word;
}

static bool has_prefix(const struct merge_source *m, struct shl_slice key)
{
    if (key.len < m->prefix_len)
        return false;
    for (size_t i = 0; 8 * i < m->prefix_len; i++) {
        size_t n = shl_min_size(m->prefix_len - 8 * i, 8);
        if ((shl_key_word(key, 8 * i) & shl_key_word_mask(n)) != m->prefix[i])
            return false;
    }
    return true;
}

/* A prefix of all current keys, and new heads. The order of the places stays. */
static void choose_prefix(struct merge_source *m)
{
    m->ties = 0;
    m->prefix_len = 0;
    if (m->place_count == 0)
        return;
    struct shl_slice first = m->places[0].source->row.key;
    size_t len = shl_min_size(first.len, PREFIX_MAX + PREFIX_SLACK);
    for (size_t i = 1; i < m->place_count; i++)
        len = shl_min_size(len, shl_common_prefix(first, m->places[i].source->row.key));
    len -= shl_min_size(len, PREFIX_SLACK);
    m->prefix_len = len;
    for (size_t i = 0; i < PREFIX_WORDS; i++)
        m->prefix[i] = shl_key_word(shl_slice_of(first.data, len), 8 * i);
    for (size_t i = 0; i < m->place_count; i++)
        m->places[i].head = head_of(m, m->places[i].source->row.key);
}

/* How many of the places from `from` on come before p. */
static size_t count_before(struct merge_source *m, const struct place *p, size_t from)
{
    size_t lo = from;
    size_t linear_end = shl_min_size(from + LINEAR_MAX, m->place_count);
    while (lo < linear_end && comes_before(m, &m->places[lo], p))
        lo++;
    if (lo < linear_end)
        return lo - from;
    size_t hi = m->place_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (comes_before(m, &m->places[mid], p))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo - from;
}

/* The first place has a new row: moves it to where it belongs. */
static void settle_first(struct merge_source *m)
{
    if (!has_prefix(m, m->places[0].source->row.key) || m->ties > TIES_MAX)
        choose_prefix(m);
    struct place p = m->places[0];
    p.head = head_of(m, p.source->row.key);
    size_t before = count_before(m, &p, 1);
    for (size_t i = 0; i < before; i++)
        m->places[i] = m->places[i + 1];
    m->places[before] = p;
}

static void show_first(struct merge_source *m)
{
    m->base.valid = m->place_count > 0;
    if (m->base.valid) {
        m->base.row = m->places[0].source->row;
        m->base.begins_block = m->places[0].source->begins_block;
    }
}

/* ---------------------------------------------------------------- the source */

/* Takes in the sources that have a row, one after the other in front of those that are sorted already. */
static void sort_places(struct merge_source *m)
{
    m->place_count = 0;
    for (size_t i = m->source_count; i-- > 0;) {
        struct shl_source *s = m->sources[i];
        if (!s->valid)
            continue;
        for (size_t j = m->place_count++; j > 0; j--)
            m->places[j] = m->places[j - 1];
        m->places[0] = (struct place){.source = s, .order = i};
        choose_prefix(m);
        settle_first(m);
    }
}

static void run_seek(struct shl_fan_job *job)
{
    struct seek_job *j = (struct seek_job *)job; /* the job is the first member */
    j->rc = shl_source_seek(j->source, j->target, &j->err);
}

/* Each source makes its first requests here, so all of them are waited for together. */
static shale_code seek_at_once(struct merge_source *m, const struct shl_slice *target,
                               shale_error *err)
{
    for (size_t i = 0; i < m->source_count; i++)
        m->seeks[i] = (struct seek_job){
            .job = {.run = run_seek}, .source = m->sources[i], .target = target, .rc = SHALE_OK};
    shl_fanout_all(m->fanout, &m->seeks[0].job, sizeof m->seeks[0], m->source_count);
    for (size_t i = 0; i < m->source_count; i++)
        if (m->seeks[i].rc != SHALE_OK) {
            *err = m->seeks[i].err;
            return m->seeks[i].rc;
        }
    return SHALE_OK;
}

static shale_code merge_seek(struct shl_source *s, const struct shl_slice *target, shale_error *err)
{
    struct merge_source *m = merge_of(s);
    shale_code rc = SHALE_OK;
    m->base.valid = false;
    m->place_count = 0;
    if (m->seeks != NULL)
        rc = seek_at_once(m, target, err);
    for (size_t i = 0; m->seeks == NULL && i < m->source_count && rc == SHALE_OK; i++)
        rc = shl_source_seek(m->sources[i], target, err);
    if (rc != SHALE_OK)
        return rc;
    sort_places(m);
    show_first(m);
    return SHALE_OK;
}

/* The winner was moved. */
static void settle_winner(struct merge_source *m)
{
    if (m->places[0].source->valid) {
        settle_first(m);
    } else {
        m->place_count--;
        for (size_t i = 0; i < m->place_count; i++)
            m->places[i] = m->places[i + 1];
    }
    show_first(m);
}

static shale_code merge_next(struct shl_source *s, shale_error *err)
{
    struct merge_source *m = merge_of(s);
    SHL_ASSERT(m->base.valid);
    m->base.valid = false;
    shale_code rc = shl_source_next(m->places[0].source, err);
    if (rc == SHALE_OK)
        settle_winner(m);
    return rc;
}

/* A block of the winner that ends before the next row of all others. */
static bool merge_block(struct shl_source *s, struct shl_stored_block *out)
{
    const struct merge_source *m = merge_of(s);
    return shl_source_block(m->places[0].source, out) &&
           (m->place_count == 1 || shl_slice_cmp(out->upto, m->places[1].source->row.key) < 0);
}

static shale_code merge_pass_block(struct shl_source *s, shale_error *err)
{
    struct merge_source *m = merge_of(s);
    SHL_ASSERT(m->base.valid);
    m->base.valid = false;
    shale_code rc = shl_source_pass_block(m->places[0].source, err);
    if (rc == SHALE_OK)
        settle_winner(m);
    return rc;
}

static void close_all(struct shl_source **sources, size_t count)
{
    for (size_t i = 0; i < count; i++)
        shl_source_close(sources[i]);
}

static void merge_close(struct shl_source *s)
{
    struct merge_source *m = merge_of(s);
    close_all(m->sources, m->source_count);
    env_free(m->sources);
    env_free(m->places);
    env_free(m->seeks);
    env_free(m);
}

shale_code shl_merge_source_new(struct shl_source **take_sources, size_t count, bool reverse,
                                struct shl_fanout *fanout, struct shl_source **out,
                                shale_error *err)
{
    static const struct shl_source_ops ops = {.seek = merge_seek,
                                              .next = merge_next,
                                              .close = merge_close,
                                              .block = merge_block,
                                              .pass_block = merge_pass_block};
    for (size_t i = 0; i < count; i++)
        SHL_ASSERT(take_sources[i]->reverse == reverse);
    if (count == 1) {
        *out = take_sources[0];
        return SHALE_OK;
    }
    struct merge_source *m = env_calloc(1, sizeof *m);
    struct shl_source **sources = env_calloc(count, sizeof(struct shl_source *));
    struct place *places = env_calloc(count, sizeof(struct place));
    struct seek_job *seeks = fanout != NULL ? env_calloc(count, sizeof *seeks) : NULL;
    if (m == NULL || sources == NULL || places == NULL || (fanout != NULL && seeks == NULL)) {
        close_all(take_sources, count);
        env_free(m);
        env_free(sources);
        env_free(places);
        env_free(seeks);
        return shl_nomem(err);
    }
    for (size_t i = 0; i < count; i++)
        sources[i] = take_sources[i];
    m->base = (struct shl_source){.ops = &ops, .reverse = reverse};
    m->sources = sources;
    m->source_count = count;
    m->places = places;
    m->fanout = fanout;
    m->seeks = seeks;
    *out = &m->base;
    return SHALE_OK;
}
