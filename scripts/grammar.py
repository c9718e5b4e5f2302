"""The grammar of all answers that a CLI allows: canonical form, nothing else. As GBNF for llama.cpp, as Lark for llguidance.

Both syntaxes have the same rules; they differ in how free values are written. Imports no torch.
"""

import json

DIGITS = '("0" | [1-9] [0-9]*)'
GBNF = {
    "string": '"\\"" char+ "\\""',
    "path": '"\\"" char+ "\\""',
    "integer": f'"-"? {DIGITS}',
    "float": f'"-"? {DIGITS} ("." [0-9]+)?',
    "boolean": '("true" | "false")',
    "message": '"\\"" char+ "\\""',
    "confidence": '("0" ("." [0-9]+)? | "1" (".0")?)',
}
CHAR = 'char ::= [^"\\\\\\x00-\\x1F] | "\\\\" (["\\\\/bfnrt] | "u" [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F])'
LARK = {
    "string": "STRING",
    "path": "STRING",
    "integer": "INTEGER",
    "float": "FLOAT",
    "boolean": '("true" | "false")',
    "message": "STRING",
}
TERMINALS = [
    r'STRING: /"([^"\\\x00-\x1f]|\\(["\\\/bfnrt]|u[0-9a-fA-F]{4}))+"/',
    r"INTEGER: /-?(0|[1-9][0-9]*)/",
    r"FLOAT: /-?(0|[1-9][0-9]*)(\.[0-9]+)?/",
]


def gbnf(schema):
    """GBNF of every canonical answer. Arguments come in schema order, the required ones always; flags in schema order, each at
    most once; suggestions are (command, subcommand) pairs of the schema."""
    made = rules(schema, GBNF)
    return "\n".join([f"{name} ::= {body}" for name, body in made] + [CHAR]) + "\n"


def lark(schema):
    """The same for llguidance, up to the confidence, which is computed and not generated."""
    made = [("start" if name == "root" else name, body) for name, body in rules(schema, LARK)]
    return "\n".join([f"{name}: {body}" for name, body in made] + TERMINALS) + "\n"


def json_schema(schema):
    """JSON Schema of every answer, for programs that constrain or check by one (Ollama's `format`, jsonschema)."""
    types = {"string": "string", "path": "string", "integer": "integer", "float": "number", "boolean": "boolean"}

    def closed(properties, required=None):
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties) if required is None else required,
            "additionalProperties": False,
        }

    def value(arg):
        return {"enum": list(arg.values)} if arg.type == "enum" else {"type": types[arg.type]}

    confidence = {"type": "number", "minimum": 0, "maximum": 1}
    answers = [
        closed(
            {
                "type": {"const": "command"},
                "command": {"const": sub.command},
                "subcommand": {"const": sub.name},
                "args": closed({a.name: value(a) for a in sub.args}, [a.name for a in sub.args if a.required]),
                "flags": {"type": "array", "items": {"enum": [f.name for f in sub.flags]}, "uniqueItems": True}
                if sub.flags
                else {"type": "array", "maxItems": 0},
                "confidence": confidence,
            }
        )
        for sub in schema.subcommands
    ]
    pairs = [{"label": s.label, "command": s.command, "subcommand": s.name} for s in schema.subcommands]
    question = closed(
        {
            "type": {"const": "clarification"},
            "message": {"type": "string", "minLength": 1},
            "suggestions": {"type": "array", "items": {"enum": pairs}},
            "confidence": confidence,
        }
    )
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "anyOf": [*answers, question]}


def text(value):
    """A GBNF literal that matches exactly this text."""
    return json.dumps(value, ensure_ascii=False)


def rules(schema, free):
    """[(name, body)] of the rules, root first, in the syntax of `free`: how a value of each type is written."""
    out, commands = [], []
    for i, sub in enumerate(schema.subcommands):
        head = f'"command": {json.dumps(sub.command)}, "subcommand": {json.dumps(sub.name)}, "args": {{'
        args = [(text(f"{json.dumps(a.name)}: "), value_rule(a, free), a.required) for a in sub.args]
        flags = [(text(json.dumps(f.name)), "", False) for f in sub.flags]
        out += listing(f"a{i}x", args) + listing(f"f{i}x", flags)
        commands.append(f"c{i}")
        parts = [text(head), entry(f"a{i}x", args), text('}, "flags": ['), entry(f"f{i}x", flags), text("], ")]
        out.append((f"c{i}", " ".join(p for p in parts if p)))
    end = [text('"confidence": '), *([free["confidence"], text("}")] if "confidence" in free else [])]
    out.append(("command", " ".join([text('{"type": "command", '), f"({' | '.join(commands)})", *end])))
    pairs = [{"label": s.label, "command": s.command, "subcommand": s.name} for s in schema.subcommands]
    out.append(("suggestion", " | ".join(text(json.dumps(p, ensure_ascii=False)) for p in pairs)))
    opening = [text('{"type": "clarification", "message": '), free["message"], text(', "suggestions": [')]
    out.append(("clarification", " ".join([*opening, '(suggestion (", " suggestion)*)?', text("], "), *end])))
    return [("root", "command | clarification"), *out]


def value_rule(arg, free):
    if arg.type == "enum":
        return "(" + " | ".join(text(json.dumps(v, ensure_ascii=False)) for v in arg.values) + ")"
    return free[arg.type]


def entry(name, items):
    """The whole list: its rule, or nothing where there are no items."""
    if not items:
        return ""
    return f"{name}0" if any(required for *_, required in items) else f"{name}0?"


def listing(name, items):
    """[(name, body)] of the rules <name>0, <name>1, ...: <name>k is the non-empty, comma-separated list that starts at item k or later."""
    out = []
    for k, (key, value, required) in enumerate(items):
        last = k == len(items) - 1
        more_required = any(r for *_, r in items[k + 1 :])
        then = "" if last else f' ", " {name}{k + 1}' if more_required else f' (", " {name}{k + 1})?'
        rule = f"{key} {value}{then}" if value else f"{key}{then}"
        if not required and not last:
            rule += f" | {name}{k + 1}"
        out.append((f"{name}{k}", rule))
    return out
