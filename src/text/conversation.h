// Chats as records: lists of turns, in the form of chat templates or of ShareGPT.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json_value.h"

namespace rocket {

/// Which assistant turns of a chat become outputs, each behind all that was said before it.
enum class Turns {
  first,
  last,
  all,            // each of them: a chat gives as many records
  last_question,  // the last user turn, with its answer if it has one: for shots and evaluation items
};

/// "first", "last" or "all"; of a task `last` is the last question.
Turns turns_setting(std::string_view name, bool of_task = false);

enum class Role { system, user, assistant };

struct Turn {
  Role role = Role::user;
  std::string text;
  /// Of an assistant's: may become an output. False where it is marked (`weight: 0`, `loss`, `train` or
  /// `training: false`) and where it holds tool calls, which are no text.
  bool may_be_output = true;
};

/// One question and its answer, with what was said before it.
struct Exchange {
  std::vector<Turn> before;  // user and assistant in turn
  std::string user;
  std::optional<std::string> assistant;  // none: no turn behind the question may be an output
};

/// What of chats becomes neither an output nor, being behind the last one, context.
struct TurnCounts {
  std::int64_t not_chosen = 0;  // assistant turns that Turns leaves out as outputs
  std::int64_t marked = 0;      // assistant turns that may be no output
  std::int64_t unanswered = 0;  // questions at the end

  TurnCounts& operator+=(const TurnCounts& other);
  /// "3 assistant turns are no outputs (corpus.turns: first), ..."; empty if all counts are zero.
  std::string describe(std::string_view setting, std::string_view value) const;
};

struct Conversation {
  std::string system;               // empty: no such turn stands in front
  std::vector<Exchange> exchanges;  // one; of Turns::all one for each output, and one at least
  TurnCounts counts;
};

/// Reads turns {"role": system | user | assistant, "content": text} or, as ShareGPT writes them,
/// {"from": system | human | gpt, "value": text}; "developer" is a system turn; a text may be a list of parts
/// {"type": "text", "text": ...}, which are joined. An optional system turn comes first, then user and
/// assistant in turn. With Turns::first what follows the first output is not looked at, only counted.
/// `place` ("file:12: key 'messages'") stands in front of every message. Throws data (65): no list, an empty
/// one, turns in another order, another role, a text that is none (null of a tool call, a picture).
Conversation read_conversation(const JsonValue& turns, const std::string& place, Turns which = Turns::first);

/// Earlier turns of a record with an instruction: a list of pairs [user, assistant] of texts, as in
/// LLaMA-Factory's `history`, or of turns as above. Throws data (65) as read_conversation.
std::vector<Turn> read_history(const JsonValue& history, const std::string& place);

/// The question behind what was said before it: "User: ...\n\nAssistant: ...\n\nUser: <question>". Without
/// earlier turns the question alone.
std::string with_history(const std::vector<Turn>& before, const std::string& question);

/// What is said in all turns of a chat, also in those that read_conversation does not look at, a line each:
/// texts as they are, tool calls and whatever else is no text as JSON.
std::string conversation_text(const JsonValue& turns);

/// Makes `text` the output that read_conversation reads, of turns that it has read.
void set_assistant_turn(JsonValue& turns, const std::string& text, Turns which = Turns::first);

}  // namespace rocket
