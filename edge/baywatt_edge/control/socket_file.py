"""Binding the control socket: owner and group only, a stale file removed, a live one respected."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

MODE = 0o660
_MAX_PATH_BYTES = 107  # sockaddr_un.sun_path without its closing zero
_BACKLOG = 64


class ControlSocketError(Exception):
    """The control socket cannot be opened; the text names the path and the fix."""


def bind(path: Path) -> socket.socket:
    """A listening socket at `path` with mode 0660; raises ControlSocketError.

    A file left by a daemon that died is removed, the socket of a living one is not.
    """
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise ControlSocketError(
            f"control socket {path}: path is longer than {_MAX_PATH_BYTES} bytes, use a shorter one"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        return _listen(path)
    except OSError as error:
        raise ControlSocketError(
            f"control socket {path}: {error.strerror}, give a folder that can be written to "
            "with --control-socket"
        ) from error


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ControlSocketError(f"control socket {path}: the path is taken by another file")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except (TimeoutError, BlockingIOError):
            pass  # its backlog is full: somebody is there
    raise ControlSocketError(
        f"control socket {path}: another daemon is running there, stop it first"
    )


def _listen(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # The mode must be right from the first moment, and chmod comes a moment later.
        umask = os.umask(0o777 & ~MODE)
        try:
            sock.bind(str(path))
        finally:
            os.umask(umask)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
