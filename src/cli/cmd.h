/* What every command gets, and the commands. */
#ifndef SHL_CLI_CMD_H
#define SHL_CLI_CMD_H

#include "base/bytes.h"
#include "base/env/env.h"
#include "cli/args.h"
#include "cli/out.h"
#include "cli/table.h"

#include <shale/shale.h>

/* What the library says while a command runs, and when to give up (watch.c). The library calls it from any task. */
#define CLI_CAUSES      4
#define CLI_SECRETS_MAX 32
struct cli_watch {
    struct env_mutex mu; /* [const] made by cli_watch_begin */
    bool ready;
    int trace_fd;                 /* [const]; -1: none */
    uint64_t requests;            /* [mu] sent over the network so far */
    char causes[CLI_CAUSES][256]; /* [mu] the last requests that failed, a ring */
    size_t cause_count;           /* [mu] */
    uint64_t waiting_ns;   /* [mu] when a person was told last that a store does not answer */
    uint64_t stop_seen_ns; /* [mu] when a signal to stop was seen; 0: not yet */
    _Atomic bool
        unsaved; /* rows wait to be made durable: a stop gives the bucket some seconds more */
    struct env_task *life;          /* owned: says for whom a terminal waits; NULL: nobody does */
    struct env_cond ended;          /* [mu] with `over` */
    bool begun;                     /* [const] `ended` was made */
    bool over;                      /* [mu] */
    char *secrets[CLI_SECRETS_MAX]; /* owned [const]: texts that no output may hold */
    size_t secret_count;
    char deadline_text[300];
    char stop_text[80];     /* what Ctrl-C says while no request has got through, */
    char halfway_text[120]; /* and from then on; "": nothing */
    bool got_through;       /* [mu] */
    char **hidden;          /* owned: words of the command line that `ps` shall not show */
    size_t hidden_count;
};

struct cli_session;

/* State of one run of the program, or of one line of a shell; one task. */
struct cli {
    struct cli_args args;
    struct out *out;         /* owned (a line of a shell borrows the shell's): stdout */
    shale_options *options;  /* owned: settings as given; NULL until cli_options */
    bool noted[2];           /* old words that were told already */
    struct cli_watch *watch; /* borrowed: one for all lines of a shell; NULL: nobody listens */
    shale_error err;
    bool shows_settings; /* a broken settings file is told in `broken` and passed over */
    char broken[512];    /* "" if none was */
    bool told;         /* `err` stands on stdout already: only what to do about it is left to say */
    const char *about; /* borrowed: what the last failure was about, if not the first argument */
    char facts[200];   /* what a failure leaves behind, told with it; "": nothing to say */
    bool has_written;  /* what failed has changed something before: no message may deny it */
    uint64_t rows;     /* printed or written by the command */
    shale_store_counts asked; /* by handles of the command that are closed */
    /* A line of a shell: */
    struct cli_session *session; /* borrowed: the open database; NULL outside of shells */
    size_t forwarded;            /* how many of args.given are the shell's own */
    const char *source;          /* "FILE:LINE" for messages; NULL: typed, or no shell */
};

/* ---- what the library says (watch.c) */
/* Takes secrets out of what `ps` shows of the command line: they live on in words of our own. */
void cli_watch_hide(struct cli *c, int argc, char **argv);
/* A word that was typed in a shell: secrets in it are kept from all that is shown. */
void cli_watch_word(struct cli *c, const char *word);
/* With the command line parsed: opens the trace, starts the clock of --timeout. False after a message. */
SHL_MUST bool cli_watch_begin(struct cli *c);
void cli_watch_end(struct cli *c);
/* Starts the clock of --timeout, which was given. */
void cli_watch_clock(struct cli *c);
/* A line of a shell begins or has ended. A signal to stop cancels the requests of the open handle. Between lines, when Ctrl-C means the line that is typed,
 * and while one writes, it waits some seconds first: a background flush that is cut off would end the handle. */
void cli_watch_line(struct cli *c, bool runs, bool writes);
/* "aws_secret_access_key=..": the value of a store option that nobody may see. */
bool cli_is_secret(const char *pair);
/* Lets the options call back here. */
void cli_watch_options(struct cli *c, shale_options *options);
/* Replaces secrets in `text` by as many stars. */
void cli_mask(const struct cli *c, char *text);
uint64_t cli_requests(struct cli *c);
/* A server was reached, or a write was tried: what is written from then on may or may not be there. */
bool cli_got_through(struct cli *c);

/* ---- settings (settings.c) */
/* Files that settings are read from, the strongest first; false behind the last. asked: it was named on the command line. */
bool cli_settings_file(const struct cli *c, size_t index, char *path, size_t cap, bool *asked);

