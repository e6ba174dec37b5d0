// UTF-8 and the few Unicode properties that tokenizers and answers need.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rocket {

/// Length of the valid UTF-8 sequence at text[at], or 0 where there is none.
std::size_t utf8_length(std::string_view text, std::size_t at);

/// Whether `byte` is one of a sequence's, but not its first.
constexpr bool is_utf8_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

/// Characters of valid UTF-8.
std::size_t count_characters(std::string_view text);

/// Whether all of it is valid.
bool is_utf8(std::string_view text);

/// Length of what one U+FFFD replaces at text[at], where utf8_length is 0: the longest prefix of a valid
/// sequence, at least one byte (Unicode's "maximal subpart", as Rust and Python do it).
std::size_t utf8_subpart(std::string_view text, std::size_t at);

/// `text` with U+FFFD in place of every maximal subpart that is no UTF-8.
std::string to_utf8_lossy(std::string_view text);

/// The code point at text[at]; moves `at` behind it. `text` must be valid UTF-8 and `at` inside it.
char32_t next_code_point(std::string_view text, std::size_t& at);

/// The code point that ends at text[end - 1]. Same conditions.
char32_t previous_code_point(std::string_view text, std::size_t end);

void append_utf8(std::string& text, char32_t code_point);

/// Unicode's White_Space property.
bool is_white_space(char32_t c);
/// What Python's str.split() and str.strip() take away: White_Space and four old separators.
bool is_python_space(char32_t c);
/// General categories L and N.
bool is_letter_or_number(char32_t c);
/// What \w matches in Rust's regular expressions.
bool is_word_character(char32_t c);

/// What BERT's normaliser and pre-tokenizer tell apart, with the tables of Unicode 8 that the `tokenizers`
/// library uses for them: to it characters that came later are of no class.
enum class BertClass { other, control, nonspacing_mark, punctuation };
BertClass bert_class(char32_t c);

/// General category M, with the tables of Unicode 9 that the library uses for its StripAccents.
bool is_accent(char32_t c);

/// The lower case of one character, as Python's str.lower(), except that a capital sigma always becomes
/// U+03C3: Python's depends on its neighbours.
void append_lower_case(std::string& text, char32_t c);

/// Without white space at its ends, as Python's str.strip(); and as str.rstrip(). `text` is valid UTF-8.
std::string_view strip_white_space(std::string_view text);
std::string_view strip_white_space_behind(std::string_view text);

/// Whether nothing but white space is there; bytes that are no UTF-8 are something.
bool is_white_space_only(std::string_view text);

/// Every run of white space becomes one space; none at the ends.
std::string fold_white_space(std::string_view text);

}  // namespace rocket
