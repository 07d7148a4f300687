/* Looking up keys and checkpoints for completion, in a task of its own: who waits at a Tab key gives up after a moment, the task ends when
 * the store has answered. */
#ifndef SHL_CLI_LOOKUP_H
#define SHL_CLI_LOOKUP_H

#include "base/bytes.h"
#include "base/env/env.h"

#include <shale/shale.h>

#define LOOKUP_ROWS     50
#define LOOKUP_LIMIT_MS 100

enum lookup_kind { LOOKUP_KEYS, LOOKUP_CHECKPOINTS };

struct lookup {
    struct env_mutex mu;
    struct env_cond cond;
    struct env_task *task; /* owned; NULL: none to be joined. Of the owner's task only */
    bool done;             /* [mu] */
    struct shl_buf found;  /* [mu until done, then the owner's] names, each with its NUL */
    /* What is asked: [const] while the task runs. */
    enum lookup_kind kind;
    shale_db *db;                 /* borrowed until the task has ended; NULL: url is opened, and closed again */
    const char *url;              /* borrowed likewise */
    const shale_options *options; /* borrowed likewise */
    char prefix[256];             /* of the keys wanted */
};

void lookup_init(struct lookup *l);
/* Waits for the task. */
void lookup_deinit(struct lookup *l);
/* Waits until the task has ended and the borrowed things may go. */
void lookup_settle(struct lookup *l);
/* True if the answer stands in `found` within the limit. A lookup before that has not ended counts as the answer "nothing". */
bool lookup_run(struct lookup *l, enum lookup_kind kind, shale_db *db, const char *url,
                const shale_options *options, const char *prefix);

#endif
