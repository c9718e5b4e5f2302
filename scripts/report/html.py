"""HTML pages that need nothing but themselves: no network, no scripts, inline CSS, bars of plain boxes. Texts go through html.escape."""

from html import escape

CSS = """
:root { color-scheme: light dark; --ink: #1c2126; --soft: #59636e; --line: #d5dae0; --paper: #fff; --track: #eceff2;
  --bar: #3b76b5; --few: #b96a00; --none: #c0362c; --good: #23743c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #a0aab4; --line: #3a424a; --paper: #15191d;
  --track: #262d33; --bar: #5f9ddc; --few: #e3a03f; --none: #f0776c; --good: #6cc083; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .3rem 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; padding-top: .8rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
p { margin: .3rem 0 .7rem; max-width: 50rem; }
.soft, th, small { color: var(--soft); font-weight: normal; }
small { font-size: .87rem; }
.good { color: var(--good); font-weight: 600; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: .4rem 2.2rem; align-items: start; }
.dense { grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)); gap: .4rem 1.6rem; }
.grid > section { min-width: 0; }
table { width: 100%; border-collapse: collapse; font-size: .93rem; }
th { text-align: left; font-size: .87rem; }
td, th { padding: .16rem 0 .16rem .7rem; vertical-align: top; }
td:first-child, th:first-child { padding-left: 0; width: 99%; }
td + td, th + th { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.pairs table { table-layout: fixed; }
.pairs :is(td, th) { width: 50%; white-space: normal; }
.track { position: relative; height: .42rem; margin: .1rem 0 .15rem; background: var(--track); }
.track b { display: block; height: 100%; background: var(--bar); }
.track i { position: absolute; top: -.16rem; bottom: -.16rem; width: 2px; background: var(--ink); }
.few b { background: var(--few); } .few td:nth-child(2), .few em { color: var(--few); font-weight: 600; }
.none b { background: var(--none); } .none td:nth-child(2), .none em { color: var(--none); font-weight: 600; }
em { font-style: normal; }
.word { display: inline-block; max-width: 100%; }
.hist { display: flex; align-items: flex-end; gap: 2px; height: 8.5rem; margin-top: .4rem; }
.hist div { flex: 1 1 0; min-width: 0; height: 100%; display: flex; flex-direction: column; justify-content: flex-end;
  text-align: center; overflow-wrap: normal; }
.hist b { background: var(--bar); min-height: 1px; }
.hist span { font-size: .75rem; line-height: 1.3; color: var(--soft); white-space: nowrap; overflow: visible;
  display: flex; justify-content: center; height: 1.3em; }
article { border-left: 3px solid var(--line); padding: .1rem 0 .1rem .7rem; margin: .6rem 0; }
article p { margin: 0; max-width: none; white-space: pre-wrap; }
svg { display: block; width: 100%; max-width: 34rem; height: auto; }
svg text { font-size: 11px; fill: var(--soft); }
svg .rule { stroke: var(--line); stroke-width: 1; }
.keys { margin: .2rem 0 0; } .keys span { margin-left: .9rem; font-size: .87rem; white-space: nowrap; }
.keys b { display: inline-block; width: .7rem; height: .7rem; margin-right: .3rem; }
.verdict { font-size: 1.1rem; border-left: 4px solid var(--bar); padding-left: .8rem; }
.bad { color: var(--none); font-weight: 600; }
code { font: .9em/1.4 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
"""


def percent(share):
    return "-" if share is None else f"{100 * share:.0f} %"


def table(head, lines):
    """lines: (class of the row, html of the cells)."""
    top = "".join(f"<th>{escape(h)}</th>" for h in head)
    body = "".join(f'<tr class="{kind}">{"".join(f"<td>{c}</td>" for c in cells)}</tr>' for kind, cells in lines)
    return f"<table><tr>{top}</tr>{body}</table>"


def words(text):
    """Text that breaks between words alone, so that --web is not torn apart; a word longer than the line still breaks."""
    return " ".join(f'<span class="word">{escape(w)}</span>' for w in text.split())


def bar(value, most, target=None):
    """A bar of value on a track as long as most, with a line at the target."""
    at = f'<i style="left:{100 * min(1, target / most):.1f}%"></i>' if target is not None else ""
    return f'<div class="track"><b style="width:{100 * value / most:.1f}%"></b>{at}</div>'


def section(title, *parts):
    return f"<section><h3>{escape(title)}</h3>{''.join(parts)}</section>"


def histogram(title, bins, note=""):
    """Columns; a label under each, or under every fourth where there are many. The count shows on hovering and over the column."""
    most, every = max([1, *(n for _, n in bins)]), 1 if len(bins) <= 9 else 4
    columns = "".join(
        f'<div title="{escape(str(label))}: {n}"><span>{n if every == 1 else ""}</span>'
        f'<b style="height:{75 * n / most:.1f}%"></b><span>{escape(str(label)) if i % every == 0 else ""}</span></div>'
        for i, (label, n) in enumerate(bins)
    )
    return section(
        title, f'<div class="hist">{columns}</div>' if bins else "<p>none</p>", f"<small>{escape(note)}</small>"
    )


def document(title, body):
    """A whole page as a string."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style></head>\n'
        f"<body>{body}</body></html>\n"
    )
