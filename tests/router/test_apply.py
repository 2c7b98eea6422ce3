"""`wgembed apply --confirm` and `wgembed confirm`: the previous configuration returns, whatever happens."""

import json
import os
import shutil
import signal

import pytest

from wgembed.config import uci, uci_write
from wgembed.errors import UserError

from ..lab import faketime, net, traffic
from ..lab.need import need
from ..lab.router import Keys, interface, rest

INSIDE = "10.77.0.2"
SHORT = "0.05"  # of a minute: 3 s


class Operator:
    """A person with a shell on the router, and a pair whose tunnel works."""

    def __init__(self, harness, pair):
        self.pair, self.router, self.place = pair, pair.router, harness.near.place
        self.file = harness.folder / "new"
        self.change = self.router.run_directory / "change/config"

    def good(self, **options):
        """Write a file with which the tunnel works."""
        return self._write(self.pair.interface(), self.pair.peer(description="the hub", **options))

    def bad(self):
        """Write a file that cuts the peer off."""
        return self._write(self.pair.interface(), self.pair.peer(description="the hub", endpoint_host="192.0.2.99"))

    def _write(self, *sections):
        self.file.write_text("\n".join(sections))
        self.file.chmod(0o600)
        return self.file

    def command(self, *words):
        variables = ("WGEMBED_RUN_DIR", "WGEMBED_STATE_DIR")
        given = [f"{name}={self.router.environment[name]}" for name in variables]
        return ["env", *given, *self.router.command, *map(str, words)]

    def run(self, *words, code=0):
        """Run a command of wgembed; return its output."""
        found, text = self.place.run(*self.command(*words), check=False)[:2]
        assert found == code, text
        return text

    def apply(self, *words, code=0):
        return self.run("apply", *words, "--config-dir", self.router.config.parent, code=code)

    def status(self):
        text = self.run("status", "--json", "--interval=0", self.pair.name)
        return json.loads(text)["interfaces"][0]

    def endpoint(self):
        return self.router.dump(self.pair.name)[1][2].partition(":")[0]

    def wait_for_end(self, within=10):
        net.poll(lambda: self.status()["unconfirmed_s"] is None, within, what="the end of the change")


@pytest.fixture
def operator(harness):
    pair = harness.pair()
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer())
    traffic.reach(harness.near.place, INSIDE)
    return Operator(harness, pair)


def test_confirmed_by_the_command(operator):
    old = operator.router.config.read_bytes()
    text = operator.apply(operator.good(persistent_keepalive=25), "--confirm", "5")
    assert text == "The configuration is in use. The previous one returns in 5 min, unless you run: wgembed confirm\n"
    assert operator.router.dump(operator.pair.name)[1][7] == "25"
    assert operator.router.config.read_bytes() == old, "nothing is on flash"
    assert operator.change.stat().st_mode & 0o777 == 0o600 and operator.change.parent.stat().st_mode & 0o777 == 0o700
    assert 290 <= operator.status()["unconfirmed_s"] <= 300 and operator.status()["problems"] == []
    assert "  not confirmed: the previous configuration returns in 4 min" in operator.run("status", "--interval=0")
    operator.router.reload()  # as at each change of a network
    assert operator.router.dump(operator.pair.name)[1][7] == "25"
    assert operator.run("confirm") == "The configuration is confirmed.\n"
    assert operator.router.config.read_bytes() == operator.file.read_bytes()
    assert operator.router.config.stat().st_mode & 0o777 == 0o600 and not operator.change.exists()
    assert operator.status()["unconfirmed_s"] is None
    assert "no change of the configuration waits" in operator.run("confirm", code=1)
    traffic.reach(operator.place, INSIDE)
    assert operator.router.dump(operator.pair.name)[1][7] == "25"


