#include "lsm/seq_time.h"

/* How many points are below `value` (of seqs, or of times). */
static size_t points_below(const struct shl_seq_tracker *t, bool by_time, uint64_t seq,
                           int64_t unix_s)
{
    size_t low = 0, high = t->points.count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct shl_seq_point *p = &t->points.items[mid];
        bool below = by_time ? p->unix_s < unix_s : p->seq < seq;
        if (below)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Index of the point that answers, or count. */
static size_t pick(const struct shl_seq_tracker *t, size_t below, bool exact, bool up)
{
    if (exact || up)
        return below;
    return below > 0 ? below - 1 : t->points.count;
}

bool shl_seq_to_time(const struct shl_seq_tracker *t, uint64_t seq, bool up, int64_t *unix_s)
{
    size_t below = points_below(t, false, seq, 0);
    bool exact = below < t->points.count && t->points.items[below].seq == seq;
    size_t i = pick(t, below, exact, up);
    if (i >= t->points.count)
        return false;
    *unix_s = t->points.items[i].unix_s;
    return true;
}

bool shl_time_to_seq(const struct shl_seq_tracker *t, int64_t unix_s, bool up, uint64_t *seq)
{
    size_t below = points_below(t, true, 0, unix_s);
    bool exact = below < t->points.count && t->points.items[below].unix_s == unix_s;
    size_t i = pick(t, below, exact, up);
    if (i >= t->points.count)
        return false;
    *seq = t->points.items[i].seq;
    return true;
}
