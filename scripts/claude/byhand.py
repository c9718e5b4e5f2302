"""Claude by hand: prompts are written as files to paste into a conversation, replies are read back from files beside them."""

from utils import display, fail, write_text


class ByHand:
    """Like Exchange, without the API. folder holds <id>.prompt.txt, and <id>.reply.txt (or .md, .json) once a person has saved it."""

    def __init__(self, folder, journal):
        self.folder, self.journal = folder, journal

    def texts(self):
        """{id: text} of the replies that a person has saved."""
        paths = sorted(self.folder.glob("*.reply.*")) if self.folder.is_dir() else []
        read = {p.name.split(".reply.")[0]: p.read_text(encoding="utf-8", errors="replace") for p in paths}
        return {number: text for number, text in read.items() if text.strip()}

    def replies(self, ids):
        return [{"id": i, "text": text, "stop": None} for i, text in self.texts().items() if i in ids]

    def open(self, requests):
        """Those of the requests that have no reply yet."""
        have = self.texts()
        return [r for r in requests if r["id"] not in have]

    def answer(self, requests, seen):
        """Write the prompts of the requests and end the program with what to do: a person has to bring the replies."""
        missing = self.open(requests)
        if not missing:
            for reply in self.replies({r["id"] for r in requests}):
                seen(reply)
            return True
        for r in missing:
            write_text(self.folder / f"{r['id']}.prompt.txt", f"{r['system']}\n\n{r['user']}\n")
        first = display(self.folder / missing[0]["id"])
        fail(
            f"{len(requests) - len(missing)} of {len(requests)} replies are there; paste {first}.prompt.txt into a conversation with Claude, "
            f"save the reply as {first}.reply.txt, and so on; then run the same command again"
        )
