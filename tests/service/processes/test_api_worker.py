"""What an API worker logs of its event loop."""

import asyncio
import gc

import uvloop

from service.processes.api_worker import log_exception


async def give_up_a_lookup():
    """Connect to a host that cannot be resolved, and give up before that is known."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_exception)
    connecting = loop.create_task(loop.create_connection(asyncio.Protocol, "no-host.invalid", 1))
    await asyncio.sleep(0)
    connecting.cancel()
    await asyncio.wait([connecting])
    assert connecting.cancelled()
    await asyncio.sleep(0.1)
    gc.collect()


def test_a_host_that_cannot_be_resolved_leaves_no_future_in_the_log(caplog):
    """Its lookup may end after the connection was given up."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(give_up_a_lookup())
    gc.collect()
    assert caplog.messages == []


def test_an_error_that_no_task_received_is_logged(caplog):
    with asyncio.Runner() as runner:
        error = ValueError("a bug")
        log_exception(runner.get_loop(), {"message": "not retrieved", "exception": error})
    assert caplog.messages == ["not retrieved"]
    assert caplog.records[0].exc_info[1] is error
