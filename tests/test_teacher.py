"""The bundled teacher: its rows are right, spread as asked, split by frame, and the same for the same seed."""

import json
import random
import re
from collections import Counter
from types import SimpleNamespace

import generate
import notation
import phrasebook
import pytest
import rows
import schema as cli_schema
import utils
from lexicon import Lexicon
from rows import flatten
from speaker import Said, tidy
from teacher import Teacher, freeze, nest

NUM = 300


def drawn(name, num, seed, path):
    """What a run of generate draws in this process: the schema, the teacher, and its rows with where they come from."""
    schema = cli_schema.load(name)
    teacher = Teacher(schema, name, seed)
    progress = utils.Progress(path, {"seed": seed}, "")
    generate.draw_rows(teacher, schema, num, progress)
    progress.file.close()
    return SimpleNamespace(name=name, schema=schema, teacher=teacher, rows=progress.records)


@pytest.fixture(scope="module", params=["gh", "notes"])
def run(request, tmp_path_factory):
    return drawn(request.param, NUM, 0, tmp_path_factory.mktemp("teacher") / "progress.jsonl")


@pytest.fixture(scope="module")
def gh():
    schema = cli_schema.load("gh")
    return SimpleNamespace(schema=schema, teacher=Teacher(schema, "gh", 0))


def frames_of(book):
    """Every frame, question and option phrase of a phrasebook by its id."""
    groups = (book.frames, book.clarify, book.options)
    return {f.id: f for group in groups for lines in group.values() for f in lines}


def commands(run):
    """(drawn row, answer, subcommand) of every row whose answer is a command."""
    for d in run.rows:
        answer = json.loads(d["row"]["output"])
        if answer["type"] == "command":
            yield d, answer, run.schema.by_key[answer["command"], answer["subcommand"]]


def parts_of(d, known):
    """The frame of a row and the option phrases that were said with it."""
    phrases = [known[choice] for key, choice in d["used"] if key[0] == "phrase"]
    return [known[d["frame"]], *phrases]


# ------------------------------------------------------------------------------------------------------- whole runs
def test_no_row_has_a_fault(run):
    assert [f for d in run.rows for f in rows.row_faults(d["row"], run.schema)] == []
    assert len(run.rows) == NUM


def test_every_output_is_in_canonical_form(run):
    for d in run.rows:
        output = d["row"]["output"]
        assert rows.dumps(rows.canonical(json.loads(output), run.schema)) == output


def test_the_shares_are_60_20_20(run):
    kinds = {kind: sum(d["kind"] == kind for d in run.rows) for kind in ("ctx", "noctx", "ask")}
    assert sum(kinds.values()) == NUM
    for kind, share in (("ctx", 180), ("noctx", 60), ("ask", 60)):
        assert abs(kinds[kind] - share) <= 1, kinds
    types = [json.loads(d["row"]["output"])["type"] for d in run.rows]
    assert types.count("clarification") == kinds["ask"]


