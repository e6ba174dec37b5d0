// Fuzz targets of src/formats: any bytes are either refused or read into values that hold what the headers
// promise.
#pragma once

#include <cmath>

#include "base/hash.h"
#include "base/saved_dataset.h"
#include "formats/adapter_config.h"
#include "formats/model_config.h"
#include "formats/sentence_modules.h"
#include "formats/tensors.h"
#include "fuzz/reader_target.h"

namespace rocket::fuzz {

inline void check_tensors(const TensorFile& file) {
  Hasher all;  // reads every byte, so that one outside the map is seen
  for (const StoredTensor& tensor : file.tensors()) {
    std::int64_t expected = size_of(tensor.dtype);
    for (const std::int64_t side : tensor.shape) expected *= side;
    require(expected == static_cast<std::int64_t>(tensor.bytes.size()));
    all.add(tensor.bytes);
    require(file.find(tensor.name) == &tensor);
  }
  require(!all.hex().empty());
}

inline void safetensors(std::string_view bytes) {
  read_as_file("x.safetensors", bytes, [](const std::filesystem::path& folder) {
    check_tensors(SafeTensors(folder / "x.safetensors"));
  });
}

inline void adapter_config(std::string_view bytes) {
  read_as_file("adapter_config.json", bytes, [](const std::filesystem::path& folder) {
    const AdapterConfig config = read_adapter_config(folder);
    for (const char* module :
         {"model.layers.0.self_attn.q_proj", "model.layers.11.mlp.down_proj", "lm_head", ""}) {
      require(config.rank_of(module) >= 1);
      require(std::isfinite(config.scale_of(module)));
      config.leaves_out(module);
    }
  });
}

inline void decoder_config(std::string_view bytes) {
  read_as_file("config.json", bytes, [](const std::filesystem::path& folder) {
    const DecoderConfig d = read_decoder_config(folder);
    require(d.hidden > 0 && d.layers > 0 && d.kv_heads > 0 && d.intermediate > 0 && d.vocabulary > 0);
    require(d.heads % d.kv_heads == 0 && d.head_dim % 2 == 0 && d.head_dim > 0 && d.max_positions > 0);
    require(d.norm_eps > 0 && d.rope.theta > 0 && std::isfinite(d.rope.theta) && d.rope.factor > 0);
    require(std::isfinite(d.rope.attention_factor) && d.rope.attention_factor > 0);
    require(d.rope.kind != RopeKind::dynamic || d.rope.original_positions <= d.max_positions);
    require(static_cast<std::int64_t>(d.windows.size()) == d.layers);
    if (d.rope.kind == RopeKind::longrope)
      require(static_cast<std::int64_t>(d.rope.long_factors.size() + d.rope.short_factors.size()) ==
              d.rope.width);
    require(d.rope.width >= 2 && d.rope.width <= d.head_dim && d.rope.width % 2 == 0);
    require(std::isfinite(d.attention_scale) && std::isfinite(d.logit_scale) && d.logit_scale > 0);
    for (std::int64_t layer = 0; layer < std::min<std::int64_t>(d.layers, 100); ++layer) d.rope_of(layer);
    for (const std::int64_t window : d.windows) require(window >= 0);
    for (const std::int64_t id : d.eos_ids) require(id >= 0 && id < d.vocabulary);
  });
}

inline void encoder_config(std::string_view bytes) {
  read_as_file("config.json", bytes, [](const std::filesystem::path& folder) {
    const EncoderConfig e = read_encoder_config(folder);
    require(e.hidden > 0 && e.heads > 0 && e.hidden % e.heads == 0 && e.layers > 0 && e.vocabulary > 0);
    require(e.max_tokens > 0 && e.max_tokens <= e.max_positions && e.norm_eps > 0);
    if (e.rope) require(std::isfinite(e.rope->theta) && e.rope->theta > 0 && e.rope->factor > 0);
    if (e.rope) require(e.hidden / e.heads % 2 == 0);
  });
}

/// The files of sentence-transformers beside a transformer, each with these bytes.
inline void sentence_modules(std::string_view bytes) {
  const auto as = [&](const std::string& name, auto&& read) {
    read_as_file(name, bytes, [&](const std::filesystem::path& folder) {
      in_context(name, [&] { read(folder); });  // it may name a folder that is not there
      std::filesystem::remove(folder / name);
    });
  };
  as("modules.json", [](const std::filesystem::path& folder) {
    for (const DenseConfig& dense : read_sentence_modules(folder).dense)
      require(dense.inputs > 0 && dense.outputs > 0);
  });
  as("config_sentence_transformers.json",
     [](const std::filesystem::path& folder) { require(read_prompt(folder, "none").empty()); });
  as("config_sentence_transformers.json",
     [](const std::filesystem::path& folder) { read_prompt(folder, "auto"); });
}

/// state.json and dataset_dict.json of datasets' folders name files in the folder, or say what is wrong.
inline void saved_dataset(std::string_view bytes) {
  for (const char* name : {"state.json", "dataset_dict.json"})
    read_as_file(name, bytes, [&](const std::filesystem::path& folder) {
      require(is_saved_dataset(folder));
      const SavedDataset found = open_saved_dataset(folder);
      require(found.files.empty() != found.problem.empty());
      for (const auto& file : found.files) require(file.parent_path() == folder);
      std::filesystem::remove(folder / name);
    });
}

}  // namespace rocket::fuzz
