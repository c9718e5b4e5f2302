"""One row, one answer: the canonical JSON of an answer, questions back, and the rules that every row must obey.

A row is {"instruction": str, "context": dict or None, "output": str}; output is the JSON text of an answer:
  {"type": "command", "command", "subcommand", "args", "flags", "confidence"}
  {"type": "clarification", "message", "suggestions": [{"label", "command", "subcommand"}], "confidence"}
"""

import copy
import json
import re

from cli import value_fits
from utils import display, fail, numbered_jsonl

CATEGORIES = ("ambiguous_command", "missing_arg", "unclear", "off_topic", "multiple", "typo", "pronoun")
ASK_CONFIDENCE = dict(zip(CATEGORIES, (0.4, 0.4, 0.2, 0.1, 0.4, 0.4, 0.4), strict=True))
POINTERS = ("this", "that", "it", "its", "these", "those", "them", "here", "current")
ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
NUMBER_WORD = re.compile(rf"\b(?:(?:{'|'.join(TENS)})(?:-(?:{'|'.join(ONES[1:10])}))?|{'|'.join(reversed(ONES))})\b")

COUNTED = r"(?:s|secs?|x|px|st|nd|rd|th)(?!\w)"  # may stick to a number: "30s", "2x", "the 3rd"; of what scales it ("5m", "64kb") nobody knows the unit


def spell(n):
    """12 -> "twelve", 42 -> "forty-two"; None above 99, which people write in digits."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + (f"-{ONES[n % 10]}" if n % 10 else "")
    return None


# ----------------------------------------------------------------------------------------------------- answers
def command(sub, args, flags, confidence=0.95):
    """The canonical command: args and flags in the order of the schema, nothing that was not said."""
    return {
        "type": "command",
        "command": sub.command,
        "subcommand": sub.name,
        "args": {a.name: args[a.name] for a in sub.args if a.name in args},
        "flags": [f.name for f in sub.flags if f.name in flags],
        "confidence": confidence,
    }


def clarification(schema, category, labels, arg=None):
    """A question back. labels: "pr close" and the like, best first; arg: the argument that is missing or unresolved."""
    choices = " or ".join(f"'{label}'" for label in labels)
    message = {
        "ambiguous_command": f"What do you want to do with {labels[0].split()[0] if labels else schema.cli}?",
        "missing_arg": f"Which {arg or 'one'} should '{labels[0] if labels else schema.cli}' use?",
        "unclear": "What would you like to do?",
        "off_topic": f"That is not something {schema.cli} does.",
        "multiple": f"Did you mean {choices}?",
        "typo": f"Did you mean {choices}?",
        "pronoun": f"Which {arg or 'one'} do you mean?",
    }[category]
    return {
        "type": "clarification",
        "message": message,
        "suggestions": [suggestion(schema.by_label[label]) for label in labels],
        "confidence": ASK_CONFIDENCE[category],
    }


def suggestion(sub):
    return {"label": sub.label, "command": sub.command, "subcommand": sub.name}


def dumps(answer):
    """The one spelling of an answer: key order of the spec, json.dumps' separators, no \\u escapes."""
    return json.dumps(answer, ensure_ascii=False)


def canonical(answer, schema):
    """A parsed answer in canonical form, or None when it does not fit the schema."""
    if answer_faults(answer, schema):
        return None
    if answer["type"] == "command":
        sub = schema.by_key[answer["command"], answer.get("subcommand")]
        return command(sub, answer["args"], answer["flags"], answer.get("confidence", 0.95))
    keys = ("label", "command", "subcommand")
    return {
        "type": "clarification",
        "message": answer["message"],
        "suggestions": [{k: s[k] for k in keys} for s in answer["suggestions"]],
        "confidence": answer.get("confidence", 0.4),
    }


# ------------------------------------------------------------------------------------------------------- rules
def read(path, schema, fault=lambda row: None):
    """The rows of a training or validation file as stages use them: with a context (None where the line has none) and the answer in
    canonical form, however a person spelled it. The first row that breaks a rule ends the program with its line.

    fault(row): a further rule; why the row must not be there, or None.
    """
    out = []
    for number, row in numbered_jsonl(path):
        found = (row_faults(row, schema) or [None])[0]
        if not found:
            answer = canonical(json.loads(row["output"]), schema)
            out.append({**row, "context": row.get("context"), "output": dumps(answer)})
            found = fault(out[-1])
        if found:
            fail(f"{display(path)}:{number}: {found}; mend the row, or run train-generate-force for fresh data")
    return out


