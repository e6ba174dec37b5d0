// Which experts a row goes to, through LibTorch.
#pragma once

#include <ATen/ATen.h>

#include "kernels/kernels.h"

namespace rocket {

/// What a router decides for each row.
struct Routing {
  at::Tensor p_TN;      // softmax
  at::Tensor gates_TN;  // zero for experts that are not chosen
};

Routing route(const at::Tensor& logits_TN, const RoutingRule& rule);

}  // namespace rocket
