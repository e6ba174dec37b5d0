#include "scoring/system_scorer.h"

#include <map>

#include "scoring/choices.h"

namespace rocket {
namespace {

/// What is asked of the model, and which system and question each request is for.
struct SystemRequests {
  struct Owner {
    std::size_t system, question;
  };
  std::vector<Request> requests;
  std::vector<Owner> owners;

  void add(Owner owner, Request request) {
    request.group = static_cast<std::int64_t>(owner.system);
    requests.push_back(std::move(request));
    owners.push_back(owner);
  }
};

/// Places of systems that are served in one pass: all of them. A device that repeats recorded steps serves
/// each mixture by itself: among others its rows change from step to step, which no recording can hold.
std::vector<std::vector<std::size_t>> passes(const Decoder& decoder, std::span<const ModelSystem> systems) {
  const bool records = decoder.backend().graphs() != nullptr;
  std::map<const Mixture*, std::vector<std::size_t>> of_mixture;
  for (std::size_t s = 0; s < systems.size(); ++s)
    of_mixture[records ? systems[s].mixture : nullptr].push_back(s);
  std::vector<std::vector<std::size_t>> all;
  for (auto& [mixture, places] : of_mixture) all.push_back(std::move(places));
  return all;
}

SystemRequests requests_of(std::span<const std::size_t> systems, std::span<const QuestionTokens> questions,
                           std::int64_t max_new_tokens) {
  SystemRequests all;
  for (const std::size_t s : systems) {
    for (std::size_t q = 0; q < questions.size(); ++q) {
      const QuestionTokens& question = questions[q];
      if (question.choices.empty())
        all.add({s, q}, {.ids = question.prompt,
                         .prompt = static_cast<std::int64_t>(question.prompt.size()),
                         .max_new_tokens = max_new_tokens});
      for (Request& request : choice_requests(question.choices)) all.add({s, q}, std::move(request));
    }
  }
  return all;
}

void serve_pass(const Decoder& decoder, std::span<const ModelSystem> systems, const SystemRequests& asked,
                const GenerateOptions& options, std::vector<std::vector<SystemAnswer>>& all) {
  std::vector<ModelSystem> served;
  for (const auto& owner : asked.owners) served.push_back(systems[owner.system]);
  auto answers = serve(
      decoder, asked.requests, [&] { return std::make_unique<SystemsDelta>(served); }, options.serving());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    SystemAnswer& answer = all[asked.owners[i].system][asked.owners[i].question];
    answer.seconds += answers[i].seconds;
    if (asked.requests[i].scored_from >= 0)
      answer.logprobs.push_back(logprob_of(asked.requests[i], answers[i]));
    answer.tokens += static_cast<std::int64_t>(answers[i].generated.size());
    answer.generated = std::move(answers[i].generated);
  }
}

std::int64_t tokens_read(const QuestionTokens& question) {
  std::size_t tokens = question.choices.empty() ? question.prompt.size() : question.choices.prompt.size();
  for (const auto& continuation : question.choices.continuations) tokens += continuation.size();
  return static_cast<std::int64_t>(tokens);
}

}  // namespace

std::vector<std::vector<SystemAnswer>> answer_block(const Decoder& decoder,
                                                    std::span<const ModelSystem> systems,
                                                    std::span<const QuestionTokens> questions,
                                                    const GenerateOptions& options) {
  std::vector<std::vector<SystemAnswer>> all(systems.size());
  for (auto& of_system : all) {
    for (const QuestionTokens& question : questions) of_system.push_back({.tokens = tokens_read(question)});
  }
  for (const auto& pass : passes(decoder, systems))
    serve_pass(decoder, systems, requests_of(pass, questions, options.max_new_tokens), options, all);
  return all;
}

double mean_nll(const Decoder& decoder, const ModelSystem& system, std::span<const Example> examples,
                std::int64_t batch_tokens) {
  std::vector<QuestionTokens> questions;
  for (const Example& example : examples) {
    const auto target = example.ids.begin() + example.target_begin;
    questions.push_back({{}, {{example.ids.begin(), target}, {{target, example.ids.end()}}}});
  }
  GenerateOptions options;
  options.batch_tokens = batch_tokens;
  const auto answers = answer_block(decoder, std::span(&system, 1), questions, options);
  double sum = 0;
  for (std::size_t i = 0; i < examples.size(); ++i)
    sum -= answers[0][i].logprobs.at(0) / static_cast<double>(examples[i].target_tokens());
  return sum / static_cast<double>(examples.size());
}

}  // namespace rocket
