"""What Claude costs: the price table, the cost of a reply, an estimate before anything is sent, the bill at the end."""

from collections import Counter
from functools import cache

import utils
from utils import CONFIGS, fail

KINDS = ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output")


@cache
def prices(model):
    """Dollars per token of each of KINDS for a model, and the factor of the batch API. Dated names (-20251101) are known too."""
    table = utils.load_yaml(CONFIGS / "prices.yaml")
    name = next((m for m in table["models"] if model == m or model.removeprefix(m + "-").isdigit()), None)
    if name is None:
        fail(
            f"generate.claude.model={model} has no price; add it to training/configs/prices.yaml, or use one of: {' '.join(table['models'])}"
        )
    given, wanted = table["models"][name]
    times = {"input": 1, **table["multipliers"]}
    batch = times.pop("batch")
    return {**{k: given * t / 1e6 for k, t in times.items()}, "output": wanted / 1e6}, batch


@cache
def cache_minimum(model):
    """Tokens that a shared prompt must have to be cached."""
    table = utils.load_yaml(CONFIGS / "prices.yaml")["cache_minimum"]
    return table.get(model, table["other"])


def tokens(usage):
    """The usage of a Message (a dict) as tokens of each of KINDS. What a cache entry does not say is a five-minute one."""
    written = usage.get("cache_creation_input_tokens") or 0
    hour = (usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0
    return {
        "input": usage.get("input_tokens") or 0,
        "cache_write_5m": max(0, written - hour),
        "cache_write_1h": hour,
        "cache_read": usage.get("cache_read_input_tokens") or 0,
        "output": usage.get("output_tokens") or 0,
    }


def cost(model, used, batch):
    """Dollars for tokens {kind: number}."""
    each, factor = prices(model)
    return sum(each[k] * n for k, n in used.items()) * (factor if batch else 1)


def bill(records):
    """{"<model>[, batch]": {kind: tokens, ..., "replies", "usd"}} of the replies of a journal; "unknown" for what was lost on the way."""
    out = {}
    for r in records:
        if r["kind"] == "reply" and r.get("usage"):
            line = out.setdefault(f"{r['model']}{', batch' if r['batch'] else ''}", Counter())
            used = tokens(r["usage"])
            line.update({**used, "replies": 1, "usd": cost(r["model"], used, r["batch"])})
        elif r["kind"] == "lost":
            out.setdefault("replies that never arrived, at most", Counter()).update({"replies": 1, "usd": r["usd"]})
    return {name: {**line, "usd": round(line["usd"], 6)} for name, line in out.items()}


def spent(records):
    """Dollars of a bill; replies that never arrived count at their estimate."""
    return sum(line["usd"] for line in bill(records).values())


def lines(found):
    """A bill as lines of text."""
    out = []
    for name, line in found.items():
        parts = [f"{line[k]:,} {k.replace('_', ' ')}" for k in KINDS if line.get(k)]
        out.append(
            f"  ${line['usd']:.4f}  {name}: {line['replies']} replies"
            + (f", tokens {', '.join(parts)}" if parts else "")
        )
    return [*out, f"  ${sum(line['usd'] for line in found.values()):.4f}  in all"]


# ------------------------------------------------------------------------------------------------------ counting
@cache
def tokenizer():
    """text -> number of tokens by the bundled base model's tokenizer. Claude's own is not public; the two differ by some per cent.

    Before that model is unpacked, a token is taken to be 3.5 characters.
    """
    import base_model

    file = base_model.UNPACKED / base_model.BUNDLED / "tokenizer.json"
    if not file.exists():
        return lambda text: round(len(text) / 3.5)
    from tokenizers import Tokenizer

    read = Tokenizer.from_file(str(file))
    return cache(lambda text: len(read.encode(text, add_special_tokens=False).ids))


def count(client, request, model):
    """Input tokens of a request by the API, which charges nothing for it; None when it does not answer."""
    import anthropic

    try:
        return client.messages.count_tokens(
            model=model, system=request["system"], messages=[{"role": "user", "content": request["user"]}], timeout=20
        ).input_tokens
    except anthropic.AnthropicError:
        return None
