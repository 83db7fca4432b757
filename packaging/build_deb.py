#!/usr/bin/env python3
"""Builds the Debian package: `python packaging/build_deb.py [--out dist]`.

The package carries a virtual environment of its own under /opt/baywatt, made with the
distribution's python3, holding requirements/edge.txt (hashed) and the four packages that a site
controller needs. Run it with a Python that has pip and hatchling (the development environment).
"""

from __future__ import annotations

import argparse
import configparser
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = Path("/usr/bin/python3")
PREFIX = Path("/opt/baywatt")
PACKAGES = ("baywatt_contract", "baywatt_edge", "baywatt_bridge", "baywatt_v2g")
UNITS = "systemd/baywatt.service"

_LAUNCHER = """#!{prefix}/bin/python3
import sys

from {module} import {function}

sys.exit({function}())
"""


def main() -> int:
    """Build the package and print its path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    out: Path = parser.parse_args().out
    try:
        with tempfile.TemporaryDirectory(prefix="baywatt-deb-") as scratch:
            sys.stdout.write(f"{build(Path(scratch), out)}\n")
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"failed: {' '.join(map(str, error.cmd))}\n")
        return 1
    return 0


def build(scratch: Path, out: Path) -> Path:
    """The finished package in `out`."""
    stage = scratch / "stage"
    make_environment(stage)
    install_ours(stage, scratch)
    install_files(stage)
    write_control(stage)
    return pack(stage, out)


def make_environment(stage: Path) -> None:
    """/opt/baywatt with all locked libraries, its paths corrected, its bytecode compiled."""
    prefix = inside(stage, PREFIX)
    run(PYTHON, "-m", "venv", "--without-pip", prefix)
    run(sys.executable, "-m", "pip", "--python", prefix / "bin/python3", "install", "--quiet",
        "--require-hashes", "--only-binary", ":all:", "--no-compile", "--no-warn-script-location",
        "-r", ROOT / "requirements/edge.txt")  # fmt: skip
    # Of the libraries' own commands none is ours to offer, and pip would let people change
    # what the package manager owns.
    for file in prefix.glob("bin/*"):
        if not file.name.startswith("python"):
            file.unlink()
    for unwanted in [prefix / "include", *site_packages(stage).glob("pip*")]:
        shutil.rmtree(unwanted)
    # The lists of files name those commands, by the path of this build; dpkg has its own list.
    for record in site_packages(stage).glob("*.dist-info/RECORD"):
        record.unlink()
    version = run(PYTHON, "-c", "import platform; print(platform.python_version())").strip()
    (prefix / "pyvenv.cfg").write_text(
        f"home = {PYTHON.parent}\ninclude-system-site-packages = false\nversion = {version}\n"
    )


def install_ours(stage: Path, scratch: Path) -> None:
    """The packages of a site controller out of the wheel, and a launcher for each command."""
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
        "--wheel-dir", scratch, ROOT)  # fmt: skip
    (wheel,) = scratch.glob("baywatt-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        wanted = [name for name in archive.namelist() if name.split("/")[0] in PACKAGES]
        archive.extractall(site_packages(stage), wanted)
        metadata = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        archive.extract(metadata, site_packages(stage))
        scripts = archive.read(f"{metadata.split('/')[0]}/entry_points.txt").decode()
    write_launchers(stage, scripts)
    run(PYTHON, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
        "-s", stage, "-p", "/", site_packages(stage))  # fmt: skip


def write_launchers(stage: Path, scripts: str) -> None:
    """/opt/baywatt/bin/NAME and /usr/bin/NAME for every command of the kept packages."""
    parser = configparser.ConfigParser()
    parser.read_string(scripts)
    for name, target in parser["console_scripts"].items():
        module, function = target.split(":")
        if module.split(".")[0] not in PACKAGES:
            continue
        launcher = inside(stage, PREFIX / "bin" / name)
        launcher.write_text(_LAUNCHER.format(prefix=PREFIX, module=module, function=function))
        launcher.chmod(0o755)
        link = inside(stage, Path("/usr/bin") / name)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(PREFIX / "bin" / name)


def install_files(stage: Path) -> None:
    """Units, configuration folder, documentation and examples."""
    copies = {
        UNITS: "/lib/systemd/system/baywatt.service",
        "systemd/sysusers.d/baywatt.conf": "/usr/lib/sysusers.d/baywatt.conf",
        "systemd/tmpfiles.d/baywatt.conf": "/usr/lib/tmpfiles.d/baywatt.conf",
        "packaging/debian/baywatt.env": "/etc/baywatt/baywatt.env",
        "packaging/debian/copyright": "/usr/share/doc/baywatt/copyright",
        "README.md": "/usr/share/doc/baywatt/README.md",
        "CHANGELOG.md": "/usr/share/doc/baywatt/CHANGELOG.md",
        "examples/harbour/site.toml": "/usr/share/doc/baywatt/examples/harbour/site.toml",
    }
    for source, target in copies.items():
        place = inside(stage, Path(target))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / source, place)
    inside(stage, Path("/etc/baywatt/profiles")).mkdir(parents=True)


def write_control(stage: Path) -> None:
    """The control folder: fields, configuration files, maintainer scripts."""
    control = stage / "DEBIAN"
    control.mkdir()
    size_kb = sum(file.lstat().st_size for file in stage.rglob("*")) // 1024
    template = (ROOT / "packaging/debian/control.in").read_text()
    fields = {"version": version(), "architecture": architecture(), "size_kb": size_kb}
    (control / "control").write_text(template.format(**fields))
    (control / "conffiles").write_text("/etc/baywatt/baywatt.env\n")
    for script in ("postinst", "prerm", "postrm"):
        shutil.copyfile(ROOT / "packaging/debian" / script, control / script)
        (control / script).chmod(0o755)


def pack(stage: Path, out: Path) -> Path:
    """The .deb; the same sources give the same bytes."""
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct"))
    for file in [stage, *stage.rglob("*")]:
        if file.is_symlink():
            os.utime(file, (epoch, epoch), follow_symlinks=False)
            continue
        executable = file.is_dir() or bool(file.stat().st_mode & 0o100)
        file.chmod(0o755 if executable else 0o644)
        os.utime(file, (epoch, epoch))
    out.mkdir(parents=True, exist_ok=True)
    package = out / f"baywatt_{version()}_{architecture()}.deb"
    environ = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    subprocess.run(  # noqa: S603 - our own arguments
        ["dpkg-deb", "-Zxz", "--root-owner-group", "--build", stage, package],  # noqa: S607
        check=True,
        env=environ,
        stdout=subprocess.DEVNULL,
    )
    return package


def version() -> str:
    """The version in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def architecture() -> str:
    """Debian's name of this machine: the libraries are compiled for it."""
    return run("dpkg", "--print-architecture").strip()


def inside(stage: Path, path: Path) -> Path:
    """Where an absolute path lies within the package."""
    return stage / path.relative_to("/")


def site_packages(stage: Path) -> Path:
    """The environment's library folder."""
    (folder,) = inside(stage, PREFIX).glob("lib/python3.*/site-packages")
    return folder


def run(*command: str | Path) -> str:
    """Run a command in the repository; its output. Ends the build when it fails."""
    done = subprocess.run(  # noqa: S603 - our own arguments
        [str(part) for part in command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
