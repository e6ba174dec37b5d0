// Chats as records: lists of turns, in the form of chat templates or of ShareGPT.
#pragma once

#include <optional>
#include <string>

#include "formats/json_value.h"

namespace rocket {

/// The first question of a chat and its answer.
struct Conversation {
  std::string system, user;              // system: empty if no such turn stands in front
  std::optional<std::string> assistant;  // none: the chat ends with the question
};

/// Reads turns {"role": system | user | assistant, "content": text} or, as ShareGPT writes them,
/// {"from": system | human | gpt, "value": text}; "developer" is a system turn. Looked at are an optional
/// system turn, the user turn behind it and the assistant turn behind that; whatever follows is left alone.
/// `place` ("file:12: key 'messages'") stands in front of every message. Throws data (65): no list, an empty
/// one, turns in another order, another role, a text that is none (null of a tool call, a list of parts).
Conversation read_conversation(const JsonValue& turns, const std::string& place);

/// Makes `text` the assistant's answer that read_conversation reads, of turns that it has read.
void set_assistant_turn(JsonValue& turns, const std::string& text);

}  // namespace rocket
