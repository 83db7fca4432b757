"""The environment in which size and start-up count: the edge's locked dependencies, nothing else.

Made once under `run/bench-venv` and made anew when the lock changes.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("contract", "edge", "firmware-bridge", "iso15118")
_VENV = ROOT / "run" / "bench-venv"


@dataclass(frozen=True, slots=True)
class EdgeEnv:
    """An interpreter, and how to say where it stands."""

    python: Path
    label: str


def edge_env() -> EdgeEnv:
    """The cached environment, made when need be; this one when that cannot be."""
    try:
        return EdgeEnv(_made(), "edge-only environment")
    except (subprocess.SubprocessError, OSError) as error:
        sys.stderr.write(f"no edge-only environment ({error}): measuring in this one\n")
        return system_env()


def system_env() -> EdgeEnv:
    """The environment of the bench itself, with everything in it."""
    return EdgeEnv(Path(sys.executable), "full environment (--system)")


def _made() -> Path:
    lock = ROOT / "requirements" / "edge.txt"
    key = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    python, stamp = _VENV / "bin" / "python", _VENV / "lock.sha256"
    if not (stamp.exists() and stamp.read_text(encoding="ascii") == key):
        sys.stderr.write("making the edge-only environment (a minute, the first time)\n")
        _run(sys.executable, "-m", "venv", "--clear", str(_VENV))
        _run(str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock))
        _link(python)
        stamp.write_text(key, encoding="ascii")
    return python


def _link(python: Path) -> None:
    """What `pip install -e .` leaves behind, without its build tools: a list of folders."""
    where = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    folders = "\n".join(str(ROOT / each) for each in FOLDERS)
    (Path(where) / "baywatt.pth").write_text(folders + "\n", encoding="utf-8")


def _run(*command: str) -> None:
    # pip's words would spoil a bench's data
    subprocess.run(command, check=True, stdout=sys.stderr, timeout=600)
