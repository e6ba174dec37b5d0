#include "text/chat_prompt.h"

#include <algorithm>
#include <iterator>

namespace rocket {

std::string asked(const Record& record) {
  if (record.prompt) return *record.prompt;
  const std::string question = record.instruction.substr(record.context_bytes);
  return record.input.empty() ? question : question + "\n" + record.input;
}

std::string answered(const Record& record) {
  if (record.right_choice) return record.choices[*record.right_choice];
  return record.behind_delimiter && !record.rationale ? record.output : record.target();
}

std::vector<Turn> turns_to_answer(const Record& record) {
  std::vector<Turn> turns;
  if (!record.system.empty()) turns.push_back({Role::system, record.system});
  std::ranges::copy(record.before, std::back_inserter(turns));
  turns.push_back({Role::user, asked(record)});
  return turns;
}

}  // namespace rocket
