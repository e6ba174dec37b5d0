// Gold values that would be misread: what the rules for generations find in them is not what they mean.
#pragma once

#include <string_view>

#include "scoring/answer.h"

namespace rocket {

/// Throws data (65) unless the gold value says one thing to a reader of this kind. Looked at is what lies
/// behind the last "####", "\boxed" or "answer", else the whole value.
/// number: see gold_number.
/// choice: one letter, or a letter in front of an option's text ("B. Paris"). boolean: one of the two.
/// exact: not blank.
void check_gold(AnswerKind kind, std::string_view answer);

/// The one number of a gold value, in canonical form. Throws data (65) where there is none, or more than one,
/// and for a time, a date, a decimal comma, a power that is no power of ten, and a minus that is no sign.
std::string gold_number(std::string_view answer);

}  // namespace rocket
