#include "text/conversation.h"

#include "base/error.h"

namespace rocket {
namespace {

using Kind = JsonValue::Kind;

enum class Role { system, user, assistant };

const JsonValue& member(const JsonValue& turn, std::string_view key, const std::string& place) {
  const JsonValue* found = turn.find(key);
  if (!found) fail_data("{}: no '{}'", place, key);
  if (found->kind != Kind::string)
    fail_data("{}: '{}': expected a string, got {}", place, key, name_of(found->kind));
  return *found;
}

Role role_of(const std::string& name, const std::string& place) {
  if (name == "system" || name == "developer") return Role::system;
  if (name == "user" || name == "human") return Role::user;
  if (name == "assistant" || name == "gpt") return Role::assistant;
  fail_data("{}: role '{}': expected system, user or assistant (ShareGPT: system, human or gpt)", place,
            name);
}

struct Turn {
  Role role = Role::user;
  std::string text;
};

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
  const Role role = role_of(member(turn, keys.role, place).text, place);
  return {role, member(turn, keys.text, place).text};
}

}  // namespace

Conversation read_conversation(const JsonValue& turns, const std::string& place) {
  if (turns.kind != Kind::array)
    fail_data("{}: expected a list of messages, got {}", place, name_of(turns.kind));
  Conversation read;
  std::optional<std::string> system, user;
  for (std::size_t i = 0; i < turns.items.size() && !read.assistant; ++i) {
    const std::string at = fmt::format("{}, message {}", place, i + 1);
    Turn turn = read_turn(turns.items[i], at);
    if (turn.role == Role::assistant) {
      if (!user) fail_data("{}: an assistant turn before any user turn", at);
      read.assistant = std::move(turn.text);
      continue;
    }
    if (user) fail_data("{}: expected the assistant's answer to the user turn before", at);
    std::optional<std::string>& slot = turn.role == Role::system ? system : user;
    if (slot) fail_data("{}: a second system turn", at);
    slot = std::move(turn.text);
  }
  if (!user) fail_data("{}: no user turn", place);
  read.system = std::move(system).value_or("");
  read.user = *std::move(user);
  return read;
}

void set_assistant_turn(JsonValue& turns, const std::string& text) {
  const JsonValue answer = json_string(text);
  for (JsonValue& turn : turns.items) {
    if (read_turn(turn, "").role == Role::assistant) {
      *turn.find(keys_of(turn).text) = answer;
      return;
    }
  }
  const TurnKeys& keys = keys_of(turns.items.back());
  turns.items.push_back({Kind::object, "", {json_string(keys.assistant), answer}, {keys.role, keys.text}});
}

}  // namespace rocket
