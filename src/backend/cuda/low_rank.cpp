#include "backend/torch/low_rank.h"

#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/steps.h"
#include "backend/upload.h"

namespace rocket {
namespace {

/// Ranks of all adapters beside each other, up to which each row is multiplied by all of them and keeps those
/// of its own: the products are small beside the base's, and their number does not depend on the texts.
constexpr std::int64_t kMostRanks = 1024;

/// The weights of several adapters beside each other, module behind module.
struct JoinedAdapters : LowRankKept {
  std::set<std::int64_t> numbers;  // of the adapters
  at::Tensor a_RI;
  at::Tensor number_R, scale_R;     // int32 and float32: whose rank it is, and its scale
  std::vector<at::Tensor> b_OR;     // by module; undefined: no adapter has it
  std::vector<std::int64_t> first;  // column of each module, and the end
};

std::vector<LowRankSegment> of_each_adapter(std::span<const LowRankSegment> segments) {
  std::vector<LowRankSegment> each(segments.begin(), segments.end());
  std::ranges::sort(each, {}, &LowRankSegment::number);
  const auto same = std::ranges::unique(each, {}, &LowRankSegment::number);
  each.erase(same.begin(), same.end());
  return each;
}

std::unique_ptr<JoinedAdapters> join(const std::vector<LowRankSegment>& adapters, std::size_t modules,
                                     at::Device device) {
  auto joined = std::make_unique<JoinedAdapters>();
  std::vector<at::Tensor> a;
  std::vector<int> number;
  std::vector<float> scale;
  for (std::size_t m = 0; m < modules; ++m) {
    joined->first.push_back(static_cast<std::int64_t>(number.size()));
    std::vector<at::Tensor> b;
    for (const LowRankSegment& s : adapters) {
      joined->numbers.insert(s.number);
      const LowRank& w = static_cast<const LowRankWeights&>(*s.adapter).of_modules[m];
      if (!w.a_RI.defined()) continue;
      a.push_back(w.a_RI);
      b.push_back(w.b_OR);
      number.insert(number.end(), static_cast<std::size_t>(w.lora_r()), static_cast<int>(s.number));
      scale.insert(scale.end(), static_cast<std::size_t>(w.lora_r()), static_cast<float>(w.scale));
    }
    joined->b_OR.push_back(b.empty() ? at::Tensor() : at::cat(b, 1));
  }
  joined->first.push_back(static_cast<std::int64_t>(number.size()));
  joined->a_RI = at::cat(a);
  joined->number_R = upload(at::tensor(number, at::kInt), device);
  joined->scale_R = upload(at::tensor(scale, at::kFloat), device);
  return joined;
}

std::int64_t ranks_of(const std::vector<LowRankSegment>& adapters) {
  std::int64_t ranks = 0;
  for (const LowRankSegment& s : adapters) {
    for (const LowRank& w : static_cast<const LowRankWeights&>(*s.adapter).of_modules)
      ranks += w.a_RI.defined() ? w.lora_r() : 0;
  }
  return ranks;
}

}  // namespace

void CudaBackend::add_low_rank(const at::Tensor& x_TI, std::span<const LowRankSegment> segments,
                               const ServedRows& served, std::span<at::Tensor> outputs_TO,
                               std::unique_ptr<LowRankKept>& kept) const {
  const auto* joined = static_cast<const JoinedAdapters*>(kept.get());
  const bool has_all = joined != nullptr && std::ranges::all_of(segments, [&](const LowRankSegment& s) {
                         return joined->numbers.contains(s.number);
                       });
  if (!has_all) {  // else the same launches, whatever of it the rows use
    kept.reset();
    if (segments.empty()) return;
    const std::vector<LowRankSegment> adapters = of_each_adapter(segments);
    if (steps_ == nullptr || !steps_take({x_TI}) || ranks_of(adapters) > kMostRanks)
      return TorchBackend::add_low_rank(x_TI, segments, served, outputs_TO, kept);
    auto fresh = join(adapters, outputs_TO.size(), x_TI.device());
    joined = fresh.get();
    kept = std::move(fresh);
  }
  const c10::DeviceGuard on_device(x_TI.device());
  const at::Tensor hidden_TR = at::mm(x_TI, joined->a_RI.t());
  require_launch("adapters", steps_->keep_ranks({.hidden = hidden_TR.mutable_data_ptr(),
                                                 .number_of_row = served.number_T().const_data_ptr<int>(),
                                                 .number = joined->number_R.const_data_ptr<int>(),
                                                 .scale = joined->scale_R.const_data_ptr<float>(),
                                                 .rows = hidden_TR.size(0),
                                                 .ranks = hidden_TR.size(1),
                                                 .type = gpu_type(hidden_TR)}));
  for (std::size_t m = 0; m < outputs_TO.size(); ++m) {
    if (!joined->b_OR[m].defined()) continue;
    const std::int64_t first = joined->first[m], ranks = joined->first[m + 1] - first;
    outputs_TO[m].addmm_(hidden_TR.narrow(1, first, ranks), joined->b_OR[m].t());
  }
}

}  // namespace rocket
