"""Both backends of a seam have what its contract says, by the same names and parameters, and nothing else that is public.

All is read from the source: MicroPython's backends cannot be imported here.
"""

import ast
from pathlib import Path

import pytest

from .lab.builders import build_mpy, contents

WGEMBED = Path(__file__).parents[1] / "wgembed"
RUNTIME = ("cpython", "micropython")
ATTRIBUTE = "attribute"

# What a backend has beyond the contract, for other modules of the same backend.
ITS_OWN = {
    "runtime/cpython/files.py environment": "what start.py hands to the lean interpreter",
    "crypto/_cpython.py forget": "_hkdf.py, of the same backend, overwrites digests",
    "runtime/cpython/start.py command_for": "the command line of that interpreter, for the demo as well",
    "runtime/micropython/heap.py free": "start.py asks whether it is enough",
    "runtime/micropython/process.py pipe": "start.py makes one as well",
}
# What a backend does without.
LACKING = {
    "runtime/micropython/process.py spawn_command": "only for the command that start.pyroute2_command gives: here None",
}
# Functions of another module or library under the contract's name: their parameters cannot be read, and go by position.
ALIASES = {
    "crypto/_cpython.py aead_decrypt": "libsodium's",
    "crypto/_cpython.py aead_encrypt": "libsodium's",
    "crypto/_micropython.py aead_decrypt": "libsodium's",
    "crypto/_micropython.py aead_encrypt": "libsodium's",
    "runtime/cpython/files.py close": "posix.close",
    "runtime/cpython/files.py read": "posix.read",
    "runtime/cpython/tool.py is_terminal": "posix.isatty",
    "runtime/cpython/tool.py list_names": "posix.listdir",
    "runtime/cpython/process.py strerror": "posix.strerror",
    "runtime/micropython/clib.py errno": "os.errno, by libc.py",
    "runtime/micropython/tool.py list_names": "os.listdir",
    "runtime/micropython/process.py strerror": "the C library's",
}
# Files of one backend alone, which are no part of the seam.
BESIDE = {
    "runtime/cpython/pyroute2_child.py": "a program for a child process",
    "runtime/micropython/libc.py": "what the other modules of this backend stand on",
}


def is_public(name):
    return not name.startswith("_") or name == "__init__"


def parameters(function, bound=False):
    """The parameters of a function as they are written; of a method without the first one."""
    text = ast.unparse(function.args)
    return text.partition(",")[2].strip() if bound else text


def statements(body):
    """The statements of a module or class, with those that stand under if, else, try and except."""
    for node in body:
        yield node
        for name in ("body", "orelse", "finalbody"):
            if isinstance(node, (ast.If, ast.Try)):
                yield from statements(getattr(node, name, []))
        for handler in getattr(node, "handlers", []):
            yield from statements(handler.body)


def assigned(node):
    """The names that an assignment at the top gives."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    for target in targets:
        yield from (item.id for item in ast.walk(target) if isinstance(item, ast.Name))


def offer(body):
    """What a module or class offers: {name: parameters of a function, or what a class offers, or ATTRIBUTE}.

    Parameters are a set, for a function may be written twice, under an if. Of a name that is assigned or imported nothing
    more is known.
    """
    found, imports = {}, {}
    for node in statements(body):
        if isinstance(node, ast.FunctionDef):
            bound = "self" in [argument.arg for argument in node.args.args[:1]]
            found.setdefault(node.name, set()).add(parameters(node, bound))
        elif isinstance(node, ast.ClassDef):
            found[node.name] = offer(node.body)
            # What its methods give their object; __slots__ alone give no value.
            for inner in ast.walk(node):
                if (
                    isinstance(inner, ast.Attribute)
                    and isinstance(inner.ctx, ast.Store)
                    and isinstance(inner.value, ast.Name)
                    and inner.value.id == "self"
                    and is_public(inner.attr)
                ):
                    found[node.name][inner.attr] = ATTRIBUTE
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            found.update((name, ATTRIBUTE) for name in assigned(node))
        elif isinstance(node, ast.ImportFrom):
            imports.update((alias.asname or alias.name, ATTRIBUTE) for alias in node.names)
    public = {name: what for name, what in found.items() if is_public(name)}
    # What is imported is offered only if the contract wants it.
    return {**public, **{f"import {name}": what for name, what in imports.items()}}


def read(name):
    return ast.parse((WGEMBED / name).read_text())


def seams():
    """Yield (file of a backend, what the contract says of it)."""
    crypto, hashes = offer(read("crypto/contract.py").body), {"blake2s", "hmac", "kdf", "use_hashes"}
    primitives = {name: what for name, what in crypto.items() if name not in hashes}
    for name in ("crypto/_cpython.py", "crypto/_micropython.py"):
        yield name, primitives
    yield "crypto/hashes.py", {name: what for name, what in crypto.items() if name in hashes}
    for name in ("packets/runs_cpython.py", "packets/runs_micropython.py"):
        yield name, offer(read("packets/contract.py").body)
    for node in read("runtime/contract.py").body:
        if isinstance(node, ast.ClassDef):
            for backend in RUNTIME:
                yield f"runtime/{backend}/{node.name}.py", offer(node.body)


SEAMS = dict(seams())


def own(file, name):
    return f"{file} {name}"


def differences(file, contract, backend, where=""):
    """Yield in words how the backend's offer differs from the contract's, except for what is named above."""
    for name, wanted in contract.items():
        whole = where + name
        has = backend.get(name, backend.get(f"import {name}"))
        key = own(file, whole)
        if has is None:
            if key not in LACKING:
                yield f"{key} is missing"
        elif isinstance(wanted, dict):
            if isinstance(has, dict):
                yield from differences(file, wanted, has, whole + ".")
            elif f"import {name}" not in backend:
                yield f"{key} is no class"
        elif isinstance(wanted, set):
            if has == ATTRIBUTE:
                if key not in ALIASES:
                    yield f"{key} is no function"
            elif has != wanted:
                yield f"{key} takes {has}, not {wanted}"
        elif has != ATTRIBUTE:
            yield f"{key} is no {ATTRIBUTE}"
    for name in backend:
        # Without __init__ in the contract objects come from another call, and how they are made is the backend's own.
        known = name in contract or name == "__init__" or name.startswith("import ")
        if not known and own(file, where + name) not in ITS_OWN:
            yield f"{own(file, where + name)} is not in the contract"


@pytest.mark.parametrize("file", sorted(SEAMS))
def test_backend_has_what_the_contract_says_and_nothing_else(file):
    assert list(differences(file, SEAMS[file], offer(read(file).body))) == []


def test_every_module_of_a_backend_has_its_contract():
    modules = {
        path.relative_to(WGEMBED).as_posix()
        for backend in RUNTIME
        for path in (WGEMBED / "runtime" / backend).glob("*.py")
        if path.name != "__init__.py"
    }
    assert modules - BESIDE.keys() == {file for file in SEAMS if file.startswith("runtime/")}
    assert modules >= BESIDE.keys()


def listed(file):
    """The names in the module's __all__, or None."""
    for node in read(file).body:
        if isinstance(node, ast.Assign) and list(assigned(node)) == ["__all__"]:
            return set(ast.literal_eval(node.value))
    return None


