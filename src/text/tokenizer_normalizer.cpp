#include "text/tokenizer_normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <unordered_set>

#include "base/error.h"
#include "text/unicode.h"

namespace rocket {

namespace {

bool is_ascii(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  return true;
}

/// Calls `rewrite(rewriter, character, span)` for every character.
template <class Rewrite>
SourceText rewrite_characters(const SourceText& text, Rewrite&& rewrite) {
  SourceRewriter rewriter(text);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = next_code_point(text.text(), at);
    rewrite(rewriter, c, Span{begin, at});
  }
  return rewriter.take();
}

using Form = UnicodeForm::Form;

int decomposition(Form form) {
  const bool compatible = form == Form::nfkc || form == Form::nfkd;
  return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
}

/// Characters from after Unicode 9, whose tables the `tokenizers` library uses here: to it they stand for
/// themselves and are no marks.
bool is_too_new(char32_t c) {
  if (c < 0x7FD) return false;
  const bool mark = utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class != 0;
  return (mark && !is_accent(c)) || c == 0x32FF || (c >= 0xA7F2 && c <= 0xA7F4) || c == 0xAB69 ||
         (c >= 0x10781 && c <= 0x107BA) || c == 0x11938 || (c >= 0x1E030 && c <= 0x1E06D) || c == 0x1F16C ||
         (c >= 0x1FBF0 && c <= 0x1FBF9);
}

/// Decomposition of one character, in full.
std::size_t decompose(char32_t c, Form form, utf8proc_int32_t (&out)[32]) {
  int boundary = 0;
  const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), out, 32,
                                         static_cast<utf8proc_option_t>(decomposition(form)), &boundary);
  return n > 0 && n <= 32 ? static_cast<std::size_t>(n) : 0;
}

/// Starters that can become one with a character before them (vowel signs of Indic scripts, Hangul jamo).
const std::unordered_set<char32_t>& composing_starters() {
  static const std::unordered_set<char32_t> starters = [] {
    std::unordered_set<char32_t> found;
    utf8proc_int32_t parts[32];
    for (char32_t c = 0xA0; c < 0x110000; ++c) {
      const std::size_t n = decompose(c, Form::nfd, parts);
      for (std::size_t i = 1; i < n; ++i)
        if (utf8proc_get_property(parts[i])->combining_class == 0)
          found.insert(static_cast<char32_t>(parts[i]));
    }
    return found;
  }();
  return starters;
}

/// Whether normalisation never looks across the place before `c`.
bool starts_segment(char32_t c, Form form) {
  if (c < 0x300 || is_too_new(c)) return true;
  utf8proc_int32_t parts[32];
  if (decompose(c, form, parts) == 0) return true;
  return utf8proc_get_property(parts[0])->combining_class == 0 &&
         !composing_starters().contains(static_cast<char32_t>(parts[0]));
}

Span next_segment(std::string_view text, std::size_t begin, Form form) {
  std::size_t end = begin;
  if (is_too_new(next_code_point(text, end))) return {begin, end};
  while (end < text.size()) {
    std::size_t next = end;
    if (starts_segment(next_code_point(text, next), form)) break;
    end = next;
  }
  return {begin, end};
}

/// Decomposed, marks in canonical order. utf8proc orders by swapping neighbours, which on a long run of marks
/// takes quadratic time; what comes out of here it leaves as it is.
std::string decomposed_in_order(std::string_view segment, Form form) {
  struct Mark {
    utf8proc_int32_t c;
    utf8proc_propval_t combining_class;
  };
  std::vector<Mark> marks;
  utf8proc_int32_t parts[32];
  for (std::size_t at = 0; at < segment.size();) {
    const std::size_t n = decompose(next_code_point(segment, at), form, parts);
    for (std::size_t i = 0; i < n; ++i)
      marks.push_back({parts[i], utf8proc_get_property(parts[i])->combining_class});
  }
  for (auto begin = marks.begin(); begin != marks.end();) {
    const auto end =
        std::find_if(begin + 1, marks.end(), [](const Mark& m) { return m.combining_class == 0; });
    const auto first = begin->combining_class == 0 ? begin + 1 : begin;
    std::stable_sort(first, end,
                     [](const Mark& a, const Mark& b) { return a.combining_class < b.combining_class; });
    begin = end;
  }
  std::string ordered;
  for (const Mark& mark : marks) append_utf8(ordered, static_cast<char32_t>(mark.c));
  return ordered;
}

std::string normal_form(std::string_view segment, Form form) {
  std::size_t first_end = 0;
  if (is_too_new(next_code_point(segment, first_end))) return std::string(segment);
  std::string ordered;
  if (segment.size() > 64) segment = ordered = decomposed_in_order(segment, form);
  const bool composes = form == Form::nfc || form == Form::nfkc;
  const int options =
      composes ? (decomposition(form) & ~UTF8PROC_DECOMPOSE) | UTF8PROC_COMPOSE : decomposition(form);
  utf8proc_uint8_t* result = nullptr;
  const auto n = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(segment.data()),
                              static_cast<utf8proc_ssize_t>(segment.size()), &result,
                              static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(result, std::free);
  if (n < 0) fail_internal("Unicode normalisation: {}", utf8proc_errmsg(n));
  return std::string(reinterpret_cast<const char*>(result), static_cast<std::size_t>(n));
}

