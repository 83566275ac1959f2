"""The list that does not jump: keyed nodes keep their identity, and little is touched."""

from app import patch
from app.element import h


class Paper:
    """A host that draws on plain objects and counts what it was asked to do."""

    def __init__(self):
        self.done = []

    def element(self, tag):
        self.done.append("element")
        return {"tag": tag, "props": {}, "inside": []}

    def text(self, text):
        return {"text": text}

    def retext(self, ref, text):
        self.done.append("retext")
        ref["text"] = text

    def set(self, ref, name, value):
        self.done.append("set")
        ref["props"][name] = value

    def drop(self, ref, name):
        self.done.append("drop")
        del ref["props"][name]

    def insert(self, parent, ref, before):
        self.done.append("insert")
        inside = [other for other in parent["inside"] if other is not ref]
        places = [n for n in range(len(inside)) if inside[n] is before]
        inside.insert(places[0] if places else len(inside), ref)
        parent["inside"] = inside

    def remove(self, parent, ref):
        self.done.append("remove")
        parent["inside"] = [other for other in parent["inside"] if other is not ref]


def read(ref):
    return ref["text"] if "text" in ref else [ref["tag"]] + [read(one) for one in ref["inside"]]


def rows(names):
    return [h("li", {"key": name}, name) for name in names]


def start(trees):
    paper, root = Paper(), {"tag": "ul", "props": {}, "inside": []}
    nodes = patch.update(paper, root, [], trees)
    paper.done = []
    return paper, root, nodes


def check_nothing_changed_touches_nothing():
    paper, root, nodes = start(rows("abc"))
    patch.update(paper, root, nodes, rows("abc"))
    assert paper.done == []


def check_every_order_is_reached_and_keys_keep_their_nodes():
    orders = ("", "a", "ab", "ba", "abcd", "dcba", "bd", "acbxd", "xyz", "dabc", "bcda", "cxa")
    for before in orders:
        for after in orders:
            paper, root, nodes = start(rows(before))
            known = {one["inside"][0]["text"]: one for one in root["inside"]}
            patch.update(paper, root, nodes, rows(after))
            assert [one["inside"][0]["text"] for one in root["inside"]] == list(after)
            for one in root["inside"]:
                name = one["inside"][0]["text"]
                assert name not in known or known[name] is one


def check_a_new_row_on_top_moves_no_other():
    paper, root, nodes = start(rows("bcd"))
    patch.update(paper, root, nodes, rows("abcd"))
    assert paper.done.count("insert") == 2  # the text into the row, the row into the list
    assert "remove" not in paper.done


def check_a_row_that_left_is_removed_and_no_other_touched():
    paper, root, nodes = start(rows("abcd"))
    patch.update(paper, root, nodes, rows("acd"))
    assert paper.done == ["remove"]


def check_texts_and_properties_change_in_place():
    paper, root, nodes = start([h("p", {"class": "x", "hidden": True}, "one")])
    before = root["inside"][0]
    patch.update(paper, root, nodes, [h("p", {"class": "y", "hidden": False}, "two")])
    assert root["inside"][0] is before
    assert before["props"] == {"class": "y"}
    assert read(before) == ["p", "two"]
    assert sorted(paper.done) == ["drop", "retext", "set"]


def check_an_optional_child_does_not_rebuild_its_neighbours():
    paper, root, nodes = start([h("div", {}, h("b", {}, "x"), None, h("i", {}, "z"))])
    kept = root["inside"][0]["inside"][1]
    patch.update(
        paper, root, nodes, [h("div", {}, h("b", {}, "x"), h("u", {}, "y"), h("i", {}, "z"))]
    )
    assert read(root["inside"][0]) == ["div", ["b", "x"], ["u", "y"], ["i", "z"]]
    assert root["inside"][0]["inside"][2] is kept


def check_another_tag_makes_another_node():
    paper, root, nodes = start([h("p", {"key": "k"}, "x")])
    patch.update(paper, root, nodes, [h("div", {"key": "k"}, "x")])
    assert read(root["inside"][0]) == ["div", "x"]
    assert len(root["inside"]) == 1
