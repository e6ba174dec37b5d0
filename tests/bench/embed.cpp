// Rocket's half of tests/bench/embed: bench_embed ENCODER TEXTS. Each line on stdin names a file for the
// vectors (raw float32) of one pass over the texts (a JSON list); one line of JSON answers it.
#include <chrono>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/memory.h"
#include "base/one_ahead.h"
#include "model/device.h"
#include "model/text_embedder.h"

namespace rocket {
namespace {

/// As the job does it: blocks of 256, the next one tokenised while one is computed.
std::vector<float> embed_all(const TextEmbedder& embedder, const std::vector<std::string>& texts) {
  using Tokens = std::vector<EncoderTokens>;
  std::vector<float> vectors;
  std::size_t at = 0;
  const auto tokens = [&]() -> std::optional<Tokens> {
    Tokens block;
    for (; at < texts.size() && block.size() < 256; ++at)
      block.push_back(embedder.tokenizer().tokens(texts[at]));
    return block.empty() ? std::nullopt : std::optional(std::move(block));
  };
  one_ahead<Tokens>(tokens, [&](Tokens block) {
    const std::vector<float> found = embedder.embed(std::move(block));
    vectors.insert(vectors.end(), found.begin(), found.end());
  });
  return vectors;
}

nlohmann::json timed_pass(const TextEmbedder& embedder, const std::vector<std::string>& texts,
                          const std::string& file) {
  const auto start = std::chrono::steady_clock::now();
  const std::vector<float> vectors = embed_all(embedder, texts);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(vectors.data()),
             static_cast<std::streamsize>(vectors.size() * sizeof(float)));
  return {{"seconds", seconds}, {"peak_bytes", peak_bytes()}};
}

void serve(const std::string& folder, const std::string& file) {
  configure_compute();
  const TextEmbedder embedder(folder, {}, at::kCPU);
  std::ifstream in(file);
  const auto texts = nlohmann::json::parse(in).get<std::vector<std::string>>();
  for (std::string line; std::getline(std::cin, line);)
    std::cout << timed_pass(embedder, texts, nlohmann::json::parse(line)["out"]) << std::endl;
}

}  // namespace
}  // namespace rocket

int main(int argc, char** argv) {
  if (argc != 3) return 64;
  rocket::serve(argv[1], argv[2]);
}
