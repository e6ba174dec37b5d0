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

std::vector<Request> choice_requests(const ChoiceTokens& tokens) {
  std::vector<Request> requests;
  for (const auto& continuation : tokens.continuations) {
    Request request{.ids = tokens.prompt, .scored_from = static_cast<std::int64_t>(tokens.prompt.size())};
    request.ids.insert(request.ids.end(), continuation.begin(), continuation.end());
    requests.push_back(std::move(request));
  }
  return requests;
}

double logprob_of(const Request& request, const Answer& answer) {
  return -answer.nll *
         static_cast<double>(static_cast<std::int64_t>(request.ids.size()) - request.scored_from);
}

Preference prefer(std::span<const double> logprobs, std::span<const std::string> choices) {
  return {best(logprobs, choices, [](const std::string&) { return 1; }),
          best(logprobs, choices, [](const std::string& text) { return count_characters(text); }),
          best(logprobs, choices, [](const std::string& text) { return text.size(); })};
}

}  // namespace rocket
