// Steps that a GPU computes in one launch each, where LibTorch has no operator or needs many. They go to the
// device's default stream; all pointers are to its memory. Values are float32 or bfloat16, rows lie one
// behind the other unless a stride is given.
#pragma once

#include <cstdint>

namespace rocket {

enum class GpuType { f32, bf16 };

/// Rows whose features are dropped. Row t is the DropoutRow with the upper counter `upper[t] | input` and the
/// lower one `lower[t]`. kept [rows, width]: the bits of Kernels::dropout_mask.
struct GpuDropout {
  const std::int64_t *upper = nullptr, *lower = nullptr;  // [rows]
  std::int64_t rows = 0, width = 0;
  std::uint64_t key = 0, input = 0;
  std::uint32_t threshold = 0;
  std::uint8_t* kept = nullptr;
};

/// y = weight * round(s / rms(s)), as LlamaRMSNorm, with s = x, or s = x + add where `add` is not null: that
/// sum is stored, too, and may lie where x does.
struct GpuRmsNorm {
  const void *x = nullptr, *add = nullptr, *weight = nullptr;  // [rows, width], [rows, width], [width]
  void *sum = nullptr, *y = nullptr;
  std::int64_t rows = 0, width = 0;
  float eps = 0;
  GpuType type = GpuType::f32;
};

/// x [rows, heads, width] turned in place: the pairs are (i, i + width / 2). Each product and sum is rounded,
/// as in transformers.
struct GpuRotation {
  void* x = nullptr;
  const void *cos = nullptr, *sin = nullptr;  // [rows, width / 2]
  std::int64_t rows = 0, heads = 0, width = 0;
  GpuType type = GpuType::f32;
};

/// y = round(silu(gate)) * up, [count]; y may lie where one of them does.
struct GpuSiluTimes {
  const void *gate = nullptr, *up = nullptr;
  void* y = nullptr;
  std::int64_t count = 0;
  GpuType type = GpuType::f32;
};

/// Of each row's products with the ranks of all adapters those of its own, each times its scale; the others
/// are zero: hidden [rows, ranks], in place.
struct GpuKeepRanks {
  void* hidden = nullptr;
  const int* number_of_row = nullptr;  // [rows]: the adapter, -1: none
  const int* number = nullptr;         // [ranks]: whose rank it is
  const float* scale = nullptr;        // [ranks]
  std::int64_t rows = 0, ranks = 0;
  GpuType type = GpuType::f32;
};

/// Rows of keys and of values to their places: from[i] of `k` and `v` goes to to[i] of `keys` and `values`;
/// where `from` is null, row i.
struct GpuStoreRows {
  const void *k = nullptr, *v = nullptr;
  void *keys = nullptr, *values = nullptr;
  const std::int64_t *from = nullptr, *to = nullptr;  // [rows]
  std::int64_t rows = 0, row_bytes = 0;               // a multiple of 4
};

/// Each returns why the device refuses, null where it does not.
class GpuSteps {
 public:
  virtual ~GpuSteps() = default;
  virtual const char* dropout_mask(const GpuDropout& step) const = 0;
  virtual const char* rms_norm(const GpuRmsNorm& step) const = 0;
  virtual const char* rotate(const GpuRotation& step) const = 0;
  virtual const char* silu_times(const GpuSiluTimes& step) const = 0;
  virtual const char* keep_ranks(const GpuKeepRanks& step) const = 0;
  virtual const char* store_rows(const GpuStoreRows& step) const = 0;
};

/// Null where rocket is built without the CUDA tool kit.
const GpuSteps* gpu_steps();

}  // namespace rocket
