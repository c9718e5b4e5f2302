"""The notation of phrasebooks and lexicon, in which one line stands for many sentences: schemas/phrases/README.md describes it."""

import re
from dataclasses import dataclass


class Fault(ValueError):
    """A line that cannot be read; the message says why."""


@dataclass(frozen=True)
class Node:
    """Part of a text. kind: text (value is the string), slot, option (value is the name), any (one of parts), seq (all)."""

    kind: str
    value: str = ""
    parts: tuple = ()


def parse_text(text, shared):
    """A text of the notation as a Node; shared maps $names to Nodes."""
    node, rest = parse_any(text, 0, shared, top=True)
    if rest < len(text):
        raise Fault(f"')' without '(' at '{text[rest : rest + 20]}'")
    return node


def parse_any(text, i, shared, top=False):
    branches, parts, buffer = [], [], ""

    def flush():
        nonlocal buffer
        if buffer:
            parts.append(Node("text", buffer))
            buffer = ""

    def named(pattern, close, what):
        m = re.compile(pattern).match(text, i)
        if not m:
            raise Fault(f"{what} is not closed or not a name at '{text[i : i + 20]}'")
        return m

    while i < len(text):
        c = text[i]
        if c == "\\" and i + 1 < len(text):
            buffer, i = buffer + text[i + 1], i + 2
        elif c == "(":
            flush()
            node, i = parse_any(text, i + 1, shared)
            if i >= len(text):
                raise Fault("'(' is not closed")
            parts.append(node)
            i += 1
        elif c == ")":
            break
        elif c == "|":
            if top:
                raise Fault("'|' outside of parentheses; write (a|b), or \\| for the character")
            flush()
            branches.append(tuple(parts))
            parts, i = [], i + 1
        elif c in "{[":
            flush()
            m = named(
                r"\{([\w.:-]+)\}" if c == "{" else r"\[([\w.:-]+|\*)\]",
                c,
                "a slot {name}" if c == "{" else "an option [name]",
            )
            parts.append(Node("slot" if c == "{" else "option", m.group(1)))
            i = m.end()
        elif c == "$" and re.match(r"\w", text[i + 1 : i + 2]):
            flush()
            m = named(r"\$(\w+)", "", "a shared word")
            if m.group(1) not in shared:
                raise Fault(f"no shared word '{m.group(1)}'")
            parts.append(shared[m.group(1)])
            i = m.end()
        else:
            buffer, i = buffer + c, i + 1
    flush()
    branches.append(tuple(parts))
    if len(branches) == 1:
        return Node("seq", parts=branches[0]), i
    return Node("any", parts=tuple(Node("seq", parts=b) for b in branches)), i


def leaves(node, rng):
    """The text, slot and option nodes of one random choice, in order."""
    if node.kind == "seq":
        for part in node.parts:
            yield from leaves(part, rng)
    elif node.kind == "any":
        yield from leaves(rng.choice(node.parts), rng)
    else:
        yield node


def names(node, kind, sure=False):
    """Names of all slots or options in a text; with sure, only of those that every choice contains."""
    if node.kind == kind:
        return {node.value}
    found = [names(p, kind, sure) for p in node.parts]
    if node.kind == "any" and sure:
        return set.intersection(*found) if found else set()
    return set().union(*found)
