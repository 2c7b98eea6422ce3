"""The rooms import one way, and protocol, packets and crypto reach for no machine: read from the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WGEMBED = ROOT / "wgembed"
# Each may import the rooms behind it.
ROOMS = ("commands", "daemon", "uapi", "config", "runtime", "packets", "protocol", "crypto")
# Modules outside of any room: these start the program and are imported by none; errors may be imported by all.
STARTERS = ("__main__", "daemon_entry")
LEAF = "errors"

# Imports within a function that would close a circle if they were made at import time, and why they do not.
LATE = {
    ("runtime", "runtime.privileges"): "loaded for one call, when the room is complete, and dropped again",
}

# The errors import nothing but this, within a function, and why.
LEAF_IMPORTS = {("errors", "runtime.__init__"): "the words of an OSError: guard must catch what the runtime itself lacks"}

# What the rooms without a machine may import from outside of wgembed. A module that is not named here: its room's.
OUTSIDE = {
    "crypto": set(),
    "crypto.__init__": {"sys"},
    "crypto.hashes": {"sys"},
    "crypto._hkdf": {"_blake2", "hashlib"},
    "crypto._cpython": {"struct", "nacl", "_cffi_backend"},
    "crypto._micropython": {"struct", "ffi", "uctypes"},
    "crypto._blake2.__init__": {"sys"},
    "crypto._blake2._halves": {"array"},
    "crypto._blake2._viper": {"micropython"},
    "crypto._blake2._words": {"struct"},
    "packets": {"struct"},
    "packets.runs_cpython": {"struct", "sys"},
    "packets.runs_micropython": {"struct", "ffi", "uctypes"},
    "protocol": {"struct", "array"},
}
# Who asks which interpreter runs. Others choose by crypto.BACKEND, or take what these have chosen.
ASK = {"crypto.__init__", "crypto.hashes", "runtime.__init__", "runtime.tool"}
# What an import can be hidden in, with who uses it and for what.
DYNAMIC = {"commands.main": "the modules of the commands, by their table"}

LONGEST = 700  # lines
FOLDERS = ("wgembed", "package", "docs", "init.d", "fastpath")
MOST_FILES = 25


def module_name(path):
    """The name below wgembed of a file, with __init__ for the package's own."""
    return ".".join(path.relative_to(WGEMBED).with_suffix("").parts)


MODULES = {
    module_name(path): ast.parse(path.read_text())
    for path in sorted(WGEMBED.rglob("*.py"))
    if not path.name.startswith("test_")
}


def target(name):
    """The name in MODULES of what is called so in imports (wgembed.runtime is runtime.__init__), or None."""
    below = name.removeprefix("wgembed").lstrip(".")
    for known in (below, f"{below}.__init__".lstrip(".")):
        if known in MODULES and name.split(".")[0] == "wgembed":
            return known
    return None


def imported(module, tree):
    """Yield (name, node) for each module that the tree imports: in full, from wgembed or from outside."""
    package = ["wgembed", *module.split(".")[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join(base + ([node.module] if node.module else []))
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                # A module of the package, or a name in it.
                yield (whole if target(whole) else base), node


def edges(module):
    """The modules of wgembed that this one imports, wherever in it."""
    return {found for name, _ in imported(module, MODULES[module]) if (found := target(name))}


def room(module):
    return module.partition(".")[0]


def test_every_module_is_in_a_room_or_is_named_here():
    assert {room(module) for module in MODULES} == {*ROOMS, *STARTERS, LEAF, "__init__"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_one_way(module):
    if room(module) in STARTERS:
        return
    allowed = {"__init__", LEAF}
    if room(module) in ROOMS:
        allowed.update(ROOMS[ROOMS.index(room(module)) :])
    assert {name for name in edges(module) if room(name) not in allowed and (module, name) not in LEAF_IMPORTS} == set()


def test_from_the_package_itself_only_the_version_is_taken():
    for module, tree in MODULES.items():
        for name, node in imported(module, tree):
            if name == "wgembed":
                assert [alias.name for alias in node.names] == ["__version__"], module


def test_the_device_joins_the_protocol_and_no_part_of_that_imports_it():
    assert {module for module in MODULES if room(module) == "protocol" and "protocol.device" in edges(module)} == set()


def circles(graph):
    """The modules that are in a circle of the graph, {module: those that it imports}."""
    reached = {module: set(following) for module, following in graph.items()}
    changed = True
    while changed:
        changed = False
        for following in reached.values():
            more = set().union(*(reached.get(name, ()) for name in following)) - following
            if more:
                following |= more
                changed = True
    return {module for module, following in reached.items() if module in following}


def test_no_circle_of_imports_but_those_that_are_made_late():
    late = {(f"{source}.__init__", found) for source, found in LATE}
    graph = {module: {name for name in edges(module) if (module, name) not in late} for module in MODULES}
    assert circles(graph) == set()


def is_late(module, found):
    """Whether the module imports the other one, and within functions alone."""
    inside = {
        id(node)
        for function in ast.walk(MODULES[module])
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    }
    nodes = [node for name, node in imported(module, MODULES[module]) if target(name) == found]
    return bool(nodes) and all(id(node) in inside for node in nodes)


def test_what_is_excepted_as_late_is_late_and_would_be_a_circle():
    graph = {module: edges(module) for module in MODULES}
    for source, found in LATE:
        module = f"{source}.__init__"
        assert is_late(module, found)
        assert {module, found} <= circles(graph)


def test_what_the_errors_import_is_late():
    assert [pair for pair in LEAF_IMPORTS if not is_late(*pair)] == []


@pytest.mark.parametrize("module", [name for name in sorted(MODULES) if room(name) in ("crypto", "packets", "protocol")])
def test_the_rooms_without_a_machine_import_what_is_named_here(module):
    outside = {name.split(".")[0] for name, _ in imported(module, MODULES[module])} - {"wgembed"}
    assert outside <= OUTSIDE.get(module, OUTSIDE[room(module)])


def test_nothing_is_allowed_that_nobody_imports():
    used = {}
    for module, tree in MODULES.items():
        key = module if module in OUTSIDE else room(module)
        used.setdefault(key, set()).update(name.split(".")[0] for name, _ in imported(module, tree))
    assert {key: unused for key, names in OUTSIDE.items() if (unused := names - used.get(key, set()))} == {}


def asks(tree):
    """Whether the tree has sys.implementation, or imports it."""
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == "implementation"
        or isinstance(node, ast.ImportFrom)
        and node.module == "sys"
        and any(alias.name == "implementation" for alias in node.names)
        for node in ast.walk(tree)
    )


def test_the_interpreter_is_asked_for_in_four_places():
    assert {module for module, tree in MODULES.items() if asks(tree)} == ASK


def test_nothing_is_imported_in_other_ways():
    names = ("__import__", "import_module", "exec", "eval")
    found = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (getattr(node.func, "id", None) in names or getattr(node.func, "attr", None) == "import_module")
    }
    assert found == DYNAMIC.keys()


def test_contracts_are_imported_by_nothing():
    assert {module for module in MODULES for name in edges(module) if name.endswith(".contract")} == set()


def test_no_module_is_long():
    lengths = {path: len(path.read_text().splitlines()) for path in WGEMBED.rglob("*.py")}
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}


def test_no_folder_has_many_files():
    folders = [folder for name in FOLDERS for folder in ((ROOT / name), *(ROOT / name).rglob("*")) if folder.is_dir()]
    counts = {folder: sum(path.is_file() for path in folder.iterdir()) for folder in folders if folder.name != "__pycache__"}
    assert counts and {folder: count for folder, count in counts.items() if count > MOST_FILES} == {}
