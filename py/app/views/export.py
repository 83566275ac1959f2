"""The dialog that takes one item elsewhere: as text, as a file, each attachment. Pure."""

from app import readable, words
from app.element import button, h, icon
from app.views import ask

_WAITS = (
    "It still waits here and will be sent. If you enter it elsewhere, cancel it here, or it "
    "arrives twice."
)
_STAYS = "It stays here. Once it is entered elsewhere, discard it here."
#: state -> what to mind when the work goes on elsewhere, or it is done twice or not at all.
MIND = {
    "pending": _WAITS,
    "blocked": _WAITS,
    "in_progress": "It is being sent now. Look whether it arrives before you enter it elsewhere.",
    "unknown": "It may have arrived already. Look there before you enter it elsewhere.",
    "handed_over": "The gateway has it and sends it on. Entered elsewhere, it would arrive twice.",
    "failed": _STAYS,
    "conflicted": _STAYS,
}


def dialog(asked):
    """``asked``: {"one": the detail, "files": {id: None, "busy", "saved" or "gone"}, "told"}."""
    one = asked["one"]
    mind = MIND.get(one["state"])
    parts = readable.files(one)
    content = [
        h("p", {}, h("strong", {}, words.title(one))),
        h(
            "div",
            {"class": "acts"},
            button("Copy as text", "export-text", {"key": "text"}, "copy"),
            button("Save as a file", "export-file", {"key": "file"}, "download"),
        ),
        h("p", {"class": "meta"}, "The file holds what it says and what became of it (JSON)."),
        _files(parts, asked["files"]),
        h(
            "p",
            {"class": "mind warn"},
            icon("alert"),
            "A copy is not encrypted: whoever has it can read it.",
        ),
        h("p", {"class": "mind"}, icon("info"), mind) if mind else None,
    ]
    foot = h(
        "footer",
        {},
        button("Close", "ask-close", {"class": "quiet"}),
        h("p", {"class": "said", "aria-live": "polite"}, asked["told"]),
    )
    return [ask.head("Take it elsewhere"), h("div", {"class": "scroll"}, content), foot]


def _files(parts, known):
    if not parts:
        return None
    rows = [_file(part, known.get(part["id"])) for part in parts]
    return h("ul", {"class": "files", "aria-label": "Attachments"}, rows)


def _file(part, state):
    name = part.get("name") or "Attachment"
    told = words.size(part.get("size") or 0)
    tone = "meta"
    if state == "gone":
        told, tone = "It is no longer on this device.", "bad"
    elif state == "saved":
        told += " · saved"
    props = {
        "data-file": part["id"],
        "class": "small",
        "aria-label": "Save " + name,
        "aria-busy": "true" if state == "busy" else None,
        "aria-disabled": "true" if state in ("gone", "busy") else None,
    }
    is_image = (part.get("type") or "").startswith("image/")
    return h(
        "li",
        {"key": part["id"], "class": "file"},
        h("span", {"class": "thumb"}, icon("image" if is_image else "file")),
        h("div", {"class": "body"}, h("p", {"class": "name"}, name), h("p", {"class": tone}, told)),
        button("Save", "export-part", props, "download"),
    )
