// JSON strings on stdin, one a line -> what is found in each, and the rule that decided.
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/output.h"
#include "jobs.h"
#include "scoring/answer.h"

namespace rocket {

namespace {

using nlohmann::json;

AnswerExtractor extractor_of(const ExtractRequest& request) {
  const AnswerKind kind = answer_kind(request.answer);
  if (request.pattern && kind != AnswerKind::regex)
    fail(ExitCode::usage, "--pattern: only --answer regex has a pattern");
  if (!request.pattern && kind == AnswerKind::regex)
    fail(ExitCode::usage, "--answer regex needs --pattern, with one group");
  if (!(request.yes_words.empty() && request.no_words.empty()) && kind != AnswerKind::boolean)
    fail(ExitCode::usage, "--yes-word and --no-word: only --answer boolean has words");
  return AnswerExtractor(
      kind, request.pattern.value_or(""),
      {.last = request.take == "last", .words = {.yes = request.yes_words, .no = request.no_words}});
}

std::string text_of(const std::string& line, std::int64_t number) {
  const json value = json::parse(line, nullptr, false);
  if (!value.is_string())
    fail_data("stdin:{}: expected a JSON string on each line, such as \"The answer is 14.\"", number);
  return value.get<std::string>();
}

}  // namespace

void extract(const ExtractRequest& request) {
  const AnswerExtractor extractor = extractor_of(request);
  std::int64_t number = 0;
  for (std::string line; std::getline(std::cin, line);) {
    const Reading reading = extractor.read(text_of(line, ++number));
    print_result(
        json{{"found", reading.found ? json(*reading.found) : json()}, {"rule", reading.rule}}.dump() + "\n");
  }
}

}  // namespace rocket
