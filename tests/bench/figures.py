"""What was measured, as a table: medians of paired runs, and ratios between the columns, beside what is wanted.

A column is a program. `runs` is {figure: {column: [value of each run]}}; the values of one run were measured in turns,
so that a ratio is one of the same run.
"""

import operator
import statistics
from dataclasses import dataclass

PYTHON, FASTPATH = "Python", "fastpath"
_COMPARE = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True)
class Column:
    """A program: `interpreter` is the one that it runs on and `path` who does its packets, if it is one of ours."""

    name: str
    kind: type
    interpreter: str = None
    path: str = None


@dataclass(frozen=True)
class Target:
    """What the columns with this interpreter (None: both) are to reach.

    python, fastpath  the number, by path; None for no target
    of                the column that the number is a ratio to; an interpreter stands for the column with the same path
    """

    interpreter: str
    sign: str
    python: float
    fastpath: float
    of: str = None

    def wants(self, column):
        """Return the number that the column is to reach, or None."""
        if column.path is None or self.interpreter not in (None, column.interpreter) or self.of == column.interpreter:
            return None
        return {PYTHON: self.python, FASTPATH: self.fastpath}[column.path]

    def base(self, column, columns):
        """Return the column that the number is a ratio to; None if there is none."""
        for other in columns:
            if self.of == other.name or self.of == other.interpreter is not None and other.path == column.path:
                return other
        return None


@dataclass(frozen=True)
class Figure:
    """One row: its key in `runs`, what is said of it, and its targets."""

    key: str
    title: str
    unit: str
    targets: tuple = ()


@dataclass(frozen=True)
class Verdict:
    """Whether a column reaches a target: `value` is what it has, `wanted` what it should, both ratios if `of` is a name."""

    figure: str
    column: str
    value: float
    sign: str
    wanted: float
    of: str
    met: bool

    def __str__(self):
        of = f"x of {self.of}" if self.of else ""
        return f"{self.column} {digits(self.value)}{of} ({self.sign} {self.wanted:g}): {'met' if self.met else '**missed**'}"


def digits(value):
    """Return the number with three digits that count, and all those before the point."""
    if abs(value) < 1:
        return f"{value:.3g}"
    places = 2
    while places and abs(value) >= 10 ** (3 - places):
        places -= 1
    return f"{value:,.{places}f}"


def ratio(values, bases):
    """Return the median of the ratios of the single runs."""
    return statistics.median([value / base for value, base in zip(values, bases, strict=True)])


def spread(values):
    """Return the median, and where there are several values the least and the greatest, as text."""
    text = digits(statistics.median(values))
    return f"{text} ({digits(min(values))} to {digits(max(values))})" if len(values) > 1 else text


def verdicts(figure, runs, columns):
    """Return what is to be said of the figure's targets; nothing of those that cannot be told."""
    said = []
    for target in figure.targets:
        for column in columns:
            wanted, values = target.wants(column), runs.get(column.name)
            if wanted is None or not values:
                continue
            of = None
            if target.of:
                base = target.base(column, columns)
                if base is None or not runs.get(base.name):
                    continue
                of, value = base.name, ratio(values, runs[base.name])
            else:
                value = statistics.median(values)
            met = _COMPARE[target.sign](value, wanted)
            said.append(Verdict(figure.key, column.name, value, target.sign, wanted, of, met))
    return said


def markdown(figures, runs, columns):
    """Return the table: a row a figure, a column a program, and the targets last."""
    head = ["", *(column.name for column in columns), "targets"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for figure in figures:
        values = runs.get(figure.key, {})
        if not values:
            continue
        cells = [spread(values[column.name]) if values.get(column.name) else "" for column in columns]
        said = "; ".join(str(verdict) for verdict in verdicts(figure, values, columns))
        title = f"{figure.title}, {figure.unit}" if figure.unit else figure.title
        lines.append("| " + " | ".join([title, *cells, said]) + " |")
    return "\n".join(lines)
