// Numbers as people and models write them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rocket {

enum class NumeralKind {
  number,
  ordinal,   // 3rd
  footnote,  // [1] behind a word
  other,     // a time, a date, a ratio, a version: no number
};

struct Numeral {
  std::size_t begin = 0, end = 0;  // with sign, currency, percent sign and power of ten
  std::size_t digits = 0;          // where the first digit or point stands
  NumeralKind kind = NumeralKind::number;
  std::optional<std::string> value;  // the shortest spelling; nullopt: cannot be read as one number ("1,5")
};

/// All numerals of a plain text (answer_text.h), in order. Digits that a letter touches ("x1", "CO2") and
/// exponents of units ("m^2") are none.
std::vector<Numeral> numerals_in(std::string_view plain);

/// The shortest spelling of `digits` x 10^`shift`; `digits` holds at most one point. nullopt for a shift
/// beyond 5000 places.
std::optional<std::string> shortest_decimal(std::string_view digits, bool negative, long shift = 0);

/// The shortest spelling of a quotient: a decimal where it ends, else the reduced fraction. nullopt for a
/// zero below, or beyond 18 digits.
std::optional<std::string> shortest_quotient(std::string_view above, std::string_view below, bool negative,
                                             std::string_view whole = "");

}  // namespace rocket
