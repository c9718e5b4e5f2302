"""Which rows to ask Claude for: a quota for every kind of row and subcommand, cut into cells, and the prompt of a cell.

Diversity comes from the prompt, not from temperature: every cell names its subcommands, its kind of row and a style, and has
situations (contexts) of its own. A cell is {"id", "kind": "ctx"|"noctx"|"ask", "category" or None, "counts": {label: rows}, "style"}.
"""

import json

import yaml
from rows import CATEGORIES, flatten
from teacher import ASK_SHARES, SHARES, context_of, nest, weight_of

STYLES = (
    "terse, as typed in a hurry: two to five words, no articles, lower case",
    "chatty and polite, whole sentences, some with a reason first",
    "indirect: questions, wishes and statements that imply the command",
    "jargon, abbreviations and near-synonyms of developers; unusual verbs that still mean one thing",
    "precise, several arguments and flags at once, flags said in words",
    "sloppy: typing errors in plain words (never in values), missing punctuation, word order of speech",
)
KINDS = {
    "ctx": "commands with a situation: every example has the number of a situation. In about a third of them a pointing word (this, it, here, "
    "my current one) or an omitted target is resolved from the situation; in the others the situation does not matter, because the "
    "request names everything itself.",
    "noctx": 'commands without a situation: "context" is null, the request says everything that is needed.',
    "ask": "requests that cannot be turned into one command, so that the interpreter has to ask back.",
}
ASKS = {
    "missing_arg": "a required argument is not given, and no situation gives it",
    "pronoun": "a pointing word (this, it, that one) stands for an argument, and the situation does not resolve it: it is null or lacks that field",
    "multiple": "two or more commands fit equally well, because the kind of thing is not said",
    "ambiguous_command": "hardly more than a command's name, without what to do with it",
    "off_topic": "outside of what this tool can do: everyday things, and above all the work of neighbouring tools",
    "unclear": "nothing to act on: vague, half a thought",
    "typo": "a word so garbled or shortened that two commands fit",
}
RULES = """Rules for every example:
- One request, one command. Arguments and flags are those that the request asks for, named or plainly paraphrased, and no others. Defaults that nobody
  mentions are left out; a value that is said goes in even when it is the default.
- String values are copied verbatim from the request (case, spelling, paths), without quotes around them or the punctuation that ends the sentence; they
  must occur there letter by letter and are never completed or looked up. Numbers are numbers: "#12" and "twelve" are 12.
- An enum value is written as the schema lists it, however the request says it (a plural for a singular, "failed" for "failure").
- "me", "my" or "I" as the person who wrote or owns something is @me where the tool knows that value.
- A pointing word (this, that, it, here, the current one, my ...) takes the value of the context field that the schema names as from_context for the
  argument it stands for. Without that field it is a question back. "a" and "an" never point.
- Where the action needs a target, none is said, and the context has it, the context's value goes in. Otherwise what the context knows stays out: a target
  that is named beats it, and a branch, a folder or an owner is not added because it happens to be known.
- A word that only picks the command is no argument ("the latest one", "my bugs"). An optional target that is not mentioned is no reason to ask.
- Ask back where a required argument is missing, where two commands fit, where there is nothing to act on, and where the request is none of this tool's
  work. A plain typing error with one reading is an ordinary command.
- All examples differ from each other in wording, not only in their values. Make values up freely, as real projects have them: names, titles, branches,
  numbers, paths, words of every field of life, also invented ones. Never use the values of the schema's own examples more than once.
- Vary formality (casual to precise), completeness (all said, or implied defaults), synonyms (show/display/list, make/create), word order, and which
  optional arguments and flags are used. Short requests of two to six words are as frequent as sentences. Flags are said in words more often than as --flag.
- Write what a person would really type: no example reads like documentation, and none explains itself.

Reasons to ask back, for requests that are meant to have one:
%(asks)s

Output JSON: {"rows": [{"input": "<what a person types>", "context": <number of a situation, or null>, "answer": "<answer>"}, ...]}
An answer is the subcommand as the schema spells it, then arg=value for each argument (in double quotes where the value has spaces) and +flag for each flag:
  "answer": "%(command)s"
or, where the interpreter has to ask back, a question mark and the commands it should suggest (none for requests that no command fits):
  "answer": "? %(labels)s"
"""
ROW_TOKENS = 48  # of a row in a reply: 40 by the bundled tokenizer on rows of gh, and a fifth more for a tokenizer that is not public
SLACK = 1.15  # more rows are asked for than are missing: some will break a rule


def reply(properties):
    """JSON Schema of a reply: {"rows": [{...properties, "answer"}, ...]}."""

    def closed(some):
        return {"type": "object", "properties": some, "required": list(some), "additionalProperties": False}

    row = closed({**properties, "answer": {"type": "string"}})
    return closed({"rows": {"type": "array", "items": row}})


