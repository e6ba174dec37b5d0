#!/usr/bin/env python3
"""The picture of README.md: `rocket inspect RUN evaluation --format json | docs/quickstart_picture.py > docs/quickstart.svg`.
A bar for each system, with twice its standard error on either side."""
import html
import json
import sys

LEFT, WIDTH, ROW, TOP = 150, 420, 34, 30


def main():
    rows = json.load(sys.stdin)
    height = TOP + ROW * len(rows) + 34
    x = lambda share: LEFT + WIDTH * share  # noqa: E731
    told = ", ".join(f"{row['system'].split(' ')[0]} {row['accuracy']:.2f}" for row in rows)
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 {height}" width="640" height="{height}" role="img" '
          f'font-family="sans-serif" font-size="13" fill="#888">')
    print(f"<title>Accuracy on {rows[0]['items']} items</title><desc>{html.escape(told)}</desc>")
    print(f'<text x="{LEFT}" y="16">accuracy on {rows[0]["items"]} items of choice_hard, with two standard errors</text>')
    for tick in (0, 0.25, 0.5, 0.75, 1):
        print(f'<line x1="{x(tick)}" x2="{x(tick)}" y1="{TOP - 6}" y2="{height - 26}" stroke="#8886"/>'
              f'<text x="{x(tick)}" y="{height - 10}" text-anchor="middle">{tick:g}</text>')
    for i, row in enumerate(rows):
        y, share, wide = TOP + ROW * i, row["accuracy"], 2 * row["se"]
        colour = "#2a7de1" if row["system"].startswith("expert") else "#8aa4c0"
        print(f'<text x="{LEFT - 8}" y="{y + 18}" text-anchor="end">{html.escape(row["system"].split(" ")[0])}</text>'
              f'<rect x="{LEFT}" y="{y + 4}" width="{WIDTH * share:.1f}" height="20" fill="{colour}"/>'
              f'<line x1="{x(max(0, share - wide)):.1f}" x2="{x(min(1, share + wide)):.1f}" y1="{y + 14}" y2="{y + 14}" stroke="#d07020" '
              f'stroke-width="2"/><text x="{x(min(1, share + wide)) + 8:.1f}" y="{y + 18}">{share:.2f}</text>')
    print("</svg>")


main()
