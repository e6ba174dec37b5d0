// A record as tokens: prompt and target tokenised as one string and split at the boundary.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "text/prompt.h"
#include "text/record.h"
#include "text/tokenizer.h"

namespace rocket {

struct Example {
  std::vector<TokenId> ids;       // leading specials, prompt, target, one EOS; of a chat see ExampleMaker
  std::int64_t target_begin = 0;  // first id that is a target; the targets are ids[target_begin..]
  std::int64_t record = -1;       // its number among the caller's records, where that is of use

  std::int64_t target_tokens() const { return static_cast<std::int64_t>(ids.size()) - target_begin; }
};

/// The choices of a record as tokens, all behind one prompt.
struct ChoiceTokens {
  std::vector<TokenId> prompt;                      // leading specials, prompt
  std::vector<std::vector<TokenId>> continuations;  // of each choice; empty: the record has no choices

  bool empty() const { return continuations.empty(); }
};

/// With a chat template the text of the record's turns (chat_prompt.h). Else the record's own prompt if it
/// has one, or that of the template.
std::string prompt_text(const Record& record, const PromptTemplate& prompt);

/// What turns records into examples: all that scoring and training must agree on.
///
/// With a chat template the text is what the template makes of the turns, and its ids are that text's alone:
/// the specials that the tokenizer adds of itself stay away, as in transformers' apply_chat_template. The
/// target is what stands behind the prompt when the assistant's answer is one turn more, with the end that
/// the template writes; EOS follows only where that end holds no special token.
class ExampleMaker {
 public:
  /// `eos`: docs/method.md section 2, eos_token of tokenizer_config.json, else the first of config.json.
  ExampleMaker(const Tokenizer& tokenizer, PromptTemplate prompt, TokenId eos);

  /// Prompt + record.target() + EOS. A token is a target iff its last byte lies behind the boundary. Throws
  /// data (65) naming the record: a chat template that writes something else in front of an answer than
  /// behind a question.
  Example example(const Record& record) const;
  /// The prompt alone, for generation: leading specials + prompt.
  std::vector<TokenId> prompt(const Record& record) const;
  /// As lm-evaluation-harness splits prompt and choice: white space at the prompt's end belongs to the
  /// choice; the whole text is tokenised, and what stands behind as many tokens as the prompt alone has is
  /// the choice's.
  ChoiceTokens choices(const Record& record) const;
  /// The first special token that a chat template writes behind an answer: a model that was trained on it
  /// stops there.
  std::optional<TokenId> end_of_turn() const { return end_of_turn_; }

 private:
  std::vector<TokenId> ids_of(const std::vector<Token>& tokens) const;
  Example chat_example(const Record& record) const;

  const Tokenizer& tokenizer_;
  PromptTemplate prompt_;
  TokenId eos_;
  std::optional<TokenId> end_of_turn_;
};

}  // namespace rocket
