"""Photos as a phone makes them, with the place in them; and what a JPEG says of itself."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

from playwright.sync_api import Page

#: Stands in the EXIF of every photo made here, so that a search for it finds what was kept.
CAMERA = b"Fieldpost Test Camera"

_DRAW = """async ([width, height]) => {
  const canvas = new OffscreenCanvas(width, height);
  const draw = canvas.getContext('2d');
  for (let i = 0; i < 400; i++) {
    draw.fillStyle = `hsl(${i * 47 % 360} 70% ${30 + i * 13 % 50}%)`;
    draw.fillRect(i * 97 % width, i * 61 % height, 60 + i * 31 % 300, 60 + i * 17 % 300);
  }
  const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.92 });
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}"""


def photo(page: Page, path: Path, width: int = 2400, height: int = 1800) -> Path:
    """Write a JPEG of that size to ``path``, with EXIF: camera, GPS, "turn by 90 degrees"."""
    plain = base64.b64decode(page.evaluate(_DRAW, [width, height]))
    segment = b"Exif\0\0" + _exif()
    app1 = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    path.write_bytes(plain[:2] + app1 + plain[2:])
    return path


def _exif() -> bytes:
    """A little-endian TIFF: IFD 0 with Make, Orientation and the GPS IFD at 47° N 8° E."""
    make = CAMERA + b"\0"
    ifd0_size = 2 + 3 * 12 + 4
    make_at = 8 + ifd0_size
    gps_at = make_at + len(make) + len(make) % 2
    gps_size = 2 + 4 * 12 + 4
    place_at = gps_at + gps_size

    def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
        return struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")

    def long(value: int) -> bytes:
        return struct.pack("<I", value)

    def degrees(value: int) -> bytes:
        return struct.pack("<6I", value, 1, 30, 1, 15, 1)

    ifd0 = struct.pack("<H", 3)
    ifd0 += entry(0x010F, 2, len(make), long(make_at))
    ifd0 += entry(0x0112, 3, 1, struct.pack("<H", 6))
    ifd0 += entry(0x8825, 4, 1, long(gps_at)) + long(0)
    gps = struct.pack("<H", 4)
    gps += entry(1, 2, 2, b"N\0") + entry(2, 5, 3, long(place_at))
    gps += entry(3, 2, 2, b"E\0") + entry(4, 5, 3, long(place_at + 24)) + long(0)
    head = b"II*\0" + long(8) + ifd0 + make.ljust(gps_at - make_at, b"\0")
    return head + gps + degrees(47) + degrees(8)


def segments(jpeg: bytes) -> dict[int, bytes]:
    """Marker -> content of the segments before the picture's data. Raises `ValueError`."""
    if jpeg[:2] != b"\xff\xd8":
        raise ValueError("not a JPEG")
    found, at = {}, 2
    while jpeg[at] == 0xFF and jpeg[at + 1] != 0xDA:
        (length,) = struct.unpack(">H", jpeg[at + 2 : at + 4])
        found[jpeg[at + 1]] = jpeg[at + 4 : at + 2 + length]
        at += 2 + length
    return found


def dimensions(jpeg: bytes) -> tuple[int, int]:
    """(width, height) as its frame header says."""
    frame = next(content for marker, content in segments(jpeg).items() if 0xC0 <= marker <= 0xC2)
    height, width = struct.unpack(">HH", frame[1:5])
    return width, height
