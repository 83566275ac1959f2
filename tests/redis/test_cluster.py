"""A Redis Cluster: all keys of a queue lie in one slot, so the node that has it will do."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.crc import key_slot
from tests.gateway.wires import client_of, operation, post
from tests.redis.test_contract import OnRedis
from tools.servers import RedisServer, free_port

from fieldpost.engine.errors import ConfigError
from fieldpost.hosts.cpython.keyring import KeyRing
from fieldpost.stores.redis_link import Place
from fieldpost.stores.redis_store import RedisStore
from fieldpost.testing.storecontract import CASES
from gateway.gateway import Gateway
from gateway.settings import CannotStart, Settings

pytestmark = pytest.mark.full

_MIDDLE, _LAST = 8191, 16383
_PATIENCE_S = 60


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """Two, each with half of the slots."""
    folder = tmp_path_factory.mktemp("cluster")
    more = {"cluster-enabled": "yes"}
    started = [
        RedisServer(folder / str(n), **more, **{"cluster-port": str(free_port())}).start()
        for n in range(2)
    ]
    first, second = (redis.Redis(port=node.port) for node in started)
    first.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, _MIDDLE)
    second.execute_command("CLUSTER", "ADDSLOTSRANGE", _MIDDLE + 1, _LAST)
    bus = started[1].settings["cluster-port"]
    first.execute_command("CLUSTER", "MEET", "127.0.0.1", started[1].port, bus)
    until = time.monotonic() + _PATIENCE_S
    while not all(_whole(one) for one in (first, second)):
        assert time.monotonic() < until, "the nodes do not make one cluster"
        time.sleep(0.1)
    yield started
    for node in started:
        node.stop()


def _whole(node: redis.Redis) -> bool:
    """The node knows both, and says that the cluster works."""
    info = node.execute_command("CLUSTER", "INFO")
    told = (
        info
        if isinstance(info, dict)
        else dict(line.split(":", 1) for line in info.decode().split() if ":" in line)
    )
    return (told["cluster_state"], told["cluster_slots_ok"]) == ("ok", str(_LAST + 1))


def _node_of(nodes: list[RedisServer], queue: str) -> tuple[RedisServer, RedisServer]:
    """The node that has a queue, and the other one."""
    slot = key_slot(Place.of(nodes[0].url(queue)).prefix.encode())
    return (nodes[0], nodes[1]) if slot <= _MIDDLE else (nodes[1], nodes[0])


@pytest.mark.parametrize("case", CASES)
async def test_the_store_on_the_node_that_has_it(case: str, nodes: list[RedisServer]) -> None:
    queue = f"cluster-{case}"
    place = OnRedis(_node_of(nodes, queue)[0].url(queue))
    try:
        await CASES[case](await place.reopen(), place.reopen)
    finally:
        await place.close()


async def test_the_other_node_says_where_the_queue_is(nodes: list[RedisServer]) -> None:
    right, wrong = _node_of(nodes, "north")
    with pytest.raises(ConfigError) as refused:
        await RedisStore.open(wrong.url("north"), KeyRing.ephemeral())
    assert f"127.0.0.1:{right.port}" in str(refused.value.fields["store"])


async def test_a_gateway(nodes: list[RedisServer], tmp_path: Path) -> None:
    right, wrong = _node_of(nodes, "desk")
    with pytest.raises(CannotStart, match=f"127.0.0.1:{right.port}"):
        Gateway(Settings(data=tmp_path / "wrong", store=wrong.url("desk")))
    gateway = Gateway(Settings(data=tmp_path / "right", store=right.url("desk")))
    try:
        async with client_of(gateway) as client:
            [result] = await post(client, operation())
            assert result["status"] == "delivered"
    finally:
        gateway.close()
