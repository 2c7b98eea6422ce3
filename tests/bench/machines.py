"""What the packet path costs on router CPUs, in instructions of the whole guest: kernel, both ends, and all.

    python -m tests.bench.machines [--json FILE] [--megabytes N] [KIND...]

A machine of each kind (tests/lab/machines.py) runs with a clock that goes on by a nanosecond an instruction. In it are two
network namespaces, a veth pair between them, and in both an implementation of WireGuard. The figures are steady, whatever
else this machine does. GSO crosses a veth pair whole, which flatters pairs of programs that use it.

tcp        thousands of instructions for 1,368 bytes of a TCP stream, both ends; the median of five streams
handshake  millions in the process that answers a handshake of the kernel's WireGuard; the mean of eight
ping       milliseconds, the least of ten, if an instruction took a nanosecond
loaded     the same beside a stream, the mean of 25
start      millions from the start of `wgembed run` until it is ready
reload     millions for a SIGHUP with the same configuration
resident   MB after the streams, the sum of both processes halved; `unique` what no other process shares
"""

import argparse
import json
import re
import statistics
import sys

from ..lab import machines
from ..lab.router import Keys, interface, peer

SEGMENT = 1368
STREAMS = 5
HANDSHAKES = 8
PINGS = 25
LOADED_MEGABYTES = 24
KERNEL, GO = "kernel", "wireguard-go"
PROGRAMS = {
    "CPython + library": ("cpython", True),
    "MicroPython + library": ("micropython", True),
    "CPython": ("cpython", False),
    "MicroPython": ("micropython", False),
}
MEGABYTES = {"cortex-a7": 4, "cortex-a53": 4, "mips-24k": 2, "s390x": 4}
COLUMNS = "tcp", "handshake", "ping", "loaded", "start", "reload", "resident", "unique"

_SUMMARIES = {"ping": min, "loaded": statistics.mean}

SETUP = """
. /job/network.sh
used() { cat /proc/$1/task/*/schedstat | { sum=0; while read -r ns rest; do sum=$((sum + ns)); done; echo $sum; }; }
field() { sed -n "s/^$2: *\\([0-9]*\\) kB/\\1/p" /proc/$1/smaps_rollup; }
idle() { set -- $(sed -n 1p /proc/stat); echo $5; }
serve() { # NAMESPACE INTERFACE COMMAND...: sets pid
    place=$1; name=$2; shift 2
    if [ "$1" = kernel ]; then ip -n $place link add $name type wireguard; pid=0; return; fi
    LOG_LEVEL=error ip netns exec $place "$@" -f $name >/tmp/log.$name 2>&1 &
    pid=$!
    tries=0
    until ip netns exec $place wg show $name >/dev/null 2>&1; do
        tries=$((tries + 1)); [ $tries -lt 200 ] || { echo "not up: $name"; cat /tmp/log.$name; return 1; }
        sleep 0.1
    done
}
configure() { # NAMESPACE INTERFACE KEY PEER ADDRESS OTHER-OUTSIDE
    ip netns exec $1 wg set $2 private-key /job/$3 listen-port 51820 \\
        peer $(cat /job/$4.pub) allowed-ips 10.9.0.0/24 endpoint $6:51820
    ip -n $1 addr add $5/24 dev $2
    ip -n $1 link set $2 mtu 1420 up
}
end() { # PID...
    for p in $*; do [ $p = 0 ] || kill $p; done
    sleep 1; ip -n a link del wga 2>/dev/null; ip -n b link del wgb 2>/dev/null; sleep 1
}
pair() { # LABEL COMMAND...
    label=$1; shift
    serve a wga "$@" || return; pa=$pid; serve b wgb "$@" || return; pb=$pid
    configure a wga first second 10.9.0.1 10.0.0.2; configure b wgb second first 10.9.0.2 10.0.0.1
    ip netns exec b ping -c 2 -w 5 10.9.0.1 >/dev/null || { echo "no ping: $label"; cat /tmp/log.*; end $pa $pb; return; }
    ip netns exec b ping -c 10 -i 0.2 10.9.0.1 | sed -n "s/.*time=\\([0-9.]*\\) ms/result ping $label \\1/p"
    for n in 0 STREAMS; do
        ip netns exec a stream take 500$n BYTES > /tmp/took &
        taker=$!; sleep 0.5
        before=$(idle); ip netns exec b stream give 10.9.0.1 500$n BYTES; wait $taker; after=$(idle)
        [ $n = 0 ] && continue
        echo "result tcp $label $(sed 's/took //' /tmp/took)"; echo "result idle $label $((after - before))"
    done
    ip netns exec a stream take 5999 LOADED_BYTES >/tmp/took &
    taker=$!; sleep 0.5
    ip netns exec b stream give 10.9.0.1 5999 LOADED_BYTES &
    giver=$!; sleep 0.1
    ip netns exec b ping -c PINGS -i 0.02 10.9.0.1 >/tmp/pings
    if kill -0 $giver; then sed -n "s/.*time=\\([0-9.]*\\) ms/result loaded $label \\1/p" /tmp/pings; fi
    wait $giver; wait $taker
    if [ $pa != 0 ]; then
        echo "result resident $label $(( ($(field $pa Rss) + $(field $pb Rss)) / 2 ))"
        echo "result unique $label $(( ($(field $pa Private_Dirty) + $(field $pb Private_Dirty)) / 2 ))"
    fi
    end $pa $pb
}
answers() { # LABEL COMMAND...
    label=$1; shift
    serve a wga "$@" || return; pa=$pid; serve b wgb kernel
    configure a wga first second 10.9.0.1 10.0.0.2; configure b wgb second first 10.9.0.2 10.0.0.1
    ip netns exec b ping -c 2 -w 5 10.9.0.1 >/dev/null
    sleep 1; before=$(used $pa)
    ip netns exec b ping -c HANDSHAKES -i 0.2 10.9.0.1 >/dev/null
    ping=$(( $(used $pa) - before )); before=$(used $pa)
    for n in $(seq HANDSHAKES); do
        ip netns exec b wg set wgb peer $(cat /job/first.pub) remove
        ip netns exec b wg set wgb peer $(cat /job/first.pub) allowed-ips 10.9.0.0/24 endpoint 10.0.0.1:51820
        ip netns exec b ping -c 1 -w 5 10.9.0.1 >/dev/null || echo "no ping after a handshake: $label"
    done
    echo "result handshake $label $(( ($(used $pa) - before - ping) / HANDSHAKES ))"
    end $pa
}
router() { # LABEL COMMAND...
    label=$1; shift
    mkdir -p /tmp/state; : > /tmp/log.run
    export WGEMBED_STATE_DIR=/tmp/state
    LOG_LEVEL=verbose HEAP=4M ip netns exec a "$@" run --config-dir /job/config >/tmp/log.run 2>&1 &
    pa=$!; tries=0
    until grep -q "(run) ready" /tmp/log.run; do
        tries=$((tries + 1)); [ $tries -lt 300 ] || { echo "not ready: $label"; cat /tmp/log.run; return; }
        sleep 0.1
    done
    echo "result start $label $(used $pa)"
    sleep 1; kill -HUP $pa; sleep 3; before=$(used $pa); kill -HUP $pa; sleep 3
    echo "result reload $label $(( $(used $pa) - before ))"
    end $pa
}
"""


