/* What the program needs of the system beyond base/env: terminals, signals, streams. The only file of this room that calls it. */
#ifndef SHL_CLI_OS_H
#define SHL_CLI_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cli_fd { CLI_STDIN = 0, CLI_STDOUT = 1, CLI_STDERR = 2 };

bool os_is_terminal(int fd);
/* Width of the terminal behind stdout or stderr, else $COLUMNS, else 80. */
unsigned os_columns(void);

/* Lines of the terminal behind stdout; 24 if that is not known. */
unsigned os_rows(void);
/* Shows the text through `command` (as the shell reads it) and waits for its end; false if there is no such command: nothing was
 * shown then. */
bool os_pager(const char *command, const char *text, size_t len);

/* Whole write; 0 or errno. */
int os_write(int fd, const void *data, size_t len);
/* Up to cap bytes; *out_len 0 at the end. 0 or errno; EINTR when a signal asked to stop. */
int os_read(int fd, void *dst, size_t cap, size_t *out_len);
int os_open_read(int *out_fd, const char *path);
/* For writing; an old file is emptied. */
int os_open_write(int *out_fd, const char *path);
/* For adding to a file that nobody else may read (mode 0600), or for writing it anew. */
int os_open_private(int *out_fd, const char *path, bool empty);
void os_close(int fd);
/* How many files this process may have open; 0 if it is not known. */
uint64_t os_file_limit(void);

/* A line on the terminal behind stderr that says for whom we wait; begin and end on one task, the rest on any. What os_write writes to stdout
 * and stderr wipes it. While it is kept still (which nests), or nothing was begun, it is quiet for 0 ns. */
void os_life_begin(void);
void os_life_end(void);
void os_life_still(bool on);
/* How long nothing was written. */
uint64_t os_life_quiet_ns(void);
/* The line, with what puts the cursor to its front and clears the rest. */
void os_life_draw(const char *line);

/* Takes the numbers of standard streams that are closed, so that no file or pipe of ours gets them: reading and writing there fails as before. Before anything is opened. */
void os_hold_streams(void);

enum os_stop_mode {
    OS_STOP_NOW,   /* SIGINT, SIGTERM and SIGHUP leave at once with 130, 143 and 129 */
    OS_STOP_SAFELY /* the first only sets os_stop_code; the second leaves */
};
void os_signals(enum os_stop_mode mode);
/* What OS_STOP_NOW writes to stderr before it leaves; NULL: nothing. The text must live; any thread. */
void os_stop_text(const char *text);
/* From `ns` on os_timed_out says yes, and a read comes back with EINTR. Whatever hangs two seconds after that is left: `message` (which
 * must live) goes to stderr, and the process ends with `code`. */
void os_deadline(uint64_t ns, const char *message, int code);
bool os_timed_out(void);
/* Takes the deadline back, also one that has passed. */
void os_deadline_forget(void);
/* 0, or 130 / 143 / 129 once a signal asked to stop. */
int os_stop_code(void);
/* A shell goes on after Ctrl-C: forgets it, and that a second one would leave. */
void os_stop_forget(void);
/* The reader of our output went away: ends the process as SIGPIPE would, without a word. */
void os_die_of_pipe(void) __attribute__((noreturn));

/* Ends the process at once, whatever its tasks do. */
void os_exit(int code) __attribute__((noreturn));

/* One line from the terminal into dst (NUL-terminated, without the line end); false at the end of input. */
bool os_read_line(char *dst, size_t cap);

#endif