def test_not_confirmed(operator):
    """The peer that was cut off can be reached again."""
    old = operator.router.config.read_bytes()
    operator.apply(operator.bad(), "--confirm", SHORT)
    assert operator.endpoint() == "192.0.2.99"
    operator.wait_for_end()
    traffic.reach(operator.place, INSIDE, within=10)
    assert operator.endpoint() == "192.0.2.2" and operator.router.config.read_bytes() == old
    assert "it was not confirmed in time" in operator.router.log() and not operator.change.exists()
    rest(1)
    assert "the hub" not in (operator.router.state / "last-good").read_text(), "what was never confirmed is not kept"


def test_confirmed_by_a_handshake(operator):
    text = operator.apply(operator.good(), "--confirm", "1", "--peer", "the hub")
    assert text.endswith("The configuration is confirmed.\n")
    assert operator.router.config.read_bytes() == operator.file.read_bytes() and operator.status()["unconfirmed_s"] is None


def test_no_handshake_with_the_peer(operator):
    """A session from before the change proves nothing. The end of the terminal does not end the wait."""
    old = operator.router.config.read_bytes()
    command = operator.command("apply", operator.bad(), "--confirm", SHORT, "--peer", operator.pair.far.key)
    child = operator.place.spawn(*command, "--config-dir", operator.router.config.parent)
    child.expect("waiting for a handshake", 10)
    os.kill(child.pid, signal.SIGHUP)
    child.wait(20)
    assert "there was no handshake with the peer in time" in child.text()
    assert operator.router.config.read_bytes() == old
    traffic.reach(operator.place, INSIDE, within=10)


def test_a_restart_returns(operator):
    operator.apply(operator.bad(), "--confirm", "5")
    operator.router.kill()
    operator.router.start()
    traffic.reach(operator.place, INSIDE, within=10)
    assert operator.endpoint() == "192.0.2.2" and not operator.change.exists()
    assert "because the service was restarted before it was confirmed" in operator.router.log()
    assert operator.status()["unconfirmed_s"] is None


def test_a_reboot_returns(operator):
    """/var/run is lost."""
    old = operator.router.config.read_bytes()
    operator.apply(operator.bad(), "--confirm", "5")
    operator.router.kill()
    shutil.rmtree(operator.router.run_directory)
    operator.router.run_directory.mkdir()
    operator.router.start()
    traffic.reach(operator.place, INSIDE, within=10)
    assert operator.endpoint() == "192.0.2.2" and operator.router.config.read_bytes() == old


def test_the_clock_has_no_effect(harness):
    """It is set to 1970 at the start, as on a router without a battery."""
    need(faketime.preloaded)
    pair = harness.pair(**faketime.environment("@1970-01-01 00:10:00"))
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer())
    operator = Operator(harness, pair)
    operator.apply(operator.bad(), "--confirm", SHORT)
    assert operator.status()["unconfirmed_s"] <= 3
    operator.wait_for_end()
    assert operator.endpoint() == "192.0.2.2"


def test_a_second_change_replaces_the_first(operator):
    operator.apply(operator.good(persistent_keepalive=25), "--confirm", "5")
    operator.apply(operator.bad(), "--confirm", SHORT)
    assert operator.endpoint() == "192.0.2.99"
    operator.wait_for_end()
    assert operator.router.dump(operator.pair.name)[1][7] == "off", "the configuration in /etc/config returns"
    # One that is refused leaves the first in use.
    operator.apply(operator.good(persistent_keepalive=25), "--confirm", "5")
    taken = net.unique("v")
    own = operator.pair.router.config.parent
    operator.file.write_text(interface(taken, private_key=Keys().private) + operator.pair.interface())
    operator.place.spawn(*operator.router.command, "-f", taken)
    net.poll(lambda: taken in operator.place.ip("link"), 5)
    text = operator.run("apply", operator.file, "--confirm", "5", "--config-dir", own, code=1)
    assert "another program already serves interface" in text and text.endswith("; nothing was changed\n")
    assert operator.router.dump(operator.pair.name)[1][7] == "25" and operator.status()["unconfirmed_s"] > 200
    assert operator.run("confirm") == "The configuration is confirmed.\n"


