#include <algorithm>
#include <set>

#include "answers/answer_text.h"
#include "answers/answer_words.h"
#include "answers/reading.h"
#include "base/error.h"
#include "text/unicode.h"

namespace rocket {
namespace {

std::string lower_case(std::string_view text) {
  std::string lower;
  for (std::size_t at = 0; at < text.size();) append_lower_case(lower, next_code_point(text, at));
  return lower;
}

/// The pattern of a list of words, the longest first.
std::string any_word(std::vector<std::string> words) {
  std::ranges::sort(words, [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
  std::string pattern;
  for (const std::string& word : words) {
    if (word.find("\\E") != std::string::npos)
      fail_config("task.yes_words and task.no_words: '{}' cannot hold \\E", word);
    pattern.append(pattern.empty() ? "" : "|").append("\\Q").append(word).append("\\E");
  }
  return pattern;
}

std::string pattern_of(const BooleanWords& more) {
  std::vector<std::string> alone, touching;
  for (const auto& [word, value] : kBooleanWords) alone.emplace_back(word);
  for (const auto& [word, value] : kTouchingBooleanWords) touching.emplace_back(word);
  for (const auto* list : {&more.yes, &more.no}) {
    for (const std::string& word : *list) {
      if (is_white_space_only(word)) fail_config("task.yes_words and task.no_words: a word is blank");
      alone.push_back(word);
    }
  }
  return fmt::format("(?i)(?<![\\p{{L}}0-9])({})(?![\\p{{L}}0-9]|-\\p{{L}})|(?:{})", any_word(alone),
                     any_word(touching));
}

std::vector<std::string> yes_words(const BooleanWords& more) {
  std::vector<std::string> yes;
  for (const auto& [word, value] : kBooleanWords) {
    if (value) yes.emplace_back(word);
  }
  for (const auto& [word, value] : kTouchingBooleanWords) {
    if (value) yes.emplace_back(word);
  }
  for (const std::string& word : more.no) std::erase(yes, lower_case(word));
  for (const std::string& word : more.yes) {
    for (const std::string& no : more.no) {
      if (lower_case(no) == lower_case(word))
        fail_config("task.yes_words and task.no_words: '{}' cannot mean both yes and no", word);
    }
    yes.push_back(lower_case(word));
  }
  return yes;
}

struct Word {
  std::size_t begin = 0, end = 0;
  bool yes = false;
  bool alone = false;   // a word of its own, wherever it stands
  bool paired = false;  // "yes or no"
  bool counts = false;  // outside of announcements: no article ("no doubt"), no pair
};

constexpr const char* kNegatedBefore =
    R"((?i)(?:\bnot|n't|\bcannot|\bnever|\bnicht|\bno es|n'est pas|\bneither)(?: (?:necessarily|entirely|quite|really|always|completely|strictly|exactly|actually|be|think|believe|that|this|it|it's|is|the|a|an|statement|claim|so|answer|simply|just|yet|all)){0,6}\s{1,3}["'*(]{0,3}$)";
constexpr const char* kPairGap =
    R"((?i)^["'*`)(\s]{0,4}(?:or|/|,|\||vs\.?|and|oder|ou|o|y|und|et|还是|或)["'*`)(\s]{0,4}$)";
constexpr const char* kOrNot = R"((?i)\G["'*`)]{0,3} or not\b)";
/// A question, or a term that says neither.
constexpr const char* kPhrase =
    R"((?i)\G["'*`)\]}]{0,4} {0,2}\?|\G (?:positives?|negatives?|alarms?|love|friends?|self)(?![a-z]))";
/// Behind "no": what shows that it is an answer and no article.
constexpr const char* kBehindNo =
    R"((?i)\G(?:["'*`)\]}_]{0,4}(?:[.,;:!?<)]|\s{0,4}$|\s{0,4}\n|\s{1,3}-)|["'*`)]{0,4} (?:because|since|as|it|he|she|they|we|you|i|this|that|there|the|not|but|for|these|those|es|in|if|when|unless|while|according|due|given|although|though|so|and|or|its|their|his|her|my|your)\b|["'*`}\]]))";

class BooleanText {
 public:
  BooleanText(std::string_view raw, const Pattern& words, const std::vector<std::string>& yes)
      : text_(plain_text(raw)) {
    find_words(words, yes);
  }

  Reading read() const {
    if (const auto reading = in_box()) return *reading;
    if (const auto reading = behind_answer()) return *reading;
    if (const auto reading = leading()) return *reading;
    if (const auto reading = verdict()) return *reading;
    if (const auto reading = conclusion()) return *reading;
    return first();
  }

