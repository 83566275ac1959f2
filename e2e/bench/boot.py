"""Starting: the form, the engine, warm and cold, and what a first visit costs."""

from __future__ import annotations

from collections import defaultdict

from playwright.sync_api import Page

from .rows import Row, milliseconds, paired
from .world import World, said

#: Types and presses Save at the first moment the form reacts; the time at which "Saved" stands
#: there, in ms since the navigation began.
SAVE_AT_ONCE = """async () => {
  await window.formReady;
  const field = document.getElementById('summary');
  field.value = 'Typed at once';
  field.dispatchEvent(new Event('input', { bubbles: true }));
  const saved = new Promise((resolve) => {
    const look = () => document.body.textContent.includes('Saved on this device')
      && resolve(performance.now());
    new MutationObserver(look).observe(document.body,
      { subtree: true, childList: true, characterData: true });
  });
  document.querySelector('#ticket button[type=submit]').click();
  return saved;
}"""
UP = """() => new Promise((resolve) => {
  const look = () => document.getElementById('status').textContent.includes('Ready for offline use')
    && resolve(performance.now());
  new MutationObserver(look).observe(document.getElementById('status'),
    { subtree: true, childList: true, characterData: true });
  look();
})"""


def _app(page: Page, found: dict[str, list[float]]) -> None:
    found["form"].append(said(page, "window.formReady"))
    found["saved"].append(said(page, f"({SAVE_AT_ONCE})()"))
    found["up"].append(said(page, f"({UP})()"))


def measure(world: World, rounds: int) -> list[Row]:
    """Warm starts, interleaved: each round opens each page once."""
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name in ("empty", "app", "engine", "plain", "packages"):
            page = world.page("" if name == "app" else f"bench/{name}.html")
            if name == "app":
                _app(page, found)
            else:
                word = "window.formReady" if name == "empty" else "window.ready"
                found[name].append(said(page, word))
            page.close()
    return [_form(found), _engine(found), *_first(world)]


def _form(found: dict[str, list[float]]) -> Row:
    return Row(
        "page interactive, warm",
        "from navigation to the form's handlers being attached; the app starts its Pyodide worker "
        "then, the empty page has none",
        {
            "Fieldpost": milliseconds(found["form"]),
            "empty MicroPython page": milliseconds(found["empty"]),
            "typed at once and saved": milliseconds(found["saved"]),
        },
        paired(found["empty"], found["form"]),
        "× the empty page",
        1.2,
        at_least=False,
        raw=dict(found),
    )


def _engine(found: dict[str, list[float]]) -> Row:
    return Row(
        "engine ready, warm",
        "from navigation to the worker's word; Fieldpost from its snapshot, database open and "
        "queue started; the plain worker runs one line",
        {
            "Fieldpost": milliseconds(found["engine"]),
            "plain PyScript worker": milliseconds(found["plain"]),
            "plain worker that installs fieldpost": milliseconds(found["packages"]),
            "in the app, status line": milliseconds(found["up"]),
        },
        paired(found["plain"], found["engine"]),
        "× the plain worker",
        0.35,
        at_least=False,
    )


def _first(world: World) -> list[Row]:
    first = world.first_visit
    return [
        Row(
            "first visit, cold",
            "empty profile, loopback; one run",
            {
                "form": milliseconds([first["form"]]),
                "ready for offline use": milliseconds([first["offline"]]),
            },
            raw=dict(first),
        ),
        Row(
            "first visit, transferred",
            "bytes of all answers on the wire, headers included, page, workers and service worker",
            {
                "bytes": f"{first['bytes'] / 1e6:.2f} MB",
                "answers": f"{first['answers']:.0f}",
                "then, making the snapshot": f"{first['snapshot_bytes'] / 1e6:.2f} MB",
            },
        ),
    ]
