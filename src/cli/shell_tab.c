/* Tab in the shell: commands, options, settings, checkpoints, keys - the completion of the program, asked with what was typed. */
#include "cli/complete.h"
#include "cli/shell.h"

struct tab {
    struct line_offers *out;
    bool failed;
};

static void emit(void *ctx, const char *word, const char *what)
{
    struct tab *tab = ctx;
    shale_error err;
    (void)what;
    if (tab->failed || word[0] == ':') /* names of files are the outer shell's business */
        return;
    size_t len = tab->out->words.len;
    if (words_quote(&tab->out->words, word, &err) != SHALE_OK ||
        shl_buf_append(&tab->out->words, "", 1, &err) != SHALE_OK) {
        tab->out->words.len = len;
        tab->failed = true;
    }
}

static void offer_dots(const struct complete_ask *ask, const char *typed)
{
    for (size_t i = 0; shell_dot_at(i) != NULL; i++)
        complete_offer(ask, typed, shell_dot_at(i)->name, NULL);
}

/* A choice of .help's "text|json|csv". */
static void offer_choices(const struct complete_ask *ask, const char *choices, const char *typed)
{
    char word[40];
    for (const char *at = choices; *at != '\0';) {
        size_t len = strcspn(at, "|");
        if (len < sizeof word && at[0] >= 'a' && at[0] <= 'z') {
            memcpy(word, at, len);
            word[len] = '\0';
            complete_offer(ask, typed, word, NULL);
        }
        at += len + (at[len] == '|');
    }
}

/* The arguments of dot commands are those of commands: asked as the command that takes the same. */
static void offer_arguments(struct shell *s, struct complete_ask *ask)
{
    static const struct {
        const char *dot;
        const char *like[3];
        size_t count;
    } same[] = {{".explain", {"explain"}, 1},
                {".help", {"help"}, 1},
                {".set", {"scan", "--set"}, 2},
                {".checkpoint", {"scan", "--checkpoint"}, 2}};
    const char *words[4];
    const char *dot = ask->words[0];
    const char *typed = ask->words[ask->count - 1];
    if (ask->count != 2)
        return;
    for (size_t i = 0; shell_dot_at(i) != NULL; i++)
        if (strcmp(shell_dot_at(i)->name, dot) == 0)
            offer_choices(ask, shell_dot_at(i)->args, typed);
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        if (strcmp(same[i].dot, dot) != 0)
            continue;
        memcpy(words, same[i].like, same[i].count * sizeof *words);
        words[same[i].count] = typed;
        ask->words = words;
        ask->count = same[i].count + 1;
        complete(&s->opener, ask);
        return;
    }
}

void shell_tab(void *shell, const char *before_cursor, struct line_offers *out)
{
    struct shell *s = shell;
    struct tab tab = {.out = out};
    struct words w;
    shale_error err;
    if (words_split(&w, before_cursor, true, &err) == SHALE_OK) {
        if (!w.open)
            w.items[w.count++] = ""; /* the next word begins; room for it was taken */
        out->from = w.last_at;
        struct complete_ask ask = {.words = w.items,
                                   .count = w.count,
                                   .shell_db = s->session.url,
                                   .lookup = &s->session.lookup,
                                   .db = s->session.db,
                                   .emit = emit,
                                   .ctx = &tab};
        if (w.items[0][0] == '.' && w.count == 1)
            offer_dots(&ask, w.items[0]);
        else if (w.items[0][0] == '.')
            offer_arguments(s, &ask);
        else
            complete(&s->opener, &ask);
    }
    words_deinit(&w);
}
