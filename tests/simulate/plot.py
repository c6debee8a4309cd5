#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws what `make simulate` found: plot.py SIMULATE.json OUT.svg

Two panels with logarithmic axes: how often an equal canary is rolled back, by
naive looking and by the guard, and how many requests a slower one takes. Only
the standard library.
"""
import html
import json
import math
import sys

LEFT, WIDTH, ROW, TOP = 230, 560, 22, 64
GUARD, NAIVE, LIMIT, INK, GRID = "#0b62a4", "#9a9a9a", "#c0392b", "#222222", "#dddddd"
STYLE = "font-family:sans-serif;font-size:13px"


def text(x, y, words, anchor="start", colour=INK, extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{extra}>'
            f'{html.escape(words)}</text>')


def line(x1, y1, x2, y2, colour, width=1.0, dash=""):
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}" stroke-width="{width}"{dashes}/>')


def dot(x, y, colour, title, filled=True):
    fill = colour if filled else "white"
    return (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="{colour}" '
            f'stroke-width="1.5"><title>{html.escape(title)}</title></circle>')


class Axis:
    """Logarithmic, from low to high, over the panel's width."""

    def __init__(self, low, high):
        self.low, self.span = math.log10(low), math.log10(high) - math.log10(low)

    def at(self, value):
        part = (math.log10(value) - self.low) / self.span
        return LEFT + WIDTH * min(max(part, 0), 1)


def frame(top, title, axis, ticks, n_rows):
    """The panel's title, its grid and its axis; rows come below top."""
    bottom = top + n_rows * ROW
    out = [text(LEFT, top - 40, title, extra=' font-weight="bold"')]
    for value, name in ticks:
        out.append(line(axis.at(value), top, axis.at(value), bottom, GRID))
        out.append(text(axis.at(value), top - 8, name, "middle"))
    return out


def legend(top, entries):
    out, x = [], LEFT
    for colour, filled, words in entries:
        out.append(dot(x + 5, top - 26, colour, words, filled))
        out.append(text(x + 15, top - 22, words))
        x += 28 + 7.2 * len(words)
    return out


def draw_false_alarms(cells, alpha, top):
    axis = Axis(0.0005, 1)
    ticks = [(0.001, "0.1 %"), (0.01, "1 %"), (0.1, "10 %"), (1, "100 %")]
    out = frame(top, "An equal canary is rolled back within 10,000 requests: part of the runs",
                axis, ticks, len(cells))
    out += legend(top, [(NAIVE, True, "naive: Welch p < .05 after every sample"),
                        (GUARD, True, "the guard, all rows")])
    out.append(line(axis.at(alpha), top, axis.at(alpha), top + len(cells) * ROW, LIMIT, 1.5, "5 4"))
    out.append(text(axis.at(alpha) + 5, top + len(cells) * ROW + 14, f"alpha = {alpha:g}",
                    colour=LIMIT))
    for i, cell in enumerate(cells):
        y = top + (i + 0.5) * ROW
        guard, naive = cell["any"], cell["naive"]
        low, high = (axis.at(max(guard["part"] + d * guard["standard_error"], 1e-9)) for d in (-2, 2))
        out.append(text(LEFT - 10, y + 4, cell["row"], "end"))
        out.append(line(low, y, high, y, GUARD, 2))
        out.append(dot(axis.at(max(naive["part"], 1e-9)), y, NAIVE, f'{naive["part"]:.4f}'))
        out.append(dot(axis.at(max(guard["part"], 1e-9)), y, GUARD, f'{guard["part"]:.4f}'))
    return out


def draw_detection(cells, top):
    rows = list(dict.fromkeys(c["row"] for c in cells))
    axis = Axis(300, 100000)
    ticks = [(n, f"{n:,}") for n in (300, 1000, 3000, 10000, 30000, 100000)]
    out = frame(top, "Requests until a slower canary is rolled back: medians, a dot a shape", axis, ticks, len(rows))
    out += legend(top, [(GUARD, True, "the guard"), (GUARD, False, "stated before"),
                        (NAIVE, True, "naive")])
    for i, row in enumerate(rows):
        y = top + (i + 0.5) * ROW
        mine = [c for c in cells if c["row"] == row]
        out.append(text(LEFT - 10, y + 4, row, "end"))
        for c in mine:
            if c["stated"]:
                out.append(dot(axis.at(c["stated"]), y - 4, GUARD, f'{c["column"]}: stated', False))
        for c in mine:
            if c.get("naive_median"):
                out.append(dot(axis.at(c["naive_median"]), y + 4, NAIVE, f'{c["column"]}: naive'))
            if c["median"]:
                out.append(dot(axis.at(c["median"]), y, GUARD, f'{c["column"]}: {c["median"]:.0f}'))
    return out


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: plot.py SIMULATE.json OUT.svg")
    with open(sys.argv[1], encoding="utf-8") as file:
        result = json.load(file)
    groups = {}
    for cell in result["cells"]:
        groups.setdefault(cell["group"], []).append(cell)
    out, top = [], TOP
    if "false-alarms" in groups:
        out += draw_false_alarms(groups["false-alarms"], result["alpha"], top)
        top += len(groups["false-alarms"]) * ROW + 90
    if "detection" in groups:
        out += draw_detection(groups["detection"], top)
        top += len({c["row"] for c in groups["detection"]}) * ROW + 50
    out.append(text(LEFT, top - 16, f'make simulate RUNS={result["runs"]} SEED={result["seed"]}',
                    colour=NAIVE))
    width, height = LEFT + WIDTH + 40, top
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                   f'viewBox="0 0 {width} {height}" style="{STYLE}">\n'
                   f'<rect width="100%" height="100%" fill="white"/>\n')
        file.write("\n".join(out) + "\n</svg>\n")


main()
