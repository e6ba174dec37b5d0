// AdamW over the mixture's flat buffer.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "moe/mixture.h"

namespace rocket {

struct AdamWOptions {
  double weight_decay = 0;  // on A and B; none on routers
  bool router_only = false;
};

class AdamW {
 public:
  /// Updates `mixture` from `gradient_P`, which is laid out like its flat buffer.
  AdamW(const Mixture& mixture, const at::Tensor& gradient_P, const AdamWOptions& options);

  /// The update number `step` (from 1).
  void update(double learning_rate, std::int64_t step);

  at::Tensor& first_moment() { return first_P_; }
  at::Tensor& second_moment() { return second_P_; }

 private:
  /// Parameters with one weight decay, as views.
  struct Group {
    double weight_decay = 0;
    std::vector<at::Tensor> parameters, gradients, first, second;
  };

  at::Tensor first_P_, second_P_;
  std::vector<Group> groups_;
};

}  // namespace rocket
