// The text of a generation as its reader sees it: one spelling of each character, without marks of LaTeX,
// without reasoning and without the turns that a model goes on to write by itself; and what announces an
// answer.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "answers/reading.h"

namespace rocket {

/// Digits of all scripts, full-width and circled letters, minus signs, spaces, fractions and superscripts in
/// ASCII ("5\u00B2" is "5^2", "\u00BD" is "1/2"); commands of LaTeX resolved, except \boxed.
std::string plain_text(std::string_view text);

/// Reads the piece of a generation in which the answer lies: behind the reasoning, before the next turn.
/// Where a heading such as "Question:" may as well be part of the answer, the text before it decides if it
/// has an answer, else all of it. A piece has none where `read` says "nothing".
Reading read_answering_part(std::string_view text, const std::function<Reading(std::string_view)>& read);

/// The same cut for programs: before the first mark of a next turn that is no Python.
std::string_view before_next_turn(std::string_view text);

/// The contents of every \boxed{...} of a plain text; of "\boxed 5" the next word.
std::vector<std::string_view> boxes_in(std::string_view plain);

/// A place behind which a plain text gives its answer.
struct AnswerMark {
  std::size_t begin = 0, end = 0;  // of the word that announces it
  std::size_t value = 0;           // where the answer itself begins, or would
  bool heading = false;            // "Answer: ...", where whole paragraphs may follow
  bool stated = false;             // "the answer is ...": a verb in between
  bool negated = false;            // "the answer is not ..."
};

/// In order. "answer" in the languages of answer_words.h.
std::vector<AnswerMark> answer_marks_in(std::string_view plain);

/// Behind white space, punctuation and words that stand between an announcement and its answer ("is", "the
/// option", "approximately").
std::size_t skip_filling(std::string_view plain, std::size_t at);

/// The end of the sentence or line that holds text[at].
std::size_t sentence_end(std::string_view plain, std::size_t at);

/// The word of ASCII letters that begins at `at`, or ends there, in lower case.
std::string word_from(std::string_view text, std::size_t at);
std::string word_before(std::string_view text, std::size_t end);

constexpr bool is_ascii_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr bool is_ascii_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace rocket
