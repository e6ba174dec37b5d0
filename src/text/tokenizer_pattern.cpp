// From the dialect of the `tokenizers` library to PCRE2's. Both come from Perl and agree on what tokenizers
// use, save for the Unicode version and a few corners; what they read differently is refused.
#include <fmt/format.h>

#include <cctype>

#include "base/error.h"
#include "text/tokenizer_pretokenizer.h"

namespace rocket {

namespace {

// PCRE2's \s also holds U+180E.
constexpr std::string_view kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

// Letters and numbers of Unicode 15 to 16: a PCRE2 from a distribution may know version 14 only.
constexpr std::string_view kNewLetters =
    R"(\x{1c89}-\x{1c8a}\x{a7cb}-\x{a7cd}\x{a7da}-\x{a7dc}\x{105c0}-\x{105f3}\x{10d4a}-\x{10d65})"
    R"(\x{10d6f}-\x{10d85}\x{10ec2}-\x{10ec4}\x{1123f}-\x{11240}\x{11380}-\x{11389}\x{1138b}\x{1138e})"
    R"(\x{11390}-\x{113b5}\x{113b7}\x{113d1}\x{113d3}\x{11bc0}-\x{11be0}\x{11f02}\x{11f04}-\x{11f10})"
    R"(\x{11f12}-\x{11f33}\x{1342f}\x{13441}-\x{13446}\x{13460}-\x{143fa}\x{16100}-\x{1611d})"
    R"(\x{16d40}-\x{16d6c}\x{18cff}\x{1b132}\x{1b155}\x{1df25}-\x{1df2a}\x{1e030}-\x{1e06d})"
    R"(\x{1e4d0}-\x{1e4eb}\x{1e5d0}-\x{1e5ed}\x{1e5f0}\x{2b739}\x{2ebf0}-\x{2ee5d}\x{31350}-\x{323af})";
constexpr std::string_view kNewNumbers =
    R"(\x{10d40}-\x{10d49}\x{116d0}-\x{116e3}\x{11bf0}-\x{11bf9}\x{11f50}-\x{11f59}\x{16130}-\x{16139})"
    R"(\x{16d70}-\x{16d79}\x{1ccf0}-\x{1ccf9}\x{1d2c0}-\x{1d2d3}\x{1e4f0}-\x{1e4f9}\x{1e5f1}-\x{1e5fa})";

class Translator {
 public:
  explicit Translator(const std::string& pattern) : pattern_(pattern) {}

  std::string translate() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\')
        escape();
      else if (in_class_)
        class_character(c);
      else
        character(c);
    }
    return std::move(result_);
  }

 private:
  [[noreturn]] void refuse(std::string_view part) {
    fail_data("pattern `{}`: `{}` at byte {} is not supported", pattern_, part, at_);
  }

  bool follows(std::string_view text) const { return pattern_.compare(at_, text.size(), text) == 0; }

  void copy(std::size_t n) {
    result_.append(pattern_, at_, n);
    at_ += n;
  }

  void class_character(char c) {
    if (c == '[') refuse("[ inside a class");
    if (follows("&&")) refuse("&&");
    if (c == ']') in_class_ = false;
    copy(1);
  }

  void character(char c) {
    // In Ruby these hold at every line; `.` agrees.
    if (c == '^' || c == '$') refuse(std::string(1, c));
    if (c == '(' && at_ + 1 < pattern_.size() && pattern_[at_ + 1] == '?') return group();
    if (c == '[') {
      in_class_ = true;
      copy(1);
      if (follows("^")) copy(1);
      if (follows("]")) refuse("] as the first of a class");
      return;
    }
    if (follows("{,")) refuse("{,");
    copy(1);
    if (c == '}' && follows("+")) refuse("}+");
  }

  void group() {
    for (const std::string_view head : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:"})
      if (follows(head)) return copy(head.size());
    refuse(std::string_view(pattern_).substr(at_, 3));
  }

  /// `members` as part of the class that is open, or as a class of its own.
  void members(std::string_view members, bool negated) {
    if (in_class_ && negated) refuse("a negated class inside a class");
    result_ += in_class_ ? std::string(members) : fmt::format("[{}{}]", negated ? "^" : "", members);
  }

  void escape() {
    if (at_ + 1 >= pattern_.size()) refuse("\\");
    const char c = pattern_[at_ + 1];
    if (c == 'p' || c == 'P') return property();
    if (c == 's' || c == 'S') {
      members(kSpace, c == 'S');
      at_ += 2;
    } else if (c == 'd') {
      members(R"(\p{Nd})", false);
      at_ += 2;
    } else if (c == 'x' || c == 'n' || c == 'r' || c == 't' || c == 'f' ||
               !std::isalnum(static_cast<unsigned char>(c))) {
      copy(2);
    } else {
      refuse(std::string_view(pattern_).substr(at_, 2));
    }
  }

  void property() {
    const std::size_t close = pattern_.find('}', at_);
    if (at_ + 2 >= pattern_.size() || pattern_[at_ + 2] != '{' || close == std::string::npos) refuse("\\p");
    const std::string name = pattern_.substr(at_ + 3, close - at_ - 3);
    // Scripts are left out: the two engines disagree on what they hold.
    if (name.empty() || name.size() > 2 || std::string_view("LMNPSZC").find(name[0]) == std::string::npos)
      refuse(fmt::format("\\p{{{}}}", name));
    std::string set = fmt::format(R"(\p{{{}}})", name);
    if (name == "L") set += kNewLetters;
    if (name == "N") set += kNewNumbers;
    members(set, pattern_[at_ + 1] == 'P');
    at_ = close + 1;
  }

  const std::string& pattern_;
  std::string result_;
  std::size_t at_ = 0;
  bool in_class_ = false;
};

}  // namespace

Pattern oniguruma_pattern(const std::string& pattern) {
  return Pattern(Translator(pattern).translate(), Pattern::Classes::unicode);
}

Pattern literal_pattern(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x80 && !std::isalnum(static_cast<unsigned char>(c))) escaped += '\\';
    escaped += c;
  }
  return Pattern(escaped, Pattern::Classes::unicode);
}

}  // namespace rocket
