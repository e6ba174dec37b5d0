// The table of one instruction set.
#pragma once

#include "kernels/attention_impl.h"
#include "kernels/encoder_impl.h"
#include "kernels/gram_impl.h"
#include "kernels/product_impl.h"
#include "kernels/rows_impl.h"

namespace rocket {
namespace {

constexpr Kernels table_named(const char* name) {
  return {name,
          &multiply,
          &pack,
          &attend,
          &rms_norm,
          &silu_times,
          &rotate,
          &add_logits,
          &find_best,
          &gram<float>,
          &gram<double>,
          &sum_norm,
          &of_sum<gelu_of>,
          &of_sum<gelu_tanh_of>};
}

}  // namespace
}  // namespace rocket
