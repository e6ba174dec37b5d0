#include "text/tokenizer_pipeline.h"

#include <algorithm>

#include "base/error.h"

namespace rocket {

namespace {

AddedTokens added_tokens_of(const TokenizerParts& parts) {
  return AddedTokens(
      parts.added, [&](std::string_view token) { return find_token(parts.vocabulary, token); },
      static_cast<std::int64_t>(parts.vocabulary.size()),
      [&](std::string_view text) {
        return normalize(parts.normalizers, SourceText(std::string(text))).text();
      });
}

class PipelineTokenizer : public Tokenizer {
 public:
  PipelineTokenizer(TokenizerParts parts, const NamedSpecials& specials)
      : parts_(std::move(parts)), added_(added_tokens_of(parts_)) {
    TokenId largest = added_.largest_id();
    for (const auto& [token, id] : parts_.vocabulary) {
      spelling_[id] = &token;
      largest = std::max(largest, id);
    }
    vocabulary_ = std::int64_t{largest} + 1;
    eos_ = named(specials.eos, "eos_token");
    bos_ = named(specials.bos, "bos_token");
    if (parts_.own_specials) return;
    if (specials.add_bos && bos_) parts_.leading.push_back(*bos_);
    if (specials.add_eos && eos_) parts_.trailing.push_back(*eos_);
  }

  std::vector<Token> encode(std::string_view text) const override {
    std::vector<Token> tokens;
    const SourceText source = SourceText::from_bytes(text);
    for (const auto& segment : added_.cut(source.text(), AddedTokens::Stage::raw)) {
      if (segment.id)
        add(*segment.id, source.origin(segment.span.begin, segment.span.end), tokens);
      else
        encode_raw(source.slice(segment.span), tokens);
    }
    return tokens;
  }

  const std::vector<TokenId>& leading_specials() const override { return parts_.leading; }
  const std::vector<TokenId>& trailing_specials() const override { return parts_.trailing; }

  std::string decode(std::span<const TokenId> ids, bool skip_specials) const override {
    std::vector<std::string> tokens;
    for (const TokenId id : ids) {
      const std::string* token = token_of(id);
      if (token && !(skip_specials && added_.is_special(*token))) tokens.push_back(*token);
    }
    for (const auto& decoder : parts_.decoders) decoder->apply(tokens);
    std::string text;
    for (const std::string& token : tokens) text += token;
    return text;
  }

  std::int64_t vocabulary() const override { return vocabulary_; }

  std::optional<TokenId> id_of(std::string_view token) const override {
    const auto id = added_.id_of(token);
    return id ? id : find_token(parts_.vocabulary, token);
  }

  std::optional<TokenId> eos() const override { return eos_; }
  std::optional<TokenId> bos() const override { return bos_; }

 private:
  static void add(TokenId id, Origin origin, std::vector<Token>& tokens) {
    tokens.push_back({id, origin.begin, origin.end});
  }

  std::optional<TokenId> named(const std::optional<std::string>& token, std::string_view key) const {
    if (!token) return std::nullopt;
    const auto id = id_of(*token);
    if (!id) fail_data("tokenizer_config.json: {} '{}' is no token of this tokenizer", key, *token);
    return id;
  }

  /// Text without any added token that is looked for in raw text.
  void encode_raw(SourceText text, std::vector<Token>& tokens) const {
    text = normalize(parts_.normalizers, std::move(text));
    if (!added_.has_normalized()) return encode_words(std::move(text), tokens);
    for (const auto& segment : added_.cut(text.text(), AddedTokens::Stage::normalized)) {
      if (segment.id)
        add(*segment.id, text.origin(segment.span.begin, segment.span.end), tokens);
      else
        encode_words(text.slice(segment.span), tokens);
    }
  }

  void encode_words(SourceText text, std::vector<Token>& tokens) const {
    const std::vector<Span> words = cut_into_words(parts_.pre_tokenizers, text);
    std::vector<Piece> pieces;
    parts_.model->tokenize(text.text(), words, pieces);
    for (const Piece& piece : pieces) add(piece.id, text.origin(piece.span.begin, piece.span.end), tokens);
  }

  const std::string* token_of(TokenId id) const {
    if (const std::string* added = added_.shown(id)) return added;
    const auto found = spelling_.find(id);
    return found == spelling_.end() ? nullptr : found->second;
  }

  TokenizerParts parts_;
  AddedTokens added_;
  std::unordered_map<TokenId, const std::string*> spelling_;
  std::int64_t vocabulary_ = 0;
  std::optional<TokenId> eos_, bos_;
};

}  // namespace

std::vector<TokenId> Tokenizer::ids_with_specials(std::string_view text) const {
  std::vector<TokenId> ids = leading_specials();
  for (const Token& token : encode(text)) ids.push_back(token.id);
  ids.insert(ids.end(), trailing_specials().begin(), trailing_specials().end());
  return ids;
}

std::unique_ptr<Tokenizer> make_tokenizer(TokenizerParts parts, const NamedSpecials& specials) {
  return std::make_unique<PipelineTokenizer>(std::move(parts), specials);
}

}  // namespace rocket
