"""The checker accepts a consistent history and finds every planted fault."""

from dataclasses import replace

import pytest

from tests.consistency.checker import check
from tests.consistency.history import LIST, History, Row
from tests.consistency.planted import PLANTED, planted_text
from tests.consistency.story import Story, long_story


@pytest.fixture
def story():
    """Two movies, of which one was changed."""
    story = Story()
    story.create()
    story.create()
    story.change("m000000")
    return story


def rules(story, **changes):
    """Return the rules that a history breaks."""
    return {violation.rule for violation in check(story.history()._replace(**changes))}


def test_a_consistent_history_breaks_no_rule(story):
    story.page()
    story.read("m000000")
    story.entries_of("m000000")
    story.delete("m000000")
    story.page()
    story.entries_of("m000000")
    assert check(story.history()) == []


def test_an_event_skipped(story):
    """The projection left out a change and moved on; or a creation, or a deletion."""
    skipped = replace(story.page(), rows=story.operations[-1].rows.copy())
    skipped.rows[1] = Row("m000000", 1, "w0")
    story.operations[-1] = skipped
    assert rules(story) == {"row"}
    story.operations[-1] = replace(skipped, rows=skipped.rows[:1], count=1)
    assert rules(story) == {"page"}
    assert rules(story, operations=story.operations[:3], rows=[]) == {"model"}


def test_an_event_applied_twice(story):
    """A movie is counted twice, or is in the list twice, or its event is in the log twice."""
    one = story.page()
    one.count = 3
    assert rules(story) == {"page"}
    one.count, one.rows = 2, [one.rows[0], *one.rows]
    assert rules(story) == {"page"}
    story.operations.pop()
    twice = story.log[-1]._replace(position=4, version=3)
    row = Row("m000000", 3, twice.title)
    assert rules(story, log=[*story.log, twice], rows=[row, story.live["m000001"]]) == {"doubled"}
    assert rules(story, rows=[*story.live.values(), story.live["m000001"]]) == {"model"}


def test_a_stale_page_after_a_switch(story):
    """A page of an earlier generation, after a write was acknowledged."""
    old = story.page()
    story.create()
    stale = story.page()
    stale.position, stale.rows, stale.count = old.position, old.rows, old.count
    assert rules(story) == {"stale"}
    stale.least = story.position
    assert rules(story) == {"stale", "session"}
    stale.least, story.operations[-2].behind = None, True
    assert rules(story) == set()


def test_a_write_answered_before_the_commit(story):
    """The process died before the commit; or a read saw the log without the write."""
    log = story.log[:-1]
    assert rules(story, log=log, rows=[Row("m000000", 1, "w0"), story.live["m000001"]]) == {"lost"}
    history = story.entries_of("m000000")
    history.position, history.rows = 2, history.rows[:1]
    assert rules(story) == {"stale"}


def test_an_answer_names_another_event(story):
    story.operations[-1].version = 1
    assert rules(story) == {"lost"}
    story.operations[-1].version, story.operations[-1].position = 2, 2
    assert rules(story) == {"lost"}


def test_a_write_of_unknown_outcome_is_in_the_log_at_most_once(story):
    story.operations[-1] = replace(story.operations[-1], status=None, position=0)
    assert rules(story) == set()
    rows = [Row("m000000", 1, "w0"), story.live["m000001"]]
    assert rules(story, log=story.log[:-1], rows=rows) == set()
    twice = story.log[-1]._replace(position=4, version=3)
    rows = [Row("m000000", 3, "w2"), story.live["m000001"]]
    assert rules(story, log=[*story.log, twice], rows=rows) == {"doubled"}


def test_a_refused_write_is_not_in_the_log(story):
    refused = replace(story.operations[-1], status=503, code="unavailable", position=0)
    story.operations[-1] = refused
    assert rules(story) == {"refused"}
    # The same write had an attempt whose answer was lost.
    story.operations.append(replace(refused, status=None, code="ReadError"))
    assert rules(story) == set()


def test_positions_follow_real_time(story):
    """A write that began after another was answered has a later position."""
    first, _, third = story.operations
    first.began, first.ended = third.ended + 10, third.ended + 20
    assert rules(story) == {"order"}
    # The first began before the others ended.
    first.began = third.began - 20
    assert rules(story) == set()


def test_a_read_does_not_show_a_later_write(story):
    read = story.read("m000000")
    story.operations.remove(read)
    read.began, read.ended, read.position = 1, 2, 0
    assert rules(story, operations=[read, *story.operations]) == {"future"}


def test_a_movie_that_exists_is_found(story):
    missing = story.read("m000000")
    missing.status, missing.rows, missing.position = 404, [], 0
    assert rules(story) == {"stale"}
    story.delete("m000000")
    assert rules(story) == {"stale"}
    story.operations[-1].began = missing.began  # the deletion may have come first
    assert rules(story) == set()


def test_the_log_has_no_gap_and_no_unknown_event(story):
    read_after = {"rows": [Row("m000000", 3, "w2"), story.live["m000001"]]}
    gap = [*story.log[:-1], story.log[-1]._replace(version=3)]
    assert rules(story, log=gap, operations=story.operations[:2], **read_after) == {"log"}
    assert "log" in rules(story, log=[*story.log, story.log[0]])
    assert rules(story, operations=story.operations[1:]) == {"log"}


def test_no_answer_is_an_internal_error(story):
    story.read("m000000").status = 500
    assert rules(story) == {"error"}


def test_a_history_is_saved_and_loaded(story, tmp_path):
    story.page()
    story.history().save(tmp_path)
    assert History.load(tmp_path) == story.history()


def test_a_fault_is_found_in_a_long_history():
    history = long_story(5_000)
    assert check(history) == []
    pages = [one for one in history.operations if one.kind == LIST]
    pages[len(pages) // 2].count += 1
    assert [violation.rule for violation in check(history)] == ["page"]


@pytest.mark.parametrize("name", PLANTED)
def test_faults_can_be_planted_in_the_service(name):
    """``make test-checker`` plants them and looks for them."""
    assert compile(planted_text(name), PLANTED[name].file, "exec")
