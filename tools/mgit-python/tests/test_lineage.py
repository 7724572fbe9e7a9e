"""The lineage of a store is what a plain model of it in Python says, after any history; a snapshot
stays as it was."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import mgit_store as mgit
import numpy as np
import pytest

HOWS = ["finetune", "prune", "quantise", "cast", "distil", "merge", "adapter", "average", "other"]


@dataclasses.dataclass
class Node:
    """A model, as the plain model of the store has it."""

    name: str
    version: int
    #: Ids of the parents, with how.
    parents: dict[str, str] = dataclasses.field(default_factory=dict)
    previous: str | None = None

    @property
    def full(self) -> str:
        return f"{self.name}@{self.version}"


@dataclasses.dataclass
class Plain:
    """What a store holds, in plain Python."""

    nodes: dict[str, Node] = dataclasses.field(default_factory=dict)
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    #: The highest version that a name ever had.
    highest: dict[str, int] = dataclasses.field(default_factory=dict)

    def newest(self, name: str) -> str | None:
        found = [(node.version, key) for key, node in self.nodes.items() if node.name == name]
        return max(found)[1] if found else None

    def up(self, key: str, edges: str) -> list[str]:
        node = self.nodes[key]
        found = list(node.parents) if edges != "version" else []
        if edges != "provenance" and node.previous and node.previous not in found:
            found.append(node.previous)
        return found

    def down(self, key: str, edges: str) -> list[str]:
        return sorted(other for other in self.nodes if key in self.up(other, edges))

    def steps(self, key: str, edges: str, way: str) -> dict[str, int]:
        """How many steps each node that can be reached is away."""
        found, at = {key: 0}, [key]
        while at:
            here = at.pop(0)
            for next_ in self.up(here, edges) if way == "up" else self.down(here, edges):
                if next_ not in found:
                    found[next_] = found[here] + 1
                    at.append(next_)
        return found

    def nearest_common(self, keys: list[str], edges: str) -> set[str]:
        common = set.intersection(*[set(self.steps(key, edges, "up")) for key in keys])
        return {
            key
            for key in common
            if not any(key in self.steps(other, edges, "up") for other in common - {key})
        }


def check_walk(plain: Plain, key: str, way: str, edges: str, order: str, got: list[str]) -> None:
    """That a walk comes to each node once, in its order."""
    steps = plain.steps(key, edges, way)
    assert sorted(got) == sorted(set(steps) - {key}), (way, edges, order)
    place = {each: at for at, each in enumerate(got)}
    if order == "breadth":
        far = [steps[each] for each in got]
        assert far == sorted(far)
    if order == "topological":
        for each in got:
            before = plain.down(each, edges) if way == "up" else plain.up(each, edges)
            assert all(place[other] < place[each] for other in before if other in place)
    if order == "depth":
        assert got == depth_first(plain, key, way, edges)


def depth_first(plain: Plain, key: str, way: str, edges: str) -> list[str]:
    """Each node before everything behind it, and that before its next neighbour."""
    seen, found = {key}, []

    def visit(at: str) -> None:
        for other in plain.up(at, edges) if way == "up" else plain.down(at, edges):
            if other not in seen:
                seen.add(other)
                found.append(other)
                visit(other)

    visit(key)
    return found


def ids(models: list[mgit.Model]) -> list[str]:
    return [model.id for model in models]


def check(store: mgit.Store | mgit.Snapshot, plain: Plain, rng: np.random.Generator) -> None:
    """Everything that can be asked of the lineage."""
    assert set(ids(store.models())) == set(plain.nodes) and len(store) == len(plain.nodes)
    assert {tag: model.id for tag, model in store.tags().items()} == plain.tags
    for edges in ("provenance", "version", "both"):
        roots = {key for key in plain.nodes if not plain.up(key, edges)}
        leaves = {key for key in plain.nodes if not plain.down(key, edges)}
        assert set(ids(store.roots(edges))) == roots and set(ids(store.leaves(edges))) == leaves
        order = ids(store.topological(edges))
        assert sorted(order) == sorted(plain.nodes)
        place = {key: at for at, key in enumerate(order)}
        assert all(place[up] < place[key] for key in order for up in plain.up(key, edges))
    for key, node in plain.nodes.items():
        # Which of a model's parents is first, after one of them was removed, is not said.
        order = ids(store.parents(key))
        node.parents = {parent: node.parents[parent] for parent in order}
    keys = list(plain.nodes)
    for key in rng.permutation(keys)[:6]:
        node, model = plain.nodes[str(key)], store[str(key)]
        assert (model.id, model.full_name, model.name) == (key, node.full, node.name)
        assert store[node.full] == model and store[model] == model
        assert {parent.id: how for parent, how in store.edges(model)} == node.parents
        assert ids(store.parents(model)) == ids(model.parents())
        assert sorted(ids(store.children(model))) == plain.down(str(key), "provenance")
        before = store.previous(model)
        assert (before.id if before is not None else None) == node.previous
        assert sorted(model.tags) == sorted(tag for tag, at in plain.tags.items() if at == key)
        found = [
            (other.version, at) for at, other in plain.nodes.items() if other.name == node.name
        ]
        assert ids(store.versions(model)) == [at for _, at in sorted(found)]
        assert store[node.name].id == plain.newest(node.name)
        log, at = [], str(key)
        while at:
            log.append(at)
            at = plain.nodes[at].previous or ""
        assert ids(store.log(model)) == log
        for edges in ("provenance", "version", "both"):
            for order in ("breadth", "depth", "topological"):
                if order == "depth" and edges == "both":
                    continue  # which kind of edge comes first is not said
                up = ids(store.ancestors(model, edges, order))  # type: ignore[arg-type]
                down = ids(store.descendants(model, edges, order))  # type: ignore[arg-type]
                check_walk(plain, str(key), "up", edges, order, up)
                check_walk(plain, str(key), "down", edges, order, down)
    if keys:
        some = [str(key) for key in rng.choice(keys, min(len(keys), int(rng.integers(1, 4))))]
        for edges in ("provenance", "both"):
            common = store.common_ancestors(*some, edges=edges)  # type: ignore[arg-type]
            assert set(ids(common)) == plain.nearest_common(some, edges)


class History:
    """Changes at random, of a store and of its plain model."""

    def __init__(self, store: mgit.Store, seed: int) -> None:
        self.store, self.plain, self.rng = store, Plain(), np.random.default_rng(seed)
        self.count = 0

    def pick(self) -> str:
        return str(self.rng.choice(list(self.plain.nodes)))

    def name(self) -> str:
        return f"n{self.rng.integers(5)}"

    def step(self, tx: mgit.Transaction) -> None:
        verbs = ["add"] * 6 + ["remove", "tag", "tag", "untag", "rename", "move", "edge", "edge"]
        verbs += ["unedge", "previous"]
        verb = str(self.rng.choice(verbs)) if self.plain.nodes else "add"
        getattr(self, verb)(tx)

    def add(self, tx: mgit.Transaction) -> None:
        name = self.name()
        some = self.rng.permutation(list(self.plain.nodes))[: int(self.rng.integers(0, 3))]
        parents = {str(key): str(self.rng.choice(HOWS)) for key in some}
        self.count += 1
        added = tx.add(name, {"w": np.arange(self.count)}, parent=list(parents.items()))  # type: ignore[arg-type]
        version = self.plain.highest.get(name, 0) + 1
        self.plain.highest[name] = version
        node = Node(name, version, parents, self.plain.newest(name))
        self.plain.nodes[added.id] = node
        assert added.model == node.full and not added.already_there

    def remove(self, tx: mgit.Transaction) -> None:
        key, way = self.pick(), str(self.rng.choice(["refuse", "reparent", "detach"]))
        node, children = self.plain.nodes[key], self.plain.down(key, "provenance")
        if way == "refuse" and children:
            with pytest.raises(mgit.InvalidError) as caught:
                tx.remove(key)
            assert caught.value.code == "has-children"
            return
        tx.remove(key, way)  # type: ignore[arg-type]
        for child in children:
            parents = self.plain.nodes[child].parents
            how = parents.pop(key)
            if way == "reparent":
                for parent in node.parents:
                    parents.setdefault(parent, how)
        for other in self.plain.nodes.values():
            if other.previous == key:
                other.previous = node.previous
        self.plain.tags = {tag: at for tag, at in self.plain.tags.items() if at != key}
        del self.plain.nodes[key]

    def tag(self, tx: mgit.Transaction) -> None:
        tag, key = f"t{self.rng.integers(4)}", self.pick()
        tx.set_tag(tag, key)
        self.plain.tags[tag] = key

    def untag(self, tx: mgit.Transaction) -> None:
        tag = f"t{self.rng.integers(4)}"
        if tag in self.plain.tags:
            tx.remove_tag(tag)
            del self.plain.tags[tag]

    def rename(self, tx: mgit.Transaction) -> None:
        old, new = self.plain.nodes[self.pick()].name, self.name()
        if any(node.name == new for node in self.plain.nodes.values()):
            return
        tx.rename(old, new)
        above = self.plain.highest.get(new, 0)
        mine = sorted(
            (node.version, node) for node in self.plain.nodes.values() if node.name == old
        )
        for number, (version, node) in enumerate(mine):
            node.name, node.version = new, above + number + 1 if above else version
            self.plain.highest[new] = max(self.plain.highest.get(new, 0), node.version)

    def move(self, tx: mgit.Transaction) -> None:
        key, name = self.pick(), self.name()
        node = self.plain.nodes[key]
        if node.name == name:
            return
        newest = self.plain.newest(name)
        if newest and key in self.plain.steps(newest, "both", "up"):
            return
        full = tx.move(key, name)
        for other in self.plain.nodes.values():
            if other.previous == key:
                other.previous = node.previous
        node.name, node.version = name, self.plain.highest.get(name, 0) + 1
        node.previous = newest
        self.plain.highest[name] = node.version
        assert full == node.full

    def edge(self, tx: mgit.Transaction) -> None:
        child, parent = self.pick(), self.pick()
        above = self.plain.steps(parent, "both", "up")
        node = self.plain.nodes[child]
        if child in above or parent in node.parents or node.previous == parent:
            return
        how = str(self.rng.choice(HOWS))
        tx.add_parent(child, parent, how)  # type: ignore[arg-type]
        node.parents[parent] = how

    def unedge(self, tx: mgit.Transaction) -> None:
        key = self.pick()
        for parent in list(self.plain.nodes[key].parents)[:1]:
            tx.remove_parent(key, parent)
            del self.plain.nodes[key].parents[parent]

    def previous(self, tx: mgit.Transaction) -> None:
        key = self.pick()
        node = self.plain.nodes[key]
        earlier = [
            at
            for at, other in self.plain.nodes.items()
            if other.name == node.name and other.version < node.version
        ]
        if not earlier or self.rng.random() < 0.3:
            tx.set_previous(key, None)
            node.previous = None
            return
        other = str(self.rng.choice(earlier))
        if key in self.plain.steps(other, "both", "up"):
            return
        tx.set_previous(key, other)
        node.previous = other


@pytest.mark.parametrize("seed", range(6))
def test_random_histories(empty: mgit.Store, seed: int) -> None:
    """Fifteen transactions of some changes each; all walks and questions after each; the snapshots
    of all commits at the end."""
    history = History(empty, seed)
    kept: list[tuple[mgit.Snapshot, Plain]] = []
    for _ in range(15):
        with empty.write() as tx:
            for _ in range(int(history.rng.integers(1, 5))):
                history.step(tx)
        check(empty, history.plain, history.rng)
        kept.append((empty.snapshot(), copy.deepcopy(history.plain)))
    for snapshot, plain in kept:
        check(snapshot, plain, history.rng)
    with mgit.open(empty.path) as again:
        check(again, history.plain, history.rng)
    assert empty.verify().is_clean


def test_models_are_by_name_and_version(empty: mgit.Store) -> None:
    """``models()``, iteration and ``usage`` have the names in order, and the versions by number."""
    with empty.write() as tx:
        for name in ["b", "a", "c", "b", "a", "a"] * 2:
            tx.add(name, {"w": np.random.default_rng().random(3)})
    want = [
        f"{name}@{at + 1}" for name, count in (("a", 6), ("b", 4), ("c", 2)) for at in range(count)
    ]
    assert [model.full_name for model in empty.models()] == want
    assert [model.full_name for model in empty] == want


def test_a_snapshot_answers_for_itself(store: mgit.Store) -> None:
    """A snapshot, and models read from it, keep their names, tags and neighbours."""
    before, model = store.snapshot(), store["tuned"]
    with store.write() as tx:
        tx.rename("tuned", "other")
        tx.set_tag("best", "other")
        tx.remove("base", "detach")
    assert "tuned" in before and "other" not in before and before.tags() == {}
    assert before["tuned"].parents() == [before["base"]] == model.parents()
    assert model.full_name == "tuned@1" and model.tags == []
    assert before["base"].children() == [model]
    assert [each.full_name for each in store] == ["other@1"]
    assert store["best"].parents() == []
    assert before.commit < store.snapshot().commit


def test_references(store: mgit.Store) -> None:
    """A model is called by name, name and version, tag, id, or itself."""
    with store.write() as tx:
        tx.add("tuned", {"w": np.ones(3)}, parent="base")
        tx.set_tag("prod", "tuned@1")
    one, two = store["tuned@1"], store["tuned@2"]
    assert store["tuned"] == two and store["prod"] == one and store[one.id] == one
    for key in ("tuned@1", "prod", one.id, one):
        assert key in store and store.get(key) == one
    for key in ("tuned@3", "no", "0" * 32, "prod@1", "tuned@0"):
        assert key not in store and store.get(key, 5) == 5
        with pytest.raises((mgit.NotFoundError, mgit.InvalidError)):
            store[key]
    assert one != two and len({one, two, store["prod"]}) == 2


def test_a_missing_model_is_a_key_error(store: mgit.Store) -> None:
    """``KeyError`` catches it, and the message has what it could have been."""
    with pytest.raises(KeyError, match="tuned") as caught:
        store["tuned2"]
    assert isinstance(caught.value, mgit.NotFoundError) and caught.value.code == "no-such-model"
    with pytest.raises(mgit.NotFoundError, match='"v"'):
        store["base"]["v"]
    assert store["base"].get("v") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda tx: tx.add_parent("base", "tuned"),
        lambda tx: tx.add_parent("base", "base"),
        lambda tx: tx.add_parent("tuned", "base"),
        lambda tx: tx.add_parent("no", "base"),
        lambda tx: tx.remove_parent("base", "tuned"),
        lambda tx: tx.remove("base"),
        lambda tx: tx.remove("no"),
        lambda tx: tx.rename("tuned", "base"),
        lambda tx: tx.rename("no", "x"),
        lambda tx: tx.set_tag("base", "tuned"),
        lambda tx: tx.remove_tag("no"),
        lambda tx: tx.move("base", "base"),
        lambda tx: tx.set_previous("base", "tuned"),
        lambda tx: tx.add("x", {"w": np.ones(1)}, parent=["base", "base"]),
        lambda tx: tx.add("x", {"w": np.ones(1)}, parent="no"),
        lambda tx: tx.add("x", {"w": np.ones(1)}, parent="base", how="guess"),
        lambda tx: tx.add("x", {"w": np.ones(1)}, how="finetune"),
        lambda tx: tx.add("x", {"w": np.ones(1)}, made_of=["no"]),
    ],
)
def test_what_the_graph_cannot_be(store: mgit.Store, change: Any) -> None:
    """Cycles, edges twice, names that are taken: refused, and the store is as it was."""
    with pytest.raises(mgit.Error), store.write() as tx:
        change(tx)
    assert {model.full_name for model in store} == {"base@1", "tuned@1"}
    assert ids(store["tuned"].parents()) == [store["base"].id]
    assert store.verify().is_clean


def test_a_refused_change_leaves_the_transaction_usable(store: mgit.Store) -> None:
    """What is refused before anything is done can be caught, and the transaction goes on."""
    refused = [
        lambda: tx.remove("base"),
        lambda: tx.remove("no"),
        lambda: tx.remove_tag("no"),
        lambda: tx.add("q", {"w": None}),
        lambda: tx.add("@", {}),
        lambda: tx.add("q", {}, parent="no"),
        lambda: tx.add("q", {}, metadata={"k": object()}),
        lambda: tx.add_path("/no/such", "q"),
    ]
    with store.write() as tx:
        for change in refused:
            with pytest.raises(mgit.Error):
                change()
        tx.set_tag("best", "base")
    assert store["best"] == store["base"]


def test_a_refused_rename_leaves_the_transaction_usable(store: mgit.Store) -> None:
    """As above, of a name that models have: its error asks for nothing else."""
    with store.write() as tx:
        with pytest.raises(mgit.ExistsError):
            tx.rename("tuned", "base")
        tx.set_tag("best", "base")


def test_metadata_is_what_json_holds(store: mgit.Store) -> None:
    """Texts, numbers, lists and dicts come back; a copy is a copy."""
    metadata = {
        "a": [1, 2.5, None, True, "é\0"],
        "b": {"c": {}},
        "n": -(2**63),
        "u": 2**64 - 1,
        "": 0,
    }
    store.add("m", {"w": np.ones(1)}, metadata=metadata)
    assert store["m"].metadata == metadata
    store["m"].metadata["a"].append(1)
    assert store["m"].metadata == metadata
    with store.write() as tx:
        tx.set_metadata("m", {"new": 0.1 + 0.2})
    assert store["m"].metadata == {"new": 0.1 + 0.2}


@pytest.mark.parametrize(
    "value", [object(), b"x", 2**64, np.float32(1), np.arange(2), {1: 2}, {None: 1}, "\ud800"]
)
def test_metadata_that_json_cannot_hold(store: mgit.Store, value: Any) -> None:
    """Refused, and nothing is added."""
    with pytest.raises(mgit.InvalidError):
        store.add("m", {"w": np.ones(1)}, metadata={"k": value})
    with pytest.raises(mgit.InvalidError), store.write() as tx:
        tx.set_metadata("base", {"k": value})
    assert "m" not in store and store["base"].metadata == {}


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), float("-inf"), {1, 2}, frozenset("a")]
)
def test_metadata_that_json_would_change(store: mgit.Store, value: Any) -> None:
    """What JSON has no value for is refused, rather than kept as something else."""
    with pytest.raises(mgit.InvalidError):
        store.add("m", {"w": np.ones(1)}, metadata={"k": value})


def test_deep_metadata(store: mgit.Store) -> None:
    """Metadata that is nested deeper than can be read is refused, or read."""
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    try:
        store.add("m", {"w": np.ones(1)}, metadata={"k": deep})
    except mgit.InvalidError:
        return
    assert store.verify().is_clean
    assert store["m"].metadata == {"k": deep}


@pytest.mark.parametrize(
    "program",
    ["d = {}; d['a'] = d", "d = []\nfor _ in range(100_000): d = [d]", "d = []; d += [d]"],
)
def test_metadata_without_end(run: Any, program: str) -> None:
    """Metadata that holds itself, or is nested without bound, is refused."""
    run(
        f"{program}\n"
        "store = mgit.create('x.mgit')\n"
        "try: store.add('m', {'w': np.ones(1)}, metadata={'k': d})\n"
        "except (mgit.InvalidError, RecursionError): pass\n"
        "else: sys.exit('added')\n"
    )


def test_diff_and_usage(store: mgit.Store) -> None:
    """A diff says what changed, also of a model and itself, and of models of other tensors."""
    found = store.diff("base", "tuned")
    assert len(found) == 1 and found.layers[0].change == "changed" and found
    [tensor] = found.layers[0].tensors
    assert tensor.distance is not None and tensor.distance.changed == 5
    assert tensor.distance.elements == 6
    assert not store.diff("base", "base") and len(store.diff("tuned", "tuned")) == 0
    store.add("other", {"x": np.ones(3), "y": np.ones(2)})
    other = store.diff("base", "other")
    assert other.count("added") + other.count("removed") + other.count("changed") == len(other) > 0
    assert {row["model"] for row in store.usage()} == {"base@1", "tuned@1", "other@1"}
