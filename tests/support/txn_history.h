/* What clients did in transactions side by side, and whether such a history may be: the graph of who must come before whom has no cycle.
 * Every value is the number of the transaction that wrote it, so that each read tells whom it depends on. */
#ifndef TESTS_SUPPORT_TXN_HISTORY_H
#define TESTS_SUPPORT_TXN_HISTORY_H

#include "lsm/txn.h"

#define HISTORY_KEYS  10
#define HISTORY_TXNS  640
#define HISTORY_READS 48

struct history_txn {
    bool committed;
    uint64_t seq; /* 0: it wrote nothing */
    unsigned read_count;
    struct {
        unsigned key;
        unsigned from; /* number of the transaction whose value was read; 0: there was none */
    } reads[HISTORY_READS];
    bool writes[HISTORY_KEYS];
};

struct history {
    struct history_txn txns[HISTORY_TXNS + 1]; /* from 1 */
    _Atomic unsigned count;
};

/* One client of a handle; its random numbers are its own. */
struct history_client {
    struct history *history;
    struct shl_lsm *db;
    uint64_t random;
    bool serializable;
    void (*pause)(void); /* between two operations; NULL: none */
};

/* Runs one transaction, or a plain write, and notes it. NOT_FOUND: the history is full. A conflict is no failure. */
shale_code history_step(struct history_client *c, shale_error *err);
/* NULL, or what is wrong: a value that nobody committed, or a cycle. Under snapshot isolation one of two neighbouring read-write
 * dependencies is allowed to close it (write skew). */
const char *history_check(const struct history *h, bool serializable);
unsigned history_commits(const struct history *h);

#endif
