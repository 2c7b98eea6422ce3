"""No text for people has a word that CONTRIBUTING.md asks writers to avoid.

Each source of text yields pieces of prose, without code, commands and output. For a new kind of text, add a function to
SOURCES. Three rows of the table are about the order of a sentence. No pattern finds these: a reader has to.
"""

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
CONFIGURATION, MANUAL = "package/files/wgembed.config", "docs/wgembed.8"
# The parts of wgembed/ whose strings, docstrings and comments are checked.
SCRIPTS = (
    "init.d/wgembed",
    *("package/files/" + name for name in ("launch.sh", "wgembed.sh", "wgembed.defaults", "completions/wgembed")),
    *("package/files/" + name for name in ("micropython.postinst", "python3.postinst", "python3.prerm")),
    *("package/debian/" + name for name in ("postinst", "postrm", "prerm", "wgembed.service", "wgembed@.service")),
    *("package/%s/Makefile" % name for name in ("luci-app-wgembed", "wgembed", "wgembed-fastpath")),
)
SCRIPTS_OF_LUCI = "package/luci-app-wgembed/htdocs"
PLUGIN_OF_LUCI = "package/luci-app-wgembed/root/usr/share/rpcd/ucode/luci.wgembed"

_PARTICIPLE = (
    r"(?:\w+ed|begun|bound|built|cut|done|drawn|found|given|held|kept|known|laid|left|lost|made|meant|met|put|read|run|said"
    r"|seen|sent|set|shown|taken|told|understood|written)"
)
# For the first cell of each row of the table: the pattern, for text in lower case. None: only a reader finds it.
AVOIDED = {
    "told, tells (of a program)": r"\b(?:told|tells?|telling)\b",
    "whoever, nobody's, who does not know": (
        r"\bwhoever\b|\b(?:any|every|no|some)body['’]s\b|\bwho does not\b|\b(?:against|beside|by|for|from|of|to|with) who\b"
    ),
    "stands for, stands in": r"\b(?:stand|stands|standing|stood) (?:for|in)\b",
    "is wanted": r"\b(?:is|are|was|were|be|been) wanted\b",
    "may not (for a prohibition)": r"\bmay not\b",
    "the way, the way out": r"\bthe ways?\b|\bways? (?:back|out|there)\b",
    "whence, of its own, is none": (
        r"\bwhence\b|\bof (?:my|our|your|his|her|its|one['’]s|their) own\b|\b(?:is|are|was|were) none\b"
    ),
    "what is asked for (a participle as a noun)": (
        r"\bwhat (?:is|are|was|were|has been|have been|had been|(?:can|could|may|must|shall|will) be)"
        rf" (?:(?:already|never|not|still) )?{_PARTICIPLE}\b"
    ),
    '"it" without a noun before it': None,
    "a verb before its subject": None,
    'a colon for "because"': None,
}
# A pattern finds these, but they are plain English.
ALLOWED = (
    "there is none",
    "there are none",
    "because of its own",
    "instead of its own",
    "one of its own",
    "one of our own",
    "by the way",
    "tell apart",
)
# It replaces code, so that the words before and after the code do not become neighbours.
_CODE = "`x`"
# In docstrings and comments, None is code too.
_SOURCE_CODE = r"`[^`]+`|\bNone\b"


class Piece(NamedTuple):
    """A paragraph, an entry of a list or a row of a table, in one line. `where`: its file and its first line."""

    where: str
    text: str


def avoided(text):
    """Return (row, words) for each part of the text that a pattern finds."""
    text = " ".join(text.lower().split())
    for phrase in ALLOWED:
        text = text.replace(phrase, _CODE)
    return [(row, hit[0]) for row, pattern in AVOIDED.items() if pattern for hit in re.finditer(pattern, text)]


def _pieces(name, lines):
    """Join the lines, pairs of number and text, to pieces. An empty text ends a piece."""
    found, start, words = [], 0, []
    for number, text in [*lines, (0, "")]:
        if text.strip():
            start = start if words else number
            words.append(text.strip())
        elif words:
            found.append(Piece(f"{name}:{start}", " ".join(words)))
            words = []
    return found


