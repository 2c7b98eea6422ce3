"""The contract of runtime: what both backends offer, and what callers can rely on.

Nothing imports this file. It is the reference, and a test compares the backends with it. A class with a name in lower case
is the module of that name in cpython/ and micropython/. Its static methods are the functions of the module.

These rules hold for all functions, unless a docstring says otherwise:

- If the kernel refuses a call, the function raises OSError with the kernel's errno. The text differs between backends.
- `fd` is an open file descriptor, an int. Programs that are executed do not inherit descriptors.
- No function waits, except for the disk.
- Paths, names and hosts are text. Contents are bytes. IP addresses are 4 or 16 bytes in network order, called packed.
  Ports, indices and marks are ints.
- A socket address (`addr`) is an object of the backend: hashable and compared by value. Callers do not look into it. `inet`
  makes it and splits it.
- If a class here has no `__init__`, another call returns its objects. Each backend has its own constructor for them.
"""

from . import abi


class clib:
    """Calls of C libraries for which there is no Python module."""

    class Library:
        """A shared library."""

        def __init__(self, path):
            """Load the library at `path`; None is the C library of the system. OSError if it cannot be loaded or called."""

        def function(self, result, name, arguments):
            """Return the function of this name. OSError if the library has no such function.

            The function is valid as long as the library object.

            result, arguments  a letter for each type: i and I 32 bits, signed and unsigned; Q 64 bits, unsigned; L an
                               unsigned long; P a pointer of crypto, bytes, or a writable buffer. There is no check
                               that the C function has these types.
            """

    @staticmethod
    def errno():
        """Return the errno of the last call that failed, of a function of a library."""


class clock:
    """Time."""

    LONGEST_SLEEP_MS: "int | None"  # the longest allowed time between two calls of now(), in ms; None: no limit

    @staticmethod
    def now():
        """Return the milliseconds of a clock that never goes back and cannot be set.

        The clock runs while the machine sleeps, except on kernels before 2.6.39 and on MicroPython for 32-bit machines.
        """

    @staticmethod
    def realtime():
        """Return the time of day: seconds and nanoseconds since 1970, two ints. This clock can be set."""


class files:
    """Descriptors, files, memory, the environment."""

    USUAL_PEERS: int  # the default size of the peer table. It depends on the memory that unused entries take
    USUAL_PREFIXES: int  # the default number of prefixes of each address family, for one interface

    # Descriptors

    @staticmethod
    def close(fd):
        """Close the descriptor."""

    @staticmethod
    def read(fd, size):
        """Return at most `size` bytes; b"" at the end. Waits for them if the descriptor is blocking."""

    @staticmethod
    def read_ready(fd, size):
        """Return at most `size` bytes from a non-blocking descriptor; b"" at the end, None if there are no bytes yet."""

    @staticmethod
    def write(fd, data):
        """Write all of `data` to a blocking descriptor."""

    @staticmethod
    def ioctl(fd, request, argument):
        """Call ioctl with a writable buffer, which the kernel can change."""

    @staticmethod
    def ioctl_number(fd, request, number):
        """Call ioctl with a number; return what it returns."""

    # Opening. Each returns an fd.

    @staticmethod
    def open_device(path):
        """Open a device for reading and writing, non-blocking."""

    @staticmethod
    def open_for_change(path):
        """Open an existing file for reading and writing."""

    @staticmethod
    def open_to_read(path):
        """Open a file, or a directory for `sync` and `lock`, for reading."""

    @staticmethod
    def create(path):
        """Create a file with mode 0600, and open it for reading and writing. OSError EEXIST if the file exists."""

    # Open files

    @staticmethod
    def lock(fd, shared=False):
        """Wait for the flock of the file and take it, exclusive unless `shared`. Does nothing on a kernel without flock."""

    @staticmethod
    def is_locked(fd):
        """Return whether another process or another open file has the exclusive flock now."""

    @staticmethod
    def set_owner(fd, owner):
        """Set the owner of the file: a pair, user and group."""

    @staticmethod
    def set_mode(fd, mode):
        """Set the permissions of the file."""

    @staticmethod
    def sync(fd):
        """Write the content of the file to the disk, and wait until it is there."""

    @staticmethod
    def write_over(fd, data):
        """Replace the content of an open file with `data`. The position of `fd` does not change."""

    # By path

    @staticmethod
    def read_file(path):
        """Return the content of the file."""

    @staticmethod
    def write_file(path, text):
        """Write `text` to the beginning of an existing file, such as a setting in /proc. OSError ENOENT if it is missing."""

    @staticmethod
    def write_new(path, data):
        """Create the file with mode 0600, or empty it, and write `data`. The file is not synced."""

    @staticmethod
    def status(path):
        """Return (device, inode), mode with the type, (user, group) and number of links of a file, given by path or fd."""

    @staticmethod
    def identity(path):
        """Return an object that is not equal any more when the file has changed. None if the file cannot be found.

        MicroPython has times in whole seconds. It misses a second change in the same second with the same size and inode.
        """

    @staticmethod
    def exists(path):
        """Return whether the path exists. False for a broken symbolic link."""

    @staticmethod
    def is_socket(path):
        """Return whether the path is a socket. False for ENOENT; another error is an OSError."""

    @staticmethod
    def real_path(path):
        """Return the absolute path of an existing file, without symbolic links."""

    @staticmethod
    def rename(old, new):
        """Rename the file. A file with the new name is replaced."""

    @staticmethod
    def remove(path):
        """Remove the name of a file or socket."""

    # Directories

    @staticmethod
    def make_directory(path, mode):
        """Make the directory with exactly this mode; the umask has no effect. Does nothing if the name exists."""

    @staticmethod
    def sync_directory(path):
        """Write the names in the directory to the disk, and wait until they are there."""

    @staticmethod
    def names(path):
        """Return the list of the names in the directory, in any order."""

    # Of this process

    @staticmethod
    def set_umask(mask):
        """Set the umask. Returns the previous one."""

    @staticmethod
    def getenv(name):
        """Return the value of the environment variable, or "" if it is not set."""

    @staticmethod
    def alloc(typecode, count):
        """Return `count` zeroed items of an array typecode, for a table that is never freed or resized.

        The result has items, slices, a length and the buffer protocol. With "B", pages that were never written are not
        resident. MemoryError or OSError if there is not enough memory.
        """

    @staticmethod
    def reserve(size):
        """Return a zeroed bytearray of `size` bytes, which is never freed."""


