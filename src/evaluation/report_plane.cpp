#include <algorithm>

#include "evaluation/report_charts.h"
#include "evaluation/report_svg.h"

namespace rocket::report {
namespace {

using Points = std::vector<std::array<double, 2>>;

/// Both axes at one scale, so that distances mean the same in all directions.
struct Window {
  double centre[2] = {0, 0};
  double scale = 1;  // pixels a unit

  Window(const ReportPlane& plane, double width, double height) {
    double low[2] = {0, 0}, high[2] = {0, 0};
    for (const Points* points : {&plane.shots, &plane.kept, &plane.dropped}) {
      for (const auto& point : *points) {
        for (int axis : {0, 1}) {
          low[axis] = std::min(low[axis], point[static_cast<std::size_t>(axis)]);
          high[axis] = std::max(high[axis], point[static_cast<std::size_t>(axis)]);
        }
      }
    }
    const double wide = std::max(high[0] - low[0], 1e-9), tall = std::max(high[1] - low[1], 1e-9);
    scale = std::min(width / wide, height / tall);
    for (int axis : {0, 1}) {
      centre[axis] = (low[axis] + high[axis]) / 2;
    }
  }
};

}  // namespace

std::string plane_chart(const ReportPlane& plane, double width) {
  constexpr double kMargin = 12, kBelow = 26;
  const double height = width < kNarrow ? 300 : 420, wide = width - 2 * kMargin,
               tall = height - kMargin - kBelow;
  Svg svg(width, height, "Shots and retrieved records in two dimensions",
          fmt::format("Principal components of the embeddings of {} shots, {} kept and {} dropped records",
                      plane.shots.size(), plane.kept.size(), plane.dropped.size()));
  svg.rect(kMargin, kMargin, wide, tall, "frame");
  const Window window(plane, wide - 24, tall - 24);
  const auto draw = [&](const Points& points, double radius, std::string_view css) {
    for (const auto& point : points) {
      svg.circle(kMargin + wide / 2 + window.scale * (point[0] - window.centre[0]),
                 kMargin + tall / 2 - window.scale * (point[1] - window.centre[1]), radius, css);
    }
  };
  draw(plane.dropped, 2.6, "dropped-dot");
  draw(plane.kept, 2.6, "kept");
  draw(plane.shots, 4, "shot");
  svg.text(width / 2, height - 8,
           fmt::format("first component, {} of the spread; upwards the second, {}", percent(plane.share[0]),
                       percent(plane.share[1])),
           Anchor::middle, "axis");
  return svg.str();
}

}  // namespace rocket::report
