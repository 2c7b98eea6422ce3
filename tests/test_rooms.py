"""Where the tests of each module are: in a file of its name, or where it is said here."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
WGEMBED = TESTS.parent / "wgembed"
# Where tests of a room's modules lie under their names. Those that MicroPython runs as well are in unit.
FOLDERS = {"crypto": ["unit"], "protocol": ["unit"]}
BACKENDS = ("cpython", "micropython")

# module: the file that tests most of it, and how it comes to that
ELSEWHERE = {
    "__main__": ("commands/test_command.py", "what the command is called by, and what it loads"),
    "daemon_entry": ("daemon/test_daemon.py", "every daemon on CPython begins there"),
    "commands/apply": ("router/test_apply.py", "needs a router that serves the change"),
    "commands/check": ("router/test_check.py", "needs a router of which something is wrong"),
    "commands/check_router": ("router/test_check_router.py", "needs the other files of a router"),
    "commands/history": ("daemon/test_history.py", "reads what that wrote"),
    "commands/host_facts": ("diagnose/test_diagnose.py", "needs machines on which each cause is made"),
    "commands/main": ("commands/test_command.py", "what the command is called by, and what it loads"),
    "commands/output": ("commands/test_command.py", "colours, pipes, what cannot be written"),
    "commands/quick": ("daemon/test_up.py", "up and down, beside wg-quick"),
    "commands/run": ("router/test_run.py", "becomes the daemon of a router"),
    "commands/usage": ("commands/test_man_page.py", "what the manual must have"),
    "commands/unblock": ("router/test_kill_switch.py", "needs routes that a daemon left"),
    "commands/diagnose": ("diagnose/test_diagnose.py", "needs two daemons, and what breaks their tunnel"),
    "commands/status": ("diagnose/test_status.py", "needs two daemons that talk"),
    "commands/status_model": ("commands/test_status_format.py", "read and told again"),
    "commands/wg/change": ("commands/test_as_wg.py", "beside the real wg"),
    "commands/wg/main": ("commands/test_as_wg.py", "beside the real wg"),
    "commands/wg/set": ("commands/test_as_wg.py", "beside the real wg"),
    "commands/wg/setconf": ("commands/test_as_wg.py", "beside the real wg"),
    "commands/wg/show": ("commands/test_as_wg.py", "beside the real wg"),
    "config/convert": ("config/test_wg_quick.py", "from wg-quick's files and back"),
    "config/convert_network": ("commands/test_convert.py", "from /etc/config/network and back"),
    "config/keys": ("config/test_options.py", "keys and files of keys are options"),
    "config/last_good": ("router/test_last_good.py", "a start with a mistake, and power cuts"),
    "config/route_tables": ("config/test_options.py", "names of tables are values of options"),
    "config/openwrt_network": ("router/test_check.py", "which link tunlink means, by OpenWrt's networks"),
    "crypto/contract": ("test_contracts.py", "both backends beside it"),
    "crypto/_cpython": ("unit/test_crypto.py", "whichever backend runs"),
    "crypto/_micropython": ("unit/test_crypto.py", "whichever backend runs"),
    "crypto/_hkdf": ("unit/test_crypto.py", "HKDF, by published vectors"),
    "crypto/hashes": ("unit/test_crypto.py", "HKDF and MAC, by published vectors"),
    "crypto/_blake2/_halves": ("unit/test_blake2.py", "one of the ways that BLAKE2s is tried"),
    "crypto/_blake2/_tables": ("unit/test_blake2.py", "what all of these ways stand on"),
    "crypto/_blake2/_viper": ("unit/test_blake2.py", "one of the ways that BLAKE2s is tried"),
    "crypto/_blake2/_words": ("unit/test_blake2.py", "one of the ways that BLAKE2s is tried"),
    "crypto/_blake2/manifest": ("unit/test_under_micropython.py", "what it says is there"),
    "daemon/watch/explained": ("router/test_history.py", "what it says of a real outage"),
    "daemon/watch/history_write": ("daemon/test_history.py", "when flash is written, and what remains"),
    "daemon/watch/hooks": ("router/test_event_hooks.py", "real programs, which can hang and flood"),
    "daemon/watch/peer_watch": ("router/test_history.py", "real daemons, and what they note"),
    "daemon/watch/record_files": ("daemon/test_history.py", "when flash is written, and what remains"),
    "daemon/endpoint_list": ("router/test_failover.py", "needs a peer whose endpoints fail and come back"),
    "daemon/fastest": ("sim/test_sim_paths.py", "needs weeks in which delays change"),
    "daemon/ping_check": ("sim/test_sim_paths.py", "needs hubs that are cut off behind"),
    "daemon/interface": ("daemon/test_daemon.py", "through the program"),
    "daemon/netifd": ("router/test_netifd.py", "real packets, and what the daemon leaves to netifd"),
    "daemon/offload_log": ("daemon/test_segments.py", "lines of the log when an offload fails"),
    "daemon/peer_group": ("router/test_failover.py", "needs peers that fail and come back"),
    "daemon/router": ("router/test_run.py", "through the program"),
    "daemon/router_interface": ("router/test_run.py", "through the program"),
    "daemon/network_plan": ("daemon/test_network.py", "the plan, and a model of the kernel that follows it"),
    "daemon/router_options": ("router/test_old_kernels.py", "options that a kernel cannot carry out"),
    "daemon/unconfirmed": ("router/test_apply.py", "needs a router whose change is not confirmed"),
    "daemon/single": ("daemon/test_daemon.py", "through the program"),
    "errors": ("commands/test_command.py", "what cannot be written, and in wg's own words"),
    "packets/arena": ("unit/test_packets.py", "slots and inbox under real devices"),
    "packets/contract": ("test_contracts.py", "both backends beside it"),
    "packets/fastpath": ("fastpath/test_loading.py", "is found, fits, or is gone without"),
    "packets/runs": ("unit/test_crypto.py", "whichever backend runs"),
    "packets/runs_cpython": ("unit/test_crypto.py", "whichever backend runs"),
    "packets/runs_micropython": ("unit/test_crypto.py", "whichever backend runs"),
    "protocol/backlog": ("unit/test_cookie.py", "waiting, and when it means load"),
    "protocol/constants": ("unit/test_timers.py", "a row for each that is a time"),
    "protocol/drops": ("unit/test_device.py", "each refusal is counted under its name"),
    "protocol/ip": ("unit/test_packets.py", "headers as others' programs make them"),
    "protocol/memory": ("unit/test_allowedips.py", "tables that are full"),
    "protocol/peers": ("unit/test_device.py", "a device's peers come, change and go"),
    "runtime/abi": ("commands/test_machines.py", "other kinds of machine"),
    "runtime/address": ("uapi/test_session.py", "endpoints, as programs write them"),
    "runtime/child": ("runtime/test_resolver.py", "a lookup is a child"),
    "runtime/clib": ("runtime/test_notify.py", "with and without cffi's backend, and by ffi"),
    "runtime/clock": ("foreign/test_foreign.py", "a counter that goes round; needs one of 32 bits"),
    "runtime/contract": ("test_contracts.py", "both backends beside it"),
    "runtime/privileges": ("daemon/test_confined.py", "by what the kernel says of the process"),
    "runtime/durable": ("unit/test_timestamps.py", "the power fails at each step"),
    "runtime/files": ("config/test_uci_write.py", "each call fails once"),
    "runtime/folders": ("daemon/test_confined.py", "modes of what is made, in folders of the test's"),
    "runtime/heap": ("daemon/test_micropython.py", "frames have room at the beginning"),
    "runtime/pyroute2_child": ("router/test_network.py", "who carries out requests where pyroute2 is"),
    "runtime/inet": ("uapi/test_session.py", "addresses, as programs write them"),
    "runtime/libc": ("runtime/test_micropython_batches.py", "under the batch steps"),
    "runtime/local": ("daemon/test_daemon.py", "clients of the control socket"),
    "runtime/log": ("daemon/test_daemon.py", "what the daemon says"),
    "runtime/kernel_faults": ("runtime/test_offloads.py", "versions of kernels"),
    "runtime/modes": ("commands/test_keys.py", "others may read it, or it is no file"),
    "runtime/rtnetlink_abi": ("runtime/test_rtnetlink.py", "each request, and what the kernel makes of it"),
    "runtime/loop": ("daemon/test_daemon.py", "idle it sleeps, and ends by signals"),
    "runtime/netlink": ("runtime/test_rtnetlink.py", "what that speaks over"),
    "runtime/poll": ("daemon/test_daemon.py", "under the loop"),
    "runtime/probe": ("runtime/test_ping.py", "asks the way with it"),
    "runtime/process": ("daemon/test_daemon.py", "signals, children, the name"),
    "runtime/start": ("daemon/test_daemon.py", "becomes the daemon, in the background or not"),
    "runtime/tool": ("commands/test_client.py", "the client's socket, beside the real wg"),
    "daemon/outside_routes": ("router/test_many_routes.py", "beside many others, which change"),
    "runtime/pause": ("router/test_many_routes.py", "packets pass while a router works"),
    "runtime/rtsocket": ("runtime/test_rtnetlink.py", "all requests go by it"),
    "runtime/sources": ("daemon/test_sources.py", "several ways to a peer, and changes of them"),
    "runtime/tun_device": ("daemon/test_links.py", "devices as others left them"),
    "uapi/client": ("commands/test_client.py", "beside the real wg"),
    "uapi/server": ("daemon/test_daemon.py", "clients that are silent, slow, too many"),
}


def modules():
    """The modules by their place, without the folder of a backend: both do the same."""
    found = set()
    for path in WGEMBED.rglob("*.py"):
        parts = path.relative_to(WGEMBED).with_suffix("").parts
        if parts[-1] != "__init__" and not parts[-1].startswith("test_"):
            found.add("/".join(part for part in parts if part not in BACKENDS))
    return found


def own_file(module):
    """The file of tests that has the module's name and lies where those of its room do, or None."""
    room, _, name = module.partition("/")
    for folder in FOLDERS.get(room, [room, "unit"]):
        path = TESTS / folder / f"test_{name.rpartition('/')[2]}.py"
        if name and path.exists():
            return path
    return None


@pytest.mark.parametrize("module", sorted(modules()))
def test_every_module_has_its_test(module):
    if module in ELSEWHERE:
        assert own_file(module) is None, f"{own_file(module)} has its name"
        assert (TESTS / ELSEWHERE[module][0]).exists()
    else:
        assert own_file(module), f"no file of tests is called like {module}, and none is named here"


def test_nothing_is_said_of_modules_that_are_gone():
    assert ELSEWHERE.keys() - modules() == set()
