#include "text/example.h"

#include <algorithm>
#include <utility>

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

ExampleMaker::ExampleMaker(const Tokenizer& tokenizer, PromptTemplate prompt, TokenId eos)
    : tokenizer_(tokenizer), prompt_(std::move(prompt)), eos_(eos) {
}

Example ExampleMaker::example(const Record& record) const {
  const std::string prompt = prompt_.render(record.instruction, record.input);
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
  const std::string prompt = prompt_.render(record.instruction, record.input);
  return with_leading(tokenizer_.leading_specials(), tokenizer_.encode(prompt));
}

}  // namespace rocket
