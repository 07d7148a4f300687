#include "store/http/heard.h"

/* Ports come in order and of one parity: their hash picks a set, and in it the one that was silent for longest makes room. */
static struct shl_heard_connection *connection_of(struct shl_heard *h, unsigned port)
{
    uint32_t hash = (uint32_t)port * UINT32_C(2654435761);
    struct shl_heard_connection *set = h->sets[(hash >> 16) % SHL_HEARD_SETS], *c = set;
    for (unsigned i = 0; i < SHL_HEARD_WAYS; i++) {
        if (set[i].port == port) {
            c = &set[i];
            break;
        }
        if (set[i].heard_at < c->heard_at)
            c = &set[i];
    }
    if (c->port != port)
        *c = (struct shl_heard_connection){.port = port};
    c->heard_at = ++h->time;
    return c;
}

static bool is_copy(const struct shl_heard *h, const struct shl_heard_answer *earlier,
                    const struct shl_heard_answer *a)
{
    bool same_request = a->request == earlier->request;
    bool same_id = h->tells_apart && a->id != 0 && a->id == earlier->id;
    bool same_head = a->head != 0 && a->head == earlier->head;
    return (same_id && !(same_request && a->is_read)) || (same_head && !same_request);
}

bool shl_heard_before(struct shl_heard *h, unsigned port, const struct shl_heard_answer *a)
{
    struct shl_heard_connection *c = connection_of(h, port);
    const struct shl_heard_answer *last =
        &c->answers[(c->next + SHL_HEARD_ANSWERS - 1) % SHL_HEARD_ANSWERS];
    if (a->id != 0 && last->id != 0 && a->id != last->id)
        h->tells_apart = true;
    for (unsigned i = 0; i < SHL_HEARD_ANSWERS; i++)
        if (is_copy(h, &c->answers[i], a))
            return true;
    c->answers[c->next] = *a;
    c->next = (c->next + 1) % SHL_HEARD_ANSWERS;
    return false;
}
