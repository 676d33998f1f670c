"""Slots: an account holds a bounded number, counted over all processes."""

import subprocess
import sys

import pytest

from commands.errors import ThrottledError
from queries.admission.slots import Slots

HOLD = """
import sys
from pathlib import Path
from queries.admission.slots import Slots
slots = Slots(Path(sys.argv[1]))
print(sum(slots.take("streams", "ann", 5) is not None for _ in range(int(sys.argv[2]))), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def slots(tmp_path):
    slots = Slots(tmp_path / "slots.lock")
    yield slots
    slots.close()


def take_in_another_process(path, count):
    """Return a process that takes slots, and the number that it got."""
    words = [sys.executable, "-c", HOLD, str(path), str(count)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return process, int(process.stdout.readline())


def test_each_account_and_kind_has_its_own_slots(slots):
    assert None not in [slots.take("streams", "ann", 3) for _ in range(3)]
    assert slots.take("streams", "ann", 3) is None
    assert slots.take("streams", "bob", 3) is not None
    assert slots.take("builds", "ann", 1) is not None


def test_a_released_slot_is_free(slots):
    for _ in range(3):
        with slots.held("streams", "ann", 1, retry_after_s=5):
            with pytest.raises(ThrottledError) as refused:
                slots.held("streams", "ann", 1, retry_after_s=5).__enter__()
            assert (refused.value.limit, refused.value.retry_after_s) == ("streams", 5)


def test_processes_share_slots_and_a_killed_one_releases_its_own(slots, tmp_path):
    assert slots.take("streams", "ann", 5) is not None
    process, got = take_in_another_process(tmp_path / "slots.lock", 9)
    with process:
        assert got == 4
        assert slots.take("streams", "ann", 5) is None
        process.kill()
    assert [slots.take("streams", "ann", 5) is not None for _ in range(5)] == [True] * 4 + [False]


def test_the_file_stays_empty(slots, tmp_path):
    """A full disk therefore changes nothing."""
    slots.take("streams", "ann", 5)
    assert (tmp_path / "slots.lock").stat().st_size == 0
    assert (tmp_path / "slots.lock").stat().st_mode & 0o777 == 0o600
