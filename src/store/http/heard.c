#include "store/http/heard.h"

static struct shl_heard_connection *connection_of(struct shl_heard *h, unsigned port)
{
    struct shl_heard_connection *c = &h->connections[port % SHL_HEARD_CONNECTIONS];
    if (c->port != port)
        *c = (struct shl_heard_connection){.port = port};
    return c;
}

static bool is_copy(const struct shl_heard *h, const struct shl_heard_answer *earlier,
                    const struct shl_heard_answer *a)
{
    bool same_id = h->tells_apart && a->id != 0 && a->id == earlier->id;
    bool same_head = a->head != 0 && a->head == earlier->head && a->request != earlier->request;
    return same_id || same_head;
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
