#include "cli/os.h"

#include "base/env/env.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* A signal handler can reach nothing else: the only mutable globals of the program. A byte in the pipe wakes os_read, so that
 * no signal is lost between the look at stop_code and the wait for input. */
static _Atomic int stop_code;
static int wake_pipe[2] = {-1, -1};
static _Atomic int timed_out;
static const char *deadline_message;
static int deadline_code;
#define DEADLINE_GRACE_S 2

bool os_is_terminal(int fd)
{
    return isatty(fd) == 1;
}

unsigned os_columns(void)
{
    struct winsize size;
    for (int fd = CLI_STDOUT; fd <= CLI_STDERR; fd++) {
        memset(&size, 0, sizeof size);
        if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
            return size.ws_col;
    }
    const char *columns = getenv("COLUMNS");
    long n = columns != NULL ? strtol(columns, NULL, 10) : 0;
    return n >= 20 && n <= 10000 ? (unsigned)n : 80;
}

unsigned os_rows(void)
{
    struct winsize size;
    memset(&size, 0, sizeof size);
    return ioctl(CLI_STDOUT, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
}

/* `command` with the read end of the pipe as its stdin; 0 or errno. */
static int spawn_shell(pid_t *out, const char *command, const int ends[2])
{
    const char *const argv[] = {"sh", "-c", command, NULL};
    char *const *args; /* posix_spawn changes none of them; its prototype is older than const */
    memcpy(&args, &(const char *const *){argv}, sizeof args);
    posix_spawn_file_actions_t actions;
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed != 0)
        return failed;
    (void)posix_spawn_file_actions_adddup2(&actions, ends[0], CLI_STDIN);
    (void)posix_spawn_file_actions_addclose(&actions, ends[0]);
    (void)posix_spawn_file_actions_addclose(&actions, ends[1]);
    failed = posix_spawnp(out, "sh", &actions, NULL, args, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return failed;
}

bool os_pager(const char *command, const char *text, size_t len)
{
    struct sigaction ignore;
    struct sigaction before[2];
    int ends[2];
    int status = 0;
    pid_t child;
    if (pipe(ends) != 0)
        return false;
    os_life_still(true);
    int failed = spawn_shell(&child, command, ends);
    (void)close(ends[0]);
    /* Ctrl-C is the pager's; it may also end before it has read everything. */
    memset(&ignore, 0, sizeof ignore);
    ignore.sa_handler = SIG_IGN;
    (void)sigaction(SIGINT, &ignore, &before[0]);
    (void)sigaction(SIGPIPE, &ignore, &before[1]);
    if (failed == 0)
        (void)os_write(ends[1], text, len);
    (void)close(ends[1]);
    while (failed == 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    (void)sigaction(SIGINT, &before[0], NULL);
    (void)sigaction(SIGPIPE, &before[1], NULL);
    os_life_still(false);
    return failed == 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 127);
}

/* ---- the line of life. Whatever else is written to the terminal wipes it first. */

static struct {
    struct env_mutex mu; /* [const] while `begun` */
    _Atomic bool begun;
    volatile sig_atomic_t drawn; /* [mu] to set; signal handlers read it */
    unsigned busy;               /* [mu] writes under way, and reasons to keep still */
    uint64_t quiet_ns;           /* [mu] since when nothing was written */
} life;

static const char wipe[] = "\r\033[K";

static void wipe_life(void)
{
    ssize_t ignored = life.drawn != 0 ? write(CLI_STDERR, wipe, sizeof wipe - 1) : 0;
    (void)ignored;
    life.drawn = 0;
}

void os_life_begin(void)
{
    env_mutex_init(&life.mu);
    life.quiet_ns = env_now_mono_ns();
    life.begun = true;
}

void os_life_end(void)
{
    if (!life.begun)
        return;
    wipe_life();
    life.begun = false;
    env_mutex_deinit(&life.mu);
}

void os_life_still(bool on)
{
    if (!life.begun)
        return;
    env_mutex_lock(&life.mu);
    wipe_life();
    life.busy += on ? 1U : -1U;
    life.quiet_ns = env_now_mono_ns();
    env_mutex_unlock(&life.mu);
}

uint64_t os_life_quiet_ns(void)
{
    if (!life.begun)
        return 0;
    env_mutex_lock(&life.mu);
    uint64_t ns = life.busy > 0 ? 0 : env_now_mono_ns() - life.quiet_ns;
    env_mutex_unlock(&life.mu);
    return ns;
}

void os_life_draw(const char *line)
{
    env_mutex_lock(&life.mu);
    if (life.busy == 0) {
        ssize_t ignored = write(CLI_STDERR, line, strlen(line));
        (void)ignored;
        life.drawn = 1;
    }
    env_mutex_unlock(&life.mu);
}

static int write_all(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return errno;
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int os_write(int fd, const void *data, size_t len)
{
    bool seen = fd == CLI_STDOUT || fd == CLI_STDERR;
    if (seen)
        os_life_still(true);
    int failed = write_all(fd, data, len);
    if (seen)
        os_life_still(false);
    return failed;
}

/* Until there is input or a signal asked to stop. */
static void wait_readable(int fd)
{
    struct pollfd both[2] = {{.fd = fd, .events = POLLIN}, {.fd = wake_pipe[0], .events = POLLIN}};
    if (wake_pipe[0] >= 0)
        (void)poll(both, 2, -1); /* whatever it answers, the caller looks */
}

static int read_some(int fd, void *dst, size_t cap, size_t *out_len)
{
    for (;;) {
        wait_readable(fd);
        if (stop_code != 0 || timed_out != 0)
            return EINTR;
        ssize_t n = read(fd, dst, cap);
        if (n >= 0) {
            *out_len = (size_t)n;
            return 0;
        }
        if (errno != EINTR)
            return errno;
    }
}

int os_read(int fd, void *dst, size_t cap, size_t *out_len)
{
    os_life_still(true); /* it is not a store that is waited for */
    int failed = read_some(fd, dst, cap, out_len);
    os_life_still(false);
    return failed;
}

int os_open_read(int *out_fd, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    *out_fd = fd;
    return 0;
}

int os_open_write(int *out_fd, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return errno;
    *out_fd = fd;
    return 0;
}

uint64_t os_file_limit(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (uint64_t)limit.rlim_cur : 0;
}

int os_open_private(int *out_fd, const char *path, bool empty)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (empty ? O_TRUNC : 0), 0600);
    if (fd < 0)
        return errno;
    (void)fchmod(fd, 0600); /* an old file may be open to others */
    *out_fd = fd;
    return 0;
}

