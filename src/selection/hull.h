// Distance to the convex hull of a few points, for the policy `convex`.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rocket {

/// Wolfe's method for the nearest point of a polytope (Mathematical Programming 11, 1976) on inner products
/// only, in double: exact up to rounding, after finitely many steps.
class Hull {
 public:
  Hull(std::span<const float> points_KD, std::int64_t points);

  /// Squared distance of x_D to the hull, to 1e-11 for vectors of about unit length; 0 inside.
  double squared_distance(const float* x_D) const;

 private:
  std::span<const float> points_KD_;
  std::int64_t points_, dimension_;
  std::vector<double> gram_;  // [K, K]
};

}  // namespace rocket
