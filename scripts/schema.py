"""A CLI as its author describes it: read schemas/<name>.yaml and say every fault of it. Imports no torch."""

import json

import yaml_lines
from cli import build, build_arg, value_fits
from utils import SCHEMAS, display, fail
from yaml_lines import dotted, line_of

# (type of a context field, type of an argument that can be taken from it): beside the same type
GIVEN_AS = {("string", "path"), ("path", "string"), ("integer", "float"), ("string", "enum")}


def load(name):
    """Schema of schemas/<name>.yaml; on faults, all of them are printed and the program ends."""
    path = SCHEMAS / f"{name}.yaml"
    schema, faults = read(path)
    if faults:
        more = f" (and {len(faults) - 1} more; run: just train-check name={name})" if len(faults) > 1 else ""
        fail(f"{display(path)}:{faults[0]}{more}")
    return schema


def read(path):
    """(Schema or None, faults). A fault is "<line>: <what is wrong and where>"; the list is in file order."""
    raw, lines, faults = yaml_lines.read(path)
    if not lines:
        faults = faults or [(1, "the file is empty; it needs cli_name, description and commands")]
        return None, [f"{line}: {what}" for line, what in faults]
    return from_raw(raw, lines, faults)


def from_raw(raw, lines=None, faults=()):
    """Like read, for a schema that is already parsed (the one a GGUF carries); lines maps a path to its line."""
    lines = lines or {}
    faults = [*faults, *structure_faults(raw, lines)]
    if not faults:
        schema = build(raw)
        faults = meaning_faults(raw, lines)
        if not faults:
            schema.warnings = warnings(schema, lines)
            return schema, []
    return None, [f"{line}: {what}" for line, what in sorted(set(faults))]


def structure_faults(raw, lines):
    """Faults against schemas/schema.json, in plain words."""
    import jsonschema

    rules = json.loads((SCHEMAS / "schema.json").read_text(encoding="utf-8"))
    out = []
    for error in jsonschema.Draft202012Validator(rules).iter_errors(raw):
        for e in deepest(error):
            path = tuple(e.absolute_path)
            if e.validator == "additionalProperties":
                unknown = [k for k in e.instance if k not in e.schema["properties"]]
                out += [(line_of((*path, str(k)), lines), dotted(path) + unknown_key(e, k)) for k in unknown]
            else:
                out.append((line_of(path, lines), dotted(path) + plain(e)))
    return out


def deepest(error):
    """Of an anyOf/oneOf, the faults of the branch that fits best; otherwise the fault itself."""
    if not error.context:
        return [error]
    branches = {}
    for e in error.context:
        branches.setdefault(e.schema_path[0], []).append(e)
    wrong_kind = lambda b: any(e.validator in ("type", "enum") and not e.path for e in b)  # noqa: E731
    best = min(branches.values(), key=lambda b: (wrong_kind(b), len(b)))
    return [d for e in best for d in deepest(e)]


def unknown_key(e, key):
    import difflib

    known = list(e.schema["properties"])
    near = difflib.get_close_matches(str(key), known, 1)
    return f"unknown key '{key}'" + (f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}")


def plain(e):
    if e.validator == "required":  # one error for each missing key; only its message says which
        return f"{e.message.removesuffix(' is a required property')} is missing"
    if e.validator == "type":
        kinds = {"object": "a mapping", "array": "a list", "string": "text", "boolean": "true or false"}
        kind = e.validator_value if isinstance(e.validator_value, str) else e.validator_value[0]
        return f"should be {kinds.get(kind, kind)}, not {json.dumps(e.instance, default=str)[:40]}"
    if e.validator == "minItems":
        return "the list is empty"
    if e.validator == "enum":
        return f"{json.dumps(e.instance, default=str)} is not one of: {', '.join(map(str, e.validator_value))}"
    if e.validator == "pattern":
        return f"{e.instance!r} is not a name (letters, digits and . _ : -)"
    return e.message


def nodes(raw):
    """(path, node, label) of everything that can be run."""
    for i, c in enumerate(raw["commands"]):
        if c.get("subcommands"):
            for j, s in enumerate(c["subcommands"]):
                yield ("commands", i, "subcommands", j), s, f"{c['name']} {s['name']}"
        else:
            yield ("commands", i), c, c["name"]


