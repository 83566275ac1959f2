"""`fieldpost.open(store=…)`: queues of several processes on one server, each wired as any other."""

from pathlib import Path

import pytest

import fieldpost
from fieldpost.engine.errors import ConfigError
from fieldpost.hosts.cpython import open as composing
from fieldpost.hosts.cpython.open import open_queue
from fieldpost.runtime.queue import Queue
from fieldpost.testing.fakes import FakeGateway

pytestmark = pytest.mark.full

GATEWAY = "http://127.0.0.1:9/"  # nobody is there


class Gateway(FakeGateway):
    async def close(self) -> None:
        """As a transport does that has a client of its own."""


async def device(queue: Queue) -> str | None:
    return await queue._host.store.side("device", "id")


async def test_two_queues_share_their_items(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One saves, the other delivers; both are the same device, with names of their own."""
    gateway = Gateway()
    monkeypatch.setattr(composing, "HttpTransport", lambda _store, _client: gateway)
    one = await open_queue(GATEWAY, path=tmp_path / "one", store=url)
    two = await open_queue(GATEWAY, store=url, keys=tmp_path / "one" / "keys.json")
    saved = [(await one.enqueue("ticket", {"summary": f"Pump {n}"})).id for n in range(3)]
    await two.sync()
    assert sorted(gateway.inbox) == sorted(saved)
    for queue in (one, two):
        assert (await queue.status())["counts"]["completed"] == 3
    assert await device(one) == await device(two)
    assert one._driver.owner != two._driver.owner
    assert (await two.verify())["ok"]
    await one.close()
    await two.close()


async def test_keys_are_needed(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await fieldpost.open(GATEWAY, store=url)
    assert "keys" in caught.value.fields


async def test_other_keys_open_nothing(url: str, tmp_path: Path) -> None:
    queue = await open_queue(GATEWAY, path=tmp_path / "one", store=url)
    await queue.close()
    with pytest.raises(ConfigError):
        await open_queue(GATEWAY, path=tmp_path / "two", store=url)
