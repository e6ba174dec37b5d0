#include "adapters/target.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <strings.h>

#include <algorithm>
#include <memory>

#include "base/error.h"

namespace rocket {
namespace {

// An expression from a downloaded file must not run for ever.
constexpr std::uint32_t kMatchLimit = 100'000;

template <auto free>
struct Free {
  template <class T>
  void operator()(T* p) const {
    free(p);
  }
};
using Code = std::unique_ptr<pcre2_code, Free<pcre2_code_free>>;
using Context = std::unique_ptr<pcre2_match_context, Free<pcre2_match_context_free>>;
using Match = std::unique_ptr<pcre2_match_data, Free<pcre2_match_data_free>>;

PCRE2_SPTR bytes(const std::string& text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data());
}

bool matches_whole(const std::string& pattern, const std::string& text) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  const Code code(pcre2_compile(bytes(pattern), pattern.size(),
                                PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF, &error, &offset, nullptr));
  if (!code) {
    fail_data("adapter_config.json: target_modules: '{}' is no regular expression (at character {})", pattern,
              offset);
  }
  const Context context(pcre2_match_context_create(nullptr));
  const Match match(pcre2_match_data_create_from_pattern(code.get(), nullptr));
  pcre2_set_match_limit(context.get(), kMatchLimit);
  const int found = pcre2_match(code.get(), bytes(text), text.size(), 0, 0, match.get(), context.get());
  if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
    fail_data("adapter_config.json: target_modules: '{}' takes too long to match; list the modules instead",
              pattern);
  }
  return found >= 0;
}

}  // namespace

bool is_target(const AdapterConfig& config, const std::string& module) {
  if (config.target_is_regex) {
    const std::string& pattern = config.target_modules.at(0);
    return strcasecmp(pattern.c_str(), "all-linear") == 0 || matches_whole(pattern, module);
  }
  return std::ranges::any_of(config.target_modules, [&](const std::string& target) {
    return module == target || module.ends_with("." + target);
  });
}

}  // namespace rocket
