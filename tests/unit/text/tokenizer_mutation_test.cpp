// The fuzz targets of the tokenizers on mutated seeds: nothing but a tokenizer or an Error about the file may
// come out.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "fuzz/mutate.h"
#include "fuzz/text_targets.h"

namespace rocket {
namespace {

TEST(TokenizerMutationTest, TokenizerJson) {
  std::vector<std::string> seeds;
  for (const auto& entry : std::filesystem::directory_iterator("tests/fuzz/corpus/tokenizer_json"))
    seeds.push_back(read_file(entry.path()));
  std::ranges::sort(seeds);
  fuzz::Mutator mutator(seeds);
  for (int i = 0; i < 2'000; ++i) {
    const std::string bytes = mutator.next();
    ASSERT_NO_THROW(fuzz::tokenizer_json(bytes)) << "round " << i;
  }
}

TEST(TokenizerMutationTest, SentencePieceModel) {
  std::vector<std::string> seeds;
  for (const auto& entry : std::filesystem::directory_iterator("tests/fuzz/corpus/sentencepiece_model"))
    seeds.push_back(read_file(entry.path()));
  std::ranges::sort(seeds);
  fuzz::Mutator mutator(seeds);
  for (int i = 0; i < 2'000; ++i) {
    const std::string bytes = mutator.next();
    ASSERT_NO_THROW(fuzz::sentencepiece_model(bytes)) << "round " << i;
  }
}

}  // namespace
}  // namespace rocket