class heap:
    """Space at the beginning of MicroPython's heap for the frames of calls. On CPython the functions do nothing.

    The calls nest. The loading of the program counts as the first `reserve`, and start.py calls the `release` for it.
    """

    @staticmethod
    def reserve():
        """Call this before long-lived objects are made. It keeps them out of the space for frames."""

    @staticmethod
    def release(are_few=False):
        """Call this when they are made. The outermost call collects garbage and makes the space free for frames."""

    @staticmethod
    def size():
        """Return the size of the heap in bytes, 0 if it has no limit."""


class inet:
    """Addresses, ifindex, host names."""

    @staticmethod
    def is_ipv6(addr):
        """Return whether the socket address is of IPv6."""

    @staticmethod
    def make_address(packed, port, scope):
        """Return the socket address. `scope` is an ifindex or 0; it is ignored for IPv4."""

    @staticmethod
    def split_address(addr):
        """Undo `make_address`: return packed, port, scope."""

    @staticmethod
    def parse_ip(text):
        """Return the packed IP address. ValueError if the text is not an IP address, or has an IPv6 scope."""

    @staticmethod
    def format_ip(packed):
        """Return the IP address as text in its usual form (RFC 5952)."""

    @staticmethod
    def ifindex(name):
        """Return the ifindex of the link of this name, or None if the link does not exist."""

    @staticmethod
    def look_up(name):
        """Return the packed addresses of a host name, a list in the order of the resolver. Addresses can repeat.

        The list is empty if the name cannot be resolved. This function waits for name servers, and its memory is only freed
        with the process. So call it in a child process (see resolver.py).
        """


class local:
    """UNIX sockets, non-blocking, with mode 0600."""

    class Listener:
        """A listening socket."""

        fd: int  # readable while a client waits

        def __init__(self, path):
            """Make the socket at `path`, 107 bytes at most. After an OSError the path does not exist."""

        def accept(self):
            """Return a Stream, or None if no client waits any more. OSError if a client waits but no descriptor is free."""

        def close(self):
            """Stop listening. The path stays."""

    class Stream:
        """The server's end of a connection."""

        fd: int

        def receive_into(self, buf):
            """Receive into the buffer. Return the number of bytes; 0 at the end or after an error, None if none came yet."""

        def send(self, data):
            """Send as many bytes as possible. Return their number, which can be 0, or -1 if the other end is closed."""

        def close(self):
            """Close the connection."""

    @staticmethod
    def is_answered(path):
        """Return whether a program listens at `path`. `files.is_socket(path)` is true."""

    @staticmethod
    def notify(path, data):
        """Send one datagram to the socket at `path`, or at the abstract address if it begins with "@". OSError."""


