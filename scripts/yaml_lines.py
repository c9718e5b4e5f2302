"""YAML whose parts know their line: what schema.py and phrasebook.py name faults by. Imports no torch."""


def read(path):
    """(content, {path: line number}, faults); a path is a tuple of keys and indices, a fault (line, what is wrong).

    Keys given twice are faults, of which YAML would keep the last and say nothing. There are no line numbers where
    the file is empty, missing or no YAML; in the latter two cases there is a fault.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        root, content = parsed(text)
    except FileNotFoundError:
        return None, {}, [(1, "no such file")]
    except UnicodeDecodeError:
        return None, {}, [(1, "not UTF-8 text")]
    except (yaml.YAMLError, ValueError) as e:  # ValueError: a day that does not exist
        mark = getattr(e, "problem_mark", None)
        problem = getattr(e, "problem", None) or str(e).split("\n")[0]
        return None, {}, [(mark.line + 1 if mark else 1, f"not valid YAML: {problem}")]
    lines, twice = {}, []
    if root is not None:
        walk(root, (), lines, twice)
    return content, lines, twice


def parsed(text):
    """(root node, content)"""
    import yaml

    return fast(yaml.compose, text), fast(yaml.load, text)


def fast(read, text):
    """read(text) of PyYAML by libyaml, where PyYAML has it: ten times as fast. What is wrong is said in PyYAML's own words."""
    import yaml

    try:
        return read(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return read(text, Loader=yaml.SafeLoader)


def walk(node, path, lines, twice):
    """Fill lines with {path: line number}; a path is a tuple of keys and indices. Keys given twice go to `twice`."""
    import yaml

    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                twice.append((key.start_mark.line + 1, f"{dotted(path)}{key.value} is given twice"))
            seen.add(key.value)
            walk(value, (*path, key.value), lines, twice)
            lines[(*path, key.value)] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            walk(value, (*path, i), lines, twice)


def dotted(path):
    """("commands", 0, "name") -> "commands[0].name: " (empty for the top)."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return f"{text.lstrip('.')}: " if text else ""


def line_of(path, lines):
    path = tuple(path)
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)
