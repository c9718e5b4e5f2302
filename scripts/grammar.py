"""The grammar of all answers that a CLI allows, as GBNF for llama.cpp: canonical form, nothing else. Imports no torch."""

import json

FREE = {
    "string": '"\\"" char+ "\\""',
    "path": '"\\"" char+ "\\""',
    "integer": '"-"? ("0" | [1-9] [0-9]*)',
    "float": '"-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)?',
    "boolean": '("true" | "false")',
}
CHAR = 'char ::= [^"\\\\\\x00-\\x1F] | "\\\\" (["\\\\/bfnrt] | "u" [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F])'


def text(value):
    """A GBNF literal that matches exactly this text."""
    return json.dumps(value, ensure_ascii=False)


def gbnf(schema):
    """GBNF of every canonical answer. Arguments come in schema order, the required ones always; flags in schema order, each at
    most once; suggestions are (command, subcommand) pairs of the schema."""
    rules = ["root ::= command | clarification", CHAR, 'confidence ::= "0" ("." [0-9]+)? | "1" (".0")?']
    commands = []
    for i, sub in enumerate(schema.subcommands):
        head = f'"command": {json.dumps(sub.command)}, "subcommand": {json.dumps(sub.name)}, "args": {{'
        args = [(text(f"{json.dumps(a.name)}: "), value_rule(a), a.required) for a in sub.args]
        flags = [(text(json.dumps(f.name)), "", False) for f in sub.flags]
        rules += listing(f"a{i}x", args) + listing(f"f{i}x", flags)
        commands.append(f"c{i}")
        rules.append(
            f"c{i} ::= {text(head)} {entry(f'a{i}x', args)} {text('}, ' + chr(34) + 'flags' + chr(34) + ': [')} {entry(f'f{i}x', flags)} {text('], ')}"
        )
    rules.append(
        f"command ::= {text(chr(123) + json.dumps('type') + ': ' + json.dumps('command') + ', ')} ({' | '.join(commands)}) {tail()}"
    )
    pairs = [
        text(json.dumps({"label": s.label, "command": s.command, "subcommand": s.name}, ensure_ascii=False))
        for s in schema.subcommands
    ]
    rules.append("suggestion ::= " + " | ".join(pairs))
    opening = '{"type": "clarification", "message": "'
    rules.append(
        f"clarification ::= {text(opening)} char+ {text(chr(34) + ', ' + chr(34) + 'suggestions' + chr(34) + ': [')} "
        f'(suggestion (", " suggestion)*)? {text("], ")} {tail()}'
    )
    return "\n".join(rules) + "\n"


def tail():
    return f'{text(json.dumps("confidence") + ": ")} confidence "}}"'


def value_rule(arg):
    if arg.type == "enum":
        return "(" + " | ".join(text(json.dumps(v, ensure_ascii=False)) for v in arg.values) + ")"
    return FREE[arg.type]


def entry(name, items):
    """The whole list: its rule, or nothing where every item may be left out."""
    if not items:
        return '""'
    return f"{name}0" if any(required for *_, required in items) else f"{name}0?"


def listing(name, items):
    """Rules <name>0, <name>1, ...: <name>k is the non-empty, comma-separated list that starts at item k or later."""
    rules = []
    for k, (key, value, required) in enumerate(items):
        last = k == len(items) - 1
        more_required = any(r for *_, r in items[k + 1 :])
        then = "" if last else f' ", " {name}{k + 1}' if more_required else f' (", " {name}{k + 1})?'
        rule = f"{key} {value}{then}"
        if not required and not last:
            rule += f" | {name}{k + 1}"
        rules.append(f"{name}{k} ::= {rule}")
    return rules
