// Choices of a question by the log-likelihood that a model gives them behind the prompt.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/serve.h"
#include "text/example.h"

namespace rocket {

/// The requests that score the choices of one question, in their order; in one group they share the prompt.
std::vector<Request> choice_requests(const ChoiceTokens& tokens);

/// The sum over the tokens that a request scores; natural log.
double logprob_of(const Request& request, const Answer& answer);

/// Which choice a system prefers, the first on a tie: by the sum of log-likelihoods, and by that sum for each
/// character or byte of the choice's text. As acc, acc_norm and acc_bytes of lm-evaluation-harness 0.4.13.
struct Preference {
  std::int64_t by_sum = 0, by_character = 0, by_byte = 0;
};

/// `choices` are valid UTF-8, none empty.
Preference prefer(std::span<const double> logprobs, std::span<const std::string> choices);

}  // namespace rocket
