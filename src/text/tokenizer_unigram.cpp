#include <algorithm>
#include <limits>

#include "text/tokenizer_model.h"
#include "text/unicode.h"

namespace rocket {

namespace {

/// How much less likely than the least likely token an unknown character is.
constexpr double kUnknownPenalty = 10;

PrefixTree tree_of(const std::vector<ScoredToken>& tokens) {
  std::vector<std::pair<std::string_view, std::int32_t>> strings;
  for (std::size_t id = 0; id < tokens.size(); ++id)
    strings.emplace_back(tokens[id].text, static_cast<std::int32_t>(id));
  return PrefixTree(std::move(strings));
}

}  // namespace

Unigram::Unigram(const std::vector<ScoredToken>& tokens, const UnigramOptions& options)
    : tree_(tree_of(tokens)), unk_(options.unk_id) {
  double smallest = std::numeric_limits<double>::infinity();
  for (const ScoredToken& token : tokens) {
    scores_.push_back(token.score);
    smallest = std::min(smallest, token.score);
  }
  unk_score_ = smallest - kUnknownPenalty;
  byte_ids_.fill(-1);
  if (options.byte_fallback)
    for (std::size_t byte = 0; byte < 256; ++byte)
      byte_ids_[byte] = id_of(byte_token(static_cast<unsigned char>(byte))).value_or(-1);
}

std::optional<TokenId> Unigram::id_of(std::string_view text) const {
  std::optional<TokenId> found;
  tree_.for_each_prefix(text, 0, [&](std::size_t length, TokenId id) {
    if (length == text.size()) found = id;
  });
  return found;
}

void Unigram::tokenize(std::string_view text, std::span<const Span> words, std::vector<Piece>& pieces) const {
  std::vector<Node> nodes;
  cache_.tokenize(text, words, pieces, [&](std::string_view word, std::vector<Piece>& found) {
    find_ways(word, nodes);
    follow_best(word, nodes, found);
  });
}

void Unigram::find_ways(std::string_view word, std::vector<Node>& nodes) const {
  nodes.assign(word.size() + 1, Node{});
  const auto offer = [&](std::size_t begin, std::size_t end, TokenId id, double score) {
    score += nodes[begin].score;
    if (nodes[end].id < 0 || score > nodes[end].score) nodes[end] = {score, begin, id};
  };
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t length = utf8_length(word, at);
    bool has_character = false;
    tree_.for_each_prefix(word, at, [&](std::size_t n, TokenId id) {
      offer(at, at + n, id, scores_[static_cast<std::size_t>(id)]);
      has_character |= n == length;
    });
    if (!has_character) offer(at, at + length, unk_, unk_score_);
    at += length;
  }
}

void Unigram::follow_best(std::string_view word, const std::vector<Node>& nodes,
                          std::vector<Piece>& pieces) const {
  std::vector<Piece> way;
  for (std::size_t end = word.size(); end > 0;) {
    const TokenId id = nodes[end].id;
    std::size_t begin = nodes[end].begin;
    if (id == unk_)  // neighbouring unknown characters become one
      while (begin > 0 && nodes[begin].id == unk_) begin = nodes[begin].begin;
    way.push_back({id, {begin, end}});
    end = begin;
  }
  std::ranges::reverse(way);
  for (const Piece& piece : way)
    if (piece.id == unk_)
      add_unknown(word, piece.span, pieces);
    else
      pieces.push_back(piece);
}

void Unigram::add_unknown(std::string_view word, Span span, std::vector<Piece>& pieces) const {
  const std::string_view text = word.substr(span.begin, span.end - span.begin);
  const auto byte_id = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
  // Several unknown characters together can be a token that was less likely than they.
  const std::optional<TokenId> whole = id_of(text);
  if (whole || std::ranges::any_of(text, [&](char byte) { return byte_id(byte) < 0; }))
    return pieces.push_back({whole.value_or(unk_), span});
  for (std::size_t at = span.begin; at < span.end; ++at) pieces.push_back({byte_id(word[at]), {at, at + 1}});
}

}  // namespace rocket
