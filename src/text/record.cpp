#include "text/record.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/input_files.h"
#include "formats/value_reader.h"
#include "text/unicode.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;
using Kind = JsonValue::Kind;

/// Of "a.b" the b joins the object a; where there is none, the whole name is a key, which `find_path` looks
/// for first.
void add_member(JsonValue& object, std::string_view path, JsonValue value) {
  const std::size_t dot = path.find('.');
  JsonValue* parent = dot == std::string_view::npos ? nullptr : object.find(path.substr(0, dot));
  if (parent && parent->kind == Kind::object)
    return add_member(*parent, path.substr(dot + 1), std::move(value));
  object.keys.emplace_back(path);
  object.items.push_back(std::move(value));
}

const std::string& mapped(const FieldNames& names, const std::string& ours) {
  const auto it = names.find(ours);
  return it == names.end() ? ours : it->second;
}

/// The fields of one object of the file, by our names.
class Fields {
 public:
  Fields(const JsonValue& object, const FieldNames& names, const std::string& place)
      : object_(object), names_(names), place_(place) {}

  /// nullptr if absent or null, or mapped to nothing.
  const JsonValue* find(const std::string& ours) const { return find_named(theirs(ours)); }

  std::optional<std::string> text(const std::string& ours) const {
    const JsonValue* found = find(ours);
    if (!found) return std::nullopt;
    const std::string* text = text_or_number(*found, [&] { return where(ours); });
    if (!text) wrong(ours, "a string", *found);
    return *text;
  }

  /// "" where it may be absent and is.
  std::string instruction(bool may_be_absent) const {
    auto found = text("instruction");
    if (!found && may_be_absent) return "";
    if (!found)
      fail_data("{}: instruction: no key '{}' with a string, and no '{}' with a chat; there are: {}", place_,
                theirs("instruction"), theirs("messages"), keys());
    return *std::move(found);
  }

  /// Where the turns of a chat are; empty: this is a record with an instruction of its own.
  std::string chat() const {
    const std::string key = chat_key();
    return find_named(key) ? key : "";
  }

  std::optional<Conversation> conversation(Turns turns) const {
    const std::string key = chat();
    if (key.empty()) return std::nullopt;
    return read_conversation(*find_path(object_, key), fmt::format("{}: key '{}'", place_, key), turns);
  }

  /// Of a chat `turn` is its system turn; empty: there is none.
  std::string system(const std::string& turn) const {
    std::string text = turn;
    const bool mapped = names_.contains("system");
    for (const std::string& key :
         mapped ? std::vector{theirs("system")} : std::vector<std::string>{"system", "system_prompt"}) {
      const JsonValue* found = find_named(key);
      if (!found) continue;
      const auto at = [&] { return fmt::format("{}: system: key '{}'", place_, key); };
      const std::string* found_text = text_or_number(*found, at);
      if (!found_text)
        fail_data("{}: expected a string, got {} (fields: {{system: \"\"}} reads none)", at(),
                  name_of(found->kind));
      if (found_text->empty() || *found_text == text) continue;
      if (!text.empty())
        fail_data(
            "{}: key '{}' holds another system text than {}: map one, e.g. fields: {{system: {}}}, or none "
            "with "
            "{{system: \"\"}}",
            place_, key, turn.empty() ? "key 'system'" : "the chat's system turn", key);
      text = *found_text;
    }
    return text;
  }

  std::vector<Turn> history() const {
    const JsonValue* found = find("history");
    if (!found) return {};
    return read_history(*found, fmt::format("{}: history: key '{}' (fields: {{history: \"\"}} reads none)",
                                            place_, theirs("history")));
  }

  std::optional<std::string> answer() const {
    const JsonValue* found = find("answer");
    if (!found) return std::nullopt;
    if (found->kind == Kind::array || found->kind == Kind::object)
      wrong("answer", "a string, a number or a boolean", *found);
    text_or_number(*found, [&] { return where("answer"); });
    return found->text;
  }

  std::vector<std::string> tests() const {
    std::vector<std::string> statements;
    const JsonValue* found = find("tests");
    if (!found) return statements;
    if (found->kind != Kind::array) wrong("tests", "a list of strings", *found);
    for (const JsonValue& item : found->items) {
      if (item.kind != Kind::string) wrong("tests", "a list of strings", item);
      statements.push_back(item.text);
    }
    return statements;
  }

 private:
  const std::string& theirs(const std::string& ours) const { return mapped(names_, ours); }

  const JsonValue* find_named(const std::string& key) const {
    const JsonValue* found = key.empty() ? nullptr : find_path(object_, key);
    return found && found->kind != Kind::null ? found : nullptr;
  }

