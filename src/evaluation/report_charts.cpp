#include "evaluation/report_charts.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "evaluation/report_svg.h"
#include "statistics/proportion.h"

namespace rocket::report {
namespace {

/// A percent axis under rows that go from `top` to `bottom`.
void draw_percent_axis(Svg& svg, const Axis& x, double top, double bottom) {
  for (double tick : x.ticks(5)) {
    svg.line(x(tick), top, x(tick), bottom, "grid");
    svg.text(x(tick), bottom + 17, fmt::format("{:.0f}\u00A0%", 100 * tick), Anchor::middle, "tick");
  }
}

double share_of(const ReportSystem& system) {
  return system.items > 0 ? static_cast<double>(system.correct) / static_cast<double>(system.items) : 0;
}

/// Two decimals, and no minus in front of a zero.
std::string cell_text(double value) {
  return fmt::format("{:.2f}", std::abs(value) < 0.005 ? 0.0 : value);
}

/// A module's name taken apart: which layer, and what is left when the layer's number is taken out.
struct ModuleName {
  std::size_t layer = 0;
  std::string kind;
};

ModuleName parse_module(const std::string& name) {
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t end = std::min(name.find('.', at), name.size());
    const std::string part = name.substr(at, end - at);
    if (!part.empty() && part.size() < 6 && part.find_first_not_of("0123456789") == std::string::npos) {
      return {static_cast<std::size_t>(std::stoul(part)), name.substr(std::min(end + 1, name.size()))};
    }
    at = end + 1;
  }
  return {0, name};
}

}  // namespace

std::string colour_class(std::size_t index) {
  return fmt::format("c{}", index % 8);
}

std::string systems_chart(const std::vector<ReportSystem>& systems, std::optional<double> chance,
                          double width) {
  const bool narrow = width < kNarrow;
  const double row = narrow ? 46 : 34, top = 8, label = narrow ? 0 : 230;
  const double bottom = top + row * static_cast<double>(systems.size());
  const Axis x(0, 1, narrow ? 12 : label + 12, width - (narrow ? 24 : 76));
  Svg svg(width, bottom + 26, "Accuracy of the systems",
          "Dots are accuracies, bars their 95 % Wilson intervals");
  draw_percent_axis(svg, x, top, bottom);
  if (chance) {
    svg.line(x(*chance), top, x(*chance), bottom, "reference");
  }
  for (std::size_t i = 0; i < systems.size(); ++i) {
    const ReportSystem& system = systems[i];
    const double y = top + row * (static_cast<double>(i) + (narrow ? 0.72 : 0.5)), share = share_of(system);
    const auto [low, high] = wilson_interval(system.correct, system.items);
    const std::string_view name = system.ours ? "label strong" : "label";
    if (narrow) {
      svg.text(12, y - 14, clipped(system.label, (width - 90) / (system.ours ? kBold : 1)), Anchor::start,
               name);
      svg.text(width - 12, y - 14, percent(share), Anchor::end, name);
    } else {
      svg.text(label, y + 4, clipped(system.label, label / (system.ours ? kBold : 1)), Anchor::end, name);
      svg.text(width - 4, y + 4, percent(share), Anchor::end, name);
    }
    const std::string_view css = system.ours ? "ours" : "rival";
    svg.rect(x(low), y - 3, x(high) - x(low), 6, fmt::format("interval {}", css), "rx=\"3\"");
    svg.circle(x(share), y, 6, fmt::format("dot {}", css),
               fmt::format("{}: {} of {}, 95 % interval {} to {}", system.label, system.correct, system.items,
                           percent(low), percent(high)));
  }
  return svg.str();
}

