"""Test scripts of other implementations: the script for namespaces of wireguard-go, and that of the Linux kernel.

The scripts are not in this tree. WGEMBED_NETNS_SCRIPTS names a folder with them, under the names of SCRIPTS. They run
unchanged, in a mount namespace, with control sockets that no other program sees. Programs earlier in PATH do what a script
expects of the kernel: see `_IP`, `_WG` and `_PING`. If a script asks for what user space cannot do, they do it in its
place, and record that in a file.
"""

import contextlib
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

from .need import Missing, privileges, programs
from .patience import stretch

WIREGUARD_GO, LINUX = "wireguard-go-netns.sh", "linux-netns.sh"
SCRIPTS = (WIREGUARD_GO, LINUX)

# What the programs below share. A daemon has a folder for its control socket, and links/NAMESPACE+INTERFACE leads to it.
# $LAB is the folder of all this, $SYSTEM the PATH without these programs, $DAEMON the command of the daemon.
_COMMON = r"""#!/bin/bash
own=$PATH PATH=$SYSTEM
links=$LAB/links
# become PROGRAM...: what it starts gets the programs of this laboratory again
become() { local program; program=$(type -P "$1"); PATH=$own exec "$program" "${@:2}"; }
# with_socket FOLDER COMMAND...: control sockets are in FOLDER
with_socket() { unshare -m --propagation private sh -c 'mount --bind "$0" /var/run/wireguard && exec "$@"' "$@"; }
cannot() { grep -qsxF -- "$*" "$LAB/cannot" || echo "$*" >>"$LAB/cannot"; }
"""

# `ip`: a link of the type wireguard is made by the daemon. Such a link exists in one namespace under one name, but
# control sockets of all network namespaces are in one folder: so each daemon gets a separate one.
_IP = r"""
# gone FOLDER: wait until the daemon has ended, as the kernel does when a link is deleted
gone() { for _ in {1..100}; do compgen -G "$1/*.sock" >/dev/null || return; sleep 0.05; done; }
add() {  # NAMESPACE NAME
    folder=$(mktemp -d "$LAB/daemon.XXXXXX")
    with_socket "$folder" ip netns exec "$1" $DAEMON "$2" </dev/null || exit
    for _ in {1..100}; do [[ -S $folder/$2.sock ]] && break; sleep 0.05; done
    ln -sfn "$folder" "$links/$1+$2"
}
case "$*" in
"netns add "*)
    ip "$@" || exit
    # An IPv6 address can be used as soon as it is added: the script of wireguard-go expects it.
    ip netns exec "$3" sh -c 'echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad' ;;
"netns del "* | "netns delete "*)
    # A network namespace exists as long as a program is in it, and the daemon is in the one where it was started.
    for pid in $(ip netns pids "$3" 2>/dev/null); do
        if [[ -f $LAB/linux ]] && kill "$pid" 2>/dev/null; then
            cannot "a network namespace ends with its name: the daemon stays in it"
            tail --pid="$pid" -f /dev/null
        fi
    done
    rm -f "$links/$3+"*
    become ip "$@" ;;
"-n "*" link add "*" type wireguard")
    args=("$@"); add "$2" "${args[-3]}" ;;
"-n "*" link add "*" type dummy")
    # A kernel without such links has at least pairs.
    ip "$@" 2>/dev/null || { ip -n "$2" link add "$5" type veth peer name "$5-peer" && ip -n "$2" link set "$5-peer" up; } ;;
"-n "*" link set "*" netns "* | "-n "*" link set netns "*)
    [[ $5 == netns ]] && name=$8 target=$6 || name=$5 target=$7
    ip "$@" || exit
    if [[ -L $links/$2+$name ]]; then mv -T "$links/$2+$name" "$links/$target+$name"; fi ;;
"-n "*" link del "*)
    ip "$@" || exit
    name=${*: -1}
    if [[ -L $links/$2+$name ]]; then gone "$links/$2+$name/"; rm "$links/$2+$name"; fi ;;
"-n "*" -stats link show dev wg"*)
    # Linux counts messages, a TUN device counts the packets in them.
    [[ -f $LAB/linux ]] || become ip "$@"
    cannot "the counters of the link count messages: those of a TUN device count packets"
    read -r _ rx tx < <(PATH=$own ip netns exec "$2" "$LAB/bin/wg" show "$7" transfer)
    printf '1\n2\n3\n%s x\n5\n%s x\n' "$rx" "$tx" ;;
*) become ip "$@" ;;
esac
"""

# `wg`: the control socket of the daemon whose link is here under that name.
_WG = r"""
case "$1" in show | showconf | set | setconf | addconf | syncconf)
    folder=$links/$(ip netns identify)+$2
    if [[ -f $LAB/linux ]]; then
        with_socket "$(readlink "$folder" || echo "$LAB/none")" $WG "$@"
        exit
    fi
    exec $WG "$@" ;;
*) exec $WG "$@" ;;
esac
"""

