// What the tests of the models share: reference files, random sequences, and a delta that can be
// differentiated.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "model/decoder.h"
#include "model/device.h"
#include "model/linear_delta.h"

namespace rocket::test {

/// Must stand in every test program before its first matrix product. One thread: what does not depend on
/// threads says so.
inline const bool kComputeConfigured = [] {
  configure_compute();
  at::set_num_threads(1);
  return true;
}();

inline nlohmann::json read_reference(const std::filesystem::path& path) {
  return nlohmann::json::parse(std::ifstream(path));
}

using Sequences = std::vector<std::vector<TokenId>>;

inline Sequences random_sequences(std::size_t count, TokenId vocabulary, std::size_t longest, unsigned seed) {
  std::mt19937 engine(seed);
  Sequences sequences(count);
  for (auto& sequence : sequences) {
    sequence.resize(1 + engine() % longest);
    for (TokenId& id : sequence) id = static_cast<TokenId>(engine() % static_cast<unsigned>(vocabulary));
  }
  return sequences;
}

inline at::Tensor rows_of(const at::Tensor& x_T, const PackedRows& rows, std::size_t s) {
  return x_T.narrow(0, rows.starts[s], rows.starts[s + 1] - rows.starts[s]);
}

/// Every row but a sequence's last predicts the next id.
struct Prediction {
  std::vector<std::int64_t> rows, targets;
  explicit Prediction(const Sequences& sequences) {
    std::int64_t row = 0;
    for (const auto& ids : sequences) {
      for (std::size_t i = 0; i < ids.size(); ++i, ++row) {
        if (i + 1 == ids.size()) continue;
        rows.push_back(row);
        targets.push_back(ids[i + 1]);
      }
    }
  }
  at::Tensor nll(const Decoder& decoder, const at::Tensor& hidden) const {
    return decoder.nll(hidden.index_select(0, at::tensor(rows, at::kLong)), at::tensor(targets, at::kLong));
  }
};

inline Decoder load_decoder(const std::string& folder, at::ScalarType compute = at::kFloat) {
  return Decoder::load("tests/data/" + folder, compute, at::kCPU);
}

/// Adds x W^T to chosen modules; W are leaves of the graph.
class MatrixDelta : public LinearDelta {
 public:
  std::map<std::int64_t, at::Tensor> weight_OI;
  void arrange(const PackedRows&) override {}
  void add(const Backend&, const at::Tensor& x_TI, std::span<const std::int64_t> modules,
           std::span<at::Tensor> outputs_TO) override {
    for (std::size_t i = 0; i < modules.size(); ++i) {
      const auto it = weight_OI.find(modules[i]);
      if (it != weight_OI.end()) outputs_TO[i] = outputs_TO[i] + at::mm(x_TI, it->second.t());
    }
  }
};

/// A delta for every module, the same for all sequences.
inline MatrixDelta random_delta(const Decoder& decoder, double size) {
  MatrixDelta delta;
  at::Tensor numbers = at::arange(1000003, at::kFloat);
  numbers = at::remainder(numbers * 0.6180339887, 1.0) - 0.5;
  for (std::size_t m = 0; m < decoder.modules().size(); ++m) {
    const Module& module = decoder.modules()[m];
    const auto count = module.outputs * module.inputs;
    delta.weight_OI[static_cast<std::int64_t>(m)] =
        numbers.narrow(0, static_cast<std::int64_t>(m) * 7919 % 500000, count)
            .view({module.outputs, module.inputs}) *
        size;
  }
  return delta;
}

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

}  // namespace rocket::test
