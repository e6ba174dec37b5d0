#include <algorithm>
#include <set>

#include "answers/answer_text.h"
#include "answers/reading.h"
#include "text/pattern.h"
#include "text/unicode.h"

namespace rocket {
namespace {

/// A letter from A to J, or a to j, that stands by itself.
struct Label {
  std::size_t at = 0;
  char letter = 'A';
  bool capital = true;
  bool bracketed = false;  // "(B)"
  bool word = false;       // the article A, the pronoun I, the B of "Vitamin B"
  bool refused = false;    // "not A", "A is wrong", "A?"
  bool listed = false;     // joined with another one: "A or B"
  bool heading = false;    // one of several options that are written out: "A. red"
};

/// What may stand between two labels of a list.
constexpr const char* kJoined =
    R"((?i)\G[)\]}.:*"'`$]{0,4}\s{0,4}(?:(?:,|;|/|&|\+|-)?\s{0,4}(?:and/or|or|and|oder|und|ou|et|y|o|e|或|和|与|及|または)(?![A-Za-z])|[,;/&+])\s{0,4})"
    R"((?:option |choice |both )?[(\[{*"'`$]{0,4}(?=[A-Ja-j](?![A-Za-z0-9'_=])))";
constexpr const char* kStillASentence =
    R"(\G[A-Ja-j][)\]]? (?:is|are|was|would|has|does|can|cannot|may|might)\b)";
constexpr const char* kRefusedBehind =
    R"((?i)\G[)\]}*"'`$]{0,4}\s{0,4}[:,.-]?\s{0,4}(?:\?|(?:and [A-J] |or [A-J] )?(?:(?:is|are|was|would be|seems|looks|can be|must be|ist|es|est) )?(?:(?:also|clearly|simply|obviously|therefore|definitely) )?)"
    R"((?:not(?! (?:option |choice |\(|that )*[A-J]\b)|wrong|incorrect|false|tempting|out|eliminated|ruled out|invalid|isn't|aren't|wasn't|cannot|can't|doesn't|does not|falsch|incorrecta|incorrecto|falsa|fausse|faux|no sirve|no es)(?![A-Za-z])|错|不|誤|неверно))";
constexpr const char* kRefusedBefore =
    R"((?i)(?:\bnot|n't|\bneither|\bnor|\brule out|\beliminate|\binstead of|\brather than|\bunlike|\bexcept|\bnicht|\bno es|不是)(?: be| option| choice| the)?[\s(\["'*]*$)";
constexpr const char* kNounBefore =
    R"((?i)\b(?:vitamin|hepatitis|type|group|grade|class|team|plan|set|point|line|angle|section|figure|table|part|appendix|side|vector|matrix|event|schedule|person|country|company|player|box|train|city|gene|mr|mrs|dr|figure|step|case|phase|level|layer|node|party|site|room|building|block|row|column|zone|region|factor|string|graph|process|product|country|state|variable|substance|element|compound|note|key|string|big|the|an|a|of|f|p)[. ]*[( ]$)";
constexpr const char* kWordBehind =
    R"(\G (?!(?:because|since|as|is|are|was|would|and|or|but|for|due|given|with|which|where|seems|appears|looks|best|fits|being|can|could|should|must|does|has|may|might|makes|states|says|describes|represents|correctly|in this|if|by|from)\b)[a-z])";

class ChoiceText {
 public:
  explicit ChoiceText(std::string_view raw) : text_(plain_text(raw)) { find_labels(); }

  Reading read() const {
    if (const auto reading = in_box()) return *reading;
    if (const auto reading = behind_answer()) return *reading;
    if (const auto reading = verdict()) return *reading;
    if (const auto reading = leading()) return *reading;
    if (const auto reading = conclusion()) return *reading;
    return first();
  }

 private:
  using Found = std::optional<Reading>;

  char at(std::size_t i) const { return i < text_.size() ? text_[i] : '\0'; }

