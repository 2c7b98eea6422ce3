/* What makes the life of a daemon hard.
 *
 * hostile flood ADDRESS PORT FILE SIZE RATE  send the messages of the file, of SIZE bytes each, by UDP: RATE of them a second, in
 *                                            bursts of ten, again and again until it is killed
 * hostile eat                                use more and more memory, until it is killed
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char messages[1 << 20];

static int fail(const char *what)
{
    perror(what);
    return 1;
}

static int flood(const char *address, int port, const char *name, size_t size, int rate)
{
    FILE *file = fopen(name, "rb");
    size_t count = file ? fread(messages, size, sizeof messages / size, file) : 0;
    if (!count)
        return fail(name);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    inet_pton(AF_INET, address, &place.sin_addr);
    if (fd < 0 || connect(fd, (struct sockaddr *)&place, sizeof place))
        return fail("connect");
    for (size_t n = 0;; n++) {
        /* A message that the network refuses is lost, like any other. */
        ssize_t sent = send(fd, messages + n % count * size, size, 0);
        (void)sent;
        if (n % 10 == 9)
            usleep(10 * 1000000 / (useconds_t)rate);
    }
}

static int eat(void)
{
    for (;;) {
        char *piece = malloc(1 << 18);
        if (!piece)
            return fail("malloc");
        memset(piece, 1, 1 << 18);
    }
}

int main(int count, char **words)
{
    if (count == 7 && !strcmp(words[1], "flood"))
        return flood(words[2], atoi(words[3]), words[4], (size_t)atol(words[5]), atoi(words[6]));
    if (count == 2 && !strcmp(words[1], "eat"))
        return eat();
    fprintf(stderr, "usage: hostile flood ADDRESS PORT FILE SIZE RATE | eat\n");
    return 2;
}
