"""The rows of one destination only, in a list of all. Pure."""

from app import catalogue
from app.element import button, h, icon


def choice(state):
    """The choice of one destination, where there are several."""
    pairs, box = catalogue.names(state["catalogue"]), state["outbox"]
    if len(pairs) < 2:
        return None
    chosen = box.get("only")
    shown = [h("option", {"key": "", "value": "", "selected": not chosen}, "All destinations")]
    for name, title in pairs:
        props = {"key": name, "value": name, "selected": name == chosen}
        shown.append(h("option", props, title))
    control = h("select", {"id": "outbox-only", "aria-label": "Show only"}, shown)
    return h("div", {"key": "only", "class": "only"}, control)


def nothing(state, box):
    """Nothing for the chosen destination, or nothing among those that were looked through."""
    chosen = dict(catalogue.names(state["catalogue"])).get(box["only"]) or box["only"]
    more = None
    if box["next"]:
        busy = "true" if box["loading"] else None
        more = button("Look further", "more", {"key": "more", "aria-busy": busy})
    text = "Nothing for " + chosen + (" among the newest" if box["next"] else "")
    said = h("p", {}, h("strong", {}, text))
    return h("div", {"key": "none", "class": "empty"}, icon("outbox"), said, more)
