/* What was answered last on which connection, to know an answer that comes a second time: what stands between may send one twice, and if the next
 * request has gone out meanwhile, it would be taken for that one's. Pure; the I/O thread's. */
#ifndef SHL_STORE_HTTP_HEARD_H
#define SHL_STORE_HTTP_HEARD_H

#include <stdbool.h>
#include <stdint.h>

/* Room for four times the 256 connections that may be open; one too many in a set makes the place of another. */
#define SHL_HEARD_SETS    128
#define SHL_HEARD_WAYS    8
#define SHL_HEARD_ANSWERS 4 /* of each connection, the last ones */

/* Hashes, 0: there is none. */
struct shl_heard_answer {
    uint64_t id;      /* of the headers by which a server tells its answers apart */
    uint64_t head;    /* of the status and all headers, if they have a time and an ETag */
    uint64_t request; /* what was asked: of reads the object, whatever the method or range; of writes all of it */
    bool is_read;     /* a cache between gives what it kept again, with the id that it had */
};

struct shl_heard_connection {
    unsigned port; /* our end of it; 0: unused */
    unsigned next; /* place of the next answer */
    uint64_t heard_at;
    struct shl_heard_answer answers[SHL_HEARD_ANSWERS];
};

/* {0} is a start. */
struct shl_heard {
    struct shl_heard_connection sets[SHL_HEARD_SETS][SHL_HEARD_WAYS];
    uint64_t time; /* answers so far */
    bool
        tells_apart; /* two answers on end on one connection had different ids: not all servers that send one give each answer its own */
};

/* Notes an answer on the connection with that port at our end. True if it is the copy of an earlier one on it: it has the same id, or the same bytes
 * where another thing was asked. */
bool shl_heard_before(struct shl_heard *h, unsigned port, const struct shl_heard_answer *a);

#endif
