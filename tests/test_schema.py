"""Reading a schema: every fault with its line and its words, what is only warned of, and the files we ship."""

import jsonschema
import phrasebook
import pytest
import schema as cli_schema
import yaml
import yaml_lines
from cli import Arg, value_fits
from conftest import ROOT

HEAD = "cli_name: tool\ndescription: A tool\ncommands:\n"
SHIPPED = sorted((ROOT / "schemas").glob("*.yaml"))
TYPES = "string, integer, float, boolean, path, enum"
RUN_KEYS = "name, description, aliases, natural_language, destructive, args, flags, subcommands"


@pytest.fixture
def read(tmp_path):
    """(Schema or None, faults) of a text or of bytes."""

    def read_text(text):
        path = tmp_path / "tool.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return cli_schema.read(path)

    return read_text


def with_arg(*lines):
    """A schema with one argument, `size`; the first of `lines` is line 9 of the file."""
    start = (
        HEAD + "  - name: run\n    description: Run it\n    args:\n      - name: size\n        description: How big\n"
    )
    return start + "".join(f"        {line}\n" for line in lines)


def with_command(*lines):
    """A schema with one command, `run`; the first of `lines` is line 6 of the file."""
    return HEAD + "  - name: run\n    description: Run it\n" + "".join(f"    {line}\n" for line in lines)


# ------------------------------------------------------------------------------------------- files that are no schema
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1: the file is empty; it needs cli_name, description and commands"),
        ("\n# later\n", "1: the file is empty; it needs cli_name, description and commands"),
        ("null\n", "1: should be a mapping, not null"),
        ("hello\n", '1: should be a mapping, not "hello"'),
        ("- a\n- b\n", '1: should be a mapping, not ["a", "b"]'),
        ("cli_name: caf\u00e9\n".encode("latin-1"), "1: not UTF-8 text"),
        (HEAD + "  - name: a: b\n", "4: not valid YAML: mapping values are not allowed here"),
        (HEAD + "\t- name: a\n", "4: not valid YAML: found character '\\t' that cannot start any token"),
        ("a: [1\nb: 2\n", "2: not valid YAML: expected ',' or ']', but got ':'"),
        ('a: "open\nb: 1\n', "3: not valid YAML: found unexpected end of stream"),
        ("a: *b\n", "1: not valid YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2\n", "2: not valid YAML: but found another document"),
        ("a: \x00\n", "1: not valid YAML: unacceptable character #x0000: special characters are not allowed"),
        ("a: 1\nb: !secret c\n", "2: not valid YAML: could not determine a constructor for the tag '!secret'"),
        ("a: 1\n? [b]\n: c\n", "2: not valid YAML: found unhashable key"),
    ],
)
def test_what_is_no_schema_is_one_fault(read, text, fault):
    assert read(text) == (None, [fault])


def test_a_day_that_does_not_exist_is_a_fault(read):
    schema, faults = read(with_arg("examples: [2026-13-45]"))
    assert schema is None
    assert [f[:41] for f in faults] == ["1: not valid YAML: month must be in 1..12"]  # newer Pythons add the number


def test_a_file_that_is_not_there_is_a_fault(tmp_path):
    assert cli_schema.read(tmp_path / "none.yaml") == (None, ["1: no such file"])


def test_a_byte_order_mark_is_no_fault(read):
    schema, faults = read(b"\xef\xbb\xbf" + with_arg().encode())
    assert (schema.cli, faults) == ("tool", [])


