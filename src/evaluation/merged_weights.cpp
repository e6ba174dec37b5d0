#include "evaluation/merged_weights.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "formats/tensors.h"
#include "model/device.h"

namespace rocket {
namespace {

using Names = std::vector<std::string>;
using Changes = std::unordered_map<std::string, const LoraWeight*>;  // by the name of the tensor

bool holds_weights(const fs::path& file) {
  static const std::set<std::string> kinds{".safetensors", ".bin",     ".pt",   ".pth",
                                           ".h5",          ".msgpack", ".gguf", ".onnx"};
  return kinds.contains(file.extension()) || file.filename().string().ends_with(".index.json");
}

std::int64_t bytes_of(const StoredTensor& tensor) {
  return static_cast<std::int64_t>(tensor.bytes.size());
}

/// In the order of the names, so that the same base gives the same shards.
std::vector<Names> shards_of(const ModelWeights& weights, std::int64_t shard_bytes) {
  std::vector<Names> shards(1);
  std::int64_t bytes = 0;
  for (const auto& name : weights.names()) {
    const std::int64_t more = bytes_of(*weights.find(name));
    if (!shards.back().empty() && bytes + more > shard_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(name);
    bytes += more;
  }
  return shards;
}

Changes changes_of(const LoraAdapter& adapter, std::span<const Module> modules, const ModelWeights& weights) {
  Changes changes;
  for (const auto& weight : adapter.weights) {
    const std::string name = modules[static_cast<std::size_t>(weight.module)].name + ".weight";
    if (!weights.find(name)) fail_internal("the base has no tensor '{}' to merge into", name);
    changes.emplace(name, &weight);
  }
  return changes;
}

at::Tensor merged(const StoredTensor& base, const LoraWeight& weight) {
  const at::Tensor b = weight.b_OR.detach().to(at::kCPU, at::kFloat),
                   a = weight.a_RI.detach().to(at::kCPU, at::kFloat);
  const at::Tensor sum = as_tensor(base).to(at::kFloat) + at::matmul(b, a) * weight.scale;
  return sum.to(scalar_type(base.dtype)).contiguous();
}

void write_shard(const fs::path& path, const Names& names, const ModelWeights& weights,
                 const Changes& changes) {
  std::vector<at::Tensor> alive;
  std::vector<StoredTensor> stored;
  for (const auto& name : names) {
    const StoredTensor& base = *weights.find(name);
    const auto change = changes.find(name);
    if (change == changes.end()) {
      stored.push_back(base);
      stored.back().name = name;
    } else {
      alive.push_back(merged(base, *change->second));
      stored.push_back(as_stored(name, alive.back()));
    }
  }
  write_safetensors(path, stored);
}

void write_index(const fs::path& path, const std::map<std::string, std::string>& file_of,
                 const ModelWeights& weights) {
  std::int64_t bytes = 0;
  for (const auto& [name, file] : file_of) bytes += bytes_of(*weights.find(name));
  const nlohmann::json index{{"metadata", {{"total_size", bytes}}}, {"weight_map", file_of}};
  write_file(path, index.dump(2) + "\n");
}

}  // namespace

std::vector<LoraAdapter> experts_of(const Mixture& mixture) {
  std::vector<LoraAdapter> experts;
  for (std::size_t i = 0; i < mixture.expert_names().size(); ++i) {
    experts.push_back(mixture.expert(static_cast<std::int64_t>(i)));
  }
  return experts;
}

void copy_model_files(const fs::path& base, const fs::path& to) {
  for (const auto& entry : fs::directory_iterator(base)) {
    const fs::path& file = entry.path();
    if (!entry.is_regular_file() || holds_weights(file) || file.filename().string().starts_with('.'))
      continue;
    write_file(to / file.filename(), read_file(file));
  }
}

void write_merged_weights(const fs::path& to, const fs::path& base, const LoraAdapter& adapter,
                          std::span<const Module> modules, std::int64_t shard_bytes) {
  const ModelWeights weights(base);
  const Changes changes = changes_of(adapter, modules, weights);
  const auto shards = shards_of(weights, shard_bytes);
  if (shards.size() == 1) return write_shard(to / "model.safetensors", shards[0], weights, changes);
  std::map<std::string, std::string> file_of;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string file = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_shard(to / file, shards[i], weights, changes);
    for (const auto& name : shards[i]) file_of[name] = file;
  }
  write_index(to / "model.safetensors.index.json", file_of, weights);
}

}  // namespace rocket
