"""What is put off while the battery runs low or nobody looks at the app (U69). Pure.

Texts always go: they are small, and they are what people wait for. Files wait for power, for a
person's word (Sync now) or for a day at most. In the background nothing waits; requests are smaller
there, for a browser may freeze the page in the middle of one, and the app asks the server less
often by itself. A device that says nothing is one with power that is looked at: nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .limits import BATCH_ITEMS_MAX, PRIORITY_MAX
from .network import FALLBACK_AGE_MS

#: Share of a full battery below which files wait, unless it is being charged.
LOW = 0.15
#: A file that has waited for so long goes: a gauge may be broken, and no wait is without end.
FILES_WAIT_MS = FALLBACK_AGE_MS


@dataclass(frozen=True, slots=True)
class Device:
    """What the host says of the device. None: it does not say. ``visible``: somebody may be
    looking at the app; ``battery``: charge, 0 to 1."""

    visible: bool | None = None
    battery: float | None = None
    charging: bool | None = None

    @property
    def low(self) -> bool:
        """Only what is known to be low: a silent gauge must not stop anything."""
        return self.battery is not None and self.battery < LOW and self.charging is False


def told(visible: Any = None, battery: Any = None, charging: Any = None, **_more: Any) -> Device:
    """A `Device` of values that came from outside; what makes no sense, or what only a later
    version would understand, counts as not said."""
    number = isinstance(battery, (int, float)) and not isinstance(battery, bool)
    return Device(
        visible if isinstance(visible, bool) else None,
        float(battery) if number and 0 <= battery <= 1 else None,
        charging if isinstance(charging, bool) else None,
    )


@dataclass(frozen=True, slots=True)
class Thrift:
    """What sending is held to. ``batch_items``: in one request at most; ``timer``: how many times
    longer than usual until it looks for work by itself; ``files``: whether they go."""

    reason: Literal["battery", "background"] | None = None
    batch_items: int = BATCH_ITEMS_MAX
    timer: int = 1
    files: bool = True
    text: str = ""

    def may_go(self, level: int) -> bool:
        """Whether rows of a level (`Item.level`) go: texts, and files of the highest priority,
        always. So what may go comes first in the index."""
        return self.files or level <= PRIORITY_MAX


NONE = Thrift()
BACKGROUND = Thrift(
    "background", 25, 4, text="Sends in small pieces while nobody looks at the app."
)
BATTERY = Thrift("battery", 10, 4, files=False, text="Files wait because the battery is low.")
#: The battery is low, and a file has waited for `FILES_WAIT_MS`.
LATE = Thrift("battery", 10, 4, text="Sends in small pieces because the battery is low.")
#: Of one item whose text is sent.
FILES_TEXT = "Its files wait because the battery is low. They go once it charges, or with Sync now."


def thrift(
    device: Device, *, wanted: bool = True, by_hand: bool = False, file_age_ms: int = 0
) -> Thrift:
    """``wanted``: the setting; ``by_hand``: a person asked, who is never put off; ``file_age_ms``:
    of the oldest file that waits."""
    if by_hand or not wanted:
        return NONE
    if device.low:
        return LATE if file_age_ms >= FILES_WAIT_MS else BATTERY
    return BACKGROUND if device.visible is False else NONE
