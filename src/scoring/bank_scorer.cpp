#include "scoring/bank_scorer.h"

#include <algorithm>
#include <numeric>

#include "adapters/bank_delta.h"
#include "base/error.h"
#include "model/serve.h"
#include "scoring/choices.h"

namespace rocket {
namespace {

using Adapters = std::span<const std::shared_ptr<const LoraAdapter>>;

/// An adapter on a shot, and where its answers come from.
struct Item {
  std::size_t adapter = 0, shot = 0;
  bool choice = false;  // one of the shot's choices, not its target
};

/// By adapter, then by length of the shot: an adapter's rows lie side by side, and neighbours end together.
std::vector<Item> items_by_length(std::size_t adapters, std::span<const ShotTokens> shots) {
  std::vector<std::size_t> order(shots.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](std::size_t s) { return shots[s].example.ids.size(); });
  std::vector<Item> items;
  for (std::size_t a = 0; a < adapters; ++a) {
    for (const std::size_t s : order) items.push_back({a, s});
  }
  return items;
}

/// The first id of a sequence has no row that predicts it.
std::int64_t first_predicted(const Example& example) {
  return std::max<std::int64_t>(1, example.target_begin);
}

/// Whether prompt and target are one sequence that can be read once: not where the tokens of the prompt
/// change before a target, nor where the text's length turns the positions of all its rows.
bool read_once(const ShotTokens& shot, const DecoderConfig& config) {
  return !config.turns_by_length() && shot.prompt.size() < shot.example.ids.size() &&
         static_cast<std::int64_t>(shot.prompt.size()) <= shot.example.target_begin &&
         std::equal(shot.prompt.begin(), shot.prompt.end(), shot.example.ids.begin());
}

void check_shots(std::span<const ShotTokens> shots) {
  for (std::size_t s = 0; s < shots.size(); ++s) {
    if (static_cast<std::int64_t>(shots[s].example.ids.size()) <= first_predicted(shots[s].example)) {
      fail_data("shot {} has no target token that the model could predict", s);
    }
  }
}

/// What is asked of the model, and which item each request is for.
struct Work {
  std::vector<Request> requests;
  std::vector<Item> items;

  void add(const Item& item, Request request) {
    request.group = static_cast<std::int64_t>(item.adapter);
    requests.push_back(std::move(request));
    items.push_back(item);
  }
};

void add_choices(Work& work, Item item, const ShotTokens& shot) {
  item.choice = true;
  for (Request& request : choice_requests(shot.choices)) work.add(item, std::move(request));
}

/// `max_new_tokens` 0: only the targets are scored.
Work work_of(const Decoder& decoder, std::size_t adapters, std::span<const ShotTokens> shots,
             std::int64_t max_new_tokens) {
  check_shots(shots);
  const DecoderConfig& config = decoder.config();
  Work work;
  for (const Item& item : items_by_length(adapters, shots)) {
    const ShotTokens& shot = shots[item.shot];
    const auto prompt = static_cast<std::int64_t>(shot.prompt.size());
    Request scored{.ids = shot.example.ids, .scored_from = first_predicted(shot.example)};
    const bool generates = max_new_tokens > 0 && shot.choices.empty();
    const bool together = read_once(shot, config);
    if (generates && together) {
      scored.prompt = prompt;
      scored.max_new_tokens = max_new_tokens;
    }
    work.add(item, std::move(scored));
    if (max_new_tokens > 0) add_choices(work, item, shot);
    if (generates && !together) {
      work.add(item, {.ids = shot.prompt, .prompt = prompt, .max_new_tokens = max_new_tokens});
    }
  }
  return work;
}

}  // namespace

std::vector<std::vector<ShotScore>> score_block(const Decoder& decoder, Adapters adapters,
                                                std::span<const ShotTokens> shots,
                                                const GenerateOptions& options) {
  const Work work = work_of(decoder, adapters.size(), shots, options.max_new_tokens);
  std::vector<std::shared_ptr<const LoraAdapter>> served;
  for (const Item& item : work.items) served.push_back(adapters[item.adapter]);
  auto answers = serve(
      decoder, work.requests, [&] { return std::make_unique<BankDelta>(served); }, options.serving());
  std::vector<std::vector<ShotScore>> scores(adapters.size(), std::vector<ShotScore>(shots.size()));
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const Item& item = work.items[i];
    ShotScore& score = scores[item.adapter][item.shot];
    if (item.choice)
      score.logprobs.push_back(logprob_of(work.requests[i], answers[i]));
    else if (work.requests[i].scored_from >= 0)
      score.nll = answers[i].nll;
    if (work.requests[i].max_new_tokens > 0) score.generated = std::move(answers[i].generated);
  }
  return scores;
}

std::vector<std::vector<double>> nll_block(const Decoder& decoder, Adapters adapters,
                                           std::span<const ShotTokens> shots, std::int64_t batch_tokens) {
  std::vector<std::vector<double>> nll;
  for (const auto& row :
       score_block(decoder, adapters, shots, {.max_new_tokens = 0, .batch_tokens = batch_tokens})) {
    nll.emplace_back();
    for (const ShotScore& shot : row) nll.back().push_back(shot.nll);
  }
  return nll;
}

}  // namespace rocket
