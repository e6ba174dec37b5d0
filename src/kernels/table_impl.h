// The table of one instruction set.
#pragma once

#include "kernels/activation_impl.h"
#include "kernels/attention_impl.h"
#include "kernels/backward_impl.h"
#include "kernels/bfloat16_impl.h"
#include "kernels/encoder_impl.h"
#include "kernels/gram_impl.h"
#include "kernels/mixture_impl.h"
#include "kernels/product_impl.h"
#include "kernels/rows_impl.h"
#include "kernels/squash_impl.h"

namespace rocket {
namespace {

constexpr Kernels table_named(const char* name) {
  return {name,
          &multiply,
          &multiply_pairs,
          &multiply_bfloat16,
          &pack,
          &pack_rows,
          &pack_pairs,
          &pack_row_pairs,
          &to_bfloat16,
          &to_float,
          &attend,
          &attend_backward,
          &rms_norm,
          &rms_norm_backward,
          &layer_norm,
          &layer_norm_backward,
          {&silu_times, &silu_times_backward},
          {&activate<gelu_of>, &activate_backward<gelu_share>},
          {&activate<gelu_tanh_of>, &activate_backward<gelu_tanh_share>},
          &rotate,
          &squash,
          &squash_backward,
          &add_logits,
          &find_best,
          &probabilities,
          &dropout_mask,
          &drop,
          &route,
          &route_backward,
          &gate,
          &gate_backward,
          &gram<float>,
          &gram<double>,
          &sum_norm,
          &of_sum<gelu_of>,
          &of_sum<gelu_tanh_of>};
}

}  // namespace
}  // namespace rocket