# ------------------------------------------------------------------------------------------------- faults of structure
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("description: A tool\ncommands: [{name: a}]\n", "1: 'cli_name' is missing"),
        ("cli_name: tool\ncommands: [{name: a}]\n", "1: 'description' is missing"),
        ("cli_name: tool\ndescription: A tool\n", "1: 'commands' is missing"),
        (HEAD.replace("A tool", '""') + "  - name: a\n", "2: description: '' should be non-empty"),
        (HEAD.replace("A tool", "[A, tool]") + "  - name: a\n", '2: description: should be text, not ["A", "tool"]'),
        (HEAD.replace("tool", "my tool", 1) + "  - name: a\n", "1: cli_name: 'my tool' is not a name"),
        (HEAD + "  []\n", "3: commands: the list is empty"),
        (HEAD, "3: commands: should be a list, not null"),
        (HEAD + "  run: {}\n", '3: commands: should be a list, not {"run": {}}'),
        (HEAD + "  - run\n", '4: commands[0]: should be a mapping, not "run"'),
        (HEAD + "  - description: Run it\n", "4: commands[0]: 'name' is missing"),
        (HEAD + "  - name: 5\n", "4: commands[0].name: should be text, not 5"),
        (HEAD + "  - name: on\n", "4: commands[0].name: should be text, not true"),
        (HEAD + "  - name: -x\n", "4: commands[0].name: '-x' is not a name"),
        (HEAD + "  - name: a/b\n", "4: commands[0].name: 'a/b' is not a name"),
        (with_command("aliases: go"), '6: commands[0].aliases: should be a list, not "go"'),
        (with_command("aliases: [go, 5]"), "6: commands[0].aliases[1]: should be text, not 5"),
        (with_command("aliases:", "  - go", "  - ''"), "8: commands[0].aliases[1]: '' should be non-empty"),
        (with_command("destructive: maybe"), '6: commands[0].destructive: should be true or false, not "maybe"'),
        (with_command("subcommands: []"), "6: commands[0].subcommands: the list is empty"),
        (with_command("subcommands:", "  - description: x"), "7: commands[0].subcommands[0]: 'name' is missing"),
        (with_command("flags: [{short: f}]"), "6: commands[0].flags[0]: 'name' is missing"),
        (with_command("flags:", "  - name: f", "    short: ff"), "8: commands[0].flags[0].short: 'ff' is too long"),
        (with_arg("required: sure"), '9: commands[0].args[0].required: should be true or false, not "sure"'),
        (with_arg("examples: 5"), "9: commands[0].args[0].examples: should be a list, not 5"),
        (with_arg("type: strng"), f'9: commands[0].args[0].type: "strng" is not one of: {TYPES}'),
        (with_arg("type: 5"), f"9: commands[0].args[0].type: 5 is not one of: {TYPES}"),
        (with_arg("type: enum", "values: []"), "10: commands[0].args[0].values: the list is empty"),
        (with_arg("type: enum", "values: [a, 5]"), "10: commands[0].args[0].values[1]: should be text, not 5"),
        (with_arg("type: {enum: []}"), "9: commands[0].args[0].type.enum: the list is empty"),
        (with_arg("type: {enum: [a, 5]}"), "9: commands[0].args[0].type.enum[1]: should be text, not 5"),
        ("context: [{name: a, type: enum}]\n" + with_arg(), '1: context[0].type: "enum" is not one of: ' + TYPES[:-6]),
        ("context:\n  - type: path\n" + with_arg(), "2: context[0]: 'name' is missing"),
    ],
)
def test_a_fault_of_structure_has_its_line_and_place(read, text, fault):
    fault += " (letters, digits and . _ : -)" if fault.endswith("is not a name") else ""
    assert read(text) == (None, [fault])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            with_command("args: []", "descripton: Run"),
            "7: commands[0]: unknown key 'descripton'; did you mean 'description'?",
        ),
        (with_command("args: []", "qqq: 1"), f"7: commands[0]: unknown key 'qqq'; known: {RUN_KEYS}"),
        (
            with_arg("type: path", "from_contxt: a"),
            "10: commands[0].args[0]: unknown key 'from_contxt'; did you mean 'from_context'?",
        ),
        (with_arg() + "contxt: []\n", "9: unknown key 'contxt'; did you mean 'context'?"),
        (
            with_arg("type: {enum: [a], enumm: [b]}"),
            "9: commands[0].args[0].type: unknown key 'enumm'; did you mean 'enum'?",
        ),
    ],
)
def test_an_unknown_key_is_named_at_its_own_line(read, text, fault):
    assert read(text) == (None, [fault])


def test_several_unknown_keys_are_all_named(read):
    assert read(with_command("alias: [go]", "args: []", "flag: []")) == (
        None,
        [
            "6: commands[0]: unknown key 'alias'; did you mean 'aliases'?",
            "8: commands[0]: unknown key 'flag'; did you mean 'flags'?",
        ],
    )


