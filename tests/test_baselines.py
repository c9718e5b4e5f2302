"""Baselines: they learn what they can from the rows, answer in canonical form, and never see what they are scored on."""

import json

import baselines
import pytest
import schema as cli_schema
from rows import answer_faults, canonical, dumps
from rows import command as command_of
from tiny import NOTES, command, question, row

TRAIN = (
    [row(f"read note {n}", command("read", number=n)) for n in range(1, 30)]
    + [row(f"delete number {n} for good", command("delete", "force", number=n)) for n in range(1, 30)]
    + [
        row(f"note down {t}", command("add", text=t))
        for t in "milk eggs bread tea salt rice soap glue tape ink".split()
    ]
    + [row("open ones", command("list", status="open")), row("what is open", command("list", status="open"))]
    + [row("all of them", command("list")), row("everything", command("list"))]
    + [row(t, question("unclear")) for t in ("hm", "do it", "the usual", "you know", "help", "and now", "well then")]
    + [row("read this", command("read", number=n), {"notes": {"current_note": n}}) for n in range(40, 60)]
    + [row("read this", question("pronoun", "read"))]
)


@pytest.fixture(scope="module")
def made():
    return {name: make(TRAIN, NOTES) for name, make in baselines.ALL.items()}


def test_a_lookup_table_knows_its_rows_and_nothing_else(made):
    answer = made["lookup table"]
    assert answer("Read  NOTE 7", None) == command("read", number=7)
    assert json.loads(answer("read note 300", None))["type"] == "clarification"


def test_the_nearest_neighbour_copies_the_answer_of_the_nearest_row(made):
    answer = made["nearest neighbour"]
    assert answer("please read note 7", None) == command("read", number=7)
    assert json.loads(answer("read note 300", None))["args"]["number"] in range(1, 60)


def test_intent_and_slots_copies_values_it_has_never_seen(made):
    answer = made["intent and slots"]
    assert answer("read note 345", None) == command("read", number=345)
    assert answer("delete number 77 for good", None) == command("delete", "force", number=77)
    assert answer("note down coffee", None) == command("add", text="coffee")
    assert json.loads(answer("the usual", None))["type"] == "clarification"
    assert answer("read this", {"notes": {"current_note": 99}}) == command("read", number=99)


@pytest.mark.parametrize("text", ["", "🎉", "read", "delete number for good", "note down", "x" * 3000, "12 12 12"])
def test_whatever_is_asked_the_answer_is_canonical(made, text):
    for answer in made.values():
        output = answer(text, {"notes": {"current_note": None}})
        assert answer_faults(json.loads(output), NOTES) == []
        assert output == dumps(canonical(json.loads(output), NOTES))


def test_a_value_is_found_in_the_words_also_when_it_is_spelled_out():
    found = baselines.tags("show pr twelve of octo/cat", {"number": 12, "repository": "octo/cat"})
    assert found == ["", "", "number", "", "repository"]


def test_predictions_do_not_look_at_what_is_expected(monkeypatch):
    monkeypatch.setattr(baselines, "SLOW", {})
    cases = [{"instruction": "read note 5", "context": None, "expected": {"type": "nonsense"}}]
    found = {name: (chosen, outputs) for name, chosen, outputs in baselines.predictions(TRAIN, NOTES, cases)}
    assert set(found) == set(baselines.ALL)
    assert found["lookup table"] == ([0], [command("read", number=5)])


def test_a_slow_baseline_answers_a_sample(monkeypatch):
    monkeypatch.setattr(baselines, "ALL", {})
    monkeypatch.setattr(baselines, "SLOW", {"slow": lambda train, schema: lambda instruction, context: instruction})
    monkeypatch.setattr(baselines, "SLOW_CASES", 5)
    cases = [{"instruction": str(n)} for n in range(20)]
    [(name, chosen, outputs)] = baselines.predictions(TRAIN, NOTES, cases)
    assert name == "slow"
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 5
    assert outputs == [str(i) for i in chosen]


def test_shots_show_questions_and_commands_with_and_without_context():
    found = baselines.shots(TRAIN, 8)
    answers = [json.loads(r["output"]) for r in found]
    assert 4 <= len(found) <= 8
    assert {a["type"] for a in answers} == {"command", "clarification"}
    labels = [baselines.label_of(a) for a in answers if a["type"] == "command"]
    assert len(set(labels)) == len(labels)
    assert found == baselines.shots(TRAIN, 8)


def test_the_template_of_a_gguf_is_that_of_its_tokenizer():
    import base_model
    import decoder
    import prompt
    from transformers import AutoTokenizer

    llm, _ = decoder.load(base_model.BUNDLED_GGUF, 512)
    some = baselines.shots(TRAIN, 4)
    want = prompt.frame(AutoTokenizer.from_pretrained(base_model.unpacked()), NOTES, some)
    assert prompt.frame(baselines.Template(llm), NOTES, some) == want


@pytest.mark.slow
def test_the_untuned_base_with_shots_answers_by_the_grammar():
    answer = baselines.few_shot(TRAIN, NOTES)
    for text in ("read note 8", "", "what is this"):
        output = answer(text, None)
        assert answer_faults(json.loads(output), NOTES) == []


def test_labels_of_commands_with_and_without_subcommands():
    gh = cli_schema.load("gh")
    answer = command_of(gh.by_label["pr merge"], {"number": 1}, [])
    assert json.loads(baselines.label_of(answer)) == ["pr", "merge"]
    assert json.loads(baselines.label_of(json.loads(command("list")))) == ["list", None]


def test_a_tool_without_arguments_has_nothing_to_tag():
    lamp, faults = cli_schema.from_raw(
        {
            "cli_name": "lamp",
            "description": "A lamp",
            "commands": [{"name": "on", "description": "Light"}, {"name": "off", "description": "Dark"}],
        }
    )
    assert faults == []
    on, off = (dumps(command_of(lamp.by_label[name], {}, [])) for name in ("on", "off"))
    train = [
        row(f"{w} the lamp", answer) for w, answer in (("light", on), ("kindle", on), ("douse", off), ("kill", off))
    ]
    answer = baselines.classical(train, lamp)
    assert (answer("light the lamp", None), answer("douse the lamp", None)) == (on, off)
    assert baselines.classical(train[:2], lamp)("anything", None) == on
