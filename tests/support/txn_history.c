#include "support/txn_history.h"

#include "base/assert.h"
#include "base/env/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- clients */

static unsigned chance(struct history_client *c, unsigned below)
{
    c->random = c->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(c->random >> 33) % below;
}

static struct shl_slice key_of(unsigned k, char out[8])
{
    snprintf(out, 8, "k%03u", k);
    return shl_slice_of(out, 4);
}

static unsigned number_in(struct shl_slice value)
{
    char text[12] = "";
    SHL_ASSERT(value.len < sizeof text);
    memcpy(text, value.data, value.len);
    return (unsigned)strtoul(text, NULL, 10);
}

static void note_read(struct history_txn *h, unsigned self, unsigned key, unsigned from)
{
    if (h->writes[key]) {
        SHL_ASSERT(from == self); /* its own write */
        return;
    }
    if (h->read_count < HISTORY_READS) {
        h->reads[h->read_count].key = key;
        h->reads[h->read_count].from = from;
        h->read_count++;
    }
}

static shale_code read_one(struct history_client *c, struct shl_txn *t, struct history_txn *h,
                           unsigned self, shale_error *err)
{
    unsigned k = chance(c, HISTORY_KEYS);
    char key[8];
    struct shl_lsm_pinned p = {0};
    shale_code rc = shl_txn_get(t, key_of(k, key), &(struct shl_lsm_read){0}, &p, err);
    if (rc != SHALE_OK && rc != SHALE_NOT_FOUND)
        return rc;
    note_read(h, self, k, rc == SHALE_OK ? number_in(p.value) : 0);
    shl_lsm_pinned_release(&p);
    return SHALE_OK;
}

static shale_code scan_some(struct history_client *c, struct shl_txn *t, struct history_txn *h,
                            unsigned self, shale_error *err)
{
    unsigned from = chance(c, HISTORY_KEYS), to = from + 1 + chance(c, 4);
    unsigned seen[HISTORY_KEYS] = {0};
    char first[8], last[8];
    struct shl_lsm_iter *it;
    struct shl_row row;
    if (to > HISTORY_KEYS)
        to = HISTORY_KEYS;
    const struct shl_lsm_range range = {.from = key_of(from, first),
                                        .to = key_of(to, last),
                                        .from_kind = SHL_LSM_INCLUDED,
                                        .to_kind = SHL_LSM_EXCLUDED};
    const struct shl_lsm_scan how = {.reverse = chance(c, 2) == 0};
    shale_code rc = shl_txn_scan(t, &range, &how, &it, err);
    if (rc != SHALE_OK)
        return rc;
    while ((rc = shl_lsm_iter_next(it, &row, err)) == SHALE_OK) {
        unsigned k = (unsigned)(row.key.data[2] - '0') * 10 + (unsigned)(row.key.data[3] - '0');
        SHL_ASSERT(k >= from && k < to);
        seen[k] = number_in(row.value);
    }
    shl_lsm_iter_close(it);
    for (unsigned k = from; k < to; k++)
        note_read(h, self, k, seen[k]);
    return rc == SHALE_DONE ? SHALE_OK : rc;
}

static shale_code write_one(struct history_client *c, struct shl_txn *t, struct history_txn *h,
                            unsigned self, shale_error *err)
{
    unsigned k = chance(c, HISTORY_KEYS);
    char key[8], value[12];
    snprintf(value, sizeof value, "%u", self);
    h->writes[k] = true;
    return shl_txn_write(t, 0, key_of(k, key), shl_slice_str(value), (struct shl_ttl){0}, err);
}

static shale_code plain_write(struct history_client *c, struct history_txn *h, unsigned self,
                              shale_error *err)
{
    unsigned k = chance(c, HISTORY_KEYS);
    char key[8], value[12];
    struct shl_lsm_written written;
    snprintf(value, sizeof value, "%u", self);
    shale_code rc =
        shl_lsm_write_one(c->db, 0, key_of(k, key), shl_slice_str(value), (struct shl_ttl){0},
                          &(struct shl_lsm_write){0}, &written, err);
    if (rc == SHALE_OK) {
        h->committed = h->writes[k] = true;
        h->seq = written.seq;
    }
    return rc;
}

static shale_code run_txn(struct history_client *c, struct shl_txn *t, struct history_txn *h,
                          unsigned self, shale_error *err)
{
    shale_code rc = SHALE_OK;
    struct shl_lsm_written written;
    for (unsigned ops = 1 + chance(c, 6); ops > 0 && rc == SHALE_OK; ops--) {
        unsigned p = chance(c, 10);
        rc = p < 4   ? read_one(c, t, h, self, err)
             : p < 6 ? scan_some(c, t, h, self, err)
                     : write_one(c, t, h, self, err);
        if (c->pause != NULL)
            c->pause();
    }
    if (rc != SHALE_OK || chance(c, 12) == 0)
        return rc;
    rc = shl_txn_commit(t, chance(c, 4) == 0, 0, &written, err);
    if (rc == SHALE_OK) {
        h->committed = true;
        h->seq = written.seq;
    }
    return rc == SHALE_CONFLICT ? SHALE_OK : rc;
}

