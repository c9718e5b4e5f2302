"""Settings from words, configuration files and what lies over them, and the files that survive a kill."""

import json
import sys

import pytest
import settings
import utils
import yaml
from settings import QUANTS, config_keys, parse_settings, stage_config

SPEC_LORA = {
    "lora_r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "lora_target_modules": ["q_proj", "v_proj", "k_proj", "o_proj"],
}
BUNDLED = "SmolLM2-135M-Instruct"
KNOWN = "known: name= num= quant= teacher= budget= batch= base= seed= test= out= context= text= format="


@pytest.fixture(autouse=True)
def two_schemas(tmp_path, monkeypatch):
    """Schemas `gh` and `notes`, whatever the project holds, and a script name for fail()."""
    for name in ("gh", "notes"):
        (tmp_path / f"{name}.yaml").write_text("")
    monkeypatch.setattr(utils, "SCHEMAS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["somewhere/tool.py"])


@pytest.fixture
def refused(capsys):
    """The one line of a call that must end the program with status 1; without the script's name."""

    def line(function, *args, **kwargs):
        with pytest.raises(SystemExit) as end:
            function(*args, **kwargs)
        out, err = capsys.readouterr()
        assert (end.value.code, out, err.count("\n"), err[:9]) == (1, "", 1, "tool.py: ")
        return err[9:-1]

    return line


def parse(*words, **kwargs):
    return parse_settings(list(words), **kwargs)


# ------------------------------------------------------------------------------------------------------------ settings
def test_a_name_alone_gives_every_default():
    assert parse("name=gh") == {
        "name": "gh",
        "num": 3000,
        "quant": "q4_k_m",
        "teacher": "auto",
        "budget": 5.0,
        "batch": "auto",
        "base": "auto",
        "seed": 0,
        "test": None,
        "out": None,
        "context": None,
        "text": None,
        "format": "both",
    }


def test_the_order_of_the_words_does_not_matter():
    words = ["name=notes", "num=500", "quant=Q8_0", "seed=7", "dpo.training.beta=0.2", "test=a=b.jsonl"]
    wanted = {**parse("name=notes"), "num": 500, "quant": "q8_0", "seed": 7, "dpo.training.beta": 0.2}
    wanted["test"] = "a=b.jsonl"
    for turn in range(len(words)):
        assert parse(*words[turn:], *words[:turn]) == wanted
        assert parse(*reversed(words[turn:] + words[:turn])) == wanted


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("gh", "'gh' is not a setting; settings are key=value, such as name=gh"),
        ("--help", "'--help' is not a setting; settings are key=value, such as name=gh"),
        ("", "'' is not a setting; settings are key=value, such as name=gh"),
        ("nmae=gh", "unknown setting 'nmae='; did you mean name=?"),
        ("NUM=60", f"unknown setting 'NUM='; {KNOWN}"),
        ("zzz=1", f"unknown setting 'zzz='; {KNOWN}"),
        ("=gh", f"unknown setting '='; {KNOWN}"),
        ("--num=60", "unknown setting '--num='; did you mean num=?"),
        (
            "sft.training.num_train_epoch=1",
            "unknown setting 'sft.training.num_train_epoch='; did you mean sft.training.num_train_epochs=?",
        ),
        ("training.beta=1", "unknown setting 'training.beta='; did you mean dpo.training.beta=?"),
        ("num=many", "num=many is not a whole number"),
        ("num=", "num= is not a whole number"),
        ("num=60.0", "num=60.0 is not a whole number"),
        ("num=49", "num=49 is out of range; at least 50, at most 1000000"),
        ("num=-60", "num=-60 is out of range; at least 50, at most 1000000"),
        ("num=1000001", "num=1000001 is out of range; at least 50, at most 1000000"),
        ("seed=-1", "seed=-1 is out of range; at least 0, at most 1000000"),
        ("seed=x", "seed=x is not a whole number"),
        ("budget=lots", "budget=lots is no amount of dollars, such as budget=5"),
        ("budget=-1", "budget=-1 is no amount of dollars, such as budget=5"),
        ("budget=nan", "budget=nan is no amount of dollars, such as budget=5"),
        ("batch=yes", "batch=yes is not known; one of: auto on off"),
        ("quant=q4km", f"quant=q4km is not known; did you mean q4_k_m?; one of: {' '.join(QUANTS)}"),
        ("quant=", f"quant= is not known; one of: {' '.join(QUANTS)}"),
        (
            "teacher=phrasebok",
            "teacher=phrasebok is not known; did you mean phrasebook?; one of: auto claude phrasebook manual",
        ),
        ("teacher=oracle", "teacher=oracle is not known; one of: auto claude phrasebook manual"),
    ],
)
def test_a_word_that_cannot_be_read_is_one_line(refused, word, line):
    assert refused(parse, "name=gh", word) == line
    assert refused(parse, word, "name=gh") == line


