#include "text/example.h"

#include <algorithm>
#include <utility>

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

}  // namespace

std::string prompt_text(const Record& record, const PromptTemplate& prompt) {
  return record.prompt ? *record.prompt : prompt.render(record.instruction, record.input);
}

ExampleMaker::ExampleMaker(const Tokenizer& tokenizer, PromptTemplate prompt, TokenId eos)
    : tokenizer_(tokenizer), prompt_(std::move(prompt)), eos_(eos) {
}

Example ExampleMaker::example(const Record& record) const {
  const std::string prompt = prompt_text(record, prompt_);
  const auto boundary = static_cast<std::int64_t>(prompt.size());
  std::vector<Token> tokens = tokenizer_.encode(prompt + record.target());
  // A target may end in a written EOS, or in several; one of the prompt does not count.
  while (!tokens.empty() && tokens.back().id == eos_ && tokens.back().end > boundary) tokens.pop_back();
  const auto first = std::ranges::find_if(tokens, [&](const Token& token) { return token.end > boundary; });
  const auto targets = tokens.end() - first;
  Example example;
  example.ids = with_leading(tokenizer_.leading_specials(), tokens);
  example.target_begin = static_cast<std::int64_t>(example.ids.size()) - targets;
  example.ids.push_back(eos_);
  return example;
}

std::vector<TokenId> ExampleMaker::prompt(const Record& record) const {
  return with_leading(tokenizer_.leading_specials(), tokenizer_.encode(prompt_text(record, prompt_)));
}

ChoiceTokens ExampleMaker::choices(const Record& record) const {
  const std::string text = to_utf8_lossy(prompt_text(record, prompt_));
  const std::string_view context = strip_white_space_behind(text);
  const auto encode = [&](const std::string& whole) {
    return with_leading(tokenizer_.leading_specials(), tokenizer_.encode(whole));
  };
  ChoiceTokens tokens{encode(std::string(context)), {}};
  for (const std::string& choice : record.choices) {
    const std::vector<TokenId> whole = encode(text + record.delimiter + choice);
    const std::size_t begin = std::min(tokens.prompt.size(), whole.size());
    tokens.continuations.emplace_back(whole.begin() + static_cast<std::ptrdiff_t>(begin), whole.end());
  }
  return tokens;
}

}  // namespace rocket
