#include "text/reading_notes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace rocket {
namespace {

using Kind = JsonValue::Kind;

constexpr std::array kReasoning = {"reasoning_content", "reasoning", "thinking"};
constexpr std::array kBeside = {"tools", "functions", "documents", "images", "videos", "audios"};
constexpr std::array kTexts = {"instruction", "input", "output"};              // of a record that is no chat
constexpr std::array kTextsBeside = {"rationale", "system", "system_prompt"};  // of a chat, too
constexpr std::array kTurnTexts = {"content", "value"};
constexpr std::size_t kNamed = 12;  // keys and files that a sentence names at most

/// A text, a list or an object that is not empty.
bool holds_something(const JsonValue* value) {
  if (!value) return false;
  if (value->kind == Kind::string) return !value->text.empty();
  return !value->items.empty();
}

/// "a", "b", ... of names.
std::string quoted(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kNamed; ++i)
    text += fmt::format("{}'{}'", i ? ", " : "", names[i]);
  return names.size() > kNamed ? text + ", ..." : text;
}

}  // namespace

ReadingNotes::File& ReadingNotes::file(const std::string& name) {
  // Records come file by file, so the last one is nearly always the right one.
  auto found = std::find_if(files_.rbegin(), files_.rend(), [&](const File& f) { return f.name == name; });
  if (found != files_.rend()) return *found;
  files_.push_back({name, {}, {}, {}, {}});
  return files_.back();
}

/// By its own name or as the last part of a path.
bool ReadingNotes::is_mapped(std::string_view key) const {
  return std::ranges::any_of(fields_, [&](const auto& field) {
    const std::string_view theirs = field.second;
    return theirs == key || (theirs.ends_with(key) && theirs[theirs.size() - key.size() - 1] == '.');
  });
}

void ReadingNotes::remember_key(const std::string& key) {
  if (keys_.size() <= kNamed && std::ranges::find(keys_, key) == keys_.end()) keys_.push_back(key);
}

void ReadingNotes::take(const std::string& name, const JsonValue& object, const JsonValue* turns) {
  ++records_;
  for (const auto& [ours, theirs] : fields_) found_[ours] += !theirs.empty() && find_path(object, theirs);
  for (const std::string& key : object.keys) remember_key(key);
  for (const char* key : kBeside) {
    if (holds_something(object.find(key)) && !is_mapped(key)) ++file(name).records[key];
  }
  count_numbers(name, object, turns);
  if (!turns) return;
  for (const JsonValue& turn : turns->items) {
    for (const char* key : kReasoning) {
      if (holds_something(turn.find(key)) && !is_mapped(key)) ++file(name).turns[key];
    }
  }
}

void ReadingNotes::count_numbers(const std::string& name, const JsonValue& object, const JsonValue* turns) {
  const auto count = [&](const JsonValue* found, const std::string& key) {
    if (found && found->kind == Kind::number) ++file(name).numbers[key];
  };
  const auto count_field = [&](const std::string& ours) {
    const auto mapped = fields_.find(ours);
    const std::string& theirs = mapped == fields_.end() ? ours : mapped->second;
    if (!theirs.empty()) count(find_path(object, theirs), theirs);
  };
  std::ranges::for_each(kTextsBeside, count_field);
  if (!turns) {
    std::ranges::for_each(kTexts, count_field);
    return;
  }
  for (const JsonValue& turn : turns->items)
    for (const char* key : kTurnTexts) count(turn.find(key), key);
}

void ReadingNotes::take_columns(const std::string& name, const std::vector<std::string>& names) {
  for (const std::string& column : names) {
    remember_key(column);
    if (std::ranges::find(kBeside, column) != kBeside.end() && !is_mapped(column))
      file(name).columns.push_back(column);
  }
}

/// Adds what there is to say of files, of the first ones by name.
template <class F>
void ReadingNotes::add_for_each_file(std::vector<std::string>& all, F&& sentence_on) const {
  std::size_t said = 0;
  for (const File& f : files_)
    if (std::string text = sentence_on(f); !text.empty() && ++said <= kNamed) all.push_back(std::move(text));
  if (said > kNamed) all.push_back(fmt::format("and of {} more files", said - kNamed));
}

std::vector<std::string> ReadingNotes::warnings(std::string_view setting,
                                                const std::vector<std::string>& unused) const {
  std::vector<std::string> all;
  for (const auto& [ours, theirs] : fields_) {
    if (records_ == 0 || theirs.empty() || std::ranges::find(unused, ours) != unused.end()) continue;
    if (const auto found = found_.find(ours); found != found_.end() && found->second > 0) continue;
    all.push_back(fmt::format("{}: {} is mapped to '{}', which none of {} records has; they have: {}",
                              setting, ours, theirs, records_, quoted(keys_)));
  }
  add_for_each_file(all, [](const File& f) {
    std::string text;
    const auto add = [&](const std::string& what) { text += (text.empty() ? "" : ", ") + what; };
    for (const auto& [key, count] : f.turns) add(fmt::format("'{}' of {} turns", key, count));
    for (const auto& [key, count] : f.records) add(fmt::format("'{}' of {} records", key, count));
    if (!f.columns.empty()) add("the columns " + quoted(f.columns));
    if (text.empty()) return text;
    return fmt::format("{}: not read: {}. Models are trained and asked without them", f.name, text);
  });
  add_for_each_file(all, [](const File& f) {
    std::string text;
    for (const auto& [key, count] : f.numbers)
      text += fmt::format("{}'{}' of {}", text.empty() ? "" : ", ", key, count);
    if (text.empty()) return text;
    return fmt::format("{}: numbers where a text is meant, read as they are written: {}", f.name, text);
  });
  return all;
}

}  // namespace rocket
