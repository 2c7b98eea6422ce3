"""The deliberate faults of mutations.py are faults, and each can be made in the program as it is now."""

import pytest

from .mutations import FAULTS, LEAST, first_failure, wrong_with

ROOMS = {
    ("wgembed/protocol/",): 10,
    ("wgembed/runtime/",): 6,
    ("wgembed/daemon/", "wgembed/packets/"): 6,
    ("wgembed/config/",): 6,
    ("wgembed/commands/", "wgembed/uapi/"): 6,
    ("fastpath/fastpath.c",): 6,
}


def test_there_are_forty_in_all_rooms():
    assert len(FAULTS) == len({fault.title for fault in FAULTS}) == len({fault[1:] for fault in FAULTS}) == 40
    assert LEAST == 36
    for folders, count in ROOMS.items():
        assert len([fault for fault in FAULTS if fault.path.startswith(folders)]) == count, folders


@pytest.mark.parametrize("fault", FAULTS, ids=range(1, len(FAULTS) + 1))
def test_it_can_be_made_and_changes_what_the_program_does(fault):
    assert wrong_with(fault) == ""


@pytest.mark.parametrize("old, new, why", [
    ("MAC_SIZE", "TAG_SIZE", "times in"),
    ("no such text", "", "0 times in"),
    ("_ZERO_MAC = bytes(MAC_SIZE)", "_ZERO_MAC = bytes(MAC_SIZE)  # a note", "changes nothing"),
    ("_ZERO_MAC = bytes(MAC_SIZE)", "_ZERO_MAC = bytes(", "is no Python"),
])  # fmt: skip
def test_what_is_no_fault_is_told(old, new, why):
    cookie = next(fault for fault in FAULTS if fault.path.endswith("cookie.py"))
    assert why in wrong_with(cookie._replace(old=old, new=new))


def test_the_first_failure_is_read_from_what_pytest_says():
    said = "..F\n=== short test summary info ===\nFAILED a/test_b.py::test_c[1 2] - assert 1 == 2\nERROR d.py\n"
    assert first_failure(said) == "a/test_b.py::test_c[1 2]"
    assert first_failure("ERROR d.py\n") == "d.py"
    assert first_failure("3 passed") == ""
