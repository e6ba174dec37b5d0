// Rocket's half of tests/bench/similarity: bench_similarity BANK HIDDEN LAYERS KIND REPEATS [MATRIX]
// A base of that shape need not exist: the similarity reads adapters only. Prints seconds and peak memory as
// JSON.
#include "adapters/similarity.h"

#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/memory.h"
#include "model/device.h"

namespace rocket {
namespace {

std::vector<Module> query_and_value(std::int64_t hidden, std::int64_t layers) {
  std::vector<Module> modules;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    for (const char* name : {"q_proj", "v_proj"})
      modules.push_back({"model.layers." + std::to_string(layer) + ".self_attn." + name, hidden, hidden});
  }
  return modules;
}

std::vector<double> timed_matrix(const Bank& bank, SimilarityKind kind, nlohmann::json& seconds) {
  const auto start = std::chrono::steady_clock::now();
  auto matrix = similarity_matrix(bank, kind);
  seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return matrix;
}

void run(char** argument) {
  const std::map<std::string, SimilarityKind> kinds{{"delta_w", SimilarityKind::delta_w},
                                                    {"factors", SimilarityKind::factors},
                                                    {"released_code", SimilarityKind::released_code}};
  configure_compute();
  const Bank bank(list_bank({argument[1]}, {}),
                  query_and_value(std::stol(argument[2]), std::stol(argument[3])), at::kFloat, at::kCPU, 0);
  nlohmann::json answer = {{"seconds", nlohmann::json::array()}};
  std::vector<double> matrix;
  for (int i = 0; i < std::stoi(argument[5]); ++i)
    matrix = timed_matrix(bank, kinds.at(argument[4]), answer["seconds"]);
  answer["peak_bytes"] = peak_bytes();
  if (argument[6] != nullptr) std::ofstream(argument[6]) << nlohmann::json(matrix);
  std::cout << answer << std::endl;
}

}  // namespace
}  // namespace rocket

int main(int argc, char** argv) {
  if (argc < 6) return 64;
  rocket::run(argv);
}
