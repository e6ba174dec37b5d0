#include <algorithm>

#include "answers/answer_text.h"
#include "answers/numeral.h"
#include "answers/reading.h"
#include "text/pattern.h"

namespace rocket {
namespace {

/// How two neighbouring numerals belong together.
enum class Relation { none, operation, equality, alternative };

/// One of several numbers, a sum that is not worked out, or nothing at all.
enum class Outcome { value, several, passed };
struct Statement {
  Outcome outcome = Outcome::passed;
  std::string value;
};

bool is_alternative(std::string_view between) {
  static const Pattern joined(
      R"((?i)^[\s*_$)}\]]*(?:(?:,|;|/|&|-|~)?\s*(?:or|and|to|oder|und|ou|et|o|y|e|或|和|至|または)?)[\s*_$({\[]*$)");
  return !between.empty() && joined.find(between, 0).has_value() &&
         between.find_first_not_of(" *_$(){}[]\n") != between.npos;
}

/// "5 hours and 30 minutes": one quantity in two numbers.
bool is_compound(std::string_view between, std::string_view behind) {
  static const Pattern large(
      R"((?i)^[ -]?(?:years?|months?|weeks?|days?|hours?|hrs?|h|minutes?|mins?|feet|foot|ft|yards?|dollars?|euros?|pounds?|lbs?)(?:,? and|,)? $)");
  static const Pattern small(
      R"((?i)^[ -]?(?:months?|weeks?|days?|hours?|hrs?|minutes?|mins?|seconds?|secs?|inch(?:es)?|cents?|ounces?|oz)(?![A-Za-z]))");
  return large.find(between, 0) && small.find(behind, 0);
}

Relation relation(std::string_view between) {
  constexpr std::size_t kMost = 60;
  if (between.size() > kMost || between.find('\n') != between.npos) return Relation::none;
  if (between.find('=') != between.npos || between.find("≈") != between.npos) return Relation::equality;
  static const Pattern operation(
      R"((?i)^[\s(){}$€£A-Za-z]*(?:\+|×|÷|\*{1,2}|\^)[\s(){}$€£]*$|^[\s)}$]*/[\s({$]*$|^\s*(?:-|x|times|plus|minus|divided by|multiplied by)\s*$|^[\s)]*-[\s(]*$)");
  static const Pattern range(R"(^\s*-\s*$)");
  static const Pattern markup(R"(^[\s*]*\*\*[\s*]*$)");
  if (is_alternative(between) && !range.find(between, 0)) return Relation::alternative;
  if (operation.find(between, 0) && !markup.find(between, 0)) return Relation::operation;
  return Relation::none;
}

class NumberText {
 public:
  explicit NumberText(std::string_view raw)
      : text_(plain_text(raw)), all_(numerals_in(text_)), last_equality_(text_.rfind('=')) {}

  Reading read() const {
    if (const auto reading = behind_hash_mark()) return *reading;
    if (const auto reading = in_box()) return *reading;
    if (const auto reading = behind_answer()) return *reading;
    return last();
  }

 private:
  Relation relation_to_next(std::size_t i) const {
    const std::string_view text = text_, between = text.substr(all_[i].end, all_[i + 1].begin - all_[i].end);
    return is_compound(between, text.substr(all_[i + 1].end, 12)) ? Relation::alternative : relation(between);
  }

  /// The first numeral at or behind `from`; all_.size() where there is none.
  std::size_t first_from(std::size_t from) const {
    const auto found = std::ranges::lower_bound(all_, from, {}, &Numeral::digits);
    return static_cast<std::size_t>(found - all_.begin());
  }

  static Reading reading(const Statement& statement, std::string_view rule) {
    if (statement.outcome == Outcome::value) return {statement.value, rule};
    return {std::nullopt, "not_one_number"};
  }

