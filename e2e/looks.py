"""How a page looks and whether everybody can use it: sizes, colours, axe, targets, keyboard.

``SHOTS=folder`` keeps a picture of every state, for people to look at.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from e2e.machines import ROOT, Device
from playwright.sync_api import Page

AXE = ROOT / "node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
CHECK = """async (tags) => {
  const found = await axe.run(document, { runOnly: { type: 'tag', values: tags } });
  const where = (node) => [node.html.slice(0, 120), node.failureSummary];
  return found.violations.map((violation) => [violation.id, violation.nodes.map(where)]);
}"""
SIDEWAYS = """() => {
  const page = document.scrollingElement;
  if (page.scrollWidth <= innerWidth) return [];
  return [...document.querySelectorAll('body *')]
    .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
    .map((e) => `${e.tagName}#${e.id}.${e.className}`);
}"""
#: Targets under 48 px in one direction, and under what WCAG 2.2 (2.5.8) asks of those: 24 px, or
#: so far from every other one that circles of 24 px around their middles do not meet.
SMALL = """() => {
  const seen = [...document.querySelectorAll('a[href], button, input, select, textarea, summary')]
    .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest('[inert]'));
  const open = document.querySelector('dialog[open]');
  const boxes = seen.filter((e) => !open || open.contains(e)).map((e) => {
    const label = e.matches('input[type=radio], input[type=checkbox]') ? e.closest('label') : null;
    const box = (label ?? e).getBoundingClientRect();
    return { e, name: (e.ariaLabel || e.textContent || e.name || e.id).trim().slice(0, 40), box };
  }).filter(({ box, e }) => box.width && !e.classList.contains('skip'));
  const middle = (b) => [b.left + b.width / 2, b.top + b.height / 2];
  const apart = (a, b) => Math.hypot(...middle(a).map((x, i) => x - middle(b)[i])) >= 24;
  const inText = (e) => e.matches('p a, dd a');
  const tall = ({ box }) => box.height >= 47.5 && box.width >= 47.5;
  return boxes.filter((one) => !tall(one) && !inText(one.e)).map((one) => {
    const b = one.box;
    const fits = (b.height >= 24 && b.width >= 24) ||
      boxes.every((other) => other === one || apart(b, other.box));
    return [one.name, Math.round(b.width), Math.round(b.height), fits];
  });
}"""
#: What has the focus: its name, whether one sees that it has it, and whether it can be seen at all.
FOCUSED = """() => {
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  let ring = null;
  for (let n = e; n && n !== document.body && !ring; n = n.parentElement) {
    const style = getComputedStyle(n);
    if (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2) ring = n;
    if (n.matches('main, form, dialog, nav, ul, section')) break;
  }
  const box = (ring ?? e).getBoundingClientRect();
  const points = [0.1, 0.5, 0.9].flatMap((x) => [0.1, 0.5, 0.9].map((y) =>
    [box.left + box.width * x, box.top + box.height * y]));
  const its = [e, ring, ...(e.labels ?? [])]; // a label may lie over its box, to be the target
  const on = (at) => at && (at.contains(e) || its.some((one) => one?.contains(at)));
  return {
    tag: e.tagName, id: e.id, ring: Boolean(ring),
    name: (e.ariaLabel || e.labels?.[0]?.textContent || e.textContent || '').trim(),
    seen: points.some(([x, y]) => on(document.elementFromPoint(x, y))),
  };
}"""


def sizes() -> list[Any]:
    every = [(w, c) for w in (390, 1440) for c in ("light", "dark")]
    return [
        pytest.param(*one, id=f"{one[0]}-{one[1]}", marks=pytest.mark.full if n else [])
        for n, one in enumerate(every)
    ]


def shoot(page: Page, name: str) -> None:
    if folder := os.environ.get("SHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png")


def press_to(page: Page, name: str, key: str = "Tab") -> None:
    """Tab until the thing called ``name`` has the focus, which is seen at every step."""
    met = []
    for _ in range(60):
        page.keyboard.press(key)
        at = page.evaluate(FOCUSED)
        if at is None:
            continue  # past the end: the next Tab begins at the top
        met.append(at["name"] or at["id"])
        assert at["ring"], f"one does not see that {at} has the focus"
        assert at["seen"], f"{at} has the focus and lies under something"
        if at["name"].startswith(name):
            return
    raise AssertionError(f"Tab does not reach {name}: {met}")


class Looks:
    """One device of a size and scheme; `at` looks at a state, ``wrong`` gathers what it found."""

    def __init__(self, device: Device, width: int, scheme: str):
        self._device = device
        self._name = f"{width}-{scheme}"
        self._phone = phone = width < 600
        self.wrong: list[tuple[str, Any]] = []
        device.options |= {
            "viewport": {"width": width, "height": 844 if phone else 900},
            "color_scheme": scheme,
            "has_touch": phone,
            "is_mobile": phone,
            "device_scale_factor": 2 if phone else 1,
            "reduced_motion": "reduce",
        }

    def open(self) -> Page:
        page = self._device.open()
        page.evaluate(AXE.read_text())
        return page

    def at(self, page: Page, state: str) -> None:
        shoot(page, f"{state}-{self._name}")
        self.wrong.extend((state, one) for one in page.evaluate(CHECK, RULES))
        self.wrong.extend((state, one) for one in page.evaluate(SIDEWAYS))
        if self._phone:
            self.wrong.extend((state, one) for one in page.evaluate(SMALL) if not one[3])
