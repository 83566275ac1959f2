"""Fixtures of the browser tests: the built app, a line that can be broken, a gateway, devices.

All tests share one origin, so that a profile that has visited once (service worker, caches, memory
snapshot) can be copied for each of them: a test starts like the second visit, unless it asks for
`new_device`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from e2e.machines import ROOT, Device, Gateway, is_free, wait_ready_offline, wait_snapshot_kept
from playwright.sync_api import Playwright, sync_playwright

from fieldpost.testing.faultproxy import FaultProxy

#: Whether the test itself failed, for its fixtures to know.
FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder that is served: `make build` made it, and these tests test no other."""
    dist = ROOT / "dist"
    assert (dist / "assets.json").exists(), "run `make build` first (make test does)"
    return dist


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def front_port() -> int:
    """Where every test's line listens: the app's origin. Beside the ports that a system hands out
    by itself, one of which somebody else may have when the next test's line wants it back."""
    first = 21_000 + 500 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return next(port for port in range(first, first + 500) if is_free(port))


@pytest.fixture(scope="session")
def visited(
    site: Path, playwright: Playwright, front_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A profile that visited once and may leave the network: everything cached, snapshot made."""
    folder = tmp_path_factory.mktemp("visited")
    gateway = Gateway(folder / "data", site).start()
    with FaultProxy(f"127.0.0.1:{gateway.port}", port=front_port) as line:
        device = Device(playwright, folder / "profile", line.url)
        page = device.open()
        wait_ready_offline(page)
        wait_snapshot_kept(page)
        device.close()
    gateway.stop()
    return folder / "profile"


@pytest.fixture
def gateway(site: Path, tmp_path: Path) -> Iterator[Gateway]:
    started = Gateway(tmp_path / "data", site).start()
    yield started
    started.stop()


@pytest.fixture
def line(gateway: Gateway, front_port: int) -> Iterator[FaultProxy]:
    """The network between the devices and the gateway; `line.fault` breaks it."""
    with FaultProxy(f"127.0.0.1:{gateway.port}", port=front_port) as proxy:
        yield proxy


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture
def new_device(
    playwright: Playwright, line: FaultProxy, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Device]]:
    """Makes devices that have never been here, each with a profile of its own. Where the test
    fails, what they last showed is part of its report."""
    made: list[Device] = []

    def make(**options: object) -> Device:
        device = Device(playwright, tmp_path / f"profile-{len(made)}", line.url, options=options)
        made.append(device)
        return device

    yield make
    for number, device in enumerate(made):
        try:
            if request.node.stash.get(FAILED, False):
                print(f"--- device {number}", device.last_words(), sep="\n")
        finally:
            device.close()


@pytest.fixture
def device(new_device: Callable[..., Device], visited: Path) -> Device:
    """A device that visited before."""
    made = new_device()
    # A killed browser leaves links to sockets that are gone; they are not part of the profile.
    shutil.copytree(visited, made.profile, ignore=shutil.ignore_patterns("Singleton*"))
    return made
