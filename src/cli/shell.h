/* The parts of the shell: lines in (shell.c), commands that drive the shell itself (shell_dot.c), Tab (shell_tab.c). One task. */
#ifndef SHL_CLI_SHELL_H
#define SHL_CLI_SHELL_H

#include "base/array.h"
#include "cli/line.h"
#include "cli/session.h"
#include "cli/words.h"

enum shell_mode { SHELL_TEXT, SHELL_JSON, SHELL_CSV, SHELL_HEX };

/* Where lines come from, when nobody types them. */
struct shell_source {
    int fd;
    const char *name; /* of the file; borrowed */
    uint64_t line;    /* from 1 */
    struct shl_buf buf;
    size_t at;
    bool over;
};

struct shell {
    struct cli *c; /* the program's own: its command line and stdout */
    struct cli opener;
    const char **opener_argv;   /* owned array: what opener.args point into */
    struct shl_buf opener_text; /* owned: the words of that */
    struct cli_session session;
    struct line *line;            /* owned; NULL: nobody types */
    struct shell_source *source;  /* borrowed: of the line that runs; NULL: typed */
    SHL_ARRAY(char *) sets;       /* owned: "NAME=V" of .set */
    char limit[40];               /* of .limit; "": none */
    char at[300];                 /* "FILE:LINE" */
    enum shell_mode mode;
    bool timer;
    bool requests;
    bool leave;
    unsigned depth; /* of .read */
    int no;         /* CLI_NO once a command of a script said no */
    int failed;     /* first failure that --keep-going went past */
};

/* Runs a line; its exit code. */
int shell_line(struct shell *s, const char *text);
/* Runs words of a command of the program. */
int shell_command(struct shell *s, const char *const *words, size_t count);
/* Runs lines until they end or one fails. */
int shell_lines(struct shell *s, struct shell_source *from);
/* Lets the settings take effect: the handle is closed and opened anew by the next command. 0 or an exit code. */
int shell_reopen(struct shell *s);
/* A line's state, for messages. */
struct cli shell_cli(struct shell *s);

/* ---- shell_dot.c */
struct shell_dot {
    const char *name;
    const char *args; /* for .help */
    const char *what;
    unsigned args_min;
    unsigned args_max;
    int (*run)(struct shell *s, struct cli *c, const char *const *words, size_t count);
};
const struct shell_dot *shell_dot_at(size_t index); /* NULL behind the last */
int shell_dot(struct shell *s, const char *const *words, size_t count);

/* ---- shell_tab.c */
void shell_tab(void *shell, const char *before_cursor, struct line_offers *out);

#endif
