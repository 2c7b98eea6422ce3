"""What both backends of runtime offer, and what callers may rely on: the contract of the seam to the machine.

Nothing imports this file: it is the reference, and a test compares the backends with it. A class written in lower case
stands for the module of that name in cpython/ and micropython/; its static methods are the module's functions.

What holds throughout, unless a function says otherwise:

- Whatever the kernel refuses is an OSError with its errno. The text of the error differs between backends.
- `fd` is an open file descriptor, an int. Descriptors are not inherited by programs that are executed.
- Nothing waits, except for the disk.
- Paths, names and hosts are text. Contents are bytes. IP addresses are 4 or 16 bytes in network order, called packed.
  Ports, indices and marks are ints.
- A socket address (`addr`) is an object of the backend's own: hashable, compared by value, never looked into. `inet`
  makes it and takes it apart.
- Objects of a class without `__init__` here come from another call; how that makes them is the backend's own business.
"""


class clib:
    """C libraries that no module wraps."""

    class Library:
        """A shared library."""

        def __init__(self, path):
            """Load the library at `path`, None for the C library. OSError if there is none, or no way to call it."""

        def function(self, result, name, arguments):
            """Return the function of this name; OSError if there is none. It lives as long as the library object.

            result, arguments  a letter for each type: i and I 32 bits, signed and unsigned; Q 64 bits, unsigned; L an
                               unsigned long; P a pointer of crypto, or bytes or a writable buffer. Nothing checks that
                               they are the function's own.
            """

    @staticmethod
    def errno():
        """Return the errno of the last call of a library's function that failed."""


class clock:
    """Time."""

    LONGEST_SLEEP_MS: "int | None"  # ms that may pass between two calls of now(); None: any time

    @staticmethod
    def now():
        """Return milliseconds of a clock that never goes back and that nobody sets.

        It goes on while the machine sleeps, except on kernels before 2.6.39 and on MicroPython for 32-bit machines.
        """

    @staticmethod
    def realtime():
        """Return seconds and nanoseconds since 1970, of the clock that people set: two ints."""


class files:
    """Descriptors, files, memory, the environment."""

    USUAL_PEERS: int  # what tables are made for unless their owner says otherwise: by what unused entries cost
    USUAL_PREFIXES: int  # of each family, of an interface

    # Descriptors

    @staticmethod
    def close(fd):
        """Close the descriptor."""

    @staticmethod
    def read(fd, size):
        """Return at most `size` bytes, b"" at the end. Waits for them on a blocking descriptor."""

    @staticmethod
    def read_ready(fd, size):
        """Return at most `size` bytes from a non-blocking descriptor: b"" at the end, None if there is nothing yet."""

    @staticmethod
    def write(fd, data):
        """Write all of `data` to a blocking descriptor."""

    @staticmethod
    def ioctl(fd, request, argument):
        """Call ioctl with a writable buffer, which the kernel may change."""

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
        """Create a file, for its owner alone, and open it for reading and writing. OSError EEXIST if there is one."""

    # Open files

    @staticmethod
    def lock(fd, shared=False):
        """Take the file's flock, exclusive unless `shared`, and wait for it. Does nothing on a kernel without flock."""

    @staticmethod
    def is_locked(fd):
        """Return whether some other process or open file has the exclusive flock now."""

    @staticmethod
    def set_owner(fd, owner):
        """Give the file its owner: a pair, user and group."""

    @staticmethod
    def set_mode(fd, mode):
        """Give the file its permissions."""

    @staticmethod
    def sync(fd):
        """Return when the content of the file is on the disk."""

    @staticmethod
    def write_over(fd, data):
        """Replace the content of an open file with `data`. The position of `fd` stays where it is."""

    # By path

    @staticmethod
    def read_file(path):
        """Return the content of the file."""

    @staticmethod
    def write_file(path, text):
        """Write `text` to the beginning of an existing file, such as a setting in /proc; OSError ENOENT if there is none."""

    @staticmethod
    def write_new(path, data):
        """Make the file, for its owner alone, or empty it, and write `data`. It is not synced."""

    @staticmethod
    def status(path):
        """Return of a file, by path or fd: (device, inode), mode with the file's type, (user, group), number of links."""

    @staticmethod
    def identity(path):
        """Return an object that is unequal once the file has changed, or None if the file cannot be found.

        MicroPython sees whole seconds: it misses a second change within one that keeps size and inode.
        """

    @staticmethod
    def exists(path):
        """Return whether the path leads to something; a broken link does not."""

    @staticmethod
    def is_socket(path):
        """Return whether the path leads to a socket. OSError unless the reason for there being none is ENOENT."""

    @staticmethod
    def real_path(path):
        """Return the absolute path of an existing file, without symbolic links."""

    @staticmethod
    def rename(old, new):
        """Give the file its new name; it replaces what has that name."""

    @staticmethod
    def remove(path):
        """Remove the name of a file or socket."""

    # Directories

    @staticmethod
    def make_directory(path, mode):
        """Make the directory with this mode, whatever the umask. Does nothing if the name is taken."""

    @staticmethod
    def sync_directory(path):
        """Return when the names in the directory are on the disk."""

    @staticmethod
    def names(path):
        """Return the list of the names in the directory, in no order."""

    # The process's own

    @staticmethod
    def set_umask(mask):
        """Set the umask; returns the one before."""

    @staticmethod
    def getenv(name):
        """Return the value of the environment variable, "" if there is none."""

    @staticmethod
    def alloc(typecode, count):
        """Return `count` zeroed items of an array typecode, for a table that is never freed or resized.

        The result can be indexed, sliced and measured, and has the buffer protocol. Of "B", pages that were never written
        to are not resident. MemoryError or OSError if there is no room.
        """

    @staticmethod
    def reserve(size):
        """Return a zeroed bytearray of `size` bytes, which is never freed."""


