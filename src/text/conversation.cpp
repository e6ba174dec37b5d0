#include "text/conversation.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/error.h"

namespace rocket {
namespace {

using Kind = JsonValue::Kind;

constexpr std::array kMarks = {"weight", "loss", "train", "training"};

/// nullptr if absent or null.
const JsonValue* find_set(const JsonValue& turn, std::string_view key) {
  const JsonValue* found = turn.find(key);
  return found && found->kind != Kind::null ? found : nullptr;
}

const JsonValue& member(const JsonValue& turn, std::string_view key, const std::string& place) {
  const JsonValue* found = turn.find(key);
  if (!found) fail_data("{}: no '{}'", place, key);
  return *found;
}

[[noreturn]] void fail_text(std::string_view key, const JsonValue& found, const std::string& place) {
  fail_data("{}: '{}': expected a string, got {}", place, key, name_of(found.kind));
}

std::string text_of_part(const JsonValue& part, std::string_view key, const std::string& place) {
  const JsonValue *type = part.find("type"), *text = part.find("text");
  if (type && type->kind == Kind::string && type->text != "text")
    fail_data("{}: '{}': a part of type '{}': only parts of text are read", place, key, type->text);
  if (!text || text->kind != Kind::string)
    fail_data(
        "{}: '{}': expected a string or parts {{\"type\": \"text\", \"text\": ...}}, got a list with {}",
        place, key, name_of(part.kind));
  return text->text;
}

/// A string, or the texts of a list of parts one behind the other, as chat templates write them.
std::string text_of(const JsonValue& turn, std::string_view key, const std::string& place) {
  const JsonValue& found = member(turn, key, place);
  if (const std::string* text = text_or_number(found, [&] { return fmt::format("{}: '{}'", place, key); }))
    return *text;
  if (found.kind != Kind::array || found.items.empty()) fail_text(key, found, place);
  std::string text;
  for (const JsonValue& part : found.items) text += text_of_part(part, key, place);
  return text;
}

Role role_of(const JsonValue& turn, std::string_view key, const std::string& place) {
  const JsonValue& found = member(turn, key, place);
  if (found.kind != Kind::string) fail_text(key, found, place);
  const std::string& name = found.text;
  if (name == "system" || name == "developer") return Role::system;
  if (name == "user" || name == "human") return Role::user;
  if (name == "assistant" || name == "gpt") return Role::assistant;
  fail_data("{}: role '{}': expected system, user or assistant (ShareGPT: system, human or gpt)", place,
            name);
}

/// Whether a mark says yes: true or 1; no: false or 0.
bool says_yes(const JsonValue& mark, std::string_view key, const std::string& place) {
  if (mark.kind == Kind::boolean) return mark.text == "true";
  const double value = mark.kind == Kind::number ? std::strtod(mark.text.c_str(), nullptr) : -1;
  if (value != 0 && value != 1)
    fail_data("{}: '{}': expected true, false, 1 or 0: a turn is an output or it is none", place, key);
  return value == 1;
}

bool may_be_output(const JsonValue& turn, const std::string& place) {
  for (const char* detail : {"train_detail", "training_detail"})
    if (const JsonValue* found = find_set(turn, detail); found && !found->items.empty())
      fail_data("{}: '{}': training on parts of a turn is not supported", place, detail);
  for (const char* calls : {"tool_calls", "function_call"})
    if (const JsonValue* found = find_set(turn, calls); found && !found->items.empty()) return false;
  return std::ranges::all_of(kMarks, [&](const char* key) {
    const JsonValue* mark = find_set(turn, key);
    return !mark || says_yes(*mark, key, place);
  });
}

/// Under which keys the turns of a chat keep what they hold.
struct TurnKeys {
  const char *role, *text, *assistant;
};
constexpr TurnKeys kTemplate{"role", "content", "assistant"}, kShareGpt{"from", "value", "gpt"};

const TurnKeys& keys_of(const JsonValue& turn) {
  return !turn.find("role") && turn.find("from") ? kShareGpt : kTemplate;
}

Turn read_turn(const JsonValue& turn, const std::string& place) {
  if (turn.kind != Kind::object) fail_data("{}: expected an object, got {}", place, name_of(turn.kind));
  const TurnKeys& keys = keys_of(turn);
  const Role role = role_of(turn, keys.role, place);
  return {role, text_of(turn, keys.text, place), role != Role::assistant || may_be_output(turn, place)};
}

/// Without a look at the rest of the turn.
bool is_of_assistant(const JsonValue& turn) {
  const JsonValue* role = turn.find(keys_of(turn).role);
  return role && role->kind == Kind::string && (role->text == "assistant" || role->text == "gpt");
}

/// Takes the turns of a chat one after the other.
class Listener {
 public:
  explicit Listener(Turns which) : which_(which) {}

