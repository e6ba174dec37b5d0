// The tiny models of tests/data/families: weights that several configurations share, and what transformers
// and PEFT compute with each.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "model/generate.h"
#include "unit/model/support.h"

namespace rocket::test {

inline const std::vector<std::string> kFamilies = {
    "llama",  "mistral",     "ministral", "qwen2",  "qwen3", "granite",  "smollm3",    "olmo2",   "phi3",
    "gemma2", "gemma3_text", "gpt_neox",  "gemma3", "llava", "mistral3", "qwen2_5_vl", "qwen3_vl"};

inline std::filesystem::path family_folder(const std::string& family) {
  return std::filesystem::path("tests/data/families") / family;
}

/// A folder with this config.json and the weights that `write_weights(folder)` writes.
template <class F>
Decoder load_written(const nlohmann::json& config, F&& write_weights, at::ScalarType compute = at::kFloat,
                     at::Device device = at::kCPU) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("rocket-family-" + std::to_string(getpid()));
  fs::remove_all(folder);
  fs::create_directories(folder);
  write_weights(folder);
  std::ofstream(folder / "config.json") << config.dump();
  Decoder decoder = Decoder::load(folder, compute, device);
  fs::remove_all(folder);
  return decoder;
}

/// The weights of a family under a config.json of a case.
inline Decoder load_family(const std::string& family, const nlohmann::json& config,
                           at::ScalarType compute = at::kFloat, at::Device device = at::kCPU) {
  namespace fs = std::filesystem;
  const auto copy = [&](const fs::path& folder) {
    for (const auto& entry : fs::directory_iterator(family_folder(family)))
      if (entry.path().filename().string().starts_with("model"))
        fs::copy_file(entry.path(), folder / entry.path().filename());
  };
  return load_written(config, copy, compute, device);
}

/// Of every row but a sequence's last, [T - S].
inline at::Tensor nll_of(const Decoder& decoder, const Sequences& sequences, LinearDelta* delta) {
  return Prediction(sequences).nll(decoder, decoder.hidden(pack(sequences, at::kCPU), delta));
}

/// The sequences of all texts in one batch; `expected` has one list a text.
inline double largest_nll_difference(const at::Tensor& nll, const nlohmann::json& expected) {
  std::vector<float> flat;
  for (const auto& one : expected)
    for (const auto& value : one) flat.push_back(value.get<float>());
  EXPECT_EQ(nll.numel(), static_cast<std::int64_t>(flat.size()));
  return largest_difference(nll, at::tensor(flat));
}

/// The prompts of the references: the first ids of each text.
inline Sequences prompts_of(const Sequences& sequences) {
  Sequences prompts = sequences;
  for (auto& ids : prompts) ids.resize(std::min<std::size_t>(ids.size(), 19));
  return prompts;
}

inline const GenerateOptions kFamilyOptions{.max_new_tokens = 14, .stop_ids = {7}};

}  // namespace rocket::test
