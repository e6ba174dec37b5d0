#include "evaluation/report_style.h"

namespace rocket::report {

std::string_view style_sheet() {
  return R"css(
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1b2230; --muted: #5d6779; --rule: #e2e6ec; --grid: #eceff3;
  --accent: #2459c9; --accent-soft: #dfe8fb; --on-accent: #ffffff; --warm: #c2571a; --quiet: #98a2b3;
  --c0: #2f67d8; --c1: #e08a3c; --c2: #2f9e78; --c3: #a45cb8; --c4: #c9a11f; --c5: #45a9cf; --c6: #cf4f62; --c7: #7c8798;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #11151c; --card: #1a202a; --ink: #e7ebf2; --muted: #9aa5b6; --rule: #2c3542; --grid: #252d39;
    --accent: #7ba7ff; --accent-soft: #22314f; --on-accent: #0d1522; --warm: #f0955a; --quiet: #6f7b8d;
    --c0: #6b9bff; --c1: #f0a35e; --c2: #55c69c; --c3: #c98bdb; --c4: #e0c050; --c5: #6fc6e8; --c6: #ee7f8f; --c7: #9aa5b6;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 32px 20px 56px; }
header { margin-bottom: 20px; }
.over { margin: 0; color: var(--muted); font-size: 14px; overflow-wrap: anywhere; }
h1 { margin: 2px 0 0; font-size: 30px; line-height: 1.2; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { margin: 0 0 4px; font-size: 20px; line-height: 1.3; }
h3 { margin: 22px 0 6px; font-size: 15px; }
p { margin: 0 0 12px; max-width: 68ch; }
.lead { margin-top: 10px; font-size: 17px; }
.read { color: var(--muted); font-size: 14.5px; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; padding: 22px 24px; margin-top: 18px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 20px 0 0; }
.facts div { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; padding: 14px 16px; }
.facts dt { color: var(--muted); font-size: 13px; }
.facts dd { margin: 2px 0 0; font-size: 25px; line-height: 1.25; font-weight: 640; font-variant-numeric: tabular-nums; }
.facts small { display: block; font-size: 13px; font-weight: 400; color: var(--muted); }
.missing { border-style: dashed; background: none; }
.missing p { margin: 0; color: var(--muted); }
figure { margin: 14px 0 0; }
figure svg { display: block; max-width: 100%; height: auto; }
.phone { display: none; }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 8px 0 14px; padding: 0; list-style: none; font-size: 13.5px; color: var(--muted); }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; vertical-align: -1px; }
.key i.round { border-radius: 50%; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 10px; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
td.words, th.words { text-align: left; }
thead th { color: var(--muted); font-weight: 500; font-size: 13px; }
tbody th { font-weight: 400; }
tr.ours th, tr.ours td, tr.expert th { font-weight: 640; }
tr.ours th { color: var(--accent); }
code { font: 13.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
details { margin-top: 14px; }
summary { cursor: pointer; color: var(--accent); font-size: 14.5px; }
details > .scroll { margin-top: 8px; }
.badge { display: inline-block; padding: 0 8px; border-radius: 99px; font-size: 12.5px; font-weight: 500; background: var(--accent-soft); color: var(--accent); }
.badge.plain { background: var(--grid); color: var(--muted); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; margin-top: 10px; }
.pair div { border: 1px solid var(--rule); border-left: 3px solid var(--accent); border-radius: 6px; padding: 8px 12px; font-size: 14px; white-space: pre-wrap; overflow-wrap: anywhere; }
.pair div.gone { border-left-color: var(--warm); }
.pair b { display: block; font-size: 12.5px; font-weight: 500; color: var(--muted); }
footer { margin-top: 22px; color: var(--muted); font-size: 13px; overflow-wrap: anywhere; }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: var(--ink); font-variant-numeric: tabular-nums; }
svg .tick, svg .axis { fill: var(--muted); }
svg .strong { font-weight: 640; }
svg .label { paint-order: stroke; stroke: var(--card); stroke-width: 3px; stroke-linejoin: round; }
svg .grid { stroke: var(--grid); }
svg .frame { fill: none; stroke: var(--rule); }
svg .reference { stroke: var(--quiet); stroke-dasharray: 3 4; }
svg .leader { stroke: var(--quiet); }
svg .cut { stroke: var(--accent); stroke-width: 1.5; }
svg .retrieved { fill: var(--accent-soft); opacity: .7; }
svg .curve { fill: none; stroke: var(--accent); stroke-width: 2; stroke-linejoin: round; }
svg .raw { fill: none; stroke: var(--accent); stroke-width: 1; opacity: .3; }
svg .dot { stroke: var(--card); stroke-width: 1.5; }
svg .other { fill: var(--quiet); opacity: .75; }
svg .candidate { fill: var(--card); stroke: var(--accent); stroke-width: 2; }
svg .expert, svg .ours { fill: var(--accent); }
svg .base-mark { fill: var(--warm); }
svg .rival { fill: var(--quiet); }
svg .open { fill: var(--card); stroke-width: 2; }
svg .open.ours { stroke: var(--accent); }
svg .open.rival { stroke: var(--quiet); }
svg .interval { opacity: .38; }
svg .kept { fill: var(--accent); opacity: .85; }
svg .dropped { fill: var(--warm); opacity: .5; }
svg .shot { fill: var(--ink); stroke: var(--card); stroke-width: 1.5; }
svg .dropped-dot { fill: var(--warm); opacity: .75; }
svg .heat { fill: var(--accent); }
svg .negative { fill: var(--warm); }
svg .pair { stroke: var(--ink); stroke-width: 1.5; }
svg .diagonal { fill: var(--grid); }
svg .cell { text-anchor: middle; }
svg .deep { fill: var(--on-accent); }
svg .part { stroke: var(--card); stroke-width: .6; }
.c0 { fill: var(--c0); background: var(--c0); } .c1 { fill: var(--c1); background: var(--c1); }
.c2 { fill: var(--c2); background: var(--c2); } .c3 { fill: var(--c3); background: var(--c3); }
.c4 { fill: var(--c4); background: var(--c4); } .c5 { fill: var(--c5); background: var(--c5); }
.c6 { fill: var(--c6); background: var(--c6); } .c7 { fill: var(--c7); background: var(--c7); }
.k-accent { background: var(--accent); } .k-warm { background: var(--warm); } .k-quiet { background: var(--quiet); }
.k-ink { background: var(--ink); }
.k-soft { background: var(--accent-soft); } .faint { opacity: .5; }
.k-ring { background: var(--card); box-shadow: inset 0 0 0 2px var(--accent); }
@media (max-width: 640px) {
  main { padding: 20px 12px 40px; }
  section { padding: 16px 14px; }
  h1 { font-size: 24px; }
  .facts { grid-template-columns: 1fr 1fr; gap: 8px; }
  .facts div { padding: 10px 12px; }
  .facts dd { font-size: 21px; }
  .wide { display: none; }
  .phone { display: block; }
  .pair { grid-template-columns: 1fr; }
  th, td { padding: 6px 7px; }
  tbody th { white-space: normal; min-width: 7.5em; overflow-wrap: break-word; }
  .stacked thead { display: none; }
  .stacked, .stacked tbody { display: block; }
  .stacked tr { display: flex; flex-wrap: wrap; gap: 4px 18px; padding: 10px 0; border-bottom: 1px solid var(--rule); }
  .stacked th, .stacked td { padding: 0; border: 0; }
  .stacked tbody th { flex: 1 0 100%; overflow-wrap: anywhere; }
  .stacked td { text-align: left; }
  .stacked td::before { content: attr(data-title); display: block; color: var(--muted); font-size: 12px; font-weight: 400; }
}
@media print {
  :root { --page: #fff; }
  section, .facts div { break-inside: avoid; }
}
)css";
}

}  // namespace rocket::report
