#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "answers/answer_text.h"
#include "answers/reading.h"
#include "text/pattern.h"
#include "text/unicode.h"

namespace rocket {
namespace {

constexpr std::string_view kBlank = " \t\r\n\f\v";

/// A line that no prose begins with.
constexpr const char* kStatement =
    R"((?m)^[ \t]*+(?:(?:async )?def \w+ ?\(|class \w+ ?[(:]|import \w|from [\w.]+ import |@\w|return\b|print ?\(|(?:for|while|if|elif|with) .*:|(?:try|else|finally):|assert |raise |lambda |[A-Za-z_][\w.\[\]'", ]*(?: ?: ?[\w.\[\], ]+)? ?[-+*/]?=[^=]|[A-Za-z_][\w.]*\([^)]*\)\s*$|#|"""))";
constexpr const char* kDefinition = R"((?m)^[ \t]*+(?:async )?(?:def|class) +(\w+))";

bool has_statement(std::string_view text) {
  static const Pattern statement(kStatement);
  return statement.find(text, 0).has_value();
}

/// Whether something is defined that is no test of something else.
bool defines(std::string_view text) {
  static const Pattern definition(kDefinition);
  bool found = false;
  definition.for_each(text, [&](Match match) {
    const Match name = *definition.find(text, match.begin, 1);
    const std::string_view word = text.substr(name.begin, name.end - name.begin);
    found =
        found || !(word.starts_with("test") || word.starts_with("Test") || word == "main" || word == "check");
  });
  return found;
}

/// A block between fences.
struct Block {
  std::string_view code, language;
  bool closed = true;
};

std::size_t line_begin(std::string_view text, std::size_t at) {
  const std::size_t newline = text.substr(0, at).rfind('\n');
  return newline == text.npos ? 0 : newline + 1;
}

std::size_t line_end(std::string_view text, std::size_t at) {
  return std::min(text.find('\n', at), text.size());
}