std::string similarity_chart(const ReportSimilarity& similarity, double width) {
  const std::size_t n = similarity.names.size();
  double longest = 0, strongest = 1e-9;
  for (std::size_t i = 0; i < n; ++i) {
    longest = std::max(longest, kBold * text_width(similarity.names[i]));
    for (std::size_t j = 0; j < n; ++j) {
      const double value = std::abs(similarity.matrix[i * n + j]);
      strongest = i != j && std::isfinite(value) ? std::max(strongest, value) : strongest;
    }
  }
  const double label = std::min(longest + 12, width * (width < kNarrow ? 0.32 : 0.22));
  const double number = 16;
  const double cell = std::min(56.0, (width - label - number - 4) / static_cast<double>(n));
  const double left = label + number, top = 20, side = cell * static_cast<double>(n);
  const bool numbers = cell >= 30;
  Svg svg(left + side + 4, top + side + 6, "Similarity of the candidates",
          "A darker cell is a more similar pair; experts are in bold and numbered as in the rows");
  for (std::size_t i = 0; i < n; ++i) {
    const double y = top + cell * static_cast<double>(i);
    const std::string_view css = similarity.expert[i] ? "label strong" : "label";
    svg.text(label - 4, y + cell / 2 + 4,
             clipped(similarity.names[i], (label - 8) / (similarity.expert[i] ? kBold : 1)), Anchor::end,
             css);
    svg.text(label + number / 2 + 2, y + cell / 2 + 4, fmt::format("{}", i + 1), Anchor::middle, "tick");
    svg.text(left + cell * (static_cast<double>(i) + 0.5), top - 7, fmt::format("{}", i + 1), Anchor::middle,
             similarity.expert[i] ? "tick strong" : "tick");
    for (std::size_t j = 0; j < n; ++j) {
      const double x = left + cell * static_cast<double>(j), value = similarity.matrix[i * n + j];
      if (i == j) {
        svg.rect(x + 1, y + 1, cell - 2, cell - 2, "diagonal", "rx=\"3\"");
        continue;
      }
      const double strength = std::isfinite(value) ? std::abs(value) / strongest : 0;
      const bool pair = similarity.expert[i] && similarity.expert[j];
      svg.rect(x + 1, y + 1, cell - 2, cell - 2,
               fmt::format("{}{}", value < 0 ? "heat negative" : "heat", pair ? " pair" : ""),
               fmt::format("rx=\"3\" fill-opacity=\"{:.2f}\"", 0.04 + 0.86 * strength),
               fmt::format("{} and {}: {:.3f}", similarity.names[i], similarity.names[j], value));
      if (numbers) {
        svg.text(x + cell / 2, y + cell / 2 + 4, cell_text(value), Anchor::middle,
                 strength > 0.75 ? "cell deep" : "cell");
      }
    }
  }
  return svg.str();
}

std::string load_chart(const ReportLoad& load, double width) {
  std::map<std::string, std::vector<std::pair<std::size_t, std::size_t>>> kinds;
  std::size_t layers = 1;
  for (std::size_t w = 0; w < load.modules.size(); ++w) {
    const ModuleName name = parse_module(load.modules[w]);
    kinds[name.kind].emplace_back(name.layer, w);
    layers = std::max(layers, name.layer + 1);
  }
  const std::size_t n = load.experts.size(), across = width < kNarrow || kinds.size() == 1 ? 1 : 2;
  const double gap = 36,
               panel = (width - 34 - gap * static_cast<double>(across - 1)) / static_cast<double>(across);
  const double bar = 96, height = bar + 58;
  const double rows = std::ceil(static_cast<double>(kinds.size()) / static_cast<double>(across));
  Svg svg(width, rows * height, "Share of the tokens' choices per expert",
          "One column a layer, one panel a kind of module; the parts of a column are the experts' shares");
  const double step = panel / static_cast<double>(layers), thick = std::min(step * 0.86, 40.0);
  std::size_t index = 0;
  for (const auto& [kind, members] : kinds) {
    const double left = 34 + static_cast<double>(index % across) * (panel + gap);
    const double top = 24 + std::floor(static_cast<double>(index / across)) * height;
    svg.text(left, top - 9, clipped(kind, panel), Anchor::start, "label strong");
    for (double tick : {0.0, 0.5, 1.0}) {
      svg.line(left, top + bar * (1 - tick), left + panel, top + bar * (1 - tick), "grid");
      if (index % across == 0) {
        svg.text(left - 5, top + bar * (1 - tick) + 4, fmt::format("{:.0f}", 100 * tick), Anchor::end,
                 "tick");
      }
    }
    const std::size_t every = 1 + layers * 22 / static_cast<std::size_t>(std::max(22.0, panel));
    for (const auto& [layer, w] : members) {
      const double x = left + step * (static_cast<double>(layer) + 0.5);
      double y = top + bar;
      for (std::size_t e = 0; e < n; ++e) {
        const double share = std::clamp(load.share[w * n + e], 0.0, 1.0),
                     part = bar * (std::isfinite(share) ? share : 0);
        y -= part;
        svg.rect(x - thick / 2, y, thick, part, "part " + colour_class(e), "",
                 fmt::format("{}: {} {}", load.modules[w], load.experts[e], percent(share)));
      }
      if (layer % every == 0) {
        svg.text(x, top + bar + 15, fmt::format("{}", layer), Anchor::middle, "tick");
      }
    }
    ++index;
  }
  return svg.str();
}

}  // namespace rocket::report
