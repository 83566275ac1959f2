"""What needs a person: items that could not be delivered, with the answer and what can be done
about it; and what stands in the way of all of them."""

from app import model, words
from app.element import button, h, icon, when
from app.views import outbox

ACTS = ("arrived", "send_again", "edit", "retry", "export", "discard")
#: Of those, what can be done with several at once.
MANY = ("retry", "discard")


def head(state):
    """What concerns all items, then the acts on many."""
    box = state["attention"]
    shown = [_matter(*one) for one in model.matters(state)]
    counts = (box["told"] or {}).get("counts") or {}
    gave_up = (box["told"] or {}).get("gave_up") or {}
    failed, lost = counts.get("failed") or 0, gave_up.get("count") or 0
    shown.append(_outage(state, lost, gave_up.get("more")))
    chosen = [one for one in box["rows"] or [] if one["id"] in box["chosen"]]
    if chosen:
        shown.append(_chosen(chosen))
    elif failed > 1 and failed > lost:
        text = f"Retry all ({failed})"
        shown.append(h("div", {"class": "acts"}, button(text, "retry-all", {}, "refresh")))
    shown.append(outbox.left(box))
    return shown


def _matter(key, tone, text, todo, link):
    where = None
    if link:
        where = h("a", {"href": link[0], "class": "go"}, link[1])
    return h(
        "div",
        {"key": key, "class": "banner " + tone},
        icon("alert"),
        h("p", {}, h("strong", {}, text), " " + todo if todo else None),
        where,
    )


def _outage(state, lost, more):
    if not lost:
        return None
    number = words.count(lost, "item") + (" or more" if more else "")
    text = f"{number} could not be delivered while the server was away."
    online = model.connection(state)[1] == "good"
    todo = None if online else " Once it answers, they can be tried again together."
    act = button("Retry all", "retry-lost", {"class": "primary"}, "refresh") if online else None
    return h(
        "div", {"key": "outage", "class": "banner"}, icon("refresh"), h("p", {}, text, todo), act
    )


def _chosen(chosen):
    """The bar that says how many are selected and what can be done with all of them."""
    acts = [
        button(text, "many-" + name, {"key": name, "class": "small"}, drawing)
        for name, text, drawing in outbox.ACTS
        if name in MANY and all(name in one["can"] for one in chosen)
    ]
    acts.append(button("Clear", "many-clear", {"key": "clear", "class": "small quiet"}, "x"))
    said = h("p", {}, f"{len(chosen)} selected")
    return h("div", {"key": "chosen", "class": "chosen"}, said, acts)


def listing(state):
    """The rows, or what there is to say without them."""
    box = state["attention"]
    if box["rows"] is None:
        return outbox.starting(state, box, model.attention(state))
    if not box["rows"]:
        if model.matters(state):
            return []
        return [
            h(
                "div",
                {"key": "empty", "class": "empty"},
                icon("check"),
                h("p", {}, h("strong", {}, "Nothing needs you")),
                h("p", {"class": "meta"}, "What cannot be delivered by itself comes up here."),
            )
        ]
    rows = [row(one, state["now"], one["id"] in box["chosen"]) for one in box["rows"]]
    label = "Items that need attention"
    shown = [h("ul", {"key": "rows", "class": "rows", "aria-label": label}, rows)]
    if box["next"]:
        busy = "true" if box["loading"] else None
        props = {"key": "more", "class": "more", "aria-busy": busy}
        shown.append(button("Load more", "more-attention", props))
    return shown


def row(one, now, chosen):
    """What it is, why it stands here, what the server said, and what can be done."""
    title_id = "a-" + one["id"]
    kind = words.KINDS.get(one["kind"], (one["kind"], "file"))
    name = words.title(one)
    pick = None
    if any(act in one["can"] for act in MANY):
        pick = h(
            "input",
            {
                "type": "checkbox",
                "data-pick": one["id"],
                "checked": chosen,
                "aria-label": "Select " + name,
            },
        )
    facts = [
        outbox.standing(one),
        outbox.bound(one),
        when(one["updated_at"], words.ago(one["updated_at"], now)),
        h("span", {}, icon(kind[1]), kind[0]),
        outbox.attachments(one),
    ]
    body = h(
        "div",
        {"class": "body"},
        button(name, "open", {"class": "title", "id": title_id, "data-id": one["id"]}),
        h("p", {"class": "meta"}, facts),
        outbox.belongs(one),
        h("p", {"class": "why"}, one["why"]) if one.get("why") else None,
        # What may have arrived has had no answer: that is all there is to say of it.
        None if "arrived" in one["can"] else _answer(one.get("answer")),
    )
    return h(
        "li",
        {
            "key": one["id"],
            "class": "row pickable",
            "data-state": one["state"],
            "data-kind": one["kind"],
        },
        h("label" if pick else "span", {"class": "pick"}, pick),
        body,
        outbox.acts(one, title_id, ACTS),
    )


def _answer(told):
    """What the server said, in its own words; its code for whoever looks it up."""
    if not told:
        return None
    text, wrong, code = model.answer(told)
    return h(
        "div",
        {"class": "answer"},
        h("p", {}, text or "The server gave no reason.") if text or not wrong else None,
        [h("p", {"key": name}, h("strong", {}, name + ": "), said) for name, said in wrong],
        h("p", {"class": "meta"}, code) if code else None,
    )
