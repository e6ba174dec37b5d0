// What a task asks about an item: the prompt, the choices and the right one, read from the item's own fields.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/field_template.h"
#include "text/record.h"

namespace rocket {

/// Texts that an item lists: `list` is the path of a list, or `members` are fields one by one, and behind "="
/// the texts themselves.
struct TextList {
  std::string list;
  std::vector<std::string> members;

  bool empty() const { return list.empty() && members.empty(); }
  /// Throws data (65) "<place>: <setting>: ...": no such field, no list, or an item that is no text.
  std::vector<std::string> texts(const JsonValue& object, std::string_view place,
                                 std::string_view setting) const;
  std::vector<std::string> paths() const;
};

/// The settings of the section `task` that say where an item keeps what.
struct TaskFields {
  std::optional<std::string> prompt, description, target;
  TextList choices, labels;
  std::optional<std::string> gold;
  std::string delimiter = " ";
};

class TaskForm {
 public:
  /// Records as they are: prompts are made by prompt.template.
  TaskForm() = default;
  /// Throws config (78) naming the setting whose template is wrong.
  explicit TaskForm(TaskFields fields);

  /// Whether the task writes its prompts itself; an item then needs no instruction.
  bool writes_prompts() const { return prompt_.has_value(); }
  /// What is read of an item beside the fields of a record.
  std::vector<std::string> paths() const;

  /// Gives `record`, which was read from `object`:
  /// - its prompt, where the task has a template; its instruction, where it has none of its own, is then what
  ///   the template reads from it, a field a line, without the template's words;
  /// - its choices, the place of the right one, and its answer: the right choice's or the gold field's text;
  /// - where it has neither rationale nor output, what a shot is scored on behind the delimiter: as the
  /// target's
  ///   template says, else its answer.
  /// `is_shot`: the template of targets reads it. Throws data (65) with the record's place and the setting.
  void fill(Record& record, const JsonValue& object, bool is_shot) const;
  /// The prompt alone, of a record whose answer nobody knows. Throws likewise.
  void fill_prompt(Record& record, const JsonValue& object) const;
  /// Whether `object` has any field of the template of prompts.
  bool has_field_of_prompt(const JsonValue& object) const;
  /// task.description for an item; "" where there is none.
  std::string description(const JsonValue& object, std::string_view place) const;

 private:
  void fill_target(Record& record, const JsonValue& object, bool is_shot, std::string_view place) const;
  void fill_answer(Record& record, const JsonValue& object, std::string_view place) const;
  std::size_t right_choice(const JsonValue& object, const std::vector<std::string>& choices,
                           std::string_view place) const;

  TaskFields fields_;
  std::optional<FieldTemplate> prompt_, description_, target_;
};

}  // namespace rocket
