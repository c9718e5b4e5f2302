"""The one place where a request becomes a prompt: for SFT, preferences, DPO, evaluation and `ask`.

A prompt is prefix + user text + suffix. Prefix and suffix are what the base tokenizer's own chat template puts around a
user's turn after our constant system message; they are rendered once, at SFT, saved as prompt.json beside the weights and
carried in the GGUF, so that no later stage can render them differently. Imports no torch.
"""

import json

from rows import flatten

MARK = "\u2063USER\u2063"  # stands for the user's text while the template is rendered
# user_text() in words, for programs that have nothing but the GGUF
RENDERING = (
    'The user\'s turn is a line "group.field: value" for each field of the context that has a value, in the order given, then the request '
    "without white space around it. Text stands as it is, other values as json.dumps writes them; white space inside of such a line is "
    'one space. "<|" is written "< |".'
)


def system_message(schema):
    return f"Turn the request into one {schema.cli} command, as JSON."


def user_text(instruction, context):
    """Context as `field: value` lines, then the request. Control tokens in people's words lose their meaning."""
    lines = [
        f"{field}: {value if isinstance(value, str) else json.dumps(value)}"
        for field, value in flatten(context).items()
    ]
    lines = [" ".join(line.split()) for line in lines]
    return "\n".join([*lines, instruction.strip()]).replace("<|", "< |")


def frame(tokenizer, schema, shots=()):
    """{"prefix", "suffix", "eos"} from the tokenizer's chat template. shots: rows that are shown as turns before the request."""
    messages = [{"role": "system", "content": system_message(schema)}]
    for row in shots:
        messages.append({"role": "user", "content": user_text(row["instruction"], row["context"])})
        messages.append({"role": "assistant", "content": row["output"]})
    messages.append({"role": "user", "content": MARK})
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception as e:  # templates refuse a system role in their own words (Gemma): put it into the user's turn
        if "system" not in str(e).lower():
            raise
        first = {"role": "user", "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
        joined = [first, *messages[2:]]
        text = tokenizer.apply_chat_template(joined, tokenize=False, add_generation_prompt=True)
    prefix, suffix = text.split(MARK)
    return {"prefix": prefix, "suffix": suffix, "eos": tokenizer.eos_token}


def render(frame, instruction, context):
    """The whole prompt as text; the answer follows it directly. For reading: tokens are made piece by piece, see prompt_ids."""
    return frame["prefix"] + user_text(instruction, context) + frame["suffix"]


def prompt_ids(tokenize, frame, instruction, context):
    """Token ids of a prompt. tokenize(text, special) gives ids without additions and reads control tokens only if special.

    Control tokens come from the frame alone: in people's words `<filename>` or `<|im_end|>` is text.
    """
    words = user_text(instruction, context)
    return tokenize(frame["prefix"], True) + tokenize(words, False) + tokenize(frame["suffix"], True)


def hf(tokenizer):
    """The `tokenize` of prompt_ids for a Hugging Face tokenizer."""
    return lambda text, special: tokenizer(text, add_special_tokens=False, split_special_tokens=not special)[
        "input_ids"
    ]


def encode(tokenizer, frame, row):
    """(prompt ids, answer ids with EOS) of a row. The answer is tokenized by itself, as generation will see it."""
    tokenize = hf(tokenizer)
    start = prompt_ids(tokenize, frame, row["instruction"], row["context"])
    return start, [*tokenize(row["output"], False), tokenizer.convert_tokens_to_ids(frame["eos"])]
