// Steps that a GPU computes in one launch each, where LibTorch has no operator or needs many. They go to the
// stream of a GpuStream, else to the device's default one; all pointers are to its memory. Values are float32
// or bfloat16, rows lie one behind the other unless a stride is given.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace rocket {

enum class GpuType { f32, bf16 };

/// Rows whose features are dropped. Row t is the DropoutRow with the upper counter `upper[t] | input` and the
/// lower one `lower[t]`; which features are kept are the bits of Kernels::dropout_mask.
struct GpuDropoutRows {
  const std::int64_t *upper = nullptr, *lower = nullptr;  // [rows]
  std::int64_t rows = 0, width = 0;
  std::uint64_t key = 0, input = 0;
  std::uint32_t threshold = 0;
};

/// kept [rows, width]: 1 or 0.
struct GpuDropoutMask {
  GpuDropoutRows draw;
  std::uint8_t* kept = nullptr;
};

/// y = round(x * scale) where x is kept, else 0: [rows, width]; y may lie where x does.
struct GpuDrop {
  GpuDropoutRows draw;
  const void* x = nullptr;
  void* y = nullptr;
  float scale = 1;
  GpuType type = GpuType::f32;
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

/// The gradient of s in GpuRmsNorm with a frozen weight, plus `ds` where that is not null:
/// dx = ds + w dy / rms - s mean(w dy s) / rms^3, [rows, width].
struct GpuRmsNormBackward {
  const void *dy = nullptr, *ds = nullptr, *s = nullptr, *weight = nullptr;
  void* dx = nullptr;
  std::int64_t rows = 0, width = 0;
  float eps = 0;
  GpuType type = GpuType::f32;
};

/// y = x [rows, heads, width], the first `turned` values of each head turned: the pairs are (i, i + turned /
/// 2). Each product and sum is rounded, as
/// in transformers. y may lie where x does. `back`: turned the other way, which is the gradient's step.
struct GpuRotation {
  const void* x = nullptr;
  void* y = nullptr;
  const void *cos = nullptr, *sin = nullptr;  // [rows, turned / 2]
  std::int64_t rows = 0, heads = 0, width = 0, turned = 0;
  bool back = false;
  GpuType type = GpuType::f32;
};

/// y = round(silu(gate)) * up, [count]; y may lie where one of them does.
struct GpuSiluTimes {
  const void *gate = nullptr, *up = nullptr;
  void* y = nullptr;
  std::int64_t count = 0;
  GpuType type = GpuType::f32;
};

/// The gradients of gate and up in GpuSiluTimes, [count]; each may lie where gate, up or dy does.
struct GpuSiluTimesBackward {
  const void *dy = nullptr, *gate = nullptr, *up = nullptr;
  void *dgate = nullptr, *dup = nullptr;
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

/// The experts of modules that read one input, side by side: expert e has the ranks [first[e], first[e + 1]),
/// module m the experts [module[m], module[m + 1]). A launch carries it along.
struct GpuExperts {
  static constexpr int kMostExperts = 128, kMostModules = 8, kMostOfModule = 32;
  int modules = 0;
  int module[kMostModules + 1] = {};
  int first[kMostExperts + 1] = {};
  float scale[kMostExperts] = {};

  constexpr int experts() const { return module[modules]; }
  constexpr int ranks() const { return first[experts()]; }
};

/// values [count] as the sum of three bfloat16 numbers each, to float32's digits: parts [3, count].
struct GpuThreeParts {
  const float* values = nullptr;
  void* parts = nullptr;
  std::int64_t count = 0;
};

/// Each row's choice of experts, as Kernels::route. logits [rows, parts * experts]: the sum over the parts is
/// the logit.
struct GpuRoute {
  const float* logits = nullptr;
  int parts = 1;
  GpuExperts experts;
  RoutingRule rule;
  float *p = nullptr, *gates = nullptr;  // [rows, experts]
  float* log_sum = nullptr;              // [rows, modules]
  std::int64_t rows = 0;
};

/// gated = hidden * gate * scale, [rows, ranks]; without gates they are 1.
struct GpuGateRanks {
  const void* hidden = nullptr;
  const float* gates = nullptr;  // [rows, experts], or null
  void* gated = nullptr;
  GpuExperts experts;
  std::int64_t rows = 0;
  GpuType type = GpuType::f32;
};

/// The gradients of hidden, which may lie where dgated does, and of the logits, by p, gates and the losses of
/// the routers: choices [experts], balance and z as in LossGradients. Where the type is bfloat16 the
/// gradients of the logits also come as the sum of two such numbers, dlogits_parts [rows, 2 * experts].
/// Without gates there is only dhidden.
struct GpuGateBackward {
  const void *hidden = nullptr, *dgated = nullptr;  // [rows, ranks]
  const float *p = nullptr, *gates = nullptr, *log_sum = nullptr;
  const std::int64_t* choices = nullptr;  // or null
  float balance = 0, z = 0;
  void* dhidden = nullptr;        // [rows, ranks]
  float* dlogits = nullptr;       // [rows, experts]
  void* dlogits_parts = nullptr;  // or null
  GpuExperts experts;
  RoutingRule rule;
  std::int64_t rows = 0;
  GpuType type = GpuType::f32;
};

/// -log softmax(logits)[target] of each row, [rows], and the gradient of that with respect to the logits
/// [rows, width] where `gradient` is not null; it may lie where the logits do in float32.
struct GpuNll {
  const float* logits = nullptr;
  const std::int64_t* targets = nullptr;  // [rows]
  float* nll = nullptr;                   // [rows]
  void* gradient = nullptr;
  std::int64_t rows = 0, width = 0;
  GpuType type = GpuType::f32;  // of the gradient
};

/// Each returns why the device refuses, null where it does not.
class GpuSteps {
 public:
  virtual ~GpuSteps() = default;
  virtual const char* dropout_mask(const GpuDropoutMask& step) const = 0;
  virtual const char* drop(const GpuDrop& step) const = 0;
  virtual const char* rms_norm(const GpuRmsNorm& step) const = 0;
  virtual const char* rms_norm_backward(const GpuRmsNormBackward& step) const = 0;
  virtual const char* rotate(const GpuRotation& step) const = 0;
  virtual const char* silu_times(const GpuSiluTimes& step) const = 0;
  virtual const char* silu_times_backward(const GpuSiluTimesBackward& step) const = 0;
  virtual const char* keep_ranks(const GpuKeepRanks& step) const = 0;
  virtual const char* store_rows(const GpuStoreRows& step) const = 0;
  virtual const char* three_parts(const GpuThreeParts& step) const = 0;
  virtual const char* route(const GpuRoute& step) const = 0;
  virtual const char* gate_ranks(const GpuGateRanks& step) const = 0;
  virtual const char* gate_backward(const GpuGateBackward& step) const = 0;
  virtual const char* nll(const GpuNll& step) const = 0;
};

/// While it lives, the steps of this thread go to this stream, a cudaStream_t.
class GpuStream {
 public:
  explicit GpuStream(void* stream) : before_(now) { now = stream; }
  ~GpuStream() { now = before_; }
  GpuStream(const GpuStream&) = delete;
  GpuStream& operator=(const GpuStream&) = delete;

  inline static thread_local void* now = nullptr;

 private:
  void* before_;
};

/// Null where rocket is built without the CUDA tool kit.
const GpuSteps* gpu_steps();

}  // namespace rocket