def test_several_missing_keys_are_all_named(read):
    schema, faults = read("context: []\n")
    assert schema is None
    assert sorted(faults) == ["1: 'cli_name' is missing", "1: 'commands' is missing", "1: 'description' is missing"]


def test_words_that_yaml_takes_for_true_and_false_are_named_one_by_one(read):
    assert read(with_arg("type: {enum: [yes, no]}")) == (
        None,
        [
            "9: commands[0].args[0].type.enum[0]: should be text, not true",
            "9: commands[0].args[0].type.enum[1]: should be text, not false",
        ],
    )


def test_several_faults_of_structure_come_in_file_order(read):
    text = """\
cli_name: tool
description: A tool
commands:
  - name: zip it
    args:
      - name: size
        type: int
  - name: run
    aliases: go
    subcommands:
      - name: far
        args: 5
        flags:
          - short: f
"""
    assert read(text) == (
        None,
        [
            "4: commands[0].name: 'zip it' is not a name (letters, digits and . _ : -)",
            f'7: commands[0].args[0].type: "int" is not one of: {TYPES}',
            '9: commands[1].aliases: should be a list, not "go"',
            "12: commands[1].subcommands[0].args: should be a list, not 5",
            "14: commands[1].subcommands[0].flags[0]: 'name' is missing",
        ],
    )


def test_file_order_is_by_number_not_by_text(read):
    lines = [line for n in range(7) for line in (f"- name: f{n}", "  short: ab")]
    schema, faults = read(with_command("flags:", *lines))
    assert schema is None
    assert [f.partition(":")[0] for f in faults] == ["8", "10", "12", "14", "16", "18", "20"]


def test_a_key_given_twice_is_a_fault_at_the_second_place(read):
    text = with_command("args: []", "aliases: [go]", "args: []") + "cli_name: other\n"
    assert read(text) == (None, ["8: commands[0]: args is given twice", "9: cli_name is given twice"])


# --------------------------------------------------------------------------------------------------- faults of meaning
def test_several_faults_of_meaning_come_in_file_order(read):
    text = """\
cli_name: tool
description: A tool
context:
  - name: here
  - name: here
commands:
  - name: run
    args:
      - name: size
        type: integer
        default: big
        examples: [1, two, 2.5, true]
        from_context: there
      - name: size
      - name: mode
        type: enum
      - name: kind
        values: [a, b]
      - name: method
        type: enum
        values: [merge, squash]
        default: rebase
    flags:
      - name: fast
        short: f
      - name: force
        short: f
      - name: fast
  - name: run
  - name: both
    args: [{name: x}]
    subcommands:
      - name: one
      - name: one
        flags: [{name: y}, {name: y}]
"""
    at = "commands[0].args"
    assert read(text) == (
        None,
        [
            "5: context[1].name: context field 'here' is there twice",
            f"11: {at}[0].default: default 'big' of 'size' is no integer",
            f"12: {at}[0].examples: example 'two' of 'size' is no integer",
            f"12: {at}[0].examples: example 2.5 of 'size' is no integer",
            f"12: {at}[0].examples: example True of 'size' is no integer",
            f"13: {at}[0].from_context: 'there' is no field of the context: section",
            f"14: {at}[1].name: argument 'size' is there twice",
            f"16: {at}[2].type: 'mode' is an enum without values",
            f"18: {at}[3].values: 'kind' has values but its type is string; use type: enum",
            f"22: {at}[4].default: default 'rebase' of 'method' is no one of merge, squash",
            "27: commands[0].flags[1].short: -f is also the short form of 'fast'",
            "28: commands[0].flags[2].name: flag 'fast' is there twice",
            "29: commands[1].name: command 'run' is there twice",
            "30: commands[2]: 'both' has subcommands, so its args and flags belong to these",
            "34: commands[2].subcommands[1].name: subcommand 'one' is there twice",
            "35: commands[2].subcommands[1].flags[1].name: flag 'y' is there twice",
        ],
    )


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("string", ["a", ""], [1, 1.5, True]),
        ("path", ["a/b"], [1, False]),
        ("integer", [0, -3], [1.0, "1", True]),
        ("float", [0, -1.5], ["1.5", False]),
        ("boolean", [True, False], [0, 1, "true"]),
        ("enum", ["a", "b"], ["A", "", 1, True]),
    ],
)
def test_a_value_fits_its_type_exactly(kind, good, bad):
    arg = Arg("x", type=kind, values=("a", "b") if kind == "enum" else ())
    assert [v for v in good if not value_fits(arg, v)] == []
    assert [v for v in bad if value_fits(arg, v)] == []