  /// Nothing that follows can matter.
  bool is_done() const { return which_ == Turns::first && !read_.exchanges.empty(); }
  void pass_over(const JsonValue& turn) { read_.counts.not_chosen += is_of_assistant(turn); }

  void take(Turn turn, const std::string& place) {
    if (turn.role == Role::assistant) return answer(std::move(turn), place);
    if (question_) fail_data("{}: expected the assistant's answer to the user turn before", place);
    if (turn.role == Role::user) {
      question_ = std::move(turn.text);
      return;
    }
    if (!said_.empty()) fail_data("{}: a system turn behind the first question", place);
    if (system_) fail_data("{}: a second system turn", place);
    system_ = std::move(turn.text);
  }

  Conversation end(const std::string& place) {
    if (!question_ && said_.empty()) fail_data("{}: no user turn", place);
    if (question_ && (read_.exchanges.empty() || which_ == Turns::last_question))
      choose({said_, *question_, std::nullopt});
    else if (question_)
      ++read_.counts.unanswered;
    if (read_.exchanges.empty()) {  // all answers are marked: the last question has none
      const std::string question = said_[said_.size() - 2].text;
      said_.resize(said_.size() - 2);
      choose({said_, question, std::nullopt});
    }
    read_.system = system_.value_or("");
    return std::move(read_);
  }

 private:
  void answer(Turn turn, const std::string& place) {
    if (!question_)
      fail_data("{}: an assistant turn {}", place, said_.empty() ? "before any user turn" : "behind another");
    if (turn.may_be_output)
      choose({said_, *question_, turn.text});
    else
      ++read_.counts.marked;
    said_.push_back({Role::user, *std::move(question_)});
    said_.push_back(std::move(turn));
    question_.reset();
  }

  void choose(Exchange exchange) {
    if (which_ != Turns::all && !read_.exchanges.empty()) {
      read_.exchanges.clear();
      ++read_.counts.not_chosen;
    }
    read_.exchanges.push_back(std::move(exchange));
  }

  Turns which_;
  Conversation read_;
  std::optional<std::string> system_, question_;
  std::vector<Turn> said_;
};

std::vector<Turn> pair_of(const JsonValue& pair, const std::string& place) {
  const auto text = [&](std::size_t i) {
    const std::string* found =
        pair.items.size() == 2 ? text_or_number(pair.items[i], [&] { return place; }) : nullptr;
    if (!found) fail_data("{}: expected a pair [user, assistant] of strings", place);
    return *found;
  };
  return {{Role::user, text(0)}, {Role::assistant, text(1)}};
}

void append_said(const JsonValue& value, std::string& text) {
  if (value.kind == Kind::null) return;
  if (value.kind == Kind::array) {
    for (const JsonValue& part : value.items) append_said(part, text);
    return;
  }
  const JsonValue* part = value.find("text");
  const JsonValue& said = part && part->kind == Kind::string ? *part : value;
  text += (text.empty() ? "" : "\n") + (said.kind == Kind::string ? said.text : to_json(said));
}

}  // namespace

Turns turns_setting(std::string_view name, bool of_task) {
  if (name == "first") return Turns::first;
  if (name == "last") return of_task ? Turns::last_question : Turns::last;
  if (name == "all" && !of_task) return Turns::all;
  fail_internal("turns '{}'", name);
}

TurnCounts& TurnCounts::operator+=(const TurnCounts& other) {
  not_chosen += other.not_chosen;
  marked += other.marked;
  unanswered += other.unanswered;
  return *this;
}

std::string TurnCounts::describe(std::string_view setting, std::string_view value) const {
  std::string text;
  const auto add = [&](std::int64_t count, const std::string& what) {
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, what);
  };
  add(not_chosen, fmt::format("assistant turns of chats are no outputs ({}: {})", setting, value));
  add(marked, "assistant turns are marked not to be trained on or hold tool calls");
  add(unanswered, "questions at the end of chats have no answer");
  return text;
}

