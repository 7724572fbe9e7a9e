"""A state dict that is added comes back with the same names, types, shapes and bits; what cannot be
kept is refused by its name; exported, it is the file that safetensors itself writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mgit_store as mgit
import numpy as np
import pytest
from conftest import needs

Array = np.ndarray[Any, Any]
NUMPY = ["?", "i1", "u1", "<i2", "<u2", "<f2", "<i4", "<u4", "<f4", "<i8", "<u8", "<f8", "<c8"]
EXTRA = {
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e8m0fnu": "F8_E8M0",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
}
TORCH = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "uint16",
    "float16",
    "bfloat16",
    "int32",
    "uint32",
    "float32",
    "complex64",
    "float64",
    "int64",
    "uint64",
    *list(EXTRA)[1:],
]
SHAPES: list[tuple[int, ...]] = [(), (1,), (0,), (7,), (3, 5), (0, 4), (2, 0, 3), (2, 1, 3, 2)]


def of_bits(rng: np.random.Generator, dtype: Any, shape: tuple[int, ...]) -> Array:
    """An array of any bits (of whatever the type has: NaN with payloads among them)."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.asarray(rng.integers(0, 2, shape)).astype(bool)
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(rng.bytes(count * dtype.itemsize), dtype).reshape(shape)


def same(one: Array, other: Array) -> bool:
    """Whether two arrays are equal in type, shape and every bit."""
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


def same_torch(one: Any, other: Any) -> bool:
    """The same of tensors of torch."""
    import torch

    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    bits = [each.detach().contiguous().reshape(-1).view(torch.uint8) for each in (one, other)]
    return bool(torch.equal(*bits))


def back(store: mgit.Store, values: Mapping[str, Any], name: str = "m") -> mgit.Model:
    """The model that such a state dict becomes."""
    return store[store.add(name, values).model]


@pytest.mark.parametrize("dtype", NUMPY + list(EXTRA))
def test_numpy_types_come_back(empty: mgit.Store, dtype: str) -> None:
    """Every type, of ``ml_dtypes`` too, in every kind of shape, bit by bit."""
    kind = getattr(needs("ml_dtypes"), dtype) if dtype in EXTRA else dtype
    rng = np.random.default_rng(5)
    values = {f"t{shape}": of_bits(rng, kind, shape) for shape in SHAPES}
    model = back(empty, values)
    for name, value in values.items():
        assert same(model[name], value), name
        assert same(model.state_dict(writable=True)[name], value), name
        assert model.tensor(name).shape == value.shape
        if dtype in EXTRA:
            assert model.tensor(name).dtype == EXTRA[dtype]


@pytest.mark.parametrize("dtype", TORCH)
def test_torch_types_come_back(empty: mgit.Store, dtype: str) -> None:
    """Every type of torch that safetensors knows, as torch and, with the same bits, as numpy."""
    torch = needs("torch")
    kind = getattr(torch, dtype)
    rng = np.random.default_rng(6)
    values = {}
    for shape in SHAPES:
        raw = of_bits(rng, "u1", (int(np.prod(shape, dtype=np.int64)) * kind.itemsize,)).copy()
        raw = raw & 1 if kind is torch.bool else raw
        flat = torch.from_numpy(raw).view(kind) if raw.size else torch.empty(0, dtype=kind)
        values[f"t{shape}"] = flat.reshape(shape)
    model = back(empty, values)
    read = model.state_dict("pt")
    for name, value in values.items():
        assert same_torch(read[name], value), name
        assert same_torch(model.tensor(name).torch(), value), name
        bits = value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        assert model[name].tobytes() == bits, name


AWKWARD: dict[str, Callable[[], Any]] = {
    "a slice with steps": lambda: np.arange(40.0).reshape(5, 8)[::2, 1::3],
    "negative strides": lambda: np.arange(12, dtype=np.int16).reshape(3, 4)[::-1, ::-2],
    "transposed": lambda: np.arange(24.0, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1),
    "Fortran order": lambda: np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "broadcast": lambda: np.broadcast_to(np.arange(3.0), (4, 3)),
    "read-only": lambda: np.frombuffer(b"12345678", np.int16),
    "not aligned": lambda: np.frombuffer(b"x" + bytes(range(16)), np.uint8)[1:].view("<f4"),
    "numpy scalar": lambda: np.float32(1.5),
    "0-dim": lambda: np.array(7),
    "a list": lambda: [[1, 2], [3, 4]],
    "a number": lambda: 3.5,
    "a field of a record": lambda: np.array([(1, 2.0), (3, 4.0)], [("a", "<i4"), ("b", "<f8")])[
        "b"
    ],
    "empty with strides": lambda: np.zeros((4, 0, 3))[::2],
}


