"""How people talk to a CLI: read schemas/phrases/<name>.yaml, check every line of it.

The notation is described in schemas/phrases/README.md. Imports no torch.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property

import yaml_lines
from cli import value_fits
from notation import Fault, Node, names, parse_text
from rows import CATEGORIES
from utils import SCHEMAS, load_yaml

EFFECT = re.compile(r"""\s*(?:([+@~?])([\w.:-]+)|([\w.:-]+)=("[^"]*"|\S+))(?=\s|$)""")


@dataclass(frozen=True)
class Frame:
    """One line. label: its subcommand ("" in general options and in clarify); targets: of a clarify line."""

    id: str
    line: int
    label: str
    node: Node
    args: dict = field(default_factory=dict)  # said by the wording: {"state": "open"}
    flags: tuple = ()
    points: tuple = ()  # @arg
    implies: tuple = ()  # ~arg
    missing: tuple = ()  # ?arg
    targets: tuple = ()
    template: str = ""  # frames composed from one pattern share it: they stay on one side of the split

    @cached_property
    def says(self):
        """The arguments that are said, by the text or by what stands after =>."""
        return frozenset({*self.args, *self.points, *self.implies, *names(self.node, "slot")})


@dataclass
class Phrasebook:
    """frames and options by subcommand label and by option name; clarify by category; values by argument."""

    frames: dict
    clarify: dict
    options: dict  # (label or "", name) -> [Frame]
    values: dict  # "arg" or "label.arg" -> list, kind name, or {enum value: Node}


def path_of(name):
    return SCHEMAS / "phrases" / f"{name}.yaml"


def read(path, schema):
    """(Phrasebook, faults); a fault is "<line>: <what is wrong>". The Phrasebook holds the lines without fault."""
    raw, marks, faults = yaml_lines.read(path)
    if not isinstance(raw, dict):
        faults = faults or [(1, "the file is empty; see schemas/phrases/README.md")]
        return None, [f"{line}: {what}" for line, what in faults]
    written = path.read_text(encoding="utf-8").split("\n")
    for key in [k for k in raw if k in ("shared", "values", "options", "frames", "clarify")]:
        if raw[key] is not None and not isinstance(raw[key], dict):
            faults.append((marks[(key,)], f"{key} is no mapping; see schemas/phrases/README.md"))
            raw[key] = None
        raw[key] = {str(k): v for k, v in (raw[key] or {}).items()}

    def fault(line, text):
        faults.append((line, text))

    for key in raw:
        if str(key) not in ("cli_name", "shared", "values", "options", "frames", "clarify"):
            fault(
                marks.get((str(key),), 1), f"unknown key '{key}'; known: cli_name shared values options frames clarify"
            )
    if raw.get("cli_name") != schema.cli:
        fault(marks.get(("cli_name",), 1), f"cli_name is {raw.get('cli_name')!r}, the schema says {schema.cli!r}")

    shared = {}
    for name, words in (raw.get("shared") or {}).items():
        try:
            if not isinstance(words, str | list):
                raise Fault("neither text nor a list")
            shared[name] = parse_text(
                words if isinstance(words, str) else "(" + "|".join(map(str, words)) + ")", shared
            )
        except Fault as e:
            fault(marks["shared", name], f"shared {name}: {e}")

    book = Phrasebook({}, {}, {}, {})
    for name, given in (raw.get("values") or {}).items():
        try:
            book.values[name] = read_values(name, given, schema, shared)
        except Fault as e:
            fault(marks["values", name], str(e))

    def block(section, key, label):
        """Frames of one block of lines."""
        start, source = marks[section, key], (raw[section] or {})[key]
        if not isinstance(source, str):
            fault(start, f"{section} {key}: write '{key}: |' and one line a frame below it")
            return
        below = bool(re.search(r":\s*[|>][-+\d]*\s*(#.*)?$", written[start - 1]))  # not `key: text`
        for number, line in enumerate(source.split("\n"), start + below):
            if not line.strip() or line.lstrip().startswith("# "):
                continue
            try:
                yield parse_line(line.strip(), number, f"{section}/{key}", label, shared)
            except Fault as e:
                fault(number, str(e))

    for key in raw.get("options") or {}:
        label, _, name = key.rpartition(".")
        if label and label not in schema.by_label:
            fault(marks["options", key], f"options {key}: no subcommand '{label}'")
            continue
        book.options[label, name] = list(block("options", key, label))
    for key in raw.get("frames") or {}:
        if key not in schema.by_label:
            fault(marks["frames", key], f"frames {key}: no such subcommand; known: {', '.join(schema.by_label)}")
            continue
        book.frames[key] = list(block("frames", key, key))
    for key in raw.get("clarify") or {}:
        if key not in CATEGORIES:
            fault(marks["clarify", key], f"clarify {key}: no such category; known: {', '.join(CATEGORIES)}")
            continue
        book.clarify[key] = list(block("clarify", key, ""))
    for line, text in check(book, schema):
        fault(line, text)
    bad = {line for line, _ in faults}
    for group in (book.frames, book.clarify, book.options):
        for key, lines in group.items():
            group[key] = [f for f in lines if f.line not in bad]
    return book, [f"{line}: {text}" for line, text in sorted(set(faults))]


