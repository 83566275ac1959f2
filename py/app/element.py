"""Elements as plain tuples ``(tag, props, children)``: what a view returns and `patch` compares.

Pure. Text stays text until `dom` puts it into ``textContent``: nothing a user or a server wrote is
ever parsed as markup.
"""


def h(tag, props=None, *children):
    """One element. ``None`` and ``False`` children vanish, lists are spread, the rest is text."""
    return (tag, props or {}, flat(children))


def flat(children):
    """The children that are shown, in one list."""
    shown = []
    for child in children:
        if child is None or child is False:
            continue
        if isinstance(child, list):
            shown.extend(flat(child))
        elif isinstance(child, tuple):
            shown.append(child)
        else:
            shown.append(str(child))
    return shown


def icon(name):
    """A drawing beside words that say the same: hidden from assistive technology."""
    use = h("use", {"href": "#icon-" + name})
    return h("svg", {"class": "icon", "aria-hidden": "true"}, use)


def when(at, words, exact=False):
    """A time in words, with the exact one at hand (``dom`` turns ``at`` into datetime and title).

    ``exact`` writes it out as well: on a touch screen there is no title to hover over.
    """
    return h("time", {"at": at, "data-exact": exact}, words)


def button(label, act, props=None, icon_name=None):
    """A button that asks the app to do ``act`` (delegated: see `dom.listen`)."""
    attributes = {"type": "button", "data-act": act}
    attributes.update(props or {})
    return h("button", attributes, icon(icon_name) if icon_name else None, label)


def text_of(node):
    """All text of a tree, as a reader meets it; for tests and for names."""
    if isinstance(node, str):
        return node
    if isinstance(node, list):
        return " ".join([part for part in [text_of(child) for child in flat(node)] if part])
    return text_of(node[2])


def find(node, tag, props=None):
    """Every element of the tree with this tag (or any, for None) that has these properties."""
    found = []
    if isinstance(node, list):
        for child in flat(node):
            found.extend(find(child, tag, props))
    elif isinstance(node, tuple):
        wanted = props or {}
        same = all(node[1].get(name) == wanted[name] for name in wanted)
        if same and (tag is None or node[0] == tag):
            found.append(node)
        found.extend(find(node[2], tag, props))
    return found