class heap:
    """Room at the beginning of MicroPython's heap for the frames of calls; CPython does nothing here.

    The calls nest. Loading the program counts as the first `reserve`; start.py calls the `release` that ends it.
    """

    @staticmethod
    def reserve():
        """Objects that live long are made from here on: keep them out of the space for frames."""

    @staticmethod
    def release():
        """They are made. The outermost call collects garbage and leaves the space to the frames."""


class inet:
    """Addresses, ifindex, host names."""

    @staticmethod
    def is_ipv6(addr):
        """Return whether the socket address is one of IPv6."""

    @staticmethod
    def make_address(packed, port, scope):
        """Return the socket address. `scope` is an ifindex or 0; IPv4 has none."""

    @staticmethod
    def split_address(addr):
        """Undo `make_address`: return packed, port, scope."""

    @staticmethod
    def parse_ip(text):
        """Return the IP address packed; ValueError if the text is not one. IPv6 scopes are not taken."""

    @staticmethod
    def format_ip(packed):
        """Return the IP address as text in its usual form (RFC 5952)."""

    @staticmethod
    def ifindex(name):
        """Return the ifindex of the link of this name, or None if there is none."""

    @staticmethod
    def look_up(name):
        """Return the list of a host name's packed addresses, in the resolver's order, perhaps repeated.

        Empty if the name cannot be resolved. Waits for name servers; what it allocates is freed with the process: it is
        for a child process (see resolver.py).
        """


