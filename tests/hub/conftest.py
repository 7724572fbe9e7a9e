"""A store that is served, for tests by the Hub's own clients and by a browser.

MGIT_DB names the tool; each test that needs a package which is not here is skipped, and says so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TOOL = os.environ.get("MGIT_DB") or shutil.which("mgit-db") or "mgit-db"


def tool(*arguments: object) -> dict:
    """Runs the tool; what it answers."""
    words = [TOOL, *map(str, arguments), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}"
    return json.loads(done.stdout)


@dataclass
class Served:
    """A server that runs."""

    endpoint: str
    store: Path
    process: subprocess.Popen = field(repr=False)

    def stop(self) -> tuple[int, str]:
        """Ends it as a user does; its exit code, and what it said."""
        self.process.terminate()
        _, told = self.process.communicate(timeout=30)
        return self.process.returncode, told


def serve(*stores: object, **environment: str) -> Served:
    """Starts the server on a free port."""
    words = [TOOL, "serve", *map(str, stores), "--listen", "127.0.0.1:0", "--json"]
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    said = ""
    for line in process.stdout:
        said += line
        if line == "}\n":
            break
    assert said, process.communicate()
    first = json.loads(said)["stores"][0]
    return Served(first["endpoint"], Path(str(stores[0]).split("=")[-1]), process)


def safetensors(tensors: dict[str, tuple[str, list[int], bytes]]) -> bytes:
    """A safetensors file, written by hand: no package is needed."""
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        end = len(data) + len(content)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), end]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def weights(seed: int, count: int, *, of: bytes | None = None) -> bytes:
    """Floats like weights; with `of`, those of a model that was trained on from there."""
    import random
    import struct

    drawn = random.Random(seed)
    if of is None:
        return struct.pack(f"<{count}f", *(drawn.gauss(0, 0.05) for _ in range(count)))
    old = struct.unpack(f"<{count}f", of)
    return struct.pack(f"<{count}f", *(it + drawn.gauss(0, 1e-4) for it in old))


def folder(path: Path, model: bytes, more: dict[str, bytes]) -> Path:
    """A model's folder."""
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(model)
    for name, content in more.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


@dataclass
class Family:
    """A store with models, and the folders that they came from: by name and version."""

    store: Path
    folders: dict[str, Path]


COUNT = 1 << 19


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    """A base and two versions of a model tuned from it; a name of three parts."""
    at = tmp_path_factory.mktemp("family")
    store = at / "family.mgit"
    tool("init", store)
    card = b"---\nbase_model: base\nlicense: mit\n---\n# Tuned\n"
    old = weights(1, COUNT)
    folders: dict[str, Path] = {}
    for name, seed, parent in [
        ("base", 0, None),
        ("team/tuned", 2, "base"),
        ("team/tuned", 3, "team/tuned"),
        ("bert/sst2/seed-1", 4, "base"),
    ]:
        content = old if parent is None else weights(seed, COUNT, of=old)
        version = 1 + sum(key.startswith(f"{name}@") for key in folders)
        model = safetensors(
            {"w": ("F32", [COUNT // 64, 64], content), "b": ("F32", [4], bytes(16))}
        )
        more = {
            "README.md": card,
            "config.json": b'{"model_type": "bert"}',
            "1_Pooling/config.json": b"{}",
            "a b+c%.txt": b"odd name",
        }
        source = folder(at / f"source-{len(folders)}", model, more)
        parents = [] if parent is None else ["--parent", parent]
        tool("import", store, source, "--name", name, *parents)
        folders[f"{name}@{version}"] = source
    tool("tag", store, "production", "team/tuned@1")
    return Family(store, folders)


@pytest.fixture(scope="session")
def served(family: Family) -> Iterator[Served]:
    """The family, served."""
    server = serve(family.store)
    yield server
    code, told = server.stop()
    assert code == 0, told
    assert not told, f"it said: {told}"
