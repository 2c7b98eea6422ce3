/* System calls that fail, in a process that was started with this library preloaded (LD_PRELOAD).
 *
 * What is to fail stands in a file that the process maps, FAULTS in its environment, and may change while it runs; there it
 * also counts what it made fail. Children of the process go on with it. What is written to standard error never fails.
 */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ERRORS_MOST = 12, SHORT = -1 };

/* Each function that may fail, and of what. SHORT: only a part is written. The order is that of `faults.py`. */
#define FUNCTIONS(F) \
    F(read, EINTR, EAGAIN, EIO) \
    F(readv, EINTR, EAGAIN) \
    F(write, EINTR, EAGAIN, EIO, ENOSPC, SHORT) \
    F(writev, EINTR, EAGAIN, EIO, EINVAL, ENOMEM) \
    F(send, EINTR, EAGAIN, ENOBUFS, EPIPE, SHORT) \
    F(sendto, EINTR, EAGAIN, ENOBUFS, EMSGSIZE, ENETUNREACH, EHOSTUNREACH, EPERM, EINVAL, EIO, ENETDOWN, EADDRNOTAVAIL) \
    F(sendmsg, EINTR, EAGAIN, ENOBUFS, EMSGSIZE, ENETUNREACH, EHOSTUNREACH, EPERM, EINVAL, EIO, ENETDOWN, EADDRNOTAVAIL) \
    F(recv, EINTR, EAGAIN, ENOBUFS, ECONNRESET) \
    F(recvfrom, EINTR, EAGAIN, ENOBUFS, ECONNRESET) \
    F(recvmsg, EINTR, EAGAIN, ECONNREFUSED, EHOSTUNREACH, ENOMEM, EIO) \
    F(poll, EINTR) \
    F(socket, EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES) \
    F(bind, EADDRINUSE, EACCES, EADDRNOTAVAIL) \
    F(listen, EADDRINUSE) \
    F(connect, ECONNREFUSED, EACCES, ENETUNREACH) \
    F(accept4, EMFILE, ENFILE, ECONNABORTED, EINTR, EAGAIN, ENOMEM) \
    F(setsockopt, ENOPROTOOPT, EPERM, EINVAL, ENOMEM) \
    F(getsockname, ENOBUFS) \
    F(ioctl, EPERM, EBUSY, EINVAL, ENODEV) \
    F(open, EMFILE, ENFILE, EACCES, EROFS, ENOSPC, EIO) \
    F(fsync, EIO, ENOSPC) \
    F(rename, EROFS, ENOSPC, EIO) \
    F(unlink, EROFS, EACCES, EIO) \
    F(mkdir, EROFS, ENOSPC, EACCES) \
    F(fork, EAGAIN, ENOMEM) \
    F(pipe2, EMFILE, ENFILE) \
    F(inotify_init1, EMFILE) \
    F(inotify_add_watch, ENOSPC, ENOENT)

#define NUMBER(name, ...) F_##name,
enum function { FUNCTIONS(NUMBER) COUNT };

#define TABLE(name, ...) {__VA_ARGS__},
static const int errors[COUNT][ERRORS_MOST] = {FUNCTIONS(TABLE)};

struct control {
    uint64_t chosen;     /* functions that may fail: a bit each */
    uint32_t rate;       /* of them one call in so many does; 0: none */
    uint32_t random;     /* where the dice are, never 0 */
    uint32_t nth;        /* only this call of the chosen ones fails, counted from 1; 0: by rate */
    uint32_t seen;       /* calls of the chosen ones */
    int32_t error;       /* what they fail of; 0: any of the table */
    uint32_t files;      /* open fails only for what is to be written, write only for files */
    uint32_t failed[COUNT][ERRORS_MOST];
};

static struct control *control;

