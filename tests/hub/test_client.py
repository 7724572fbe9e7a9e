"""The Hub's own client in Python downloads from a store that is served."""

from __future__ import annotations

import filecmp
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import TOOL, Family, Served, folder, safetensors, serve, tool, weights

hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

from huggingface_hub import HfApi, hf_hub_download, snapshot_download  # noqa: E402
from huggingface_hub.errors import (  # noqa: E402
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)


def files(path: Path) -> dict[str, bytes]:
    found = (file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in found}


@pytest.mark.parametrize(
    ("repo", "revision", "expected"),
    [
        ("base", None, "base@1"),
        ("team/tuned", None, "team/tuned@2"),
        ("team/tuned", "main", "team/tuned@2"),
        ("team/tuned", "1", "team/tuned@1"),
        ("team/tuned", "production", "team/tuned@1"),
        ("production", None, "team/tuned@1"),
        ("bert/sst2.seed-1", None, "bert/sst2/seed-1@1"),
    ],
)
def test_snapshots_are_equal(
    family: Family, served: Served, tmp_path: Path, repo: str, revision: str | None, expected: str
) -> None:
    got = snapshot_download(
        repo, revision=revision, endpoint=served.endpoint, cache_dir=tmp_path, token=False
    )
    assert files(Path(got)) == files(family.folders[expected])
    # Whatever a revision is called, its sha is the same, and is a revision itself.
    sha = Path(got).name
    again = snapshot_download(
        repo, revision=sha, endpoint=served.endpoint, cache_dir=tmp_path, token=False
    )
    assert again == got


def test_single_files(family: Family, served: Served, tmp_path: Path) -> None:
    for name, content in files(family.folders["team/tuned@1"]).items():
        got = hf_hub_download(
            "team/tuned", name, revision="1", endpoint=served.endpoint, cache_dir=tmp_path,
            token=False,
        )  # fmt: skip
        assert Path(got).read_bytes() == content, name


def test_equal_files_are_downloaded_once(served: Served, tmp_path: Path) -> None:
    for revision in ("1", "2"):
        snapshot_download(
            "team/tuned", revision=revision, endpoint=served.endpoint, cache_dir=tmp_path,
            token=False,
        )  # fmt: skip
    blobs = list((tmp_path / "models--team--tuned" / "blobs").iterdir())
    # Four side files are the same in both versions, the weights are not.
    assert len(blobs) == 6


def test_what_is_there(family: Family, served: Served) -> None:
    api = HfApi(endpoint=served.endpoint, token=False)
    assert {it.id for it in api.list_models()} == {"base", "team/tuned", "bert/sst2.seed-1"}
    assert [it.id for it in api.list_models(search="TUN")] == ["team/tuned"]
    assert [it.id for it in api.list_models(author="bert")] == ["bert/sst2.seed-1"]
    assert len(list(api.list_models(limit=2))) == 2
    info = api.model_info("team/tuned", files_metadata=True)
    expected = files(family.folders["team/tuned@2"])
    assert {it.rfilename: it.size for it in info.siblings} == {
        name: len(content) for name, content in expected.items()
    }
    assert info.card_data["base_model"] == "base"
    assert info.created_at is not None
    assert api.list_repo_files("team/tuned") == sorted(expected)
    tree = list(api.list_repo_tree("team/tuned"))
    assert {it.path for it in tree} == {
        "1_Pooling", "README.md", "config.json", "model.safetensors", "a b+c%.txt",
    }  # fmt: skip
    inner = list(api.list_repo_tree("team/tuned", "1_Pooling"))
    assert [it.path for it in inner] == ["1_Pooling/config.json"]
    paths = api.get_paths_info("team/tuned", ["README.md", "1_Pooling", "missing"])
    assert {it.path for it in paths} == {"README.md", "1_Pooling"}
    refs = api.list_repo_refs("team/tuned")
    assert [it.name for it in refs.branches] == ["main"]
    assert {it.name for it in refs.tags} == {"1", "2", "production"}
    assert [it.title for it in api.list_repo_commits("team/tuned")] == [
        "team/tuned@2", "team/tuned@1",
    ]  # fmt: skip
    assert api.repo_exists("base") and not api.repo_exists("nothing")
    assert api.file_exists("base", "README.md") and not api.file_exists("base", "x")
    assert api.revision_exists("base", "1") and not api.revision_exists("base", "2")


def test_what_is_not_there(served: Served, tmp_path: Path) -> None:
    def get(repo: str, name: str, revision: str | None = None) -> str:
        return hf_hub_download(
            repo, name, revision=revision, endpoint=served.endpoint, cache_dir=tmp_path, token=False
        )

    with pytest.raises(EntryNotFoundError, match="missing.bin"):
        get("base", "missing.bin")
    with pytest.raises(RevisionNotFoundError):
        get("base", "README.md", "7")
    with pytest.raises(RepositoryNotFoundError):
        get("nobody/nothing", "README.md")
    api = HfApi(endpoint=served.endpoint, token=False)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("nobody/nothing")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("base", revision="nightly")
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree("base", "no/folder"))
    # A list that would have been narrowed by what a store does not know.
    with pytest.raises(HfHubHTTPError, match="pipeline_tag"):
        list(api.list_models(pipeline_tag="fill-mask"))


DOOR = Path(__file__).parents[3] / "shared" / "door"