  bool stands_alone(std::size_t i) const {
    if (i > 0) {
      const char before = text_[i - 1];
      if (before == '\'' && i > 1 && is_ascii_letter(text_[i - 2])) return false;  // "it'd"
      if (before == '&' || before == '^' || before == '\\' || before == '@') return false;
      if (before == '_' && i > 1 && is_letter_or_number(previous_code_point(text_, i - 1))) return false;
      if (before == '.' && i > 1 && is_ascii_letter(text_[i - 2])) return false;  // "U.S.A"
      if (before == '(' && i > 1 && is_ascii_letter(text_[i - 2])) return false;  // "f(A)"
      const char32_t c = previous_code_point(text_, i);
      if (c == 0xB0 || (c < 0x590 && is_letter_or_number(c))) return false;  // "°C"
    }
    const char next = at(i + 1);
    if (is_ascii_letter(next) || is_ascii_digit(next) || next == '=' || next == '#' || next == '^')
      return false;
    if (next == '_' && is_ascii_letter(at(i + 2))) return false;
    if (next == '\'' && is_ascii_letter(at(i + 2))) return false;  // "A's"
    if (next == '+' && !is_ascii_letter(at(i + 2))) return false;  // "C++", "A+"
    if (next == '.' && is_ascii_letter(at(i + 2)) && !is_ascii_letter(at(i + 3))) return false;  // "D.C."
    if (static_cast<unsigned char>(next) >= 0x80) {
      std::size_t behind = i + 1;
      const char32_t c = next_code_point(text_, behind);
      if (c == 0xB0 || (c < 0x590 && is_letter_or_number(c))) return false;
    }
    return true;
  }

  void find_labels() {
    static const Pattern joined(kJoined), sentence(kStillASentence);
    for (std::size_t i = 0; i < text_.size(); ++i) {
      const char c = text_[i];
      const bool capital = c >= 'A' && c <= 'J', small = c >= 'a' && c <= 'j';
      if ((!capital && !small) || !stands_alone(i)) continue;
      Label label{i, static_cast<char>(c & ~0x20), capital};
      label.bracketed =
          i > 0 && (text_[i - 1] == '(' || text_[i - 1] == '[') && (at(i + 1) == ')' || at(i + 1) == ']');
      describe(label);
      labels_.push_back(label);
    }
    for (std::size_t n = 0; n + 1 < labels_.size(); ++n) {
      const auto match = joined.find(text_, labels_[n].at + 1);
      if (!match || match->end != labels_[n + 1].at || labels_[n].capital != labels_[n + 1].capital) continue;
      const bool comma =
          text_.substr(labels_[n].at + 1, match->end - labels_[n].at - 1).find(',') != text_.npos;
      if (comma && sentence.find(text_, labels_[n + 1].at)) continue;  // "B, A is wrong"
      if (labels_[n + 1].word && labels_[n + 1].letter == 'A') continue;
      labels_[n].listed = labels_[n + 1].listed = true;
    }
    find_headings();
  }

  /// Options that are written out stand in order: a line each, or "A: 3. B: 4".
  void find_headings() {
    static const Pattern line(R"((?:^|\n|[.;,] )[ \t*(\[]*+([A-Ja-j])[)\].:])");
    std::vector<Label*> headings;
    line.for_each(text_, [&](Match match) {
      const std::size_t at = line.find(text_, match.begin, 1)->begin;
      const auto label = std::ranges::lower_bound(labels_, at, {}, &Label::at);
      if (label != labels_.end() && label->at == at) headings.push_back(&*label);
    });
    for (std::size_t i = 0; i + 1 < headings.size(); ++i) {
      if (headings[i + 1]->letter == headings[i]->letter + 1)
        headings[i]->heading = headings[i + 1]->heading = true;
    }
  }

  void describe(Label& label) const {
    static const Pattern behind(kRefusedBehind), before(kRefusedBefore), noun(kNounBefore), word(kWordBehind);
    const std::string_view text = text_;
    const std::size_t reach = label.at - std::min<std::size_t>(label.at, 40);
    const std::string_view lead = text.substr(reach, label.at - reach);
    std::size_t from = 0;
    while (from < lead.size() && is_utf8_continuation(lead[from])) ++from;
    const std::string_view head = lead.substr(from);
    label.refused = behind.find(text, label.at + 1).has_value() || before.find(head, 0).has_value();
    if (label.bracketed) return;
    const bool article = label.letter == 'A' || label.letter == 'I';
    label.word = (article && word.find(text, label.at + 1).has_value()) || noun.find(head, 0).has_value() ||
                 is_measure(label.at);
  }

