// A text on its way to the model, and where in the original each of its bytes came from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rocket {

/// Bytes [begin, end) of the text that a stage is working on.
struct Span {
  std::size_t begin = 0, end = 0;
};

/// Bytes [begin, end) of the text that the caller gave.
struct Origin {
  std::int64_t begin = 0, end = 0;
};

/// Valid UTF-8 with the origin of every byte. As long as nothing was rewritten no table is kept.
class SourceText {
 public:
  SourceText() = default;
  /// `text` stands in the original at byte `base`, unchanged.
  explicit SourceText(std::string text, std::int64_t base = 0) : text_(std::move(text)), base_(base) {}

  /// U+FFFD for what is no UTF-8; its origin is the bytes that it replaces.
  static SourceText from_bytes(std::string_view bytes);

  const std::string& text() const { return text_; }
  bool empty() const { return text_.empty(); }
  std::size_t size() const { return text_.size(); }

  Origin origin(std::size_t begin, std::size_t end) const;
  SourceText slice(Span span) const;

 private:
  friend class SourceRewriter;
  std::string text_;
  std::int64_t base_ = 0;
  std::vector<Origin> origins_;  // one a byte, or empty where byte i is byte base_ + i of the original
};

/// Builds the rewritten form of a text, left to right.
class SourceRewriter {
 public:
  explicit SourceRewriter(const SourceText& from) : from_(from) {}

  /// Copies bytes of the old text.
  void keep(Span span);
  /// Puts `bytes` in place of `span` of the old text; an insertion names the span it belongs to.
  void put(std::string_view bytes, Span span);
  std::size_t size() const { return to_.text_.size(); }
  SourceText take() { return std::move(to_); }

 private:
  const SourceText& from_;
  SourceText to_;
};

}  // namespace rocket