def row_faults(row, schema):
    """Why a row must not enter a data set, whoever wrote it: the spec's rules and grounding. Empty when it may.

    Rule numbers of the spec: 1 JSON, 2 schema, 3 types, 4 required arguments; 5 (diversity) looks at the whole set: see `Seen`.
    """
    instruction = row.get("instruction")
    if not isinstance(instruction, str) or not instruction.strip():
        return ["instruction: empty or no text"]
    context = row.get("context")
    if context is not None and not isinstance(context, dict):
        return ["context: neither an object nor null"]
    try:
        answer = json.loads(row["output"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return ["json: output is not valid JSON"]
    return answer_faults(answer, schema) or grounding_faults(answer, instruction, context, schema)


def answer_faults(answer, schema):
    """Rules 1 to 4 for a parsed answer: "<rule>: <what>"."""
    if not isinstance(answer, dict):
        return ["json: output is not an object"]
    if not confident(answer.get("confidence", 0.5)):
        return ["json: confidence is not a number from 0 to 1"]
    if answer.get("type") == "clarification":
        if not isinstance(answer.get("message"), str) or not answer["message"].strip():
            return ["json: clarification without a message"]
        suggestions = answer.get("suggestions")
        if not isinstance(suggestions, list):
            return ["json: suggestions is not a list"]
        for s in suggestions:
            if not isinstance(s, dict) or not isinstance(s.get("label"), str) or not known(s, schema):
                return [f"schema: suggestion {json.dumps(s)[:80]} is no command of the schema"]
        return []
    if answer.get("type") != "command":
        return [f"json: type {answer.get('type')!r} is neither command nor clarification"]
    if not known(answer, schema):
        return [f"schema: no command {answer.get('command')!r} {answer.get('subcommand')!r}"]
    sub = schema.by_key[answer["command"], answer["subcommand"]]
    args, flags = answer.get("args"), answer.get("flags")
    if not isinstance(args, dict) or not isinstance(flags, list):
        return ["json: args is not an object or flags is not a list"]
    faults = [f"schema: '{sub.label}' has no argument '{n}'" for n in args if n not in sub.arg]
    faults += [f"schema: '{sub.label}' has no flag {f!r}" for f in flags if not isinstance(f, str) or f not in sub.flag]
    if len({str(f) for f in flags}) != len(flags):
        faults.append("schema: a flag is there twice")
    faults += [
        f"types: {n}={v!r} is no {sub.arg[n].type}"
        for n, v in args.items()
        if n in sub.arg and not value_fits(sub.arg[n], v)
    ]
    faults += [f"required: '{sub.label}' needs '{a.name}'" for a in sub.args if a.required and a.name not in args]
    return faults


def known(pair, schema):
    key = pair.get("command"), pair.get("subcommand", "")
    return all(isinstance(k, str | None) for k in key) and key in schema.by_key


def confident(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def grounding_faults(answer, instruction, context, schema):
    """Every argument value must come from the words, the context, or the schema's own values. Nothing is made up."""
    made_up = ungrounded(answer, instruction, context, schema)
    return [f"grounding: {n}={answer['args'][n]!r} is neither in the words nor in the context" for n in made_up]


def ungrounded(answer, instruction, context, schema):
    """Names of the arguments of an answer (that fits the schema) whose value nobody said: see grounding_faults.

    Of what the context can give, a word that points ("this") is no value: it stands for one.
    """
    return [
        arg.name
        for arg, value in to_say(answer, context, schema)
        if arg.type not in ("enum", "boolean")
        and (not said(value, instruction) or (arg.from_context and str(value).lower() in POINTERS))
    ]


def to_say(answer, context, schema):
    """[(argument, value)] of an answer that fits the schema, where neither the default nor the context gives the value: words must."""
    if answer["type"] != "command":
        return []
    sub, known = schema.by_key[answer["command"], answer["subcommand"]], flatten(context)
    return [
        (arg, value)
        for arg, value in ((sub.arg[name], value) for name, value in answer["args"].items())
        if value != arg.default and not given(arg, value, known)
    ]


def given(arg, value, known):
    """Whether a flat context (see flatten) gives an argument this value."""
    return bool(arg.from_context) and known.get(arg.from_context) == value


def said(value, text):
    """Whether the words name a value: text verbatim, whole numbers as digits or spelled out, @me as "me", "my" or "I"."""
    if isinstance(value, str):
        if value == "@me":
            return bool(re.search(r"@me\b|\b(me|my|mine|myself|i|i'm|i've)\b", text, re.IGNORECASE))
        return value in text and value != ""
    if re.search(rf"(?<![\w.]){re.escape(str(value))}(?!(?!{COUNTED})\w|\.\d)", text):
        return True
    word = spell(value) if isinstance(value, int) and 0 <= value < 100 else None
    return bool(word) and word in NUMBER_WORD.findall(re.sub(r"(ty) (?=[a-z])", r"\1-", text.lower()))


def flatten(context):
    """{"git": {"current_pr": 1}} -> {"git.current_pr": 1}; None -> {}. Fields without a value (null) are left out."""
    out = {}

    def walk(prefix, node):
        for key, value in node.items():
            if isinstance(value, dict):
                walk(f"{prefix}{key}.", value)
            elif value is not None:
                out[f"{prefix}{key}"] = value

    walk("", context or {})
    return out


def filled(context, fields):
    """A context (dict or None) with these dotted fields, {"git.current_pr": 1}, where it has no value for them and has room."""
    out, known = copy.deepcopy(context) or {}, flatten(context)
    for path, value in fields.items():
        if path in known:
            continue
        *groups, name = path.split(".")
        inside = out
        for group in groups:
            if inside.get(group) is None:
                inside[group] = {}
            inside = inside[group]
            if not isinstance(inside, dict):
                break
        else:
            if inside.get(name) is None:
                inside[name] = value
    return out


class Seen:
    """Rule 5, diversity, over a whole data set: no (instruction, context) twice, no instruction on both sides of the split."""

    def __init__(self):
        self.inputs = {}
        self.sides = {}

    def fault(self, row, split):
        """Why a row that is right by itself must stay out, or None; None also records it."""
        words = " ".join(row["instruction"].lower().split())
        key = words, json.dumps(row["context"], sort_keys=True)
        if key in self.inputs:
            same = self.inputs[key] == row["output"]
            return "diversity: the same input again" if same else "diversity: the same input with another answer"
        if self.sides.get(words, split) != split:
            return "diversity: the instruction stands on the other side of the split"
        self.inputs[key] = row["output"]
        self.sides[words] = split
        return None