def test_the_ends_of_the_ranges_are_allowed():
    assert (parse("name=gh", "num=50")["num"], parse("name=gh", "num=1000000")["num"]) == (50, 1000000)
    assert parse("name=gh", "seed=1000000")["seed"] == 1000000


def test_a_setting_given_twice_is_one_line_even_with_the_same_value(refused):
    assert refused(parse, "name=gh", "num=60", "name=gh") == "name= is given twice"
    key = "sft.training.num_train_epochs"
    assert refused(parse, f"{key}=1", "name=gh", f"{key}=2") == f"{key}= is given twice"


@pytest.mark.parametrize("quant", QUANTS)
def test_every_type_of_the_list_is_accepted_in_both_cases(quant):
    assert parse("name=gh", f"quant={quant}")["quant"] == quant
    assert parse("name=gh", f"quant={quant.upper()}")["quant"] == quant


def test_the_list_of_types_has_no_type_twice():
    assert len(set(QUANTS)) == len(QUANTS) == 36
    assert {"f16", "q8_0", "q4_0", "q4_k_m", "q5_k_m"} <= set(QUANTS)


# ----------------------------------------------------------------------------------------------------------- the name
@pytest.mark.parametrize("words", [[], ["num=60"], ["name="]])
def test_a_missing_name_is_one_line_with_an_example(refused, words):
    assert refused(parse, *words) == "name= is missing; say name=gh (schemas: gh notes)"


def test_a_missing_name_without_any_schema(refused, tmp_path):
    (tmp_path / "gh.yaml").unlink()
    (tmp_path / "notes.yaml").unlink()
    assert refused(parse) == "name= is missing; say name=mycli (schemas: none yet)"


@pytest.mark.parametrize(
    "name", ["../gh", "../../etc/passwd", "a/b", "a\\b", "/gh", ".", "..", "gh.yaml", "X", "GH", "-x", "_x", "g h"]
)
def test_a_name_that_is_none_never_becomes_a_path(refused, name):
    line = f"name={name} is not a name; use small letters, digits, '-' and '_' (schemas: gh notes)"
    assert refused(parse, f"name={name}") == line
    assert refused(parse, f"name={name}", needs_schema=False) == line


def test_a_line_break_in_a_value_does_not_break_the_line(refused):
    line = "name=g h is not a name; use small letters, digits, '-' and '_' (schemas: gh notes)"
    assert refused(parse, "name=g\nh") == line


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("ghh", "did you mean name=gh?"),
        ("note", "did you mean name=notes?"),
        ("kubectl", "write that file, or use one of: gh notes"),
    ],
)
def test_a_name_without_a_schema_says_which_are_there(refused, name, mend):
    assert refused(parse, f"name={name}") == f"no schemas/{name}.yaml; {mend}"


def test_a_stage_may_work_without_a_schema_or_a_name():
    assert parse("name=other", needs_schema=False)["name"] == "other"
    assert parse(needs_name=False)["name"] is None