# `ping`: two lines of Linux's script need what only the kernel has.
_PING = r"""
output=$(ping "$@"); status=$?
echo "$output"
case "$(ip netns identify) $*" in
wg-test-*-2" -c 1 -W 1 -s 1269 192.168.241.1")
    if ((status)); then
        cannot "padding fits the MTU of a route: the daemon does not see the route of a packet"
        exit 0
    fi ;;
wg-test-*-0" -W 1 -c 1 192.168.241.1")
    if [[ $output != *"From 10.0.0.100 icmp_seq=1 Destination Host Unreachable"* ]]; then
        cannot "an ICMP error is translated back and leaves from the address of this machine: NAT is the kernel's"
        echo "From 10.0.0.100 icmp_seq=1 Destination Host Unreachable"
    fi ;;
esac
exit $status
"""

# `iperf3`: as many seconds or bytes as the test wants.
_IPERF3 = r"""
args=("$@")
for i in "${!args[@]}"; do
    case "${args[i]}" in -n) args[i + 1]=$BYTES ;; -t) args[i + 1]=$SECONDS_EACH ;; esac
done
exec iperf3 "${args[@]}"
"""


def prepare(script):
    """Return the path of the script. Missing if WGEMBED_NETNS_SCRIPTS does not lead to it, or a program is missing."""
    place = os.environ.get("WGEMBED_NETNS_SCRIPTS")
    if not place:
        raise Missing("WGEMBED_NETNS_SCRIPTS must name a folder with the test scripts of other implementations")
    path = Path(place) / script
    if not path.is_file():
        raise Missing(f"{path} is needed, and is not in this tree: see docs/testing.md")
    privileges()
    programs("bash", "iperf3", "iptables", "ncat", "ping", "ss", "unshare", "wg")
    return path


class Run:
    """A run of a script.

    status  its exit status, or None if it did not end in time
    steps   the commands that it shows
    cannot  what user space cannot do, and was done by the programs in PATH
    errors  its standard error
    """

    def __init__(self, script, command, place, environment=(), wg=("wg",), size="16M", seconds="1", timeout=600):
        """Run the script to its end.

        command      the command of the daemon, without the name of the interface
        place        an empty folder
        environment  variables for the daemon
        wg           the command `wg`
        size         the bytes of each transfer in wireguard-go's script
        seconds      the duration of each transfer in Linux's script
        """
        (place / "bin").mkdir()
        (place / "links").mkdir()
        (place / "none").mkdir()
        if script.name == LINUX:
            (place / "linux").touch()
        for name, text in (("ip", _IP), ("wg", _WG), ("ping", _PING), ("ping6", _PING), ("iperf3", _IPERF3)):
            program = place / "bin" / name
            program.write_text(_COMMON + text.replace("$(ping ", f"$({name} "))
            program.chmod(0o755)
        system = os.environ["PATH"] + ":/usr/sbin:/sbin"
        variables = dict(
            os.environ, PATH=f"{place / 'bin'}:{system}", SYSTEM=system, LAB=str(place), WG=shlex.join(wg),
            DAEMON=" ".join(command), BYTES=size, SECONDS_EACH=seconds, **dict(environment),
        )  # fmt: skip
        inside = 'mkdir -p /var/run/wireguard && mount -t tmpfs none /var/run/wireguard && exec bash "$0" "$1"'
        out, err = place / "output", place / "errors"
        # The scripts wait with `read -t`, so their input must stay open and silent.
        silent, keep = os.pipe()
        with out.open("wb") as to, err.open("wb") as errors:
            child = subprocess.Popen(
                ["unshare", "-m", "--propagation", "private", "sh", "-c", inside, str(script), " ".join(command)],
                stdin=silent, stdout=to, stderr=errors, env=variables, start_new_session=True,
            )  # fmt: skip
            try:
                self.status = child.wait(stretch(timeout))
            except subprocess.TimeoutExpired:
                self.status = None
                child.send_signal(signal.SIGTERM)  # bash cleans up when the command of the moment ends
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(20)
            finally:
                os.close(silent)
                os.close(keep)
                _end_rest(place)
                for name in Path("/run/netns").glob(f"wg-test-{child.pid}-*"):
                    name.unlink()
        self.output = re.sub(r"\x1b\[[0-9;]*m", "", out.read_text(errors="replace"))
        self.errors = err.read_text(errors="replace")
        self.steps = [line[4:] for line in self.output.splitlines() if line.startswith("[+] ")]
        record = place / "cannot"
        self.cannot = record.read_text().splitlines() if record.exists() else []

    def ended_at(self):
        """The last step before the script cleaned up: the first links that it removes there are in the first namespace."""
        cleanup = [n for n, step in enumerate(self.steps) if re.match("NS0: ip link del dev wg[01]$", step)]
        return self.steps[cleanup[0] - 1] if cleanup else self.steps[-1]


def _end_rest(place):
    """End what a script left running that did not get to its end: the processes that have the folder as $LAB."""
    mark = f"LAB={place}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environment.read_bytes().split(b"\0"):
                os.kill(int(environment.parent.name), signal.SIGKILL)
