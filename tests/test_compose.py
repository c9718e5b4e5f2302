"""Frames composed from a schema alone: right by construction, said in many ways, and fitted to no CLI in particular."""

import random
import re
from collections import Counter

import compose
import generate
import notation
import phrasebook
import pytest
import schema as cli_schema
import utils
import yaml
from compose.words import gerund, unsaid
from lexicon import Lexicon, plural, singular
from rows import row_faults
from teacher import Teacher

FLEET = """
cli_name: fleet
description: Boats and crews of a harbour
context:
  - {name: harbour.current_boat, type: string, description: Boat one looks at}
  - {name: harbour.pier, type: string, description: Pier one works on}
commands:
  - name: get
    description: List the things of a kind
    aliases: [show]
    args:
      - {name: resource, type: enum, values: [boats, crews, lighthouses], required: true,
         description: "Kind of thing, also by its short name such as bo, cr or lh"}
      - {name: name, type: string, description: "Which one, all when left out", from_context: harbour.current_boat}
      - {name: pier, type: string, description: Pier to look on, from_context: harbour.pier}
    flags:
      - {name: all-piers, description: On every pier}
  - name: describe
    description: Explain one thing in detail
    args:
      - {name: resource, type: enum, values: [boats, crews, lighthouses], required: true, description: Kind of thing}
      - {name: name, type: string, required: true, description: Which one, from_context: harbour.current_boat}
  - name: repaint
    description: Put new paint on a boat
    args:
      - {name: name, type: string, required: true, description: Name of the boat, from_context: harbour.current_boat}
      - {name: colour, type: string, required: true, description: Colour to use, examples: [red, navy blue]}
    flags:
      - {name: now, description: Do not wait for a dry day}
      - {name: stdin, short: i, natural_language: [interactively]}
      - {name: tty, short: t, natural_language: [interactively]}
  - name: moor
    description: Tie a boat to a post
    args:
      - {name: resource, type: enum, values: [boats, crews], default: boats, description: Kind of thing}
      - {name: name, type: string, required: true, description: Which one}
      - {name: post, type: string, required: true, description: Name of the post}
  - name: close
    description: Keep new boats off a buoy
    args: [{name: buoy, type: string, required: true, description: Name of the buoy}]
  - name: diff
    description: Show what changed between two charts
    args:
      - {name: first, type: string, required: true, description: Older chart}
      - {name: second, type: string, required: true, description: Newer chart, from_context: harbour.pier}
  - name: thin
    description: Sell old boats
    args: [{name: keep_last, type: integer, required: true, description: How many boats to keep}]
  - name: schedule
    description: When ferries run
    subcommands:
      - {name: "off", description: Stop the schedule}
      - name: set
        description: Run ferries at an interval
        args: [{name: every, type: string, required: true, description: Interval between two ferries, examples: [6h]}]
  - name: cargo
    description: Loads
    subcommands:
      - {name: list, description: List the loads}
      - name: logs
        description: Print what a crane wrote
        args: [{name: crane, type: string, required: true, description: Name of the crane}]
      - name: stop
        description: Stop a crane
        aliases: [halt]
        args: [{name: crane, type: string, required: true, description: Name of the crane}]
  - name: crew
    description: Crews
    subcommands:
      - name: stop
        description: Send a crew home
        aliases: [halt]
        args: [{name: name, type: string, required: true, description: Name of the crew}]
      - name: create
        description: Put a crew together
        args: [{name: name, type: string, required: true, description: Its name}]
"""


@pytest.fixture(scope="module")
def fleet():
    schema, faults = cli_schema.from_raw(yaml.safe_load(FLEET))
    assert faults == []
    return schema


@pytest.fixture(scope="module")
def book(fleet):
    return compose.phrasebook(fleet, Lexicon())


def said(frame):
    return frame.id.split(": ", 1)[1].removesuffix(" [*]")


def everything(node):
    """Every text that a frame may have; slots stay in braces."""
    if node.kind == "slot":
        return [f"{{{node.value}}}"]
    if node.kind in ("text", "option"):
        return [node.value if node.kind == "text" else ""]
    found = [everything(p) for p in node.parts]
    if node.kind == "any":
        return [t for texts in found for t in texts]
    out = [""]
    for texts in found:
        out = [o + t for o in out for t in texts]
    return out


def meanings(book, label):
    """{text: (args, flags, points, implies, missing)} of a subcommand."""
    out = {}
    for f in book.frames[label]:
        for text in everything(f.node):
            key = re.sub(r"\s+", " ", text).strip()
            out[key] = (f.args, f.flags, f.points, f.implies, f.missing)
    return out


