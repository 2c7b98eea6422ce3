"""Rewrite the source for MicroPython, so that its bytecode takes less flash and less memory. It does the same.

Bytecode contains every name of a module, a class, an attribute and a parameter as text, and a module that is loaded keeps
them in memory. So, over all modules together:

- A constant is written where it is used: a number at each place, a text if it has one place. Its name is then in no module.
- A parameter that no call names gets a name of one letter, and a private variable of a module a name of two or three.
- `__slots__` is left out, because MicroPython does not use it.

Names of functions, classes, methods and attributes stay, because tracebacks and messages show them.
"""

import ast
import operator
import re
from dataclasses import dataclass, field

_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
_OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod, ast.LShift: operator.lshift, ast.RShift: operator.rshift, ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_, ast.BitXor: operator.xor, ast.USub: operator.neg, ast.Invert: operator.invert,
}  # fmt: skip
_DOCUMENTED = ast.Module, ast.ClassDef, ast.FunctionDef
# MicroPython stores a text of this length once.
_SHORT = 10
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class _NotConstant(Exception):
    pass


@dataclass
class _Module:
    """A module, by its path in the package. `bound`: how often each name is bound; `constants`: {name: value}."""

    path: str
    tree: ast.Module
    bound: dict = field(default_factory=dict)
    constants: dict = field(default_factory=dict)

    def __post_init__(self):
        for name in _bindings(self.tree):
            self.bound[name] = self.bound.get(name, 0) + 1


def rewrite(sources, untouched=()):
    """Return {path: source} of the modules of the package, rewritten.

    sources    {path in the package: source}
    untouched  the beginnings of paths that stay as they are
    """
    texts = {path: text for path, text in sources.items() if not path.startswith(tuple(untouched))}
    modules = {path: _Module(path, ast.parse(text)) for path, text in texts.items()}
    for module in modules.values():
        _drop_unused_texts(module.tree)
    _find_constants(modules)
    uses = _count_uses(modules)
    for module in modules.values():
        known, aliases = _visible(module, modules)
        before = _read(module.tree)
        module.tree = _Inline(known, aliases, modules, uses).visit(module.tree)
        _DropImports(before - _read(module.tree)).visit(module.tree)
    mentioned = set().union(*(_mentions(module.tree) for module in modules.values()))
    read = set().union(*(_read(module.tree) for module in modules.values()))
    named = {node.arg for module in modules.values() for node in ast.walk(module.tree) if isinstance(node, ast.keyword)}
    for module in modules.values():
        _drop_definitions(module, mentioned | read)
        _shorten_parameters(module.tree, named)
        _shorten_variables(module.tree, mentioned | named)
    rewritten = {path: ast.unparse(ast.fix_missing_locations(module.tree)) + "\n" for path, module in modules.items()}
    return {path: rewritten.get(path, text) for path, text in sources.items()}


def _bindings(tree, only_by_name=False):
    """Yield the names that a tree binds, each time; a name that is declared global counts twice.

    only_by_name  leave out variables and parameters, which can be renamed
    """
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.arg)):
            if not only_by_name and not isinstance(getattr(node, "ctx", None), ast.Load):
                yield node.id if isinstance(node, ast.Name) else node.arg
        elif isinstance(node, ast.alias):
            yield node.asname or node.name
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            yield from node.names * 2
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.ExceptHandler)) and node.name:
            yield node.name


def _drop_unused_texts(tree):
    """Remove docstrings and `__slots__`."""
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED):
            if ast.get_docstring(node) is not None:
                del node.body[0]
            if isinstance(node, ast.ClassDef):
                node.body = [each for each in node.body if _assigned(each) != ["__slots__"]]
            if not node.body and not isinstance(node, ast.Module):
                node.body = [ast.Pass()]


# ---- constants


def _assigned(statement):
    """Return the names that a simple assignment binds, or an empty list."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return []
    (target,) = statement.targets
    targets = target.elts if isinstance(target, ast.Tuple) else [target]
    return [each.id for each in targets] if all(isinstance(each, ast.Name) for each in targets) else []


def _values(statement):
    """Return the expressions for the names of `_assigned`, or an empty list."""
    value = statement.value
    if not isinstance(statement.targets[0], ast.Tuple):
        return [value]
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "range":
        return [ast.Constant(number) for number in range(len(statement.targets[0].elts))] if len(value.args) == 1 else []
    return value.elts if isinstance(value, ast.Tuple) else []


def _find_constants(modules):
    """Fill in the constants of all modules. One that is made from another module's needs a second round."""
    before = -1
    while before < (before := sum(len(module.constants) for module in modules.values())):
        for module in modules.values():
            known, aliases = _visible(module, modules)
            for statement in module.tree.body:
                names = _assigned(statement)
                for name, value in zip(names, _values(statement) if names else [], strict=False):
                    if _CONSTANT.fullmatch(name) and module.bound[name] == 1:
                        try:
                            known[name] = module.constants[name] = _evaluate(value, known, aliases, modules)
                        except _NotConstant:
                            pass