@pytest.mark.skipif(not DOOR.is_dir(), reason="../shared/door is not here")
def test_models_of_every_form(tmp_path: Path) -> None:
    store = tmp_path / "door.mgit"
    tool("init", store)
    forms = {}
    for at, source in enumerate(sorted(DOOR.iterdir())):
        words = [TOOL, "import", store, source, "--name", f"door/m{at}"]
        done = subprocess.run(words, capture_output=True, check=False)
        if done.returncode == 0:
            forms[f"door/m{at}"] = source
    assert len(forms) > 20
    server = serve(store)
    for name, source in forms.items():
        got = snapshot_download(
            name, endpoint=server.endpoint, cache_dir=tmp_path / "cache", token=False
        )
        out = tmp_path / name.replace("/", "-")
        tool("export", store, name, out)
        # A file of its own is called as it was; as a folder it is what an export makes.
        expected = files(out) if out.is_dir() else {source.name: out.read_bytes()}
        assert files(Path(got)) == expected, source
    assert server.stop() == (0, "")


class Cutting(threading.Thread):
    """A connection in between that is cut after so many bytes, a few times."""

    def __init__(self, endpoint: str, after: int, times: int) -> None:
        super().__init__(daemon=True)
        self.target = urlsplit(endpoint)
        self.after, self.times, self.cuts = after, times, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def run(self) -> None:
        while True:
            client, _ = self.socket.accept()
            threading.Thread(target=self.pass_on, args=(client,), daemon=True).start()

    def pass_on(self, client: socket.socket) -> None:
        server = socket.create_connection((self.target.hostname, self.target.port))
        threading.Thread(target=self.up, args=(client, server), daemon=True).start()
        passed = 0
        while data := server.recv(1 << 16):
            passed += len(data)
            if passed > self.after and self.cuts < self.times:
                self.cuts += 1
                client.shutdown(socket.SHUT_RDWR)
                return
            try:
                client.sendall(data)
            except OSError:
                return
        client.close()

    @staticmethod
    def up(client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(1 << 16):
                server.sendall(data)
        except OSError:
            pass


def test_a_download_that_was_cut_goes_on(family: Family, served: Served, tmp_path: Path) -> None:
    between = Cutting(served.endpoint, after=700_000, times=3)
    between.start()
    got = hf_hub_download(
        "team/tuned", "model.safetensors", endpoint=between.endpoint, cache_dir=tmp_path,
        token=False,
    )  # fmt: skip
    assert between.cuts == 3
    source = family.folders["team/tuned@2"] / "model.safetensors"
    assert filecmp.cmp(got, source, shallow=False)


def test_commits_show_at_once(tmp_path: Path) -> None:
    store = tmp_path / "s.mgit"
    tool("init", store)
    server = serve(store)
    api = HfApi(endpoint=server.endpoint, token=False)
    assert list(api.list_models()) == []
    content = weights(1, 4096)
    for version in range(1, 4):
        model = safetensors({"w": ("F32", [4096], weights(version, 4096, of=content))})
        source = folder(tmp_path / f"v{version}", model, {})
        tool("import", store, source, "--name", "m")
        got = snapshot_download(
            "m", endpoint=server.endpoint, cache_dir=tmp_path / "c", token=False
        )
        assert files(Path(got)) == files(source)
        tool("vacuum", store)
    tool("rm", store, "m@3")
    got = snapshot_download("m", endpoint=server.endpoint, cache_dir=tmp_path / "c", token=False)
    assert files(Path(got)) == files(tmp_path / "v2")
    assert server.stop() == (0, "")


def test_tokens(family: Family, tmp_path: Path) -> None:
    server = serve(family.store, "--token-env", "HUB_TOKEN", HUB_TOKEN="sesame")
    api = HfApi(endpoint=server.endpoint)
    assert len(list(api.list_models(token="sesame"))) == 3
    for wrong in (False, "wrong"):
        with pytest.raises(HfHubHTTPError, match="401"):
            list(api.list_models(token=wrong))
        with pytest.raises(HfHubHTTPError, match="asks for a token"):
            api.model_info("base", token=wrong)
    got = snapshot_download("base", endpoint=server.endpoint, cache_dir=tmp_path, token="sesame")
    assert files(Path(got)) == files(family.folders["base@1"])
    assert server.stop() == (0, "")


def test_several_stores(family: Family, tmp_path: Path) -> None:
    other = tmp_path / "other.mgit"
    tool("init", other)
    model = safetensors({"w": ("F32", [4], weights(9, 4))})
    tool("import", other, folder(tmp_path / "x", model, {}), "--name", "base")
    server = serve(f"first={family.store}", other)
    base = server.endpoint.rsplit("/", 1)[0]
    for prefix, expected in (("first", family.folders["base@1"]), ("other", tmp_path / "x")):
        got = snapshot_download(
            "base", endpoint=f"{base}/{prefix}", cache_dir=tmp_path / prefix, token=False
        )
        assert files(Path(got)) == files(expected)
    with pytest.raises(HfHubHTTPError, match="404"):
        list(HfApi(endpoint=base, token=False).list_models())
    assert server.stop() == (0, "")


def test_transformers_load_over_http(served: Served, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.BertConfig(
        vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32,
    )  # fmt: skip
    torch.manual_seed(5)
    made = transformers.BertModel(config).eval()
    made.save_pretrained(tmp_path / "bert")
    store = tmp_path / "t.mgit"
    tool("init", store)
    tool("import", store, tmp_path / "bert", "--name", "team/bert")
    server = serve(store)
    program = (
        "import torch, transformers\n"
        "model = transformers.AutoModel.from_pretrained('team/bert', revision='1').eval()\n"
        "print(float(model(torch.arange(8)[None]).last_hidden_state.double().sum()))\n"
    )
    environment = os.environ | {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = float(made(torch.arange(8)[None]).last_hidden_state.double().sum().detach())
    assert float(done.stdout) == pytest.approx(expected, abs=1e-9)
    assert server.stop() == (0, "")
