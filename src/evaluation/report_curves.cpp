#include <algorithm>
#include <cmath>

#include "evaluation/report_charts.h"
#include "evaluation/report_svg.h"

namespace rocket::report {
namespace {

constexpr std::size_t kMostPoints = 400;
constexpr double kDotGap = 6;

std::string place_label(double place) {
  return place >= 1e6   ? fmt::format("{:g}M", place / 1e6)
         : place >= 1e3 ? fmt::format("{:g}k", place / 1e3)
                        : fmt::format("{:g}", place);
}

std::string append_point(const std::string& path, double x, double y) {
  return path + fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x, y);
}

struct Point {
  double step = 0, value = 0, weight = 1;
};

double value_of(const ReportStep& step, Curve curve) {
  return curve == Curve::loss            ? step.loss
         : curve == Curve::learning_rate ? step.learning_rate
                                         : step.gradient_norm;
}

/// Means over equal runs of steps, at most kMostPoints; what is not finite is left out. Each step weighs as
/// many as its target tokens: an epoch's last update may hold a record or two.
std::vector<Point> thinned(const std::vector<ReportStep>& steps, Curve curve) {
  const std::size_t run = (steps.size() + kMostPoints - 1) / kMostPoints;
  std::vector<Point> points;
  for (std::size_t first = 0; first < steps.size(); first += run) {
    Point mean{.weight = 0};
    double count = 0;
    for (std::size_t i = first; i < std::min(first + run, steps.size()); ++i) {
      if (std::isfinite(value_of(steps[i], curve))) {
        const auto weight = static_cast<double>(steps[i].target_tokens);
        mean.step += static_cast<double>(steps[i].step);
        mean.value += weight * value_of(steps[i], curve);
        mean.weight += weight;
        ++count;
      }
    }
    if (mean.weight > 0) points.push_back({mean.step / count, mean.value / mean.weight, mean.weight});
  }
  return points;
}

/// The mean over about a fifteenth of the points around each, of fewer at the ends.
std::vector<Point> smoothed(const std::vector<Point>& points) {
  const std::size_t reach = std::max<std::size_t>(1, points.size() / 30);
  std::vector<Point> result;
  for (std::size_t i = 0; i < points.size(); ++i) {
    double sum = 0, weight = 0;
    for (std::size_t j = i - std::min(reach, i); j < std::min(i + reach + 1, points.size()); ++j) {
      sum += points[j].weight * points[j].value;
      weight += points[j].weight;
    }
    result.push_back({points[i].step, sum / weight, weight});
  }
  return result;
}

std::string path_of(const std::vector<Point>& points, const Axis& x, const Axis& y) {
  std::string path;
  for (const Point& point : points) {
    path = append_point(path, x(point.step), y(point.value));
  }
  return path;
}

void draw_epochs(Svg& svg, const std::vector<ReportStep>& steps, const Axis& x, double top, double bottom) {
  for (std::size_t i = 1; i < steps.size(); ++i) {
    if (steps[i].epoch != steps[i - 1].epoch) {
      const double at = x((static_cast<double>(steps[i].step) + static_cast<double>(steps[i - 1].step)) / 2);
      svg.line(at, top, at, bottom, "reference");
    }
  }
}

/// Dots on the curve, as many as can be told apart.
void draw_dropped(Svg& svg, const ReportSelection& selection, const Axis& x, const Axis& y) {
  double last = -kDotGap;
  for (std::size_t i = 0; i < selection.kept.size(); ++i) {
    const double at = x(static_cast<double>(i + 1));
    if (!selection.kept[i] && at >= last + kDotGap) {
      svg.circle(at, y(selection.similarity[i]), 2.4, "dropped-dot");
      last = at;
    }
  }
}

/// Two lines beside the line of the cut, at its left where they fit. One of the sides has room even on a
/// phone.
void draw_cut_label(Svg& svg, const ReportSelection& selection, double at, double left, double top) {
  if (selection.similarity.empty()) {
    return;
  }
  const std::string place =
      fmt::format("cut at {}", grouped(static_cast<std::int64_t>(selection.similarity.size())));
  const std::string similarity = fmt::format("similarity {:.3f}", selection.similarity.back());
  const bool fits = at - left > std::max(text_width(place), text_width(similarity)) + 14;
  const double x = fits ? at - 7 : at + 7;
  const Anchor anchor = fits ? Anchor::end : Anchor::start;
  svg.text(x, top + 15, place, anchor, "label");
  svg.text(x, top + 29, similarity, anchor, "label");
}

}  // namespace

bool is_cut_by_similarity(const ReportSelection& selection) {
  return selection.policy != "random" && selection.policy != "kde" && selection.policy != "convex";
}

