#include "cli/lookup.h"

#include "base/codec/json.h"
#include "base/codec/text.h"
#include "base/num.h"

#include <stdio.h>

/* Only what can be typed and shown: text without control characters. */
static bool can_be_typed(struct shl_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < 0x20 || s.data[i] == 0x7f)
            return false;
    return shl_utf8_valid(s);
}

static void add(struct lookup *l, struct shl_slice name)
{
    shale_error err;
    size_t len = l->found.len;
    if (name.len == 0 || !can_be_typed(name))
        return;
    if (shl_buf_append(&l->found, name.data, name.len, &err) != SHALE_OK ||
        shl_buf_append(&l->found, "", 1, &err) != SHALE_OK)
        l->found.len = len; /* one suggestion less */
}

static void find_keys(struct lookup *l)
{
    shale_db *db = l->db;
    shale_iter *it = NULL;
    shale_row row;
    shale_scan_options how;
    if (db == NULL && shale_db_open_reader(&db, l->url, l->options, NULL, NULL) != SHALE_OK)
        return;
    shale_scan_options_init(&how, sizeof how);
    how.rows_max = LOOKUP_ROWS;
    if (shale_db_scan(&it, db, shale_range_prefix(shale_str(l->prefix)), &how, NULL) == SHALE_OK) {
        while (shale_iter_next(&row, it, NULL) == SHALE_OK)
            add(l, shl_slice_of(row.key.data, row.key.len));
    }
    shale_iter_close(it);
    if (l->db == NULL)
        (void)shale_db_close(db, NULL);
}

static void find_checkpoints(struct lookup *l)
{
    char *text = NULL;
    json_t *manifest = NULL;
    shale_error err;
    size_t i;
    json_t *checkpoint;
    struct shl_slice name;
    if (shale_admin_manifest(&text, l->url, l->options, 0, NULL) != SHALE_OK)
        return;
    if (shl_json_parse_unsigned(shl_slice_str(text), &manifest, &err) == SHALE_OK) {
        json_array_foreach(json_object_get(manifest, "checkpoints"), i, checkpoint)
        {
            if (shl_json_get_str(checkpoint, "name", &name) ||
                shl_json_get_str(checkpoint, "id", &name))
                add(l, name);
        }
    }
    json_decref(manifest);
    shale_text_free(text);
}

static void work(void *arg)
{
    struct lookup *l = arg;
    if (l->kind == LOOKUP_KEYS)
        find_keys(l);
    else
        find_checkpoints(l);
    env_mutex_lock(&l->mu);
    l->done = true;
    env_cond_signal(&l->cond);
    env_mutex_unlock(&l->mu);
}

void lookup_init(struct lookup *l)
{
    *l = (struct lookup){0};
    env_mutex_init(&l->mu);
    env_cond_init(&l->cond);
}

void lookup_settle(struct lookup *l)
{
    if (l->task != NULL)
        env_task_join(l->task);
    l->task = NULL;
}

void lookup_deinit(struct lookup *l)
{
    lookup_settle(l);
    env_cond_deinit(&l->cond);
    env_mutex_deinit(&l->mu);
    shl_buf_free(&l->found);
}

/* True if the task has ended by the deadline; it is joined then. */
static bool ended_by(struct lookup *l, uint64_t deadline_ns)
{
    env_mutex_lock(&l->mu);
    while (!l->done && env_cond_wait_until(&l->cond, &l->mu, deadline_ns))
        continue;
    bool done = l->done;
    env_mutex_unlock(&l->mu);
    if (done)
        lookup_settle(l);
    return done;
}

bool lookup_run(struct lookup *l, enum lookup_kind kind, shale_db *db, const char *url,
                const shale_options *options, const char *prefix)
{
    uint64_t deadline_ns = env_now_mono_ns() + LOOKUP_LIMIT_MS * ENV_NS_PER_MS;
    if (l->task != NULL && !ended_by(l, deadline_ns))
        return false;
    if (strlen(prefix) >= sizeof l->prefix)
        return false;
    l->kind = kind;
    l->db = db;
    l->url = url;
    l->options = options;
    (void)snprintf(l->prefix, sizeof l->prefix, "%s", prefix);
    l->done = false;
    l->found.len = 0;
    if (env_task_spawn(&l->task, "complete", work, l) != SHALE_OK) {
        l->task = NULL;
        return false;
    }
    return ended_by(l, deadline_ns);
}
