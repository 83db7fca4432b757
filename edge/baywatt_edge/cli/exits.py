"""How every command can end."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of `baywatt`; scripts rely on them."""

    OK = 0
    FINDINGS = 1
    USAGE = 2  # bad usage or a bad site file
    UNREACHABLE = 3  # the daemon or a device does not answer
    REFUSED = 4
    DATABASE_NEWER = 5


class CliError(Exception):
    """Ends the command with one line on stderr and this exit code."""

    code = Exit.USAGE


class NotReachableError(CliError):
    """The daemon does not answer; start it or name the right socket."""

    code = Exit.UNREACHABLE


class RefusedError(CliError):
    """The daemon understood and will not do it; the text says why."""

    code = Exit.REFUSED
