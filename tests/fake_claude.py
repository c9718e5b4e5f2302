"""A local stand-in for the Claude API: Messages, token counting and Message Batches over a socket, with faults on purpose.

It reads the prompts that claude/cells.py writes and answers with rows of the bundled teacher. Every reply that it charges for is
in `paid`, by the text of its request, so that tests can tell whether anything was paid twice.
"""

import datetime
import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import schema as cli_schema
from claude.cells import ASKS
from rows import Seen, row_faults
from teacher import Teacher

KEY = "sk-ant-test-0123456789"


class Author:
    """Writes what a prompt asks for: rows of the bundled teacher, each once."""

    def __init__(self, name, seed=7):
        self.schema = cli_schema.load(name)
        self.teacher, self.seen = Teacher(self.schema, name, seed), Seen()
        self.pools, self.index, self.lock = {}, 0, threading.Lock()

    def row(self, kind, key):
        """A new row of a bucket."""
        failed = 0
        while not self.pools.get((kind, key)):
            drawn, self.index = self.teacher.draw(self.index, "train", failed), self.index + 1
            fault = drawn is None or row_faults(drawn["row"], self.schema) or self.seen.fault(drawn["row"], "train")
            failed = failed + 1 if fault else 0
            if not fault:
                self.teacher.accept(drawn)
                bucket = ("ask", drawn["category"]) if drawn["kind"] == "ask" else (drawn["kind"], drawn["label"])
                self.pools.setdefault(bucket, []).append(drawn["row"])
            assert failed < 2000, f"no more rows of {kind} {key}"
        return self.pools[kind, key].pop()

    def rows(self, prompt):
        """Examples for a prompt, with the answers in the notation that it asks for."""
        with self.lock:
            why = re.search(r"^Why the interpreter has to ask: (.*)\.$", prompt, re.M)
            if why:
                n = int(re.search(r"Generate (\d+)", prompt)[1])
                category = next(c for c, text in ASKS.items() if text == why[1])
                found = [self.row("ask", category) for _ in range(n)]
            else:
                kind = "ctx" if "Kind: commands with a situation" in prompt else "noctx"
                counts = re.search(r"^How many of each: (.*)\.$", prompt, re.M)[1]
                pairs = [part.rpartition(" ") for part in counts.split(", ")]
                found = [self.row(kind, label) for label, _, n in pairs for _ in range(int(n))]
        return [
            {"input": r["instruction"], "context": r["context"], "answer": notation(json.loads(r["output"]))}
            for r in found
        ]


def notation(answer):
    if answer["type"] == "clarification":
        return "? " + ", ".join(s["label"] for s in answer["suggestions"])
    label = " ".join(w for w in (answer["command"], answer["subcommand"]) if w)
    args = [f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in answer["args"].items()]
    return " ".join([label, *args, *(f"+{f}" for f in answer["flags"])])


