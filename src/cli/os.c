#include "cli/os.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A signal handler can reach nothing else: the only mutable globals of the program. A byte in the pipe wakes os_read, so that
 * no signal is lost between the look at stop_code and the wait for input. */
static volatile sig_atomic_t stop_code;
static int wake_pipe[2] = {-1, -1};

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

int os_write(int fd, const void *data, size_t len)
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

/* Until there is input or a signal asked to stop. */
static void wait_readable(int fd)
{
    struct pollfd both[2] = {{.fd = fd, .events = POLLIN}, {.fd = wake_pipe[0], .events = POLLIN}};
    if (wake_pipe[0] >= 0)
        (void)poll(both, 2, -1); /* whatever it answers, the caller looks */
}

int os_read(int fd, void *dst, size_t cap, size_t *out_len)
{
    for (;;) {
        wait_readable(fd);
        if (stop_code != 0)
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

int os_open_read(int *out_fd, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    *out_fd = fd;
    return 0;
}

void os_close(int fd)
{
    (void)close(fd);
}

static void leave_now(int sig)
{
    _exit(sig == SIGTERM ? 143 : 130);
}

static void stop_safely(int sig)
{
    if (stop_code != 0)
        leave_now(sig);
    stop_code = sig == SIGTERM ? 143 : 130;
    int saved = errno;
    ssize_t ignored = write(wake_pipe[1], "", 1);
    (void)ignored;
    errno = saved;
}

void os_signals(enum os_stop_mode mode)
{
    struct sigaction action;
    if (mode == OS_STOP_SAFELY && wake_pipe[0] < 0 && pipe(wake_pipe) != 0)
        wake_pipe[0] = wake_pipe[1] = -1; /* signals still interrupt a read that has begun */
    memset(&action, 0, sizeof action);
    action.sa_handler = mode == OS_STOP_NOW ? leave_now : stop_safely;
    sigemptyset(&action.sa_mask);
    /* No SA_RESTART: a read from a terminal or pipe has to come back. */
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    /* A parent may have left SIGPIPE ignored; writes are checked, so that the cause of an end stays ours to tell. */
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

int os_stop_code(void)
{
    return stop_code;
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

bool os_read_line(char *dst, size_t cap)
{
    if (fgets(dst, (int)cap, stdin) == NULL)
        return false;
    dst[strcspn(dst, "\r\n")] = '\0';
    return true;
}
