"""What the tests have either interpreter do with options.py: python -m tests.config.config_runner FOLDER

It prints the lines of every case that come out otherwise than they should, and how many cases there were. FOLDER holds
the files that the cases name.
"""

import sys

from wgembed.config import options, uci

from . import config_cases


def told(text, folder):
    """Return the lines about a configuration, and the Config where it is good."""
    try:
        found = options.read(uci.parse(b"wgembed", text.replace(b"@", folder.encode())), "FILE")
    except uci.ParseError as e:
        return ["! FILE:%d: %s" % (e.line, e)], None
    except options.ConfigError as e:
        return ["! " + problem for problem in e.problems], None
    return ["~ " + warning for warning in found.warnings], found


def expected(lines, folder):
    return [line.replace("@", folder) for line in lines]


def main(folder):
    for title, text, lines in config_cases.CASES:
        got, _ = told(text, folder)
        if got != expected(lines, folder):
            print(title, got)
    print(len(config_cases.CASES), "cases")


if __name__ == "__main__":
    main(sys.argv[1])
