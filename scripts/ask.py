"""Ask a trained model: prints the JSON answer and the command line it stands for. Never runs anything.

Reads   training/models/<name>/clitron-<name>-<quant>.gguf
Run     just train-ask name=gh "merge this and delete the branch" context='{"git": {"current_pr": 12}}'
"""

import json
import shlex

import utils
from utils import fail, need_gguf


def command_line(schema, answer):
    """The shell words of a command answer, quoted: positional arguments in schema order, the others as --name value, then flags."""
    sub = schema.by_key[answer["command"], answer["subcommand"]]
    words = [schema.cli, sub.command, *([sub.name] if sub.name else [])]
    for name, value in answer["args"].items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if sub.arg[name].positional:
            words.append(text)
        else:
            words += [f"--{name.replace('_', '-')}", text]
    words += [f"--{f}" for f in answer["flags"]]
    return shlex.join(words)


def read_context(text):
    try:
        context = json.loads(text) if text else None
    except ValueError:
        context = text
    if context is not None and not isinstance(context, dict):
        fail('context= should be a JSON object, such as context=\'{"git": {"current_pr": 12}}\'')
    return context


def main(argv):
    settings = utils.parse_settings(argv, needs_schema=False, bare="text")
    name, quant = settings["name"], settings["quant"]
    context = read_context(settings["context"])
    if not (settings["text"] or "").strip():
        fail(f'what should be asked? such as: just train-ask name={name} "list open things"')
    model = need_gguf(name, quant)

    from interpreter import Interpreter

    interpreter = Interpreter(model)
    answer = interpreter.interpret(settings["text"], context)
    print(json.dumps(answer, ensure_ascii=False))
    if answer["type"] == "command":
        print(command_line(interpreter.schema, answer))
    else:
        print(answer["message"])
        for s in answer["suggestions"]:
            sub = interpreter.schema.by_key[s["command"], s["subcommand"]]
            print(f"  {interpreter.schema.cli} {s['label']:20} {sub.description}")


if __name__ == "__main__":
    utils.run(main)
