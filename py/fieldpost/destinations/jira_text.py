"""Text as Jira takes it: Atlassian Document Format in the cloud, wiki markup on a data centre of
one's own; and what may be a label, a summary or a file's name there. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")
#: Macros, links, pictures and tables begin with these; what else is marked up stays readable.
_MARKUP = re.compile(r"([{}\[\]!|])")
_LIST = re.compile(r"(?m)^(\s*)([*#-]+ |h[1-6]\. |bq\. )")
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f"\\/:*?<>|%$]')
_LABEL_MAX = 255


def plain(text: str) -> str:
    """Lines ended by a line feed only, without control characters."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def document(text: str) -> dict[str, Any]:
    """ADF: a paragraph for each block between blank lines, a hard break for each line inside. So
    no text node is empty, which would be refused."""
    blocks = [block for block in _BLANK_LINES.split(plain(text).strip("\n")) if block.strip()]
    return {"type": "doc", "version": 1, "content": [_paragraph(block) for block in blocks]}


def _paragraph(block: str) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    for line in block.split("\n"):
        if content:
            content.append({"type": "hardBreak"})
        content.append({"type": "text", "text": line})
    return {"type": "paragraph", "content": content}


def wiki(text: str) -> str:
    """Wiki markup that shows the text as it was written."""
    escaped = _MARKUP.sub(r"\\\1", plain(text))
    return _LIST.sub(lambda found: f"{found[1]}\\{found[2]}", escaped)


def one_line(text: str) -> str:
    return " ".join(plain(text).split())


def label(text: str) -> str:
    """No blanks are taken in one."""
    return "-".join(plain(text).split())[:_LABEL_MAX]


def file_name(name: str) -> str:
    """Without what would be replaced over there, or would end the header that it stands in: so the
    file is found again by its name."""
    return unicodedata.normalize("NFC", _NOT_IN_NAMES.sub("_", name)).strip() or "file"
