"""The ideal answer where the verifier cannot decide: both answers obey all rules, and the label may be the poorer of the two."""

import json

import rows
import scores

from . import bill, cells
from .replies import flat, parsed, read_answer
from .requests import request

SIZE = 20  # requests a reply
ANSWER_TOKENS = 30


def undecided(pair, schema):
    """Whether the rejected answer of a pair obeys every rule: then only a reader can say that it is worse."""
    answer = scores.parse(pair["rejected"])
    row = {"instruction": pair["instruction"], "context": pair["context"], "output": pair["rejected"]}
    return isinstance(answer, dict) and not rows.row_faults(row, schema)


def requests(pairs, schema):
    """Requests for the ideal answers to the prompts of some pairs, SIZE at a time."""
    count, out = bill.tokenizer(), []
    shared = cells.system(schema)
    for i in range(0, len(pairs), SIZE):
        some = pairs[i : i + SIZE]
        lines = [f"{n}. {asked(p)}" for n, p in enumerate(some, 1)]
        user = (
            "This time the requests are given. Write the one right answer to each, by the rules above, as "
            '{"rows": [{"input": <number of the request>, "answer": "<answer>"}, ...]}.\n\n' + "\n".join(lines)
        )
        wanted = ANSWER_TOKENS * len(some)
        out.append(
            request(f"judge-{i // SIZE}", shared, user, wanted, count, cells.reply({"input": {"type": "integer"}}))
        )
    return out


def asked(pair):
    context = "; ".join(f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in rows.flatten(pair["context"]).items())
    return json.dumps(pair["instruction"], ensure_ascii=False) + (
        f" (situation: {context})" if context else " (no situation)"
    )


def answers(text, size, schema):
    """{number of the request: canonical answer} of a reply; what cannot be read or breaks a rule is left out."""
    found = {}
    cell = {"category": None}
    start = text.find("{")
    whole = parsed(text[start : text.rfind("}") + 1]) if start >= 0 else None
    for example in flat(whole or {}):
        number, answer = example.get("input"), example.get("answer")
        if isinstance(number, int) and 0 < number <= size and isinstance(answer, str):
            answer = read_answer(answer, cell, schema)
            if isinstance(answer, dict) and not rows.answer_faults(answer, schema):
                found[number] = rows.canonical(answer, schema)
    return found


def decide(pair, ideal, schema):
    """The pair by an ideal answer: None when the model's answer was right after all, else with the better of label and ideal as chosen."""
    case = {"expected": ideal}
    if scores.judge(case, pair["rejected"], schema)["exact"]:
        return None
    if scores.judge(case, pair["chosen"], schema)["exact"]:
        return pair
    row = {"instruction": pair["instruction"], "context": pair["context"], "output": rows.dumps(ideal)}
    return pair if rows.row_faults(row, schema) else {**pair, "chosen": row["output"]}


def review(pairs, exchange, schema):
    """Pairs after Claude has read those that the verifier cannot decide, and {"read", "label_kept", "label_replaced", "dropped"}."""
    open_pairs = [p for p in pairs if undecided(p, schema)]
    asked_for = requests(open_pairs, schema)
    exchange.answer(asked_for, lambda _: None)
    texts = {r["id"]: r["text"] for r in exchange.replies({r["id"] for r in asked_for})}
    verdicts, counts = {}, {"read": 0, "label_kept": 0, "label_replaced": 0, "dropped": 0}
    for i in range(0, len(open_pairs), SIZE):
        some = open_pairs[i : i + SIZE]
        for number, ideal in answers(texts.get(f"judge-{i // SIZE}", ""), len(some), schema).items():
            pair = some[number - 1]
            after = decide(pair, ideal, schema)
            verdicts[id(pair)] = after
            counts["read"] += 1
            counts["dropped" if after is None else "label_kept" if after is pair else "label_replaced"] += 1
    after = [verdicts.get(id(p), p) for p in pairs]
    return [p for p in after if p], counts