# ----------------------------------------------------------------------------------------------------- what is read
@pytest.mark.parametrize("lines", [["type: enum", "values: [small, big]"], ["type: {enum: [small, big]}"]])
def test_both_spellings_of_an_enum_mean_the_same(read, lines):
    schema, faults = read(with_arg(*lines, "default: big"))
    assert faults == []
    arg = schema.by_label["run"].arg["size"]
    assert (arg.type, arg.values, arg.default) == ("enum", ("small", "big"), "big")


def test_commands_with_and_without_subcommands(read):
    schema, faults = read(
        HEAD
        + "  - name: drain\n    description: Empty it\n    args:\n"
        + "      - {name: node, required: true, description: Which}\n"
        + "      - {name: wait, type: integer, default: 5, description: Seconds}\n"
        + "    flags: [{name: force, short: f, description: Do not ask}]\n"
        + "  - name: pr\n    aliases: [MR]\n    subcommands:\n"
        + "      - {name: list, description: Show them, aliases: [ls], natural_language: [overview]}\n"
        + "      - {name: merge, description: Land it, destructive: true}\n"
    )
    assert (faults, schema.warnings) == ([], [])
    assert [(s.label, s.key) for s in schema.subcommands] == [
        ("drain", ("drain", None)),
        ("pr list", ("pr", "list")),
        ("pr merge", ("pr", "merge")),
    ]
    assert {name: [s.label for s in group] for name, group in schema.commands.items()} == {
        "drain": ["drain"],
        "pr": ["pr list", "pr merge"],
    }
    drain, listing, merge = schema.subcommands
    assert [(a.name, a.required, a.positional) for a in drain.args] == [("node", True, True), ("wait", False, False)]
    assert (drain.flag["force"].short, [s.destructive for s in schema.subcommands]) == ("f", [False, False, True])
    assert (listing.aliases, listing.command_aliases) == (("ls", "overview"), ("MR",))
    assert (merge.args, merge.flags) == ((), ())


def test_empty_args_and_flags_may_be_left_blank(read):
    schema, faults = read(with_command("args:", "flags:"))
    assert (faults, schema.subcommands[0].args, schema.subcommands[0].flags) == ([], (), ())


def test_context_fields_have_types_and_arguments_may_name_them(read):
    text = "context:\n  - {name: git.pr, type: integer}\n  - name: git.branch\n" + with_arg("from_context: git.branch")
    schema, faults = read(text)
    assert (faults, schema.context) == ([], {"git.pr": "integer", "git.branch": "string"})
    assert schema.by_label["run"].arg["size"].from_context == "git.branch"


def test_a_context_field_without_a_type_has_that_of_its_argument(read):
    text = "context:\n  - name: a\n  - name: b\n" + with_arg("from_context: a", "type: integer")
    schema, faults = read(text)
    assert (faults, schema.context, schema.warnings) == ([], {"a": "integer", "b": "string"}, [])


def test_context_fields_that_lie_in_each_other_and_examples_that_are_no_values(read):
    text = "context:\n  - name: git\n  - name: git.branch\n  - name: day\n    examples: [2024-01-01, x, 5]\n"
    assert read(text + with_arg()) == (
        None,
        [
            "2: context[0].name: 'git' has a value, so 'git.branch' cannot lie in it; rename one",
            "5: context[2].examples: example 2024-01-01 of 'day' is no text or number; quote it",
        ],
    )


