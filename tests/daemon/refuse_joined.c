/* Preloaded: the tunnel device refuses joined packets whose last segment is shorter, as Linux 6.6.44 does (EINVAL). */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    static ssize_t (*next)(int, const struct iovec *, int);
    uint8_t type;
    uint16_t segment;
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "writev");
    if (count > 2 && parts[0].iov_len == 10) {
        memcpy(&type, (const uint8_t *)parts[0].iov_base + 1, 1);
        memcpy(&segment, (const uint8_t *)parts[0].iov_base + 4, 2);
        if (type && parts[count - 1].iov_len < segment) {
            errno = EINVAL;
            return -1;
        }
    }
    return next(fd, parts, count);
}
