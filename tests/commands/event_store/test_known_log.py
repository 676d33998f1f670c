"""A start compares the log with the remembered one."""

import threading

import pytest

from commands.errors import LogMismatchError
from commands.event_store.known_log import KnownLog, decide_identity, identity_after_import
from commands.event_store.log.event_log import LogMark
from commands.event_store.log.log_identity import ClaimedLog, LogIdentity
from commands.event_store.store import Store
from commands.execution.group_commit import commit
from tests.controls import create


def grow(store, count=1):
    for _ in range(count):
        commit(store, [create()])
    return store.head()


def memory_of(store):
    store.continuity.refresh()
    return KnownLog(store.continuity.identity, store.continuity.marks)


def copy(store, tmp_path, position, name="copy", *, identity=True):
    """Return an older state of a log; without an identity, as in an earlier release."""
    other = Store.open(f"sqlite:///{tmp_path}/{name}.db")
    other.restore([store.read_raw(0, position, position)], store.read_identity())
    if not identity:
        other._recorder.replace_epochs([])
    return other


def test_first_start_creates_the_identity(store):
    assert decide_identity(store, []).epoch == 1
    assert decide_identity(store, [memory_of(store)]) == store.read_identity()


def test_log_of_an_earlier_release_gets_an_identity(store):
    """It has events, no identity and no memory."""
    grow(store, 3)
    store._recorder.replace_epochs([])
    fresh = decide_identity(store, [])
    assert fresh.epoch == 1
    assert store.read_identity() == fresh


def test_log_that_has_grown_is_the_known_one(store):
    grow(store, 3)
    remembered = memory_of(store)
    grow(store, 5)
    assert decide_identity(store, [remembered]) == remembered.identity


def test_older_state_is_refused_until_accepted(sqlite_store, tmp_path):
    """Once accepted, it continues in a new epoch that shares its events."""
    shared = grow(sqlite_store, 10)
    head = grow(sqlite_store, 10)
    remembered = memory_of(sqlite_store)
    older = copy(sqlite_store, tmp_path, shared)
    with pytest.raises(LogMismatchError) as refused:
        decide_identity(older, [remembered])
    log = str(remembered.identity)
    assert f"expected {log} up to position {head}" in str(refused.value)
    assert f"found {log} that ends at {shared};" in str(refused.value)
    assert older.read_identity() == remembered.identity  # the store is unchanged
    accepted = decide_identity(older, [remembered], accept="any log")
    assert accepted.log == remembered.identity.log
    assert accepted.epochs[-1][1:] == (1, shared)
    # A start that was interrupted at any step is completed by the next one.
    for again in ([remembered], [], [memory_of(older)], [remembered, memory_of(older)]):
        assert decide_identity(older, again) == accepted
    older.close()


def test_older_state_that_has_grown_is_refused(sqlite_store, tmp_path):
    """It may be longer than the remembered log: the event at that position differs."""
    grow(sqlite_store, 4)
    sqlite_store.continuity.refresh()
    grow(sqlite_store, 2)
    remembered = memory_of(sqlite_store)
    older = copy(sqlite_store, tmp_path, 4)
    grow(older, 8)
    with pytest.raises(LogMismatchError):
        decide_identity(older, [remembered])
    accepted = decide_identity(older, [remembered], accept="same log")
    assert accepted.epochs[-1].shared == 4
    older.close()


@pytest.mark.parametrize("accept", ["any log", "same log"])
def test_older_state_without_the_last_epoch_gets_a_new_one(sqlite_store, tmp_path, accept):
    """The memory knows an epoch that the log does not; clients of both epochs rewind."""
    grow(sqlite_store, 6)
    older = copy(sqlite_store, tmp_path, 5)
    middle = copy(sqlite_store, tmp_path, 3, "middle")
    first = memory_of(sqlite_store)
    second = decide_identity(middle, [first], accept="any log")
    grow(middle, 10)
    remembered = memory_of(middle)
    with pytest.raises(LogMismatchError):
        decide_identity(older, [remembered])
    third = decide_identity(older, [remembered], accept=accept)
    grow(older, 20)
    assert third.epoch > second.epoch
    head = older.head()
    assert third.shared_with(ClaimedLog(third.log, second.epoch), head) == 3
    assert third.shared_with(ClaimedLog(third.log, 1), head) == 5
    for one in (older, middle):
        one.close()


