"""The HTML of /inbox. Every value goes through `text`; links are relative, for any sub-path."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ledger import Progress
    from .pages import Arrival

#: Payload paths shown as fields of their own, with the words people use.
_LABELS = {
    "summary": "Summary",
    "description": "Description",
    "category": "Category",
    "severity": "Severity",
    "rating": "Rating",
    "comment": "Comment",
    "userName": "From",
}


def text(value: object) -> str:
    """Any value as HTML text."""
    return html.escape(str(value), quote=True)


def page(title: str, body: str, *, root: str) -> str:
    """``root``: the way from this page up to the gateway's root ("" or "../")."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(title)} · Fieldpost</title>
<link rel="stylesheet" href="{root}inbox/style.css">
</head>
<body>
<header><a class="brand" href="{root}inbox">Fieldpost <span>inbox</span></a></header>
<main>
{body}
</main>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """Of the list: how many arrived (``total``, without the ``logs`` of devices), the number the
    next page goes on below, whether this is the first page, and whether it is of logs."""

    total: int
    logs: int
    more: int | None
    first: bool = True
    of_logs: bool = False


def inbox(arrivals: Sequence[Arrival], shown: Shown) -> str:
    """The list, newest first."""
    title, query = ("Logs", "?kind=log") if shown.of_logs else ("Inbox", "")
    links = [f'<a href="inbox{query}">Newest</a>'] if not shown.first else []
    if shown.more is not None:
        below = f"{query}{'&' if query else '?'}before={shown.more}"
        links.append(f'<a href="inbox{text(below)}" rel="next">Older</a>')
    if shown.of_logs:
        links.append('<a href="inbox">Inbox</a>')
    elif shown.logs:
        links.append(f'<a href="inbox?kind=log">Logs of devices ({shown.logs})</a>')
    pager = f'<nav class="pager" aria-label="Pages">{" ".join(links)}</nav>' if links else ""
    if not arrivals:
        body = (
            f'<h1>{title}</h1><div class="empty"><p>Nothing has arrived yet.</p>'
            f"<p>What devices deliver appears here.</p></div>{pager}"
        )
        return page(title, body, root="")
    rows = "\n".join(_row(each) for each in arrivals)
    total = shown.logs if shown.of_logs else shown.total
    count = f"{total} arrived" if total != 1 else "1 arrived"
    body = f"""<div class="title"><h1>{title}</h1><p class="quiet">{count}</p></div>
<table>
<thead><tr><th scope="col">Number</th><th scope="col">Summary</th><th scope="col">Severity</th>
<th scope="col">Requester</th><th scope="col">Arrived</th><th scope="col">Files</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
{pager}"""
    return page(title, body, root="")


def _row(each: Arrival) -> str:
    damaged = ' class="damaged"' if "damaged" in each.head else ""
    return (
        f'<tr{damaged}><th scope="row"><a href="inbox/{each.reference}">{each.reference}</a></th>'
        f'<td class="summary">{text(each.head.get("summary") or "No summary")}'
        f' <span class="kind">{text(each.kind)}</span></td>'
        + _cell(_severity(each.head.get("severity", "")), there=bool(each.head.get("severity")))
        + _cell(text(each.head.get("requester") or "–"), there=bool(each.head.get("requester")))
        + f"<td>{_time(each.arrived_at)}</td>{_files(each.progress)}</tr>"
    )


def _cell(content: str, *, there: bool) -> str:
    """Empty cells are left out on narrow screens."""
    return f"<td>{content}</td>" if there else f'<td class="none">{content}</td>'


def arrival(each: Arrival, payload: dict[str, Any] | None, pictures: frozenset[str]) -> str:
    """One arrival. ``payload`` is None when it does not open."""
    facts = [
        ("Captured", _time(each.captured_at) if each.captured_at else "–"),
        ("Arrived", _time(each.arrived_at)),
        ("Requester", text(each.head.get("requester") or "–")),
    ]
    if each.head.get("severity"):
        facts.insert(0, ("Severity", _severity(each.head["severity"])))
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    if payload is None:
        content = '<p class="damaged">The text does not open with its key. Restore a backup.</p>'
    else:
        content = _content(payload)
    body = f"""<article>
<p class="quiet"><a href="../inbox">Inbox</a> / {each.reference}
 <span class="kind">{text(each.kind)}</span></p>
<h1>{text(each.head.get("summary") or "No summary")}</h1>
<dl class="facts">{listed}</dl>
{content}
{_attachments(each, pictures)}
</article>"""
    return page(f"{each.reference} {each.head.get('summary', '')}", body, root="../")


def _content(payload: dict[str, Any]) -> str:
    known = {name: payload[name] for name in _LABELS if payload.get(name) not in (None, "")}
    shown = "".join(
        f'<section><h2>{_LABELS[name]}</h2><p class="text">{text(value)}</p></section>'
        for name, value in known.items()
        if name not in ("summary", "severity")
    )
    rest = {name: value for name, value in payload.items() if name not in _LABELS and value}
    return shown + "".join(_other(name, value) for name, value in rest.items())


def _other(name: str, value: Any) -> str:
    title = {"user": "Person", "systemInfo": "Device", "context": "Context"}.get(name, name)
    if isinstance(value, dict) and all(not isinstance(v, dict | list) for v in value.values()):
        listed = "".join(
            f"<div><dt>{text(key)}</dt><dd>{text('–' if item is None else item)}</dd></div>"
            for key, item in value.items()
        )
        return f'<section><h2>{text(title)}</h2><dl class="facts">{listed}</dl></section>'
    shown = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return f"<section><h2>{text(title)}</h2><pre>{text(shown)}</pre></section>"


def _attachments(each: Arrival, pictures: frozenset[str]) -> str:
    if not each.progress:
        return ""
    items = "".join(_attachment(each, progress, pictures) for progress in each.progress)
    return f'<section><h2>Attachments</h2><ul class="files">{items}</ul></section>'


def _attachment(each: Arrival, progress: Progress, pictures: frozenset[str]) -> str:
    file = progress.attachment
    size = f'<span class="quiet">{_size(file.size)}</span>'
    if progress.held < file.parts:
        said = f"{progress.held} of {file.parts} parts are here, the rest is on its way"
        return f"<li>{text(file.name)} {size}<br><em>{said}</em></li>"
    address = f"{each.reference}/attachments/{progress.position}"
    picture = ""
    if file.type in pictures:
        picture = f'<img src="{address}" alt="" loading="lazy">'
    return f'<li><a href="{address}" download>{picture}{text(file.name)}</a> {size}</li>'


def _files(progress: Sequence[Progress]) -> str:
    if not progress:
        return '<td class="none">–</td>'
    coming = sum(each.held < each.attachment.parts for each in progress)
    count = f"{len(progress)} file{'s' if len(progress) != 1 else ''}"
    said = f'{count}<br><span class="quiet">{coming} on the way</span>' if coming else count
    return f'<td class="count">{said}</td>'


def _severity(severity: str) -> str:
    known = severity if severity in ("low", "medium", "high", "critical") else "none"
    return f'<span class="severity {known}">{text(severity or "–")}</span>'


def _time(at_ms: int) -> str:
    try:
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return "unknown"  # a device with a clock beyond the year 9999
    return f'<time datetime="{at.isoformat(timespec="seconds")}">{at:%Y-%m-%d %H:%M} UTC</time>'


def _size(size: int) -> str:
    for unit, step in (("MB", 1_000_000), ("kB", 1_000)):
        if size >= step:
            return f"{size / step:.1f} {unit}"
    return f"{size} bytes"
