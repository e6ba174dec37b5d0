#include "selection/hull.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "selection/dot.h"

namespace rocket {
namespace {

constexpr double kGap = 1e-12;     // of the optimality condition
constexpr double kWeight = 1e-14;  // a smaller weight is none
constexpr double kPivot = 1e-13;   // a smaller pivot: the new point depends on those of the corral

using Matrix = std::vector<double>;

/// Solves A y = (1, ..., 1) for symmetric positive definite A [n, n] by Cholesky; nullopt where A is not.
std::optional<std::vector<double>> solve_for_ones(Matrix a, std::size_t n) {
  std::vector<double> y(n, 1.0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double rest = a[i * n + j];
      for (std::size_t k = 0; k < j; ++k) {
        rest -= a[i * n + k] * a[j * n + k];
      }
      if (i == j && rest <= kPivot) {
        return std::nullopt;
      }
      a[i * n + j] = i == j ? std::sqrt(rest) : rest / a[j * n + j];
    }
    for (std::size_t k = 0; k < i; ++k) {
      y[i] -= a[i * n + k] * y[k];
    }
    y[i] /= a[i * n + i];
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t k = i + 1; k < n; ++k) {
      y[i] -= a[k * n + i] * y[k];
    }
    y[i] /= a[i * n + i];
  }
  return y;
}

/// The search for the point of least norm of the hull of points whose inner products are `products` [K, K].
class LeastNorm {
 public:
  LeastNorm(const Matrix& products, std::size_t points) : products_(products), points_(points) {
    std::size_t first = 0;
    for (std::size_t i = 1; i < points_; ++i) {
      first = product(i, i) < product(first, first) ? i : first;
    }
    corral_ = {first};
    weights_ = {1.0};
  }

  double squared_norm() {
    double before = std::numeric_limits<double>::infinity();
    while (true) {
      const std::size_t next = steepest();
      const double now = squared();
      // Each round lowers the norm, so no corral comes twice; where rounding stops that, nothing is left to
      // gain.
      if (value_[next] > now - kGap || now >= before || !enter(next)) {
        return std::max(0.0, std::min(now, before));
      }
      before = now;
    }
  }

 private:
  double product(std::size_t i, std::size_t j) const { return products_[i * points_ + j]; }

  /// Sets value_[i] = <point i, x> for the present x; the point where it is least.
  std::size_t steepest() {
    value_.assign(points_, 0.0);
    for (std::size_t i = 0; i < points_; ++i) {
      for (std::size_t c = 0; c < corral_.size(); ++c) {
        value_[i] += weights_[c] * product(i, corral_[c]);
      }
    }
    return static_cast<std::size_t>(std::min_element(value_.begin(), value_.end()) - value_.begin());
  }

  double squared() const {
    double sum = 0;
    for (std::size_t c = 0; c < corral_.size(); ++c) {
      sum += weights_[c] * value_[corral_[c]];
    }
    return sum;
  }

  /// Weights of the point of least norm in the affine hull of the corral.
  std::optional<std::vector<double>> affine_weights() const {
    const std::size_t n = corral_.size();
    Matrix a(n * n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        a[i * n + j] = 1 + product(corral_[i], corral_[j]);
      }
    }
    auto weights = solve_for_ones(std::move(a), n);
    if (weights) {
      double sum = 0;
      for (double weight : *weights) {
        sum += weight;
      }
      for (double& weight : *weights) {
        weight /= sum;
      }
    }
    return weights;
  }

  /// Adds a point and goes to the least norm over the corral; false if rounding leaves nothing to gain.
  bool enter(std::size_t point) {
    if (std::find(corral_.begin(), corral_.end(), point) != corral_.end()) {
      return false;
    }
    const auto corral = corral_;
    const auto weights = weights_;
    corral_.push_back(point);
    weights_.push_back(0.0);
    while (true) {
      const auto target = affine_weights();
      if (!target) {
        corral_ = corral;
        weights_ = weights;
        return false;
      }
      if (*std::min_element(target->begin(), target->end()) > kWeight) {
        weights_ = *target;
        return true;
      }
      step_towards(*target);
    }
  }

  /// Goes from the weights to the target as far as none is negative, and drops the points that are left with
  /// none.
  void step_towards(const std::vector<double>& target) {
    double step = 1;
    std::size_t leaving = 0;
    for (std::size_t c = 0; c < corral_.size(); ++c) {
      if (target[c] > kWeight) {
        continue;
      }
      const double limit = weights_[c] > target[c] ? weights_[c] / (weights_[c] - target[c]) : 0;
      if (limit < step) {
        step = limit;
        leaving = c;
      }
    }
    std::vector<std::size_t> corral;
    std::vector<double> weights;
    for (std::size_t c = 0; c < corral_.size(); ++c) {
      const double weight = (1 - step) * weights_[c] + step * target[c];
      if (c != leaving && weight > kWeight) {
        corral.push_back(corral_[c]);
        weights.push_back(weight);
      }
    }
    corral_ = std::move(corral);
    weights_ = std::move(weights);
  }

  const Matrix& products_;
  std::size_t points_;
  std::vector<std::size_t> corral_;
  std::vector<double> weights_, value_;
};

}  // namespace

Hull::Hull(std::span<const float> points_KD, std::int64_t points)
    : points_KD_(points_KD),
      points_(points),
      dimension_(static_cast<std::int64_t>(points_KD.size()) / points),
      gram_(static_cast<std::size_t>(points * points)) {
  for (std::int64_t i = 0; i < points_; ++i) {
    for (std::int64_t j = 0; j < points_; ++j) {
      gram_[static_cast<std::size_t>(i * points_ + j)] =
          dot_double(points_KD_.data() + i * dimension_, points_KD_.data() + j * dimension_, dimension_);
    }
  }
}

double Hull::squared_distance(const float* x_D) const {
  const auto points = static_cast<std::size_t>(points_);
  const double x_x = dot_double(x_D, x_D, dimension_);
  std::vector<double> x_p(points);
  for (std::int64_t i = 0; i < points_; ++i) {
    x_p[static_cast<std::size_t>(i)] = dot_double(x_D, points_KD_.data() + i * dimension_, dimension_);
  }
  Matrix products(points * points);
  for (std::size_t i = 0; i < points; ++i) {
    for (std::size_t j = 0; j < points; ++j) {
      products[i * points + j] = gram_[i * points + j] - x_p[i] - x_p[j] + x_x;
    }
  }
  return LeastNorm(products, points).squared_norm();
}

}  // namespace rocket
