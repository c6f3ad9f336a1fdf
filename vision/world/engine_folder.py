"""The folder in which one engine process lives: the packed mod, its configuration and its launcher."""

import hashlib
import shlex
import sys
import zipfile
from functools import cache
from pathlib import Path

import vizdoom

_MOD = Path(__file__).with_name("mod")
# Linux's prctl(PR_SET_PDEATHSIG, SIGKILL): the engine would outlive a killed parent. It also writes into the
# folder that it starts in, and a Ctrl-C in the terminal is its parent's to handle.
_LAUNCHER = """
import ctypes, os, sys
parent, folder, program, *arguments = sys.argv[1:]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
    if os.getppid() != int(parent):
        raise SystemExit(1)
os.setsid()
os.chdir(folder)
os.execv(program, [program, *arguments])
"""


@cache
def mod_hash() -> str:
    """Hash of the mod's texts: pictures and responses depend on them."""
    digest = hashlib.sha256()
    for path in sorted(_MOD.glob("*.txt")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def pack_mod(folder: Path) -> Path:
    """Writes the mod as a .pk3, a zip of texts, into a folder."""
    path = folder / "controls.pk3"
    with zipfile.ZipFile(path, "w") as pack:
        for text in sorted(_MOD.glob("*.txt")):
            pack.write(text, text.name)
    return path


def write_launcher(folder: Path, parent: int) -> Path:
    """Writes a program that starts the engine in ``folder`` and has it end with the process ``parent``."""
    engine = Path(vizdoom.__file__).with_name("vizdoom")
    start = folder / "start.py"
    start.write_text(_LAUNCHER, "utf-8")
    # No shebang of Python itself: a path in one may be neither long nor hold spaces.
    command = shlex.join([sys.executable, "-I", "-S", str(start), str(parent), str(folder), str(engine)])
    launcher = folder / "start.sh"
    launcher.write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
    launcher.chmod(0o700)
    return launcher
