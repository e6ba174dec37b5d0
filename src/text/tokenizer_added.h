// Added tokens: written in a text they become their own ids before the model sees anything.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "text/tokenizer.h"
#include "text/tokenizer_text.h"

namespace rocket {

struct AddedToken {
  std::string content;
  bool special = false;                 // not shown by a decode that skips specials
  bool single_word = false;             // only where no word character stands at either side
  bool lstrip = false, rstrip = false;  // takes the white space at that side along
  bool normalized = false;              // looked for in the normalised text, in its own normalised form
};

/// Finds strings in a text: leftmost first, then longest, then first added; matches do not overlap.
class StringFinder {
 public:
  void add(std::string_view text, std::size_t index);
  struct Found {
    std::size_t index, begin, end;
  };
  std::optional<Found> find(std::string_view text, std::size_t from) const;

 private:
  struct Node {
    std::map<unsigned char, std::size_t> next;
    std::optional<std::size_t> index;
  };
  std::vector<Node> nodes_ = std::vector<Node>(1);
  bool starts_[256] = {};
};

class AddedTokens {
 public:
  /// `model_id` and `model_size`: ids and number of entries of the model's vocabulary. A token that the model
  /// knows keeps the model's id; others get the next free one, in order, whatever number their file says, as
  /// the `tokenizers` library has it. `normalize` gives the normalised form of a text.
  AddedTokens(const std::vector<AddedToken>& tokens,
              const std::function<std::optional<TokenId>(std::string_view)>& model_id,
              std::int64_t model_size, const std::function<std::string(std::string_view)>& normalize);

  struct Segment {
    std::optional<TokenId> id;  // an added token, or text for the model
    Span span;
  };
  enum class Stage { raw, normalized };
  /// Cuts a whole text at the tokens of a stage.
  std::vector<Segment> cut(std::string_view text, Stage stage) const;
  bool has_normalized() const { return has_normalized_; }

  std::optional<TokenId> id_of(std::string_view content) const;
  /// How it is shown; nullptr if the id is no added token.
  const std::string* shown(TokenId id) const;
  bool is_special(const std::string& shown) const { return specials_.contains(shown); }
  TokenId largest_id() const;

 private:
  std::vector<AddedToken> tokens_;
  std::vector<TokenId> ids_;
  std::unordered_map<std::string, TokenId> id_of_;
  std::unordered_map<TokenId, std::string> shown_;
  std::unordered_set<std::string> specials_;
  StringFinder raw_, normalized_;
  bool has_normalized_ = false;
};

}  // namespace rocket
