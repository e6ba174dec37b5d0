// What stands in front of the questions of a task.
#pragma once

#include <string>
#include <vector>

#include "config/run_config.h"
#include "formats/json_value.h"
#include "text/prompt.h"
#include "text/record.h"
#include "text/task_form.h"

namespace rocket {

/// task.description and examples. In a chat the description belongs to the system text, and each example is
/// two earlier turns.
class Lead {
 public:
  /// `examples` stand in front of each question, in order.
  explicit Lead(const RunConfig& config, std::vector<Record> examples = {});
  /// Behind task.fewshot of the shots. Throws data (65) where the shots file holds fewer than task.k, or one
  /// that is chosen has no target.
  static Lead of_evaluation(const RunConfig& config);

  /// `object` is what `record` was read from. Throws data (65) where task.description names a field that it
  /// lacks.
  void put_before(Record& record, const JsonValue& object) const;

 private:
  void put_turns_before(Record& record, const std::string& description) const;

  TaskForm form_;
  PromptTemplate template_;
  std::vector<Record> examples_;
  std::string text_;  // of the examples
};

}  // namespace rocket
