"""Brings what is shown from one list of elements to the next with as few changes as possible.

Pure: it speaks to a ``host`` (`dom.Host` in the page, a recorder in tests) with the verbs
``element``, ``text``, ``retext``, ``set``, ``drop``, ``insert`` and ``remove``. A child with a
``key`` keeps its node while it lives, wherever it moves: so focus, selection, open menus and the
scroll position stay, and a list does not jump while one reads.
"""


class Node:
    """A shown element or text: its last description and the host's reference."""

    __slots__ = ("children", "key", "props", "ref", "tag", "tree")

    def __init__(self, tree, tag, props, ref):
        self.tree = tree
        self.tag = tag
        self.props = props
        self.ref = ref
        self.key = props.get("key")
        self.children = []


def update(host, parent, nodes, trees):
    """Make ``parent`` show ``trees`` where it shows ``nodes``; returns the new nodes."""
    keyed = {node.key: node for node in nodes if node.key is not None}
    loose = [node for node in nodes if node.key is None]
    result = []
    kept = []
    for tree in trees:
        node = _match(keyed, loose, tree)
        if node is not None:
            kept.append(node)
        result.append((node, tree))
    alive = []
    for node in nodes:
        if any(node is other for other in kept):
            alive.append(node)
        else:
            host.remove(parent, node.ref)
    return _place(host, parent, alive, result)


def _match(keyed, loose, tree):
    """The shown node that this tree continues: the same key, or the next of the same tag."""
    tag, props = _shape(tree)
    key = props.get("key")
    if key is not None:
        node = keyed.get(key)
        if node is not None and node.tag == tag:
            del keyed[key]
            return node
        return None
    for index in range(len(loose)):
        if loose[index].tag == tag:
            return loose.pop(index)
    return None


def _place(host, parent, alive, result):
    """Walk the wanted order beside the shown one; only what is out of order or new is inserted."""
    shown = []
    cursor = 0
    for node, tree in result:
        before = alive[cursor].ref if cursor < len(alive) else None
        if node is None:
            made = _create(host, tree)
            host.insert(parent, made.ref, before)
            shown.append(made)
        else:
            if cursor < len(alive) and alive[cursor] is node:
                cursor += 1
            else:
                host.insert(parent, node.ref, before)
                alive = [other for other in alive if other is not node]
            _change(host, node, tree)
            shown.append(node)
    return shown


def _shape(tree):
    return (None, {}) if isinstance(tree, str) else (tree[0], tree[1])


def _create(host, tree):
    tag, props = _shape(tree)
    if tag is None:
        return Node(tree, None, {}, host.text(tree))
    node = Node(tree, tag, props, host.element(tag))
    for name in props:
        if name != "key" and props[name] is not None and props[name] is not False:
            host.set(node.ref, name, props[name])
    for child in tree[2]:
        made = _create(host, child)
        host.insert(node.ref, made.ref, None)
        node.children.append(made)
    return node


def _change(host, node, tree):
    if node.tree == tree:
        return  # most rows of a live list, most of the time
    if node.tag is None:
        host.retext(node.ref, tree)
    else:
        _change_props(host, node, tree[1])
        node.children = update(host, node.ref, node.children, tree[2])
    node.tree = tree


def _change_props(host, node, props):
    for name in node.props:
        if name != "key" and _absent(props.get(name)) and not _absent(node.props[name]):
            host.drop(node.ref, name)
    for name in props:
        if name == "key" or _absent(props[name]):
            continue
        if node.props.get(name) != props[name]:
            host.set(node.ref, name, props[name])
    node.props = props


def _absent(value):
    return value is None or value is False
