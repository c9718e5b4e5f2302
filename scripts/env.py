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
TRY = """
import base_model, llama_cpp
llama_cpp.Llama(str(base_model.BUNDLED_GGUF), n_ctx=64, verbose=False).eval(list(range(1, 33)))
"""


def fail(message):
    print(f"env.py: {message}", file=sys.stderr)
    raise SystemExit(1)


def build_flags(cpu=Path("/proc/cpuinfo")):
    """Flags for the compiler of llama.cpp. Where the CPU has AMX, none of it: compiled by some gcc, and in threads that did not ask
    the kernel for it, its tiles are an illegal instruction (https://github.com/ggml-org/llama.cpp/pull/26954)."""
    try:
        has_amx = "amx_tile" in cpu.read_text(encoding="utf-8", errors="replace").split()
    except OSError:  # not Linux
        return ""
    return "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16" if has_amx else ""


def stamp():
    """What .venv should be made from: the requirement files, the Python version, the place (a venv cannot be moved), and how it is compiled."""
    h = hashlib.sha256(f"{sys.version_info[:2]} {VENV}{build_flags()}".encode())
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
    flags = {k: f"{os.environ.get(k, '')} {build_flags()}".strip() for k in ("CFLAGS", "CXXFLAGS")}
    if subprocess.run(command, env={**os.environ, **flags} if build_flags() else None).returncode:
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
        "setup: installing into .venv; the first time takes 6 to 10 minutes, most of them compiling llama.cpp",
        flush=True,
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], check=True)
    if build_flags():  # what pip keeps of earlier builds does not say how it was compiled
        lines = (ROOT / FILES[0]).read_text(encoding="utf-8").splitlines()
        pip("--no-cache-dir", "--force-reinstall", "--no-deps", *(x for x in lines if x.startswith("llama-cpp-python")))
    pip("-r", str(ROOT / FILES[0]))
    pip("--no-deps", "--upgrade", "--target", str(VENV / "isolated"), "-r", str(ROOT / FILES[1]))
    unpack = [str(BIN / "python"), "-c", "import base_model; base_model.unpacked()"]
    unpacking = subprocess.run(unpack, cwd=ROOT / "scripts", stderr=subprocess.PIPE, text=True)
    if unpacking.returncode:
        why = (unpacking.stderr.strip().splitlines() or ["no reason given"])[-1]
        fail(f"the bundled base model cannot be unpacked ({why}); mend that and run: just setup")
    tried = subprocess.run([str(BIN / "python"), "-c", TRY], cwd=ROOT / "scripts", capture_output=True, text=True)
    if tried.returncode:
        why = (tried.stderr.strip().splitlines() or [f"it ended with {tried.returncode}"])[-1]
        fail(f"llama.cpp, as it was compiled here, does not run ({why}); mend that and run: just setup")
    mark.write_text(wanted)
    print("setup: done", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        fail("interrupted; the same command continues")
