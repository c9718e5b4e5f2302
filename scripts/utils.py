"""What every stage needs: paths, YAML and JSON Lines files, progress, fingerprints, and fail()."""

import errno
import hashlib
import json
import os
import sys
from pathlib import Path

ROOT = Path(os.environ.get("CLITRON_ROOT") or Path(__file__).resolve().parent.parent)
SCHEMAS = ROOT / "schemas"
CONFIGS = ROOT / "training" / "configs"
ISOLATED = Path(sys.prefix) / "isolated"  # wheels that must not be imported by the rest: see requirements-isolated.txt
VERSION = "0.1.0"  # of this code, as in CHANGELOG.md
QUANT = "q4_k_m"  # the type of the GGUF where quant= says nothing
FORMAT = 1  # of rows, prompt and answers: raising it makes every stage run again

MENDS = {
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "free some space and run the same command again",
    errno.EACCES: "make it writable and run the same command again",
    errno.EPERM: "make it writable and run the same command again",
    errno.EROFS: "make it writable and run the same command again",
    errno.ENOTDIR: "move the file that stands where a folder should be",
    errno.EEXIST: "move the file that stands where a folder should be",
}


def fail(message):
    """One line on stderr, `<script>: <message>`, and exit status 1. For mistakes that the user can mend."""
    print(f"{Path(sys.argv[0]).name}: {' '.join(message.splitlines())}", file=sys.stderr)
    raise SystemExit(1)


