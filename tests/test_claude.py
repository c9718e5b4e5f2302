"""Claude as the teacher: prices, cells, reading replies; then the real SDK against a local server that misbehaves on purpose."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from types import SimpleNamespace

import pytest
import schema as cli_schema
import split_check
import utils
from claude import bill, cells, direct
from claude.byhand import ByHand
from claude.exchange import Exchange
from claude.replies import Collector, examples, read_answer, row_of
from claude.requests import expected, worst
from conftest import ROOT, Project
from fake_claude import KEY, Author, FakeClaude
from hypothesis import given
from hypothesis import strategies as st

GH, NOTES = cli_schema.load("gh"), cli_schema.load("notes")
CONFIG = utils.load_yaml(utils.CONFIGS / "generate_config.yaml")["claude"]
QUICK = ["generate.claude.poll_seconds=0", "generate.claude.retry_seconds=0", "generate.claude.rows_per_request=10"]
CELL = {"id": "1-0", "kind": "ctx", "category": None, "counts": {"pr merge": 3}, "style": "terse"}
CELL |= {"situations": {"1": {"git": {"current_pr": 12}}}, "known": []}
ASK = {**CELL, "kind": "ask", "category": "multiple", "counts": {"multiple": 3}}


# ------------------------------------------------------------------------------------------------------- money
def test_cost_follows_the_published_prices():
    used = {
        "input": 1_000_000,
        "cache_write_5m": 1_000_000,
        "cache_write_1h": 0,
        "cache_read": 1_000_000,
        "output": 1_000_000,
    }
    assert bill.cost("claude-opus-4-5", used, batch=False) == pytest.approx(5 + 6.25 + 0.5 + 25)
    assert bill.cost("claude-opus-4-5-20251101", used, batch=True) == pytest.approx((5 + 6.25 + 0.5 + 25) / 2)


def test_a_model_without_a_price_is_refused(capsys):
    with pytest.raises(SystemExit):
        bill.prices("claude-unheard-of")
    assert "has no price; add it to training/configs/prices.yaml" in capsys.readouterr().err


def test_usage_is_split_by_kind_of_cache():
    usage = {"input_tokens": 1, "output_tokens": 2, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 4}
    assert bill.tokens(usage) == dict(zip(bill.KINDS, (1, 10, 0, 4, 2), strict=True))
    usage["cache_creation"] = {"ephemeral_1h_input_tokens": 7}
    assert bill.tokens(usage) == dict(zip(bill.KINDS, (1, 3, 7, 4, 2), strict=True))


def test_the_bill_counts_replies_and_what_was_lost():
    usage = {"input_tokens": 1000, "output_tokens": 1000}
    reply = {"kind": "reply", "id": "a", "usage": usage, "model": "claude-haiku-4-5"}
    records = [{**reply, "batch": False}, {**reply, "batch": True}, {"kind": "lost", "id": "b", "usd": 0.5}]
    found = bill.bill(records)
    assert {k: v["replies"] for k, v in found.items()} == {
        "claude-haiku-4-5": 1,
        "claude-haiku-4-5, batch": 1,
        "replies that never arrived, at most": 1,
    }
    assert bill.spent(records) == pytest.approx(0.006 + 0.003 + 0.5)
    assert bill.lines(found)[-1] == "  $0.5090  in all"


# ------------------------------------------------------------------------------------------------------- cells
@given(st.integers(1, 5000), st.dictionaries(st.text(max_size=3), st.floats(0.01, 10), min_size=1, max_size=20))
def test_apportioning_gives_whole_numbers_that_add_up(total, weights):
    parts = cells.apportion(total, weights)
    assert sum(parts.values()) == total
    whole = sum(weights.values())
    assert all(abs(parts[k] - total * w / whole) < 1 for k, w in weights.items())


@pytest.mark.parametrize("schema", [GH, NOTES])
def test_quotas_have_the_shares_of_the_specification(schema):
    quotas = cells.quotas(schema, 3000)
    kinds = Counter()
    for (kind, _), n in quotas.items():
        kinds[kind] += n
    assert kinds == {"ctx": 1800, "noctx": 600, "ask": 600}
    assert min(quotas.values()) > 5
    assert {key for kind, key in quotas if kind == "ctx"} == set(schema.by_label)


def test_cells_ask_for_all_that_is_needed_and_a_little_more():
    need = cells.quotas(GH, 1000)
    made = cells.cells(GH, need, 40, 1)
    asked = Counter()
    for cell in made:
        assert 1 <= sum(cell["counts"].values()) <= 40
        asked.update({(cell["kind"], key): n for key, n in cell["counts"].items()})
        commands = {key.split()[0] for key in cell["counts"]}
        assert len(commands) == 1
    assert set(asked) == set(need)
    assert all(need[k] <= asked[k] <= need[k] * cells.SLACK + 1 for k in need)
    assert len({cell["id"] for cell in made}) == len(made)
    assert {cell["style"] for cell in made} == set(cells.STYLES)


def test_a_cell_says_in_words_what_it_wants():
    text = cells.user({**CELL, "known": ["land it"]})
    assert "Generate 3 diverse examples" in text
    assert "How many of each: pr merge 3." in text
    assert "1. git.current_pr: 12" in text
    assert text.endswith("- land it")
    text = cells.user(ASK)
    assert cells.ASKS["multiple"] in text
    assert "How many of each" not in text


def test_the_shared_part_holds_the_schema_and_is_the_same_for_every_cell():
    text = cells.system(GH)
    assert "from_context: git.current_pr" in text
    assert '"answer": "pr list state=open +web"' in text
    assert bill.tokenizer()(text) > 4096  # the API caches nothing shorter for this model


# ----------------------------------------------------------------------------------------------------- replies
ROW = {"input": "merge 12", "context": None, "answer": "pr merge number=12"}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([ROW, ROW]),
        json.dumps({"rows": [ROW, ROW]}),
        f"Here you are:\n```json\n{json.dumps([ROW, ROW], indent=2)}\n```\nAnything else?",
        f"```json\n{json.dumps([ROW])}\n```\nand [more] of {{them}}:\n```\n{json.dumps([ROW])}\n```",
        json.dumps([ROW, ROW, ROW])[:-30],  # cut off in the third
        "\n".join(json.dumps(ROW) for _ in range(2)),
    ],
)
def test_examples_are_found_wherever_they_stand(text):
    assert examples(text) == [ROW, ROW]


@given(st.text())
def test_no_text_breaks_the_reader(text):
    assert isinstance(examples(text), list)


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        ("pr merge number=12 +squash +delete-branch", ("pr merge", {"number": 12}, ["squash", "delete-branch"])),
        ("pr merge +delete-branch +squash number=12", ("pr merge", {"number": 12}, ["squash", "delete-branch"])),
        ('issue create title="say \\"hi\\"" body=\'a b\'', ("issue create", {"title": 'say "hi"', "body": "a b"}, [])),
        ("pr list", ("pr list", {}, [])),
    ],
)
def test_answers_in_the_notation(answer, output):
    found = read_answer(answer, CELL, GH)
    label, args, flags = output
    assert (f"{found['command']} {found['subcommand']}", found["args"]) == (label, args)
    assert sorted(found["flags"]) == sorted(flags)


def test_a_question_in_the_notation():
    found = read_answer("? pr close, issue close", ASK, GH)
    assert found["type"] == "clarification"
    assert [s["label"] for s in found["suggestions"]] == ["pr close", "issue close"]
    assert read_answer("?", {**ASK, "category": "unclear"}, GH)["suggestions"] == []


@pytest.mark.parametrize(
    ("example", "fault"),
    [
        ({"input": "merge 12", "answer": "pr merge number=12"}, None),
        ({"instruction": "merge this", "context": 1, "answer": "pr merge number=12"}, None),
        ({"input": "merge 12", "output": {"command": "pr", "subcommand": "merge", "args": {"number": 12}}}, None),
        (
            {
                "input": "merge 12",
                "output": json.dumps(
                    {"type": "command", "command": "pr", "subcommand": "merge", "args": {"number": 12}, "flags": []}
                ),
            },
            None,
        ),
        (
            {
                "input": "show 4",
                "context": None,
                "output": {"type": "clarification", "message": "Which?", "suggestions": []},
            },
            None,
        ),
        ({"input": " "}, "shape"),
        ({"input": 4, "answer": "pr list"}, "shape"),
        ({"input": "merge this", "context": 7, "answer": "pr merge number=12"}, "shape"),
        ({"input": "merge this", "context": "main", "answer": "pr merge number=12"}, "shape"),
        ({"input": "merge 12"}, "shape"),
        ({"input": "merge 12", "answer": "pr merge number = 12"}, "shape"),
        ({"input": "merge 12", "answer": "pr land number=12"}, "schema"),
        ({"input": "merge 12", "answer": "pr merge pull=12"}, "schema"),
        ({"input": "merge 12", "answer": "pr merge number=12 +force-push"}, "schema"),
        ({"input": "show 4", "answer": "? pr look"}, "schema"),
        ({"input": "merge x", "answer": "pr merge number=x"}, "types"),
        ({"input": "close it", "answer": "issue close"}, "required"),
        ({"input": "merge it", "answer": "pr merge number=99"}, "grounding"),
    ],
)
def test_each_rule_turns_away_what_breaks_it(example, fault):
    row, why = row_of(example, CELL, GH)
    assert (why or "").split(":")[0] == (fault or "")
    assert (row is None) == (fault is not None)


def test_the_collector_takes_no_row_twice_and_no_more_than_it_needs():
    collector = Collector({("noctx", "pr merge"): 2, ("ask", "multiple"): 1}, GH)
    text = json.dumps(
        [ROW, ROW, {**ROW, "input": "merge 13", "answer": "pr merge number=13"}, {**ROW, "input": "land 12"}]
    )
    assert collector.take(text, CELL) == 2
    assert collector.rejected == {"diversity": 1, "surplus": 1}
    assert (
        collector.take(json.dumps([{"input": "show 4", "context": None, "answer": "? pr view, issue view"}]), ASK) == 1
    )
    assert collector.take(json.dumps([{"input": "eh", "context": None, "answer": "?"}]), CELL) == 0
    assert collector.take("I'd rather not.", CELL) == 0
    assert collector.rejected["cell"] == collector.rejected["empty"] == 1
    assert collector.need() == {}


def test_near_duplicates_stay_on_one_side_of_the_split():
    texts = [f"{verb} the pull request {n}" for verb in ("merge", "close") for n in range(100, 140)]
    texts += [
        f"{a} {b} please"
        for a in ("qwx", "brk", "tfg", "zun", "ola")
        for b in ("vim", "spo", "dre", "kal", "mub", "ith")
    ]
    accepted = [
        {"row": {"instruction": t, "output": "{}"}, "kind": "noctx", "category": "noctx", "label": ""} for t in texts
    ]
    done = direct.split(accepted, seed=0)
    sides = {}
    for a in done:
        sides.setdefault(re.sub(r"\d+", "", a["row"]["instruction"]), set()).add(a["split"])
    assert all(len(s) == 1 for s in sides.values())
    assert sum(a["split"] == "val" for a in done) == 11


def test_the_split_keeps_apart_what_its_check_would_find():
    """A command and a question back in the same words: the value is masked in the one and not in the other."""
    rng, accepted = random.Random(0), []
    for n in range(25):
        made = ["".join(rng.choices("abcdefghijklmnop", k=5)) for _ in range(5)]
        words, title = " ".join(made), " ".join(made[2:])
        command = {"command": "gh", "subcommand": "issue create", "args": {"title": title}}
        question = {"clarify": True, "message": "What about it?"}
        for said, output in ((words, command), (words.upper() + "!", question)):
            row = {"instruction": said, "output": json.dumps(output)}
            accepted.append({"row": row, "kind": str(n % 2), "category": "noctx", "label": ""})
    for seed in range(20):
        rows = [
            {"split": a["split"], "at": "", "instruction": a["row"]["instruction"], "frame": None}
            for a in direct.split(accepted, seed)
        ]
        assert {r["split"] for r in rows} == {"train", "val"}
        assert split_check.leaks(rows) == []


def test_rows_that_differ_in_a_value_alone_count_as_alike():
    rows = [
        {"instruction": f"file a bug called {t}", "output": json.dumps({"args": {"title": t}})}
        for t in ("rename the heron", "qqq")
    ]
    assert direct.masked(rows[0]) == direct.masked(rows[1]) == "file a bug called title"


# ---------------------------------------------------------------------------------------------------- exchange
def request(number):
    r = {"id": number, "system": "be brief", "user": f"request {number}", "schema": None}
    return {**r, "max_tokens": 1100, "tokens": (1000, 100), "shared": 900}


@pytest.fixture
def exchange(tmp_path, monkeypatch):
    """A function (server, **config) -> (Exchange on a journal in tmp_path, list that collects the ids of replies)."""
    opened = []

    def make(server, batch="off", budget=None, **config):
        for k, v in server.env.items():
            monkeypatch.setenv(k, v)
        for earlier in opened:
            earlier.file.close()  # as a kill would
        journal = utils.Progress(tmp_path / "journal.jsonl", {"journal": "test"}, "delete it")
        opened.append(journal)
        config = {**CONFIG, "poll_seconds": 0, "retry_seconds": 0, **config}
        return Exchange(config, journal, batch, budget)

    return make


def run(exchange, ids):
    """(what answer() returned, ids of the replies) for some requests."""
    seen = []
    return exchange.answer([request(i) for i in ids], lambda r: seen.append(r["id"])), sorted(seen)


@pytest.mark.parametrize("batch", ["off", "on"])
def test_every_request_gets_its_reply_once(exchange, batch):
    ids = [str(i) for i in range(12)]
    with FakeClaude(texts=["ok"] * 12) as server:
        e = exchange(server, batch)
        assert run(e, ids) == (True, sorted(ids))
        assert run(e, ids) == (True, [])
    assert set(server.paid.values()) == {1}
    assert len(server.paid) == 12


@pytest.mark.parametrize("fault", ["429", "500", "529"])
def test_passing_errors_are_waited_for(exchange, fault):
    with FakeClaude(texts=["ok"] * 3, faults=[fault, "", fault, fault]) as server:
        start = time.monotonic()
        e = exchange(server)
        assert run(e, ["a", "b", "c"]) == (True, ["a", "b", "c"])
    assert time.monotonic() - start > 0.2  # retry-after was 0.1 for each
    assert e.spent() == pytest.approx(bill.spent(e.of("reply")))


def test_a_connection_that_breaks_in_the_middle_counts_as_paid(exchange):
    with FakeClaude(texts=["ok"] * 3, faults=["", "reset"]) as server:
        e = exchange(server)
        assert run(e, ["a", "b"]) == (True, ["a", "b"])
    lost = e.of("lost")
    assert [r["id"] for r in lost] == ["b"]
    assert e.spent() > bill.spent(e.of("reply"))
    assert set(server.lost) == {"request b"}


def test_a_slow_reply_is_asked_again(exchange):
    with FakeClaude(texts=["ok"] * 2, faults=["slow"]) as server:
        e = exchange(server, timeout_seconds=0.5)
        assert run(e, ["a"]) == (True, ["a"])
    assert [r["id"] for r in e.of("lost")] == ["a"]


def test_a_request_that_the_api_calls_wrong_is_given_up_and_the_others_go_on(exchange):
    with FakeClaude(texts=["ok"] * 2, faults=["", "400"]) as server:
        e = exchange(server, concurrency=1)
        assert run(e, ["a", "b", "c"]) == (True, ["a", "c"])
    assert [(r["id"], r["why"]) for r in e.of("failed")] == [("b", "400: fault 400")]


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("401", "the API refuses ANTHROPIC_API_KEY (401)"),
        ("404", "the API does not know model claude-opus-4-5 (404); set generate.claude.model="),
        ("credit", "the account has no credit left"),
    ],
)
@pytest.mark.parametrize("batch", ["off", "on"])
def test_what_no_repetition_mends_is_one_line(exchange, capsys, fault, line, batch):
    if batch == "on" and fault != "401":
        pytest.skip("the API says this of single requests")
    with FakeClaude(texts=["ok"] * 9, always=lambda: fault) as server:
        e = exchange(server, batch)
        e.client = e.client.with_options(api_key="sk-ant-wrong-key") if fault == "401" else e.client
        with pytest.raises(SystemExit):
            run(e, ["a", "b"])
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1
    assert "sk-ant" not in err


def test_no_network_is_one_line_and_costs_nothing(exchange, capsys):
    with FakeClaude() as server:
        e = exchange(server)
    with pytest.raises(SystemExit):
        run(e, ["a"])
    err = capsys.readouterr().err
    assert re.search(
        r"no connection to the API \(.*\); the same command continues; teacher=phrasebook needs no key", err
    )
    assert e.spent() == 0


def test_what_was_sent_before_a_kill_counts_as_lost(exchange):
    with FakeClaude(texts=["ok"] * 2) as server:
        e = exchange(server)
        e.note({"kind": "sent", "ids": ["a"]})
        again = exchange(server)
        assert run(again, ["a", "b"]) == (True, ["a", "b"])
    assert [r["id"] for r in again.of("lost")] == ["a"]


# ----------------------------------------------------------------------------------------------------- batches
def test_an_open_batch_is_found_again_by_its_id(exchange):
    with FakeClaude(texts=["ok"] * 6) as server:
        e = exchange(server, "on")
        e.batches.take = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)  # killed before the results are read
        with pytest.raises(KeyboardInterrupt):
            run(e, list("abcdef"))
        e.journal.file.close()
        again = exchange(server, "on")
        assert run(again, list("abcdef")) == (True, list("abcdef"))
    assert len(server.batches) == 1
    assert set(server.paid.values()) == {1}


def test_a_batch_whose_id_never_arrived_is_found(exchange):
    with FakeClaude(texts=["ok"] * 9, batch_faults=["reset"]) as server:
        e = exchange(server, "on")
        assert run(e, list("abc")) == (True, list("abc"))
    assert len(server.batches) == 1


def test_killed_between_handing_in_and_hearing_the_id(exchange):
    with FakeClaude(texts=["ok"] * 9) as server:
        e = exchange(server, "on")
        e.batches.hand_in(
            sent := {"kind": "sent", "ids": ["a", "b"], "run": "abc123", "at": time.time()},
            [request("a"), request("b")],
        )
        lines = [{"fingerprint": {"journal": "test"}}, sent]  # what the journal held then
        e.journal.file.close()
        e.journal.path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        again = exchange(server, "on")
        assert run(again, ["a", "b"]) == (True, ["a", "b"])
    assert len(server.batches) == 1


def test_a_stranger_s_batch_is_left_alone(exchange):
    """Same size, same age, but not ours: its results are not taken, and ours is handed in."""
    with FakeClaude(texts=["ok"] * 9) as server:
        params = {"model": "claude-opus-4-5", "system": "", "messages": [{"role": "user", "content": "a stranger's"}]}
        server.add_batch([{"custom_id": f"stranger-{i}", "params": params} for i in range(2)])
        e = exchange(server, "on")
        e.note({"kind": "sent", "ids": ["a", "b"], "run": "abc123", "at": time.time()})
        assert run(e, ["a", "b"]) == (True, ["a", "b"])
    assert len(server.batches) == 2
    assert server.paid["a stranger's"] == 2  # by its owner
    assert server.paid["request a"] == 1


@pytest.mark.parametrize("fault", ["expired", "errored"])
def test_what_a_batch_did_not_do_is_asked_again(exchange, fault):
    with FakeClaude(texts=["ok"] * 9, faults=["", fault, "", fault]) as server:
        e = exchange(server, "on")
        assert run(e, list("abcde")) == (True, list("abcde"))
    assert [len(b["requests"]) for b in server.batches.values()] == [5, 2]
    assert set(server.paid.values()) == {1}


def test_results_that_break_off_are_read_again(exchange):
    with FakeClaude(texts=["ok"] * 9, batch_faults=["cut"]) as server:
        e = exchange(server, "on")
        assert run(e, list("abcde")) == (True, list("abcde"))
    assert server.calls["GET /v1/messages/batches/ID/results"] >= 2
    assert set(server.paid.values()) == {1}


def test_a_batch_that_the_api_refuses_is_one_line(exchange, capsys):
    with FakeClaude(batch_faults=["400"]) as server, pytest.raises(SystemExit):
        run(exchange(server, "on"), ["a", "b"])
    assert "the API refuses the batch: 400: no batch" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------ budget
@pytest.mark.parametrize("batch", ["off", "on"])
def test_the_budget_is_overshot_by_one_request_at_most(exchange, batch):
    with FakeClaude(texts=["x" * 4000] * 40) as server:  # replies longer than they were thought to be
        e = exchange(server, batch, budget=0.2, concurrency=4)
        complete, seen = run(e, [str(i) for i in range(40)])
        assert complete is False
        assert 0 < len(seen) < 40
        assert 0.1 < e.spent() <= 0.2 + worst(request("0"), "claude-opus-4-5", batch == "on")
        more = exchange(server, batch, budget=99)
        assert run(more, [str(i) for i in range(40)])[0] is True
    assert set(server.paid.values()) == {1}


def test_attempts_whose_reply_is_lost_count_against_the_budget(exchange):
    """One of them counts at $0.0075: the third overshoots, and no fourth leaves."""
    with FakeClaude(texts=["ok"] * 40, always=lambda: "reset") as server:
        e = exchange(server, budget=0.02, concurrency=4)
        assert run(e, [str(i) for i in range(20)]) == (False, [])
    assert len(e.of("sent")) == len(e.of("lost")) == 3
    assert 0.02 < e.spent() < 0.02 + worst(request("0"), "claude-opus-4-5", False)


def test_estimates_lie_between_what_is_likely_and_the_worst():
    for batch in (False, True):
        usd = expected([request(str(i)) for i in range(10)], "claude-opus-4-5", batch)
        assert 0 < usd < sum(worst(request(str(i)), "claude-opus-4-5", batch) for i in range(10))


# -------------------------------------------------------------------------------------------- the stage as a whole
@pytest.fixture(scope="module")
def author():
    return Author("notes")


def env(project, server):
    return {**project.env, **server.env}


def generate(project, server, *words):
    command = [sys.executable, str(ROOT / "scripts" / "generate.py"), "name=notes", "num=100", *QUICK, *words]
    return subprocess.run(command, env=env(project, server), capture_output=True, text=True, timeout=300)


def data(project, name="notes"):
    return [r for f in ("train.jsonl", "train_val.jsonl") for r in utils.read_jsonl(project.data(name) / f)]


def buckets(rows, schema):
    """How many rows of each kind and label; questions by kind alone, their category is not in the row."""
    out = Counter()
    for r in rows:
        answer = json.loads(r["output"])
        if answer["type"] == "command":
            out["ctx" if r["context"] else "noctx", schema.by_key[answer["command"], answer["subcommand"]].label] += 1
        else:
            out["ask"] += 1
    return out


def check_complete(project, schema, num):
    """Exactly the rows that were asked for: none lost, none doubled, every quota full, a tenth for validation."""
    rows = data(project, schema.cli)
    wanted = Counter()
    for bucket, n in cells.quotas(schema, num).items():
        wanted["ask" if bucket[0] == "ask" else bucket] += n
    assert buckets(rows, schema) == wanted
    assert len({json.dumps([r["instruction"], r["context"]]) for r in rows}) == num
    assert len(utils.read_jsonl(project.data(schema.cli) / "train_val.jsonl")) == num // 10


@pytest.mark.slow
@pytest.mark.parametrize("batch", ["off", "on", "auto"])
def test_claude_fills_every_quota(project, author, batch):
    with FakeClaude(author) as server:
        done = generate(project, server, f"batch={batch}")
        assert done.returncode == 0, done.stderr
        check_complete(project, NOTES, 100)
        assert "teacher claude (ANTHROPIC_API_KEY is set), model claude-opus-4-5" in done.stdout
        assert re.search(r"100 rows to ask for in \d+ requests, about \$0\.\d\d; budget \$5\.00", done.stdout)
        assert bool(server.batches) == (batch != "off")
        stage = json.loads((project.data() / "stage.json").read_text())
        (model, line), *_ = stage["bill"].items()
        assert model == "claude-opus-4-5-20251101" + ("" if batch == "off" else ", batch")
        assert line["replies"] == sum(server.paid.values())
        assert stage["rows"] == {"train": 90, "val": 10}
        for body in server.bodies:
            assert "temperature" not in body
            assert body["system"][0]["cache_control"]["type"] == "ephemeral"
            assert body["output_config"]["format"]["schema"] == cells.reply(direct.INPUT)
        again = generate(project, server, f"batch={batch}")
        assert "is up to date" in again.stdout
    everything = "".join(p.read_text() for p in project.data().iterdir()) + done.stdout + done.stderr
    assert KEY not in everything


@pytest.mark.slow
def test_more_rows_later_pay_only_for_the_new_ones(project, author):
    with FakeClaude(author) as server:
        command = [sys.executable, str(ROOT / "scripts" / "generate.py"), "name=notes", *QUICK, "batch=off"]
        for num in (60, 100):
            done = subprocess.run([*command, f"num={num}"], env=env(project, server), capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        assert "continuing after" in done.stdout
        assert set(server.paid.values()) == {1}
    check_complete(project, NOTES, 100)


@pytest.mark.slow
def test_rows_that_were_paid_for_stay_when_the_key_is_gone(project, author):
    with FakeClaude(author) as server:
        assert generate(project, server, "batch=off").returncode == 0
    before = (project.data() / "train.jsonl").read_bytes()
    done = project.run("generate.py", "name=notes", "num=100", *QUICK)
    assert done.returncode == 0, done.stderr
    assert "is up to date" in done.stdout
    line = project.fails("generate.py", "name=notes", "num=120", *QUICK)
    assert "teacher=claude needs a key" in line
    assert (project.data() / "train.jsonl").read_bytes() == before


def test_another_teacher_leaves_what_was_paid_for(project):
    """An interrupted run of Claude's, then the bundled teacher: the journal is put aside, not overwritten."""
    journal = utils.Progress(project.data() / "train_progress.jsonl", direct.mark("claude", "notes"), "delete it")
    journal.save([{"kind": "reply", "id": "1-0", "text": "paid for"}])
    journal.file.close()
    done = project.run("generate.py", "name=notes", "num=50", "teacher=phrasebook")
    assert done.returncode == 0, done.stderr
    assert "paid for" in (project.data() / "claude.jsonl").read_text()