std::size_t run_of(std::string_view text, std::size_t at) {
  return std::min(text.find_first_not_of(text[at], at), text.size()) - at;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = line_end(text, at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

/// Tracks whether a line lies inside a string of several lines.
class TripleQuotes {
 public:
  bool inside() const { return !quote_.empty(); }
  void pass(std::string_view line) {
    for (std::size_t at = 0; at < line.size();) {
      const std::string_view rest = line.substr(at);
      if (inside() ? rest.starts_with(quote_) : rest.starts_with("\"\"\"") || rest.starts_with("'''")) {
        quote_ = inside() ? "" : rest.substr(0, 3) == "\"\"\"" ? "\"\"\"" : "'''";
        at += 3;
      } else if (!inside() && rest[0] == '#') {
        return;
      } else {
        ++at;
      }
    }
  }

 private:
  std::string_view quote_;
};

/// Fences of backticks and tildes, as CommonMark has them and as models write them: indented, inside a line,
/// or lacking one half.
class Fences {
 public:
  explicit Fences(std::string_view text) : text_(text) {}

  std::vector<Block> blocks() {
    std::size_t at = find(0, '\0', 3, false);
    if (at != text_.npos && closes_what_began(at)) {
      blocks_.push_back({text_.substr(0, at), "", true});
      at = find(at + run_of(text_, at), '\0', 3, false);
    }
    while (at != text_.npos) at = read(at);
    return std::move(blocks_);
  }

 private:
  /// Whether nothing but blanks and marks of lists or quotes stands before text_[at] on its line.
  bool begins_line(std::size_t at) const {
    const std::size_t begin = line_begin(text_, at);
    return text_.substr(begin, at - begin).find_first_not_of(" \t>*-0123456789.") == text_.npos;
  }

  /// The next run of at least `least` backticks or tildes (only `kind`, where given), at a line's beginning
  /// if asked for; tildes always.
  std::size_t find(std::size_t from, char kind, std::size_t least, bool at_line) const {
    for (std::size_t at = text_.find_first_of("`~", from); at != text_.npos;
         at = text_.find_first_of("`~", at)) {
      const std::size_t n = run_of(text_, at);
      const bool fits = n >= least && (kind == '\0' || text_[at] == kind);
      if (fits && ((!at_line && text_[at] == '`') || begins_line(at))) return at;
      at += n;
    }
    return text_.npos;
  }

  /// Whether the first fence ends a program that began without one: the prompt may have opened it.
  bool closes_what_began(std::size_t at) const {
    const std::string_view before = text_.substr(0, at);
    const std::size_t first = before.find_first_not_of(kBlank);
    if (first == before.npos || !begins_line(at)) return false;
    const std::size_t end = at + run_of(text_, at);
    if (text_.substr(end, line_end(text_, end) - end).find_first_not_of(kBlank) != text_.npos) return false;
    return has_statement(
        before.substr(line_begin(before, first), line_end(before, first) - line_begin(before, first)));
  }

  std::size_t read(std::size_t fence) {
    const char kind = text_[fence];
    const std::size_t length = run_of(text_, fence), from = fence + length, newline = line_end(text_, from);
    Block block;
    std::size_t begin = from;
    const bool own_line = newline < text_.size() && is_language(text_.substr(from, newline - from));
    if (own_line) {
      block.language = text_.substr(from, newline - from);
      begin = newline + 1;
    } else {
      for (const std::string_view name : {"python ", "py "})
        if (text_.substr(from).starts_with(name)) begin = from + name.size();
    }
    std::size_t end = own_line ? closing(begin, kind, length) : text_.npos;
    if (end == text_.npos) end = find(begin, kind, length, false);
    block.closed = end != text_.npos;
    end = std::min(end, text_.size());
    block.code = text_.substr(begin, end - begin);
    blocks_.push_back(block);
    return block.closed ? find(end + run_of(text_, end), '\0', 3, false) : text_.npos;
  }

  /// The closing fence of a block with lines of its own; one inside a string of several lines only where no
  /// other is there.
  std::size_t closing(std::size_t begin, char kind, std::size_t length) const {
    const std::size_t first = find(begin, kind, length, true);
    TripleQuotes quotes;
    std::size_t from = begin;
    for (std::size_t at = first; at != text_.npos; at = find(at + run_of(text_, at), kind, length, true)) {
      for (const std::string_view line : lines_of(text_.substr(from, at - from))) quotes.pass(line);
      if (!quotes.inside()) return at;
      from = at;
    }
    return first;
  }

  static bool is_language(std::string_view line) {
    return std::ranges::all_of(line, [](char c) {
      return is_ascii_letter(c) || is_ascii_digit(c) ||
             std::string_view("_+#.- \t\r{}=\":").find(c) != std::string_view::npos;
    });
  }

  std::string_view text_;
  std::vector<Block> blocks_;
};

enum class Language { python, unknown, other };

Language language_of(const Block& block) {
  const std::string name =
      word_from(block.language, std::min(block.language.find_first_not_of(" \t{."), block.language.size()));
  if (name.starts_with("py")) return Language::python;
  return name.empty() || name == "code" ? Language::unknown : Language::other;
}

/// The last block that is the program: one that defines something before one that does not, Python before
/// what may be output or another language, whole ones before one that the end cuts off.
const Block& program_block(const std::vector<Block>& blocks) {
  const auto rank = [](const Block& block) {
    const Language language = language_of(block);
    const bool session = block.code.find(">>> ") != block.code.npos;
    const bool python =
        language == Language::python || (language == Language::unknown && has_statement(block.code));
    if (!python || session) return language == Language::other ? 0 : 1;
    return (block.closed ? 3 : 2) + (defines(block.code) ? 2 : 0);
  };
  const Block* best = &blocks.front();
  for (const Block& block : blocks) {
    const bool cut_off = !block.closed && rank(*best) > 1;
    if (!cut_off && rank(block) >= rank(*best)) best = &block;
  }
  return *best;
}

bool is_blank_line(std::string_view line) {
  return line.find_first_not_of(kBlank) == line.npos;
}

std::string joined(const std::vector<std::string_view>& lines, std::string_view end) {
  return fmt::format("{}{}", fmt::join(lines, "\n"), end);
}

/// Without the indentation that all lines share.
std::string without_indentation(std::string_view text) {
  std::vector<std::string_view> lines = lines_of(text);
  std::optional<std::string_view> shared;
  for (const std::string_view line : lines) {
    if (is_blank_line(line)) continue;
    const std::string_view indent = line.substr(0, std::min(line.find_first_not_of(" \t"), line.size()));
    if (!shared) shared = indent;
    while (!indent.starts_with(*shared)) shared->remove_suffix(1);
  }
  if (!shared || shared->empty()) return std::string(text);
  for (std::string_view& line : lines)
    line.remove_prefix(std::min(shared->size(), std::min(line.find_first_not_of(" \t"), line.size())));
  return joined(lines, text.ends_with('\n') ? "\n" : "");
}

/// Without `if __name__ == "__main__":` and what hangs on it: a demonstration, which may wait for input.
std::string without_main_guard(const std::string& text) {
  static const Pattern guard(R"((?m)^if +\(?__name__ *== *["']__main__["']\)? *:)");
  if (!guard.find(text, 0)) return text;
  std::vector<std::string_view> kept;
  TripleQuotes quotes;
  bool in_guard = false;
  for (const std::string_view line : lines_of(text)) {
    const bool hangs_on = is_blank_line(line) || line[0] == ' ' || line[0] == '\t' || line[0] == '#' ||
                          line.starts_with("else:") || line.starts_with("elif ") || quotes.inside();
    in_guard = (in_guard && hangs_on) || (!quotes.inside() && guard.find(line, 0).has_value());
    quotes.pass(line);
    if (!in_guard) kept.push_back(line);
  }
  return joined(kept, "\n");
}