  /// Where the chat is; empty: in no place, because there is an instruction and no mapping names the chat.
  std::string chat_key() const {
    const bool has_instruction = find("instruction") != nullptr;
    if (names_.contains("messages")) {
      if (has_instruction && names_.contains("instruction") && find("messages"))
        fail_data("{}: both '{}' and '{}' are there: map one of them", place_, theirs("instruction"),
                  theirs("messages"));
      return theirs("messages");
    }
    if (has_instruction) return "";
    const JsonValue *messages = find_named("messages"), *conversations = find_named("conversations");
    if (messages && conversations && !messages->items.empty() && !conversations->items.empty())
      fail_data(
          "{}: both 'messages' and 'conversations' are there: say which holds the chat, e.g. "
          "fields: {{messages: conversations}}",
          place_);
    return conversations && (!messages || messages->items.empty()) ? "conversations" : "messages";
  }

  std::string keys() const {
    constexpr std::size_t kShown = 12;
    std::string all;
    for (std::size_t i = 0; i < object_.keys.size() && i < kShown; ++i)
      all += fmt::format("{}'{}'", i ? ", " : "", object_.keys[i]);
    return object_.keys.empty() ? "none" : all + (object_.keys.size() > kShown ? ", ..." : "");
  }

  std::string where(const std::string& ours) const {
    return fmt::format("{}: {}: key '{}'", place_, ours, theirs(ours));
  }

  [[noreturn]] void wrong(const std::string& ours, std::string_view expected, const JsonValue& found) const {
    fail_data("{}: expected {}, got {}", where(ours), expected, name_of(found.kind));
  }

  const JsonValue& object_;
  const FieldNames& names_;
  const std::string& place_;
};

/// The instruction of a record: its question behind the system text and the earlier turns.
void set_question(Record& record, const std::string& system, std::vector<Turn> before,
                  const std::string& question) {
  if (!system.empty()) record.instruction = system + "\n\n";
  record.system_bytes = record.instruction.size();
  record.instruction += with_history(before, question);
  record.context_bytes = record.instruction.size() - question.size();
  record.system = system;
  record.before = std::move(before);
}

void set_output(Record& record, std::optional<std::string> output) {
  record.has_output = output.has_value();
  record.output = std::move(output).value_or("");
}

/// What the turns of a chat do not give.
Record fields_beside_turns(const Fields& fields) {
  Record record;
  record.rationale = fields.text("rationale");
  if (record.rationale && record.rationale->empty()) record.rationale.reset();
  record.answer = fields.answer();
  record.tests = fields.tests();
  return record;
}

std::vector<Record> records_of_chat(Conversation&& chat, const Fields& fields) {
  const std::string system = fields.system(chat.system);
  const std::vector<Turn> history = fields.history();
  std::vector<Record> records;
  for (Exchange& exchange : chat.exchanges) {
    std::vector<Turn> before = history;
    std::ranges::move(exchange.before, std::back_inserter(before));
    records.push_back(fields_beside_turns(fields));
    set_question(records.back(), system, std::move(before), exchange.user);
    set_output(records.back(), std::move(exchange.assistant));
  }
  records.front().turns = chat.counts;
  return records;
}

/// What is said in a chat, and in the columns beside it.
std::string whole_chat(const Fields& fields, const JsonValue& turns) {
  std::string text = fields.system("");
  if (!text.empty()) text += "\n";
  for (const Turn& turn : fields.history()) text += turn.text + "\n";
  return text + conversation_text(turns);
}

std::vector<Record> parse_records(const JsonValue& value, const FieldNames& names, Turns turns,
                                  bool may_lack_instruction, const std::string& place) {
  if (value.kind != Kind::object) fail_data("{}: expected an object, got {}", place, name_of(value.kind));
  const Fields fields(value, names, place);
  if (auto chat = fields.conversation(turns)) {
    std::vector<Record> records = records_of_chat(*std::move(chat), fields);
    records.front().whole_chat = whole_chat(fields, *find_path(value, fields.chat()));
    return records;
  }
  Record record = fields_beside_turns(fields);
  const std::string question = fields.instruction(may_lack_instruction);
  set_question(record, fields.system(""), fields.history(), question);
  record.input = fields.text("input").value_or("");
  set_output(record, fields.text("output"));
  std::vector<Record> one;
  one.push_back(std::move(record));
  return one;
}

/// The chat of an object that was read; nullptr: it has none.
const JsonValue* turns_of(const JsonValue& value, const FieldNames& names, const std::string& place) {
  const std::string chat = Fields(value, names, place).chat();
  return chat.empty() ? nullptr : find_path(value, chat);
}

/// What a record may be made of, by the names of the file.
std::vector<std::string> paths_of(const FieldNames& names, const OwnFields& own) {
  std::vector<std::string> paths = own.paths;
  paths.push_back("conversations");
  for (const char* ours :
       {"instruction", "input", "output", "rationale", "answer", "tests", "messages", "system", "history"})
    paths.push_back(mapped(names, ours));
  if (!names.contains("system")) paths.push_back("system_prompt");
  return paths;
}

/// "a, b, c and 7 more" of names.
std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 5;
  const std::size_t shown = std::min(kShown, names.size());
  const std::string text = fmt::format("{}", fmt::join(names.begin(), names.begin() + shown, ", "));
  return names.size() > shown ? fmt::format("{} and {} more", text, names.size() - shown) : text;
}

