"""Requests to Claude and their replies: by the Messages API, by the Message Batches API, or by hand through files.

A journal (utils.Progress) holds everything that happened, so that a run that was killed goes on where it was:
  {"kind": "sent", "ids"}                       written before a request leaves; for a batch with "run", which begins every custom_id
                                                of it, and "at", in seconds since 1970
  {"kind": "batch", "id", "run"}                a batch that the API has accepted; "none" as id: it never did
  {"kind": "ended", "id"}                       a batch whose results are all here
  {"kind": "reply", "id", "text", "stop", "usage", "model", "batch"}
  {"kind": "lost", "id", "usd"}                 sent, and whether it was paid will never be known; counts at its estimate
  {"kind": "unsent", "id"}                      refused before it was worked on; costs nothing and is tried again
  {"kind": "failed", "id", "why"}               given up
A request is {"id", "system", "user", "schema" (JSON Schema or None), "max_tokens"}, and as estimates "tokens": (input, output) and
"shared": how many of the input tokens are the system text, which is cached.
"""

import os
import secrets
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from utils import fail

from . import bill
from .errors import OFFLINE, fatal, never_left, passing, pause, transport_error, words

ATTEMPTS = 5  # of one request
LOOKBACK = 600  # seconds that the API's clock may be behind ours


def has_key():
    return bool(os.environ.get("ANTHROPIC_API_KEY"))


def connect(config):
    """The SDK's client. It does not retry by itself: every attempt may cost money and has to stand in the journal."""
    if not has_key():
        fail(f"teacher=claude needs a key; set ANTHROPIC_API_KEY (in the environment, or in .env here); {OFFLINE}")
    import anthropic

    return anthropic.Anthropic(max_retries=0, timeout=config["timeout_seconds"])


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


class Stop(Exception):
    """The API said something that no repetition mends; the message is the line for the user."""


