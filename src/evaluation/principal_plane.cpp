#include "evaluation/principal_plane.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace rocket {
namespace {

/// [D] with the sign that the header promises.
at::Tensor oriented(const at::Tensor& direction) {
  const at::Tensor largest = direction.abs().argmax();
  return direction.index_select(0, largest.view({1})).item<double>() < 0 ? -direction : direction;
}

}  // namespace

PrincipalPlane principal_plane(std::span<const float> rows_ND, std::int64_t dimension) {
  const auto n = static_cast<std::int64_t>(rows_ND.size()) / std::max<std::int64_t>(dimension, 1);
  PrincipalPlane plane;
  plane.points.resize(static_cast<std::size_t>(n));
  if (n < 2) return plane;
  const at::Tensor x_ND =
      at::from_blob(const_cast<float*>(rows_ND.data()), {n, dimension}, at::kFloat).to(at::kDouble);
  const at::Tensor centred = x_ND - x_ND.mean(0, true);
  const auto [spread, directions] =
      at::linalg_eigh(centred.t().mm(centred));  // ascending; directions in columns
  const double all = spread.clamp_min(0).sum().item<double>();
  for (std::int64_t axis = 0; axis < std::min<std::int64_t>(2, dimension) && all > 0; ++axis) {
    const std::int64_t column = dimension - 1 - axis;
    const auto a = static_cast<std::size_t>(axis);
    plane.share[a] = std::max(0.0, spread.select(0, column).item<double>()) / all;
    if (plane.share[a] < 1e-12) break;
    const at::Tensor along = centred.mv(oriented(directions.select(1, column))).contiguous();
    for (std::size_t i = 0; i < plane.points.size(); ++i)
      plane.points[i][a] = along.const_data_ptr<double>()[i];
  }
  return plane;
}

}  // namespace rocket