  /// The C of "20 C".
  bool is_measure(std::size_t i) const {
    return i > 1 && text_[i - 1] == ' ' && is_ascii_digit(text_[i - 2]) &&
           (text_[i] == 'C' || text_[i] == 'F');
  }

  const Label* label_at(std::size_t at) const {
    const auto found = std::ranges::lower_bound(labels_, at, {}, &Label::at);
    return found != labels_.end() && found->at == at ? &*found : nullptr;
  }

  static Reading several() { return {std::nullopt, "several"}; }

  /// What a label says that stands where an answer is announced; nullopt: nothing.
  Found announced(const Label* label, std::string_view rule) const {
    if (!label || label->refused || (label->word && !label->capital)) return std::nullopt;
    if (label->word && (label->letter == 'A' || label->letter == 'I')) return std::nullopt;
    if (!label->capital && !closes(*label)) return std::nullopt;
    if (label->listed) return several();
    return Reading{std::string(1, label->letter), rule};
  }

  /// Whether a small letter is followed by what no word of a sentence is.
  bool closes(const Label& label) const {
    static const Pattern end(
        R"((?i)\G(?:[)\]}*"'`$.,:;!<]|[ \t\r]{0,9}(?:\n|$)| (?:because|since|as|for|is correct)\b| -))");
    return end.find(text_, label.at + 1).has_value();
  }

  Found in_box() const {
    const auto boxes = boxes_in(text_);
    for (auto box = boxes.rbegin(); box != boxes.rend(); ++box) {
      const auto begin = static_cast<std::size_t>(box->data() - text_.data());
      std::set<char> letters;
      for (const Label& label : labels_) {
        if (label.at >= begin && label.at < begin + box->size()) letters.insert(label.letter);
      }
      const Label* label = label_at(skip_filling(text_, begin));
      if (!label || label->at >= begin + box->size()) continue;
      const bool labels_a_text =
          at(label->at + 1) == '.' || at(label->at + 1) == ')' || at(label->at + 1) == ':';
      if (label->listed || (letters.size() > 1 && !labels_a_text)) return several();
      return Reading{std::string(1, label->letter), "box"};
    }
    return std::nullopt;
  }

  /// The labels "(B)" and "option B" between two places that nobody refuses, if they agree.
  Found named_between(std::size_t begin, std::size_t end, std::string_view rule) const {
    std::set<char> letters;
    for (auto label = std::ranges::lower_bound(labels_, begin, {}, &Label::at);
         label != labels_.end() && label->at < end; ++label) {
      if (!label->refused && !label->heading && (label->bracketed || is_named(*label)))
        letters.insert(label->letter);
    }
    if (letters.empty()) return std::nullopt;
    return letters.size() > 1 ? several() : Reading{std::string(1, *letters.begin()), rule};
  }

  /// "option B", "choice B".
  bool is_named(const Label& label) const {
    std::size_t end = label.at;
    while (end > 0 &&
           (text_[end - 1] == ' ' || text_[end - 1] == '(' || text_[end - 1] == '*' || text_[end - 1] == '"'))
      --end;
    const std::string word = word_before(text_, end);
    return word == "option" || word == "choice" || word == "letter" || word == "answer" ||
           word == "alternative" || text_.substr(0, end).ends_with("opción") ||
           text_.substr(0, end).ends_with("选项");
  }

  Found behind_answer() const {
    const auto marks = answer_marks_in(text_);
    for (auto mark = marks.rbegin(); mark != marks.rend(); ++mark) {
      if (mark->negated) continue;
      const Label* label = label_at(mark->value);
      if (auto reading = announced(label, "answer")) return reading;
      if (label) continue;
      if (auto reading = named_between(mark->value, sentence_end(text_, mark->value), "answer");
          reading && (mark->stated || mark->heading))
        return reading;
    }
    return std::nullopt;
  }

  /// "The correct option is C", "I would pick B", "C is correct".
  Found verdict() const {
    static const Pattern before(
        R"((?i)(?<![A-Za-z])(?:(?:correct|right|best|true|valid|proper|most likely)(?: (?:option|choice|letter|one|statement|response|selection|match|ones?))?(?=\W*(?:is\b|:|would|should|must|seems|=))|richtig(?: ist)?|(?:choose|chose|pick|select|selected|go with|going with|opt for|choosing|picking|selecting)(?![A-Za-z]))|(?:正确|应该?选|选择|故选|所以选)(?:选项)?)");
    static const Pattern behind(
        R"((?i)\G[)\]}*"'`$]{0,4}(?:[.:)][^.\n]{0,80}?)?\s+(?:is|are|was|would be|seems|must be|ist|es|est) (?:(?:also|clearly|the|most|therefore|definitely|la|die|la plus) )*(?:correct|right|best|true|answer|appropriate|accurate|richtig|correcta|correcte)(?![A-Za-z]))");
    static const Pattern fits(
        R"((?i)\G[)\]}*"'`$]{0,4} (?:fits|matches|works|makes the most sense|applies|is most)\b)");
    Found last;
    std::size_t place = 0;
    const auto take = [&](std::size_t where, const Found& found) {
      if (found && where >= place) {
        last = found;
        place = where;
      }
    };
    before.for_each(text_, [&](Match match) {
      const Label* label = label_at(skip_filling(text_, match.end));
      if (label) take(label->at, announced(label, "verdict"));
    });
    for (const Label& label : labels_) {
      if (!label.capital || label.refused) continue;
      if (behind.find(text_, label.at + 1) || fits.find(text_, label.at + 1))
        take(label.at, announced(&label, "verdict"));
    }
    return last;
  }

  /// The text begins with a letter and what closes it, and is no list of all options.
  Found leading() const {
    const Label* label = label_at(std::min(text_.find_first_not_of(" \t\r\n*_#>`\"'([{$"), text_.size()));
    if (!label || label->refused) return std::nullopt;
    static const Pattern closed(R"(\G[*_"'`$]{0,4}(?:[)\]}.:,;!]|[ \t\r]{0,9}(?:\n|$)| +[-(]))");
    const bool alone = text_.find_first_not_of(" \t\r\n*_`\"')]}.$:!", label->at + 1) == text_.npos;
    if (!alone &&
        (!closed.find(text_, label->at + 1) || (!label->capital && !label->bracketed && !closes(*label))))
      return std::nullopt;
    if ((label->word && !alone) || label->listed || label->heading) return std::nullopt;
    return Reading{std::string(1, label->letter), "leading"};
  }

  /// "Therefore C", "so it must be B".
  Found conclusion() const {
    static const Pattern word(
        R"((?i)(?<![A-Za-z])(?:therefore|thus|hence|so|it's|it is|it must be|must be|it has to be|leaves|leaving|also|folglich)(?![A-Za-z]))");
    Found last;
    word.for_each(text_, [&](Match match) {
      const Label* label = label_at(skip_filling(text_, match.end));
      if (auto found = announced(label, "conclusion")) last = found;
    });
    if (last) return last;
    static const Pattern is(
        R"((?<![A-Za-z])(?:is|are|be) (?:option |choice )?[(*"']{0,3}([A-J])[)*"']{0,3}(?:[.!]\s|[.!]?\s{0,3}$))");
    is.for_each(text_, [&](Match match) {
      if (auto found = announced(label_at(is.find(text_, match.begin, 1)->begin), "conclusion")) last = found;
    });
    return last;
  }

  /// "(B)" or "option B" where only one is named, else the first capital that is no word and is not refused.
  Reading first() const {
    const Found named = named_between(0, text_.size(), "named");
    if (named && named->found) return *named;
    bool listed = false;
    for (const Label& label : labels_) {
      if (!label.capital || label.word || label.refused || label.heading) continue;
      if (!label.listed) return {std::string(1, label.letter), "first"};
      listed = true;
    }
    return listed || named ? several() : Reading{std::nullopt, "nothing"};
  }

  std::string text_;
  std::vector<Label> labels_;
};

}  // namespace

Reading read_choice(std::string_view text) {
  return read_answering_part(text, [](std::string_view part) { return ChoiceText(part).read(); });
}

}  // namespace rocket
