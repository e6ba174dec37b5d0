#include "text/tokenizer_pretokenizer.h"

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
  const auto add = [&](std::size_t begin, std::size_t end, bool matched) {
    const bool kept = behavior_ == Behavior::isolated || matched == invert_;
    if (begin < end && kept) pieces.push_back({begin, end});
  };
  for (const Span word : words) {
    std::size_t done = word.begin;
    pattern_.for_each(view(text, word), [&](Match match) {
      add(done, word.begin + match.begin, false);
      done = word.begin + match.end;
      add(word.begin + match.begin, done, true);
    });
    add(done, word.end, false);
  }
  words = std::move(pieces);
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
