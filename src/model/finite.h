// NaN and infinity in weights: one such value makes every score of a model NaN.
#pragma once

#include <ATen/ATen.h>

#include <string>

namespace rocket {

/// Throws data (65) "tensor 'name': holds a value that is not finite (inf at [2, 5])" where there is one. On
/// all threads, without a copy of the values.
void require_finite(const at::Tensor& values, const std::string& name);

}  // namespace rocket