  /// What a formula comes to that begins with numeral i and lies before `end`: its last side that is one
  /// number.
  Statement formula(std::size_t i, std::size_t end) const {
    std::optional<std::string> value;
    std::size_t side = 1;
    const auto close = [&](std::size_t last) {
      if (side == 1) value = all_[last].value ? all_[last].value : value;
      side = 1;
    };
    for (; i + 1 < all_.size() && all_[i + 1].begin < end; ++i) {
      const Relation related = relation_to_next(i);
      if (related == Relation::equality) {
        close(i);
      } else if (related == Relation::operation) {
        ++side;
      } else {
        break;
      }
    }
    close(i);
    return value ? Statement{Outcome::value, *value} : Statement{Outcome::several, {}};
  }

  /// What numeral i says that stands where an answer is announced.
  Statement announced(std::size_t i, std::size_t end) const {
    const bool has_next = i + 1 < all_.size() && all_[i + 1].begin < end;
    const Relation related = has_next ? relation_to_next(i) : Relation::none;
    if (related == Relation::alternative) return {Outcome::several, {}};
    if (related != Relation::none) return formula(i, end);
    return all_[i].value ? Statement{Outcome::value, *all_[i].value} : Statement{Outcome::several, {}};
  }

  std::size_t line_end(std::size_t at) const { return std::min(text_.find('\n', at), text_.size()); }

  /// GSM8K's mark; the first, since what follows it is another question's.
  std::optional<Reading> behind_hash_mark() const {
    static const Pattern mark(R"(\#{4,}[ \t*]*+(?=[-$€£¥+.]*\s?\d)(?!\d{1,2}[.)] +[A-Za-z]))");
    const auto found = mark.find(text_, 0);
    if (!found) return std::nullopt;
    const std::size_t i = first_from(found->end), end = line_end(found->end);
    if (i == all_.size() || all_[i].begin >= end) return std::nullopt;
    return reading(announced(i, end), "hash_mark");
  }

  std::optional<Reading> in_box() const {
    const auto boxes = boxes_in(text_);
    for (auto box = boxes.rbegin(); box != boxes.rend(); ++box) {
      const auto begin = static_cast<std::size_t>(box->data() - text_.data()), end = begin + box->size();
      const std::size_t i = first_from(begin);
      if (i == all_.size() || all_[i].begin >= end) continue;
      const Statement statement = announced(i, end);
      const bool alone =
          i + 1 == all_.size() || all_[i + 1].begin >= end || relation_to_next(i) != Relation::none;
      return reading(alone ? statement : Statement{Outcome::several, {}}, "box");
    }
    return std::nullopt;
  }

  /// Where the words end that may belong to a number: at a bracket, a comma or the sentence's end.
  std::size_t clause_end(std::size_t from, std::size_t end) const {
    return std::min(std::string_view(text_).substr(0, end).find_first_of("(,[;:", from), end);
  }

  /// "Answer: 14 apples": one number with at most three words. "Answer: 3 cats have 4 legs" is none.
  Statement headed(std::size_t i, std::size_t end) const {
    static const Pattern consequence(R"((?i)^, *(?:so|then|therefore|thus|hence|which|and)\b)");
    const bool has_next = i + 1 < all_.size() && all_[i + 1].begin < end;
    if (has_next && relation_to_next(i) == Relation::alternative) return {Outcome::several, {}};
    const std::size_t clause = clause_end(all_[i].end, end);
    const bool formula_here = has_next && relation_to_next(i) != Relation::none;
    if (formula_here) {
      const bool goes_on =
          first_from(end) < all_.size() && last_equality_ != text_.npos && last_equality_ >= end;
      return goes_on ? Statement{} : formula(i, end);
    }
    const std::string_view words = std::string_view(text_).substr(all_[i].end, clause - all_[i].end);
    const bool short_one = std::ranges::count(words, ' ') <= 4 && !(has_next && all_[i + 1].begin < clause);
    if (!short_one || consequence.find(text_.substr(clause, 20), 0)) return {};
    return announced(i, clause);
  }