/* True once --timeout has passed; c->err then says so. */
bool cli_out_of_time(struct cli *c);
/* Builds c->options from files, environment and command line, in their order. False after a message; exit code 2. */
SHL_MUST bool cli_options(struct cli *c);
/* ---- set-up (open.c) */
/* Opens the first argument. 0, or an exit code after a message. */
SHL_MUST int cli_open_writer(struct cli *c, shale_db **out);
/* The same, but a missing database is not made: for commands that would only take something away. */
SHL_MUST int cli_open_existing_writer(struct cli *c, shale_db **out);
SHL_MUST int cli_open_reader(struct cli *c, shale_db **out);
/* The checkpoint of --as-of, which is noted; c->options must be made. 0, or an exit code after a message. (cmd_when.c) */
SHL_MUST int cli_checkpoint_as_of(struct cli *c, shale_checkpoint_found *out);
/* Closes a reader, but not that of a shell; passes `code` on. */
int cli_close_reader(struct cli *c, shale_db *db, int code);
/* True if the objects of a database of this name lie under other names (docs/compat.md); notes it for a new one. */
bool cli_name_is_escaped(const struct cli *c, const char *url);
void cli_note_name(const struct cli *c, const char *url);
/* Closes a writer and reports what did not become durable, with --json also what put, del and load wrote; returns `code`, or the failure's exit code if it was 0. */
int cli_close_writer(struct cli *c, shale_db *db, int code);
/* The same where all that was written is durable already if `code` is 0 or that of a stop: a close that fails takes nothing away, and is noted. */
int cli_close_written(struct cli *c, shale_db *db, int code);
/* Closes a handle and counts its requests in c->asked. */
shale_code cli_close_counted(struct cli *c, shale_db *db);
/* --versions [A]..[B] into numbers, *to 0: no end. False after a message. */
bool cli_versions(struct cli *c, uint64_t *from, uint64_t *to);
/* A key or value of the command line; with --hex its bytes, held in *hold (owned by the caller). False after a message. */
SHL_MUST bool cli_bytes(struct cli *c, const char *text, const char *what, struct shl_buf *hold,
                        shale_slice *out);
/* The whole of a file or of stdin ("-"). False after a message. */
SHL_MUST bool cli_read_file(struct cli *c, const char *path, struct shl_buf *out);
/* The third word, "-" for stdin, or --value-file: a value to write, as of cli_bytes. help: the way out of a message. */
SHL_MUST bool cli_value(struct cli *c, const char *help, struct shl_buf *hold, shale_slice *out);
/* True between .begin and .commit of a shell: reads and writes go to its transaction. */
bool cli_in_txn(const struct cli *c);
/* True if what the command prints goes to a terminal. */
bool cli_to_terminal(const struct cli *c);
/* The durability asked for; notes an old word. */
shale_durability cli_durability(struct cli *c);

/* The name is typed: a "y" is too quick for a whole database. CLI_YES, or CLI_NO after a word. (cmd_manage.c) */
SHL_MUST int cli_ask_for_name(struct cli *c, const char *url);

/* ---- messages (report.c, ways.c) */
/* True if what goes to `fd` may be coloured or bold: a terminal that can, and nobody said no. */
bool cli_colour(const struct cli *c, int fd);
/* Prints c->err with its way out, as text or JSON; returns the exit code for it. `where` may be NULL. */
int cli_fail(struct cli *c, const char *where);
/* The same in a command that ends by a stop: then it has not failed. */
int cli_fail_or_end(struct cli *c, const char *where);
/* So long a terminal may stand still before something is said of what is waited for. */
#define CLI_SILENCE_NS (500 * ENV_NS_PER_MS)
/* A mistake on the command line; returns CLI_USAGE. `hint` (a command to try) may be NULL. */
int cli_usage(const struct cli *c, const char *hint, const char *format, ...) SHL_PRINTF(3, 4);
/* The command as it was given, with `more` (each word with a blank before it) behind its name and without secrets, to be pasted. */
void cli_command_again(const struct cli *c, const char *more, char *dst, size_t cap);
#define CLI_LISTS_KEYS    "shale scan {db} --prefix {key}{hex}\tkeys that begin so"
#define CLI_LISTS_S4_KEYS "shale s4 keys {db} --prefix {key}\tkeys that begin so"
/* A line with such a command, for people. */
void cli_try(const struct cli *c, const char *pattern);
/* A command to try, from a pattern of ways.c: "shale stat {db}", with what the command line said of the store. */
void cli_way(const struct cli *c, const char *pattern, char *dst, size_t cap);
/* A line of the input that cannot be used, with c->facts; returns CLI_FAILED. where: "FILE:LINE". */
int cli_bad_line(const struct cli *c, const char *where, const char *why);
/* A failure of the program's own surroundings (files, memory); returns CLI_FAILED. */
int cli_trouble(const struct cli *c, const char *format, ...) SHL_PRINTF(2, 3);
/* A line on stderr for people; not with --quiet or --json. */
void cli_note(const struct cli *c, const char *format, ...) SHL_PRINTF(2, 3);
/* The same for what must be known even with --quiet. */
void cli_tell(const struct cli *c, const char *format, ...) SHL_PRINTF(2, 3);
/* Flushes stdout; `code`, or CLI_FAILED after a message if it could not be written. */
int cli_finish(struct cli *c, int code);

/* The lines of `page`, folded with that indent where they are wider than the terminal that they go to. Frees it. (cmd_inspect.c) */
void cli_out_page(struct cli *c, struct out *page, size_t indent);
/* Sleeps in slices, so that Ctrl-C and --timeout need not wait for it. (cmd_inspect.c) */
void cli_pause(uint64_t ns);