def read_values(name, given, schema, shared):
    label, _, arg = name.rpartition(".")
    holders = [s for s in schema.subcommands if arg in s.arg and label in ("", s.label)]
    if not holders and arg not in [f.rpartition(".")[2] for f in schema.context]:
        raise Fault(f"values {name}: no such argument")
    if isinstance(given, dict):
        allowed = {v for s in holders for v in s.arg[arg].values}
        for value in given:
            if value not in allowed:
                raise Fault(f"values {name}: {value!r} is not one of {', '.join(sorted(allowed))}")
            if not isinstance(given[value], str):
                raise Fault(f"values {name}: {value!r} is no text")
        return {value: parse_text(words, shared) for value, words in given.items()}
    if isinstance(given, str):
        if given not in value_kinds():
            raise Fault(f"values {name}: no kind '{given}' in schemas/lexicon/values.yaml")
        return given
    if not isinstance(given, list) or not given:
        raise Fault(f"values {name}: neither a list, a kind nor a mapping")
    return [str(v) for v in given]


def value_kinds():
    """Names of the kinds in schemas/lexicon/values.yaml."""
    return load_yaml(SCHEMAS / "lexicon" / "values.yaml")["kinds"]


def parse_line(line, number, block, label, shared):
    text, arrow, effects = line.rpartition("=>") if "=>" in line else (line, "", "")
    if "=>" in text:
        raise Fault("'=>' is there twice")
    node = parse_text(text.strip(), shared)
    common = {"id": f"{block}: {text.strip()}", "line": number, "label": label, "node": node}
    if block.startswith("clarify/"):
        return Frame(**common, targets=tuple(t.strip() for t in effects.split(",") if t.strip()))
    args, found, at = {}, {"+": [], "@": [], "~": [], "?": []}, 0
    while effects[at:].strip():
        m = EFFECT.match(effects, at)
        if not m:
            raise Fault(f"cannot read '{effects[at:].strip()}'; after => come +flag, arg=value, @arg, ~arg, ?arg")
        if m.group(1):
            found[m.group(1)].append(m.group(2))
        else:
            args[m.group(3)] = m.group(4).strip('"')
        at = m.end()
    return Frame(
        **common,
        args=args,
        flags=tuple(found["+"]),
        points=tuple(found["@"]),
        implies=tuple(found["~"]),
        missing=tuple(found["?"]),
    )


def check(book, schema):
    """Faults of meaning: (line, text) for every name that the schema does not have and every argument that is missing or said twice."""
    out = []
    for (label, _), phrases in book.options.items():
        for p in phrases:
            if label:
                out += [(p.line, t) for t in name_faults(p, schema.by_label[label], schema)]
            else:
                flags = set(p.flags) - {f for s in schema.subcommands for f in s.flag}
                args = {*p.args, *p.points, *names(p.node, "slot")} - {a for s in schema.subcommands for a in s.arg}
                out += [(p.line, f"no subcommand has a flag '{f}'") for f in flags]
                out += [(p.line, f"no subcommand has an argument '{a}'") for a in args]
            if names(p.node, "option"):
                out.append((p.line, "an option has no options"))
    for label, frames in book.frames.items():
        sub = schema.by_label[label]
        for f in frames:
            out += [(f.line, t) for t in name_faults(f, sub, schema)]
            given = names(f.node, "slot") | set(f.args) | set(f.points) | set(f.implies) | set(f.missing)
            for option in names(f.node, "option") - {"*"}:
                phrases = book.options.get((label, option)) or book.options.get(("", option))
                if phrases is None:
                    out.append((f.line, f"no option list '{option}' for '{label}'"))
                    continue
            for a in sub.args:
                if a.required and a.name not in given:
                    out.append(
                        (
                            f.line,
                            f"'{label}' needs {a.name}; put {{{a.name}}} into the text, or @{a.name}, ~{a.name} or ?{a.name} after =>",
                        )
                    )
    kinds = value_kinds() if book.clarify else {}
    for frames in book.clarify.values():
        for f in frames:
            unknown = names(f.node, "slot") - set(kinds)
            out += [(f.line, f"no kind '{k}' in schemas/lexicon/values.yaml") for k in sorted(unknown)]
            out += [(f.line, f"no subcommand '{t}'") for t in f.targets if t not in schema.by_label]
            out += [(f.line, "a question has no options") for _ in names(f.node, "option")]
    return out


def name_faults(frame, sub, schema):
    out = []
    slots = names(frame.node, "slot")
    if sub is None:
        return out
    for name in [*slots, *frame.args, *frame.points, *frame.implies, *frame.missing]:
        if name not in sub.arg:
            out.append(f"'{sub.label}' has no argument '{name}'")
    for name in frame.flags:
        if name not in sub.flag:
            out.append(f"'{sub.label}' has no flag '{name}'")
    for name in set(slots) & {*frame.args, *frame.points, *frame.implies, *frame.missing}:
        out.append(f"'{name}' is both in the text and after =>")
    for name in frame.implies:
        if name in sub.arg and not sub.arg[name].from_context:
            out.append(f"~{name}: '{name}' has no from_context in the schema")
    for name, value in frame.args.items():
        if name in sub.arg and not value_fits(sub.arg[name], convert(sub.arg[name], value)):
            out.append(f"{name}={value} does not fit its type")
    return out


def convert(arg, text):
    """Text of the phrasebook as a value of the argument's type."""
    try:
        if arg.type == "integer":
            return int(text)
        if arg.type == "float":
            return float(text)
    except ValueError:
        return text
    if arg.type == "boolean":
        return {"true": True, "false": False}.get(text, text)
    return text
