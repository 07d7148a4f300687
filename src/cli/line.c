#include "cli/line.h"

#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "cli/os.h"

#include <stdio.h>

#ifdef SHALE_LIBEDIT
#include <histedit.h>
#include <locale.h>
#include <wchar.h>
#endif

struct line {
    line_complete_fn complete;
    void *ctx;
    const char *prompt; /* borrowed during line_read */
#ifdef SHALE_LIBEDIT
    EditLine *edit; /* owned; NULL: lines are read as they come */
    History *history;
#endif
};

/* ---- without an editor */

static enum line_end read_plain(const struct line *l, struct shl_buf *out)
{
    shale_error err;
    (void)os_write(CLI_STDERR, l->prompt, strlen(l->prompt));
    out->len = 0;
    for (;;) {
        char c;
        size_t n = 0;
        if (os_read(CLI_STDIN, &c, 1, &n) != 0)
            return LINE_STOPPED;
        if (n == 0)
            return LINE_OVER;
        if (c == '\n')
            return shl_str_terminate(out, &err) == SHALE_OK ? LINE_READ : LINE_OVER;
        if (shl_buf_append(out, &c, 1, &err) != SHALE_OK)
            return LINE_OVER;
    }
}

#ifdef SHALE_LIBEDIT

static const char *prompt_of(EditLine *edit)
{
    struct line *l = NULL;
    (void)el_get(edit, EL_CLIENTDATA, &l);
    return l->prompt;
}

/* libedit's own reader would not come back for a signal. */
static int read_char(EditLine *edit, wchar_t *out)
{
    mbstate_t state;
    (void)edit;
    memset(&state, 0, sizeof state);
    for (;;) {
        char c;
        size_t n = 0;
        if (os_read(CLI_STDIN, &c, 1, &n) != 0)
            return -1;
        if (n == 0)
            return 0;
        size_t used = mbrtowc(out, &c, 1, &state);
        if (used == (size_t)-2)
            continue;
        if (used == (size_t)-1)
            *out = (unsigned char)c;
        return 1;
    }
}

/* Common beginning of all words; their number in *count. */
static size_t common(const struct shl_buf *words, size_t *count)
{
    const char *first = (const char *)words->data;
    size_t len = words->len > 0 ? strlen(first) : 0;
    *count = 0;
    for (size_t at = 0; at < words->len; at += strlen((const char *)words->data + at) + 1) {
        const char *word = (const char *)words->data + at;
        size_t same = 0;
        while (same < len && word[same] == first[same])
            same++;
        len = same;
        ++*count;
    }
    while (len > 0 && len < strlen(first) && ((unsigned char)first[len] & 0xc0) == 0x80)
        len--; /* not into a character */
    return len;
}

/* In columns below the line. */
static void list_words(const struct shl_buf *words)
{
    size_t columns = os_columns();
    size_t widest = 0;
    size_t column = 0;
    char line[512];
    for (size_t at = 0; at < words->len; at += strlen((const char *)words->data + at) + 1)
        widest = shl_max_size(widest, strlen((const char *)words->data + at));
    widest = shl_min_size(widest + 2, sizeof line - 2);
    (void)os_write(CLI_STDOUT, "\n", 1);
    for (size_t at = 0; at < words->len; at += strlen((const char *)words->data + at) + 1) {
        bool wraps = column > 0 && column + widest > columns;
        int n = snprintf(line, sizeof line, "%s%-*.*s", wraps ? "\n" : "", (int)widest, (int)widest,
                         (const char *)words->data + at);
        (void)os_write(CLI_STDOUT, line, (size_t)n);
        column = (wraps ? 0 : column) + widest;
    }
    (void)os_write(CLI_STDOUT, "\n", 1);
}

/* Puts the word in the place of the `typed` characters before the cursor. */
static bool replace(EditLine *edit, size_t typed, const char *word, size_t len, bool whole)
{
    char text[600];
    bool more = len > 0 && word[len - 1] != '=';
    if (len >= sizeof text - 2)
        return false;
    (void)snprintf(text, sizeof text, "%.*s%s", (int)len, word, whole && more ? " " : "");
    el_deletestr(edit, (int)typed);
    return el_insertstr(edit, text) == 0;
}