@pytest.mark.slow
def test_faulty_replies_are_topped_up(project, author):
    faults = ["truncated", "", "refusal", "empty", "shape", "invalid", "429", "", "reset", "500"]
    with FakeClaude(author, faults=faults) as server:
        done = generate(project, server, "batch=off")
        assert done.returncode == 0, done.stderr
    check_complete(project, NOTES, 100)
    rejected = json.loads((project.data() / "stage.json").read_text())["rejected"]
    assert {"refused", "empty", "shape", "schema"} <= set(rejected)


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_paid_twice(project, author):
    """Batches: SIGKILL while the batch is at work, then while its results are written."""
    with FakeClaude(author) as server:
        server.poll_until_ended = 10**9
        command = [sys.executable, str(ROOT / "scripts" / "generate.py"), "name=notes", "num=100", "batch=on", *QUICK]
        for _ in range(2):
            running = subprocess.Popen(
                command, env=env(project, server), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            polls = server.calls["GET /v1/messages/batches/ID"]
            wait_for(lambda: server.calls["GET /v1/messages/batches/ID"] > polls + 2)  # noqa: B023
            running.kill()
            running.wait()
        assert len(server.batches) == 1
        server.poll_until_ended = 0
        done = generate(project, server, "batch=on")
        assert done.returncode == 0, done.stderr
    assert set(server.paid.values()) == {1}
    check_complete(project, NOTES, 100)


def wait_for(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.mark.slow
def test_ctrl_c_waits_for_what_is_paid_and_the_same_command_continues(project, author):
    import threading

    with FakeClaude(author) as server:
        command = [sys.executable, str(ROOT / "scripts" / "generate.py"), "name=notes", "num=100", "batch=off", *QUICK]
        wait_free = threading.Event()
        running = subprocess.Popen(
            command, env=env(project, server), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_for(lambda: server.calls["POST /v1/messages"] >= 2)
        server.hold = wait_free
        calls = server.calls["POST /v1/messages"]
        wait_for(lambda: server.calls["POST /v1/messages"] > calls)
        running.send_signal(signal.SIGINT)
        time.sleep(0.5)
        wait_free.set()
        out, err = running.communicate(timeout=60)
        assert running.returncode == 130
        assert re.search(r"interrupted; waiting for \d replies that are paid for", out)
        assert err.strip().splitlines()[-1] == "generate.py: interrupted; the same command continues"
        journal = [json.loads(line) for line in (project.data() / "train_progress.jsonl").read_text().splitlines()]
        assert sum(r.get("kind") == "reply" for r in journal) == sum(server.paid.values())
        server.hold = None
        done = generate(project, server, "batch=off")
        assert done.returncode == 0, done.stderr
        assert "continuing after" in done.stdout
    assert set(server.paid.values()) == {1}
    check_complete(project, NOTES, 100)


def test_the_estimate_is_held_against_the_budget_before_anything_is_sent(project, author):
    with FakeClaude(author) as server:
        done = generate(project, server, "budget=0.01")
    assert done.returncode == 1
    assert "is more than budget=0.01; nothing was sent" in done.stderr
    assert "just train-phrases name=notes" in done.stderr
    assert not server.bodies


def test_without_a_key_one_line_says_what_to_do(project):
    line = project.fails("generate.py", "name=notes", "num=100", "teacher=claude")
    assert line == (
        "generate.py: teacher=claude needs a key; set ANTHROPIC_API_KEY (in the environment, or in .env here); "
        "teacher=phrasebook needs no key and no network"
    )


# --------------------------------------------------------------------------------------------------------- by hand
@pytest.mark.slow
def test_by_hand_prompts_are_written_and_replies_read(project, author):
    words = ["name=notes", "num=60", "teacher=manual", "generate.claude.rows_per_request=30"]
    line = project.fails("generate.py", *words)
    folder = project.data() / "manual"
    prompts = sorted(folder.glob("*.prompt.txt"))
    assert f"0 of {len(prompts)} replies are there; paste training/data/notes/manual/1-0.prompt.txt" in line
    for _ in range(6):
        for p in folder.glob("*.prompt.txt"):
            reply = p.with_name(p.name.replace(".prompt.", ".reply."))
            if not reply.exists():
                rows = author.rows(p.read_text())
                half = len(rows) // 2
                reply.write_text(
                    f"Sure!\n```json\n{json.dumps(rows[:half])}\n```\nand the rest:\n```json\n{json.dumps({'rows': rows[half:]})}\n```"
                )
        done = project.run("generate.py", *words)
        if done.returncode == 0:
            break
        assert "replies are there" in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
    check_complete(project, NOTES, 60)


def test_a_reply_by_hand_that_is_empty_is_asked_for_again(tmp_path, capsys):
    folder = tmp_path / "manual"
    folder.mkdir()
    (folder / "1-0.reply.txt").write_text(" \n")
    by_hand = ByHand(folder, SimpleNamespace(records=[]))
    assert by_hand.replies({"1-0"}) == []
    with pytest.raises(SystemExit):
        by_hand.answer([{"id": "1-0", "system": "s", "user": "u"}], None)
    assert (folder / "1-0.prompt.txt").read_text() == "s\n\nu\n"
    assert "0 of 1 replies are there" in capsys.readouterr().err


def test_replies_by_hand_that_are_all_there_are_taken(tmp_path):
    folder, taken = tmp_path / "manual", []
    folder.mkdir()
    (folder / "1-0.reply.txt").write_text("[]")
    by_hand = ByHand(folder, SimpleNamespace(records=[]))
    assert by_hand.answer([{"id": "1-0", "system": "s", "user": "u"}], taken.append) is True
    assert [r["id"] for r in taken] == ["1-0"]


@pytest.mark.parametrize("teacher", ["claude", "manual"])
def test_starting_afresh_keeps_what_was_paid_for_and_pasted(tmp_path, monkeypatch, teacher):
    folder = tmp_path / "notes"
    (folder / "manual").mkdir(parents=True)
    (folder / "manual" / "1-0.reply.txt").write_text("[]")
    begun = json.dumps({"fingerprint": direct.mark(teacher, "notes")}) + "\n"
    (folder / "train_progress.jsonl").write_text(begun + '{"kind": "reply"}\n')
    (folder / f"{teacher}.jsonl").write_text(begun)
    direct.set_back(teacher, folder)
    assert (folder / f"{teacher}.old.jsonl").read_text().count("\n") == 2
    assert not (folder / "train_progress.jsonl").exists() and not (folder / f"{teacher}.jsonl").exists()
    assert (folder / "manual.old" / "1-0.reply.txt").exists() == (teacher == "manual")
    (folder / "train_progress.jsonl").write_text("of the bundled teacher\n")
    direct.set_back(teacher, folder)
    assert not (folder / "train_progress.jsonl").exists() and (folder / f"{teacher}.old.jsonl").exists()


# ------------------------------------------------------------------------------------------------------------- goal
@pytest.mark.slow
def test_three_thousand_rows_of_gh_with_faults_and_kills(tmp_path):
    """A fifth of the replies is faulty, the run is killed three times: exactly the rows that were asked for come out."""
    project, rng = Project(tmp_path), random.Random(0)
    kinds = ["429", "500", "529", "reset", "truncated", "refusal", "empty", "shape", "invalid"]

    def fault():
        return rng.choice(kinds) if rng.random() < 0.2 else ""

    words = ["name=gh", "num=3000", "batch=off", "generate.claude.retry_seconds=0", "budget=50"]
    command = [sys.executable, str(ROOT / "scripts" / "generate.py"), *words]
    with FakeClaude(Author("gh"), always=fault) as server:
        for kill in range(3):
            running = subprocess.Popen(
                command, env=env(project, server), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            calls = server.calls["POST /v1/messages"]
            wait_for(lambda: server.calls["POST /v1/messages"] > calls + 12 + 5 * kill, 120)  # noqa: B023
            os.kill(running.pid, signal.SIGKILL)
            running.wait()
        done = subprocess.run(command, env=env(project, server), capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    check_complete(project, GH, 3000)
    journal = [json.loads(line) for line in (project.data("gh") / "claude.jsonl").read_text().splitlines()]
    replies = Counter(r["id"] for r in journal if r.get("kind") == "reply")
    assert set(replies.values()) == {1}
    # what was paid for and has no reply in the journal was cut off by the server or by a kill, and is counted as lost
    extra = sum(server.paid.values()) - len(replies)
    assert sum(server.lost.values()) <= extra <= sum(server.lost.values()) + 3 * CONFIG["concurrency"]
    print(done.stdout)