def test_a_name_is_checked_where_none_is_needed(refused):
    assert refused(parse, "name=ghh", needs_name=False) == "no schemas/ghh.yaml; did you mean name=gh?"


# ------------------------------------------------------------------------------------------------------- bare requests
def test_bare_words_become_the_request_in_their_order():
    words = ["merge", "name=gh", "this pr", "seed=1", "if a=b holds"]
    given = parse(*words, bare="text")
    assert (given["text"], given["name"], given["seed"]) == ("merge this pr if a=b holds", "gh", 1)


def test_a_request_given_twice_is_one_line(refused):
    line = "text= and a bare request are both given; leave one out"
    assert refused(parse, "name=gh", "text=merge it", "merge it", bare="text") == line


def test_a_mistyped_setting_is_no_request(refused):
    assert refused(parse, "nmae=gh", "merge it", bare="text") == "unknown setting 'nmae='; did you mean name=?"


# -------------------------------------------------------------------------------------------------- configuration keys
@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("sft.training.num_train_epochs", "1", 1),
        ("sft.training.learning_rate", "1e-3", 0.001),
        ("sft.training.learning_rate", "1.0e-4", 0.0001),
        ("sft.training.learning_rate", "1", 1.0),
        ("sft.training.use_lora", "false", False),
        ("sft.training.lora_target_modules", "[q_proj, v_proj]", ["q_proj", "v_proj"]),
        ("sft.training.lr_scheduler_type", "linear", "linear"),
        ("sft.model.name", "owner/some-model", "owner/some-model"),
        ("dpo.training.beta", ".2", 0.2),
        ("dpo.model.max_pairs", "20", 20),
        ("dpo.logging.report_to", "tensorboard", "tensorboard"),
    ],
)
def test_a_configuration_key_is_read_as_the_type_it_has(key, text, value):
    found = parse("name=gh", f"{key}={text}")[key]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("word", "such"),
    [
        ("sft.training.learning_rate=fast", "a number, such as 2e-05"),
        ("sft.training.learning_rate=true", "a number, such as 2e-05"),
        ("sft.training.learning_rate=", "a number, such as 2e-05"),
        ("sft.training.learning_rate=[1e-3]", "a number, such as 2e-05"),
        ("sft.training.use_lora=1", "True or False, such as True"),
        ("sft.training.lora_target_modules=q_proj", "a list, such as ['q_proj', 'v_proj', 'k_proj', 'o_proj']"),
        ("sft.training.lora_target_modules=[q_proj", "a list, such as ['q_proj', 'v_proj', 'k_proj', 'o_proj']"),
        ("dpo.training.loss_type=", "a text, such as sigmoid"),
        ("dpo.training.loss_type=2026-13-45", "a text, such as sigmoid"),
    ],
)
def test_a_value_of_another_type_is_one_line(refused, word, such):
    assert refused(parse, "name=gh", word) == f"{word} should be {such}"


@pytest.mark.parametrize("text", ["1.5", "true", "three", "[3]"])
def test_a_whole_number_is_not_rounded_or_guessed(refused, text):
    line = refused(parse, "name=gh", f"sft.training.num_train_epochs={text}")
    assert line == f"sft.training.num_train_epochs={text} should be a whole number, such as 3"


@pytest.mark.parametrize("text", ["nan", ".nan", "inf", "-.inf"])
def test_a_rate_that_is_no_number_is_refused(refused, text):
    word = f"sft.training.learning_rate={text}"
    assert refused(parse, "name=gh", word) == f"{word} should be a number, such as 2e-05"


