"""The commands of wg(8): the newest wireguard-tools, Debian 12's and ours, on both interpreters, are asked the same.

Output, complaints, exit status and every byte to the control socket are the same. Where ours differ, the case says
how, and docs/differences.md why.
"""

import pytest

from .cli_cases import CASES
from .cli_harness import check


@pytest.fixture(scope="session")
def answers(request, wgs, places):
    """What is wrong with each case of this run: futures, so that two cases are tried at a time."""
    params = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    futures = {}
    for number in [found["number"] for found in params if "number" in found]:
        place = next(places)
        futures[number] = place.submit(check, place, CASES[number], wgs)
    return futures


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{n}-{case}" for n, case in enumerate(CASES)])
def test_as_wg(answers, number):
    found = answers[number].result()
    if found:
        pytest.fail(f"{CASES[number]}\n{found}", pytrace=False)
