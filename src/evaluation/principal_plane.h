// A picture of many directions: the plane along which points spread most (PCA).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace rocket {

struct PrincipalPlane {
  std::vector<std::array<double, 2>> points;  // of each row, from the mean of all
  std::array<double, 2> share{};              // of the spread that lies along each direction
};

/// `rows_ND`: rows of `dimension` values. In float64; of each direction the component of the largest
/// magnitude, the first of equal ones, is positive, so that the same rows always give the same picture. Where
/// rows spread along fewer than two directions, the others are 0.
PrincipalPlane principal_plane(std::span<const float> rows_ND, std::int64_t dimension);

}  // namespace rocket
