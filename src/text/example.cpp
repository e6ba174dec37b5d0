#include "text/example.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "text/chat_prompt.h"
#include "text/chat_template.h"
#include "text/unicode.h"

namespace rocket {

namespace {

/// Leading specials + `tokens`; the specials only where the text does not begin with them itself.
std::vector<TokenId> with_leading(const std::vector<TokenId>& leading, const std::vector<Token>& tokens) {
  const bool written = tokens.size() >= leading.size() &&
                       std::equal(leading.begin(), leading.end(), tokens.begin(),
                                  [](TokenId id, const Token& token) { return id == token.id; });
  std::vector<TokenId> ids;
  ids.reserve(leading.size() + tokens.size() + 1);
  if (!written) ids = leading;
  for (const Token& token : tokens) ids.push_back(token.id);
  return ids;
}

/// A token that decoding leaves out.
bool is_special(const Tokenizer& tokenizer, TokenId id) {
  return tokenizer.decode(std::span(&id, 1), true).empty() &&
         !tokenizer.decode(std::span(&id, 1), false).empty();
}

std::optional<TokenId> first_special(const Tokenizer& tokenizer, const std::string& text) {
  for (const Token& token : tokenizer.encode(text))
    if (is_special(tokenizer, token.id)) return token.id;
  return std::nullopt;
}

std::vector<Token>::const_iterator first_behind(const std::vector<Token>& tokens, std::size_t boundary) {
  return std::ranges::find_if(
      tokens, [&](const Token& token) { return token.end > static_cast<std::int64_t>(boundary); });
}

}  // namespace

std::string prompt_text(const Record& record, const PromptTemplate& prompt) {
  if (prompt.chat) {
    return in_context(fmt::format("{}:{}", record.file, record.line),
                      [&] { return prompt.chat->prompt(turns_to_answer(record)); });
  }
  return record.prompt ? *record.prompt : prompt.render(record.instruction, record.input);
}

ExampleMaker::ExampleMaker(const Tokenizer& tokenizer, PromptTemplate prompt, TokenId eos)
    : tokenizer_(tokenizer), prompt_(std::move(prompt)), eos_(eos) {
  if (prompt_.chat) end_of_turn_ = first_special(tokenizer_, prompt_.chat->ending());
}

std::vector<TokenId> ExampleMaker::ids_of(const std::vector<Token>& tokens) const {
  static const std::vector<TokenId> none;
  return with_leading(prompt_.chat ? none : tokenizer_.leading_specials(), tokens);
}

Example ExampleMaker::chat_example(const Record& record) const {
  const std::string prompt = prompt_text(record, prompt_);
  std::vector<Turn> turns = turns_to_answer(record);
  turns.push_back({Role::assistant, answered(record)});
  const std::string place = fmt::format("{}:{}", record.file, record.line);
  const std::string whole = in_context(place, [&] { return prompt_.chat->whole(turns); });
  if (!whole.starts_with(prompt))
    fail_data(
        "{}: {}: with an answer the text does not begin with the prompt: the template writes something else "
        "where an "
        "answer begins than where one has been given, so that nothing can be trained or scored on it",
        place, prompt_.chat->file());
  const std::vector<Token> tokens = tokenizer_.encode(whole);
  const auto targets = tokens.end() - first_behind(tokens, prompt.size());
  if (targets == 0) fail_data("{}: {}: the template writes no answer", place, prompt_.chat->file());
  Example example{ids_of(tokens), static_cast<std::int64_t>(tokens.size()) - targets};
  if (!end_of_turn_) example.ids.push_back(eos_);
  return example;
}

Example ExampleMaker::example(const Record& record) const {
  if (prompt_.chat) return chat_example(record);
  const std::string prompt = prompt_text(record, prompt_);
  const auto boundary = static_cast<std::int64_t>(prompt.size());
  std::vector<Token> tokens = tokenizer_.encode(prompt + record.target());
  // A target may end in a written EOS, or in several; one of the prompt does not count.
  while (!tokens.empty() && tokens.back().id == eos_ && tokens.back().end > boundary) tokens.pop_back();
  const auto targets = tokens.end() - first_behind(tokens, prompt.size());
  Example example;
  example.ids = ids_of(tokens);
  example.target_begin = static_cast<std::int64_t>(example.ids.size()) - targets;
  example.ids.push_back(eos_);
  return example;
}

std::vector<TokenId> ExampleMaker::prompt(const Record& record) const {
  return ids_of(tokenizer_.encode(prompt_text(record, prompt_)));
}

ChoiceTokens ExampleMaker::choices(const Record& record) const {
  const std::string text = to_utf8_lossy(prompt_text(record, prompt_));
  const std::string_view context = strip_white_space_behind(text);
  const auto encode = [&](const std::string& whole) { return ids_of(tokenizer_.encode(whole)); };
  const std::string delimiter = prompt_.chat ? "" : record.delimiter;  // as the harness with a chat template
  ChoiceTokens tokens{encode(std::string(context)), {}};
  for (const std::string& choice : record.choices) {
    const std::vector<TokenId> whole = encode(text + delimiter + choice);
    const std::size_t begin = std::min(tokens.prompt.size(), whole.size());
    tokens.continuations.emplace_back(whole.begin() + static_cast<std::ptrdiff_t>(begin), whole.end());
  }
  return tokens;
}

}  // namespace rocket