/// With the capitals of Unicode 16 and 17, which utf8proc may not know.
char32_t lower_case(char32_t c) {
  if (c >= 0x10D50 && c <= 0x10D65) return c + 0x20;
  if (c >= 0x16EA0 && c <= 0x16EB8) return c + 0x1B;
  if (c == 0xA7CB) return 0x264;
  if (c == 0xA7DC) return 0x19B;
  for (const char32_t capital : {0x1C89, 0xA7CC, 0xA7CE, 0xA7D2, 0xA7D4, 0xA7DA})
    if (c == capital) return c + 1;
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

bool is_nmt_control(char32_t c) {
  return (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F ||
         c == 0x9F;
}

bool is_nmt_space(char32_t c) {
  return c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
         c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
}

bool is_chinese(char32_t c) {
  // As published: the block of Extension E begins at 2B820, and everyone's BERT says 2B920.
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

}  // namespace

SourceText normalize(const Normalizers& normalizers, SourceText text) {
  for (const auto& normalizer : normalizers) text = normalizer->apply(std::move(text));
  return text;
}

SourceText UnicodeForm::apply(SourceText text) const {
  if (is_ascii(text.text())) return text;
  std::optional<SourceRewriter> rewriter;  // most texts are in normal form already: begun at the first change
  for (std::size_t at = 0; at < text.size();) {
    const Span span = next_segment(text.text(), at, form_);
    const std::string_view segment(text.text().data() + span.begin, span.end - span.begin);
    const std::string normal = is_ascii(segment) ? std::string(segment) : normal_form(segment, form_);
    if (normal != segment && !rewriter) rewriter.emplace(text).keep({0, span.begin});
    if (rewriter && normal == segment) rewriter->keep(span);
    if (normal != segment) rewriter->put(normal, span);
    at = span.end;
  }
  return rewriter ? rewriter->take() : text;
}

SourceText Lowercase::apply(SourceText text) const {
  return rewrite_characters(text, [](SourceRewriter& rewriter, char32_t c, Span span) {
    // The only character whose lower case is two.
    if (c == 0x130) return rewriter.put("i\xCC\x87", span);
    const char32_t lower = lower_case(c);
    if (lower == c) return rewriter.keep(span);
    std::string bytes;
    append_utf8(bytes, lower);
    rewriter.put(bytes, span);
  });
}

SourceText StripAccents::apply(SourceText text) const {
  if (is_ascii(text.text())) return text;
  return rewrite_characters(text, [this](SourceRewriter& rewriter, char32_t c, Span span) {
    const bool mark =
        marks_ == Marks::nonspacing ? bert_class(c) == BertClass::nonspacing_mark : is_accent(c);
    if (!mark) rewriter.keep(span);
  });
}

SourceText CleanText::apply(SourceText text) const {
  return rewrite_characters(text, [](SourceRewriter& rewriter, char32_t c, Span span) {
    if (c == 0 || c == 0xFFFD || bert_class(c) == BertClass::control) return;
    if (is_white_space(c))
      rewriter.put(" ", span);
    else
      rewriter.keep(span);
  });
}

SourceText SpaceChinese::apply(SourceText text) const {
  if (is_ascii(text.text())) return text;
  return rewrite_characters(text, [](SourceRewriter& rewriter, char32_t c, Span span) {
    if (!is_chinese(c)) return rewriter.keep(span);
    rewriter.put(" ", span);
    rewriter.keep(span);
    rewriter.put(" ", span);
  });
}

SourceText StripSpace::apply(SourceText text) const {
  Span rest{0, text.size()};
  while (left_ && rest.begin < rest.end) {
    std::size_t next = rest.begin;
    if (!is_white_space(next_code_point(text.text(), next))) break;
    rest.begin = next;
  }
  while (right_ && rest.begin < rest.end) {
    const char32_t last = previous_code_point(text.text(), rest.end);
    if (!is_white_space(last)) break;
    std::string bytes;
    append_utf8(bytes, last);
    rest.end -= bytes.size();
  }
  return rest.end - rest.begin == text.size() ? text : text.slice(rest);
}

SourceText Replace::apply(SourceText text) const {
  SourceRewriter rewriter(text);
  std::size_t done = 0;
  pattern_.for_each(text.text(), [&](Match match) {
    rewriter.keep({done, match.begin});
    rewriter.put(content_, {match.begin, match.end});
    done = match.end;
  });
  if (done == 0 && rewriter.size() == 0) return text;
  rewriter.keep({done, text.size()});
  return rewriter.take();
}

SourceText Prepend::apply(SourceText text) const {
  if (text.empty()) return text;
  SourceRewriter rewriter(text);
  std::size_t first_end = 0;
  next_code_point(text.text(), first_end);
  rewriter.put(content_, {0, first_end});
  rewriter.keep({0, text.size()});
  return rewriter.take();
}

SourceText Nmt::apply(SourceText text) const {
  return rewrite_characters(text, [](SourceRewriter& rewriter, char32_t c, Span span) {
    if (is_nmt_control(c)) return;
    if (is_nmt_space(c))
      rewriter.put(" ", span);
    else
      rewriter.keep(span);
  });
}

Normalizers bert_normalizer(bool clean_text, bool chinese, std::optional<bool> strip_accents,
                            bool lowercase) {
  Normalizers steps;
  if (clean_text) steps.push_back(std::make_unique<CleanText>());
  if (chinese) steps.push_back(std::make_unique<SpaceChinese>());
  if (strip_accents.value_or(lowercase)) {
    steps.push_back(std::make_unique<UnicodeForm>(UnicodeForm::Form::nfd));
    steps.push_back(std::make_unique<StripAccents>(StripAccents::Marks::nonspacing));
  }
  if (lowercase) steps.push_back(std::make_unique<Lowercase>());
  return steps;
}

}  // namespace rocket