def of_markdown(name, text):
    """Return the prose of a page, without blocks and spans of code, comments, and the targets of links."""
    text = re.sub(r"<!--.*?-->", lambda comment: "\n" * comment[0].count("\n"), text, flags=re.S)
    text = re.sub(r"`[^`]+`", lambda span: _CODE + "\n" * span[0].count("\n"), _without_blocks(text))
    text = re.sub(r"\]\([^)\s]*\)", "]", text)
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        # A heading and a row are one line. An entry of a list can have more lines.
        is_single = re.match(r"#+ |\|", line)
        if is_single or re.match(r"\s*(?:[-*]|\d+\.) ", line):
            lines.append((number, ""))
        lines.append((number, line))
        if is_single:
            lines.append((number, ""))
    return _pieces(name, lines)


def _without_blocks(text):
    """Return the text with empty lines instead of fenced and indented blocks of code."""
    lines, fence, is_block, before = [], None, False, ""
    for line in text.split("\n"):
        mark = re.match(r" *(```|~~~)", line)
        # An indented block begins after an empty line or a heading. Other indented lines continue an entry of a list.
        is_block = line.startswith("    ") and (is_block or not before.strip() or before.startswith("#"))
        if mark and fence in (None, mark[1]):
            fence = None if fence else mark[1]
            lines.append("")
        else:
            lines.append("" if fence or is_block else line)
        before = line
    return "\n".join(lines)


def of_manual(name, text):
    """Return the prose of a page in mdoc, without displays and comments. Macros for commands, options and files are code."""
    lines, is_display = [], False
    for number, line in enumerate(text.split("\n"), 1):
        macro, _, rest = line.partition(" ")
        if macro in (".Bd", ".Ed"):
            is_display = macro == ".Bd"
            lines.append((number, ""))
        elif is_display or line.startswith('.\\"'):
            continue
        elif not line.startswith("."):
            lines.append((number, line))
        elif macro in (".Sh", ".Ss", ".Nd"):
            lines += [(number, ""), (number, rest), (number, "")]
        elif macro in (".Pp", ".It", ".Bl", ".El"):
            lines.append((number, ""))
        else:
            lines.append((number, _CODE))
    return _pieces(name, lines)


def of_configuration(name, text):
    """Return the comments of a UCI file, without the options in comments."""
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        comment = re.match(r"\s*# (.*)", line)
        lines.append((number, re.sub(r"`[^`]+`", _CODE, comment[1]) if comment else ""))
    return _pieces(name, lines)


def of_strings(name, text):
    """Return the strings of Python source, without docstrings. What a format puts in is code."""
    tree = ast.parse(text)
    docs = {id(node.value) for node in _docstrings(tree)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)) and id(node) not in docs:
            value = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            found += _pieces(name, [(node.lineno, _without_values(value))])
    return found


def _without_values(text):
    return re.sub(r"`[^`']+['`]", _CODE, re.sub(r"%(?:[\d.]*[a-z]|%)", _CODE, text))


def _docstrings(tree):
    """Return the statements of the tree that are docstrings."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, kinds)]
    return [body[0] for body in bodies if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)]


def of_docstrings(name, text):
    """Return the docstrings and comments of Python source. Comments in successive lines are one piece."""
    found = []
    for node in _docstrings(ast.parse(text)):
        lines = node.value.value.split("\n")
        found += _pieces(name, [(node.lineno + i, re.sub(_SOURCE_CODE, _CODE, line)) for i, line in enumerate(lines)])
    lines = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            if lines and lines[-1][0] + 1 != token.start[0]:
                lines.append((0, ""))
            lines.append((token.start[0], re.sub(_SOURCE_CODE, _CODE, token.string.lstrip("# "))))
    return found + _pieces(name, lines)


def of_luci(name, text):
    """Return the strings of a page that translators see, and the comments of a script of the pages."""
    found = []
    for match in re.finditer(r"""\b_\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")""", text):
        number = text.count("\n", 0, match.start()) + 1
        found += _pieces(name, [(number, _without_values((match[1] or match[2]).replace("\\'", "'")))])
    for match in re.finditer(r"/\*(.*?)\*/|(?:^\s*//[^\n]*\n)+", text, re.S | re.M):
        number = text.count("\n", 0, match.start()) + 1
        words = match[1] if match[1] is not None else re.sub(r"(?m)^\s*//", "", match[0])
        lines = enumerate(re.sub(r"`[^`]+`", _CODE, words).split("\n"), number)
        found += _pieces(name, lines)
    return found