def test_empty_log_instead_of_the_known_one_is_refused(sqlite_store, tmp_path):
    grow(sqlite_store, 3)
    remembered = memory_of(sqlite_store)
    empty = Store.open(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(LogMismatchError, match="up to position 3, found nothing"):
        decide_identity(empty, [remembered])
    with pytest.raises(LogMismatchError):
        decide_identity(empty, [remembered], accept="same log")
    assert empty.read_identity() is None
    accepted = decide_identity(empty, [remembered], accept="any log")
    assert accepted.log != remembered.identity.log
    empty.close()


def test_another_log_instead_of_the_known_one_is_refused(sqlite_store, tmp_path):
    grow(sqlite_store, 3)
    other = Store.open(f"sqlite:///{tmp_path}/other.db")
    grow(other, 3)
    known = other.read_identity()
    for accept in ("nothing", "same log"):
        with pytest.raises(LogMismatchError):
            decide_identity(other, [memory_of(sqlite_store)], accept=accept)
    assert decide_identity(other, [memory_of(sqlite_store)], accept="any log") == known
    other.close()


def test_empty_known_log_may_be_replaced(sqlite_store, tmp_path):
    """A backup may have been imported elsewhere."""
    remembered = KnownLog(sqlite_store.identity())
    other = Store.open(f"sqlite:///{tmp_path}/other.db")
    grow(other)
    assert decide_identity(other, [remembered]) == other.read_identity()
    other.close()


@pytest.mark.parametrize("position", [5, 3])
def test_copy_without_an_identity_is_recognized_by_its_events(sqlite_store, tmp_path, position):
    """It is complete or older."""
    grow(sqlite_store, 5)
    remembered = memory_of(sqlite_store)
    older = copy(sqlite_store, tmp_path, position, identity=False)
    if position == 5:
        assert decide_identity(older, [remembered]) == remembered.identity
    else:
        with pytest.raises(LogMismatchError):
            decide_identity(older, [remembered])
    if position == 3:
        grown = [mark for mark in remembered.marks if mark.position <= position]
        accepted = decide_identity(older, [remembered], accept="any log")
        assert (accepted.log == remembered.identity.log) is bool(grown)
    older.close()


def test_one_mismatch_of_two_memories_is_refused(sqlite_store, tmp_path):
    """The memories are in a data directory and in Redis; one of them may lag."""
    grow(sqlite_store, 3)
    lagging = memory_of(sqlite_store)
    grow(sqlite_store, 3)
    remembered = memory_of(sqlite_store)
    older = copy(sqlite_store, tmp_path, 3)
    assert decide_identity(older, [lagging]) == lagging.identity
    for both in ([lagging, remembered], [remembered, lagging]):
        with pytest.raises(LogMismatchError):
            decide_identity(older, both)
    assert decide_identity(older, [lagging, remembered], accept="any log").epochs[-1].shared == 3
    older.close()


def test_import_begins_a_new_epoch(sqlite_store):
    identity = sqlite_store.identity()
    later = identity.next_epoch(250, 1)
    after = identity_after_import(identity, [KnownLog(later, (LogMark(500, "x@"),))], 300)
    assert after.epoch > later.epoch
    assert after.shared_with(ClaimedLog(after.log, later.epoch), 900) == 250
    assert after.shared_with(ClaimedLog(after.log, 1), 900) == 300
    assert identity_after_import(None, [KnownLog(later)], 300).log != identity.log
    assert len(identity_after_import(identity, [KnownLog(LogIdentity.new())], 300).epochs) == 2


def test_known_log_survives_a_json_round_trip(sqlite_store):
    grow(sqlite_store, 20)
    remembered = memory_of(sqlite_store)
    assert KnownLog.from_json(remembered.to_json()) == remembered
    assert KnownLog.from_json(KnownLog(remembered.identity).to_json()).position == 0


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"[]", b"null", b'{"log": 1, "epochs": [], "marks": []}', b"\0" * 64,
     b'{"log":"7c9e6679-7425-40de-944b-e07fc1f90ae7","epochs":[[1,null,0]],"marks":[[2,"a"],[1,"b"]]}',
     b'{"log":"7c9e6679-7425-40de-944b-e07fc1f90ae7","epochs":[[1,null,0]],"marks":["ab"]}'],
)  # fmt: skip
def test_invalid_json_is_refused(text):
    with pytest.raises(ValueError, match=r"\w"):
        KnownLog.from_json(text)


def test_concurrent_starts_begin_one_epoch(store, store_url):
    """All of them accept the log."""
    grow(store, 4)
    head = store.head()
    remembered = memory_of(store)
    lost = KnownLog(remembered.identity, (*remembered.marks, LogMark(head + 5, "lost@")))
    nodes = [Store.open(store_url) for _ in range(3)]
    accepted = []

    def start(node):
        accepted.append(decide_identity(node, [lost], accept="any log"))

    threads = [threading.Thread(target=start, args=[node]) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({str(one) for one in accepted}) == 1
    assert [epoch[1:] for epoch in store.read_identity().epochs] == [(None, 0), (1, head)]
    for node in nodes:
        node.close()
