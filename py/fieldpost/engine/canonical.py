"""Canonical JSON (RFC 8785): the same value is the same bytes on every host and in every version.

Payload hashes, fingerprints and the journal are computed over these bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import rfc8785

from .errors import InvalidItem

#: RFC 8785's range of whole numbers: what a double holds exactly.
_INT_MAX = 2**53 - 1
#: Payloads are shallow; whatever is deeper than this is left to the library to judge.
_DEPTH_MAX = 64
#: Two orders of keys differ only where a key has one of these: UTF-16 sorts U+10000 and above (as
#: surrogates) before U+E000 to U+FFFF, Python sorts by code point.
_ORDER_MATTERS = re.compile("[\ud800-\U0010ffff]")
_STR = frozenset({str})
#: Types of which every value may be written as it is.
_FLAT = frozenset({str, bool, type(None)})
_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode


def canonical(value: Any) -> bytes:
    """``value`` as RFC 8785 JSON, UTF-8.

    Takes None, bool, int within ±(2**53 - 1), finite float, str, list, tuple and dict with str
    keys. Raises `InvalidItem` for anything else, for lone surrogates, and for nesting too deep to
    walk.
    """
    text = _fast(value)
    if text is not None:
        return text
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        # The error's own text quotes the value; what people read must not (invariant 7).
        raise InvalidItem(f"The content is not plain JSON ({type(error).__name__}).") from None


def _fast(value: Any) -> bytes | None:
    """The same bytes from the json module's C encoder, ten to twenty times as fast; None where it
    might write anything else than RFC 8785 says (floats, keys that sort otherwise) or take what is
    refused. Both escape the same characters the same way (RFC 8785 section 3.2.2.2)."""
    if not _plain(value):
        return None
    text = _encode(value)
    if not text.isascii() and _ORDER_MATTERS.search(text):
        return None
    return text.encode()


def _plain(value: Any) -> bool:
    """Whether there is nothing in it but str, whole numbers in range, bool, None, lists, tuples and
    dicts with str keys: exactly these types, since a subclass may write itself in other ways."""
    level = [value]
    for _ in range(_DEPTH_MAX):
        below: list[Any] = []
        for each in level:
            kind = type(each)
            if kind is dict:
                if not _STR.issuperset(map(type, each)):
                    return False
                inner = each.values()
            elif kind is list or kind is tuple:
                inner = each
            elif kind is int:
                if not -_INT_MAX <= each <= _INT_MAX:
                    return False
                continue
            elif kind in _FLAT:
                continue
            else:
                return False
            # Mostly texts: what kinds there are is asked of all at once, and only others looked at.
            if not _FLAT.issuperset(map(type, inner)):
                below += [one for one in inner if type(one) not in _FLAT]
        if not below:
            return True
        level = below
    return False


def sha256_hex(data: bytes) -> str:
    """SHA-256 in lower-case hex, 64 characters."""
    return hashlib.sha256(data).hexdigest()