def _evaluate(node, known, aliases, modules):
    """Return the value of an expression of constants."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, str, bytes)):
        return node.value
    if isinstance(node, ast.Name) and node.id in known:
        return known[node.id]
    if isinstance(node, ast.Attribute):
        return _attribute(node, aliases, modules)
    if isinstance(node, ast.UnaryOp):
        parts = [node.operand]
    elif isinstance(node, ast.BinOp):
        parts = [node.left, node.right]
    else:
        raise _NotConstant
    parts = [_evaluate(part, known, aliases, modules) for part in parts]
    if type(node.op) not in _OPERATORS or not all(isinstance(part, int) for part in parts):
        raise _NotConstant
    return _OPERATORS[type(node.op)](*parts)


def _attribute(node, aliases, modules):
    """Return the value of MODULE.NAME."""
    if isinstance(node.value, ast.Name) and node.value.id in aliases:
        constants = modules[aliases[node.value.id]].constants
        if node.attr in constants:
            return constants[node.attr]
    raise _NotConstant


def _visible(module, modules):
    """Return {name: value} of the constants that a module can name, and {name: path} of the modules that it can name."""
    known, aliases, imported = dict(module.constants), {}, {}
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        folder = module.path.split("/")[: -node.level]
        source = folder + (node.module.split(".") if node.module else [])
        for alias in node.names:
            name = alias.asname or alias.name
            imported[name] = imported.get(name, 0) + 1
            constants = modules[_path(source, modules)].constants if _path(source, modules) else {}
            if alias.name in constants:
                known[name] = constants[alias.name]
            elif _path([*source, alias.name], modules):
                aliases[name] = _path([*source, alias.name], modules)
    # A name that something else binds too can mean something else.
    for names in (known, aliases):
        for name in [name for name in names if module.bound[name] != imported.get(name, 1)]:
            del names[name]
    return known, aliases


def _path(parts, modules):
    """Return the path of a module that is rewritten, or None."""
    return next((path for path in ("/".join(parts) + ".py", "/".join([*parts, "__init__.py"])) if path in modules), None)


def _count_uses(modules):
    """Return {value: number of places} of the texts that are constants."""
    uses = {}
    for module in modules.values():
        known, aliases = _visible(module, modules)
        for node in ast.walk(module.tree):
            if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
                try:
                    value = _evaluate(node, known, aliases, modules)
                except _NotConstant:
                    continue
                uses[value] = uses.get(value, 0) + 1
    return uses


class _Inline(ast.NodeTransformer):
    """Write constants where they are used."""

    def __init__(self, known, aliases, modules, uses):
        self._scope = known, aliases, modules
        self._uses = uses

    def _fits(self, value):
        return isinstance(value, int) or len(value) <= _SHORT or self._uses.get(value) == 1

    def _replace(self, node):
        if isinstance(node.ctx, ast.Load):
            try:
                value = _evaluate(node, *self._scope)
            except _NotConstant:
                return node
            if self._fits(value):
                return ast.parse(repr(value), mode="eval").body
        return node

    def visit_Name(self, node):
        return self._replace(node)

    def visit_Attribute(self, node):
        return self._replace(self.generic_visit(node))


class _DropImports(ast.NodeTransformer):
    """Remove imports of names that are no longer read."""

    def __init__(self, names):
        self._names = names

    def visit_ImportFrom(self, node):
        node.names = [alias for alias in node.names if (alias.asname or alias.name) not in self._names]
        return node if node.names else None

    def generic_visit(self, node):
        super().generic_visit(node)
        if getattr(node, "body", None) == [] and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]
        return node


def _read(tree):
    """Return the names of the variables that a tree reads."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _mentions(tree):
    """Return the names that a tree has as attributes, imports, or has in a text: they can be those of other modules."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.alias):
            found.add(node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(re.findall(r"\w+", node.value))
    return found


def _drop_definitions(module, mentioned):
    """Remove the constants that nothing mentions."""
    unused = module.constants.keys() - mentioned
    module.tree.body = [each for each in module.tree.body if not _assigned(each) or not unused.issuperset(_assigned(each))]


# ---- names


def _shorten_parameters(tree, named):
    """Give the parameters of all functions names of one letter, except those in `named`."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or any(isinstance(node, ast.ClassDef) for node in ast.walk(function)):
            continue
        taken = _read(function) | {*_bindings(function)}
        fixed = named | {"self", *_bindings(function, only_by_name=True)}
        for letter, argument in zip(_LETTERS, function.args.args, strict=False):
            if letter not in taken and argument.arg not in fixed:
                # What is outside the function is evaluated where the function is defined.
                outside = {node for each in (function.decorator_list, function.args.defaults) for node in _walk(each)}
                _rename((node for node in ast.walk(function) if node not in outside), {argument.arg: letter})


def _shorten_variables(tree, fixed):
    """Give the private variables and imports of a module short names, except those in `fixed`."""
    private = [name for statement in tree.body for name in [*_assigned(statement), *_imported(statement)] if name[0] == "_"]
    defined = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    names = [name for name in dict.fromkeys(private) if name not in fixed | defined and name[:2] != "__"]
    taken = {name for name in _read(tree) | {*_bindings(tree)} if len(name) <= 3}
    free = ("_" + first + second for first in ["", *_LETTERS] for second in _LETTERS)
    _rename(ast.walk(tree), dict(zip(names, (name for name in free if name not in taken), strict=False)))


def _imported(statement):
    """Return the names that an import binds instead of others."""
    if not isinstance(statement, (ast.Import, ast.ImportFrom)):
        return []
    return [alias.asname for alias in statement.names if alias.asname]


def _walk(trees):
    for tree in trees:
        yield from ast.walk(tree)


def _rename(nodes, names):
    for node in nodes:
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
        elif isinstance(node, ast.arg):
            node.arg = names.get(node.arg, node.arg)
        elif isinstance(node, ast.Global):
            node.names = [names.get(name, name) for name in node.names]
        elif isinstance(node, ast.alias):
            node.asname = names.get(node.asname, node.asname)
