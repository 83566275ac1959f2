"""compose.yaml says what the gateway asks for: what can be seen of that without containers.

(It is run by hand, with containers; docs/deployment.md tells when and how.)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.gateway.process import ROOT

from fieldpost.stores.redis_link import NEEDED, Place, durability_of
from gateway import cli

#: ``${NAME:-what it is when nobody says}``
_VARIABLE = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return read["services"]  # type: ignore[no-any-return]


def words(given: list[str]) -> list[str]:
    return [_VARIABLE.sub(r"\1", word) for word in given]


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text.removesuffix("s"))


def test_redis_loses_nothing_it_acknowledged(services: dict[str, Any]) -> None:
    program, *options = services["redis"]["command"]
    assert program == "redis-server"
    said = dict(zip(options[::2], options[1::2], strict=True))
    found = {name: said[f"--{name}"] for name in NEEDED}
    assert durability_of(found, None) == "always"
    assert "redis:/data" in services["redis"]["volumes"]


def test_the_gateway_takes_its_command_line(services: dict[str, Any]) -> None:
    gateway = services["gateway"]
    given = cli._parser().parse_args(words(gateway["command"]))
    assert given.run is cli._serve
    assert given.allow_host == ["localhost"]
    store = gateway["environment"]["STORE"]
    assert Place.of(store).ack_loss is None
    assert "//redis:" in store  # the service's name
    health = " ".join(gateway["healthcheck"]["test"])
    assert f"127.0.0.1:{given.port}/healthz" in health
    caddyfile = (ROOT / "docs" / "Caddyfile").read_text()
    assert f"gateway {given.port} {{" in caddyfile


def test_pairing_writes_the_keys_that_gateways_read(services: dict[str, Any]) -> None:
    pair, gateway = services["pair"], services["gateway"]
    python, *start = pair["entrypoint"]
    assert (python, start[:2]) == ("python", ["-m", "gateway"])
    given = cli._parser().parse_args([*start[2:], "--name", "Van 3"])
    serving = cli._parser().parse_args(words(gateway["command"]))
    assert given.run is cli._pair
    assert given.keys == serving.keys
    assert pair["environment"] == gateway["environment"]
    assert pair["image"] == gateway["image"]
    folder = str(given.keys.parent)
    assert pair["volumes"] == [f"keys:{folder}"]
    assert gateway["volumes"] == [f"keys:{folder}:ro"]


def test_what_writes_has_a_place_to_write(services: dict[str, Any]) -> None:
    for name in ("gateway", "pair"):
        service = services[name]
        arguments = words([*service.get("entrypoint", [])[3:], *service.get("command", [])])
        extra = ["--name", "Van 3"] if name == "pair" else []
        data = cli._parser().parse_args([*arguments, *extra]).data
        assert service["read_only"]
        assert any(data.is_relative_to(place) for place in service["tmpfs"])


def test_a_gateway_that_ends_is_given_the_time(services: dict[str, Any]) -> None:
    assert seconds(services["gateway"]["stop_grace_period"]) > cli._GRACE_SECONDS


def test_the_image_is_made_of_what_is_let_into_it(services: dict[str, Any]) -> None:
    """Everything copied is there, and .dockerignore lets it in; keys it does not."""
    recipe = services["gateway"]["build"]["dockerfile_inline"]
    copied = [line.split()[1:-1] for line in recipe.splitlines() if line.startswith("COPY ")]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    for source in (Path(each) for line in copied for each in line):
        assert source.parts[0] in let_in
        assert source == Path("dist") or (ROOT / source).exists()  # `make build` makes dist


def test_nothing_is_mounted_that_is_not_there(services: dict[str, Any]) -> None:
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (ROOT / source).is_file()