void os_close(int fd)
{
    (void)close(fd);
}

static void wake_reader(void)
{
    int saved = errno;
    ssize_t ignored = write(wake_pipe[1], "", 1);
    (void)ignored;
    errno = saved;
}

static void make_wake_pipe(void)
{
    if (wake_pipe[0] < 0 && pipe(wake_pipe) != 0)
        wake_pipe[0] = wake_pipe[1] = -1; /* signals still interrupt a read that has begun */
}

static void on_alarm(int sig)
{
    (void)sig;
    if (timed_out != 0) {
        wipe_life();
        ssize_t ignored = write(CLI_STDERR, deadline_message, strlen(deadline_message));
        (void)ignored;
        _exit(deadline_code);
    }
    timed_out = 1;
    (void)alarm(DEADLINE_GRACE_S);
    wake_reader();
}

void os_deadline(uint64_t ns, const char *message, int code)
{
    struct sigaction action;
    struct itimerval timer = {.it_value = {.tv_sec = (time_t)(ns / 1000000000),
                                           .tv_usec = (suseconds_t)(ns % 1000000000 / 1000)}};
    if (timer.it_value.tv_sec == 0 && timer.it_value.tv_usec == 0)
        timer.it_value.tv_usec = 1;
    make_wake_pipe();
    deadline_message = message;
    deadline_code = code;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGALRM, &action, NULL);
    (void)setitimer(ITIMER_REAL, &timer, NULL);
}

void os_deadline_forget(void)
{
    const struct itimerval never = {.it_value = {0}};
    (void)setitimer(ITIMER_REAL, &never, NULL);
    timed_out = 0;
}

bool os_timed_out(void)
{
    return timed_out != 0;
}

void os_hold_streams(void)
{
    for (int fd = CLI_STDIN; fd <= CLI_STDERR; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", fd == CLI_STDIN ? O_WRONLY : O_RDONLY) < 0)
            return;
}

static void leave_now(int sig)
{
    wipe_life();
    _exit(128 + sig);
}

static _Atomic(const char *) stop_text;

void os_stop_text(const char *text)
{
    stop_text = text;
}

static void tell_and_leave(int sig)
{
    const char *text = stop_text;
    wipe_life();
    ssize_t ignored = text != NULL ? write(CLI_STDERR, text, strlen(text)) : 0;
    (void)ignored;
    leave_now(sig);
}

static void stop_safely(int sig)
{
    if (stop_code != 0)
        leave_now(sig);
    stop_code = 128 + sig;
    wake_reader();
}

void os_signals(enum os_stop_mode mode)
{
    struct sigaction action, before;
    if (mode == OS_STOP_SAFELY)
        make_wake_pipe();
    memset(&action, 0, sizeof action);
    action.sa_handler = mode == OS_STOP_NOW ? tell_and_leave : stop_safely;
    sigemptyset(&action.sa_mask);
    /* No SA_RESTART: a read from a terminal or pipe has to come back. */
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    /* The terminal was closed; but for who asked not to be told (nohup). */
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        (void)sigaction(SIGHUP, &action, NULL);
    /* A parent may have left SIGPIPE ignored; writes are checked, so that the cause of an end stays ours to tell. */
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

int os_stop_code(void)
{
    return stop_code;
}

void os_stop_forget(void)
{
    char drained[64];
    struct pollfd woken = {.fd = wake_pipe[0], .events = POLLIN};
    stop_code = 0;
    while (wake_pipe[0] >= 0 && poll(&woken, 1, 0) > 0 &&
           read(wake_pipe[0], drained, sizeof drained) > 0)
        continue;
}

void os_die_of_pipe(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    (void)sigaction(SIGPIPE, &action, NULL);
    (void)raise(SIGPIPE);
    _exit(141);
}

void os_exit(int code)
{
    _exit(code);
}

bool os_read_line(char *dst, size_t cap)
{
    clearerr(stdin); /* a signal may have ended the question before */
    os_life_still(true);
    bool more = fgets(dst, (int)cap, stdin) != NULL;
    os_life_still(false);
    if (!more)
        return false;
    dst[strcspn(dst, "\r\n")] = '\0';
    return true;
}
