"""Rewrite the source for MicroPython, so that its bytecode takes less flash and less memory. It does the same.

Bytecode contains every name of a module, a class, an attribute and a parameter as text, and a module that is loaded keeps
them in memory. So, over all modules together:

- A constant is written where it is used: a number at each place, a text if it has one place. Its name is then in no module.
- A parameter that no call names gets a name that the interpreter has anyway, and so does a private variable of a module.
- A private attribute of one module gets a short name, which the attributes of other modules have, too. For each new name,
  the interpreter compares all names that it has: without this, they took half of the time to load the modules.
- `__slots__` is left out, because MicroPython does not use it.

Names of functions, classes and methods stay, because tracebacks show them.
"""

import ast
import builtins
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
# Names that bytecode of version 6 does not contain, because every interpreter has them, with the same numbers.
_STATIC = [
    "key", "value", "start", "stop", "step", "end", "sep", "args", "index", "count", "keys", "values", "items", "little",
    "isalpha", "isdigit", "islower", "isspace", "isupper", "rindex", "rfind", "rsplit", "lstrip", "rstrip", "popitem",
    "setdefault", "throw", "readline", "readinto", "lower", "upper", "reverse", "bytecode",
]  # fmt: skip


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
    _shorten_attributes(modules, {word for path in sources.keys() - modules for word in re.findall(r"\w+", sources[path])})
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
    return found | _texts(tree)


def _drop_definitions(module, mentioned):
    """Remove the constants that nothing mentions."""
    unused = module.constants.keys() - mentioned
    module.tree.body = [each for each in module.tree.body if not _assigned(each) or not unused.issuperset(_assigned(each))]


# ---- names


def _shorten_parameters(tree, named):
    """Give the parameters of all functions static names, except those in `named`."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or any(isinstance(node, ast.ClassDef) for node in ast.walk(function)):
            continue
        taken = _read(function) | {*_bindings(function)}
        fixed = named | {"self", *_bindings(function, only_by_name=True)}
        # What is outside the function is evaluated where the function is defined.
        outside = {node for each in (function.decorator_list, function.args.defaults) for node in _walk(each)}
        inside = [node for node in ast.walk(function) if node not in outside]
        arguments = [argument.arg for argument in function.args.args if argument.arg not in fixed]
        free = (name for name in _STATIC if name not in taken)
        _rename(inside, dict(zip(arguments, free, strict=False)))


def _shorten_variables(tree, fixed):
    """Give the private variables and imports of a module static or short names, except those in `fixed`."""
    private = [name for statement in tree.body for name in [*_assigned(statement), *_imported(statement)] if name[0] == "_"]
    defined = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    names = [name for name in dict.fromkeys(private) if name not in fixed | defined and name[:2] != "__"]
    taken = _read(tree) | {*_bindings(tree)} | fixed
    _rename(ast.walk(tree), dict(zip(names, (name for name in _short_names(_STATIC) if name not in taken), strict=False)))


def _short_names(first):
    """Yield the names in `first`, then _a, _b, and so on."""
    yield from first
    yield from ("_" + one + two for one in ["", *_LETTERS] for two in _LETTERS)


def _shorten_attributes(modules, fixed):
    """Give the private attributes that only one module has short names, except those in `fixed`.

    Names of methods stay, and so do names in texts. A name that nothing else has can be a static one.
    """
    owners, taken = {}, set(fixed)
    for path, module in modules.items():
        taken |= _mentions(module.tree) | {*_bindings(module.tree)}
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute):
                owners.setdefault(node.attr, set()).add(path)
    public = fixed.union(*(_texts(module.tree) | {*_bindings(module.tree)} for module in modules.values()))
    static = [name for name in _STATIC if name not in taken]
    families = _families(modules)
    given = {}  # {family: names}
    for path, module in sorted(modules.items()):
        attributes = [node for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)]
        stored = dict.fromkeys(node.attr for node in attributes if isinstance(node.ctx, ast.Store))
        names = [name for name in stored if name[0] == "_" and name not in public and owners[name] == {path}]
        if path not in families or not names:
            continue
        others = given.setdefault(families[path], set())
        free = (name for name in _short_names(static) if name not in others and (name in static or name not in taken))
        new = dict(zip(names, free, strict=False))
        others.update(new.values())
        for node in attributes:
            node.attr = new.get(node.attr, node.attr)


def _texts(tree):
    """Return the words in the texts of a tree."""
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {word for text in constants for word in re.findall(r"\w+", text)}


def _families(modules):
    """Return {path: family}: an object can have the attributes of all modules of a family, because of inheritance.

    Modules with a class whose base is not known are left out.
    """
    families, unknown = {path: path for path in modules}, set()
    for path, module in modules.items():
        own = {node.name for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)} | {*dir(builtins)}
        imported = _imported_from(module, modules)
        for node in ast.walk(module.tree):
            for base in node.bases if isinstance(node, ast.ClassDef) else ():
                root = base.value if isinstance(base, ast.Attribute) else base
                other = imported.get(getattr(root, "id", None))
                if other:
                    old, new = families[path], families[other]
                    families = {each: new if family == old else family for each, family in families.items()}
                elif not isinstance(base, ast.Name) or base.id not in own:
                    unknown.add(path)
    return {path: family for path, family in families.items() if path not in unknown}


def _imported_from(module, modules):
    """Return {name: path} of the names that a module imports from another one of these, or that are one of these."""
    found = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            source = [*module.path.split("/")[: -node.level], *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                path = _path([*source, alias.name], modules) or _path(source, modules)
                if path:
                    found[alias.asname or alias.name] = path
    return found


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
