"""Settings of a run: `key=value` words of the command line over the files in training/configs/."""

import difflib
import math
import re

from utils import CONFIGS, QUANT, display, fail, load_yaml, schema_files

DEFAULTS = {
    "name": None,
    "num": 3000,
    "quant": QUANT,
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
TEACHERS = ("auto", "claude", "phrasebook", "manual")
BATCHES = ("auto", "on", "off")
FORMATS = ("both", "json", "human")
STAGE_CONFIGS = ("generate", "sft", "dpo")
# what nothing can be done with where it is 0: keys of sections by stage
TRAINS = [("training", k) for k in ("per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs")]
COUNTS = {
    "generate": [("claude", k) for k in ("rows_per_request", "frames_per_subcommand", "concurrency")],
    "sft": TRAINS,
    "dpo": [*TRAINS, *(("model", k) for k in ("max_pairs", "prompts_per_pair", "samples"))],
}
# The types of llama.cpp's quantizer by their usual names; tests/test_quantize.py holds the list against llama_cpp.
QUANTS = (
    "f32 f16 bf16 q1_0 q2_0 q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q2_k_s q3_k_s q3_k_m q3_k_l q4_k_s q4_k_m q5_k_s q5_k_m q6_k "
    "iq1_s iq1_m iq2_xxs iq2_xs iq2_s iq2_m iq3_xxs iq3_xs iq3_s iq3_m iq4_nl iq4_xs tq1_0 tq2_0 mxfp4_moe nvfp4"
).split()


def config_of(stage):
    """The sections of training/configs/<stage>_config.yaml."""
    path = CONFIGS / f"{stage}_config.yaml"
    config = load_yaml(path)
    if not isinstance(config, dict) or not all(isinstance(values, dict) for values in config.values()):
        fail(
            f"{display(path)} should have sections with keys in them; compare it with the one that came with the project"
        )
    return {section: {k: number(v) for k, v in values.items()} for section, values in config.items()}


def number(value):
    """2e-5 is a number to everybody but YAML 1.1, which wants a point in it."""
    scientific = isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value)
    return float(value) if scientific else value


def config_keys():
    """Every `stage.section.key` that the configuration files know, with its default value."""
    keys = {}
    for stage in STAGE_CONFIGS:
        for section, values in config_of(stage).items():
            for key, value in values.items():
                keys[f"{stage}.{section}.{key}"] = value
    return keys


def parse_settings(words, needs_name=True, needs_schema=True, bare=None):
    """`key=value` words to a dict with all of DEFAULTS; keys of config files stay under their full name.

    bare: the key that takes words without `=` (only `ask` has one). Exits with one line on an unknown key or a bad value.
    """
    given, loose = {}, []
    known = None
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or (bare and not re.fullmatch(r"[a-z_][\w.]*", key)):
            if not bare:
                hint = "settings are key=value, such as name=gh"
                fail(f"'{word}' is not a setting; {hint}")
            loose.append(word)
            continue
        if key not in DEFAULTS:
            known = known or config_keys()
            if key not in known:
                if bare and " " in word:
                    loose.append(word)
                    continue
                near = difflib.get_close_matches(key, [*DEFAULTS, *known], 1)
                hint = f"did you mean {near[0]}=?" if near else "known: " + " ".join(f"{k}=" for k in DEFAULTS)
                fail(f"unknown setting '{key}='; {hint}")
            value = typed(key, value, known[key])
        if key in given:
            fail(f"{key}= is given twice")
        given[key] = value
    if loose:
        if bare in given:
            fail(f"{bare}= and a bare request are both given; leave one out")
        given[bare] = " ".join(loose)
    settings = {**DEFAULTS, **given}
    for key in ("num", "seed"):
        settings[key] = whole(key, settings[key], 50 if key == "num" else 0)
    settings["quant"] = settings["quant"].lower()
    choice("quant", settings["quant"], QUANTS)
    choice("teacher", settings["teacher"], TEACHERS)
    choice("batch", settings["batch"], BATCHES)
    choice("format", settings["format"], FORMATS)
    settings["budget"] = dollars(settings["budget"])
    if needs_name or settings["name"] is not None:
        check_name(settings["name"], needs_schema)
    return settings


def choice(key, value, allowed):
    if value not in allowed:
        near = difflib.get_close_matches(value, allowed, 1)
        fail(
            f"{key}={value} is not known{'; did you mean ' + near[0] + '?' if near else ''}; one of: {' '.join(allowed)}"
        )


def whole(key, value, least):
    try:
        number = int(value)
    except ValueError:
        fail(f"{key}={value} is not a whole number")
    if not least <= number <= 1_000_000:
        fail(f"{key}={value} is out of range; at least {least}, at most 1000000")
    return number


def dollars(value):
    try:
        number = float(str(value).removeprefix("$"))
    except ValueError:
        number = math.nan
    if not 0 <= number < 1e6:
        fail(f"budget={value} is no amount of dollars, such as budget=5")
    return number


KINDS = {"int": "a whole number", "float": "a number", "bool": "True or False", "list": "a list", "str": "a text"}


def typed(key, value, like):
    """Read `value` as the type of the configuration's own value; YAML syntax, so lists work: `[a, b]`."""
    import yaml

    try:
        read = yaml.safe_load(value)
        if isinstance(like, float) and not isinstance(read, bool):
            number = float(read)  # YAML reads 1e-3 as a string
            if not math.isfinite(number):
                raise ValueError
            return number
        if like is not None and type(read) is not type(like):
            raise ValueError
        return read
    except (ValueError, TypeError, yaml.YAMLError):
        fail(f"{key}={value} should be {KINDS.get(type(like).__name__, 'of another kind')}, such as {like}")


def check_name(name, needs_schema=True):
    have = [p.stem for p in schema_files()]
    if not name:
        fail(f"name= is missing; say name={have[0] if have else 'mycli'} (schemas: {' '.join(have) or 'none yet'})")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        fail(f"name={name} is not a name; use small letters, digits, '-' and '_' (schemas: {' '.join(have)})")
    if needs_schema and name not in have:
        near = difflib.get_close_matches(name, have, 1)
        mend = f"did you mean name={near[0]}?" if near else f"write that file, or use one of: {' '.join(have)}"
        fail(f"no schemas/{name}.yaml; {mend}")


def decisive(config):
    """A stage's configuration without what does not change its result: whether somebody watches."""
    return {section: values for section, values in config.items() if section != "logging"}


def stage_config(stage, settings, base=""):
    """<stage>_config.yaml; over it the base model's own file where there is one; over that the command line."""
    config = config_of(stage)
    base = base.partition("+")[0]  # what is merged into a model changes nothing here
    own = CONFIGS / f"{re.sub(r'[^a-z0-9]+', '-', base.lower()).strip('-')}.yaml"
    overlay = (load_yaml(own) or {}).get(stage) or {} if own.exists() else {}
    for section, values in overlay.items():
        config.setdefault(section, {}).update({k: number(v) for k, v in (values or {}).items()})
    for key, value in settings.items():
        if key.startswith(f"{stage}."):
            _, section, name = key.split(".", 2)
            config[section][name] = value
    for section, name in COUNTS.get(stage, ()):
        if config.get(section, {}).get(name, 1) <= 0:
            fail(f"{stage}.{section}.{name}={config[section][name]} should be more than 0")
    return config