def script(kind, megabytes, only=()):
    """Return the script of a machine of this kind."""
    count = megabytes << 20
    text = SETUP
    text = text.replace("STREAMS", " ".join(str(n + 1) for n in range(STREAMS)))
    text = text.replace("LOADED_BYTES", str(LOADED_MEGABYTES << 20)).replace("PINGS", str(PINGS))
    text = text.replace("BYTES", str(count)).replace("HANDSHAKES", str(HANDSHAKES))
    for label, command in commands(kind):
        if only and label not in only:
            continue
        name = label.replace(" ", "_")
        text += f"echo begin {name}\npair {name} {command}\n"
        if label != KERNEL:
            text += f"answers {name} {command}\n"
        if label in PROGRAMS:
            text += f"router {name} {command}\n"
    return text


def commands(kind):
    """Yield what runs on machines of this kind: a label and a command."""
    yield KERNEL, KERNEL
    yield GO, GO
    for label, (interpreter, with_library) in PROGRAMS.items():
        if interpreter == "cpython" or kind.micropython:
            yield label, machines.command(interpreter, with_library)


def files():
    """Return the keys, and the configuration of `wgembed run`."""
    first, second = Keys(), Keys()
    config = interface("wga", private_key=first.private, listen_port=51820, addresses=["10.9.0.1/24"])
    config += peer("wga", public_key=second.public, allowed_ips=["10.9.0.0/24"], endpoint_host="10.0.0.2")
    return [
        ("first", first.private.encode()),
        ("first.pub", first.public.encode()),
        ("second", second.private.encode()),
        ("second.pub", second.public.encode()),
        ("config/wgembed", config.encode()),
    ]


def measure(kind, megabytes, only=()):
    """Return the figures of one machine: {label: {column: number}}, and what it wrote."""
    told = machines.run(kind, script(kind, megabytes, only), files(), is_counted=True, within=3600)
    found = {}
    for column, label, value in re.findall(r"^result (\w+) (\S+) ([\d.]+)$", told, re.M):
        found.setdefault(label.replace("_", " "), {}).setdefault(column, []).append(float(value))
    per_segment = SEGMENT / (megabytes << 20) / 1000
    scales = {"tcp": per_segment, "handshake": 1e-6, "start": 1e-6, "reload": 1e-6, "resident": 1 / 1024, "unique": 1 / 1024}
    figures = {}
    for label, columns in found.items():
        row = figures[label] = {}
        for column, values in columns.items():
            value = _SUMMARIES.get(column, statistics.median)(values)
            row[column] = value * scales.get(column, 1)
    return figures, told


def table(figures):
    """Return a table in Markdown of the figures of one machine."""
    lines = [f"| | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for label, row in figures.items():
        cells = [f"{row[column]:.3g}" if column in row else "" for column in COLUMNS]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(machines.KINDS)}; all without any")
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file, too")
    parser.add_argument("--megabytes", type=int, help="how much each stream carries")
    parser.add_argument("--only", action="append", default=[], metavar="LABEL", help="only this row; can be repeated")
    parser.add_argument("--console", action="store_true", help="show what the machine wrote")
    arguments = parser.parse_args()
    every = {}
    for name in arguments.kinds or machines.KINDS:
        kind = machines.KINDS[name]
        figures, told = measure(kind, arguments.megabytes or MEGABYTES[name], arguments.only)
        if arguments.console:
            print(told, file=sys.stderr)
        every[name] = figures
        print(f"\n{name}\n\n{table(figures)}", flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(every, file, indent=1)


if __name__ == "__main__":
    main()
