/* A model server that only streams: what it costs must be little next to what is measured.
 *
 *   stream_engine PORT CHUNKS INTERVAL_MS
 *
 * Each POST is answered with CHUNKS server-sent events: all at once (INTERVAL_MS 0), one every INTERVAL_MS, or the first
 * one and then nothing (INTERVAL_MS below 0). One more event tells the usage where the request asks for that, as the
 * gateway's do. Any GET tells what was sent so far: {"streams":N,"chunks":N}, where
 * `streams` are those that are open now.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_FD 65536
#define HEAD "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
#define EVENT                                                                                                          \
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"model\":\"bench\",\"choices\":[{\"index\":0," \
    "\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n"
#define USAGE                                                                                                          \
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"model\":\"bench\",\"choices\":[]," \
    "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":200,\"total_tokens\":209}}\n\n"

struct conn {
    char in[8192]; /* the request; its body must fit */
    int have;
    int left;     /* chunks to send; 0: no stream is open */
    int usage;    /* 1: asked for */
    long long due; /* when the next one goes, in us */
};

static struct conn *conns[MAX_FD];
static int open_fds, streams, chunks_each, interval_ms;
static long long sent;
static char chunk[512], end[2][512], burst[2][1 << 20]; /* without usage, with usage */
static int chunk_len, end_len[2], burst_len[2];

static long long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void drop(int fd) {
    if (conns[fd]->left) streams--;
    free(conns[fd]);
    conns[fd] = NULL;
    close(fd);
}

static int put(int fd, const char *data, int len) { /* what a reader that is too slow cannot take is an error here */
    if (write(fd, data, len) == len) return 1;
    drop(fd);
    return 0;
}

static void begin(int fd) {
    struct conn *c = conns[fd];
    streams++;
    c->left = chunks_each;
    c->usage = strstr(c->in, "include_usage") != NULL;
    char first[1024];
    int len = snprintf(first, sizeof first, "%s%s", HEAD, chunk);
    sent++;
    c->left--;
    if (!put(fd, first, len)) return;
    if (interval_ms < 0) {
        c->left = 1;
        c->due = 1LL << 62;
    } else if (interval_ms == 0) {
        sent += c->left;
        c->left = 0;
        streams--;
        put(fd, burst[c->usage], burst_len[c->usage]);
    } else {
        c->due = now_us() + interval_ms * 1000LL;
    }
}

static void next_chunk(int fd) {
    struct conn *c = conns[fd];
    c->due += interval_ms * 1000LL;
    c->left--;
    sent++;
    if (!put(fd, chunk, chunk_len)) return;
    if (c->left == 0) {
        streams--;
        put(fd, end[c->usage], end_len[c->usage]);
    }
}

static void answer(int fd) {
    struct conn *c = conns[fd];
    if (strncmp(c->in, "POST", 4) == 0) {
        begin(fd);
        return;
    }
    char body[128], reply[512];
    int len = snprintf(body, sizeof body, "{\"streams\":%d,\"chunks\":%lld}", streams, sent);
    len = snprintf(reply, sizeof reply,
                   "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", len, body);
    put(fd, reply, len);
}

static void readable(int fd) {
    struct conn *c = conns[fd];
    int got = read(fd, c->in + c->have, sizeof c->in - 1 - c->have);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) drop(fd);
        return;
    }
    c->have += got;
    c->in[c->have] = 0;
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end) return;
    char *length = strcasestr(c->in, "\r\ncontent-length:");
    int body = length && length < end ? atoi(length + 17) : 0;
    if (c->have < end + 4 - c->in + body) return;
    c->have = 0;
    answer(fd);
}

static void add(int usage, const char *data, int len) {
    memcpy(burst[usage] + burst_len[usage], data, len);
    burst_len[usage] += len;
}

static void tick(void) {
    long long now = now_us();
    for (int fd = 0; fd <= open_fds; fd++)
        if (conns[fd] && conns[fd]->left && conns[fd]->due <= now) next_chunk(fd);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    signal(SIGPIPE, SIG_IGN); /* a client that left is an error of write */
    struct rlimit limit = {MAX_FD, MAX_FD};
    setrlimit(RLIMIT_NOFILE, &limit);
    chunks_each = atoi(argv[2]);
    interval_ms = atoi(argv[3]);
    chunk_len = snprintf(chunk, sizeof chunk, "%zx\r\n%s\r\n", sizeof EVENT - 1, EVENT);
    end_len[0] = snprintf(end[0], sizeof end[0], "0\r\n\r\n");
    end_len[1] = snprintf(end[1], sizeof end[1], "%zx\r\n%s\r\n%s", sizeof USAGE - 1, USAGE, end[0]);
    for (int usage = 0; usage < 2 && interval_ms == 0; usage++) {
        for (int i = 1; i < chunks_each; i++) add(usage, chunk, chunk_len);
        add(usage, end[usage], end_len[usage]);
    }

    int one = 1, big = 1 << 20, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poll = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &big, sizeof big); /* a whole burst fits */
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("stream_engine");
        return 1;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poll, ready, 256, interval_ms > 0 ? 1 : -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd != listener) {
                if (conns[fd]) readable(fd);
                continue;
            }
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0 && fd < MAX_FD) {
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                conns[fd] = calloc(1, sizeof(struct conn));
                if (fd > open_fds) open_fds = fd;
                event.data.fd = fd;
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
            }
        }
        if (interval_ms > 0) tick();
    }
}
