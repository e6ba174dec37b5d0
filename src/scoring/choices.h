// Choices of questions by the log-likelihood that a model gives them behind the prompt.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/serve.h"
#include "text/example.h"

namespace rocket {

/// The requests that score the choices of one question, in their order; of one group they share the prompt.
std::vector<Request> choice_requests(const ChoiceTokens& tokens, std::int64_t group);

/// The sum over the tokens that a request scores; natural log.
double logprob_of(const Request& request, const Answer& answer);

/// [question][choice]. `make_delta` makes the delta of a worker, which serves as many sequences as there are
/// choices in all. Batches are a function of the arguments alone.
std::vector<std::vector<double>> choice_logprobs(const Decoder& decoder,
                                                 std::span<const ChoiceTokens> questions,
                                                 const MakeDelta& make_delta, std::int64_t batch_tokens);

/// Which choice a system prefers, the first on a tie: by the sum of log-likelihoods, and by that sum for each
/// character or byte of the choice's text. As acc, acc_norm and acc_bytes of lm-evaluation-harness 0.4.13.
struct Preference {
  std::int64_t by_sum = 0, by_character = 0, by_byte = 0;
};

/// `choices` are valid UTF-8, none empty.
Preference prefer(std::span<const double> logprobs, std::span<const std::string> choices);

}  // namespace rocket
