#include "formats/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"

namespace rocket {
namespace {

constexpr std::uint32_t kMatchLimit = 100'000;  // an expression from a downloaded file must not run for ever

PCRE2_SPTR units(std::string_view text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data());
}

pcre2_match_context* limits() {
  static pcre2_match_context* context = [] {
    auto* made = pcre2_match_context_create(nullptr);
    pcre2_set_match_limit(made, kMatchLimit);
    return made;
  }();
  return context;
}

}  // namespace

Regex::Regex(const std::string& expression, std::string place)
    : expression_(expression), place_(std::move(place)) {
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code =
      pcre2_compile(units(expression), expression.size(),
                    PCRE2_ANCHORED | PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr);
  if (!code) fail_data("{}: '{}' is no regular expression (at byte {})", place_, expression_, at);
  code_.reset(code, [](void* p) { pcre2_code_free(static_cast<pcre2_code*>(p)); });
}

std::vector<std::string_view> Regex::match(std::string_view text) const {
  auto* code = static_cast<pcre2_code*>(code_.get());
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create_from_pattern(code, nullptr), pcre2_match_data_free);
  const int found = pcre2_match(code, units(text), text.size(), 0, 0, data.get(), limits());
  if (found == PCRE2_ERROR_NOMATCH) return {};
  if (found < 0) fail_data("{}: '{}' takes too long to match '{}'", place_, expression_, text);
  std::vector<std::string_view> groups(pcre2_get_ovector_count(data.get()));
  const PCRE2_SIZE* at = pcre2_get_ovector_pointer(data.get());
  for (std::size_t i = 0; i < groups.size(); ++i)
    if (static_cast<int>(i) < found && at[2 * i] != PCRE2_UNSET && at[2 * i] <= at[2 * i + 1])
      groups[i] = text.substr(at[2 * i], at[2 * i + 1] - at[2 * i]);
  return groups;
}

}  // namespace rocket
