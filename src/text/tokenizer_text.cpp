#include "text/tokenizer_text.h"

#include "text/unicode.h"

namespace rocket {

SourceText SourceText::from_bytes(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::size_t n = utf8_length(bytes, at);
    if (n == 0) break;
    at += n;
  }
  SourceText raw{std::string(bytes)};
  if (at == bytes.size()) return raw;
  SourceRewriter rewriter(raw);
  for (at = 0; at < bytes.size();) {
    const std::size_t n = utf8_length(bytes, at);
    const Span span{at, at + (n ? n : utf8_subpart(bytes, at))};
    if (n)
      rewriter.keep(span);
    else
      rewriter.put("\xEF\xBF\xBD", span);
    at = span.end;
  }
  return rewriter.take();
}

Origin SourceText::origin(std::size_t begin, std::size_t end) const {
  if (origins_.empty())
    return {base_ + static_cast<std::int64_t>(begin), base_ + static_cast<std::int64_t>(end)};
  if (begin == end) {
    const std::int64_t at = begin < origins_.size() ? origins_[begin].begin : origins_.back().end;
    return {at, at};
  }
  return {origins_[begin].begin, origins_[end - 1].end};
}

SourceText SourceText::slice(Span span) const {
  SourceText part(text_.substr(span.begin, span.end - span.begin));
  if (origins_.empty())
    part.base_ = base_ + static_cast<std::int64_t>(span.begin);
  else
    part.origins_.assign(origins_.begin() + static_cast<std::ptrdiff_t>(span.begin),
                         origins_.begin() + static_cast<std::ptrdiff_t>(span.end));
  return part;
}

void SourceRewriter::keep(Span span) {
  to_.text_.append(from_.text_, span.begin, span.end - span.begin);
  for (std::size_t i = span.begin; i < span.end; ++i) to_.origins_.push_back(from_.origin(i, i + 1));
}

void SourceRewriter::put(std::string_view bytes, Span span) {
  to_.text_.append(bytes);
  to_.origins_.insert(to_.origins_.end(), bytes.size(), from_.origin(span.begin, span.end));
}

}  // namespace rocket
