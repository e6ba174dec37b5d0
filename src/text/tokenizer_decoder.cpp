#include "text/tokenizer_decoder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <optional>
#include <utility>

#include "text/tokenizer_model.h"
#include "text/unicode.h"

namespace rocket {

namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::string result;
  std::size_t done = 0;
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; done = at) {
    result.append(text, done, at - done).append(to);
    at += from.size();
  }
  if (done > 0) text = result.append(text, done);
}

/// What the `tokenizers` library replaces, in its order; it looks at one token at a time.
void clean_up(std::string& token) {
  static constexpr std::pair<std::string_view, std::string_view> kReplacements[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kReplacements) replace_all(token, from, to);
}

/// The byte of a token like <0xE2>.
std::optional<char> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  unsigned char byte = 0;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  if (error != std::errc() || end != token.data() + 5) return std::nullopt;
  return static_cast<char>(byte);
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

void MetaspaceDecoder::apply(std::vector<std::string>& tokens) const {
  for (std::size_t i = 0; i < tokens.size(); ++i)
    replace_all(tokens[i], mark_, i == 0 && prepended_ ? "" : " ");
}

void ByteFallbackDecoder::apply(std::vector<std::string>& tokens) const {
  std::vector<std::string> result;
  std::string bytes;
  const auto add_bytes = [&] {
    if (!is_utf8(bytes))
      result.insert(result.end(), bytes.size(), "\xEF\xBF\xBD");
    else if (!bytes.empty())
      result.push_back(bytes);
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const auto byte = byte_of(token)) {
      bytes += *byte;
      continue;
    }
    add_bytes();
    result.push_back(std::move(token));
  }
  add_bytes();
  tokens = std::move(result);
}

void StripDecoder::apply(std::vector<std::string>& tokens) const {
  for (std::string& token : tokens) {
    std::string_view rest = token;
    for (std::size_t i = 0; i < start_ && rest.starts_with(character_); ++i)
      rest.remove_prefix(character_.size());
    for (std::size_t i = 0; i < stop_ && rest.ends_with(character_); ++i)
      rest.remove_suffix(character_.size());
    token = std::string(rest);
  }
}

void ReplaceDecoder::apply(std::vector<std::string>& tokens) const {
  for (std::string& token : tokens) {
    std::string result;
    std::size_t done = 0;
    pattern_.for_each(token, [&](Match match) {
      result.append(token, done, match.begin - done).append(content_);
      done = match.end;
    });
    token = result.append(token, done);
  }
}

void BpeDecoder::apply(std::vector<std::string>& tokens) const {
  for (std::size_t i = 0; i < tokens.size(); ++i)
    replace_all(tokens[i], suffix_, i + 1 == tokens.size() ? "" : " ");
}

void SpacedDecoder::apply(std::vector<std::string>& tokens) const {
  tokens = {fmt::format("{}", fmt::join(tokens, " "))};
}

}  // namespace rocket
