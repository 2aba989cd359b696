"""Errors of the service itself: configuration, disk, database, processes and servers that it calls."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from resizer.errors.base import ResizerError
from resizer.errors.disk import disk_fault
from resizer.errors.requests import Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class WrongKey:
    """A key of the configuration that is unknown or has an invalid value."""

    #: full name, such as fetch.timeout
    key: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}; {self.remedy}"


class ConfigError(ResizerError):
    """The configuration is invalid; lists every wrong key."""

    def __init__(self, *wrong: WrongKey) -> None:
        super().__init__(*wrong)
        self.wrong = wrong

    @classmethod
    def of(cls, key: str, problem: str, remedy: str) -> Self:
        return cls(WrongKey(key=key, problem=problem, remedy=remedy))

    @classmethod
    def unusable_folder(cls, key: str, folder: Path, error: OSError) -> Self:
        return cls.of(
            key,
            f"the folder {folder} cannot be used: {disk_fault(error, folder)}",
            "name a folder that can be created and written to",
        )

    def __str__(self) -> str:
        return "\n".join(map(str, self.wrong))


@dataclass(eq=False)
class DataFolderInUse(ResizerError):
    """Another process holds the lock of the data folder."""

    folder: str

    def __str__(self) -> str:
        return (
            f"{self.folder} is in use by another resizer; stop it, or choose another folder with --data-dir"
        )


@dataclass(eq=False)
class DatabaseUnusable(ResizerError):
    """The database file cannot be opened."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"cannot use the database {self.path}: {self.reason}"


@dataclass(eq=False)
class DatabaseFailure(ResizerError):
    """A statement failed because of the file or its disk."""

    reason: str

    def __str__(self) -> str:
        return f"the database does not respond: {self.reason}"


class NoSpace(ResizerError):
    """The disk is full."""

    def __str__(self) -> str:
        return "no space left on the disk of the data folder, or no inode for another file; free some"


@dataclass(eq=False)
class SpoolFailure(ResizerError):
    """An upload cannot be written to the spool."""

    reason: str

    def __str__(self) -> str:
        return f"cannot store uploads: {self.reason}"


class PoolDown(ResizerError):
    """No compressing process is running."""

    def __str__(self) -> str:
        return (
            "no compressing process is running; the log has the cause, and the service keeps restarting them"
        )


class NoWorkers(PoolDown):
    """No worker has responded."""

    def __str__(self) -> str:
        return "no worker is running; start `resizer worker` on this machine or another, with the same broker"


@dataclass(eq=False)
class BrokerDown(PoolDown):
    """The broker does not respond."""

    reason: str

    def __str__(self) -> str:
        return f"the broker does not respond: {self.reason}; start it, or correct engine.broker_url"


@dataclass(eq=False)
class TaskFailed(ResizerError):
    """A worker failed because of an internal error."""

    reason: str

    def __str__(self) -> str:
        return f"internal error in a worker: {self.reason}; its log has the details"


@dataclass(eq=False)
class SignatureError(ResizerError):
    """The webhook has no valid signature."""

    reason: str

    def __str__(self) -> str:
        return f"the webhook is refused: {self.reason}"


@dataclass(eq=False)
class ServerUnreachable(ResizerError):
    """A server does not respond, or cannot do its work."""

    server: str
    reason: str

    def __str__(self) -> str:
        return f"{self.server}: {self.reason}"


@dataclass(eq=False)
class ServerRefused(ResizerError):
    """A server refused a request; lists the problems of a CSV."""

    status: int
    detail: str
    problems: tuple[Problem, ...] = ()

    def __str__(self) -> str:
        return self.detail