def run(main):
    """Call main(argv); a full disk, an unwritable folder and Ctrl-C become one line. Bugs keep their traceback."""
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        print(f"\n{Path(sys.argv[0]).name}: interrupted; the same command continues", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(1) from None
    except Exception as e:
        number = e.errno if isinstance(e, OSError) else errno.ENOSPC if "No space left" in str(e) else None
        if number not in MENDS:
            raise
        where = f" {display(e.filename)}" if getattr(e, "filename", None) else ""
        fail(f"cannot write{where}: {os.strerror(number).lower()}; {MENDS[number]}")


def schema_files():
    """The YAML files in schemas/."""
    return [p for p in sorted(SCHEMAS.glob("*.yaml")) if p.is_file()]


def display(path):
    """A path as the user knows it: relative to the project where it lies inside."""
    path = Path(os.fsdecode(path))
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


# ------------------------------------------------------------------------------------------------------- paths
def data_dir(name):
    return ROOT / "training" / "data" / name


def models_dir(name):
    return ROOT / "training" / "models" / name


def gguf_path(name, quant):
    return models_dir(name) / f"clitron-{name}-{quant}.gguf"


def need_gguf(name, quant):
    return need(gguf_path(name, quant), "train-quantize", name if quant == QUANT else f"{name} quant={quant}")


def need(path, recipe, name):
    """The path, or one line that names the recipe which makes it; name may carry more settings."""
    if not path.exists():
        fail(f"no {display(path)}; run: just {recipe} name={name}")
    return path


# ------------------------------------------------------------------------------------------------------- files
def load_yaml(path):
    import yaml
    import yaml_lines

    try:
        return yaml_lines.fast(yaml.load, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        fail(f"no {display(path)}")
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        fail(f"{display(path)}: not valid YAML: {' '.join(str(e).split())}")


def read_jsonl(path):
    """All objects of a JSON Lines file; a line that is none ends the program with its number."""
    return [row for _, row in numbered_jsonl(path)]


def numbered_jsonl(path):
    """(line number, object) of every line of a JSON Lines file that is not blank."""
    rows = []
    with open(path, "rb") as f:
        for number, line in enumerate(f, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except UnicodeDecodeError:
                fail(f"{display(path)}:{number}: not UTF-8; save the file as UTF-8")
            except ValueError:
                row = None
            if not isinstance(row, dict):
                fail(f"{display(path)}:{number}: not a JSON object; mend or delete that line")
            rows.append((number, row))
    return rows


def write_jsonl(path, rows):
    write_text(path, jsonl(rows))


def jsonl(rows):
    """The text of a JSON Lines file."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_json(path, value):
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path, text):
    """Write under a temporary name, flush to disk, rename: a reader sees the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    try:
        with open(new, "w", encoding="utf-8") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        os.replace(new, path)
    except (OSError, ValueError) as e:
        new.unlink(missing_ok=True)
        if isinstance(e, OSError):
            e.filename = e.filename or str(path)
        raise


def locked(file):
    """Take a lock on an open file that goes with the process; False where another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows, where a file that is open cannot be replaced or deleted
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system that knows no locks
        return True
    return True


class Progress:
    """Records of work in progress in a JSON Lines file that survives a kill at any moment.

    The first line holds a fingerprint; a file of another fingerprint starts afresh. What follows the last newline was never
    finished and is dropped. `records` is what an earlier run saved; save() appends records and flushes them to disk.
    As long as it is open, no other process opens it (where the system has flock).
    """

    def __init__(self, path, fingerprint, mend):
        self.path, self.records = path, []
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b")
        if not locked(self.file):
            fail(f"another run is at work on {display(path)}; wait for its end, or stop it")
        lines = self.file.read().split(b"\n")[:-1] if path.is_file() else []
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            self.records.append(record)
            if not isinstance(record, dict):
                fail(f"{display(path)}:{number}: not a JSON object; {mend}")
        fresh = self.records[:1] != [{"fingerprint": fingerprint}]
        self.records = [] if fresh else self.records[1:]
        if path.is_file():
            self.file.truncate(0 if fresh else sum(len(line) + 1 for line in lines))
            self.file.seek(0, os.SEEK_END)
        if fresh:
            self.write([{"fingerprint": fingerprint}])

    @staticmethod
    def holds(path, fingerprint):
        """Whether a file is there and has this fingerprint."""
        try:
            with open(path, encoding="utf-8") as f:
                return path.is_file() and json.loads(f.readline()) == {"fingerprint": fingerprint}
        except (OSError, ValueError):
            return False

    def save(self, records):
        self.write(records)
        self.records += records

    def write(self, records):
        try:
            self.file.write(b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in records))
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as e:
            e.filename = str(self.path)
            raise

    def done(self):
        """The work is finished and its result written: the file goes."""
        self.file.close()
        self.path.unlink(missing_ok=True)


def read_json(path):
    """The object of a JSON file, or None when there is none or it is broken."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


# ------------------------------------------------------------------------------------------------- fingerprints
def digest(path):
    """sha256 of a file, as 16 hex digits; of a folder: of its weight and configuration files."""
    h = hashlib.sha256()
    paths = (
        [path]
        if path.is_file()
        else sorted(p for p in path.glob("*") if p.suffix in (".json", ".safetensors", ".gguf"))
    )
    for p in paths:
        with open(p, "rb") as f:
            while block := f.read(1 << 20):
                h.update(block)
    return h.hexdigest()[:16]


def digest_text(text):
    """digest() of a file that holds this text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(stage, settings, *inputs):
    """What a stage's output depends on: the format, its settings and the contents of its input files."""
    return {
        "stage": stage,
        "format": FORMAT,
        "settings": settings,
        "inputs": {display(p): digest(p) for p in inputs if p.exists()},
    }


def is_current(folder, wanted):
    """Whether the stage that wrote `folder` finished with exactly this fingerprint."""
    return (read_json(folder / "stage.json") or {}).get("fingerprint") == wanted


def finish(folder, wanted, **facts):
    """Mark a stage's output as complete: fingerprint and facts (times, counts) go to <folder>/stage.json, written last."""
    write_json(folder / "stage.json", {"fingerprint": wanted, **facts})


def minutes(seconds):
    """A time as people say it: "80 s", "12 min"."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def header(stage, **settings):
    print(f"{stage}: " + ", ".join(f"{k} {v}" for k, v in settings.items() if v is not None), flush=True)
