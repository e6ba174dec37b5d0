#include <algorithm>
#include <cstdint>

#include "answers/answer_text.h"
#include "answers/numeral.h"

namespace rocket {
namespace {

__extension__ using Wide = unsigned __int128;

struct Scaled {
  std::uint64_t digits = 0;
  int places = 0;  // behind the point
};

/// nullopt beyond 18 digits.
std::optional<Scaled> scaled(std::string_view number) {
  Scaled value;
  bool behind_point = false;
  int digits = 0;
  for (const char c : number) {
    if (c == '.') {
      behind_point = true;
    } else {
      value.digits = value.digits * 10 + static_cast<std::uint64_t>(c - '0');
      value.places += behind_point;
      digits += value.digits > 0;
      if (digits > 18) return std::nullopt;
    }
  }
  if (value.places > 18) return std::nullopt;
  return value;
}

std::string text_of(Wide value) {
  std::string digits;
  do digits += static_cast<char>('0' + static_cast<int>(value % 10));
  while ((value /= 10) > 0);
  std::ranges::reverse(digits);
  return digits;
}

Wide greatest_divisor(Wide a, Wide b) {
  while (b != 0) {
    const Wide rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

Wide power_of_ten(int n) {
  Wide power = 1;
  for (int i = 0; i < n; ++i) power *= 10;
  return power;
}

int divide_out(Wide& value, unsigned factor) {
  int times = 0;
  for (; value % factor == 0; value /= factor) ++times;
  return times;
}

}  // namespace

std::optional<std::string> shortest_decimal(std::string_view digits, bool negative, long shift) {
  constexpr long kMost = 5000;
  if (shift > kMost || shift < -kMost) return std::nullopt;
  std::string all;
  long point = -1;
  for (const char c : digits) {
    if (c == '.')
      point = static_cast<long>(all.size());
    else
      all += c;
  }
  if (point < 0) point = static_cast<long>(all.size());
  point += shift;
  if (point < 0) all.insert(0, static_cast<std::size_t>(-point), '0');
  point = std::max(point, 0L);
  const auto before = static_cast<std::size_t>(point);
  if (before > all.size()) all.append(before - all.size(), '0');
  std::string whole = all.substr(0, before), fraction = all.substr(before);
  whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size()));
  fraction.erase(fraction.find_last_not_of('0') + 1);
  if (whole.empty() && fraction.empty()) return "0";
  std::string text = negative ? "-" : "";
  text += whole.empty() ? "0" : whole;
  if (!fraction.empty()) text.append(".").append(fraction);
  return text;
}

std::optional<std::string> shortest_quotient(std::string_view above, std::string_view below, bool negative,
                                             std::string_view whole) {
  const auto top = scaled(above), bottom = scaled(below), more = scaled(whole);
  if (!top || !bottom || !more || bottom->digits == 0) return std::nullopt;
  if (top->places + bottom->places > 18) return std::nullopt;
  Wide a = Wide{top->digits} * power_of_ten(bottom->places),
       b = Wide{bottom->digits} * power_of_ten(top->places);
  const Wide common = std::max<Wide>(greatest_divisor(a, b), 1);
  a /= common;
  b /= common;
  constexpr Wide kMost = 1'000'000'000'000'000'000;
  if (a > kMost || b > kMost) return std::nullopt;
  a += Wide{more->digits} * b;
  Wide rest = b;
  const int twos = divide_out(rest, 2), fives = divide_out(rest, 5), places = std::max(twos, fives);
  if (rest == 1 && places <= 18 && a <= kMost * 1'000'000) {
    a *= power_of_ten(places) / b;
    return shortest_decimal(text_of(a), negative, -places);
  }
  std::string text = negative && a > 0 ? "-" : "";
  return text.append(text_of(a)).append("/").append(text_of(b));
}

}  // namespace rocket
