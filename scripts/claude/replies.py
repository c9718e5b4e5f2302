"""Rows out of what Claude wrote: JSON wherever it stands in a reply, each example checked by the rules that hold for every row."""

import json
import re
from collections import Counter

import rows
from phrasebook import convert
from rows import Seen, row_faults

WORD = re.compile(r"""\s*(?:\+([\w.:-]+)|([\w.:-]+)=("(?:[^"\\]|\\.)*"|'[^']*'|\S+))(?=\s|$)""")


def examples(text):
    """Every object with an "input" or "instruction" in a text: whole JSON, JSON in fences and chatter, JSON that was cut off."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (start := re.compile(r"[\[{]").search(text, at)) is not None:
        at = start.start()
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1  # chatter, or the start of something that was cut off: what is whole inside of it counts
            continue
        found += list(flat(value))
        at = end
    return found


def flat(value):
    """The examples in a JSON value: a list of them, {"rows": [...]}, or one."""
    if isinstance(value, list):
        for v in value:
            yield from flat(v)
    elif isinstance(value, dict):
        if "input" in value or "instruction" in value:
            yield value
        else:
            for v in value.values():
                if isinstance(v, list | dict):
                    yield from flat(v)


def row_of(example, cell, schema):
    """(row, None) or (None, fault) of an example: {"input", "context", "answer"} as we ask for it, or the spec's {"input", "context", "output"}."""
    instruction = example.get("input", example.get("instruction"))
    if not isinstance(instruction, str) or not instruction.strip():
        return None, "shape: no input"
    context = example.get("context")
    if isinstance(context, int) and not isinstance(context, bool):
        context = cell["situations"].get(str(context))
        if context is None:
            return None, "shape: no such situation"
    if context is not None and not isinstance(context, dict):
        return None, "shape: context is neither a number nor an object"
    given = example.get("answer", example.get("output"))
    answer = (parsed(given) or read_answer(given, cell, schema)) if isinstance(given, str) else given
    if isinstance(answer, str):
        return None, answer
    if not isinstance(answer, dict):
        return None, "shape: no answer"
    faults = rows.answer_faults(filled(answer), schema)
    if faults:
        return None, faults[0]
    row = {
        "instruction": instruction.strip(),
        "context": context or None,
        "output": rows.dumps(rows.canonical(filled(answer), schema)),
    }
    faults = row_faults(row, schema)
    return (None, faults[0]) if faults else (row, None)


def parsed(text):
    """The object of an answer that is JSON text, or None."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def filled(answer):
    """An answer with what a writer of JSON likes to leave out."""
    if "type" not in answer and "command" in answer:
        answer = {"type": "command", **answer}
    if answer.get("type") == "command":
        answer = {"subcommand": None, "args": {}, "flags": [], **answer}
        args = answer["args"]
        if isinstance(args, dict):
            answer["args"] = {k: v for k, v in args.items() if v is not None}
        answer["confidence"] = 0.95
    if answer.get("type") == "clarification":
        answer = {"suggestions": [], **answer}
    return answer


def read_answer(text, cell, schema):
    """`pr merge number=12 +squash` or `? pr close, pr merge` as an answer; a text that says what is wrong with it."""
    text = text.strip()
    if text.startswith("?"):
        labels = [part.strip() for part in text[1:].split(",") if part.strip()]
        unknown = [label for label in labels if label not in schema.by_label]
        if unknown:
            return f"schema: no command '{unknown[0]}'"
        return rows.clarification(schema, cell["category"] or "unclear", labels)
    label = next((lb for lb in sorted(schema.by_label, key=len, reverse=True) if f"{text} ".startswith(lb + " ")), None)
    if label is None:
        return f"schema: no command '{text[:40]}'"
    sub, args, flags, at = schema.by_label[label], {}, [], 0
    rest = text[len(label) :]
    while rest[at:].strip():
        m = WORD.match(rest, at)
        if not m:
            return f"shape: cannot read '{rest[at:].strip()[:40]}'"
        if m.group(1):
            flags.append(m.group(1))
        elif m.group(2) not in sub.arg:
            return f"schema: '{label}' has no argument '{m.group(2)}'"
        else:
            args[m.group(2)] = convert(sub.arg[m.group(2)], unquoted(m.group(3)))
        at = m.end()
    if set(flags) - set(sub.flag):
        return f"schema: '{label}' has no flag '{sorted(set(flags) - set(sub.flag))[0]}'"
    return {**rows.command(sub, args, flags), "args": args, "flags": flags}


def unquoted(text):
    if text[0] == '"' and text[-1] == '"' and len(text) > 1:
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    if text[0] == "'" and text[-1] == "'" and len(text) > 1:
        return text[1:-1]
    return text


class Collector:
    """The rows of a data set as replies come in; a row of which there are enough is turned away like one that breaks a rule.

    quotas: {bucket: rows}, see cells.quotas(). accepted: [{"row", "kind", "category", "label"}] in the order of their arrival.
    """

    def __init__(self, quotas, schema):
        self.quotas, self.schema = quotas, schema
        self.accepted, self.rejected, self.have, self.seen = [], Counter(), Counter(), Seen()

    def take(self, text, cell):
        """How many rows of a reply are new and right."""
        before = len(self.accepted)
        found = examples(text)
        if not found:
            self.rejected["empty"] += 1
        for example in found:
            row, fault = row_of(example, cell, self.schema)
            fault = fault or self.add(row, cell)
            if fault:
                self.rejected[fault.split(":")[0]] += 1
        return len(self.accepted) - before

    def add(self, row, cell):
        """Why a row that is right by itself is not taken, or None when it is."""
        answer = json.loads(row["output"])
        if answer["type"] == "command":
            label = self.schema.by_key[answer["command"], answer["subcommand"]].label
            kind, category = "ctx" if row["context"] else "noctx", None
            if not self.schema.context:
                row["context"], kind = None, "noctx"
            bucket = kind, label
        else:
            category = cell["category"]
            if not category:
                return "cell: a question where a command was asked for"
            label = answer["suggestions"][0]["label"] if answer["suggestions"] else ""
            kind, bucket = "ask", ("ask", category)
        if self.have[bucket] >= self.quotas.get(bucket, 0):
            return "surplus: enough of its kind"
        fault = self.seen.fault(row, "all")
        if fault:
            return fault
        self.have[bucket] += 1
        self.accepted.append({"row": row, "kind": kind, "category": category or kind, "label": label})
        return None

    def need(self):
        """{bucket: rows that are missing}"""
        return {b: n - self.have[b] for b, n in self.quotas.items() if n > self.have[b]}
