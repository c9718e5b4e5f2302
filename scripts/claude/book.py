"""A phrasebook written by Claude: a few prompts for a whole CLI, the lines of the replies, and the lines that have to be written again."""

import re

import phrasebook
from rows import CATEGORIES

from .cells import ASKS, RULES, askable, schema_text

SECTIONS = ("options", "frames", "clarify")
PART = 8  # subcommands a reply
LINE_TOKENS = 28  # of a line: 24 by the bundled tokenizer on the phrasebook of gh, and a little more
REPAIRS = 2  # times that faulty lines are asked for again
QUESTIONS = ("missing_arg", "pronoun")  # categories that frames give (?arg, @arg): no lines of their own
PER_CATEGORY = 12

NOTATION = """You write a phrasebook for a CLI command interpreter: how people ask for each command, in a compact notation. A program expands every line into
many labelled examples, so a line must be right for every combination that it allows. One line is one frame:

  text => effects

In the text:
  (a|b|c)    one of these; may be empty at the end: (please|now|)
  {arg}      an argument of this subcommand; a value is drawn and written here
  [name]     a phrase of the option list `name` of this subcommand, or nothing; [*]: none, one or two phrases of any of its option lists
  No other brackets, braces, dollar signs or pipes.
After => (leave it out when there is nothing):
  +flag      the words imply this flag
  arg=value  the words imply this value; arg="two words"
  @arg       a pointing word (this, it, my current one) stands for this argument; only where the schema has from_context for it
  ~arg       the target is not said at all and comes from the context ("squash and merge"); only where the schema has from_context for it
  ?arg       this required argument is missing, so that the interpreter has to ask ("close an issue")
Every required argument must be in the text as {arg}, or after =>. No politeness, no typing errors, no quotes around {arg}: the program adds those.

"""
FORM = """
Answer with YAML alone, in this form:

options:
  <command> <subcommand>.<name>: |
    in the browser => +web
frames:
  <command> <subcommand>: |
    (show|list|what are) the open ones [*] => state=open
"""


def system(schema):
    rules = RULES.split("Reasons to ask")[0]
    return f"{NOTATION}The schema of {schema.cli}:\n\n{schema_text(schema)}\n{rules}"


def parts(schema, frames):
    """(id, user text, tokens of the reply) of each prompt."""
    labels, out = [s.label for s in schema.subcommands], []
    for i in range(0, len(labels), PART):
        some = labels[i : i + PART]
        text = (
            f"Write {frames} frames for each of these subcommands: {', '.join(some)}.\n"
            "First give each of them option lists for its optional arguments and its flags: one list for what excludes each other, "
            "3 to 5 phrases a list, every flag and every optional argument at least once. Then the frames, as varied as people really "
            "type: terse ones of two to five words, whole sentences, questions, indirect wishes, jargon and near-synonyms; at least two "
            "with @arg or ~arg where the schema has from_context, and one with ?arg where an argument is required. Most frames should "
            f"end in [*] or a named option.\n{FORM}"
        )
        out.append((f"frames-{i // PART + 1}", text, len(some) * (frames + 6) * LINE_TOKENS))
    wanted = [c for c in CATEGORIES if c in askable(schema) and c not in QUESTIONS]
    if wanted:
        why = "\n".join(f"- {c}: {ASKS[c]}" for c in wanted)
        text = (
            f"Write {PER_CATEGORY} lines for each kind of request that the interpreter has to answer with a question back:\n{why}\n"
            "Here => is followed by the subcommands that could have been meant (two or three), or left out where none fits. "
            f"In these lines {{kind}} is a made-up value of one of these kinds: {', '.join(phrasebook.value_kinds())}.\n"
            "Answer with YAML alone, in this form:\n\nclarify:\n  multiple: |\n    (show|open) {number} => "
            f"{', '.join(labels[:2])}\n  unclear: |\n    (do|fix) (it|something)\n"
        )
        out.append(("clarify", text, len(wanted) * PER_CATEGORY * LINE_TOKENS))
    return out


def repair(faulty):
    """The prompt for lines to be written again; faulty: [(section, key, line, fault)]."""
    lines = [f"{i}. [{key}] {line}\n   fault: {fault}" for i, (_, key, line, fault) in enumerate(faulty, 1)]
    return (
        "These lines of the phrasebook have faults. Write each again with the same meaning and without the fault, as `<number>. <line>`, "
        "one a line and nothing else.\n\n" + "\n".join(lines)
    )


def read(text):
    """{(section, key): [lines]} of a reply: YAML as we ask for it, with or without fences and chatter, cut off or not."""
    out, section, key = {}, None, None
    for raw in text.split("\n"):
        line = raw.rstrip()
        top = re.fullmatch(r"(\w+):", line)
        head = re.fullmatch(r" {1,3}(\"?)([\w.:-]+(?: [\w.:-]+)*)\1: ?\|?[-+]?", line)
        if top:
            section, key = (top[1] if top[1] in SECTIONS else None), None
        elif section and head:
            key = head[2]
            out.setdefault((section, key), [])
        elif line.startswith("```") or (line and not line.startswith(" ")):
            section, key = None, None
        elif section and key and line.strip() and not line.strip().startswith("# "):
            out[section, key].append(line.strip().removeprefix("- "))
    return out


def mended(text, faulty):
    """{(section, key, old line): new line} of a reply to repair()."""
    out = {}
    for number, line in re.findall(r"^\s*(\d+)[.:)] (?:\[[^\]]*\] )?(.+?)\s*$", text, re.M):
        if 0 < int(number) <= len(faulty):
            out[faulty[int(number) - 1][:3]] = line.strip("` ")
    return out


def page(schema, lines):
    """The phrasebook as text."""
    out = [
        f"# How people talk to {schema.cli}; the notation is described in schemas/phrases/README.md. Written by Claude: read it, and mend what is wrong.",
        f"cli_name: {schema.cli}",
    ]
    for section in SECTIONS:
        keys = [k for k in lines if k[0] == section and lines[k]]
        if keys:
            out += ["", f"{section}:"]
        for _, key in keys:
            out += [f"  {key}: |", *(f"    {line}" for line in dict.fromkeys(lines[section, key]))]
    return "\n".join(out) + "\n"


def lint(path, schema, lines):
    """[(section, key, line, fault)] of the lines, written to path as a phrasebook; blocks that do not exist in the schema are dropped."""
    labels = set(schema.by_label)
    for section, key in list(lines):
        known = {
            "options": key.rpartition(".")[0] in labels | {""},
            "frames": key in labels,
            "clarify": key in CATEGORIES,
        }
        if not known[section]:
            del lines[section, key]
    text = page(schema, lines)
    path.write_text(text, encoding="utf-8")
    where, section, key = {}, None, None
    for number, line in enumerate(text.split("\n"), 1):
        if line.endswith(":") and not line.startswith(" "):
            section = line[:-1]
        elif line.startswith("  ") and not line.startswith("    "):
            key = line.strip().removesuffix(": |")
        elif line.startswith("    "):
            where[number] = section, key, line.strip()
    _, faults = phrasebook.read(path, schema)
    found = {}
    for fault in faults:
        number, _, what = fault.partition(": ")
        if int(number) in where:
            found.setdefault(where[int(number)], what)
    return [(*place, what) for place, what in found.items()]
