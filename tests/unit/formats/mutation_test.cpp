// The fuzz targets of src/formats on mutated seeds: nothing but a value or an Error about the file may come
// out.
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "fuzz/formats_targets.h"
#include "fuzz/mutate.h"
#include "unit/base/scratch.h"

namespace rocket {
namespace {

constexpr int kRounds = 10'000;

void run_on(void (*target)(std::string_view), const std::vector<std::string>& seeds) {
  fuzz::Mutator mutator(seeds);
  for (int i = 0; i < kRounds; ++i) {
    const std::string bytes = mutator.next();
    ASSERT_NO_THROW(target(bytes)) << "round " << i;
  }
}

void run(void (*target)(std::string_view), const std::vector<std::string>& files) {
  std::vector<std::string> seeds;
  for (const std::string& file : files) seeds.push_back(read_file(file));
  run_on(target, seeds);
}

TEST(MutationTest, Safetensors) {
  run(fuzz::safetensors, {"tests/data/formats/types.safetensors", "tests/data/formats/written.safetensors"});
}

TEST(MutationTest, AdapterConfig) {
  run(fuzz::adapter_config,
      {"tests/lab/bank/home/adapter_config.json", "tests/lab/bank/price/adapter_config.json"});
}

TEST(MutationTest, DecoderConfig) {
  run(fuzz::decoder_config, {"tests/lab/base/config.json", "tests/data/stories260k/config.json"});
  std::vector<std::string> seeds;
  for (const auto& one : nlohmann::json::parse(read_file("tests/data/formats/decoder_configs.json")))
    seeds.push_back(one["config"].dump());
  run_on(fuzz::decoder_config, seeds);
}

TEST(MutationTest, EncoderConfig) {
  run(fuzz::encoder_config, {"tests/lab/encoder/config.json"});
}

}  // namespace
}  // namespace rocket
