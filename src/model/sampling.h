// The next token of a text: the likeliest one, or one that is drawn.
#pragma once

#include <cstdint>
#include <span>

namespace rocket {

struct Sampling {
  double temperature = 0;  // 0: the likeliest token
  double top_p = 1;        // of the probabilities, in (0, 1]; 1: all tokens
  std::uint64_t seed = 0;

  bool is_greedy() const { return temperature == 0; }
};

/// Draws a token id from `logits`, one for each id of the vocabulary, at a temperature above 0.
///
/// The probabilities are softmax(logits / temperature) in float64. The nucleus (Holtzman et al. 2020) is made
/// of the fewest likeliest tokens whose probabilities sum to at least top_p; of equal ones the lower id comes
/// first. In order of their ids, the token drawn is the first whose running sum exceeds u times the sum of
/// the nucleus. u is a function of (seed, text, position) alone: uniform(seed, stream("generate"), text *
/// 2^24 + position). `text` is below 2^40, `position` below 2^24. Throws data (65) where a
/// logit is no number.
std::int64_t draw_token(std::span<const float> logits, const Sampling& sampling, std::int64_t text,
                        std::int64_t position);

}  // namespace rocket
