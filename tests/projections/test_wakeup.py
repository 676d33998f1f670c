"""The projection wakes up after an append, and only then."""

import time

import pytest

from projections.follow.wakeup import WakeUp

CHANNEL = "movies:appended"


@pytest.fixture
def wake_up(redis):
    wake_up = WakeUp(redis)
    wake_up.subscribe()
    yield wake_up
    wake_up.close()


def waited_s(wake_up, position, timeout_s):
    began = time.monotonic()
    wake_up.wait_for_append(position, timeout_s)
    return time.monotonic() - began


def subscribers(redis):
    return redis.pubsub_numsub(CHANNEL)[0][1]


def test_an_append_beyond_the_position_ends_the_wait(redis, wake_up):
    redis.publish(CHANNEL, 8)
    assert waited_s(wake_up, 7, 5) < 2


@pytest.mark.parametrize("message", [7, "nonsense", "-9", "", "9.5"])
def test_another_message_does_not(redis, wake_up, message):
    """Another projection may have been told of events that this one has applied."""
    redis.publish(CHANNEL, message)
    assert 0.1 <= waited_s(wake_up, 7, 0.1) < 1


def test_a_message_after_another_one_ends_the_wait(redis, wake_up):
    redis.publish(CHANNEL, 7)
    redis.publish(CHANNEL, 8)
    assert waited_s(wake_up, 7, 5) < 2


def test_without_a_message_the_wait_ends_after_the_timeout(wake_up):
    assert 0.1 <= waited_s(wake_up, 0, 0.1) < 1


def test_it_subscribes_once_and_after_an_end_again(redis):
    wake_up = WakeUp(redis)
    wake_up.close()
    wake_up.wait_for_append(0, 0.01)
    wake_up.subscribe()
    assert subscribers(redis) == 1
    wake_up.close()
    wake_up.close()
    assert subscribers(redis) == 0
    wake_up.subscribe()
    assert subscribers(redis) == 1
    wake_up.close()
