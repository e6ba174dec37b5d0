#include "text/tokenizer_decoder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "text/tokenizer_model.h"
#include "text/unicode.h"

namespace rocket {

namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

/// What the `tokenizers` library replaces, in its order; it looks at one token at a time.
void clean_up(std::string& token) {
  static constexpr std::pair<std::string_view, std::string_view> kReplacements[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kReplacements) replace_all(token, from, to);
}

}  // namespace

void ByteLevelDecoder::apply(std::vector<std::string>& tokens) const {
  std::string bytes;
  for (const std::string& token : tokens) bytes += bytes_of_token(token).value_or(token);
  tokens = {to_utf8_lossy(bytes)};
}

void WordPieceDecoder::apply(std::vector<std::string>& tokens) const {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    std::string& token = tokens[i];
    if (i != 0) {
      if (token.starts_with(prefix_))
        token.erase(0, prefix_.size());
      else
        token.insert(0, 1, ' ');
    }
    if (cleanup_) clean_up(token);
  }
}

void FuseDecoder::apply(std::vector<std::string>& tokens) const {
  tokens = {fmt::format("{}", fmt::join(tokens, ""))};
}

void SpacedDecoder::apply(std::vector<std::string>& tokens) const {
  tokens = {fmt::format("{}", fmt::join(tokens, " "))};
}

}  // namespace rocket