 private:
  using Found = std::optional<Reading>;

  static Reading says(bool yes, std::string_view rule) { return {yes ? "yes" : "no", rule}; }
  static Reading several() { return {std::nullopt, "several"}; }

  void find_words(const Pattern& words, const std::vector<std::string>& yes) {
    static const Pattern or_not(kOrNot), behind_no(kBehindNo), pair(kPairGap), part_of_phrase(kPhrase);
    words.for_each(text_, [&](Match match) {
      const std::string word =
          lower_case(std::string_view(text_).substr(match.begin, match.end - match.begin));
      Word found{match.begin, match.end, std::ranges::find(yes, word) != yes.end()};
      found.alone = words.find(text_, match.begin, 1).has_value();
      found.yes = found.yes != is_negated(match.begin);
      found.paired = or_not.find(text_, match.end).has_value();
      found.counts = found.alone && ((word != "no" && word != "non") || behind_no.find(text_, match.end)) &&
                     !part_of_phrase.find(text_, match.end);
      words_.push_back(found);
    });
    for (std::size_t i = 0; i + 1 < words_.size(); ++i) {
      const std::string_view gap =
          std::string_view(text_).substr(words_[i].end, words_[i + 1].begin - words_[i].end);
      if (words_[i].yes != words_[i + 1].yes && gap.size() < 24 && pair.find(gap, 0))
        words_[i].paired = words_[i + 1].paired = true;
    }
  }

  bool is_negated(std::size_t begin) const {
    static const Pattern negation(kNegatedBefore);
    std::size_t from = begin - std::min<std::size_t>(begin, 80);
    while (from < begin && is_utf8_continuation(text_[from])) ++from;
    return negation.find(std::string_view(text_).substr(from, begin - from), 0).has_value();
  }