__attribute__((constructor)) static void map_control(void)
{
    const char *name = getenv("FAULTS");
    int (*real_open)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    int fd = name ? real_open(name, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *found = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (found != MAP_FAILED)
        control = found;
}

static uint32_t throw_dice(void)
{
    uint32_t x = control->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return control->random = x;
}

static bool is_due(enum function function)
{
    if (!control || !(control->chosen >> function & 1))
        return false;
    uint32_t seen = ++control->seen;
    if (control->nth)
        return seen == control->nth;
    return control->rate && throw_dice() % control->rate == 0;
}

/* Return what this call fails of, or 0. */
static int fault(enum function function)
{
    int choices = 0, which;
    if (!is_due(function))
        return 0;
    while (choices < ERRORS_MOST && errors[function][choices])
        choices++;
    which = (int)(throw_dice() % (uint32_t)choices);
    control->failed[function][which]++;
    if (control->error)
        return control->error;
    return errors[function][which];
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* A function that fails as it is. */
#define FAILING(number, result, name, declared, passed) \
    result name declared \
    { \
        static __typeof__(&name) real; \
        int error = fault(F_##number); \
        if (!real) \
            real = REAL(name); \
        if (error) { \
            errno = error == SHORT ? EIO : error; \
            return -1; \
        } \
        return real passed; \
    }

FAILING(readv, ssize_t, readv, (int fd, const struct iovec *parts, int count), (fd, parts, count))
FAILING(writev, ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
FAILING(read, ssize_t, read, (int fd, void *buf, size_t size), (fd, buf, size))
FAILING(sendto, ssize_t, sendto,
        (int fd, const void *buf, size_t size, int flags, const struct sockaddr *to, socklen_t to_size),
        (fd, buf, size, flags, to, to_size))
FAILING(sendmsg, ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
FAILING(recv, ssize_t, recv, (int fd, void *buf, size_t size, int flags), (fd, buf, size, flags))
FAILING(recvfrom, ssize_t, recvfrom,
        (int fd, void *restrict buf, size_t size, int flags, struct sockaddr *restrict from, socklen_t *restrict from_size),
        (fd, buf, size, flags, from, from_size))
FAILING(recvmsg, ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
FAILING(poll, int, poll, (struct pollfd *fds, nfds_t count, int timeout), (fds, count, timeout))
FAILING(socket, int, socket, (int domain, int type, int protocol), (domain, type, protocol))
FAILING(bind, int, bind, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size))
FAILING(listen, int, listen, (int fd, int backlog), (fd, backlog))
FAILING(connect, int, connect, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size))
FAILING(accept4, int, accept4, (int fd, struct sockaddr *restrict from, socklen_t *restrict size, int flags),
        (fd, from, size, flags))
FAILING(setsockopt, int, setsockopt, (int fd, int level, int name, const void *value, socklen_t size),
        (fd, level, name, value, size))
FAILING(getsockname, int, getsockname, (int fd, struct sockaddr *restrict name, socklen_t *restrict size), (fd, name, size))
FAILING(fsync, int, fsync, (int fd), (fd))
FAILING(rename, int, rename, (const char *from, const char *to), (from, to))
FAILING(unlink, int, unlink, (const char *path), (path))
FAILING(mkdir, int, mkdir, (const char *path, mode_t mode), (path, mode))
FAILING(fork, pid_t, fork, (void), ())
FAILING(pipe2, int, pipe2, (int fds[2], int flags), (fds, flags))

int inotify_init1(int flags);
int inotify_add_watch(int fd, const char *path, uint32_t mask);
FAILING(inotify_init1, int, inotify_init1, (int flags), (flags))
FAILING(inotify_add_watch, int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask))

/* Only a stream, or a file, may take a part of what is written. */
static bool is_stream(int fd)
{
    struct stat found;
    int type = 0;
    socklen_t size = sizeof type;
    if (fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode))
        return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
    return S_ISREG(found.st_mode) || S_ISFIFO(found.st_mode);
}

static bool is_file(int fd)
{
    struct stat found;
    return fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
}

ssize_t write(int fd, const void *buf, size_t size)
{
    static __typeof__(&write) real;
    bool is_spared = fd == STDERR_FILENO || (control && control->files && !is_file(fd));
    int error = is_spared ? 0 : fault(F_write);
    if (!real)
        real = REAL(write);
    if (error == SHORT && size > 1 && is_stream(fd))
        return real(fd, buf, size / 2);
    if (error) {
        errno = error == SHORT ? EIO : error;
        return -1;
    }
    return real(fd, buf, size);
}

ssize_t send(int fd, const void *buf, size_t size, int flags)
{
    static __typeof__(&send) real;
    int error = fault(F_send);
    if (!real)
        real = REAL(send);
    if (error == SHORT && size > 1 && is_stream(fd))
        return real(fd, buf, size / 2, flags);
    if (error) {
        errno = error == SHORT ? EIO : error;
        return -1;
    }
    return real(fd, buf, size, flags);
}

int ioctl(int fd, unsigned long request, ...)
{
    static int (*real)(int, unsigned long, ...);
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    int error = request == FIONBIO || request == FIOCLEX ? 0 : fault(F_ioctl); /* these cannot */
    if (!real)
        real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    if (error) {
        errno = error;
        return -1;
    }
    return real(fd, request, argument);
}

#define OPENING(name) \
    int name(const char *path, int flags, ...) \
    { \
        static int (*real)(const char *, int, ...); \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = va_arg(more, mode_t); \
        va_end(more); \
        bool is_spared = control && control->files && (flags & O_ACCMODE) == O_RDONLY; \
        int error = is_spared ? 0 : fault(F_open); \
        if (!real) \
            real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name); \
        if (error) { \
            errno = error; \
            return -1; \
        } \
        return real(path, flags, mode); \
    }

OPENING(open)
OPENING(open64)