shale_code history_step(struct history_client *c, shale_error *err)
{
    struct shl_txn *t;
    unsigned self = env_fetch_add(&c->history->count, 1u) + 1;
    if (self > HISTORY_TXNS)
        return SHALE_NOT_FOUND;
    struct history_txn *h = &c->history->txns[self];
    if (chance(c, 8) == 0)
        return plain_write(c, h, self, err);
    shale_code rc = shl_txn_begin(c->db, c->serializable, &t, err);
    if (rc != SHALE_OK)
        return rc;
    rc = run_txn(c, t, h, self, err);
    shl_txn_close(t);
    return rc;
}

/* ---------------------------------------------------------------- the graph */

#define WORDS (HISTORY_TXNS / 64 + 1)
struct graph {
    unsigned count;
    uint64_t before[HISTORY_TXNS + 1][WORDS];    /* i comes before those; later its closure */
    uint64_t overtaken[HISTORY_TXNS + 1][WORDS]; /* what i read was overwritten by those */
};

static void join(uint64_t rows[][WORDS], unsigned from, unsigned to)
{
    if (from != to)
        rows[from][to / 64] |= UINT64_C(1) << (to % 64);
}

static bool joined(uint64_t rows[][WORDS], unsigned from, unsigned to)
{
    return (rows[from][to / 64] >> (to % 64) & 1) != 0;
}

static unsigned total(const struct history *h)
{
    unsigned n = h->count;
    return n < HISTORY_TXNS ? n : HISTORY_TXNS;
}

/* Who wrote a key, in the order of their seqs; 0 first. */
static unsigned versions(const struct history *h, unsigned key, unsigned out[HISTORY_TXNS + 1])
{
    unsigned n = 1;
    out[0] = 0;
    for (unsigned i = 1; i <= total(h); i++) {
        if (!h->txns[i].committed || !h->txns[i].writes[key])
            continue;
        unsigned at = n++;
        for (; at > 1 && h->txns[out[at - 1]].seq > h->txns[i].seq; at--)
            out[at] = out[at - 1];
        out[at] = i;
    }
    return n;
}

static const char *add_key(struct graph *g, const struct history *h, unsigned key)
{
    unsigned order[HISTORY_TXNS + 1];
    unsigned n = versions(h, key, order);
    for (unsigned i = 2; i < n; i++)
        join(g->before, order[i - 1], order[i]);
    for (unsigned i = 1; i <= g->count; i++) {
        const struct history_txn *t = &h->txns[i];
        for (unsigned r = 0; t->committed && r < t->read_count; r++) {
            unsigned at = 0;
            if (t->reads[r].key != key)
                continue;
            while (at < n && order[at] != t->reads[r].from)
                at++;
            if (at == n)
                return "a value was read that nobody committed";
            if (order[at] != 0)
                join(g->before, order[at], i);
            if (at + 1 < n)
                join(g->overtaken, i, order[at + 1]);
        }
    }
    return NULL;
}

static void close_graph(struct graph *g)
{
    for (unsigned k = 1; k <= g->count; k++)
        for (unsigned i = 1; i <= g->count; i++)
            if (joined(g->before, i, k))
                for (unsigned w = 0; w < WORDS; w++)
                    g->before[i][w] |= g->before[k][w];
}

const char *history_check(const struct history *h, bool serializable)
{
    static struct graph g;
    memset(&g, 0, sizeof g);
    g.count = total(h);
    for (unsigned key = 0; key < HISTORY_KEYS; key++) {
        const char *wrong = add_key(&g, h, key);
        if (wrong != NULL)
            return wrong;
    }
    for (unsigned i = 1; serializable && i <= g.count; i++)
        for (unsigned w = 0; w < WORDS; w++)
            g.before[i][w] |= g.overtaken[i][w];
    close_graph(&g);
    for (unsigned i = 1; i <= g.count; i++) {
        if (joined(g.before, i, i))
            return "a transaction comes before itself";
        for (unsigned k = 1; k <= g.count && !serializable; k++)
            if (joined(g.overtaken, i, k) && joined(g.before, k, i))
                return "a transaction saw an effect of what overtook it";
    }
    return NULL;
}

unsigned history_commits(const struct history *h)
{
    unsigned n = 0;
    for (unsigned i = 1; i <= total(h); i++)
        n += h->txns[i].committed;
    return n;
}