@pytest.mark.parametrize("name", ["gh", "notes", "fleet"])
def test_a_composed_book_has_no_fault_of_the_notation(name, fleet):
    schema = fleet if name == "fleet" else cli_schema.load(name)
    composed = compose.phrasebook(schema, Lexicon())
    assert phrasebook.check(composed, schema) == []
    assert set(composed.frames) == set(schema.by_label)


@pytest.mark.parametrize("name", ["gh", "notes", "fleet"])
def test_there_are_many_frames_of_many_patterns_for_every_subcommand(name, fleet):
    schema = fleet if name == "fleet" else cli_schema.load(name)
    for label, frames in compose.phrasebook(schema, Lexicon()).frames.items():
        assert len(frames) >= 12, label
        assert len({f.template for f in frames}) >= 10, label
        assert all(f.template for f in frames), label


def test_this_thing_says_its_kind_where_the_kind_is_an_argument(book):
    for label in ("get", "describe"):
        for f in book.frames[label]:
            if "name" in f.points:
                assert f.args == {"resource": "boats"}, said(f)
                assert re.search(r"\bboat\b", said(f)), said(f)
    found = meanings(book, "describe")
    pointed = [found[t] for t in (f"describe {n} boat" for n in ("this", "that", "the current", "the")) if t in found]
    assert pointed
    assert all(meaning == ({"resource": "boats"}, (), ("name",), (), ()) for meaning in pointed)
    assert "describe it" not in found


def test_what_is_pointed_at_may_be_followed_by_options(book):
    open_ends = {"this boat", "that boat", "the current boat", "the boat", "it", "that"}
    found = {t: set() for t in open_ends}
    for label in ("get", "repaint"):
        for f in book.frames[label]:
            end = next((t for t in open_ends if said(f).endswith(f" {t}")), None)
            if end and "name" in f.points:
                found[end].add("*" in notation.names(f.node, "option"))
    assert found["this boat"] == found["that boat"] == {True}
    assert found["the boat"] == {False}  # "the boat" and "called mary" would name it
    assert True not in found["it"] | found["that"]  # "that" and "pier 3" would be that pier


def test_the_place_one_is_in_is_said_in_many_ways():
    book = compose.phrasebook(cli_schema.load("notes"), Lexicon())
    here = {"".join(t) for f in book.options["list", "folder"] if f.points == ("folder",) for t in everything(f.node)}
    assert {"here", "in this folder", "in my dir", ", this folder", "in the folder i'm in"} <= here
    assert not any("{" in t for t in here)


def test_this_thing_of_a_kind_that_the_context_does_not_hold_is_a_question(book):
    asked = {said(f) for f in book.clarify["pronoun"]}
    assert any("lighthouse" in t for t in asked)
    assert not any("boat" in t for t in asked)


def test_a_pointing_word_without_a_context_field_is_a_question(book, fleet):
    found = meanings(book, "close")
    assert found["keep new boats off this buoy"][2] == ("buoy",)
    assert fleet.by_label["close"].arg["buoy"].from_context is None


def test_the_description_is_a_pattern_whose_nouns_stand_for_arguments(book):
    close, repaint, logs = (meanings(book, label) for label in ("close", "repaint", "cargo logs"))
    assert "keep new boats off {buoy}" in close
    assert "keep new boats off buoy {buoy}" in close
    assert any(re.match(r"put new paint on {name} .*{colour}", t) for t in repaint)
    assert any(re.match(r"put new paint on (this|that|the current|the) boat", t) for t in repaint)
    assert "print what {crane} wrote" in logs
    assert "print what the crane {crane} wrote" in logs


def test_what_is_read_is_asked_for_by_its_name(book):
    found = meanings(book, "cargo logs")
    assert {"logs of {crane}", "what did {crane} say"} <= set(found)
    assert "show me the logs of crane {crane}" in found or "show me the logs of the crane {crane}" in found


def test_a_kind_is_the_noun_and_is_said_with_its_short_forms(book):
    rng = random.Random(0)
    node = book.values["get.resource"]["lighthouses"]
    forms = {"".join(n.value for n in notation.leaves(node, rng)) for _ in range(100)}
    assert {"lighthouses", "lighthouse"} <= forms
    short = {"".join(n.value for n in notation.leaves(book.values["get.resource"]["boats"], rng)) for _ in range(100)}
    assert "bo" in short
    assert "cr" not in short
    found = meanings(book, "get")
    assert "get {resource}" in found
    assert "get {resource} {name}" in found
    assert any(t.startswith("which ") and args == {"resource": t.split()[1]} for t, (args, *_) in found.items())


def test_an_optional_kind_is_set_only_when_it_is_said(book):
    for text, (args, _, points, _, missing) in meanings(book, "moor").items():
        if "{name}" in text and not args and not missing and not points:
            assert ("{resource}" in text) == bool(re.search(r"{resource}", text))
    found = meanings(book, "moor")
    assert "moor {name} {post}" in found
    assert any("{resource} {name}" in t for t in found)


