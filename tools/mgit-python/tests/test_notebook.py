"""What a notebook shows: short tables, in which nothing of a store is taken for markup."""

from __future__ import annotations

from html.parser import HTMLParser

import mgit_store as mgit
import numpy as np


class Cells(HTMLParser):
    """The texts of a table's cells, and the tags that are open at its end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []
        self.seen: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        self.seen.add(tag)
        if tag in ("td", "th", "strong"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.tags.pop() == tag

    def handle_data(self, data: str) -> None:
        self.cells[-1] += data


KNOWN = {"div", "strong", "table", "thead", "tbody", "tr", "th", "td"}


def cells(of: object) -> list[str]:
    found = Cells(of._repr_html_())  # type: ignore[attr-defined]
    assert not found.tags and found.seen <= KNOWN
    return found.cells


def test_a_model_shows_its_tensors(store: mgit.Store) -> None:
    """A row a tensor: type, shape, size and how it is stored."""
    name = "<script>alert(1)</script>&amp;"
    store.add("odd", {name: np.ones((2, 3)), "empty": np.ones(0)}, kind="<b>")
    shown = cells(store["odd"])
    assert name in shown and "2 x 3" in shown and "F64" in shown
    assert "odd@1 (<b>): " in shown[0]


def test_a_store_shows_its_graph(store: mgit.Store) -> None:
    """Each model once, below its parent; of many the first, and how many more there are."""
    shown = cells(store)
    assert "base@1" in shown and "\u00a0\u00a0\u2514 tuned@1" in shown
    assert cells(store.snapshot())[1:] == shown[1:]
    with store.write() as tx:
        for at in range(300):
            tx.add(f"m{at:03}", {"w": np.full(2, at)}, parent="base", repack=False)
    assert "... and 242 more" in cells(store)
    store.close()
    assert "closed" in cells(store)[0]


def test_a_diff_shows_what_changed(store: mgit.Store) -> None:
    """A row a layer: how much of it changed, and how far."""
    shown = cells(store.diff("base", "tuned"))
    assert "changed" in shown and any(cell.endswith("%") for cell in shown)
    assert cells(store.diff("base", "base"))[0].startswith("base@1 -> base@1")
