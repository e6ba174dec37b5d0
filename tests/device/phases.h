// What a GPU does most of the time, on shapes of public bases and without arithmetic: scoring, generation,
// training. Budgets and the cost model count it.
#pragma once

#include <c10/core/GradMode.h>

#include "base/work_mark.h"
#include "device/arithmetic.h"
#include "device/counts.h"
#include "gpu/shapes.h"
#include "gpu/support.h"
#include "moe/mixture_delta.h"
#include "scoring/bank_scorer.h"
#include "training/micro_batch.h"

namespace rocket::test {

/// An adapter of rank 16 on the modules whose last name is among `targets` (none: all), with values that
/// nobody reads.
inline LoraAdapter sizes_of_adapter(const Decoder& decoder, const std::string& name, at::ScalarType type,
                                    const std::vector<std::string>& targets = {}) {
  const at::TensorOptions options = at::TensorOptions(type).device(decoder.device());
  LoraAdapter adapter{.name = name};
  for (std::size_t i = 0; i < decoder.modules().size(); ++i) {
    const Module& m = decoder.modules()[i];
    const bool wanted = targets.empty() || std::ranges::any_of(targets, [&](const std::string& target) {
                          return m.name.ends_with("." + target);
                        });
    if (!wanted) continue;
    adapter.weights.push_back({static_cast<std::int64_t>(i), at::empty({16, m.inputs}, options),
                               at::empty({m.outputs, 16}, options), 2});
  }
  return adapter;
}

/// Adapters on q and v, as most are.
inline std::vector<std::shared_ptr<const LoraAdapter>> sizes_of_bank(const Decoder& decoder, int count) {
  std::vector<std::shared_ptr<const LoraAdapter>> bank;
  for (int i = 0; i < count; ++i) {
    bank.push_back(std::make_shared<const LoraAdapter>(
        sizes_of_adapter(decoder, std::to_string(i), decoder.compute(), {"q_proj", "v_proj"})));
  }
  return bank;
}

/// The first examples of the lab, each with its prompt.
inline std::vector<ShotTokens> lab_shots(std::size_t count) {
  std::vector<ShotTokens> all;
  for (const Example& e : lab_examples()) {
    if (all.size() == count) break;
    all.push_back({e, {e.ids.begin(), e.ids.begin() + e.target_begin}});
  }
  return all;
}

/// A prompt of so many tokens and a target behind it, each different from the first token on.
inline std::vector<ShotTokens> sizes_of_shots(TokenId count, std::int64_t prompt, std::int64_t target) {
  std::vector<ShotTokens> shots;
  for (TokenId i = 0; i < count; ++i) {
    std::vector<TokenId> ids(static_cast<std::size_t>(prompt + target), i + 1);
    shots.push_back({{ids, prompt}, {ids.begin(), ids.begin() + prompt}});
  }
  return shots;
}

/// Four experts on all linear layers, and the gradients of all they learn.
struct SizesOfMixture {
  explicit SizesOfMixture(const Decoder& decoder)
      : mixture(Mixture::assemble(experts(decoder), decoder.modules(), {.top_k = 2}, decoder.device())),
        gradient_P(at::zeros_like(mixture.flat())) {
    mixture.track_gradient(gradient_P);
  }
  ~SizesOfMixture() { mixture.track_gradient({}); }
  SizesOfMixture(const SizesOfMixture&) = delete;
  SizesOfMixture& operator=(const SizesOfMixture&) = delete;

  static std::vector<LoraAdapter> experts(const Decoder& decoder) {
    std::vector<LoraAdapter> all;
    for (const std::string name : {"a", "b", "c", "d"})
      all.push_back(sizes_of_adapter(decoder, name, at::kFloat));
    return all;
  }

  Mixture mixture;
  at::Tensor gradient_P;
};

/// The forward and the backward pass of a micro-batch of texts of 512 tokens whose last 256 are targets.
inline void train_micro_batch(const Decoder& decoder, const Mixture& mixture, std::int64_t tokens) {
  std::vector<Example> examples(static_cast<std::size_t>(tokens / 512),
                                Example{std::vector<TokenId>(513, 7), 257});
  std::vector<std::int64_t> chosen;
  for (std::size_t i = 0; i < examples.size(); ++i) chosen.push_back(static_cast<std::int64_t>(i));
  const MicroBatch batch = lay_out(examples, chosen, decoder.device());
  const c10::AutoGradMode with_grad(true);
  MixtureDelta delta(mixture, {.probability = 0.05, .records = batch.records}, {.balance = 0.01});
  at::Tensor objective;
  {
    const MarkedWork mark("forward");
    const at::Tensor hidden_QD =
        decoder.hidden_for_training(batch.rows, batch.predicting_Q, &delta, /*recompute_layers=*/false);
    objective = decoder.nll(hidden_QD, batch.targets_Q).sum() / 100;
  }
  objective.backward();
}

}  // namespace rocket::test
