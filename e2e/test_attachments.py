"""Files on a ticket: sealed here, sent by part, resumed, whole at the other end or said why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.attaching import (
    DRAFTED,
    GATE,
    MIB,
    arrived_files,
    blobs,
    choose,
    chosen,
    expect_stored,
    form_ready,
    item_ids,
    part_number,
    parts_sent,
    some_bytes,
    wait_for_keys,
    wait_for_parts,
)
from e2e.machines import (
    BOOT_MS,
    Device,
    Gateway,
    expect_sent,
    open_outbox,
    save_ticket,
    variants,
    wait_ready_offline,
    wait_until,
)
from e2e.memory import Watch
from e2e.pictures import CAMERA, dimensions, photo, segments
from playwright.sync_api import expect

from fieldpost.testing.faultproxy import Fault, FaultProxy

DOWN = Fault("down")
EXIF = 0xE1


def test_a_photo_taken_offline_arrives_once_smaller_and_without_its_place(
    device: Device, gateway: Gateway, line: FaultProxy, tmp_path: Path
) -> None:
    line.fault = DOWN
    page = device.open()
    form_ready(page)
    picture = photo(page, tmp_path / "pump.jpg")
    assert CAMERA in segments(picture.read_bytes())[EXIF]
    choose(page, picture)
    expect_stored(page, "pump.jpg")
    expect(chosen(page, "pump.jpg")).to_contain_text("was ")
    expect(chosen(page, "pump.jpg")).to_contain_text("place and camera data removed")
    expect(chosen(page, "pump.jpg").locator("img")).to_be_visible()
    save_ticket(page, "Pump 3 leaks")
    device.close()

    page = device.open()
    open_outbox(page)
    row = page.get_by_role("listitem").filter(has_text="Pump 3 leaks")
    expect(row).to_contain_text("1 attachment", timeout=BOOT_MS)
    assert gateway.inbox() == []
    line.fault = Fault()
    page.get_by_role("button", name="Sync now").click()
    expect_sent(page, "Pump 3 leaks")

    assert gateway.inbox() == ["Pump 3 leaks"]
    [(name, arrived)] = arrived_files(gateway).items()
    assert name == "pump.jpg"
    assert EXIF not in segments(arrived)
    assert CAMERA not in arrived
    # Turned as its EXIF said before that went: nobody sees a photo lying on its side.
    assert dimensions(arrived) == (1200, 1600)
    assert len(arrived) < picture.stat().st_size


def test_three_files_arrive_to_the_byte(device: Device, gateway: Gateway, tmp_path: Path) -> None:
    """A photo kept as it is, 2.5 parts of anything, and a file with nothing in it."""
    page = device.open()
    form_ready(page)
    files = [
        photo(page, tmp_path / "original.jpg", 800, 600),
        some_bytes(tmp_path / "Prüf <bericht> & Plan.pdf", 5 * MIB // 2),
        some_bytes(tmp_path / "empty.log", 0),
    ]
    page.get_by_label("Keep photos as they are").check()
    choose(page, *files)
    expect_stored(page, *(file.name for file in files))
    save_ticket(page, "With papers")
    expect_sent(page, "With papers")
    assert arrived_files(gateway) == {file.name: file.read_bytes() for file in files}
    assert len(gateway.inbox()) == 1


@pytest.mark.full
def test_the_original_of_a_reduced_photo_is_one_click_away(
    device: Device, gateway: Gateway, tmp_path: Path
) -> None:
    page = device.open()
    form_ready(page)
    picture = photo(page, tmp_path / "plate.jpg")
    choose(page, picture)
    expect_stored(page, "plate.jpg")
    page.get_by_role("button", name="Use original").click()
    expect(chosen(page, "plate.jpg")).to_contain_text("original, with everything")
    expect_stored(page, "plate.jpg")
    save_ticket(page, "To the last pixel")
    expect_sent(page, "To the last pixel")
    assert arrived_files(gateway) == {"plate.jpg": picture.read_bytes()}


@pytest.mark.parametrize("mode", variants("cut_after", full=["cut_before", "cut_during"]))
def test_cut_at_a_part_and_killed_it_goes_on_there(
    device: Device, gateway: Gateway, line: FaultProxy, tmp_path: Path, mode: str
) -> None:
    """No part that was acknowledged here travels again."""
    file = some_bytes(tmp_path / "trace.bin", 5 * MIB + 17)
    line.fault = DOWN
    page = device.open()
    choose(page, file)
    expect_stored(page, "trace.bin")
    save_ticket(page, f"Cut at part 4, {mode}")
    wait_for_keys(page, "items", 1)
    [item] = item_ids(page)
    attachment = next(str(key[0]) for key in blobs(page))
    cut_at = f"/api/v1/operations/{item}/attachments/{attachment}/4"
    line.fault = Fault(mode, prefix=cut_at)
    open_outbox(page)
    page.get_by_role("button", name="Sync now").click()
    line.wait_for(mode)
    device.kill()
    before = [part_number(s) for s in parts_sent(line) if s.status == 200]
    assert before[:3] == [1, 2, 3]

    line.fault = Fault()
    page = device.open()
    expect_sent(page, f"Cut at part 4, {mode}")
    assert [part_number(s) for s in parts_sent(line) if s.mode == "pass"] == [1, 2, 3, 4, 5, 6]
    assert len([s for s in line.seen if s.method == "POST"]) == 1
    assert gateway.inbox() == [f"Cut at part 4, {mode}"]
    assert arrived_files(gateway) == {"trace.bin": file.read_bytes()}


@pytest.mark.full
def test_killed_while_parts_are_being_sent(
    device: Device, gateway: Gateway, line: FaultProxy, tmp_path: Path
) -> None:
    """At whatever moment: at most the part whose answer was under way is sent a second time."""
    file = some_bytes(tmp_path / "video.bin", 12 * MIB)
    line.fault = Fault("slow", methods=("PUT",), seconds=0.1)
    page = device.open()
    choose(page, file)
    expect_stored(page, "video.bin")
    save_ticket(page, "Film of the belt")
    line.wait_for("slow", 4)
    device.kill()
    line.fault = Fault()
    before = [part_number(s) for s in parts_sent(line) if s.status == 200]
    assert before == list(range(1, len(before) + 1))
    assert 4 <= len(before) < 12
    count = len(parts_sent(line))

    page = device.open()
    expect_sent(page, "Film of the belt")
    after = [part_number(s) for s in parts_sent(line)[count:]]
    assert after == list(range(after[0], 13))
    assert after[0] in (len(before), len(before) + 1)
    assert gateway.inbox() == ["Film of the belt"]
    assert arrived_files(gateway) == {"video.bin": file.read_bytes()}


def test_a_file_too_large_is_refused_unread_and_the_rest_kept(
    device: Device, gateway: Gateway, tmp_path: Path
) -> None:
    large = tmp_path / "disk image.iso"
    with large.open("wb") as file:
        file.truncate(101 * MIB)
    small = some_bytes(tmp_path / "note.txt", 300)
    page = device.open()
    page.get_by_label("Description").fill("Written before")
    choose(page, large, small)
    refused = chosen(page, "disk image.iso")
    expect(refused).to_contain_text("at most 100.0 MB can be attached")
    expect(refused).to_contain_text("105.9 MB")
    expect_stored(page, "note.txt")
    assert len(blobs(page)) == 2  # one part and its manifest, both of note.txt
    expect(page.get_by_label("Description")).to_have_value("Written before")
    page.get_by_label("Summary", exact=True).fill("The rest goes")
    expect(page.get_by_text("disk image.iso cannot be sent along. Remove it")).to_be_visible()
    page.get_by_role("button", name="Remove disk image.iso").click()
    save_ticket(page, "The rest goes")
    expect_sent(page, "The rest goes")
    assert list(arrived_files(gateway)) == ["note.txt"]


@pytest.mark.parametrize("how", variants("grown", full=["deleted", "emptied"]))
def test_a_file_that_changes_while_it_is_read_is_said_and_leaves_nothing(
    device: Device, gateway: Gateway, tmp_path: Path, how: str
) -> None:
    file = some_bytes(tmp_path / "log.bin", 9 * MIB)
    page = device.open()
    form_ready(page)
    page.evaluate(GATE, 6)
    choose(page, file)
    page.evaluate("() => window.atTheGate")
    if how == "deleted":
        file.unlink()
    else:
        with file.open("r+b") as opened:
            opened.truncate(0 if how == "emptied" else 10 * MIB)
    page.evaluate("() => window.openTheGate()")
    expect(chosen(page, "log.bin")).to_contain_text("could not be read to its end")
    assert blobs(page) == []
    page.get_by_role("button", name="Remove log.bin").click()
    save_ticket(page, "Saved without it")
    expect_sent(page, "Saved without it")
    assert arrived_files(gateway) == {}


def test_a_removed_file_gives_its_room_back(device: Device, tmp_path: Path) -> None:
    page = device.open()
    choose(page, some_bytes(tmp_path / "one.bin", 3 * MIB))
    expect_stored(page, "one.bin")
    assert len(blobs(page)) == 4
    page.get_by_role("button", name="Remove one.bin").click()
    expect(chosen(page, "one.bin")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect_stored(page, "one.bin")
    assert len(blobs(page)) == 4
    page.get_by_role("button", name="Remove one.bin").click()
    page.get_by_role("button", name="Dismiss").click()
    wait_for_keys(page, "blobs", 0)


@pytest.mark.full
def test_a_file_removed_while_it_is_stored_gives_its_room_back(
    device: Device, tmp_path: Path
) -> None:
    page = device.open()
    form_ready(page)
    page.evaluate(GATE, 6)
    choose(page, some_bytes(tmp_path / "two.bin", 9 * MIB))
    page.evaluate("() => window.atTheGate")
    page.get_by_role("button", name="Remove two.bin").click()
    page.get_by_role("button", name="Dismiss").click()
    page.evaluate("() => window.openTheGate()")
    # One after the other: once the next file is stored, the one before is done with.
    choose(page, some_bytes(tmp_path / "next.bin", 10))
    expect_stored(page, "next.bin")
    wait_for_keys(page, "blobs", 2)


def test_files_of_a_draft_survive_a_reload(
    device: Device, gateway: Gateway, line: FaultProxy, tmp_path: Path
) -> None:
    page = device.open()
    form_ready(page)
    picture = photo(page, tmp_path / "draft.jpg")
    other = some_bytes(tmp_path / "draft.bin", MIB + 1)
    page.get_by_label("Summary", exact=True).fill("Unfinished")
    choose(page, picture, other)
    expect_stored(page, "draft.jpg", "draft.bin")
    wait_until(page, f"async () => (await ({DRAFTED})()).length === 2")
    line.fault = DOWN
    page.reload()
    expect_stored(page, "draft.jpg", "draft.bin")
    expect(chosen(page, "draft.jpg").locator("img")).to_be_visible()
    expect(page.get_by_label("Summary", exact=True)).to_have_value("Unfinished")
    line.fault = Fault()
    save_ticket(page, "Finished")
    expect_sent(page, "Finished")
    files = arrived_files(gateway)
    assert files["draft.bin"] == other.read_bytes()
    assert dimensions(files["draft.jpg"]) == (1200, 1600)


@pytest.mark.full
@pytest.mark.parametrize("size", [pytest.param(12, id="12MB"), pytest.param(90, id="90MB")])
def test_a_large_file_streams_through_little_memory(
    device: Device, gateway: Gateway, line: FaultProxy, tmp_path: Path, size: int
) -> None:
    """Stored with the test watching, sent by a browser that nobody debugs: what a debugger sees of
    the network it keeps in the browser's memory."""
    file = some_bytes(tmp_path / "large.bin", size * MIB)
    line.fault = DOWN
    page = device.open()
    wait_ready_offline(page)  # the engine takes its own memory
    with Watch(device) as storing:
        choose(page, file)
        expect_stored(page, "large.bin")
        save_ticket(page, "A large one")
    device.close()
    line.fault = Fault()
    with device.undriven():
        wait_for_parts(line, 1)
        with Watch(device) as sending:
            wait_for_parts(line, size)
    assert gateway.inbox() == ["A large one"]
    assert arrived_files(gateway) == {"large.bin": file.read_bytes()}
    assert storing.growth_mb < 150, str(storing)
    assert sending.growth_mb < 150, str(sending)
