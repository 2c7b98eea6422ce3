"""The protocol handler for netifd reads an endpoint, or a list of them: which addresses get host routes, and whether the
routes of the peer wait for a name. The functions run alone, in the shell of this machine, with a `config_get` of the test.
"""

import re
import subprocess

import pytest

from ..lab.need import need, programs
from .test_shell import ROOT

HANDLER = (ROOT / "package/wgembed-netifd/files/wireguard.sh").read_text()
STUBS = """
config_get() { eval "$1=\\"\\$given_$3\\""; }
config_get_bool() { eval "$1=\\"\\${given_$3:-$4}\\""; }
proto_add_ipv4_route() { echo "route $1/$2"; }
given_public_key=key given_route_allowed_ips=1 given_allowed_ips=10.0.0.0/8
HOSTS=""
"""


def function(name):
    return re.search(rf"^{name}\(\) \{{\n.*?^\}}\n", HANDLER, re.M | re.S)[0]


@pytest.mark.parametrize("endpoints, found, hosts, is_routed", [
    ("", [], "", True),
    ("192.0.2.1", [], "192.0.2.1", True),
    ("[2001:db8::1]", [], "2001:db8::1", True),
    ("2001:db8::1", [], "2001:db8::1", True),
    ("a.example", [], "", False),
    ("a.example", ["a.example"], "", True),
    ("192.0.2.1:5 192.0.2.2", [], "192.0.2.1 192.0.2.2", True),
    ("[2001:db8::1]:5 2001:db8::2", [], "2001:db8::1 2001:db8::2", True),
    ("a.example:5 b.example", [], "", False),
    ("a.example:5 b.example", ["a.example"], "", True),
    ("a.example:5 192.0.2.2:6", [], "192.0.2.2", True),
])  # fmt: skip
def test_endpoints(tmp_path, endpoints, found, hosts, is_routed):
    need(programs, "dash")
    (tmp_path / "wg0.found").write_text("".join(f"{name}\n" for name in found))
    script = STUBS + function("wireguard_is_address") + function("wireguard_add_peer")
    script += (
        f"WGEMBED_STATE={tmp_path}\ngiven_endpoint_host='{endpoints}'\nwireguard_add_peer section wg0\necho hosts $HOSTS\n"
    )
    done = subprocess.run(["dash", "-c", script], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0 and done.stderr == ""
    expected = ["route 10.0.0.0/8"] * is_routed + ["hosts " + hosts if hosts else "hosts"]
    assert done.stdout.splitlines() == expected
