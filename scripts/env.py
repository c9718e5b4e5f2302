"""Make .venv, or bring it up to date when requirements have changed. Standard library only: it runs on the system's Python.

Reads   requirements.txt, requirements-isolated.txt
Writes  .venv/, training/base/ (the bundled model, unpacked), and .venv/stamp when everything is installed (an interrupted installation is taken up again)
Run     just setup        (every recipe that needs .venv runs it first; when nothing has changed it takes a few milliseconds)
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
FILES = ("requirements.txt", "requirements-isolated.txt")


def fail(message):
    print(f"env.py: {message}", file=sys.stderr)
    raise SystemExit(1)


def stamp():
    """What .venv should be made from: the requirement files, the Python version and the place (a venv cannot be moved)."""
    h = hashlib.sha256(f"{sys.version_info[:2]} {VENV}".encode())
    for name in FILES:
        h.update((ROOT / name).read_bytes())
    return h.hexdigest()


def pip(*words):
    """Run pip inside .venv from outside, so that a Python without ensurepip works too."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(VENV),  # pip finds its python, whatever it is called on this system
        "--disable-pip-version-check",
        "install",
        "--quiet",
        *words,
    ]
    if subprocess.run(command).returncode:
        fail("installation failed (see above); mend it and run: just setup")


def main():
    wanted, mark = stamp(), VENV / "stamp"
    if mark.exists() and mark.read_text() == wanted:
        return
    if sys.version_info < (3, 11):  # noqa: UP036
        fail(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        fail("pip is missing; install it (Debian: apt install python3-pip) and run: just setup")
    print(
        "setup: installing into .venv; the first time takes about 6 minutes, most of them compiling llama.cpp",
        flush=True,
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], check=True)
    pip("-r", str(ROOT / FILES[0]))
    pip("--no-deps", "--upgrade", "--target", str(VENV / "isolated"), "-r", str(ROOT / FILES[1]))
    unpack = [str(BIN / "python"), "-c", "import base_model; base_model.unpacked()"]
    unpacking = subprocess.run(unpack, cwd=ROOT / "scripts", stderr=subprocess.PIPE, text=True)
    if unpacking.returncode:
        why = (unpacking.stderr.strip().splitlines() or ["no reason given"])[-1]
        fail(f"the bundled base model cannot be unpacked ({why}); mend that and run: just setup")
    mark.write_text(wanted)
    print("setup: done", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        fail("interrupted; the same command continues")
