"""Check a schema and its phrasebook: every fault at once with its line, and what makes the CLI ambiguous.

Reads   schemas/<name>.yaml, schemas/phrases/<name>.yaml where there is one
Run     just train-check name=gh
"""

import phrasebook
import schema as cli_schema
import utils
from settings import parse_settings
from utils import SCHEMAS, display


def main(argv):
    name = parse_settings(argv)["name"]
    path = SCHEMAS / f"{name}.yaml"
    schema, faults = cli_schema.read(path)
    found = [f"{display(path)}:{f}" for f in faults]
    warned = [f"{display(path)}:{w}" for w in (schema.warnings if schema else [])]
    phrases = phrasebook.path_of(name)
    frames = "no phrasebook: frames are composed from the schema"
    if schema and phrases.exists():
        book, faults = phrasebook.read(phrases, schema)
        found += [f"{display(phrases)}:{f}" for f in faults]
        if book:
            count = sum(map(len, book.frames.values()))
            silent = [s.label for s in schema.subcommands if not book.frames.get(s.label)]
            warned += [f"{display(phrases)}: no frames for '{label}'" for label in silent]
            frames = f"{count} frames and {sum(map(len, book.clarify.values()))} questions in {display(phrases)}"
    for line in warned:
        print(f"warning: {line}")
    if found:
        print("\n".join(f"fault: {f}" for f in found))
        utils.fail(
            f"{len(found)} fault{'s' if len(found) > 1 else ''} in the schema or phrasebook of {name}; mend the lines above"
        )
    args = sum(len(s.args) for s in schema.subcommands)
    flags = sum(len(s.flags) for s in schema.subcommands)
    print(
        f"{display(path)}: {schema.cli} has {len(schema.commands)} commands, {len(schema.subcommands)} to run, "
        f"{args} arguments, {flags} flags; {frames}; {len(warned)} warning{'' if len(warned) == 1 else 's'}, no faults"
    )


if __name__ == "__main__":
    utils.run(main)