class netlink:
    """The kernel's routing socket."""

    class Netlink:
        """A socket of NETLINK_ROUTE."""

        fd: int  # readable when there is something to receive

        def __init__(self, groups):
            """Open it and join the multicast `groups`, a bit mask."""

        def send(self, message):
            """Send one datagram to the kernel."""

        def receive(self):
            """Return one datagram, bytes-like, or None if nothing waits. OSError ENOBUFS: events were lost.

            The result is valid until one of these sockets receives again. MicroPython cuts a datagram at 16384 bytes.
            """

        def hear_all_namespaces(self):
            """Hear the groups of all network namespaces that have a number here. OSError without CAP_NET_BROADCAST."""

        def join(self, group):
            """Join the multicast group of this number."""

        def leave(self, group):
            """Leave the multicast group of this number."""

        def receive_from(self):
            """Return a datagram as `receive` does, and the number of its namespace, None for the own one.

            Both are None if there is none.
            """

        def close(self):
            """Close the socket."""


class notify:
    """Events of a directory (inotify)."""

    class DirectoryWatch:
        """A watch that lasts as long as the process."""

        fd: int  # readable when something has happened

        def __init__(self, path, mask):
            """Watch the directory for the events in `mask` (IN_* of the kernel). OSError if the kernel has no inotify."""

        def drain(self):
            """Read and discard the events that wait, so that only new ones make `fd` readable. Raises no errors."""


class poll:
    """Waiting for descriptors."""

    # Bit masks
    IN: int  # can be read
    OUT: int  # can be written to
    ERROR: int  # it failed, was hung up or is not open: always reported

    class Poller:
        """A set of descriptors."""

        def __init__(self):
            """Make an empty set."""

        def watch(self, fd, events):
            """Wait for `events` of this descriptor: IN, OUT or both. They replace the events from an earlier call."""

        def forget(self, fd):
            """Remove the descriptor from the set, before it is closed."""

        def wait(self, timeout):
            """Wait up to `timeout` ms, or for ever if None. Return an iterable of (fd, events) of the ready descriptors.

            Iterate it once, before the next `wait`. A pair is valid until the next pair.
            """


class probe:
    """Sockets that test a path. Only commands load this module."""

    class Probe:
        """Datagrams to one address, and the errors that routers report for them."""

        fd: int  # readable when there is an answer

        def __init__(self, addr, fwmark=0, link="", echo=False):
            """Connect a datagram socket, or with `echo` a raw ICMP socket, to the socket address. OSError without a route.

            fwmark  the firewall mark of the datagrams; 0 for no mark
            link    the name of the link by which they leave; "" for any
            echo    send and receive whole ICMP or ICMPv6 messages. On IPv4, received ones include the IP header.
            """

        def send(self, data):
            """Send one datagram or message."""

        def receive(self):
            """Return one datagram, bytes, or None if nothing waits. OSError with the errno that a router reported."""

        def close(self):
            """Close the socket."""


