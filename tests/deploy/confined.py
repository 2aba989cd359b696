"""Run a command under what a systemd unit forbids the process itself: `python confined.py UNIT COMMAND…`.

Its system calls, its families of sockets, memory that is written and then run, new privileges. Namespaces
and users are systemd's to make; they are left out.
"""

import ctypes
import os
import socket
import subprocess
import sys
from errno import EAFNOSUPPORT, EPERM
from pathlib import Path

ALLOW = 0x7FFF0000  # SCMP_ACT_ALLOW
ERRNO = 0x00050000  # SCMP_ACT_ERRNO(0)
EQUAL = 4  # SCMP_CMP_EQ
PR_SET_NO_NEW_PRIVS = 38
PR_SET_MDWE = 65
MDWE_REFUSE_EXEC_GAIN = 1
#: what systemd allows to every unit
ALWAYS = "@default"


class Argument(ctypes.Structure):
    """`struct scmp_arg_cmp`."""

    _fields_ = (
        ("number", ctypes.c_uint),
        ("compares", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("mask", ctypes.c_uint64),
    )


def settings_of(unit: Path) -> dict[str, list[str]]:
    """Return the values of each setting, in order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        name, assigned, value = line.partition("=")
        if assigned and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def calls_of(name: str) -> set[str]:
    """Return the system calls of a set of systemd's, or the one that is named."""
    if not name.startswith("@"):
        return {name}
    command = ["systemd-analyze", "--no-pager", "syscall-filter", name]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[1:]
    members = (line.strip() for line in lines)
    return {call for member in members if member and member[0] != "#" for call in calls_of(member)}


def allowed_calls(settings: dict[str, list[str]]) -> set[str]:
    allowed = calls_of(ALWAYS)
    for value in settings["SystemCallFilter"]:
        named = {call for name in value.removeprefix("~").split() for call in calls_of(name)}
        allowed = allowed - named if value.startswith("~") else allowed | named
    # as with systemd, to which @default always is allowed: without execve there is no service
    return allowed | calls_of(ALWAYS)


def filter_calls(calls: set[str], families: list[str]) -> None:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(ERRNO | EPERM)))

    def add(action: int, call: str, *arguments: Argument) -> None:
        number = library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return  # of another architecture
        array = (Argument * len(arguments))(*arguments)
        code = library.seccomp_rule_add_array(rules, ctypes.c_uint32(action), number, len(arguments), array)
        if code:
            raise OSError(-code, f"no rule for {call}: {os.strerror(-code)}")

    for call in calls - {"socket"}:
        add(ALLOW, call)
    own = [int(getattr(socket, family)) for family in families]
    for family in range(64):
        action = ALLOW if family in own else ERRNO | EAFNOSUPPORT
        add(action, "socket", Argument(0, EQUAL, family, 0))
    if code := library.seccomp_load(rules):
        raise OSError(-code, os.strerror(-code))


def main(unit: str, *command: str) -> None:
    settings = settings_of(Path(unit))
    calls = allowed_calls(settings)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    wanted = [(PR_SET_NO_NEW_PRIVS, 1)] if settings["NoNewPrivileges"] == ["yes"] else []
    if settings["MemoryDenyWriteExecute"] == ["yes"]:
        wanted.append((PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN))
    for option, value in wanted:
        if prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    filter_calls(calls, settings["RestrictAddressFamilies"][0].split())
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