def of_script(name, text):
    """Return what a shell script prints or logs: the strings in the lines of these commands, and its comments."""
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        comment = re.match(r"\s*# (?!shellcheck)(.*)", line)
        words = comment[1] if comment else ""
        if not comment and re.search(r"\b(?:echo|logger|tell|refuse|extra_command|printf)\b", line):
            words = ". ".join(re.findall(r'"([^"]*)"', line))
        lines.append((number, re.sub(r"`[^`]+`|\$\w+|\$\{[^}]*\}", _CODE, words)))
        if not comment:
            lines.append((number, ""))
    return _pieces(name, lines)


def _without_the_table(text):
    """Return CONTRIBUTING.md with empty lines instead of its table of words to avoid."""
    before, heading, after = text.partition("\n### Words\n")
    section, end, rest = after.partition("\n## ")
    return before + heading + re.sub(r"(?m)^\|.*$", "", section) + end + rest


def pages():
    """Return the prose of all pages."""
    found = []
    names = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
    for path in (*(ROOT / name for name in names), *sorted(ROOT.glob("docs/**/*.md"))):
        name, text = path.relative_to(ROOT).as_posix(), path.read_text()
        found += of_markdown(name, _without_the_table(text) if name == "CONTRIBUTING.md" else text)
    return found


def manual():
    """Return the prose of the manual page."""
    return of_manual(MANUAL, (ROOT / MANUAL).read_text())


def configuration():
    """Return the comments of the default configuration."""
    return of_configuration(CONFIGURATION, (ROOT / CONFIGURATION).read_text())


def _of_files(paths, read):
    """Return the pieces that the function `read` finds in the files."""
    return [piece for path in sorted(paths) for piece in read(path.relative_to(ROOT).as_posix(), path.read_text())]


def _modules():
    """Return the files of Python of the package."""
    return (ROOT / "wgembed").rglob("*.py")


def strings():
    """Return the log lines, refusals and answers of the program."""
    return _of_files(_modules(), of_strings)


def docstrings():
    """Return the docstrings and comments of the program, and of the programs that build packages."""
    return _of_files([*_modules(), *(ROOT / "package").rglob("*.py")], of_docstrings)


def luci():
    """Return the texts of the pages in LuCI, and the comments of their scripts."""
    return _of_files([*(ROOT / SCRIPTS_OF_LUCI).rglob("*.js"), ROOT / PLUGIN_OF_LUCI], of_luci)


def scripts():
    """Return the messages and comments of the shell scripts."""
    return _of_files((ROOT / name for name in SCRIPTS), of_script)


SOURCES = {
    "pages": pages,
    "manual": manual,
    "configuration": configuration,
    "strings": strings,
    "docstrings": docstrings,
    "luci": luci,
    "scripts": scripts,
}


@pytest.mark.parametrize("source", SOURCES)
def test_no_text_has_a_word_to_avoid(source):
    pieces = SOURCES[source]()
    assert len(pieces) > 20, "there is text"
    assert [f"{piece.where}: {words!r} ({row})" for piece in pieces for row, words in avoided(piece.text)] == []


def test_every_row_of_the_table_is_known_here():
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("\n### Words\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")]
    assert rows[2:] == list(AVOIDED)


# For each row with a pattern: a sentence, and the words that the pattern finds in it.
BAD = {
    "told, tells (of a program)": ("The log tells every step.", "tells"),
    "whoever, nobody's, who does not know": ("There is no answer to who asks.", "to who"),
    "stands for, stands in": ("The key stands in a file.", "stands in"),
    "is wanted": ("A number is wanted.", "is wanted"),
    "may not (for a prohibition)": ("A key may not be zero.", "may not"),
    "the way, the way out": ("The route follows the way out.", "the way"),
    "whence, of its own, is none": ("The route has a table of its own.", "of its own"),
    "what is asked for (a participle as a noun)": ("The log has what was not sent.", "what was not sent"),
}
# How a sentence is added to a text that has no word to avoid: the text, the form, and the function that reads it.
PLACES = {
    "page": ("docs/glossary.md", "\n%s\n", of_markdown),
    "entry": ("docs/glossary.md", "\n- %s\n", of_markdown),
    "cell": ("docs/glossary.md", "\n| a | b |\n|---|---|\n| c | %s |\n", of_markdown),
    "manual": (MANUAL, ".Pp\n%s\n", of_manual),
    "configuration": (CONFIGURATION, "\t# %s\n", of_configuration),
    "string": ("wgembed/errors.py", '\nraise UserError("%s")\n', of_strings),
    "format": ("wgembed/errors.py", '\nraise UserError(b"%%d: %s" %% 5)\n', of_strings),
    "docstring": ("wgembed/errors.py", '\ndef f():\n    """%s"""\n', of_docstrings),
    "comment": ("wgembed/errors.py", "\n# %s\n", of_docstrings),
    "page in LuCI": (f"{SCRIPTS_OF_LUCI}/luci-static/resources/wgembed/calls.js", "_('%s').format(1);\n", of_luci),
    "comment of LuCI": (f"{SCRIPTS_OF_LUCI}/luci-static/resources/wgembed/calls.js", "/* %s */\n", of_luci),
    "comment of a plugin": (PLUGIN_OF_LUCI, "\n// %s\n", of_luci),
    "script": ("package/files/launch.sh", 'echo "%s"\n', of_script),
}


