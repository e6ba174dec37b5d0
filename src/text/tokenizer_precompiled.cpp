#include "text/tokenizer_precompiled.h"

#include <utf8proc.h>

#include <algorithm>
#include <span>

#include "base/bytes.h"
#include "base/error.h"
#include "text/unicode.h"

namespace rocket {

namespace {

/// The library asks for rules about a whole grapheme only if it is shorter.
constexpr std::size_t kLongGrapheme = 6;

std::uint32_t unit_at(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint32_t>(little_endian(std::as_bytes(std::span(bytes.substr(at, 4)))));
}

/// The unit of a double array, as Darts-clone lays it out.
struct Unit {
  std::uint32_t bits;
  bool has_leaf() const { return (bits >> 8) & 1; }
  std::uint32_t value() const { return bits & 0x7FFFFFFF; }
  std::uint32_t label() const { return bits & (0x80000000 | 0xFF); }
  std::uint32_t offset() const { return (bits >> 10) << ((bits & 0x200) >> 6); }
};

Span next_grapheme(std::string_view text, std::size_t begin) {
  std::size_t end = begin;
  char32_t last = next_code_point(text, end);
  utf8proc_int32_t state = 0;
  while (end < text.size()) {
    std::size_t next = end;
    const char32_t c = next_code_point(text, next);
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(last),
                                         static_cast<utf8proc_int32_t>(c), &state))
      break;
    last = c;
    end = next;
  }
  return {begin, end};
}

}  // namespace

PrecompiledCharsmap::PrecompiledCharsmap(std::string_view bytes) {
  const std::size_t size = bytes.size() < 4 ? 0 : unit_at(bytes, 0);
  if (size == 0 || size % 4 != 0 || size > bytes.size() - 4)
    fail_data("precompiled_charsmap: expected a table and its length before it, found {} bytes",
              bytes.size());
  for (std::size_t at = 4; at < 4 + size; at += 4) units_.push_back(unit_at(bytes, at));
  texts_ = bytes.substr(4 + size);
  if (!is_utf8(texts_)) fail_data("precompiled_charsmap: its texts are no UTF-8");
  for (char c = 1; c > 0; ++c) keeps_[static_cast<std::size_t>(c)] = !replacement({&c, 1});
}

/// The text for the shortest key that `text` begins with: the library takes it for one about all of `text`.
std::optional<std::string_view> PrecompiledCharsmap::replacement(std::string_view text) const {
  std::size_t node = Unit{units_[0]}.offset();
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || Unit{units_[node]}.label() != byte) return std::nullopt;
    const Unit unit{units_[node]};
    node ^= unit.offset();
    if (!unit.has_leaf()) continue;
    const std::size_t begin = node < units_.size() ? Unit{units_[node]}.value() : texts_.size();
    if (begin > texts_.size() || (begin < texts_.size() && is_utf8_continuation(texts_[begin])))
      fail_data("precompiled_charsmap: the text for '{}' would begin at byte {} of {}: no character does",
                text, begin, texts_.size());
    const std::string_view rest = std::string_view(texts_).substr(begin);
    return rest.substr(0, rest.find('\0'));
  }
  return std::nullopt;
}

bool PrecompiledCharsmap::leaves_alone(std::string_view text) const {
  return std::ranges::all_of(text, [this](char c) { return c > 0 && keeps_[static_cast<std::size_t>(c)]; });
}

SourceText PrecompiledCharsmap::apply(SourceText text) const {
  const std::string_view old = text.text();
  if (leaves_alone(old)) return text;
  SourceRewriter rewriter(text);
  const auto add = [&](Span span, std::optional<std::string_view> rule) {
    const bool first = rewriter.size() == 0 && span.begin > 0;
    if (!rule && !first) return rewriter.keep(span);
    // The library counts what went at the beginning to what then comes first.
    rewriter.put(rule.value_or(old.substr(span.begin, span.end - span.begin)),
                 {first ? 0 : span.begin, span.end});
  };
  for (std::size_t at = 0; at < old.size();) {
    const Span grapheme = next_grapheme(old, at);
    at = grapheme.end;
    const std::string_view whole = old.substr(grapheme.begin, grapheme.end - grapheme.begin);
    const auto rule = whole.size() < kLongGrapheme ? replacement(whole) : std::nullopt;
    if (rule) {
      add(grapheme, rule);
      continue;
    }
    for (std::size_t next = grapheme.begin, begin = next; next < grapheme.end; begin = next) {
      next_code_point(old, next);
      add({begin, next}, replacement(old.substr(begin, next - begin)));
    }
  }
  return rewriter.take();
}

}  // namespace rocket
