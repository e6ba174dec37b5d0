// What a model with the shapes of Llama-2-7B costs on one GPU, in bfloat16 with random weights:
// bench_7b [--device cpu] [--layers N] [--hidden D] [--repeats N]. Prints a table; ratios are against the
// product that this GPU computes fastest, measured beside them.
#include <c10/core/InferenceMode.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <random>

#include "adapters/fresh_adapter.h"
#include "base/memory.h"
#include "comm/reducer.h"
#include "gpu/shapes.h"
#include "model/device.h"
#include "scoring/bank_scorer.h"
#include "training/trainer.h"

namespace rocket {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string device = "cuda";
  std::int64_t layers = 32, hidden = 4096, repeats = 5;
};

/// Llama-2-7B, or a piece of it.
DecoderConfig llama_7b(const Options& o) {
  DecoderConfig config = test::public_shapes().front().config;
  config.intermediate = config.intermediate * o.hidden / config.hidden;
  config.heads = config.kv_heads = o.hidden / config.head_dim;
  config.hidden = o.hidden;
  config.layers = o.layers;
  config.windows.assign(static_cast<std::size_t>(o.layers), 0);
  config.eos_ids = {2};
  return config;
}

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options),
        device_(choose_device(options.device, 0)),
        decoder_(Decoder::fresh(llama_7b(options), at::kBFloat16, device_)) {
    std::mt19937 random(0);
    for (int i = 0; i < 50; ++i) examples_.push_back(example(random));
  }

  void run() {
    peak_ = product_rate();
    std::cout << fmt::format("products of {0} x {0} x {0} in bfloat16: {1:.1f} Tflop/s, the peak below\n",
                             product_size(), peak_ / 1e12);
    std::cout << fmt::format("{:44} {:>12} {:>12} {:>8} {:>12}\n", "", "tokens/s", "Tflop/s", "of peak",
                             "GiB in use");
    score(38);
    generate_with(8);
    for (const std::int64_t experts : {1, 4}) train_mixture(experts, false);
    train_mixture(4, true);
  }

 private:
  /// Lengths as instructions with rationales have them: 100 to 300 tokens, the last two thirds are the
  /// target.
  static Example example(std::mt19937& random) {
    const std::size_t length = 100 + random() % 200;
    Example e{std::vector<TokenId>(length), static_cast<std::int64_t>(length / 3)};
    for (TokenId& id : e.ids) id = static_cast<TokenId>(3 + random() % 31997);
    return e;
  }

  void wait() const {
    if (device_.is_cuda()) cudaDeviceSynchronize();
  }

  template <class Work>
  double seconds(const Work& work) const {
    std::vector<double> samples;
    for (std::int64_t i = 0; i <= options_.repeats; ++i) {  // the first warms up
      wait();
      const auto start = Clock::now();
      work();
      wait();
      if (i > 0) samples.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    std::ranges::nth_element(samples, samples.begin() + options_.repeats / 2);
    return samples[static_cast<std::size_t>(options_.repeats / 2)];
  }

  std::int64_t product_size() const { return device_.is_cuda() ? 8192 : 1024; }

  double product_rate() const {
    const c10::InferenceMode inference;
    const std::int64_t n = product_size();
    const auto make = [&] {
      return at::empty({n, n}, at::TensorOptions(at::kBFloat16).device(device_)).normal_();
    };
    const at::Tensor a = make(), b = make();
    at::Tensor c = make();
    constexpr int products = 20;
    const double time = seconds([&] {
      for (int i = 0; i < products; ++i) at::mm_out(c, a, b);
    });
    return products * 2.0 * std::pow(static_cast<double>(n), 3) / time;
  }

  /// LoRA of rank 16 on q and v, which have learned something: B is not zero.
  std::vector<LoraAdapter> adapters(std::int64_t count, at::ScalarType type) const {
    std::vector<LoraAdapter> all;
    for (std::int64_t i = 0; i < count; ++i) {
      all.push_back(fresh_adapter(
          {fmt::format("adapter-{}", i), 16, 32, false, {"q_proj", "v_proj"}, static_cast<std::uint64_t>(i)},
          decoder_.modules()));
      for (LoraWeight& w : all.back().weights) {
        w.a_RI = w.a_RI.to(device_, type);
        w.b_OR = at::empty(w.b_OR.sizes(), at::TensorOptions(type).device(device_)).normal_(0, 0.01);
      }
    }
    return all;
  }

  std::vector<std::shared_ptr<const LoraAdapter>> bank(std::int64_t count) const {
    std::vector<std::shared_ptr<const LoraAdapter>> shared;
    for (LoraAdapter& adapter : adapters(count, at::kBFloat16))
      shared.push_back(std::make_shared<const LoraAdapter>(std::move(adapter)));
    return shared;
  }

  std::vector<ShotTokens> shots() const {
    std::vector<ShotTokens> all;
    for (const Example& e : examples_) all.push_back({e, {e.ids.begin(), e.ids.begin() + e.target_begin}});
    return all;
  }

  std::int64_t tokens() const {
    std::int64_t sum = 0;
    for (const Example& e : examples_) sum += static_cast<std::int64_t>(e.ids.size()) - 1;
    return sum;
  }

  std::int64_t targets() const {
    std::int64_t sum = 0;
    for (const Example& e : examples_) sum += static_cast<std::int64_t>(e.ids.size()) - e.target_begin;
    return sum;
  }

  void score(std::int64_t count) const {
    const auto adapters = bank(count);
    const auto all = shots();
    const double time = seconds([&] { nll_block(decoder_, adapters, all, 8192); });
    const double rows = static_cast<double>(count * tokens());
    const double flops = rows * test::flops_of_token(decoder_) +
                         static_cast<double>(count * targets()) * test::flops_of_head(decoder_);
    report(fmt::format("score: nll of {} adapters x {} shots", count, all.size()), rows / time, flops / time);
  }

  void generate_with(std::int64_t count) const {
    const auto adapters = bank(count);
    const auto all = shots();
    double rows = 0;
    const double time = seconds([&] {
      rows = 0;
      for (const auto& scores :
           score_block(decoder_, adapters, all, {.max_new_tokens = 64, .batch_tokens = 65536})) {
        for (const ShotScore& score : scores) rows += static_cast<double>(score.generated.size());
      }
    });
    report(fmt::format("score with 64 generated tokens, {} adapters", count), rows / time,
           (rows + static_cast<double>(count * tokens())) * test::flops_of_token(decoder_) / time);
  }

  void train_mixture(std::int64_t experts, bool recompute) {
    Mixture mixture =
        Mixture::assemble(adapters(experts, at::kFloat), decoder_.modules(), {.top_k = 2}, device_);
    std::vector<double> steps;
    const TrainingHooks hooks{.step = [&](const StepLog& log) { steps.push_back(log.seconds); },
                              .checkpoint = [](const Snapshot&) {}};
    const TrainingOptions options{.learning_rate = 1e-5,
                                  .epochs = options_.repeats + 1,
                                  .global_batch = static_cast<std::int64_t>(examples_.size()),
                                  .micro_batch_tokens = 4096,
                                  .recompute_layers = recompute,
                                  .checkpoint_every = 1'000'000};
    const auto comm = make_local_comm();
    train(*comm, *make_host_reducer(), decoder_, mixture, examples_, options, nullptr, hooks);
    std::sort(steps.begin() + 1, steps.end());
    const double time = steps[1 + static_cast<std::size_t>(options_.repeats) / 2];
    // Forward, and the gradients of the inputs: the base's own weights have none.
    const double flops =
        static_cast<double>(tokens()) * (recompute ? 3 : 2) * test::flops_of_token(decoder_) +
        static_cast<double>(targets()) * 2 * test::flops_of_head(decoder_);
    report(fmt::format("train {} expert(s){}", experts, recompute ? ", recompute: layer" : ""),
           static_cast<double>(tokens()) / time, flops / time);
  }

  void report(const std::string& what, double tokens_per_second, double flops_per_second) const {
    std::cout << fmt::format("{:44} {:12.0f} {:12.1f} {:7.0f}% {:12.1f}\n", what, tokens_per_second,
                             flops_per_second / 1e12, 100 * flops_per_second / peak_,
                             in_use() / static_cast<double>(1 << 30))
              << std::flush;
  }

  /// What the process has taken of the device so far: LibTorch keeps what is freed.
  double in_use() const {
    std::size_t free = 0, total = 0;
    if (device_.is_cuda() && cudaMemGetInfo(&free, &total) == cudaSuccess)
      return static_cast<double>(total - free);
    return static_cast<double>(peak_bytes());
  }

  Options options_;
  at::Device device_;
  Decoder decoder_;
  std::vector<Example> examples_;
  double peak_ = 0;
};

Options read(int argc, char** argv) {
  Options options;
  std::map<std::string, std::int64_t*> numbers{
      {"--layers", &options.layers}, {"--hidden", &options.hidden}, {"--repeats", &options.repeats}};
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string(argv[i]) == "--device") options.device = argv[i + 1];
    if (numbers.contains(argv[i])) *numbers[argv[i]] = std::atoll(argv[i + 1]);
  }
  return options;
}

}  // namespace
}  // namespace rocket

int main(int argc, char** argv) {
  rocket::configure_compute();
  rocket::Bench(rocket::read(argc, argv)).run();
}
