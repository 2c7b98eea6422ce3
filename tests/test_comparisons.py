"""What is secret, or proves something, is compared in a time that tells nothing: by `crypto.equal`, never by `==`.

The source is read. A comparison counts where the name of what is compared says that it is a key, a MAC, a cookie or
the like.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What handles secrets in the daemon. Commands compare what their own user gave them.
FILES = sorted([
    *ROOT.glob("wgembed/protocol/*.py"),
    *ROOT.glob("wgembed/packets/*.py"), *ROOT.glob("wgembed/crypto/*.py"),
    *[ROOT / f"wgembed/daemon/{name}.py" for name in ("interface", "peer_diff", "router", "router_interface")],
    ROOT / "wgembed/config/keys.py",
    *[ROOT / f"wgembed/uapi/{name}.py" for name in ("server", "session", "status_lines")],
])  # fmt: skip
TELLING = re.compile(
    r"(^|_)(mac1|mac2|macs?|tag|cookie|secret|psk|preshared(_key)?|private(_key)?|shared|chain|hash|digest|stamp|timestamp|keys?)$"
)
ORDER = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)

# Not secret, or not remote: of each the file, what is compared, and why that is so.
ALLOWED = {
    ("protocol/device.py", "bytes(timestamp) <= bytes(peer.secret(noise.TIMESTAMP, 12))"): "its sender has proved who it is",
    ("protocol/events.py", "entry[1] == key"): "a public key, of what is told to the owner",
    ("protocol/ratelimiter.py", "self._tag[entry] == tag"): "stands for an address",
    ("config/keys.py", "encode(key) != bytes(text)"): "the owner's own file or command",
}


def named(node):
    """The names in what is compared: of variables, attributes, functions; not inside of len() and the like."""
    if isinstance(node, ast.Call):
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in ("len", "any", "count", "find", "get", "number_of"):
            return
        yield name
        for argument in node.args:
            yield from named(argument)
    elif isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Subscript):
        yield from named(node.value)
    elif isinstance(node, (ast.Tuple, ast.List, ast.BinOp)):
        for child in ast.iter_child_nodes(node):
            yield from named(child)


def is_public(name):
    # By its name, public: what is looked for in tables by is a name of something, not a secret.
    return "public" in name or name in ("_by_key",)


def suspicious(text, public=()):
    """The comparisons in the source that must not be, unless they are allowed. `public`: names that stand for no secret."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Compare) or not any(isinstance(op, ORDER) for op in node.ops):
            continue
        sides = [node.left, *node.comparators]
        if any(isinstance(side, ast.Constant) and not isinstance(side.value, bytes) for side in sides):
            continue
        names = [name for side in sides for name in named(side) if name not in public]
        if any(TELLING.search(name) and not is_public(name) for name in names) and not any(map(is_public, names)):
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT / "wgembed").as_posix())
def test_no_secret_is_compared_in_a_time_that_depends_on_it(path):
    where = path.relative_to(ROOT / "wgembed").as_posix()
    # Peers are known by their public key.
    public = ("key",) if path.name in ("router_interface.py", "peer_diff.py") else ()
    assert [text for text in suspicious(path.read_text(), public) if (where, text) not in ALLOWED] == []


def test_what_is_allowed_is_there():
    for where, text in ALLOWED:
        assert text in suspicious((ROOT / "wgembed" / where).read_text()), (where, text)


@pytest.mark.parametrize("bad", [
    "mac1 == message[116:132]", "message[size:] != mac2", "peer.secret(COOKIE, 16) == cookie", "digest in (a, b)",
    "self.private == other.private", "bytes(_hash) == expected", "psk == bytes(32)", "self._key[3] == x[4]",
    "a.preshared_key != b.preshared_key",
])  # fmt: skip
def test_the_check_finds_what_is_wrong(bad):
    assert suspicious(bad)
    assert suspicious(f"def f():\n    if x and {bad}:\n        return False")


@pytest.mark.parametrize("good", [
    "len(key) == 32", "size == MAC_SIZE", "peer.public_key == key", "crypto.equal(mac1, b)", "key == 'x'",
])  # fmt: skip
def test_the_check_lets_others_be(good):
    assert suspicious(good) == []


def test_macs_and_keys_are_compared_with_equal():
    """Both MACs, and the keys that a configuration brings against those that are there."""
    calls = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "crypto.equal":
                calls.setdefault(path.name, []).append(ast.unparse(node))
    assert [call.split("(")[1].split(",")[0] for call in calls["cookie.py"]] == ["mac1", "mac2"]
    private, timestamp = calls["device.py"]
    assert "self.identity.private" in private and "noise.TIMESTAMP" in timestamp
    assert "noise.PRESHARED" in calls["peer_diff.py"][0]
