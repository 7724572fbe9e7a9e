"""The Python of the project's README, and of the package's own, runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent
PAGES = [PACKAGE.parent.parent / "README.md", PACKAGE / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=["project", "package"])
def test_python_of_the_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page has a program, which runs in an empty folder and leaves what it says."""
    programs = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    assert programs
    for number, program in enumerate(programs):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        exec(compile(program, f"{page}, program {number + 1}", "exec"), {"__name__": "readme"})
        assert (folder / "tuned.safetensors").exists()