@pytest.mark.parametrize("what", AWKWARD)
def test_arrays_are_taken_as_their_values(empty: mgit.Store, what: str) -> None:
    """Whatever its strides, an array is stored as its values in rows."""
    value = AWKWARD[what]()
    assert same(
        back(empty, {"t": value})["t"], np.ascontiguousarray(value).reshape(np.shape(value))
    )


@pytest.mark.parametrize("dtype", [">i2", ">u4", ">f2", ">f4", ">f8", ">i8", ">c8"])
def test_big_endian(empty: mgit.Store, dtype: str) -> None:
    """Big-endian arrays have their values kept, in little-endian."""
    value = np.arange(12).reshape(3, 4).astype(dtype)[::-1, 1:]
    read = back(empty, {"t": value})["t"]
    assert read.dtype.byteorder in "=<" and np.array_equal(read, value)


def test_torch_tensors_are_taken_as_their_values(empty: mgit.Store) -> None:
    """Views, parameters, expanded, conjugated and negated tensors of torch."""
    torch = needs("torch")
    values = {
        "t": torch.arange(24.0).view(2, 3, 4).permute(2, 0, 1),
        "step": torch.arange(24.0).view(4, 6)[::2, 1::2],
        "expanded": torch.arange(3.0).expand(4, 3),
        "parameter": torch.nn.Parameter(torch.arange(4.0)),
        "graph": torch.nn.Parameter(torch.arange(4.0)) * 2,
        "conj": torch.tensor([1 + 2j, 3 - 4j]).conj(),
        "negated": torch.tensor([1 + 2j, 3 - 4j]).conj().imag,
        "scalar": torch.tensor(2.5),
        "shape of ones": torch.ones(5, 1)[::2],
    }
    read = back(empty, values).state_dict("pt")
    for name, value in values.items():
        assert torch.equal(read[name], value.detach().resolve_conj().resolve_neg()), name
        assert not read[name].requires_grad


@pytest.mark.parametrize("make", ["conj", "imag"])
def test_lazily_conjugated_tensors_are_not_tied(empty: mgit.Store, make: str) -> None:
    """A tensor and its lazy conjugate have one place in memory, and other values."""
    torch = needs("torch")
    value = torch.tensor([1 + 2j, 3 - 4j])
    other = value.conj()
    values = {"a": value, "b": other} if make == "conj" else {"a": value.imag, "b": other.imag}
    model = back(empty, values)
    for name in values:
        assert np.array_equal(model[name], values[name].resolve_conj().resolve_neg().numpy()), name


def test_a_single_element_with_a_stride(empty: mgit.Store) -> None:
    """A dimension of one may have any stride: torch calls that contiguous."""
    torch = needs("torch")
    value = torch.view_as_real(torch.tensor([1 + 2j]))[:, 1]
    assert back(empty, {"a": value})["a"].tolist() == [2.0]


def test_four_bit_floats_of_torch(empty: mgit.Store) -> None:
    """Packed four-bit floats come back, as the type of two values a byte."""
    torch = needs("torch")
    if not hasattr(torch, "float4_e2m1fn_x2"):
        pytest.skip("this torch has no four-bit floats")
    value = torch.arange(8, dtype=torch.uint8).view(4, 2).view(torch.float4_e2m1fn_x2)
    assert same_torch(back(empty, {"t": value}).state_dict("pt")["t"], value)


