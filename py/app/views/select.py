"""Select mode of the outbox: rows with a box each, and the bar of what is done with them. Pure."""

from app import model, words
from app.element import button, h, icon
from app.views import ask, outbox

#: (act, words, drawing); `asked_of` says what each is meant for.
ACTS = (
    ("cancel", "Cancel", "x"),
    ("priority", "Priority", "flag"),
    ("send", "Send now", "send"),
)
PRIORITIES = (
    ("low", "Low", "Goes when nothing else waits."),
    ("normal", "Normal", "As most of what is saved."),
    ("high", "High", "Before what is normal."),
    ("critical", "Critical", "Before everything else."),
)


def listing(state):
    """The bar, then the rows: with the keyboard one does not go through all rows to reach it."""
    box = state["outbox"]
    rows = box["rows"] or []
    if not rows:
        return outbox.listing(state)
    picked = set(box["chosen"])
    shown = [row(one, state["now"], one["id"] in picked) for one in rows]
    trees = [
        bar(rows, [one for one in rows if one["id"] in picked]),
        h("ul", {"key": "rows", "class": "rows selecting", "aria-label": "Waiting items"}, shown),
    ]
    if box["next"]:
        busy = "true" if box["loading"] else None
        trees.append(
            button("Load more", "more", {"key": "more", "class": "more", "aria-busy": busy})
        )
    return trees


def bar(rows, picked):
    """How many, all of them or none, and the acts. Nothing of it comes and goes, so that neither
    the focus nor the thumb loses its place."""
    every = len(picked) == len(rows)
    said = f"{len(picked)} of {len(rows)} selected"
    acts = [
        button(
            text,
            "chosen-" + name,
            {
                "key": name,
                "class": "small",
                "aria-disabled": None if asked_of(name, picked) else "true",
            },
            drawing,
        )
        for name, text, drawing in ACTS
    ]
    every = button(
        "Select none" if every else "Select all",
        "chosen-none" if every else "chosen-all",
        {"key": "all", "class": "small quiet"},
    )
    return h(
        "div",
        {"key": "bar", "class": "chosen bar", "role": "group", "aria-label": "Selected items"},
        h("p", {"aria-live": "polite"}, said),
        every,
        h("div", {"class": "acts"}, acts),
    )


def asked_of(name, picked):
    """Those of the selection that the engine is asked to do this with. Where some of them cannot,
    the engine says it of each."""
    if name == "cancel" and not any("cancel" in (one.get("can") or []) for one in picked):
        return []
    return picked


def row(one, now, picked):
    """The whole row is the target of its box."""
    title = words.title(one)
    box = {
        "type": "checkbox",
        "data-select": one["id"],
        "checked": picked,
        "aria-label": "Select " + title,
    }
    name = h("span", {"class": "title plain"}, title)
    return h(
        "li",
        {"key": one["id"], "class": "row pickable", "data-state": one["state"]},
        h("label", {"class": "pick"}, h("input", box)),
        outbox.body(one, now, name),
    )


# What is asked


def cancel(asked):
    """Whether, and why."""
    number = len(asked["ids"])
    one = number == 1
    content = [
        h("p", {}, h("strong", {}, asked["title"]) if one else "They", " will not be sent."),
        h(
            "p",
            {"class": "meta"},
            icon("undo"),
            "Undo brings {} back, for as long as it is shown.".format("it" if one else "them"),
        ),
        ask.reason("cancel-reason"),
    ]
    title = "Cancel {}?".format("this item" if one else words.count(number, "item"))
    go, keep = ("Cancel it", "Keep it") if one else ("Cancel them", "Keep them")
    return ask.frame(title, "chosen-form", content, asked["said"], go, keep)


def priority(asked):
    """One of the four; that which all have already is chosen."""
    number = len(asked["ids"])
    content = [
        h(
            "fieldset",
            {"class": "choices"},
            h("legend", {}, "How urgent are they?" if number > 1 else "How urgent is it?"),
            [_choice(name, text, more, asked["now"]) for name, text, more in PRIORITIES],
        )
    ]
    title = "Priority of {}".format("this item" if number == 1 else words.count(number, "item"))
    return ask.frame(title, "chosen-form", content, asked["said"], "Change", "Leave it")


def _choice(name, text, more, now):
    identity = "priority-" + name
    props = {
        "type": "radio",
        "id": identity,
        "name": "priority",
        "value": name,
        "checked": model.PRIORITIES[name] == now,
        "aria-describedby": identity + "-more",
    }
    return h(
        "div",
        {"class": "choice", "key": name},
        h("input", props),
        h("label", {"for": identity}, text),
        h("p", {"id": identity + "-more", "class": "meta"}, more),
    )


def wont_go(one):
    """Why this one is not sent by asking now; None when it is, or can be tried."""
    can = one.get("can") or []
    if one["state"] == "handed_over":
        return words.LEFT["handed_over"]
    if one["state"] == "blocked":
        return one.get("why") or "It waits for another item."
    if "arrived" in can:
        return one.get("why") or "Say first whether it arrived."
    return None