class local:
    """UNIX stream sockets, non-blocking, for their owner alone."""

    class Listener:
        """A listening socket."""

        fd: int  # readable while somebody waits

        def __init__(self, path):
            """Make the socket at `path`, 107 bytes at most. OSError leaves nothing behind."""

        def accept(self):
            """Return a Stream, or None if nobody waits any more. OSError if somebody does and there is no room."""

        def close(self):
            """Stop listening; the name stays."""

    class Stream:
        """The serving end of a connection."""

        fd: int

        def receive_into(self, buf):
            """Receive into the buffer; return how many bytes: 0 at the end or if it broke, None if there are none yet."""

        def send(self, data):
            """Send what there is room for; return how many bytes, perhaps 0, or -1 if the other end is gone."""

        def close(self):
            """Close the connection."""

    @staticmethod
    def is_answered(path):
        """Return whether somebody listens at `path`, of which `files.is_socket` is true."""


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
            """Return one datagram, bytes-like, or None if there is none. OSError ENOBUFS: events were lost.

            The result is valid until any of these sockets receives again. MicroPython cuts it off at 16384 bytes.
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
        """A watch for as long as the process lives."""

        fd: int  # readable when something has happened

        def __init__(self, path, mask):
            """Watch the directory for the events in `mask`, IN_* of the kernel. OSError if it has no inotify."""

        def drain(self):
            """Read the events that wait, so that only new ones make `fd` readable. No errors: the caller looks again."""


class poll:
    """Waiting for descriptors."""

    # Bit masks
    IN: int  # can be read
    OUT: int  # can be written to
    ERROR: int  # failed, was hung up or is not open: reported without being asked for

    class Poller:
        """A set of descriptors."""

        def __init__(self):
            """Make an empty set."""

        def watch(self, fd, events):
            """Wait for `events`, IN or OUT or both, of this descriptor, in place of those before."""

        def forget(self, fd):
            """Remove the descriptor from the set, before it is closed."""

        def wait(self, timeout):
            """Wait for up to `timeout` ms, None for ever; return an iterable of (fd, events) of those that are ready.

            It is iterated once, before the next `wait`, and a pair is valid until the next one.
            """


class probe:
    """Sockets that test a path: only commands load this."""

    class Probe:
        """Datagrams to one address, and what routers answer to them."""

        fd: int  # readable when there is an answer

        def __init__(self, addr, fwmark=0, link="", echo=False):
            """Connect a datagram socket to the socket address, or with `echo` a raw ICMP socket. OSError without a route.

            fwmark  the firewall mark of what is sent, 0 for none
            link    the name of the link that it leaves by, "" for any
            echo    whole ICMP or ICMPv6 messages are sent and received, on IPv4 with the IP header when received
            """

        def send(self, data):
            """Send one datagram or message."""

        def receive(self):
            """Return the bytes of one datagram, or None if there is none. OSError: what a router reported, by its errno."""

        def close(self):
            """Close the socket."""


class process:
    """The process itself: signals, log lines, children."""

    SIGHUP: int
    SIGINT: int
    SIGTERM: int

    class Signals:
        """Signals that are read like data. One object a process."""

        fd: int  # readable when one has come

        def __init__(self, numbers):
            """Keep these signals, an iterable of numbers, from ending the process; ignore SIGPIPE, too."""

        def pending(self):
            """Return the numbers of the signals that came since the last call: an iterable, perhaps empty."""

    @staticmethod
    def pid():
        """Return the process's own number."""

    @staticmethod
    def write_line(text):
        """Write the text and a line feed to the standard error. No errors."""

    @staticmethod
    def spawn(function):
        """Run function() in a child process, with nothing of ours open but the standard descriptors.

        Return (pid, fd): the bytes that the function returns can be read from the non-blocking `fd`, to their end. There
        are none if the function raised. Both are the caller's: to be closed, and to be given to `end`.
        """

    @staticmethod
    def spawn_command(command, environment, data):
        """Run a command, a list of its path and arguments, with `data` for its standard input.

        Return (pid, fd) as `spawn` does, for its standard output. The environment is a dict. Only where
        `start.pyroute2_command` has given the command.
        """

    @staticmethod
    def end(pid):
        """Kill the child process, if it still runs, and reap it."""


class start:
    """Becoming the daemon."""

    @staticmethod
    def daemon(name, foreground, serve):
        """Serve the interface; return an exit status for the command.

        foreground  whether in this process: it returns when the daemon ends, or never, if another program takes its place.
                    Otherwise a child becomes the daemon, and the result is 0 as soon as its control socket exists.
        serve       what the daemon does: serve(name, ready), which returns an exit status. It calls ready(peers), with the
                    number of peers that may still be added, once the control socket exists. CPython starts a lean
                    interpreter, where daemon_entry.py calls the same function.
        """

    @staticmethod
    def router(directory, serve):
        """Serve all interfaces that the configuration in `directory` has, in the foreground; `serve(directory, ready)`."""

    @staticmethod
    def pyroute2_command():
        """Return a command and its environment for `process.spawn_command`, which carries out requests with pyroute2.

        None if there is no pyroute2, or WGEMBED_PYROUTE2=0. For the daemon's process alone. See netconf.py.
        """


