/* The least that a bucket can be, for measuring clients: one thread, answers every PUT with an ETag and every GET with the bytes that its Range asks
 * for (zeros). usage: fake_s3 PORT     prints "ready" and runs until it is killed. Listens on 127.0.0.1 alone. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, BODY_MAX = 1 << 20, FDS_MAX = 4096 };

struct peer {
    char head[HEAD_MAX];
    size_t len;       /* bytes in head */
    long long to_eat; /* of a body that is being sent to us */
};
static struct peer *peers[FDS_MAX];
static const char zeros[BODY_MAX];

static void answer(int fd, const char *head)
{
    char text[512];
    unsigned long long first = 0, last = 4095;
    size_t body = 0;
    const char *range = strcasestr(head, "range: bytes=");
    if (strncmp(head, "GET", 3) == 0) {
        if (range != NULL)
            (void)sscanf(range + 13, "%llu-%llu", &first, &last);
        body = (size_t)(last - first + 1);
        if (body > BODY_MAX)
            body = BODY_MAX;
        snprintf(
            text, sizeof text,
            "HTTP/1.1 %s\r\nContent-Length: %zu\r\n"
            "ETag: \"9336ebf25087d91c818ee6e9ec29f8c1\"\r\nLast-Modified: Thu, 15 Jan 2026 "
            "08:30:00 GMT\r\n"
            "Accept-Ranges: bytes\r\nContent-Type: application/octet-stream\r\nServer: fake\r\n"
            "x-amz-request-id: 18EC1155C3535FC0\r\n",
            range != NULL ? "206 Partial Content" : "200 OK", body);
        size_t n = strlen(text);
        if (range != NULL)
            n += (size_t)snprintf(text + n, sizeof text - n,
                                  "Content-Range: bytes %llu-%llu/1073741824\r\n", first,
                                  first + body - 1);
        snprintf(text + n, sizeof text - n, "\r\n");
    } else {
        snprintf(text, sizeof text,
                 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "
                 "\"9336ebf25087d91c818ee6e9ec29f8c1\"\r\n\r\n");
    }
    struct iovec parts[2] = {{text, strlen(text)}, {(void *)(size_t)zeros, body}};
    size_t left = parts[0].iov_len + body;
    struct iovec *at = parts;
    while (
        left >
        0) { /* small answers fit the socket's buffer; large ones spin, which is the server's CPU */
        ssize_t n = writev(fd, at, at == parts ? 2 : 1);
        if (n < 0 && errno != EAGAIN)
            return;
        if (n <= 0)
            continue;
        left -= (size_t)n;
        while (n > 0 && (size_t)n >= at->iov_len) {
            n -= (ssize_t)at->iov_len;
            at++;
        }
        if (n > 0) {
            at->iov_base = (char *)at->iov_base + n;
            at->iov_len -= (size_t)n;
        }
    }
}

/* Handles what is whole in the buffer. */
static void handle(int fd, struct peer *p)
{
    for (;;) {
        if (p->to_eat > 0) {
            size_t n = (long long)p->len < p->to_eat ? p->len : (size_t)p->to_eat;
            p->to_eat -= (long long)n;
            memmove(p->head, p->head + n, p->len - n);
            p->len -= n;
            if (p->to_eat > 0)
                return;
            answer(fd, "PUT");
        }
        p->head[p->len < HEAD_MAX ? p->len : HEAD_MAX - 1] = '\0';
        char *end = strstr(p->head, "\r\n\r\n");
        if (end == NULL)
            return;
        size_t head = (size_t)(end - p->head) + 4;
        *end = '\0';
        const char *length = strcasestr(p->head, "content-length: ");
        long long body = length != NULL ? atoll(length + 16) : 0;
        if (body == 0)
            answer(fd, p->head);
        memmove(p->head, p->head + head, p->len - head);
        p->len -= head;
        p->to_eat = body;
    }
}

static void on_readable(int fd)
{
    struct peer *p = peers[fd];
    for (;;) {
        ssize_t n = recv(fd, p->head + p->len, HEAD_MAX - 1 - p->len, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            close(fd);
            free(p);
            peers[fd] = NULL;
            return;
        }
        p->len += (size_t)n;
        handle(fd, p);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), ep = epoll_create1(0);
    if (argc != 2)
        return 2;
    a.sin_port = htons((unsigned short)atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(listener, 1024) != 0) {
        perror("fake_s3");
        return 1;
    }
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, got[256];
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(ep, got, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = got[i].data.fd;
            if (fd != listener) {
                on_readable(fd);
                continue;
            }
            fd = accept(listener, NULL, NULL);
            if (fd < 0 || fd >= FDS_MAX)
                continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            peers[fd] = calloc(1, sizeof *peers[fd]);
            e = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
            epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
        }
    }
}