def apportion(total, weights):
    """{key: whole number} that sum to total, as close to the weights as whole numbers can be (largest remainder)."""
    whole = sum(weights.values())
    exact = {k: total * w / whole for k, w in weights.items()}
    out = {k: int(v) for k, v in exact.items()}
    for k in sorted(exact, key=lambda k: out[k] - exact[k])[: total - sum(out.values())]:
        out[k] += 1
    return out


def quotas(schema, num):
    """{("ctx"|"noctx", label) or ("ask", category): rows} for a data set of num rows: the shares of the bundled teacher."""
    kinds = dict(SHARES)
    if not schema.context:
        kinds["noctx"] += kinds.pop("ctx")
    asks = {c: w for c, w in ASK_SHARES.items() if c in askable(schema)}
    labels = {s.label: weight_of(s) for s in schema.subcommands}
    out = {}
    for kind, rows in apportion(num, kinds).items():
        parts = apportion(rows, asks if kind == "ask" else labels)
        out |= {(kind, key): n for key, n in parts.items()}
    return out


def askable(schema):
    """The categories of question that a CLI can have."""
    out = set(CATEGORIES)
    if not any(a.required for s in schema.subcommands for a in s.args):
        out.discard("missing_arg")
    if not any(s.args for s in schema.subcommands):
        out.discard("pronoun")
    if len(schema.subcommands) == 1:
        out -= {"multiple", "typo", "ambiguous_command"}
    return out


def cells(schema, need, size, number, slack=SLACK):
    """Cells of at most `size` rows that together ask for what is needed, {bucket: rows}. number: of the round, part of their ids."""
    groups = {}
    for (kind, key), n in need.items():
        if n > 0:
            sub = None if kind == "ask" else schema.by_label[key]
            group = key if sub is None else sub.command if sub.name else ""  # commands without subcommands go together
            groups.setdefault((kind, group), {})[key] = int(n * slack + 0.999)
    out = []
    for (kind, group), counts in groups.items():
        mixed = [k for _, k in sorted((i / n, k) for k, n in counts.items() for i in range(n))]
        for part in (mixed[i : i + size] for i in range(0, len(mixed), size)):
            if kind == "ask":
                wanted = {"category": group, "counts": {group: len(part)}}
            else:
                wanted = {"category": None, "counts": {k: part.count(k) for k in dict.fromkeys(part)}}
            out.append({"id": f"{number}-{len(out)}", "kind": kind, **wanted, "style": STYLES[len(out) % len(STYLES)]})
    return out


def situations(cell, schema, lexicon, rng, n=12):
    """The contexts that the rows of a cell can have, {"1": context, ...}; none for a command without one."""
    if not schema.context or cell["kind"] == "noctx":
        return {}
    return {str(i + 1): nest(context_of(schema, lexicon, rng, present=1)) for i in range(n)}


def system(schema):
    """The part of the prompt that all cells share, and that is cached."""
    sub = next((s for s in schema.subcommands if s.args and s.flags), schema.subcommands[0])
    values = {"integer": "12", "float": "0.5", "boolean": "true"}
    args = [f"{a.name}={a.values[0] if a.values else values.get(a.type, 'some-value')}" for a in sub.args[:1]]
    return (
        "You are generating training data for a CLI command interpreter: a small model that turns what people type into one command, "
        f"or into a question back.\n\nGiven this CLI schema:\n\n{schema_text(schema)}\n"
        + RULES
        % {
            "asks": "\n".join(f"- {c}: {why}" for c, why in ASKS.items()),
            "command": " ".join([sub.label, *args, *(f"+{f.name}" for f in sub.flags[:1])]),
            "labels": ", ".join(s.label for s in schema.subcommands[:2]),
        }
    )


def schema_text(schema):
    return yaml.safe_dump(schema.raw, sort_keys=False, allow_unicode=True, width=200)


def user(cell):
    """What a cell asks for; its "known" are instructions that the data set has already, its "situations" the contexts to use."""
    n = sum(cell["counts"].values())
    lines = [f"Generate {n} diverse examples of natural language inputs.", "", f"Kind: {KINDS[cell['kind']]}"]
    if cell["kind"] == "ask":
        lines.append(f"Why the interpreter has to ask: {ASKS[cell['category']]}.")
    else:
        lines.append("How many of each: " + ", ".join(f"{label} {k}" for label, k in cell["counts"].items()) + ".")
    lines.append(f"Style of all of them: {cell['style']}.")
    if cell["situations"]:
        lines += ["", "Situations:"]
        lines += [
            f"{i}. " + ", ".join(f"{f}: {v if isinstance(v, str) else json.dumps(v)}" for f, v in flatten(c).items())
            for i, c in cell["situations"].items()
        ]
    if cell["known"]:
        lines += ["", "The data set has these already; write others:", *(f"- {k}" for k in cell["known"])]
    return "\n".join(lines)