def test_an_edit_of_the_file_ends_the_change(operator):
    operator.apply(operator.bad(), "--confirm", "5")
    operator.router.write(operator.pair.interface(), operator.pair.peer(persistent_keepalive=7))
    operator.wait_for_end()
    assert operator.router.dump(operator.pair.name)[1][7] == "7" and operator.endpoint() == "192.0.2.2"
    assert "has changed" in operator.router.log()


def test_without_confirmation(operator):
    """At once, as a whole, with a key for `generate`: the one of before."""
    operator.file.write_text(
        operator.pair.interface(private_key="generate") + "\n" + operator.pair.peer(persistent_keepalive=25)
    )
    text = operator.apply(operator.file)
    assert "other users can read" in text
    net.poll(lambda: operator.router.dump(operator.pair.name)[1][7] == "25", 5)
    assert f"option private_key '{operator.pair.keys.private}'" in operator.router.config.read_text()
    traffic.reach(operator.place, INSIDE)
    operator.router.kill()
    operator.router.config.unlink()
    operator.apply(operator.file)
    assert "generate" not in operator.router.config.read_text()
    assert operator.router.config.stat().st_mode & 0o777 == 0o600


def test_the_standard_input(operator):
    command = operator.command("apply", "-", "--confirm", "5", "--config-dir", operator.router.config.parent)
    operator.good(persistent_keepalive=25)
    operator.place.run("sh", "-c", f'"$@" <{operator.file}', "sh", *command)
    assert operator.router.dump(operator.pair.name)[1][7] == "25"