# ------------------------------------------------------------------------------------------------- configuration files
def test_sft_config_has_the_values_of_the_spec():
    config = utils.load_yaml(utils.CONFIGS / "sft_config.yaml")
    assert config["model"] == {"name": "meta-llama/Llama-3.2-1B-Instruct"}
    assert config["training"] == {
        "num_train_epochs": 3,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 4,
        "learning_rate": 2e-5,
        "warmup_ratio": 0.1,
        "lr_scheduler_type": "cosine",
        "use_lora": True,
        **SPEC_LORA,
    }
    assert config["data"] == {"max_seq_length": 2048, "fresh_rows": True}


def test_dpo_config_has_the_values_of_the_spec():
    config = utils.load_yaml(utils.CONFIGS / "dpo_config.yaml")
    assert config["model"]["max_pairs"] == 1000
    assert config["training"] == {
        "num_train_epochs": 1,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 8,
        "learning_rate": 5e-6,
        "beta": 0.1,
        "loss_type": "sigmoid",
        "sft_weight": 0.0,  # plain DPO, as in the spec
        **SPEC_LORA,
    }


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_every_key_of_a_configuration_file_can_be_set_with_its_stage_in_front(stage):
    config = utils.load_yaml(utils.CONFIGS / f"{stage}_config.yaml")
    wanted = {f"{stage}.{section}.{key}": v for section, values in config.items() for key, v in values.items()}
    assert {k: v for k, v in config_keys().items() if k.startswith(f"{stage}.")} == wanted
    words = [f"{k}={yaml.safe_dump(v, default_flow_style=True).partition(chr(10))[0]}" for k, v in wanted.items()]
    assert {k: v for k, v in parse("name=gh", *words).items() if k in wanted} == wanted


def test_the_command_line_lies_over_the_base_and_the_base_over_the_file():
    plain = stage_config("sft", parse("name=gh"), "owner/unheard-of")
    assert plain == utils.load_yaml(utils.CONFIGS / "sft_config.yaml")
    own = utils.load_yaml(utils.CONFIGS / "smollm2-135m-instruct.yaml")["sft"]
    bundled = stage_config("sft", parse("name=gh"), BUNDLED)
    assert bundled["training"] == {**plain["training"], **own["training"]} != plain["training"]
    assert (bundled["data"], bundled["model"]) == ({**plain["data"], **own["data"]}, plain["model"])
    given = parse("name=gh", "sft.training.learning_rate=1e-2", "dpo.training.learning_rate=1e-1")
    given = stage_config("sft", given, BUNDLED)
    assert given["training"] == {**bundled["training"], "learning_rate": 0.01}
    assert (given["data"], given["model"], given["logging"]) == (
        plain["data"] | own["data"],
        plain["model"],
        plain["logging"],
    )


def test_each_stage_takes_only_its_own_part():
    given = parse("name=gh", "sft.training.num_train_epochs=9", "dpo.model.max_pairs=20")
    dpo = stage_config("dpo", given, "owner/unheard-of")
    assert (dpo["training"]["num_train_epochs"], dpo["model"]) == (
        1,
        {"max_pairs": 20, "prompts_per_pair": 2, "samples": 2, "min_pairs": 16},
    )


def test_who_watches_a_training_does_not_decide_its_result():
    watched = stage_config("sft", parse("name=gh", "sft.logging.report_to=tensorboard"), BUNDLED)
    plain = stage_config("sft", parse("name=gh"), BUNDLED)
    assert watched != plain
    assert settings.decisive(watched) == settings.decisive(plain)
    assert settings.decisive(plain)["training"] == plain["training"]


def test_numbers_of_a_configuration_file_may_be_written_as_everywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "CONFIGS", tmp_path)
    (tmp_path / "sft_config.yaml").write_text("training: {rate: 2e-5, other: 1E+3, name: e5, num: 3}\n")
    (tmp_path / "small.yaml").write_text("sft: {training: {rate: 3e-4}}\n")
    read = stage_config("sft", {"name": "gh"}, "owner/none")["training"]
    assert read == {"rate": 2e-5, "other": 1000.0, "name": "e5", "num": 3}
    assert stage_config("sft", {"name": "gh"}, "small")["training"]["rate"] == 3e-4


