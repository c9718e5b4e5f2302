"""The report of a model and its card: what they conclude from what was counted, and that the pages are whole."""

import copy
import json
import math
import os
import re
from html.parser import HTMLParser

import decisions
import model_report
import pytest
import scores
import utils
import yaml
from report import charts
from report.card import card
from report.model_page import page
from tiny import NOTES, command, question

READ = command("read", number=3)
ASK = question("unclear")
MODEL = utils.digest_text("weights")
VOID = {"meta", "br"}


class Whole(HTMLParser):
    """Every tag is closed in order; nothing is fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched = [], []

    def handle_starttag(self, tag, attrs):
        self.fetched += [v for k, v in attrs if k in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def whole(html):
    parser = Whole()
    parser.feed(html)
    return not parser.open and not parser.fetched


def evaluation(right, wrong, asks=(), p=1e-9, **more):
    """An evaluation as eval.py writes it: so many right and wrong commands, and answers to cases that must be asked."""
    case = {"instruction": "read <3>", "context": None, "expected": json.loads(READ)}
    ask = {
        "instruction": "hm",
        "context": {"notes": {"current_note": 1}},
        "expected": json.loads(ASK),
        "cat": "unclear",
    }
    pairs = [(case, READ)] * right + [(case, command("read", "raw", number=3))] * wrong + [(ask, a) for a in asks]
    judged = [(c, scores.judge(c, o, NOTES)) for c, o in pairs]
    verdicts = [j for _, j in judged]
    found = decisions.facts(judged, NOTES, lambda a: ("run", ""))
    found["twins"] = scores.rate(1, 2)
    return {
        "model": "training/models/notes/clitron-notes-q4_k_m.gguf",
        "base": "SmolLM2-135M-Instruct+general",
        "rows": "rows.jsonl",
        "of": "0" * 16,
        "model_digest": MODEL,
        "own": False,
        "n": len(pairs),
        "seconds": 90,
        "right": [j["exact"] for j in verdicts],
        "scores": scores.table(verdicts),
        "decisions": found,
        "belief": decisions.belief(judged),
        "perplexity": 1.2,
        "latency_seconds": {"p50": 0.3, "p99": 0.5, "n": len(pairs)},
        "mistakes": [
            {"instruction": c["instruction"], "context": c["context"], "expected": j["want"], "answer": j["answer"]}
            for c, j in judged
            if not j["exact"]
        ],
        "baselines": {"lookup <table>": {**scores.rate(1, len(pairs)), "p": p, "better": True}},
        **more,
    }


@pytest.fixture
def facts(tmp_path, monkeypatch):
    """facts() of a model folder with these evaluations."""
    monkeypatch.setattr(utils, "ROOT", tmp_path)
    folder = tmp_path / "training" / "models" / "notes"
    utils.write_text(folder / "clitron-notes-q4_k_m.gguf", "weights")

    def make(**files):
        for name, value in files.items():
            utils.write_json(folder / f"{name}.json", value)
        return model_report.facts("notes", NOTES)

    make.folder = folder
    return make


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (evaluation(250, 10), "96 % of 260 requests are answered exactly right (95 %: 93 to 98): ready."),
        (
            evaluation(27, 3),
            "90 % of 30 requests are answered exactly right (95 %: 74 to 97): ready, though 30 rows are too few to be sure.",
        ),
        (evaluation(20, 20), "not ready: most mistakes are in read; write more frames for them, or train longer."),
        (
            evaluation(200, 3, [READ] * 9 + [ASK]),
            "not ready: it acts where it should ask; write more question lines, or train longer.",
        ),
        (
            evaluation(99, 1, p=0.2),
            "not better beyond chance than the lookup <table>: train longer, or on more rows, before anything else.",
        ),
    ],
)
def test_the_verdict(made, words):
    assert model_report.verdict([made]).endswith(words)


def test_no_evaluation_no_verdict():
    assert model_report.verdict([]) == "Not evaluated yet; run train-eval."


def test_people_are_believed_before_the_teacher(facts):
    made = facts(**{"evaluation": evaluation(50, 0, own=True, rows="val"), "evaluation-people": evaluation(10, 10)})
    assert [e["own"] for e in made["evaluations"]] == [False, True]
    assert "50 % of 20" in made["verdict"]


def test_better_is_said_only_where_the_test_says_so(facts):
    good, same, bad = evaluation(40, 0), evaluation(39, 1), evaluation(10, 30)
    for name, e in (("q8", same), ("q2", bad)):
        e["model"] = f"clitron-notes-{name}.gguf"
    other = evaluation(40, 0, of="1" * 16, model="elsewhere.gguf")
    lines = model_report.compared(good, [good, same, bad, other])
    assert len(lines) == 2
    assert "no different beyond chance from clitron-notes-q8.gguf: +2.5 points" in lines[0]
    assert "is better than clitron-notes-q2.gguf: +75.0 points" in lines[1]
    assert "is worse than" in model_report.compared(bad, [good])[0]
    now, old = ({**e, "trained": when} for e, when in ((good, "now"), (same, "before")))
    assert "chance from clitron-notes-q8.gguf (another training):" in model_report.compared(now, [old])[0]
    for e, o in ((good, old), (now, same), (now, {**old, "trained": "now"})):
        assert "(another training)" not in model_report.compared(e, [o])[0]


def test_the_last_training_is_believed_before_the_one_before_it(facts):
    old = facts.folder / "clitron-notes-q8_0.gguf"
    utils.write_text(old, "old weights")
    os.utime(old, (1, 1))
    before = evaluation(
        60, 0, rows="a", of="2" * 16, trained="before", model_digest=utils.digest(old), model=f"x/{old.name}"
    )
    made = facts(**{"evaluation-a.q8_0": before, "evaluation-a": evaluation(10, 10, rows="a", trained="now")})
    assert "50 % of 20" in made["verdict"]


def test_of_two_files_of_peoples_rows_the_larger_one_is_believed(facts):
    made = facts(**{"evaluation-a": evaluation(3, 0, rows="a"), "evaluation-b": evaluation(10, 10, rows="b")})
    assert "50 % of 20" in made["verdict"]


def test_each_quantization_has_an_evaluation_of_its_own(tmp_path):
    assert model_report.of_file(None, "q4_k_m") == "evaluation.json"
    assert model_report.of_file(tmp_path / "gh_dev.jsonl", "q4_k_m") == "evaluation-gh_dev.json"
    assert model_report.of_file(tmp_path / "gh_dev.jsonl", "q8_0") == "evaluation-gh_dev.q8_0.json"


def test_files_of_one_name_in_two_folders_keep_an_evaluation_each(tmp_path, monkeypatch):
    monkeypatch.setattr(model_report, "models_dir", lambda _: tmp_path)
    found = []
    for folder in ("a", "b", "a", "b"):
        rows = (tmp_path / folder / "people.jsonl").resolve()
        record = model_report.record_of("notes", rows, "q4_k_m")
        utils.write_json(record, {"rows": utils.display(rows)})
        found.append(record.name)
    assert found[0] == found[2] == "evaluation-people.json"
    assert found[1] == found[3] != found[0]
    assert found[1].startswith("evaluation-people-")


def test_page_and_card_are_whole_and_escape_what_people_typed(facts):
    log = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "eval_loss": 1.1}, {"step": 2, "eval_exact_match": 0.5}]
    log += [{"step": 2, "eval_perplexity": 3.0, "loss": math.inf}, {"step": 2, "eval_seconds_per_answer": 0.5}]
    utils.write_jsonl(
        facts.folder / "dpo" / "log.jsonl", [{"step": 1, "loss": math.nan, "eval_rewards/accuracies": 1.0}]
    )
    utils.write_jsonl(facts.folder / "sft" / "log.jsonl", log)
    utils.write_json(facts.folder / "sft" / "stage.json", {"seconds": 600, "validation_loss": [1.1], "base": "x"})
    made = facts(**{"evaluation-people": evaluation(20, 12, [READ, ASK])})
    html = page(made)
    assert whole(html)
    assert "read &lt;3&gt;" in html
    assert "<3>" not in html
    assert "&lt;table&gt;" in html
    sft = ("loss", "perplexity", "validation rows, without a grammar", "an answer, without a grammar")
    assert [title for title in sft if f"<h3>SFT: {title}</h3>" not in html] == []
    assert "DPO: pairs told apart" in html
    assert "DPO: loss" not in html
    assert "nan" not in html
    assert html.count("<article>") == 13
    assert "expected <code>notes read 3</code>" in html
    assert "answered <code>notes read --raw 3</code>" in html
    text = card(made)
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["license"] == "apache-2.0"
    assert head["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    values = {m["type"]: m["value"] for m in head["model-index"][0]["results"][0]["metrics"]}
    assert values["exact_match"] == round(21 / 34, 4)
    assert "| everything right | 61.8 %" in text


@pytest.mark.parametrize("pixels", [1280, 400])
def test_the_page_fits_its_window(facts, width_in_browser, pixels):
    log = [
        {"step": n, "loss": 1 / n, "eval_loss": 1 / n, "eval_perplexity": 1.5, "eval_exact_match": 0.5} for n in (1, 2)
    ]
    utils.write_jsonl(facts.folder / "sft" / "log.jsonl", log)
    modules = {"training": {"lora_target_modules": [*"qkvo", "a_module_whose_name_is_long", "and_another_one"]}}
    record = {"seconds": 600, "base": "SmolLM2-135M-Instruct+general", "fingerprint": {"settings": modules}}
    utils.write_json(facts.folder / "sft" / "stage.json", record)
    html = page(facts(**{"evaluation-people": evaluation(20, 40, [READ, ASK] * 6)}))
    assert html.count("<article>") == 30
    assert width_in_browser(html, pixels) <= pixels


def test_what_it_was_made_with(facts):
    data = facts.folder.parent.parent / "data" / "notes" / "stage.json"
    utils.write_json(data, {"fingerprint": {"settings": {"num": 60, "seed": 3}}, "written": {"train.jsonl": "abc"}})
    sft = {"base": "x", "settings": {"base": "x", "training": {"learning_rate": 0.1}, "data": {"drawn": True}}}
    utils.write_json(facts.folder / "sft" / "stage.json", {"base": "x", "fingerprint": sft})
    dpo = {"settings": {"seed": 3, "training": {"beta": 0.2, "names": ["a", "b"]}, "model": {"samples": 2}}}
    utils.write_json(facts.folder / "dpo" / "stage.json", {"fingerprint": dpo})
    assert "DPO beta" not in model_report.made_with("notes")  # it did not go on
    utils.write_json(facts.folder / "dpo" / "stage.json", {"fingerprint": dpo, "kept": True})
    made = model_report.made_with("notes")
    assert made == {
        "base model": "x",
        "digest of train.jsonl": "abc",
        "data num": 60,
        "data seed": 3,
        "SFT learning_rate": 0.1,
        "SFT drawn": True,
        "DPO seed": 3,
        "DPO beta": 0.2,
        "DPO names": "a, b",
    }


def test_the_page_of_another_base_claims_no_licence(facts):
    made = facts(evaluation=evaluation(3, 1, base="acme/big-model"))
    head = yaml.safe_load(card(made).split("---\n")[1])
    assert (head["license"], head["base_model"]) == ("other", "acme/big-model")


def test_a_page_without_anything_is_whole(facts):
    made = facts()
    assert made["verdict"] == "Not evaluated yet; run train-eval."
    assert whole(page(made))


def test_an_evaluation_of_a_file_that_was_replaced_counts_no_more(facts):
    made = facts(
        **{"evaluation-people": evaluation(1, 9, model_digest="0" * 16), "evaluation": evaluation(9, 1, own=True)}
    )
    assert [e["own"] for e in made["evaluations"]] == [True]


@pytest.mark.parametrize(
    "expected",
    [
        {"type": "command", "command": "fly", "subcommand": None},
        {"type": "command", "command": "read", "subcommand": "", "args": None},
        {"type": "command", "command": "read", "subcommand": None, "args": {"altitude": 3}},
    ],
)
def test_what_no_command_of_the_schema_is_said_as_it_is(expected):
    assert model_report.said(expected, NOTES) == json.dumps(expected)


def test_mistakes_the_surest_first(facts):
    made = evaluation(1, 3)
    for m, sure in zip(made["mistakes"], (0.2, 0.9, 0.5), strict=True):
        m["answer"] = {**copy.deepcopy(m["answer"]), "confidence": sure}
    found = facts(evaluation=made)["evaluations"][0]["mistakes"]
    assert [m["confidence"] for m in found] == [0.9, 0.5, 0.2]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.07), (3, 700), (0, 1e-9), (5, 5)])
def test_ticks_are_few_and_round(low, high):
    found = charts.ticks(low, high)
    assert 1 <= len(found) <= 7
    assert all(low - 1e-12 <= t <= high + 1e-12 for t in found)


def test_charts_stay_inside_their_frame():
    html = charts.chart({"a": [(0, -5), (10, 500)], "b": [(5, float("1e9"))]}, "x", "y", (0, 10), (0, 1))
    places = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', html)
    assert len(places) == 3
    for x, y in places:
        assert 0 <= float(x) <= charts.WIDTH
        assert 0 <= float(y) <= charts.HEIGHT
    assert charts.chart({}, "x", "y") == "<p>Nothing was logged.</p>"
    assert "<circle" in charts.reliability([{"confidence": 0.5, "right": 0.4, "n": 3}])
    assert "polyline" in charts.risk_coverage([[0.5, 0, 0.9], [1, 0.5, 0.2]])
