"""The dialog that shows what exactly would be sent to a destination; nothing is. Pure."""

import json

from app import edit, words
from app.element import button, h
from app.views import ask, capture

#: A longer text is written on several lines.
_LINE = 60


def fields(one, kind):
    """What can be typed: what the example has, and what the destination asks for besides; as
    `edit.fields` gives them, all as text."""
    known = one["of_kind"][kind]
    rules = known["fields"]
    found = []
    for path, value in _leaves(known["sample"], ""):
        found.append(_field(path, value, rules))
    given = [field["path"] for field in found]
    for path in rules["required"]:
        inside = [name for name in given if name.startswith(path + ".")]
        if path not in given and not inside:
            found.append(_field(path, "", rules))
    return found


def _field(path, value, rules):
    chosen = str(value)
    options = [str(each) for each in rules["choices"].get(path) or []]
    if options and chosen and chosen not in options:
        options.append(chosen)
    return {
        "path": path,
        "label": words.label(path.split(".")[-1]),
        "value": chosen,
        "options": options,
        "long": len(chosen) > _LINE or path in ("description", "comment"),
    }


def _leaves(value, before):
    """[(dotted path, value)], in reading order: the page's interpreter keeps none in JSON."""
    if not isinstance(value, dict):
        return [(before, value)]
    known = [name for name in words.READING_ORDER if name in value]
    found = []
    for name in known + sorted([name for name in value if name not in known]):
        found.extend(_leaves(value[name], before + "." + name if before else name))
    return found


def payload(one, kind, values):
    """What was typed, as the kind has it: a number of the example stays one, what is empty is left
    out."""
    known, made = one["of_kind"][kind], {}
    for field in fields(one, kind):
        text = (values.get(field["path"]) or "").strip()
        if text:
            _put(made, field["path"].split("."), _typed(known, field["path"], text))
    return made


def _typed(known, path, text):
    for value in known["fields"]["choices"].get(path) or []:
        if str(value) == text:
            return value
    was = edit.at(known["sample"], path)
    whole = isinstance(was, int) and not isinstance(was, bool)
    return int(text) if whole and text.lstrip("-").isdigit() else text


def _put(place, names, value):
    for name in names[:-1]:
        place = place.setdefault(name, {})
    place[names[-1]] = value


def dialog(asked):
    """``asked``: see `app.behind.Destinations`."""
    one = asked["one"]
    shown = [
        h("p", {"key": "says", "class": "meta"}, "Nothing is sent: this shows what would be."),
        _kind(one, asked["kind"]) if len(one["kinds"]) > 1 else None,
    ]
    shown.extend([_input(field, asked["errors"].get(field["path"])) for field in asked["fields"]])
    shown.append(_request(asked["shown"]))
    title = "Dry run: " + one["title"]
    return ask.frame(title, "dry-form", shown, asked["said"], "Show the request", "Close")


def _kind(one, chosen):
    options = [
        h("option", {"key": kind, "value": kind, "selected": kind == chosen}, _called(kind))
        for kind in one["kinds"]
    ]
    return h(
        "div",
        {"class": "field", "key": "kind"},
        h("label", {"for": "dry-kind"}, "Kind"),
        h("select", {"id": "dry-kind", "autocomplete": "off"}, options),
    )


def _called(kind):
    known = words.KINDS.get(kind)
    return known[0] if known else kind[:1].upper() + kind[1:]


def _input(field, wrong):
    path = field["path"]
    name = "dry-" + path.replace(".", "-")
    props = {
        "id": name,
        "name": path,
        "autocomplete": "off",
        "aria-describedby": name + "-error",
        "aria-invalid": "true" if wrong else None,
    }
    if field["options"]:
        pairs = [("", "Not set")] + [(value, value) for value in field["options"]]
        typed = h(
            "select",
            props,
            [
                h("option", {"key": v, "value": v, "selected": v == field["value"]}, text)
                for v, text in pairs
            ],
        )
    elif field["long"]:
        props["rows"] = "3"
        typed = h("textarea", props, field["value"])
    else:
        props["type"] = "text"
        props["value"] = field["value"]
        typed = h("input", props)
    return h(
        "div",
        {"class": "field", "key": path},
        h("label", {"for": name}, field["label"]),
        typed,
        h("p", {"id": name + "-error", "class": "error"}, capture.error(_sentence(wrong))),
    )


def _sentence(wrong):
    return f"This {wrong}." if wrong else None


def _request(shown):
    """Method, address, headers, body; "•••" stands where a secret would."""
    if not shown:
        return None
    headers = [f"{name}: {shown['headers'][name]}" for name in sorted(shown["headers"])]
    body = shown["body"] if isinstance(shown["body"], str) else indented(shown["body"])
    text = "\n".join([f"{shown['method']} {shown['url']}"] + headers + ["", body])  # noqa: RUF005
    return h(
        "section",
        {"key": "request", "aria-labelledby": "dry-title"},
        h("h3", {"id": "dry-title"}, "The request"),
        h("p", {"class": "meta"}, "Asked before it, and the answer may add to it: ", shown["asks"])
        if shown.get("asks")
        else None,
        # It scrolls by itself, so the keyboard must reach it.
        h("pre", {"id": "dry-shown", "class": "request", "tabindex": "0"}, text),
        button("Copy", "copy", {"class": "small quiet", "data-copy": text}, "copy"),
    )


def indented(value, depth=0):
    """JSON for people, members by name (MicroPython's json knows no indents)."""
    inside, after = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict) and value:
        rows = [
            f"{inside}{json.dumps(name)}: {indented(value[name], depth + 1)}"
            for name in sorted(value)
        ]
        return "{\n" + ",\n".join(rows) + "\n" + after + "}"
    if isinstance(value, list) and value:
        rows = [inside + indented(each, depth + 1) for each in value]
        return "[\n" + ",\n".join(rows) + "\n" + after + "]"
    return quoted(value)


def quoted(value):
    """As JSON, letters of every script as they are."""
    if not isinstance(value, str):
        return json.dumps(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