static size_t characters(const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

static unsigned char on_tab(EditLine *edit, int key)
{
    struct line *l = NULL;
    const LineInfo *info = el_line(edit);
    struct line_offers offers = {0};
    size_t count = 0;
    unsigned char result = CC_REFRESH;
    (void)key;
    (void)el_get(edit, EL_CLIENTDATA, &l);
    size_t len = (size_t)(info->cursor - info->buffer);
    char *head = shl_slice_dup_cstr(shl_slice_of(info->buffer, len));
    if (head == NULL || l->complete == NULL) {
        env_free(head);
        return CC_ERROR;
    }
    offers.from = len;
    l->complete(l->ctx, head, &offers);
    size_t same = common(&offers.words, &count);
    size_t typed = characters(head + offers.from, len - offers.from);
    const char *word = (const char *)offers.words.data;
    if (count == 0) {
        result = CC_ERROR;
    } else if (count == 1 || same > len - offers.from) {
        if (!replace(edit, typed, word, same, count == 1))
            result = CC_ERROR;
    } else {
        list_words(&offers.words);
        result = CC_REDISPLAY;
    }
    shl_buf_free(&offers.words);
    env_free(head);
    return result;
}

/* Ctrl-D: the end on an empty line, else the next character goes. One that was typed while a command still ran stands in the line as a character. */
static unsigned char on_ctrl_d(EditLine *edit, int key)
{
    const LineInfo *info = el_line(edit);
    (void)key;
    if (info->lastchar == info->buffer || info->buffer[0] == '\004')
        return CC_EOF;
    if (info->cursor == info->lastchar)
        return CC_ERROR;
    (void)el_cursor(edit, 1);
    el_deletestr(edit, 1);
    return CC_REFRESH;
}

static bool start_editor(struct line *l)
{
    HistEvent event;
    const char *term = env_getenv("TERM");
    if (term == NULL || term[0] == '\0' || strcmp(term, "dumb") == 0)
        return true;
    (void)setlocale(LC_CTYPE, ""); /* how many columns a character takes */
    l->edit = el_init("shale", stdin, os_is_terminal(CLI_STDOUT) ? stdout : stderr, stderr);
    l->history = history_init();
    if (l->edit == NULL || l->history == NULL)
        return false;
    (void)history(l->history, &event, H_SETSIZE, 1000);
    (void)history(l->history, &event, H_SETUNIQUE, 1);
    (void)el_set(l->edit, EL_CLIENTDATA, l);
    (void)el_set(l->edit, EL_PROMPT, prompt_of);
    (void)el_set(l->edit, EL_EDITOR, "emacs");
    (void)el_set(l->edit, EL_SIGNAL, 0);
    (void)el_set(l->edit, EL_GETCFN, read_char);
    (void)el_set(l->edit, EL_HIST, history, l->history);
    /* The narrow call would copy the two texts and never free them. */
    (void)el_wset(l->edit, EL_ADDFN, L"shale-complete", L"complete the word", on_tab);
    (void)el_set(l->edit, EL_BIND, "^I", "shale-complete", NULL);
    (void)el_wset(l->edit, EL_ADDFN, L"shale-end", L"end, or delete", on_ctrl_d);
    (void)el_set(l->edit, EL_BIND, "^D", "shale-end", NULL);
    (void)el_set(l->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    (void)el_source(l->edit, NULL);
    return true;
}

static enum line_end read_edited(struct line *l, struct shl_buf *out)
{
    shale_error err;
    int count = 0;
    const char *text = el_gets(l->edit, &count);
    if (os_stop_code() != 0) {
        (void)os_write(CLI_STDOUT, "\n", 1);
        el_reset(l->edit);
        return LINE_STOPPED;
    }
    if (text == NULL || count <= 0)
        return LINE_OVER;
    size_t len = strcspn(text, "\r\n");
    if (len == 1 && text[0] == '\004')
        return LINE_OVER;
    return shl_buf_set(out, shl_slice_of(text, len), &err) == SHALE_OK &&
                   shl_str_terminate(out, &err) == SHALE_OK
               ? LINE_READ
               : LINE_OVER;
}

#endif

struct line *line_open(line_complete_fn complete, void *ctx)
{
    struct line *l = env_calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    l->complete = complete;
    l->ctx = ctx;
#ifdef SHALE_LIBEDIT
    if (!start_editor(l)) {
        line_close(l);
        return NULL;
    }
#endif
    return l;
}

void line_close(struct line *l)
{
    if (l == NULL)
        return;
#ifdef SHALE_LIBEDIT
    if (l->edit != NULL)
        el_end(l->edit);
    if (l->history != NULL)
        history_end(l->history);
#endif
    env_free(l);
}

void line_remember(void *l, const char *text)
{
#ifdef SHALE_LIBEDIT
    struct line *line = l;
    HistEvent event;
    if (line->history != NULL)
        (void)history(line->history, &event, H_ENTER, text);
#else
    (void)l;
    (void)text;
#endif
}

enum line_end line_read(struct line *l, const char *prompt, struct shl_buf *out)
{
    l->prompt = prompt;
#ifdef SHALE_LIBEDIT
    if (l->edit != NULL)
        return read_edited(l, out);
#endif
    return read_plain(l, out);
}
