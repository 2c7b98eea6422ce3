"""Write the template for translators of the page: python package/build_pot.py

The template lists every text in _() of the page's scripts, with its files, and the titles of the menu.
"""

import json
import re
from pathlib import Path

PACKAGE = Path(__file__).parent / "luci-app-wgembed"
TEMPLATE = PACKAGE / "po/templates/wgembed.pot"
TEXT = re.compile(r"""\b_\(\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")


def texts():
    """Return {text: [place]} in the order of places."""
    found = {}
    for path in sorted((PACKAGE / "htdocs").rglob("*.js")):
        for literal in TEXT.findall(path.read_text()):
            places = found.setdefault(_unquoted(literal), [])
            if path not in places:
                places.append(path)
    for path in sorted((PACKAGE / "root").rglob("menu.d/*.json")):
        for node in json.loads(path.read_text()).values():
            found.setdefault(node["title"], []).append(path)
    return found


def _unquoted(literal):
    return re.sub(r"\\(.)", r"\1", literal[1:-1])


def template():
    """Return the template's text."""
    lines = ['msgid ""', 'msgstr "Content-Type: text/plain; charset=UTF-8"', ""]
    for text, places in sorted(texts().items(), key=lambda entry: (entry[1][0], entry[0])):
        lines += [f"#: {place.relative_to(PACKAGE).as_posix()}" for place in places]
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        lines += [f'msgid "{escaped}"', 'msgstr ""', ""]
    return "\n".join(lines)


if __name__ == "__main__":
    TEMPLATE.parent.mkdir(parents=True, exist_ok=True)
    TEMPLATE.write_text(template())
