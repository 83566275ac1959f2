"""Words for people: what state an item is in and why it is not moving. Pure; no inner terms."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import AttachmentUnreadable, InvalidItem, MaxRetriesExceeded
from .machine import needs_person
from .model import Item
from .transitions import State

STATE_TEXT = {
    State.PENDING: "Waiting",
    State.BLOCKED: "Waiting for another item",
    State.IN_PROGRESS: "Sending",
    State.UNKNOWN: "Checking whether it arrived",
    State.HANDED_OVER: "At the gateway",
    State.CONFLICTED: "Needs your decision",
    State.COMPLETED: "Sent",
    State.FAILED: "Not accepted",
    State.CANCELLED: "Cancelled",
    State.EXPIRED: "Expired",
    State.DISCARDED: "Discarded",
}

#: Reasons of a lane, by its contact; they hold for every item that waits for it.
LANE_TEXT = {
    "offline": "No network. It goes out as soon as there is one.",
    "unreachable": "The server is not answering. It is tried again by itself.",
    "sign_in_page": "A sign-in page is in the way. Open the network's page and sign in.",
    "signed_out": "The server does not know this device. Enter its token under About.",
    "update_required": "The app must be updated first. Reload the page when it suits you.",
    "limited": "The server asks to wait a little.",
    "held": "Sending to this server was stopped by hand.",
    "no_gateway": "There is no server at this address to send to. It stays saved on this device.",
    "paused": "Sending is paused.",
    "no_lane": "Nothing is set up here that could send it. It stays saved.",
}


#: The same of a destination that people chose by its name, which goes into the braces; they end
#: with a full stop, as `why` knows a sentence by.
TITLED_TEXT = {
    "signed_out": "It waits until you sign in to {}, under Settings.",
    "unreachable": "{} is not answering. It is tried again by itself.",
    "no_gateway": "{} is not set up to take it. Its administrator has to see to that.",
    "limited": "{} asks to wait a little.",
    "held": "Sending to {} was stopped by hand.",
}

#: Why a dead letter is one, by its error code; any other code is the server's own refusal.
FAILED_TEXT = {
    MaxRetriesExceeded.code: "It was tried as often as it may be. Retry it when the server works "
    "again.",
    InvalidItem.code: "This version of the app does not understand what was saved. It is kept as "
    "it is.",
    AttachmentUnreadable.code: "One of its files can no longer be read on this device.",
    "too_large": "It is larger than the server takes.",
    "TOO_LARGE": "It is larger than the server takes.",
    "INVALID_FIELDS": "It is not as the server needs it. Look at what is named, correct it, or "
    "discard it.",
    "permission": "The server does not allow this device to send it.",
}
_REFUSED = "The server did not accept it. Look at its answer, correct it, or discard it."


def state_text(item: Item) -> str:
    if item.state is State.FAILED and item.error_code == MaxRetriesExceeded.code:
        return "Not delivered"
    if item.state is State.FAILED and item.error_code in (
        InvalidItem.code,
        AttachmentUnreadable.code,
    ):
        return "Set aside"
    if item.state is State.PENDING and item.step > 0:
        return "Text sent, files to follow"
    if item.state is State.PENDING and item.error_code:
        return "Trying again"
    if needs_person(item):
        return "May have arrived"
    return STATE_TEXT[item.state]


def why(item: Item, lane: str, now: int, waits_for: Sequence[str] = ()) -> str:
    """One sentence: why this item is not moving; empty when it is moving or at its end.

    ``lane``: a key of `LANE_TEXT`, or ``online``, or a sentence of its own (`engine.pacing`);
    ``waits_for``: titles of what must be sent first.
    """
    if item.state is State.BLOCKED:
        return _waits(waits_for)
    if item.state is State.FAILED:
        return FAILED_TEXT.get(item.error_code or "", _REFUSED)
    if item.state is State.EXPIRED:
        return "Its time was over before it could be sent. Retry it if it still matters."
    if item.state is State.CONFLICTED:
        return "It was changed at the server as well. Decide what is to stand there."
    if item.state is State.HANDED_OVER:
        return "The gateway has it and passes it on."
    if item.state not in (State.PENDING, State.UNKNOWN):
        return ""
    if needs_person(item):
        return "It may have arrived. Look at the destination, then say whether it is there."
    if lane in LANE_TEXT:
        return LANE_TEXT[lane]
    wait = max(item.due_at or 0, item.not_before or 0) - now
    if not item.ready and wait > 0:
        what = f"{_tried(item)} Next try" if item.due_at else "To be sent"
        return f"{what} in {duration(wait)}."
    if lane.endswith("."):
        return lane
    if item.step > 0:
        sent = sum(a.acked for a in item.attachments)
        return f"{sent} of {sum(a.parts for a in item.attachments)} parts of its files are sent."
    return "It is next in line."


def _waits(titles: Sequence[str]) -> str:
    if not titles or not titles[0]:
        return "Waits for another item."
    more = len(titles) - 1
    others = f" and {more} more {'item' if more == 1 else 'items'}" if more else ""
    return f"Waits for “{titles[0]}”{others}."


def _tried(item: Item) -> str:
    if not item.attempts:
        return "It lets more urgent items go first."
    return f"Tried {item.attempts} {'time' if item.attempts == 1 else 'times'}."


def duration(ms: int) -> str:
    """A span of time in one rounded unit."""
    seconds = max(1, round(ms / 1000))
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        if seconds >= length:
            n = round(seconds / length)
            return f"{n} {unit}" if n == 1 else f"{n} {unit}s"
    return "1 second"