@pytest.mark.parametrize("file", [file for file in sorted(SEAMS) if listed(file) is not None])
def test_all_that_is_offered_can_be_imported(file):
    assert listed(file) == SEAMS[file].keys()


def test_system_has_every_module_but_what_commands_alone_need():
    names = {Path(file).stem for file in SEAMS if file.startswith("runtime/")} - {"probe", "tool"}
    assert [listed(f"runtime/{backend}/__init__.py") for backend in RUNTIME] == [names, names]


def test_the_c_library_s_tunnel_port_has_the_same_methods():
    contract = SEAMS["runtime/cpython/tun.py"]["TunPort"]
    port = offer(read("packets/fastpath.py").body)["FastTunPort"]
    made = "__init__"
    assert {name: port[name] for name in port if name != made} == {name: contract[name] for name in contract if name != made}


def test_what_is_excepted_is_so():
    offers = {file: offer(read(file).body) for file in SEAMS}

    def holds(key, check):
        file, name = key.split()
        has = offers[file].get(name, offers[file].get(f"import {name}"))
        return check(has, SEAMS[file].get(name))

    assert [key for key in ITS_OWN if not holds(key, lambda has, wanted: has and not wanted)] == []
    assert [key for key in LACKING if not holds(key, lambda has, wanted: wanted and not has)] == []
    assert [key for key in ALIASES if not holds(key, lambda has, wanted: has == ATTRIBUTE and isinstance(wanted, set))] == []


def test_contracts_are_in_no_package():
    contracts = {path.relative_to(WGEMBED).as_posix() for path in WGEMBED.rglob("contract.py")}
    assert contracts == set(build_mpy.CONTRACTS)
    assert contracts & {*build_mpy.modules(), *contents.python_modules()} == set()


def test_contracts_say_something_of_everything_and_do_nothing():
    for room in ("crypto", "packets", "runtime"):
        for node in ast.walk(read(f"{room}/contract.py")):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                assert ast.get_docstring(node), node.name
            if isinstance(node, ast.FunctionDef):
                assert len(node.body) == 1, node.name


def used(tree):
    """Yield (module, name) of what the tree takes from `system` and `tool`: system.clock.now, tool.run."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            value = node.value
            if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id == "system":
                yield value.attr, node.attr
            if isinstance(value, ast.Name) and value.id == "tool":
                yield "tool", node.attr


def test_what_the_program_calls_is_in_the_contract():
    wanted = {
        pair
        for path in WGEMBED.rglob("*.py")
        if path.parent.name not in RUNTIME and not path.name.startswith("test_")
        for pair in used(ast.parse(path.read_text()))
    }
    offered = {(Path(file).stem, name) for file in SEAMS if file.startswith("runtime/") for name in SEAMS[file]}
    assert len(wanted) > 80 and wanted - offered == set()
