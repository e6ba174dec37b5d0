#include <algorithm>

#include "evaluation/report_charts.h"
#include "evaluation/report_svg.h"

namespace rocket::report {
namespace {

std::string name_of(const ReportDifference& pair) {
  return fmt::format("{} − {}", pair.a, pair.b);
}

/// One pair in words: what the picture shows, for those who do not see it.
std::string in_words(const ReportDifference& pair) {
  return fmt::format("{}: {} points, 95 % interval {} to {}, {}", name_of(pair), points(pair.difference),
                     points(pair.low), points(pair.high),
                     pair.beyond_chance ? "beyond chance" : "may be chance");
}

std::string description(const std::vector<ReportDifference>& pairs) {
  std::string text;
  for (const ReportDifference& pair : pairs)
    text += fmt::format("{}{}", text.empty() ? "" : "; ", in_words(pair));
  return text;
}

/// Under rows that go from `top` to `bottom`: differences in points, with a line at none.
void draw_axis(Svg& svg, const Axis& x, int about, double top, double bottom) {
  const std::vector<double> ticks = x.ticks(about);
  std::vector<double> in_points;
  for (const double tick : ticks) in_points.push_back(100 * tick);
  const std::vector<std::string> labels = tick_labels(in_points);
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    svg.line(x(ticks[i]), top, x(ticks[i]), bottom, ticks[i] == 0 ? "leader" : "grid");
    const bool below = labels[i].starts_with('-');
    svg.text(x(ticks[i]), bottom + 17, below ? fmt::format("−{}", labels[i].substr(1)) : labels[i],
             Anchor::middle, "tick");
  }
}

}  // namespace

std::vector<ReportDifference> drawn_differences(const std::vector<ReportDifference>& all) {
  constexpr std::size_t most = 12;
  if (all.size() <= most) return all;
  std::vector<ReportDifference> drawn;
  std::ranges::copy_if(all, std::back_inserter(drawn), &ReportDifference::ours);
  if (drawn.empty()) drawn.assign(all.begin(), all.begin() + most);
  return drawn;
}

std::string differences_chart(const std::vector<ReportDifference>& pairs, double width) {
  const bool narrow = width < kNarrow;
  const double row = narrow ? 46 : 34, top = 8, label = narrow ? 0 : 300;
  const double bottom = top + row * static_cast<double>(pairs.size());
  double low = -0.01, high = 0.01;
  for (const ReportDifference& pair : pairs) {
    low = std::min(low, pair.low);
    high = std::max(high, pair.high);
  }
  const Axis x(low, high, narrow ? 14 : label + 14, width - (narrow ? 14 : 66));
  Svg svg(width, bottom + 26, "Differences between the systems in points", description(pairs));
  draw_axis(svg, x, narrow ? 4 : 6, top, bottom);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const ReportDifference& pair = pairs[i];
    const double y = top + row * (static_cast<double>(i) + (narrow ? 0.72 : 0.5));
    const std::string_view css = pair.ours ? "label strong" : "label", colour = pair.ours ? "ours" : "rival";
    const double bold = pair.ours ? kBold : 1;
    if (narrow) {
      svg.text(12, y - 14, clipped(name_of(pair), (width - 80) / bold), Anchor::start, css);
    } else {
      svg.text(label, y + 4, clipped(name_of(pair), label / bold), Anchor::end, css);
    }
    svg.text(width - (narrow ? 12 : 4), narrow ? y - 14 : y + 4, points(pair.difference), Anchor::end, css);
    svg.rect(x(pair.low), y - 3, x(pair.high) - x(pair.low), 6, fmt::format("interval {}", colour),
             "rx=\"3\"");
    svg.circle(x(pair.difference), y, pair.beyond_chance ? 6 : 5,
               fmt::format("{} {}", pair.beyond_chance ? "dot" : "open", colour), in_words(pair));
  }
  return svg.str();
}

}  // namespace rocket::report