std::string conversation_text(const JsonValue& turns) {
  std::string text;
  for (const JsonValue& turn : turns.items) {
    if (turn.kind != Kind::object) append_said(turn, text);
    for (const char* key : {keys_of(turn).text, "tool_calls", "function_call"}) {
      if (const JsonValue* value = turn.find(key)) append_said(*value, text);
    }
  }
  return text;
}

Conversation read_conversation(const JsonValue& turns, const std::string& place, Turns which) {
  if (turns.kind != Kind::array)
    fail_data("{}: expected a list of messages, got {}", place, name_of(turns.kind));
  Listener listener(which);
  for (std::size_t i = 0; i < turns.items.size(); ++i) {
    if (listener.is_done()) {
      listener.pass_over(turns.items[i]);
      continue;
    }
    const std::string at = fmt::format("{}, message {}", place, i + 1);
    listener.take(read_turn(turns.items[i], at), at);
  }
  return listener.end(place);
}

std::vector<Turn> read_history(const JsonValue& history, const std::string& place) {
  if (history.kind != Kind::array)
    fail_data("{}: expected a list of pairs [user, assistant] or of messages, got {}", place,
              name_of(history.kind));
  std::vector<Turn> turns;
  for (std::size_t i = 0; i < history.items.size(); ++i) {
    const JsonValue& item = history.items[i];
    const std::string at = fmt::format("{}, item {}", place, i + 1);
    if (item.kind == Kind::array)
      std::ranges::move(pair_of(item, at), std::back_inserter(turns));
    else
      turns.push_back(read_turn(item, at));
    const Role expected = turns.size() % 2 == 1 ? Role::user : Role::assistant;
    if (item.kind != Kind::array && turns.back().role != expected)
      fail_data("{}: expected user and assistant in turn", at);
  }
  if (turns.size() % 2 == 1) fail_data("{}: its last question has no answer", place);
  return turns;
}

std::string with_history(const std::vector<Turn>& before, const std::string& question) {
  if (before.empty()) return question;
  std::string text;
  for (const Turn& turn : before)
    text += (turn.role == Role::user ? "User: " : "Assistant: ") + turn.text + "\n\n";
  return text + "User: " + question;
}

void set_assistant_turn(JsonValue& turns, const std::string& text, Turns which) {
  const auto is_output = [](const JsonValue& turn) {
    return is_of_assistant(turn) && may_be_output(turn, "");
  };
  std::vector<JsonValue>& all = turns.items;
  const TurnKeys& keys = keys_of(all.back());
  auto chosen = std::ranges::find_if(all, is_output);
  if (which != Turns::first && is_of_assistant(all.back())) chosen = all.end() - 1;
  if (which != Turns::first && !is_of_assistant(all.back())) chosen = all.end();
  if (chosen == all.end() && is_of_assistant(all.back())) chosen = all.end() - 1;
  if (chosen == all.end()) {
    all.push_back(
        {Kind::object, "", {json_string(keys.assistant), json_string(text)}, {keys.role, keys.text}});
    return;
  }
  *chosen->find(keys_of(*chosen).text) = json_string(text);
  for (const char* key : kMarks)  // it is an output now
    if (const JsonValue* mark = find_set(*chosen, key); mark && !says_yes(*mark, key, ""))
      *chosen->find(key) = JsonValue{};
}

}  // namespace rocket