def test_each_pattern_has_a_sentence():
    assert list(BAD) == [row for row, pattern in AVOIDED.items() if pattern]


@pytest.mark.parametrize("row", BAD)
@pytest.mark.parametrize("place", PLACES)
def test_a_word_that_is_put_in_is_found(row, place):
    sentence, words = BAD[row]
    name, form, read = PLACES[place]
    text = (ROOT / name).read_text()
    assert [found for piece in read(name, text) for found in avoided(piece.text)] == []
    assert [found for piece in read(name, text + form % sentence) for found in avoided(piece.text)] == [(row, words)]


@pytest.mark.parametrize("row", BAD)
def test_a_word_is_found_across_lines(row):
    sentence, words = BAD[row]
    texts = [
        of_markdown("file", "A list:\n\n- " + sentence.replace(" ", "\n  ")),
        of_manual("file", ".Pp\n" + sentence.replace(" ", "\n")),
        of_configuration("file", "\t# " + sentence.replace(" ", "\n\t# ")),
        of_docstrings("file", '"""' + sentence.replace(" ", "\n") + '"""\n'),
        of_docstrings("file", "# " + sentence.replace(" ", "\n# ") + "\n"),
        of_strings("file", 'f("' + sentence.replace(" ", ' "\n  "') + '")\n'),
        of_luci("file", "/* " + sentence.replace(" ", "\n   ") + " */\n"),
        of_luci("file", "// " + sentence.replace(" ", "\n// ") + "\n"),
        of_script("file", "# " + sentence.replace(" ", "\n# ") + "\n"),
    ]
    for pieces in texts:
        assert [found for piece in pieces for found in avoided(piece.text)] == [(row, words)]


def test_the_line_of_a_word_is_reported():
    text = "# Title\n\nA good sentence.\n\n- one\n- two, which\n  tells\n"
    assert [piece.where for piece in of_markdown("file", text) if avoided(piece.text)] == ["file:6"]


def test_code_and_output_are_not_prose():
    page = """# Heading
    $ told the way

A sentence with `a number is wanted`, [a link](the-way-of-its-own.md) and
`code over
the way`.

    the log tells

```
whence
```
<!-- told
the way -->
"""
    assert [found for piece in of_markdown("file", page) for found in avoided(piece.text)] == []
    manual_page = '.\\" told\n.Pp\nA\n.Cm tells\n.Bd -literal\nwhence\n.Ed\n'
    assert [found for piece in of_manual("file", manual_page) for found in avoided(piece.text)] == []
    comments = "# Good.\n#option the 'way'\n\t# `whence` is good.\n"
    assert [found for piece in of_configuration("file", comments) for found in avoided(piece.text)] == []


def test_an_indented_line_of_a_list_is_prose():
    page = "1. one\n   1. two, which goes\n      on and tells\n"
    assert [words for piece in of_markdown("file", page) for _, words in avoided(piece.text)] == ["tells"]


@pytest.mark.parametrize("text", ["It runs on its own.", "Imports go one way.", "Nobody knows.", "It is not its own."])
def test_plain_uses_are_not_found(text):
    assert avoided(text) == []


@pytest.mark.parametrize("phrase", ALLOWED)
def test_an_allowed_phrase_needs_its_permission(phrase):
    assert avoided(f"So {phrase}.") == []
    assert any(re.search(pattern, phrase) for pattern in AVOIDED.values() if pattern)
