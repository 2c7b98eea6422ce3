/* A sender and a receiver of one TCP stream, which cost little themselves.
 *
 * stream take PORT COUNT         accept one connection and read COUNT bytes; prints the nanoseconds from the first to the last
 * stream give ADDRESS PORT COUNT connect, and write COUNT bytes
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[65536];

static int fail(const char *what)
{
    perror(what);
    return 1;
}

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int take(int port, long long count)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&place, sizeof place) || listen(listener, 1))
        return fail("listen");
    int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        return fail("accept");
    long long begin = 0;
    while (count > 0) {
        ssize_t size = read(fd, buffer, sizeof buffer);
        if (size <= 0)
            return fail("read");
        if (!begin)
            begin = now();
        count -= size;
    }
    printf("took %lld\n", now() - begin);
    return 0;
}

static int give(const char *address, int port, long long count)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    inet_pton(AF_INET, address, &place.sin_addr);
    if (connect(fd, (struct sockaddr *)&place, sizeof place))
        return fail("connect");
    while (count > 0) {
        ssize_t size = write(fd, buffer, count < (long long)sizeof buffer ? (size_t)count : sizeof buffer);
        if (size <= 0)
            return fail("write");
        count -= size;
    }
    /* The receiver closes first. */
    return read(fd, buffer, 1) == 0 ? 0 : fail("end");
}

int main(int count, char **words)
{
    if (count == 4 && !strcmp(words[1], "take"))
        return take(atoi(words[2]), atoll(words[3]));
    if (count == 5 && !strcmp(words[1], "give"))
        return give(words[2], atoi(words[3]), atoll(words[4]));
    fprintf(stderr, "usage: stream take PORT COUNT | give ADDRESS PORT COUNT\n");
    return 2;
}
