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
"""

import os
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from utils import fail

from . import bill
from .batches import Batches
from .errors import ATTEMPTS, OFFLINE, Stop, fatal, never_left, passing, pause, words
from .requests import astray, body, reply_of, worst


def has_key():
    return bool(os.environ.get("ANTHROPIC_API_KEY"))


def connect(config):
    """The SDK's client. It does not retry by itself: every attempt may cost money and has to stand in the journal."""
    if not has_key():
        fail(f"teacher=claude needs a key; set ANTHROPIC_API_KEY (in the environment, or in .env here); {OFFLINE}")
    import anthropic

    return anthropic.Anthropic(max_retries=0, timeout=config["timeout_seconds"])


class Exchange:
    """Sends requests within a budget and records their replies in a journal; see the module for its records.

    config: section `claude` of generate_config.yaml. batch: "auto", "on" or "off". budget: dollars for this journal, or None.
    """

    def __init__(self, config, journal, batch="auto", budget=None, label="generate", client=None):
        self.config, self.journal, self.batch, self.budget, self.label = config, journal, batch, budget, label
        self.model, self.client, self.lock = config["model"], client or connect(config), threading.Lock()
        self.halt, self.running = threading.Event(), {}
        self.batches = Batches(self)

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
                    self.batches.finish(sent, by_id, seen)
            fruitless = 0
            while (todo := self.open(requests)) and fruitless < ATTEMPTS:
                batch = self.batched(todo)
                affordable = self.affordable(todo, batch)
                if not affordable:
                    return False
                if batch:
                    self.batches.send(affordable, by_id, seen)
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
        queue, alone = list(requests), True
        running = self.running = {}
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
            others = [r for r in list(self.running.values()) if r is not request]
            if request not in self.affordable([*others, request], False):
                return None  # what was lost counts: another attempt could overshoot the budget by more than one request
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
