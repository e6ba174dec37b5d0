// Rocket's half of tests/bench/train: bench_train WORLD.json
// Answers each line of standard input, a JSON command, with a line of JSON, so that the driver can alternate
// with a peer.
#include <c10/core/GradMode.h>

#include <chrono>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/files.h"
#include "comm/reducer.h"
#include "model/device.h"
#include "moe/mixture_delta.h"
#include "training/micro_batch.h"
#include "training/trainer.h"

namespace rocket {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class TrainBench {
 public:
  explicit TrainBench(const json& world)
      : world_(world),
        decoder_(Decoder::load(world["base"].get<std::string>(),
                               world["dtype"] == "bfloat16" ? at::kBFloat16 : at::kFloat, at::kCPU)) {
    for (const json& e : world["examples"]) examples_.push_back({e["ids"], e["target_begin"]});
  }

  /// The routers of the mixture, and which examples each step sees.
  json start() const {
    const Mixture four = mixture(4);
    json answer;
    for (const MixtureModule& m : four.modules()) {
      const at::Tensor flat = m.router_NI.reshape(-1);
      answer["routers"][decoder_.modules()[static_cast<std::size_t>(m.module)].name] =
          std::vector<float>(flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel());
    }
    answer["batches"] =
        global_batches(static_cast<std::int64_t>(examples_.size()), options({{"dropout", 0.0}}));
    return answer;
  }

  /// Whole updates from the start: their losses and seconds.
  json train(const json& command) const {
    Mixture trained = mixture(command["experts"]);
    const auto comm = make_local_comm();
    const auto reducer = make_host_reducer();
    json answer;
    const std::clock_t cpu = std::clock();
    const TrainingHooks hooks{.step =
                                  [&](const StepLog& log) {
                                    answer["loss"].push_back(log.loss);
                                    answer["seconds"].push_back(log.seconds);
                                  },
                              .checkpoint = [](const Snapshot&) {}};
    rocket::train(*comm, *reducer, decoder_, trained, examples_, options(command), nullptr, hooks);
    answer["cpu"] = static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
    return answer;
  }

  /// Forward and backward of the first batch alone.
  json pass(const json& command) const {
    Mixture mixture = this->mixture(command["experts"]);
    at::Tensor gradient_P = at::zeros_like(mixture.flat());
    mixture.track_gradient(gradient_P);
    const TrainingOptions o = options(command);
    const auto batch = global_batches(static_cast<std::int64_t>(examples_.size()), o)[0];
    json answer;
    for (std::int64_t i = 0; i < command["repeats"]; ++i) {
      const auto start = Clock::now();
      for (const auto& chosen : micro_batches(examples_, batch, 1, o.micro_batch_tokens))
        one_pass(mixture, chosen, o);
      answer["seconds"].push_back(since(start));
    }
    mixture.track_gradient({});
    return answer;
  }

 private:
  Mixture mixture(std::int64_t experts) const {
    std::vector<LoraAdapter> chosen;
    for (const json& folder : world_["adapters"]) {
      if (static_cast<std::int64_t>(chosen.size()) == experts) break;
      chosen.push_back(load_adapter(folder.get<std::string>(), decoder_.modules(), at::kFloat, at::kCPU));
    }
    return Mixture::assemble(chosen, decoder_.modules(), {.top_k = 2}, at::kCPU);
  }

  TrainingOptions options(const json& command) const {
    return {.learning_rate = 1e-3,
            .epochs = command.value("epochs", 1),
            .global_batch = world_["global_batch"],
            .micro_batch_tokens = world_["micro_batch_tokens"],
            .warmup = 0,
            .schedule = Schedule::constant,
            .weight_decay = 1e-4,
            .clip = 1,
            .lora_dropout = command["dropout"],
            .recompute_layers = command.value("recompute", false),
            .checkpoint_every = 1'000'000};
  }

  void one_pass(const Mixture& mixture, const std::vector<std::int64_t>& chosen,
                const TrainingOptions& o) const {
    const MicroBatch batch = lay_out(examples_, chosen, at::kCPU);
    MixtureDelta delta(mixture, {o.lora_dropout, 0, 1, batch.records});
    const c10::AutoGradMode with_grad(true);
    const at::Tensor hidden_QD =
        decoder_.hidden_for_training(batch.rows, batch.predicting_Q, &delta, o.recompute_layers);
    decoder_.nll(hidden_QD, batch.targets_Q).mean().backward();
  }

  const json world_;
  Decoder decoder_;
  std::vector<Example> examples_;
};

void answer_commands(const json& world) {
  std::optional<TrainBench> bench;
  for (std::string line; std::getline(std::cin, line);) {
    const json command = json::parse(line);
    json answer = json::object();
    if (command["do"] == "load") answer = bench.emplace(world).start();
    if (command["do"] == "train") answer = bench->train(command);
    if (command["do"] == "pass") answer = bench->pass(command);
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