def test_every_way_to_leave_required_arguments_out_is_asked_for(book):
    missing = {m[4] for m in meanings(book, "moor").values() if m[4]}
    assert {("name",), ("post",), ("name", "post")} <= missing
    for text, (_, _, _, _, left) in meanings(book, "moor").items():
        assert not any(f"{{{name}}}" in text for name in left), text


def test_a_target_that_the_context_may_hold_is_implied(book):
    assert any(m[3] == ("name",) and "{colour}" in t for t, m in meanings(book, "repaint").items())
    assert all(m[3] == () for m in meanings(book, "get").values()), "a list needs no target"


def test_a_verb_of_two_subcommands_needs_its_noun(book):
    stop, crew = meanings(book, "cargo stop"), meanings(book, "crew stop")
    assert "stop {crane}" not in stop
    assert "halt {name}" not in crew
    assert "stop crane {crane}" in stop or "stop the crane {crane}" in stop or "stop the {crane} crane" in stop
    assert "stop crew {name}" in crew or "stop the crew {name}" in crew or "stop the {name} crew" in crew
    both = [f for f in book.clarify["multiple"] if said(f) == "stop {name}"]
    assert [set(f.targets) for f in both] == [{"cargo stop", "crew stop"}]


def test_arguments_without_words_keep_the_order_of_the_schema(book):
    found = meanings(book, "diff")
    assert "diff {first} {second}" in found
    assert not any(re.search(r"{second} {first}", t) for t in found)


def test_a_quantity_is_no_target_and_a_particle_no_noun(book):
    assert "sell old boats keeping the last {keep_last}" in meanings(book, "thin")
    assert not any(m[2] for m in meanings(book, "thin").values()), "nobody points at a number"
    assert "stop the schedule" in meanings(book, "schedule off")
    assert not any("offs" in t for t in meanings(book, "schedule off"))


def test_a_thing_that_is_pointed_at_is_not_followed_by_a_bare_value(book):
    for label, frames in book.frames.items():
        for f in frames:
            if f.points and f.args.get("resource") != "boats":
                for text in everything(f.node):
                    assert not re.search(r"\b(this|that|the) (boat|crane|buoy|crew) {", text), (label, text)


def test_words_for_several_flags_set_them_all_and_politeness_sets_none(book):
    shared = [f for f in book.options["repaint", "+tty"] if said(f) in ("interactively", "-it")]
    assert [set(f.flags) for f in shared] == [{"stdin", "tty"}] * 2
    now = {said(f) for f in book.options["repaint", "+now"]}
    assert not {"now", ", now"} & now
    assert {", don't wait for a dry day", "without waiting for a dry day", "--now"} <= now


def test_all_of_them_and_one_of_them_exclude_each_other(book):
    shared = book.options["get", "pier"]
    assert {f.flags for f in shared} == {(), ("all-piers",)}
    assert ("get", "+all-piers") not in book.options
    assert any(f.points == ("pier",) for f in shared)


RADIO = """
cli_name: radio
description: A radio
context: [{name: radio.current_station, type: string, description: Station that is on}]
commands:
  - name: logs
    description: Print what a station wrote
    args: [{name: station, type: string, required: true, description: Name of the station, from_context: radio.current_station}]
    flags:
      - {name: follow, description: Keep printing new lines, natural_language: [stream]}
      - {name: logs, description: With the logs of the logs}
  - name: erase
    description: Delete a recording
    args: [{name: recording, type: string, required: true, description: Name of the recording}]
    flags: [{name: force, description: Without a word}]
  - name: list
    description: List the recordings
    args: [{name: genre, type: enum, values: [jazz, talk], description: Genre to keep}]
    flags:
      - {name: watch, description: Keep showing changes}
      - {name: recordings, description: Nothing else}
"""


@pytest.fixture(scope="module")
def radio():
    schema, faults = cli_schema.from_raw(yaml.safe_load(RADIO))
    assert faults == []
    return compose.phrasebook(schema, Lexicon())


def test_a_flag_that_is_said_as_the_verb_sets_it(radio):
    logs, erase, many = (meanings(radio, label) for label in ("logs", "erase", "list"))
    assert logs["follow the logs of station {station}"][1] == ("follow",)
    assert logs["keep streaming logs of the {station} station"][1] == ("follow",)
    assert logs["stream the logs"][1::2] == (("follow",), ("station",))
    assert erase["force erase {recording}"][1] == ("force",)
    assert many["watch the recordings"][1] == ("watch",)


