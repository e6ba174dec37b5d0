#include "text/tokenizer_added.h"

#include <algorithm>
#include <ranges>

#include "text/unicode.h"

namespace rocket {

namespace {

bool stands_alone(std::string_view text, Span span) {
  const bool word_before = span.begin > 0 && is_word_character(previous_code_point(text, span.begin));
  std::size_t end = span.end;
  const bool word_behind = end < text.size() && is_word_character(next_code_point(text, end));
  return !word_before && !word_behind;
}

std::size_t space_begin(std::string_view text, std::size_t end, std::size_t limit) {
  while (end > limit) {
    const char32_t c = previous_code_point(text, end);
    if (!is_white_space(c)) break;
    do --end;
    while (end > 0 && is_utf8_continuation(text[end]));
  }
  return std::max(end, limit);
}

std::size_t space_end(std::string_view text, std::size_t begin) {
  while (begin < text.size()) {
    std::size_t next = begin;
    if (!is_white_space(next_code_point(text, next))) break;
    begin = next;
  }
  return begin;
}

}  // namespace

void StringFinder::add(std::string_view text, std::size_t index) {
  if (text.empty()) return;
  starts_[static_cast<unsigned char>(text[0])] = true;
  std::size_t node = 0;
  for (const char c : text) {
    const auto [place, added] = nodes_[node].next.try_emplace(static_cast<unsigned char>(c), nodes_.size());
    node = place->second;
    if (added) nodes_.emplace_back();
  }
  if (!nodes_[node].index) nodes_[node].index = index;
}

std::optional<StringFinder::Found> StringFinder::find(std::string_view text, std::size_t from) const {
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (!starts_[static_cast<unsigned char>(text[begin])]) continue;
    std::optional<Found> longest;
    std::size_t node = 0;
    for (std::size_t at = begin; at < text.size(); ++at) {
      const auto next = nodes_[node].next.find(static_cast<unsigned char>(text[at]));
      if (next == nodes_[node].next.end()) break;
      node = next->second;
      if (nodes_[node].index) longest = Found{*nodes_[node].index, begin, at + 1};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens,
                         const std::function<std::optional<TokenId>(std::string_view)>& model_id,
                         std::int64_t model_size,
                         const std::function<std::string(std::string_view)>& normalize) {
  std::int64_t next_id = model_size;
  for (const AddedToken& token : tokens) {
    if (token.content.empty() || id_of_.contains(token.content)) continue;
    std::optional<TokenId> id = model_id(token.content);
    if (!id) id = static_cast<TokenId>(next_id);
    next_id = std::max(next_id, std::int64_t{*id} + 1);
    id_of_[token.content] = *id;
    // The library shows such a token in its normalised form, and takes only what it shows for special.
    shown_[*id] = token.normalized ? normalize(token.content) : token.content;
    if (token.special) specials_.insert(token.content);
    tokens_.push_back(token);
    ids_.push_back(*id);
  }
  // Where two normalise to the same text, specials come first.
  for (const bool special : {true, false}) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (tokens_[i].special != special) continue;
      if (tokens_[i].normalized)
        normalized_.add(normalize(tokens_[i].content), i);
      else
        raw_.add(tokens_[i].content, i);
      has_normalized_ |= tokens_[i].normalized;
    }
  }
}

std::vector<AddedTokens::Segment> AddedTokens::cut(std::string_view text, Stage stage) const {
  const StringFinder& finder = stage == Stage::raw ? raw_ : normalized_;
  std::vector<Segment> segments;
  std::size_t done = 0, from = 0;
  while (const auto found = finder.find(text, from)) {
    from = found->end;
    const AddedToken& token = tokens_[found->index];
    Span span{found->begin, found->end};
    if (token.single_word && !stands_alone(text, span)) continue;
    // A token before may have taken the space, or even the beginning of this one.
    if (token.lstrip) span.begin = space_begin(text, span.begin, std::min(done, span.begin));
    if (token.rstrip) span.end = space_end(text, span.end);
    if (done < span.begin) segments.push_back({std::nullopt, {done, span.begin}});
    segments.push_back({ids_[found->index], span});
    done = span.end;
  }
  if (done < text.size()) segments.push_back({std::nullopt, {done, text.size()}});
  return segments;
}

std::optional<TokenId> AddedTokens::id_of(std::string_view content) const {
  const auto found = id_of_.find(std::string(content));
  if (found == id_of_.end()) return std::nullopt;
  return found->second;
}

const std::string* AddedTokens::shown(TokenId id) const {
  const auto found = shown_.find(id);
  return found == shown_.end() ? nullptr : &found->second;
}

TokenId AddedTokens::largest_id() const {
  return ids_.empty() ? -1 : *std::ranges::max_element(ids_);
}

}  // namespace rocket
