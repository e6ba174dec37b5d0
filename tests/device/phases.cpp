// Writes what scoring, generation and training ask of a GPU on the shapes of public bases, as JSON: of each
// base and phase its tokens, the arithmetic that the method itself needs, and the launches with their bytes
// and flops. tests/bench/gpu_model reads it.
#include "device/phases.h"

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "device/memory.h"
#include "model/encoder.h"

namespace rocket {
namespace {

using Json = nlohmann::ordered_json;

Json launches_of(const emulated::Counts& counts) {
  Json all = Json::array();
  for (const auto& [launch, count] : counts.work) {
    const auto& [name, bytes, flops] = launch;
    all.push_back({{"operator", name}, {"bytes", bytes}, {"flops", flops}, {"launches", count}});
  }
  return all;
}

/// Of what `compute` does: `tokens` are read or made, and `flops` is what the base needs for that.
template <class Compute>
Json phase(const std::string& base, const std::string& name, double tokens, double flops,
           const Compute& compute) {
  emulated::forget_counts();
  compute();
  const emulated::Counts counts = emulated::counted_in_all();
  return {{"base", base},
          {"phase", name},
          {"tokens", tokens},
          {"flops", flops},
          {"launches", counts.launches},
          {"waits", counts.waits},
          {"peak_bytes", counts.peak_bytes},
          {"work", launches_of(counts)}};
}

/// Ends texts as answers with a rationale end: none before 40 tokens, then one of 100 at each token.
EndsWith drawn_ends() {
  auto random = std::make_shared<std::mt19937>(0);
  return [random](std::span<const TokenId> generated) {
    return generated.size() >= 40 && (*random)() % 100 == 0;
  };
}

/// Answers to `texts` questions that are begun together, and the share of their slots that the steps use.
Json answers(const std::string& base, const Decoder& decoder, int texts) {
  const auto bank = test::sizes_of_bank(decoder, 1);
  const auto shots = test::sizes_of_shots(static_cast<TokenId>(texts), 128, 1);
  double tokens = 0, longest = 0;
  Json row = phase(base, "answers", 0, 0, [&] {
    const auto scores = score_block(decoder, bank, shots,
                                    {.max_new_tokens = 256, .batch_tokens = 32768, .ends = drawn_ends()});
    for (const ShotScore& score : scores[0]) {
      const auto length = static_cast<double>(score.generated.size());
      tokens += length;
      longest = std::max(longest, length);
    }
  });
  row["tokens"] = tokens;
  row["texts"] = texts;
  row["slots_used"] = tokens / (texts * longest);
  return row;
}

Json phases_of(const test::NamedShape& shape) {
  const at::Device device = test::gpu();
  const Decoder decoder = Decoder::fresh(shape.config, at::kBFloat16, device);
  const std::int64_t weights = emulated::allocated_bytes(0);
  const double per_token = test::flops_of_token(decoder), head = test::flops_of_head(decoder);
  Json all = Json::array();
  const auto bank = test::sizes_of_bank(decoder, 2);
  const auto shots = test::sizes_of_shots(32, 200, 56);
  const double read = 2 * 32 * 256.0;
  all.push_back(phase(shape.name, "scoring", read, read * per_token + 2 * 32 * 56 * head, [&] {
    score_block(decoder, bank, shots, {.max_new_tokens = 0, .batch_tokens = 16384});
  }));
  const auto texts = test::sizes_of_shots(16, 128, 1);
  const auto four = test::sizes_of_bank(decoder, 4);
  const auto generate = [&](std::int64_t steps) {
    return phase(shape.name, "generation", 64.0 * static_cast<double>(steps), 0, [&] {
      score_block(decoder, four, texts, {.max_new_tokens = steps, .batch_tokens = 32768});
    });
  };
  // Steps alone: what more of them cost.
  all.push_back(generate(8));
  all.push_back(generate(72));
  for (const int together : {50, 100, 200}) all.push_back(answers(shape.name, decoder, together));
  const test::SizesOfMixture sizes(decoder);
  // Backward there is one product for x; the frozen weights have no gradient.
  const double trained = 8192 * 2 * per_token + 4096 * 2 * head;
  all.push_back(phase(shape.name, "training", 8192, trained,
                      [&] { test::train_micro_batch(decoder, sizes.mixture, 8192); }));
  for (Json& one : all) one["weight_bytes"] = weights;
  return all;
}

/// Records of 44 tokens, which is what whole_jobs embeds, in forwards as a block of 256 records makes them.
Json embedding(const std::filesystem::path& encoder) {
  const Encoder model = Encoder::load(encoder, Pooling::mean, at::kBFloat16, test::gpu());
  const std::vector<std::vector<TokenId>> texts(256, std::vector<TokenId>(44, 7));
  Json row = phase("encoder", "embedding", 256 * 44.0, 0, [&] { model.embed(texts, 16384); });
  row["weight_bytes"] = 0;
  return row;
}

}  // namespace
}  // namespace rocket

/// device_phases [ENCODER]
int main(int argc, char** argv) {
  const rocket::emulated::WithoutArithmetic sizes_only;
  rocket::Json all = rocket::Json::array();
  if (argc > 1) all.push_back(rocket::embedding(argv[1]));
  for (const auto& shape : rocket::test::public_shapes()) {
    for (auto& phase : rocket::phases_of(shape)) all.push_back(std::move(phase));
  }
  std::cout << all.dump(1) << "\n";
}