class tool:
    """What only commands need. They import it as runtime.tool: it would cost the daemon memory."""

    class Connection:
        """A client's connection to a control socket, blocking."""

        def __init__(self, path):
            """Connect to the socket at `path`."""

        def send(self, data):
            """Send all of `data`."""

        def receive(self):
            """Return some bytes, once there are any; b"" at the end."""

        def close(self):
            """Close the connection."""

    class Probe:
        """The same as probe.Probe."""

    @staticmethod
    def resolve(host, port):
        """Return the first socket address of a host and a port, both bytes: numbers or names. Waits for name servers.

        host  None for the address of a socket that listens
        Of the OSError, a negative errno is the resolver's own, EAI_*, with its text.
        """

    @staticmethod
    def name_address(addr):
        """Return the host of the socket address in numbers, for link-local ones with "%" and the link."""

    @staticmethod
    def list_names(path):
        """Return the list of the names in the directory, in the kernel's order."""

    @staticmethod
    def strerror(errno):
        """Return the C library's text for the errno."""

    @staticmethod
    def is_terminal(fd):
        """Return whether the descriptor is a terminal."""

    @staticmethod
    def encode(text):
        """Return the bytes that an argument of the command line, or a name, came as."""

    @staticmethod
    def decode(data):
        """Undo `encode`."""

    @staticmethod
    def prepare():
        """Begin a command: SIGPIPE and SIGINT end the process, as they end programs that are not written in Python."""

    @staticmethod
    def heed_interrupts():
        """Instead of `prepare`, for a command that has something to undo: SIGINT raises KeyboardInterrupt."""

    @staticmethod
    def sleep_us(microseconds):
        """Sleep for so long; MicroPython for whole milliseconds."""

    @staticmethod
    def run(command):
        """Run a command, a list of its path and arguments, with our own input, output and environment, to its end.

        Return 0 if it succeeded. Another status tells nothing more: backends differ for signals, and for a command that
        cannot be executed, which may be an OSError as well.
        """


class tun:
    """Packets from and to the tunnel device. packets/fastpath.py offers the same by the optional C library."""

    class TunPort:
        """The batch steps on an open, non-blocking tunnel device without packet information."""

        fd: int  # readable when there are packets

        def __init__(self, fd):
            """Use the device; whoever opened it closes it."""

        def read_batch(self, arena):
            """Read packets into the arena's slots, from the first on; return how many, and their sizes in its `lengths`.

            0 if there are none. OSError if the device is gone; an error that passes by itself is not raised.
            """

        def read_rest(self, arena):
            """Fill the slots again with what the last `read_batch` had no room for; return how many, 0 if nothing is left.

            The C library splits what the kernel has joined. Without it the result is always 0.
            """

        def write_batch(self, view, packets, lengths, count):
            """Write `count` IP packets, given by lists of offsets in `view` and of lengths.

            Return how many the kernel refused. The C library may keep them until the next call or `flush`.
            """

        def flush(self):
            """Write what was kept; return how many packets the kernel refused."""


class udp:
    """Datagrams in runs, with segmentation offload both ways where the kernel has it."""

    class UdpSocket:
        """The socket of one address family, non-blocking, bound to a port on all addresses."""

        ipv6: bool  # its family
        fd: int  # readable when there is something to receive
        port: int  # that it is bound to
        errno: int  # of what was last lost in sending; 0 before that

        # What `receive` found. A `src` makes an answer leave from the address, and by the link, that the datagram came to:
        # an object of the backend's own, compared by value and handed back.
        length: int  # bytes; 0 after an error that concerns something sent earlier: there may be more to receive
        stride: int  # distance of the datagrams that the kernel has joined; the last one may be shorter
        addr: object  # socket address of the sender, of all of them
        src: object  # None before anything was received
        tos: int  # the whole TOS byte, or traffic class

        def __init__(self, ipv6, port, fwmark):
            """Bind to the port, 0 for any, and set the mark. OSError if the port or the mark cannot be had."""

        def set_fwmark(self, fwmark):
            """Set the firewall mark of what is sent, 0 for none. OSError if a mark is not permitted; none was set then."""

        def bind_to(self, link):
            """Let what is sent leave by the link of this name alone, "" for any."""

        def send(self, addr, src, buf, size, tos):
            """Send the first `size` bytes of `buf` as one datagram; return what became of it.

            src  as received, or None: the kernel chooses
            tos  the whole TOS byte; kernels before 3.13 do not take it, and it is left out

            SEND_OK, SEND_LOST (see `errno`), or SEND_BAD_SOURCE: the machine does not have the source address any more,
            nothing was sent, and the caller may try again without one. Constants of protocol/constants.py.
            """

        def reply(self, addr, src, buf, size):
            """Send an answer that anybody may ask for. SEND_LOST if too much waits in the queue: peers' packets go first."""

        def send_run(self, addr, src, arena, first, end, tos):
            """Send the messages in the arena's slots from `first` up to, not including, `end`. Returns as `send` does.

            Those of equal sizes go in one call. SEND_LOST if any was lost; after SEND_BAD_SOURCE some may have been sent.
            """

        def receive(self, inbox):
            """Receive, to the inbox's `start`, as many datagrams as the kernel has joined; False if there is nothing.

            Fills in the attributes above. `src` and `tos` keep their values if the kernel does not tell new ones.
            """

        def close(self):
            """Close the socket."""