@pytest.mark.parametrize("destructive", ["true", "false"])
def test_a_command_that_is_destructive_has_destructive_subcommands(read, destructive):
    text = with_command(f"destructive: {destructive}", "subcommands: [{name: a}, {name: b, destructive: true}]")
    schema, faults = read(text)
    assert faults == []
    assert [s.destructive for s in schema.subcommands] == [destructive == "true", True]


# ------------------------------------------------------------------------------------------------------------ warnings
def test_a_context_field_of_another_type_than_its_argument_is_warned_of(read):
    text = "context:\n  - {name: a, type: string}\n" + with_arg("type: integer", "from_context: a")
    schema, faults = read(text)
    assert faults == []
    assert schema.warnings == [
        "12: 'a' is string, but argument 'size' of 'run' is integer; it will never be taken from there"
    ]
    schema, _ = read(text.replace("integer", "path"))
    assert schema.warnings == []


def test_what_makes_a_tool_ambiguous_is_warned_of_in_file_order(read):
    schema, faults = read("""\
cli_name: tool
description: A tool
commands:
  - name: pr
    aliases: [change]
    subcommands:
      - name: list
        description: Show them
        aliases: [All]
      - name: status
        description: Where they stand
        aliases:
          - all
          - list
  - name: change
    args:
      - name: really
        type: boolean
        required: true
        description: Say true
      - name: size
        required: true
        default: big
    flags:
      - name: fast
      - name: slow
        natural_language: [at leisure]
""")
    assert faults == []
    assert schema.warnings == [
        "12: 'pr all' could be both 'pr list' and 'pr status'",
        "12: 'pr list' could be both 'pr list' and 'pr status'",
        "15: 'change' has no description",
        "15: 'change' names both 'pr' and 'change'",
        "17: argument 'really' of 'change' is required, but nobody says true or false; make it a flag",
        "21: argument 'size' of 'change' has no description",
        "21: argument 'size' of 'change' is required and has a default; it will be asked for",
        "25: flag 'fast' of 'change' has no description",
    ]


def test_the_same_alias_twice_in_one_subcommand_is_no_warning(read):
    schema, faults = read(with_command("aliases: [go, Go, RUN]"))
    assert (faults, schema.warnings) == ([], [])


# ---------------------------------------------------------------------------------------------------------------- load
def test_a_stage_names_the_first_fault_and_how_many_more_there_are(project):
    path = project.root / "schemas" / "tool.yaml"
    path.write_text(with_arg("type: int"))
    first = f'schemas/tool.yaml:9: commands[0].args[0].type: "int" is not one of: {TYPES}'
    assert project.fails("generate.py", "name=tool") == f"generate.py: {first}"
    path.write_text(with_arg("type: int", "required: 1", "examples: 2"))
    more = " (and 2 more; run: just train-check name=tool)"
    assert project.fails("generate.py", "name=tool") == f"generate.py: {first}{more}"
    assert not project.data("tool").exists()


# ------------------------------------------------------------------------------------------------------ shipped files
def test_the_shipped_schemas_are_these():
    assert {"gh", "notes"} <= {p.stem for p in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_a_shipped_schema_reads_without_fault_and_is_found_by_label(path):
    schema, faults = cli_schema.read(path)
    assert faults == []
    assert len(schema.subcommands) == len(schema.by_label) == len(schema.by_key) > 0
    assert schema.raw == yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_a_schema_without_its_lines_reads_the_same(path):
    schema, _ = cli_schema.read(path)
    again, faults = cli_schema.from_raw(schema.raw)
    assert (faults, again.subcommands, again.context) == ([], schema.subcommands, schema.context)


@pytest.mark.parametrize("path", sorted((ROOT / "schemas" / "phrases").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_shipped_phrasebook_has_no_fault_and_no_block_twice(path):
    schema, _ = cli_schema.read(ROOT / "schemas" / path.name)
    book, faults = phrasebook.read(path, schema)
    assert faults == []
    assert [s.label for s in schema.subcommands if not book.frames.get(s.label)] == []
    twice = []
    yaml_lines.walk(yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader), (), {}, twice)
    assert twice == []


def test_the_json_schema_is_itself_valid():
    rules = yaml.safe_load((ROOT / "schemas" / "schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(rules)
    assert rules["required"] == ["cli_name", "description", "commands"]
