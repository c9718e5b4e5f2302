"""The Message Batches API: half the price, one batch handed in, found again after a kill, its results taken once."""

import secrets
import time

from .errors import ATTEMPTS, OFFLINE, Stop, passing, transport_error, words
from .requests import body, reply_of

LOOKBACK = 600  # seconds that the API's clock may be behind ours


class Batches:
    """The batches of an Exchange, which has journal, client and limits."""

    def __init__(self, exchange):
        self.exchange = exchange

    def send(self, requests, by_id, seen):
        """Hand in one batch and wait for it. The journal knows of it before the API does."""
        sent = {"kind": "sent", "ids": [r["id"] for r in requests], "run": secrets.token_hex(6), "at": time.time()}
        self.exchange.note(sent)
        for attempt in range(ATTEMPTS):
            error = self.hand_in(sent, requests)
            if error is None:
                return self.finish(sent, by_id, seen)
            if self.find(sent):  # the API took it although we were told otherwise
                return self.finish(sent, by_id, seen)
            self.exchange.halt.wait(self.exchange.pause(error, attempt))
        self.exchange.note({"kind": "batch", "id": "none", "run": sent["run"]})
        raise Stop(
            f"the API does not take the batch ({words(error)}); nothing is lost, the same command continues; {OFFLINE}"
        )

    def hand_in(self, sent, requests):
        """None when the API has taken the batch, otherwise the error."""
        import anthropic

        try:
            made = self.exchange.client.messages.batches.create(
                requests=[
                    {"custom_id": f"{sent['run']}-{r['id']}", "params": body(r, self.exchange.model, "1h")}
                    for r in requests
                ]
            )
        except anthropic.APIStatusError as error:
            if not passing(error):
                self.exchange.note({"kind": "batch", "id": "none", "run": sent["run"]})
                self.exchange.give_up_on(error)
                raise Stop(f"the API refuses the batch: {words(error)}") from None
            return error
        except anthropic.APIConnectionError as error:
            return error
        self.exchange.note({"kind": "batch", "id": made.id, "run": sent["run"]})
        return None

    def find(self, sent):
        """Look for a batch that was handed in, but whose id never arrived. True when one is found; the journal then knows it.

        The API does not list custom_ids, so a batch of the right size and age is taken; its results tell whether it is ours.
        """
        known = {r["id"] for r in self.exchange.of("batch")}
        for b in self.patiently(lambda: self.exchange.client.messages.batches.list(limit=50).data):
            counts = b.request_counts
            size = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
            young = b.created_at.timestamp() >= sent["at"] - LOOKBACK
            if b.id not in known and young and size == len(sent["ids"]):
                self.exchange.note({"kind": "batch", "id": b.id, "run": sent["run"]})
                return True
        return False

    def finish(self, sent, by_id, seen):
        """Wait for the batch of a "sent" record and take its results, as far as the journal does not have them."""
        foreign, ended = set(), {r["id"] for r in self.exchange.of("ended")}
        while True:
            name = ([r["id"] for r in self.exchange.of("batch") if r["run"] == sent["run"]] or [None])[-1]
            if name == "none" or name in ended:
                return
            if name is None or name in foreign:
                if not self.find(sent):
                    self.exchange.note({"kind": "batch", "id": "none", "run": sent["run"]})
            elif not self.wait_for(name, len(sent["ids"])) or self.take(name, sent, by_id, seen):
                self.exchange.note({"kind": "ended", "id": name})
                return
            else:
                foreign.add(name)

    def wait_for(self, name, size):
        """Until a batch has ended; False when the API no longer knows it."""
        import anthropic

        start, told = time.monotonic(), False
        try:
            while True:
                b = self.patiently(lambda: self.exchange.client.messages.batches.retrieve(name))
                if b.processing_status == "ended":
                    return True
                if not told:
                    until = b.expires_at.astimezone().strftime("%a %H:%M")
                    print(
                        f"{self.exchange.label}: batch {name} with {size} requests is at work; most end within the hour, this one at the "
                        f"latest {until}; Ctrl-C leaves it running, the same command finds it again",
                        flush=True,
                    )
                    told = True
                elif time.monotonic() - start > 60:
                    print(
                        f"{self.exchange.label}: batch {name}: {b.request_counts.processing} of {size} still at work",
                        flush=True,
                    )
                    start = time.monotonic()
                time.sleep(self.exchange.config["poll_seconds"])
        except anthropic.NotFoundError:
            return False

    def take(self, name, sent, by_id, seen):
        """Record the results of a batch that has ended. False when they are not the results of this one."""
        import anthropic

        for attempt in range(ATTEMPTS):
            try:
                for line in self.exchange.client.messages.batches.results(name):
                    run, _, number = line.custom_id.partition("-")
                    if run != sent["run"]:
                        return False
                    if number in by_id and self.exchange.open([by_id[number]]):
                        self.result(number, line.result, seen)
                return True
            except anthropic.APIStatusError as e:
                error = e
                self.exchange.give_up_on(e)
            except (anthropic.AnthropicError, OSError, ValueError, EOFError, transport_error()) as e:
                error = e
            if attempt + 1 < ATTEMPTS:
                time.sleep(self.exchange.pause(error, attempt))
        raise Stop(
            f"the results of batch {name} do not arrive ({words(error)}); nothing is lost, the same command continues"
        )

    def result(self, number, result, seen):
        """One line of a batch's results. What expired, was cancelled or met the API's own fault is asked again, unpaid."""
        if result.type == "succeeded":
            reply = reply_of(number, result.message, batch=True)
            self.exchange.note(reply)
            seen(reply)
        elif result.type == "errored" and result.error.error.type == "invalid_request_error":
            self.exchange.note({"kind": "failed", "id": number, "why": result.error.error.message[:200]})

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
                self.exchange.give_up_on(e)
                if attempt + 1 < ATTEMPTS:
                    time.sleep(self.exchange.pause(e, attempt))
        raise Stop(f"no answer from the API ({words(error)}); nothing is lost, the same command continues; {OFFLINE}")