  /// Whether an answer is a single letter at `at`: T, F, Y, N.
  Found letter(std::size_t at, std::string_view rule) const {
    static const Pattern letter(R"(\G(?:([TY])|[FN])(?=[\s.,;:!)\]}*"'<]|$)(?! [a-z]))");
    if (!letter.find(text_, at)) return std::nullopt;
    return says(letter.find(text_, at, 1).has_value(), rule);
  }

  const Word* word_at(std::size_t at) const {
    const auto found = std::ranges::lower_bound(words_, at, {}, &Word::begin);
    return found != words_.end() && found->begin == at ? &*found : nullptr;
  }

  /// A word behind `from` with nothing but blanks between it and `end`.
  const Word* word_ending_at(std::size_t end, std::size_t from) const {
    auto found = std::ranges::upper_bound(words_, end, {}, &Word::end);
    if (found == words_.begin()) return nullptr;
    --found;
    const bool touches =
        std::string_view(text_).substr(found->end, end - found->end).find_first_not_of(" \n.") == text_.npos;
    return touches && found->begin >= from && !found->paired ? &*found : nullptr;
  }

  Found announced(std::size_t at, std::string_view rule) const {
    const Word* word = word_at(at);
    if (!word) return letter(at, rule);
    if (word->paired) return several();
    if (word->alone && !word->counts) return std::nullopt;
    return says(word->yes, rule);
  }

  /// The value on which all words between two places agree.
  Found agreed(std::size_t begin, std::size_t end, std::string_view rule) const {
    std::set<bool> values;
    for (auto word = std::ranges::lower_bound(words_, begin, {}, &Word::begin);
         word != words_.end() && word->begin < end; ++word) {
      if (word->counts && !word->paired) values.insert(word->yes);
    }
    if (values.size() != 1) return std::nullopt;
    return says(*values.begin(), rule);
  }

  Found in_box() const {
    const auto boxes = boxes_in(text_);
    for (auto box = boxes.rbegin(); box != boxes.rend(); ++box) {
      const auto begin = static_cast<std::size_t>(box->data() - text_.data());
      if (auto reading = announced(skip_filling(text_, begin), "box")) return reading;
    }
    return std::nullopt;
  }

  Found behind_answer() const {
    const auto marks = answer_marks_in(text_);
    for (auto mark = marks.rbegin(); mark != marks.rend(); ++mark) {
      const std::size_t end = sentence_end(text_, mark->value);
      if (end < text_.size() && text_[end] == '?') continue;
      if (mark->negated) {  // "the answer is not yes", "the answer is not correct"
        if (auto reading = agreed(mark->end, end, "answer")) return reading;
        continue;
      }
      if (auto reading = announced(mark->value, "answer")) return reading;
      // "是" is filling, too: it is the answer where nothing follows
      if (const Word* word = word_ending_at(mark->value, mark->end)) return says(word->yes, "answer");
      if (!mark->stated && !mark->heading) continue;
      if (auto reading = agreed(mark->value, end, "answer")) return reading;
    }
    return std::nullopt;
  }

  Found leading() const {
    const std::size_t at = std::min(text_.find_first_not_of(" \t\r\n*_#>`\"'([{:-"), text_.size());
    const Word* word = word_at(at);
    if (!word) {
      const bool alone = text_.find_first_not_of(" \t\r\n*_`\"')]}.!", at + 1) == text_.npos;
      return alone ? letter(at, "leading") : std::nullopt;
    }
    static const Pattern sentence(R"(\G["'*`)\]}_]{0,4}[\s.,;:!<。]|\G["'*`)\]}_]{0,4}$)");
    if (word->paired || (word->alone && !word->counts)) return std::nullopt;
    if (!word->alone && !sentence.find(text_, word->end)) return std::nullopt;
    return says(word->yes, "leading");
  }

  /// "The statement is false", "this is incorrect".
  Found verdict() const {
    static const Pattern statement(
        R"((?i)(?<![A-Za-z])(?:statement|claim|sentence|assertion|proposition|hypothesis|conclusion|premise|aussage|afirmación|affirmation) (?:above |given |here |made )?(?:is|are|seems|must be|would be|can be|ist|es|est)(?![A-Za-z]))");
    static const Pattern judged(
        R"((?i)(?<![A-Za-z])(?:(?:statement|claim|sentence|assertion|proposition|hypothesis|this|that|it) (?:is|was|would be|seems)|it's|that's) (?:(?:absolutely|clearly|definitely|indeed|actually|factually|therefore|also|completely|entirely) )?(?:(not |in)?(?:correct|accurate|right|valid)|wrong|inaccurate|invalid)(?![A-Za-z])(?! (?:answer|option|way))|^\W{0,6}(?:(in)?correct|wrong|right)\W{0,6}(?:$|\n|[.,!])|answer\W{1,6}(?:(in)?correct|wrong|right)\W{0,4}(?:$|\n))");
    static const Pattern good(R"((?i)(?<!in)(?<!not )(?<!n't )(?:correct|accurate|right|valid)\W*$)");
    static const Pattern chinese(R"((?:(不正确|不对|错误|是错|不是真)|正确|是对|是真)的?(?=[.,!。\s]|$))");
    Found last;
    statement.for_each(text_, [&](Match match) {
      if (auto found = agreed(match.end, clause_end(match.end), "verdict")) last = found;
    });
    if (last) return last;
    if (std::ranges::any_of(words_, [](const Word& word) { return word.counts && !word.paired; }))
      return std::nullopt;
    judged.for_each(text_, [&](Match match) {
      const std::string_view words = std::string_view(text_).substr(match.begin, match.end - match.begin);
      last = says(good.find(words, 0).has_value(), "verdict");
    });
    if (last) return last;
    chinese.for_each(text_,
                     [&](Match match) { last = says(!chinese.find(text_, match.begin, 1), "verdict"); });
    return last;
  }

  std::size_t clause_end(std::size_t at) const {
    const std::size_t end = sentence_end(text_, at);
    return std::min(std::string_view(text_).substr(0, end).find_first_of(",;", at), end);
  }

  Found conclusion() const {
    static const Pattern word(
        R"((?i)(?<![A-Za-z])(?:therefore|thus|hence|so|in conclusion|folglich)(?![A-Za-z]))");
    Found last;
    word.for_each(text_, [&](Match match) {
      const std::size_t from = std::min(text_.find_first_not_of(" ,:", match.end), text_.size());
      if (auto found = agreed(from, clause_end(from), "conclusion")) last = found;
    });
    return last;
  }

  Reading first() const {
    bool paired = false;
    for (const Word& word : words_) {
      if (word.counts && !word.paired) return says(word.yes, "first");
      paired = paired || (word.counts && word.paired);
    }
    return paired ? several() : Reading{std::nullopt, "nothing"};
  }

  std::string text_;
  std::vector<Word> words_;
};

}  // namespace

BooleanReader::BooleanReader(const BooleanWords& more) : yes_(yes_words(more)), words_(pattern_of(more)) {
}

Reading BooleanReader::read(std::string_view text) const {
  return read_answering_part(
      text, [this](std::string_view part) { return BooleanText(part, words_, yes_).read(); });
}

}  // namespace rocket
