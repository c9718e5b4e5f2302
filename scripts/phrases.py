"""A phrasebook by Claude: how people ask for each command, written in a few replies, checked line by line, for a person to read and edit.

Reads   schemas/<name>.yaml, training/configs/generate_config.yaml
Writes  schemas/phrases/<name>.yaml; training/data/<name>/phrases_progress.jsonl (paid replies) while it runs
Run     just train-phrases name=mycli        (teacher=manual writes the prompts as files to paste into a conversation)
"""

import phrasebook
import schema as cli_schema
import utils
from claude import bill, book
from claude.byhand import ByHand
from claude.exchange import Exchange, connect
from claude.requests import expected, request
from settings import parse_settings, stage_config
from utils import data_dir, display, fail


def requests(schema, config):
    """One request a part of the phrasebook."""
    shared, count = book.system(schema), bill.tokenizer()
    return [
        ask(number, shared, user, out, count)
        for number, user, out in book.parts(schema, config["frames_per_subcommand"])
    ]


def ask(number, shared, user, out, count):
    """A request whose id holds what it says: a reply is used again as long as exactly this would be asked."""
    mark = utils.digest_text(shared + user)[:8]
    return request(f"{number}-{mark}", shared, user, out, count, most=min(20_000, 1000 + 2 * out))


def estimate(settings, schema):
    """Dollars for a phrasebook, before anything is sent."""
    config = stage_config("generate", settings)["claude"]
    return expected(requests(schema, config), config["model"], settings["batch"] == "on")


def main(argv):
    settings = parse_settings(argv)
    name, folder = settings["name"], data_dir(settings["name"])
    schema, path = cli_schema.load(name), phrasebook.path_of(settings["name"])
    if path.exists():
        fail(
            f"{display(path)} is there already; move it away for a new one, or edit it and run: just train-check name={name}"
        )
    config = stage_config("generate", settings)["claude"]
    by_hand = settings["teacher"] == "manual"
    client = None if by_hand else connect(config)
    journal = utils.Progress(
        folder / "phrases_progress.jsonl", {"journal": "phrases", "cli": name}, "mend or delete that line"
    )
    batch = "off" if settings["batch"] == "auto" else settings["batch"]  # a few replies: no use waiting for a batch
    exchange = (
        ByHand(folder / "manual-phrases", journal)
        if by_hand
        else Exchange(config, journal, batch, settings["budget"], "phrases", client)
    )
    wanted = requests(schema, config)
    utils.header(
        "phrases",
        name=name,
        teacher="manual" if by_hand else "claude",
        model=config["model"],
        subcommands=len(schema.subcommands),
        replies=len(wanted),
    )
    if not by_hand:
        usd = expected(exchange.open(wanted), config["model"], batch == "on")
        print(
            f"phrases: about ${usd:.2f}; budget ${settings['budget']:.2f}, of it spent ${exchange.spent():.2f}",
            flush=True,
        )
        if exchange.spent() + usd > settings["budget"]:
            fail(
                f"about ${exchange.spent() + usd:.2f} is more than budget={settings['budget']:g}; nothing was sent; raise budget="
            )
    lines = {}
    for reply in answers(exchange, wanted, settings):
        for block, some in book.read(reply["text"]).items():
            lines.setdefault(block, []).extend(some)
    if not any(section == "frames" and some for (section, _), some in lines.items()):
        fail(f"no reply held frames; nothing was written; delete {display(journal.path)} and try again")
    draft = folder / "phrases_draft.yaml"
    faulty = mend(lines, schema, draft, exchange, wanted[0]["system"], settings)
    for section, key, line, _ in faulty:
        lines[section, key] = [x for x in lines[section, key] if x != line]
    book.lint(draft, schema, lines)
    found, faults = phrasebook.read(draft, schema)
    if faults:
        fail(f"{display(draft)}:{faults[0]}; mend it by hand and move it to {display(path)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.replace(path)
    if not by_hand:
        print("\n".join(["phrases: the bill", *bill.lines(bill.bill(journal.records))]))
    journal.done()
    silent = [s.label for s in schema.subcommands if not found.frames.get(s.label)]
    for label in silent:
        print(f"phrases: no frames for '{label}'; write some, or it will not be understood")
    dropped = f", {len(faulty)} faulty lines left out" if faulty else ""
    print(
        f"phrases: {sum(map(len, found.frames.values()))} frames and {sum(map(len, found.clarify.values()))} questions in {display(path)}"
        f"{dropped}; read it; next: just train name={name} teacher=phrasebook"
    )


def answers(exchange, wanted, settings):
    """The replies to all requests, from earlier runs and from this one, in the order of the requests."""
    if exchange.open(wanted) and not exchange.answer(
        wanted, lambda reply: print(f"phrases: {reply['id']} is here", flush=True)
    ):
        fail(
            f"budget={settings['budget']:g} is spent; the replies so far are kept; raise budget= and run the same command"
        )
    found = {r["id"]: r for r in exchange.replies({r["id"] for r in wanted})}
    return [found[r["id"]] for r in wanted if r["id"] in found]


def mend(lines, schema, draft, exchange, shared, settings):
    """Ask for exactly the lines that have faults, again; changes lines and returns the faults that are left."""
    for attempt in range(1, book.REPAIRS + 1):
        faulty = book.lint(draft, schema, lines)
        if not faulty:
            return []
        print(
            f"phrases: {len(faulty)} lines have faults, such as '{faulty[0][2]}': {faulty[0][3]}; asking for them again",
            flush=True,
        )
        again = ask(f"repair-{attempt}", shared, book.repair(faulty), len(faulty) * book.LINE_TOKENS, bill.tokenizer())
        for reply in answers(exchange, [again], settings):
            for (section, key, old), new in book.mended(reply["text"], faulty).items():
                lines[section, key] = [new if x == old else x for x in lines[section, key]]
    return book.lint(draft, schema, lines)


if __name__ == "__main__":
    utils.run(main)
