// The table of rules by which answers are read: the documentation and the tests are made from it.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace rocket {

/// One rule of a kind of answer, and what it makes of an example. Rules of a kind stand in the order in which
/// they are tried; the first that finds something decides.
struct AnswerRule {
  std::string_view kind;     // as task.answer
  std::string_view name;     // as `rocket extract` prints it
  std::string_view takes;    // what it reads
  std::string_view example;  // a generation
  const char* found;         // the answer in it; nullptr: none
};

/// A way in which models write an answer of a kind, whichever rule finds it.
struct AnswerForm {
  std::string_view kind;
  std::string_view text;
  const char* found;
  std::string_view note;
};

std::span<const AnswerRule> answer_rules();
std::span<const AnswerForm> answer_forms();

/// configs/answers.md.
std::string answers_page();

}  // namespace rocket
