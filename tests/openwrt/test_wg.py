"""The command wg of a router: a link to the launcher of wgembed."""

from ..lab.builders import build_ipk

KEY = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="


def test_a_link_to_the_launcher_is_wg(tunnel):
    router = tunnel.router
    router.run("ln", "-s", "wgembed", "/usr/sbin/wg")
    assert router.run("wg", "show", "interfaces") == (0, "wg0\n")
    code, told = router.run("wg", "show")
    assert code == 0 and told.startswith("interface: wg0\n") and "latest handshake: " in told
    assert router.run("wg", "set", "wg0", "peer", KEY, "allowed-ips", "10.5.0.0/16") == (0, "")
    assert f"{KEY}\t10.5.0.0/16\n" in router.run("wg", "show", "wg0", "allowed-ips")[1]
    assert router.run("wg", "x", check=False)[1].startswith("Invalid subcommand: `x'\nUsage: wg <cmd>")
    assert router.run("wgembed", "set", check=False)[1].startswith("Usage: wgembed set <interface>")
    assert router.run("sh", "-c", "wg genkey | wg pubkey")[0] == 0


def test_an_argument_too_long_for_micropython(installed, variant, tmp_path):
    router = installed
    router.run("ln", "-s", "wgembed", "/usr/sbin/wg")
    prefixes = ",".join(["10.0.0.0/8"] * 40)
    code, told = router.run("wg", "set", "none", "peer", KEY, "allowed-ips", prefixes, check=False)
    no_device = 1, "Unable to modify interface: No such device\n"
    if variant == "micropython":
        assert (code, told) == (1, "wg: MicroPython accepts no argument of more than 255 bytes: use a file (addconf)\n")
    else:
        assert (code, told) == no_device
    # In a file there is room. The command for it is in the package of tools.
    if variant == "micropython":
        router.opkg.install(build_ipk.build_tools(tmp_path))
    router.run("sh", "-c", f"printf '[Peer]\\nPublicKey={KEY}\\nAllowedIPs={prefixes}\\n' >/tmp/conf")
    assert router.run("wg", "addconf", "none", "/tmp/conf", check=False) == no_device
