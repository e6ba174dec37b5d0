// The lab's base and four of its experts, with the routers of tests/parity/make_mixture_reference.py.
#pragma once

#include <ATen/core/grad_mode.h>

#include <string>
#include <vector>

#include "training/trainer.h"
#include "unit/adapters/support.h"
#include "unit/model/support.h"

namespace rocket::test {

inline const nlohmann::json& reference() {
  static const nlohmann::json value = read_reference("tests/data/moe/model.json");
  return value;
}

inline const Decoder& lab_base() {
  static const Decoder decoder = Decoder::load("tests/lab/base", at::kFloat, at::kCPU);
  return decoder;
}

inline const Decoder& lab_base_in_bfloat16() {
  static const Decoder decoder = Decoder::load("tests/lab/base", at::kBFloat16, at::kCPU);
  return decoder;
}

inline std::vector<Example> lab_examples() {
  std::vector<Example> examples;
  for (const auto& e : reference()["examples"]) examples.push_back({e["ids"], e["begin"]});
  return examples;
}

inline void fill_router(const at::Tensor& router_NI, std::int64_t place) {
  at::Tensor flat = router_NI.view(-1);
  for (std::int64_t i = 0; i < flat.numel(); ++i) {
    const auto hash =
        static_cast<std::uint32_t>(static_cast<std::uint64_t>(i + place * 1000003) * 2654435761u);
    flat[i] = (static_cast<float>(hash >> 16) / 32768 - 1) / 4;
  }
}

inline Mixture lab_mixture(std::int64_t top_k,
                           const std::vector<std::string>& names = reference()["experts"]) {
  const at::NoGradGuard no_grad;
  std::vector<LoraAdapter> experts;
  for (const std::string& name : names) {
    experts.push_back(load_adapter("tests/lab/bank/" + name, lab_base().modules(), at::kFloat, at::kCPU));
  }
  Mixture mixture = Mixture::assemble(experts, lab_base().modules(), {.top_k = top_k}, at::kCPU);
  for (std::size_t w = 0; w < mixture.modules().size(); ++w) {
    fill_router(mixture.modules()[w].router_NI, static_cast<std::int64_t>(w));
  }
  return mixture;
}

/// Everything that the hooks of one run have seen.
struct Seen {
  std::vector<StepLog> log;
  std::vector<Snapshot> snapshots;

  TrainingHooks hooks() {
    return {[this](const StepLog& step) { log.push_back(step); },
            [this](const Snapshot& snapshot) { snapshots.push_back(snapshot); }};
  }
};

inline double relative(double a, double b) {
  return std::abs(a - b) / std::abs(b);
}

}  // namespace rocket::test
