// Launches, waits and memory that scoring and training may take, in bfloat16 on the way of CUDA. A GPU starts
// some 200,000 launches a second, and a layer of a 7B model computes a step in a few microseconds: they must
// be few, whatever the number of texts and adapters.
#include <gmock/gmock.h>

#include "device/memory.h"
#include "device/phases.h"
#include "model/encoder.h"
#include "training/training_memory.h"

namespace rocket {
namespace {

using Bank = std::vector<std::shared_ptr<const LoraAdapter>>;

/// Adapters on q and v.
Bank bank(const Decoder& decoder, std::size_t count) {
  Bank adapters;
  for (const std::string name : {"home", "sells", "color", "tool"}) {
    if (adapters.size() == count) break;
    LoraAdapter adapter =
        load_adapter("tests/lab/bank/" + name, decoder.modules(), decoder.compute(), decoder.device());
    std::erase_if(adapter.weights, [&](const LoraWeight& w) {
      const std::string& module = decoder.modules()[static_cast<std::size_t>(w.module)].name;
      return !module.ends_with("q_proj") && !module.ends_with("v_proj");
    });
    adapters.push_back(std::make_shared<const LoraAdapter>(std::move(adapter)));
  }
  return adapters;
}

/// A forward. Steps that a graph repeats have no layers.
struct Phase {
  double launches_a_layer = 0, waits = 0, graphs = 0;
};

Phase phase_of(const std::string& name, std::int64_t layers) {
  Phase phase;
  double told = 0, all = 0;  // forwards of which the host starts each launch, and all of them
  for (const auto& [place, counts] : emulated::counted()) {
    if (place.phase != name) continue;
    phase.waits += static_cast<double>(counts.waits);
    if (place.layer < 0) {
      all += static_cast<double>(counts.passes);
      if (counts.launched.contains("graph")) phase.graphs += static_cast<double>(counts.launched.at("graph"));
    } else {
      phase.launches_a_layer += static_cast<double>(counts.launches);
      if (place.layer == 0) told += static_cast<double>(counts.passes);
    }
  }
  phase.launches_a_layer /= told * static_cast<double>(layers);
  phase.graphs /= all;
  phase.waits /= all;
  return phase;
}

class Scoring : public testing::TestWithParam<std::pair<std::size_t, std::size_t>> {};  // adapters, shots

TEST_P(Scoring, KeepsItsBudget) {
  const auto& [adapters, texts] = GetParam();
  const Decoder& decoder = test::lab_base_on_gpu(at::kBFloat16);
  const Bank some = bank(decoder, adapters);
  const auto few = test::lab_shots(texts);
  const GenerateOptions options{.max_new_tokens = 24, .stop_ids = {}, .batch_tokens = 16384};
  score_block(decoder, some, few, options);  // what is made once is made
  emulated::forget_counts();
  score_block(decoder, some, few, options);
  for (const std::string name : {"read", "step"}) {
    const Phase phase = phase_of(name, decoder.config().layers);
    std::cout << name << ": " << phase.launches_a_layer << " launches a layer, " << phase.waits
              << " waits a forward, a graph in " << phase.graphs << " of them\n";
    // Reading joins the adapters' weights, which takes three launches once for these texts.
    EXPECT_LE(phase.launches_a_layer, name == "read" ? 20 + 3 : 20) << name;
    EXPECT_LE(phase.waits, 1) << name;
    EXPECT_GE(phase.graphs, name == "step" ? 0.9 : 0) << "the first step of each size is told";
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, Scoring,
                         testing::Values(std::pair{1, 2}, std::pair{1, 12}, std::pair{4, 2},
                                         std::pair{4, 12}));

/// Launches and waits of embedding so many texts in one forward.
std::pair<std::int64_t, std::int64_t> embedding_of(const Encoder& encoder, std::size_t texts) {
  const std::vector<std::vector<TokenId>> same(texts, std::vector<TokenId>(12, 7));
  encoder.embed(same, 16384);
  emulated::forget_counts();
  encoder.embed(same, 16384);
  const emulated::Counts counts = emulated::counted_in_all();
  return {counts.launches, counts.waits};
}

TEST(Embedding, LaunchesDoNotGrowWithTexts) {
  const Encoder encoder = Encoder::load("tests/lab/encoder", Pooling::mean, at::kBFloat16, test::gpu());
  const auto few = embedding_of(encoder, 4), many = embedding_of(encoder, 200);
  std::cout << "embedding: " << many.first << " launches, " << many.second << " waits a forward\n";
  EXPECT_EQ(few, many);
  EXPECT_EQ(many.second, 1);
}

constexpr double kGiB = 1 << 30;

TEST(Training, KeepsItsBudget) {
  const emulated::WithoutArithmetic sizes_only;
  for (const test::NamedShape& shape : test::public_shapes()) {
    const Decoder decoder = Decoder::fresh(shape.config, at::kBFloat16, test::gpu());
    const std::int64_t parameters = emulated::allocated_bytes(0) / 2;  // of two bytes each
    const test::SizesOfMixture sizes(decoder);
    const auto weights = static_cast<double>(emulated::allocated_bytes(0));
    for (const std::int64_t tokens : {4096, 8192}) {
      emulated::forget_counts();
      test::train_micro_batch(decoder, sizes.mixture, tokens);
      const emulated::Counts all = emulated::counted_in_all();
      const TrainingMemory predicted =
          training_memory(shape.config, {.base_parameters = parameters,
                                         .mixture_parameters = sizes.mixture.flat().numel(),
                                         .tokens = tokens});
      // The optimizer's moments are not here.
      const double expected = static_cast<double>(predicted.all() - predicted.mixture / 2);
      std::cout << shape.name << ", " << tokens << " tokens: " << all.launches << " launches, " << all.waits
                << " waits, " << static_cast<double>(all.peak_bytes) / kGiB
                << " GiB, of which weights and mixture " << weights / kGiB << ", predicted "
                << expected / kGiB << "\n";
      EXPECT_NEAR(static_cast<double>(all.peak_bytes) / expected, 1, 0.1) << shape.name;
      EXPECT_LE(all.launches, 6000) << shape.name;
      EXPECT_LE(all.waits, 1) << shape.name;
      EXPECT_LE(static_cast<double>(all.peak_bytes), 78 * kGiB) << shape.name;
    }
  }
}

}  // namespace
}  // namespace rocket
