"""Draw the PNG icons from `static/icons/icon.svg` (run by hand after changing it; files committed).

Uses the browser that the tests use. Maskable icons bleed to the edge and keep the mark inside the
inner 80 %, which every launcher's shape shows.
"""

from __future__ import annotations

import shutil

from playwright.sync_api import sync_playwright

from tools.paths import ROOT, say

ICONS = ROOT / "static/icons"
PAGE = """<!doctype html><style>html,body{{margin:0;background:transparent}}
svg{{display:block;width:{size}px;height:{size}px}}</style>{svg}"""


def maskable(svg: str) -> str:
    """Square corners, and the mark scaled about the middle."""
    smaller = '<g id="mark" transform="translate(256 256) scale(.8) translate(-256 -256)">'
    return svg.replace(' rx="112"', "").replace('<g id="mark">', smaller)


def main() -> None:
    """Write icon-192/512 and maskable-192/512."""
    svg = (ICONS / "icon.svg").read_text()
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, drawing in (("icon", svg), ("maskable", maskable(svg))):
            for size in (192, 512):
                page = browser.new_page(viewport={"width": size, "height": size})
                page.set_content(PAGE.format(size=size, svg=drawing))
                target = ICONS / f"{name}-{size}.png"
                page.screenshot(path=target, omit_background=True)
                page.close()
                say(f"{target.relative_to(ROOT)}")
        browser.close()


if __name__ == "__main__":
    main()
