"""The curves of growth, and the appends to the store alone."""

import collections
import random
from xml.etree import ElementTree as ET

import pytest

from benchmarks.contest import appends, growth
from commands.event_store.store import Store


def test_percentiles():
    values = list(range(1, 101))
    assert [appends.percentile(values, share) for share in (50, 95, 99, 99.9)] == [50, 95, 99, 100]
    assert appends.percentile([7], 50) == 7
    with pytest.raises(ValueError, match="no values"):
        appends.percentile([], 50)


def test_streams_by_zipf_and_flat():
    draws = {}
    for name in ("zipf", "flat"):
        pick = appends.stream_picker(name, 100, random.Random(1))
        draws[name] = collections.Counter(pick() for _ in range(20_000))
        assert set(draws[name]) <= set(range(100))
    assert draws["zipf"][0] == pytest.approx(20_000 / 5.187, rel=0.1)
    assert draws["zipf"][0] == pytest.approx(2 * draws["zipf"][1], rel=0.15)
    assert draws["flat"][0] == pytest.approx(200, rel=0.4)


def test_an_event_has_the_bytes_of_the_workload():
    assert len(appends.payload(256)) == 256


def test_what_is_counted_is_in_the_log(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path}/events.db")
    try:
        writers = appends.Writers(store, "zipf", 4)
        found = writers.run(2, 0.3)
        count = len(store._recorder.select_rows(0, 1_000_000, None))
        assert count == sum(writers._versions) > 0
        assert count % 4 == 0
        assert found.rate <= count / 0.3
        assert list(found.latencies) == sorted(found.latencies)
    finally:
        store.close()


def test_the_bare_recorder_stores_what_is_counted(tmp_path):
    bare = appends.Bare(f"{tmp_path}/events.db")
    try:
        writers = appends.Writers(bare, "flat", 4)
        writers.run(2, 0.2)
        assert bare._recorder.max_notification_id() == sum(writers._versions) > 0
    finally:
        bare.close()


def test_a_failing_append_fails_the_run(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path}/events.db")
    try:
        appends.Writers(store, "flat", 2_000).run(1, 0.05)
        with pytest.raises(Exception, match=r"UNIQUE|unique"):
            appends.Writers(store, "flat", 10_000).run(1, 0.05)
    finally:
        store.close()


def test_memory_of_a_movie():
    results = {1_000: {"memory MB": 100}, 1_049_576: {"memory MB": 200}}
    assert growth.bytes_per_movie(results) == {1_049_576: pytest.approx(100)}


def test_the_curves_are_an_image():
    curves = {"a < b": {1_000: 0.5, 10_000: 0.5}, "c": {1_000: 2, 10_000: 30}}
    root = ET.fromstring(growth.svg("p50 & more", curves))
    lines = [one.get("points") for one in root.iter() if one.tag.endswith("polyline")]
    flat, rising = ([float(p.split(",")[1]) for p in line.split()] for line in lines)
    assert flat[0] == flat[1]
    assert rising[0] > rising[1]
