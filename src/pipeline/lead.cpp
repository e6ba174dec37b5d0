#include "pipeline/lead.h"

#include <numeric>
#include <utility>

#include "base/random.h"
#include "pipeline/options.h"
#include "pipeline/task_data.h"
#include "text/chat_prompt.h"
#include "text/example.h"

namespace rocket {
namespace {

/// An example of a prompt: the question of a shot with its answer.
std::string example_text(const Record& shot, const PromptTemplate& prompt) {
  const std::string answer =
      shot.right_choice ? shot.delimiter + shot.choices[*shot.right_choice] : shot.target();
  return prompt_text(shot, prompt) + answer + "\n\n";
}

/// Which of the first K shots are the task.fewshot examples.
std::vector<std::int64_t> chosen_shots(const RunConfig::Task& task) {
  std::vector<std::int64_t> chosen(static_cast<std::size_t>(task.k));
  std::iota(chosen.begin(), chosen.end(), 0);
  if (task.fewshot_draw.seed) chosen = permutation(task.k, *task.fewshot_draw.seed, stream("task.fewshot"));
  chosen.resize(static_cast<std::size_t>(task.fewshot));
  return chosen;
}

}  // namespace

Lead::Lead(const RunConfig& config, std::vector<Record> examples)
    : form_(task_form(config)), template_(prompt_template(config)), examples_(std::move(examples)) {
  if (template_.chat) return;
  for (const Record& example : examples_) text_ += example_text(example, template_);
}

Lead Lead::of_evaluation(const RunConfig& config) {
  if (config.task.fewshot == 0) return Lead(config);
  const std::vector<Record> shots = read_shot_records(config);
  check_shot_count(config, shots.size());
  std::vector<Record> examples;
  for (const std::int64_t i : chosen_shots(config.task)) {
    examples.push_back(shots[static_cast<std::size_t>(i)]);
    check_target(examples.back());
  }
  return Lead(config, std::move(examples));
}

void Lead::put_before(Record& record, const JsonValue& object) const {
  const std::string description = form_.description(object, place(record));
  if (template_.chat) return put_turns_before(record, description);
  const std::string text = description + text_;
  if (!text.empty()) record.prompt = text + prompt_text(record, template_);
}

void Lead::put_turns_before(Record& record, const std::string& description) const {
  if (!description.empty()) record.system += (record.system.empty() ? "" : "\n\n") + description;
  std::vector<Turn> turns;
  for (const Record& example : examples_) {
    turns.push_back({Role::user, asked(example)});
    turns.push_back({Role::assistant, answered(example)});
  }
  record.before.insert(record.before.begin(), turns.begin(), turns.end());
}

}  // namespace rocket
