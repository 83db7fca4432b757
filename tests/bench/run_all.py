"""Every bench in a fresh process, one table, and `run/bench.json`.

    python tests/bench/run_all.py [--quick] [NAME…]      NAME: polling, journal, ocpp, daemon

Only ratios within one run mean anything, and no figure fails the command; a bench that cannot
run does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from figures import Figure, table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BENCHES = ("polling", "journal", "ocpp", "daemon")
TIMEOUT_S = 600  # the first run makes an environment
_FOLDERS = ("contract", "edge", "firmware-bridge", "iso15118", "simulators")


def run_one(name: str, options: list[str]) -> list[Figure]:
    """The figures of one bench; raises CalledProcessError or TimeoutExpired."""
    command = [sys.executable, str(HERE / f"bench_{name}.py"), "--json", *options]
    path = os.pathsep.join(str(ROOT / each) for each in _FOLDERS)
    with log_of(name).open("w", encoding="utf-8") as log:
        done = subprocess.run(
            command, check=True, timeout=TIMEOUT_S, stdout=subprocess.PIPE, stderr=log, text=True,
            cwd=ROOT, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
    return [Figure.of(line) for line in done.stdout.splitlines()]


def log_of(name: str) -> Path:
    """Where a bench's own words go."""
    path = ROOT / "run" / f"bench-{name}.log"
    path.parent.mkdir(exist_ok=True)
    return path


def load() -> str:
    """How busy the machine was: a loaded machine measures itself."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def write(figures: dict[str, list[Figure]], *, quick: bool) -> Path:
    """`run/bench.json`, for comparing runs."""
    document = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "quick": quick,
        "benches": {
            name: [{**asdict(each), "ratio": each.ratio} for each in found]
            for name, found in figures.items()
        },
    }
    path = ROOT / "run" / "bench.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


def main() -> int:
    """Run, print, write; 1 when a bench could not run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--quick", action="store_true", help="shorter rounds, rougher figures")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHES):
        parser.error(f"no bench is named {', '.join(sorted(unknown))}")
    figures: dict[str, list[Figure]] = {}
    failed = []
    for name in arguments.names or BENCHES:
        began = time.monotonic()
        sys.stderr.write(f"{name} ({load()}) … ")
        sys.stderr.flush()
        try:
            figures[name] = run_one(name, ["--quick"] if arguments.quick else [])
            sys.stderr.write(f"{time.monotonic() - began:.0f} s\n")
        except (subprocess.SubprocessError, ValueError) as error:
            failed.append(name)
            sys.stderr.write(f"failed: {error}; see {log_of(name).relative_to(ROOT)}\n")
    print(table([each for found in figures.values() for each in found]))  # noqa: T201 - the data
    sys.stderr.write(f"written to {write(figures, quick=arguments.quick).relative_to(ROOT)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
