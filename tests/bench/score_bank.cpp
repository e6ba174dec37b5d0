// Rocket's half of tests/bench/score_bank: bench_score_bank WORLD.json
// Answers each line of standard input, a JSON command, with a line of JSON, so that the driver can alternate
// with a peer.
#include <array>
#include <chrono>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "adapters/bank.h"
#include "adapters/bank_delta.h"
#include "base/files.h"
#include "model/device.h"
#include "model/serve.h"
#include "scoring/bank_scorer.h"

namespace rocket {
namespace {

using nlohmann::json;
using Adapters = std::vector<std::shared_ptr<const LoraAdapter>>;

constexpr std::int64_t kBankBytes = std::int64_t{1} << 40;

class ScoreBench {
 public:
  explicit ScoreBench(const json& world)
      : decoder_(Decoder::load(world["base"].get<std::string>(), type(world), at::kCPU)) {
    Bank bank(list_bank({world["bank"].get<std::string>()}, {}), decoder_.modules(), type(world), at::kCPU,
              kBankBytes);
    adapters_.push_back(nullptr);
    for (std::int64_t i = 0; i < bank.size(); ++i) adapters_.push_back(bank.get(i));
    options_.max_new_tokens = world["max_new_tokens"];
    options_.stop_ids = world["stop_ids"].get<std::vector<TokenId>>();
    for (const json& shot : world["shots"]) {
      const Example example{shot["ids"].get<std::vector<TokenId>>(),
                            shot["target_begin"].get<std::int64_t>()};
      shots_.push_back(
          {example, {example.ids.begin(), example.ids.begin() + shot["prompt_tokens"].get<int>()}});
    }
  }

  json adapter_bytes() const {
    std::int64_t bytes = 0;
    for (const auto& adapter : adapters_) bytes += adapter ? adapter->bytes() : 0;
    return {{"adapter_bytes", bytes}};
  }

  json nll(const json& command) const {
    return timed([&](json& answer) {
      answer["nll"] = nll_block(decoder_, rows(command), shots_, options_.batch_tokens);
    });
  }

  /// Prompts alone: what a generation costs that no nll goes with.
  json generated(const json& command) const {
    return timed([&](json& answer) {
      const auto all = rows(command);
      std::vector<Request> requests;
      std::vector<std::shared_ptr<const LoraAdapter>> served;
      for (std::size_t row = 0; row < all.size(); ++row) {
        for (const ShotTokens& shot : shots_) {
          requests.push_back({.ids = shot.prompt,
                              .prompt = static_cast<std::int64_t>(shot.prompt.size()),
                              .max_new_tokens = options_.max_new_tokens,
                              .group = static_cast<std::int64_t>(row)});
          served.push_back(all[row]);
        }
      }
      const auto answers = serve(decoder_, requests, [&] { return std::make_unique<BankDelta>(served); },
                                 {options_.stop_ids, options_.batch_tokens});
      for (std::size_t i = 0; i < answers.size(); ++i) {
        answer["generated"][i / shots_.size()][i % shots_.size()] = answers[i].generated;
      }
    });
  }

  /// In blocks of adapters and shots, as the job's units are.
  json score(const json& command) const {
    return timed([&](json& answer) {
      const auto all = rows(command);
      const auto [height, width] = command["unit"].get<std::array<std::size_t, 2>>();
      for (std::size_t row = 0; row < all.size(); row += height) {
        const auto some = all.subspan(row, std::min(height, all.size() - row));
        for (std::size_t shot = 0; shot < shots_.size(); shot += width)
          add_block(answer, row, some, shot, width);
      }
    });
  }

 private:
  static at::ScalarType type(const json& world) {
    return world["dtype"] == "bfloat16" ? at::kBFloat16 : at::kFloat;
  }

  std::span<const std::shared_ptr<const LoraAdapter>> rows(const json& command) const {
    return std::span(adapters_).first(std::min(command["rows"].get<std::size_t>(), adapters_.size()));
  }

  void add_block(json& answer, std::size_t first_row,
                 std::span<const std::shared_ptr<const LoraAdapter>> adapters, std::size_t first_shot,
                 std::size_t width) const {
    const auto shots = std::span(shots_).subspan(first_shot, std::min(width, shots_.size() - first_shot));
    const auto scores = score_block(decoder_, adapters, shots, options_);
    for (std::size_t a = 0; a < adapters.size(); ++a) {
      for (std::size_t s = 0; s < shots.size(); ++s) {
        answer["nll"][first_row + a][first_shot + s] = scores[a][s].nll;
        answer["generated"][first_row + a][first_shot + s] = scores[a][s].generated;
      }
    }
  }

  template <class F>
  static json timed(F&& work) {
    json answer;
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t cpu_start = std::clock();
    work(answer);
    answer["cpu"] = static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
    answer["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return answer;
  }

  Decoder decoder_;
  Adapters adapters_;
  std::vector<ShotTokens> shots_;
  GenerateOptions options_;
};

void answer_commands(const json& world) {
  std::optional<ScoreBench> bench;
  for (std::string line; std::getline(std::cin, line);) {
    const json command = json::parse(line);
    json answer = json::object();
    if (command["do"] == "load") answer = bench.emplace(world).adapter_bytes();
    if (command["do"] == "nll") answer = bench->nll(command);
    if (command["do"] == "generate") answer = bench->generated(command);
    if (command["do"] == "score") answer = bench->score(command);
    std::cout << answer << std::endl;
  }
}

}  // namespace
}  // namespace rocket

int main(int argc, char** argv) {
  if (argc != 2) return 64;
  rocket::configure_compute();
  rocket::answer_commands(nlohmann::json::parse(rocket::read_file(argv[1])));
}