def test_one_row_in_ten_is_for_validation(run):
    assert [d["split"] for d in run.rows] == (["train"] * 9 + ["val"]) * (NUM // 10)


def test_a_row_without_context_has_none_and_never_points(run):
    known = frames_of(run.teacher.book)
    alone = [d for d in run.rows if d["kind"] == "noctx"]
    assert {d["row"]["context"] for d in alone} == {None}
    assert [d["frame"] for d in alone if known[d["frame"]].points or known[d["frame"]].missing] == []


def test_all_seven_kinds_of_questions_are_asked(run):
    asked = [d for d in run.rows if d["kind"] == "ask"]
    assert {d["category"] for d in asked} == set(rows.CATEGORIES)
    for d in asked:
        answer = json.loads(d["row"]["output"])
        assert answer["confidence"] == rows.ASK_CONFIDENCE[d["category"]]
        assert (answer["message"] == "What would you like to do?") == (d["category"] == "unclear")


def test_every_subcommand_is_trained(run):
    labels = {sub.label for d, _, sub in commands(run) if d["split"] == "train"}
    assert labels == set(run.schema.by_label)


def test_no_argument_and_no_flag_is_rare(run):
    """Drawn at random, the rarest of gh would come once in 300 rows or not at all."""
    counts = Counter()
    for d, answer, sub in commands(run):
        if d["split"] == "train":
            counts.update((sub.label, name) for name in (*answer["args"], *answer["flags"]))
    names = [(s.label, x.name) for s in run.schema.subcommands for x in (*s.args, *s.flags)]
    assert [n for n in names if not counts[n]] == []


def test_about_a_quarter_of_the_commands_with_context_takes_a_value_from_it(run):
    share = [d["category"] == "use" for d in run.rows if d["kind"] == "ctx"]
    assert 0.2 < sum(share) / len(share) < 0.35
    for d in run.rows:
        if d["kind"] == "ctx":
            assert d["row"]["context"], "a row with context has none"


def test_people_are_brief(run):
    """Most requests have few words, as people's have: frames of few words are drawn more often than long ones."""
    words = sorted(len(d["row"]["instruction"].split()) for d in run.rows)
    assert words[len(words) // 4] <= 6
    assert words[len(words) // 2] <= 9


def test_no_frame_pattern_or_instruction_is_on_both_sides_of_the_split(run):
    known = frames_of(run.teacher.book)
    for name, key in {
        "frame": lambda d: d["frame"],
        "pattern": lambda d: (d["frame"].partition(":")[0], known[d["frame"]].template or d["frame"]),
        "instruction": lambda d: " ".join(d["row"]["instruction"].lower().split()),
    }.items():
        sides = {side: {key(d) for d in run.rows if d["split"] == side} for side in ("train", "val")}
        assert len(sides["val"]) > 10, name
        assert sides["train"] & sides["val"] == set(), name


def test_every_text_argument_stands_verbatim_in_the_words_or_the_context(run):
    checked = 0
    for d, answer, sub in commands(run):
        for name, value in answer["args"].items():
            if sub.arg[name].type in ("string", "path") and value != "@me":
                context = flatten(d["row"]["context"])
                assert value in d["row"]["instruction"] or context.get(sub.arg[name].from_context) == value, d
                checked += 1
    assert checked > 50


def test_arguments_come_from_what_was_said_and_from_the_fields_that_were_pointed_at(run):
    known, pointed = frames_of(run.teacher.book), 0
    for d, answer, sub in commands(run):
        parts = parts_of(d, known)
        spoken = {n for p in parts for n in notation.names(p.node, "slot") | set(p.args)}
        meant = {n for p in parts for n in (*p.points, *p.implies)}
        assert set(answer["args"]) <= spoken | meant, d
        assert set(answer["flags"]) == {n for p in parts for n in p.flags}, d
        context = flatten(d["row"]["context"])
        for name in meant & set(answer["args"]):
            assert answer["args"][name] == context[sub.arg[name].from_context], d
            pointed += 1
        if d["kind"] == "ctx":
            assert meant <= set(answer["args"]), d
    assert pointed >= 10


def test_context_that_nobody_pointed_at_is_there_and_changes_nothing(run):
    known = frames_of(run.teacher.book)
    idle = [
        (d, answer)
        for d, answer, _ in commands(run)
        if d["row"]["context"] and not any(p.points or p.implies for p in parts_of(d, known))
    ]
    assert len(idle) > 50
    for d, answer in idle:
        given = {n for p in parts_of(d, known) for n in notation.names(p.node, "slot") | set(p.args)}
        assert set(answer["args"]) <= given, d


def test_a_pointing_frame_becomes_a_question_exactly_where_the_field_is_missing(run):
    known, asked, answered = frames_of(run.teacher.book), 0, 0
    for d in run.rows:
        frame = known[d["frame"]]
        if not frame.points:
            continue
        source = run.schema.by_label[frame.label].arg[frame.points[0]].from_context
        answer, context = json.loads(d["row"]["output"]), flatten(d["row"]["context"])
        if d["category"] == "pronoun":
            assert source not in context
            words = frame.points[0].replace("_", " ")
            assert answer == rows.clarification(run.schema, "pronoun", [frame.label], words)
            asked += 1
        else:
            assert d["kind"] == "ctx"
            assert answer["args"][frame.points[0]] == context[source]
            answered += 1
    assert asked >= 10
    assert answered >= 10


def test_many_questions_have_the_very_words_of_a_command(run):
    """Only the context tells them apart: with it a value is taken, without it the same words are a question."""
    used = {(d["split"], d["row"]["instruction"]): d for d in run.rows if d["kind"] == "ctx" and d["points"]}
    asked = [d for d in run.rows if d["category"] == "pronoun"]
    twins = [d for d in asked if (d["split"], d["row"]["instruction"]) in used]
    assert len(twins) >= len(asked) / 3
    for d in twins:
        command = used[d["split"], d["row"]["instruction"]]
        assert (d["frame"], d["label"]) == (command["frame"], command["label"])
        sub = run.schema.by_label[d["label"]]
        sources = {sub.arg[a].from_context for a in command["points"]}
        assert sources <= set(flatten(command["row"]["context"]))
        assert not sources & set(flatten(d["row"]["context"] or {}))


def test_contexts_are_full_partial_and_null(run):
    sizes = [len(flatten(d["row"]["context"])) for d in run.rows]
    every = len(run.schema.context)
    assert set(sizes) == set(range(every + 1))
    assert sizes.count(every) > 60
    assert sizes.count(0) > 60
    assert all(set(flatten(d["row"]["context"])) <= set(run.schema.context) for d in run.rows)
    assert {} not in [d["row"]["context"] for d in run.rows]


def test_numbers_are_written_in_many_forms(run):
    forms = {"bare": 0, "#": 0, "word": 0}
    for d, answer, sub in commands(run):
        words = d["row"]["instruction"].lower()
        for name, value in answer["args"].items():
            if sub.arg[name].type != "integer":
                continue
            forms["#"] += f"#{value}" in words
            forms["bare"] += f" {value}" in words
            forms["word"] += value < 100 and rows.spell(value) in words.split()
    assert min(forms.values()) >= 2, forms


# ------------------------------------------------------------------------------------------------------------ seeds
def test_the_same_seed_gives_the_same_rows_and_another_seed_others(tmp_path):
    first = drawn("notes", 100, 0, tmp_path / "a").rows
    again = drawn("notes", 100, 0, tmp_path / "b").rows
    other = drawn("notes", 100, 1, tmp_path / "c").rows
    assert again == first
    assert sum(a["row"] == b["row"] for a, b in zip(first, other, strict=True)) < 5


def test_a_teacher_that_continues_makes_the_rows_it_would_have_made(tmp_path):
    whole = drawn("notes", 230, 3, tmp_path / "whole").rows
    for num in (130, 131, 200, 230):
        part = drawn("notes", num, 3, tmp_path / "parts").rows
        assert [d["row"] for d in part] == [d["row"] for d in whole[:num]]
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()


def test_the_split_of_frames_depends_on_the_seed(gh):
    other = Teacher(gh.schema, "notes", 0)
    other.book, other.seed = gh.teacher.book, 1
    moved = [k for k, side in other.split_frames().items() if gh.teacher.split_of[k] != side]
    assert len(moved) > 100
    train, val = gh.teacher.capacity()
    assert train + val == len(gh.teacher.split_of)
    assert 0.07 < val / (train + val) < 0.13


# --------------------------------------------------------------------------------------------------- single frames
def say(gh, text, label):
    """(frame, subcommand, Said) of a line that the phrasebook could have."""
    frame = phrasebook.parse_line(text, 1, f"frames/{label}", label, {})
    sub = gh.schema.by_label[label]
    return frame, sub, gh.teacher.speaker.say(frame, sub, random.Random(1), 1)


def resolved(gh, text, label, kind, category, seed=0):
    frame, sub, said = say(gh, text, label)
    return gh.teacher.resolve(said, frame, sub, kind, category, random.Random(seed))


@pytest.mark.parametrize("seed", range(20))
def test_pointing_words_take_the_value_of_the_context_or_ask(gh, seed):
    context, answer = resolved(gh, "merge it => @number +squash", "pr merge", "ctx", "ctx", seed)
    assert answer == rows.command(gh.schema.by_label["pr merge"], {"number": context["git.current_pr"]}, {"squash"})
    context, answer = resolved(gh, "merge it => @number +squash", "pr merge", "ask", "pronoun", seed)
    assert "git.current_pr" not in (context or {})
    assert answer == rows.clarification(gh.schema, "pronoun", ["pr merge"], "number")
    assert resolved(gh, "merge it => @number +squash", "pr merge", "noctx", "noctx", seed) is None


def test_pointing_words_without_a_source_are_never_a_command(gh):
    assert resolved(gh, "close it => @number", "issue close", "ctx", "ctx") is None
    _, answer = resolved(gh, "close it => @number", "issue close", "ask", "pronoun")
    assert answer == rows.clarification(gh.schema, "pronoun", ["issue close"], "number")


@pytest.mark.parametrize("seed", range(10))
def test_an_implied_argument_is_filled_in_left_out_or_asked_for(gh, seed):
    merge, checkout = gh.schema.by_label["pr merge"], gh.schema.by_label["pr checkout"]
    context, answer = resolved(gh, "merge => ~number", "pr merge", "ctx", "ctx", seed)
    assert answer == rows.command(merge, {"number": context["git.current_pr"]}, set())
    assert resolved(gh, "merge => ~number", "pr merge", "noctx", "noctx", seed) == (
        None,
        rows.command(merge, {}, set()),
    )
    context, answer = resolved(gh, "check out => ~number", "pr checkout", "ctx", "ctx", seed)
    assert answer == rows.command(checkout, {"number": context["git.current_pr"]}, set())
    context, answer = resolved(gh, "check out => ~number", "pr checkout", "ask", "missing_arg", seed)
    assert "git.current_pr" not in (context or {})
    assert answer == rows.clarification(gh.schema, "missing_arg", ["pr checkout"], "number")


def test_a_missing_argument_is_asked_for_by_its_name_in_words(gh):
    assert resolved(gh, "rerun it => ?run_id", "run rerun", "ctx", "ctx") is None
    assert resolved(gh, "rerun it => ?run_id", "run rerun", "noctx", "noctx") is None
    _, answer = resolved(gh, "rerun it => ?run_id", "run rerun", "ask", "missing_arg")
    assert answer["message"] == "Which run id should 'run rerun' use?"
    assert answer["suggestions"] == [{"label": "run rerun", "command": "run", "subcommand": "rerun"}]


def test_said_arguments_and_flags_go_into_the_answer_with_their_type(gh):
    _, answer = resolved(gh, "five of mine => limit=5 author=@me +web", "pr list", "noctx", "noctx")
    assert answer == rows.command(gh.schema.by_label["pr list"], {"limit": 5, "author": "@me"}, {"web"})


def test_a_slot_is_said_and_meant(gh):
    _, _, said = say(gh, "close issue {number} now", "issue close")
    (before, _), (text, is_value), (after, _) = said.segments
    assert (before, is_value, after) == ("close issue ", True, " now")
    assert rows.said(said.args["number"], text)


def test_a_number_after_a_word_for_it_is_written_in_digits(gh):
    for seed in range(60):
        frame = phrasebook.parse_line("view pr no. {number}", 1, "frames/pr view", "pr view", {})
        said = gh.teacher.speaker.say(frame, gh.schema.by_label["pr view"], random.Random(seed), 1)
        assert "".join(t for t, _ in said.segments) == f"view pr no. {said.args['number']}"


def test_options_never_contradict_what_is_said(gh):
    """The ways to merge stand in one list: after "squash", `[*]` must not add "with a rebase"."""
    frame = phrasebook.parse_line("squash pr {number} [*] => +squash", 1, "frames/pr merge", "pr merge", {})
    sub = gh.schema.by_label["pr merge"]
    flags = [gh.teacher.speaker.say(frame, sub, random.Random(seed), 50).flags for seed in range(300)]
    assert all(f & {"squash", "rebase", "merge"} == {"squash"} for f in flags)
    assert any("delete-branch" in f for f in flags)


@pytest.mark.parametrize("sought", ["+auto", "+delete-branch", "+rebase"])
def test_an_option_that_is_sought_is_said(gh, sought):
    frame = phrasebook.parse_line("merge pr {number} [*]", 1, "frames/pr merge", "pr merge", {})
    assert sought in gh.teacher.speaker.can_say(frame, gh.schema)
    sub = gh.schema.by_label["pr merge"]
    for seed in range(30):
        assert sought[1:] in gh.teacher.speaker.say(frame, sub, random.Random(seed), 1, sought=sought).flags


def test_what_a_frame_can_say(gh):
    frame = phrasebook.parse_line("squash pr {number} [delete] => +squash", 1, "frames/pr merge", "pr merge", {})
    assert gh.teacher.speaker.can_say(frame, gh.schema) == {"number", "+squash", "+delete-branch"}
    frame = phrasebook.parse_line("reopen {number}", 1, "frames/issue reopen", "issue reopen", {})
    assert gh.teacher.speaker.can_say(frame, gh.schema) == set()  # what is required is said anyway


def spoken(gh, line, seed):
    """How a frame of `pr list` is said."""
    frame = phrasebook.parse_line(line, 1, "frames/pr list", "pr list", {})
    said = gh.teacher.speaker.say(frame, gh.schema.by_label["pr list"], random.Random(seed), 50)
    return "".join(t for t, _ in tidy(said.segments)), said


def test_conditions_at_the_end_are_set_side_by_side_in_several_ways(gh):
    texts = [spoken(gh, "all prs [*]", seed)[0] for seed in range(400)]
    starts = {re.match(r"all prs( - |\. |, | |$)", t).group(1) for t in texts}
    assert starts == {" - ", ". ", ", ", " ", ""}
    assert any(re.search(r"\. [A-Z]", t) for t in texts), "no fragment begins with a capital"
    assert not any(re.search(r"[.-] --?\w", t) for t in texts), (
        "a flag of the command line stands as a sentence of its own"
    )


def test_conditions_in_the_middle_stand_in_the_sentence(gh):
    for seed in range(200):
        text, _ = spoken(gh, "which prs [label] are still around", seed)
        assert re.fullmatch(r"which prs(,? [^.]+)? are still around", text.replace("release/2.", "")), text


def test_up_to_three_conditions_are_said_at_once(gh):
    counts = Counter(sum(k[0] == "phrase" for k, _ in spoken(gh, "all prs [*]", seed)[1].used) for seed in range(400))
    assert set(counts) == {0, 1, 2, 3}


def test_the_mark_behind_a_value_is_no_part_of_it(gh):
    dress = lambda value, seed: gh.teacher.speaker.dress(  # noqa: E731
        Said(segments=[("merge into ", False), (value, True)], open_end=True), random.Random(seed), "ctx", set()
    )
    ends = Counter(dress("release/2.x", seed)[-1] for seed in range(400))
    assert {"x", ".", "!", "?"} == set(ends)
    assert ends["x"] > 300
    for value in ("two words", "it's done?"):  # free text that has no quotes, and what has a mark already
        assert {dress(value, seed)[-len(value) :] for seed in range(200)} == {value}


# --------------------------------------------------------------------------------------------------------- dressing
SEGMENTS = [("merge the words  ", False), ("Fix  The Login, NOW", True), (" into", False), (" Main", True)]


def test_dressing_changes_the_words_and_never_the_values(gh):
    texts = set()
    for seed in range(300):
        text = gh.teacher.speaker.dress(Said(segments=list(SEGMENTS)), random.Random(seed), "ctx", set())
        assert text.count("Fix  The Login, NOW") == 1
        assert text.count(" Main") == 1
        assert text == text.strip()
        texts.add(text)
    assert "merge the words Fix  The Login, NOW into Main" in texts
    assert len(texts) > 60
    assert any(t.startswith("Merge the words") for t in texts), "no sentence begins with a capital"
    assert any(not t.endswith("Main") for t in texts), "nothing is ever put behind a request"
    assert any("merge the words" not in t.lower() for t in texts), "nobody ever mistypes"


def test_nothing_follows_free_text_that_has_no_end(gh):
    segments = [("comment on 7 saying ", False), ("ship it", True)]
    texts = {
        gh.teacher.speaker.dress(Said(segments=segments, open_end=True), random.Random(s), "ctx", set())
        for s in range(200)
    }
    assert {t[-8:] for t in texts} == {" ship it"}
    assert len(texts) > 20


def test_typing_errors_of_a_typo_question_are_those_of_its_line(gh):
    segments = [("pull request chekcout something", False)]
    for seed in range(200):
        text = gh.teacher.speaker.dress(Said(segments=segments), random.Random(seed), "typo", set())
        assert "pull request chekcout something" in text.lower()


def test_politeness_never_says_a_flag(gh):
    """Behind "delete the pod", "now" is a flag of some tools and an empty word of others."""
    texts = [
        {
            gh.teacher.speaker.dress(Said(segments=[("run it", False)]), random.Random(s), "ctx", flags)
            for s in range(600)
        }
        for flags in (set(), {"now"})
    ]
    assert any("now" in t.split() for t in texts[0])
    assert not any("now" in t.lower().split() for t in texts[1])


@pytest.mark.parametrize(
    ("segments", "text"),
    [
        ([("merge  it ", False), (" now", False)], "merge it now"),
        ([("list ", False), ("  a  b ", True), (" , please", False)], "list   a  b , please"),
        ([(" , so merge , it ?", False)], "so merge, it?"),
        ([("merge ", False), ("", False), (" ,", False)], "merge"),
        ([("see ", False), ("", True), ("a.b ,c", False)], "see a.b ,c"),
    ],
)
def test_tidy_leaves_one_space_between_words_and_values_alone(segments, text):
    assert "".join(t for t, _ in tidy(segments)) == text


def test_nest_and_flatten_are_opposites():
    flat = {"git.current_pr": 1, "git.repo.name": "x", "top": False}
    assert nest(flat) == {"git": {"current_pr": 1, "repo": {"name": "x"}}, "top": False}
    assert flatten(nest(flat)) == flat
    assert nest(None) is None


def test_freeze_turns_the_lists_of_json_into_tuples():
    key = (("phrase", ("pr list", "web")), "x")
    assert freeze(json.loads(json.dumps(key))) == key


def test_a_thing_of_the_cli_is_no_name():
    raw = {
        "cli_name": "ops",
        "description": "Jobs",
        "commands": [
            {
                "name": "job",
                "description": "Jobs",
                "aliases": ["jobs", "tasks"],
                "subcommands": [
                    {"name": "stop", "description": "Stop a job", "args": [{"name": "name", "required": True}]}
                ],
            }
        ],
    }
    schema, faults = cli_schema.from_raw(raw)
    assert faults == []
    teacher, rng = Teacher(schema, "ops", 0), random.Random(0)
    arg = schema.by_label["job stop"].arg["name"]
    drawn = [teacher.lexicon.value(arg, "noun", rng)[0] for _ in range(3000)]
    assert {"stream", "theme"} <= set(drawn)
    assert drawn.count("job") <= 1
    free = Lexicon()
    assert [free.value(arg, "noun", rng)[0] for _ in range(3000)].count("job") > 10
