// The fuzz targets of src/formats on mutated seeds: nothing but a value or an Error about the file may come
// out.
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "formats/zip_archive.h"
#include "fuzz/formats_targets.h"
#include "fuzz/mutate.h"
#include "fuzz/torch_targets.h"
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

TEST(MutationTest, TorchFile) {
  run(fuzz::torch_file,
      {"tests/data/formats/torch/all_types.bin", "tests/data/formats/torch/state_dict.bin"});
}

TEST(MutationTest, Pickle) {
  std::vector<std::string> seeds;
  for (const char* name : {"all_types", "state_dict", "protocol_4"}) {
    const std::string path = fmt::format("tests/data/formats/torch/{}.bin", name);
    const std::string file = read_file(path);
    for (const ZipEntry& entry : read_zip(std::as_bytes(std::span(file)), path))
      if (entry.name.ends_with("/data.pkl"))
        seeds.emplace_back(reinterpret_cast<const char*>(entry.bytes.data()), entry.bytes.size());
  }
  ASSERT_EQ(seeds.size(), 3u);
  run_on(fuzz::pickle, seeds);
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
  run(fuzz::encoder_config,
      {"tests/data/encoders/gte_as_published/config.json", "tests/data/encoders/modernbert_mean/config.json",
       "tests/data/encoders/nomic_as_published/config.json"});
}

TEST(MutationTest, ModelsThatReadImages) {
  std::vector<std::string> seeds;
  for (const char* family : {"gemma3", "mistral3", "qwen2_5_vl", "qwen3_vl"}) {
    const auto file =
        nlohmann::json::parse(read_file(fmt::format("tests/data/families/{}/cases.json", family)));
    for (const auto& one : file["cases"]) seeds.push_back(one["config"].dump());
  }
  run_on(fuzz::decoder_config, seeds);
}

TEST(MutationTest, SentenceModules) {
  run(fuzz::sentence_modules,
      {"tests/data/encoders/bert_dense/modules.json", "tests/data/encoders/qwen3_lasttoken/modules.json",
       "tests/data/encoders/gemma3_dense/config_sentence_transformers.json"});
}

TEST(MutationTest, SavedDataset) {
  run(fuzz::saved_dataset,
      {"tests/data/formats/arrow/plain/state.json", "tests/data/formats/arrow/chosen/state.json",
       "tests/data/formats/arrow/splits/dataset_dict.json"});
}

}  // namespace
}  // namespace rocket
