"""A file of JSON lines: each item once, durable, whole lines only, on a real disk."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.destinations.world import MIB, MINUTE, TICKET, World

from fieldpost.destinations.adapter import Adapter
from fieldpost.destinations.file import FileLines
from fieldpost.engine.errors import AttachmentUnreadable
from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class
from fieldpost.engine.transitions import State
from fieldpost.hosts.cpython import linefile
from fieldpost.hosts.cpython.linefile import LineFile
from fieldpost.hosts.cpython.transport_file import FileSink
from fieldpost.hosts.cpython.transport_scheme import BySchemeTransport
from fieldpost.ports import NoAnswer, Request, Response, Upload
from fieldpost.testing.vendors.base import Vendor, answer
from fieldpost.testing.vendors.file import bench

ID = "01975b5e-1000-7000-8000-000000000001"
RAIN = {"summary": "Pump 3 is leaking ☔"}


def item(n: int = 1) -> Item:
    id_ = f"{ID[:-1]}{n}"
    return Item(id_, "ticket", "create", "file", id_, 1_750_000_000_000, 1_750_000_000_000)


def line(n: int, text: str = "x") -> tuple[tuple[str, str], bytes]:
    return (f"i{n}", f"s{n}"), json.dumps(
        {"id": f"i{n}", "send_id": f"s{n}", "text": text}, separators=(",", ":")
    ).encode()


def lines_of(path: Path) -> list[dict[str, object]]:
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(each) for each in text.splitlines()]


class DiskWorld(World):
    """The adapter writes to a folder of this machine."""

    def __init__(self, folder: Path):
        def on_disk(clock: object) -> tuple[Adapter, Vendor, dict[str, dict[str, str]]]:
            _, vendor, _ = bench(clock)
            return FileLines(url=(folder / "items.jsonl").as_uri()), vendor, {}

        super().__init__(on_disk)
        self.path = folder / "items.jsonl"
        self.sink = Losing(FileSink(self.store, folder))
        self.open(BySchemeTransport({"file": self.sink}))


class Losing:
    """The transport, whose answers are lost as often as ``losses`` says."""

    def __init__(self, inner: FileSink):
        self.inner = inner
        self.losses = 0

    async def send(self, request: Request) -> Response:
        return self._lost(request.method, await self.inner.send(request))

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        return await self.inner.send_part(request, attachment_id, n)

    async def send_file(self, upload: Upload) -> Response:
        return self._lost("PUT", await self.inner.send_file(upload))

    def _lost(self, method: str, response: Response) -> Response:
        if self.losses and method != "GET":
            self.losses -= 1
            raise NoAnswer("aborted")
        return response


# --- the adapter ---------------------------------------------------------------------------------


def test_the_line_is_the_item_and_the_same_bytes_each_time() -> None:
    by = FileLines(url="file:///out/items.jsonl")
    intent = by.intent(item(), b'{"a":1}', [])
    assert (
        intent
        == (
            f'{{"id":"{ID}","send_id":"{ID}","kind":"ticket","at":1750000000000,"payload":{{"a":1}}}}'
        ).encode()
    )
    assert by.request([intent, intent], []).body == intent + b"\n" + intent + b"\n"


def test_each_item_has_to_be_confirmed() -> None:
    by, keys = FileLines(), [[item(n).id] * 2 for n in (1, 2, 3)]
    told = answer({"service": "fieldpost-file", "written": keys[:1], "known": keys[1:2]})
    reading = by.read([item(1), item(2), item(3)], told)
    wanted = [Class.DELIVERED, Class.DUPLICATE, Class.UNKNOWN]
    assert [outcome.cls for outcome in reading.outcomes] == wanted


@pytest.mark.parametrize(
    "response",
    [answer({"service": "x"}), answer({"code": "NO_SPACE"}, 507), Response(200, {}, b"")],
)
def test_trouble_is_the_files_and_not_the_items(response: Response) -> None:
    reading = FileLines().read([item()], response)
    assert reading.outcomes[0].cls is Class.UNKNOWN
    assert reading.outcomes[0].lane
    assert reading.contact.state == "unreachable"


# --- the file ------------------------------------------------------------------------------------


def test_a_key_is_in_the_file_once(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "a.jsonl")
    assert file.append([line(1), line(2), line(1, "again")]).written == [("i1", "s1"), ("i2", "s2")]
    second = file.append([line(2), line(3)])
    assert (second.written, second.known) == ([("i3", "s3")], [("i2", "s2")])
    assert [each["id"] for each in lines_of(file.path)] == ["i1", "i2", "i3"]
    assert lines_of(file.path)[0]["text"] == "x"
    assert file.find({("i1", "s1"), ("i9", "s9")}) == {("i1", "s1")}
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_another_key_of_the_same_item_is_another_line(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "a.jsonl")
    for send_id in ("s1", "s2"):
        text = json.dumps({"id": "i", "send_id": send_id}, separators=(",", ":")).encode()
        assert file.append([(("i", send_id), text)]).written
    assert len(lines_of(file.path)) == 2


def test_what_an_earlier_process_wrote_is_known(tmp_path: Path) -> None:
    LineFile(tmp_path / "a.jsonl").append([line(n) for n in range(2_000)])
    file = LineFile(tmp_path / "a.jsonl")
    assert file.append([line(n) for n in range(1_990, 2_010)]).written == [
        (f"i{n}", f"s{n}") for n in range(2_000, 2_010)
    ]


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_torn_last_line_is_gone_before_the_next_one(tmp_path: Path, cut: int) -> None:
    file = LineFile(tmp_path / "a.jsonl")
    file.append([line(1), line(2, "ä" * 40)])
    os.truncate(file.path, file.path.stat().st_size - cut)
    mended = LineFile(file.path)
    # One that lacks no more than its end is whole.
    expected = [] if cut == 1 else [("i2", "s2")]
    assert mended.append([line(2, "ä" * 40), line(3)]).written == [*expected, ("i3", "s3")]
    assert [each["id"] for each in lines_of(file.path)] == ["i1", "i2", "i3"]


def test_what_a_power_cut_made_of_it_is_never_taken_for_a_line(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "a.jsonl")
    _, text = line(1, "long enough")
    file.path.write_bytes(text[:30] + b"\0" * 20 + b"\n" + b"\0" * 4096)
    assert file.append([line(1, "long enough")]).written == [("i1", "s1")]
    assert json.loads(file.path.read_bytes().split(b"\n")[1])["text"] == "long enough"


@pytest.mark.parametrize("broken", ["write", "fsync"])
def test_after_an_error_nothing_of_the_request_is_there(
    tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = LineFile(tmp_path / "a.jsonl")
    file.append([line(1)])
    real = getattr(os, broken)

    def fails(descriptor: int, data: bytes = b"") -> int:
        if broken == "write":
            real(descriptor, data[:20])  # some of it lands before the disk is full
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(linefile.os, broken, fails)
        with pytest.raises(OSError, match="full"):
            file.append([line(2), line(3)])
    assert [each["id"] for each in lines_of(file.path)] == ["i1"]
    assert file.append([line(2), line(3)]).written == [("i2", "s2"), ("i3", "s3")]


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "a.jsonl")
    file.append([line(1)])
    file.path.rename(tmp_path / "a.old")
    assert file.append([line(1)]).written == [("i1", "s1")]
    file.path.write_bytes(b"")  # or emptied
    assert file.append([line(1)]).written == [("i1", "s1")]


WRITER = """
import json, sys
from pathlib import Path
from fieldpost.hosts.cpython.linefile import LineFile
file = LineFile(Path(sys.argv[1]))
for start in range(0, 200, 4):
    lines = []
    for n in range(start, start + 8):  # each is sent twice by everybody
        value = {"id": f"i{n}", "send_id": "s", "by": sys.argv[2]}
        lines.append(((f"i{n}", "s"), json.dumps(value, separators=(",", ":")).encode()))
    file.append(lines)
