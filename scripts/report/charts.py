"""Line charts as inline SVG in the colours of the page: training curves, risk against coverage, the reliability diagram."""

import math
from html import escape

WIDTH, HEIGHT = 420, 240  # of the drawing, in its own units; it is scaled to the column that it stands in
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 10, 36
COLOURS = ("var(--bar)", "var(--few)", "var(--good)", "var(--none)")


def ticks(low, high, most=5):
    """Round numbers from low to high, at most `most` steps apart."""
    if high <= low:
        return [low]
    raw = (high - low) / most
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def short(x):
    return f"{x:g}"


def chart(series, x_name, y_name, x_range=None, y_range=None, diagonal=False):
    """series: {name: [(x, y)] or [(x, y, size)]}; with sizes the points are drawn as circles of that radius. Empty: a sentence."""
    everything = [p for points in series.values() for p in points]
    if not everything:
        return "<p>Nothing was logged.</p>"
    (x0, x1), (y0, y1) = (
        given or (min(0, *(p[axis] for p in everything)), max(p[axis] for p in everything) or 1)
        for axis, given in ((0, x_range), (1, y_range))
    )
    x1, y1 = max(x1, x0 + 1e-9), max(y1, y0 + 1e-9)

    def at(x, y):
        across = LEFT + (WIDTH - LEFT - RIGHT) * (min(max(x, x0), x1) - x0) / (x1 - x0)
        down = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (min(max(y, y0), y1) - y0) / (y1 - y0)
        return f"{across:.1f}", f"{down:.1f}"

    parts = []
    for y in ticks(y0, y1):
        (left, level), (right, _) = at(x0, y), at(x1, y)
        parts.append(f'<line x1="{left}" x2="{right}" y1="{level}" y2="{level}" class="rule"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{level}" dy=".32em" text-anchor="end">{short(y)}</text>')
    for x in ticks(x0, x1):
        across, _ = at(x, y0)
        parts.append(f'<text x="{across}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{short(x)}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_name)}</text>'
    )
    if diagonal:
        (ax, ay), (bx, by) = at(max(x0, y0), max(x0, y0)), at(min(x1, y1), min(x1, y1))
        parts.append(f'<line x1="{ax}" y1="{ay}" x2="{bx}" y2="{by}" class="rule" stroke-dasharray="4 4"/>')
    for colour, (name, points) in zip(COLOURS * 3, series.items(), strict=False):
        places = [at(*p[:2]) for p in points]
        if any(len(p) == 3 for p in points):
            for (x, y), p in zip(places, points, strict=True):
                title = f"{name}: {x_name} {p[0]:.3g}, {y_name} {p[1]:.3g}"
                parts.append(
                    f'<circle cx="{x}" cy="{y}" r="{p[2]:.1f}" fill="{colour}"><title>{escape(title)}</title></circle>'
                )
        else:
            path = " ".join(",".join(p) for p in places)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
            parts += [f'<circle cx="{x}" cy="{y}" r="2" fill="{colour}"/>' for x, y in places if len(places) <= 40]
    keys = "".join(
        f'<span><b style="background:{c}"></b>{escape(n)}</span>'
        for c, n in zip(COLOURS * 3, series, strict=False)
        if len(series) > 1
    )
    label = f"{y_name} against {x_name}"
    return (
        f'<p class="keys"><small>{escape(y_name)}</small>{keys}</p>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def reliability(bins):
    """Share of right answers against confidence; on the dashed line the confidence is what it says. bins: decisions.reliability()."""
    most = max((b["n"] for b in bins), default=1)
    points = [(b["confidence"], b["right"], 2 + 4 * math.sqrt(b["n"] / most)) for b in bins]
    return chart({"commands": points}, "confidence", "share right", (0, 1), (0, 1), diagonal=True)


def risk_coverage(curve):
    """Share of wrong commands among the surest ones. curve: decisions.risk_coverage()."""
    top = max((risk for _, risk, _ in curve), default=0)
    points = [(c, r) for c, r, _ in curve]
    return chart(
        {"wrong": points} if points else {},
        "share of commands, the surest first",
        "share wrong",
        (0, 1),
        (0, max(0.1, top)),
    )