std::string corpus_chart(const ReportSelection& selection, double width) {
  const double height = width < kNarrow ? 250 : 280, left = 42, right = width - 12, top = 14,
               bottom = height - 42;
  const auto& curve = selection.curve;
  double low = 1, high = -1;
  for (const auto& [place, similarity] : curve) {
    low = std::min(low, static_cast<double>(similarity));
    high = std::max(high, static_cast<double>(similarity));
  }
  const double room = std::max(0.02, 0.05 * (high - low));
  const Axis x(1, std::max<double>(2, static_cast<double>(curve.back().first)), left, right, true);
  const Axis y(low - room, std::min(1.0, high + room), bottom, top);
  Svg svg(width, height, "Similarity of the corpus to the shots",
          "Similarity by place, most similar first; the shaded part was retrieved, dots were dropped as near "
          "duplicates");
  const auto retrieved = static_cast<double>(selection.similarity.size());
  const bool cut = is_cut_by_similarity(selection);
  if (cut) {
    svg.rect(left, top, x(std::max(1.0, retrieved)) - left, bottom - top, "retrieved");
    const double at = x(std::max(1.0, retrieved));
    svg.line(at, top, at, bottom, "cut");
    draw_cut_label(svg, selection, at, left, top);
  }
  const std::vector<double> ticks = y.ticks(5);
  const std::vector<std::string> labels = tick_labels(ticks);
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    svg.line(left, y(ticks[i]), right, y(ticks[i]), "grid");
    svg.text(left - 6, y(ticks[i]) + 4, labels[i], Anchor::end, "tick");
  }
  for (double tick : x.ticks(6)) {
    svg.text(x(tick), bottom + 17, place_label(tick), Anchor::middle, "tick");
  }
  svg.text((left + right) / 2, height - 6, "records, most similar first (log)", Anchor::middle, "axis");
  std::string path;
  for (const auto& [place, similarity] : curve) {
    path = append_point(path, x(static_cast<double>(place)), y(similarity));
  }
  svg.path(path, "curve");
  if (cut) {
    draw_dropped(svg, selection, x, y);
  }
  return svg.str();
}

std::string walk_chart(const ReportSelection& selection, double width) {
  const double height = 170, left = 42, right = width - 12, top = 12, bottom = height - 42;
  const std::size_t n = selection.kept.size(), bins = std::min<std::size_t>(width < kNarrow ? 25 : 50, n);
  Svg svg(width, height, "Kept and dropped along the walk",
          "One bar a stretch of the walk; the upper part was dropped as a near duplicate");
  const Axis y(0, 1, bottom, top);
  for (double tick : {0.0, 0.5, 1.0}) {
    svg.line(left, y(tick), right, y(tick), "grid");
    svg.text(left - 6, y(tick) + 4, fmt::format("{:.0f}", 100 * tick), Anchor::end, "tick");
  }
  for (std::size_t b = 0; b < bins; ++b) {
    const std::size_t first = b * n / bins, end = (b + 1) * n / bins;
    const auto kept =
        static_cast<double>(std::count(selection.kept.begin() + static_cast<std::ptrdiff_t>(first),
                                       selection.kept.begin() + static_cast<std::ptrdiff_t>(end), 1));
    const double share = kept / static_cast<double>(end - first);
    const double x = left + (right - left) * static_cast<double>(b) / static_cast<double>(bins);
    const double wide = (right - left) / static_cast<double>(bins) - 1.5;
    const std::string tip = fmt::format("places {} to {}: {:.0f} kept, {:.0f} dropped", first + 1, end, kept,
                                        static_cast<double>(end - first) - kept);
    svg.rect(x, y(share), wide, bottom - y(share), "kept", "", tip);
    svg.rect(x, top, wide, y(share) - top, "dropped", "", tip);
  }
  svg.text(left, bottom + 17, "1", Anchor::start, "tick");
  svg.text(right, bottom + 17, grouped(static_cast<std::int64_t>(n)), Anchor::end, "tick");
  svg.text((left + right) / 2, height - 6, "place in the walk; share kept, %", Anchor::middle, "axis");
  return svg.str();
}

std::string training_chart(const std::vector<ReportStep>& steps, Curve curve, double width, double height) {
  const char* names[] = {"loss (nats per target token)", "learning rate", "gradient norm before clipping"};
  const char* name = names[static_cast<int>(curve)];
  const double left = 54, right = width - 12, top = 26, bottom = height - 40;
  const std::vector<Point> points = thinned(steps, curve);
  double high = 0;
  for (const Point& point : points) {
    high = std::max(high, point.value);
  }
  const auto first = static_cast<double>(steps.front().step), last = static_cast<double>(steps.back().step);
  const Axis x(first, last, left, right), y(0, high > 0 ? high * 1.05 : 1, bottom, top);
  Svg svg(width, height, name, fmt::format("By step, {} steps", steps.size()));
  const std::vector<double> ticks = y.ticks(4);
  const std::vector<std::string> labels = tick_labels(ticks);
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    svg.line(left, y(ticks[i]), right, y(ticks[i]), "grid");
    svg.text(left - 6, y(ticks[i]) + 4, labels[i], Anchor::end, "tick");
  }
  for (double tick : x.ticks(width < kNarrow ? 4 : 8)) {
    if (tick == std::floor(tick)) {
      svg.text(x(tick), bottom + 17, grouped(static_cast<std::int64_t>(tick)), Anchor::middle, "tick");
    }
  }
  draw_epochs(svg, steps, x, top, bottom);
  svg.text(left, 13, name, Anchor::start, "axis");
  svg.text((left + right) / 2, height - 6, "step", Anchor::middle, "axis");
  if (points.size() == 1) {
    svg.circle(x(points[0].step), y(points[0].value), 4, "dot ours");
  } else if (curve == Curve::learning_rate) {
    svg.path(path_of(points, x, y), "curve");
  } else if (!points.empty()) {
    svg.path(path_of(points, x, y), "raw");
    svg.path(path_of(smoothed(points), x, y), "curve");
  }
  return svg.str();
}

}  // namespace rocket::report