  /// The numeral that begins where the answer does; all_.size() where something else does.
  std::size_t at_mark(const AnswerMark& mark) const {
    const std::size_t i = first_from(mark.value);
    return i < all_.size() && all_[i].begin <= mark.value ? i : all_.size();
  }

  Statement behind(const AnswerMark& mark) const {
    if (mark.negated) return {};
    const std::size_t i = at_mark(mark);
    if (i < all_.size()) {
      const std::size_t end = sentence_end(text_, all_[i].end);
      if (end < text_.size() && text_[end] == '?') return {};
      return mark.heading ? headed(i, end) : announced(i, end);
    }
    if (mark.heading) return {};
    const std::size_t end = sentence_end(text_, mark.value);
    std::size_t last = all_.size();
    for (std::size_t j = first_from(mark.value); j < all_.size() && all_[j].begin < end; ++j) last = j;
    if (last == all_.size() || (end < text_.size() && text_[end] == '?')) return {};
    const bool joined =
        last > 0 && all_[last - 1].begin >= mark.value && relation_to_next(last - 1) == Relation::alternative;
    return joined ? Statement{Outcome::several, {}} : settled(last);
  }

  static bool is_number_word(const std::string& word) {
    static const Pattern words(
        R"(^(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|half|none|unknown|undefined)$)");
    return words.find(word, 0).has_value();
  }

  std::optional<Reading> behind_answer() const {
    static const Pattern lines(R"((?m)^[ \t*]*+(?:A|Ans|ANS|A\.)\**+ ?:)");
    std::vector<AnswerMark> marks = answer_marks_in(text_);
    lines.for_each(text_, [&](Match match) {
      marks.push_back({match.begin, match.end, skip_filling(text_, match.end), true});
    });
    std::ranges::sort(marks, {}, &AnswerMark::end);
    for (auto mark = marks.rbegin(); mark != marks.rend(); ++mark) {
      const bool closes = mark->begin > 0 && text_[mark->begin - 1] == '/';  // "</answer>"
      if (closes) continue;
      const Statement statement = behind(*mark);
      if (statement.outcome != Outcome::passed) return reading(statement, "answer");
      if (says_no_number(*mark)) return Reading{std::nullopt, "nothing"};
    }
    return std::nullopt;
  }

  /// "The answer is twelve": a statement of its own, which numbers elsewhere do not replace.
  bool says_no_number(const AnswerMark& mark) const {
    if (mark.negated || mark.value >= text_.size()) return false;
    if (is_number_word(word_from(text_, mark.value))) return true;
    return mark.stated && first_from(mark.end) == all_.size() && is_ascii_letter(text_[mark.value]);
  }

  /// The value of numeral i, unless it is the end of a sum that is not worked out.
  Statement settled(std::size_t i) const {
    if (!all_[i].value || (i > 0 && (relation_to_next(i - 1) == Relation::operation || is_second_half(i))))
      return {Outcome::several, {}};
    return {Outcome::value, *all_[i].value};
  }

  bool is_second_half(std::size_t i) const {
    const std::string_view text = text_;
    return is_compound(text.substr(all_[i - 1].end, all_[i].begin - all_[i - 1].end),
                       text.substr(all_[i].end, 12));
  }

  Reading last() const {
    for (const NumeralKind kind : {NumeralKind::number, NumeralKind::footnote, NumeralKind::ordinal}) {
      for (std::size_t i = all_.size(); i-- > 0;) {
        if (all_[i].kind == kind) return reading(settled(i), "last");
      }
    }
    return {std::nullopt, "nothing"};
  }

  std::string text_;
  std::vector<Numeral> all_;
  std::size_t last_equality_;
};

}  // namespace

Reading read_number(std::string_view text) {
  return read_answering_part(text, [](std::string_view part) { return NumberText(part).read(); });
}

}  // namespace rocket
