#include "text/task_form.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "text/unicode.h"

namespace rocket {
namespace {

using Kind = JsonValue::Kind;
constexpr char kLiteral = '=';

/// A whole number from 0, as text; nullopt: it is none.
std::optional<std::size_t> index_of(std::string_view text) {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return index;
}

/// Where `text` stands for the first time.
std::optional<std::size_t> place_of(const std::vector<std::string>& texts, std::string_view text) {
  const auto found = std::ranges::find(texts, text);
  if (found == texts.end()) return std::nullopt;
  return static_cast<std::size_t>(found - texts.begin());
}

std::string in_quotes(const std::vector<std::string>& texts) {
  return fmt::format("'{}'", fmt::join(texts, "', '"));
}

}  // namespace

std::vector<std::string> TextList::texts(const JsonValue& object, std::string_view place,
                                         std::string_view setting) const {
  std::vector<std::string> all;
  if (list.empty()) {
    for (const std::string& member : members)
      all.push_back(member.starts_with(kLiteral) ? member.substr(1)
                                                 : field_text(object, member, place, setting));
    return all;
  }
  const JsonValue* found = find_field(object, list);
  if (!found)
    fail_data("{}: {}: no field '{}'; there are: {}", place, setting, list, fmt::join(object.keys, ", "));
  if (found->kind != Kind::array)
    fail_data("{}: {}: field '{}': expected a list, got {}", place, setting, list, name_of(found->kind));
  for (std::size_t i = 0; i < found->items.size(); ++i)
    all.push_back(field_text(*found, std::to_string(i), place, fmt::format("{}: '{}'", setting, list)));
  return all;
}

std::vector<std::string> TextList::paths() const {
  if (!list.empty()) return {list};
  std::vector<std::string> all;
  std::ranges::copy_if(members, std::back_inserter(all),
                       [](const std::string& member) { return !member.starts_with(kLiteral); });
  return all;
}

TaskForm::TaskForm(TaskFields fields) : fields_(std::move(fields)) {
  if (fields_.prompt) prompt_.emplace(*fields_.prompt, "task.prompt");
  if (fields_.target) target_.emplace(*fields_.target, "task.target");
  if (fields_.description) description_.emplace(*fields_.description, "task.description");
}

std::vector<std::string> TaskForm::paths() const {
  std::vector<std::string> all;
  const auto add = [&](const std::vector<std::string>& more) {
    for (const std::string& path : more) all.push_back(plain_path(path));
  };
  if (prompt_) add(prompt_->fields());
  if (description_) add(description_->fields());
  if (target_) add(target_->fields());
  add(fields_.choices.paths());
  add(fields_.labels.paths());
  if (fields_.gold) add({*fields_.gold});
  return all;
}

bool TaskForm::has_field_of_prompt(const JsonValue& object) const {
  return prompt_ && std::ranges::any_of(prompt_->fields(), [&](const std::string& path) {
           return find_path(object, plain_path(path)) != nullptr;
         });
}

void TaskForm::fill_prompt(Record& record, const JsonValue& object) const {
  if (!prompt_) return;
  const std::string place = fmt::format("{}:{}", record.file, record.line);
  record.prompt = prompt_->render(object, place);
  if (record.instruction.empty()) record.instruction = prompt_->values(object, place);
}

void TaskForm::fill(Record& record, const JsonValue& object, bool is_shot) const {
  fill_prompt(record, object);
  const std::string place = fmt::format("{}:{}", record.file, record.line);
  if (fields_.gold) fill_answer(record, object, place);
  record.delimiter = fields_.delimiter;
  fill_target(record, object, is_shot, place);
}

void TaskForm::fill_target(Record& record, const JsonValue& object, bool is_shot,
                           std::string_view place) const {
  if (record.rationale || !is_white_space_only(record.output)) return;
  if (target_ && is_shot)
    record.output = target_->render(object, place);
  else if (record.answer && (prompt_ || fields_.gold))
    record.output = *record.answer;
  else
    return;
  record.behind_delimiter = true;
}

std::string TaskForm::description(const JsonValue& object, std::string_view place) const {
  return description_ ? description_->render(object, place) : "";
}

void TaskForm::fill_answer(Record& record, const JsonValue& object, std::string_view place) const {
  if (fields_.choices.empty()) {
    record.answer = field_text(object, *fields_.gold, place, "task.gold");
    return;
  }
  record.choices = fields_.choices.texts(object, place, "task.choices");
  if (record.choices.size() < 2)
    fail_data("{}: task.choices: expected two choices or more, got {}", place, record.choices.size());
  if (const auto empty = place_of(record.choices, ""))
    fail_data("{}: task.choices: choice {} (from 0) is empty", place, *empty);
  record.right_choice = right_choice(object, record.choices, place);
  record.answer = record.choices[*record.right_choice];
}

std::size_t TaskForm::right_choice(const JsonValue& object, const std::vector<std::string>& choices,
                                   std::string_view place) const {
  const std::string gold = field_text(object, *fields_.gold, place, "task.gold");
  if (!fields_.labels.empty()) {
    const std::vector<std::string> labels = fields_.labels.texts(object, place, "task.labels");
    if (labels.size() != choices.size())
      fail_data("{}: task.labels: {} labels for {} choices", place, labels.size(), choices.size());
    auto found = place_of(labels, gold);
    if (!found) found = place_of(labels, fold_white_space(gold));
    if (!found) fail_data("{}: task.gold: '{}' is none of the labels {}", place, gold, in_quotes(labels));
    return *found;
  }
  const Kind kind = find_field(object, *fields_.gold)->kind;
  if (kind == Kind::boolean) return gold == "true" ? 1 : 0;
  const auto index = index_of(gold);
  const bool is_index = index && *index < choices.size();
  if (kind == Kind::number) {
    if (!is_index)
      fail_data("{}: task.gold: {} is no index of {} choices, which count from 0; task.labels names labels",
                place, gold, choices.size());
    return *index;
  }
  const auto text = place_of(choices, gold);
  if (text && is_index && *text != *index)
    fail_data(
        "{}: task.gold: '{}' is the text of choice {} and the index of another: task.labels says which is "
        "meant "
        "(for the text: the path of the choices)",
        place, gold, *text);
  if (text) return *text;
  if (is_index) return *index;
  fail_data("{}: task.gold: '{}' is neither an index from 0 nor one of the choices {}", place, gold,
            in_quotes(choices));
}

}  // namespace rocket