@pytest.mark.parametrize("text", ["", "training:\n", "training: 5\n", "- a\n"])
def test_a_configuration_file_without_sections_is_one_line(tmp_path, monkeypatch, capsys, text):
    monkeypatch.setattr(settings, "CONFIGS", tmp_path)
    (tmp_path / "dpo_config.yaml").write_text(text)
    with pytest.raises(SystemExit):
        stage_config("dpo", {"name": "gh"})
    assert capsys.readouterr().err.endswith(
        "dpo_config.yaml should have sections with keys in them; compare it with the one that came with the project\n"
    )


@pytest.mark.parametrize("key", ["generate.claude.concurrency", "dpo.model.samples", "sft.training.num_train_epochs"])
def test_what_nothing_can_be_done_with_is_refused(key, capsys):
    with pytest.raises(SystemExit):
        stage_config(key.partition(".")[0], parse("name=gh", f"{key}=0"))
    assert capsys.readouterr().err.endswith(f"{key}=0 should be more than 0\n")


@pytest.mark.parametrize("base", ["Owner/My_Model.v2", "owner/my-model-v2", "/owner/my model v2/"])
def test_the_file_of_a_base_is_found_by_its_name_in_small_letters(tmp_path, monkeypatch, base):
    monkeypatch.setattr(settings, "CONFIGS", tmp_path)
    (tmp_path / "sft_config.yaml").write_text("training: {rate: 1, epochs: 3}\n")
    (tmp_path / "owner-my-model-v2.yaml").write_text("sft: {training: {rate: 2}, extra: {key: 4}}\ndpo: {}\n")
    assert stage_config("sft", {"name": "gh"}, base) == {
        "training": {"rate": 2, "epochs": 3},
        "extra": {"key": 4},
    }
    assert stage_config("sft", {"sft.training.rate": 5}, base)["training"] == {"rate": 5, "epochs": 3}
    assert stage_config("sft", {}, "owner/my-model") == {"training": {"rate": 1, "epochs": 3}}


@pytest.mark.parametrize("text", ["", "# all of it is commented out\n", "sft:\n", "sft:\n  training:\n"])
def test_a_file_of_a_base_that_says_nothing_changes_nothing(tmp_path, monkeypatch, text):
    monkeypatch.setattr(settings, "CONFIGS", tmp_path)
    (tmp_path / "sft_config.yaml").write_text("training: {rate: 1}\n")
    (tmp_path / "mine.yaml").write_text(text)
    assert stage_config("sft", {}, "mine") == {"training": {"rate": 1}}


def test_a_broken_or_missing_configuration_file_is_one_line(refused, tmp_path):
    path = tmp_path / "sft_config.yaml"
    assert refused(utils.load_yaml, path) == f"no {path}"
    path.write_text("training: [1\n")
    line = refused(utils.load_yaml, path)
    assert line.startswith(f"{path}: not valid YAML: while parsing a flow sequence")
    path.write_bytes(b"\xff")
    assert refused(utils.load_yaml, path).startswith(f"{path}: not valid YAML: 'utf-8' codec can't decode byte 0xff")


# ------------------------------------------------------------------------------------------------------------ progress
PRINT = {"stage": "test", "settings": {"num": 60}}
RECORDS = [{"n": 0, "text": "plain"}, {"n": 1, "text": "caf\u00e9 \u2603"}, {"n": 2, "text": 'a "quoted" \n line'}]


def progress(path, fingerprint=PRINT):
    return utils.Progress(path, fingerprint, "delete the file")


def saved(path, records=RECORDS):
    """The bytes of a file with these records."""
    work = progress(path)
    work.save(records)
    work.file.close()
    return path.read_bytes()