def meaning_faults(raw, lines):
    """What a JSON Schema cannot say: names given twice, defaults that do not fit, context fields that do not exist."""
    out = []

    def fault(path, text):
        out.append((line_of(path, lines), dotted(path) + text))

    def unique(path, items, what):
        seen = {}
        for i, item in enumerate(items):
            if item["name"] in seen:
                fault((*path, i, "name"), f"{what} '{item['name']}' is there twice")
            seen[item["name"]] = i

    unique(("commands",), raw["commands"], "command")
    unique(("context",), raw.get("context") or [], "context field")
    fields = {f["name"] for f in raw.get("context") or ()}
    for k, f in enumerate(raw.get("context") or ()):
        inside = next((other for other in sorted(fields) if other.startswith(f"{f['name']}.")), None)
        if inside:
            fault(("context", k, "name"), f"'{f['name']}' has a value, so '{inside}' cannot lie in it; rename one")
        for example in f.get("examples") or ():
            if not isinstance(example, str | int | float):
                fault(("context", k, "examples"), f"example {example} of '{f['name']}' is no text or number; quote it")
    for i, c in enumerate(raw["commands"]):
        unique(("commands", i, "subcommands"), c.get("subcommands") or [], "subcommand")
        if c.get("subcommands") and (c.get("args") or c.get("flags")):
            fault(("commands", i), f"'{c['name']}' has subcommands, so its args and flags belong to these")
    for path, node, _ in nodes(raw):
        unique((*path, "args"), node.get("args") or [], "argument")
        unique((*path, "flags"), node.get("flags") or [], "flag")
        shorts = {}
        for k, f in enumerate(node.get("flags") or []):
            if f.get("short") in shorts and f.get("short"):
                fault((*path, "flags", k, "short"), f"-{f['short']} is also the short form of '{shorts[f['short']]}'")
            shorts[f.get("short")] = f["name"]
        for k, a in enumerate(node.get("args") or []):
            at = (*path, "args", k)
            arg = build_arg(a)
            if arg.type == "enum" and not arg.values:
                fault((*at, "type"), f"'{arg.name}' is an enum without values")
            if arg.type != "enum" and arg.values:
                fault((*at, "values"), f"'{arg.name}' has values but its type is {arg.type}; use type: enum")
            if arg.default is not None and not value_fits(arg, arg.default):
                fault((*at, "default"), f"default {arg.default!r} of '{arg.name}' is no {describe(arg)}")
            for example in arg.examples:
                if not value_fits(arg, example):
                    fault((*at, "examples"), f"example {example!r} of '{arg.name}' is no {describe(arg)}")
            if arg.from_context and arg.from_context not in fields:
                fault((*at, "from_context"), f"'{arg.from_context}' is no field of the context: section")
    return out


def describe(arg):
    return f"one of {', '.join(map(str, arg.values))}" if arg.type == "enum" else arg.type


def warnings(schema, lines):
    """Ambiguity that is allowed but costs accuracy: "<line>: <text>"."""
    raw, out = schema.raw, []

    def warn(path, text):
        out.append((line_of(path, lines), text))

    for path, node, label in nodes(raw):
        for k, a in enumerate(node.get("args") or []):
            arg = build_arg(a)
            given = schema.context.get(arg.from_context, arg.type)
            if given != arg.type and (given, arg.type) not in GIVEN_AS:
                warn(
                    (*path, "args", k, "from_context"),
                    f"'{arg.from_context}' is {given}, but argument '{arg.name}' of '{label}' is {arg.type}; it will never be taken from there",
                )
    said = {}
    for i, c in enumerate(raw["commands"]):
        for word in {w.lower() for w in [c["name"], *(c.get("aliases") or [])]}:
            if word in said:
                warn(("commands", i, "aliases"), f"'{word}' names both '{said[word]}' and '{c['name']}'")
            said.setdefault(word, c["name"])
        words = {}
        for j, s in enumerate(c.get("subcommands") or []):
            for word in {w.lower() for w in [s["name"], *(s.get("aliases") or [])]}:
                if word in words:
                    warn(
                        ("commands", i, "subcommands", j, "aliases"),
                        f"'{c['name']} {word}' could be both '{c['name']} {words[word]}' and '{c['name']} {s['name']}'",
                    )
                words.setdefault(word, s["name"])
    for path, node, label in nodes(raw):
        if not node.get("description"):
            warn(path, f"'{label}' has no description")
        for k, a in enumerate(node.get("args") or []):
            if not a.get("description"):
                warn((*path, "args", k), f"argument '{a['name']}' of '{label}' has no description")
            if a.get("required") and a.get("type") == "boolean":
                warn(
                    (*path, "args", k),
                    f"argument '{a['name']}' of '{label}' is required, but nobody says true or false; make it a flag",
                )
            if a.get("required") and a.get("default") is not None:
                warn(
                    (*path, "args", k),
                    f"argument '{a['name']}' of '{label}' is required and has a default; it will be asked for",
                )
        for k, f in enumerate(node.get("flags") or []):
            if not f.get("description") and not f.get("natural_language"):
                warn((*path, "flags", k), f"flag '{f['name']}' of '{label}' has no description")
    return [f"{line}: {text}" for line, text in sorted(out)]