"""


def test_several_processes_write_each_key_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    words = [sys.executable, "-c", WRITER, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(linefile.__file__).parents[3])}
    crew = [subprocess.Popen([*words, str(n)], env=environment) for n in range(3)]
    assert [process.wait(60) for process in crew] == [0, 0, 0]
    ids = [each["id"] for each in lines_of(path)]
    assert sorted(ids) == sorted(f"i{n}" for n in range(204))


# --- the sink ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "file://{root}/../a.jsonl",
        "file://{root}/%2e%2e/a.jsonl",
        "file://{root}",
        "file://elsewhere{root}/a.jsonl",
        "https://x.example{root}/a.jsonl",
    ],
)
async def test_nothing_is_written_outside_its_folder(tmp_path: Path, url: str) -> None:
    root = tmp_path / "out"
    root.mkdir()
    made = DiskWorld(root)
    request = Request("POST", url.format(root=root), {}, b'{"id":"i","send_id":"s"}\n')
    assert (await made.sink.inner.send(request)).status == 403
    assert [*tmp_path.rglob("*.jsonl")] == []


async def test_a_folder_that_is_missing_is_said_without_its_name(tmp_path: Path) -> None:
    sink = FileSink(DiskWorld(tmp_path).store, tmp_path)
    url = (tmp_path / "missing" / "a.jsonl").as_uri()
    response = await sink.send(Request("GET", url))
    assert response.status == 500
    assert json.loads(response.body) == {
        "code": "FILE_ERROR",
        "detail": "No such file or directory.",
    }


async def test_another_scheme_has_no_way_out(tmp_path: Path) -> None:
    made = DiskWorld(tmp_path)
    ways = BySchemeTransport({"file": made.sink})
    with pytest.raises(NoAnswer) as none:
        await ways.send(Request("POST", "https://x.example/"))
    assert not none.value.sent


# --- whole deliveries ----------------------------------------------------------------------------


async def test_items_are_lines_in_their_order(tmp_path: Path) -> None:
    made = DiskWorld(tmp_path)
    tickets = [await made.add(**RAIN, n=n) for n in range(120)]
    await made.settle()
    assert {await made.state(each) for each in tickets} == {State.COMPLETED}
    found = lines_of(made.path)
    assert [each["id"] for each in found] == tickets
    assert set(found[0]) == {"id", "send_id", "kind", "at", "payload"}
    assert found[7]["payload"] == {**TICKET, **RAIN, "n": 7}


async def test_an_answer_that_is_lost_makes_no_second_line(tmp_path: Path) -> None:
    made = DiskWorld(tmp_path)
    made.sink.losses = 3
    tickets = [await made.add() for _ in range(5)]
    await made.settle()
    assert {await made.state(each) for each in tickets} == {State.COMPLETED}
    assert sorted(str(each["id"]) for each in lines_of(made.path)) == sorted(tickets)


@pytest.mark.parametrize("losses", [0, 2])
async def test_files_lie_beside_it_by_their_hash(tmp_path: Path, losses: int) -> None:
    made = DiskWorld(tmp_path)
    made.sink.losses = losses
    data = bytes(range(256)) * 4096 * 2 + b"odd"
    files = [await made.file(data, "pump.jpg"), await made.file(data, "copy.jpg")]
    ticket = await made.add(*files)
    await made.settle()
    assert await made.state(ticket) is State.COMPLETED
    digest = hashlib.sha256(data).hexdigest()
    folder = tmp_path / "items.jsonl.files"
    assert [each.name for each in folder.iterdir()] == [digest]
    assert (folder / digest).read_bytes() == data
    first, *attached = lines_of(made.path)
    assert first["kind"] == "ticket"
    assert [each["payload"] for each in attached] == [
        {
            "of": ticket,
            "name": name,
            "type": "image/jpeg",
            "size": len(data),
            "sha256": digest,
            "path": f"items.jsonl.files/{digest}",
        }
        for name in ("pump.jpg", "copy.jpg")
    ]


async def test_a_file_that_cannot_be_read_leaves_nothing_behind(tmp_path: Path) -> None:
    made = DiskWorld(tmp_path)
    file = await made.file(b"x" * MIB * 2, "pump.jpg")
    upload = Upload(
        Request("PUT", made.path.as_uri(), {"Fieldpost-Line": "{}"}), str(file["id"]), MIB * 3, 3
    )
    with pytest.raises(AttachmentUnreadable):
        await made.sink.inner.send_file(upload)
    assert [*(tmp_path / "items.jsonl.files").iterdir()] == []


async def test_a_full_disk_holds_everything_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = DiskWorld(tmp_path)
    ticket = await made.add()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(linefile.os, "write", full)
        await made.settle(10 * MINUTE)
    assert (await made.queue.get(ticket)).attempts == 0
    lane = (await made.queue.status())["lanes"]["file"]
    assert "No space left" in json.dumps(lane)
    await made.settle()
    assert await made.state(ticket) is State.COMPLETED
    assert len(lines_of(made.path)) == 1


@pytest.mark.parametrize("fault", ["lose", "cut"])
async def test_the_fake_keeps_the_same_promises(fault: str) -> None:
    made = World(bench)
    faults: dict[str, Callable[..., Response]] = {"lose": _lose, "cut": _cut}
    made.vendor.faults = [faults[fault]] * 2
    ticket = await made.add(await made.file())
    record = await made.delivered(ticket)
    assert record.files == [("pump.jpg", "image/jpeg", b"picture")]


def _lose(_vendor: Vendor, _request: Request, go: Callable[[], Response]) -> Response:
    go()
    raise NoAnswer("network")


def _cut(_vendor: Vendor, _request: Request, _go: Callable[[], Response]) -> Response:
    raise NoAnswer("network")
