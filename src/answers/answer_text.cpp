#include "answers/answer_text.h"

#include <algorithm>

#include "answers/answer_words.h"
#include "text/pattern.h"
#include "text/unicode.h"

namespace rocket {
namespace {

constexpr std::string_view kBlanks = " \t\r\n\f\v";
/// Bytes that are looked at behind one announcement: a text of nothing but announcements takes linear time.
constexpr std::size_t kReach = 400;

bool is_blank(std::string_view text) {
  return text.find_first_not_of(kBlanks) == std::string_view::npos;
}

// Ends of reasoning, as the families of today write them; specials may have been left out in decoding.
constexpr const char* kReasoningEnd =
    R"(</think(?:ing)?>|</reasoning>|</thought>|</seed:think>|\[/THINK\]|<\|channel\|>final<\|message\|>|assistantfinal)";
constexpr const char* kReasoningBegin =
    R"(^\s*+(?:<think(?:ing)?>|<reasoning>|<thought>|<seed:think>|\[THINK\]))";

/// Marks that no answer holds: specials of chat templates, and headings of instruction templates.
constexpr const char* kTurn =
    R"((<\|(?:im_end|eot_id|eom_id|end_of_text|endoftext|end|return)\|>|<end_of_turn>|</s>|<eos>|\[/INST\]|)"
    R"(<\|im_start\|>\s*assistant|<\|start_header_id\|>\s*assistant|<\|assistant\|>|<start_of_turn>\s*model|)"
    R"((?m:^[ \t]*+\#{2,4} ?(?:Response|Assistant|Output)\b:?)|(?m:^(?:assistant|model)\r?$)|)"
    R"((?<![A-Za-z ])assistant\n\n)|)"
    R"(<\|im_start\|>|<\|start_header_id\|>|<\|(?:user|system)\|>|<start_of_turn>|<s>|<bos>|\[INST\]|)"
    R"((?m:^[ \t]*+\#{2,4} ?(?:Instruction|Input|Question|Human|User|Task|Problem|System)\b:?)|)"
    R"((?m:^(?:user|human|system)\r?$)|Below is an instruction that describes a task)";

/// Of these what a program may hold is not one: neither "## Input" nor "<s>".
constexpr const char* kTurnBehindProgram =
    R"((<\|(?:im_end|eot_id|eom_id|end_of_text|endoftext|return)\|>|<end_of_turn>|\[/INST\]|(?m:^\#{3} Response:)|(?m:^assistant\r?$))|)"
    R"(<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|\[INST\]|(?m:^\#{3} (?:Instruction|Input|Question|Human|User):)|(?m:^user\r?$))";

/// Headings that people write, too.
constexpr const char* kSoftTurn =
    R"((?m)^[ \t*]*+(?:Question|Q|Problem|Human|User|USER|Instruction|Input|Assistant|ASSISTANT)(?: \d{1,3})?\**+:)";

std::string_view behind_reasoning(std::string_view text) {
  static const Pattern ends(kReasoningEnd), begins(kReasoningBegin);
  std::optional<Match> last;
  ends.for_each(text, [&](Match match) { last = match; });
  if (last) {
    const std::string_view rest = text.substr(last->end);
    return is_blank(rest) ? text.substr(0, last->begin) : rest;
  }
  return begins.find(text, 0) ? std::string_view() : text;  // cut off before it came to an answer
}

/// The first piece of `text` between turns that is somebody's answer, else the first that is not blank.
std::string_view answering_turn(std::string_view text, const Pattern& turn) {
  std::string_view first;
  std::size_t begin = 0;
  bool answers = true;
  std::optional<std::string_view> found;
  const auto close = [&](std::size_t end) {
    const std::string_view piece = text.substr(begin, end - begin);
    if (is_blank(piece)) return;
    if (first.empty()) first = piece;
    if (answers && !found) found = piece;
  };
  turn.for_each(text, [&](Match match) {
    if (found) return;
    close(match.begin);
    begin = match.end;
    answers = turn.find(text, match.begin, 1).has_value();
  });
  if (!found) close(text.size());
  return found ? *found : first;
}

/// A pattern of words that stand alone or touch their neighbours.
template <std::size_t N, std::size_t M>
std::string any_of_words(const std::array<std::string_view, N>& alone,
                         const std::array<std::string_view, M>& touching) {
  std::string pattern = "(?i)(?<![\\p{L}0-9/])(?:";
  for (const std::string_view word : alone) pattern.append(word).append("|");
  pattern.back() = ')';
  pattern += "(?![\\p{L}0-9])";
  for (const std::string_view word : touching) pattern.append("|").append(word);
  return pattern;
}

const Pattern& answer_word() {
  static const Pattern pattern(any_of_words(kAnswerWords, kTouchingAnswerWords));
  return pattern;
}

bool is_filling_word(std::string_view word) {
  return std::ranges::find(kFillingWords, word) != kFillingWords.end();
}

/// Behind the longest touching word that begins at `at`; `at` where there is none.
std::size_t skip_touching(std::string_view text, std::size_t at) {
  std::size_t longest = 0;
  for (const std::string_view word : kTouchingFillingWords) {
    if (text.substr(at).starts_with(word)) longest = std::max(longest, word.size());
  }
  return at + longest;
}

constexpr const char* kNegation =
    R"((?i)\G\W{0,3}(?:is |was |ist |es |est |can |could |does |would |should )?(?:not|n't|isn't|wasn't|cannot|can't|never|nicht|no es|n'est pas)(?![A-Za-z]))";
constexpr const char* kCorrection =
    R"((?i)\b(?:but|rather|instead|it is|it's|sondern|sino|mais)(?![A-Za-z]))";
constexpr const char* kVerb =
    R"((?i)\G[^\n.:;?!<]{1,80}?(?:\b(?:is|are|was|be|equals|ist|lautet|es|est)(?![A-Za-z'])|[:=]))";
constexpr const char* kStating = R"((?i)(?<![A-Za-z])(?:is|are|was|be|ist|lautet|es|est)(?![A-Za-z])|是|为)";

}  // namespace

Reading read_answering_part(std::string_view text, const std::function<Reading(std::string_view)>& read) {
  static const Pattern soft(kSoftTurn), turns(kTurn);
  const std::string_view turn = answering_turn(behind_reasoning(text), turns);
  const std::size_t from = std::min(turn.find_first_not_of(kBlanks), turn.size());
  const auto heading = soft.find(turn, from);
  if (heading && heading->begin > from) {
    const Reading before = read(turn.substr(0, heading->begin));
    if (before.found || before.rule != "nothing") return before;
  }
  return read(turn);
}

std::string_view before_next_turn(std::string_view text) {
  static const Pattern turns(kTurnBehindProgram);
  return answering_turn(behind_reasoning(text), turns);
}

std::vector<std::string_view> boxes_in(std::string_view plain) {
  constexpr std::string_view kBox = "\\boxed";
  std::vector<std::string_view> boxes;
  for (std::size_t at = plain.find(kBox); at != std::string_view::npos; at = plain.find(kBox, at)) {
    at += kBox.size();
    const std::size_t begin = std::min(plain.find_first_not_of(' ', at), plain.size());
    if (begin == plain.size() || plain[begin] != '{') {
      boxes.push_back(plain.substr(begin, plain.find_first_of(" \n$", begin) - begin));
      continue;
    }
    int depth = 0;
    std::size_t end = begin;
    for (; end < plain.size(); ++end) {
      depth += (plain[end] == '{') - (plain[end] == '}');
      if (depth == 0) break;
    }
    boxes.push_back(plain.substr(begin + 1, std::max(end, begin + 1) - begin - 1));
    at = begin + 1;
    if (end == plain.size()) break;  // cut off: what follows lies inside
    at = end;
  }
  return boxes;
}

std::string word_from(std::string_view text, std::size_t at) {
  std::string word;
  for (; at < text.size() && is_ascii_letter(text[at]) && word.size() < 40; ++at)
    word += static_cast<char>(text[at] | 0x20);
  return word;
}

std::string word_before(std::string_view text, std::size_t end) {
  std::size_t begin = end;
  while (begin > 0 && is_ascii_letter(text[begin - 1]) && end - begin < 40) --begin;
  return word_from(text.substr(0, end), begin);
}

std::size_t skip_filling(std::string_view plain, std::size_t at) {
  constexpr std::string_view kFilling = " \t\r\n*_#>`\"'([{:=~|,-+$";
  const std::size_t limit = at + kReach;
  while (at < plain.size() && at < limit) {
    if (kFilling.find(plain[at]) != std::string_view::npos) {
      ++at;
    } else if (const std::string word = word_from(plain, at); is_filling_word(word)) {
      at += word.size();
    } else if (const std::size_t behind = skip_touching(plain, at); behind > at) {
      at = behind;
    } else {
      break;
    }
  }
  return at;
}

std::size_t sentence_end(std::string_view plain, std::size_t at) {
  plain = plain.substr(0, at + kReach);
  for (; at < plain.size(); ++at) {
    const char c = plain[at];
    if (c == '\n' || c == '?' || c == '!' || c == ';' || c == '<') return at;
    if (c == '.' && (at + 1 == plain.size() || kBlanks.find(plain[at + 1]) != std::string_view::npos))
      return at;
  }
  return at;
}

std::vector<AnswerMark> answer_marks_in(std::string_view plain) {
  static const Pattern negation(kNegation), correction(kCorrection), verb(kVerb), stating(kStating);
  std::vector<AnswerMark> marks;
  answer_word().for_each(plain, [&](Match word) {
    AnswerMark mark{word.begin, word.end};
    // "answer:", "**answer** =", "<answer>", "\"answer\": "; but not "answer is"
    const std::size_t sign = std::min(plain.find_first_not_of(" *_\"')]}#", word.end), plain.size());
    mark.heading = sign < plain.size() &&
                   (plain[sign] == ':' || plain[sign] == '=' || plain[sign] == '>' || plain[sign] == '\n');
    std::size_t from = word.end;
    if (!mark.heading) {
      const std::size_t direct = skip_filling(plain, from);
      const bool qualified = word_from(plain, direct).size() > 1;  // "the answer to question 3 is"
      const auto behind = qualified ? verb.find(plain, from) : std::nullopt;
      if (behind && behind->end > direct) from = behind->end;
    }
    if (const auto no = negation.find(plain, from)) {
      const auto instead = correction.find(plain.substr(0, sentence_end(plain, no->end)), no->end);
      if (instead)
        from = instead->end;
      else
        mark.negated = true;
    }
    mark.value = skip_filling(plain, from);
    mark.stated = !mark.heading && stating.find(plain.substr(0, mark.value), word.end).has_value();
    marks.push_back(mark);
  });
  return marks;
}

}  // namespace rocket