class FakeClaude:
    """faults: what happens to the next POST of messages ("" is nothing), then what `always` says. Start with `with`.

    Faults of a message: 429 500 529 401 400, reset, slow, truncated, refusal, empty, shape, invalid.
    Faults of batches, in `batch_faults`: 500, reset (taken, but the reply is lost), 400, expired, errored, cut (results break off).
    """

    def __init__(self, author=None, faults=(), always=None, batch_faults=(), texts=()):
        self.author, self.faults, self.always = author, list(faults), always
        self.batch_faults, self.texts = list(batch_faults), list(texts)
        self.paid, self.lost, self.calls, self.batches, self.bodies = Counter(), Counter(), Counter(), {}, []
        self.lock, self.hold, self.poll_until_ended = threading.Lock(), None, 1
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True

    @property
    def env(self):
        host, port = self.server.server_address
        return {"ANTHROPIC_BASE_URL": f"http://{host}:{port}", "ANTHROPIC_API_KEY": KEY}

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    # --------------------------------------------------------------------------------------------------- replies
    def next_fault(self):
        with self.lock:
            if self.faults:
                return self.faults.pop(0)
        return self.always() if self.always else ""

    def message(self, params, fault=""):
        """A Message for the parameters of a request, and what it is charged for."""
        user = params["messages"][0]["content"]
        if self.texts:
            text, stop = self.texts.pop(0), "end_turn"
        else:
            text, stop = json.dumps({"rows": self.author.rows(user)}, ensure_ascii=False), "end_turn"
        if fault == "truncated":
            text, stop = text[: len(text) // 2], "max_tokens"
        elif fault == "refusal":
            text, stop = "", "refusal"
        elif fault == "empty":
            text = ""
        elif fault == "shape":
            text = json.dumps(
                {"rows": [{"input": 5}, {"text": "merge"}, {"input": "x", "context": "here", "answer": "?"}]}
            )
        elif fault == "invalid":
            text = text.replace('"answer": "', '"answer": "no-such ')
        with self.lock:
            self.paid[user] += 1
        size = len(json.dumps(params["system"])) // 4
        usage = {"input_tokens": len(user) // 4, "output_tokens": len(text) // 4}
        usage |= {"cache_creation_input_tokens": 0, "cache_read_input_tokens": size}
        return {
            "id": f"msg_{sum(self.paid.values())}",
            "type": "message",
            "role": "assistant",
            "model": params["model"] + "-20251101",
            "content": [{"type": "text", "text": text}] if text else [],
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": usage,
        }

    def batch_object(self, b):
        names = ("processing", "succeeded", "errored", "canceled", "expired")
        counts = dict.fromkeys(names, 0) | {"succeeded" if b["ended"] else "processing": len(b["requests"])}
        return {
            "id": b["id"],
            "type": "message_batch",
            "processing_status": "ended" if b["ended"] else "in_progress",
            "request_counts": counts,
            "created_at": b["created"],
            "expires_at": b["expires"],
            "ended_at": b["created"] if b["ended"] else None,
            "results_url": f"{self.env['ANTHROPIC_BASE_URL']}/v1/messages/batches/{b['id']}/results"
            if b["ended"]
            else None,
        }

    def add_batch(self, requests):
        now = datetime.datetime.now(datetime.UTC)
        with self.lock:
            b = {"id": f"msgbatch_{len(self.batches) + 1}", "requests": requests, "ended": False, "polls": 0}
            b |= {"created": now.isoformat(), "expires": (now + datetime.timedelta(days=1)).isoformat(), "lines": None}
            self.batches[b["id"]] = b
        return b

    def results(self, b):
        """The lines of a batch's results, the same at every call; the messages are paid at the first."""
        if b["lines"] is None:
            b["lines"] = []
            for r in reversed(b["requests"]):  # not in the order of the requests
                fault = self.next_fault()
                if fault == "expired":
                    result = {"type": "expired"}
                elif fault == "errored":
                    error = {"type": "api_error", "message": "internal"}
                    result = {"type": "errored", "error": {"type": "error", "error": error, "request_id": None}}
                else:
                    result = {"type": "succeeded", "message": self.message(r["params"], fault)}
                b["lines"].append(json.dumps({"custom_id": r["custom_id"], "result": result}) + "\n")
        return b["lines"]

    # ---------------------------------------------------------------------------------------------------- socket
    def handler(fake):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def send(self, status, value, headers=()):
                data = json.dumps(value).encode()
                self.send_response(status)
                for k, v in (("content-type", "application/json"), ("content-length", str(len(data))), *headers):
                    self.send_header(k, v)
                self.end_headers()
                self.wfile.write(data)

            def error(self, status, kind, text, headers=()):
                self.send(status, {"type": "error", "error": {"type": kind, "message": text}}, headers)

            def cut(self, data):
                """Half of a body, then the end of the connection."""
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                self.close_connection = True
                self.connection.close()

            def do_GET(self):
                fake.calls[self.command + " " + re.sub(r"msgbatch_\d+", "ID", self.path.split("?")[0])] += 1
                name = re.search(r"msgbatch_\d+", self.path)
                if not name:
                    found = [fake.batch_object(b) for b in reversed(fake.batches.values())]
                    return self.send(200, {"data": found, "has_more": False, "first_id": None, "last_id": None})
                b = fake.batches.get(name[0])
                if b is None:
                    return self.error(404, "not_found_error", "no such batch")
                if self.path.endswith("/results"):
                    data = "".join(fake.results(b)).encode()
                    if "cut" in fake.batch_faults:
                        fake.batch_faults.remove("cut")
                        return self.cut(data)
                    self.send_response(200)
                    self.send_header("content-type", "application/x-jsonl")
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    return self.wfile.write(data)
                b["polls"] += 1
                if b["polls"] > fake.poll_until_ended:
                    b["ended"] = True
                self.send(200, fake.batch_object(b))

            def do_POST(self):
                fake.calls["POST " + self.path.split("?")[0]] += 1
                params = json.loads(self.rfile.read(int(self.headers["content-length"])))
                key = self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")
                if key != KEY:
                    return self.error(401, "authentication_error", f"invalid x-api-key {key}")
                if self.path.startswith("/v1/messages/count_tokens"):
                    return self.send(200, {"input_tokens": len(json.dumps(params)) // 4})
                if self.path.startswith("/v1/messages/batches"):
                    return self.create_batch(params)
                fake.bodies.append(params)
                fault = fake.next_fault()
                if fake.hold:
                    fake.hold.wait(60)
                if fault in ("429", "529", "500", "401", "400", "404", "credit"):
                    kinds = {"429": "rate_limit_error", "529": "overloaded_error", "500": "api_error"}
                    headers = [("retry-after", "0.1")] if fault in ("429", "529", "500") else []
                    text = "Your credit balance is too low" if fault == "credit" else f"fault {fault}"
                    status = 400 if fault == "credit" else int(fault)
                    return self.error(status, kinds.get(fault, "invalid_request_error"), text, headers)
                if fault == "slow":
                    time.sleep(2)
                value = fake.message(params, fault)
                if fault in ("reset", "slow"):
                    user = params["messages"][0]["content"]
                    with fake.lock:
                        fake.lost[user] += 1
                if fault == "reset":
                    return self.cut(json.dumps(value).encode())
                self.send(200, value)

            def create_batch(self, params):
                fault = fake.batch_faults.pop(0) if fake.batch_faults and fake.batch_faults[0] != "cut" else ""
                if fault in ("500", "400"):
                    return self.error(
                        int(fault),
                        "api_error" if fault == "500" else "invalid_request_error",
                        "no batch",
                        [("retry-after", "0.1")],
                    )
                fake.bodies += [r["params"] for r in params["requests"]]
                b = fake.add_batch(params["requests"])
                if fault == "reset":
                    return self.cut(json.dumps(fake.batch_object(b)).encode())
                self.send(200, fake.batch_object(b))

        return Handler