def test_progress_continues_after_what_was_saved(tmp_path):
    whole = saved(tmp_path / "whole.jsonl")
    path = tmp_path / "new" / "folder" / "parts.jsonl"
    for i, record in enumerate(RECORDS):
        work = progress(path)
        assert work.records == RECORDS[:i]
        work.save([record])
        assert work.records == RECORDS[: i + 1]
        assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[: i + 2])
        work.file.close()
    assert [json.loads(line) for line in whole.splitlines()] == [{"fingerprint": PRINT}, *RECORDS]


def test_a_second_run_on_the_same_file_is_refused_and_nothing_is_lost(tmp_path, capsys):
    pytest.importorskip("fcntl")
    path = tmp_path / "p.jsonl"
    first = progress(path)
    first.save(RECORDS[:1])
    with pytest.raises(SystemExit) as stop:
        progress(path)
    said = f"another run is at work on {path}; wait for its end, or stop it"
    assert (stop.value.code, capsys.readouterr().err.partition(": ")[2]) == (1, f"{said}\n")
    first.save(RECORDS[1:2])
    first.file.close()
    assert progress(path).records == RECORDS[:2]


def test_saving_nothing_changes_nothing(tmp_path):
    before = saved(tmp_path / "p.jsonl")
    assert saved(tmp_path / "p.jsonl", []) == before


@pytest.mark.parametrize("last", RECORDS, ids=["plain", "beyond ASCII", "escapes"])
def test_a_half_written_last_line_is_dropped_wherever_it_was_cut(tmp_path, last):
    path = tmp_path / "p.jsonl"
    before = saved(path, [{"n": -1}])
    whole = saved(path, [last])
    for cut in range(len(before), len(whole)):
        path.write_bytes(whole[:cut])
        work = progress(path)
        assert work.records == [{"n": -1}], cut
        work.save([last])
        work.file.close()
        assert path.read_bytes() == whole, cut


def test_a_half_written_line_is_cut_off_even_if_nothing_follows(tmp_path):
    path = tmp_path / "p.jsonl"
    whole = saved(path)
    path.write_bytes(whole + b'{"n": 3, "te')
    progress(path).file.close()
    assert path.read_bytes() == whole


def test_a_half_written_first_line_starts_afresh(tmp_path):
    path = tmp_path / "p.jsonl"
    first = saved(path, [])
    for cut in range(len(first)):
        path.write_bytes(first[:cut])
        work = progress(path)
        work.file.close()
        assert (work.records, path.read_bytes()) == ([], first), cut


@pytest.mark.parametrize("other", [{**PRINT, "settings": {"num": 61}}, {}, None])
def test_another_fingerprint_starts_afresh(tmp_path, other):
    path = tmp_path / "p.jsonl"
    saved(path)
    work = progress(path, other)
    work.file.close()
    assert (work.records, json.loads(path.read_text())) == ([], {"fingerprint": other})
    assert path.read_text().count("\n") == 1


@pytest.mark.parametrize(
    "line", [b"{broken", b"", b"\xff\xfe", b'{"n": 1', b"\0\0\0", b"5", b"[1]", b'"text"', b"null"]
)
def test_a_broken_line_in_the_middle_is_one_line_and_the_file_is_left_alone(refused, tmp_path, line):
    path = tmp_path / "p.jsonl"
    lines = saved(path).split(b"\n")
    lines[2] = line
    path.write_bytes(b"\n".join(lines))
    assert refused(progress, path) == f"{path}:3: not a JSON object; delete the file"
    assert path.read_bytes() == b"\n".join(lines)


def test_finished_work_leaves_no_file(tmp_path):
    path = tmp_path / "p.jsonl"
    saved(path)
    progress(path).done()
    assert not path.exists()


