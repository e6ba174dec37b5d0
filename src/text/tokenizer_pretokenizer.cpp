#include "text/tokenizer_pretokenizer.h"

#include <algorithm>

#include "text/unicode.h"

namespace rocket {

namespace {

std::string_view view(const SourceText& text, Span word) {
  return std::string_view(text.text()).substr(word.begin, word.end - word.begin);
}

void cut_bert_words(std::string_view text, Span word, std::vector<Span>& words) {
  std::size_t begin = word.begin;
  const auto close = [&](std::size_t end) {
    if (begin < end) words.push_back({begin, end});
  };
  for (std::size_t at = word.begin; at < word.end;) {
    const std::size_t start = at;
    const char32_t c = next_code_point(text, at);
    const bool space = is_white_space(c);
    if (!space && bert_class(c) != BertClass::punctuation) continue;
    close(start);
    if (!space) words.push_back({start, at});
    begin = at;
  }
  close(word.end);
}

/// A match, or what lies between two.
struct Part {
  Span span;
  bool is_match;
};

/// Whether `next` goes into one word with `last`, which stands on its left, or, where a match goes with what
/// follows, on its right.
bool joins(const Part& last, const Part& next, Behavior behavior) {
  if (behavior == Behavior::contiguous) return last.is_match == next.is_match;
  return next.is_match && !last.is_match;
}

/// Appends the words that a text's parts make, without the empty ones.
void join_parts(std::vector<Part>& parts, Behavior behavior, std::vector<Span>& words) {
  if (behavior == Behavior::removed) std::erase_if(parts, [](const Part& part) { return part.is_match; });
  const bool from_behind = behavior == Behavior::merged_with_next;
  const bool merges = behavior != Behavior::isolated && behavior != Behavior::removed;
  if (from_behind) std::ranges::reverse(parts);
  const std::size_t first = words.size();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Span span = parts[i].span;
    if (i == 0 || !merges || !joins(parts[i - 1], parts[i], behavior))
      words.push_back(span);
    else if (from_behind)
      words.back().begin = span.begin;
    else
      words.back().end = span.end;
  }
  const auto added = words.begin() + static_cast<std::ptrdiff_t>(first);
  if (from_behind) std::reverse(added, words.end());
  words.erase(std::remove_if(added, words.end(), [](Span word) { return word.begin == word.end; }),
              words.end());
}

void replace_spaces(const SourceText& text, Span word, std::string_view mark, SourceRewriter& rewriter) {
  const std::string_view upto_end = std::string_view(text.text()).substr(0, word.end);
  for (std::size_t at = word.begin; at < word.end;) {
    const std::size_t space = std::min(upto_end.find(' ', at), word.end);
    rewriter.keep({at, space});
    if (space < word.end) rewriter.put(mark, {space, space + 1});
    at = space + 1;
  }
}

void cut_before(std::string_view mark, std::string_view text, std::vector<Span>& words) {
  std::vector<Span> pieces;
  for (Span word : words) {
    while (true) {
      const std::size_t next = text.substr(0, word.end).find(mark, word.begin + 1);
      if (next == std::string_view::npos) break;
      pieces.push_back({word.begin, next});
      word.begin = next;
    }
    pieces.push_back(word);
  }
  words = std::move(pieces);
}

}  // namespace

const char* const kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::vector<Span> cut_into_words(const PreTokenizers& pre_tokenizers, SourceText& text) {
  std::vector<Span> words;
  if (!text.empty()) words.push_back({0, text.size()});
  for (const auto& pre_tokenizer : pre_tokenizers) pre_tokenizer->cut(text, words);
  return words;
}

Split::Split(Pattern pattern, Behavior behavior, bool invert)
    : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {
}

void Split::cut(SourceText& text, std::vector<Span>& words) const {
  std::vector<Span> pieces;
  std::vector<Part> parts;
  for (const Span word : words) {
    parts.clear();
    std::size_t done = word.begin;
    pattern_.for_each(view(text, word), [&](Match match) {
      if (done < word.begin + match.begin) parts.push_back({{done, word.begin + match.begin}, invert_});
      done = word.begin + match.end;
      parts.push_back({{word.begin + match.begin, done}, !invert_});
    });
    if (done < word.end) parts.push_back({{done, word.end}, invert_});
    join_parts(parts, behavior_, pieces);
  }
  words = std::move(pieces);
}

void SplitAt::cut(SourceText& text, std::vector<Span>& words) const {
  std::vector<Span> pieces;
  std::vector<Part> parts;
  for (const Span word : words) {
    parts.clear();
    for (std::size_t at = word.begin, begin = at; at < word.end; begin = at) {
      const bool match = is_match_(next_code_point(text.text(), at));
      if (!match && !parts.empty() && !parts.back().is_match)
        parts.back().span.end = at;
      else
        parts.push_back({{begin, at}, match});
    }
    join_parts(parts, behavior_, pieces);
  }
  words = std::move(pieces);
}

void WordsAndSymbols::cut(SourceText& text, std::vector<Span>& words) const {
  enum class Kind { space, word, symbol };
  std::vector<Span> pieces;
  for (const Span word : words) {
    Kind last = Kind::space;
    for (std::size_t at = word.begin, begin = at; at < word.end; begin = at) {
      const char32_t c = next_code_point(text.text(), at);
      const Kind kind = is_white_space(c) ? Kind::space : is_word_character(c) ? Kind::word : Kind::symbol;
      if (kind != Kind::space && kind == last)
        pieces.back().end = at;
      else if (kind != Kind::space)
        pieces.push_back({begin, at});
      last = kind;
    }
  }
  words = std::move(pieces);
}

void Metaspace::cut(SourceText& text, std::vector<Span>& words) const {
  SourceRewriter rewriter(text);
  std::vector<Span> pieces;
  for (const Span word : words) {
    const std::string_view old = view(text, word);
    const bool has_mark = old.starts_with(' ') || old.starts_with(mark_);
    const bool wanted = prepend_ == Prepend::always ||
                        (prepend_ == Prepend::first && text.origin(word.begin, word.end).begin == 0);
    const std::size_t begin = rewriter.size();
    if (wanted && !has_mark) {
      std::size_t first_end = word.begin;
      next_code_point(text.text(), first_end);
      rewriter.put(mark_, {word.begin, first_end});
    }
    replace_spaces(text, word, mark_, rewriter);
    pieces.push_back({begin, rewriter.size()});
  }
  text = rewriter.take();
  words = std::move(pieces);
  if (split_) cut_before(mark_, text.text(), words);
}

void PrefixSpace::cut(SourceText& text, std::vector<Span>& words) const {
  SourceRewriter rewriter(text);
  std::vector<Span> prefixed;
  for (const Span word : words) {
    const std::size_t begin = rewriter.size();
    std::size_t first_end = word.begin;
    next_code_point(text.text(), first_end);
    if (text.text()[word.begin] != ' ') rewriter.put(" ", {word.begin, first_end});
    rewriter.keep(word);
    prefixed.push_back({begin, rewriter.size()});
  }
  text = rewriter.take();
  words = std::move(prefixed);
}

void BertWords::cut(SourceText& text, std::vector<Span>& words) const {
  std::vector<Span> pieces;
  for (const Span word : words) cut_bert_words(text.text(), word, pieces);
  words = std::move(pieces);
}

}  // namespace rocket