REFUSED = {
    "a word": ("nonsense\n", ":1: Parse error (invalid command) at line 1, byte 0"),
    "a value": ("config interface 'wg0'\n\toption mtu '1'\n", "option mtu: expected a number from 576"),
    "two mistakes": ("config interface 'wg0'\n\toption mtu '1'\n\toption listen_port 'x'\n", "option listen_port"),
    "of netifd": ("config interface 'lan'\n\toption proto 'static'\n", "belongs to /etc/config/network"),
    "of netifd too": ("config device\n\toption name 'br-lan'\n", "LuCI's Save & Apply"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_with_mistakes(operator, case):
    text, sentence = REFUSED[case]
    operator.file.write_text(text)
    operator.file.chmod(0o600)
    old = operator.router.config.read_bytes()
    for words in ((), ("--confirm", "5")):
        said = operator.apply(operator.file, *words, code=1)
        assert sentence in said and str(operator.file) in said
    assert operator.router.config.read_bytes() == old and not operator.change.exists()
    traffic.reach(operator.place, INSIDE)


def test_what_else_is_refused(operator, tmp_path):
    old = operator.router.config.read_bytes()
    for minutes in ("0", "1441", "x", "-1"):
        assert f"got '{minutes}'" in operator.apply(operator.good(), f"--confirm={minutes}", code=1)
    assert "--peer is for --confirm" in operator.apply(operator.good(), "--peer", "x", code=1)
    assert "no peer has the description" in operator.apply(operator.good(), "--confirm=1", "--peer=nobody", code=1)
    assert "cannot read" in operator.apply(tmp_path / "none", code=1)
    assert "has its configuration in" in operator.run(
        "apply", operator.good(), "--confirm=1", "--config-dir", _copy(operator.router.config.parent, tmp_path), code=1
    )
    operator.router.kill()
    assert "`wgembed run` does not run" in operator.apply(operator.good(), "--confirm=1", code=1)
    assert operator.router.config.read_bytes() == old


def _copy(folder, path):
    shutil.copytree(folder, path / "elsewhere")
    return path / "elsewhere"


@pytest.mark.parametrize("options", ["ro", "size=4k"])
def test_a_full_or_read_only_flash(operator, options):
    """The command says so before anything changes."""
    old = operator.router.config.read_bytes()
    folder = operator.router.config.parent
    script = (
        f"mount -t tmpfs none {folder} && cat >{folder}/wgembed && mount -o remount,{options} {folder} && "
        f'(dd if=/dev/zero of={folder}/full bs=1k count=64 2>/dev/null; "$@")'
    )
    for words in ((), ("--confirm=1",)):
        command = operator.command("apply", operator.good(), *words, "--config-dir", folder)
        inside = ["unshare", "-m", "sh", "-c", f"{script} <{operator.router.config}", "sh", *command]
        code, text = operator.place.run(*inside, check=False)[:2]
        assert code == 1 and f"cannot write {folder}" in text and text.count("\n") == 1, text
        assert ("Read-only file system (30)" if options == "ro" else "No space left on device (28)") in text
    assert operator.router.config.read_bytes() == old and operator.status()["unconfirmed_s"] is None


def test_changes_that_are_not_committed(harness, operator):
    folder = harness.folder / "saved"
    folder.mkdir()
    (folder / "wgembed").write_text("wgembed.wg0.mtu='1400'\n")
    command = operator.command("apply", operator.good(), "--config-dir", operator.router.config.parent)
    mount = f"mkdir -p /tmp/.uci && mount --bind {folder} /tmp/.uci"
    code, text = operator.place.run("unshare", "-m", "sh", "-c", f'{mount} && "$@"', "sh", *command, check=False)[:2]
    assert code == 1 and "/tmp/.uci/wgembed has changes that are not committed" in text


def test_an_idle_router_sleeps(operator):
    """Nothing wakes the daemon before the time of the change is over."""
    operator.apply(operator.good(), "--confirm", "5")
    rest(12)  # a keepalive
    before = operator.router.switches()
    rest(4)
    assert operator.router.switches() - before <= 1


CALLS = ("real_path", "status", "open_for_change", "lock", "create", "read", "write", "set_owner", "set_mode", "sync",
         "close", "rename", "sync_directory", "write_over", "remove")  # fmt: skip


def test_power_fails_at_each_step_of_the_confirmation(tmp_path, monkeypatch):
    """The file has the old or the new configuration; beside it there is at most what only its owner can read."""

    class Cut(BaseException):
        pass

    path = tmp_path / "wgembed"
    old, new = b"config interface 'old'\n", b"config interface 'new'\n"
    log = []

    def at(number, exception):
        path.unlink(missing_ok=True)
        for left in tmp_path.iterdir():
            left.unlink()
        path.write_bytes(old)
        path.chmod(0o600)
        log.clear()
        with monkeypatch.context() as patch:
            for name in CALLS:
                patch.setattr(uci_write.system.files, name, counted(name, number, exception))
            try:
                uci_write.replace("wgembed", new, str(tmp_path), "")
            except (Cut, OSError, UserError):
                return False
        return True

    def counted(name, number, exception):
        function = getattr(uci_write.system.files, name)

        def call(*arguments):
            log.append(name)
            if exception is Cut and len(log) > number or len(log) == number:
                if name == "write" and len(log) == number:
                    function(arguments[0], arguments[1][: len(arguments[1]) // 2])
                if name == "close":
                    function(*arguments)
                raise exception(5, "fails")
            return function(*arguments)

        return call

    assert at(0, OSError) and path.read_bytes() == new
    calls = list(log)
    for exception in (OSError, Cut):
        for number, name in enumerate(calls, 1):
            at(number, exception)
            if name == "remove" and exception is OSError:
                continue  # of what a power cut before left, if anything
            renamed = number > calls.index("rename") + 1
            assert path.read_bytes() == (new if renamed else old), (name, number)
            uci.parse(b"wgembed", path.read_bytes())
            for left in tmp_path.iterdir():
                assert left.stat().st_mode & 0o777 == 0o600
                assert left == path or exception is Cut