# --------------------------------------------------------------------------------------------------------------- files
def test_write_text_makes_folders_and_leaves_nothing_beside_the_file(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    for text in ("caf\u00e9\n", "second"):
        utils.write_text(path, text)
        assert (path.read_bytes(), [p.name for p in path.parent.iterdir()]) == (text.encode(), ["c.txt"])


def test_the_old_file_survives_a_write_that_fails(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "folder" / "a.txt"
    utils.write_text(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError) as fault:
            utils.write_text(path, "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert fault.value.filename == str(path)
    assert (path.read_text(), [p.name for p in path.parent.iterdir()]) == ("old", ["a.txt"])


def test_the_old_file_survives_a_text_that_cannot_be_written(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    utils.write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        utils.write_text(path, "half a character: \ud800")
    assert (path.read_text(), [p.name for p in path.parent.iterdir()]) == ("old", ["a.txt"])


def test_what_stands_where_a_file_should_be_stays(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    path.mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        utils.write_text(path, "new")
    assert ([p.name for p in path.parent.iterdir()], path.is_dir()) == (["a.txt"], True)


def test_rows_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "rows.jsonl"
    utils.write_jsonl(path, RECORDS)
    assert (utils.read_jsonl(path), path.read_text(encoding="utf-8").count("\n")) == (RECORDS, 3)
    assert "caf\u00e9 \u2603" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("line", ["{broken", "5", "[]", "null"])
def test_a_line_that_is_no_row_is_named_with_blank_lines_counted(refused, tmp_path, line):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n  \n' + line + "\n")
    assert refused(utils.read_jsonl, path) == f"{path}:4: not a JSON object; mend or delete that line"


def test_a_missing_file_names_the_recipe_that_makes_it(refused, tmp_path):
    path = tmp_path / "train.jsonl"
    assert refused(utils.need, path, "train-generate", "gh") == f"no {path}; run: just train-generate name=gh"
    path.write_text("")
    assert utils.need(path, "train-generate", "gh") == path


# -------------------------------------------------------------------------------------------------------- fingerprints
def test_a_stage_is_current_only_with_the_same_settings_inputs_and_stage(tmp_path):
    data, folder = tmp_path / "data.jsonl", tmp_path / "sft"
    data.write_text("one\n")
    settings = {"seed": 0, "training": {"rate": 1e-5, "modules": ["q", "v"]}}

    def wanted(stage="sft", **changes):
        return utils.fingerprint(stage, {**settings, **changes}, data, tmp_path / "none.jsonl")

    assert not utils.is_current(folder, wanted())
    utils.finish(folder, wanted(), seconds=3)
    assert utils.is_current(folder, wanted())
    assert utils.read_json(folder / "stage.json")["seconds"] == 3
    assert not utils.is_current(folder, wanted(seed=1))
    assert not utils.is_current(folder, wanted(training={"rate": 1e-5, "modules": ["q"]}))
    assert not utils.is_current(folder, wanted("dpo"))
    data.write_text("two\n")
    assert not utils.is_current(folder, wanted())
    data.write_text("one\n")
    assert utils.is_current(folder, wanted())
    (tmp_path / "none.jsonl").write_text("")
    assert not utils.is_current(folder, wanted())


def test_a_higher_format_makes_every_stage_run_again(tmp_path, monkeypatch):
    utils.finish(tmp_path, utils.fingerprint("sft", {}))
    monkeypatch.setattr(utils, "FORMAT", utils.FORMAT + 1)
    assert not utils.is_current(tmp_path, utils.fingerprint("sft", {}))


@pytest.mark.parametrize("text", ["", "{broken", "[]", "null", "[1]", '"text"', "\ud83d"])
def test_a_broken_stage_file_means_not_finished(tmp_path, text):
    (tmp_path / "stage.json").write_bytes(text.encode(errors="surrogatepass"))
    assert not utils.is_current(tmp_path, utils.fingerprint("sft", {}))


def test_the_digest_of_a_folder_follows_its_weights_and_configuration(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    before = utils.digest(tmp_path)
    (tmp_path / "README.md").write_text("said again")
    assert utils.digest(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"heavier")
    assert utils.digest(tmp_path) != before
    assert len(before) == 16
