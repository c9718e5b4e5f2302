"""What a request to Claude is, what it costs, and its reply as the journal keeps it (its records: see exchange.py).

A request is {"id", "system", "user", "schema" (JSON Schema or None), "max_tokens"}, and as estimates "tokens": (input, output) and
"shared": how many of the input tokens are the system text, which is cached.
"""

from . import bill


def request(number, system, user, wanted, count, schema=None, most=None):
    """A request whose reply will have about `wanted` tokens, at most `most`; count(text): tokens of a text."""
    shared = count(system)
    return {
        "id": number,
        "system": system,
        "user": user,
        "schema": schema,
        "max_tokens": most or 400 + 2 * wanted,
        "tokens": (shared + count(user), wanted),
        "shared": shared,
    }


def body(request, model, ttl=None):
    """Arguments of messages.create. The system text is the same for all requests of a run, so it is cached."""
    cache = {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}
    out = {
        "model": model,
        "max_tokens": request["max_tokens"],
        "system": [{"type": "text", "text": request["system"], "cache_control": cache}],
        "messages": [{"role": "user", "content": request["user"]}],
    }
    if request.get("schema"):
        out["output_config"] = {"format": {"type": "json_schema", "schema": request["schema"]}}
    return out


def worst(request, model, batch):
    """The most that a request can cost: everything written to the cache, every token of the reply used."""
    given, _ = request["tokens"]
    return bill.cost(
        model, {"cache_write_1h" if batch else "cache_write_5m": given, "output": request["max_tokens"]}, batch
    )


def expected(requests, model, batch):
    """Dollars that requests will probably cost. In a batch every second one is taken to miss the cache; else only the first."""
    usd = 0.0
    for i, r in enumerate(requests):
        given, wanted = r["tokens"]
        misses = i % 2 == 0 if batch else i == 0
        shared = r["shared"] if r["shared"] >= bill.cache_minimum(model) else 0
        kind = ("cache_write_1h" if batch else "cache_write_5m") if misses else "cache_read"
        usd += bill.cost(model, {kind: shared, "input": given - shared, "output": wanted}, batch)
    return usd


def astray(request, model):
    """What a request is counted at that was sent, and whose reply never arrived."""
    given, wanted = request["tokens"]
    return bill.cost(model, {"input": given, "output": wanted}, False)


def reply_of(number, message, batch):
    """A journal record of a Message of the SDK."""
    return {
        "kind": "reply",
        "id": number,
        "text": "".join(b.text for b in message.content or [] if b.type == "text"),
        "stop": message.stop_reason,
        "usage": message.usage.model_dump(exclude_none=True),
        "model": message.model,
        "batch": batch,
    }