std::string note_on_folders(const std::string& pattern, const std::vector<fs::path>& folders) {
  std::vector<std::string> names;
  for (const fs::path& folder : folders) names.push_back(folder.string());
  return fmt::format("{} also matches {} folder{}, whose files are not read: {}; {} names those, too",
                     pattern, names.size(), names.size() == 1 ? "" : "s", some_of(names),
                     (fs::path(pattern) / "*").string());
}

}  // namespace

RecordReader::RecordReader(const fs::path& file, FieldNames fields, Turns turns, ReadingNotes* notes,
                           OwnFields own)
    : file_(file.string()),
      fields_(std::move(fields)),
      turns_(turns),
      notes_(notes),
      may_lack_instruction_(own.may_lack_instruction),
      values_(open_values(file, own.all_columns ? std::vector<std::string>{} : paths_of(fields_, own))) {
  if (notes_) notes_->take_columns(file_, values_->columns());
}
RecordReader::~RecordReader() = default;

bool RecordReader::advance() {
  at_more_ = !more_.empty();
  return at_more_ || values_->advance();
}

std::int64_t RecordReader::line() const {
  return values_->line();
}

Record RecordReader::read() {
  JsonValue whole;
  return read(whole);
}

Record RecordReader::read(JsonValue& whole) {
  if (!at_more_) {
    const std::string place = fmt::format("{}:{}", file_, line());
    whole = values_->value(place);
    for (Record& record : parse_records(whole, fields_, turns_, may_lack_instruction_, place)) {
      record.file = file_;
      record.line = line();
      more_.push_back(std::move(record));
    }
    if (notes_) notes_->take(file_, whole, turns_of(whole, fields_, place));
  }
  Record record = std::move(more_.front());
  more_.pop_front();
  return record;
}

void set_field(JsonValue& object, const FieldNames& fields, const std::string& ours, JsonValue value) {
  const std::string& theirs = mapped(fields, ours);
  if (JsonValue* found = find_path(object, theirs))
    *found = std::move(value);
  else
    add_member(object, theirs, std::move(value));
}

void set_field(JsonValue& object, const FieldNames& fields, const std::string& ours,
               const std::string& text) {
  set_field(object, fields, ours, json_string(text));
}

void set_output(JsonValue& object, const FieldNames& fields, const std::string& text, Turns turns) {
  const std::string place;
  const std::string chat = Fields(object, fields, place).chat();
  if (chat.empty()) return set_field(object, fields, "output", text);
  set_assistant_turn(*find_path(object, chat), text, turns);
}

void require_output(const Record& record, std::string_view fields_setting) {
  if (!record.has_output && record.turns.marked > 0)
    fail_data("{}:{}: no output: its {} assistant turns are marked not to be trained on or hold tool calls",
              record.file, record.line, record.turns.marked);
  if (record.has_output && is_white_space_only(record.output))
    fail_data("{}:{}: the output is {}: there is nothing to learn from it", record.file, record.line,
              record.output.empty() ? "empty" : "white space only");
  if (!record.has_output)
    fail_data(
        "{}:{}: no 'output' (of a chat: no assistant turn), which a record to train on needs; {} maps other "
        "names",
        record.file, record.line, fields_setting);
}

void for_each_record(const fs::path& file, const FieldNames& fields, const std::function<void(Record&&)>& use,
                     Turns turns, ReadingNotes* notes) {
  RecordReader reader(file, fields, turns, notes);
  while (reader.advance()) use(reader.read());
}

std::vector<Record> read_records(const fs::path& file, const FieldNames& fields, Turns turns,
                                 ReadingNotes* notes) {
  std::vector<Record> records;
  for_each_record(
      file, fields, [&](Record&& record) { records.push_back(std::move(record)); }, turns, notes);
  return records;
}

NamedFiles named_files(const std::vector<std::string>& patterns) {
  NamedFiles named;
  std::map<fs::path, fs::path> first;  // by what links lead to
  std::vector<std::string> again;
  for (const std::string& pattern : patterns) {
    const FileMatches matches = match_files(pattern);
    if (!matches.problem.empty()) fail_config("{}", matches.problem);
    if (!matches.passed_over.empty()) named.notes.push_back(note_on_folders(pattern, matches.passed_over));
    for (const fs::path& file : matches.files) {
      const auto [found, fresh] = first.emplace(fs::canonical(file), file);
      if (fresh)
        named.files.push_back(file);
      else
        again.push_back(found->second == file
                            ? file.string()
                            : fmt::format("{} (as {})", found->second.string(), file.string()));
    }
  }
  if (!again.empty())
    named.notes.push_back(fmt::format("named more than once, read once: {}", some_of(again)));
  return named;
}

std::vector<fs::path> expand_globs(const std::vector<std::string>& patterns) {
  return named_files(patterns).files;
}

}  // namespace rocket
