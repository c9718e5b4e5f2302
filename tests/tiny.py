"""Rows written by hand for `notes`, and a tiny model that knows them by heart."""

import prompt
import rows
import schema as cli_schema

NOTES = cli_schema.load("notes")


def command(label, *flags, confidence=0.95, **args):
    """The JSON text of a command of `notes`."""
    return rows.dumps(rows.command(NOTES.by_label[label], args, flags, confidence))


def question(category, *labels, arg=None):
    """The JSON text of a question back."""
    return rows.dumps(rows.clarification(NOTES, category, labels, arg))


def row(instruction, output, context=None):
    return {"instruction": instruction, "context": context, "output": output}


def overfit(folder, known, steps=400):
    """(model, tokenizer, frame): the model of a folder, trained in float32 until greedy decoding repeats these rows."""
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    frame = prompt.frame(tokenizer, NOTES)
    pairs = [prompt.encode(tokenizer, frame, r) for r in known]
    ids = pad_sequence([torch.tensor(p + a) for p, a in pairs], batch_first=True, padding_value=tokenizer.pad_token_id)
    labels = pad_sequence([torch.tensor([-100] * len(p) + a) for p, a in pairs], batch_first=True, padding_value=-100)
    mask = pad_sequence([torch.ones(len(p + a), dtype=torch.long) for p, a in pairs], batch_first=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        if loss < 0.02:
            return model.eval(), tokenizer, frame
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    raise AssertionError(f"loss is still {loss:.3f} after {steps} steps")