class Exchange:
    """Sends requests within a budget and records their replies in a journal; see the module for its records.

    config: section `claude` of generate_config.yaml. batch: "auto", "on" or "off". budget: dollars for this journal, or None.
    """

    def __init__(self, config, journal, batch="auto", budget=None, label="generate", client=None):
        self.config, self.journal, self.batch, self.budget, self.label = config, journal, batch, budget, label
        self.model, self.client, self.lock = config["model"], client or connect(config), threading.Lock()
        self.halt = threading.Event()

    # --------------------------------------------------------------------------------------------------- journal
    def note(self, *records):
        with self.lock:
            self.journal.save(list(records))

    def of(self, *kinds):
        return [r for r in list(self.journal.records) if r["kind"] in kinds]

    def spent(self):
        """Dollars so far; what is lost on the way counts at its estimate."""
        return bill.spent(self.of("reply", "lost"))

    def replies(self, ids):
        """The replies that the journal has to requests with these ids, in the order of their arrival."""
        return [r for r in self.of("reply") if r["id"] in ids]

    def batched(self, requests):
        """Whether so many requests go as a batch."""
        return self.batch == "on" or (self.batch == "auto" and len(requests) >= self.config["batch_from"])

    def open(self, requests):
        """Those of the requests that have neither a reply nor been given up."""
        settled = {r["id"] for r in self.of("reply", "failed")}
        return [r for r in requests if r["id"] not in settled]

    def affordable(self, requests, batch):
        """As many of the requests, from the first, as may be in flight at once: only the last of them can overshoot the budget."""
        if self.budget is None:
            return requests
        out, promised = [], self.spent()
        for r in requests:
            if promised >= self.budget:
                break
            out.append(r)
            promised += worst(r, self.model, batch)
        return out

    # --------------------------------------------------------------------------------------------------- answers
    def answer(self, requests, seen):
        """Get a reply for every request, or give it up (the journal says why). seen(reply) is called for each reply that is new.

        Returns False when the budget allows no further request.
        """
        by_id = {r["id"]: r for r in requests}
        try:
            self.write_off(by_id)
            for sent in self.of("sent"):
                if "run" in sent:
                    self.finish_batch(sent, by_id, seen)
            fruitless = 0
            while (todo := self.open(requests)) and fruitless < ATTEMPTS:
                batch = self.batched(todo)
                affordable = self.affordable(todo, batch)
                if not affordable:
                    return False
                if batch:
                    self.send_batch(affordable, by_id, seen)
                else:
                    self.send_messages(todo, seen)
                fruitless = fruitless + 1 if len(self.open(requests)) == len(todo) else 0
        except Stop as stop:
            fail(str(stop))
        self.note(
            *({"kind": "failed", "id": r["id"], "why": f"no reply in {ATTEMPTS} attempts"} for r in self.open(requests))
        )
        return True

    def write_off(self, by_id):
        """What an earlier run sent by the Messages API and never heard of: it may have been paid."""
        pending = {}
        for r in self.of("sent", "reply", "lost", "unsent", "failed"):
            if r["kind"] == "sent":
                pending.update({i: 1 for i in r["ids"] if "run" not in r})
            else:
                pending.pop(r["id"], None)
        self.note(*({"kind": "lost", "id": i, "usd": astray(by_id[i], self.model)} for i in pending if i in by_id))

    # -------------------------------------------------------------------------------------------------- messages
    def send_messages(self, requests, seen):
        """One reply each, a few at a time. The first goes alone: it writes the cache that the others read."""
        queue, running, alone = list(requests), {}, True
        with ThreadPoolExecutor(self.config["concurrency"]) as pool:
            while True:
                try:
                    while (
                        queue and not self.halt.is_set() and len(running) < (1 if alone else self.config["concurrency"])
                    ):
                        if queue[0] not in self.affordable([*running.values(), queue[0]], False):
                            break
                        r = queue.pop(0)
                        running[pool.submit(self.one, r)] = r
                    if not running:
                        break
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    alone = False
                    for future in done:
                        running.pop(future)
                        reply = future.result()
                        if reply:
                            seen(reply)
                except KeyboardInterrupt:
                    if self.halt.is_set():
                        os._exit(130)
                    self.halt.set()
                    paid = f"waiting for {len(running)} replies that are paid for (Ctrl-C again: leave them)"
                    print(f"\n{self.label}: interrupted; {paid}", flush=True)
                except BaseException:
                    self.halt.set()
                    raise
        if self.halt.is_set():
            raise KeyboardInterrupt

    def one(self, request):
        """The reply to one request, or None when it is given up. Runs in a thread; every attempt stands in the journal."""
        import anthropic

        for attempt in range(ATTEMPTS):
            self.note({"kind": "sent", "ids": [request["id"]]})
            try:
                message = self.client.messages.create(**body(request, self.model))
                reply = reply_of(request["id"], message, batch=False)
                self.note(reply)
                return reply
            except anthropic.APIStatusError as e:
                error = e
                self.note({"kind": "unsent", "id": request["id"]})
            except (anthropic.APIConnectionError, anthropic.APIResponseValidationError, ValueError) as e:
                error = e
                usd = 0 if never_left(e) else astray(request, self.model)
                self.note(
                    {"kind": "lost", "id": request["id"], "usd": usd}
                    if usd
                    else {"kind": "unsent", "id": request["id"]}
                )
            self.give_up_on(error)
            if not passing(error):
                self.note({"kind": "failed", "id": request["id"], "why": words(error)})
                return None
            if self.halt.wait(self.pause(error, attempt)):
                return None
        if never_left(error):
            raise Stop(f"no connection to the API ({words(error)}); the same command continues; {OFFLINE}")
        self.note({"kind": "failed", "id": request["id"], "why": words(error)})
        return None

    def pause(self, error, attempt):
        return pause(error, attempt, self.config["retry_seconds"])

    def give_up_on(self, error):
        line = fatal(error, self.model)
        if line:
            raise Stop(line)

    # --------------------------------------------------------------------------------------------------- batches
    def send_batch(self, requests, by_id, seen):
        """Hand in one batch and wait for it. The journal knows of it before the API does."""
        sent = {"kind": "sent", "ids": [r["id"] for r in requests], "run": secrets.token_hex(6), "at": time.time()}
        self.note(sent)
        for attempt in range(ATTEMPTS):
            error = self.hand_in(sent, requests)
            if error is None:
                return self.finish_batch(sent, by_id, seen)
            if self.find(sent):  # the API took it although we were told otherwise
                return self.finish_batch(sent, by_id, seen)
            self.halt.wait(self.pause(error, attempt))
        self.note({"kind": "batch", "id": "none", "run": sent["run"]})
        raise Stop(
            f"the API does not take the batch ({words(error)}); nothing is lost, the same command continues; {OFFLINE}"
        )

    def hand_in(self, sent, requests):
        """None when the API has taken the batch, otherwise the error."""
        import anthropic

        try:
            made = self.client.messages.batches.create(
                requests=[
                    {"custom_id": f"{sent['run']}-{r['id']}", "params": body(r, self.model, "1h")} for r in requests
                ]
            )
        except anthropic.APIStatusError as error:
            if not passing(error):
                self.note({"kind": "batch", "id": "none", "run": sent["run"]})
                self.give_up_on(error)
                raise Stop(f"the API refuses the batch: {words(error)}") from None
            return error
        except anthropic.APIConnectionError as error:
            return error
        self.note({"kind": "batch", "id": made.id, "run": sent["run"]})
        return None

    def find(self, sent):
        """Look for a batch that was handed in, but whose id never arrived. True when one is found; the journal then knows it.

        The API does not list custom_ids, so a batch of the right size and age is taken; its results tell whether it is ours.
        """
        known = {r["id"] for r in self.of("batch")}
        for b in self.patiently(lambda: self.client.messages.batches.list(limit=50).data):
            counts = b.request_counts
            size = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
            young = b.created_at.timestamp() >= sent["at"] - LOOKBACK
            if b.id not in known and young and size == len(sent["ids"]):
                self.note({"kind": "batch", "id": b.id, "run": sent["run"]})
                return True
        return False

    def finish_batch(self, sent, by_id, seen):
        """Wait for the batch of a "sent" record and take its results, as far as the journal does not have them."""
        foreign, ended = set(), {r["id"] for r in self.of("ended")}
        while True:
            name = ([r["id"] for r in self.of("batch") if r["run"] == sent["run"]] or [None])[-1]
            if name == "none" or name in ended:
                return
            if name is None or name in foreign:
                if not self.find(sent):
                    self.note({"kind": "batch", "id": "none", "run": sent["run"]})
            elif not self.wait_for(name, len(sent["ids"])) or self.take(name, sent, by_id, seen):
                self.note({"kind": "ended", "id": name})
                return
            else:
                foreign.add(name)

    def wait_for(self, name, size):
        """Until a batch has ended; False when the API no longer knows it."""
        import anthropic

        start, told = time.monotonic(), False
        try:
            while True:
                b = self.patiently(lambda: self.client.messages.batches.retrieve(name))
                if b.processing_status == "ended":
                    return True
                if not told:
                    until = b.expires_at.astimezone().strftime("%a %H:%M")
                    print(
                        f"{self.label}: batch {name} with {size} requests is at work; most end within the hour, this one at the "
                        f"latest {until}; Ctrl-C leaves it running, the same command finds it again",
                        flush=True,
                    )
                    told = True
                elif time.monotonic() - start > 60:
                    print(
                        f"{self.label}: batch {name}: {b.request_counts.processing} of {size} still at work", flush=True
                    )
                    start = time.monotonic()
                time.sleep(self.config["poll_seconds"])
        except anthropic.NotFoundError:
            return False

    def take(self, name, sent, by_id, seen):
        """Record the results of a batch that has ended. False when they are not the results of this one."""
        import anthropic

        for attempt in range(ATTEMPTS):
            try:
                for line in self.client.messages.batches.results(name):
                    run, _, number = line.custom_id.partition("-")
                    if run != sent["run"]:
                        return False
                    if number in by_id and self.open([by_id[number]]):
                        self.result(number, line.result, seen)
                return True
            except anthropic.APIStatusError as e:
                error = e
                self.give_up_on(e)
            except (anthropic.AnthropicError, OSError, ValueError, EOFError, transport_error()) as e:
                error = e
            if attempt + 1 < ATTEMPTS:
                time.sleep(self.pause(error, attempt))
        raise Stop(
            f"the results of batch {name} do not arrive ({words(error)}); nothing is lost, the same command continues"
        )

    def result(self, number, result, seen):
        """One line of a batch's results. What expired, was cancelled or met the API's own fault is asked again, unpaid."""
        if result.type == "succeeded":
            reply = reply_of(number, result.message, batch=True)
            self.note(reply)
            seen(reply)
        elif result.type == "errored" and result.error.error.type == "invalid_request_error":
            self.note({"kind": "failed", "id": number, "why": result.error.error.message[:200]})

    def patiently(self, call):
        """call(), again after a passing error."""
        import anthropic

        for attempt in range(ATTEMPTS):
            try:
                return call()
            except anthropic.NotFoundError:
                raise
            except (anthropic.APIConnectionError, anthropic.APIStatusError) as e:
                error = e
                self.give_up_on(e)
                if attempt + 1 < ATTEMPTS:
                    time.sleep(self.pause(e, attempt))
        raise Stop(f"no answer from the API ({words(error)}); nothing is lost, the same command continues; {OFFLINE}")


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
