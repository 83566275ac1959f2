"""Redis and the memory store do the same things, whatever is asked of them, in whatever order."""

import atexit
import functools
import itertools
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import initialize
from tests.contract.test_twin import Twins
from tools.servers import RedisServer

from fieldpost.ports import Store
from fieldpost.stores.redis_store import RedisStore

_QUEUES = itertools.count(1)


@functools.cache
def server() -> RedisServer:
    folder = tempfile.TemporaryDirectory(prefix="fieldpost-twin-")
    atexit.register(folder.cleanup)
    running = RedisServer(Path(folder.name)).start()
    atexit.register(running.stop)
    return running


class RedisTwins(Twins):
    @initialize()
    def begin(self) -> None:
        self.url = server().url(f"twin{next(_QUEUES)}")
        super().begin()

    def opened(self) -> Coroutine[Any, Any, Store]:
        return RedisStore.open(self.url, self.ring)


RedisTwins.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    # Without shrinking, which would take minutes over a server: a failure shows all its steps.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
TestRedisTwins = pytest.mark.full(RedisTwins.TestCase)
