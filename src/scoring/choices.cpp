#include "scoring/choices.h"

#include <algorithm>

#include "text/unicode.h"

namespace rocket {
namespace {

/// The place of the largest quotient; the first on a tie.
template <class Length>
std::int64_t best(std::span<const double> logprobs, std::span<const std::string> choices, Length&& length) {
  std::vector<double> scores;
  for (std::size_t i = 0; i < logprobs.size(); ++i)
    scores.push_back(logprobs[i] / static_cast<double>(length(choices[i])));
  return std::ranges::max_element(scores) - scores.begin();
}

}  // namespace

std::vector<Request> choice_requests(const ChoiceTokens& tokens, std::int64_t group) {
  std::vector<Request> requests;
  for (const auto& continuation : tokens.continuations) {
    Request request{
        .ids = tokens.prompt, .scored_from = static_cast<std::int64_t>(tokens.prompt.size()), .group = group};
    request.ids.insert(request.ids.end(), continuation.begin(), continuation.end());
    requests.push_back(std::move(request));
  }
  return requests;
}

double logprob_of(const Request& request, const Answer& answer) {
  return -answer.nll *
         static_cast<double>(static_cast<std::int64_t>(request.ids.size()) - request.scored_from);
}

std::vector<std::vector<double>> choice_logprobs(const Decoder& decoder,
                                                 std::span<const ChoiceTokens> questions,
                                                 const MakeDelta& make_delta, std::int64_t batch_tokens) {
  std::vector<Request> requests;
  for (const ChoiceTokens& question : questions)
    std::ranges::move(choice_requests(question, 0), std::back_inserter(requests));
  const std::vector<Answer> answers = serve(decoder, requests, make_delta, {{}, batch_tokens});
  std::vector<std::vector<double>> logprobs;
  std::size_t next = 0;
  for (const ChoiceTokens& question : questions) {
    logprobs.emplace_back();
    for (std::size_t i = 0; i < question.continuations.size(); ++i, ++next)
      logprobs.back().push_back(logprob_of(requests[next], answers[next]));
  }
  return logprobs;
}

Preference prefer(std::span<const double> logprobs, std::span<const std::string> choices) {
  return {best(logprobs, choices, [](const std::string&) { return 1; }),
          best(logprobs, choices, [](const std::string& text) { return count_characters(text); }),
          best(logprobs, choices, [](const std::string& text) { return text.size(); })};
}

}  // namespace rocket
