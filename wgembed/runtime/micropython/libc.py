"""The calls of the C library that the other modules share, and their errors.

`ffi` does not check the number of arguments, so each signature here must be that of the C function. The letters of the
third string: i int, I unsigned int, L unsigned long, l long, P pointer, s string.
"""

import os

import ffi

_libc = ffi.open(None)
func = _libc.func

errno = os.errno

open_ = func("i", "open", "sii")
close = func("i", "close", "i")
read = func("l", "read", "iPL")
write = func("l", "write", "iPL")
ioctl = func("i", "ioctl", "iLP")
fcntl = func("i", "fcntl", "iiL")
memcmp = func("i", "memcmp", "PPL")
memcpy = func("v", "memcpy", "PPL")
socket = func("i", "socket", "iii")
bind = func("i", "bind", "iPI")
connect = func("i", "connect", "iPI")
listen = func("i", "listen", "ii")
accept4 = func("i", "accept4", "iPPi")
getsockopt = func("i", "getsockopt", "iiiPP")
setsockopt = func("i", "setsockopt", "iiiPI")
getsockname = func("i", "getsockname", "iPP")
send = func("l", "send", "iPLi")
recv = func("l", "recv", "iPLi")
sendmsg = func("l", "sendmsg", "iPi")
recvmsg = func("l", "recvmsg", "iPi")
fork = func("i", "fork", "")
waitpid = func("i", "waitpid", "iPi")
exit_now = func("v", "_exit", "i")


def check(result):
    """Return the result of a call. OSError with its errno if the result is negative."""
    if result < 0:
        raise OSError(errno())
    return result