/* ---- progress (progress.c) */
#define CLI_SAMPLES 11 /* one a second: the rate of the last ten */
struct cli_price;
struct cli_progress {
    const struct cli *c;
    const char *what;
    uint64_t start_ns;
    uint64_t drawn_ns;
    bool drawn;     /* a line stands on the terminal */
    uint64_t total; /* bytes; 0: unknown */
    unsigned mark;
    shale_db *db;                  /* borrowed: whose requests are shown; NULL: none */
    const struct cli_price *price; /* borrowed: what they cost; NULL: nothing is said */
    struct {
        uint64_t ns, bytes;
    } samples[CLI_SAMPLES]; /* a ring */
    size_t sample_count;
};
/* True if stderr is a terminal on which a line may be drawn again and again, and nobody said no. */
bool cli_progress_redraws(const struct cli *c);
void cli_progress_start(struct cli_progress *p, const struct cli *c, const char *what,
                        uint64_t total_bytes);
/* Cheap; draws when it is time. */
void cli_progress_tick(struct cli_progress *p, uint64_t rows, uint64_t bytes);
/* Wipes the line. */
void cli_progress_end(struct cli_progress *p);

/* ---- help (help.c) */
/* The first lines of the overview, or all of it. */
void cli_help_overview(struct out *o, bool whole);
void cli_help_command(struct out *o, const struct cli_command *command);
/* What -h shows for the words that were understood; through a pager on a terminal. */
int cli_help_for(struct cli *c);
/* Words of `text` behind `at` columns already used, wrapped at 100 columns with an indent of as many. */
void cli_wrapped(struct out *o, const char *text, size_t at);
/* A topic of `shale help` by name, NULL if there is none; the name and first line of each, NULL behind the last. */
struct cli_topic {
    const char *name;
    const char *summary;
    const char *text; /* NULL: made of the tables */
};
const struct cli_topic *cli_topic_at(size_t index);

/* ---- hidden commands: documents and completion, made of the table */
/* __doc list | man NAME | md NAME | names. */
int cli_doc(struct cli *c, int argc, char **argv);
/* __complete WORD..: candidates for the last word, a line each. */
int cli_complete_words(struct cli *c, int argc, char **argv);

/* ---- the commands */
int cmd_put(struct cli *c);
int cmd_get(struct cli *c);
int cmd_del(struct cli *c);
int cmd_scan(struct cli *c);
int cmd_load(struct cli *c);
int cmd_dump(struct cli *c);
int cmd_stat(struct cli *c);
int cmd_manifest(struct cli *c);
int cmd_sst(struct cli *c);
int cmd_wal(struct cli *c);
int cmd_tail(struct cli *c);
int cmd_explain(struct cli *c);
int cmd_gc(struct cli *c);
int cmd_sql(struct cli *c);
int cmd_sql_shell(struct cli *c);
int cmd_sql_init(struct cli *c);
int cmd_sql_pull(struct cli *c);
int cmd_sql_push(struct cli *c);
int cmd_sql_status(struct cli *c);
int cmd_sql_log(struct cli *c);
int cmd_sql_compact(struct cli *c);
int cmd_sql_gc(struct cli *c);
int cmd_sql_migrate(struct cli *c);
int cmd_clone(struct cli *c);
int cmd_restore(struct cli *c);
int cmd_delete(struct cli *c);
int cmd_when(struct cli *c);
int cmd_checkpoint_create(struct cli *c);
int cmd_checkpoint_list(struct cli *c);
int cmd_checkpoint_refresh(struct cli *c);
int cmd_checkpoint_delete(struct cli *c);
int cmd_store_ls(struct cli *c);
int cmd_store_cat(struct cli *c);
int cmd_store_cp(struct cli *c);
int cmd_store_rm(struct cli *c);
int cmd_store_stat(struct cli *c);
int cmd_store_mb(struct cli *c);
int cmd_store_doctor(struct cli *c);
int cmd_doctor(struct cli *c);
int cmd_config_show(struct cli *c);
int cmd_config_path(struct cli *c);
int cmd_bench(struct cli *c);
int cmd_compact(struct cli *c);
int cmd_compactions(struct cli *c);
int cmd_compactor(struct cli *c);
int cmd_compactor_worker(struct cli *c);
int cmd_shell(struct cli *c);
int cmd_completion(struct cli *c);
int cmd_help(struct cli *c);
int cmd_version(struct cli *c);
int cmd_s4_put(struct cli *c);
int cmd_s4_get(struct cli *c);
int cmd_s4_del(struct cli *c);
int cmd_s4_keys(struct cli *c);
int cmd_s4_dump(struct cli *c);
int cmd_s4_load(struct cli *c);
int cmd_s4_download(struct cli *c);
int cmd_s4_upload(struct cli *c);
int cmd_s4_flush(struct cli *c);
int cmd_s4_compact(struct cli *c);
int cmd_s4_rebuild(struct cli *c);
int cmd_s4_gc(struct cli *c);
int cmd_s4_stat(struct cli *c);

#endif
