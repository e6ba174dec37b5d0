#include "text/stop_strings.h"

#include <algorithm>

namespace rocket {

bool StopStrings::reached(std::span<const TokenId> ids) const {
  if (empty()) return false;
  const std::string written = tokenizer_.decode(ids, false);
  return end_of(written) < written.size();
}

std::size_t StopStrings::end_of(const std::string& written) const {
  std::string_view text = written;
  for (const std::string& stop : strings_) text = text.substr(0, text.find(stop));
  return text.size();
}

std::string StopStrings::text(std::span<const TokenId> ids) const {
  if (!reached(ids)) return tokenizer_.decode(ids, true);
  const std::string written = tokenizer_.decode(ids, false);
  const std::string_view kept = std::string_view(written).substr(0, end_of(written));
  // The ids whose text is kept whole, then the rest of the one that the string begins in.
  std::string whole;
  std::size_t count = ids.size();
  do {
    whole = tokenizer_.decode(ids.first(--count), false);
  } while (count > 0 && !kept.starts_with(whole));
  return tokenizer_.decode(ids.first(count), true) +
         std::string(kept.substr(std::min(whole.size(), kept.size())));
}

}  // namespace rocket
