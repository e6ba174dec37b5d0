#!/usr/bin/env python3
"""Draws the table of docs/guides/evaluate.md, which tools/quickstart prints, as docs/quickstart.svg.

quickstart_picture.py [FILE]     # default: docs/quickstart.svg; tests/project/test_documents.py compares the two
"""
import pathlib
import re
import sys
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).resolve().parents[2]
WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 760, 220, 60, 66, 44, 24
STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de; }
  text { fill: #1f2328; font: 14px system-ui, sans-serif; }
  .title { font-size: 16px; font-weight: 600; }
  .small { fill: #59636e; font-size: 12px; }
  .rival { fill: #8c959f; }
  .expert { fill: #0969da; }
  .line { stroke: #1f2328; stroke-width: 1.5; }
  .chance { stroke: #9a6700; stroke-dasharray: 4 3; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #151b23; stroke: #3d444d; }
    text { fill: #f0f6fc; }
    .small { fill: #9198a1; }
    .rival { fill: #7d8590; }
    .expert { fill: #4493f8; }
    .line { stroke: #f0f6fc; }
    .chance { stroke: #d29922; }
  }
"""


def table():
    """[(system, accuracy, standard error, accuracy of a guess)], and the number of items."""
    text = (ROOT / "docs/guides/evaluate.md").read_text(encoding="utf-8")
    rows = re.findall(r"^(\S.*?)  +(\d+) +(\d+) +(\d\.\d{4}) +(\d\.\d{4}) +\d+ +(\d\.\d{4}) ", text, re.M)
    return [(name, float(a), float(se), float(chance)) for name, _, _, a, se, chance in rows], int(rows[0][2])


def x(share):
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def bar(number, name, accuracy, se):
    middle = TOP + ROW * number + ROW / 2
    low, high = x(accuracy - 1.96 * se), x(accuracy + 1.96 * se)
    kind = "expert" if name.startswith("expert") else "rival"
    return f"""<text x="{LEFT - 12}" y="{middle + 5:.0f}" text-anchor="end">{escape(name)}</text>
<rect class="{kind}" x="{LEFT}" y="{middle - BAR / 2:.0f}" width="{x(accuracy) - LEFT:.1f}" height="{BAR}" rx="2"/>
<path class="line" d="M{low:.1f} {middle:.0f}H{high:.1f}M{low:.1f} {middle - 5:.0f}v10M{high:.1f} {middle - 5:.0f}v10"/>
<text x="{high + 8:.1f}" y="{middle + 5:.0f}">{accuracy:.2f}</text>
"""


def picture():
    systems, items = table()
    bottom = TOP + ROW * len(systems)
    chance = x(systems[0][3])
    numbers = ", ".join(f"{name} {accuracy:.4f}" for name, accuracy, _, _ in systems)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 44}" role="img" aria-labelledby="title desc">
<title id="title">Accuracy on choice_hard, {items} items</title>
<desc id="desc">{escape(numbers)}; a guess {systems[0][3]:.4f}. Lines are 95 % intervals.</desc>
<style>{STYLE}</style>
<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{bottom + 43}" rx="8"/>
<text class="title" x="20" y="32">Accuracy on choice_hard, {items} items</text>
<text class="small" x="{chance:.1f}" y="{TOP - 8}" text-anchor="middle">a guess</text>
{"".join(bar(i, name, accuracy, se) for i, (name, accuracy, se, _) in enumerate(systems))}\
<path class="chance" d="M{chance:.1f} {TOP}V{bottom}"/>
<text class="small" x="20" y="{bottom + 26}">Lines are 95 % intervals. The lab's configuration lab-choice_hard.yaml, any number of ranks.</text>
</svg>
"""


pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs/quickstart.svg").write_text(picture(), encoding="utf-8")
