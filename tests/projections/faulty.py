"""Redis clients that call back before each command, or fail like a killed process."""

from contextlib import suppress

from redis.exceptions import ConnectionError as RedisConnectionError


class DiedError(RedisConnectionError):
    """The client is dead: no further command reaches Redis."""


class Between:
    """Calls ``meanwhile`` before every call."""

    def __init__(self, redis, meanwhile):
        self._redis, self._meanwhile = redis, meanwhile

    def call(self, send):
        self._meanwhile()
        return send()

    def execute_command(self, *args, **options):
        return self.call(lambda: self._redis.execute_command(*args, **options))

    def pipeline(self, **settings):
        return _Pipeline(self, self._redis.pipeline(**settings))


class Dying(Between):
    """Dies at call number ``at``, before Redis gets the command or right after.

    Every later call fails too, so that clean-up code has no effect, as after ``kill -9``.
    """

    def __init__(self, redis, at, *, after=False):
        self._redis, self._at, self._after = redis, at, after
        self.calls = 0

    @property
    def died(self):
        return self.calls >= self._at

    def call(self, send):
        self.calls += 1
        if self.calls < self._at or (self._after and self.calls == self._at):
            answer = send()
        if self.died:
            raise DiedError
        return answer


class _Pipeline:
    def __init__(self, client, pipeline):
        self._client, self._pipeline = client, pipeline

    def execute_command(self, *args):
        self._pipeline.execute_command(*args)

    def __len__(self):
        return len(self._pipeline)

    def execute(self):
        return self._client.call(self._pipeline.execute)


def every_death(redis, run):
    """Call ``run`` with clients that die at the first call, the second, and so on.

    Yields after each run whether the client died; ends with the first run that completes.
    """
    for after in (False, True):
        at = 0
        died = True
        while died:
            at += 1
            dying = Dying(redis, at, after=after)
            with suppress(DiedError):
                run(dying)
            died = dying.died
            yield died