class process:
    """The process itself: signals, log lines, children."""

    SIGHUP: int
    SIGINT: int
    SIGTERM: int

    class Signals:
        """Signals that are read like data. A process has one object."""

        fd: int  # readable when a signal has come

        def __init__(self, numbers):
            """Receive these signals, an iterable of numbers, at `fd`: they do not end the process. Ignore SIGPIPE."""

        def pending(self):
            """Return the numbers of the signals that came since the last call: an iterable, which can be empty."""

    @staticmethod
    def name_process():
        """Set the name of the process, for ps and top, to wgembed."""

    @staticmethod
    def pid():
        """Return the number of this process."""

    @staticmethod
    def strerror(errno):
        """Return the C library's text for the errno, a number above 0: "Invalid argument"."""

    @staticmethod
    def write_line(text):
        """Write the text and a line feed to the standard error. Raises no errors."""

    @staticmethod
    def spawn(function):
        """Run function() in a child process. Only the standard descriptors stay open there.

        Return (pid, fd). The function returns bytes, and the caller reads them, to the end, from the non-blocking `fd`.
        If the function raised, there are no bytes. The caller closes `fd` and calls `end` with `pid`.
        """

    @staticmethod
    def spawn_command(command, environment, data):
        """Run a command, a list of its path and arguments, with `data` as its standard input.

        Return (pid, fd) as `spawn` does; `fd` is its standard output. The environment is a dict. Only for a command that
        `start.pyroute2_command` returned.
        """

    @staticmethod
    def spawn_program(command, has_input=False):
        """Run a command, a list of its path and arguments, with our environment and without input.

        Return (pid, fd) as `spawn` does; `fd` is its standard output. If there is no such program, there are no bytes.
        `has_input`: return (pid, fd, input); the command reads what we write to the non-blocking `input`.
        """

    @staticmethod
    def end(pid):
        """Kill the child process if it still runs, and wait for it."""


class start:
    """Becoming the daemon."""

    @staticmethod
    def daemon(name, foreground, serve, variables=()):
        """Serve the interface. Return an exit status for the command.

        foreground  True: serve in this process. The function returns when the daemon ends, or never, if another program
                    replaces the process. False: a child process becomes the daemon. The result is 0 as soon as the control
                    socket exists.
        serve       the work of the daemon: serve(name, ready), which returns an exit status. When the control socket
                    exists, it calls ready(peers) with the number of peers that can still be added. CPython starts a
                    second, small interpreter instead, where daemon_entry.py calls the same function.
        variables   pairs of a name and a value for the environment of a child process
        """

    @staticmethod
    def router(directory, name, serve):
        """Serve all interfaces of the configuration in `directory`, in the foreground, with `serve(directory, name, ready)`.

        name  "" for all; otherwise the only interface, for netifd
        """

    @staticmethod
    def pyroute2_command():
        """Return a command that applies requests with pyroute2, and its environment, for `process.spawn_command`.

        None without pyroute2, or with WGEMBED_PYROUTE2=0. Only for the daemon. See netconf.py.
        """


class tool:
    """Functions that only commands need. They import runtime.tool. The daemon does not, to save memory."""

    class Connection:
        """A client's connection to a control socket, blocking."""

        def __init__(self, path):
            """Connect to the socket at `path`."""

        def send(self, data):
            """Send all of `data`."""

        def receive(self):
            """Wait for bytes and return them; b"" at the end."""

        def close(self):
            """Close the connection."""

    class Probe:
        """The same as probe.Probe."""

    @staticmethod
    def resolve(host, port):
        """Return the first socket address of a host and a port. Both are bytes, a number or a name. Waits for name servers.

        host  None for the address of a listening socket
        OSError if it cannot be resolved. A negative errno is an EAI_* of the resolver, with its text.
        """

    @staticmethod
    def name_address(addr):
        """Return the IP address of the socket address as text. A link-local one has "%" and the link after it."""

    @staticmethod
    def list_names(path):
        """Return the list of the names in the directory, in the order of the kernel."""

    @staticmethod
    def interpreter():
        """Return the name and the version of the interpreter, for people: "MicroPython 1.25.0"."""

    @staticmethod
    def is_terminal(fd):
        """Return whether the descriptor is a terminal."""

    @staticmethod
    def encode(text):
        """Return the original bytes of an argument of the command line, or of a name."""

    @staticmethod
    def decode(data):
        """Undo `encode`."""

    @staticmethod
    def prepare():
        """Begin a command. From now on SIGPIPE and SIGINT end the process, as usual for programs not written in Python."""

    @staticmethod
    def heed_interrupts():
        """Instead of `prepare`, for a command that has something to undo: SIGINT raises KeyboardInterrupt.

        SIGTERM raises it too, or has no effect.
        """

    @staticmethod
    def sleep_us(microseconds):
        """Sleep for this time. MicroPython rounds down to whole milliseconds."""

    @staticmethod
    def run(command):
        """Run a command, a list of its path and arguments, with our input, output and environment. Wait until it ends.

        Return 0 if it succeeded. The other values differ between backends after a signal, and for a command that cannot be
        executed, which can also be an OSError.
        """


