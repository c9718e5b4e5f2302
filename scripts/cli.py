"""The objects of a CLI: what can be run, with which arguments and flags. Built from a schema that was checked. Imports no torch."""

import itertools
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Arg:
    """One argument. type: string, integer, float, boolean, path or enum; values only for enum; from_context is a dotted context field."""

    name: str
    type: str = "string"
    description: str = ""
    required: bool = False
    default: object = None
    values: tuple = ()
    examples: tuple = ()
    from_context: str | None = None
    positional: bool = False
    natural_language: tuple = ()


@dataclass(frozen=True)
class Flag:
    name: str
    short: str | None = None
    description: str = ""
    natural_language: tuple = ()
    destructive: bool = False


@dataclass(frozen=True)
class Subcommand:
    """What can be run: a command with a subcommand, or (name None) a command without subcommands."""

    command: str
    name: str | None
    description: str = ""
    aliases: tuple = ()
    args: tuple = ()
    flags: tuple = ()
    command_aliases: tuple = ()
    destructive: bool = False

    @property
    def key(self):
        return self.command, self.name

    @property
    def label(self):
        """ "pr merge", or "drain" for a command without subcommands."""
        return self.command if self.name is None else f"{self.command} {self.name}"

    @cached_property
    def arg(self):
        return {a.name: a for a in self.args}

    @cached_property
    def flag(self):
        return {f.name: f for f in self.flags}


@dataclass
class Schema:
    """A checked schema. raw is the parsed YAML; context maps a dotted field to its type."""

    cli: str
    description: str
    subcommands: list
    context: dict
    raw: dict
    warnings: list = field(default_factory=list)

    @cached_property
    def by_key(self):
        return {s.key: s for s in self.subcommands}

    @cached_property
    def by_label(self):
        return {s.label: s for s in self.subcommands}

    @cached_property
    def commands(self):
        """command name -> its subcommands, in file order."""
        return {k: list(g) for k, g in itertools.groupby(self.subcommands, key=lambda s: s.command)}


def build(raw):
    subcommands = []
    for c in raw["commands"]:
        nodes = c.get("subcommands") or [dict(c, name=None)]
        for s in nodes:
            subcommands.append(
                Subcommand(
                    command=c["name"],
                    name=s["name"],
                    description=s.get("description", ""),
                    aliases=tuple(s.get("aliases") or ()) + tuple(s.get("natural_language") or ()),
                    args=tuple(build_arg(a) for a in s.get("args") or ()),
                    flags=tuple(build_flag(f) for f in s.get("flags") or ()),
                    command_aliases=tuple(c.get("aliases") or ()) + tuple(c.get("natural_language") or ()),
                    destructive=bool(s.get("destructive") or c.get("destructive")),
                )
            )
    # a field that does not say its type has that of the argument it is for
    taken = {a.from_context: a.type for s in subcommands for a in s.args if a.from_context and a.type != "enum"}
    context = {f["name"]: f.get("type") or taken.get(f["name"], "string") for f in raw.get("context") or ()}
    return Schema(raw["cli_name"], raw.get("description", ""), subcommands, context, raw)


def build_arg(a):
    kind = a.get("type", "string")
    values = a.get("values") or ()
    if isinstance(kind, dict):
        kind, values = "enum", kind["enum"]
    return Arg(
        name=a["name"],
        type=kind,
        description=a.get("description", ""),
        required=bool(a.get("required")),
        default=a.get("default"),
        values=tuple(values),
        examples=tuple(a.get("examples") or ()),
        from_context=a.get("from_context"),
        positional=bool(a.get("positional", a.get("required"))),
        natural_language=tuple(a.get("natural_language") or ()),
    )


def build_flag(f):
    return Flag(
        f["name"],
        f.get("short"),
        f.get("description", ""),
        tuple(f.get("natural_language") or ()),
        bool(f.get("destructive")),
    )


def value_fits(arg, value):
    """Whether a value has the argument's type. Strict: 5 is not "5", true is not 1."""
    if arg.type == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if arg.type == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if arg.type == "boolean":
        return isinstance(value, bool)
    if arg.type == "enum":
        return value in arg.values and not isinstance(value, bool)
    return isinstance(value, str)
