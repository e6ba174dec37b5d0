// How many answers a question offers, and with it how often a guess is right.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "scoring/answer.h"

namespace rocket {

/// `boolean`: 2. `choice`: n where `question` holds the letters A, B, ... alone and in this order up to the
/// n-th, at least two, and `gold` is one of them. 0: not known.
std::int64_t answers_offered(AnswerKind kind, std::string_view question, std::string_view gold);

/// The expected share of right answers of a guess that takes each offered answer equally often: the mean of
/// 1 / offered. nullopt where it is not known of every question.
std::optional<double> chance_level(std::span<const std::int64_t> offered);

}  // namespace rocket