class tun:
    """Packets from and to the tunnel device. packets/fastpath.py offers the same with the optional C library."""

    class TunPort:
        """The batch steps on an open, non-blocking tunnel device without packet information."""

        fd: int  # readable when there are packets

        def __init__(self, fd):
            """Use the open device. The caller closes it."""

        def read_batch(self, arena):
            """Read packets into the arena's slots, from the first on. Their sizes go to the arena's `lengths`.

            Return the number of packets; 0 if nothing waits. OSError if the device is gone. An error that passes by itself
            is not raised.
            """

        def taken(self, arena, count):
            """Return how many packets the last `read_batch`, which returned `count`, took. 0 if it emptied the queue."""

        def read_rest(self, arena):
            """Fill the slots again with packets for which the last `read_batch` had no slots. Return their number.

            Only the C library has such packets, because it splits packets that the kernel has joined. Otherwise 0.
            """

        def write_batch(self, view, packets, lengths, count):
            """Write `count` IP packets, given by lists of offsets in `view` and of lengths.

            Return the number of packets that the kernel refused. The C library can keep packets until the next call or
            `flush`.
            """

        def flush(self):
            """Write the packets that were kept. Return the number of packets that the kernel refused."""


class udp:
    """Datagrams in runs, with segmentation offload in both directions if the kernel has it."""

    class UdpSocket:
        """The socket of one address family, non-blocking, bound to a port on all addresses."""

        ipv6: bool  # its family
        fd: int  # readable when there is something to receive
        port: int  # the port to which it is bound
        receive_room: int  # the first size of its receive buffer, in bytes as the kernel counts them
        gso_limit: int  # messages of up to this size are sent in segmented sends; 0: none
        gso_first: int  # its value before the kernel refused any; 0: the kernel has no segmented sends
        gro: bool  # whether the kernel joins datagrams
        errno: int  # of the last datagram that could not be sent; 0 if there was no such datagram

        # The results of `receive`. `src` is an object of the backend, compared by value. With it, an answer leaves from the
        # address, and by the link, at which the datagram arrived.
        length: int  # bytes; 0 after an error of a datagram that was sent earlier: more can wait to be received
        stride: int  # distance between the datagrams that the kernel has joined; the last one can be shorter
        addr: object  # the socket address of the sender of all these datagrams
        src: object  # None before the first datagram was received
        tos: int  # the whole TOS byte, or traffic class

        def __init__(self, ipv6, port, fwmark):
            """Bind to the port, 0 for any, and set the mark. OSError if the kernel refuses the port or the mark."""

        def set_receive_room(self, size):
            """Set the size of the receive buffer, in bytes as the kernel counts them. Errors are ignored."""

        def use_offloads(self, gso, gro):
            """Use segmented sends and joined datagrams, or do not, if the kernel has them. At first they are used."""

        def set_fwmark(self, fwmark):
            """Set the firewall mark of datagrams that are sent; 0 for none. OSError, without a change, if not permitted."""

        def bind_to(self, link):
            """Send only by the link of this name; "" for any link."""

        def send(self, addr, src, buf, size, tos):
            """Send the first `size` bytes of `buf` as one datagram. Return a constant of protocol/constants.py.

            src  from a received datagram, or None: the kernel chooses the source
            tos  the whole TOS byte. Kernels before 3.13 refuse it, and then it is left out.

            SEND_OK, SEND_LOST (see `errno`), or SEND_BAD_SOURCE: the machine does not have the source address any more.
            Nothing was sent then, and the caller can try again without a source.
            """

        def reply(self, addr, src, buf, size):
            """Send an answer to an address that no peer has. SEND_LOST if the queue is too full, as peers go first."""

        def send_pair(self, addr, src, buf, size, tos):
            """Send the datagram twice, in one segmented send. If the kernel refuses that, send it once. As `send`."""

        def send_run(self, addr, src, arena, first, end, tos, segments=abi.GSO_SEGMENTS):
            """Send the messages in the arena's slots `first` to `end` - 1. Return the same constants as `send`.

            One call sends messages of equal sizes, at most `segments`. SEND_LOST if one was lost. After SEND_BAD_SOURCE
            some may have been sent.
            """

        def receive(self, inbox):
            """Receive the datagrams that the kernel has joined, to the inbox's `start`. False if nothing waits.

            Fills in the attributes above. If the kernel does not report `src` or `tos`, they keep their values.
            """

        def close(self):
            """Close the socket."""
