#include "text/decontamination.h"

#include <utf8proc.h>

#include "base/hash.h"
#include "text/unicode.h"

namespace rocket {
namespace {

/// What Python's str.split() splits at: White_Space and four old separators.
bool is_split_at(char32_t c) {
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

void append_lower(std::string& text, char32_t c) {
  constexpr char32_t kDottedCapitalI = 0x130;  // the only letter whose lower case is two
  if (c == kDottedCapitalI) {
    text += "i\xCC\x87";
  } else {
    append_utf8(text, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

}  // namespace

std::string decontamination_key(const Record& record) {
  const std::string text = to_utf8_lossy(record.instruction + "\n" + record.input);
  std::string key;
  bool gap = false;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (is_split_at(c)) {
      gap = true;
      continue;
    }
    if (gap && !key.empty()) key += ' ';
    gap = false;
    append_lower(key, c);
  }
  return key;
}

void Decontamination::protect(const Record& record) {
  keys_.insert(hash_text(decontamination_key(record)));
}

bool Decontamination::removes(const Record& record) const {
  return keys_.contains(hash_text(decontamination_key(record)));
}

}  // namespace rocket
