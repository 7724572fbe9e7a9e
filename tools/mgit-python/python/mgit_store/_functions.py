"""Functions of a program that make models, test them and judge them."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _dtypes, _engine
from ._arrays import NewTensor, state_dict
from ._errors import make
from ._model import Model


@dataclasses.dataclass(frozen=True, slots=True)
class Inputs:
    """What a creation function makes a model of."""

    #: The models that it is to be derived from, by what they are to the function: the names that
    #: they had when it was first called, also when newer versions take their places.
    parents: dict[str, Model]
    #: The version that is to be replaced, if there is one, and what that was derived from.
    old: Model | None
    old_parents: list[Model]
    #: Parameters, as :meth:`Store.make` was given them.
    parameters: dict[str, Any]
    #: For whatever is random: the same at every making.
    seed: int
    #: The name of the model that is made.
    name: str

    @property
    def parent(self) -> Model:
        """The parent, where there is one.

        Raises:
            InvalidError: there are several, or none.
        """
        if len(self.parents) != 1:
            raise make("bad-inputs", f"one parent is needed, {len(self.parents)} are given")
        return next(iter(self.parents.values()))


#: Returns a state dict, or the path of a file or a folder with the model.
CreationFunction = Callable[[Inputs], Mapping[str, Any] | str | os.PathLike[str]]
#: Returns metrics: a number, or numbers by name; nothing or True where the model passes, False
#: where it fails. An AssertionError fails the model.
TestFunction = Callable[[Model], Any]
#: Is told the values of a model whose values are rounded, and says whether it accepts them.
GateFunction = Callable[[dict[str, np.ndarray[Any, np.dtype[Any]]]], bool]


def creation_adapter(function: CreationFunction) -> Callable[..., Any]:
    """What the engine calls for a creation function."""

    def adapter(
        parents: list[tuple[str, _engine.Model]],
        old: _engine.Model | None,
        old_parents: list[_engine.Model],
        parameters: dict[str, Any],
        seed: int,
        name: str,
    ) -> str | list[NewTensor]:
        inputs = Inputs(
            parents={role: Model(model) for role, model in parents},
            old=None if old is None else Model(old),
            old_parents=[Model(model) for model in old_parents],
            parameters=parameters,
            seed=seed,
            name=name,
        )
        made = function(inputs)
        if isinstance(made, str | os.PathLike):
            return os.fspath(made)
        found = state_dict(made)
        tied = [NewTensor(name, *found.tensors[at][1:]) for name, at in found.ties]
        return found.tensors + tied

    return adapter


def name_of(function: Callable[..., Any]) -> str:
    """The name by which recipes and registered tests name a function."""
    name = getattr(function, "__name__", "")
    if not name or name == "<lambda>":
        raise make("bad-value", "a function without a name of its own: give it one")
    return str(name)


def version_of(function: Callable[..., Any], version: str | None) -> str:
    """What changes when a test does: what was given, or the hash of its source."""
    if version is not None:
        return str(version)
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        text = repr((code.co_code, code.co_consts, code.co_names)) if code else repr(function)
    return "source " + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def test_adapter(
    name: str, function: TestFunction, higher_is_better: bool | None
) -> Callable[[_engine.Model], Any]:
    """What the engine calls for a test: metrics, or why the model fails and whether that is the
    model's."""

    def adapter(model: _engine.Model) -> Any:
        try:
            return _metrics(name, function(Model(model)), higher_is_better)
        except AssertionError as error:
            return str(error) or "an assertion failed", True
        except Exception as error:  # the test's own: told, and not kept for the next run
            return f"{type(error).__name__}: {error}", False

    return adapter


def truth(found: Any) -> bool | None:
    """True or False, Python's, numpy's or torch's; none of what is neither."""
    if isinstance(found, bool | np.bool_):
        return bool(found)
    is_bool = str(getattr(found, "dtype", "")).removeprefix("torch.") == "bool"
    return bool(found) if is_bool and getattr(found, "ndim", 1) == 0 else None


def _metrics(name: str, found: Any, higher_is_better: bool | None) -> Any:
    verdict = truth(found)
    if found is None or verdict:
        return []
    if verdict is False:
        return "it returned False", True
    if isinstance(found, Mapping):
        metrics = [(str(metric), _number(value, metric)) for metric, value in found.items()]
    else:
        metrics = [(name, _number(found, name))]
    return [(metric, value, higher_is_better) for metric, value in metrics]


def _number(value: Any, metric: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        kind = type(value).__name__
        raise TypeError(f"metric {metric!r} is a number, not {kind}") from None


def gate_adapter(
    gate: GateFunction,
) -> Callable[[Sequence[tuple[str, str, list[int], bytes]]], bool]:
    """What the engine calls for a gate."""

    def adapter(tensors: Sequence[tuple[str, str, list[int], bytes]]) -> bool:
        arrays = {}
        for name, dtype, shape, content in tensors:
            known = _dtypes.numpy_dtype(dtype)
            array = np.frombuffer(content, np.uint8 if known is None else known)
            arrays[name] = array if known is None else array.reshape(shape)
        return bool(gate(arrays))

    return adapter