/// A program without fences: from its first statement to where prose follows.
std::string without_prose(std::string_view text) {
  static const Pattern start(R"(^(?:(?:async )?def |class |import |from \w[\w.]* import |@\w))");
  static const Pattern prose(
      R"(^(?:[A-Z][A-Za-z']*|I|\*\*[^*]+\*\*:?|[-*] .*|\d+\. .*)(?: +[^\s=\[\]{}#]+){2,}\s*$|^(?:Explanation|Note|Output|Example|Examples|Usage|Test|Tests|Here)\b[^=]*$)");
  const auto lines = lines_of(text);
  std::size_t first = 0;
  while (first < lines.size() && is_blank_line(lines[first])) ++first;
  if (first < lines.size() && !has_statement(lines[first])) {
    const auto found =
        std::ranges::find_if(lines, [](std::string_view line) { return start.find(line, 0).has_value(); });
    if (found != lines.end()) first = static_cast<std::size_t>(found - lines.begin());
  }
  std::vector<std::string_view> kept;
  TripleQuotes quotes;
  bool defined = false;
  for (std::size_t i = first; i < lines.size(); ++i) {
    if (defined && !quotes.inside() && prose.find(lines[i], 0)) break;
    defined = defined || start.find(lines[i], 0).has_value();
    quotes.pass(lines[i]);
    kept.push_back(lines[i]);
  }
  return joined(kept, "");
}

/// Without the blanks before the first word, which to Python would be an indentation, and those at the end.
std::string_view trimmed(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(kBlank), text.size());
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

/// Without byte order marks and blanks of no width; blanks that do not break, which Python refuses, become
/// plain ones where they indent.
std::string without_invisible(std::string_view text) {
  std::string kept;
  bool indents = true;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    if (rest.starts_with("\xEF\xBB\xBF") || rest.starts_with("\xE2\x80\x8B")) {
      at += 3;
    } else if (indents && rest.starts_with("\xC2\xA0")) {
      kept += ' ';
      at += 2;
    } else {
      indents = rest[0] == '\n' || (indents && (rest[0] == ' ' || rest[0] == '\t'));
      kept += text[at++];
    }
  }
  return kept;
}

/// Without the marks of a quotation, where all lines have one.
std::string without_quotation(std::string_view text) {
  std::vector<std::string_view> lines = lines_of(text);
  if (lines.empty() ||
      !std::ranges::all_of(lines, [](std::string_view line) { return line.starts_with('>'); }))
    return std::string(text);
  for (std::string_view& line : lines) line.remove_prefix(line.starts_with("> ") ? 2 : 1);
  return joined(lines, "\n");
}

/// Without the backticks around a program of one line.
std::string_view without_ticks(std::string_view text) {
  const std::string_view inner = trimmed(text);
  const bool ticks = inner.size() > 2 && inner.front() == '`' && inner.find('`', 1) == inner.size() - 1;
  return ticks ? inner.substr(1, inner.size() - 2) : text;
}

/// What stands between "[PYTHON]" and "[/PYTHON]", or other marks that prompts ask for, each on its own line.
std::optional<std::string_view> between_marks(std::string_view text) {
  static const Pattern opening(
      R"((?m)^[ \t]*+(?:\[PYTHON\]|\[BEGIN\]|<code>|<python>|<answer>|<\|python_tag\|>))");
  static const Pattern closing(
      R"((?m)(?:\[/PYTHON\]|^[ \t]*+\[TESTS\]|\[DONE\]|</code>|</python>|</answer>)[ \t\r]*$)");
  const auto begin = opening.find(text, 0);
  const auto end = closing.find(text, begin ? begin->end : 0);
  if (!begin && !end) return std::nullopt;
  const std::size_t from = begin ? begin->end : 0;
  return text.substr(from, (end ? end->begin : text.size()) - from);
}

}  // namespace

Reading read_program(std::string_view raw) {
  const std::string clean = without_invisible(raw);
  std::string_view text = before_next_turn(clean);
  std::string_view rule = "whole";
  if (const auto inner = between_marks(text)) {
    text = *inner;
    rule = "marks";
  }
  const std::vector<Block> blocks = Fences(text).blocks();
  if (!blocks.empty())
    return {without_main_guard(without_indentation(without_quotation(program_block(blocks).code))), "fence"};
  constexpr std::string_view kAnswer = "Answer:";
  if (const std::size_t answer = text.rfind(kAnswer); answer != text.npos) {
    text.remove_prefix(answer + kAnswer.size());
    rule = "answer";
  }
  const std::string program = without_main_guard(without_prose(without_indentation(without_ticks(text))));
  return {std::string(trimmed(program)), rule};
}

}  // namespace rocket
