"""The HTML of the switchboard and of the systems' inboxes. Every value goes through `text`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fieldpost.testing.vendors.base import Record
from gateway.templates import text

from .behind import Bench
from .demo import DEVICES, FAULTS, STORM_PERCENT, STORM_SECONDS, Demo, Line

#: Count -> what people call it, and what it says.
_TILES = {
    "captured": ("Captured", "saved on a device"),
    "waiting": ("On devices", "wait there for the line"),
    "gateway": ("At gateway", "wait there for the system"),
    "delivered": ("Delivered", "acknowledged and there"),
    "attention": ("Refused", "a person has to look"),
    "doubled": ("Doubled", "there more than once"),
    "lost": ("Lost", "nowhere"),
}
_ROW = ("captured", "waiting", "gateway", "delivered", "doubled", "lost", "photos")
_BAD = frozenset({"doubled", "lost"})
_SURE = {
    "strong": "refuses doubles itself",
    "checked": "looked up before anything goes again",
    "repaired": "doubles are found and closed",
}
#: Where records have their title, in the vendors' own words.
_TITLES = frozenset({"summary", "short_description", "subject", "title"})


def _html(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(title)} · Fieldpost</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/static/app.css">
<link rel="stylesheet" href="/switchboard.css">
</head>
<body>
{body}
</body>
</html>
"""


def switchboard(demo: Demo, state: dict[str, Any]) -> str:
    """``state``: as `Demo.state` gave it; the script renews it every second."""
    total, counts = state["counts"]["total"], state["counts"]
    tiles = "".join(_tile(name, total[name]) for name in _TILES)
    lines = demo.lines
    cards = "".join(
        _card(each, lines[each.name], counts[each.name], state["lines"][each.name])
        for each in demo.benches.values()
    )
    devices = _switch(lines[DEVICES], state["lines"][DEVICES])
    body = f"""<header class="board"><span class="brand">Fieldpost</span> <span>Switchboard</span>
<p class="links"><a href="{text(demo.url)}/" target="_blank">The app</a></p></header>
<main>
<div class="head"><div><h1>Break the lines</h1>
<p class="meta">{len(demo.people)} simulated people write tickets. Break what you like and count:
 everything arrives, once.</p></div>
<p class="acts"><button class="primary" type="button" data-post="/storm">
Storm for {STORM_SECONDS:.0f} s</button>
<button type="button" data-post="/calm">Calm</button>
<button type="button" data-people>Stop writing</button></p></div>
<p class="banner warn" id="storm" role="status" hidden>Storm: every line fails in every way,
 {STORM_PERCENT} of 100 requests. <span id="left"></span></p>
<p class="banner bad" id="gone" role="alert" hidden>The demo has ended, or does not answer.</p>
<dl class="tiles">{tiles}</dl>
<section class="card" aria-labelledby="line-{DEVICES}"><h2 id="line-{DEVICES}">
{text(lines[DEVICES].title)}</h2>{devices}</section>
<div class="cards">{cards}</div>
</main>
<script src="/switchboard.js" type="module"></script>"""
    return _html("Switchboard", body)


def _tile(name: str, value: int) -> str:
    title, says = _TILES[name]
    watched = " watched" if name in _BAD else ""
    return (
        f'<div class="tile {name}{watched}"><dt>{title} <span class="meta">{says}</span></dt>'
        f'<dd data-count="total.{name}">{value}</dd></div>'
    )


def _card(bench: Bench, line: Line, counts: dict[str, int], shown: dict[str, Any]) -> str:
    sure = bench.adapter.declaration.guarantee
    rows = "".join(
        f"<div{' class=watched' if name in _BAD else ''}>"
        f"<dt>{_TILES[name][0] if name in _TILES else 'Photos there'}</dt>"
        f'<dd data-count="{bench.name}.{name}">{counts[name]}</dd></div>'
        for name in _ROW
        if name != "photos" or bench.adapter.declaration.attachments
    )
    return f"""<section class="card" aria-labelledby="line-{bench.name}">
<h2 id="line-{bench.name}">{text(line.title)}</h2>
<p class="meta"><b>{text(sure.capitalize())}</b>: {text(_SURE[sure])}{text(_settles(bench))}</p>
<dl class="counts">{rows}</dl>
{_switch(line, shown)}
<p><a class="more" href="/inbox/{bench.name}">{text(bench.title)}'s inbox</a></p></section>"""


def _settles(bench: Bench) -> str:
    """Why something may stay at the gateway for a while although the line works again."""
    lookup = bench.adapter.declaration.lookup
    seconds = 0 if lookup is None else max((lookup.settle_ms, *lookup.repeat_ms)) // 1000
    return f". A lost answer is cleared up after {seconds} s." if seconds else "."


def _switch(line: Line, shown: dict[str, Any]) -> str:
    options = "".join(
        f'<option value="{mode}"{" selected" if mode == line.mode else ""}>{text(title)}</option>'
        for mode, title in FAULTS.items()
    )
    return f"""<div class="switch" data-line="{line.name}">
<p class="field"><label for="mode-{line.name}">The line</label>
<select id="mode-{line.name}" name="mode">{options}</select></p>
<p class="field"><label for="percent-{line.name}">Hits <span class="percent">{line.percent}</span>
 of 100 requests</label><input id="percent-{line.name}" name="percent" type="range"
 min="0" max="100" step="5" value="{line.percent}"></p>
<p class="meta"><span data-line-count="hit">{shown["hit"]}</span> of
 <span data-line-count="requests">{shown["requests"]}</span> requests were hit</p></div>"""


def inbox(bench: Bench, newest: int) -> str:
    """What the system has, newest first."""
    records = bench.vendor.records
    listed = "".join(
        _record(bench.name, n, records[n])
        for n in range(len(records) - 1, max(-1, len(records) - 1 - newest), -1)
    )
    more = f" The newest {newest} are shown." if len(records) > newest else ""
    body = f"""<header class="board"><a class="brand" href="/">Fieldpost</a>
 <span>{text(bench.title)}'s inbox</span></header>
<main><h1>{text(bench.title)}</h1><p class="meta">{len(records)} records.{more}</p>
<ol class="records">{listed or "<li>Nothing has arrived yet.</li>"}</ol></main>"""
    return _html(f"{bench.title}'s inbox", body)


def _record(name: str, n: int, record: Record) -> str:
    files = "".join(
        f'<a href="/inbox/{name}/{n}/{k}"><img src="/inbox/{name}/{n}/{k}" loading="lazy"'
        f' width="96" height="72" alt="{text(file[0])}"></a>'
        for k, file in enumerate(record.files)
    )
    title = next(_titles(record.fields), "No title")
    closed = "" if record.open else " (closed as a double)"
    return (
        f'<li class="card"><h2>{text(title)}</h2>'
        f'<p class="meta">{text(record.number)}{closed}</p>'
        f'<p class="files">{files}</p></li>'
    )


def _titles(fields: Any) -> Iterator[str]:
    if not isinstance(fields, dict):
        return
    for name, value in fields.items():
        if isinstance(value, str) and name.lower() in _TITLES:
            yield value
    for value in fields.values():
        yield from _titles(value)
