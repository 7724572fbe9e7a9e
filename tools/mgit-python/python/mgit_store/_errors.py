"""The exceptions of the package: a small tree below :class:`Error`."""

from __future__ import annotations

from typing import Any


class Error(Exception):
    """What can go wrong with a store.

    ``code`` is a stable name of the kind of failure, such as ``"locked"`` or ``"no-such-model"``,
    the same that the command-line tool prints; ``str(error)`` says what it is about and what to do.

    >>> import mgit_store as mgit
    >>> try:
    ...     mgit.open("no-such-file.mgit")
    ... except mgit.Error as error:
    ...     print(error.code)
    store-not-found
    """

    def __init__(self, message: str, code: str = "error") -> None:
        super().__init__(message)
        self.code = code

    def __str__(self) -> str:
        # KeyError, which some of these are, would print its argument in quotes.
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[type[Error], tuple[str, str]]:
        return (type(self), (str(self), self.code))


class NotFoundError(Error, KeyError):
    """No such model, tensor, tag, test or remote."""


class StoreNotFoundError(Error, FileNotFoundError):
    """No file at this path, or nothing at a place to pull from."""


class ExistsError(Error, FileExistsError):
    """Something is there already: a file, a model of this name."""


class InvalidError(Error, ValueError):
    """A name, a parameter, a shape or a file that cannot be."""


class ClosedError(Error, ValueError):
    """The store or the transaction is closed."""


class ForkedError(Error):
    """The object belongs to the process that forked this one: open the store again."""


class ReadOnlyError(Error, PermissionError):
    """The store is open for reading."""


class LockedError(Error):
    """Another writer has the store."""


class DamagedError(Error):
    """The file, or what was received, is not as it was written. ``Store.verify`` tells more."""


class FullError(Error, OSError):
    """The disk is full, memory or open files have run out. Nothing that was committed is lost."""


class ConflictError(Error):
    """Two changes do not fit together: a merge, a push, diverged versions."""


class TestFailedError(Error):
    """A model did not pass a test or a gate."""

    __test__ = False  # what pytest would take it for


class FunctionError(Error):
    """A creation function failed; the exception it raised is the ``__cause__``."""


class IncompleteError(Error):
    """Not all of what was asked for was done: ``report`` says what was, which stays done."""

    def __init__(self, message: str, code: str = "incomplete", report: Any = None) -> None:
        super().__init__(message, code)
        self.report = report


_CLASSES: dict[type[Error], tuple[str, ...]] = {
    NotFoundError: (
        "no-such-model",
        "no-such-tensor",
        "no-such-file",
        "no-such-tag",
        "no-such-edge",
        "no-such-test",
        "no-such-remote",
        "no-such-function",
        "no-recipe",
        "no-path",
        "no-common-ancestor",
        "nothing-selected",
        "input-gone",
    ),
    StoreNotFoundError: ("store-not-found", "file-not-found", "remote-not-found"),
    ExistsError: ("already-exists", "name-taken", "folder-not-empty", "duplicate-parent"),
    InvalidError: (
        "invalid-name",
        "invalid-how",
        "bad-value",
        "bad-tensor",
        "bad-shape",
        "bad-file",
        "bad-id",
        "bad-test",
        "bad-parameter",
        "bad-inputs",
        "bad-recipe",
        "bad-remote",
        "bad-command",
        "bad-architecture",
        "rows-out-of-range",
        "buffer-length",
        "view",
        "unknown-lossy",
        "unknown-profile",
        "cycle",
        "not-earlier",
        "own-key",
        "too-many",
        "has-children",
        "malformed-file",
        "unreadable-file",
        "not-a-store",
        "is-a-store",
        "is-a-folder",
        "not-a-file",
        "needs-folder",
        "one-file",
        "several-files",
        "wrong-extension",
        "not-convertible",
        "same-model",
        "nothing-taken",
        "wrong-end",
        "already-lossy",
        "nothing-lossy",
        "pinned",
        "unknown-placeholder",
        "json",
    ),
    ClosedError: ("closed",),
    ForkedError: ("forked",),
    ReadOnlyError: ("read-only",),
    LockedError: ("locked", "busy", "already-writing", "no-locks"),
    DamagedError: (
        "damaged",
        "truncated",
        "undecodable",
        "bad-formula",
        "catalog",
        "needs-repair",
        "remote-damaged",
        "packs-lost",
        "missing-content",
        "missing-tensor",
        "linked",
        "nothing-found",
    ),
    FullError: ("disk-full", "out-of-memory", "too-many-open-files"),
    ConflictError: ("merge-conflict", "diverged", "push-raced", "update-begun", "input-removed"),
    TestFailedError: ("merge-tests-failed", "gate-refused", "gate", "test-failed"),
    FunctionError: ("function-failed",),
}

_BY_CODE = {code: kind for kind, codes in _CLASSES.items() for code in codes}


def make(code: str, message: str) -> Error:
    """The exception of a code of the engine."""
    return _BY_CODE.get(code, Error)(message, code)
