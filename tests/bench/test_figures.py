"""The table's arithmetic and its text."""

import pytest

from .figures import FASTPATH, PYTHON, Column, Figure, Target, digits, markdown, ratio, spread, verdicts

GO = Column("go", object)
OURS = Column("ours", object, "CPython", PYTHON)
SMALL = Column("small", object, "MicroPython", PYTHON)
FAST = Column("fast", object, "CPython", FASTPATH)
SMALL_FAST = Column("small-fast", object, "MicroPython", FASTPATH)
COLUMNS = [GO, OURS, SMALL, FAST, SMALL_FAST]


@pytest.mark.parametrize(("value", "text"), [
    (0, "0"), (0.01234, "0.0123"), (0.5, "0.5"), (9.678, "9.68"), (10.01, "10.0"), (99.6, "99.6"), (626.4, "626"),
    (1315.6, "1,316"), (-20, "-20.0"),
])  # fmt: skip
def test_digits(value, text):
    assert digits(value) == text


def test_ratios_are_of_single_runs():
    # That of the medians would be 2.
    assert ratio([10, 20, 90], [10, 10, 30]) == 2
    assert ratio([10, 20, 90], [1, 20, 45]) == 2
    assert ratio([4, 20, 90], [4, 10, 90]) == 1
    with pytest.raises(ValueError):
        ratio([1, 2], [1])


def test_spread():
    assert spread([3, 1, 2]) == "2.00 (1.00 to 3.00)"
    assert spread([3]) == "3.00"


def told(target, runs, columns=COLUMNS):
    return [(v.column, v.value, v.of, v.wanted, v.met) for v in verdicts(Figure("f", "", "", (target,)), runs, columns)]


def test_targets():
    runs = {"go": [10, 10], "ours": [8, 8], "small": [4, 4], "fast": [16, 16]}
    assert told(Target("CPython", ">=", 0.5, 2, "go"), runs) == [
        ("ours", 0.8, "go", 0.5, True), ("fast", 1.6, "go", 2, False)]  # fmt: skip
    assert told(Target(None, "<=", 5, 16), runs) == [
        ("ours", 8, None, 5, False), ("small", 4, None, 5, True), ("fast", 16, None, 16, True)]  # fmt: skip
    assert told(Target(None, ">=", None, 1), runs) == [("fast", 16, None, 1, True)]


@pytest.mark.parametrize("columns", [COLUMNS, COLUMNS[::-1]])
def test_an_interpreter_is_the_column_on_the_same_path(columns):
    target = Target("MicroPython", ">=", 0.5, 0.9, "CPython")
    runs = {"go": [10, 10], "ours": [8, 8], "small": [4, 4], "fast": [16, 16], "small-fast": [12, 12]}
    expected = [("small", 0.5, "ours", 0.5, True), ("small-fast", 0.75, "fast", 0.9, False)]
    assert sorted(told(target, runs, columns)) == expected
    del runs["fast"]
    assert told(target, runs, columns) == expected[:1]


def test_targets_that_cannot_be_told():
    target = Target(None, ">=", 1, 1, "go")
    assert told(target, {"ours": [8]}) == []
    assert told(target, {"ours": [8]}, [OURS]) == []
    assert told(target, {"go": [], "ours": [8]}) == []
    assert told(target, {"go": [8], "ours": []}) == []


def test_markdown():
    figures = [Figure("rate", "TCP", "Mbit/s", (Target(None, ">=", 0.5, 1, "go"),)), Figure("none", "never measured", "")]
    text = markdown(figures, {"rate": {"go": [10, 30, 20], "ours": [4, 15, 9]}}, [GO, OURS, SMALL])
    assert text.splitlines() == [
        "|  | go | ours | small | targets |",
        "|---|---|---|---|---|",
        "| TCP, Mbit/s | 20.0 (10.0 to 30.0) | 9.00 (4.00 to 15.0) |  | ours 0.45x of go (>= 0.5): **missed** |",
    ]