def test_no_frame_says_a_flag_that_it_does_not_set(radio):
    """But for words that name the subcommand, or what it acts on."""
    for label, flag, words in (
        ("logs", "follow", "follow|stream"),
        ("erase", "force", "force"),
        ("list", "watch", "watch"),
    ):
        says = {text: found[1] for text, found in meanings(radio, label).items() if re.search(rf"\b({words})\b", text)}
        assert says
        assert all(flag in flags for flags in says.values())
    for label, word in (("logs", "logs"), ("list", "recordings")):
        assert any(word in text and not found[1] for text, found in meanings(radio, label).items())


def test_a_noun_with_an_option_is_a_list(radio):
    found = meanings(radio, "list")
    assert any(text.startswith("recordings ") and "{genre}" in text for text in found)
    assert any(text.startswith("recordings ") and "watch" in flags for text, (_, flags, *_) in found.items())


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("(see|follow|read) what <t> says", "(see|read) what <t> says"),
        ("(follow|keep following) <t>", ""),
        ("follow <t>", ""),
        ("{follow} of <t> (now|)", "{follow} of <t> (now|)"),
        ("followed by <t>", "followed by <t>"),
        (r"(a \| b|follow|c) <t>", r"(a \| b|c) <t>"),
        ("keep's no keep-alive", "keep's no keep-alive"),
    ],
)
def test_alternatives_with_a_word_are_left_out(text, left):
    assert unsaid(text, ["follow", "keep"]) == left


def test_off_topic_leaves_out_what_the_cli_does():
    tune, faults = cli_schema.from_raw(
        {
            "cli_name": "tune",
            "description": "Music player",
            "commands": [{"name": "play", "description": "Play a song", "args": [{"name": "song", "required": True}]}],
        }
    )
    assert faults == []
    music, boats = (
        " ".join(said(f) for f in compose.phrasebook(s, Lexicon()).clarify["off_topic"])
        for s in (tune, cli_schema.from_raw(yaml.safe_load(FLEET))[0])
    )
    assert "jazz" in boats
    assert "jazz" not in music


def test_rows_of_a_composed_book_are_right_and_mostly_short(fleet, tmp_path):
    teacher = Teacher(fleet, "fleet", 0)
    progress = utils.Progress(tmp_path / "p.jsonl", {}, "")
    generate.draw_rows(teacher, fleet, 400, progress)
    progress.file.close()
    assert [f for d in progress.records for f in row_faults(d["row"], fleet)] == []
    lengths = sorted(len(d["row"]["instruction"].split()) for d in progress.records)
    assert lengths[len(lengths) // 2] <= 8
    shown = Counter(d["label"] for d in progress.records if d["kind"] != "ask")
    assert set(shown) == set(fleet.by_label)
    assert not any("None" in d["row"]["output"] for d in progress.records)
    assert not any(re.search(r"<\w+>", d["row"]["instruction"]) for d in progress.records)


@pytest.mark.parametrize(
    ("one", "many"),
    [("pod", "pods"), ("ingress", "ingresses"), ("ns", "ns"), ("status", "statuses"), ("query", "queries")],
)
def test_number_of_nouns(one, many):
    assert (singular(many), plural(one)) == (one, many if one != "ns" else "ns")


@pytest.mark.parametrize(
    ("verb", "form"),
    [
        ("stop", "stopping"),
        ("roll back", "rolling back"),
        ("scale", "scaling"),
        ("drain", "draining"),
        ("tie", "tying"),
    ],
)
def test_gerunds(verb, form):
    assert gerund(verb) == form


def test_what_nobody_says_and_what_the_notation_means_otherwise_make_no_fault(tmp_path, monkeypatch):
    """An alias without a letter, an arrow in descriptions, and a number with a point that the context gives."""
    schema, faults = cli_schema.from_raw(
        yaml.safe_load("""
cli_name: mill
description: Grinds files => flour
context:
  - {name: mill.speed, description: Speed of the stone}
commands:
  - name: source
    aliases: [".", "..."]
    description: Read a file
    natural_language: ["json => yaml"]
    args: [{name: file, type: path, required: true, description: "File => to read"}]
    flags: [{name: dry, description: "Grain => nothing", natural_language: ["a => b"]}]
  - name: turn
    description: Turn the stone
    args: [{name: speed, type: float, description: Speed of the stone, from_context: mill.speed, required: true}]
""")
    )
    assert faults == []
    teacher = Teacher(schema, "mill", 0)
    assert teacher.faults == []
    drawn = [d for d in (teacher.draw(i, "train", 0) for i in range(300)) if d]
    assert [f for d in drawn for f in row_faults(d["row"], schema)] == []
    rows = [d["row"] for d in drawn if d["label"] == "turn" and d["kind"] == "ctx"]
    known = [r["context"]["mill"]["speed"] for r in rows]
    assert rows
    assert all(isinstance(v, int | float) for v in known)
    assert any(f'"speed": {v}' in r["output"] for r, v in zip(rows, known, strict=True))
