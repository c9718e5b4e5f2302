"""Ask a trained model: prints the JSON answer, the command line it stands for and what a host should do with it. Never runs anything.

Reads   training/models/<name>/clitron-<name>-<quant>.gguf
Run     just train-ask name=gh "merge this and delete the branch" context='{"git": {"current_pr": 12}}'
        just train-ask name=gh        (without a request: a prompt; format=json or format=human prints one of the two)
"""

import json
import shlex
import sys

import utils
from settings import parse_settings
from utils import fail, need_gguf


def command_line(schema, answer):
    """The shell words of a command answer, quoted: --name value, then flags, then positional arguments in schema order.

    Options come first, as POSIX has it: what stands behind the image of `docker run` goes to the container. "--" keeps a value such as -5 from being one.
    """
    sub = schema.by_key[answer["command"], answer["subcommand"]]
    words, last = [schema.cli, sub.command, *([sub.name] if sub.name else [])], []
    for name, value in answer["args"].items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if sub.arg[name].positional:
            last.append(text)
        else:
            words += [f"--{name.replace('_', '-')}", text]
    words += [f"--{f}" for f in answer["flags"]]
    return shlex.join([*words, *(["--"] if any(text.startswith("-") for text in last) else []), *last])


def parsed_context(text):
    """A context (dict, or None for nothing) from JSON text; False when the text is none."""
    try:
        context = json.loads(text) if text else None
    except ValueError:
        return False
    return context if context is None or isinstance(context, dict) else False


def read_context(text):
    context = parsed_context(text)
    if context is False:
        fail('context= should be a JSON object, such as context=\'{"git": {"current_pr": 12}}\'')
    return context


def said(interpreter, answer):
    """What a person reads: the command line and what a host should do with it, or the question and the commands it suggests."""
    schema, (action, why) = interpreter.schema, interpreter.action(answer)
    if answer["type"] == "command":
        lines = [command_line(schema, answer)]
        if action == "clarify":
            lines = [f"Did you mean: {lines[0]}"]
        elif action == "ask":
            lines = [f"Not understood; the best guess is: {lines[0]}"]
    else:
        lines = [answer["message"]]
        for s in answer["suggestions"]:
            sub = schema.by_key[s["command"], s["subcommand"]]
            lines.append(f"  {schema.cli} {s['label']:20} {sub.description}".rstrip())
    return "\n".join([*lines, f"-> {action}: {why}"])


HELP = """Type a request. Also:
  :context                 show the context
  :context {"git": ...}    set it (a JSON object; :context {} empties it)
  :json                    show the JSON of the last answer
  :quit                    leave (or Ctrl-D)
Nothing is ever run."""


def loop(interpreter, context, as_json=False):
    """Ask until the input ends: one request a line; lines that begin with ':' are for the loop itself. as_json: show answers as JSON."""
    import contextlib

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (gives input() a history and editing keys)
    print(f"{HELP}\n")
    answer = None
    while True:
        try:
            line = input(f"{interpreter.schema.cli}> ").strip()
        except EOFError:
            print()
            return
        except KeyboardInterrupt:  # throws away the line, as shells do
            print()
            continue
        word, _, rest = line.partition(" ")
        if not line:
            continue
        if word in (":q", ":quit", ":exit"):
            return
        if word == ":json":
            print(json.dumps(answer, ensure_ascii=False))
        elif word == ":context":
            given = parsed_context(rest) if rest.strip() else context
            if given is False:
                print('a context is a JSON object, such as :context {"git": {"current_pr": 12}}')
            else:
                context = given
                print(json.dumps(context, ensure_ascii=False) if context else "no context")
        elif word.startswith(":"):
            print(HELP)
        else:
            answer = interpreter.interpret(line, context)
            print(json.dumps(answer, ensure_ascii=False) if as_json else said(interpreter, answer))


def main(argv):
    settings = parse_settings(argv, needs_schema=False, bare="text")
    name, quant = settings["name"], settings["quant"]
    context = read_context(settings["context"])
    text = (settings["text"] or "").strip()
    if not text and not sys.stdin.isatty():
        fail(f'what should be asked? such as: just train-ask name={name} "list open things"')
    model = need_gguf(name, quant)

    from interpreter import Interpreter

    interpreter = Interpreter(model)
    if not text:
        loop(interpreter, context, settings["format"] == "json")
        return
    answer = interpreter.interpret(settings["text"], context)
    if settings["format"] != "human":
        print(json.dumps(answer, ensure_ascii=False))
    if settings["format"] != "json":
        print(said(interpreter, answer))


if __name__ == "__main__":
    utils.run(main)