REFUSED: dict[str, Callable[[], Any]] = {
    "objects": lambda: np.array([object()]),
    "none": lambda: None,
    "text": lambda: "text",
    "texts": lambda: np.array(["a", "b"]),
    "bytes": lambda: np.array([b"a"]),
    "records": lambda: np.zeros(2, [("a", "<i4")]),
    "dates": lambda: np.zeros(2, "M8[s]"),
    "void": lambda: np.zeros(2, "V4"),
    "complex128": lambda: np.zeros(2, np.complex128),
    "longdouble": lambda: np.zeros(2, np.longdouble),
    "int4": lambda: np.zeros(2, needs("ml_dtypes").int4),
    "meta": lambda: needs("torch").empty(2, device="meta"),
    "torch complex128": lambda: needs("torch").zeros(2, dtype=needs("torch").complex128),
    "sparse": lambda: needs("torch").eye(3).to_sparse(),
    "sparse rows": lambda: needs("torch").eye(3).to_sparse_csr(),
    "ragged": lambda: [[1], [1, 2]],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_kept_is_refused_by_name(store: mgit.Store, what: str) -> None:
    """The tensor is named, and nothing of the model is added."""
    values = {"good": np.ones(2), "layer.bad": REFUSED[what]()}
    with pytest.raises(mgit.InvalidError, match=r"layer\.bad"):
        store.add("m", values)
    assert "m" not in store and store.verify().is_clean


@pytest.mark.parametrize("left", [0, 4])
def test_a_tensor_whose_storage_was_freed_is_refused(empty: mgit.Store, left: int) -> None:
    """Sharded training frees a parameter's storage and keeps its shape: it has no values then."""
    torch = needs("torch")
    value = torch.full((100,), 7.0)
    value.untyped_storage().resize_(left)
    with pytest.raises(mgit.InvalidError, match="layer"):
        empty.add("m", {"layer": value})


def test_a_packed_tensor_without_dimensions_is_refused(empty: mgit.Store) -> None:
    """Four-bit floats are two a byte along the last dimension; one without any is refused."""
    torch = needs("torch")
    if not hasattr(torch, "float4_e2m1fn_x2"):
        pytest.skip("this torch has no four-bit floats")
    value = torch.zeros((), dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    with pytest.raises(mgit.InvalidError, match="layer"):
        empty.add("m", {"layer": value})


def test_a_fake_tensor_is_refused(empty: mgit.Store) -> None:
    """A tensor of a tracing mode has no values."""
    torch = needs("torch")
    fake = needs("torch._subclasses.fake_tensor")
    with fake.FakeTensorMode():
        value = torch.ones(3)
    with pytest.raises(mgit.InvalidError, match="layer"):
        empty.add("m", {"layer": value})


def test_masked_arrays_are_refused(empty: mgit.Store) -> None:
    """A mask cannot be kept: an array that has one is refused."""
    with pytest.raises(mgit.InvalidError, match="'t'"):
        empty.add("m", {"t": np.ma.array([1.0, 2.0], mask=[False, True])})


@pytest.mark.parametrize("name", ["", "__metadata__", 5, None, b"w", ("a", 1)])
def test_names_that_cannot_be(store: mgit.Store, name: Any) -> None:
    """The name of a tensor is a text that safetensors can hold."""
    with pytest.raises(mgit.InvalidError):
        store.add("m", {name: np.ones(2)})
    assert "m" not in store


@pytest.mark.parametrize(
    "name", ["a b", "é", "模型", 'a\n"\\\t', "a\0b", "😀", "x" * 5000, "a/../b", "@"]
)
def test_names_of_any_text(empty: mgit.Store, folder: Path, name: str) -> None:
    """Any other text is a name, also in the exported file."""
    numpy_files = pytest.importorskip("safetensors.numpy")
    model = back(empty, {name: np.arange(3.0)})
    assert list(model) == [name] and name in model
    model.export(folder / "out.safetensors")
    assert list(numpy_files.load_file(folder / "out.safetensors")) == [name]


def test_a_surrogate_in_a_name(store: mgit.Store) -> None:
    """A text that UTF-8 cannot write is refused."""
    with pytest.raises((ValueError, TypeError)):
        store.add("m", {"\ud800": np.ones(2)})
    assert "m" not in store


# Tied tensors.


@pytest.mark.parametrize("framework", ["np", "pt"])
def test_tied_tensors_come_back_tied(empty: mgit.Store, framework: str) -> None:
    """Two names of one tensor are one object again, and one tensor in the store."""
    if framework == "pt":
        torch = needs("torch")
        embed, other = torch.arange(12.0).view(3, 4), torch.ones(2)
    else:
        embed, other = np.arange(12.0).reshape(3, 4), np.ones(2)
    again = embed.view(3, 4) if framework == "pt" else embed.view()
    model = back(empty, {"head": embed, "other": other, "embed": embed, "again": again})
    read = model.state_dict(framework)
    assert read["head"] is read["embed"] is read["again"]
    assert set(read) == set(model) == {"head", "embed", "again", "other"} and len(model) == 4
    assert {tensor.name for tensor in model.tensors()} == {"head", "other"}
    assert model.tensor("embed").content_id == model.tensor("head").content_id
    assert np.array_equal(model.tensor("embed")[1:], np.asarray(embed)[1:])
    only = model.state_dict(framework, names=["embed"])
    assert list(only) == ["embed"] and np.array_equal(np.asarray(only["embed"]), np.asarray(embed))


@pytest.mark.parametrize("framework", ["np", "pt"])
def test_tied_tensors_are_exported_once(empty: mgit.Store, folder: Path, framework: str) -> None:
    """An exported file has the first name only, as ``safetensors.torch.save_model`` writes one, and
    loads."""
    numpy_files = pytest.importorskip("safetensors.numpy")
    embed = np.arange(12.0, dtype=np.float32)
    value = needs("torch").from_numpy(embed) if framework == "pt" else embed
    model = back(empty, {"head": value, "embed": value})
    target = folder / "out"
    report = model.export(target)
    assert len(report.files) == 1
    [file] = [path for path in (target, *target.rglob("*")) if path.is_file()]
    loaded = numpy_files.load_file(file)
    assert list(loaded) == ["head"] and np.array_equal(loaded["head"], embed)


def test_a_model_with_tied_tensors_is_one_file(empty: mgit.Store, folder: Path) -> None:
    """Without ``files``, a model is one safetensors file, tied or not."""
    value = np.ones(3)
    model = back(empty, {"a": value, "b": value})
    model.export(folder / "out.safetensors")
    assert (folder / "out.safetensors").is_file() and not model.is_folder


@pytest.mark.parametrize("where", ["file", "folder"])
def test_an_export_says_where_its_files_are(store: mgit.Store, folder: Path, where: str) -> None:
    """The paths in the report are those of the files that were written."""
    files = {"config.json": {}} if where == "folder" else None
    store.add("m", {"w": np.ones(3)}, files=files)
    report = store["m"].export(folder / "out")
    written = sorted(
        path for path in (folder / "out", *(folder / "out").rglob("*")) if path.is_file()
    )
    assert sorted(file.path for file in report.files) == written


def test_what_shares_memory_only_in_part_is_not_tied(empty: mgit.Store) -> None:
    """Another shape, type, offset or stride of the same memory is a tensor of its own."""
    base = np.arange(16, dtype=np.int32)
    values = {
        "base": base,
        "half": base[:8],
        "rest": base[8:],
        "square": base.reshape(4, 4),
        "turned": base.reshape(4, 4).T,
        "back": base[::-1],
        "bits": base.view(np.float32),
        "unsigned": base.view(np.uint32),
        "big": base.view(">i4"),
        "steps": base[::2],
    }
    model = back(empty, values)
    for name, value in values.items():
        assert np.array_equal(model[name], value, equal_nan=True), name
        assert model[name].dtype == value.dtype.newbyteorder("="), name


def test_fp8_views_of_one_memory_are_not_tied(empty: mgit.Store) -> None:
    """Types of one size over the same memory keep their types."""
    ml_dtypes = needs("ml_dtypes")
    base = np.arange(16, dtype=np.uint8)
    values = {name: base.view(getattr(ml_dtypes, name)) for name in list(EXTRA)[1:]}
    model = back(empty, {**values, "u1": base, "i1": base.view(np.int8)})
    for name, value in values.items():
        assert same(model[name], value), name


def test_arrays_that_are_made_while_asked_for_are_not_tied(empty: mgit.Store) -> None:
    """A mapping that makes each array anew has its own values each, though memory is used again."""

    class Fresh(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            return np.full(1000, float(name))

    model = back(empty, Fresh({str(number): None for number in range(20)}))
    assert [model[str(number)][0] for number in range(20)] == list(range(20))


def test_views_of_a_torch_checkpoint(empty: mgit.Store, folder: Path) -> None:
    """A checkpoint of torch whose tensors share memory comes back with all of its values."""
    torch = needs("torch")
    base = torch.arange(16.0)
    want = {
        "a": base,
        "turned": base.view(4, 4).T,
        "part": base[4:8],
        "steps": base[::2],
        "one": base[1],
        "same": base,
        "none": base[:0],
        "inner": base.view(4, 4)[1:3, 1:3],
    }
    torch.save(want, folder / "x.bin")
    with empty.write() as tx:
        tx.add_path(folder / "x.bin", "bin")
    model = empty["bin"]
    assert set(model) == set(want)
    for framework in ("np", "pt"):
        for name, value in model.state_dict(framework).items():
            assert tuple(value.shape) == tuple(want[name].shape), (framework, name)
            assert np.array_equal(np.asarray(value), want[name].numpy()), (framework, name)
    for name in want:
        assert np.array_equal(model[name], want[name].numpy()), name
    assert not any(array.flags.writeable for array in model.state_dict().values())


@pytest.mark.parametrize("name", ["turned", "part", "one"])
def test_slices_of_views_of_a_checkpoint(empty: mgit.Store, folder: Path, name: str) -> None:
    """``get_slice`` and ``tensor`` of a name that is a part of another tensor have its values."""
    torch = needs("torch")
    base = torch.arange(16.0)
    want = {"a": base, "turned": base.view(4, 4).T, "part": base[4:8], "one": base[1]}
    torch.save(want, folder / "x.bin")
    with empty.write() as tx:
        tx.add_path(folder / "x.bin", "bin")
    with mgit.safe_open(empty, "bin") as file:
        assert file.get_slice(name).get_shape() == list(want[name].shape)
        assert np.array_equal(file.get_slice(name)[...], want[name].numpy())


# At random.


def random_state(rng: np.random.Generator) -> dict[str, Array]:
    """A state dict of tensors of any type, shape and strides."""
    values: dict[str, Array] = {}
    for number in range(int(rng.integers(0, 12))):
        shape = tuple(int(dim) for dim in rng.integers(0, 7, int(rng.integers(0, 4))))
        value = of_bits(rng, NUMPY[int(rng.integers(len(NUMPY)))], shape)
        if value.ndim and rng.random() < 0.3:
            value = value[:: int(rng.choice([-2, -1, 2]))]
        if rng.random() < 0.3:
            value = value.T
        values[f"layer.{number}.{'w' * int(rng.integers(1, 3))}"] = value
    if values and rng.random() < 0.3:
        values["tied"] = values[next(iter(values))]
    return values


def test_random_state_dicts_come_back(empty: mgit.Store) -> None:
    """Sixty models, many derived from one before with a few values changed."""
    rng = np.random.default_rng(20)
    wanted: dict[str, dict[str, Array]] = {}
    for number in range(60):
        parent = None
        values = random_state(rng)
        if wanted and rng.random() < 0.6:
            parent = str(rng.choice(list(wanted)))
            values = {name: value.copy() for name, value in wanted[parent].items()}
            for value in values.values():
                if value.size and value.dtype.kind != "b":
                    value.reshape(-1).view("u1")[int(rng.integers(value.nbytes))] ^= 1
        added = empty.add(f"m{number}", values, parent=parent)
        wanted[added.model] = values
    for name, values in wanted.items():
        read = empty[name].state_dict()
        assert set(read) == set(values)
        for key, value in values.items():
            assert same(read[key], value), (name, key)
    assert empty.verify().is_clean


# Exported files.


def exported(model: mgit.Model, folder: Path) -> bytes:
    """The bytes of the file that a model is exported as."""
    target = folder / "exported.safetensors"
    model.export(target, overwrite=True)
    return target.read_bytes()


def test_numpy_file_is_as_safetensors_writes_it(empty: mgit.Store, folder: Path) -> None:
    """Byte for byte, each type alone and all together, with empty and 0-dim tensors."""
    numpy_files = pytest.importorskip("safetensors.numpy")
    rng = np.random.default_rng(8)
    kinds: dict[str, Any] = {kind: np.dtype(kind) for kind in NUMPY}
    try:
        import ml_dtypes

        kinds |= {name: np.dtype(getattr(ml_dtypes, name)) for name in EXTRA}
    except ImportError:
        pass
    states = [
        {"b": of_bits(rng, kind, (2, 3)), "a": of_bits(rng, kind, ())} for kind in kinds.values()
    ]
    states.append(
        {
            f"{name}.{at}": of_bits(rng, kind, SHAPES[at])
            for name, kind in kinds.items()
            for at in range(8)
        }
    )
    states.append({})
    for number, state in enumerate(states):
        model = back(empty, state, f"m{number}")
        assert exported(model, folder) == numpy_files.save(state), list(state)[:1]


def test_torch_file_is_as_safetensors_writes_it(empty: mgit.Store, folder: Path) -> None:
    """Byte for byte, with the format in the header as ``transformers`` writes it."""
    torch = needs("torch")
    torch_files = pytest.importorskip("safetensors.torch")
    states = [
        {
            "b": torch.zeros(2, 3).to(getattr(torch, kind)),
            "a": torch.ones(()).to(getattr(torch, kind)),
        }
        for kind in TORCH
    ]
    states.append(
        {
            f"{kind}.{at}": torch.zeros(SHAPES[at]).to(getattr(torch, kind))
            for kind in TORCH
            for at in range(8)
        }
    )
    states.append({'é"\n\0': torch.ones(2), "z": torch.zeros(0, 3)})
    for number, state in enumerate(states):
        model = back(empty, state, f"m{number}")
        assert exported(model, folder) == torch_files.save(state, metadata={"format": "pt"})


def test_random_files_are_as_safetensors_writes_them(empty: mgit.Store, folder: Path) -> None:
    """State dicts at random, whatever order their names come in."""
    numpy_files = pytest.importorskip("safetensors.numpy")
    rng = np.random.default_rng(9)
    for number in range(15):
        state = {
            name: np.ascontiguousarray(value)
            for name, value in random_state(rng).items()
            if name != "tied"
        }
        state = {name: state[name] for name in rng.permutation(list(state))} if state else {}
        assert exported(back(empty, state, f"m{number}"), folder) == numpy_files.save(state)


def test_names_that_are_asked_for(store: mgit.Store) -> None:
    """``names`` takes a part of the model, in that order."""
    model = back(store, {"a": np.ones(1), "b": np.zeros(1), "ab": np.ones(2)})
    assert list(model.state_dict(names=["b", "a"])) == ["b", "a"]
    assert model.state_dict(names=[]) == {}
    with pytest.raises(mgit.NotFoundError, match="zz"):
        model.state_dict(names=["a", "zz"])


def test_one_name_is_not_a_list_of_letters(store: mgit.Store) -> None:
    """A text in place of a list of names is refused, or is that one name."""
    model = back(store, {"a": np.ones(1), "b": np.zeros(1), "ab": np.ones(2)})
    try:
        names = list(model.state_dict(names="ab"))
    except (TypeError, ValueError):
        return
    assert names == ["ab"]


@pytest.mark.parametrize("device", [1.5, True])
def test_a_device_that_is_none_is_refused(store: mgit.Store, device: Any) -> None:
    """What is not a device never changes the values."""
    torch = needs("torch")
    try:
        read = store["base"].state_dict("pt", device=device)["w"]
    except (TypeError, ValueError, RuntimeError):
        return
    assert read.dtype == torch.float32


def test_transformers_model(empty: mgit.Store, folder: Path) -> None:
    """A model of ``transformers`` goes in with its configuration, and loads from its export."""
    torch = needs("torch")
    transformers = needs("transformers")
    sizes = dict(vocab_size=40, n_positions=16, n_embd=16, n_layer=1, n_head=2)
    config = transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=1)
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config)
    empty.add("gpt2", model.state_dict(), files={"config.json": config.to_dict()})
    stored = empty["gpt2"]
    assert stored.kind == "gpt2"
    head, embed = stored.tensor("lm_head.weight"), stored.tensor("transformer.wte.weight")
    assert head.content_id == embed.content_id and len(stored.tensors()) == len(stored) - 1
    stored.export(folder / "out")
    loaded = transformers.GPT2LMHeadModel.from_pretrained(folder / "out")
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    fresh = transformers.GPT2LMHeadModel(config)
    fresh.load_state_dict(stored.state_dict("pt"))
