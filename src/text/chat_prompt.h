// A record as the turns of a chat.
#pragma once

#include <string>
#include <vector>

#include "text/record.h"

namespace rocket {

/// What the user's last turn says: the task's own prompt (Record::prompt), else the question and, on a line
/// of its own, the input.
std::string asked(const Record& record);

/// What the assistant answers: the right choice, else what a model is scored on, without the delimiter in
/// front.
std::string answered(const Record& record);

/// The system text if there is one, the earlier turns, and what is asked.
std::vector<Turn> turns_to_answer(const Record& record);

}  // namespace rocket
